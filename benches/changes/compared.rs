//! Two traces, two recordings of rounds.

use rtrace::compare::compare;

use super::simulated::{Kind, Network, config, rounds, trace};

const WIDTHS: [u8; 4] = [2, 4, 16, 40];
const QUERIES: [u16; 3] = [1, 3, 10];

/// What balances, with what trouble besides.
pub fn networks() -> Vec<(String, Network)> {
    let mut networks = Vec::new();
    for width in WIDTHS {
        for stages in [1, 4] {
            for by_packet in [false, true] {
                for (trouble, loss, limited) in [
                    ("", 0.0, false),
                    (", 5 % loss", 0.05, false),
                    (", 20 % loss", 0.2, false),
                    (", limits", 0.0, true),
                ] {
                    let by = if by_packet { "packet" } else { "flow" };
                    let name = format!("{width}-wide at {stages} by {by}{trouble}");
                    let network = Network::balanced(width, stages);
                    networks.push((name, Network { by_packet, loss, limited, ..network }));
                }
            }
        }
    }
    networks
}

/// Seeds of a run, far from those of others: generators that are seeded alike begin alike.
pub fn seeds(run: u64) -> [u64; 2] {
    [2 * run + 1, 2 * run + 2].map(|number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub fn port(seed: u64) -> u16 {
    u16::try_from(20_000 + seed % 40_000).unwrap()
}

pub fn unchanged() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (name, network) in networks() {
        for queries in QUERIES {
            for paris in [false, true] {
                let network = network.clone();
                let mode = if paris { "paris, same port" } else { "classic" };
                let says = move |run| {
                    let [before, after] = seeds(run).map(|seed| {
                        // One hash of flows where both have the same; else another one is as good as other flows.
                        let hash = if paris && !network.by_packet { run } else { seed };
                        let port = if paris { 40_000 } else { port(seed) };
                        trace(&network.with_seed(hash), &config(queries, port, paris))
                    });
                    compare(&before, &after).changed
                };
                kinds.push(Kind(format!("{name}, -q {queries}, {mode}"), Box::new(says)));
            }
        }
        for queries in [1, 3] {
            let network = network.clone();
            let says = move |run| {
                let [before, after] = seeds(run).map(|seed| {
                    rounds(&network.with_seed(seed), &config(queries, port(seed), false), 10)
                });
                compare(&before, &after).changed
            };
            kinds.push(Kind(format!("{name}, -q {queries}, 10 rounds"), Box::new(says)));
        }
    }
    kinds
}

/// What became of a network.
pub fn become_otherwise(network: &Network, how: &str) -> Network {
    let mut other = network.clone();
    let last = other.hops.len() - 1;
    match how {
        "one router another" => other.hops[6] = (1, 90),
        "two routers others" => (6..8).for_each(|at| other.hops[at] = (1, 90)),
        "three routers others" => [0, 1, 6].iter().for_each(|at| other.hops[*at] = (1, 90)),
        "last hop another" => other.hops[last] = (1, 90),
        "one hop longer" => other.hops.insert(6, (1, 90)),
        "one hop shorter" => drop(other.hops.remove(6)),
        "the balanced hop others" => other.hops[2] = (other.hops[2].0, 90),
        "one branch less" => other.hops[2].0 -= 1,
        _ => unreachable!("{how}"),
    }
    other
}

pub const WAYS: [&str; 7] = [
    "one router another",
    "two routers others",
    "three routers others",
    "last hop another",
    "one hop longer",
    "one hop shorter",
    "the balanced hop others",
];

pub fn changed() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (name, network) in networks().into_iter().filter(|(_, it)| !it.limited) {
        for how in WAYS {
            for queries in [3, 6, 10, 20] {
                let (network, other) = (network.clone(), become_otherwise(&network, how));
                let says = move |run| {
                    let [before, after] = seeds(run);
                    let before =
                        trace(&network.with_seed(before), &config(queries, port(before), false));
                    let after =
                        trace(&other.with_seed(after), &config(queries, port(after), false));
                    compare(&before, &after).changed
                };
                kinds.push(Kind(format!("{how}: {name}, -q {queries}"), Box::new(says)));
            }
        }
    }
    kinds
}
