//! Traces as short text, and what their comparison tells.

use std::fmt::Write;

use serde_json::{Value, json};

use super::evidence::SIGNIFICANCE;
use super::hops::{Comparison, Difference, HopDifference, Verdict};
use super::{Trace, compare};

/// A trace of hops parted by `|`, each of responders "7" or "*", one a probe, or "7x6" of six. Probes of all hops are of other
/// flows, or of the one flow `flow`.
fn trace(hops: &str, flow: Option<u16>, reason: &str) -> Trace {
    let mut port = 33_434;
    let mut probe = |responder: &str| {
        port += 1;
        let number: Option<u8> = responder.parse().ok();
        let replies = number.map(|it| json!({"responder": format!("10.0.0.{it}"), "rtt_ns": 1000}));
        let flow = flow.unwrap_or(port);
        json!({"source_port": 54_321, "destination_port": flow, "replies": Vec::from_iter(replies)})
    };
    let hops: Vec<Value> = (1..)
        .zip(hops.split('|'))
        .map(|(ttl, hop)| {
            let drawn = hop.split_whitespace().flat_map(|word| {
                let (who, times) = word.split_once('x').unwrap_or((word, "1"));
                std::iter::repeat_n(who, times.parse().unwrap())
            });
            let probes: Vec<Value> = drawn.map(&mut probe).collect();
            json!({"ttl": ttl, "probes": probes})
        })
        .collect();
    let reached = reason == "target-reached";
    let document = json!({
        "format": "rtrace-trace", "target": {"address": "10.0.0.9"}, "hops": hops,
        "stop": {"ttl": reached.then_some(hops.len()), "target_reached": reached, "reason": reason},
    });
    Trace::parse(document.to_string().as_bytes()).unwrap()
}

fn reached(hops: &str) -> Trace {
    trace(hops, None, "target-reached")
}

/// "removed 4" and the like, with "?" if it is no change.
fn told(found: &Comparison) -> String {
    let list = |set: &super::hops::Responders| {
        let numbers = set.iter().map(|it| it.to_string().replace("10.0.0.", ""));
        numbers.collect::<Vec<_>>().join(" ")
    };
    let mut told = String::new();
    for HopDifference { ttl, what, change, .. } in &found.hops {
        let what = match what {
            Difference::Removed(who) => format!("removed {}", list(who)),
            Difference::Added(who) => format!("added {}", list(who)),
            Difference::Silent(who) => format!("silent {}", list(who)),
            Difference::Answers(who) => format!("answers {}", list(who)),
            Difference::Replaced(both) => format!("{} > {}", list(&both.before), list(&both.after)),
            Difference::Branches(both) => format!("{} ~ {}", list(&both.before), list(&both.after)),
            Difference::Labels { responder, .. } => format!("labels {responder}"),
        };
        let at = ttl.before.or(ttl.after).unwrap_or(0);
        let _ = write!(told, "{at}: {what}{}, ", if *change { "" } else { "?" });
    }
    assert!(found.changed || found.hops.iter().all(|hop| !hop.change));
    told.trim_end_matches(", ").to_owned()
}

#[test]
fn hops_are_removed_added_replaced_or_branches() {
    for (before, after, expected) in [
        ("1 1 1|2 3 2|4 4 4|9 9 9", "1 1 1|3 3 3|4 4 4|9 9 9", "2: 2 3 ~ 3?"),
        // Three draws on each side are no proof, six are.
        ("1 1 1|2 2 2|4 4 4|9 9 9", "1 1 1|5 5 5|4 4 4|9 9 9", "2: 2 > 5?"),
        ("1x6|2x6|4x6|9x6", "1x6|5x6|4x6|9x6", "2: 2 > 5"),
        // Of many branches each trace may well show others, however many draws.
        ("1 1 1|2 3 2|4 4 4|9 9 9", "1 1 1|5 5 5|4 4 4|9 9 9", "2: 2 3 > 5?"),
        ("1x6|2 3 4 5 6 7|9x6", "1x6|12 13 14 15 16 17|9x6", "2: 2 3 4 5 6 7 > 12 13 14 15 16 17?"),
        // Several hops together tell more.
        (
            "1 1 1|2 2 2|3 3 3|4 4 4|9 9 9",
            "1 1 1|5 5 5|6 6 6|7 7 7|9 9 9",
            "2: 2 > 5, 3: 3 > 6, 4: 4 > 7",
        ),
        ("1 1|2 2|3 3|4 4|9 9", "1 1|5 5|6 6|4 4|9 9", "2: 2 > 5?, 3: 3 > 6?"),
        // A balanced hop besides hides nothing, and is none of it.
        ("1x6|2 3 2 3 2 3|4x6|9x6", "1x6|3 2 2 3 3 2|5x6|9x6", "3: 4 > 5"),
        // One that is taken out moves the others.
        ("1x4|2x4|3x4|4x4|9x4", "1x4|3x4|4x4|9x4", "2: removed 2"),
        ("1 1 1|2 2 2|3 3 3|4 4 4|9 9 9", "1 1 1|3 3 3|4 4 4|9 9 9", "2: removed 2"),
        ("1x6|3x6|9x6", "1x6|3x6|4x6|9x6", "3: added 4"),
        ("1 1 1|3 3 3|9 9 9", "1 1 1|3 3 3|4 4 4|9 9 9", "3: added 4?"),
        ("1x6|*x6|3x6|9x6", "1x6|3x6|9x6", "2: removed "),
        ("1x8|2x8|9x8", "1x8|*x8|9x8", "2: silent 2"),
        ("1x8|*x8|9x8", "1x8|2x8|9x8", "2: answers 2"),
        ("1 1 1|* * *|9 9 9", "1 1 1|2 2 *|9 9 9", "2: answers 2?"),
        ("1 * *|9 9 9", "* 1 *|9 9 *", ""),
    ] {
        assert_eq!(
            told(&compare(&reached(before), &reached(after))),
            expected,
            "{before}, {after}"
        );
    }
}

#[test]
fn what_is_unclear_says_how_many_queries_are_enough() {
    for (before, after, enough) in [
        ("1 1 1|2 2 2|9 9 9", "1 1 1|5 5 5|9 9 9", Some(6)),
        ("1|2|9", "1|5|9", Some(6)),
        ("1 1|2 2|3 3|9 9", "1 1|5 5|6 6|9 9", Some(4)),
        ("1 1 1|2 3 4|9 9 9", "1 1 1|5 6 7|9 9 9", Some(7)),
    ] {
        let found = compare(&reached(before), &reached(after));
        assert_eq!((found.verdict, found.enough_queries), (Verdict::Unclear, enough), "{before}");
        assert!(found.p >= SIGNIFICANCE && !found.changed);
        let many = |hops: &str| {
            let each = enough.unwrap();
            let hop = |hop: &str| {
                let kinds: std::collections::BTreeSet<&str> = hop.split_whitespace().collect();
                let drawn = kinds.iter().cycle().take(each).copied();
                drawn.collect::<Vec<_>>().join(" ")
            };
            hops.split('|').map(hop).collect::<Vec<_>>().join("|")
        };
        let found = compare(&reached(&many(before)), &reached(&many(after)));
        assert_eq!((found.verdict, found.enough_queries), (Verdict::Changed, None), "{before}");
    }
    let same = compare(&reached("1 1|2 3|9 9"), &reached("1 1|3 2|9 9"));
    assert_eq!((same.verdict, same.changed), (Verdict::Same, false));
}

#[test]
fn one_flow_goes_one_way_unless_it_is_another_flow_or_each_packet_is_parted() {
    let of = |hops, flow| trace(hops, Some(flow), "target-reached");
    let before = of("1x6|2x6|4x6|9x6", 7);
    let after = "1x6|3x6|5x6|9x6";
    assert_eq!(told(&compare(&before, &of(after, 7))), "2: 2 > 3, 3: 4 > 5");
    let other = compare(&before, &of(after, 8));
    assert_eq!(told(&other), "2: 2 > 3?, 3: 4 > 5?");
    assert_eq!(other.enough_queries, None, "one flow is one draw");
    let longer = "1x6|3x6|5x6|6x6|9x6";
    let found = compare(&before, &of(longer, 8));
    assert!(!found.changed, "branches may have other lengths: {}", told(&found));
    assert!(compare(&before, &of(longer, 7)).changed);
    // What few probes of one flow show, a balancer that chooses for each packet may show.
    let (few, others) = (of("1 1|2 2|9 9", 7), of("1 1|4 4|9 9", 7));
    assert_eq!(told(&compare(&few, &others)), "2: 2 > 4?");
    let (packets, others) = (of("1 1 1|2 3 2|9 9 9", 7), of("1 1 1|4 4 5|9 9 9", 7));
    assert_eq!(told(&compare(&packets, &others)), "2: 2 3 > 4 5?");
}

#[test]
fn a_path_that_ends_otherwise_has_changed_unless_the_run_was_not_finished() {
    let whole = reached("1 1 1|2 2 2|3 3 3|9 9 9");
    let silent = trace("1 1 1|2 2 2|* * *|* * *|* * *|* * *|* * *", None, "max-hops");
    let found = compare(&whole, &silent);
    // What these hops lost may be chance; that nobody answers beyond them is not.
    assert_eq!(told(&found), "3: silent 3?, 4: silent 9?");
    assert!(found.changed);
    // A target that lost the two probes that it was sent.
    let found = compare(&reached("1 1|9 9"), &trace("1 1|* *", None, "max-hops"));
    assert_eq!((found.changed, found.verdict), (false, Verdict::Unclear));
    let short = trace("1 1 1|2 2 2|3 * *", None, "incomplete");
    for found in [compare(&whole, &short), compare(&short, &whole)] {
        assert_eq!((told(&found).as_str(), found.changed), ("", false));
        assert!(found.unfinished.before || found.unfinished.after);
    }
    let [six, other] = [reached("1x6|2x6|3x6|9x6"), trace("1x6|7x6|3 * *", None, "incomplete")];
    assert_eq!(told(&compare(&six, &other)), "2: 2 > 7", "what it has counts");
    // The scout knows the end of a path that the recording does not reach.
    let mut torn = reached("1 1 1|2 2 2|3 * *|*");
    torn.stop.ttl = Some(6);
    let found = compare(&torn, &whole);
    assert_eq!((told(&found).as_str(), found.changed, found.unfinished.before), ("", false, true));
    assert_eq!(told(&compare(&trace("", None, "incomplete"), &whole)), "");
}
