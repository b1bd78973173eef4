//! A clock that is set while a run goes on, and a run that is stopped: nothing waits for a time that has been, and what
//! is replayed is what was seen.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use rtrace::capture::{CaptureReader, Format, Item};
use rtrace::link::sim::{Setting, SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::metrics::Metrics;
use rtrace::render::stream::Stream;
use rtrace::render::{Form, report};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::TraceConfig;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::wire::{Frame, LinkType};
use serde_json::Value;

use crate::golden;
use crate::golden_law::{NameMap, Shared, configs, recorded, render, replayed};
use crate::support::{line_of, path_in, replay, root, run, scratch};

const TARGET: &str = "203.0.113.9";

/// Two hops before the target, which answers after 40 ms, and a clock that is set: so long after the beginning, by so much.
fn topology(dir: &tempfile::TempDir, clock: &[(&str, &str)]) -> PathBuf {
    let settings: Vec<_> = clock
        .iter()
        .map(|(after, by)| format!("{{ after = \"{after}\", by = \"{by}\" }}"))
        .collect();
    let path = path_in(dir, "clock.toml");
    let network = line_of(&["", ""], "10ms", "");
    fs::write(&path, format!("clock = [{}]\n{network}", settings.join(", "))).unwrap();
    path
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn schema(form: &str) -> jsonschema::Validator {
    let text = fs::read_to_string(root().join(format!("schema/{form}.schema.json"))).unwrap();
    jsonschema::options().build(&json(&text)).unwrap()
}

fn lines(stream: &str) -> Vec<Value> {
    stream.lines().map(json).collect()
}

/// Every reply in the JSON of a trace, with its probe.
fn replies(document: &Value) -> Vec<(&Value, &Value)> {
    let probes = document["hops"].as_array().unwrap().iter();
    let probes = probes.flat_map(|hop| hop["probes"].as_array().unwrap());
    probes
        .flat_map(|probe| probe["replies"].as_array().unwrap().iter().map(move |it| (probe, it)))
        .collect()
}

/// The same document without marks.
fn unmark(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("clock_fault");
            fields.values_mut().for_each(unmark);
        }
        Value::Array(values) => values.iter_mut().for_each(unmark),
        _ => {}
    }
}

#[test]
fn a_step_is_told_once_and_round_trips_over_it_are_marked() {
    let dir = scratch();
    let trace = |clock: &[(&str, &str)], more: &[&str]| {
        let topology = topology(&dir, clock);
        run(&[&["--simulate", topology.to_str().unwrap(), "-n", TARGET], more].concat())
    };
    let (calm, validator) = (json(&trace(&[], &["--json"]).stdout), golden::validator());
    for (by, words) in [
        ("-3600s", "the clock was set back by 3600.0 s"),
        ("-20s", "the clock was set back by 20.0 s"),
        ("3600s", "the clock was set forward by 3600.0 s"),
        ("-500us", "the clock was set back by 0.0005 s"),
    ] {
        // After the first hop has answered.
        let clock = [("30ms", by)];
        let stepped = trace(&clock, &["--json"]);
        let told = format!("rtrace: {words}: round trips across the step are marked\n");
        assert_eq!((stepped.stderr.as_str(), stepped.status), (told.as_str(), 0));
        let mut document = json(&stepped.stdout);
        let marked = |reply: &Value| reply.get("clock_fault") == Some(&Value::Bool(true));
        let step = 30_000_000 + 1_767_225_600_000_000_000_i64;
        for (probe, reply) in replies(&document) {
            let [sent, received] = [&probe["sent_ns"], &reply["received_ns"]];
            let over = sent.as_i64().unwrap() < step && received.as_i64().unwrap() > step;
            assert_eq!(marked(reply), over, "{by}: {probe}");
        }
        let faults = replies(&document).iter().filter(|(_, reply)| marked(reply)).count();
        // And the scout, whose answer comes last.
        assert_eq!(document["totals"]["clock_faults"], faults + 1);
        assert!(faults > 3, "{by}");
        assert_eq!(document["totals"]["clock_steps"], 1);
        // Without the marks it is as if the clock had been left alone: same times, same end, nothing lost or late.
        assert!(validator.is_valid(&document), "{by}: {document}");
        unmark(&mut document);
        document["totals"]["clock_faults"] = 0.into();
        document["totals"].as_object_mut().unwrap().remove("clock_steps");
        assert_eq!(document, calm, "{by}");

        let text = trace(&clock, &[]).stdout;
        assert!(text.contains("\n 3  203.0.113.9  60.000 ms !clock  60.000 ms !clock"), "{text}");
        assert!(text.contains("\n 1  198.51.100.1  20.000 ms  20.000 ms  20.000 ms\n"), "{text}");
        let events = lines(&trace(&clock, &["--format", "ndjson"]).stdout);
        let steps: Vec<_> = events.iter().filter(|it| it["event"] == "clock-step").collect();
        let [step] = steps[..] else { panic!("{steps:?}") };
        let by = Span::from_nanos(step["by_ns"].as_i64().unwrap());
        assert_eq!(words.contains("back"), by < Span::ZERO);
        let facts = path_in(&dir, "facts.json");
        let stats = format!("--stats={}", facts.display());
        trace(&clock, &[&stats]);
        assert_eq!(json(&fs::read_to_string(&facts).unwrap())["clock_steps"], 1);
    }
}

/// What nobody believes is in no form of report that has no mark for it, and in no statistics.
#[test]
fn other_forms_have_no_round_trips_over_a_step() {
    let dir = scratch();
    let topology = topology(&dir, &[("30ms", "-20s")]);
    let args = ["--simulate", topology.to_str().unwrap(), "-n", TARGET, "--format"];
    let form = |form| run(&[&args[..], &[form]].concat()).stdout;
    let atlas = form("atlas");
    assert_eq!(
        (atlas.matches("\"rtt\"").count(), atlas.matches("\"from\"").count()),
        (3, 10),
        "{atlas}"
    );
    let scamper = form("scamper");
    assert_eq!(
        (scamper.matches("\"rtt\"").count(), scamper.matches("\"icmp_type\"").count()),
        (3, 9),
        "{scamper}"
    );
    assert_eq!(form("csv").lines().filter(|line| line.contains(",60000000,")).count(), 0);
    // Of the rounds of a watch one lies over it.
    let report = ["report", "--simulate", topology.to_str().unwrap(), "-n", "--json", TARGET];
    let report = json(&run(&report).stdout);
    let target = report["report"]["hubs"][2].clone();
    assert_eq!(
        (&target["Snt"], &target["Loss%"], &target["Avg"]),
        (&10.into(), &0.0.into(), &60.0.into())
    );
    assert_eq!(report["report"]["clock_steps"], 1);
    assert!(schema("report").is_valid(&report), "{report}");
    let text = ["report", "--simulate", topology.to_str().unwrap(), "-n", TARGET];
    let told = "  the clock was set once: round trips across a step are left out\n";
    assert!(run(&text).stdout.ends_with(told));
}

#[test]
fn a_watch_goes_on_through_steps_and_replays_as_it_was() {
    let dir = scratch();
    let clock = [("2500ms", "-3600s"), ("4.03s", "7200s"), ("5s", "-1s"), ("5.5s", "-1s")];
    let topology = topology(&dir, &clock);
    let recording = path_in(&dir, "out.pcapng");
    let watch = ["watch", "--simulate", topology.to_str().unwrap(), "--rounds", "8", "-n", TARGET];
    let recorded = ["--format", "ndjson", "--pcap", recording.to_str().unwrap()];
    let live = run(&[&watch[..], &recorded].concat());
    assert_eq!(live.stderr.lines().count(), 1, "{}", live.stderr);
    assert_eq!(replay(&recording, &["--format", "ndjson"]).stdout, live.stdout);
    let events = lines(&live.stdout);
    let of = |name: &str| events.iter().filter(|it| it["event"] == name).collect::<Vec<_>>();
    let starts: Vec<_> = of("round").iter().map(|it| it["start_ns"].as_i64().unwrap()).collect();
    assert_eq!(starts.len(), 8);
    // A round a second, in a time that nobody sets.
    assert!(
        starts.windows(2).all(|it| (1_000_000_000..1_010_000_000).contains(&(it[1] - it[0]))),
        "{starts:?}"
    );
    let steps: Vec<_> = of("clock-step").iter().map(|it| it["by_ns"].as_i64().unwrap()).collect();
    assert_eq!(steps, [-3_600, 7_200, -1, -1].map(|secs| secs * 1_000_000_000));
    assert_eq!(events.last().unwrap()["missed"], 0);

    // What is in the file are the stamps of the clock.
    let bytes = fs::read(&recording).unwrap();
    let raw = pcap_file_stamps(&bytes);
    assert!(raw.windows(2).any(|it| it[1] < it[0]), "one goes back by an hour");
}

/// The stamps of a pcapng as other readers see them, in seconds.
fn pcap_file_stamps(bytes: &[u8]) -> Vec<u64> {
    let mut stamps = Vec::new();
    let mut rest = bytes;
    while let Some((head, _)) = rest.split_first_chunk::<20>() {
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        if word(0) == 6 {
            let nanos = u64::from(word(12)) << 32 | u64::from(word(16));
            stamps.push(nanos / 1_000_000_000);
        }
        rest = &rest[word(4) as usize..];
    }
    stamps
}

#[test]
fn until_a_time_of_day_is_by_the_clock_and_until_a_length_is_not() {
    let dir = scratch();
    let rounds = |clock: &[(&str, &str)], until: &str| {
        let topology = topology(&dir, clock);
        let args = ["--simulate", topology.to_str().unwrap(), "--format", "ndjson", TARGET];
        let live = run(&[&["watch", "--until", until], &args[..]].concat());
        lines(&live.stdout).last().unwrap()["rounds"].as_u64().unwrap()
    };
    let at = "2026-01-01T00:00:10Z";
    assert_eq!(rounds(&[], at), 10);
    assert_eq!(rounds(&[("3.5s", "5s")], at), 5);
    assert_eq!(rounds(&[("3.5s", "-5s")], at), 15);
    assert_eq!(rounds(&[("3.5s", "3600s")], at), 4);
    assert_eq!(rounds(&[("3.5s", "-5s")], "10s"), 10);
    assert_eq!(rounds(&[("3.5s", "5s")], "10s"), 10);
}

/// Names are those of the stamps, sort in the order of the files, and each file knows where in the run it is.
#[test]
fn files_that_rotate_know_of_steps_before_them() {
    let dir = scratch();
    let topology = topology(&dir, &[("20.5s", "3600s"), ("40.03s", "-7200s")]);
    let out = path_in(&dir, "out.pcapng");
    let watch = ["watch", "--simulate", topology.to_str().unwrap(), "--rounds", "60", "-n", TARGET];
    let rotate = ["--format", "ndjson", "--rotate", "5k", "--pcap", out.to_str().unwrap()];
    let live = run(&[&watch[..], &rotate].concat()).stdout;
    let files = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|it| it.extension().is_some_and(|it| it == "pcapng")).collect();
    files.sort_unstable();
    assert!(files.len() > 6, "{files:?}");
    let of_rounds = |text: &str| {
        let of_round = |line: &&str| line.contains("\"event\":\"round\"");
        text.lines().filter(of_round).map(str::to_owned).collect::<Vec<_>>()
    };
    let alone: Vec<_> = files
        .iter()
        .flat_map(|it| of_rounds(&replay(it, &["--format", "ndjson"]).stdout))
        .collect();
    assert_eq!(alone, of_rounds(&live));
    assert!(files[0].to_str().unwrap().contains("-20260101T000000"));
    assert!(files.last().unwrap().to_str().unwrap().contains("-20260101T0100"), "{files:?}");
    let joined = path_in(&dir, "joined.pcapng");
    fs::write(&joined, files.iter().flat_map(|it| fs::read(it).unwrap()).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(replay(&joined, &["--format", "ndjson"]).stdout, live);
}

#[test]
fn the_search_for_all_paths_and_for_the_mtu_go_through_a_step() {
    let dir = scratch();
    let recording = path_in(&dir, "out.pcapng");
    let path = recording.to_str().unwrap();
    for command in [&["paths"][..], &["--mtu"]] {
        let run_with = |clock: &[(&str, &str)]| {
            let topology = topology(&dir, clock);
            let args =
                ["--simulate", topology.to_str().unwrap(), "--json", "-n", "--pcap", path, TARGET];
            run(&[command, &args].concat())
        };
        let calm = json(&run_with(&[]).stdout);
        for by in ["-3600s", "3600s"] {
            let live = run_with(&[("70ms", by)]);
            let again = replay(&recording, &["--json"]);
            assert_eq!(again.stdout, live.stdout, "{command:?}");
            let stepped = json(&live.stdout);
            assert_eq!(stepped["totals"]["clock_steps"], 1, "{command:?}");
            let form = if command == ["paths"] { "paths" } else { "trace" };
            assert!(schema(form).is_valid(&stepped), "{command:?}");
            for part in ["nodes", "path_mtu", "stop", "reached"] {
                let nodes = stepped[part].as_array().zip(calm[part].as_array());
                match nodes {
                    Some((nodes, calm)) => assert_eq!(nodes.len(), calm.len(), "{by}"),
                    None => assert_eq!(stepped[part], calm[part], "{by}"),
                }
            }
        }
    }
    // A search that is resumed goes on after the steps of the one before.
    let more = path_in(&dir, "more.pcapng");
    let topology = topology(&dir, &[("70ms", "-3600s")]);
    let from =
        ["paths", "--simulate", topology.to_str().unwrap(), "--json", "-n", "--resume", path];
    let file = ["--pcap", more.to_str().unwrap(), TARGET];
    let first = ["paths", "--simulate", topology.to_str().unwrap(), "--pcap", path, "-n", TARGET];
    assert_eq!(run(&first).status, 0);
    let live = run(&[&from[..], &file].concat());
    assert_eq!(live.status, 0, "{}", live.stderr);
    assert_eq!(replay(&more, &["--json"]).stdout, live.stdout);
}

/// Sets the stamps of a classic pcap back by 20 s from a frame on, as a tool that knows nothing of steps records them.
fn set_back(bytes: &mut [u8], from: usize) {
    let (mut at, mut count) = (24, 0);
    while at < bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (seconds, len) = (word(at), word(at + 8));
        count += 1;
        if count > from {
            bytes[at..at + 4].copy_from_slice(&(seconds - 20).to_le_bytes());
        }
        at += 16 + len as usize;
    }
}

/// Nothing hangs, and no time below zero is told as one.
#[test]
fn a_classic_capture_with_a_step_back_in_it_is_replayed() {
    let dir = scratch();
    let topology = topology(&dir, &[]);
    let recording = path_in(&dir, "out.pcap");
    let path = recording.to_str().unwrap();
    run(&["--simulate", topology.to_str().unwrap(), "-n", "--pcap", path, TARGET]);
    let mut bytes = fs::read(&recording).unwrap();
    set_back(&mut bytes, 15);
    fs::write(&recording, bytes).unwrap();
    let text = replay(&recording, &["-n"]).stdout;
    assert!(text.contains(" 3  203.0.113.9 !clock") && !text.contains('-'), "{text}");
    for form in ["atlas", "scamper", "csv"] {
        let text = replay(&recording, &["-n", "--format", form]).stdout;
        assert!(
            text.contains("198.51.100.1") && !text.contains("-19") && !text.contains("-20"),
            "{text}"
        );
    }
    let document = json(&replay(&recording, &["-n", "--json"]).stdout);
    for (_, reply) in replies(&document) {
        let unknown = reply["rtt_ns"].as_i64().is_none_or(|rtt| rtt < 0);
        assert_eq!(reply.get("clock_fault").is_some(), unknown);
    }
}

/// Round trips that nobody believes are compared with none.
#[test]
fn a_step_is_no_change_of_the_path() {
    let dir = scratch();
    let topology = topology(&dir, &[]);
    let [before, after] = ["before.pcap", "after.pcap"].map(|name| path_in(&dir, name));
    let [from, to] = [before.to_str().unwrap(), after.to_str().unwrap()];
    run(&["--simulate", topology.to_str().unwrap(), "-n", "-q", "40", "--pcap", from, TARGET]);
    let mut bytes = fs::read(&before).unwrap();
    set_back(&mut bytes, 41);
    fs::write(&after, bytes).unwrap();
    let found = run(&["diff", from, to]);
    assert_eq!(found.status, 0, "{}", found.stdout);
    // Of the first hop one round trip was over before the step.
    let few = "too few RTTs at hop 1 to find a shift of one hop alone at p < 0.01: 5 each are enough (-q 5)\n";
    assert_eq!(found.stdout, format!("{few}the path to 203.0.113.9 is the same\n"));
}

fn settings() -> impl Strategy<Value = Vec<Setting>> {
    let by =
        prop_oneof![-10_000_000_000_i64..10_000_000_000, -4_000_000_000_000_i64..4_000_000_000_000];
    // Of a smaller one it cannot always be told on which side a frame is: then it is marked.
    let by = by.prop_filter("a step to be told", |by| by.abs() > 10_000_000);
    let setting = (0..6_000_000_000_i64, by).prop_map(|(after, by)| Setting {
        after: Span::from_nanos(after),
        by: Span::from_nanos(by),
    });
    proptest::collection::vec(setting, 1..5)
}

/// The frames in a recording as they are read, with times that never go back.
fn frames(recording: &[u8]) -> Vec<(Timestamp, Vec<u8>)> {
    let mut reader = CaptureReader::new(recording, "memory").unwrap();
    let mut frames: Vec<(Timestamp, Vec<u8>)> = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Packet(frame) = item {
            assert!(frames.last().is_none_or(|(last, _)| *last <= frame.at));
            frames.push((frame.at, frame.bytes.to_vec()));
        }
    }
    frames
}

fn setting(topology: Topology, settings: &[Setting]) -> Topology {
    settings.iter().fold(topology, |topology, setting| topology.clock_set(*setting))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// The golden law; and a classic pcap has the times that a pcapng is read with.
    #[test]
    fn over_random_networks(seed: u64, config in configs(), settings in settings()) {
        let network = || Topology::random(seed);
        let config = TraceConfig { source: network().source_for(config.target), ..config };
        let names = network().names().clone();
        let live = |topology, format| {
            recorded(&mut SimLink::new(topology), names.clone(), &config, None, format, usize::MAX)
        };
        let (reports, recording) = live(setting(network(), &settings), Format::PcapNg);
        let again = replayed(&recording, &config, NameMap::new());
        for ((form, live), again) in Form::ALL.iter().zip(&reports).zip(&again) {
            prop_assert_eq!(again, live, "{:?}", form);
        }
        let (_, classic) = live(setting(network(), &settings), Format::Pcap);
        prop_assert_eq!(frames(&classic), frames(&recording));
    }

    #[test]
    fn over_random_networks_in_rounds(
        seed: u64,
        config in configs(),
        interval in 0.02..2.0,
        settings in settings(),
        left in 1..400_usize,
    ) {
        let network = || Topology::random(seed);
        let config = TraceConfig { source: network().source_for(config.target), ..config };
        let (names, plan) = (network().names().clone(), Plan { interval, rounds: Some(6), until: None });
        let live = |topology, format| {
            recorded(&mut SimLink::new(topology), names.clone(), &config, Some(plan), format, left)
        };
        let (reports, recording) = live(setting(network(), &settings), Format::PcapNg);
        let again = replayed(&recording, &config, NameMap::new());
        for ((form, live), again) in report::Form::ALL.iter().zip(&reports).zip(&again) {
            prop_assert_eq!(again, live, "{:?}", form);
        }
        let (_, classic) = live(setting(network(), &settings), Format::Pcap);
        prop_assert_eq!(frames(&classic), frames(&recording));
    }
}

#[test]
fn metrics_count_steps_from_none_on() {
    let metrics = Metrics::default();
    let config = TraceConfig::new([192, 0, 2, 2].into(), TARGET.parse().unwrap(), 40_000);
    let meter = metrics.meter(&config);
    for count in 0..3 {
        let line = format!("rtrace_clock_steps_total{{target=\"{TARGET}\"}} {count}\n");
        assert!(metrics.text().contains(&line), "{}", metrics.text());
        meter.clock_step();
    }
}

/// A run that is stopped for a while: what comes meanwhile is read when it goes on.
struct Stopped {
    link: SimLink,
    from: Timestamp,
    until: Timestamp,
    /// What came meanwhile.
    waiting: VecDeque<(Timestamp, Vec<u8>)>,
    frame: Vec<u8>,
}

impl Stopped {
    fn stop(&mut self) {
        self.from = Timestamp::from_nanos(i64::MAX);
        loop {
            match self.link.receive(Some(self.until)).unwrap() {
                Received::Frame(frame) => self.waiting.push_back((frame.at, frame.bytes.to_vec())),
                _ => return,
            }
        }
    }
}

impl Link for Stopped {
    fn now(&self) -> Timestamp {
        self.link.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.link.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        if until.is_some_and(|until| until >= self.from) {
            self.stop();
        }
        if let Some((at, bytes)) = self.waiting.pop_front() {
            self.frame = bytes;
            let bytes = &self.frame[..];
            return Ok(Received::Frame(Frame::whole(at, LinkType::Raw, bytes)));
        }
        self.link.receive(until)
    }
}

/// The rounds of a watch of 1 s that is stopped: their numbers and when they began, in milliseconds; and how many are missed.
fn stopped(from: f64, until: f64, rounds: Option<u64>, lasts: f64) -> (Vec<(u64, i64)>, u64) {
    let topology = Topology::parse(&line_of(&["", ""], "10ms", ""), "t").unwrap();
    let source = topology.source().into();
    let config = TraceConfig::new(source, TARGET.parse().unwrap(), 40_000);
    let plan = Plan {
        interval: 1.0,
        rounds,
        until: Some(rtrace::trace::rounds::Until::After(Span::from_secs_f64(lasts))),
    };
    let mut engine = Rounds::new(config.clone(), plan).unwrap();
    let link = SimLink::new(topology);
    let begin = link.now();
    let [from, until] = [from, until].map(|secs| begin.after(Span::from_secs_f64(secs)));
    let mut link = Stopped { link, from, until, waiting: VecDeque::new(), frame: Vec::new() };
    let out = Shared::default();
    let stream = Box::new(Stream::new(out.clone(), true, plan));
    render(usize::MAX, &mut engine, &config, &mut link, NameMap::new(), vec![stream], None);
    let events = lines(&out.text());
    let starts = events.iter().filter(|it| it["event"] == "round").map(|it| {
        let since = it["start_ns"].as_i64().unwrap() - begin.nanos();
        (it["round"].as_u64().unwrap(), since / 1_000_000)
    });
    (starts.collect(), events.last().unwrap()["missed"].as_u64().unwrap())
}

#[test]
fn rounds_whose_time_went_by_while_the_run_was_stopped_are_not_sent() {
    // Between two rounds.
    let expected = vec![(1, 0), (2, 1_000), (3, 2_000), (23, 22_500), (24, 23_500)];
    assert_eq!(stopped(2.5, 22.5, None, 24.0), (expected, 19));
    // Within one, with answers on their way: they are read, and nothing is lost by it.
    let (rounds, missed) = stopped(2.03, 22.5, None, 24.0);
    assert_eq!((rounds[2..].to_vec(), missed), (vec![(3, 2_000), (23, 22_500), (24, 23_500)], 19));
    // A moment is none: a machine may be busy.
    let (rounds, missed) = stopped(2.5, 3.4, Some(5), 60.0);
    assert_eq!((rounds, missed), (vec![(1, 0), (2, 1_000), (3, 2_000), (4, 3_400), (5, 4_400)], 0));
    // The last of those that are meant is sent, so that its end is known.
    let (rounds, missed) = stopped(2.5, 60.0, Some(10), 1_000.0);
    assert_eq!((rounds[3..].to_vec(), missed), (vec![(10, 60_000)], 6));
    // The end came meanwhile.
    let (rounds, missed) = stopped(2.5, 60.0, None, 30.0);
    assert_eq!((rounds.len(), missed), (3, 0));
}
