//! How many probes a trace sends and how long it takes, over a grid of simulated paths, beside traceroute's order over the
//! same paths: a sample of `benches/guard_grid`.

#[path = "../../benches/guard_grid/grid.rs"]
mod grid;

use grid::{Case, Shape, Summary, Tool, Twist, grid, mean, quantile, share};
use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{Event, Path};
use serde_json::Value;

use crate::support::{path_in, replay, run, scratch};

const RTTS: [i64; 5] = [2, 10, 40, 150, 600];

/// Every length, and of each round trip two paths.
fn every_length() -> Vec<Case> {
    grid(3..=28, &RTTS)
}

/// Some of them, with this twist.
fn some(twist: Twist) -> Vec<Case> {
    grid((3..=28).step_by(5), &RTTS[1..]).into_iter().map(|case| case.with(twist)).collect()
}

fn assert_right(it: &Summary) {
    assert!(it.wrong.is_empty(), "{:?}", it.wrong);
    assert!(share(&it.complete, |complete| *complete) >= 0.99, "the target's own answers");
}

#[test]
fn few_probes_are_wasted_and_few_round_trips() {
    let it = Summary::of(&every_length(), Tool::Scouting);
    assert_right(&it);
    let excess = mean(&it.excess);
    assert!(excess <= 4.0, "{excess}");
    assert!(quantile(&it.excess, 0.95) <= 20, "{:?}", it.excess);
    assert!(it.more.iter().all(|more| *more <= 12), "{:?}", it.more);
    let more = share(&it.more, |more| *more > 0);
    assert!(more <= 0.14, "{more}");
    // Beside 10 ms, of which the first 8 are for near targets.
    assert!(share(&it.round_trips, |round_trips| *round_trips <= 2.0) >= 0.99);
    assert!(it.ratio.iter().all(|ratio| *ratio <= 1.1), "{:?}", it.ratio);
}

#[test]
fn ten_hops_of_40_ms_and_one_long_link_anywhere_take_one_round_trip() {
    let ten = Case::plain(10, 40, Shape::Even).run(Tool::Scouting);
    assert!(ten.sent <= 33 && ten.time.secs_f64() <= 0.052, "{ten:?}");
    for link in 1..=7 {
        let seven = Case::plain(7, 600, Shape::Long(link)).run(Tool::Scouting);
        assert!(seven.sent <= 34 && seven.time.secs_f64() <= 0.65, "{link}: {seven:?}");
    }
}

/// The TTL with which the target answers stands in for the one that it quotes.
#[test]
fn replies_without_quotes_cost_hardly_any_more_probes() {
    let (plain, it) = (every_length(), every_length());
    let it: Vec<Case> = it.into_iter().map(|case| case.with(Twist::Sockets)).collect();
    let (plain, it) = (Summary::of(&plain, Tool::Scouting), Summary::of(&it, Tool::Scouting));
    assert_right(&it);
    assert_eq!(it.excess, plain.excess);
}

/// Flows, families, limits, and how the target answers make no difference.
#[test]
fn what_is_asked_with_makes_no_difference() {
    let plain = Summary::of(&some(Twist::Plain), Tool::Scouting);
    for twist in [Twist::Limited, Twist::Paris, Twist::Echo, Twist::Tcp, Twist::V6] {
        let it = Summary::of(&some(twist), Tool::Scouting);
        assert_right(&it);
        assert_eq!(it.excess, plain.excess, "{twist:?}");
    }
}

#[test]
fn silent_hops_cost_no_more_than_in_traceroute() {
    for twist in [Twist::SilentHops, Twist::SilentEnd] {
        let it = Summary::of(&some(twist), Tool::Scouting);
        assert_right(&it);
        assert!(it.more.iter().all(|more| *more <= 12), "{twist:?} {:?}", it.more);
        assert!(it.ratio.iter().all(|ratio| *ratio <= 1.12), "{twist:?} {:?}", it.ratio);
    }
}

#[test]
fn a_second_scout_does_for_the_first() {
    let it = Summary::of(&some(Twist::LostScout), Tool::Scouting);
    assert_right(&it);
    assert!(it.more.iter().all(|more| *more <= 12), "{:?}", it.more);
    let most = share(&it.round_trips, |round_trips| *round_trips <= 3.0);
    assert!(most >= 0.97, "{:?}", it.round_trips);
}

#[test]
fn one_query_of_each_hop_is_asked_with_few_more() {
    let it = Summary::of(&some(Twist::OneQuery), Tool::Scouting);
    assert_right(&it);
    // traceroute wastes 15 of them.
    assert!(it.excess.iter().all(|excess| *excess <= 14), "{:?}", it.excess);
    assert!(it.round_trips.iter().all(|round_trips| *round_trips <= 2.0), "{:?}", it.round_trips);
}

#[test]
fn a_silent_target_costs_three_seconds_and_every_hop_is_found() {
    for case in some(Twist::SilentTarget) {
        let it = case.run(Tool::Scouting);
        assert!(it.is_right, "{case:?}");
        let is_near = case.rtt.secs_f64() <= 0.1;
        assert!(!is_near || it.time.secs_f64() <= 3.3, "{case:?} {it:?}");
    }
}

/// Rounds after the first know how far the target is.
#[test]
fn later_rounds_send_what_is_needed() {
    for case in some(Twist::Plain) {
        let topology = Topology::parse(&case.topology(), "grid").unwrap();
        let config = case.config(&topology, Tool::Scouting);
        let plan = Plan { interval: 2.0, rounds: Some(3), until: None };
        let mut rounds = Rounds::new(config, plan).unwrap();
        let mut sent = Sent::default();
        driver::run(&mut rounds, &mut SimLink::new(topology), &mut sent).unwrap();
        assert_eq!(sent.0[1..], [3 * u64::from(case.hops); 2], "{case:?}");
    }
}

/// Counts the probes of each round.
#[derive(Default)]
struct Sent(Vec<u64>);

impl Observer for Sent {
    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        if event == Event::Ended {
            self.0.push(path.totals.sent);
        }
    }
}

/// Both scouts are queries of a target that no guess has reached; each keeps the TTL that it was sent with, live and in a
/// replay.
#[test]
fn scouts_count_as_queries_of_the_target() {
    for options in [&[][..], &["-I"], &["-T"]] {
        let dir = scratch();
        let (file, recording) = (path_in(&dir, "path.toml"), path_in(&dir, "a.pcapng"));
        std::fs::write(&file, Case::plain(15, 100, Shape::Long(11)).topology()).unwrap();
        let simulate = format!("--simulate={}", file.display());
        for form in ["json", "text", "csv", "ndjson"] {
            let common = [&simulate, "-n", "--format", form, "--pcap", recording.to_str().unwrap()];
            let live = run(&[options, &common, &["203.0.113.9"]].concat());
            let again = replay(&recording, &["-n", "--format", form]);
            assert_eq!((&again.stdout, again.status), (&live.stdout, live.status), "{options:?}");
            if form == "json" {
                let document: Value = serde_json::from_str(&live.stdout).unwrap();
                assert_eq!(sent_ttls(&document["hops"][14]), [15, 30, 30], "{options:?}");
                assert_eq!(document["totals"]["sent"], 45);
                assert!(document["scout"].is_null());
            }
            if form == "text" {
                let last = live.stdout.lines().last().unwrap();
                assert_eq!(last.matches(" ms").count(), 3, "{}", live.stdout);
            }
        }
    }
}

fn sent_ttls(hop: &Value) -> Vec<u64> {
    let probes = hop["probes"].as_array().unwrap().iter();
    probes.map(|probe| probe["sent_ttl"].as_u64().unwrap_or(hop["ttl"].as_u64().unwrap())).collect()
}
