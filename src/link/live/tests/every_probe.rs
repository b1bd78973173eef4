//! Every kind of probe in both families, sent to a host in a second namespace: each is seen leaving
//! as it was crafted, and what the host says to it follows, with nothing in between.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, channel};

use super::*;
use crate::wire::{checksum, icmpv4, icmpv6};

const NEAR: &[&str] = &[
    "link set lo up",
    "link set up0 addrgenmode none",
    "link set up0 up",
    "address add 10.0.0.1/24 dev up0",
    "address add fd00::1/64 dev up0 nodad",
    "address add fe80::1/64 dev up0 nodad",
    "route add blackhole fd00:3::/64",
];

const FAR: &[&str] = &[
    "link set far0 addrgenmode none",
    "link set far0 up",
    "address add 10.0.0.2/24 dev far0",
    "address add fd00::2/64 dev far0 nodad",
    "address add fe80::2/64 dev far0 nodad",
];

/// The neighbour's addresses, and by which zone they are reached.
pub(super) const TARGETS: [(&str, Option<&str>); 3] =
    [("10.0.0.2", None), ("fd00::2", None), ("fe80::2", Some("up0"))];

const OPEN_PORT: u16 = 80;
pub(super) const CLOSED_PORT: u16 = 33_434;
const UNKNOWN_PROTOCOL: u8 = 99;
const FLOW_LABEL: u32 = 0xa_bcde;
const HOP_LIMIT: u8 = 33;

/// Runs `test` with a cable from up0 to a neighbour that listens on TCP port 80.
pub(super) fn with_a_neighbour(test: impl FnOnce() + Send) {
    with_a_neighbour_in(|_| test());
}

/// Like [`with_a_neighbour`], for a test that needs to know the neighbour's network namespace.
pub(super) fn with_a_neighbour_in(test: impl FnOnce(&str) + Send) {
    in_namespace(&[], || {
        thread::scope(|scope| {
            let ((tell, told), (answer, answered)) = (channel(), channel());
            scope.spawn(move || be_the_neighbour(&told, &answer));
            let Ok(namespace) = answered.recv() else { return };
            ip(&format!("link add up0 type veth peer name far0 netns {namespace}"));
            for command in NEAR {
                ip(command);
            }
            tell.send(()).unwrap();
            answered.recv().unwrap();
            for (target, zone) in TARGETS {
                connect(target.parse().unwrap(), zone);
            }
            test(&namespace);
            drop(tell); // also by a panic: then the neighbour ends
        });
    });
}

/// Returns once the neighbour has this address: the kernel routes to a new one of IPv6 some time after it was added, and answers for
/// it before that.
fn connect(target: IpAddr, zone: Option<&str>) {
    let address = sender::endpoint(target, OPEN_PORT, zone.map_or(0, if_index));
    while TcpStream::connect(address).is_err() {}
}

/// Says where the cable is to lead, and when all is set up; ends when nobody can tell it more.
fn be_the_neighbour(told: &Receiver<()>, answer: &mpsc::Sender<String>) {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let thread = nix::unistd::gettid();
    answer.send(format!("/proc/{}/task/{thread}/ns/net", std::process::id())).unwrap();
    if told.recv().is_ok() {
        for command in FAR {
            ip(command);
        }
        let _listener = TcpListener::bind(("::", OPEN_PORT)).unwrap();
        answer.send(String::new()).unwrap();
        let _ = told.recv();
    }
}

/// A whole datagram with right checksums to a port of the only target.
pub(super) fn craft(config: &LiveConfig, ident: u16, port: u16) -> Vec<u8> {
    craft_for(config, &config.targets[0], ident, port)
}

/// A whole datagram with right checksums to a port of this target.
pub(super) fn craft_for(
    config: &LiveConfig,
    target: &LiveTarget,
    ident: u16,
    port: u16,
) -> Vec<u8> {
    let protocol = config.protocol(target.address);
    let (source, target) = (target.route.source, target.address);
    let [ident, port] = [ident, port].map(u16::to_be_bytes);
    let ports = [ident, port].concat();
    let (mut message, checksum_at) = match protocol {
        ipv4::TCP => ([&ports, &[0; 8][..], &[0x50, 0x02, 0x20, 0, 0, 0, 0, 0]].concat(), Some(16)),
        ipv4::UDP | ipv4::UDP_LITE => ([&ports, &[0, 12, 0, 0, 1, 2, 3, 4][..]].concat(), Some(6)),
        ipv4::ICMP => ([&[icmpv4::ECHO_REQUEST, 0, 0, 0], &ident[..], &[0, 7]].concat(), Some(2)),
        ipv6::ICMPV6 => ([&[icmpv6::ECHO_REQUEST, 0, 0, 0], &ident[..], &[0, 7]].concat(), Some(2)),
        _ => (vec![1, 2, 3, 4], None),
    };
    if let Some(at) = checksum_at {
        let sum = match protocol {
            ipv4::ICMP => checksum::checksum(&message),
            protocol => checksum::transport(source, target, protocol, &message),
        };
        message[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    [ip_header(source, target, protocol, &message), message].concat()
}

/// What sends packets.
fn sending(live: &LiveLink) -> &Sender {
    let Edge::Packets(packets) = &live.edge else { panic!("no packets") };
    &packets.sender
}

fn ip_header(source: IpAddr, target: IpAddr, protocol: u8, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let [high, low] = (20 + length).to_be_bytes();
            let head = [0x45, 0, high, low, 0x12, 0x34, 0, 0, HOP_LIMIT, protocol, 0, 0];
            let mut header = [&head[..], &source.octets(), &target.octets()].concat();
            let sum = checksum::checksum(&header).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => [
            &(0x6000_0000 | FLOW_LABEL).to_be_bytes()[..],
            &length.to_be_bytes(),
            &[protocol, HOP_LIMIT],
            &source.octets(),
            &target.octets(),
        ]
        .concat(),
        _ => panic!("{source} and {target} are of different families"),
    }
}

/// The upper protocol of a datagram without options, and the byte of its header that tells most: the
/// flags of TCP, the type of ICMP.
pub(super) fn gist(datagram: &[u8]) -> (u8, u8) {
    let (protocol, upper) = match datagram[0] >> 4 {
        4 => (datagram[9], &datagram[20..]),
        _ => (datagram[6], &datagram[40..]),
    };
    (protocol, upper[if protocol == ipv4::TCP { 13 } else { 0 }])
}

/// What the neighbour answers: for ICMP, the types of the two families.
#[derive(Clone, Copy)]
enum Answer {
    Tcp(u8),
    Icmp(u8, u8),
}

#[test]
fn every_probe_leaves_as_crafted_and_its_answer_is_seen() {
    const SYN_ACK: u8 = 0x12;
    const RST_ACK: u8 = 0x14;
    let unreachable = Answer::Icmp(icmpv4::UNREACHABLE, icmpv6::UNREACHABLE);
    let unknown = Answer::Icmp(icmpv4::UNREACHABLE, icmpv6::PARAMETER_PROBLEM);
    let echo = Answer::Icmp(icmpv4::ECHO_REPLY, icmpv6::ECHO_REPLY);
    with_a_neighbour(|| {
        for (target, zone) in TARGETS {
            let target: IpAddr = target.parse().unwrap();
            let icmp = if target.is_ipv4() { ipv4::ICMP } else { ipv6::ICMPV6 };
            for (protocol, port, expect) in [
                (ipv4::UDP, CLOSED_PORT, unreachable),
                (ipv4::TCP, OPEN_PORT, Answer::Tcp(SYN_ACK)),
                (ipv4::TCP, CLOSED_PORT, Answer::Tcp(RST_ACK)),
                (icmp, 0, echo),
                (UNKNOWN_PROTOCOL, 0, unknown),
            ] {
                let expect = match expect {
                    Answer::Tcp(flags) => (ipv4::TCP, flags),
                    Answer::Icmp(v4, v6) => (icmp, if target.is_ipv4() { v4 } else { v6 }),
                };
                for any in [false, true] {
                    let config = LiveConfig { any, ..config(target, zone, None, protocol) };
                    let mut live = open_link(&config).unwrap();
                    let sent = craft(&config, live.ident(0), port);
                    ask(&mut live, target, &sent, expect);
                }
            }
        }
    });
}

/// What the stamps of a card are matched by. There is no card here: the kernel says in the same way
/// when it gave a frame to the driver.
#[test]
fn what_the_sending_socket_says_of_a_probe_has_the_bytes_that_were_captured() {
    use nix::sys::socket::{TimestampingFlag, setsockopt, sockopt};
    with_a_neighbour(|| {
        for (target, zone) in TARGETS {
            let target: IpAddr = target.parse().unwrap();
            let config = config(target, zone, None, ipv4::UDP);
            let mut live = open_link(&config).unwrap();
            let flags = TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
                | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
            setsockopt(sending(&live), sockopt::Timestamping, &flags).unwrap();
            let datagram = craft(&config, live.ident(0), CLOSED_PORT);
            live.send(&Transmit { destination: target, datagram: &datagram }).unwrap();
            let Received::Frame(frame) = live.receive(None).unwrap() else { panic!("no frame") };
            let captured = frame.bytes.to_vec();
            let (mut room, mut notes) = ([0; 256], [sys::Note::NONE; sys::BATCH]);
            let rooms = [room.as_mut_slice()].into_iter();
            let said = sys::receive(sending(&live), libc::MSG_ERRQUEUE, rooms, &mut notes).unwrap();
            let [said] = said else { panic!("one message") };
            assert_eq!(said.hardware, None, "it is not");
            assert_eq!(room[..said.length], captured);
            assert!(captured.ends_with(&datagram));
        }
    });
}

#[test]
fn an_address_of_this_host_answers_over_the_loopback() {
    const RST_ACK: u8 = 0x14;
    with_a_neighbour(|| {
        for (target, zone) in [("10.0.0.1", None), ("fd00::1", None), ("fe80::1", Some("up0"))] {
            let target: IpAddr = target.parse().unwrap();
            let (icmp, unreachable, echo_reply) = match target {
                IpAddr::V4(_) => (ipv4::ICMP, icmpv4::UNREACHABLE, icmpv4::ECHO_REPLY),
                IpAddr::V6(_) => (ipv6::ICMPV6, icmpv6::UNREACHABLE, icmpv6::ECHO_REPLY),
            };
            for (protocol, expect) in [
                (ipv4::UDP, (icmp, unreachable)),
                (ipv4::TCP, (ipv4::TCP, RST_ACK)),
                (icmp, (icmp, echo_reply)),
            ] {
                let config = config(target, zone, None, protocol);
                let mut live = open_link(&config).unwrap();
                let sent = craft(&config, live.ident(0), CLOSED_PORT);
                ask(&mut live, target, &sent, expect);
            }
        }
    });
}

/// Sends a datagram and expects it and this answer to be captured, and no more.
fn ask(live: &mut LiveLink, target: IpAddr, datagram: &[u8], expect: (u8, u8)) {
    let before = live.now();
    live.send(&Transmit { destination: target, datagram }).unwrap();
    let (probe, answer) = (next(live), next(live));
    assert_eq!(probe.0, datagram, "{target} {expect:?}");
    assert_eq!(gist(&answer.0), expect, "{target}");
    assert!(before <= probe.1 && probe.1 <= answer.1);
    // Whatever the kernel says to the answer, such as an RST, it has said by now.
    let now = live.now();
    let quiet = live.receive(Some(now)).unwrap();
    assert!(matches!(quiet, Received::Quiet(_)), "{quiet:?}");
    assert_eq!(live.statistics().unwrap().unwrap().received, 2);
}

#[test]
fn what_the_kernel_would_send_wrongly_or_not_at_all_is_refused() {
    with_a_neighbour(|| {
        let target: IpAddr = "fd00::2".parse().unwrap();
        let config = config(target, None, None, ipv4::UDP);
        let mut live = open_link(&config).unwrap();
        let right = craft(&config, live.ident(0), CLOSED_PORT);
        let long = [right.clone(), vec![0; 1_500]].concat();
        let ipv4 = datagram(LOCALHOST, LOCALHOST, live.ident(0));
        for (target, datagram) in [
            (target, long.as_slice()),
            (target, &right[..39]),
            (target, &ipv4),
            (LOCALHOST.into(), &right),
        ] {
            let sent = live.send(&Transmit { destination: target, datagram });
            assert!(matches!(sent, Err(LinkError::Refused { .. })), "{sent:?}");
        }
    });
}

#[test]
fn ports_are_held_in_both_families_and_only_where_there_are_any() {
    with_a_neighbour(|| {
        for (target, zone) in TARGETS {
            let target: IpAddr = target.parse().unwrap();
            let config = |protocol, port| from_port(port, config(target, zone, None, protocol));
            for (protocol, name) in [(ipv4::UDP, "UDP"), (ipv4::TCP, "TCP")] {
                let first = open_link(&config(protocol, None)).unwrap();
                let again = open_link(&config(protocol, Some(first.ident(0))));
                let error = again.err().unwrap().to_string();
                assert!(error.starts_with(&format!("cannot take {name} port ")), "{error}");
            }
            for protocol in [ipv4::UDP_LITE, ipv4::TCP] {
                let live = open_link(&config(protocol, Some(4_567))).unwrap();
                assert_eq!(live.ident(0), 4_567);
            }
            for protocol in [0, ipv4::ICMP, ipv6::ICMPV6, UNKNOWN_PROTOCOL, u8::MAX] {
                let live = open_link(&config(protocol, Some(1))).unwrap();
                assert_ne!(live.ident(0), 0);
            }
        }
    });
}

#[test]
fn routes_of_ipv6_are_the_kernels_and_know_zones() {
    with_a_neighbour(|| {
        for (target, zone, iface, interface, source, scoped) in [
            ("fd00::2", None, None, "up0", "fd00::1", false),
            ("fd00::2", Some("up0"), None, "up0", "fd00::1", false),
            ("fd00::1", None, Some("up0"), "lo", "fd00::1", false),
            ("fe80::2", Some("up0"), None, "up0", "fe80::1", true),
            ("fe80::2", None, Some("up0"), "up0", "fe80::1", true),
            ("fe80::2", Some("up0"), Some(ANY), "up0", "fe80::1", true),
        ] {
            let route = resolve(target.parse().unwrap(), zone, iface, None).unwrap();
            assert_eq!(route.interface.name, interface, "{target}");
            assert_eq!(route.source.to_string(), source, "{target}");
            assert_eq!(route.scope != 0, scoped, "{target}");
            if interface == "up0" {
                assert_eq!(
                    route.interface.address(route.source).unwrap().ip(),
                    route.source,
                    "{target}"
                );
            }
        }
        let index = if_index("up0").to_string();
        let route = resolve("fe80::2".parse().unwrap(), Some(&index), None, None).unwrap();
        assert_eq!(route.bound_to.as_deref(), Some("up0"));
    });
}

fn if_index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

#[test]
fn a_missing_route_of_ipv6_says_what_is_wrong() {
    with_a_neighbour(|| {
        for (target, zone, iface, source, message) in [
            ("fd00:9::1", None, None, None, "no route to fd00:9::1: Network is unreachable"),
            ("fd00:3::1", None, None, None, "no route to fd00:3::1: the routing table discards"),
            ("fe80::2", None, None, None, "fe80::2 is link-local: name its interface: fe80::2%"),
            ("fe80::2", None, Some(ANY), None, "fe80::2 is link-local: name its interface"),
            (
                "fe80::2",
                Some("lo"),
                Some("up0"),
                None,
                "interface up0 and zone lo are not the same",
            ),
            ("fe80::2", Some("4711"), None, None, "there is no interface 4711: choose one of lo"),
            ("fe80::2", Some("\x1b"), None, None, r"there is no interface \u{1b}: choose one of"),
            ("fd00::2", None, None, Some("fd00::2"), "fd00::2 is not an address of this host"),
            ("fd00::2", None, None, Some("10.0.0.1"), "10.0.0.1 cannot be the source of probes to"),
        ] {
            let source = source.map(|source| source.parse().unwrap());
            let error = resolve(target.parse().unwrap(), zone, iface, source).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
        }
        ip("address flush dev up0");
        let error = resolve("fd00::2".parse().unwrap(), None, Some("up0"), None).unwrap_err();
        assert!(error.to_string().starts_with("interface up0 has no IPv6 address"), "{error}");
    });
}
