//! What lost probes mean: that the path loses packets, or that a router limits what it answers.
//!
//! Whatever asks or answers a hop farther away passes the nearer ones: probes that are lost up to a hop are lost
//! behind it in the same share, at least. So if hops beyond answer clearly more than one, it is that hop itself
//! that answers less than it is asked. `docs/watch.md` says what follows from that, and what does not.

use super::limit::Limit;

mod evidence;

pub(super) use evidence::Evidence;
use evidence::share_a_limit;

/// The number of routers that are not all equally busy by chance.
const MANY: usize = 4;

/// What lost probes of a hop mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Loss {
    /// None were lost.
    None,
    /// Hops beyond it, which its packets have to pass, lost clearly fewer: it limits what it answers.
    RateLimited,
    /// They were lost at this hop or before it: hops beyond lose as much.
    Path,
    /// That cannot be determined.
    Unclear(Reason),
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
            Self::Unclear(_) => "unclear",
            Self::Silent => "silent",
        }
    }

    /// Why it cannot be determined what they mean, if so.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Unclear(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why it cannot be determined whether the path loses probes or a limit leaves them unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Reason {
    /// Too few were lost.
    TooFew,
    /// It is not the target, and no hop beyond it answers that could be compared.
    NothingBeyond,
    /// A limit leaves as many unanswered.
    LimitFits,
    /// It answers too seldom, and never a few times in a row.
    HardlyAnswers,
    /// The hops that lose give as many answers in each round together.
    SharedLimit,
    /// Nearer hops that are found to limit their answers lose as much.
    LikeLimited,
    /// Only the target loses, and it answers with ICMP errors, which hosts limit.
    TargetErrors,
    /// Hops beyond lose less, but not clearly less.
    Differs,
    /// Few hops lose alike from the first on, and nobody beyond answers but by errors: the first link loses, or all of them limit.
    AllAlike,
    /// Probes of one round are lost together at a hop, as by an empty bucket.
    LostTogether,
}

impl Reason {
    /// The word for it in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooFew => "too-few",
            Self::NothingBeyond => "nothing-beyond",
            Self::LimitFits => "limit-fits",
            Self::HardlyAnswers => "hardly-answers",
            Self::SharedLimit => "shared-limit",
            Self::LikeLimited => "like-limited",
            Self::TargetErrors => "target-errors",
            Self::Differs => "differs-beyond",
            Self::AllAlike => "all-alike",
            Self::LostTogether => "lost-together",
        }
    }

    /// Why the loss is unclear, in words for reports and the screen.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::TooFew => "too few probes were lost",
            Self::NothingBeyond => "no hop beyond answers, so there is nothing to compare",
            Self::LimitFits => "a limit explains the losses equally well",
            Self::HardlyAnswers => "too few probes were answered",
            Self::SharedLimit => {
                "the total of their answers is the same in each round, as under a shared limit"
            }
            Self::LikeLimited => "nearer hops, which limit their answers, lose as much",
            Self::TargetErrors => {
                "only the target loses, and hosts limit the errors that it answers with: compare -I or -T"
            }
            Self::Differs => "hops beyond lose less, but not clearly less",
            Self::AllAlike => {
                "all hops lose alike, as on the first link or where all limit their answers: compare -q 3"
            }
            Self::LostTogether => {
                "probes of one round are lost together, as by a limit that others use up"
            }
        }
    }
}

/// What is made of a hop's lost probes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// What they mean.
    pub loss: Loss,
    /// What it was compared with.
    pub behind: Option<Behind>,
    /// The limit that its answers follow, where they show one.
    pub limit: Option<Limit>,
}

/// Hops beyond another, by their index among all, and what they lost together.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Behind {
    /// The nearest.
    pub first: usize,
    /// The farthest.
    pub last: usize,
    /// The share that they lost, from 0 to 1.
    pub loss: f64,
}

/// What the lost probes of each hop mean, the hops in their order; `end` is the index of the one that answers as
/// the target.
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
    doubt(hops, &mut verdicts);
    doubt_alike(hops, end, &mut verdicts);
    if let Some(end) = end {
        believe_end(hops, end, &mut verdicts);
    }
    verdicts
}

/// Where hops limit their answers, those that answer alike may do so too.
fn doubt(hops: &[Evidence<'_>], verdicts: &mut [Verdict]) {
    let path = |(hop, verdict): &(&Evidence<'_>, &Verdict)| {
        verdict.loss == Loss::Path && !hop.is_rejected()
    };
    let lossy: Vec<&Evidence<'_>> =
        hops.iter().zip(&*verdicts).filter(path).map(|(hop, _)| hop).collect();
    let most_are_lost = lossy.iter().all(|hop| hop.is_nearly_silent());
    let is_limited = hops.iter().any(|hop| hop.explained.limit.is_some());
    let is_shared = share_a_limit(&lossy) || most_are_lost && is_limited;
    let mut limited: Vec<&Evidence<'_>> = Vec::new();
    for (hop, verdict) in hops.iter().zip(verdicts) {
        if verdict.loss == Loss::RateLimited {
            limited.push(hop);
        } else if path(&(hop, verdict)) {
            let is_like = || limited.iter().any(|limited| hop.is_like(**limited));
            if is_shared {
                verdict.loss = Loss::Unclear(Reason::SharedLimit);
            } else if !hop.is_outage() && is_like() {
                verdict.loss = Loss::Unclear(Reason::LikeLimited);
            }
        }
    }
}

/// Routers that are as busy as each other and limit alike lose as if the first link did, where nobody answers but by errors, which
/// are what is limited: all that shows the difference is what happens within a round.
fn doubt_alike(hops: &[Evidence<'_>], end: Option<usize>, verdicts: &mut [Verdict]) {
    let is_path = |index: &usize| verdicts.get(*index).is_some_and(|it| it.loss == Loss::Path);
    let lossy: Vec<usize> = (0..hops.len()).filter(is_path).collect();
    let (Some(first), None) = (lossy.first(), end) else { return };
    let lossy_hops = || lossy.iter().filter_map(|index| hops.get(*index));
    if lossy_hops().any(|hop| !hop.errors || hop.is_rejected() || hop.is_outage()) {
        return;
    }
    let all = lossy_hops().fold(Evidence::default(), |all, hop| all.with(*hop));
    let mut nearer = hops.get(..*first).unwrap_or_default().iter();
    let is_first = !nearer.any(|hop| hop.share.sent > 0 && hop.share.lost == 0);
    let is_alike = |(hop, verdict): &(&Evidence<'_>, &Verdict)| {
        matches!(verdict.loss, Loss::Path | Loss::Unclear(_)) && hop.is_like(all)
    };
    let alike = hops.iter().zip(&*verdicts).filter(is_alike).count();
    let reason = if Evidence::lost_together(lossy_hops()) {
        Reason::LostTogether
    } else if is_first && alike < MANY && lossy_hops().all(|hop| hop.has_one_query()) {
        Reason::AllAlike
    } else {
        return;
    };
    for index in lossy {
        if let Some(verdict) = verdicts.get_mut(index) {
            verdict.loss = Loss::Unclear(reason);
        }
    }
}

/// What a target loses that only answers with errors is loss of the path where a hop before it loses as much by that.
fn believe_end(hops: &[Evidence<'_>], end: usize, verdicts: &mut [Verdict]) {
    let Some((before, [own, ..])) = verdicts.split_at_mut_checked(end) else { return };
    if own.loss != Loss::Unclear(Reason::TargetErrors) {
        return;
    }
    let mut lossy = hops.iter().zip(before).filter(|(_, verdict)| verdict.loss == Loss::Path);
    if lossy.any(|(hop, _)| hops[end].is_like(*hop)) {
        own.loss = Loss::Path;
    }
}

/// What is made of one hop, given those beyond it that can be a measure, the nearest first.
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
    let beyond = pools.clone().last();
    if limit.is_some() && !own.is_rejected() {
        return Verdict { limit, ..plain(Loss::RateLimited) };
    }
    let shared = |(_, pool): (usize, Evidence<'_>)| 2.0 * pool.share.part() >= share.part();
    let loss = if own.is_rejecting() {
        Loss::Unclear(Reason::LimitFits)
    } else if own.is_rejected() {
        Loss::Path
    } else if own.is_starved() {
        Loss::Unclear(Reason::HardlyAnswers)
    } else if is_end {
        of_end(own)
    } else if behind.is_empty() {
        Loss::Unclear(Reason::NothingBeyond)
    } else {
        let is_shared = pools.clone().all(shared);
        of_router(own, behind, beyond.map_or(own, |(_, pool)| own.with(pool)), is_shared)
    };
    Verdict { loss, behind: beyond.map(of), limit: None }
}

/// What the target does not answer is what a user misses, whatever it is that drops it, but for a limit of its own.
fn of_end(own: Evidence<'_>) -> Loss {
    if !own.proves_loss() {
        unproven(own)
    } else if Evidence::favours_first(&[own]) {
        Loss::Unclear(Reason::LimitFits)
    } else if own.errors && !own.is_outage() {
        Loss::Unclear(Reason::TargetErrors)
    } else {
        Loss::Path
    }
}

/// What a router does not answer is loss of the path if those beyond it lose as much for the same cause; `all` is the evidence of
/// all of them.
fn of_router(
    own: Evidence<'_>,
    behind: &[(usize, Evidence<'_>)],
    all: Evidence<'_>,
    is_shared: bool,
) -> Loss {
    let beyond = || behind.iter().map(|(_, hop)| *hop);
    let with_beyond: Vec<Evidence<'_>> = std::iter::once(own).chain(beyond()).collect();
    let favours_first = Evidence::favours_first(&[own]) || Evidence::favours_first(&with_beyond);
    let is_alike = || beyond().any(|hop| hop.is_like(own));
    if !all.proves_loss() {
        unproven(all)
    } else if Evidence::is_one_event(&with_beyond) {
        Loss::Unclear(Reason::TooFew)
    } else if own.is_mostly_explained() || favours_first {
        Loss::Unclear(Reason::LimitFits)
    } else if !is_shared || !is_alike() {
        Loss::Unclear(Reason::Differs)
    } else if own.is_outage() || own.has_one_cause(beyond()) {
        Loss::Path
    } else {
        Loss::Unclear(Reason::TooFew)
    }
}

fn unproven(all: Evidence<'_>) -> Loss {
    Loss::Unclear(if all.is_little() { Reason::TooFew } else { Reason::LimitFits })
}

#[cfg(test)]
mod tests {
    use super::super::limit::{Asked, explain};
    use super::super::shares::Share;
    use super::*;
    use crate::time::Timestamp;

    /// As it was captured: while the first router rejects what is for others it answers one probe a second, so every second
    /// one of its own is lost.
    #[test]
    fn a_router_that_rejects_probes_is_not_lossy_itself() {
        let is_down = |round: u32| (6..16).contains(&round);
        let asked = |round, answered, rejected, rejecting| {
            let sent = Timestamp::from_nanos(i64::from(round) * 1_000_000_000);
            let mut asked = Asked::at(sent, round);
            (asked.answered, asked.rejected, asked.rejecting) = (answered, rejected, rejecting);
            asked
        };
        let own = |round: u32| {
            let rejects = is_down(round) && round % 2 == 1;
            asked(round, !is_down(round) || rejects, false, rejects)
        };
        let beyond =
            |round: u32| asked(round, !is_down(round), is_down(round) && round % 2 == 1, false);
        let hops = [(0..30).map(own).collect::<Vec<_>>(), (0..30).map(beyond).collect()];
        let evidence = hops.each_ref().map(|probes| {
            let lost = probes.iter().filter(|asked| !asked.answered).count() as u64;
            Evidence {
                share: Share { lost, sent: 30 },
                explained: explain(probes),
                probes,
                errors: true,
            }
        });
        let losses: Vec<Loss> = of(&evidence, Some(1)).iter().map(|verdict| verdict.loss).collect();
        assert_eq!(losses, [Loss::Unclear(Reason::LimitFits), Loss::Path]);
    }
}
