//! Whether the rounds of a watch reach the target: when they stop to, what comes instead, and when they do again.
//!
//! A round counts once an answer of the target can no longer be expected: a router rejects its probes, or it was silent for
//! long enough. Where such answers have been late by some rounds, as many of the latest are left open.
//!
//! One lost probe is loss and no outage. An outage begins with the first of rounds in a row that do not reach the target, once
//! one of them proves it ([`Path::proves_outage`]) or [`SILENT`] probes to the target were lost in them.

use std::collections::VecDeque;

use super::path::Path;
use super::reply::Reply;
use super::rounds::{Instead, MOST_KEPT};
use crate::time::Timestamp;

/// The most errors of one outage that are reported.
const TOLD: usize = 16;
/// The number of probes to the target in a row that are lost in an outage at least.
pub const SILENT: u64 = 3;

/// What is known of the target over all rounds.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    open: VecDeque<Round>,
    /// Whether the last round that counts reached it, and its number.
    reached: Option<bool>,
    last: Option<u64>,
    unreached: u64,
    /// The numbers of the last that count and did not: late answers may still come to them.
    doubtful: VecDeque<u64>,
    /// The last rounds in a row that did not reach it, while they may be loss.
    missed: Vec<Round>,
    outage: Option<Outage>,
    outages: u64,
    /// It was said that the target is not reached, and not yet that it is again.
    said: bool,
    /// The reported errors of this outage.
    told: Vec<Reply>,
}

#[derive(Clone, Debug)]
struct Round {
    number: u64,
    at: Timestamp,
    reached: bool,
    /// A router rejected it: it will not reach the target.
    rejected: bool,
    /// It shows by more than silence that the target is not reached.
    proves_outage: bool,
    /// The number of its probes that the target should have answered.
    unanswered: u64,
    instead: Instead,
}

impl Round {
    fn of(path: &Path, reached: bool, at: Timestamp) -> Self {
        Self {
            number: path.round_number(),
            at,
            reached,
            rejected: path.is_rejected(),
            proves_outage: path.proves_outage(),
            unanswered: path.unanswered_by_target(),
            instead: path.instead(),
        }
    }
}

/// Rounds that did not reach the target: after others that did, or from the first on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outage {
    /// The number of the first, from 0.
    pub round: u64,
    /// When its first probe was sent.
    pub since: Timestamp,
    /// What came last in place of an answer of the target.
    pub instead: Instead,
    /// The number of the round that reached the target again, and when it answered.
    pub until: Option<(u64, Timestamp)>,
}

impl Outage {
    /// Who answers with which error, if somebody does.
    #[must_use]
    pub fn error(&self) -> Option<&Reply> {
        self.instead.error()
    }

    fn hear(&mut self, instead: Instead) {
        if instead.is_known() && (instead.error().is_some() || self.error().is_none()) {
            self.instead = instead;
        }
    }
}

impl Reach {
    /// Takes in a round that is over; as many of the latest as `young` may still be answered. Says whether the
    /// target is now reached, if it was not before, or the other way round.
    pub(super) fn add(&mut self, path: &Path, young: usize) -> Vec<Transition> {
        if let Some(reached) = path.has_reached() {
            let sent = path.probes().filter_map(|(_, probe)| probe.sent).min();
            let replied = path.target_reply().map(|reply| reply.at);
            // A round of which nothing left says nothing of the target.
            self.open.extend(replied.or(sent).map(|at| Round::of(path, reached, at)));
        }
        let turns = self.settle(path, young);
        if path.missed_after() > 0 {
            self.reached = self.reached.map(|_| false);
        }
        turns
    }

    /// Counts the rounds in which this path no longer expects an answer of the target.
    fn settle(&mut self, path: &Path, young: usize) -> Vec<Transition> {
        let mut turns = Vec::new();
        while let Some(first) = self.open.front() {
            let is_young = self.open.len() <= young;
            let is_unknown = self.reached.is_none() && !first.reached;
            let may_be_far = is_unknown && path.until.since(first.at) < path.far;
            if (is_young || may_be_far)
                && !first.rejected
                && !path.round.is_some_and(|round| round.waited_out)
            {
                break;
            }
            let Some(round) = self.open.pop_front() else { break };
            turns.extend(self.count(round));
        }
        turns
    }

    /// A late reply came to a round that had been taken in: says what is known of the target by it.
    pub(super) fn add_late(&mut self, path: &Path, young: usize) -> Vec<Transition> {
        let reached = path.target_ttl().is_some();
        if let Some(round) = self.open.iter_mut().find(|round| round.number == path.round_number())
        {
            *round = Round::of(path, round.reached || reached, round.at);
            return if round.rejected { self.settle(path, young) } else { Vec::new() };
        }
        if reached {
            self.withdraw(path.round_number());
            return Vec::new();
        }
        if let Some(round) =
            self.missed.iter_mut().find(|round| round.number == path.round_number())
        {
            *round = Round::of(path, false, round.at);
            return self.prove(path.round_number()).into_iter().collect();
        }
        let Some(outage) = self.running().filter(|outage| outage.round <= path.round_number())
        else {
            return Vec::new();
        };
        outage.hear(path.instead());
        self.tell(path.round_number()).into_iter().collect()
    }

    /// The outage that is not over.
    fn running(&mut self) -> Option<&mut Outage> {
        self.outage.as_mut().filter(|outage| outage.until.is_none())
    }

    /// The target did answer this round, which had counted as one that did not reach it.
    fn withdraw(&mut self, number: u64) {
        let Some(place) = self.doubtful.iter().position(|it| *it == number) else { return };
        self.doubtful.remove(place);
        self.unreached = self.unreached.saturating_sub(1);
        if self.last == Some(number) {
            self.reached = Some(true);
        }
        self.missed.retain(|round| round.number > number);
        // An outage that began with it began later, if at all.
        if self.outage.take_if(|it| it.round == number && it.until.is_none()).is_some() {
            self.outages = self.outages.saturating_sub(1);
        }
    }

    fn note_unreached(&mut self, number: u64) {
        self.unreached += 1;
        self.doubtful.push_back(number);
        if self.doubtful.len() > MOST_KEPT {
            self.doubtful.pop_front();
        }
    }

    fn count(&mut self, round: Round) -> Option<Transition> {
        let Round { number, at, reached, .. } = round;
        (self.reached, self.last) = (Some(reached), Some(number));
        if reached {
            self.missed.clear();
            if let Some(outage) = self.running() {
                outage.until = Some((number, at));
            }
            return std::mem::take(&mut self.said)
                .then_some(Transition::Reached { round: number, at });
        }
        self.note_unreached(number);
        if let Some(outage) = self.running() {
            outage.hear(round.instead);
            return self.tell(number);
        }
        // A round in which nothing was asked of the target says nothing.
        if round.proves_outage || round.unanswered > 0 {
            self.missed.push(round);
        }
        self.prove(number)
    }

    /// The rounds in a row that did not reach the target are an outage, if they show that; this one was heard of last.
    fn prove(&mut self, number: u64) -> Option<Transition> {
        let unanswered: u64 = self.missed.iter().map(|round| round.unanswered).sum();
        if unanswered < SILENT && !self.missed.iter().any(|round| round.proves_outage) {
            return None;
        }
        let mut rounds = self.missed.drain(..);
        let Round { number: round, at: since, instead, .. } = rounds.next()?;
        let mut outage = Outage { round, since, instead, until: None };
        rounds.for_each(|round| outage.hear(round.instead));
        self.outages += 1;
        let outage = self.outage.insert(outage);
        if self.said {
            return self.tell(number);
        }
        self.said = true;
        self.told = outage.error().cloned().into_iter().collect();
        Some(Transition::Unreached(outage.clone()))
    }

    /// Whether to report the last error of this outage, in this round: the first of its kind from its sender.
    fn tell(&mut self, round: u64) -> Option<Transition> {
        let outage = self.outage.as_ref()?;
        let error = outage.error()?;
        let what = |reply: &Reply| (reply.responder, reply.kind.icmp());
        let known = self.told.iter().any(|told| what(told) == what(error));
        if known || self.told.len() >= TOLD {
            return None;
        }
        self.told.push(error.clone());
        Some(Transition::Rejected { round, outage: outage.clone() })
    }

    /// Whether the last round that counts reached the target, or one that is open did.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached == Some(true) || self.open.iter().any(|round| round.reached)
    }

    /// How many of the rounds that count did not reach it.
    #[must_use]
    pub fn unreached(&self) -> u64 {
        self.unreached
    }

    /// How many outages there were.
    #[must_use]
    pub fn outages(&self) -> u64 {
        self.outages
    }

    /// The last outage, if there was one.
    #[must_use]
    pub fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }
}

/// The target is reached, or not, other than in the round before.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Transition {
    /// The target is no longer reached.
    Unreached(Outage),
    /// During the outage came an error of a kind, or from a router, not reported before.
    Rejected {
        /// The number of the round whose probe it answers, from 0.
        round: u64,
        /// What is not reached since when, with the error.
        outage: Outage,
    },
    /// It is reached again, or for the first time after rounds that did not.
    Reached {
        /// The number of the round, from 0.
        round: u64,
        /// When it answered.
        at: Timestamp,
    },
}
