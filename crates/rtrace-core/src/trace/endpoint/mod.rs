//! Many traces over one link: the endpoint decides which traces see a frame, which probe leaves next, and when each
//! trace is asked again.
//!
//! A frame is decoded once; an [`Index`] finds the traces that it may concern. All deadlines are in one queue, so
//! that they pass in order, whichever trace they belong to. Traces come from a [`TraceSource`], as many at a time as
//! there is room for. The endpoint does no IO and reads no clock: a driver asks it what to send and hands it the
//! captured frames.
//!
//! What happens in a trace does not depend on the other open traces.

mod departures;
mod id;
mod index;
mod open;
mod pacer;
mod source;

use std::collections::{BTreeSet, VecDeque};

pub use self::departures::NeverSent;
pub use self::id::TraceId;
pub use self::index::{Index, SHARING};
pub use self::open::News;
use self::open::{Open, Phase};
use self::pacer::Pacer;
use self::source::Wants;
pub use self::source::{Few, Held, NewTrace, Supply, TraceSource};
use super::datagram::Packet;
use super::engine::Engine;
use super::event::{Disposition, Event};
use super::path::Path;
use crate::probe::Transmit;
use crate::time::{ClockStep, Timestamp};
use crate::wire::Frame;

/// Many traces over one link. See the [module](self).
pub struct Endpoint<'e> {
    source: Box<dyn TraceSource<'e> + 'e>,
    /// When to ask the source again; `None` means never.
    supplies_at: Option<Timestamp>,
    /// The most traces that may be open at a time.
    room: usize,
    /// Traces by their identifiers.
    traces: Vec<Option<Box<Open<'e>>>>,
    open: usize,
    /// The number of open traces that are done.
    done: usize,
    index: Index,
    /// Traces that are shown every frame.
    of_all_frames: Vec<TraceId>,
    /// Whether no trace ever sends.
    only_watches: bool,
    /// When to ask which trace again.
    timers: BTreeSet<(Timestamp, TraceId)>,
    /// Traces to ask for probes.
    ready: VecDeque<TraceId>,
    /// Traces that changed since the last review, and since the last call that drained events.
    touched: Vec<TraceId>,
    talking: Vec<TraceId>,
    /// The moments until which a probe that was handed out may still leave, in ascending order.
    leaving: VecDeque<(Timestamp, TraceId)>,
    pacer: Pacer,
    /// The moment up to which all frames are known.
    quiet: Timestamp,
    datagram: Vec<u8>,
    concerned: Vec<TraceId>,
}

/// What a frame meant to all traces together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The number of traces that it was shown to.
    pub shown: usize,
    /// Whether the capture cut it too short to identify the probe that it is about.
    pub cut_short: bool,
}

impl<'e> Endpoint<'e> {
    /// An endpoint for the traces of a source.
    #[must_use]
    pub fn new(source: impl TraceSource<'e> + 'e) -> Self {
        Self {
            source: Box::new(source),
            supplies_at: Some(Timestamp::from_nanos(i64::MIN)),
            room: usize::MAX,
            traces: Vec::new(),
            open: 0,
            done: 0,
            index: Index::default(),
            of_all_frames: Vec::new(),
            only_watches: false,
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            touched: Vec::new(),
            talking: Vec::new(),
            leaving: VecDeque::new(),
            pacer: Pacer::default(),
            quiet: Timestamp::default(),
            datagram: Vec::new(),
            concerned: Vec::new(),
        }
    }

    /// An endpoint with one trace, which is shown every frame.
    #[must_use]
    pub fn of_one(engine: &'e mut dyn Engine) -> Self {
        Self::new(Few::at_once([NewTrace::of_all_frames(engine)]))
    }

    /// An endpoint for traces of a recording that are only watched, by their numbers in the index of all traces that
    /// it holds. If the index is empty, they are shown every frame.
    #[must_use]
    pub fn watching(index: Index, engines: impl IntoIterator<Item = (TraceId, Held<'e>)>) -> Self {
        let mut endpoint = Self::new(Few::at_once([]));
        endpoint.index = index;
        endpoint.only_watches = true;
        for (id, engine) in engines {
            if endpoint.index.is_empty() {
                endpoint.of_all_frames.push(id);
            }
            endpoint.keep(id, engine);
        }
        endpoint
    }

    /// Limits the number of traces that are open at a time.
    #[must_use]
    pub fn with_room(mut self, room: usize) -> Self {
        self.room = room.max(1);
        self
    }

    /// Limits the probes of all traces together to this number a second.
    #[must_use]
    pub fn at_rate(mut self, rate: f64) -> Self {
        self.pacer = Pacer::of_rate(rate);
        self
    }

    /// Opens traces while the source has some and there is room.
    pub fn open_due(&mut self, now: Timestamp) {
        while self.open - self.done < self.room && self.supplies_at.is_some_and(|at| at <= now) {
            match self.source.next(now) {
                Supply::Trace(trace) => self.open(trace),
                Supply::Later(at) => self.supplies_at = Some(at),
                Supply::Exhausted => self.supplies_at = None,
            }
        }
    }

    fn open(&mut self, trace: NewTrace<'e>) {
        let NewTrace { engine, wants } = trace;
        let id = TraceId::at(self.traces.len());
        match wants {
            Wants::Everything => {
                self.of_all_frames.push(id);
                self.index.skip();
            }
            Wants::Own(flow, idents, confirming) => self.index.add(&flow, &idents, confirming),
        }
        self.keep(id, engine);
    }

    /// Opens a trace that is in the index.
    fn keep(&mut self, id: TraceId, engine: Held<'e>) {
        self.traces.resize_with(self.traces.len().max(id.place().saturating_add(1)), || None);
        if let Some(place) = self.traces.get_mut(id.place()) {
            *place = Some(Box::new(Open::new(engine)));
        }
        self.open += 1;
        self.make_ready(id);
    }

    fn get_mut(&mut self, id: TraceId) -> Option<&mut Open<'e>> {
        self.traces.get_mut(id.place())?.as_deref_mut()
    }

    /// The engines of all traces that are open or have ended.
    pub fn engines(&self) -> impl Iterator<Item = (TraceId, &dyn Engine)> {
        let numbered = self.traces.iter().enumerate();
        numbered.filter_map(|(id, open)| Some((TraceId::at(id), &*open.as_ref()?.engine)))
    }

    /// Whether no trace has anything left to send or to wait for, and the source has no more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open == self.done && self.supplies_at.is_none()
    }

    /// The index of traces, for its counters.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    fn touch(&mut self, id: TraceId) {
        let Some(open) = self.traces.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        if !std::mem::replace(&mut open.is_touched, true) {
            self.touched.push(id);
        }
        if !std::mem::replace(&mut open.is_talking, true) {
            self.talking.push(id);
        }
    }

    fn make_ready(&mut self, id: TraceId) {
        self.touch(id);
        let Some(open) = self.get_mut(id) else { return };
        if open.phase != Phase::Over && !std::mem::replace(&mut open.is_ready, true) {
            self.ready.push_back(id);
        }
    }

    /// Sets the timer of a trace to the moment at which it next wants to be asked.
    fn arm(&mut self, id: TraceId) {
        let Some(open) = self.get_mut(id).filter(|open| open.phase != Phase::Over) else { return };
        // A trace that is done only lets its deadlines pass, as in a replay.
        let at = match open.phase {
            Phase::Running => open.engine.poll_timeout(),
            Phase::Done | Phase::Over => open.engine.next_deadline(),
        };
        let before = std::mem::replace(&mut open.armed, at);
        if at == before {
            return;
        }
        // In this order the queue of a single trace never becomes empty, and keeps its memory.
        self.timers.extend(at.map(|at| (at, id)));
        if let Some(before) = before {
            self.timers.remove(&(before, id));
        }
    }

    /// The next datagram to send, if one is due at `now`, and the trace that it belongs to. Call until `None`; call
    /// again after every frame, and at [`poll_timeout`](Self::poll_timeout).
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<(TraceId, Transmit<'_>)> {
        self.open_due(now);
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            if let Some(open) = self.get_mut(id) {
                open.armed = None;
            }
            self.make_ready(id);
        }
        while self.pacer.is_open(now)
            && let Some(id) = self.ready.pop_front()
        {
            let quiet = self.quiet;
            let Some(open) = self.traces.get_mut(id.place()).and_then(Option::as_deref_mut) else {
                continue;
            };
            if open.quiet < quiet {
                open.quiet = quiet;
                open.engine.handle_timeout(quiet);
            }
            if let Some(Transmit { destination, datagram }) = open.engine.poll_transmit(now) {
                self.datagram.clear();
                self.datagram.extend_from_slice(datagram);
                // Other traces have their turn first.
                self.ready.push_back(id);
                self.touch(id);
                self.pacer.note_probe(now);
                return Some((id, Transmit { destination, datagram: &self.datagram }));
            }
            open.is_ready = false;
            self.touch(id);
            self.arm(id);
        }
        None
    }

    /// Notes that the link took the datagram that [`poll_transmit`](Self::poll_transmit) returned last, for this
    /// trace.
    pub fn note_handed_out(&mut self, id: TraceId, at: Timestamp) {
        if let Some(open) = self.get_mut(id) {
            open.departures.hand(at);
            self.leaving.push_back((at.after(departures::PATIENCE), id));
        }
    }

    /// Notes that the link refused the datagram of this trace that [`poll_transmit`](Self::poll_transmit) returned
    /// last.
    pub fn handle_refusal(&mut self, id: TraceId) {
        if let Some(open) = self.get_mut(id) {
            open.engine.handle_refusal();
            open.departures.refuse();
        }
    }

    /// When the endpoint must be asked for probes or told the time again, if no frame comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let paced = self.ready.front().and_then(|_| self.pacer.next_at());
        let supply = self.supplies_at.filter(|_| self.open - self.done < self.room);
        timer.into_iter().chain(paced).chain(supply).min()
    }

    /// Expires the first deadline that is due by `until`, when no frame stamped before `until` can come any longer.
    /// Returns whether there was one: call until it returns `false`, and take the events in between.
    pub fn handle_timeout(&mut self, until: Timestamp) -> bool {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= until) {
            self.timers.remove(&(at, id));
            // Its time has come, perhaps to send.
            self.make_ready(id);
            let Some(open) = self.get_mut(id) else { continue };
            open.armed = None;
            let Some(deadline) = open.engine.next_deadline().filter(|it| *it <= until) else {
                continue;
            };
            let passes = deadline <= at;
            if passes {
                open.engine.handle_timeout(deadline);
            }
            // Deadlines of other traces that come before its next one have their turn first.
            open.armed = open.engine.next_deadline().filter(|next| !passes || *next > deadline);
            let next = open.armed;
            self.timers.extend(next.map(|at| (at, id)));
            if passes {
                return true;
            }
        }
        self.quiet = self.quiet.max(until);
        while let Some((_, id)) = self.leaving.front().copied().filter(|(at, _)| *at <= until) {
            self.leaving.pop_front();
            if let Some(open) = self.get_mut(id) {
                open.departures.pass(until);
                self.touch(id);
            }
        }
        // The end of a recording is the end of all traces.
        if until == Timestamp::from_nanos(i64::MAX) {
            for id in (0..self.traces.len()).map(TraceId::at) {
                if let Some(open) = self.get_mut(id).filter(|open| open.phase != Phase::Over) {
                    open.engine.handle_timeout(until);
                    self.touch(id);
                }
            }
        }
        false
    }

    /// Takes one captured frame, and returns what it meant to the traces that it was shown to.
    pub fn handle_frame(
        &mut self,
        frame: &Frame<'_>,
        mut tell: impl FnMut(TraceId, Disposition, &Path),
    ) -> Taken {
        let packet = Packet::of(frame);
        let mut concerned = std::mem::take(&mut self.concerned);
        concerned.clear();
        concerned.extend_from_slice(&self.of_all_frames);
        if !self.index.is_empty() {
            concerned.extend(self.index.concerned(&packet).iter().copied().map(TraceId::at));
        }
        let (mut shown, mut found, mut cut) = (0, false, Vec::new());
        for id in &concerned {
            let Some(open) = self.get_mut(*id).filter(|open| open.phase != Phase::Over) else {
                continue;
            };
            shown += 1;
            let (disposition, path) = open.engine.handle_packet(&packet);
            tell(*id, disposition, path);
            if let Disposition::OwnProbe(_) = disposition {
                open.departures.leave();
            }
            found |= disposition.has_found_a_probe();
            cut.extend((disposition == Disposition::CutShort).then_some(*id));
            // What is nobody's changes nothing but what a trace may send.
            if disposition != Disposition::Unrelated || !self.only_watches {
                self.make_ready(*id);
            }
        }
        // If one trace knows its probe, it is of no other trace.
        for id in cut.iter().filter(|_| found) {
            if let Some(open) = self.get_mut(*id) {
                open.engine.disown_cut_frame();
            }
        }
        self.concerned = concerned;
        Taken { shown, cut_short: !cut.is_empty() && !found }
    }

    /// Passes all new events to `tell`, trace by trace. Call after every other call.
    pub fn drain_events(&mut self, mut tell: impl FnMut(TraceId, Event, &Path)) {
        let mut talking = std::mem::take(&mut self.talking);
        for id in talking.drain(..) {
            let Some(open) = self.get_mut(id) else { continue };
            open.is_talking = false;
            while let Some((event, path)) = open.engine.poll_event() {
                tell(id, event, path);
            }
        }
        self.talking = talking;
    }

    /// Calls `look` for every trace that changed since the last review.
    pub fn review(&mut self, mut look: impl FnMut(&mut Self, TraceId)) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            if let Some(open) = self.get_mut(id) {
                open.is_touched = false;
                look(self, id);
            }
        }
        // Traces that changed meanwhile are looked at next time.
        touched.append(&mut self.touched);
        self.touched = touched;
    }

    /// News of a trace besides its events. Each is returned once.
    pub fn take_news(&mut self, id: TraceId) -> News {
        self.get_mut(id).map_or(News::default(), Open::take_news)
    }

    /// Makes room for another trace if this one has nothing left to send or to wait for. The trace stays open until
    /// all are done: when it ends must not depend on what only a live run knows.
    pub fn retire_done(&mut self, id: TraceId) {
        let running = self.get_mut(id).filter(|open| open.phase == Phase::Running);
        if let Some(open) = running.filter(|open| open.engine.is_done()) {
            open.phase = Phase::Done;
            self.done += 1;
        }
    }

    /// Ends all traces in order, because the run was interrupted at this moment or is over. They remain readable.
    pub fn close_all(&mut self, interrupted_at: Option<Timestamp>) {
        self.supplies_at = None;
        (self.open, self.done) = (0, 0);
        self.timers.clear();
        self.ready.clear();
        for id in (0..self.traces.len()).map(TraceId::at) {
            self.touch(id);
            let Some(open) = self.get_mut(id).filter(|open| open.phase != Phase::Over) else {
                continue;
            };
            open.phase = Phase::Over;
            match interrupted_at {
                Some(at) => open.engine.cut(at),
                None => open.engine.finish(),
            }
        }
    }

    /// Notes that the clock that stamps frames was set.
    pub fn note_clock_step(&mut self, step: &ClockStep) {
        for open in self.traces.iter_mut().flatten().filter(|open| open.phase != Phase::Over) {
            open.engine.note_clock_step(step);
        }
    }

    /// Notes that this trace had `count` rounds, of which the last were not sent, as a recording says.
    pub fn note_rounds(&mut self, id: TraceId, count: u64) {
        if let Some(open) = self.get_mut(id) {
            open.engine.note_rounds(count);
            self.touch(id);
        }
    }

    /// Notes that `count` probes of this trace never left, as a recording says.
    pub fn note_never_sent(&mut self, id: TraceId, count: u64) {
        if let Some(open) = self.get_mut(id) {
            open.departures.note(count);
            self.touch(id);
        }
    }
}
