//! What many traces cost together, in virtual time: `cargo bench --bench many`.
//!
//! First a thousand targets, each asked once a second over ten hops: the share of a core that a second of it takes, the
//! replies that were lost, and the probes of which no reply is known to have been lost. Then what a frame costs that no
//! trace wants, with 1, 100 and 10,000 traces open: the median of the rounds of a measurement, all in one run.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use rtrace::driver::{Driver, Observer};
use rtrace::link::sim::{Node, SimLink, Topology};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::{Endpoint, Few, NewTrace, TraceId};
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::table::Table;
use rtrace::trace::{Engine, Event, Path, ProbeSelector, TraceConfig};
use rtrace::wire::{Frame, LinkType};

const TARGETS: u32 = 1_000;
const HOPS: u8 = 10;
const ROUNDS: u64 = 20;
/// Frames in a round of a measurement, and rounds.
const FRAMES: u32 = 20_000;
const REPEATED: usize = 21;

/// The tables of all targets, as a screen or a report has them.
struct Tables(Vec<Table>);

impl Observer for Tables {
    fn event(&mut self, id: TraceId, event: Event, path: &Path) {
        self.0[id.place()].handle(Some(event), path);
    }
}

/// A path of routers with nothing that differs from round to round.
fn line() -> Topology {
    let router = |hop: u8| Node::at([198, 51, 100, hop].into());
    (1..HOPS).fold(Topology::new(3), |topology, hop| topology.hop(router(hop)))
}

fn config(topology: &Topology, number: u32) -> TraceConfig {
    let target = IpAddr::from(Ipv4Addr::from(u32::from(Ipv4Addr::new(203, 0, 0, 0)) + number));
    let port = 20_000 + u16::try_from(number % 40_000).unwrap();
    let config = TraceConfig::new(topology.source().into(), target, port).scouting();
    TraceConfig { queries: 1, ..config }
}

fn watch(targets: u32) {
    let topology = line();
    let plan = Plan { interval: 1.0, rounds: Some(ROUNDS), until: None };
    let traces = (0..targets).map(|number| {
        let config = config(&topology, number);
        let engine: Box<dyn Engine> = Box::new(Rounds::new(config.clone(), plan).unwrap());
        NewTrace::of_own_frames(engine, &config, &ProbeSelector::One)
    });
    let apart = Span::from_secs_f64(plan.interval / f64::from(targets));
    let mut endpoint = Endpoint::new(Few::apart(traces.collect::<Vec<_>>(), apart));
    let mut tables = Tables((0..targets).map(|_| Table::new()).collect());
    let began = Instant::now();
    Driver::default()
        .run(&mut endpoint, &mut SimLink::new(topology), &mut tables)
        .expect("a simulated link");
    let took = began.elapsed();
    let rows = || tables.0.iter().flat_map(Table::rows);
    let (sent, lost) =
        rows().fold((0, 0), |(sent, lost), row| (sent + row.sent, lost + row.lost()));
    assert!(tables.0.iter().all(|table| table.rounds() == ROUNDS && table.reached()));
    #[expect(clippy::cast_precision_loss, reason = "rounds are few")]
    let share = took.as_secs_f64() / (ROUNDS as f64 * plan.interval) * 100.0;
    println!(
        "{targets} targets, {ROUNDS} rounds a second apart over {HOPS} hops: {share:.1} % of a core with the simulated \
         network, {sent} probes of hops sent, {lost} replies lost"
    );
}

/// A frame of UDP between two hosts that are nobody's.
fn foreign(number: u64, bytes: &[u8]) -> Frame<'_> {
    let at = Timestamp::from_nanos(1_000_000_000);
    Frame { number, ..Frame::whole(at, LinkType::Raw, bytes) }
}

/// How long a frame takes that no trace wants, for each number of open traces.
fn unwanted() {
    let mut bytes = vec![0x45, 0, 0, 60, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 99, 198, 18, 0, 1];
    bytes.extend([0x30, 0x39, 0x00, 0x35, 0, 40, 0, 0]);
    bytes.resize(60, 0);
    let topology = line();
    let mut open: Vec<(u32, Endpoint<'_>, Vec<Duration>)> = [1, 100, 10_000]
        .map(|traces| {
            let new = (0..traces).map(|number| {
                let config = config(&topology, number);
                let plan = Plan { interval: 1.0, rounds: None, until: None };
                let engine: Box<dyn Engine> =
                    Box::new(Rounds::passive(config.clone(), plan).unwrap());
                NewTrace::of_own_frames(engine, &config, &ProbeSelector::One)
            });
            let mut endpoint = Endpoint::new(Few::at_once(new.collect::<Vec<_>>()));
            endpoint.open_due(Timestamp::default());
            while endpoint.poll_transmit(Timestamp::default()).is_some() {}
            (traces, endpoint, Vec::new())
        })
        .into();
    for _ in 0..REPEATED {
        for (_, endpoint, took) in &mut open {
            let began = Instant::now();
            for number in 0..FRAMES {
                let frame = foreign(u64::from(number), black_box(&bytes));
                let taken = endpoint.handle_frame(&frame, |_, _, _| ());
                assert_eq!(taken.shown, 0);
            }
            took.push(began.elapsed() / FRAMES);
        }
    }
    for (traces, _, took) in &mut open {
        took.sort_unstable();
        println!(
            "{traces} traces open: {} ns for a frame that none of them wants",
            took[REPEATED / 2].as_nanos()
        );
    }
}

fn main() {
    for targets in [1, 100, TARGETS] {
        watch(targets);
    }
    unwanted();
}
