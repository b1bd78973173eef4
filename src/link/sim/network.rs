//! The way of a datagram through a topology, and of the answers back.
//!
//! A datagram goes in at a time; out come the answers, each with the time of its arrival at the
//! source. The whole way is computed at once: the only things that outlive a datagram are the random
//! numbers, the routers' IP-ID counters and their rate limits. Routers follow RFC 1812 §5.2 and
//! §5.3.1, the target RFC 1122 §3.2.2: no errors about errors or later fragments, no answer to
//! broken checksums. What is neither IPv4 nor IPv6 vanishes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::bucket::Bucket;
use super::datagram::Envelope;
use super::flaw;
use super::host;
use super::node::{Balance, Expiry, Node, Rate};
use super::refusal::{Fate, Refusal, judge, leave};
use super::topology::{Place, TARGET, Topology};
use super::transit::Transit;
use crate::time::{Span, Timestamp};

/// The most links of a datagram, in case routers that hide their TTL make a loop.
const MAX_LINKS: usize = 1_000;

/// How far apart the two copies of a duplicate, or a forged and the true reply, arrive.
const CLOSE: Span = Span::from_micros(10);

/// How much a forger quotes by default: what fits the shortest errors.
const FORGED_QUOTE: usize = 548;

/// A datagram and the time at which it reaches the source.
pub(super) type Arrival = (Timestamp, Vec<u8>);

/// A topology in operation.
#[derive(Debug)]
pub(super) struct Network {
    topology: Topology,
    rng: fastrand::Rng,
    memories: Vec<Memory>,
    /// The IP-ID counters that several places share, by their number.
    counters: BTreeMap<u16, u16>,
}

/// What a place remembers from one reply to the next.
#[derive(Debug)]
struct Memory {
    ip_id: u16,
    /// What is left of its limits: for one peer, and for all.
    buckets: [Bucket; 2],
}

impl Network {
    pub(super) fn new(topology: Topology) -> Self {
        let mut rng = fastrand::Rng::with_seed(topology.seed);
        let mut memory = |place: &Place| Memory {
            ip_id: rng.u16(..),
            buckets: [place.node.rate, place.node.rate_all].map(Bucket::full),
        };
        let memories = topology.places.iter().map(&mut memory).collect();
        let shared = topology.places.iter().filter_map(|place| place.node.counter);
        let counters = shared.map(|number| (number, number.wrapping_mul(0x9e37))).collect();
        Self { topology, rng, memories, counters }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Sends a datagram at this time, and tells what comes back.
    pub(super) fn carry(&mut self, at: Timestamp, datagram: &[u8]) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let Some(mut transit) = Transit::depart(at, datagram) else { return arrivals };
        for _ in 0..MAX_LINKS {
            match self.advance(&mut transit) {
                Fate::Forwarded => {}
                Fate::Advised(advice) => arrivals.extend(self.answer(&transit, Some(advice))),
                Fate::Lost => break,
                Fate::Refused(refusal) => {
                    arrivals.extend(self.answer(&transit, Some(refusal)));
                    break;
                }
                Fate::Delivered => {
                    arrivals.extend(self.answer(&transit, None));
                    break;
                }
            }
            if let Some(place) = self.topology.places.get(transit.here()) {
                leave(&place.node, &mut transit);
            }
        }
        arrivals
    }

    /// Takes the datagram over one link, and asks the place behind it what to do.
    fn advance(&mut self, transit: &mut Transit) -> Fate {
        let next = self.choose(transit);
        let rules = transit.header.rules;
        let destination = Some(transit.header.destination);
        let elsewhere =
            self.topology.target.of(rules.family).is_some_and(|it| Some(it) != destination);
        if next == TARGET && elsewhere {
            return Fate::Refused(rules.host.into());
        }
        let Some(place) = self.topology.places.get(next) else { return Fate::Lost };
        if self.rng.f64() < place.node.loss {
            return Fate::Lost;
        }
        transit.at = transit.at.after(place.node.delay).after(jitter(&mut self.rng, &place.node));
        transit.path.push(next);
        if next == TARGET || place.node.address.of(rules.family) == destination {
            return Fate::Delivered;
        }
        judge(&place.node, transit)
    }

    /// The place to which the present one sends this datagram.
    fn choose(&mut self, transit: &Transit) -> usize {
        choose(&self.topology, transit, &mut self.rng)
    }

    /// What the place that the datagram has reached says to it: a refusal, or a host's answer.
    fn answer(&mut self, transit: &Transit, refusal: Option<Refusal>) -> Vec<Arrival> {
        let here = transit.here();
        let Some(node) = self.topology.places.get(here).map(|place| place.node.clone()) else {
            return Vec::new();
        };
        let target = here == TARGET;
        let rules = transit.header.rules;
        let own = node.address.of(rules.family);
        let own = if target { Some(transit.header.destination) } else { own };
        let said = match refusal {
            Some(refusal) => host::error(&node, transit, refusal),
            None => host::answer(&node, transit, target),
        };
        let from = node.reply_from.of(rules.family).or(own);
        let (Some((protocol, message)), Some(source)) = (said, from) else {
            return Vec::new();
        };
        let control = protocol == rules.icmp && transit.header.protocol != rules.icmp;
        let mut envelope = Envelope {
            source,
            destination: transit.prober,
            protocol,
            tos: if control { rules.error_tos } else { 0 },
            id: 0,
            ttl: node.reply_ttl.saturating_sub(node.return_hops.unwrap_or(self.crossed(transit))),
        };
        let back = self.return_path(transit, &node);
        let mut arrivals = Vec::new();
        arrivals.extend(self.forge(transit, &node, refusal, envelope, back));
        if node.silent || !self.may_speak(here, &node, transit.at) {
            return arrivals;
        }
        envelope.id = self.next_id(here, node.counter);
        envelope.source = node.speaks_from(source, envelope.id);
        let mut reply = envelope.seal(message);
        if let Some(kind) = node.malformed {
            flaw::damage(kind, &mut reply, &mut self.rng);
        }
        arrivals.extend(self.deliver_back(&node, envelope.ttl, back, reply));
        arrivals
    }

    /// How many routers lower the TTL of an answer. Who answers is not farther away for what went round in a loop.
    fn crossed(&self, transit: &Transit) -> u8 {
        if transit.first_way().len() == transit.path.len() {
            return transit.crossed;
        }
        let left = transit.first_way().iter().rev().skip(1);
        let places = left.filter_map(|index| self.topology.places.get(*index));
        let lowering = places.filter(|place| place.node.expiry != Expiry::Hidden).count();
        u8::try_from(lowering).unwrap_or(u8::MAX)
    }

    /// When an answer given now reaches the source.
    fn return_path(&mut self, transit: &Transit, node: &Node) -> Timestamp {
        let way = transit.first_way().iter();
        let places = way.filter_map(|index| self.topology.places.get(*index));
        places.fold(transit.at.after(node.reply_delay), |at, place| {
            at.after(place.node.delay).after(jitter(&mut self.rng, &place.node))
        })
    }

    /// What a finished reply becomes on its way: nothing, one or two of it, in time or late.
    fn deliver_back(
        &mut self,
        node: &Node,
        ttl: u8,
        at: Timestamp,
        reply: Vec<u8>,
    ) -> Vec<Arrival> {
        if ttl == 0 || self.rng.f64() < node.reply_loss {
            return Vec::new();
        }
        let held = node.hold.filter(|hold| self.rng.f64() < hold.chance);
        let at = held.map_or(at, |hold| at.after(hold.delay));
        let mut arrivals = vec![(at, reply)];
        if self.rng.f64() < node.duplicate {
            arrivals.extend(arrivals.first().cloned().map(|(_, copy)| (at.after(CLOSE), copy)));
        }
        arrivals
    }

    /// The forged error that comes just before the true answer, though never before the probe.
    fn forge(
        &mut self,
        transit: &Transit,
        node: &Node,
        refusal: Option<Refusal>,
        envelope: Envelope,
        back: Timestamp,
    ) -> Option<Arrival> {
        let field = node.forged?;
        let rules = transit.header.rules;
        let mut quote = transit.quote(node.quote_len(rules.family).unwrap_or(FORGED_QUOTE));
        flaw::forge(field, &mut quote, &mut self.rng);
        let message = refusal.unwrap_or(rules.expired.into()).quoting(&quote);
        let id = self.rng.u16(..);
        let forged = Envelope { protocol: rules.icmp, id, ttl: self.rng.u8(32..=240), ..envelope };
        Some((back.before(CLOSE).max(transit.departed), forged.seal(message)))
    }

    /// Whether the limits let a reply out now; takes its token of each if so.
    fn may_speak(&mut self, here: usize, node: &Node, at: Timestamp) -> bool {
        let all = self.takes(here, 1, node.rate_all, at);
        all && self.takes(here, 0, node.rate, at)
    }

    fn takes(&mut self, here: usize, which: usize, rate: Option<Rate>, at: Timestamp) -> bool {
        let Some(rate) = rate else { return true };
        let place = rate.shared.and_then(|shared| self.first_of(which, shared)).unwrap_or(here);
        let bucket = self.memories.get_mut(place).and_then(|it| it.buckets.get_mut(which));
        bucket.is_none_or(|bucket| bucket.take(rate, at, &mut self.rng))
    }

    /// The first place whose limit is this shared one: the bucket is there.
    fn first_of(&self, which: usize, shared: u8) -> Option<usize> {
        self.topology.places.iter().position(|place| {
            let rate = [place.node.rate, place.node.rate_all].get(which).copied().flatten();
            rate.is_some_and(|rate| rate.shared == Some(shared))
        })
    }

    fn next_id(&mut self, here: usize, shared: Option<u16>) -> u16 {
        let counter = match shared.and_then(|number| self.counters.get_mut(&number)) {
            None => self.memories.get_mut(here).map(|memory| &mut memory.ip_id),
            shared => shared,
        };
        counter.map_or(0, |counter| {
            *counter = counter.wrapping_add(1);
            *counter
        })
    }
}

/// The place to which that where this datagram is sends it.
fn choose(topology: &Topology, transit: &Transit, rng: &mut fastrand::Rng) -> usize {
    let here = transit.here();
    let Some(place) = topology.places.get(here) else { return TARGET };
    if let [only] = place.next[..] {
        return only;
    }
    let weight =
        |next: &usize| topology.places.get(*next).map_or(0, |place| u64::from(place.node.weight));
    let total: u64 = place.next.iter().map(weight).sum();
    let range = ..total.max(1);
    let mut ticket = match place.node.balance {
        Balance::Packet => rng.u64(range),
        Balance::Flow => {
            let salt = topology.seed.wrapping_add(here as u64);
            fastrand::Rng::with_seed(transit.flow(salt)).u64(range)
        }
    };
    let drawn = place.next.iter().find(|next| {
        let weight = weight(next);
        let drawn = ticket < weight;
        ticket = ticket.saturating_sub(weight);
        drawn
    });
    drawn.or(place.next.last()).copied().unwrap_or(TARGET)
}

impl Topology {
    /// The addresses of the routers, and of the target, that this datagram passes when nothing is lost and every router chooses by
    /// the flow: what a search for all paths may say of its flow. `None` for one that has none of its family.
    #[must_use]
    pub fn path_of(&self, datagram: &[u8]) -> Vec<Option<IpAddr>> {
        let mut path = Vec::new();
        let Some(mut transit) = Transit::depart(Timestamp::default(), datagram) else {
            return path;
        };
        let (destination, family) = (transit.header.destination, transit.header.rules.family);
        let mut rng = fastrand::Rng::with_seed(self.seed);
        while path.len() < MAX_LINKS && transit.here() != TARGET {
            let next = choose(self, &transit, &mut rng);
            transit.path.push(next);
            let own = self.places.get(next).and_then(|place| place.node.address.of(family));
            path.push(if next == TARGET { Some(destination) } else { own });
        }
        path
    }
}

/// The extra delay of the link to this node for one datagram.
fn jitter(rng: &mut fastrand::Rng, node: &Node) -> Span {
    Span::from_nanos(rng.i64(0..=node.jitter.nanos().max(0)))
}
