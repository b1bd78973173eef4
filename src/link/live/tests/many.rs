//! Several targets by one link: each probe is seen once, each answer can be attributed to its target, and what is of others is not
//! seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;

use nix::sched::setns;
use socket2::{Domain, Socket, Type};

use super::every_probe::{CLOSED_PORT, TARGETS, craft_for, with_a_neighbour, with_a_neighbour_in};
use super::*;
use crate::wire::{ip, quoted};

const UNKNOWN_PROTOCOL: u8 = 99;

/// What a datagram is: the address of a target and the identifier of its probe, and whether it is the probe. Of a protocol
/// without identifiers there is none.
fn attributed(config: &LiveConfig, datagram: &[u8]) -> (IpAddr, u16, bool) {
    let (header, payload) = ip::decode(datagram).unwrap();
    let of = |protocol: u8, payload: &[u8]| match protocol {
        ipv4::UDP | ipv4::TCP | ipv4::UDP_LITE => {
            let ports: [u8; 4] = *payload.first_chunk().unwrap();
            (u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]]))
        }
        ipv4::ICMP | ipv6::ICMPV6 => {
            let ident = u16::from_be_bytes([payload[4], payload[5]]);
            (ident, ident)
        }
        _ => (0, 0),
    };
    let icmp = header.is_icmp().then(|| ip::icmp(header.family(), payload).unwrap());
    if let Some(message) = icmp.filter(|message| message.quotes) {
        let quoted = quoted::decode(message.body).unwrap();
        let ident = of(quoted.header.protocol, quoted.payload).0;
        return (quoted.header.destination, ident, false);
    }
    let sources = config.sources();
    let is_reply = icmp.is_some_and(|message| message.echo_reply.is_some());
    let idents = of(header.protocol, payload);
    // Between two addresses of this host the port tells.
    let is_probe = sources.contains(&header.source) && !is_reply && idents.1 == CLOSED_PORT
        || icmp.is_some_and(|message| message.echo_request.is_some())
        || header.protocol == UNKNOWN_PROTOCOL;
    if is_probe { (header.destination, idents.0, true) } else { (header.source, idents.1, false) }
}

/// How many frames are in flight at a time, at most.
const WINDOW: usize = 200;

/// Sends a probe to each target, and another one from the second identifier where there is one, and expects to see all of them
/// and an answer to each, once, and nothing else.
fn probe_all(config: &LiveConfig) {
    let mut live = open_link(config).unwrap();
    let mut expect = BTreeMap::<_, usize>::new();
    let mut seen = BTreeMap::<_, usize>::new();
    let mut idents = BTreeSet::new();
    for (number, target) in config.targets.iter().enumerate() {
        for ident in [Some(live.ident(number)), live.second_ident(number)].into_iter().flatten() {
            assert!(ident > 0 && idents.insert(ident), "{ident} of {number} again");
            let datagram = craft_for(config, target, ident, CLOSED_PORT);
            live.send(&Transmit { destination: target.address, datagram: &datagram }).unwrap();
            let ident = if config.is_as_such() { 0 } else { ident };
            expect.extend([true, false].map(|is_probe| ((target.address, ident, is_probe), 1)));
        }
        let is_last = number + 1 == config.targets.len();
        while seen.len() + if is_last { 0 } else { WINDOW } < expect.len() {
            *seen.entry(attributed(config, &next(&mut live).0)).or_default() += 1;
        }
    }
    assert_eq!(seen, expect);
    expect_quiet(&mut live);
    let Statistics { received, dropped, .. } = live.statistics().unwrap().unwrap();
    assert_eq!((received, dropped), (u64::try_from(expect.len()).unwrap(), 0));
}

/// All that was sent or answered has been seen by now.
fn expect_quiet(live: &mut LiveLink) {
    let now = live.now();
    let quiet = live.receive(Some(now)).unwrap();
    assert!(matches!(quiet, Received::Quiet(_)), "{quiet:?}");
}

fn neighbours() -> Vec<LiveTarget> {
    let target = |(address, zone): (&str, _)| live_target(address.parse().unwrap(), zone, None);
    TARGETS.into_iter().map(target).collect()
}

#[test]
fn targets_of_both_families_share_a_link() {
    with_a_neighbour(|| {
        for protocol in [ipv4::UDP, ipv4::TCP, ipv4::ICMP, UNKNOWN_PROTOCOL] {
            for (any, confirming) in [(false, false), (true, true)] {
                let confirming = confirming && protocol != UNKNOWN_PROTOCOL;
                let config = LiveConfig { confirming, any, ..to_all(neighbours(), protocol) };
                probe_all(&config);
            }
        }
    });
}

#[test]
fn ports_of_several_targets_are_held_next_to_each_other_and_what_is_of_others_is_not_seen() {
    with_a_neighbour(|| {
        let config = LiveConfig { confirming: true, ..to_all(neighbours(), ipv4::TCP) };
        let mut live = open_link(&config).unwrap();
        let idents = (0..3).flat_map(|it| [live.ident(it), live.second_ident(it).unwrap()]);
        let idents: BTreeSet<u16> = idents.collect();
        assert_eq!(idents.len(), 6);
        let (first, last) = (*idents.first().unwrap(), *idents.last().unwrap());
        // Nobody else has ports here.
        assert_eq!(usize::from(last - first), 5, "{idents:?}");
        assert_eq!((live.ident(3), live.second_ident(3)), (0, None));
        for (number, target) in config.targets.iter().enumerate() {
            let again = config_of(target, Some(live.ident(number)));
            let error = open_link(&again).err().unwrap().to_string();
            assert!(error.starts_with("cannot take TCP port "), "{error}");
        }
        // A connection of another program to a target, from beside our ports.
        for (number, target) in (20..).zip(&config.targets) {
            let port = if last < 60_000 { last + number } else { first - number };
            let address = |address, port| sender::endpoint(address, port, target.route.scope);
            let socket = Socket::new(
                Domain::for_address(SocketAddr::new(target.address, 0)),
                Type::STREAM,
                None,
            )
            .unwrap();
            socket.bind(&address(target.route.source, port).into()).unwrap();
            socket.connect(&address(target.address, 80).into()).unwrap();
        }
        expect_quiet(&mut live);
        assert_eq!(live.statistics().unwrap().unwrap().received, 0);
    });
}

/// Probes to one target from this port.
fn config_of(target: &LiveTarget, port: Option<u16>) -> LiveConfig {
    from_port(port, to_all(vec![target.clone()], ipv4::TCP))
}

#[test]
fn ports_that_are_asked_for_are_taken_and_none_twice() {
    with_a_neighbour(|| {
        let mut config = to_all(neighbours(), ipv4::UDP);
        // Each link has a port of its own: a process that another test is just starting may still hold the last one's.
        config.targets[1].source_port = Some(4_567);
        let live = open_link(&config).unwrap();
        assert_eq!(live.ident(1), 4_567);
        assert!(live.ident(0) != 4_567 && live.ident(2) == live.ident(0) + 1);
        config.targets[1].source_port = Some(4_568);
        probe_all(&config);
        config.targets[1].source_port = Some(4_569);
        config.targets.push(config.targets[1].clone());
        let error = open_link(&config).err().unwrap().to_string();
        assert!(error.starts_with("cannot take UDP port [fd00::1]:4569: "), "{error}");
    });
}

const ROADS: &[&str] = &[
    "link set lo up",
    "link add up0 type veth peer name peer0",
    "link add down0 type veth peer name peer1",
    "link set up0 up",
    "link set down0 up",
    "link set peer0 up",
    "link set peer1 up",
    "address add 10.0.0.1/24 dev up0",
    "address add 10.0.2.1/24 dev down0",
    "address add fd00:2::1/64 dev down0 nodad",
    "neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev up0",
    "neigh add 10.0.2.9 lladdr 02:00:00:00:00:09 dev down0",
    "neigh add fd00:2::9 lladdr 02:00:00:00:00:09 dev down0",
];

/// Each target is sent to from its own address and by its own interface.
#[test]
fn targets_may_be_reached_from_different_addresses_and_by_different_interfaces() {
    in_namespace(ROADS, || {
        let ours = [("10.0.0.9", "up0"), ("10.0.2.9", "down0"), ("fd00:2::9", "down0")];
        let targets = ours.map(|(target, _)| live_target(target.parse().unwrap(), None, None));
        let config = to_all(targets.to_vec(), ipv4::UDP);
        for (alone, any) in [(false, false), (true, false), (false, true)] {
            let config = LiveConfig { alone, any, ..config.clone() };
            let mut live = open_link(&config).unwrap();
            for (number, (target, (_, interface))) in config.targets.iter().zip(ours).enumerate() {
                assert_eq!(target.route.interface.name, interface);
                let sent = craft_for(&config, target, live.ident(number), CLOSED_PORT);
                live.send(&Transmit { destination: target.address, datagram: &sent }).unwrap();
                let Received::Frame(frame) = live.receive(None).unwrap() else { panic!() };
                let seen = link::ip_datagram(frame.link, frame.bytes).unwrap().unwrap();
                assert_eq!((seen, frame.interface), (&sent[..], target.route.interface.index));
                let expect = if any { LinkType::Sll2 } else { LinkType::Ethernet };
                assert_eq!((frame.link, live.link_type(number)), (expect, expect));
            }
            expect_quiet(&mut live);
        }
    });
}

#[test]
fn what_several_targets_cannot_have_is_said() {
    in_namespace(ROADS, || {
        let at = |target: &str, iface| live_target(target.parse().unwrap(), None, iface);
        let two = vec![at("10.0.0.9", None), at("10.0.2.9", None)];
        let hardware = LiveConfig { clock: Clock::Hardware, ..to_all(two.clone(), ipv4::UDP) };
        let ways = vec![at("10.0.2.9", None), at("10.0.2.9", Some("up0"))];
        let none = LiveConfig { targets: Vec::new(), ..hardware.clone() };
        let echoes = vec![two[0].clone(); 70_000];
        for (config, message) in [
            (
                hardware,
                "--clock hardware is the clock of one trace: name one target, or leave it out",
            ),
            (
                to_all(ways, ipv4::UDP),
                "10.0.2.9 would be probed from two addresses or by two interfaces: run a trace for each",
            ),
            (none, "there is no target to probe: name one"),
            (
                to_all(echoes, ipv4::ICMP),
                "70000 targets need 70000 different identifiers, more than are free: trace fewer targets at a time",
            ),
        ] {
            assert_eq!(open_link(&config).err().unwrap().to_string(), message);
        }
    });
}

/// The first `count` addresses that begin with `v4`, and the first `count_v6` that begin with `v6`.
fn numbered(v4: [u8; 2], count: u16, v6: u16, count_v6: u16) -> impl Iterator<Item = IpAddr> {
    let ([a, b], nth) = (v4, |number: u16| number.to_be_bytes());
    let v4 = (1..=count).map(move |number| IpAddr::from([a, b, nth(number)[0], nth(number)[1]]));
    v4.chain((1..=count_v6).map(move |number| IpAddr::from([0xfd00, v6, 0, 0, 0, 0, 0, number])))
}

fn routed(targets: impl Iterator<Item = IpAddr>) -> Vec<LiveTarget> {
    targets.map(|address| live_target(address, None, None)).collect()
}

#[test]
fn a_thousand_targets_share_a_link() {
    with_a_neighbour_in(|namespace| {
        let all_its_own = || {
            setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            ip("route add local 10.1.0.0/16 dev lo");
            ip("route add local fd00:1::/64 dev lo");
        };
        thread::scope(|scope| scope.spawn(all_its_own).join()).unwrap();
        ip("route add 10.1.0.0/16 via 10.0.0.2");
        ip("route add fd00:1::/64 via fd00::2");
        for protocol in [ipv4::TCP, ipv4::ICMP] {
            let targets = routed(numbered([10, 1], 500, 1, 500));
            assert!(targets.iter().all(|it| it.route.interface.name == "up0"));
            probe_all(&LiveConfig { confirming: true, ..to_all(targets, protocol) });
        }
    });
}

/// Each IPv6 target is an address of this host and probed from itself, and so there are too many sources to compare.
#[test]
fn a_thousand_addresses_of_this_host_answer_over_the_loopback() {
    // Each of them takes a place in the kernel's table of neighbours, which all namespaces share.
    const V6: u16 = 30;
    in_namespace(&["link set lo up"], || {
        for address in numbered([127, 1], 0, 5, V6) {
            ip(&format!("address add {address}/128 dev lo nodad"));
        }
        let config = to_all(routed(numbered([127, 1], 1_000 - V6, 5, V6)), ipv4::UDP);
        assert_eq!(config.sources().len(), 1 + usize::from(V6));
        probe_all(&config);
    });
}
