//! What is left of a probe, and whether that is enough.

use std::net::IpAddr;

use super::*;
use crate::probe::{FlowMode, craft};
use crate::trace::config::TraceConfig;
use crate::wire::{ip, quoted};

const ECHO: ProbeType = ProbeType::IcmpEcho;
const UDP: ProbeType = ProbeType::Udp;
const FIXED: ProbeType = ProbeType::UdpFixed;
const SYN: ProbeType = ProbeType::TcpSyn;
const ALL: [ProbeType; 6] = [UDP, FIXED, ProbeType::UdpLite, ECHO, SYN, ProbeType::TcpAck];

/// Source, target, and another target.
const V4: [&str; 3] = ["192.0.2.2", "203.0.113.9", "203.0.113.8"];
const V6: [&str; 3] = ["2001:db8::2", "2001:db8:113::9", "2001:db8:113::8"];

/// What is done to a datagram on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Id,
    Source,
    Destination,
    SourcePort,
    Port,
    /// The port is rewritten, but not the checksum.
    BarePort,
    BareDestination,
    Checksum,
    /// The IP-ID becomes that of the probe before.
    IdOfAnother,
    /// The sequence number of TCP or of an echo.
    Sequence,
    /// Of TCP: the options, and the checksum with them.
    Options,
}
use Change::*;

fn addresses(family: [&str; 3]) -> [IpAddr; 3] {
    family.map(|it| it.parse().unwrap())
}

fn config(probe: ProbeType, family: [&str; 3], flow_mode: FlowMode) -> TraceConfig {
    let [source, target, _] = addresses(family);
    let config = TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 });
    TraceConfig { flow_mode, first_id: 9_000, ..config }
}

fn probe(config: &TraceConfig, number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    craft::craft(&config.spec(number), &mut bytes);
    bytes
}

/// The probes 0 to 29 of a trace.
fn sent(config: &TraceConfig) -> Rewritten {
    let mut rewritten = Rewritten::new(config.flow(), 30);
    for number in 0..30 {
        let bytes = probe(config, number);
        let (header, payload) = ip::decode(&bytes).unwrap();
        let key = ProbeKey::of(&header, payload).unwrap();
        let shown = rewritten.shown(&header, payload);
        rewritten.insert(&key, at(number), shown);
    }
    rewritten
}

fn at(number: u32) -> ProbeRef {
    ProbeRef::Hop { ttl: 1, query: u16::try_from(number).unwrap() }
}

fn change(bytes: &mut [u8], change: Change) {
    let (header, _) = ip::decode(bytes).unwrap();
    let (v4, len) = (header.source.is_ipv4(), header.header_len);
    let [from, to] = if v4 { [15, 19] } else { [23, 39] };
    match change {
        Id => bytes[4..6].copy_from_slice(&[0, 77]),
        IdOfAnother => bytes[5] -= 1,
        Source => bytes[from] ^= 0x55,
        Destination | BareDestination => bytes[to] = 8,
        SourcePort => bytes[len] ^= 0x55,
        Port | BarePort => bytes[len + 2..len + 4].copy_from_slice(&[0, 54]),
        Sequence => bytes[len + 6..len + 8].copy_from_slice(&[0xde, 0xad]),
        Options => bytes[len + 23] ^= 0x55,
        Checksum => {}
    }
    let sum_at = match header.protocol {
        ipv4::TCP => 16,
        ipv4::UDP | ipv4::UDP_LITE => 6,
        _ => 2,
    };
    let place = len + sum_at..len + sum_at + 2;
    match change {
        Id | IdOfAnother | BarePort | BareDestination => {}
        Checksum => bytes[place.end - 1] ^= 0x55,
        _ => {
            bytes[place.clone()].fill(0);
            let (header, payload) = ip::decode(bytes).unwrap();
            let sum = match header.protocol {
                ipv4::ICMP => checksum(payload),
                protocol => transport(header.source, header.destination, protocol, payload),
            };
            bytes[place].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

fn found(rewritten: &Rewritten, quote: &[u8]) -> Option<ProbeRef> {
    let quote = quoted::decode(quote).unwrap();
    let key = ProbeKey::of(&quote.header, quote.payload).unwrap();
    rewritten.find(&quote.header, quote.payload, &key)
}

/// Whether a quote with these changes finds its probe: of this many octets after the IP header, if not of all.
fn finds(config: &TraceConfig, changes: &[Change], octets: Option<usize>) -> bool {
    let rewritten = sent(config);
    let results = (1..30).map(|number| {
        let mut quote = probe(config, number);
        for it in changes {
            change(&mut quote, *it);
        }
        let header = usize::from(craft::ip_header_len(config.flow().family()));
        quote.truncate(octets.map_or(usize::MAX, |octets| header + octets));
        let found = found(&rewritten, &quote);
        assert!(found.is_none_or(|it| it == at(number)), "{changes:?} {number}: {found:?}");
        found.is_some()
    });
    let results: Vec<_> = results.collect();
    assert!(results.iter().all(|it| *it == results[0]), "{changes:?}");
    results[0]
}

/// Changes, and of which types of probe they leave enough in each family.
#[test]
fn what_is_left_is_enough_or_not() {
    let ports: Vec<_> = ALL.into_iter().filter(|it| it.has_ports()).collect();
    let tcp = [SYN, ProbeType::TcpAck];
    let udp = [UDP, FIXED, ProbeType::UdpLite];
    let none = [];
    let cases: &[(&[Change], &[ProbeType], &[ProbeType])] = &[
        (&[Id], &ALL, &none),
        (&[Destination], &ALL, &ALL),
        (&[Port], &ports, &tcp),
        (&[Destination, Port], &ports, &tcp),
        (&[Source, Destination, Port], &ports, &tcp),
        (&[Source], &ALL, &ALL),
        (&[Id, Source], &ALL, &none),
        (&[Id, Port], &tcp, &none),
        (&[Id, Destination], &tcp, &none),
        (&[Id, Options], &[SYN], &none),
        // Checksums that were not mended: another port is a router's fault, another address nobody's.
        (&[BarePort], &udp, &none),
        (&[BareDestination], &[ECHO], &none),
        (&[Id, Checksum], &none, &none),
        (&[Destination, Checksum], &none, &none),
        // Nothing that others do not know.
        (&[Id, SourcePort], &none, &none),
        (&[Destination, SourcePort], &none, &none),
        (&[Source, Destination, SourcePort], &none, &none),
    ];
    for (changes, v4, v6) in cases {
        let has = |wanted: fn(&Change) -> bool| changes.iter().any(wanted);
        for kind in ALL {
            let portless = has(|it| matches!(it, Port | BarePort)) && !kind.has_ports();
            if portless || has(|it| matches!(it, Options)) && kind != SYN {
                continue;
            }
            let config = |family| config(kind, family, FlowMode::Classic);
            assert_eq!(
                finds(&config(V4), changes, None),
                v4.contains(&kind),
                "{changes:?} {kind:?}"
            );
            if !has(|it| matches!(it, Id)) {
                let found = finds(&config(V6), changes, None);
                assert_eq!(found, v6.contains(&kind), "{changes:?} {kind:?} over IPv6");
            }
        }
    }
}

#[test]
fn eight_octets_are_enough() {
    for kind in ALL {
        for changes in [&[Id][..], &[Destination]] {
            assert!(finds(&config(kind, V4, FlowMode::Classic), changes, Some(8)), "{kind:?}");
        }
    }
    assert!(finds(&config(UDP, V4, FlowMode::Paris), &[Id], Some(8)));
    assert!(finds(&config(UDP, V6, FlowMode::Paris), &[Destination], Some(10)));
    assert!(!finds(&config(UDP, V6, FlowMode::Paris), &[Destination], Some(8)));
    // Of those nothing but the IP-ID tells one from the other.
    assert!(!finds(&config(UDP, V4, FlowMode::Dublin), &[Id], None));
    assert!(!finds(&config(ProbeType::Protocol(253), V4, FlowMode::Classic), &[Id], None));
    assert!(!finds(&config(ProbeType::Protocol(253), V4, FlowMode::Classic), &[Destination], None));
}

/// The number of one probe and the IP-ID of another: either may be what was rewritten.
#[test]
fn what_may_be_either_of_two_is_neither() {
    for kind in [UDP, SYN, ECHO] {
        assert!(!finds(&config(kind, V4, FlowMode::Classic), &[IdOfAnother], None));
    }
}

#[test]
fn another_sequence_number_leaves_the_ip_id() {
    for kind in [SYN, ProbeType::TcpAck, ECHO] {
        for octets in [None, Some(8)] {
            assert!(finds(&config(kind, V4, FlowMode::Classic), &[Sequence], octets), "{kind:?}");
        }
        assert!(!finds(&config(kind, V4, FlowMode::Classic), &[Sequence, SourcePort], Some(8)));
    }
}

/// Another trace from the same port, to the same target or another: what is quoted may be of that.
#[test]
fn what_may_be_of_another_datagram_is_not_believed() {
    for kind in ALL {
        for changed in [Id, Destination] {
            let config = config(kind, V4, FlowMode::Classic);
            let mut rewritten = sent(&config);
            let mut other = probe(&config, 7);
            change(&mut other, changed);
            assert_eq!(found(&rewritten, &other), Some(at(7)));
            let (header, payload) = ip::decode(&other).unwrap();
            let key = ProbeKey::of(&header, payload).unwrap();
            assert!(!rewritten.is_foreign(&header, &key));
            rewritten.note_foreign(&header, payload, key);
            assert!(rewritten.is_foreign(&header, &key));
            assert_eq!(found(&rewritten, &other), None, "{kind:?} {changed:?}");
        }
    }
}

/// How a quote of a probe with these changes shows it: of this many octets after the IP header, if not of all.
fn reading(config: &TraceConfig, changes: &[Change], octets: Option<usize>) -> Option<Reading> {
    let rewritten = sent(config);
    let mut quote = probe(config, 7);
    for it in changes {
        change(&mut quote, *it);
    }
    let header = usize::from(craft::ip_header_len(config.flow().family()));
    quote.truncate(octets.map_or(usize::MAX, |octets| header + octets));
    let quote = quoted::decode(&quote).unwrap();
    let key = ProbeKey::of(&quote.header, quote.payload).unwrap();
    let read = rewritten.read(&quote.header, quote.payload, &key)?;
    assert_eq!(read.at, at(7), "{changes:?}");
    Some(read.reading)
}

/// Where a translation does not put back its port in quotes, and where one further on leaves a checksum that fits nothing.
#[test]
fn another_source_and_port_leave_enough_in_both_families() {
    use Reading::{Addresses, Origin, Shifted, ShiftedOrigin};
    // Identifiers are five octets further on than ports: SourcePort is for what has ports.
    for kind in ALL.into_iter().filter(|kind| kind.has_ports()) {
        let tcp = kind == SYN || kind == ProbeType::TcpAck;
        for (family, flow_mode) in
            [(V4, FlowMode::Classic), (V6, FlowMode::Classic), (V6, FlowMode::Paris)]
        {
            let config = config(kind, family, flow_mode);
            for (changes, expected) in [
                (&[Source][..], Addresses),
                (&[Source, SourcePort], Origin),
                (&[Source, Checksum], Shifted),
                (&[Source, SourcePort, Checksum], ShiftedOrigin),
            ] {
                let read = reading(&config, changes, None);
                // Another checksum with the same octets may also be one of another sequence number: that is told as before.
                let sequence = tcp && family == V4 && expected == Shifted;
                let expected = if sequence { Reading::Sequence } else { expected };
                assert_eq!(read, Some(expected), "{kind:?} {family:?} {flow_mode:?} {changes:?}");
                assert!(read != Some(Addresses) || !changes.contains(&SourcePort));
            }
            for changes in [&[SourcePort][..], &[SourcePort, Checksum], &[Destination, SourcePort]]
            {
                assert_eq!(
                    reading(&config, changes, None),
                    None,
                    "{kind:?} {family:?} {changes:?}"
                );
            }
            // Eight octets of UDP over IPv6 do not show what marks the payload.
            if !tcp && family == V6 {
                assert_eq!(reading(&config, &[Source, SourcePort], Some(8)), None, "{kind:?}");
                assert_eq!(reading(&config, &[Source, Checksum], Some(8)), None, "{kind:?}");
            }
        }
    }
}

#[test]
fn what_is_noted_has_a_bound() {
    let config = config(SYN, V4, FlowMode::Classic);
    let mut rewritten = sent(&config);
    for number in 0..u32::try_from(MOST_FOREIGN).unwrap() + 5 {
        let key = ProbeKey {
            ip_id: 0,
            head: [[7; 4], number.to_be_bytes()].concat().try_into().unwrap(),
        };
        rewritten.note_key(&key);
    }
    assert!(rewritten.by_head.is_empty() && rewritten.by_id.is_empty());
    assert!(rewritten.by_rest.is_empty());
    let mut quote = probe(&config, 7);
    change(&mut quote, Id);
    assert_eq!(found(&rewritten, &quote), None, "there is too much else to be sure");
}

/// A sum that offload left unfinished in the capture is the right one on the wire.
#[test]
fn an_unfinished_checksum_is_finished() {
    let config = config(UDP, V4, FlowMode::Classic);
    let mut rewritten = Rewritten::new(config.flow(), 1);
    let mut captured = probe(&config, 3);
    let mut quote = captured.clone();
    captured[26..28].copy_from_slice(&[0x12, 0x34]);
    let (header, payload) = ip::decode(&captured).unwrap();
    let shown = rewritten.shown(&header, payload);
    rewritten.insert(&ProbeKey::of(&header, payload).unwrap(), at(3), shown);
    change(&mut quote, Id);
    assert_eq!(found(&rewritten, &quote), Some(at(3)));
}
