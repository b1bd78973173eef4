//! Rounds of a watch: one trace after another to the same target.
//!
//! Each round is a [`Tracer`] of its own with the same configuration, except for the numbers that identify its probes
//! ([`TraceConfig::round`]) and the scout, which only the first round has: later rounds go as far as the path was
//! long before. A round begins an interval after the one before or, if that takes longer, once that one is settled;
//! its probes time out after an interval at the latest. Finished rounds are kept for a while: a reply that comes then
//! counts as late there, with its RTT, and is not lost.
//!
//! Events come round by round: [`Event::Ended`] closes a round when the next begins, and [`Event::LateReply`] belongs
//! to a closed round. As in a single trace, events are a function of configuration and frames. A round begins at the
//! first captured frame of its probes, whichever probe that is, and ends the round before (`seen`). A round without a
//! captured probe, because none could leave, is known only by its missing number. Only a watch without any captured
//! frame ends by that. The bytes of a probe identify its round (`numbers`). A probe that leaves after its round was
//! counted as not sent belongs to no round: it counts neither as sent nor as lost, and is not recorded.
//!
//! What is sent, and when, is decided separately (`sending`).
//!
//! After the last round, hops that answered before are waited for as long as a trace would wait for them.

mod index;
mod numbers;
mod seen;
mod sending;
mod target;
mod unattended;

use serde::{Deserialize, Serialize};

use numbers::Numbers;
use seen::{Seen, Whose};
use sending::Sending;
pub use target::Instead;

use super::config::{ConfigError, TraceConfig};
use super::datagram::Packet;
use super::engine::Engine;
use super::event::{Disposition, Event};
use super::path::Path;
use super::probe_selector::ProbeSelector;
use super::tracer::Tracer;
use crate::probe::Transmit;
use crate::time::{ClockStep, Span, Timestamp};

/// The least and the most finished rounds that are kept for late replies. Between these limits, as many are kept as
/// fit into the time that a trace would wait.
const KEPT: (usize, usize) = (8, MOST_KEPT);
pub(super) const MOST_KEPT: usize = 512;
/// More rounds than fit into 300 years, so that counting them never overflows.
pub const MOST_ROUNDS: u64 = 1 << 40;
/// Checks the number of a round, from 0.
///
/// # Errors
/// See [`ConfigError`].
pub fn check_number(round: u64) -> Result<(), ConfigError> {
    if round > MOST_ROUNDS {
        return Err(ConfigError::OutOfRange { what: "first round", range: "0 to 2^40" });
    }
    Ok(())
}

/// The most probes a second, more than a socket takes: rounds that need more are refused.
pub const MOST_A_SECOND: f64 = 1_000_000.0;

/// How often a trace is repeated, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Plan {
    /// Seconds from the beginning of a round to that of the next.
    pub interval: f64,
    /// The number of rounds; `None` continues until interrupted.
    pub rounds: Option<u64>,
    /// When the watch ends: no round but the first begins then or later. A replay ignores it.
    #[serde(skip)]
    pub until: Option<Until>,
}

/// When a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Until {
    /// At this time of the clock that stamps frames.
    Time(Timestamp),
    /// This long after it began.
    After(Span),
}

impl Plan {
    /// Checks that a watch can run by this plan.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |what, range| Err(ConfigError::OutOfRange { what, range });
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

    /// Checks that a watch of this trace can run by this plan: at most a million probes a second.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check_of(&self, config: &TraceConfig) -> Result<(), ConfigError> {
        self.check()?;
        let probes = f64::from(config.scout_number()) + 1.0;
        if probes / self.interval > MOST_A_SECOND {
            let range = "long enough for the probes of a round, a million a second";
            return Err(ConfigError::OutOfRange { what: "interval", range });
        }
        Ok(())
    }
}

/// Rounds of a trace to one target. See the [module](self).
#[derive(Clone, Debug)]
pub struct Rounds {
    config: TraceConfig,
    /// The captured rounds.
    seen: Seen,
    /// The plan of probes to send; `None` in a replay, which sends nothing.
    sending: Option<Sending>,
    /// The number of rounds that a recording gives.
    noted: Option<u64>,
    /// The longest time, in seconds, that a trace would wait.
    longest_wait: f64,
}

impl Rounds {
    /// Rounds that plan probes: for live and simulated links.
    ///
    /// # Errors
    /// When no trace can be run with `config`.
    pub fn new(config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        plan.check_of(&config)?;
        let longest = config.wait.max;
        let sending = Some(Sending::new(plan, config.wait));
        let first = Tracer::new(patient(config.clone(), plan).round(0))?.in_round(0);
        let first = first.waiting(longest);
        Ok(Self { sending, ..Self::of(config, plan, first) })
    }

    /// Rounds that are only watched, for replay.
    ///
    /// # Errors
    /// When no trace can be watched with `config`.
    pub fn passive(config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        Self::passive_from(0, config, plan)
    }

    /// Rounds that are only watched; those before round `number` were not sent.
    ///
    /// # Errors
    /// When no trace can be watched with `config`.
    pub fn passive_from(number: u64, config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        let round = patient(config.clone(), plan).round(number);
        let first = Tracer::passive(round, ProbeSelector::One)?.in_round(number);
        let first = first.waiting(config.wait.max);
        Ok(Self::of(config, plan, first))
    }

    /// Sets the configuration that the probes were sent with, if the report shows only a part of them.
    #[must_use]
    pub fn sent_by(mut self, config: &TraceConfig) -> Self {
        self.seen.numbers.sent_by(config.clone());
        self
    }

    /// `config` is the configuration of each trace, `first` the first round.
    fn of(config: TraceConfig, plan: Plan, first: Tracer) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let kept = (config.wait.max / plan.interval).ceil() as usize;
        let longest_wait = config.wait.max;
        let config = patient(config, plan);
        let numbers = Numbers::of(config.clone(), plan.interval);
        let seen = Seen::new(first, kept.clamp(KEPT.0, KEPT.1), numbers);
        Self { config, seen, sending: None, noted: None, longest_wait }
    }

    /// The number of times that a frame that is no probe was shown to a round.
    #[must_use]
    pub fn shown(&self) -> u64 {
        self.seen.frames_shown
    }

    /// The configuration of each round.
    #[must_use]
    pub fn config(&self) -> &TraceConfig {
        &self.config
    }

    /// The number of rounds that have begun. A round without a captured probe counts once it is no longer waited for.
    fn begun(&self) -> u64 {
        let captured = self.seen.number().saturating_add((!self.seen.is_empty()).into());
        let sent = self.sending.as_ref().map_or(0, |sending| sending.begun(&self.seen));
        self.noted.unwrap_or_else(|| captured.max(sent))
    }

    /// The number of rounds that come after the last captured one: all, if no frame was ever captured.
    fn missed_after(&self) -> u64 {
        let captured = u64::from(!self.seen.is_empty());
        self.begun().saturating_sub(self.seen.number().saturating_add(captured))
    }

    /// Begins a later round than the current one, whose first probe was captured.
    fn begin(&mut self, number: u64, at: Timestamp) {
        let ours = self.sending.as_mut().and_then(|sending| sending.take(number));
        let passive = || Tracer::passive(self.config.round(number), ProbeSelector::One).ok();
        // The next round has the configuration of the first; for the numbers of its probes any value will do.
        if let Some(next) = ours.or_else(passive) {
            let next = next.in_round(number).waiting(self.longest_wait);
            self.seen.go_on_with(next, &self.config, at);
        }
    }

    /// Ends the watch: there will be no more rounds, and the number of rounds not sent at the end is known.
    fn end_watch(&mut self, waited_out: bool) {
        let missed = self.missed_after();
        if let Some(sending) = &mut self.sending {
            sending.end();
        }
        self.seen.current.end_watch(missed, waited_out);
    }
}

/// Limits waiting to the length of a round: an answer that comes later is late, not lost.
fn patient(mut config: TraceConfig, plan: Plan) -> TraceConfig {
    config.wait.max = config.wait.max.min(plan.interval);
    config
}

impl Engine for Rounds {
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>> {
        self.sending.as_mut()?.poll_transmit(&mut self.seen, &self.config, now)
    }

    fn handle_refusal(&mut self) {
        if let Some(sending) = &mut self.sending {
            sending.handle_refusal(&mut self.seen);
        }
    }

    fn poll_timeout(&mut self) -> Option<Timestamp> {
        match &mut self.sending {
            Some(sending) => sending.poll_timeout(&mut self.seen),
            None => self.seen.current.poll_timeout(),
        }
    }

    fn next_deadline(&mut self) -> Option<Timestamp> {
        self.seen.current.next_deadline()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.seen.current.handle_timeout(now);
        if let Some(sending) = &mut self.sending {
            sending.handle_timeout(now);
        }
    }

    fn handle_packet(&mut self, packet: &Packet<'_>) -> (Disposition, &Path) {
        let packet = packet.of_run(&self.config);
        let current = self.seen.number();
        let (frame, datagram) = (&packet.frame, packet.datagram.as_ref());
        let number = match self.seen.whose(frame, datagram) {
            Whose::Other => {
                let (disposition, ago) = self.seen.take_other(frame, datagram);
                return (disposition, self.seen.path(ago));
            }
            Whose::ProbeOf(number) if number >= current => number,
            // The probe left too late, or its frame is seen again.
            Whose::ProbeOf(_) | Whose::Nobodys => return (Disposition::Unrelated, self.path()),
        };
        if number > current {
            // This round was counted as not sent. The probe is not recorded, so a replay does not know of it.
            if self.sending.as_ref().is_some_and(|sending| sending.has_given_up(number)) {
                return (Disposition::Unrelated, self.path());
            }
            self.begin(number, frame.at);
        }
        let disposition = self.seen.take_probe(frame, datagram);
        if let (Disposition::OwnProbe(_), Some(sending)) = (disposition, &mut self.sending) {
            sending.note_probe(number, frame.at);
        }
        (disposition, self.path())
    }

    fn poll_event(&mut self) -> Option<(Event, &Path)> {
        self.seen.poll_event()
    }

    fn path(&self) -> &Path {
        self.seen.current.path()
    }

    fn reached(&self) -> bool {
        self.missed_after() == 0 && self.seen.reached()
    }

    fn is_done(&self) -> bool {
        self.sending.as_ref().is_some_and(|sending| sending.is_done(&self.seen))
    }

    fn missed(&self) -> u64 {
        self.sending.as_ref().map_or(0, |sending| sending.missed(&self.seen))
    }

    fn rounds(&self) -> Option<u64> {
        self.noted.or_else(|| (self.missed_after() > 0).then(|| self.begun()))
    }

    fn note_rounds(&mut self, count: u64) {
        self.noted = Some(count.min(self.seen.number().saturating_add(numbers::LONGEST_GAP)));
    }

    fn note_clock_step(&mut self, step: &ClockStep) {
        self.seen.note_clock_step(step);
        if let Some(sending) = &mut self.sending {
            sending.note_clock_step(step);
        }
    }

    fn finish(&mut self) {
        self.end_watch(true);
        self.seen.current.finish();
    }

    fn cut(&mut self, at: Timestamp) {
        self.end_watch(false);
        self.seen.current.handle_timeout(at);
        self.seen.current.end();
    }
}
