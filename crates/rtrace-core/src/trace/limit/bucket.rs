//! Token buckets, as Linux, Cisco and most others have them.
//!
//! How full a bucket is at the first probe is not known, and whether a probe that was lost elsewhere took a token is not
//! either. So at any time the tokens in it are known to lie within an interval.

use super::{Asked, Candidate, Fit, JITTER, float};

/// Rates that routers have, in answers a second; and what is between, where the burst is what matters.
const RATES: [f64; 14] =
    [1.0, 0.2, 0.333, 0.5, 0.7, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];
/// Answers at once.
const BURSTS: [u32; 13] = [6, 1, 2, 3, 4, 5, 7, 8, 10, 20, 50, 100, 200];
/// The slowest limit that routers have: Linux's is 1 a second.
const SLOWEST: f64 = 0.2;
/// A bucket that holds the queries of a round and fills faster than the probes arrive by this factor never limits.
const FASTER: f64 = 1.2;
/// A token, but for what sums in floating point leave out.
const NEARLY: f64 = 1.0 - 1e-9;

/// All buckets that may be.
pub(super) fn limits(probes: &[Asked]) -> impl Iterator<Item = Candidate> + use<> {
    let ends = probes.first().zip(probes.last());
    let seconds = ends.map_or(0.0, |(first, last)| last.sent.since(first.sent).secs_f64());
    let answered = float(probes.iter().filter(|asked| asked.answered).count() as u64);
    let asked = float(probes.len() as u64) / seconds.max(1e-3);
    let at_once = probes.iter().map(|asked| u32::from(asked.query) + 1).max().unwrap_or(0);
    let run = full(probes);
    // A bucket that was full tells how much it holds by what it gave before it ran dry.
    let dry = RATES.into_iter().filter_map(move |per_second| {
        let (given, lasted) = run?;
        let held = (given - per_second * lasted).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let burst = (1.0..1e6).contains(&held).then_some(held as u32)?;
        (per_second >= SLOWEST && per_second <= FASTER * asked)
            .then_some(Candidate { per_second, burst })
    });
    let common = BURSTS.into_iter().flat_map(move |burst| {
        // A bucket that is never full tells its rate by what it gave, whatever it held at first.
        let steady = [0.0, 0.5, 1.0]
            .map(|held| (answered - f64::from(burst) * held - 0.5) / seconds.max(1e-3));
        let is_met =
            move |rate: &f64| *rate >= SLOWEST && (*rate <= FASTER * asked || burst <= at_once);
        let rates = RATES.into_iter().chain(steady).filter(is_met);
        rates.map(move |per_second| Candidate { per_second, burst })
    });
    common.chain(dry)
}

/// How many were answered before the first that was not, and in how many seconds.
fn full(probes: &[Asked]) -> Option<(f64, f64)> {
    let given = probes.iter().position(|asked| !asked.answered).filter(|given| *given > 0)?;
    let lasted = probes.get(given)?.sent.since(probes.first()?.sent).secs_f64();
    Some((float(given as u64), lasted))
}

/// How well a bucket fits that held at least `held` tokens at the beginning; `None` if it is less likely than `floor`.
pub(super) fn fit(limit: Candidate, probes: &[Asked], held: f64, floor: f64) -> Option<Fit> {
    let most = f64::from(limit.burst);
    let (mut low, mut high) = (held, most);
    let mut fit = Fit::default();
    let mut before = probes.first().map(|asked| asked.sent);
    for Asked { sent, answered, .. } in probes.iter().copied() {
        let rested = before.map_or(0.0, |before| sent.since(before).secs_f64());
        before = Some(sent);
        let filled = |seconds: f64| seconds.max(0.0) * limit.per_second;
        low = (low + filled(rested - JITTER)).min(most);
        high = (high + filled(rested + JITTER)).min(most);
        let (sure, never) = (low > NEARLY, high < NEARLY);
        match (answered, sure, never) {
            (true, true, _) => fit.answered += 1,
            (true, _, true) => fit.flaws += 1,
            (false, true, _) => fit.lost += 1,
            (false, _, true) => fit.refused += 1,
            _ => fit.open += 1,
        }
        if answered {
            (low, high) = ((low - 1.0).max(0.0), (high - 1.0).max(0.0));
        } else if sure {
            // Lost on the forward path, or the answer was on the return path.
            low = (low - 1.0).max(0.0);
        } else {
            high = high.min(1.0);
        }
        if -fit.cost() < floor {
            return None;
        }
    }
    Some(fit)
}
