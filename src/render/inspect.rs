//! What the path did to packets: the quotes of every hop, and between which hops each field was changed.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::extension::hex;
use super::rows::{self, HeadRow};
use super::{Renderer, View};
use crate::trace::inspect::{self, Change, Comparison, Difference, Inspector, Value};
use crate::trace::{Disposition, Path, TraceConfig};
use crate::wire::Frame;

/// The version of the document's form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;
/// Octets of a value that the text shows.
const SHOWN: usize = 8;

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
        let mut comparisons: Vec<&Comparison> = self.inspector.comparisons().iter().collect();
        comparisons.sort_by_key(|it| Inspector::hop(it, view.config));
        writeln!(
            self.out,
            "hop  quoted by                                octets  TTL  not as sent"
        )?;
        // What a hop says of several probes alike stands there once.
        let mut last = None;
        for it in comparisons {
            let hop = Inspector::hop(it, view.config);
            let name = rows::name(view, it.responder, self.numeric);
            let responder =
                name.map_or(it.responder.to_string(), |name| format!("{name} ({})", it.responder));
            let findings = findings(it, view.config);
            let line = format!("{hop:3}  {responder:<40} {:6}  {:3}  {findings}", it.len, it.ttl);
            let fields: Vec<_> = it.differences.iter().map(|it| it.field).collect();
            let key = (hop, it.responder, it.len, it.ttl, fields);
            if last.as_ref() != Some(&key) {
                writeln!(self.out, "{}", line.trim_end())?;
            }
            last = Some(key);
        }
        writeln!(self.out)?;
        let changes = self.inspector.changes(view.config);
        for change in &changes {
            writeln!(
                self.out,
                "{}: {} {} became {}{}",
                place(change),
                change.field,
                shown(&change.sent),
                shown(&change.quoted),
                meaning(change.field).map_or(String::new(), |meaning| format!(" ({meaning})"))
            )?;
        }
        if changes.is_empty() {
            writeln!(self.out, "Nothing was changed as far as hops quote it.")?;
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

/// "between hop 4 and hop 5".
fn place(change: &Change) -> String {
    match change.after {
        Some(after) => format!("between hop {after} and hop {}", change.at),
        None => format!("before hop {}", change.at),
    }
}

/// What a change of this field usually is.
fn meaning(field: &str) -> Option<&'static str> {
    Some(match field {
        inspect::SOURCE | "source port" | "identifier" => "source address translation",
        inspect::DESTINATION | "destination port" => "destination address translation",
        "DSCP" => "remarked",
        "ECN" => "bleached or marked",
        "MSS" => "clamped",
        _ => return None,
    })
}

fn findings(it: &Comparison, config: &TraceConfig) -> String {
    let mut said: Vec<String> = it.differences.iter().map(difference).collect();
    match it.checksum_fits {
        Some(true) => said.push("the checksum fits what was changed".to_owned()),
        Some(false) => said.push("the checksum does not fit".to_owned()),
        None => {}
    }
    said.extend(oddities(it, config).into_iter().map(str::to_owned));
    said.join(", ")
}

/// What is odd about a quote though nothing in it was changed.
fn oddities(it: &Comparison, config: &TraceConfig) -> Vec<&'static str> {
    let all = [
        (it.in_transit && it.ttl == 0, "TTL 0: the hop before forwards what it should not"),
        (it.in_transit && it.ttl > 1, "a TTL left although it ran out"),
        (
            it.in_transit && it.responder == config.target,
            "sent by the target although the TTL ran out",
        ),
        (it.header_checksum == Some(false), "the quoted header's checksum is wrong"),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, said)| said).collect()
}

fn difference(it: &Difference) -> String {
    format!("{} {} > {}", it.field, shown(&it.sent), shown(&it.quoted))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Address(address) => address.to_string(),
        Value::Octets(octets) if octets.len() > SHOWN => format!("{}…", hex(&octets[..SHOWN])),
        Value::Octets(octets) => hex(octets),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: HeadRow<'a>,
    quotes: Vec<QuoteRow<'a>>,
    changes: Vec<ChangeRow>,
}

#[derive(Serialize)]
struct QuoteRow<'a> {
    hop: u8,
    query: u32,
    responder: IpAddr,
    name: Option<&'a str>,
    quoted_len: usize,
    quoted_ttl: u8,
    compared: Vec<&'static str>,
    differences: Vec<DifferenceRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_checksum_right: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum_fits: Option<bool>,
    oddities: Vec<&'static str>,
}

#[derive(Serialize)]
struct DifferenceRow {
    field: &'static str,
    sent: ValueRow,
    quoted: ValueRow,
}

#[derive(Serialize)]
struct ChangeRow {
    field: &'static str,
    /// The last hop that quotes it as it was sent; null is the sender.
    after_hop: Option<u8>,
    /// The first that does not.
    at_hop: u8,
    sent: ValueRow,
    quoted: ValueRow,
    meaning: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ValueRow {
    Number(u64),
    Address(IpAddr),
    Hex(String),
}

impl ValueRow {
    fn of(value: &Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Address(address) => Self::Address(*address),
            Value::Octets(octets) => Self::Hex(hex(octets)),
        }
    }
}

impl<'a> Document<'a> {
    fn of(inspector: &Inspector, view: View<'a>, numeric: bool) -> Self {
        let quotes = inspector.comparisons().iter().map(|it| QuoteRow {
            hop: Inspector::hop(it, view.config),
            query: u32::from(it.at.query) + 1,
            responder: it.responder,
            name: rows::name(view, it.responder, numeric),
            quoted_len: it.len,
            quoted_ttl: it.ttl,
            compared: it.compared.clone(),
            differences: it.differences.iter().map(DifferenceRow::of).collect(),
            header_checksum_right: it.header_checksum,
            checksum_fits: it.checksum_fits,
            oddities: oddities(it, view.config),
        });
        let changes = inspector.changes(view.config).into_iter().map(|change| ChangeRow {
            field: change.field,
            after_hop: change.after,
            at_hop: change.at,
            sent: ValueRow::of(&change.sent),
            quoted: ValueRow::of(&change.quoted),
            meaning: meaning(change.field),
        });
        Self {
            head: HeadRow::of("rtrace-inspection", VERSION, view.config),
            quotes: quotes.collect(),
            changes: changes.collect(),
        }
    }
}

impl DifferenceRow {
    fn of(it: &Difference) -> Self {
        let (sent, quoted) = (ValueRow::of(&it.sent), ValueRow::of(&it.quoted));
        Self { field: it.field, sent, quoted }
    }
}
