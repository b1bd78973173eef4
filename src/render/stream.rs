//! A watch as a stream: one JSON object a line, each written when it happens and flushed at once.
//!
//! `begin` has the configuration, `round` a round that is over, `missed` rounds of which nothing left, `changed` another router in the place of one,
//! `balanced` several routers of one hop in turn, `clock-step` that the clock was set, `contradicted` answers of a round that are not believed,
//! `loss-begins`, `loss-judged` and `loss-ends` what [`LossWatch`] finds, `late` a reply to a probe that had timed out, `named` the
//! name of a responder, `end` the totals. `docs/watch.md` has every field. Names may be learned at any time, so they stand before
//! `end`: the lines are a function of configuration, frames and names. Frame numbers are left out, for
//! a recording that rotates begins again with every file.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::lines::Lines;
use super::ndjson::place;
use super::outage::{self, RejectionRow};
use super::rows::{self, AskedRow, ClockStepRow, HeadRow};
use super::{Renderer, View};
use crate::schema::Loop;
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::changes::{Balanced, Change};
use crate::trace::loss::{LossTransition, LossTransitionKind, LossWatch};
use crate::trace::path::Contradiction;
use crate::trace::reach;
use crate::trace::rounds::Plan;
use crate::trace::summary::Summary;
use crate::trace::table::{Row, Table};
use crate::trace::verdict::{Loss, Reason};
use crate::trace::{Event, Hop, Path, Probe, ProbeRef, Reply, TraceConfig};
use crate::untrusted::Untrusted;

/// The version of the lines' form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The stream of a watch.
pub struct Stream<W> {
    lines: Lines<W>,
    numeric: bool,
    plan: Plan,
    table: Table,
    losses: LossWatch,
    of_several: bool,
    /// What each line is to say that it is about, if several targets are in the stream.
    target: Option<IpAddr>,
}

impl<W: Write> Stream<W> {
    /// Lines to `out` of a watch that is to go by `plan`; with `numeric`, without names.
    pub fn new(out: W, numeric: bool, plan: Plan) -> Self {
        Self {
            lines: Lines::new(out),
            numeric,
            plan,
            table: Table::new(),
            losses: LossWatch::default(),
            of_several: false,
            target: None,
        }
    }

    /// With lines that say which target they are about.
    #[must_use]
    pub fn of_several(mut self, of_several: bool) -> Self {
        self.of_several = of_several;
        self
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        match self.target.filter(|_| !line.says_its_target()) {
            Some(target) => self.lines.line(&Of { line, target }),
            None => self.lines.line(line),
        }
    }

    fn replied(&mut self, at: ProbeRef, index: usize, view: View<'_>) -> io::Result<()> {
        let probe = view.path.probe(at);
        let Some(reply) = probe.and_then(|probe| probe.replies.get(index)) else { return Ok(()) };
        let responder = reply.responder;
        self.lines.note(responder);
        if !reply.late || reply.duplicate {
            return Ok(());
        }
        let (ttl, query) = place(at, view);
        self.line(&Line::Late {
            round: number(view.path),
            ttl,
            query,
            responder,
            rtt_ns: reply.rtt.map(Span::nanos),
            clock_fault: reply.clock_fault,
            received_ns: reply.at.known().map(Timestamp::nanos),
        })
    }

    fn round(&mut self, view: View<'_>) -> io::Result<()> {
        if view.path.is_empty() {
            // Nothing was ever captured: no round was sent.
            drop(self.table.add(view.path));
            return self.missing(number(view.path), view.path.missed_after());
        }
        let before = (self.table.changed(), self.table.balances());
        let missed = self.table.missed();
        let reached = self.table.add(view.path);
        let (this, after) = (number(view.path), view.path.missed_after());
        let missed = self.table.missed().saturating_sub(missed).saturating_sub(after);
        self.missing(this.saturating_sub(missed), missed)?;
        self.line(&Line::Round(RoundRow::of(view)))?;
        // Their rounds are counted from the first that was seen.
        let number_of = |round: u64| {
            this.saturating_sub(self.table.rounds().saturating_sub(after).saturating_sub(round))
        };
        let changes =
            self.table.changes_since(before.0).map(|change| change_line(change, number_of));
        let balanced = self.table.balanced_since(before.1).map(|it| balanced_line(it, number_of));
        let lines: Vec<Line<'_>> = changes.chain(balanced).collect();
        for line in lines {
            self.line(&line)?;
        }
        for turn in reached {
            self.line(&reach_line(turn, view))?;
        }
        for Contradiction { ttl, responder, answers } in view.path.contradictions() {
            let round = number(view.path);
            self.line(&Line::Contradicted { round, ttl, responder, answers })?;
        }
        self.missing(this.saturating_add(1), after)?;
        for turn in self.losses.add(view.path, self.table.end()) {
            let row = LossRow::of(turn, view);
            self.line(&match turn.kind {
                LossTransitionKind::Begins => Line::LossBegins(row),
                LossTransitionKind::Judged => Line::LossJudged(row),
                LossTransitionKind::Ends => Line::LossEnds(row),
            })?;
        }
        Ok(())
    }

    /// How many rounds from this one on are missing.
    fn missing(&mut self, from: u64, rounds: u64) -> io::Result<()> {
        match rounds.checked_sub(1) {
            Some(more) => self.line(&Line::Missed { from, to: from.saturating_add(more) }),
            None => Ok(()),
        }
    }
}

impl<W: Write> Renderer for Stream<W> {
    fn begin(&mut self, config: &TraceConfig) -> io::Result<()> {
        self.target = self.of_several.then_some(config.target);
        self.line(&Line::Begin {
            head: HeadRow::of("rtrace-watch", VERSION, config),
            asked: AskedRow::of(config),
            interval: self.plan.interval,
            rounds: self.plan.rounds,
        })
    }

    fn clock_step(&mut self, step: &ClockStep) -> io::Result<()> {
        ClockStepRow::of(step).map_or(Ok(()), |row| self.line(&Line::ClockStep(row)))
    }

    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()> {
        match event {
            Some(Event::Replied(at, index)) => self.replied(at, index, view),
            Some(Event::LateReply(at, index)) => {
                let (counts, turns) = self.table.add_late(view.path, at, index);
                if counts {
                    self.losses.add_late(view.path, at);
                }
                self.replied(at, index, view)?;
                for turn in turns {
                    self.line(&reach_line(turn, view))?;
                }
                Ok(())
            }
            Some(Event::Ended) => self.round(view),
            Some(
                Event::Sent(_)
                | Event::Settled(_)
                | Event::Assigned { .. }
                | Event::Contradicted(..),
            )
            | None => Ok(()),
        }
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        for responder in self.lines.take_responders() {
            if let Some(name) = rows::name(view, responder, self.numeric) {
                self.line(&Line::Named { responder, name })?;
            }
        }
        let table = &self.table;
        let judged = table.rows().iter().zip(table.verdicts());
        self.line(&Line::End {
            rounds: table.rounds(),
            missed: table.missed(),
            target_reached: table.reached(),
            changes: table.changed(),
            never_sent: view.never_sent,
            hops: judged.map(|(row, verdict)| TotalRow::of(row, verdict.loss)).collect(),
        })
    }
}

/// The line for a change in whether the target is reached.
fn reach_line(turn: reach::Transition, view: View<'_>) -> Line<'static> {
    match turn {
        reach::Transition::Unreached(outage) => Line::Unreached {
            round: outage.round.saturating_add(1),
            target: view.config.target,
            since_ns: outage.since.nanos(),
            rejected: RejectionRow::of(&outage),
            not_believed: outage::not_believed(&outage),
            looped: outage::looped(&outage),
        },
        reach::Transition::Rejected { round, outage } => Line::Rejected {
            round: round.saturating_add(1),
            target: view.config.target,
            since_ns: outage.since.nanos(),
            rejected: RejectionRow::of(&outage),
        },
        reach::Transition::Reached { round, at } => Line::Reached {
            round: round.saturating_add(1),
            target: view.config.target,
            at_ns: at.nanos(),
        },
    }
}

fn change_line(change: &Change, number_of: impl Fn(u64) -> u64) -> Line<'static> {
    let Change { round, at, ttl, from, to, judged } = *change;
    let (round, judged_round) = (number_of(round), number_of(judged));
    Line::Changed { round, ttl, at_ns: at.nanos(), from, to, judged_round }
}

fn balanced_line(balanced: &Balanced, number_of: impl Fn(u64) -> u64) -> Line<'static> {
    let Balanced { round, at, ttl, responders } = balanced;
    let (round, responders) = (number_of(*round), responders.clone());
    Line::Balanced { round, ttl: *ttl, at_ns: at.nanos(), responders }
}

/// The number of a round, from 1.
fn number(path: &Path) -> u64 {
    path.round_number().saturating_add(1)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
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
struct Of<'a> {
    #[serde(flatten)]
    line: &'a Line<'a>,
    target: IpAddr,
}

impl Line<'_> {
    /// Whether it has a `target` of its own.
    fn says_its_target(&self) -> bool {
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
struct RoundRow {
    round: u64,
    start_ns: Option<i64>,
    duration_ns: Option<i64>,
    target_reached: bool,
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    looped: Option<Loop>,
    hops: Vec<HopRow>,
}

impl RoundRow {
    fn of(view: View<'_>) -> Self {
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
struct HopRow {
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
    fn of(hop: &Hop, path: &Path) -> Self {
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
struct LossRow {
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
    fn of(turn: LossTransition, view: View<'_>) -> Self {
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
struct TotalRow {
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
    fn of(row: &Row, loss: Loss) -> Self {
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
struct RttRow {
    best_ns: Option<i64>,
    mean_ns: Option<i64>,
    median_ns: Option<i64>,
    p95_ns: Option<i64>,
    worst_ns: Option<i64>,
    deviation_ns: Option<i64>,
}

impl RttRow {
    fn of(rtts: &Summary) -> Self {
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
