//! What routers say, over IPv4 and IPv6: each word decodes to what was asked for.

use std::net::{IpAddr, Ipv6Addr};

use super::super::family::Rules;
use super::*;
use crate::wire::extension::{
    Checksum, Ending, Extension, Family, InterfaceInformation, LabelStackEntry, Object, Role,
    quoted_and_extension,
};
use crate::wire::icmpv6;
use crate::wire::ipv6::{self, ICMPV6};

const SOURCE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2);
const TARGET6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9);
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

pub(super) fn hop6(distance: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, distance.into())
}

/// A router with both addresses.
pub(super) fn dual(distance: u8) -> Node {
    router(distance).with_address6(hop6(distance))
}

pub(super) fn alone(node: Node) -> Topology {
    Topology::new(1).hop(node)
}

fn source(family: Family) -> IpAddr {
    Dual::from((SOURCE, SOURCE6)).of(family).unwrap()
}

pub(super) fn target(family: Family) -> IpAddr {
    Dual::from((TARGET, TARGET6)).of(family).unwrap()
}

/// A datagram to the target.
pub(super) fn send(family: Family, protocol: u8, ttl: u8, message: &[u8]) -> Vec<u8> {
    let (source, destination) = (source(family), target(family));
    Envelope { source, destination, protocol, tos: 0, id: 7, ttl }.seal(message.to_vec())
}

/// A UDP (or UDP-Lite) message of this length to this port.
pub(super) fn udp(port: u16, len: u16) -> Vec<u8> {
    let mut message = vec![0x40; len.into()];
    for (at, value) in [(0, 0xbeef), (2, port), (4, len)] {
        datagram::put(&mut message, at, &u16::to_be_bytes(value));
    }
    message
}

/// The header and message of a reply, the checksums of which must be right.
pub(super) fn open(reply: &[u8]) -> (Header, &[u8]) {
    let header = Header::decode(reply).unwrap();
    assert_eq!(header.total_len, reply.len());
    assert!(!header.source.is_ipv4() || checksum(&reply[..20]) == 0);
    assert!(header.accepts(&reply[header.len..]), "{reply:02x?}");
    (header, &reply[header.len..])
}

/// Type, code and bytes 4 to 7 of an ICMP error, its quote, and what is appended.
pub(super) fn said(reply: &[u8]) -> ((u8, u8), [u8; 4], Vec<u8>, Option<Extension>) {
    let (header, message) = open(reply);
    assert_eq!(header.protocol, header.rules.icmp);
    let family = header.rules.family;
    let (icmp_type, code, rest, words, payload) = match family {
        Family::V4 => {
            let (icmp, payload) = icmpv4::decode(message).unwrap();
            let words = icmpv4::quote_words(&icmp);
            (icmp.icmp_type, icmp.code, icmp.rest, words, payload)
        }
        Family::V6 => {
            let (icmp, payload) = icmpv6::decode(message).unwrap();
            let words = icmpv6::quote_words(&icmp);
            (icmp.icmp_type, icmp.code, icmp.rest, words, payload)
        }
    };
    let (quote, extension) =
        words.map_or((payload, None), |words| quoted_and_extension(payload, words, family));
    ((icmp_type, code), rest, quote.to_vec(), extension)
}

#[test]
fn each_hop_limit_ends_at_its_hop_and_as_much_is_quoted_as_fits() {
    for (ttl, len) in [(1, 40), (2, 1232), (3, 8), (3, 1452)] {
        let topology = (1..=2).fold(Topology::new(1), |it, distance| it.hop(dual(distance)));
        let sent = send(Family::V6, UDP, ttl, &udp(33434, len));
        let reply = ask_one(topology, sent.clone());
        let (icmp, rest, quote, _) = said(&reply);
        let (header, _) = ipv6::decode(&reply).unwrap();
        let wanted = if ttl == 3 {
            (TARGET6, (1, 4), 62)
        } else {
            (hop6(ttl), (3, 0), 256 - u16::from(ttl))
        };
        assert_eq!((header.source, icmp, u16::from(header.hop_limit)), wanted);
        assert_eq!((header.destination, header.traffic_class, rest), (SOURCE6, 0, [0; 4]));
        assert_eq!(quote.len(), sent.len().min(1232));
        assert_eq!(quote[7], 1);
        assert_eq!(quote[8..], sent[8..quote.len()]);
    }
}

#[test]
fn a_router_without_an_address_in_a_family_is_silent_in_it() {
    for family in FAMILIES {
        let sent = send(family, UDP, 1, &udp(33434, 40));
        assert_eq!(ask(alone(router(1)), sent.clone()).len(), usize::from(family == Family::V4));
        let beyond = send(family, UDP, 2, &udp(33434, 40));
        assert_eq!(said(&ask_one(alone(router(1)), beyond)).0, Rules::of(family).port);
        let node = Node { reply_from: (hop(77), hop6(77)).into(), ..router(1) };
        let header = Header::decode(&ask_one(alone(node), sent)).unwrap();
        assert_eq!(header.source, Dual::from((hop(77), hop6(77))).of(family).unwrap());
    }
}

/// A node's keys in TOML, and the type, code and bytes 4 to 7 they make in each family.
type Wording = (&'static str, Option<((u8, u8), [u8; 4])>, Option<((u8, u8), [u8; 4])>);

#[test]
fn every_word_is_said_in_both_families() {
    let word = |icmp_type, code| Some(((icmp_type, code), [0; 4]));
    let cases: &[Wording] = &[
        ("unreachable = 'net'", word(3, 0), word(1, 0)),
        ("unreachable = 'host'", word(3, 1), word(1, 3)),
        ("unreachable = 'admin'", word(3, 13), word(1, 1)),
        ("unreachable = 'prohibited'", word(3, 13), word(1, 1)),
        ("unreachable = 'port'", word(3, 3), word(1, 4)),
        ("unreachable = 'beyond-scope'", word(3, 1), word(1, 2)),
        ("unreachable = 'source-policy'", word(3, 13), word(1, 5)),
        ("unreachable = 'reject-route'", word(3, 0), word(1, 6)),
        ("unreachable = 99", word(3, 99), word(1, 99)),
        ("mtu = 59", Some(((3, 4), [0, 0, 0, 59])), Some(((2, 0), [0, 0, 0, 59]))),
        ("advice = 'reassembly-time'", word(11, 1), word(3, 1)),
        (
            "advice = { parameter-problem = 8 }",
            Some(((12, 0), [8, 0, 0, 0])),
            Some(((4, 0), [0, 0, 0, 8])),
        ),
        ("advice = { icmp = { type = 40, code = 2 } }", word(40, 2), word(40, 2)),
        ("advice = 'source-quench'", word(4, 0), None),
        ("advice = { redirect = '198.51.100.3' }", Some(((5, 1), [198, 51, 100, 3])), None),
    ];
    for (keys, v4, v6) in cases {
        let text = format!("[[hop]]\naddress = '198.51.100.1'\naddress6 = '2001:db8:a::1'\n{keys}");
        for (family, wanted) in [(Family::V4, v4), (Family::V6, v6)] {
            let mut sent = send(family, UDP, 9, &udp(33434, 40));
            if family == Family::V4 {
                datagram::put(&mut sent, 6, &[0x40]);
                datagram::seal(&mut sent);
            }
            let replies = ask(Topology::parse(&text, "t").unwrap(), sent.clone());
            let first = said(&replies[0]);
            let goes_on = keys.contains("quench") || keys.contains("redirect");
            let arrived = (Rules::of(family).port, [0; 4]);
            assert_eq!((first.0, first.1), wanted.unwrap_or(arrived), "{keys}");
            assert_eq!(replies.len(), if goes_on && wanted.is_some() { 2 } else { 1 }, "{keys}");
            if wanted.is_some() {
                assert_eq!(first.2, sent, "quoted as it arrived: {keys}");
            }
            assert_eq!(
                said(&replies[replies.len() - 1]).0 == arrived.0,
                goes_on || arrived.0 == first.0
            );
        }
    }
}

#[test]
fn extensions_are_as_the_file_says() {
    let keys = "mpls = [{ label = 100704, tc = 5 }, { label = 16, ttl = 254 }]
        interface = { role = 'next-hop', ifindex = 3, address = '2001:db8::7', name = \"e\\u001b[2J\", mtu = 1500 }
        object = { class = 9, c_type = 200, hex = 'c0 ffEE' }";
    let entry = |label, tc, bottom, ttl| LabelStackEntry { label, tc, bottom, ttl };
    let objects = vec![
        Object::MplsLabelStack(vec![entry(100_704, 5, false, 1), entry(16, 0, true, 254)]),
        Object::InterfaceInformation(InterfaceInformation {
            role: Role::NextHop,
            ifindex: Some(3),
            address: Some("2001:db8::7".parse().unwrap()),
            name: Some(b"e\x1b[2J".to_vec()),
            mtu: Some(1500),
        }),
        Object::Unknown { class: 9, c_type: 200, payload: vec![0xc0, 0xff, 0xee] },
    ];
    for (more, compliant, checksum) in [
        ("", true, Checksum::Right),
        ("extension = 'rfc4884'", true, Checksum::Right),
        ("extension = 'old'", false, Checksum::Right),
        ("extension_checksum = 'wrong'", true, Checksum::Wrong),
        ("extension_checksum = 'absent'", true, Checksum::Absent),
    ] {
        let text = format!(
            "[[hop]]\naddress = '198.51.100.1'\naddress6 = '2001:db8:a::1'\n{keys}\n{more}"
        );
        let wanted =
            Extension { compliant, checksum, objects: objects.clone(), ending: Ending::Whole };
        for (family, len) in
            [(Family::V4, 40), (Family::V6, 40), (Family::V4, 1400), (Family::V6, 1400)]
        {
            let sent = send(family, UDP, 1, &udp(33434, len));
            let reply = ask_one(Topology::parse(&text, "t").unwrap(), sent.clone());
            let (_, _, quote, extension) = said(&reply);
            assert_eq!(extension.as_ref(), Some(&wanted), "{more}");
            let longest = Rules::of(family).longest_error;
            assert!(reply.len() <= longest && quote.len() >= 128);
            match (len, compliant) {
                (1400, true) => assert!(reply.len() + 8 > longest, "all the room is used"),
                (1400, false) => assert_eq!(quote, sent[..128]),
                _ => assert_eq!((quote.len(), &quote[..sent.len()]), (128, &sent[..])),
            }
        }
    }
}

#[test]
fn nothing_is_appended_to_what_cannot_have_it_nor_by_hosts_to_answers() {
    let text = "[[hop]]\naddress = '198.51.100.1'\naddress6 = '2001:db8:a::1'\nmtu = 59
        mpls = [{ label = 3 }]\n[target]\nports = 'open'\nmpls = [{ label = 3 }]";
    let net = || Topology::parse(text, "t").unwrap();
    let sent = send(Family::V6, UDP, 9, &udp(33434, 40));
    let (icmp, _, quote, extension) = said(&ask_one(net(), sent.clone()));
    assert_eq!((icmp, quote, extension), ((2, 0), sent, None));
    let reply = ask_one(net(), send(Family::V4, UDP, 9, &udp(33434, 38)));
    assert_eq!(open(&reply).1[8..], udp(0, 38)[8..]);
}

#[test]
fn flow_labels_spread_and_addresses_and_ports_too() {
    let fan = || Topology::new(3).hop(dual(1)).stage((2..6).map(dual).collect());
    let routers = |probes: &[Vec<u8>]| {
        let replies = ask_in_turn(fan(), probes);
        let sources = replies.iter().map(|replies| Header::decode(&replies[0].1).unwrap().source);
        sources.collect::<std::collections::BTreeSet<_>>().len()
    };
    let labelled = |label: u8| {
        let mut probe = send(Family::V6, UDP, 2, &udp(33434, 40));
        probe[3] = label;
        probe
    };
    let ports: Vec<_> =
        (33434..33474).map(|port| send(Family::V6, UDP, 2, &udp(port, 40))).collect();
    assert_eq!(routers(&(0..40).map(labelled).collect::<Vec<_>>()), 4);
    assert_eq!(routers(&vec![labelled(5); 40]), 1);
    assert_eq!(routers(&ports), 4);
}

#[test]
fn the_builtin_network_is_there_in_ipv6_and_tells_of_labels_and_interfaces() {
    let topology = Topology::builtin();
    let sources = (topology.source_for(TARGET.into()), topology.source_for(TARGET6.into()));
    assert_eq!(sources, (SOURCE.into(), SOURCE6.into()));
    for family in FAMILIES {
        let objects = (1..=10).map(|ttl| {
            let reply = ask(Topology::builtin(), send(family, UDP, ttl, &udp(33434, 40))).pop()?;
            let extension = said(&reply).3;
            Some(extension.map_or(vec![], |it| it.objects.iter().map(Object::class).collect()))
        });
        let none = Some(vec![]);
        let [labels, interface] = [Some(vec![1]), Some(vec![2])];
        let mut wanted = vec![none.clone(); 10];
        (wanted[2], wanted[3], wanted[5], wanted[7]) = (labels.clone(), labels, None, interface);
        assert_eq!(objects.collect::<Vec<_>>(), wanted);
        let syn = [&[0x30, 0x39, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2][..], &[0; 6]].concat();
        let reply = ask_one(Topology::builtin(), send(family, TCP, 10, &syn));
        assert_eq!(open(&reply).1[13], 0x12, "the target has open ports");
    }
}

#[test]
fn flaws_are_those_meant_in_ipv6_too() {
    let sent = send(Family::V6, UDP, 1, &udp(33434, 40));
    let broken = |kind| ask_one(alone(Node { malformed: Some(kind), ..dual(1) }), sent.clone());
    assert_eq!(said(&broken(Malformed::Truncated)).2, sent[..4]);
    let lying = said(&broken(Malformed::LyingIhl)).2;
    assert_eq!(ipv6::decode(&lying).unwrap().0.protocol, ipv6::HOP_BY_HOP);
    assert_eq!(said(&broken(Malformed::ZeroLength)).2[4..6], [0, 0]);
    let long = broken(Malformed::LyingLength);
    assert_eq!(usize::from(ipv6::decode(&long).unwrap().0.payload_len), long.len() - 40 + 64);
    for kind in [Malformed::BadChecksum, Malformed::Garbage] {
        let bytes = broken(kind);
        assert!(!Header::decode(&bytes).unwrap().accepts(&bytes[40..]), "{kind:?}");
    }
    for (field, spoilt) in [
        (Forged::Ports, [40..44, 0..0]),
        (Forged::Id, [2..4, 46..48]),
        (Forged::Destination, [38..40, 0..0]),
        (Forged::Source, [22..24, 0..0]),
    ] {
        let replies = ask(alone(Node { forged: Some(field), ..dual(1) }), sent.clone());
        let [forged, honest] = [said(&replies[0]), said(&replies[1])];
        assert_eq!((forged.0, &honest.2), ((3, 0), &sent));
        for (at, (lie, truth)) in forged.2.iter().zip(&sent).enumerate() {
            assert!(
                lie == truth || spoilt.iter().any(|range| range.contains(&at)),
                "{field:?} {at}"
            );
        }
        assert_ne!(forged.2, sent);
    }
}

#[test]
fn translation_changes_its_own_family_only() {
    for (family, address) in [(Family::V4, IpAddr::V6(hop6(50))), (Family::V6, hop6(50).into())] {
        for protocol in [UDP, ICMPV6].into_iter().filter(|it| family == Family::V6 || *it == UDP) {
            let nat = Some(Nat { address, quotes: NatQuotes::Outside, shift: 0 });
            let net = || alone(Node { nat, ..dual(1) }).hop(dual(2));
            let message =
                if protocol == UDP { udp(33434, 40) } else { vec![128, 0, 0, 0, 1, 2, 3, 4] };
            let (_, _, quote, _) = said(&ask_one(net(), send(family, protocol, 2, &message)));
            let header = Header::decode(&quote).unwrap();
            let outside = if family == Family::V6 { address } else { SOURCE.into() };
            assert_eq!(header.source, outside);
            assert!(header.accepts(&quote[header.len..]), "translated, checksum and all");
            assert_eq!(ask(net(), send(family, protocol, 3, &message)).len(), 1);
        }
    }
}

#[test]
fn nobody_answers_what_rfc_4443_says_they_must_not() {
    let expired = Refusal::from((3, 0)).quoting(&send(Family::V6, UDP, 1, &udp(33434, 40)));
    let mut bad_checksum = send(Family::V6, UDP, 9, &udp(33434, 40));
    bad_checksum[47] ^= 1;
    let mut no_checksum = bad_checksum.clone();
    datagram::put(&mut no_checksum, 46, &[0, 0]);
    let mut later_fragment = send(Family::V6, ipv6::FRAGMENT, 1, &[17, 0, 0, 8, 0, 0, 0, 1, 0, 0]);
    later_fragment[7] = 1;
    let short = send(Family::V6, UDP, 1, &udp(33434, 40))[..79].to_vec();
    for silent in [
        send(Family::V6, ICMPV6, 1, &expired),
        bad_checksum,
        no_checksum,
        later_fragment,
        short,
        vec![0x60; 39],
    ] {
        assert!(ask(alone(dual(1)), silent.clone()).is_empty(), "{silent:02x?}");
    }
    let elsewhere = alone(dual(1)).target_address(hop6(99));
    let reply = ask_one(elsewhere.clone(), send(Family::V6, UDP, 9, &udp(33434, 40)));
    assert_eq!(said(&reply).0, (1, 3));
    let reply = ask_one(elsewhere, send(Family::V4, UDP, 9, &udp(33434, 40)));
    assert_eq!(said(&reply).0, (3, 3), "the target is any in IPv4");
}
