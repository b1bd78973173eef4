//! `rtrace TARGET`: a live trace, or one through a simulated network.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use super::args::{BUILT_IN, OutputOptions, STDERR, TraceArgs};
use super::session::{Session, Tape};
use super::{Status, complain};
use crate::capture::{Format, Interface, Recording};
use crate::enrich::names::{self, Names};
use crate::link::Link;
use crate::link::live::{Interrupt, LiveConfig, LiveLink, route};
use crate::link::sim::{SimLink, Topology};
use crate::privilege;
use crate::recording::Carried;
use crate::trace::{TraceConfig, Tracer};
use crate::wire::{LinkType, ipv4};

/// Source port and first IP-ID of simulated traces, which are the same each time.
const SIMULATED_PORT: u16 = 54_321;

/// Runs the command.
pub fn run(args: &TraceArgs) -> anyhow::Result<Status> {
    let target = args.target.as_deref().unwrap_or_default();
    match &args.simulate {
        Some(topology) => simulate(args, target, topology),
        None => live(args, target),
    }
}

fn live(args: &TraceArgs, name: &str) -> anyhow::Result<Status> {
    let target = resolve(name)?;
    let route = route::resolve(
        target.into(),
        None,
        args.options.iface.as_deref(),
        args.options.source.map(IpAddr::V4),
    )?;
    let mtu = route.interface.mtu;
    let len = args.packet_len.unwrap_or(60);
    if u32::from(len) > mtu {
        let interface = &route.interface.name;
        bail!("{len} bytes are more than the MTU of {interface}: ask for at most {mtu}");
    }
    let any = args.options.iface.as_deref() == Some(route::ANY);
    let IpAddr::V4(source) = route.source else { bail!("{target} has no IPv4 route") };
    let mut interface = Interface {
        name: if any { route::ANY.to_owned() } else { route.interface.name.clone() },
        address: route.interface.address.map(|net| (net.ip(), net.prefix())),
        link: route.interface.link,
        filter: None,
    };
    let source_port = args.options.sport;
    let protocol = ipv4::UDP;
    let mut link =
        LiveLink::open(&LiveConfig { route, target: target.into(), protocol, source_port, any })?;
    interface.link = link.link_type();
    let first_ip_id = fastrand::u16(1..);
    let config = configure(args, name, source, target, link.ident(), first_ip_id)?;
    let tape = open_tape(args, &config, &interface)?;
    let facts_to = open_stats(args)?;
    privilege::drop_for_good()?;

    let waker = link.waker();
    let interrupt = Interrupt::install(&waker).context("cannot take over Ctrl-C")?;
    let names = if args.output.numeric {
        Names::fixed::<&str>([])
    } else {
        Names::new(move || waker.wake(), names::DEFAULT_WAIT)
    };
    let to_stderr = is_stdout(args.pcap.as_deref());
    let mut session = Session::new(&config, &args.output, names, !args.output.numeric, to_stderr)
        .recording_to(tape)
        .interrupted_by(interrupt);
    let status = session.run(&mut Tracer::new(config)?, &mut link);

    let facts = session.facts_mut();
    (facts.link, facts.interface, facts.clock) = ("live", interface.name, link.clock());
    if let Ok(counted) = link.statistics() {
        facts.kernel_received = Some(counted.received);
        facts.kernel_dropped = Some(counted.dropped);
        if counted.dropped > 0 {
            let dropped = counted.dropped;
            complain(&format!(
                "the kernel dropped {dropped} captured frames: replies may be missing"
            ));
        }
    }
    if facts.concerning == 0 && facts.refused == 0 && status == Status::NotReached {
        let name = &facts.interface;
        complain(&format!(
            "no probe was seen leaving {name}: does its next hop answer? See: ip neigh"
        ));
    }
    finish(&mut session, &link, facts_to, status)
}

fn simulate(args: &TraceArgs, name: &str, file: &Path) -> anyhow::Result<Status> {
    let topology = if file == Path::new(BUILT_IN) {
        Topology::builtin()
    } else {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Topology::parse(&text, &file.display().to_string())?
    };
    let names = topology.names().clone();
    let target = match names.iter().find(|(_, known)| *known == name) {
        Some((IpAddr::V4(address), _)) => *address,
        _ => name.parse().map_err(|_| {
            anyhow!("{name} is not an IPv4 address, and no name in the simulated network")
        })?,
    };
    let source = args.options.source.unwrap_or(topology.source());
    let port = args.options.sport.unwrap_or(SIMULATED_PORT);
    let config = configure(args, name, source, target, port, 1)?;
    let mut link = SimLink::new(topology);
    let interface = Interface {
        name: "simulated".into(),
        address: Some((IpAddr::V4(source), 32)),
        link: LinkType::Raw,
        filter: None,
    };
    let tape = open_tape(args, &config, &interface)?;
    let facts_to = open_stats(args)?;
    let to_stderr = is_stdout(args.pcap.as_deref());
    let names = Names::fixed(names);
    let mut session = Session::new(&config, &args.output, names, !args.output.numeric, to_stderr)
        .recording_to(tape);
    let status = session.run(&mut Tracer::new(config)?, &mut link);
    let facts = session.facts_mut();
    (facts.link, facts.interface, facts.clock) = ("simulated", "simulated".into(), "virtual time");
    finish(&mut session, &link, facts_to, status)
}

/// Where the run's facts go.
enum FactsTo {
    Nowhere,
    Stderr,
    File(File),
}

fn finish(
    session: &mut Session,
    link: &dyn Link,
    facts_to: FactsTo,
    status: Status,
) -> anyhow::Result<Status> {
    let closed = session.close_tape(link.now());
    let written = match facts_to {
        FactsTo::Nowhere => Ok(()),
        FactsTo::Stderr => session.facts_mut().write_text(&mut io::stderr().lock()),
        FactsTo::File(mut file) => session.facts_mut().write_json(&mut file),
    };
    written.context("cannot write the statistics")?;
    Ok(if closed { status } else { Status::Failed })
}

fn configure(
    args: &TraceArgs,
    name: &str,
    source: Ipv4Addr,
    target: Ipv4Addr,
    source_port: u16,
    first_ip_id: u16,
) -> anyhow::Result<TraceConfig> {
    let defaults = TraceConfig::new(source, target, source_port);
    let mut config = TraceConfig { target_name: name.to_owned(), first_ip_id, ..defaults };
    args.options.apply(args.packet_len, &mut config);
    config.check()?;
    Ok(config)
}

/// The first IPv4 address of the target.
fn resolve(name: &str) -> anyhow::Result<Ipv4Addr> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    if name.parse::<std::net::Ipv6Addr>().is_ok() {
        bail!("{name} is an IPv6 address: rtrace traces IPv4 only so far");
    }
    let addresses = dns_lookup::lookup_host(name)
        .map_err(io::Error::from)
        .with_context(|| format!("cannot resolve {name}: check the name, or give an address"))?;
    let mut ipv4 = addresses.into_iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    ipv4.next().ok_or_else(|| anyhow!("{name} has no IPv4 address"))
}

fn is_stdout(pcap: Option<&Path>) -> bool {
    pcap == Some(Path::new("-"))
}

/// Begins the recording, so that a path that cannot be written is known before the first probe.
fn open_tape(
    args: &TraceArgs,
    config: &TraceConfig,
    interface: &Interface,
) -> anyhow::Result<Option<Tape>> {
    let Some(path) = args.pcap.as_deref() else { return Ok(None) };
    let (out, name): (Box<dyn Write>, _) = if is_stdout(Some(path)) {
        // Not through `Stdout`, which holds back what follows the last line feed.
        let out = io::stdout().as_fd().try_clone_to_owned().context("cannot use stdout")?;
        (Box::new(File::from(out)), "standard output".to_owned())
    } else {
        let file = create(path).context("cannot begin the recording")?;
        (Box::new(file), path.display().to_string())
    };
    let OutputOptions { numeric, extensions, .. } = args.output;
    let carried = Carried { trace: config.clone(), numeric, extensions };
    let format = Format::from_path(path);
    Ok(Some(Recording::new(out, name, format, interface, &carried.to_comment())?))
}

/// Opened before privileges are dropped, like the recording.
fn open_stats(args: &TraceArgs) -> anyhow::Result<FactsTo> {
    Ok(match args.stats.as_deref() {
        None => FactsTo::Nowhere,
        Some(path) if path == Path::new(STDERR) => FactsTo::Stderr,
        Some(path) => FactsTo::File(create(path).context("cannot begin the statistics")?),
    })
}

/// A new file that belongs to whoever called sudo, if that is how we were called.
fn create(path: &Path) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write to {}", path.display()))?;
    privilege::give_to_invoking_user(&file)
        .with_context(|| format!("cannot give {} to its user", path.display()))?;
    Ok(file)
}
