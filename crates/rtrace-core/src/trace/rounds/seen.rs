//! The captured half of rounds, which a live run and a replay share.
//!
//! Invariant: all of it follows from the configuration and the frames that concern the trace. Of a round without a
//! captured probe it knows nothing, whatever was sent.

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

/// Memory is reserved for this number of finished rounds at a time.
const FEW: usize = 8;

/// The rounds whose frames were captured.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The latest round, and the only one that is not finished.
    pub(super) current: Tracer,
    /// The finished rounds, the latest first.
    over: VecDeque<Over>,
    /// The number of finished rounds that are kept.
    kept: usize,
    /// Finds the round of a probe.
    index: Index,
    /// The number of times that a frame that is no probe was shown to a round.
    pub(super) frames_shown: u64,
    /// Whether the last round that is no longer kept reached the target, and the TTL at which the last such round
    /// that did reached it.
    reached: bool,
    target: Option<u8>,
    /// The length of the path as known after the last round that is no longer kept.
    known_length: Option<u8>,
    pub(super) numbers: Numbers,
}

/// A finished round. Once its end was reported it is packed; its path is unpacked when somebody asks for it.
#[derive(Clone, Debug)]
struct Over {
    round: Tracer,
    /// Whether its end was reported.
    closed: bool,
    /// Its unpacked path, if it is packed and somebody asked for it.
    shown: OnceCell<Box<Path>>,
    /// Whether it was packed before.
    rested: bool,
    /// While it is packed: whether the target was reached, and the TTL at which it answered.
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

    /// Packs the round, if all its events were reported.
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

/// Which round a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// A probe of this round.
    ProbeOf(u64),
    /// A datagram like a probe of ours, but of no round that it could belong to by now.
    Nobodys,
    /// Anything else, perhaps a reply.
    Other,
}

impl Seen {
    /// No captured rounds yet; `current` is the first.
    pub(super) fn new(current: Tracer, kept: usize, numbers: Numbers) -> Self {
        Self {
            current,
            over: VecDeque::with_capacity(kept.min(FEW) + 1),
            kept,
            index: Index::new(kept),
            frames_shown: 0,
            reached: false,
            target: None,
            known_length: None,
            numbers,
        }
    }

    /// The number of the latest captured round, or of the first round.
    pub(super) fn number(&self) -> u64 {
        self.current.path().round_number()
    }

    /// Whether no probe of any round was captured.
    pub(super) fn is_empty(&self) -> bool {
        self.current.path().is_empty()
    }

    /// The paths of the current round and of those before it, the latest first.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Path> + Clone {
        std::iter::once(self.current.path()).chain(self.over.iter().map(Over::path))
    }

    /// The TTL at which the path ends, by the latest of the rounds that found an end, even if its answers were late.
    pub(super) fn known_end(&self) -> Option<u8> {
        let over = self.over.iter().map(|over| over.round.path().end);
        self.current.path().end.or_else(|| over.flatten().next())
    }

    /// The TTL at which the target answered in the last round that it answered in, even if late.
    pub(super) fn target(&self) -> Option<u8> {
        let over = || self.over.iter().find_map(Over::target);
        self.current.path().target_ttl().or_else(over).or(self.target)
    }

    /// Whether the last round of which that is known reached the target.
    pub(super) fn reached(&self) -> bool {
        let over = || self.over.iter().find_map(Over::reached);
        self.current.path().has_reached().or_else(over).unwrap_or(self.reached)
    }

    /// The round of the frame that holds this datagram.
    pub(super) fn whose(&self, frame: &Frame<'_>, datagram: Option<&Datagram<'_>>) -> Whose {
        let own = |datagram| Some((datagram, self.current.own(datagram, frame.number)?));
        let Some((datagram, key)) = datagram.and_then(own) else { return Whose::Other };
        // The numbers of probes that confirm answers do not show their round.
        let flow = self.current.config().flow();
        if key.ident(flow.probe) != flow.ident {
            return Whose::Other;
        }
        let Datagram { header, payload, .. } = datagram;
        let round = self.numbers.round_of(self.number(), header, payload, frame.at);
        round.map_or(Whose::Nobodys, Whose::ProbeOf)
    }

    /// Makes `next` the current round, because its first probe was captured at `at`. The round before is finished.
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
        let target_before = self.target();
        if let Some(round) = &mut self.current.path.round {
            round.target_before = target_before;
        }
        self.learn_length(config);
    }

    /// The current round learns the length of the path from those before.
    fn learn_length(&mut self, config: &TraceConfig) {
        // Where no probe can confirm that the path is shorter now, that is believed once no router has been seen
        // beyond its end for as many rounds as are kept.
        let by_quotes = config.confirmation.is_none();
        let before = self.known_length.filter(|_| !by_quotes);
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

    /// Takes a frame that is no probe of a round by its number, for the latest round that knows what it is about.
    /// Also returns how many rounds ago that was; `None` for the current round.
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

    /// How many rounds ago the finished round was of which a datagram quotes a probe unchanged. Such a quote is not
    /// one of another round's probe that was rewritten on the path.
    fn quoted_round(&self, datagram: &Datagram<'_>) -> Option<usize> {
        if self.current.is_quoted_in(datagram) || !self.current.is_to_us(datagram) {
            return None;
        }
        let ago = self.index.ago(self.current.marks_in(datagram));
        let quoted =
            |ago: &usize| self.over.get(*ago).is_some_and(|over| over.round.is_quoted_in(datagram));
        ago.iter().find(quoted)
    }

    /// Takes a datagram that is about a probe of a finished round, and returns how many rounds ago that was; `None`
    /// if it is not.
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

    /// The next event, and the path of its round.
    pub(super) fn poll_event(&mut self) -> Option<(Event, &Path)> {
        let (event, ago) = self.next_event()?;
        Some((event, self.path(ago)))
    }

    /// The next event, and how many rounds ago its round was; `None` for the current round.
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
        // A round that gets late replies is packed again when the next round begins.
        if let Some(told) = self.over.front_mut().filter(|over| !over.rested) {
            told.rest();
        }
        None
    }

    /// The path of the round `ago` rounds ago; `None` stands for the current round.
    pub(super) fn path(&self, ago: Option<usize>) -> &Path {
        let over = ago.and_then(|ago| self.over.get(ago));
        over.map_or(self.current.path(), Over::path)
    }

    /// Notes that the clock that stamps frames was set.
    pub(super) fn note_clock_step(&mut self, step: &ClockStep) {
        let over = self.over.iter_mut().map(|over| &mut over.round);
        over.chain([&mut self.current]).for_each(|round| round.note_clock_step(step));
    }
}

#[cfg(test)]
mod tests;
