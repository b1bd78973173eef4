//! Capture files put together byte by byte, in both byte orders.

use std::net::Ipv6Addr;

use byteorder::ByteOrder;

pub(super) fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Integers in a byte order, by width in bytes.
pub(super) fn ints<B: ByteOrder>(fields: &[(u64, usize)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (value, width) in fields {
        let mut bytes = [0; 8];
        B::write_uint(&mut bytes, *value, *width);
        out.extend(&bytes[..*width]);
    }
    out
}

pub(super) fn block<B: ByteOrder>(block_type: u64, body: &[u8]) -> Vec<u8> {
    let body_len = body.len().next_multiple_of(4);
    let len = ints::<B>(&[(body_len as u64 + 12, 4)]);
    let padding = vec![0; body_len - body.len()];
    cat(&[&ints::<B>(&[(block_type, 4)]), &len, body, &padding, &len])
}

pub(super) fn section<B: ByteOrder>(options: &[u8]) -> Vec<u8> {
    let head = ints::<B>(&[(0x1a2b_3c4d, 4), (1, 2), (0, 2), (u64::MAX, 8)]);
    block::<B>(0x0a0d_0d0a, &cat(&[&head, options]))
}

pub(super) fn interface<B: ByteOrder>(link: u64, options: &[u8]) -> Vec<u8> {
    block::<B>(1, &cat(&[&ints::<B>(&[(link, 2), (0xbeef, 2), (0, 4)]), options]))
}

pub(super) fn enhanced<B: ByteOrder>(interface: u64, ticks: u64, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u64;
    let head = [(interface, 4), (ticks >> 32, 4), (ticks & 0xffff_ffff, 4), (len, 4), (len, 4)];
    block::<B>(6, &cat(&[&ints::<B>(&head), bytes]))
}

/// Two sections that use every kind of packet block, several clocks and link types, and options as
/// sloppy as files in the wild have them: not UTF-8, without end mark, of the wrong length.
pub(super) fn varied<B: ByteOrder>() -> Vec<u8> {
    let option = |code, value: &[u8]| {
        let padded = cat(&[value, &[0; 3]]);
        let len = value.len().next_multiple_of(4);
        cat(&[&ints::<B>(&[(code, 2), (value.len() as u64, 2)]), &padded[..len]])
    };
    let names = cat(&[
        &option(1, b"\xc0\0\x02\x01r1\0alias\0"),
        &option(2, &cat(&[&Ipv6Addr::LOCALHOST.octets(), b"v6\xff\0"])),
        &option(1, b"\xc0\0"),
        &option(0, b""),
    ]);
    cat(&[
        &section::<B>(&cat(&[&option(1, b"one"), &option(3, b"os"), &option(1, b"two\xff")])),
        &interface::<B>(1, &option(2, b"e\xff")),
        &interface::<B>(101, &cat(&[&option(9, &[9]), &option(14, &ints::<B>(&[(2, 8)]))])),
        &interface::<B>(113, &cat(&[&option(10, &[0; 4]), &option(9, &[0x94])])),
        &enhanced::<B>(0, 1_000_001, b"abcde"),
        &block::<B>(0x0bad, b"whatever"),
        &enhanced::<B>(1, (1 << 32) + 5, b""),
        &enhanced::<B>(2, 3 << 19, b"xyz"),
        &block::<B>(4, &names),
        &block::<B>(3, &cat(&[&ints::<B>(&[(3, 4)]), b"spb"])),
        &block::<B>(
            2,
            &cat(&[&ints::<B>(&[(1, 2), (7, 2), (0, 4), (8, 4), (2, 4), (9, 4)]), b"pb"]),
        ),
        &section::<B>(b""),
        &interface::<B>(276, b""),
        &enhanced::<B>(0, u64::MAX, b"late"),
    ])
}

pub(super) fn pcap<B: ByteOrder>(magic: u64, packets: &[(u64, u64, u64, &[u8])]) -> Vec<u8> {
    let mut file = ints::<B>(&[(magic, 4), (2, 2), (4, 2), (0, 8), (4, 4), (0x2400_0001, 4)]);
    for (secs, fraction, original_len, bytes) in packets {
        let len = bytes.len() as u64;
        file.extend(ints::<B>(&[(*secs, 4), (*fraction, 4), (len, 4), (*original_len, 4)]));
        file.extend(*bytes);
    }
    file
}
