//! A graph as a map: each router once, however many hops away it is seen, and the links between.
//!
//! The same address at several hops is one router that branches of different lengths lead to. Silence is
//! one router for each that it is behind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::counters::Verdict;
use super::diamond::{self, Diamond, Edge, Shape};
use super::graph::Graph;
use super::level::{Level, Place, join};
use super::plan::Plan;
use super::rule::Rule;
use super::strategy::{self, Step};
use crate::time::Span;
use crate::trace::ReplyKind;

/// How surely the next hops of a router are all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Enumerated {
    /// Not surely: too few flows were seen to pass it.
    No,
    /// As those of its whole hop: enough flows were seen beyond the hop, of which nothing says that its
    /// routers differ.
    AsHop,
    /// By flows of its own.
    Itself,
}

/// A router, or the target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Router {
    /// Its address; none of one that never answers.
    pub address: Option<IpAddr>,
    /// Other addresses of its own, with which it answers in turn.
    pub also: BTreeSet<IpAddr>,
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
    /// It sends packets of one flow over different paths.
    pub per_packet: bool,
    /// Whether its next hops are all known, at every hop where it was seen; none where flows end.
    pub enumerated: Option<Enumerated>,
}

/// A link: packets go directly from one router to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// The index of the router that they leave.
    pub from: usize,
    /// That of the next.
    pub to: usize,
    /// How many flows were seen at both its ends.
    pub flows: usize,
    /// How many were seen at its far end alone, and pass the near one if it is the only router of its hop.
    pub assumed: usize,
    /// There may be no such link: no flow was seen at both its ends, or packets of one flow diverge before it, or one end is a router that
    /// is silent where others answer.
    pub uncertain: bool,
}

/// Whether everything has been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Completion {
    /// Everything within the options was explored.
    Complete,
    /// No further probe was allowed.
    MaxProbes,
    /// It was interrupted, or the recording stops there.
    Incomplete,
}

/// Routers that may be one: they count their packets together, but others may do so, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Unclear {
    /// They, by their indices.
    pub routers: BTreeSet<usize>,
    /// Why that is no proof.
    pub reason: Reason,
    /// Routers at other hops of the same flows that count with them, by address.
    pub with: BTreeSet<IpAddr>,
}

/// Why a common counter does not prove that routers are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Reason {
    /// Routers at other hops of the same flows count with them.
    SharedCounter,
    /// No other hop of their flows could be compared.
    NoControl,
}

/// What a multipath trace has shown.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Network {
    /// Each before those that it leads to, branch by branch; side by side, by address.
    pub routers: Vec<Router>,
    /// How many flows were seen at each router of the first hop there, by its index.
    pub first: BTreeMap<usize, usize>,
    /// By the routers' order.
    pub links: Vec<Link>,
    /// Those that count their packets together, and so are one machine, though flows show them as different next
    /// hops: by their indices, in order.
    pub aliases: Vec<BTreeSet<usize>>,
    /// Those that count their packets together, which proves nothing here.
    pub unclear: Vec<Unclear>,
    /// In order of routers.
    pub diamonds: Vec<Diamond>,
    /// Routers that send packets round and round until their TTL runs out, each loop in its order.
    pub loops: Vec<Vec<usize>>,
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

/// The flows that take a link.
#[derive(Default)]
struct Seen {
    /// Those that were seen at both ends.
    flows: BTreeSet<u16>,
    /// Those and the others that were seen at the far end.
    all: BTreeSet<u16>,
    certain: bool,
}

impl Seen {
    fn note(&mut self, from: &Place, to: usize) {
        self.flows.extend(from.seen.get(&to).into_iter().flatten());
        self.all.extend(from.next.get(&to).into_iter().flatten());
    }
}

impl Network {
    /// The network that this graph shows, for a run of this number of probes.
    #[must_use]
    pub fn of(graph: &Graph, plan: &Plan, probes: u64) -> Self {
        let rule = plan.confidence.rule(graph.branching());
        let done = strategy::next(graph, rule, plan.every_router) == Step::Done;
        let mut network = Self {
            routers: Vec::new(),
            first: BTreeMap::new(),
            links: Vec::new(),
            aliases: Vec::new(),
            unclear: Vec::new(),
            diamonds: Vec::new(),
            loops: Vec::new(),
            completion: match done {
                true => Completion::Complete,
                false if probes >= u64::from(plan.max_probes) => Completion::MaxProbes,
                false => Completion::Incomplete,
            },
            rule,
        };
        let mut known = BTreeMap::new();
        let mut links: BTreeMap<(usize, usize), Seen> = BTreeMap::new();
        // Of the places of each hop; the prober itself is none.
        let mut routers: Vec<Vec<Option<usize>>> = vec![vec![None]];
        for (level, here) in graph.levels().iter().enumerate().skip(1) {
            let above = routers.last().cloned().unwrap_or_default();
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
                let enumerated = found.is_live().then(|| enumerated(graph, rule, level, found));
                network.see(index, here.ttl, found, enumerated);
                if level == 1 {
                    *network.first.entry(index).or_default() += found.flows.len();
                }
                indices[place] = Some(index);
                for at in before {
                    let Some(from) = above.get(at).copied().flatten() else { continue };
                    // It said once that a TTL ran out, and once that it goes no further.
                    if from == index {
                        continue;
                    }
                    let link = links.entry((from, index)).or_default();
                    link.note(&graph.levels()[level - 1].places[at], place);
                    link.certain |= graph.is_certain(level - 1, at, place);
                }
            }
            network.note_aliases(here, &indices);
            routers.push(indices);
            network.note_loops(&here.places, &routers);
        }
        network.links = links
            .into_iter()
            .map(|((from, to), seen)| Link {
                from,
                to,
                flows: seen.flows.len(),
                assumed: seen.all.len() - seen.flows.len(),
                uncertain: !seen.certain,
            })
            .collect();
        network.put_in_order();
        network
    }

    /// Finds the diamonds, and numbers routers so that those of a branch stand together.
    fn put_in_order(&mut self) {
        let edge = |link: &Link| Edge { from: link.from, to: link.to, sure: !link.uncertain };
        let edges: Vec<Edge> = self.links.iter().map(edge).collect();
        let ttls: Vec<_> = self.routers.iter().map(|router| &router.ttls).collect();
        let per_packet: Vec<bool> = self.routers.iter().map(|router| router.per_packet).collect();
        let Shape { order, diamonds } = diamond::shape(&edges, &ttls, &per_packet);
        let mut numbers = vec![0; order.len()];
        for (number, router) in order.iter().enumerate() {
            numbers[*router] = number;
        }
        self.routers = order.iter().map(|router| self.routers[*router].clone()).collect();
        self.first = self.first.iter().map(|(router, flows)| (numbers[*router], *flows)).collect();
        for link in &mut self.links {
            (link.from, link.to) = (numbers[link.from], numbers[link.to]);
        }
        self.links.sort_unstable_by_key(|link| (link.from, link.to));
        for group in &mut self.aliases {
            *group = group.iter().map(|router| numbers[*router]).collect();
        }
        self.aliases.sort_unstable();
        let aliases = &self.aliases;
        self.unclear.retain_mut(|unclear| {
            unclear.routers = unclear.routers.iter().map(|router| numbers[*router]).collect();
            !aliases.iter().any(|group| unclear.routers.is_subset(group))
        });
        self.unclear.sort_unstable();
        for router in self.loops.iter_mut().flatten() {
            *router = numbers[*router];
        }
        self.diamonds = diamonds;
    }

    /// Which of the places of a hop are one router, and which may be.
    fn note_aliases(&mut self, level: &Level, indices: &[Option<usize>]) {
        for (group, verdict) in &level.together {
            let goes_on = |at: &&usize| level.places.get(**at).is_some_and(|place| !place.ends);
            let routers = group.iter().filter(goes_on).filter_map(|at| *indices.get(*at)?);
            let routers: BTreeSet<usize> = routers.collect();
            if routers.len() < 2 {
                continue;
            }
            let (reason, with) = match verdict {
                Verdict::OneRouter => {
                    join(&mut self.aliases, routers);
                    continue;
                }
                Verdict::Shared(with) => (Reason::SharedCounter, with.clone()),
                Verdict::NoControl | Verdict::Open(_) => (Reason::NoControl, BTreeSet::new()),
            };
            let known = self.unclear.iter_mut().find(|known| known.routers == routers);
            match known {
                None => self.unclear.push(Unclear { routers, reason, with }),
                Some(known) if reason == Reason::SharedCounter => {
                    known.reason = reason;
                    known.with.extend(with);
                }
                Some(_) => {}
            }
        }
    }

    /// What goes round from a hop on to which no other loop has come: one that goes on is seen from each of its routers.
    fn note_loops(&mut self, places: &[Place], routers: &[Vec<Option<usize>>]) {
        for circle in places.iter().filter_map(|place| place.circles.as_ref()) {
            let router = |at: &(usize, usize)| routers.get(at.0)?.get(at.1).copied().flatten();
            let round: Vec<usize> = circle.iter().filter_map(router).collect();
            let known = |known: &Vec<usize>| {
                known.len() == round.len() && known.iter().all(|it| round.contains(it))
            };
            if !self.loops.iter().any(known) {
                self.loops.push(round);
            }
        }
    }

    fn see(&mut self, index: usize, ttl: u8, place: &Place, enumerated: Option<Enumerated>) {
        if index == self.routers.len() {
            self.routers.push(Router {
                address: place.address,
                also: BTreeSet::new(),
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
        router.also.extend(&place.also);
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

    /// The routers that have one of these addresses, by their index.
    pub fn routers_of<'a>(
        &'a self,
        addresses: &'a BTreeSet<IpAddr>,
    ) -> impl Iterator<Item = usize> + 'a {
        let has = |router: &Router| {
            router.address.iter().chain(&router.also).any(|it| addresses.contains(it))
        };
        let routers = self.routers.iter().enumerate();
        routers.filter(move |(_, router)| has(router)).map(|(index, _)| index)
    }

    /// The links from this router, in the order of the next routers.
    pub fn next(&self, router: usize) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(move |link| link.from == router)
    }
}

fn enumerated(graph: &Graph, rule: Rule, level: usize, place: &Place) -> Enumerated {
    let shaky = graph.is_shaky(level);
    let below = graph.levels().get(level + 1);
    let (routers, flows) = below.map_or((0, 0), |it| (it.places.len(), it.seen().len()));
    let whole_hop = routers > 0 && flows >= rule.flows(routers);
    let parts_unevenly = (graph.parting(level)..=level).any(|at| graph.has_unequal_branches(at));
    let shown = graph.shown(place);
    if !shaky && shown.flows >= rule.flows(shown.next) {
        Enumerated::Itself
    } else if whole_hop && (shaky || !parts_unevenly) {
        Enumerated::AsHop
    } else {
        Enumerated::No
    }
}
