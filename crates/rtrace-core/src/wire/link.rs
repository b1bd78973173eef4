//! Link-layer headers: from a captured frame to the IP datagram in it.
//!
//! Link types are those of pcap files (<https://www.tcpdump.org/linktypes.html>). Whatever lies
//! between the link header and IP (802.1Q and 802.1ad tags, `PPPoE` sessions, MPLS label stacks) is walked over.

use super::{Layer, WireError, array};

/// The kind of header that captured frames begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// BSD loopback: a 4-byte address family in the byte order of the capturing host.
    Null,
    /// Ethernet II.
    Ethernet,
    /// PPP, with or without the HDLC address and control bytes.
    Ppp,
    /// PPP over Ethernet without the Ethernet header (RFC 2516).
    PppEther,
    /// PPP after one octet that says in which direction it went.
    PppWithDirection,
    /// Cisco's HDLC: address, control, and the ethertype.
    CiscoHdlc,
    /// No link header: the frame is an IP datagram.
    Raw,
    /// `OpenBSD` loopback: a 4-byte address family in network byte order.
    Loop,
    /// Linux cooked capture.
    Sll,
    /// Linux cooked capture, version 2, which names the interface.
    Sll2,
    /// A link type that rtrace does not read, by its number in the file.
    Other(u32),
}

/// Every link type that has a name here, with its number in capture files.
const NUMBERS: &[(LinkType, u32)] = &[
    (LinkType::Null, 0),
    (LinkType::Ethernet, 1),
    (LinkType::Ppp, 9),
    (LinkType::PppEther, 51),
    (LinkType::Raw, 101),
    (LinkType::CiscoHdlc, 104),
    (LinkType::Loop, 108),
    (LinkType::Sll, 113),
    (LinkType::PppWithDirection, 204),
    (LinkType::Sll2, 276),
];

/// Further numbers under which files carry one of the above: BSD's own raw IP, PPP in HDLC-like
/// framing, that of pppd, and the link types that say which IP version follows.
const ALIASES: &[(u32, LinkType)] = &[
    (12, LinkType::Raw),
    (14, LinkType::Raw),
    (50, LinkType::Ppp),
    (166, LinkType::PppWithDirection),
    (228, LinkType::Raw),
    (229, LinkType::Raw),
];

impl LinkType {
    /// The link type with this number in a capture file.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        let named = NUMBERS.iter().find(|(_, n)| *n == number).map(|(link, _)| *link);
        let alias = || ALIASES.iter().find(|(n, _)| *n == number).map(|(_, link)| *link);
        named.or_else(alias).unwrap_or(Self::Other(number))
    }

    /// The number of this link type in a capture file.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Other(number) => number,
            named => NUMBERS.iter().find(|(link, _)| *link == named).map_or(0, |(_, n)| *n),
        }
    }
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_MPLS: [u16; 2] = [0x8847, 0x8848];
const ETHERTYPE_PPPOE: u16 = 0x8864;
const ETHERTYPE_VLAN: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
const PPP_MPLS: [u16; 2] = [0x0281, 0x0283];

/// The IP datagram in a captured frame, with trailing padding still attached; `None` when the frame
/// carries something else, or is of a link type that rtrace does not read.
///
/// # Errors
/// When the frame ends within the headers before IP.
pub fn ip_datagram(link: LinkType, frame: &[u8]) -> Result<Option<&[u8]>, WireError> {
    let (ethertype, offset) = match link {
        LinkType::Ethernet => (u16::from_be_bytes(array(frame, 12, Layer::Link)?), 14),
        LinkType::Sll => (u16::from_be_bytes(array(frame, 14, Layer::Link)?), 16),
        LinkType::Sll2 => {
            let _whole: [u8; 20] = array(frame, 0, Layer::Link)?;
            (u16::from_be_bytes(array(frame, 0, Layer::Link)?), 20)
        }
        LinkType::Ppp => ppp(frame, 0)?,
        LinkType::PppWithDirection => ppp(frame, 1)?,
        LinkType::PppEther => (ETHERTYPE_PPPOE, 0),
        LinkType::CiscoHdlc => (u16::from_be_bytes(array(frame, 2, Layer::Link)?), 4),
        LinkType::Raw => return by_version(frame, 0),
        LinkType::Null | LinkType::Loop => return by_version(frame, 4),
        LinkType::Other(_) => return Ok(None),
    };
    after_ethertype(frame, ethertype, offset)
}

/// The address of the machine on the link that a frame was sent to, where the link header says one.
#[must_use]
pub fn next_hop(link: LinkType, frame: &[u8]) -> Option<[u8; 6]> {
    let address = *frame.first_chunk().filter(|_| link == LinkType::Ethernet)?;
    (address != [0; 6]).then_some(address)
}

/// The number of the interface that a cooked frame was seen on, as its header says.
#[must_use]
pub fn cooked_interface(link: LinkType, frame: &[u8]) -> Option<u32> {
    let number = frame.get(4..)?.first_chunk().filter(|_| link == LinkType::Sll2)?;
    Some(u32::from_be_bytes(*number))
}

/// The IP datagram in a frame behind a header of another link type, one in which nothing but the protocol is said; `None` if
/// there is none, or no such header.
#[must_use]
pub fn reframed(link: LinkType, frame: &[u8], to: LinkType) -> Option<Vec<u8>> {
    let datagram = ip_datagram(link, frame).ok()??;
    let protocol = match datagram.first()? >> 4 {
        4 => ETHERTYPE_IPV4,
        6 => ETHERTYPE_IPV6,
        _ => return None,
    };
    let protocol = protocol.to_be_bytes();
    let header = match to {
        LinkType::Raw => Vec::new(),
        LinkType::Ethernet => [[0; 12].as_slice(), &protocol].concat(),
        LinkType::Sll2 => [protocol.as_slice(), &[0; 18]].concat(),
        _ => return None,
    };
    Some([header.as_slice(), datagram].concat())
}

/// The PPP frame at `offset`. RFC 1661 §2 and RFC 1662 §3.1: optional address and control bytes, then one or two
/// protocol bytes (the low bit of the first says which). The result is in Ethernet's numbers.
fn ppp(frame: &[u8], offset: usize) -> Result<(u16, usize), WireError> {
    let framed = frame.get(offset..).is_some_and(|rest| rest.starts_with(&[0xff, 0x03]));
    let start = offset + if framed { 2 } else { 0 };
    let [first] = array(frame, start, Layer::Link)?;
    let (protocol, offset) = if first & 1 == 1 {
        (u16::from(first), start + 1)
    } else {
        (u16::from_be_bytes(array(frame, start, Layer::Link)?), start + 2)
    };
    let ethertype = match protocol {
        PPP_IPV4 => ETHERTYPE_IPV4,
        PPP_IPV6 => ETHERTYPE_IPV6,
        p if PPP_MPLS.contains(&p) => ETHERTYPE_MPLS[0],
        _ => 0,
    };
    Ok((ethertype, offset))
}

/// RFC 2516 §4: the header of a session's frame (code 0), then PPP.
fn pppoe(frame: &[u8], offset: usize) -> Result<(u16, usize), WireError> {
    const HEADER: usize = 6;
    let [version_and_type, code] = array(frame, offset, Layer::Link)?;
    if (version_and_type, code) == (0x11, 0) {
        ppp(frame, offset + HEADER)
    } else {
        Ok((0, offset))
    }
}

/// Walks over VLAN tags, `PPPoE` sessions and MPLS label stacks. Every step moves `offset` forward, so it ends.
fn after_ethertype(
    frame: &[u8],
    mut ethertype: u16,
    mut offset: usize,
) -> Result<Option<&[u8]>, WireError> {
    loop {
        if ethertype == ETHERTYPE_IPV4 || ethertype == ETHERTYPE_IPV6 {
            return by_version(frame, offset);
        } else if ETHERTYPE_VLAN.contains(&ethertype) {
            ethertype = u16::from_be_bytes(array(frame, offset + 2, Layer::Link)?);
            offset += 4;
        } else if ethertype == ETHERTYPE_PPPOE {
            (ethertype, offset) = pppoe(frame, offset)?;
        } else if ETHERTYPE_MPLS.contains(&ethertype) {
            return after_labels(frame, offset);
        } else {
            return Ok(None);
        }
    }
}

/// RFC 3032 §2.1: label stack entries of 4 bytes up to the one with the bottom-of-stack bit. What
/// follows is known by its first four bits only.
fn after_labels(frame: &[u8], mut offset: usize) -> Result<Option<&[u8]>, WireError> {
    loop {
        let [_, _, bottom, _] = array(frame, offset, Layer::Link)?;
        offset += 4;
        if bottom & 1 == 1 {
            return by_version(frame, offset);
        }
    }
}

/// What begins at `offset`, if it looks like IP.
fn by_version(frame: &[u8], offset: usize) -> Result<Option<&[u8]>, WireError> {
    let [first] = array(frame, offset, Layer::Link)?;
    Ok(matches!(first >> 4, 4 | 6).then(|| &frame[offset..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of an IPv4 datagram, enough to be recognised.
    const IP: &[u8] = &[0x45, 0, 0, 20];

    fn frame(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn every_link_type_leads_to_its_datagram() {
        let macs: &[u8] = &[0; 12];
        let cases: Vec<(LinkType, Vec<u8>)> = vec![
            (LinkType::Ethernet, frame(&[macs, &[0x08, 0x00], IP])),
            (LinkType::Ethernet, frame(&[macs, &[0x81, 0x00, 0, 7, 0x08, 0x00], IP])),
            (
                LinkType::Ethernet,
                frame(&[macs, &[0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x08, 0x00], IP]),
            ),
            (LinkType::Ethernet, frame(&[macs, &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64], IP])),
            (
                LinkType::Ethernet,
                frame(&[macs, &[0x88, 0x64, 0x11, 0, 0, 9, 0, 22, 0x00, 0x21], IP]),
            ),
            (
                LinkType::Ethernet,
                frame(&[macs, &[0x81, 0, 0, 7, 0x88, 0x64, 0x11, 0, 0, 9, 0, 22, 0x21], IP]),
            ),
            (LinkType::PppEther, frame(&[&[0x11, 0, 0, 9, 0, 22, 0x00, 0x21], IP])),
            (LinkType::PppWithDirection, frame(&[&[1, 0xff, 0x03, 0x00, 0x21], IP])),
            (LinkType::CiscoHdlc, frame(&[&[0x0f, 0, 0x08, 0x00], IP])),
            (LinkType::Ppp, frame(&[&[0xff, 0x03, 0x00, 0x21], IP])),
            (LinkType::Ppp, frame(&[&[0x21], IP])),
            (LinkType::Ppp, frame(&[&[0x02, 0x81, 0, 1, 1, 64], IP])),
            (LinkType::Raw, IP.to_vec()),
            (LinkType::Null, frame(&[&[2, 0, 0, 0], IP])),
            (LinkType::Loop, frame(&[&[0, 0, 0, 2], IP])),
            (LinkType::Sll, frame(&[&[0; 14], &[0x08, 0x00], IP])),
            (LinkType::Sll2, frame(&[&[0x08, 0x00], &[0; 18], IP])),
        ];
        for (link, bytes) in cases {
            assert_eq!(ip_datagram(link, &bytes), Ok(Some(IP)), "{link:?} {bytes:02x?}");
            for cut in 0..bytes.len() - IP.len() {
                let found = ip_datagram(link, &bytes[..cut]);
                assert!(!matches!(found, Ok(Some(_))), "{link:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_ip_is_none() {
        let arp = frame(&[&[0; 12], &[0x08, 0x06], &[0; 28]]);
        assert_eq!(ip_datagram(LinkType::Ethernet, &arp), Ok(None));
        assert_eq!(ip_datagram(LinkType::Raw, &[0x00; 20]), Ok(None));
        // PPPoE discovery, a session's other codes, and PPP's own protocols.
        for header in [[0x88, 0x63, 0x11, 9], [0x88, 0x64, 0x11, 9], [0x88, 0x64, 0x21, 0]] {
            let pppoe = frame(&[&[0; 12], &header, &[0, 9, 0, 22, 0x00, 0x21], IP]);
            assert_eq!(ip_datagram(LinkType::Ethernet, &pppoe), Ok(None), "{header:02x?}");
        }
        let lcp = frame(&[&[0x11, 0, 0, 9, 0, 22, 0xc0, 0x21], IP]);
        assert_eq!(ip_datagram(LinkType::PppEther, &lcp), Ok(None));
        assert_eq!(ip_datagram(LinkType::Other(147), IP), Ok(None));
    }

    #[test]
    fn numbers_survive_both_ways() {
        for number in 0..400 {
            let link = LinkType::from_number(number);
            if ALIASES.iter().all(|(alias, _)| *alias != number) {
                assert_eq!(link.number(), number);
            }
        }
    }
}
