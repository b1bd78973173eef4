//! `rtrace replay FILE`: the reports of the traces in a recording.
//!
//! The file is read once for what it tells ([`contents`](super::contents)), then once more for all its traces
//! ([`together`]).

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;

use super::contents::{Chosen, Recorded, read_through};
use super::flags::{OutputOptions, ReplayArgs};
use super::lacking;
use super::session::{Session, report_out};
use super::together::{self, Watched};
use super::{Status, complain, list, twice, write_bytes, write_out};
use crate::capture::CaptureError;
use crate::driver::{NeverSent, Observer};
use crate::enrich::Annotations;
use crate::enrich::names::Names;
use crate::render::Form;
use crate::sandbox::{self, Profile};
use crate::time::{ClockStep, Timestamp};
use crate::trace::{self, Disposition, Event, Measurement, TraceConfig};
use crate::wire::Frame;

/// How long whatever is looked up is waited for: nothing else is going on.
pub(super) const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// Runs the command. `refused` is why a map of all paths cannot be reported as it is asked for, if so.
pub fn run(args: &ReplayArgs, refused: Option<&str>) -> anyhow::Result<Status> {
    if args.list {
        return list::run(args);
    }
    let name = twice::name_of(&args.file);
    let resolvers = args.lookups.resolvers(args.resolve, LOOKUP_WAIT)?;
    let (mut file, files) = (twice::open(&args.file)?, args.lookups.open()?);
    sandbox::enter(&Profile { asks: resolvers.as_ref(), ..Profile::default() })?;
    let mut contents = read_through(twice::reader(&mut file, &name)?, args.options.hints())?;
    let chosen = Chosen { target: args.target, number: args.trace };
    let mut traces = contents.traces(&name, &args.options, chosen);
    if traces.chosen.is_empty() {
        return Ok(Status::Failed);
    }
    let known = (!args.resolve).then(|| Names::shared(contents.names()));
    let (databases, resolvers) = (files.read()?, resolvers.as_ref());
    let mut annotations =
        args.lookups.annotations(known, &databases, resolvers, || (), LOOKUP_WAIT);
    annotations.interfaces = std::mem::take(&mut contents.interfaces);
    let annotations = Rc::new(RefCell::new(annotations));
    let joints = Joints::of(args.output.form(), traces.chosen.len());
    let mut reports = Vec::new();
    for (number, found) in std::mem::take(&mut traces.chosen) {
        let recorded = contents.recorded(found, &args.options);
        let report = Report::of((args, refused), &recorded, reports.is_empty(), &annotations)?;
        reports.push(Watched::new(number, recorded.engine()?, report));
    }
    write_out(joints.before, "the report")?;
    for report in &mut reports {
        report.observer.with(Session::begin);
    }
    let ended_by =
        together::watch(&name, twice::again(&mut file, &name)?, &mut traces, &mut reports)?;
    let mut status = Status::Reached;
    let mut torn = None;
    for (index, Watched { mut engine, mut observer, .. }) in reports.into_iter().enumerate() {
        let reported = observer.with(|session| {
            let status = session.conclude(&mut *engine);
            session.say_what_never_left(None);
            status
        });
        if torn.is_none() && (ended_by.is_some() || contents.is_torn()) {
            let last = contents.last.map_or(Timestamp::UNKNOWN, |(at, _)| at);
            torn = Some(lacking::after_the_end(&name, engine.path(), &observer.config, last));
        }
        status = status.max(reported);
        if let Some(written) = observer.written.take() {
            drop((observer, engine));
            write_out(if index == 0 { "" } else { joints.between }, "the report")?;
            if !write_bytes(&written.take(), "the report")? {
                return Ok(status);
            }
        }
    }
    write_out(joints.after, "the report")?;
    if let Some(error) = ended_by {
        complain(&error.to_string());
        if let CaptureError::Damaged { .. } = error {
            status = Status::Failed;
        }
    }
    if let Some(sentence) = torn {
        complain(&sentence);
    }
    Ok(status)
}

/// What is written around several reports: texts are parted by an empty line, JSON documents are one
/// array, and forms that are made of lines follow one another.
#[derive(Default)]
struct Joints {
    before: &'static str,
    between: &'static str,
    after: &'static str,
}

impl Joints {
    fn of(form: Form, reports: usize) -> Self {
        match form {
            Form::Text => Self { between: "\n", ..Self::default() },
            Form::Json if reports > 1 => Self { before: "[\n", between: ",\n", after: "]\n" },
            _ => Self::default(),
        }
    }
}

/// The report of one trace. What has been looked up for one serves all.
struct Report {
    session: Session,
    config: TraceConfig,
    annotations: Rc<RefCell<Annotations>>,
    /// What is written once those before it are complete; the first is written as it goes.
    written: Option<Rc<RefCell<Vec<u8>>>>,
}

impl Report {
    fn of(
        (args, refused): (&ReplayArgs, Option<&str>),
        recorded: &Recorded,
        first: bool,
        annotations: &Rc<RefCell<Annotations>>,
    ) -> anyhow::Result<Self> {
        let Recorded { ref config, measurement, look, .. } = *recorded;
        if let (Measurement::Paths(_), Some(reason)) = (measurement, refused) {
            bail!(reason.to_owned());
        }
        if matches!(measurement, Measurement::Rounds(_)) && args.options.mtu {
            bail!("--mtu is for one trace, and this recording is of rounds: leave it out");
        }
        let options = OutputOptions {
            numeric: args.output.numeric || look.numeric && !args.resolve,
            extensions: args.output.extensions || look.extensions,
            back: args.output.back || look.back,
            ..args.output
        };
        let output = options.of(&measurement)?;
        let written = (!first).then(Rc::default);
        let out: Box<dyn Write> = match &written {
            Some(written) => Box::new(Later(Rc::clone(written))),
            None => report_out(false),
        };
        let renderer = output.renderer(args.look.look(options), out);
        let nothing = Names::shared(Arc::default());
        let session = Session::with_renderer(config, renderer, nothing, args.resolve);
        Ok(Self { session, config: config.clone(), annotations: Rc::clone(annotations), written })
    }

    /// Does something with the session while it has what has been looked up.
    fn with<T>(&mut self, act: impl FnOnce(&mut Session) -> T) -> T {
        let mut annotations = self.annotations.borrow_mut();
        self.session.exchange(&mut annotations);
        let result = act(&mut self.session);
        self.session.exchange(&mut annotations);
        result
    }
}

impl Observer for Report {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &trace::Path) {
        self.session.frame(frame, disposition, path);
    }

    fn event(&mut self, event: Event, path: &trace::Path) {
        self.with(|session| session.event(event, path));
    }

    fn clock_step(&mut self, step: &ClockStep) {
        self.with(|session| session.clock_step(step));
    }

    fn never_sent(&mut self, so_far: NeverSent) {
        self.session.never_sent(so_far);
    }

    fn missed(&mut self, rounds: u64, more: u64) {
        self.session.missed(rounds, more);
    }

    fn wake(&mut self, path: &trace::Path) {
        self.with(|session| session.wake(path));
    }

    fn interrupted(&self) -> bool {
        self.session.interrupted()
    }

    fn cut(&mut self, at: Timestamp) {
        self.session.cut(at);
    }
}

/// Keeps what is written.
struct Later(Rc<RefCell<Vec<u8>>>);

impl Write for Later {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
