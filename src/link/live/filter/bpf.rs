//! The part of classic BPF that is used here: one accumulator, one index register, loads from the packet, and
//! comparisons with forward jumps.
//!
//! A load beyond the packet's end drops the packet. Codes and the ancillary loads: Linux
//! Documentation/networking/filter.rst.

use libc::{
    BPF_ABS, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET,
    BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET, BPF_W,
};

/// One instruction, as `struct sock_filter` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// The number of instructions to skip if the test holds.
    pub jt: u8,
    /// The number of instructions to skip if the test does not hold.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Passes nothing: for sockets that are held but never read.
pub const DROP_ALL: [Instruction; 1] = [Instruction { code: RETURN, jt: 0, jf: 0, k: 0 }];

/// Ends the program; the operand is the number of bytes of the packet to keep.
pub const RETURN: u16 = op(BPF_RET | BPF_K);
/// Loads four bytes at an offset into the accumulator.
pub const LOAD_WORD: u16 = op(BPF_LD | BPF_W | BPF_ABS);
/// Loads two bytes at an offset into the accumulator.
pub const LOAD_HALF: u16 = op(BPF_LD | BPF_H | BPF_ABS);
/// Loads one byte at an offset into the accumulator.
pub const LOAD_BYTE: u16 = op(BPF_LD | BPF_B | BPF_ABS);
/// Loads two bytes at an offset from the index register, which holds the length of the IP headers.
pub const LOAD_HALF_AFTER: u16 = op(BPF_LD | BPF_H | BPF_IND);
/// Loads one byte at an offset from the index register.
pub const LOAD_BYTE_AFTER: u16 = op(BPF_LD | BPF_B | BPF_IND);
/// Loads four times the low half of a byte into the index register: made for the length of the IPv4 header.
pub const LOAD_HEADER_LEN: u16 = op(BPF_LDX | BPF_B | BPF_MSH);
/// Loads a number into the index register.
pub const SET_HEADER_LEN: u16 = op(BPF_LDX | BPF_W | BPF_IMM);
/// Tests whether the accumulator is the operand.
pub const IF_EQUAL: u16 = op(BPF_JMP | BPF_JEQ | BPF_K);
/// Tests whether the accumulator has a bit in common with the operand.
pub const IF_ANY_BIT: u16 = op(BPF_JMP | BPF_JSET | BPF_K);
/// Tests whether the accumulator is at least the operand.
pub const IF_AT_LEAST: u16 = op(BPF_JMP | BPF_JGE | BPF_K);
/// Tests whether the accumulator is more than the operand.
pub const IF_ABOVE: u16 = op(BPF_JMP | BPF_JGT | BPF_K);
/// Skips the number of instructions that the operand gives: further than a comparison can.
pub const JUMP: u16 = op(BPF_JMP | BPF_JA);

// Loads from offsets below this reach the kernel's data about a packet.
/// The Ethertype.
pub const PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL).cast_unsigned();
/// The direction of the packet, a `PACKET_` number.
pub const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();
/// The index of the interface that it is on.
pub const INTERFACE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_IFINDEX).cast_unsigned();
/// The hardware type of the interface that it is on.
pub const HARDWARE_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_HATYPE).cast_unsigned();

/// Offsets from here on are counted from the IP header, whatever is before it.
pub const NETWORK: u32 = libc::SKF_NET_OFF.cast_unsigned();

#[expect(clippy::cast_possible_truncation, reason = "codes are eight bits wide")]
const fn op(code: u32) -> u16 {
    code as u16
}

/// A line of a program before it is assembled.
pub enum Line<L> {
    /// A label that jumps go to.
    At(L),
    /// An instruction and its operand.
    Do(u16, u32),
    /// A comparison of the accumulator with `k`, and the labels to jump to.
    Test {
        /// The comparison: [`IF_EQUAL`] and so on.
        code: u16,
        /// The number to compare with.
        k: u32,
        /// Where to go if the comparison holds.
        yes: L,
        /// Where to go if the comparison does not hold.
        no: L,
    },
}

/// Tests whether the accumulator is `k`.
pub fn equal<L>(k: u32, yes: L, no: L) -> Line<L> {
    Line::Test { code: IF_EQUAL, k, yes, no }
}

/// Tests whether the accumulator has any of the bits of `k`.
pub fn any_bit<L>(k: u32, yes: L, no: L) -> Line<L> {
    Line::Test { code: IF_ANY_BIT, k, yes, no }
}

/// Tests whether the accumulator is within these bounds, both included.
pub fn between<L: Copy>(from: u32, to: u32, next: L, yes: L, no: L) -> [Line<L>; 2] {
    [
        Line::Test { code: IF_AT_LEAST, k: from, yes: next, no },
        Line::Test { code: IF_ABOVE, k: to, yes: no, no: yes },
    ]
}

/// The program that loads the word at an offset, and continues with `yes` if it is one of `values`, and otherwise
/// with `no`. Both end by themselves.
pub fn either(
    at: u32,
    values: &[u32],
    yes: Vec<Instruction>,
    no: Vec<Instruction>,
) -> Vec<Instruction> {
    let jump = |k| Instruction { code: JUMP, jt: 0, jf: 0, k };
    let near = u8::try_from(yes.len()).ok();
    // A jump reaches further than a comparison.
    let far = near.is_none().then(|| jump(u32::try_from(yes.len()).unwrap_or(u32::MAX)));
    let mut program = vec![Instruction { code: LOAD_WORD, jt: 0, jf: 0, k: at }];
    for (number, k) in values.iter().enumerate() {
        let after = values.len() - 1 - number;
        let jt = u8::try_from(after + usize::from(far.is_some())).unwrap_or(u8::MAX);
        let jf = near.filter(|_| after == 0).unwrap_or(0);
        program.push(Instruction { code: IF_EQUAL, jt, jf, k: *k });
    }
    program.extend(far);
    program.extend(yes);
    program.extend(no);
    program
}

/// Turns labels into distances. A label without a position stands for the line after the jump.
pub fn assemble<L: Copy + PartialEq>(lines: &[Line<L>]) -> Vec<Instruction> {
    let is = |line: &Line<L>, label: L| matches!(line, Line::At(at) if *at == label);
    let position = |label: L| {
        let place = lines.iter().position(|line| is(line, label))?;
        Some(lines.iter().take(place).filter(|line| !matches!(line, Line::At(_))).count())
    };
    let mut program: Vec<Instruction> = Vec::with_capacity(lines.len());
    for line in lines {
        let after = program.len() + 1;
        let skip = |to: L| {
            let distance = position(to).map_or(0, |place| place.saturating_sub(after));
            debug_assert!(distance <= u8::MAX.into(), "a comparison cannot jump that far");
            u8::try_from(distance).unwrap_or(u8::MAX)
        };
        match *line {
            Line::At(_) => {}
            Line::Do(code, k) => program.push(Instruction { code, jt: 0, jf: 0, k }),
            Line::Test { code, k, yes, no } => {
                program.push(Instruction { code, jt: skip(yes), jf: skip(no), k });
            }
        }
    }
    program
}
