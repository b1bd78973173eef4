//! What is sent at which moment, by what was shown until then.

use std::net::{IpAddr, Ipv4Addr};

use super::*;

fn config() -> TraceConfig {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    TraceConfig::new(localhost, localhost, 40_000)
}

fn key(datagram: &[u8]) -> ProbeKey {
    let (header, payload) = ip::decode(datagram).unwrap();
    ProbeKey::of(&header, payload).unwrap()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

const NOTHING: Shown = Shown {
    under_way: 0,
    waiting: 0,
    end: None,
    target: None,
    is_estimated: false,
    covered: 0,
    farthest: 0,
    largest_rtt: None,
    heard: Timestamp::from_nanos(i64::MAX),
};

/// A known distance to the target, and how many of its queries need no probe of their own.
fn target_at(hops: u8, covered: usize, shown: Shown) -> Shown {
    Shown { end: Some(hops), target: Some(hops), covered, ..shown }
}

/// Sends all that is due and takes it for captured; gives the TTLs.
fn burst(schedule: &mut Schedule, config: &TraceConfig, now: Timestamp, shown: &Shown) -> Vec<u8> {
    let mut ttls = Vec::new();
    while let Some(datagram) = schedule.next(config, now, shown).map(<[u8]>::to_vec) {
        ttls.push(ip::decode(&datagram).unwrap().0.ttl);
    }
    schedule.unconfirmed.clear();
    ttls
}

#[test]
fn at_most_so_many_are_under_way_and_pauses_are_kept() {
    let mut config = config();
    config.in_flight = 4;
    config.send_wait = 0.001;
    let mut schedule = Schedule::new(&config);
    let waiting = |under_way: usize| Shown { under_way, ..NOTHING };
    let first = key(schedule.next(&config, at(0), &NOTHING).unwrap());
    assert!(schedule.next(&config, at(0), &NOTHING).is_none(), "a pause of 1 ms");
    assert_eq!(schedule.wake_at(&config, at(0), &NOTHING), Some(at(1)));
    assert_eq!(schedule.wake_at(&config, at(0), &waiting(3)), Some(at(5_000)), "no room");
    assert!(schedule.next(&config, at(1), &waiting(2)).is_some());
    assert!(schedule.next(&config, at(2), &waiting(2)).is_none(), "two and two are in flight");
    schedule.note_left(first);
    assert!(schedule.next(&config, at(2), &waiting(2)).is_some());
    let ended = target_at(1, 0, NOTHING);
    assert!(schedule.next(&config, at(3), &ended).is_none(), "the last hop has its three");
    assert!(schedule.is_unsure(&config, 1));
    schedule.expire(&config, at(60_000));
    assert!(!schedule.is_unsure(&config, 1));
    assert!(!schedule.is_exhausted(&config, &NOTHING));
}

#[test]
fn no_more_is_tried_when_nothing_ever_leaves() {
    let config = config();
    let mut schedule = Schedule::new(&config);
    assert!(schedule.next(&config, Timestamp::default(), &NOTHING).is_some());
    schedule.expire(&config, Timestamp::from_nanos(5_000_000_000));
    assert!(schedule.is_exhausted(&config, &NOTHING));
}

/// Each of these TTLs three times in a row.
fn three_each(ttls: std::ops::RangeInclusive<u8>) -> Vec<u8> {
    ttls.flat_map(|ttl| [ttl; 3]).collect()
}

#[test]
fn a_near_target_gets_not_a_probe_too_many() {
    let config = config().scouting();
    let mut schedule = Schedule::new(&config);
    assert_eq!(burst(&mut schedule, &config, at(0), &NOTHING), [30, 1, 1]);
    let router = Shown { farthest: 1, largest_rtt: Some(Span::from_millis(1)), ..NOTHING };
    assert_eq!(burst(&mut schedule, &config, at(1), &router), [1, 2, 2]);
    let answered = target_at(4, 1, router);
    assert_eq!(burst(&mut schedule, &config, at(2), &answered), [3, 4, 3, 4, 2, 3]);
    assert!(schedule.is_exhausted(&config, &answered));
    assert_eq!(schedule.wake_at(&config, at(2), &answered), None);
}

#[test]
fn while_routers_answer_the_path_is_taken_to_go_on() {
    let config = config().scouting();
    let mut schedule = Schedule::new(&config);
    burst(&mut schedule, &config, at(0), &NOTHING);
    let rtt = Some(Span::from_millis(4));
    let router = Shown { farthest: 1, largest_rtt: rtt, waiting: 2, ..NOTHING };
    assert_eq!(burst(&mut schedule, &config, at(4), &router), [1, 2, 2]);
    assert_eq!(burst(&mut schedule, &config, at(7), &router), [0_u8; 0]);
    assert_eq!(schedule.wake_at(&config, at(7), &router), Some(at(8)));
    let sent = burst(&mut schedule, &config, at(8), &router);
    assert_eq!(sent, [vec![2], three_each(3..=10)].concat());
    // Beyond the floor, only as far as there is room.
    let further = Shown { farthest: 7, waiting: 9, ..router };
    let sent = burst(&mut schedule, &config, at(9), &further);
    assert_eq!(sent, [11], "a tenth probe");
}

#[test]
fn a_silent_next_hop_gets_a_second_scout_and_a_few_hops_more() {
    let config = config().scouting();
    let mut schedule = Schedule::new(&config);
    burst(&mut schedule, &config, at(0), &NOTHING);
    let sent = burst(&mut schedule, &config, at(8), &NOTHING);
    assert_eq!(sent, [vec![30, 1], three_each(2..=8)].concat());
    // That the first hop answers now does not make it go on faster.
    let rtt = Some(Span::from_millis(20));
    let router = Shown { farthest: 1, largest_rtt: rtt, waiting: 21, ..NOTHING };
    assert_eq!(burst(&mut schedule, &config, at(20), &router), [0_u8; 0]);
    let further = Shown { farthest: 5, waiting: 9, ..router };
    assert_eq!(burst(&mut schedule, &config, at(80), &further), [9, 9, 9, 10], "13 wait");
}

#[test]
fn after_so_long_a_silence_every_hop_is_asked() {
    let config = config().scouting();
    let mut schedule = Schedule::new(&config);
    let mut total = burst(&mut schedule, &config, at(0), &NOTHING).len();
    total += burst(&mut schedule, &config, at(8), &NOTHING).len();
    let waiting = Shown { waiting: 24, ..NOTHING };
    assert_eq!(schedule.wake_at(&config, at(9), &waiting), Some(at(800)));
    assert!(!schedule.is_exhausted(&config, &waiting));
    total += burst(&mut schedule, &config, at(800), &waiting).len();
    assert_eq!(total, 90, "the scout is one of the last hop's three");
    assert!(schedule.is_exhausted(&config, &waiting));
}

#[test]
fn a_target_taken_to_be_so_far_away_is_asked_and_nothing_beyond() {
    let config = config().scouting();
    let mut schedule = Schedule::new(&config);
    burst(&mut schedule, &config, at(0), &NOTHING);
    let supposed = Shown { target: Some(4), covered: 1, ..NOTHING };
    let sent = burst(&mut schedule, &config, at(1), &supposed);
    assert_eq!(sent, [2, 3, 4, 2, 3, 4, 1, 2, 3]);
    assert_eq!(burst(&mut schedule, &config, at(100), &supposed), [0_u8; 0]);
    // It was not there.
    let router = Shown { farthest: 4, ..NOTHING };
    assert_eq!(burst(&mut schedule, &config, at(101), &router)[..3], [4, 5, 5]);
}

#[test]
fn probes_past_the_target_are_queries_of_it() {
    let config = config().scouting();
    let mut schedule = Schedule::new(&config);
    burst(&mut schedule, &config, at(0), &NOTHING);
    let sent = burst(&mut schedule, &config, at(1), &target_at(2, 3, NOTHING));
    assert_eq!(sent, [2, 1], "one of its own");
    // Those that are still leaving count, too.
    let mut schedule = Schedule::new(&config);
    burst(&mut schedule, &config, at(0), &NOTHING);
    while schedule.next(&config, at(8), &NOTHING).is_some() {}
    assert!(schedule.is_exhausted(&config, &target_at(8, 1, NOTHING)));
}

#[test]
fn one_query_needs_no_second_scout() {
    let config = TraceConfig { queries: 1, ..config().scouting() };
    let mut schedule = Schedule::new(&config);
    assert_eq!(burst(&mut schedule, &config, at(0), &NOTHING), [30, 1]);
    let sent = burst(&mut schedule, &config, at(8), &NOTHING);
    assert_eq!(sent, (2..=14).collect::<Vec<u8>>());
}
