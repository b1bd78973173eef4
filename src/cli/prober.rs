//! `rtrace watch` on a terminal: a thread per target that probes it, and the screen that shows what they find.
//!
//! Every link and recording is opened before privileges are dropped, and those before the first thread starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, bail};

use super::flags::{ReplayArgs, ScreenArgs, TraceArgs};
use super::lookups::Databases;
use super::playing;
use super::recorder::{Destination, Prepared, Recorder, is_stdout};
use super::replay;
use super::screen::{self, Left, Scene};
use super::session::Session;
use super::task::Task;
use super::trace::{self, Opened};
use super::watch::{self, Watch};
use super::{Status, facts};
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
use crate::trace::Engine;
use crate::trace::rounds::Rounds;
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
    let on_screen = screen::is_possible()
        && !args.watch.report
        && trace.output.form() == Form::Text
        && !is_stdout(trace.pcap.as_deref());
    if !on_screen {
        if args.targets.len() > 1 {
            bail!("several targets are shown on the screen of a terminal only: give one target");
        }
        return trace::run(trace, Task::Watch(&watch));
    }
    if args.targets.len() > 1 && (trace.pcap.is_some() || trace.stats.is_some()) {
        bail!("--pcap and --stats are of one target: run a watch for each");
    }
    trace::check_files(trace)?;
    let facts_to = facts::open_stats(trace)?;
    let mut probers = Probers::start(args, &watch)?;
    let left = screen::show(&mut probers, args.state(trace.output.numeric));
    let (status, facts) = probers.end();
    facts_to.write(&facts)?;
    Ok(match left? {
        Left::Interrupted(signal) if status != Status::Failed => Status::Interrupted(signal),
        _ => status,
    })
}

/// One target, and the thread that probes it.
struct Prober {
    name: Untrusted,
    shared: Shared,
    stop: Arc<AtomicBool>,
    /// Ends the wait of its link.
    wake: Box<dyn Fn()>,
    thread: JoinHandle<(Status, RunFacts)>,
}

/// What a prober is made of, beside its link.
struct Parts {
    rounds: Rounds,
    shared: Shared,
    stop: Arc<AtomicBool>,
    tape: Option<Recorder>,
    meter: Option<Meter>,
    annotations: Annotations,
    look_up: bool,
}

impl Parts {
    /// Probes until it is stopped; `account` adds what the link knows.
    fn run<L: Link>(
        self,
        mut link: L,
        account: impl FnOnce(&mut Session, &mut L, bool),
    ) -> (Status, RunFacts) {
        let Self { mut rounds, shared, stop, tape, meter, annotations, look_up } = self;
        let config = rounds.config().clone();
        let renderer = Box::new(shared.clone());
        let mut session = Session::with_renderer(&config, renderer, annotations, look_up)
            .recording_to(tape)
            .metered_by(meter)
            .stopped_by(stop);
        let mut status = session.run(&mut rounds, &mut link);
        if status != Status::Failed {
            let reached = shared.lock().reached() && !session.has_never_sent();
            status = if reached { Status::Reached } else { Status::NotReached };
        }
        account(&mut session, &mut link, Engine::path(&rounds).totals.is_lacking());
        if !session.close_tape(link.now()) {
            status = Status::Failed;
        }
        (status, std::mem::take(session.facts_mut()))
    }

    /// Lets a thread do it.
    fn spawn(
        self,
        wake: impl Fn() + 'static,
        run: impl FnOnce(Self) -> (Status, RunFacts) + Send + 'static,
    ) -> anyhow::Result<Prober> {
        let (shared, stop) = (self.shared.clone(), Arc::clone(&self.stop));
        let name = self.rounds.config().target_name.clone();
        let thread = thread::Builder::new().name("prober".to_owned()).spawn(move || run(self));
        let thread = thread.context("cannot start a thread")?;
        Ok(Prober { name, shared, stop, wake: Box::new(wake), thread })
    }
}

/// A link that can be watched from a thread of its own.
trait Watched: Link + Sized {
    /// Who answers to what name there, if that is not to be asked of others.
    fn names(&self) -> Option<Names>;

    /// What wakes it when something has been looked up.
    fn waking(&self) -> impl Fn() + Send + Sync + 'static;

    /// Begins to probe through it.
    fn start(
        self,
        parts: Parts,
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
        interface: Untrusted,
        leaves_by: Untrusted,
    ) -> anyhow::Result<Prober> {
        let account = move |session: &mut Session, link: &mut Self, silence| {
            facts::account(session, link, (interface, &leaves_by), silence);
        };
        parts.spawn(self.waking(), move |parts| parts.run(self, account))
    }
}

/// A simulated network is probed at the pace of the wall clock: else all would be over at once.
impl Watched for SimLink {
    fn names(&self) -> Option<Names> {
        Some(Names::fixed(self.topology().names().clone()))
    }

    fn waking(&self) -> impl Fn() + Send + Sync + 'static {
        || ()
    }

    fn start(self, parts: Parts, interface: Untrusted, _: Untrusted) -> anyhow::Result<Prober> {
        let account = |session: &mut Session, _: &mut Paced<Self>, _| {
            let facts = session.facts_mut();
            (facts.link, facts.interface, facts.clock) =
                ("simulated", interface, "virtual time".into());
        };
        let (link, hurry) = Paced::new(self);
        parts.spawn(move || hurry.call(), move |parts| parts.run(link, account))
    }
}

/// All targets.
struct Probers {
    all: Vec<Prober>,
    /// What the screen was last told of: how often any of them had changed.
    seen: u64,
    /// Asked as long as there is a screen.
    _names: Option<Resolvers>,
}

impl Probers {
    fn start(args: &ScreenArgs, watch: &Watch) -> anyhow::Result<Self> {
        let trace = &args.watch.trace;
        let (targets, task) = (args.targets.iter(), Task::Watch(watch));
        let names = trace.simulate.is_none() && !trace.output.numeric;
        let resolvers = trace.lookups.resolvers(names, DEFAULT_WAIT)?;
        let (asks, files) = (resolvers.as_ref(), trace.lookups.open()?);
        let profile = Profile { screen: true, asks, ..Profile::default() };
        if let Some(file) = &trace.simulate {
            let server = watch.listen()?;
            let text = trace::read_topology(file)?;
            let mut destination = trace::open_destination(trace, task)?;
            let rotates_in = destination.as_ref().and_then(Destination::directory);
            sandbox::enter(&Profile { serves: server.is_some(), rotates_in, ..profile })?;
            let open = |name: &String| {
                let topology = (file.as_path(), text.as_deref());
                trace::open_simulated(trace, task, name, topology, destination.take())
            };
            let opened: Vec<_> = targets.map(open).collect::<anyhow::Result<_>>()?;
            Self::of(opened, (trace, watch), &files.read()?, resolvers, server)
        } else {
            let open = |name: &String| trace::open_live(trace, task, name, asks);
            let opened: Vec<_> = targets.map(open).collect::<anyhow::Result<_>>()?;
            let server = watch.listen()?;
            let mut prepared = opened.iter().filter_map(|it| it.prepared.as_ref());
            let rotates_in = prepared.find_map(Prepared::directory);
            let profile = Profile { serves: server.is_some(), rotates_in, ..profile };
            sandbox::enter(&Profile { network: true, ..profile })?;
            Self::of(opened, (trace, watch), &files.read()?, resolvers, server)
        }
    }

    /// Starts with these links, which are all open, as is everything else.
    fn of<L: Watched>(
        opened: Vec<Opened<L>>,
        (args, watch): (&TraceArgs, &Watch),
        databases: &Databases,
        resolvers: Option<Resolvers>,
        server: Option<Server>,
    ) -> anyhow::Result<Self> {
        let configs: Vec<_> = opened.iter().map(|it| &it.config).collect();
        let meters = watch::serve(server, &configs)?;
        let mut probers = Vec::new();
        for (opened, meter) in opened.into_iter().zip(meters) {
            let Opened { link, config, interface, leaves_by, prepared, .. } = opened;
            let parts = Parts {
                shared: Shared::new(&config, Some(watch.plan.interval)),
                rounds: Rounds::new(config, watch.plan)?,
                stop: Arc::default(),
                tape: prepared.map(|prepared| prepared.begin(link.now())).transpose()?,
                meter,
                annotations: {
                    let (names, asked) = (link.names(), resolvers.as_ref());
                    let wake = link.waking();
                    args.lookups.annotations(names, databases, asked, wake, DEFAULT_WAIT)
                }
                .with_retries(),
                look_up: !args.output.numeric,
            };
            probers.push(link.start(parts, interface.name, leaves_by)?);
        }
        Ok(Self { all: probers, seen: 0, _names: resolvers })
    }

    /// Ends them all, and says how it went: the gravest of their statuses, and the facts of the first.
    fn end(self) -> (Status, RunFacts) {
        for prober in &self.all {
            prober.stop.store(true, Ordering::Release);
            (prober.wake)();
        }
        let mut ends = Vec::new();
        for prober in self.all {
            match prober.thread.join() {
                Ok(end) => ends.push(end),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        let status = ends.iter().map(|(status, _)| *status).max().unwrap_or(Status::Failed);
        (status, ends.into_iter().next().map(|(_, facts)| facts).unwrap_or_default())
    }
}

impl Scene for Probers {
    fn news(&mut self, _: Instant) -> bool {
        let versions = self.all.iter().map(|prober| prober.shared.version()).sum();
        std::mem::replace(&mut self.seen, versions) != versions
    }

    fn snapshot(&mut self, tab: usize) -> Snapshot {
        let tabs = self.all.iter().map(|prober| {
            let model = prober.shared.lock();
            let last = model.table().rows().last();
            Tab { name: prober.name.clone(), loss: last.map(Row::loss) }
        });
        let tabs = tabs.collect();
        let shown = &self.all[tab.min(self.all.len() - 1)];
        let target = shown.shared.lock().target();
        Snapshot { tabs, target, playback: None, message: screen::held() }
    }

    fn command(&mut self, command: Command, tab: usize) {
        if let Some(prober) = self.all.get(tab).filter(|_| command == Command::Reset) {
            prober.shared.lock().reset();
        }
    }

    /// A prober that ended without a word has panicked.
    fn is_broken(&self) -> bool {
        self.all.iter().any(|it| it.thread.is_finished() && !it.shared.lock().is_over())
    }
}
