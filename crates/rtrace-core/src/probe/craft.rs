//! From a probe to the bytes of its datagram, by pnet's packet types.
//!
//! A datagram is an IP header, the header of the probe's protocol, and a filling. One field tells the
//! probe from the others (see the table in [`probe`](super)); every checksum is right.

use std::net::IpAddr;

use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpCode, IcmpType};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::{MutableTcpPacket, TcpFlags};
use pnet_packet::udp::MutableUdpPacket;

use super::secret::{self, tail_len};
use super::{Flow, FlowMode, ProbeType};
use crate::wire::Evidence;
use crate::wire::checksum::{checksum, plus, transport};
use crate::wire::extension::Family;
use crate::wire::ip;

/// The port of DNS: probes to it carry a query.
pub const DNS_PORT: u16 = 53;
/// The port of HTTP, which TCP probes go to by default.
pub const HTTP_PORT: u16 = 80;

const IPV4_HEADER: u16 = 20;
const IPV6_HEADER: u16 = 40;
const UDP_HEADER: u16 = 8;
const TCP_HEADER: u16 = 20;
/// Bytes of the options of a SYN.
const SYN_OPTIONS: u16 = 20;
/// Bytes of the number that a payload carries where nothing else tells probes apart.
const MARK: u16 = 2;
/// Bytes of a DNS query for the root's name servers.
const DNS_QUERY: u16 = 17;
/// The longest segment that we would take: Ethernet's MTU less the headers.
const MSS: u16 = 1_460;

/// One probe.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct ProbeSpec {
    /// The flow of the trace that it belongs to.
    pub flow: Flow,
    /// The fields that stay the same among the probes of the trace.
    pub mode: FlowMode,
    /// The number of the probe in its round, from 0, which ports follow.
    pub number: u32,
    /// The number of the probe over all rounds, from 0, which identifies it where ports do not.
    pub serial: u32,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Whether to set the Don't Fragment flag (IPv4).
    pub dont_fragment: bool,
    /// Flow label (IPv6).
    pub flow_label: u32,
    /// Length of the whole datagram in bytes, at least [`min_len`].
    pub len: u16,
    /// Destination port of the first probe.
    pub first_port: u16,
    /// The number of its flow among many constant flows that no port distinguishes; 0 is the usual flow.
    pub flow_number: u16,
    /// The first value of numbers that differ from run to run: the IP-ID and, without a key, TCP sequence numbers and
    /// DNS ids.
    pub first_id: u16,
    /// The random key that only the sender of this run knows: see [`Secret`](super::Secret).
    pub key: Option<u64>,
    /// What the frames of the run will be. Where replies are reconstructed, the kernel chooses the IP-ID.
    pub evidence: Evidence,
}

impl ProbeSpec {
    /// Whether the probe has an IP-ID of its own, which identifies it.
    #[must_use]
    pub fn has_ip_id(&self) -> bool {
        self.flow.family() == Family::V4 && self.evidence.is_captured()
    }
}

/// The length of a probe's IP header, in bytes (RFC 791 §3.1, RFC 8200 §3).
#[must_use]
pub const fn ip_header_len(family: Family) -> u16 {
    match family {
        Family::V4 => IPV4_HEADER,
        Family::V6 => IPV6_HEADER,
    }
}

/// The shortest datagram of a probe of this type, in bytes.
#[must_use]
pub const fn min_len(family: Family, probe: ProbeType, mode: FlowMode, port: u16) -> u16 {
    let body = match (probe, mode) {
        (ProbeType::Udp | ProbeType::IcmpEcho, FlowMode::Classic | FlowMode::Dublin)
        | (ProbeType::Protocol(_), _) => UDP_HEADER,
        (ProbeType::UdpFixed | ProbeType::UdpLite, _) if port == DNS_PORT => UDP_HEADER + DNS_QUERY,
        (ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite | ProbeType::IcmpEcho, _) => {
            UDP_HEADER + MARK
        }
        (ProbeType::TcpSyn, _) => TCP_HEADER + SYN_OPTIONS,
        (ProbeType::TcpAck, _) => TCP_HEADER,
    };
    ip_header_len(family) + body
}

/// The length of a probe's headers, in bytes, which some tools do not count as its size.
#[must_use]
pub const fn headers_len(family: Family, probe: ProbeType) -> u16 {
    ip_header_len(family)
        + match probe {
            ProbeType::TcpSyn => TCP_HEADER + SYN_OPTIONS,
            ProbeType::TcpAck => TCP_HEADER,
            ProbeType::Protocol(_) => 0,
            _ => UDP_HEADER,
        }
}

/// The default length of a probe of this type: traceroute's 60 bytes (IPv6: 80), and for TCP
/// its headers, since a payload would not be that of a real client.
#[must_use]
pub const fn default_len(family: Family, probe: ProbeType) -> u16 {
    let body = match probe {
        ProbeType::TcpAck => TCP_HEADER,
        _ => TCP_HEADER + SYN_OPTIONS,
    };
    ip_header_len(family) + body
}

/// The length of a probe's datagram in bytes: no later one of the trace is shorter.
#[must_use]
pub fn len(spec: &ProbeSpec) -> u16 {
    let family = spec.flow.family();
    let grows =
        spec.flow.probe == ProbeType::Udp && spec.mode == FlowMode::Dublin && family == Family::V6;
    let extra = if grows { u16::try_from(spec.number).unwrap_or(u16::MAX) } else { 0 };
    let least = min_len(family, spec.flow.probe, spec.mode, spec.first_port);
    let mark = if is_told_by_checksum(spec) { MARK } else { 0 };
    spec.len.max(least.max(ip_header_len(family) + UDP_HEADER + mark)).saturating_add(extra)
}

/// Ports begin again in every round. Without an IP-ID, and where it was rewritten on the way, only their
/// checksums tell UDP probes of a later round from those of the first.
fn is_told_by_checksum(spec: &ProbeSpec) -> bool {
    let udp = matches!(spec.flow.probe, ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite);
    let may_vary = !spec.has_ip_id() || spec.mode == FlowMode::Classic;
    udp && spec.serial != spec.number && may_vary
}

/// Writes a probe's datagram into `buffer`, which takes its length.
pub fn craft(spec: &ProbeSpec, buffer: &mut Vec<u8>) {
    let len = len(spec);
    buffer.clear();
    buffer.resize(usize::from(len), 0);
    let (head, body) = buffer.split_at_mut(usize::from(ip_header_len(spec.flow.family())));
    write_body(spec, body);
    write_ip(spec, len, head);
}

/// What probes are filled with, as those of traceroute on Linux: 0x40, 0x41, … 0x7f, and again.
pub(super) fn filling() -> impl Iterator<Item = u8> {
    (0x40..=0x7f).cycle()
}

/// Whether a probe may be one of ours, or of traceroute on Linux: by its filling, and with a SYN by its options. `body` is
/// the beginning of its IP payload, which is `len` octets long.
#[must_use]
pub fn looks_like_ours(probe: ProbeType, body: &[u8], len: usize) -> bool {
    match probe {
        ProbeType::TcpSyn => body.get(12).is_some_and(|offset| offset >> 4 == 10),
        ProbeType::TcpAck | ProbeType::Protocol(_) => true,
        // What marks a probe is in the first two bytes, and a DNS query has no filling.
        _ => {
            let payload = body.get(usize::from(UDP_HEADER)..).unwrap_or_default();
            let whole = len.saturating_sub(usize::from(UDP_HEADER));
            let filled = whole - tail_len(whole);
            let pairs = payload.iter().zip(filling()).take(filled).skip(usize::from(MARK));
            let is_query = payload.get(2..4) == Some(&[1, 0]);
            is_query || pairs.into_iter().all(|(byte, value)| *byte == value)
        }
    }
}

fn fill(payload: &mut [u8]) {
    for (byte, value) in payload.iter_mut().zip(filling()) {
        *byte = value;
    }
}

/// The low 16 bits.
fn low(number: u32) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or_default()
}

/// A number that makes a difference to a checksum: 0 and 0xffff would make the same.
fn summed(number: u32) -> u16 {
    low(number % u32::from(u16::MAX))
}

/// Puts `value` at the beginning of `payload`.
fn mark(payload: &mut [u8], value: u16) {
    if let Some(word) = payload.first_chunk_mut() {
        *word = value.to_be_bytes();
    }
}

fn write_body(spec: &ProbeSpec, body: &mut [u8]) {
    match spec.flow.probe {
        ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite => write_udp(spec, body),
        ProbeType::IcmpEcho => write_echo(spec, body),
        ProbeType::TcpSyn | ProbeType::TcpAck => write_tcp(spec, body),
        ProbeType::Protocol(_) => {
            fill(body);
            let [.., a, b, c, d] = spec.key.map_or([0; 8], secret::first_octets);
            if let Some(octets) = body.get_mut(4..8).filter(|_| spec.key.is_some()) {
                octets.copy_from_slice(&[a, b, c, d]);
            }
            if let Some(number) = body.first_chunk_mut() {
                *number = first_octets(spec).to_be_bytes();
            }
        }
    }
}

/// Whether a datagram of another protocol that begins so is a probe with this key: what is the same in all is there.
/// Nothing else tells a probe from what a program sends to the target by the same protocol.
#[must_use]
pub fn is_of_key(key: Option<u64>, head: &[u8; 8]) -> bool {
    let mut filled = [0; 8];
    fill(&mut filled);
    let expected = key.map_or(filled, secret::first_octets);
    head[4..] == expected[4..]
}

/// What a probe of another protocol begins with.
pub(super) fn first_octets(spec: &ProbeSpec) -> u32 {
    let [a, b, c, d, ..] = spec.key.map_or([0; 8], secret::first_octets);
    u32::from_be_bytes([a, b, c, d]).wrapping_add(spec.serial)
}

/// RFC 768, and RFC 3828 for UDP-Lite, whose checksum here covers the whole datagram too (a coverage of
/// 0, in the place of the length).
fn write_udp(spec: &ProbeSpec, body: &mut [u8]) {
    let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let port = udp_port(spec);
    let Some((_, payload)) = body.split_at_mut_checked(usize::from(UDP_HEADER)) else { return };
    match udp_mark(spec) {
        Some(id) if is_query(spec) => write_dns_query(id, payload),
        value => {
            fill(payload);
            if let Some(value) = value {
                mark(payload, value);
            }
            secret::seal(spec.key, payload);
        }
    }
    let Some(mut packet) = MutableUdpPacket::new(body) else { return };
    packet.set_source(spec.flow.ident);
    packet.set_destination(port);
    packet.set_length(if spec.flow.probe == ProbeType::UdpLite { 0 } else { len });
    let sum = transport(spec.flow.source, spec.flow.target, spec.flow.protocol(), body);
    // A sum of zero is sent as all ones; zero would mean that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    if let Some(mut packet) = MutableUdpPacket::new(body) {
        packet.set_checksum(sum);
    }
}

/// The destination port of a UDP probe.
pub(super) fn udp_port(spec: &ProbeSpec) -> u16 {
    let rises = spec.flow.probe == ProbeType::Udp && spec.mode == FlowMode::Classic;
    if rises { rising_port(spec) } else { spec.first_port }
}

/// Whether a UDP probe carries a DNS query.
fn is_query(spec: &ProbeSpec) -> bool {
    spec.flow.probe != ProbeType::Udp && spec.first_port == DNS_PORT
}

/// What the payload of a UDP probe begins with instead of the filling, if it does: the id of a DNS query, or a mark.
pub(super) fn udp_mark(spec: &ProbeSpec) -> Option<u16> {
    let marked = is_told_by_checksum(spec)
        || spec.flow.probe != ProbeType::Udp
        || spec.mode == FlowMode::Paris;
    let query = || spec.key.map_or(spec.first_id, secret::first_query);
    let first = if is_query(spec) { query() } else { 0 };
    marked.then(|| summed(spec.serial.wrapping_add(u32::from(first))))
}

/// Destination ports rise from the first to 65535 and begin again there.
fn rising_port(spec: &ProbeSpec) -> u16 {
    let ports = u32::from(u16::MAX - spec.first_port) + 1;
    low(u32::from(spec.first_port) + spec.number % ports)
}

/// A query for the name servers of the root (RFC 1035 §4.1), which any resolver answers; what is left of
/// the payload is padding in an EDNS option (RFC 6891 §6.1, RFC 7830), or zeros where that is too short.
fn write_dns_query(id: u16, payload: &mut [u8]) {
    const HEADER_AND_QUESTION: [u8; 15] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    const OPT: [u8; 9] = [0, 0, 41, 4, 208, 0, 0, 0, 0];
    const OPT_FIXED: usize = OPT.len() + 2 + 4;
    let Some((query, rest)) = payload.split_at_mut_checked(usize::from(DNS_QUERY)) else { return };
    mark(query, id);
    query[2..].copy_from_slice(&HEADER_AND_QUESTION);
    let Some(padding) = rest.len().checked_sub(OPT_FIXED) else { return };
    let padding = u16::try_from(padding).unwrap_or(u16::MAX);
    rest[..OPT.len()].copy_from_slice(&OPT);
    rest[OPT.len()..OPT.len() + 2].copy_from_slice(&padding.saturating_add(4).to_be_bytes());
    rest[OPT.len() + 2..OPT_FIXED].copy_from_slice(&[0, 12, 0, 0]);
    rest[OPT.len() + 4..OPT_FIXED].copy_from_slice(&padding.to_be_bytes());
    query[11] = 1; // one additional record
}

/// RFC 792 and RFC 4443 §4.1. With constant flows the first payload bytes undo what the sequence number
/// does to the checksum, which some load balancers take for ports.
fn write_echo(spec: &ProbeSpec, body: &mut [u8]) {
    let sequence = echo_sequence(spec);
    if let Some((_, payload)) = body.split_at_mut_checked(usize::from(UDP_HEADER)) {
        fill(payload);
        if spec.mode == FlowMode::Paris {
            mark(payload, plus(!sequence, spec.flow_number));
        }
        secret::seal(spec.key, payload);
    }
    let family = spec.flow.family();
    let Some(mut packet) = MutableEchoRequestPacket::new(body) else { return };
    packet.set_icmp_type(IcmpType(ip::echo_request(family)));
    packet.set_icmp_code(IcmpCode(0));
    packet.set_identifier(spec.flow.ident);
    packet.set_sequence_number(sequence);
    let sum = match family {
        Family::V4 => checksum(body),
        Family::V6 => transport(spec.flow.source, spec.flow.target, spec.flow.protocol(), body),
    };
    if let Some(mut packet) = MutableEchoRequestPacket::new(body) {
        packet.set_checksum(sum);
    }
}

/// The sequence number of an echo request.
pub(super) fn echo_sequence(spec: &ProbeSpec) -> u16 {
    low(spec.serial).wrapping_add(spec.key.map_or(0, secret::first_echo)).wrapping_add(1)
}

/// The sequence number of a TCP probe.
pub(super) fn tcp_sequence(spec: &ProbeSpec) -> u32 {
    secret::first_sequence(spec.key, spec.first_id).wrapping_add(spec.serial)
}

/// RFC 9293 §3.1: a SYN with the options of a real client, or a lone ACK.
fn write_tcp(spec: &ProbeSpec, body: &mut [u8]) {
    let syn = spec.flow.probe == ProbeType::TcpSyn;
    let token = tcp_sequence(spec);
    let Some(mut packet) = MutableTcpPacket::new(body) else { return };
    packet.set_source(spec.flow.ident);
    packet.set_destination(spec.first_port);
    packet.set_sequence(token);
    packet.set_acknowledgement(if syn { 0 } else { token });
    packet.set_data_offset(if syn { 10 } else { 5 });
    packet.set_flags(if syn { TcpFlags::SYN } else { TcpFlags::ACK });
    packet.set_window(64_240);
    if syn {
        write_syn_options(token, body);
    }
    let sum = transport(spec.flow.source, spec.flow.target, spec.flow.protocol(), body);
    if let Some(mut packet) = MutableTcpPacket::new(body) {
        packet.set_checksum(sum);
    }
}

/// Writes the options by hand: each of pnet's options is a separate vector.
fn write_syn_options(token: u32, segment: &mut [u8]) {
    let at = usize::from(TCP_HEADER);
    let Some(options) = segment.get_mut(at..at + usize::from(SYN_OPTIONS)) else { return };
    let [high, low] = MSS.to_be_bytes();
    let [a, b, c, d] = token.to_be_bytes();
    // RFC 9293 §3.2 segment size; RFC 2018 SACK permitted; RFC 7323 timestamps, padding, window scale of 7.
    options.copy_from_slice(&[
        2, 4, high, low, 4, 2, 8, 10, a, b, c, d, 0, 0, 0, 0, 1, 3, 3, 7, //
    ]);
}

fn write_ip(spec: &ProbeSpec, len: u16, head: &mut [u8]) {
    let protocol = IpNextHeaderProtocol::new(spec.flow.protocol());
    match (spec.flow.source, spec.flow.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let Some(mut packet) = MutableIpv4Packet::new(head) else { return };
            packet.set_version(4);
            packet.set_header_length(5);
            packet.set_dscp(spec.tos >> 2);
            packet.set_ecn(spec.tos & 0b11);
            packet.set_total_length(len);
            packet.set_identification(if spec.has_ip_id() { ip_id(spec) } else { 0 });
            packet.set_flags(if spec.dont_fragment { Ipv4Flags::DontFragment } else { 0 });
            packet.set_ttl(spec.ttl);
            packet.set_next_level_protocol(protocol);
            packet.set_source(source);
            packet.set_destination(target);
            let sum = ipv4::checksum(&packet.to_immutable());
            packet.set_checksum(sum);
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let Some(mut packet) = MutableIpv6Packet::new(head) else { return };
            packet.set_version(6);
            packet.set_traffic_class(spec.tos);
            packet.set_flow_label(spec.flow_label & 0xf_ffff);
            packet.set_payload_length(len - IPV6_HEADER);
            packet.set_next_header(protocol);
            packet.set_hop_limit(spec.ttl);
            packet.set_source(source);
            packet.set_destination(target);
        }
        // A configuration of two families is refused before anything is crafted.
        _ => {}
    }
}

/// IP-IDs rise and leave out 0, which the kernel would replace by one of its own.
pub(super) fn ip_id(spec: &ProbeSpec) -> u16 {
    let last = u32::from(u16::MAX);
    low((u32::from(spec.first_id.max(1)) - 1 + spec.serial % last) % last + 1)
}

#[cfg(test)]
mod tests;
