//! When a hop begins to lose probes, what that means, and when it is over: what a watch says of loss while it runs.
//!
//! What is watched is a hop's last [`WINDOW`] rounds, from the [`LEAST`]th on. It begins to lose when a
//! [fifth](STARTS) of the probes of these rounds is lost or more, and ends when less than a [tenth](ENDS) is; between
//! the two nothing changes. A hop that never answered loses nothing. A late reply is not lost: where some came, as many
//! of the latest rounds are left out as such a reply has ever been late by. What the loss of a hop means is
//! [judged](super::verdict) by the last [`JUDGED`] rounds of all hops, for it takes more of them; so a loss that could not be
//! told from a limit when it began may be told later.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::path::{Hop, Path, Probe, ProbeRef};
use super::reply::Reply;
use super::rounds::MOST_KEPT;
use super::shares::Share;
use super::verdict::{self, Loss};

/// How many rounds are watched for loss.
pub const WINDOW: usize = 10;
/// How many it takes for a judgement.
pub const LEAST: usize = 5;
/// How many tell what loss means.
pub const JUDGED: usize = 60;
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
    /// While it loses probes: what that was last said to mean.
    losing: Option<Loss>,
}

#[derive(Debug)]
struct Asked {
    round: u64,
    share: Share,
}

/// What happens to the loss of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnKind {
    /// It begins.
    Begins,
    /// It goes on, and what it means can now be told, or is another thing than was told.
    Judged,
    /// It ends.
    Ends,
}

/// Loss begins at a hop, is judged, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// At which hop.
    pub ttl: u8,
    /// Which of these.
    pub kind: TurnKind,
    /// Who answered there last.
    pub responder: IpAddr,
    /// Probes sent in the rounds that were watched.
    pub sent: u64,
    /// How many of them were lost.
    pub lost: u64,
    /// What loss means at this hop.
    pub loss: Loss,
}

impl LossWatch {
    /// Takes in a round that is over; says what happens to the loss of hops with it, in their order. `end` is the
    /// TTL of the hop that answers as the end of the path.
    pub fn add(&mut self, path: &Path, end: Option<u8>) -> Vec<Turn> {
        let asked: Vec<&Hop> = path.reported().iter().filter(|hop| hop.settled() > 0).collect();
        for hop in &asked {
            self.hops.entry(hop.ttl).or_default().add(hop, path);
        }
        let losses = self.losses(&asked, end);
        let turns = asked.iter().filter_map(|hop| {
            let loss = losses.get(&hop.ttl).copied()?;
            self.hops.get_mut(&hop.ttl)?.turn(hop.ttl, loss)
        });
        turns.collect()
    }

    /// What the loss of each of these hops means.
    fn losses(&self, asked: &[&Hop], end: Option<u8>) -> BTreeMap<u8, Loss> {
        let recent = asked.iter().filter_map(|hop| self.hops.get_key_value(&hop.ttl));
        let (ttls, shares): (Vec<u8>, Vec<Share>) =
            recent.map(|(ttl, recent)| (*ttl, recent.share(JUDGED).1)).unzip();
        let end = end.and_then(|end| ttls.iter().position(|ttl| *ttl == end));
        let losses = verdict::of(&shares, end).into_iter().map(|verdict| verdict.loss);
        ttls.into_iter().zip(losses).collect()
    }

    /// Takes in a late reply, the first to its probe, that came after its round had been taken in.
    pub fn add_late(&mut self, path: &Path, at: ProbeRef) {
        let Some(recent) = self.hops.get_mut(&at.ttl) else { return };
        let late_by = recent.rounds.iter().rev().position(|asked| asked.round == path.round);
        let Some(late_by) = late_by else { return };
        let index = recent.rounds.len() - 1 - late_by;
        if let Some(Asked { share, .. }) = recent.rounds.get_mut(index) {
            share.lost = share.lost.saturating_sub(1);
            recent.young = recent.young.max(late_by + 1).min(MOST_KEPT);
        }
    }
}

impl Recent {
    fn add(&mut self, hop: &Hop, path: &Path) {
        let round = path.round;
        let mine = |reply: &&Reply| path.is_of_hop(hop.ttl, reply);
        let answers = hop.probes.iter().filter_map(Probe::counted).filter(mine);
        self.responder = answers.clone().next_back().map(|it| it.responder).or(self.responder);
        let (sent, answered) = (hop.settled() as u64, answers.count() as u64);
        self.rounds
            .push_back(Asked { round, share: Share { lost: sent.saturating_sub(answered), sent } });
        if self.rounds.len() > JUDGED + MOST_KEPT {
            self.rounds.pop_front();
        }
    }

    /// Of so many rounds, the youngest left out: how many there are, and what was lost in them.
    fn share(&self, rounds: usize) -> (usize, Share) {
        let old = self.rounds.iter().rev().skip(self.young).take(rounds);
        old.fold((0, Share::default()), |(count, sum), asked| (count + 1, sum.with(asked.share)))
    }

    fn turn(&mut self, ttl: u8, loss: Loss) -> Option<Turn> {
        let responder = self.responder?;
        let (count, Share { lost, sent }) = self.share(WINDOW);
        let kind = match self.losing {
            _ if count < LEAST => return None,
            None if lost * STARTS >= sent => TurnKind::Begins,
            Some(_) if lost * ENDS < sent => TurnKind::Ends,
            Some(said) if loss != said && matches!(loss, Loss::Path | Loss::RateLimited) => {
                TurnKind::Judged
            }
            _ => return None,
        };
        self.losing = (kind != TurnKind::Ends).then_some(loss);
        Some(Turn { ttl, kind, responder, sent, lost, loss })
    }
}
