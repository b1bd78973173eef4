//! One run: what a trace shows goes to the report and the recording, names are asked for, and what
//! happens besides is counted.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::recorder::Recorder;
use super::{Status, complain, console, hints};
use crate::capture::{CaptureError, INTERRUPTED, NEVER_SENT, ROUNDS};
use crate::driver::{Driver, NeverSent, Observer};
use crate::enrich::Annotations;
use crate::enrich::lookups::{Lookup, PendingLookups};
use crate::link::live::Interrupt;
use crate::link::replay::ReplayLink;
use crate::link::{Link, LinkError};
use crate::metrics::Meter;
use crate::privilege;
use crate::render::stats::RunFacts;
use crate::render::{Renderer, View};
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::belief::MOST_MISFITS;
use crate::trace::{Disposition, Engine, Event, Path, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::Frame;

/// What a run needs besides a tracer and a link.
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub struct Session {
    config: TraceConfig,
    renderer: Box<dyn Renderer>,
    annotations: Annotations,
    /// Every responder.
    responders: HashSet<IpAddr>,
    /// Those of them whose names are not in the recording yet.
    unnamed: Vec<IpAddr>,
    look_up: bool,
    tape: Option<Recorder>,
    interrupt: Option<Interrupt>,
    meter: Option<Meter>,
    /// When the run was interrupted, if it was.
    cut: Option<Timestamp>,
    /// How many rounds there were, if the last are missing.
    rounds: Option<u64>,
    /// Probes that never left.
    never_sent: NeverSent,
    /// What was captured before.
    earlier: Option<ReplayLink<File>>,
    /// Somebody has seen enough.
    stop: Arc<AtomicBool>,
    began: Instant,
    facts: RunFacts,
    /// That what was rewritten is not believed any more has been said.
    withdrawn: bool,
    /// Frames that may be replies, on interfaces that are not captured on; and that this was said.
    elsewhere: u64,
    told_elsewhere: bool,
    /// Some probes of the round before were not answered.
    lacking: bool,
    failed: bool,
    pipe_closed: bool,
    /// Nobody reads the recording any more: that ends the run, which came as far as it came.
    recording_closed: bool,
}

/// Where a report goes: to stderr where stdout takes the recording.
pub fn report_out(to_stderr: bool) -> Box<dyn Write> {
    if to_stderr {
        Box::new(BufWriter::new(console::stderr()))
    } else {
        Box::new(BufWriter::new(console::stdout()))
    }
}

impl Session {
    /// A session whose report is written by `renderer`. With `look_up`, the names that `annotations` has are recorded.
    pub fn with_renderer(
        config: &TraceConfig,
        renderer: Box<dyn Renderer>,
        annotations: impl Into<Annotations>,
        look_up: bool,
    ) -> Self {
        Self {
            config: config.clone(),
            renderer,
            annotations: annotations.into(),
            responders: HashSet::new(),
            unnamed: Vec::new(),
            look_up,
            tape: None,
            interrupt: None,
            meter: None,
            cut: None,
            rounds: None,
            never_sent: NeverSent::default(),
            earlier: None,
            stop: Arc::default(),
            began: Instant::now(),
            facts: RunFacts {
                version: env!("CARGO_PKG_VERSION"),
                identity: privilege::identity().to_string(),
                ..RunFacts::default()
            },
            withdrawn: false,
            elsewhere: 0,
            told_elsewhere: false,
            lacking: false,
            failed: false,
            pipe_closed: false,
            recording_closed: false,
        }
    }

    /// Records every frame that concerns the trace.
    #[must_use]
    pub fn recording_to(mut self, tape: Option<Recorder>) -> Self {
        self.tape = tape;
        self
    }

    /// Begins with the frames of a recording, as if they had just been captured.
    #[must_use]
    pub fn going_on_from(mut self, earlier: Option<ReplayLink<File>>) -> Self {
        self.earlier = earlier;
        self
    }

    /// Counts what happens.
    #[must_use]
    pub fn metered_by(mut self, meter: Option<Meter>) -> Self {
        self.meter = meter;
        self
    }

    /// Ends the run at this signal.
    #[must_use]
    pub fn interrupted_by(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// Exchanges what has been looked up for these.
    pub fn exchange(&mut self, annotations: &mut Annotations) {
        std::mem::swap(&mut self.annotations, annotations);
    }

    /// Ends the run when this is set, and the link woken.
    #[must_use]
    pub fn stopped_by(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// What is known of how the run went.
    pub fn facts_mut(&mut self) -> &mut RunFacts {
        &mut self.facts
    }

    /// Runs the trace to its end and completes the report.
    pub fn run(&mut self, tracer: &mut dyn Engine, link: &mut dyn Link) -> Status {
        self.begin();
        let earlier = self.earlier.take();
        let mut driver = Driver::default();
        let fed = earlier.map_or(Ok(()), |mut link| driver.feed(tracer, &mut link, self));
        let run = fed.and_then(|()| driver.run(tracer, link, self));
        if let Err(error) = run {
            self.fail(&error.to_string());
        }
        self.conclude(tracer)
    }

    /// Begins the report.
    pub fn begin(&mut self) {
        let began = self.renderer.begin(&self.config);
        self.note_output(began);
    }

    /// Completes the report of what `tracer` has come to.
    pub fn conclude(&mut self, tracer: &mut dyn Engine) -> Status {
        self.rounds = tracer.rounds();
        if self.rounds.is_some() {
            complain("no probe of the last rounds was seen leaving: they are missing");
        }
        let signal = self.interrupt.as_ref().and_then(Interrupt::signal);
        if signal.is_some() || self.stop.load(Ordering::Acquire) {
            self.annotations.give_up();
        } else {
            self.annotations.wait_all();
        }
        self.record_names();
        if self.recording_closed {
            complain(
                "nobody reads the recording any more: the run has ended early, without a report",
            );
            self.renderer = Box::new(Discard);
        }
        let ended = {
            let view = View::of(&self.config, tracer.path(), &self.annotations);
            let view = View { never_sent: self.never_sent.count(), ..view };
            self.renderer.end(view)
        };
        self.note_output(ended);
        self.facts.duration_ms = self.began.elapsed().as_secs_f64() * 1e3;
        match signal {
            _ if self.failed => Status::Failed,
            Some(signal) => Status::Interrupted(signal),
            None if self.recording_closed => Status::NotReached,
            None if self.pipe_closed => Status::Reached,
            None if tracer.reached() && self.never_sent.count() == 0 => Status::Reached,
            None => Status::NotReached,
        }
    }

    /// Whether a probe never left.
    pub fn has_never_sent(&self) -> bool {
        self.never_sent.count() > 0
    }

    /// Whether frames came in by other interfaces than the one that is captured on is worth a word now, and was not said before.
    pub fn misses_elsewhere(&mut self, silence: bool) -> bool {
        let missing = self.elsewhere > 0 && silence;
        missing && !std::mem::replace(&mut self.told_elsewhere, true)
    }

    /// Says how many probes never left, and why that may be: of a live run, those that were to leave by `interface`.
    pub fn say_what_never_left(&self, interface: Option<&Untrusted>) {
        let dropped = self.facts.kernel_dropped.is_some_and(|dropped| dropped > 0);
        if let Some(line) = hints::for_never_sent(self.never_sent, interface, dropped) {
            complain(&line);
        }
    }

    /// The last words of the recording: what the kernel counted.
    pub fn close_tape(&mut self, at: Timestamp) -> bool {
        let (received, dropped) = (self.facts.kernel_received, self.facts.kernel_dropped);
        let mut comment = format!("clock: {}", self.facts.clock.shown());
        if let Some(cut) = self.cut {
            comment = format!("{comment}\n{INTERRUPTED}{}", cut.nanos());
        }
        if let Some(rounds) = self.rounds {
            comment = format!("{comment}\n{ROUNDS}{rounds}");
        }
        if self.never_sent.count() > 0 {
            comment = format!("{comment}\n{NEVER_SENT}{}", self.never_sent.count());
        }
        self.record(|tape| {
            tape.statistics(at, received.unwrap_or(0), dropped.unwrap_or(0), &comment)
        });
        !self.failed
    }

    fn fail(&mut self, message: &str) {
        self.failed = true;
        complain(message);
    }

    /// A closed pipe ends the output, and the run too where nothing is recorded; it is no error.
    fn note_output(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.renderer = Box::new(Discard);
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.pipe_closed |= self.tape.is_none();
        } else {
            self.fail(&format!("cannot write the report: {error}"));
        }
    }

    fn render(&mut self, event: Option<Event>, path: &Path) {
        let view = View::of(&self.config, path, &self.annotations);
        let result = self.renderer.event(event, view);
        self.note_output(result);
    }

    /// Writes to the recording; after a failure the trace goes on without it.
    fn record(&mut self, write: impl FnOnce(&mut Recorder) -> Result<(), CaptureError>) {
        let Some(tape) = &mut self.tape else { return };
        let Err(error) = write(tape) else { return };
        self.tape = None;
        if is_closed_pipe(&error) {
            self.recording_closed = true;
        } else {
            self.fail(&format!("the trace goes on without a recording: {error}"));
        }
    }

    fn record_names(&mut self) {
        let (known, unnamed): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unnamed).into_iter().partition(|address| {
                matches!(self.annotations.names.lookup(*address), Lookup::Known(Some(_)))
            });
        self.unnamed = unnamed;
        for address in known {
            if let Lookup::Known(Some(name)) = self.annotations.names.lookup(address) {
                let name = name.to_owned();
                self.record(|tape| tape.name(address, &name));
            }
        }
    }

    fn ask_about(&mut self, responder: IpAddr) {
        self.annotations.request(responder);
        if self.responders.insert(responder) && self.look_up {
            self.unnamed.push(responder);
        }
    }
}

impl Observer for Session {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.facts.frames += 1;
        if !disposition.concerns_the_trace() {
            self.facts.unrelated += 1;
            return;
        }
        self.facts.concerning += 1;
        if path.totals.withdrawn && !std::mem::replace(&mut self.withdrawn, true) {
            complain(&format!(
                "{MOST_MISFITS} ICMP errors about datagrams to {} fit no probe of this run: from now on \
                 quotes that were rewritten on the way are believed only if they cannot be guessed",
                self.config.target_name.shown()
            ));
        }
        self.renderer.frame(frame, disposition, path);
        self.record(|tape| tape.frame(frame, disposition, path));
    }

    fn event(&mut self, event: Event, path: &Path) {
        if let Event::Replied(at, index) | Event::LateReply(at, index) = event
            && let Some(reply) = path.probe(at).and_then(|probe| probe.replies.get(index))
        {
            self.ask_about(reply.responder);
        }
        if let Some(meter) = &mut self.meter {
            meter.handle(event, path);
        }
        self.render(Some(event), path);
        match event {
            Event::Ended => self.lacking = path.totals.is_lacking(),
            // A further round.
            Event::Sent(_) if self.lacking && self.misses_elsewhere(true) => {
                complain(&hints::for_elsewhere(self.elsewhere, &self.facts.interface));
            }
            _ => {}
        }
    }

    fn refused(&mut self, error: &LinkError) {
        self.facts.refused += 1;
        if self.facts.refused == 1 {
            complain(&error.to_string());
        }
    }

    fn elsewhere(&mut self, frames: u64) {
        self.elsewhere = frames;
    }

    fn never_sent(&mut self, so_far: NeverSent) {
        self.never_sent = so_far;
        self.facts.unseen = so_far.unseen;
        if let Some(meter) = &self.meter {
            meter.never_sent(so_far.count());
        }
    }

    fn missed(&mut self, rounds: u64, more: u64) {
        if let Some(meter) = &mut self.meter {
            meter.missed(more);
        }
        self.renderer.missed(rounds);
        if rounds == more {
            let target = self.config.target_name.word();
            complain(&match rounds {
                1 => format!(
                    "no probe to {target} was seen leaving in a round: that round is missing, the run goes on"
                ),
                _ => format!(
                    "{rounds} rounds to {target} were not sent: they are missing, and the watch goes on"
                ),
            });
        }
    }

    fn clock_step(&mut self, step: &ClockStep) {
        self.record(|tape| tape.clock_step(step));
        let rendered = self.renderer.clock_step(step);
        self.note_output(rendered);
        if step.by == Span::ZERO {
            return;
        }
        if let Some(meter) = &self.meter {
            meter.clock_step();
        }
        self.facts.clock_steps += 1;
        if self.facts.clock_steps == 1 {
            complain(&step.to_string());
        }
    }

    fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let left = self.annotations.next_deadline()?.saturating_duration_since(Instant::now());
        Some(now.after(Span::from_secs_f64(left.as_secs_f64())))
    }

    fn wake(&mut self, path: &Path) {
        self.annotations.poll();
        self.record_names();
        self.render(None, path);
    }

    fn interrupted(&self) -> bool {
        self.pipe_closed
            || self.recording_closed
            || self.stop.load(Ordering::Acquire)
            || self.interrupt.as_ref().is_some_and(|by| by.signal().is_some())
    }

    fn cut(&mut self, at: Timestamp) {
        self.cut = Some(at);
    }
}

fn is_closed_pipe(error: &CaptureError) -> bool {
    let CaptureError::Io { source, .. } = error else { return false };
    source.kind() == io::ErrorKind::BrokenPipe
}

/// What is left of a report whose reader has gone.
struct Discard;

impl Renderer for Discard {
    fn end(&mut self, _: View<'_>) -> io::Result<()> {
        Ok(())
    }
}
