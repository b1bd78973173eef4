//! The report as a stream: one JSON object a line, each written when it happens and flushed at once.
//! The fields are those of the JSON document, which `schema/trace.schema.json` describes.
//!
//! `begin` has the configuration, `sent` a probe, `replied` a reply, `settled` what became of a probe,
//! `placed` as which query of which hop the scout counts in the end (until then it has the TTL and the query
//! that it was sent with: the last of all), `contradicted` an answer that is not believed, which may have been a reply before,
//! `clock-step` that the clock was set, `end` the totals. A name may be learned at any time after the reply it belongs to, so that lines
//! with names in them would come in another order in every run. So `named` lines, one per responder
//! that has a name, stand before `end`, in the order in which the responders first replied. Where systems or
//! places are asked for, each responder has a line `attributed` or `located` there too.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::lines::Lines;
use super::mtu::MtuRow;
use super::rows::{
    self, AskedRow, BackRow, ClockStepRow, HeadRow, OriginRow, PlaceRow, ReplyRow, SentRow,
    TotalsRow,
};
use super::text::Style;
use super::{Renderer, View};
use crate::schema::Stop;
use crate::time::ClockStep;
use crate::trace::{Event, ProbeRef, TraceConfig};
use crate::untrusted::Untrusted;

/// The version of the lines' form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The stream of events.
pub struct Ndjson<W> {
    lines: Lines<W>,
    style: Style,
}

impl<W: Write> Ndjson<W> {
    /// Events to `out`; with [`Style::numeric`], without names.
    pub fn new(out: W, style: Style) -> Self {
        Self { lines: Lines::new(out), style }
    }

    fn sent(&mut self, at: ProbeRef, view: View<'_>) -> io::Result<()> {
        let Some(probe) = view.path.probe(at) else { return Ok(()) };
        let (ttl, query) = place(at, view);
        let len = view.path.size_probe(at).map(|size_probe| size_probe.len);
        let probe = SentRow::of(ttl, query, probe, view.config);
        self.lines.line(&Line::Sent { len, probe })
    }

    fn replied(&mut self, at: ProbeRef, index: usize, view: View<'_>) -> io::Result<()> {
        let probe = view.path.probe(at);
        let Some(reply) = probe.and_then(|probe| probe.replies.get(index)) else { return Ok(()) };
        let responder = reply.responder;
        self.lines.note(responder);
        let (ttl, query) = place(at, view);
        // How far the scout went is not known yet.
        let back = self.style.back.then(|| BackRow::of(reply, None));
        self.lines.line(&Line::Replied { ttl, query, responder, reply: ReplyRow::of(reply), back })
    }

    fn contradicted(&mut self, at: ProbeRef, index: usize, view: View<'_>) -> io::Result<()> {
        let probe = view.path.probe(at);
        let Some(answer) = probe.and_then(|it| it.contradicted.get(index)) else { return Ok(()) };
        let (ttl, query) = place(at, view);
        let (responder, reply) = (answer.responder, ReplyRow::of(answer));
        self.lines.line(&Line::Contradicted { ttl, query, responder, reply })
    }

    fn settled(&mut self, at: ProbeRef, view: View<'_>) -> io::Result<()> {
        let Some(probe) = view.path.probe(at) else { return Ok(()) };
        let reply_frame = probe.answer().map(|reply| reply.frame);
        let (ttl, query) = place(at, view);
        let outcome = rows::outcome(probe, probe.unawaited);
        self.lines.line(&Line::Settled { ttl, query, outcome, reply_frame })
    }

    fn placed(&mut self, at: ProbeRef, view: View<'_>) -> io::Result<()> {
        let Some(probe) = view.path.probe(at) else { return Ok(()) };
        let (ttl, query) = place(at, view);
        self.lines.line(&Line::Placed { ttl, query, frame: probe.frame })
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Begin {
        #[serde(flatten)]
        head: HeadRow<'a>,
        asked: AskedRow,
    },
    Sent {
        /// Of a size probe.
        #[serde(skip_serializing_if = "Option::is_none")]
        len: Option<u16>,
        #[serde(flatten)]
        probe: SentRow,
    },
    Replied {
        ttl: u8,
        query: u32,
        responder: IpAddr,
        #[serde(flatten)]
        reply: ReplyRow,
        #[serde(flatten)]
        back: Option<BackRow>,
    },
    Contradicted {
        ttl: u8,
        query: u32,
        responder: IpAddr,
        #[serde(flatten)]
        reply: ReplyRow,
    },
    Settled {
        ttl: u8,
        query: u32,
        outcome: &'static str,
        /// Of the reply that settled it.
        reply_frame: Option<u64>,
    },
    Placed {
        ttl: u8,
        query: u32,
        /// Of the scout.
        frame: Option<u64>,
    },
    ClockStep(ClockStepRow),
    Named {
        responder: IpAddr,
        name: &'a Untrusted,
    },
    /// Of every responder, where it is asked for.
    Attributed {
        responder: IpAddr,
        #[serde(flatten)]
        origin: OriginRow<'a>,
    },
    /// Of every responder, where it is asked for.
    Located {
        responder: IpAddr,
        #[serde(flatten)]
        place: PlaceRow<'a>,
    },
    End {
        #[serde(skip_serializing_if = "Option::is_none")]
        path_mtu: Option<MtuRow>,
        totals: TotalsRow,
        stop: Stop,
    },
}

/// TTL and query, which counts from 1 as everywhere in reports. The scout has those that it was sent with.
/// A size probe has its TTL, and its query comes after those of hops: size probes are counted through. A confirmation is query 0 of
/// its TTL.
pub(super) fn place(at: ProbeRef, view: View<'_>) -> (u8, u32) {
    let View { config, path, .. } = view;
    match at {
        ProbeRef::Scout => (config.max_ttl, u32::from(config.queries)),
        ProbeRef::SizeProbe(index) => {
            let query = u32::from(config.queries) + u32::from(index) + 1;
            (path.ttl_sent(at), query)
        }
        ProbeRef::Confirmation(_) => (path.ttl_sent(at), 0),
        ProbeRef::Hop { ttl, query } => (ttl, u32::from(query) + 1),
    }
}

impl<W: Write> Renderer for Ndjson<W> {
    fn begin(&mut self, config: &TraceConfig) -> io::Result<()> {
        self.lines.line(&Line::Begin {
            head: HeadRow::of("rtrace-events", VERSION, config),
            asked: AskedRow::of(config),
        })
    }

    fn clock_step(&mut self, step: &ClockStep) -> io::Result<()> {
        ClockStepRow::of(step).map_or(Ok(()), |row| self.lines.line(&Line::ClockStep(row)))
    }

    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()> {
        match event {
            Some(Event::Sent(at)) => self.sent(at, view),
            Some(Event::Replied(at, index)) => self.replied(at, index, view),
            Some(Event::Settled(at)) => self.settled(at, view),
            Some(Event::Contradicted(at, index)) => self.contradicted(at, index, view),
            Some(Event::Assigned { at, .. }) => self.placed(at, view),
            Some(Event::LateReply(..) | Event::Ended) | None => Ok(()),
        }
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        for responder in self.lines.take_responders() {
            if let Some(name) = rows::name(view, responder, self.style.numeric) {
                self.lines.line(&Line::Named { responder, name })?;
            }
            if let Some(origin) = OriginRow::of(view, responder) {
                self.lines.line(&Line::Attributed { responder, origin })?;
            }
            if let Some(place) = PlaceRow::of(view, responder) {
                self.lines.line(&Line::Located { responder, place })?;
            }
        }
        self.lines.line(&Line::End {
            path_mtu: MtuRow::of(view.path, view.config),
            totals: TotalsRow::of(view),
            stop: rows::stop(view),
        })
    }
}
