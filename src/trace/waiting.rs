//! The probes that wait for an answer: when each is given up, and until when it holds a place in flight.
//!
//! Invariant (law 4): deadlines fire at their own time, in their order, and depend on nothing but
//! configuration and what was captured before them.

use super::config::TraceConfig;
use super::path::{Hop, Path, ProbeRef};
use crate::time::{Span, Timestamp};

/// A probe without an answer counts as silent after so many times the largest RTT seen, and so much more.
const SILENCE: (f64, Span) = (3.0, Span::from_millis(50));

/// Probes captured on their way out and not settled.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    probes: Vec<ProbeRef>,
    /// Those of them that are to be given up: room for [`expired`](Self::expired).
    due: Vec<(Timestamp, ProbeRef)>,
    /// The largest RTT seen.
    largest_rtt: Option<Span>,
    /// The earliest deadline among them; stale when `changed`.
    next_deadline: Option<Timestamp>,
    changed: bool,
}

impl Waiting {
    /// None yet, with room for so many.
    pub(super) fn new(reserved: usize) -> Self {
        Self {
            probes: Vec::with_capacity(reserved),
            due: Vec::with_capacity(reserved),
            largest_rtt: None,
            next_deadline: None,
            changed: false,
        }
    }

    /// One more.
    pub(super) fn push(&mut self, at: ProbeRef) {
        self.probes.push(at);
        self.changed = true;
    }

    /// It waits no more.
    pub(super) fn remove(&mut self, at: ProbeRef) {
        self.probes.retain(|waiting| *waiting != at);
        self.changed = true;
    }

    /// An RTT was seen, on which deadlines may depend once its probe is settled.
    pub(super) fn note_rtt(&mut self, rtt: Option<Span>) {
        self.largest_rtt = self.largest_rtt.max(rtt);
    }

    /// Whether all of them are such.
    pub(super) fn all(&self, such: impl Fn(&ProbeRef) -> bool) -> bool {
        self.probes.iter().all(such)
    }

    /// Takes out those whose deadline has come, in the order of the deadlines. Give the list back with
    /// [`reuse`](Self::reuse).
    pub(super) fn expired(
        &mut self,
        now: Timestamp,
        path: &Path,
        config: &TraceConfig,
    ) -> Vec<(Timestamp, ProbeRef)> {
        let mut due = std::mem::take(&mut self.due);
        if self.next_deadline(path, config).is_none_or(|deadline| deadline > now) {
            return due;
        }
        let deadlines = self.probes.iter().map(|at| (self.deadline(*at, path, config), *at));
        due.extend(deadlines.filter(|(deadline, _)| *deadline <= now));
        due.sort_unstable();
        self.probes.retain(|at| due.iter().all(|(_, expired)| expired != at));
        self.changed = true;
        due
    }

    /// So that no room has to be made for them next time.
    pub(super) fn reuse(&mut self, mut due: Vec<(Timestamp, ProbeRef)>) {
        due.clear();
        self.due = due;
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&mut self, path: &Path, config: &TraceConfig) -> Option<Timestamp> {
        if self.changed {
            let deadlines = self.probes.iter().map(|at| self.deadline(*at, path, config));
            self.next_deadline = deadlines.min();
            self.changed = false;
        }
        self.next_deadline
    }

    fn deadline(&self, at: ProbeRef, path: &Path, config: &TraceConfig) -> Timestamp {
        let (hops, wait) = (path.hops(), config.wait);
        let Some(probe) = path.probe(at) else { return Timestamp::default() };
        let here = usize::from(probe.ttl.saturating_sub(config.first_ttl));
        if at == ProbeRef::SCOUT {
            return wait.deadline(probe, None, None, self.largest_rtt);
        }
        if probe.sent.is_none() {
            return Timestamp::from_nanos(i64::MAX);
        }
        // Looked for only where it counts: a hop that is watched for hours has many probes.
        let rtt = |factor: f64, hops: &[Hop]| {
            (factor > 0.0).then(|| hops.iter().find_map(Hop::first_rtt)).flatten()
        };
        let (own, later) = hops.split_at_checked(here + 1).unwrap_or((hops, &[]));
        let own = rtt(wait.here, own.get(here..).unwrap_or_default());
        wait.deadline(probe, own, rtt(wait.near, later), self.largest_rtt)
    }

    /// How many of them hold a place among those in flight.
    pub(super) fn under_way(&self, now: Timestamp, path: &Path, config: &TraceConfig) -> usize {
        let Some(silence) = self.silence(config) else { return self.probes.len() };
        let holds = |at: &&ProbeRef| silent_from(**at, path, silence) > Some(now);
        self.probes.iter().filter(holds).count()
    }

    /// When, after `now`, the next place becomes free because its probe has been silent for long.
    pub(super) fn next_silent(
        &self,
        now: Timestamp,
        path: &Path,
        config: &TraceConfig,
    ) -> Option<Timestamp> {
        let silence = self.silence(config)?;
        let silent = self.probes.iter().filter_map(|at| silent_from(*at, path, silence));
        silent.filter(|from| *from > now).min()
    }

    /// When they were sent.
    pub(super) fn since(&self, path: &Path) -> impl Iterator<Item = Timestamp> {
        self.probes.iter().filter_map(|at| path.probe(*at)?.sent)
    }

    /// How long a probe holds its place, if that is not for as long as an answer is waited for.
    pub(super) fn silence(&self, config: &TraceConfig) -> Option<Span> {
        let (times, more) = SILENCE;
        let rtt = self.largest_rtt.filter(|_| !config.in_flight_exact)?;
        Some(Span::from_nanos(rtt.scaled(times).nanos().saturating_add(more.nanos())))
    }
}

fn silent_from(at: ProbeRef, path: &Path, silence: Span) -> Option<Timestamp> {
    Some(path.probe(at)?.sent?.after(silence))
}
