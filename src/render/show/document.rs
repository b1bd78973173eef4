//! A probe and one of its replies as JSON: described by `schema/show.schema.json`.

use std::net::IpAddr;

use serde::Serialize;

use super::super::extension::hex;
use super::super::inspect::ValueRow;
use super::super::rows::ReplyRow;
use super::{Answer, Evidence, Place, Quote, What};
use crate::time::Timestamp;
use crate::trace::inspect;
use crate::wire::{self, ip};

/// The version of the document's form; it changes when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// Writes the evidence as JSON, with a final line feed.
///
/// # Errors
/// When it cannot be serialised.
pub fn as_json(it: &Evidence<'_>) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&Document::of(it))? + "\n")
}

#[derive(Serialize)]
struct Document {
    format: &'static str,
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<u64>,
    #[serde(flatten)]
    what: WhatRow,
    sent_ttl: u8,
    sent_ns: Option<i64>,
    frame: Option<u64>,
    /// The datagram in hexadecimal.
    sent: Option<String>,
    reply: Option<AnswerRow>,
    fields: Vec<FieldRow>,
}

impl Document {
    fn of(it: &Evidence<'_>) -> Self {
        let Place { trace, round, what } = it.place;
        let quote = it.reply.and_then(|reply| Quote::of(reply.datagram));
        Self {
            format: "rtrace-show",
            version: VERSION,
            trace,
            round: round.map(|round| round.saturating_add(1)),
            what: WhatRow::of(what),
            sent_ttl: it.probe.ttl,
            sent_ns: it.probe.sent.map(Timestamp::nanos),
            frame: it.probe.frame,
            sent: it.sent.map(hex),
            fields: FieldRow::all(it.sent, quote.as_ref().map(|quote| quote.octets), it.reply),
            reply: it.reply.map(|reply| AnswerRow::of(&reply, quote)),
        }
    }
}

/// What a probe is in its trace, and where it counts.
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum WhatRow {
    Probe { ttl: u8, query: u32 },
    Scout,
    SizeProbe { len: u16 },
    Confirmation { ttl: u8 },
}

impl WhatRow {
    fn of(what: What) -> Self {
        match what {
            What::Probe { ttl, query } => Self::Probe { ttl, query },
            What::Scout => Self::Scout,
            What::SizeProbe(len) => Self::SizeProbe { len },
            What::Confirmation(ttl) => Self::Confirmation { ttl },
        }
    }
}

/// A reply, or why it is unknown.
#[derive(Serialize)]
struct AnswerRow {
    frame: u64,
    responder: Option<IpAddr>,
    evidence: wire::Evidence,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_kept: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<ReplyRow>,
    datagram: String,
    /// The octets that it quotes of the probe.
    quoted: Option<String>,
}

impl AnswerRow {
    fn of(it: &Answer<'_>, quote: Option<Quote<'_>>) -> Self {
        let header = ip::decode(it.datagram).ok();
        Self {
            frame: it.frame,
            responder: header.map(|(header, _)| header.source),
            evidence: it.evidence,
            not_kept: it.known.err(),
            known: it.known.ok().map(ReplyRow::of),
            datagram: hex(it.datagram),
            quoted: quote.map(|quote| hex(quote.octets)),
        }
    }
}

/// A field as it was sent and as it is quoted; null where one of them has it not.
#[derive(Serialize)]
struct FieldRow {
    field: &'static str,
    sent: Option<ValueRow>,
    quoted: Option<ValueRow>,
    changed: bool,
}

impl FieldRow {
    fn all(sent: Option<&[u8]>, quoted: Option<&[u8]>, reply: Option<Answer<'_>>) -> Vec<Self> {
        let evidence = reply.map_or(wire::Evidence::Captured, |reply| reply.evidence);
        let sent = sent.map(inspect::fields).unwrap_or_default();
        let quoted = quoted.map(|it| inspect::quoted_fields(it, evidence)).unwrap_or_default();
        let names = if sent.is_empty() { &quoted } else { &sent };
        let row = |(field, _): &(&'static str, inspect::Value)| {
            let [sent, quoted] =
                [&sent, &quoted].map(|all| all.iter().find(|(name, _)| name == field));
            let changed = sent.zip(quoted).is_some_and(|((_, sent), (_, quoted))| sent != quoted);
            let [sent, quoted] = [sent, quoted].map(|it| it.map(|(_, value)| ValueRow::of(value)));
            Self { field, sent, quoted, changed }
        };
        names.iter().map(row).collect()
    }
}
