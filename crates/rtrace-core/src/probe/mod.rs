//! Probes: how they are crafted, and how they are recognised again.
//!
//! A trace is one [`Flow`]: who asks whom, by which protocol, under which identity. What tells its
//! probes apart is the [`ProbeKey`]: the IP-ID (IPv4) and the first eight bytes after the IP header,
//! which every ICMP error quotes. Per type of probe, the field in those bytes that is never the same
//! twice in a trace:
//!
//! | probe | in the probe and in a quote of 8 bytes | in the target's answer | source port rewritten | IP-ID rewritten |
//! |---|---|---|---|---|
//! | UDP | destination port | source port | IP-ID, destination port | destination port |
//! | UDP, fixed port (`-U`, `--flow paris`) | checksum, through the payload | query id (DNS) | IP-ID | checksum |
//! | UDP, `--flow dublin` | IP-ID; IPv6: length | (the last one sent) | IP-ID; IPv6: length | none |
//! | ICMP echo | sequence number | sequence number | IP-ID, sequence number | sequence number |
//! | TCP SYN | sequence number | acknowledgment number | IP-ID, sequence number | sequence number |
//! | TCP ACK | sequence number | sequence number of the reset | IP-ID, sequence number | sequence number |
//! | UDP-Lite | checksum, through the payload | query id (DNS) | IP-ID | checksum |
//! | other protocol | the first payload bytes | where the protocol has ports, these; else (the last one sent) | the same | none |
//!
//! Every probe over IPv4 also has an IP-ID of its own: it identifies the probe where destination or destination port
//! were rewritten. Which of these quotes are believed, and why, is in `trace::rewritten`.
//!
//! What identifies a probe is no secret but for where it begins. How hard a quote is to guess follows from what is random,
//! in bits:
//!
//! | probe | source port or identifier | IP-ID (IPv4) | checksum | sequence number or first octets | flow label (IPv6) | IPv4 | IPv6 |
//! |---|---|---|---|---|---|---|---|
//! | UDP, UDP-Lite | 16 | 16 | 16 | | 20 | 48 | 52 |
//! | ICMP echo | 16 | 16 | 16 | 15 | 20 | 63 | 67 |
//! | TCP | 16 | 16 | not quoted | 32 | 20 | 64 | 68 |
//! | other protocol | | 16 | | 63 | 20 | 79 | 83 |
//!
//! All of it comes from the source port, the first IP-ID, the flow label and the [`Secret`] of a run. The octets of the secret at
//! a payload's end are the same in all probes, so what is constant in a flow stays so. `trace::belief` sets what a quote
//! shows of it against the number of probes that it could be of.

pub mod craft;
pub mod secret;
pub mod serial;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::wire::extension::Family;
use crate::wire::ip::{self, IpHeader};
use crate::wire::tcp::{self, Flags};
use crate::wire::{ipv4, udp};

pub use secret::Secret;

/// One datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// The destination in its IP header, to which the network should carry it.
    pub destination: IpAddr,
    /// The whole IP datagram, header included, in network byte order.
    pub datagram: &'a [u8],
}

/// The type of a probe: the datagram that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum ProbeType {
    /// A UDP datagram to a port on which nothing should listen, the next one for each probe.
    Udp,
    /// A UDP datagram to one port, by default that of DNS, with a DNS query in it.
    UdpFixed,
    /// An ICMP echo request.
    IcmpEcho,
    /// The first segment of a TCP connection.
    TcpSyn,
    /// A TCP segment that acknowledges what was never sent.
    TcpAck,
    /// A UDP-Lite datagram (RFC 3828).
    UdpLite,
    /// A datagram of any other protocol.
    Protocol(u8),
}

impl ProbeType {
    /// The protocol number in the IP header of a probe of this type.
    #[must_use]
    pub const fn protocol(self, family: Family) -> u8 {
        match self {
            Self::Udp | Self::UdpFixed => ipv4::UDP,
            Self::IcmpEcho => ip::icmp_protocol(family),
            Self::TcpSyn | Self::TcpAck => ipv4::TCP,
            Self::UdpLite => ipv4::UDP_LITE,
            Self::Protocol(number) => number,
        }
    }

    /// Whether probes of this type have ports.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        !matches!(self, Self::IcmpEcho | Self::Protocol(_))
    }
}

/// The fields that stay the same among the probes of a trace, so that load balancers treat them alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FlowMode {
    /// UDP destination ports rise with each probe, as in traceroute from the beginning.
    #[default]
    Classic,
    /// Every field that load balancers use stays the same; checksum, sequence number or payload vary.
    Paris,
    /// As `Paris`, and in UDP probes only the IP-ID varies (IPv6: the length).
    Dublin,
}

/// The values that all probes of a trace share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The source address of the probes.
    pub source: IpAddr,
    /// The address of the target, of the same family.
    pub target: IpAddr,
    /// The type of the probes.
    pub probe: ProbeType,
    /// The source port, or the identifier of ICMP echo; 0 for other protocols.
    pub ident: u16,
}

impl Flow {
    /// The version of IP.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.target)
    }

    /// The protocol number of its probes.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.probe.protocol(self.family())
    }
}

/// The fields that distinguish a probe from the others of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeKey {
    /// The identification field of the IPv4 header (RFC 791 §3.1); 0 over IPv6.
    pub ip_id: u16,
    /// The first eight bytes after the IP header.
    pub head: [u8; 8],
}

impl ProbeKey {
    /// The key of a datagram; `None` if it is a later fragment or ends too early.
    #[must_use]
    pub fn of(header: &IpHeader, payload: &[u8]) -> Option<Self> {
        let head = *payload.first_chunk().filter(|_| header.is_first)?;
        Some(Self { ip_id: header.id.unwrap_or(0), head })
    }

    /// The key of a datagram that may have been cut short after its first four octets: those that are missing are 0.
    #[must_use]
    pub fn of_cut(header: &IpHeader, payload: &[u8]) -> Option<Self> {
        let enough = header.is_first && payload.len() >= 4;
        enough.then(|| Self::of_beginning(header, payload))
    }

    /// The key of a datagram that may have been cut short anywhere after its header: octets that are missing are 0.
    #[must_use]
    pub fn of_beginning(header: &IpHeader, payload: &[u8]) -> Self {
        let mut head = [0; 8];
        head.iter_mut().zip(payload).for_each(|(octet, there)| *octet = *there);
        Self { ip_id: header.id.unwrap_or(0), head }
    }

    fn word(&self, at: usize) -> u16 {
        match self.head.get(at..) {
            Some([high, low, ..]) => u16::from_be_bytes([*high, *low]),
            _ => 0,
        }
    }

    /// Source port, of protocols that have ports.
    #[must_use]
    pub fn source_port(&self) -> u16 {
        self.word(0)
    }

    /// Destination port, of protocols that have ports.
    #[must_use]
    pub fn destination_port(&self) -> u16 {
        self.word(2)
    }

    /// Sequence number of TCP.
    #[must_use]
    pub fn tcp_sequence(&self) -> u32 {
        u32::from(self.word(4)) << 16 | u32::from(self.word(6))
    }

    /// Checksum of UDP and UDP-Lite.
    #[must_use]
    pub fn udp_checksum(&self) -> u16 {
        self.word(6)
    }

    /// Source port or identifier, as [`Flow::ident`].
    #[must_use]
    pub fn ident(&self, probe: ProbeType) -> u16 {
        match probe {
            ProbeType::IcmpEcho => self.identifier(),
            ProbeType::Protocol(_) => 0,
            _ => self.source_port(),
        }
    }

    /// Checksum of ICMP.
    #[must_use]
    pub fn icmp_checksum(&self) -> u16 {
        self.word(2)
    }

    /// Identifier of ICMP echo.
    #[must_use]
    pub fn identifier(&self) -> u16 {
        self.word(4)
    }

    /// Sequence number of ICMP echo.
    #[must_use]
    pub fn sequence(&self) -> u16 {
        self.word(6)
    }

    /// The key without the checksum, which a sender's offload leaves unfinished and NAT adjusts.
    #[must_use]
    pub fn without_checksum(mut self, protocol: u8) -> Self {
        match protocol {
            ipv4::UDP | ipv4::UDP_LITE => self.head[6..].fill(0),
            ipv4::ICMP | crate::wire::ipv6::ICMPV6 => self.head[2..4].fill(0),
            _ => {}
        }
        self
    }

    /// The key with the one of the two ways to write a checksum of zero that is all ones.
    #[must_use]
    pub fn with_one_zero(mut self, protocol: u8) -> Self {
        let bare = self.without_checksum(protocol);
        let at = match protocol {
            ipv4::UDP | ipv4::UDP_LITE => 6..8,
            ipv4::ICMP | crate::wire::ipv6::ICMPV6 => 2..4,
            _ => return self,
        };
        if bare == self
            && let Some(sum) = self.head.get_mut(at)
        {
            sum.fill(0xff);
        }
        self
    }

    /// What address translation leaves alone: neither checksum nor source port or identifier.
    #[must_use]
    pub fn without_origin(self, protocol: u8) -> Self {
        let mut key = self.without_checksum(protocol);
        match protocol {
            ipv4::UDP | ipv4::UDP_LITE | ipv4::TCP => key.head[..2].fill(0),
            ipv4::ICMP | crate::wire::ipv6::ICMPV6 => key.head[4..6].fill(0),
            _ => {}
        }
        key
    }
}

/// Reads a datagram as a probe of whatever kind it would be: the flow and key it has then. A UDP
/// datagram counts as [`ProbeType::Udp`]; TCP counts with SYN alone, or with ACK alone and no payload.
#[must_use]
pub fn recognise(header: &IpHeader, payload: &[u8]) -> Option<(Flow, ProbeKey)> {
    let key = ProbeKey::of(header, payload)?;
    let (probe, ident) = match header.protocol {
        ipv4::UDP => (ProbeType::Udp, key.source_port()),
        ipv4::UDP_LITE => (ProbeType::UdpLite, key.source_port()),
        ipv4::TCP => (tcp_probe(header, payload)?, key.source_port()),
        _ if header.is_icmp() => {
            let (identifier, _) = ip::icmp(header.family(), payload).ok()?.echo_request?;
            (ProbeType::IcmpEcho, identifier)
        }
        number => (ProbeType::Protocol(number), 0),
    };
    let flow = Flow { source: header.source, target: header.destination, probe, ident };
    Some((flow, key))
}

/// Reads a datagram as a probe of this type or one like it: as [`recognise`] does, but where probes are of a protocol as
/// such, all of that protocol is one, whether or not it looks like anything else.
#[must_use]
pub fn recognise_as(
    probe: ProbeType,
    header: &IpHeader,
    payload: &[u8],
) -> Option<(Flow, ProbeKey)> {
    if let ProbeType::Protocol(number) = probe
        && number == header.protocol
    {
        let flow = Flow { source: header.source, target: header.destination, probe, ident: 0 };
        return ProbeKey::of(header, payload).map(|key| (flow, key));
    }
    recognise(header, payload)
}

fn tcp_probe(header: &IpHeader, payload: &[u8]) -> Option<ProbeType> {
    let tcp::Beginning { flags, header_len, .. } = tcp::Beginning::of(payload)?;
    let is_empty = || match tcp::decode(payload) {
        Ok(segment) if segment.control.is_some() => segment.payload.is_empty(),
        // A capture cut it short.
        _ => header.total_len == header.header_len + usize::from(header_len),
    };
    match flags {
        flags if flags.without_ecn() == Flags::SYN => Some(ProbeType::TcpSyn),
        Flags::ACK if is_empty() => Some(ProbeType::TcpAck),
        _ => None,
    }
}

/// The answer of a host that was reached, in the probe's own protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The key of the probe that it answers.
    pub key: AnswerKey,
    /// The target's port, if the protocol has ports in a place of its own.
    pub port: Option<u16>,
    /// The control bits of a TCP answer (RFC 9293 §3.1).
    pub tcp_flags: Option<Flags>,
}

/// The fields of a probe that its answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnswerKey {
    /// The source port of the probe, or the identifier of ICMP echo; 0 for other protocols.
    pub ident: u16,
    /// The number that distinguishes answers to it: the target's port and the id of a DNS query, or a sequence number.
    pub number: u32,
}

impl AnswerKey {
    /// The marks of the target's answer to a probe with this key and payload.
    #[must_use]
    pub fn of(probe: ProbeType, key: &ProbeKey, payload: &[u8]) -> Self {
        let number = match probe {
            ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite => {
                udp_number(key.destination_port(), payload)
            }
            ProbeType::IcmpEcho => u32::from(key.sequence()),
            ProbeType::TcpSyn => key.tcp_sequence(),
            ProbeType::TcpAck => {
                tcp::Beginning::of(payload).map_or(0, |beginning| beginning.acknowledgment)
            }
            ProbeType::Protocol(number) if has_ports(number) => {
                u32::from(key.source_port()) << 16 | u32::from(key.destination_port())
            }
            ProbeType::Protocol(_) => 0,
        };
        Self { ident: key.ident(probe), number }
    }
}

/// Reads a datagram as the answer to a probe of `flow`, from whatever source port or identifier.
#[must_use]
pub fn answer(flow: &Flow, header: &IpHeader, payload: &[u8]) -> Option<Answer> {
    let back = header.source == flow.target && header.destination == flow.source;
    if !back || !header.is_first || header.protocol != flow.protocol() {
        return None;
    }
    let said = |ident, port, number| {
        let key = AnswerKey { ident, number };
        Some(Answer { key, port, tcp_flags: None })
    };
    match flow.probe {
        ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite => {
            let udp = udp::decode(payload).ok()?;
            let port = udp.source_port;
            said(udp.destination_port, Some(port), udp_number(port, payload))
        }
        ProbeType::IcmpEcho => {
            let (identifier, sequence) = ip::icmp(header.family(), payload).ok()?.echo_reply?;
            said(identifier, None, u32::from(sequence))
        }
        ProbeType::TcpSyn | ProbeType::TcpAck => {
            let segment = tcp::decode(payload).ok()?;
            let control = tcp::Beginning::of(payload)?;
            let number = match flow.probe {
                // RFC 9293 §3.10.7: a SYN is acknowledged; an ACK is reset with its own number.
                ProbeType::TcpSyn => control.acknowledgment.wrapping_sub(1),
                _ => segment.sequence,
            };
            let flags = control.flags;
            let answers = flags.contains(Flags::RST) || flags.contains(Flags::SYN);
            let key = AnswerKey { ident: segment.destination_port, number };
            let answer = Answer { key, port: Some(segment.source_port), tcp_flags: Some(flags) };
            answers.then_some(answer)
        }
        // What looks like ports to the target it has swapped; of ICMP it answers echo requests alone.
        ProbeType::Protocol(number) if has_ports(number) => {
            let [a, b, c, d] = *payload.first_chunk()?;
            said(0, None, u32::from_be_bytes([c, d, a, b]))
        }
        ProbeType::Protocol(_) if header.is_icmp() => None,
        ProbeType::Protocol(_) => said(0, None, 0),
    }
}

/// Whether datagrams of this protocol begin with a source and a destination port: TCP, UDP, DCCP, SCTP, UDP-Lite.
fn has_ports(protocol: u8) -> bool {
    const DCCP: u8 = 33;
    const SCTP: u8 = 132;
    matches!(protocol, ipv4::TCP | ipv4::UDP | ipv4::UDP_LITE | DCCP | SCTP)
}

/// The target's port, and with DNS the id of the query, which the answer repeats (RFC 1035 §4.1.1).
fn udp_number(port: u16, payload: &[u8]) -> u32 {
    let query = payload.get(8..10).filter(|_| port == craft::DNS_PORT);
    let id = query.and_then(|bytes| bytes.first_chunk()).map_or(0, |id| u16::from_be_bytes(*id));
    u32::from(port) << 16 | u32::from(id)
}
