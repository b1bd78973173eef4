//! How a router or host of a simulated network behaves: one [`Node`], all of it data.
//!
//! A node that has no address in a family forwards its datagrams and says nothing. Every default is
//! what a well-behaved router does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

use super::family::Dual;
use crate::time::Span;
use crate::wire::extension::{Extension, Family};

/// How a router chooses among several next routers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// By addresses, protocol, the first four octets after the IP header, and the flow label:
    /// packets of one flow keep together.
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

/// What the target's ports do. A closed UDP or UDP-Lite port is answered with port unreachable, a
/// closed TCP port with a reset. An open UDP port answers with the same payload (53: like a resolver),
/// an open TCP port answers a SYN with SYN and ACK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PortsKey")]
pub enum Ports {
    /// All are closed.
    #[default]
    Closed,
    /// All are open.
    Open,
    /// These are open.
    Only(Vec<u16>),
}

/// All ports, none, or a list of those that are open.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write \"open\", \"closed\", or a list of open ports")]
enum PortsKey {
    Word(String),
    List(Vec<u16>),
}

impl TryFrom<PortsKey> for Ports {
    type Error = String;

    fn try_from(key: PortsKey) -> Result<Self, String> {
        match key {
            PortsKey::List(ports) => Ok(Self::Only(ports)),
            PortsKey::Word(word) if word == "open" => Ok(Self::Open),
            PortsKey::Word(word) if word == "closed" => Ok(Self::Closed),
            PortsKey::Word(_) => Err("write \"open\", \"closed\", or a list of open ports".into()),
        }
    }
}

impl Ports {
    /// Whether this port is open.
    #[must_use]
    pub fn open(&self, port: u16) -> bool {
        match self {
            Self::Closed => false,
            Self::Open => true,
            Self::Only(ports) => ports.contains(&port),
        }
    }
}

/// A code of destination unreachable in each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// The code of ICMP (RFC 792, RFC 1812 §5.2.7.1).
    pub v4: u8,
    /// The code of `ICMPv6` (RFC 4443 §3.1).
    pub v6: u8,
}

impl Unreachable {
    pub(super) fn code(self, family: Family) -> u8 {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// One code for both families.
impl From<u8> for Unreachable {
    fn from(code: u8) -> Self {
        Self { v4: code, v6: code }
    }
}

/// What a router says of a datagram that it could forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Advice {
    /// That another router, this one, is a better way to the host; forwards all the same. IPv6 has
    /// no such error.
    Redirect(Ipv4Addr),
    /// That it comes too fast (source quench); forwards all the same. IPv6 has no such error.
    SourceQuench,
    /// That this octet of it is wrong, in place of forwarding it.
    ParameterProblem(u8),
    /// That its fragments did not come in time (time exceeded, code 1), in place of forwarding it.
    ReassemblyTime,
    /// Any other ICMP error, in place of forwarding it.
    Icmp {
        /// Its type.
        r#type: u8,
        /// Its code.
        code: u8,
    },
}

/// A way in which a reply is damaged before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Malformed {
    /// The reply ends twelve octets after its own IP header: four octets of quote.
    Truncated,
    /// The checksum of ICMP (or whatever follows the IP header) is wrong.
    BadChecksum,
    /// The quoted IP header claims 60 octets of length; in IPv6, hop-by-hop options that are none.
    LyingIhl,
    /// The quoted IP header claims a length of zero, as some routers really do.
    ZeroLength,
    /// The reply's IP header claims more octets than there are.
    LyingLength,
    /// Everything after the reply's IP header is random.
    Garbage,
    /// The length is quoted in the wrong byte order, as by hosts that keep it in their own.
    SwappedLength,
    /// IPv4: flags and fragment offset are.
    SwappedFlags,
    /// IPv4: the total length is quoted without the header.
    LengthWithoutHeader,
    /// The TTL is quoted after one was taken off.
    LoweredTtl,
}

/// The field that an off-path attacker, who never saw the probe, got wrong in the quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forged {
    /// The ports (or the ICMP identifier and sequence number).
    Ports,
    /// The IP identification (in IPv6 the flow label) and the transport checksum.
    Id,
    /// The destination address.
    Destination,
    /// The source address.
    Source,
}

/// What limits how many replies a router sends: a token bucket, or a number for each second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Replies per second in the long run; above 0.
    pub per_second: f64,
    /// Replies at once after a rest; at least 1.
    pub burst: u32,
    /// `burst` replies in each second, as BSD's; a second begins with the first reply after the one before is over.
    #[serde(default)]
    pub window: bool,
    /// As many replies a second are sent to others, at random.
    #[serde(default)]
    pub others: f64,
    /// Routers with the same number share one limit.
    pub shared: Option<u8>,
}

/// Some replies are held back, to come out of order or too late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// The chance that a reply is held, from 0 to 1.
    pub chance: f64,
    /// For how long.
    pub delay: Span,
}

/// A router that puts its own address in place of the prober's, and perhaps another source port or identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// The source address that the network beyond sees; the other family passes untranslated.
    pub address: IpAddr,
    /// What it does to quotes on the return path.
    #[serde(default)]
    pub quotes: NatQuotes,
    /// How much it adds to the source port or identifier.
    #[serde(default)]
    pub shift: u16,
}

/// What address translation does to the datagram quoted in an ICMP error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatQuotes {
    /// The prober's address and port are put back (RFC 5508 §4.1), but not the transport checksum: this
    /// difference is how a NAT on the path can be told.
    #[default]
    Restored,
    /// The quote still shows the outside address and port.
    Outside,
}

/// Fields of whatever it forwards that a router replaces, and does not put back in quotes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// IPv4: the identification.
    pub id: Option<u16>,
    /// The destination; of the other family it stays.
    pub destination: Option<IpAddr>,
    /// The destination port, where there is one.
    pub port: Option<u16>,
}

/// A router forwards nothing for a while, whatever the TTL, as where a route is replaced by an unreachable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When, after the simulation began.
    pub after: Span,
    /// How long.
    pub lasts: Span,
    /// What it says; `None` if nothing.
    pub unreachable: Option<Unreachable>,
}

impl Outage {
    /// Whether this time has passed since the simulation began.
    pub(super) fn is_at(&self, elapsed: Span) -> bool {
        self.after <= elapsed && elapsed.nanos() - self.after.nanos() < self.lasts.nanos()
    }
}

/// A router or the target: the link that leads to it, and its behaviour.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its addresses. The target needs none: it answers from the probe's destination.
    pub address: Dual,
    /// One-way delay of the link that leads here; the return path takes as long.
    pub delay: Span,
    /// The most by which each crossing of that link is slower than `delay`.
    pub jitter: Span,
    /// The chance that the link loses a probe.
    pub loss: f64,
    /// The chance that a reply from here is lost on its way.
    pub reply_loss: f64,
    /// Forwards, but never answers.
    pub silent: bool,
    /// How many replies it sends at most to one peer.
    pub rate: Option<Rate>,
    /// How many it sends to all peers together; asked first, as Linux does.
    pub rate_all: Option<Rate>,
    /// The chance that a reply arrives twice.
    pub duplicate: f64,
    /// Some of its replies come late.
    pub hold: Option<Hold>,
    /// Whatever it should forward (the target: receive) it refuses with this code of ICMP
    /// destination unreachable.
    pub unreachable: Option<Unreachable>,
    /// For a while it forwards nothing.
    pub outage: Option<Outage>,
    /// What it says besides or in place of forwarding.
    pub advice: Option<Advice>,
    /// The longest datagram it can forward. One of IPv4 without DF passes whole all the same, as if
    /// it were put together again behind the narrow link.
    pub mtu: Option<u16>,
    /// What is longer vanishes without a word: a black hole (RFC 2923 §2.1).
    pub mtu_silent: bool,
    /// The MTU that it tells instead of its own: 0 as routers before RFC 1191, or a lie.
    pub mtu_claim: Option<u32>,
    /// How many octets of the datagram an ICMP error quotes, the IP header included, if not as many
    /// as RFC 1812 §4.3.2.3 allows.
    pub quote: Option<usize>,
    /// How many octets it quotes over IPv6, if fewer than RFC 4443 §2.4 allows.
    pub quote6: Option<usize>,
    /// What it appends to its quotes: nothing while there are no objects.
    pub extension: Extension,
    /// The TTL with which its replies start.
    pub reply_ttl: u8,
    /// The addresses its replies come from, where not its own.
    pub reply_from: Dual,
    /// Further addresses of its own: its replies come from each in turn.
    pub also: Vec<IpAddr>,
    /// All nodes with this number fill in the IP-ID of their replies from one counter, as behind a NAT or a tunnel that numbers
    /// anew what passes it.
    pub counter: Option<u16>,
    /// How much longer the return path is than the forward path.
    pub reply_delay: Span,
    /// How many routers lie on the return path, if not as many as on the forward path.
    pub return_hops: Option<u8>,
    /// What happens to a TTL that ends here.
    pub expiry: Expiry,
    /// How its replies are damaged.
    pub malformed: Option<Malformed>,
    /// Just before its reply (silent or not) a forged one arrives.
    pub forged: Option<Forged>,
    /// Source address translation for everything it forwards.
    pub nat: Option<Nat>,
    /// What else it replaces in everything it forwards.
    pub rewrite: Option<Rewrite>,
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
            address: address.into(),
            delay: Span::from_millis(1),
            jitter: Span::ZERO,
            loss: 0.0,
            reply_loss: 0.0,
            silent: false,
            rate: None,
            rate_all: None,
            duplicate: 0.0,
            hold: None,
            unreachable: None,
            outage: None,
            advice: None,
            mtu: None,
            mtu_silent: false,
            mtu_claim: None,
            quote: None,
            quote6: None,
            extension: Extension::of(Vec::new()),
            reply_ttl: 255,
            reply_from: Dual::default(),
            also: Vec::new(),
            counter: None,
            reply_delay: Span::ZERO,
            return_hops: None,
            expiry: Expiry::Answer,
            malformed: None,
            forged: None,
            nat: None,
            rewrite: None,
            balance: Balance::Flow,
            weight: 1,
            ports: Ports::Closed,
        }
    }

    /// A well-behaved host with closed ports, one millisecond beyond the last router.
    #[must_use]
    pub fn host() -> Self {
        Self { address: Dual::default(), reply_ttl: 64, ..Self::at(Ipv4Addr::UNSPECIFIED) }
    }

    /// Adds an IPv6 address.
    #[must_use]
    pub fn with_address6(mut self, address: Ipv6Addr) -> Self {
        self.address.v6 = Some(address);
        self
    }

    /// The address from which the reply with this number comes, if `first` is its own.
    pub(super) fn speaks_from(&self, first: IpAddr, number: u16) -> IpAddr {
        let others = self.also.iter().copied().filter(|it| it.is_ipv4() == first.is_ipv4());
        let all: Vec<IpAddr> = std::iter::once(first).chain(others).collect();
        all.get(usize::from(number) % all.len()).copied().unwrap_or(first)
    }

    /// How many octets it quotes in this family, if not as many as allowed.
    pub(super) fn quote_len(&self, family: Family) -> Option<usize> {
        match family {
            Family::V4 => self.quote,
            Family::V6 => self.quote6,
        }
    }
}
