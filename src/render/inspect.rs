//! What the path did to packets: the quotes of every hop, and between which hops each field was changed.

mod sentences;

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::annotation::annotation;
use super::extension::hex;
use super::rows::{self, HeadRow, is_zero};
use super::text::{contradicted_line, loop_line};
use super::{INDENT, Renderer, View, counted};
use crate::probe::ProbeType;
use crate::schema::Stop;
use crate::trace::inspect::changes::Change;
use crate::trace::inspect::checksums::Verdict;
use crate::trace::inspect::oddities::{Odd, Oddity};
use crate::trace::inspect::place::{Place, Stage};
use crate::trace::inspect::{Comparison, Difference, Inspector, Value};
use crate::trace::path::{Contradiction, Totals};
use crate::trace::{Disposition, Path, Probe, ProbeRef, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::Frame;
use sentences::{changed, findings, meaning, oddity};

/// The version of the document's form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;
/// Columns that responders have at least.
const LEAST_WIDTH: usize = 39;

/// What reconstructed replies do not show of probes of this type.
fn unseen(probe: ProbeType) -> String {
    let udp =
        if probe == ProbeType::IcmpEcho { "" } else { ", or to the length and checksum of UDP," };
    format!(
        "Replies are reconstructed from kernel reports: changes to the IP header other than its addresses{udp} cannot be seen."
    )
}

/// The inspection of a trace.
pub struct Inspect<W> {
    out: W,
    json: bool,
    numeric: bool,
    inspector: Inspector,
}

impl<W: Write> Inspect<W> {
    /// An inspection to `out`, as JSON or as text; with `numeric`, without names.
    pub fn new(out: W, json: bool, numeric: bool) -> Self {
        Self { out, json, numeric, inspector: Inspector::new() }
    }

    fn write_text(&mut self, view: View<'_>) -> io::Result<()> {
        let stages = self.inspector.stages(view.config, view.path);
        let rows: Vec<Line> =
            stages.iter().flat_map(|stage| lines(stage, view, self.numeric)).collect();
        let longest = rows.iter().map(|row| row.responder.chars().count());
        let width = longest.max().unwrap_or(0).max(LEAST_WIDTH);
        let TraceConfig { target_name, target, .. } = view.config;
        let name = target_name.shown();
        writeln!(self.out, "what the path to {name} ({target}) does to packets")?;
        writeln!(self.out, "hop  {:<width$}  octets  TTL  not as sent", "quoted by")?;
        for Line { hop, responder, len, ttl, said } in &rows {
            let ttl = ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string());
            let line = format!("{hop:3}  {responder:<width$}  {len:6}  {ttl:>3}  {said}");
            writeln!(self.out, "{}", line.trim_end())?;
        }
        if let Some(looped) = view.path.looped {
            writeln!(self.out, "{}", loop_line(looped))?;
        }
        for contradiction in view.path.contradictions() {
            writeln!(self.out, "{}", contradicted_line(contradiction))?;
        }
        if let Some(line) = unreached_line(view) {
            writeln!(self.out, "{line}")?;
        }
        writeln!(self.out)?;
        let summary = summary(&self.inspector, view);
        for line in &summary {
            writeln!(self.out, "{line}")?;
        }
        let Totals { orphans, cut_short, .. } = view.path.totals;
        let strays = self.inspector.strays();
        if orphans == 0 && strays == 0 && summary.is_empty() {
            writeln!(self.out, "No quote shows a change.")?;
        }
        let rewritten = "the quote was rewritten too much to identify one, or is not of this run.";
        let without_probe = [
            (cut_short, "the capture cut the quote too short to identify one."),
            (orphans.saturating_sub(cut_short), rewritten),
        ];
        for (count, why) in without_probe.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(self.out, "{} without a probe: {why}", counted(count, "reply"))?;
        }
        if strays > 0 {
            writeln!(
                self.out,
                "{} about datagrams to the target without a probe: of another program, or rewritten too much to identify one.",
                counted(strays, "ICMP error")
            )?;
        }
        if !view.config.evidence.is_captured() {
            writeln!(self.out, "{}", unseen(view.config.probe))?;
        }
        Ok(())
    }
}

impl<W: Write> Renderer for Inspect<W> {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.inspector.frame(frame, disposition, path);
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        if self.json {
            let document = Document::of(&self.inspector, view, self.numeric);
            serde_json::to_writer_pretty(&mut self.out, &document)?;
            writeln!(self.out)?;
        } else {
            self.write_text(view)?;
        }
        self.out.flush()
    }
}

/// A line of the table.
struct Line {
    hop: u8,
    responder: String,
    len: usize,
    ttl: Option<u8>,
    said: String,
}

/// The lines of a hop: what it says of several probes alike stands there once.
fn lines(stage: &Stage<'_>, view: View<'_>, numeric: bool) -> Vec<Line> {
    let fields = |it: &Comparison| it.differences.iter().map(|it| it.field).collect::<Vec<_>>();
    // The scout has a line of its own where no other probe shows the same.
    let told = |scout: &Comparison| {
        let same = |it: &&&Comparison| {
            let of_hop = it.at != ProbeRef::Scout && it.responder == scout.responder;
            of_hop && fields(it) == fields(scout)
        };
        stage.quotes.iter().any(|it| same(&it))
    };
    let mut keys = Vec::new();
    let mut lines = Vec::new();
    for it in &stage.quotes {
        let is_scout = it.at == ProbeRef::Scout;
        let odd = it.oddities(view.config.target);
        let key = (is_scout, it.responder, it.len, it.ttl, it.kind, fields(it), odd);
        if is_scout && told(it) || keys.contains(&key) {
            continue;
        }
        keys.push(key);
        let address = it.responder;
        let name = rows::name(view, address, numeric);
        let responder = name.map(|name| format!("{} ({address})", name.shown()));
        let responder = responder.unwrap_or_else(|| address.to_string());
        let mut said: Vec<String> = Vec::new();
        if is_scout {
            said.push(format!("sent with TTL {}", it.sent_ttl));
        }
        said.extend(findings(it, view.config));
        let (hop, said) = (stage.ttl, said.join(", "));
        lines.push(Line { hop, responder, len: it.len, ttl: it.ttl, said });
    }
    lines
}

/// Where what was changed, and what else is odd, a line each, in order of hops.
fn summary(inspector: &Inspector, view: View<'_>) -> Vec<String> {
    let View { config, path, .. } = view;
    let changes = inspector.changes(config, path);
    let changes = changes.iter().map(|it| (it.place.at, (place(it.place), changed(it))));
    let odd = inspector.oddities(config, path);
    let odd = odd.iter().map(|it| (it.place.at, (place_of(*it), oddity(it.oddity))));
    let mut all: Vec<_> = changes.chain(odd).collect();
    all.sort_by_key(|(at, _)| *at);
    let all = all.into_iter().map(|(_, said)| said);
    all.map(|(place, what)| format!("{place}: {what}")).collect()
}

/// "between hop 4 and hop 5".
fn place(place: Place) -> String {
    let Place { after, at, some_paths } = place;
    let hops = match after {
        Some(after) => format!("between hop {after} and hop {at}"),
        None => format!("before hop {at}"),
    };
    if some_paths { format!("{hops} on some paths") } else { hops }
}

/// Where something odd is: of what a router does by itself, that router's hop.
fn place_of(it: Odd) -> String {
    match it.oddity {
        Oddity::Quoting { .. } | Oddity::TtlZeroQuoted { .. } | Oddity::HeaderChecksum => {
            format!("hop {}", it.place.at)
        }
        Oddity::TtlZero if it.place.after.is_none() => format!("at hop {}", it.place.at),
        _ => place(it.place),
    }
}

/// The line for a target that was not reached, with the error and its sender; none if the path ends in a loop.
fn unreached_line(view: View<'_>) -> Option<String> {
    let View { path, .. } = view;
    if path.reached() || path.looped.is_some() {
        return None;
    }
    let last = path.reported().last();
    let replies = last.into_iter().flat_map(|hop| &hop.probes).filter_map(Probe::answer);
    let mut rejections = replies.filter_map(|it| Some((it.responder, annotation(it.kind)?)));
    let by = rejections.next().zip(last);
    let by =
        by.map(|((responder, what), hop)| format!(": {what} from {responder} at hop {}", hop.ttl));
    Some(format!("{INDENT}target not reached{}", by.unwrap_or_default()))
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: HeadRow<'a>,
    quotes: Vec<QuoteRow<'a>>,
    changes: Vec<ChangeRow>,
    oddities: Vec<OddRow>,
    /// Answers that are not believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contradicted: Vec<ContradictedRow>,
    /// ICMP errors about datagrams to the target that fit no probe.
    #[serde(skip_serializing_if = "is_zero")]
    strays: u64,
    stop: Stop,
}

#[derive(Serialize)]
struct ContradictedRow {
    hop: u8,
    responder: IpAddr,
    answers: u64,
}

impl ContradictedRow {
    fn of(it: Contradiction) -> Self {
        let Contradiction { ttl: hop, responder, answers } = it;
        Self { hop, responder, answers }
    }
}

#[derive(Serialize)]
struct QuoteRow<'a> {
    hop: u8,
    query: u32,
    responder: IpAddr,
    name: Option<&'a Untrusted>,
    quoted_len: usize,
    sent_ttl: u8,
    quoted_ttl: Option<u8>,
    compared: Vec<&'static str>,
    differences: Vec<DifferenceRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_checksum_right: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum_fits: Option<bool>,
    oddities: Vec<String>,
    /// What traceroute writes of an error that says that the way ends here: `!H` and its kin.
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation: Option<String>,
}

#[derive(Serialize)]
struct DifferenceRow {
    field: &'static str,
    /// Of octets, the first that differs, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_octet: Option<usize>,
    sent: ValueRow,
    quoted: ValueRow,
}

#[derive(Serialize)]
struct PlaceRow {
    /// The last hop that does not show it; null is the sender.
    after_hop: Option<u8>,
    /// The first that does.
    at_hop: u8,
    /// It came about on some of the paths that probes took.
    some_paths: bool,
}

#[derive(Serialize)]
struct ChangeRow {
    field: &'static str,
    #[serde(flatten)]
    place: PlaceRow,
    sent: ValueRow,
    /// What it was before: what was sent, or what an earlier change made of it.
    before: Option<ValueRow>,
    quoted: ValueRow,
    meaning: Option<&'static str>,
}

#[derive(Serialize)]
struct OddRow {
    #[serde(flatten)]
    place: PlaceRow,
    oddity: String,
}

impl PlaceRow {
    fn of(place: Place) -> Self {
        let Place { after, at, some_paths } = place;
        Self { after_hop: after, at_hop: at, some_paths }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ValueRow {
    Number(u64),
    Address(IpAddr),
    Hex(String),
}

impl ValueRow {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Address(address) => Self::Address(*address),
            Value::Octets(octets) => Self::Hex(hex(octets)),
        }
    }
}

impl<'a> Document<'a> {
    fn of(inspector: &Inspector, view: View<'a>, numeric: bool) -> Self {
        let View { config, path, .. } = view;
        let stages = inspector.stages(config, path);
        let quotes = stages.iter().flat_map(|stage| {
            stage.quotes.iter().map(|it| QuoteRow::of(it, stage.ttl, view, numeric))
        });
        let odd = inspector.oddities(config, path).into_iter();
        Self {
            head: HeadRow::of("rtrace-inspection", VERSION, config),
            quotes: quotes.collect(),
            changes: inspector.changes(config, path).iter().map(ChangeRow::of).collect(),
            oddities: odd
                .map(|it| OddRow { place: PlaceRow::of(it.place), oddity: oddity(it.oddity) })
                .collect(),
            contradicted: path.contradictions().map(ContradictedRow::of).collect(),
            strays: inspector.strays(),
            stop: rows::stop(view),
        }
    }
}

impl<'a> QuoteRow<'a> {
    fn of(it: &Comparison, hop: u8, view: View<'a>, numeric: bool) -> Self {
        let fits = |verdict| match verdict {
            Verdict::Right => Some(true),
            Verdict::Wrong => Some(false),
            Verdict::Absent => None,
        };
        Self {
            hop,
            query: match it.at {
                ProbeRef::Hop { query, .. } => u32::from(query) + 1,
                ProbeRef::Scout | ProbeRef::SizeProbe(_) | ProbeRef::Confirmation(_) => 1,
            },
            responder: it.responder,
            name: rows::name(view, it.responder, numeric),
            quoted_len: it.len,
            sent_ttl: it.sent_ttl,
            quoted_ttl: it.ttl,
            compared: it.compared.clone(),
            differences: it.differences.iter().map(DifferenceRow::of).collect(),
            header_checksum_right: it.header_checksum,
            checksum_fits: it.checksum.and_then(fits),
            oddities: it.oddities(view.config.target).into_iter().map(oddity).collect(),
            annotation: annotation(it.kind),
        }
    }
}

impl ChangeRow {
    fn of(it: &Change) -> Self {
        Self {
            field: it.field,
            place: PlaceRow::of(it.place),
            sent: ValueRow::of(&it.sent),
            before: it.before.as_ref().map(ValueRow::of),
            quoted: ValueRow::of(&it.quoted),
            meaning: meaning(it),
        }
    }
}

impl DifferenceRow {
    fn of(it: &Difference) -> Self {
        let first_octet = it.sent.octets_changed(&it.quoted).map(|(first, ..)| first);
        let (sent, quoted) = (ValueRow::of(&it.sent), ValueRow::of(&it.quoted));
        Self { field: it.field, first_octet, sent, quoted }
    }
}
