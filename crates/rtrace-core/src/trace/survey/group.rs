//! Which probes of one source, target and protocol were one trace.
//!
//! A tool that keeps its source port (or echo identifier) says so itself. Others take a new one for each
//! probe; their probes are a chain: the source port or the destination port is that of the probe before
//! plus one, or the destination port stays and the TTL is the one that is due. The [`RULES`] are tried one
//! after the other, strongest first, each on what those before left over. A chain that stays short was
//! chance: its probes are given back. So several tools at once, with whatever ports, are distinguished as far as
//! their packets differ at all.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::probe::{Flow, ProbeKey, ProbeType, craft};
use crate::time::{Span, Timestamp};
use crate::trace::correlate;
use crate::wire::Evidence;
use crate::wire::ip::IpHeader;

/// A tool that takes a new socket per probe does not rest longer than this.
pub(super) const PAUSE: Span = Span::from_millis(30_000);
/// A source port that comes again after this long is another trace's.
const LONG_PAUSE: Span = Span::from_millis(300_000);
/// Destination ports that may be missing between two probes of a trace.
pub(super) const GAP: u16 = 16;
/// After numbers from here on a tool that goes on for long begins with its first again.
const LAST_NUMBERS: u16 = 64_000;
/// How long a burst of probes takes at most, in nanoseconds.
const BURST: i64 = 1_000_000;
/// Chains that may be in flight at a time and wait for the same number.
const CHAINS: usize = 64;

/// One probe as a survey remembers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) at: Timestamp,
    /// Its frame number.
    pub(super) frame: u64,
    pub(super) key: ProbeKey,
    /// Source port, or identifier.
    pub(super) ident: u16,
    /// Destination port, or sequence number of an echo.
    pub(super) number: u16,
    pub(super) ttl: u8,
    pub(super) tos: u8,
    pub(super) dont_fragment: bool,
    /// A router said that its TTL ran out.
    pub(super) expired: bool,
    /// What the error about it that was found is.
    pub(super) evidence: Evidence,
    /// Length of the datagram.
    pub(super) len: u16,
    pub(super) flow_label: u32,
    /// What follows the first eight bytes after the IP header.
    pub(super) beginning: [u8; 16],
}

impl Sighting {
    pub(super) fn of(
        flow: &Flow,
        key: ProbeKey,
        header: &IpHeader,
        payload: &[u8],
        (at, frame): (Timestamp, u64),
    ) -> Self {
        let mut beginning = [0; 16];
        for (byte, value) in beginning.iter_mut().zip(payload.iter().skip(key.head.len())) {
            *byte = *value;
        }
        Self {
            at,
            frame,
            key,
            ident: flow.ident,
            number: correlate::number(flow.probe, &key),
            ttl: header.ttl,
            tos: header.tos,
            dont_fragment: header.dont_fragment,
            expired: false,
            evidence: Evidence::Captured,
            len: u16::try_from(header.total_len).unwrap_or(u16::MAX),
            flow_label: header.flow_label.unwrap_or(0),
            beginning,
        }
    }

    /// Whether it may be a probe of rtrace, by what it is filled with.
    pub(super) fn looks_like_ours(&self, flow: &Flow) -> bool {
        let mut body = [0; 24];
        let (head, rest) = body.split_at_mut(self.key.head.len());
        head.copy_from_slice(&self.key.head);
        rest.copy_from_slice(&self.beginning);
        let len = usize::from(self.len.saturating_sub(craft::ip_header_len(flow.family())));
        craft::looks_like_ours(flow.probe, body.get(..len).unwrap_or(&body), len)
    }

    /// What all probes of a tool have in common that takes a new socket for each.
    pub(super) fn make(&self) -> (u16, u8, bool) {
        (self.len, self.tos, self.dont_fragment)
    }
}

/// Probes that follow one another.
struct Chain {
    members: Vec<usize>,
    first: Sighting,
    last: Sighting,
    lowest: u8,
    /// How many in a row had the TTL of the last.
    in_a_row: u16,
    /// How many the first TTL had, once it was left.
    queries: Option<u16>,
    /// All had the same number.
    fixed: bool,
    /// Each had another length than the one before: that tells them apart.
    lengths_tell: bool,
}

impl Chain {
    fn new(index: usize, first: Sighting) -> Self {
        let (lowest, members) = (first.ttl, vec![index]);
        let (queries, fixed, lengths_tell) = (None, true, true);
        Self { members, first, last: first, lowest, in_a_row: 1, queries, fixed, lengths_tell }
    }

    fn push(&mut self, index: usize, it: Sighting) {
        if it.ttl == self.last.ttl {
            self.in_a_row = self.in_a_row.saturating_add(1);
        } else {
            self.queries.get_or_insert(self.in_a_row);
            self.in_a_row = 1;
        }
        self.lowest = self.lowest.min(it.ttl);
        self.fixed &= it.number == self.first.number;
        self.lengths_tell &= it.len != self.last.len;
        self.members.push(index);
        self.last = it;
    }

    fn rests(&self, it: &Sighting, pause: Span) -> bool {
        it.at.since(self.last.at) > pause
    }

    /// A continuous tool: one probe per TTL, then from the first TTL again.
    fn in_rounds(&self) -> bool {
        self.queries == Some(1)
    }

    /// Whether a probe with the same ident begins another trace: the TTLs start again and so do the numbers,
    /// or this tool has no rounds, or it is made otherwise.
    fn is_over(&self, it: &Sighting) -> bool {
        let from_the_start = it.ttl <= self.lowest && self.last.ttl > self.lowest;
        let used_up = self.last.number >= LAST_NUMBERS;
        let numbers_again = !self.fixed && it.number == self.first.number && !used_up;
        let scout_again = it.ttl == self.first.ttl && self.first.ttl > self.lowest;
        // One of a hop's queries that was put off: rtrace asks all hops once, then all of them again.
        let put_off = !self.fixed && (self.first.number..self.last.number).contains(&it.number);
        let goes_on = self.in_rounds() || put_off;
        numbers_again && scout_again
            || from_the_start && (numbers_again || !goes_on || self.is_made_otherwise(it))
    }

    fn is_made_otherwise(&self, it: &Sighting) -> bool {
        let lengths_tell = self.lengths_tell && self.members.len() > 2;
        let len = if lengths_tell { it.len } else { self.first.len };
        Sighting { len, ..self.first }.make() != it.make()
    }

    /// How unlikely it is that a probe with this TTL comes next; `None` if it cannot.
    fn surprise(&self, ttl: u8) -> Option<u8> {
        let full = self.queries.is_some_and(|queries| self.in_a_row >= queries);
        match i16::from(ttl) - i16::from(self.last.ttl) {
            _ if ttl <= self.lowest && self.in_rounds() => Some(1),
            0 => Some(if full { 3 } else { 0 }),
            1 if self.queries.is_none() => Some(1),
            1 => Some(if full { 0 } else { 2 }),
            2 | 3 => Some(3),
            _ => None,
        }
    }
}

/// One way in which probes follow one another.
struct Rule {
    applies: fn(ProbeType) -> bool,
    /// What is compared.
    value: fn(&Sighting) -> u16,
    /// By how much that of a probe may exceed that of the probe before.
    steps: RangeInclusive<u16>,
    /// How unlikely it is that a probe continues a chain, or `None` if it does not.
    surprise: fn(&Chain, &Sighting) -> Option<u8>,
    /// Within a burst, the order is that of the numbers: a capture on several processors may have another.
    reorders: bool,
    /// Chains of fewer probes were chance.
    fewest: usize,
}

const RULES: [Rule; 5] = [
    // One socket for all probes.
    Rule {
        applies: |_| true,
        value: ident,
        steps: 0..=0,
        surprise: same_socket,
        reorders: false,
        fewest: 3,
    },
    // Source ports that count: mtr, trippy.
    Rule {
        applies: ProbeType::has_ports,
        value: ident,
        steps: 1..=1,
        surprise: next_socket,
        reorders: false,
        fewest: 3,
    },
    // Destination ports that count, each from a new source port: traceroute on Linux.
    Rule {
        applies: |probe| matches!(probe, ProbeType::Udp | ProbeType::UdpLite),
        value: number,
        steps: 1..=GAP,
        surprise: next_socket,
        reorders: true,
        fewest: 2,
    },
    // One destination port, each from a new source port: traceroute on Linux with -T and -U.
    Rule {
        applies: ProbeType::has_ports,
        value: number,
        steps: 0..=0,
        surprise: next_socket,
        reorders: false,
        fewest: 2,
    },
    // Whatever is left.
    Rule {
        applies: |_| true,
        value: ident,
        steps: 0..=0,
        surprise: same_socket,
        reorders: false,
        fewest: 1,
    },
];

fn ident(it: &Sighting) -> u16 {
    it.ident
}

fn number(it: &Sighting) -> u16 {
    it.number
}

fn same_socket(chain: &Chain, it: &Sighting) -> Option<u8> {
    (!chain.is_over(it) && !chain.rests(it, LONG_PAUSE)).then_some(0)
}

fn next_socket(chain: &Chain, it: &Sighting) -> Option<u8> {
    let fits = chain.last.make() == it.make() && !chain.rests(it, PAUSE);
    chain.surprise(it.ttl).filter(|_| fits)
}

/// Groups `sightings`, which are in order of time, into traces: the indices of each, in order.
pub(super) fn group(probe: ProbeType, sightings: &[Sighting]) -> Vec<Vec<usize>> {
    let mut traces = Vec::new();
    let mut left: Vec<usize> = (0..sightings.len()).collect();
    for rule in RULES.iter().filter(|rule| (rule.applies)(probe)) {
        if rule.reorders {
            in_bursts(&mut left, sightings);
        }
        let (found, chance): (Vec<_>, Vec<_>) = chains(rule, sightings, &left)
            .into_iter()
            .map(|chain| chain.members)
            .partition(|members| members.len() >= rule.fewest);
        traces.extend(found.into_iter().map(|mut members| {
            members.sort_unstable();
            members
        }));
        left = chance.concat();
        left.sort_unstable();
    }
    traces
}

/// Brings what was captured in one burst into the order of its numbers. A clock that goes back begins no earlier burst.
fn in_bursts(indices: &mut [usize], sightings: &[Sighting]) {
    let mut latest = i64::MIN;
    let bursts = sightings.iter().map(|it| {
        latest = latest.max(it.at.nanos() / BURST);
        // Where no times are known, the order is all there is.
        (latest, it.at.known().map_or(it.frame, |_| 0), it.number)
    });
    let bursts: Vec<_> = bursts.collect();
    indices.sort_by_key(|index| bursts.get(*index));
}

fn chains(rule: &Rule, sightings: &[Sighting], indices: &[usize]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    // The chains in flight, by the value of their last probe.
    let mut by_value: HashMap<u16, Vec<usize>> = HashMap::new();
    for &index in indices {
        let Some(&it) = sightings.get(index) else { continue };
        let value = (rule.value)(&it);
        let best = rule.steps.clone().find_map(|step| {
            let before = value.checked_sub(step)?;
            let under_way = by_value.get(&before)?.iter().copied();
            let fitting = under_way.filter_map(|chain| {
                let surprise = (rule.surprise)(chains.get(chain)?, &it)?;
                let apart = it.at.since(chains.get(chain)?.last.at).nanos().unsigned_abs();
                Some((surprise, apart, chain))
            });
            fitting.min().map(|(.., chain)| (before, chain))
        });
        let chain = if let Some((before, chain)) = best {
            by_value.entry(before).or_default().retain(|other| *other != chain);
            if let Some(chain) = chains.get_mut(chain) {
                chain.push(index, it);
            }
            chain
        } else {
            chains.push(Chain::new(index, it));
            chains.len() - 1
        };
        let under_way = by_value.entry(value).or_default();
        if under_way.len() >= CHAINS {
            under_way.remove(0);
        }
        under_way.push(chain);
    }
    chains
}
