//! One trace after another to the same target: what a watch is made of.
//!
//! Each round is a [`Tracer`] of its own, with the same configuration but for the numbers that identify its
//! probes ([`TraceConfig::round`]) and the scout, which only the first has: later ones rise as far as the path
//! was long before. A round begins an interval after the one before, or once that is settled
//! if it takes longer; its probes are given up after an interval at the latest. Rounds that are over are
//! kept for a while: a reply that comes then counts as late there, with its RTT, and is not lost.
//!
//! Events come round by round: [`Event::Ended`] closes one when the next begins, and [`Event::Belated`] is of one
//! that is closed. As in a single trace they are a function of configuration and frames: a round
//! begins where the first frame of its probes is captured, and there the one before is over. Of a round of which
//! nothing was captured, because no probe could leave, nothing is known but that its number is missing. Only
//! a watch of which nothing was ever captured ends by that.
//!
//! After the last round what hops that answer at all still owe is waited for as long as a trace would wait.

mod numbers;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use numbers::Numbers;

use super::config::{ConfigError, TraceConfig, Wait};
use super::correlate::Idents;
use super::engine::Engine;
use super::event::{Disposition, Event};
use super::path::{Hop, Path};
use super::tracer::Tracer;
use crate::probe::Transmit;
use crate::time::{Span, Timestamp};
use crate::wire::Frame;

/// How many rounds that are over are kept for replies that are late: as many as fit into the time that a trace would
/// wait, but not fewer and not more than so many.
const KEPT: (usize, usize) = (8, MOST_KEPT);
pub(super) const MOST_KEPT: usize = 512;
/// More rounds than fit into 300 years, so that counting them never runs over.
pub const MOST_ROUNDS: u64 = 1 << 40;
/// More probes a second than a socket takes.
const MOST_A_SECOND: f64 = 1_000_000.0;
/// As far as rounds go beyond the last hop that answered, where nobody said that it is the end.
const BEYOND: u8 = 5;

/// How often a trace is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seconds from the beginning of a round to that of the next.
    pub interval: f64,
    /// How many rounds; `None` is until interrupted.
    pub rounds: Option<u64>,
    /// No round begins then or later, but for the first. A replay has no use for it.
    #[serde(skip)]
    pub until: Option<Until>,
}

/// When a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At this time of the capture clock.
    Time(Timestamp),
    /// So long after it began.
    After(Span),
}

impl Plan {
    /// The reason why no watch can be run by this, if there is one.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |what, range| Err(ConfigError { what, range });
        match self {
            Self { interval, .. } if !(0.01..=86_400.0).contains(interval) => {
                wrong("interval", "0.01 to 86400 s")
            }
            Self { rounds: Some(rounds), .. } if !(1..=MOST_ROUNDS).contains(rounds) => {
                wrong("rounds", "1 to 2^40")
            }
            _ => Ok(()),
        }
    }

    /// The same of rounds of this trace: nobody sends more than a million probes a second.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check_of(&self, config: &TraceConfig) -> Result<(), ConfigError> {
        self.check()?;
        let probes = f64::from(config.scout_number()) + 1.0;
        if probes / self.interval > MOST_A_SECOND {
            let range = "long enough for the probes of a round, a million a second";
            return Err(ConfigError { what: "interval", range });
        }
        Ok(())
    }
}

/// Rounds of a trace. See the [module](self).
#[derive(Clone, Debug)]
pub struct Rounds {
    config: TraceConfig,
    plan: Plan,
    active: bool,
    /// The number of the running round, from 0.
    number: u64,
    running: Tracer,
    /// When it began, and when the first did.
    began: Option<Timestamp>,
    first_began: Option<Timestamp>,
    /// When its first probe was handed out, and when that of the first was.
    asked: Option<Timestamp>,
    first_asked: Option<Timestamp>,
    /// Until when what was captured is known.
    now: Timestamp,
    /// Rounds that have gone by without a probe captured, up to the running one.
    missed: u64,
    /// How long a trace would wait: rounds wait no longer than they take.
    wait: Wait,
    /// How many rounds are kept.
    kept: usize,
    /// How many there were, as a recording says.
    noted: Option<u64>,
    /// The target was reached in a round that is not kept any more.
    reached: bool,
    /// As long as the path has been.
    distance: u8,
    /// Those that are over, the latest first.
    over: VecDeque<Over>,
    /// How many of them ago the round is that the last event or frame was about; `None` is the running one.
    shown: Option<usize>,
    finished: bool,
    /// Which rounds frames are of.
    numbers: Numbers,
}

#[derive(Clone, Debug)]
struct Over {
    round: Tracer,
    /// That it has ended was said.
    closed: bool,
}

impl Rounds {
    /// Rounds that plan probes: for live and simulated links.
    ///
    /// # Errors
    /// When no trace can be run with `config`.
    pub fn new(config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        plan.check_of(&config)?;
        let running = Tracer::new(patient(config.clone(), plan).round(0))?;
        Ok(Self::of(config, plan, running, true))
    }

    /// Rounds that are only watched, for replay.
    ///
    /// # Errors
    /// When no trace can be watched with `config`.
    pub fn passive(config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        Self::passive_from(0, config, plan)
    }

    /// Rounds that are only watched, of which those before round `number` are missing.
    ///
    /// # Errors
    /// When no trace can be watched with `config`.
    pub fn passive_from(number: u64, config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        let round = patient(config.clone(), plan).round(number);
        let running = Tracer::passive(round, Idents::One)?.in_round(number);
        let mut rounds = Self { number, ..Self::of(config, plan, running, false) };
        rounds.numbers.go_on(number);
        Ok(rounds)
    }

    /// `config` is that of a trace, `running` the first round.
    fn of(config: TraceConfig, plan: Plan, running: Tracer, active: bool) -> Self {
        let wait = config.wait;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let kept = (wait.max / plan.interval).ceil() as usize;
        let config = patient(config, plan);
        let numbers = Numbers::of(&config, plan.interval);
        Self {
            wait,
            kept: kept.clamp(KEPT.0, KEPT.1),
            noted: None,
            config,
            plan,
            active,
            number: 0,
            running,
            began: None,
            first_began: None,
            asked: None,
            first_asked: None,
            now: Timestamp::default(),
            missed: 0,
            reached: false,
            distance: 0,
            over: VecDeque::new(),
            shown: None,
            finished: false,
            numbers,
        }
    }

    /// What is asked in each round.
    #[must_use]
    pub fn config(&self) -> &TraceConfig {
        &self.config
    }

    /// When the next round is to begin, if this one has begun and another is meant.
    fn next_begins(&self) -> Option<Timestamp> {
        let more = self.plan.rounds.is_none_or(|rounds| self.number + 1 < rounds);
        // If no probe of it is seen leaving, it has begun all the same; but if none ever was, that is the end
        // once a trace would have given up.
        let patience = Span::from_secs_f64(self.wait.max);
        let hopes = self.first_asked.is_none_or(|first| self.now < first.after(patience));
        let asked = self.asked.filter(|_| self.first_began.is_some() || hopes);
        let began = self.began.or(asked).filter(|_| self.active && more && !self.finished)?;
        let next = began.after(Span::from_secs_f64(self.plan.interval));
        let end = self.plan.until.map(|until| match until {
            Until::Time(end) => end,
            Until::After(span) => self.first_began.unwrap_or(began).after(span),
        });
        Some(next).filter(|next| end.is_none_or(|end| *next < end))
    }

    fn note_beginning(&mut self, at: Timestamp) {
        self.began.get_or_insert(at);
        self.first_began.get_or_insert(at);
    }

    /// Puts the running round aside, to be closed with the first frame of the next, which is `number`.
    fn begin(&mut self, number: u64) {
        let config = self.config.round(number);
        self.distance = match self.running.path() {
            Path { end: Some(end), .. } => *end,
            // Nobody said in time that this is the end. If rounds before it found one, and no router answers there by
            // now, that was a loss; else the path may go on a little.
            path => self.known_end().filter(|end| *end > path.farthest).unwrap_or_else(|| {
                self.distance.max(path.farthest.saturating_add(BEYOND)).min(config.max_ttl)
            }),
        };
        let next = if self.active {
            Tracer::expecting(config, self.distance)
        } else {
            Tracer::passive(config, Idents::One)
        };
        // It is the configuration of the first round, but for numbers of which any will do.
        let Ok(next) = next else { return };
        let round = std::mem::replace(&mut self.running, next.in_round(number));
        if round.path().is_empty() {
            self.missed += number - self.number;
        } else {
            self.missed = 0;
            self.over.push_front(Over { round, closed: false });
        }
        while self.over.len() > self.kept {
            let gone = self.over.pop_back();
            self.reached |= gone.is_some_and(|over| over.round.path().reached(&self.config));
        }
        self.numbers.go_on(number);
        (self.number, self.began, self.asked, self.shown) = (number, None, None, None);
    }

    /// The running round and those before it, the latest first.
    fn kept(&self) -> impl Iterator<Item = &Path> + Clone {
        std::iter::once(&self.running)
            .chain(self.over.iter().map(|over| &over.round))
            .map(Tracer::path)
    }

    /// Where the latest of the rounds that found an end say that it is, be it by answers that came too late for them.
    fn known_end(&self) -> Option<u8> {
        self.kept().find_map(Path::known_end)
    }

    /// Until when answers of hops that do answer may still come, if any are missing.
    fn owed_until(&self) -> Option<Timestamp> {
        let replies = |hop: &Hop| hop.probes.iter().any(|probe| !probe.replies.is_empty());
        let answers = |ttl: u8| self.kept().any(|path| path.hop(ttl).is_some_and(replies));
        let rtts = self.kept().flat_map(Path::probes).flat_map(|(_, probe)| &probe.replies);
        let largest = rtts.filter_map(|reply| reply.rtt).max();
        let owed = self.kept().flat_map(Path::reported).filter(|hop| answers(hop.ttl));
        let owed = owed.flat_map(|hop| &hop.probes).filter(|probe| probe.replies.is_empty());
        owed.map(|probe| self.wait.deadline(probe, None, None, largest)).max()
    }

    /// How many rounds have begun; one of which nothing was captured yet has once that is not waited for any more.
    fn begun(&self) -> u64 {
        let running = !self.running.path().is_empty();
        let given_up = self.asked.is_some() && self.running.is_done();
        self.noted.unwrap_or(self.number + u64::from(running || given_up))
    }

    /// How many of them come after the last of which something was captured.
    fn missed_after(&self) -> u64 {
        let last = self.kept().find(|path| !path.is_empty());
        last.map_or(0, |last| self.begun().saturating_sub(last.round.saturating_add(1)))
    }

    /// Says of the last round that it is that.
    fn end_watch(&mut self, waited_out: bool) {
        let missed = self.missed_after();
        match self.over.front_mut() {
            Some(over) if self.running.path().is_empty() => {
                over.round.end_watch(missed, waited_out);
            }
            _ => self.running.end_watch(missed, waited_out),
        }
    }

    /// Closes the round before the running one.
    fn close(&mut self) {
        if let Some(over) = self.over.front_mut().filter(|over| !over.closed) {
            over.round.finish();
        }
    }

    /// Whether a frame is a probe of a round that is not known any more: it was held up on its way out, and left with
    /// those of the running one.
    fn is_held_up(&mut self, frame: &Frame<'_>) -> bool {
        self.active
            && self.began.is_none()
            && numbers::key(&self.config, frame)
                .is_some_and(|key| !self.numbers.may_be_of_running(&self.config, &key))
    }

    /// Whether a frame comes before the running round has begun, and so belongs to the one before it.
    fn precedes(&mut self, frame: &Frame<'_>) -> bool {
        let open = self.over.front().is_some_and(|over| !over.closed);
        self.began.is_none()
            && open
            && numbers::key(&self.config, frame)
                .is_none_or(|key| !self.numbers.is_first(&self.config, key))
    }
}

/// Nothing is waited for longer than a round takes: what comes later is late, not lost.
fn patient(mut config: TraceConfig, plan: Plan) -> TraceConfig {
    config.wait.max = config.wait.max.min(plan.interval);
    config
}

impl Engine for Rounds {
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>> {
        if self.running.is_done() && self.next_begins().is_some_and(|at| at <= now) {
            self.begin(self.number + 1);
        }
        self.shown = None;
        let transmit = self.running.poll_transmit(now)?;
        self.asked.get_or_insert(now);
        self.first_asked.get_or_insert(now);
        Some(transmit)
    }

    fn handle_refusal(&mut self) {
        self.running.handle_refusal();
        if let Some(at) = self.running.polled() {
            self.note_beginning(at);
        }
    }

    fn poll_timeout(&mut self) -> Option<Timestamp> {
        if self.running.is_done() {
            return self.next_begins().or_else(|| self.owed_until());
        }
        self.running.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        self.running.handle_timeout(now);
    }

    fn handle_frame(&mut self, frame: &Frame<'_>) -> Disposition {
        if !self.active
            && let Some(number) = self.numbers.begun_by(&self.config, frame)
        {
            self.begin(number);
        }
        if self.precedes(frame)
            && let Some(over) = self.over.front_mut()
        {
            let disposition = over.round.take_frame(frame);
            if disposition.has_found_a_probe() {
                self.shown = Some(0);
                return disposition;
            }
        }
        self.shown = None;
        if self.is_held_up(frame) {
            return Disposition::Unrelated;
        }
        let running = self.running.take_frame(frame);
        if let Disposition::OwnProbe(_) = running {
            self.numbers.note_probe(frame.at);
            self.missed = 0;
            self.close();
            self.note_beginning(frame.at);
        }
        if running.has_found_a_probe() {
            return running;
        }
        for (ago, over) in self.over.iter_mut().enumerate() {
            let disposition = over.round.take_frame(frame);
            if disposition.has_found_a_probe() {
                self.shown = Some(ago);
                return disposition;
            }
        }
        if running == Disposition::Unmatched {
            self.running.count_unmatched();
        }
        running
    }

    fn poll_event(&mut self) -> Option<Event> {
        let closing = self.over.iter_mut().enumerate().rev().filter(|(_, over)| !over.closed);
        for (ago, over) in closing {
            if let Some(event) = over.round.poll_event() {
                over.closed = event == Event::Ended;
                self.shown = Some(ago);
                return Some(event);
            }
        }
        self.shown = None;
        if let Some(event) = self.running.poll_event() {
            return Some(event);
        }
        for (ago, over) in self.over.iter_mut().enumerate() {
            while let Some(event) = over.round.poll_event() {
                if let Event::Replied(at, index) = event {
                    self.shown = Some(ago);
                    return Some(Event::Belated(at, index));
                }
            }
        }
        None
    }

    fn path(&self) -> &Path {
        let over = self.shown.and_then(|ago| self.over.get(ago));
        over.map_or(&self.running, |over| &over.round).path()
    }

    fn reached(&self) -> bool {
        let over = self.over.iter().map(|over| &over.round);
        let mut kept = over.chain([&self.running]);
        self.reached || kept.any(|round| round.path().reached(&self.config))
    }

    fn is_done(&self) -> bool {
        let over = self.active && self.running.is_done() && self.next_begins().is_none();
        over && self.owed_until().is_none_or(|until| until <= self.now)
    }

    fn missed(&self) -> u64 {
        self.missed
    }

    fn rounds(&self) -> Option<u64> {
        self.noted.or_else(|| (self.missed_after() > 0).then(|| self.begun()))
    }

    fn note_rounds(&mut self, count: u64) {
        self.noted = Some(count.min(self.number.saturating_add(numbers::LONGEST_GAP as u64)));
    }

    fn finish(&mut self) {
        self.finished = true;
        self.end_watch(true);
        self.close();
        // A round that has not begun is none; but there has to be one.
        if !self.running.path().is_empty() || self.over.is_empty() {
            self.running.finish();
        }
    }

    fn cut(&mut self, at: Timestamp) {
        self.finished = true;
        self.end_watch(false);
        let cut = match self.over.front_mut() {
            // Nothing of the running one was captured: the one before is the last, if it is not over.
            Some(over) if self.running.path().is_empty() => {
                if over.closed {
                    return;
                }
                &mut over.round
            }
            _ => &mut self.running,
        };
        cut.handle_timeout(at);
        cut.cut();
    }
}
