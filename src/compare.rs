//! Two traces of one path, compared: what is gone, come or changed since the first.
//!
//! A hop has changed if nobody who answered in the first trace answered in the second; where the two sets of
//! responders overlap, load balancing explains the difference, and it is told but is no change. RTTs are compared by the
//! rank-sum test of Mann and Whitney (1947), two-sided: exact where there are no ties and few RTTs, else by
//! the normal approximation with the correction for ties. An RTT shift is no change of the path.
//!
//! What is compared is the JSON document of a trace (`schema/trace.schema.json`), into which a recording is
//! replayed first. Maps of all paths are compared by [`maps`].

pub mod maps;

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Two sets of RTTs are told apart if chance alone would part them as far with this probability.
pub const SIGNIFICANCE: f64 = 0.01;
/// Up to as many pairs of RTTs the distribution of the rank sum is counted out.
const EXACT_PAIRS: usize = 400;

/// A trace as its JSON document has it: the part that is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct Trace {
    format: String,
    /// What was traced.
    pub target: Target,
    hops: Vec<TracedHop>,
    stop: Stop,
}

/// The target of a trace.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
}

#[derive(Clone, Debug, Deserialize)]
struct Stop {
    ttl: Option<u8>,
    target_reached: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct TracedHop {
    ttl: u8,
    probes: Vec<TracedProbe>,
}

#[derive(Clone, Debug, Deserialize)]
struct TracedProbe {
    replies: Vec<TracedReply>,
}

#[derive(Clone, Debug, Deserialize)]
struct TracedReply {
    responder: IpAddr,
    rtt_ns: Option<i64>,
    #[serde(default)]
    rewritten: bool,
    #[serde(default)]
    duplicate: bool,
    extension: Option<Value>,
}

/// What a trace shows of one hop.
#[derive(Clone, Debug, Default)]
struct Seen {
    responders: BTreeSet<IpAddr>,
    rtts: Vec<i64>,
    labels: BTreeSet<String>,
    rewritten: bool,
}

/// How the second trace differs from the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Whether the path is another one.
    pub changed: bool,
    /// By hop.
    pub hops: Vec<HopDifference>,
    /// As long as the path was and is, where its end is known.
    pub length: Pair<Option<u8>>,
    /// Whether the target was and is reached.
    pub reached: Pair<bool>,
}

/// Something before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// In the first trace.
    pub before: T,
    /// In the second.
    pub after: T,
}

/// What is different at one hop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopDifference {
    /// Its TTL.
    pub ttl: u8,
    /// What it is.
    #[serde(flatten)]
    pub what: Difference,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "difference")]
pub enum Difference {
    /// Answered, and no more.
    Gone {
        /// Who did.
        before: BTreeSet<IpAddr>,
    },
    /// Did not answer, and does now.
    Come {
        /// Who does.
        after: BTreeSet<IpAddr>,
    },
    /// Others answer.
    Changed {
        /// Who did.
        before: BTreeSet<IpAddr>,
        /// Who does.
        after: BTreeSet<IpAddr>,
    },
    /// Some of those who answered do, and others: branches of a load balancer. No change.
    Branches {
        /// Who did.
        before: BTreeSet<IpAddr>,
        /// Who does.
        after: BTreeSet<IpAddr>,
    },
    /// Other label stacks, as lists of labels.
    Labels {
        /// Those that were there.
        before: BTreeSet<String>,
        /// Those that are.
        after: BTreeSet<String>,
    },
    /// Probes are rewritten on the way, or are no more.
    Rewritten {
        /// Whether they are now.
        now: bool,
    },
    /// The RTTs are clearly others. No change of the path.
    Rtt {
        /// Their median, in nanoseconds.
        before_ns: i64,
        /// What it is now.
        after_ns: i64,
        /// How likely chance alone would part them so far.
        p: f64,
    },
}

impl Difference {
    fn is_change(&self) -> bool {
        !matches!(self, Self::Branches { .. } | Self::Rtt { .. })
    }
}

/// A document that is not a trace.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is not JSON of this form.
    #[error("this is no JSON document of a trace: {0}")]
    Form(#[from] serde_json::Error),
    /// It is another document.
    #[error("this is {0}, not a trace: write one with --json")]
    Kind(String),
}

impl Trace {
    /// Reads the JSON document of a trace.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let trace: Self = serde_json::from_slice(json)?;
        if trace.format == "rtrace-trace" {
            return Ok(trace);
        }
        Err(ParseError::Kind(trace.format.escape_debug().to_string()))
    }

    fn seen(&self, ttl: u8) -> Seen {
        let mut seen = Seen::default();
        let within = self.stop.ttl.is_none_or(|end| ttl <= end);
        let hop = self.hops.iter().find(|hop| hop.ttl == ttl).filter(|_| within);
        let replies = hop.into_iter().flat_map(|hop| &hop.probes).flat_map(|probe| &probe.replies);
        for reply in replies.filter(|reply| !reply.duplicate) {
            seen.responders.insert(reply.responder);
            seen.rtts.extend(reply.rtt_ns);
            seen.rewritten |= reply.rewritten;
            seen.labels.extend(reply.extension.as_ref().and_then(labels));
        }
        seen
    }

    fn last(&self) -> u8 {
        let answered = |hop: &&TracedHop| !self.seen(hop.ttl).responders.is_empty();
        let last = self.hops.iter().rfind(answered).map_or(0, |hop| hop.ttl);
        self.stop.ttl.unwrap_or(last)
    }
}

/// The label stack of an extension, as "24015/3001".
fn labels(extension: &Value) -> Option<String> {
    let objects = extension.get("objects")?.as_array()?;
    let stack = objects.iter().find_map(|object| object.get("labels")?.as_array())?;
    let labels = stack.iter().filter_map(|entry| entry.get("label")?.as_u64());
    Some(labels.map(|label| label.to_string()).collect::<Vec<_>>().join("/"))
}

/// Compares the second trace with the first.
#[must_use]
pub fn compare(before: &Trace, after: &Trace) -> Comparison {
    let mut hops = Vec::new();
    for ttl in 1..=before.last().max(after.last()) {
        let found = differences(before.seen(ttl), after.seen(ttl));
        hops.extend(found.into_iter().map(|what| HopDifference { ttl, what }));
    }
    let length = Pair { before: before.stop.ttl, after: after.stop.ttl };
    let reached = Pair { before: before.stop.target_reached, after: after.stop.target_reached };
    let changed = length.before != length.after
        || reached.before != reached.after
        || hops.iter().any(|hop| hop.what.is_change());
    Comparison { changed, hops, length, reached }
}

fn differences(before: Seen, after: Seen) -> Vec<Difference> {
    let mut found = Vec::new();
    let shift = rank_sum(&before.rtts, &after.rtts).filter(|p| *p < SIGNIFICANCE);
    if before.labels != after.labels && !before.responders.is_disjoint(&after.responders) {
        found.push(Difference::Labels { before: before.labels, after: after.labels });
    }
    if before.rewritten != after.rewritten && !after.responders.is_empty() {
        found.push(Difference::Rewritten { now: after.rewritten });
    }
    if let Some((p, before_ns, after_ns)) =
        shift.and_then(|p| Some((p, median(&before.rtts)?, median(&after.rtts)?)))
    {
        found.push(Difference::Rtt { before_ns, after_ns, p });
    }
    let (before, after) = (before.responders, after.responders);
    let responders = match (before.is_empty(), after.is_empty()) {
        _ if before == after => return found,
        (_, true) => Difference::Gone { before },
        (true, _) => Difference::Come { after },
        _ if before.is_disjoint(&after) => Difference::Changed { before, after },
        _ => Difference::Branches { before, after },
    };
    found.insert(0, responders);
    found
}

fn median(values: &[i64]) -> Option<i64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// How likely it is that two samples of one distribution differ as much in rank as these, two-sided; `None`
/// if one of them is empty.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of RTTs")]
pub fn rank_sum(before: &[i64], after: &[i64]) -> Option<f64> {
    if before.is_empty() || after.is_empty() {
        return None;
    }
    // Twice the statistic U: how many of `after` each of `before` exceeds, a tie for half.
    let exceeds = |x: i64| after.iter().map(move |y| usize::from(x > *y) + usize::from(x >= *y));
    let twice: usize = before.iter().flat_map(|x| exceeds(*x)).sum();
    let mut all = [before, after].concat();
    all.sort_unstable();
    let ties: Vec<usize> = all.chunk_by(|x, y| x == y).map(<[i64]>::len).collect();
    let (n, m) = (before.len(), after.len());
    if ties.iter().all(|size| *size == 1) && n * m <= EXACT_PAIRS {
        let least = (twice / 2).min(n * m - twice / 2);
        let counts = distribution(n, m);
        let tail: f64 = counts.iter().take(least + 1).sum();
        return Some((2.0 * tail / counts.iter().sum::<f64>()).min(1.0));
    }
    let (pairs, total) = ((n * m) as f64, (n + m) as f64);
    let cubes: f64 = ties.iter().map(|size| (*size as f64).powi(3) - *size as f64).sum();
    let variance = pairs / 12.0 * ((total + 1.0) - cubes / (total * (total - 1.0)));
    if variance <= 0.0 {
        return Some(1.0);
    }
    let distance = (twice as f64 / 2.0 - pairs / 2.0).abs();
    let z = (distance - 0.5).max(0.0) / variance.sqrt();
    Some(libm::erfc(z / std::f64::consts::SQRT_2).min(1.0))
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
    }

    #[test]
    fn chance_is_told_from_a_shift() {
        let low: Vec<i64> = (0..10).collect();
        let high: Vec<i64> = (100..110).collect();
        // Two orders of 184,756.
        assert!(close(rank_sum(&low, &high).unwrap(), 2.0 / 184_756.0));
        assert!(close(rank_sum(&[1, 2, 3], &[4, 5, 6]).unwrap(), 0.1));
        assert!(close(rank_sum(&[1, 4], &[2, 3]).unwrap(), 1.0));
        assert_eq!(rank_sum(&[7, 7], &[7, 7, 7]), Some(1.0));
        assert_eq!(rank_sum(&[], &[1]), None);
        // With ties, by hand: U = 2.5 of 8 expected, variance 11.286, z = 1.488 with the correction for continuity.
        assert!((rank_sum(&[1, 2, 2, 3], &[2, 3, 4, 5]).unwrap() - 0.1367).abs() < 0.01);
        // Large: as the exact one nearly.
        let (a, b): (Vec<i64>, Vec<i64>) =
            ((0..50).map(|x| 2 * x).collect(), (0..50).map(|x| 2 * x + 1).collect());
        assert!(rank_sum(&a, &b).unwrap() > 0.8);
    }

    fn trace(hops: &[&[&str]], end: Option<u8>) -> Trace {
        let hops: Vec<Value> = (1..)
            .zip(hops)
            .map(|(ttl, hop)| {
                let probes: Vec<Value> = hop
                    .iter()
                    .map(|responder| serde_json::json!({"replies": [{"responder": responder, "rtt_ns": 1000}]}))
                    .collect();
                serde_json::json!({"ttl": ttl, "probes": probes})
            })
            .collect();
        let document = serde_json::json!({
            "format": "rtrace-trace", "target": {"address": "203.0.113.9"}, "hops": hops,
            "stop": {"ttl": end, "target_reached": end.is_some()},
        });
        Trace::parse(document.to_string().as_bytes()).unwrap()
    }

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|it| it.parse().unwrap()).collect()
    }

    #[test]
    fn hops_are_gone_come_changed_or_branches() {
        let before = trace(
            &[&["10.0.0.1"], &["10.0.0.2", "10.0.0.3"], &["10.0.0.4"], &["10.0.0.5"], &[]],
            Some(5),
        );
        let after =
            trace(&[&["10.0.0.1"], &["10.0.0.3"], &["10.0.0.9"], &[], &["203.0.113.9"]], Some(5));
        let found = compare(&before, &after);
        let expected = [
            (
                2,
                Difference::Branches {
                    before: set(&["10.0.0.2", "10.0.0.3"]),
                    after: set(&["10.0.0.3"]),
                },
            ),
            (3, Difference::Changed { before: set(&["10.0.0.4"]), after: set(&["10.0.0.9"]) }),
            (4, Difference::Gone { before: set(&["10.0.0.5"]) }),
            (5, Difference::Come { after: set(&["203.0.113.9"]) }),
        ];
        assert_eq!(found.hops, expected.map(|(ttl, what)| HopDifference { ttl, what }));
        assert!(found.changed);
        assert!(!compare(&before, &before).changed);
        let branches =
            trace(&[&["10.0.0.1"], &["10.0.0.3"], &["10.0.0.4"], &["10.0.0.5"], &[]], Some(5));
        assert!(!compare(&before, &branches).changed, "a branch that was not drawn is no change");
    }

    #[test]
    fn another_document_is_refused() {
        assert!(matches!(Trace::parse(b"{}"), Err(ParseError::Form(_))));
        let other = br#"{"format":"rtrace-events","target":{"address":"::1"},"hops":[],"stop":{"ttl":null,"target_reached":false}}"#;
        assert!(matches!(Trace::parse(other), Err(ParseError::Kind(_))));
    }
}
