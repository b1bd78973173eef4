//! Which probes count as queries of the last hop though they were sent with a higher TTL: the scout, and probes that went
//! past the target because nobody knew yet where it is.
//!
//! All of them were delivered to the target, or lost before it, like its own. So they are not sent again: the hop gets
//! only the probes that it lacks, and one with its own TTL at least, which proves the length of the path. When the trace
//! is over, they are put into that hop, each with the TTL that it was sent with. Who they are follows from frames and
//! configuration.

use super::super::reply::Reply;
use super::{Hop, Path, Probe, ProbeRef};
use crate::time::Span;

impl Path {
    /// The trace is over: probes join the hop that they turned out to be probes of, if that hop lacks some. Gives what
    /// was where before, and where it is now.
    pub(in super::super) fn place(&mut self) -> &[(ProbeRef, ProbeRef)] {
        self.place_scout();
        let past: Vec<ProbeRef> = self.past_target().collect();
        for before in past {
            // Each was the last of its hop.
            let probe = before.hop_ttl().and_then(|ttl| self.hop_mut(ttl)?.probes.pop());
            let Some((probe, end)) = probe.zip(self.end) else { break };
            self.put(probe, before, end);
        }
        while self.seen > 1 && self.hops().last().is_some_and(|hop| hop.probes.is_empty()) {
            self.seen -= 1;
        }
        &self.placed
    }

    /// Puts a probe into this hop, as its last one.
    fn put(&mut self, probe: Probe, before: ProbeRef, ttl: u8) {
        let Some(hop) = self.hop_mut(ttl) else { return };
        let query = u16::try_from(hop.probes.len()).unwrap_or(u16::MAX);
        hop.probes.push(probe);
        self.placed.push((before, ProbeRef::Hop { ttl, query }));
    }

    fn place_scout(&mut self) {
        let Some(ttl) = self.scout_hop() else { return };
        let Some(scout) = self.scout.take() else { return };
        let ends = self.evidence(&scout).is_some_and(Reply::may_end);
        self.put(scout, ProbeRef::Scout, ttl);
        if ends {
            self.end = Some(ttl);
        }
    }

    /// The hop that the scout turned out to be a probe of, if that lacks one.
    fn scout_hop(&self) -> Option<u8> {
        // With a TTL that is just enough it is a probe of the last hop, whatever its answer says.
        let is_its = |end: &u8| self.is_scouted(*end) || *end == self.max_ttl();
        let answered = self.end.filter(is_its);
        // Nobody is known to be there: then it was a probe of the last hop.
        let unknown = || self.end.is_none().then_some(self.max_ttl());
        let ttl = answered.or_else(unknown)?;
        // All hops before it have been asked, or it was too early to say anything of this one.
        let asked = usize::from(ttl.checked_sub(self.first_ttl)?) <= self.seen;
        (asked && self.len_of(ttl) < self.queries.into()).then_some(ttl)
    }

    /// Whether the answer to the scout comes from this end of the path: its quote says so or, where it quotes nothing, the
    /// target was found there.
    fn is_scouted(&self, end: u8) -> bool {
        let is_at_target = || self.target_answered_scout() && self.end_by_target() == Some(end);
        self.distance == Some(end) || self.distance.is_none() && is_at_target()
    }

    /// Whether the target answered the scout without quoting it.
    fn target_answered_scout(&self) -> bool {
        let answer = self.scout.as_ref().and_then(|scout| self.evidence(scout));
        answer.is_some_and(|reply| reply.quote.is_none() && reply.is_of_target(self.target))
    }

    /// The probes that went past the target and count as queries of it: as many as its hop lacks, those of the
    /// nearest hops first, and of each hop the last.
    pub(in super::super) fn past_target(&self) -> impl Iterator<Item = ProbeRef> {
        let is_of_target =
            |end: &u8| self.end_by_target() == Some(*end) && self.target_before().is_none();
        let end = self.end.filter(is_of_target);
        let lacks = end.map_or(0, |end| {
            let scout = self.scout.is_some() && self.scout_hop() == Some(end);
            usize::from(self.queries).saturating_sub(self.len_of(end) + usize::from(scout))
        });
        self.past(end.unwrap_or(u8::MAX)).take(lacks)
    }

    /// The probes that were sent with a higher TTL than this and may have reached the target, if a scout went first: without
    /// one, none goes past the target that another takes the place of.
    fn past(&self, ttl: u8) -> impl Iterator<Item = ProbeRef> {
        let scouts = self.has_scout;
        let beyond = self.hops().iter().filter(move |hop| scouts && hop.ttl > ttl);
        beyond.flat_map(|hop| {
            let last_first = hop.probes.iter().enumerate().rev();
            let may_count = last_first.take_while(|(_, probe)| self.may_be_of_target(probe));
            let query = |(index, _)| u16::try_from(index).unwrap_or(u16::MAX);
            may_count.map(move |numbered| ProbeRef::Hop { ttl: hop.ttl, query: query(numbered) })
        })
    }

    /// Whether nobody but the target answered this probe.
    fn may_be_of_target(&self, probe: &Probe) -> bool {
        probe.contradicted.is_empty()
            && probe.replies.iter().all(|reply| reply.is_of_target(self.target))
    }

    /// How many queries of this hop need no probe of their own, if the target is there or whoever else ends the path.
    pub(in super::super) fn covered(&self, ttl: u8) -> usize {
        let scout = match self.distance {
            Some(distance) => distance == ttl,
            None => self.target_answered_scout(),
        };
        // If it is not known where the path ends, it is the target that is taken to be there.
        let is_of_target = self.end != Some(ttl) || self.end_by_target() == Some(ttl);
        let past = if is_of_target { self.past(ttl).count() } else { 0 };
        past + usize::from(scout)
    }

    /// How long an answer from the end of the path took, to a probe of its hop or to the scout.
    pub(in super::super) fn end_rtt(&self) -> Option<Span> {
        let end = self.end?;
        let of_hop = self.hop(end).and_then(Hop::first_rtt).map(|(_, rtt)| rtt);
        let scout = self.scout.as_ref().filter(|_| self.is_scouted(end));
        let rtt = |scout: &Probe| scout.answer()?.measured().filter(|rtt| *rtt > Span::ZERO);
        of_hop.or_else(|| scout.and_then(rtt))
    }

    /// How many probes the hop with this TTL has.
    fn len_of(&self, ttl: u8) -> usize {
        self.hop(ttl).map_or(0, |hop| hop.probes.len())
    }
}
