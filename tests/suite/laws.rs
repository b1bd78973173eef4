//! The laws of `fuzz/laws.rs` over random bytes, over mutations of what is real, and over what a fuzzer
//! has found: `fuzz/regressions/LAW/*`.

use std::fs;

use proptest::prelude::*;
use rtrace::capture::{CaptureReader, Item};
use rtrace::trace::Tracer;
use rtrace::trace::endpoint::Endpoint;
use rtrace::trace::survey::{Found, Survey};

use crate::support::root;

#[path = "../../fuzz/laws.rs"]
#[expect(clippy::pedantic, reason = "shared with the fuzz targets, which are not linted")]
mod shared;

/// Bytes that are real but for a few: the recordings of the fixtures.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let recordings: Vec<Vec<u8>> = ["lo", "net-unreachable", "prohibited", "filtered"]
        .iter()
        .map(|name| {
            let dir = root().join("fixtures").join(name);
            let files = ["capture.pcap", "capture.pcapng"].map(|file| dir.join(file));
            fs::read(files.into_iter().find(|file| file.exists()).unwrap()).unwrap()
        })
        .collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12);
    (prop::sample::select(recordings), changes).prop_map(|(mut bytes, changes)| {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes
    })
}

/// Frames for a tracer, as `shared::tracer` cuts them, from the packets of a recording: some changed,
/// some twice, some missing.
fn mutated_frames() -> impl Strategy<Value = Vec<u8>> {
    mutated().prop_map(|recording| {
        let mut frames = Vec::new();
        let Ok(mut reader) = rtrace::capture::CaptureReader::new(recording.as_slice(), "mutated")
        else {
            return frames;
        };
        while let Ok(Some(item)) = reader.next() {
            if let rtrace::capture::Item::Packet(frame) = item {
                let bytes = &frame.bytes[..frame.bytes.len().min(255)];
                frames.extend([0, 20, u8::try_from(bytes.len()).unwrap()]);
                frames.extend_from_slice(bytes);
            }
        }
        frames
    })
}

proptest! {
    #[test]
    fn frames(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        shared::frame(&bytes);
    }

    #[test]
    fn extensions(mut bytes in prop::collection::vec(any::<u8>(), 0..300), old: bool) {
        // Version 2, no checksum, where an extension would begin.
        if bytes.len() > 140 {
            let at = if old { 130 } else { 2 + usize::from(bytes[0]) % 64 * 4 };
            if let Some(head) = bytes.get_mut(at..at + 4) {
                head.copy_from_slice(&[0x20, 0, 0, 0]);
            }
        }
        shared::extension(&bytes);
    }

    #[test]
    fn captures(bytes in mutated()) {
        shared::capture(&bytes);
    }

    #[test]
    fn tracers(bytes in mutated_frames()) {
        shared::tracer(&bytes);
    }

    #[test]
    fn endpoints(bytes in mutated_frames()) {
        shared::endpoint(&bytes);
    }
}

type Law = fn(&[u8]);

#[test]
fn what_a_fuzzer_found_stays_fixed() {
    let laws: [(&str, Law); 7] = [
        ("frame", shared::frame),
        ("extension", shared::extension),
        ("capture", shared::capture),
        ("tracer", shared::tracer),
        ("endpoint", shared::endpoint),
        ("recording", shared::recording),
        ("document", shared::document),
    ];
    for (name, law) in laws {
        let dir = root().join("fuzz/regressions").join(name);
        for entry in fs::read_dir(&dir).unwrap_or_else(|_| panic!("{} is missing", dir.display())) {
            law(&fs::read(entry.unwrap().path()).unwrap());
        }
    }
}

/// What traces are not shown in a capture of many would have changed nothing.
#[test]
fn what_is_seen_together_is_what_each_sees_alone() {
    let mut traces = 0;
    for entry in fs::read_dir(root().join("tests/captures")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = fs::read(&path) else { continue };
        let reader = || CaptureReader::new(bytes.as_slice(), "capture");
        let Ok(mut first) = reader() else { continue };
        let mut survey = Survey::new();
        while let Ok(Some(item)) = first.next() {
            if let Item::Packet(frame) = item {
                survey.handle_frame(&frame);
            }
        }
        let found = survey.traces();
        let mut endpoint = Endpoint::new();
        for found in &found {
            endpoint.add(&found.config.flow(), &found.idents);
        }
        let passive = |found: Found| Tracer::passive(found.config, found.idents).unwrap();
        let mut alone: Vec<Tracer> = found.into_iter().map(passive).collect();
        let mut together = alone.clone();
        let mut second = reader().unwrap();
        while let Ok(Some(item)) = second.next() {
            let Item::Packet(frame) = item else { continue };
            let (concerned, now) = endpoint.concerned(&frame);
            for index in concerned {
                together[*index].handle_timeout(now);
                together[*index].handle_frame(&frame);
            }
            for tracer in &mut alone {
                tracer.handle_frame(&frame);
            }
        }
        traces += alone.len();
        for (alone, together) in alone.iter_mut().zip(&mut together) {
            alone.finish();
            together.finish();
            assert_eq!(alone.path(), together.path(), "{}", path.display());
        }
    }
    assert!(traces > 20, "{traces}");
}
