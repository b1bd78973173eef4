//! What a recording does when its disk does not.

use super::*;

/// A writer that notes each write, and fails once `room` bytes are used up, as a full disk does:
/// what still fits is written.
struct Disk {
    room: usize,
    writes: Vec<usize>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Err(io::Error::from_raw_os_error(28));
        }
        self.room -= count;
        self.writes.push(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const FRAME: Frame<'_> = Frame {
    original_len: 60,
    ..Frame::whole(Timestamp::from_nanos(1), LinkType::Raw, &[0x45, b'\n', 3])
};

fn interface() -> Interface {
    Interface { name: "tun0".into(), address: None, link: LinkType::Raw }
}

#[test]
fn each_call_is_one_write() {
    let everything = |format| {
        let disk = Disk { room: usize::MAX, writes: Vec::new() };
        let mut recording = Recording::new(disk, "f", format, &interface(), "text").unwrap();
        recording.frame(&FRAME, Some("probe\nttl=1")).unwrap();
        recording.name(IpAddr::from([192, 0, 2, 1]), &"r1.example".into()).unwrap();
        recording.name(IpAddr::from([192, 0, 2, 1]), &"".into()).unwrap();
        recording.statistics(FRAME.at, 1, 0, None).unwrap();
        recording.writer.writes
    };
    assert_eq!(everything(Format::Pcap), [24, 16 + 3]);
    assert_eq!(everything(Format::PcapNg).len(), 4);
}

#[test]
fn after_a_failure_nothing_more_is_written() {
    for format in [Format::Pcap, Format::PcapNg] {
        let disk = Disk { room: 200, writes: Vec::new() };
        let mut recording = Recording::new(disk, "out", format, &interface(), "").unwrap();
        let error = std::iter::repeat_with(|| recording.frame(&FRAME, Some("comment")))
            .find_map(Result::err)
            .unwrap();
        assert_eq!(error.to_string(), "cannot write to out: No space left on device (os error 28)");
        recording.writer.room = usize::MAX;
        let written = recording.writer.writes.len();
        for _ in 0..3 {
            let later = recording.frame(&FRAME, None).unwrap_err();
            assert_eq!(later.to_string(), error.to_string());
        }
        assert_eq!(recording.writer.writes.len(), written);
    }
}

#[test]
fn a_full_disk_is_known_from_the_start() {
    for format in [Format::Pcap, Format::PcapNg] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(matches!(
            Recording::new(full, "/dev/full", format, &interface(), ""),
            Err(CaptureError::Io { operation: "write to", source, .. })
                if source.kind() == io::ErrorKind::StorageFull
        ));
    }
}

#[test]
fn a_frame_of_another_link_type_is_refused_alone() {
    let mut recording = Recording::new(io::sink(), "f", Format::Pcap, &interface(), "").unwrap();
    let other = Frame { link: LinkType::Ethernet, ..FRAME };
    assert!(matches!(
        recording.frame(&other, None),
        Err(CaptureError::MixedLinks { frame: LinkType::Ethernet, .. })
    ));
    recording.frame(&FRAME, None).unwrap();
}
