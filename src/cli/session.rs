//! A run: it passes what its traces show to their reports and to the recording, asks for names, and counts what else
//! happens.

mod observer;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::recorder::Recorder;
use super::{Status, complain, console, hints};
use crate::capture::{CaptureError, INTERRUPTED, NEVER_SENT, OF_TRACE, ROUNDS};
use crate::driver::{Driver, NeverSent};
use crate::enrich::Annotations;
use crate::enrich::lookups::{Lookup, PendingLookups};
use crate::link::Link;
use crate::link::live::Interrupt;
use crate::link::replay::ReplayLink;
use crate::metrics::Meter;
use crate::privilege;
use crate::render::stats::RunFacts;
use crate::render::{Renderer, View};
use crate::time::Timestamp;
use crate::trace::endpoint::{Endpoint, TraceId};
use crate::trace::{Engine, Event, Path, TraceConfig};
use crate::untrusted::Untrusted;

/// The state of a run beside its traces and its link.
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub struct Session {
    traces: BTreeMap<TraceId, Reported>,
    annotations: Annotations,
    /// Every responder so far.
    responders: HashSet<IpAddr>,
    /// Responders whose names are not in the recording yet.
    unnamed: Vec<IpAddr>,
    look_up: bool,
    tape: Option<Recorder>,
    /// The number of the frame recorded last.
    recorded: u64,
    interrupt: Option<Interrupt>,
    /// When the run was interrupted, if it was.
    cut: Option<Timestamp>,
    /// A recording whose frames come before those of the link.
    earlier: Option<ReplayLink<File>>,
    /// Set to end the run early, by a user who has seen enough.
    stop: Arc<AtomicBool>,
    began: Instant,
    facts: RunFacts,
    /// The number of frames that may be replies, on interfaces without a capture; and whether it was reported.
    elsewhere: u64,
    told_elsewhere: bool,
    failed: bool,
    pipe_closed: bool,
    /// Whether the reader of the recording has closed it, which ends the run early.
    recording_closed: bool,
}

/// A trace that is reported.
struct Reported {
    config: TraceConfig,
    renderer: Box<dyn Renderer>,
    meter: Option<Meter>,
    /// The number of rounds, if the last ones were not sent.
    rounds: Option<u64>,
    /// The probes that never left.
    never_sent: NeverSent,
    /// Whether it was reported that rewritten quotes are no longer believed.
    withdrawn: bool,
    /// Whether some probes of the round before were not answered.
    lacking: bool,
}

/// The destination of a report: stderr if stdout takes the recording.
pub fn report_out(to_stderr: bool) -> Box<dyn Write> {
    if to_stderr {
        Box::new(BufWriter::new(console::stderr()))
    } else {
        Box::new(BufWriter::new(console::stdout()))
    }
}

impl Session {
    /// A run without traces. With `look_up`, the names in `annotations` are recorded.
    pub fn new(annotations: impl Into<Annotations>, look_up: bool) -> Self {
        Self {
            traces: BTreeMap::new(),
            annotations: annotations.into(),
            responders: HashSet::new(),
            unnamed: Vec::new(),
            look_up,
            tape: None,
            recorded: 0,
            interrupt: None,
            cut: None,
            earlier: None,
            stop: Arc::default(),
            began: Instant::now(),
            facts: RunFacts {
                version: env!("CARGO_PKG_VERSION"),
                identity: privilege::identity().to_string(),
                ..RunFacts::default()
            },
            elsewhere: 0,
            told_elsewhere: false,
            failed: false,
            pipe_closed: false,
            recording_closed: false,
        }
    }

    /// Adds a trace that `renderer` reports and `meter` counts.
    pub fn report(
        &mut self,
        trace: TraceId,
        config: &TraceConfig,
        renderer: Box<dyn Renderer>,
        meter: Option<Meter>,
    ) {
        if !config.evidence.is_captured() {
            self.facts.evidence = config.evidence;
        }
        let reported = Reported {
            config: config.clone(),
            renderer,
            meter,
            rounds: None,
            never_sent: NeverSent::default(),
            withdrawn: false,
            lacking: false,
        };
        self.traces.insert(trace, reported);
    }

    /// Records every frame that concerns a trace.
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

    /// Ends the run on this signal.
    #[must_use]
    pub fn interrupted_by(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// Ends the run when this flag is set and the link is woken.
    #[must_use]
    pub fn stopped_by(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// The facts about how the run went.
    pub fn facts_mut(&mut self) -> &mut RunFacts {
        &mut self.facts
    }

    /// Runs the traces to their end and completes their reports. Returns the most serious of their statuses.
    pub fn run(&mut self, endpoint: &mut Endpoint<'_>, link: &mut dyn Link) -> Status {
        self.begin();
        let earlier = self.earlier.take();
        let mut driver = Driver::default();
        let fed = earlier.map_or(Ok(()), |mut link| driver.feed(endpoint, &mut link, self));
        let run = fed.and_then(|()| driver.run(endpoint, link, self));
        if let Err(error) = run {
            self.fail(&error.to_string());
        }
        self.finish_names(endpoint.engines());
        let ends = endpoint.engines().map(|(id, engine)| self.conclude(id, engine));
        ends.max().unwrap_or(Status::Failed)
    }

    /// Begins the reports.
    pub fn begin(&mut self) {
        for id in self.ids() {
            if let Some(it) = self.traces.get_mut(&id) {
                let begun = it.renderer.begin(&it.config);
                self.note_output(id, begun);
            }
        }
    }

    fn ids(&self) -> Vec<TraceId> {
        self.traces.keys().copied().collect()
    }

    /// Waits for the names that are still being looked up, once all traces are over.
    pub fn finish_names<'e>(
        &mut self,
        engines: impl IntoIterator<Item = (TraceId, &'e dyn Engine)>,
    ) {
        for (id, engine) in engines {
            let prefix = self.prefix(id);
            let Some(it) = self.traces.get_mut(&id) else { continue };
            it.rounds = engine.rounds();
            if it.rounds.is_some() {
                complain(&format!(
                    "{prefix}the last rounds were not sent: no probe was seen leaving"
                ));
            }
        }
        if self.signal().is_some() || self.stop.load(Ordering::Acquire) {
            self.annotations.give_up();
        } else {
            self.annotations.wait_all();
        }
        self.record_names();
        if self.recording_closed {
            complain(
                "the reader of the recording has closed it: the run ended early, without a report",
            );
            self.traces.values_mut().for_each(|it| it.renderer = Box::new(Discard));
        }
    }

    /// Completes the report of a trace from its engine.
    pub fn conclude(&mut self, id: TraceId, engine: &dyn Engine) -> Status {
        let Some(it) = self.traces.get_mut(&id) else { return Status::Failed };
        let never_sent = it.never_sent.count();
        let view = View::of(&it.config, engine.path(), &self.annotations);
        let ended = it.renderer.end(View { never_sent, ..view });
        self.note_output(id, ended);
        self.facts.duration_ms = self.began.elapsed().as_secs_f64() * 1e3;
        match self.signal() {
            _ if self.failed => Status::Failed,
            Some(signal) => Status::Interrupted(signal),
            None if self.recording_closed => Status::NotReached,
            None if self.pipe_closed => Status::Reached,
            None if engine.reached() && never_sent == 0 => Status::Reached,
            None => Status::NotReached,
        }
    }

    fn signal(&self) -> Option<u8> {
        self.interrupt.as_ref().and_then(Interrupt::signal)
    }

    /// The total number of probes of all traces that never left.
    pub fn all_never_sent(&self) -> NeverSent {
        self.traces.values().map(|it| it.never_sent).fold(NeverSent::default(), NeverSent::plus)
    }

    /// Whether to report now, for the first time, that frames came in on interfaces without a capture.
    pub fn misses_elsewhere(&mut self, silence: bool) -> bool {
        let missing = self.elsewhere > 0 && silence;
        missing && !std::mem::replace(&mut self.told_elsewhere, true)
    }

    /// Reports how many probes of a trace never left, and for a live run, whose probes leave by `interface`, possible reasons.
    pub fn say_what_never_left(&self, id: TraceId, interface: Option<&Untrusted>) {
        let Some(it) = self.traces.get(&id) else { return };
        let dropped = self.facts.kernel_dropped.is_some_and(|dropped| dropped > 0);
        if let Some(line) = hints::for_never_sent(it.never_sent, interface, dropped) {
            complain(&format!("{}{line}", self.prefix(id)));
        }
    }

    /// Reports it of all traces.
    pub fn say_what_never_left_by(&self, interface: &Untrusted) {
        for id in self.ids() {
            self.say_what_never_left(id, Some(interface));
        }
    }

    /// What a message about one of several traces begins with.
    fn prefix(&self, id: TraceId) -> String {
        let several = self.traces.len() > 1;
        let named = self.traces.get(&id).filter(|_| several);
        named.map_or_else(String::new, |it| format!("{}: ", it.config.target_name.shown()))
    }

    /// Ends the recording with the kernel's counters.
    pub fn close_tape(&mut self, at: Timestamp) -> bool {
        let (received, dropped) = (self.facts.kernel_received, self.facts.kernel_dropped);
        let mut comment = format!("clock: {}", self.facts.clock.shown());
        if let Some(cut) = self.cut {
            comment = format!("{comment}\n{INTERRUPTED}{}", cut.nanos());
        }
        let several = self.traces.len() > 1;
        for (id, it) in &self.traces {
            let of = if several { format!("{OF_TRACE}{}", id.number()) } else { String::new() };
            if let Some(rounds) = it.rounds {
                comment = format!("{comment}\n{ROUNDS}{rounds}{of}");
            }
            if it.never_sent.count() > 0 {
                comment = format!("{comment}\n{NEVER_SENT}{}{of}", it.never_sent.count());
            }
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

    /// Handles a failed write. A closed pipe ends the output, and the run too if nothing is recorded; it is no error.
    fn note_output(&mut self, id: TraceId, result: io::Result<()>) {
        let Err(error) = result else { return };
        if let Some(it) = self.traces.get_mut(&id) {
            it.renderer = Box::new(Discard);
        }
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.pipe_closed |= self.tape.is_none();
        } else {
            self.fail(&format!("cannot write the report: {error}"));
        }
    }

    fn render(&mut self, id: TraceId, event: Option<Event>, path: &Path) {
        let Some(it) = self.traces.get_mut(&id) else { return };
        let view = View::of(&it.config, path, &self.annotations);
        let result = it.renderer.event(event, view);
        self.note_output(id, result);
    }

    /// Writes to the recording; after a failure the run continues without it.
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

fn is_closed_pipe(error: &CaptureError) -> bool {
    let CaptureError::Io { source, .. } = error else { return false };
    source.kind() == io::ErrorKind::BrokenPipe
}

/// A renderer that writes nothing, for a report whose reader has closed it.
struct Discard;

impl Renderer for Discard {
    fn end(&mut self, _: View<'_>) -> io::Result<()> {
        Ok(())
    }
}
