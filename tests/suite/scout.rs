//! The scout: how long a trace takes and how many probes it needs, over simulated paths in virtual time.

use std::net::IpAddr;

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::probe::{Flow, FlowMode, ProbeType};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::path::Outcome;
use rtrace::trace::{Engine, Stop, TraceConfig, Tracer};

use crate::support::line_of;

/// Looks on.
struct Nobody;

impl Observer for Nobody {
    fn refused(&mut self, _: TraceId, error: &LinkError) {
        panic!("{error}");
    }
}

/// A trace through this network, and how long it took.
fn traced(topology: &str, change: impl FnOnce(TraceConfig) -> TraceConfig) -> (Tracer, Span) {
    let topology = Topology::parse(topology, "test").unwrap();
    let target = IpAddr::from([203, 0, 113, 9]);
    let (source, probe, ident) = (topology.source_for(target), ProbeType::Udp, 40_000);
    let config = TraceConfig::of_flow(&Flow { source, target, probe, ident }).scouting();
    let mut tracer = Tracer::new(change(config)).unwrap();
    let mut link = SimLink::new(topology);
    driver::run(&mut tracer, &mut link, &mut Nobody).unwrap();
    (tracer, link.now().since(START))
}

/// So many links, each of which takes `one_way`; `hop` and `target` are put into their tables.
fn line(links: u8, one_way: &str, hop: &str, target: &str) -> String {
    line_of(&vec![hop; usize::from(links) - 1], one_way, target)
}

fn file(name: &str) -> String {
    let path = format!("{}/benches/topologies/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Every hop has its queries, all answered, each hop by one responder; the last by the target.
fn assert_complete(tracer: &Tracer, hops: u8) {
    let (path, config) = (tracer.path(), tracer.config());
    assert_eq!((path.end, path.stop()), (Some(hops), Stop::TargetReached));
    assert_eq!(path.reported().len(), usize::from(hops));
    for hop in path.reported() {
        let answers: Vec<_> = hop.probes.iter().filter_map(|probe| probe.answer()).collect();
        assert_eq!(answers.len(), usize::from(config.queries), "hop {}", hop.ttl);
        let last = hop.ttl == hops;
        assert!(answers.iter().all(|it| (it.responder == config.target) == last), "{}", hop.ttl);
    }
}

#[test]
fn a_near_target_costs_not_a_probe_too_many() {
    for hops in 1..=29 {
        let (tracer, time) = traced(&line(hops, "100us", "", ""), |config| config);
        assert_complete(&tracer, hops);
        assert_eq!(tracer.path().totals.sent, 3 * u64::from(hops));
        let rtt = Span::from_micros(200 * i64::from(hops));
        assert!(time < Span::from_nanos(2 * rtt.nanos() + 1_000_000), "{hops} hops: {time} ms");
    }
}

/// What the benches measure on a clock, here to the microsecond.
#[test]
fn ten_hops_of_40_ms_take_a_round_trip() {
    let (tracer, time) = traced(&file("ten-hops-40ms"), |config| config);
    assert_complete(&tracer, 10);
    // A scout that the target did not need, and a probe that went past it because the scout was not back yet.
    assert_eq!(tracer.path().totals.sent, 32);
    assert!(time <= Span::from_micros(48_200), "{time} ms");
}

#[test]
fn limited_routers_answer_every_query() {
    let (tracer, _) = traced(&file("ten-hops-limited"), |config| config);
    assert_complete(&tracer, 10);
    // Nobody waits for what went past the target and is not needed.
    let path = tracer.path();
    assert_eq!(path.totals.answered + path.unawaited(), path.totals.sent);
}

#[test]
fn a_silent_target_and_silent_hops_cost_one_wait() {
    let (tracer, time) = traced(&file("thirty-hops-30ms"), |config| config);
    let path = tracer.path();
    assert_eq!((path.totals.sent, path.totals.answered), (90, 69));
    assert_eq!(path.stop(), Stop::MaxHops);
    // What lies beyond the farthest router may be far.
    assert!(time <= Span::from_millis(3_300), "{time} ms");
    // The scout has become the third probe of the last hop.
    let last = path.hop(30).unwrap();
    assert_eq!(last.probes.len(), 3);
    assert!(last.probes.iter().all(|probe| probe.outcome == Outcome::Lost));
    assert!(path.scout.is_none());
}

/// Only what nothing has ended waits because it may be far.
#[test]
fn where_something_ends_the_path_nothing_waits_for_what_may_be_far() {
    let near = Span::from_millis(100);
    for (hop, target) in [("", ""), ("", "unreachable = 'host'"), ("silent = true", "")] {
        let hops = ["", hop, "", ""];
        let (tracer, time) = traced(&line_of(&hops, "500us", target), |config| config);
        assert_eq!((tracer.path().end, tracer.path().totals.sent), (Some(5), 15), "{target}");
        assert!(time <= near, "{hop} {target}: {time} ms");
    }
}

#[test]
fn a_silent_target_costs_what_may_be_far_once() {
    let silent = |one_way| line(4, one_way, "", "silent = true");
    for one_way in ["100us", "5ms", "12500us"] {
        let (_, time) = traced(&silent(one_way), |config| config);
        assert!(Span::from_millis(3_000) <= time, "{time} ms");
        assert!(time <= Span::from_millis(3_300), "{time} ms");
    }
    // Not once for each hop and query in traceroute's order.
    let serial =
        |config| TraceConfig { scout: false, in_flight: 16, in_flight_exact: true, ..config };
    let (_, time) = traced(&silent("1ms"), serial);
    assert!(time <= Span::from_millis(8_100), "{time} ms");
}

#[test]
fn farther_than_the_guess_takes_two_round_trips_at_most() {
    for (hops, one_way) in [(12, "2ms"), (20, "2ms"), (29, "1ms"), (29, "10ms")] {
        let (tracer, time) = traced(&line(hops, one_way, "", ""), |config| config);
        assert_complete(&tracer, hops);
        let sent = tracer.path().totals.sent;
        assert!(sent <= 33 * u64::from(hops) / 10 + 1, "{hops} hops: {sent} probes");
        let last =
            tracer.path().reported().last().unwrap().probes[0].answer().unwrap().rtt.unwrap();
        assert!(time.nanos() <= 2 * last.nanos() + 1_000_000, "{hops} hops: {time} of {last} ms");
    }
}

#[test]
fn where_nothing_answers_every_hop_is_tried() {
    let (tracer, time) =
        traced(&line(12, "1ms", "silent = true", "silent = true"), |config| config);
    assert_eq!((tracer.path().totals.sent, tracer.path().totals.answered), (90, 0));
    // As long as an answer may take, after as long as the scout of a target that is 600 ms away may.
    assert!(time <= Span::from_millis(5_801), "{time} ms");
    let silent = line(12, "1ms", "silent = true", "silent = true");
    let (tracer, _) = traced(&silent, |config| TraceConfig { queries: 1, ..config });
    assert_eq!((tracer.path().totals.sent, tracer.path().hops().len()), (30, 30));
    assert_eq!(tracer.path().stop(), Stop::MaxHops);
}

#[test]
fn one_query_is_still_asked_of_the_target_itself() {
    let (tracer, _) =
        traced(&line(3, "100us", "", ""), |config| TraceConfig { queries: 1, ..config });
    assert_complete(&tracer, 3);
    // The scout's answer is not the only word for it.
    assert_eq!(tracer.path().totals.sent, 4);
    assert!(tracer.path().scout.is_some());
}

/// Whatever is asked with, hops and target are the same; only UDP's answer quotes how far it came.
#[test]
fn every_probe_type_and_flow_finds_the_same_path() {
    let kinds = [
        ProbeType::Udp,
        ProbeType::UdpFixed,
        ProbeType::IcmpEcho,
        ProbeType::TcpSyn,
        ProbeType::TcpAck,
        ProbeType::UdpLite,
    ];
    for probe in kinds {
        for flow_mode in [FlowMode::Classic, FlowMode::Paris] {
            let (tracer, _) = traced(&line(6, "100us", "", ""), |config| {
                let flow = Flow { probe, ..config.flow() };
                TraceConfig { flow_mode, ..TraceConfig::of_flow(&flow).scouting() }
            });
            assert_complete(&tracer, 6);
        }
    }
}

/// A network in which the first datagram is lost before it leaves.
struct Losing(SimLink, bool);

impl Link for Losing {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        if std::mem::take(&mut self.1) { Ok(()) } else { self.0.send(transmit) }
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        self.0.receive(until)
    }
}

#[test]
fn a_trace_does_without_its_scout() {
    let topology = Topology::parse(&line(5, "100us", "", ""), "test").unwrap();
    let config = TraceConfig::new(topology.source().into(), [203, 0, 113, 9].into(), 40_000);
    let mut tracer = Tracer::new(config.scouting()).unwrap();
    let mut link = Losing(SimLink::new(topology), true);
    driver::run(&mut tracer, &mut link, &mut Nobody).unwrap();
    assert_complete(&tracer, 5);
    assert!(tracer.path().scout.is_none());
    assert!(link.now().since(START) < Span::from_millis(20));
}
