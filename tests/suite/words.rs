//! Words that rtrace does not use, to its users or in its code, and what it says instead.

use std::fs;
use std::path::{Path, PathBuf};

/// A word or phrase, and the better one.
const BETTER: [(&str, &str); 48] = [
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
    ("sizer", "size probe"),
    ("so many", "this number of"),
    ("So many", "This number of"),
    ("told apart", "distinguished"),
    ("of them that", "of those that"),
    ("is to be told", "to report"),
    ("to be had", "there is"),
    ("The same of", "what it is"),
    ("is said of", "the message about"),
    ("such probes", "probes of this type"),
    ("ways part", "paths diverge"),
    ("told otherwise", "by default"),
    ("gone by", "over"),
    ("had been told", "was reported"),
    ("not such an", "not an"),
    ("any more", "no longer"),
    ("came in by", "came in on"),
    ("are missing: no probe", "were not sent: no probe"),
    ("ask for at most", "choose at most"),
    ("a time to come", "a future time"),
    ("say by which", "name"),
];

/// Files that still have some of these.
const LATER: [&str; 1] = [
    // The comment on a packet of a recording, which other tools may read.
    "src/recording.rs",
];
/// How many of the words have been avoided everywhere for long.
const SETTLED: usize = 27;
/// The longest line of a paragraph, and the most lines.
const PARAGRAPH: (usize, usize) = (100, 5);

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
    for part in [
        "crates",
        "src",
        "docs",
        "examples",
        "benches",
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
    ] {
        files(&root.join(part), &mut all);
    }
    let mut found = Vec::new();
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(root).unwrap().to_str().unwrap();
        let is_later = LATER.iter().any(|later| path.starts_with(later));
        let words = if is_later { &BETTER[..SETTLED] } else { &BETTER[..] };
        for (number, line) in (1..).zip(text.lines()) {
            for (word, better) in words.iter().filter(|(word, _)| has(line, word)) {
                found.push(format!("{path}:{number}: \"{word}\": say \"{better}\""));
            }
        }
    }
    assert!(all.len() > 100 && found.is_empty(), "{}", found.join("\n"));
}

/// The paragraphs and items of a page, each with the number of its first line: no headings, tables or code.
fn paragraphs(page: &str) -> Vec<(usize, Vec<&str>)> {
    let mut all: Vec<(usize, Vec<&str>)> = Vec::new();
    let (mut is_code, mut goes_on) = (false, false);
    for (number, line) in (1..).zip(page.lines()) {
        let text = line.trim_start();
        let is_fence = text.starts_with("```");
        is_code ^= is_fence;
        let is_apart = is_code || is_fence || text.is_empty() || text.starts_with(['|', '#']);
        if is_apart || !goes_on && line.starts_with("    ") {
            goes_on = false;
            continue;
        }
        let number_of_item = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_item = text.starts_with("- ") || text.starts_with("* ");
        if is_item || text != number_of_item && number_of_item.starts_with(". ") || !goes_on {
            all.push((number, Vec::new()));
        }
        goes_on = true;
        all.last_mut().unwrap().1.push(line);
    }
    all
}

#[test]
fn paragraphs_of_the_docs_are_short() {
    let page = "# a\nb\nc\n\n    code\n| x |\n- d\n  e\n- f\n1. g\n```\nh\n```\ni";
    let starts: Vec<_> = paragraphs(page).iter().map(|(at, lines)| (*at, lines.len())).collect();
    assert_eq!(starts, [(2, 2), (7, 2), (9, 1), (10, 1), (14, 1)]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for part in ["docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        files(&root.join(part), &mut pages);
    }
    let (width, most) = PARAGRAPH;
    let mut found = Vec::new();
    for path in &pages {
        let text = fs::read_to_string(path).unwrap();
        let is_long = |lines: &[&str]| {
            lines.len() > most || lines.iter().any(|line| line.chars().count() > width)
        };
        for (number, _) in paragraphs(&text).iter().filter(|(_, lines)| is_long(lines)) {
            found.push(format!("{}:{number}", path.display()));
        }
    }
    assert!(pages.len() >= 10 && found.is_empty(), "over {most} lines of {width}: {found:?}");
}
