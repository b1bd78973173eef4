//! What differs between IPv4 and IPv6, as data: the rest of the simulation does not tell them apart.
//!
//! [`Rules`] say where header fields lie and which ICMP messages mean what (RFC 791, 792 and 1812;
//! RFC 8200 and 4443); [`Dual`] holds up to one address of each family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::extension::Family;
use crate::wire::{icmpv4, icmpv6, ipv4, ipv6};

/// Up to one address of each family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dual {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl Dual {
    /// The address of this family.
    #[must_use]
    pub fn of(self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// This, and the addresses of `other` where this has none.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { v4: self.v4.or(other.v4), v6: self.v6.or(other.v6) }
    }

    /// Whether there is no address at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The addresses that exist.
    pub(super) fn iter(self) -> impl Iterator<Item = IpAddr> {
        [Family::V4, Family::V6].into_iter().filter_map(move |family| self.of(family))
    }
}

impl From<IpAddr> for Dual {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v4: Some(v4), v6: None },
            IpAddr::V6(v6) => Self { v4: None, v6: Some(v6) },
        }
    }
}

impl From<Ipv4Addr> for Dual {
    fn from(v4: Ipv4Addr) -> Self {
        Self { v4: Some(v4), v6: None }
    }
}

impl From<Ipv6Addr> for Dual {
    fn from(v6: Ipv6Addr) -> Self {
        Self { v4: None, v6: Some(v6) }
    }
}

impl From<(Ipv4Addr, Ipv6Addr)> for Dual {
    fn from((v4, v6): (Ipv4Addr, Ipv6Addr)) -> Self {
        Self { v4: Some(v4), v6: Some(v6) }
    }
}

/// Type and code of an ICMP message.
pub(super) type Word = (u8, u8);

/// What is peculiar to a family. Offsets count from the first octet of the IP header.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) family: Family,
    /// Length of a header without options or extension headers.
    pub(super) header_len: usize,
    pub(super) length_at: usize,
    /// What the length field does not count.
    pub(super) length_excludes: usize,
    /// The field that tells two packets of a flow apart: identification, or the low half of the
    /// flow label.
    pub(super) id_at: usize,
    pub(super) ttl_at: usize,
    pub(super) protocol_at: usize,
    pub(super) source_at: usize,
    pub(super) destination_at: usize,
    pub(super) address_len: usize,
    /// What makes a quoted header lie about its length: in IPv6, hop-by-hop options that are none.
    pub(super) lie: (usize, u8),
    /// The longest ICMP error, IP header included (RFC 1812 §4.3.2.3, RFC 4443 §2.4 (c)).
    pub(super) longest_error: usize,
    /// Type of service of errors: internetwork control (RFC 1812 §4.3.2.5), or nothing special.
    pub(super) error_tos: u8,
    /// Protocol number of ICMP, and whether its checksum covers the pseudo-header.
    pub(super) icmp: u8,
    pub(super) icmp_pseudo: bool,
    pub(super) echo_request: u8,
    pub(super) echo_reply: u8,
    pub(super) unreachable: u8,
    pub(super) host: Word,
    pub(super) port: Word,
    pub(super) too_big: Word,
    pub(super) expired: Word,
    pub(super) reassembly: Word,
    pub(super) parameter: Word,
    /// The answer to a protocol that the host does not know.
    pub(super) protocol: Word,
    /// Redirect and source quench, where routers have them as errors.
    pub(super) redirect: Option<Word>,
    pub(super) quench: Option<Word>,
    /// Whether ICMP messages of this type are errors, about which there must be none.
    pub(super) is_error: fn(u8) -> bool,
    /// Which of bytes 4 to 7 a pointer to an octet of the quote is written to, if it is one octet.
    pub(super) pointer_at: usize,
    /// Types of the errors to which something can be appended, and which of their bytes 4 to 7 tells
    /// how long the quote is (RFC 4884 §4).
    pub(super) multipart: &'static [u8],
    pub(super) quote_length_at: usize,
}

const V4: Rules = Rules {
    family: Family::V4,
    header_len: 20,
    length_at: 2,
    length_excludes: 0,
    id_at: 4,
    ttl_at: 8,
    protocol_at: 9,
    source_at: 12,
    destination_at: 16,
    address_len: 4,
    lie: (0, 0x4f),
    longest_error: 576,
    error_tos: 0xc0,
    icmp: ipv4::ICMP,
    icmp_pseudo: false,
    echo_request: icmpv4::ECHO_REQUEST,
    echo_reply: icmpv4::ECHO_REPLY,
    unreachable: icmpv4::UNREACHABLE,
    host: (icmpv4::UNREACHABLE, 1),
    port: (icmpv4::UNREACHABLE, icmpv4::CODE_PORT),
    too_big: (icmpv4::UNREACHABLE, icmpv4::CODE_FRAGMENTATION),
    expired: (icmpv4::TIME_EXCEEDED, 0),
    reassembly: (icmpv4::TIME_EXCEEDED, 1),
    parameter: (icmpv4::PARAMETER_PROBLEM, 0),
    protocol: (icmpv4::UNREACHABLE, icmpv4::CODE_PROTOCOL),
    redirect: Some((icmpv4::REDIRECT, 1)),
    quench: Some((icmpv4::SOURCE_QUENCH, 0)),
    is_error: |icmp_type| matches!(icmp_type, 3 | 4 | 5 | 11 | 12),
    pointer_at: 0,
    multipart: &[icmpv4::UNREACHABLE, icmpv4::TIME_EXCEEDED, icmpv4::PARAMETER_PROBLEM],
    quote_length_at: 1,
};

const V6: Rules = Rules {
    family: Family::V6,
    header_len: ipv6::HEADER_LEN,
    length_at: 4,
    length_excludes: ipv6::HEADER_LEN,
    id_at: 2,
    ttl_at: 7,
    protocol_at: 6,
    source_at: 8,
    destination_at: 24,
    address_len: 16,
    lie: (6, ipv6::HOP_BY_HOP),
    longest_error: 1280,
    error_tos: 0,
    icmp: ipv6::ICMPV6,
    icmp_pseudo: true,
    echo_request: icmpv6::ECHO_REQUEST,
    echo_reply: icmpv6::ECHO_REPLY,
    unreachable: icmpv6::UNREACHABLE,
    host: (icmpv6::UNREACHABLE, 3),
    port: (icmpv6::UNREACHABLE, icmpv6::CODE_PORT),
    too_big: (icmpv6::PACKET_TOO_BIG, 0),
    expired: (icmpv6::TIME_EXCEEDED, 0),
    reassembly: (icmpv6::TIME_EXCEEDED, 1),
    parameter: (icmpv6::PARAMETER_PROBLEM, 0),
    protocol: (icmpv6::PARAMETER_PROBLEM, icmpv6::CODE_NEXT_HEADER),
    redirect: None, // part of neighbour discovery (RFC 4861 §4.5), and no error
    quench: None,
    is_error: |icmp_type| icmp_type < 128,
    pointer_at: 3,
    multipart: &[icmpv6::UNREACHABLE, icmpv6::TIME_EXCEEDED],
    quote_length_at: 0,
};

impl Rules {
    /// The rules of this family.
    pub(super) fn of(family: Family) -> &'static Self {
        match family {
            Family::V4 => &V4,
            Family::V6 => &V6,
        }
    }

    /// The rules by which a datagram's first octet says that it goes.
    pub(super) fn for_datagram(datagram: &[u8]) -> Option<&'static Self> {
        match datagram.first()? >> 4 {
            4 => Some(&V4),
            6 => Some(&V6),
            _ => None,
        }
    }

    /// The rules for this address.
    pub(super) fn for_address(address: IpAddr) -> &'static Self {
        Self::of(Family::of(address))
    }
}

/// The octets of an address.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
