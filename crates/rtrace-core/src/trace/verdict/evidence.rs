//! What is known of a hop's lost probes, and what that shows: by itself, and beside other hops.

use std::collections::BTreeMap;

use super::super::limit::{Asked, Explained, is_of_a_second};
use super::super::shares::Share;

/// The number of losses without a limit as their cause that proves loss on the path.
const PROOF: u64 = 2;
/// Fewer losses than this are few.
const FEW: u64 = 3 * PROOF;
/// A hop that loses this share hardly ever answers.
const HARDLY: f64 = 0.8;
/// The answers in a row that an outage leaves before it.
const IN_A_ROW: usize = 4;
/// Hops share a limit if the number of their answers varies by less than this part of what chance makes of it.
const STEADIER: f64 = 0.3;
/// The number of rounds over which it is compared.
const STEADY: usize = 8;
/// How many times likelier losses of one cause are than losses that each hop has for itself.
const ONE_CAUSE: f64 = 1.0;
/// Fewer probes than this prove nothing.
const ENOUGH: u64 = 30;
/// How many times less likely one cause is for each hop that loses more than those around it.
const ODD: f64 = 4.0;
/// In rounds of a limit, lost probes are later than by chance by this number of standard deviations.
const FAVOUR: f64 = 3.0;
/// The share of the losses that a limit explains: those that come together in a round more often than by chance.
const TOGETHER: f64 = 0.2;
/// A router that rejects probes in one round does so this number of rounds before and after.
const BESIDE: u32 = 3;
/// An outage is at least this number of rounds in a row without an answer.
const OUTAGE: usize = 5;
/// Outside of an outage, at most one probe in this number is lost.
const OUTSIDE: u64 = 10;

/// What is known of a hop's lost probes.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Evidence<'a> {
    /// How many there are, and of how many.
    pub(in super::super) share: Share,
    /// What limits make of them.
    pub(in super::super) explained: Explained,
    /// Its latest probes.
    pub(in super::super) probes: &'a [Asked],
    /// Its answers are ICMP errors, which hosts and routers limit.
    pub(in super::super) errors: bool,
}

impl Evidence<'_> {
    pub(super) fn with(self, other: Self) -> Self {
        let (lost, unexplained) = (self.explained.lost, self.explained.unexplained);
        Self {
            probes: &[],
            errors: self.errors && other.errors,
            share: self.share.with(other.share),
            explained: Explained {
                limit: None,
                lost: lost + other.explained.lost,
                unexplained: unexplained + other.explained.unexplained,
            },
        }
    }

    /// Whether few probes were lost.
    pub(super) fn is_little(self) -> bool {
        self.explained.lost < FEW
    }

    /// Whether it hardly ever answers.
    pub(super) fn is_nearly_silent(self) -> bool {
        self.share.part() >= HARDLY
    }

    /// Whether routers before it reject the lost probes: all of them, or enough that the rest may be lost to the
    /// limits of those routers.
    pub(super) fn is_rejected(self) -> bool {
        // Errors are limited too: what is lost between two of them, none of it answered, they reject as well.
        let runs = self.probes.chunk_by(|a, b| a.answered == b.answered);
        let rejected = runs.filter_map(|run| {
            let first = run.iter().position(|asked| asked.rejected)?;
            let last = run.iter().rposition(|asked| asked.rejected)?;
            Some(last - first + 1)
        });
        let rejected = rejected.sum::<usize>() as u64;
        let lost = self.probes.iter().filter(|asked| !asked.answered).count() as u64;
        rejected > 0 && (rejected == lost || rejected >= PROOF && 3 * rejected >= lost)
    }

    /// Whether most of the losses fall where its router rejects probes of other hops: one limit holds for both.
    pub(super) fn is_rejecting(self) -> bool {
        let lost = || self.probes.iter().filter(|asked| !asked.answered);
        // Of the rejections too some are left out by that limit.
        let is_near = |asked: &&Asked| {
            let near = |it: &Asked| it.rejecting && it.round.abs_diff(asked.round) <= BESIDE;
            self.probes.iter().any(near)
        };
        let rejecting = lost().filter(is_near).count();
        rejecting > 0 && 3 * rejecting >= 2 * lost().count()
    }

    /// Whether all that these hops lose is lost in one round, as by one event, which proves no loss that goes on.
    pub(super) fn is_one_event(hops: &[Self]) -> bool {
        let lost = || hops.iter().flat_map(|hop| hop.probes).filter(|asked| !asked.answered);
        let all: u64 = hops.iter().map(|hop| hop.explained.lost).sum();
        let first = lost().next().map(|asked| asked.round);
        all == lost().count() as u64 && lost().all(|asked| Some(asked.round) == first)
    }

    /// Whether its probes are lost in some rounds in a row, all of them and for more than the second of a limit, and hardly any before and
    /// after.
    pub(super) fn is_outage(self) -> bool {
        let rounds = self.probes.chunk_by(|a, b| a.round == b.round);
        let rounds: Vec<&[Asked]> = rounds.collect();
        let is_down = |round: &[Asked]| round.iter().all(|asked| !asked.answered);
        let (mut outside, mut any) = (Share::default(), false);
        for run in rounds.chunk_by(|a, b| is_down(a) == is_down(b)) {
            if run.len() >= OUTAGE && run.iter().all(|round| is_down(round)) && !is_short(run) {
                any = true;
            } else {
                outside = run.iter().fold(outside, |sum, round| sum.with(share(round)));
            }
        }
        any && outside.sent > outside.lost && outside.lost * OUTSIDE <= outside.sent
    }

    /// Whether it and hops beyond it, the nearest first, lose probes as they do by one cause, rather than each for itself.
    pub(super) fn has_one_cause<'b>(self, beyond: impl Iterator<Item = Evidence<'b>>) -> bool {
        let (mut all, mut each) = (self.share, self.share.ln_likelihood());
        self.share.sent >= ENOUGH
            && beyond.into_iter().any(|hop| {
                if self.share.is_clearly_below(hop.share, 1) {
                    each += ODD.ln();
                    return false;
                }
                all = all.with(hop.share);
                each += hop.share.ln_likelihood();
                all.ln_likelihood() - each >= ONE_CAUSE.ln()
            })
    }

    /// Whether it proves loss that is due to no limit.
    pub(super) fn proves_loss(self) -> bool {
        let Explained { lost, unexplained, .. } = self.explained;
        unexplained >= PROOF && 3 * unexplained >= lost
    }

    /// Whether of the queries of a round the later ones are lost more often than chance leaves: a limit answers the first, whoever else
    /// takes its answers. Given how many are lost in each round, the path loses each as often.
    pub(super) fn favours_first(own: &[Self]) -> bool {
        let (mut later, mut variance) = (0.0, 0.0);
        let rounds = own.iter().flat_map(|hop| hop.probes.chunk_by(|a, b| a.round == b.round));
        for round in rounds {
            let Share { lost, sent } = share(round);
            let (lost, sent) = (float(lost), float(sent));
            let places = (0..).zip(round).filter(|(_, asked)| !asked.answered);
            later += places.map(|(place, _)| float(place) - (sent - 1.0) / 2.0).sum::<f64>();
            variance += lost * (sent - lost) * (sent + 1.0) / 12.0;
        }
        later > FAVOUR * variance.sqrt()
    }

    /// Whether of several probes of a round more are lost together at these hops than each by the same chance.
    pub(super) fn lost_together<'b>(hops: impl Iterator<Item = &'b Evidence<'b>>) -> bool {
        let (mut others, mut together, mut all) = (0, 0, Share::default());
        for round in hops.flat_map(|hop| hop.probes.chunk_by(|a, b| a.round == b.round)) {
            let own = share(round);
            others += own.lost * own.sent.saturating_sub(1);
            together += own.lost * own.lost.saturating_sub(1);
            all = all.with(own);
        }
        let (others, together) = (float(others), float(together));
        let by_chance = others * all.part();
        let spread = (by_chance * (1.0 - all.part())).sqrt();
        together - by_chance > (TOGETHER * (others - by_chance)).max(FAVOUR * spread)
    }

    /// Whether it was asked once a round.
    pub(super) fn has_one_query(self) -> bool {
        self.probes.chunk_by(|a, b| a.round == b.round).all(|round| round.len() == 1)
    }

    /// Whether a limit explains most of its losses.
    pub(super) fn is_mostly_explained(self) -> bool {
        3 * self.explained.unexplained < self.explained.lost
    }

    /// Whether it hardly ever answers, and never a few times in a row: the pattern of a limit whose tokens others mostly use.
    /// An outage loses as much, but not before it begins.
    pub(super) fn is_starved(self) -> bool {
        let mut runs = self.probes.chunk_by(|a, b| a.answered == b.answered);
        let in_a_row = runs.any(|run| run.len() >= IN_A_ROW && run.iter().all(|it| it.answered));
        self.share.part() >= HARDLY && !in_a_row
    }

    /// Whether as much was lost here as there, as far as can be determined.
    pub(super) fn is_like(self, other: Self) -> bool {
        let below = |a: Share, b: Share| a.is_clearly_below(b, 1);
        !below(self.share, other.share) && !below(other.share, self.share)
    }
}

fn share(probes: &[Asked]) -> Share {
    let lost = probes.iter().filter(|asked| !asked.answered).count() as u64;
    Share { lost, sent: probes.len() as u64 }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 probes")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Whether these rounds are of one second.
fn is_short(rounds: &[&[Asked]]) -> bool {
    let mut sent = rounds.iter().copied().flatten().map(|asked| asked.sent);
    let ends = sent.next().zip(sent.next_back());
    ends.is_none_or(|(first, last)| is_of_a_second(first, last))
}

/// Whether these hops give as many answers in each round, all together, as they do not where each probe is lost by chance.
pub(super) fn share_a_limit(hops: &[&Evidence<'_>]) -> bool {
    let mut rounds: BTreeMap<u32, u64> = BTreeMap::new();
    let mut by_chance = 0.0;
    for Evidence { probes, .. } in hops {
        let mut share = Share::default();
        for Asked { round, answered, .. } in *probes {
            *rounds.entry(*round).or_default() += u64::from(!answered);
            share = share.with(Share { lost: u64::from(!answered), sent: 1 });
        }
        by_chance += share.variance();
    }
    let lost = rounds
        .values()
        .fold(Share::default(), |sum, lost| sum.with(Share { lost: *lost, sent: 1 }));
    let mean = lost.part();
    let variance: f64 =
        rounds.values().map(|lost| (Share { lost: *lost, sent: 1 }.part() - mean).powi(2)).sum();
    rounds.len() >= STEADY && variance < by_chance * STEADIER
}
