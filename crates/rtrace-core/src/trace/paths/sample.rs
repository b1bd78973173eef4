//! Samples of IP-ID counters, and whether they are of one.

use std::collections::BTreeSet;

use crate::time::Timestamp;
use crate::trace::path::Probe;
use crate::trace::reply::Reply;

/// How often replies have to change from one address to the other.
const TURNS: usize = 4;
/// How far the counter may advance between two replies: this constant, and the next for each second in between.
const STEP: f64 = 200.0;
const STEP_PER_SECOND: f64 = 20_000.0;
/// Steps of at least this are none: the counter may have gone round.
const FARTHEST: f64 = 16_384.0;
/// Replies may overtake one another by this number.
const OVERTAKEN: u16 = 4;

/// When a reply came, and its IP-ID.
pub(super) type Sample = (Timestamp, u16);

/// What a reply says of its router's counter.
pub(super) fn sample(probe: &Probe, reply: &Reply) -> Option<Sample> {
    let id = reply.ip_id.filter(|id| *id != 0 && *id != probe.key.ip_id)?;
    Some((reply.at, id))
}

/// Whether both count on one counter.
pub(super) fn is_one_counter(one: &[Sample], other: &[Sample]) -> bool {
    let marked =
        |samples: &[Sample], mark| samples.iter().map(move |it| (*it, mark)).collect::<Vec<_>>();
    if !are_near(one, other) {
        return false;
    }
    let mut both = [marked(one, false), marked(other, true)].concat();
    both.sort_unstable();
    // Of two counters that are near to one another, both come to the same numbers.
    let numbers: BTreeSet<u16> = both.iter().map(|it| it.0.1).collect();
    let turns = both.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    turns >= TURNS
        && numbers.len() == both.len()
        && both.windows(2).all(|pair| follows(pair[0].0, pair[1].0))
}

/// Whether the first numbers of both may be of one counter: tells most of those apart that are not.
fn are_near(one: &[Sample], other: &[Sample]) -> bool {
    let (Some(first), Some(then)) =
        (one.first().min(other.first()), one.first().max(other.first()))
    else {
        return false;
    };
    let steps = f64::from(u32::try_from(one.len() + other.len()).unwrap_or(u32::MAX));
    let most = steps * STEP + STEP_PER_SECOND * then.0.since(first.0).secs_f64();
    f64::from(then.1.wrapping_sub(first.1).wrapping_add(OVERTAKEN))
        <= most + 2.0 * f64::from(OVERTAKEN)
}

/// Whether a counter that was at the first number may be at the second then.
pub(super) fn follows((before, id): Sample, (after, next): Sample) -> bool {
    let seconds = after.since(before).secs_f64();
    let step = next.wrapping_sub(id);
    let overtaken = id.wrapping_sub(next) <= OVERTAKEN;
    overtaken || f64::from(step) <= (STEP + STEP_PER_SECOND * seconds).min(FARTHEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples a millisecond apart: even places are of one address, odd ones of the other.
    fn check(ids: &[u16], expected: bool) {
        let at = |place: usize| Timestamp::from_nanos(i64::try_from(place).unwrap() * 1_000_000);
        let own = |odd: usize| -> Vec<Sample> {
            let places = ids.iter().enumerate().filter(|(place, _)| place % 2 == odd);
            places.map(|(place, id)| (at(place), *id)).collect()
        };
        assert_eq!(is_one_counter(&own(0), &own(1)), expected, "{ids:?}");
    }

    #[test]
    fn one_counter_is_told_from_two() {
        check(&[1, 2, 3, 4, 5, 6], true);
        check(&[65_530, 65_534, 3, 40, 90, 95], true);
        check(&[10, 12, 11, 13, 14, 15], true);
        check(&[1, 2, 3, 4], false);
        check(&[1, 4, 2, 5, 3, 6, 4, 7], false);
        check(&[1, 901, 2, 902, 3, 903], false);
        check(&[7, 40_000, 9_000, 61_000, 20, 3_000], false);
    }
}
