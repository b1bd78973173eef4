//! `rtrace watch` on a terminal: a thread probes all targets, and the screen shows the results.
//!
//! Link and recording are opened before privileges are dropped, and privileges are dropped before the thread starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, bail};

use super::flags::{ReplayArgs, ScreenArgs, TraceArgs};
use super::lookups::Databases;
use super::opened::{self, Opened, Target};
use super::playing;
use super::recorder::{Destination, Prepared, ROTATES_ONE, Recorder, is_stdout};
use super::replay;
use super::screen::{self, Left, Scene};
use super::session::Session;
use super::task::Task;
use super::trace;
use super::watch::{self, Watch};
use super::{Status, facts, live, simulated};
use crate::enrich::Annotations;
use crate::enrich::names::{DEFAULT_WAIT, Names};
use crate::link::Link;
use crate::link::live::LiveLink;
use crate::link::paced::Paced;
use crate::link::sim::SimLink;
use crate::metrics::Meter;
use crate::metrics::serve::Server;
use crate::render::Form;
use crate::render::stats::RunFacts;
use crate::render::tui::{Command, Shared, Snapshot, Tab};
use crate::sandbox::names::Resolvers;
use crate::sandbox::{self, Profile};
use crate::trace::Measurement;
use crate::trace::endpoint::TraceId;
use crate::trace::rounds::Plan;
use crate::trace::table::Row;
use crate::untrusted::Untrusted;

/// Runs the command.
pub fn run(args: &ScreenArgs) -> anyhow::Result<Status> {
    if let Some(file) = &args.replay {
        let on_screen = screen::is_possible() && args.watch.trace.output.form() == Form::Text;
        if !on_screen {
            return replay::run(&ReplayArgs::of_screen(args, file), None);
        }
        return playing::run(args, file);
    }
    let numbers = args.targets.iter().skip(1).find(|name| name.parse::<u32>().is_ok());
    if let Some(number) = numbers {
        bail!("{number} is not a target: give the length of the probes as --packetlen {number}");
    }
    let watch = Watch::of(&args.watch, false)?;
    let trace = &args.watch.trace;
    if args.targets.len() > 1 && watch.rotate.rotate.is_some() {
        bail!(ROTATES_ONE);
    }
    let on_screen = screen::is_possible()
        && !args.watch.report
        && trace.output.form() == Form::Text
        && !is_stdout(trace.pcap.as_deref());
    if !on_screen {
        return trace::run_all(trace, Task::Watch(&watch), &args.targets);
    }
    trace::check_files(trace)?;
    let facts_to = facts::open_stats(trace)?;
    let mut prober = Prober::start(args, &watch)?;
    let left = screen::show(&mut prober, args.state(trace.output.numeric));
    let (status, facts) = prober.end();
    facts_to.write(&facts)?;
    Ok(match left? {
        Left::Interrupted(signal) if status != Status::Failed => Status::Interrupted(signal),
        _ => status,
    })
}

/// The thread that probes all targets, and its results.
struct Prober {
    /// The name and the results of each target.
    targets: Vec<(Untrusted, Shared)>,
    stop: Arc<AtomicBool>,
    /// Ends a wait of the link.
    wake: Box<dyn Fn()>,
    thread: JoinHandle<(Status, RunFacts)>,
    /// The number of changes, of all targets together, that the screen has seen.
    seen: u64,
    /// Kept for as long as the screen runs.
    _names: Option<Resolvers>,
}

/// What the thread needs beside its link.
struct Parts {
    plan: Plan,
    targets: Vec<(Target, Shared, Option<Meter>)>,
    stop: Arc<AtomicBool>,
    tape: Option<Recorder>,
    annotations: Annotations,
    look_up: bool,
    left_out: usize,
}

impl Parts {
    /// Probes until it is stopped; `account` adds the facts that the link knows.
    fn run<L: Link>(
        self,
        mut link: L,
        account: impl FnOnce(&mut Session, &mut L, bool),
    ) -> (Status, RunFacts) {
        let Self { plan, targets, stop, tape, annotations, look_up, left_out } = self;
        let mut session = Session::new(annotations, look_up).recording_to(tape).stopped_by(stop);
        let (mut traced, mut shown) = (Vec::new(), Vec::new());
        for (place, (target, shared, meter)) in targets.into_iter().enumerate() {
            let renderer = Box::new(shared.clone());
            session.report(TraceId::at(place), &target.config, renderer, meter);
            traced.push(target);
            shown.push(shared);
        }
        let Ok(mut endpoint) = opened::endpoint(|_| Measurement::Rounds(plan), traced) else {
            return (Status::Failed, RunFacts::default());
        };
        let mut status = session.run(&mut endpoint, &mut link);
        if status != Status::Failed {
            let reached = shown.iter().all(|shared| shared.lock().reached());
            let reached = reached && left_out == 0 && session.all_never_sent().count() == 0;
            status = if reached { Status::Reached } else { Status::NotReached };
        }
        let silence = endpoint.engines().any(|(_, engine)| engine.path().totals.is_lacking());
        account(&mut session, &mut link, silence);
        if !session.close_tape(link.now()) {
            status = Status::Failed;
        }
        (status, std::mem::take(session.facts_mut()))
    }

    /// Starts a thread that does this.
    fn spawn(
        self,
        wake: impl Fn() + 'static,
        names: Option<Resolvers>,
        run: impl FnOnce(Self) -> (Status, RunFacts) + Send + 'static,
    ) -> anyhow::Result<Prober> {
        let stop = Arc::clone(&self.stop);
        let shown = |(target, shared, _): &(Target, Shared, _)| {
            (target.config.target_name.clone(), shared.clone())
        };
        let targets = self.targets.iter().map(shown).collect();
        let thread = thread::Builder::new().name("prober".to_owned()).spawn(move || run(self));
        let thread = thread.context("cannot start a thread")?;
        Ok(Prober { targets, stop, wake: Box::new(wake), thread, seen: 0, _names: names })
    }
}

/// A link that a thread can probe through.
trait Watched: Link + Sized {
    /// The names in the network of this link, if they are not to be looked up elsewhere.
    fn names(&self) -> Option<Names>;

    /// A function that wakes the link when a lookup has finished.
    fn waking(&self) -> impl Fn() + Send + Sync + 'static;

    /// Starts to probe through this link.
    fn start(
        self,
        parts: Parts,
        names: Option<Resolvers>,
        interface: Untrusted,
        leaves_by: Untrusted,
    ) -> anyhow::Result<Prober>;
}

impl Watched for LiveLink {
    fn names(&self) -> Option<Names> {
        None
    }

    fn waking(&self) -> impl Fn() + Send + Sync + 'static {
        let waker = self.waker();
        move || waker.wake()
    }

    fn start(
        self,
        parts: Parts,
        names: Option<Resolvers>,
        interface: Untrusted,
        leaves_by: Untrusted,
    ) -> anyhow::Result<Prober> {
        let account = move |session: &mut Session, link: &mut Self, silence| {
            facts::account(session, link, (interface, &leaves_by), silence);
        };
        parts.spawn(self.waking(), names, move |parts| parts.run(self, account))
    }
}

/// A simulated network is probed at the pace of real time: otherwise the watch would be over at once.
impl Watched for SimLink {
    fn names(&self) -> Option<Names> {
        Some(Names::fixed(self.topology().names().clone()))
    }

    fn waking(&self) -> impl Fn() + Send + Sync + 'static {
        || ()
    }

    fn start(
        self,
        parts: Parts,
        names: Option<Resolvers>,
        interface: Untrusted,
        _: Untrusted,
    ) -> anyhow::Result<Prober> {
        let account = |session: &mut Session, _: &mut Paced<Self>, _| {
            let facts = session.facts_mut();
            (facts.link, facts.interface, facts.clock) =
                ("simulated", interface, "virtual time".into());
        };
        let (link, hurry) = Paced::new(self);
        parts.spawn(move || hurry.call(), names, move |parts| parts.run(link, account))
    }
}

impl Prober {
    fn start(args: &ScreenArgs, watch: &Watch) -> anyhow::Result<Self> {
        let trace = &args.watch.trace;
        let (names, task) = (&args.targets, Task::Watch(watch));
        let asks_names = trace.simulate.is_none() && !trace.output.numeric;
        let resolvers = trace.lookups.resolvers(asks_names, DEFAULT_WAIT)?;
        let (asks, files) = (resolvers.as_ref(), trace.lookups.open()?);
        let profile = Profile { screen: true, asks, ..Profile::default() };
        if let Some(file) = &trace.simulate {
            let server = watch.listen()?;
            let text = simulated::read_topology(file)?;
            let destination = opened::open_destination(trace, task)?;
            let rotates_in = destination.as_ref().and_then(Destination::directory);
            sandbox::enter(&Profile { serves: server.is_some(), rotates_in, ..profile })?;
            let topology = (file.as_path(), text.as_deref());
            let opened = simulated::open_simulated(trace, task, names, topology, destination)?;
            Self::of(opened, (trace, watch), &files.read()?, resolvers, server)
        } else {
            let opened = live::open_live(trace, task, names, asks)?;
            let server = watch.listen()?;
            let rotates_in = opened.prepared.as_ref().and_then(Prepared::directory);
            let profile = Profile { serves: server.is_some(), rotates_in, ..profile };
            let network = Some(opened.link.evidence());
            sandbox::enter(&Profile { network, ..profile })?;
            Self::of(opened, (trace, watch), &files.read()?, resolvers, server)
        }
    }

    /// Starts with this link; everything else is open, too.
    fn of<L: Watched>(
        opened: Opened<L>,
        (args, watch): (&TraceArgs, &Watch),
        databases: &Databases,
        resolvers: Option<Resolvers>,
        server: Option<Server>,
    ) -> anyhow::Result<Self> {
        let meters = watch::serve(server, &opened.configs())?;
        let Opened { link, targets, interface, leaves_by, prepared, left_out, .. } = opened;
        let with_results = |(target, meter): (Target, Option<Meter>)| {
            let shared = Shared::new(&target.config, Some(watch.plan.interval));
            (target, shared, meter)
        };
        let (names, asked, wake) = (link.names(), resolvers.as_ref(), link.waking());
        let annotations = args.lookups.annotations(names, databases, asked, wake, DEFAULT_WAIT);
        let parts = Parts {
            plan: watch.plan,
            targets: targets.into_iter().zip(meters).map(with_results).collect(),
            stop: Arc::default(),
            tape: prepared.map(|prepared| prepared.begin(link.now())).transpose()?,
            annotations: annotations.with_retries(),
            look_up: !args.output.numeric,
            left_out,
        };
        link.start(parts, resolvers, interface.name, leaves_by)
    }

    /// Ends the thread, and returns its status and its facts.
    fn end(self) -> (Status, RunFacts) {
        self.stop.store(true, Ordering::Release);
        (self.wake)();
        match self.thread.join() {
            Ok(end) => end,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Scene for Prober {
    fn news(&mut self, _: Instant) -> bool {
        let versions = self.targets.iter().map(|(_, shared)| shared.version()).sum();
        std::mem::replace(&mut self.seen, versions) != versions
    }

    fn snapshot(&mut self, tab: usize) -> Snapshot {
        let tabs = self.targets.iter().map(|(name, shared)| {
            let model = shared.lock();
            let last = model.table().rows().last();
            Tab { name: name.clone(), loss: last.map(Row::loss) }
        });
        let tabs = tabs.collect();
        let (_, shown) = &self.targets[tab.min(self.targets.len() - 1)];
        let target = shown.lock().target();
        Snapshot { tabs, target, playback: None, message: screen::held() }
    }

    fn command(&mut self, command: Command, tab: usize) {
        if let Some((_, shared)) = self.targets.get(tab).filter(|_| command == Command::Reset) {
            shared.lock().reset();
        }
    }

    /// Whether the thread ended without a result, which means that it panicked.
    fn is_broken(&self) -> bool {
        let open = self.targets.iter().any(|(_, shared)| !shared.lock().is_over());
        self.thread.is_finished() && open
    }
}
