//! How fast a bucket fills, as far as answers show it: what a bucket gives that was full says nothing of that.
//!
//! A probe that a bucket leaves unanswered finds it empty. Between two of them it gained what it gave, but for one token at most
//! either way, unless it was full for a while, when tokens are wasted. It was not where it gave fewer tokens than it holds, nor
//! before a probe that it left unanswered.

use super::{Asked, Candidate, JITTER, Limit, float};

/// The highest rate that answers allow is at most this many times the lowest, or there is no number.
const NARROW: f64 = 1.6;
/// One in this number of losses may have another cause than the limit.
const PURE: f64 = 10.0;

/// What answers show of a bucket that gave `burst` answers at once before these.
pub(super) fn measure(probes: &[Asked], unexplained: u64, burst: Option<u32>) -> Limit {
    let probes: Vec<Asked> = probes.iter().filter(|asked| !asked.rejected).copied().collect();
    let is_lost = |asked: &Asked| !asked.answered;
    let losses = float(probes.iter().filter(|asked| is_lost(asked)).count() as u64);
    let ends = probes.iter().position(is_lost).zip(probes.iter().rposition(is_lost));
    let ends = ends.filter(|_| float(unexplained) * PURE <= losses);
    let Some(dry) = ends.and_then(|(first, end)| probes.get(first..=end)) else {
        return Limit::default();
    };
    let seconds = |from: &Asked, to: &Asked| to.sent.since(from.sent).secs_f64();
    let lasted = dry.first().zip(dry.last()).map_or(0.0, |(from, to)| seconds(from, to));
    let given = float(dry.iter().filter(|asked| asked.answered).count() as u64);
    let lowest = (given - 1.0) / (lasted + JITTER);
    let known = f64::from(burst.unwrap_or(0));
    let held = held(&probes, NARROW * given / lasted.max(JITTER)).max(known);
    // How long it was not full, as far as that is certain.
    let mut filling = -JITTER;
    let lost: Vec<(usize, &Asked)> = dry.iter().enumerate().filter(|(_, it)| is_lost(it)).collect();
    for pair in lost.windows(2) {
        let [(from, start), (to, end)] = pair else { continue };
        let given = float((to - from - 1) as u64);
        let before_last = dry.get(to - 1).map_or(0.0, |before| seconds(before, end));
        filling += if given + 2.0 <= held { seconds(start, end) } else { before_last };
    }
    let highest = (given + 1.0) / filling;
    if !(lowest > 0.0 && filling > 0.0 && highest <= NARROW * lowest) {
        return Limit::default();
    }
    let per_second = (given / lasted).clamp(lowest, highest);
    Limit { per_second: Some(per_second), burst: whole(self::held(&probes, per_second).max(known)) }
}

/// The number of tokens that a bucket of this rate holds at least, by what it gave at once.
fn held(probes: &[Asked], per_second: f64) -> f64 {
    let mut most = 0.0_f64;
    for run in probes.chunk_by(|a, b| a.answered == b.answered) {
        let Some(first) = run.first().filter(|first| first.answered) else { continue };
        for (given, asked) in (1..).zip(run) {
            let lasted = asked.sent.since(first.sent).secs_f64();
            most = most.max(float(given) - per_second * lasted);
        }
    }
    most
}

fn whole(held: f64) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (1.0..1e6).contains(&held).then_some(held.round() as u32)
}

impl Limit {
    /// What this does not say, as `before` said it.
    pub(super) fn or(self, before: Option<Self>) -> Self {
        let before = before.unwrap_or_default();
        let per_second = self.per_second.or(before.per_second);
        Self { per_second, burst: self.burst.or(before.burst) }
    }

    /// A limit of a number of answers in each second: its rate is that number.
    pub(super) fn of_window(limit: Candidate) -> Self {
        Self { per_second: Some(limit.per_second), burst: Some(limit.burst) }
    }
}
