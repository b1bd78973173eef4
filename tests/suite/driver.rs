//! The loop: what it does where a link takes nothing, and where it does not echo.

use std::net::IpAddr;

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::{Disposition, Engine, Event, Path, TraceConfig, Tracer};
use rtrace::wire::Frame;

/// Counts what it is told.
#[derive(Default)]
struct Counts {
    refused: u32,
    frames: u64,
    ended: u32,
}

impl Observer for Counts {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if disposition.concerns_the_trace() {
            self.frames += 1;
            assert_eq!(frame.number, self.frames, "numbered as it is recorded");
        }
    }

    fn event(&mut self, _: TraceId, event: Event, _: &Path) {
        self.ended += u32::from(event == Event::Ended);
    }

    fn refused(&mut self, _: TraceId, _: &LinkError) {
        self.refused += 1;
    }

    fn wake_at(&self, _: Timestamp) -> Option<Timestamp> {
        None
    }

    fn interrupted(&self) -> bool {
        false
    }
}

/// A link that takes nothing.
struct Refusing;

impl Link for Refusing {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        let source = std::io::Error::from_raw_os_error(1);
        Err(LinkError::Refused { destination: transmit.destination, source })
    }

    fn receive(&mut self, _: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        panic!("there is nothing to wait for")
    }
}

fn tracer(topology: &Topology) -> Tracer {
    let target = IpAddr::from([203, 0, 113, 9]);
    Tracer::new(TraceConfig::new(topology.source().into(), target, 40_000)).unwrap()
}

#[test]
fn a_trace_of_which_every_probe_is_refused_ends() {
    let mut tracer = tracer(&Topology::builtin());
    let mut counts = Counts::default();
    driver::run(&mut tracer, &mut Refusing, &mut counts).unwrap();
    assert_eq!((counts.refused, counts.ended, tracer.path().totals.sent), (90, 1, 0));
}

#[test]
fn what_a_link_does_not_echo_is_ingested_as_sent() {
    let outcome = |echo: bool| {
        let topology = Topology::builtin();
        let mut tracer = tracer(&topology);
        let link = SimLink::new(topology);
        let mut link = if echo { link } else { link.without_echo() };
        let mut counts = Counts::default();
        driver::run(&mut tracer, &mut link, &mut counts).unwrap();
        (tracer.path().end, tracer.path().totals.sent, counts.frames)
    };
    assert_eq!(outcome(false), outcome(true));
    assert_eq!(outcome(true).0, Some(10));
}

/// A link that is not ready at once.
struct Late {
    link: SimLink,
    delay: Span,
    is_ready: bool,
}

impl Link for Late {
    fn now(&self) -> Timestamp {
        self.link.now()
    }

    fn prepare(&mut self) {
        assert!(!self.is_ready, "once");
        let ready = self.now().after(self.delay);
        assert!(matches!(self.link.receive(Some(ready)).unwrap(), Received::Quiet(_)));
        self.is_ready = true;
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        assert!(self.is_ready);
        self.link.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        self.link.receive(until)
    }
}

/// A link that takes long to be ready makes no probe late: none is sent on a guess, and none counts as never sent.
#[test]
fn a_link_is_ready_before_it_is_asked_what_time_it_is() {
    let frames = |delay| {
        let topology = Topology::builtin();
        let target = IpAddr::from([203, 0, 113, 9]);
        let config = TraceConfig::new(topology.source().into(), target, 40_000).scouting();
        let mut tracer = Tracer::new(config).unwrap();
        let mut link = Late { link: SimLink::new(topology), delay, is_ready: false };
        let mut counts = Counts::default();
        driver::run(&mut tracer, &mut link, &mut counts).unwrap();
        (tracer.path().end, tracer.path().totals.sent, counts.frames)
    };
    assert_eq!(frames(Span::from_millis(900)), frames(Span::ZERO));
}
