//! Replies put together from what the kernel reports of them. Octets that it does not report are zero: see
//! [`Evidence::Reconstructed`](crate::wire::Evidence::Reconstructed).

use std::net::IpAddr;

use super::report::IcmpError;
use crate::wire::extension::Family;
use crate::wire::{icmpv4, icmpv6, ip, ipv4};

/// A datagram that came, as far as its header is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub from: IpAddr,
    pub to: IpAddr,
    pub ttl: u8,
    pub tos: u8,
}

impl Message {
    /// An answer of UDP between these ports.
    pub(super) fn udp(&self, (from, to): (u16, u16), body: &[u8]) -> Vec<u8> {
        let len = length(8 + body.len());
        let head = [from.to_be_bytes(), to.to_be_bytes(), len.to_be_bytes(), [0; 2]];
        self.datagram(ipv4::UDP, &[head.as_flattened(), body].concat())
    }

    /// An echo reply, which the kernel gives whole.
    pub(super) fn echo_reply(&self, message: &[u8]) -> Vec<u8> {
        self.datagram(ip::icmp_protocol(Family::of(self.from)), message)
    }

    /// An ICMP error that quotes a probe of ours to `target`: the header of its protocol, if that was not reported with the rest, and
    /// the rest; then an extension structure.
    pub(super) fn icmp_error(
        &self,
        error: &IcmpError,
        (target, head, rest): (IpAddr, &[u8], &[u8]),
        extension: &[u8],
    ) -> Vec<u8> {
        let family = Family::of(self.to);
        let protocol = if head.is_empty() { ip::icmp_protocol(family) } else { ipv4::UDP };
        let quoted = [&header((self.to, target), (0, 0), protocol, None), head, rest].concat();
        // RFC 4884 §3: the length of the quote, in words of 4 octets, or of 8.
        let unit = if family == Family::V4 { 4 } else { 8 };
        let is_whole = !extension.is_empty() && quoted.len().is_multiple_of(unit);
        let words = u8::try_from(quoted.len() / unit).ok().filter(|_| is_whole).unwrap_or(0);
        let [.., high, low] = error.info.to_be_bytes();
        let variable = match (family, error.icmp_type, error.code) {
            (Family::V4, icmpv4::UNREACHABLE, icmpv4::CODE_FRAGMENTATION) => [0, words, high, low],
            (Family::V4, icmpv4::PARAMETER_PROBLEM, _) => [low, words, 0, 0],
            (Family::V4, ..) => [0, words, 0, 0],
            (Family::V6, icmpv6::PACKET_TOO_BIG | icmpv6::PARAMETER_PROBLEM, _) => {
                error.info.to_be_bytes()
            }
            (Family::V6, ..) => [words, 0, 0, 0],
        };
        let extension = if words == 0 { &[] } else { extension };
        let head = [error.icmp_type, error.code, 0, 0];
        let message = [&head, &variable, quoted.as_slice(), extension].concat();
        self.datagram(ip::icmp_protocol(family), &message)
    }

    fn datagram(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let head =
            header((self.from, self.to), (self.ttl, self.tos), protocol, Some(payload.len()));
        [head.as_slice(), payload].concat()
    }
}

/// An IP header between these addresses, with this TTL and type of service. Without the length of its payload, which is not known of
/// a quoted one, that is zero.
fn header(
    (from, to): (IpAddr, IpAddr),
    (ttl, tos): (u8, u8),
    protocol: u8,
    payload: Option<usize>,
) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [a, b] = payload.map_or(0, |len| length(20 + len)).to_be_bytes();
            let head = [0x45, tos, a, b, 0, 0, 0, 0, ttl, protocol, 0, 0];
            [&head[..], &from.octets(), &to.octets()].concat()
        }
        (from, to) => {
            let v6 = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            let [a, b] = payload.map_or(0, length).to_be_bytes();
            let head = [0x60 | tos >> 4, tos << 4, 0, 0, a, b, protocol, ttl];
            [&head[..], &v6(from).octets(), &v6(to).octets()].concat()
        }
    }
}

fn length(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}
