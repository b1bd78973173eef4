//! The report of traceroute(8), to the letter, written as the probes are settled.
//!
//! Probes are written in order of TTL and query: one that is not settled, or whose responder's name
//! is still being looked up, holds back those behind it. A late reply does not change what was
//! written of its probe.

use std::io::{self, Write};
use std::net::IpAddr;

use super::annotation::annotation;
use super::{Renderer, View};
use crate::enrich::names::Lookup;
use crate::trace::{Event, Hop, Path, Probe, Reply, ReplyKind, TraceConfig};

/// Traceroute's text.
pub struct Text<W> {
    out: W,
    style: Style,
    ttl: u8,
    query: u16,
    /// The responder and the extension that were last written on this line.
    shown: Option<(IpAddr, Option<String>)>,
}

/// What traceroute's options add to the text or leave out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// `-n`: addresses without names.
    pub numeric: bool,
    /// `-e`: what routers append to their replies (RFC 4884).
    pub extensions: bool,
}

/// What is to be written next.
enum Step<'a> {
    Write(Option<&'a Reply>),
    NextQuery,
    NextHop,
    Wait,
}

impl<W: Write> Text<W> {
    /// A report to `out`.
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, ttl: 0, query: 0, shown: None }
    }

    fn advance(&mut self, view: View<'_>, ended: bool) -> io::Result<()> {
        let mut wrote = false;
        loop {
            match self.step(view, ended) {
                Step::Write(reply) => {
                    self.write_probe(reply, view)?;
                    self.query += 1;
                    wrote = true;
                }
                Step::NextQuery => self.query += 1,
                Step::NextHop => {
                    (self.ttl, self.query, self.shown) = (self.ttl.saturating_add(1), 0, None);
                }
                Step::Wait => break,
            }
        }
        if wrote { self.out.flush() } else { Ok(()) }
    }

    fn step<'a>(&self, view: View<'a>, ended: bool) -> Step<'a> {
        let Some(hop) = view.path.reported().iter().find(|hop| hop.ttl == self.ttl) else {
            return Step::Wait;
        };
        if self.query >= view.config.queries {
            let last = view.path.end == Some(self.ttl) || self.ttl == view.config.max_ttl;
            // What is the last hop may still change: see `Path::end`.
            return if last { Step::Wait } else { Step::NextHop };
        }
        match hop.probes.get(usize::from(self.query)) {
            Some(probe) if probe.is_settled() => self.written(probe, view),
            None if ended && is_missing(view.path, hop, self.query) => Step::Write(None),
            None if ended => Step::NextQuery,
            Some(_) | None => Step::Wait,
        }
    }

    fn written<'a>(&self, probe: &'a Probe, view: View<'a>) -> Step<'a> {
        let answer = probe.answer();
        let unnamed = answer.filter(|_| !self.style.numeric).map(|reply| reply.responder);
        match unnamed.map(|address| view.names.lookup(address)) {
            Some(Lookup::Pending) => Step::Wait,
            _ => Step::Write(answer),
        }
    }

    fn write_probe(&mut self, reply: Option<&Reply>, view: View<'_>) -> io::Result<()> {
        if self.query == 0 {
            write!(self.out, "\n{:2} ", self.ttl)?;
        }
        let Some(reply) = reply else { return write!(self.out, " *") };
        let extension = self.beside_address(reply);
        if self.shown.as_ref() != Some(&(reply.responder, extension.clone())) {
            self.write_responder(reply.responder, view)?;
            if let Some(extension) = &extension {
                write!(self.out, " <{extension}>")?;
            }
            self.shown = Some((reply.responder, extension));
        }
        if let Some(rtt) = reply.rtt {
            write!(self.out, "  {rtt} ms")?;
        }
        match annotation(reply.kind) {
            Some(annotation) => write!(self.out, " {annotation}"),
            None => Ok(()),
        }
    }

    /// What stands in angle brackets: the flags of a TCP answer, or what a router appended.
    fn beside_address(&self, reply: &Reply) -> Option<String> {
        if let ReplyKind::Answer { tcp_flags: Some(flags) } = reply.kind {
            return Some(flags.to_string());
        }
        let extension = reply.extension.as_deref().filter(|_| self.style.extensions);
        extension.filter(|it| it.credible()).map(ToString::to_string)
    }

    fn write_responder(&mut self, address: IpAddr, view: View<'_>) -> io::Result<()> {
        if self.style.numeric {
            return write!(self.out, " {address}");
        }
        match view.names.lookup(address) {
            Lookup::Known(Some(name)) => write!(self.out, " {name} ({address})"),
            _ => write!(self.out, " {address} ({address})"),
        }
    }
}

/// A host name as it was typed, which a recording may also have made up: what no host name has, and
/// what could steer a terminal, is not let through.
pub(super) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.:%".contains(c) { c } else { '?' }).collect()
}

/// Whether a probe that is not there was meant to be sent: one of a later hop was captured. Of a tool that
/// asks one hop more often than another, that is sure only of the first.
fn is_missing(path: &Path, hop: &Hop, query: u16) -> bool {
    let followed = path.hops().last().is_some_and(|last| last.ttl > hop.ttl);
    followed && (!path.uneven || query == 0)
}

impl<W: Write> Renderer for Text<W> {
    fn begin(&mut self, config: &TraceConfig) -> io::Result<()> {
        self.ttl = config.first_ttl;
        write!(
            self.out,
            "traceroute to {} ({}), {} hops max, {} byte packets",
            plain(&config.target_name),
            config.target,
            config.max_ttl,
            config.packet_len
        )?;
        self.out.flush()
    }

    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()> {
        match event {
            Some(Event::Settled(_)) | None => self.advance(view, false),
            Some(_) => Ok(()),
        }
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        self.advance(view, true)?;
        writeln!(self.out)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_target_from_a_recording_cannot_steer_a_terminal() {
        assert_eq!(plain("bücher.example"), "bücher.example");
        assert_eq!(plain("a\x1b[2J\u{202e}(b) \n"), "a??2J??b???");
    }
}
