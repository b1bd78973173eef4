//! One hop of a graph: the places there, and the flows that were asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::alias::Aliases;
use super::counters::{Controls, Verdict};
use super::sample::{self, Sample};
use super::silence::{Open, telling};
use crate::time::Span;
use crate::trace::loops::Stand;
use crate::trace::path::Probe;
use crate::trace::reply::{Reply, ReplyKind};

/// A router's address at one hop, or the silence there beyond one place.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address; none if it is silent.
    pub address: Option<IpAddr>,
    /// Others of the same router, with which it answers in turn.
    pub also: BTreeSet<IpAddr>,
    /// Flows end here: the target, or a router that says that it cannot be reached.
    pub ends: bool,
    /// What was said first of those that end.
    pub ending: Option<ReplyKind>,
    /// The flows that were seen here.
    pub flows: BTreeSet<u16>,
    /// The shortest round trip.
    pub rtt: Option<Span>,
    /// How many probes were answered from here.
    pub answers: u64,
    /// Places of the next hop by their index, with the flows that were seen there and pass here, as far as is known.
    pub next: BTreeMap<usize, BTreeSet<u16>>,
    /// Those of these flows that were seen here as well. The others were not: this was the only place of its hop that any flow showed.
    pub seen: BTreeMap<usize, BTreeSet<u16>>,
    /// It sends packets of one flow over different paths.
    pub per_packet: bool,
    /// Flows go round in a loop here: the places of its first round, by level and index.
    pub circles: Option<Vec<(usize, usize)>>,
    /// The TTL with which its first reply came.
    reply_ttl: Option<u8>,
    /// For a silent one: the place of the hop before.
    after: Option<usize>,
    /// What its replies say of its counter.
    counter: Vec<Sample>,
}

/// All that is known of one hop.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// Its TTL; 0 is the prober's own.
    pub ttl: u8,
    /// The places there.
    pub places: Vec<Place>,
    /// Where each flow was seen.
    pub(super) at: HashMap<u16, usize>,
    pub(super) open: BTreeMap<u16, Open>,
    /// The flows that were asked, and how often each was answered or may yet be.
    pub(super) asked: HashMap<u16, usize>,
    /// How often each flow was asked, answered or not.
    pub(super) tried: HashMap<u16, usize>,
    /// How often each flow was answered.
    pub(super) answered: HashMap<u16, usize>,
    /// The flows of which several routers were seen.
    pub(super) wavering: BTreeSet<u16>,
    /// Places whose replies count on one counter, and what the other hops say of that.
    pub(super) together: Vec<(BTreeSet<usize>, Verdict)>,
    /// Some flows end at a hop before: not every flow comes as far as here.
    pub(super) behind_an_end: bool,
}

impl Level {
    /// Whether every flow passes one place here, and it goes on from there.
    #[must_use]
    pub fn is_sole(&self) -> bool {
        !self.behind_an_end && matches!(&self.places[..], [only] if only.is_live())
    }

    /// Where this flow passes, as far as is known: where it was seen, or the only place that any flow showed.
    pub(super) fn place_of(&self, flow: u16) -> Option<usize> {
        self.at.get(&flow).copied().or_else(|| self.is_sole().then_some(0))
    }

    /// The places from which flows go on.
    pub fn live(&self) -> impl Iterator<Item = (usize, &Place)> {
        self.places.iter().enumerate().filter(|(_, place)| place.is_live())
    }

    /// Whether nobody here ever answers.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.places.is_empty() && self.places.iter().all(|place| place.address.is_none())
    }

    pub(super) fn open(&self) -> &BTreeMap<u16, Open> {
        &self.open
    }

    pub(super) fn is_asked(&self, flow: u16) -> bool {
        self.asked.contains_key(&flow)
    }

    /// How many flows were asked here.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// How many probes of this flow were answered here or may yet be.
    pub(super) fn hopeful(&self, flow: u16) -> usize {
        self.asked.get(&flow).copied().unwrap_or(0)
    }

    /// How many probes of this flow were sent here.
    pub(super) fn tried(&self, flow: u16) -> usize {
        self.tried.get(&flow).copied().unwrap_or(0)
    }

    /// How many probes were answered here.
    pub(super) fn answers(&self) -> usize {
        self.answered.values().sum()
    }

    /// How many probes timed out here.
    pub(super) fn lost(&self) -> usize {
        let tried: usize = self.tried.values().sum();
        tried.saturating_sub(self.asked.values().sum())
    }

    /// Whether more than this number of probes timed out for each that was answered.
    pub(super) fn is_scarce(&self, times: usize) -> bool {
        self.lost() > times * self.answers()
    }

    /// How often one of these flows was answered here after it had been answered before.
    pub(super) fn repeats<'a>(&self, flows: impl IntoIterator<Item = &'a u16>) -> usize {
        let answers = flows.into_iter().filter_map(|flow| self.answered.get(flow));
        answers.map(|answers| answers.saturating_sub(1)).sum()
    }

    /// Where each flow was seen.
    pub(super) fn seen(&self) -> &HashMap<u16, usize> {
        &self.at
    }

    pub(super) fn place_answers(
        &mut self,
        flow: u16,
        probes: &[&Probe],
        aliases: &Aliases,
        ends: impl Fn(&Reply) -> bool,
    ) {
        let mut first = None;
        for (probe, reply) in probes.iter().filter_map(|probe| Some((probe, telling(probe)?))) {
            let address = aliases.router(reply.responder);
            let index = self.place(Some(address), ends(reply), None);
            self.put(flow, index, Some(reply));
            if let Some(place) = self.places.get_mut(index) {
                place.also.extend(Some(reply.responder).filter(|it| *it != address));
                place.counter.extend(sample::sample(probe, reply));
            }
            if *first.get_or_insert(index) != index {
                self.wavering.insert(flow);
            }
        }
        self.at.extend(first.map(|first| (flow, first)));
    }

    /// Finds the places whose replies count on one counter.
    pub(super) fn find_together(&mut self, controls: &Controls<'_>) {
        for place in &mut self.places {
            place.counter.sort_unstable();
        }
        let mut groups: Vec<BTreeSet<usize>> = Vec::new();
        let apart = |one: &Place, other: &Place| {
            let pairs = one.addresses().flat_map(|one| other.addresses().map(move |it| (one, it)));
            pairs
                .into_iter()
                .any(|(one, other)| one == other || controls.get().are_on_one_path(one, other))
        };
        for (at, place) in self.places.iter().enumerate() {
            for (index, other) in self.places.iter().enumerate().skip(at + 1) {
                if place.is_same_router(other) && !apart(place, other) {
                    join(&mut groups, BTreeSet::from([at, index]));
                }
            }
        }
        for group in groups {
            let places = group.iter().filter_map(|index| self.places.get(*index));
            let addresses: BTreeSet<IpAddr> = places.flat_map(Place::addresses).collect();
            self.together.push((group, controls.get().judge(self.ttl, &addresses)));
        }
    }

    /// The index of this place, which is made if it is new.
    pub(super) fn place(
        &mut self,
        address: Option<IpAddr>,
        ends: bool,
        after: Option<usize>,
    ) -> usize {
        let same = |it: &Place| (it.address, it.ends, it.after) == (address, ends, after);
        self.places.iter().position(same).unwrap_or_else(|| {
            self.places.push(Place::new(address, ends, after));
            self.places.len() - 1
        })
    }

    pub(super) fn put(&mut self, flow: u16, index: usize, reply: Option<&Reply>) {
        self.at.insert(flow, index);
        let Some(place) = self.places.get_mut(index) else { return };
        place.flows.insert(flow);
        let Some(reply) = reply else { return };
        place.answers += 1;
        place.reply_ttl = place.reply_ttl.or(Some(reply.ttl));
        place.ending = place.ending.or(Some(reply.kind).filter(|_| place.ends));
        let rtt = reply.measured().filter(|rtt| *rtt > Span::ZERO);
        place.rtt = place.rtt.into_iter().chain(rtt).min();
    }
}

impl Place {
    pub(super) fn new(address: Option<IpAddr>, ends: bool, after: Option<usize>) -> Self {
        Self {
            address,
            also: BTreeSet::new(),
            ends,
            ending: None,
            after,
            counter: Vec::new(),
            flows: BTreeSet::new(),
            rtt: None,
            answers: 0,
            next: BTreeMap::new(),
            seen: BTreeMap::new(),
            per_packet: false,
            circles: None,
            reply_ttl: None,
        }
    }

    /// Whether flows go on from here to places that are not known yet.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.ends && self.circles.is_none()
    }

    /// All addresses of its router.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.address.into_iter().chain(self.also.iter().copied())
    }

    pub(super) fn stand(&self) -> Stand {
        match (self.address, self.reply_ttl) {
            _ if self.ends => Stand::Other,
            (Some(address), Some(ttl)) => Stand::Router(address, ttl),
            (None, _) => Stand::Silent,
            (Some(_), None) => Stand::Other,
        }
    }

    /// Whether the replies of both count on one counter.
    #[must_use]
    pub fn is_same_router(&self, other: &Self) -> bool {
        sample::is_one_counter(&self.counter, &other.counter)
    }

    /// How many flows were seen to pass from here to a next hop.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.next.values().flatten().collect::<BTreeSet<_>>().len()
    }
}

/// Puts this group together with those that it has something in common with.
pub(super) fn join(groups: &mut Vec<BTreeSet<usize>>, mut group: BTreeSet<usize>) {
    groups.retain(|other| {
        let apart = other.is_disjoint(&group);
        if !apart {
            group.extend(other);
        }
        apart
    });
    groups.push(group);
}
