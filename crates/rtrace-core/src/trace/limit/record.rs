//! The latest probes of a hop, packed into a few octets each, and what rate limits explain of them.
//!
//! Probes leave at a steady pace. So only the difference from that pace is stored for a probe, and whether it was
//! answered where that differs from the probe before.

use std::sync::OnceLock;

use super::super::packed::{put, signed, take, unsigned};
use super::super::path::{Hop, Path};
use super::{Asked, Explained, asked, explain_after, note_late};
use crate::time::Timestamp;

/// The number of the latest probes of a hop that are kept.
const KEPT: u16 = 512;
/// Memory is reserved for this number of octets at a time.
const ROOM: usize = 24;

/// The probes of a hop: when the latest were sent and whether they were answered, and what limits explained of
/// earlier ones.
#[derive(Clone, Default)]
pub struct Record {
    octets: Vec<u8>,
    /// The number of probes that are kept, and how many of them were lost.
    len: u16,
    lost: u16,
    last: Pace,
    /// The number of probes that came as expected, after those in the octets.
    again: u16,
    before: Option<Box<Explained>>,
    explained: OnceLock<Box<Explained>>,
}

/// Values that are computed from the probes are left out.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("probes", &self.probes())
            .field("before", &self.before)
            .finish_non_exhaustive()
    }
}

impl Record {
    /// Takes in the probes of a round.
    pub(in super::super) fn add(&mut self, hop: &Hop, path: &Path) {
        if self.len >= KEPT {
            self.fold();
        }
        self.extend(&asked(hop, path));
    }

    /// Notes that the probe that was sent at this time was answered late.
    pub(in super::super) fn add_late(&mut self, sent: Option<Timestamp>) {
        let mut probes = self.probes();
        note_late(&mut probes, sent);
        self.forget();
        self.extend(&probes);
    }

    fn extend(&mut self, probes: &[Asked]) {
        for probe in probes {
            if self.octets.capacity() - self.octets.len() < ROOM / 2 {
                self.octets.reserve_exact(ROOM);
            }
            if self.last.next() == *probe {
                self.last.advance(*probe);
                self.again += 1;
            } else {
                self.put_again();
                self.last.put(*probe, &mut self.octets);
            }
            self.len = self.len.saturating_add(1);
            self.lost = self.lost.saturating_add((!probe.answered).into());
        }
        self.explained.take();
    }

    fn put_again(&mut self) {
        let again = std::mem::take(&mut self.again);
        if again > 0 {
            put(&mut self.octets, u64::from(again) << BITS | AGAIN);
        }
    }

    /// Keeps what limits explained of these probes, and drops the probes.
    fn fold(&mut self) {
        let before = self.explained();
        self.before = (before != Explained::default()).then(|| Box::new(before));
        self.forget();
    }

    fn forget(&mut self) {
        self.octets.clear();
        (self.len, self.lost, self.again, self.last) = (0, 0, 0, Pace::default());
        self.explained.take();
    }

    /// The latest probes.
    pub(in super::super) fn probes(&self) -> Vec<Asked> {
        let (mut octets, mut pace) = (self.octets.iter().copied().peekable(), Pace::default());
        let mut probes = Vec::with_capacity(self.len.into());
        while octets.peek().is_some() {
            if pace.take(&mut octets, &mut probes).is_none() {
                return probes;
            }
        }
        pace.take_again(self.again.into(), &mut probes);
        probes
    }

    /// What rate limits explain of its lost probes.
    #[must_use]
    pub fn explained(&self) -> Explained {
        let before = self.before.as_deref().copied().unwrap_or_default();
        if self.lost == 0 {
            return before;
        }
        **self.explained.get_or_init(|| {
            let limit = before.limit;
            let latest = explain_after(limit.and_then(|limit| limit.burst), &self.probes());
            Box::new(Explained {
                limit: latest.limit.map(|latest| latest.or(limit)).or(limit),
                lost: before.lost + latest.lost,
                unexplained: before.unexplained + latest.unexplained,
            })
        })
    }
}

/// The last probe, and the pace of the probes up to it, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    last: Asked,
    /// When the first probe of its round was sent, and how long after that of the round before.
    began: Option<i64>,
    interval: i64,
    /// The time from one query of a round to the next.
    gap: i64,
}

/// How a probe follows the one before: as the first of the next round or the next of the same round, with the same
/// fate; or in another way, which is stored too. The mark takes the lowest bits of a number whose rest is the delay
/// against the pace.
const NEXT_ROUND: u64 = 0;
const NEXT_QUERY: u64 = 1;
const OTHERWISE: u64 = 2;
/// This number of probes in a row followed as the first of the next round, with the same fate and on time.
const AGAIN: u64 = 3;
const BITS: u32 = 2;

impl Pace {
    fn put(&mut self, next: Asked, octets: &mut Vec<u8>) {
        let fate = |it: &Asked| (it.answered, it.rejected, it.rejecting);
        let rounds = next.round.wrapping_sub(self.last.round);
        let late = unsigned(next.sent.nanos().wrapping_sub(self.expected(next.query)));
        let follows = match (rounds, next.query) {
            _ if fate(&next) != fate(&self.last) || late.leading_zeros() < BITS => OTHERWISE,
            (1, 0) => NEXT_ROUND,
            (0, query) if self.last.query.checked_add(1) == Some(query) => NEXT_QUERY,
            _ => OTHERWISE,
        };
        if follows == OTHERWISE {
            let (answered, rejected, rejecting) = fate(&next);
            let fate = u64::from(answered) | u64::from(rejected) << 1 | u64::from(rejecting) << 2;
            put(octets, OTHERWISE | fate << BITS);
            put(octets, rounds.into());
            put(octets, next.query.into());
            put(octets, late);
        } else {
            put(octets, late << BITS | follows);
        }
        self.advance(next);
    }

    /// The first probe of the next round, if it has the same fate and is on time.
    fn next(&self) -> Asked {
        let sent = Timestamp::from_nanos(self.expected(0));
        Asked { sent, round: self.last.round.wrapping_add(1), query: 0, ..self.last }
    }

    fn take_again(&mut self, times: u64, probes: &mut Vec<Asked>) {
        for _ in 0..times {
            let next = self.next();
            self.advance(next);
            probes.push(next);
        }
    }

    fn take(
        &mut self,
        octets: &mut impl Iterator<Item = u8>,
        probes: &mut Vec<Asked>,
    ) -> Option<()> {
        let first = take(octets)?;
        let (follows, rest) = (first & ((1 << BITS) - 1), first >> BITS);
        if follows == AGAIN {
            self.take_again(rest, probes);
            return Some(());
        }
        let mut next = self.last;
        let late = if follows == OTHERWISE {
            (next.answered, next.rejected, next.rejecting) =
                (rest & 1 > 0, rest & 2 > 0, rest & 4 > 0);
            next.round = next.round.wrapping_add(u32::try_from(take(octets)?).ok()?);
            next.query = u16::try_from(take(octets)?).ok()?;
            take(octets)?
        } else if follows == NEXT_QUERY {
            next.query = next.query.checked_add(1)?;
            rest
        } else {
            (next.round, next.query) = (next.round.wrapping_add(1), 0);
            rest
        };
        next.sent = Timestamp::from_nanos(self.expected(next.query).wrapping_add(signed(late)));
        self.advance(next);
        probes.push(next);
        Some(())
    }

    /// When the next probe is expected, which is query `query` of its round.
    fn expected(&self, query: u16) -> i64 {
        match (query, self.began) {
            (0, Some(began)) => began.wrapping_add(self.interval),
            _ => self.last.sent.nanos().wrapping_add(self.gap),
        }
    }

    fn advance(&mut self, next: Asked) {
        let (sent, last) = (next.sent.nanos(), self.last.sent.nanos());
        if next.query == 0 {
            self.interval = self.began.map_or(0, |began| sent.wrapping_sub(began));
            self.began = Some(sent);
        } else {
            self.gap = sent.wrapping_sub(last);
        }
        self.last = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn probe() -> impl Strategy<Value = Asked> {
        let sent = prop_oneof![any::<i64>(), 0..5_000_000_000_i64];
        let round = prop_oneof![0..5_u32, any::<u32>()];
        let query = prop_oneof![0..4_u16, any::<u16>()];
        (sent, round, query, any::<(bool, bool, bool)>()).prop_map(
            |(sent, round, query, (answered, rejected, rejecting))| {
                let sent = Timestamp::from_nanos(sent);
                Asked { sent, round, query, answered, rejected, rejecting }
            },
        )
    }

    proptest! {
        #[test]
        fn probes_are_given_back_as_they_were(probes in prop::collection::vec(probe(), 0..60)) {
            let mut record = Record::default();
            record.extend(&probes);
            prop_assert_eq!(record.probes(), probes);
        }
    }

    /// At a steady pace little more than an octet is kept for a probe, whatever the number of queries.
    #[test]
    fn a_steady_pace_takes_an_octet_a_probe_at_most() {
        for (queries, most) in [(1, 32), (3, 560)] {
            let mut record = Record::default();
            let asked = |number: u16| Asked {
                sent: Timestamp::from_parts(
                    (number / queries).into(),
                    i64::from(number % queries) * 5_000,
                ),
                round: (number / queries).into(),
                query: number % queries,
                answered: true,
                ..Asked::default()
            };
            let probes: Vec<Asked> = (0..500).map(asked).collect();
            record.extend(&probes);
            assert_eq!(record.probes(), probes);
            assert!(record.octets.len() < most, "{}", record.octets.len());
        }
    }
}
