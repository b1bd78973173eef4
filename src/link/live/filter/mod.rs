//! The classic BPF program that keeps everything else in the kernel.
//!
//! Let through is only what can matter to this trace: (a) our probes, on their way out: a frame that came in is
//! none, whatever it looks like, be it forged or reflected by a neighbour; (b) what the target says to us
//! in their protocol, (c) ICMP to our address of the types that answer a probe. Of an ICMP error no
//! more than the type is looked at: what it quotes may have been rewritten by a NAT on the way, and
//! telling our quotes from others' is the tracer's business. Everything else, such as other
//! programs' pings of other hosts, never wakes us. A TCP segment with RST is never a probe: it is the
//! kernel closing what a probe half opened.
//!
//! IPv4 and IPv6 differ in where fields are ([`Family`]) and in how the upper layer is found. Of the
//! extension headers of IPv6 (RFC 8200) only that of a first fragment is looked behind: nobody sends
//! us answers behind others, and classic BPF cannot loop.

mod bpf;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use self::bpf::{
    HARDWARE_TYPE, INTERFACE, LOAD_BYTE, LOAD_BYTE_AFTER, LOAD_HALF, LOAD_HALF_AFTER,
    LOAD_HEADER_LEN, LOAD_WORD, NETWORK, PACKET_TYPE, PROTOCOL, RETURN, SET_HEADER_LEN, any_bit,
    assemble, equal,
};
use crate::wire::{icmpv4, icmpv6, ipv4, ipv6, tcp};

pub use self::bpf::{DROP_ALL, Instruction};

type Line = bpf::Line<Label>;

/// What the filter is to let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Our address.
    pub source: IpAddr,
    /// The address traced, of the same family.
    pub target: IpAddr,
    /// The IP protocol of our probes.
    pub protocol: u8,
    /// The port that our probes come from, where their protocol has ports. Of TCP it may be any: then what
    /// begins or resets a connection is let through.
    pub source_port: Option<u16>,
    /// Another one that some of them come from.
    pub second_port: Option<u16>,
    /// Whether our probes are all that has their protocol, whatever else it looks like.
    pub as_such: bool,
}

/// The one interface of which frames are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    /// Its number.
    pub index: u32,
    /// Those that it is made of: what it receives is seen there first.
    pub below: Vec<u32>,
}

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
/// What is kept of a frame that is only counted.
const OCTET: u32 = 1;

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

/// A place in the program that is jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// The instruction after the jump; at no place.
    Next,
    Ip,
    Upper,
    Probe,
    FromPort,
    Answer,
    Error,
    /// Of somebody else.
    Foreign,
    Accept,
    Whole,
    Drop,
    /// Where the program for Ethernet begins, and that for other kinds of interface.
    Framed,
    Bare,
}

use Label::{
    Accept, Answer, Bare, Drop, Error, Foreign, Framed, FromPort, Ip, Next, Probe, Upper, Whole,
};
use bpf::Line::{At, Do};

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
    /// The program for a socket that captures on all interfaces: it lets frames through whole or, of other interfaces
    /// than that in `only`, one octet of what came in.
    ///
    /// Ethernet headers have one length; frames of other interfaces are looked at from where the kernel says that their
    /// IP header is. (That works for Ethernet only as far as the driver has put the headers in one piece.)
    #[must_use]
    pub fn program(&self, only: Option<&Only>) -> Vec<Instruction> {
        let framed = self.lines(ETHERNET_LEN, only);
        let mut program = assemble(&Self::entrance(only, framed.len()));
        program.truncate(program.len() - framed.len());
        program.extend(framed);
        program.extend(self.lines(NETWORK, only));
        program
    }

    /// Drops what is wanted of no interface, and goes on by the kind of interface; the program for Ethernet has so many
    /// instructions.
    fn entrance(only: Option<&Only>, framed: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(Only { index, below }) = only {
            lines.extend([Do(LOAD_WORD, INTERFACE), equal(*index, Ip, Next)]);
            lines.extend(below.iter().map(|index| equal(*index, Drop, Next)));
            lines.extend([Do(LOAD_WORD, PACKET_TYPE), equal(OUTGOING, Drop, Ip)]);
            lines.extend([At(Drop), Do(RETURN, 0), At(Ip)]);
        }
        lines.extend([
            Do(LOAD_WORD, HARDWARE_TYPE),
            equal(ETHERNET, Framed, Next),
            equal(LOOPBACK, Framed, Bare),
            At(Framed),
        ]);
        // Where the other program is, which is not of these lines.
        lines.extend((0..framed).map(|_| Do(RETURN, 0)));
        lines.push(At(Bare));
        lines
    }

    /// The program for frames whose IP header is at this place.
    fn lines(&self, ip: u32, only: Option<&Only>) -> Vec<Instruction> {
        let family = if self.target.is_ipv4() { V4 } else { V6 };
        let mut lines = vec![
            // On the loopback each packet is seen going out and coming in: the second sight is dropped.
            Do(LOAD_WORD, HARDWARE_TYPE),
            equal(LOOPBACK, Next, Ip),
            Do(LOAD_WORD, PACKET_TYPE),
            equal(OUTGOING, Next, Drop),
            At(Ip),
            Do(LOAD_WORD, PROTOCOL),
            equal(family.ethertype, Next, Drop),
        ];
        lines.extend(if self.target.is_ipv4() { upper_v4(ip) } else { upper_v6(ip) });
        lines.extend([
            At(Upper), // its number is loaded, the headers before it are measured
            equal(self.protocol.into(), Probe, Next),
            equal(family.icmp.into(), Error, Drop),
        ]);
        // An address traced from itself is both source and target, so what is no probe of ours may
        // still be an answer; and where ICMP is the probes' protocol, an error.
        let otherwise = if self.protocol == family.icmp { Error } else { Drop };
        lines.extend([At(Probe), Do(LOAD_WORD, PACKET_TYPE), equal(OUTGOING, Next, Answer)]);
        lines.extend(is_address(ip + family.source_at, self.source, Answer));
        lines.extend(is_address(ip + family.target_at, self.target, Answer));
        lines.extend(self.is_probe(ip, &family));
        lines.push(At(Answer));
        lines.extend(is_address(ip + family.source_at, self.target, otherwise));
        lines.extend(is_address(ip + family.target_at, self.source, otherwise));
        lines.extend(self.is_answer(ip, &family, otherwise));
        lines.push(At(Error));
        lines.extend(is_address(ip + family.target_at, self.source, Drop));
        if self.target != self.source {
            // What this host says to itself is that a probe did not leave: nobody on the path says that.
            lines.extend(is_address(ip + family.source_at, self.source, Foreign));
            lines.extend([equal(0, Drop, Drop), At(Foreign)]);
        }
        lines.push(Do(LOAD_BYTE_AFTER, ip));
        lines.extend(family.errors.iter().map(|kind| equal((*kind).into(), Accept, Next)));
        lines.extend([At(Drop), Do(RETURN, 0), At(Accept)]);
        if let Some(Only { index, .. }) = only {
            lines.extend([Do(LOAD_WORD, INTERFACE), equal(*index, Whole, Next)]);
            lines.extend([Do(RETURN, OCTET), At(Whole)]);
        }
        lines.push(Do(RETURN, WHOLE_FRAME));
        assemble(&lines)
    }

    /// What a probe shows beyond its addresses.
    fn is_probe(&self, ip: u32, family: &Family) -> Vec<Line> {
        match (self.protocol, self.source_port) {
            _ if self.as_such => vec![Do(RETURN, WHOLE_FRAME)],
            (ipv4::TCP, Some(_)) => {
                let mut lines = self.is_ours(ip, FromPort, Answer);
                lines.extend([
                    At(FromPort),
                    Do(LOAD_BYTE_AFTER, ip + TCP_FLAGS),
                    any_bit(tcp::Flags::RST.0.into(), Drop, Accept),
                ]);
                lines
            }
            (ipv4::TCP, None) => vec![
                Do(LOAD_BYTE_AFTER, ip + TCP_FLAGS),
                any_bit(tcp::Flags::SYN.0.into(), Accept, Answer),
            ],
            (ipv4::UDP | ipv4::UDP_LITE, _) => self.is_ours(ip, Accept, Answer),
            (icmp, _) if icmp == family.icmp => {
                vec![Do(LOAD_BYTE_AFTER, ip), equal(family.echo_request.into(), Accept, Answer)]
            }
            _ => vec![equal(0, Accept, Accept)],
        }
    }

    /// Whether the port at this place is one of ours.
    fn is_ours(&self, at: u32, yes: Label, no: Label) -> Vec<Line> {
        let port = u32::from(self.source_port.unwrap_or(0));
        let second = self.second_port.map(u32::from);
        let mut lines = vec![Do(LOAD_HALF_AFTER, at)];
        lines.extend(second.map(|second| equal(second, yes, Next)));
        lines.push(equal(port, yes, no));
        lines
    }

    /// What an answer of the target shows beyond its addresses.
    fn is_answer(&self, ip: u32, family: &Family, otherwise: Label) -> Vec<Line> {
        match (self.protocol, self.source_port) {
            _ if self.as_such => vec![Do(RETURN, WHOLE_FRAME)],
            (ipv4::TCP, None) => vec![
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
