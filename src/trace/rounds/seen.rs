//! The half of rounds that a live run and a replay share: what was captured of them.
//!
//! Invariant: all of it follows from configuration and the frames that concern the trace. Of a round of which no probe
//! was captured it knows nothing, whatever was sent.

use std::collections::VecDeque;

use super::super::config::TraceConfig;
use super::super::event::{Disposition, Event};
use super::super::path::Path;
use super::super::tracer::Tracer;
use super::numbers::Numbers;
use crate::probe::ProbeKey;
use crate::time::ClockStep;
use crate::wire::Frame;

/// The rounds whose frames were captured.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The latest: the only one that is not over.
    pub(super) current: Tracer,
    /// Those before it, the latest first.
    over: VecDeque<Over>,
    /// How many of them are kept.
    kept: usize,
    /// Whether the last round that is not kept any more reached the target, and at which TTL the last that did.
    reached: bool,
    target: Option<u8>,
    /// As long as the path was known to be after the last round that is not kept any more; 0 if that is not known.
    known_length: u8,
    /// How many rounds ago that is which the last event or frame was about; `None` is the current one.
    shown: Option<usize>,
    pub(super) numbers: Numbers,
}

#[derive(Clone, Debug)]
struct Over {
    round: Tracer,
    /// That it has ended was said.
    closed: bool,
}

/// What a frame is to rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A probe of this round.
    ProbeOf(u64),
    /// A datagram like our probes, but of no round that it could be of by now.
    Nobodys,
    /// Anything else: perhaps a reply.
    Other,
}

impl Seen {
    /// None yet; `current` is the first.
    pub(super) fn new(current: Tracer, kept: usize, numbers: Numbers) -> Self {
        Self {
            current,
            over: VecDeque::new(),
            kept,
            reached: false,
            target: None,
            known_length: 0,
            shown: None,
            numbers,
        }
    }

    /// The number of the latest round of which something was captured, or of the first.
    pub(super) fn number(&self) -> u64 {
        self.current.path().round
    }

    /// Whether nothing was captured of any round.
    pub(super) fn is_empty(&self) -> bool {
        self.current.path().is_empty()
    }

    /// The current round and those before it, the latest first.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Path> + Clone {
        std::iter::once(&self.current)
            .chain(self.over.iter().map(|over| &over.round))
            .map(Tracer::path)
    }

    /// Where the latest of the rounds that found an end say that it is, be it by answers that came too late for them.
    pub(super) fn known_end(&self) -> Option<u8> {
        self.kept().find_map(|path| path.end)
    }

    /// The TTL at which the target answered in the last round that it answered in, be it too late for that.
    pub(super) fn target(&self) -> Option<u8> {
        self.kept().find_map(Path::target_ttl).or(self.target)
    }

    /// Whether the last round of which that is known reached the target.
    pub(super) fn reached(&self) -> bool {
        self.kept().find_map(Path::has_reached).unwrap_or(self.reached)
    }

    /// What the frame is.
    pub(super) fn whose(&self, frame: &Frame<'_>) -> Whose {
        let Some((header, payload)) = self.current.own(frame) else { return Whose::Other };
        // Those that confirm answers are of no round by their numbers.
        let flow = self.current.config().flow();
        let key = ProbeKey::of(&header, payload);
        if key.is_some_and(|key| key.ident(flow.probe) != flow.ident) {
            return Whose::Other;
        }
        let round = self.numbers.round_of(self.number(), &header, payload, frame.at);
        round.map_or(Whose::Nobodys, Whose::ProbeOf)
    }

    /// A frame was captured of a later round than the current one: that is over.
    pub(super) fn go_on_with(&mut self, mut next: Tracer, config: &TraceConfig) {
        next = next.stepped_as(&self.current);
        next.succeed(&mut self.current);
        let mut round = std::mem::replace(&mut self.current, next);
        if round.path().is_empty() {
            return;
        }
        round.finish();
        self.over.push_front(Over { round, closed: false });
        if self.over.len() > self.kept {
            let Some(Over { round, .. }) = self.over.pop_back() else { return };
            self.reached = round.path().has_reached().unwrap_or(self.reached);
            self.target = round.path().target_ttl().or(self.target);
            self.known_length = round.path().known_length(self.known_length, false);
        }
        self.current.path.target_before = self.target().unwrap_or(0);
        self.learn_length(config);
    }

    /// The current round learns from those before how long the path is.
    fn learn_length(&mut self, config: &TraceConfig) {
        // Where nothing can confirm that it is shorter now, that is believed once no router has been seen beyond it for as
        // many rounds as are kept.
        let by_quotes = config.confirmation.is_none();
        let before = if by_quotes { 0 } else { self.known_length };
        let rounds = self.over.iter().rev().map(|over| over.round.path());
        let known = rounds.fold(before, |known, path| path.known_length(known, by_quotes));
        self.current.note_length(known);
        if let Some(over) = self.over.front_mut() {
            over.round.note_length(known);
        }
    }

    /// Takes a probe of the current round.
    pub(super) fn take_probe(&mut self, frame: &Frame<'_>) -> Disposition {
        self.shown = None;
        let disposition = self.current.take_frame(frame);
        if let Disposition::OwnProbe(_) = disposition {
            self.numbers.note_probe(frame.at);
        }
        disposition
    }

    /// Takes what is no probe: the latest round that knows what it is about has it.
    pub(super) fn take_other(&mut self, frame: &Frame<'_>) -> Disposition {
        self.shown = None;
        if let Some(ago) = self.quoted_round(frame) {
            self.current.expire(frame.at);
            self.shown = Some(ago);
            let Some(over) = self.over.get_mut(ago) else { return Disposition::Unrelated };
            return over.round.take_late_frame(&mut self.current, frame);
        }
        let current = self.current.take_frame(frame);
        if current.has_found_a_probe() {
            return current;
        }
        for (ago, over) in self.over.iter_mut().enumerate() {
            let disposition = over.round.take_late_frame(&mut self.current, frame);
            if disposition.has_found_a_probe() {
                self.shown = Some(ago);
                return disposition;
            }
        }
        self.current.count_unmatched(current);
        current
    }

    /// How many rounds ago that is, if it is over, of which a frame quotes a probe as it was sent: then that is none of another
    /// round's which was rewritten on the way.
    fn quoted_round(&self, frame: &Frame<'_>) -> Option<usize> {
        let over = self.over.iter().map(|over| &over.round);
        let mut rounds = std::iter::once(&self.current).chain(over);
        rounds.position(|round| round.is_quoted_by(frame))?.checked_sub(1)
    }

    /// The next thing that happened.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        let closing = self.over.iter_mut().enumerate().rev().filter(|(_, over)| !over.closed);
        for (ago, over) in closing {
            if let Some(event) = over.round.poll_event() {
                over.closed = event == Event::Ended;
                self.shown = Some(ago);
                return Some(event);
            }
        }
        self.shown = None;
        if let Some(event) = self.current.poll_event() {
            return Some(event);
        }
        for (ago, over) in self.over.iter_mut().enumerate() {
            while let Some(event) = over.round.poll_event() {
                if let Event::Replied(at, index) = event {
                    self.shown = Some(ago);
                    return Some(Event::Belated(at, index));
                }
            }
        }
        None
    }

    /// What the last event or frame was about.
    pub(super) fn path(&self) -> &Path {
        let over = self.shown.and_then(|ago| self.over.get(ago));
        over.map_or(&self.current, |over| &over.round).path()
    }

    /// The clock that stamps frames was set.
    pub(super) fn note_clock_step(&mut self, step: &ClockStep) {
        let over = self.over.iter_mut().map(|over| &mut over.round);
        over.chain([&mut self.current]).for_each(|round| round.note_clock_step(step));
    }

    /// What follows is about the current round.
    pub(super) fn show_current(&mut self) {
        self.shown = None;
    }
}
