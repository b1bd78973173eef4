//! Probes: how they are crafted, and how they are recognised again.
//!
//! A trace is one [`Flow`]: who asks whom, by which protocol, under which identity. Each probe in it
//! has a [`ProbeKey`] that is in the probe itself, survives in the first eight bytes that every ICMP
//! error quotes, and is never used twice in a trace:
//!
//! | probe | identity of the flow | key |
//! |---|---|---|
//! | UDP | source port | IP-ID and destination port |
//! | ICMP echo | identifier | IP-ID and sequence number |

pub mod craft;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::quoted::Quoted;
use crate::wire::{icmpv4, udp};

/// One datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// Where the network should carry it: the destination in its IP header.
    pub destination: IpAddr,
    /// The whole IP datagram, header included, in network byte order.
    pub datagram: &'a [u8],
}

/// What a probe asks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeType {
    /// A UDP datagram to a port on which nothing should listen.
    Udp,
    /// An ICMP echo request. rtrace reads these in recordings; it does not send them yet.
    IcmpEcho,
}

impl ProbeType {
    /// The protocol number in the IP header of such a probe.
    #[must_use]
    pub const fn protocol(self) -> u8 {
        match self {
            Self::Udp => ipv4::UDP,
            Self::IcmpEcho => ipv4::ICMP,
        }
    }
}

/// What all probes of a trace have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The prober's address.
    pub source: Ipv4Addr,
    /// The address that is traced.
    pub target: Ipv4Addr,
    /// What the probes ask with.
    pub probe: ProbeType,
    /// UDP: the source port. ICMP echo: the identifier.
    pub ident: u16,
}

/// What tells one probe of a flow from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeKey {
    /// Identification in the IPv4 header.
    pub ip_id: u16,
    /// UDP: the destination port. ICMP echo: the sequence number.
    pub selector: u16,
}

/// The flow and key of a datagram if it is a probe of any kind that rtrace knows.
///
/// Only first fragments qualify: the others carry no ports.
#[must_use]
pub fn recognise(header: &Ipv4Header, payload: &[u8]) -> Option<(Flow, ProbeKey)> {
    if header.fragment_offset != 0 {
        return None;
    }
    let (probe, ident, selector) = match header.protocol {
        ipv4::UDP => {
            let udp = udp::decode(payload).ok()?;
            (ProbeType::Udp, udp.source_port, udp.destination_port)
        }
        ipv4::ICMP => {
            let (icmp, _) = icmpv4::decode(payload).ok()?;
            if icmp.icmp_type != icmpv4::ECHO_REQUEST {
                return None;
            }
            let (identifier, sequence) = icmp.echo();
            (ProbeType::IcmpEcho, identifier, sequence)
        }
        _ => return None,
    };
    let flow = Flow { source: header.source, target: header.destination, probe, ident };
    Some((flow, ProbeKey { ip_id: header.id, selector }))
}

/// The flow and key of the probe that an ICMP error quotes.
#[must_use]
pub fn recognise_quoted(quoted: &Quoted<'_>) -> Option<(Flow, ProbeKey)> {
    recognise(&quoted.header, quoted.payload)
}

/// What a host that was reached says by the probe's own protocol: the selector of the probe that it
/// answers. `None` if the datagram is no answer within `flow`.
#[must_use]
pub fn answered_selector(flow: &Flow, header: &Ipv4Header, payload: &[u8]) -> Option<u16> {
    let back = header.source == flow.target && header.destination == flow.source;
    if !back || header.fragment_offset != 0 || header.protocol != flow.probe.protocol() {
        return None;
    }
    match flow.probe {
        ProbeType::Udp => {
            let udp = udp::decode(payload).ok()?;
            (udp.destination_port == flow.ident).then_some(udp.source_port)
        }
        ProbeType::IcmpEcho => {
            let (icmp, _) = icmpv4::decode(payload).ok()?;
            let (identifier, sequence) = icmp.echo();
            (icmp.icmp_type == icmpv4::ECHO_REPLY && identifier == flow.ident).then_some(sequence)
        }
    }
}
