//! The one loop: asks the traces what to send, asks the link for the next frame, hands the frame to the traces, and tells
//! an observer (recording, renderers) of both.

use crate::link::{Link, LinkError, Received};
use crate::time::{ClockStep, Timestamp};
pub use crate::trace::endpoint::NeverSent;
use crate::trace::endpoint::{Endpoint, TraceId};
use crate::trace::{Disposition, Engine, Event, Path};
use crate::wire::{Frame, LinkType};

/// Who watches traces. All calls come in the order in which things happened; what is not of interest is
/// passed over.
pub trait Observer {
    /// A trace handled a frame that it was shown. Frames that do not concern it are told, too.
    fn frame(&mut self, _: TraceId, _: &Frame<'_>, _: Disposition, _: &Path) {}

    /// A frame was captured that cannot concern any trace.
    fn foreign(&mut self, _: &Frame<'_>) {}

    /// Something happened to the path of a trace.
    fn event(&mut self, _: TraceId, _: Event, _: &Path) {}

    /// The link refused a probe of a trace.
    fn refused(&mut self, _: TraceId, _: &LinkError) {}

    /// This is how many probes of a trace have by now been refused or not seen leaving.
    fn never_sent(&mut self, _: TraceId, _: NeverSent) {}

    /// This many frames that may be replies have by now been seen on interfaces that are not captured on.
    fn elsewhere(&mut self, _: u64) {}

    /// This many rounds of a trace have now gone by of which no probe was seen leaving, and so many of them since the last call.
    fn missed(&mut self, _: TraceId, _: u64, _: u64) {}

    /// The clock that stamps frames was set: before the next frame that concerns a trace, or the end.
    fn clock_step(&mut self, _: &ClockStep) {}

    /// When [`wake`](Self::wake) is to be called at the latest, on a clock that reads `now`.
    fn wake_at(&self, _: Timestamp) -> Option<Timestamp> {
        None
    }

    /// The link was woken, or the time came. Says whether every trace is to be shown anew.
    fn wake(&mut self) -> bool {
        false
    }

    /// A trace is shown anew.
    fn show(&mut self, _: TraceId, _: &Path) {}

    /// Whether the run is to end here.
    fn interrupted(&self) -> bool {
        false
    }

    /// It ends here, at this moment, because it was [`interrupted`](Self::interrupted).
    fn cut(&mut self, _: Timestamp) {}
}

/// Runs one trace over `link` until it is done, the link ends, or the observer has it interrupted; then
/// finishes it and shows its last events.
///
/// # Errors
/// When the link fails. The trace is finished then too: what is known is still shown.
pub fn run(
    engine: &mut dyn Engine,
    link: &mut dyn Link,
    observer: &mut dyn Observer,
) -> Result<(), LinkError> {
    Driver::default().run(&mut Endpoint::of_one(engine), link, observer)
}

/// The state of the loop: [`run`] runs it to the end, a player of recordings step by step.
#[derive(Clone, Debug, Default)]
pub struct Driver {
    /// Frames that concern a trace, so far.
    recorded: u64,
    /// Steps of the clock that the observer is to be told of with the next frame that is recorded: no recording says what
    /// else happened before them.
    steps: Vec<ClockStep>,
    /// Frames that are about some probe, but were cut too short to say about which.
    cut_short: u64,
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

impl Driver {
    /// Hands the traces all frames of `earlier` without asking what to send.
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
                // It is numbered anew, as it is recorded anew.
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

    /// How many frames the capture cut too short to say about which probe they are.
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
        while self.step(endpoint, link, observer)? {}
        Ok(())
    }

    /// Sends what is due and handles the one thing that comes next. `false` says that it is over: all traces have
    /// been finished then, and their last events shown.
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
        // After the sending: if every probe was refused, there is nothing to wait for.
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
                // In a replay nothing else says that time has passed.
                pass(endpoint, observer, frame.at);
                self.ingest(frame, endpoint, observer);
            }
            Received::Quiet(at) => {
                pass(endpoint, observer, at);
                wake(endpoint, observer);
            }
            Received::Woken => wake(endpoint, observer),
            Received::Rounds { trace, count } => {
                endpoint.note_rounds(TraceId::of_number(trace.saturating_add(1)), count);
            }
            Received::NeverSent { trace, count } => {
                endpoint.note_never_sent(TraceId::of_number(trace.saturating_add(1)), count);
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
                    let original_len = u32::try_from(unechoed.len()).unwrap_or(u32::MAX);
                    let (link, bytes) = (LinkType::Raw, &unechoed);
                    let frame = Frame { at, link, bytes, original_len, interface: 0, number: 0 };
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

/// Lets time pass until then, each deadline at its own: what is shown does not depend on how many pass at once, and a
/// live run and its replay show the same.
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
