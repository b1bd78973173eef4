//! Laws of reading and writing together: a recording reads back as it was written, a file cut
//! anywhere reads up to the cut, and no content whatever does harm.

mod bytes;
mod clock;
mod recordings;

use std::net::{IpAddr, Ipv6Addr};

use byteorder::{BigEndian, LittleEndian};
use proptest::prelude::*;

use bytes::{block, cat, enhanced, interface, ints, pcap, section, varied};
use clock::step_of;

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
    Rounds(u32, u64),
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
            Ok(Some(Item::Rounds { trace, count })) => Said::Rounds(trace, count),
            Ok(Some(Item::Statistics)) => continue,
            Ok(Some(Item::NeverSent { count, trace: 1 })) => Said::NeverSent(count),
            Ok(Some(Item::NeverSent { trace, .. })) => panic!("no trace {trace} was written"),
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
    let interface = Interface { name: "eth0".into(), address, link };
    let mut recording = Recording::new(&mut file, "f", format, &interface, comment).unwrap();
    for said in content {
        match said {
            Said::Packet { at, bytes, original_len, .. } => {
                let at = Timestamp::from_nanos(*at);
                let frame = Frame { original_len: *original_len, ..Frame::whole(at, link, bytes) };
                recording.frame(&frame, Some("probe ttl=1")).unwrap();
            }
            Said::Name(address, name) => {
                recording.name(*address, &name.as_str().into()).unwrap();
            }
            Said::Interrupted(at) => {
                let comment = format!("clock: kernel\n{INTERRUPTED}{}", at.nanos());
                recording.statistics(*at, 1, 0, Some(&comment)).unwrap();
            }
            Said::Rounds(trace, count) => {
                let of = if *trace == 1 { String::new() } else { format!("{OF_TRACE}{trace}") };
                let comment = format!("clock: kernel\n{ROUNDS}{count}{of}");
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
        (cat(&[&good, &[0; 12]]), "f is damaged at packet 2 (an impossible block length)"),
        (cat(&[&head, &enhanced::<LE>(1, 0, b"")]), "f is damaged at packet 1 (it belongs to an"),
        (cat(&[&head, &lying]), "f is damaged at packet 1 (a packet longer than its block)"),
        (
            cat(&[&head, &block::<LE>(6, b"")]),
            "f is damaged at packet 1 (a packet block too short)",
        ),
        (cat(&[&head, &block::<LE>(1, b"")]), "f is damaged at packet 1 (an interface desc"),
        (
            cat(&[&pcap::<LE>(0xa1b2_c3d4, &[(0, 0, 1, b"x")]), &huge]),
            "f is damaged at packet 2 (an impossible packet length)",
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
    let rounds = any::<(u32, u64)>().prop_map(|(trace, count)| Said::Rounds(trace, count));
    let never_sent = any::<u64>().prop_map(Said::NeverSent);
    // Forward, so that no stamp lies before 1970.
    let step = (0..100_000_000_000_000_000_i64, any::<i64>(), any::<i64>());
    let step = step.prop_map(|(by, from, until)| step_of(by, from, until));
    let others = prop_oneof![2 => names, 1 => cut, 1 => rounds, 1 => never_sent, 1 => step];
    proptest::collection::vec(prop_oneof![3 => packets, 2 => others], 0..12)
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
