//! Words that rtrace does not use, to its users or in its code, and what it says instead.

use std::fs;
use std::path::{Path, PathBuf};

/// As they may stand in a line, and the better word.
const BETTER: [(&str, &str); 27] = [
    // Names in code.
    ("Sizer", "SizeProbe"),
    ("Belated", "LateReply"),
    ("Idents", "ProbeSelector"),
    ("Carried", "RecordingMetadata"),
    ("Crank", "Driver"),
    ("Tape", "Recorder"),
    ("Awaited", "PendingLookups"),
    ("TurnKind", "LossTransitionKind"),
    ("enduring", "survive_link_down"),
    ("way_back", "return_path"),
    ("asking_again", "with_retries"),
    // Sentences.
    ("way back", "return path"),
    ("ways back", "return paths"),
    ("way there", "forward path"),
    ("under way", "in flight"),
    ("gone on with", "resumed"),
    ("can not", "cannot"),
    ("cannot be told", "cannot be determined"),
    ("had been given up", "had timed out"),
    ("behind hop", "beyond hop"),
    ("here or on the way", "at this hop or before it"),
    ("hardly a probe too many", "almost no wasted probes"),
    ("it is said that", "rtrace reports"),
    ("is not such an address", "is not an IPv6 address"),
    ("This takes", "Needs"),
    ("missing rounds", "rounds not sent"),
    ("is waiting waits", "waits"),
];

fn files(at: &Path, into: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            files(&entry.unwrap().path(), into);
        }
    } else if at
        .extension()
        .is_some_and(|ending| ["rs", "md", "toml"].iter().any(|it| ending == *it))
    {
        into.push(at.to_owned());
    }
}

/// Whether a word stands in a line for itself, and not as a part of another.
fn has(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        !is_part(before.chars().next_back()) && !is_part(rest.chars().nth(word.chars().count()))
    })
}

#[test]
fn better_words_are_used() {
    assert!(has("the way back to it", "way back") && !has("a midway back", "way back"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for part in
        ["src", "docs", "examples", "benches", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
    {
        files(&root.join(part), &mut all);
    }
    let mut found = Vec::new();
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            for (word, better) in BETTER.iter().filter(|(word, _)| has(line, word)) {
                let path = path.strip_prefix(root).unwrap().display();
                found.push(format!("{path}:{number}: \"{word}\": say \"{better}\""));
            }
        }
    }
    assert!(all.len() > 100 && found.is_empty(), "{}", found.join("\n"));
}
