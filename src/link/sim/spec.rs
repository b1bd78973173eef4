//! Topologies written in TOML, for network engineers to read and write.
//!
//! The format is shown at [`Topology::parse`]. Keys that no place in the file can have, and values
//! that no network can have, are refused with the line they are on, never skipped.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use super::topology::{
    Balance, Expiry, Forged, Hold, Malformed, Nat, Node, Ports, Rate, TARGET, Topology,
};
use super::values::{Chance, Code, Quote, Time};

/// A topology file that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {place}: {problem}")]
pub struct TopologyError {
    file: String,
    place: String,
    problem: String,
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    seed: u64,
    source: Option<Ipv4Addr>,
    #[serde(default)]
    balance: Balance,
    #[serde(default)]
    names: BTreeMap<IpAddr, String>,
    #[serde(default, rename = "hop")]
    hops: Vec<Keys>,
    #[serde(default)]
    target: Keys,
}

/// What can be said of a hop, one of its routers, or the target; see [`Node`] for the meaning.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: Option<String>,
    address: Option<Ipv4Addr>,
    routers: Option<Vec<Keys>>,
    next: Option<Vec<String>>,
    balance: Option<Balance>,
    weight: Option<u32>,
    delay: Option<Time>,
    jitter: Option<Time>,
    loss: Option<Chance>,
    reply_loss: Option<Chance>,
    reply_delay: Option<Time>,
    return_hops: Option<u8>,
    reply_ttl: Option<u8>,
    reply_from: Option<Ipv4Addr>,
    silent: Option<bool>,
    rate: Option<Rate>,
    duplicate: Option<Chance>,
    hold: Option<HoldKeys>,
    unreachable: Option<Code>,
    mtu: Option<u16>,
    quote: Option<Quote>,
    expiry: Option<Expiry>,
    malformed: Option<Malformed>,
    forged: Option<Forged>,
    nat: Option<Nat>,
    ports: Option<Ports>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldKeys {
    chance: Chance,
    delay: Time,
}

impl Topology {
    /// The network that `--simulate` uses without a file: ten hops to any target.
    ///
    /// # Panics
    /// Never: the file is part of the program, and a test parses it.
    #[must_use]
    pub fn builtin() -> Self {
        Self::parse(include_str!("builtin.toml"), "builtin.toml").expect("a test parses it")
    }

    /// The topology that `text` describes; `file` names it in errors.
    ///
    /// ```toml
    #[doc = include_str!("example.toml")]
    /// ```
    ///
    /// The other keys of a hop, router or target are the fields of [`Node`]. Some more values:
    /// `rate = { per_second = 1, burst = 2 }`, `hold = { chance = 0.1, delay = "6s" }`,
    /// `nat = { address = "198.51.100.77", quotes = "outside" }`, `unreachable = "admin"` (or a code),
    /// `quote = 28` (or `"full"`), `malformed = "bad-checksum"`, `forged = "ports"`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line, or the hop or router that it concerns.
    pub fn parse(text: &str, file: &str) -> Result<Self, TopologyError> {
        let error = |place, problem| TopologyError { file: file.into(), place, problem };
        let parsed: File = toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
            error(format!("line {line}"), e.message().replace('\n', ", "))
        })?;
        build(parsed).map_err(|(place, problem)| error(place, problem))
    }
}

/// A place in the file and what is wrong there.
type Problem = (String, String);

/// Names that `next` can use, and the places they stand for.
type Names = BTreeMap<String, Vec<usize>>;

fn build(file: File) -> Result<Topology, Problem> {
    let mut topology = Topology::new(file.seed).first_balance(file.balance);
    topology.names = file.names;
    topology.source = file.source.unwrap_or(topology.source);
    topology.target = file.target.address;
    let mut host = Node::host();
    file.target
        .only_target()
        .and_then(|()| file.target.apply(&mut host))
        .map_err(|problem| ("[target]".to_owned(), problem))?;
    topology = topology.target(host);

    let mut names = Names::from([("target".to_owned(), vec![TARGET])]);
    let mut turns = Vec::new();
    for (index, hop) in file.hops.into_iter().enumerate() {
        let label = format!("hop {}", index + 1);
        let stage = hop.stage().map_err(|problem| (label.clone(), problem))?;
        topology = topology.stage(stage);
        let places = topology.last_stage().to_vec();
        let routers = hop.routers.as_deref().unwrap_or_default();
        for (router, place) in routers.iter().zip(&places) {
            router.note(&label, &[*place], &mut names)?;
            turns.extend(router.next.clone().map(|next| (label.clone(), vec![*place], next)));
        }
        hop.note(&label, &places, &mut names)?;
        // The routers' own `next` was noted first and wins.
        turns.extend(hop.next.map(|next| (label, places, next)));
    }
    for (label, places, next) in turns.into_iter().rev() {
        let next = resolve(&next, &names).map_err(|problem| (label, problem))?;
        for place in places {
            topology.set_next(place, next.clone());
        }
    }
    Ok(topology)
}

/// The places that the words of a `next` stand for.
fn resolve(next: &[String], names: &Names) -> Result<Vec<usize>, String> {
    let known = || names.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let mut places = Vec::new();
    for name in next {
        let meant = names.get(name).ok_or_else(|| {
            format!("`next` says {name:?}, which is the `name` of no hop; there are {}", known())
        })?;
        places.extend(meant);
    }
    if places.is_empty() {
        return Err(format!("`next` is empty, name one or more of {}", known()));
    }
    Ok(places)
}

/// Puts what the file says in the place of a default.
fn set<T>(field: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *field = said;
    }
}

impl Keys {
    /// The routers of this hop.
    fn stage(&self) -> Result<Vec<Node>, String> {
        let mut shared = Node::at(Ipv4Addr::UNSPECIFIED);
        self.apply(&mut shared)?;
        match (&self.routers, self.address) {
            (None, Some(_)) => Ok(vec![shared]),
            (Some(routers), None) if !routers.is_empty() => {
                routers.iter().map(|router| router.router(&shared)).collect()
            }
            _ => Err("needs either an `address`, or `routers` with one or more of them".into()),
        }
    }

    /// One of several routers, with what their hop says of all.
    fn router(&self, shared: &Node) -> Result<Node, String> {
        if self.routers.is_some() {
            return Err("a router in `routers` cannot have `routers` itself".into());
        }
        let address = self.address.ok_or("each of its `routers` needs an `address`")?;
        let mut node = shared.clone();
        self.apply(&mut node).map_err(|problem| format!("router {address}: {problem}"))?;
        Ok(node)
    }

    /// Remembers the name of these places, if they have one.
    fn note(&self, label: &str, places: &[usize], names: &mut Names) -> Result<(), Problem> {
        let Some(name) = &self.name else { return Ok(()) };
        match names.insert(name.clone(), places.to_vec()) {
            None => Ok(()),
            Some(_) => Err((label.to_owned(), format!("the name {name:?} is taken already"))),
        }
    }

    /// Refuses what makes no sense at the end of the path.
    fn only_target(&self) -> Result<(), String> {
        let foreign = [
            ("name", self.name.is_some()),
            ("routers", self.routers.is_some()),
            ("next", self.next.is_some()),
            ("balance", self.balance.is_some()),
            ("weight", self.weight.is_some()),
            ("mtu", self.mtu.is_some()),
            ("expiry", self.expiry.is_some()),
            ("nat", self.nat.is_some()),
        ];
        match foreign.iter().find(|(_, said)| *said) {
            Some((key, _)) => Err(format!("`{key}` is for hops, the target has none")),
            None => Ok(()),
        }
    }

    /// Writes what is said here into `node`.
    fn apply(&self, node: &mut Node) -> Result<(), String> {
        if self.weight == Some(0) || self.reply_ttl == Some(0) {
            return Err("`weight` and `reply_ttl` are at least 1".into());
        }
        if self.rate.is_some_and(|rate| !(rate.per_second > 0.0 && rate.burst > 0)) {
            return Err("`rate` needs a `per_second` above 0 and a `burst` of at least 1".into());
        }
        set(&mut node.address, self.address);
        set(&mut node.delay, self.delay.map(|time| time.0));
        set(&mut node.jitter, self.jitter.map(|time| time.0));
        set(&mut node.loss, self.loss.map(|chance| chance.0));
        set(&mut node.reply_loss, self.reply_loss.map(|chance| chance.0));
        set(&mut node.silent, self.silent);
        set(&mut node.rate, self.rate.map(Some));
        set(&mut node.duplicate, self.duplicate.map(|chance| chance.0));
        let hold = self.hold.map(|hold| Hold { chance: hold.chance.0, delay: hold.delay.0 });
        set(&mut node.hold, hold.map(Some));
        set(&mut node.unreachable, self.unreachable.map(|code| Some(code.0)));
        set(&mut node.mtu, self.mtu.map(Some));
        set(&mut node.quote, self.quote.map(|quote| quote.0));
        set(&mut node.reply_ttl, self.reply_ttl);
        set(&mut node.reply_from, self.reply_from.map(Some));
        set(&mut node.reply_delay, self.reply_delay.map(|time| time.0));
        set(&mut node.return_hops, self.return_hops.map(Some));
        set(&mut node.expiry, self.expiry);
        set(&mut node.malformed, self.malformed.map(Some));
        set(&mut node.forged, self.forged.map(Some));
        set(&mut node.nat, self.nat.map(Some));
        set(&mut node.balance, self.balance);
        set(&mut node.weight, self.weight);
        set(&mut node.ports, self.ports);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_parses() {
        let topology = Topology::builtin();
        assert_eq!(
            topology.places.len(),
            13,
            "source, target, ten hops less one, two more in ECMP"
        );
        assert_eq!(topology.names().len(), 8);
        assert_eq!(topology.source(), Ipv4Addr::new(192, 0, 2, 2));
    }

    #[test]
    fn the_example_in_the_documentation_parses() {
        let topology = Topology::parse(include_str!("example.toml"), "example.toml").unwrap();
        let next: Vec<_> = topology.places.iter().map(|place| place.next.clone()).collect();
        let stage = vec![3, 4];
        assert_eq!(next, [vec![2], vec![], stage, vec![5], vec![5], vec![TARGET, 5]]);
    }

    #[test]
    fn hops_share_with_their_routers_and_next_leads_elsewhere() {
        let text = r#"
            [[hop]]
            address = "10.0.0.1"
            balance = "packet"
            next = ["pair", "target"]
            [[hop]]
            name = "pair"
            delay = "0.25ms"
            unreachable = "admin"
            routers = [{ address = "10.0.0.2", name = "left", next = ["left"] },
                       { address = "10.0.0.3", delay = "3us", quote = "full" }]
            [target]
            address = "10.9.9.9"
        "#;
        let topology = Topology::parse(text, "t").unwrap();
        let next: Vec<_> = topology.places.iter().map(|place| place.next.clone()).collect();
        assert_eq!(next, [vec![2], vec![], vec![3, 4, TARGET], vec![3], vec![TARGET]]);
        let [left, right] = [&topology.places[3].node, &topology.places[4].node];
        assert_eq!((left.delay.nanos(), right.delay.nanos()), (250_000, 3_000));
        assert_eq!((left.unreachable, right.unreachable), (Some(13), Some(13)));
        assert_eq!((left.quote, right.quote), (548, usize::MAX));
        assert_eq!(topology.target, Some(Ipv4Addr::new(10, 9, 9, 9)));
    }

    #[test]
    fn errors_say_where_and_what_is_allowed() {
        for (text, wanted) in [
            ("seed = -1", "t.toml: line 1: "),
            ("\n\nsede = 7", "t.toml: line 3: unknown field `sede`, expected one of `seed`, "),
            ("[[hop]]\naddress = \"10.0.0\"", "t.toml: line 2: invalid IPv4 address syntax"),
            ("[[hop]]\ndely = \"1ms\"", "t.toml: line 2: unknown field `dely`, expected one of "),
            ("[[hop]]\nloss = 2", "t.toml: line 2: 2 is not a chance, write a number from 0 to 1"),
            ("[[hop]]\ndelay = \"3 days\"", "t.toml: line 2: \"3 days\" is not a time, write "),
            ("[[hop]]\ndelay = \"-1ms\"", "t.toml: line 2: \"-1ms\" is not a time, write "),
            ("[[hop]]\ndelay = 3", "t.toml: line 2: invalid type: integer `3`, expected a string"),
            ("[[hop]]\nquote = \"all\"", "t.toml: line 2: write a number of octets, or \"full\""),
            ("[[hop]]\nquote = []", "t.toml: line 2: a number or a word in quotes is wanted"),
            ("[[hop]]\n\nunreachable = 256", "t.toml: line 3: no such code, write a number up to"),
            ("[[hop]]\nmalformed = \"odd\"", "t.toml: line 2: unknown variant `odd`, expected one"),
            ("[[hop]]\nhold = { chance = 1 }", "t.toml: line 2: missing field `delay`"),
            ("[[hop]]\n", "t.toml: hop 1: needs either an `address`, or `routers`"),
            ("[[hop]]\nrouters = [{}]", "t.toml: hop 1: each of its `routers` needs an `address`"),
            (
                "[[hop]]\naddress = \"10.0.0.1\"\nnext = [\"far\"]",
                "t.toml: hop 1: `next` says \"far\", which is the `name` of no hop; there are target",
            ),
            (
                "[[hop]]\nrate = { per_second = 0, burst = 1 }",
                "t.toml: hop 1: `rate` needs a `per_second` above 0",
            ),
            ("[target]\nmtu = 5", "t.toml: [target]: `mtu` is for hops, the target has none"),
            ("[names]\nme = \"x\"", "t.toml: line 2: invalid IP address syntax"),
            ("seed", "t.toml: line 1: "),
        ] {
            let error = Topology::parse(text, "t.toml").unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
