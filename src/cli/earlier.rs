//! A search for all paths, and the recording of the one that it resumes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, bail};

use super::flags::TraceOptions;
use super::{contents, in_one_line};
use crate::capture::CaptureReader;
use crate::link::replay::ReplayLink;
use crate::privilege::files;
use crate::probe::Flow;
use crate::recording::RecordingMetadata;
use crate::sandbox;
use crate::time::{Span, Timestamp};
use crate::trace::paths::Plan;
use crate::trace::{Measurement, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::LinkType;

/// What to find, and what was found already.
pub struct Search {
    /// How it is looked for.
    pub plan: Plan,
    /// The run that is resumed.
    pub earlier: Option<Earlier>,
}

/// A recording of a run that is resumed.
pub struct Earlier {
    /// What was asked.
    pub config: TraceConfig,
    /// How it was looked for.
    pub plan: Plan,
    /// The file as it was named.
    pub name: String,
    /// It, open.
    pub file: File,
    /// When its last frame was captured.
    pub last: Timestamp,
    /// By how much the clock was set meanwhile.
    pub clock_offset: Span,
}

/// What a recording says of itself, when and on what kind of link its last frame was captured, and how far its clock
/// was ahead of the time of the run by then.
type Said = Option<(RecordingMetadata, Timestamp, LinkType, Span)>;

/// The result as text: the reason why it cannot be read, or nothing, or the three numbers and the configuration.
fn written(said: anyhow::Result<Said>) -> Vec<u8> {
    let text = match said {
        Err(error) => format!("error {}", in_one_line(&error)),
        Ok(None) => "nothing ".to_owned(),
        Ok(Some((carried, last, link, offset))) => {
            let (last, link, offset) = (last.nanos(), link.number(), offset.nanos());
            format!("{last} {link} {offset} {}", carried.to_comment())
        }
    };
    text.into_bytes()
}

/// What was written by a process that may have been taken over by what it read.
fn read(text: &[u8]) -> anyhow::Result<Said> {
    let parts = str::from_utf8(text).ok().and_then(|text| text.split_once(' '));
    match parts.context("the process that reads it has ended")? {
        ("error", reason) => bail!("{reason}"),
        ("nothing", _) => Ok(None),
        (last, rest) => {
            let (link, rest) = rest.split_once(' ').unwrap_or_default();
            let (offset, comment) = rest.split_once(' ').unwrap_or_default();
            let said = || {
                let last = Timestamp::from_nanos(last.parse().ok()?);
                let link = LinkType::from_number(link.parse().ok()?);
                let offset = Span::from_nanos(offset.parse().ok()?);
                Some((RecordingMetadata::from_comment(comment)?, last, link, offset))
            };
            Ok(said())
        }
    }
}

impl Earlier {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let mut file = files::read(path).with_context(|| format!("cannot open {name}"))?;
        // There are rights left that whoever reads it must not have.
        let answer = sandbox::apart(file.as_fd(), || {
            let reader = file.try_clone().map_err(Into::into);
            let reader = reader.and_then(|file| Ok(CaptureReader::new(file, &name)?));
            written(reader.and_then(contents::carried))
        })?;
        file.rewind().with_context(|| format!("cannot read {name} a second time"))?;
        let found = read(&answer).with_context(|| format!("cannot resume {name}"))?;
        let Some((
            RecordingMetadata { trace: config, measurement: Measurement::Paths(plan), .. },
            last,
            _,
            clock_offset,
        )) = found
        else {
            bail!("cannot resume {name}: it is not a pcapng recording of rtrace paths");
        };
        Ok(Self { config, plan, name, file, last, clock_offset })
    }

    /// The frames of the recording; interfaces with these names have these numbers.
    pub fn frames(
        &self,
        interfaces: &BTreeMap<u32, Untrusted>,
    ) -> anyhow::Result<ReplayLink<File>> {
        let again = || format!("cannot read {} a second time", self.name);
        let mut file = self.file.try_clone().with_context(again)?;
        file.rewind().with_context(again)?;
        let reader = CaptureReader::new(file, &self.name)?;
        Ok(ReplayLink::new(reader.numbering_interfaces(interfaces)))
    }

    /// When it was over: nothing that was sent then is still waited for.
    pub fn over(&self) -> Timestamp {
        self.last.after(Span::from_secs_f64(self.config.wait.max))
    }

    /// The configuration of the recording, unless the options differ.
    pub fn go_on(&self, options: &TraceOptions, flow: &Flow) -> anyhow::Result<TraceConfig> {
        let mut asked = self.config.clone();
        options.apply(&mut asked);
        asked.probe = options.kind.chosen().unwrap_or(asked.probe);
        asked.ident = options.sport.unwrap_or(asked.ident);
        asked.source = options.source.unwrap_or(asked.source);
        if asked != self.config || asked.flow() != *flow {
            let (name, target) = (&self.name, self.config.target);
            bail!(
                "--resume keeps the options of {name}, a run to {target}: leave out the options that differ"
            );
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_recording_says_comes_through_a_pipe() {
        let trace = TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000);
        let (last, offset) = (Timestamp::from_nanos(-7), Span::from_nanos(-3));
        let said = Some((
            RecordingMetadata::of(trace, Measurement::Trace),
            last,
            LinkType::Ethernet,
            offset,
        ));
        assert_eq!(read(&written(Ok(said.clone()))).unwrap(), said);
        assert_eq!(read(&written(Ok(None))).unwrap(), None);
        let error = read(&written(Err(anyhow::anyhow!("it is torn")))).unwrap_err();
        assert_eq!(error.to_string(), "it is torn");
        for (hostile, refused) in [("", true), ("\u{ff}", true), ("1 2 3", false), ("x y z", false)]
        {
            assert_eq!(read(hostile.as_bytes()).is_err(), refused, "{hostile}");
        }
    }
}
