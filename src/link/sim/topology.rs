//! The model of a simulated network: places joined by one-way links, and how each place behaves.
//!
//! A topology is a directed graph from the source to the target. Routers are usually added stage by
//! stage (every router of a stage leads to every router of the next), but branches of different
//! length and even loops are allowed: the TTL ends them, as it does in the world. Invariant: place
//! [`SOURCE`] and place [`TARGET`] always exist, and every `next` names an existing place.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use crate::time::Span;

/// Index of the place where probes start.
pub(super) const SOURCE: usize = 0;
/// Index of the place where they are meant to end.
pub(super) const TARGET: usize = 1;

/// The prober's address unless the topology names another.
const DEFAULT_SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// How a router chooses among several next routers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// By addresses, protocol and the first four octets after the IP header: packets of one flow
    /// keep together.
    #[default]
    Flow,
    /// Anew for every packet.
    Packet,
}

/// What a router does with a datagram whose TTL ends at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expiry {
    /// Answers with time exceeded (RFC 1812 §5.3.1).
    #[default]
    Answer,
    /// Forwards it with TTL 0, so that the next router answers in its stead, quoting TTL 0.
    ForwardZero,
    /// Never lowers the TTL and so is never seen, like a router inside an MPLS tunnel.
    Hidden,
}

/// What the target's ports do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ports {
    /// UDP is answered with port unreachable, TCP with a reset.
    #[default]
    Closed,
    /// UDP is answered with the same payload, a TCP SYN with SYN and ACK.
    Open,
}

/// A way in which a reply is damaged before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Malformed {
    /// The reply ends twelve octets after its own IP header: four octets of quote.
    Truncated,
    /// The checksum of ICMP (or whatever follows the IP header) is wrong.
    BadChecksum,
    /// The quoted IP header claims 60 octets of length.
    LyingIhl,
    /// The quoted IP header claims a total length of zero, as some routers really do.
    ZeroLength,
    /// The reply's IP header claims more octets than there are.
    LyingLength,
    /// Everything after the reply's IP header is random.
    Garbage,
}

/// The field that an off-path attacker, who never saw the probe, got wrong in the quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forged {
    /// The ports (or the ICMP identifier and sequence number).
    Ports,
    /// The IP identification and the transport checksum.
    Id,
    /// The destination address.
    Destination,
    /// The source address.
    Source,
}

/// A token bucket that limits how many replies a router sends.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Replies per second in the long run; above 0.
    pub per_second: f64,
    /// Replies at once after a rest; at least 1.
    pub burst: u32,
}

/// Some replies are held back, to come out of order or too late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// The chance that a reply is held, from 0 to 1.
    pub chance: f64,
    /// For how long.
    pub delay: Span,
}

/// A router that puts its own address in place of the prober's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// The source address that the network beyond sees.
    pub address: Ipv4Addr,
    /// What it does to quotes on their way back.
    #[serde(default)]
    pub quotes: NatQuotes,
}

/// What address translation does to the datagram quoted in an ICMP error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatQuotes {
    /// The prober's address is put back (RFC 5508 §4.1), but not the transport checksum: this
    /// difference is how a NAT on the path can be told.
    #[default]
    Restored,
    /// The quote still shows the outside address.
    Outside,
}

/// A router or the target: the link that leads to it, and its behaviour.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its address. For the target only a placeholder: it answers from the probe's destination.
    pub address: Ipv4Addr,
    /// One-way delay of the link that leads here; the way back takes as long.
    pub delay: Span,
    /// The most by which each crossing of that link is slower than `delay`.
    pub jitter: Span,
    /// The chance that the link loses a probe.
    pub loss: f64,
    /// The chance that a reply from here is lost on its way.
    pub reply_loss: f64,
    /// Forwards, but never answers.
    pub silent: bool,
    /// How many replies it sends at most.
    pub rate: Option<Rate>,
    /// The chance that a reply arrives twice.
    pub duplicate: f64,
    /// Some of its replies come late.
    pub hold: Option<Hold>,
    /// Whatever it should forward (the target: receive) it refuses with this code of ICMP
    /// destination unreachable.
    pub unreachable: Option<u8>,
    /// The longest datagram it can forward. One without DF passes whole all the same, as if it were
    /// put together again behind the narrow link.
    pub mtu: Option<u16>,
    /// How many octets of the datagram an ICMP error quotes, the IP header included.
    pub quote: usize,
    /// The TTL with which its replies start.
    pub reply_ttl: u8,
    /// The address its replies come from, if not its own.
    pub reply_from: Option<Ipv4Addr>,
    /// How much longer than the way here the way back is.
    pub reply_delay: Span,
    /// How many routers lie on the way back, if not as many as on the way here.
    pub return_hops: Option<u8>,
    /// What happens to a TTL that ends here.
    pub expiry: Expiry,
    /// How its replies are damaged.
    pub malformed: Option<Malformed>,
    /// Just before its reply (silent or not) a forged one arrives.
    pub forged: Option<Forged>,
    /// Source address translation for everything it forwards.
    pub nat: Option<Nat>,
    /// How it chooses among several next routers.
    pub balance: Balance,
    /// Its share when the router before it chooses.
    pub weight: u32,
    /// The target only: what its ports do.
    pub ports: Ports,
}

impl Node {
    /// A well-behaved router, one millisecond away from the one before it.
    #[must_use]
    pub fn at(address: Ipv4Addr) -> Self {
        Self {
            address,
            delay: Span::from_millis(1),
            jitter: Span::ZERO,
            loss: 0.0,
            reply_loss: 0.0,
            silent: false,
            rate: None,
            duplicate: 0.0,
            hold: None,
            unreachable: None,
            mtu: None,
            quote: 548, // RFC 1812 §4.3.2.3: up to 576 octets of ICMP datagram
            reply_ttl: 255,
            reply_from: None,
            reply_delay: Span::ZERO,
            return_hops: None,
            expiry: Expiry::Answer,
            malformed: None,
            forged: None,
            nat: None,
            balance: Balance::Flow,
            weight: 1,
            ports: Ports::Closed,
        }
    }

    /// A well-behaved host with closed ports, one millisecond behind the last router.
    #[must_use]
    pub fn host() -> Self {
        Self { reply_ttl: 64, ..Self::at(Ipv4Addr::UNSPECIFIED) }
    }
}

/// A node and where it leads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) node: Node,
    pub(super) next: Vec<usize>,
}

/// A whole simulated network. Build one [from TOML](Topology::parse), take the
/// [built-in one](Topology::builtin) or a [random one](Topology::random), or add nodes in code:
///
/// ```
/// use rtrace::link::sim::{Node, Topology};
/// let hop = |last| Node::at([198, 51, 100, last].into());
/// let topology = Topology::new(7)
///     .hop(hop(1))
///     .stage(vec![hop(2), Node { silent: true, ..hop(3) }])
///     .target(Node::host());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    pub(super) seed: u64,
    pub(super) source: Ipv4Addr,
    pub(super) target: Option<Ipv4Addr>,
    pub(super) names: BTreeMap<IpAddr, String>,
    pub(super) places: Vec<Place>,
    /// The places of the stage added last.
    frontier: Vec<usize>,
}

impl Topology {
    /// A prober beside its target, and a seed for all that is left to chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let source = Place { node: Node::at(DEFAULT_SOURCE), next: vec![TARGET] };
        let target = Place { node: Node::host(), next: vec![] };
        Self {
            seed,
            source: DEFAULT_SOURCE,
            target: None,
            names: BTreeMap::new(),
            places: vec![source, target],
            frontier: vec![SOURCE],
        }
    }

    /// One more router in front of the target.
    #[must_use]
    pub fn hop(self, node: Node) -> Self {
        self.stage(vec![node])
    }

    /// Several routers side by side in front of the target; those before them choose.
    #[must_use]
    pub fn stage(mut self, nodes: Vec<Node>) -> Self {
        if !nodes.is_empty() {
            let stage: Vec<_> = (self.places.len()..).take(nodes.len()).collect();
            for before in std::mem::take(&mut self.frontier) {
                self.set_next(before, stage.clone());
            }
            self.places.extend(nodes.into_iter().map(|node| Place { node, next: vec![TARGET] }));
            self.frontier = stage;
        }
        self
    }

    /// How the target behaves. The probes' destination decides which address it has.
    #[must_use]
    pub fn target(mut self, node: Node) -> Self {
        if let Some(place) = self.places.get_mut(TARGET) {
            place.node = node;
        }
        self
    }

    /// Only this address is behind the last router; it answers for any other with host unreachable.
    #[must_use]
    pub fn target_address(mut self, address: Ipv4Addr) -> Self {
        self.target = Some(address);
        self
    }

    /// How the prober itself chooses when the first stage has several routers.
    #[must_use]
    pub fn first_balance(mut self, balance: Balance) -> Self {
        if let Some(place) = self.places.get_mut(SOURCE) {
            place.node.balance = balance;
        }
        self
    }

    /// The prober's address.
    #[must_use]
    pub fn with_source(mut self, source: Ipv4Addr) -> Self {
        self.source = source;
        self
    }

    /// What a name lookup of this address gives; any text, hostile ones too.
    #[must_use]
    pub fn name(mut self, address: IpAddr, name: impl Into<String>) -> Self {
        self.names.insert(address, name.into());
        self
    }

    /// The address that probes should be sent from.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        self.source
    }

    /// The names of this network, to be used in place of DNS.
    #[must_use]
    pub fn names(&self) -> &BTreeMap<IpAddr, String> {
        &self.names
    }

    /// Leads from `place` to these places and no other.
    pub(super) fn set_next(&mut self, place: usize, next: Vec<usize>) {
        if let Some(place) = self.places.get_mut(place) {
            place.next = next;
        }
    }

    /// The places of the stage added last: the source, before there is any.
    pub(super) fn last_stage(&self) -> &[usize] {
        &self.frontier
    }
}
