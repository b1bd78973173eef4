//! Links and routers of `rtrace paths` held against the simulated networks that they were found in; `examples/links` does so in
//! hundreds of runs of each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rtrace::trace::paths::{Plan, Reason};

use truth::{BY_FLOW, BY_PACKET, Shape, Verdict, address, run};

#[path = "../../examples/links/truth.rs"]
mod truth;

/// All runs of these shapes with these seeds, with this line for each router.
fn judged(shapes: &[Shape], seeds: &[u64], line: &str) -> Verdict {
    let mut sum = Verdict::default();
    for (shape, seed) in
        shapes.iter().flat_map(|shape| seeds.iter().map(move |seed| (shape, *seed)))
    {
        let topology = shape.topology(seed, |_| line.to_owned());
        let verdict = Verdict::of(shape, &topology, &run(topology.clone(), Plan::default()));
        assert_eq!(
            (verdict.made_up, verdict.miscounted),
            (0, 0),
            "{} {seed} {line}: {verdict:?}",
            shape.name
        );
        sum.add(&verdict);
    }
    sum
}

/// A link is certain if one flow was seen at both its ends; its flows are those that were.
#[test]
fn certain_links_are_there_and_were_taken() {
    let none = judged(&BY_FLOW, &[1, 8], "");
    assert!(none.found * 100 >= none.truth * 97, "{none:?}");
    assert!(none.certain == none.found && none.probes < 2_000, "{none:?}");
    let lost = judged(&BY_FLOW, &[3, 4], "reply_loss = 0.2\n");
    assert!(lost.found * 100 >= lost.truth * 95, "{lost:?}");
    judged(&BY_FLOW, &[2], "rate = { per_second = 10, burst = 10 }\n");
}

/// Before a router that chooses for each packet is known for one, its links look like those of flows.
#[test]
fn links_of_packets_that_part_are_uncertain() {
    let parted = judged(&BY_PACKET, &[3, 4, 9], "");
    assert!(parted.drawn * 100 >= parted.truth * 70 && parted.found > 0, "{parted:?}");
    judged(&BY_PACKET, &[5], "reply_loss = 0.2\n");
}

/// A hop of two routers of which all first flows pass one: that was the only one of its hop, and the links of the other were its own.
#[test]
fn a_router_that_was_missed_lends_no_link_to_another() {
    let shape = BY_FLOW[1];
    let mut missed = 0;
    for seed in 1..=12 {
        let plan = Plan::default();
        let topology = shape.topology(seed, |_| String::new());
        let done = run(topology.clone(), plan);
        let verdict = Verdict::of(&shape, &topology, &done);
        assert_eq!((verdict.made_up, verdict.miscounted), (0, 0), "{seed}: {verdict:?}");
        missed += verdict.truth - verdict.found;
    }
    assert!(missed <= 13, "{missed}: about as often as the rule says");
}

/// All routers count together, as behind a NAT: that proves nothing, and hides no choice for each packet.
#[test]
fn a_counter_that_other_hops_share_merges_nobody() {
    for shape in &BY_PACKET {
        let topology = shape.topology(6, |_| "counter = 1\n".to_owned());
        let network = run(topology, Plan::default()).network;
        assert!(network.aliases.is_empty(), "{}", shape.name);
        assert!(network.routers.iter().all(|router| router.also.is_empty()), "{}", shape.name);
        let chooses = network.routers.iter().filter(|router| router.per_packet);
        let chooses: BTreeSet<IpAddr> = chooses.filter_map(|router| router.address).collect();
        assert_eq!(chooses, shape.per_packet.chars().map(address).collect(), "{}", shape.name);
        assert!(!network.unclear.is_empty(), "{}", shape.name);
        for unclear in &network.unclear {
            assert_eq!(unclear.reason, Reason::SharedCounter, "{}", shape.name);
            assert!(!unclear.with.is_empty());
        }
    }
}

/// Routers side by side, which share a counter with one at another hop that none of their flows passes.
#[test]
fn a_counter_that_another_branch_shares_proves_nothing() {
    for (shape, letters) in
        [(BY_PACKET[1], "cdef"), (BY_PACKET[2], "cde"), (BY_PACKET[2], "fgh"), (BY_FLOW[1], "cde")]
    {
        for seed in 1..=4 {
            let shared = |letter| if letters.contains(letter) { "counter = 1\n" } else { "" };
            let topology = shape.topology(seed, |letter| shared(letter).to_owned());
            let network = run(topology, Plan::default()).network;
            let several = network.routers.iter().filter(|it| !it.also.is_empty()).count();
            assert_eq!((network.aliases.len(), several), (0, 0), "{} {letters} {seed}", shape.name);
        }
    }
}

/// Routers side by side by the flow, which share a counter with the router after them.
#[test]
fn a_counter_that_is_shared_along_the_path_proves_nothing() {
    let shape = BY_FLOW[0];
    let shared = |letter| if "efghijk".contains(letter) { "counter = 1\n" } else { "" };
    let done = run(shape.topology(2, |letter| shared(letter).to_owned()), Plan::default());
    assert!(done.network.aliases.is_empty(), "{:?}", done.network.aliases);
    assert!(done.network.unclear.iter().any(|it| it.reason == Reason::SharedCounter));
}
