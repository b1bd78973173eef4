//! The lines of a stream as they are serialised.

use std::net::IpAddr;

use serde::Serialize;

use super::super::View;
use super::super::outage::RejectionRow;
use super::super::rows::{self, AskedRow, ClockStepRow, HeadRow};
use crate::schema::Loop;
use crate::time::{Span, Timestamp};
use crate::trace::loss::{LossTransition, LossTransitionKind};
use crate::trace::summary::Summary;
use crate::trace::table::Row;
use crate::trace::verdict::{Loss, Reason};
use crate::trace::{Hop, Path, Probe, Reply};
use crate::untrusted::Untrusted;

/// The number of a round, from 1.
pub(super) fn number(path: &Path) -> u64 {
    path.round_number().saturating_add(1)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Line<'a> {
    Begin {
        #[serde(flatten)]
        head: HeadRow<'a>,
        asked: AskedRow,
        interval: f64,
        rounds: Option<u64>,
    },
    Round(RoundRow),
    Missed {
        from: u64,
        to: u64,
    },
    Changed {
        round: u64,
        ttl: u8,
        at_ns: i64,
        from: IpAddr,
        to: IpAddr,
        /// The round with which that was certain.
        judged_round: u64,
    },
    Balanced {
        round: u64,
        ttl: u8,
        at_ns: i64,
        responders: Vec<IpAddr>,
    },
    Contradicted {
        round: u64,
        ttl: u8,
        responder: IpAddr,
        answers: u64,
    },
    Unreached {
        round: u64,
        target: IpAddr,
        since_ns: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        rejected: Option<RejectionRow>,
        #[serde(skip_serializing_if = "Option::is_none")]
        not_believed: Option<&'static str>,
        #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
        looped: Option<Loop>,
    },
    Rejected {
        round: u64,
        target: IpAddr,
        since_ns: i64,
        rejected: Option<RejectionRow>,
    },
    Reached {
        round: u64,
        target: IpAddr,
        at_ns: i64,
    },
    LossBegins(LossRow),
    LossJudged(LossRow),
    LossEnds(LossRow),
    Late {
        round: u64,
        ttl: u8,
        query: u32,
        responder: IpAddr,
        rtt_ns: Option<i64>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        clock_fault: bool,
        received_ns: Option<i64>,
    },
    ClockStep(ClockStepRow),
    Named {
        responder: IpAddr,
        name: &'a Untrusted,
    },
    End {
        rounds: u64,
        missed: u64,
        target_reached: bool,
        changes: u64,
        #[serde(skip_serializing_if = "rows::is_zero")]
        never_sent: u64,
        hops: Vec<TotalRow>,
    },
}

/// A line of one of several targets.
#[derive(Serialize)]
pub(super) struct Of<'a> {
    #[serde(flatten)]
    pub(super) line: &'a Line<'a>,
    pub(super) target: IpAddr,
}

impl Line<'_> {
    /// Whether it has a `target` of its own.
    pub(super) fn says_its_target(&self) -> bool {
        match self {
            Self::Begin { .. }
            | Self::Unreached { .. }
            | Self::Rejected { .. }
            | Self::Reached { .. } => true,
            Self::Round(_)
            | Self::Missed { .. }
            | Self::Changed { .. }
            | Self::Balanced { .. }
            | Self::Contradicted { .. }
            | Self::LossBegins(_)
            | Self::LossJudged(_)
            | Self::LossEnds(_)
            | Self::Late { .. }
            | Self::ClockStep(_)
            | Self::Named { .. }
            | Self::End { .. } => false,
        }
    }
}

#[derive(Serialize)]
pub(super) struct RoundRow {
    round: u64,
    start_ns: Option<i64>,
    duration_ns: Option<i64>,
    target_reached: bool,
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    looped: Option<Loop>,
    hops: Vec<HopRow>,
}

impl RoundRow {
    pub(super) fn of(view: View<'_>) -> Self {
        let probes = || view.path.probes().map(|(_, probe)| probe);
        let start = probes().filter_map(|probe| probe.sent).min();
        let stamps = |probe: &Probe| {
            let replies: Vec<Timestamp> = probe.replies.iter().map(|reply| reply.at).collect();
            probe.sent.into_iter().chain(replies)
        };
        let end = probes().flat_map(stamps).max();
        Self {
            round: number(view.path),
            start_ns: start.map(Timestamp::nanos),
            duration_ns: start.zip(end).map(|(start, end)| end.since(start).nanos()),
            target_reached: view.path.target_ttl().is_some(),
            looped: view.path.looped.map(rows::looped),
            hops: view.path.reported().iter().map(|hop| HopRow::of(hop, view.path)).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct HopRow {
    ttl: u8,
    sent: u64,
    received: u64,
    #[serde(skip_serializing_if = "rows::is_zero")]
    late: u64,
    /// Answered by damaged replies alone.
    #[serde(skip_serializing_if = "rows::is_zero")]
    damaged: u64,
    /// The smallest, and whose it is.
    rtt_ns: Option<i64>,
    responder: Option<IpAddr>,
    /// All of them, where they are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    responders: Vec<IpAddr>,
}

impl HopRow {
    pub(super) fn of(hop: &Hop, path: &Path) -> Self {
        let mine = |reply: &&Reply| path.is_of_hop(hop.ttl, reply);
        let answers = || hop.probes.iter().filter_map(Probe::answer).filter(mine);
        let counted = hop.probes.iter().filter_map(Probe::counted).filter(mine);
        let fastest =
            answers().min_by_key(|reply| (reply.clock_fault, reply.rtt.is_none(), reply.rtt));
        let mut responders: Vec<IpAddr> = Vec::new();
        for reply in answers() {
            if !responders.contains(&reply.responder) {
                responders.push(reply.responder);
            }
        }
        Self {
            ttl: hop.ttl,
            sent: hop.settled() as u64,
            received: answers().count() as u64,
            late: counted.filter(|reply| reply.late).count() as u64,
            damaged: hop.damaged() as u64,
            rtt_ns: fastest.and_then(Reply::measured).map(Span::nanos),
            responder: fastest.map(|reply| reply.responder),
            responders: if responders.len() > 1 { responders } else { Vec::new() },
        }
    }
}

#[derive(Serialize)]
pub(super) struct LossRow {
    round: u64,
    ttl: u8,
    responder: IpAddr,
    target: bool,
    sent: u64,
    lost: u64,
    /// What it means, while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<&'static str>,
    /// Why that is unclear, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl LossRow {
    pub(super) fn of(turn: LossTransition, view: View<'_>) -> Self {
        let LossTransition { ttl, responder, sent, lost, kind, loss } = turn;
        Self {
            round: number(view.path),
            ttl,
            responder,
            target: responder == view.config.target,
            sent,
            lost,
            loss: (kind != LossTransitionKind::Ends).then_some(loss.word()),
            reason: loss.reason().filter(|_| kind != LossTransitionKind::Ends).map(Reason::word),
        }
    }
}

#[derive(Serialize)]
pub(super) struct TotalRow {
    ttl: u8,
    sent: u64,
    received: u64,
    late: u64,
    #[serde(skip_serializing_if = "rows::is_zero")]
    damaged: u64,
    lost: u64,
    loss: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(flatten)]
    rtts: RttRow,
    responders: Vec<IpAddr>,
}

impl TotalRow {
    pub(super) fn of(row: &Row, loss: Loss) -> Self {
        Self {
            ttl: row.ttl,
            sent: row.sent,
            received: row.received,
            late: row.late,
            damaged: row.damaged,
            lost: row.lost(),
            loss: loss.word(),
            reason: loss.reason().map(Reason::word),
            rtts: RttRow::of(&row.rtts),
            responders: row.responders.iter().map(|it| it.address).collect(),
        }
    }
}

/// Round-trip times in nanoseconds; null where there was none.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are part of the form")]
pub(super) struct RttRow {
    best_ns: Option<i64>,
    mean_ns: Option<i64>,
    median_ns: Option<i64>,
    p95_ns: Option<i64>,
    worst_ns: Option<i64>,
    deviation_ns: Option<i64>,
}

impl RttRow {
    pub(super) fn of(rtts: &Summary) -> Self {
        let nanos = |span: Option<Span>| span.map(Span::nanos);
        Self {
            best_ns: nanos(rtts.best()),
            mean_ns: nanos(rtts.mean()),
            median_ns: nanos(rtts.quantile(0.5)),
            p95_ns: nanos(rtts.quantile(0.95)),
            worst_ns: nanos(rtts.worst()),
            deviation_ns: nanos(rtts.deviation()),
        }
    }
}
