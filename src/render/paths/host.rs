//! This host as the first balancer: its exits by name.

use std::collections::{BTreeMap, BTreeSet};

use super::text::ranges;
use crate::render::counted;
use crate::trace::paths::{Exit, Exited, HostRouting, Split};
use crate::untrusted::Untrusted;

/// What recordings call all interfaces together.
const ANY: &str = "any";

/// What this host did with probes that left by several exits.
pub(super) struct Host {
    pub(super) split: Split,
    /// By name; where the route changed, in the order of their use.
    pub(super) exits: Vec<NamedExit>,
}

/// An exit, and what went by it.
pub(super) struct NamedExit {
    /// The interface and, where it has several exits, the next hop.
    pub(super) name: Untrusted,
    pub(super) interface: Untrusted,
    pub(super) next_hop: Option<String>,
    pub(super) flows: BTreeSet<u16>,
    pub(super) probes: u64,
    pub(super) routers: BTreeSet<usize>,
}

impl Host {
    /// This host's routing, with these names of interfaces.
    pub(super) fn of(routing: HostRouting, names: &BTreeMap<u32, Untrusted>) -> Self {
        let HostRouting { split, exits } = routing;
        let mut exits: Vec<NamedExit> =
            exits.into_iter().map(|(exit, exited)| NamedExit::of(exit, exited, names)).collect();
        if split != Split::Time {
            exits.sort_by(|one, other| {
                (&one.interface, &one.next_hop).cmp(&(&other.interface, &other.next_hop))
            });
        }
        let interfaces: Vec<Untrusted> = exits.iter().map(|exit| exit.interface.clone()).collect();
        for exit in &mut exits {
            let several = interfaces.iter().filter(|it| **it == exit.interface).count() > 1;
            if let Some(next_hop) = exit.next_hop.as_ref().filter(|_| several) {
                exit.name = format!("{} to {next_hop}", exit.interface.shown()).into();
            }
        }
        Self { split, exits }
    }

    /// The names of the exits that lead to this router.
    pub(super) fn exits_to(&self, router: usize) -> Vec<Untrusted> {
        let leading = self.exits.iter().filter(|exit| exit.routers.contains(&router));
        leading.map(|exit| exit.name.clone()).collect()
    }

    /// What it did, after its address.
    pub(super) fn did(&self) -> &'static str {
        match self.split {
            Split::Flow => " balances",
            Split::Packet => " balances ~ per packet",
            Split::Time => " changed its route",
        }
    }

    /// "this host balances: eth0 (12 flows) -> #1; eth1 (9 flows) -> #2".
    pub(super) fn sentence(&self) -> String {
        let exits = self.exits.iter().map(|exit| {
            let routers = ranges(exit.routers.iter().map(|router| router + 1), "#");
            let leads = if routers.is_empty() { String::new() } else { format!(" -> {routers}") };
            let flows = counted(exit.flows.len() as u64, "flow");
            format!("{} ({flows}){leads}", exit.name.shown())
        });
        let between = if self.split == Split::Time { ", then " } else { "; " };
        let exits = exits.collect::<Vec<_>>().join(between);
        let packet = if self.split == Split::Packet { "  ~ per packet" } else { "" };
        let did = if self.split == Split::Time { "changed its route" } else { "balances" };
        format!("this host {did}: {exits}{packet}")
    }
}

impl NamedExit {
    fn of(exit: Exit, exited: Exited, names: &BTreeMap<u32, Untrusted>) -> Self {
        let known = names.get(&exit.interface).filter(|name| name.shown() != ANY);
        let numbered = || format!("interface {}", exit.cooked.unwrap_or(exit.interface)).into();
        let interface: Untrusted = known.cloned().unwrap_or_else(numbered);
        let next_hop =
            exit.next_hop.map(|address| address.map(|octet| format!("{octet:02x}")).join(":"));
        let Exited { flows, probes, routers } = exited;
        Self { name: interface.clone(), interface, next_hop, flows, probes, routers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_named_by_what_tells_them_apart() {
        let exit = |interface, last: u8| Exit {
            interface,
            cooked: None,
            next_hop: Some([2, 0, 0, 0, 0, last]),
        };
        let exited = |flow: u16| Exited {
            flows: BTreeSet::from([flow]),
            probes: 1,
            routers: BTreeSet::from([0]),
        };
        let names = BTreeMap::from([(1, "eth1".into()), (2, "eth0".into()), (4, "any".into())]);
        let sentence = |split, exits: &[(u32, u8)]| {
            let exits = (0..).zip(exits).map(|(flow, it)| (exit(it.0, it.1), exited(flow)));
            Host::of(HostRouting { split, exits: exits.collect() }, &names).sentence()
        };
        let told = sentence(Split::Flow, &[(1, 1), (2, 1)]);
        assert_eq!(told, "this host balances: eth0 (1 flow) -> #1; eth1 (1 flow) -> #1");
        let told = sentence(Split::Packet, &[(1, 1), (1, 2)]);
        let exits =
            "eth1 to 02:00:00:00:00:01 (1 flow) -> #1; eth1 to 02:00:00:00:00:02 (1 flow) -> #1";
        assert_eq!(told, format!("this host balances: {exits}  ~ per packet"));
        let told = sentence(Split::Time, &[(1, 1), (2, 1)]);
        assert_eq!(
            told,
            "this host changed its route: eth1 (1 flow) -> #1, then eth0 (1 flow) -> #1"
        );
        let told = sentence(Split::Flow, &[(3, 1), (4, 1)]);
        assert!(told.starts_with("this host balances: interface 3 (1 flow) -> #1; interface 4"));
    }
}
