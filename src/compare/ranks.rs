//! Whether RTTs have shifted: the rank-sum test of Mann and Whitney (1947), two-sided, and over several hops
//! the sum of their statistics (van Elteren 1960, with equal weights).
//!
//! Exact where there are no ties and not too many RTTs, else by the normal approximation with the correction for ties.

/// Up to as many pairs of RTTs the distribution of the rank sum is counted out.
const EXACT_PAIRS: usize = 400;

/// The number of values of a sample that is enough to find a shift.
const QUANTILES: usize = 100;

/// Two samples of a distribution that may have shifted.
pub type Samples<'a> = (&'a [i64], &'a [i64]);

/// What the two samples of one hop, each with its own distribution, say of a shift.
#[derive(Clone, Copy, Debug)]
pub struct Ranks {
    n: usize,
    m: usize,
    /// Twice the statistic U: how many of the second sample each of the first exceeds, a tie for half.
    twice_u: usize,
    variance: f64,
    tied: bool,
}

impl Ranks {
    /// The test of the samples before and after.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of RTTs")]
    pub fn of((before, after): Samples<'_>) -> Self {
        let mut sorted = after.to_vec();
        sorted.sort_unstable();
        let exceeded = |x: &i64| {
            sorted.partition_point(|y| y < x).saturating_add(sorted.partition_point(|y| y <= x))
        };
        let twice_u = before.iter().map(exceeded).fold(0, usize::saturating_add);
        let mut all = [before, after].concat();
        all.sort_unstable();
        let ties = all.chunk_by(|x, y| x == y).map(<[i64]>::len);
        let cubes: f64 = ties.map(|size| (size as f64).powi(3) - size as f64).sum();
        let (n, m) = (before.len(), after.len());
        let (pairs, total) = (n as f64 * m as f64, (n + m) as f64);
        let variance = pairs / 12.0 * ((total + 1.0) - cubes / (total * (total - 1.0)));
        Self { n, m, twice_u, variance, tied: cubes > 0.0 }
    }

    fn pairs(&self) -> usize {
        self.n.saturating_mul(self.m)
    }
}

/// How likely it is that samples of one distribution differ as much in rank as these, two-sided, over all of
/// these hops together; `None` where no hop has two samples.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of RTTs")]
pub fn rank_sum(hops: &[Ranks]) -> Option<f64> {
    let hops: Vec<&Ranks> = hops.iter().filter(|hop| hop.pairs() > 0).collect();
    let pairs = hops.iter().map(|hop| hop.pairs()).reduce(usize::saturating_add)?;
    let twice = hops.iter().map(|hop| hop.twice_u).fold(0, usize::saturating_add);
    if pairs <= EXACT_PAIRS && !hops.iter().any(|hop| hop.tied) {
        let least = (twice / 2).min(pairs - twice / 2);
        let each = hops.iter().map(|hop| distribution(hop.n, hop.m));
        let counts = each.reduce(|one, two| convolved(&one, &two))?;
        let tail: f64 = counts.iter().take(least + 1).sum();
        return Some((2.0 * tail / counts.iter().sum::<f64>()).min(1.0));
    }
    let variance: f64 = hops.iter().map(|hop| hop.variance).sum();
    if variance <= 0.0 {
        return Some(1.0);
    }
    let distance = (twice as f64 / 2.0 - pairs as f64 / 2.0).abs();
    let z = (distance - 0.5).max(0.0) / variance.sqrt();
    Some(libm::erfc(z / std::f64::consts::SQRT_2).min(1.0))
}

/// The least value of [`rank_sum`] for one hop with these numbers of RTTs: 2 of all orders.
#[must_use]
pub fn least(n: usize, m: usize) -> f64 {
    let orders: f64 = distribution(n.min(20), m.min(20)).iter().sum();
    (2.0 / orders).min(1.0)
}

/// The shift of the second sample against the first: the median of all differences (Hodges and Lehmann 1963), of large
/// samples between quantiles.
#[must_use]
pub fn shift((before, after): Samples<'_>) -> Option<i64> {
    let (before, after) = (quantiles(before), quantiles(after));
    let differences = after.iter().flat_map(|y| before.iter().map(|x| y.saturating_sub(*x)));
    median(differences.collect())
}

/// The upper median.
#[must_use]
pub fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The values in order; of more than [`QUANTILES`], that number of them, evenly spaced.
fn quantiles(values: &[i64]) -> Vec<i64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    let taken = values.len().min(QUANTILES);
    let at = |index: usize| (2 * index + 1) * values.len() / (2 * taken);
    (0..taken).filter_map(|index| values.get(at(index)).copied()).collect()
}

/// In how many orders of `n` and `m` values the statistic U is 0, 1, 2, …: by the recurrence of Mann and
/// Whitney, over which of the samples has the largest value.
fn distribution(n: usize, m: usize) -> Vec<f64> {
    // Row by row: counts for (i, j) from those for (i - 1, j) shifted by j, and for (i, j - 1).
    let mut row: Vec<Vec<f64>> = vec![vec![1.0]; m + 1];
    for i in 1..=n {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for j in 1..=m {
            let mut counts = vec![0.0; i * j + 1];
            let above = row.get(j).into_iter().flatten();
            for (at, count) in above.enumerate() {
                if let Some(sum) = counts.get_mut(at + j) {
                    *sum += count;
                }
            }
            let left = next.get(j - 1).into_iter().flatten();
            for (count, sum) in left.zip(&mut counts) {
                *sum += count;
            }
            next.push(counts);
        }
        row = next;
    }
    row.pop().unwrap_or_default()
}

/// The distribution of the sum of two independent statistics.
fn convolved(one: &[f64], two: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; (one.len() + two.len()).saturating_sub(1)];
    for (at, x) in one.iter().enumerate() {
        for (sum, y) in sums.iter_mut().skip(at).zip(two) {
            *sum += x * y;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6 + b * 1e-3
    }

    #[test]
    fn the_distribution_is_counted_right() {
        // Of 3 and 3: 20 orders, symmetric (Mann and Whitney 1947, table I).
        assert_eq!(distribution(3, 3), [1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 2.0, 1.0, 1.0]);
        assert_eq!(distribution(1, 2), [1.0, 1.0, 1.0]);
        assert!(close(distribution(4, 5).iter().sum::<f64>(), 126.0));
        assert_eq!(convolved(&[1.0, 1.0], &[1.0, 2.0, 1.0]), [1.0, 3.0, 3.0, 1.0]);
    }

    #[test]
    fn chance_is_told_from_a_shift() {
        let one = |before: &[i64], after: &[i64]| rank_sum(&[Ranks::of((before, after))]);
        let low: Vec<i64> = (0..10).collect();
        let high: Vec<i64> = (100..110).collect();
        // Two orders of 184,756.
        assert!(close(one(&low, &high).unwrap(), 2.0 / 184_756.0));
        assert!(close(one(&[1, 2, 3], &[4, 5, 6]).unwrap(), 0.1));
        assert!(close(one(&[1, 4], &[2, 3]).unwrap(), 1.0));
        assert_eq!(one(&[7, 7], &[7, 7, 7]), Some(1.0));
        assert_eq!(one(&[], &[1]), None);
        // With ties, by hand: U = 2.5 of 8 expected, variance 11.286, z = 1.488 with the correction for continuity.
        assert!((one(&[1, 2, 2, 3], &[2, 3, 4, 5]).unwrap() - 0.1367).abs() < 0.01);
        // Large: as the exact one nearly.
        let (a, b): (Vec<i64>, Vec<i64>) =
            ((0..50).map(|x| 2 * x).collect(), (0..50).map(|x| 2 * x + 1).collect());
        assert!(one(&a, &b).unwrap() > 0.8);
    }

    #[test]
    fn hops_together_tell_more_than_each() {
        let hop: Samples<'_> = (&[1, 2, 3], &[14, 15, 16]);
        // Two of 20 orders, of 400, of 8,000.
        for (hops, orders) in [(1, 20.0), (2, 400.0), (3, 8000.0)] {
            assert!(close(rank_sum(&vec![Ranks::of(hop); hops]).unwrap(), 2.0 / orders), "{hops}");
        }
        // Shifts that are opposite cancel.
        assert!(rank_sum(&[hop, (hop.1, hop.0)].map(Ranks::of)).unwrap() > 0.9);
        assert_eq!(shift(hop), Some(13));
        let many: Vec<i64> = (0..10_000).collect();
        let later: Vec<i64> = many.iter().map(|rtt| rtt + 777).collect();
        assert_eq!((shift((&many, &later)), shift((&many, &[]))), (Some(777), None));
        for (n, enough) in [(3, false), (4, false), (5, true), (100, true)] {
            assert_eq!(least(n, n) < 0.01, enough, "{n}");
        }
    }
}
