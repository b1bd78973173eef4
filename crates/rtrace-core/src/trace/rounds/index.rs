//! Finds the finished rounds that a datagram may be about, by the marks of a probe that it shows. So a datagram that
//! is about no round costs the same however many rounds are kept.
//!
//! A finished round gets no more probes, so the marks ([`Mark`]) of its probes are stored when it ends. If several
//! rounds share a mark, the latest has it: a mark that occurs in every round (the ports of UDP over IPv6) is believed
//! only for the latest of them, or for none. Only the round itself decides; what is found here may be wrong.
//!
//! For a few rounds, each has a list of its marks, which takes the least memory. For many rounds, marks are kept in
//! two halves. When the younger half covers as many rounds as are kept, it replaces the older half, whose rounds are
//! no longer kept.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::super::rewritten::Mark;

/// The largest number of rounds with a list each.
const FEW: usize = 8;

/// The marks of the finished rounds.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// The number of rounds that are kept.
    kept: usize,
    marks: Marks,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
enum Marks {
    /// For each round the sorted hashes of its marks, the latest round first.
    Few(VecDeque<Box<[u32]>>),
    Many(Halves),
}

/// The latest round with each mark, by the hash of the mark. Rounds are counted from the first that ended.
#[derive(Clone, Debug, Default)]
struct Halves {
    /// The number of rounds added.
    added: u64,
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

/// Half of a hash. If two marks have the same half, a round is asked in vain.
fn half(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

impl Index {
    /// An index without rounds.
    pub(super) fn new(kept: usize) -> Self {
        let few = Marks::Few(VecDeque::with_capacity(FEW));
        let marks = if kept <= FEW { few } else { Marks::Many(Halves::default()) };
        Self { kept, marks, hasher: RandomState::new() }
    }

    /// Adds a round that ended.
    pub(super) fn add(&mut self, marks: impl Iterator<Item = Mark>) {
        let hashes = marks.map(|mark| self.hasher.hash_one(mark));
        match &mut self.marks {
            Marks::Few(rounds) => {
                let mut hashes: Vec<u32> = hashes.map(half).collect();
                hashes.sort_unstable();
                hashes.dedup();
                rounds.truncate(self.kept.saturating_sub(1));
                rounds.push_front(hashes.into());
            }
            Marks::Many(halves) => halves.add(self.kept, hashes),
        }
    }

    /// How many rounds ago the rounds with one of these marks were, the latest first: 0 is the round added last.
    pub(super) fn ago(&self, marks: impl Iterator<Item = Mark>) -> Ago {
        let mut ago = Ago::default();
        for mark in marks {
            let hash = self.hasher.hash_one(mark);
            let round = match &self.marks {
                Marks::Few(rounds) => {
                    rounds.iter().position(|hashes| hashes.binary_search(&half(hash)).is_ok())
                }
                Marks::Many(halves) => halves.ago(hash),
            };
            if let Some(round) = round.filter(|round| *round < self.kept) {
                ago.insert(round);
            }
        }
        ago
    }
}

impl Halves {
    fn add(&mut self, kept: usize, hashes: impl Iterator<Item = u64>) {
        let kept = u64::try_from(kept.max(1)).unwrap_or(u64::MAX);
        if self.added > 0 && self.added.is_multiple_of(kept) {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.extend(hashes.map(|hash| (hash, self.added)));
        self.added += 1;
    }

    fn ago(&self, hash: u64) -> Option<usize> {
        let round = self.young.get(&hash).or_else(|| self.old.get(&hash))?;
        usize::try_from(self.added - 1 - round).ok()
    }
}

/// A few rounds, the latest first, each once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ago {
    rounds: [usize; MOST_MARKS],
    len: usize,
}

/// The most marks that a datagram shows.
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
        for kept in [3, 20] {
            let mut index = Index::new(kept.into());
            let found =
                |index: &Index, marks: &[u16]| index.ago(ids(marks)).iter().collect::<Vec<_>>();
            assert!(found(&index, &[1]).is_empty());
            for round in 0..100 {
                // Each round has one mark that all share, and one of its own.
                index.add(ids(&[1_000, round]));
                assert_eq!(found(&index, &[1_000]), [0]);
                for ago in 0..kept.min(round + 1) {
                    assert_eq!(found(&index, &[round - ago]), [usize::from(ago)]);
                }
                if round >= kept {
                    assert!(found(&index, &[round - kept]).is_empty());
                    assert_eq!(found(&index, &[round - 2, 1_000, round, round - 1]), [0, 1, 2]);
                }
            }
            let most = usize::from(kept) + 1;
            match index.marks {
                Marks::Few(rounds) => assert!(rounds.iter().all(|marks| marks.len() == 2)),
                Marks::Many(it) => assert!(it.young.len() <= most && it.old.len() <= most),
            }
        }
    }
}
