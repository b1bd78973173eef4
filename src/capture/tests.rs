//! Laws of reading and writing together: a recording reads back as it was written, a file cut
//! anywhere reads up to the cut, and no content whatever does harm.

use std::net::{IpAddr, Ipv6Addr};

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use proptest::prelude::*;

use super::*;
use crate::time::{ClockStep, Span, Timestamp};
use crate::wire::Frame;

/// An [`Item`] that outlives the reader.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Packet { at: i64, link: LinkType, bytes: Vec<u8>, original_len: u32 },
    Section(Vec<String>),
    Name(IpAddr, String),
    Interrupted(Timestamp),
    Rounds(u64),
    NeverSent(u64),
    ClockStep(ClockStep),
}

/// Everything a file says, and the error that ended it.
fn read(file: &[u8]) -> (Vec<Said>, Option<CaptureError>) {
    let mut said = Vec::new();
    let mut reader = match CaptureReader::new(file, "f") {
        Ok(reader) => reader,
        Err(error) => return (said, Some(error)),
    };
    let mut packets = 0;
    loop {
        said.push(match reader.next() {
            Ok(Some(Item::Packet(frame))) => {
                packets += 1;
                assert_eq!(frame.number, packets);
                packet(frame.at.nanos(), frame.link, frame.bytes, frame.original_len)
            }
            Ok(Some(Item::Section { comments })) => Said::Section(comments),
            Ok(Some(Item::Name { address, name })) => Said::Name(address, name),
            Ok(Some(Item::Interrupted { at })) => Said::Interrupted(at),
            Ok(Some(Item::Rounds { count })) => Said::Rounds(count),
            Ok(Some(Item::Statistics)) => continue,
            Ok(Some(Item::NeverSent { count })) => Said::NeverSent(count),
            Ok(Some(Item::ClockStep(step))) => Said::ClockStep(step),
            Ok(None) => return (said, None),
            Err(error) => {
                assert!(matches!(reader.next(), Ok(None)), "an error is the end");
                return (said, Some(error));
            }
        });
    }
}

fn packet(at: i64, link: LinkType, bytes: &[u8], original_len: u32) -> Said {
    Said::Packet { at, link, bytes: bytes.to_vec(), original_len }
}

fn write(format: Format, link: LinkType, comment: &str, content: &[Said]) -> Vec<u8> {
    let mut file = Vec::new();
    let address = Some((IpAddr::from([192, 0, 2, 7]), 24));
    let interface = Interface { name: "eth0".into(), address, link, filter: Some("udp".into()) };
    let mut recording = Recording::new(&mut file, "f", format, &interface, comment).unwrap();
    for said in content {
        match said {
            Said::Packet { at, bytes, original_len, .. } => {
                let at = Timestamp::from_nanos(*at);
                let frame =
                    Frame { at, link, bytes, original_len: *original_len, interface: 0, number: 0 };
                recording.frame(&frame, Some("probe ttl=1")).unwrap();
            }
            Said::Name(address, name) => {
                recording.name(*address, &name.as_str().into()).unwrap();
            }
            Said::Interrupted(at) => {
                let comment = format!("clock: kernel\n{INTERRUPTED}{}", at.nanos());
                recording.statistics(*at, 1, 0, Some(&comment)).unwrap();
            }
            Said::Rounds(count) => {
                let comment = format!("clock: kernel\n{ROUNDS}{count}");
                recording.statistics(Timestamp::from_nanos(1), 1, 0, Some(&comment)).unwrap();
            }
            Said::NeverSent(count) => {
                let comment = format!("clock: kernel\n{NEVER_SENT}{count}");
                recording.statistics(Timestamp::from_nanos(1), 1, 0, Some(&comment)).unwrap();
            }
            Said::ClockStep(step) => recording.clock_step(step).unwrap(),
            Said::Section(_) => unreachable!("written by Recording::new"),
        }
    }
    recording.statistics(Timestamp::from_nanos(9), 10, 1, Some("done")).unwrap();
    drop(recording);
    file
}

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Integers in a byte order, by width in bytes.
fn ints<B: ByteOrder>(fields: &[(u64, usize)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (value, width) in fields {
        let mut bytes = [0; 8];
        B::write_uint(&mut bytes, *value, *width);
        out.extend(&bytes[..*width]);
    }
    out
}

fn block<B: ByteOrder>(block_type: u64, body: &[u8]) -> Vec<u8> {
    let body_len = body.len().next_multiple_of(4);
    let len = ints::<B>(&[(body_len as u64 + 12, 4)]);
    let padding = vec![0; body_len - body.len()];
    cat(&[&ints::<B>(&[(block_type, 4)]), &len, body, &padding, &len])
}

fn section<B: ByteOrder>(options: &[u8]) -> Vec<u8> {
    let head = ints::<B>(&[(0x1a2b_3c4d, 4), (1, 2), (0, 2), (u64::MAX, 8)]);
    block::<B>(0x0a0d_0d0a, &cat(&[&head, options]))
}

fn interface<B: ByteOrder>(link: u64, options: &[u8]) -> Vec<u8> {
    block::<B>(1, &cat(&[&ints::<B>(&[(link, 2), (0xbeef, 2), (0, 4)]), options]))
}

fn enhanced<B: ByteOrder>(interface: u64, ticks: u64, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u64;
    let head = [(interface, 4), (ticks >> 32, 4), (ticks & 0xffff_ffff, 4), (len, 4), (len, 4)];
    block::<B>(6, &cat(&[&ints::<B>(&head), bytes]))
}

/// Two sections that use every kind of packet block, several clocks and link types, and options as
/// sloppy as files in the wild have them: not UTF-8, without end mark, of the wrong length.
fn varied<B: ByteOrder>() -> Vec<u8> {
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

#[test]
fn pcapng_in_both_byte_orders_means_the_same() {
    let expected = [
        Said::Section(vec!["one".into(), "two\u{fffd}".into()]),
        packet(1_000_001_000, LinkType::Ethernet, b"abcde", 5),
        packet((1 << 32) + 2_000_000_005, LinkType::Raw, b"", 0),
        packet(1_500_000_000, LinkType::Sll, b"xyz", 3),
        Said::Name(IpAddr::from([192, 0, 2, 1]), "r1".into()),
        Said::Name(Ipv6Addr::LOCALHOST.into(), "v6\u{fffd}".into()),
        packet(Timestamp::UNKNOWN.nanos(), LinkType::Ethernet, b"spb", 3),
        packet(2_000_000_008, LinkType::Raw, b"pb", 9),
        Said::Section(vec![]),
        packet(i64::MAX, LinkType::Sll2, b"late", 4),
    ];
    for file in [varied::<LittleEndian>(), varied::<BigEndian>()] {
        let (said, error) = read(&file);
        assert_eq!(said, expected);
        assert!(error.is_none(), "{error:?}");
    }
    let mixed = cat(&[&varied::<BigEndian>(), &varied::<LittleEndian>()]);
    assert_eq!(read(&mixed).0, [expected.clone(), expected].concat());
}

fn pcap<B: ByteOrder>(magic: u64, packets: &[(u64, u64, u64, &[u8])]) -> Vec<u8> {
    let mut file = ints::<B>(&[(magic, 4), (2, 2), (4, 2), (0, 8), (4, 4), (0x2400_0001, 4)]);
    for (secs, fraction, original_len, bytes) in packets {
        let len = bytes.len() as u64;
        file.extend(ints::<B>(&[(*secs, 4), (*fraction, 4), (len, 4), (*original_len, 4)]));
        file.extend(*bytes);
    }
    file
}

#[test]
fn pcap_in_both_byte_orders_and_units_means_the_same() {
    let micros: &[_] = &[(1, 5, 60, b"abcdef".as_slice()), (2, 4_294_967_295, 0, b"xy")];
    let nanos: &[_] = &[(1, 5_000, 60, b"abcdef".as_slice()), (4_296, 967_295_000, 0, b"xy")];
    for file in [
        pcap::<LittleEndian>(0xa1b2_c3d4, micros),
        pcap::<BigEndian>(0xa1b2_c3d4, micros),
        pcap::<LittleEndian>(0xa1b2_3c4d, nanos),
        pcap::<BigEndian>(0xa1b2_3c4d, nanos),
    ] {
        let (said, error) = read(&file);
        assert_eq!(
            said,
            [
                packet(1_000_005_000, LinkType::Ethernet, b"abcdef", 60),
                packet(4_296_967_295_000, LinkType::Ethernet, b"xy", 2),
            ]
        );
        assert!(error.is_none(), "{error:?}");
    }
}

#[test]
fn what_is_no_good_says_why() {
    type LE = LittleEndian;
    let head = cat(&[&section::<LE>(b""), &interface::<LE>(1, b"")]);
    let good = cat(&[&head, &enhanced::<LE>(0, 0, b"abcd")]);
    let long = ints::<LE>(&[(6, 4), (1 << 30, 4), (0, 4)]);
    let lying = block::<LE>(6, &ints::<LE>(&[(0, 4), (0, 8), (9, 4), (9, 4), (0, 8)]));
    let huge = ints::<LE>(&[(0, 8), (1 << 30, 4), (0, 4)]);
    for (file, message) in [
        (vec![], "f ends within the header of a capture file, at a length of 0"),
        (
            pcap::<LE>(0xa1b2_c3d4, &[])[..7].to_vec(),
            "f ends within the header of a capture file, at a length of 7",
        ),
        (b"\x1f\x8b\x08".to_vec(), "f is compressed, decompress it first: gunzip f"),
        (b"hello".to_vec(), "f is not a pcap or pcapng file"),
        (vec![b'#'; 100], "f is not a pcap or pcapng file"),
        (head[..20].to_vec(), "f ends in the middle of packet 1: replayed up to there"),
        (good[..good.len() - 1].to_vec(), "f ends in the middle of packet 1: replayed"),
        (cat(&[&good, b"x"]), "f ends in the middle of packet 2: replayed"),
        (
            cat(&[&good, &long]),
            "f has a block of 1073741824 bytes before packet 2, more than the 16 MiB that are read",
        ),
        (cat(&[&good, &[0; 12]]), "f is damaged at packet 2 (a length that no block has)"),
        (cat(&[&head, &enhanced::<LE>(1, 0, b"")]), "f is damaged at packet 1 (it belongs to an"),
        (cat(&[&head, &lying]), "f is damaged at packet 1 (a packet longer than its block)"),
        (
            cat(&[&head, &block::<LE>(6, b"")]),
            "f is damaged at packet 1 (a packet block too short)",
        ),
        (cat(&[&head, &block::<LE>(1, b"")]), "f is damaged at packet 1 (an interface desc"),
        (
            cat(&[&pcap::<LE>(0xa1b2_c3d4, &[(0, 0, 1, b"x")]), &huge]),
            "f is damaged at packet 2 (a length that no packet has)",
        ),
    ] {
        let error = read(&file).1.unwrap().to_string();
        assert!(error.starts_with(message), "{error}\nshould begin with\n{message}");
    }
}

#[test]
fn a_file_cut_anywhere_reads_up_to_the_cut() {
    let link = LinkType::Ethernet;
    let content = [b"first".as_slice(), b"", b"third packet"].map(|b| packet(7, link, b, 60));
    for format in [Format::Pcap, Format::PcapNg] {
        let file = write(format, link, "comment", &content);
        let whole = read(&file).0;
        let mut clean_ends = 0;
        for len in 0..file.len() {
            let (said, error) = read(&file[..len]);
            assert!(whole.starts_with(&said));
            let count = said.iter().filter(|s| matches!(s, Said::Packet { .. })).count() as u64;
            match error {
                None => clean_ends += 1,
                Some(CaptureError::Truncated { packets, .. }) => assert_eq!(packets, count),
                Some(CaptureError::NoHeader { bytes, .. }) => assert_eq!(bytes, len),
                Some(error) => panic!("{error}"),
            }
        }
        // Between records: after the headers and each packet, save where the file really ends.
        assert_eq!(clean_ends, if format == Format::Pcap { 3 } else { 5 });
    }
}

/// Nothing of what rtrace adds for a human is read back by it; `pcap-file` says whether it is there.
#[test]
fn a_pcapng_recording_carries_comments_interface_and_statistics() {
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption as P;
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption as I;
    use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption as S;
    use pcap_file::pcapng::blocks::section_header::SectionHeaderOption as H;
    use pcap_file::pcapng::{Block, PcapNgReader};

    let packets = [packet(-5, LinkType::Raw, b"x", 60)];
    let file = write(Format::PcapNg, LinkType::Raw, &"é".repeat(40_000), &packets);
    let mut reader = PcapNgReader::new(&file[..]).unwrap();
    let [H::UserApplication(application), H::Comment(comment)] = &reader.section().options[..]
    else {
        panic!("{:?}", reader.section().options)
    };
    assert!(application.starts_with("rtrace "));
    assert_eq!(comment.len(), 65_500, "cut, at a character");

    let Block::InterfaceDescription(block) = reader.next_block().unwrap().unwrap() else {
        panic!("an interface comes first")
    };
    assert_eq!(
        block.options,
        [
            I::IfName("eth0".into()),
            I::IfTsResol(9),
            I::IfIpv4Addr([192, 0, 2, 7, 255, 255, 255, 0].as_slice().into()),
            I::IfFilter(b"\0udp".as_slice().into()),
        ]
    );
    let Block::EnhancedPacket(block) = reader.next_block().unwrap().unwrap() else {
        panic!("then the packet")
    };
    assert_eq!(block.options, [P::Comment("probe ttl=1".into())]);
    assert!(block.timestamp.is_zero(), "a time before 1970 becomes 1970");

    let Block::InterfaceStatistics(block) = reader.next_block().unwrap().unwrap() else {
        panic!("and the statistics")
    };
    assert_eq!(block.options, [S::IsbIfRecv(10), S::IsbIfDrop(1), S::Comment("done".into())]);
    assert_eq!(block.timestamp, 9 << 32, "the upper half first, seen through pcap-file");
    assert!(reader.next_block().is_none());
}

fn step_of(by: i64, from: i64, until: i64) -> Said {
    let [from, until] = [from, until].map(Timestamp::from_nanos);
    Said::ClockStep(ClockStep { by: Span::from_nanos(by), from, until })
}

/// In the file of the one kind are the stamps of the clock, in that of the other the time of the run; both are read as that.
#[test]
fn stamps_are_the_clocks_and_what_is_read_is_the_time_of_the_run() {
    use pcap_file::pcapng::{Block, PcapNgReader};

    let frame = |at| packet(at, LinkType::Raw, b"x", 1);
    let content = [
        frame(5_000),
        step_of(-4_000, 5_000, 6_000),
        frame(6_000),
        step_of(9_000, 7, 8),
        frame(7_000),
    ];
    let file = write(Format::PcapNg, LinkType::Raw, "", &content);
    let mut blocks = PcapNgReader::new(&file[..]).unwrap();
    let mut stamps = Vec::new();
    while let Some(block) = blocks.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            stamps.push(packet.timestamp.as_nanos());
        }
    }
    assert_eq!(stamps, [5_000, 2_000, 12_000]);
    assert_eq!(read(&file).0[1..], content);
    let [first, _, second, _, third] = content;
    let file = write(
        Format::Pcap,
        LinkType::Raw,
        "",
        &[first.clone(), step_of(-4_000, 5, 6), second.clone()],
    );
    assert_eq!(read(&file).0, [first, second.clone()]);

    // A file that follows another says where it begins; a section that says nothing begins with none.
    let mut next = Vec::new();
    let interface =
        Interface { name: "eth0".into(), address: None, link: LinkType::Raw, filter: None };
    let mut recording = Recording::new(&mut next, "f", Format::PcapNg, &interface, "").unwrap();
    recording.begin_with_offset(Span::from_nanos(5_000), Timestamp::from_nanos(7_000)).unwrap();
    let frame = Frame {
        at: Timestamp::from_nanos(7_000),
        link: LinkType::Raw,
        bytes: b"x",
        original_len: 1,
        interface: 0,
        number: 0,
    };
    recording.frame(&frame, None).unwrap();
    drop(recording);
    assert_eq!(read(&next).0, [Said::Section(vec![]), third.clone()]);
    let both =
        cat(&[&next, &write(Format::PcapNg, LinkType::Raw, "", std::slice::from_ref(&second))]);
    assert_eq!(read(&both).0, [Said::Section(vec![]), third, Said::Section(vec![]), second]);
}

/// What is written there may be anything.
/// Stamps in seconds, as they are in a classic pcap; then what is read where steps are looked for.
#[test]
fn a_clock_set_back_without_a_note_is_a_step() {
    let stamps = |file: &[u8]| {
        let mut reader = CaptureReader::new(file, "f").unwrap().finding_clock_steps();
        let (mut stamps, mut steps) = (Vec::new(), Vec::new());
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Packet(frame) => stamps.push(frame.at.nanos() / 1_000_000_000),
                Item::ClockStep(step) => {
                    steps.push((stamps.len(), step.by.nanos() / 1_000_000_000));
                }
                other => panic!("{other:?}"),
            }
        }
        (stamps, steps)
    };
    for (written, read, steps) in [
        (vec![100, 101, 102], vec![100, 101, 102], vec![]),
        (vec![100, 99, 102], vec![100, 99, 102], vec![]),
        (vec![100, 70, 71, 130], vec![100, 100, 101, 160], vec![(1, -30)]),
        (vec![100, 70, 40, 41], vec![100, 100, 100, 101], vec![(1, -30), (2, -30)]),
    ] {
        let packets: Vec<(u64, u64, u64, &[u8])> =
            written.iter().map(|at| (*at, 0, 1, &b"x"[..])).collect();
        let file = pcap::<LittleEndian>(0xa1b2_c3d4, &packets);
        assert_eq!(stamps(&file), (read, steps), "{written:?}");
    }
}

#[test]
fn a_note_of_the_clock_that_makes_no_sense_does_no_harm() {
    type LE = LittleEndian;
    let noted = |note: &str| {
        let comment = cat(&[&ints::<LE>(&[(1, 2), (note.len() as u64, 2)]), note.as_bytes()]);
        cat(&[
            &section::<LE>(b""),
            &interface::<LE>(101, &ints::<LE>(&[(9, 2), (1, 2), (9, 4)])),
            &enhanced::<LE>(0, 1_000, b""),
            &block::<LE>(5, &cat(&[&ints::<LE>(&[(0, 4), (0, 8)]), &comment])),
            &enhanced::<LE>(0, 2_000, b""),
        ])
    };
    let least = i64::MIN;
    for (note, at, step) in [
        ("clock offset ".to_owned(), 2_000, None),
        ("clock offset x 1 2".to_owned(), 2_000, None),
        ("clock offset 99999999999999999999 1 2".to_owned(), 2_000, None),
        ("clock offset 500".to_owned(), 1_500, None),
        ("clock offset 500 1".to_owned(), 1_500, None),
        ("said\nclock offset 500 1 2 3".to_owned(), 1_500, Some(step_of(500, 1, 2))),
        (format!("clock offset {least} {least} -7"), i64::MAX, Some(step_of(least, least, -7))),
    ] {
        let (said, error) = read(&noted(&note));
        assert!(error.is_none(), "{note}: {error:?}");
        let frames = [1_000, at].map(|at| packet(at, LinkType::Raw, b"", 0));
        let [before, after] = frames;
        let section = Said::Section(vec![]);
        let expected: Vec<_> = [section, before].into_iter().chain(step).chain([after]).collect();
        assert_eq!(said, expected, "{note}");
    }
}

#[test]
fn the_file_name_chooses_the_format() {
    for (name, format) in [
        ("out.pcapng", Format::PcapNg),
        ("a.b/out.PcapNg", Format::PcapNg),
        ("out.pcap", Format::Pcap),
        ("pcapng", Format::Pcap),
        ("-", Format::Pcap),
    ] {
        assert_eq!(Format::from_path(Path::new(name)), format, "{name}");
    }
}

fn any_content(link: LinkType) -> impl Strategy<Value = Vec<Said>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let seconds = i64::from(u32::MAX) * 1_000_000_000;
    let packets = (0..seconds, bytes, any::<u32>()).prop_map(move |(at, bytes, original_len)| {
        packet(at, link, &bytes, original_len.max(u32::try_from(bytes.len()).unwrap()))
    });
    let names = (any::<IpAddr>(), "[A-Za-z0-9._-]{1,20}").prop_map(|(a, n)| Said::Name(a, n));
    let cut = any::<i64>().prop_map(|at| Said::Interrupted(Timestamp::from_nanos(at)));
    let rounds = any::<u64>().prop_map(Said::Rounds);
    let never_sent = any::<u64>().prop_map(Said::NeverSent);
    // Forward, so that no stamp lies before 1970.
    let step = (0..100_000_000_000_000_000_i64, any::<i64>(), any::<i64>());
    let step = step.prop_map(|(by, from, until)| step_of(by, from, until));
    let others = prop_oneof![2 => names, 1 => cut, 1 => rounds, 1 => never_sent, 1 => step];
    proptest::collection::vec(prop_oneof![3 => packets, 2 => others], 0..12)
}

#[test]
fn frames_of_other_interfaces_keep_their_headers_in_a_pcapng_and_get_the_first_ones_in_a_pcap() {
    let datagram = [0x45, 0, 0, 4];
    let framed = [[0; 12].as_slice(), &[8, 0], &datagram].concat();
    let interface =
        |name: &str, link| Interface { name: name.into(), address: None, link, filter: None };
    let eth0 = interface("eth0", LinkType::Ethernet);
    let neighbours = Neighbours { first: 2, others: vec![(3, interface("tun0", LinkType::Raw))] };
    let written = |format| {
        let mut file = Vec::new();
        let recording = Recording::new(&mut file, "f", format, &eth0, "").unwrap();
        let mut recording = recording.among(neighbours.clone());
        for (number, link, bytes) in [
            (2, LinkType::Ethernet, framed.as_slice()),
            (3, LinkType::Raw, &datagram),
            (7, LinkType::Raw, &datagram),
            (3, LinkType::Raw, &datagram),
            (0, LinkType::Raw, &datagram),
        ] {
            let original_len = u32::try_from(bytes.len()).unwrap();
            let at = Timestamp::from_nanos(1);
            let frame = Frame { at, link, bytes, original_len, interface: number, number: 0 };
            recording.frame(&frame, None).unwrap();
        }
        file
    };
    let ethernet = packet(1, LinkType::Ethernet, &framed, 18);
    let raw = packet(1, LinkType::Raw, &datagram, 4);
    let classic = read(&written(Format::Pcap)).0;
    assert_eq!(classic, vec![ethernet.clone(); 5]);
    let file = written(Format::PcapNg);
    let packets: Vec<_> = read(&file).0.into_iter().skip(1).collect();
    assert_eq!(packets, [ethernet.clone(), raw.clone(), raw.clone(), raw, ethernet]);
    for (name, times) in [("eth0", 1), ("tun0", 1), ("interface 7", 1)] {
        let found = file.windows(name.len()).filter(|it| *it == name.as_bytes()).count();
        assert_eq!(found, times, "{name}");
    }
    let numbers = |known: &[(u32, &str)]| {
        let known = known.iter().map(|(number, name)| (*number, (*name).into())).collect();
        let reader = CaptureReader::new(&file[..], "f").unwrap();
        let mut reader = reader.numbering_interfaces(&known);
        let mut numbers = Vec::new();
        while let Some(item) = reader.next().unwrap() {
            numbers.extend(match item {
                Item::Packet(frame) => Some(frame.interface),
                _ => None,
            });
        }
        let names = reader.interfaces().into_iter().map(|(number, name)| (number, name.shown()));
        (numbers, names.collect::<Vec<_>>())
    };
    let owned = |pairs: [(u32, &str); 3]| pairs.map(|(number, name)| (number, name.to_owned()));
    let names = owned([(1, "eth0"), (2, "tun0"), (3, "interface 7")]).to_vec();
    assert_eq!(numbers(&[]), (vec![1, 2, 3, 2, 1], names));
    let names = owned([(2, "tun0"), (9, "eth0"), (10, "interface 7")]).to_vec();
    assert_eq!(numbers(&[(9, "eth0"), (2, "tun0")]), (vec![9, 2, 10, 2, 9], names));
}

proptest! {
    #[test]
    fn a_recording_reads_back_as_it_was_written(
        comment in "\\PC{1,40}",
        (link, content) in prop_oneof![
            Just(LinkType::Ethernet), Just(LinkType::Raw), Just(LinkType::Sll2),
            Just(LinkType::Other(147)),
        ]
        .prop_flat_map(|link| any_content(link).prop_map(move |content| (link, content))),
    ) {
        let (said, error) = read(&write(Format::PcapNg, link, &comment, &content));
        prop_assert!(error.is_none());
        let expected = [vec![Said::Section(vec![comment.clone()])], content.clone()].concat();
        prop_assert_eq!(said, expected);

        let (said, error) = read(&write(Format::Pcap, link, &comment, &content));
        prop_assert!(error.is_none());
        let packets = content.into_iter().filter(|s| matches!(s, Said::Packet { .. }));
        prop_assert_eq!(said, packets.collect::<Vec<_>>());
    }

    #[test]
    fn no_content_does_harm(
        base in 0_usize..5,
        edits in proptest::collection::vec(
            (any::<proptest::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(255)]),
            0..8,
        ),
        tail in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut file = match base {
            0 => varied::<LittleEndian>(),
            1 => varied::<BigEndian>(),
            2 => pcap::<BigEndian>(0xa1b2_3c4d, &[(1, 2, 3, b"abc"), (4, 5, 6, b"defghi")]),
            3 => pcap::<LittleEndian>(0xa1b2_c3d4, &[(1, 2, 3, b"abc"), (4, 5, 6, b"defghi")]),
            _ => Vec::new(),
        };
        for (index, byte) in edits.iter().filter(|_| base < 4) {
            *index.get_mut(&mut file) = *byte;
        }
        file.extend(tail);
        let (said, _) = read(&file);
        prop_assert!(said.len() <= file.len());
    }
}
