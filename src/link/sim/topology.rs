//! The model of a simulated network: places joined by one-way links. How each place behaves is its
//! [`Node`].
//!
//! A topology is a directed graph from the source to the target. Routers are usually added stage by
//! stage (every router of a stage leads to every router of the next), but branches of different
//! length and even loops are allowed: the TTL ends them, as it does in the world. Invariant: place
//! [`SOURCE`] and place [`TARGET`] always exist, and every `next` names an existing place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::attack::Attack;
use super::clock::Setting;
use super::family::Dual;
use super::node::{Balance, Node};
use crate::wire::Evidence;
use crate::wire::extension::Family;

/// Index of the place where probes start.
pub(super) const SOURCE: usize = 0;
/// Index of the place where they are meant to end.
pub(super) const TARGET: usize = 1;

/// The prober's addresses unless the topology names others.
const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2);

/// A node and where it leads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) node: Node,
    pub(super) next: Vec<usize>,
}

/// A whole simulated network. Build one [from TOML](Topology::parse), take the
/// [built-in one](Topology::builtin) or a [random one](Topology::random), or add nodes in code:
///
/// ```
/// use rtrace::link::sim::{Node, Topology};
/// let hop = |last| Node::at([198, 51, 100, last].into());
/// let topology = Topology::new(7)
///     .hop(hop(1).with_address6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()))
///     .stage(vec![hop(2), Node { silent: true, ..hop(3) }])
///     .target(Node::host());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    pub(super) seed: u64,
    pub(super) target: Dual,
    pub(super) names: BTreeMap<IpAddr, String>,
    pub(super) attack: Option<Attack>,
    pub(super) places: Vec<Place>,
    /// How the prober's clock is set meanwhile.
    pub(super) clock: Vec<Setting>,
    /// The prober has no privilege, and probes through sockets.
    pub(super) sockets: bool,
    /// The places of the stage added last.
    frontier: Vec<usize>,
}

impl Topology {
    /// What all that is left to chance begins with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// A prober beside its target, and a seed for all that is left to chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let source =
            Place { node: Node::at(SOURCE_V4).with_address6(SOURCE_V6), next: vec![TARGET] };
        let target = Place { node: Node::host(), next: vec![] };
        Self {
            seed,
            target: Dual::default(),
            names: BTreeMap::new(),
            attack: None,
            places: vec![source, target],
            clock: Vec::new(),
            sockets: false,
            frontier: vec![SOURCE],
        }
    }

    /// One more router in front of the target.
    #[must_use]
    pub fn hop(self, node: Node) -> Self {
        self.stage(vec![node])
    }

    /// Several routers side by side in front of the target; those before them choose.
    #[must_use]
    pub fn stage(mut self, nodes: Vec<Node>) -> Self {
        if !nodes.is_empty() {
            let stage: Vec<_> = (self.places.len()..).take(nodes.len()).collect();
            for before in std::mem::take(&mut self.frontier) {
                self.set_next(before, stage.clone());
            }
            self.places.extend(nodes.into_iter().map(|node| Place { node, next: vec![TARGET] }));
            self.frontier = stage;
        }
        self
    }

    /// How the target behaves. The probes' destination decides which address it has.
    #[must_use]
    pub fn target(mut self, node: Node) -> Self {
        if let Some(place) = self.places.get_mut(TARGET) {
            place.node = node;
        }
        self
    }

    /// Only these addresses are beyond the last router; it answers for any other of their family with
    /// host unreachable.
    #[must_use]
    pub fn target_address(mut self, address: impl Into<Dual>) -> Self {
        self.target = address.into().or(self.target);
        self
    }

    /// How the prober itself chooses when the first stage has several routers.
    #[must_use]
    pub fn first_balance(mut self, balance: Balance) -> Self {
        if let Some(place) = self.places.get_mut(SOURCE) {
            place.node.balance = balance;
        }
        self
    }

    /// The clock that stamps the prober's frames is set, once more.
    #[must_use]
    pub fn clock_set(mut self, setting: Setting) -> Self {
        self.clock.push(setting);
        self
    }

    /// The prober has no privilege: frames are those that its kernel reports to sockets, and the replies among them
    /// [reconstructed](Evidence::Reconstructed).
    #[must_use]
    pub fn through_sockets(self) -> Self {
        Self { sockets: true, ..self }
    }

    /// What the frames of replies are.
    #[must_use]
    pub const fn evidence(&self) -> Evidence {
        if self.sockets { Evidence::Reconstructed } else { Evidence::Captured }
    }

    /// The prober's address, or those of both families.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Dual>) -> Self {
        if let Some(place) = self.places.get_mut(SOURCE) {
            place.node.address = source.into().or(place.node.address);
        }
        self
    }

    /// What a name lookup of this address gives; any text, hostile ones too.
    #[must_use]
    pub fn name(mut self, address: IpAddr, name: impl Into<String>) -> Self {
        self.names.insert(address, name.into());
        self
    }

    /// Who forges answers of the target.
    #[must_use]
    pub fn attacked(mut self, attack: Attack) -> Self {
        self.attack = Some(attack);
        self
    }

    /// The address that probes should be sent from.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        self.source_node().and_then(|node| node.address.v4).unwrap_or(SOURCE_V4)
    }

    /// The address that IPv6 probes should be sent from.
    #[must_use]
    pub fn source6(&self) -> Ipv6Addr {
        self.source_node().and_then(|node| node.address.v6).unwrap_or(SOURCE_V6)
    }

    /// The address that probes to this target should be sent from.
    #[must_use]
    pub fn source_for(&self, target: IpAddr) -> IpAddr {
        if target.is_ipv4() { self.source().into() } else { self.source6().into() }
    }

    fn source_node(&self) -> Option<&Node> {
        self.places.get(SOURCE).map(|place| &place.node)
    }

    /// The names of this network, to be used in place of DNS.
    #[must_use]
    pub fn names(&self) -> &BTreeMap<IpAddr, String> {
        &self.names
    }

    /// The links on all paths to `target`, by the addresses of routers that have one of its family: what a search for all
    /// paths is to find.
    #[must_use]
    pub fn links(&self, target: IpAddr) -> BTreeSet<(IpAddr, IpAddr)> {
        let family = Family::of(target);
        let address = |place: usize| match place {
            TARGET => Some(target),
            place => self.places.get(place)?.node.address.of(family),
        };
        let (mut links, mut seen) = (BTreeSet::new(), BTreeSet::from([SOURCE]));
        let mut open = vec![SOURCE];
        while let Some(from) = open.pop() {
            for to in self.places.get(from).into_iter().flat_map(|place| &place.next) {
                let ends = address(from).zip(address(*to)).filter(|_| from != SOURCE);
                links.extend(ends);
                if seen.insert(*to) {
                    open.push(*to);
                }
            }
        }
        links
    }

    /// Leads from `place` to these places and no other.
    pub(super) fn set_next(&mut self, place: usize, next: Vec<usize>) {
        if let Some(place) = self.places.get_mut(place) {
            place.next = next;
        }
    }

    /// The places of the stage added last: the source, before there is any.
    pub(super) fn last_stage(&self) -> &[usize] {
        &self.frontier
    }
}
