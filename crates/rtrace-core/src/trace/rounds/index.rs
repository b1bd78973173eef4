//! Which rounds that are over a datagram may be about, by what it shows of a probe: so that one that is about none costs the
//! same however many are kept.
//!
//! A round that is over gets no more probes, so what its probes are found by ([`Mark`]) is written down then. Of rounds with
//! one mark the latest has it: what is believed of a mark that comes again in every round (the ports of UDP over IPv6) is
//! believed of the latest of them, or of none. Only the round that is asked decides; what is found here may be wrong.
//!
//! Of few rounds each has a list of its marks, which takes least room. Of many rounds marks are kept in two halves. Once the younger
//! has those of as many rounds as are kept, it becomes the older one, whose marks are all of rounds that are not kept any more.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::super::rewritten::Mark;

/// Rounds are few up to here.
const FEW: usize = 8;

/// The marks of the rounds that are over.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// How many rounds are kept.
    kept: usize,
    marks: Marks,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
enum Marks {
    /// Of each round the hashes of its marks in order, the latest first.
    Few(VecDeque<Box<[u32]>>),
    Many(Halves),
}

/// The latest round with a mark, counted from the first that was over; by the mark's hash.
#[derive(Clone, Debug, Default)]
struct Halves {
    /// How many were added.
    added: u64,
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

/// Half of a hash: if two marks have the same, a round is asked in vain.
fn half(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

impl Index {
    /// Of none yet.
    pub(super) fn new(kept: usize) -> Self {
        let few = Marks::Few(VecDeque::with_capacity(FEW));
        let marks = if kept <= FEW { few } else { Marks::Many(Halves::default()) };
        Self { kept, marks, hasher: RandomState::new() }
    }

    /// One more round is over.
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

    /// How many rounds ago those are that have one of these marks, the latest first: 0 is the last that was added.
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
        for kept in [3, 20] {
            let mut index = Index::new(kept.into());
            let found =
                |index: &Index, marks: &[u16]| index.ago(ids(marks)).iter().collect::<Vec<_>>();
            assert!(found(&index, &[1]).is_empty());
            for round in 0..100 {
                // One mark that all have, and one of its own.
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
