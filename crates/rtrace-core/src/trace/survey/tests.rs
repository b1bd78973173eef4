use super::*;
use crate::probe::FlowMode;
use crate::probe::craft::{self, ProbeSpec};
use crate::trace::{Engine, Tracer};
use crate::wire::LinkType;
use crate::wire::checksum::checksum;

const SOURCE: [u8; 4] = [10, 0, 0, 1];
const TARGET: [u8; 4] = [203, 0, 113, 9];

/// A datagram as some tool would send it, and when, in milliseconds.
#[derive(Clone, Copy)]
struct Sent {
    at: i64,
    probe: ProbeType,
    source: [u8; 4],
    target: [u8; 4],
    ident: u16,
    port: u16,
    number: u32,
    ttl: u8,
}

const UDP: Sent = Sent {
    at: 0,
    probe: ProbeType::Udp,
    source: SOURCE,
    target: TARGET,
    ident: 40_000,
    port: 33_434,
    number: 0,
    ttl: 1,
};

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let (source, target) = (self.source.into(), self.target.into());
        let flow = Flow { source, target, probe: self.probe, ident: self.ident };
        let mut bytes = Vec::new();
        let spec = ProbeSpec {
            flow,
            mode: FlowMode::Classic,
            number: self.number,
            serial: self.number,
            ttl: self.ttl,
            tos: 0,
            dont_fragment: false,
            flow_label: 0,
            len: 60,
            first_port: self.port,
            flow_number: 0,
            first_id: self.ident,
            key: None,
            evidence: crate::wire::Evidence::Captured,
        };
        craft::craft(&spec, &mut bytes);
        bytes
    }
}

/// The time exceeded with which a router answers `probe`.
fn expired(probe: &[u8]) -> Vec<u8> {
    let mut icmp = vec![11, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend_from_slice(probe);
    let sum = checksum(&icmp).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    let mut head = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 60, 1, 0, 0, 10, 9, 9, 9];
    head.extend(SOURCE);
    let len = u16::try_from(head.len() + icmp.len()).unwrap().to_be_bytes();
    head[2..4].copy_from_slice(&len);
    let sum = checksum(&head).to_be_bytes();
    head[10..12].copy_from_slice(&sum);
    [head, icmp].concat()
}

fn with_frames(frames: &[(i64, Vec<u8>)], mut take: impl FnMut(&Frame<'_>)) {
    for (number, (at, bytes)) in (1..).zip(frames) {
        let at = Timestamp::from_nanos(at * 1_000_000);
        take(&Frame { number, ..Frame::whole(at, LinkType::Raw, bytes) });
    }
}

fn survey(frames: &[(i64, Vec<u8>)]) -> Vec<Found> {
    let mut survey = Survey::new();
    with_frames(frames, |frame| survey.handle_frame(frame));
    survey.traces()
}

fn traces(sent: impl IntoIterator<Item = Sent>) -> Vec<(usize, u16, u16)> {
    let frames: Vec<_> = sent.into_iter().map(|it| (it.at, it.bytes())).collect();
    let found = survey(&frames);
    found.iter().map(|it| (it.probes, it.config.queries, it.config.first_port)).collect()
}

/// Twelve probes, three per TTL, each `gap` ms after the other, as `shape` has them.
fn twelve(start: i64, gap: i64, shape: impl Fn(u16) -> Sent) -> Vec<Sent> {
    (0..12_u16)
        .map(|n| Sent {
            at: start + i64::from(n) * gap,
            ttl: u8::try_from(1 + n / 3).unwrap(),
            ..shape(n)
        })
        .collect()
}

fn in_order(mut sent: Vec<Sent>) -> Vec<Sent> {
    sent.sort_by_key(|it| it.at);
    sent
}

#[test]
fn plain_traffic_is_not_a_trace() {
    let each: [(&str, Vec<Sent>); 9] = [
        ("ping", repeat(Sent { probe: ProbeType::IcmpEcho, ttl: 64, ..UDP })),
        ("DNS", repeat(Sent { port: 53, ttl: 64, ..UDP })),
        ("high UDP ports", repeat(Sent { port: 40_000, ttl: 64, ..UDP })),
        ("web", repeat(Sent { probe: ProbeType::TcpSyn, port: 443, ttl: 64, ..UDP })),
        ("mDNS", repeat(Sent { target: [224, 0, 0, 251], port: 5_353, ..UDP })),
        ("SSDP", repeat(Sent { target: [239, 255, 255, 250], port: 40_000, ..UDP })),
        ("BGP", repeat(Sent { probe: ProbeType::TcpSyn, port: 179, ..UDP })),
        ("OSPF", repeat(Sent { probe: ProbeType::Protocol(89), ..UDP })),
        ("QUIC from afar", repeat(Sent { port: 51_234, ident: 443, ttl: 25, ..UDP })),
    ];
    for (what, sent) in &each {
        assert_eq!(traces(sent.iter().copied()), [], "{what}");
    }
    let flapping = |n: u8| Sent { number: n.into(), ttl: 28 + n % 2, ..each[3].1[0] };
    assert_eq!(traces((0..20).map(flapping)), [], "connections over two ways from afar");
    assert_eq!(traces(each.into_iter().flat_map(|(_, sent)| sent)), [], "all together");
}

/// A tool's probes by their numbers from 0.
type Shape = Box<dyn Fn(u16) -> Sent>;

fn repeat(sent: Sent) -> Vec<Sent> {
    (0..20_u32).map(|n| Sent { at: i64::from(n) * 10, number: n, ..sent }).collect()
}

#[test]
fn each_way_of_numbering_is_one_trace() {
    let syn = Sent { probe: ProbeType::TcpSyn, port: 80, ..UDP };
    let scattered = |n: u16| 32_768 + n.wrapping_mul(7_919) % 28_000;
    let shapes: [(&str, Shape, u16); 6] = [
        ("one socket", Box::new(|n| Sent { port: 33_434 + n, ..UDP }), 33_434),
        (
            "a socket and a port per probe",
            Box::new(move |n| Sent { port: 33_434 + n, ident: scattered(n), ..UDP }),
            33_434,
        ),
        (
            "a socket per probe, one port",
            Box::new(move |n| Sent { port: 53, ident: scattered(n), ..UDP }),
            53,
        ),
        ("SYNs", Box::new(move |n| Sent { ident: scattered(n), ..syn }), 80),
        ("SYNs from ports that count", Box::new(move |n| Sent { ident: 33_000 + n, ..syn }), 80),
        (
            "echo",
            Box::new(|n| Sent { probe: ProbeType::IcmpEcho, number: n.into(), ..UDP }),
            33_434,
        ),
    ];
    for (what, shape, port) in &shapes {
        assert_eq!(traces(twelve(0, 1, shape)), [(12, 3, *port)], "{what}");
        // One after the other, with sockets that may be the same again.
        let later = |n| match shape(n) {
            syn if syn.probe == ProbeType::TcpSyn => Sent { number: 99, ..syn },
            other => other,
        };
        let again = [twelve(0, 1, shape), twelve(40_000, 1, later)].concat();
        assert_eq!(traces(again), [(12, 3, *port); 2], "{what}, twice");
    }
    // All at once.
    let at_once = shapes.iter().enumerate().flat_map(|(index, (_, shape, _))| {
        let own_socket =
            |n| Sent { ident: shape(n).ident + u16::try_from(index).unwrap(), ..shape(n) };
        twelve(i64::try_from(index).unwrap(), 9, own_socket)
    });
    let mut found = traces(in_order(at_once.collect()));
    found.sort_unstable();
    let expected: Vec<_> = [53, 80, 80, 33_434, 33_434, 33_434].map(|port| (12, 3, port)).into();
    assert_eq!(found, expected);
}

#[test]
fn traces_of_one_kind_at_once_are_told_apart() {
    let linux = |seed: u16| {
        move |n: u16| Sent {
            port: 33_434 + n,
            ident: 32_768 + n.wrapping_mul(7_919).wrapping_add(seed) % 28_000,
            ..UDP
        }
    };
    let syn =
        |seed: u16| move |n: u16| Sent { port: 80, probe: ProbeType::TcpSyn, ..linux(seed)(n) };
    for lead in [1, 40, 75] {
        let udp = [twelve(0, 10, linux(3)), twelve(lead, 10, linux(5_003))].concat();
        assert_eq!(traces(in_order(udp)), [(12, 3, 33_434); 2], "UDP, {lead} ms apart");
    }
    for lead in [35, 65] {
        let tcp = [twelve(0, 10, syn(3)), twelve(lead, 10, syn(5_003))].concat();
        assert_eq!(traces(in_order(tcp)), [(12, 3, 80); 2], "SYN, {lead} ms apart");
    }
}

/// Which traces are of the run of which others, by their places.
fn same_runs(sent: impl IntoIterator<Item = Sent>) -> Vec<Vec<usize>> {
    let frames: Vec<_> = sent.into_iter().map(|it| (it.at, it.bytes())).collect();
    survey(&frames).into_iter().map(|it| it.same_run).collect()
}

#[test]
fn traces_of_one_run_over_several_uplinks_know_of_each_other() {
    let socket = |n: u16| 32_768 + n.wrapping_mul(7_919) % 28_000;
    let linux = move |n: u16| Sent { port: 33_434 + n, ident: socket(n), ..UDP };
    let uplink = |n: u8, it: Sent| Sent { source: [10, 0, n, 1], ..it };
    // The kernel chooses an uplink for each probe.
    let over = |uplinks: &[u8], it: Sent| {
        let turn = usize::from(it.port.wrapping_mul(5) >> 1) % uplinks.len();
        uplink(uplinks[turn], it)
    };
    let run = twelve(0, 10, linux);
    let two = run.iter().map(|it| over(&[1, 2], *it));
    assert_eq!(same_runs(two.clone()), [[1], [0]]);
    let three = run.iter().map(|it| uplink((it.port % 3) as u8, *it));
    assert_eq!(same_runs(three), [[1, 2], [0, 2], [0, 1]]);
    let echo = |n: u16| Sent { probe: ProbeType::IcmpEcho, number: n.into(), ..UDP };
    let by_turns = twelve(0, 10, echo).into_iter().map(|it| uplink((it.number % 2) as u8, it));
    assert_eq!(same_runs(by_turns), [[1], [0]], "echo");
    let counting = |n: u16| Sent { port: 53, ident: 33_000 + n, ..UDP };
    let by_turns = twelve(0, 10, counting).into_iter().map(|it| uplink((it.ident % 2) as u8, it));
    assert!(same_runs(by_turns).iter().all(|others| !others.is_empty()), "source ports that count");

    // Nothing counts: the TTLs of all make up one sequence.
    let syn = |n: u16| Sent { port: 80, probe: ProbeType::TcpSyn, ident: socket(n), ..UDP };
    let one_port = |n: u16| Sent { port: 53, ident: socket(n), ..UDP };
    for (what, shape) in [("SYNs", &syn as &dyn Fn(u16) -> Sent), ("one port", &one_port)] {
        let over = |uplinks: u8, at: i64| {
            let turns = [0, 1, 0, 2, 2, 0, 1, 1, 1, 0, 1, 2];
            let probes = twelve(at, 10, shape).into_iter().zip(turns);
            probes.map(move |(it, turn)| uplink(turn % uplinks, it))
        };
        assert_eq!(same_runs(over(2, 0)), [[1], [0]], "{what}");
        assert_eq!(same_runs(over(3, 0)), [[1, 2], [0, 2], [0, 1]], "{what}");
        let whole = twelve(5, 10, shape).into_iter().map(|it| uplink(9, it));
        let both = in_order(twelve(0, 10, shape).into_iter().chain(whole.clone()).collect());
        assert!(same_runs(both).iter().all(Vec::is_empty), "{what}, each whole");
        let halves = over(2, 0).filter(|it| it.source[2] == 0).chain(whole);
        assert!(
            same_runs(in_order(halves.collect())).iter().all(Vec::is_empty),
            "{what}, one whole"
        );
    }

    let alone: [(&str, Vec<Sent>); 4] = [
        ("numbers overlap", twelve(5, 10, linux)),
        ("later", twelve(900, 10, move |n| linux(n + 12))),
        ("numbers far off", twelve(5, 10, move |n| linux(n + 400))),
        ("to another", twelve(5, 10, move |n| Sent { target: [203, 0, 113, 7], ..linux(n) })),
    ];
    for (what, other) in alone {
        let other = other.into_iter().map(|it| uplink(7, it));
        let both = in_order(run.iter().copied().chain(other).collect());
        assert!(same_runs(both).iter().all(Vec::is_empty), "{what}");
    }
    let backwards =
        two.map(|it| if it.source[2] == 1 { Sent { at: 200 - it.at, ..it } } else { it });
    assert!(same_runs(in_order(backwards.collect())).iter().all(Vec::is_empty), "order of time");
}

#[test]
fn rounds_are_queries() {
    for (ident, step) in [(33_000, 1), (33_000, 0)] {
        let rounds = (0..100_u16).map(|n| Sent {
            at: i64::from(n) * 100,
            port: if step == 1 { 53 } else { 33_000 + n },
            ident: ident + n * step,
            ttl: u8::try_from(1 + n % 5).unwrap(),
            ..UDP
        });
        let port = if step == 1 { 53 } else { 33_000 };
        assert_eq!(traces(rounds), [(100, 20, port)]);
    }
}

#[test]
fn numbers_that_are_used_up_begin_again() {
    let round = |n: u16| Sent {
        at: i64::from(n) * 100,
        port: 33_000 + n % 65 * 500,
        number: 0,
        ttl: u8::try_from(1 + n % 5).unwrap(),
        ident: 7_000,
        ..UDP
    };
    let mut frames: Vec<_> = (0..130).map(|n| (round(n).at, round(n).bytes())).collect();
    // Each probe has an IP-ID of its own, as from a kernel.
    for (id, (_, bytes)) in (1_u16..).zip(&mut frames) {
        bytes[4..6].copy_from_slice(&id.to_be_bytes());
    }
    let found: Vec<_> = survey(&frames).iter().map(|it| (it.probes, it.config.queries)).collect();
    assert_eq!(found, [(130, 26)]);
}

#[test]
fn a_reply_without_its_probe_is_shown_without_a_time() {
    let probes = twelve(0, 10, |n| Sent { port: 33_434 + n, ..UDP });
    let mut frames = Vec::new();
    for (index, probe) in probes.iter().enumerate() {
        if ![0, 4, 11].contains(&index) {
            frames.push((probe.at, probe.bytes()));
        }
        frames.push((probe.at + 5, expired(&probe.bytes())));
    }
    let found = survey(&frames).remove(0);
    assert_eq!((found.probes, found.config.queries, found.config.first_port), (9, 3, 33_434));
    let mut tracer = Tracer::passive(found.config, found.idents).unwrap();
    with_frames(&frames, |frame| {
        tracer.handle_frame(frame);
    });
    tracer.finish();
    let path = tracer.path();
    let rtts = path.hops().iter().map(|hop| {
        let rtt = |probe: &crate::trace::Probe| probe.answer().expect("answered").rtt.is_some();
        hop.probes.iter().map(rtt).collect::<Vec<_>>()
    });
    let expected =
        [[false, true, true], [true, false, true], [true, true, true], [true, true, false]];
    assert_eq!(rtts.collect::<Vec<_>>(), expected);
    let totals = path.totals;
    assert_eq!((totals.sent, totals.answered, totals.orphans), (9, 9, 3));
}

#[test]
fn a_reply_whose_probe_has_no_place_is_counted() {
    // Rounds: a number does not tell the TTL.
    let probes: Vec<Sent> = (0..20_u16)
        .map(|n| Sent {
            at: i64::from(n) * 100,
            port: 33_000 + n,
            ttl: u8::try_from(1 + n % 5).unwrap(),
            ..UDP
        })
        .collect();
    let mut frames: Vec<_> = probes.iter().map(|it| (it.at, it.bytes())).collect();
    let (_, missing) = frames.remove(7);
    frames.push((3_000, expired(&missing)));
    // Nor do another's ports make it ours.
    frames.push((3_001, expired(&Sent { ident: 50_000, port: 33_500, ..UDP }.bytes())));
    let found = survey(&frames).remove(0);
    let mut tracer = Tracer::passive(found.config, found.idents).unwrap();
    with_frames(&frames, |frame| {
        tracer.handle_frame(frame);
    });
    assert_eq!((tracer.path().totals.sent, tracer.path().totals.orphans), (19, 1));
}

/// By the rule of the first two, the last would have a TTL of 65,536.
#[test]
fn a_number_far_beyond_the_last_hop_follows_no_rule() {
    // An echo's sequence number is one more than the number of its probe.
    let probes = [(u32::from(u16::MAX), 1), (0, 2), (u32::from(u16::MAX) - 1, 3)];
    let sent = (0..).zip(probes).map(|(at, (number, ttl))| Sent {
        at,
        probe: ProbeType::IcmpEcho,
        number,
        ttl,
        ..UDP
    });
    let mut frames: Vec<_> = sent.map(|it| (it.at, it.bytes())).collect();
    let missing = Sent { probe: ProbeType::IcmpEcho, number: 1, ttl: 3, ..UDP };
    frames.push((3, expired(&missing.bytes())));
    let found = survey(&frames).remove(0);
    let ProbeSelector::Listed(listed) = found.idents else { panic!("no probes are listed") };
    assert_eq!((found.probes, listed.missing.len(), listed.orphans.len()), (3, 0, 1));
}

#[test]
fn memory_is_bounded() {
    let mut survey = Survey::new();
    for n in 0..200_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let bytes = Sent { target: [100, a, b, c], ..UDP }.bytes();
        let at = Timestamp::from_nanos(i64::from(n) * 1_000_000);
        survey.handle_frame(&Frame { number: 1, ..Frame::whole(at, LinkType::Raw, &bytes) });
    }
    assert!(survey.pairs.len() <= PAIRS && survey.probes <= PROBES);
    assert!(survey.overflowed());
    // A trace after all that is still found.
    let late = twelve(300_000, 1, |n| Sent { port: 33_434 + n, ..UDP });
    for sent in late {
        let bytes = sent.bytes();
        let at = Timestamp::from_nanos(sent.at * 1_000_000);
        survey.handle_frame(&Frame { number: 1, ..Frame::whole(at, LinkType::Raw, &bytes) });
    }
    assert!(survey.traces().iter().any(|found| found.probes == 12));
}
