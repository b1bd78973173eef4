//! With what chance load balancing alone shows two traces different routers.
//!
//! A balancer sends each flow to one of `k` routers, all alike likely. Where `n` flows in one trace and `m` others
//! in the next show no router in common, either it is another path or each trace drew other branches; [`apart`] is
//! the chance of the latter.

/// What load balancing shows with at least this chance is no change.
pub const BALANCED: f64 = 0.05;

/// The chance that `n` flows and `m` others, each sent to one of `k` routers, have none in common.
#[must_use]
pub fn apart(k: usize, n: usize, m: usize) -> f64 {
    let all = count(k.max(2));
    // chances[j]: that the first flows show j routers.
    let mut chances = vec![1.0];
    for _ in 0..n {
        let mut next = vec![0.0; chances.len() + 1];
        for (seen, chance) in chances.iter().enumerate() {
            let share = (count(seen) / all).min(1.0);
            if let [same, more, ..] = &mut next[seen..] {
                *same += chance * share;
                *more += chance * (1.0 - share);
            }
        }
        chances = next;
    }
    let missed = |seen: usize| (1.0 - count(seen) / all).max(0.0).powf(count(m));
    chances.iter().enumerate().map(|(seen, chance)| chance * missed(seen)).sum()
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_drawn_as_theory_says() {
        // Two routers: all flows of the one to the first and all of the other to the second, or the other way round.
        for (n, m, expected) in [(1, 1, 0.5), (3, 3, 1.0 / 32.0), (4, 4, 1.0 / 128.0), (3, 0, 1.0)]
        {
            assert!((apart(2, n, m) - expected).abs() < 1e-12, "{n} {m}");
        }
        // Three, counted out: of 27 draws 3 show one router, 18 two, 6 all.
        let expected = (3.0 * 8.0 / 27.0 + 18.0 / 27.0) / 27.0;
        assert!((apart(3, 3, 3) - expected).abs() < 1e-12);
        assert!(apart(2, 3, 3) < BALANCED && apart(3, 3, 3) >= BALANCED, "as the docs say");
    }
}
