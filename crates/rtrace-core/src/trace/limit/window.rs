//! Limits on the answers in each second, as BSD has them (`ppsratecheck`): a second begins with the first probe after the
//! one before is over.

use std::collections::BTreeSet;

use super::{Asked, Candidate, Fit, JITTER, float};
use crate::time::{Span, Timestamp};

const SECOND: Span = Span::from_millis(1_000);
/// A second that begins sooner than this after the one before follows on it.
const FOLLOWING: Span = Span::from_millis(1_500);
/// One a second is a bucket of one.
const LEAST: u64 = 2;
/// The part of its answers that a limit of a second gives in seconds with losses, those at either end among them.
const MET: f64 = 0.8;
/// How many limits on the answers in a second are tried.
const TRIED: usize = 6;

/// A second of a window: as many were asked, and as many answered.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    began: Timestamp,
    asked: u64,
    answered: u64,
}

/// The limits that seconds with losses suggest: how many answers they leave in each.
pub(super) fn limits(probes: &[Asked]) -> impl Iterator<Item = (Candidate, u64)> + use<> {
    let seconds = seconds(probes);
    let lossy = seconds.iter().filter(|it| it.answered < it.asked);
    // Where a second ends is not known to the millisecond: one more may have been answered in it.
    let answered = lossy.flat_map(|it| [it.answered, it.answered + 1]);
    let most = seconds.iter().map(|it| it.answered).max();
    let tried: BTreeSet<u64> = answered.chain(most).filter(|most| *most >= LEAST).collect();
    tried.into_iter().rev().take(TRIED).map(|most| {
        let burst = u32::try_from(most).unwrap_or(u32::MAX);
        (Candidate { per_second: f64::from(burst), burst }, most)
    })
}

/// Whether seconds with losses have nearly that number of answers, and most follow on the second before: after a rest a bucket
/// gives what it gained, which is no number of answers a second.
pub(super) fn is_met(limit: Candidate, probes: &[Asked]) -> bool {
    let seconds = seconds(probes);
    let is_lossy = |it: &Second| it.answered < it.asked;
    let lossy = || seconds.iter().filter(|it| is_lossy(it));
    let follows = |pair: &&[Second]| match pair {
        [before, it] => is_lossy(it) && it.began.since(before.began) < FOLLOWING,
        _ => false,
    };
    if 2 * seconds.windows(2).filter(follows).count() < lossy().count() {
        return false;
    }
    let answered: u64 = lossy().map(|it| it.answered).sum();
    float(answered) >= MET * limit.per_second * float(lossy().count() as u64)
}

/// What each second came to.
fn seconds(probes: &[Asked]) -> Vec<Second> {
    let mut seconds: Vec<Second> = Vec::new();
    let mut began: Option<Timestamp> = None;
    for asked in probes {
        if began.is_none_or(|began| asked.sent.since(began) >= SECOND) {
            began = Some(asked.sent);
            seconds.push(Second { began: asked.sent, ..Second::default() });
        }
        if let Some(second) = seconds.last_mut() {
            second.asked += 1;
            second.answered += u64::from(asked.answered);
        }
    }
    seconds
}

/// How well a limit of `most` answers a second fits; `None` if it is less likely than `floor`.
pub(super) fn fit(most: u64, probes: &[Asked], floor: f64) -> Option<Fit> {
    let mut fit = Fit::default();
    let mut began: Option<Timestamp> = None;
    let (mut asked_in, mut was_unsure) = (0, false);
    for Asked { sent, answered, .. } in probes.iter().copied() {
        let lasted = began.map_or(f64::INFINITY, |began| sent.since(began).secs_f64());
        // Whether a second is over that is nearly over is seen from whether there is an answer.
        let unsure = (lasted - 1.0).abs() < JITTER && asked_in >= most;
        if if unsure { answered } else { lasted >= 1.0 } {
            (began, asked_in) = (Some(sent), 0);
        }
        asked_in += 1;
        let still = unsure && was_unsure;
        was_unsure = unsure;
        match (answered, asked_in <= most) {
            // That the second is not over yet is one chance for all that are lost meanwhile.
            (false, _) if still => fit.refused += 1,
            _ if unsure => fit.open += 1,
            (true, true) => fit.answered += 1,
            (true, false) => fit.flaws += 1,
            (false, true) => fit.lost += 1,
            (false, false) => fit.refused += 1,
        }
        if -fit.cost() < floor {
            return None;
        }
    }
    Some(fit)
}
