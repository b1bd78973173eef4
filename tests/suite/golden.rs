//! Every recording in `fixtures/` replays to the text and the JSON beside it, and the JSON is as
//! `schema/trace.schema.json` says.

use std::fs;
use std::path::{Path, PathBuf};

use crate::live::text::hops;
use crate::support::{replay, root};

/// Every directory of `fixtures/`.
pub fn fixtures() -> Vec<PathBuf> {
    let dirs = fs::read_dir(root().join("fixtures")).unwrap().map(|entry| entry.unwrap().path());
    let mut dirs: Vec<PathBuf> = dirs.filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}

/// What a fixture has recorded.
pub fn recording(fixture: &Path) -> PathBuf {
    let candidates = ["capture.pcap", "capture.pcapng"].map(|name| fixture.join(name));
    candidates.into_iter().find(|path| path.exists()).expect("a fixture has a capture")
}

/// The options that a classic pcap has to be replayed with: those it was recorded with.
pub fn options(fixture: &Path) -> Vec<String> {
    let args = fs::read_to_string(fixture.join("args")).unwrap();
    args.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn fixtures_replay_to_their_reports() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 8, "at least eight fixtures");
    for fixture in fixtures {
        let expected = |name: &str| fs::read_to_string(fixture.join(name)).unwrap();
        let args = options(&fixture);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let text = replay(&recording(&fixture), &args);
        assert_eq!(text.stdout, expected("expected.txt"), "{}", fixture.display());
        assert_eq!(text.stderr, "", "{}", fixture.display());
        let json = replay(&recording(&fixture), &[args.as_slice(), &["--json"]].concat());
        assert_eq!(json.stdout, expected("expected.json"), "{}", fixture.display());
        assert_eq!(json.status, text.status);
    }
}

#[test]
fn a_pcapng_needs_no_options() {
    let carried = fixtures().into_iter().filter(|fixture| fixture.join("capture.pcapng").exists());
    let mut seen = 0;
    for fixture in carried {
        let expected = fs::read_to_string(fixture.join("expected.txt")).unwrap();
        assert_eq!(replay(&recording(&fixture), &[]).stdout, expected, "{}", fixture.display());
        seen += 1;
    }
    assert!(seen > 0, "no fixture is a pcapng");
}

#[test]
fn traceroute_saw_the_same_hops() {
    let mut seen = 0;
    for fixture in fixtures().into_iter().filter(|it| it.join("traceroute.txt").exists()) {
        let report = |name: &str| fs::read_to_string(fixture.join(name)).unwrap();
        let (ours, theirs) = (report("expected.txt"), report("traceroute.txt"));
        assert_eq!(ours.lines().next(), theirs.lines().next(), "{}", fixture.display());
        assert_eq!(hops(&ours), hops(&theirs), "{}", fixture.display());
        seen += 1;
    }
    assert!(seen >= 10, "every type of probe, over IPv4 and IPv6");
}

/// What checks a document against the schema.
pub fn validator() -> jsonschema::Validator {
    let schema = fs::read_to_string(root().join("schema/trace.schema.json")).unwrap();
    let schema = serde_json::from_str(&schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[test]
fn every_golden_is_as_the_schema_says() {
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let validator = validator();
    for fixture in fixtures() {
        let document = read(fixture.join("expected.json"));
        let faults: Vec<String> = validator
            .iter_errors(&document)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", fixture.display());
        // Those that nobody waited for are not lost.
        let hops = document["hops"].as_array().unwrap().iter();
        let probes = hops.flat_map(|hop| hop["probes"].as_array().unwrap());
        let lost = probes.filter(|probe| probe["outcome"] == "lost").count() as u64;
        let others: u64 = ["sizers", "confirmations"]
            .iter()
            .filter_map(|rows| document[rows].as_array())
            .flatten()
            .filter(|probe| probe["outcome"] == "lost")
            .count() as u64;
        let scout = u64::from(document["scout"]["outcome"] == "lost");
        let all = lost + others + scout;
        assert_eq!(Some(all), document["totals"]["lost"].as_u64(), "{}", fixture.display());
    }
    let mut wrong = read(fixtures()[0].join("expected.json"));
    wrong["totals"]["sent"] = "three".into();
    assert!(!validator.is_valid(&wrong), "the schema can fail");
}
