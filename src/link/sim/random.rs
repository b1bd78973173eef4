//! Random topologies, for laws that must hold on any network.
//!
//! Every feature of a [`Node`] turns up among the first few hundred seeds (a test sees to it), each
//! rarely enough that most hops of most topologies still answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::family::Dual;
use super::node::{
    Advice, Balance, Expiry, Forged, Hold, Malformed, Nat, NatQuotes, Node, Ports, Rate,
    Unreachable,
};
use super::topology::{SOURCE, TARGET, Topology};
use crate::time::Span;
use crate::wire::extension::{
    Checksum, Ending, Extension, InterfaceInformation, LabelStackEntry, Object, Role,
};

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

/// What routers say of datagrams that they could forward.
const ADVICE: &[Advice] = &[
    Advice::Redirect(Ipv4Addr::new(198, 51, 100, 254)),
    Advice::SourceQuench,
    Advice::ParameterProblem(8),
    Advice::ReassemblyTime,
    Advice::Icmp { r#type: 3, code: 200 },
    Advice::Icmp { r#type: 40, code: 0 },
];

const CHECKSUMS: &[Checksum] =
    &[Checksum::Right, Checksum::Right, Checksum::Absent, Checksum::Wrong];

const ROLES: &[Role] = &[Role::Incoming, Role::SubIp, Role::Outgoing, Role::NextHop];

/// Widths of stages; most paths are one router wide.
const WIDTHS: &[usize] = &[1, 1, 1, 1, 1, 2, 3, 4];

/// Initial TTLs that real stacks use, and two that may not get back.
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
            let last = |index| hop.wrapping_mul(16) | index;
            let nodes = (0_u8..).take(width).map(|index| router(&mut rng, last(index)));
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
        rate: once_in(rng, 8).then(|| Rate {
            per_second: 0.2 + rng.f64() * 20.0,
            burst: rng.u32(1..=4),
            ..Rate::default()
        }),
        duplicate: chance(rng),
        hold: once_in(rng, 8).then(|| Hold { chance: rng.f64(), delay: micros(rng, 12_000_000) }),
        unreachable: once_in(rng, 40)
            .then(|| Unreachable { v4: rng.u8(0..=16), v6: rng.u8(0..=8) }),
        quote: pick(rng, QUOTES).filter(|_| once_in(rng, 3)),
        quote6: pick(rng, QUOTES).filter(|_| once_in(rng, 3)),
        extension: extension(&node.extension, rng),
        reply_ttl: pick(rng, REPLY_TTLS).unwrap_or(node.reply_ttl),
        reply_from: if once_in(rng, 15) { elsewhere(rng) } else { Dual::default() },
        reply_delay: if once_in(rng, 8) { micros(rng, 300_000) } else { Span::ZERO },
        return_hops: once_in(rng, 8).then(|| rng.u8(0..30)),
        malformed: pick(rng, MALFORMED).filter(|_| once_in(rng, 10)),
        forged: pick(rng, FORGED).filter(|_| once_in(rng, 10)),
        ..node.clone()
    }
}

/// Addresses that are nobody's on the way.
fn elsewhere(rng: &mut fastrand::Rng) -> Dual {
    let last = rng.u8(100..);
    (Ipv4Addr::new(203, 0, 113, last), Ipv6Addr::new(0x2001, 0xdb8, 0xe, 0, 0, 0, 0, last.into()))
        .into()
}

/// What is appended to quotes: mostly nothing.
fn extension(before: &Extension, rng: &mut fastrand::Rng) -> Extension {
    let mut objects = Vec::new();
    if once_in(rng, 5) {
        objects.extend((0..rng.u8(1..=3)).map(|_| object(rng)));
    }
    Extension {
        compliant: !once_in(rng, 3),
        checksum: pick(rng, CHECKSUMS).unwrap_or(before.checksum),
        objects,
        ending: Ending::Whole,
    }
}

fn object(rng: &mut fastrand::Rng) -> Object {
    match rng.u8(..3) {
        0 => {
            let depth = rng.u8(1..=4);
            let entry = |n, rng: &mut fastrand::Rng| LabelStackEntry {
                label: rng.u32(..1 << 20),
                tc: rng.u8(..8),
                bottom: n == depth,
                ttl: rng.u8(..),
            };
            Object::MplsLabelStack((1..=depth).map(|n| entry(n, rng)).collect())
        }
        1 => Object::InterfaceInformation(InterfaceInformation {
            role: pick(rng, ROLES).unwrap_or(Role::Incoming),
            ifindex: once_in(rng, 2).then(|| rng.u32(..)),
            address: elsewhere(rng).iter().find(|_| once_in(rng, 2)),
            name: pick(rng, NAMES).map(|name| name.as_bytes().to_vec()),
            mtu: once_in(rng, 2).then(|| rng.u32(..)),
        }),
        _ => Object::Unknown {
            class: rng.u8(3..),
            c_type: rng.u8(..),
            payload: (0..rng.u8(..40)).map(|_| rng.u8(..)).collect(),
        },
    }
}

fn router(rng: &mut fastrand::Rng, last: u8) -> Node {
    let expiry = match rng.u8(..20) {
        0 => Expiry::ForwardZero,
        1 => Expiry::Hidden,
        _ => Expiry::Answer,
    };
    let quotes = if once_in(rng, 2) { NatQuotes::Outside } else { NatQuotes::Restored };
    let addresses = (
        Ipv4Addr::new(198, 51, 100, last),
        Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, last.into()),
    );
    let address = if once_in(rng, 2) { IpAddr::V4(addresses.0) } else { IpAddr::V6(addresses.1) };
    let mut node = temper(&Node::at(addresses.0).with_address6(addresses.1), rng);
    match rng.u8(..20) {
        0 => node.address.v4 = None,
        1 => node.address.v6 = None,
        _ => {}
    }
    Node {
        expiry,
        nat: once_in(rng, 20).then_some(Nat { address, quotes, shift: 0 }),
        advice: pick(rng, ADVICE).filter(|_| once_in(rng, 15)),
        mtu: once_in(rng, 20).then(|| rng.u16(28..1500)),
        balance: balance(rng),
        weight: rng.u32(1..=4),
        ..node
    }
}

fn target(rng: &mut fastrand::Rng) -> Node {
    let ports = match rng.u8(..4) {
        0 => Ports::Open,
        1 => Ports::Only(vec![53, 80]),
        _ => Ports::Closed,
    };
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
    let addresses: Vec<_> =
        topology.places.iter().flat_map(|place| place.node.address.iter()).collect();
    for address in addresses {
        if let Some(text) = pick(rng, NAMES).filter(|_| once_in(rng, 2)) {
            topology = topology.name(address, text);
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
        ("short quotes", |node| node.quote.is_some_and(|octets| octets < 28)),
        ("short quotes in IPv6", |node| node.quote6.is_some_and(|octets| octets < 48)),
        ("full quotes", |node| node.quote == Some(usize::MAX)),
        ("another address", |node| !node.reply_from.is_empty()),
        ("labels", |node| has(node, |it| matches!(it, Object::MplsLabelStack(_)))),
        ("interfaces", |node| has(node, |it| matches!(it, Object::InterfaceInformation(_)))),
        ("unknown objects", |node| has(node, |it| matches!(it, Object::Unknown { .. }))),
        ("old extensions", |node| has(node, |_| true) && !node.extension.compliant),
        ("no IPv4", |node| node.address.v4.is_none() && node.address.v6.is_some()),
        ("no IPv6", |node| node.address.v6.is_none() && node.address.v4.is_some()),
        ("NAT of IPv6", |node| node.nat.is_some_and(|nat| nat.address.is_ipv6())),
        ("slow return path", |node| node.reply_delay > Span::ZERO),
        ("long return path", |node| node.return_hops.is_some()),
        ("zero TTL", |node| node.expiry == Expiry::ForwardZero),
        ("hidden", |node| node.expiry == Expiry::Hidden),
        ("NAT", |node| node.nat.is_some_and(|nat| nat.quotes == NatQuotes::Restored)),
        ("NAT seen", |node| node.nat.is_some_and(|nat| nat.quotes == NatQuotes::Outside)),
        ("per packet", |node| node.balance == Balance::Packet),
        ("open ports", |node| node.ports == Ports::Open),
        ("some open ports", |node| matches!(node.ports, Ports::Only(_))),
    ];

    fn has(node: &Node, wanted: fn(&Object) -> bool) -> bool {
        node.extension.objects.iter().any(wanted)
    }

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
        for advice in ADVICE {
            assert!(nodes().any(|node| node.advice == Some(*advice)), "no {advice:?}");
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
