//! The report as a table: a header, then one probe a row, in order of TTL and query.
//!
//! The reply in a row is the one that settled the probe or, for a lost probe, the first that came late.
//! Of further replies there are only counts (`duplicates`, `more_replies`); the JSON has them all. What
//! is missing is empty, never 0. Quoting follows RFC 4180, rows end in a line feed.

use std::io::{self, Write};

use super::annotation::annotation;
use super::rows::{self, Identity, OriginRow, PlaceRow, Said};
use super::{Renderer, View};
use crate::time::{Span, Timestamp};
use crate::trace::{Probe, ProbeRef, Reply};
use crate::untrusted::Untrusted;

/// The table.
pub struct Csv<W> {
    out: W,
    numeric: bool,
}

impl<W: Write> Csv<W> {
    /// A table to `out`; with `numeric`, names are empty.
    pub fn new(out: W, numeric: bool) -> Self {
        Self { out, numeric }
    }
}

impl<W: Write> Renderer for Csv<W> {
    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let mut table = csv::Writer::from_writer(&mut self.out);
        // What was not asked for has no columns.
        let asked = [
            (true, COLUMNS),
            (view.origins.is_some(), ORIGIN_COLUMNS),
            (view.places.is_some(), PLACE_COLUMNS),
        ];
        let columns = || asked.iter().filter(|(asked, _)| *asked).flat_map(|(_, columns)| *columns);
        table.write_record(columns().map(|(title, _)| title)).map_err(as_io)?;
        let hops = view.path.hops().iter();
        let numbered = hops.flat_map(|hop| {
            let at = |query| ProbeRef::Hop { ttl: hop.ttl, query };
            (0..)
                .zip(&hop.probes)
                .map(move |(query, it)| (at(query), hop.ttl, u32::from(query) + 1, it))
        });
        // A scout that is no hop's was the last probe of all, and is past the end of the path.
        let queries = u32::from(view.config.queries);
        let scout = view.path.scout.iter();
        let scout = scout.map(|scout| (ProbeRef::Scout, scout.ttl, queries, scout));
        for (at, ttl, query, probe) in numbered.chain(scout) {
            let row = Row::of(at, (ttl, query), probe, view, self.numeric);
            table.write_record(columns().map(|(_, value)| value(&row))).map_err(as_io)?;
        }
        table.flush()
    }
}

/// Converts an error and keeps its kind, so that a closed pipe is recognised.
pub(super) fn as_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// What the columns are made of.
struct Row<'a> {
    view: View<'a>,
    numeric: bool,
    at: ProbeRef,
    ttl: u8,
    query: u32,
    probe: &'a Probe,
    identity: Identity,
    reply: Option<&'a Reply>,
}

type Column = (&'static str, fn(&Row<'_>) -> String);

const COLUMNS: &[Column] = &[
    ("source", |row| row.view.config.source.to_string()),
    ("target", |row| row.view.config.target.to_string()),
    ("ttl", |row| row.ttl.to_string()),
    ("query", |row| row.query.to_string()),
    ("outcome", |row| rows::outcome(row.probe, row.past_end()).to_owned()),
    // Sent before it was known that the path ends earlier: the text leaves it out.
    ("past_end", |row| row.past_end().to_string()),
    ("sent_ns", |row| some(rows::sent(row.probe).map(|(at, _)| Timestamp::nanos(at)))),
    ("frame", |row| some(rows::sent(row.probe).map(|(_, frame)| frame))),
    ("source_port", |row| some(row.identity.source_port)),
    ("destination_port", |row| some(row.identity.destination_port)),
    ("checksum", |row| some(row.identity.checksum)),
    ("tcp_sequence", |row| some(row.identity.tcp_sequence)),
    ("identifier", |row| some(row.identity.identifier)),
    ("sequence", |row| some(row.identity.sequence)),
    ("ip_id", |row| some(row.identity.ip_id.known())),
    ("responder", |row| some(row.reply.map(|reply| reply.responder))),
    ("name", |row| cell(row.name())),
    ("rtt_ns", |row| some(row.reply.and_then(Reply::measured).map(Span::nanos))),
    ("reply_ttl", |row| some(row.reply.map(|reply| reply.ttl))),
    ("reply_tos", |row| some(row.reply.map(|reply| reply.tos))),
    ("reply_ip_id", |row| some(row.reply.and_then(|reply| reply.ip_id))),
    ("reply_len", |row| some(row.reply.and_then(|reply| reply.len))),
    ("kind", |row| some(row.said().map(|said| said.kind))),
    ("icmp_type", |row| some(row.said().and_then(|said| said.icmp_type))),
    ("icmp_code", |row| some(row.said().and_then(|said| said.icmp_code))),
    ("next_hop_mtu", |row| some(row.said().and_then(|said| said.mtu))),
    ("tcp_flags", |row| some(row.said().and_then(|said| said.tcp_flags))),
    ("annotation", |row| some(row.reply.and_then(|reply| annotation(reply.kind)))),
    ("quoted_ttl", |row| some(row.reply.and_then(|reply| reply.quote.map(|quote| quote.ttl)))),
    ("quoted_tos", |row| some(row.reply.and_then(|reply| reply.quote).map(|quote| quote.tos))),
    ("extension", |row| {
        let extension = row.reply.and_then(|reply| reply.extension.as_deref());
        extension.map_or_else(String::new, |it| Untrusted::from(it.to_string()).cell())
    }),
    ("rewritten", |row| some(row.reply.map(|reply| reply.rewritten))),
    ("late", |row| some(row.reply.map(|reply| reply.late))),
    ("reply_frame", |row| some(row.reply.map(|reply| reply.frame))),
    ("duplicates", |row| row.further(true).to_string()),
    ("more_replies", |row| (row.further(false) + row.probe.replies_dropped).to_string()),
    // Why there is no RTT: the clock was set between probe and reply, or it is negative.
    ("clock_fault", |row| some(row.reply.map(|reply| reply.clock_fault))),
];

const ORIGIN_COLUMNS: &[Column] = &[
    // With a blank between them; empty if nobody announces the address, or if that could not be determined.
    ("asn", |row| {
        let numbers = row.origin().and_then(|origin| origin.asn).unwrap_or_default();
        numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
    }),
    ("as_name", |row| cell(row.origin().and_then(|origin| origin.as_name))),
];

const PLACE_COLUMNS: &[Column] = &[
    ("country", |row| cell(row.place().and_then(|place| place.country))),
    ("city", |row| cell(row.place().and_then(|place| place.city))),
];

impl<'a> Row<'a> {
    fn of(
        at: ProbeRef,
        (ttl, query): (u8, u32),
        probe: &'a Probe,
        view: View<'a>,
        numeric: bool,
    ) -> Self {
        let late = || probe.replies.iter().find(|reply| reply.late);
        let (identity, reply) = (Identity::of(probe, view.config), probe.answer().or_else(late));
        Self { view, numeric, at, ttl, query, probe, identity, reply }
    }

    fn past_end(&self) -> bool {
        self.view.path.is_past_end(self.at)
    }

    fn name(&self) -> Option<&'a Untrusted> {
        rows::name(self.view, self.reply?.responder, self.numeric)
    }

    fn origin(&self) -> Option<OriginRow<'a>> {
        OriginRow::of(self.view, self.reply?.responder)
    }

    fn place(&self) -> Option<PlaceRow<'a>> {
        PlaceRow::of(self.view, self.reply?.responder)
    }

    fn said(&self) -> Option<Said> {
        self.reply.map(|reply| Said::by(reply.kind))
    }

    /// How many replies there are besides the one in the row that are duplicates, or are none.
    fn further(&self, duplicate: bool) -> u64 {
        let shown = self.reply.map(|reply| reply.frame);
        let further = self.probe.replies.iter().filter(|reply| Some(reply.frame) != shown);
        further.map(|reply| u64::from(reply.duplicate == duplicate)).sum()
    }
}

fn some(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Text from outside, if there is any.
fn cell(text: Option<&Untrusted>) -> String {
    text.map_or_else(String::new, Untrusted::cell)
}
