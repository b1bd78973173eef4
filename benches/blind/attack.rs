//! Runs through a simulated network into which somebody who sees nothing of it sends forged errors, in virtual time.
//!
//! He knows all that can be known from outside: both addresses, the type of probe, its mode, ports and TTLs, and what probes
//! are filled with. He guesses the source port, the IP-ID or flow label, the key; and sweeps one field through all its values.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::link::{Link, LinkError, Received};
use rtrace::probe::craft::{self, ProbeSpec};
use rtrace::probe::{Flow, FlowMode, ProbeType, Secret, Transmit};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{
    Disposition, Engine, Event, Packet, Path, ProbeRef, ProbeSelector, TraceConfig, Tracer,
};
use rtrace::wire::checksum::{checksum, transport};
use rtrace::wire::extension::Family;
use rtrace::wire::{Frame, LinkType, icmpv4, icmpv6, ip, ipv4, ipv6};

/// The targets that are traced.
pub const TARGETS: [&str; 2] = ["203.0.113.9", "2001:db8:113::9"];
/// What asks.
pub const PROBES: [(ProbeType, FlowMode); 9] = [
    (ProbeType::Udp, FlowMode::Classic),
    (ProbeType::Udp, FlowMode::Paris),
    (ProbeType::Udp, FlowMode::Dublin),
    (ProbeType::UdpFixed, FlowMode::Classic),
    (ProbeType::IcmpEcho, FlowMode::Classic),
    (ProbeType::IcmpEcho, FlowMode::Paris),
    (ProbeType::TcpSyn, FlowMode::Classic),
    (ProbeType::UdpLite, FlowMode::Classic),
    (ProbeType::Protocol(253), FlowMode::Classic),
];
/// What forgers sweep.
pub const SWEEPS: [Sweep; 4] =
    [Sweep::SourcePort, Sweep::Id, Sweep::DestinationPort, Sweep::Checksum];
/// Packets a second.
pub const RATE: i64 = 200_000;
/// After this number of packets a forger guesses again what it does not sweep.
const GUESSES: u32 = 1 << 16;

/// Which field takes one value after another: of probes that have none it is the one that is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// With ICMP the identifier.
    SourcePort,
    /// Over IPv6 the flow label.
    Id,
    /// With ICMP the sequence number.
    DestinationPort,
    /// With TCP the sequence number.
    Checksum,
}

/// A translation that leaves its quotes as they are.
const NAT: &str = "nat = { address = \"198.51.100.99\", quotes = \"outside\" }";

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is asked, by a prober who has random numbers.
    pub config: TraceConfig,
    /// Rounds of how many seconds, and for how many.
    pub rounds: Option<(f64, u64)>,
    /// What the second router does to probes.
    pub rewrite: &'static str,
    /// The forger's sweep, and the packets that he sends a second.
    pub sweep: Sweep,
    pub rate: i64,
    /// He has found out the source port, or identifier.
    pub knows_port: bool,
    /// What all that is random begins with.
    pub seed: u64,
}

/// A reply as it was shown: round, probe, responder, round trip.
pub type Shown = (u64, ProbeRef, IpAddr, Option<Span>);

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub shown: Vec<Shown>,
    /// Whether rewritten quotes timed out, and how many frames were handled.
    pub withdrawn: bool,
    pub frames: u64,
    /// What a recording of it holds.
    pub recorded: Vec<(Timestamp, Vec<u8>)>,
}

impl Run {
    /// One of this number of values, all different.
    pub fn number(number: u64, rounds: Option<(f64, u64)>) -> Self {
        let mut rng = fastrand::Rng::with_seed(number);
        let index = |of: usize| usize::try_from(number).unwrap_or(0) % of;
        let target: IpAddr = TARGETS[index(2)].parse().unwrap();
        let (probe, flow_mode) = PROBES[index(2 * PROBES.len()) / 2];
        let sweep = SWEEPS[index(8 * PROBES.len()) / (2 * PROBES.len())];
        let rewrite = if rng.u8(..4) == 0 { NAT } else { "" };
        let ident = if matches!(probe, ProbeType::Protocol(_)) { 0 } else { rng.u16(1_024..) };
        let source = topology(rewrite, number).source_for(target);
        let flow = Flow { source, target, probe, ident };
        let mut config = TraceConfig { flow_mode, ..TraceConfig::of_flow(&flow) }.scouting();
        config.first_id = rng.u16(1..);
        config.secret = Some(Secret::new(rng.u64(..)));
        config.flow_label = if target.is_ipv6() { rng.u32(..1 << 20) } else { 0 };
        config.queries = if rounds.is_some() { 1 } else { 3 };
        Self { config, rounds, rewrite, sweep, rate: RATE, knows_port: false, seed: number }
    }

    /// What it comes to, with or without the forger.
    pub fn outcome(&self, attacked: bool) -> Outcome {
        let link = SimLink::new(topology(self.rewrite, self.seed));
        let mut link = Attacked::new(link, self, if attacked { self.rate } else { 0 });
        let mut outcome = Outcome::default();
        let config = self.config.clone();
        let mut engine: Box<dyn Engine> = match self.plan() {
            Some(plan) => Box::new(Rounds::new(config, plan).unwrap()),
            None => Box::new(Tracer::new(config).unwrap()),
        };
        driver::run(&mut *engine, &mut link, &mut outcome).unwrap();
        outcome.shown.sort();
        outcome
    }

    /// The first of the forger's frames.
    pub fn forged(&self, count: usize) -> Vec<Vec<u8>> {
        let mut forger = Forger::new(self);
        let forge = |_| {
            let mut frame = Vec::new();
            forger.forge(&mut frame);
            frame
        };
        (0..count).map(forge).collect()
    }

    /// What a replay of that comes to.
    pub fn replayed(&self, recorded: &[(Timestamp, Vec<u8>)]) -> Outcome {
        let config = self.config.clone();
        let mut engine: Box<dyn Engine> = match self.plan() {
            Some(plan) => Box::new(Rounds::passive(config, plan).unwrap()),
            None => Box::new(Tracer::passive(config, ProbeSelector::One).unwrap()),
        };
        let mut outcome = Outcome::default();
        for (number, (at, bytes)) in (1..).zip(recorded) {
            let frame = Frame { number, ..Frame::whole(*at, LinkType::Raw, bytes) };
            let (disposition, path) = engine.handle_packet(&Packet::of(&frame));
            outcome.frame(TraceId::FIRST, &frame, disposition, path);
            while let Some((event, path)) = engine.poll_event() {
                outcome.event(TraceId::FIRST, event, path);
            }
        }
        outcome.shown.sort();
        outcome
    }

    fn plan(&self) -> Option<Plan> {
        let (interval, rounds) = self.rounds?;
        Some(Plan { interval, rounds: Some(rounds), until: None })
    }

    /// What went wrong under attack, if anything did: forged hops, and true replies that are missing.
    pub fn flaws(&self) -> (usize, usize, Outcome) {
        let (quiet, attacked) = (self.outcome(false), self.outcome(true));
        let forged = attacked.shown.iter().filter(|it| is_made_up(it.2)).count();
        let lost = quiet.shown.iter().filter(|it| !attacked.shown.contains(it)).count();
        (forged, lost, attacked)
    }
}

impl Observer for Outcome {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.frames += 1;
        if disposition.concerns_the_trace() {
            self.recorded.push((frame.at, frame.bytes.to_vec()));
        }
        self.withdrawn |= path.totals.withdrawn;
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        let (Event::Replied(at, index) | Event::LateReply(at, index)) = event else { return };
        let reply = &path.probe(at).unwrap().replies[index];
        self.shown.push((path.round_number(), at, reply.responder, reply.rtt));
    }
}

/// Whether an address is one of those that forged errors come from.
fn is_made_up(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 240,
        IpAddr::V6(address) => address.segments()[2] == 0xbad,
    }
}

/// Eight routers and a target, some of whom quote eight octets; the second may rewrite what passes.
fn topology(rewrite: &str, seed: u64) -> Topology {
    let mut text = format!("seed = {seed}\nsource = \"192.0.2.2\"\nsource6 = \"2001:db8::2\"\n");
    for hop in 1..=8 {
        let _ = write!(
            text,
            "[[hop]]\naddress = \"198.51.100.{hop}\"\naddress6 = \"2001:db8:100::{hop}\"\ndelay = \"1.5ms\"\n"
        );
        if hop == 2 {
            let _ = writeln!(text, "{rewrite}");
        }
        if hop % 3 != 0 {
            text.push_str("quote = 28\n");
        }
    }
    text.push_str(
        "[target]\naddress = \"203.0.113.9\"\naddress6 = \"2001:db8:113::9\"\ndelay = \"2ms\"\n",
    );
    Topology::parse(&text, "attack").unwrap()
}

/// A link on which forged frames arrive between the others.
struct Attacked {
    inner: SimLink,
    forger: Forger,
    /// When the next comes, how far they are apart, and how many are still to come.
    next: Timestamp,
    every: Span,
    left: i64,
    frame: Vec<u8>,
}

impl Attacked {
    fn new(inner: SimLink, run: &Run, rate: i64) -> Self {
        let seconds = run.rounds.map_or(1.0, |(interval, rounds)| {
            #[expect(clippy::cast_precision_loss, reason = "they are few")]
            let rounds = rounds as f64;
            interval * rounds
        });
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "few")]
        let left = (rate as f64 * seconds) as i64;
        Self {
            next: inner.now(),
            every: Span::from_nanos(1_000_000_000 / rate.max(1)),
            left,
            forger: Forger::new(run),
            inner,
            frame: Vec::new(),
        }
    }
}

impl Link for Attacked {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.inner.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        let next = Some(self.next).filter(|_| self.left > 0);
        let bound = until.into_iter().chain(next).min();
        let at = match self.inner.receive(bound)? {
            Received::Frame(frame) => {
                self.frame.clear();
                self.frame.extend_from_slice(frame.bytes);
                frame.at
            }
            Received::Quiet(at) if next.is_some_and(|next| next <= at) => {
                self.left -= 1;
                self.next = self.next.after(self.every);
                self.forger.forge(&mut self.frame);
                at
            }
            Received::Quiet(at) => return Ok(Received::Quiet(at)),
            other => {
                assert!(matches!(other, Received::End));
                return Ok(Received::End);
            }
        };
        let link = LinkType::Raw;
        Ok(Received::Frame(Frame::whole(at, link, &self.frame)))
    }
}

/// Who guesses.
struct Forger {
    config: TraceConfig,
    sweep: Sweep,
    knows_port: bool,
    rng: fastrand::Rng,
    sent: u32,
    /// The datagram that he quotes, but for the field that he sweeps.
    quote: Vec<u8>,
}

impl Forger {
    fn new(run: &Run) -> Self {
        let rng = fastrand::Rng::with_seed(run.seed ^ 0xbad);
        let (config, quote) = (run.config.clone(), Vec::new());
        Self { config, sweep: run.sweep, knows_port: run.knows_port, rng, sent: 0, quote }
    }

    /// Guesses what he does not know, and makes a probe of it.
    fn guess(&mut self) {
        let config = &self.config;
        let rng = &mut self.rng;
        let number = rng.u32(..90);
        let guessed = rng.u16(1_024..);
        let ident = if self.knows_port { config.ident } else { guessed };
        let flow = Flow { ident, ..config.flow() };
        let spec = ProbeSpec {
            flow,
            mode: config.flow_mode,
            number,
            serial: number,
            ttl: 1,
            tos: config.tos,
            dont_fragment: config.dont_fragment,
            flow_label: rng.u32(..1 << 20),
            len: config.packet_len,
            first_port: config.first_port,
            flow_number: 0,
            first_id: rng.u16(1..),
            key: Some(rng.u64(..)),
            evidence: config.evidence,
        };
        craft::craft(&spec, &mut self.quote);
        // Every other quote looks as if it had been translated, and one of four shows no more than it has to.
        if rng.bool() {
            let at = if config.target.is_ipv4() { 15 } else { 23 };
            self.quote[at] = rng.u8(..);
        }
        if rng.u8(..4) == 0 {
            self.quote.truncate(usize::from(craft::ip_header_len(Family::of(config.target))) + 8);
        }
    }

    /// The next error.
    fn forge(&mut self, frame: &mut Vec<u8>) {
        if self.sent.is_multiple_of(GUESSES) {
            self.guess();
        }
        self.sent += 1;
        let v4 = self.config.target.is_ipv4();
        let head = if v4 { 20 } else { 40 };
        let echo = self.config.probe == ProbeType::IcmpEcho;
        let tcp = matches!(self.config.probe, ProbeType::TcpSyn | ProbeType::TcpAck);
        let at = match self.sweep {
            Sweep::Id => {
                if v4 {
                    4
                } else {
                    2
                }
            }
            Sweep::SourcePort => head + if echo { 4 } else { 0 },
            Sweep::DestinationPort => head + if echo { 6 } else { 2 },
            Sweep::Checksum => {
                head + if echo {
                    2
                } else if tcp {
                    4
                } else {
                    6
                }
            }
        };
        let value = u16::try_from(self.sent & 0xffff).unwrap();
        self.quote[at..at + 2].copy_from_slice(&value.to_be_bytes());
        let kind = match (v4, self.rng.bool()) {
            (true, true) => icmpv4::TIME_EXCEEDED,
            (true, false) => icmpv4::UNREACHABLE,
            (false, true) => icmpv6::TIME_EXCEEDED,
            (false, false) => icmpv6::UNREACHABLE,
        };
        self.wrap(kind, frame);
    }

    /// An error of this type about the quote, from an address that nobody has.
    fn wrap(&mut self, kind: u8, frame: &mut Vec<u8>) {
        frame.clear();
        let len = u16::try_from(8 + self.quote.len()).unwrap();
        let low = self.rng.u8(1..);
        let (source, protocol): (IpAddr, u8) = match self.config.source {
            IpAddr::V4(us) => {
                let from = Ipv4Addr::new(240, 0, 0, low);
                frame.extend([0x45, 0]);
                frame.extend((20 + len).to_be_bytes());
                frame.extend([0, 1, 0, 0, 60, ipv4::ICMP, 0, 0]);
                frame.extend(from.octets());
                frame.extend(us.octets());
                let sum = checksum(frame);
                frame[10..12].copy_from_slice(&sum.to_be_bytes());
                (from.into(), ipv4::ICMP)
            }
            IpAddr::V6(us) => {
                let from = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, low.into());
                frame.extend([0x60, 0, 0, 0]);
                frame.extend(len.to_be_bytes());
                frame.extend([ipv6::ICMPV6, 60]);
                frame.extend(from.octets());
                frame.extend(us.octets());
                (from.into(), ipv6::ICMPV6)
            }
        };
        let head = frame.len();
        frame.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend_from_slice(&self.quote);
        let message = &frame[head..];
        let sum = match source {
            IpAddr::V4(_) => checksum(message),
            IpAddr::V6(_) => transport(source, self.config.source, protocol, message),
        };
        frame[head + 2..head + 4].copy_from_slice(&sum.to_be_bytes());
        debug_assert!(ip::decode(frame).is_ok());
    }
}
