//! Many traces of one endpoint: each is what it is alone, however many there are, and as many are open as there is room for.

use std::net::{IpAddr, Ipv4Addr};

use rtrace::driver::{Driver, Observer};
use rtrace::link::sim::{Node, SimLink, Topology};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::{Endpoint, Few, NewTrace, TraceId};
use rtrace::trace::{Disposition, Engine, Event, Path, ProbeSelector, TraceConfig, Tracer};
use rtrace::wire::Frame;

/// A path on which nothing differs from one trace to the next.
fn line() -> Topology {
    let router = |hop: u8| Node::at([198, 51, 100, hop].into());
    (1..7).fold(Topology::new(3), |topology, hop| topology.hop(router(hop)))
}

fn config(number: u8) -> TraceConfig {
    let target = IpAddr::from(Ipv4Addr::new(203, 0, 113, number));
    TraceConfig::new(line().source().into(), target, 40_000 + u16::from(number)).scouting()
}

/// Who answered at each hop, how many probes were sent, and where the path ends.
fn shown(path: &Path) -> (Vec<Vec<IpAddr>>, u64, Option<u8>) {
    let answers = |hop: &rtrace::trace::Hop| {
        hop.probes.iter().filter_map(|it| it.counted()).map(|it| it.responder).collect()
    };
    (path.reported().iter().map(answers).collect(), path.totals.sent, path.end)
}

/// When probes were captured, and how many traces were in flight at most.
#[derive(Default)]
struct Seen {
    sent: Vec<Timestamp>,
    begun: Vec<TraceId>,
    settled: Vec<TraceId>,
    most: usize,
}

impl Observer for Seen {
    fn frame(&mut self, id: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        assert_eq!(frame.at.known(), Some(frame.at));
        match disposition {
            Disposition::OwnProbe(_) => {
                self.sent.push(frame.at);
                if !self.begun.contains(&id) {
                    self.begun.push(id);
                }
            }
            Disposition::Reply(..)
                if path.has_reached() == Some(true) && !self.settled.contains(&id) =>
            {
                self.settled.push(id);
            }
            _ => {}
        }
        self.most = self.most.max(self.begun.len() - self.settled.len());
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        assert!(event != Event::Ended || path.end.is_some());
    }
}

fn alone(config: TraceConfig) -> Tracer {
    let mut tracer = Tracer::new(config).unwrap();
    let mut endpoint = Endpoint::of_one(&mut tracer);
    Driver::default().run(&mut endpoint, &mut SimLink::new(line()), &mut Seen::default()).unwrap();
    drop(endpoint);
    tracer
}

fn together(room: usize, rate: Option<f64>) -> Seen {
    let traces = (1..=40).map(|number| {
        let engine: Box<dyn Engine> = Box::new(Tracer::new(config(number)).unwrap());
        NewTrace::of_own_frames(engine, &config(number), &ProbeSelector::One)
    });
    let mut endpoint = Endpoint::new(Few::at_once(traces.collect::<Vec<_>>())).with_room(room);
    if let Some(rate) = rate {
        endpoint = endpoint.at_rate(rate);
    }
    let mut seen = Seen::default();
    Driver::default().run(&mut endpoint, &mut SimLink::new(line()), &mut seen).unwrap();
    let expected = shown(alone(config(1)).path());
    for (number, (id, engine)) in (1..).zip(endpoint.engines()) {
        let (mut hops, _, end) = shown(engine.path());
        assert_eq!(id.number(), number);
        let target = IpAddr::from(Ipv4Addr::new(203, 0, 113, u8::try_from(number).unwrap()));
        assert!(hops.last_mut().unwrap().drain(..).all(|it| it == target), "{number}");
        assert_eq!((&hops[..6], end), (&expected.0[..6], expected.2), "{number}");
        assert!(engine.reached());
    }
    assert_eq!(endpoint.engines().count(), 40);
    seen
}

#[test]
fn each_of_many_traces_is_what_it_is_alone() {
    assert_eq!(together(usize::MAX, None).begun.len(), 40);
}

#[test]
fn no_more_traces_are_open_than_there_is_room_for() {
    let seen = together(3, None);
    assert!(seen.most <= 3, "{}", seen.most);
}

#[test]
fn all_traces_together_keep_to_the_rate() {
    let mut sent = together(usize::MAX, Some(1_000.0)).sent;
    sent.sort_unstable();
    // After a pause a little is caught up.
    let most = sent.iter().map(|at| {
        let end = at.after(Span::from_millis(100));
        sent.iter().filter(|it| (*at..end).contains(it)).count()
    });
    assert!(most.max().unwrap() <= 100 + 11);
}
