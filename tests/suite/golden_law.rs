//! The golden law: the report of a run is the report of its recording, byte for byte and in every form,
//! over the built-in and over random simulated networks, with random options.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::net::IpAddr;
use std::rc::Rc;

use proptest::prelude::*;
use rtrace::capture::{CaptureReader, Format, INTERRUPTED, Interface, Item, ROUNDS, Recording};
use rtrace::driver::{self, Observer};
use rtrace::enrich::Annotations;
use rtrace::enrich::names::Names;
use rtrace::link::Link;
use rtrace::link::replay::ReplayLink;
use rtrace::link::sim::{Attack, ForgedAnswer, START, SimLink, Topology};
use rtrace::probe::{Flow, FlowMode, ProbeType, Secret};
use rtrace::recording::{Presentation, RecordingMetadata, packet_comment};
use rtrace::render::output::Output;
use rtrace::render::report::{self, Report};
use rtrace::render::stream::Stream;
use rtrace::render::text::Style;
use rtrace::render::{Form, Look, Renderer, View};
use rtrace::time::{ClockStep, Span, Timestamp};
use rtrace::trace::config::Confirmation;
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::survey::Survey;
use rtrace::trace::{
    Disposition, Engine, Event, Measurement, Path, ProbeSelector, TraceConfig, Tracer, Wait,
};
use rtrace::wire::{Frame, LinkType};

use crate::support::{cases, path_in, replay, run, scratch};

/// Memory that is written to from one place and read from another.
#[derive(Clone, Default)]
pub struct Shared(pub Rc<RefCell<Vec<u8>>>);

impl Shared {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A report in each form, in the order of [`Form::ALL`] or, of rounds, of [`report::Form::ALL`].
pub type Reports = Vec<String>;

/// What writes each of them; of rounds the last is the stream.
fn renderers(plan: Option<Plan>) -> Vec<(Box<dyn Renderer>, Shared)> {
    let style = Style { numeric: false, extensions: true, back: true };
    let report = |form| {
        let columns = "LDRS NABWVGJMXIEPT".parse().unwrap();
        let look = Look { style, wide: true, columns, ..Look::default() };
        let out = Shared::default();
        (Box::new(Report::new(out.clone(), form, look)) as Box<dyn Renderer>, out)
    };
    let single = |form: Form| {
        let out = Shared::default();
        let output = Output::of(&Measurement::Trace, form, false).unwrap();
        let look = Look { style, ..Look::default() };
        (output.renderer(look, out.clone()), out)
    };
    let Some(plan) = plan else { return Form::ALL.map(single).into() };
    let out = Shared::default();
    let stream: Box<dyn Renderer> = Box::new(Stream::new(out.clone(), false, plan));
    report::Form::ALL.map(report).into_iter().chain([(stream, out)]).collect()
}

/// Writes every report of a run at once, and its recording where one is asked for.
struct Watcher {
    config: TraceConfig,
    annotations: Annotations,
    renderers: Vec<Box<dyn Renderer>>,
    tape: Option<Recording<Shared>>,
    /// How many frames until it is interrupted.
    left: usize,
    /// When it was.
    cut: Option<Timestamp>,
}

impl Watcher {
    /// What a recording says at its end.
    fn close(&mut self, rounds: Option<u64>) {
        let cut = self.cut.map(|at| format!("{INTERRUPTED}{}", at.nanos()));
        let rounds = rounds.map(|rounds| format!("{ROUNDS}{rounds}"));
        let words: Vec<String> = cut.into_iter().chain(rounds).collect();
        if let Some(tape) = self.tape.as_mut().filter(|_| !words.is_empty()) {
            let at = self.cut.unwrap_or(START);
            let comment = format!("clock: virtual time\n{}", words.join("\n"));
            tape.statistics(at, 0, 0, Some(&comment)).unwrap();
        }
    }
}

impl Observer for Watcher {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.left = self.left.saturating_sub(1);
        if let Some(tape) = self.tape.as_mut().filter(|_| disposition.concerns_the_trace()) {
            tape.frame(frame, packet_comment(disposition, path, 0).as_deref()).unwrap();
        }
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        let view = View::of(&self.config, path, &self.annotations);
        for renderer in &mut self.renderers {
            renderer.event(Some(event), view).unwrap();
        }
    }

    fn clock_step(&mut self, step: &ClockStep) {
        if let Some(tape) = &mut self.tape {
            tape.clock_step(step).unwrap();
        }
        for renderer in &mut self.renderers {
            renderer.clock_step(step).unwrap();
        }
    }

    fn interrupted(&self) -> bool {
        self.left == 0
    }

    fn cut(&mut self, at: Timestamp) {
        self.cut = Some(at);
    }
}

/// What is traced, once or in rounds.
type Asked<'a> = (&'a TraceConfig, Option<Plan>);

fn active((config, rounds): Asked<'_>) -> Box<dyn Engine> {
    match rounds {
        Some(plan) => Box::new(Rounds::new(config.clone(), plan).unwrap()),
        None => Box::new(Tracer::new(config.clone()).unwrap()),
    }
}

fn passive((config, rounds): Asked<'_>) -> Box<dyn Engine> {
    match rounds {
        Some(plan) => Box::new(Rounds::passive(config.clone(), plan).unwrap()),
        None => Box::new(Tracer::passive(config.clone(), ProbeSelector::One).unwrap()),
    }
}

/// Runs `engine` over `link` and interrupts it after so many frames; gives its reports.
fn reports(
    mut engine: Box<dyn Engine>,
    (config, rounds): Asked<'_>,
    link: &mut dyn Link,
    names: NameMap,
    tape: Option<Recording<Shared>>,
    left: usize,
) -> Reports {
    let (renderers, outs): (_, Vec<_>) = renderers(rounds).into_iter().unzip();
    render(left, &mut *engine, config, link, names, renderers, tape);
    outs.iter().map(Shared::text).collect()
}

/// Runs `engine` over `link`, shown to these renderers and recorded on this tape, and interrupts it when `left` frames
/// have come.
pub fn render(
    left: usize,
    engine: &mut dyn Engine,
    config: &TraceConfig,
    link: &mut dyn Link,
    names: NameMap,
    renderers: Vec<Box<dyn Renderer>>,
    tape: Option<Recording<Shared>>,
) {
    let (config, annotations) = (config.clone(), Names::fixed(names).into());
    let mut watcher = Watcher { config, annotations, renderers, tape, left, cut: None };
    for renderer in &mut watcher.renderers {
        renderer.begin(&watcher.config).unwrap();
    }
    driver::run(engine, link, &mut watcher).unwrap();
    watcher.close(engine.rounds());
    let view = View::of(&watcher.config, engine.path(), &watcher.annotations);
    for renderer in &mut watcher.renderers {
        renderer.end(view).unwrap();
    }
}

pub type NameMap = BTreeMap<IpAddr, String>;

/// Runs a trace, or rounds of it, over a link, recording it, up to so many frames; gives its reports and the
/// recording.
pub fn recorded(
    link: &mut dyn Link,
    names: NameMap,
    config: &TraceConfig,
    rounds: Option<Plan>,
    format: Format,
    left: usize,
) -> (Reports, Vec<u8>) {
    let bytes = Shared::default();
    let interface = Interface { name: "sim".into(), address: None, link: LinkType::Raw };
    let measurement = rounds.map_or_else(|| Measurement::once(config), Measurement::Rounds);
    let look = Presentation { extensions: true, back: true, ..Presentation::default() };
    let carried = RecordingMetadata { look, ..RecordingMetadata::of(config.clone(), measurement) };
    let mut tape =
        Recording::new(bytes.clone(), "memory", format, &interface, &carried.to_comment()).unwrap();
    for (address, name) in &names {
        tape.name(*address, &name.as_str().into()).unwrap();
    }
    let asked = (config, rounds);
    let reports = reports(active(asked), asked, link, names, Some(tape), left);
    (reports, bytes.0.borrow().clone())
}

/// Replays a recording with what it carries, and with `config` and `names` where it carries nothing.
pub fn replayed(recording: &[u8], config: &TraceConfig, mut names: NameMap) -> Reports {
    let mut carried = None;
    for_each(recording, |item| match item {
        Item::Section { comments } => {
            carried = comments.iter().find_map(|text| RecordingMetadata::from_comment(text));
        }
        Item::Name { address, name } => drop(names.insert(address, name)),
        Item::Packet(_)
        | Item::Interrupted { .. }
        | Item::Rounds { .. }
        | Item::NeverSent { .. }
        | Item::ClockStep(_)
        | Item::Statistics => {}
    });
    let rounds = carried.as_ref().and_then(|carried| match carried.measurement {
        Measurement::Rounds(plan) => Some(plan),
        Measurement::Trace | Measurement::PathMtu | Measurement::Paths(_) => None,
    });
    let config = carried.map_or_else(|| config.clone(), |carried| carried.trace);
    let reader = CaptureReader::new(Cursor::new(recording), "memory").unwrap();
    let (asked, mut link) = ((&config, rounds), ReplayLink::new(reader));
    reports(passive(asked), asked, &mut link, names, None, usize::MAX)
}

/// What the frames of a recording show is what was asked.
fn assert_surveyed(recording: &[u8], config: &TraceConfig) {
    let mut survey = Survey::new();
    for_each(recording, |item| {
        if let Item::Packet(frame) = item {
            survey.handle_frame(&frame);
        }
    });
    if let Some(found) = survey.traces().into_iter().next().map(|found| found.config) {
        assert_eq!((found.target, found.source), (config.target, config.source));
        assert_eq!(found.ident, config.ident);
        // Where lengths tell probes apart, that of a hop's only probe and its confirmation looks like another tool's.
        let grows = config.flow_mode == FlowMode::Dublin && config.target.is_ipv6();
        if config.probe == ProbeType::Udp && !grows {
            assert_eq!(found.packet_len, config.packet_len);
        }
    }
}

fn for_each(recording: &[u8], mut take: impl FnMut(Item<'_>)) {
    let mut reader = CaptureReader::new(Cursor::new(recording), "memory").unwrap();
    while let Some(item) = reader.next().unwrap() {
        take(item);
    }
}

pub fn configs() -> impl Strategy<Value = TraceConfig> {
    let target = prop_oneof![Just("203.0.113.9"), Just("2001:db8:300::9")];
    let probe = prop_oneof![
        3 => Just(ProbeType::Udp),
        1 => Just(ProbeType::UdpFixed),
        1 => Just(ProbeType::IcmpEcho),
        1 => Just(ProbeType::TcpSyn),
        1 => Just(ProbeType::TcpAck),
        1 => Just(ProbeType::UdpLite),
        1 => Just(ProbeType::Protocol(253)),
    ];
    let mode = prop_oneof![Just(FlowMode::Classic), Just(FlowMode::Paris), Just(FlowMode::Dublin)];
    let wait = (0.05..3.0, 0.0..4.0, 0.0..12.0, any::<bool>());
    let shape = (1..4_u8, 4..30_u8, 1..5_u16, 1..40_u16, 0..140_u16, any::<bool>());
    let random = (any::<u16>(), proptest::option::of(any::<u64>()));
    let confirming = proptest::option::of(any::<u32>());
    let numbers = (random, 1..=u16::MAX, prop_oneof![Just(0.0), 0.0..0.05], confirming);
    ((target, probe, mode), shape, wait, numbers).prop_map(|(kind, shape, wait, numbers)| {
        let (target, probe, flow_mode) = kind;
        let is_refused = flow_mode == FlowMode::Dublin && probe != ProbeType::Udp;
        let flow_mode = if is_refused { FlowMode::Paris } else { flow_mode };
        let (first_ttl, max_ttl, queries, in_flight, longer, scout) = shape;
        let ((first_id, key), first_port, send_wait, confirming) = numbers;
        let target: IpAddr = target.parse().unwrap();
        // The source is that of the network, which is not known yet.
        let flow = Flow { source: target, target, probe, ident: 40_000 };
        let mut config = TraceConfig {
            flow_mode,
            first_ttl,
            max_ttl,
            queries,
            in_flight,
            in_flight_exact: wait.3,
            scout,
            wait: Wait {
                max: wait.0,
                here: Some(wait.1).filter(|it| *it > 0.0),
                near: Some(wait.2).filter(|it| *it > 0.0),
                adaptive: wait.3,
            },
            first_id,
            secret: key.map(Secret::new),
            first_port,
            send_wait,
            confirmation: confirming.map(|seed| Confirmation { ident: 40_001, seed }),
            ..TraceConfig::of_flow(&flow)
        };
        if matches!(probe, ProbeType::Protocol(_)) {
            (config.ident, config.confirmation) = (0, None);
        }
        if !matches!(probe, ProbeType::TcpSyn | ProbeType::TcpAck) {
            config.packet_len = config.least_len() + longer;
        }
        config
    })
}

/// The network of a seed; somebody forges answers to its prober, or not.
fn network(seed: u64, config: &TraceConfig) -> Topology {
    let topology = Topology::random(seed);
    let port = u32::from(config.first_port);
    let (answer, first) = match config.probe {
        ProbeType::IcmpEcho => (ForgedAnswer::EchoReply, 1),
        ProbeType::TcpSyn => (ForgedAnswer::SynAck, u32::from(config.first_id) << 16),
        ProbeType::Udp | ProbeType::UdpFixed => (ForgedAnswer::Udp, port),
        _ => return topology,
    };
    let attack = Attack {
        answer,
        ports: (40_000, 40_001),
        numbers: (first, first + 60),
        from_port: config.first_port,
        rate: 300.0,
        after: Span::from_micros(i64::try_from(seed % 50_000).unwrap()),
    };
    if seed.is_multiple_of(2) { topology.attacked(attack) } else { topology }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn over_random_networks(seed: u64, config in configs()) {
        let topology = Topology::random(seed);
        let config = TraceConfig { source: topology.source_for(config.target), ..config };
        let names = topology.names().clone();
        // A classic pcap has no names: its replay is told them.
        for (format, told) in [(Format::PcapNg, NameMap::new()), (Format::Pcap, names.clone())] {
            let mut link = SimLink::new(network(seed, &config));
            let (live, recording) =
                recorded(&mut link, names.clone(), &config, None, format, usize::MAX);
            assert_surveyed(&recording, &config);
            let again = replayed(&recording, &config, told);
            for ((form, live), again) in Form::ALL.iter().zip(&live).zip(&again) {
                prop_assert_eq!(again, live, "{:?} {:?}", format, form);
            }
        }
    }

    #[test]
    fn over_random_networks_in_rounds(
        seed: u64,
        config in configs(),
        interval in 0.02..2.0,
        rounds in prop_oneof![3 => (1..6_u64).prop_map(Some), 1 => Just(None)],
        left in 1..400_usize,
    ) {
        let topology = Topology::random(seed);
        let config = TraceConfig { source: topology.source_for(config.target), ..config };
        let names = topology.names().clone();
        let plan = Plan { interval, rounds, until: None };
        // Rounds without end are interrupted, and some of the others.
        let left = if rounds.is_some() && left > 200 { usize::MAX } else { left };
        let topology = network(seed, &config);
        let (live, recording) =
            recorded(&mut SimLink::new(topology), names, &config, Some(plan), Format::PcapNg, left);
        assert_surveyed(&recording, &config);
        prop_assert_eq!(replayed(&recording, &config, NameMap::new()), live);
    }
}

#[test]
fn over_the_built_in_network_by_the_program_itself() {
    let dir = scratch();
    for name in ["a.pcap", "a.pcapng"] {
        let recording = path_in(&dir, name);
        let path = recording.to_str().unwrap();
        for options in [
            vec!["-n"],
            vec!["-n", "-q1", "-m4"],
            vec!["-n", "-f3", "-N1", "-w", "1"],
            vec!["-n", "--json"],
            vec!["-n", "-f", "40", "-m", "44"],
            vec!["-n", "-z", "0.01", "-p", "65530", "-t", "16", "--json", "-F"],
            vec!["-n", "--format", "ndjson", "-q2"],
            vec!["-n", "--format", "csv", "-m7"],
            vec!["-n", "--format", "atlas"],
            vec!["-n", "--format", "scamper", "-w", "0.2"],
        ] {
            let live = run(&[&["--simulate", "--pcap", path, "203.0.113.9"], &*options].concat());
            let again = replay(&recording, &options);
            assert_eq!(again.stdout, live.stdout, "{name} {options:?}");
            assert_eq!(again.status, live.status, "{name} {options:?}");
        }
    }
    // A pcapng carries names and options.
    let recording = path_in(&dir, "b.pcapng");
    let path = recording.to_str().unwrap();
    let options = ["--simulate", "--pcap", path, "-q2", "-m20", "-w1", "203.0.113.9"];
    for form in Form::ALL {
        let form = ["--format", form.describe().0];
        let live = run(&[&options, &form[..]].concat());
        assert_eq!(replay(&recording, &form).stdout, live.stdout);
        let named = live.stdout.contains("gateway.home.example");
        assert!(named || form[1] == "atlas", "with names: {}", live.stdout);
    }
}
