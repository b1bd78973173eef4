//! A sample of `benches/blind`: sweeps by somebody who sees nothing of the probes show no hop, and hide none.

#[path = "../../benches/blind/attack.rs"]
mod attack;

use attack::{PROBES, Run, SWEEPS, TARGETS};

/// Every type of probe in both families under every sweep.
const COMBINATIONS: u64 = (PROBES.len() * SWEEPS.len() * TARGETS.len()) as u64;

#[test]
fn traces_under_sweeps_show_what_they_show_without() {
    let mut withdrawn = 0;
    for number in 0..COMBINATIONS {
        let run = Run { rate: 50_000, ..Run::number(number, None) };
        let (forged, lost, outcome) = run.flaws();
        withdrawn += u64::from(outcome.withdrawn);
        assert!(outcome.frames > 500, "{} {run:?}", outcome.frames);
        assert_eq!((forged, lost), (0, 0), "{run:?}");
        assert!(outcome.shown.len() >= 24, "{run:?}");
    }
    // Who sweeps anything else with one wrong source port has no chance, and is no reason to believe less.
    assert!((COMBINATIONS / 4..COMBINATIONS).contains(&withdrawn), "{withdrawn}");
}

/// Rounds whose late replies overlap with those after them.
#[test]
fn so_do_watches() {
    for number in (0..COMBINATIONS).step_by(7) {
        let run = Run { rate: 5_000, ..Run::number(number, Some((0.02, 12))) };
        let (forged, lost, outcome) = run.flaws();
        assert!(outcome.frames > 1_000, "{} {run:?}", outcome.frames);
        assert_eq!((forged, lost), (0, 0), "{run:?}");
    }
}

/// What the attack comes to where nothing of the probes is secret but port and IP-ID, as it was once.
#[test]
fn without_a_secret_forged_hops_show() {
    // UDP to one port over IPv4, and a sweep of IP-IDs.
    let mut run = Run { rate: 3_000_000, ..Run::number(24, None) };
    assert!(run.config.target.is_ipv4() && run.sweep == attack::Sweep::Id);
    run.config.secret = None;
    assert!(run.flaws().0 > 0);
}
