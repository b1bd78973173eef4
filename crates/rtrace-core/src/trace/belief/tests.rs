//! The sum: what one blind packet has, whatever it says, for every type of probe, mode, family and option.

use std::net::IpAddr;

use super::*;
use crate::probe::Flow;

const PROBES: [ProbeType; 7] = [
    ProbeType::Udp,
    ProbeType::UdpFixed,
    ProbeType::IcmpEcho,
    ProbeType::TcpSyn,
    ProbeType::TcpAck,
    ProbeType::UdpLite,
    ProbeType::Protocol(253),
];
const MODES: [FlowMode; 3] = [FlowMode::Classic, FlowMode::Paris, FlowMode::Dublin];
const FAMILIES: [[&str; 2]; 2] = [["192.0.2.2", "203.0.113.9"], ["2001:db8::2", "2001:db8:113::9"]];
/// A source address that a translation was seen to give.
const TRANSLATOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 99));
const BELIEVED: f64 = 40.0;
/// Destination ports of UDP, from the first to the last.
const PORT: u16 = 33_434;
const PORTS: u64 = 65_536 - 33_434;

/// What a packet may be read as: to the target from us, to the target from elsewhere, and to elsewhere.
fn packets(config: &TraceConfig) -> [&'static [Reading]; 3] {
    use Reading::{Addresses, Checksum, Exact, Id, Origin, Port, Sequence, Shifted, ShiftedOrigin};
    if config.target.is_ipv4() {
        let from_us: &[Reading] = &[Exact, Checksum, Id, Port, Sequence];
        let from_elsewhere: &[Reading] = &[Addresses, Origin, Id, Shifted, ShiftedOrigin];
        return [from_us, from_elsewhere, &[Addresses, Port]];
    }
    // Without an IP-ID nothing tells which probe it is where those octets were changed that do; of TCP the port does not.
    let tcp = config.probe.protocol(Family::V6) == crate::wire::ipv4::TCP;
    let from_us: &[Reading] = if tcp { &[Exact, Addresses] } else { &[Exact, Checksum] };
    [from_us, &[Addresses, Origin, Shifted, ShiftedOrigin], &[Addresses]]
}

fn config(family: [&str; 2], probe: ProbeType, flow_mode: FlowMode) -> TraceConfig {
    let [source, target]: [IpAddr; 2] = family.map(|it| it.parse().unwrap());
    let config = TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 });
    TraceConfig { flow_mode, secret: Some(Secret::new(7)), ..config }
}

fn all() -> impl Iterator<Item = TraceConfig> {
    let typed = FAMILIES.into_iter().flat_map(|family| PROBES.map(|probe| (family, probe)));
    typed.flat_map(|(family, probe)| MODES.map(|mode| config(family, probe, mode)))
}

fn fit(reading: Reading) -> Fit {
    let shifted = matches!(reading, Reading::Shifted | Reading::ShiftedOrigin);
    let translated =
        shifted.then_some(Translated { flow: [0; 4], address: Some(TRANSLATOR), value: 7 });
    Fit { reading, label: true, tail: false, to_target: true, port: PORT, translated }
}

/// The belief after `rounds` rounds of `probes` probes each, and when each round began.
fn after(config: &TraceConfig, rounds: u64, probes: u64) -> (Belief, Vec<Since>) {
    let mut belief = Belief::of(config, &ProbeSelector::One);
    belief.translators.push(TRANSLATOR);
    let mut since = Vec::new();
    for _ in 0..rounds {
        since.push(belief.begin_round());
        (0..probes).for_each(|_| belief.note_probe(PORT));
    }
    (belief, since)
}

/// The chance, in bits, that one packet of this kind is believed without a mark.
fn chance(config: &TraceConfig, belief: &Belief, since: &[Since], readings: &[Reading]) -> f64 {
    let unknown = belief.unknown.unwrap();
    let mut chance = 0.0;
    for (index, round) in since.iter().enumerate() {
        for reading in readings {
            let proof = belief.judge(&fit(*reading), *round, Timestamp::default());
            if proof == Some(Proof::Enough) {
                let end = since.get(index + 1).copied().unwrap_or(belief.now);
                // Those of the round that one packet could be about.
                let ported = *reading != Reading::Port && *reading != Reading::Sequence;
                let rises = config.probe == ProbeType::Udp && config.flow_mode == FlowMode::Classic;
                let probes = end.sent - round.sent;
                let hit = if ported && rises { probes.div_ceil(PORTS) } else { probes };
                #[expect(clippy::cast_precision_loss, reason = "they are few")]
                let hit = hit as f64;
                chance += hit * (-unknown.bits(*reading)).exp2();
            }
        }
    }
    -chance.log2()
}

#[test]
fn one_blind_packet_has_no_chance_of_two_to_the_minus_forty() {
    for config in all() {
        for (rounds, probes) in
            [(1, 1_u64), (1, 91), (1, 300), (1, 30_000), (8, 20), (128, 90), (512, 1), (512, 90)]
        {
            let queries = u16::try_from(probes.div_ceil(30)).unwrap();
            let config = TraceConfig { queries, ..config.clone() };
            let (belief, since) = after(&config, rounds, probes);
            for readings in packets(&config) {
                let bits = chance(&config, &belief, &since, readings);
                assert!(bits >= BELIEVED, "{bits} {rounds} × {probes} {readings:?} {config:?}");
            }
        }
    }
}

/// A checksum that fits nothing is what translations leave where others have shown the address, and no blind packet's guess.
#[test]
fn a_shifted_checksum_needs_a_translation_that_was_seen_and_enough_else() {
    for config in all().filter(|config| config.probe != ProbeType::Protocol(253)) {
        let (belief, since) = after(&config, 1, 20);
        let unseen = Belief { translators: Vec::new(), ..belief.clone() };
        for reading in [Reading::Shifted, Reading::ShiftedOrigin] {
            let judged = |belief: &Belief, fit| belief.judge(&fit, since[0], Timestamp::default());
            let [bare, whole] = [false, true].map(|tail| Fit { tail, ..fit(reading) });
            assert_eq!(judged(&unseen, bare), None, "{reading:?} {config:?}");
            assert_eq!(judged(&unseen, whole), None, "{reading:?} {config:?}");
            assert_eq!(judged(&belief, whole), Some(Proof::Enough), "{reading:?} {config:?}");
            let left = belief.unknown.unwrap().bits(reading);
            assert_eq!(judged(&belief, bare).is_some(), left >= SHIFTED, "{reading:?} {config:?}");
        }
    }
}

/// With usual options a trace, and the latest rounds of a watch, are believed by eight octets, and without a mark.
#[test]
fn what_was_sent_lately_is_believed() {
    for config in all() {
        for (rounds, probes) in [(1, 91), (1, 120), (4, 30)] {
            let (belief, since) = after(&config, rounds, probes);
            for since in since {
                let proof = belief.judge(&fit(Reading::Exact), since, Timestamp::default());
                assert_eq!(proof, Some(Proof::Enough), "{rounds} × {probes} {config:?}");
            }
        }
    }
}

#[test]
fn options_that_fix_what_would_be_random_leave_a_mark() {
    let marked = |config: &TraceConfig| {
        let (belief, since) = after(config, 1, 20);
        let proof = belief.judge(&fit(Reading::Exact), since[0], Timestamp::default()).unwrap();
        proof == Proof::Guessable
    };
    let secret = Secret::new(7);
    for config in all() {
        let v4 = config.target.is_ipv4();
        let udp = matches!(config.probe, ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite);
        let port = Some(Secret { known_port: true, ..secret });
        let port = TraceConfig { secret: port, ..config.clone() };
        assert_eq!(marked(&port), udp, "{port:?}");
        let label = Some(Secret { known_label: true, ..secret });
        let label = TraceConfig { secret: label, ..config.clone() };
        assert_eq!(marked(&label), udp && !v4, "{label:?}");
        let short = TraceConfig { packet_len: config.least_len(), ..config.clone() };
        let query = config.first_port == craft::DNS_PORT;
        assert_eq!(marked(&short), udp && !query, "{short:?}");
    }
    let one_port = config(FAMILIES[0], ProbeType::UdpFixed, FlowMode::Classic);
    let (belief, since) = after(&one_port, 1, 3_000);
    let proof = belief.judge(&fit(Reading::Exact), since[0], Timestamp::default());
    assert_eq!(proof, Some(Proof::Guessable), "3000 probes to one port");
}

#[test]
fn a_late_quote_of_eight_octets_proves_too_little_where_many_share_a_port() {
    let config = config(FAMILIES[0], ProbeType::Udp, FlowMode::Paris);
    let (belief, since) = after(&config, 512, 90);
    let exact = fit(Reading::Exact);
    let judged = |fit: Fit| belief.judge(&fit, since[3], Timestamp::default());
    assert_eq!(judged(exact), None);
    assert_eq!(judged(Fit { tail: true, ..exact }), Some(Proof::Enough), "the rest proves it");
}

#[test]
fn what_was_rewritten_is_believed_until_somebody_guesses() {
    let config = config(FAMILIES[0], ProbeType::Udp, FlowMode::Classic);
    let (mut belief, since) = after(&config, 1, 20);
    let judged = |belief: &Belief, fit: Fit| belief.judge(&fit, since[0], Timestamp::default());
    let weak = fit(Reading::Id);
    assert_eq!(judged(&belief, weak), Some(Proof::Rewritten));
    assert_eq!(judged(&belief, Fit { to_target: false, ..weak }), None, "no misfit would show it");
    (1..MOST_MISFITS).for_each(|_| belief.note_misfit());
    assert!(!belief.is_withdrawn());
    assert_eq!(judged(&belief, weak), Some(Proof::Rewritten));
    belief.note_misfit();
    assert!(belief.is_withdrawn());
    assert_eq!(judged(&belief, weak), None);
    assert_eq!(judged(&belief, Fit { tail: true, ..weak }), Some(Proof::Enough));
    assert_eq!(judged(&belief, fit(Reading::Exact)), Some(Proof::Enough));
}

/// What a translation made of a flow is believed more easily when it comes again; another one is no less likely than the first.
#[test]
fn a_translation_that_was_seen_proves_more() {
    let config = config(FAMILIES[0], ProbeType::Udp, FlowMode::Paris);
    let (mut belief, since) = after(&config, 1, 10);
    let (flow, other_flow) = ([1, 2, 3, 4], [1, 2, 3, 5]);
    let address: IpAddr = [198, 51, 100, 99].into();
    let [start, later] = [0, 31].map(|s| Timestamp::from_parts(s, 0));
    let judged = |belief: &Belief, flow, address, value, at| {
        let translated = Some(Translated { flow, address: Some(address), value });
        belief.judge(&Fit { translated, ..fit(Reading::Origin) }, since[0], at)
    };
    let note = |belief: &mut Belief, value| {
        belief.note_translated(Translated { flow, address: Some(address), value }, start);
    };
    let (enough, rewritten) = (Some(Proof::Enough), Some(Proof::Rewritten));
    assert_eq!(judged(&belief, flow, address, 7, start), rewritten);
    note(&mut belief, 7);
    assert_eq!(judged(&belief, flow, address, 7, start), enough, "who knows it?");
    assert_eq!(judged(&belief, flow, address, 8, start), rewritten, "behind another NAT");
    assert_eq!(judged(&belief, flow, [198, 51, 100, 98].into(), 7, start), rewritten);
    let unchanged = Translated { flow, address: Some(address), value: 7 };
    let unchanged = Fit { translated: Some(unchanged), ..fit(Reading::Id) };
    assert_eq!(belief.judge(&unchanged, since[0], start), rewritten, "as it was sent");
    assert_eq!(judged(&belief, other_flow, address, 7, start), rewritten);
    assert_eq!(judged(&belief, flow, address, 7, later), rewritten, "it rested");
    // Of two either may be guessed; of eight the oldest is forgotten.
    note(&mut belief, 8);
    assert_eq!([7, 8].map(|value| judged(&belief, flow, address, value, start)), [enough; 2]);
    (9..=15).for_each(|value| note(&mut belief, value));
    assert_eq!(judged(&belief, flow, address, 7, start), rewritten);
}

/// What was seen of another tool, or long ago, is believed as it was then.
#[test]
fn without_a_secret_nothing_is_weighed() {
    let config = TraceConfig { secret: None, ..config(FAMILIES[0], ProbeType::Udp, MODES[0]) };
    assert!(!Belief::of(&config, &ProbeSelector::One).is_strict());
}

/// All paths are asked for by flows, each to a port of its own.
#[test]
fn probes_to_other_ports_do_not_count() {
    let config = config(FAMILIES[0], ProbeType::Udp, FlowMode::Dublin);
    let (mut belief, since) = after(&config, 1, 20);
    (0..10_000).for_each(|flow| belief.note_probe(PORT + 1 + flow % 1_000));
    let judged = |reading| belief.judge(&fit(reading), since[0], Timestamp::default());
    assert_eq!(judged(Reading::Exact), Some(Proof::Enough));
    assert_eq!(judged(Reading::Port), Some(Proof::Rewritten), "it may be of any flow");
}

/// Another trace to the same target has a few ports; who sweeps them has them all.
#[test]
fn misfits_from_one_other_port_are_one() {
    let config = config(FAMILIES[0], ProbeType::Udp, FlowMode::Classic);
    let (mut belief, _) = after(&config, 1, 20);
    let mut note = |origin| {
        let stray = Stray { origin };
        let counts = belief.counts(stray);
        if counts {
            belief.note_stray(stray);
        }
        counts
    };
    assert!(note(Some(7)) && !note(Some(7)));
    assert!((8..54).all(|port| note(Some(port))));
    assert!(note(None), "from another address each counts");
    assert!(!note(None) && !note(Some(9_999)), "that is enough");
    assert!(belief.is_withdrawn());
}
