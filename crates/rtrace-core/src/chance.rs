//! How likely chance alone separates two samples: exact tests that hold for any number of routers and any weights.
//!
//! Nothing is assumed of how a balancer spreads its packets but that their order tells nothing: if the network is
//! unchanged, every assignment of the pooled observations to the two samples is as likely as any other (a permutation test,
//! Fisher 1935). So the counts of both together are given, and what is counted are assignments.

/// Samples with more kinds, times places of the smaller one, prove nothing: they are not counted out.
const MOST_COUNTED: usize = 1 << 22;
/// Cells that the logarithm of a product of chances is divided into.
const CELLS: usize = 1_000;

/// The weight of the expectation that observations spread evenly: this number of observations of each kind.
const EXPECTED: f64 = 10.0;

/// How often something was seen in the first sample and in the second.
pub type Seen = (usize, usize);

/// The chance that two samples have no kind in common, given how often each kind was seen in both together.
#[must_use]
pub fn disjoint(kinds: &[Seen]) -> f64 {
    let first = sum(kinds.iter().map(|it| it.0));
    let second = sum(kinds.iter().map(|it| it.1));
    let places = first.min(second);
    if places == 0 || kinds.len().saturating_mul(places) > MOST_COUNTED {
        return 1.0;
    }
    // In how many ways kinds can be chosen that fill the smaller sample: ways[j], to fill j places of it.
    let mut ways = vec![0.0_f64; places + 1];
    if let Some(none) = ways.first_mut() {
        *none = 1.0;
    }
    for (before, after) in kinds {
        let size = before.saturating_add(*after);
        for filled in (size..=places).rev() {
            let more = ways.get(filled - size).copied().unwrap_or_default();
            if let Some(ways) = ways.get_mut(filled) {
                *ways += more;
            }
        }
    }
    let ways = ways.last().copied().unwrap_or_default();
    (ways.ln() - ln_choose(first + second, places)).exp().min(1.0)
}

/// The chance that all of `some` among `own + other` observations fall into the sample of `own`.
#[must_use]
pub fn within(some: usize, own: usize, other: usize) -> f64 {
    if some > own {
        return 0.0;
    }
    (ln_choose(own, some) - ln_choose(own.saturating_add(other), some)).exp().min(1.0)
}

/// The chance that none of `later` observations is of a kind to which `some` of `all` earlier ones belong. There are `kinds`
/// kinds, and this one is expected to have the part `share` of all observations. The expectation counts as
/// ten observations of each kind (a Beta distribution of the share), so observations that contradict it outweigh it.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of probes")]
pub fn missed((some, all): Seen, later: usize, kinds: usize, share: f64) -> f64 {
    let expected = EXPECTED * kinds as f64;
    let own = expected * share + some as f64;
    let others = expected * (1.0 - share) + all.saturating_sub(some) as f64;
    let later = later as f64;
    let ln = libm::lgamma(others + later) - libm::lgamma(others) + libm::lgamma(own + others)
        - libm::lgamma(own + others + later);
    if others > 0.0 { ln.exp().min(1.0) } else { 0.0 }
}

/// The chance that of independent groups of events those that happen are together as unlikely as `product` or less.
/// Of each group at most one event counts, the least likely that happens; a group lists the chances of its events.
#[must_use]
pub fn together(groups: &[Vec<f64>], product: f64) -> f64 {
    if product >= 1.0 {
        return 1.0;
    }
    let whole = -product.max(f64::MIN_POSITIVE).ln();
    // chances[i]: the chance that i cells are filled; the last entry stands for all beyond.
    let mut chances = vec![0.0; CELLS + 1];
    if let Some(none) = chances.first_mut() {
        *none = 1.0;
    }
    for group in groups.iter().filter(|group| group.iter().any(|it| *it > 0.0 && *it < 1.0)) {
        let mut next = vec![0.0; CELLS + 1];
        let mut left = 1.0_f64;
        let mut steps = Vec::new();
        let mut sorted = group.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        for chance in sorted.into_iter().filter(|chance| *chance > 0.0 && *chance < 1.0) {
            let taken = chance.min(left);
            left -= taken;
            steps.push((cells(-chance.ln() / whole), taken));
        }
        steps.push((0, left));
        for (filled, chance) in chances.iter().enumerate().filter(|(_, chance)| **chance > 0.0) {
            for (more, taken) in &steps {
                if let Some(sum) = next.get_mut(filled.saturating_add(*more).min(CELLS)) {
                    *sum += chance * taken;
                }
            }
        }
        chances = next;
    }
    chances.last().copied().unwrap_or(1.0).min(1.0)
}

/// This share of all cells, rounded up but for what the logarithm itself was rounded by.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "from 0 to CELLS"
)]
fn cells(share: f64) -> usize {
    ((share * CELLS as f64 - 1e-6).ceil().max(0.0) as usize).min(CELLS)
}

/// The logarithm of the number of ways to choose `some` of `all`.
#[must_use]
pub fn ln_choose(all: usize, some: usize) -> f64 {
    ln_factorial(all) - ln_factorial(some) - ln_factorial(all.saturating_sub(some))
}

#[expect(clippy::cast_precision_loss, reason = "counts of probes")]
fn ln_factorial(number: usize) -> f64 {
    libm::lgamma(number as f64 + 1.0)
}

fn sum(counts: impl Iterator<Item = usize>) -> usize {
    counts.fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn assignments_are_counted() {
        // aaa|bbb: 2 of the 20 ways to choose 3 of 6, whatever the number of routers that were not seen.
        assert!(close(disjoint(&[(3, 0), (0, 3)]), 2.0 / 20.0));
        assert!(close(disjoint(&[(6, 0), (0, 6)]), 2.0 / 924.0));
        // Six routers, each seen once, are in two samples of three in any case.
        assert!(close(disjoint(&[(1, 0), (1, 0), (1, 0), (0, 1), (0, 1), (0, 1)]), 1.0));
        // aab|ccc: {c} or {a, b} fill three places.
        assert!(close(disjoint(&[(2, 0), (1, 0), (0, 3)]), 2.0 / 20.0));
        // What was seen on both sides may yet fall apart: aa fill two of four.
        assert!(close(disjoint(&[(1, 1), (1, 1)]), 2.0 / 6.0));
        assert!(close(disjoint(&[(3, 3)]), 0.0) && close(disjoint(&[(3, 0)]), 1.0));
        assert!(close(within(3, 3, 3), 1.0 / 20.0) && close(within(3, 3, 63), 1.0 / 45_760.0));
        assert!(close(within(2, 3, 2), 3.0 / 10.0) && close(within(4, 3, 9), 0.0));
    }

    #[test]
    fn what_is_expected_and_what_was_seen_say_what_is_missed() {
        // By the expectation alone: an even chance each time, but not known for certain.
        let even = |seen, later| missed(seen, later, 2, 0.5);
        assert!(close(even((0, 0), 1), 0.5) && even((0, 0), 10) > 0.5_f64.powi(10));
        assert!(close(even((3, 8), 1), 15.0 / 28.0) && close(missed((0, 0), 1, 2, 0.25), 0.75));
        // Many observations outweigh it.
        assert!((even((100_000, 1_000_000), 5) - 0.9_f64.powi(5)).abs() < 1e-3);
        assert!(close(even((5, 9), 0), 1.0) && close(missed((5, 5), 7, 1, 1.0), 0.0));
        assert!(even((8, 16), 12) < even((4, 16), 12));
    }

    #[test]
    fn the_chance_of_a_whole_trace_is_that_of_all_its_hops() {
        let hops = |chances: &[f64]| chances.iter().map(|it| vec![*it]).collect::<Vec<_>>();
        assert!(close(together(&hops(&[0.1]), 0.1), 0.1));
        assert!(close(together(&hops(&[0.1, 0.1]), 0.01), 0.01));
        // One of ten such hops.
        assert!(close(together(&hops(&[0.1; 10]), 0.1), 1.0 - 0.9_f64.powi(10)));
        // What cannot come to that does not count.
        assert!(close(together(&hops(&[0.01, 0.5]), 0.01), 0.01));
        assert!(close(together(&[vec![0.01, 0.02, 0.5]], 0.02), 0.03));
        assert!(close(together(&[], 0.5), 0.0) && close(together(&[], 1.0), 1.0));
    }
}
