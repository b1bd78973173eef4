//! Finds the round of a captured probe from its bytes.
//!
//! A configuration ([`TraceConfig::round`]) gives every round as many probe numbers as it may have probes. The part
//! of a number that a datagram shows fits many rounds, hundreds apart ([`serial`]). The probe is taken for the round
//! nearest to the last captured one or, if none near it fits, for the round that is due by then. So a round is found
//! whichever of its probes are missing, and after any number of rounds of which no probe was captured.

use super::super::config::TraceConfig;
use crate::probe::serial::{self, Remainder};
use crate::time::{Span, Timestamp};
use crate::wire::ip::IpHeader;

/// The number of rounds around the last captured one that are tried first, and that may follow the rounds that fit
/// into the time without a capture.
const GAP: u64 = 64;
/// The most rounds in a row without a captured probe.
pub(super) const LONGEST_GAP: u64 = 32_768;
/// Numbers that are tried on either side of the expected one.
const TRIES: u64 = 64;

/// Decides which round a probe belongs to.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// The configuration that the probes were sent with.
    config: TraceConfig,
    /// The time from the beginning of a round to that of the next.
    interval: Span,
    /// When the last probe of any round was captured.
    last_probe: Option<Timestamp>,
}

impl Numbers {
    /// For a trace that is repeated every `interval` seconds.
    pub(super) fn of(config: TraceConfig, interval: f64) -> Self {
        Self { config, interval: Span::from_secs_f64(interval), last_probe: None }
    }

    /// Notes that the probes were sent with another configuration than the report has.
    pub(super) fn sent_by(&mut self, config: TraceConfig) {
        self.config = config;
    }

    /// Notes when a probe was captured whose round is known.
    pub(super) fn note_probe(&mut self, at: Timestamp) {
        self.last_probe = Some(at);
    }

    /// The round of a probe that was captured at `at`; `current` is the latest round with a captured probe. `None` if
    /// the probe belongs to no round near that one, or is not ours.
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

    /// The number of rounds that fit into the time since the last probe.
    fn passed(&self, at: Timestamp) -> u64 {
        // Before the first probe, nothing shows how long ago the last round was.
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
        let unmarked = serial::numbers(&spec, header, payload);
        let unmarked = unmarked.map(|shown| shown.around(place.min(probes), TRIES));
        let unmarked = unmarked.into_iter().flatten().filter(|number| *number < probes);
        // The first round has serial 0, and so does another one 2^32 serials later.
        let turn = middle.saturating_add(1 << 31) >> 32 << 32;
        let unmarked = unmarked.filter_map(|number| turn.checked_add(number));
        let numbers = later.into_iter().flatten().chain(unmarked);
        let fitting = numbers.filter_map(|number| {
            let round = Some(number / probes).filter(|round| (first..=last).contains(round))?;
            let spec = self.config.spec_in(round, u32::try_from(number % probes).ok()?);
            let fits = serial::fits(&spec, header, payload);
            // A host may change TTLs of outgoing probes; where it does not, they identify the round better.
            fits.then(|| (spec.ttl != header.ttl, number.abs_diff(middle), round))
        });
        fitting.min().map(|(.., round)| round)
    }
}

/// A search for a probe of one of the rounds from `first` to `last`, `expected` before others.
struct Search<'a> {
    expected: u64,
    first: u64,
    last: u64,
    header: &'a IpHeader,
    payload: &'a [u8],
}

/// The numbers near `middle`, counted through all rounds, whose serials leave this remainder.
fn around(serials: Remainder, middle: u64) -> impl Iterator<Item = u64> {
    let reach = TRIES * serials.modulus;
    // Serials have 32 bits: numbers that were skipped when they began again are counted.
    let turns = [middle.saturating_sub(reach) >> 32, middle.saturating_add(reach) >> 32];
    let turns = turns[0]..=turns[1];
    turns.flat_map(move |turn| {
        serials.plus((turn % serials.modulus) * ((1 << 32) % serials.modulus)).around(middle, TRIES)
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::probe::{Flow, FlowMode, ProbeType, craft};
    use crate::wire::ip;

    const ENDS: [[&str; 2]; 2] = [["192.0.2.2", "203.0.113.9"], ["2001:db8::2", "2001:db8::9"]];
    const TYPES: [ProbeType; 6] = [
        ProbeType::Udp,
        ProbeType::UdpFixed,
        ProbeType::IcmpEcho,
        ProbeType::TcpSyn,
        ProbeType::UdpLite,
        ProbeType::Protocol(253),
    ];

    fn configs() -> impl Iterator<Item = TraceConfig> {
        let typed = ENDS.into_iter().flat_map(|ends| TYPES.map(|probe| (ends, probe)));
        typed.flat_map(|(ends, probe)| {
            let [source, target] = ends.map(|address| address.parse::<IpAddr>().unwrap());
            let config = TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 });
            let modes = [FlowMode::Classic, FlowMode::Paris, FlowMode::Dublin];
            modes.map(|flow_mode| TraceConfig { flow_mode, ..config.clone() })
        })
    }

    /// The round that is found for probe `number` of round `round`, `after` seconds after the last probe of
    /// `current`.
    fn found(
        config: &TraceConfig,
        current: u64,
        after: f64,
        (round, number): (u64, u32),
    ) -> Option<u64> {
        let mut datagram = Vec::new();
        craft::craft(&config.spec_in(round, number), &mut datagram);
        let (header, payload) = ip::decode(&datagram).unwrap();
        let mut numbers = Numbers::of(config.clone(), 1.0);
        let then = Timestamp::from_nanos(1_700_000_000_000_000_000);
        numbers.note_probe(then);
        numbers.round_of(current, &header, payload, then.after(Span::from_secs_f64(after)))
    }

    /// This also holds where serials begin again, and where rounds have more probes than a field has values.
    #[test]
    fn a_round_near_the_last_is_found_by_any_of_its_probes() {
        for config in configs() {
            for (queries, max_ttl) in [(1, 1), (3, 30), (1_000, 255)] {
                let config = TraceConfig { max_ttl, queries, ..config.clone() };
                let last = config.scout_number();
                // There are more probes than lengths to distinguish them.
                if config.flow_mode == FlowMode::Dublin && queries == 1_000 {
                    continue;
                }
                let again = (1 << 32) / (u64::from(last) + 1);
                // The last serial and the first leave the same remainder, and a round of one probe has no other.
                let again = if last == 0 { 65_530 } else { again };
                for round in [0, 1, 63, 700, again, again + 1] {
                    for number in [0, last / 3, last] {
                        for current in [round.saturating_sub(2), round, round + 1] {
                            let found = found(&config, current, 0.5, (round, number));
                            assert_eq!(found, Some(round), "{current}, {number} of {config:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn after_an_outage_it_is_the_round_whose_turn_it_is() {
        for config in configs() {
            for (missing, after) in
                [(100, 99.0), (1_200, 1_200.7), (3_600, 3_590.0), (30_000, 30_010.0)]
            {
                let round = 5 + missing;
                assert_eq!(found(&config, 5, after, (round, 44)), Some(round), "{config:?}");
            }
            // The clock was set, or the machine slept: the next round is found all the same.
            for after in [-3_600.0, 3_600.0, 1e6] {
                assert_eq!(found(&config, 5, after, (6, 44)), Some(6), "{config:?}");
            }
        }
    }

    /// A recording says with which round it begins, whichever it is.
    #[test]
    fn numbers_out_of_all_bounds_are_nobodys() {
        for config in configs() {
            for current in [u64::MAX, u64::MAX / 90, 1 << 63] {
                let found = found(&config, current, 1e9, (3, 44));
                assert!(found.is_none_or(|round| round > 1 << 40), "{found:?}");
            }
        }
    }
}
