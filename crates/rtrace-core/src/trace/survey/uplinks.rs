//! Traces that were one run of a tool on a host with several uplinks.
//!
//! Where each probe has a socket of its own, the kernel chooses the source address for each. The survey
//! finds one trace per source address; that they were one run shows in their numbers (destination ports, sequence
//! numbers, or source ports that count), which then make one rising sequence in time and interleave without overlap. Where ports
//! are random and nothing counts (TCP, UDP to one port) it shows in their TTLs: every hop was asked as often over all of
//! the addresses, in the order of TTLs, but not over each.

use std::collections::{BTreeMap, HashMap};

use super::group::{GAP, Sighting};
use super::run::Run;
use crate::time::Span;

/// Probes of one run are captured in order, or at most this much out of it where two interfaces are captured.
const REORDERED: Span = Span::from_millis(1);

/// For each trace, the indices of the others of its run, in order.
pub(super) fn siblings(runs: &[Run]) -> Vec<Vec<usize>> {
    let mut alike: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, run) in runs.iter().enumerate() {
        alike.entry((run.flow.target, run.flow.probe)).or_default().push(index);
    }
    let mut siblings = vec![Vec::new(); runs.len()];
    for mut left in alike.into_values() {
        while let Some(first) = left.pop() {
            let together = whole(first, &mut left, runs);
            for member in &together {
                if let Some(others) = siblings.get_mut(*member) {
                    *others = together.iter().copied().filter(|it| it != member).collect();
                }
            }
        }
    }
    join_complements(&mut siblings, runs);
    siblings
}

/// The run that a trace belongs to, in order: what belongs to it is taken from `left`.
fn whole(first: usize, left: &mut Vec<usize>, runs: &[Run]) -> Vec<usize> {
    let mut members = vec![first];
    let mut looked_at = 0;
    while let Some(member) = members.get(looked_at).and_then(|index| runs.get(*index)) {
        looked_at += 1;
        let belongs = |index: &usize| runs.get(*index).is_some_and(|it| are_one_run(member, it));
        let (found, others) = left.iter().partition::<Vec<usize>, _>(|index| belongs(index));
        members.extend(found);
        *left = others;
    }
    members.sort_unstable();
    members
}

/// Whether two traces to one target, by one protocol, are of one run.
fn are_one_run(one: &Run, other: &Run) -> bool {
    let (Some(last), Some(other_last)) = (one.probes.last(), other.probes.last()) else {
        return false;
    };
    let at_once = one.start() <= other_last.at && other.start() <= last.at;
    one.flow.source != other.flow.source
        && at_once
        && (interleave(one, other, |it| it.number) || interleave(one, other, |it| it.ident))
}

/// Marks traces that together make up one run as each other's, of those that have no others yet.
fn join_complements(siblings: &mut [Vec<usize>], runs: &[Run]) {
    let mut alike: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, (run, others)) in runs.iter().zip(&*siblings).enumerate() {
        // Each probe is from a port of its own, and all are to one port.
        let sockets = run.idents.len() == run.probes.len();
        let same = run.probes.windows(2).all(|pair| pair[0].number == pair[1].number);
        if let Some(first) = run.probes.first().filter(|_| others.is_empty() && sockets && same) {
            let kind = (run.flow.target, run.flow.probe, first.number, first.make());
            alike.entry(kind).or_default().push(index);
        }
    }
    for members in alike.into_values() {
        let all: Vec<&Run> = members.iter().filter_map(|index| runs.get(*index)).collect();
        for member in members.iter().filter(|_| complete_one_another(&all)) {
            if let Some(others) = siblings.get_mut(*member) {
                *others = members.iter().copied().filter(|it| it != member).collect();
            }
        }
    }
}

/// Whether these ask every hop as often together, hop after hop, and none of them by itself.
fn complete_one_another(runs: &[&Run]) -> bool {
    let each = runs.iter().flat_map(|run| run.probes.iter().map(|it| (it, run.flow.source)));
    let mut all: Vec<_> = each.collect();
    all.sort_by_key(|(it, _)| (it.at, it.frame));
    let in_order = |pair: &[(&Sighting, _)]| {
        let timed = pair[0].0.at.known().is_some();
        let at_once = timed && pair[1].0.at.since(pair[0].0.at) <= REORDERED;
        pair[0].0.ttl <= pair[1].0.ttl || at_once
    };
    let turns = all.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    turns > 2
        && all.windows(2).all(in_order)
        && asks_evenly(all.iter().map(|(it, _)| *it))
        && !runs.iter().any(|run| asks_evenly(run.probes.iter()))
}

/// Whether each TTL from the first on has the same number of probes, but for the last.
fn asks_evenly<'a>(probes: impl Iterator<Item = &'a Sighting>) -> bool {
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    probes.for_each(|it| *counts.entry(it.ttl).or_default() += 1);
    let (Some((first, queries)), Some((last, rest))) =
        (counts.first_key_value(), counts.last_key_value())
    else {
        return false;
    };
    let whole = usize::from(last - first) + 1 == counts.len();
    let even = counts.iter().all(|(ttl, count)| ttl == last || count == queries);
    whole && even && rest <= queries && *first == 1
}

/// Whether the numbers of both make one sequence that rises with time, to which both contribute by turns.
fn interleave(one: &Run, other: &Run, number: impl Fn(&Sighting) -> u16) -> bool {
    let range = |run: &Run| {
        let numbers = || run.probes.iter().map(&number);
        numbers().min().zip(numbers().max())
    };
    let (Some((lowest, highest)), Some((other_lowest, other_highest))) = (range(one), range(other))
    else {
        return false;
    };
    // Most traces need no closer look: they begin with one number, or are far from one another.
    if lowest == other_lowest || lowest > other_highest || other_lowest > highest {
        return false;
    }
    let of = |run: &Run, first: bool| {
        run.probes.iter().map(|it| (number(it), *it, first)).collect::<Vec<_>>()
    };
    let mut all = [of(one, true), of(other, false)].concat();
    all.sort_by_key(|(number, ..)| *number);
    let mut turns = 0;
    for pair in all.windows(2) {
        let [(number, it, first), (next_number, next, next_first)] = pair else { continue };
        let in_time = match (it.at.known(), next.at.known()) {
            (Some(at), Some(next)) => at.since(next) <= REORDERED,
            _ => it.frame < next.frame,
        };
        if !(1..=GAP).contains(&(next_number - number)) || !in_time || it.make() != next.make() {
            return false;
        }
        turns += usize::from(first != next_first);
    }
    // One change alone is one trace after another.
    turns > 1
}
