//! Which traces are in a recording, when the recording does not say.
//!
//! A first reading of a capture remembers every datagram that may be a probe: its TTL is low, or next
//! to that of others before it. From them follow the traces (`group`: which probes belong together) and
//! what each was asked (`run`). A trace shows itself by a TTL that ran out, by TTLs that climb, or by
//! a low one and a port where traceroute has always sent probes; everything else is plain traffic.
//!
//! The scout of a trace (see [`TraceConfig::scouting`]) comes first and with the highest TTL: it is found once
//! the others are.
//!
//! Memory is bounded however long the file is: [`PAIRS`] pairs of addresses, [`PROBES`] probes and [`TRACES`] traces in all, the last
//! `SCOUTS` that may be scouts, and `UNSEEN` replies per pair to probes that are not in the file.

mod group;
mod pair;
mod replies;
mod run;
mod shared;
mod uplinks;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::probe::{self, Flow, ProbeKey, ProbeType};
use crate::time::{Span, Timestamp};
use crate::wire::checksum::{transport, udp_lite};
use crate::wire::ip::{self, IpHeader};
use crate::wire::quoted::{self, Quoted};
use crate::wire::{Evidence, Frame, link};
use crate::wire::{ipv4, tcp};

use super::config::TraceConfig;
use super::probe_selector::ProbeSelector;
use group::Sighting;
use pair::{Pair, of_rewritten};
use run::{Run, Unseen, UnseenBy};

/// Pairs of source and target looked at, per protocol; the packets of further ones are passed over.
pub const PAIRS: usize = 1_024;
/// Probes looked at in all: what is kept of them and of their replies takes some 80 MB.
pub const PROBES: usize = 1 << 17;
/// Traces looked at, the first of them.
pub const TRACES: usize = 2_048;
/// Datagrams kept that may be scouts although their TTL is high; they are wanted soon or never.
const SCOUTS: usize = 4_096;
/// Replies without their probe looked at per pair.
const UNSEEN: usize = 256;
/// A datagram whose TTL is above this is a host's ordinary traffic, unless probes led up to it.
const HIGHEST_FIRST_TTL: u8 = 30;
/// A probe seen again sooner is a copy of the capture's, not a probe of another trace.
const COPY: Span = Span::from_millis(30_000);
/// How long a pair that does not look like a trace is kept when there are too many.
const PATIENCE: Span = Span::from_millis(10_000);

/// Which traces of a capture are meant; what is `None` may be anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The traced address.
    pub target: Option<IpAddr>,
    /// The prober's address.
    pub source: Option<IpAddr>,
    /// UDP: the source port. ICMP echo: the identifier.
    pub ident: Option<u16>,
}

impl Wanted {
    /// Whether a trace of this flow, with these source ports or identifiers, is meant.
    #[must_use]
    pub fn matches(&self, flow: &Flow, idents: &ProbeSelector) -> bool {
        let has = |ident: u16| match idents {
            ProbeSelector::One | ProbeSelector::Numbered(_) => ident == flow.ident,
            ProbeSelector::Listed(listed) => listed.idents.contains(&ident),
        };
        self.target.is_none_or(|target| target == flow.target)
            && self.source.is_none_or(|source| source == flow.source)
            && self.ident.is_none_or(has)
    }
}

/// What the user says about the traces of a capture before it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct SurveyHints {
    /// The TTL that they begin with, which may be one that traffic has, too.
    pub first_ttl: Option<u8>,
    /// A protocol whose datagrams are probes as such, whatever else they look like.
    pub protocol: Option<u8>,
}

/// A trace that a capture holds.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Found {
    /// What was asked, as far as packets show it; the rest (waiting times, the last TTL meant) is at its
    /// default.
    pub config: TraceConfig,
    /// Which datagrams are its probes.
    pub idents: ProbeSelector,
    /// When the first was captured, if the capture says so.
    pub start: Option<Timestamp>,
    /// How many were captured.
    pub probes: usize,
    /// The tool that it looks like, if it looks like one.
    pub tool: Option<&'static str>,
    /// The other traces of the same run, which a host with several uplinks sent from other source addresses: their places among
    /// all traces, from 0.
    pub same_run: Vec<usize>,
}

/// A first reading of a capture.
#[derive(Debug, Default)]
pub struct Survey {
    pairs: HashMap<Flow, Pair>,
    probes: usize,
    /// What may be a scout, by flow, in order of time; and how many there are.
    scouts: HashMap<Flow, Vec<Sighting>>,
    scouts_kept: usize,
    /// The highest TTL of a probe so far.
    highest: u8,
    /// What was asked for.
    hints: SurveyHints,
    pruned: Option<Timestamp>,
    overflowed: bool,
    /// Some frames are shorter than they were.
    cut: bool,
}

/// What all probes from one address to another have in common, whichever tool sent them.
fn pair_of(flow: &Flow) -> Flow {
    Flow { ident: 0, ..*flow }
}

impl Survey {
    /// An empty survey.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty survey with hints about the traces.
    #[must_use]
    pub fn with_hints(hints: SurveyHints) -> Self {
        Self { hints, ..Self::default() }
    }

    /// The highest TTL that a trace may begin with.
    fn highest_first(&self) -> u8 {
        self.hints.first_ttl.map_or(HIGHEST_FIRST_TTL, |first| first.max(HIGHEST_FIRST_TTL))
    }

    /// Whether more probes were there than are looked at.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Takes one frame of the capture.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        self.cut |= u32::try_from(frame.bytes.len()).is_ok_and(|len| len < frame.original_len);
        let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) else { return };
        let Ok((header, payload)) = ip::decode(datagram) else { return };
        if !is_for_many(header.destination)
            && let Some((flow, key)) = self.recognise(&header, payload, frame.evidence)
        {
            let it = Sighting::of(&flow, key, &header, payload, (frame.at, frame.number));
            if !self.take_probe(&flow, &it) {
                self.take_scout(&flow, it);
            }
        } else if header.is_icmp() && header.is_first {
            match frame.evidence {
                Evidence::Captured => {
                    self.take_reply(&header, payload, (frame.at, frame.number));
                }
                Evidence::Reconstructed => self.take_reconstructed(&header, payload),
            }
        }
    }

    fn recognise(
        &self,
        header: &IpHeader,
        payload: &[u8],
        evidence: Evidence,
    ) -> Option<(Flow, ProbeKey)> {
        match self.hints.protocol {
            // The checksum of what is reconstructed says nothing.
            _ if !evidence.is_captured() => probe::recognise(header, payload),
            Some(number) => probe::recognise_as(ProbeType::Protocol(number), header, payload),
            None => recognise_raw(header, payload).or_else(|| probe::recognise(header, payload)),
        }
    }

    /// Recognises a quoted probe: the UDP ports are enough where the capture cut the quote short.
    fn recognise_quote(&self, quote: &Quoted<'_>) -> Option<(Flow, ProbeKey)> {
        let header = &quote.header;
        let recognise = |payload: &[u8]| self.recognise(header, payload, Evidence::Captured);
        recognise(quote.payload).or_else(|| {
            let key = ProbeKey::of_cut(header, quote.payload)?;
            recognise(&key.head).filter(|_| quote.payload.len() < key.head.len())
        })
    }

    /// The probe of a protocol as such that a quote is of: that alone does not show that it is one.
    fn quoted_raw(&self, quote: &Quoted<'_>) -> Option<(Flow, ProbeKey)> {
        let (flow, key) = as_raw(&quote.header, quote.payload)?;
        let pair = self.pairs.get(&pair_of(&flow))?;
        pair.latest.contains_key(&key).then_some((flow, key))
    }

    /// Takes a probe in, or says that it is none: its TTL is high, and no others led up to it.
    fn take_probe(&mut self, flow: &Flow, it: &Sighting) -> bool {
        let highest_first = self.highest_first();
        if it.ttl > highest_first && it.ttl > self.highest.saturating_add(1) {
            return false;
        }
        let Some(pair) = self.pair(flow, it.at, it.ttl <= highest_first) else { return false };
        if it.ttl > highest_first && it.ttl > pair.highest.saturating_add(1) {
            return false;
        }
        let before = pair.latest.get(&it.key).and_then(|index| pair.sightings.get(*index));
        let copy = before.is_some_and(|before| it.at.since(before.at) <= COPY);
        if copy || it.ttl == 0 {
            return true;
        }
        pair.latest.insert(it.key, pair.sightings.len());
        pair.highest = pair.highest.max(it.ttl);
        pair.sightings.push(*it);
        self.highest = self.highest.max(it.ttl);
        self.probes += 1;
        true
    }

    fn take_scout(&mut self, flow: &Flow, it: Sighting) {
        if !it.looks_like_ours(flow) {
            return;
        }
        if self.scouts_kept >= SCOUTS {
            self.scouts.clear();
            self.scouts_kept = 0;
        }
        let scouts = self.scouts.entry(*flow).or_default();
        let copy = scouts.last().is_some_and(|last| last.key == it.key);
        if !copy {
            scouts.push(it);
            self.scouts_kept += 1;
        }
    }

    /// The pair of a probe, a new one if that is wanted and there is room for it.
    fn pair(&mut self, flow: &Flow, at: Timestamp, new: bool) -> Option<&mut Pair> {
        let flow = pair_of(flow);
        if !self.pairs.contains_key(&flow) {
            if !new {
                return None;
            }
            self.prune(at);
            if self.pairs.len() >= PAIRS {
                self.overflowed = true;
                return None;
            }
        }
        if self.probes >= PROBES {
            self.overflowed = true;
            return None;
        }
        Some(self.pairs.entry(flow).or_default())
    }

    /// Forgets what does not look like a trace, if there is too much of it.
    fn prune(&mut self, now: Timestamp) {
        let recently = self.pruned.is_some_and(|at| now.since(at) < PATIENCE);
        if self.pairs.len() < PAIRS || recently {
            return;
        }
        self.pruned = Some(now);
        let alive = |pair: &Pair| {
            let fresh = pair.sightings.last().is_some_and(|it| now.since(it.at) < PATIENCE);
            let first = pair.sightings.first().map_or(0, |it| it.ttl);
            pair.expired || fresh || pair.sightings.iter().any(|it| it.ttl != first)
        };
        self.pairs.retain(|_, pair| alive(pair));
        self.probes = self.pairs.values().map(|pair| pair.sightings.len()).sum();
    }

    /// How many errors say that a TTL ran out of which the capture holds no probe, between addresses of which it holds none.
    #[must_use]
    pub fn replies_alone(&self) -> usize {
        let without = self.pairs.values().filter(|pair| pair.sightings.is_empty());
        without.flat_map(|pair| &pair.unseen).filter(|it| it.reply.expired).count()
    }

    /// What an ICMP error or an echo reply says of probes, and of those that were not captured.
    fn take_reply(&mut self, header: &IpHeader, payload: &[u8], when: (Timestamp, u64)) {
        let family = header.family();
        let Ok(icmp) = ip::icmp(family, payload) else { return };
        if let Some((ident, sequence)) = icmp.echo_reply {
            self.take_echo_reply(header, (ident, sequence), when);
        }
        let Ok(quote) = quoted::decode(icmp.body) else { return };
        let quoted = self.quoted_raw(&quote).or_else(|| self.recognise_quote(&quote));
        let quoted = quoted.filter(|_| icmp.quotes);
        let Some((flow, key)) = quoted else { return };
        let (at, expired) = (when.0, icmp.icmp_type == ip::time_exceeded(family));
        if flow.source != header.destination
            || !expired && !self.pairs.contains_key(&pair_of(&flow))
        {
            return;
        }
        let Some(pair) = self.pair(&flow, at, true) else { return };
        if let Some(sighting) = pair.find(&key, &quote, flow.protocol()) {
            sighting.expired |= expired;
            pair.expired |= expired;
        } else {
            let shown = Sighting::of(&flow, key, &quote.header, quote.payload, when);
            pair.note_unseen(&flow, key, UnseenBy::reply(header, shown, expired));
        }
    }

    /// What a reconstructed ICMP error says of a probe that was captured. It shows none that was not.
    fn take_reconstructed(&mut self, header: &IpHeader, payload: &[u8]) {
        let family = header.family();
        let Ok(icmp) = ip::icmp(family, payload) else { return };
        let Some(quote) = quoted::decode(icmp.body).ok().filter(|_| icmp.quotes) else { return };
        let Some((flow, key)) = probe::recognise(&quote.header, quote.payload) else { return };
        let Some(pair) = self.pairs.get_mut(&pair_of(&flow)) else { return };
        if let Some(sighting) = pair.find_reconstructed(&key, flow.protocol()) {
            let expired = icmp.icmp_type == ip::time_exceeded(family);
            sighting.evidence = Evidence::Reconstructed;
            sighting.expired |= expired;
            pair.expired |= expired;
        }
    }

    fn take_echo_reply(
        &mut self,
        header: &IpHeader,
        (ident, sequence): (u16, u16),
        when: (Timestamp, u64),
    ) {
        let (source, target) = (header.destination, header.source);
        let flow = Flow { source, target, probe: ProbeType::IcmpEcho, ident };
        let Some(pair) = self.pairs.get_mut(&pair_of(&flow)) else { return };
        let [[a, b], [c, d]] = [ident.to_be_bytes(), sequence.to_be_bytes()];
        let request = ip::echo_request(header.family());
        // All that an answer tells of what it answers.
        let key = ProbeKey { ip_id: 0, head: [request, 0, 0, 0, a, b, c, d] };
        let same = |it: &&Sighting| (it.ident, it.number) == (ident, sequence);
        if !pair.sightings.iter().rev().take(UNSEEN).any(|it| same(&it)) {
            let shown = Sighting::of(&flow, key, header, &key.head, when);
            pair.note_unseen(&flow, key, UnseenBy::reply(header, shown, false));
        }
    }

    /// The traces of the capture, the first [`TRACES`] in order of their beginnings, and how many more there are. What
    /// they were found by is forgotten.
    #[must_use]
    pub fn into_traces(self) -> (Vec<Found>, usize) {
        let (mut runs, cut) = (self.all_runs(), self.cut);
        drop(self);
        let more = runs.len().saturating_sub(TRACES);
        runs.truncate(TRACES);
        (found(runs, cut), more)
    }

    /// The traces of the capture, the first [`TRACES`] in order of their beginnings.
    #[must_use]
    pub fn traces(&self) -> Vec<Found> {
        found(self.all_runs().into_iter().take(TRACES).collect(), self.cut)
    }

    fn all_runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> =
            self.pairs.iter().flat_map(|(flow, pair)| self.runs(flow, pair)).collect();
        runs.sort_by_key(|run| (run.first_frame(), run.flow.target));
        runs
    }

    fn runs(&self, flow: &Flow, pair: &Pair) -> Vec<Run> {
        let answers = self.answers(flow);
        let asked = pair.without_repetitions(flow.probe);
        let asked = asked.filter(|it| !answers.contains(&(it.ident, it.number)));
        let (size_probes, asked) = run::part_sizers(flow, asked.copied());
        let members = |indices: Vec<usize>| {
            let probes = indices.into_iter().filter_map(|index| asked.get(index)).copied();
            Run::new(*flow, probes.collect())
        };
        let groups = group::group(flow.probe, &asked).into_iter();
        let mut runs: Vec<Run> = groups.filter_map(members).collect();
        for run in &mut runs {
            run.find_scout(self.scouts.get(&run.flow).map_or(&[], Vec::as_slice));
        }
        let mut runs = run::with_confirmations(runs);
        for size_probe in size_probes {
            let of = runs.iter_mut().filter(|run| run.start() <= size_probe.at);
            if let Some(run) = of.filter(|run| run.idents.contains(&size_probe.ident)).last() {
                run.size_probes.push(size_probe);
            }
        }
        let scouts: Vec<Sighting> = runs.iter().filter_map(|run| run.scout).collect();
        let protocol = flow.protocol();
        let is_scout = |it: &Unseen| {
            let left: Vec<_> = of_rewritten(it.key, protocol).collect();
            scouts.iter().any(|scout| {
                (scout.ident, scout.number) == (it.ident, it.number)
                    || of_rewritten(scout.key, protocol).any(|key| left.contains(&key))
            })
        };
        let unseen = pair.truly_unseen(flow).into_iter();
        let mut alone = Vec::new();
        for unseen in unseen.filter(|it| !is_scout(it)) {
            let fitting = runs.iter_mut().filter_map(|run| Some((run.distance(&unseen)?, run)));
            match fitting.min_by_key(|(distance, _)| *distance) {
                Some((_, run)) => run.unseen.push(unseen),
                None => alone.push(unseen),
            }
        }
        runs.extend(replies::runs(flow, alone));
        runs
    }

    /// The ports of datagrams that look like probes of this pair but answer the other side, or go on with a
    /// connection that a SYN began.
    fn answers(&self, flow: &Flow) -> HashSet<(u16, u16)> {
        let Flow { source, target, probe, .. } = *flow;
        let ports = |flow: Flow| {
            let sightings = self.pairs.get(&flow).map(|pair| &pair.sightings);
            sightings.into_iter().flatten().map(|it| (it.ident, it.number, it.at))
        };
        match probe {
            ProbeType::Udp | ProbeType::UdpLite => {
                let back = Flow { source: target, target: source, ..*flow };
                // Both directions may look like probes: who spoke first asked.
                let first: HashMap<(u16, u16), Timestamp> =
                    ports(*flow).rev().map(|(ident, number, at)| ((ident, number), at)).collect();
                let mirrored = ports(back).filter(|(ident, number, at)| {
                    first.get(&(*number, *ident)).is_some_and(|own| at < own)
                });
                mirrored.map(|(ident, number, _)| (number, ident)).collect()
            }
            ProbeType::TcpAck => {
                let syns = Flow { probe: ProbeType::TcpSyn, ..*flow };
                ports(syns).map(|(ident, number, _)| (ident, number)).collect()
            }
            _ => HashSet::new(),
        }
    }
}

/// The traces of a capture, which cut frames short or not, by what they were found by.
fn found(runs: Vec<Run>, cut: bool) -> Vec<Found> {
    let siblings = uplinks::siblings(&runs);
    let shared = shared::identities(&runs);
    let each = runs.into_iter().zip(siblings).zip(shared);
    each.map(|((run, same_run), shared)| Found { same_run, ..run.found(cut, shared) }).collect()
}

/// The filling of raw-protocol probes from their ninth octet on, as rtrace and traceroute on Linux send them.
const RAW_FILLING: [u8; 8] = [0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f];

/// Reads a datagram as a probe of its protocol as such, whatever it looks like.
fn as_raw(header: &IpHeader, payload: &[u8]) -> Option<(Flow, ProbeKey)> {
    probe::recognise_as(ProbeType::Protocol(header.protocol), header, payload)
}

/// Reads a raw-protocol probe from a datagram that is invalid in its protocol: its checksum is wrong, and it has the filling of those probes
/// are from the beginning, or is no segment of TCP.
fn recognise_raw(header: &IpHeader, payload: &[u8]) -> Option<(Flow, ProbeKey)> {
    let IpHeader { source, destination, protocol, .. } = *header;
    let filled = || payload.get(8..).is_some_and(|rest| rest.starts_with(&RAW_FILLING));
    let no_segment = || protocol == ipv4::TCP && tcp::decode(payload).is_err();
    let whole = header.total_len == header.header_len + payload.len();
    if !whole || !(filled() || no_segment()) {
        return None;
    }
    let right = match protocol {
        ipv4::TCP | ipv4::UDP => transport(source, destination, protocol, payload) == 0,
        ipv4::UDP_LITE => udp_lite(source, destination, payload) == Some(0),
        _ => !header.is_icmp() || ip::icmp_checksum_is_right(header, payload),
    };
    as_raw(header, payload).filter(|_| !right)
}

/// Multicast and broadcast: a low TTL only keeps them near.
fn is_for_many(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

#[cfg(test)]
mod tests;
