//! What the frames of probes say of this host.

use super::*;
use crate::driver::{self, Observer};
use crate::link::sim::{SimLink, Topology};
use crate::trace::Disposition;
use crate::trace::paths::{Paths, Plan, network};
use crate::wire::LinkType;

/// The probes of a run, and what decides by which exit each leaves: its flow, and how many probes left before it.
struct Leaving<F> {
    flows: Flows,
    by: F,
    exits: Exits,
    count: usize,
}

impl<F: Fn(u16, usize) -> (u32, [u8; 6])> Observer for Leaving<F> {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        let Disposition::OwnProbe(at) = disposition else { return };
        let flow = self.flows.number(&path.probe(at).unwrap().key).unwrap();
        let (interface, next_hop) = (self.by)(flow, self.count);
        let bytes = [&next_hop[..], &[0; 6], &[0x08, 0x00], frame.bytes].concat();
        let link = LinkType::Ethernet;
        self.exits.note(&Frame { link, bytes: &bytes, interface, ..*frame }, at);
        self.count += 1;
    }
}

/// What is told of a run over the built-in network.
fn told(by: impl Fn(u16, usize) -> (u32, [u8; 6])) -> Option<HostRouting> {
    let topology = Topology::builtin();
    let target = [203, 0, 113, 9].into();
    let config = plan::of_flows(TraceConfig::new(topology.source().into(), target, 40_000));
    let plan = Plan::default();
    let mut paths = Paths::new(config.clone(), plan).unwrap();
    let flows = Flows::of(&config);
    let mut leaving = Leaving { flows, by, exits: Exits::default(), count: 0 };
    driver::run(&mut paths, &mut SimLink::new(topology), &mut leaving).unwrap();
    let path = crate::trace::Engine::path(&paths);
    leaving.exits.host_routing(&config, path, &network(&config, &plan, path))
}

#[test]
fn several_exits_are_told_with_what_decided() {
    const ONE: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];
    assert_eq!(told(|_, _| (1, ONE)), None);
    for (split, routing) in [
        (Split::Flow, told(|flow, _| (1 + u32::from(flow % 2), ONE))),
        (Split::Packet, told(|_, count| (1 + u32::try_from(count % 2).unwrap(), ONE))),
        (Split::Time, told(|_, count| (1 + u32::from(count > 20), ONE))),
        (Split::Flow, told(|flow, _| (1, if flow % 2 == 0 { ONE } else { OTHER }))),
    ] {
        let routing = routing.unwrap();
        assert_eq!((routing.split, routing.exits.len()), (split, 2), "{routing:?}");
        let [(first, one), (second, other)] = &routing.exits[..] else { panic!() };
        assert!(first < second && one.probes > 0 && other.probes > 0, "{routing:?}");
        assert_eq!(one.flows.is_disjoint(&other.flows), split == Split::Flow, "{routing:?}");
        // They lead to the one router of the first hop.
        assert_eq!(one.routers, BTreeSet::from([0]), "{routing:?}");
    }
}
