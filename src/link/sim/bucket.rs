//! What is left of a limit: the tokens of a bucket, or how many replies there were in the running second.

use super::node::Rate;
use crate::time::{Span, Timestamp};

const SECOND: Span = Span::from_millis(1_000);

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// How many replies may be sent now.
    tokens: f64,
    /// When that was last reckoned; of a limit for each second, when the running one began.
    since: Timestamp,
    /// Of a limit for each second: when it was asked last.
    asked: Timestamp,
}

/// How many answers go to others in this number of seconds.
fn others(rate: Rate, seconds: f64, rng: &mut fastrand::Rng) -> f64 {
    let mut sent = 0.0;
    let mut left = if rate.others > 0.0 { seconds } else { 0.0 };
    while left > 0.0 {
        left += rng.f64().max(f64::MIN_POSITIVE).ln() / rate.others;
        sent += if left > 0.0 { 1.0 } else { 0.0 };
    }
    sent
}

impl Bucket {
    /// A full bucket.
    pub(super) fn full(rate: Option<Rate>) -> Self {
        let tokens = rate.map_or(0.0, |rate| f64::from(rate.burst));
        Self { tokens, since: Timestamp::default(), asked: Timestamp::default() }
    }

    /// Whether a reply may be sent at this time; it counts if so.
    pub(super) fn take(&mut self, rate: Rate, at: Timestamp, rng: &mut fastrand::Rng) -> bool {
        let rested = at.since(self.since).secs_f64().max(0.0);
        let most = f64::from(rate.burst);
        if !rate.window {
            self.rest(rate, rested, rng);
            self.since = self.since.max(at);
        } else if at.since(self.since) >= SECOND {
            // Where others are answered, the second has begun with one of them.
            let began = if rate.others > 0.0 { rng.f64() } else { 0.0 };
            self.since = at.after(Span::from_secs_f64(-began));
            self.tokens = most - others(rate, began, rng);
            self.asked = at;
        } else {
            let between = at.since(self.asked).secs_f64();
            self.tokens -= others(rate, between, rng);
            self.asked = at;
        }
        let speaks = self.tokens >= 1.0;
        if speaks {
            self.tokens -= 1.0;
        }
        speaks
    }

    /// Fills for this number of seconds, while others take tokens now and then.
    fn rest(&mut self, rate: Rate, seconds: f64, rng: &mut fastrand::Rng) {
        let mut left = seconds;
        if rate.others > 0.0 {
            // Earlier probes no longer make a difference.
            left = left.min(20.0 * f64::from(rate.burst) / rate.per_second);
            loop {
                let next = -rng.f64().max(f64::MIN_POSITIVE).ln() / rate.others;
                if next > left {
                    break;
                }
                left -= next;
                self.fill(rate, next);
                if self.tokens >= 1.0 {
                    self.tokens -= 1.0;
                }
            }
        }
        self.fill(rate, left);
    }

    fn fill(&mut self, rate: Rate, seconds: f64) {
        self.tokens = (self.tokens + seconds * rate.per_second).min(f64::from(rate.burst));
    }
}
