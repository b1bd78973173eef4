//! The recording of a run: one file or, with `--rotate`, one after another.
//!
//! A file is begun when a round begins and the file before has its size, so that no round is split and each file
//! replays by itself: it has its own header, configuration and names. Names of files end with the time of their first
//! frame in UTC, `out-20261124T120000.123Z.pcapng`, and sort in the order of the files.
//!
//! Files that rotate, also the first, are made after all capabilities have been dropped, by the user that
//! [`privilege::identity`] names, in a directory that was opened before. Nothing but rights to that directory lets that
//! user make files in it: rtrace reports missing rights before the first probe.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::complain;
use super::flags::RotateOptions;
use crate::capture::{CaptureError, Format, Interface, Neighbours, Recording};
use crate::privilege::{self, files};
use crate::recording::{RECONSTRUCTED_REPLIES, RecordingMetadata, packet_comment};
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::{Disposition, Path as TracePath};
use crate::untrusted::Untrusted;
use crate::wire::Frame;

/// What frames are written to.
pub struct Recorder {
    recording: Recording<Box<dyn Write + Send>>,
    /// Frames in this file, and in those before it.
    frames: u64,
    before: u64,
    /// How far the clock is ahead of the time of the run, because it was set.
    clock_offset: Span,
    last_step: Option<ClockStep>,
    rotation: Option<Rotation>,
}

/// What a recording goes to: open, and not written to yet.
pub struct Destination {
    to: To,
    path: PathBuf,
}

enum To {
    Stdout(File),
    File(File),
    /// Files of this size in a directory, and how many of them are kept.
    Directory(File, u64, Option<usize>),
}

/// A recording that has been asked for; whatever takes privilege has been done.
pub enum Prepared {
    /// A file, begun.
    Begun(Box<Recorder>),
    /// Files to come.
    Rotating(Box<Rotation>),
}

/// Where one file follows another.
pub struct Rotation {
    size: u64,
    keep: Option<usize>,
    directory: File,
    /// The path that was asked for: names are made of it.
    path: PathBuf,
    interface: Interface,
    neighbours: Neighbours,
    /// What is told of the trace.
    carried: RecordingMetadata,
    /// Those that are known so far.
    names: BTreeMap<IpAddr, Untrusted>,
    /// The round that was recorded last.
    round: u64,
    /// The millisecond that the last file is named after.
    stamp: i64,
    /// Files of this run that are there, the oldest first.
    files: VecDeque<PathBuf>,
}

/// Rounds of several targets begin at different times: there is no moment for another file.
pub(super) const ROTATES_ONE: &str =
    "--rotate is for the recording of one target: leave it out, or watch each target by itself";

/// The names of stdout.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Whether this recording goes to stdout.
pub fn is_stdout(pcap: Option<&Path>) -> bool {
    pcap.is_some_and(|path| STDOUT.iter().any(|name| path == Path::new(name)))
}

impl Destination {
    /// Opens what a recording to `path` is written to. What is in it stays there for now.
    pub fn open(path: &Path, rotate: Option<RotateOptions>) -> anyhow::Result<Self> {
        let (path, cannot) = (path.to_owned(), "cannot begin the recording");
        let rotate = rotate.and_then(|rotate| Some((rotate.rotate?, rotate.keep)));
        if let Some((size, keep)) = rotate {
            let keep = keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
            return Ok(Self { to: To::Directory(directory_of(&path)?, size, keep), path });
        }
        let to = if is_stdout(Some(&path)) {
            if io::stdout().is_terminal() {
                bail!(
                    "--pcap {}: stdout is a terminal, and a recording is not text: name a file, or send stdout to one",
                    path.display()
                );
            }
            // Not through `Stdout`, which holds back what follows the last line feed.
            let out = io::stdout().as_fd().try_clone_to_owned().context("cannot use stdout")?;
            To::Stdout(out.into())
        } else {
            let opened = files::to_write(&path);
            let to = opened.with_context(|| format!("cannot write to {}", path.display()));
            let to = to.context(cannot)?;
            if to.is_terminal() {
                let path = path.display();
                bail!("--pcap {path}: it is a terminal, and a recording is not text: name a file");
            }
            To::File(to)
        };
        Ok(Self { to, path })
    }

    /// The directory in which files are to be made later.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        match &self.to {
            To::Stdout(_) | To::File(_) => None,
            To::Directory(directory, ..) => Some(directory.as_fd()),
        }
    }
}

impl Prepared {
    /// Begins a recording, so that one that cannot be written is known before the first probe.
    pub fn new(
        destination: Destination,
        carried: Vec<RecordingMetadata>,
        (interface, neighbours): (Interface, Neighbours),
    ) -> anyhow::Result<Self> {
        let Destination { to, path } = destination;
        let reconstructed = carried.iter().any(RecordingMetadata::is_reconstructed);
        if reconstructed && Format::from_path(&path) == Format::Pcap {
            return Err(CaptureError::Reconstructed { name: path.display().to_string() }.into());
        }
        let (out, name) = match to {
            To::Directory(directory, size, keep) => {
                let [carried] = <[_; 1]>::try_from(carried).map_err(|_| anyhow!(ROTATES_ONE))?;
                let rotation = Rotation {
                    size,
                    keep,
                    directory,
                    path,
                    interface,
                    neighbours,
                    carried,
                    names: BTreeMap::new(),
                    round: 0,
                    stamp: i64::MIN,
                    files: VecDeque::new(),
                };
                return Ok(Self::Rotating(Box::new(rotation)));
            }
            To::Stdout(out) => (out, "standard output".to_owned()),
            To::File(file) => {
                let name = path.display().to_string();
                let emptied = files::emptied(file);
                let file = emptied.with_context(|| format!("cannot write to {name}"));
                (file.context("cannot begin the recording")?, name)
            }
        };
        let format = Format::from_path(&path);
        let comments = comments(&carried);
        let out: Box<dyn Write + Send> = Box::new(out);
        let recording = Recording::with_comments(out, name, format, &interface, &comments)?;
        let recording = recording.among(neighbours);
        Ok(Self::Begun(Box::new(Recorder::of(recording, None))))
    }

    /// The directory in which files are to be made later.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Begun(_) => None,
            Self::Rotating(rotation) => Some(rotation.directory.as_fd()),
        }
    }

    /// The recording, once privileges have been dropped; it begins `now`.
    pub fn begin(self, now: Timestamp) -> anyhow::Result<Recorder> {
        match self {
            Self::Begun(tape) => Ok(*tape),
            Self::Rotating(mut rotation) => {
                let recording = rotation.next_file(now).with_context(|| {
                    let (path, user) = (rotation.path.display(), privilege::identity().uid);
                    format!("cannot begin the recording {path} as uid {user}, which needs to write to its directory")
                })?;
                Ok(Recorder::of(recording, Some(*rotation)))
            }
        }
    }
}

impl Recorder {
    fn of(recording: Recording<Box<dyn Write + Send>>, rotation: Option<Rotation>) -> Self {
        Self {
            recording,
            frames: 0,
            before: 0,
            clock_offset: Span::ZERO,
            last_step: None,
            rotation,
        }
    }

    /// Records a frame of the trace with what there is to say about it, in the next file if it is time.
    pub fn frame(
        &mut self,
        frame: &Frame<'_>,
        disposition: Disposition,
        path: &TracePath,
    ) -> Result<(), CaptureError> {
        if matches!(disposition, Disposition::OwnProbe(_)) {
            self.rotate(frame.at, path.round_number())?;
        }
        let comment = packet_comment(disposition, path, self.before);
        self.recording.frame(frame, comment.as_deref())?;
        self.frames += 1;
        Ok(())
    }

    /// Begins the next file if round `round` is a new one and this file has its size.
    fn rotate(&mut self, at: Timestamp, round: u64) -> Result<(), CaptureError> {
        let Some(rotation) = &mut self.rotation else { return Ok(()) };
        if std::mem::replace(&mut rotation.round, round) == round
            || self.recording.written() < rotation.size
        {
            return Ok(());
        }
        // A classic pcap has the time of the run, and so has its name.
        let named = match Format::from_path(&rotation.path) {
            Format::Pcap => at,
            Format::PcapNg => at.after(self.clock_offset),
        };
        self.recording = rotation.next_file(named)?;
        self.recording.begin_with_offset(self.clock_offset, at)?;
        if let Some(step) = self.last_step.filter(|step| step.until >= at) {
            self.recording.clock_step(&ClockStep { by: Span::ZERO, ..step })?;
        }
        self.before += std::mem::take(&mut self.frames);
        for (address, name) in &rotation.names {
            self.recording.name(*address, name)?;
        }
        rotation.remove_oldest();
        Ok(())
    }

    /// Records that the clock was set.
    pub fn clock_step(&mut self, step: &ClockStep) -> Result<(), CaptureError> {
        self.clock_offset = self.clock_offset.plus(step.by);
        self.last_step = Some(*step);
        self.recording.clock_step(step)
    }

    /// Records that `address` has this name.
    pub fn name(&mut self, address: IpAddr, name: &Untrusted) -> Result<(), CaptureError> {
        if let Some(rotation) = &mut self.rotation {
            rotation.names.insert(address, name.to_owned());
        }
        self.recording.name(address, name)
    }

    /// Records what the kernel counted.
    pub fn statistics(
        &mut self,
        at: Timestamp,
        received: u64,
        dropped: u64,
        comment: &str,
    ) -> Result<(), CaptureError> {
        self.recording.statistics(at, received, dropped, Some(comment))
    }
}

impl Rotation {
    /// Makes the file that begins at this time.
    fn next_file(
        &mut self,
        at: Timestamp,
    ) -> Result<Recording<Box<dyn Write + Send>>, CaptureError> {
        self.stamp = at.nanos().div_euclid(1_000_000).max(self.stamp.saturating_add(1));
        let file_name = name(&self.path, self.stamp);
        let shown = self.path.with_file_name(&file_name).display().to_string();
        let file = files::create_in(&self.directory, &file_name).map_err(|source| {
            CaptureError::Io { operation: "create", name: shown.clone(), source }
        })?;
        self.files.push_back(file_name);
        let carried = RecordingMetadata { first_round: self.round, ..self.carried.clone() };
        let (format, comments) = (Format::from_path(&self.path), comments(&[carried]));
        let file: Box<dyn Write + Send> = Box::new(file);
        let begun = Recording::with_comments(file, shown, format, &self.interface, &comments)?;
        Ok(begun.among(self.neighbours.clone()))
    }

    /// Removes the oldest files beyond those to keep. A file that cannot be removed stays.
    fn remove_oldest(&mut self) {
        // Without a bound none of them has to be remembered.
        let Some(keep) = self.keep else { return self.files.clear() };
        while self.files.len() > keep {
            let Some(oldest) = self.files.pop_front() else { return };
            let removed = unlinkat(&self.directory, &oldest, UnlinkatFlags::NoRemoveDir);
            if let Err(error) = removed {
                let shown = self.path.with_file_name(&oldest);
                complain(&format!("cannot remove {}: {}", shown.display(), error.desc()));
            }
        }
    }
}

/// The comments on the section of a recording of these traces.
fn comments(carried: &[RecordingMetadata]) -> Vec<String> {
    let reconstructed = carried.iter().any(RecordingMetadata::is_reconstructed);
    let configured = carried.iter().map(RecordingMetadata::to_comment);
    configured.chain(reconstructed.then(|| RECONSTRUCTED_REPLIES.to_owned())).collect()
}

/// "out.pcapng" at this millisecond: "out-20261124T120000.123Z.pcapng".
fn name(path: &Path, millis: i64) -> PathBuf {
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(time.strftime("-%Y%m%dT%H%M%S.%3fZ").to_string());
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    name.into()
}

/// The directory that files with names like this one are made in.
fn directory_of(path: &Path) -> anyhow::Result<File> {
    if is_stdout(Some(path)) || path.file_name().is_none() {
        bail!("--rotate needs a file name after --pcap, to derive names from");
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    files::directory(parent)
        .with_context(|| format!("cannot open the directory {}", parent.display()))
        .context("cannot begin the recording")
}

/// A file that is begun anew.
pub fn create(path: &Path) -> anyhow::Result<File> {
    files::create(path).with_context(|| format!("cannot write to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_in_the_order_of_the_files() {
        let named = |path: &str, millis| name(Path::new(path), millis).display().to_string();
        let noon = 1_795_521_600_000;
        assert_eq!(named("/tmp/out.pcapng", noon + 7), "out-20261124T120000.007Z.pcapng");
        assert_eq!(named("out", noon), "out-20261124T120000.000Z");
        let rising: Vec<_> = [0, 1, 999, 1_000].map(|ms| named("a.pcap", noon + ms)).into();
        assert!(rising.is_sorted(), "{rising:?}");
    }
}
