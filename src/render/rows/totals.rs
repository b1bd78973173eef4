//! What a whole trace came to: its counts, and how it ended.
//!
//! Probes past the end of a path are not lost; every sent probe is answered, lost or past the end.

use serde::Serialize;

use super::is_zero;
use crate::render::View;
use crate::schema::{self, StopReason};
use crate::trace::Stop;
use crate::trace::loops::Loop;

/// Counts over the whole trace.
#[derive(Serialize)]
pub(in super::super) struct TotalsRow {
    sent: u64,
    answered: u64,
    lost: u64,
    /// Unanswered probes that went beyond the end of the path: nobody waited for them.
    #[serde(skip_serializing_if = "is_zero")]
    past_end: u64,
    late: u64,
    duplicate: u64,
    damaged: u64,
    #[serde(skip_serializing_if = "is_zero")]
    contradicted: u64,
    clock_faults: u64,
    #[serde(skip_serializing_if = "is_zero")]
    clock_steps: u64,
    #[serde(skip_serializing_if = "is_zero")]
    orphans: u64,
    /// The orphans that the capture cut too short to identify their probes.
    #[serde(skip_serializing_if = "is_zero")]
    cut_short: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withdrawn: bool,
    /// Probes that never left this host: not among those sent.
    #[serde(skip_serializing_if = "is_zero")]
    never_sent: u64,
}

impl TotalsRow {
    /// The totals of one path: probes beyond its end are not lost.
    pub(in super::super) fn of(view: View<'_>) -> Self {
        let (totals, past_end) = (Self::of_all_paths(view), view.path.unawaited());
        Self { lost: totals.lost.saturating_sub(past_end), past_end, ..totals }
    }

    /// The totals of many paths, which end at different hops.
    pub(in super::super) fn of_all_paths(view: View<'_>) -> Self {
        let totals = view.path.totals;
        Self {
            sent: totals.sent,
            answered: totals.answered,
            lost: totals.sent.saturating_sub(totals.answered),
            past_end: 0,
            late: totals.late,
            duplicate: totals.duplicate,
            damaged: totals.damaged,
            contradicted: totals.contradicted,
            clock_faults: totals.clock_faults,
            clock_steps: totals.clock_steps,
            orphans: totals.orphans,
            cut_short: totals.cut_short,
            withdrawn: totals.withdrawn,
            never_sent: view.never_sent,
        }
    }
}

/// How the trace ended.
pub(in super::super) fn stop(view: View<'_>) -> schema::Stop {
    let View { path, .. } = view;
    schema::Stop {
        reason: match path.stop() {
            Stop::TargetReached => StopReason::TargetReached,
            Stop::Unreachable => StopReason::Unreachable,
            Stop::Loop => StopReason::Loop,
            Stop::MaxHops => StopReason::MaxHops,
            Stop::Incomplete => StopReason::Incomplete,
        },
        ttl: path.end,
        looped: path.looped.map(looped),
        target_reached: path.reached(),
    }
}

/// The hops of the first round of a loop.
pub(in super::super) fn looped(Loop { first, last, .. }: Loop) -> schema::Loop {
    schema::Loop { first, last }
}
