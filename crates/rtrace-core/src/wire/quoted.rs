//! The datagram quoted in an ICMP error: the "original datagram" of RFC 792 and RFC 1812 §4.3.2.3.
//!
//! Routers quote what they received, so the TTL in it is the one the probe arrived with. Eight bytes
//! of payload are all that RFC 792 promises; a quote may end anywhere and its lengths may lie. Cut off
//! what is appended to it (`extension::quoted_and_extension`) before decoding it.

use super::WireError;
use super::ip::{self, IpHeader};

/// A quoted datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quoted<'a> {
    /// The IP header as the router quoted it.
    pub header: IpHeader,
    /// The part of its payload that was quoted.
    pub payload: &'a [u8],
    /// The number of bytes of the datagram that were quoted, header included.
    pub len: usize,
}

impl Quoted<'_> {
    /// Leaves out the IP-ID and the flow label of a [reconstructed](super::Evidence::Reconstructed) quote: they are not
    /// known, and zero there.
    pub(crate) fn forget_unknown(&mut self) {
        (self.header.id, self.header.flow_label) = (None, None);
    }
}

/// How much of the payload RFC 792 promises, and every protocol's header has at least.
const PROMISED: usize = 8;

/// Where IPv4 has its flags and fragment offset, and what they are with Don't Fragment in the wrong byte order.
const FRAGMENT_AT: usize = 6;
const SWAPPED_DONT_FRAGMENT: [u8; 2] = [0x00, 0x40];

/// The quoted datagram at the beginning of `bytes`, which follow the ICMP header.
///
/// Some hosts quote the total length in the wrong byte order, or without the header. So it does not
/// cut the payload below the eight bytes that are promised. Or they quote flags and fragment offset in the wrong byte order:
/// then Don't Fragment looks like an offset, but there are no errors about later fragments (RFC 1122 §3.2.2).
///
/// # Errors
/// When its IP header is not whole.
pub fn decode(bytes: &[u8]) -> Result<Quoted<'_>, WireError> {
    let (mut header, told) = ip::decode(bytes)?;
    let fragment: Option<&[u8; 2]> = bytes.get(FRAGMENT_AT..).and_then(<[u8]>::first_chunk);
    if header.source.is_ipv4() && fragment == Some(&SWAPPED_DONT_FRAGMENT) {
        (header.is_first, header.dont_fragment) = (true, true);
    }
    let lenient = header.source.is_ipv4() && told.len() < PROMISED;
    let there = bytes.get(header.header_len..).unwrap_or_default();
    let payload = if lenient { there.get(..PROMISED).unwrap_or(there) } else { told };
    Ok(Quoted { header, payload, len: header.header_len + payload.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(quoted: &Quoted<'_>) -> Option<(u16, u16)> {
        let header = crate::wire::udp::decode(quoted.payload).ok()?;
        Some((header.source_port, header.destination_port))
    }

    /// A UDP datagram of 60 bytes from port 32768 to 33434, of which 48 are quoted.
    fn quote() -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 60, 0, 1, 0, 0, 1, 17, 0, 0, 192, 0, 2, 7, 198, 51, 100, 1, //
            0x80, 0, 0x82, 0x9a, 0, 40, 0, 0,
        ];
        bytes.resize(48, 0x40);
        bytes
    }

    #[test]
    fn a_quote_may_end_anywhere() {
        let bytes = quote();
        for len in 0..=bytes.len() {
            let quoted = decode(&bytes[..len]);
            assert_eq!(quoted.is_ok(), len >= 20);
            let Ok(quoted) = quoted else { continue };
            assert_eq!((quoted.len, quoted.payload.len(), quoted.header.ttl), (len, len - 20, 1));
            assert_eq!(ports(&quoted), (len >= 28).then_some((32_768, 33_434)));
        }
    }

    #[test]
    fn dont_fragment_in_the_wrong_byte_order_is_no_later_fragment() {
        let mut bytes = quote();
        for (word, first, dont_fragment) in
            [([0x40, 0], true, true), ([0, 0x40], true, true), ([0, 0x41], false, false)]
        {
            bytes[6..8].copy_from_slice(&word);
            let header = decode(&bytes).unwrap().header;
            assert_eq!((header.is_first, header.dont_fragment), (first, dont_fragment));
        }
    }

    #[test]
    fn options_are_walked_over_and_padding_is_cut() {
        let mut bytes = quote();
        bytes[3] = 40;
        assert_eq!(decode(&bytes).unwrap().len, 40);
        bytes[0] = 0x46;
        bytes.splice(20..20, [7, 4, 4, 0]);
        let quoted = decode(&bytes).unwrap();
        assert_eq!((quoted.len, ports(&quoted)), (40, Some((32_768, 33_434))));
    }

    #[test]
    fn a_total_length_that_lies_leaves_what_is_promised() {
        let mut bytes = quote();
        // Of 5,376 bytes in the wrong byte order, without the header, and the like.
        for (high, low, len) in [(0, 21, 28), (0, 20, 28), (0, 28, 28), (0, 19, 48), (60, 0, 48)] {
            bytes[2..4].copy_from_slice(&[high, low]);
            let quoted = decode(&bytes).unwrap();
            assert_eq!((quoted.len, ports(&quoted)), (len, Some((32_768, 33_434))), "{high} {low}");
        }
    }
}
