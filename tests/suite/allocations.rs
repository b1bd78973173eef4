//! Once a tracer is built, neither frames nor deadlines nor decisions allocate. The counts are those that
//! `cargo bench --bench hot` prints.

use rtrace::probe::ProbeType;
use rtrace::trace::{ProbeSelector, TraceConfig, Tracer};

#[path = "../../benches/shared/counting.rs"]
#[expect(dead_code, reason = "the live bytes are for a bench")]
mod counting;
#[path = "../../benches/hot/steady.rs"]
mod steady;

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
