//! The way of a datagram through a topology, and of the answers back.
//!
//! A datagram goes in at a time; out come the answers, each with the time of its arrival at the
//! source. The whole way is computed at once: the only things that outlive a datagram are the random
//! numbers, the routers' IP-ID counters and their rate limits. Routers follow RFC 1812 §5.2 and
//! §5.3.1, the target RFC 1122 §3.2.2: no errors about errors or later fragments, no answer to
//! broken checksums. IPv4 only: anything else vanishes.

use super::reply::{self, Envelope, TCP};
use super::topology::{Balance, Expiry, Node, Ports, TARGET, Topology};
use super::transit::Transit;
use crate::time::{Span, Timestamp};
use crate::wire::icmpv4::{
    CODE_FRAGMENTATION, CODE_PORT, CODE_PROTOCOL, TIME_EXCEEDED, UNREACHABLE,
};
use crate::wire::ipv4::{ICMP, UDP};

/// Code of destination unreachable: host (RFC 792).
const CODE_HOST: u8 = 1;

/// Links after which a datagram is given up, should routers that hide their TTL make a loop.
const MAX_LINKS: usize = 1_000;

/// Type of service of ICMP errors: internetwork control (RFC 1812 §4.3.2.5).
const TOS_CONTROL: u8 = 0xc0;

/// How far apart the two copies of a duplicate, or a forged and the true reply, arrive.
const CLOSE: Span = Span::from_micros(10);

/// A datagram and the time at which it reaches the source.
pub(super) type Arrival = (Timestamp, Vec<u8>);

/// A topology in operation.
#[derive(Debug)]
pub(super) struct Network {
    topology: Topology,
    rng: fastrand::Rng,
    memories: Vec<Memory>,
}

/// What a place remembers from one reply to the next.
#[derive(Debug)]
struct Memory {
    ip_id: u16,
    tokens: f64,
    refilled: Timestamp,
}

/// What becomes of a datagram at a place.
enum Fate {
    /// It goes on to the next.
    Forwarded,
    Lost,
    /// It ends here with this ICMP error.
    Refused(Refusal),
    /// It is for the host here.
    Delivered,
}

/// An ICMP error in the making: type, code, and bytes 4 to 7.
#[derive(Clone, Copy)]
struct Refusal {
    icmp_type: u8,
    code: u8,
    rest: [u8; 4],
}

impl Refusal {
    const EXPIRED: Self = Self { icmp_type: TIME_EXCEEDED, code: 0, rest: [0; 4] };

    fn unreachable(code: u8) -> Self {
        Self { icmp_type: UNREACHABLE, code, rest: [0; 4] }
    }

    /// RFC 1191 §4: bytes 6 and 7 tell the MTU.
    fn too_big(mtu: u16) -> Self {
        let [high, low] = mtu.to_be_bytes();
        Self { rest: [0, 0, high, low], ..Self::unreachable(CODE_FRAGMENTATION) }
    }
}

impl Network {
    pub(super) fn new(topology: Topology) -> Self {
        let mut rng = fastrand::Rng::with_seed(topology.seed);
        let memory = |burst| Memory {
            ip_id: rng.u16(..),
            tokens: f64::from(burst),
            refilled: Timestamp::default(),
        };
        let bursts = topology.places.iter().map(|place| place.node.rate.map_or(0, |r| r.burst));
        let memories = bursts.map(memory).collect();
        Self { topology, rng, memories }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Sends a datagram at this time, and tells what comes back.
    pub(super) fn carry(&mut self, at: Timestamp, datagram: &[u8]) -> Vec<Arrival> {
        let Some(mut transit) = Transit::depart(at, datagram) else { return Vec::new() };
        for _ in 0..MAX_LINKS {
            match self.advance(&mut transit) {
                Fate::Forwarded => {}
                Fate::Lost => break,
                Fate::Refused(refusal) => return self.answer(&transit, Some(refusal)),
                Fate::Delivered => return self.answer(&transit, None),
            }
        }
        Vec::new()
    }

    /// Takes the datagram over one link, and asks the place behind it what to do.
    fn advance(&mut self, transit: &mut Transit) -> Fate {
        let next = self.choose(transit);
        let elsewhere = self.topology.target.is_some_and(|it| it != transit.header.destination);
        if next == TARGET && elsewhere {
            return Fate::Refused(Refusal::unreachable(CODE_HOST));
        }
        let Some(place) = self.topology.places.get(next) else { return Fate::Lost };
        if self.rng.f64() < place.node.loss {
            return Fate::Lost;
        }
        transit.at = transit.at.after(place.node.delay).after(jitter(&mut self.rng, &place.node));
        transit.path.push(next);
        if next == TARGET || place.node.address == transit.header.destination {
            return Fate::Delivered;
        }
        forward(&place.node, transit)
    }

    /// The place to which the present one sends this datagram.
    fn choose(&mut self, transit: &Transit) -> usize {
        let here = transit.here();
        let Some(place) = self.topology.places.get(here) else { return TARGET };
        if let [only] = place.next[..] {
            return only;
        }
        let weight = |next: &usize| {
            self.topology.places.get(*next).map_or(0, |place| u64::from(place.node.weight))
        };
        let total: u64 = place.next.iter().map(weight).sum();
        let range = ..total.max(1);
        let mut ticket = match place.node.balance {
            Balance::Packet => self.rng.u64(range),
            Balance::Flow => {
                let salt = self.topology.seed.wrapping_add(here as u64);
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

    /// What the place that the datagram has reached says to it: a refusal, or a host's answer.
    fn answer(&mut self, transit: &Transit, refusal: Option<Refusal>) -> Vec<Arrival> {
        let here = transit.here();
        let Some(node) = self.topology.places.get(here).map(|place| place.node.clone()) else {
            return Vec::new();
        };
        let target = here == TARGET;
        let Some((protocol, message)) = (match refusal {
            Some(refusal) => error(&node, transit, refusal),
            None => deliver(&node, transit, target),
        }) else {
            return Vec::new();
        };
        let own = if target { transit.header.destination } else { node.address };
        let control = protocol == ICMP && transit.header.protocol != ICMP;
        let mut envelope = Envelope {
            source: node.reply_from.unwrap_or(own),
            destination: transit.prober,
            protocol,
            tos: if control { TOS_CONTROL } else { 0 },
            id: 0,
            ttl: node.reply_ttl.saturating_sub(node.return_hops.unwrap_or(transit.crossed)),
        };
        let back = self.way_back(transit, &node);
        let mut arrivals = Vec::new();
        arrivals.extend(self.forge(transit, &node, refusal, envelope, back));
        if node.silent || !self.may_speak(here, &node, transit.at) {
            return arrivals;
        }
        envelope.id = self.next_id(here);
        let mut reply = envelope.seal(message);
        if let Some(kind) = node.malformed {
            reply::damage(kind, &mut reply, &mut self.rng);
        }
        arrivals.extend(self.deliver_back(&node, envelope.ttl, back, reply));
        arrivals
    }

    /// When an answer given now reaches the source.
    fn way_back(&mut self, transit: &Transit, node: &Node) -> Timestamp {
        let places = transit.path.iter().filter_map(|index| self.topology.places.get(*index));
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
        let mut quote = transit.quote(node.quote);
        reply::forge(field, &mut quote, &mut self.rng);
        let Refusal { icmp_type, code, rest } = refusal.unwrap_or(Refusal::EXPIRED);
        let message = reply::error(icmp_type, code, rest, &quote);
        let id = self.rng.u16(..);
        let forged = Envelope { protocol: ICMP, id, ttl: self.rng.u8(32..=240), ..envelope };
        Some((back.before(CLOSE).max(transit.departed), forged.seal(message)))
    }

    /// Whether the rate limit lets a reply out now; takes its token if so.
    fn may_speak(&mut self, here: usize, node: &Node, at: Timestamp) -> bool {
        let (Some(rate), Some(memory)) = (node.rate, self.memories.get_mut(here)) else {
            return true;
        };
        let rested = at.since(memory.refilled).secs_f64().max(0.0);
        memory.tokens = (memory.tokens + rested * rate.per_second).min(f64::from(rate.burst));
        memory.refilled = memory.refilled.max(at);
        let speaks = memory.tokens >= 1.0;
        if speaks {
            memory.tokens -= 1.0;
        }
        speaks
    }

    fn next_id(&mut self, here: usize) -> u16 {
        self.memories.get_mut(here).map_or(0, |memory| {
            memory.ip_id = memory.ip_id.wrapping_add(1);
            memory.ip_id
        })
    }
}

/// By how much the link to this node is slower this time.
fn jitter(rng: &mut fastrand::Rng, node: &Node) -> Span {
    Span::from_nanos(rng.i64(0..=node.jitter.nanos().max(0)))
}

/// What a router does with a datagram that is not for itself.
fn forward(node: &Node, transit: &mut Transit) -> Fate {
    let ttl = transit.header.ttl;
    let last = match node.expiry {
        Expiry::Answer => ttl <= 1,
        Expiry::ForwardZero => ttl == 0,
        Expiry::Hidden => false,
    };
    if last {
        return Fate::Refused(Refusal::EXPIRED);
    }
    if let Some(code) = node.unreachable {
        return Fate::Refused(Refusal::unreachable(code));
    }
    let narrow = node.mtu.filter(|mtu| *mtu < transit.header.total_len);
    if let Some(mtu) = narrow.filter(|_| transit.header.dont_fragment) {
        return Fate::Refused(Refusal::too_big(mtu));
    }
    if let Some(nat) = node.nat {
        reply::translate(&mut transit.datagram, &transit.header, nat.address);
        transit.translations.push((transit.header.source, nat.quotes));
        transit.header.source = nat.address;
    }
    if node.expiry != Expiry::Hidden {
        transit.header.ttl = ttl.saturating_sub(1);
        transit.crossed = transit.crossed.saturating_add(1);
        reply::put(&mut transit.datagram, 8, &[transit.header.ttl]);
        reply::seal(&mut transit.datagram);
    }
    Fate::Forwarded
}

/// The ICMP error, unless there must be none.
fn error(node: &Node, transit: &Transit, refusal: Refusal) -> Option<(u8, Vec<u8>)> {
    let Refusal { icmp_type, code, rest } = refusal;
    let message = || reply::error(icmp_type, code, rest, &transit.quote(node.quote));
    transit.allows_errors().then(|| (ICMP, message()))
}

/// A host's answer to a datagram for itself. Fragments are never put together, so never answered.
fn deliver(node: &Node, transit: &Transit, target: bool) -> Option<(u8, Vec<u8>)> {
    let header = &transit.header;
    let refuse = |code| error(node, transit, Refusal::unreachable(code));
    if let Some(code) = node.unreachable.filter(|_| target) {
        return refuse(code);
    }
    let message = transit.message();
    let fragment = header.more_fragments || header.fragment_offset > 0;
    if fragment || !reply::intact(header, message) {
        return None;
    }
    let open = node.ports == Ports::Open;
    match header.protocol {
        ICMP => reply::echo(message).map(|reply| (ICMP, reply)),
        UDP if open => reply::udp(message).map(|reply| (UDP, reply)),
        UDP => refuse(CODE_PORT),
        TCP => reply::tcp(message, open).map(|reply| (TCP, reply)),
        _ => refuse(CODE_PROTOCOL),
    }
}
