//! Several targets in one run: one recording, one stream, a report for each; live and replayed alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{path_in, run, scratch};

const TARGETS: [&str; 3] = ["203.0.113.9", "203.0.113.77", "2001:db8:300::9"];

struct Recorded {
    _directory: tempfile::TempDir,
    file: PathBuf,
    said: String,
}

/// Rounds of all targets through the built-in network, reported with these options and recorded.
fn watched(options: &[&str]) -> Recorded {
    let directory = scratch();
    let file = path_in(&directory, "run.pcapng");
    let mut args = vec!["watch", "--simulate", "--report", "-c", "5", "--pcap"];
    args.push(file.to_str().unwrap());
    args.extend(options);
    args.extend(TARGETS);
    let run = run(&args);
    assert_eq!((run.status, &*run.stderr), (0, ""));
    Recorded { said: run.stdout, file, _directory: directory }
}

fn replayed(recorded: &Recorded, options: &[&str]) -> String {
    let run = run(&[&["replay", recorded.file.to_str().unwrap()][..], options].concat());
    assert_eq!((run.status, &*run.stderr), (0, ""));
    run.stdout
}

/// The target that a line is about.
fn target(line: &Value) -> &str {
    let target = &line["target"];
    target.as_str().or_else(|| target["address"].as_str()).expect("each line says its target")
}

#[test]
fn a_run_of_several_targets_replays_to_the_same_bytes_in_every_form() {
    for form in ["text", "json", "ndjson", "csv"] {
        let recorded = watched(&["--format", form]);
        assert_eq!(replayed(&recorded, &["--format", form]), recorded.said, "{form}");
    }
}

#[test]
fn lines_of_a_stream_say_their_target_and_each_target_has_an_end() {
    let recorded = watched(&["--format", "ndjson"]);
    let lines: Vec<Value> =
        recorded.said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut events: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in &lines {
        events.entry(target(line)).or_default().push(line["event"].as_str().unwrap());
    }
    assert_eq!(events.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from(TARGETS));
    for (target, events) in events {
        assert_eq!(events.first(), Some(&"begin"), "{target}");
        assert_eq!(events.last(), Some(&"end"), "{target}");
        for (event, count) in [("begin", 1), ("round", 5), ("end", 1)] {
            assert_eq!(events.iter().filter(|it| **it == event).count(), count, "{target} {event}");
        }
    }
    // They are lines of one run, not one run after another.
    let rounds = lines.iter().filter(|line| line["event"] == "round");
    let of_whom: Vec<_> = rounds.map(target).collect();
    assert_eq!(of_whom[..3], TARGETS);
    assert_eq!(of_whom[3..6], TARGETS);
}

#[test]
fn one_of_them_replays_by_itself() {
    let recorded = watched(&["--format", "ndjson"]);
    for of in TARGETS {
        let alone = replayed(&recorded, &[of, "--format", "ndjson"]);
        let among: Vec<_> = recorded
            .said
            .lines()
            .filter(|line| target(&serde_json::from_str(line).unwrap()) == of)
            .map(|line| line.replace(&format!(",\"target\":\"{of}\"}}"), "}"))
            .collect();
        assert_eq!(alone.lines().collect::<Vec<_>>(), among, "{of}");
    }
}

#[test]
fn a_report_of_each_says_whose_it_is() {
    let recorded = watched(&[]);
    let reports: Vec<_> = recorded.said.split("\n\n").collect();
    assert_eq!(reports.len(), 3, "{}", recorded.said);
    for (report, target) in reports.iter().zip(TARGETS) {
        assert!(report.starts_with("Start: "), "{report}");
        assert!(report.lines().next().unwrap().ends_with(&format!(" to {target}")), "{report}");
    }
    let documents: Vec<Value> = serde_json::from_str(&watched(&["--json"]).said).unwrap();
    let targets = documents.iter().map(|it| it["report"]["mtr"]["dst"].as_str().unwrap());
    assert_eq!(targets.collect::<Vec<_>>(), TARGETS);
}

#[test]
fn files_that_rotate_are_of_one_target() {
    let run = run(&[
        "watch",
        "--simulate",
        "--report",
        "--pcap",
        "/nowhere/run.pcapng",
        "--rotate",
        "10k",
        "203.0.113.9",
        "203.0.113.77",
    ]);
    assert_eq!(run.status, 2);
    assert_eq!(
        run.stderr,
        "rtrace: --rotate is for the recording of one target: leave it out, or watch each target by itself\n"
    );
}

#[test]
fn a_target_is_named_once_and_has_its_own_port() {
    for (args, said) in [
        (
            &["203.0.113.9", "target.example"][..],
            "rtrace: 203.0.113.9 and target.example are one target, 203.0.113.9: name it once\n",
        ),
        (
            &["--sport", "4000", "203.0.113.9", "203.0.113.77"],
            "rtrace: --sport is the source port of one target: leave it out\n",
        ),
    ] {
        let run = run(&[&["watch", "--simulate", "--report", "-c", "1"], args].concat());
        assert_eq!((run.status, &*run.stderr, &*run.stdout), (2, said, ""), "{args:?}");
    }
}
