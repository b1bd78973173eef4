//! The laws of `fuzz/laws.rs` over random bytes, over mutations of what is real, and over what a fuzzer
//! has found: `fuzz/regressions/LAW/*`.

use std::fs;

use proptest::prelude::*;
use rtrace::capture::{CaptureReader, Item};
use rtrace::driver::{self, Observer};
use rtrace::link::sim::{START, Topology};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::{Index, TraceId};
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::survey::{Found, Survey};
use rtrace::trace::{Disposition, Engine, Packet, Path, Tracer};
use rtrace::wire::Frame;

use crate::lossy::{Fate, Lossy, fates};
use crate::support::{cases, root};

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

/// A change to the frame at an index.
#[derive(Clone, Debug)]
enum Change {
    /// It is missing.
    Drop,
    /// It comes twice.
    Twice,
    /// It comes before the one before it.
    Earlier,
    /// It comes as many tenths of a millisecond later, and all that follow do.
    Later(u16),
    /// A byte of it is another.
    Byte(prop::sample::Index, u8),
}

/// Frames for rounds, as `shared::rounds` cuts them: of a watch through a simulated network whose own probes are lost
/// here and there, and then changed.
fn mutated_rounds() -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        4 => Just(Change::Drop),
        1 => Just(Change::Twice),
        1 => Just(Change::Earlier),
        1 => any::<u16>().prop_map(Change::Later),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), change), 0..12);
    (0..4_u8, any::<u64>(), fates(), changes).prop_map(|(selector, seed, fates, changes)| {
        let mut frames = watched(selector, seed, &fates);
        for (at, change) in changes {
            if frames.is_empty() {
                break;
            }
            let at = at.index(frames.len());
            match change {
                Change::Drop => drop(frames.remove(at)),
                Change::Twice => frames.insert(at, (0, frames[at].1.clone())),
                Change::Earlier => frames.swap(at.saturating_sub(1), at),
                Change::Later(step) => frames[at].0 = frames[at].0.saturating_add(step),
                Change::Byte(place, byte) => {
                    let place = place.index(frames[at].1.len());
                    frames[at].1[place] = byte;
                }
            }
        }
        let mut bytes = vec![selector];
        for (step, frame) in frames {
            bytes.extend(step.to_be_bytes());
            bytes.push(u8::try_from(frame.len()).unwrap());
            bytes.extend(frame);
        }
        bytes
    })
}

/// The frames of eight rounds, each with the tenths of a millisecond since the one before.
fn watched(selector: u8, seed: u64, fates: &[Fate]) -> Vec<(u16, Vec<u8>)> {
    let (config, plan) = shared::repeated(selector);
    let plan = Plan { rounds: Some(8), ..plan };
    let topology = Topology::random(seed);
    assert_eq!(topology.source_for(config.target), config.source, "that of all these networks");
    let mut rounds = Rounds::new(config, plan).unwrap();
    let mut taken = Taken { last: START, frames: Vec::new() };
    driver::run(&mut rounds, &mut Lossy::new(topology, fates), &mut taken).unwrap();
    taken.frames
}

/// Keeps every frame, whatever it is.
struct Taken {
    last: Timestamp,
    frames: Vec<(u16, Vec<u8>)>,
}

impl Observer for Taken {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, _: Disposition, _: &Path) {
        let step = frame.at.since(self.last).nanos() / 100_000;
        self.last = self.last.after(Span::from_micros(100 * step));
        let bytes = &frame.bytes[..frame.bytes.len().min(255)];
        self.frames.push((u16::try_from(step).unwrap_or(u16::MAX), bytes.to_vec()));
    }
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
    fn escapes(text in prop_oneof![
        crate::escapes::hostile().prop_map(String::into_bytes),
        any::<String>().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40),
    ]) {
        shared::escapes(&text);
    }

    #[test]
    fn captures(bytes in mutated()) {
        shared::capture(&bytes);
    }

    #[test]
    fn tracers(bytes in mutated_frames()) {
        shared::tracer(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn rounds(bytes in mutated_rounds()) {
        shared::rounds(&bytes);
    }

    #[test]
    fn endpoints(bytes in mutated_frames()) {
        shared::endpoint(&bytes);
    }
}

type Law = fn(&[u8]);

#[test]
fn what_a_fuzzer_found_stays_fixed() {
    let laws: [(&str, Law); 9] = [
        ("frame", shared::frame),
        ("extension", shared::extension),
        ("capture", shared::capture),
        ("tracer", shared::tracer),
        ("escapes", shared::escapes),
        ("rounds", shared::rounds),
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
        let mut index = Index::default();
        for found in &found {
            index.add(&found.config.flow(), &found.idents, None);
        }
        let passive = |found: Found| Tracer::passive(found.config, found.idents).unwrap();
        let mut alone: Vec<Tracer> = found.into_iter().map(passive).collect();
        let mut together = alone.clone();
        let mut second = reader().unwrap();
        while let Ok(Some(item)) = second.next() {
            let Item::Packet(frame) = item else { continue };
            for place in index.concerned(&Packet::of(&frame)) {
                together[*place].handle_frame(&frame);
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
