//! Networks that balance, lose and limit, and what traces, maps and watches of them come to, in virtual time.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use rtrace::compare::Trace;
use rtrace::compare::maps::Map;
use rtrace::driver::{self, Observer};
use rtrace::enrich::Annotations;
use rtrace::enrich::names::Names;
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::probe::{Flow, FlowMode, ProbeType};
use rtrace::render::json::Json;
use rtrace::render::paths::{Form, PathsReport};
use rtrace::render::text::Style;
use rtrace::render::{Renderer, View};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::paths::{self, Paths};
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{Disposition, Engine, Event, Path, TraceConfig, Tracer};
use rtrace::wire::{Frame, LinkType};

const TARGET: [u8; 4] = [203, 0, 113, 9];

/// A kind of runs: its name, and whether the run of a number says "changed".
pub struct Kind(pub String, pub Box<dyn Fn(u64) -> bool + Sync>);

/// A network: at each hop this number of routers, numbered from an offset.
#[derive(Clone, Debug)]
pub struct Network {
    pub hops: Vec<(u8, u8)>,
    pub by_packet: bool,
    /// Of each router, there and back.
    pub loss: f64,
    /// How many times the share of the others the first router of each hop has.
    pub weight: u32,
    /// Every router sends one error a second, six at once.
    pub limited: bool,
    /// Routers answer from two addresses in turn.
    pub two_addresses: bool,
    /// By what flows are hashed, and of all that is left to chance.
    pub seed: u64,
}

impl Network {
    /// Eight hops, of which those from the third on have this number of routers.
    pub fn balanced(width: u8, stages: usize) -> Self {
        let hops = (0..8).map(|at| if (2..2 + stages).contains(&at) { (width, 1) } else { (1, 1) });
        let hops = hops.collect();
        Self {
            hops,
            by_packet: false,
            loss: 0.0,
            weight: 1,
            limited: false,
            two_addresses: false,
            seed: 0,
        }
    }

    pub fn topology(&self) -> Topology {
        let balance = if self.by_packet { "packet" } else { "flow" };
        let mut text =
            format!("seed = {}\nsource = \"192.0.2.2\"\nbalance = \"{balance}\"\n", self.seed);
        let loss =
            |loss: f64| if loss > 0.0 { format!("reply_loss = {loss}\n") } else { String::new() };
        let limit = if self.limited { "rate = { per_second = 1, burst = 6 }\n" } else { "" };
        for (hop, (width, first)) in (1..).zip(&self.hops) {
            let _ = write!(text, "[[hop]]\ndelay = \"1ms\"\n{}{limit}routers = [", loss(self.loss));
            for router in 0..*width {
                let number = first + router;
                let also = format!(", also = [\"10.{hop}.1.{number}\"]");
                let also = if self.two_addresses { also.as_str() } else { "" };
                let weight = if router == 0 { self.weight } else { 1 };
                let _ = write!(
                    text,
                    "{{ address = \"10.{hop}.0.{number}\", balance = \"{balance}\", weight = {weight}{also} }}, "
                );
            }
            text.push_str("]\n");
        }
        let _ = write!(text, "[target]\ndelay = \"1ms\"\n{}", loss(self.loss));
        Topology::parse(&text, "test").unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }
}

/// By `queries` a hop, from this port.
pub fn config(queries: u16, port: u16, paris: bool) -> TraceConfig {
    let source = IpAddr::from([192, 0, 2, 2]);
    let flow = Flow { source, target: TARGET.into(), probe: ProbeType::Udp, ident: port };
    let flow_mode = if paris { FlowMode::Paris } else { FlowMode::Classic };
    TraceConfig { queries, flow_mode, ..TraceConfig::of_flow(&flow).scouting() }
}

struct Ignores;
impl Observer for Ignores {}

fn nameless() -> Annotations {
    Names::fixed(HashMap::<IpAddr, String>::new()).into()
}

fn document(config: &TraceConfig, path: &Path) -> Trace {
    let (mut json, nameless) = (Vec::new(), nameless());
    Json::new(&mut json, Style::default()).end(View::of(config, path, &nameless)).unwrap();
    Trace::parse(&json).unwrap()
}

/// What `rtrace --json` says of this network, read as `rtrace diff` does.
pub fn trace(network: &Network, config: &TraceConfig) -> Trace {
    let mut tracer = Tracer::new(config.clone()).unwrap();
    driver::run(&mut tracer, &mut SimLink::new(network.topology()), &mut Ignores).unwrap();
    document(config, tracer.path())
}

/// What `rtrace paths --json` says of it.
pub fn map(network: &Network, config: &TraceConfig, percent: f64) -> Map {
    let confidence = paths::Confidence { percent, whole_graph: false };
    let plan = paths::Plan { confidence, ..paths::Plan::default() };
    let mut paths = Paths::new(config.clone(), plan).unwrap();
    driver::run(&mut paths, &mut SimLink::new(network.topology()), &mut Ignores).unwrap();
    let (mut json, nameless) = (Vec::new(), nameless());
    let view = View::of(config, paths.path(), &nameless);
    PathsReport::new(&mut json, Form::Json, false, plan).end(view).unwrap();
    Map::parse(&json).unwrap()
}

/// Makes one document of all rounds.
struct Joins<'a>(&'a TraceConfig, Option<Trace>);

impl Observer for Joins<'_> {
    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        if event == Event::Ended {
            let round = document(self.0, path);
            match &mut self.1 {
                Some(trace) => trace.join(round),
                first => *first = Some(round),
            }
        }
    }
}

const fn plan(rounds: u64) -> Plan {
    Plan { interval: 1.0, rounds: Some(rounds), until: None }
}

/// A recording of this number of rounds, read as `rtrace diff` does.
pub fn rounds(network: &Network, config: &TraceConfig, count: u64) -> Trace {
    let mut rounds = Rounds::new(config.clone(), plan(count)).unwrap();
    let mut joins = Joins(config, None);
    driver::run(&mut rounds, &mut SimLink::new(network.topology()), &mut joins).unwrap();
    joins.1.unwrap()
}

#[derive(Default)]
struct Records(Vec<(Timestamp, Vec<u8>)>);

impl Observer for Records {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if disposition.concerns_the_trace() {
            self.0.push((frame.at, frame.bytes.to_vec()));
        }
    }
}

fn recorded(network: &Network, config: &TraceConfig, count: u64) -> Vec<(Timestamp, Vec<u8>)> {
    let mut rounds = Rounds::new(config.clone(), plan(count)).unwrap();
    let mut records = Records::default();
    driver::run(&mut rounds, &mut SimLink::new(network.topology()), &mut records).unwrap();
    records.0
}

/// A watch of this number of rounds, a second each, of a network that becomes another one with the round of this number. What
/// it comes to is handed, event by event, to `sees`: it is the replay of frames of both.
pub fn watch(
    network: &Network,
    becomes: Option<(u64, &Network)>,
    config: &TraceConfig,
    count: u64,
    mut sees: impl FnMut(Event, &Path),
) {
    let mut frames = recorded(network, config, count);
    if let Some((round, other)) = becomes {
        let seconds = i64::try_from(round.saturating_sub(1)).unwrap();
        let moment = START.after(Span::from_millis(1_000 * seconds));
        frames.retain(|(at, _)| *at < moment);
        let later = recorded(other, config, count);
        frames.extend(later.into_iter().filter(|(at, _)| *at >= moment));
    }
    let mut rounds = Rounds::passive(config.clone(), plan(count)).unwrap();
    let mut tell = |rounds: &mut Rounds| {
        while let Some((event, path)) = rounds.poll_event() {
            sees(event, path);
        }
    };
    for (number, (at, bytes)) in (1..).zip(&frames) {
        rounds.handle_frame(&Frame { number, ..Frame::whole(*at, LinkType::Raw, bytes) });
        tell(&mut rounds);
    }
    rounds.finish();
    tell(&mut rounds);
}
