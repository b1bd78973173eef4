//! Which probe a quote shows whose IP-ID, addresses or destination port were rewritten on the way.
//!
//! What can be undone is undone first: the addresses become ours and the target's, and the checksum what it
//! then was (RFC 1624). What is left must single out one probe. It is looked for in two ways:
//!
//! - by all eight octets, whatever the IP-ID became, and with TCP the destination port: its sequence number tells the probe.
//!   Over IPv4, where the IP-ID could have vouched for it, only TCP is believed to another destination in this way;
//! - by the IP-ID, whatever the destination and its port became, or the sequence number of TCP or of an echo; or the source port
//!   or identifier. Over IPv6 that one is undone as well, and the flow label has to be that of the probes;
//! - by the same, and over IPv6 by all but the source port or identifier, where the source address is another and the checksum
//!   fits nothing: a translation further on put back addresses in the quote, but not what it did to the checksum. Quotes of
//!   hops before it have shown that address, with a checksum that fits.
//!
//! Where both ways lead to different probes, neither is believed. What was changed says how much a forger would have
//! had to guess ([`Reading`]); [`belief`](super::belief) weighs that. Of UDP over IPv4, which has the least:
//!
//! | rewritten | intact | bits |
//! |---|---|---|
//! | addresses | source port, IP-ID, checksum once undone | 48 |
//! | source address and port | IP-ID, checksum once undone | 32, and 16 once the translation of the flow is known |
//! | IP-ID | source port, checksum once undone | 32 |
//! | destination port | source port, IP-ID, checksum once undone or left as it was | 47 |
//! | sequence number (ICMP) | identifier, IP-ID, checksum once undone | 48 |
//! | sequence number (TCP) | source port, IP-ID | 32 |
//! | source address, and another checksum | source port, IP-ID | 32 |
//! | source address and port, and another checksum | IP-ID | 16: believed only with the octets of the secret |
//!
//! Over IPv6 the flow label, of 20 bits, stands for the IP-ID.
//!
//! Without a secret, in a capture of another tool or of long ago, the checksum is no evidence that a forger lacks: whoever has
//! not seen a probe then has to guess 16 bits in the first way (with TCP 32) and 32 in the second; 16 less where the user
//! chose the port. Another source port finds nothing here then, nor does a protocol without one. A checksum of which it is
//! not known what it was on the wire (offload, in a capture that was cut short) vouches for nothing.
//!
//! Invariant: whatever else leaves our port in the same protocol is noted ([`Rewritten::note_foreign`]), and what may be
//! a quote of it is not taken for one of a probe. In a capture of many traces from one port that matters.

mod origin;

use std::collections::HashMap;

use super::belief::{Reading, Translated};
use super::path::ProbeRef;
use crate::probe::{AnswerKey, Flow, ProbeKey, ProbeType};
use crate::wire::checksum::{checksum, plus, readdressed, replaced, transport};
use crate::wire::ip::IpHeader;
use crate::wire::ipv4;

/// What a datagram shows of a probe by which it is found: that as it was sent, or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    /// All of it.
    Key(ProbeKey),
    /// But for the checksum; and with UDP what its payload begins with, if that is shown.
    Left(ProbeKey, Option<u16>),
    /// But for the source port or identifier, too.
    Origin(ProbeKey),
    /// All but the IP-ID, once what translations did was undone.
    Head([u8; 8]),
    /// The IP-ID alone.
    Id(u16),
    /// What an answer repeats.
    Answer(AnswerKey),
}

/// Datagrams from our port that are none of our probes; where there are more, nothing is believed any longer.
const MOST_FOREIGN: usize = 1 << 10;
/// A run of ours has one source port, and one for probes that confirm answers.
const MOST_ORIGINS: usize = 2;
/// The transport checksum's place in TCP, which no quote of eight octets shows.
const TCP_SUM_AT: usize = 16;
/// Where the payload of UDP begins.
const MARK_AT: usize = 8;

type Head = [u8; 8];

/// What a captured probe shows of itself beside its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The transport checksum that it has on the wire, if that is known.
    pub(super) sum: Option<u16>,
    /// What its payload begins with.
    pub(super) word: Option<u16>,
    /// Whether its header has an IP-ID.
    pub(super) has_id: bool,
}

/// The probes of a trace by what a rewriting leaves of them.
#[derive(Clone, Debug)]
pub(super) struct Rewritten {
    flow: Flow,
    by_head: HashMap<Head, Slot>,
    by_id: HashMap<u16, Slot>,
    /// Over IPv6, by the octets but for source port or identifier and checksum, and by what may mark the payload.
    by_rest: HashMap<(Head, Option<u16>), Slot>,
    /// The source ports or identifiers that they have, but for those of tools that take a new one for each.
    origins: Vec<u16>,
    foreign: usize,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    One(Sent),
    /// Several probes have it.
    Several,
    /// A datagram has it that is no probe of this trace.
    Foreign,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: ProbeRef,
    /// With the checksum that it has on the wire.
    head: Head,
    sum: u16,
    /// What may mark the payload of UDP: see [`Rewritten::marked`].
    mark: Option<u16>,
}

impl Sent {
    fn key(&self) -> ProbeKey {
        ProbeKey { ip_id: 0, head: self.head }
    }
}

/// The probe that a quote shows, how it shows it, and what a translation made of its flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) at: ProbeRef,
    pub(super) reading: Reading,
    pub(super) translated: Option<Translated>,
}

impl Slot {
    fn one(self) -> Option<Sent> {
        if let Self::One(sent) = self { Some(sent) } else { None }
    }
}

impl Rewritten {
    /// `reserved` is for how many probes room is made at once.
    pub(super) fn new(flow: Flow, reserved: usize) -> Self {
        let (ids, rests) = if flow.target.is_ipv4() { (reserved, 0) } else { (0, reserved) };
        let mut origins = Vec::with_capacity(MOST_ORIGINS);
        origins.push(flow.ident);
        Self {
            flow,
            by_head: HashMap::with_capacity(reserved),
            by_id: HashMap::with_capacity(ids),
            by_rest: HashMap::with_capacity(rests),
            origins,
            foreign: 0,
        }
    }

    /// What a captured probe shows of itself beside its key.
    pub(super) fn shown(&self, header: &IpHeader, payload: &[u8]) -> Shown {
        let (sum, word) = (self.sum(header, payload), word(payload, MARK_AT));
        Shown { sum, word, has_id: header.id.is_some() }
    }

    /// Takes in a probe that was captured.
    pub(super) fn insert(&mut self, key: &ProbeKey, at: ProbeRef, shown: Shown) {
        let Some(sum) = shown.sum else { return self.note_key(key) };
        if self.is_crowded() {
            return;
        }
        let origin = self.origin_of(key);
        if self.origins.len() < MOST_ORIGINS && !self.origins.contains(&origin) {
            self.origins.push(origin);
        }
        let sent = Sent { at, head: self.with_sum(key.head, sum), sum, mark: shown.word };
        let taken = |slot: &mut Slot| {
            if let Slot::One(_) = slot {
                *slot = Slot::Several;
            }
        };
        self.by_head.entry(self.index(sent.head)).and_modify(taken).or_insert(Slot::One(sent));
        if key.ip_id != 0 {
            self.by_id.entry(key.ip_id).and_modify(taken).or_insert(Slot::One(sent));
        }
        if !shown.has_id {
            let rest = (self.rest_of(sent.head), self.mark_of(shown));
            self.by_rest.entry(rest).and_modify(taken).or_insert(Slot::One(sent));
        }
    }

    /// Takes in a datagram with our protocol and source port that is no probe of this trace.
    pub(super) fn note_foreign(&mut self, header: &IpHeader, payload: &[u8], key: ProbeKey) {
        let sum = self.sum(header, payload);
        let head = sum.map_or(key.head, |sum| self.with_sum(key.head, sum));
        self.note_key(&ProbeKey { head: self.undone(head, header), ..key });
    }

    /// Whether there were too many of them to tell what is ours.
    fn is_crowded(&self) -> bool {
        self.foreign > MOST_FOREIGN
    }

    /// Notes a datagram between our address and the target of which only the key is known.
    pub(super) fn note_key(&mut self, key: &ProbeKey) {
        if self.is_crowded() {
            return;
        }
        self.foreign += 1;
        self.by_head.insert(self.index(key.head), Slot::Foreign);
        if key.ip_id != 0 {
            self.by_id.insert(key.ip_id, Slot::Foreign);
        }
        if self.is_crowded() {
            (self.by_head, self.by_id) = (HashMap::new(), HashMap::new());
            self.by_rest = HashMap::new();
        }
    }

    /// Whether a quote may be of a datagram that is no probe of this trace.
    pub(super) fn is_foreign(&self, header: &IpHeader, key: &ProbeKey) -> bool {
        let head = self.undone(key.head, header);
        self.is_crowded() || matches!(self.by_head.get(&self.index(head)), Some(Slot::Foreign))
    }

    /// The probe that a quote with this header, payload and key shows.
    pub(super) fn find(
        &self,
        header: &IpHeader,
        payload: &[u8],
        key: &ProbeKey,
    ) -> Option<ProbeRef> {
        let read = self.read(header, payload, key);
        let known =
            read.filter(|it| !it.reading.is_of_other_port() && it.reading != Reading::Shifted);
        known.map(|read| read.at)
    }

    /// Reads a quote, also one whose source port or identifier was rewritten: the probe, and how the quote shows it.
    pub(super) fn read(&self, header: &IpHeader, payload: &[u8], key: &ProbeKey) -> Option<Read> {
        let protocol = self.flow.protocol();
        let no_sum = is_udp(protocol) && key.udp_checksum() == 0;
        let unmarked = matches!(self.flow.probe, ProbeType::Protocol(_));
        if unmarked || no_sum {
            return None;
        }
        let head = self.undone(key.head, header);
        let enough = protocol == ipv4::TCP || header.id.is_none() || self.is_to_target(header);
        let by_head = self.by_head.get(&self.index(head)).filter(|_| enough);
        let by_head = by_head.and_then(|slot| slot.one());
        let by_head = by_head.filter(|sent| {
            self.marked(sent, header, payload) && self.tcp_fits(sent, key, header, payload)
        });
        let by_id = self.by_id.get(&key.ip_id).and_then(|slot| slot.one());
        let by_id = by_id.and_then(|sent| {
            let same_port = sent.key().destination_port() == key.destination_port();
            let kept_port = !self.flow.probe.has_ports() || same_port;
            let reading = if self.ported(&sent, header, payload, key) {
                if kept_port { Reading::Addresses } else { Reading::Port }
            } else if self.sequenced(&sent, header, key) {
                Reading::Sequence
            } else {
                self.is_of_another_origin(&sent, header, payload, key).then_some(Reading::Origin)?
            };
            Some((sent, reading))
        });
        let (sent, reading) = match (by_head, by_id) {
            (Some(one), Some((other, _))) if one.at != other.at => return None,
            (_, Some(by_id)) => by_id,
            (Some(sent), None) if header.id.is_none() => (sent, Reading::Addresses),
            (Some(sent), None) => (sent, Reading::Id),
            (None, None) => match self.of_another_origin(header, payload, key) {
                Some(sent) => (sent, Reading::Origin),
                None => return self.shifted(header, payload, key),
            },
        };
        let translated = (header.source != self.flow.source).then(|| Translated {
            flow: self.flow_of(&sent.key()),
            address: Some(header.source),
            value: self.origin_of(key),
        });
        Some(Read { at: sent.at, reading, translated })
    }

    /// The marks that identify each probe, without shared ones.
    pub(super) fn marks(&self) -> impl Iterator<Item = Mark> {
        let one = |slot: &Slot| matches!(slot, Slot::One(_));
        let heads = self.by_head.iter().filter(move |(_, slot)| one(slot));
        let ids = self.by_id.iter().filter(move |(_, slot)| one(slot));
        heads.map(|(head, _)| Mark::Head(*head)).chain(ids.map(|(id, _)| Mark::Id(*id)))
    }

    /// The marks of the probe that a quote with this header and key would be of.
    pub(super) fn marks_quoted(&self, header: &IpHeader, key: &ProbeKey) -> [Mark; 2] {
        let head = self.undone(key.head, header);
        let by_id = match header.id {
            Some(_) => Mark::Id(key.ip_id),
            None => Mark::Head(self.index(self.with_origin(head, self.flow.ident))),
        };
        [Mark::Head(self.index(head)), by_id]
    }

    /// What may mark the payload of UDP, if there is any.
    pub(super) fn mark(&self, payload: &[u8]) -> Option<u16> {
        word(payload, MARK_AT).filter(|_| is_udp(self.flow.protocol()))
    }

    /// What is found of a captured probe.
    pub(super) fn mark_of(&self, shown: Shown) -> Option<u16> {
        shown.word.filter(|_| is_udp(self.flow.protocol()))
    }

    /// Forgets all by which probes are found, if nothing is known but probes: who kept those can insert them again. Says whether it has.
    pub(super) fn rest(&mut self) -> bool {
        if self.foreign == 0 {
            (self.by_head, self.by_id) = (HashMap::new(), HashMap::new());
            self.by_rest = HashMap::new();
        }
        self.foreign == 0
    }

    /// What is the same in all probes that a translation takes for one flow.
    pub(super) fn flow_of(&self, key: &ProbeKey) -> [u8; 4] {
        let [a, b, c, d, ..] = key.head;
        if self.flow.probe.has_ports() { [a, b, c, d] } else { [0; 4] }
    }

    /// What became of the flow of a probe with key `sent` whose checksum alone is another in a quote with this key.
    pub(super) fn resummed(&self, key: &ProbeKey, sent: &ProbeKey) -> Option<Translated> {
        let (is, was) = (self.sum_of(key.head)?, self.sum_of(sent.head)?);
        // One that was taken off has nothing to do with what it was.
        if is == 0 && is_udp(self.flow.protocol()) {
            return None;
        }
        let value = canonical(plus(is, !was));
        Some(Translated { flow: self.flow_of(sent), address: None, value })
    }

    /// The source port or identifier.
    fn origin_of(&self, key: &ProbeKey) -> u16 {
        if self.flow.probe.has_ports() { key.source_port() } else { key.identifier() }
    }

    fn is_to_target(&self, header: &IpHeader) -> bool {
        header.destination == self.flow.target
    }

    /// Whether the payload of UDP begins as that of this probe. Where nothing but checksums tells probes apart, one that
    /// was not mended when an address was replaced is that of another probe.
    fn marked(&self, sent: &Sent, header: &IpHeader, payload: &[u8]) -> bool {
        let same_addresses = header.source == self.flow.source && self.is_to_target(header);
        let mark = word(payload, MARK_AT);
        !is_udp(self.flow.protocol()) || mark.map_or(same_addresses, |_| mark == sent.mark)
    }

    /// Whether a quote is of this probe but for addresses, destination port, and a checksum that fits them; or that
    /// was left as it was, if the port alone is another.
    fn ported(&self, sent: &Sent, header: &IpHeader, payload: &[u8], key: &ProbeKey) -> bool {
        let undone = self.undone(key.head, header);
        if !self.flow.probe.has_ports() {
            return undone == sent.head;
        }
        let port = sent.key().destination_port();
        let with_port = |mut head: Head| {
            head[2..4].copy_from_slice(&port.to_be_bytes());
            head
        };
        let mended = replaced(self.sum_of(undone).unwrap_or(0), key.destination_port(), port);
        let fits = self.with_sum(with_port(undone), mended) == sent.head;
        let same_addresses = header.source == self.flow.source && self.is_to_target(header);
        let left = same_addresses && with_port(key.head) == sent.head;
        (fits || left && is_udp(self.flow.protocol())) && self.tcp_fits(sent, key, header, payload)
    }

    /// Whether a quote is of this probe but for the sequence number, and a checksum of ICMP that fits it.
    fn sequenced(&self, sent: &Sent, header: &IpHeader, key: &ProbeKey) -> bool {
        let (head, ours) = (self.undone(key.head, header), sent.key());
        let protocol = self.flow.protocol();
        if protocol == ipv4::TCP {
            return self.is_to_target(header) && head[..4] == sent.head[..4];
        }
        let Some(sum) = self.sum_of(head).filter(|_| !is_udp(protocol)) else { return false };
        let mut as_ours = self.with_sum(head, replaced(sum, key.sequence(), ours.sequence()));
        as_ours[6..].copy_from_slice(&sent.head[6..]);
        as_ours == sent.head
    }

    /// Whether the checksum of TCP, if it is quoted, is that of the probe, or that of a segment that is quoted whole:
    /// its options may have been changed too.
    fn tcp_fits(&self, sent: &Sent, key: &ProbeKey, header: &IpHeader, payload: &[u8]) -> bool {
        let Some(sum) = word(payload, TCP_SUM_AT).filter(|_| header.protocol == ipv4::TCP) else {
            return true;
        };
        let ours = sent.key();
        let undone = replaced(
            replaced(
                self.readdressed(sum, header),
                key.destination_port(),
                ours.destination_port(),
            ),
            key.source_port(),
            ours.source_port(),
        );
        let right = || transport(header.source, header.destination, ipv4::TCP, payload) == 0;
        canonical(undone) == canonical(sent.sum) || is_whole(header, payload) && right()
    }

    /// The eight octets as a mark; for TCP without the destination port.
    fn index(&self, mut head: Head) -> Head {
        if self.flow.protocol() == ipv4::TCP {
            head[2..4].fill(0);
        }
        head
    }

    /// The eight octets as they would be between our address and the target.
    fn undone(&self, head: Head, header: &IpHeader) -> Head {
        match self.sum_of(head) {
            Some(sum) => self.with_sum(head, self.readdressed(sum, header)),
            None => head,
        }
    }

    /// The checksum between our address and the target, of a datagram with this header.
    fn readdressed(&self, sum: u16, header: &IpHeader) -> u16 {
        if self.flow.protocol() == ipv4::ICMP {
            return sum;
        }
        let ends = (self.flow.source, self.flow.target);
        readdressed(sum, (header.source, header.destination), ends)
    }

    /// The transport checksum in those octets, if it is there.
    fn sum_of(&self, head: Head) -> Option<u16> {
        word(&head, sum_at(self.flow.protocol())?)
    }

    fn with_sum(&self, mut head: Head, sum: u16) -> Head {
        let place = sum_at(self.flow.protocol()).and_then(|at| head.get_mut(at..at + 2));
        if let Some(place) = place {
            place.copy_from_slice(&canonical(sum).to_be_bytes());
        }
        head
    }

    /// The transport checksum that a captured datagram has on the wire, where offload may not have finished it yet.
    fn sum(&self, header: &IpHeader, payload: &[u8]) -> Option<u16> {
        let protocol = self.flow.protocol();
        let at = if protocol == ipv4::TCP { TCP_SUM_AT } else { sum_at(protocol)? };
        let captured = word(payload, at)?;
        let none = captured == 0 && is_udp(protocol);
        if none || !is_whole(header, payload) {
            return None;
        }
        let missing = if protocol == ipv4::ICMP {
            checksum(payload)
        } else {
            transport(header.source, header.destination, protocol, payload)
        };
        Some(plus(captured, missing))
    }
}

/// Where the transport checksum is, if it is among the first eight octets.
fn sum_at(protocol: u8) -> Option<usize> {
    match protocol {
        ipv4::UDP | ipv4::UDP_LITE => Some(6),
        ipv4::ICMP | crate::wire::ipv6::ICMPV6 => Some(2),
        _ => None,
    }
}

fn is_udp(protocol: u8) -> bool {
    matches!(protocol, ipv4::UDP | ipv4::UDP_LITE)
}

/// All zeros and all ones are the same sum, and UDP sends the latter.
fn canonical(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

fn is_whole(header: &IpHeader, payload: &[u8]) -> bool {
    header.total_len == header.header_len + payload.len()
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

#[cfg(test)]
mod tests;
