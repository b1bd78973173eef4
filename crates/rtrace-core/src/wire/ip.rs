//! An IP datagram of either version, in the words that both share.
//!
//! IPv6 says "hop limit", "traffic class" and "next header" for what IPv4 calls TTL, type of service
//! and protocol; here the older names stand for both. What only one version has is an `Option`.

use std::net::IpAddr;

use super::extension::Family;
use super::{Layer, WireError, array, checksum, icmpv4, icmpv6, ipv4, ipv6};

/// The fields of an IP header that rtrace works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IpHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address; of the same family as the source.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Length of the datagram in bytes as the header tells it.
    pub total_len: usize,
    /// Length of the header in bytes, with options or extension headers.
    pub header_len: usize,
    /// IPv4: identification.
    pub id: Option<u16>,
    /// IPv4: the Don't Fragment flag; IPv6 always behaves so.
    pub dont_fragment: bool,
    /// IPv6: flow label.
    pub flow_label: Option<u32>,
    /// Whether the payload begins with the header of its protocol, and is not a later fragment.
    pub is_first: bool,
    /// Whether more fragments follow.
    pub more_fragments: bool,
}

impl IpHeader {
    /// The version of IP.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Whether the payload is of the ICMP of this version.
    #[must_use]
    pub fn is_icmp(&self) -> bool {
        self.protocol == icmp_protocol(self.family())
    }
}

/// The protocol number of a family's ICMP.
#[must_use]
pub const fn icmp_protocol(family: Family) -> u8 {
    match family {
        Family::V4 => ipv4::ICMP,
        Family::V6 => ipv6::ICMPV6,
    }
}

/// The type of a family's echo request.
#[must_use]
pub const fn echo_request(family: Family) -> u8 {
    match family {
        Family::V4 => icmpv4::ECHO_REQUEST,
        Family::V6 => icmpv6::ECHO_REQUEST,
    }
}

/// The type of a family's time exceeded.
#[must_use]
pub const fn time_exceeded(family: Family) -> u8 {
    match family {
        Family::V4 => icmpv4::TIME_EXCEEDED,
        Family::V6 => icmpv6::TIME_EXCEEDED,
    }
}

/// The type of a family's destination unreachable.
#[must_use]
pub const fn unreachable(family: Family) -> u8 {
    match family {
        Family::V4 => icmpv4::UNREACHABLE,
        Family::V6 => icmpv6::UNREACHABLE,
    }
}

/// The header, and what follows it: as much as `bytes` hold of it, without link-layer padding.
///
/// # Errors
/// As [`ipv4::decode`] and [`ipv6::decode`] have them; a version that is neither is an IPv4 error.
pub fn decode(bytes: &[u8]) -> Result<(IpHeader, &[u8]), WireError> {
    let [first] = array(bytes, 0, Layer::Ipv4)?;
    if first >> 4 == 6 {
        let (header, payload) = ipv6::decode(bytes)?;
        return Ok((header.into(), payload));
    }
    let (header, payload) = ipv4::decode(bytes)?;
    Ok((header.into(), payload))
}

impl From<ipv4::Ipv4Header> for IpHeader {
    fn from(header: ipv4::Ipv4Header) -> Self {
        Self {
            source: IpAddr::V4(header.source),
            destination: IpAddr::V4(header.destination),
            ttl: header.ttl,
            tos: header.tos,
            protocol: header.protocol,
            total_len: usize::from(header.total_len),
            header_len: usize::from(header.header_len),
            id: Some(header.id),
            dont_fragment: header.dont_fragment,
            flow_label: None,
            is_first: header.fragment_offset == 0,
            more_fragments: header.more_fragments,
        }
    }
}

impl From<ipv6::Ipv6Header> for IpHeader {
    fn from(header: ipv6::Ipv6Header) -> Self {
        Self {
            source: IpAddr::V6(header.source),
            destination: IpAddr::V6(header.destination),
            ttl: header.hop_limit,
            tos: header.traffic_class,
            protocol: header.protocol,
            total_len: ipv6::HEADER_LEN + usize::from(header.payload_len),
            header_len: header.header_len,
            id: None,
            dont_fragment: true,
            flow_label: Some(header.flow_label),
            is_first: header.fragment.is_none_or(|fragment| fragment.offset == 0),
            more_fragments: header.fragment.is_some_and(|fragment| fragment.more),
        }
    }
}

/// An ICMP message of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IcmpMessage<'a> {
    /// The family whose types and codes these are.
    pub family: Family,
    /// The message type.
    pub icmp_type: u8,
    /// The code, whose meaning depends on the type.
    pub code: u8,
    /// Identifier and sequence number, in an echo request.
    pub echo_request: Option<(u16, u16)>,
    /// Identifier and sequence number, in an echo reply.
    pub echo_reply: Option<(u16, u16)>,
    /// Whether it carries the datagram that caused it.
    pub quotes: bool,
    /// The length field of RFC 4884, in messages that may have something appended.
    pub quote_words: Option<u8>,
    /// The MTU of the next hop in bytes, in messages that report one.
    pub mtu: Option<u32>,
    /// What follows the eight bytes of the header.
    pub body: &'a [u8],
}

/// The ICMP message in the payload of a datagram of this family.
///
/// # Errors
/// When fewer than 8 bytes are there.
pub fn icmp(family: Family, payload: &[u8]) -> Result<IcmpMessage<'_>, WireError> {
    let (header, body) = match family {
        Family::V4 => icmpv4::decode(payload)?,
        Family::V6 => icmpv6::decode(payload)?,
    };
    let (request, reply, quotes, quote_words, mtu) = match family {
        Family::V4 => {
            let kind = (icmpv4::UNREACHABLE, icmpv4::CODE_FRAGMENTATION);
            let is_about_mtu = (header.icmp_type, header.code) == kind;
            let mtu = is_about_mtu.then(|| u32::from(icmpv4::next_hop_mtu(&header)));
            let (quotes, words) = (icmpv4::quotes(&header), icmpv4::quote_words(&header));
            (icmpv4::ECHO_REQUEST, icmpv4::ECHO_REPLY, quotes, words, mtu)
        }
        Family::V6 => {
            let is_about_mtu = header.icmp_type == icmpv6::PACKET_TOO_BIG;
            let mtu = is_about_mtu.then(|| icmpv6::next_hop_mtu(&header));
            let (quotes, words) = (icmpv6::quotes(&header), icmpv6::quote_words(&header));
            (icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY, quotes, words, mtu)
        }
    };
    let echo = |icmp_type| (header.icmp_type == icmp_type).then(|| header.echo());
    Ok(IcmpMessage {
        family,
        icmp_type: header.icmp_type,
        code: header.code,
        echo_request: echo(request),
        echo_reply: echo(reply),
        quotes,
        quote_words,
        mtu,
        body,
    })
}

/// Whether the checksum of a whole ICMP message (header and body, `payload`) is right. That of
/// `ICMPv6` covers the addresses too (RFC 4443 §2.3).
#[must_use]
pub fn icmp_checksum_is_right(header: &IpHeader, payload: &[u8]) -> bool {
    match header.family() {
        Family::V4 => checksum::checksum(payload) == 0,
        Family::V6 => {
            checksum::transport(header.source, header.destination, ipv6::ICMPV6, payload) == 0
        }
    }
}
