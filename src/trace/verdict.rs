//! What lost probes mean: that the path loses packets, or that a router limits what it answers.
//!
//! Whatever asks or answers a hop farther away passes the nearer ones: probes that are lost up to a hop are lost
//! behind it in the same share, at least. So if hops behind answer clearly more than one, it is that hop itself
//! that answers less than it is asked. `docs/watch.md` says what follows from that, and what does not.

use std::collections::BTreeMap;

use super::limit::{Asked, Explained, Limit};
use super::shares::Share;

/// As many losses that no limit explains prove that the path loses.
const PROOF: u64 = 2;
/// Who loses this share hardly ever answers; an outage leaves answers before it, so many in a row.
const HARDLY: f64 = 0.8;
const IN_A_ROW: usize = 4;
/// Hops share a limit if the number of their answers varies by less than this part of what it does by chance, over so many rounds.
const STEADIER: f64 = 0.3;
const STEADY: usize = 8;

/// What lost probes of a hop mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// None were lost.
    None,
    /// Hops behind it, which its packets have to pass, lost clearly fewer: it limits what it answers.
    RateLimited,
    /// They were lost here or, as the hops behind tell the same, before.
    Path,
    /// Too few were sent or lost to tell the two apart, or nothing answers behind a hop that is not the end.
    Unclear,
    /// It never answered.
    Silent,
}

impl Loss {
    /// The word for it in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::RateLimited => "rate-limited",
            Self::Path => "path",
            Self::Unclear => "unclear",
            Self::Silent => "silent",
        }
    }
}

/// What is made of a hop's lost probes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// What they mean.
    pub loss: Loss,
    /// What it was compared with.
    pub behind: Option<Behind>,
    /// The limit that its answers follow, where they show one.
    pub limit: Option<Limit>,
}

/// Hops behind another, by their index among all, and what they lost together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behind {
    /// The nearest.
    pub first: usize,
    /// The farthest.
    pub last: usize,
    /// The share that they lost, from 0 to 1.
    pub loss: f64,
}

/// What is known of a hop's lost probes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence<'a> {
    /// How many there are, and of how many.
    pub(super) share: Share,
    /// What limits make of them.
    pub(super) explained: Explained,
    /// Its latest probes.
    pub(super) probes: &'a [Asked],
}

impl Evidence<'_> {
    fn with(self, other: Self) -> Self {
        let (lost, unexplained) = (self.explained.lost, self.explained.unexplained);
        Self {
            probes: &[],
            share: self.share.with(other.share),
            explained: Explained {
                limit: None,
                lost: lost + other.explained.lost,
                unexplained: unexplained + other.explained.unexplained,
            },
        }
    }

    /// Whether it proves loss that is due to no limit.
    fn proves_loss(self) -> bool {
        let Explained { lost, unexplained, .. } = self.explained;
        unexplained >= PROOF && 3 * unexplained >= lost
    }

    /// Whether it hardly ever answers, and never a few times in a row: as who gets what is left of a limit that others share.
    /// An outage loses as much, but not before it begins.
    fn is_starved(self) -> bool {
        let mut runs = self.probes.chunk_by(|a, b| a.answered == b.answered);
        let in_a_row = runs.any(|run| run.len() >= IN_A_ROW && run.iter().all(|it| it.answered));
        self.share.part() >= HARDLY && !in_a_row
    }

    /// Whether as much was lost here as there, as far as can be told.
    fn is_like(self, other: Self) -> bool {
        let below = |a: Share, b: Share| a.is_clearly_below(b, 1);
        !below(self.share, other.share) && !below(other.share, self.share)
    }
}

/// What the lost probes of each hop mean, the hops in their order; `end` is the index of the one that answers as
/// the end of the path.
pub(super) fn of(hops: &[Evidence<'_>], end: Option<usize>) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict { loss: Loss::None, behind: None, limit: None }; hops.len()];
    // From the far end: those that limit their answers are no measure for those before them.
    for (index, own) in hops.iter().enumerate().rev() {
        let later = hops.iter().enumerate().zip(&verdicts).skip(index + 1);
        let honest = later.filter(|((_, hop), verdict)| {
            verdict.loss != Loss::RateLimited
                && hop.share.lost < hop.share.sent
                && !hop.is_starved()
        });
        let behind: Vec<(usize, Evidence<'_>)> =
            honest.map(|((index, hop), _)| (index, *hop)).collect();
        verdicts[index] = judge(*own, &behind, end == Some(index));
    }
    let (lossy, told): (Vec<&Evidence<'_>>, Vec<&mut Verdict>) =
        hops.iter().zip(&mut verdicts).filter(|(_, verdict)| verdict.loss == Loss::Path).unzip();
    let most_are_lost = lossy.iter().all(|hop| hop.share.part() >= HARDLY);
    let is_limited = hops.iter().any(|hop| hop.explained.limit.is_some());
    if share_a_limit(&lossy) || most_are_lost && is_limited {
        for verdict in told {
            verdict.loss = Loss::Unclear;
        }
    }
    verdicts
}

/// Whether these hops give as many answers in each round, all together, as they do not where each probe is lost by chance.
fn share_a_limit(hops: &[&Evidence<'_>]) -> bool {
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

/// What is made of one hop, given those behind it that can be a measure, the nearest first.
fn judge(own: Evidence<'_>, behind: &[(usize, Evidence<'_>)], is_end: bool) -> Verdict {
    let share = own.share;
    let plain = |loss| Verdict { loss, behind: None, limit: None };
    if share.lost == 0 {
        return plain(Loss::None);
    }
    if share.lost == share.sent {
        return plain(Loss::Silent);
    }
    // True loss grows with the distance, so that the nearest lose least of it; but more of them are more evidence.
    let pools = behind.iter().scan(Evidence::default(), |pool, (last, hop)| {
        *pool = pool.with(*hop);
        Some((*last, *pool))
    });
    let first = behind.first().map_or(0, |(first, _)| *first);
    let of = |(last, pool): (usize, Evidence<'_>)| Behind { first, last, loss: pool.share.part() };
    let clearly =
        |(_, pool): &(usize, Evidence<'_>)| pool.share.is_clearly_below(share, behind.len());
    let lowest = pools
        .clone()
        .filter(clearly)
        .min_by(|(_, a), (_, b)| a.share.part().total_cmp(&b.share.part()));
    let limit = own.explained.limit;
    if let Some(lowest) = lowest {
        return Verdict { loss: Loss::RateLimited, behind: Some(of(lowest)), limit };
    }
    if limit.is_some() {
        return Verdict { limit, ..plain(Loss::RateLimited) };
    }
    if own.is_starved() {
        return Verdict { loss: Loss::Unclear, behind: pools.last().map(of), limit: None };
    }
    let shared = |(_, pool): (usize, Evidence<'_>)| 2.0 * pool.share.part() >= share.part();
    let is_shared = pools.clone().all(shared)
        && behind.iter().any(|(_, hop)| hop.is_like(own))
        && pools.clone().last().is_some_and(|(_, pool)| own.with(pool).proves_loss());
    // What the target does not answer is what a user misses, whatever it is that drops it, but for its own limit.
    let loss = if is_shared || is_end && own.proves_loss() { Loss::Path } else { Loss::Unclear };
    Verdict { loss, behind: pools.last().map(of), limit: None }
}
