//! The datagram quoted in an ICMP error: the "original datagram" of RFC 792 and RFC 1812 §4.3.2.3.
//!
//! Routers quote what they received, so the TTL in it is the one the probe arrived with. Eight bytes
//! of payload are all that RFC 792 promises; a quote may end anywhere and its lengths may lie.

use super::ipv4::{self, Ipv4Header};
use super::{Layer, WireError, array};

/// A quoted IPv4 datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// Its header as the router quoted it.
    pub header: Ipv4Header,
    /// What is there of its payload.
    pub payload: &'a [u8],
    /// How many bytes of the datagram were quoted, header included.
    pub len: usize,
}

/// The quoted datagram at the beginning of `bytes`, which follow the ICMP header.
///
/// # Errors
/// When its IPv4 header is not whole.
pub fn decode(bytes: &[u8]) -> Result<Quoted<'_>, WireError> {
    let (header, payload) = ipv4::decode(bytes)?;
    Ok(Quoted { header, payload, len: usize::from(header.header_len) + payload.len() })
}

impl Quoted<'_> {
    /// The first four bytes of the payload as two 16-bit numbers: the ports of UDP and TCP.
    ///
    /// # Errors
    /// When the quote ends before.
    pub fn ports(&self) -> Result<(u16, u16), WireError> {
        let [a, b, c, d] = array(self.payload, 0, Layer::Udp)?;
        Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }
}
