//! `rtrace diff`, run over simulated networks: no alarm where load balancers alone differ, one where the path does.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::support::{line_of, path_in, root, run, scratch};

/// Runs of the program over topologies, and their comparisons.
struct Bench {
    dir: TempDir,
    validator: jsonschema::Validator,
}

impl Bench {
    fn new() -> Self {
        let schema = fs::read_to_string(root().join("schema/diff.schema.json")).unwrap();
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        Self { dir: scratch(), validator }
    }

    /// Runs `rtrace ARGS` over a topology; what it says on stdout and its recording are files of this name.
    fn traced(&self, name: &str, topology: &str, args: &[&str]) -> [PathBuf; 2] {
        let [network, out, recording] =
            ["toml", "out", "pcapng"].map(|end| path_in(&self.dir, &format!("{name}.{end}")));
        fs::write(&network, topology).unwrap();
        let simulate = format!("--simulate={}", network.display());
        let record = ["-n", "--pcap", recording.to_str().unwrap(), "203.0.113.9"];
        let done = run(&[args, &[simulate.as_str()], &record].concat());
        assert!(done.status <= 1 && done.stderr.is_empty(), "{}", done.stderr);
        fs::write(&out, done.stdout).unwrap();
        [out, recording]
    }

    /// The status, what is said, and the document, which agree.
    fn diff(&self, before: &Path, after: &Path) -> (i32, String, Value) {
        let files = ["diff", before.to_str().unwrap(), after.to_str().unwrap()];
        let (text, json) = (run(&files), run(&[&files[..], &["--json"]].concat()));
        if text.status == 2 {
            return (2, text.stderr, Value::Null);
        }
        let document: Value = serde_json::from_str(&json.stdout).unwrap();
        if let Err(error) = self.validator.validate(&document) {
            panic!("{error} at {}: {document}", error.instance_path());
        }
        assert_eq!(document["changed"], text.status == 1, "{}", text.stdout);
        assert_eq!((json.status, &document["format"]), (text.status, &"rtrace-diff".into()));
        (text.status, text.stdout, document)
    }
}

/// The built-in network with other random numbers: its balancer sends the same flows other ways.
fn builtin(seed: u32) -> String {
    let text = fs::read_to_string(root().join("src/link/sim/builtin.toml")).unwrap();
    text.replace("seed = 7", &format!("seed = {seed}"))
}

/// The same without its fifth hop, the router where the branches meet again.
fn shortened(seed: u32) -> String {
    let text = builtin(seed);
    let hops: Vec<&str> = text.split("[[hop]]").collect();
    [&hops[..5], &hops[6..]].concat().join("[[hop]]")
}

#[test]
fn load_balancing_raises_no_alarm_and_another_router_does() {
    let bench = Bench::new();
    let port = |seed: u32| (40_000 + seed).to_string();
    let replaced = |seed| builtin(seed).replace("198.51.100.22", "198.51.100.99");
    for flow in ["classic", "paris"] {
        let trace = |name: &str, topology: &str, seed: u32| {
            let args = ["--flow", flow, "--json", "-q8", "--sport", &port(seed)];
            bench.traced(name, topology, &args)
        };
        let [before, _] = trace("before", &builtin(7), 7);
        for seed in 1..=10 {
            let [_, after] = trace("after", &builtin(seed), seed);
            let (status, said, _) = bench.diff(&before, &after);
            assert_eq!(status, 0, "{flow} {seed}: {said}");
            if flow == "paris" {
                continue;
            }
            let [after, _] = trace("after", &replaced(seed), seed);
            let (status, said, _) = bench.diff(&before, &after);
            assert_eq!(status, 1, "{seed}: {said}");
            assert!(said.contains(" 5  replaced: 198.51.100.22 by 198.51.100.99\n"), "{said}");
            let [after, _] = trace("after", &shortened(seed), seed);
            let (status, said, _) = bench.diff(&before, &after);
            assert_eq!(status, 1, "{seed}: {said}");
            assert!(said.contains(" 5  removed: 198.51.100.22 (was hop 5)\n"), "{said}");
            assert!(!said.contains("\n 6  ") && said.contains("length: 10 is now 9\n"), "{said}");
        }
        // One flow may take another branch next time, unless it is the same one.
        let [other, _] = trace("other", &replaced(7), 8);
        let [same, _] = trace("same", &replaced(7), 7);
        assert_eq!(bench.diff(&before, &same).0, 1, "{flow}");
        let (status, said, _) = bench.diff(&before, &other);
        assert_eq!(status, i32::from(flow == "classic"), "{flow}: {said}");
        let unclear =
            said.contains(" alone show this with p = 1.00; ") && said.contains("the same --sport");
        assert!(flow == "classic" || unclear, "{said}");
    }
}

#[test]
fn a_longer_way_is_told_once() {
    let bench = Bench::new();
    let slower = |seed| builtin(seed).replace("delay = \"1.2ms\"", "delay = \"9ms\"");
    let [before, _] = bench.traced("before", &builtin(7), &["--json"]);
    let [after, _] = bench.traced("after", &slower(7), &["--json"]);
    let (status, said, found) = bench.diff(&before, &after);
    assert!(status == 0 && said.contains("RTT from hop 5 on: +15."), "{said}");
    assert_eq!(said.matches("RTT from").count() + said.matches("RTT at").count(), 1, "{said}");
    assert!(said.contains("too few RTTs at hops 1-5, 7-10"), "{said}");
    assert_eq!(
        (&found["rtts"]["from"]["ttl"], &found["rtts"]["at"]),
        (&5.into(), &Value::Array(vec![]))
    );
    let [before, _] = bench.traced("before", &builtin(7), &["--json", "-q5"]);
    assert!(!bench.diff(&before, &before).1.contains("too few RTTs at hops 1"), "5 are enough");
}

#[test]
fn rewrites_are_compared_as_far_as_both_tell_of_them() {
    let bench = Bench::new();
    let nat = "nat = { address = \"198.51.100.99\", quotes = \"outside\" }";
    let plain = line_of(&["", "", "", ""], "1ms", "");
    let [json, recording] = bench.traced("plain", &plain, &["--json"]);
    let [nat_json, nat_recording] =
        bench.traced("nat", &line_of(&["", nat, "", ""], "1ms", ""), &["--json"]);
    for (before, after) in [(&json, &nat_json), (&recording, &nat_json), (&json, &nat_recording)] {
        let (status, said, found) = bench.diff(before, after);
        assert_eq!(status, 1, "{said}");
        assert!(
            said.contains("rewritten now: address, port or checksum from hop 3 on\n"),
            "{said}"
        );
        assert_eq!(found["rewrites"].as_array().unwrap().len(), 1, "{found}");
    }
    let (status, said, _) = bench.diff(&nat_recording, &recording);
    let whole = "not rewritten now: source address (before to 198.51.100.99, from hop 3 on)\n";
    assert!(status == 1 && said.contains(whole), "{said}");
    assert!(!said.contains("port or"), "{said}");
    assert_eq!(bench.diff(&nat_recording, &nat_json).0, 0);
}

#[test]
fn all_rounds_are_compared_together() {
    let bench = Bench::new();
    // Each round asks by the same flows.
    let watched = |name: &str, topology: &str, port: &str| {
        let args = ["report", "--rounds", "6", "-q8", "--json", "--sport", port];
        bench.traced(name, topology, &args)
    };
    let [report, before] = watched("before", &builtin(7), "40007");
    let [_, after] = watched("after", &builtin(8), "40008");
    let (status, said, found) = bench.diff(&before, &after);
    assert_eq!((status, &found["rounds"]["after"]), (0, &6.into()), "{said}");
    assert!(said.contains("rounds compared, all together: 6 before, 6 now\n"), "{said}");
    let [_, after] =
        watched("after", &builtin(9).replace("198.51.100.22", "198.51.100.99"), "40009");
    assert_eq!(bench.diff(&before, &after).0, 1);
    let (status, said, _) = bench.diff(&before, &report);
    assert!(status == 2 && said.contains("a report of rounds"), "{said}");
}

#[test]
fn what_a_run_that_was_not_finished_lacks_is_no_change() {
    let bench = Bench::new();
    let [whole, _] = bench.traced("whole", &builtin(7), &["paths", "--json"]);
    let [part, _] = bench.traced("part", &builtin(7), &["paths", "--json", "--max-probes", "30"]);
    for (before, after, which) in [(&whole, &part, "second"), (&part, &whole, "first")] {
        let (status, said, found) = bench.diff(before, after);
        assert_eq!(status, 0, "{said}");
        assert!(said.contains(&format!("the {which} run was not finished")), "{said}");
        assert_ne!(found["routers"], Value::Array(vec![]));
    }
    let [_, recording] = bench.traced("trace", &builtin(7), &["--json"]);
    let bytes = fs::read(&recording).unwrap();
    let torn = path_in(&bench.dir, "torn.pcapng");
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    for (before, after) in [(&recording, &torn), (&torn, &recording)] {
        let (status, said, _) = bench.diff(before, after);
        assert!(status == 0 && said.contains("run was not finished"), "{said}");
    }
}

#[test]
fn other_forms_are_refused_by_their_names() {
    let bench = Bench::new();
    let [trace, _] = bench.traced("trace", &builtin(7), &["--json"]);
    for (args, words) in [
        (&["--format", "ndjson"][..], "--format ndjson"),
        (&["--format", "atlas"], "RIPE Atlas"),
        (&["--format", "scamper"], "scamper"),
        (&["--inspect", "--json"], "an inspection"),
    ] {
        let [other, _] = bench.traced("other", &builtin(7), args);
        let (status, said, _) = bench.diff(&trace, &other);
        assert!(status == 2 && said.contains(words) && said.contains("--json"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
