//! The IPv4 header (RFC 791 §3.1).

use std::net::Ipv4Addr;

use super::{Layer, WireError, array};

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of UDP-Lite (RFC 3828), whose header is UDP's with a checksum coverage in place of
/// the length.
pub const UDP_LITE: u8 = 136;

/// The fields of an IPv4 header that rtrace works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Header length in bytes, options included: 20 to 60.
    pub header_len: u8,
    /// Type of service: DSCP and ECN.
    pub tos: u8,
    /// Length of the datagram in bytes as the header tells it.
    pub total_len: u16,
    /// Identification.
    pub id: u16,
    /// The Don't Fragment flag.
    pub dont_fragment: bool,
    /// The More Fragments flag.
    pub more_fragments: bool,
    /// Where in the original datagram this fragment belongs, in units of 8 bytes.
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Final destination address: where a source route leads that is not used up, which is what checksums cover.
    pub destination: Ipv4Addr,
}

/// The header, and what follows it: as much as `bytes` hold of it, without link-layer padding where
/// the total length shows how much that is (some routers and offloads leave it 0 or wrong in quotes,
/// so a total length below the header length is not believed).
///
/// # Errors
/// When fewer than 20 bytes are there, the version is not 4, or the header claims a length under 20
/// or past the end.
pub fn decode(bytes: &[u8]) -> Result<(Ipv4Header, &[u8]), WireError> {
    let head: [u8; 20] = array(bytes, 0, Layer::Ipv4)?;
    let header_len = usize::from(head[0] & 0x0f) * 4;
    let short =
        |have| WireError { layer: Layer::Ipv4, offset: 0, needed: header_len.max(20), have };
    if head[0] >> 4 != 4 || header_len < 20 {
        return Err(short(header_len));
    }
    if bytes.len() < header_len {
        return Err(short(bytes.len()));
    }
    let total_len = u16::from_be_bytes([head[2], head[3]]);
    let fragment = u16::from_be_bytes([head[6], head[7]]);
    let header = Ipv4Header {
        header_len: (head[0] & 0x0f) * 4,
        tos: head[1],
        total_len,
        id: u16::from_be_bytes([head[4], head[5]]),
        dont_fragment: fragment & 0x4000 != 0,
        more_fragments: fragment & 0x2000 != 0,
        fragment_offset: fragment & 0x1fff,
        ttl: head[8],
        protocol: head[9],
        source: Ipv4Addr::new(head[12], head[13], head[14], head[15]),
        destination: source_route(&bytes[20..header_len])
            .unwrap_or_else(|| Ipv4Addr::new(head[16], head[17], head[18], head[19])),
    };
    let end = match usize::from(total_len) {
        total if total >= header_len => total.min(bytes.len()),
        _ => bytes.len(),
    };
    Ok((header, &bytes[header_len..end]))
}

/// Where a loose or strict source route among these options finally leads (RFC 791 §3.1); `None` if it is used up.
fn source_route(mut options: &[u8]) -> Option<Ipv4Addr> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const ROUTES: [u8; 2] = [131, 137];
    while let [kind, rest @ ..] = options {
        options = match *kind {
            END => return None,
            NO_OPERATION => rest,
            kind => {
                let len = usize::from(*rest.first()?);
                let (option, after) = options.split_at_checked(len.max(2))?;
                if ROUTES.contains(&kind) {
                    // The pointer counts octets of the option from 1.
                    let left = usize::from(*option.get(2)?) + 3 <= len;
                    let last = option.get(3..).and_then(|addresses| addresses.last_chunk::<4>());
                    return last.filter(|_| left).copied().map(Ipv4Addr::from);
                }
                after
            }
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATAGRAM: [u8; 24] = [
        0x45, 0x10, 0x00, 0x18, 0xa5, 0x4c, 0x40, 0x00, 0x07, 0x11, 0, 0, 10, 0, 0, 1, 192, 0, 2,
        9, 1, 2, 3, 4,
    ];

    #[test]
    fn fields_are_where_rfc_791_puts_them() {
        let (header, payload) = decode(&DATAGRAM).unwrap();
        assert_eq!(
            header,
            Ipv4Header {
                header_len: 20,
                tos: 0x10,
                total_len: 24,
                id: 0xa54c,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                ttl: 7,
                protocol: UDP,
                source: Ipv4Addr::new(10, 0, 0, 1),
                destination: Ipv4Addr::new(192, 0, 2, 9),
            }
        );
        assert_eq!(payload, [1, 2, 3, 4]);
    }

    #[test]
    fn the_final_destination_is_where_a_source_route_leads() {
        let fixed = Ipv4Addr::new(192, 0, 2, 9);
        let last = Ipv4Addr::new(203, 0, 113, 9);
        for (options, expected) in [
            ([1, 131, 7, 4, 203, 0, 113, 9], last),
            ([1, 131, 7, 8, 203, 0, 113, 9], fixed),
            ([137, 7, 4, 203, 0, 113, 9, 0], last),
            ([1, 1, 131, 7, 4, 203, 0, 113], fixed),
            ([0, 131, 7, 4, 203, 0, 113, 9], fixed),
            ([131, 3, 4, 0, 0, 0, 0, 0], fixed),
            ([131, 0, 4, 0, 0, 0, 0, 0], fixed),
            ([148, 4, 0, 0, 0, 0, 0, 131], fixed),
        ] {
            let mut bytes = DATAGRAM.to_vec();
            bytes[0] = 0x47;
            bytes[3] = 32;
            bytes.splice(20..20, options);
            assert_eq!(decode(&bytes).unwrap().0.destination, expected, "{options:?}");
        }
    }

    #[test]
    fn padding_is_cut_and_lies_are_not_believed() {
        let mut padded = [DATAGRAM.as_slice(), &[0; 22]].concat();
        assert_eq!(decode(&padded).unwrap().1, [1, 2, 3, 4]);
        padded[3] = 3; // a total length shorter than the header
        assert_eq!(decode(&padded).unwrap().1.len(), 26);
        for ihl in 0..5 {
            padded[0] = 0x40 | ihl;
            assert!(decode(&padded).is_err());
        }
        padded[0] = 0x4f;
        assert!(decode(&padded).is_err(), "60 bytes of header in 46");
        padded[0] = 0x65;
        assert!(decode(&padded).is_err(), "version 6");
    }
}
