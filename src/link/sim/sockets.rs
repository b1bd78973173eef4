//! What a host without privilege is told: the frames of a link as its kernel reports them to UDP and ping sockets.
//!
//! A probe comes back as it left, whole, and over IPv4 with an IP-ID that the kernel chose. A reply is put together from
//! what the kernel says of it ([`Evidence::Reconstructed`](crate::wire::Evidence::Reconstructed)): whatever it does not say
//! is zero. What it does not report at all, such as a damaged message or one about somebody else's datagram, is not there.

use std::net::IpAddr;

use crate::probe::ProbeKey;
use crate::wire::checksum::checksum;
use crate::wire::extension::{Family, quoted_and_extension};
use crate::wire::ip::{self, IcmpMessage, IpHeader};
use crate::wire::{Evidence, icmpv4, ipv4, quoted};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// The header of UDP, of ICMP and of an echo.
const HEAD: usize = 8;
/// The least length of a quote before an extension structure (RFC 4884 §4).
const QUOTE_LEN: usize = 128;

/// The sockets of the host, and what they sent.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    sent: Vec<Sent>,
    /// From which IP-IDs are taken.
    id: u16,
}

#[derive(Debug)]
struct Sent {
    source: IpAddr,
    target: IpAddr,
    protocol: u8,
    head: [u8; HEAD],
    payload: Vec<u8>,
    /// An error about it was reported.
    reported: bool,
}

impl Sockets {
    /// The datagram as the kernel sends it.
    pub(super) fn send(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut left = datagram.to_vec();
        let Ok((header, payload)) = ip::decode(datagram) else { return left };
        let Some((head, rest)) = payload.split_first_chunk() else { return left };
        self.sent.push(Sent {
            source: header.source,
            target: header.destination,
            protocol: header.protocol,
            head: *head,
            payload: rest.to_vec(),
            reported: false,
        });
        if let Some((header, _)) =
            left.split_at_mut_checked(IPV4_HEADER).filter(|_| header.id.is_some())
        {
            self.id = self.id.wrapping_add(7_919).max(1);
            header[4..6].copy_from_slice(&self.id.to_be_bytes());
            header[10..12].fill(0);
            let sum = checksum(header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        left
    }

    /// What the kernel reports of a datagram on the wire.
    pub(super) fn report(&mut self, datagram: &[u8]) -> Option<(Vec<u8>, Evidence)> {
        let (header, payload) = ip::decode(datagram).ok()?;
        if self.sent.iter().any(|sent| sent.is(&header, payload)) {
            return Some((datagram.to_vec(), Evidence::Captured));
        }
        let head = datagram.get(..header.header_len)?;
        if header.source.is_ipv4() && checksum(head) != 0 || !header.is_first {
            return None;
        }
        let body = if header.is_icmp() {
            if !ip::icmp_checksum_is_right(&header, payload) {
                return None;
            }
            let icmp = ip::icmp(header.family(), payload).ok()?;
            match icmp.echo_reply {
                Some(_) => self.echo_reply(&header, payload)?,
                None => self.error(&icmp, payload)?,
            }
        } else {
            self.answer(&header, payload)?
        };
        Some((framed(&header, &body), Evidence::Reconstructed))
    }

    fn echo_reply(&self, header: &IpHeader, payload: &[u8]) -> Option<Vec<u8>> {
        let ident = payload.get(4..6)?;
        let ours =
            |sent: &Sent| sent.protocol == header.protocol && sent.head.get(4..6) == Some(ident);
        self.sent.iter().any(ours).then(|| payload.to_vec())
    }

    /// A UDP datagram, of which the checksum is not known.
    fn answer(&self, header: &IpHeader, payload: &[u8]) -> Option<Vec<u8>> {
        let port = payload.get(2..4)?;
        let ours =
            |sent: &Sent| sent.protocol == header.protocol && sent.head.get(..2) == Some(port);
        let known = header.protocol == ipv4::UDP && self.sent.iter().any(ours);
        let mut body = known.then(|| payload.to_vec())?;
        body.get_mut(6..8)?.fill(0);
        Some(body)
    }

    /// An ICMP error about a datagram of ours.
    fn error(&mut self, icmp: &IcmpMessage<'_>, payload: &[u8]) -> Option<Vec<u8>> {
        let is_advice = icmp.family == Family::V4
            && matches!(icmp.icmp_type, icmpv4::REDIRECT | icmpv4::SOURCE_QUENCH);
        if !icmp.quotes || is_advice {
            return None;
        }
        let (quote, extension) = icmp
            .quote_words
            .map_or((icmp.body, None), |words| quoted_and_extension(icmp.body, words, icmp.family));
        // The kernel knows no other than the compliant form.
        let structure =
            extension.filter(|it| it.compliant).and_then(|_| icmp.body.get(quote.len()..));
        let quote = if structure.is_some() { quote } else { icmp.body };
        let whole = quoted::decode(quote).ok()?;
        let after = quote.get(whole.header.header_len..)?;
        let (head, rest) = after.split_first_chunk::<HEAD>()?;
        let known = self.quoted(&whole.header, *head, whole.payload.get(HEAD..)?)?;
        let mut shown = unknown_header(&whole.header);
        shown.extend(known);
        shown.extend(rest);
        let mut body = vec![icmp.icmp_type, icmp.code, 0, 0];
        body.extend(payload.get(4..HEAD)?);
        if let Some(structure) = structure {
            let word = icmp.family.word_len();
            shown.resize(shown.len().max(QUOTE_LEN).next_multiple_of(word), 0);
            let at = if icmp.family == Family::V4 { 5 } else { 4 };
            *body.get_mut(at)? = u8::try_from(shown.len() / word).ok()?;
            shown.extend(structure);
        }
        body.extend(shown);
        Some(body)
    }

    /// The eight octets of the probe that a quote is of; without what is not the same in all that it may be of.
    fn quoted(&mut self, header: &IpHeader, head: [u8; HEAD], rest: &[u8]) -> Option<[u8; HEAD]> {
        let is_echo = header.is_icmp();
        let same = |sent: &Sent| {
            let marks = if is_echo { 4..6 } else { 0..4 };
            (sent.source, sent.target, sent.protocol)
                == (header.source, header.destination, header.protocol)
                && sent.head.get(marks.clone()) == head.get(marks)
        };
        let mut fitting: Vec<&mut Sent> = self
            .sent
            .iter_mut()
            .filter(|sent| same(sent) && sent.payload.iter().zip(rest).all(|(one, two)| one == two))
            .collect();
        if is_echo {
            return (!fitting.is_empty()).then_some(head);
        }
        if fitting.iter().any(|sent| !sent.reported) {
            fitting.retain(|sent| !sent.reported);
        }
        match &mut fitting[..] {
            [] => None,
            [one] => {
                one.reported = true;
                Some(one.head)
            }
            [first, ..] => {
                let mut ports = first.head;
                ports[4..].fill(0);
                Some(ports)
            }
        }
    }
}

impl Sent {
    fn is(&self, header: &IpHeader, payload: &[u8]) -> bool {
        let ends = (header.source, header.destination, header.protocol);
        let key = ProbeKey::of(header, payload);
        ends == (self.source, self.target, self.protocol)
            && key.is_some_and(|key| key.head == self.head)
    }
}

/// A header of which nothing is known but protocol and addresses.
fn unknown_header(header: &IpHeader) -> Vec<u8> {
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut octets = vec![0; IPV4_HEADER];
            (octets[0], octets[9]) = (0x45, header.protocol);
            octets[12..16].copy_from_slice(&source.octets());
            octets[16..].copy_from_slice(&destination.octets());
            octets
        }
        (source, destination) => {
            let mut octets = vec![0; IPV6_HEADER];
            (octets[0], octets[6]) = (0x60, header.protocol);
            for (at, address) in [(8, source), (24, destination)] {
                if let IpAddr::V6(address) = address {
                    octets[at..at + 16].copy_from_slice(&address.octets());
                }
            }
            octets
        }
    }
}

/// A datagram with this body, and of a header what the kernel tells.
fn framed(header: &IpHeader, body: &[u8]) -> Vec<u8> {
    let mut octets = unknown_header(header);
    let len = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    if header.source.is_ipv4() {
        (octets[1], octets[8]) = (header.tos, header.ttl);
        octets[2..4].copy_from_slice(&len(IPV4_HEADER + body.len()));
    } else {
        (octets[0], octets[1]) = (0x60 | header.tos >> 4, header.tos << 4);
        octets[4..6].copy_from_slice(&len(body.len()));
        octets[7] = header.ttl;
    }
    octets.extend(body);
    octets
}
