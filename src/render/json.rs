//! The report as one JSON document, described by `schema/trace.schema.json`.
//!
//! It holds only what configuration and recorded frames determine, so that the JSON of a replay is
//! that of the run, byte for byte. Times are integers: nanoseconds, since the epoch or as a length.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::annotation::annotation;
use super::extension::{ExtensionRow, hex};
use super::{Renderer, View};
use crate::enrich::names::Lookup;
use crate::probe::{FlowMode, ProbeKey, ProbeType};
use crate::time::{Span, Timestamp};
use crate::trace::path::Outcome;
use crate::trace::{Event, Hop, Probe, Reply, ReplyKind, Stop, TraceConfig, Wait};

/// The version of the document's form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The JSON report.
pub struct Json<W> {
    out: W,
    numeric: bool,
}

impl<W: Write> Json<W> {
    /// A report to `out`; with `numeric`, names are null.
    pub fn new(out: W, numeric: bool) -> Self {
        Self { out, numeric }
    }
}

impl<W: Write> Renderer for Json<W> {
    fn begin(&mut self, _: &TraceConfig) -> io::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: Option<Event>, _: View<'_>) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let document = Document::of(view, self.numeric);
        serde_json::to_writer_pretty(&mut self.out, &document)?;
        writeln!(self.out)?;
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    target: Target<'a>,
    source: IpAddr,
    asked: Asked,
    hops: Vec<HopRow<'a>>,
    totals: TotalsRow,
    stop: StopRow,
}

#[derive(Serialize)]
struct Target<'a> {
    asked: &'a str,
    address: IpAddr,
}

/// The part of the configuration that shapes a report.
#[derive(Serialize)]
struct Asked {
    probe: ProbeType,
    flow: FlowMode,
    first_port: Option<u16>,
    first_ttl: u8,
    max_ttl: u8,
    queries: u16,
    wait: Wait,
    in_flight: u16,
    send_wait: f64,
    tos: u8,
    dont_fragment: bool,
    flow_label: Option<u32>,
    packet_len: u16,
}

#[derive(Serialize)]
struct HopRow<'a> {
    ttl: u8,
    probes: Vec<ProbeRow<'a>>,
}

#[derive(Serialize)]
struct ProbeRow<'a> {
    ttl: u8,
    query: u32,
    #[serde(flatten)]
    identity: Identity,
    ip_id: Option<u16>,
    sent_ns: Option<i64>,
    frame: Option<u64>,
    outcome: &'static str,
    replies: Vec<ReplyRow<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    replies_dropped: u64,
}

/// What tells a probe from the others, by its type.
#[derive(Serialize)]
#[serde(untagged)]
enum Identity {
    Udp { source_port: u16, destination_port: u16, checksum: u16 },
    Tcp { source_port: u16, destination_port: u16, tcp_sequence: u32 },
    Echo { identifier: u16, sequence: u16 },
    Other { head: String },
}

impl Identity {
    fn of(probe: ProbeType, key: &ProbeKey) -> Self {
        let (source_port, destination_port) = (key.source_port(), key.destination_port());
        match probe {
            ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite => {
                Self::Udp { source_port, destination_port, checksum: key.udp_checksum() }
            }
            ProbeType::TcpSyn | ProbeType::TcpAck => {
                Self::Tcp { source_port, destination_port, tcp_sequence: key.tcp_sequence() }
            }
            ProbeType::IcmpEcho => {
                Self::Echo { identifier: key.identifier(), sequence: key.sequence() }
            }
            ProbeType::Protocol(_) => Self::Other { head: hex(&key.head) },
        }
    }
}

#[derive(Serialize)]
struct ReplyRow<'a> {
    responder: IpAddr,
    name: Option<&'a str>,
    kind: &'static str,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_flags: Option<String>,
    annotation: Option<String>,
    received_ns: i64,
    rtt_ns: Option<i64>,
    reply_ttl: u8,
    quoted_ttl: Option<u8>,
    quoted_len: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<ExtensionRow>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rewritten: bool,
    late: bool,
    duplicate: bool,
    frame: u64,
}

#[derive(Serialize)]
struct TotalsRow {
    sent: u64,
    answered: u64,
    lost: u64,
    late: u64,
    duplicate: u64,
    damaged: u64,
    clock_faults: u64,
    #[serde(skip_serializing_if = "is_zero")]
    orphans: u64,
}

#[derive(Serialize)]
struct StopRow {
    reason: &'static str,
    ttl: Option<u8>,
    target_reached: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl<'a> Document<'a> {
    fn of(view: View<'a>, numeric: bool) -> Self {
        let View { config, path, .. } = view;
        let totals = path.totals;
        Self {
            format: "rtrace-trace",
            version: VERSION,
            target: Target { asked: &config.target_name, address: config.target },
            source: config.source,
            asked: Asked::of(config),
            hops: path.hops().iter().map(|hop| HopRow::of(hop, view, numeric)).collect(),
            totals: TotalsRow {
                sent: totals.sent,
                answered: totals.answered,
                lost: totals.sent - totals.answered,
                late: totals.late,
                duplicate: totals.duplicate,
                damaged: totals.damaged,
                clock_faults: totals.clock_faults,
                orphans: totals.orphans,
            },
            stop: StopRow {
                reason: match path.stop(config) {
                    Stop::TargetReached => "target-reached",
                    Stop::Unreachable => "unreachable",
                    Stop::MaxHops => "max-hops",
                    Stop::Incomplete => "incomplete",
                },
                ttl: path.end,
                target_reached: path.reached(config),
            },
        }
    }
}

impl Asked {
    fn of(config: &TraceConfig) -> Self {
        Self {
            probe: config.probe,
            flow: config.flow_mode,
            first_port: config.probe.has_ports().then_some(config.first_port),
            first_ttl: config.first_ttl,
            max_ttl: config.max_ttl,
            queries: config.queries,
            wait: config.wait,
            in_flight: config.in_flight,
            send_wait: config.send_wait,
            tos: config.tos,
            dont_fragment: config.dont_fragment,
            flow_label: config.target.is_ipv6().then_some(config.flow_label),
            packet_len: config.packet_len,
        }
    }
}

impl<'a> HopRow<'a> {
    fn of(hop: &'a Hop, view: View<'a>, numeric: bool) -> Self {
        let numbered = (1..).zip(&hop.probes);
        let row = |(query, probe)| ProbeRow::of(hop.ttl, query, probe, view, numeric);
        Self { ttl: hop.ttl, probes: numbered.map(row).collect() }
    }
}

impl<'a> ProbeRow<'a> {
    fn of(ttl: u8, query: u32, probe: &'a Probe, view: View<'a>, numeric: bool) -> Self {
        let name = |address| match view.names.lookup(address) {
            Lookup::Known(name) if !numeric => name,
            _ => None,
        };
        Self {
            ttl,
            query,
            identity: Identity::of(view.config.probe, &probe.key),
            ip_id: view.config.target.is_ipv4().then_some(probe.key.ip_id),
            sent_ns: probe.sent.map(Timestamp::nanos),
            frame: probe.frame,
            outcome: match probe.outcome {
                Outcome::Answered(_) => "answered",
                Outcome::Waiting | Outcome::Lost => "lost",
            },
            replies: probe
                .replies
                .iter()
                .map(|reply| ReplyRow::of(reply, name(reply.responder)))
                .collect(),
            replies_dropped: probe.replies_dropped,
        }
    }
}

impl<'a> ReplyRow<'a> {
    fn of(reply: &Reply, name: Option<&'a str>) -> Self {
        let (kind, icmp_type, icmp_code, next_hop_mtu, tcp_flags) = match reply.kind {
            ReplyKind::Icmp { icmp_type, code, mtu, .. } => {
                ("icmp", Some(icmp_type), Some(code), mtu, None)
            }
            ReplyKind::Answer { tcp_flags } => {
                ("answer", None, None, None, tcp_flags.map(|flags| flags.to_string()))
            }
        };
        Self {
            responder: reply.responder,
            name,
            kind,
            icmp_type,
            icmp_code,
            next_hop_mtu,
            tcp_flags,
            annotation: annotation(reply.kind),
            received_ns: reply.at.nanos(),
            rtt_ns: reply.rtt.map(Span::nanos),
            reply_ttl: reply.ttl,
            quoted_ttl: reply.quoted_ttl,
            quoted_len: reply.quoted_len,
            extension: reply.extension.as_deref().map(ExtensionRow::of),
            rewritten: reply.rewritten,
            late: reply.late,
            duplicate: reply.duplicate,
            frame: reply.frame,
        }
    }
}
