//! When a hop begins to lose probes, and when that is over: what a watch says of loss while it runs.
//!
//! What is judged is a hop's last [`WINDOW`] rounds, from the [`LEAST`]th on. It begins to lose when a
//! [fifth](STARTS) of the probes of these rounds is lost or more, and ends when less than a [tenth](ENDS) is; between
//! the two nothing changes. A hop that never answered loses nothing. A late reply is not lost: where some came, as many
//! of the latest rounds are left out as such a reply has ever been late by.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::path::{Path, Probe, ProbeRef};
use super::rounds::KEPT;

/// How many rounds are judged at a time.
pub const WINDOW: usize = 10;
/// How many it takes for a judgement.
pub const LEAST: usize = 5;
/// Loss begins where at least one in so many probes is lost.
pub const STARTS: u64 = 5;
/// Loss ends where fewer than one in so many probes are lost.
pub const ENDS: u64 = 10;

/// The loss of every hop, round after round.
#[derive(Debug, Default)]
pub struct LossWatch {
    hops: BTreeMap<u8, Recent>,
}

/// A hop's last rounds.
#[derive(Debug, Default)]
struct Recent {
    rounds: VecDeque<Asked>,
    /// Who answered last.
    responder: Option<IpAddr>,
    /// The latest rounds that are too young to be judged.
    young: usize,
    losing: bool,
}

#[derive(Debug)]
struct Asked {
    round: u64,
    sent: u64,
    answered: u64,
}

/// Loss begins at a hop, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// At which hop.
    pub ttl: u8,
    /// Whether it begins.
    pub begins: bool,
    /// Who answered there last.
    pub responder: IpAddr,
    /// Probes sent in the rounds that were judged.
    pub sent: u64,
    /// How many of them were lost.
    pub lost: u64,
}

impl LossWatch {
    /// Takes in a round that is over; says where loss begins or ends with it, in the order of the hops.
    pub fn add(&mut self, path: &Path) -> Vec<Turn> {
        let asked = path.reported().iter().filter(|hop| hop.settled() > 0);
        let turn = |hop: &super::path::Hop| {
            let answers = hop.probes.iter().filter_map(Probe::counted);
            let recent = self.hops.entry(hop.ttl).or_default();
            recent.responder =
                answers.clone().next_back().map(|it| it.responder).or(recent.responder);
            recent.rounds.push_back(Asked {
                round: path.round,
                sent: hop.settled() as u64,
                answered: answers.count() as u64,
            });
            if recent.rounds.len() > WINDOW + KEPT {
                recent.rounds.pop_front();
            }
            recent.judge(hop.ttl)
        };
        asked.filter_map(turn).collect()
    }

    /// Takes in a late reply, the first to its probe, that came after its round had been taken in.
    pub fn add_late(&mut self, path: &Path, at: ProbeRef) {
        let Some(recent) = self.hops.get_mut(&at.ttl) else { return };
        let late_by = recent.rounds.iter().rev().position(|asked| asked.round == path.round);
        let Some(late_by) = late_by else { return };
        let index = recent.rounds.len() - 1 - late_by;
        if let Some(asked) = recent.rounds.get_mut(index) {
            asked.answered = asked.sent.min(asked.answered + 1);
            recent.young = recent.young.max(late_by + 1).min(KEPT);
        }
    }
}

impl Recent {
    fn judge(&mut self, ttl: u8) -> Option<Turn> {
        let responder = self.responder?;
        let old = self.rounds.iter().rev().skip(self.young).take(WINDOW);
        let (count, sent, answered) = old.fold((0, 0, 0), |(count, sent, answered), asked| {
            (count + 1, sent + asked.sent, answered + asked.answered)
        });
        let lost = sent - answered;
        let begins = match self.losing {
            _ if count < LEAST => return None,
            false if lost * STARTS >= sent => true,
            true if lost * ENDS < sent => false,
            _ => return None,
        };
        self.losing = begins;
        Some(Turn { ttl, begins, responder, sent, lost })
    }
}
