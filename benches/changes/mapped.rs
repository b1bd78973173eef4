//! Two maps of all paths.

use rtrace::compare::maps::compare;

use super::compared::{WAYS, become_otherwise, networks, port, seeds};
use super::simulated::{Kind, Network, config, map};

/// The first of the balanced routers of each hop has this multiple of the others' share.
fn variable_queries() -> impl Iterator<Item = (String, Network)> {
    let widths = [2, 3, 4, 8].into_iter().flat_map(|width| [1, 4].map(|stages| (width, stages)));
    let weighted = widths.flat_map(|kind| [2, 3, 5, 10].map(|weight| (kind, weight)));
    weighted.map(|((width, stages), weight)| {
        let name = format!("{width}-wide at {stages} by flow, the first {weight} times");
        (name, Network { weight, ..Network::balanced(width, stages) })
    })
}

pub fn unchanged() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (name, network) in networks().into_iter().chain(variable_queries()) {
        for percent in [95.0, 99.0, 99.9, 99.99] {
            let network = network.clone();
            let says = move |run| {
                let [before, after] = seeds(run).map(|seed| {
                    map(&network.with_seed(seed), &config(3, port(seed), false), percent)
                });
                compare(&before, &after).changed
            };
            kinds.push(Kind(format!("{name}, {percent} %"), Box::new(says)));
        }
    }
    kinds
}

pub fn changed() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (name, network) in networks().into_iter().filter(|(_, it)| !it.limited && !it.by_packet) {
        let narrower = ("one branch less", &[99.0, 99.9, 99.99, 99.999][..]);
        for (how, percents) in
            WAYS.map(|how| (how, &[95.0, 99.0][..])).into_iter().chain([narrower])
        {
            for percent in percents.iter().copied() {
                let (network, other) = (network.clone(), become_otherwise(&network, how));
                let says = move |run| {
                    let [one, two] = seeds(run);
                    let networks = [(&network, one), (&other, two)];
                    let [before, after] = networks.map(|(it, seed)| {
                        map(&it.with_seed(seed), &config(3, port(seed), false), percent)
                    });
                    compare(&before, &after).changed
                };
                kinds.push(Kind(format!("{how}: {name}, {percent} %"), Box::new(says)));
            }
        }
    }
    kinds
}
