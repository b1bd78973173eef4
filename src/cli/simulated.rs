//! Opens targets in a simulated network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, anyhow};

use super::configure::{configure_for, largest};
use super::earlier::Earlier;
use super::flags::{BUILT_IN, TraceArgs};
use super::opened::{Opened, Target, Wanted, check_targets, prepare_tape};
use super::randomness::Randomness;
use super::recorder::Destination;
use super::task::Task;
use super::{hints, target};
use crate::capture::{Interface, Neighbours};
use crate::link::live::route::{self, RouteError};
use crate::link::sim::{START, SimLink, Topology};
use crate::probe::Flow;
use crate::trace::config::Confirmation;
use crate::wire::LinkType;
use crate::wire::extension::Family;

/// The MTU of the first link of a simulated network, as of Ethernet.
const SIMULATED_MTU: u32 = 1_500;
/// The name of the interface of the simulated host.
pub(super) const SIMULATED: &str = "simulated";

/// The text of a topology; `None` for the built-in one.
pub(super) fn read_topology(file: &Path) -> anyhow::Result<Option<String>> {
    if file == Path::new(BUILT_IN) {
        return Ok(None);
    }
    super::read_text(file).map(Some).with_context(|| format!("cannot read {}", file.display()))
}

/// Opens the simulated network, and the recording of the run.
pub(super) fn open_simulated(
    args: &TraceArgs,
    task: Task<'_>,
    names: &[String],
    (file, text): (&Path, Option<&str>),
    destination: Option<Destination>,
) -> anyhow::Result<Opened<SimLink>> {
    let topology = match text {
        None => Topology::builtin(),
        Some(text) => Topology::parse(text, &file.display().to_string())?,
    };
    let targets: Vec<_> = (0..)
        .zip(names)
        .map(|(place, name)| simulated_target(args, task, name, &topology, place))
        .collect::<anyhow::Result<_>>()?;
    let addresses = targets.iter().map(|it: &Target| it.config.target);
    check_targets(args, names.iter().map(String::as_str).zip(addresses))?;
    let source = targets.first().map_or(topology.source().into(), |it| it.config.source);
    let link = SimLink::new(topology).starting_at(task.earlier().map_or(START, Earlier::over));
    let interface = Interface {
        name: SIMULATED.into(),
        address: Some((source, if source.is_ipv4() { 32 } else { 128 })),
        link: LinkType::Raw,
    };
    let prepared =
        prepare_tape(destination, args, task, &targets, (&interface, Neighbours::default()))?;
    let leaves_by = interface.name.clone();
    let interfaces = BTreeMap::from([(0, leaves_by.clone())]);
    Ok(Opened { link, targets, interface, leaves_by, interfaces, prepared, left_out: 0 })
}

/// A target in the simulated network, at this position among all targets.
fn simulated_target(
    args: &TraceArgs,
    task: Task<'_>,
    name: &str,
    topology: &Topology,
    place: u16,
) -> anyhow::Result<Target> {
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
    let first = wanted.ident.or(wanted.port).unwrap_or(randomness.ident);
    // Each target has its own identifier.
    let own = |ident: u16| ident.wrapping_add(place).max(1);
    let flow = Flow { source, target, probe: wanted.probe, ident: own(first) };
    let mut config = configure_for(args, task, name, &flow, (randomness, topology.evidence()))?;
    if wanted.may_confirm(task) {
        let ident = own(first ^ 0x101);
        config.confirmation = Some(Confirmation { ident, seed: randomness.seed });
    }
    let largest = largest(&mut config, SIMULATED_MTU);
    Ok(Target { config, largest })
}
