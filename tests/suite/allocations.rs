//! Once a tracer is built, neither frames nor deadlines nor decisions allocate. The counts are those that
//! `cargo bench --bench hot` and `--bench hop_memory` print.

use rtrace::probe::ProbeType;
use rtrace::trace::{ProbeSelector, TraceConfig, Tracer};

#[path = "../../benches/shared/counting.rs"]
mod counting;
#[path = "../../benches/hot/steady.rs"]
mod steady;
#[path = "../../benches/hop_memory/watched.rs"]
mod watched;

#[test]
fn nothing_is_allocated_once_a_tracer_is_built() {
    let tallies = steady::tallies().0;
    let paths: Vec<&str> = tallies.keys().copied().collect();
    let expected = [
        "correlate further reply",
        "correlate own probe",
        "correlate reply",
        "correlate reply with extension",
        "correlate unrelated",
        "craft",
        "deadline",
        "decode",
        "event",
        "schedule",
    ];
    assert_eq!(paths, expected);
    for (path, tally) in tallies {
        assert!(tally.times > 200, "{path}: {tally:?}");
        let allowed = steady::ALLOWED.contains(&path);
        assert!(allowed || tally.allocations == 0, "{path}: {tally:?}");
    }
}

/// The widest traces that may be asked for or watched do not have room made for all of them.
#[test]
fn what_is_reserved_has_a_bound() {
    let most = TraceConfig {
        max_ttl: 255,
        queries: 1_000,
        in_flight: u16::MAX,
        ..steady::config(steady::TARGETS[0], ProbeType::Udp)
    };
    let watched = TraceConfig { queries: u16::MAX, ..most.clone() };
    let asked = steady::built(|| Tracer::new(most).unwrap());
    let watching = steady::built(|| Tracer::passive(watched, ProbeSelector::One).unwrap());
    assert!(asked < 1_200_000 && watching < 1_200_000, "{asked} and {watching} bytes");
}

/// What a hop more on the path keeps on the heap, at one probe a second and whatever the number of rounds. Times that vary take more room:
/// they are kept to the nanosecond where limits are told by them, and else to 100 ns.
#[test]
fn what_a_watched_hop_keeps_has_a_bound() {
    for (noise, bound) in [(false, 2_048), (true, 4_700)] {
        let [few, many] = [10, 30].map(|hops| watched::kept(hops, 600, noise));
        let all = |kept: watched::Kept| kept.rounds + kept.table.max(kept.most);
        let each = (all(many) - all(few)) / 20;
        assert!(each <= bound, "{each} bytes, noise: {noise}");
    }
}
