//! Where a path ends: at the target, at an error of somebody else beyond which nobody answers, or in a loop.
//!
//! It is found anew from what was noted each time a reply says something of it, or is withdrawn. The target's own
//! replies come before errors of others, and those before a loop. Which answers that quote nothing are believed is in
//! [`doubts`](super::super::doubts).

use super::super::loops;
use super::super::reply::Reply;
use super::{Path, Probe, ProbeRef};

impl Path {
    /// A reply settled this probe, or came late to one that had none: what it says of how far the path goes.
    ///
    /// Whoever answers a probe that arrived is `d` hops away: it was sent with a TTL of `t` and what is quoted of
    /// it has `q`, so `d = t - q + 1`. That is believed of the scout and of probes to the target, for as long as no router
    /// says of that TTL, or of a higher one, that it ran out.
    ///
    /// A size probe says nothing of it: what refused it may have let a shorter probe pass. A confirmation that is answered says
    /// that answers at its TTL are to be believed; else it is a probe like those of hops.
    pub(in super::super) fn note_answer(&mut self, at: ProbeRef) {
        if let ProbeRef::SizeProbe(_) = at {
            return;
        }
        let Some(reply) = self.probe(at).and_then(|probe| self.evidence(probe)) else { return };
        let (router, kind, quote) = (reply.responder, reply.kind, reply.quote);
        let is_error = !reply.is_answer();
        let (of_target, may_end) = (reply.is_of_target(self.target), reply.may_end());
        let ttl = self.ttl_sent(at);
        let quoted = quote.map(|quote| quote.ttl).filter(|quoted| *quoted > 0);
        let distance = quoted.and_then(|quoted| ttl.checked_sub(quoted - 1));
        let distance = distance.map(|distance| distance.max(self.first_ttl));
        let is_scout = self.is_scout(at);
        if is_scout {
            self.scouted_target = of_target;
        }
        if kind.in_transit() {
            self.farthest = self.farthest.max(ttl);
        } else if is_scout && may_end {
            self.distance = distance;
        } else if of_target && is_error {
            self.direct_end = Some(self.direct_end.map_or(ttl, |end| end.min(ttl)));
            self.quoted_end = self.quoted_end.into_iter().chain(distance).min();
        } else if may_end && !of_target {
            self.errors.insert(ttl);
        }
        self.find_end();
        if self.end.is_none() || self.looped.is_some() {
            let suspect = || self.looped.is_some() || loops::is_possible(self.hops(), ttl, router);
            if loops::counts(at) && suspect() {
                self.looped = loops::find(self.hops());
            }
            self.end = self.looped.map(|looped| looped.end);
        }
    }

    /// Whether this is the scout, be it that nobody had answered it when the trace was over, so that it counts as a probe
    /// of the last hop: in a watch its answer may still come, and then says how far away the target is.
    fn is_scout(&self, at: ProbeRef) -> bool {
        at == ProbeRef::Scout || self.scout_place() == Some(at)
    }

    /// The reply to this probe that says how far the path goes, in time or late; what quotes nothing must not be later than
    /// anything is waited for.
    pub(in super::super) fn evidence<'a>(&self, probe: &'a Probe) -> Option<&'a Reply> {
        let in_time = |rtt| rtt <= self.longest_wait;
        probe.counted().filter(|it| !it.late || !it.is_answer() || it.rtt.is_some_and(in_time))
    }

    /// How far away who answered the scout is, unless a TTL ran out there or beyond.
    fn scouted(&self) -> Option<u8> {
        self.distance.filter(|distance| self.farthest < *distance)
    }

    /// Where the target's own replies end the path, those that are believed.
    pub(super) fn end_by_target(&self) -> Option<u8> {
        let answers = |it: &Probe| self.evidence(it).is_some_and(Reply::is_answer);
        let has_answer = |ttl: &u8| self.hop(*ttl).is_some_and(|it| it.probes.iter().any(answers));
        let answered = self.doubts.answered.iter().find(has_answer);
        self.end_by_quotes().into_iter().chain(answered).min()
    }

    /// Where those of them end it that quote a probe.
    fn end_by_quotes(&self) -> Option<u8> {
        let scouted = self.scouted().filter(|_| self.scouted_target);
        let quoted = self.quoted_end.filter(|end| self.farthest < *end);
        self.direct_end.into_iter().chain(scouted).chain(quoted).min()
    }

    /// Where an error of somebody else ends it: nobody answers beyond, and not the target either.
    fn end_by_error(&self) -> Option<u8> {
        if self.scouted_target {
            return None;
        }
        let error = self.errors.iter().find(|ttl| *ttl > self.farthest);
        error.into_iter().chain(self.scouted()).min()
    }

    /// Where the replies that are believed end the path, if they do.
    pub(in super::super) fn find_end(&mut self) {
        self.end = self.end_by_target().or_else(|| self.end_by_error());
        self.looped = self.looped.filter(|_| self.end.is_none());
        self.end = self.end.or(self.looped.map(|looped| looped.end));
    }

    /// Whether nothing but answers that quote nothing, or errors of which the quote is not known, says where the path ends, and hops before that have not answered:
    /// the target may be nearer.
    pub(in super::super) fn is_end_loose(&self) -> bool {
        let Some(end) = self.end.filter(|_| self.looped.is_none()) else { return false };
        let is_next = end <= self.farthest.saturating_add(1).max(self.first_ttl);
        let exactly = self.shows_quotes && self.end_by_quotes() == Some(end);
        !is_next && self.end_by_target() == Some(end) && !exactly
    }

    /// Whether nothing but the TTL of reconstructed answers can show that the path ends at this TTL.
    pub(in super::super) fn is_estimated(&self, end: u8) -> bool {
        !self.shows_quotes && self.end != Some(end)
    }

    /// Where the path ends by answers alone that quote nothing, if nothing else speaks for that; `guessed` if somebody was
    /// seen to guess.
    pub(in super::super) fn unproven_end(&self, guessed: bool) -> Option<u8> {
        let end = self.end.filter(|end| self.end_by_target() == Some(*end))?;
        let proven = self.end_by_quotes() == Some(end)
            || self.doubts.is_proven(self.first_ttl, end, guessed);
        (!proven).then_some(end)
    }

    /// Whether an answer from beyond the end may yet show that it is none.
    pub(in super::super) fn is_end_open(&self) -> bool {
        self.end.is_some() && self.looped.is_none() && self.end_by_target().is_none()
    }

    /// How long the path is known to be after this round, if it was known to be `before` long; with `by_quotes` only as
    /// far as quotes say so.
    pub(in super::super) fn known_length(&self, before: Option<u8>, by_quotes: bool) -> Option<u8> {
        let quoted = || self.end_by_quotes().or_else(|| self.end_by_error());
        let end = if by_quotes { quoted() } else { self.end };
        self.doubts.known_length_after(before, end)
    }
}
