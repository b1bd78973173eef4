//! Several targets: their filter looks at our addresses and a range of ports, and at no target.

use super::*;

/// The second of our addresses.
const ALSO_OURS: [&str; 2] = ["10.0.7.1", "fd00:7::1"];
const LAST: u16 = PORT + 1_999;
/// The longest program that the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4_096;

fn addresses(family: usize, all: &[Addresses]) -> Vec<IpAddr> {
    all.iter().map(|address| address[family].parse().unwrap()).collect()
}

fn several(family: usize, protocol: u8) -> Filter {
    Filter {
        sources: addresses(family, &[OURS, ALSO_OURS]),
        target: None,
        ports: Ports::Range(PORT, LAST),
        ..filter(family, protocol)
    }
}

/// Targets of both families, each with the same protocol or, of ICMP, its own.
fn both(protocols: [u8; 2]) -> [Filter; 2] {
    FAMILIES.map(|family| several(family, protocols[family]))
}

/// The programs for all interfaces, for that of the frames here, and for another one.
struct Programs([Vec<Instruction>; 3]);

impl Programs {
    fn of(filters: &[Filter]) -> Self {
        let only = |index| Only { indexes: vec![77, index], below: vec![1, 2] };
        let (here, elsewhere) = (only(OTHER_INTERFACE), only(9));
        Self([None, Some(&here), Some(&elsewhere)].map(|only| program(filters, only)))
    }

    /// Whether a datagram passes on its way out, and when it comes in, whatever kind of interface it is on; and that of what
    /// comes in by another interface than the wanted one only an octet is kept.
    fn check(&self, expect: [bool; 2], what: &str, datagram: &[u8]) {
        let [all, here, elsewhere] = &self.0;
        for link in LINKS {
            for kind in [&[OUTGOING][..], &CAME_IN].concat() {
                let frame = Packet { kind, ..packet(link, datagram) };
                let may_pass = expect[usize::from(kind != OUTGOING)];
                for program in [all, here] {
                    let passed = lets_through(program, &frame);
                    assert_eq!(passed, may_pass, "{what}, {link:?}, {kind}");
                }
                let counted = u32::from(may_pass && kind != OUTGOING) * OCTET;
                assert_eq!(kept(elsewhere, &frame), counted, "{what}, {link:?}, {kind}");
            }
        }
    }
}

#[test]
fn probes_and_answers_of_all_targets_pass_by_our_addresses_and_ports() {
    const NONE: [bool; 2] = [false; 2];
    // On its way out what looks like an answer is one of this host to itself.
    let (probe, answer) = ([true, false], [true, true]);
    let of_others = Programs::of(&both([OTHER_PROTOCOL; 2]));
    for protocol in [ipv4::UDP, ipv4::TCP, ipv4::UDP_LITE] {
        let programs = Programs::of(&both([protocol; 2]));
        for family in FAMILIES {
            for (expect, what, way, source, destination) in [
                (probe, "a probe", [OURS, TARGET], PORT, 33_434),
                (probe, "a probe to another target", [OURS, ROUTER], PORT + 7, 33_434),
                (probe, "a probe from the other address", [ALSO_OURS, TARGET], LAST, 33_434),
                (NONE, "a port below", [OURS, TARGET], PORT - 1, 33_434),
                (NONE, "a port above", [ALSO_OURS, TARGET], LAST + 1, 33_434),
                (NONE, "somebody else's", [ROUTER, TARGET], PORT, 33_434),
                (answer, "an answer", [TARGET, OURS], 53, PORT),
                (answer, "another target's answer", [ROUTER, ALSO_OURS], 53, LAST),
                (NONE, "an answer to another port", [TARGET, OURS], PORT, LAST + 1),
                (NONE, "an answer to another host", [TARGET, ROUTER], 53, PORT),
                (probe, "a probe to ourselves", [OURS, OURS], PORT, 33_434),
                (probe, "a probe to another of ours", [OURS, ALSO_OURS], PORT, PORT + 1),
                ([true, false], "our own answer", [ALSO_OURS, OURS], 53, PORT),
            ] {
                let payload = segment(source, destination, tcp::Flags::SYN);
                let bytes = datagram(family, &[], protocol, way, &payload);
                programs.check(expect, &format!("{what}, {protocol}, {family}"), &bytes);
                of_others.check(NONE, "another protocol", &bytes);
            }
            let reset = segment(PORT, 80, tcp::Flags::RST);
            let reset = datagram(family, &[], protocol, [OURS, TARGET], &reset);
            programs.check([protocol != ipv4::TCP, false], "the kernel's own reset", &reset);
            programs.check(NONE, "nothing", &[]);
            let cut = datagram(family, &[], protocol, [OURS, TARGET], &[]);
            programs.check(NONE, "no transport header", &cut);
        }
    }
}

#[test]
fn icmp_passes_to_all_our_addresses_and_from_none() {
    const NONE: [bool; 2] = [false; 2];
    const ALL: [bool; 2] = [true; 2];
    let (udp, echoes) = (both([ipv4::UDP; 2]), both([ipv4::ICMP, ipv6::ICMPV6]));
    let (udp, echoes) = (Programs::of(&udp), Programs::of(&echoes));
    for (family, about) in [(0, V4), (1, V6)] {
        let echo = [about.echo_request, about.echo_reply];
        for (expect, expect_echo, what, kind, way) in [
            (ALL, ALL, "an error", about.errors[0], [ROUTER, OURS]),
            (ALL, ALL, "an error to the other address", about.errors[1], [ROUTER, ALSO_OURS]),
            (NONE, NONE, "an error to another host", about.errors[0], [ROUTER, TARGET]),
            (NONE, NONE, "no error", 42, [ROUTER, OURS]),
            (NONE, [true, false], "our echo request", echo[0], [ALSO_OURS, TARGET]),
            (NONE, NONE, "another's echo request", echo[0], [TARGET, OURS]),
            (NONE, ALL, "an echo reply", echo[1], [TARGET, ALSO_OURS]),
            (NONE, NONE, "our echo reply", echo[1], [OURS, TARGET]),
        ] {
            let bytes = datagram(family, &[], about.icmp, way, &icmp(kind));
            udp.check(expect, what, &bytes);
            echoes.check(expect_echo, what, &bytes);
        }
    }
}

#[test]
fn other_protocols_and_connections_of_any_port_pass_by_our_addresses() {
    let as_such = both([OTHER_PROTOCOL; 2]).map(|it| Filter { as_such: true, ..it });
    let as_such = program(&as_such, None);
    let any = both([ipv4::TCP; 2]).map(|it| Filter { ports: Ports::Any, ..it });
    let any = Programs::of(&any);
    for family in FAMILIES {
        for (way, expect) in [([ALSO_OURS, ROUTER], [true, false]), ([ROUTER, OURS], [true; 2])] {
            let bytes = datagram(family, &[], OTHER_PROTOCOL, way, &[]);
            for link in LINKS {
                for kind in [OUTGOING, CAME_IN[0]] {
                    let frame = Packet { kind, ..packet(link, &bytes) };
                    let passed = lets_through(&as_such, &frame);
                    assert_eq!(passed, expect[usize::from(kind != OUTGOING)], "{way:?} {kind}");
                }
            }
            let begins = datagram(family, &[], ipv4::TCP, way, &segment(7, 80, tcp::Flags::SYN));
            any.check(expect, "a connection", &begins);
            let goes_on = datagram(family, &[], ipv4::TCP, way, &segment(7, 80, tcp::Flags::ACK));
            any.check([false; 2], "within a connection", &goes_on);
        }
    }
}

#[test]
fn on_the_loopback_each_frame_passes_once() {
    for family in FAMILIES {
        let program = program(&both([ipv4::UDP; 2]), None);
        for (source, destination) in [(PORT, 33_434), (53, LAST)] {
            let payload = ports(source, destination);
            let bytes = datagram(family, &[], ipv4::UDP, [OURS, OURS], &payload);
            for (kind, expect) in [(OUTGOING, true), (CAME_IN[0], false)] {
                let frame = Packet { kind, ..packet((LOOPBACK, 14), &bytes) };
                assert_eq!(lets_through(&program, &frame), expect, "{source} {kind}");
            }
        }
    }
}

/// Each is found, by jumps of whatever length; of more than can be compared all pass that leave.
#[test]
fn however_many_addresses_we_have_each_is_known() {
    let nth = |family: usize, number: usize| match family {
        0 => format!("10.0.{number}.1"),
        _ => format!("fd00:0:{number}::1"),
    };
    for count in 1..=MOST + 2 {
        let filters = FAMILIES.map(|family| Filter {
            sources: (0..count).map(|number| nth(family, number).parse().unwrap()).collect(),
            ..several(family, [ipv4::ICMP, ipv6::ICMPV6][family])
        });
        let all = program(&filters, None);
        assert!(all.len() < LONGEST / 2, "{}", all.len());
        for family in FAMILIES {
            let about = [V4, V6][family].icmp;
            for number in 0..count + 2 {
                let ours: Vec<u8> = octets(&nth(family, number));
                let expect = number < count || count > MOST;
                for (kind, which, at) in [
                    (OUTGOING, [V4, V6][family].echo_request, [V4, V6][family].source_at),
                    (CAME_IN[0], [V4, V6][family].echo_reply, [V4, V6][family].target_at),
                    (CAME_IN[0], [V4, V6][family].errors[0], [V4, V6][family].target_at),
                ] {
                    let mut bytes = datagram(family, &[], about, [TARGET, TARGET], &icmp(which));
                    let at = usize::try_from(at).unwrap();
                    bytes[at..at + ours.len()].copy_from_slice(&ours);
                    for link in LINKS {
                        let frame = Packet { kind, ..packet(link, &bytes) };
                        let passed = lets_through(&all, &frame);
                        assert_eq!(passed, expect, "{number} of {count}, {family}, {which}");
                    }
                }
            }
        }
    }
}

#[test]
fn one_target_in_each_family_is_known_exactly() {
    let filters = FAMILIES.map(|family| filter(family, ipv4::UDP));
    let both = program(&filters, None);
    for family in FAMILIES {
        let alone = program(&filters[family..=family], None);
        for (way, source, destination) in [
            ([OURS, TARGET], PORT, 33_434),
            ([OURS, ROUTER], PORT, 33_434),
            ([OURS, TARGET], PORT + 1, 33_434),
            ([TARGET, OURS], 53, PORT),
            ([ROUTER, OURS], 53, PORT),
        ] {
            let bytes = datagram(family, &[], ipv4::UDP, way, &ports(source, destination));
            for link in LINKS {
                let frame = packet(link, &bytes);
                assert_eq!(lets_through(&both, &frame), lets_through(&alone, &frame), "{way:?}");
            }
        }
    }
    assert_eq!(program(&[], None).last(), DROP_ALL.first(), "no target, no frame");
}

/// What one target costs is what it has always cost.
#[test]
fn the_program_for_one_target_stays_as_short() {
    let lengths = FAMILIES.map(|family| filter(family, ipv4::UDP).program(None).len());
    assert_eq!(lengths, [81, 157]);
}
