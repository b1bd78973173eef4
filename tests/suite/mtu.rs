//! The path MTU over simulated networks: what is found is right, and a recording shows the same.

use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use rtrace::capture::{CaptureReader, Format, Interface, Recording};
use rtrace::link::replay::ReplayLink;
use rtrace::link::sim::Topology;
use rtrace::probe::{Flow, FlowMode, ProbeType};
use rtrace::recording::RecordingMetadata;
use rtrace::render::output::Output;
use rtrace::render::{Form, Look};
use rtrace::trace::mtu::{Cause, Findings, MtuTracer};
use rtrace::trace::{Engine, Measurement, ProbeSelector, TraceConfig, Tracer, Wait};
use rtrace::wire::LinkType;
use serde_json::Value;

use crate::golden::validator;
use crate::golden_law::{NameMap, Shared, configs, render};
use crate::lossy::{Fate, Lossy, fates};
use crate::support::{path_in, replay, run, scratch};

const TARGETS: [&str; 2] = ["203.0.113.9", "2001:db8:113::9"];

/// Routers which have these lines.
fn topology(routers: &[&str], seed: u64) -> String {
    let mut text = format!("seed = {seed}\n");
    for (number, lines) in (1..).zip(routers) {
        let addresses =
            format!("address = \"198.51.100.{number}\"\naddress6 = \"2001:db8::{number}\"");
        writeln!(text, "[[hop]]\n{addresses}\n{lines}").unwrap();
    }
    text
}

/// What is said behind the hops, without the addresses of routers, and the lengths at hops.
fn found(text: &str) -> (Vec<String>, String) {
    let marks = text.split_whitespace().filter(|word| word.starts_with("F="));
    let said =
        text.lines().filter(|line| line.contains("bytes") && !line.starts_with("traceroute"));
    let plain = |line: &str| {
        let words =
            line.split_whitespace().filter(|word| word.parse::<std::net::IpAddr>().is_err());
        words.collect::<Vec<_>>().join(" ")
    };
    (said.map(plain).collect(), marks.collect::<Vec<_>>().join(" "))
}

/// Less than IPv6 needs, and so not believed but measured.
#[test]
fn a_router_whose_claim_was_measured_says_so() {
    let dir = scratch();
    let file = path_in(&dir, "narrow.toml");
    fs::write(&file, topology(&["", "mtu = 1000"], 1)).unwrap();
    let simulated = format!("--simulate={}", file.display());
    let done = run(&[&simulated, "-n", "--mtu", TARGETS[1]]);
    let (said, _) = found(&done.stdout);
    assert_eq!(said, ["between hop 2 and hop 3: 1000 bytes, says", "path MTU: 1000 bytes"]);
}

#[test]
fn every_kind_of_narrow_link_is_found_and_replays() {
    let silent = "mtu = 1400\nmtu_silent = true";
    let vanish = "black hole between hop 2 and hop 3: datagrams over 1400 bytes vanish and no router says so";
    let limit = "rate = { per_second = 1, burst = 6 }";
    let limited = [silent, limit].join("\n");
    let told = ["mtu = 1400", limit].join("\n");
    let cases: [([&str; 3], &[&str], &str); 9] = [
        (["", "", ""], &["path MTU: 1500 bytes"], "F=1500"),
        (
            ["", "mtu = 1400", ""],
            &["between hop 2 and hop 3: 1400 bytes, says", "path MTU: 1400 bytes"],
            "F=1500 F=1400",
        ),
        (
            ["mtu = 1450", "", "mtu = 1280"],
            &[
                "between hop 1 and hop 2: 1450 bytes, says",
                "between hop 3 and hop 4: 1280 bytes, says",
                "path MTU: 1280 bytes",
            ],
            "F=1500 F=1450 F=1280",
        ),
        (
            ["", "mtu = 1477\nmtu_claim = 0", ""],
            &["between hop 2 and hop 3: 1477 bytes, refuses more", "path MTU: 1477 bytes"],
            "F=1500 F=1477",
        ),
        (
            ["mtu = 1301\nmtu_claim = 9000", "", ""],
            &[
                "between hop 1 and hop 2: 1301 bytes, refuses more but claims an MTU of 9000",
                "path MTU: 1301 bytes",
            ],
            "F=1500 F=1301",
        ),
        (["", silent, ""], &[vanish, "path MTU: 1400 bytes"], "F=1500 F=1400"),
        (
            ["", silent, "silent = true"],
            &[
                "black hole between hop 2 and hop 4: datagrams over 1400 bytes vanish and no router says so",
                "path MTU: 1400 bytes",
            ],
            "F=1500 F=1400",
        ),
        // Linux's limits on ICMP are not taken for a black hole.
        ([limit, &limited, limit], &[vanish, "path MTU: 1400 bytes"], "F=1500 F=1400"),
        (
            [limit, &told, limit],
            &["between hop 2 and hop 3: 1400 bytes, says", "path MTU: 1400 bytes"],
            "F=1500 F=1400",
        ),
    ];
    let dir = scratch();
    let (file, recording) = (path_in(&dir, "path.toml"), path_in(&dir, "a.pcapng"));
    let simulate = format!("--simulate={}", file.display());
    for (routers, said, marks) in cases {
        fs::write(&file, topology(&routers, 1)).unwrap();
        for target in TARGETS {
            for options in [&["-q2"][..], &["-I"], &["-U"], &["--flow", "paris"], &["--udplite"]] {
                let pcap = ["--mtu", "-n", &simulate, "--pcap", recording.to_str().unwrap()];
                let live = run(&[&pcap, options, &[target]].concat());
                let expected: Vec<String> = said.iter().map(ToString::to_string).collect();
                assert_eq!(
                    found(&live.stdout),
                    (expected, marks.to_owned()),
                    "{options:?} {live:?}"
                );
                assert_eq!(replay(&recording, &[]).stdout, live.stdout);
            }
        }
    }
}

/// A link that loses a tenth of all may cost time, and does not make it narrower.
#[test]
fn loss_is_not_taken_for_a_narrow_link() {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let simulate = format!("--simulate={}", file.display());
    for seed in 0..20 {
        let lossy = "mtu = 1400\nmtu_silent = true\nloss = 0.1\nreply_loss = 0.05";
        fs::write(&file, topology(&["", lossy, ""], seed)).unwrap();
        let text = run(&["--mtu", "-n", &simulate, TARGETS[0]]).stdout;
        assert!(text.ends_with("path MTU: 1400 bytes\n"), "{seed}: {text}");
    }
}

/// Narrow links one after the other: each at its hop and with its size, whatever those before and after it do. Also where
/// a fifth of all is lost.
#[test]
fn narrow_links_in_a_row_are_told_apart() {
    let silent = |mtu: u16| format!("mtu = {mtu}\nmtu_silent = true");
    let zero = |mtu: u16| format!("mtu = {mtu}\nmtu_claim = 0");
    let claims = |mtu: u16, claim: u16| format!("mtu = {mtu}\nmtu_claim = {claim}");
    let hole = |after, mtu| {
        let place = format!("black hole between hop {after} and hop {}", after + 1);
        format!("{place}: datagrams over {mtu} bytes vanish and no router says so")
    };
    let said = |after, mtu| format!("between hop {after} and hop {}: {mtu} bytes, says", after + 1);
    let refused = |after, mtu| {
        format!("between hop {after} and hop {}: {mtu} bytes, refuses more", after + 1)
    };
    let claimed =
        |after, mtu, claim| format!("{} but claims an MTU of {claim}", refused(after, mtu));
    let none = String::new;
    // The routers, what is said of them, and the path MTU.
    let cases = [
        (
            vec![none(), none(), silent(1400), zero(1350), silent(1300)],
            vec![hole(3, 1400), refused(4, 1350), hole(5, 1300)],
            1300,
        ),
        (
            vec![none(), none(), silent(1400), zero(1400), silent(1300)],
            vec![hole(3, 1400), hole(5, 1300)],
            1300,
        ),
        (
            vec![zero(1450), zero(1430), silent(1410), none()],
            vec![refused(1, 1450), refused(2, 1430), hole(3, 1410)],
            1410,
        ),
        (
            vec![silent(1470), claims(1400, 1400), silent(1300)],
            vec![hole(1, 1470), said(2, 1400), hole(3, 1300)],
            1300,
        ),
        // It says more than it takes, or less.
        (
            vec![none(), claims(1301, 1380), silent(1290)],
            vec![claimed(2, 1301, 1380), hole(3, 1290)],
            1290,
        ),
        (vec![none(), claims(1400, 1350), none()], vec![claimed(2, 1400, 1350)], 1400),
    ];
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let simulate = format!("--simulate={}", file.display());
    for (routers, mut expected, mtu) in cases {
        expected.push(format!("path MTU: {mtu} bytes"));
        for (loss, seeds) in [("", 1), ("loss = 0.2", 3), ("reply_loss = 0.1", 2)] {
            for seed in 0..seeds {
                // Of the third hop: what is beyond has one or the other, and what is before has neither.
                let lossy = |(index, router): (usize, &String)| match index {
                    2 => format!("{router}\n{loss}"),
                    _ => router.clone(),
                };
                let routers: Vec<_> = routers.iter().enumerate().map(lossy).collect();
                let routers: Vec<_> = routers.iter().map(String::as_str).collect();
                fs::write(&file, topology(&routers, seed)).unwrap();
                let target = TARGETS[usize::try_from(seed % 2).unwrap()];
                let text = run(&["--mtu", "-n", &simulate, target]).stdout;
                assert_eq!(found(&text).0, expected, "{loss} {seed} {routers:?}\n{text}");
            }
        }
    }
}

/// A path on which hardly anything comes back: no size is given for the MTU that was not found out.
#[test]
fn where_too_much_is_lost_the_path_mtu_is_unclear() {
    let dir = scratch();
    let [file, recording] = ["path.toml", "a.pcapng"].map(|name| path_in(&dir, name));
    let lossy = "mtu = 1400\nmtu_silent = true\nloss = 0.8";
    fs::write(&file, topology(&["", lossy, ""], 2)).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let args = ["--mtu", "-n", "-q9", &simulate, TARGETS[0], "--pcap", recording.to_str().unwrap()];
    let text = run(&args).stdout;
    assert!(text.contains("path MTU: unclear, too many probes or replies are lost"), "{text}");
    assert_eq!(replay(&recording, &[]).stdout, text);
    let json = replay(&recording, &["--json"]).stdout;
    let document: Value = serde_json::from_str(&json).unwrap();
    assert!(validator().is_valid(&document));
    let found = &document["path_mtu"];
    assert_eq!((&found["unclear"], &found["mtu"]), (&Value::Bool(true), &Value::Null), "{json}");
    assert!(found["passes"].as_u64().is_some_and(|len| len <= 1400), "{json}");
}

#[test]
fn every_form_is_that_of_its_recording_and_json_as_its_schema_says() {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    fs::write(&file, topology(&["mtu = 1450", "mtu = 1400\nmtu_silent = true", ""], 1)).unwrap();
    let simulate = format!("--simulate={}", file.display());
    for (name, more) in [("a.pcapng", &[][..]), ("a.pcap", &["-n", "--mtu"])] {
        let recording = path_in(&dir, name);
        for form in Form::ALL {
            let form = ["--format", form.describe().0];
            let pcap =
                ["--mtu", "-n", &simulate, "--pcap", recording.to_str().unwrap(), TARGETS[1]];
            let live = run(&[&pcap[..], &form].concat());
            let again = replay(&recording, &[more, &form].concat());
            assert_eq!(again.stdout, live.stdout, "{name} {form:?}");
            if form[1] == "json" {
                let document: Value = serde_json::from_str(&live.stdout).unwrap();
                assert!(validator().is_valid(&document));
                assert_eq!(document["path_mtu"]["mtu"], 1400);
                let tried: Vec<_> =
                    document["sizers"].as_array().unwrap().iter().map(|it| &it["len"]).collect();
                assert_eq!(tried[..2], [&Value::from(1500), &Value::from(1450)]);
            }
        }
    }
}

#[test]
fn the_packet_length_is_the_longest_that_is_tried() {
    let text = run(&["--simulate", "--mtu", "-n", TARGETS[0], "1000"]).stdout;
    assert!(text.starts_with("traceroute to 203.0.113.9 (203.0.113.9), 30 hops max, 60 byte"));
    let said = "path MTU: at least 1000 bytes, no longer datagram was tried";
    assert_eq!(found(&text), (vec![said.to_owned()], "F=1000".to_owned()));
}

/// What passes of a length that was asked for, in text and JSON: live, from the recording, and from bare packets with the same length.
#[test]
fn a_path_mtu_that_nothing_longer_was_tried_of_is_a_least() {
    let dir = scratch();
    let [file, pcapng, pcap] = ["path.toml", "a.pcapng", "a.pcap"].map(|name| path_in(&dir, name));
    fs::write(&file, topology(&["", "mtu = 1400", ""], 1)).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let least = |size| format!("path MTU: at least {size} bytes, no longer datagram was tried");
    let cases = [
        ("1280", least(1280), true),
        ("1400", least(1400), true),
        ("1401", "path MTU: 1400 bytes".to_owned(), false),
        ("1500", "path MTU: 1400 bytes".to_owned(), false),
        ("9000", "path MTU: 1400 bytes".to_owned(), false),
    ];
    for (len, said, at_least) in cases {
        for (recording, again) in [(&pcapng, vec![]), (&pcap, vec!["--mtu", "-n", TARGETS[0], len])]
        {
            let recorded = ["--pcap", recording.to_str().unwrap()];
            let live = run(&[&["--mtu", "-n", &simulate, TARGETS[0], len], &recorded[..]].concat());
            assert!(live.stdout.ends_with(&format!("    {said}\n")), "{live:?}");
            assert_eq!(replay(recording, &again).stdout, live.stdout);
            let json = replay(recording, &[&again[..], &["--json"]].concat()).stdout;
            let document: Value = serde_json::from_str(&json).unwrap();
            assert!(validator().is_valid(&document));
            assert_eq!(document["path_mtu"]["at_least"] == true, at_least, "{len} {json}");
        }
    }
}

/// Over IPv6 nothing tells such probes apart: the search ends without a result, and the trace is there.
#[test]
fn a_search_that_runs_out_of_ports_ends() {
    let text = run(&["--simulate", "--mtu", "-n", "-p", "65535", TARGETS[1]]).stdout;
    assert!(text.contains("\n    path MTU"), "{text}");
}

#[test]
fn what_it_does_not_go_with_is_refused_in_a_line() {
    for (args, words) in [
        (&["-T"][..], "TCP"),
        (&["--ack"], "TCP"),
        (&["--flow", "dublin"], "dublin"),
        (&["--inspect"], "inspect"),
        (&["60"], "60 bytes"),
    ] {
        let refused = run(&[&["--simulate", "--mtu", TARGETS[0]], args].concat());
        assert_eq!((refused.status, refused.stderr.lines().count()), (2, 1));
        assert!(refused.stderr.contains("--mtu") && refused.stderr.contains(words), "{refused:?}");
    }
    let report = run(&["report", "--simulate", "--mtu", TARGETS[0]]);
    assert!(report.stderr.contains("--mtu is for one trace"), "{report:?}");
}

/// Runs a tracer over a link; gives its text and JSON.
fn reports(
    engine: &mut dyn Engine,
    config: &TraceConfig,
    link: &mut dyn rtrace::link::Link,
    tape: Option<Recording<Shared>>,
) -> [String; 2] {
    let outs = [Output::Text, Output::Json].map(|form| (form, Shared::default()));
    let renderers = outs.iter().map(|(form, out)| form.renderer(Look::default(), out.clone()));
    render(usize::MAX, engine, config, link, NameMap::new(), renderers.collect(), tape);
    outs.map(|(_, out)| out.text())
}

/// Over this network the search ends, each narrow link takes less than the one before, and the recording shows the same.
fn holds(
    seed: u64,
    config: TraceConfig,
    largest: u16,
    fates: &[Fate],
) -> Result<(), TestCaseError> {
    let topology = Topology::random(seed);
    let mut config = TraceConfig { mtu: true, dont_fragment: true, ..config };
    config.source = topology.source_for(config.target);
    if config.flow_mode == FlowMode::Dublin {
        config.flow_mode = FlowMode::Paris;
    }
    if matches!(config.probe, ProbeType::TcpSyn | ProbeType::TcpAck) {
        config.probe = ProbeType::IcmpEcho;
    }
    config.packet_len = config.packet_len.max(config.least_len());
    let bytes = Shared::default();
    let interface = Interface { name: "sim".into(), address: None, link: LinkType::Raw };
    let carried = RecordingMetadata::of(config.clone(), Measurement::once(&config));
    let tape =
        Recording::new(bytes.clone(), "memory", Format::PcapNg, &interface, &carried.to_comment());
    let mut engine = MtuTracer::new(config.clone(), largest).unwrap();
    let live = reports(&mut engine, &config, &mut Lossy::new(topology, fates), Some(tape.unwrap()));
    let findings = Findings::of(engine.path(), &config);
    let mut before = findings.largest;
    for narrowing in &findings.narrowings {
        prop_assert!(Some(narrowing.mtu) < before);
        before = Some(narrowing.mtu);
        prop_assert!(!matches!(narrowing.cause, Cause::Told(_)) || narrowing.mtu >= 68);
    }
    let recorded = bytes.0.borrow().clone();
    let mut link =
        ReplayLink::new(CaptureReader::new(std::io::Cursor::new(recorded), "memory").unwrap());
    let mut passive = Tracer::passive(config.clone(), ProbeSelector::One).unwrap();
    prop_assert_eq!(reports(&mut passive, &config, &mut link, None), live);
    Ok(())
}

/// What was due of the trace stood in the way of what was due of the search.
#[test]
fn a_search_that_once_went_on_for_ever_ends() {
    let target = "203.0.113.9".parse().unwrap();
    let flow = Flow { source: target, target, probe: ProbeType::IcmpEcho, ident: 40_000 };
    let config = TraceConfig {
        first_ttl: 3,
        max_ttl: 4,
        queries: 1,
        in_flight: 9,
        in_flight_exact: true,
        scout: true,
        wait: Wait {
            max: 0.128_817_676_921_534_84,
            here: Some(1.5),
            near: Some(0.57),
            adaptive: true,
        },
        first_id: 7_199,
        first_port: 58_826,
        packet_len: 28,
        ..TraceConfig::of_flow(&flow)
    };
    holds(17_155_789_582_288_808_876, config, 7_020, &[Fate::Leaves]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn over_random_networks(seed: u64, config in configs(), largest in 28..9000_u16) {
        holds(seed, config, largest, &[Fate::Leaves])?;
    }

    #[test]
    fn whichever_probes_are_lost(
        seed: u64,
        config in configs(),
        largest in 28..9000_u16,
        fates in fates(),
    ) {
        holds(seed, config, largest, &fates)?;
    }
}
