//! The loop that drives every run. It asks the traces what to send, asks the link for the next frame, hands the frame
//! to the traces, and reports both to an observer (recording, renderers).

use crate::link::{Link, LinkError, Received};
use crate::time::{ClockStep, Timestamp};
pub use crate::trace::endpoint::NeverSent;
use crate::trace::endpoint::{Endpoint, TraceId};
use crate::trace::{Disposition, Engine, Event, Path};
use crate::wire::{Frame, LinkType};

/// Watches traces. The calls come in the order in which things happened. Every method has a default that ignores its
/// call.
pub trait Observer {
    /// A trace handled a frame that it was shown. Frames that do not concern the trace are reported, too.
    fn frame(&mut self, _: TraceId, _: &Frame<'_>, _: Disposition, _: &Path) {}

    /// A frame was captured that cannot concern any trace.
    fn foreign(&mut self, _: &Frame<'_>) {}

    /// Something happened to the path of a trace.
    fn event(&mut self, _: TraceId, _: Event, _: &Path) {}

    /// The link refused a probe of a trace.
    fn refused(&mut self, _: TraceId, _: &LinkError) {}

    /// The total number of this trace's probes that the link refused, or that were not seen leaving.
    fn never_sent(&mut self, _: TraceId, _: NeverSent) {}

    /// The total number of frames that may be replies and came in on interfaces without a capture.
    fn elsewhere(&mut self, _: u64) {}

    /// Rounds of a trace that were not sent (none of their probes was seen leaving): the total, and the number since
    /// the last call.
    fn missed(&mut self, _: TraceId, _: u64, _: u64) {}

    /// The clock that stamps frames was set. This comes before the next frame that concerns a trace, or before the
    /// end.
    fn clock_step(&mut self, _: &ClockStep) {}

    /// When [`wake`](Self::wake) must be called at the latest, on a clock that reads `now`; `None` sets no limit.
    fn wake_at(&self, _: Timestamp) -> Option<Timestamp> {
        None
    }

    /// The link was woken, or the time of [`wake_at`](Self::wake_at) has come. Returns whether to call
    /// [`show`](Self::show) for every trace.
    fn wake(&mut self) -> bool {
        false
    }

    /// A trace must be displayed again.
    fn show(&mut self, _: TraceId, _: &Path) {}

    /// Whether to end the run now.
    fn interrupted(&self) -> bool {
        false
    }

    /// The run ends at this moment, because it was [`interrupted`](Self::interrupted).
    fn cut(&mut self, _: Timestamp) {}
}

/// Runs one trace over `link` until the trace is done, the link ends, or the observer interrupts it. Then finishes
/// the trace and reports its last events.
///
/// # Errors
/// When the link fails. The trace is finished then too, and its last events are reported.
pub fn run(
    engine: &mut dyn Engine,
    link: &mut dyn Link,
    observer: &mut dyn Observer,
) -> Result<(), LinkError> {
    Driver::default().run(&mut Endpoint::of_one(engine), link, observer)
}

/// The state of the loop. [`run`] runs it to the end; a player of recordings runs it step by step.
#[derive(Clone, Debug, Default)]
pub struct Driver {
    /// The number of frames so far that concern a trace.
    recorded: u64,
    /// Steps of the clock that are reported with the next recorded frame: a recording cannot say what else happened
    /// before them.
    steps: Vec<ClockStep>,
    /// The number of frames that concern some probe, but were cut too short to identify it.
    cut_short: u64,
}

/// What follows a step of the driver.
#[derive(Clone, Copy)]
enum Step {
    /// Another step.
    More,
    /// Nothing: the run is over.
    Over,
    /// Nothing: the run was interrupted at this moment.
    Cut(Timestamp),
}

impl Driver {
    /// Hands all frames of `earlier` to the traces without asking them what to send.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn feed(
        &mut self,
        endpoint: &mut Endpoint<'_>,
        earlier: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<(), LinkError> {
        endpoint.open_due(earlier.now());
        loop {
            match earlier.receive(None)? {
                // The frame gets a new number, since it is recorded again.
                Received::Frame(frame) => {
                    self.ingest(Frame { number: 0, ..frame }, endpoint, observer);
                }
                Received::ClockStep(step) => {
                    endpoint.note_clock_step(&step);
                    self.steps.push(step);
                }
                Received::Quiet(_)
                | Received::Woken
                | Received::Rounds { .. }
                | Received::NeverSent { .. } => {}
                Received::End | Received::Cut(_) => return Ok(()),
            }
            show_events(endpoint, observer);
        }
    }

    /// The number of frames that concern a probe, but that the capture cut too short to identify it.
    #[must_use]
    pub fn cut_short(&self) -> u64 {
        self.cut_short
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// As [`run`].
    pub fn run(
        &mut self,
        endpoint: &mut Endpoint<'_>,
        link: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<(), LinkError> {
        link.prepare();
        while self.step(endpoint, link, observer)? {}
        Ok(())
    }

    /// Sends what is due and handles the next frame, time-out or wake-up. Returns `false` when the run is over: all
    /// traces are finished then, and their last events reported.
    ///
    /// # Errors
    /// As [`run`].
    pub fn step(
        &mut self,
        endpoint: &mut Endpoint<'_>,
        link: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<bool, LinkError> {
        let outcome = self.send_and_receive(endpoint, link, observer);
        observer.elsewhere(link.elsewhere());
        let interrupted_at = match outcome {
            Ok(Step::More) => return Ok(true),
            Ok(Step::Cut(at)) => Some(at),
            Ok(Step::Over) | Err(_) => None,
        };
        endpoint.review(|endpoint, id| tell_news(endpoint, id, observer));
        endpoint.close_all(interrupted_at);
        if let Some(at) = interrupted_at {
            observer.cut(at);
        }
        show_events(endpoint, observer);
        self.tell_steps(observer);
        outcome.map(|_| false)
    }

    fn send_and_receive(
        &mut self,
        endpoint: &mut Endpoint<'_>,
        link: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<Step, LinkError> {
        self.send_due(endpoint, link, observer)?;
        show_events(endpoint, observer);
        // This comes after sending: if the link refused every probe, there is nothing to wait for.
        endpoint.review(|endpoint, id| {
            tell_news(endpoint, id, observer);
            endpoint.retire_done(id);
        });
        if endpoint.is_done() {
            return Ok(Step::Over);
        }
        if observer.interrupted() {
            return Ok(Step::Cut(link.now()));
        }
        let wakes = observer.wake_at(link.now());
        let until = endpoint.poll_timeout().into_iter().chain(wakes).min();
        match link.receive(until)? {
            Received::Frame(frame) => {
                // In a replay nothing else shows that time has passed.
                pass(endpoint, observer, frame.at);
                self.ingest(frame, endpoint, observer);
            }
            Received::Quiet(at) => {
                pass(endpoint, observer, at);
                wake(endpoint, observer);
            }
            Received::Woken => wake(endpoint, observer),
            Received::Rounds { trace, count } => {
                endpoint.note_rounds(TraceId::of_number(trace), count);
            }
            Received::NeverSent { trace, count } => {
                endpoint.note_never_sent(TraceId::of_number(trace), count);
            }
            Received::ClockStep(step) => {
                endpoint.note_clock_step(&step);
                self.steps.push(step);
            }
            Received::End => {
                pass(endpoint, observer, Timestamp::from_nanos(i64::MAX));
                return Ok(Step::Over);
            }
            Received::Cut(at) => return Ok(Step::Cut(at)),
        }
        show_events(endpoint, observer);
        Ok(Step::More)
    }

    fn send_due(
        &mut self,
        endpoint: &mut Endpoint<'_>,
        link: &mut dyn Link,
        observer: &mut dyn Observer,
    ) -> Result<(), LinkError> {
        let echoes = link.echoes();
        let mut unechoed = Vec::new();
        while let Some((id, transmit)) = endpoint.poll_transmit(link.now()) {
            let at = link.now();
            match link.send(&transmit) {
                Ok(()) if echoes => endpoint.note_handed_out(id, at),
                Ok(()) => {
                    unechoed.clear();
                    unechoed.extend_from_slice(transmit.datagram);
                    endpoint.note_handed_out(id, at);
                    let (link, bytes) = (LinkType::Raw, &unechoed);
                    let frame = Frame::whole(at, link, bytes);
                    self.ingest(frame, endpoint, observer);
                }
                Err(error @ LinkError::Refused { .. }) => {
                    endpoint.handle_refusal(id);
                    observer.refused(id, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ingest(
        &mut self,
        mut frame: Frame<'_>,
        endpoint: &mut Endpoint<'_>,
        observer: &mut dyn Observer,
    ) {
        if frame.number == 0 {
            frame.number = self.recorded + 1;
        }
        let mut concerns = false;
        let taken = endpoint.handle_frame(&frame, |id, disposition, path| {
            if disposition.concerns_the_trace() && !std::mem::replace(&mut concerns, true) {
                self.recorded += 1;
                self.tell_steps(observer);
            }
            observer.frame(id, &frame, disposition, path);
        });
        self.cut_short += u64::from(taken.cut_short);
        if taken.shown == 0 {
            observer.foreign(&frame);
        }
    }

    fn tell_steps(&mut self, observer: &mut dyn Observer) {
        self.steps.drain(..).for_each(|step| observer.clock_step(&step));
    }
}

/// Lets time pass until then and expires each deadline at its own time. So the events do not depend on how many
/// deadlines pass in one call, and a live run and its replay report the same.
fn pass(endpoint: &mut Endpoint<'_>, observer: &mut dyn Observer, until: Timestamp) {
    while endpoint.handle_timeout(until) {
        show_events(endpoint, observer);
    }
    show_events(endpoint, observer);
}

fn wake(endpoint: &Endpoint<'_>, observer: &mut dyn Observer) {
    if observer.wake() {
        endpoint.engines().for_each(|(id, engine)| observer.show(id, engine.path()));
    }
}

fn show_events(endpoint: &mut Endpoint<'_>, observer: &mut dyn Observer) {
    endpoint.drain_events(|id, event, path| observer.event(id, event, path));
}

fn tell_news(endpoint: &mut Endpoint<'_>, id: TraceId, observer: &mut dyn Observer) {
    let news = endpoint.take_news(id);
    if let Some(never_sent) = news.never_sent {
        observer.never_sent(id, never_sent);
    }
    if let Some((missed, more)) = news.missed {
        observer.missed(id, missed, more);
    }
}
