//! Which round a captured probe is of, by its own bytes.
//!
//! Numbers are as a trace is configured ([`TraceConfig::round`]): every round has as many for itself as it may have probes. What a
//! datagram shows of its number fits many rounds, hundreds apart ([`serial`]). It is of the one that is nearest to the last of
//! which a probe was captured or, if none near it fits, to the one whose turn it is by then. So a round is found whichever of
//! its probes are missing, and for how long nothing left says how many rounds are missing.

use super::super::config::TraceConfig;
use crate::probe::serial::{self, Remainder};
use crate::time::{Span, Timestamp};
use crate::wire::ip::IpHeader;

/// Rounds this near to the last are looked at first, and so many may follow those that fit into the time in which nothing
/// was captured.
const GAP: u64 = 64;
/// How many rounds in a row may be missing at most.
pub(super) const LONGEST_GAP: u64 = 32_768;
/// Numbers looked at on either side of the expected one.
const TRIES: u64 = 64;

/// What decides which round a probe is of.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// As the probes were sent.
    config: TraceConfig,
    /// From round to round.
    interval: Span,
    /// When the last probe of any round was captured.
    last_probe: Option<Timestamp>,
}

impl Numbers {
    /// Of a trace that is repeated after so many seconds.
    pub(super) fn of(config: TraceConfig, interval: f64) -> Self {
        Self { config, interval: Span::from_secs_f64(interval), last_probe: None }
    }

    /// The probes were sent by another configuration than that by which they are reported.
    pub(super) fn sent_by(&mut self, config: TraceConfig) {
        self.config = config;
    }

    /// A probe was captured, whose round is known.
    pub(super) fn note_probe(&mut self, at: Timestamp) {
        self.last_probe = Some(at);
    }

    /// The round of a probe that was captured at `at`; `current` is the latest of which one was captured. `None` if it is of
    /// no round near that one, or none of ours.
    pub(super) fn round_of(
        &self,
        current: u64,
        header: &IpHeader,
        payload: &[u8],
        at: Timestamp,
    ) -> Option<u64> {
        let found = |expected, first, last| {
            self.nearest(&Search { expected, first, last, header, payload })
        };
        let (before, after) = (current.saturating_sub(GAP), current.saturating_add(GAP));
        found(current, before, after).or_else(|| {
            let passed = self.passed(at);
            let last = current.saturating_add(passed.saturating_add(GAP).min(LONGEST_GAP));
            found(current.saturating_add(passed), current, last)
        })
    }

    /// How many rounds fit into the time since the last probe.
    fn passed(&self, at: Timestamp) -> u64 {
        // Until there was one, nothing says how long ago that may be.
        let Some(last) = self.last_probe else { return LONGEST_GAP };
        let (quiet, interval) = (at.since(last).nanos().max(0), self.interval.nanos().max(1));
        u64::try_from(quiet / interval).unwrap_or_default().min(LONGEST_GAP)
    }

    fn nearest(&self, search: &Search<'_>) -> Option<u64> {
        let Search { expected, first, last, header, payload } = *search;
        let probes = u64::from(self.config.scout_number()) + 1;
        let hop = header.ttl.saturating_sub(self.config.first_ttl);
        let place = u64::from(hop) * u64::from(self.config.queries);
        let middle = expected.saturating_mul(probes).saturating_add(place);
        let spec = self.config.spec_in(0, 0);
        let later = serial::serials(&spec, header, payload).map(|shown| around(shown, middle));
        let unmarked = serial::numbers(&spec, header, payload).filter(|_| first == 0);
        let unmarked = unmarked.map(|shown| shown.around(place.min(probes), TRIES));
        let unmarked = unmarked.into_iter().flatten().filter(|number| *number < probes);
        let numbers = later.into_iter().flatten().chain(unmarked);
        let fitting = numbers.filter_map(|number| {
            let round = Some(number / probes).filter(|round| (first..=last).contains(round))?;
            let spec = self.config.spec_in(round, u32::try_from(number % probes).ok()?);
            let fits = serial::fits(&spec, header, payload);
            // A host may change TTLs on their way out; where it does not they tell more.
            fits.then(|| (spec.ttl != header.ttl, number.abs_diff(middle), round))
        });
        fitting.min().map(|(.., round)| round)
    }
}

/// A probe of one of the rounds from `first` to `last`, `expected` before others.
struct Search<'a> {
    expected: u64,
    first: u64,
    last: u64,
    header: &'a IpHeader,
    payload: &'a [u8],
}

/// The numbers around `middle`, counted through all rounds, whose serials have this remainder.
fn around(serials: Remainder, middle: u64) -> impl Iterator<Item = u64> {
    let reach = TRIES * serials.modulus;
    // Serials have 32 bits: what was left out when they began again counts.
    let turns = [middle.saturating_sub(reach) >> 32, middle.saturating_add(reach) >> 32];
    let turns = turns[0]..=turns[1];
    turns.flat_map(move |turn| {
        serials.plus((turn % serials.modulus) * ((1 << 32) % serials.modulus)).around(middle, TRIES)
    })
}
