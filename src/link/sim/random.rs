//! Random topologies, for laws that must hold on any network.
//!
//! Every feature of a [`Node`] turns up among the first few hundred seeds (a test sees to it), each
//! rarely enough that most hops of most topologies still answer.

use std::net::Ipv4Addr;

use super::topology::{
    Balance, Expiry, Forged, Hold, Malformed, Nat, NatQuotes, Node, Ports, Rate, SOURCE, TARGET,
    Topology,
};
use crate::time::Span;

/// Names that some addresses get, hostile ones among them.
const NAMES: &[&str] = &[
    "router.example",
    "xn--bcher-kva.example",
    "\u{1b}[2J\u{1b}]0;owned\u{7}.example",
    "two\nlines\r.example",
    "<script>alert(1)</script>.example",
    "../../etc/passwd",
    "right-to-left-\u{202e}.example",
    "",
];

const MALFORMED: &[Malformed] = &[
    Malformed::Truncated,
    Malformed::BadChecksum,
    Malformed::LyingIhl,
    Malformed::ZeroLength,
    Malformed::LyingLength,
    Malformed::Garbage,
];

const FORGED: &[Forged] = &[Forged::Ports, Forged::Id, Forged::Destination, Forged::Source];

/// Numbers of octets that routers quote.
const QUOTES: &[usize] = &[0, 8, 20, 27, 28, 36, 128, 548, usize::MAX];

/// Widths of stages; most paths are one router wide.
const WIDTHS: &[usize] = &[1, 1, 1, 1, 1, 2, 3, 4];

/// Initial TTLs that real stacks use, and two that may not get all the way back.
const REPLY_TTLS: &[u8] = &[255, 255, 128, 64, 64, 32, 5, 1];

impl Topology {
    /// A topology of up to twelve hops that is a function of `seed`.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut topology = Self::new(rng.u64(..)).first_balance(balance(&mut rng));
        let mut stages = vec![vec![SOURCE]];
        for hop in 1..=rng.u8(0..=12) {
            let width = pick(&mut rng, WIDTHS).unwrap_or(1);
            let address = |index| Ipv4Addr::new(198, 51, 100, hop.wrapping_mul(16) | index);
            let nodes = (0_u8..).take(width).map(|index| router(&mut rng, address(index)));
            topology = topology.stage(nodes.collect());
            stages.push(topology.last_stage().to_vec());
        }
        topology = topology.target(target(&mut rng));
        stages.push(vec![TARGET]);
        detours(&mut topology, &stages, &mut rng);
        name(topology, &mut rng)
    }
}

/// One of a list.
fn pick<T: Copy>(rng: &mut fastrand::Rng, list: &[T]) -> Option<T> {
    rng.choice(list).copied()
}

/// True once in `n` times.
fn once_in(rng: &mut fastrand::Rng, n: u32) -> bool {
    rng.u32(..n.max(1)) == 0
}

/// A chance that is mostly none.
fn chance(rng: &mut fastrand::Rng) -> f64 {
    if once_in(rng, 8) { rng.f64() } else { 0.0 }
}

fn balance(rng: &mut fastrand::Rng) -> Balance {
    if once_in(rng, 3) { Balance::Packet } else { Balance::Flow }
}

/// Up to this many microseconds.
fn micros(rng: &mut fastrand::Rng, most: i64) -> Span {
    Span::from_micros(rng.i64(0..=most))
}

/// What the target and the routers have in common.
fn temper(node: &Node, rng: &mut fastrand::Rng) -> Node {
    Node {
        delay: micros(rng, 20_000),
        jitter: if once_in(rng, 2) { micros(rng, 8_000) } else { Span::ZERO },
        loss: chance(rng) / 2.0,
        reply_loss: chance(rng),
        silent: once_in(rng, 10),
        rate: once_in(rng, 8)
            .then(|| Rate { per_second: 0.2 + rng.f64() * 20.0, burst: rng.u32(1..=4) }),
        duplicate: chance(rng),
        hold: once_in(rng, 8).then(|| Hold { chance: rng.f64(), delay: micros(rng, 12_000_000) }),
        unreachable: once_in(rng, 40).then(|| rng.u8(0..=16)),
        quote: pick(rng, QUOTES).filter(|_| once_in(rng, 3)).unwrap_or(node.quote),
        reply_ttl: pick(rng, REPLY_TTLS).unwrap_or(node.reply_ttl),
        reply_from: once_in(rng, 15).then(|| Ipv4Addr::new(203, 0, 113, rng.u8(100..))),
        reply_delay: if once_in(rng, 8) { micros(rng, 300_000) } else { Span::ZERO },
        return_hops: once_in(rng, 8).then(|| rng.u8(0..30)),
        malformed: pick(rng, MALFORMED).filter(|_| once_in(rng, 10)),
        forged: pick(rng, FORGED).filter(|_| once_in(rng, 10)),
        ..node.clone()
    }
}

fn router(rng: &mut fastrand::Rng, address: Ipv4Addr) -> Node {
    let expiry = match rng.u8(..20) {
        0 => Expiry::ForwardZero,
        1 => Expiry::Hidden,
        _ => Expiry::Answer,
    };
    let quotes = if once_in(rng, 2) { NatQuotes::Outside } else { NatQuotes::Restored };
    let node = temper(&Node::at(address), rng);
    Node {
        expiry,
        nat: once_in(rng, 20).then_some(Nat { address, quotes }),
        mtu: once_in(rng, 20).then(|| rng.u16(28..1500)),
        balance: balance(rng),
        weight: rng.u32(1..=4),
        ..node
    }
}

fn target(rng: &mut fastrand::Rng) -> Node {
    let ports = if once_in(rng, 4) { Ports::Open } else { Ports::Closed };
    Node { ports, ..temper(&Node::host(), rng) }
}

/// Shortcuts past a stage, so that branches differ in length, and now and then a loop.
fn detours(topology: &mut Topology, stages: &[Vec<usize>], rng: &mut fastrand::Rng) {
    for window in stages.windows(3) {
        let [here, next, beyond] = window else { continue };
        for &place in here {
            if once_in(rng, 8) {
                topology.set_next(place, next.iter().chain(beyond).copied().collect());
            } else if place != SOURCE && once_in(rng, 60) {
                topology.set_next(place, here.clone());
            }
        }
    }
}

fn name(mut topology: Topology, rng: &mut fastrand::Rng) -> Topology {
    let addresses: Vec<_> = topology.places.iter().map(|place| place.node.address).collect();
    for address in addresses {
        if let Some(text) = pick(rng, NAMES).filter(|_| once_in(rng, 2)) {
            topology = topology.name(address.into(), text);
        }
    }
    topology
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A feature and whether a node has it.
    type Feature = (&'static str, fn(&Node) -> bool);

    const FEATURES: &[Feature] = &[
        ("jitter", |node| node.jitter > Span::ZERO),
        ("loss", |node| node.loss > 0.0),
        ("reply loss", |node| node.reply_loss > 0.0),
        ("silence", |node| node.silent),
        ("rate limit", |node| node.rate.is_some()),
        ("duplicates", |node| node.duplicate > 0.0),
        ("late replies", |node| node.hold.is_some()),
        ("unreachable", |node| node.unreachable.is_some()),
        ("mtu", |node| node.mtu.is_some()),
        ("short quotes", |node| node.quote < 28),
        ("full quotes", |node| node.quote == usize::MAX),
        ("another address", |node| node.reply_from.is_some()),
        ("slow way back", |node| node.reply_delay > Span::ZERO),
        ("long way back", |node| node.return_hops.is_some()),
        ("zero TTL", |node| node.expiry == Expiry::ForwardZero),
        ("hidden", |node| node.expiry == Expiry::Hidden),
        ("NAT", |node| node.nat.is_some_and(|nat| nat.quotes == NatQuotes::Restored)),
        ("NAT seen", |node| node.nat.is_some_and(|nat| nat.quotes == NatQuotes::Outside)),
        ("per packet", |node| node.balance == Balance::Packet),
        ("open ports", |node| node.ports == Ports::Open),
    ];

    #[test]
    fn every_feature_turns_up_and_seeds_repeat() {
        let topologies: Vec<_> = (0..300).map(Topology::random).collect();
        let nodes = || topologies.iter().flat_map(|topology| &topology.places).map(|it| &it.node);
        for (feature, present) in FEATURES {
            assert!(nodes().any(present), "no {feature}");
        }
        for kind in MALFORMED {
            assert!(nodes().any(|node| node.malformed == Some(*kind)), "no {kind:?}");
        }
        for field in FORGED {
            assert!(nodes().any(|node| node.forged == Some(*field)), "no {field:?}");
        }
        assert_eq!(Topology::random(5), topologies[5]);
    }

    #[test]
    fn every_way_leads_somewhere() {
        for seed in 0..300 {
            let topology = Topology::random(seed);
            for (index, place) in topology.places.iter().enumerate() {
                assert_eq!(place.next.is_empty(), index == TARGET, "seed {seed}, place {index}");
                assert!(place.next.iter().all(|next| *next < topology.places.len()));
            }
        }
    }
}
