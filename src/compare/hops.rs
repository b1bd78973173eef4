//! Two traces compared hop by hop: what is gone, come or changed since the first.
//!
//! The sequences of hops are laid beside each other ([`align`]), so that what is behind a router that was put in or
//! taken out has only moved. Hops that share a router are in common; others there are branches, and no change. What
//! lies between two hops in common is a change unless load balancing alone shows it with a chance of
//! [`BALANCED`] or more ([`chance`]): then it is told as other branches, perhaps. The same single flow
//! that goes another way is no matter of chance. Of a run that was not finished, what it lacks behind its last hop is no change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;

use super::align::{Beside, Likeness, align};
use super::chance::{self, BALANCED};
use super::ranks::Samples;
use super::rewrites::Rewriting;
use super::shifts::Rtts;
use super::trace::{Hop, Trace};
use super::{Head, Pair};

/// How the second trace differs from the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Form, version and target.
    #[serde(flatten)]
    pub head: Head,
    /// Whether the path is another one.
    pub changed: bool,
    /// By hop, in order.
    pub hops: Vec<HopDifference>,
    /// Fields that are rewritten otherwise.
    pub rewrites: Vec<Rewriting>,
    /// What became of the RTTs: no change of the path.
    pub rtts: Rtts,
    /// As long as the path was and is, where its end is known.
    pub length: Pair<Option<u8>>,
    /// Whether the target was and is reached.
    pub reached: Pair<bool>,
    /// Which of the runs was not finished.
    pub unfinished: Pair<bool>,
    /// Of how many rounds each is made, all of them together.
    pub rounds: Pair<usize>,
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
    /// The chance that load balancing alone shows the hops from the last one in common to the next as they are; none where
    /// it is no question.
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
    /// Is not on the path any more.
    Gone(Responders),
    /// Is new on it.
    Come(Responders),
    /// Others answer.
    Changed(Pair<Responders>),
    /// Does not answer any more.
    Silent(Responders),
    /// Did not answer, and does now.
    Answers(Responders),
    /// Some of those who answered do, and others: branches of a load balancer. No change.
    Branches(Pair<Responders>),
    /// This router shows other label stacks than before.
    Labels {
        /// Which.
        responder: IpAddr,
        /// As they were, and as they are.
        stacks: Pair<Stacks>,
    },
}

/// Two traces, hop beside hop.
struct Aligned {
    before: Vec<Hop>,
    after: Vec<Hop>,
    beside: Vec<Beside>,
}

/// Compares the second trace with the first.
#[must_use]
pub fn compare(before: &Trace, after: &Trace) -> Comparison {
    let aligned = Aligned::of(before, after);
    let mut hops = Vec::new();
    // Hops of the second trace, or where it has none of the first, at which other branches may have been drawn.
    let mut branching = BTreeSet::new();
    let mut region = Vec::new();
    for beside in &aligned.beside {
        region.push(*beside);
        if aligned.in_common(*beside).is_some() {
            aligned.note_region(&region, &mut hops, &mut branching);
            region.clear();
        }
    }
    aligned.note_region(&region, &mut hops, &mut branching);
    let unfinished = Pair { before: before.unfinished(), after: after.unfinished() };
    let rewrites = before.quotes().compare(&after.quotes(), |hop| branching.contains(&hop));
    let length = Pair { before: before.stop.ttl, after: after.stop.ttl };
    let reached = Pair { before: before.stop.target_reached, after: after.stop.target_reached };
    let ends_otherwise =
        reached.before != reached.after || length.before.is_some() != length.after.is_some();
    let changed = ends_otherwise && !unfinished.before && !unfinished.after
        || hops.iter().any(|hop| hop.change)
        || rewrites.iter().any(|field| field.change);
    Comparison {
        head: Head::to(after.target.address),
        changed,
        hops,
        rewrites,
        rtts: Rtts::compare(&aligned.rtts()),
        length,
        reached,
        unfinished,
        rounds: Pair { before: before.rounds(), after: after.rounds() },
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
        // Where nobody said that it is the end, what is behind the last hop that answered is silent; of a run that was
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

    /// Notes what differs from the hop behind the last in common to the next one in common.
    fn note_region(
        &self,
        region: &[Beside],
        into: &mut Vec<HopDifference>,
        branching: &mut BTreeSet<u8>,
    ) {
        let drawn = self.chance(region);
        for beside in region {
            let (before, after) = self.hops(*beside);
            let ttl = Pair { before: before.map(|hop| hop.ttl), after: after.map(|hop| hop.ttl) };
            for what in differences(before, after) {
                let branches = matches!(what, Difference::Branches(_));
                let labels = matches!(what, Difference::Labels { .. });
                let chance = drawn.filter(|_| !branches && !labels);
                into.push(HopDifference {
                    ttl,
                    what,
                    change: !branches && chance.is_none_or(|chance| chance < BALANCED),
                    chance,
                });
            }
            if drawn.is_some_and(|drawn| drawn >= BALANCED) {
                branching.extend(ttl.before.into_iter().chain(ttl.after));
            }
        }
    }

    /// The chance that load balancing alone shows such a region, if anything differs in it. Hops that were asked by other flows are drawn
    /// independently; of those that share flows the one that tells most counts.
    fn chance(&self, region: &[Beside]) -> Option<f64> {
        let (mut flows, mut total) = (BTreeSet::new(), 0);
        let mut chances = Vec::new();
        for (at, beside) in region.iter().enumerate() {
            let before = or_next(region, at, |it| self.hops(it).0);
            let after = or_next(region, at, |it| self.hops(it).1);
            let both_silent = |one: &Hop, other: &Hop| one.is_silent() && other.is_silent();
            let (Some(before), Some(after)) = (before, after) else { continue };
            let whole = beside.0.is_some() && beside.1.is_some();
            if whole && (before.shares_a_router_with(after) || both_silent(before, after)) {
                continue;
            }
            if before.is_of_the_flow_of(after) {
                return Some(0.0);
            }
            let asked: BTreeSet<_> = before.flows.union(&after.flows).collect();
            total += asked.len();
            flows.extend(asked);
            let answering = |hop: &Hop| hop.labels.len().max(1);
            let routers = if whole { answering(before) + answering(after) } else { 2 };
            chances.push(chance::apart(routers, before.draws(), after.draws()));
        }
        let each = chances.into_iter();
        if flows.len() == total { each.reduce(|all, one| all * one) } else { each.reduce(f64::min) }
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
        (Some(before), None) => return vec![Difference::Gone(before.responders())],
        (None, Some(after)) => return vec![Difference::Come(after.responders())],
        (None, None) => return Vec::new(),
    };
    let both = Pair { before: before.responders(), after: after.responders() };
    let mut found = Vec::new();
    match (before.is_silent(), after.is_silent()) {
        _ if both.before == both.after => {}
        (false, true) => found.push(Difference::Silent(both.before)),
        (true, _) => found.push(Difference::Answers(both.after)),
        _ if before.shares_a_router_with(after) => found.push(Difference::Branches(both)),
        _ => found.push(Difference::Changed(both)),
    }
    for (responder, was) in &before.labels {
        if let Some(is) = after.labels.get(responder).filter(|is| was.is_disjoint(is)) {
            let stacks = Pair { before: was.clone(), after: is.clone() };
            found.push(Difference::Labels { responder: *responder, stacks });
        }
    }
    found
}
