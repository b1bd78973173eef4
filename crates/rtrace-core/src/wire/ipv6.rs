//! The IPv6 header and its extension headers (RFC 8200 §3 and §4; authentication header: RFC 4302 §2).
//!
//! A datagram is walked up to the first header that is not an extension header, or that is not all
//! there: `protocol` names that header and `payload` begins with it. So a quote cut within an
//! extension header is not an error, and nothing is taken for UDP that is not.

use std::net::Ipv6Addr;

use super::{Layer, WireError, array};

/// Length of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Next header: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Next header: routing.
pub const ROUTING: u8 = 43;
/// Next header: fragment.
pub const FRAGMENT: u8 = 44;
/// Next header: authentication.
pub const AUTHENTICATION: u8 = 51;
/// Next header: `ICMPv6`.
pub const ICMPV6: u8 = 58;
/// Next header: nothing follows.
pub const NO_NEXT_HEADER: u8 = 59;
/// Next header: destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

/// The longest chain of extension headers that is followed. RFC 8200 §4.1 names six and lets none but
/// one come twice; a longer chain is made to cost time.
const MAX_EXTENSION_HEADERS: usize = 16;

/// The fields of an IPv6 datagram's headers that rtrace works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Traffic class: DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Length of all that follows the fixed header, in bytes, as the header tells it.
    pub payload_len: u16,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: Ipv6Addr,
    /// Final destination address: where a routing header leads, if there is one that is not used up. It is what
    /// checksums cover (RFC 8200 §8.1), and the same at every hop.
    pub destination: Ipv6Addr,
    /// Length of the fixed header and the extension headers walked over, in bytes.
    pub header_len: usize,
    /// Protocol of the payload: an extension header's number if that header is not all there.
    pub protocol: u8,
    /// What the fragment header says, if there is one.
    pub fragment: Option<Fragment>,
}

/// The fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where in the original payload this fragment belongs, in units of 8 bytes. Unless this is 0 the
    /// payload does not begin with the header of its protocol.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// Identification.
    pub id: u32,
}

/// The headers, and what follows them: as much as `bytes` hold of it, without link-layer padding.
///
/// # Errors
/// When fewer than 40 bytes are there or the version is not 6.
pub fn decode(bytes: &[u8]) -> Result<(Ipv6Header, &[u8]), WireError> {
    let head: [u8; HEADER_LEN] = array(bytes, 0, Layer::Ipv6)?;
    if head[0] >> 4 != 6 {
        return Err(WireError { layer: Layer::Ipv6, offset: 0, needed: HEADER_LEN, have: 0 });
    }
    let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let payload_len = u16::from_be_bytes([head[4], head[5]]);
    let next_header = head[6];
    let rest = within(payload_len, next_header, &bytes[HEADER_LEN..]);
    let Walk { protocol, fragment, payload, routed_to } = walk(next_header, rest);
    let header = Ipv6Header {
        #[expect(clippy::cast_possible_truncation, reason = "the eight bits after the version")]
        traffic_class: (first >> 20) as u8,
        flow_label: first & 0x000f_ffff,
        payload_len,
        hop_limit: head[7],
        source: address(&head, 8),
        destination: routed_to.unwrap_or_else(|| address(&head, 24)),
        header_len: HEADER_LEN + rest.len() - payload.len(),
        protocol,
        fragment,
    };
    Ok((header, payload))
}

/// What belongs to the datagram. A length of 0 is a jumbogram's or an offload's (RFC 2675 §3) and
/// says nothing, unless the header says that nothing follows.
fn within(payload_len: u16, next_header: u8, rest: &[u8]) -> &[u8] {
    match usize::from(payload_len) {
        0 if next_header != NO_NEXT_HEADER => rest,
        len => rest.get(..len).unwrap_or(rest),
    }
}

fn address(head: &[u8; HEADER_LEN], offset: usize) -> Ipv6Addr {
    let octets: [u8; 16] = array(head, offset, Layer::Ipv6).unwrap_or_default();
    Ipv6Addr::from(octets)
}

/// Where the walk over the extension headers has come to.
struct Walk<'a> {
    protocol: u8,
    fragment: Option<Fragment>,
    payload: &'a [u8],
    /// The final destination that a routing header tells.
    routed_to: Option<Ipv6Addr>,
}

fn walk(next_header: u8, rest: &[u8]) -> Walk<'_> {
    let mut at = Walk { protocol: next_header, fragment: None, payload: rest, routed_to: None };
    for _ in 0..MAX_EXTENSION_HEADERS {
        // Only the first fragment holds the headers that would follow.
        if at.fragment.is_some_and(|fragment| fragment.offset != 0) {
            break;
        }
        let Some(len) = extension_len(at.protocol, at.payload) else { break };
        let Some((header, payload)) = at.payload.split_at_checked(len) else { break };
        if at.protocol == FRAGMENT {
            at.fragment = fragment(header);
        } else if at.protocol == ROUTING {
            at.routed_to = at.routed_to.or_else(|| final_destination(header));
        }
        at.protocol = header.first().copied().unwrap_or(NO_NEXT_HEADER);
        at.payload = payload;
    }
    at
}

/// The length in bytes that the extension header of this number at the beginning of `bytes` claims;
/// `None` if it is none, or is not there.
fn extension_len(number: u8, bytes: &[u8]) -> Option<usize> {
    let units = usize::from(*bytes.get(1)?);
    match number {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => Some((units + 1) * 8),
        FRAGMENT => Some(8),
        AUTHENTICATION => Some((units + 2) * 4),
        _ => None,
    }
}

/// Where a routing header finally leads (RFC 8200 §4.4), of the types whose addresses are whole: the last of them
/// with the deprecated type 0 (RFC 5095) and with type 2 (RFC 6275 §6.4), the first in the segment list, which is in
/// reverse, with type 4 (RFC 8754 §2). `None` if no segments are left: then the fixed header has it.
fn final_destination(header: &[u8]) -> Option<Ipv6Addr> {
    const ADDRESSES: usize = 8;
    const ADDRESS_LEN: usize = 16;
    let [_, units, routing_type, left] = *header.first_chunk()?;
    let addresses = usize::from(units) / 2;
    let index = match routing_type {
        0 | 2 => addresses.checked_sub(1)?,
        4 => 0,
        _ => return None,
    };
    let octets = header.get(ADDRESSES + index * ADDRESS_LEN..)?.first_chunk::<ADDRESS_LEN>()?;
    (left > 0).then(|| Ipv6Addr::from(*octets))
}

fn fragment(header: &[u8]) -> Option<Fragment> {
    let [_, _, high, low, a, b, c, d] = *header.first_chunk()?;
    let word = u16::from_be_bytes([high, low]);
    Some(Fragment { offset: word >> 3, more: word & 1 == 1, id: u32::from_be_bytes([a, b, c, d]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UDP: u8 = 17;

    /// RFC 8200 §3: traffic class 0x2e, flow label 0x12345, hop limit 7, and two addresses.
    fn datagram(payload_len: u16, next_header: u8, rest: &[u8]) -> Vec<u8> {
        let [high, low] = payload_len.to_be_bytes();
        let mut bytes = vec![0x62, 0xe1, 0x23, 0x45, high, low, next_header, 7];
        for last in [1, 2] {
            bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn fields_are_where_rfc_8200_puts_them() {
        let bytes = datagram(4, UDP, &[1, 2, 3, 4, 0, 0]);
        let (header, payload) = decode(&bytes).unwrap();
        assert_eq!(
            header,
            Ipv6Header {
                traffic_class: 0x2e,
                flow_label: 0x12345,
                payload_len: 4,
                hop_limit: 7,
                source: "2001:db8::1".parse().unwrap(),
                destination: "2001:db8::2".parse().unwrap(),
                header_len: 40,
                protocol: UDP,
                fragment: None,
            }
        );
        assert_eq!(payload, [1, 2, 3, 4], "padding is cut");
        for len in 0..40 {
            assert_eq!(decode(&bytes[..len]).unwrap_err().have, len);
        }
        let mut version_4 = bytes;
        version_4[0] = 0x45;
        assert!(decode(&version_4).is_err());
    }

    #[test]
    fn extension_headers_are_walked_over() {
        // Each with its length and the number of the next; an authentication header counts in words.
        let hop_by_hop = |next| vec![next, 0, 5, 2, 0, 0, 1, 0];
        let routing = |next| [&[next, 2, 0, 1][..], &[0; 20]].concat();
        let options = |next| [&[next, 1][..], &[0; 14]].concat();
        let authentication = |next| [&[next, 4][..], &[0; 22]].concat();
        let fragment = |next, word: u8| vec![next, 0, 0, word, 0xde, 0xad, 0xbe, 0xef];
        let udp = [0x82, 0x9a];
        let whole = Some(Fragment { offset: 0, more: true, id: 0xdead_beef });
        let later = Some(Fragment { offset: 1, more: false, id: 0xdead_beef });
        let cases = [
            ("none", UDP, vec![], UDP, None, 40),
            ("no next header", NO_NEXT_HEADER, vec![], NO_NEXT_HEADER, None, 40),
            ("hop-by-hop", HOP_BY_HOP, hop_by_hop(UDP), UDP, None, 48),
            ("routing", ROUTING, routing(UDP), UDP, None, 64),
            ("options", DESTINATION_OPTIONS, options(UDP), UDP, None, 56),
            ("authentication", AUTHENTICATION, authentication(UDP), UDP, None, 64),
            ("first fragment", FRAGMENT, fragment(UDP, 1), UDP, whole, 48),
            (
                "all, in the order of RFC 8200 section 4.1",
                HOP_BY_HOP,
                [
                    hop_by_hop(DESTINATION_OPTIONS),
                    options(ROUTING),
                    routing(FRAGMENT),
                    fragment(AUTHENTICATION, 1),
                    authentication(DESTINATION_OPTIONS),
                    options(UDP),
                ]
                .concat(),
                UDP,
                whole,
                40 + 8 + 16 + 24 + 8 + 24 + 16,
            ),
            ("later fragment", FRAGMENT, fragment(HOP_BY_HOP, 8), HOP_BY_HOP, later, 48),
        ];
        for (name, first, mut rest, protocol, fragment, header_len) in cases {
            rest.extend(udp);
            let bytes = datagram(u16::try_from(rest.len()).unwrap(), first, &rest);
            let (header, payload) = decode(&bytes).unwrap();
            assert_eq!(
                (header.protocol, header.fragment, header.header_len),
                (protocol, fragment, header_len),
                "{name}"
            );
            assert_eq!(payload, udp, "{name}");
        }
    }

    #[test]
    fn the_final_destination_is_where_a_routing_header_leads() {
        let first: Ipv6Addr = "2001:db8::a".parse().unwrap();
        let last: Ipv6Addr = "2001:db8::b".parse().unwrap();
        let fixed: Ipv6Addr = "2001:db8::2".parse().unwrap();
        // Type, segments left, and the addresses in their order.
        for (kind, left, addresses, expected) in [
            (0, 2, [first, last], last),
            (0, 1, [first, last], last),
            (0, 0, [first, last], fixed),
            (2, 1, [first, last], last),
            (4, 1, [last, first], last),
            (4, 0, [last, first], fixed),
            (3, 1, [first, last], fixed),
        ] {
            let mut rest = vec![UDP, 4, kind, left, 0, 0, 0, 0];
            rest.extend(addresses.iter().flat_map(Ipv6Addr::octets));
            rest.extend([0x82, 0x9a]);
            let bytes = datagram(42, ROUTING, &rest);
            assert_eq!(decode(&bytes).unwrap().0.destination, expected, "type {kind}, {left} left");
            for cut in 40..80 {
                let cut = decode(&bytes[..cut]).unwrap().0;
                assert_eq!((cut.destination, cut.protocol), (fixed, ROUTING), "not all there");
            }
        }
        let empty = datagram(8, ROUTING, &[UDP, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(decode(&empty).unwrap().0.destination, fixed);
    }

    #[test]
    fn a_cut_extension_header_is_never_taken_for_the_payload() {
        let whole =
            datagram(18, HOP_BY_HOP, &[UDP, 1, 5, 2, 0, 0, 1, 10, 1, 8, 0, 0, 0, 0, 0, 0, 9, 9]);
        assert_eq!(decode(&whole).unwrap().0.protocol, UDP);
        for len in 40..56 {
            let (header, payload) = decode(&whole[..len]).unwrap();
            assert_eq!((header.protocol, header.header_len), (HOP_BY_HOP, 40));
            assert_eq!(payload, &whole[40..len]);
        }
    }

    #[test]
    fn a_payload_length_of_zero_says_nothing() {
        assert_eq!(decode(&datagram(0, UDP, &[1, 2])).unwrap().1, [1, 2]);
        assert!(decode(&datagram(0, NO_NEXT_HEADER, &[1, 2])).unwrap().1.is_empty());
        assert_eq!(
            decode(&datagram(9, UDP, &[1, 2])).unwrap().1,
            [1, 2],
            "a longer one is a cut quote"
        );
    }

    #[test]
    fn an_endless_chain_is_given_up() {
        let chain = [DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(1000);
        let bytes = datagram(8000, DESTINATION_OPTIONS, &chain);
        let (header, payload) = decode(&bytes).unwrap();
        assert_eq!(header.protocol, DESTINATION_OPTIONS);
        assert_eq!(header.header_len + payload.len(), bytes.len());
    }

    proptest! {
        #[test]
        fn headers_and_payload_are_the_datagram(
            payload_len: u16,
            next_header in prop_oneof![Just(0), Just(43), Just(44), Just(51), Just(60), any::<u8>()],
            rest in proptest::collection::vec(prop_oneof![0_u8..3, 40_u8..64, any::<u8>()], 0..200),
            flip in proptest::option::of((0_usize..40, any::<u8>())),
        ) {
            let mut bytes = datagram(payload_len, next_header, &rest);
            if let Some((at, value)) = flip {
                bytes[at] = value;
            }
            if let Ok((header, payload)) = decode(&bytes) {
                prop_assert!(header.header_len + payload.len() <= bytes.len());
                prop_assert!(bytes[header.header_len..].starts_with(payload));
            }
        }
    }
}
