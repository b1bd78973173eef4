//! What the path did to packets: the quotes of every hop, and between which hops each field was changed.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::annotation::annotation;
use super::extension::hex;
use super::rows::{self, HeadRow, StopRow};
use super::text::{contradicted_line, loop_line};
use super::{INDENT, Renderer, View, counted};
use crate::trace::inspect::changes::Change;
use crate::trace::inspect::checksums::Verdict;
use crate::trace::inspect::oddities::{Odd, Oddity};
use crate::trace::inspect::place::{Place, Stage};
use crate::trace::inspect::quoting::Manner;
use crate::trace::inspect::{self, Comparison, Difference, Inspector, Value, fields};
use crate::trace::path::{Contradiction, Totals};
use crate::trace::{Disposition, Path, Probe, ProbeRef, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::Frame;

/// The version of the document's form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;
/// Columns that responders have at least.
const LEAST_WIDTH: usize = 39;
/// Octets of a value that the text shows.
const SHOWN: usize = 8;

/// What a checksum means that alone was changed.
const RESTORED: &str =
    "nothing else quoted explains it: suggests address translation that restored the quote";

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
            let line = format!("{hop:3}  {responder:<width$}  {len:6}  {ttl:3}  {said}");
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
        if orphans == 0 && summary.is_empty() {
            writeln!(self.out, "Nothing was changed as far as hops quote it.")?;
        }
        let rewritten = "the quote was rewritten too much to identify one, or is not of this run.";
        let without_probe = [
            (cut_short, "the capture cut the quote too short to identify one."),
            (orphans.saturating_sub(cut_short), rewritten),
        ];
        for (count, why) in without_probe.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(self.out, "{} without a probe: {why}", counted(count, "reply"))?;
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
    ttl: u8,
    said: String,
}

/// The lines of a hop: what it says of several probes alike stands there once.
fn lines(stage: &Stage<'_>, view: View<'_>, numeric: bool) -> Vec<Line> {
    let fields = |it: &Comparison| it.differences.iter().map(|it| it.field).collect::<Vec<_>>();
    // The scout has a line of its own where no other probe shows the same.
    let told = |scout: &Comparison| {
        let same = |it: &&&Comparison| {
            let of_hop = it.at != ProbeRef::SCOUT && it.responder == scout.responder;
            of_hop && fields(it) == fields(scout)
        };
        stage.quotes.iter().any(|it| same(&it))
    };
    let mut keys = Vec::new();
    let mut lines = Vec::new();
    for it in &stage.quotes {
        let is_scout = it.at == ProbeRef::SCOUT;
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

/// That the target was not reached, and who said so; not where a loop says it.
fn unreached_line(view: View<'_>) -> Option<String> {
    let View { config, path, .. } = view;
    if path.reached(config) || path.looped.is_some() {
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

fn changed(it: &Change) -> String {
    let became = match &it.before {
        Some(before) => became(it.field, before, &it.quoted, " became "),
        None => format!("{} was changed once more and became {}", it.field, shown(&it.quoted)),
    };
    let meaning = meaning(it).map_or(String::new(), |meaning| format!(" ({meaning})"));
    format!("{became}{meaning}")
}

/// What a change usually is.
fn meaning(it: &Change) -> Option<&'static str> {
    if it.quoted == it.sent {
        return Some("as it was sent");
    }
    Some(match it.field {
        field if fields::is_checksum(field) => match it.checksum {
            _ if it.suggests_restored_quote => RESTORED,
            Some(Verdict::Right) => "it fits what else was changed",
            Some(Verdict::Absent) => "checksum taken off",
            Some(Verdict::Wrong) | None => return None,
        },
        inspect::SOURCE | "source port" | "identifier" => "source address translation",
        inspect::DESTINATION | "destination port" => "destination address translation",
        "DSCP" => "remarked",
        "ECN" => "bleached or marked",
        "MSS" => "clamped",
        _ => return None,
    })
}

fn findings(it: &Comparison, config: &TraceConfig) -> Vec<String> {
    let difference = |it: &Difference| became(it.field, &it.sent, &it.quoted, " > ");
    let mut said: Vec<String> = annotation(it.kind).into_iter().collect();
    said.extend(it.differences.iter().map(difference));
    let mended = it.checksum == Some(Verdict::Right);
    if mended && it.differences.iter().any(|it| fields::is_checksum(it.field)) {
        said.push("the checksum fits what was changed".to_owned());
    }
    said.extend(it.oddities(config.target).into_iter().map(oddity));
    said
}

fn oddity(it: Oddity) -> String {
    match it {
        Oddity::TtlSet { sent, quoted } => {
            format!("the TTL was set anew: sent with {sent}, quoted with {quoted}")
        }
        Oddity::TtlKept { quoted } => {
            format!(
                "the TTL was not lowered: quoted with {quoted} though it ran out, as in MPLS tunnels"
            )
        }
        Oddity::TtlZero => {
            "a TTL of 0 was forwarded: quoted with 0 by the next router or host".to_owned()
        }
        Oddity::TtlZeroQuoted { certain: true } => {
            "the TTL is quoted as 0: its way of quoting".to_owned()
        }
        Oddity::TtlZeroQuoted { certain: false } => {
            "the TTL is quoted as 0: its way of quoting, or a TTL of 0 was forwarded to it"
                .to_owned()
        }
        Oddity::Quoting { field, arrived, quoted, manner } => {
            let manner = manner.map_or("", self::manner);
            format!("{field} {arrived} is quoted as {quoted}{manner}: its way of quoting")
        }
        Oddity::Repeated { router, first, last } if first.checked_add(1) == Some(last) => format!(
            "{router} stands at both: it takes more than one off the TTL, or the router before it none"
        ),
        Oddity::Repeated { router, first, last } => format!(
            "{router} stands at hops {first} to {last}: it takes more than one off the TTL, or answers for those behind"
        ),
        Oddity::FromTarget => {
            "destination address translation (time exceeded comes from the target)".to_owned()
        }
        Oddity::HeaderChecksum => "the checksum of the quoted IPv4 header is wrong".to_owned(),
        Oddity::Checksum { field, whole: true } => format!("the {field} does not fit: broken"),
        Oddity::Checksum { field, whole: false } => {
            format!("the {field} does not fit what is quoted: broken, or more was changed")
        }
    }
}

fn manner(it: Manner) -> &'static str {
    match it {
        Manner::Swapped => ", in the wrong byte order",
        Manner::WithoutHeader => ", without the header",
        Manner::SwappedWithoutHeader => ", without the header and in the wrong byte order",
        Manner::Zero => "",
    }
}

/// A field before and after; of octets those that differ.
fn became(field: &str, before: &Value, after: &Value, word: &str) -> String {
    let Some((first, from, to)) = before.octets_changed(after) else {
        return format!("{field} {}{word}{}", shown(before), shown(after));
    };
    let place = match from.len() {
        1 => format!("octet {first}"),
        len => format!("octets {first}-{}", first + len - 1),
    };
    format!("{field} {place} {}{word}{}", few(from), few(to))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Octets(octets) => few(octets),
        other => other.to_string(),
    }
}

fn few(octets: &[u8]) -> String {
    match octets.get(..SHOWN) {
        Some(few) if octets.len() > SHOWN => format!("{}…", hex(few)),
        _ => hex(octets),
    }
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
    stop: StopRow,
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
    quoted_ttl: u8,
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
    /// It came about on some of the ways that probes took.
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
            stop: StopRow::of(view),
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
            query: u32::from(it.at.query) + 1,
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
