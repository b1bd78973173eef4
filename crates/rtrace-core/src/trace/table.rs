//! A table of what many rounds showed, hop by hop: the numbers behind a watch and its report.
//!
//! A table is a function of the paths of the rounds ([`add`](Table::add)) and of the late replies that came after
//! their round ([`add_late`](Table::add_late)). Its memory is bounded by the number of hops, however long the watch
//! runs.

mod history;
mod row;

use std::collections::VecDeque;

pub use history::{Cell, Cells, History};
pub use row::{Responder, Row};

use super::changes::{Balanced, Change, Finding};
use super::event::Event;
use super::limit::Asked;
use super::loops::Loop;
use super::path::{Hop, Path, Probe, ProbeRef};
use super::reach::{Reach, Transition};
use super::rounds::MOST_KEPT;
use super::verdict::{self, Evidence, Loss, Verdict};

/// The number of rounds that a hop's history holds.
pub const HISTORY: usize = 512;
/// The number of changes of the path that are kept.
const CHANGES: usize = 256;

/// All hops over all rounds.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    rounds: u64,
    /// The number of the last round, and how many rounds up to it were not sent.
    last: Option<u64>,
    missed: u64,
    /// Whether the last round was cut off.
    cut_off: bool,
    /// The number of hops of the path, and so of rows to show.
    length: usize,
    reach: Reach,
    /// The number of answers that were not believed.
    contradicted: u64,
    /// Whether the last row answers as the target.
    ends: bool,
    looped: Option<Looped>,
    /// The number of the last round that showed where the path ends.
    ended_by: Option<u64>,
    changes: VecDeque<Change>,
    changed: u64,
    /// Where balancing was found, the latest last, and how often.
    balanced: VecDeque<Balanced>,
    balances: u64,
}

/// Forwarding loops over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Looped {
    /// The last loop.
    pub last: Loop,
    /// The number of rounds that ended in a loop.
    pub rounds: u64,
    /// Whether the last round ended in that loop.
    pub lasts: bool,
}

impl Table {
    /// A table without rounds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in an event of [`Rounds`](super::rounds::Rounds), with the path of its round.
    pub fn handle(&mut self, event: Option<Event>, path: &Path) {
        match event {
            Some(Event::Ended) => drop(self.add(path)),
            Some(Event::LateReply(at, index)) => drop(self.add_late(path, at, index)),
            _ => {}
        }
    }

    /// Takes in a finished round, or what is known of a running one. Rounds between it and the one before, without a
    /// captured probe, count as not sent. Returns the transitions: that the target is now reached and was not before,
    /// or the other way round.
    pub fn add(&mut self, path: &Path) -> Vec<Transition> {
        let missed =
            self.last.map_or(0, |last| path.round_number().saturating_sub(last.saturating_add(1)));
        self.last = Some(path.round_number());
        self.missed = self.missed.saturating_add(missed);
        // If no frame was ever captured, this round is one of those that were not sent.
        let was_sent = u64::from(!path.is_empty() || path.missed_after() == 0);
        self.rounds = self.rounds.saturating_add(missed).saturating_add(was_sent);
        for row in &mut self.rows {
            (0..missed.min(HISTORY as u64)).for_each(|_| row.remember(Cell::default()));
        }
        let reported = path.reported();
        for hop in reported {
            let index = self.rows.iter().position(|row| row.ttl == hop.ttl);
            let index = index.unwrap_or_else(|| {
                self.rows.reserve_exact(1);
                self.rows.push(Row::new(hop.ttl));
                self.rows.len() - 1
            });
            let Some(row) = self.rows.get_mut(index) else { continue };
            for finding in row.add(hop, path, self.rounds) {
                match finding {
                    Finding::Changed(change) => {
                        self.changed += 1;
                        self.changes.push_back(change);
                    }
                    Finding::Balanced(balanced) => {
                        self.balances += 1;
                        self.balanced.push_back(balanced);
                    }
                }
            }
        }
        // There is a cell for each round and row, so that the last cells of all rows belong to the same rounds.
        let absent = |row: &&mut Row| !reported.iter().any(|hop| hop.ttl == row.ttl);
        self.rows.iter_mut().filter(absent).for_each(|row| row.remember(Cell::default()));
        let excess = self.changes.len().saturating_sub(CHANGES);
        self.changes.drain(..excess);
        let excess = self.balanced.len().saturating_sub(CHANGES);
        self.balanced.drain(..excess);
        let answered = |hop: &Hop| hop.probes.iter().any(|probe| !probe.replies.is_empty());
        let known = reported.iter().rposition(answered).map_or(0, |last| last + 1);
        let length = self.length;
        self.length = match path.end {
            Some(_) => reported.len(),
            // As in mtr, one more row shows that the path goes on there, and nobody answers.
            None => self.length.max(known + 1),
        };
        self.ends = path.target_ttl().is_some() || (self.ends && self.length == length);
        let target = self.rows().last().map_or(0, |row| row.young);
        let turns = self.reach.add(path, target);
        self.contradicted += path.totals.contradicted;
        self.note_loop(path.looped);
        self.cut_off = path.cut_off;
        self.ended_by = path.end.map(|_| path.round_number()).or(self.ended_by);
        self.end_watch(path);
        turns
    }

    fn note_loop(&mut self, found: Option<Loop>) {
        let rounds = self.looped.map_or(0, |looped| looped.rounds);
        match (found, &mut self.looped) {
            (Some(last), looped) => {
                *looped = Some(Looped { last, rounds: rounds + 1, lasts: true });
            }
            (None, Some(looped)) => looped.lasts = false,
            (None, None) => {}
        }
    }

    /// Takes in what the last round says of the rounds after it, and of answers that could still have come.
    fn end_watch(&mut self, path: &Path) {
        let missed = path.missed_after();
        self.last = self.last.map(|last| last.saturating_add(missed));
        self.missed = self.missed.saturating_add(missed);
        self.rounds = self.rounds.saturating_add(missed);
        for row in &mut self.rows {
            (0..missed.min(HISTORY as u64)).for_each(|_| row.remember(Cell::default()));
            if path.round.is_some_and(|round| round.waited_out) {
                row.young = 0;
            }
        }
    }

    /// Updates the length of the path by a late reply of the row at `place`, unless a later round has shown where the
    /// path ends.
    fn end_late(&mut self, path: &Path, place: usize) {
        if self.ended_by.is_some_and(|round| round > path.round_number()) {
            return;
        }
        let end = path.last_ttl().and_then(|end| self.rows.iter().position(|row| row.ttl == end));
        match end {
            Some(end) => {
                self.ends = path.target_ttl().is_some() || (self.ends && self.length == end + 1);
                (self.length, self.ended_by) = (end + 1, Some(path.round_number()));
            }
            None => self.length = self.length.max(place + 1),
        }
    }

    /// A copy of the table that includes a running round. Its probes that wait for an answer, and those after them,
    /// are left out.
    #[must_use]
    pub fn with_running(&self, path: &Path) -> Self {
        // What is known of the rate limits of rows is kept in the copy.
        for row in &self.rows {
            let _ = row.explained();
        }
        let mut table = self.clone();
        drop(table.add(&path.settled()));
        table.length = table.length.max(self.length);
        table
    }

    /// Takes in a reply that came after its round had been taken in. Returns whether it counts, as the first reply to
    /// its probe, and the transitions that it causes.
    pub fn add_late(&mut self, path: &Path, at: ProbeRef, index: usize) -> (bool, Vec<Transition>) {
        let late = path.probe(at).and_then(|probe| probe.replies.iter().position(|it| it.late));
        if late != Some(index) {
            return (false, Vec::new());
        }
        let young = self.rows().last().map_or(0, |row| row.young);
        let turns = self.reach.add_late(path, young);
        (self.count_late(path, at, index).is_some(), turns)
    }

    /// Counts a late reply in its row; `None` if it belongs to no such hop.
    fn count_late(&mut self, path: &Path, at: ProbeRef, index: usize) -> Option<()> {
        let reply = path.probe(at)?.replies.get(index)?;
        let ttl = at.hop_ttl().filter(|ttl| path.is_of_hop(*ttl, reply))?;
        let place = self.rows.iter().position(|row| row.ttl == ttl)?;
        let row = self.rows.get_mut(place)?;
        row.late += 1;
        let probe = path.probe(at);
        // A doubted probe did not count as sent.
        let was_in_doubt = probe.is_some_and(Probe::is_doubted);
        let was_damaged = !was_in_doubt && probe.is_some_and(|probe| probe.damaged > 0);
        row.sent += u64::from(was_in_doubt);
        row.damaged = row.damaged.saturating_sub(was_damaged.into());
        row.record.add_late(probe.and_then(|probe| probe.sent));
        row.note(reply, self.rounds);
        let late_by = self.last.unwrap_or(0).saturating_sub(path.round_number());
        let late_by = usize::try_from(late_by).unwrap_or(usize::MAX);
        // This is one more, because the running round is taken in as well.
        row.young = row.young.max(late_by.saturating_add(2)).min(MOST_KEPT);
        row.history.change(late_by, |cell| {
            cell.sent = cell.sent.saturating_add(was_in_doubt.into());
            cell.late = cell.late.saturating_add(1);
            cell.damaged = cell.damaged.saturating_sub(was_damaged.into());
        });
        self.end_late(path, place);
        Some(())
    }

    /// The number of rounds not sent: none of their probes was seen leaving.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The number of answers that were not believed, because other replies contradict them.
    #[must_use]
    pub fn contradicted(&self) -> u64 {
        self.contradicted
    }

    /// The hops of the path, in order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows[..self.length.min(self.rows.len())]
    }

    /// The number of rounds that were taken in.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The number of rounds in which this row was probed; `None` if it is all that have a captured probe. Probes of a
    /// round that was cut off do not count.
    #[must_use]
    pub fn asked(&self, row: &Row) -> Option<u64> {
        let sent = self.rounds.saturating_sub(self.missed).saturating_sub(self.cut_off.into());
        Some(row.asked).filter(|asked| *asked < sent)
    }

    /// Whether the last round reached the target.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.reach.is_reached()
    }

    /// Whether the target is reached, over all rounds.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The forwarding loops that rounds ended in.
    #[must_use]
    pub fn looped(&self) -> Option<Looped> {
        self.looped
    }

    /// The last changes of the path, the oldest first.
    #[must_use]
    pub fn changes(&self) -> &VecDeque<Change> {
        &self.changes
    }

    /// The total number of changes of the path.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// The changes after the first `before`, the oldest first, as far as they are kept.
    pub fn changes_since(&self, before: u64) -> impl Iterator<Item = &Change> {
        let new = usize::try_from(self.changed.saturating_sub(before)).unwrap_or(usize::MAX);
        self.changes.iter().skip(self.changes.len().saturating_sub(new))
    }

    /// Where several routers were found to answer in turn, the oldest first.
    #[must_use]
    pub fn balanced(&self) -> &VecDeque<Balanced> {
        &self.balanced
    }

    /// The total number of such findings.
    #[must_use]
    pub fn balances(&self) -> u64 {
        self.balances
    }

    /// The findings of balancing after the first `before`, the oldest first, as far as they are kept.
    pub fn balanced_since(&self, before: u64) -> impl Iterator<Item = &Balanced> {
        let new = usize::try_from(self.balances.saturating_sub(before)).unwrap_or(usize::MAX);
        self.balanced.iter().skip(self.balanced.len().saturating_sub(new))
    }

    /// What the lost probes of the row with this index mean.
    #[must_use]
    pub fn loss(&self, index: usize) -> Loss {
        self.verdicts().get(index).map_or(Loss::None, |verdict| verdict.loss)
    }

    /// What the lost probes of each row mean.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        // If no probe was lost, single probes are not examined.
        let is_lossy = self.rows().iter().any(|row| row.lost() > 0);
        let probes = |row: &Row| if is_lossy { row.record.probes() } else { Vec::new() };
        let probes: Vec<Vec<Asked>> = self.rows().iter().map(probes).collect();
        let hops = self.rows().iter().zip(&probes).map(|(row, probes)| row.evidence(probes));
        let hops: Vec<Evidence<'_>> = hops.collect();
        verdict::of(&hops, self.ends.then(|| hops.len().saturating_sub(1)))
    }

    /// The TTL of the hop that answers as the target, if there is one.
    #[must_use]
    pub fn end(&self) -> Option<u8> {
        self.rows().last().filter(|_| self.ends).map(|row| row.ttl)
    }
}
