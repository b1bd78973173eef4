//! Two maps of all paths.

use rtrace::compare::maps::compare;

use super::compared::{WAYS, become_otherwise, networks, port, seeds};
use super::simulated::{Kind, config, map};

pub fn unchanged() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (name, network) in networks() {
        for percent in [95.0, 99.0] {
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
        for how in WAYS {
            for percent in [95.0, 99.0] {
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
