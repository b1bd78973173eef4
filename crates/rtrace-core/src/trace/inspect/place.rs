//! Between which hops something came about.
//!
//! One path: from the last hop whose quotes do not show it to the first whose quotes do. Where paths diverge a quote tells
//! of the way of its own probe only. What all quotes show from a hop on came about on all paths, so the same is true of
//! it. What only some show came about on some paths, and a hop before may have been asked on the others alone: then only hops
//! count that lie before the first at which probes came to several routers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Comparison;
use crate::probe::{FlowMode, ProbeType};
use crate::trace::config::TraceConfig;

/// A hop, and all quotes of it: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stage<'a> {
    /// Its TTL.
    pub ttl: u8,
    /// What was quoted, in order of time.
    pub quotes: Vec<&'a Comparison>,
}

impl Stage<'_> {
    /// The router at which all its probes came to their end, if it was one.
    pub(super) fn sole_responder(&self) -> Option<IpAddr> {
        let responders: BTreeSet<_> = self.quotes.iter().map(|it| it.responder).collect();
        responders.first().copied().filter(|_| responders.len() == 1)
    }
}

/// Whether paths are seen to diverge.
pub(super) fn ways_part(stages: &[Stage<'_>]) -> bool {
    stages.iter().any(|stage| stage.sole_responder().is_none())
}

/// Whether paths may diverge: they do, or each probe has a path of its own and some hop was asked too seldom to show it.
pub(super) fn ways_may_part(stages: &[Stage<'_>], config: &TraceConfig) -> bool {
    let own_ways = config.probe == ProbeType::Udp && config.flow_mode == FlowMode::Classic;
    ways_part(stages) || own_ways && stages.iter().any(|stage| stage.quotes.len() == 1)
}

/// Between which hops something came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Place {
    /// The last hop before; `None` is the sender.
    pub after: Option<u8>,
    /// The first hop whose quotes show it.
    pub at: u8,
    /// Some quotes of that hop, or of hops beyond it, do not show it: it came about on some paths only.
    pub some_paths: bool,
}

/// What the quotes of a hop say of something, in the terms of [`first`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// None shows it.
    None,
    /// Some do.
    Some,
    /// All do.
    All,
}

impl Seen {
    pub(super) fn of(shows: impl Iterator<Item = bool>) -> Self {
        let (mut any, mut all) = (false, true);
        for shows in shows {
            any |= shows;
            all &= shows;
        }
        match (any, all) {
            (true, true) => Self::All,
            (true, false) => Self::Some,
            _ => Self::None,
        }
    }
}

/// Where something came about that is first seen at the hop with this index; what each hop shows of it is in `seen`.
pub(super) fn first(stages: &[Stage<'_>], seen: &[Seen], index: usize) -> Option<Place> {
    let at = stages.get(index)?.ttl;
    let some_paths = seen.iter().skip(index).any(|it| *it != Seen::All);
    // Up to the first hop with several routers all ways are one.
    let common = stages.iter().take_while(|stage| stage.sole_responder().is_some()).count();
    let reach = if some_paths { index.min(common) } else { index };
    let mut before = stages.iter().zip(seen).take(reach).rev();
    let after = before.find(|(_, seen)| **seen == Seen::None).map(|(stage, _)| stage.ttl);
    Some(Place { after, at, some_paths })
}
