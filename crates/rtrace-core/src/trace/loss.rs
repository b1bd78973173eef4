//! When a hop begins to lose probes, what that means, and when it is over: what a watch says of loss while it runs.
//!
//! What is watched is a hop's last [`WINDOW`] rounds, from the [`LEAST`]th on. It begins to lose when a
//! [fifth](STARTS) of the probes of these rounds is lost or more, and ends when less than a [tenth](ENDS) is; between
//! the two nothing changes. A hop loses nothing before its first answer, whatever that says. A late reply is not lost:
//! where some came, the latest rounds are left out, as many as a reply has ever been late by. What the loss of a hop means is
//! [judged](super::verdict) by the last [`JUDGED`] rounds of all hops, for it takes more of them; so a loss that could not be
//! distinguished from a limit when it began may be distinguished later.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::limit::{self, Asked};
use super::path::{Hop, Path, Probe, ProbeRef};
use super::reply::Reply;
use super::rounds::MOST_KEPT;
use super::shares::Share;
use super::verdict::{self, Evidence, Loss};

/// How many rounds are watched for loss.
pub const WINDOW: usize = 10;
/// How many it takes for a judgement.
pub const LEAST: usize = 5;
/// How many tell what loss means.
pub const JUDGED: usize = 100;
/// After how many rounds lasting loss is judged again.
pub const AGAIN: u64 = 5;
/// Loss begins where at least one in this number of probes is lost.
pub const STARTS: u64 = 5;
/// Loss ends where fewer than one in this number of probes are lost.
pub const ENDS: u64 = 10;

/// The loss of every hop, round after round.
#[derive(Debug, Default)]
pub struct LossWatch {
    hops: BTreeMap<u8, Recent>,
}

/// A hop's last rounds.
#[derive(Debug, Default)]
struct Recent {
    rounds: VecDeque<Round>,
    /// Who answered last, and whether with an ICMP error.
    responder: Option<(IpAddr, bool)>,
    /// The number of the first round that it answered, in time or late: before, it was silent and lost nothing.
    since: Option<u64>,
    /// The latest rounds that are too young to be judged.
    young: usize,
    /// While it loses probes: what that was last said to mean.
    losing: Option<Loss>,
}

#[derive(Debug)]
struct Round {
    number: u64,
    share: Share,
    probes: Vec<Asked>,
}

/// The basis of a judgement on the loss of a hop.
struct Judged {
    share: Share,
    probes: Vec<Asked>,
    /// Its answers are ICMP errors.
    errors: bool,
}

/// What happens to the loss of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum LossTransitionKind {
    /// It begins.
    Begins,
    /// The loss continues, and its meaning is now clear, or differs from what was reported.
    Judged,
    /// It ends.
    Ends,
}

/// Loss begins at a hop, is judged, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct LossTransition {
    /// At which hop.
    pub ttl: u8,
    /// Which of these.
    pub kind: LossTransitionKind,
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
    pub fn add(&mut self, path: &Path, end: Option<u8>) -> Vec<LossTransition> {
        let asked: Vec<&Hop> = path.reported().iter().filter(|hop| hop.settled() > 0).collect();
        for hop in &asked {
            self.hops.entry(hop.ttl).or_default().add(hop, path);
        }
        let again = path.round_number() % AGAIN == AGAIN - 1;
        let is_due = |hop: &&Hop| self.hops.get(&hop.ttl).is_some_and(|it| it.is_due(again));
        let losses = asked.iter().any(is_due).then(|| self.losses(&asked, end));
        let turns = asked.iter().filter_map(|hop| {
            let loss = losses.as_ref().and_then(|losses| losses.get(&hop.ttl).copied());
            self.hops.get_mut(&hop.ttl)?.turn(hop.ttl, loss)
        });
        turns.collect()
    }

    /// What the loss of each of these hops means.
    fn losses(&self, asked: &[&Hop], end: Option<u8>) -> BTreeMap<u8, Loss> {
        let recent = asked.iter().filter_map(|hop| self.hops.get_key_value(&hop.ttl));
        let (ttls, recent): (Vec<u8>, Vec<Judged>) =
            recent.map(|(ttl, recent)| (*ttl, recent.judged())).unzip();
        let hops = recent.iter().map(|Judged { share, probes, errors }| Evidence {
            share: *share,
            explained: limit::explain(probes),
            probes,
            errors: *errors,
        });
        let hops: Vec<Evidence<'_>> = hops.collect();
        let end = end.and_then(|end| ttls.iter().position(|ttl| *ttl == end));
        let losses = verdict::of(&hops, end).into_iter().map(|verdict| verdict.loss);
        ttls.into_iter().zip(losses).collect()
    }

    /// Takes in a late reply, the first to its probe, that came after its round had been taken in.
    pub fn add_late(&mut self, path: &Path, at: ProbeRef) {
        let Some(recent) = at.hop_ttl().and_then(|ttl| self.hops.get_mut(&ttl)) else { return };
        let late_by =
            recent.rounds.iter().rev().position(|round| round.number == path.round_number());
        let Some(late_by) = late_by else { return };
        let index = recent.rounds.len() - 1 - late_by;
        let probe = path.probe(at);
        recent.since =
            Some(recent.since.map_or(path.round_number(), |since| since.min(path.round_number())));
        if let Some(Round { share, probes, .. }) = recent.rounds.get_mut(index) {
            // One in doubt did not count as sent; one that a damaged reply had answered was not lost.
            let was_in_doubt = probe.is_some_and(Probe::is_doubted);
            let was_lost = !was_in_doubt && probe.is_some_and(|probe| probe.damaged == 0);
            share.sent += u64::from(was_in_doubt);
            share.lost = share.lost.saturating_sub(was_lost.into());
            limit::note_late(probes, probe.and_then(|probe| probe.sent));
            recent.young = recent.young.max(late_by + 1).min(MOST_KEPT);
        }
    }
}

impl Recent {
    fn add(&mut self, hop: &Hop, path: &Path) {
        let mine = |reply: &&Reply| path.is_of_hop(hop.ttl, reply);
        let answers = hop.probes.iter().filter_map(Probe::counted).filter(mine);
        let newest = answers.clone().next_back();
        let newest = newest.map(|it| (it.responder, it.kind.icmp().is_some()));
        self.responder = newest.or(self.responder);
        let sent = hop.settled() as u64;
        let answered = answers.count() + hop.damaged();
        if self.since.is_none() && answered > 0 {
            self.since = Some(path.round_number());
        }
        let lost = sent.saturating_sub(answered as u64);
        let (share, probes) = (Share { lost, sent }, limit::asked(hop, path));
        self.rounds.push_back(Round { number: path.round_number(), share, probes });
        if self.rounds.len() > JUDGED + MOST_KEPT {
            self.rounds.pop_front();
        }
    }

    /// The last `rounds` rounds since the first answer, without the youngest, the latest first.
    fn old(&self, rounds: usize) -> impl DoubleEndedIterator<Item = &Round> + ExactSizeIterator {
        let since = self.since.unwrap_or(u64::MAX);
        let silent = self.rounds.partition_point(|round| round.number < since);
        self.rounds.range(silent..).rev().skip(self.young).take(rounds)
    }

    /// Of the last `rounds` rounds without the youngest: how many there are, and the share lost in them.
    fn share(&self, rounds: usize) -> (usize, Share) {
        let old = self.old(rounds);
        (old.len(), old.fold(Share::default(), |sum, round| sum.with(round.share)))
    }

    /// What tells what its loss means.
    fn judged(&self) -> Judged {
        Judged {
            share: self.share(JUDGED).1,
            probes: self.old(JUDGED).rev().flat_map(|round| &round.probes).copied().collect(),
            errors: self.responder.is_some_and(|(_, is_error)| is_error),
        }
    }

    /// Whether to judge what its loss means: it begins or, with `again`, lasts.
    fn is_due(&self, again: bool) -> bool {
        let (count, Share { lost, sent }) = self.share(WINDOW);
        count >= LEAST && if self.losing.is_some() { again } else { lost * STARTS >= sent }
    }

    fn turn(&mut self, ttl: u8, judged: Option<Loss>) -> Option<LossTransition> {
        let (responder, _) = self.responder?;
        let (count, Share { lost, sent }) = self.share(WINDOW);
        let loss = judged.or(self.losing)?;
        let kind = match self.losing {
            _ if count < LEAST => return None,
            None if lost * STARTS >= sent => LossTransitionKind::Begins,
            Some(_) if lost * ENDS < sent => LossTransitionKind::Ends,
            Some(said) if loss != said && matches!(loss, Loss::Path | Loss::RateLimited) => {
                LossTransitionKind::Judged
            }
            _ => return None,
        };
        self.losing = (kind != LossTransitionKind::Ends).then_some(loss);
        Some(LossTransition { ttl, kind, responder, sent, lost, loss })
    }
}
