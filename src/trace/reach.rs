//! Whether the rounds of a watch reach the target: when they stop to, who rejects the probes, and when they do again.
//!
//! A round counts once a late answer of the target is not to be expected any more: where such answers have been late by
//! some rounds, as many of the latest are left open.

use std::collections::VecDeque;

use super::config::FAR;
use super::path::Path;
use super::reply::Reply;
use super::rounds::MOST_KEPT;
use crate::time::Timestamp;

/// What is known of the target over all rounds.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    open: VecDeque<Round>,
    /// Whether the last round that counts reached it.
    reached: Option<bool>,
    unreached: u64,
    /// The numbers of the last that count and did not: late answers may still come to them.
    doubtful: VecDeque<u64>,
    outage: Option<Outage>,
    /// A late answer came to the round that an outage began with, so that it began later, if at all.
    withdrawn: bool,
}

#[derive(Clone, Debug)]
struct Round {
    number: u64,
    at: Timestamp,
    reached: bool,
    rejection: Option<Reply>,
}

/// Rounds that did not reach the target: after others that did, or from the first on.
#[derive(Clone, Debug)]
pub struct Outage {
    /// The number of the first, from 0.
    pub round: u64,
    /// When its first probe was sent.
    pub since: Timestamp,
    /// The last rejection of a probe, if there was one.
    pub rejection: Option<Reply>,
    /// The number of the round that reached the target again, and when it answered.
    pub until: Option<(u64, Timestamp)>,
}

impl Reach {
    /// Takes in a round that is over; as many of the latest as `young` may still be answered. Says whether the
    /// target is now reached, if it was not before, or the other way round.
    pub(super) fn add(&mut self, path: &Path, young: usize) -> Vec<Turn> {
        if let Some(reached) = path.has_reached() {
            let sent = path.probes().filter_map(|(_, probe)| probe.sent).min();
            let replied = path.target_reply().map(|reply| reply.at);
            // A round of which nothing left says nothing of the target.
            if let Some(at) = replied.or(sent) {
                let rejection = path.rejection().cloned();
                self.open.push_back(Round { number: path.round, at, reached, rejection });
            }
        }
        let last = self.open.back().map_or(Timestamp::default(), |round| round.at);
        let mut turns = Vec::new();
        while let Some(first) = self.open.front() {
            let is_young = self.open.len() <= young;
            // As long as nothing is known of the target, an answer may take so long to come.
            let may_be_far = self.reached.is_none() && !first.reached && last.since(first.at) < FAR;
            if (is_young || may_be_far) && !path.waited_out {
                break;
            }
            let Some(round) = self.open.pop_front() else { break };
            turns.extend(self.count(round));
        }
        if path.missed_after > 0 {
            self.reached = self.reached.map(|_| false);
        }
        turns
    }

    /// A late answer of the target came to a round that had been taken in.
    pub(super) fn add_late(&mut self, path: &Path) {
        if path.target_ttl().is_none() {
            return;
        }
        if let Some(round) = self.open.iter_mut().find(|round| round.number == path.round) {
            round.reached = true;
            return;
        }
        let Some(place) = self.doubtful.iter().position(|number| *number == path.round) else {
            return;
        };
        self.doubtful.remove(place);
        self.unreached = self.unreached.saturating_sub(1);
        if self.outage.take_if(|it| it.round == path.round && it.until.is_none()).is_some() {
            self.withdrawn = true;
        } else if self.reached == Some(false) && self.outage.is_none() && !self.withdrawn {
            self.reached = None;
        }
    }

    fn note_unreached(&mut self, number: u64) {
        self.unreached += 1;
        self.doubtful.push_back(number);
        if self.doubtful.len() > MOST_KEPT {
            self.doubtful.pop_front();
        }
    }

    fn count(&mut self, round: Round) -> Option<Turn> {
        let before = self.reached.replace(round.reached);
        let Round { number, at, reached, rejection } = round;
        if !reached {
            self.note_unreached(number);
        }
        match (before, reached) {
            (Some(true) | None, false) => {
                self.outage = Some(Outage { round: number, since: at, rejection, until: None });
                self.outage.clone().map(Turn::Unreached)
            }
            (Some(false), true) => {
                self.withdrawn = false;
                if let Some(outage) = &mut self.outage {
                    outage.until.get_or_insert((number, at));
                }
                Some(Turn::Reached { round: number, at })
            }
            // That it is not reached was said when the round before did not, which was answered since.
            (Some(false), false) if std::mem::take(&mut self.withdrawn) => {
                self.outage = Some(Outage { round: number, since: at, rejection, until: None });
                None
            }
            (Some(false), false) => {
                let running = self.outage.as_mut().filter(|outage| outage.until.is_none());
                if let (Some(outage), Some(rejection)) = (running, rejection) {
                    outage.rejection = Some(rejection);
                }
                None
            }
            _ => None,
        }
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

    /// The last outage, if there was one.
    #[must_use]
    pub fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }
}

/// The target is reached, or not, other than in the round before.
#[derive(Clone, Debug)]
pub enum Turn {
    /// It is not reached any more.
    Unreached(Outage),
    /// It is reached again, or for the first time after rounds that did not.
    Reached {
        /// The number of the round, from 0.
        round: u64,
        /// When it answered.
        at: Timestamp,
    },
}
