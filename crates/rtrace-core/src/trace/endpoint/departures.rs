//! Counts the probes handed to the link that never left: those that it refused, and those whose own frame was never
//! captured.
//!
//! A probe counts as sent when its own frame is captured. So whatever keeps it from the wire (a full queue, a filter,
//! a next hop that does not answer) leaves no frame. Without a count of the probes handed out, such a probe would
//! look like one that was never asked for.

use std::collections::VecDeque;

use crate::time::{Span, Timestamp};

/// A probe handed out less than this ago may still wait in a queue.
pub(super) const PATIENCE: Span = Span::from_millis(100);

/// The number of probes that never left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct NeverSent {
    /// Probes that the link refused.
    pub refused: u64,
    /// Probes that the link took, but that were not seen leaving.
    pub unseen: u64,
    /// Probes that were handed to the link: none in a replay.
    pub of: u64,
}

impl NeverSent {
    /// The number of probes that never left, for either reason.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.refused.saturating_add(self.unseen)
    }

    /// The sum of two counts.
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
    /// When the probes that may still leave were handed out, the earliest first.
    recent: VecDeque<Timestamp>,
    /// The number that a recording gives.
    noted: u64,
}

impl Departures {
    /// Notes that the link took a probe.
    pub(super) fn hand(&mut self, at: Timestamp) {
        self.handed += 1;
        self.recent.push_back(at);
    }

    /// Notes that the link refused a probe.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// Notes that the frame of a probe was captured. Probes of an earlier run were not handed out here.
    pub(super) fn leave(&mut self) {
        if self.left < self.handed {
            self.left += 1;
            self.recent.pop_front();
        }
    }

    /// Notes that all frames stamped before `now` are captured.
    pub(super) fn pass(&mut self, now: Timestamp) {
        while self.recent.front().is_some_and(|at| at.after(PATIENCE) <= now) {
            self.recent.pop_front();
        }
    }

    /// Notes the number that the recording of a run gives.
    pub(super) fn note(&mut self, count: u64) {
        self.noted = self.noted.saturating_add(count);
    }

    /// The probes that have not left so far.
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
