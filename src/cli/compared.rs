//! What `rtrace diff` has found, in words.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use crate::compare::Pair;
use crate::compare::hops::{Comparison, Difference, HopDifference, Responders, Stacks, Verdict};
use crate::compare::maps::{MapComparison, Missing};
use crate::compare::rewrites::{Rewriting, Rewritten};
use crate::compare::shifts::{Rtts, SIGNIFICANCE, Shift};
use crate::time::Span;

/// How much of the value of a rewritten field is shown: octets are hex digits.
const DIGITS: usize = 40;

/// Two traces.
pub fn trace(found: &Comparison) -> String {
    let mut text = String::new();
    for hop in &found.hops {
        // A silent router that was removed or added has no name, but the hops beyond it moved.
        let _ =
            writeln!(text, "{:2}  {}", hop.ttl.after.or(hop.ttl.before).unwrap_or(0), said(hop));
    }
    for field in &found.rewrites {
        text += &rewriting(field);
    }
    text += &rtts(&found.rtts);
    let known = |end: Option<u8>| end.map_or("unknown".to_owned(), |end| end.to_string());
    if found.length.before != found.length.after {
        let (before, after) = (known(found.length.before), known(found.length.after));
        let _ = writeln!(text, "length: {before} is now {after}");
    }
    text += reached(found.reached);
    text += &unfinished(found.unfinished);
    if let Pair { before, after } = found.rounds
        && before.max(after) > 1
    {
        let _ = writeln!(text, "rounds compared, all together: {before} before, {after} now");
    }
    let target = found.head.target;
    let _ = match found.verdict {
        Verdict::Same => writeln!(text, "the path to {target} is the same"),
        Verdict::Changed => writeln!(text, "the path to {target} has changed"),
        Verdict::Unclear => {
            let enough = found.enough_queries.map_or(String::new(), |queries| {
                format!("trace with -q {queries} or more before and after, or ")
            });
            writeln!(
                text,
                "whether the path to {target} has changed is unclear: load balancing or loss alone show this with \
                 {}; {enough}compare two of `rtrace paths`, or two of --flow paris with the same --sport \
                 (IPv6: and --flowlabel)",
                chance(found.p)
            )
        }
    };
    text
}

fn said(hop: &HopDifference) -> String {
    let said = match &hop.what {
        Difference::Removed(before) => format!("removed: {}", list(before)),
        Difference::Added(after) => format!("added: {}", list(after)),
        Difference::Replaced(Pair { before, after }) => {
            format!("replaced: {} by {}", list(before), list(after))
        }
        Difference::Silent(before) => format!("does not answer now: {}", list(before)),
        Difference::Answers(after) => format!("answers now: {}", list(after)),
        Difference::Branches(Pair { before, after }) => {
            return format!("other branches: {}, before {}", list(after), list(before));
        }
        Difference::Labels { responder, stacks: Pair { before, after } } => {
            format!("labels at {responder}: {} is now {}", stacks(before), stacks(after))
        }
    };
    let moved = match hop.ttl {
        Pair { before: Some(before), after } if after != Some(before) => {
            format!(" (was hop {before})")
        }
        _ => String::new(),
    };
    match hop.chance.filter(|_| !hop.change) {
        Some(p) => format!("perhaps other branches ({}): {said}{moved}", chance(p)),
        None => said + &moved,
    }
}

fn rewriting(field: &Rewriting) -> String {
    // Ports, checksums and the like become something else in each probe.
    let values = |it: &Rewritten| {
        let shown = it.values.iter().filter(|value| it.values.len() == 1 && !value.is_empty());
        let shown: String = shown.flat_map(|value| value.chars().take(DIGITS)).collect();
        let to = if shown.is_empty() { shown } else { format!("to {shown}, ") };
        format!("{to}from hop {} on", it.hop)
    };
    let name = &field.field;
    let said = match &field.rewritten {
        Pair { before: Some(before), after: None } => {
            format!("not rewritten now: {name} (before {})", values(before))
        }
        Pair { before: Some(before), after: Some(after) } => {
            format!("rewritten: {name} {} (before {})", values(after), values(before))
        }
        Pair { before: None, after: Some(after) } => {
            format!("rewritten now: {name} {}", values(after))
        }
        Pair { before: None, after: None } => return String::new(),
    };
    let perhaps = if field.change { "" } else { "on some branches, perhaps: " };
    format!("{perhaps}{said}\n")
}

fn rtts(found: &Rtts) -> String {
    let mut text = String::new();
    let by = |shift: &Shift| {
        let sign = if shift.shift_ns < 0 { "" } else { "+" };
        format!("{sign}{} ms", Span::from_nanos(shift.shift_ns))
    };
    for shift in &found.at {
        let _ = writeln!(
            text,
            "RTT at hop {}: {} (rank-sum test, {})",
            shift.ttl,
            by(shift),
            chance(shift.p)
        );
    }
    if let Some(shift) = &found.from {
        let _ = writeln!(
            text,
            "RTT from hop {} on: {} (rank-sum test of {} hops, {})",
            shift.ttl,
            by(shift),
            shift.hops,
            chance(shift.p)
        );
    }
    if !found.too_few.is_empty() {
        let _ = writeln!(
            text,
            "too few RTTs at {} to find a shift of one hop alone at p < {SIGNIFICANCE}: 5 each are enough (-q 5)",
            hops(&found.too_few)
        );
    }
    text
}

/// "hops 1-5, 7".
fn hops(ttls: &[u8]) -> String {
    let runs = ttls.chunk_by(|one, next| one.checked_add(1) == Some(*next));
    let runs = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    let runs: Vec<_> = runs.collect();
    format!("hop{} {}", if ttls.len() == 1 { "" } else { "s" }, runs.join(", "))
}

/// Two maps of all paths.
pub fn map(found: &MapComparison) -> String {
    let mut text = String::new();
    let name = |address: Option<IpAddr>| address.map_or("*".to_owned(), |it| it.to_string());
    let said = |difference: Missing, change: bool| match (difference, change) {
        (Missing::Removed, true) => "removed",
        (Missing::Added, true) => "added",
        (Missing::Removed, false) => "not found now, perhaps by chance",
        (Missing::Added, false) => "not found before, perhaps by chance",
    };
    for router in &found.routers {
        let ttl = router.ttls.first().copied().unwrap_or_default();
        let (what, p) = (said(router.difference, router.change), router.p);
        let _ = writeln!(text, "{ttl:2}  {what}: {} ({})", name(router.address), chance(p));
    }
    for link in &found.links {
        let from = link.from.map_or("here".to_owned(), |from| from.to_string());
        let (what, p) = (said(link.difference, link.change), link.p);
        let _ = writeln!(text, "link  {what}: {from} -> {} ({})", link.to, chance(p));
    }
    for (address, now) in &found.per_packet {
        let now = if *now { "now" } else { "no more" };
        let _ = writeln!(text, "{address} chooses per packet {now}");
    }
    text += reached(found.reached);
    text += &unfinished(found.unfinished);
    let target = found.head.target;
    let _ = match found.verdict {
        Verdict::Same => writeln!(text, "the paths to {target} are the same"),
        Verdict::Changed => writeln!(
            text,
            "the paths to {target} have changed (by chance alone: {})",
            chance(found.p)
        ),
        Verdict::Unclear => {
            let enough = found.enough_confidence.map_or_else(
                || "trace both with a higher --confidence".to_owned(),
                |percent| format!("trace both with --confidence {percent}"),
            );
            writeln!(
                text,
                "whether the paths to {target} have changed is unclear (by chance alone: {}): {enough}",
                chance(found.p)
            )
        }
    };
    text
}

/// A probability in few digits: `p = 0.05`, `p = 0.004`, `p < 0.001`.
fn chance(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".to_owned(),
        p if p < 0.01 => format!("p = {p:.3}"),
        p => format!("p = {p:.2}"),
    }
}

fn reached(reached: Pair<bool>) -> &'static str {
    match (reached.before, reached.after) {
        (false, true) => "the target is reached now\n",
        (true, false) => "the target is no longer reached\n",
        _ => "",
    }
}

fn unfinished(unfinished: Pair<bool>) -> String {
    let which = match (unfinished.before, unfinished.after) {
        (false, false) => return String::new(),
        (true, false) => "the first run was",
        (false, true) => "the second run was",
        (true, true) => "both runs were",
    };
    format!("{which} not finished: its missing hops are no change\n")
}

fn list(addresses: &Responders) -> String {
    if addresses.is_empty() {
        return "a router that does not answer".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Label stacks come as digits, slashes and asterisks.
fn stacks(labels: &Stacks) -> String {
    let shown: BTreeSet<&str> = labels.iter().map(|it| it.as_deref().unwrap_or("none")).collect();
    shown.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_never_nothing() {
        for (p, words) in [
            (0.0, "p < 0.001"),
            (1e-320, "p < 0.001"),
            (0.000_99, "p < 0.001"),
            (0.001, "p = 0.001"),
            (0.004_2, "p = 0.004"),
            (0.05, "p = 0.05"),
            (1.0, "p = 1.00"),
        ] {
            assert_eq!(chance(p), words, "{p:e}");
        }
    }
}
