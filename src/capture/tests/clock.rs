//! The clock of a recording: what is read has the time of the run, whether the file notes that a clock was set or not.

use super::bytes::{block, cat, enhanced, interface, ints, pcap, section};
use super::*;

pub(super) fn step_of(by: i64, from: i64, until: i64) -> Said {
    let [from, until] = [from, until].map(Timestamp::from_nanos);
    Said::ClockStep(ClockStep { by: Span::from_nanos(by), from: from.known(), until })
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
    let interface = Interface { name: "eth0".into(), address: None, link: LinkType::Raw };
    let mut recording = Recording::new(&mut next, "f", Format::PcapNg, &interface, "").unwrap();
    recording.begin_with_offset(Span::from_nanos(5_000), Timestamp::from_nanos(7_000)).unwrap();
    let frame = Frame::whole(Timestamp::from_nanos(7_000), LinkType::Raw, b"x");
    recording.frame(&frame, None).unwrap();
    drop(recording);
    assert_eq!(read(&next).0, [Said::Section(vec![]), third.clone()]);
    let both =
        cat(&[&next, &write(Format::PcapNg, LinkType::Raw, "", std::slice::from_ref(&second))]);
    assert_eq!(read(&both).0, [Said::Section(vec![]), third, Said::Section(vec![]), second]);
}

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

/// What is written there may be anything.
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
