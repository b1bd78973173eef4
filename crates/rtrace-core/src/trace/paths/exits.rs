//! How the probes of a multipath trace left this host: what its own routing did with them, as their frames prove it.
//!
//! An exit is an interface and, where the link header says one, the machine on the link that a frame was sent to. Where probes left
//! by several exits, this host is the first balancer of the path, or its route changed meanwhile. What its routing table says
//! of next hops that no probe took is not in the frames, and not in here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::network::Network;
use super::plan::{self, Flows};
use super::silence::telling;
use crate::trace::config::TraceConfig;
use crate::trace::path::{Path, ProbeRef};
use crate::wire::{Frame, link};

/// An interface, and a machine on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Exit {
    /// The number of the interface, as frames have it.
    pub interface: u32,
    /// Its number as a cooked frame says it.
    pub cooked: Option<u32>,
    /// The address on the link that frames were sent to.
    pub next_hop: Option<[u8; 6]>,
}

/// What went by one exit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Exited {
    /// The flows.
    pub flows: BTreeSet<u16>,
    /// How many probes.
    pub probes: u64,
    /// The routers of the first hop that it leads to, by their index.
    pub routers: BTreeSet<usize>,
}

/// What decided which exit a probe took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Split {
    /// Its flow: all probes of one flow took one exit.
    Flow,
    /// Nothing that all probes of a flow have in common.
    Packet,
    /// Its time: this host stopped using one exit before it used the next.
    Time,
}

/// What this host did with the probes of a run that left by several exits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct HostRouting {
    /// What decided.
    pub split: Split,
    /// The exits, in the order of their first use.
    pub exits: Vec<(Exit, Exited)>,
}

/// The exits of all probes, in the order of capture.
#[derive(Clone, Debug, Default)]
pub struct Exits(Vec<(ProbeRef, Exit)>);

impl Exits {
    /// Takes note of the frame of a probe on its way out.
    pub fn note(&mut self, frame: &Frame<'_>, at: ProbeRef) {
        let exit = Exit {
            interface: frame.interface,
            cooked: link::cooked_interface(frame.link, frame.bytes),
            next_hop: link::next_hop(frame.link, frame.bytes),
        };
        self.0.push((at, exit));
    }

    /// What they prove of this host; `None` if all probes left by one exit.
    #[must_use]
    pub fn host_routing(
        &self,
        config: &TraceConfig,
        path: &Path,
        network: &Network,
    ) -> Option<HostRouting> {
        let flows = Flows::of(&plan::of_flows(config.clone()));
        let mut exits: Vec<(Exit, Exited)> = Vec::new();
        let mut by_flow: BTreeMap<u16, BTreeSet<Exit>> = BTreeMap::new();
        let (mut turns, mut last) = (0, None);
        for (at, exit) in &self.0 {
            turns += usize::from(last.replace(exit) != Some(exit));
            let known = exits.iter().position(|(known, _)| known == exit).unwrap_or_else(|| {
                exits.push((*exit, Exited::default()));
                exits.len() - 1
            });
            let Some((_, exited)) = exits.get_mut(known) else { continue };
            exited.probes += 1;
            let Some(probe) = path.probe(*at) else { continue };
            let Some(flow) = flows.number(&probe.key) else { continue };
            exited.flows.insert(flow);
            by_flow.entry(flow).or_default().insert(*exit);
            if at.hop_ttl() == Some(config.first_ttl) {
                let responder = telling(probe).map(|reply| reply.responder);
                exited.routers.extend(at_first_hop(network, config.first_ttl, flow, responder));
            }
        }
        if exits.len() < 2 {
            return None;
        }
        let split = match by_flow.values().any(|exits| exits.len() > 1) {
            false => Split::Flow,
            true if turns == exits.len() => Split::Time,
            true => Split::Packet,
        };
        Some(HostRouting { split, exits })
    }
}

/// The router, by its index, whose answer this is to a probe of a flow at the first hop, or that was silent.
fn at_first_hop(network: &Network, ttl: u8, flow: u16, responder: Option<IpAddr>) -> Option<usize> {
    network.routers.iter().position(|router| {
        let has = |address| router.address == Some(address) || router.also.contains(&address);
        let is_it = responder.map_or(router.address.is_none(), has);
        is_it && router.ttls.contains(&ttl) && router.flows.contains(&flow)
    })
}
