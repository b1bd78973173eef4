//! The probes that wait for an answer: when each times out, and until when it holds a place in flight.
//!
//! Invariant (law 4): deadlines fire at their own time, in their order, and depend on nothing but
//! configuration and what was captured before them.
//!
//! What lies beyond the farthest hop that answered may be much farther away in time than what is known tells. So while nothing
//! has ended the path, nothing there times out before the first probe that waits there has waited for
//! [that time](super::config::Wait::far). All others there wait in parallel, and once that time has passed, no probe waits as long again.
//! Where the probes in flight are limited, they cannot wait in parallel: each waits that time there, but holds a place in
//! flight no longer than elsewhere, and what comes beyond the target costs no more time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::config::TraceConfig;
use super::path::{Path, ProbeRef};
use crate::time::{Span, Timestamp};

/// An unanswered probe counts as silent after this multiple of the largest RTT seen, plus this time.
const SILENCE: (f64, Span) = (3.0, Span::from_millis(50));

/// Probes captured on their way out and not settled.
///
/// All probes of a hop are waited for equally long at a time, so that the one sent first is the first to time out. So
/// a hop keeps them by when they were sent, and what a frame costs does not grow with how many wait.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    first_ttl: u8,
    /// The scout and confirmations, then those of each hop, then size probes with a TTL of none. One that was answered stays until it is found,
    /// or until most are such.
    queues: Vec<Queue>,
    /// How many wait, and how many entries there are of those that do not.
    live: usize,
    stale: usize,
    /// The probes that time out: room for [`expired`](Self::expired).
    due: Vec<(Timestamp, ProbeRef)>,
    /// The largest RTT seen.
    largest_rtt: Option<Span>,
    /// The earliest deadline among them; stale when `changed`, or with another open end than this.
    next_deadline: Option<Timestamp>,
    open_beyond: Option<u8>,
    changed: bool,
    /// What lies beyond the farthest responder has had its time.
    far_is_over: bool,
}

/// The probes beyond the farthest hop that answered.
#[derive(Clone, Copy, Debug)]
struct Far {
    /// The index of their first queue; the scout is one of them, too.
    first: usize,
    wait: FarWait,
}

/// How much longer they are waited for than others.
#[derive(Clone, Copy, Debug)]
enum FarWait {
    /// All of them until then at least.
    Until(Timestamp),
    /// Each of them for at least this time.
    Each(Span),
}

/// The probes of a hop that wait, the first sent first.
#[derive(Clone, Debug)]
struct Queue {
    sent: BinaryHeap<Reverse<(Timestamp, ProbeRef)>>,
    /// The hop's [first RTT](super::path::Hop::first_rtt), and the probe that has it.
    first_rtt: Option<(u16, Span)>,
}

/// Without a frame of its own it has no deadline.
const NEVER: Timestamp = Timestamp::from_nanos(i64::MAX);
/// Entries of probes that no longer wait are removed only if there are at least this many.
const FEW: usize = 64;

impl Waiting {
    /// No deadlines yet, with room for `reserved` probes in all and `per_hop` in each of the first `hops`.
    pub(super) fn new(
        config: &TraceConfig,
        reserved: usize,
        (hops, per_hop): (usize, usize),
    ) -> Self {
        let room = |index| if index <= hops { per_hop } else { 0 };
        let queue = |index| Queue { sent: BinaryHeap::with_capacity(room(index)), first_rtt: None };
        Self {
            first_ttl: config.first_ttl,
            queues: (0..config.hops() + 2).map(queue).collect(),
            live: 0,
            stale: 0,
            due: Vec::with_capacity(reserved),
            largest_rtt: None,
            next_deadline: None,
            open_beyond: None,
            changed: false,
            far_is_over: false,
        }
    }

    /// Nothing waits in a round that is over.
    pub(super) fn rest(&mut self) {
        (self.queues, self.due) = (Vec::new(), Vec::new());
    }

    /// Ends the longer wait for hops that may be far.
    pub(super) fn leave_far(&mut self) {
        self.far_is_over = true;
    }

    /// Where the probes with this TTL are; the scout is apart, and so are confirmations: how long they are waited for does not
    /// depend on answers that are in doubt.
    fn index(&self, at: ProbeRef, ttl: u8) -> usize {
        let hop = usize::from(ttl.saturating_sub(self.first_ttl)) + 1;
        let apart = matches!(at, ProbeRef::Scout | ProbeRef::Confirmation(_));
        if apart { 0 } else { hop.min(self.queues.len().saturating_sub(1)) }
    }

    /// One more.
    pub(super) fn push(&mut self, at: ProbeRef, path: &Path) {
        let Some(probe) = path.probe(at) else { return };
        let index = self.index(at, probe.ttl);
        let Some(queue) = self.queues.get_mut(index) else { return };
        queue.sent.push(Reverse((probe.sent.unwrap_or(NEVER), at)));
        self.live += 1;
        self.changed = true;
    }

    /// Makes a probe wait again, because its answer is no longer believed.
    pub(super) fn push_again(&mut self, at: ProbeRef, path: &Path) {
        let Some(probe) = path.probe(at) else { return };
        let index = self.index(at, probe.ttl);
        if let Some(queue) = self.queues.get_mut(index) {
            let before = queue.sent.len();
            queue.sent.retain(|Reverse((_, other))| *other != at);
            self.stale = self.stale.saturating_sub(before - queue.sent.len());
            queue.first_rtt = at.hop_ttl().and_then(|ttl| path.hop(ttl)?.first_rtt());
        }
        self.push(at, path);
    }

    /// Removes an answered probe.
    pub(super) fn remove(&mut self, at: ProbeRef, rtt: Option<Span>, path: &Path) {
        if let ProbeRef::Hop { ttl, query } = at
            && let index = self.index(at, ttl)
            && let Some(rtt) = rtt.filter(|rtt| *rtt > Span::ZERO)
            && let Some(Queue { first_rtt, .. }) = self.queues.get_mut(index)
            && first_rtt.is_none_or(|(first, _)| query < first)
        {
            *first_rtt = Some((query, rtt));
        }
        (self.live, self.stale) = (self.live.saturating_sub(1), self.stale + 1);
        if self.stale > self.live + FEW {
            self.queues.iter_mut().for_each(|queue| queue.sent.retain(|it| waits(it, path)));
            self.stale = 0;
        }
        self.changed = true;
    }

    /// An RTT was seen, on which deadlines may depend once its probe is settled.
    pub(super) fn note_rtt(&mut self, rtt: Option<Span>) {
        self.largest_rtt = self.largest_rtt.max(rtt);
    }

    /// All of them.
    pub(super) fn all(&self, path: &Path) -> impl Iterator<Item = ProbeRef> {
        let entries = self.queues.iter().flat_map(|queue| &queue.sent);
        entries.filter(|it| waits(it, path)).map(|Reverse((_, at))| *at)
    }

    /// Whether all of them are such.
    pub(super) fn are_all(&self, path: &Path, such: impl Fn(ProbeRef) -> bool) -> bool {
        self.all(path).all(such)
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
        let far = self.far(path, config);
        self.for_each_queue(far, path, config, |queue, (patience, until), stale| {
            while let Some(entry) = queue.next(path, stale) {
                let Reverse((sent, at)) = entry;
                let deadline = sent.after(patience).max(until);
                if deadline > now {
                    break;
                }
                due.push((deadline, at));
                queue.sent.pop();
            }
        });
        due.sort_unstable();
        self.far_is_over |=
            far.is_some_and(|far| matches!(far.wait, FarWait::Until(until) if until <= now));
        self.live = self.live.saturating_sub(due.len());
        self.changed = true;
        due
    }

    /// Keeps the allocation for the next time.
    pub(super) fn reuse(&mut self, mut due: Vec<(Timestamp, ProbeRef)>) {
        due.clear();
        self.due = due;
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&mut self, path: &Path, config: &TraceConfig) -> Option<Timestamp> {
        if self.changed || self.open_beyond != path.open_beyond() {
            let mut earliest: Option<Timestamp> = None;
            let far = self.far(path, config);
            self.for_each_queue(far, path, config, |queue, (patience, until), stale| {
                let first = queue.next(path, stale);
                let deadline = first.map(|Reverse((sent, _))| sent.after(patience).max(until));
                earliest = earliest.into_iter().chain(deadline).min();
            });
            self.next_deadline = earliest;
            self.open_beyond = path.open_beyond();
            self.changed = false;
        }
        self.next_deadline
    }

    /// The farthest hop that answered, and how long what lies beyond is waited for, if that may be far.
    fn beyond(&self, path: &Path, config: &TraceConfig) -> Option<(u8, Span)> {
        let farthest = path.open_beyond().filter(|_| !self.far_is_over)?;
        let (far, _) = config.wait.far().zip(self.largest_rtt)?;
        Some((farthest, far))
    }

    /// Which probes lie there, and how much longer they are waited for.
    fn far(&mut self, path: &Path, config: &TraceConfig) -> Option<Far> {
        let (farthest, far) = self.beyond(path, config)?;
        let first = farthest.checked_sub(self.first_ttl).map_or(1, |hop| usize::from(hop) + 2);
        if config.in_flight_exact {
            return Some(Far { first, wait: FarWait::Each(far) });
        }
        let (scout, hops) = self.queues.split_first_mut()?;
        let beyond = hops.iter_mut().skip(first - 1).chain([scout]);
        let sent = beyond.filter_map(|queue| queue.next(path, &mut self.stale));
        let earliest = sent.map(|Reverse((sent, _))| sent).min()?;
        Some(Far { first, wait: FarWait::Until(earliest.after(far)) })
    }

    /// Shows each queue that is not empty, how long its probes are waited for, and until when at least.
    fn for_each_queue(
        &mut self,
        far: Option<Far>,
        path: &Path,
        config: &TraceConfig,
        mut show: impl FnMut(&mut Queue, (Span, Timestamp), &mut usize),
    ) {
        let (wait, largest) = (config.wait, self.largest_rtt);
        let waited = |index: usize, patience: Span| {
            let far = far.filter(|far| index == 0 || index >= far.first);
            match far.map(|far| far.wait) {
                None => (patience, Timestamp::from_nanos(i64::MIN)),
                Some(FarWait::Until(until)) => (patience, until),
                Some(FarWait::Each(far)) => (patience.max(far), Timestamp::from_nanos(i64::MIN)),
            }
        };
        // Whoever is at the end of the path answers what goes beyond it, too.
        let (first_ttl, end, end_rtt) = (self.first_ttl, path.last_ttl(), path.end_rtt());
        let at_end =
            |index: usize| end.is_some_and(|end| index >= end.saturating_sub(first_ttl).into());
        let Some((scout, hops)) = self.queues.split_first_mut() else { return };
        let mut near = None;
        // From the last hop on: what answers beyond a hop is known when it is its turn.
        for (index, queue) in hops.iter_mut().enumerate().rev() {
            let here = queue.first_rtt.map(|(_, rtt)| rtt);
            let here = here.or(end_rtt.filter(|_| at_end(index)));
            if !queue.sent.is_empty() {
                let patience = wait.patience(here, near, largest);
                show(queue, waited(index + 1, patience), &mut self.stale);
            }
            near = here.or(near);
        }
        if !scout.sent.is_empty() {
            show(scout, waited(0, wait.patience(None, None, largest)), &mut self.stale);
        }
    }

    /// How many of them hold a place among those in flight.
    pub(super) fn under_way(&self, now: Timestamp, path: &Path, config: &TraceConfig) -> usize {
        let places = self.places(path, config);
        self.all(path).filter(|at| places(*at).is_none_or(|until| until > now)).count()
    }

    /// How many of them are probes of hops beyond the farthest router that answered and before the last hop.
    pub(super) fn beyond_farthest(&self, path: &Path, config: &TraceConfig) -> usize {
        let is_beyond = |ttl: u8| ttl > path.farthest && ttl < config.max_ttl;
        let beyond = |at: &ProbeRef| at.hop_ttl().is_some_and(is_beyond);
        self.all(path).filter(beyond).count()
    }

    /// The largest RTT seen.
    pub(super) fn largest_rtt(&self) -> Option<Span> {
        self.largest_rtt
    }

    /// When, after `now`, the next place becomes free because its probe has been silent for long.
    pub(super) fn next_silent(
        &self,
        now: Timestamp,
        path: &Path,
        config: &TraceConfig,
    ) -> Option<Timestamp> {
        let places = self.places(path, config);
        self.all(path).filter_map(places).filter(|until| *until > now).min()
    }

    /// Until when each holds its place, if not for as long as an answer is waited for.
    fn places<'a>(
        &self,
        path: &'a Path,
        config: &TraceConfig,
    ) -> impl Fn(ProbeRef) -> Option<Timestamp> + 'a {
        let everywhere = self.silence(config).map(|silence| (0, silence));
        let exact = || self.beyond(path, config).filter(|_| config.in_flight_exact);
        let patience = config.wait.patience(None, None, self.largest_rtt);
        let beyond = everywhere
            .or_else(|| exact().map(|(farthest, _)| (farthest.saturating_add(1), patience)))
            .filter(|_| !config.is_one_at_a_time());
        move |at| {
            let (probe, (first, holds)) = path.probe(at).zip(beyond)?;
            Some(probe.sent?.after(holds)).filter(|_| probe.ttl >= first)
        }
    }

    /// When they were sent.
    pub(super) fn since(&self, path: &Path) -> impl Iterator<Item = Timestamp> {
        self.all(path).filter_map(|at| path.probe(at)?.sent)
    }

    /// How long a probe holds its place, if that is not for as long as an answer is waited for.
    pub(super) fn silence(&self, config: &TraceConfig) -> Option<Span> {
        let (times, more) = SILENCE;
        let rtt = self.largest_rtt.filter(|_| !config.in_flight_exact)?;
        Some(Span::from_nanos(rtt.scaled(times).nanos().saturating_add(more.nanos())))
    }
}

impl Queue {
    /// The first probe that still waits.
    fn next(&mut self, path: &Path, stale: &mut usize) -> Option<Reverse<(Timestamp, ProbeRef)>> {
        while let Some(entry) = self.sent.peek() {
            if waits(entry, path) {
                return Some(*entry);
            }
            self.sent.pop();
            *stale = stale.saturating_sub(1);
        }
        None
    }
}

fn waits(Reverse((_, at)): &Reverse<(Timestamp, ProbeRef)>, path: &Path) -> bool {
    path.probe(*at).is_some_and(|probe| !probe.is_settled())
}
