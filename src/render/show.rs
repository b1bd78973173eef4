//! A probe and one of its replies side by side: the evidence for one number of a report.
//!
//! The fields of the probe stand beside those that the reply quotes of it, and the quoted octets under those that were
//! sent, with what differs marked; on a narrow terminal they stand below one another. The quote ends where its datagram
//! does: the padding of a router (RFC 4884 §5.1) is distinguished. Text from the network is escaped.

pub mod document;

use std::fmt::{self, Write};

use super::annotation::annotation;
use super::dissect;
use super::extension::{hex, spaced};
use crate::time::Timestamp;
use crate::trace::inspect::{self, Value};
use crate::trace::{Probe, Reply};
use crate::wire::extension::{self, Extension};
use crate::wire::{self, ip, quoted};

/// Octets in a line, and in a line of a narrow terminal.
const WIDTHS: [usize; 2] = [16, 8];
/// Octets of a value that stand in the table of fields.
const SHOWN: usize = 8;
/// Octets of an extension structure in a line.
const DISSECTED: usize = 8;
/// Columns for the name of a field, and for what was sent.
const COLUMNS: (usize, usize) = (24, 42);

/// What is shown of a probe: its frame as a datagram, and a reply with its own.
pub struct Evidence<'a> {
    /// Which probe it is.
    pub place: Place,
    /// The probe.
    pub probe: &'a Probe,
    /// Its datagram, unless the recording lacks it.
    pub sent: Option<&'a [u8]>,
    /// A reply to it.
    pub reply: Option<Answer<'a>>,
}

/// A reply.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// Its frame.
    pub frame: u64,
    /// The reply; or why it is none of those that are kept.
    pub known: Result<&'a Reply, &'static str>,
    /// Its datagram.
    pub datagram: &'a [u8],
    /// Whether it was captured.
    pub evidence: wire::Evidence,
}

/// Where a probe belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of its trace, if there are several.
    pub trace: Option<u32>,
    /// Its round, from 0, if there are rounds.
    pub round: Option<u64>,
    /// What it is there.
    pub what: What,
}

/// What a probe is in its trace.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// One of a hop's.
    Probe {
        /// That of the hop that it counts for.
        ttl: u8,
        /// Which of its probes it is, from 1.
        query: u32,
    },
    /// The scout, which is no hop's.
    Scout,
    /// A size probe of this length in bytes; it belongs to no hop.
    SizeProbe(u16),
    /// One that is to confirm an answer at this TTL.
    Confirmation(u8),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Probe { ttl, query } => write!(f, "probe {query} of hop {ttl}")?,
            What::Scout => f.write_str("the scout")?,
            What::SizeProbe(len) => write!(f, "a size probe of {len} bytes")?,
            What::Confirmation(ttl) => write!(f, "a second probe to hop {ttl} from another port")?,
        }
        self.round.map_or(Ok(()), |round| write!(f, " in round {}", round.saturating_add(1)))?;
        self.trace.map_or(Ok(()), |trace| write!(f, " of trace {trace}"))
    }
}

/// The text, for a terminal of this width if that is known.
#[must_use]
pub fn as_text(it: &Evidence<'_>, columns: Option<usize>) -> String {
    let mut sheet = Sheet { text: String::new(), columns: columns.unwrap_or(usize::MAX) };
    let number = it.probe.frame.map(|frame| format!("frame {frame}"));
    let number = number.unwrap_or_else(|| "a probe that is not in the recording".to_owned());
    let at = it.probe.sent.map_or(String::new(), |at| format!(", {}", stamp(at)));
    sheet.line(&format!("{number}: {}, sent with TTL {}{at}", it.place, it.probe.ttl));
    let quote = it.reply.and_then(|reply| Quote::of(reply.datagram));
    match &it.reply {
        Some(reply) => {
            sheet.line(&headline(reply));
            sheet.line(&outer(reply));
        }
        None => sheet.line("no reply"),
    }
    let octets = quote.as_ref().map(|quote| quote.octets);
    let evidence = it.reply.map_or(wire::Evidence::Captured, |reply| reply.evidence);
    sheet.table(it.sent, octets, evidence);
    if let Some(sent) = it.sent {
        sheet.octets("sent", sent, None);
    }
    if let Some(quote) = quote {
        let marked = "quoted; differences from the sent octets are marked";
        let title = match evidence {
            wire::Evidence::Reconstructed => {
                "quoted, as reconstructed; octets that are not known are 0"
            }
            wire::Evidence::Captured if it.sent.is_some() => marked,
            wire::Evidence::Captured => "quoted",
        };
        sheet.octets(title, quote.octets, it.sent.filter(|_| evidence.is_captured()));
        if quote.padding > 0 {
            sheet.line(&format!("followed by {} octets of padding", quote.padding));
        }
        if let Some((structure, extension)) = &quote.appended {
            sheet.dissect(quote.structure_at, structure, extension);
        }
    }
    if let Some(reply) = it.reply {
        let title = if evidence.is_captured() { "reply" } else { "reply, as reconstructed" };
        sheet.octets(title, reply.datagram, None);
    }
    sheet.text
}

/// What an ICMP error quotes, and what is appended to that.
struct Quote<'a> {
    /// The octets of the quoted datagram.
    octets: &'a [u8],
    /// How many follow that are not of it.
    padding: usize,
    /// An extension structure, and where in the reply it begins.
    appended: Option<(&'a [u8], Extension)>,
    structure_at: usize,
}

impl<'a> Quote<'a> {
    fn of(datagram: &'a [u8]) -> Option<Self> {
        let (header, payload) = ip::decode(datagram).ok()?;
        let icmp = ip::icmp(header.family(), payload).ok()?;
        let padded = inspect::quote(datagram)?;
        let len = quoted::decode(padded).map_or(padded.len(), |it| it.len);
        let octets = padded.get(..len).unwrap_or(padded);
        let words = icmp.quote_words.unwrap_or_default();
        let (_, extension) = extension::quoted_and_extension(icmp.body, words, header.family());
        let structure = icmp.body.get(padded.len()..).unwrap_or_default();
        Some(Self {
            octets,
            padding: padded.len() - octets.len(),
            appended: extension.map(|extension| (structure, extension)),
            structure_at: header.header_len + payload.len() - structure.len(),
        })
    }
}

fn stamp(at: Timestamp) -> String {
    let Some(at) = at.known() else { return "no time".to_owned() };
    // The whole range of a timestamp lies within that of the calendar.
    jiff::Timestamp::from_nanosecond(at.nanos().into())
        .map_or_else(|_| "-".to_owned(), |at| at.to_string())
}

fn headline(answer: &Answer<'_>) -> String {
    let frame = answer.frame;
    match answer.known {
        Ok(reply) => {
            let rtt = reply.rtt.map_or("-".to_owned(), |rtt| format!("{rtt} ms"));
            let fault = if reply.clock_fault { " across a step of the clock" } else { "" };
            let said = annotation(reply.kind).map_or(String::new(), |said| format!(", {said}"));
            let late = if reply.late { ", late" } else { "" };
            let duplicate = if reply.duplicate { ", duplicate" } else { "" };
            let (responder, at) = (reply.responder, stamp(reply.at));
            format!(
                "frame {frame}: reply of {responder}, {at}, RTT {rtt}{fault}{said}{late}{duplicate}"
            )
        }
        Err(why) => {
            let from = ip::decode(answer.datagram).map(|(header, _)| header.source.to_string());
            format!("frame {frame}: reply of {}, {why}", from.unwrap_or_else(|_| "-".to_owned()))
        }
    }
}

/// What the reply's own headers say.
fn outer(answer: &Answer<'_>) -> String {
    let datagram = answer.datagram;
    let Ok((header, payload)) = ip::decode(datagram) else {
        return "its header cannot be read".to_owned();
    };
    let (ttl, tos, len) = (header.ttl, header.tos, datagram.len());
    let mut said = format!("it arrived with TTL {ttl}, TOS {tos}");
    if answer.evidence.is_captured() {
        let _ = write!(said, ", {len} octets");
    } else {
        said += ", and is reconstructed from kernel reports";
    }
    if let Some(id) = header.id.filter(|_| answer.evidence.is_captured()) {
        let _ = write!(said, ", IP-ID {id}");
    }
    if let Some(icmp) = ip::icmp(header.family(), payload).ok().filter(|_| header.is_icmp()) {
        let _ = write!(said, "; ICMP type {} code {}", icmp.icmp_type, icmp.code);
    }
    said
}

/// A row of the table: a field, its value as sent and as quoted, and a remark.
struct Row {
    field: &'static str,
    sent: String,
    quoted: String,
    mark: String,
}

impl Row {
    fn of(field: &'static str, sent: &Value, quoted: Option<&Value>) -> Self {
        let (from, mark) = match (sent, quoted) {
            (Value::Octets(sent), Some(Value::Octets(quoted))) => changed(sent, quoted),
            (sent, Some(quoted)) if sent != quoted => (0, "  * changed".to_owned()),
            _ => (0, String::new()),
        };
        let quoted = quoted.map_or(String::new(), |value| shown(value, from));
        Self { field, sent: shown(sent, from), quoted, mark }
    }

    fn side_by_side(&self) -> String {
        let Self { field, sent, quoted, mark } = self;
        let (first, second) = COLUMNS;
        format!("{field:<first$}{sent:<second$}{quoted}{mark}").trim_end().to_owned()
    }
}

/// The first changed octet in the common length, and the remark on it.
fn changed(sent: &[u8], quoted: &[u8]) -> (usize, String) {
    let both = sent.iter().zip(quoted).enumerate();
    let mut differing = both.filter(|(_, (sent, quoted))| sent != quoted).map(|(at, _)| at);
    let Some(first) = differing.next() else { return (0, String::new()) };
    let more = match differing.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (first, format!("  * changed at octet {first}{more}"))
}

/// A value; of octets a few, from this one on.
fn shown(value: &Value, from: usize) -> String {
    match value {
        Value::Number(number) => format!("{number} (0x{number:x})"),
        Value::Address(address) => address.to_string(),
        Value::Octets(octets) => {
            let rest = octets.get(from..).unwrap_or_default();
            let before = if from > 0 { "…" } else { "" };
            let after = if rest.len() > SHOWN { "…" } else { "" };
            let few = hex(rest.get(..SHOWN).unwrap_or(rest));
            format!("{before}{few}{after} ({} octets)", octets.len())
        }
    }
}

/// Text for a terminal of this width.
struct Sheet {
    text: String,
    columns: usize,
}

impl Sheet {
    /// Words, in as many lines as they take.
    fn line(&mut self, words: &str) {
        let mut column = 0;
        for (index, word) in words.split(' ').enumerate() {
            let len = word.chars().count();
            if index > 0 && column + 1 + len > self.columns {
                self.text.push_str("\n  ");
                column = 2;
            } else if index > 0 {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += len;
        }
        self.text.push('\n');
    }

    /// A line that is not to be changed.
    fn raw(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn table(&mut self, sent: Option<&[u8]>, quote: Option<&[u8]>, evidence: wire::Evidence) {
        let head = if quote.is_some() { "quoted" } else { "" };
        let ttl = |datagram: &[u8]| ip::decode(datagram).ok().map(|(header, _)| header.ttl);
        let arrived = quote.filter(|_| evidence.is_captured());
        let arrived =
            arrived.and_then(ttl).map_or(String::new(), |ttl| format!("{ttl}  as it arrived"));
        let fields = quote.map(|quote| inspect::quoted_fields(quote, evidence)).unwrap_or_default();
        let mut rows = Vec::new();
        if let Some(sent) = sent {
            let ttl = ttl(sent).map_or("-".to_owned(), |ttl| ttl.to_string());
            rows.push(Row { field: "TTL", sent: ttl, quoted: arrived, mark: String::new() });
            rows.extend(inspect::fields(sent).iter().map(|(field, value)| {
                let other = fields.iter().find(|(name, _)| name == field);
                Row::of(field, value, other.map(|(_, value)| value))
            }));
        } else {
            let missing =
                |field, quoted| Row { field, sent: "-".into(), quoted, mark: String::new() };
            rows.push(missing("TTL", arrived));
            rows.extend(fields.iter().map(|(field, value)| missing(field, shown(value, 0))));
        }
        let (first, second) = COLUMNS;
        let lines: Vec<String> = rows.iter().map(Row::side_by_side).collect();
        if lines.iter().all(|line| line.chars().count() <= self.columns) {
            self.raw(format!("\n{:<first$}{:<second$}{head}", "field", "sent").trim_end());
            for line in &lines {
                self.raw(line);
            }
            return;
        }
        self.raw("");
        for Row { field, sent, quoted, mark } in &rows {
            self.raw(&format!("{field}{mark}"));
            self.raw(&format!("  sent    {sent}"));
            if !quoted.is_empty() {
                self.raw(&format!("  quoted  {quoted}"));
            }
        }
    }

    /// Octets in hexadecimal; those that differ from `beside` have marks under them.
    fn octets(&mut self, title: &str, octets: &[u8], beside: Option<&[u8]>) {
        self.raw("");
        self.line(&format!("{title}: {} octets", octets.len()));
        let fits = |width: &usize| 7 + 3 * width <= self.columns;
        let width = WIDTHS.into_iter().find(fits).unwrap_or(SHOWN);
        for (index, row) in octets.chunks(width).enumerate() {
            self.raw(&format!("  {:04x}  {}", index * width, spaced(row)));
            let Some(beside) = beside else { continue };
            let differs = |(place, octet): (usize, &u8)| {
                beside.get(index * width + place).is_some_and(|sent| sent != octet)
            };
            let marks: Vec<&str> =
                row.iter().enumerate().map(|it| if differs(it) { "^^" } else { "  " }).collect();
            let marks = format!("        {}", marks.join(" "));
            if !marks.trim().is_empty() {
                self.raw(marks.trim_end());
            }
        }
    }

    /// An extension structure that begins at this octet of the reply.
    fn dissect(&mut self, at: usize, structure: &[u8], extension: &Extension) {
        self.raw("");
        self.line(&format!(
            "extension structure, from octet {at:04x} of the reply: {} octets",
            structure.len()
        ));
        let mut offset = at;
        for (octets, said) in dissect::rows(structure, extension) {
            let mut said = said.as_str();
            for row in octets.chunks(DISSECTED) {
                let hex = spaced(row);
                let width = 3 * DISSECTED;
                let line = format!("  {offset:04x}  {hex:<width$} {said}");
                if line.chars().count() <= self.columns || said.is_empty() {
                    self.raw(line.trim_end());
                } else {
                    self.raw(&format!("  {offset:04x}  {hex}"));
                    self.line(&format!("  {said}"));
                }
                offset += row.len();
                said = "";
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::extension::{Family, InterfaceInformation, LabelStackEntry, Object, Role};

    /// A UDP datagram of 60 octets.
    fn probe() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 60, 0, 5, 0, 0, 4, 17, 0, 0, 192, 0, 2, 2, 203, 0, 113, 9];
        bytes.extend([0x9c, 0x40, 0x82, 0x9a, 0, 40, 0, 0]);
        bytes.extend(0x40..0x60);
        bytes
    }

    fn extension() -> Extension {
        let label = LabelStackEntry { label: 100_704, tc: 5, bottom: true, ttl: 1 };
        let interface = InterfaceInformation {
            role: Role::Outgoing,
            ifindex: Some(7),
            address: Some([198, 51, 100, 9].into()),
            name: Some(b"eth0\x1b[2J".to_vec()),
            mtu: Some(1_400),
        };
        let objects = vec![
            Object::MplsLabelStack(vec![label]),
            Object::InterfaceInformation(interface),
            Object::Unknown { class: 9, c_type: 1, payload: (0..20).collect() },
        ];
        Extension::of(objects)
    }

    /// A time exceeded that quotes this.
    fn error(quote: &[u8]) -> Vec<u8> {
        let (payload, words) = extension().append_to(quote, Family::V4);
        let len = u8::try_from(28 + payload.len()).unwrap();
        let mut bytes = vec![0x45, 0, 0, len, 0, 9, 0, 0, 63, 1, 0, 0, 10, 0, 0, 1, 192, 0, 2, 2];
        bytes.extend([11, 0, 0, 0, 0, words, 0, 0]);
        bytes.extend(payload);
        bytes
    }

    fn text(sent: Option<&[u8]>, datagram: &[u8], columns: Option<usize>) -> String {
        let place = Place { trace: Some(2), round: Some(1), what: What::SizeProbe(1_400) };
        let probe = Probe::sent_at(Timestamp::default());
        let evidence = wire::Evidence::Captured;
        let reply = Answer { frame: 2, known: Err("not believed"), datagram, evidence };
        as_text(&Evidence { place, probe: &probe, sent, reply: Some(reply) }, columns)
    }

    #[test]
    fn the_quote_ends_where_its_datagram_does_and_what_was_changed_is_seen() {
        let sent = probe();
        let mut quote = sent.clone();
        quote[28 + 20] ^= 0xff;
        quote[28 + 31] ^= 0xff;
        let text = text(Some(&sent), &error(&quote), None);
        for line in [
            "frame 1: a size probe of 1400 bytes in round 2 of trace 2, sent with TTL 1, 1970-01-01T00:00:00Z",
            "frame 2: reply of 10.0.0.1, not believed",
            "payload                 …5455565758595a5b… (32 octets)            …ab55565758595a5b… (32 octets)  * changed at octet 20, and 1 more",
            "quoted; differences from the sent octets are marked: 60 octets",
            "followed by 68 octets of padding",
            "  00a0  00 08 01 01              object of 8 octets, class 1, c-type 1: MPLS label stack",
            "  00a4  18 96 0b 01              label 100704, traffic class 5, bottom of the stack, TTL 1",
            "  00b0  00 01 00 00              address family 1",
            "  00b4  c6 33 64 09              198.51.100.9",
            r"  00b8  0c 65 74 68 30 1b 5b 32  name of 12 octets: eth0\u{1b}[2J",
            "  00c4  00 00 05 78              MTU 1400",
            "  00cc  00 01 02 03 04 05 06 07  not understood",
            "  00dc  10 11 12 13",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_narrow_terminal_has_whole_lines() {
        let sent = probe();
        for columns in [40, 60, 80, 120] {
            for sent in [Some(&sent[..]), None] {
                let text = text(sent, &error(&probe()), Some(columns));
                let longest = text.lines().map(|line| line.chars().count()).max();
                assert!(longest <= Some(columns), "{columns}\n{text}");
            }
        }
    }

    /// Whatever a structure claims of itself.
    #[test]
    fn every_octet_of_a_structure_is_in_one_row() {
        let (payload, _) = extension().append_to(&[], Family::V4);
        let whole = &payload[128..];
        for at in 0..whole.len() {
            for change in [0, 1, 0x80, 0xff] {
                let mut bytes = whole.to_vec();
                bytes[at] ^= change;
                for bytes in [&bytes[..], &bytes[..at]] {
                    let Some(found) = Extension::decode(bytes, true) else { continue };
                    let rows = dissect::rows(bytes, &found);
                    let octets: Vec<u8> = rows.iter().flat_map(|(it, _)| *it).copied().collect();
                    assert_eq!(octets, bytes, "{at} {change}");
                }
            }
        }
    }
}
