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

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::wire::quoted;

    const HEAD: [u8; 8] = [0x9c, 0x40, 0x82, 0x9a, 0, 40, 1, 2];

    fn ends() -> [(IpAddr, IpAddr, IpAddr); 2] {
        let v6 = |last| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        let v4 = |last| IpAddr::from([10, 0, 0, last]);
        [(v4(1), v4(2), v4(9)), (v6(1), v6(2), v6(9))]
    }

    /// What was put in is read from it, and all else is zero, whatever the lengths.
    #[test]
    fn errors_say_what_was_reported() {
        for (ours, target, offender) in ends() {
            let family = Family::of(ours);
            let message = Message { from: offender, to: ours, ttl: 61, tos: 0xc0 };
            for (icmp_type, code, info, mtu) in [
                (ip::time_exceeded(family), 0, 0, None),
                (ip::unreachable(family), icmpv4::CODE_FRAGMENTATION, 1_280, Some(1_280)),
                (icmpv6::PACKET_TOO_BIG, 0, 1_400, Some(1_400)),
            ] {
                for (quoted, extension) in [(0, 0), (3, 0), (96, 12), (88, 12), (548, 0), (504, 60)]
                {
                    let error = IcmpError { icmp_type, code, info, offender, quoted: Some(quoted) };
                    let (rest, extension) = (vec![0x41; quoted], vec![0x20; extension]);
                    let bytes = message.icmp_error(&error, (target, &HEAD, &rest), &extension);
                    let (header, payload) = ip::decode(&bytes).unwrap();
                    assert_eq!((header.source, header.destination), (offender, ours));
                    assert_eq!((header.ttl, header.tos, header.total_len), (61, 0xc0, bytes.len()));
                    let icmp = ip::icmp(family, payload).unwrap();
                    assert_eq!((icmp.icmp_type, icmp.code), (icmp_type, code));
                    let has_mtu = icmp.mtu.is_some();
                    assert_eq!(icmp.mtu, mtu.filter(|_| has_mtu));
                    if !icmp.quotes {
                        continue;
                    }
                    let shown = quoted::decode(icmp.body).unwrap().header;
                    assert_eq!((shown.source, shown.destination), (ours, target));
                    assert_eq!((shown.ttl, shown.tos), (0, 0));
                    assert!(icmp.body.windows(8).any(|octets| octets == HEAD));
                    let words = icmp.quote_words.unwrap_or(0);
                    assert_eq!(words > 0, !extension.is_empty() && icmp.quote_words.is_some());
                    assert!(extension.is_empty() || words == 0 || icmp.body.ends_with(&extension));
                }
            }
        }
    }

    #[test]
    fn answers_are_as_they_came() {
        for (ours, target, _) in ends() {
            let message = Message { from: target, to: ours, ttl: 64, tos: 0 };
            let bytes = message.udp((53, 40_000), b"answer");
            let (header, payload) = ip::decode(&bytes).unwrap();
            assert_eq!((header.source, header.protocol), (target, ipv4::UDP));
            assert_eq!(payload, b"\x00\x35\x9c\x40\x00\x0e\x00\x00answer");
            let echo = [ip::echo_request(Family::of(ours)), 0, 1, 2, 3, 4, 5, 6];
            let (header, payload) = (message.echo_reply(&echo), echo);
            assert!(header.ends_with(&payload));
        }
    }
}
