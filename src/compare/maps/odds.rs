//! The chance that two maps of unchanged paths differ as these do: one question to both.
//!
//! At each router that both have, flows went on to next hops in each run. Two things are unlikely where nothing changed:
//!
//! - a next hop is in one run alone. The other run would have missed it, with what share of the flows it has by what the one saw of it
//!   and by what `rtrace paths` assumes, even spreading; or where a router spreads unevenly, by the share of its usual next hop
//!   ([`chance::missed`]);
//! - a router has no next hop in both runs ([`chance::disjoint`]).
//!
//! How often does any next hop of any router come out as unlikely as the least likely of these maps? So it is one false alarm for
//! the whole map, not one for each router.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::evidence::SIGNIFICANCE;
use super::{Link, Map, Node, samples};
use crate::chance::{self, Seen};

/// Values of `--confidence` that may be enough.
const CONFIDENCES: [f64; 5] = [99.0, 99.9, 99.99, 99.999, 99.9999];

/// At each router that both maps have: how many flows went on to each next hop.
pub(super) struct Odds {
    routers: Vec<BTreeMap<Next, Seen>>,
}

/// A next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// By the id of the node in the second map.
    Known(usize),
    /// One that only the first map has.
    Alone(IpAddr),
    Silent,
}

impl Odds {
    /// The odds of what both maps show.
    pub(super) fn of(before: &Map, after: &Map) -> Self {
        let (was, is) = (before.known(), after.known());
        let mut same: BTreeMap<usize, usize> =
            was.iter().filter_map(|(address, node)| Some((node.id, is.get(address)?.id))).collect();
        same.insert(0, 0);
        let mut routers: BTreeMap<usize, BTreeMap<Next, Seen>> = BTreeMap::new();
        // Flows do not decide where packets of such a router go.
        let by_packet = |known: &BTreeMap<IpAddr, &Node>| -> BTreeSet<IpAddr> {
            let choosing = known.iter().filter(|(_, node)| node.per_packet);
            choosing.map(|(address, _)| *address).collect()
        };
        let (one, other) = (by_packet(&was), by_packet(&is));
        let certain = |map: &Map, link: &&Link| {
            let address = map.node(link.from).and_then(|node| node.address);
            let choosing = address.is_some_and(|it| one.contains(&it) || other.contains(&it));
            !link.uncertain && !choosing
        };
        for link in before.links.iter().filter(|link| certain(before, link)) {
            let Some(from) = same.get(&link.from) else { continue };
            let next = match before.node(link.to).and_then(|node| node.address) {
                Some(address) => {
                    same.get(&link.to).map_or(Next::Alone(address), |id| Next::Known(*id))
                }
                None => Next::Silent,
            };
            routers.entry(*from).or_default().entry(next).or_default().0 += samples(link) as usize;
        }
        for link in after.links.iter().filter(|link| certain(after, link)) {
            let Some(router) = routers.get_mut(&link.from) else { continue };
            let address = after.node(link.to).and_then(|node| node.address);
            let next = address.map_or(Next::Silent, |_| Next::Known(link.to));
            router.entry(next).or_default().1 += samples(link) as usize;
        }
        Self { routers: routers.into_values().filter(|router| router.len() > 1).collect() }
    }

    /// The chance that as unlikely a next hop is in one run alone, or that some router has no next hop in both.
    pub(super) fn chance(&self) -> f64 {
        let mut alone: BTreeMap<Next, [f64; 2]> = BTreeMap::new();
        let mut seen: BTreeMap<Next, Seen> = BTreeMap::new();
        let (mut apart, mut apart_groups) = (1.0_f64, Vec::new());
        for router in &self.routers {
            let counts: Vec<Seen> = router.values().copied().collect();
            let (before, after) = total(&counts);
            let shares = [usual_share(&counts, |it| it.0), usual_share(&counts, |it| it.1)];
            let kinds = counts.len();
            for (next, (was, is)) in router {
                let [removed, added] = alone.entry(*next).or_insert([1.0; 2]);
                *removed *= chance::missed((*was, before), after, kinds, shares[0]);
                *added *= chance::missed((*is, after), before, kinds, shares[1]);
                let (all_was, all_is) = seen.entry(*next).or_default();
                (*all_was, *all_is) = (*all_was + was, *all_is + is);
            }
            let disjoint = chance::disjoint(&counts);
            apart_groups.push(vec![disjoint]);
            if counts.iter().all(|(was, is)| *was == 0 || *is == 0) {
                apart = apart.min(disjoint);
            }
        }
        let of_one = alone.iter().filter_map(|(next, [removed, added])| match seen.get(next)? {
            (_, 0) => Some(*removed),
            (0, _) => Some(*added),
            _ => None,
        });
        let least = of_one.fold(1.0, f64::min);
        let groups: Vec<Vec<f64>> = alone.values().map(|chances| chances.to_vec()).collect();
        // Either of two questions.
        let apart = chance::together(&apart_groups, apart);
        (chance::together(&groups, least).min(apart) * 2.0).min(1.0)
    }

    /// The confidence above this one, in percent, with which runs would prove a change, if the missing next hops do not exist and flows
    /// spread evenly.
    pub(super) fn enough_confidence(&self, asked: f64) -> Option<f64> {
        let enough = |percent: &f64| {
            let epsilon = 1.0 - percent / 100.0;
            let asked = |router| as_asked(router, epsilon);
            Self { routers: self.routers.iter().map(asked).collect() }.chance() < SIGNIFICANCE
        };
        CONFIDENCES.into_iter().filter(|percent| *percent > asked).find(enough)
    }
}

/// The flows of both runs.
fn total(counts: &[Seen]) -> Seen {
    counts.iter().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
}

/// The share of the flows that a next hop of a router has, as one run shows it: an even one, or less where most have less.
#[expect(clippy::cast_precision_loss, reason = "counts of probes")]
fn usual_share(counts: &[Seen], side: fn(&Seen) -> usize) -> f64 {
    let even = 1.0 / counts.len() as f64;
    let mut flows: Vec<usize> = counts.iter().map(side).collect();
    flows.sort_unstable();
    let all: usize = flows.iter().sum();
    // Of two, neither is usual.
    let median = flows.get((flows.len() - 1) / 2).filter(|_| flows.len() > 2);
    median.map_or(even, |median| even.min(*median as f64 / all.max(1) as f64))
}

/// The next hops of a router as runs with this `epsilon` would show them to as many flows as they ask at least.
fn as_asked(router: &BTreeMap<Next, Seen>, epsilon: f64) -> BTreeMap<Next, Seen> {
    let found = |side: fn(&Seen) -> usize| router.values().filter(|it| side(it) > 0).count();
    let [before, after]: [fn(&Seen) -> usize; 2] = [|it| it.0, |it| it.1];
    let each = |found: usize| flows(epsilon, found).div_ceil(found.max(1));
    let [was, is] = [each(found(before)), each(found(after))];
    let spread = |seen: &Seen| (if seen.0 > 0 { was } else { 0 }, if seen.1 > 0 { is } else { 0 });
    router.iter().map(|(next, seen)| (*next, spread(seen))).collect()
}

/// How many flows a run probes once it has found `branches` next hops, by the rule of `rtrace paths`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small and positive"
)]
fn flows(epsilon: f64, found: usize) -> usize {
    let found = found.max(1) as f64;
    ((epsilon / (found + 1.0)).ln() / (found / (found + 1.0)).ln()).ceil() as usize
}
