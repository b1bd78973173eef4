//! Whether the checksum of a quoted message is right: what was changed without mending it is broken.
//!
//! A quote seldom holds the whole message. What it lacks is taken as it was sent, so a wrong checksum of a quote
//! that is not whole may also come of changes that are not quoted.

use crate::wire::checksum::{transport, udp_lite};
use crate::wire::ip::{self, IpHeader};
use crate::wire::ipv4;

/// What the checksum of UDP, UDP-Lite, TCP or ICMP says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is that of the message.
    Right,
    /// It is not.
    Wrong,
    /// The sender made none: 0 in UDP over IPv4 (RFC 768).
    Absent,
}

impl Verdict {
    /// The checksum of a datagram, where `message` is everything after its IP header. `None` if its protocol has no checksum
    /// that rtrace knows, or the message is not whole.
    pub(super) fn of(header: &IpHeader, message: &[u8]) -> Option<Self> {
        let whole = header.header_len + message.len() == header.total_len;
        if !whole || !header.is_first || header.more_fragments {
            return None;
        }
        let checksum = message.get(checksum_at(header)?..)?.first_chunk::<2>()?;
        let (source, destination) = (header.source, header.destination);
        let right = match header.protocol {
            ipv4::UDP if source.is_ipv4() && *checksum == [0, 0] => return Some(Self::Absent),
            ipv4::UDP_LITE => udp_lite(source, destination, message) == Some(0),
            _ if header.is_icmp() => ip::icmp_checksum_is_right(header, message),
            protocol => transport(source, destination, protocol, message) == 0,
        };
        Some(if right { Self::Right } else { Self::Wrong })
    }

    /// The checksum of a quoted message: `quoted`, followed by the octets as sent.
    ///
    /// Of a quote that tells another length there is none: some hosts mangle that field, and what a shorter or longer
    /// message was is not known.
    pub(super) fn of_quote(
        quoted_header: &IpHeader,
        quoted: &[u8],
        sent_header: &IpHeader,
        sent: &[u8],
    ) -> Option<Self> {
        let told = |it: &IpHeader| (it.protocol, it.header_len, it.total_len);
        let holds_checksum = quoted.len() >= checksum_at(quoted_header)? + 2;
        if told(quoted_header) != told(sent_header) || !holds_checksum {
            return None;
        }
        let mut message = sent.to_vec();
        let len = quoted.len().min(message.len());
        message.get_mut(..len)?.copy_from_slice(quoted.get(..len)?);
        Self::of(quoted_header, &message)
    }
}

/// Where a message of this protocol has its checksum.
fn checksum_at(header: &IpHeader) -> Option<usize> {
    match header.protocol {
        ipv4::UDP | ipv4::UDP_LITE => Some(6),
        ipv4::TCP => Some(16),
        _ if header.is_icmp() => Some(2),
        _ => None,
    }
}
