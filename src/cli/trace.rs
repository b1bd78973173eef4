//! `rtrace TARGET`: a live trace, or one through a simulated network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::configure::{configure, largest};
use super::earlier::Earlier;
use super::facts::{self, FactsTo};
use super::flags::{BUILT_IN, STDERR, TraceArgs, TraceOptions};
use super::randomness::Randomness;
use super::recorder::{Destination, Prepared, is_stdout};
use super::session::{Session, report_out};
use super::task::Task;
use super::watch::{self, Watch};
use super::{Status, awaiting, complain, hints, target};
use crate::capture::{Interface, Neighbours};
use crate::enrich::Annotations;
use crate::enrich::names::{DEFAULT_WAIT, Names};
use crate::link::Link;
use crate::link::live::route::{self, Route, RouteError};
use crate::link::live::{Clock, Interrupt, LiveConfig, LiveLink, Stamping};
use crate::link::sim::{START, SimLink, Topology};
use crate::privilege::{self, files};
use crate::probe::{Flow, ProbeType};
use crate::recording::RecordingMetadata;
use crate::sandbox::names::Resolvers;
use crate::sandbox::{self, Profile};
use crate::trace::TraceConfig;
use crate::trace::config::Confirmation;
use crate::untrusted::Untrusted;
use crate::wire::LinkType;
use crate::wire::extension::Family;

/// What the first link of a simulated network takes: as Ethernet.
const SIMULATED_MTU: u32 = 1_500;
/// The interface of the host there.
const SIMULATED: &str = "simulated";

/// Refuses a file that is to be written and to be something else too.
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

/// Runs the command.
pub fn run(args: &TraceArgs, task: Task<'_>) -> anyhow::Result<Status> {
    check_files(args)?;
    let target = args.target.as_deref().unwrap_or_default();
    match &args.simulate {
        Some(topology) => simulate(args, task, target, topology),
        None => live(args, task, target),
    }
}

/// What a flow is to have: as was asked for, or as it was before.
struct Wanted {
    probe: ProbeType,
    source: Option<IpAddr>,
    port: Option<u16>,
    ident: Option<u16>,
}

impl Wanted {
    fn of(args: &TraceArgs, task: Task<'_>) -> Self {
        let Some(earlier) = task.earlier() else {
            let TraceOptions { source, sport, .. } = args.options;
            return Self { probe: args.options.probe_type(), source, port: sport, ident: None };
        };
        let TraceConfig { probe, source, ident, .. } = earlier.config;
        let port = Some(ident).filter(|_| probe.has_ports());
        Self { probe, source: Some(source), port, ident: Some(ident) }
    }
}

impl Wanted {
    /// Whether probes from another port or with another identifier may confirm answers: not where one is asked for, nor
    /// where there is none.
    fn may_confirm(&self, task: Task<'_>) -> bool {
        let varies = self.port.is_none() && !matches!(self.probe, ProbeType::Protocol(_));
        varies && !matches!(task, Task::Paths(_))
    }
}

/// A link that is open, and what goes with it.
pub(super) struct Opened<L> {
    pub link: L,
    pub config: TraceConfig,
    pub interface: Interface,
    /// The interface that probes are to leave by.
    pub leaves_by: Untrusted,
    /// The longest datagram that the first link takes, or that is asked for.
    pub largest: u16,
    /// The names of the interfaces of this host by their numbers, where the report may tell of several.
    pub interfaces: BTreeMap<u32, Untrusted>,
    pub prepared: Option<Prepared>,
}

/// What is before a "%" in the name of a target, and the interface after it.
fn host_and_zone(name: &str) -> anyhow::Result<(&str, Option<&str>)> {
    let (host, zone) = match name.split_once('%') {
        Some((host, zone)) => (host, Some(zone)),
        None => (name, None),
    };
    if host.is_empty() || zone == Some("") {
        bail!("{name} is not a target: an address with its interface is written as fe80::1%eth0");
    }
    Ok((host, zone))
}

/// Opens all that takes privilege. What the target's name stands for is asked of `resolvers`, or of others of that kind.
pub(super) fn open_live(
    args: &TraceArgs,
    task: Task<'_>,
    name: &str,
    resolvers: Option<&Resolvers>,
) -> anyhow::Result<Opened<LiveLink>> {
    let stamping = Stamping::ask();
    let (host, zone) = host_and_zone(name)?;
    let target = target::resolve(host, &args.options, |name| {
        if let Some(resolvers) = resolvers {
            return Ok(resolvers.host(name)?);
        }
        let resolvers = Resolvers::start(args.lookups.resolver, DEFAULT_WAIT, complain)?;
        let found = resolvers.host(name);
        resolvers.end();
        Ok(found?)
    })?;
    let TraceOptions { iface, .. } = &args.options;
    let wanted = Wanted::of(args, task);
    if task.earlier().is_none() {
        // Before a route is waited for; where probes leave from makes no difference.
        let flow = Flow { source: target, target, probe: wanted.probe, ident: 1 };
        configure(args, task, name, &flow, Randomness::of_seed(0))?;
    }
    let find = || route::resolve(target, zone, iface.as_deref(), wanted.source);
    let route = awaiting::route(target, task.watch(), find)
        .map_err(|error| hints::of_route(error, iface.as_deref()))?;
    let any = iface.as_deref() == Some(route::ANY);
    let clock = args.clock.unwrap_or_default();
    if any && clock == Clock::Hardware {
        bail!("--clock hardware is the clock of one interface: choose it with -i, not any");
    }
    let route_is_chosen = route.bound_to.is_some();
    let of_all_paths = matches!(task, Task::Paths(_));
    if of_all_paths && !route_is_chosen {
        hints::of_balancing(target);
    }
    let address = args.pcap.is_some().then(|| route.interface.address(target)).flatten();
    let neighbours = neighbours(&route, (args.pcap.is_some() || of_all_paths) && !any);
    let interfaces = if of_all_paths { names_of(&neighbours) } else { BTreeMap::new() };
    let leaves_by = Untrusted::from(route.interface.name.as_str());
    let (source, mtu) = (route.source, route.interface.mtu);
    let mut interface = Interface {
        name: if any { route::ANY } else { &route.interface.name }.into(),
        address: address.map(|net| (net.ip(), net.prefix())),
        link: route.interface.link,
    };
    let probe = wanted.probe;
    let protocol = probe.protocol(Family::of(target));
    let any_source_port = matches!(task, Task::Paths(_)) && probe == ProbeType::TcpSyn;
    let asked = LiveConfig {
        route,
        target,
        protocol,
        source_port: wanted.port,
        any_source_port,
        as_such: matches!(probe, ProbeType::Protocol(_)),
        confirming: wanted.may_confirm(task),
        alone: route_is_chosen || clock == Clock::Hardware,
        any,
        clock,
        survive_link_down: task.watch().is_some(),
    };
    let link = privilege::raised(|| LiveLink::open(&asked, stamping))?;
    let link = match task.earlier() {
        Some(earlier) => link.going_on(earlier.last, earlier.clock_offset),
        None => link,
    };
    interface.link = link.link_type();
    let ident = wanted.ident.unwrap_or(link.ident());
    let flow = Flow { source, target, probe, ident };
    let randomness = Randomness::of_kernel()?;
    let mut config = configure(args, task, name, &flow, randomness)?;
    let confirmation = |ident| Confirmation { ident, seed: randomness.seed };
    config.confirmation = link.second_ident().map(confirmation);
    let largest = largest(&mut config, mtu);
    if u32::from(config.packet_len) > mtu {
        let (len, name) = (config.packet_len, interface.name.shown());
        bail!("{len} bytes are more than the MTU of {name}: ask for at most {mtu}");
    }
    let destination = open_destination(args, task)?;
    let prepared = prepare_tape(destination, args, task, &config, (&interface, neighbours))?;
    Ok(Opened { link, config, interface, leaves_by, largest, interfaces, prepared })
}

/// What a recording is to know of the other interfaces of this host, if that is asked for.
fn neighbours(route: &Route, wanted: bool) -> Neighbours {
    let others = if wanted { route::interfaces(route.source) } else { Vec::new() };
    let others = others.into_iter().map(|(index, name, address)| {
        let name = name.as_str().into();
        (index, Interface { name, address, link: LinkType::Raw })
    });
    // Frames of `any` are cooked, and of one interface.
    let first = if wanted { route.interface.index } else { 0 };
    Neighbours { first, others: others.collect() }
}

/// The names of all interfaces, as a recording says them.
fn names_of(neighbours: &Neighbours) -> BTreeMap<u32, Untrusted> {
    let names = neighbours.others.iter();
    names.map(|(index, interface)| (*index, interface.name.shown().into())).collect()
}

fn live(args: &TraceArgs, task: Task<'_>, name: &str) -> anyhow::Result<Status> {
    let resolvers = args.lookups.resolvers(!args.output.numeric, DEFAULT_WAIT)?;
    let Opened { mut link, config, interface, leaves_by, largest, interfaces, prepared } =
        open_live(args, task, name, resolvers.as_ref())?;
    let facts_to = facts::open_stats(args)?;
    let files = args.lookups.open()?;
    let server = task.watch().map(Watch::listen).transpose()?.flatten();
    sandbox::enter(&Profile {
        network: true,
        serves: server.is_some(),
        rotates_in: prepared.as_ref().and_then(Prepared::directory),
        asks: resolvers.as_ref(),
        ..Profile::default()
    })?;
    let databases = files.read()?;
    let tape = prepared.map(|prepared| prepared.begin(link.now())).transpose()?;
    let meter = watch::serve(server, &[&config])?.pop().flatten();

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
    let mut session = session(args, task, &config, annotations)?
        .recording_to(tape)
        .metered_by(meter)
        .interrupted_by(interrupt);
    session.facts_mut().interface = interface.name.clone();
    let mut engine = task.measurement(&config).active(config, largest)?;
    let status = session.run(&mut *engine, &mut link);
    resolvers.iter().for_each(Resolvers::stop);

    let silence = engine.path().totals.is_lacking();
    facts::account(&mut session, &mut link, (interface.name, &leaves_by), silence);
    finish(&mut session, &link, facts_to, status)
}

/// The text of a topology; the built-in one has none.
pub(super) fn read_topology(file: &Path) -> anyhow::Result<Option<String>> {
    if file == Path::new(BUILT_IN) {
        return Ok(None);
    }
    super::read_text(file).map(Some).with_context(|| format!("cannot read {}", file.display()))
}

/// The simulated network, with the recording of what happens there.
pub(super) fn open_simulated(
    args: &TraceArgs,
    task: Task<'_>,
    name: &str,
    (file, text): (&Path, Option<&str>),
    destination: Option<Destination>,
) -> anyhow::Result<Opened<SimLink>> {
    let topology = match text {
        None => Topology::builtin(),
        Some(text) => Topology::parse(text, &file.display().to_string())?,
    };
    let names = topology.names();
    let (asked, of_name) = (args.options.family(), target::family(&args.options)?);
    let is_of = |address: &IpAddr, family: Option<Family>| {
        family.is_none_or(|family| family == Family::of(*address))
    };
    let mut known =
        names.iter().filter(|(address, known)| *known == name && is_of(address, of_name));
    let target = match known.next() {
        Some((address, _)) => *address,
        None => name.parse().ok().filter(|it| is_of(it, asked)).ok_or_else(|| {
            let kind = match asked {
                Some(Family::V4) => "an IPv4 address",
                Some(Family::V6) => "an IPv6 address",
                None => "an address",
            };
            anyhow!(
                "{name} is neither {kind} nor a name in the simulated network: try target.example"
            )
        })?,
    };
    let wanted = Wanted::of(args, task);
    target::check(target)?;
    let iface = args.options.iface.as_deref();
    if let Some(name) = iface.filter(|name| ![SIMULATED, route::ANY].contains(name)) {
        return Err(hints::of_simulated_interface(name));
    }
    if let Some(address) = wanted.source.filter(|it| it.is_ipv4() != target.is_ipv4()) {
        let family = if target.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(RouteError::OtherFamily { address, target, family }.into());
    }
    let source = wanted.source.unwrap_or(topology.source_for(target));
    let randomness = Randomness::of_seed(topology.seed());
    let ident = wanted.ident.or(wanted.port).unwrap_or(randomness.ident);
    let flow = Flow { source, target, probe: wanted.probe, ident };
    let mut config = configure(args, task, name, &flow, randomness)?;
    if wanted.may_confirm(task) {
        config.confirmation = Some(Confirmation { ident: ident ^ 0x101, seed: randomness.seed });
    }
    let largest = largest(&mut config, SIMULATED_MTU);
    let link = SimLink::new(topology).starting_at(task.earlier().map_or(START, Earlier::over));
    let interface = Interface {
        name: SIMULATED.into(),
        address: Some((source, if source.is_ipv4() { 32 } else { 128 })),
        link: LinkType::Raw,
    };
    let prepared =
        prepare_tape(destination, args, task, &config, (&interface, Neighbours::default()))?;
    let leaves_by = interface.name.clone();
    let interfaces = BTreeMap::from([(0, leaves_by.clone())]);
    Ok(Opened { link, config, interface, leaves_by, largest, interfaces, prepared })
}

fn simulate(args: &TraceArgs, task: Task<'_>, name: &str, file: &Path) -> anyhow::Result<Status> {
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
    let Opened { mut link, config, prepared, interfaces, largest, .. } =
        open_simulated(args, task, name, topology, destination)?;
    let names = Names::fixed(link.topology().names().clone());
    let (databases, resolvers) = (files.read()?, resolvers.as_ref());
    let mut annotations =
        args.lookups.annotations(Some(names), &databases, resolvers, || (), DEFAULT_WAIT);
    annotations.interfaces = interfaces;
    let tape = prepared.map(|prepared| prepared.begin(link.now())).transpose()?;
    let meter = watch::serve(server, &[&config])?.pop().flatten();
    let interrupt = Interrupt::install(None).context("cannot take over Ctrl-C")?;
    let mut session = session(args, task, &config, annotations)?
        .recording_to(tape)
        .metered_by(meter)
        .interrupted_by(interrupt);
    let mut engine = task.measurement(&config).active(config, largest)?;
    let status = session.run(&mut *engine, &mut link);
    let facts = session.facts_mut();
    (facts.link, facts.interface, facts.clock) =
        (SIMULATED, SIMULATED.into(), "virtual time".into());
    finish(&mut session, &link, facts_to, status)
}

/// The run of one trace, or of rounds of it.
fn session(
    args: &TraceArgs,
    task: Task<'_>,
    config: &TraceConfig,
    annotations: Annotations,
) -> anyhow::Result<Session> {
    let to_stderr = is_stdout(args.pcap.as_deref());
    let look_up = !args.output.numeric;
    let output = args.output.of(&task.measurement(config))?;
    let renderer = output.renderer(task.look(args.output), report_out(to_stderr));
    let frames = |earlier: &Earlier| earlier.frames(&annotations.interfaces);
    let earlier = task.earlier().map(frames).transpose()?;
    let session = Session::with_renderer(config, renderer, annotations, look_up);
    Ok(session.going_on_from(earlier))
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

/// Opens what the recording goes to, if there is to be one.
pub(super) fn open_destination(
    args: &TraceArgs,
    task: Task<'_>,
) -> anyhow::Result<Option<Destination>> {
    let rotate = task.watch().map(|watch| watch.rotate);
    args.pcap.as_deref().map(|path| Destination::open(path, rotate)).transpose()
}

/// Prepares the recording, if there is to be one.
fn prepare_tape(
    destination: Option<Destination>,
    args: &TraceArgs,
    task: Task<'_>,
    config: &TraceConfig,
    (interface, neighbours): (&Interface, Neighbours),
) -> anyhow::Result<Option<Prepared>> {
    let carried = || RecordingMetadata {
        look: args.output.recorded(),
        ..RecordingMetadata::of(config.clone(), task.measurement(config))
    };
    destination.map(|to| Prepared::new(to, carried(), (interface.clone(), neighbours))).transpose()
}
