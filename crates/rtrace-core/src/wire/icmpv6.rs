//! `ICMPv6` messages (RFC 4443).
//!
//! Their types and codes, and the meaning of the [header](super::icmp)'s last four bytes. Unlike in `icmpv4` the
//! checksum covers a pseudo-header, so that judging it takes the addresses of the datagram.

use super::icmp::{self, IcmpHeader};
use super::{Layer, WireError};

/// Destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Packet too big: the one that carries an MTU.
pub const PACKET_TOO_BIG: u8 = 2;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Code of destination unreachable: port.
pub const CODE_PORT: u8 = 4;
/// Code of parameter problem: next header not recognised, which is how an unknown protocol is refused.
pub const CODE_NEXT_HEADER: u8 = 1;

/// The MTU of the next hop, in packet too big (§3.2).
#[must_use]
pub fn next_hop_mtu(header: &IcmpHeader) -> u32 {
    u32::from_be_bytes(header.rest)
}

/// Which byte of the quoted datagram is at fault, in a parameter problem (§3.4). It may lie beyond
/// what is quoted.
#[must_use]
pub fn pointer(header: &IcmpHeader) -> u32 {
    u32::from_be_bytes(header.rest)
}

/// The length of the quote in 64-bit words as RFC 4884 §4 has it, 0 if the sender did not say; `None` in
/// messages to which nothing can be appended.
#[must_use]
pub fn quote_words(header: &IcmpHeader) -> Option<u8> {
    matches!(header.icmp_type, UNREACHABLE | TIME_EXCEEDED).then_some(header.rest[0])
}

/// Whether the message is an error that carries the datagram that caused it. Types below 128 are
/// errors (§2.1), but of those without a name here nobody knows where the quote begins.
#[must_use]
pub fn quotes(header: &IcmpHeader) -> bool {
    (UNREACHABLE..=PARAMETER_PROBLEM).contains(&header.icmp_type)
}

/// The header and what follows it: the quoted datagram in an error, the payload in an echo.
///
/// # Errors
/// When fewer than 8 bytes are there.
pub fn decode(bytes: &[u8]) -> Result<(IcmpHeader, &[u8]), WireError> {
    icmp::decode(bytes, Layer::Icmpv6)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::wire::checksum::transport;
    use crate::wire::ipv6::ICMPV6;

    #[test]
    fn the_rest_of_the_header_means_what_the_type_says() {
        let header = |icmp_type| {
            let bytes = [icmp_type, 4, 0xab, 0xcd, 0, 1, 5, 0x14, 0x60];
            let (header, payload) = decode(&bytes).unwrap();
            assert_eq!((header.code, header.checksum, payload.len()), (4, 0xabcd, 1));
            header
        };
        assert_eq!(header(ECHO_REPLY).echo(), (1, 0x0514));
        assert_eq!(next_hop_mtu(&header(PACKET_TOO_BIG)), 66_836);
        assert_eq!(pointer(&header(PARAMETER_PROBLEM)), 66_836);
        for icmp_type in 0..=u8::MAX {
            assert_eq!(quote_words(&header(icmp_type)), [1, 3].contains(&icmp_type).then_some(0));
            assert_eq!(quotes(&header(icmp_type)), [1, 2, 3, 4].contains(&icmp_type));
        }
        for len in 0..8 {
            assert_eq!(decode(&[0; 8][..len]).unwrap_err().have, len);
        }
    }

    /// An echo request from and to `::1` (RFC 4443 §4.1, §2.3), summed by hand, and what breaks it.
    #[test]
    fn the_checksum_covers_the_pseudo_header() {
        let echo = [128, 0, 0x83, 0xab, 0x1d, 0x5f, 0, 1, 0xde, 0xad];
        let here = Ipv6Addr::LOCALHOST;
        let ok =
            |to: Ipv6Addr, message: &[u8]| transport(here.into(), to.into(), ICMPV6, message) == 0;
        assert!(ok(here, &echo));
        assert!(!ok(Ipv6Addr::UNSPECIFIED, &echo));
        assert!(!ok(here, &echo[..8]), "cut short");
        assert!(!ok(here, &[]));
    }
}
