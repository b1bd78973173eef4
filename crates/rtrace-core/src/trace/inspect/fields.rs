//! The fields of a datagram by their names: tables of where each is, by protocol.

use std::net::IpAddr;

use super::Value;
use crate::wire::ip::{self, IpHeader};
use crate::wire::tcp::{self, TcpOption};
use crate::wire::{Evidence, extension, ipv4, ipv6};

/// The octets that an ICMP error quotes, without what is appended to them.
#[must_use]
pub fn quote(datagram: &[u8]) -> Option<&[u8]> {
    let (header, payload) = ip::decode(datagram).ok()?;
    let family = header.family();
    let icmp = ip::icmp(family, payload).ok().filter(|icmp| header.is_icmp() && icmp.quotes)?;
    Some(match icmp.quote_words {
        Some(words) => extension::quoted_and_extension(icmp.body, words, family).0,
        None => icmp.body,
    })
}

/// The fields of a datagram, or of as much as is there of it, outermost first, by the names that
/// [`Difference`](super::Difference) has.
#[must_use]
pub fn fields(datagram: &[u8]) -> Vec<(&'static str, Value)> {
    let Ok((header, _)) = ip::decode(datagram) else { return Vec::new() };
    let body = datagram.get(header.header_len..).unwrap_or_default();
    extract(&header, datagram, body).filter_map(|(field, value)| Some((field, value?))).collect()
}

/// The fields of a quote, of as much as is there of it: of a reconstructed one those that the kernel reports as they were
/// quoted.
#[must_use]
pub fn quoted_fields(quote: &[u8], evidence: Evidence) -> Vec<(&'static str, Value)> {
    let mut all = fields(quote);
    all.retain(|(field, _)| is_known(field, evidence));
    all
}

/// Whether a quote shows what was quoted of this field. The kernel matches addresses, protocol and ports to a socket, and gives
/// what follows; the rest of a reconstructed quote is zero or, of UDP, that of the probe.
pub(super) fn is_known(field: &str, evidence: Evidence) -> bool {
    const REPORTED: [&str; 10] = [
        "protocol",
        "next header",
        SOURCE,
        DESTINATION,
        "source port",
        "destination port",
        PAYLOAD,
        "ICMP checksum",
        "identifier",
        "sequence number",
    ];
    evidence.is_captured() || REPORTED.contains(&field)
}

/// Every field that a datagram with this header has; `None` where it ends before.
pub(super) fn extract(
    header: &IpHeader,
    head: &[u8],
    body: &[u8],
) -> impl Iterator<Item = (&'static str, Option<Value>)> {
    let outer = if header.source.is_ipv4() { IPV4 } else { IPV6 };
    let outer = outer.iter().map(move |(field, extract)| (*field, extract(head)));
    outer.chain(body_fields(header).iter().map(move |(field, extract)| (*field, extract(body))))
}

/// The addresses that an IPv6 routing header names (RFC 8200 §4.4, RFC 8754 §2); none if there is no such header.
pub(super) fn route(datagram: &[u8]) -> Vec<IpAddr> {
    let Some(mut next) = datagram.get(6).copied().filter(|_| bits(datagram, 0, 1) >= Some(0x60))
    else {
        return Vec::new();
    };
    let mut rest = datagram.get(ipv6::HEADER_LEN..).unwrap_or_default();
    while [ipv6::HOP_BY_HOP, ipv6::DESTINATION_OPTIONS, ipv6::ROUTING].contains(&next) {
        let units = usize::from(rest.get(1).copied().unwrap_or_default());
        let Some((header, behind)) = rest.split_at_checked((units + 1) * 8) else { break };
        if next == ipv6::ROUTING {
            let (addresses, _) = header.get(8..).unwrap_or_default().as_chunks::<16>();
            return addresses.iter().map(|octets| IpAddr::from(*octets)).collect();
        }
        next = header.first().copied().unwrap_or(ipv6::NO_NEXT_HEADER);
        rest = behind;
    }
    Vec::new()
}

type Extract = fn(&[u8]) -> Option<Value>;

fn bits(octets: &[u8], at: usize, len: usize) -> Option<u64> {
    let octets = octets.get(at..at + len)?;
    Some(octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet)))
}

fn number(octets: &[u8], at: usize, len: usize) -> Option<Value> {
    bits(octets, at, len).map(Value::Number)
}

fn v4_address(octets: &[u8], at: usize) -> Option<Value> {
    let octets: &[u8; 4] = octets.get(at..)?.first_chunk()?;
    Some(Value::Address(IpAddr::from(*octets)))
}

fn v6_address(octets: &[u8], at: usize) -> Option<Value> {
    let octets: &[u8; 16] = octets.get(at..)?.first_chunk()?;
    Some(Value::Address(IpAddr::from(*octets)))
}

/// RFC 791 §3.1, RFC 2474, RFC 3168; without version and header length, TTL and checksum.
const IPV4: &[(&str, Extract)] = &[
    ("DSCP", |it| Some(Value::Number(bits(it, 1, 1)? >> 2))),
    ("ECN", |it| Some(Value::Number(bits(it, 1, 1)? & 3))),
    (TOTAL_LENGTH, |it| number(it, 2, 2)),
    (IDENTIFICATION, |it| number(it, 4, 2)),
    (FLAGS, |it| Some(Value::Number(bits(it, 6, 1)? >> 5))),
    (FRAGMENT_OFFSET, |it| Some(Value::Number(bits(it, 6, 2)? & 0x1fff))),
    ("protocol", |it| number(it, 9, 1)),
    (SOURCE, |it| v4_address(it, 12)),
    (DESTINATION, |it| v4_address(it, 16)),
];
/// RFC 8200 §3.
const IPV6: &[(&str, Extract)] = &[
    ("DSCP", |it| Some(Value::Number(bits(it, 0, 2)? >> 6 & 0x3f))),
    ("ECN", |it| Some(Value::Number(bits(it, 0, 2)? >> 4 & 3))),
    ("flow label", |it| Some(Value::Number(bits(it, 0, 4)? & 0xf_ffff))),
    (PAYLOAD_LENGTH, |it| number(it, 4, 2)),
    ("next header", |it| number(it, 6, 1)),
    (SOURCE, |it| v6_address(it, 8)),
    (DESTINATION, |it| v6_address(it, 24)),
];
/// RFC 768.
const UDP: &[(&str, Extract)] = &[
    ("source port", |it| number(it, 0, 2)),
    ("destination port", |it| number(it, 2, 2)),
    ("UDP length", |it| number(it, 4, 2)),
    ("UDP checksum", |it| number(it, 6, 2)),
    (PAYLOAD, |it| rest(it, 8)),
];
/// RFC 3828 §3.1.
const UDP_LITE: &[(&str, Extract)] = &[
    ("source port", |it| number(it, 0, 2)),
    ("destination port", |it| number(it, 2, 2)),
    ("checksum coverage", |it| number(it, 4, 2)),
    ("UDP-Lite checksum", |it| number(it, 6, 2)),
    (PAYLOAD, |it| rest(it, 8)),
];
/// RFC 9293 §3.1.
const TCP: &[(&str, Extract)] = &[
    ("source port", |it| number(it, 0, 2)),
    ("destination port", |it| number(it, 2, 2)),
    ("sequence number", |it| number(it, 4, 4)),
    ("acknowledgment number", |it| number(it, 8, 4)),
    ("data offset", |it| Some(Value::Number(bits(it, 12, 1)? >> 4))),
    ("control bits", |it| number(it, 13, 1)),
    ("window", |it| number(it, 14, 2)),
    ("TCP checksum", |it| number(it, 16, 2)),
    ("MSS", |it| mss(it).map(|mss| Value::Number(u64::from(mss)))),
    ("TCP options", |it| rest(it, 20)),
];
/// RFC 792, RFC 4443 §4.1.
const ECHO: &[(&str, Extract)] = &[
    ("ICMP checksum", |it| number(it, 2, 2)),
    ("identifier", |it| number(it, 4, 2)),
    ("sequence number", |it| number(it, 6, 2)),
    (PAYLOAD, |it| rest(it, 8)),
];
const OTHER: &[(&str, Extract)] = &[(PAYLOAD, |it| rest(it, 0))];

/// The name of the source address among fields.
pub const SOURCE: &str = "source address";
/// The name of the destination address.
pub const DESTINATION: &str = "destination address";
pub(super) const TOTAL_LENGTH: &str = "total length";
pub(super) const IDENTIFICATION: &str = "identification";
pub(super) const FLAGS: &str = "flags";
pub(super) const FRAGMENT_OFFSET: &str = "fragment offset";
pub(super) const PAYLOAD_LENGTH: &str = "payload length";
/// The names of the checksums that cover more than the IP header.
const CHECKSUMS: [&str; 4] = ["UDP checksum", "UDP-Lite checksum", "TCP checksum", "ICMP checksum"];
/// The names of fields that none of those covers: of all others the checksum has to change with them.
const NOT_COVERED: [&str; 8] = [
    "DSCP",
    "ECN",
    TOTAL_LENGTH,
    IDENTIFICATION,
    FLAGS,
    FRAGMENT_OFFSET,
    "flow label",
    PAYLOAD_LENGTH,
];
const PAYLOAD: &str = "payload";

/// Whether this is the name of a checksum: of UDP, UDP-Lite, TCP or ICMP.
#[must_use]
pub fn is_checksum(field: &str) -> bool {
    CHECKSUMS.contains(&field)
}

/// Whether this is the name of a field that source address translation replaces.
#[must_use]
pub fn is_of_source(field: &str) -> bool {
    [SOURCE, "source port", "identifier"].contains(&field)
}

/// The name of the checksum that a datagram with this header has besides its own.
pub(super) fn checksum_field(header: &IpHeader) -> Option<&'static str> {
    body_fields(header).iter().map(|(field, _)| *field).find(|field| is_checksum(field))
}

/// Whether the checksum depends on the field with this name.
pub(super) fn is_covered(field: &str) -> bool {
    !is_checksum(field) && !NOT_COVERED.contains(&field)
}

fn rest(octets: &[u8], at: usize) -> Option<Value> {
    octets.get(at..).filter(|rest| !rest.is_empty()).map(|rest| Value::Octets(rest.to_vec()))
}

/// The maximum segment size (RFC 9293 §3.7.1), as far as the octets reach.
fn mss(segment: &[u8]) -> Option<u16> {
    tcp::decode(segment).ok()?.options().find_map(|option| match option {
        TcpOption::MaximumSegmentSize(mss) => Some(mss),
        _ => None,
    })
}

fn body_fields(header: &IpHeader) -> &'static [(&'static str, Extract)] {
    match header.protocol {
        ipv4::UDP => UDP,
        ipv4::UDP_LITE => UDP_LITE,
        ipv4::TCP => TCP,
        _ if header.is_icmp() => ECHO,
        _ => OTHER,
    }
}
