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
        // What the router itself and those beyond it quote shows the other address.
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

/// What a router rewrites, the options, who is shown at the third hop and at the target's, and what is said of it.
type Case = (&'static str, &'static [&'static str], [Option<&'static str>; 2], &'static str);

const THIRD: Option<&str> = Some("198.51.100.5");
const REACHED: [Option<&str>; 2] = [THIRD, Some(TARGET)];
/// Whoever else got it answers with an error about it, or in the probe's own protocol, which quotes nothing.
const ELSEWHERE: [Option<&str>; 2] = [THIRD, Some("203.0.113.8")];
const UNQUOTED: [Option<&str>; 2] = [THIRD, None];
const LOST: [Option<&str>; 2] = [None, None];

const REWRITTEN: &[Case] = &[
    ("id = 77", &[], REACHED, "identification"),
    ("id = 0", &[], REACHED, "identification"),
    ("id = 77", &["--flow", "paris"], REACHED, "identification"),
    ("id = 77", &["-U"], REACHED, "identification"),
    ("id = 77", &["-I"], REACHED, "identification"),
    ("id = 77", &["-T"], REACHED, "identification"),
    ("id = 77", &["--udplite"], REACHED, "identification"),
    ("destination = \"203.0.113.8\"", &[], ELSEWHERE, "destination address"),
    ("destination = \"203.0.113.8\"", &["--flow", "dublin"], ELSEWHERE, "destination address"),
    ("destination = \"203.0.113.8\"", &["-I"], UNQUOTED, "destination address"),
    ("destination = \"203.0.113.8\"", &["-T"], UNQUOTED, "destination address"),
    ("port = 54", &[], REACHED, "destination port"),
    ("port = 54", &["--flow", "paris"], REACHED, "destination port"),
    ("port = 54, destination = \"203.0.113.8\"", &[], ELSEWHERE, "destination port"),
    ("port = 54, id = 77", &["-T"], REACHED, "destination port"),
    // Nothing tells these apart any more.
    ("id = 77", &["--flow", "dublin"], LOST, ""),
    ("port = 54, id = 77", &[], LOST, ""),
    ("id = 77, destination = \"203.0.113.8\"", &[], LOST, ""),
];

/// Runs and replays them: a recording has what is needed for the same report, be it a pcapng or a pcap.
#[test]
fn what_is_left_of_a_quote_finds_its_probe_or_is_counted() {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let simulate = format!("--simulate={}", file.display());
    for (rewrite, options, [third, last], field) in REWRITTEN {
        fs::write(&file, topology(&format!("rewrite = {{ {rewrite} }}"))).unwrap();
        for name in ["out.pcapng", "out.pcap"] {
            let recording = path_in(&dir, name);
            let recording = recording.to_str().unwrap();
            let common = [&["--json", "-n", "-m", "6"], *options].concat();
            let live = [&common[..], &[&simulate, TARGET, "--pcap", recording]].concat();
            let live = run(&live);
            // A classic pcap does not say what was asked.
            let asked = if name == "out.pcap" { &common[..] } else { &["--json", "-n"] };
            let again = run(&[&["replay", recording], asked].concat());
            assert_eq!(again.stdout, live.stdout, "{rewrite} {options:?} {name}");
            let document: Value = serde_json::from_str(&live.stdout).unwrap();
            let hops: Vec<_> = document["hops"].as_array().unwrap().iter().collect();
            let reply = |at: usize| &hops[at]["probes"][0]["replies"][0];
            assert_eq!(reply(2)["responder"].as_str(), *third, "{rewrite} {options:?}");
            assert_eq!(reply(3)["responder"].as_str(), *last, "{rewrite} {options:?}");
            assert_eq!(reply(2)["rewritten"] == true, third.is_some(), "{rewrite} {options:?}");
            assert_ne!(reply(1)["rewritten"], true, "the router itself quotes what came to it");
            let counted = document["totals"]["orphans"].as_u64().is_some();
            assert_eq!(counted, third.is_none(), "{rewrite} {options:?}");
            let inspected = run(&[&["replay", recording, "--inspect"], asked].concat());
            let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
            let changes = inspected["changes"].as_array().unwrap();
            let change = changes.iter().find(|it| it["field"] == *field);
            let places = change.map(|it| [it["after_hop"].as_u64(), it["at_hop"].as_u64()]);
            let expected = third.map(|_| [Some(2), Some(3)]);
            assert_eq!(places, expected, "{rewrite} {options:?} {inspected:#}");
        }
    }
}

/// In rounds ports begin again: an answer that comes when the next round has begun is not one to that.
#[test]
fn a_late_answer_finds_the_probe_of_its_own_round() {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let path = topology("rewrite = { id = 77 }");
    let third = "\"198.51.100.5\"\n";
    let slow = path.replace(third, &format!("{third}reply_delay = \"150ms\"\n"));
    fs::write(&file, slow).unwrap();
    let simulate = format!("--simulate={}", file.display());
    for options in [&[][..], &["-I"], &["-T"], &["-U"]] {
        let rounds = ["report", &simulate, "--interval", "100ms", "--rounds", "8", "--json", "-n"];
        let report = run(&[&rounds, &[TARGET][..], options].concat());
        let report: Value = serde_json::from_str(&report.stdout).unwrap();
        let hub = &report["report"]["hubs"][2];
        assert_eq!(hub["host"], "198.51.100.5", "{report:#}");
        assert!(hub["Best"].as_f64() > Some(150.0), "{options:?} {hub}");
    }
}

#[test]
fn what_only_looks_alike_is_not_believed() {
    for forged in ["id", "destination"] {
        // Nothing in an echo depends on where it goes.
        let asked: &[&[&str]] =
            if forged == "id" { &[&[], &["-I"], &["-T"]] } else { &[&[], &["-T"]] };
        for options in asked {
            let document = traced(&format!("forged = \"{forged}\""), options);
            let probes = document["hops"][1]["probes"].as_array().unwrap();
            for probe in probes {
                let replies = probe["replies"].as_array().unwrap();
                let fine = replies.iter().all(|reply| reply["responder"] == "198.51.100.1");
                assert!(fine && replies.len() <= 1, "{forged} {options:?}: {probe}");
            }
            let orphans = document["totals"]["orphans"].as_u64();
            assert!(orphans >= Some(3), "they are counted: {forged} {options:?} {orphans:?}");
        }
    }
}

/// A checksum that does not fit another source is not NAT's doing: whoever forges it does not know the right one.
#[test]
fn another_source_without_its_checksum_is_not_believed() {
    for options in [&[][..], &["-U"], &["--flow", "paris"]] {
        let document = traced("forged = \"source\"", options);
        let replies = document["hops"][1]["probes"][0]["replies"].as_array().unwrap();
        assert_eq!(replies.len(), 1, "{options:?} {replies:?}");
        assert_ne!(replies[0]["rewritten"], true);
    }
}

#[test]
fn another_address_is_told_since_it_may_be_nat() {
    // The checksum of an echo has no addresses in it, and one has to have seen the probe for its other numbers.
    for (forged, options) in [("source", &["-I"][..]), ("destination", &["-I"])] {
        let document = traced(&format!("forged = \"{forged}\""), options);
        let replies = document["hops"][1]["probes"][0]["replies"].as_array().unwrap();
        assert_eq!(replies.len(), 2, "the forged one, which has the right IP-ID, and the genuine");
        assert_eq!(replies.iter().filter(|reply| reply["rewritten"] == true).count(), 1);
    }
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
