//! The target over the rounds of a watch: where it answered before, and what that means for a round that does not
//! reach it.
//!
//! A round in which the target does not answer ends where a router rejects its probes, or nowhere. Hops are still
//! probed and reported up to the TTL at which the target answered before: a probe to that TTL without an answer of
//! the target is lost. A rejection counts as the answer of at most one hop: the nearest at which that router answers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::loops::Loop;
use super::super::path::{Hop, Path, Probe};
use super::super::reply::Reply;

/// What came instead of an answer of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Instead {
    /// Nothing came.
    #[default]
    Nothing,
    /// Answers from the address of the target that are not believed, because other replies contradict them.
    Contradicted,
    /// Replies with a wrong checksum, from beyond all routers that answered.
    Damaged,
    /// An ICMP error: a router rejects the probes, or says what cannot be true of them; or the target's own address
    /// reports time exceeded.
    Error {
        /// The first such error.
        first: Reply,
        /// The number of others that answer with the same type and code.
        others: u64,
    },
    /// Time exceeded, repeatedly from the routers of a loop.
    Loop(Loop),
}

impl Instead {
    /// Whether anything at all came.
    pub(in super::super) fn is_known(&self) -> bool {
        *self != Self::Nothing
    }

    /// Who answers with which error, if anybody does.
    #[must_use]
    pub fn error(&self) -> Option<&Reply> {
        match self {
            Self::Error { first, .. } => Some(first),
            Self::Nothing | Self::Contradicted | Self::Damaged | Self::Loop(_) => None,
        }
    }
}

impl Path {
    /// Whether a reply to a probe with this TTL is one of the target: from its own address, or from another address
    /// beyond which nobody answers.
    #[must_use]
    pub fn is_of_target(&self, ttl: u8, reply: &Reply) -> bool {
        reply.is_of_target(self.target) || reply.kind.delivered() && ttl > self.farthest
    }

    /// Whether a reply says that a router rejects the probe.
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

    /// The TTL up to which hops are probed and reported, once it is known: the end of the path or, in a round without
    /// an answer of the target, the TTL at which it answered before.
    #[must_use]
    pub fn last_ttl(&self) -> Option<u8> {
        let end = self.end?;
        let Some(before) = self.target_before() else { return Some(end) };
        Some(self.target_ttl().map_or(before, |ttl| ttl.max(end)))
    }

    /// Whether a reply to a probe with this TTL belongs to that hop, and not to a router before it, where the target
    /// answered in earlier rounds.
    #[must_use]
    pub fn is_of_hop(&self, ttl: u8, reply: &Reply) -> bool {
        let Some(before) = self.target_before() else { return true };
        if self.is_of_target(ttl, reply) || reply.kind.is_advice() {
            return true;
        }
        if ttl >= before && self.end.is_some() && self.target_ttl().is_none() {
            return false;
        }
        let router = |probe: &Probe| probe.replies.iter().any(|it| it.responder == reply.responder);
        let nearer = || self.hops().iter().take_while(|hop| hop.ttl < ttl);
        reply.kind.in_transit() || !nearer().any(|hop| hop.probes.iter().any(router))
    }

    /// What came instead of an answer of the target.
    #[must_use]
    pub fn instead(&self) -> Instead {
        if self.target_ttl().is_some() {
            return Instead::Nothing;
        }
        let first = |such: &dyn Fn(u8, &Reply) -> bool| {
            let mut replies = self.replies();
            replies.find(|(ttl, reply)| such(*ttl, reply)).map(|(_, reply)| reply)
        };
        let other = |reply: &Reply| !reply.kind.in_transit() && !reply.kind.is_advice();
        let error = first(&|ttl, reply| self.is_rejection(ttl, reply))
            .or_else(|| first(&|ttl, reply| other(reply) && !self.is_of_target(ttl, reply)));
        let by_target =
            || first(&|_, reply| reply.responder == self.target && !reply.kind.is_advice());
        if let Some(looped) = self.looped.filter(|_| error.is_none()) {
            return Instead::Loop(looped);
        }
        if let Some(error) = error.or_else(by_target) {
            return Instead::Error { first: error.clone(), others: self.others_like(error) };
        }
        let beyond = self.hops().iter().filter(|hop| hop.ttl > self.farthest);
        if beyond.flat_map(|hop| &hop.probes).any(Probe::is_damaged) {
            return Instead::Damaged;
        }
        match self.contradictions().next() {
            Some(_) => Instead::Contradicted,
            None => Instead::Nothing,
        }
    }

    /// The number of others that answer with the same error. Every router reports time exceeded, so for that error it
    /// is 0.
    fn others_like(&self, error: &Reply) -> u64 {
        if error.kind.in_transit() {
            return 0;
        }
        let alike = self.replies().filter(|(_, reply)| reply.kind.icmp() == error.kind.icmp());
        let responders: BTreeSet<IpAddr> = alike.map(|(_, reply)| reply.responder).collect();
        (responders.len() as u64).saturating_sub(1)
    }

    /// Whether a router rejects the probes, so that the round cannot reach the target any longer. The rejection ends
    /// the path, and a probe that went as far as the target was before has an answer.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        let is_answered = |hop: &Hop| {
            !hop.probes.is_empty() && hop.probes.iter().all(|probe| probe.answer().is_some())
        };
        self.target_ttl().is_none()
            && self.end.is_some()
            && self.replies().any(|(ttl, reply)| self.is_rejection(ttl, reply))
            && self.target_before().is_none_or(|ttl| self.hop(ttl).is_some_and(is_answered))
    }

    /// Whether a round that does not reach the target shows by more than silence that it cannot: a router rejects its
    /// probes, they run in a loop, or routers answer at every TTL.
    #[must_use]
    pub fn proves_outage(&self) -> bool {
        let is_rejected = || self.replies().any(|(ttl, reply)| self.is_rejection(ttl, reply));
        let is_rejected = self.target_ttl().is_none() && is_rejected();
        is_rejected || self.looped.is_some() || self.farthest == self.max_ttl()
    }

    /// The number of probes that should have reached the target, in a round that does not: those beyond all routers
    /// that answered, with at least the TTL at which the target answered before.
    #[must_use]
    pub fn unanswered_by_target(&self) -> u64 {
        let beyond = self.farthest.saturating_add(1);
        let nearest = self.target_before().map_or(beyond, |before| before.max(beyond));
        let to_target = |(ttl, probe): &(u8, &Probe)| *ttl >= nearest && probe.is_settled();
        self.probes().filter(to_target).count() as u64
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
        let before = self.target_before().and_then(|ttl| self.hop(ttl));
        let asked = before.is_some_and(|hop| hop.settled() > 0);
        (asked || !self.cut_off || self.is_rejected()).then_some(false)
    }
}
