//! The report as one JSON document, described by `schema/trace.schema.json`.
//!
//! It holds only what configuration and recorded frames determine, so that the JSON of a replay is
//! that of the run, byte for byte. Times are integers: nanoseconds, since the epoch or as a length.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::mtu::MtuRow;
use super::rows::{
    self, AskedRow, BackRow, HeadRow, OriginRow, PlaceRow, ReplyRow, SentRow, TotalsRow,
};
use super::text::Style;
use super::{Renderer, View};
use crate::schema::{self, Stop};
use crate::trace::{Hop, Probe, ProbeRef, Reply, SizeProbe};
use crate::untrusted::Untrusted;

/// The version of the document's form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The JSON report.
pub struct Json<W> {
    out: W,
    style: Style,
}

impl<W: Write> Json<W> {
    /// A report to `out`; with [`Style::numeric`], names are null.
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style }
    }
}

impl<W: Write> Renderer for Json<W> {
    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let document = Document::of(view, self.style);
        serde_json::to_writer_pretty(&mut self.out, &document)?;
        writeln!(self.out)?;
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: HeadRow<'a>,
    asked: AskedRow,
    hops: Vec<HopRow<'a>>,
    /// The probe that went first to learn how far the target is, if it is none of a hop's.
    #[serde(skip_serializing_if = "Option::is_none")]
    scout: Option<ProbeRow<'a>>,
    /// The path MTU, if it was asked for, and the probes by which it was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_mtu: Option<MtuRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sizers: Option<Vec<SizerRow<'a>>>,
    /// Probes from another port that were to confirm answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    confirmations: Vec<ProbeRow<'a>>,
    totals: TotalsRow,
    stop: Stop,
}

#[derive(Serialize)]
struct HopRow<'a> {
    ttl: u8,
    probes: Vec<ProbeRow<'a>>,
}

#[derive(Serialize)]
struct ProbeRow<'a> {
    #[serde(flatten)]
    sent: SentRow,
    outcome: &'static str,
    replies: Vec<NamedReplyRow<'a>>,
    #[serde(skip_serializing_if = "rows::is_zero")]
    replies_dropped: u64,
    /// Answers that are not believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contradicted: Vec<NamedReplyRow<'a>>,
    #[serde(skip_serializing_if = "rows::is_zero")]
    contradicted_dropped: u64,
}

#[derive(Serialize)]
struct SizerRow<'a> {
    len: u16,
    #[serde(flatten)]
    probe: ProbeRow<'a>,
}

#[derive(Serialize)]
struct NamedReplyRow<'a> {
    responder: IpAddr,
    name: Option<&'a Untrusted>,
    #[serde(flatten)]
    origin: Option<OriginRow<'a>>,
    #[serde(flatten)]
    place: Option<PlaceRow<'a>>,
    #[serde(flatten)]
    reply: ReplyRow,
    #[serde(flatten)]
    back: Option<BackRow>,
}

impl<'a> Document<'a> {
    fn of(view: View<'a>, style: Style) -> Self {
        let queries = u32::from(view.config.queries);
        let scout = view.path.scout.as_ref();
        // Between the end of the path and a probe far beyond it, nothing was asked.
        let reported = view.path.reported().len();
        let hops = view.path.hops().iter().enumerate();
        let hops = hops.filter(|(index, hop)| *index < reported || !hop.probes.is_empty());
        let hops = hops.map(|(_, hop)| hop);
        Self {
            head: HeadRow::of(schema::TRACE, VERSION, view.config),
            asked: AskedRow::of(view.config),
            hops: hops.map(|hop| HopRow::of(hop, view, style)).collect(),
            scout: scout.map(|it| {
                let is_past_end = view.path.is_past_end(ProbeRef::Scout);
                ProbeRow::of((it.ttl, queries), it, is_past_end, view, style)
            }),
            path_mtu: MtuRow::of(view.path, view.config),
            sizers: view.config.mtu.then(|| SizerRow::all(view, style)),
            confirmations: confirmations(view, style),
            totals: TotalsRow::of(view),
            stop: rows::stop(view),
        }
    }
}

/// The rows of confirmations, each query 0 of its TTL.
fn confirmations(view: View<'_>, style: Style) -> Vec<ProbeRow<'_>> {
    let all = view.path.confirmations.iter();
    all.map(|probe| ProbeRow::of((probe.ttl, 0), probe, false, view, style)).collect()
}

impl<'a> HopRow<'a> {
    fn of(hop: &'a Hop, view: View<'a>, style: Style) -> Self {
        let numbered = (1..).zip(&hop.probes);
        let is_past_end = view.path.is_past_end(ProbeRef::Hop { ttl: hop.ttl, query: 0 });
        let row = |(query, probe)| ProbeRow::of((hop.ttl, query), probe, is_past_end, view, style);
        Self { ttl: hop.ttl, probes: numbered.map(row).collect() }
    }
}

impl<'a> SizerRow<'a> {
    fn all(view: View<'a>, style: Style) -> Vec<Self> {
        let numbered = (u32::from(view.config.queries) + 1..).zip(&view.path.size_probes);
        let row = |(query, size_probe): (u32, &'a SizeProbe)| Self {
            len: size_probe.len,
            probe: ProbeRow::of(
                (size_probe.probe.ttl, query),
                &size_probe.probe,
                false,
                view,
                style,
            ),
        };
        numbered.map(row).collect()
    }
}

impl<'a> ProbeRow<'a> {
    fn of(
        (ttl, query): (u8, u32),
        probe: &'a Probe,
        is_past_end: bool,
        view: View<'a>,
        style: Style,
    ) -> Self {
        let row = |reply: &'a Reply| NamedReplyRow {
            responder: reply.responder,
            name: rows::name(view, reply.responder, style.numeric),
            origin: OriginRow::of(view, reply.responder),
            place: PlaceRow::of(view, reply.responder),
            reply: ReplyRow::of(reply),
            back: style.back.then(|| BackRow::of(reply, there(ttl, reply, view))),
        };
        Self {
            sent: SentRow::of(ttl, query, probe, view.config),
            outcome: rows::outcome(probe, is_past_end),
            replies: probe.replies.iter().map(row).collect(),
            replies_dropped: probe.replies_dropped,
            contradicted: probe.contradicted.iter().map(row).collect(),
            contradicted_dropped: probe.contradicted.dropped(),
        }
    }
}

/// Over how many hops a probe of the hop `ttl` went to who answered it: not farther than the path is long. Who
/// refused it or is not at that hop is anywhere.
fn there(ttl: u8, reply: &Reply, view: View<'_>) -> Option<u8> {
    let known = reply.kind.too_big().is_none();
    known.then(|| view.path.end.map_or(ttl, |end| ttl.min(end)))
}
