//! Which of the probes handed to the link never left: those that it refused, and those whose own frame was never captured.
//!
//! A probe is sent when its own frame is captured, so whatever keeps it from the wire (a full queue, a filter, a next hop that
//! does not answer) leaves no frame. Without a count of what was handed out that would pass for a probe that nobody asked for.

use std::collections::VecDeque;

use crate::time::{Span, Timestamp};

/// A probe handed out less than this ago may still wait in a queue.
pub(super) const PATIENCE: Span = Span::from_millis(100);

/// Probes that never left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeverSent {
    /// Refused by the link.
    pub refused: u64,
    /// Taken by the link and not seen leaving.
    pub unseen: u64,
    /// How many were handed to the link; 0 in a replay, which does not know.
    pub of: u64,
}

impl NeverSent {
    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.refused.saturating_add(self.unseen)
    }

    /// These and those.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            refused: self.refused.saturating_add(other.refused),
            unseen: self.unseen.saturating_add(other.unseen),
            of: self.of.saturating_add(other.of),
        }
    }
}

/// Counts what is handed to a link and what is seen leaving.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures {
    handed: u64,
    refused: u64,
    left: u64,
    /// When those were handed out that may still leave, the first first.
    recent: VecDeque<Timestamp>,
    /// What a recording says.
    noted: u64,
}

impl Departures {
    /// The link took a probe.
    pub(super) fn hand(&mut self, at: Timestamp) {
        self.handed += 1;
        self.recent.push_back(at);
    }

    /// The link did not take one.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// The frame of a probe was captured. Those of an earlier run were not handed out here.
    pub(super) fn leave(&mut self) {
        if self.left < self.handed {
            self.left += 1;
            self.recent.pop_front();
        }
    }

    /// All frames stamped before this are captured.
    pub(super) fn pass(&mut self, now: Timestamp) {
        while self.recent.front().is_some_and(|at| at.after(PATIENCE) <= now) {
            self.recent.pop_front();
        }
    }

    /// The recording of a run says so.
    pub(super) fn note(&mut self, count: u64) {
        self.noted = self.noted.saturating_add(count);
    }

    /// The probes that have not left yet.
    pub(super) fn never_sent(&self) -> NeverSent {
        let waiting = self.handed - self.left;
        let unseen = waiting.saturating_sub(self.recent.len() as u64);
        NeverSent {
            refused: self.refused,
            unseen: unseen.saturating_add(self.noted),
            of: self.handed.saturating_add(self.refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_probe_may_still_leave_for_a_while() {
        let mut departures = Departures::default();
        (0..3).for_each(|ms| departures.hand(at(ms)));
        departures.leave();
        departures.pass(at(80));
        assert_eq!(departures.never_sent().count(), 0);
        departures.pass(at(200));
        assert_eq!(departures.never_sent(), NeverSent { refused: 0, unseen: 2, of: 3 });
        departures.leave();
        departures.refuse();
        assert_eq!(departures.never_sent(), NeverSent { refused: 1, unseen: 1, of: 4 });
        departures.hand(at(700));
        departures.pass(at(750));
        assert_eq!(departures.never_sent().count(), 2, "the last one may be in a queue");
    }

    #[test]
    fn frames_of_an_earlier_run_are_none_of_this_one() {
        let mut departures = Departures::default();
        departures.leave();
        departures.hand(at(0));
        departures.pass(at(1_000));
        departures.note(4);
        assert_eq!(departures.never_sent(), NeverSent { refused: 0, unseen: 5, of: 1 });
    }
}
