//! The report of traceroute(8), to the letter, written as the probes are settled.
//!
//! Probes are written in order of TTL and query: one that is not settled, or about whose responder
//! something is still being looked up, holds back those beyond it. A late reply does not change what was
//! written of its probe.
//!
//! Behind the address stands in square brackets what traceroute's `-A` writes there, and behind that, in
//! curly ones, country and city: ` {US/New_York}`. Nothing else in a traceroute is in curly brackets, and
//! with `_` for a blank and `?` for what is neither letter, digit, `-` nor `.`, it is one word that no
//! reader takes for an address, a host, a time, or a system's number.

use std::io::{self, Write};
use std::net::IpAddr;

use super::annotation::annotation;
use super::rows::PlaceRow;
use super::{INDENT, Renderer, View, mtu};
use crate::enrich::lookups::Lookup;
use crate::enrich::origins::{Origin, Origins};
use crate::enrich::places::Places;
use crate::time::Span;
use crate::trace::branches;
use crate::trace::loops::Loop;
use crate::trace::mtu::Findings;
use crate::trace::path::Contradiction;
use crate::trace::reply::return_path;
use crate::trace::{Event, Hop, Path, Probe, Reply, ReplyKind, TraceConfig};
use crate::untrusted::Untrusted;

/// What follows a time that is not to be believed, or stands in its place where there is none.
pub(super) const CLOCK_FAULT: &str = "!clock";

/// What stands for a probe that is not in the capture: nobody was silent, for nobody was asked.
const NOT_SENT: &str = "-";

/// Traceroute's text.
pub struct Text<W> {
    out: W,
    style: Style,
    ttl: u8,
    query: u16,
    /// What was last written of a responder on this line.
    shown: Option<Shown>,
    /// Hops from which datagrams have to be so short, where that was not written yet.
    marks: Vec<(u8, u16)>,
}

/// What is written about the sender of a reply; repeated where it differs from the reply before.
#[derive(PartialEq, Eq)]
struct Shown {
    responder: IpAddr,
    extension: Option<String>,
    /// The TTL that it arrived with, where that counts.
    ttl: Option<u8>,
}

/// What traceroute's options add to the text or leave out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// `-n`: addresses without names.
    pub numeric: bool,
    /// `-e`: what routers append to their replies (RFC 4884).
    pub extensions: bool,
    /// `--back`: estimated length of the return path, where it differs from the forward path.
    pub back: bool,
}

/// What to write next.
enum Step<'a> {
    Write(Option<&'a Reply>),
    /// A probe that was not captured on its way out.
    Missing,
    NextQuery,
    NextHop,
    Wait,
}

impl<W: Write> Text<W> {
    /// A report to `out`.
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, ttl: 0, query: 0, shown: None, marks: Vec::new() }
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
                Step::Missing => {
                    self.begin_line()?;
                    write!(self.out, " {NOT_SENT}")?;
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
        let hop = view.path.reported().iter().find(|hop| hop.ttl == self.ttl);
        // Of the path as far as it goes, probes that never left have a place too.
        let kept = ended && view.never_sent > 0;
        if hop.is_none() && !(kept && view.path.end.is_some_and(|end| self.ttl <= end)) {
            return Step::Wait;
        }
        if self.query >= view.config.queries {
            let last = view.path.end == Some(self.ttl) || self.ttl == view.config.max_ttl;
            // What is the last hop may still change: see `Path::end`.
            return if last { Step::Wait } else { Step::NextHop };
        }
        let Some(hop) = hop else { return Step::Missing };
        match hop.probes.get(usize::from(self.query)) {
            // What is not quoted may yet be contradicted.
            Some(probe) if !ended && probe.answer().is_some_and(|it| it.quote.is_none()) => {
                Step::Wait
            }
            // With a scout all that lies beyond waits beside the others, and may turn out to be beyond the end.
            Some(probe) if !ended && probe.answer().is_none() && is_open(view, hop) => Step::Wait,
            Some(probe) if probe.is_settled() => self.written(probe, view),
            None if kept || ended && is_missing(view.path, hop, self.query) => Step::Missing,
            None if ended => Step::NextQuery,
            Some(_) | None => Step::Wait,
        }
    }

    fn written<'a>(&self, probe: &'a Probe, view: View<'a>) -> Step<'a> {
        let answer = probe.answer();
        let is_pending = |address| {
            let named = !self.style.numeric && view.names.lookup(address) == Lookup::Pending;
            let origin = |origins: &Origins| origins.lookup(address) == Lookup::Pending;
            let place = |places: &Places| places.lookup(address) == Lookup::Pending;
            named || view.origins.is_some_and(origin) || view.places.is_some_and(place)
        };
        match answer {
            Some(reply) if is_pending(reply.responder) => Step::Wait,
            _ => Step::Write(answer),
        }
    }

    fn begin_line(&mut self) -> io::Result<()> {
        if self.query == 0 { write!(self.out, "\n{:2} ", self.ttl) } else { Ok(()) }
    }

    fn write_probe(&mut self, reply: Option<&Reply>, view: View<'_>) -> io::Result<()> {
        self.begin_line()?;
        let Some(reply) = reply else { return write!(self.out, " *") };
        let extension = self.beside_address(reply);
        let ttl = self.style.back.then_some(reply.ttl);
        let shown = Shown { responder: reply.responder, extension, ttl };
        if self.shown.as_ref() != Some(&shown) {
            self.write_responder(reply.responder, view)?;
            if let Some(origins) = view.origins {
                write!(self.out, " [{}]", systems(&origins.lookup(reply.responder)))?;
            }
            if let Some(place) = PlaceRow::of(view, reply.responder).and_then(|it| word(&it)) {
                write!(self.out, " {{{place}}}")?;
            }
            if let Some(extension) = &shown.extension {
                write!(self.out, " <{extension}>")?;
            }
            let back = ttl.map(|ttl| return_path(ttl).1);
            if let Some(back) = back.filter(|back| *back != u16::from(self.ttl)) {
                write!(self.out, " '-{back}'")?;
            }
            self.shown = Some(shown);
        }
        if let Some(rtt) = reply.rtt.filter(|rtt| *rtt >= Span::ZERO) {
            write!(self.out, "  {rtt} ms")?;
        }
        if reply.clock_fault {
            write!(self.out, " {CLOCK_FAULT}")?;
        }
        if let Some(mtu) = self.mark() {
            write!(self.out, " F={mtu}")?;
        }
        match annotation(reply.kind) {
            Some(annotation) => write!(self.out, " {annotation}"),
            None => Ok(()),
        }
    }

    /// What is written of the path MTU at the first answer of a hop that needs shorter datagrams.
    fn mark(&mut self) -> Option<u16> {
        let due = self.marks.iter().take_while(|(ttl, _)| *ttl <= self.ttl).count();
        self.marks.drain(..due).next_back().map(|(_, mtu)| mtu)
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
            Lookup::Known(Some(name)) => write!(self.out, " {} ({address})", name.word()),
            _ => write!(self.out, " {address} ({address})"),
        }
    }
}

/// `AS1/AS2`, `*` if nobody announces the address, `!!` if that could not be determined.
pub(super) fn systems(origin: &Lookup<'_, Origin>) -> String {
    match origin {
        Lookup::Known(Some(Origin { numbers, .. })) if numbers.is_empty() => "*".to_owned(),
        Lookup::Known(Some(Origin { numbers, .. })) => {
            numbers.iter().map(|number| format!("AS{number}")).collect::<Vec<_>>().join("/")
        }
        _ => "!!".to_owned(),
    }
}

/// Country and city as one word, what is not known left out: `US/New_York`, `US`, `/New_York`.
pub(super) fn word(place: &PlaceRow<'_>) -> Option<String> {
    let city = place.city.map(|city| city.only(" -.").replace(' ', "_")).unwrap_or_default();
    match (place.country.map(Untrusted::word), city.as_str()) {
        (None, "") => None,
        (country, "") => country,
        (country, city) => Some(format!("{}/{city}", country.unwrap_or_default())),
    }
}

/// The line for the loop in which a path ends.
pub(super) fn loop_line(it: Loop) -> String {
    format!("{INDENT}{}", loop_words(it))
}

pub(super) fn loop_words(Loop { first, last, .. }: Loop) -> String {
    format!("loop: hops {first}-{last} repeat")
}

/// The line for hops beyond the end of the path.
pub(super) fn branches_line(path: &Path) -> Option<String> {
    let beyond = branches::beyond(path);
    let hop = |(ttl, routers): &(u8, Vec<IpAddr>)| {
        let routers: Vec<String> = routers.iter().map(ToString::to_string).collect();
        format!("hop {ttl}: {}", routers.join(" "))
    };
    let hops: Vec<String> = beyond.iter().map(hop).collect();
    let end = path.last_ttl().filter(|_| !hops.is_empty())?;
    Some(format!("{INDENT}branches: routers answer beyond hop {end} too: {}", hops.join(", ")))
}

/// An answer of the target, where it was reached but no line shows that.
fn unseen_answer(view: View<'_>) -> Option<(u8, &Reply)> {
    let path = view.path;
    let of_target = |ttl: u8, reply: &Reply| path.is_of_target(ttl, reply);
    let mut shown = path.reported().iter().flat_map(|hop| {
        hop.probes.iter().filter_map(Probe::answer).map(move |reply| (hop.ttl, reply))
    });
    if !path.reached() || shown.any(|(ttl, reply)| of_target(ttl, reply)) {
        return None;
    }
    let all = path.probes();
    let mut replies =
        all.flat_map(|(ttl, probe)| probe.replies.iter().map(move |reply| (ttl, reply)));
    replies.find(|(ttl, reply)| of_target(*ttl, reply))
}

/// The line for an answer of the target that no hop shows.
fn unseen_line(ttl: u8, reply: &Reply) -> String {
    let late = if reply.late { ", after its probe had timed out" } else { "" };
    let rtt = reply.rtt.map_or_else(String::new, |rtt| format!(" after {rtt} ms"));
    format!("{INDENT}reached: {} answered a probe with TTL {ttl}{rtt}{late}", reply.responder)
}

/// The line for answers that are not believed.
pub(super) fn contradicted_line(it: Contradiction) -> String {
    let Contradiction { ttl, responder, answers } = it;
    let answers = if answers == 1 { "an answer".into() } else { format!("{answers} answers") };
    format!(
        "{INDENT}contradicted: hop {ttl}: {answers} of {responder} not believed, other replies say otherwise"
    )
}

/// Whether nobody has answered at this hop or beyond, while hops wait beside each other and nothing has ended the path.
fn is_open(view: View<'_>, hop: &Hop) -> bool {
    view.config.has_scout() && view.path.open_beyond().is_some_and(|farthest| hop.ttl > farthest)
}

/// Whether a probe that is not there was meant to be sent: one of a later hop was captured. Of a tool that
/// asks one hop more often than another, that is sure only of the first.
fn is_missing(path: &Path, hop: &Hop, query: u16) -> bool {
    let followed = path.hops().last().is_some_and(|last| last.ttl > hop.ttl);
    followed && (!path.variable_queries || query == 0)
}

impl<W: Write> Renderer for Text<W> {
    fn begin(&mut self, config: &TraceConfig) -> io::Result<()> {
        self.ttl = config.first_ttl;
        write!(
            self.out,
            "traceroute to {} ({}), {} hops max, {} byte packets",
            config.target_name.word(),
            config.target,
            config.max_ttl,
            config.packet_len
        )?;
        self.out.flush()
    }

    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()> {
        match event {
            // What belongs at a hop is known after the last one.
            _ if view.config.mtu => Ok(()),
            Some(Event::Settled(_)) | None => self.advance(view, false),
            Some(_) => Ok(()),
        }
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        if view.config.mtu {
            self.marks = Findings::of(view.path, view.config).marks(view.config);
        }
        self.advance(view, true)?;
        writeln!(self.out)?;
        if let Some(looped) = view.path.looped {
            writeln!(self.out, "{}", loop_line(looped))?;
        }
        if let Some(line) = branches_line(view.path) {
            writeln!(self.out, "{line}")?;
        }
        if let Some((ttl, reply)) = unseen_answer(view) {
            writeln!(self.out, "{}", unseen_line(ttl, reply))?;
        }
        for contradiction in view.path.contradictions() {
            writeln!(self.out, "{}", contradicted_line(contradiction))?;
        }
        if view.config.mtu {
            write!(self.out, "{}", mtu::lines(view.path, view.config))?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::lookups::Lookups;

    #[test]
    fn systems_are_written_as_traceroute_writes_them() {
        let of = |origin: Option<Vec<u32>>| {
            let origin = origin.map(|numbers| Origin { numbers, name: Some("x".into()) });
            systems(&Lookups::given([((), origin)]).lookup(()))
        };
        assert_eq!(of(Some(vec![64500])), "AS64500");
        assert_eq!(of(Some(vec![64500, 64501])), "AS64500/AS64501");
        assert_eq!(of(Some(vec![])), "*");
        assert_eq!(of(None), "!!");
    }

    #[test]
    fn a_place_is_one_word() {
        for (country, city, expected) in [
            (Some("US"), Some("New York"), Some("US/New_York")),
            (Some("BR"), Some("S\u{e3}o Paulo"), Some("BR/S\u{e3}o_Paulo")),
            (Some("US"), None, Some("US")),
            (None, Some("12 ms * {x} 192.0.2.1 a::b"), Some("/12_ms_?_?x?_192.0.2.1_a??b")),
            (None, None, None),
        ] {
            let [country, city] = [country, city].map(|it| it.map(Untrusted::from));
            let place = PlaceRow { country: country.as_ref(), city: city.as_ref() };
            assert_eq!(word(&place).as_deref(), expected);
        }
    }
}
