//! Captures in which other tools traced (`tests/captures`): each replays to what the tool itself printed,
//! and one of many tools at once amid plain traffic to exactly their traces.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{path_in, replay, root, run, scratch};

/// What is told of one hop.
#[derive(Debug, Default, PartialEq)]
struct Hop {
    responders: Vec<IpAddr>,
    /// Milliseconds, as told: all of them, or the least.
    rtts: Vec<f64>,
    /// Probes and answers, where told.
    counts: Option<(u64, u64)>,
}

type Hops = BTreeMap<u64, Hop>;

/// Tools whose times are less than those between the packets: this one looks at its clock after sending,
/// when in a lab the reply is already there.
const TOLD_WRONG: [&str; 1] = ["inetutils"];

/// To what part of a millisecond a tool rounds.
fn precision(tool: &str) -> f64 {
    if ["mtr", "trippy", "lft"].iter().any(|name| tool.starts_with(name)) { 0.1 } else { 0.001 }
}

/// The hops in the output of whichever tool: lines that begin with a number and have an address.
fn told(tool: &str, output: &str) -> Hops {
    let mut hops = Hops::new();
    for line in output.lines() {
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || "│┆(),".contains(c))
            .filter(|word| !word.is_empty())
            .collect();
        let Some((first, rest)) = words.split_first() else { continue };
        let Ok(ttl) = first.trim_end_matches([':', '.', '|', '-']).parse() else { continue };
        let Some(responder) = rest.iter().find_map(|word| address(word)) else { continue };
        let hop: &mut Hop = hops.entry(ttl).or_default();
        if !hop.responders.contains(&responder) {
            hop.responders.push(responder);
        }
        let numbers = || rest.iter().filter_map(|word| word.trim_end_matches('%').parse().ok());
        let numbers: Vec<f64> = numbers().collect();
        match (tool.split('-').next(), numbers.as_slice()) {
            (Some("mtr"), [loss, sent, _, _, best, ..]) => {
                hop.counts = Some(counts(*sent, sent * (1.0 - loss / 100.0)));
                hop.rtts.push(*best);
            }
            (Some("trippy"), [_, sent, received, _, _, best, ..]) => {
                hop.counts = Some(counts(*sent, *received));
                hop.rtts.push(*best);
            }
            _ => hop.rtts.extend(rtts(rest)),
        }
    }
    hops
}

/// An address, or one with a port.
fn address(word: &str) -> Option<IpAddr> {
    let with_port = || word.parse().ok().map(|socket: SocketAddr| socket.ip());
    word.parse().ok().or_else(with_port)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn counts(sent: f64, received: f64) -> (u64, u64) {
    (sent.round() as u64, received.round() as u64)
}

/// The numbers before "ms".
fn rtts<'a>(words: &'a [&str]) -> impl Iterator<Item = f64> + 'a {
    let before = words.iter().zip(words.iter().skip(1)).filter(|(_, unit)| **unit == "ms");
    let apart = before.filter_map(|(number, _)| number.parse().ok());
    apart.chain(words.iter().filter_map(|word| word.strip_suffix("ms")?.parse().ok()))
}

/// The hops of our report that were answered, in the words of `told`.
fn shown(report: &Value) -> Hops {
    let end = report["stop"]["ttl"].as_u64().unwrap_or(u64::MAX);
    let mut hops = Hops::new();
    for hop in report["hops"].as_array().unwrap() {
        let ttl = hop["ttl"].as_u64().unwrap();
        let probes = hop["probes"].as_array().unwrap();
        let answers: Vec<&Value> = probes.iter().filter_map(|it| it["replies"].get(0)).collect();
        if ttl > end || answers.is_empty() {
            continue;
        }
        let mut told = Hop::default();
        for answer in &answers {
            let responder = answer["responder"].as_str().unwrap().parse().unwrap();
            if !told.responders.contains(&responder) {
                told.responders.push(responder);
            }
            told.rtts.push(answer["rtt_ns"].as_f64().unwrap() / 1e6);
        }
        told.counts = Some((probes.len() as u64, answers.len() as u64));
        hops.insert(ttl, told);
    }
    hops
}

fn captures() -> PathBuf {
    root().join("tests/captures")
}

/// The lines of `expected`: capture, probe type, probes, hops, tool.
fn expected() -> Vec<Vec<String>> {
    let text = fs::read_to_string(captures().join("expected")).unwrap();
    let fields = |line: &str| line.splitn(5, ' ').map(str::to_owned).collect();
    text.lines().filter(|line| !line.starts_with('#')).map(fields).collect()
}

fn json(name: &str, args: &[&str]) -> Value {
    let run = replay(&captures().join(format!("{name}.pcap")), args);
    assert_eq!(run.stderr, "", "{name}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_capture_holds_the_traces_that_were_run() {
    let mut by_capture: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for line in expected() {
        by_capture.entry(line[0].clone()).or_default().push(line);
    }
    assert!(by_capture.len() >= 40, "{}", by_capture.len());
    for (name, expected) in by_capture {
        let rows = json(&name, &["--list", "--json"]);
        let mut found: Vec<Vec<String>> = Vec::new();
        for row in rows.as_array().unwrap() {
            let plain = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            let fields = ["probe", "probes", "hops", "tool"].map(|field| plain(&row[field]));
            found.push([vec![name.clone()], fields.to_vec()].concat());
        }
        // Those that began together may have begun in either order.
        found.sort();
        let mut expected = expected;
        expected.sort();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_report_shows_what_the_tool_printed() {
    for line in expected().iter().filter(|line| line[0] != "mixed") {
        let name = line[0].as_str();
        let output = fs::read_to_string(captures().join(format!("{name}.out"))).unwrap();
        let (told, shown) = (told(name, &output), shown(&json(name, &["--json"])));
        let responders =
            |hops: &Hops| hops.iter().map(|(ttl, hop)| (*ttl, hop.responders.clone())).collect();
        let (theirs, ours): (Vec<_>, Vec<_>) = (responders(&told), responders(&shown));
        assert_eq!(ours, theirs, "{name}");
        assert!(told.len() >= 4, "{name}: {told:?}");
        for ((ttl, theirs), ours) in told.iter().zip(shown.values()) {
            match theirs.counts {
                Some(_) => assert_eq!(ours.counts, theirs.counts, "{name}, hop {ttl}"),
                None => assert_eq!(ours.rtts.len(), theirs.rtts.len(), "{name}, hop {ttl}"),
            }
            let least = |rtts: &[f64]| rtts.iter().copied().fold(f64::INFINITY, f64::min);
            let pairs = match theirs.counts {
                Some(_) => vec![(least(&ours.rtts), least(&theirs.rtts))],
                None => ours.rtts.iter().copied().zip(theirs.rtts.iter().copied()).collect(),
            };
            for (ours, theirs) in pairs {
                let told = TOLD_WRONG.iter().all(|tool| !name.starts_with(tool));
                let fits = ours <= theirs + precision(name);
                assert!(fits || !told, "{name}, hop {ttl}: {ours} > {theirs}");
            }
        }
    }
}

#[test]
fn tools_at_once_never_mix() {
    let reports = json("mixed", &["--json"]);
    for report in reports.as_array().unwrap() {
        let hops = shown(report);
        let ttls: Vec<u64> = hops.keys().copied().collect();
        assert_eq!(ttls, [1, 3, 4, 5], "{}", report["asked"]);
        assert_eq!(report["totals"].get("orphans"), None, "{}", report["asked"]);
    }
}

/// A capture in which the kernel chose another source address for every third probe: this one, the first with its halves
/// exchanged, so that all checksums hold.
fn over_two_uplinks() -> Vec<u8> {
    const RECORD: usize = 16;
    let (own, other, target) = ([10, 0, 1, 1], [1, 1, 10, 0], [203, 0, 113, 9]);
    let mut file = fs::read(root().join("tests/captures/linux-udp.pcap")).unwrap();
    let mut at = 24;
    while at < file.len() {
        let len = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
        let frame = &mut file[at + RECORD..at + RECORD + len];
        at += RECORD + len;
        // The ports follow the destination of the probe, also where it is quoted.
        let Some(ports) = frame.windows(4).rposition(|it| it == target) else { continue };
        if !u16::from_be_bytes([frame[ports + 6], frame[ports + 7]]).is_multiple_of(3) {
            continue;
        }
        for place in 0..len - 4 {
            if frame[place..place + 4] == own {
                frame[place..place + 4].copy_from_slice(&other);
            }
        }
    }
    file
}

#[test]
fn a_run_over_two_uplinks_is_two_traces_and_said_to_be_one_run() {
    let dir = scratch();
    let capture = path_in(&dir, "uplinks.pcap");
    fs::write(&capture, over_two_uplinks()).unwrap();
    let said = format!(
        "rtrace: {}: traces 1 (from 10.0.1.1) and 2 (from 1.1.10.0) to 203.0.113.9 are one run over 2 source \
         addresses, with probes in one sequence: what one of them lacks may be in another\n",
        capture.display()
    );
    let rows = replay(&capture, &["--list", "--json"]);
    assert_eq!(rows.stderr, said);
    let rows: Value = serde_json::from_str(&rows.stdout).unwrap();
    let of = |row: usize, field: &str| rows[row][field].clone();
    assert_eq!([of(0, "source"), of(1, "source")], ["10.0.1.1", "1.1.10.0"]);
    assert_eq!([of(0, "same_run"), of(1, "same_run")], [json!([2]), json!([1])]);
    let all = replay(&capture, &["-n"]);
    assert_eq!((all.stderr.as_str(), all.status), (said.as_str(), 0));
    assert_eq!(all.stdout.matches("traceroute to").count(), 2, "{}", all.stdout);
    // Also where one of them is asked for, and where only the first is compared.
    assert_eq!(replay(&capture, &["-n", "--trace", "2"]).stderr, said);
    let path = capture.to_str().unwrap();
    assert!(run(&["diff", path, path]).stderr.starts_with(&said));

    let one = replay(&root().join("tests/captures/mixed.pcap"), &["--list", "--json"]);
    assert!(!one.stdout.contains("same_run") && !one.stderr.contains("one run"), "{one:?}");
}
