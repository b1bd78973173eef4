//! Whether the lost probes of a hop look like those that a limit leaves unanswered, or like chance.
//!
//! A router that limits its answers keeps a bucket of tokens: it fills with time, and every answer takes one. So what it leaves
//! unanswered follows from what was asked before: the first query after a rest is answered and later ones are not, and it
//! gives as many answers a second whatever it is asked. What a path loses follows from nothing: of two probes a
//! millisecond apart it may lose the first. BSD counts in windows of a second instead.
//!
//! [`Record::explained`] tries many limits, from the slowest that routers have to the fastest. Each predicts which
//! probes are answered, given what was answered before; the likelihood of what was seen says how well, against losses by
//! chance alone. What remains is a count on the safe side: losses that no limit explains which fits nearly as well as
//! the best one. Linux's limit is 1 a second and 6 at once for each peer, BSD's are 100 to 250 a second.

use super::path::{Hop, Path, Probe};
use super::reply::Reply;
use crate::time::Timestamp;

mod bucket;
mod rate;
mod record;
mod window;

pub use record::Record;

/// A limit is believed if it is likelier than chance by this natural logarithm: many are tried, and one of them fits by chance.
const SURE: f64 = 12.0;
/// Limits that are less likely than the best by no more than this may be the true one.
const NEAR: f64 = 3.0;
/// Limits that differ by less than this fit equally well.
const ALIKE: f64 = 1.0;
/// How many seconds early or late a probe may reach the router.
const JITTER: f64 = 0.02;
/// The chance that a limit does other than is predicted of it.
const FLAW: f64 = 0.01;

/// A limit that may be what limits the answers of a hop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Answers a second in the long run.
    per_second: f64,
    /// Answers at once after a rest.
    burst: u32,
}

/// A limit of a hop's answers, as far as they show it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Limit {
    /// Answers a second once those at once were given.
    pub per_second: Option<f64>,
    /// Answers at once after a rest.
    pub burst: Option<u32>,
}

/// What limits make of a hop's lost probes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Explained {
    /// The limit, where one is much likelier than chance.
    pub limit: Option<Limit>,
    /// Lost probes that were looked at.
    pub lost: u64,
    /// How many of them no limit explains that may be the true one.
    pub unexplained: u64,
}

/// A probe, and whether it was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) sent: Timestamp,
    /// The number of its round, modulo 2^32.
    pub(super) round: u32,
    /// Which of the hop's probes of the round, from 0.
    query: u16,
    pub(super) answered: bool,
    /// A nearer router rejected it, or probes to the hop in this round: no limit of the hop leaves it
    /// unanswered.
    pub(super) rejected: bool,
    /// The router of its hop may have rejected probes of other hops in this round.
    pub(super) rejecting: bool,
}

#[cfg(test)]
impl Asked {
    /// A lost probe of this round.
    pub(super) fn at(sent: Timestamp, round: u32) -> Self {
        Self { sent, round, query: 0, answered: false, rejected: false, rejecting: false }
    }
}

/// The probes of a hop in a round that are settled, in the order in which they were sent. Of those that went past the target,
/// answers take from its limit, too; nobody waited for the others.
pub(super) fn asked(hop: &Hop, path: &Path) -> Vec<Asked> {
    let mine = |reply: &&Reply| path.is_of_hop(hop.ttl, reply);
    let round = u32::try_from(path.round_number() & u64::from(u32::MAX)).unwrap_or_default();
    let is_end = path.end == Some(hop.ttl);
    // A router that rejects probes may answer few of them.
    let ended_before = path.target_ttl().is_none() && path.end.is_some_and(|end| end < hop.ttl);
    // The router that rejects is at the end of the path, or nearer if the hops before the end do not answer.
    let is_silent = |ttl: u8| {
        let mut probes = path.hop(ttl).into_iter().flat_map(|hop| &hop.probes);
        probes.all(|probe| probe.answer().is_none())
    };
    let may_reject = |end: u8| hop.ttl <= end && (hop.ttl..end).all(is_silent);
    let rejects = path.target_ttl().is_none() && path.end.is_some_and(may_reject);
    let past = path.probes().filter(|(ttl, _)| is_end && *ttl > hop.ttl).map(|(_, probe)| probe);
    let of_target = |it: &&Probe| it.answer().is_some_and(|reply| reply.is_of_target(path.target));
    let settled = hop.probes.iter().filter(|probe| probe.is_settled() && !probe.is_in_doubt());
    let asked = settled.chain(past.filter(of_target)).filter_map(|probe| {
        let answered = probe.counted().as_ref().is_some_and(mine) || probe.is_damaged();
        let rejected = ended_before || probe.counted().is_some_and(Reply::may_end);
        let rejected = rejected && !answered;
        let sent = probe.sent?;
        Some(Asked { round, query: 0, sent, answered, rejected, rejecting: rejects })
    });
    let mut asked: Vec<Asked> = asked.collect();
    // The scout is among the last of its hop, though it was sent first.
    asked.sort_by_key(|asked| asked.sent);
    (0..).zip(&mut asked).for_each(|(query, asked)| asked.query = query);
    asked
}

/// The probe that was sent then was answered after all.
pub(super) fn note_late(probes: &mut [Asked], sent: Option<Timestamp>) {
    if let Some(asked) = probes.iter_mut().rev().find(|asked| Some(asked.sent) == sent) {
        (asked.answered, asked.rejected) = (true, false);
    }
}

/// How well a limit fits, and what it leaves unexplained.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    /// Probes that it must have answered, as far as it goes: how many were answered, and how many lost.
    answered: u64,
    lost: u64,
    /// Lost probes that it explains for certain.
    refused: u64,
    /// Probes that it may have answered or not.
    open: u64,
    /// Answers that it cannot have given.
    flaws: u64,
}

impl Fit {
    /// The logarithm of the likelihood of what was seen.
    fn likelihood(self) -> f64 {
        by_chance(self.lost, self.answered) - self.cost() + float(self.refused) * (1.0 - FLAW).ln()
    }

    /// The least reduction of its likelihood.
    fn cost(self) -> f64 {
        float(self.open) * std::f64::consts::LN_2 - float(self.flaws) * FLAW.ln()
    }
}

/// The logarithm of the likelihood that this many are lost of all, each by the same chance.
fn by_chance(lost: u64, answered: u64) -> f64 {
    let all = float(lost + answered);
    let term = |count: u64| if count == 0 { 0.0 } else { float(count) * (float(count) / all).ln() };
    term(lost) + term(answered)
}

/// What limits make of these.
pub(super) fn explain(probes: &[Asked]) -> Explained {
    explain_after(None, probes)
}

/// What limits make of these, if `burst` answers at once were seen before them.
fn explain_after(burst: Option<u32>, probes: &[Asked]) -> Explained {
    let lost = probes.iter().filter(|asked| !asked.answered).count() as u64;
    let answered = probes.len() as u64 - lost;
    if lost == 0 || answered == 0 {
        return Explained { limit: None, lost, unexplained: lost };
    }
    let chance = by_chance(lost, answered);
    let mut best = chance;
    // A limit of a number in each second is kept with its fit.
    let mut fits: Vec<(f64, Option<Candidate>, u64)> = Vec::new();
    let mut add = |window: Option<Candidate>, fit: &dyn Fn(f64) -> Option<Fit>| {
        if let Some(fit) = fit(best - NEAR) {
            let likelihood = fit.likelihood();
            best = best.max(likelihood);
            fits.push((likelihood, window, fit.lost));
        }
    };
    for limit in bucket::limits(probes) {
        add(None, &|floor| bucket::fit(limit, probes, f64::from(limit.burst), floor));
        add(None, &|floor| bucket::fit(limit, probes, 0.0, floor));
    }
    for (limit, most) in window::limits(probes) {
        add(Some(limit), &|floor| window::fit(most, probes, floor));
    }
    let near = fits.iter().filter(|(likelihood, ..)| *likelihood >= best - NEAR);
    let unexplained = near.map(|(.., lost)| *lost).min().unwrap_or(lost);
    // Of those that fit as well as any, the first is the most common.
    let first = fits.iter().find(|(likelihood, ..)| *likelihood >= best - ALIKE);
    let first = first.filter(|_| best >= chance + SURE);
    let limit = first.map(|(_, window, _)| {
        let window = window.filter(|window| window::is_met(*window, probes));
        let measure = || rate::measure(probes, unexplained, burst);
        window.map_or_else(measure, Limit::of_window)
    });
    let unexplained = unexplained.min(not_at_the_end(probes));
    Explained { limit, lost, unexplained: if are_of_a_second(probes) { 0 } else { unexplained } }
}

/// Whether all losses lie in one second: whatever else the router answered then, a limit per second leaves the rest of that second
/// unanswered.
fn are_of_a_second(probes: &[Asked]) -> bool {
    let mut lost = probes.iter().filter(|asked| !asked.answered).map(|asked| asked.sent);
    let ends = lost.next().zip(lost.next_back());
    ends.is_some_and(|(first, last)| is_of_a_second(first, last))
}

/// Whether these moments may be of one second of a limit.
pub(super) fn is_of_a_second(first: Timestamp, last: Timestamp) -> bool {
    last.since(first).secs_f64() < 1.0 + JITTER
}

/// How many were lost, as far as losses at the end of rounds tell: whatever a limit shares its tokens with, it answers the first
/// query of a round and not the last, and the path loses each as often. So of losses after which a round has no more answers
/// only as many count as there have to be beside the others.
fn not_at_the_end(probes: &[Asked]) -> u64 {
    let (mut lost, mut others, mut queries) = (0, 0, 1);
    for round in probes.chunk_by(|a, b| a.round == b.round) {
        let until = round.iter().rposition(|asked| asked.answered).unwrap_or(0);
        let first_is_lost = round.first().is_some_and(|asked| !asked.answered);
        for (index, asked) in round.iter().enumerate().filter(|(_, asked)| !asked.answered) {
            lost += 1;
            others += u64::from(first_is_lost || index < until);
            queries = queries.max(u64::from(asked.query) + 1);
        }
    }
    if queries == 1 { lost } else { lost.min((others * queries).div_ceil(queries - 1)) }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 probes")]
fn float(count: u64) -> f64 {
    count as f64
}
