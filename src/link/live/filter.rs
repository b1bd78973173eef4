//! The classic BPF program that keeps everything else in the kernel.
//!
//! Let through is only what can matter to this trace: (a) our probes, (b) what the target says to us
//! in their protocol, (c) ICMP to our address of the types that answer a probe. Of an ICMP error no
//! more than the type is looked at: what it quotes may have been rewritten by a NAT on the way, and
//! telling our quotes from others' is the tracer's business. Everything else, such as other
//! programs' pings of other hosts, never wakes us. A TCP segment with RST is never a probe: it is the
//! kernel closing what a probe half opened.
//!
//! IPv4 and IPv6 differ in where fields are ([`Family`]) and in how the upper layer is found. Of the
//! extension headers of IPv6 (RFC 8200) only that of a first fragment is looked behind: nobody sends
//! us answers behind others, and classic BPF cannot loop.
//!
//! Instructions and the ancillary loads: Linux Documentation/networking/filter.rst. The program is
//! written with labels and assembled; a jump only ever goes forward.

use std::net::IpAddr;

use libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX,
    BPF_MSH, BPF_RET, BPF_W,
};

use crate::wire::LinkType;
use crate::wire::{icmpv4, icmpv6, ipv4, ipv6, tcp};

/// What the filter is to let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What captured frames begin with; [`LinkType::Sll2`] for a cooked socket, whose filter sees
    /// the frame from its IP header on.
    pub link: LinkType,
    /// Our address.
    pub source: IpAddr,
    /// The address traced, of the same family.
    pub target: IpAddr,
    /// The IP protocol of our probes.
    pub protocol: u8,
    /// The port that our probes come from, where their protocol has ports.
    pub source_port: u16,
    /// Whether the interface is the loopback, or all interfaces and so the loopback too: there each
    /// packet is seen going out and coming in, and the second sight is dropped.
    pub loopback: bool,
}

/// One instruction, as `struct sock_filter` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip if the test holds.
    pub jt: u8,
    /// How many instructions to skip if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Lets nothing through: for sockets that are held but never read.
pub const DROP_ALL: [Instruction; 1] = [Instruction { code: RETURN, jt: 0, jf: 0, k: 0 }];

const RETURN: u16 = op(BPF_RET | BPF_K);
const LOAD_WORD: u16 = op(BPF_LD | BPF_W | BPF_ABS);
const LOAD_HALF: u16 = op(BPF_LD | BPF_H | BPF_ABS);
const LOAD_BYTE: u16 = op(BPF_LD | BPF_B | BPF_ABS);
/// Relative to the index register, which holds the length of the IP headers.
const LOAD_HALF_AFTER: u16 = op(BPF_LD | BPF_H | BPF_IND);
const LOAD_BYTE_AFTER: u16 = op(BPF_LD | BPF_B | BPF_IND);
/// Four times the low half of a byte, into the index register: made for the IPv4 header's length.
const LOAD_HEADER_LEN: u16 = op(BPF_LDX | BPF_B | BPF_MSH);
/// A number, into the index register.
const SET_HEADER_LEN: u16 = op(BPF_LDX | BPF_W | BPF_IMM);
const IF_EQUAL: u16 = op(BPF_JMP | BPF_JEQ | BPF_K);
const IF_ANY_BIT: u16 = op(BPF_JMP | BPF_JSET | BPF_K);

// Loads from below this offset reach what the kernel knows of a packet beside its bytes.
const PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL).cast_unsigned();
const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
const HARDWARE_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_HATYPE).cast_unsigned();

const OUTGOING: u32 = 4; // PACKET_OUTGOING
const LOOPBACK: u32 = 772; // ARPHRD_LOOPBACK
const FRAGMENT_OFFSET: u32 = 0x1fff;
const FRAGMENT_OFFSET_V6: u32 = 0xfff8;
/// Where in a TCP header the flags are.
const TCP_FLAGS: u32 = 13;
const WHOLE_FRAME: u32 = u32::MAX;

/// What differs between the families: numbers, and places counted from the IP header.
struct Family {
    ethertype: u32,
    source_at: u32,
    target_at: u32,
    icmp: u8,
    echo_request: u8,
    echo_reply: u8,
    /// The ICMP types that answer a probe.
    errors: &'static [u8],
}

const V4: Family = Family {
    ethertype: 0x0800,
    source_at: 12,
    target_at: 16,
    icmp: ipv4::ICMP,
    echo_request: icmpv4::ECHO_REQUEST,
    echo_reply: icmpv4::ECHO_REPLY,
    errors: &[
        icmpv4::UNREACHABLE,
        icmpv4::SOURCE_QUENCH,
        icmpv4::REDIRECT,
        icmpv4::TIME_EXCEEDED,
        icmpv4::PARAMETER_PROBLEM,
    ],
};

const V6: Family = Family {
    ethertype: 0x86dd,
    source_at: 8,
    target_at: 24,
    icmp: ipv6::ICMPV6,
    echo_request: icmpv6::ECHO_REQUEST,
    echo_reply: icmpv6::ECHO_REPLY,
    errors: &[
        icmpv6::UNREACHABLE,
        icmpv6::PACKET_TOO_BIG,
        icmpv6::TIME_EXCEEDED,
        icmpv6::PARAMETER_PROBLEM,
    ],
};

#[expect(clippy::cast_possible_truncation, reason = "codes are eight bits wide")]
const fn op(code: u32) -> u16 {
    code as u16
}

/// A place in the program that is jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// The instruction after the jump.
    Next,
    Ip,
    Upper,
    Probe,
    Answer,
    Error,
    Accept,
    Drop,
}

/// A line of the program before it is assembled.
enum Line {
    At(Label),
    Do(u16, u32),
    Test { code: u16, k: u32, yes: Label, no: Label },
}

use Label::{Accept, Answer, Drop, Error, Ip, Next, Probe, Upper};
use Line::{At, Do};

fn equal(k: u32, yes: Label, no: Label) -> Line {
    Line::Test { code: IF_EQUAL, k, yes, no }
}

fn any_bit(k: u32, yes: Label, no: Label) -> Line {
    Line::Test { code: IF_ANY_BIT, k, yes, no }
}

/// Goes on if the address at this place is `address`.
fn is_address(at: u32, address: IpAddr, otherwise: Label) -> Vec<Line> {
    let bits = match address {
        IpAddr::V4(v4) => vec![v4.to_bits()],
        IpAddr::V6(v6) => (0..4).rev().map(|word| low_word(v6.to_bits() >> (32 * word))).collect(),
    };
    let compared = |(at, word)| [Do(LOAD_WORD, at), equal(word, Next, otherwise)];
    (at..).step_by(4).zip(bits).flat_map(compared).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the low word is what is asked for")]
const fn low_word(bits: u128) -> u32 {
    bits as u32
}

impl Filter {
    /// The program.
    #[must_use]
    pub fn program(&self) -> Vec<Instruction> {
        let ip = if self.link == LinkType::Ethernet { 14 } else { 0 };
        let family = if self.target.is_ipv4() { V4 } else { V6 };
        let mut lines = Vec::new();
        if self.loopback {
            lines.extend([
                Do(LOAD_WORD, HARDWARE_TYPE),
                equal(LOOPBACK, Next, Ip),
                Do(LOAD_WORD, PACKET_TYPE),
                equal(OUTGOING, Next, Drop),
            ]);
        }
        lines.extend([At(Ip), Do(LOAD_WORD, PROTOCOL), equal(family.ethertype, Next, Drop)]);
        lines.extend(if self.target.is_ipv4() { upper_v4(ip) } else { upper_v6(ip) });
        lines.extend([
            At(Upper), // its number is loaded, the headers before it are measured
            equal(self.protocol.into(), Probe, Next),
            equal(family.icmp.into(), Error, Drop),
        ]);
        // An address traced from itself is both source and target, so what is no probe of ours may
        // still be an answer; and where ICMP is the probes' protocol, an error.
        let otherwise = if self.protocol == family.icmp { Error } else { Drop };
        lines.push(At(Probe));
        lines.extend(is_address(ip + family.source_at, self.source, Answer));
        lines.extend(is_address(ip + family.target_at, self.target, Answer));
        lines.extend(self.is_probe(ip, &family));
        lines.push(At(Answer));
        lines.extend(is_address(ip + family.source_at, self.target, otherwise));
        lines.extend(is_address(ip + family.target_at, self.source, otherwise));
        lines.extend(self.is_answer(ip, &family, otherwise));
        lines.push(At(Error));
        lines.extend(is_address(ip + family.target_at, self.source, Drop));
        lines.push(Do(LOAD_BYTE_AFTER, ip));
        lines.extend(family.errors.iter().map(|kind| equal((*kind).into(), Accept, Next)));
        lines.extend([At(Drop), Do(RETURN, 0), At(Accept), Do(RETURN, WHOLE_FRAME)]);
        assemble(&lines)
    }

    /// What a probe shows beyond its addresses.
    fn is_probe(&self, ip: u32, family: &Family) -> Vec<Line> {
        let port = self.source_port.into();
        match self.protocol {
            ipv4::TCP => vec![
                Do(LOAD_HALF_AFTER, ip),
                equal(port, Next, Answer),
                Do(LOAD_BYTE_AFTER, ip + TCP_FLAGS),
                any_bit(tcp::Flags::RST.0.into(), Drop, Accept),
            ],
            ipv4::UDP | ipv4::UDP_LITE => {
                vec![Do(LOAD_HALF_AFTER, ip), equal(port, Accept, Answer)]
            }
            icmp if icmp == family.icmp => {
                vec![Do(LOAD_BYTE_AFTER, ip), equal(family.echo_request.into(), Accept, Answer)]
            }
            _ => vec![Do(RETURN, WHOLE_FRAME)],
        }
    }

    /// What an answer of the target shows beyond its addresses.
    fn is_answer(&self, ip: u32, family: &Family, otherwise: Label) -> Vec<Line> {
        match self.protocol {
            ipv4::TCP | ipv4::UDP | ipv4::UDP_LITE => {
                vec![Do(LOAD_HALF_AFTER, ip + 2), equal(self.source_port.into(), Accept, Drop)]
            }
            icmp if icmp == family.icmp => {
                vec![Do(LOAD_BYTE_AFTER, ip), equal(family.echo_reply.into(), Accept, otherwise)]
            }
            _ => vec![Do(RETURN, WHOLE_FRAME)],
        }
    }
}

/// Finds what follows the IPv4 header, unless it is a later fragment.
fn upper_v4(ip: u32) -> Vec<Line> {
    vec![
        Do(LOAD_HALF, ip + 6),
        any_bit(FRAGMENT_OFFSET, Drop, Next),
        Do(LOAD_HEADER_LEN, ip),
        Do(LOAD_BYTE, ip + 9),
    ]
}

/// Finds what follows the IPv6 header, and the fragment header of a first fragment.
fn upper_v6(ip: u32) -> Vec<Line> {
    vec![
        Do(SET_HEADER_LEN, 40),
        Do(LOAD_BYTE, ip + 6),
        equal(ipv6::FRAGMENT.into(), Next, Upper),
        Do(LOAD_HALF, ip + 42),
        any_bit(FRAGMENT_OFFSET_V6, Drop, Next),
        Do(SET_HEADER_LEN, 48),
        Do(LOAD_BYTE, ip + 40),
    ]
}

/// Turns labels into distances.
fn assemble(lines: &[Line]) -> Vec<Instruction> {
    let position = |label: Label| {
        let before = lines.iter().take_while(|line| !matches!(line, At(at) if *at == label));
        before.filter(|line| !matches!(line, At(_))).count()
    };
    let mut program: Vec<Instruction> = Vec::with_capacity(lines.len());
    for line in lines {
        let after = program.len() + 1;
        let skip = |to: Label| match to {
            Next => 0,
            label => u8::try_from(position(label).saturating_sub(after)).unwrap_or(u8::MAX),
        };
        match *line {
            At(_) => {}
            Do(code, k) => program.push(Instruction { code, jt: 0, jf: 0, k }),
            Line::Test { code, k, yes, no } => {
                program.push(Instruction { code, jt: skip(yes), jf: skip(no), k });
            }
        }
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [&str; 2] = ["10.0.0.1", "fd00::1"];
    const TARGET: [&str; 2] = ["192.0.2.9", "2001:db8::9"];
    const ROUTER: [&str; 2] = ["10.0.0.254", "fd00::fe"];
    const PORT: u16 = 40_000;
    const OTHER_PROTOCOL: u8 = 99;

    /// A packet as the kernel's filter sees it.
    struct Packet {
        bytes: Vec<u8>,
        protocol: u32,
        kind: u32,
        hardware: u32,
    }

    /// What the kernel does with `packet`: the machine of the BSD Packet Filter, as far as used.
    fn lets_through(program: &[Instruction], packet: &Packet) -> bool {
        let (mut a, mut x, mut pc) = (0_u32, 0_u32, 0_usize);
        let load = |at: u32, size: usize| {
            let at = usize::try_from(at).unwrap();
            let bytes = packet.bytes.get(at..at + size)?;
            Some(bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)))
        };
        loop {
            let Instruction { code, jt, jf, k } = program[pc];
            pc += 1;
            let loaded = match code {
                RETURN => return k != 0,
                LOAD_WORD if k == PROTOCOL => Some(packet.protocol),
                LOAD_WORD if k == PACKET_TYPE => Some(packet.kind),
                LOAD_WORD if k == HARDWARE_TYPE => Some(packet.hardware),
                LOAD_WORD => load(k, 4),
                LOAD_HALF => load(k, 2),
                LOAD_BYTE => load(k, 1),
                LOAD_HALF_AFTER => load(x + k, 2),
                LOAD_BYTE_AFTER => load(x + k, 1),
                LOAD_HEADER_LEN => {
                    let Some(byte) = load(k, 1) else { return false };
                    x = (byte & 0xf) * 4;
                    continue;
                }
                SET_HEADER_LEN => {
                    x = k;
                    continue;
                }
                IF_EQUAL | IF_ANY_BIT => {
                    let holds = if code == IF_EQUAL { a == k } else { a & k != 0 };
                    pc += usize::from(if holds { jt } else { jf });
                    continue;
                }
                other => panic!("instruction {other:#x} is not used"),
            };
            let Some(value) = loaded else { return false };
            a = value;
        }
    }

    /// Which of the families a test runs in: the index of its addresses.
    const FAMILIES: [usize; 2] = [0, 1];

    fn filter(family: usize, protocol: u8) -> Filter {
        Filter {
            link: LinkType::Raw,
            source: OURS[family].parse().unwrap(),
            target: TARGET[family].parse().unwrap(),
            protocol,
            source_port: PORT,
            loopback: false,
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

    fn packet(link: LinkType, datagram: &[u8]) -> Packet {
        let header: &[u8] = if link == LinkType::Ethernet { &[0; 14] } else { &[] };
        let protocol = if datagram.first().is_some_and(|b| b >> 4 == 6) { 0x86dd } else { 0x0800 };
        Packet { bytes: [header, datagram].concat(), protocol, kind: 0, hardware: 1 }
    }

    /// Whether the filter for probes of `protocol` lets the datagram through, on any link.
    fn check(protocol: u8, family: usize, expect: bool, what: &str, datagram: &[u8]) {
        for link in [LinkType::Ethernet, LinkType::Raw, LinkType::Sll2] {
            let program = Filter { link, ..filter(family, protocol) }.program();
            let passed = lets_through(&program, &packet(link, datagram));
            assert_eq!(passed, expect, "{what}, IPv{}, {link:?}, {protocol}", [4, 6][family]);
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
                let bytes =
                    datagram(1 - family, &[], protocol, [OURS, TARGET], &ports(PORT, 33434));
                check(protocol, family, false, "other family", &bytes);
            }
        }
    }

    #[test]
    fn loopback_frames_pass_on_their_way_out_only() {
        for family in FAMILIES {
            let itself = filter(family, ipv4::UDP);
            let itself = Filter { loopback: true, target: itself.source, ..itself }.program();
            for (hardware, kind, expect) in [
                (LOOPBACK, OUTGOING, true),
                (LOOPBACK, 0, false),
                (1, 0, true),
                (1, OUTGOING, true),
            ] {
                for (protocol, payload) in [
                    (ipv4::UDP, ports(PORT, 33434)),
                    (ipv4::UDP, ports(53, PORT)),
                    ([V4, V6][family].icmp, icmp(3)),
                ] {
                    let bytes = datagram(family, &[], protocol, [OURS, OURS], &payload);
                    let frame = Packet { kind, hardware, ..packet(LinkType::Raw, &bytes) };
                    assert_eq!(lets_through(&itself, &frame), expect, "{hardware} {kind}");
                }
            }
        }
    }

    #[test]
    fn nothing_passes_a_socket_that_is_only_held() {
        let bytes = datagram(0, &[], ipv4::ICMP, [ROUTER, OURS], &icmp(11));
        assert!(!lets_through(&DROP_ALL, &packet(LinkType::Raw, &bytes)));
    }
}
