//! Opens targets in the network of this host.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::IpAddr;

use anyhow::bail;

use super::configure::{configure, configure_for, largest};
use super::flags::{LinkChoice, TraceArgs};
use super::opened::{Opened, Target, Wanted, check_targets, open_destination, prepare_tape};
use super::randomness::Randomness;
use super::recorder::is_stdout;
use super::task::Task;
use super::{awaiting, complain, hints, target};
use crate::capture::{Format, Interface, Neighbours};
use crate::enrich::names::DEFAULT_WAIT;
use crate::link::live::route::{self, Route};
use crate::link::live::{Clock, LiveConfig, LiveLink, LiveTarget, OpenError, Stamping};
use crate::privilege;
use crate::probe::{Flow, ProbeType};
use crate::sandbox::names::Resolvers;
use crate::trace::config::Confirmation;
use crate::untrusted::Untrusted;
use crate::wire::{Evidence, LinkType};

/// Opens everything that needs privileges, for all targets. The names of targets are looked up by `resolvers`, or by
/// new ones of that kind.
pub(super) fn open_live(
    args: &TraceArgs,
    task: Task<'_>,
    names: &[String],
    resolvers: Option<&Resolvers>,
) -> anyhow::Result<Opened<LiveLink>> {
    let stamping = Stamping::ask();
    let wanted = Wanted::of(args, task);
    let addresses: Vec<_> = names
        .iter()
        .map(|name| address_of(args, task, name, &wanted, resolvers))
        .collect::<anyhow::Result<_>>()?;
    check_targets(args, names.iter().map(String::as_str).zip(addresses.iter().copied()))?;
    let mut routed = Vec::new();
    for (name, address) in names.iter().zip(addresses) {
        if let Some(route) = route_to(args, task, (name, address), &wanted, names.len() > 1)? {
            routed.push((name, address, route));
        }
    }
    let [(_, first, first_route), ..] = &routed[..] else {
        bail!("there is a route to none of the targets: see ip route get ADDRESS");
    };
    let (first, first_route) = (*first, first_route.clone());
    let iface = &args.options.iface;
    let any = iface.as_deref() == Some(route::ANY);
    let clock = args.clock.unwrap_or_default();
    if any && clock == Clock::Hardware {
        bail!("--clock hardware is the clock of one interface: choose it with -i, not any");
    }
    let route_is_chosen = first_route.bound_to.is_some();
    let of_all_paths = matches!(task, Task::Paths(_));
    if of_all_paths && !route_is_chosen {
        hints::of_balancing(first);
    }
    let address = args.pcap.is_some().then(|| first_route.interface.address(first)).flatten();
    let with_others = args.pcap.is_some() || of_all_paths || routed.len() > 1;
    let neighbours = neighbours(&first_route, with_others && !any);
    let interfaces = if of_all_paths { names_of(&neighbours) } else { BTreeMap::new() };
    let leaves_by = Untrusted::from(first_route.interface.name.as_str());
    let mut interface = Interface {
        name: if any { route::ANY } else { &first_route.interface.name }.into(),
        address: address.map(|net| (net.ip(), net.prefix())),
        link: first_route.interface.link,
    };
    let target = |(_, address, route): &(&String, IpAddr, Route)| LiveTarget {
        route: route.clone(),
        address: *address,
        source_port: wanted.port,
    };
    let asked = LiveConfig {
        targets: routed.iter().map(target).collect(),
        probe: wanted.probe,
        any_source_port: of_all_paths && wanted.probe == ProbeType::TcpSyn,
        confirming: wanted.may_confirm(task),
        alone: route_is_chosen || clock == Clock::Hardware,
        any,
        clock,
        survive_link_down: task.watch().is_some(),
    };
    let link = open_link(args.link.unwrap_or_default(), &asked, stamping)?;
    check_recording(args, link.evidence())?;
    let link = match task.earlier() {
        Some(earlier) => link.going_on(earlier.last, earlier.clock_offset),
        None => link,
    };
    interface.link = link.link_type(0);
    let mut targets = Vec::new();
    for (place, (name, address, route)) in routed.iter().enumerate() {
        let ident = wanted.ident.unwrap_or(link.ident(place));
        let (source, mtu) = (route.source, route.interface.mtu);
        let flow = Flow { source, target: *address, probe: wanted.probe, ident };
        let randomness = Randomness::of_kernel()?;
        let mut config = configure_for(args, task, name, &flow, (randomness, link.evidence()))?;
        let confirmation = |ident| Confirmation { ident, seed: randomness.seed };
        config.confirmation = link.second_ident(place).map(confirmation);
        let largest = largest(&mut config, mtu);
        if u32::from(config.packet_len) > mtu {
            let (len, name) = (config.packet_len, Untrusted::from(&*route.interface.name));
            bail!("{len} bytes are more than the MTU of {}: choose at most {mtu}", name.shown());
        }
        targets.push(Target { config, largest });
    }
    let destination = open_destination(args, task)?;
    let prepared = prepare_tape(destination, args, task, &targets, (&interface, neighbours))?;
    let left_out = names.len() - routed.len();
    Ok(Opened { link, targets, interface, leaves_by, interfaces, prepared, left_out })
}

/// Opens the link that was chosen. Who may not capture packets gets the other one, by default.
fn open_link(
    choice: LinkChoice,
    asked: &LiveConfig,
    stamping: Stamping,
) -> Result<LiveLink, OpenError> {
    let packets = |stamping| privilege::raised(|| LiveLink::open(asked, stamping));
    let (link, is_chosen) = match choice {
        LinkChoice::Packet => return packets(stamping),
        LinkChoice::Socket => (LiveLink::open_unprivileged(asked, stamping)?, true),
        LinkChoice::Auto => match packets(stamping) {
            Err(OpenError::Privilege { .. }) => {
                (LiveLink::open_unprivileged(asked, Stamping::ask())?, false)
            }
            opened => return opened,
        },
    };
    if !is_chosen && std::io::stderr().is_terminal() {
        complain(RECONSTRUCTED);
    }
    link.lacking().iter().for_each(|what| complain(what));
    Ok(link)
}

/// What a user who may not capture packets is told, once a run.
const RECONSTRUCTED: &str =
    "not root: replies are reconstructed from kernel reports; sudo or setcap for full capture";

/// Refuses to record in a file that cannot say what its frames are.
fn check_recording(args: &TraceArgs, evidence: Evidence) -> anyhow::Result<()> {
    let Some(path) = &args.pcap else { return Ok(()) };
    if evidence == Evidence::Reconstructed && Format::from_path(path) == Format::Pcap {
        let instead = if is_stdout(Some(path)) {
            "name a file.pcapng".to_owned()
        } else {
            format!("name it {}", path.with_extension("pcapng").display())
        };
        bail!(
            "--pcap {}: a classic pcap cannot say that replies are reconstructed from kernel reports: \
             {instead}, or run with sudo",
            path.display()
        );
    }
    Ok(())
}

/// The address that a name stands for.
fn address_of(
    args: &TraceArgs,
    task: Task<'_>,
    name: &str,
    wanted: &Wanted,
    resolvers: Option<&Resolvers>,
) -> anyhow::Result<IpAddr> {
    let (host, _) = host_and_zone(name)?;
    let target = target::resolve(host, &args.options, |name| {
        if let Some(resolvers) = resolvers {
            return Ok(resolvers.host(name)?);
        }
        let resolvers = Resolvers::start(args.lookups.resolver, DEFAULT_WAIT, complain)?;
        let found = resolvers.host(name);
        resolvers.end();
        Ok(found?)
    })?;
    if task.earlier().is_none() {
        // This comes before waiting for a route; the source of the probes makes no difference.
        let flow = Flow { source: target, target, probe: wanted.probe, ident: 1 };
        configure(args, task, name, &flow, Randomness::of_seed(0))?;
    }
    Ok(target)
}

/// The route to a target; `None` if it is one of several and there is no route to it now, so that the others need not wait.
fn route_to(
    args: &TraceArgs,
    task: Task<'_>,
    (name, target): (&str, IpAddr),
    wanted: &Wanted,
    several: bool,
) -> anyhow::Result<Option<Route>> {
    let (_, zone) = host_and_zone(name)?;
    let iface = args.options.iface.as_deref();
    let find = || route::resolve(target, zone, iface, wanted.source);
    if several {
        return match find() {
            Err(error) if awaiting::may_come(&error) => {
                complain(&format!("{name} is left out: {}", hints::of_route(error, iface)));
                Ok(None)
            }
            found => Ok(Some(found.map_err(|error| hints::of_route(error, iface))?)),
        };
    }
    let route = awaiting::route(target, task.watch(), find);
    Ok(Some(route.map_err(|error| hints::of_route(error, iface))?))
}

/// The other interfaces of this host that a recording describes, if asked for.
fn neighbours(route: &Route, wanted: bool) -> Neighbours {
    let others = if wanted { route::interfaces(route.source) } else { Vec::new() };
    let others = others.into_iter().map(|(index, name, address)| {
        let name = name.as_str().into();
        (index, Interface { name, address, link: LinkType::Raw })
    });
    // Frames of `any` are cooked, and so come from one interface.
    let first = if wanted { route.interface.index } else { 0 };
    Neighbours { first, others: others.collect() }
}

/// The names of all interfaces, as a recording gives them.
fn names_of(neighbours: &Neighbours) -> BTreeMap<u32, Untrusted> {
    let names = neighbours.others.iter();
    names.map(|(index, interface)| (*index, interface.name.shown().into())).collect()
}

/// The host and the interface in the name of a target, which a "%" separates.
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
