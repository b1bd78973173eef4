//! Traces that were one run of a tool on a host with several uplinks.
//!
//! Where each probe has a socket of its own, the kernel chooses the source address for each. The survey
//! finds one trace per source address; that they were one run shows in their numbers (destination ports, sequence
//! numbers, or source ports that count), which then make one rising sequence in time and interleave without overlap.

use std::collections::HashMap;

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
