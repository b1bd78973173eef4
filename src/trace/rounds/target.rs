//! The target over the rounds of a watch: where it answered before, and what that says of a round that does not reach it.
//!
//! A round in which the target does not answer ends where a router rejects its probes, or nowhere. It is asked, and
//! reported, up to where the target answered before all the same: a probe to that TTL without an answer of the target
//! is lost. A rejection counts as an answer of one hop at most: the nearest at which that router answers.

use super::super::path::{Path, Probe};
use super::super::reply::Reply;

impl Path {
    /// Whether a reply to a probe with this TTL is one of the target: of its own address, or of another beyond which
    /// nobody is.
    #[must_use]
    pub fn is_of_target(&self, ttl: u8, reply: &Reply) -> bool {
        reply.is_of_target(self.target) || reply.kind.delivered() && ttl > self.farthest
    }

    /// Whether a reply says that a router does not let the probe pass.
    fn is_rejection(&self, ttl: u8, reply: &Reply) -> bool {
        reply.may_end() && !self.is_of_target(ttl, reply)
    }

    /// The TTL at which the target answered, in time or late.
    #[must_use]
    pub fn target_ttl(&self) -> Option<u8> {
        let has = |ttl: u8, probe: &Probe| {
            probe.replies.iter().any(|reply| self.is_of_target(ttl, reply))
        };
        let answers_at =
            |ttl: u8| self.hop(ttl).is_some_and(|hop| hop.probes.iter().any(|it| has(ttl, it)));
        let by_scout = |end: u8| {
            self.distance == Some(end) && self.any_scout().is_some_and(|scout| has(end, scout))
        };
        let end = self.end.filter(|end| answers_at(*end) || by_scout(*end));
        end.or_else(|| self.hops().iter().map(|hop| hop.ttl).find(|ttl| answers_at(*ttl)))
    }

    /// The TTL up to which hops are asked and reported, once that is known: the end of the path or, in a round that ends
    /// without an answer of the target, where it answered before.
    #[must_use]
    pub fn last_ttl(&self) -> Option<u8> {
        let end = self.end?;
        if self.target_before == 0 {
            return Some(end);
        }
        Some(self.target_ttl().map_or(self.target_before, |ttl| ttl.max(end)))
    }

    /// Whether a reply to a probe with this TTL is one of that hop: not that of a router before it, where the target
    /// answered in rounds before.
    #[must_use]
    pub fn is_of_hop(&self, ttl: u8, reply: &Reply) -> bool {
        if self.target_before == 0 || self.is_of_target(ttl, reply) || reply.kind.is_advice() {
            return true;
        }
        if ttl >= self.target_before && self.end.is_some() && self.target_ttl().is_none() {
            return false;
        }
        let router = |probe: &Probe| probe.replies.iter().any(|it| it.responder == reply.responder);
        let nearer = || self.hops().iter().take_while(|hop| hop.ttl < ttl);
        reply.kind.in_transit() || !nearer().any(|hop| hop.probes.iter().any(router))
    }

    /// The first answer of a router that does not let probes pass, if the target did not answer.
    #[must_use]
    pub fn rejection(&self) -> Option<&Reply> {
        let mut rejections = self.replies().filter(|(ttl, reply)| self.is_rejection(*ttl, reply));
        let (_, first) = rejections.next().filter(|_| self.target_ttl().is_none())?;
        Some(first)
    }

    /// The first answer of the target.
    #[must_use]
    pub fn target_reply(&self) -> Option<&Reply> {
        let mut replies = self.replies();
        Some(replies.find(|(ttl, reply)| self.is_of_target(*ttl, reply))?.1)
    }

    /// All replies, each with the TTL of its probe.
    fn replies(&self) -> impl Iterator<Item = (u8, &Reply)> {
        self.probes().flat_map(|(ttl, probe)| probe.replies.iter().map(move |reply| (ttl, reply)))
    }

    /// Whether this round reached the target; `None` if it was cut off before that could be known.
    #[must_use]
    pub fn has_reached(&self) -> Option<bool> {
        if self.target_ttl().is_some() {
            return Some(true);
        }
        let asked = self.hop(self.target_before).is_some_and(|hop| hop.settled() > 0);
        (asked || !self.cut_off).then_some(false)
    }
}
