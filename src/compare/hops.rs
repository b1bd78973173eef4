//! Two traces compared hop by hop: what was removed, added or replaced since the first.
//!
//! The sequences of hops are laid beside each other ([`align`]), so that what lies beyond a router that was put in or
//! taken out has only moved. Hops that share a router are in common; others there are branches, and no change. Whether what
//! lies between two hops in common is a change is one question to the whole trace (`evidence`): if an unchanged
//! path shows as much with a chance below `SIGNIFICANCE`, the path has changed, at the hops that are unlikely by themselves. Else
//! it is unclear, and other branches perhaps. Of a run that was not finished, what it lacks beyond its last hop is no change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use super::align::{Beside, Likeness, align};
use super::evidence::{Evidence, OF_HOP, SIGNIFICANCE};
use super::ranks::Samples;
use super::rewrites::Rewriting;
use super::shifts::Rtts;
use super::trace::{Hop, Trace};
use super::{Head, Pair};
use crate::chance;

/// How the second trace differs from the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Form, version and target.
    #[serde(flatten)]
    pub head: Head,
    /// Whether the path is another one.
    pub changed: bool,
    /// What that is, or that it cannot be determined.
    pub verdict: Verdict,
    /// The chance that an unchanged path shows hops as different as these.
    pub p: f64,
    /// How many queries a hop in each trace would prove a change, where that is unclear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enough_queries: Option<usize>,
    /// By hop, in order.
    pub hops: Vec<HopDifference>,
    /// Fields that are rewritten otherwise.
    pub rewrites: Vec<Rewriting>,
    /// What became of the RTTs: no change of the path.
    pub rtts: Rtts,
    /// The length of the path, where its end is known.
    pub length: Pair<Option<u8>>,
    /// Whether the target was and is reached.
    pub reached: Pair<bool>,
    /// Which of the runs was not finished.
    pub unfinished: Pair<bool>,
    /// The number of rounds in each, compared all together.
    pub rounds: Pair<usize>,
}

/// Whether a path has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing differs but branches of load balancers.
    #[default]
    Same,
    /// It has changed.
    Changed,
    /// Something differs, but chance alone may show that.
    Unclear,
}

/// What is different at one hop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopDifference {
    /// Its TTL in each trace that has it.
    pub ttl: Pair<Option<u8>>,
    /// What it is.
    #[serde(flatten)]
    pub what: Difference,
    /// Whether that counts as a change of the path.
    pub change: bool,
    /// The chance that load balancing and loss alone part the hops from the last one in common to the next, and no
    /// others, as they are; none where it is no question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
}

/// Who answers.
pub type Responders = BTreeSet<IpAddr>;
/// Label stacks; `None` is a reply without.
pub type Stacks = BTreeSet<Option<String>>;

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "difference", content = "responders")]
pub enum Difference {
    /// Is no longer on the path.
    Removed(Responders),
    /// Is new on it.
    Added(Responders),
    /// Others answer in place of those.
    Replaced(Pair<Responders>),
    /// No longer answers.
    Silent(Responders),
    /// Did not answer, and does now.
    Answers(Responders),
    /// Some of those who answered do, and others: branches of a load balancer. No change.
    Branches(Pair<Responders>),
    /// This router shows other label stacks than before.
    Labels {
        /// Which.
        responder: IpAddr,
        /// The stacks before and after.
        stacks: Pair<Stacks>,
    },
}

/// Two traces, hop beside hop.
struct Aligned {
    before: Vec<Hop>,
    after: Vec<Hop>,
    beside: Vec<Beside>,
}

/// Hops from beyond the last in common to the next one in common.
struct Region {
    /// The differences in it.
    hops: Vec<HopDifference>,
    /// The chance that an unchanged path shows them; none if nothing differs but branches.
    chance: Option<f64>,
    /// More queries than this are enough to prove them.
    queries: Option<usize>,
    /// Hops of the second trace, or where it has none of the first.
    ttls: BTreeSet<u8>,
}

/// Compares the second trace with the first.
#[must_use]
pub fn compare(before: &Trace, after: &Trace) -> Comparison {
    let aligned = Aligned::of(before, after);
    let p = aligned.evidence().chance();
    let mut regions = aligned.regions();
    let differing = || regions.iter().filter_map(|region| region.chance);
    let least = differing().fold(1.0, f64::min);
    let moved = p < SIGNIFICANCE;
    // If no place is unlikely by itself, the least likely one is where it changed.
    let is_change = |chance: f64| moved && (chance < OF_HOP || chance <= least);
    let branching: BTreeSet<u8> = regions
        .iter()
        .filter(|region| region.chance.is_some_and(|chance| !is_change(chance)))
        .flat_map(|region| region.ttls.iter().copied())
        .collect();
    for region in &mut regions {
        let change = region.chance.is_some_and(is_change);
        let questioned = region.hops.iter_mut().filter(|hop| hop.chance.is_some());
        questioned.for_each(|hop| hop.change = change);
    }
    let unfinished = Pair { before: before.unfinished(), after: after.unfinished() };
    let rewrites = before.quotes().compare(&after.quotes(), |hop| branching.contains(&hop));
    let length = Pair { before: before.stop.ttl, after: after.stop.ttl };
    let reached = Pair { before: before.stop.target_reached, after: after.stop.target_reached };
    let finished = !unfinished.before && !unfinished.after;
    let end = End::of(before, after);
    let hops = || regions.iter().flat_map(|region| &region.hops);
    let changed = finished && end == End::Changed
        || hops().any(|hop| hop.change)
        || rewrites.iter().any(|field| field.change);
    let doubtful = hops().any(|hop| !hop.change && hop.chance.is_some());
    let verdict = match (changed, doubtful || finished && end == End::Unclear) {
        (true, _) => Verdict::Changed,
        (false, true) => Verdict::Unclear,
        (false, false) => Verdict::Same,
    };
    let queries = regions.iter().filter_map(|region| region.queries).min();
    Comparison {
        head: Head::to(after.target.address),
        changed,
        verdict,
        p,
        enough_queries: queries.filter(|_| verdict == Verdict::Unclear),
        hops: hops().cloned().collect(),
        rewrites,
        rtts: Rtts::compare(&aligned.rtts()),
        length,
        reached,
        unfinished,
        rounds: Pair { before: before.rounds(), after: after.rounds() },
    }
}

/// What became of the end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Same,
    Changed,
    /// The target may have lost the few probes that it was sent.
    Unclear,
}

impl End {
    fn of(before: &Trace, after: &Trace) -> Self {
        let (reached, other) = match (before.stop.target_reached, after.stop.target_reached) {
            (true, false) => (before, after),
            (false, true) => (after, before),
            _ => return Self::Same,
        };
        // Somebody said that it ends there.
        if other.stop.ttl.is_some() {
            return Self::Changed;
        }
        let from = reached.stop.ttl.unwrap_or(0);
        let ((sent, answered), (vain, also)) = (reached.to_target(from), other.to_target(from));
        let p = 2.0 * chance::within(answered + also, sent, vain);
        if p < SIGNIFICANCE { Self::Changed } else { Self::Unclear }
    }
}

impl Aligned {
    fn of(before: &Trace, after: &Trace) -> Self {
        let (mut one, mut other) = (before.hops(), after.hops());
        // Only as far as both were asked from.
        let first = [&one, &other].into_iter().filter_map(|hops| Some(hops.first()?.ttl)).max();
        for hops in [&mut one, &mut other] {
            hops.retain(|hop| Some(hop.ttl) >= first);
        }
        // Where no reply shows the end, hops beyond the last one that answered are silent; of a run that was
        // not finished it is not known.
        let farthest = before.farthest().max(after.farthest());
        for (hops, trace) in [(&mut one, before), (&mut other, after)] {
            let last = if trace.unfinished() { trace.farthest() } else { farthest };
            hops.retain(|hop| hop.ttl <= last);
        }
        let likeness = |i: usize, j: usize| match (one.get(i), other.get(j)) {
            (Some(one), Some(other)) if one.shares_a_router_with(other) => Likeness::Same,
            (Some(one), Some(other)) if one.is_silent() && other.is_silent() => {
                Likeness::BothSilent
            }
            _ => Likeness::Other,
        };
        let mut beside = align(one.len(), other.len(), likeness);
        let cut = |(i, j): &Beside| {
            i.is_none() && before.unfinished() || j.is_none() && after.unfinished()
        };
        while beside.pop_if(|last| cut(last)).is_some() {}
        Self { before: one, after: other, beside }
    }

    fn hops(&self, (i, j): Beside) -> (Option<&Hop>, Option<&Hop>) {
        (i.and_then(|i| self.before.get(i)), j.and_then(|j| self.after.get(j)))
    }

    /// Both hops, if they share a router.
    fn in_common(&self, beside: Beside) -> Option<(&Hop, &Hop)> {
        let (before, after) = self.hops(beside);
        before.zip(after).filter(|(before, after)| before.shares_a_router_with(after))
    }

    /// RTTs of the hops in common, with the TTL that each has now.
    fn rtts(&self) -> Vec<(u8, Samples<'_>)> {
        let both = self.beside.iter().filter_map(|beside| self.in_common(*beside));
        both.map(|(before, after)| (after.ttl, (&before.rtts[..], &after.rtts[..]))).collect()
    }

    /// What the hops say that have the same TTL in both traces.
    fn evidence(&self) -> Evidence {
        let beside = |hop: &Hop| self.after.iter().find(|other| other.ttl == hop.ttl);
        Evidence::of(self.before.iter().filter_map(|hop| Some((hop, beside(hop)?))))
    }

    fn regions(&self) -> Vec<Region> {
        let mut regions = Vec::new();
        let mut beside = Vec::new();
        for pair in &self.beside {
            beside.push(*pair);
            if self.in_common(*pair).is_some() {
                regions.push(self.region(&beside));
                beside.clear();
            }
        }
        regions.push(self.region(&beside));
        regions
    }

    fn region(&self, beside: &[Beside]) -> Region {
        let evidence = self.differing(beside);
        let moved = beside.iter().any(|(before, after)| before.is_none() || after.is_none());
        let chance = evidence.product().or_else(|| moved.then_some(1.0));
        let mut region =
            Region { hops: Vec::new(), chance, queries: evidence.queries(), ttls: BTreeSet::new() };
        for pair in beside {
            let (before, after) = self.hops(*pair);
            let ttl = Pair { before: before.map(|hop| hop.ttl), after: after.map(|hop| hop.ttl) };
            let found = differences(before, after).into_iter();
            region.hops.extend(found.map(|what| {
                let branches = matches!(what, Difference::Branches(_));
                HopDifference { ttl, what, change: false, chance: chance.filter(|_| !branches) }
            }));
            region.ttls.extend(ttl.before.into_iter().chain(ttl.after));
        }
        region
    }

    /// What the hops of a region say. Where one trace has no such hop, the next of it stands there.
    fn differing(&self, region: &[Beside]) -> Evidence {
        let pairs = (0..region.len()).filter_map(|at| {
            let before = or_next(region, at, |it| self.hops(it).0)?;
            Some((before, or_next(region, at, |it| self.hops(it).1)?))
        });
        Evidence::of(pairs)
    }
}

/// The hop here, or where there is none the next of its trace, or the last.
fn or_next<'a>(
    region: &[Beside],
    at: usize,
    hop: impl Fn(Beside) -> Option<&'a Hop>,
) -> Option<&'a Hop> {
    let (earlier, from) = region.split_at_checked(at)?;
    let mut nearest = from.iter().chain(earlier.iter().rev());
    nearest.find_map(|beside| hop(*beside))
}

fn differences(before: Option<&Hop>, after: Option<&Hop>) -> Vec<Difference> {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (Some(before), None) => return vec![Difference::Removed(before.responders())],
        (None, Some(after)) => return vec![Difference::Added(after.responders())],
        (None, None) => return Vec::new(),
    };
    let both = Pair { before: before.responders(), after: after.responders() };
    let mut found = Vec::new();
    match (before.is_silent(), after.is_silent()) {
        _ if both.before == both.after => {}
        (false, true) => found.push(Difference::Silent(both.before)),
        (true, _) => found.push(Difference::Answers(both.after)),
        _ if before.shares_a_router_with(after) => found.push(Difference::Branches(both)),
        _ => found.push(Difference::Replaced(both)),
    }
    for (responder, was) in &before.labels {
        if let Some(is) = after.labels.get(responder).filter(|is| was.is_disjoint(is)) {
            let stacks = Pair { before: was.clone(), after: is.clone() };
            found.push(Difference::Labels { responder: *responder, stacks });
        }
    }
    found
}
