//! Whether RTTs have shifted: the rank-sum test of Mann and Whitney (1947), two-sided, and over several hops
//! the sum of their statistics (van Elteren 1960, with equal weights).
//!
//! Exact where there are no ties and not too many RTTs, else by the normal approximation with the correction for ties.

/// Up to as many pairs of RTTs the distribution of the rank sum is counted out.
const EXACT_PAIRS: usize = 400;

/// Two samples of a distribution that may have shifted.
pub type Samples<'a> = (&'a [i64], &'a [i64]);

/// How likely it is that samples of one distribution differ as much in rank as these, two-sided, over all of
/// these hops together, each of which may have a distribution of its own; `None` where no hop has two samples.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of RTTs")]
pub fn rank_sum(hops: &[Samples<'_>]) -> Option<f64> {
    let hops: Vec<_> =
        hops.iter().filter(|(one, two)| !one.is_empty() && !two.is_empty()).collect();
    let pairs: usize = hops.iter().map(|(before, after)| before.len() * after.len()).sum();
    if pairs == 0 {
        return None;
    }
    let twice: usize = hops.iter().map(|(before, after)| twice_u(before, after)).sum();
    let ties: Vec<Vec<usize>> = hops.iter().map(|(before, after)| ties(before, after)).collect();
    if ties.iter().flatten().all(|size| *size == 1) && pairs <= EXACT_PAIRS {
        let least = (twice / 2).min(pairs - twice / 2);
        let each = hops.iter().map(|(before, after)| distribution(before.len(), after.len()));
        let counts = each.reduce(|one, two| convolved(&one, &two)).unwrap_or_default();
        let tail: f64 = counts.iter().take(least + 1).sum();
        return Some((2.0 * tail / counts.iter().sum::<f64>()).min(1.0));
    }
    let variance: f64 = hops.iter().zip(&ties).map(|(hop, ties)| variance(hop, ties)).sum();
    if variance <= 0.0 {
        return Some(1.0);
    }
    let distance = (twice as f64 / 2.0 - pairs as f64 / 2.0).abs();
    let z = (distance - 0.5).max(0.0) / variance.sqrt();
    Some(libm::erfc(z / std::f64::consts::SQRT_2).min(1.0))
}

/// The least that [`rank_sum`] can come to for one hop of so many RTTs: 2 of all orders.
#[must_use]
pub fn least(n: usize, m: usize) -> f64 {
    let orders: f64 = distribution(n.min(20), m.min(20)).iter().sum();
    (2.0 / orders).min(1.0)
}

/// By how much the second samples exceed the first: the median of all differences within a hop (Hodges and Lehmann 1963).
#[must_use]
pub fn shift(hops: &[Samples<'_>]) -> Option<i64> {
    let within = |(before, after): &Samples<'_>| {
        let differences =
            after.iter().flat_map(|y| before.iter().map(move |x| y.saturating_sub(*x)));
        differences.collect::<Vec<_>>()
    };
    median(&hops.iter().flat_map(within).collect::<Vec<_>>())
}

/// The upper median.
#[must_use]
pub fn median(values: &[i64]) -> Option<i64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// Twice the statistic U: how many of `after` each of `before` exceeds, a tie for half.
fn twice_u(before: &[i64], after: &[i64]) -> usize {
    let exceeds = |x: i64| after.iter().map(move |y| usize::from(x > *y) + usize::from(x >= *y));
    before.iter().flat_map(|x| exceeds(*x)).sum()
}

/// The sizes of the groups of equal values.
fn ties(before: &[i64], after: &[i64]) -> Vec<usize> {
    let mut all = [before, after].concat();
    all.sort_unstable();
    all.chunk_by(|x, y| x == y).map(<[i64]>::len).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of RTTs")]
fn variance((before, after): &Samples<'_>, ties: &[usize]) -> f64 {
    let (pairs, total) = ((before.len() * after.len()) as f64, (before.len() + after.len()) as f64);
    let cubes: f64 = ties.iter().map(|size| (*size as f64).powi(3) - *size as f64).sum();
    pairs / 12.0 * ((total + 1.0) - cubes / (total * (total - 1.0)))
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
        let one = |before: &[i64], after: &[i64]| rank_sum(&[(before, after)]);
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
            assert!(close(rank_sum(&vec![hop; hops]).unwrap(), 2.0 / orders), "{hops}");
        }
        // Shifts that are opposite cancel.
        assert!(rank_sum(&[hop, (hop.1, hop.0)]).unwrap() > 0.9);
        assert_eq!(shift(&[hop, hop]), Some(13));
        for (n, enough) in [(3, false), (4, false), (5, true), (100, true)] {
            assert_eq!(least(n, n) < 0.01, enough, "{n}");
        }
    }
}
