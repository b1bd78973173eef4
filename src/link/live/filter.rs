//! The classic BPF program that keeps everything else in the kernel.
//!
//! Let through is only what can matter to this trace: (a) our probes, (b) the answer of the target
//! to our port, (c) ICMP to our address of the types that answer a probe. Of an ICMP error no more
//! than the type is looked at: what it quotes may have been rewritten by a NAT on the way, and
//! telling our quotes from others' is the tracer's business. Everything else, such as other
//! programs' pings at any rate, never wakes us.
//!
//! Instructions and the ancillary loads: Linux Documentation/networking/filter.rst. The program is
//! written with labels and assembled; a jump only ever goes forward.

use std::net::Ipv4Addr;

use libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX, BPF_MSH,
    BPF_RET, BPF_W,
};

use crate::wire::LinkType;
use crate::wire::ipv4::{ICMP, UDP};

/// What the filter is to let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What captured frames begin with; [`LinkType::Sll2`] for a cooked socket, whose filter sees
    /// the frame from its IP header on.
    pub link: LinkType,
    /// Our address.
    pub source: Ipv4Addr,
    /// The address traced.
    pub target: Ipv4Addr,
    /// The port that our probes come from.
    pub source_port: u16,
    /// Whether the interface is the loopback, or all interfaces and so the loopback too: there each
    /// packet is seen going out and coming in, and the second sight is dropped.
    pub loopback: bool,
    /// Whether ICMP echo replies are let through.
    pub echo_replies: bool,
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
/// Relative to the index register, which holds the IP header's length.
const LOAD_HALF_AFTER: u16 = op(BPF_LD | BPF_H | BPF_IND);
const LOAD_BYTE_AFTER: u16 = op(BPF_LD | BPF_B | BPF_IND);
/// Four times the low half of a byte, into the index register: made for the IP header's length.
const LOAD_HEADER_LEN: u16 = op(BPF_LDX | BPF_B | BPF_MSH);
const IF_EQUAL: u16 = op(BPF_JMP | BPF_JEQ | BPF_K);
const IF_ANY_BIT: u16 = op(BPF_JMP | BPF_JSET | BPF_K);

// Loads from below this offset reach what the kernel knows of a packet beside its bytes.
const PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL).cast_unsigned();
const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
const HARDWARE_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_HATYPE).cast_unsigned();

const OUTGOING: u32 = 4; // PACKET_OUTGOING
const LOOPBACK: u32 = 772; // ARPHRD_LOOPBACK
const ETHERTYPE_IPV4: u32 = 0x0800;
const FRAGMENT_OFFSET: u32 = 0x1fff;
const WHOLE_FRAME: u32 = u32::MAX;

/// The ICMP types that answer a probe: unreachable, source quench, redirect, time exceeded,
/// parameter problem.
const ICMP_TYPES: [u32; 5] = [3, 4, 5, 11, 12];
const ECHO_REPLY: u32 = 0;

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
    Udp,
    Answer,
    Accept,
    Drop,
}

/// A line of the program before it is assembled.
enum Line {
    At(Label),
    Do(u16, u32),
    Test { code: u16, k: u32, yes: Label, no: Label },
}

use Label::{Accept, Answer, Drop, Ip, Next, Udp};
use Line::{At, Do};

fn equal(k: u32, yes: Label, no: Label) -> Line {
    Line::Test { code: IF_EQUAL, k, yes, no }
}

impl Filter {
    /// The program.
    #[must_use]
    pub fn program(&self) -> Vec<Instruction> {
        let ip = if self.link == LinkType::Ethernet { 14 } else { 0 };
        let (ours, target) = (self.source.to_bits(), self.target.to_bits());
        let port = u32::from(self.source_port);
        let mut lines = Vec::new();
        if self.loopback {
            lines.extend([
                Do(LOAD_WORD, HARDWARE_TYPE),
                equal(LOOPBACK, Next, Ip),
                Do(LOAD_WORD, PACKET_TYPE),
                equal(OUTGOING, Next, Drop),
            ]);
        }
        lines.extend([
            At(Ip),
            Do(LOAD_WORD, PROTOCOL),
            equal(ETHERTYPE_IPV4, Next, Drop),
            Do(LOAD_HALF, ip + 6),
            Line::Test { code: IF_ANY_BIT, k: FRAGMENT_OFFSET, yes: Drop, no: Next },
            Do(LOAD_HEADER_LEN, ip),
            Do(LOAD_BYTE, ip + 9),
            equal(UDP.into(), Udp, Next),
            equal(ICMP.into(), Next, Drop),
            Do(LOAD_WORD, ip + 16),
            equal(ours, Next, Drop),
            Do(LOAD_BYTE_AFTER, ip),
        ]);
        lines.extend(ICMP_TYPES.map(|kind| equal(kind, Accept, Next)));
        if self.echo_replies {
            lines.push(equal(ECHO_REPLY, Accept, Next));
        }
        lines.extend([
            Do(RETURN, 0),
            At(Udp), // ours? An address traced from itself is both source and target.
            Do(LOAD_WORD, ip + 12),
            equal(ours, Next, Answer),
            Do(LOAD_WORD, ip + 16),
            equal(target, Next, Answer),
            Do(LOAD_HALF_AFTER, ip),
            equal(port, Accept, Answer),
            At(Answer),
            Do(LOAD_WORD, ip + 12),
            equal(target, Next, Drop),
            Do(LOAD_WORD, ip + 16),
            equal(ours, Next, Drop),
            Do(LOAD_HALF_AFTER, ip + 2),
            equal(port, Accept, Drop),
            At(Drop),
            Do(RETURN, 0),
            At(Accept),
            Do(RETURN, WHOLE_FRAME),
        ]);
        assemble(&lines)
    }
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

    const OURS: [u8; 4] = [10, 0, 0, 1];
    const TARGET: [u8; 4] = [192, 0, 2, 9];
    const ROUTER: [u8; 4] = [10, 0, 0, 254];
    const PORT: u16 = 40_000;

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

    fn filter(link: LinkType) -> Filter {
        Filter {
            link,
            source: OURS.into(),
            target: TARGET.into(),
            source_port: PORT,
            loopback: false,
            echo_replies: false,
        }
    }

    fn ipv4(options: usize, protocol: u8, from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 20 + options];
        bytes[0] = 0x45 + u8::try_from(options / 4).unwrap();
        bytes[9] = protocol;
        bytes[12..16].copy_from_slice(&from);
        bytes[16..20].copy_from_slice(&to);
        bytes.extend(payload);
        bytes
    }

    fn udp(from: [u8; 4], to: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
        let [sport, dport] = ports.map(u16::to_be_bytes);
        ipv4(0, UDP, from, to, &[sport, dport, [0, 8], [0, 0]].concat())
    }

    fn icmp(kind: u8, to: [u8; 4]) -> Vec<u8> {
        ipv4(0, ICMP, ROUTER, to, &[kind, 0, 0, 0, 0, 0, 0, 0])
    }

    fn packet(link: LinkType, datagram: &[u8]) -> Packet {
        let header: &[u8] = if link == LinkType::Ethernet { &[0; 14] } else { &[] };
        let bytes = [header, datagram].concat();
        Packet { bytes, protocol: ETHERTYPE_IPV4, kind: 0, hardware: 1 }
    }

    fn fragment(mut datagram: Vec<u8>, field: u16) -> Vec<u8> {
        datagram[6..8].copy_from_slice(&field.to_be_bytes());
        datagram
    }

    #[test]
    fn lets_through_what_matters_and_nothing_else() {
        let cases = [
            (true, "our probe", udp(OURS, TARGET, [PORT, 33434])),
            (true, "the target's answer", udp(TARGET, OURS, [53, PORT])),
            (true, "time exceeded", icmp(11, OURS)),
            (true, "unreachable", icmp(3, OURS)),
            (true, "parameter problem", icmp(12, OURS)),
            (true, "options before ICMP", ipv4(8, ICMP, ROUTER, OURS, &[11, 0, 0, 0])),
            (true, "first fragment", fragment(icmp(11, OURS), 0x2000)),
            (true, "don't fragment", fragment(icmp(11, OURS), 0x4000)),
            (false, "later fragment", fragment(icmp(11, OURS), 0x2001)),
            (false, "other port", udp(OURS, TARGET, [PORT + 1, 33434])),
            (false, "other program to the target", udp(OURS, TARGET, [33434, PORT])),
            (false, "other target", udp(OURS, ROUTER, [PORT, 33434])),
            (false, "answer to another port", udp(TARGET, OURS, [PORT, 53])),
            (false, "answer of another host", udp(ROUTER, OURS, [53, PORT])),
            (false, "answer to another host", udp(TARGET, ROUTER, [53, PORT])),
            (false, "echo request", icmp(8, OURS)),
            (false, "echo reply", icmp(0, OURS)),
            (false, "ICMP to another host", icmp(11, ROUTER)),
            (false, "TCP", ipv4(0, 6, OURS, TARGET, &PORT.to_be_bytes())),
            (false, "options that look like ICMP", ipv4(4, ICMP, ROUTER, OURS, &[8, 0, 0, 0])),
            (false, "no transport header", ipv4(0, ICMP, ROUTER, OURS, &[])),
            (false, "nothing", vec![]),
        ];
        for link in [LinkType::Ethernet, LinkType::Raw, LinkType::Sll2] {
            let program = filter(link).program();
            for (expect, what, datagram) in &cases {
                assert_eq!(lets_through(&program, &packet(link, datagram)), *expect, "{what}");
            }
        }
    }

    #[test]
    fn what_is_not_ipv4_is_dropped() {
        let program = filter(LinkType::Raw).program();
        let frame = Packet { protocol: 0x86dd, ..packet(LinkType::Raw, &icmp(11, OURS)) };
        assert!(!lets_through(&program, &frame));
    }

    #[test]
    fn echo_replies_pass_when_asked_for() {
        let asked = Filter { echo_replies: true, ..filter(LinkType::Raw) };
        assert!(lets_through(&asked.program(), &packet(LinkType::Raw, &icmp(0, OURS))));
        assert!(!lets_through(&asked.program(), &packet(LinkType::Raw, &icmp(8, OURS))));
    }

    #[test]
    fn loopback_frames_pass_on_their_way_out_only() {
        let itself = Filter { loopback: true, target: OURS.into(), ..filter(LinkType::Ethernet) };
        for (hardware, kind, expect) in
            [(LOOPBACK, OUTGOING, true), (LOOPBACK, 0, false), (1, 0, true), (1, OUTGOING, true)]
        {
            for datagram in
                [udp(OURS, OURS, [PORT, 33434]), udp(OURS, OURS, [53, PORT]), icmp(3, OURS)]
            {
                let frame = packet(LinkType::Ethernet, &datagram);
                let frame = Packet { kind, hardware, ..frame };
                assert_eq!(lets_through(&itself.program(), &frame), expect, "{hardware} {kind}");
            }
        }
    }

    #[test]
    fn nothing_passes_a_socket_that_is_only_held() {
        assert!(!lets_through(&DROP_ALL, &packet(LinkType::Raw, &icmp(11, OURS))));
    }
}
