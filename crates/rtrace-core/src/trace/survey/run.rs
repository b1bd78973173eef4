//! From the probes of one trace to its configuration.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::Found;
use super::group::Sighting;
use crate::probe::{Flow, FlowMode, ProbeKey, ProbeType};
use crate::time::{Span, Timestamp};
use crate::trace::config::{Confirmation, MAX_WATCHED_QUERIES, TraceConfig, Wait};
use crate::trace::probe_selector::{Listed, ProbeSelector};
use crate::trace::reply::return_path;
use crate::trace::tool::{self, Traits};
use crate::wire::Evidence;
use crate::wire::ip::IpHeader;

/// Below this, UDP ports are those of services, and do not give a trace away.
const LOWEST_TRACE_PORT: u16 = 33_000;
/// How long before the other probes of its trace a scout leaves.
const SCOUT_LEADS: Span = Span::from_millis(10_000);
/// How long after the last probe of a trace a confirming probe may still be sent.
const CONFIRMED_WITHIN: Span = Span::from_millis(6_000);
/// A trace begins near its source; plain traffic comes to have such a TTL only from far away.
const NEAR: u8 = 3;

/// A probe that is known only because something quotes or answers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unseen {
    pub(super) key: ProbeKey,
    pub(super) ident: u16,
    pub(super) number: u16,
    pub(super) reply: UnseenBy,
}

/// The reply by which it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnseenBy {
    /// The probe as it is quoted, with the time and frame of the reply and a TTL of 0.
    pub(super) quoted: Sighting,
    pub(super) responder: IpAddr,
    /// It says that a TTL ran out.
    pub(super) expired: bool,
    /// Over how many hops it seems to have come.
    pub(super) back: u16,
}

impl UnseenBy {
    /// A reply with this header, which shows this probe.
    pub(super) fn reply(header: &IpHeader, shown: Sighting, expired: bool) -> Self {
        let (_, back) = return_path(header.ttl);
        Self { quoted: Sighting { ttl: 0, ..shown }, responder: header.source, expired, back }
    }
}

/// The probes of one trace, in order of time.
pub(super) struct Run {
    pub(super) flow: Flow,
    pub(super) probes: Vec<Sighting>,
    /// The probe that went before them, with the highest TTL.
    pub(super) scout: Option<Sighting>,
    pub(super) idents: HashSet<u16>,
    /// Longer probes that came after them to find out the path MTU.
    pub(super) size_probes: Vec<Sighting>,
    /// Those whose own frame is not in the capture.
    pub(super) unseen: Vec<Unseen>,
    /// No probe is in the capture: all are known by replies alone.
    pub(super) by_replies: bool,
    /// The probes that were to confirm answers to others.
    confirmations: Vec<Sighting>,
    first: Sighting,
    per_ttl: BTreeMap<u8, usize>,
    lowest: u16,
    highest: u16,
}

impl Run {
    /// `None` if there is no probe.
    pub(super) fn new(flow: Flow, mut probes: Vec<Sighting>) -> Option<Self> {
        let scout = probes.split_first().filter(|(first, rest)| is_scout(&flow, first, rest));
        let scout = scout.map(|(first, _)| *first);
        probes.drain(..usize::from(scout.is_some()));
        let first = *probes.first()?;
        let mut per_ttl = BTreeMap::new();
        for it in &probes {
            *per_ttl.entry(it.ttl).or_default() += 1;
        }
        let numbers = || probes.iter().map(|it| it.number);
        Some(Self {
            flow: Flow { ident: first.ident, ..flow },
            scout,
            idents: probes.iter().map(|it| it.ident).collect(),
            size_probes: Vec::new(),
            unseen: Vec::new(),
            by_replies: false,
            confirmations: Vec::new(),
            first,
            per_ttl,
            lowest: numbers().min()?,
            highest: numbers().max()?,
            probes,
        })
    }

    /// When its first probe was captured.
    pub(super) fn start(&self) -> Timestamp {
        self.scout.map_or(self.first.at, |scout| scout.at)
    }

    /// The frame of that probe.
    pub(super) fn first_frame(&self) -> u64 {
        self.scout.map_or(self.first.frame, |scout| scout.frame)
    }

    /// Takes the last of these that may be its scout, if it has none.
    pub(super) fn find_scout(&mut self, candidates: &[Sighting]) {
        let (flow, probes) = (&self.flow, &self.probes);
        let before =
            |it: &&Sighting| it.at <= self.first.at && self.first.at.since(it.at) <= SCOUT_LEADS;
        let fits = |it: &&Sighting| before(it) && is_scout(flow, it, probes);
        if self.idents.len() == 1 && self.scout.is_none() {
            self.scout = candidates.iter().rev().find(fits).copied();
        }
    }

    /// Whether this is a trace, and not some datagrams whose TTL happens to be low.
    pub(super) fn is_trace(&self) -> bool {
        let expired = self.probes.iter().chain(&self.confirmations).any(|it| it.expired);
        let near = self.per_ttl.keys().next().is_some_and(|ttl| *ttl <= NEAR);
        let climbs = self.per_ttl.len() > 2 || self.per_ttl.len() == 2 && near;
        let trace_port = self.flow.probe == ProbeType::Udp && self.lowest >= LOWEST_TRACE_PORT;
        let only_if_expired = matches!(self.flow.probe, ProbeType::Protocol(_));
        let scouted = self.scout.is_some();
        expired || scouted || !only_if_expired && (climbs || near && trace_port)
    }

    /// How well an unseen probe fits; less is better, `None` if it does not.
    pub(super) fn distance(&self, unseen: &Unseen) -> Option<u16> {
        const NEAR_PORTS: u16 = 16;
        if self.idents.len() == 1 {
            return self.idents.contains(&unseen.ident).then_some(0);
        }
        let beside = self.lowest.saturating_sub(unseen.number);
        let beyond = unseen.number.saturating_sub(self.highest);
        let counts = self.lowest != self.highest && beside.max(beyond) <= NEAR_PORTS;
        let free = || self.probes.iter().all(|it| it.number != unseen.number);
        (counts && free()).then(|| 1 + beside.max(beyond))
    }

    /// Whether the probes of another run were to confirm answers to these: they came later, from one other port or with
    /// another identifier, to hops of this one, and fewer to each.
    fn is_confirmed_by(&self, other: &Self) -> bool {
        let of_one =
            self.idents.len() == 1 && other.idents.len() == 1 && self.idents != other.idents;
        let (Some(lowest), Some(highest)) =
            (self.per_ttl.keys().next(), self.per_ttl.keys().last())
        else {
            return false;
        };
        let few = |(ttl, count): (&u8, &usize)| {
            let asked = self.per_ttl.get(ttl).copied().unwrap_or(0);
            (lowest..=highest).contains(&ttl) && 2 * *count <= asked.max(2)
        };
        let ours = |it: &Sighting| it.looks_like_ours(&self.flow);
        let later = self.first.at < other.first.at && self.ends() > other.first.at;
        of_one
            && later
            && other.scout.is_none()
            && other.per_ttl.iter().all(few)
            && other.probes.iter().all(ours)
            && ours(&self.first)
    }

    /// When a confirmation can no longer be expected.
    fn ends(&self) -> Timestamp {
        self.probes.last().map_or(self.first.at, |last| last.at).after(CONFIRMED_WITHIN)
    }

    /// Every probe of it that is in the capture, or known by replies alone.
    pub(super) fn all(&self) -> impl Iterator<Item = &Sighting> {
        self.scout.iter().chain(&self.probes).chain(&self.size_probes).chain(&self.confirmations)
    }

    fn fixed(&self) -> bool {
        self.lowest == self.highest
    }

    /// One UDP port means that something else in the probes varies.
    fn kind(&self) -> (ProbeType, FlowMode) {
        let single = self.fixed() && self.probes.len() > 1;
        match self.flow.probe {
            ProbeType::Udp if single && self.lowest >= LOWEST_TRACE_PORT => {
                (ProbeType::Udp, FlowMode::Paris)
            }
            ProbeType::Udp if single => (ProbeType::UdpFixed, FlowMode::Classic),
            probe => (probe, FlowMode::Classic),
        }
    }

    /// What its replies are. Reconstructed ones do not show IP-IDs, which the kernel chose then.
    fn evidence(&self) -> Evidence {
        let reconstructed = self.all().any(|it| !it.evidence.is_captured());
        if reconstructed { Evidence::Reconstructed } else { Evidence::Captured }
    }

    /// What the trace is, what of it the capture holds, and which tool it looks like.
    pub(super) fn found(mut self, cut: bool, shared: HashSet<u32>) -> Found {
        let places = Places::of(&self);
        let (mut missing, mut orphans) = (Vec::new(), HashSet::new());
        self.unseen.sort_unstable_by_key(|unseen| unseen.number);
        for unseen in &self.unseen {
            match places.as_ref().and_then(|places| places.ttl(unseen.number)) {
                Some(ttl) => missing.push((unseen.number, ttl, unseen.key)),
                None => drop(orphans.insert(unseen.key)),
            }
        }
        for (_, ttl, _) in &missing {
            *self.per_ttl.entry(*ttl).or_default() += 1;
        }
        let traits = self.traits();
        // No other tool has replies reconstructed.
        let has_ids = self.evidence().is_captured();
        let tool = if has_ids { tool::likely(&traits) } else { Some(tool::RTRACE) };
        let wait = tool::wait(&traits);
        let config = self.config(wait, missing.iter().map(|(number, ..)| *number).min());
        let own = || self.scout.iter().chain(&self.probes).chain(&self.size_probes);
        let all = || own().chain(&self.confirmations);
        let captured = || all().filter(|_| !self.by_replies);
        if self.by_replies {
            missing = self.probes.iter().map(|it| (it.number, it.ttl, it.key)).collect();
            missing.sort_unstable();
        }
        let known = |key: ProbeKey| if has_ids { key } else { ProbeKey { ip_id: 0, ..key } };
        let listed = Listed {
            idents: all().map(|it| it.ident).collect(),
            probes: captured().map(|it| known(it.key)).collect(),
            from: self.first_frame(),
            until: all().map(|it| it.frame).max().unwrap_or(self.first.frame),
            ended: all().map(|it| it.at).max().unwrap_or(self.first.at),
            missing: missing.into(),
            orphans,
            variable_queries: wait.here.is_none(),
            cut,
            shared,
        };
        let start = self.start().known();
        let probes = captured().count();
        let idents = ProbeSelector::Listed(Box::new(listed));
        Found { config, idents, start, probes, tool, same_run: Vec::new() }
    }

    fn traits(&self) -> Traits {
        let second = self.probes.get(1).unwrap_or(&self.first);
        Traits {
            probe: self.flow.probe,
            len: self.first.len,
            ident: self.first.ident,
            one_socket: self.idents.len() == 1,
            first_number: self.first.number,
            fixed_number: self.fixed(),
            first_id: self.first.key.ip_id,
            id_step: second.key.ip_id.wrapping_sub(self.first.key.ip_id),
            head: self.first.key.head,
            beginning: self.first.beginning,
        }
    }

    /// What packets cannot show (the last TTL meant, probes in flight, pauses) is at its default. `missing` is the lowest
    /// number of those that were not captured and have a place.
    fn config(&self, wait: Wait, missing: Option<u16>) -> TraceConfig {
        let (probe, flow_mode) = self.kind();
        let defaults = TraceConfig::of_flow(&Flow { probe, ..self.flow });
        let ttl = |found: Option<(&u8, &usize)>| found.map_or(1, |(ttl, _)| *ttl);
        let (lowest, highest) =
            (ttl(self.per_ttl.first_key_value()), ttl(self.per_ttl.last_key_value()));
        let most = self.per_ttl.values().max().copied().unwrap_or(1);
        // One hop alone may have been cut short: its queries are at least the usual number.
        let fewest = if lowest == highest { defaults.queries } else { 1 };
        let lowest_number = missing.into_iter().chain([self.lowest]).min().unwrap_or(self.lowest);
        let defaults = if self.scout.is_some() { defaults.scouting() } else { defaults };
        let max_ttl = match self.scout {
            Some(scout) => scout.ttl,
            None => highest.max(defaults.max_ttl),
        };
        TraceConfig {
            flow_mode,
            first_port: if probe.has_ports() { lowest_number.max(1) } else { defaults.first_port },
            first_ttl: lowest.max(1),
            max_ttl,
            queries: u16::try_from(most)
                .unwrap_or(MAX_WATCHED_QUERIES)
                .clamp(fewest, MAX_WATCHED_QUERIES),
            tos: self.first.tos,
            dont_fragment: self.flow.target.is_ipv4() && self.first.dont_fragment,
            mtu: !self.size_probes.is_empty(),
            packet_len: self.first.len,
            first_id: self.first.key.ip_id,
            flow_label: self.first.flow_label,
            confirmation: self.confirmations.first().map(|first| {
                // Nothing more is sent by it.
                Confirmation { ident: first.ident, seed: 0 }
            }),
            wait,
            evidence: self.evidence(),
            ..defaults
        }
    }
}

/// The runs that are traces, with the probes that confirm answers to those of the last that began before.
pub(super) fn with_confirmations(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_by_key(Run::start);
    let mut traces: Vec<Run> = Vec::new();
    for run in runs {
        match traces.last_mut().filter(|last| last.is_confirmed_by(&run)) {
            Some(last) => last.confirmations.extend(run.probes),
            None => traces.push(run),
        }
    }
    traces.retain(Run::is_trace);
    traces
}

/// Parts probes by which a path MTU is found out from those of hops: they fill longer datagrams in the same
/// way, from the same port, and must not be fragmented. Where no two probes are of one length, that identifies them.
pub(super) fn part_sizers(
    flow: &Flow,
    asked: impl Iterator<Item = Sighting>,
) -> (Vec<Sighting>, Vec<Sighting>) {
    let mut lengths: HashMap<u16, (u16, u32)> = HashMap::new();
    asked.partition(|it| {
        let (shortest, times) = lengths.entry(it.ident).or_insert((it.len, 0));
        match it.len.cmp(shortest) {
            Ordering::Less => (*shortest, *times) = (it.len, 1),
            Ordering::Equal => *times += 1,
            Ordering::Greater => return *times > 1 && it.dont_fragment && it.looks_like_ours(flow),
        }
        false
    })
}

/// Whether `first` is the scout of the other probes of its trace: see [`TraceConfig::scouting`].
fn is_scout(flow: &Flow, first: &Sighting, rest: &[Sighting]) -> bool {
    let Some(next) = rest.first() else { return false };
    let (lowest, fixed) = rest.iter().fold((u16::MAX, true), |(lowest, fixed), it| {
        (lowest.min(it.number), fixed && it.number == first.number)
    });
    // It has the last number of the plan: all hops have as many. Ports may wrap, IP-IDs are there in IPv4 only.
    let hops = u32::from(first.ttl.saturating_sub(next.ttl)) + 1;
    let whole = |from: u16, to: u16| (u32::from(to.wrapping_sub(from)) + 1) % hops == 0;
    let [id, next_id] = [first.key.ip_id, next.key.ip_id];
    let ids = id > 0 && (whole(next_id, id) || id < next_id && whole(next_id, id.wrapping_sub(1)));
    let numbered = fixed || ids || whole(lowest, first.number);
    let alone = rest.iter().all(|it| it.ident == first.ident && it.ttl <= first.ttl);
    hops > 1 && numbered && alone && first.looks_like_ours(flow)
}

/// Which TTL a number was sent with, of a trace in which both rise together.
struct Places {
    first_number: u16,
    first_ttl: u8,
    /// Numbers per TTL, and how far probes of one TTL are numbered on.
    queries: u16,
}

impl Places {
    /// `None` if the probes that are there do not all follow one rule.
    fn of(run: &Run) -> Option<Self> {
        if run.fixed() || matches!(run.flow.probe, ProbeType::TcpSyn | ProbeType::TcpAck) {
            return None;
        }
        let mut numbers: HashMap<u8, HashSet<u16>> = HashMap::new();
        for it in &run.probes {
            numbers.entry(it.ttl).or_default().insert(it.number);
        }
        let queries = u16::try_from(numbers.values().map(HashSet::len).max()?).ok()?;
        let unseen = run.unseen.iter().map(|unseen| unseen.number);
        let first_number = unseen.chain([run.lowest]).min()?;
        let hop = (run.first.number - first_number) / queries;
        let first_ttl = u16::from(run.first.ttl).checked_sub(hop)?;
        let first_ttl = u8::try_from(first_ttl).ok().filter(|ttl| *ttl > 0)?;
        let places = Self { first_number, first_ttl, queries };
        run.probes.iter().all(|it| places.ttl(it.number) == Some(it.ttl)).then_some(places)
    }

    /// `None` if there is no such TTL: numbers are whatever a capture says.
    fn ttl(&self, number: u16) -> Option<u8> {
        let hop = number.checked_sub(self.first_number)? / self.queries;
        u8::try_from(hop).ok()?.checked_add(self.first_ttl)
    }
}
