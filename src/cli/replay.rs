//! `rtrace replay FILE`: the reports of the traces in a recording.
//!
//! The file is read once for what it describes ([`contents`](super::contents)), and once more for all its traces
//! ([`together`]).

use std::time::Duration;

use anyhow::bail;

use super::contents::{Chosen, Recorded, read_through};
use super::flags::{OutputOptions, ReplayArgs};
use super::lacking;
use super::reports::Reports;
use super::session::Session;
use super::together::{self, Engines};
use super::{Status, complain, list, twice};
use crate::capture::CaptureError;
use crate::enrich::names::Names;
use crate::render::Renderer;
use crate::sandbox::{self, Profile};
use crate::time::Timestamp;
use crate::trace::Measurement;
use crate::trace::endpoint::TraceId;

/// The longest wait for a lookup; nothing else needs the time.
pub(super) const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// Runs the command. `refused` is the reason why a map of all paths cannot be reported as asked for, if there is one.
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
    let mut session = Session::new(annotations, args.resolve);
    let mut reports = Reports::of(args.output.form(), traces.chosen.len(), !traces.surveyed, false);
    let (mut engines, mut configs) = (Engines::new(), Vec::new());
    for (number, found) in std::mem::take(&mut traces.chosen) {
        let (id, recorded) = (TraceId::of_number(number), contents.recorded(found, &args.options));
        let renderer = renderer((args, refused), &recorded, &mut reports)?;
        session.report(id, &recorded.config, renderer, None);
        engines.insert(id, recorded.engine()?);
        configs.push(recorded.config);
    }
    reports.begin()?;
    session.begin();
    let again = twice::again(&mut file, &name)?;
    let ended_by = together::watch(&name, again, &mut traces, &mut engines, &mut session)?;
    session.finish_names(engines.iter().map(|(id, engine)| (*id, &**engine)));
    let mut status = Status::Reached;
    let mut torn = None;
    for (place, (id, engine)) in engines.iter().enumerate() {
        status = status.max(session.conclude(*id, &**engine));
        session.say_what_never_left(*id, None);
        if torn.is_none() && (ended_by.is_some() || contents.is_torn()) {
            let last = contents.last.map_or(Timestamp::UNKNOWN, |(at, _)| at);
            torn = configs.first().map(|it| lacking::after_the_end(&name, engine.path(), it, last));
        }
        if !reports.write(place)? {
            return Ok(status);
        }
    }
    reports.end()?;
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

/// The renderer of the report of one trace.
fn renderer(
    (args, refused): (&ReplayArgs, Option<&str>),
    recorded: &Recorded,
    reports: &mut Reports,
) -> anyhow::Result<Box<dyn Renderer>> {
    let Recorded { measurement, look, .. } = *recorded;
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
    let look = reports.look(args.look.look(options));
    Ok(output.renderer(look, reports.out()))
}
