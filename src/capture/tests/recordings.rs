//! What a recording holds for other readers: interfaces, comments, statistics.

use super::*;

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

#[test]
fn frames_of_other_interfaces_keep_their_headers_in_a_pcapng_and_get_the_first_ones_in_a_pcap() {
    let datagram = [0x45, 0, 0, 4];
    let framed = [[0; 12].as_slice(), &[8, 0], &datagram].concat();
    let interface = |name: &str, link| Interface { name: name.into(), address: None, link };
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
            let at = Timestamp::from_nanos(1);
            let frame = Frame { interface: number, ..Frame::whole(at, link, bytes) };
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
