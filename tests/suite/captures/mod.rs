//! Every capture that shows a trace gives it, whoever made it and however: cut short, of one direction alone, without
//! times, by a clock that was set, in every format and of every kind of link.

mod cuts;
mod files;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use self::files::{Datagram, ETHERNET, Form, LINKS, Link, TIMED, datagrams, file};
use crate::support::{Run, path_in, replay, root, run, scratch};

const TEN_HOPS: &str = "fixtures/ten-hops/capture.pcap";
const WHOLE: usize = 65_535;
const TARGET: &str = "203.0.113.9";

/// A place for captures.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(scratch())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = path_in(&self.0, name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// What a capture of these datagrams replays to.
    fn replay(&self, trace: &[Datagram], args: &[&str]) -> Run {
        let bytes = file(Form::Pcap(1), false, &ETHERNET, WHOLE, trace);
        replay(&self.write("capture", &bytes), &[&["-n"], args].concat())
    }

    fn text(&self, trace: &[Datagram]) -> String {
        let run = self.replay(trace, &[]);
        assert_eq!(run.stderr, "");
        run.stdout
    }
}

/// The text without its times.
fn without_times(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let timed = |at: usize| words.get(at + 1).is_some_and(|next| *next == "ms");
        let kept = (0..words.len()).filter(|at| !timed(*at) && words[*at] != "ms");
        lines.push(kept.map(|at| words[at]).collect::<Vec<_>>().join(" "));
    }
    lines.join("\n")
}

#[test]
fn every_format_and_kind_of_link_gives_the_same_text() {
    let bench = Bench::new();
    let ten_hops = datagrams(TEN_HOPS);
    let expected = bench.text(&ten_hops);
    assert_eq!(expected.lines().count(), 12, "{expected}");
    let every_link = LINKS.iter().map(|link| (Form::Enhanced(1), false, link));
    let every_form = TIMED.iter().flat_map(|form| [(*form, false), (*form, true)]);
    let every_form = every_form.map(|(form, big)| (form, big, &ETHERNET));
    for (form, big, link) in every_link.chain(every_form) {
        let path = bench.write("converted", &file(form, big, link, WHOLE, &ten_hops));
        let run = replay(&path, &["-n"]);
        let what = format!("{form:?}, big endian: {big}, {}", link.name);
        assert_eq!((run.stdout, run.stderr), (expected.clone(), String::new()), "{what}");
    }
    let six = datagrams("fixtures/udp6/capture.pcapng");
    let expected = bench.text(&six);
    for link in &LINKS {
        let path = bench.write("converted", &file(Form::Pcap(1_000), true, link, WHOLE, &six));
        assert_eq!(replay(&path, &["-n"]).stdout, expected, "{}", link.name);
    }
}

#[test]
fn six_octets_of_a_quote_are_enough_in_a_capture_cut_short() {
    let bench = Bench::new();
    for (capture, snaps) in [
        (TEN_HOPS, &[66, 68, 69][..]),
        ("tests/captures/linux-udp.pcap", &[66, 68]),
        ("tests/captures/linux-icmp.pcap", &[66, 68]),
        ("tests/captures/linux-tcp.pcap", &[68]),
        ("tests/captures/scamper-udp-paris.pcap", &[66, 68]),
        ("tests/captures/mtr-udp.pcap", &[68]),
        ("fixtures/udp6/capture.pcapng", &[106, 108]),
    ] {
        let trace = datagrams(capture);
        let whole = bench.text(&trace);
        for snap in snaps {
            let cut = file(Form::Pcap(1), false, &ETHERNET, *snap, &trace);
            let run = replay(&bench.write("cut", &cut), &["-n"]);
            assert_eq!(
                (run.stdout, run.stderr),
                (whole.clone(), String::new()),
                "{capture} {snap}"
            );
        }
    }
}

/// What came to the prober.
fn replies(trace: &[Datagram]) -> Vec<Datagram> {
    let source = trace[0].bytes[12..16].to_vec();
    trace.iter().filter(|it| it.bytes[12..16] != source[..]).cloned().collect()
}

#[test]
fn replies_alone_show_the_hops_and_no_times() {
    let bench = Bench::new();
    for capture in [
        TEN_HOPS,
        "tests/captures/linux-udp.pcap",
        "tests/captures/linux-icmp.pcap",
        "tests/captures/mtr-icmp.pcap",
        "tests/captures/mtr-udp.pcap",
        "tests/captures/scamper-udp.pcap",
        "tests/captures/scamper-icmp-paris.pcap",
        "tests/captures/scamper-udp-paris.pcap",
    ] {
        let trace = datagrams(capture);
        let (whole, alone) = (bench.text(&trace), bench.replay(&replies(&trace), &[]));
        // Who says nothing is said to once: whether it was asked again nobody can know.
        let hops = |text: &str| without_times(text).lines().map(hop).collect::<Vec<_>>();
        assert_eq!(hops(&alone.stdout), hops(&whole), "{capture}");
        let said = "holds the replies but not the probes of the trace to 203.0.113.9: round-trip times are unknown";
        assert!(alone.stderr.contains(said), "{capture}: {}", alone.stderr);
        assert_eq!(alone.stdout.matches(" ms").count(), 0, "{capture}");
        let json: Value =
            serde_json::from_str(&bench.replay(&replies(&trace), &["--json"]).stdout).unwrap();
        let first = &json["hops"][0]["probes"][0];
        assert_eq!(
            (&first["sent_ns"], &first["replies"][0]["rtt_ns"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(
            (&json["totals"]["sent"], &json["stop"]["target_reached"]),
            (&0.into(), &true.into())
        );
    }
    // What does not tell the hops is no trace, but not passed over either.
    let trace = datagrams("tests/captures/linux-tcp.pcap");
    let run = bench.replay(&replies(&trace), &[]);
    assert!(
        run.stderr.contains("it holds 9 replies of routers without their probes"),
        "{}",
        run.stderr
    );
    assert_eq!(run.status, 2);
}

/// Number and responders; `-` stands for a probe that was not captured.
fn hop(line: &str) -> String {
    let line = line.replace(" -", " *");
    let mut words: Vec<&str> = line.split(' ').collect();
    words.dedup_by(|one, other| *one == "*" && *other == "*");
    words.join(" ")
}

#[test]
fn a_file_without_times_says_so_and_shows_none() {
    let bench = Bench::new();
    let trace = datagrams(TEN_HOPS);
    let path = bench.write("simple", &file(Form::Simple, true, &ETHERNET, WHOLE, &trace));
    let run = replay(&path, &["-n"]);
    assert_eq!(without_times(&run.stdout), without_times(&bench.text(&trace)));
    assert_eq!(run.stdout.matches(" ms").count(), 0, "{}", run.stdout);
    let said = "has no times for 66 of 66 packets (simple packet blocks): their round-trip times are unknown";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    for form in [
        "--list",
        "--json",
        "--format=atlas",
        "--format=scamper",
        "--format=ndjson",
        "--format=csv",
    ] {
        let shown = replay(&path, &["-n", form]).stdout;
        assert!(
            !shown.contains("1970") && !shown.contains("-9223372036854775808"),
            "{form}: {shown}"
        );
        assert!(
            !shown.contains("\"rtt\":0") && !shown.contains("\"rtt_ns\": 0"),
            "{form}: {shown}"
        );
    }
    let list: Value = serde_json::from_str(&replay(&path, &["--list", "--json"]).stdout).unwrap();
    assert_eq!(list[0]["start"], Value::Null);
    let atlas: Value = serde_json::from_str(&replay(&path, &["--format=atlas"]).stdout).unwrap();
    let times =
        [&atlas[0]["timestamp"], &atlas[0]["endtime"], &atlas["timestamp"], &atlas["endtime"]];
    assert!(
        times.iter().all(|it| it.is_null() || **it == 0) && !atlas.to_string().contains("endtime")
    );
    let evidence = run_show(&path);
    assert!(!evidence.contains("1970"), "{evidence}");
}

fn run_show(path: &std::path::Path) -> String {
    run(&["show", path.to_str().unwrap(), "1"]).stdout
}

#[test]
fn a_clock_set_back_hides_no_probe_and_makes_no_negative_time() {
    let bench = Bench::new();
    let trace = datagrams("tests/captures/linux-udp.pcap");
    let whole = bench.text(&trace);
    for back in [300_000_000, 3_600_000_000_000] {
        for from in (1..trace.len()).step_by(7) {
            let set = |(index, it): (usize, &Datagram)| Datagram {
                at: it.at - if index < from { 0 } else { back },
                bytes: it.bytes.clone(),
            };
            let set: Vec<Datagram> = trace.iter().enumerate().map(set).collect();
            let run = bench.replay(&set, &[]);
            let shown = run.stdout.replace(" !clock", "");
            let what = format!("{back} ns before datagram {from}: {}", run.stdout);
            assert_eq!(without_times(&shown), without_times(&whole), "{what}");
            assert!(!run.stdout.contains(" -"), "{what}");
            if from % 3 == 0 {
                for form in ["atlas", "scamper"] {
                    let shown = bench.replay(&set, &["--format", form]).stdout;
                    assert!(!shown.contains("rtt\":-"), "{form}: {shown}");
                }
            }
        }
    }
}

#[test]
fn a_link_type_that_is_not_read_is_named() {
    let bench = Bench::new();
    let link = Link { name: "802.11", number: 105, ..ETHERNET };
    for form in [Form::Pcap(1), Form::Enhanced(1)] {
        let path = bench.write("wlan", &file(form, false, &link, WHOLE, &datagrams(TEN_HOPS)));
        let run = replay(&path, &["-n"]);
        let said = "has 66 packets of link type 105, which rtrace does not read";
        assert!(run.stderr.contains(said), "{}", run.stderr);
        assert_eq!(run.status, 2);
    }
}

#[test]
fn a_bare_reset_is_believed_of_other_tools_captures_alone() {
    let bench = Bench::new();
    let mut trace = datagrams("tests/captures/linux-tcp.pcap");
    let whole = bench.text(&trace);
    let mut bared = 0;
    for it in trace.iter_mut().filter(|it| it.bytes[9] == 6 && it.bytes[33] == 0x14) {
        it.bytes[28..32].fill(0);
        it.bytes[33] = 0x04;
        bared += 1;
    }
    assert!(bared > 2, "{bared}");
    assert_eq!(bench.text(&trace), whole.replace("<rst,ack>", "<rst>"));
    // What was recorded by a run of rtrace replays by the rule of the run.
    let mut own = fs::read(root().join("fixtures/tcp-closed/capture.pcapng")).unwrap();
    let before = replay(&bench.write("own.pcapng", &own), &[]).stdout;
    let reset = |at: &usize| own[*at..].starts_with(&[0x50, 0x14]);
    let resets: Vec<usize> = (0..own.len()).filter(reset).collect();
    for at in resets {
        own[at - 4..at].fill(0);
        own[at + 1] = 0x04;
    }
    let after = replay(&bench.write("own.pcapng", &own), &[]).stdout;
    assert!(before.contains("<rst,ack>") && !after.contains("<rst>"), "{after}");
}

/// With a routing header of type 0 that leads over a gateway, which the third hop is.
fn routed(trace: &[Datagram]) -> Vec<Datagram> {
    let gateway = [0xfd, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2];
    let route = |datagram: &[u8], left: u8| {
        let target: [u8; 16] = datagram[24..40].try_into().unwrap();
        let [now, then] = if left == 1 { [gateway, target] } else { [target, gateway] };
        let len = u16::from_be_bytes([datagram[4], datagram[5]]) + 24;
        let header = [&[datagram[6], 2, 0, left, 0, 0, 0, 0][..], &then].concat();
        let mut bytes = [&datagram[..24], &now, &header, &datagram[40..]].concat();
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        bytes[6] = 43;
        bytes
    };
    let source = trace[0].bytes[8..24].to_vec();
    let each = |it: &Datagram| {
        let bytes = if it.bytes[8..24] == source[..] {
            route(&it.bytes, 1)
        } else {
            let near = it.bytes[8..24] < gateway[..];
            let mut error = [&it.bytes[..48], &route(&it.bytes[48..], near.into())].concat();
            let len = u16::try_from(error.len() - 40).unwrap();
            error[4..6].copy_from_slice(&len.to_be_bytes());
            files::seal_icmpv6(&mut error);
            error
        };
        Datagram { at: it.at, bytes }
    };
    trace.iter().map(each).collect()
}

#[test]
fn a_routing_header_leads_to_one_target() {
    let bench = Bench::new();
    let trace = datagrams("tests/captures/linux-udp-6.pcap");
    let (plain, routed) = (bench.text(&trace), bench.text(&routed(&trace)));
    assert_eq!(routed, plain.replace("80 byte", "104 byte"));
}

#[test]
fn a_protocol_that_looks_like_another_is_probed_as_such() {
    let bench = Bench::new();
    for number in ["6", "17", "136", "253"] {
        let recording = path_in(&bench.0, "protocol.pcapng");
        let args = ["--simulate", "-n", "-P", number, "-m", "12", "--pcap"];
        let live = run(&[&args[..], &[recording.to_str().unwrap(), TARGET]].concat());
        assert!(live.stdout.contains(" 1  "), "{number}: {live:?}");
        assert!(live.stdout.lines().nth(1).unwrap().contains(" ms"), "{number}: {live:?}");
        let replayed = replay(&recording, &[]);
        assert_eq!((&replayed.stdout, replayed.stderr.as_str()), (&live.stdout, ""), "{number}");
    }
}

/// Also where nothing says so but the packets: they are filled as such, and are nothing else of that protocol.
#[test]
fn probes_of_a_protocol_as_such_are_found_in_a_classic_pcap() {
    let bench = Bench::new();
    let recording = path_in(&bench.0, "protocol.pcap");
    for number in ["1", "4", "6", "17", "47", "58", "136", "253"] {
        for target in [TARGET, "2001:db8:113::9"] {
            let args = ["--simulate", "-n", "--json", "-P", number, "--pcap"];
            let live = run(&[&args[..], &[recording.to_str().unwrap(), target]].concat());
            let again = replay(&recording, &["-n", "--json"]);
            assert!(live.stdout == again.stdout, "{number} {target}: {}", again.stderr);
        }
    }
}

#[test]
fn a_torn_recording_says_what_it_lacks() {
    let bench = Bench::new();
    let path = path_in(&bench.0, "torn.pcapng");
    run(&["--simulate", "-n", "--pcap", path.to_str().unwrap(), TARGET]);
    let whole = fs::read(&path).unwrap();
    assert_eq!(replay(&path, &[]).stderr, "");
    let last_block = u32::from_le_bytes(whole[whole.len() - 4..].try_into().unwrap()) as usize;
    let mut cuts = 0;
    for at in
        (whole.len() / 5..whole.len() - last_block).step_by(331).chain([whole.len() - last_block])
    {
        let run = replay(&bench.write("torn.pcapng", &whole[..at]), &[]);
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("torn.pcapng has no end of the run"), "{at}: {}", run.stderr);
        assert!(last.ends_with("later probes may be missing"), "{last}");
        cuts += usize::from(last.contains("the answers to"));
    }
    assert!(cuts > 0, "somewhere probes were waiting");
}

#[test]
fn hops_beyond_the_first_answer_of_the_target_are_told() {
    let (source, target) = ([192, 0, 2, 7], [203, 0, 113, 9]);
    let mut trace = Vec::new();
    for n in 0..18_u16 {
        let ttl = u8::try_from(1 + n / 3).unwrap();
        let probe = files::ipv4(source, target, ttl, 100 + n, 17, &files::udp(40_000, 33_434 + n));
        let router = [198, 51, 100, ttl];
        // One branch is three hops long, the other five.
        let reply = match (ttl, n % 3) {
            (3.., 0) | (5.., _) => files::icmp_error(target, [3, 3], &probe, ttl.min(5) - 2),
            _ => files::icmp_error(router, [11, 0], &probe, 1),
        };
        let at = 1_700_000_000_000_000_000 + i64::from(n) * 1_000_000;
        trace.push(Datagram { at, bytes: probe });
        trace.push(Datagram { at: at + 200_000, bytes: reply });
    }
    let bench = Bench::new();
    let text = bench.text(&trace);
    let said = "    branches: routers answer beyond hop 3 too: hop 4: 198.51.100.4\n";
    assert!(text.ends_with(said), "{text}");
    let json: Value = serde_json::from_str(&bench.replay(&trace, &["--json"]).stdout).unwrap();
    assert_eq!(json["hops"].as_array().unwrap().len(), 6);
    assert_eq!(json["stop"]["ttl"], 3);
}

#[test]
fn what_is_captured_is_an_answer_however_late() {
    let (source, target) = ([192, 0, 2, 7], [203, 0, 113, 9]);
    let mut trace = Vec::new();
    for n in 0..5_u16 {
        let ttl = u8::try_from(n + 1).unwrap();
        let probe = files::ipv4(source, target, ttl, 100 + n, 17, &files::udp(40_000, 33_434 + n));
        let reply = files::icmp_error([198, 51, 100, ttl], [11, 0], &probe, 1);
        let at = 1_700_000_000_000_000_000 + i64::from(n) * 1_000_000;
        trace.push(Datagram { at, bytes: probe });
        trace.push(Datagram { at: at + 12_000_000_000, bytes: reply });
    }
    trace.sort_by_key(|it| it.at);
    let text = Bench::new().text(&trace);
    assert_eq!(text.matches("12000.000 ms").count(), 5, "{text}");
}
