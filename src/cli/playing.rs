//! `rtrace watch --replay FILE`: the screen of a watch over a recording, which was read through once before the
//! terminal is taken over: an error is one line.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::contents::{self, Chosen, Recorded};
use super::flags::ScreenArgs;
use super::replay::LOOKUP_WAIT;
use super::screen::{self, Left, Scene};
use super::{Status, complain, lacking, twice};
use crate::capture::CaptureReader;
use crate::enrich::Annotations;
use crate::enrich::names::Names;
use crate::link::LinkError;
use crate::player::Player;
use crate::render::tui::{Command, Snapshot, Tab};
use crate::sandbox::{self, Profile};
use crate::time::Span;
use crate::trace::table::Row;
use crate::trace::{Measurement, TraceConfig, Tracer};
use crate::untrusted::Untrusted;

/// The most traces of a recording that are shown: a digit chooses each.
const TABS: usize = 9;
/// How long a recording is worked on before keys are looked for again, and how much of it between two looks at
/// the clock.
const PATIENCE: Duration = Duration::from_millis(50);
const PIECE: u64 = 1_000;

/// Runs the command.
pub fn run(args: &ScreenArgs, path: &std::path::Path) -> anyhow::Result<Status> {
    let (trace, name) = (&args.watch.trace, twice::name_of(path));
    let resolvers = trace.lookups.resolvers(false, LOOKUP_WAIT)?;
    let (file, files) = (Arc::new(twice::open(path)?), trace.lookups.open()?);
    sandbox::enter(&Profile { screen: true, asks: resolvers.as_ref(), ..Profile::default() })?;
    let open = {
        let name = name.clone();
        move || {
            let again = Again { file: Arc::clone(&file), offset: 0 };
            Ok(CaptureReader::new(again, &name)?.finding_clock_steps())
        }
    };
    let mut contents = contents::read_through(open()?, trace.options.hints())?;
    let mut traces = contents.traces(&name, &trace.options, Chosen::default()).chosen;
    let names = contents.names();
    if traces.is_empty() {
        return Ok(Status::Failed);
    }
    if traces.len() > TABS {
        complain(&format!("{name} holds {} traces: the first {TABS} are shown", traces.len()));
        traces.truncate(TABS);
    }
    let mut recordings = Recordings { all: Vec::new(), last: None, busy: true, failed: None };
    let mut numeric = trace.output.numeric;
    let (databases, resolvers) = (files.read()?, resolvers.as_ref());
    for (_, found) in traces {
        let names = Names::shared(Arc::clone(&names));
        let annotations =
            trace.lookups.annotations(Some(names), &databases, resolvers, || (), LOOKUP_WAIT);
        let recorded = contents.recorded(found, &trace.options);
        let recording = Recording::of(&recorded, annotations, open.clone())?;
        numeric |= recording.numeric;
        recordings.all.push(recording);
    }
    let left = screen::show(&mut recordings, args.state(numeric))?;
    let cut_short = recordings.all.iter().map(|recording| recording.player.cut_short()).sum();
    lacking::say_what_was_cut_short(&name, cut_short);
    match (recordings.failed, left) {
        (Some(error), _) => Err(error.into()),
        (None, Left::Interrupted(signal)) => Ok(Status::Interrupted(signal)),
        (None, Left::Quit) => Ok(Status::Reached),
    }
}

/// One trace, and where in its recording it is.
struct Recording {
    player: Player<Again>,
    name: Untrusted,
    numeric: bool,
    /// Whether rtrace reported that the recording ends in the middle of a packet.
    said: bool,
}

impl Recording {
    fn of(
        recorded: &Recorded,
        annotations: Annotations,
        open: impl Fn() -> Result<CaptureReader<Again>, crate::capture::CaptureError> + 'static,
    ) -> anyhow::Result<Self> {
        let Recorded { config, measurement, run, look } = recorded;
        let numeric = look.numeric;
        let TraceConfig { target_name: name, .. } = config.clone();
        let player = match *measurement {
            Measurement::Trace | Measurement::PathMtu | Measurement::Paths(_) => {
                let tracer = Tracer::passive(config.clone(), run.idents.clone())?;
                Player::new(open, config.clone(), tracer, None, annotations)
            }
            Measurement::Rounds(plan) => {
                let rounds = recorded.rounds(plan)?;
                let config = rounds.config().clone();
                Player::new(open, config, rounds, Some(plan.interval), annotations)
            }
        };
        Ok(Self { player: player?, name, numeric, said: false })
    }

    /// Works until it reaches its destination, or until `end`; returns whether it arrived.
    fn work(&mut self, end: Instant) -> Result<bool, LinkError> {
        let mut there = self.player.work(PIECE)?;
        while !there && Instant::now() < end {
            there = self.player.work(PIECE)?;
        }
        if let Some(error) = self.player.ended_by().filter(|_| !self.said) {
            complain(&error.to_string());
            self.said = true;
        }
        Ok(there)
    }
}

/// All traces of a recording, each at its own place.
struct Recordings {
    all: Vec<Recording>,
    /// When time was last seen to pass.
    last: Option<Instant>,
    /// A player had not reached its destination when it was left.
    busy: bool,
    /// Why it cannot be read on.
    failed: Option<LinkError>,
}

impl Scene for Recordings {
    fn news(&mut self, now: Instant) -> bool {
        let passed = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        let passed = Span::from_secs_f64(passed.as_secs_f64());
        let mut news = std::mem::take(&mut self.busy);
        for recording in &mut self.all {
            news |= recording.player.look_up();
            news |= recording.player.pass(passed);
            match recording.work(now + PATIENCE) {
                Ok(there) => self.busy |= !there,
                Err(error) => self.failed = Some(error),
            }
        }
        news | self.busy
    }

    fn snapshot(&mut self, tab: usize) -> Snapshot {
        if self.last.is_none() {
            // There is something to be seen at first.
            self.news(Instant::now());
        }
        let tab_of = |recording: &Recording| {
            let last = recording.player.table().rows().last();
            Tab { name: recording.name.clone(), loss: last.map(Row::loss) }
        };
        let tabs = self.all.iter().map(tab_of).collect();
        let shown = tab.min(self.all.len() - 1);
        let player = &mut self.all[shown].player;
        let (target, playback) = (player.target(), Some(player.playback()));
        Snapshot { tabs, target, playback, message: screen::held() }
    }

    fn command(&mut self, command: Command, tab: usize) {
        let Some(Recording { player, .. }) = self.all.get_mut(tab) else { return };
        match command {
            Command::Play => player.play(),
            Command::Step(rounds) => player.step(rounds),
            Command::Seek(goal) => player.seek(goal),
            Command::Speed(speed) => player.set_speed(speed),
            Command::Reset => player.forget(),
            Command::Quit | Command::Interrupt | Command::Redraw | Command::Suspend => {}
        }
        // It is mostly there at once.
        self.busy = true;
        self.news(Instant::now());
    }

    fn is_busy(&self) -> bool {
        self.busy
    }

    fn is_broken(&self) -> bool {
        self.failed.is_some()
    }
}

/// A file, read from its beginning, however many others read it too.
struct Again {
    file: Arc<File>,
    offset: u64,
}

impl Read for Again {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.offset)?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}
