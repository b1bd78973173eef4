//! As one JSON document.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::super::annotation::annotation;
use super::super::rows::{self, HeadRow, TotalsRow};
use super::host::Host;
use super::{Edge, Map};
use crate::probe::ProbeType;
use crate::schema::{self, Link};
use crate::time::Span;
use crate::trace::paths::{
    Completion, Diamond, Enumerated, Network, Reason, Router, Split, Unclear,
};
use crate::untrusted::Untrusted;

/// The version of the document's form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

pub(super) fn write(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Document::of(map))?;
    writeln!(out)
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: HeadRow<'a>,
    asked: AskedRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<HostRow>,
    nodes: Vec<NodeRow<'a>>,
    links: Vec<Link>,
    diamonds: Vec<DiamondRow>,
    aliases: Vec<Vec<usize>>,
    unclear_aliases: Vec<UnclearRow>,
    loops: Vec<Vec<usize>>,
    totals: TotalsRow,
    reached: bool,
    completion: schema::Completion,
}

#[derive(Serialize)]
struct AskedRow {
    probe: ProbeType,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_port: Option<u16>,
    first_ttl: u8,
    max_ttl: u8,
    packet_len: u16,
    confidence: f64,
    whole_graph: bool,
    algorithm: &'static str,
    rate: f64,
    max_probes: u32,
    /// For each router, in the end.
    epsilon: f64,
}

#[derive(Serialize)]
struct HostRow {
    split: &'static str,
    exits: Vec<ExitRow>,
}

#[derive(Serialize)]
struct ExitRow {
    interface: Untrusted,
    next_hop: Option<String>,
    flows: Vec<u16>,
    probes: u64,
    nodes: Vec<usize>,
}

#[derive(Serialize)]
struct NodeRow<'a> {
    id: usize,
    address: Option<IpAddr>,
    also: Vec<IpAddr>,
    name: Option<&'a Untrusted>,
    ttls: Vec<u8>,
    flows: Vec<u16>,
    answers: u64,
    rtt_ns: Option<i64>,
    ends: bool,
    annotation: Option<String>,
    per_packet: bool,
    enumerated: Option<&'static str>,
}

#[derive(Serialize)]
struct UnclearRow {
    nodes: Vec<usize>,
    reason: &'static str,
    with: Vec<usize>,
}

#[derive(Serialize)]
struct DiamondRow {
    from: usize,
    to: Option<usize>,
    width: usize,
    branches: Vec<Vec<usize>>,
    shortest: Option<usize>,
    longest: Option<usize>,
    meshed: bool,
    per_packet: bool,
}

impl<'a> Document<'a> {
    fn of(map: &Map<'a>) -> Self {
        let Map { network, plan, view, .. } = map;
        let config = view.config;
        let aliases = network.aliases.iter();
        let aliases = aliases.map(|group| group.iter().map(|router| router + 1).collect());
        let loops = network.loops.iter();
        let loops = loops.map(|round| round.iter().map(|router| router + 1).collect());
        let numbered = (1..).zip(&network.routers);
        Self {
            head: HeadRow::of(schema::MAP, VERSION, config),
            asked: AskedRow {
                probe: config.probe,
                first_port: config.probe.has_ports().then_some(config.first_port),
                first_ttl: config.first_ttl,
                max_ttl: config.max_ttl,
                packet_len: config.packet_len,
                confidence: plan.confidence.percent,
                whole_graph: plan.confidence.whole_graph,
                algorithm: if plan.every_router { "mda" } else { "mda-lite" },
                rate: plan.rate,
                max_probes: plan.max_probes,
                epsilon: network.rule.epsilon(),
            },
            host: map.host.map(HostRow::of),
            nodes: numbered.map(|(id, router)| NodeRow::of(id, router, map)).collect(),
            links: map.edges().iter().map(link).collect(),
            diamonds: network.diamonds.iter().map(DiamondRow::of).collect(),
            aliases: aliases.collect(),
            unclear_aliases: network.unclear.iter().map(|it| UnclearRow::of(it, network)).collect(),
            loops: loops.collect(),
            totals: TotalsRow::of_all_paths(*view),
            reached: view.path.reached(),
            completion: match network.completion {
                Completion::Complete => schema::Completion::Complete,
                Completion::MaxProbes => schema::Completion::MaxProbes,
                Completion::Incomplete => schema::Completion::Incomplete,
            },
        }
    }
}

impl<'a> NodeRow<'a> {
    fn of(id: usize, router: &Router, map: &Map<'a>) -> Self {
        Self {
            id,
            address: router.address,
            also: router.also.iter().copied().collect(),
            name: router.address.and_then(|it| rows::name(map.view, it, map.numeric)),
            ttls: router.ttls.iter().copied().collect(),
            flows: router.flows.iter().copied().collect(),
            answers: router.answers,
            rtt_ns: router.rtt.map(Span::nanos),
            ends: router.ends.is_some(),
            annotation: router.ends.and_then(annotation),
            per_packet: router.per_packet,
            enumerated: router.enumerated.map(|enumerated| match enumerated {
                Enumerated::Itself => "itself",
                Enumerated::AsHop => "as-hop",
                Enumerated::No => "no",
            }),
        }
    }
}

impl HostRow {
    fn of(host: &Host) -> Self {
        let exits = host.exits.iter().map(|exit| ExitRow {
            interface: exit.interface.clone(),
            next_hop: exit.next_hop.clone(),
            flows: exit.flows.iter().copied().collect(),
            probes: exit.probes,
            nodes: exit.routers.iter().map(|router| router + 1).collect(),
        });
        let split = match host.split {
            Split::Flow => "flow",
            Split::Packet => "packet",
            Split::Time => "time",
        };
        Self { split, exits: exits.collect() }
    }
}

fn link(edge: &Edge) -> Link {
    let Edge { from, to, flows, assumed, uncertain, .. } = *edge;
    let [flows, assumed] = [flows, assumed].map(|flows| u32::try_from(flows).unwrap_or(u32::MAX));
    Link { from, to, flows, assumed, uncertain }
}

impl UnclearRow {
    fn of(unclear: &Unclear, network: &Network) -> Self {
        Self {
            nodes: unclear.routers.iter().map(|router| router + 1).collect(),
            reason: match unclear.reason {
                Reason::SharedCounter => "shared-counter",
                Reason::NoControl => "no-control",
            },
            with: network.routers_of(&unclear.with).map(|router| router + 1).collect(),
        }
    }
}

impl DiamondRow {
    fn of(diamond: &Diamond) -> Self {
        let branches = diamond.branches.iter();
        let branches = branches.map(|branch| branch.clone().map(|router| router + 1).collect());
        Self {
            from: diamond.from.map_or(0, |from| from + 1),
            to: diamond.to.map(|to| to + 1),
            width: diamond.width,
            branches: branches.collect(),
            shortest: diamond.lengths.map(|(shortest, _)| shortest),
            longest: diamond.lengths.map(|(_, longest)| longest),
            meshed: diamond.meshed,
            per_packet: diamond.per_packet,
        }
    }
}
