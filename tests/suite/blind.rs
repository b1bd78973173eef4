//! A sample of `benches/blind`: sweeps by somebody who sees nothing of the probes show no hop, and hide none.

#[path = "../../benches/blind/attack.rs"]
mod attack;

use attack::{PROBES, Run, SWEEPS, TARGETS};
use rtrace::time::Span;
use rtrace::trace::Engine;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::wire::{Frame, LinkType};

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

/// A flood of errors that fit no probe is looked at by a few rounds, not by all that are kept, also if it is by somebody who
/// knows the port, whose errors fit the ports of each round.
#[test]
fn what_a_stray_costs_does_not_grow_with_the_rounds_that_are_kept() {
    const STRAYS: usize = 2_000;
    // UDP over both families, and as Paris over IPv6.
    for number in [0, 1, 3] {
        let run = Run { rewrite: "", ..Run::number(number, Some((0.01, 520))) };
        let quiet = run.outcome(false);
        let plan = Plan { interval: 0.01, rounds: Some(520), until: None };
        let mut engine = Rounds::passive(run.config.clone(), plan).unwrap();
        let mut last = None;
        for (number, (at, bytes)) in (1..).zip(&quiet.recorded) {
            engine.handle_frame(&frame(*at, bytes, number));
            last = Some(*at);
        }
        let mut at = last.unwrap();
        for knows_port in [false, true] {
            let before = engine.shown();
            for stray in (Run { knows_port, ..run.clone() }).forged(STRAYS) {
                at = at.after(Span::from_nanos(5_000));
                engine.handle_frame(&frame(at, &stray, 0));
            }
            let shown = usize::try_from(engine.shown() - before).unwrap();
            assert!((STRAYS..=4 * STRAYS).contains(&shown), "{shown} {knows_port} {run:?}");
        }
    }
}

fn frame(at: rtrace::time::Timestamp, bytes: &[u8], number: u64) -> Frame<'_> {
    Frame { number, ..Frame::whole(at, LinkType::Raw, bytes) }
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

/// IP-IDs that a router rewrites leave too little of UDP to be sure: that is believed until somebody sweeps ports, and a
/// replay stops believing it at the same frame.
#[test]
fn a_replay_gives_up_rewritten_quotes_where_the_run_did() {
    let rewrite = "rewrite = { id = 77 }";
    for (rounds, rate) in [(None, 20_000), (None, 5_000), (Some((0.05, 8)), 500)] {
        // UDP over IPv4, and a sweep of source ports.
        let run = Run { rewrite, rate, ..Run::number(0, rounds) };
        assert!(run.config.target.is_ipv4() && run.sweep == attack::Sweep::SourcePort);
        let (forged, lost, live) = run.flaws();
        assert!(live.withdrawn && forged == 0, "{rounds:?} {forged}");
        assert!(
            lost > 0 && live.shown.iter().any(|it| it.1.hop_ttl() > Some(2)),
            "{rounds:?} {lost} {live:?}"
        );
        let again = run.replayed(&live.recorded);
        assert_eq!((again.shown, again.withdrawn), (live.shown, true), "{rounds:?}");
        assert_eq!(again.recorded.len(), live.recorded.len(), "{rounds:?}");
    }
}
