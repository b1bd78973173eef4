//! Bytes ↔ typed values, one file per protocol.
//!
//! Decoding happens in two steps: a file's `decode` checks lengths and returns a small typed value
//! together with the bytes it carries; whoever asked judges what the value means. Unknown codes
//! survive as numbers. A datagram cut short (a snap length, an ICMP quote) is normal: the part that
//! is there is returned. Nothing in here panics on any input, reads a clock, or does IO.

pub mod checksum;
pub mod extension;
pub mod icmp;
pub mod icmpv4;
pub mod icmpv6;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod link;
pub mod quoted;
pub mod tcp;
pub mod udp;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
pub use link::LinkType;

/// One captured frame: what every link delivers and the tracer takes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When the kernel (or the simulation) saw it; [`Timestamp::UNKNOWN`] if the capture file does not say.
    pub at: Timestamp,
    /// The type of the link header that `bytes` begin with.
    pub link: LinkType,
    /// The frame from its link-layer header on, as far as it was captured.
    pub bytes: &'a [u8],
    /// The length of the frame on the wire, in bytes; at least `bytes.len()`.
    pub original_len: u32,
    /// The number that the kernel, or the recording, has for the interface that it was seen on; 0 if that is not known.
    pub interface: u32,
    /// The number of the frame in the recording, from 1, as Wireshark counts. On a live or simulated link this is 0:
    /// the driver numbers the frames that it records.
    pub number: u64,
    /// Whether its octets were on the wire.
    pub evidence: Evidence,
}

impl<'a> Frame<'a> {
    /// A frame that was captured whole, of an interface and a number that are not known.
    #[must_use]
    pub const fn whole(at: Timestamp, link: LinkType, bytes: &'a [u8]) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "no frame is that long")]
        let original_len = bytes.len() as u32;
        let evidence = Evidence::Captured;
        Self { at, link, bytes, original_len, interface: 0, number: 0, evidence }
    }
}

/// Whether the octets of a frame were on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// They were captured.
    #[default]
    Captured,
    /// They were put together from what the kernel reported of the frame. Octets that it did not report are zero, and mean
    /// nothing: identification, checksums and, of a quoted IP header, all but addresses and protocol.
    Reconstructed,
}

impl Evidence {
    /// Whether the octets were captured.
    #[must_use]
    pub const fn is_captured(self) -> bool {
        matches!(self, Self::Captured)
    }
}

/// The protocol whose header could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// The link-layer header of the capture.
    Link,
    /// IPv4, RFC 791.
    Ipv4,
    /// IPv6, RFC 8200.
    Ipv6,
    /// UDP, RFC 768.
    Udp,
    /// TCP, RFC 9293.
    Tcp,
    /// ICMP, RFC 792.
    Icmpv4,
    /// `ICMPv6`, RFC 4443.
    Icmpv6,
    /// An ICMP extension object, RFC 4884 §8.
    ExtensionObject,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Link => "link-layer header",
            Self::Ipv4 => "IPv4 header",
            Self::Ipv6 => "IPv6 header",
            Self::Udp => "UDP header",
            Self::Tcp => "TCP header",
            Self::Icmpv4 => "ICMP header",
            Self::Icmpv6 => "ICMPv6 header",
            Self::ExtensionObject => "ICMP extension object",
        })
    }
}

/// A header that is not all there, or that lies about its own length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{layer} at byte {offset}: {needed} bytes needed, {have} there")]
#[non_exhaustive]
pub struct WireError {
    /// The protocol of the header.
    pub layer: Layer,
    /// The offset in the given bytes at which the header was expected to begin.
    pub offset: usize,
    /// The smallest number of bytes that the header takes.
    pub needed: usize,
    /// The number of bytes that are there, or that the header claims.
    pub have: usize,
}

/// `N` bytes of `bytes` at `offset`, or the error that says how many are missing.
fn array<const N: usize>(bytes: &[u8], offset: usize, layer: Layer) -> Result<[u8; N], WireError> {
    bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(WireError {
        layer,
        offset,
        needed: N,
        have: bytes.len().saturating_sub(offset),
    })
}
