//! Targets that answer late: after more than a second, or than a round lasts. Hops and end are where the answers say, live
//! and from the recording.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use crate::support::{path_in, replay, run, scratch};

const TARGETS: [&str; 2] = ["203.0.113.9", "2001:db8:300::9"];
/// What the path takes more at its fourth hop, in milliseconds.
const JUMPS: [u32; 4] = [900, 1_010, 1_190, 2_500];

/// Five routers and the target a millisecond of round trip from each other, but for the link to the fourth.
fn topology(jump: u32) -> String {
    let mut text = "source = \"192.0.2.2\"\nsource6 = \"2001:db8::2\"\n".to_owned();
    for hop in 1..=5 {
        let addresses = format!("\"198.51.100.{hop}\"\naddress6 = \"2001:db8:100::{hop}\"");
        let delay = if hop == 4 { jump * 500 + 500 } else { 500 };
        writeln!(text, "[[hop]]\naddress = {addresses}\ndelay = \"{delay}us\"").unwrap();
    }
    text + "[target]\ndelay = \"500us\"\n"
}

/// What these arguments come to over that path, and the exit status; the recording gives the same.
fn said(jump: u32, args: &[&str], form: &str) -> (String, i32) {
    said_over(&topology(jump), args, form)
}

fn said_over(topology: &str, args: &[&str], form: &str) -> (String, i32) {
    let dir = scratch();
    let (file, recording) = (path_in(&dir, "path.toml"), path_in(&dir, "a.pcapng"));
    fs::write(&file, topology).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let common = [&simulate, "-n", "--format", form, "--pcap", recording.to_str().unwrap()];
    let live = run(&[args, &common].concat());
    let again = replay(&recording, &["-n", "--format", form]);
    let what = format!("{args:?}: {}", live.stderr);
    assert_eq!((&again.stdout, again.status), (&live.stdout, live.status), "{what}");
    (live.stdout, live.status)
}

fn document(jump: u32, args: &[&str]) -> (Value, i32) {
    let (text, status) = said(jump, args, "json");
    (serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")), status)
}

/// Who answers at a hop of that path, as the target is of one family or the other.
fn responder(target: &str, ttl: u64) -> String {
    match ttl {
        6 => target.to_owned(),
        _ if target.contains(':') => format!("2001:db8:100::{ttl}"),
        _ => format!("198.51.100.{ttl}"),
    }
}

#[test]
fn hops_and_end_are_right_however_late_they_answer() {
    let options: [&[&str]; 10] = [
        &[],
        &["-N1"],
        &["-N16"],
        &["-q1"],
        &["-I"],
        &["-T", "-q1"],
        &["--flow", "paris"],
        &["-f4", "-m8"],
        &["-m6"],
        &["-f6", "-N1"],
    ];
    for (jump, options) in JUMPS.into_iter().flat_map(|jump| options.map(|it| (jump, it))) {
        for target in TARGETS {
            let what = format!("{jump} ms {options:?} {target}");
            let (document, status) = document(jump, &[options, &[target]].concat());
            let stop = &document["stop"];
            assert_eq!(
                (&stop["ttl"], &stop["target_reached"], status),
                (&6.into(), &true.into(), 0)
            );
            let hops = document["hops"].as_array().unwrap().iter();
            for hop in hops.filter(|hop| hop["ttl"].as_u64() <= Some(6)) {
                let expected = responder(target, hop["ttl"].as_u64().unwrap());
                for probe in hop["probes"].as_array().unwrap() {
                    assert_eq!(probe["outcome"], "answered", "{what} {hop}");
                    assert_eq!(probe["replies"][0]["responder"], expected.as_str(), "{what}");
                }
            }
            assert_eq!(document["totals"]["lost"], 0, "{what}");
        }
    }
}

#[test]
fn all_paths_go_on_to_a_late_target() {
    for (jump, target) in [(1_190, TARGETS[0]), (2_500, TARGETS[1])] {
        let (map, status) = document(jump, &["paths", target]);
        assert_eq!((&map["reached"], status), (&true.into(), 0), "{map}");
        let routers: Vec<_> = map["nodes"].as_array().unwrap().iter().collect();
        assert_eq!(routers.len(), 6, "{map}");
        assert!(routers.iter().all(|router| !router["address"].is_null()), "{map}");
    }
}

/// In one round or many, over IPv6 too, where nothing but the checksum tells the rounds' probes apart.
#[test]
fn a_round_trip_longer_than_a_round_is_no_loss() {
    for (jump, rounds) in [(1_010, "1"), (1_500, "5"), (2_500, "1"), (2_500, "2")] {
        for target in TARGETS {
            let args = ["report", "--rounds", rounds, target];
            let (table, status) = said(jump, &args, "text");
            let rows: Vec<&str> = table.lines().skip(2).collect();
            assert_eq!((rows.len(), status), (6, 0), "{jump} ms {rounds} {table}");
            for (row, ttl) in rows.iter().zip(1..) {
                let words: Vec<&str> = row.split_whitespace().collect();
                let expected = [&responder(target, ttl), "0.0%", rounds];
                assert_eq!(words[1..4], expected, "{jump} ms {table}");
                // The best is no shorter than the path.
                let best: f64 = words[6].parse().unwrap();
                assert!(ttl < 4 || best >= f64::from(jump), "{jump} ms {table}");
            }
        }
    }
}

/// Where a wait was asked for, answers that come after it are late, and say where the path ends all the same.
#[test]
fn late_answers_end_the_path_where_the_wait_was_asked_for() {
    for options in [&["-w1", "-N1"][..], &["-w1.5"], &["-w1.5", "-I"]] {
        let jump = if options.len() == 2 && options[1] == "-N1" { 1_500 } else { 1_600 };
        let (document, status) = document(jump, &[options, &[TARGETS[0]]].concat());
        let stop = &document["stop"];
        assert_eq!((&stop["ttl"], status), (&6.into(), 0), "{options:?} {document}");
        let (text, _) = said(jump, &[options, &[TARGETS[0]]].concat(), "text");
        let hops = text.lines().filter(|line| !line.starts_with("    "));
        assert_eq!(hops.count(), 7, "{options:?} {text}");
        assert!(text.contains(TARGETS[0]), "{options:?} {text}");
    }
}

/// Rounds that reached the target late did reach it; an outage is those that did not.
#[test]
fn a_late_answer_of_the_target_is_no_outage() {
    let report = ["report", "--rounds", "14", TARGETS[0]];
    let outage =
        "\noutage = { after = \"4s\", lasts = \"5s\" }\n[[hop]]\naddress = \"198.51.100.3\"";
    let late = topology(1_500).replace("\n[[hop]]\naddress = \"198.51.100.3\"", outage);
    let (table, status) = said_over(&late, &report, "text");
    assert!(table.contains("target not reached in 5 of 14 rounds") && status == 0, "{table}");

    // Now and then one takes longer than a round.
    let held = "hold = { chance = 0.3, delay = \"1500ms\" }\n";
    let (table, status) = said_over(&(topology(0) + held), &report, "text");
    let target = table.lines().nth(7).unwrap();
    assert!(target.contains(" 0.0% ") && target.contains(" 15"), "{table}");
    assert_eq!((table.lines().count(), status), (8, 0), "{table}");
}

/// In traceroute's order the row of a target that answers late comes with its answer, also where silent hops before it have been
/// waited for: each probe beyond the farthest answer waits for 3 s, beside those that are sent meanwhile.
#[test]
fn in_traceroutes_order_a_late_target_stands_in_its_row() {
    for (silent, delay) in
        [(&[4, 5][..], 1_100), (&[4][..], 2_500), (&[4, 5][..], 2_900), (&[][..], 2_900)]
    {
        let mut topology = String::new();
        for hop in 1..=5 {
            let silent = if silent.contains(&hop) { "silent = true\n" } else { "" };
            let address = format!("address = \"198.51.100.{hop}\"\n");
            write!(topology, "[[hop]]\n{address}delay = \"1ms\"\n{silent}").unwrap();
        }
        write!(topology, "[target]\ndelay = \"1ms\"\nreply_delay = \"{delay}ms\"\n").unwrap();
        for options in
            [&["-N1"][..], &["-N1", "-q1"], &["-N3"], &["-N16"], &["-N16", "-I"], &["-N2", "-T"]]
        {
            let (text, status) = said_over(&topology, &[options, &[TARGETS[0]]].concat(), "text");
            let what = format!("{silent:?} {delay} {options:?}: {text}");
            let rows: Vec<&str> = text.lines().skip(1).collect();
            assert_eq!((rows.len(), status), (6, 0), "{what}");
            assert!(rows[5].starts_with(" 6  203.0.113.9 ") && !rows[5].contains('*'), "{what}");
            for (row, hop) in rows.iter().zip(1..=5) {
                assert_eq!(row.contains('*'), silent.contains(&hop), "{what}");
            }
        }
    }
}

/// A silent target costs no more than once 3 s at the end, and what may be in flight holds its place no longer than elsewhere.
#[test]
fn a_silent_target_costs_three_seconds_once_in_traceroutes_order() {
    let topology =
        "[[hop]]\naddress = \"198.51.100.1\"\ndelay = \"1ms\"\n[target]\nsilent = true\n";
    // 29 hops of three probes beyond the first, 16 or 3 of them each second.
    for (options, millis) in [(&["-N16"][..], 9_000), (&["-N3"][..], 32_000)] {
        let (text, status) = said_over(topology, &[options, &[TARGETS[0]]].concat(), "ndjson");
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let sent: Vec<i64> = events.filter_map(|event| event["sent_ns"].as_i64()).collect();
        let [first, last] = [sent.iter().min(), sent.iter().max()].map(|at| *at.unwrap());
        assert_eq!(status, 1);
        assert!((last - first) / 1_000_000 + 3_000 < millis, "{options:?} {first} {last}");
    }
}
