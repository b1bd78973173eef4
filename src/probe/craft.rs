//! From a probe to the bytes of its datagram, by pnet's packet types.

use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};
use pnet::packet::udp::{self, MutableUdpPacket};

use super::{Flow, ProbeKey};

/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER: u16 = 20;
/// Bytes of a UDP header.
pub const UDP_HEADER: u16 = 8;
/// The shortest UDP probe: headers and nothing else.
pub const MIN_LEN: u16 = IPV4_HEADER + UDP_HEADER;

/// The fields of a probe that may differ from run to run or from probe to probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSpec {
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Whether to set the Don't Fragment flag.
    pub dont_fragment: bool,
    /// Length of the whole datagram in bytes, at least [`MIN_LEN`].
    pub len: u16,
}

/// Writes the UDP probe `key` of `flow` into `buffer`, which takes its length: IPv4 header (RFC 791),
/// UDP header (RFC 768), both checksums right, and a payload like that of
/// traceroute. A length under [`MIN_LEN`] counts as [`MIN_LEN`].
pub fn udp_probe(flow: &Flow, key: ProbeKey, spec: ProbeSpec, buffer: &mut Vec<u8>) {
    let len = spec.len.max(MIN_LEN);
    buffer.clear();
    buffer.resize(usize::from(len), 0);
    let (head, body) = buffer.split_at_mut(usize::from(IPV4_HEADER));
    for (byte, value) in body.iter_mut().skip(usize::from(UDP_HEADER)).zip(filling()) {
        *byte = value;
    }
    write_udp(flow, key, len - IPV4_HEADER, body);
    write_ipv4(flow, key, spec, len, head);
}

/// What probes are filled with, as those of traceroute on Linux: 0x40, 0x41, … 0x7f, and again.
fn filling() -> impl Iterator<Item = u8> {
    (0x40..=0x7f).cycle()
}

/// Whether a probe with this payload may be one of ours, or of traceroute on Linux.
#[must_use]
pub fn is_filled_by_us(payload: &[u8]) -> bool {
    payload.iter().zip(filling()).all(|(byte, value)| *byte == value)
}

fn write_udp(flow: &Flow, key: ProbeKey, len: u16, body: &mut [u8]) {
    let Some(mut packet) = MutableUdpPacket::new(body) else { return };
    packet.set_source(flow.ident);
    packet.set_destination(key.selector);
    packet.set_length(len);
    packet.set_checksum(0);
    let sum = udp::ipv4_checksum(&packet.to_immutable(), &flow.source, &flow.target);
    // RFC 768: a sum of zero is sent as all ones; zero would mean that there is none.
    packet.set_checksum(if sum == 0 { 0xffff } else { sum });
}

fn write_ipv4(flow: &Flow, key: ProbeKey, spec: ProbeSpec, len: u16, head: &mut [u8]) {
    let Some(mut packet) = MutableIpv4Packet::new(head) else { return };
    packet.set_version(4);
    packet.set_header_length(5);
    packet.set_dscp(spec.tos >> 2);
    packet.set_ecn(spec.tos & 0b11);
    packet.set_total_length(len);
    packet.set_identification(key.ip_id);
    packet.set_flags(if spec.dont_fragment { Ipv4Flags::DontFragment } else { 0 });
    packet.set_ttl(spec.ttl);
    packet.set_next_level_protocol(IpNextHeaderProtocol::new(flow.probe.protocol()));
    packet.set_source(flow.source);
    packet.set_destination(flow.target);
    packet.set_checksum(0);
    let sum = ipv4::checksum(&packet.to_immutable());
    packet.set_checksum(sum);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::probe::{ProbeType, recognise};
    use crate::wire::checksum::checksum;
    use crate::wire::ipv4::decode;

    const FLOW: Flow = Flow {
        source: Ipv4Addr::new(192, 0, 2, 2),
        target: Ipv4Addr::new(203, 0, 113, 9),
        probe: ProbeType::Udp,
        ident: 42_315,
    };

    /// The one's complement sum that both ends of a UDP datagram compute (RFC 768):
    /// 0 when the checksum in `datagram` is right.
    fn udp_residue(source: Ipv4Addr, target: Ipv4Addr, body: &[u8]) -> u16 {
        let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
        let mut pseudo = Vec::with_capacity(12 + body.len());
        pseudo.extend_from_slice(&source.octets());
        pseudo.extend_from_slice(&target.octets());
        pseudo.extend_from_slice(&[0, crate::wire::ipv4::UDP]);
        pseudo.extend_from_slice(&len.to_be_bytes());
        pseudo.extend_from_slice(body);
        checksum(&pseudo)
    }

    #[test]
    fn a_probe_says_what_was_asked_and_its_checksums_are_right() {
        let mut buffer = Vec::new();
        for len in [0, 28, 29, 60, 61, 1500, u16::MAX] {
            for ttl in [1, 30, 255] {
                let key = ProbeKey { ip_id: 0xa54c ^ len, selector: 33_434 + u16::from(ttl) };
                let spec = ProbeSpec { ttl, tos: 0xb9, dont_fragment: ttl == 30, len };
                udp_probe(&FLOW, key, spec, &mut buffer);
                assert_eq!(buffer.len(), usize::from(len.max(28)));
                let (header, payload) = decode(&buffer).unwrap();
                assert_eq!((header.ttl, header.tos), (ttl, 0xb9));
                assert_eq!(header.dont_fragment, ttl == 30);
                assert_eq!(checksum(&buffer[..20]), 0);
                assert_eq!(udp_residue(FLOW.source, FLOW.target, payload), 0);
                assert_eq!(recognise(&header, payload), Some((FLOW, key)));
            }
        }
    }

    #[test]
    fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
        let mut buffer = Vec::new();
        let spec = ProbeSpec { ttl: 1, tos: 0, dont_fragment: false, len: 28 };
        // With no payload the sum depends on the ports alone: find the pair that sums to zero.
        let all_ones = (0..=u16::MAX).any(|selector| {
            udp_probe(&FLOW, ProbeKey { ip_id: 1, selector }, spec, &mut buffer);
            assert_ne!(buffer[26..28], [0, 0]);
            buffer[26..28] == [0xff, 0xff]
        });
        assert!(all_ones);
    }
}
