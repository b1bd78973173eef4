//! Maps of simulated networks held against what the networks are: by `examples/links` in hundreds of runs, by
//! `tests/suite/links.rs` in a few.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::paths::{Network, Paths, Plan, network};
use rtrace::trace::{Disposition, Engine, Path, TraceConfig};
use rtrace::wire::Frame;

pub const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// A network by the letters of its routers: who leads to whom ("ab>cd": a and b lead to c and d each; T is the target), and who
/// of them chooses for each packet.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub name: &'static str,
    pub links: &'static str,
    pub per_packet: &'static str,
}

const fn shape(name: &'static str, links: &'static str, per_packet: &'static str) -> Shape {
    Shape { name, links, per_packet }
}

/// Diamonds whose routers all choose by the flow.
pub const BY_FLOW: [Shape; 6] = [
    shape("12 addresses", "a>bcd b>ef c>gh d>ij efghij>k k>T", ""),
    shape("2×2 nested", "a>bc b>de c>fg de>h fg>i hi>j j>T", ""),
    shape("lengths 1, 3", "a>bc b>f c>d d>e e>f f>g g>T", ""),
    shape("lengths 1, 2, 3", "a>bcd b>h c>e e>h d>f f>g g>h h>i i>T", ""),
    shape("3×3 meshed", "a>bcd bcd>efg efg>h h>T", ""),
    shape("16 wide", "a>bcdefghijklmnopq bcdefghijklmnopq>r r>T", ""),
];

/// Diamonds in which somebody chooses for each packet.
pub const BY_PACKET: [Shape; 5] = [
    shape("2 by packet", "a>bc b>d c>e de>f f>gh gh>i i>T", "a"),
    shape("12 addresses by packet", "a>bcd b>ef c>gh d>ij efghij>k k>T", "a"),
    shape("one branch by packet", "a>bc b>de c>fg d>h e>i f>j g>k hijk>l l>T", "b"),
    shape("by packet, then by flow", "a>bc b>de c>fg de>h fg>i hi>j j>T", "a"),
    shape("lengths 1, 2 by packet", "a>bc b>d c>e e>d d>f f>T", "a"),
];

/// The address of a router.
pub fn address(letter: char) -> IpAddr {
    let number = u8::try_from(u32::from(letter) - u32::from('a') + 1).unwrap_or(0);
    Ipv4Addr::new(10, 0, number, 1).into()
}

impl Shape {
    /// The letters of its routers, in order.
    pub fn letters(&self) -> BTreeSet<char> {
        self.links.chars().filter(char::is_ascii_lowercase).collect()
    }

    /// As a topology file, with these lines for each router.
    pub fn topology(&self, seed: u64, line: impl Fn(char) -> String) -> Topology {
        let mut text = format!("seed = {seed}\nsource = \"192.0.2.2\"\n");
        for letter in self.letters() {
            let parts = self.links.split(' ').filter_map(|part| part.split_once('>'));
            let next =
                parts.filter(|(from, _)| from.contains(letter)).flat_map(|(_, to)| to.chars());
            let name = |it: char| if it == 'T' { "target".to_owned() } else { it.to_string() };
            let next: Vec<String> = next.map(name).collect();
            let balance = if self.per_packet.contains(letter) { "packet" } else { "flow" };
            let _ = writeln!(
                text,
                "[[hop]]\nname = \"{letter}\"\naddress = \"{}\"\nnext = {next:?}\nbalance = \"{balance}\"\n\
                 delay = \"2ms\"\n{}",
                address(letter),
                line(letter)
            );
        }
        text += "[target]\ndelay = \"2ms\"\n";
        Topology::parse(&text, self.name).unwrap_or_else(|problem| panic!("{problem}"))
    }
}

/// One datagram of each flow that was sent, by its destination port.
#[derive(Default)]
struct Sent(BTreeMap<u16, Vec<u8>>);

impl Observer for Sent {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        if let Disposition::OwnProbe(at) = disposition
            && let Some(probe) = path.probe(at)
        {
            self.0.entry(probe.key.destination_port()).or_insert_with(|| frame.bytes.to_vec());
        }
    }
}

/// What a run came to.
pub struct Run {
    pub network: Network,
    pub path: Path,
    sent: Sent,
}

pub fn run(topology: Topology, plan: Plan) -> Run {
    let config = TraceConfig::new(topology.source().into(), TARGET, 40_000);
    let mut paths = Paths::new(config.clone(), plan).expect("a plan that can be run");
    let mut sent = Sent::default();
    driver::run(&mut paths, &mut SimLink::new(topology), &mut sent).expect("a simulated link");
    let path = paths.path().clone();
    Run { network: network(&config, &plan, &path), path, sent }
}

type Flows = BTreeMap<(IpAddr, IpAddr), BTreeSet<u16>>;

/// The links of a map against those of its network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// Links of the network.
    pub truth: usize,
    /// Links that are drawn as certain.
    pub certain: usize,
    /// Those of those that the network does not have, or that no flow of the run took.
    pub made_up: usize,
    /// Those of them with another number of flows than were answered at both their ends.
    pub miscounted: usize,
    /// Links of the network that are drawn as certain, and those that are drawn.
    pub found: usize,
    pub drawn: usize,
    pub probes: u64,
}

impl Verdict {
    pub fn of(shape: &Shape, topology: &Topology, run: &Run) -> Self {
        let truth = topology.links(TARGET);
        let took = flows_that_took(topology, &run.sent);
        let seen = flows_that_were_seen(&run.path);
        let by_flow = shape.per_packet.is_empty();
        let mut verdict =
            Self { truth: truth.len(), probes: run.path.totals.sent, ..Self::default() };
        for link in &run.network.links {
            let address = |router: usize| run.network.routers.get(router)?.address;
            let Some(ends) = address(link.from).zip(address(link.to)) else {
                // No router of these networks is silent.
                verdict.certain += usize::from(!link.uncertain);
                verdict.made_up += usize::from(!link.uncertain);
                continue;
            };
            verdict.drawn += usize::from(truth.contains(&ends));
            if link.uncertain {
                continue;
            }
            let taken = !by_flow || took.contains_key(&ends);
            let flows = seen.get(&ends).map_or(0, BTreeSet::len);
            verdict.certain += 1;
            verdict.found += usize::from(truth.contains(&ends));
            verdict.made_up += usize::from(!truth.contains(&ends) || !taken);
            verdict.miscounted += usize::from(by_flow && link.flows != flows);
        }
        verdict
    }

    pub fn add(&mut self, other: &Self) {
        self.truth += other.truth;
        self.certain += other.certain;
        self.made_up += other.made_up;
        self.miscounted += other.miscounted;
        self.found += other.found;
        self.drawn += other.drawn;
        self.probes += other.probes;
    }
}

/// The flows that took each link, as the routers of the network choose.
fn flows_that_took(topology: &Topology, sent: &Sent) -> Flows {
    let mut flows = Flows::new();
    for (flow, datagram) in &sent.0 {
        for pair in topology.path_of(datagram).windows(2) {
            if let [Some(from), Some(to)] = pair {
                flows.entry((*from, *to)).or_default().insert(*flow);
            }
        }
    }
    flows
}

/// The flows that were answered from both ends of each link, one TTL after the other.
fn flows_that_were_seen(path: &Path) -> Flows {
    let mut seen: BTreeMap<(u16, u8), IpAddr> = BTreeMap::new();
    for (ttl, probe) in path.probes() {
        if let Some(reply) = probe.replies.first() {
            seen.entry((probe.key.destination_port(), ttl)).or_insert(reply.responder);
        }
    }
    let mut flows = Flows::new();
    for ((flow, ttl), from) in &seen {
        if let Some(to) = seen.get(&(*flow, ttl + 1)).filter(|to| *to != from) {
            flows.entry((*from, *to)).or_default().insert(*flow);
        }
    }
    flows
}
