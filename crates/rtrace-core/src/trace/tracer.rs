//! The tracer: it takes frames and times, and gives events and the path.

mod taking;

use std::collections::VecDeque;

use crate::probe::{Flow, ProbeKey, Transmit};
use crate::time::{ClockStep, Span, Timestamp};

use super::belief::{Belief, Stray};
use super::config::{ConfigError, RESERVED, RESERVED_WATCHING, TraceConfig};
use super::correlate::Correlator;
use super::datagram::{Datagram, Packet};
use super::deadlines::Waiting;
use super::engine::Engine;
use super::event::{Disposition, Event};
use super::path::{Outcome, Path, Probe, ProbeRef, Round};
use super::probe_selector::ProbeSelector;
use super::reply::return_path;
use super::rewritten::Mark;
use super::schedule::{Schedule, Shown};

/// A trace in progress. See the [module](super) for what its path depends on.
#[derive(Clone, Debug)]
pub struct Tracer {
    pub(super) config: TraceConfig,
    flow: Flow,
    pub(super) path: Path,
    correlator: Correlator,
    /// Decides which quotes are believed; in a series of rounds, the running round holds it.
    belief: Belief,
    /// What the last frame that did not concern this trace was about.
    stray: Option<Stray>,
    pub(super) waiting: Waiting,
    pub(super) schedule: Option<Schedule>,
    /// When this trace was last asked for a probe, if it was.
    pub(super) polled: Option<Timestamp>,
    /// The moment up to which all captured frames are known.
    heard: Timestamp,
    /// When the clock was last set.
    stepped: Option<Timestamp>,
    /// When the clock was last set by a step of unknown duration.
    unmeasured: Option<Timestamp>,
    /// Whether an answer came to a probe that nobody sent. Such answers are not recorded, so this decides only what
    /// is sent.
    pub(super) guessed: bool,
    pub(super) events: VecDeque<Event>,
    ended: bool,
    /// Whether the trace has ended and its end is not reported yet.
    closing: bool,
}

impl Tracer {
    /// A tracer that plans probes: for live and simulated links.
    ///
    /// # Errors
    /// When no trace can be run with `config`.
    pub fn new(config: TraceConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let schedule = Some(Schedule::new(&config));
        let hops = config.hops();
        Ok(Self { schedule, ..Self::with_room(config, ProbeSelector::One, (RESERVED, hops))? })
    }

    /// A tracer that plans the probes of a later round, after rounds in which the path had `distance` hops.
    pub(super) fn expecting(config: TraceConfig, distance: u8) -> Result<Self, ConfigError> {
        config.check()?;
        let schedule = Some(Schedule::expecting(&config, distance));
        let first = config.first_ttl;
        let hops = usize::from(distance.saturating_add(1).saturating_sub(first)) + 1;
        Ok(Self { schedule, ..Self::with_room(config, ProbeSelector::One, (RESERVED, hops))? })
    }

    /// Makes this the round `round` of a watch. Only the first round waits longer for hops that may be far; later
    /// rounds learn of them from late answers.
    pub(super) fn in_round(mut self, round: u64) -> Self {
        self.path.round = Some(Round { number: round, ..Round::default() });
        if round > 0 {
            self.waiting.leave_far();
        }
        self
    }

    /// A tracer that only watches, for replay. `idents` selects its probes.
    ///
    /// # Errors
    /// When no trace can be run with `config`.
    pub fn passive(config: TraceConfig, idents: ProbeSelector) -> Result<Self, ConfigError> {
        // A file may hold thousands of traces that a survey found.
        let most = if let ProbeSelector::Listed(_) = idents { 0 } else { RESERVED_WATCHING };
        let hops = config.hops();
        Self::with_room(config, idents, (most, hops))
    }

    /// A tracer without a plan, with room for `most` probes at most, of the first `hops` hops.
    fn with_room(
        config: TraceConfig,
        idents: ProbeSelector,
        (most, hops): (usize, usize),
    ) -> Result<Self, ConfigError> {
        config.check_watched()?;
        let flow = config.flow();
        let (reserved, per_hop) = config.room(most);
        let reserved = reserved.min(hops.saturating_mul(config.queries.into()));
        let variable_queries =
            matches!(&idents, ProbeSelector::Listed(listed) if listed.variable_queries);
        Ok(Self {
            flow,
            path: Path::new(&config, variable_queries).with_room(hops, per_hop),
            belief: Belief::of(&config, &idents),
            correlator: Correlator::new(&config, idents, reserved),
            waiting: Waiting::new(&config, reserved, (hops, per_hop)),
            config,
            stray: None,
            schedule: None,
            polled: None,
            heard: Timestamp::default(),
            stepped: None,
            unmeasured: None,
            guessed: false,
            // All waiting probes may time out at once, and a few more events happen then.
            events: VecDeque::with_capacity(reserved + 4),
            ended: false,
            closing: false,
        })
    }

    /// The configuration of the trace.
    #[must_use]
    pub fn config(&self) -> &TraceConfig {
        &self.config
    }

    /// The TTL of a second probe that is to confirm answers without a quote. It is sent once all others are sent, and
    /// those that wait have contradicted answers, so that nothing else will confirm these answers.
    fn to_confirm(&self, shown: &Shown) -> Option<u8> {
        let schedule = self.schedule.as_ref().filter(|_| self.config.confirmation.is_some())?;
        let ttl = self.doubted().find(|ttl| !schedule.has_confirmed(*ttl))?;
        let settled = |at: ProbeRef| {
            let doubted = self.path.probe(at).is_some_and(Probe::is_doubted);
            doubted || matches!(at, ProbeRef::Confirmation(_)) || self.is_irrelevant(at)
        };
        let rest = schedule.is_exhausted(&self.config, shown)
            && !schedule.is_unsure(&self.config, self.last_ttl())
            && self.waiting.are_all(&self.path, settled);
        rest.then_some(ttl)
    }

    /// Whether an answer to this probe would add nothing: once the end of the trace is known, probes beyond it and
    /// the scout add nothing. Where an error of a router ends the trace, they may show that the path goes on.
    fn is_irrelevant(&self, at: ProbeRef) -> bool {
        match at {
            _ if self.path.is_end_open() => false,
            ProbeRef::Scout => self.path.end.is_some(),
            ProbeRef::SizeProbe(_) | ProbeRef::Confirmation(_) => false,
            ProbeRef::Hop { ttl, .. } if ttl <= self.last_ttl() => false,
            ProbeRef::Hop { .. } => self.path.past_target().all(|past| past != at),
        }
    }

    /// Whether the trace has ended.
    pub(super) fn is_over(&self) -> bool {
        self.ended
    }

    /// Makes this the last round of a watch: `missed_after` later rounds were not sent, and `waited_out` says whether
    /// all answers were waited for.
    pub(super) fn end_watch(&mut self, missed_after: u64, waited_out: bool) {
        if let Some(round) = &mut self.path.round {
            (round.missed_after, round.waited_out) = (missed_after, waited_out);
        }
        self.path.cut_off = !waited_out;
    }

    /// The moment for which what to send was last decided.
    pub(super) fn now(&self) -> Timestamp {
        self.polled.unwrap_or_default()
    }

    /// Takes over the steps of the clock that another tracer knows of.
    pub(super) fn stepped_as(mut self, other: &Self) -> Self {
        (self.stepped, self.unmeasured) = (other.stepped, other.unmeasured);
        self
    }

    /// Begins after the round `before`, with what it and earlier rounds have shown of which answers to believe.
    pub(super) fn succeed(&mut self, before: &mut Self) {
        self.belief = std::mem::take(&mut before.belief);
        self.path.totals.withdrawn = self.belief.is_withdrawn();
        self.guessed = before.guessed;
    }

    /// The key of a datagram that looks like a probe of this trace, or of another round of it.
    pub(super) fn own(&self, datagram: &Datagram<'_>, frame: u64) -> Option<ProbeKey> {
        self.correlator.own(&datagram.header, datagram.payload, frame)
    }

    /// Whether a datagram comes from the source port or identifier of this trace.
    pub(super) fn is_from_us(&self, datagram: &Datagram<'_>) -> bool {
        self.correlator.foreign(&datagram.header, datagram.payload).is_some()
    }

    /// Takes in a datagram that is no probe of this trace.
    pub(super) fn note_foreign(&mut self, datagram: &Datagram<'_>) {
        self.correlator.note_foreign(&datagram.header, datagram.payload);
    }

    /// Whether a datagram is addressed to this host, so that it may be a reply.
    pub(super) fn is_to_us(&self, datagram: &Datagram<'_>) -> bool {
        datagram.header.destination == self.flow.source
    }

    /// Whether a datagram quotes a probe of this trace, unchanged on the path.
    pub(super) fn is_quoted_in(&self, datagram: &Datagram<'_>) -> bool {
        datagram.quote.is_some_and(|quote| self.correlator.quotes(&quote))
    }

    /// The marks by which the probes of a finished round are found.
    pub(super) fn marks(&self, running: &Self) -> impl Iterator<Item = Mark> {
        self.correlator.marks(running.belief.is_strict())
    }

    /// The marks of the probes of other rounds that a datagram may be about.
    pub(super) fn marks_in(&self, datagram: &Datagram<'_>) -> impl Iterator<Item = Mark> {
        self.correlator.marks_in(datagram)
    }

    /// Ends the trace. Probes that still wait do so for ever.
    pub(super) fn end(&mut self) {
        if !self.ended {
            (self.ended, self.closing) = (true, true);
        }
    }

    /// Packs a finished round whose events were all reported: only what a late reply needs is kept, in as little
    /// memory as possible. Its path must not be read before [`wake`](Self::wake).
    pub(super) fn rest(&mut self) {
        self.schedule = None;
        self.waiting.rest();
        self.correlator.rest();
        self.events.shrink_to_fit();
        self.path.pack();
    }

    /// Unpacks a round because a reply may be about one of its probes.
    pub(super) fn wake(&mut self) {
        self.correlator.wake();
        self.path.unpack();
    }

    /// The last TTL that the trace goes to, as far as is known.
    fn last_ttl(&self) -> u8 {
        self.path.last_ttl().unwrap_or(self.config.max_ttl)
    }

    /// The state of the path that decides what to send next.
    fn shown(&self, now: Timestamp) -> Shown {
        let target = self.supposed_end();
        Shown {
            under_way: self.waiting.under_way(now, &self.path, &self.config),
            waiting: self.waiting.beyond_farthest(&self.path, &self.config),
            end: self.path.last_ttl(),
            target,
            is_estimated: target.is_some_and(|target| self.path.is_estimated(target)),
            covered: target.map_or(0, |target| self.path.covered(target)),
            farthest: self.path.farthest,
            largest_rtt: self.waiting.largest_rtt(),
            heard: self.heard,
        }
    }

    /// The TTL at which the path ends, as far as is known. If only answers without a quote show an end, it is
    /// estimated from the TTL that they arrived with, unless a router has answered from there.
    fn supposed_end(&self) -> Option<u8> {
        let path = &self.path;
        if path.end.is_some() && !path.is_end_loose() {
            return path.last_ttl();
        }
        let evidence = |probe| path.evidence(probe).filter(|reply| reply.may_end());
        let by_scout =
            || path.scout.as_ref().filter(|_| path.distance.is_none()).and_then(evidence);
        let at_end = || path.end.and_then(|end| path.hop(end))?.probes.iter().find_map(evidence);
        let hops = u8::try_from(return_path(by_scout().or_else(at_end)?.ttl).1).unwrap_or(u8::MAX);
        let hops = hops.min(path.end.unwrap_or(self.config.max_ttl));
        (hops > path.farthest).then_some(hops)
    }

    /// Whether a probe with this key was captured.
    pub(super) fn knows(&self, key: &ProbeKey) -> bool {
        self.correlator.knows(key)
    }

    /// When the probes that wait for an answer were sent.
    pub(super) fn waiting_since(&self) -> impl Iterator<Item = Timestamp> {
        self.waiting.since(&self.path)
    }

    /// The keys of the probes that wait for an answer.
    pub(super) fn waiting_keys(&self) -> impl Iterator<Item = ProbeKey> {
        self.waiting.all(&self.path).filter_map(|at| Some(self.path.probe(at)?.key))
    }

    /// The time after which a probe counts as silent while its answer is still waited for; `None` before any RTT is
    /// known.
    pub(super) fn silence(&self) -> Option<Span> {
        self.waiting.silence(&self.config)
    }

    /// Law 4: every probe without an answer by its deadline up to `now` is lost, in the order of the deadlines.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.heard = self.heard.max(now);
        let mut again = true;
        while std::mem::take(&mut again) {
            let due = self.waiting.expired(now, &self.path, &self.config);
            let mut rest = due.iter();
            for (_, at) in rest.by_ref() {
                let unawaited = self.path.is_past_end(*at);
                if let Some(probe) = self.path.probe_mut(*at) {
                    (probe.outcome, probe.unawaited) = (Outcome::Lost, unawaited);
                }
                self.events.push_back(Event::Settled(*at));
                again = self.note_lost(*at);
                if again {
                    break;
                }
            }
            // A probe that waits again was due before these.
            rest.for_each(|(_, at)| self.waiting.push(*at, &self.path));
            self.waiting.reuse(due);
        }
    }
}

impl Engine for Tracer {
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>> {
        self.schedule.as_ref()?;
        let shown = self.shown(now);
        self.polled = Some(now);
        let confirming = self.to_confirm(&shown).or_else(|| {
            let (end, from) = self.end_to_confirm()?;
            (from <= now).then_some(end)
        });
        let schedule = self.schedule.as_mut().filter(|_| !self.ended)?;
        let datagram = match confirming {
            Some(ttl) => schedule.confirm(&self.config, now, ttl),
            None => schedule.next(&self.config, now, &shown),
        }?;
        Some(Transmit { destination: self.config.target, datagram })
    }

    fn handle_refusal(&mut self) {
        if let Some(schedule) = &mut self.schedule {
            schedule.refused();
        }
    }

    fn poll_timeout(&mut self) -> Option<Timestamp> {
        let deadline = self.next_deadline();
        let sending = self.schedule.as_ref().and_then(|schedule| {
            let shown = self.shown(self.now());
            let silent = self.waiting.next_silent(self.now(), &self.path, &self.config);
            let silent = silent.filter(|_| {
                schedule.is_full(&self.config, &shown)
                    && !schedule.is_exhausted(&self.config, &shown)
            });
            let due = schedule.wake_at(&self.config, self.now(), &shown);
            let confirming =
                self.to_confirm(&shown).and_then(|_| schedule.pause_ends(&self.config));
            let proving = self.end_to_confirm().map(|(_, from)| {
                schedule.pause_ends(&self.config).map_or(from, |end| end.max(from))
            });
            due.into_iter().chain(silent).chain(confirming).chain(proving).min()
        });
        deadline.into_iter().chain(sending).min()
    }

    fn next_deadline(&mut self) -> Option<Timestamp> {
        self.waiting.next_deadline(&self.path, &self.config)
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.expire(now);
        if let Some(schedule) = &mut self.schedule {
            schedule.expire(&self.config, now);
        }
    }

    fn handle_packet(&mut self, packet: &Packet<'_>) -> (Disposition, &Path) {
        let packet = packet.of_run(&self.config);
        let Packet { frame, datagram } = &*packet;
        let disposition = self.take_datagram(frame, datagram.as_ref());
        self.count_unmatched(disposition);
        if let Some(datagram) = datagram.filter(|_| disposition == Disposition::Unrelated) {
            self.note_unasked(&datagram);
        }
        (disposition, &self.path)
    }

    fn disown_cut_frame(&mut self) {
        let totals = &mut self.path.totals;
        totals.orphans = totals.orphans.saturating_sub(1);
        totals.cut_short = totals.cut_short.saturating_sub(1);
    }

    fn poll_event(&mut self) -> Option<(Event, &Path)> {
        if self.events.is_empty() && std::mem::take(&mut self.closing) {
            // This waits until all replies to the scout have been taken.
            let placed = self.path.place().iter();
            self.events
                .extend(placed.map(|(before, at)| Event::Assigned { before: *before, at: *at }));
            self.events.push_back(Event::Ended);
        }
        Some((self.events.pop_front()?, &self.path))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn reached(&self) -> bool {
        self.path.reached()
    }

    fn is_done(&self) -> bool {
        let Some(schedule) = &self.schedule else { return false };
        let shown = self.shown(self.now());
        schedule.is_exhausted(&self.config, &shown)
            && !schedule.is_unsure(&self.config, self.last_ttl())
            && self.waiting.are_all(&self.path, |at| self.is_irrelevant(at))
            && self.to_confirm(&shown).is_none()
            && self.end_to_confirm().is_none()
    }

    fn note_clock_step(&mut self, step: &ClockStep) {
        self.stepped = self.stepped.max(Some(step.until));
        if step.from.is_none() {
            self.unmeasured = self.unmeasured.max(Some(step.until));
        }
        self.path.totals.clock_steps += u64::from(step.by != Span::ZERO);
    }

    fn finish(&mut self) {
        self.expire(Timestamp::from_nanos(i64::MAX));
        self.end();
    }
}
