//! Reads a recording once for all traces that are wanted.
//!
//! A trace that the recording itself describes is replayed as it was run. Traces that its packets show are watched
//! side by side: an [`Endpoint`] finds the traces that a frame may concern, so that every frame is read once,
//! whatever their number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use super::contents::Traces;
use super::{complain, lacking};
use crate::capture::{CaptureError, CaptureReader};
use crate::driver::{Driver, Observer};
use crate::link::LinkError;
use crate::link::replay::ReplayLink;
use crate::trace::endpoint::{Endpoint, Held, Index, SHARING, TraceId};
use crate::trace::{Disposition, Engine, Event, Path};
use crate::wire::Frame;

/// The engines of the traces that are wanted.
pub(super) type Engines = BTreeMap<TraceId, Box<dyn Engine>>;

/// Shows the recording of this name to all engines, to its end or to where it is interrupted, and reports frames that
/// could not be assigned. Returns the error that ended it early, if any.
pub(super) fn watch(
    name: &str,
    reader: CaptureReader<&mut File>,
    traces: &mut Traces,
    engines: &mut Engines,
    observer: &mut dyn Observer,
) -> anyhow::Result<Option<CaptureError>> {
    let index = std::mem::take(&mut traces.index);
    let (ended_by, cut_short) = read(reader, index, engines, observer)?;
    lacking::say_what_was_cut_short(name, cut_short);
    Ok(ended_by)
}

/// Reads to the end of the recording, or to where it was cut off. Also returns the number of frames that were cut too
/// short to identify their probe. If the index is empty, there is one trace, which sees all frames.
fn read<R: Read>(
    reader: CaptureReader<R>,
    index: Index,
    engines: &mut Engines,
    observer: &mut dyn Observer,
) -> Result<(Option<CaptureError>, u64), LinkError> {
    let (mut link, mut driver) = (ReplayLink::new(reader), Driver::default());
    let lent = engines.iter_mut().map(|(id, engine)| (*id, Held::Lent(&mut **engine)));
    let mut endpoint = Endpoint::watching(index, lent);
    driver.run(&mut endpoint, &mut link, observer)?;
    say_what_was_passed_over(endpoint.index());
    Ok((link.into_ended_by(), driver.cut_short()))
}

fn say_what_was_passed_over(index: &Index) {
    let (frames, traces) = (index.passed_over(), index.left_out());
    if frames > 0 {
        complain(&format!(
            "{frames} frames may belong to any of more than {SHARING} traces from one port: they were shown to \
             the {SHARING} that began last, or to none, and {traces} traces may lack some of them; to see all, extract \
             the packets of one target first"
        ));
    }
}

/// An observer for each trace.
pub(super) struct Each<O>(pub BTreeMap<TraceId, O>);

impl<O: Observer> Each<O> {
    fn with(&mut self, id: TraceId, tell: impl FnOnce(&mut O)) {
        if let Some(it) = self.0.get_mut(&id) {
            tell(it);
        }
    }
}

impl<O: Observer> Observer for Each<O> {
    fn frame(&mut self, id: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.with(id, |it| it.frame(id, frame, disposition, path));
    }

    fn event(&mut self, id: TraceId, event: Event, path: &Path) {
        self.with(id, |it| it.event(id, event, path));
    }

    /// The observer of the first trace decides.
    fn interrupted(&self) -> bool {
        self.0.values().next().is_some_and(Observer::interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Item;
    use crate::link::sim::{SimLink, Topology};
    use crate::time::{Span, Timestamp};
    use crate::trace::survey::Survey;
    use crate::trace::{Disposition, Path, TraceConfig, Tracer};
    use crate::wire::{Frame, LinkType};
    use crate::{capture, driver};

    /// Counts the frames that it is shown.
    #[derive(Default)]
    struct Counts {
        frames: u64,
        concerning: u64,
        last: Option<(Timestamp, Vec<u8>)>,
    }

    impl Observer for Counts {
        fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
            self.frames += 1;
            self.concerning += u64::from(disposition.concerns_the_trace());
            self.last = Some((frame.at, frame.bytes.to_vec()));
        }
    }

    /// Keeps the events that it is shown.
    #[derive(Default)]
    struct Keep(Vec<(Timestamp, Vec<u8>)>);

    impl Observer for Keep {
        fn frame(&mut self, _: TraceId, frame: &Frame<'_>, _: Disposition, _: &Path) {
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

    /// A capture of `count` traces, one after another or all at once, each to its own target, from one port or each
    /// from its own.
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
            let link = LinkType::Raw;
            tape.frame(&Frame::whole(*at, link, bytes), None).unwrap();
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
            let (mut index, mut engines) = (Index::default(), Engines::new());
            let mut counts = Each(BTreeMap::new());
            for (number, found) in (1..).zip(survey.traces()) {
                index.add(&found.config.flow(), &found.idents, None);
                let engine = Tracer::passive(found.config, found.idents).unwrap();
                engines.insert(TraceId::of_number(number), Box::new(engine));
                counts.0.insert(TraceId::of_number(number), Counts::default());
            }
            assert_eq!(engines.len(), usize::from(traces), "{what}");
            let mut octets = 0;
            let reader = CaptureReader::new(Counting(&file, &mut octets), "test").unwrap();
            assert!(read(reader, index, &mut engines, &mut counts).unwrap().0.is_none());
            assert_eq!(octets, file.len(), "{what}");
            let concerning: u64 = counts.0.values().map(|it| it.concerning).sum();
            assert_eq!(concerning, frames, "{what}: every frame is of one trace");
            let shown: u64 = counts.0.values().map(|it| it.frames).sum();
            assert_eq!(shown, frames, "{what}");
            assert!(engines.values().all(|it| it.reached()), "{what}");
        }
    }
}
