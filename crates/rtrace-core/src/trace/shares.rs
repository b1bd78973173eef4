//! Whether of two shares of lost probes one is lower by more than chance.
//!
//! Few losses are counted exactly (Fisher's test, one-sided): given the losses of both together,
//! how likely is it that chance alone puts at least this part of them on one side? Many are compared by the normal
//! distribution, which is then close, in constant time.

/// Once in 740 times, at the most, it is chance.
const CHANCE: f64 = 0.001_35;
/// The number of standard deviations above the mean that is as unlikely.
const DEVIATIONS: f64 = 3.0;

/// Losses that are counted out; of more than that the sums are long and the distribution is normal.
const COUNTED: u64 = 200;

/// Lost ones among those that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many were lost.
    pub lost: u64,
    /// Of how many.
    pub sent: u64,
}

impl Share {
    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self { lost: self.lost + other.lost, sent: self.sent + other.sent }
    }

    /// From 0 to 1.
    pub fn part(self) -> f64 {
        float(self.lost) / float(self.sent.max(1))
    }

    /// The logarithm of how likely these are in their order, if any chance of loss is as likely as any other.
    pub fn ln_likelihood(self) -> f64 {
        -float(self.sent + 1).ln() - ln_choose(self.sent, self.lost)
    }

    /// The variance of the number lost, if each is lost by the same chance.
    pub fn variance(self) -> f64 {
        self.part() * (1.0 - self.part()) * float(self.sent)
    }

    /// Whether it is below `other` by more than chance, if `chances` such comparisons are made and one that
    /// holds is enough.
    pub fn is_clearly_below(self, other: Self, chances: usize) -> bool {
        if self.sent == 0 || self.part() >= other.part() {
            return false;
        }
        let (both, chances) = (self.with(other), float(chances.max(1) as u64));
        if both.lost <= COUNTED {
            return by_chance(other, both) <= CHANCE / chances;
        }
        let part = both.part();
        let variance = part * (1.0 - part) * (1.0 / float(self.sent) + 1.0 / float(other.sent));
        // Where the tail of the normal distribution is smaller by this factor.
        let deviations = (DEVIATIONS.powi(2) + 2.0 * chances.ln()).sqrt();
        other.part() - self.part() > deviations * variance.sqrt()
    }
}

/// The probability that of all that `both` lost at least as many fall on `own` as did.
fn by_chance(own: Share, both: Share) -> f64 {
    let rest = both.sent - own.sent;
    let first = own.lost.max(both.lost.saturating_sub(rest));
    let ways = ln_choose(own.sent, first) + ln_choose(rest, both.lost - first);
    let mut term = (ways - ln_choose(both.sent, both.lost)).exp();
    let mut sum = 0.0;
    for lost in first..=both.lost.min(own.sent) {
        sum += term;
        // From the number of ways to lose `lost` to the ways to lose one more.
        let more = float(own.sent - lost) * float(both.lost - lost);
        term *= more / (float(lost + 1) * float(rest + lost + 1 - both.lost));
    }
    sum
}

/// The logarithm of the number of ways to choose `some` of `all`; of many by Stirling's formula, which is close then.
fn ln_choose(all: u64, some: u64) -> f64 {
    let some = some.min(all - some);
    if some <= COUNTED {
        return (0..some).map(|index| (float(all - index) / float(some - index)).ln()).sum();
    }
    let ln_factorial = |count: u64| {
        let count = float(count);
        (count + 0.5) * count.ln() - count + 0.5 * std::f64::consts::TAU.ln() + 1.0 / (12.0 * count)
    };
    ln_factorial(all) - ln_factorial(some) - ln_factorial(all - some)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 probes")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn share(lost: u64, sent: u64) -> Share {
        Share { lost, sent }
    }

    #[test]
    fn few_are_counted_out() {
        // 3 of 10 and none of 30: 120 of the 9880 ways to choose 3 of 40.
        let found = by_chance(share(3, 10), share(3, 40));
        assert!((found - 120.0 / 9_880.0).abs() < 1e-12, "{found}");
        // Fisher's tea: 3 of 4 right.
        let found = by_chance(share(3, 4), share(4, 8));
        assert!((found - 17.0 / 70.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn chance_is_told_from_more() {
        for (behind, own, clearly) in [
            (share(0, 10), share(3, 10), false),
            (share(0, 30), share(3, 10), false),
            (share(0, 80), share(3, 10), true),
            (share(0, 10), share(10, 10), true),
            (share(5, 10), share(5, 10), false),
            (share(9, 10), share(5, 10), false),
            (share(0, 0), share(5, 10), false),
            (share(100, 1_000), share(160, 1_000), true),
            (share(100, 1_000), share(115, 1_000), false),
            (share(1_000, 1_000_000), share(1_200, 1_000_000), true),
        ] {
            assert_eq!(behind.is_clearly_below(own, 1), clearly, "{behind:?} {own:?}");
        }
        // Of many comparisons one comes out so by chance.
        assert!(!share(0, 80).is_clearly_below(share(3, 10), 10));
        assert!(!share(100, 1_000).is_clearly_below(share(147, 1_000), 10));
    }

    /// Where one is exchanged for the other, both say the same.
    #[test]
    fn counting_and_the_normal_distribution_agree() {
        let edge = |sent: u64, own_first: u64| {
            let below = |lost| share(own_first, sent).is_clearly_below(share(lost, sent), 1);
            (own_first..sent).find(|lost| below(*lost)).unwrap() - own_first
        };
        // 80 and more of 10,000 on one side: the sum passes 200 right there.
        let (counted, normal) = (edge(10_000, 75), edge(10_000, 76));
        assert!(counted.abs_diff(normal) <= 2, "{counted} {normal}");
    }
}
