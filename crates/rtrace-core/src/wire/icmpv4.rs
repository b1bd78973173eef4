//! ICMP messages (RFC 792).
//!
//! Their types and codes, and the meaning of the [header](super::icmp)'s last four bytes.

use std::net::Ipv4Addr;

use super::icmp::{self, IcmpHeader};
use super::{Layer, WireError};

/// Echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Source quench (deprecated by RFC 6633).
pub const SOURCE_QUENCH: u8 = 4;
/// Redirect.
pub const REDIRECT: u8 = 5;
/// Echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Code of destination unreachable: protocol.
pub const CODE_PROTOCOL: u8 = 2;
/// Code of destination unreachable: port.
pub const CODE_PORT: u8 = 3;
/// Code of destination unreachable: fragmentation needed and DF set (RFC 1191 §4 adds the MTU).
pub const CODE_FRAGMENTATION: u8 = 4;

/// The MTU of the next hop, in "fragmentation needed" (RFC 1191 §4).
#[must_use]
pub fn next_hop_mtu(header: &IcmpHeader) -> u16 {
    u16::from_be_bytes([header.rest[2], header.rest[3]])
}

/// The router to use instead, in a redirect.
#[must_use]
pub fn gateway(header: &IcmpHeader) -> Ipv4Addr {
    Ipv4Addr::from(header.rest)
}

/// Which byte of the quoted datagram is at fault, in a parameter problem.
#[must_use]
pub fn pointer(header: &IcmpHeader) -> u8 {
    header.rest[0]
}

/// The length of the quote in 32-bit words as RFC 4884 §4 has it, 0 if the sender did not say; `None` in
/// messages to which nothing can be appended.
#[must_use]
pub fn quote_words(header: &IcmpHeader) -> Option<u8> {
    let multipart = matches!(header.icmp_type, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM);
    multipart.then_some(header.rest[1])
}

/// Whether messages of this type carry the datagram that caused them.
#[must_use]
pub fn quotes(header: &IcmpHeader) -> bool {
    matches!(
        header.icmp_type,
        UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
    )
}

/// The header and what follows it: the quoted datagram in an error, the payload in an echo.
///
/// # Errors
/// When fewer than 8 bytes are there.
pub fn decode(bytes: &[u8]) -> Result<(IcmpHeader, &[u8]), WireError> {
    icmp::decode(bytes, Layer::Icmpv4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_header_means_what_the_type_says() {
        let header = |icmp_type| {
            let bytes = [icmp_type, 1, 0xab, 0xcd, 10, 33, 2, 0xbc, 0x45];
            let (header, payload) = decode(&bytes).unwrap();
            assert_eq!((header.code, header.checksum, payload.len()), (1, 0xabcd, 1));
            header
        };
        assert_eq!(header(ECHO_REPLY).echo(), (0x0a21, 0x02bc));
        assert_eq!(next_hop_mtu(&header(UNREACHABLE)), 700);
        assert_eq!(gateway(&header(REDIRECT)), Ipv4Addr::new(10, 33, 2, 188));
        assert_eq!(pointer(&header(PARAMETER_PROBLEM)), 10);
        for icmp_type in 0..=u8::MAX {
            let words = [3, 11, 12].contains(&icmp_type).then_some(33);
            assert_eq!(quote_words(&header(icmp_type)), words);
            assert_eq!(quotes(&header(icmp_type)), [3, 4, 5, 11, 12].contains(&icmp_type));
        }
    }

    #[test]
    fn less_than_eight_bytes_is_no_header() {
        for len in 0..8 {
            assert_eq!(decode(&[0; 8][..len]).unwrap_err().have, len);
        }
    }
}
