//! The programs, run by a small machine of their own on frames of both families.

use super::bpf::{IF_ABOVE, IF_ANY_BIT, IF_AT_LEAST, IF_EQUAL, JUMP};
use super::*;

mod many;

const OURS: [&str; 2] = ["10.0.0.1", "fd00::1"];
const TARGET: [&str; 2] = ["192.0.2.9", "2001:db8::9"];
const ROUTER: [&str; 2] = ["10.0.0.254", "fd00::fe"];
const PORT: u16 = 40_000;
const OTHER_PROTOCOL: u8 = 99;
const OTHER_INTERFACE: u32 = 3;

/// A packet as the kernel's filter sees it.
struct Packet {
    bytes: Vec<u8>,
    protocol: u32,
    kind: u32,
    hardware: u32,
    /// How long its link header is.
    header: u32,
}

/// What the kernel does with `packet`: the machine of the BSD Packet Filter, as far as used.
fn lets_through(program: &[Instruction], packet: &Packet) -> bool {
    kept(program, packet) > 0
}

/// How much of it is kept.
fn kept(program: &[Instruction], packet: &Packet) -> u32 {
    let (mut a, mut x, mut pc) = (0_u32, 0_u32, 0_usize);
    let load = |at: u32, size: usize| {
        // Counted from the IP header.
        let at = at.checked_sub(NETWORK).map_or(at, |at| at + packet.header);
        let at = usize::try_from(at).unwrap();
        let bytes = packet.bytes.get(at..at + size)?;
        Some(bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)))
    };
    loop {
        let Instruction { code, jt, jf, k } = program[pc];
        pc += 1;
        let loaded = match code {
            RETURN => return k,
            LOAD_WORD if k == PROTOCOL => Some(packet.protocol),
            LOAD_WORD if k == PACKET_TYPE => Some(packet.kind),
            LOAD_WORD if k == HARDWARE_TYPE => Some(packet.hardware),
            LOAD_WORD if k == INTERFACE => Some(OTHER_INTERFACE),
            LOAD_WORD => load(k, 4),
            LOAD_HALF => load(k, 2),
            LOAD_BYTE => load(k, 1),
            LOAD_HALF_AFTER => load(x + k, 2),
            LOAD_BYTE_AFTER => load(x + k, 1),
            LOAD_HEADER_LEN => {
                let Some(byte) = load(k, 1) else { return 0 };
                x = (byte & 0xf) * 4;
                continue;
            }
            SET_HEADER_LEN => {
                x = k;
                continue;
            }
            JUMP => {
                pc += usize::try_from(k).unwrap();
                continue;
            }
            IF_EQUAL | IF_ANY_BIT | IF_AT_LEAST | IF_ABOVE => {
                let holds = match code {
                    IF_EQUAL => a == k,
                    IF_ANY_BIT => a & k != 0,
                    IF_AT_LEAST => a >= k,
                    _ => a > k,
                };
                pc += usize::from(if holds { jt } else { jf });
                continue;
            }
            other => panic!("instruction {other:#x} is not used"),
        };
        let Some(value) = loaded else { return 0 };
        a = value;
    }
}

/// Which of the families a test runs in: the index of its addresses.
const FAMILIES: [usize; 2] = [0, 1];

fn filter(family: usize, protocol: u8) -> Filter {
    Filter {
        sources: vec![OURS[family].parse().unwrap()],
        target: Some(TARGET[family].parse().unwrap()),
        protocol,
        ports: Ports::These(PORT, None),
        as_such: false,
    }
}

impl Filter {
    /// The program for one family.
    fn program(&self, only: Option<&Only>) -> Vec<Instruction> {
        program(std::slice::from_ref(self), only)
    }
}

type Addresses = [&'static str; 2];

/// A datagram in one of the families; `extra` is IPv4 options or IPv6 extension headers.
fn datagram(
    family: usize,
    extra: &[u8],
    protocol: u8,
    [from, to]: [Addresses; 2],
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = match family {
        0 => [&[0; 12], octets(from[0]).as_slice(), &octets(to[0])].concat(),
        _ => [&[0; 8], octets(from[1]).as_slice(), &octets(to[1])].concat(),
    };
    let words = u8::try_from(extra.len() / 4).unwrap();
    (bytes[0], bytes[9 - 3 * family]) = ([0x45 + words, 0x60][family], protocol);
    bytes.extend(extra);
    bytes.extend(payload);
    bytes
}

fn octets(address: &str) -> Vec<u8> {
    match address.parse().unwrap() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes(), [0, 8], [0, 0]].concat()
}

fn segment(source: u16, destination: u16, flags: tcp::Flags) -> Vec<u8> {
    [ports(source, destination), vec![0, 0, 0, 0, 0x50, flags.0, 0, 0]].concat()
}

fn icmp(kind: u8) -> Vec<u8> {
    vec![kind, 0, 0, 0, 0, 0, 0, 0]
}

/// Kinds of interface, each with the length of its link header: Ethernet, a tunnel, PPP.
const LINKS: [(u32, u8); 3] = [(ETHERNET, 14), (65_534, 0), (512, 4)];
/// The second of them.
const TUNNEL: (u32, u8) = LINKS[1];

fn packet((hardware, header): (u32, u8), datagram: &[u8]) -> Packet {
    let header_bytes = vec![0; header.into()];
    let protocol = if datagram.first().is_some_and(|b| b >> 4 == 6) { 0x86dd } else { 0x0800 };
    let kind = if is_from_us(datagram) { OUTGOING } else { CAME_IN[0] };
    let bytes = [header_bytes.as_slice(), datagram].concat();
    Packet { bytes, protocol, kind, hardware, header: header.into() }
}

/// How packets come in: to this host, to all, to a group, to another host (`PACKET_HOST` and so on).
const CAME_IN: [u32; 4] = [0, 1, 2, 3];

/// Whether a datagram has our source address.
fn is_from_us(datagram: &[u8]) -> bool {
    [(0, V4), (1, V6)].iter().any(|(family, about)| {
        let at = usize::try_from(about.source_at).unwrap();
        datagram.get(at..).is_some_and(|source| source.starts_with(&octets(OURS[*family])))
    })
}

/// Whether the filter for probes of `protocol` lets the datagram through, on any link. What has our address and
/// comes in never passes.
fn check(protocol: u8, family: usize, expect: bool, what: &str, datagram: &[u8]) {
    for link in LINKS {
        let only = Only { indexes: vec![OTHER_INTERFACE], below: vec![1, 2] };
        for only in [None, Some(&only)] {
            let program = filter(family, protocol).program(only);
            let passed = lets_through(&program, &packet(link, datagram));
            assert_eq!(passed, expect, "{what}, IPv{}, {link:?}, {protocol}", [4, 6][family]);
            for kind in CAME_IN.into_iter().filter(|_| is_from_us(datagram)) {
                let came_in = Packet { kind, ..packet(link, datagram) };
                assert!(!lets_through(&program, &came_in), "{what} came in: {kind}, {link:?}");
            }
        }
    }
}

/// That a probe could not leave is nothing that was said on the path.
#[test]
fn what_this_host_says_to_itself_is_dropped() {
    for family in FAMILIES {
        let about = [V4, V6][family].errors[0];
        for (from, expect) in [(OURS, false), (ROUTER, true), (TARGET, true)] {
            let protocol = [V4, V6][family].icmp;
            let bytes = datagram(family, &[], protocol, [from, OURS], &icmp(about));
            for probes in [ipv4::UDP, protocol] {
                let program = filter(family, probes).program(None);
                let frame = Packet { kind: OUTGOING, ..packet((LOOPBACK, 14), &bytes) };
                assert_eq!(lets_through(&program, &frame), expect, "{from:?} {probes}");
            }
        }
    }
}

/// Of what comes in by other interfaces than the wanted one and those below it an octet is kept, to be counted.
#[test]
fn of_other_interfaces_replies_are_counted() {
    let only = |index, below: &[u32]| Only { indexes: vec![index], below: below.to_vec() };
    for family in FAMILIES {
        for (only, there, elsewhere) in [
            (None, true, WHOLE_FRAME),
            (Some(only(OTHER_INTERFACE, &[9])), true, WHOLE_FRAME),
            (Some(only(7, &[9])), false, OCTET),
            (Some(only(7, &[9, OTHER_INTERFACE])), false, 0),
        ] {
            let program = filter(family, ipv4::UDP).program(only.as_ref());
            for link in LINKS {
                let ours = datagram(family, &[], ipv4::UDP, [OURS, TARGET], &ports(PORT, 33434));
                assert_eq!(lets_through(&program, &packet(link, &ours)), there, "{only:?}");
                let answer = datagram(family, &[], ipv4::UDP, [TARGET, OURS], &ports(33434, PORT));
                for (bytes, expect) in [(&ours, 0), (&answer, elsewhere)] {
                    for kind in CAME_IN {
                        let came_in = Packet { kind, ..packet(link, bytes) };
                        assert_eq!(kept(&program, &came_in), expect, "{only:?} {kind}");
                    }
                }
            }
        }
    }
}

#[test]
fn probes_and_answers_pass_by_addresses_and_port() {
    let other = PORT + 1;
    for protocol in [ipv4::UDP, ipv4::TCP, ipv4::UDP_LITE] {
        for family in FAMILIES {
            for (expect, what, way, source, destination) in [
                (true, "our probe", [OURS, TARGET], PORT, 33434),
                (true, "the target's answer", [TARGET, OURS], 53, PORT),
                (false, "other port", [OURS, TARGET], other, 33434),
                (false, "other program to the target", [OURS, TARGET], 33434, PORT),
                (false, "other target", [OURS, ROUTER], PORT, 33434),
                (false, "answer to another port", [TARGET, OURS], PORT, 53),
                (false, "answer of another host", [ROUTER, OURS], 53, PORT),
                (false, "answer to another host", [TARGET, ROUTER], 53, PORT),
            ] {
                let payload = segment(source, destination, tcp::Flags::SYN);
                let bytes = datagram(family, &[], protocol, way, &payload);
                check(protocol, family, expect, what, &bytes);
                check(OTHER_PROTOCOL, family, false, "other protocol", &bytes);
            }
            check(protocol, family, false, "nothing", &[]);
            let cut = datagram(family, &[], protocol, [OURS, TARGET], &[]);
            check(protocol, family, false, "no transport header", &cut);
        }
    }
}

#[test]
fn the_kernels_own_resets_are_no_probes() {
    use tcp::Flags;
    let both = |a: Flags, b: Flags| Flags(a.0 | b.0);
    for family in FAMILIES {
        for (flags, probe) in [
            (Flags::SYN, true),
            (Flags::ACK, true),
            (both(Flags::SYN, Flags::ACK), true),
            (Flags::RST, false),
            (both(Flags::RST, Flags::ACK), false),
        ] {
            let sent = segment(PORT, 80, flags);
            let sent = datagram(family, &[], ipv4::TCP, [OURS, TARGET], &sent);
            check(ipv4::TCP, family, probe, "sent", &sent);
            let answer = segment(80, PORT, flags);
            let answer = datagram(family, &[], ipv4::TCP, [TARGET, OURS], &answer);
            check(ipv4::TCP, family, true, "answered", &answer);
        }
    }
}

/// Probes that confirm answers come from a second port.
#[test]
fn two_ports_pass_and_no_third() {
    let all = FAMILIES.into_iter().flat_map(|it| [(it, ipv4::UDP), (it, ipv4::TCP)]);
    for (family, protocol) in all {
        let two = Filter { ports: Ports::These(PORT, Some(PORT + 7)), ..filter(family, protocol) }
            .program(None);
        for (port, expect) in [(PORT, true), (PORT + 7, true), (PORT + 1, false)] {
            for (way, ports) in [([OURS, TARGET], (port, 80)), ([TARGET, OURS], (80, port))] {
                for flags in [tcp::Flags::SYN, tcp::Flags::RST] {
                    let bytes = segment(ports.0, ports.1, flags);
                    let bytes = datagram(family, &[], protocol, way, &bytes);
                    let reset = protocol == ipv4::TCP && flags == tcp::Flags::RST;
                    let expect = expect && !(reset && way == [OURS, TARGET]);
                    let passed = lets_through(&two, &packet(TUNNEL, &bytes));
                    assert_eq!(passed, expect, "{protocol} {way:?} {ports:?} {flags:?}");
                }
            }
        }
    }
}

#[test]
fn connections_of_any_port_pass_by_what_begins_and_ends_them() {
    let both = tcp::Flags(tcp::Flags::SYN.0 | tcp::Flags::ACK.0);
    for family in FAMILIES {
        let any = Filter { ports: Ports::Any, ..filter(family, ipv4::TCP) }.program(None);
        for (way, flags, expect) in [
            ([OURS, TARGET], tcp::Flags::SYN, true),
            ([OURS, TARGET], tcp::Flags::ACK, false),
            ([OURS, TARGET], tcp::Flags::RST, false),
            ([OURS, ROUTER], tcp::Flags::SYN, false),
            ([TARGET, OURS], both, true),
            ([TARGET, OURS], tcp::Flags::RST, true),
            ([TARGET, OURS], tcp::Flags::ACK, false),
            ([ROUTER, OURS], tcp::Flags::RST, false),
        ] {
            let bytes = datagram(family, &[], ipv4::TCP, way, &segment(7, 80, flags));
            let passed = lets_through(&any, &packet(TUNNEL, &bytes));
            assert_eq!(passed, expect, "{way:?} {flags:?}");
        }
    }
}

#[test]
fn icmp_errors_pass_from_anybody_and_echoes_as_probes_and_answers() {
    for (family, about) in [(0, V4), (1, V6)] {
        let echo = [about.echo_request, about.echo_reply];
        for (expect, expect_echo, what, kind, way) in [
            (true, true, "an error", about.errors[0], [ROUTER, OURS]),
            (true, true, "an error of the target", about.errors[3], [TARGET, OURS]),
            (false, false, "an error to another host", about.errors[0], [ROUTER, TARGET]),
            (false, false, "no error", 42, [ROUTER, OURS]),
            (false, true, "our echo request", echo[0], [OURS, TARGET]),
            (false, false, "another echo request", echo[0], [OURS, ROUTER]),
            (false, false, "an echo request of the target", echo[0], [TARGET, OURS]),
            (false, true, "an echo reply", echo[1], [TARGET, OURS]),
            (false, false, "an echo reply of another host", echo[1], [ROUTER, OURS]),
            (false, false, "our echo reply", echo[1], [OURS, TARGET]),
        ] {
            let bytes = datagram(family, &[], about.icmp, way, &icmp(kind));
            for protocol in [ipv4::UDP, ipv4::TCP, OTHER_PROTOCOL] {
                check(protocol, family, expect, what, &bytes);
            }
            check(about.icmp, family, expect_echo, what, &bytes);
        }
        for kind in about.errors {
            let bytes = datagram(family, &[], about.icmp, [ROUTER, OURS], &icmp(*kind));
            check(ipv4::UDP, family, true, "error", &bytes);
        }
    }
}

#[test]
fn protocols_without_ports_pass_by_addresses() {
    for family in FAMILIES {
        for (expect, way) in
            [(true, [OURS, TARGET]), (true, [TARGET, OURS]), (false, [ROUTER, OURS])]
        {
            let bytes = datagram(family, &[], OTHER_PROTOCOL, way, &[]);
            check(OTHER_PROTOCOL, family, expect, "any protocol", &bytes);
        }
        // ICMP of the other family is nothing but a protocol.
        let foreign = [V6, V4][family].icmp;
        let bytes = datagram(family, &[], foreign, [OURS, TARGET], &[]);
        check(foreign, family, true, "ICMP of the other family", &bytes);
    }
}

#[test]
fn the_upper_layer_is_found_and_later_fragments_have_none() {
    const NEXT: u8 = ipv6::ICMPV6;
    let (time_exceeded, way) = (icmp(11), [ROUTER, OURS]);
    for (expect, what, fragment) in [
        (true, "first fragment", [0x20, 0]),
        (true, "don't fragment", [0x40, 0]),
        (false, "later fragment", [0x20, 1]),
    ] {
        let mut bytes = datagram(0, &[], ipv4::ICMP, way, &time_exceeded);
        bytes[6..8].copy_from_slice(&fragment);
        check(ipv4::UDP, 0, expect, what, &bytes);
    }
    for (expect, what, options) in
        [(true, "options before ICMP", [1; 8]), (true, "options that look like ICMP", [8; 8])]
    {
        let bytes = datagram(0, &options, ipv4::ICMP, way, &time_exceeded);
        check(ipv4::UDP, 0, expect, what, &bytes);
    }
    for (expect, what, header, extension) in [
        (true, "first fragment", ipv6::FRAGMENT, [NEXT, 0, 0, 1, 0, 0, 0, 9]),
        (false, "later fragment", ipv6::FRAGMENT, [NEXT, 0, 0, 9, 0, 0, 0, 9]),
        (false, "hop-by-hop options", ipv6::HOP_BY_HOP, [NEXT, 0, 1, 4, 0, 0, 0, 0]),
    ] {
        let bytes = datagram(1, &extension, header, way, &icmp(3));
        check(ipv4::UDP, 1, expect, what, &bytes);
    }
}

#[test]
fn the_other_family_is_dropped() {
    for family in FAMILIES {
        for protocol in [ipv4::UDP, OTHER_PROTOCOL] {
            let bytes = datagram(1 - family, &[], protocol, [OURS, TARGET], &ports(PORT, 33434));
            check(protocol, family, false, "other family", &bytes);
        }
    }
}

#[test]
fn loopback_frames_pass_on_their_way_out_only() {
    for family in FAMILIES {
        let itself = filter(family, ipv4::UDP);
        let itself = Filter { target: itself.sources.first().copied(), ..itself }.program(None);
        for (hardware, kind, expect) in
            [(LOOPBACK, OUTGOING, true), (LOOPBACK, 0, false), (1, 0, true), (1, OUTGOING, true)]
        {
            for (protocol, payload, probe) in [
                (ipv4::UDP, ports(PORT, 33434), true),
                (ipv4::UDP, ports(53, PORT), false),
                ([V4, V6][family].icmp, icmp(3), false),
            ] {
                let bytes = datagram(family, &[], protocol, [OURS, OURS], &payload);
                let frame = Packet { kind, ..packet((hardware, 14), &bytes) };
                let expect = expect && (!probe || kind == OUTGOING);
                assert_eq!(lets_through(&itself, &frame), expect, "{hardware} {kind}");
            }
        }
    }
}

#[test]
fn nothing_passes_a_socket_that_is_only_held() {
    let bytes = datagram(0, &[], ipv4::ICMP, [ROUTER, OURS], &icmp(11));
    assert!(!lets_through(&DROP_ALL, &packet(TUNNEL, &bytes)));
}
