//! The one loop: asks the tracer what to send, asks the link for the next frame, hands the frame to
//! the tracer, and tells an observer (recording, renderers) of both.

mod departures;

use self::departures::Departures;
pub use self::departures::NeverSent;
use crate::link::{Link, LinkError, Received};
use crate::time::{ClockStep, Timestamp};
use crate::trace::{Disposition, Engine, Event, Path};
use crate::wire::{Frame, LinkType};

/// Who watches a trace. All calls come in the order in which things happened; what is not of interest is
/// passed over.
pub trait Observer {
    /// A frame was handled. Frames that do not concern the trace are shown too.
    fn frame(&mut self, _: &Frame<'_>, _: Disposition, _: &Path) {}

    /// Something happened to the path.
    fn event(&mut self, _: Event, _: &Path) {}

    /// The link refused a probe.
    fn refused(&mut self, _: &LinkError) {}

    /// So many probes have by now been refused or not seen leaving.
    fn never_sent(&mut self, _: NeverSent) {}

    /// So many frames that may be replies have by now been seen on interfaces that are not captured on.
    fn elsewhere(&mut self, _: u64) {}

    /// So many rounds have now gone by of which no probe was seen leaving, and so many of them since the last call.
    fn missed(&mut self, _: u64, _: u64) {}

    /// The clock that stamps frames was set: before the next frame that concerns the trace, or the end.
    fn clock_step(&mut self, _: &ClockStep) {}

    /// When [`wake`](Self::wake) is to be called at the latest, on a clock that reads `now`.
    fn wake_at(&self, _: Timestamp) -> Option<Timestamp> {
        None
    }

    /// The link was woken, or the time came.
    fn wake(&mut self, _: &Path) {}

    /// Whether the run is to end here.
    fn interrupted(&self) -> bool {
        false
    }

    /// It ends here, at this moment, because it was [`interrupted`](Self::interrupted).
    fn cut(&mut self, _: Timestamp) {}
}

/// Runs `tracer` over `link` until it is done, the link ends, or the observer has it interrupted; then
/// finishes it and shows its last events.
///
/// # Errors
/// When the link fails. The tracer is finished then too: what is known is still shown.
pub fn run(
    tracer: &mut dyn Engine,
    link: &mut dyn Link,
    observer: &mut dyn Observer,
) -> Result<(), LinkError> {
    Driver::default().run(tracer, link, observer)
}

/// What is turned: [`run`] turns it to the end, a player of recordings as far as it wants to go.
#[derive(Clone, Debug, Default)]
pub struct Driver {
    /// Frames that concern the trace, so far.
    recorded: u64,
    /// Rounds that the observer knows to be missed.
    missed: u64,
    /// What was handed to the link, and those that the observer knows never to have left.
    departures: Departures,
    never_sent: NeverSent,
    /// Steps of the clock that the observer is to be told of with the next frame that is recorded: no recording says what
    /// else happened before them.
    steps: Vec<ClockStep>,
    /// Frames that are about some probe, but were cut too short to say about which.
    cut_short: u64,
}

impl Driver {
    /// Hands `tracer` all frames of `earlier` without asking what to send.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn feed(
        &mut self,
        tracer: &mut dyn Engine,
        earlier: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<(), LinkError> {
        loop {
            match earlier.receive(None)? {
                // It is numbered anew, as it is recorded anew.
                Received::Frame(frame) => {
                    self.ingest(Frame { number: 0, ..frame }, tracer, observer);
                }
                Received::ClockStep(step) => {
                    tracer.note_clock_step(&step);
                    self.steps.push(step);
                }
                Received::Quiet(_)
                | Received::Woken
                | Received::Rounds(_)
                | Received::NeverSent(_) => {}
                Received::End | Received::Cut(_) => return Ok(()),
            }
            show_events(tracer, observer);
        }
    }

    /// Hands a tracer that only watches a frame that was read for several of them.
    pub fn hand(
        &mut self,
        frame: Frame<'_>,
        tracer: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Disposition {
        tracer.handle_timeout(frame.at);
        show_events(tracer, observer);
        let disposition = self.ingest(frame, tracer, observer);
        show_events(tracer, observer);
        disposition
    }

    /// How many frames the capture cut too short to say about which probe they are.
    #[must_use]
    pub fn cut_short(&self) -> u64 {
        self.cut_short
    }

    /// Ends what was [handed](Self::hand) to a tracer.
    pub fn end(tracer: &mut dyn Engine, observer: &mut dyn Observer) {
        tracer.finish();
        show_events(tracer, observer);
    }

    /// Turns to the end.
    ///
    /// # Errors
    /// As [`run`].
    pub fn run(
        &mut self,
        tracer: &mut dyn Engine,
        link: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<(), LinkError> {
        while self.step(tracer, link, observer)? {}
        Ok(())
    }

    /// Sends what is due and handles the one thing that comes next. `false` says that it is over: `tracer` has
    /// been finished then, and its last events shown.
    ///
    /// # Errors
    /// As [`run`].
    pub fn step(
        &mut self,
        tracer: &mut dyn Engine,
        link: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<bool, LinkError> {
        let outcome = step(tracer, link, observer, self);
        self.tell_never_sent(observer);
        observer.elsewhere(link.elsewhere());
        let missed = tracer.missed();
        if missed > self.missed {
            observer.missed(missed, missed - self.missed);
        }
        self.missed = missed;
        match outcome {
            Ok(Step::More) => return Ok(true),
            Ok(Step::Cut(at)) => {
                tracer.cut(at);
                observer.cut(at);
            }
            Ok(Step::Over) | Err(_) => tracer.finish(),
        }
        show_events(tracer, observer);
        self.tell_steps(observer);
        outcome.map(|_| false)
    }

    fn ingest(
        &mut self,
        mut frame: Frame<'_>,
        tracer: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Disposition {
        if frame.number == 0 {
            frame.number = self.recorded + 1;
        }
        let disposition = tracer.handle_frame(&frame);
        if let Disposition::OwnProbe(_) = disposition {
            self.departures.leave();
        }
        self.cut_short += u64::from(disposition == Disposition::CutShort);
        if disposition.concerns_the_trace() {
            self.recorded += 1;
            self.tell_steps(observer);
        }
        observer.frame(&frame, disposition, tracer.path());
        disposition
    }

    fn tell_never_sent(&mut self, observer: &mut dyn Observer) {
        let now = self.departures.never_sent();
        let before = std::mem::replace(&mut self.never_sent, now);
        // Once some have not left, of how many changes with each that does.
        if now != before && (now.count() > 0 || before.count() > 0) {
            observer.never_sent(now);
        }
    }

    fn tell_steps(&mut self, observer: &mut dyn Observer) {
        self.steps.drain(..).for_each(|step| observer.clock_step(&step));
    }
}

/// What comes after a step of the driver.
#[derive(Clone, Copy)]
enum Step {
    /// Another one.
    More,
    /// Nothing.
    Over,
    /// Nothing, because the run was interrupted at this moment.
    Cut(Timestamp),
}

/// Sends what is due and handles what comes next.
fn step(
    tracer: &mut dyn Engine,
    link: &mut dyn Link,
    observer: &mut dyn Observer,
    driver: &mut Driver,
) -> Result<Step, LinkError> {
    send_due(tracer, link, observer, driver)?;
    show_events(tracer, observer);
    // After the sending: if every probe was refused, there is nothing to wait for.
    if tracer.is_done() {
        return Ok(Step::Over);
    }
    if observer.interrupted() {
        return Ok(Step::Cut(link.now()));
    }
    let until = tracer.poll_timeout().into_iter().chain(observer.wake_at(link.now())).min();
    match link.receive(until)? {
        Received::Frame(frame) => {
            // In a replay nothing else says that time has passed.
            pass(tracer, observer, frame.at);
            driver.departures.pass(frame.at);
            driver.ingest(frame, tracer, observer);
        }
        Received::Quiet(at) => {
            pass(tracer, observer, at);
            driver.departures.pass(at);
            observer.wake(tracer.path());
        }
        Received::Woken => observer.wake(tracer.path()),
        Received::Rounds(count) => tracer.note_rounds(count),
        Received::NeverSent(count) => driver.departures.note(count),
        Received::ClockStep(step) => {
            tracer.note_clock_step(&step);
            driver.steps.push(step);
        }
        Received::End => {
            pass(tracer, observer, Timestamp::from_nanos(i64::MAX));
            return Ok(Step::Over);
        }
        Received::Cut(at) => return Ok(Step::Cut(at)),
    }
    show_events(tracer, observer);
    Ok(Step::More)
}

fn send_due(
    tracer: &mut dyn Engine,
    link: &mut dyn Link,
    observer: &mut dyn Observer,
    driver: &mut Driver,
) -> Result<(), LinkError> {
    let echoes = link.echoes();
    let mut unechoed = Vec::new();
    while let Some(transmit) = tracer.poll_transmit(link.now()) {
        let at = link.now();
        match link.send(&transmit) {
            Ok(()) if echoes => driver.departures.hand(at),
            Ok(()) => {
                driver.departures.hand(at);
                unechoed.clear();
                unechoed.extend_from_slice(transmit.datagram);
                let original_len = u32::try_from(unechoed.len()).unwrap_or(u32::MAX);
                let bytes = &unechoed;
                let frame =
                    Frame { at, link: LinkType::Raw, bytes, original_len, interface: 0, number: 0 };
                driver.ingest(frame, tracer, observer);
            }
            Err(error @ LinkError::Refused { .. }) => {
                tracer.handle_refusal();
                driver.departures.refuse();
                observer.refused(&error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lets time pass until then, each deadline at its own: what is shown does not depend on how many pass at once, and a
/// live run and its replay show the same.
fn pass(tracer: &mut dyn Engine, observer: &mut dyn Observer, until: Timestamp) {
    let mut last = None;
    while let Some(at) = tracer.next_deadline().filter(|at| *at <= until && last < Some(*at)) {
        tracer.handle_timeout(at);
        show_events(tracer, observer);
        last = Some(at);
    }
    tracer.handle_timeout(until);
    show_events(tracer, observer);
}

fn show_events(tracer: &mut dyn Engine, observer: &mut dyn Observer) {
    while let Some(event) = tracer.poll_event() {
        observer.event(event, tracer.path());
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::link::Transmit;
    use crate::link::sim::{SimLink, Topology};
    use crate::trace::{TraceConfig, Tracer};

    /// Counts what it is told.
    #[derive(Default)]
    struct Counts {
        refused: u32,
        frames: u64,
        ended: u32,
    }

    impl Observer for Counts {
        fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
            if disposition.concerns_the_trace() {
                self.frames += 1;
                assert_eq!(frame.number, self.frames, "numbered as it is recorded");
            }
        }

        fn event(&mut self, event: Event, _: &Path) {
            self.ended += u32::from(event == Event::Ended);
        }

        fn refused(&mut self, _: &LinkError) {
            self.refused += 1;
        }

        fn wake_at(&self, _: Timestamp) -> Option<Timestamp> {
            None
        }

        fn wake(&mut self, _: &Path) {}

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
        run(&mut tracer, &mut Refusing, &mut counts).unwrap();
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
            run(&mut tracer, &mut link, &mut counts).unwrap();
            (tracer.path().end, tracer.path().totals.sent, counts.frames)
        };
        assert_eq!(outcome(false), outcome(true));
        assert_eq!(outcome(true).0, Some(10));
    }
}
