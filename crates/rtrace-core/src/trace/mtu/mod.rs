//! The path MTU: how long a datagram may be to pass whole, and between which hops the path narrows.
//!
//! When the trace is over, *size probes* are sent: probes that must not be fragmented, longer than those of the
//! hops, first one as long as the first link takes, to the farthest hop that answers. What comes next follows
//! from what became of those before, so that a replay finds the same ([`Findings::of`] has no state):
//!
//! - A router says that it is too big, and what it takes (RFC 1191 §4, RFC 8201 §4): that is tried next.
//! - It says so, but with a number that cannot be (0, as routers before RFC 1191; below the least MTU of
//!   its family; not below what was sent): sizes are tried down the plateaus of RFC 1191 §7, then in halves.
//! - Nobody says anything, a black hole (RFC 2923 §2.1): every hop is asked with that size; between the last that
//!   answers it and the next that answers shorter ones it vanishes. There sizes are tried in the same way.
//!
//! A size that is refused, one that vanishes and one that passes are three things: each narrow link is measured by the
//! first size that has another fate there, at the first answering hop beyond it, so that what a farther link does to it
//! is not taken for this one's doing.
//!
//! Invariant: only an answer proves anything. A size that was not answered counts as one that vanishes once it was tried
//! more often than chance explains (`evidence`), at least once after a rest in which a rate limit on
//! ICMP recovers, and a size that is answered was answered after it (in the spirit of RFC 4821 §7 and RFC 8899 §4); an
//! answer that comes late puts it right. Of a hop that has not answered what it answers otherwise, nothing counts but what
//! was sent after a rest. Where loss is too high for a conclusion, the result is unclear.

mod evidence;
mod search;
mod tracer;

use std::net::IpAddr;

pub(super) use super::config::MOST_SIZERS;
use super::config::TraceConfig;
use super::path::Path;
use crate::time::Span;
use search::Search;

pub use tracer::MtuTracer;

/// The pause after which a router that limits its ICMP errors can send another: Linux sends one a second.
const REST: Span = Span::from_millis(1_100);
/// How it became known that a link is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
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
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Narrowing {
    /// The TTL of the last hop before it; 0 is the sender, `None` is not known.
    pub after: Option<u8>,
    /// The TTL of the first hop beyond it; of a silent one the first that answers.
    pub before: u8,
    /// The longest datagram that passes, in bytes.
    pub mtu: u16,
    /// How that is known.
    pub cause: Cause,
}

/// What the size probes have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The longest that was tried.
    pub largest: Option<u16>,
    /// The hop as far as sizes were tried: the farthest that answers.
    pub hop: Option<u8>,
    /// The longest datagram that reaches it, once that is known.
    pub mtu: Option<u16>,
    /// The longest that did reach it, whether or not it is known that nothing longer does.
    pub passes: Option<u16>,
    /// Where the path narrows, each to less than before.
    pub narrowings: Vec<Narrowing>,
    /// What has to be tried to know more, or to check what routers say.
    asks: Vec<Ask>,
}

/// A size probe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ask {
    ttl: u8,
    len: u16,
    /// Not before a rest.
    rested: bool,
}

impl Findings {
    /// What a path shows, as far as size probes were sent.
    #[must_use]
    pub fn of(path: &Path, config: &TraceConfig) -> Self {
        match path.size_probes.iter().map(|size_probe| size_probe.len).max() {
            Some(largest) => Self::from(largest, path, config),
            None => Self { hop: Search::new(path, config).hops.last().copied(), ..Self::default() },
        }
    }

    /// The findings of a search that begins with this length.
    fn from(largest: u16, path: &Path, config: &TraceConfig) -> Self {
        let search = Search::new(path, config);
        let Some(end) = search.hops.last().copied() else { return Self::default() };
        let largest = largest.max(search.floor());
        let passes = Some(search.passes(end, u16::MAX));
        let mut findings =
            Self { largest: Some(largest), hop: Some(end), passes, ..Self::default() };
        let mut size = largest;
        loop {
            match search.step(end, size) {
                Ok(Some(narrowing)) if narrowing.mtu < size => {
                    size = narrowing.mtu;
                    findings.push(narrowing);
                }
                Ok(_) => {
                    findings.mtu = Some(size);
                    findings.asks = search.checks(&findings.narrowings, end);
                    return findings;
                }
                Err(asks) => {
                    findings.asks = asks;
                    return findings;
                }
            }
        }
    }

    /// One more narrowing. A router that refuses what it said it takes has one, and what it said last counts.
    fn push(&mut self, narrowing: Narrowing) {
        let by = |cause| match cause {
            Cause::Told(by) | Cause::Refused(by, _) => Some(by),
            Cause::Silent => None,
        };
        let again = |last: &mut Narrowing| {
            let told = matches!(last.cause, Cause::Told(_));
            told && by(last.cause) == by(narrowing.cause) && last.after == narrowing.after
        };
        self.narrowings.pop_if(again);
        self.narrowings.push(narrowing);
    }

    /// Whether the path MTU may be larger: the longest that was to be tried passes.
    #[must_use]
    pub fn is_limited(&self, config: &TraceConfig) -> bool {
        self.mtu.is_some() && self.mtu == config.mtu_limit
    }

    /// Whether everything was tried and loss is too high for a conclusion.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        self.hop.is_some() && self.largest.is_some() && self.mtu.is_none() && self.asks.is_empty()
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

#[cfg(test)]
mod tests;
