//! The half of rounds that a live run and a replay share: what was captured of them.
//!
//! Invariant: all of it follows from configuration and the frames that concern the trace. Of a round of which no probe
//! was captured it knows nothing, whatever was sent.

use std::cell::OnceCell;
use std::collections::VecDeque;

use super::super::config::TraceConfig;
use super::super::datagram::Datagram;
use super::super::engine::Engine;
use super::super::event::{Disposition, Event};
use super::super::path::Path;
use super::super::tracer::Tracer;
use super::index::Index;
use super::numbers::Numbers;
use crate::time::{ClockStep, Timestamp};
use crate::wire::Frame;

/// Room is made for so many rounds that are over at once.
const FEW: usize = 8;

/// The rounds whose frames were captured.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The latest: the only one that is not over.
    pub(super) current: Tracer,
    /// Those before it, the latest first.
    over: VecDeque<Over>,
    /// How many of them are kept.
    kept: usize,
    /// By what their probes are found.
    index: Index,
    /// How often a frame that is no probe was shown to a round.
    pub(super) frames_shown: u64,
    /// Whether the last round that is not kept any more reached the target, and at which TTL the last that did.
    reached: bool,
    target: Option<u8>,
    /// As long as the path was known to be after the last round that is not kept any more; 0 if that is not known.
    known_length: u8,
    pub(super) numbers: Numbers,
}

/// A round that is over. Once that was told it rests: its path is made again when somebody asks for it.
#[derive(Clone, Debug)]
struct Over {
    round: Tracer,
    /// That it has ended was said.
    closed: bool,
    /// Its path, if it rests and somebody asked for it.
    shown: OnceCell<Box<Path>>,
    /// Whether it has rested before.
    rested: bool,
    /// While it rests: whether the target was reached, and at which TTL it answered.
    reached: Option<bool>,
    target: Option<u8>,
}

impl Over {
    fn new(round: Tracer) -> Self {
        let shown = OnceCell::new();
        Self { round, closed: false, shown, rested: false, reached: None, target: None }
    }

    fn path(&self) -> &Path {
        let unpacked = || {
            let mut path = self.round.path().clone();
            path.unpack();
            Box::new(path)
        };
        if !self.round.path().is_packed() {
            return self.round.path();
        }
        self.shown.get_or_init(unpacked)
    }

    /// It rests, if all was told of it.
    fn rest(&mut self) {
        self.shown.take();
        if self.closed && self.round.events.is_empty() && !self.round.path().is_packed() {
            self.rested = true;
            (self.reached, self.target) = (self.reached(), self.target());
            self.round.rest();
        }
    }

    fn awake(&mut self) -> &mut Tracer {
        self.shown.take();
        self.round.wake();
        &mut self.round
    }

    fn reached(&self) -> Option<bool> {
        if self.round.path().is_packed() { self.reached } else { self.round.path().has_reached() }
    }

    fn target(&self) -> Option<u8> {
        if self.round.path().is_packed() { self.target } else { self.round.path().target_ttl() }
    }
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
            over: VecDeque::with_capacity(kept.min(FEW) + 1),
            kept,
            index: Index::new(kept),
            frames_shown: 0,
            reached: false,
            target: None,
            known_length: 0,
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
        std::iter::once(self.current.path()).chain(self.over.iter().map(Over::path))
    }

    /// Where the latest of the rounds that found an end say that it is, be it by answers that came too late for them.
    pub(super) fn known_end(&self) -> Option<u8> {
        let over = self.over.iter().map(|over| over.round.path().end);
        self.current.path().end.or_else(|| over.flatten().next())
    }

    /// The TTL at which the target answered in the last round that it answered in, be it too late for that.
    pub(super) fn target(&self) -> Option<u8> {
        let over = || self.over.iter().find_map(Over::target);
        self.current.path().target_ttl().or_else(over).or(self.target)
    }

    /// Whether the last round of which that is known reached the target.
    pub(super) fn reached(&self) -> bool {
        let over = || self.over.iter().find_map(Over::reached);
        self.current.path().has_reached().or_else(over).unwrap_or(self.reached)
    }

    /// What a frame is that holds this datagram.
    pub(super) fn whose(&self, frame: &Frame<'_>, datagram: Option<&Datagram<'_>>) -> Whose {
        let own = |datagram| Some((datagram, self.current.own(datagram, frame.number)?));
        let Some((datagram, key)) = datagram.and_then(own) else { return Whose::Other };
        // Those that confirm answers are of no round by their numbers.
        let flow = self.current.config().flow();
        if key.ident(flow.probe) != flow.ident {
            return Whose::Other;
        }
        let Datagram { header, payload, .. } = datagram;
        let round = self.numbers.round_of(self.number(), header, payload, frame.at);
        round.map_or(Whose::Nobodys, Whose::ProbeOf)
    }

    /// A frame was captured, at this time, of a later round than the current one: that is over.
    pub(super) fn go_on_with(&mut self, mut next: Tracer, config: &TraceConfig, at: Timestamp) {
        next = next.stepped_as(&self.current);
        next.succeed(&mut self.current);
        let mut round = std::mem::replace(&mut self.current, next);
        if round.path().is_empty() {
            return;
        }
        round.finish();
        round.path.until = at;
        self.index.add(round.marks(&self.current));
        self.over.iter_mut().for_each(Over::rest);
        self.over.push_front(Over::new(round));
        if self.over.len() > self.kept {
            let Some(over) = self.over.pop_back() else { return };
            self.reached = over.reached().unwrap_or(self.reached);
            self.target = over.target().or(self.target);
            self.known_length = over.round.path().known_length(self.known_length, false);
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
    pub(super) fn take_probe(
        &mut self,
        frame: &Frame<'_>,
        datagram: Option<&Datagram<'_>>,
    ) -> Disposition {
        let disposition = self.current.take_datagram(frame, datagram);
        if let Disposition::OwnProbe(_) = disposition {
            self.numbers.note_probe(frame.at);
        }
        disposition
    }

    /// Takes what is no probe of a round by its number: the latest round that knows what it is about has it. Gives how many
    /// rounds ago that is, unless it is the current one.
    pub(super) fn take_other(
        &mut self,
        frame: &Frame<'_>,
        datagram: Option<&Datagram<'_>>,
    ) -> (Disposition, Option<usize>) {
        if let Some(ago) = datagram.and_then(|datagram| self.quoted_round(datagram)) {
            self.current.expire(frame.at);
            self.frames_shown += 1;
            let (Some(over), Some(datagram)) = (self.over.get_mut(ago), datagram) else {
                return (Disposition::Unrelated, None);
            };
            return (over.awake().take_late_reply(&mut self.current, frame, datagram), Some(ago));
        }
        self.frames_shown += 1;
        let current = self.current.take_datagram(frame, datagram);
        let Some(datagram) = datagram.filter(|_| !current.has_found_a_probe()) else {
            return (current, None);
        };
        if self.current.is_from_us(datagram) {
            self.over.iter_mut().for_each(|over| over.awake().note_foreign(datagram));
        }
        if let Some((disposition, ago)) = self.take_late(frame, datagram) {
            return (disposition, Some(ago));
        }
        self.current.count_unmatched(current);
        self.current.note_unasked(datagram);
        (current, None)
    }

    /// How many rounds ago that is, if it is over, of which a datagram quotes a probe as it was sent: then that is none of
    /// another round's which was rewritten on the way.
    fn quoted_round(&self, datagram: &Datagram<'_>) -> Option<usize> {
        if self.current.is_quoted_in(datagram) || !self.current.is_to_us(datagram) {
            return None;
        }
        let ago = self.index.ago(self.current.marks_in(datagram));
        let quoted =
            |ago: &usize| self.over.get(*ago).is_some_and(|over| over.round.is_quoted_in(datagram));
        ago.iter().find(quoted)
    }

    /// Takes what is about a probe of a round that is over, if it is, and gives how many rounds ago that is.
    fn take_late(
        &mut self,
        frame: &Frame<'_>,
        datagram: &Datagram<'_>,
    ) -> Option<(Disposition, usize)> {
        if !self.current.is_to_us(datagram) {
            return None;
        }
        for ago in self.index.ago(self.current.marks_in(datagram)).iter() {
            let Some(over) = self.over.get_mut(ago) else { continue };
            self.frames_shown += 1;
            let disposition = over.awake().take_late_reply(&mut self.current, frame, datagram);
            if disposition.has_found_a_probe() {
                return Some((disposition, ago));
            }
        }
        None
    }

    /// The next thing that happened, and in which round.
    pub(super) fn poll_event(&mut self) -> Option<(Event, &Path)> {
        let (event, ago) = self.next_event()?;
        Some((event, self.path(ago)))
    }

    /// The next thing that happened, and how many rounds ago that is in which it did, unless it is the current one.
    fn next_event(&mut self) -> Option<(Event, Option<usize>)> {
        let closing = self.over.iter_mut().enumerate().rev().filter(|(_, over)| !over.closed);
        for (ago, over) in closing {
            if let Some((event, _)) = over.round.poll_event() {
                over.closed = event == Event::Ended;
                return Some((event, Some(ago)));
            }
        }
        if let Some((event, _)) = self.current.poll_event() {
            return Some((event, None));
        }
        for (ago, over) in self.over.iter_mut().enumerate() {
            while let Some((event, _)) = over.round.poll_event() {
                if let Event::Replied(at, index) = event {
                    return Some((Event::LateReply(at, index), Some(ago)));
                }
            }
        }
        // One to which late replies come rests again when the next round begins.
        if let Some(told) = self.over.front_mut().filter(|over| !over.rested) {
            told.rest();
        }
        None
    }

    /// The path of the round so many ago, or of the current one.
    pub(super) fn path(&self, ago: Option<usize>) -> &Path {
        let over = ago.and_then(|ago| self.over.get(ago));
        over.map_or(self.current.path(), Over::path)
    }

    /// The clock that stamps frames was set.
    pub(super) fn note_clock_step(&mut self, step: &ClockStep) {
        let over = self.over.iter_mut().map(|over| &mut over.round);
        over.chain([&mut self.current]).for_each(|round| round.note_clock_step(step));
    }
}

#[cfg(test)]
mod tests;
