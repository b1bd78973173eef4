//! A graph as a map: each router once, however many hops away it is seen, and the links between.
//!
//! The same address at several hops is one router that branches of different lengths lead to. Silence is
//! one router for each that it is behind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::graph::{Graph, Place};
use super::plan::Plan;
use super::rule::Rule;
use super::strategy::{self, Step};
use crate::time::Span;
use crate::trace::ReplyKind;

/// How surely the next hops of a router are all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Enumerated {
    /// Not surely: too few flows were seen to pass it.
    No,
    /// As those of its whole hop: enough flows were seen behind the hop, of which nothing says that its
    /// routers differ.
    AsHop,
    /// By flows of its own.
    Itself,
}

/// A router, or the target.
#[derive(Clone, Debug)]
pub struct Router {
    /// Its address; none of one that never answers.
    pub address: Option<IpAddr>,
    /// The TTLs at which it was seen, in order.
    pub ttls: BTreeSet<u8>,
    /// The flows that were seen there.
    pub flows: BTreeSet<u16>,
    /// Its shortest round trip.
    pub rtt: Option<Span>,
    /// How many probes it answered.
    pub answers: u64,
    /// What it said to flows that end at it.
    pub ends: Option<ReplyKind>,
    /// It sends packets of one flow different ways.
    pub per_packet: bool,
    /// Whether its next hops are all known, at every hop where it was seen; none where flows end.
    pub enumerated: Option<Enumerated>,
}

/// That packets go from one router straight to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The index of the router that they leave.
    pub from: usize,
    /// That of the next.
    pub to: usize,
    /// How many flows were seen to take it.
    pub flows: usize,
    /// It is seen by flows that a router chooses for anew with each packet: there may be no such link.
    pub uncertain: bool,
}

/// A part of the way where there are several, between two hops of one router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diamond {
    /// The TTL of the hop where ways part; 0 is the prober.
    pub from: u8,
    /// That of the hop where they meet; none if they do not.
    pub to: Option<u8>,
    /// Most routers at one hop.
    pub width: usize,
    /// Routers share next hops, or branches differ.
    pub uneven: bool,
    /// Some router chooses for each packet.
    pub per_packet: bool,
}

/// Whether everything has been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// As far as was asked for.
    Complete,
    /// No further probe was allowed.
    MaxProbes,
    /// It was interrupted, or the recording stops there.
    Incomplete,
}

/// What a multipath trace has shown.
#[derive(Clone, Debug)]
pub struct Network {
    /// In order of the hop where each is first seen, then by address.
    pub routers: Vec<Router>,
    /// By the routers' order.
    pub links: Vec<Link>,
    /// In order of hops.
    pub diamonds: Vec<Diamond>,
    /// Whether it is everything.
    pub completion: Completion,
    /// The rule that applied to each router in the end.
    pub rule: Rule,
}

/// What makes two places one router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Address(IpAddr),
    /// Behind the router with this index; none for the prober.
    Silent(Option<usize>),
}

impl Network {
    /// What this graph shows of a run of so many probes.
    #[must_use]
    pub fn of(graph: &Graph, plan: &Plan, probes: u64) -> Self {
        let rule = plan.confidence.rule(graph.branching());
        let done = strategy::next(graph, rule, plan.every_router) == Step::Done;
        let mut network = Self {
            routers: Vec::new(),
            links: Vec::new(),
            diamonds: diamonds(graph),
            completion: match done {
                true => Completion::Complete,
                false if probes >= u64::from(plan.max_probes) => Completion::MaxProbes,
                false => Completion::Incomplete,
            },
            rule,
        };
        let mut known = BTreeMap::new();
        let mut links: BTreeMap<(usize, usize), (BTreeSet<u16>, bool)> = BTreeMap::new();
        let mut above: Vec<Option<usize>> = vec![None];
        for (level, here) in graph.levels().iter().enumerate().skip(1) {
            let mut indices = vec![None; here.places.len()];
            let mut order: Vec<usize> = (0..here.places.len()).collect();
            order.sort_by_key(|place| here.places[*place].address);
            for place in order {
                let before = graph.before(level, place);
                let found = &here.places[place];
                let identity = match found.address {
                    Some(address) => Identity::Address(address),
                    None => Identity::Silent(before.first().and_then(|at| *above.get(*at)?)),
                };
                let index = *known.entry(identity).or_insert(network.routers.len());
                let enumerated = (!found.ends).then(|| enumerated(graph, rule, level, found));
                network.see(index, here.ttl, found, enumerated);
                indices[place] = Some(index);
                for at in before {
                    let Some(from) = above.get(at).copied().flatten() else { continue };
                    let flows = graph.levels()[level - 1].places[at].next.get(&place);
                    let (seen, sure) = links.entry((from, index)).or_default();
                    seen.extend(flows.into_iter().flatten());
                    *sure |= !graph.is_shaky(level - 1);
                }
            }
            above = indices;
        }
        network.links = links
            .into_iter()
            .map(|((from, to), (flows, sure))| Link {
                from,
                to,
                flows: flows.len(),
                uncertain: !sure,
            })
            .collect();
        network
    }

    fn see(&mut self, index: usize, ttl: u8, place: &Place, enumerated: Option<Enumerated>) {
        if index == self.routers.len() {
            self.routers.push(Router {
                address: place.address,
                ttls: BTreeSet::new(),
                flows: BTreeSet::new(),
                rtt: None,
                answers: 0,
                ends: None,
                per_packet: false,
                enumerated: None,
            });
        }
        let Some(router) = self.routers.get_mut(index) else { return };
        router.ttls.insert(ttl);
        router.flows.extend(&place.flows);
        router.rtt = router.rtt.into_iter().chain(place.rtt).min();
        router.answers += place.answers;
        router.ends = router.ends.or(place.ending);
        router.per_packet |= place.per_packet;
        router.enumerated = match (router.enumerated, enumerated) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// Those to which this one sends packets, by their index.
    pub fn next(&self, router: usize) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(move |link| link.from == router)
    }
}

fn enumerated(graph: &Graph, rule: Rule, level: usize, place: &Place) -> Enumerated {
    let shaky = graph.is_shaky(level);
    let below = graph.levels().get(level + 1);
    let (routers, flows) = below.map_or((0, 0), |it| (it.places.len(), it.seen().len()));
    let whole_hop = routers > 0 && flows >= rule.flows(routers);
    let parts_unevenly = (graph.parting(level)..=level).any(|at| graph.is_uneven(at));
    let shown = graph.shown(place);
    if !shaky && shown.flows >= rule.flows(shown.next) {
        Enumerated::Itself
    } else if whole_hop && (shaky || !parts_unevenly) {
        Enumerated::AsHop
    } else {
        Enumerated::No
    }
}

fn diamonds(graph: &Graph) -> Vec<Diamond> {
    let levels = graph.levels();
    let mut found: Vec<Diamond> = Vec::new();
    let mut open = None;
    for (index, level) in levels.iter().enumerate() {
        let width = level.places.len();
        let before = index.saturating_sub(1);
        if width > 1 {
            let diamond = open.get_or_insert(Diamond {
                from: levels[before].ttl,
                to: None,
                width,
                uneven: false,
                per_packet: false,
            });
            diamond.width = diamond.width.max(width);
        }
        if let Some(diamond) = &mut open {
            diamond.uneven |= !graph.is_shaky(before) && graph.is_uneven(before);
            diamond.per_packet |= levels[before].places.iter().any(|place| place.per_packet);
        }
        if width <= 1
            && let Some(diamond) = open.take()
        {
            let to = (width == 1).then_some(level.ttl);
            found.push(Diamond { to, ..diamond });
        }
    }
    found.extend(open);
    found
}
