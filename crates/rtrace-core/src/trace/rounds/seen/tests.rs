//! The index finds the round that would be found if all rounds were asked.

use std::net::IpAddr;

use super::super::{Plan, Rounds};
use super::*;
use crate::probe::{Flow, FlowMode, ProbeType, Secret, craft};
use crate::time::{Span, Timestamp};
use crate::trace::{Engine, Packet};
use crate::wire::LinkType;
use crate::wire::checksum::{checksum, plus, transport};

const ENDS: [[&str; 2]; 2] = [["192.0.2.2", "203.0.113.9"], ["2001:db8::2", "2001:db8::9"]];
const KINDS: [(ProbeType, FlowMode); 8] = [
    (ProbeType::Udp, FlowMode::Classic),
    (ProbeType::Udp, FlowMode::Paris),
    (ProbeType::Udp, FlowMode::Dublin),
    (ProbeType::UdpFixed, FlowMode::Classic),
    (ProbeType::IcmpEcho, FlowMode::Classic),
    (ProbeType::IcmpEcho, FlowMode::Paris),
    (ProbeType::TcpSyn, FlowMode::Classic),
    (ProbeType::Protocol(253), FlowMode::Classic),
];
/// The number of rounds that are kept, and of the probes of each.
const KEPT: u64 = 20;
const PROBES: u32 = 5;

fn config(ends: [&str; 2], (probe, flow_mode): (ProbeType, FlowMode), secret: bool) -> TraceConfig {
    let [source, target] = ends.map(|it| it.parse::<IpAddr>().unwrap());
    let ident = if let ProbeType::Protocol(_) = probe { 0 } else { 40_000 };
    let flow = Flow { source, target, probe, ident };
    let config = TraceConfig { flow_mode, ..TraceConfig::of_flow(&flow) };
    let secret = secret.then(|| Secret::new(0x1234_5678_9abc_def0));
    TraceConfig { queries: 1, max_ttl: 5, first_id: 9_000, secret, ..config }
}

/// The frame with this number and these bytes. Each is stamped a millisecond after the one before.
fn frame(number: u64, bytes: &[u8]) -> Frame<'_> {
    let millis = i64::try_from(number).unwrap();
    let at = Timestamp::from_nanos(1_700_000_000_000_000_000).after(Span::from_millis(millis));
    Frame { number, ..Frame::whole(at, LinkType::Raw, bytes) }
}

/// Like [`Seen::take_other`], but asks every round, and first the one of which a probe is quoted unchanged.
fn ask_all(seen: &mut Seen, frame: &Frame<'_>) -> (Disposition, Option<usize>) {
    let datagram = Datagram::of(frame).unwrap();
    let over = seen.over.iter().map(|over| &over.round);
    let mut rounds = std::iter::once(&seen.current).chain(over);
    let quoted = rounds.position(|round| round.is_quoted_in(&datagram));
    if let Some(ago) = quoted.and_then(|at| at.checked_sub(1)) {
        let round = &mut seen.over[ago].round;
        return (round.take_late_reply(&mut seen.current, frame, &datagram), Some(ago));
    }
    let current = seen.current.take_datagram(frame, Some(&datagram));
    if current.has_found_a_probe() {
        return (current, None);
    }
    for (ago, over) in seen.over.iter_mut().enumerate() {
        let late = over.round.take_late_reply(&mut seen.current, frame, &datagram);
        if late.has_found_a_probe() {
            return (late, Some(ago));
        }
    }
    seen.current.count_unmatched(current);
    (current, None)
}

/// Changes a probe as a path may; `translation` makes the same change every time.
fn rewrite(probe: &mut Vec<u8>, config: &TraceConfig, rng: &mut fastrand::Rng, translation: u16) {
    let (v4, protocol) = (config.target.is_ipv4(), config.flow().protocol());
    let head = usize::from(craft::ip_header_len(config.flow().family()));
    let sum_at = if config.probe == ProbeType::IcmpEcho { head + 2 } else { head + 6 };
    let put = |probe: &mut Vec<u8>, at: usize, value: u16| {
        probe[at..at + 2].copy_from_slice(&value.to_be_bytes());
    };
    let summed = matches!(
        config.probe,
        ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite | ProbeType::IcmpEcho
    );
    let is = u16::from_be_bytes([probe[sum_at], probe[sum_at + 1]]);
    match rng.u8(..8) {
        0 => put(probe, head, translation),
        1 if v4 => put(probe, 4, rng.u16(1..)),
        2 => put(probe, head + 2, rng.u16(..)),
        3 if summed => put(probe, sum_at, rng.u16(..)),
        4 if summed => put(probe, sum_at, plus(is, translation)),
        // A translation of address and port that adjusts the checksum.
        5 | 6 if summed => {
            probe[if v4 { 15 } else { 23 }] = 99;
            let port = if config.probe == ProbeType::IcmpEcho { head + 4 } else { head };
            put(probe, port, translation);
            put(probe, sum_at, 0);
            let source: IpAddr = if v4 {
                <[u8; 4]>::try_from(&probe[12..16]).unwrap().into()
            } else {
                <[u8; 16]>::try_from(&probe[8..24]).unwrap().into()
            };
            let body = &probe[head..];
            let sum = match protocol {
                crate::wire::ipv4::ICMP => checksum(body),
                _ => transport(source, config.target, protocol, body),
            };
            put(probe, sum_at, if sum == 0 { 0xffff } else { sum });
        }
        _ => {}
    }
    if rng.bool() {
        probe.truncate(head + 8);
    }
}

/// An error about a probe, or an answer to its port.
fn reply(probe: &[u8], config: &TraceConfig, rng: &mut fastrand::Rng) -> Vec<u8> {
    let v4 = config.target.is_ipv4();
    let answer = config.probe == ProbeType::Udp && rng.u8(..8) == 0;
    let head = usize::from(craft::ip_header_len(config.flow().family()));
    let body = if answer {
        let port = |at: usize| [probe[head + at], probe[head + at + 1]];
        [&port(2)[..], &port(0), &[0, 12, 0, 0], b"data"].concat()
    } else {
        let mut message = [&[if v4 { 11 } else { 3 }, 0, 0, 0, 0, 0, 0, 0], probe].concat();
        let sum = match (v4, config.target, config.source) {
            (true, ..) => checksum(&message),
            (false, from, to) => transport(from, to, crate::wire::ipv6::ICMPV6, &message),
        };
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    };
    let len = u16::try_from(body.len()).unwrap();
    let header = match (config.target, config.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let protocol = if answer { 17 } else { 1 };
            let [high, low] = (20 + len).to_be_bytes();
            let mut header = vec![0x45, 0, high, low, 0, 1, 0, 0, 60, protocol, 0, 0];
            header.extend([from.octets(), to.octets()].concat());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let protocol = if answer { 17 } else { 58 };
            let [high, low] = len.to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, high, low, protocol, 60];
            header.extend([from.octets(), to.octets()].concat());
            header
        }
        _ => unreachable!(),
    };
    [header, body].concat()
}

/// This holds whatever a translation made of the probes of any round, and whether errors that fit no probe have
/// withdrawn such readings.
#[test]
fn the_round_is_that_which_is_found_if_all_are_asked() {
    let mut late = 0;
    let strict = ENDS.into_iter().flat_map(|ends| KINDS.map(|kind| config(ends, kind, true)));
    let lenient = ENDS.map(|ends| config(ends, KINDS[0], false));
    for (seed, config) in (0..).zip(strict.chain(lenient)) {
        let plan = Plan { interval: config.wait.max / 20.0, rounds: None, until: None };
        let mut rounds = Rounds::passive(config.clone(), plan).unwrap();
        assert_eq!(rounds.seen.kept, usize::try_from(KEPT).unwrap());
        let (mut rng, mut probe) = (fastrand::Rng::with_seed(seed), Vec::new());
        let translation = rng.u16(1_024..);
        let (mut number, mut all) = (0, rounds.clone());
        for round in 0..2 * KEPT {
            for query in 0..PROBES {
                craft::craft(&config.spec_in(round, query), &mut probe);
                number += 1;
                let frame = frame(number, &probe);
                let disposition = rounds.handle_frame(&frame);
                assert_eq!(all.handle_frame(&frame), disposition);
                assert!(matches!(disposition, Disposition::OwnProbe(_)), "{config:?} {round}");
            }
            // There are more of them once other rounds are kept.
            for _ in 0..if round < KEPT { 1 } else { 4 } {
                let of = (round - rng.u64(..=round.min(KEPT + 2))).max(1);
                craft::craft(&config.spec_in(of, rng.u32(..PROBES)), &mut probe);
                rewrite(&mut probe, &config, &mut rng, translation);
                let bytes = reply(&probe, &config, &mut rng);
                number += 1;
                let frame = frame(number, &bytes);
                let (expected, ago) = ask_all(&mut all.seen, &frame);
                let found = rounds.handle_packet(&Packet::of(&frame));
                assert_eq!(found, (expected, all.seen.path(ago)), "{seed} {of} of {round}");
                late += u64::from(ago.is_some());
            }
        }
    }
    assert!(late > 500, "{late}");
}
