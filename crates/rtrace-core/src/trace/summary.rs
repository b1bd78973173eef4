//! Statistics of many round-trip times, in memory that does not grow with their number.
//!
//! Mean and deviation follow Welford (1962); the interarrival jitter is that of RFC 3550 §6.4.1 and appendix A.8;
//! quantiles come from a histogram whose buckets are within one percent of what they hold.
//! `tests` check all of it against the definitions.

mod histogram;

use histogram::Histogram;

use crate::time::Span;

/// What a histogram counts in, in nanoseconds: fine enough for the RTTs of a loopback.
const UNIT: i64 = 100;
/// The share of a new difference in the interarrival jitter (RFC 3550 §6.4.1).
const JITTER_GAIN: f64 = 1.0 / 16.0;

/// Statistics of round-trip times. All values of an empty summary are `None`.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    count: u64,
    last: Span,
    best: Span,
    worst: Span,
    mean: f64,
    /// Sum of the squares of the differences from the mean.
    squares: f64,
    /// Sum of the logarithms, for the geometric mean.
    logarithms: f64,
    /// The last difference between two successive RTTs, the sum of all differences, and the largest.
    jitter: Span,
    jitter_sum: f64,
    jitter_worst: Span,
    interarrival: f64,
    histogram: Histogram,
}

impl Summary {
    /// Adds an RTT. A negative one counts as zero.
    pub fn add(&mut self, rtt: Span) {
        let rtt = rtt.max(Span::ZERO);
        self.count += 1;
        let (value, count) = (float(rtt), exact(self.count));
        let from_mean = value - self.mean;
        self.mean += from_mean / count;
        self.squares += from_mean * (value - self.mean);
        self.logarithms += value.max(1.0).ln();
        if self.count == 1 {
            (self.best, self.worst) = (rtt, rtt);
        } else {
            (self.best, self.worst) = (self.best.min(rtt), self.worst.max(rtt));
            let difference = (rtt.nanos() - self.last.nanos()).saturating_abs();
            self.jitter = Span::from_nanos(difference);
            self.jitter_sum += float(self.jitter);
            self.jitter_worst = self.jitter_worst.max(self.jitter);
            self.interarrival += JITTER_GAIN * (float(self.jitter) - self.interarrival);
        }
        self.last = rtt;
        self.histogram.add((rtt.nanos() / UNIT).unsigned_abs());
    }

    /// Adds an RTT, if there is one.
    pub fn extend(&mut self, rtt: Option<Span>) {
        if let Some(rtt) = rtt {
            self.add(rtt);
        }
    }

    /// The number of RTTs.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last RTT.
    #[must_use]
    pub fn last(&self) -> Option<Span> {
        self.some(self.last)
    }

    /// The smallest RTT.
    #[must_use]
    pub fn best(&self) -> Option<Span> {
        self.some(self.best)
    }

    /// The largest RTT.
    #[must_use]
    pub fn worst(&self) -> Option<Span> {
        self.some(self.worst)
    }

    /// The arithmetic mean of the RTTs.
    #[must_use]
    pub fn mean(&self) -> Option<Span> {
        self.some(span(self.mean))
    }

    /// The geometric mean of the RTTs that are at least a nanosecond.
    #[must_use]
    pub fn geometric_mean(&self) -> Option<Span> {
        self.some(span((self.logarithms / exact(self.count.max(1))).exp()))
    }

    /// The sample standard deviation, with n − 1; zero for a single RTT.
    #[must_use]
    pub fn deviation(&self) -> Option<Span> {
        self.some(span((self.squares / exact(self.count.max(2) - 1)).max(0.0).sqrt()))
    }

    /// The difference between the last two RTTs; zero for a single RTT, as for the other kinds of jitter.
    #[must_use]
    pub fn jitter(&self) -> Option<Span> {
        self.some(self.jitter)
    }

    /// The mean difference between successive RTTs.
    #[must_use]
    pub fn mean_jitter(&self) -> Option<Span> {
        self.some(span(self.jitter_sum / exact(self.count.max(2) - 1)))
    }

    /// The largest difference between successive RTTs.
    #[must_use]
    pub fn worst_jitter(&self) -> Option<Span> {
        self.some(self.jitter_worst)
    }

    /// The interarrival jitter (RFC 3550 §6.4.1).
    #[must_use]
    pub fn interarrival_jitter(&self) -> Option<Span> {
        self.some(span(self.interarrival))
    }

    /// The RTT that this share of all RTTs does not exceed, within one percent; `share` is from 0 to 1.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Span> {
        let units = self.histogram.quantile(share, self.count);
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        let value = Span::from_nanos(units.saturating_mul(UNIT));
        self.some(value.max(self.best).min(self.worst))
    }

    fn some(&self, value: Span) -> Option<Span> {
        (self.count > 0).then_some(value)
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 104 days")]
fn float(span: Span) -> f64 {
    span.nanos() as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 RTTs")]
fn exact(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, reason = "casts from float saturate")]
fn span(nanos: f64) -> Span {
    Span::from_nanos(nanos.round() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: Option<Span>, expected: f64) -> bool {
        let found = float(found.unwrap());
        (found - expected).abs() <= 1.0 + expected.abs() * 1e-9
    }

    proptest! {
        #[test]
        fn it_is_what_the_definitions_say(rtts in prop::collection::vec(0..40_000_000_000_i64, 1..400)) {
            let mut summary = Summary::default();
            for rtt in &rtts {
                summary.add(Span::from_nanos(*rtt));
            }
            let values: Vec<f64> = rtts.iter().map(|rtt| float(Span::from_nanos(*rtt))).collect();
            let n = exact(values.len() as u64);
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
            let mut interarrival = 0.0;
            for step in &steps {
                interarrival += (step - interarrival) / 16.0;
            }
            let mean_step = steps.iter().sum::<f64>() / exact((steps.len() as u64).max(1));
            let geometric = (values.iter().map(|value| value.max(1.0).ln()).sum::<f64>() / n).exp();
            prop_assert_eq!(summary.count(), values.len() as u64);
            prop_assert_eq!(summary.last().unwrap().nanos(), *rtts.last().unwrap());
            prop_assert_eq!(summary.best().unwrap().nanos(), *rtts.iter().min().unwrap());
            prop_assert_eq!(summary.worst().unwrap().nanos(), *rtts.iter().max().unwrap());
            prop_assert!(close(summary.mean(), mean));
            prop_assert!(close(summary.geometric_mean(), geometric));
            prop_assert!(close(summary.deviation(), (squares / (n - 1.0).max(1.0)).sqrt()));
            prop_assert!(close(summary.jitter(), steps.last().copied().unwrap_or(0.0)));
            prop_assert!(close(summary.mean_jitter(), mean_step));
            prop_assert!(close(summary.worst_jitter(), steps.iter().copied().fold(0.0, f64::max)));
            prop_assert!(close(summary.interarrival_jitter(), interarrival));
            let mut sorted = rtts.clone();
            sorted.sort_unstable();
            for share in [0.0, 0.5, 0.95, 0.99, 1.0] {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
                let rank = ((share * n).ceil() as usize).max(1) - 1;
                let (found, exact) = (summary.quantile(share).unwrap().nanos(), sorted[rank]);
                prop_assert!((found - exact).abs() <= exact / 100 + UNIT, "{}: {} {}", share, found, exact);
            }
        }
    }

    #[test]
    fn nothing_is_known_of_none() {
        let none = Summary::default();
        let asked = [none.last(), none.mean(), none.deviation(), none.quantile(0.5), none.best()];
        assert_eq!(asked, [None; 5]);
    }

    #[test]
    fn absurd_times_do_no_harm() {
        let mut summary = Summary::default();
        for nanos in [i64::MIN, -1, i64::MAX, 0] {
            summary.add(Span::from_nanos(nanos));
        }
        assert_eq!(
            (summary.best(), summary.worst()),
            (Some(Span::ZERO), Some(Span::from_nanos(i64::MAX)))
        );
        assert!(summary.quantile(0.99).is_some() && summary.deviation().is_some());
    }
}
