//! Limits the rate at which the probes of all traces together leave.

use crate::time::{Span, Timestamp};

/// How far sending may fall behind its rate and catch up.
const CATCH_UP: Span = Span::from_millis(10);

/// Limits probes to a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pacer {
    /// Time from one probe to the next; `None` sets no limit.
    interval: Option<Span>,
    next_at: Timestamp,
}

impl Pacer {
    /// Limits probes to this number a second.
    pub(super) fn of_rate(rate: f64) -> Self {
        Self { interval: Some(Span::from_secs_f64(1.0 / rate)), ..Self::default() }
    }

    /// When the next probe may leave; `None` means at any time.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.interval.map(|_| self.next_at)
    }

    /// Whether the next probe may leave now.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        self.next_at().is_none_or(|at| at <= now)
    }

    /// Notes that a probe left.
    pub(super) fn note_probe(&mut self, now: Timestamp) {
        if let Some(interval) = self.interval {
            self.next_at = self.next_at.max(now.before(CATCH_UP)).after(interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_keep_to_the_rate_and_catch_up_a_little() {
        let at = |micros| Timestamp::from_nanos(1_000_000_000).after(Span::from_micros(micros));
        let mut pacer = Pacer::of_rate(1_000.0);
        let mut sent = 0;
        for step in 0..1_000_000_i64 / 50 {
            let now = at(step * 50);
            // Nobody asks for a third of a second in between.
            if (300_000..600_000).contains(&(step * 50)) {
                continue;
            }
            while pacer.is_open(now) {
                pacer.note_probe(now);
                sent += 1;
            }
        }
        assert_eq!(sent, 700 + 2 * 10, "a second less that third, and what was caught up twice");
        assert!(Pacer::default().is_open(at(0)));
    }
}
