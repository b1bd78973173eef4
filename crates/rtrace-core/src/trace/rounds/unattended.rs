//! Time during which nobody watched: the process was stopped, or the machine suspended.
//!
//! Rounds that were due then are not sent later: they count as rounds not sent, with numbers of their own.

use super::Plan;
use super::numbers::LONGEST_GAP;
use crate::time::{Span, Timestamp};

/// A run that is later than this for what was due was not running. A shorter delay is that of a busy machine.
const STOPPED: Span = Span::from_millis(1_000);

/// The part of a round during which nobody watched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unattended {
    /// When something is due next, and when the run was last resumed.
    due: Option<Timestamp>,
    seen: Timestamp,
    time: Span,
}

impl Unattended {
    /// Forgets it, because another round begins.
    pub(super) fn forget(&mut self) {
        self.time = Span::ZERO;
    }

    /// Notes that something is due at `due`, if nothing happens before.
    pub(super) fn expect(&mut self, due: Option<Timestamp>) {
        self.due = due;
    }

    /// Notes that the run is active at `now`.
    pub(super) fn resume(&mut self, now: Timestamp) {
        let late = self.due.take().map_or(Span::ZERO, |due| now.since(due.max(self.seen)));
        if late >= STOPPED {
            self.time = self.time.plus(late);
        }
        self.seen = now;
    }

    /// The number of the next round, without the rounds that were due meanwhile. The very last round is never
    /// skipped.
    pub(super) fn next(&self, plan: &Plan, number: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let due = (self.time.secs_f64() / plan.interval) as u64;
        let next = number + 1 + due.min(LONGEST_GAP - 1);
        plan.rounds.map_or(next, |rounds| next.min(rounds.saturating_sub(1)).max(number + 1))
    }
}

/// The time that this number of rounds takes.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 rounds")]
pub(super) fn length(rounds: u64, interval: f64) -> Span {
    Span::from_secs_f64(rounds as f64 * interval)
}
