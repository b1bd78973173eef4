//! Which probe goes out when: the half of a multipath trace that a replay does without.
//!
//! The next questions are decided when the last ones have been sent and something new is known. The rate
//! is that of every probe; a probe handed to the link counts as in flight until its own frame is captured.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::graph::{Graph, Pending};
use super::plan::{self, Flows, Plan};
use super::strategy::{self, Step};
use crate::probe::{ProbeKey, craft};
use crate::time::{Span, Timestamp};
use crate::trace::{Engine, TraceConfig, Tracer};
use crate::wire::ip;

/// How far sending may fall behind its rate and catch up.
const CATCH_UP: Span = Span::from_millis(10);
/// After how long a probe to a hop where nobody has answered is taken for silent, until any RTT is known.
const FIRST_SILENCE: Span = Span::from_millis(500);
/// News that cannot wait.
const URGENT: usize = usize::MAX;
/// How often a probe of one flow to one hop is tried that never leaves.
const TRIES: u8 = 2;
/// The number of consecutive probes that never left after which no more are sent.
const HOPELESS: u32 = 64;
/// While this number of probes is in flight, one answer is not worth deciding again.
const WORTH: usize = 8;

/// What never changes of a run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) config: TraceConfig,
    pub(super) plan: Plan,
    pub(super) flows: Flows,
}

impl Run {
    /// The graph so far.
    pub(super) fn graph(&self, tracer: &Tracer, pending: Pending<'_>) -> Graph {
        Graph::of(tracer.path(), (self.config.first_ttl, self.config.max_ttl), self.flows, pending)
    }

    fn max_wait(&self) -> Span {
        Span::from_secs_f64(self.config.wait.max)
    }
}

/// The plan of an active run.
#[derive(Debug)]
pub(super) struct Sender {
    /// What to ask next.
    asks: VecDeque<(u16, u8)>,
    /// Handed out and not yet captured.
    leaving: Vec<Leaving>,
    /// How often each ask was handed out in vain, and how many probes were since one left.
    in_vain: BTreeMap<(u16, u8), u8>,
    in_a_row: u32,
    /// How many probes were handed out.
    serial: u32,
    /// Before that, the rate lets no further one out.
    next_at: Timestamp,
    polled: Timestamp,
    /// How many events came since the questions were decided.
    news: usize,
    /// When that was decided, nothing was left to ask.
    complete: bool,
    confirmed: bool,
    /// Whether probes vanish on the way to the wire, so that no more are tried.
    futile: bool,
    datagram: Vec<u8>,
}

#[derive(Debug)]
struct Leaving {
    ask: (u16, u8),
    key: ProbeKey,
    at: Timestamp,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self {
            asks: VecDeque::new(),
            leaving: Vec::new(),
            in_vain: BTreeMap::new(),
            in_a_row: 0,
            serial: 0,
            next_at: Timestamp::default(),
            polled: Timestamp::default(),
            news: URGENT,
            complete: false,
            confirmed: false,
            futile: false,
            datagram: Vec::new(),
        }
    }

    /// The next probe's datagram if one is due at `now`.
    pub(super) fn next(&mut self, run: &Run, tracer: &Tracer, now: Timestamp) -> Option<&[u8]> {
        let (before, silence) = (self.polled, silence(tracer));
        self.polled = now;
        if self.is_spent(run) {
            return None;
        }
        let fell_silent = |sent: Timestamp| {
            (before..now).contains(&sent.after(silence).before(Span::from_nanos(1)))
        };
        if tracer.waiting_since().any(fell_silent) {
            self.news = URGENT;
        }
        if self.asks.is_empty() && self.is_worth_deciding(tracer) {
            self.decide(run, tracer);
        }
        if now < self.next_at || !self.has_room(run) {
            return None;
        }
        let (flow, ttl) = self.asks.remove(self.next_ask(run, tracer)?)?;
        let interval = Span::from_secs_f64(1.0 / run.plan.rate);
        self.next_at = self.next_at.max(now.before(CATCH_UP)).after(interval);
        let key = loop {
            craft::craft(&plan::spec(&run.config, self.serial, flow, ttl), &mut self.datagram);
            self.serial = self.serial.saturating_add(1);
            let (header, payload) = ip::decode(&self.datagram).ok()?;
            let key = ProbeKey::of(&header, payload)?;
            // Not where an earlier run was ahead in its numbers, because probes of it were not captured.
            if self.is_spent(run) || !tracer.knows(&key) {
                break key;
            }
        };
        self.leaving.push(Leaving { ask: (flow, ttl), key, at: now });
        Some(&self.datagram)
    }

    fn decide(&mut self, run: &Run, tracer: &Tracer) {
        self.news = 0;
        let leaving: Vec<(u16, u8)> = self.leaving.iter().map(|it| it.ask).collect();
        let silent_up_to = Some(self.polled.before(silence(tracer)));
        let graph = run.graph(tracer, Pending { leaving: &leaving, silent_up_to });
        let rule = run.plan.confidence.rule(graph.branching());
        let step = strategy::next(&graph, rule, run.plan.every_router);
        self.complete = step == Step::Done;
        if let Step::Ask(asks) = step {
            let tried = |ask: &(u16, u8)| self.in_vain.get(ask).is_some_and(|it| *it >= TRIES);
            self.asks.extend(asks.into_iter().filter(|ask| !tried(ask)));
            // What never leaves cannot be found out.
            self.complete = self.asks.is_empty() && self.leaving.is_empty();
        }
    }

    fn is_worth_deciding(&self, tracer: &Tracer) -> bool {
        let under_way = self.leaving.len() + tracer.waiting_since().count();
        self.news > under_way / WORTH || under_way == 0 && self.news > 0
    }

    /// The place of the ask that is next. Where only its flow identifies a probe, that is one of a flow of which no probe is in
    /// flight: the others have to wait.
    fn next_ask(&self, run: &Run, tracer: &Tracer) -> Option<usize> {
        if !run.config.is_one_at_a_time() {
            return (!self.asks.is_empty()).then_some(0);
        }
        let waiting = tracer.waiting_keys().filter_map(|key| run.flows.number(&key));
        let busy: BTreeSet<u16> = waiting.chain(self.leaving.iter().map(|it| it.ask.0)).collect();
        self.asks.iter().position(|(flow, _)| !busy.contains(flow))
    }

    /// Whether a further probe may be on its way out.
    fn has_room(&self, run: &Run) -> bool {
        self.leaving.len() < usize::from(run.config.in_flight)
    }

    /// Whether no more may be sent at all.
    fn is_spent(&self, run: &Run) -> bool {
        self.futile || self.serial >= run.plan.max_probes
    }

    /// Whether nothing is left to send or to wait for.
    pub(super) fn is_done(&self, run: &Run, tracer: &Tracer) -> bool {
        let decided = self.complete && self.news == 0 && self.asks.is_empty();
        let waits = tracer.waiting_since().next().is_some() || !self.leaving.is_empty();
        self.futile || (self.is_spent(run) || decided) && !waits
    }

    /// A probe was answered or timed out.
    pub(super) fn note(&mut self) {
        self.news = self.news.saturating_add(1);
    }

    /// The frame of this probe was captured: it is on its way. One that was not handed out here is of the run that
    /// is resumed: it counts as well.
    pub(super) fn confirm(&mut self, key: ProbeKey) {
        let known = self.leaving.len();
        self.leaving.retain(|it| it.key != key);
        if self.leaving.len() < known {
            self.confirmed = true;
            self.in_a_row = 0;
        } else {
            self.serial = self.serial.saturating_add(1);
        }
    }

    /// The link did not take the last probe. If it has never taken one, it is of no use to try more.
    pub(super) fn refused(&mut self) {
        let refused = self.leaving.pop();
        self.give_up(refused.map(|it| it.ask));
    }

    /// Gives up on probes whose frames have not shown up, and on all if none ever has.
    pub(super) fn expire(&mut self, run: &Run, now: Timestamp) {
        let late = |it: &mut Leaving| it.at.after(run.max_wait()) <= now;
        let given_up: Vec<_> = self.leaving.extract_if(.., late).map(|it| it.ask).collect();
        self.give_up(given_up);
    }

    fn give_up(&mut self, asks: impl IntoIterator<Item = (u16, u8)>) {
        for ask in asks {
            let tries = self.in_vain.entry(ask).or_default();
            *tries = tries.saturating_add(1);
            self.in_a_row += 1;
            self.news = URGENT;
            self.futile |= !self.confirmed || self.in_a_row >= HOPELESS;
        }
    }

    /// When something is next to be done here.
    pub(super) fn wake_at(&self, run: &Run, tracer: &Tracer) -> Option<Timestamp> {
        let expiry = self.leaving.iter().map(|it| it.at.after(run.max_wait())).min();
        if self.is_spent(run) {
            return expiry;
        }
        let sendable = self.has_room(run) && self.next_ask(run, tracer).is_some();
        let send = sendable.then_some(self.next_at.max(self.polled));
        let silence = silence(tracer);
        let silent = tracer.waiting_since().map(|sent| sent.after(silence));
        let silent = silent.filter(|at| *at > self.polled).min();
        [send, expiry, silent].into_iter().flatten().min()
    }
}

/// After how long a probe to a hop where nobody has answered is taken for silent.
fn silence(tracer: &Tracer) -> Span {
    tracer.silence().unwrap_or(FIRST_SILENCE)
}
