//! What lost probes mean: that the path loses packets, or that a router limits what it answers.
//!
//! Whatever asks or answers a hop farther away passes the nearer ones: probes that are lost up to a hop are lost
//! behind it in the same share, at least. So if hops behind answer clearly more than one, it is that hop itself
//! that answers less than it is asked. `docs/watch.md` says what follows from that, and what does not.

use super::shares::Share;

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

/// What the lost probes of each hop mean, the hops in their order; `end` is the index of the one that answers as
/// the end of the path.
pub(super) fn of(shares: &[Share], end: Option<usize>) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict { loss: Loss::None, behind: None }; shares.len()];
    // From the far end: those that limit their answers are no measure for those before them.
    for (index, own) in shares.iter().enumerate().rev() {
        let later = shares.iter().enumerate().zip(&verdicts).skip(index + 1);
        let honest = later.filter(|((_, share), verdict)| {
            verdict.loss != Loss::RateLimited && share.lost < share.sent
        });
        let behind: Vec<(usize, Share)> =
            honest.map(|((index, share), _)| (index, *share)).collect();
        verdicts[index] = judge(*own, &behind, end == Some(index));
    }
    verdicts
}

/// What is made of one share, given those behind it that can be a measure, the nearest first.
fn judge(own: Share, behind: &[(usize, Share)], is_end: bool) -> Verdict {
    if own.lost == 0 {
        return Verdict { loss: Loss::None, behind: None };
    }
    if own.lost == own.sent {
        return Verdict { loss: Loss::Silent, behind: None };
    }
    // True loss grows with the distance, so that the nearest lose least of it; but more of them are more evidence.
    let pools = behind.iter().scan(Share::default(), |pool, (last, share)| {
        *pool = pool.with(*share);
        Some((*last, *pool))
    });
    let first = behind.first().map_or(0, |(first, _)| *first);
    let of = |(last, pool): (usize, Share)| Behind { first, last, loss: pool.part() };
    let clearly = |(_, pool): &(usize, Share)| pool.is_clearly_below(own, behind.len());
    let lowest =
        pools.clone().filter(clearly).min_by(|(_, a), (_, b)| a.part().total_cmp(&b.part()));
    if let Some(lowest) = lowest {
        return Verdict { loss: Loss::RateLimited, behind: Some(of(lowest)) };
    }
    let shared = |(_, pool): (usize, Share)| 2.0 * pool.part() >= own.part();
    let is_shared = !behind.is_empty() && pools.clone().all(shared);
    // What the target does not answer is what a user misses, whatever it is that drops it.
    let loss = if is_shared || is_end { Loss::Path } else { Loss::Unclear };
    Verdict { loss, behind: pools.last().map(of) }
}
