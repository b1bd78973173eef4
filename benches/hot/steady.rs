//! What is allocated on the hot paths once a tracer is built.
//!
//! Whole traces are run over simulated networks, with every kind of probe, and watched again as a
//! replay does. Each call is counted by itself, from a trace's first on. The bench prints the counts;
//! the test suite demands that they are zero, but for what [`ALLOWED`] names.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::IpAddr;

use rtrace::link::sim::{SimLink, Topology};
use rtrace::link::{Link, Received};
use rtrace::probe::craft::{self, ProbeSpec};
use rtrace::probe::{Flow, FlowMode, ProbeType};
use rtrace::time::Timestamp;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{
    Disposition, Engine, ProbeRef, ProbeSelector, Reply, ReplyKind, TraceConfig, Tracer,
};
use rtrace::wire::{Frame, LinkType, ip, link, quoted};

use super::counting::{allocations, bytes};

/// What may allocate: a reply with an extension keeps its objects, and the second reply to a probe
/// makes room for itself and more.
pub const ALLOWED: [&str; 2] = ["correlate reply with extension", "correlate further reply"];

pub const TARGETS: [&str; 2] = ["203.0.113.9", "2001:db8:113::9"];
pub const KINDS: [ProbeType; 7] = [
    ProbeType::Udp,
    ProbeType::UdpFixed,
    ProbeType::IcmpEcho,
    ProbeType::TcpSyn,
    ProbeType::TcpAck,
    ProbeType::UdpLite,
    ProbeType::Protocol(253),
];
const MODES: [FlowMode; 3] = [FlowMode::Classic, FlowMode::Paris, FlowMode::Dublin];
const CRAFTED: u32 = 1_000;

/// Allocations on one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames, or calls where the path has none.
    pub times: u64,
    pub allocations: u64,
}

/// Allocations by path.
#[derive(Default)]
pub struct Tallies(pub BTreeMap<&'static str, Tally>);

impl Tallies {
    /// Counts what was allocated since there were `before`.
    fn add(&mut self, path: &'static str, before: u64) {
        let made = allocations() - before;
        let tally = self.0.entry(path).or_default();
        tally.times += 1;
        tally.allocations += made;
    }
}

/// Counts on every path.
pub fn tallies() -> Tallies {
    let mut tallies = Tallies::default();
    for target in TARGETS {
        for probe in KINDS {
            let config = config(target, probe);
            count_craft(&config, &mut tallies);
            for config in [config.clone(), config.scouting()] {
                let frames = trace(&config, &mut tallies);
                count_decode(&frames, &mut tallies);
                let mut tracer = Tracer::passive(config.clone(), ProbeSelector::One).unwrap();
                watch(&mut tracer, &frames, &mut tallies);
                let plan = Plan { interval: 60.0, rounds: None, until: None };
                watch(&mut Rounds::passive(config, plan).unwrap(), &frames, &mut tallies);
            }
        }
    }
    tallies
}

/// How many bytes a tracer allocates when it is built.
pub fn built(build: impl FnOnce() -> Tracer) -> u64 {
    let before = bytes();
    black_box(build());
    bytes() - before
}

/// A trace with defaults through the built-in network.
pub fn config(target: &str, probe: ProbeType) -> TraceConfig {
    let target: IpAddr = target.parse().unwrap();
    let source = Topology::builtin().source_for(target);
    TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 })
}

/// A probe of a trace, as its tracer would have it made.
pub fn spec(config: &TraceConfig, mode: FlowMode, number: u32) -> ProbeSpec {
    ProbeSpec {
        flow: config.flow(),
        mode,
        number,
        serial: number,
        ttl: config.first_ttl,
        tos: config.tos,
        dont_fragment: config.dont_fragment,
        flow_label: config.flow_label,
        len: config.packet_len,
        first_port: config.first_port,
        flow_number: 0,
        first_id: config.first_id,
        key: config.secret.map(|secret| secret.key),
        evidence: config.evidence,
    }
}

fn count_craft(config: &TraceConfig, tallies: &mut Tallies) {
    let mut buffer = Vec::new();
    for mode in MODES {
        // The longest first: over IPv6 the length may be what rises.
        craft::craft(&spec(config, mode, CRAFTED), &mut buffer);
        for number in 0..CRAFTED {
            let before = allocations();
            craft::craft(&spec(config, mode, number), &mut buffer);
            tallies.add("craft", before);
        }
    }
}

fn count_decode(frames: &[(Timestamp, Vec<u8>)], tallies: &mut Tallies) {
    for (_, bytes) in frames {
        let before = allocations();
        let datagram = link::ip_datagram(LinkType::Raw, bytes).unwrap().unwrap();
        let (header, payload) = ip::decode(datagram).unwrap();
        if let Ok(icmp) = ip::icmp(header.family(), payload) {
            black_box(quoted::decode(icmp.body).ok());
        }
        tallies.add("decode", before);
    }
}

/// Runs a trace; gives the frames that were seen.
fn trace(config: &TraceConfig, tallies: &mut Tallies) -> Vec<(Timestamp, Vec<u8>)> {
    let mut tracer = Tracer::new(config.clone()).unwrap();
    let mut link = SimLink::new(Topology::builtin());
    let mut frames = Vec::new();
    loop {
        while let Some(transmit) = {
            let before = allocations();
            let transmit = tracer.poll_transmit(link.now());
            tallies.add("schedule", before);
            transmit
        } {
            link.send(&transmit).unwrap();
        }
        let before = allocations();
        let (done, until) = (tracer.is_done(), tracer.poll_timeout());
        tallies.add("schedule", before);
        if done {
            break;
        }
        match link.receive(until).unwrap() {
            Received::Frame(frame) => {
                frames.push((frame.at, frame.bytes.to_vec()));
                handle(&mut tracer, frame.at, frame.bytes, tallies);
            }
            Received::Quiet(at) => {
                let before = allocations();
                tracer.handle_timeout(at);
                tallies.add("deadline", before);
            }
            _ => break,
        }
        take_events(&mut tracer, tallies);
    }
    finish(&mut tracer, tallies);
    frames
}

/// Has a tracer watch these frames, as in a replay, among others.
fn watch(tracer: &mut dyn Engine, frames: &[(Timestamp, Vec<u8>)], tallies: &mut Tallies) {
    for (at, bytes) in frames {
        handle(tracer, *at, bytes, tallies);
        take_events(tracer, tallies);
    }
    finish(tracer, tallies);
}

/// Has the tracer handle a frame, and then one like it that is not of the trace.
fn handle(tracer: &mut dyn Engine, at: Timestamp, bytes: &[u8], tallies: &mut Tallies) {
    let disposition = handle_one(tracer, at, bytes, tallies);
    let v6 = bytes[0] >> 4 == 6;
    let mut other = bytes.to_vec();
    match disposition {
        Disposition::OwnProbe(_) => {
            assert_eq!(handle_one(tracer, at, bytes, tallies), Disposition::Repeated);
            other[if v6 { 39 } else { 19 }] ^= 0xff;
        }
        // The end of the address to which the quoted datagram went.
        Disposition::Reply(probe, Some(index))
            if matches!(reply(tracer, probe, index).kind, ReplyKind::Icmp { .. }) =>
        {
            other[if v6 { 40 + 8 + 39 } else { 20 + 8 + 19 }] ^= 0xff;
            let again = handle_one(tracer, at, bytes, tallies);
            assert!(matches!(again, Disposition::Reply(_, Some(1))));
        }
        _ => return,
    }
    assert_eq!(handle_one(tracer, at, &other, tallies), Disposition::Unrelated);
}

fn handle_one(
    tracer: &mut dyn Engine,
    at: Timestamp,
    bytes: &[u8],
    tallies: &mut Tallies,
) -> Disposition {
    let frame = Frame { number: 1, ..Frame::whole(at, LinkType::Raw, bytes) };
    let before = allocations();
    let disposition = tracer.handle_frame(&frame);
    let made_by = match disposition {
        Disposition::OwnProbe(_) => "correlate own probe",
        Disposition::Reply(_, None | Some(1..)) => "correlate further reply",
        Disposition::Reply(probe, Some(0)) if reply(tracer, probe, 0).extension.is_some() => {
            "correlate reply with extension"
        }
        Disposition::Reply(..) => "correlate reply",
        Disposition::Damaged(_)
        | Disposition::Contradicted(..)
        | Disposition::Unmatched
        | Disposition::Stray
        | Disposition::Repeated
        | Disposition::CutShort
        | Disposition::Unrelated => "correlate unrelated",
    };
    tallies.add(made_by, before);
    disposition
}

fn reply(tracer: &dyn Engine, probe: ProbeRef, index: usize) -> &Reply {
    &tracer.path().probe(probe).unwrap().replies[index]
}

fn take_events(tracer: &mut dyn Engine, tallies: &mut Tallies) {
    let mut more = true;
    while more {
        let before = allocations();
        more = tracer.poll_event().is_some();
        tallies.add("event", before);
    }
}

fn finish(tracer: &mut dyn Engine, tallies: &mut Tallies) {
    let before = allocations();
    tracer.finish();
    tallies.add("deadline", before);
    take_events(tracer, tallies);
}
