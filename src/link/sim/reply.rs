//! The bytes that routers and hosts answer with.
//!
//! Everything in here is a function of the datagram that is answered: ICMP errors (RFC 792, RFC 1812
//! §4.3.2), echo replies, UDP datagrams and TCP segments with ports swapped, in IPv4 headers with
//! right checksums. [`damage`] and [`forge`] then do on purpose what no router should.

use std::net::Ipv4Addr;

use super::topology::{Forged, Malformed};
use crate::wire::checksum::checksum;
use crate::wire::icmpv4::{ECHO_REPLY, ECHO_REQUEST};
use crate::wire::ipv4::{self, ICMP, Ipv4Header, UDP};

/// Protocol number of TCP.
pub(super) const TCP: u8 = 6;

/// Length of the IPv4 headers written here.
const HEADER: usize = 20;

/// Where a protocol keeps its checksum, from the first octet after the IP header; and whether it is
/// computed over the pseudo-header too.
const CHECKSUMS: &[(u8, usize, bool)] = &[(ICMP, 2, false), (TCP, 16, true), (UDP, 6, true)];

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

/// The checksum of a transport message over the pseudo-header (RFC 768, RFC 9293 §3.1) where the
/// protocol wants one. Over a message with a right checksum this is 0.
fn sum(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> u16 {
    if !CHECKSUMS.iter().any(|(number, _, pseudo)| *number == protocol && *pseudo) {
        return checksum(message);
    }
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let (source, destination) = (source.octets(), destination.octets());
    checksum(&[&source, &destination, &[0, protocol][..], &length, message].concat())
}

/// Whether a host would accept this message: its checksum is right, or UDP without one, or of a
/// protocol that is not known here.
pub(super) fn intact(header: &Ipv4Header, message: &[u8]) -> bool {
    let unsummed = header.protocol == UDP && word(message, 6) == 0;
    let known = CHECKSUMS.iter().any(|(number, ..)| *number == header.protocol);
    unsummed || !known || sum(header.protocol, header.source, header.destination, message) == 0
}

/// Puts the right checksum into an IPv4 header that begins `datagram`.
pub(super) fn seal(datagram: &mut [u8]) {
    put(datagram, 10, &[0, 0]);
    let length = datagram.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let header = datagram.get(..length).unwrap_or(datagram);
    let right = checksum(header).to_be_bytes();
    put(datagram, 10, &right);
}

/// Replaces the source address of a datagram, and carries the change into the checksums of IP, UDP
/// and TCP (RFC 1624: `HC' = ~(~HC + ~m + m')`), as address translation does.
pub(super) fn translate(datagram: &mut [u8], header: &Ipv4Header, address: Ipv4Addr) {
    let old = header.source.octets().map(|octet| !octet);
    put(datagram, 12, &address.octets());
    seal(datagram);
    let summed =
        CHECKSUMS.iter().find(|(protocol, _, pseudo)| *protocol == header.protocol && *pseudo);
    if let (Some((protocol, offset, _)), 0) = (summed, header.fragment_offset) {
        let at = usize::from(header.header_len) + offset;
        let before = word(datagram, at);
        if *protocol != UDP || before != 0 {
            let after = checksum(&[&(!before).to_be_bytes(), &old[..], &address.octets()].concat());
            put(datagram, at, &after.to_be_bytes());
        }
    }
}

/// The IPv4 header of a reply; its length and checksums follow from what it carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: u8,
    pub(super) tos: u8,
    pub(super) id: u16,
    pub(super) ttl: u8,
}

impl Envelope {
    /// The datagram that carries `message`, whose checksum is filled in.
    pub(super) fn seal(&self, mut message: Vec<u8>) -> Vec<u8> {
        message.truncate(usize::from(u16::MAX) - HEADER);
        if let Some((_, offset, _)) = CHECKSUMS.iter().find(|(number, ..)| *number == self.protocol)
        {
            put(&mut message, *offset, &[0, 0]);
            let right = match sum(self.protocol, self.source, self.destination, &message) {
                0 if self.protocol == UDP => 0xffff, // RFC 768: 0 would mean "none"
                right => right,
            };
            put(&mut message, *offset, &right.to_be_bytes());
        }
        let length = u16::try_from(HEADER + message.len()).unwrap_or(u16::MAX);
        let mut datagram = vec![0; HEADER];
        put(&mut datagram, 0, &[0x45, self.tos]);
        put(&mut datagram, 2, &length.to_be_bytes());
        put(&mut datagram, 4, &self.id.to_be_bytes());
        put(&mut datagram, 8, &[self.ttl, self.protocol]);
        put(&mut datagram, 12, &self.source.octets());
        put(&mut datagram, 16, &self.destination.octets());
        seal(&mut datagram);
        datagram.extend(message);
        datagram
    }
}

/// An ICMP error without its checksum: type, code, bytes 4 to 7, and the quote.
pub(super) fn error(icmp_type: u8, code: u8, rest: [u8; 4], quote: &[u8]) -> Vec<u8> {
    [&[icmp_type, code, 0, 0], &rest[..], quote].concat()
}

/// What a host sends back for an echo request; `None` for any other ICMP message.
pub(super) fn echo(message: &[u8]) -> Option<Vec<u8>> {
    let mut reply = message.to_vec();
    let (8.., Some(&ECHO_REQUEST)) = (message.len(), message.first()) else { return None };
    put(&mut reply, 0, &[ECHO_REPLY]);
    Some(reply)
}

/// What an open UDP port sends back: the same payload with the ports swapped.
pub(super) fn udp(message: &[u8]) -> Option<Vec<u8>> {
    let [a, b, c, d, ..] = *message.first_chunk::<8>()?;
    let mut reply = message.to_vec();
    put(&mut reply, 0, &[c, d, a, b]);
    Some(reply)
}

/// What a TCP port sends back (RFC 9293 §3.10.7): SYN and ACK from an open one for a SYN, a reset
/// otherwise; nothing for a reset.
pub(super) fn tcp(message: &[u8], open: bool) -> Option<Vec<u8>> {
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;
    let head = message.first_chunk::<20>()?;
    let flags = head[13];
    if flags & RST != 0 {
        return None;
    }
    let sequence = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let answer = if open && flags & SYN != 0 { SYN | ACK } else { RST | ACK };
    let mut reply = vec![0; 20];
    put(&mut reply, 0, &[head[2], head[3], head[0], head[1]]);
    put(&mut reply, 8, &sequence.wrapping_add(1).to_be_bytes());
    put(&mut reply, 12, &[0x50, answer, 0xff, 0xff]);
    Some(reply)
}

/// Damages a finished reply.
pub(super) fn damage(kind: Malformed, reply: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let quote = HEADER + 8;
    match kind {
        Malformed::Truncated => {
            reply.truncate(quote + 4);
            let length = u16::try_from(reply.len()).unwrap_or(u16::MAX);
            put(reply, 2, &length.to_be_bytes());
            seal(reply);
            reseal_icmp(reply);
        }
        Malformed::BadChecksum => {
            let protocol = reply.get(9).copied();
            let entry = CHECKSUMS.iter().find(|(number, ..)| Some(*number) == protocol);
            let at = HEADER + entry.map_or(2, |(_, offset, _)| *offset);
            let wrong = word(reply, at) ^ 0x5a5a;
            put(reply, at, &wrong.to_be_bytes());
        }
        Malformed::LyingIhl | Malformed::ZeroLength if reply.get(9) != Some(&ICMP) => {}
        Malformed::LyingIhl => {
            put(reply, quote, &[0x4f]);
            reseal_icmp(reply);
        }
        Malformed::ZeroLength => {
            put(reply, quote + 2, &[0, 0]);
            reseal_icmp(reply);
        }
        Malformed::LyingLength => {
            let length = word(reply, 2).saturating_add(64);
            put(reply, 2, &length.to_be_bytes());
            seal(reply);
        }
        Malformed::Garbage => reply.iter_mut().skip(HEADER).for_each(|octet| *octet = rng.u8(..)),
    }
}

/// Makes the ICMP checksum right again, so that only the damage that was meant is there.
fn reseal_icmp(reply: &mut [u8]) {
    if reply.get(9) == Some(&ICMP) {
        put(reply, HEADER + 2, &[0, 0]);
        let right = checksum(reply.get(HEADER..).unwrap_or_default()).to_be_bytes();
        put(reply, HEADER + 2, &right);
    }
}

/// The quote of a probe that was never sent, but for one field equal to `quote`.
pub(super) fn forge(field: Forged, quote: &mut [u8], rng: &mut fastrand::Rng) {
    let transport = ipv4::decode(quote).map_or(HEADER, |(header, _)| header.header_len.into());
    let protocol = quote.get(9).copied();
    // XOR with what is never zero: the forgery never hits the truth by chance.
    let mut spoil = |quote: &mut [u8], at| {
        let wrong = word(quote, at) ^ rng.u16(1..);
        put(quote, at, &wrong.to_be_bytes());
    };
    match field {
        Forged::Ports if protocol == Some(ICMP) => {
            spoil(quote, transport + 4);
            spoil(quote, transport + 6);
        }
        Forged::Ports => {
            spoil(quote, transport);
            spoil(quote, transport + 2);
        }
        Forged::Id => {
            spoil(quote, 4);
            let entry = CHECKSUMS.iter().find(|(number, ..)| Some(*number) == protocol);
            spoil(quote, transport + entry.map_or(2, |(_, offset, _)| *offset));
        }
        Forged::Destination => spoil(quote, 18),
        Forged::Source => spoil(quote, 14),
    }
    seal(quote);
}
