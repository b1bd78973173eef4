//! The probes that a socket sent lately: which of them left, and which of them a report is about.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use crate::time::{Span, Timestamp};
use crate::wire::checksum::transport;
use crate::wire::ip::{self, IpHeader};
use crate::wire::ipv4;

/// How long a probe is remembered.
const MEMORY: Span = Span::from_millis(30_000);
/// Of probes that a short quote fits alike, those older than this multiple of the last round trip, and a little more, are lost.
const LOST: (f64, Span) = (3.0, Span::from_millis(50));
/// An answer takes as long as the last one if it differs by no more than this share of it, and a little more.
const LIKE: (f64, Span) = (0.25, Span::from_millis(10));
/// The octets of a header of UDP or of ICMP echo, and where each has its checksum.
const HEADER: usize = 8;
const UDP_SUM: Range<usize> = 6..8;
const ECHO_SUM: Range<usize> = 2..4;

/// Datagrams as they were handed to the kernel, the oldest first.
#[derive(Debug)]
pub(super) struct Sent {
    is_echo: bool,
    probes: VecDeque<Probe>,
    /// The number of the first of these.
    first: u64,
    /// The numbers of probes by their mark, the oldest first.
    by_mark: HashMap<u16, VecDeque<u64>>,
    /// How long the last answer took that was clear, by mark.
    took: HashMap<u16, Span>,
    /// The lengths of the datagrams.
    lengths: BTreeSet<usize>,
    /// Whether the kernel has reported that one left.
    is_reported: bool,
}

#[derive(Debug)]
struct Probe {
    datagram: Box<[u8]>,
    at: Timestamp,
    /// Whether it counts as reported that it left.
    left: bool,
    answered: bool,
}

impl Probe {
    /// Its header and what follows that.
    fn parts(&self) -> Option<(IpHeader, &[u8])> {
        ip::decode(&self.datagram).ok()
    }

    /// The header of its protocol.
    fn head(&self) -> Option<[u8; HEADER]> {
        self.parts()?.1.first_chunk().copied()
    }

    /// Whether its payload begins as quoted.
    fn begins_with(&self, quoted: &[u8]) -> bool {
        let body = self.parts().and_then(|(_, payload)| payload.get(HEADER..));
        body.is_some_and(|body| body.iter().zip(quoted).all(|(sent, quoted)| sent == quoted))
    }
}

impl Sent {
    /// Nothing yet, of ICMP echo or UDP.
    pub(super) fn of(is_echo: bool) -> Self {
        Self {
            is_echo,
            probes: VecDeque::new(),
            first: 0,
            by_mark: HashMap::new(),
            took: HashMap::new(),
            lengths: BTreeSet::new(),
            is_reported: false,
        }
    }

    /// What probes are looked up by: the destination port, or the sequence number of an echo.
    fn mark(&self, head: [u8; HEADER]) -> u16 {
        let [_, _, a, b, _, _, c, d] = head;
        u16::from_be_bytes(if self.is_echo { [c, d] } else { [a, b] })
    }

    /// A datagram was handed over at this time; `left` if nothing more will be reported of that.
    pub(super) fn note(&mut self, datagram: &[u8], at: Timestamp, left: bool) {
        let probe = Probe { datagram: datagram.into(), at, left, answered: false };
        let Some(mark) = probe.head().map(|head| self.mark(head)) else { return };
        let number = self.first + self.probes.len() as u64;
        self.by_mark.entry(mark).or_default().push_back(number);
        self.lengths.insert(datagram.len());
        self.probes.push_back(probe);
    }

    /// Forgets what is too old for an answer.
    pub(super) fn forget(&mut self, now: Timestamp) {
        while let Some(probe) = self.probes.pop_front_if(|probe| now.since(probe.at) > MEMORY) {
            self.first += 1;
            let Some(mark) = probe.head().map(|head| self.mark(head)) else { continue };
            if let Some(numbers) = self.by_mark.get_mut(&mark) {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.by_mark.remove(&mark);
                }
            }
        }
    }

    fn get(&self, number: u64) -> Option<&Probe> {
        self.probes.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Probe> {
        self.probes.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The numbers of the probes with this mark, the oldest first.
    fn marked(&self, mark: u16) -> impl DoubleEndedIterator<Item = u64> {
        self.by_mark.get(&mark).into_iter().flatten().copied()
    }

    /// The IP datagram in a report on what was sent, which may begin with a link header of whatever kind: so it is found from
    /// its end. A checksum that was left to the device is completed.
    pub(super) fn left(&mut self, report: &[u8]) -> Option<Vec<u8>> {
        let tail = |len: &usize| report.get(report.len().checked_sub(*len)?..);
        let (there, number) = self.lengths.iter().filter_map(tail).find_map(|there| {
            let head = ip::decode(there).ok()?.1.first_chunk()?;
            let is_it = |number: &u64| {
                self.get(*number)
                    .is_some_and(|probe| !probe.left && is_as_handed_over(probe, there))
            };
            self.marked(self.mark(*head)).find(is_it).map(|number| (there, number))
        })?;
        self.get_mut(number)?.left = true;
        self.is_reported = true;
        let mut datagram = there.to_vec();
        complete(&mut datagram);
        Some(datagram)
    }

    /// The probe that was answered, if the kernel has not reported that it left. If it has never reported any, the driver of the
    /// device takes no stamps: then these are all so far. From now on they count as reported.
    pub(super) fn unreported(&mut self, answered: [u8; HEADER]) -> Vec<(Timestamp, Vec<u8>)> {
        let is_echo = self.is_echo;
        let same = |head: [u8; HEADER]| is_same(&head, &answered, is_echo);
        let is_it = |number: &u64| {
            self.get(*number).is_some_and(|probe| !probe.left && probe.head().is_some_and(same))
        };
        let Some(number) = self.marked(self.mark(answered)).rev().find(is_it) else {
            return Vec::new();
        };
        let mark = |probe: &mut Probe| {
            probe.left = true;
            (probe.at, probe.datagram.to_vec())
        };
        if self.is_reported {
            return self.get_mut(number).map(mark).into_iter().collect();
        }
        self.probes.iter_mut().filter(|probe| !probe.left).map(mark).collect()
    }

    /// Whether the kernel has reported that a probe left.
    pub(super) fn is_reported(&self) -> bool {
        self.is_reported
    }

    /// The UDP header of the probe that an error about this port is about. `None` if there is none, or if it is unclear which.
    pub(super) fn head(&mut self, port: u16, quoted: &[u8], at: Timestamp) -> Option<[u8; HEADER]> {
        let number = self.which(port, quoted, at)?;
        let probe = self.get_mut(number)?;
        let (head, took) = (probe.head(), at.since(probe.at));
        if !std::mem::replace(&mut probe.answered, true) {
            self.took.insert(port, took);
        }
        head
    }

    /// The port tells, or what is quoted of the payload, or that all others were answered or are lost.
    fn which(&self, port: u16, quoted: &[u8], at: Timestamp) -> Option<u64> {
        let probe = |number: &u64| self.get(*number);
        let fits = |number: &u64| probe(number).is_some_and(|probe| probe.begins_with(quoted));
        let mut fitting: Vec<u64> = self.marked(port).filter(fits).collect();
        if fitting.is_empty() {
            // Something on the way changed the payload.
            fitting = self.marked(port).collect();
        }
        if let [only] = fitting[..] {
            return Some(only);
        }
        let is_open = |number: &u64| probe(number).is_some_and(|probe| !probe.answered);
        let open: Vec<u64> = fitting.iter().copied().filter(is_open).collect();
        match open[..] {
            [] => return fitting.last().copied(),
            [only] => return Some(only),
            _ => {}
        }
        let only = |such: &dyn Fn(Span) -> bool| {
            let age = |number: &u64| probe(number).map(|probe| at.since(probe.at));
            let mut fitting = open.iter().copied().filter(|it| age(it).is_some_and(such));
            fitting.next().filter(|_| fitting.next().is_none())
        };
        if let Some(took) = self.took.get(&port) {
            let apart = Span::from_secs_f64(LIKE.0 * took.secs_f64()).plus(LIKE.1);
            let is_like = |age: Span| age <= took.plus(apart) && *took <= age.plus(apart);
            if let Some(number) = only(&is_like) {
                return Some(number);
            }
        }
        let took = self.took.get(&port).or_else(|| self.took.values().max())?;
        let patience = Span::from_secs_f64(LOST.0 * took.secs_f64()).plus(LOST.1);
        only(&|age| age <= patience)
    }
}

/// Whether a datagram is the probe, as far as the kernel leaves it alone.
fn is_as_handed_over(probe: &Probe, there: &[u8]) -> bool {
    let (Some((ours, sent)), Ok((header, payload))) = (probe.parts(), ip::decode(there)) else {
        return false;
    };
    (ours.source, ours.destination, ours.protocol, ours.ttl)
        == (header.source, header.destination, header.protocol, header.ttl)
        && is_same(sent, payload, header.is_icmp())
}

/// Whether two messages of a probe's protocol are the same but for their checksums.
fn is_same(one: &[u8], other: &[u8], is_echo: bool) -> bool {
    let checksum = if is_echo { ECHO_SUM } else { UDP_SUM };
    let mut pairs = one.iter().zip(other).enumerate();
    one.len() == other.len() && pairs.all(|(at, (a, b))| a == b || checksum.contains(&at))
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
    let Some(sum) = body.get_mut(UDP_SUM) else { return };
    sum.fill(0);
    let computed = transport(header.source, header.destination, header.protocol, body);
    // RFC 768: a checksum of zero is written as all ones.
    let computed = if computed == 0 { u16::MAX } else { computed };
    if let Some(sum) = body.get_mut(UDP_SUM) {
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

    fn udp_sent(probes: &[(&Vec<u8>, i64)], left: bool) -> Sent {
        let mut sent = Sent::of(false);
        for (datagram, at) in probes {
            sent.note(datagram, seconds(*at), left);
        }
        sent
    }

    fn head(datagram: &[u8]) -> Option<[u8; HEADER]> {
        udp(datagram).first_chunk().copied()
    }

    #[test]
    fn a_probe_that_left_is_found_behind_any_link_header_once_and_its_checksum_completed() {
        for ends in targets() {
            let (first, second) = (probe(ends, 0, 0), probe(ends, 1, 0));
            let mut sent = udp_sent(&[(&first, 0), (&second, 0)], false);
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
    fn the_port_tells_and_where_several_have_it_the_payload_does() {
        for ends in targets() {
            let [first, second] = [0, 1].map(|round| probe(ends, 5, round));
            let port = u16::from_be_bytes([udp(&first)[2], udp(&first)[3]]);
            let mut sent = udp_sent(&[(&first, 0)], true);
            for quoted in [&udp(&first)[8..], &[], b"changed on the way"] {
                assert_eq!(sent.head(port, quoted, seconds(1)), head(&first));
                assert_eq!(sent.head(port + 1, quoted, seconds(1)), None);
            }
            let mut sent = udp_sent(&[(&first, 0), (&second, 1)], true);
            for round in [&first, &second, &first] {
                assert_eq!(sent.head(port, &udp(round)[8..], seconds(9)), head(round));
                assert_eq!(sent.head(port, &udp(round)[8..12], seconds(9)), head(round));
            }
            sent.forget(seconds(60));
            assert_eq!(sent.head(port, &udp(&second)[8..], seconds(60)), None);
        }
    }

    /// Quotes without payload, of rounds a second apart.
    #[test]
    fn a_short_quote_is_of_the_one_probe_that_is_not_answered_or_lost() {
        let ends = targets()[0];
        let rounds: Vec<_> = (0..4).map(|round| probe(ends, 5, round)).collect();
        let port = u16::from_be_bytes([udp(&rounds[0])[2], udp(&rounds[0])[3]]);
        let after = |at, millis| seconds(at).after(Span::from_millis(millis));
        let mut sent = udp_sent(&[(&rounds[0], 0)], true);
        assert_eq!(sent.head(port, &[], after(0, 30)), head(&rounds[0]));
        sent.note(&rounds[1], seconds(1), true);
        assert_eq!(sent.head(port, &[], after(1, 30)), head(&rounds[1]));
        assert_eq!(sent.head(port, &[], after(1, 31)), head(&rounds[1]), "once more");
        // The third is lost: the fourth is answered as soon as others were.
        sent.note(&rounds[2], seconds(2), true);
        sent.note(&rounds[3], seconds(3), true);
        assert_eq!(sent.head(port, &[], after(3, 30)), head(&rounds[3]));
        // Answers that take longer than a round are told by that.
        let mut sent = udp_sent(&[(&rounds[0], 0)], true);
        assert_eq!(sent.head(port, &[], after(1, 200)), head(&rounds[0]));
        for (round, at) in rounds.iter().zip(0..).skip(1) {
            sent.note(round, seconds(at), true);
        }
        assert_eq!(sent.head(port, &[], after(3, 210)), head(&rounds[2]));
        // Where nothing shows how long an answer takes, it is unclear which of two it is about.
        let mut sent = udp_sent(&[(&rounds[0], 0), (&rounds[1], 1)], true);
        assert_eq!(sent.head(port, &[], after(1, 200)), None);
    }

    #[test]
    fn a_device_that_reports_nothing_is_known_by_an_answer_to_a_probe_that_never_left() {
        let ends = targets()[0];
        let [first, second, third] = [0, 1, 2].map(|number| probe(ends, number, 0));
        let all = [(&first, 0), (&second, 1), (&third, 2)];
        let of = |datagram: &[u8]| head(datagram).unwrap();
        let mut sent = udp_sent(&all, false);
        let expected = all.map(|(datagram, at)| (seconds(at), datagram.clone()));
        assert_eq!(sent.unreported(of(&second)), expected);
        assert_eq!(sent.unreported(of(&second)), []);
        // One report among many that is missing says nothing of the device.
        let mut sent = udp_sent(&all, false);
        assert!(sent.left(&first).is_some());
        assert_eq!(sent.unreported(of(&first)), [], "its leaving was reported");
        assert_eq!(sent.unreported(of(&second)), [(seconds(1), second.clone())]);
    }
}
