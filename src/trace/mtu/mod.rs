//! The path MTU: how long a datagram may be to pass whole, and between which hops the path narrows.
//!
//! When the trace is over, *sizers* are sent: probes that must not be fragmented, longer than those of the
//! hops, first one as long as the first link takes, to the farthest hop that answers. What comes next follows
//! from what became of those before, so that a replay finds the same ([`Findings::of`] has no state):
//!
//! - A router says that it is too big, and what it takes (RFC 1191 §4, RFC 8201 §4): that is tried next.
//! - It says so, but with a number that cannot be (0, as routers before RFC 1191; below the least MTU of
//!   its family; not below what was sent): sizes are tried down the plateaus of RFC 1191 §7, then in halves.
//! - Nobody says anything, a black hole (RFC 2923 §2.1): every hop is asked with that size; between the last that
//!   answers it and the next that answers shorter ones it vanishes. There sizes are tried in the same way.
//!
//! Invariant: only an answer proves anything. A size that was not answered counts as one that does not pass once it
//! was tried often enough, at last after a rest in which a rate limit on ICMP recovers, and a shorter
//! one was answered after it (in the spirit of RFC 4821 §7 and RFC 8899 §4); an answer that comes late puts it right.
//! Of a hop that has not answered what is known to pass, nothing counts but what was sent after a rest.

mod tracer;

use std::net::IpAddr;

use super::config::TraceConfig;
use super::path::{Path, Probe, Sizer};
use super::reply::{Reply, least_mtu};
use crate::time::{Span, Timestamp};
use crate::wire::extension::Family;

pub use tracer::MtuTracer;

/// So many sizers are sent at most: a search takes a few, and some thirty for each black hole.
pub(super) const MOST_SIZERS: usize = 500;
/// How often a size is tried before it counts as one that does not pass.
const TRIES: usize = 2;
/// How often more, each after a rest, before what was found is believed.
const CONFIRMATIONS: usize = 1;
/// How many shorter ones may stay unanswered after that.
const CONTROLS: usize = 3;
/// After so long a rest a router that limits its ICMP has something to say again: Linux says one a second.
const REST: Span = Span::from_millis(1_100);
/// What of that is asked for between captured frames, which may be a little closer than they were meant to be.
const SEEN_REST: Span = Span::from_millis(1_000);
/// What links commonly take (RFC 1191 §7.1), and the least that they do over IPv6 (RFC 8200 §5).
const PLATEAUS: [u16; 12] =
    [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_280, 1_006, 508, 296, 68];

/// How it became known that a link is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This router refuses what is longer and says what it takes.
    Told(IpAddr),
    /// This router refuses what is longer and says nothing of use; the number that it says, if it says one.
    Refused(IpAddr, Option<u32>),
    /// What is longer vanishes.
    Silent,
}

/// A link that takes less than those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrowing {
    /// The TTL of the last hop before it; 0 is the sender, `None` is not known.
    pub after: Option<u8>,
    /// The TTL of the first hop behind it; of a silent one the first that answers.
    pub before: u8,
    /// The longest datagram that passes, in bytes.
    pub mtu: u16,
    /// How that is known.
    pub cause: Cause,
}

/// What the sizers have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The longest that was tried.
    pub largest: Option<u16>,
    /// The hop as far as sizes were tried: the farthest that answers.
    pub hop: Option<u8>,
    /// The longest datagram that reaches it, once that is known.
    pub mtu: Option<u16>,
    /// Where the path narrows, each to less than before.
    pub narrowings: Vec<Narrowing>,
    /// What has to be tried to know more.
    asks: Vec<Ask>,
}

/// A sizer that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ask {
    ttl: u8,
    len: u16,
    /// Not before a rest.
    rested: bool,
}

impl Findings {
    /// What a path shows, as far as sizers were sent.
    #[must_use]
    pub fn of(path: &Path, config: &TraceConfig) -> Self {
        match path.sizers.iter().map(|sizer| sizer.len).max() {
            Some(largest) => Self::from(largest, path, config),
            None => Self { hop: Search::new(path, config).hops.last().copied(), ..Self::default() },
        }
    }

    /// The same of a search that begins with this length.
    fn from(largest: u16, path: &Path, config: &TraceConfig) -> Self {
        let search = Search::new(path, config);
        let Some(end) = search.hops.last().copied() else { return Self::default() };
        let largest = largest.max(search.floor);
        let mut findings = Self { largest: Some(largest), hop: Some(end), ..Self::default() };
        let mut size = largest;
        loop {
            match search.step(end, size) {
                Ok(Some(narrowing)) if narrowing.mtu < size => {
                    size = narrowing.mtu;
                    findings.narrowings.push(narrowing);
                }
                Ok(_) => {
                    findings.mtu = Some(size);
                    return findings;
                }
                Err(asks) => {
                    findings.asks = asks;
                    return findings;
                }
            }
        }
    }

    /// Whether the path MTU may be larger: the longest that was to be tried passes.
    #[must_use]
    pub fn is_limited(&self, config: &TraceConfig) -> bool {
        self.mtu.is_some() && self.mtu == config.mtu_limit
    }

    /// The lengths that datagrams have to come down to and the hops at which that shows: at the first the
    /// longest that was tried.
    #[must_use]
    pub fn marks(&self, config: &TraceConfig) -> Vec<(u8, u16)> {
        let first = self.largest.map(|largest| (config.first_ttl, largest));
        let narrow = self.narrowings.iter().map(|it| (it.before, it.mtu));
        first.into_iter().chain(narrow).collect()
    }
}

/// What became of a size at a hop.
#[derive(Clone, Copy, Debug)]
enum Fate<'a> {
    Passed,
    /// By an ICMP error about its size, or any other that shorter ones do not get.
    Refused(&'a Sizer, &'a Reply),
    /// So many have had no answer, the last of which was sent at this time.
    Lost(usize, Timestamp),
}

impl Fate<'_> {
    /// Whether it is to be taken for one that does not pass.
    fn fails(self) -> bool {
        match self {
            Self::Passed => false,
            Self::Refused(..) => true,
            Self::Lost(tries, _) => tries >= TRIES,
        }
    }
}

/// What is known, to reason from.
struct Search<'a> {
    path: &'a Path,
    config: &'a TraceConfig,
    /// The length that every answering hop has answered.
    floor: u16,
    /// The hops that answer.
    hops: Vec<u8>,
    sent: Vec<Tried<'a>>,
}

/// A sizer that was sent.
struct Tried<'a> {
    sizer: &'a Sizer,
    /// After a rest.
    rested: bool,
}

impl<'a> Search<'a> {
    fn new(path: &'a Path, config: &'a TraceConfig) -> Self {
        let answers =
            |probe: &Probe| probe.counted().is_some_and(|reply| reply.kind.too_big().is_none());
        let hops = path.reported().iter().filter(|hop| hop.probes.iter().any(answers));
        let hops = hops.map(|hop| hop.ttl).collect();
        let mut before = None;
        let sent = path.sizers.iter().map(|sizer| {
            let sent = sizer.probe.sent;
            let rest = sent.zip(before).map(|(sent, before)| sent.since(before));
            before = before.max(sent);
            Tried { sizer, rested: rest >= Some(SEEN_REST) }
        });
        let sent = sent.collect();
        Self { path, config, floor: config.packet_len, hops, sent }
    }

    /// The first link before hop `end` that does not take `size`; `Err` is what has to be tried first.
    fn step(&self, end: u8, size: u16) -> Result<Option<Narrowing>, Vec<Ask>> {
        match self.fate(end, size) {
            _ if size <= self.floor => Ok(None),
            Fate::Passed => Ok(None),
            Fate::Refused(sizer, reply) => self.refused(end, size, sizer, reply).map(Some),
            Fate::Lost(tries, _) if tries < TRIES => Err(vec![self.ask(end, size)]),
            Fate::Lost(..) => {
                let (after, before) = self.locate(end, size)?;
                if let Some((sizer, reply)) = self.refusal(before, size) {
                    return self.refused(before, size, sizer, reply).map(Some);
                }
                self.answers_still(before, size)?;
                let mtu = self.bracket(before, size)?;
                Ok(Some(Narrowing { after: Some(after), before, mtu, cause: Cause::Silent }))
            }
        }
    }

    /// A link that does not take `size`, as a router on the way to hop `ttl` says.
    fn refused(
        &self,
        ttl: u8,
        size: u16,
        sizer: &Sizer,
        reply: &Reply,
    ) -> Result<Narrowing, Vec<Ask>> {
        let least = least_mtu(Family::of(self.config.target));
        let claim = reply.kind.too_big();
        let credible = claim.and_then(|mtu| u16::try_from(mtu).ok());
        let possible = least.max(self.passes(ttl, u16::MAX))..sizer.len;
        let credible = credible.filter(|mtu| possible.contains(mtu));
        let after = self.hop_of(sizer, reply);
        let before = after.map_or(ttl, |after| after + 1);
        let by = reply.responder;
        if let Some(mtu) = credible {
            return Ok(Narrowing { after, before, mtu, cause: Cause::Told(by) });
        }
        let mtu = self.bracket(ttl, size)?;
        let cause = Cause::Refused(by, claim.filter(|claim| *claim > 0));
        Ok(Narrowing { after, before, mtu, cause })
    }

    /// The hop of a router that refused a sizer: the one that answers from its address, else the one whose TTL
    /// is quoted.
    fn hop_of(&self, sizer: &Sizer, reply: &Reply) -> Option<u8> {
        let is_it =
            |probe: &Probe| probe.counted().is_some_and(|it| it.responder == reply.responder);
        let hops = self.path.reported().iter();
        let known = hops.filter(|hop| hop.probes.iter().any(is_it)).map(|hop| hop.ttl).next();
        let quoted = || {
            let left = reply.quote.and_then(|quote| quote.ttl.checked_sub(1))?;
            sizer.probe.ttl.checked_sub(left)
        };
        known.or_else(quoted).filter(|hop| *hop < sizer.probe.ttl)
    }

    /// Between which answering hops `size` vanishes: the TTLs of the last that it reaches and of the next.
    fn locate(&self, end: u8, size: u16) -> Result<(u8, u8), Vec<Ask>> {
        let mut asks = Vec::new();
        let mut after = 0;
        for ttl in self.hops.iter().copied().filter(|ttl| *ttl < end) {
            match self.fate(ttl, size) {
                Fate::Passed => after = ttl,
                fate if !fate.fails() => asks.push(self.ask(ttl, size)),
                _ => {}
            }
        }
        let before = self.hops.iter().copied().find(|ttl| *ttl > after).unwrap_or(end);
        if asks.is_empty() { Ok((after, before)) } else { Err(asks) }
    }

    /// The longest that reaches hop `ttl`, which `size` does not.
    fn bracket(&self, ttl: u8, size: u16) -> Result<u16, Vec<Ask>> {
        let passes = self.passes(ttl, size - 1);
        let failing = self.sent.iter().map(|it| it.sizer).filter(|it| it.probe.ttl == ttl);
        let failing = failing.map(|it| it.len).filter(|len| (passes + 1..size).contains(len));
        let fails = failing.filter(|len| self.fate(ttl, *len).fails()).min().unwrap_or(size);
        let between = |len: &u16| (passes + 1..fails).contains(len);
        let Some(half) = Some(passes + (fails - passes) / 2).filter(between) else {
            return self.confirm(ttl, passes, fails);
        };
        let plateau = PLATEAUS.iter().copied().find(between).filter(|_| passes == self.floor);
        Err(vec![self.ask(ttl, plateau.unwrap_or(half))])
    }

    /// That `fails` does not reach hop `ttl` and `passes` does, if the one is all that is known of the other.
    fn confirm(&self, ttl: u8, passes: u16, fails: u16) -> Result<u16, Vec<Ask>> {
        let Fate::Lost(tries, last) = self.fate(ttl, fails) else { return Ok(passes) };
        let rested = |len| Err(vec![Ask { ttl, len, rested: true }]);
        if tries < TRIES + CONFIRMATIONS {
            return rested(fails);
        }
        let control = passes.max(self.control());
        let controls = self.tried(ttl, control).filter(|it| it.sizer.probe.sent > Some(last));
        let answered = controls.clone().any(|it| self.passed(it.sizer));
        if control >= fails || answered || controls.count() >= CONTROLS {
            return Ok(passes);
        }
        rested(control)
    }

    /// Whether hop `ttl` answers now: a short sizer, after it has left a longer one unanswered.
    fn answers_still(&self, ttl: u8, size: u16) -> Result<(), Vec<Ask>> {
        let Fate::Lost(_, last) = self.fate(ttl, size) else { return Ok(()) };
        let mut here = self.sent.iter().map(|it| &it.sizer.probe).filter(|it| it.ttl == ttl);
        let later = here.any(|probe| probe.sent > Some(last));
        let known = later || self.limits(ttl) || self.control() >= size;
        if known { Ok(()) } else { Err(vec![self.ask(ttl, self.control())]) }
    }

    /// The shortest that a sizer is: what a hop that answers at all answers.
    fn control(&self) -> u16 {
        self.floor.saturating_add(1)
    }

    /// The longest up to `most` that is known to reach hop `ttl`.
    fn passes(&self, ttl: u8, most: u16) -> u16 {
        let farther = self.sent.iter().map(|it| it.sizer).filter(|it| it.probe.ttl >= ttl);
        let passing = farther.filter(|it| it.len <= most && self.passed(it));
        passing.map(|it| it.len).max().unwrap_or(0).max(self.floor)
    }

    /// Whether hop `ttl` has left unanswered what reaches it: its ICMP is limited, or much is lost.
    fn limits(&self, ttl: u8) -> bool {
        let passes = self.passes(ttl, u16::MAX).max(self.control());
        let here = self.sent.iter().map(|it| it.sizer).filter(|it| it.probe.ttl == ttl);
        here.into_iter().any(|it| it.len <= passes && it.probe.counted().is_none())
    }

    fn ask(&self, ttl: u8, len: u16) -> Ask {
        Ask { ttl, len, rested: self.limits(ttl) }
    }

    fn fate(&self, ttl: u8, len: u16) -> Fate<'a> {
        if self.passes(ttl, u16::MAX) >= len {
            return Fate::Passed;
        }
        let tried = self.tried(ttl, len);
        let answered = tried.clone().find_map(|it| Some((it.sizer, it.sizer.probe.counted()?)));
        if let Some((sizer, reply)) = answered {
            return Fate::Refused(sizer, reply);
        }
        let limits = self.limits(ttl);
        let counts = tried.filter(|it| it.rested || !limits);
        let weights = counts.clone().map(|it| if it.rested && limits { TRIES } else { 1 });
        let last = counts.filter_map(|it| it.sizer.probe.sent).max();
        Fate::Lost(weights.sum(), last.unwrap_or_default())
    }

    /// An answer to a size up to this, to this hop or beyond, that says that it is too big.
    fn refusal(&self, ttl: u8, size: u16) -> Option<(&'a Sizer, &'a Reply)> {
        let tried = self.sent.iter().map(|it| it.sizer);
        let tried = tried.filter(|it| it.probe.ttl >= ttl && it.len <= size);
        let answered = tried.filter_map(|it| Some((it, it.probe.counted()?)));
        answered.into_iter().find(|(_, reply)| reply.kind.too_big().is_some())
    }

    /// Whether it was answered as if it had arrived: as probes to that hop are that are short.
    fn passed(&self, sizer: &Sizer) -> bool {
        let short = self.path.hop(sizer.probe.ttl).map_or(&[][..], |hop| &hop.probes);
        let as_short =
            |reply: &Reply| short.iter().filter_map(Probe::counted).any(|it| it.kind == reply.kind);
        sizer.probe.counted().is_some_and(|reply| {
            let arrived = reply.kind.in_transit() || reply.kind.delivered() || as_short(reply);
            arrived && reply.kind.too_big().is_none()
        })
    }

    fn tried(&self, ttl: u8, len: u16) -> impl Iterator<Item = &Tried<'a>> + Clone {
        self.sent.iter().filter(move |it| it.sizer.len == len && it.sizer.probe.ttl == ttl)
    }
}

#[cfg(test)]
mod tests;
