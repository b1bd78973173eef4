//! Finds hops at which other routers answer than before, or at which a balancer spreads the probes over several.
//!
//! For each hop, the responders of the last [`KEPT`] rounds since its last change are kept. At every round they are
//! split into a window of the latest rounds and the rounds before it. A hop has changed if somebody new answers in
//! the window, and chance alone would separate the two this well at any such split less often than [`SIGNIFICANCE`]
//! ([`chance`]: without a change the order of answers means nothing). A split is tested in three ways: whether nobody
//! answers on both sides, of all probes or of the probes of one query (a flow), and whether one router answers in the
//! window alone. The change happened when the first of the new routers answered. A hop is balanced if answers
//! alternate more often than one change can explain.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::path::{Hop, Path, Probe};
use crate::chance::{self, Seen};
use crate::time::Timestamp;

/// The most rounds that are compared with each other.
pub const KEPT: usize = 64;
/// The most recent rounds that may form a window.
const WINDOW: usize = 32;
/// A split that chance shows less often than this is a change: rare enough for all splits, hops and rounds of a watch
/// of hours.
pub const SIGNIFICANCE: f64 = 1e-5;
/// The most responders distinguished in these rounds; answers of further ones do not count.
const KINDS: usize = 64;
/// The most answers of a round that are considered.
const ANSWERS: usize = 16;
/// The number of stretches of one responder from which on a sequence counts as alternating.
const STRETCHES: usize = 4;

/// Another router answers at a hop than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Change {
    /// The first round in which the new router answered, from 1.
    pub round: u64,
    /// When that first reply came.
    pub at: Timestamp,
    /// The TTL of the hop.
    pub ttl: u8,
    /// The router that answered most often before.
    pub from: IpAddr,
    /// The router that answers most often now.
    pub to: IpAddr,
    /// The round at which the change became certain, from 1.
    pub judged: u64,
}

/// Several routers, or several addresses of one, answer at a hop in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Balanced {
    /// The round at which this became certain, from 1.
    pub round: u64,
    /// When the reply came that shows it.
    pub at: Timestamp,
    /// The TTL of the hop.
    pub ttl: u8,
    /// Those that answered so far, in order of first appearance.
    pub responders: Vec<IpAddr>,
}

/// A finding about a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The hop has changed.
    Changed(Change),
    /// The hop is balanced.
    Balanced(Balanced),
}

/// The recent responders of a hop.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    runs: VecDeque<Run>,
    balanced: bool,
}

/// Rounds in which one router gave the same answers. Only the first of them matters for when a router began to
/// answer, so the times of the others are not kept.
#[derive(Clone, Debug)]
struct Run {
    /// The number of the first round.
    first: u64,
    /// The rounds among the 64 from the first on, the lowest bit first.
    rounds: u64,
    answers: Box<[Answer]>,
}

impl Run {
    fn of(number: u64, answers: Vec<Answer>) -> Self {
        Self { first: number, rounds: 1, answers: answers.into() }
    }

    /// Takes in another round, if it fits.
    fn takes(&mut self, number: u64, answers: &[Answer]) -> bool {
        let ago = number.checked_sub(self.first).and_then(|ago| u32::try_from(ago).ok());
        let Some(bit) = ago.and_then(|ago| 1_u64.checked_shl(ago)) else { return false };
        let only = self.answers.first().map(|answer| answer.responder);
        let is_only = |answer: &Answer| Some(answer.responder) == only;
        let alike = self.answers.iter().all(is_only)
            && answers.iter().all(is_only)
            && self.answers.iter().map(|it| it.query).eq(answers.iter().map(|it| it.query));
        self.rounds |= if alike { bit } else { 0 };
        alike
    }

    fn len(&self) -> usize {
        self.rounds.count_ones() as usize
    }

    fn rounds(&self) -> impl Iterator<Item = Round<'_>> {
        let bits = (0..u64::BITS).filter(|bit| self.rounds >> bit & 1 == 1);
        bits.map(|bit| Round { number: self.first + u64::from(bit), answers: &self.answers })
    }
}

/// A round, and who answered in it.
#[derive(Clone, Copy, Debug)]
struct Round<'a> {
    number: u64,
    answers: &'a [Answer],
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    query: usize,
    at: Timestamp,
    responder: IpAddr,
}

/// A split of the kept rounds: the number of rounds before it; the others lie after it.
struct Split {
    before: usize,
    chance: f64,
}

impl Recent {
    /// Takes in a round of this hop; `number` is that of the round, from 1. Returns what it shows.
    pub(super) fn add(&mut self, hop: &Hop, path: &Path, number: u64) -> Vec<Finding> {
        let answers = hop.probes.iter().enumerate().filter_map(|(query, probe)| {
            let reply = Probe::counted(probe).filter(|reply| path.is_of_hop(hop.ttl, reply))?;
            Some(Answer { query, at: reply.at, responder: reply.responder })
        });
        self.take(hop.ttl, number, answers.take(ANSWERS).collect())
    }

    fn take(&mut self, ttl: u8, number: u64, answers: Vec<Answer>) -> Vec<Finding> {
        if answers.is_empty() {
            return Vec::new();
        }
        if self.len() >= KEPT {
            self.drop_first(1);
        }
        if !self.runs.back_mut().is_some_and(|run| run.takes(number, &answers)) {
            self.runs.push_back(Run::of(number, answers));
        }
        let mut responders = self.runs.iter().flat_map(|run| &run.answers).map(|it| it.responder);
        let first = responders.next();
        if responders.all(|responder| Some(responder) == first) {
            return Vec::new();
        }
        let changed = self.changed(ttl, number).map(Finding::Changed);
        let balanced = self.alternates(ttl, number).map(Finding::Balanced);
        changed.into_iter().chain(balanced).collect()
    }

    /// The number of rounds that are kept.
    fn len(&self) -> usize {
        self.runs.iter().map(Run::len).sum()
    }

    fn rounds(&self) -> impl Iterator<Item = Round<'_>> {
        self.runs.iter().flat_map(Run::rounds)
    }

    /// Forgets this many of the first rounds.
    fn drop_first(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let Some(run) = self.runs.front_mut() else { return };
            run.rounds &= run.rounds.wrapping_sub(1);
            if run.rounds == 0 {
                self.runs.pop_front();
            }
        }
    }

    fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.rounds().flat_map(|round| round.answers)
    }

    /// Finds the split that chance is least likely to show, and forgets the rounds before it.
    fn changed(&mut self, ttl: u8, judged: u64) -> Option<Change> {
        let kinds = self.kinds();
        let Split { before, chance } = self.unlikeliest(&kinds)?;
        if chance >= SIGNIFICANCE {
            return None;
        }
        let sides = self.sides(&kinds, before);
        let later = self.rounds().skip(before);
        let later = later.flat_map(|round| round.answers.iter().map(move |it| (round.number, *it)));
        let mut new = later.filter(|(_, answer)| is_new(&kinds, &sides, answer.responder));
        let (round, answer) = new.next()?;
        drop(new);
        // The router that answers most often on one side alone, if there is one.
        let most = |by: fn(&Seen) -> (bool, usize)| {
            let most = kinds.iter().zip(&sides).max_by_key(|(_, seen)| by(seen));
            most.map(|(responder, _)| *responder)
        };
        let from = most(|seen| (seen.1 == 0, seen.0))?;
        let to = most(|seen| (seen.0 == 0, seen.1))?;
        self.drop_first(before);
        self.balanced = false;
        Some(Change { round, at: answer.at, ttl, from, to, judged })
    }

    /// The responders, in order of first appearance.
    fn kinds(&self) -> Vec<IpAddr> {
        let mut kinds: Vec<IpAddr> = Vec::new();
        for answer in self.answers() {
            if kinds.len() < KINDS && !kinds.contains(&answer.responder) {
                kinds.push(answer.responder);
            }
        }
        kinds
    }

    /// How often each of these answered in the first rounds, and in the others.
    fn sides(&self, kinds: &[IpAddr], first: usize) -> Vec<Seen> {
        let mut sides = vec![(0, 0); kinds.len()];
        for (at, round) in self.rounds().enumerate() {
            for answer in round.answers {
                let kind = kinds.iter().position(|it| *it == answer.responder);
                if let Some((before, after)) = kind.and_then(|kind| sides.get_mut(kind)) {
                    *(if at < first { before } else { after }) += 1;
                }
            }
        }
        sides
    }

    fn unlikeliest(&self, kinds: &[IpAddr]) -> Option<Split> {
        let rounds: Vec<Round<'_>> = self.rounds().collect();
        let mut sides = self.sides(kinds, rounds.len());
        let mut least: Option<Split> = None;
        let later = rounds.iter().enumerate().skip(1).rev().take(WINDOW);
        for (before, round) in later {
            for answer in round.answers {
                let kind = kinds.iter().position(|it| *it == answer.responder);
                if let Some(seen) = kind.and_then(|kind| sides.get_mut(kind)) {
                    *seen = (seen.0 - 1, seen.1 + 1);
                }
            }
            let Some(chance) = self.chance(kinds, &sides, before) else { continue };
            if least.as_ref().is_none_or(|least| chance < least.chance) {
                least = Some(Split { before, chance });
            }
        }
        least
    }

    /// The chance of a split like this one without a change; `None` if nobody new answers after it.
    fn chance(&self, kinds: &[IpAddr], sides: &[Seen], before: usize) -> Option<f64> {
        let least = of_one(sides)?;
        if !sides.iter().any(|(was, is)| *was > 0 && *is > 0) {
            return Some(least.min(chance::disjoint(sides)) * 2.0);
        }
        let later = || self.rounds().skip(before).flat_map(|round| round.answers);
        let queries = self.answers().map(|answer| answer.query).max()? + 1;
        // A query is a flow of its own, which another router may have begun to answer.
        let moved = (0..queries).filter(|query| {
            let mut own = later().filter(|answer| answer.query == *query).peekable();
            own.peek().is_some() && own.all(|answer| is_new(kinds, sides, answer.responder))
        });
        let of_query = moved.map(|query| chance::disjoint(&self.query_sides(kinds, before, query)));
        let tests = 2.0 + f64::from(u32::try_from(queries).unwrap_or(u32::MAX));
        Some(of_query.fold(least, f64::min) * tests)
    }

    fn query_sides(&self, kinds: &[IpAddr], first: usize, query: usize) -> Vec<Seen> {
        let own = |run: &Run| {
            let answers = run.answers.iter().filter(|it| it.query == query).copied();
            Run { answers: answers.collect(), ..*run }
        };
        Self { runs: self.runs.iter().map(own).collect(), balanced: false }.sides(kinds, first)
    }

    fn alternates(&mut self, ttl: u8, round: u64) -> Option<Balanced> {
        if self.balanced {
            return None;
        }
        let mut stretches = 0;
        let mut last = None;
        let mut responders: Vec<IpAddr> = Vec::new();
        let mut shown = None;
        for answer in self.answers() {
            if last.replace(answer.responder) != Some(answer.responder) {
                stretches += 1;
            }
            if !responders.contains(&answer.responder) {
                responders.push(answer.responder);
            }
            if stretches == STRETCHES {
                shown.get_or_insert(answer.at);
            }
        }
        let at = shown?;
        self.balanced = true;
        Some(Balanced { round, at, ttl, responders })
    }
}

/// Whether this router answers only after the split.
fn is_new(kinds: &[IpAddr], sides: &[Seen], responder: IpAddr) -> bool {
    let kind = kinds.iter().position(|it| *it == responder);
    kind.and_then(|kind| sides.get(kind)).is_some_and(|seen| seen.0 == 0)
}

/// The chance that the most frequent of the routers that answer only after the split is missing before it.
fn of_one(sides: &[Seen]) -> Option<f64> {
    let (before, after) = sides.iter().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let most =
        sides.iter().filter(|seen| seen.0 == 0).map(|seen| seen.1).max().filter(|it| *it > 0)?;
    let as_often = sides.iter().filter(|seen| seen.0 + seen.1 >= most).count();
    let as_often = u32::try_from(as_often).unwrap_or(u32::MAX);
    Some(chance::within(most, after, before) * f64::from(as_often))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// The findings in rounds of these responders. A round is a word with a letter for each query; `*` is silent.
    fn told(rounds: impl IntoIterator<Item = String>) -> Vec<Finding> {
        let mut recent = Recent::default();
        let mut findings = Vec::new();
        for (number, word) in (1..).zip(rounds) {
            let answers = word.bytes().enumerate().filter(|(_, letter)| *letter != b'*');
            let answers = answers.map(|(query, letter)| Answer {
                query,
                at: Timestamp::from_parts(i64::try_from(number).unwrap(), 0),
                responder: Ipv4Addr::from([10, 0, 0, letter]).into(),
            });
            findings.extend(recent.take(7, number, answers.collect()));
        }
        findings
    }

    fn repeated(words: &[(&str, usize)]) -> Vec<String> {
        let all = words.iter().flat_map(|(word, times)| vec![(*word).to_owned(); *times]);
        all.collect()
    }

    fn last(address: IpAddr) -> char {
        let IpAddr::V4(address) = address else { return '?' };
        char::from(address.octets()[3])
    }

    /// Findings as text. "a>b@11<17": changed from the eleventh round on, certain at the seventeenth; "ab@4":
    /// balanced.
    fn shown(findings: &[Finding]) -> String {
        let shown = findings.iter().map(|turn| match turn {
            Finding::Changed(Change { round, from, to, judged, at, .. }) => {
                assert_eq!(at.nanos(), i64::try_from(*round).unwrap() * 1_000_000_000);
                format!("{}>{}@{round}<{judged}", last(*from), last(*to))
            }
            Finding::Balanced(Balanced { round, responders, .. }) => {
                let responders: String = responders.iter().map(|it| last(*it)).collect();
                format!("{responders}@{round}")
            }
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_change_is_told_with_the_round_in_which_it_happened() {
        for (words, expected) in [
            (&[("a", 20), ("b", 20)][..], "a>b@21<26"),
            (&[("a", 9), ("b", 20)], "a>b@10<21"),
            (&[("aaa", 20), ("bbb", 9)], "a>b@21<22"),
            (&[("aaa", 3), ("bbb", 9)], "a>b@4<7"),
            (&[("aba", 20), ("aca", 20)], "ab@2 b>c@21<28 ac@28"),
            (&[("ab*", 20), ("cd*", 20)], "ab@2 b>d@21<23 cd@23"),
            (&[("a", 20), ("*", 5), ("b", 9)], "a>b@26<31"),
            (&[("a", 30), ("b", 30), ("a", 30)], "a>b@31<35 b>a@61<65"),
            (&[("a", 40), ("b", 2), ("a", 40)], ""),
            (&[("a", 3), ("b", 3)], ""),
        ] {
            assert_eq!(shown(&told(repeated(words))), expected, "{words:?}");
        }
    }

    /// This holds whatever the number of routers and of queries, and whatever is lost.
    #[test]
    fn balancing_is_told_once_and_is_no_change() {
        for width in [2, 4, 40] {
            for queries in [1, 3] {
                for run in 0..4 {
                    let mut rng = fastrand::Rng::with_seed(run);
                    let mut letter = || if rng.f64() < 0.1 { b'*' } else { b'A' + rng.u8(..width) };
                    let rounds = (0..60)
                        .map(|_| (0..queries).map(|_| char::from(letter())).collect::<String>());
                    let findings = told(rounds.collect::<Vec<_>>());
                    assert!(
                        matches!(findings[..], [Finding::Balanced(_)]),
                        "{width} {queries} {run}: {findings:?}"
                    );
                }
            }
        }
        // One router that answers from two addresses in turn.
        let in_turn = (0..60).map(|round| if round % 2 == 0 { "a" } else { "b" }.to_owned());
        assert_eq!(shown(&told(in_turn)), "ab@4");
    }
}
