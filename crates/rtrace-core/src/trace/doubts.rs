//! What speaks against answers: of an answer that quotes nothing, anybody who sends from the target's address may be
//! the author.
//!
//! A quote shows a probe as it arrived somewhere, and whoever did not see that probe cannot make it up. An answer in the
//! probe's own protocol (UDP, an echo reply, a TCP segment) repeats two ports or two numbers. So quotes are evidence
//! against it: where a router says that a TTL ran out, the path is longer than that, and a quote of the one who was
//! reached says how long. A path keeps the length that earlier rounds found. An answer from
//! nearer is *contradicted*: it is no reply, and no end of the path, unless a second probe to that TTL, from another
//! port, is answered too.

/// A set of TTLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ttls([u64; 4]);

impl Ttls {
    const fn place(ttl: u8) -> (usize, u64) {
        ((ttl >> 6) as usize, 1 << (ttl & 63))
    }

    pub(super) fn insert(&mut self, ttl: u8) {
        let (word, bit) = Self::place(ttl);
        self.0[word] |= bit;
    }

    pub(super) fn remove(&mut self, ttl: u8) {
        let (word, bit) = Self::place(ttl);
        self.0[word] &= !bit;
    }

    pub(super) fn contains(&self, ttl: u8) -> bool {
        let (word, bit) = Self::place(ttl);
        self.0[word] & bit != 0
    }

    /// From the lowest to the highest.
    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        let words = [0, 64, 128, 192].into_iter().zip(self.0);
        words.flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                let bit = u8::try_from(word.trailing_zeros()).ok().filter(|_| word != 0)?;
                word &= word - 1;
                Some(first + bit)
            })
        })
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

/// What is known against answers that quote nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    /// Nothing speaks against answers: where probes of many flows take paths of their own, and in recordings of tools that
    /// repeat a trace long enough for its path to change.
    pub(super) trusting: bool,
    /// The highest TTL of which a router said that it ran out, in time or late.
    ran_out: Option<u8>,
    /// How far away they are who were reached, as the nearest of their quotes says.
    quoted: Option<u8>,
    /// How long the path was in earlier rounds, if that is known.
    pub(super) known_length: Option<u8>,
    /// TTLs with an answer among the replies.
    pub(super) answered: Ttls,
    /// TTLs with a contradicted answer.
    pub(super) contradicted: Ttls,
    /// TTLs at which a second probe was answered too.
    pub(super) confirmed: Ttls,
    /// A probe that was answered was answered once more.
    pub(super) repeated: bool,
    /// Only confirmed answers are believed: see [`proof`](super::proof).
    pub(super) distrusting: bool,
}

impl Doubts {
    /// No doubts yet; with `variable_queries`, for a tool that repeats a trace.
    pub(super) fn of_tool(variable_queries: bool) -> Self {
        Self { trusting: variable_queries, ..Self::default() }
    }

    /// A router says that this TTL ran out.
    pub(super) fn note_ran_out(&mut self, ttl: u8) {
        self.ran_out = self.ran_out.max(Some(ttl));
    }

    /// Who was reached by a probe with this TTL quotes it with that one.
    pub(super) fn note_quoted(&mut self, ttl: u8, quoted: u8) {
        let distance = (quoted > 0).then(|| ttl.checked_sub(quoted - 1)).flatten();
        self.quoted = self.quoted.into_iter().chain(distance).min();
    }

    /// How many hops the path has at least.
    pub(super) fn least_length(&self) -> u8 {
        let shown = [self.quoted, self.known_length].into_iter().flatten();
        shown.fold(self.beyond_routers(), u8::max)
    }

    /// The TTL after the highest that ran out.
    fn beyond_routers(&self) -> u8 {
        self.ran_out.map_or(1, |ttl| ttl.saturating_add(1))
    }

    /// Whether an answer to a probe with this TTL is contradicted.
    pub(super) fn contradict(&self, ttl: u8) -> bool {
        let doubted = self.distrusting || ttl < self.least_length();
        !self.trusting && doubted && !self.confirmed.contains(ttl)
    }

    /// Whether anything but answers speaks for it that the path from `first` on ends at this TTL; `guessed` if somebody was seen
    /// to guess.
    pub(super) fn is_proven(&self, first: u8, end: u8, guessed: bool) -> bool {
        let known = self.trusting || self.confirmed.contains(end) || self.known_length == Some(end);
        let guessed = guessed || self.repeated;
        known || !guessed && end > first && self.beyond_routers() >= end
    }

    /// How long the path is known to be after a round that showed this and ended at `end`, if it was known to be `before`
    /// long: as long as the shortest that was believed, until a TTL runs out there or beyond.
    pub(super) fn known_length_after(&self, before: Option<u8>, end: Option<u8>) -> Option<u8> {
        match end {
            Some(_) if self.ran_out >= before || end < before => end,
            None if self.ran_out.is_some() && self.ran_out >= before => Some(self.beyond_routers()),
            _ => before,
        }
    }

    /// The TTLs with answers among the replies that are contradicted by now.
    pub(super) fn to_withdraw(&self) -> Ttls {
        let mut ttls = Ttls::default();
        if !self.answered.is_empty() {
            let contradicted = self.answered.iter().filter(|ttl| self.contradict(*ttl));
            contradicted.for_each(|ttl| ttls.insert(ttl));
        }
        ttls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_ttls_has_what_was_put_in() {
        let mut ttls = Ttls::default();
        for ttl in [255, 0, 63, 64, 7, 200] {
            ttls.insert(ttl);
        }
        ttls.remove(7);
        assert_eq!(ttls.iter().collect::<Vec<_>>(), [0, 63, 64, 200, 255]);
        assert!(!ttls.contains(7) && ttls.contains(64) && !Ttls::default().contains(0));
    }

    #[test]
    fn what_is_farther_contradicts_what_is_nearer() {
        let mut doubts = Doubts::default();
        assert!(!doubts.contradict(1), "nothing is known");
        doubts.note_ran_out(4);
        assert!(doubts.contradict(4) && !doubts.contradict(5));
        doubts.note_quoted(30, 21);
        assert!(doubts.contradict(9) && !doubts.contradict(10));
        doubts.note_quoted(12, 4);
        assert!(!doubts.contradict(9), "the nearest of them counts");
        // A TTL of 0, or more than was sent, says nothing.
        doubts.note_quoted(12, 0);
        doubts.note_quoted(12, 64);
        assert_eq!(doubts.least_length(), 9);
        doubts.confirmed.insert(5);
        assert!(doubts.contradict(6) && !doubts.contradict(5));
        doubts.trusting = true;
        assert!(!doubts.contradict(6));
    }

    #[test]
    fn a_path_is_as_long_as_was_believed_until_it_is_seen_to_be_longer() {
        let cases = [
            // Before, then of a round: its end, the highest TTL that ran out; after.
            (None, None, None, None),
            (None, Some(10), Some(9), Some(10)),
            (None, Some(1), None, Some(1)),
            (None, None, Some(6), Some(7)),
            (Some(10), None, None, Some(10)),
            (Some(10), Some(10), Some(9), Some(10)),
            // The target's answers at its hop were lost.
            (Some(10), Some(11), Some(9), Some(10)),
            (Some(10), None, Some(4), Some(10)),
            (Some(11), Some(10), Some(9), Some(10)),
            (Some(10), Some(5), Some(4), Some(5)),
            (Some(5), Some(10), Some(9), Some(10)),
            (Some(5), None, Some(9), Some(10)),
            (Some(10), Some(12), Some(11), Some(12)),
        ];
        for (before, end, ran_out, after) in cases {
            let doubts = Doubts { ran_out, ..Doubts::default() };
            let known = doubts.known_length_after(before, end);
            assert_eq!(known, after, "{before:?} {end:?} {ran_out:?}");
        }
    }
}
