//! One reading of a recording for all traces of it that are wanted.
//!
//! A trace that the recording itself tells of is replayed as it was run. Traces that its packets show are watched side by
//! side: an [`Endpoint`] says which of them a frame may concern, so that every frame is read once, however many they are.

use std::fs::File;
use std::io::Read;

use super::contents::Traces;
use super::{complain, lacking};
use crate::capture::{CaptureError, CaptureReader, Item};
use crate::driver::{Driver, Observer};
use crate::link::replay::ReplayLink;
use crate::trace::endpoint::{Endpoint, SHARING};
use crate::trace::{Disposition, Engine};

/// A trace that is watched.
pub(super) struct Watched<O> {
    /// Its number in the list of all.
    pub number: u32,
    pub engine: Box<dyn Engine>,
    pub observer: O,
    driver: Driver,
}

impl<O> Watched<O> {
    pub(super) fn new(number: u32, engine: Box<dyn Engine>, observer: O) -> Self {
        Self { number, engine, observer, driver: Driver::default() }
    }
}

/// Shows all of them the recording of this name, to its end or to where the first is interrupted, and says what could not be
/// made out. Gives what ended it before its end, if anything did.
pub(super) fn watch<O: Observer>(
    name: &str,
    reader: CaptureReader<&mut File>,
    traces: &mut Traces,
    watched: &mut [Watched<O>],
) -> anyhow::Result<Option<CaptureError>> {
    let (false, [only]) = (traces.surveyed, &mut *watched) else {
        let (ended_by, cut_short) = read(reader, &mut traces.endpoint, watched)?;
        say_what_was_passed_over(&traces.endpoint);
        lacking::say_what_was_cut_short(name, cut_short);
        return Ok(ended_by);
    };
    let mut link = ReplayLink::new(reader);
    only.driver.run(&mut *only.engine, &mut link, &mut only.observer)?;
    lacking::say_what_was_cut_short(name, only.driver.cut_short());
    Ok(link.into_ended_by())
}

/// Reads to the end of the recording, or to where it was cut off. Gives how many frames were cut too short to say about
/// which probe of any trace they are, too.
fn read<R: Read, O: Observer>(
    mut reader: CaptureReader<R>,
    endpoint: &mut Endpoint,
    watched: &mut [Watched<O>],
) -> Result<(Option<CaptureError>, u64), CaptureError> {
    let (mut stepped, mut cut_short) = (false, 0);
    let number = |it: &Watched<O>| usize::try_from(it.number).unwrap_or(usize::MAX);
    let ended_by = loop {
        let frame = match reader.next() {
            Ok(Some(Item::Packet(frame))) => frame,
            Ok(Some(Item::ClockStep(step))) => {
                if !std::mem::replace(&mut stepped, true) {
                    complain(&step.to_string());
                }
                for it in watched.iter_mut() {
                    it.engine.note_clock_step(&step);
                }
                continue;
            }
            Ok(Some(_)) => continue,
            Ok(None) => break None,
            Err(error) if error.leaves_packets() => break Some(error),
            Err(error) => return Err(error),
        };
        let (mut cut, mut found) = (Vec::new(), false);
        for index in endpoint.concerned(&frame) {
            let Ok(at) = watched.binary_search_by_key(&(index + 1), number) else { continue };
            let Some(Watched { engine, observer, driver, .. }) = watched.get_mut(at) else {
                continue;
            };
            let disposition = driver.hand(frame, &mut **engine, observer);
            found |= disposition.has_found_a_probe();
            cut.extend((disposition == Disposition::CutShort).then_some(at));
        }
        // What one of them knows is no other's.
        cut_short += u64::from(!found && !cut.is_empty());
        for at in cut.into_iter().filter(|_| found) {
            watched.get_mut(at).into_iter().for_each(|it| it.engine.disown_cut_frame());
        }
        if watched.first().is_some_and(|first| first.observer.interrupted()) {
            break None;
        }
    };
    for Watched { engine, observer, .. } in watched {
        Driver::end(&mut **engine, observer);
    }
    Ok((ended_by, cut_short))
}

fn say_what_was_passed_over(endpoint: &Endpoint) {
    let (frames, traces) = (endpoint.passed_over(), endpoint.left_out());
    if frames > 0 {
        complain(&format!(
            "{frames} frames may belong to any of more than {SHARING} traces from one port: they were shown to \
             the {SHARING} that began last, or to none, and {traces} traces may lack some of them; to see all, extract \
             the packets of one target first"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::sim::{SimLink, Topology};
    use crate::time::{Span, Timestamp};
    use crate::trace::survey::Survey;
    use crate::trace::{Disposition, Path, TraceConfig, Tracer};
    use crate::wire::{Frame, LinkType};
    use crate::{capture, driver};

    /// Counts what it is shown.
    #[derive(Default)]
    struct Counts {
        frames: u64,
        concerning: u64,
        last: Option<(Timestamp, Vec<u8>)>,
    }

    impl Observer for Counts {
        fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
            self.frames += 1;
            self.concerning += u64::from(disposition.concerns_the_trace());
            self.last = Some((frame.at, frame.bytes.to_vec()));
        }
    }

    /// Keeps what it is shown.
    #[derive(Default)]
    struct Keep(Vec<(Timestamp, Vec<u8>)>);

    impl Observer for Keep {
        fn frame(&mut self, frame: &Frame<'_>, _: Disposition, _: &Path) {
            self.0.push((frame.at, frame.bytes.to_vec()));
        }
    }

    /// Counts the octets that are read.
    struct Counting<'a>(&'a [u8], &'a mut usize);

    impl Read for Counting<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.read(into)?;
            *self.1 += count;
            Ok(count)
        }
    }

    /// A capture of `count` traces, one after the other or all at once, each to its own target, from one port or each from
    /// its own.
    fn campaign(count: u16, at_once: bool, one_port: bool) -> Vec<u8> {
        let mut frames = Vec::new();
        for number in 0..count {
            let [high, low] = number.to_be_bytes();
            let topology = Topology::builtin();
            let port = if one_port { 40_000 } else { 40_000 + number };
            let target = [203, 0, 100 + high, low].into();
            let config = TraceConfig::new(topology.source().into(), target, port);
            let config = TraceConfig { first_id: number.wrapping_mul(64), ..config };
            let mut kept = Keep::default();
            let mut tracer = Tracer::new(config).unwrap();
            driver::run(&mut tracer, &mut SimLink::new(topology), &mut kept).unwrap();
            let later = Span::from_millis(if at_once { 0 } else { 10_000 * i64::from(number) });
            frames.extend(kept.0.into_iter().map(|(at, bytes)| (at.after(later), bytes)));
        }
        frames.sort_by_key(|(at, _)| *at);
        let mut file = Vec::new();
        let interface =
            capture::Interface { name: "test".into(), address: None, link: LinkType::Raw };
        let format = capture::Format::Pcap;
        let mut tape = capture::Recording::new(&mut file, "test", format, &interface, "").unwrap();
        for (at, bytes) in &frames {
            let original_len = u32::try_from(bytes.len()).unwrap();
            let link = LinkType::Raw;
            tape.frame(
                &Frame { at: *at, link, bytes, original_len, interface: 0, number: 0 },
                None,
            )
            .unwrap();
        }
        file
    }

    #[test]
    fn a_file_is_read_once_for_all_traces_and_a_frame_is_shown_to_few() {
        for (traces, at_once, one_port) in
            [(1, true, true), (40, false, true), (40, true, true), (40, true, false)]
        {
            let what = format!("{traces} traces, at once: {at_once}, from one port: {one_port}");
            let file = campaign(traces, at_once, one_port);
            let mut survey = Survey::new();
            let mut reader = CaptureReader::new(&file[..], "test").unwrap();
            let mut frames = 0;
            while let Some(item) = reader.next().unwrap() {
                let Item::Packet(frame) = item else { continue };
                survey.handle_frame(&frame);
                frames += 1;
            }
            let (mut endpoint, mut watched) = (Endpoint::new(), Vec::new());
            for (number, found) in (1..).zip(survey.traces()) {
                endpoint.add(&found.config.flow(), &found.idents);
                let engine = Tracer::passive(found.config, found.idents).unwrap();
                watched.push(Watched::new(number, Box::new(engine), Counts::default()));
            }
            assert_eq!(watched.len(), usize::from(traces), "{what}");
            let mut octets = 0;
            let reader = CaptureReader::new(Counting(&file, &mut octets), "test").unwrap();
            assert!(read(reader, &mut endpoint, &mut watched).unwrap().0.is_none());
            assert_eq!(octets, file.len(), "{what}");
            let concerning: u64 = watched.iter().map(|it| it.observer.concerning).sum();
            assert_eq!(concerning, frames, "{what}: every frame is of one trace");
            let shown: u64 = watched.iter().map(|it| it.observer.frames).sum();
            assert_eq!((shown, endpoint.passed_over()), (frames, 0), "{what}");
            assert!(watched.iter().all(|it| it.engine.reached()), "{what}");
        }
    }
}
