//! A trace of an endpoint, with the state that the endpoint keeps beside its engine.

use super::departures::{Departures, NeverSent};
use super::source::Held;
use crate::time::Timestamp;

/// News of a trace besides its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct News {
    /// The number of probes that never left, if it has changed.
    pub never_sent: Option<NeverSent>,
    /// Rounds that were not sent: the total, and the number of new ones; `None` if there are no new ones.
    pub missed: Option<(u64, u64)>,
}

/// A trace that is open, or over and kept.
pub(super) struct Open<'e> {
    pub(super) engine: Held<'e>,
    /// The moment that its timer is set to.
    pub(super) armed: Option<Timestamp>,
    /// The moment up to which the trace knows all its frames.
    pub(super) quiet: Timestamp,
    pub(super) is_ready: bool,
    pub(super) is_touched: bool,
    pub(super) is_talking: bool,
    pub(super) phase: Phase,
    pub(super) departures: Departures,
    pub(super) told: NeverSent,
    /// The number of rounds not sent that were reported.
    pub(super) missed: u64,
}

/// How far a trace has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It may have something to send or to wait for.
    Running,
    /// It has nothing left to send or to wait for, but is shown frames until all traces are done.
    Done,
    /// It has ended.
    Over,
}

impl<'e> Open<'e> {
    pub(super) fn new(engine: Held<'e>) -> Self {
        Self {
            engine,
            armed: None,
            quiet: Timestamp::default(),
            is_ready: false,
            is_touched: false,
            is_talking: false,
            phase: Phase::Running,
            departures: Departures::default(),
            told: NeverSent::default(),
            missed: 0,
        }
    }

    /// What has changed since the last call, besides events.
    pub(super) fn take_news(&mut self) -> News {
        let now = self.departures.never_sent();
        let before = std::mem::replace(&mut self.told, now);
        // Once some probes have not left, the total that they are reported with changes with each that leaves.
        let changed = now != before && (now.count() > 0 || before.count() > 0);
        let missed = self.engine.missed();
        let more = missed.saturating_sub(std::mem::replace(&mut self.missed, missed));
        News { never_sent: changed.then_some(now), missed: (more > 0).then_some((missed, more)) }
    }
}
