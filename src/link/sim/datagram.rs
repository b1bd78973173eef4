//! IP datagrams of either family: their headers read as one type, written and changed in place.
//!
//! Nothing in here depends on which router does it; what depends on the family is in
//! [`Rules`](super::family::Rules).

use std::net::IpAddr;

use super::family::{Rules, octets};
use super::node::Rewrite;
use crate::wire::checksum::{checksum, transport, udp_lite};
use crate::wire::extension::Family;
use crate::wire::ip;
use crate::wire::ipv4::{TCP, UDP, UDP_LITE};

/// Length of an ICMP header.
pub(super) const ICMP_HEADER: usize = 8;

/// Where transport protocols keep their checksum, from the first octet of their header. All of them
/// cover the pseudo-header.
const CHECKSUMS: &[(u8, usize)] = &[(TCP, 16), (UDP, 6), (UDP_LITE, 6)];

/// What the simulation wants to know of a datagram's headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) rules: &'static Rules,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) ttl: u8,
    /// Length of the headers before the transport's.
    pub(super) len: usize,
    /// Length of the datagram as the header tells it.
    pub(super) total_len: usize,
    /// Whether it is part of a datagram, and whether a later part than the first.
    pub(super) fragment: bool,
    pub(super) later_fragment: bool,
    /// Whether a router may cut it up.
    pub(super) divisible: bool,
    /// 0 in IPv4.
    pub(super) flow_label: u32,
}

impl Header {
    /// The header of this datagram, if it has one.
    pub(super) fn decode(datagram: &[u8]) -> Option<Self> {
        let (header, _) = ip::decode(datagram).ok()?;
        Some(Self {
            rules: Rules::of(header.family()),
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            ttl: header.ttl,
            len: header.header_len,
            total_len: header.total_len,
            fragment: header.more_fragments || !header.is_first,
            later_fragment: !header.is_first,
            divisible: !header.dont_fragment,
            flow_label: header.flow_label.unwrap_or(0),
        })
    }

    /// Whether a host would accept this message: its checksum is right, or UDP over IPv4 without
    /// one, or of a protocol that is not known here.
    pub(super) fn accepts(&self, message: &[u8]) -> bool {
        let unsummed = self.protocol == UDP && word(message, 6) == 0;
        if checksum_at(self.rules, self.protocol).is_none() {
            return true;
        }
        if unsummed {
            return self.rules.family == Family::V4; // RFC 8200 §8.1
        }
        sum(self.protocol, self.source, self.destination, message) == Some(0)
    }
}

/// Writes `bytes` at `offset`, as far as there is room.
pub(super) fn put(buffer: &mut [u8], offset: usize, bytes: &[u8]) {
    if let Some(room) = buffer.get_mut(offset..) {
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

/// The two octets at `offset`, or 0 past the end.
pub(super) fn word(buffer: &[u8], offset: usize) -> u16 {
    let pair = buffer.get(offset..).and_then(<[u8]>::first_chunk);
    pair.map_or(0, |pair| u16::from_be_bytes(*pair))
}

/// Where a message of this protocol keeps its checksum.
pub(super) fn checksum_at(rules: &Rules, protocol: u8) -> Option<usize> {
    let transport = CHECKSUMS.iter().find(|(number, _)| *number == protocol);
    transport.map(|(_, at)| *at).or((protocol == rules.icmp).then_some(2))
}

/// The checksum of a message, over the pseudo-header where the protocol wants it. Over a message with
/// a right checksum this is 0. `None` if it says that it covers what cannot be.
fn sum(protocol: u8, source: IpAddr, destination: IpAddr, message: &[u8]) -> Option<u16> {
    let rules = Rules::for_address(source);
    if protocol == rules.icmp && !rules.icmp_pseudo {
        return Some(checksum(message));
    }
    match protocol {
        UDP_LITE => udp_lite(source, destination, message),
        _ => Some(transport(source, destination, protocol, message)),
    }
}

/// Puts the right checksum into the header that begins a datagram; IPv6 has none.
pub(super) fn seal(datagram: &mut [u8]) {
    let Some(first) = datagram.first().filter(|first| **first >> 4 == 4) else { return };
    let length = usize::from(first & 0x0f) * 4;
    put(datagram, 10, &[0, 0]);
    let header = datagram.get(..length).unwrap_or(datagram);
    let right = checksum(header).to_be_bytes();
    put(datagram, 10, &right);
}

/// Puts the right checksum into a message.
pub(super) fn seal_message(
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    message: &mut [u8],
) -> Option<()> {
    let at = checksum_at(Rules::for_address(source), protocol)?;
    put(message, at, &[0, 0]);
    let right = match sum(protocol, source, destination, message)? {
        0 if [UDP, UDP_LITE].contains(&protocol) => 0xffff, // RFC 768: 0 would mean "none"
        right => right,
    };
    put(message, at, &right.to_be_bytes());
    Some(())
}

/// Replaces the source address of a datagram, as address translation does.
pub(super) fn translate(datagram: &mut [u8], header: &Header, address: IpAddr) {
    put(datagram, header.rules.source_at, &octets(address));
    seal(datagram);
    carry(datagram, header, true, (&octets(header.source), &octets(address)));
}

/// Where the source port or identifier is, from the first octet of what a datagram carries.
pub(super) fn port_at(header: &Header) -> Option<usize> {
    let at = match header.protocol {
        UDP | UDP_LITE | TCP => Some(0),
        icmp if icmp == header.rules.icmp => Some(4),
        _ => None,
    };
    at.filter(|_| !header.later_fragment)
}

/// Adds `shift` to the source port or identifier of a datagram, and gives what it was; does nothing if that is 0.
pub(super) fn translate_port(datagram: &mut [u8], header: &Header, shift: u16) -> Option<u16> {
    let at = header.len + port_at(header).filter(|_| shift != 0)?;
    let before = word(datagram, at);
    let after = before.wrapping_add(shift).to_be_bytes();
    put(datagram, at, &after);
    carry(datagram, header, false, (&before.to_be_bytes(), &after));
    Some(before)
}

/// Replaces whatever fields `rewrite` says, and what follows from them.
pub(super) fn rewrite(datagram: &mut [u8], header: &Header, rewrite: Rewrite) {
    let rules = header.rules;
    if let Some(id) = rewrite.id.filter(|_| rules.family == Family::V4) {
        put(datagram, rules.id_at, &id.to_be_bytes());
    }
    let same_family = |it: &IpAddr| it.is_ipv4() == header.destination.is_ipv4();
    if let Some(address) = rewrite.destination.filter(same_family) {
        put(datagram, rules.destination_at, &octets(address));
        carry(datagram, header, true, (&octets(header.destination), &octets(address)));
    }
    let ports = [UDP, UDP_LITE, TCP].contains(&header.protocol) && !header.later_fragment;
    if let Some(port) = rewrite.port.filter(|_| ports) {
        let at = header.len + 2;
        let before = word(datagram, at).to_be_bytes();
        put(datagram, at, &port.to_be_bytes());
        carry(datagram, header, false, (&before, &port.to_be_bytes()));
    }
    seal(datagram);
}

/// Carries a change of octets, of the pseudo-header or of the message, into the checksum of what a datagram carries
/// (RFC 1624: `HC' = ~(~HC + ~m + m')`).
fn carry(datagram: &mut [u8], header: &Header, pseudo: bool, (old, new): (&[u8], &[u8])) {
    let rules = header.rules;
    let covered = !pseudo || header.protocol != rules.icmp || rules.icmp_pseudo;
    let summed = checksum_at(rules, header.protocol).filter(|_| covered && !header.later_fragment);
    if let Some(offset) = summed {
        let at = header.len + offset;
        let before = word(datagram, at);
        if header.protocol != UDP || before != 0 {
            let old: Vec<_> = old.iter().map(|octet| !octet).collect();
            let changed = [&(!before).to_be_bytes(), &old[..], new].concat();
            put(datagram, at, &checksum(&changed).to_be_bytes());
        }
    }
}

/// The IP header of a reply; its length and checksums follow from what it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    /// Of the same family as the destination.
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) tos: u8,
    /// IPv4 only.
    pub(super) id: u16,
    pub(super) ttl: u8,
}

impl Envelope {
    /// The datagram that carries `message`, whose checksum is filled in.
    pub(super) fn seal(&self, mut message: Vec<u8>) -> Vec<u8> {
        let rules = Rules::for_address(self.source);
        message.truncate(usize::from(u16::MAX) - rules.header_len);
        seal_message(self.protocol, self.source, self.destination, &mut message);
        let counted = rules.header_len - rules.length_excludes + message.len();
        let length = u16::try_from(counted).unwrap_or(u16::MAX);
        let mut datagram = vec![0; rules.header_len];
        match rules.family {
            Family::V4 => {
                put(&mut datagram, 0, &[0x45, self.tos]);
                put(&mut datagram, rules.id_at, &self.id.to_be_bytes());
            }
            Family::V6 => put(&mut datagram, 0, &[0x60 | self.tos >> 4, self.tos << 4]),
        }
        put(&mut datagram, rules.length_at, &length.to_be_bytes());
        put(&mut datagram, rules.ttl_at, &[self.ttl]);
        put(&mut datagram, rules.protocol_at, &[self.protocol]);
        put(&mut datagram, rules.source_at, &octets(self.source));
        put(&mut datagram, rules.destination_at, &octets(self.destination));
        seal(&mut datagram);
        datagram.extend(message);
        datagram
    }
}
