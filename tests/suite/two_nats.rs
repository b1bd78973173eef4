//! Behind a second translation that restores addresses and ports in quotes, but not checksums, every hop is shown, and marked.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use crate::support::{path_in, run, scratch};

const TARGETS: [&str; 2] = ["203.0.113.9", "2001:db8:113::9"];
const OPTIONS: &[&[&str]] = &[
    &["--flow", "classic"],
    &["--flow", "paris"],
    &["--flow", "dublin"],
    &["-U"],
    &["-U", "--port", "4000"],
    &["--udplite"],
    &["-I"],
    &["-I", "--flow", "paris"],
    &["-T"],
    &["--ack"],
];
/// What the second and the third router do to ports and quotes.
const TRANSLATIONS: [[&str; 2]; 6] = [
    ["", ""],
    [", shift = 1000", ", shift = 20000"],
    [", shift = 1000", ", quotes = \"outside\""],
    ["", ", quotes = \"outside\", shift = 7"],
    // What the second puts back is what the first has made of it.
    [", quotes = \"outside\"", ""],
    [", quotes = \"outside\", shift = 7", ", shift = 1000"],
];

/// Neither address nor port nor checksum is as it was, so that it takes the octets of the secret, for which a DNS query has no
/// room.
const LITTLE_LEFT: [&str; 2] = TRANSLATIONS[5];

/// Five routers, the second and third of which translate.
fn topology([second, third]: [&str; 2], v6: bool) -> String {
    let mut text = String::from("seed = 1\n");
    for hop in 1..=5 {
        writeln!(text, "[[hop]]\naddress = \"192.0.2.{hop}\"\naddress6 = \"2001:db8::{hop}:1\"\ndelay = \"1ms\"").unwrap();
        let does = match hop {
            2 => second,
            3 => third,
            _ => continue,
        };
        let address = if v6 { format!("2001:db8:{hop}::99") } else { format!("198.51.{hop}.99") };
        writeln!(text, "nat = {{ address = \"{address}\"{does} }}").unwrap();
    }
    text + "[target]\ndelay = \"1ms\"\n"
}

/// Who answered the probes of the first six hops, and whether a quote that was rewritten told it.
fn hops(document: &Value) -> Vec<Vec<(String, bool)>> {
    let hops = document["hops"].as_array().unwrap().iter().take(6);
    let told = |probe: &Value| {
        let reply = &probe["replies"][0];
        (reply["responder"].as_str().unwrap_or("*").to_owned(), reply["rewritten"] == true)
    };
    hops.map(|hop| hop["probes"].as_array().unwrap().iter().map(told).collect()).collect()
}

#[test]
fn every_hop_behind_two_translations_is_shown_and_marked() {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let simulate = format!("--simulate={}", file.display());
    for (v6, target) in [false, true].into_iter().zip(TARGETS) {
        for (number, translations) in TRANSLATIONS.into_iter().enumerate() {
            fs::write(&file, topology(translations, v6)).unwrap();
            let untold = |options: &&&[&str]| {
                translations == LITTLE_LEFT
                    && [["-U"], ["--udplite"]].iter().any(|it| it == **options)
            };
            for options in OPTIONS.iter().filter(|it| !untold(it)) {
                let said = format!("{target} {translations:?} {options:?}");
                let common = [&["--json", "-n", "-m", "8"], *options].concat();
                // A classic pcap does not say what was asked.
                let classic = ("out.pcap", &common[..]);
                let files = [("out.pcapng", &["--json", "-n"][..]), classic];
                for (name, asked) in files.into_iter().take(if number == 0 { 2 } else { 1 }) {
                    let recording = path_in(&dir, name);
                    let recording = recording.to_str().unwrap();
                    let live = [&common[..], &[&simulate, target, "--pcap", recording]].concat();
                    let live = run(&live);
                    let again = run(&[&["replay", recording], asked].concat());
                    let same = live.stderr.is_empty() && again.stdout == live.stdout;
                    assert!(same, "{said} {name}: {} {}", live.stderr, again.stderr);
                    let document: Value = serde_json::from_str(&live.stdout).unwrap();
                    let from = translated_from(translations, options, v6);
                    check(&document, from, v6, &said);
                }
            }
        }
    }
}

/// A late reply is one to the round whose probe it quotes, though checksums tell probes apart and were changed.
#[test]
fn a_late_reply_from_behind_them_finds_its_round() {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let simulate = format!("--simulate={}", file.display());
    for (v6, target) in [false, true].into_iter().zip(TARGETS) {
        let path = topology(["", ""], v6);
        let fourth = "address = \"192.0.2.4\"\n";
        fs::write(&file, path.replace(fourth, &format!("{fourth}reply_delay = \"150ms\"\n")))
            .unwrap();
        for options in OPTIONS {
            let rounds =
                ["report", &simulate, "--interval", "100ms", "--rounds", "6", "--json", "-n"];
            let report = run(&[&rounds, &[target][..], options].concat());
            let report: Value = serde_json::from_str(&report.stdout).unwrap();
            let hubs = report["report"]["hubs"].as_array().unwrap();
            let rtts: Vec<_> = hubs.iter().map(|hub| hub["Best"].as_f64().unwrap()).collect();
            let (before, fourth, after) = (&rtts[..3], rtts[3], &rtts[4..]);
            let near = before.iter().chain(after).all(|rtt| *rtt < 100.0);
            assert!(near && fourth > 150.0, "{target} {options:?} {rtts:?}");
        }
    }
}

/// From where on the eight octets that are quoted show a translation: those of UDP and `ICMPv6` show a checksum that covers
/// addresses, that of ICMP covers the identifier, and those of TCP show nothing but what was not restored.
fn translated_from([second, third]: [&str; 2], options: &[&str], v6: bool) -> usize {
    let (echo, tcp) = (options.contains(&"-I"), ["-T", "--ack"].contains(&options[0]));
    if second.contains("outside") {
        return 3;
    }
    let outside = third.contains("outside");
    match (echo && !v6, tcp) {
        (true, _) if second.contains("shift") => 3,
        (true, _) | (_, true) if outside || echo && third.contains("shift") => 4,
        (true, _) | (_, true) => usize::MAX,
        _ => 3,
    }
}

fn check(document: &Value, translated_from: usize, v6: bool, said: &str) {
    for (hop, probes) in (1..).zip(hops(document)) {
        let router = if v6 { format!("2001:db8::{hop}:1") } else { format!("192.0.2.{hop}") };
        let expected = if hop == 6 { TARGETS[usize::from(v6)].to_owned() } else { router };
        for (query, (responder, rewritten)) in probes.into_iter().enumerate() {
            assert_eq!(responder, expected, "{said}, hop {hop} query {query}");
            // What the target answers in the probe's own protocol quotes nothing.
            let answer =
                document["hops"][hop - 1]["probes"][query]["replies"][0]["kind"] == "answer";
            assert_eq!(rewritten, hop >= translated_from && !answer, "{said}, hop {hop}");
        }
    }
}

/// Of many flows at once every router is found, live and replayed.
#[test]
fn maps_go_on_behind_two_translations() {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let simulate = format!("--simulate={}", file.display());
    let recording = path_in(&dir, "out.pcapng");
    let recording = recording.to_str().unwrap();
    for (v6, target) in [false, true].into_iter().zip(TARGETS) {
        for translations in &TRANSLATIONS[..2] {
            let path = topology(*translations, v6);
            let balanced = path.replace("seed = 1", "seed = 1\nbalance = \"flow\"");
            fs::write(&file, balanced).unwrap();
            for options in [&[][..], &["-I"], &["-T"]] {
                let said = format!("{target} {translations:?} {options:?}");
                let asked = ["paths", "--json", "-n", &simulate, "--pcap", recording, target];
                let live = run(&[&asked[..], options].concat());
                let again = run(&["replay", recording, "--json", "-n"]);
                assert!(live.stderr.is_empty() && live.stdout == again.stdout, "{said}");
                let map: Value = serde_json::from_str(&live.stdout).unwrap();
                assert_eq!((&map["reached"], live.status), (&Value::Bool(true), 0), "{said}");
                let nodes = map["nodes"].as_array().unwrap().iter();
                let silent = nodes.filter(|node| node["address"].is_null()).count();
                let source = usize::from(map["nodes"][0]["ttls"][0] == 0);
                assert_eq!(
                    (map["nodes"].as_array().unwrap().len() - source, silent),
                    (6, 0),
                    "{said}"
                );
            }
        }
    }
}
