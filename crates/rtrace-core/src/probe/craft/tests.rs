use std::collections::HashSet;

use super::*;
use crate::probe::{AnswerKey, ProbeKey, recognise};
use crate::wire::ip::{decode, icmp_checksum_is_right};

const V4: [&str; 2] = ["192.0.2.2", "203.0.113.9"];
const V6: [&str; 2] = ["2001:db8::2", "2001:db8:113::9"];
const TYPES: [ProbeType; 7] = [
    ProbeType::Udp,
    ProbeType::UdpFixed,
    ProbeType::IcmpEcho,
    ProbeType::TcpSyn,
    ProbeType::TcpAck,
    ProbeType::UdpLite,
    ProbeType::Protocol(253),
];
const MODES: [FlowMode; 3] = [FlowMode::Classic, FlowMode::Paris, FlowMode::Dublin];

fn spec([source, target]: [&str; 2], probe: ProbeType, mode: FlowMode) -> ProbeSpec {
    let (source, target) = (source.parse().unwrap(), target.parse().unwrap());
    let flow = Flow { source, target, probe, ident: 42_315 };
    ProbeSpec {
        flow,
        mode,
        number: 0,
        serial: 0,
        ttl: 7,
        tos: 0xb9,
        dont_fragment: true,
        flow_label: 0x8_1234,
        len: default_len(flow.family(), probe),
        first_port: if probe == ProbeType::UdpFixed { DNS_PORT } else { 33_434 },
        flow_number: 0,
        first_id: 0xfff0,
        key: Some(0xd1ce_5eed_0123_4567),
        evidence: crate::wire::Evidence::Captured,
    }
}

fn all() -> impl Iterator<Item = ProbeSpec> {
    let ends = [V4, V6].into_iter();
    let typed = ends.flat_map(|ends| TYPES.map(|probe| (ends, probe)));
    typed.flat_map(|(ends, probe)| MODES.map(|mode| spec(ends, probe, mode)))
}

#[test]
fn a_probe_says_what_was_asked_and_its_checksums_are_right() {
    let mut buffer = Vec::new();
    for spec in all() {
        for (number, len) in [(0, 0), (1, spec.len), (89, spec.len + 1), (40, 1_400)] {
            let spec = ProbeSpec { number, serial: number, len, ..spec };
            craft(&spec, &mut buffer);
            let (header, payload) = decode(&buffer).unwrap();
            assert_eq!((header.ttl, header.tos), (7, 0xb9));
            assert_eq!(header.total_len, buffer.len());
            assert_eq!(header.protocol, spec.flow.protocol());
            assert_eq!(header.flow_label.unwrap_or(0x8_1234), 0x8_1234);
            if header.source.is_ipv4() {
                assert_eq!(checksum(&buffer[..20]), 0);
            }
            match spec.flow.probe {
                ProbeType::IcmpEcho => assert!(icmp_checksum_is_right(&header, payload)),
                ProbeType::Protocol(_) => {}
                _ => {
                    let Flow { source, target, .. } = spec.flow;
                    assert_eq!(transport(source, target, header.protocol, payload), 0);
                }
            }
        }
    }
}

#[test]
fn no_two_probes_of_a_trace_have_the_same_key() {
    let mut buffer = Vec::new();
    for spec in all() {
        let (mut keys, mut tokens) = (HashSet::new(), HashSet::new());
        for number in 0..2_550 {
            craft(&ProbeSpec { number, serial: number, ..spec }, &mut buffer);
            let (header, payload) = decode(&buffer).unwrap();
            let key = ProbeKey::of(&header, payload).unwrap();
            assert!(keys.insert(key), "{spec:?} {number}");
            tokens.insert(AnswerKey::of(spec.flow.probe, &key, payload));
            let (flow, found) = recognise(&header, payload).unwrap();
            assert_eq!((flow.source, found), (spec.flow.source, key));
        }
        let told_apart = match (spec.flow.probe, spec.mode) {
            (ProbeType::Udp, mode) => mode == FlowMode::Classic,
            (probe, _) => !matches!(probe, ProbeType::UdpLite | ProbeType::Protocol(_)),
        };
        assert_eq!(tokens.len(), if told_apart { 2_550 } else { 1 }, "{spec:?}");
    }
}

#[test]
fn constant_flows_keep_what_load_balancers_look_at() {
    let mut buffer = Vec::new();
    for spec in all().filter(|spec| spec.mode != FlowMode::Classic) {
        // Ports; with ICMP type, code, checksum and identifier.
        let mut seen = HashSet::new();
        for number in 0..300 {
            craft(&ProbeSpec { number, serial: number, ..spec }, &mut buffer);
            let (_, payload) = decode(&buffer).unwrap();
            seen.insert(payload[..4].to_vec());
        }
        let constant = match (spec.flow.probe, spec.mode) {
            (ProbeType::Protocol(_), _) | (ProbeType::IcmpEcho, FlowMode::Dublin) => continue,
            _ => 1,
        };
        assert_eq!(seen.len(), constant, "{spec:?}");
    }
}

#[test]
fn ports_and_ids_wrap_within_their_ranges() {
    for (first_port, first_id) in [(33_434, 1), (65_535, 65_535), (65_530, 65_000), (1, 0)] {
        let first = ProbeSpec { first_port, first_id, ..spec(V4, ProbeType::Udp, MODES[0]) };
        for number in 0..2_550 {
            let spec = ProbeSpec { number, serial: number, ..first };
            assert!(rising_port(&spec) >= first_port && ip_id(&spec) != 0);
        }
        assert_eq!(rising_port(&first), first_port);
    }
}
