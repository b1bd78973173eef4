//! When enough flows have been tried: the stopping rule of MDA, and how often it stops too early.
//!
//! A router that spreads flows evenly over `k + 1` next hops shows only `k` of them to `n` flows with a
//! chance of at most `(k + 1) · (k / (k + 1))ⁿ`. So `k` next hops are believed to be all of them once `n_k` flows
//! have shown no more, where `n_k` is the least `n` for which that is at most `ε` (Veitch, Augustin, Teixeira and
//! Friedman, "Failure Control in Multipath Route Tracing", INFOCOM 2009). The rule is asked whenever there
//! are `n_k` flows, so its chance to fail as a whole is not `ε` but what [`Rule::failure`] computes.

use serde::{Deserialize, Serialize};

use super::super::config::ConfigError;

/// The confidence that everything is found, and its scope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// In percent, 50 to 99.9999.
    pub percent: f64,
    /// Of the whole graph: what may fail is shared by all routers that branch. Else of each router alone.
    #[serde(default)]
    pub whole_graph: bool,
}

impl Confidence {
    /// The usual one: 95 % of each router.
    pub const USUAL: Self = Self { percent: 95.0, whole_graph: false };

    /// Why it is none, if so.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if (50.0..=99.9999).contains(&self.percent) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange { what: "confidence", range: "50 to 99.9999 %" })
    }

    /// The rule for each router of a graph with this number of branching routers.
    #[must_use]
    pub fn rule(&self, branching: usize) -> Rule {
        let alpha = 1.0 - self.percent / 100.0;
        let shares = f64::from(u32::try_from(branching.max(1)).unwrap_or(u32::MAX));
        // ε = 1 - (1 - α)^(1/B), without losing the digits of a tiny ε.
        let epsilon = if self.whole_graph { -((-alpha).ln_1p() / shares).exp_m1() } else { alpha };
        Rule { epsilon }
    }
}

/// The stopping rule for one router.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    epsilon: f64,
}

impl Rule {
    /// The chance to miss a next hop that each of its checks allows.
    #[must_use]
    pub fn epsilon(self) -> f64 {
        self.epsilon
    }

    /// `n_k`: how many flows have to show no more than `found` next hops before these count as all. Before
    /// there is any, as if there were one.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    pub fn flows(self, found: usize) -> usize {
        let k = f64::from(u32::try_from(found.max(1)).unwrap_or(u32::MAX));
        let flows = (self.epsilon / (k + 1.0)).ln() / (k / (k + 1.0)).ln();
        flows.ceil() as usize
    }

    /// The number of times that a flow is repeated before a router with `found` next hops is believed to
    /// choose by the flow: one that chooses anew for each packet sends them all the same way with a
    /// chance of at most `ε`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    pub fn repeats(self, found: usize) -> usize {
        let k = f64::from(u32::try_from(found.max(2)).unwrap_or(u32::MAX));
        (self.epsilon.ln() / (1.0 / k).ln()).ceil() as usize
    }

    /// The chance that the rule stops before it has found all of `branches` equally likely next hops:
    /// exactly, flow by flow, over how many have been found.
    #[must_use]
    pub fn failure(self, branches: usize) -> f64 {
        self.failure_beyond(branches, 0)
    }

    /// The failure probability where at least this number of flows is probed for another reason.
    #[must_use]
    pub fn failure_beyond(self, branches: usize, flows: usize) -> f64 {
        let total = f64::from(u32::try_from(branches).unwrap_or(u32::MAX));
        // chances[k]: that k are found and the rule has not stopped.
        let mut chances = vec![0.0; branches + 1];
        let (mut failed, mut tried) = (0.0, 0);
        if let Some(none) = chances.first_mut() {
            *none = 1.0;
        }
        while chances.iter().take(branches).sum::<f64>() > 0.0 {
            tried += 1;
            let mut next = vec![0.0; branches + 1];
            for (found, chance) in chances.iter().enumerate().take(branches) {
                let known = f64::from(u32::try_from(found).unwrap_or(u32::MAX)) / total;
                next[found] += chance * known;
                next[found + 1] += chance * (1.0 - known);
            }
            for (found, chance) in next.iter_mut().enumerate().take(branches) {
                if found > 0 && tried >= self.flows(found).max(flows) {
                    failed += std::mem::take(chance);
                }
            }
            chances = next;
        }
        failed
    }
}

/// The stopping rule at work on one router: next hops go in, flow by flow, until it has enough.
#[derive(Clone, Debug)]
pub struct Enumeration<T> {
    rule: Rule,
    found: Vec<T>,
    flows: usize,
}

impl<T: PartialEq> Enumeration<T> {
    /// A rule without any flow yet.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self { rule, found: Vec::new(), flows: 0 }
    }

    /// How many more flows are wanted at least; 0 when the rule stops.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.rule.flows(self.found.len()).saturating_sub(self.flows)
    }

    /// One more flow, and the next hop that it has shown.
    pub fn add(&mut self, next: T) {
        self.flows += 1;
        if !self.found.contains(&next) {
            self.found.push(next);
        }
    }

    /// The next hops, in the order in which they were found.
    #[must_use]
    pub fn found(&self) -> &[T] {
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(percent: f64) -> Rule {
        Confidence { percent, whole_graph: false }.rule(1)
    }

    /// Table 1 of the paper, and that of the original MDA (Augustin, Friedman, Teixeira 2007) for 95 %.
    #[test]
    fn the_stopping_points_are_those_of_the_papers() {
        let points = |percent| (1..=6).map(|k| rule(percent).flows(k)).collect::<Vec<_>>();
        assert_eq!(points(95.0), [6, 11, 16, 21, 27, 33]);
        assert_eq!(points(99.0), [8, 15, 21, 28, 36, 43]);
    }

    #[test]
    fn the_whole_graph_shares_what_may_fail() {
        let whole = Confidence { percent: 95.0, whole_graph: true };
        assert!((whole.rule(1).epsilon() - 0.05).abs() < 1e-12);
        let each = whole.rule(30).epsilon();
        assert!(((1.0 - each).powi(30) - 0.95).abs() < 1e-12, "{each}");
        assert!(whole.rule(30).flows(2) > whole.rule(1).flows(2));
    }

    /// Two next hops: the first six flows all go one way, 2 · 2⁻⁶.
    #[test]
    fn the_exact_failure_of_two_is_known() {
        assert!((rule(95.0).failure(2) - 2.0_f64.powi(-5)).abs() < 1e-12);
        assert!(rule(95.0).failure(1) == 0.0);
        for branches in [2, 3, 4, 8, 16] {
            for percent in [50.0, 95.0, 99.9999] {
                let failure = rule(percent).failure(branches);
                assert!(failure > 0.0 && failure < 1.0, "{branches} at {percent}: {failure}");
            }
        }
    }

    #[test]
    fn confidences_are_checked() {
        let ok = |percent| Confidence { percent, whole_graph: false }.check().is_ok();
        assert!(ok(50.0) && ok(99.9999) && !ok(49.9) && !ok(100.0) && !ok(f64::NAN));
    }
}
