//! The scout on real routers: no probe too many, and every query answered at Linux's own ICMP limits.

use super::lab::{Lab, TARGET, trace};
use super::text::{Hop, hops};

#[test]
fn no_probe_goes_past_a_near_target() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let before = lab.frames_sent("eth0");
    let report = hops(&trace(&mut lab.rtrace(["-n", TARGET])));
    assert_eq!(report.iter().map(Hop::answered).collect::<Vec<_>>(), [3; 11]);
    // Asking the neighbour for its address may take a frame or two.
    let sent = lab.frames_sent("eth0") - before;
    assert!((33..=35).contains(&sent), "{sent} frames");
}

/// The second router answers as an untouched Linux does: six at once to one peer, then one a second.
#[test]
fn a_router_at_its_default_limits_answers_all_three() {
    let Some(lab) = Lab::up("rate-limited") else { return };
    let report = hops(&trace(&mut lab.rtrace(["-n", TARGET])));
    assert_eq!(report.iter().map(Hop::answered).collect::<Vec<_>>(), [3; 4], "{report:?}");
}
