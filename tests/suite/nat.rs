//! What was rewritten on the way still finds its probe, and says so; what only looks alike does not.

use std::fs;

use serde_json::Value;

use crate::support::{path_in, run, scratch};

const TARGET: &str = "203.0.113.9";

/// A path of three routers, the second of which has what `behaviour` says.
fn topology(behaviour: &str) -> String {
    format!(
        "seed = 1\n\
         [[hop]]\naddress = \"192.0.2.1\"\ndelay = \"1ms\"\n\
         [[hop]]\naddress = \"198.51.100.1\"\ndelay = \"1ms\"\n{behaviour}\n\
         [[hop]]\naddress = \"198.51.100.5\"\ndelay = \"1ms\"\n\
         [target]\ndelay = \"1ms\"\n"
    )
}

/// The JSON of a trace over that path with these options.
fn traced(behaviour: &str, options: &[&str]) -> Value {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    fs::write(&file, topology(behaviour)).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let report = run(&[&[simulate.as_str(), "--json", "-n", TARGET], options].concat());
    assert_eq!(report.stderr, "");
    serde_json::from_str(&report.stdout).unwrap()
}

/// Per hop up to the end: who answered the first probe, and whether the quote was rewritten.
fn hops(document: &Value) -> Vec<(String, bool)> {
    let end = document["stop"]["ttl"].as_u64();
    let hops = document["hops"].as_array().unwrap().iter();
    let reported = hops.filter(|hop| end.is_none_or(|end| hop["ttl"].as_u64().unwrap() <= end));
    let first = |hop: &Value| hop["probes"][0]["replies"][0].clone();
    let told = |reply: Value| {
        let responder = reply["responder"].as_str().unwrap_or("*").to_owned();
        (responder, reply["rewritten"] == true)
    };
    reported.map(|hop| told(first(hop))).collect()
}

fn expected(rewritten_from: usize) -> Vec<(String, bool)> {
    let path = ["192.0.2.1", "198.51.100.1", "198.51.100.5", TARGET];
    let numbered = path.iter().enumerate();
    numbered.map(|(at, hop)| ((*hop).to_owned(), at >= rewritten_from)).collect()
}

#[test]
fn a_quote_that_nat_did_not_restore_finds_its_probe() {
    let nat = "nat = { address = \"198.51.100.99\", quotes = \"outside\" }";
    for options in [&[][..], &["-I"], &["-T"], &["-U"], &["--flow", "paris"], &["--udplite"]] {
        let document = traced(nat, options);
        // What the router itself and those behind it quote shows the other address.
        let seen = hops(&document);
        let path: Vec<_> = seen.iter().map(|(hop, _)| hop.clone()).collect();
        let right: Vec<_> = expected(0).into_iter().map(|(hop, _)| hop).collect();
        assert_eq!(path, right, "{options:?}");
        assert!(!seen[0].1, "before the router nothing was rewritten");
        assert!(seen[2].1, "behind it the quotes are, {options:?}");
    }
}

#[test]
fn a_checksum_that_nat_left_translated_is_told() {
    let nat = "nat = { address = \"198.51.100.99\", quotes = \"restored\" }";
    let seen = hops(&traced(nat, &[]));
    assert_eq!(seen.iter().map(|(hop, _)| hop.as_str()).collect::<Vec<_>>().len(), 4);
    assert!(seen[2].1 && !seen[0].1, "{seen:?}");
    assert_eq!(hops(&traced("", &[])), expected(4), "without NAT nothing is rewritten");
}

#[test]
fn an_inspection_says_between_which_hops_it_was() {
    let nat = "nat = { address = \"198.51.100.99\", quotes = \"outside\" }";
    let document = traced(nat, &["--inspect"]);
    let changes = document["changes"].as_array().unwrap();
    let source = changes.iter().find(|it| it["field"] == "source address").expect("a change");
    assert_eq!(
        (&source["sent"], &source["quoted"]),
        (&"192.0.2.2".into(), &"198.51.100.99".into())
    );
    assert_eq!((&source["after_hop"], &source["at_hop"]), (&2.into(), &3.into()), "{document:#}");
    let quotes = document["quotes"].as_array().unwrap();
    assert!(quotes.iter().any(|quote| quote["checksum_fits"] == true), "NAT adjusts checksums");
}

#[test]
fn what_only_looks_alike_is_not_believed() {
    for forged in ["id", "destination"] {
        for options in [&[][..], &["-I"], &["-T"]] {
            let document = traced(&format!("forged = \"{forged}\""), options);
            let probes = document["hops"][1]["probes"].as_array().unwrap();
            for probe in probes {
                let replies = probe["replies"].as_array().unwrap();
                let fine = replies.iter().all(|reply| reply["responder"] == "198.51.100.1");
                assert!(fine && replies.len() <= 1, "{forged} {options:?}: {probe}");
            }
        }
    }
}

#[test]
fn another_source_address_is_told_since_it_may_be_nat() {
    let document = traced("forged = \"source\"", &[]);
    let replies = document["hops"][1]["probes"][0]["replies"].as_array().unwrap();
    assert_eq!(replies.len(), 2, "the forged one, which has the right IP-ID, and the genuine one");
    assert_eq!(replies.iter().filter(|reply| reply["rewritten"] == true).count(), 1);
}

#[test]
fn a_probe_and_its_quote_are_shown_side_by_side() {
    let dir = scratch();
    let [file, recording] = ["path.toml", "out.pcapng"].map(|name| path_in(&dir, name));
    let nat = "nat = { address = \"198.51.100.99\", quotes = \"outside\" }";
    fs::write(&file, topology(nat)).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let recording = recording.to_str().unwrap();
    run(&[&simulate, "-n", TARGET, "--pcap", recording]);
    let shown = run(&["show", recording, "--hop", "3"]);
    assert_eq!((shown.status, shown.stderr.as_str()), (0, ""));
    let changed: Vec<_> = shown.stdout.lines().filter(|line| line.ends_with("* changed")).collect();
    assert!(changed.iter().any(|line| line.starts_with("source address ")), "{}", shown.stdout);
    assert!(changed.iter().all(|line| !line.starts_with("destination")), "{}", shown.stdout);
    // The source address is in octets 12 to 15; the first two of them differ, and the last.
    let quoted = shown.stdout.split("\nquoted").nth(1).unwrap();
    let marks = quoted.lines().nth(2).unwrap();
    assert_eq!(marks.get(8 + 3 * 12..), Some("^^ ^^ ^^ ^^"), "{quoted}");
    // The same by the number of its frame, and by that of the reply.
    let first = shown.stdout.lines().next().unwrap();
    let frame = first.strip_prefix("frame ").and_then(|it| it.split(':').next()).unwrap();
    assert_eq!(run(&["show", recording, frame]).stdout, shown.stdout);
    let wrong = run(&["show", recording, "9999"]);
    assert_eq!((wrong.status, wrong.stderr.lines().count()), (2, 1), "{}", wrong.stderr);
}
