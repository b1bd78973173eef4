//! A probe and one of its replies side by side: the evidence for one number of a report.
//!
//! The fields of the probe stand beside those that the reply quotes of it, and the quoted octets under those that were
//! sent, with what differs marked. Nothing in here is text from the network.

use std::fmt::Write;

use super::annotation::annotation;
use super::extension::{hex, spaced};
use crate::time::Timestamp;
use crate::trace::inspect::{self, Value};
use crate::trace::{Probe, Reply};
use crate::wire::ip;

/// Octets in a line.
const WIDTH: usize = 16;
/// Octets of a value that stand in the table of fields.
const SHOWN: usize = 8;

/// What is shown of a probe: its frame as a datagram, and a reply with its own.
pub struct Evidence<'a> {
    /// The TTL of the hop that the probe counts for, and which of its probes it is, from 1.
    pub place: (u8, usize),
    /// The probe.
    pub probe: &'a Probe,
    /// Its datagram.
    pub sent: &'a [u8],
    /// A reply to it.
    pub reply: Option<(&'a Reply, &'a [u8])>,
}

/// As text.
#[must_use]
pub fn as_text(it: &Evidence<'_>) -> String {
    let mut text = String::new();
    let (ttl, query) = it.place;
    let at = it.probe.sent.map_or("-".to_owned(), stamp);
    let frame = it.probe.frame.map_or("-".to_owned(), |frame| frame.to_string());
    line(
        &mut text,
        &format!("frame {frame}: probe {query} of hop {ttl}, sent with TTL {}, {at}", it.probe.ttl),
    );
    let Some((reply, datagram)) = it.reply else {
        line(&mut text, "no reply");
        table(&mut text, it.sent, None);
        octets(&mut text, "sent", it.sent, None);
        return text;
    };
    let rtt = reply.rtt.map_or("-".to_owned(), |rtt| format!("{rtt} ms"));
    let said = annotation(reply.kind).map_or(String::new(), |said| format!(", {said}"));
    line(
        &mut text,
        &format!(
            "frame {}: reply of {}, {}, RTT {rtt}{said}",
            reply.frame,
            reply.responder,
            stamp(reply.at)
        ),
    );
    line(&mut text, &outer(reply, datagram));
    let quote = inspect::quote(datagram);
    table(&mut text, it.sent, quote);
    octets(&mut text, "sent", it.sent, None);
    if let Some(quote) = quote {
        octets(
            &mut text,
            "quoted; what differs from what was sent is marked",
            quote,
            Some(it.sent),
        );
    }
    octets(&mut text, "reply", datagram, None);
    text
}

fn line(text: &mut String, words: &str) {
    text.push_str(words);
    text.push('\n');
}

fn stamp(at: Timestamp) -> String {
    // The whole range of a timestamp lies within that of the calendar.
    jiff::Timestamp::from_nanosecond(at.nanos().into())
        .map_or_else(|_| "-".to_owned(), |at| at.to_string())
}

/// What the reply's own headers say.
fn outer(reply: &Reply, datagram: &[u8]) -> String {
    let mut said =
        format!("it came with TTL {}, TOS {}, {} octets", reply.ttl, reply.tos, reply.len);
    if let Some(id) = reply.ip_id {
        let _ = write!(said, ", IP-ID {id}");
    }
    let icmp = ip::decode(datagram).ok().and_then(|(header, payload)| {
        ip::icmp(header.family(), payload).ok().filter(|_| header.is_icmp())
    });
    if let Some(icmp) = icmp {
        let _ = write!(said, "; ICMP type {} code {}", icmp.icmp_type, icmp.code);
    }
    said
}

fn table(text: &mut String, sent: &[u8], quote: Option<&[u8]>) {
    let quoted = quote.map(inspect::fields).unwrap_or_default();
    let ttl = |datagram: &[u8]| ip::decode(datagram).ok().map(|(header, _)| u64::from(header.ttl));
    let ttls = (ttl(sent), quote.and_then(ttl));
    line(
        text,
        &format!("\n{:<24}{:<42}{}", "field", "sent", if quote.is_some() { "quoted" } else { "" }),
    );
    if let (Some(sent), quoted) = ttls {
        let quoted = quoted.map_or(String::new(), |ttl| format!("{ttl}  as it arrived"));
        line(text, format!("{:<24}{sent:<42}{quoted}", "TTL").trim_end());
    }
    for (field, value) in inspect::fields(sent) {
        let other = quoted.iter().find(|(name, _)| *name == field).map(|(_, value)| value);
        let mark =
            if other.is_some_and(|other| !alike(&value, other)) { "  * changed" } else { "" };
        let other = other.map_or(String::new(), shown);
        line(text, format!("{field:<24}{:<42}{other}{mark}", shown(&value)).trim_end());
    }
}

/// Octets are compared as far as both go.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Octets(a), Value::Octets(b)) => a.iter().zip(b).all(|(a, b)| a == b),
        (a, b) => a == b,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{number} (0x{number:x})"),
        Value::Address(address) => address.to_string(),
        Value::Octets(octets) => {
            let shown = hex(octets.get(..SHOWN).unwrap_or(octets));
            let more = if octets.len() > SHOWN { "…" } else { "" };
            format!("{shown}{more} ({} octets)", octets.len())
        }
    }
}

/// Octets in hexadecimal; those that differ from `beside` have marks under them.
fn octets(text: &mut String, title: &str, octets: &[u8], beside: Option<&[u8]>) {
    line(text, &format!("\n{title}: {} octets", octets.len()));
    for (index, row) in octets.chunks(WIDTH).enumerate() {
        line(text, &format!("  {:04x}  {}", index * WIDTH, spaced(row)));
        let Some(beside) = beside else { continue };
        let differs = |(place, octet): (usize, &u8)| {
            beside.get(index * WIDTH + place).is_some_and(|sent| sent != octet)
        };
        let marks: Vec<&str> =
            row.iter().enumerate().map(|it| if differs(it) { "^^" } else { "  " }).collect();
        let marks = format!("        {}", marks.join(" "));
        if !marks.trim().is_empty() {
            line(text, marks.trim_end());
        }
    }
}
