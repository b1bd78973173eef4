//! The header that the messages of ICMP and `ICMPv6` share: RFC 4443 kept that of RFC 792.
//!
//! What its fields mean depends on the family: see [`icmpv4`](super::icmpv4) and [`icmpv6`](super::icmpv6). What an error
//! quotes is `quoted`'s, and what routers append to the quote (RFC 4884) is `extension`'s.

use super::{Layer, WireError, array};

/// The first eight bytes of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpHeader {
    /// The message type.
    pub icmp_type: u8,
    /// The code, whose meaning depends on the type.
    pub code: u8,
    /// The checksum as sent.
    pub checksum: u16,
    /// Bytes 4 to 7, whose meaning depends on the type.
    pub rest: [u8; 4],
}

impl IcmpHeader {
    /// Identifier and sequence number, in echo messages.
    #[must_use]
    pub fn echo(&self) -> (u16, u16) {
        let [a, b, c, d] = self.rest;
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }
}

/// The header and the bytes after it; `layer` names the protocol in an error.
pub(super) fn decode(bytes: &[u8], layer: Layer) -> Result<(IcmpHeader, &[u8]), WireError> {
    let head: [u8; 8] = array(bytes, 0, layer)?;
    let header = IcmpHeader {
        icmp_type: head[0],
        code: head[1],
        checksum: u16::from_be_bytes([head[2], head[3]]),
        rest: [head[4], head[5], head[6], head[7]],
    };
    Ok((header, &bytes[8..]))
}
