//! Which trace is in a recording, when the recording does not say.
//!
//! A first reading of a capture groups the datagrams that look like probes by their flow. What makes
//! a flow a trace is that a TTL of it ran out, that its TTLs climb, or that a low one goes to a port
//! where traceroute has always sent them. From the chosen flow's packets
//! follow the target, the probe type, the first port, the queries per hop and the rest of a
//! [`TraceConfig`]. Memory is bounded however long the file is.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::probe::{self, Flow, ProbeKey, ProbeType, craft};
use crate::wire::extension::Family;
use crate::wire::ip::{self, IpHeader};
use crate::wire::{Frame, icmpv4, icmpv6, link, quoted};

use super::config::{MAX_QUERIES, TraceConfig, Wait};

/// Flows looked at; the packets of further ones are passed over.
const FLOWS: usize = 1_024;
/// Probes looked at per flow: far more than any single trace has.
const PROBES: usize = 4_096;
/// UDP traces are known by their ports only from here on: lower ones are services.
const LOWEST_TRACE_PORT: u16 = 33_000;
/// A flow whose TTLs are all above this is a host's ordinary traffic.
const HIGHEST_FIRST_TTL: u8 = 30;

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
    /// Whether a trace of this flow is meant.
    #[must_use]
    pub fn matches(&self, flow: &Flow) -> bool {
        self.target.is_none_or(|target| target == flow.target)
            && self.source.is_none_or(|source| source == flow.source)
            && self.ident.is_none_or(|ident| ident == flow.ident)
    }
}

/// A first reading of a capture.
#[derive(Debug, Default)]
pub struct Survey {
    flows: HashMap<Flow, Candidate>,
}

#[derive(Debug)]
struct Candidate {
    /// Which flow of the file it is, from 0.
    order: usize,
    /// Whether a router said that the TTL of one of its probes ran out.
    expired: bool,
    seen: HashSet<ProbeKey>,
    selectors: HashSet<u16>,
    probes_by_ttl: Vec<u16>,
    lowest_selector: u16,
    first: IpHeader,
    /// Whether its first probe is filled as rtrace and Linux traceroute fill theirs.
    looks_like_ours: bool,
}

impl Survey {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one frame of the capture.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) else { return };
        let Ok((header, payload)) = ip::decode(datagram) else { return };
        match probe::recognise(&header, payload) {
            Some((flow, key)) if is_traced(flow.probe) => {
                self.take_probe(flow, key, header, payload);
            }
            _ if header.is_icmp() && header.is_first => self.take_error(&header, payload),
            _ => {}
        }
    }

    fn take_probe(&mut self, flow: Flow, key: ProbeKey, header: IpHeader, payload: &[u8]) {
        if self.is_answer(&flow, key) {
            return;
        }
        let order = self.flows.len();
        if order >= FLOWS && !self.flows.contains_key(&flow) {
            return;
        }
        let candidate = self.flows.entry(flow).or_insert_with(|| Candidate {
            order,
            expired: false,
            seen: HashSet::new(),
            selectors: HashSet::new(),
            probes_by_ttl: vec![0; 256],
            lowest_selector: key.destination_port(),
            first: header,
            looks_like_ours: craft::looks_like_ours(flow.probe, payload),
        });
        if candidate.seen.len() < PROBES && candidate.seen.insert(key) {
            candidate.selectors.insert(key.destination_port());
            candidate.lowest_selector = candidate.lowest_selector.min(key.destination_port());
            candidate.probes_by_ttl[usize::from(header.ttl)] += 1;
        }
    }

    /// Whether a UDP datagram goes back the way that a probe came: both look the same.
    fn is_answer(&self, flow: &Flow, key: ProbeKey) -> bool {
        let Flow { source, target, probe, ident } = *flow;
        let asked = Flow { source: target, target: source, probe, ident: key.destination_port() };
        let asked = self.flows.get(&asked).filter(|_| probe == ProbeType::Udp);
        asked.is_some_and(|asked| asked.selectors.contains(&ident))
    }

    fn take_error(&mut self, header: &IpHeader, payload: &[u8]) {
        let family = header.family();
        let Ok(icmp) = ip::icmp(family, payload) else { return };
        let expired = match family {
            Family::V4 => icmpv4::TIME_EXCEEDED,
            Family::V6 => icmpv6::TIME_EXCEEDED,
        };
        if icmp.icmp_type != expired {
            return;
        }
        let Ok(quote) = quoted::decode(icmp.body) else { return };
        if let Some((flow, key)) = probe::recognise(&quote.header, quote.payload)
            && let Some(candidate) = self.flows.get_mut(&flow)
        {
            candidate.expired |= candidate.seen.contains(&key);
        }
    }

    /// The configuration of the trace that was found, as far as `wanted` says which: the flow with the
    /// most TTLs, those of which one ran out before others, the first in the file on a tie. What packets
    /// cannot show (waiting times, the last TTL meant) is at its default.
    #[must_use]
    pub fn trace(&self, wanted: &Wanted) -> Option<TraceConfig> {
        self.flows
            .iter()
            .filter(|(flow, _)| wanted.matches(flow))
            .filter(|(flow, candidate)| candidate.is_trace(flow))
            .max_by_key(|(_, candidate)| {
                (candidate.expired, candidate.ttls().count(), std::cmp::Reverse(candidate.order))
            })
            .map(|(flow, candidate)| candidate.config(flow))
    }
}

/// Whether traces are looked for among datagrams of this kind: there is too much other TCP to take
/// every acknowledgment for a probe.
fn is_traced(probe: ProbeType) -> bool {
    !matches!(probe, ProbeType::TcpAck | ProbeType::Protocol(_))
}

impl Candidate {
    /// The TTLs of its probes with the number of probes each, in rising order.
    fn ttls(&self) -> impl Iterator<Item = (u8, u16)> {
        let counts = (0..=u8::MAX).zip(&self.probes_by_ttl);
        counts.filter(|(_, probes)| **probes > 0).map(|(ttl, probes)| (ttl, *probes))
    }

    fn is_trace(&self, flow: &Flow) -> bool {
        let mut ttls = self.ttls();
        let Some((lowest, _)) = ttls.next() else { return false };
        let climbs = ttls.next().is_some();
        let trace_port = flow.probe == ProbeType::Udp && self.lowest_selector >= LOWEST_TRACE_PORT;
        let low = lowest <= HIGHEST_FIRST_TTL;
        lowest > 0 && (self.expired || low && (climbs || trace_port))
    }

    /// Only rtrace and Linux traceroute give a probe up by the RTTs of others; other tools wait
    /// their full time, and an answer that they took may not be called late here.
    fn wait(&self) -> Wait {
        let default = Wait::default();
        if self.looks_like_ours { default } else { Wait { here: 0.0, near: 0.0, ..default } }
    }

    fn config(&self, flow: &Flow) -> TraceConfig {
        let lowest = self.ttls().next().map_or(1, |(ttl, _)| ttl);
        let highest = self.ttls().last().map_or(lowest, |(ttl, _)| ttl);
        let most = self.ttls().map(|(_, probes)| probes).max().unwrap_or(1);
        let defaults = TraceConfig::of_flow(flow);
        // One hop alone may have been cut short: its queries are at least the usual number.
        let fewest = if lowest == highest { defaults.queries } else { 1 };
        TraceConfig {
            first_port: self.lowest_selector.max(1),
            first_ttl: lowest,
            max_ttl: highest.max(defaults.max_ttl),
            queries: most.max(fewest).min(MAX_QUERIES),
            tos: self.first.tos,
            dont_fragment: self.first.dont_fragment,
            packet_len: u16::try_from(self.first.total_len)
                .unwrap_or(u16::MAX)
                .max(defaults.least_len()),
            first_id: self.first.id.unwrap_or(1),
            flow_label: self.first.flow_label.unwrap_or(0),
            wait: self.wait(),
            ..defaults
        }
    }
}
