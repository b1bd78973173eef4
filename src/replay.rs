//! Every trace of a recording, for programs that use rtrace as a library.
//!
//! A recording of rtrace itself tells which traces it holds and how they were run. In any other capture the traces are
//! found by their packets (`trace::survey`). Either way the paths are those that `rtrace replay` reports.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;
use std::path::{Path as FilePath, PathBuf};

use crate::capture::{CaptureError, CaptureReader, Item};
use crate::driver::{Driver, Observer};
use crate::link::LinkError;
use crate::link::replay::ReplayLink;
use crate::privilege::files;
use crate::recording::RecordingMetadata;
use crate::trace::endpoint::{Endpoint, Held, Index, TraceId};
use crate::trace::survey::Survey;
use crate::trace::{
    ConfigError, Event, Measurement, Path, ProbeSelector, RecordedRun, TraceConfig,
};

/// A capture file.
#[derive(Debug)]
pub struct Recording {
    file: File,
    path: PathBuf,
}

/// One trace of a recording.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedTrace {
    /// How it was asked for or, if the recording does not tell, what its packets show of that.
    pub config: TraceConfig,
    /// What was measured.
    pub measurement: Measurement,
    /// The program that is likely to have made it, if its packets look like those of one.
    pub tool: Option<&'static str>,
    /// The path or, of rounds, that of each round, in their order.
    pub paths: Vec<Path>,
}

/// Why the traces of a recording cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be opened, or not be read a second time.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// It cannot be read as a capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Reading it failed half-way.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What it tells of a trace does not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Recording {
    /// Opens a pcap or pcapng file, which must be one that can be read twice: no pipe.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: impl AsRef<FilePath>) -> Result<Self, ReplayError> {
        let path = path.as_ref().to_owned();
        let file =
            files::read(&path).map_err(|source| ReplayError::Io { path: path.clone(), source })?;
        Ok(Self { file, path })
    }

    fn reader(&mut self) -> Result<CaptureReader<&mut File>, ReplayError> {
        let Self { file, path } = self;
        let rewound = file.rewind();
        rewound.map_err(|source| ReplayError::Io { path: path.clone(), source })?;
        Ok(CaptureReader::new(file, path.display().to_string())?.finding_clock_steps())
    }

    /// All traces, with their paths. A file that was cut off is read as far as it goes.
    ///
    /// # Errors
    /// When it is no capture, or is damaged before its first packet.
    pub fn traces(&mut self) -> Result<Vec<RecordedTrace>, ReplayError> {
        let (mut traces, mut index, mut engines) =
            (BTreeMap::new(), Index::default(), BTreeMap::new());
        let told = self.told()?;
        let several = told.len() != 1;
        for (place, (trace, run)) in told.into_iter().enumerate() {
            let id = TraceId::at(place);
            let RecordedTrace { ref config, measurement, .. } = trace;
            if several {
                let confirming = config.confirmation.map(|it| it.ident);
                index.add(&config.flow(), &run.idents, confirming);
            }
            engines.insert(id, measurement.passive(config.clone(), run)?);
            traces.insert(id, trace);
        }
        let lent = engines.iter_mut().map(|(id, engine)| (*id, Held::Lent(&mut **engine)));
        let mut endpoint = Endpoint::watching(index, lent);
        let mut link = ReplayLink::new(self.reader()?);
        Driver::default().run(&mut endpoint, &mut link, &mut Kept(&mut traces))?;
        Ok(traces.into_values().collect())
    }

    /// What the file tells of its traces or, failing that, what its packets show of them; each with what is to be known of
    /// its run.
    fn told(&mut self) -> Result<Vec<(RecordedTrace, RecordedRun)>, ReplayError> {
        let mut reader = self.reader()?;
        let (mut survey, mut told) = (Survey::new(), Vec::new());
        loop {
            match reader.next() {
                Ok(Some(Item::Packet(frame))) if told.is_empty() => survey.handle_frame(&frame),
                Ok(Some(Item::Section { comments })) if told.is_empty() => {
                    told.extend(
                        comments.iter().filter_map(|it| RecordingMetadata::from_comment(it)),
                    );
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if error.leaves_packets() => break,
                Err(error) => return Err(error.into()),
            }
        }
        if told.is_empty() {
            let (found, _) = survey.into_traces();
            return Ok(found.into_iter().map(|it| of(it.config, it.idents, it.tool)).collect());
        }
        let told = told.into_iter().map(|it| {
            let (mut trace, mut run) = of(it.trace, ProbeSelector::One, Some("rtrace"));
            (trace.measurement, run.first_round) = (it.measurement, it.first_round);
            (trace, run)
        });
        Ok(told.collect())
    }
}

fn of(
    config: TraceConfig,
    idents: ProbeSelector,
    tool: Option<&'static str>,
) -> (RecordedTrace, RecordedRun) {
    let run = RecordedRun { idents, ..RecordedRun::whole(&config) };
    let measurement = Measurement::once(&config);
    (RecordedTrace { config, measurement, tool, paths: Vec::new() }, run)
}

/// Keeps each path when it is complete.
struct Kept<'a>(&'a mut BTreeMap<TraceId, RecordedTrace>);

impl Observer for Kept<'_> {
    fn event(&mut self, id: TraceId, event: Event, path: &Path) {
        if event == Event::Ended
            && let Some(trace) = self.0.get_mut(&id)
        {
            trace.paths.push(path.clone());
        }
    }
}
