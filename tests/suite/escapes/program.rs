//! The program, with every source hostile: networks, databases, recordings and documents, in every form.

use std::fs;
use std::path::{Path, PathBuf};

use rtrace::capture::{CaptureReader, Item};
use tempfile::TempDir;

use super::forms::Sources;
use super::{Form, check, check_characters};
use crate::support::{Run, path_in, run, scratch};

/// Text that is hostile to each form, and begins like a formula, like a mark, or like a line of its own.
const HOSTILE: [&str; 3] = [
    "=1+1\x1b[2J\u{202e}\"\\\u{9b}<b>&'`]\u{e0041}",
    "\u{301}\u{200f}-1\x07;\u{2028}\u{feff}\u{3164}\"];--></title>",
    "@x\r\n 9  192.0.2.1  1 ms\t\u{61c}\u{fdd0}#quot;,{}",
];

const ADDRESS: &str = "203.0.113.9";

const OF_TRACE: &[&str] = &["text", "json", "ndjson", "csv", "atlas", "scamper"];
const OF_ROUNDS: &[&str] = &["text", "json", "ndjson", "csv"];
const OF_PATHS: &[&str] = &["text", "json", "dot", "mermaid", "svg"];

/// A network, databases and recordings in which everything that is text is this.
struct Hostile {
    dir: TempDir,
    text: &'static str,
}

impl Hostile {
    fn new(text: &'static str) -> Self {
        let all = || text.to_owned();
        let sources =
            Sources { target: all(), name: all(), interface: all(), system: all(), city: all() };
        let dir = scratch();
        fs::write(path_in(&dir, "network.toml"), sources.topology()).unwrap();
        sources.systems().save(path_in(&dir, "asn.mmdb"));
        sources.cities().save(path_in(&dir, "geo.mmdb"));
        Self { dir, text }
    }

    fn path(&self, name: &str) -> String {
        path_in(&self.dir, name).to_str().unwrap().to_owned()
    }

    /// Options for all that can be shown, from everywhere.
    fn everything(&self) -> Vec<String> {
        let given = [
            "--asn-db".to_owned(),
            self.path("asn.mmdb"),
            "--geo-db".to_owned(),
            self.path("geo.mmdb"),
        ];
        [&["-A".to_owned()][..], &given].concat()
    }

    /// A recording of this command in which target and names are replaced by what is hostile: rtrace itself records them
    /// harmless.
    fn recording(&self, name: &str, command: &[&str]) -> PathBuf {
        let [target, router] = ['t', 'n'].map(|letter| String::from_iter([letter; 180]));
        let plain = Sources {
            target: target.clone(),
            name: router.clone(),
            interface: self.text.to_owned(),
            system: String::new(),
            city: String::new(),
        };
        let network = self.path("plain.toml");
        fs::write(&network, plain.topology()).unwrap();
        let path = path_in(&self.dir, name);
        let file = path.to_str().unwrap();
        run(&[command, &["--simulate", &network, "--pcap", file, &target]].concat());
        let mut bytes = fs::read(&path).unwrap();
        let json = serde_json::to_string(self.text).unwrap();
        let escaped = &json[1..json.len() - 1];
        assert!(put(&mut bytes, target.as_bytes(), escaped.as_bytes()) >= 1);
        assert!(put(&mut bytes, router.as_bytes(), self.text.as_bytes()) >= 1);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Runs the program well, with something to show and at most harmless words on stderr.
fn shown(args: &[&str], more: &[String]) -> Run {
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let done = run(&[args, &more].concat());
    assert!(done.status <= 1, "{args:?}: {}", done.stderr);
    assert_ne!(done.stdout, "", "{args:?}");
    check(&format!("{args:?}: stderr"), Form::Lines, &done.stderr);
    done
}

/// Puts `new`, filled up, where `old` is; says how often that was.
fn put(bytes: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    let mut count = 0;
    while let Some(at) = bytes.windows(old.len()).position(|window| window == old) {
        bytes[at..at + old.len()].fill(b'x');
        bytes[at..at + new.len()].copy_from_slice(new);
        count += 1;
    }
    count
}

fn check_run(what: &str, form: &str, done: &Run) {
    check(&format!("{what} {form}"), Form::of(form), &done.stdout);
}

#[test]
fn a_hostile_network_is_escaped_and_its_recording_replays_to_the_same() {
    for text in HOSTILE {
        let hostile = Hostile::new(text);
        let (network, file) = (hostile.path("network.toml"), hostile.path("out.pcapng"));
        for (command, forms) in [
            (&["trace", "-e", "--back"][..], OF_TRACE),
            (&["inspect"], &["text", "json"]),
            (&["watch", "--rounds", "2"], OF_ROUNDS),
            (&["report", "--rounds", "2", "-e"], &["text", "json", "csv"]),
            (&["paths"], OF_PATHS),
        ] {
            for form in forms {
                let simulated = ["--simulate", &network, "--format", form, text, "--pcap", &file];
                let more = if command[0] == "paths" { vec![] } else { hostile.everything() };
                let live = shown(&[command, &simulated].concat(), &more);
                check_run(command[0], form, &live);
                check_comments(Path::new(&file));
                if command[0] != "inspect" && command[0] != "report" {
                    let again = shown(&["replay", &file, "--format", form], &more);
                    assert_eq!(again.stdout, live.stdout, "{command:?} {form}");
                }
            }
        }
        let facts = shown(&["--simulate", &network, text, "--stats"], &[]);
        assert!(facts.stderr.contains("frames handled"));
    }
}

/// What a recording says in words, as whoever opens it in Wireshark reads it.
fn check_comments(file: &Path) {
    let mut reader = CaptureReader::new(fs::File::open(file).unwrap(), "x").unwrap();
    let mut names = 0;
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Section { comments } => {
                for comment in &comments {
                    check_characters("comment", comment);
                }
            }
            Item::Name { name, .. } => {
                check_characters("name", &name);
                names += 1;
            }
            _ => {}
        }
    }
    assert!(names > 0);
}

#[test]
fn a_hostile_recording_is_escaped_in_every_form() {
    for text in HOSTILE {
        let hostile = Hostile::new(text);
        let recorded =
            |name, command: &[&str]| hostile.recording(name, command).to_str().unwrap().to_owned();
        let trace = recorded("trace.pcapng", &["trace", "-e"]);
        let rounds = recorded("rounds.pcapng", &["watch", "--rounds", "2", "--format", "csv"]);
        let paths = recorded("paths.pcapng", &["paths"]);
        for (file, forms) in [(&trace, OF_TRACE), (&rounds, OF_ROUNDS), (&paths, OF_PATHS)] {
            for form in forms {
                let more = if file == &paths { vec![] } else { hostile.everything() };
                let shown = shown(&["replay", file, "--format", form], &more);
                check_run("replay", form, &shown);
            }
            let listed = shown(&["replay", file, "--list"], &[]);
            check_run("list", "text", &listed);
            let listed = shown(&["replay", file, "--list", "--json"], &[]);
            check_run("list", "json", &listed);
            check_run("show", "text", &shown(&["show", file, "--hop", "1"], &[]));
            check_run("diff", "text", &shown(&["diff", file, file], &[]));
            check_run("diff", "json", &shown(&["diff", "--json", file, file], &[]));
        }
        for form in ["text", "json"] {
            let inspected = shown(&["replay", &trace, "--inspect", "--format", form], &[]);
            check_run("inspect", form, &inspected);
        }
    }
}

/// A spreadsheet evaluates what begins like a formula, in quotes or not; numbers are left alone.
#[test]
fn no_cell_is_a_formula() {
    let hostile = Hostile::new(HOSTILE[0]);
    let file = hostile.recording("rounds.pcapng", &["watch", "--rounds", "1", "--format", "csv"]);
    let table = run(&["replay", file.to_str().unwrap(), "--format", "csv"]).stdout;
    assert!(table.contains("'=1+1?[2J?"), "{table}");
    let network = hostile.path("network.toml");
    let live = shown(
        &["report", "--rounds", "1", "--format", "csv", "--simulate", &network, HOSTILE[0]],
        &[],
    );
    assert!(live.stdout.contains("'=1+1?[2J?"), "{}", live.stdout);
    let plain = shown(&["--format", "csv", "--simulate", &network, ADDRESS], &[]);
    assert!(!plain.stdout.contains('\''), "{}", plain.stdout);
}
