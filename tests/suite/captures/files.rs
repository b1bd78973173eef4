//! Capture files made of one trace, in whatever form.

use std::fs;

use rtrace::capture::{CaptureReader, Item};
use rtrace::wire::checksum::{checksum, transport};
use rtrace::wire::{ip, link};

use crate::support::root;

/// A captured datagram: when, in nanoseconds, and how long it was before the capture cut it short.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub at: i64,
    pub bytes: Vec<u8>,
}

/// The datagrams of a capture in the repository, with stamps of whole microseconds.
pub fn datagrams(path: &str) -> Vec<Datagram> {
    let bytes = fs::read(root().join(path)).unwrap();
    let mut reader = CaptureReader::new(&bytes[..], path).unwrap();
    let mut all = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let Item::Packet(frame) = item else { continue };
        let bytes = link::ip_datagram(frame.link, frame.bytes).unwrap().unwrap();
        let (header, _) = ip::decode(bytes).unwrap();
        let at = frame.at.nanos() / 1_000 * 1_000;
        all.push(Datagram { at, bytes: bytes[..header.total_len].to_vec() });
    }
    all
}

/// A kind of link: its number, and its header for a datagram of this length and version.
pub struct Link {
    pub name: &'static str,
    pub number: u32,
    pub header: fn(u16, bool) -> Vec<u8>,
}

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

fn ethertype(six: bool) -> [u8; 2] {
    if six { [0x86, 0xdd] } else { [0x08, 0x00] }
}

fn ppp_number(six: bool) -> [u8; 2] {
    if six { [0x00, 0x57] } else { [0x00, 0x21] }
}

fn pppoe(len: u16, six: bool) -> Vec<u8> {
    let len = (len + 2).to_be_bytes();
    [&[0x11, 0, 0, 9][..], &len, &ppp_number(six)].concat()
}

pub const ETHERNET: Link =
    Link { name: "Ethernet", number: 1, header: |_, six| [&MACS[..], &ethertype(six)].concat() };

pub const LINKS: [Link; 14] = [
    ETHERNET,
    Link {
        name: "VLAN",
        number: 1,
        header: |_, six| [&MACS[..], &[0x81, 0, 0, 7], &ethertype(six)].concat(),
    },
    Link {
        name: "QinQ",
        number: 1,
        header: |_, six| [&MACS[..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8], &ethertype(six)].concat(),
    },
    Link {
        name: "MPLS",
        number: 1,
        header: |_, _| [&MACS[..], &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64]].concat(),
    },
    Link {
        name: "PPPoE",
        number: 1,
        header: |len, six| [&MACS[..], &[0x88, 0x64], &pppoe(len, six)].concat(),
    },
    Link { name: "PPPoE without Ethernet", number: 51, header: pppoe },
    Link { name: "PPP", number: 9, header: |_, six| [&[0xff, 3][..], &ppp_number(six)].concat() },
    Link {
        name: "PPP of pppd",
        number: 166,
        header: |_, six| [&[1][..], &ppp_number(six)].concat(),
    },
    Link { name: "HDLC", number: 104, header: |_, six| [&[15, 0][..], &ethertype(six)].concat() },
    Link {
        name: "SLL",
        number: 113,
        header: |_, six| {
            [&[0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &ethertype(six)].concat()
        },
    },
    Link {
        name: "SLL2",
        number: 276,
        header: |_, six| {
            [&ethertype(six)[..], &[0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0]].concat()
        },
    },
    Link { name: "null", number: 0, header: |_, six| vec![if six { 30 } else { 2 }, 0, 0, 0] },
    Link { name: "raw", number: 101, header: |_, _| Vec::new() },
    Link { name: "raw of BSD", number: 12, header: |_, _| Vec::new() },
];

impl Link {
    fn frame(&self, datagram: &Datagram) -> Vec<u8> {
        let len = u16::try_from(datagram.bytes.len()).unwrap();
        [(self.header)(len, datagram.bytes[0] >> 4 == 6), datagram.bytes.clone()].concat()
    }
}

/// How a file says what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Classic pcap: ticks are this many nanoseconds.
    Pcap(i64),
    /// pcapng with enhanced packet blocks: microseconds, or nanoseconds.
    Enhanced(i64),
    /// pcapng with simple packet blocks.
    Simple,
}

pub const TIMED: [Form; 4] =
    [Form::Pcap(1_000), Form::Pcap(1), Form::Enhanced(1_000), Form::Enhanced(1)];

/// A file in this form, in either byte order, whose frames are cut to `snap` octets.
pub fn file(form: Form, big: bool, link: &Link, snap: usize, trace: &[Datagram]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let limit = u32::try_from(snap).unwrap();
    let block = |kind: u32, body: Vec<u8>| {
        let padded = [body.clone(), vec![0; body.len().next_multiple_of(4) - body.len()]].concat();
        let len = word(u32::try_from(padded.len() + 12).unwrap());
        [&word(kind)[..], &len, &padded, &len].concat()
    };
    let mut file = Vec::new();
    if let Form::Pcap(tick) = form {
        let magic = if tick == 1 { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        file.extend([&word(magic)[..], &half(2), &half(4), &[0; 8], &word(limit)].concat());
        file.extend(word(link.number));
    } else {
        let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
        file.extend(block(0x0a0d_0d0a, section));
        let resolution = [&half(9)[..], &half(1), &[9, 0, 0, 0], &[0; 4]].concat();
        let options = if form == Form::Enhanced(1) { resolution } else { Vec::new() };
        let kind = half(u16::try_from(link.number).unwrap());
        file.extend(block(1, [&kind[..], &half(0), &word(limit), &options].concat()));
    }
    for datagram in trace {
        let frame = link.frame(datagram);
        let (there, len) = (&frame[..snap.min(frame.len())], u32::try_from(frame.len()).unwrap());
        let captured = word(u32::try_from(there.len()).unwrap());
        let ticks = |tick: i64| u64::try_from(datagram.at / tick).unwrap();
        match form {
            Form::Pcap(tick) => {
                let second = 1_000_000_000 / tick.unsigned_abs();
                let parts = [ticks(tick) / second, ticks(tick) % second];
                let [seconds, fraction] = parts.map(|part| word(u32::try_from(part).unwrap()));
                file.extend([&seconds[..], &fraction, &captured, &word(len), there].concat());
            }
            Form::Enhanced(tick) => {
                let (high, low) = (ticks(tick) >> 32, ticks(tick) & 0xffff_ffff);
                let [high, low] = [high, low].map(|part| word(u32::try_from(part).unwrap()));
                let head = [&word(0)[..], &high, &low, &captured, &word(len)].concat();
                file.extend(block(6, [&head, there].concat()));
            }
            Form::Simple => file.extend(block(3, [&word(len)[..], there].concat())),
        }
    }
    file
}

/// An IPv4 datagram with this payload.
pub fn ipv4(from: [u8; 4], to: [u8; 4], ttl: u8, id: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let id = id.to_be_bytes();
    let mut head = vec![0x45, 0, len[0], len[1], id[0], id[1], 0, 0, ttl, protocol, 0, 0];
    head.extend([from, to].concat());
    let sum = checksum(&head).to_be_bytes();
    head[10..12].copy_from_slice(&sum);
    [head, payload.to_vec()].concat()
}

/// A UDP datagram without payload.
pub fn udp(from: u16, to: u16) -> Vec<u8> {
    [from.to_be_bytes(), to.to_be_bytes(), [0, 8], [0, 0]].concat()
}

/// The ICMP error that `from` sends about a probe, which has this TTL left.
pub fn icmp_error(from: [u8; 4], kind: [u8; 2], probe: &[u8], ttl: u8) -> Vec<u8> {
    let mut quote = probe.to_vec();
    quote[8] = ttl;
    quote[10..12].fill(0);
    let sum = checksum(&quote[..20]).to_be_bytes();
    quote[10..12].copy_from_slice(&sum);
    let mut icmp = [&[kind[0], kind[1], 0, 0, 0, 0, 0, 0][..], &quote].concat();
    let sum = checksum(&icmp).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    let to: [u8; 4] = probe[12..16].try_into().unwrap();
    ipv4(from, to, 60, 7, 1, &icmp)
}

/// Makes the checksum of an `ICMPv6` message right.
pub fn seal_icmpv6(datagram: &mut [u8]) {
    datagram[42..44].fill(0);
    let (header, payload) = ip::decode(datagram).unwrap();
    let sum = transport(header.source, header.destination, 58, payload).to_be_bytes();
    datagram[42..44].copy_from_slice(&sum);
}
