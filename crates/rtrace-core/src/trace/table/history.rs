//! The last rounds of a hop, one cell each, packed into a few octets.
//!
//! Most cells differ from the one before only by their RTT. So only the difference of the RTT is stored, and the
//! counts where they differ too.

use std::collections::VecDeque;

use super::super::packed::{put, signed, take, unsigned};
use super::HISTORY;
use crate::time::Span;

/// The unit of stored RTTs, in nanoseconds: finer than a screen shows.
const UNIT: i64 = 100;
/// Memory is reserved for this number of octets at a time.
const ROOM: usize = 24;

/// One hop in one round. A cell without probes means that the hop was not probed then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cell {
    /// The number of probes sent.
    pub sent: u16,
    /// The number of probes answered in time.
    pub received: u16,
    /// The number of probes answered after they had timed out.
    pub late: u16,
    /// The number of probes answered by damaged replies alone.
    pub damaged: u16,
    /// The smallest RTT of the replies in time, in steps of 100 ns.
    pub rtt: Option<Span>,
}

impl Cell {
    pub(super) fn unanswered(self) -> u16 {
        self.sent.saturating_sub(self.received + self.late + self.damaged)
    }
}

/// The last [`HISTORY`] cells of a hop, the oldest first.
#[derive(Clone, Default)]
pub struct History {
    octets: VecDeque<u8>,
    len: u16,
    /// The state before the first cell, and after the last: each cell is stored as a difference from the one before.
    before: State,
    last: State,
    /// How often the last cell is repeated, beyond those in the octets.
    again: u16,
}

impl History {
    /// The number of cells.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// Whether there are no cells.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The cells, the oldest first.
    #[must_use]
    pub fn iter(&self) -> Cells<'_> {
        Cells { octets: self.octets.iter().copied(), state: self.before, again: 0, left: self.len }
    }

    /// Adds a cell. If the history is full, drops the oldest.
    pub(super) fn push(&mut self, cell: Cell) {
        if self.len() >= HISTORY {
            self.drop_first();
        }
        self.len += 1;
        let next = self.last.then(cell);
        if next == self.last {
            self.again += 1;
            return;
        }
        if self.octets.capacity() - self.octets.len() < ROOM / 2 {
            self.octets.reserve_exact(ROOM);
        }
        if self.again > 0 {
            State::put_again(self.again, &mut self.octets);
            self.again = 0;
        }
        self.last.put(next, &mut self.octets);
    }

    fn drop_first(&mut self) {
        self.len -= 1;
        let before = self.octets.len();
        let mut octets = self.octets.iter().copied();
        let again = self.before.take(&mut octets);
        let taken = before - octets.len();
        self.octets.drain(..taken);
        match again {
            Some(0) => {}
            Some(again) => {
                let mut octets = VecDeque::new();
                State::put_again(again, &mut octets);
                octets.into_iter().rev().for_each(|octet| self.octets.push_front(octet));
            }
            None => self.again = self.again.saturating_sub(1),
        }
    }

    /// Changes the cell of `ago` rounds ago, if there is one.
    pub(super) fn change(&mut self, ago: usize, change: impl FnOnce(&mut Cell)) {
        let mut cells: Vec<Cell> = self.iter().collect();
        if let Some(cell) = cells.iter_mut().rev().nth(ago) {
            change(cell);
            let before = self.before;
            *self = Self { before, last: before, ..Self::default() };
            for cell in cells {
                self.push(cell);
            }
        }
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a> IntoIterator for &'a History {
    type Item = Cell;
    type IntoIter = Cells<'a>;

    fn into_iter(self) -> Cells<'a> {
        self.iter()
    }
}

/// Iterates over the cells of a [`History`], the oldest first.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    octets: std::iter::Copied<std::collections::vec_deque::Iter<'a, u8>>,
    state: State,
    /// How often the current cell is repeated.
    again: u16,
    left: u16,
}

impl Iterator for Cells<'_> {
    type Item = Cell;

    fn next(&mut self) -> Option<Cell> {
        self.left = self.left.checked_sub(1)?;
        self.again = match self.again.checked_sub(1) {
            Some(again) => again,
            None => self.state.take(&mut self.octets).unwrap_or_default(),
        };
        Some(self.state.cell())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Cells<'_> {}

/// A cell, and the last RTT up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    counts: [u16; 4],
    has_rtt: bool,
    rtt: i64,
}

impl State {
    fn cell(self) -> Cell {
        let [sent, received, late, damaged] = self.counts;
        let rtt = self.has_rtt.then(|| Span::from_nanos(self.rtt.saturating_mul(UNIT)));
        Cell { sent, received, late, damaged, rtt }
    }

    /// The state after the next cell.
    fn then(self, cell: Cell) -> Self {
        let Cell { sent, received, late, damaged, rtt } = cell;
        Self {
            counts: [sent, received, late, damaged],
            has_rtt: rtt.is_some(),
            rtt: rtt.map_or(self.rtt, |rtt| rtt.nanos().div_euclid(UNIT)),
        }
    }

    /// Writes the next state: the difference of the RTT, and whether anything else differs.
    fn put(&mut self, next: Self, octets: &mut VecDeque<u8>) {
        let same = (next.counts, next.has_rtt) == (self.counts, self.has_rtt);
        // An RTT of 64 bits in steps of 100 ns leaves bits unused.
        let by = unsigned(next.rtt.wrapping_sub(self.rtt));
        put(octets, by << 1 | u64::from(!same));
        if !same {
            put(octets, 0);
            next.counts.iter().for_each(|count| put(octets, (*count).into()));
            put(octets, next.has_rtt.into());
        }
        *self = next;
    }

    /// Writes that this cell is repeated this many times.
    fn put_again(again: u16, octets: &mut VecDeque<u8>) {
        put(octets, 1);
        put(octets, again.into());
    }

    /// Reads the cell after this one, and returns how often it is repeated after that; `None` if there is none.
    fn take(&mut self, octets: &mut impl Iterator<Item = u8>) -> Option<u16> {
        let by = take(octets)?;
        self.rtt = self.rtt.wrapping_add(signed(by >> 1));
        if by & 1 == 0 {
            return Some(0);
        }
        let again = u16::try_from(take(octets)?).ok()?;
        if again == 0 {
            for count in &mut self.counts {
                *count = take(octets).and_then(|it| u16::try_from(it).ok())?;
            }
            self.has_rtt = take(octets)? == 1;
        }
        Some(again.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell() -> impl Strategy<Value = Cell> {
        let count = || prop_oneof![Just(0_u16), Just(1), any::<u16>()];
        let rtt = prop_oneof![0..1_000_000_i64, any::<i64>()];
        let rtt = prop::option::of(rtt.prop_map(|it| Span::from_nanos(it / UNIT * UNIT)));
        (count(), count(), count(), count(), rtt).prop_map(
            |(sent, received, late, damaged, rtt)| Cell { sent, received, late, damaged, rtt },
        )
    }

    proptest! {
        #[test]
        fn the_last_cells_are_kept_and_may_be_changed(
            cells in prop::collection::vec(cell(), 0..40),
            (times, again) in (1..60_usize, 1..9),
            (ago, to) in (0..600_usize, cell()),
        ) {
            let mut history = History::default();
            let mut all = Vec::new();
            for cell in cells.iter().cycle().take(cells.len() * times) {
                for _ in 0..again {
                    history.push(*cell);
                    all.push(*cell);
                }
            }
            let kept = all.len().saturating_sub(HISTORY);
            all.drain(..kept);
            prop_assert_eq!(history.iter().collect::<Vec<_>>(), &all[..]);
            history.change(ago, |cell| *cell = to);
            if let Some(cell) = all.iter_mut().rev().nth(ago) {
                *cell = to;
            }
            prop_assert_eq!(history.len(), all.len());
            prop_assert_eq!(history.iter().collect::<Vec<_>>(), all);
        }
    }
}
