//! Which rounds that are over a datagram may be about, by what it shows of a probe: so that one that is about none costs the
//! same however many are kept.
//!
//! A round that is over gets no more probes, so what its probes are found by ([`Mark`]) is written down then. Of rounds with
//! one mark the latest has it: what is believed of a mark that comes again in every round (the ports of UDP over IPv6) is
//! believed of the latest of them, or of none. Only the round that is asked decides; what is found here may be wrong.
//!
//! Marks are kept in two halves. Once the younger has those of as many rounds as are kept, it becomes the older one, whose
//! marks are all of rounds that are not kept any more.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::super::rewritten::Mark;

/// The marks of the rounds that are over.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// How many rounds are kept, and how many were added.
    kept: usize,
    added: u64,
    /// The latest round with a mark, counted from the first that was over; by the mark's hash.
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
    hasher: RandomState,
}

impl Index {
    /// Of none yet.
    pub(super) fn new(kept: usize) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { kept, added: 0, young, old, hasher: RandomState::new() }
    }

    /// One more round is over.
    pub(super) fn add(&mut self, marks: impl Iterator<Item = Mark>) {
        let kept = u64::try_from(self.kept.max(1)).unwrap_or(u64::MAX);
        if self.added > 0 && self.added.is_multiple_of(kept) {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        let hasher = &self.hasher;
        self.young.extend(marks.map(|mark| (hasher.hash_one(mark), self.added)));
        self.added += 1;
    }

    /// How many rounds ago those are that have one of these marks, the latest first: 0 is the last that was added.
    pub(super) fn ago(&self, marks: impl Iterator<Item = Mark>) -> Ago {
        let mut ago = Ago::default();
        for mark in marks {
            let hash = self.hasher.hash_one(mark);
            let found = self.young.get(&hash).or_else(|| self.old.get(&hash));
            let Some(round) = found.and_then(|it| usize::try_from(self.added - 1 - it).ok()) else {
                continue;
            };
            if round < self.kept {
                ago.insert(round);
            }
        }
        ago
    }
}

/// A few rounds, the latest first, each once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ago {
    rounds: [usize; MOST_MARKS],
    len: usize,
}

/// A datagram shows no more marks than these.
const MOST_MARKS: usize = 8;

impl Ago {
    fn insert(&mut self, round: usize) {
        let there = self.rounds.get(..self.len).unwrap_or_default();
        let Err(at) = there.binary_search(&round) else { return };
        if let Some(room) = self.rounds.get_mut(at..=self.len) {
            room.rotate_right(1);
            if let Some(first) = room.first_mut() {
                *first = round;
            }
            self.len += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.rounds.into_iter().take(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u16]) -> impl Iterator<Item = Mark> {
        ids.iter().map(|id| Mark::Id(*id))
    }

    #[test]
    fn rounds_are_found_by_their_marks_for_as_long_as_they_are_kept() {
        let mut index = Index::new(3);
        let found = |index: &Index, marks: &[u16]| index.ago(ids(marks)).iter().collect::<Vec<_>>();
        assert!(found(&index, &[1]).is_empty());
        for round in 0..20 {
            // One mark that all have, and one of its own.
            index.add(ids(&[100, round]));
            assert_eq!(found(&index, &[100]), [0]);
            for kept in 0..3.min(round + 1) {
                assert_eq!(found(&index, &[round - kept]), [usize::from(kept)]);
            }
            if round > 2 {
                assert!(found(&index, &[round - 3]).is_empty());
                assert_eq!(found(&index, &[round - 2, 100, round, round - 1]), [0, 1, 2]);
            }
        }
        assert!(index.young.len() <= 4 && index.old.len() <= 4);
    }
}
