//! Watches of networks that do not change, and of such that do.

use rtrace::trace::table::Table;

use super::compared::{WAYS, become_otherwise, networks};
use super::simulated::{Kind, Network, config, watch};

/// What a watch came to say.
pub struct Said {
    pub changes: Vec<Told>,
    /// Hops that were called balanced, once for each time.
    pub balanced: Vec<u8>,
}

/// A change that was told: the round in which it happened, and the one with which it was certain.
pub struct Told {
    pub ttl: u8,
    pub round: u64,
    pub judged: u64,
}

pub fn said(
    network: &Network,
    becomes: Option<(u64, &Network)>,
    queries: u16,
    rounds: u64,
) -> Said {
    let mut table = Table::new();
    let config = config(queries, 40_000, false);
    watch(network, becomes, &config, rounds, |event, path| table.handle(Some(event), path));
    let changes = table.changes().iter();
    Said {
        changes: changes
            .map(|it| Told { ttl: it.ttl, round: it.round, judged: it.judged })
            .collect(),
        balanced: table.balanced().iter().map(|it| it.ttl).collect(),
    }
}

pub fn unchanged(rounds: u64) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut all = networks();
    let in_turn = |loss| Network { two_addresses: true, loss, ..Network::balanced(1, 1) };
    all.push(("routers with two addresses".to_owned(), in_turn(0.0)));
    all.push(("routers with two addresses, 20 % loss".to_owned(), in_turn(0.2)));
    for (name, network) in all {
        for queries in [1, 3] {
            let network = network.clone();
            let says = move |run| {
                let said = said(&network.with_seed(run), None, queries, rounds);
                let mut once = said.balanced.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), said.balanced.len(), "told once");
                !said.changes.is_empty()
            };
            kinds.push(Kind(format!("{name}, -q {queries}, {rounds} rounds"), Box::new(says)));
        }
    }
    kinds
}

/// Found within this number of rounds, with the round in which it happened.
pub fn changed(at: u64, within: u64) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (name, network) in networks().into_iter().filter(|(_, it)| !it.limited) {
        for how in WAYS {
            for queries in [1, 3] {
                let (network, other) = (network.clone(), become_otherwise(&network, how));
                let says = move |run| {
                    let (network, other) = (network.with_seed(run), other.with_seed(run + 1_000));
                    let said = said(&network, Some((at, &other)), queries, at + within);
                    // Where a branch or a reply is missing, the first of the new ones comes later.
                    said.changes.iter().any(|it| {
                        (at..at + 3).contains(&it.round) && it.judged < at + within && it.ttl > 0
                    })
                };
                let when = format!("in round {at}, within {within}");
                kinds.push(Kind(format!("{how}: {name}, -q {queries}, {when}"), Box::new(says)));
            }
        }
    }
    kinds
}
