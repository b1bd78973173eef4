//! A watch as a stream: one JSON object a line, each written when it happens and flushed at once.
//!
//! `begin` has the configuration, `round` a round that is over, `missed` rounds of which nothing left, `changed` another router in the place of one,
//! `balanced` several routers of one hop in turn, `clock-step` that the clock was set, `contradicted` answers of a round that are not believed,
//! `loss-begins`, `loss-judged` and `loss-ends` what [`LossWatch`] finds, `late` a reply to a probe that had timed out, `named` the
//! name of a responder, `end` the totals. `docs/watch.md` has every field. Names may be learned at any time, so they stand before
//! `end`: the lines are a function of configuration, frames and names. Frame numbers are left out, for
//! a recording that rotates begins again with every file.

mod line;

use std::io::{self, Write};
use std::net::IpAddr;

use self::line::{Line, LossRow, Of, RoundRow, TotalRow, number};
use super::lines::Lines;
use super::ndjson::place;
use super::outage::{self, RejectionRow};
use super::rows::{self, AskedRow, ClockStepRow, HeadRow};
use super::{Renderer, View};
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::changes::{Balanced, Change};
use crate::trace::loss::{LossTransitionKind, LossWatch};
use crate::trace::path::Contradiction;
use crate::trace::reach;
use crate::trace::rounds::Plan;
use crate::trace::table::Table;
use crate::trace::{Event, ProbeRef, TraceConfig};

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
    /// The target that each line names, if there are several in the stream.
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
