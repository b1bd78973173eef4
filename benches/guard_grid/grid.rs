//! Simulated paths over which traces are compared: how many probes they send, and how long they take.

use std::fmt::Write;
use std::net::IpAddr;

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::link::{Link, LinkError, Received};
use rtrace::probe::{Flow, FlowMode, ProbeType, Transmit};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::config::Wait;
use rtrace::trace::{Engine, TraceConfig, Tracer};
use rtrace::wire::{Frame, LinkType};

const TARGETS: [&str; 2] = ["203.0.113.9", "2001:db8:300::9"];

/// Where on a path the time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Every link takes the same.
    Even,
    /// This link, from 1, takes nearly all of it.
    Long(u8),
}

/// What is not as it is by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    Plain,
    /// Every third router never answers.
    SilentHops,
    /// The two routers before the target never answer.
    SilentEnd,
    /// The target never answers.
    SilentTarget,
    /// The network loses the scout.
    LostScout,
    /// The target sends six ICMP errors at once and then one a second, as Linux does; so do all routers.
    Limited,
    Paris,
    Echo,
    Tcp,
    V6,
    OneQuery,
    /// Replies are reconstructed from what the kernel reports to sockets without privilege.
    Sockets,
}

/// A path, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub hops: u8,
    pub rtt: Span,
    pub shape: Shape,
    pub twist: Twist,
}

/// Who traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// rtrace by default.
    Scouting,
    /// traceroute's order, window and waits.
    Traceroute,
}

/// What a trace came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub sent: u64,
    /// The fewest probes that it can do with.
    pub needed: u64,
    pub time: Span,
    /// Whether the target has all its queries, and an answer of its own to each.
    pub is_complete: bool,
    /// Whether the hops are those that are there, each with its responders.
    pub is_right: bool,
}

impl Outcome {
    pub fn excess(&self) -> i64 {
        self.sent.cast_signed() - self.needed.cast_signed()
    }
}

impl Case {
    /// A path on which everything is as by default.
    pub fn plain(hops: u8, rtt_ms: i64, shape: Shape) -> Self {
        Self { hops, rtt: Span::from_millis(rtt_ms), shape, twist: Twist::Plain }
    }

    pub fn with(self, twist: Twist) -> Self {
        Self { twist, ..self }
    }

    /// Traces this path.
    pub fn run(&self, tool: Tool) -> Outcome {
        let topology = Topology::parse(&self.topology(), "grid").unwrap();
        let config = self.config(&topology, tool);
        let mut tracer = Tracer::new(config).unwrap();
        let lost = tool == Tool::Scouting && self.twist == Twist::LostScout;
        let mut link = Losing { inner: SimLink::new(topology), loses: lost, echo: None };
        driver::run(&mut tracer, &mut link, &mut Nobody).unwrap();
        self.outcome(&tracer, link.now().since(START))
    }

    fn outcome(&self, tracer: &Tracer, time: Span) -> Outcome {
        let (path, config) = (tracer.path(), tracer.config());
        let target = path.hop(self.hops).map_or(&[][..], |hop| &hop.probes);
        let own = |it: &&rtrace::trace::path::Probe| {
            it.answer().is_some_and(|reply| reply.responder == config.target)
        };
        let answers = target.iter().filter(own).count();
        let is_silent = self.twist == Twist::SilentTarget;
        let is_right = path.reported().iter().take(self.hops.into()).all(|hop| {
            let mut replies = hop.probes.iter().filter_map(|probe| probe.answer());
            let is_target = hop.ttl == self.hops;
            replies.all(|it| (it.responder == config.target) == is_target)
                && (self.is_silent(hop.ttl) || hop.probes.iter().any(|it| it.answer().is_some()))
        });
        let asked = if is_silent { config.max_ttl } else { self.hops };
        let ends = path.end == Some(self.hops) || is_silent && path.end.is_none();
        Outcome {
            sent: path.totals.sent,
            needed: u64::from(asked) * u64::from(config.queries),
            time,
            is_complete: is_silent || answers == usize::from(config.queries),
            is_right: is_right && ends && path.reported().len() >= self.hops.into(),
        }
    }

    fn is_silent(&self, ttl: u8) -> bool {
        match self.twist {
            Twist::SilentHops => ttl % 3 == 2 && ttl < self.hops,
            Twist::SilentEnd => ttl + 2 >= self.hops && ttl < self.hops && self.hops > 3,
            Twist::SilentTarget => ttl == self.hops,
            _ => false,
        }
    }

    /// What is asked of it.
    pub fn config(&self, topology: &Topology, tool: Tool) -> TraceConfig {
        let target: IpAddr = TARGETS[usize::from(self.twist == Twist::V6)].parse().unwrap();
        let probe = match self.twist {
            Twist::Echo => ProbeType::IcmpEcho,
            Twist::Tcp => ProbeType::TcpSyn,
            _ => ProbeType::Udp,
        };
        let source = topology.source_for(target);
        let config = TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 });
        let queries = if self.twist == Twist::OneQuery { 1 } else { 3 };
        let flow_mode =
            if self.twist == Twist::Paris { FlowMode::Paris } else { FlowMode::Classic };
        let evidence = topology.evidence();
        let config = TraceConfig { queries, flow_mode, evidence, ..config };
        match tool {
            Tool::Scouting => config.scouting(),
            Tool::Traceroute => {
                let wait = Wait { adaptive: false, ..config.wait };
                TraceConfig { in_flight_exact: true, wait, ..config }
            }
        }
    }

    /// The network as a file says it.
    pub fn topology(&self) -> String {
        let sockets = self.twist == Twist::Sockets;
        let mut text = format!("sockets = {sockets}\n");
        text += "source = \"192.0.2.2\"\nsource6 = \"2001:db8::2\"\n";
        for link in 1..=self.hops {
            if link == self.hops {
                text += "[target]\n";
            } else {
                let address = format!("\"198.51.100.{link}\"\naddress6 = \"2001:db8:100::{link}\"");
                writeln!(text, "[[hop]]\naddress = {address}").unwrap();
            }
            writeln!(text, "delay = \"{}ns\"", self.one_way(link)).unwrap();
            if self.is_silent(link) {
                text += "silent = true\n";
            }
            if self.twist == Twist::Limited {
                text += "rate = { per_second = 1, burst = 6 }\n";
            }
        }
        text
    }

    /// How many nanoseconds this link takes each way.
    fn one_way(&self, link: u8) -> i64 {
        let (all, links) = (self.rtt.nanos() / 2, i64::from(self.hops));
        let Shape::Long(long) = self.shape else { return all / links };
        // Others take half a millisecond of round trip, if they are not most of it then.
        let other = 250_000.min(all / (4 * links));
        if link == long { all - other * (links - 1) } else { other }
    }
}

/// Looks on.
struct Nobody;

impl Observer for Nobody {}

/// A network that may lose the first probe.
struct Losing {
    inner: SimLink,
    loses: bool,
    /// That probe, which is still captured on its way out.
    echo: Option<(Timestamp, Vec<u8>)>,
}

impl Link for Losing {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        if std::mem::take(&mut self.loses) {
            self.echo = Some((self.now(), transmit.datagram.to_vec()));
            return Ok(());
        }
        self.inner.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        self.loses = false;
        let Some((at, bytes)) = self.echo.take() else { return self.inner.receive(until) };
        // The driver copies nothing, so what it is shown has to live on.
        let bytes = Vec::leak(bytes);
        let frame = Frame::whole(at, LinkType::Raw, bytes);
        Ok(Received::Frame(frame))
    }
}

/// The grid: all these lengths and round trips, each spread evenly and in one long link, whose place differs from path to
/// path.
pub fn grid(lengths: impl Iterator<Item = u8>, rtts_ms: &[i64]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (row, hops) in lengths.enumerate() {
        for (column, rtt) in rtts_ms.iter().enumerate() {
            let places = [1, hops / 3 + 1, 2 * hops / 3 + 1, hops];
            let long = Shape::Long(places[(row + column) % places.len()]);
            cases.extend([Shape::Even, long].map(|shape| Case::plain(hops, *rtt, shape)));
        }
    }
    cases
}

/// What many traces came to, beside traceroute's of the same paths.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub excess: Vec<i64>,
    /// By how many probes more than traceroute, or fewer.
    pub more: Vec<i64>,
    /// How long in round trips, after 10 ms are taken off.
    pub round_trips: Vec<f64>,
    /// The same by traceroute's time.
    pub ratio: Vec<f64>,
    /// Whether the target answered all its queries itself.
    pub complete: Vec<bool>,
    pub wrong: Vec<Case>,
}

impl Summary {
    /// Traces each of these paths with both tools.
    pub fn of(cases: &[Case], tool: Tool) -> Self {
        let mut summary = Self::default();
        for case in cases {
            summary.add(case, case.run(tool), case.run(Tool::Traceroute));
        }
        summary
    }

    fn add(&mut self, case: &Case, outcome: Outcome, traceroute: Outcome) {
        let slack = Span::from_millis(10);
        self.excess.push(outcome.excess());
        self.more.push(outcome.excess() - traceroute.excess());
        let time = (outcome.time.secs_f64() - slack.secs_f64()).max(0.0);
        self.round_trips.push(time / case.rtt.secs_f64());
        self.ratio.push(time / traceroute.time.secs_f64());
        self.complete.push(outcome.is_complete);
        if !outcome.is_right {
            self.wrong.push(*case);
        }
    }
}

/// The mean of these.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub fn mean(values: &[i64]) -> f64 {
    values.iter().sum::<i64>() as f64 / values.len() as f64
}

/// The value that this share of them does not exceed.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub fn quantile<T: Copy + PartialOrd>(values: &[T], share: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let all = sorted.len() as f64;
    let reaches = (1_u32..).zip(&sorted).find(|(count, _)| f64::from(*count) >= share * all);
    reaches.map(|(_, value)| *value).unwrap()
}

/// The share of them of which this holds.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub fn share<T>(values: &[T], holds: impl Fn(&T) -> bool) -> f64 {
    values.iter().filter(|it| holds(it)).count() as f64 / values.len() as f64
}
