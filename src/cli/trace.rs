//! `rtrace TARGET`: a live trace, or one through a simulated network.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::Status;
use super::earlier::Earlier;
use super::facts::{self, FactsTo};
use super::flags::{BUILT_IN, STDERR, TraceArgs};
use super::live::open_live;
use super::opened::{Opened, Target, endpoint, open_destination};
use super::recorder::{Destination, Prepared, is_stdout};
use super::reports::Reports;
use super::session::Session;
use super::simulated::{SIMULATED, open_simulated, read_topology};
use super::task::Task;
use super::watch::{self, Watch};
use crate::enrich::Annotations;
use crate::enrich::names::{DEFAULT_WAIT, Names};
use crate::link::Link;
use crate::link::live::Interrupt;
use crate::metrics::Meter;
use crate::privilege::files;
use crate::sandbox::names::Resolvers;
use crate::sandbox::{self, Profile};
use crate::trace::endpoint::{Endpoint, TraceId};

/// Refuses an output file that is also used for something else.
pub(super) fn check_files(args: &TraceArgs) -> anyhow::Result<()> {
    let named = |path: &Option<PathBuf>, but: &str| path.clone().filter(|it| *it != Path::new(but));
    let written = [("--pcap", named(&args.pcap, "-")), ("--stats", named(&args.stats, STDERR))];
    let read = [
        ("--simulate", named(&args.simulate, BUILT_IN)),
        ("--config", args.options.config_file.clone()),
        ("--asn-db", args.lookups.asn_db.clone()),
        ("--geo-db", args.lookups.geo_db.clone()),
    ];
    let all: Vec<_> = written.iter().chain(&read).collect();
    for (at, (option, path)) in written.iter().enumerate() {
        let Some(path) = path else { continue };
        for (other, same) in all.iter().skip(at + 1) {
            if same.as_deref().is_some_and(|same| files::are_one(path, same)) {
                let path = path.display();
                bail!("{path} is named twice, by {option} and by {other}: choose two files");
            }
        }
    }
    Ok(())
}

/// Runs the command for the single target of its arguments.
pub fn run(args: &TraceArgs, task: Task<'_>) -> anyhow::Result<Status> {
    let target = args.target.clone().unwrap_or_default();
    run_all(args, task, &[target])
}

/// Runs the command for these targets, side by side.
pub(super) fn run_all(
    args: &TraceArgs,
    task: Task<'_>,
    targets: &[String],
) -> anyhow::Result<Status> {
    check_files(args)?;
    match &args.simulate {
        Some(topology) => simulate(args, task, targets, topology),
        None => live(args, task, targets),
    }
}

fn live(args: &TraceArgs, task: Task<'_>, names: &[String]) -> anyhow::Result<Status> {
    let resolvers = args.lookups.resolvers(!args.output.numeric, DEFAULT_WAIT)?;
    let opened = open_live(args, task, names, resolvers.as_ref())?;
    let facts_to = facts::open_stats(args)?;
    let files = args.lookups.open()?;
    let server = task.watch().map(Watch::listen).transpose()?.flatten();
    sandbox::enter(&Profile {
        network: Some(opened.link.evidence()),
        serves: server.is_some(),
        rotates_in: opened.prepared.as_ref().and_then(Prepared::directory),
        asks: resolvers.as_ref(),
        ..Profile::default()
    })?;
    let databases = files.read()?;
    let meters = watch::serve(server, &opened.configs())?;
    let Opened { mut link, targets, interface, leaves_by, interfaces, prepared, left_out } = opened;
    let tape = prepared.map(|prepared| prepared.begin(link.now())).transpose()?;

    let waker = link.waker();
    let interrupt = Interrupt::install(Some(&waker)).context("cannot take over Ctrl-C")?;
    let wake = {
        let waker = waker.clone();
        move || waker.wake()
    };
    let mut annotations =
        args.lookups.annotations(None, &databases, resolvers.as_ref(), wake, DEFAULT_WAIT);
    if task.watch().is_some() {
        annotations = annotations.with_retries();
    }
    annotations.interfaces = interfaces;
    let (session, reports) = session((args, task), &targets, annotations, meters)?;
    let mut session = session.recording_to(tape).interrupted_by(interrupt);
    session.facts_mut().interface = interface.name.clone();
    let mut endpoint = endpoint(|config| task.measurement(config), targets)?;
    let status = reported(&mut session, &mut endpoint, &mut link, reports)?;
    resolvers.iter().for_each(Resolvers::stop);

    let silence = endpoint.engines().any(|(_, engine)| engine.path().totals.is_lacking());
    facts::account(&mut session, &mut link, (interface.name, &leaves_by), silence);
    let status = if left_out > 0 { status.max(Status::NotReached) } else { status };
    finish(&mut session, &link, facts_to, status)
}

/// Runs a session and writes its reports.
fn reported(
    session: &mut Session,
    endpoint: &mut Endpoint<'_>,
    link: &mut dyn Link,
    mut reports: Reports,
) -> anyhow::Result<Status> {
    reports.begin()?;
    let status = session.run(endpoint, link);
    reports.finish()?;
    Ok(status)
}

fn simulate(
    args: &TraceArgs,
    task: Task<'_>,
    names: &[String],
    file: &Path,
) -> anyhow::Result<Status> {
    let resolvers = args.lookups.resolvers(false, DEFAULT_WAIT)?;
    let files = args.lookups.open()?;
    let server = task.watch().map(Watch::listen).transpose()?.flatten();
    let text = read_topology(file)?;
    let (destination, facts_to) = (open_destination(args, task)?, facts::open_stats(args)?);
    sandbox::enter(&Profile {
        serves: server.is_some(),
        rotates_in: destination.as_ref().and_then(Destination::directory),
        asks: resolvers.as_ref(),
        ..Profile::default()
    })?;
    let topology = (file, text.as_deref());
    let opened = open_simulated(args, task, names, topology, destination)?;
    let meters = watch::serve(server, &opened.configs())?;
    let Opened { mut link, targets, prepared, interfaces, .. } = opened;
    let names = Names::fixed(link.topology().names().clone());
    let (databases, resolvers) = (files.read()?, resolvers.as_ref());
    let mut annotations =
        args.lookups.annotations(Some(names), &databases, resolvers, || (), DEFAULT_WAIT);
    annotations.interfaces = interfaces;
    let tape = prepared.map(|prepared| prepared.begin(link.now())).transpose()?;
    let interrupt = Interrupt::install(None).context("cannot take over Ctrl-C")?;
    let (session, reports) = session((args, task), &targets, annotations, meters)?;
    let mut session = session.recording_to(tape).interrupted_by(interrupt);
    let mut endpoint = endpoint(|config| task.measurement(config), targets)?;
    let status = reported(&mut session, &mut endpoint, &mut link, reports)?;
    let facts = session.facts_mut();
    (facts.link, facts.interface, facts.clock) =
        (SIMULATED, SIMULATED.into(), "virtual time".into());
    finish(&mut session, &link, facts_to, status)
}

/// A session of these traces, with their reports.
fn session(
    (args, task): (&TraceArgs, Task<'_>),
    targets: &[Target],
    annotations: Annotations,
    meters: Vec<Option<Meter>>,
) -> anyhow::Result<(Session, Reports)> {
    let to_stderr = is_stdout(args.pcap.as_deref());
    let look_up = !args.output.numeric;
    let frames = |earlier: &Earlier| earlier.frames(&annotations.interfaces);
    let earlier = task.earlier().map(frames).transpose()?;
    let mut session = Session::new(annotations, look_up).going_on_from(earlier);
    let mut reports = Reports::of(args.output.form(), targets.len(), true, to_stderr);
    for (place, (target, meter)) in targets.iter().zip(meters).enumerate() {
        let output = args.output.of(&task.measurement(&target.config))?;
        let look = reports.look(task.look(args.output));
        let renderer = output.renderer(look, reports.out());
        session.report(TraceId::at(place), &target.config, renderer, meter);
    }
    Ok((session, reports))
}

fn finish(
    session: &mut Session,
    link: &dyn Link,
    facts_to: FactsTo,
    status: Status,
) -> anyhow::Result<Status> {
    let closed = session.close_tape(link.now());
    facts_to.write(session.facts_mut())?;
    Ok(if closed { status } else { Status::Failed })
}
