//! Time that went by while nobody watched: the process was stopped, or the machine suspended.
//!
//! Rounds that were due then are not sent afterwards: they are rounds not sent, with numbers of their own.

use super::Plan;
use super::numbers::LONGEST_GAP;
use crate::time::{Span, Timestamp};

/// A run that comes later than this to what it was to do was not running. Less than that is a busy machine.
const STOPPED: Span = Span::from_millis(1_000);

/// How much of a round's time nobody watched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unattended {
    /// When something is to be done next, and when the run went on last.
    due: Option<Timestamp>,
    seen: Timestamp,
    time: Span,
}

impl Unattended {
    /// Another round begins.
    pub(super) fn forget(&mut self) {
        self.time = Span::ZERO;
    }

    /// Something is to be done at `due`, if nothing happens before.
    pub(super) fn expect(&mut self, due: Option<Timestamp>) {
        self.due = due;
    }

    /// It is `now`, and the run goes on.
    pub(super) fn resume(&mut self, now: Timestamp) {
        let late = self.due.take().map_or(Span::ZERO, |due| now.since(due.max(self.seen)));
        if late >= STOPPED {
            self.time = self.time.plus(late);
        }
        self.seen = now;
    }

    /// The number of the round after this one, without those that were due meanwhile. The last of all is not left out.
    pub(super) fn next(&self, plan: &Plan, number: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let due = (self.time.secs_f64() / plan.interval) as u64;
        let next = number + 1 + due.min(LONGEST_GAP - 1);
        plan.rounds.map_or(next, |rounds| next.min(rounds.saturating_sub(1)).max(number + 1))
    }
}

/// How long so many rounds take.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 rounds")]
pub(super) fn length(rounds: u64, interval: f64) -> Span {
    Span::from_secs_f64(rounds as f64 * interval)
}
