//! The classic BPF program that decides which frames the kernel passes to the capture.
//!
//! It passes only what can matter to these traces: (a) our probes as they leave (an incoming frame is no probe,
//! whatever it looks like: it is forged, or reflected by a neighbour); (b) what the target sends us in their
//! protocol; (c) ICMP to our address of the types that answer a probe. Of an ICMP error it checks only the type: the
//! quote may have been rewritten by a NAT on the path, and the tracer distinguishes our quotes from others'.
//! Everything else, such as pings of other hosts by other programs, never wakes us. A TCP segment with RST is never a
//! probe: the kernel sends it to close a connection that a probe half opened.
//!
//! With several targets it checks only what they share, our addresses and a range of ports. So a foreign frame costs
//! the same however many targets there are. The tracer finds the target of a frame, and the frames that are nobody's.
//!
//! IPv4 and IPv6 differ in the offsets of fields ([`Family`]) and in how the upper layer is found. Of the extension
//! headers of IPv6 (RFC 8200) only the fragment header of a first fragment is skipped: nobody sends us answers behind
//! others, and classic BPF cannot loop.

mod bpf;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use self::bpf::{
    HARDWARE_TYPE, INTERFACE, LOAD_BYTE, LOAD_BYTE_AFTER, LOAD_HALF, LOAD_HALF_AFTER,
    LOAD_HEADER_LEN, LOAD_WORD, NETWORK, PACKET_TYPE, PROTOCOL, RETURN, SET_HEADER_LEN, any_bit,
    assemble, between, either, equal,
};
use crate::wire::{icmpv4, icmpv6, ipv4, ipv6, tcp};

pub use self::bpf::{DROP_ALL, Instruction};

type Line = bpf::Line<Label>;

/// What the filter passes of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Our source addresses of probes; if there are more than [`MOST`], any address may be one of them.
    pub sources: Vec<IpAddr>,
    /// The address of the target, if there is only one. It has one source.
    pub target: Option<IpAddr>,
    /// The IP protocol of our probes.
    pub protocol: u8,
    /// The source ports of our probes, if their protocol has ports.
    pub ports: Ports,
    /// Whether every datagram of the probes' protocol counts as a probe, whatever its contents.
    pub as_such: bool,
}

/// The source ports of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All ports. Of TCP, segments that begin or reset a connection pass.
    Any,
    /// One port, and perhaps a second one of some probes.
    These(u16, Option<u16>),
    /// The ports from the first to the second.
    Range(u16, u16),
}

/// The interfaces whose frames are wanted, if not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    /// The indexes of the interfaces.
    pub indexes: Vec<u32>,
    /// The indexes of the interfaces that they consist of, on which their frames are seen first.
    pub below: Vec<u32>,
}

/// The most addresses that an address of a frame is compared with: a jump over more is too far.
pub const MOST: usize = 8;

const OUTGOING: u32 = 4; // PACKET_OUTGOING
const LOOPBACK: u32 = 772; // ARPHRD_LOOPBACK
const ETHERNET: u32 = 1; // ARPHRD_ETHER
/// Length of an Ethernet header.
const ETHERNET_LEN: u32 = 14;
const FRAGMENT_OFFSET: u32 = 0x1fff;
const FRAGMENT_OFFSET_V6: u32 = 0xfff8;
/// Where in a TCP header the flags are.
const TCP_FLAGS: u32 = 13;
const WHOLE_FRAME: u32 = u32::MAX;
/// The number of bytes that are kept of a frame that is only counted.
const OCTET: u32 = 1;

/// What differs between the families: numbers, and offsets from the IP header.
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

/// A place in the program that jumps go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// The instruction after the jump; it has no position.
    Next,
    Ip,
    Upper,
    Probe,
    FromPort,
    Answer,
    Error,
    /// The frame belongs to somebody else.
    Foreign,
    Accept,
    Whole,
    Drop,
    /// The comparison of the address with this number, where several are compared.
    Address(Found, usize),
    /// The address is one of ours.
    Ours(Found),
}

/// What an address that is one of ours shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Sent,
    Answered,
    Reported,
}

use Label::{Accept, Answer, Drop, Error, Foreign, FromPort, Ip, Next, Probe, Upper, Whole};
use bpf::Line::{At, Do};

/// Continues if the address at this offset is `address`.
fn is_address(at: u32, address: IpAddr, otherwise: Label) -> Vec<Line> {
    compare(at, address, Next, otherwise)
}

/// Jumps to `yes` if the address at this offset is `address`, and to `no` if it is not.
fn compare(at: u32, address: IpAddr, yes: Label, no: Label) -> Vec<Line> {
    let bits = match address {
        IpAddr::V4(v4) => vec![v4.to_bits()],
        IpAddr::V6(v6) => (0..4).rev().map(|word| low_word(v6.to_bits() >> (32 * word))).collect(),
    };
    let last = bits.len() - 1;
    let compared = |(number, (at, word))| {
        [Do(LOAD_WORD, at), equal(word, if number == last { yes } else { Next }, no)]
    };
    (at..).step_by(4).zip(bits).enumerate().flat_map(compared).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the low word is what is asked for")]
const fn low_word(bits: u128) -> u32 {
    bits as u32
}

/// The program for a socket that captures on all interfaces: it passes frames whole or, of other interfaces than
/// those in `only`, one octet of incoming frames. There is at most one filter for each family.
///
/// Ethernet headers have one length; frames of other interfaces are read from where the kernel says that their IP
/// header is. (That works for Ethernet only as far as the driver has put the headers in one piece.)
#[must_use]
pub fn program(filters: &[Filter], only: Option<&Only>) -> Vec<Instruction> {
    let mut program = only.map_or_else(Vec::new, entrance);
    let at = |ip| of_families(filters, ip, only);
    program.extend(either(HARDWARE_TYPE, &[ETHERNET, LOOPBACK], at(ETHERNET_LEN), at(NETWORK)));
    program
}

/// Drops frames that are wanted of no interface, and continues with the rest.
fn entrance(only: &Only) -> Vec<Instruction> {
    let mut lines = vec![Do(LOAD_WORD, INTERFACE)];
    lines.extend(only.indexes.iter().map(|index| equal(*index, Ip, Next)));
    lines.extend(only.below.iter().map(|index| equal(*index, Drop, Next)));
    lines.extend([Do(LOAD_WORD, PACKET_TYPE), equal(OUTGOING, Drop, Ip)]);
    lines.extend([At(Drop), Do(RETURN, 0), At(Ip)]);
    assemble(&lines)
}

/// The program for frames whose IP header is at this offset.
fn of_families(filters: &[Filter], ip: u32, only: Option<&Only>) -> Vec<Instruction> {
    match filters {
        [] => DROP_ALL.to_vec(),
        [one] => one.lines(ip, only),
        [first, others @ ..] => {
            let others = of_families(others, ip, only);
            either(PROTOCOL, &[first.family().ethertype], first.lines(ip, only), others)
        }
    }
}

impl Filter {
    fn family(&self) -> Family {
        if self.sources.first().is_none_or(IpAddr::is_ipv4) { V4 } else { V6 }
    }

    /// The program for frames of this family whose IP header is at this offset.
    fn lines(&self, ip: u32, only: Option<&Only>) -> Vec<Instruction> {
        let family = self.family();
        let mut lines = vec![
            // On the loopback each packet is seen going out and coming in: the second frame is dropped.
            Do(LOAD_WORD, HARDWARE_TYPE),
            equal(LOOPBACK, Next, Ip),
            Do(LOAD_WORD, PACKET_TYPE),
            equal(OUTGOING, Next, Drop),
            At(Ip),
            Do(LOAD_WORD, PROTOCOL),
            equal(family.ethertype, Next, Drop),
        ];
        lines.extend(if family.ethertype == V4.ethertype { upper_v4(ip) } else { upper_v6(ip) });
        lines.extend([
            At(Upper), // its number is loaded, the headers before it are measured
            equal(self.protocol.into(), Probe, Next),
            equal(family.icmp.into(), Error, Drop),
        ]);
        // An address traced from itself is both source and target, so what is no probe of ours may still be an
        // answer; and if the probes are ICMP, an error.
        let otherwise = if self.protocol == family.icmp { Error } else { Drop };
        lines.push(At(Probe));
        lines.extend(self.is_from_us(ip, &family, otherwise));
        lines.extend(self.is_probe(ip, &family));
        lines.push(At(Answer));
        if let Some(target) = self.target {
            lines.extend(is_address(ip + family.source_at, target, otherwise));
        }
        lines.extend(self.is_one_of_ours(ip + family.target_at, Found::Answered, otherwise));
        lines.extend(self.is_answer(ip, &family, otherwise));
        lines.push(At(Error));
        lines.extend(self.is_one_of_ours(ip + family.target_at, Found::Reported, Drop));
        if let (Some(target), [source]) = (self.target, &self.sources[..])
            && target != *source
        {
            // A frame of this host to itself says that a probe did not leave: nobody on the path sent it.
            lines.extend(is_address(ip + family.source_at, *source, Foreign));
            lines.extend([equal(0, Drop, Drop), At(Foreign)]);
        }
        lines.push(Do(LOAD_BYTE_AFTER, ip));
        lines.extend(family.errors.iter().map(|kind| equal((*kind).into(), Accept, Next)));
        lines.extend([At(Drop), Do(RETURN, 0), At(Accept)]);
        if let Some(Only { indexes, .. }) = only {
            lines.push(Do(LOAD_WORD, INTERFACE));
            lines.extend(indexes.iter().map(|index| equal(*index, Whole, Next)));
            lines.extend([Do(RETURN, OCTET), At(Whole)]);
        }
        lines.push(Do(RETURN, WHOLE_FRAME));
        assemble(&lines)
    }

    /// Continues if a frame leaves with our address for a target; otherwise it may be an answer. An incoming frame
    /// with an address of ours as its source is none, unless that address is traced from itself.
    fn is_from_us(&self, ip: u32, family: &Family, otherwise: Label) -> Vec<Line> {
        let sent = self.is_one_of_ours(ip + family.source_at, Found::Sent, Answer);
        let leaves = |otherwise| [Do(LOAD_WORD, PACKET_TYPE), equal(OUTGOING, Next, otherwise)];
        let mut lines = Vec::new();
        match self.target {
            Some(target) => {
                lines.extend(leaves(Answer));
                lines.extend(sent);
                lines.extend(is_address(ip + family.target_at, target, Answer));
            }
            None if sent.is_empty() => lines.extend(leaves(Answer)),
            None => {
                lines.extend(sent);
                lines.extend(leaves(otherwise));
            }
        }
        lines
    }

    /// Continues if the address at this offset is one of ours.
    fn is_one_of_ours(&self, at: u32, found: Found, otherwise: Label) -> Vec<Line> {
        if self.sources.len() > MOST {
            return Vec::new();
        }
        let last = self.sources.len().saturating_sub(1);
        let mut lines = Vec::new();
        for (number, address) in self.sources.iter().enumerate() {
            if number == last {
                lines.extend(is_address(at, *address, otherwise));
            } else {
                let another = Label::Address(found, number + 1);
                lines.extend(compare(at, *address, Label::Ours(found), another));
                lines.push(At(another));
            }
        }
        lines.push(At(Label::Ours(found)));
        lines
    }

    /// Tests what identifies a probe beyond its addresses.
    fn is_probe(&self, ip: u32, family: &Family) -> Vec<Line> {
        match (self.protocol, self.ports) {
            _ if self.as_such => vec![Do(RETURN, WHOLE_FRAME)],
            (ipv4::TCP, Ports::Any) => vec![
                Do(LOAD_BYTE_AFTER, ip + TCP_FLAGS),
                any_bit(tcp::Flags::SYN.0.into(), Accept, Answer),
            ],
            (ipv4::TCP, _) => {
                let mut lines = self.is_ours(ip, FromPort, Answer);
                lines.extend([
                    At(FromPort),
                    Do(LOAD_BYTE_AFTER, ip + TCP_FLAGS),
                    any_bit(tcp::Flags::RST.0.into(), Drop, Accept),
                ]);
                lines
            }
            (ipv4::UDP | ipv4::UDP_LITE, _) => self.is_ours(ip, Accept, Answer),
            (icmp, _) if icmp == family.icmp => {
                vec![Do(LOAD_BYTE_AFTER, ip), equal(family.echo_request.into(), Accept, Answer)]
            }
            _ => vec![equal(0, Accept, Accept)],
        }
    }

    /// Tests whether the port at this offset is one of ours.
    fn is_ours(&self, at: u32, yes: Label, no: Label) -> Vec<Line> {
        let mut lines = vec![Do(LOAD_HALF_AFTER, at)];
        match self.ports {
            Ports::Any => lines.push(equal(0, yes, yes)),
            Ports::These(port, second) => {
                lines.extend(second.map(|second| equal(second.into(), yes, Next)));
                lines.push(equal(port.into(), yes, no));
            }
            Ports::Range(from, to) => lines.extend(between(from.into(), to.into(), Next, yes, no)),
        }
        lines
    }

    /// Tests what identifies an answer of the target beyond its addresses.
    fn is_answer(&self, ip: u32, family: &Family, otherwise: Label) -> Vec<Line> {
        match (self.protocol, self.ports) {
            _ if self.as_such => vec![Do(RETURN, WHOLE_FRAME)],
            (ipv4::TCP, Ports::Any) => vec![
                Do(LOAD_BYTE_AFTER, ip + TCP_FLAGS),
                any_bit((tcp::Flags::SYN.0 | tcp::Flags::RST.0).into(), Accept, Drop),
            ],
            (ipv4::TCP | ipv4::UDP | ipv4::UDP_LITE, _) => self.is_ours(ip + 2, Accept, Drop),
            (icmp, _) if icmp == family.icmp => {
                vec![Do(LOAD_BYTE_AFTER, ip), equal(family.echo_reply.into(), Accept, otherwise)]
            }
            _ => vec![equal(0, Accept, Accept)],
        }
    }
}

/// Finds the upper layer after the IPv4 header, unless it is a later fragment.
fn upper_v4(ip: u32) -> Vec<Line> {
    vec![
        Do(LOAD_HALF, ip + 6),
        any_bit(FRAGMENT_OFFSET, Drop, Next),
        Do(LOAD_HEADER_LEN, ip),
        Do(LOAD_BYTE, ip + 9),
    ]
}

/// Finds the upper layer after the IPv6 header, and after the fragment header of a first fragment.
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
