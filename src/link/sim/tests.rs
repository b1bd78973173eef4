//! What probes see of a simulated network, through the link only.

use std::net::Ipv4Addr;

use super::datagram::{self, Envelope, Header};
use super::refusal::Refusal;
use super::*;
use crate::wire::checksum::checksum;
use crate::wire::icmpv4;
use crate::wire::ipv4::{self, ICMP, Ipv4Header, TCP, UDP};

const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const TARGET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// The address of the router at this distance.
fn hop(distance: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, distance)
}

fn router(distance: u8) -> Node {
    Node::at(hop(distance))
}

fn chain(length: u8) -> Topology {
    (1..=length).fold(Topology::new(1), |topology, distance| topology.hop(router(distance)))
}

fn datagram(protocol: u8, ttl: u8, id: u16, message: &[u8]) -> Vec<u8> {
    Envelope { source: SOURCE.into(), destination: TARGET.into(), protocol, tos: 0, id, ttl }
        .seal(message.to_vec())
}

/// A UDP probe of 60 bytes.
fn probe(ttl: u8, port: u16) -> Vec<u8> {
    let mut message = vec![0x40; 40];
    datagram::put(&mut message, 0, &0xbeef_u16.to_be_bytes());
    datagram::put(&mut message, 2, &port.to_be_bytes());
    datagram::put(&mut message, 4, &40_u16.to_be_bytes());
    datagram(UDP, ttl, port, &message)
}

/// Sends each of these, one a second, and returns every reply after each.
fn ask_in_turn(topology: Topology, probes: &[Vec<u8>]) -> Vec<Vec<(Timestamp, Vec<u8>)>> {
    let mut link = SimLink::new(topology).without_echo();
    let mut replies = Vec::new();
    for probe in probes {
        let until = link.now().after(Span::from_millis(1000));
        link.send(&Transmit { destination: TARGET.into(), datagram: probe }).unwrap();
        let mut own = Vec::new();
        while let Received::Frame(frame) = link.receive(Some(until)).unwrap() {
            own.push((frame.at, frame.bytes.to_vec()));
        }
        replies.push(own);
    }
    replies
}

/// The replies to one probe.
fn ask(topology: Topology, probe: Vec<u8>) -> Vec<Vec<u8>> {
    let mut replies = ask_in_turn(topology, &[probe]);
    replies.remove(0).into_iter().map(|(_, bytes)| bytes).collect()
}

/// The one reply to one probe.
fn ask_one(topology: Topology, probe: Vec<u8>) -> Vec<u8> {
    let mut replies = ask(topology, probe);
    assert_eq!(replies.len(), 1);
    replies.remove(0)
}

/// How many of these, sent one a second, are answered how often.
fn answers(topology: Topology, probes: &[Vec<u8>]) -> Vec<usize> {
    ask_in_turn(topology, probes).iter().map(Vec::len).collect()
}

/// An ICMP error: its IP header, type and code, and quote; all checksums must be right.
fn error(bytes: &[u8]) -> (Ipv4Header, (u8, u8), &[u8]) {
    let (header, message) = ipv4::decode(bytes).unwrap();
    assert_eq!(usize::from(header.total_len), bytes.len());
    assert_eq!((header.protocol, header.destination), (ICMP, SOURCE));
    assert_eq!((checksum(&bytes[..20]), checksum(message)), (0, 0));
    let (icmp, quote) = icmpv4::decode(message).unwrap();
    (header, (icmp.icmp_type, icmp.code), quote)
}

#[test]
fn each_ttl_ends_at_its_hop_and_is_quoted_as_received() {
    for ttl in 1..=5 {
        let sent = probe(ttl, 33434);
        let reply = ask_one(chain(4), sent.clone());
        let (header, icmp, quote) = error(&reply);
        let (quoted, _) = ipv4::decode(quote).unwrap();
        assert_eq!((quoted.ttl, quoted.id, quoted.total_len), (1, 33434, 60));
        assert_eq!(checksum(&quote[..20]), 0);
        assert_eq!(quote[20..], sent[20..], "ttl {ttl}");
        let wanted =
            if ttl == 5 { (TARGET, (3, 3), 60) } else { (hop(ttl), (11, 0), 255 - (ttl - 1)) };
        assert_eq!((header.source, icmp, header.ttl), wanted);
        assert_eq!(header.tos, 0xc0);
    }
}

#[test]
fn time_jumps_to_the_next_frame_and_round_trips_add_up() {
    let topology =
        Topology::new(0).hop(Node { delay: Span::from_millis(100), ..router(1) }).hop(Node {
            delay: Span::from_millis(200),
            reply_delay: Span::from_millis(7),
            ..router(2)
        });
    let mut link = SimLink::new(topology);
    assert!(link.echoes());
    let sent = probe(2, 33434);
    link.send(&Transmit { destination: TARGET.into(), datagram: &sent }).unwrap();
    let Received::Frame(echo) = link.receive(None).unwrap() else { panic!("no echo") };
    assert_eq!((echo.bytes, echo.link, echo.number), (&sent[..], LinkType::Raw, 0));
    let departed = echo.at;
    let before = departed.after(Span::from_millis(606));
    assert!(matches!(link.receive(Some(before)).unwrap(), Received::Quiet(at) if at == before));
    assert_eq!(link.now(), before);
    assert!(matches!(link.receive(Some(START)).unwrap(), Received::Quiet(at) if at == before));
    let Received::Frame(reply) = link.receive(None).unwrap() else { panic!("no reply") };
    assert_eq!(reply.at.since(departed), Span::from_millis(607));
    assert!(matches!(link.receive(None).unwrap(), Received::End));
    assert_eq!(link.now(), departed.after(Span::from_millis(607)));
}

#[test]
fn flows_keep_together_and_packets_spread() {
    let fan = |balance| {
        let stage = (2..6).map(router).collect();
        Topology::new(3).hop(Node { balance, ..router(1) }).stage(stage)
    };
    let sources = |topology, probes: &[Vec<u8>]| -> Vec<Ipv4Addr> {
        let replies = ask_in_turn(topology, probes);
        replies.iter().map(|replies| error(&replies[0].1).0.source).collect()
    };
    let distinct =
        |addresses: &[Ipv4Addr]| addresses.iter().collect::<std::collections::BTreeSet<_>>().len();
    let ports: Vec<_> = (33434..33474).map(|port| probe(2, port)).collect();
    let same = vec![probe(2, 33434); 40];
    let flows = sources(fan(Balance::Flow), &ports);
    assert_eq!(distinct(&flows), 4);
    assert_eq!(distinct(&sources(fan(Balance::Flow), &same)), 1);
    assert_eq!(distinct(&sources(fan(Balance::Packet), &same)), 4);
    let backwards: Vec<_> = ports.iter().rev().cloned().collect();
    let mut again = sources(fan(Balance::Flow), &backwards);
    again.reverse();
    assert_eq!(again, flows, "the way is a function of the flow alone");
}

#[test]
fn weights_decide_and_branches_may_differ_in_length() {
    let text = r#"
        [[hop]]
        address = "198.51.100.1"
        balance = "packet"
        next = ["rare", "target"]
        [[hop]]
        name = "rare"
        routers = [{ address = "198.51.100.2", weight = 1 }, { address = "198.51.100.3", weight = 98 }]
    "#;
    let replies = ask_in_turn(Topology::parse(text, "t").unwrap(), &vec![probe(2, 33434); 400]);
    let count =
        |address| replies.iter().filter(|replies| error(&replies[0].1).0.source == address).count();
    let [rare, common, target] = [count(hop(2)), count(hop(3)), count(TARGET)];
    assert_eq!(rare + common + target, 400);
    assert!(common > 370 && target > 0, "{rare} {common} {target}");
}

#[test]
fn chance_is_seeded_and_repeats() {
    let probes = vec![probe(1, 33434); 200];
    let flaws = [
        Node { loss: 0.3, ..router(1) },
        Node { reply_loss: 0.3, ..router(1) },
        Node { duplicate: 0.3, ..router(1) },
    ];
    for flaw in flaws {
        let with = |seed| answers(Topology::new(seed).hop(flaw.clone()), &probes);
        let counts = with(1);
        let usual = counts.iter().filter(|count| **count == 1).count();
        assert!((100..180).contains(&usual), "{flaw:?}: {usual}");
        assert_eq!(with(1), counts);
        assert_ne!(with(2), counts);
    }
    for seed in 0..20 {
        let run = || ask_in_turn(Topology::random(seed), &probes);
        assert_eq!(run(), run());
    }
}

#[test]
fn a_duplicate_is_the_same_bytes_and_replies_count_their_ids() {
    let replies = ask(chain(0).hop(Node { duplicate: 1.0, ..router(1) }), probe(1, 33434));
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], replies[1]);
    let replies = ask_in_turn(chain(1), &vec![probe(1, 33434); 3]);
    let ids: Vec<_> = replies.iter().map(|replies| error(&replies[0].1).0.id).collect();
    assert_eq!([ids[1], ids[2]], [ids[0].wrapping_add(1), ids[0].wrapping_add(2)]);
}

#[test]
fn rate_limits_let_a_burst_out_and_then_so_many_a_second() {
    let rate = |per_second, burst| Node {
        rate: Some(Rate { per_second, burst, ..Rate::default() }),
        ..router(1)
    };
    let all = |rate| Node { rate_all: Some(rate), ..router(1) };
    for (node, wanted) in [
        (rate(0.25, 2), [1, 1, 0, 0, 1, 0, 0, 0]),
        (rate(10.0, 1), [1; 8]),
        // A second later the bucket has been filled again; by others it is used up.
        (all(Rate { per_second: 1.0, burst: 1, window: true, ..Rate::default() }), [1; 8]),
        (all(Rate { per_second: 1.0, burst: 1, others: 1e6, ..Rate::default() }), [0; 8]),
        (Node { silent: true, ..router(1) }, [0; 8]),
    ] {
        let topology = Topology::new(0).hop(node);
        assert_eq!(answers(topology, &vec![probe(1, 33434); 8]), wanted);
    }
}

#[test]
fn held_replies_come_later_than_the_next() {
    let hold = Some(Hold { chance: 1.0, delay: Span::from_millis(1500) });
    let topology = Topology::new(0).hop(Node { hold, ..router(1) });
    assert_eq!(answers(topology, &vec![probe(1, 33434); 4]), [0, 1, 1, 1]);
}

#[test]
fn routers_refuse_what_they_should_forward() {
    let big = |node| Topology::new(0).hop(node).hop(router(2));
    let mut whole = probe(2, 33434);
    datagram::put(&mut whole, 6, &[0x40]);
    datagram::seal(&mut whole);
    for (node, sent, from, wanted, ttl) in [
        (Node { unreachable: Some(13.into()), ..router(1) }, probe(1, 33434), hop(1), (11, 0), 1),
        (Node { unreachable: Some(13.into()), ..router(1) }, probe(9, 33434), hop(1), (3, 13), 9),
        (Node { mtu: Some(59), ..router(1) }, whole.clone(), hop(1), (3, 4), 2),
        (Node { mtu: Some(60), ..router(1) }, whole, hop(2), (11, 0), 1),
        (Node { mtu: Some(59), ..router(1) }, probe(2, 33434), hop(2), (11, 0), 1),
        (Node { expiry: Expiry::ForwardZero, ..router(1) }, probe(1, 33434), hop(2), (11, 0), 0),
        (Node { expiry: Expiry::Hidden, ..router(1) }, probe(1, 33434), hop(2), (11, 0), 1),
        (Node { reply_from: hop(77).into(), ..router(1) }, probe(1, 33434), hop(77), (11, 0), 1),
    ] {
        let reply = ask_one(big(node), sent);
        let (header, icmp, quote) = error(&reply);
        assert_eq!((header.source, icmp), (from, wanted));
        if icmp == (3, 4) {
            assert_eq!(reply[26..28], 59_u16.to_be_bytes());
        }
        assert_eq!(quote[8], ttl, "{icmp:?}");
    }
}

#[test]
fn quotes_and_reply_ttls_are_as_told() {
    for (quote, wanted) in
        [(Some(0), 0), (Some(8), 8), (Some(28), 28), (None, 60), (Some(usize::MAX), 60)]
    {
        let reply = ask_one(chain(0).hop(Node { quote, ..router(1) }), probe(1, 33434));
        assert_eq!(error(&reply).2.len(), wanted);
    }
    let far = |reply_ttl, return_hops| {
        let node = Node { reply_ttl, return_hops, ..router(3) };
        ask(chain(2).hop(node), probe(3, 33434)).first().map(|reply| error(reply).0.ttl)
    };
    assert_eq!(far(64, None), Some(62));
    assert_eq!(far(64, Some(11)), Some(53));
    assert_eq!(far(2, None), None, "it ends on the return path");
}

#[test]
fn the_target_answers_each_protocol() {
    let echo = [8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xaa];
    let syn = [&[0x30, 0x39, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2][..], &[0; 6]].concat();
    let reset = [&[0x30, 0x39, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 4][..], &[0; 6]].concat();
    let open = || chain(2).target(Node { ports: Ports::Open, ..Node::host() });
    for (topology, sent, wanted) in [
        (chain(2), datagram(ICMP, 3, 7, &echo), Some((ICMP, &[0][..]))),
        (open(), probe(3, 33434), Some((UDP, &[0x82, 0x9a, 0xbe, 0xef]))),
        (chain(2), datagram(TCP, 3, 7, &syn), Some((TCP, &[0, 80, 0x30, 0x39]))),
        (open(), datagram(TCP, 3, 7, &syn), Some((TCP, &[0, 80, 0x30, 0x39]))),
        (open(), datagram(TCP, 3, 7, &reset), None),
        (chain(2), datagram(132, 3, 7, &syn), Some((ICMP, &[3, 2]))),
        (chain(2).target_address(hop(99)), probe(3, 33434), Some((ICMP, &[3, 1]))),
    ] {
        let reply = ask(topology, sent).pop();
        let parts = reply.as_deref().map(|reply| {
            let (header, message) = ipv4::decode(reply).unwrap();
            assert!(Header::decode(reply).unwrap().accepts(message), "{reply:02x?}");
            assert_eq!(header.destination, SOURCE);
            (header.protocol, message.to_vec())
        });
        assert_eq!(parts.is_some(), wanted.is_some());
        if let (Some((protocol, message)), Some((number, start))) = (parts, wanted) {
            assert_eq!(protocol, number);
            assert!(message.starts_with(start), "{message:02x?}");
        }
    }
}

#[test]
fn nobody_answers_what_rfc_1122_says_they_must_not() {
    let expired = Refusal::from((11, 0)).quoting(&probe(1, 33434));
    let mut bad_header = probe(1, 33434);
    bad_header[10] ^= 1;
    let mut bad_checksum = probe(3, 33434);
    bad_checksum[27] ^= 1;
    let mut fragment = probe(1, 33434);
    datagram::put(&mut fragment, 6, &[0, 5]);
    datagram::seal(&mut fragment);
    let short = probe(1, 33434)[..59].to_vec();
    for silent in [
        datagram(ICMP, 1, 7, &expired),
        bad_header,
        bad_checksum,
        fragment,
        short,
        vec![],
        vec![0x60; 60],
        vec![0x4f; 60],
    ] {
        assert!(ask(chain(2), silent.clone()).is_empty(), "{silent:02x?}");
    }
}

#[test]
fn malformed_replies_are_broken_in_the_one_way_meant() {
    let broken = |kind| {
        let node = Node { malformed: Some(kind), ..router(1) };
        ask_one(Topology::new(0).hop(node), probe(1, 33434))
    };
    let cut = broken(Malformed::Truncated);
    assert_eq!(error(&cut).2.len(), 4);
    let lying = broken(Malformed::LyingIhl);
    assert_eq!(error(&lying).2[0], 0x4f);
    let zero = broken(Malformed::ZeroLength);
    assert_eq!(error(&zero).2[2..4], [0, 0]);
    let long = broken(Malformed::LyingLength);
    assert_eq!((checksum(&long[..20]), long.len()), (0, 88));
    assert_eq!(ipv4::decode(&long).unwrap().0.total_len, 152);
    for kind in [Malformed::BadChecksum, Malformed::Garbage] {
        let bytes = broken(kind);
        assert_ne!(checksum(&bytes[20..]), 0, "{kind:?}");
        assert_eq!((checksum(&bytes[..20]), bytes.len()), (0, 88));
    }
}

#[test]
fn forged_replies_quote_a_probe_that_was_never_sent() {
    let sent = probe(1, 33434);
    for (field, untouched) in [
        (Forged::Ports, vec![4..6, 12..20, 24..60]),
        (Forged::Id, vec![12..26, 28..60]),
        (Forged::Destination, vec![4..6, 12..16, 20..60]),
        (Forged::Source, vec![4..6, 16..20, 20..60]),
    ] {
        let node = Node { forged: Some(field), ..router(1) };
        let replies = ask(Topology::new(0).hop(node), sent.clone());
        let [forged, honest] = [error(&replies[0]), error(&replies[1])];
        assert_eq!(honest.2, sent);
        assert_ne!(forged.2, sent);
        assert_eq!((forged.0.source, forged.1), (hop(1), (11, 0)));
        for range in untouched {
            assert_eq!(forged.2[range.clone()], sent[range.clone()], "{field:?} {range:?}");
        }
    }
}

#[test]
fn address_translation_shows_in_the_quote() {
    for (quotes, source) in [(NatQuotes::Restored, SOURCE), (NatQuotes::Outside, hop(50))] {
        let nat = Some(Nat { address: hop(50).into(), quotes, shift: 0 });
        let topology = || Topology::new(0).hop(Node { nat, ..router(1) }).hop(router(2));
        let sent = probe(2, 33434);
        let reply = ask_one(topology(), sent.clone());
        let (header, _, quote) = error(&reply);
        let (quoted, message) = ipv4::decode(quote).unwrap();
        assert_eq!((header.source, quoted.source, quoted.ttl), (hop(2), source, 1));
        assert_eq!(checksum(&quote[..20]), 0);
        assert_ne!(quote[26..28], sent[26..28], "the checksum of UDP stays translated");
        let outside = Header { source: hop(50).into(), ..Header::decode(quote).unwrap() };
        assert!(outside.accepts(message));
        let arrived = ask_one(topology(), probe(3, 33434));
        assert_eq!(error(&arrived).1, (3, 3), "the target finds the checksum right");
    }
}

#[test]
fn the_builtin_network_is_what_a_newcomer_should_see() {
    let counts: Vec<usize> = (1..=10)
        .map(|ttl| {
            let mut link = SimLink::new(Topology::builtin()).without_echo();
            for port in 33434..33437 {
                let datagram = &probe(ttl, port);
                link.send(&Transmit { destination: TARGET.into(), datagram }).unwrap();
            }
            std::iter::from_fn(|| match link.receive(None).unwrap() {
                Received::Frame(frame) => {
                    assert!(frame.at.since(START) < Span::from_millis(60));
                    Some(())
                }
                _ => None,
            })
            .count()
        })
        .collect();
    assert_eq!(counts, [3, 3, 3, 3, 3, 0, 2, 3, 3, 3]);
}

#[test]
fn any_network_gives_frames_in_order_and_goes_quiet() {
    for seed in 0..200 {
        let mut link = SimLink::new(Topology::random(seed));
        let mut last = START;
        for n in 0..60 {
            let ttl = u8::try_from(n % 20).unwrap();
            let family = words::FAMILIES[usize::from(n / 2 % 2)];
            let (protocol, port) = [(UDP, 33434 + n), (TCP, 80), (UDP, 53)][usize::from(n % 3)];
            let datagram = &words::send(family, protocol, ttl, &words::udp(port, 40));
            link.send(&Transmit { destination: TARGET.into(), datagram }).unwrap();
            let until = link.now().after(Span::from_millis(3));
            while let Received::Frame(frame) = link.receive(Some(until)).unwrap() {
                assert!(frame.at >= last && frame.at <= until, "seed {seed}");
                last = frame.at;
            }
            assert_eq!(link.now(), until);
        }
        while let Received::Frame(frame) = link.receive(None).unwrap() {
            assert!(frame.at >= last, "seed {seed}");
            last = frame.at;
        }
    }
}

mod hosts;
mod words;
