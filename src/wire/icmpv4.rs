//! ICMP messages (RFC 792).

use super::{Layer, WireError, array};

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

/// The first eight bytes of every ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmpv4Header {
    /// The message type.
    pub icmp_type: u8,
    /// Its code.
    pub code: u8,
    /// The checksum as sent.
    pub checksum: u16,
    /// Bytes 4 to 7, whose meaning depends on the type.
    pub rest: [u8; 4],
}

impl Icmpv4Header {
    /// Identifier and sequence number, in echo messages.
    #[must_use]
    pub fn echo(&self) -> (u16, u16) {
        let [a, b, c, d] = self.rest;
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    /// The MTU of the next hop, in "fragmentation needed" (RFC 1191 §4).
    #[must_use]
    pub fn next_hop_mtu(&self) -> u16 {
        u16::from_be_bytes([self.rest[2], self.rest[3]])
    }

    /// Whether messages of this type carry the datagram that caused them.
    #[must_use]
    pub fn quotes(&self) -> bool {
        matches!(
            self.icmp_type,
            UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
        )
    }
}

/// The header and what follows it: the quoted datagram in an error, the payload in an echo.
///
/// # Errors
/// When fewer than 8 bytes are there.
pub fn decode(bytes: &[u8]) -> Result<(Icmpv4Header, &[u8]), WireError> {
    let head: [u8; 8] = array(bytes, 0, Layer::Icmpv4)?;
    let header = Icmpv4Header {
        icmp_type: head[0],
        code: head[1],
        checksum: u16::from_be_bytes([head[2], head[3]]),
        rest: [head[4], head[5], head[6], head[7]],
    };
    Ok((header, &bytes[8..]))
}
