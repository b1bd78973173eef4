//! Loops and return paths over simulated networks: what is one, what only looks like one, and that recordings agree.

use std::fs;

use serde_json::Value;

use crate::golden::validator;
use crate::support::{line_of, path_in, replay, run, scratch};

const TARGET: &str = "203.0.113.9";

/// The text of a trace over this network and its JSON, both of which a recording repeats.
fn traced(topology: &str, options: &[&str]) -> (String, Value) {
    let dir = scratch();
    let (file, recording) = (path_in(&dir, "path.toml"), path_in(&dir, "a.pcapng"));
    fs::write(&file, topology).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let pcap = [&simulate, "-n", "--pcap", recording.to_str().unwrap(), TARGET];
    let text = run(&[&pcap, options].concat());
    assert_eq!(text.stderr, "");
    assert_eq!(replay(&recording, &[]).stdout, text.stdout);
    let json = run(&[&pcap, options, &["--json"]].concat()).stdout;
    assert_eq!(replay(&recording, &["--json"]).stdout, json);
    let document = serde_json::from_str(&json).unwrap();
    assert!(validator().is_valid(&document));
    (text.stdout, document)
}

const TRIES: [&[&str]; 6] = [&[], &["-q1"], &["-N1"], &["-I"], &["-T"], &["--flow", "paris"]];

#[test]
fn a_loop_is_named_and_ends_the_trace() {
    let between = |lines: [&str; 4], first: u8, last: u8, end: u8| {
        for options in TRIES {
            let (text, document) = traced(&line_of(&lines, "1ms", ""), options);
            let said = format!("\n    loop: hops {first}-{last} repeat\n");
            assert!(text.ends_with(&said), "{options:?} {text}");
            let stop = &document["stop"];
            assert_eq!((&stop["reason"], &stop["ttl"]), (&"loop".into(), &end.into()));
            assert_eq!(stop["loop"], serde_json::json!({ "first": first, "last": last }));
            if options == ["-N1"] {
                let beyond = document["totals"]["sent"].as_u64().unwrap() - 3 * u64::from(end);
                assert!(beyond <= 1, "one at most is asked beyond it, if its last hop is silent");
            }
        }
    };
    between(["", "name = \"a\"", "next = [\"a\"]", ""], 2, 3, 7);
    between(["", "name = \"a\"", "", "next = [\"a\"]"], 2, 4, 10);
    between(["", "name = \"a\"", "silent = true\nnext = [\"a\"]", ""], 2, 3, 7);
}

#[test]
fn what_only_looks_like_a_loop_is_none() {
    let branches = "next = [\"short\", \"long\"]\nbalance = \"packet\"";
    let cases: [([&str; 4], &str); 5] = [
        (["", "expiry = \"forward-zero\"", "", ""], ""),
        (["", "expiry = \"forward-zero\"", "expiry = \"forward-zero\"", ""], ""),
        ([branches, "name = \"long\"", "", "name = \"short\""], ""),
        // All behind it say what they say from its address.
        (["", "", "reply_from = \"198.51.100.2\"", "reply_from = \"198.51.100.2\""], ""),
        (["", "", "", ""], "ports = \"open\""),
    ];
    for (lines, target) in cases {
        for options in TRIES {
            let (text, document) = traced(&line_of(&lines, "1ms", target), options);
            assert_eq!(document["stop"]["reason"], "target-reached", "{options:?} {text}");
            assert!(!text.contains("loop"), "{text}");
        }
    }
}

#[test]
fn a_way_back_that_is_not_as_long_is_marked() {
    let lines = ["", "return_hops = 5", "reply_ttl = 64", "reply_ttl = 128"];
    let topology = line_of(&lines, "1ms", "return_hops = 1");
    let (text, document) = traced(&topology, &["--back", "-q2"]);
    let marks: Vec<_> =
        text.lines().map(|line| line.split('\'').nth(1).unwrap_or_default()).collect();
    assert_eq!(marks, ["", "", "-6", "", "", "-2"], "{text}");
    // Beyond the target, not all that was asked on a guess is waited for.
    let hops = document["hops"].as_array().unwrap()[..5].iter();
    let replies = hops.map(|hop| &hop["probes"][0]["replies"][0]);
    let told =
        replies.map(|reply| (reply["back_hops"].as_u64().unwrap(), reply["asymmetric"] == true));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [(1, false), (6, true), (3, false), (4, false), (2, true)]
    );
    let (plain, document) = traced(&topology, &[]);
    assert!(
        !plain.contains('\'') && !document.to_string().contains("back_hops"),
        "unasked, nothing is said"
    );
}
