//! Forwarding loops: routers that send a datagram round and round until its TTL runs out.
//!
//! A loop is believed when its hops have come three times, one round after the other, and nothing beyond it leads
//! out. In each round every hop is one router, the same and answering over the same return path (its replies arrive
//! with one TTL), or silent. So what only looks alike is none:
//!
//! - a router that forwards a TTL of 0, by which its successor stands at two hops in a row (and all else that
//!   answers from one address at neighbouring hops: translation of what routers behind it say, a firewall that
//!   answers for all);
//! - branches of different length, which show a router at two hops, but not three times at one distance;
//! - a target that answers whatever comes: its answers are not of TTLs that ran out.

use std::net::IpAddr;

pub use super::path::Loop;
use super::path::{Hop, Probe, ProbeRef};

/// How often the hops of a loop have come when it is believed.
pub(super) const ROUNDS: usize = 3;
/// How many probes of a hop are looked at: a recording may have thousands, and more of them add nothing.
const LOOKED_AT: u16 = 16;
/// How many of the repeated hops must have answered.
const SEEN_AGAIN: usize = 2;

/// Who stands at a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nobody who answers.
    Silent,
    /// One router, and the TTL that its reply arrives with.
    Router(IpAddr, u8),
    /// Several, or one that is no router on the way.
    Other,
}

impl Stand {
    fn of(hop: &Hop) -> Self {
        let mut stand = Self::Silent;
        for reply in looked_at(hop).filter_map(Probe::counted) {
            stand = match stand {
                _ if !reply.kind.in_transit() => return Self::Other,
                Self::Silent => Self::Router(reply.responder, reply.ttl),
                Self::Router(router, _) if router == reply.responder => stand,
                _ => return Self::Other,
            };
        }
        stand
    }

    fn is_router(self) -> bool {
        matches!(self, Self::Router(..))
    }

    fn has_address_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::Router(one, _), Self::Router(another, _)) => one == another,
            _ => false,
        }
    }
}

fn looked_at(hop: &Hop) -> impl Iterator<Item = &Probe> {
    hop.probes.iter().take(LOOKED_AT.into())
}

/// Whether an answer to this probe can change what is found.
pub(super) fn counts(at: ProbeRef) -> bool {
    matches!(at, ProbeRef::Hop { query, .. } if query < LOOKED_AT)
}

/// Whether the router at this hop also stands at one that is not beside it: only then there may be a loop.
pub(super) fn is_possible(hops: &[Hop], ttl: u8, router: IpAddr) -> bool {
    let first = |hop: &Hop| looked_at(hop).find_map(Probe::counted).map(|reply| reply.responder);
    let apart = |hop: &&Hop| hop.ttl.abs_diff(ttl) > 1;
    hops.iter().filter(apart).any(|hop| first(hop) == Some(router))
}

/// The loop that is believed after the fewest hops.
pub(super) fn find(hops: &[Hop]) -> Option<Loop> {
    let stands: Vec<Stand> = hops.iter().map(Stand::of).collect();
    let lengths = 2..=stands.len() / ROUNDS;
    let windows = |len: usize| stands.windows(len * ROUNDS).position(|window| circles(window, len));
    let found = lengths.filter_map(|len| Some((windows(len)? + len * ROUNDS - 1, len)));
    let (end, len) = found.min()?;
    let ttl = |index: usize| hops.get(index).map(|hop| hop.ttl);
    let first = end + 1 - len * ROUNDS;
    Some(Loop { first: ttl(first)?, last: ttl(first + len - 1)?, end: ttl(end)? })
}

/// Whether these are rounds of a loop of `len` hops.
pub(super) fn circles(window: &[Stand], len: usize) -> bool {
    let mut neighbours = window.iter().zip(window.iter().skip(1));
    if neighbours.any(|(one, next)| one.has_address_of(*next)) {
        return false;
    }
    let places = (0..len).map(|at| seen(window.iter().skip(at).step_by(len)));
    let Some(seen) = places.collect::<Option<Vec<usize>>>() else { return false };
    let again: usize = seen.iter().map(|rounds| rounds.saturating_sub(1)).sum();
    let begins = window.first().is_some_and(|first| first.is_router());
    begins && seen.first().is_some_and(|rounds| *rounds > 1) && again >= SEEN_AGAIN
}

/// In how many rounds the router at one place of a loop answered; `None` if it is not always the same.
fn seen<'a>(mut rounds: impl Iterator<Item = &'a Stand> + Clone) -> Option<usize> {
    let answered = rounds.clone().filter(|stand| **stand != Stand::Silent);
    let router = answered.clone().next();
    let same =
        rounds.all(|stand| stand.is_router() && Some(stand) == router || *stand == Stand::Silent);
    same.then(|| answered.count())
}

#[cfg(test)]
mod tests {
    use super::super::path::Outcome;
    use super::super::reply::{Reply, ReplyKind};
    use super::*;
    use crate::time::Timestamp;
    use crate::wire::extension::Family;
    use crate::wire::icmpv4;

    /// A hop per word, a probe per letter: who answered it, `-` if nobody did, `!` if the target did. A capital
    /// answers over another return path.
    fn hops(path: &str) -> Vec<Hop> {
        let words = (1..).zip(path.split(' '));
        let hop = |(ttl, word): (u8, &str)| Hop { ttl, probes: word.chars().map(probe).collect() };
        words.map(hop).collect()
    }

    fn probe(who: char) -> Probe {
        let mut probe = Probe::sent_at(Timestamp::default());
        if who == '-' {
            return probe;
        }
        let (icmp_type, code) = if who == '!' {
            (icmpv4::UNREACHABLE, icmpv4::CODE_PORT)
        } else {
            (icmpv4::TIME_EXCEEDED, 0)
        };
        let number = u8::try_from(who.to_ascii_lowercase()).unwrap();
        probe.outcome = Outcome::Answered(0);
        let kind = ReplyKind::Icmp { family: Family::V4, icmp_type, code, mtu: None };
        let ttl = if who.is_ascii_uppercase() { 99 } else { 64 };
        probe.replies.push(Reply { ttl, ..Reply::plain([10, 0, 0, number].into(), kind) });
        probe
    }

    #[test]
    fn loops_are_told_from_what_looks_alike() {
        let cases = [
            ("a b c b c b c", Some((2, 3, 7))),
            ("a b c b c b c b c b c", Some((2, 3, 7))),
            ("aa bb cc bb cc bb cc", Some((2, 3, 7))),
            ("a b c d b c d b c d", Some((2, 4, 10))),
            ("a b - b - b -", Some((2, 3, 7))),
            ("a b - b c b -", Some((2, 3, 7))),
            ("a - - - b - c b - c b - c", Some((5, 7, 13))),
            // Not yet three rounds.
            ("a b c b c b", None),
            ("a b c b c", None),
            ("a - - b - - b - -", None),
            // A TTL of 0 was forwarded, twice even.
            ("a c c d e e f", None),
            // Everything behind a translator has its address; a firewall answers for all.
            ("a b b b b b b b", None),
            ("a b B b B b B", None),
            // Branches of different length, and branches at all.
            ("a bc bc d bc d", None),
            ("a b c b c d e", None),
            ("a bc cb bc cb bc cb", None),
            // The replies of the same router have less and less of their TTL left.
            ("a b c B C b c", None),
            // The target answers all that comes.
            ("a b ! ! ! ! ! !", None),
            ("- - - - - - - - -", None),
        ];
        for (path, expected) in cases {
            let found = find(&hops(path)).map(|it| (it.first, it.last, it.end));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn only_what_stands_apart_can_be_a_loop() {
        let hops = hops("a b b c a");
        let possible =
            |ttl, who: char| is_possible(&hops, ttl, probe(who).answer().unwrap().responder);
        assert!(possible(5, 'a') && possible(1, 'a'));
        assert!(!possible(3, 'b') && !possible(4, 'c'));
    }
}
