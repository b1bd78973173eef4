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
