//! Ends of a path that rest on answers alone which quote nothing.
//!
//! Nothing contradicts such an answer yet, but what would may only be on its way: somebody who has found out our port answers
//! a probe to a near router before that does. So the end is *proven* by a router that says of the TTL before that it ran
//! out, by a quote, or by earlier rounds; unless somebody is seen to guess: by an answer to a probe that nobody sent, or one more
//! answer to a probe that has one. An end without proof is confirmed: a second probe, from a port that nobody has seen, goes to
//! that TTL, as soon as the probes before it have been waited for for twice as long as the answer took. So no trace waits
//! longer whose last routers are silent.
//!
//! If that probe is lost where answers were repeated, no answer of the trace is believed that no second probe confirms.

use super::path::ProbeRef;
use super::tracer::Tracer;
use crate::time::{Span, Timestamp};

/// Unanswered probes to hops before the end count as silent after this multiple of the answer's RTT.
const SILENT: f64 = 2.0;

impl Tracer {
    /// Where the path ends by answers that need confirmation, if no second probe was handed out yet; and from when on
    /// that may be.
    pub(super) fn end_to_confirm(&self) -> Option<(u8, Timestamp)> {
        let schedule = self.schedule.as_ref().filter(|_| self.config.confirmation.is_some())?;
        let end = self.path.unproven_end(self.guessed || self.path.totals.contradicted > 0)?;
        if schedule.has_confirmed(end) {
            return None;
        }
        let took = self.path.hop(end).and_then(|hop| {
            let answers = hop.probes.iter().filter_map(|probe| probe.answer());
            answers.filter(|it| it.is_answer()).filter_map(super::reply::Reply::measured).min()
        });
        let silent = took.unwrap_or(Span::ZERO).scaled(SILENT);
        let before =
            self.waiting.all(&self.path).filter(|at| at.hop_ttl().is_some_and(|ttl| ttl < end));
        let sent = before.filter_map(|at| self.path.probe(at)?.sent).max();
        Some((end, sent.map_or(self.now(), |sent| sent.after(silent))))
    }

    /// This probe timed out. Says whether answers are withdrawn for that.
    pub(super) fn note_lost(&mut self, at: ProbeRef) -> bool {
        let doubts = &self.path.doubts;
        if !matches!(at, ProbeRef::Confirmation(_)) || !doubts.repeated || doubts.distrusting {
            return false;
        }
        let ttl = self.path.probe(at).map(|probe| probe.ttl);
        if self.is_over() || self.path.unproven_end(true) != ttl || ttl.is_none() {
            return false;
        }
        self.path.doubts.distrusting = true;
        self.withdraw_contradicted();
        true
    }
}
