//! Captures cut short: what they still show is attributed rightly, and what they do not is counted and said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::files::{Datagram, ETHERNET, Form, LINKS, Link, datagrams, file, icmp_error, ipv4, udp};
use super::{Bench, TEN_HOPS, WHOLE};
use crate::support::{path_in, replay, root, run};

/// What a replay says of a capture: which reply is of which probe, by their frames, and what is left over.
struct Said {
    replies: BTreeMap<u64, u64>,
    cut_short: u64,
    stderr: String,
    status: i32,
}

/// All traces of a capture that was cut to `snap` octets.
fn said(bench: &Bench, link: &Link, snap: usize, trace: &[Datagram]) -> Said {
    let path = bench.write("cut", &file(Form::Pcap(1), false, link, snap, trace));
    let run = replay(&path, &["-n", "--json"]);
    let (mut replies, mut cut_short) = (BTreeMap::new(), 0);
    let json: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    let traces = json.as_array().map_or_else(|| vec![json.clone()], Clone::clone);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for trace in traces {
        for probe in list(&trace["hops"]).iter().flat_map(|hop| list(&hop["probes"])) {
            for reply in list(&probe["replies"]) {
                let frames = [&reply["frame"], &probe["frame"]].map(|it| it.as_u64().unwrap_or(0));
                replies.insert(frames[0], frames[1]);
            }
        }
        let totals = &trace["totals"];
        cut_short += totals["cut_short"].as_u64().unwrap_or(0);
        assert!(totals["orphans"].as_u64() >= totals["cut_short"].as_u64(), "{totals}");
    }
    Said { replies, cut_short, stderr: run.stderr, status: run.status }
}

fn words(count: u64) -> String {
    let errors =
        if count == 1 { "1 ICMP error is".into() } else { format!("{count} ICMP errors are") };
    format!("cut is cut too short to say which probe {errors} about, so hops")
}

#[test]
fn what_a_cut_capture_shows_is_right_and_what_it_lacks_is_said() {
    let bench = Bench::new();
    let sll2 = LINKS.iter().find(|link| link.name == "SLL2").unwrap();
    let vlan = LINKS.iter().find(|link| link.name == "VLAN").unwrap();
    let mut captures: Vec<_> = fs::read_dir(root().join("tests/captures"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "pcap"))
        .map(|path| format!("tests/captures/{}", path.file_name().unwrap().display()))
        .collect();
    captures.sort();
    assert!(captures.len() > 30, "{captures:?}");
    for capture in captures {
        let trace = datagrams(&capture);
        let whole = said(&bench, &ETHERNET, WHOLE, &trace);
        let mut before = BTreeSet::new();
        for (link, snap) in [54, 60, 64, 68, 96]
            .map(|snap| (&ETHERNET, snap))
            .into_iter()
            .chain([(sll2, 68), (vlan, 68)])
        {
            let cut = said(&bench, link, snap, &trace);
            let what = format!("{capture} {} {snap}: {}", link.name, cut.stderr);
            if cut.status == 2 {
                assert!(cut.stderr.contains("cut off before what identifies a probe"), "{what}");
                continue;
            }
            let right = |(reply, probe): (&u64, &u64)| whole.replies.get(reply) == Some(probe);
            assert!(cut.replies.iter().all(right), "{what}");
            let lacking = whole.replies.len() - cut.replies.len();
            // One that is about the probes of several traces is counted by each, but said once.
            let several = capture.ends_with("mixed.pcap") || cut.cut_short > lacking as u64;
            assert!(cut.cut_short >= lacking as u64, "{what}");
            let lacking = if several { lacking as u64 } else { cut.cut_short };
            assert_eq!(cut.stderr.contains("cut too short"), lacking > 0, "{what}");
            assert!(lacking == 0 || several || cut.stderr.contains(&words(lacking)), "{what}");
            assert!(cut.stderr.lines().count() <= 1, "{what}");
            if link.name == ETHERNET.name {
                let shown: BTreeSet<_> = cut.replies.into_keys().collect();
                assert!(shown.is_superset(&before), "more octets show no less: {what}");
                before = shown;
            }
        }
    }
}

#[test]
fn an_ip_id_is_enough_where_no_octet_of_the_probe_is_left() {
    let bench = Bench::new();
    for capture in [
        TEN_HOPS,
        "tests/captures/linux-udp.pcap",
        "tests/captures/linux-icmp.pcap",
        "tests/captures/linux-tcp.pcap",
        "tests/captures/mtr-udp.pcap",
        "tests/captures/mtr-tcp.pcap",
        "tests/captures/tcptraceroute.pcap",
    ] {
        let trace = datagrams(capture);
        let whole = bench.text(&trace);
        for snap in [54, 57, 60, 61, 62, 63, 64, 65, 67, 69] {
            let cut = file(Form::Pcap(1), false, &ETHERNET, snap, &trace);
            let run = replay(&bench.write("cut", &cut), &["-n"]);
            assert_eq!((&run.stdout, run.stderr.as_str()), (&whole, ""), "{capture} {snap}");
        }
    }
}

/// Two traces of one host to one target at the same time, by tools that begin with these IP-IDs.
fn two_traces(ids: [u16; 2]) -> Vec<Datagram> {
    let (source, target) = ([192, 0, 2, 7], [203, 0, 113, 9]);
    let mut trace = Vec::new();
    for n in 0..12_u16 {
        let ttl = u8::try_from(1 + n / 3).unwrap();
        for (tool, id) in (0..).zip(ids) {
            let ports = udp(40_000 + tool, 33_434 + n);
            let probe = ipv4(source, target, ttl, id + n, 17, &ports);
            let router = [198, 51, 100, ttl];
            let reply = match ttl {
                4 => icmp_error(target, [3, 3], &probe, 1),
                _ => icmp_error(router, [11, 0], &probe, 1),
            };
            let at = 1_700_000_000_000_000_000 + i64::from(2 * n + tool) * 1_000_000;
            trace.push(Datagram { at, bytes: probe });
            trace.push(Datagram { at: at + 200_000, bytes: reply });
        }
    }
    trace
}

#[test]
fn an_ip_id_of_two_traces_identifies_no_probe() {
    let bench = Bench::new();
    for (ids, shared) in [([100, 200], 0), ([100, 100], 24), ([100, 106], 12)] {
        let trace = two_traces(ids);
        let whole = said(&bench, &ETHERNET, WHOLE, &trace);
        assert_eq!((whole.replies.len(), whole.cut_short), (24, 0), "{ids:?}");
        for snap in [54, 60, 62] {
            let cut = said(&bench, &ETHERNET, snap, &trace);
            assert_eq!(cut.replies.len(), 24 - shared, "{ids:?} {snap}: {}", cut.stderr);
            assert!(cut.replies.iter().all(|(reply, probe)| whole.replies[reply] == *probe));
            let count = u64::try_from(shared).unwrap();
            assert_eq!(cut.stderr.contains(&words(count)), count > 0, "{ids:?}: {}", cut.stderr);
        }
        // Two octets show the port.
        let cut = said(&bench, &ETHERNET, 64, &trace);
        assert_eq!((cut.replies, cut.stderr.as_str()), (whole.replies, ""), "{ids:?}");
    }
}

/// A pcapng file of ours whose packets are cut to `snap` octets, with all else that it says.
fn cut_recording(whole: &[u8], snap: usize) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(whole[at..at + 4].try_into().unwrap());
    let (mut cut, mut at) = (Vec::new(), 0);
    while at < whole.len() {
        let len = usize::try_from(word(at + 4)).unwrap();
        let block = &whole[at..at + len];
        if word(at) == 6 {
            let captured = usize::try_from(word(at + 20)).unwrap();
            let left = captured.min(snap);
            let options = &block[28 + captured.next_multiple_of(4)..len - 4];
            let padding = vec![0; left.next_multiple_of(4) - left];
            let body = [
                &block[8..20],
                &u32::try_from(left).unwrap().to_le_bytes(),
                &block[24..28 + left],
                &padding,
                options,
            ]
            .concat();
            let len = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
            cut.extend([&[6, 0, 0, 0], &len[..], &body, &len].concat());
        } else {
            cut.extend(block);
        }
        at += len;
    }
    cut
}

/// It replays by the rule of the run, which believes no less than eight octets, in every command that reads it.
#[test]
fn a_recording_of_ours_that_was_cut_says_so() {
    let bench = Bench::new();
    let whole = path_in(&bench.0, "whole.pcapng");
    run(&["--simulate", "-n", "--pcap", whole.to_str().unwrap(), "203.0.113.9"]);
    let whole = fs::read(whole).unwrap();
    let intact = bench.write("cut", &cut_recording(&whole, WHOLE));
    assert_eq!(fs::read(&intact).unwrap(), whole);
    let cut = bench.write("cut", &cut_recording(&whole, 54));
    let path = cut.to_str().unwrap();
    let json: Value = serde_json::from_str(&replay(&cut, &["--json"]).stdout).unwrap();
    let count = json["totals"]["cut_short"].as_u64().unwrap();
    assert!(count > 20 && json["totals"]["orphans"] == count, "{}", json["totals"]);
    assert_eq!(json["totals"]["answered"], 0);
    let said = words(count);
    let every_command = [
        &["replay", "-n", path][..],
        &["replay", "--inspect", path],
        &["replay", "--list", path],
        &["diff", path, path],
        &["show", path, "1"],
    ];
    for args in every_command {
        let run = run(args);
        assert!(run.stderr.contains(&said), "{args:?}: {}", run.stderr);
    }
    let frame = (1..10).find(|frame| {
        let shown = run(&["show", path, &frame.to_string()]);
        shown.stderr.contains("was cut too short by the capture to identify its probe")
    });
    assert!(frame.is_some());
    // With the probes themselves.
    let cut = bench.write("cut", &cut_recording(&whole, 24));
    let said = replay(&cut, &[]).stderr;
    assert!(
        said.contains("are cut off before what identifies a probe: capture with a larger"),
        "{said}"
    );
}
