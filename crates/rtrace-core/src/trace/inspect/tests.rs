use super::oddities::Oddity;
use super::place::Place;
use super::*;
use crate::probe::{Flow, FlowMode, ProbeType, craft};
use crate::trace::reply::ReplyKind;
use crate::wire::checksum::transport;
use crate::wire::extension::Family;
use crate::wire::{icmpv4, ipv4, ipv6};

fn config(kind: ProbeType) -> TraceConfig {
    let (source, target) = ([192, 0, 2, 2].into(), [203, 0, 113, 9].into());
    let flow = Flow { source, target, probe: kind, ident: 40_000 };
    TraceConfig { flow_mode: FlowMode::Classic, ..TraceConfig::of_flow(&flow) }
}

fn probe(kind: ProbeType) -> Vec<u8> {
    let mut bytes = Vec::new();
    craft::craft(&config(kind).spec(4), &mut bytes);
    bytes
}

fn reply(responder: IpAddr, icmp: (u8, u8)) -> Reply {
    let (icmp_type, code) = icmp;
    let kind = ReplyKind::Icmp { family: Family::V4, icmp_type, code, mtu: None };
    Reply { ttl: 60, ..Reply::plain(responder, kind) }
}

const IN_TRANSIT: (u8, u8) = (icmpv4::TIME_EXCEEDED, 0);
const DELIVERED: (u8, u8) = (icmpv4::UNREACHABLE, icmpv4::CODE_PORT);

fn compared(sent: &[u8], quoted: &[u8]) -> Comparison {
    let at = ProbeRef::Hop { ttl: 2, query: 1 };
    compare(sent, quoted, at, &reply([10, 0, 0, 1].into(), IN_TRANSIT)).unwrap()
}

/// A path from a word per hop, in which commas part its quotes. Each is the router (a letter, the target `!` if the TTL
/// ran out there, and `.` if it was reached), and a number for `change`, which writes it into the quote.
fn inspected(words: &str, change: impl Fn(&mut Vec<u8>, u8)) -> (Inspector, TraceConfig) {
    let config = config(ProbeType::Udp);
    let mut inspector = Inspector::new();
    for (ttl, word) in (1_u8..).zip(words.split(' ')) {
        for (query, item) in (0_u16..).zip(word.split(',')) {
            let (who, value) = item.split_at(1);
            let mut sent = Vec::new();
            let number = u32::from(ttl - 1) * u32::from(config.queries) + u32::from(query);
            craft::craft(&config.spec(number), &mut sent);
            let mut quoted = sent.clone();
            quoted[8] = 1;
            change(&mut quoted, value.parse().unwrap());
            quoted[10..12].fill(0);
            let sum = checksum(&quoted[..20]).to_be_bytes();
            quoted[10..12].copy_from_slice(&sum);
            let (responder, icmp) = match who {
                "!" => (config.target, IN_TRANSIT),
                "." => (config.target, DELIVERED),
                router => ([10, 0, 0, router.as_bytes()[0]].into(), IN_TRANSIT),
            };
            let at = ProbeRef::Hop { ttl, query };
            let it = compare(&sent, &quoted, at, &reply(responder, icmp));
            inspector.comparisons.extend(it);
        }
    }
    (inspector, config)
}

fn written(place: Place) -> String {
    let after = place.after.map_or("-".to_owned(), |after| after.to_string());
    format!("{after}:{}{}", place.at, if place.some_paths { " some" } else { "" })
}

fn changes(words: &str, change: impl Fn(&mut Vec<u8>, u8)) -> String {
    let (inspector, config) = inspected(words, change);
    let changes = inspector.changes(&config, &Path::new(&config, false));
    let written = changes.iter().map(|it| {
        let value = |value: &Value| match value {
            Value::Number(number) => number.to_string(),
            value => format!("{value:?}"),
        };
        let before = it.before.as_ref().map_or("?".to_owned(), value);
        format!("{} {before}>{}", written(it.place), value(&it.quoted))
    });
    written.collect::<Vec<_>>().join(", ")
}

#[test]
fn every_change_of_a_field_has_its_place() {
    let dscp = |quoted: &mut Vec<u8>, dscp: u8| quoted[1] = dscp << 2;
    for (path, expected) in [
        ("a0,a0 b0,b0 c0,c0", ""),
        // What a hop itself quotes unchanged does not hide the hop before.
        ("a0,a0 b0,b0 c10,c10 d10,d10", "2:3 0>10"),
        ("a10,a10 b10,b10", "-:1 0>10"),
        ("a0,a0 b10,b10 c10,c10 d20,d20 e0,e0", "1:2 0>10, 3:4 10>20, 4:5 20>0"),
        ("a0,a0 b10,b10 c0,c0 d10,d10", "1:2 0>10, 2:3 10>0, 3:4 0>10"),
        // On all paths, and on some: then only what lies before the parting is certain.
        ("a0,a0 b0,c0 d10,d10 e10,e10", "2:3 0>10"),
        ("a0,a0,a0 b0,c0,d0 e0,e10,e0 f0,f0,f0 g10,g0,g10", "1:3 some 0>10"),
        ("a0,a0 b0,c0 d0,d0 e10,e0", "1:4 some 0>10"),
        ("a0,a0 b0,c0 d10,d10 e0,e0 f10,f10", "1:3 some 0>10"),
        ("a0,a0 b10,c20 d10,d20", "1:2 some 0>10, 1:2 some 0>20"),
        // Rising ports, one probe each: hops may be of different paths.
        ("a0 b0 c10 d0 e10", "2:3 some 0>10"),
    ] {
        assert_eq!(changes(path, dscp), expected, "{path}");
    }
}

#[test]
fn what_becomes_something_else_in_every_probe_is_one_change() {
    let port = |quoted: &mut Vec<u8>, number: u8| {
        if number > 0 {
            quoted[20..22].copy_from_slice(&[200, number]);
            quoted[26..28].copy_from_slice(&[0, 0]);
        }
    };
    let found = changes("a0,a0 b1,b2 c3,c4 d5,d6", port);
    assert!(found.starts_with("1:2 40000>51201, 1:2 "), "{found}");
    assert_eq!(found.matches(':').count(), 2, "the port and the checksum: {found}");
}

#[test]
fn a_quote_that_ends_before_a_change_says_nothing_of_it() {
    // The number is that of the hop; from the third on an octet of the payload is another.
    let payload = |quoted: &mut Vec<u8>, hop: u8| {
        if hop > 2 {
            quoted[48] ^= 0xff;
        }
        if [2, 4].contains(&hop) {
            quoted.truncate(40);
        }
    };
    let (inspector, config) = inspected("a1 b2 c3 d4 e5", payload);
    let changes = inspector.changes(&config, &Path::new(&config, false));
    let places: Vec<_> = changes.iter().map(|it| written(it.place)).collect();
    assert_eq!(places, ["1:3"], "hop 2 does not quote so far, nor hop 4");
    let Change { before, quoted, .. } = &changes[0];
    assert_eq!(before.as_ref().unwrap().octets_changed(quoted).map(|(first, ..)| first), Some(20));
}

#[test]
fn odd_ttls_and_senders_have_their_places() {
    let (a, b) = (IpAddr::from([10, 0, 0, b'a']), IpAddr::from([10, 0, 0, b'b']));
    let cases: &[(&str, &[(&str, Oddity)])] = &[
        ("a1 b1 c1 .1", &[]),
        ("a1 b0 b1 c1 .1", &[("1:2", Oddity::TtlZero)]),
        ("a1 b0 b1 c0 c1 .1", &[("1:2", Oddity::TtlZero), ("3:4", Oddity::TtlZero)]),
        // What a router quotes after it took its own one off is no TTL that arrived.
        ("a0 b1 c1 .1", &[("-:1", Oddity::TtlZeroQuoted { certain: true })]),
        ("a1 b0 c1 .1", &[("1:2", Oddity::TtlZeroQuoted { certain: true })]),
        ("a1 b0 .1", &[("1:2", Oddity::TtlZeroQuoted { certain: true })]),
        ("a0 a1 b1 .1", &[("-:1", Oddity::TtlZero)]),
        ("a1 b1 .0", &[("2:3", Oddity::TtlZero)]),
        (
            "a1 b0 c0 c1 .1",
            &[("1:2", Oddity::TtlZeroQuoted { certain: false }), ("2:3", Oddity::TtlZero)],
        ),
        ("a1 b0", &[("1:2", Oddity::TtlZeroQuoted { certain: false })]),
        ("a1 b0 b0 c1 .1", &[("2:3", Oddity::Repeated { router: b, first: 2, last: 3 })]),
        ("a1 b1 b1 c1 .1", &[("2:3", Oddity::Repeated { router: b, first: 2, last: 3 })]),
        ("a1 b1 b2 c1 .1", &[("2:3", Oddity::Repeated { router: b, first: 2, last: 3 })]),
        ("a1 a1 a1 b1", &[("1:2", Oddity::Repeated { router: a, first: 1, last: 3 })]),
        ("a1 b1 c2 d3 e1 .1", &[("2:3", Oddity::TtlKept { quoted: 2 })]),
        ("a1 b1 .56", &[("2:3", Oddity::TtlSet { sent: 3, quoted: 56 })]),
        ("a1 b1 .2", &[("2:3", Oddity::TtlSet { sent: 3, quoted: 2 })]),
        // The way of the last probe is shorter, or who answers is no further away.
        ("a1 b1,c1 .2", &[]),
        ("a1 b1 !1 !1 .1", &[("2:3", Oddity::FromTarget)]),
        ("a1 b1,b1 c1,!1 .1", &[("2:3 some", Oddity::FromTarget)]),
    ];
    for (path, expected) in cases {
        let (inspector, config) = inspected(path, |quoted, ttl| quoted[8] = ttl);
        let odd = inspector.oddities(&config, &Path::new(&config, false));
        let odd: Vec<_> = odd.iter().map(|it| (written(it.place), it.oddity)).collect();
        let expected: Vec<_> = expected.iter().map(|(at, it)| ((*at).to_owned(), *it)).collect();
        assert_eq!(odd, expected, "{path}");
    }
}

#[test]
fn a_scout_whose_ttl_was_set_anew_is_of_no_hop() {
    let sent = probe(ProbeType::Udp);
    for (ttl, placed) in [(1, true), (sent[8], true), (sent[8] + 1, false)] {
        let mut quoted = sent.clone();
        quoted[8] = ttl;
        let reply = reply([203, 0, 113, 9].into(), DELIVERED);
        let it = compare(&sent, &quoted, ProbeRef::Scout, &reply).unwrap();
        assert_eq!(it.can_be_placed(), placed, "{ttl}");
    }
}

/// The checksum of the quoted header says with which TTL it arrived.
#[test]
fn a_ttl_that_was_taken_off_before_quoting_did_not_arrive() {
    let sent = probe(ProbeType::Udp);
    for (lowered, arrived) in [(true, 1), (false, 0)] {
        let mut quoted = sent.clone();
        (quoted[8], quoted[10], quoted[11]) = (arrived, 0, 0);
        let sum = checksum(&quoted[..20]).to_be_bytes();
        quoted[10..12].copy_from_slice(&sum);
        quoted[8] = 0;
        let it = compared(&sent, &quoted);
        assert_eq!((it.ttl, it.ttl_lowered), (Some(0), lowered));
        assert_eq!(it.oddities([203, 0, 113, 9].into()), []);
    }
}

/// What is quoted for a length of 60, and whether it is a change of the path.
#[test]
fn a_way_of_quoting_is_no_change_of_the_path() {
    let length = |quoted: &mut Vec<u8>, number: u8| {
        let length: u16 = match number {
            0 => 60,
            1 => 60 << 8,
            2 => 40,
            3 => 40 << 8,
            4 => 0,
            _ => 57,
        };
        quoted[2..4].copy_from_slice(&length.to_be_bytes());
    };
    for (path, told, changed) in [
        ("a0 b1 c0", vec![(2, Some(Manner::Swapped))], ""),
        (
            "a0 b2 c2 d0",
            vec![(2, Some(Manner::WithoutHeader)), (3, Some(Manner::WithoutHeader))],
            "",
        ),
        ("a3 b0", vec![(1, Some(Manner::SwappedWithoutHeader))], ""),
        ("a0 b4", vec![(2, Some(Manner::Zero))], ""),
        ("a0 b5 c0", vec![(2, None)], ""),
        // Another value that no hop puts back.
        ("a0,a0 b5,b5 c5,c5", vec![], "1:2 60>57"),
        ("a0,a0 b5,b5 c1,c1 d5,d5", vec![(3, Some(Manner::Swapped))], "1:2 60>57"),
    ] {
        assert_eq!(changes(path, length), changed, "{path}");
        let (inspector, config) = inspected(path, length);
        let odd = inspector.oddities(&config, &Path::new(&config, false));
        let odd = odd.iter().map(|it| match it.oddity {
            Oddity::Quoting { field: "total length", manner, .. } => (it.place.at, manner),
            other => panic!("{other:?}"),
        });
        assert_eq!(odd.collect::<Vec<_>>(), told, "{path}");
    }
}

#[test]
fn checksums_of_different_probes_show_how_often_they_were_changed() {
    // Each probe has its own; what is added is the number.
    let add = |quoted: &mut Vec<u8>, number: u8| {
        let sum = u16::from_be_bytes([quoted[26], quoted[27]]);
        let sum = (u32::from(sum) + u32::from(number)) % 0xffff;
        quoted[26..28].copy_from_slice(&u16::try_from(sum).unwrap().to_be_bytes());
    };
    for (path, places) in [
        ("a0,a0 b7,b7 c7,c7 d7,d7", vec!["1:2"]),
        ("a0,a0 b7,b7 c9,c9 d9,d9", vec!["1:2", "2:3"]),
        ("a7,a7 b9,b9 c3,c3", vec!["-:1", "1:2", "2:3"]),
        ("a0,a0 b7,b7 c0,c0 d9,d9", vec!["1:2", "2:3", "3:4"]),
    ] {
        let (inspector, config) = inspected(path, add);
        let changes = inspector.changes(&config, &Path::new(&config, false));
        assert_eq!(
            changes.iter().map(|it| written(it.place)).collect::<Vec<_>>(),
            places,
            "{path}"
        );
        let translated = changes.iter().filter(|it| it.quoted != it.sent);
        assert!(translated.clone().all(|it| it.suggests_restored_quote), "{path}");
        assert!(changes.iter().all(|it| it.before.is_some()), "{path}: each is known of its probe");
        assert!(inspector.oddities(&config, &Path::new(&config, false)).is_empty(), "{path}");
    }
}

/// An IPv6 probe that goes by way of `2001:db8::a` to `2001:db8::b`.
#[test]
fn a_routing_header_is_no_translation() {
    let address = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let mut sent = vec![0x60, 0, 0, 0, 0, 36, ipv6::ROUTING, 3];
    sent.extend([address(1), address(0xa)].concat());
    sent.extend([ipv4::UDP, 2, 0, 1, 0, 0, 0, 0]);
    sent.extend(address(0xb));
    sent.extend([0x9c, 0x40, 0x82, 0x9a, 0, 12, 0x12, 0x34, 1, 2, 3, 4]);
    let with = |destination: u8| {
        let mut quoted = sent.clone();
        quoted[24..40].copy_from_slice(&address(destination));
        (quoted[7], quoted[43]) = (1, 0);
        let at = ProbeRef::Hop { ttl: 2, query: 1 };
        let target = IpAddr::from(address(0xa));
        let it = compare(&sent, &quoted, at, &reply(target, IN_TRANSIT)).unwrap();
        (fields(&it).len(), it.oddities(target))
    };
    assert_eq!(with(0xb), (0, vec![]), "its next address");
    assert_eq!(with(0xc).0, 1, "one that it does not name");
}

#[test]
fn what_fills_up_a_quote_is_not_compared() {
    let sent = probe(ProbeType::Udp);
    let mut quoted = sent[..28].to_vec();
    quoted.resize(128, 0);
    assert_eq!(without_padding(&quoted, &sent).len(), 28);
    // A datagram that ends in zeros of its own, and one that is there as it was sent.
    assert_eq!(without_padding(&[1, 0, 0, 0], &[1, 0, 0]).len(), 4);
    assert_eq!(without_padding(&sent, &sent).len(), sent.len());
}

fn fields(it: &Comparison) -> Vec<&'static str> {
    it.differences.iter().map(|difference| difference.field).collect()
}

#[test]
fn what_is_quoted_as_it_was_sent_shows_no_change() {
    for kind in [ProbeType::Udp, ProbeType::TcpSyn, ProbeType::IcmpEcho] {
        let sent = probe(kind);
        for len in [28, 40, sent.len()] {
            let mut quoted = sent[..len].to_vec();
            quoted[8] = 1;
            assert_eq!(fields(&compared(&sent, &quoted)), [""; 0], "{kind:?} {len}");
        }
    }
}

/// Octets of the quote, and what that is a change of.
#[test]
fn every_field_has_its_name() {
    let changes: [(ProbeType, usize, &[&str]); 12] = [
        (ProbeType::Udp, 1, &["DSCP", "ECN"]),
        (ProbeType::Udp, 2, &["total length"]),
        (ProbeType::Udp, 5, &["identification"]),
        (ProbeType::Udp, 6, &["flags", "fragment offset"]),
        (ProbeType::Udp, 13, &[SOURCE]),
        (ProbeType::Udp, 19, &[DESTINATION]),
        (ProbeType::Udp, 21, &["source port"]),
        (ProbeType::Udp, 27, &["UDP checksum"]),
        (ProbeType::Udp, 40, &["payload"]),
        (ProbeType::TcpSyn, 25, &["sequence number"]),
        (ProbeType::TcpSyn, 43, &["MSS", "TCP options"]),
        (ProbeType::IcmpEcho, 27, &["sequence number"]),
    ];
    for (kind, octet, expected) in changes {
        let sent = probe(kind);
        let mut quoted = sent.clone();
        quoted[octet] ^= 0xff;
        // A fragment's payload is that of no header: the rest of the header is what counts here.
        assert_eq!(fields(&compared(&sent, &quoted)), expected, "{kind:?} {octet}");
    }
}

/// A probe, what became of it, how much of it is quoted, and what the checksum says then.
#[test]
fn checksums_are_verified_as_far_as_quotes_reach() {
    use Verdict::{Absent, Right, Wrong};
    type Case = (ProbeType, &'static [(usize, u8)], usize, Option<Verdict>);
    let cases: [Case; 13] = [
        (ProbeType::Udp, &[], 28, Some(Right)),
        (ProbeType::Udp, &[], 27, None),
        (ProbeType::Udp, &[(40, 0xff)], 60, Some(Wrong)),
        // Not quoted so far.
        (ProbeType::Udp, &[(40, 0xff)], 36, Some(Right)),
        (ProbeType::Udp, &[(26, 0), (27, 0)], 60, Some(Absent)),
        (ProbeType::Udp, &[(19, 8)], 28, Some(Wrong)),
        // A length that a host has mangled.
        (ProbeType::Udp, &[(3, 40)], 60, None),
        (ProbeType::TcpSyn, &[], 60, Some(Right)),
        (ProbeType::TcpSyn, &[], 28, None),
        (ProbeType::IcmpEcho, &[], 28, Some(Right)),
        (ProbeType::IcmpEcho, &[(25, 0xff)], 28, Some(Wrong)),
        (ProbeType::UdpLite, &[], 28, Some(Right)),
        (ProbeType::UdpLite, &[(29, 0xff)], 60, Some(Wrong)),
    ];
    for (kind, changes, len, expected) in cases {
        let sent = probe(kind);
        let mut quoted = sent.clone();
        for (at, octet) in changes {
            quoted[*at] = *octet;
        }
        quoted.truncate(len);
        assert_eq!(compared(&sent, &quoted).checksum, expected, "{kind:?} {changes:?} {len}");
    }
}

#[test]
fn a_checksum_that_nat_adjusted_fits() {
    let sent = probe(ProbeType::Udp);
    let mut quoted = sent.clone();
    quoted[12..16].copy_from_slice(&[198, 51, 100, 7]);
    quoted[20..22].copy_from_slice(&[4, 1]);
    quoted[26..28].fill(0);
    let sum =
        transport([198, 51, 100, 7].into(), [203, 0, 113, 9].into(), ipv4::UDP, &quoted[20..]);
    quoted[26..28].copy_from_slice(&sum.to_be_bytes());
    let nat = compared(&sent, &quoted[..28]);
    assert_eq!(fields(&nat), [SOURCE, "source port", "UDP checksum"]);
    assert_eq!((nat.checksum, nat.suggests_restored_quote()), (Some(Verdict::Right), false));
    // The same with everything put back but the checksum.
    quoted[..26].copy_from_slice(&sent[..26]);
    for len in [28, sent.len()] {
        let restored = compared(&sent, &quoted[..len]);
        assert_eq!(fields(&restored), ["UDP checksum"]);
        assert!(restored.suggests_restored_quote());
    }
    // And where something else was changed that the checksum covers.
    quoted[21] ^= 1;
    assert!(!compared(&sent, &quoted).suggests_restored_quote());
}

#[test]
fn a_checksum_that_the_card_completes_was_not_changed() {
    let finished = probe(ProbeType::Udp);
    let mut sent = finished.clone();
    sent[26] ^= 0x55;
    let it = compared(&sent, &finished);
    assert_eq!((fields(&it), it.checksum), (vec![], Some(Verdict::Right)));
}
