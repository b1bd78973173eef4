//! The probes that a socket sent lately: which of them left, and which of them a report is about.

use std::collections::VecDeque;

use crate::time::{Span, Timestamp};
use crate::wire::checksum::transport;
use crate::wire::ip::{self, IpHeader};
use crate::wire::ipv4;

/// How long a probe is remembered.
const MEMORY: Span = Span::from_millis(30_000);
/// Of probes that a short quote fits alike, those older than this count as lost where there is a later one.
const IN_FLIGHT: Span = Span::from_millis(1_000);
/// The octets of a UDP header.
const HEADER: usize = 8;

/// Datagrams as they were handed to the kernel, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Sent(VecDeque<Probe>);

#[derive(Debug)]
struct Probe {
    datagram: Box<[u8]>,
    at: Timestamp,
    /// Whether it counts as reported that it left.
    left: bool,
}

impl Probe {
    /// Its header and what follows that.
    fn parts(&self) -> Option<(IpHeader, &[u8])> {
        ip::decode(&self.datagram).ok()
    }
}

impl Sent {
    /// A datagram was handed over at this time; `left` if nothing more will be reported of that.
    pub(super) fn note(&mut self, datagram: &[u8], at: Timestamp, left: bool) {
        self.0.push_back(Probe { datagram: datagram.into(), at, left });
    }

    /// Forgets what is too old for an answer.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while self.0.front().is_some_and(|probe| now.since(probe.at) > MEMORY) {
            self.0.pop_front();
        }
    }

    /// The IP datagram in a report on what was sent, which may begin with a link header of whatever kind: so it is found from
    /// its end. A checksum that was left to the device is completed.
    pub(super) fn left(&mut self, report: &[u8]) -> Option<Vec<u8>> {
        for probe in &mut self.0 {
            let begin = report.len().checked_sub(probe.datagram.len());
            let Some(there) = begin.and_then(|begin| report.get(begin..)) else { continue };
            if !probe.left && is_as_handed_over(probe, there) {
                probe.left = true;
                let mut datagram = there.to_vec();
                complete(&mut datagram);
                return Some(datagram);
            }
        }
        None
    }

    /// The probes whose leaving the kernel has not reported, if one that was answered is among them: then it reports none, as
    /// the driver of the device takes no stamps. From now on they count as reported.
    pub(super) fn unreported(&mut self, answered: [u8; HEADER]) -> Vec<(Timestamp, Vec<u8>)> {
        let is_it = |probe: &Probe| {
            let Some((header, payload)) = probe.parts() else { return false };
            let checksum = checksum_at(header.protocol);
            let pairs = payload.iter().zip(answered).enumerate();
            !probe.left && pairs.filter(|(at, _)| !checksum.contains(at)).all(|(_, (a, b))| *a == b)
        };
        if !self.0.iter().any(is_it) {
            return Vec::new();
        }
        let unreported = self.0.iter_mut().filter(|probe| !probe.left);
        let mark = |probe: &mut Probe| {
            probe.left = true;
            (probe.at, probe.datagram.to_vec())
        };
        unreported.map(mark).collect()
    }

    /// The UDP header of the probe to this port whose payload begins as quoted. `None` if there is none, or if there may be
    /// several.
    pub(super) fn head(&self, port: u16, quoted: &[u8], at: Timestamp) -> Option<[u8; HEADER]> {
        let fits = |probe: &&Probe| {
            let Some((_, payload)) = probe.parts() else { return false };
            let Some((head, body)) = payload.split_at_checked(HEADER) else { return false };
            head.get(2..4) == Some(&port.to_be_bytes())
                && body.iter().zip(quoted).all(|(sent, quoted)| sent == quoted)
        };
        let mut fitting = self.0.iter().rev().filter(fits);
        let latest = fitting.next()?;
        let is_clear = fitting.next().is_none_or(|before| at.since(before.at) > IN_FLIGHT);
        let (_, payload) = latest.parts().filter(|_| is_clear)?;
        payload.first_chunk().copied()
    }
}

/// Whether a datagram is the probe, as far as the kernel leaves it alone.
fn is_as_handed_over(probe: &Probe, there: &[u8]) -> bool {
    let (Some((ours, sent)), Ok((header, payload))) = (probe.parts(), ip::decode(there)) else {
        return false;
    };
    let checksum = checksum_at(header.protocol);
    let rest = |payload: &[u8]| -> Vec<u8> {
        let octets = payload.iter().enumerate();
        octets.filter(|(at, _)| !checksum.contains(at)).map(|(_, octet)| *octet).collect()
    };
    (ours.source, ours.destination, ours.protocol, ours.ttl)
        == (header.source, header.destination, header.protocol, header.ttl)
        && sent.len() == payload.len()
        && rest(sent) == rest(payload)
}

/// Where a probe has its checksum.
fn checksum_at(protocol: u8) -> std::ops::Range<usize> {
    if protocol == ipv4::UDP { 6..8 } else { 2..4 }
}

/// Writes the checksum of UDP where the kernel left it to the device, which then computes it over what is there.
fn complete(datagram: &mut [u8]) {
    let Ok((header, payload)) = ip::decode(datagram) else { return };
    let begin = header.header_len;
    let is_right = || transport(header.source, header.destination, header.protocol, payload) == 0;
    if header.protocol != ipv4::UDP || is_right() {
        return;
    }
    let Some(body) = datagram.get_mut(begin..) else { return };
    let Some(sum) = body.get_mut(checksum_at(header.protocol)) else { return };
    sum.fill(0);
    let computed = transport(header.source, header.destination, header.protocol, body);
    // RFC 768: a checksum of zero is written as all ones.
    let computed = if computed == 0 { u16::MAX } else { computed };
    if let Some(sum) = body.get_mut(checksum_at(header.protocol)) {
        sum.copy_from_slice(&computed.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;
    use crate::probe::craft::{self, ProbeSpec};
    use crate::probe::{Flow, FlowMode, ProbeType};
    use crate::wire::Evidence;

    const PORT: u16 = 40_000;

    fn targets() -> [(IpAddr, IpAddr); 2] {
        let v6 = |last| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        [([10, 0, 0, 1].into(), [10, 0, 0, 2].into()), (v6(1), v6(2))]
    }

    /// The probe with this number, and the one that has its port again in a later round.
    fn probe((source, target): (IpAddr, IpAddr), number: u32, round: u32) -> Vec<u8> {
        let spec = ProbeSpec {
            flow: Flow { source, target, probe: ProbeType::Udp, ident: PORT },
            mode: FlowMode::Classic,
            number,
            serial: number + round * 90,
            ttl: 3,
            tos: 0,
            dont_fragment: false,
            flow_label: 0,
            len: 80,
            first_port: 33_434,
            flow_number: 0,
            first_id: 0,
            key: None,
            evidence: Evidence::Reconstructed,
        };
        let mut datagram = Vec::new();
        craft::craft(&spec, &mut datagram);
        datagram
    }

    fn udp(datagram: &[u8]) -> &[u8] {
        ip::decode(datagram).unwrap().1
    }

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000 * (1_000 + seconds))
    }

    #[test]
    fn a_probe_that_left_is_found_behind_any_link_header_once_and_its_checksum_completed() {
        for ends in targets() {
            let (first, second) = (probe(ends, 0, 0), probe(ends, 1, 0));
            let mut sent = Sent::default();
            for datagram in [&first, &second] {
                sent.note(datagram, seconds(0), false);
            }
            let mut offloaded = second.clone();
            let begin = offloaded.len() - udp(&second).len();
            offloaded[begin + 6..begin + 8].fill(0x55);
            let report = [&[0x88; 18][..], &offloaded].concat();
            assert_eq!(sent.left(&report), Some(second.clone()));
            assert_eq!(sent.left(&report), None, "it left once");
            assert_eq!(sent.left(&first), Some(first.clone()));
            assert_eq!(sent.left(&[]), None);
        }
    }

    #[test]
    fn an_error_is_about_the_probe_to_its_port_with_what_is_quoted() {
        for ends in targets() {
            let rounds = [0, 1, 2].map(|round| probe(ends, 5, round));
            let mut sent = Sent::default();
            sent.note(&rounds[0], seconds(0), true);
            sent.note(&rounds[1], seconds(1), true);
            let port = u16::from_be_bytes([udp(&rounds[0])[2], udp(&rounds[0])[3]]);
            let head = |datagram: &[u8]| udp(datagram).first_chunk().copied();
            let asked = |sent: &Sent, quoted: &[u8], at| sent.head(port, quoted, at);
            // What is quoted of the payload tells rounds apart, however late.
            for round in &rounds[..2] {
                assert_eq!(asked(&sent, &udp(round)[8..], seconds(9)), head(round));
                assert_eq!(asked(&sent, &udp(round)[8..12], seconds(9)), head(round));
            }
            // Without it only the later one may still be in flight; of two in one second it is unclear.
            assert_eq!(asked(&sent, &[], seconds(2)), head(&rounds[1]));
            assert_eq!(asked(&sent, &[], seconds(1)), None);
            assert_eq!(asked(&sent, b"something else", seconds(2)), None);
            assert_eq!(sent.head(port + 1, &[], seconds(2)), None);
            sent.forget(seconds(60));
            assert_eq!(asked(&sent, &udp(&rounds[1])[8..], seconds(60)), None);
        }
    }

    #[test]
    fn a_device_that_reports_nothing_is_known_by_an_answer_to_a_probe_that_never_left() {
        let ends = targets()[0];
        let datagrams = [0, 1, 2].map(|number| probe(ends, number, 0));
        let mut sent = Sent::default();
        for (datagram, at) in datagrams.iter().zip(0..) {
            sent.note(datagram, seconds(at), false);
        }
        assert!(sent.left(&datagrams[0]).is_some());
        let head = |datagram: &[u8]| *udp(datagram).first_chunk().unwrap();
        assert_eq!(sent.unreported(head(&datagrams[0])), [], "its leaving was reported");
        let [_, second, third] = datagrams;
        let rest = [(seconds(1), second.clone()), (seconds(2), third)];
        assert_eq!(sent.unreported(head(&second)), rest);
        assert_eq!(sent.unreported(head(&second)), []);
    }
}
