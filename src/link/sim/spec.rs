//! Topologies written in TOML, for network engineers to read and write.
//!
//! The format is shown at [`Topology::parse`]. Keys that no place in the file can have, and values
//! that no network can have, are refused with the line they are on, never skipped.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

use super::attack::Attack;
use super::clock::Setting;
use super::extension::{AnyObject, Appendix, ChecksumKey, Form, Interface, Label};
use super::family::Dual;
use super::node::{
    Advice, Balance, Expiry, Forged, Hold, Malformed, Nat, Node, Outage, Ports, Rate, Rewrite,
};
use super::topology::{TARGET, Topology};
use super::values::{Chance, Code, Quote, Shift, Time};

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
    source6: Option<Ipv6Addr>,
    #[serde(default)]
    balance: Balance,
    #[serde(default)]
    names: BTreeMap<IpAddr, String>,
    #[serde(default, rename = "hop")]
    hops: Vec<Keys>,
    #[serde(default)]
    target: Keys,
    attack: Option<Attack>,
    /// How the prober's clock is set meanwhile.
    #[serde(default)]
    clock: Vec<SettingKeys>,
    /// Whether the prober has no privilege, so that its kernel reports replies to sockets.
    #[serde(default)]
    sockets: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingKeys {
    after: Time,
    by: Shift,
}

/// What can be said of a hop, one of its routers, or the target; see [`Node`] for the meaning.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: Option<String>,
    address: Option<Ipv4Addr>,
    address6: Option<Ipv6Addr>,
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
    reply_from6: Option<Ipv6Addr>,
    also: Option<Vec<IpAddr>>,
    counter: Option<u16>,
    silent: Option<bool>,
    rate: Option<Rate>,
    rate_all: Option<Rate>,
    duplicate: Option<Chance>,
    hold: Option<HoldKeys>,
    unreachable: Option<Code>,
    outage: Option<OutageKeys>,
    advice: Option<Advice>,
    mtu: Option<u16>,
    mtu_silent: Option<bool>,
    mtu_claim: Option<u32>,
    quote: Option<Quote>,
    quote6: Option<Quote>,
    mpls: Option<Vec<Label>>,
    interface: Option<Interface>,
    object: Option<AnyObject>,
    extension: Option<Form>,
    extension_checksum: Option<ChecksumKey>,
    expiry: Option<Expiry>,
    malformed: Option<Malformed>,
    forged: Option<Forged>,
    nat: Option<Nat>,
    rewrite: Option<Rewrite>,
    ports: Option<Ports>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldKeys {
    chance: Chance,
    delay: Time,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutageKeys {
    after: Time,
    lasts: Time,
    unreachable: Option<Code>,
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
    /// The other keys of a hop, router or target are the fields of [`Node`]; where it holds an address
    /// of each family, the key of the IPv6 address ends in 6 (`reply_from6`). Some more values:
    /// `rate = { per_second = 1, burst = 2 }`, `hold = { chance = 0.1, delay = "6s" }`,
    /// `nat = { address = "198.51.100.77", quotes = "outside", shift = 1000 }`, `unreachable = "admin"` (or a code),
    /// `quote = 28` (or `"full"`; `quote6` for IPv6), `malformed = "bad-checksum"`, `forged = "ports"`,
    /// `ports = [53, 80]` (or `"open"`, `"closed"`), `advice = "source-quench"`, `"reassembly-time"`,
    /// `{ redirect = "198.51.100.3" }`, `{ parameter-problem = 8 }` or `{ icmp = { type = 40, code = 0 } }`.
    ///
    /// Limits: `rate_all` is one for all peers together, as Linux has beside that of each peer; in either, `window = true` is BSD's limit
    /// in each second, `others = 900` what others take of it a second, and routers with the same `shared = 1` have one in common.
    ///
    /// The rewrites of forwarded datagrams: `rewrite = { id = 77, destination = "203.0.113.8", port = 53 }`.
    ///
    /// A narrow link: `mtu = 1400`, and with it `mtu_silent = true` (a black hole) or `mtu_claim = 0` (what it tells).
    ///
    /// A router that forwards nothing for a while: `outage = { after = "4s", lasts = "5s" }`, with `unreachable = "host"` in it if
    /// the router says so.
    ///
    /// The clock that stamps frames, set while the simulation runs: `clock = [{ after = "2s", by = "-3600s" }]`.
    ///
    /// A prober without privilege, whose kernel reports replies to its sockets: `sockets = true`.
    ///
    /// Routers that count the IP-IDs of their replies together, wherever they are: `counter = 1` at each of them.
    ///
    /// What a router appends to its quotes: `mpls = [{ label = 100704, tc = 0, ttl = 1 }]`,
    /// `interface = { role = "incoming", ifindex = 3, address = "198.51.100.9", name = "eth0", mtu = 1500 }`,
    /// `object = { class = 9, c_type = 1, hex = "c0ffee00" }`; how: `extension = "old"` (without a length, at
    /// octet 128, instead of `"rfc4884"`), `extension_checksum = "wrong"` (or `"absent"`, `"right"`).
    ///
    /// Somebody who forges answers of the target: a table `[attack]` with `answer = "udp"` (or `"echo-reply"`, `"syn-ack"`,
    /// `"reset"`), `ports = [1024, 65535]` of the prober, `numbers = [33434, 33523]`, `rate = 5000` a second, `after = "1s"`; see
    /// [`Attack`].
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
    for SettingKeys { after: Time(after), by: Shift(by) } in file.clock {
        topology = topology.clock_set(Setting { after, by });
    }
    topology.attack = file.attack;
    topology.sockets = file.sockets;
    topology = topology
        .with_source(Dual { v4: file.source, v6: file.source6 })
        .target_address(file.target.addresses());
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
        let mut shared = Node { address: Dual::default(), ..Node::at(Ipv4Addr::UNSPECIFIED) };
        self.apply(&mut shared)?;
        match (&self.routers, shared.address.is_empty()) {
            (None, false) => Ok(vec![shared]),
            (Some(routers), true) if !routers.is_empty() => {
                routers.iter().map(|router| router.router(&shared)).collect()
            }
            _ => Err("needs either an `address` or `address6`, or `routers` with them".into()),
        }
    }

    /// One of several routers, with what their hop says of all.
    fn router(&self, shared: &Node) -> Result<Node, String> {
        if self.routers.is_some() {
            return Err("a router in `routers` cannot have `routers` itself".into());
        }
        let addresses = self.addresses();
        let address = addresses.iter().next();
        let address = address.ok_or("each of its `routers` needs an `address` or `address6`")?;
        let mut node = shared.clone();
        self.apply(&mut node).map_err(|problem| format!("router {address}: {problem}"))?;
        Ok(node)
    }

    fn addresses(&self) -> Dual {
        Dual { v4: self.address, v6: self.address6 }
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
            ("advice", self.advice.is_some()),
            ("mtu", self.mtu.is_some()),
            ("mtu_silent", self.mtu_silent.is_some()),
            ("mtu_claim", self.mtu_claim.is_some()),
            ("expiry", self.expiry.is_some()),
            ("nat", self.nat.is_some()),
            ("rewrite", self.rewrite.is_some()),
        ];
        match foreign.iter().find(|(_, said)| *said) {
            Some((key, _)) => Err(format!("`{key}` is for hops, the target has none")),
            None => Ok(()),
        }
    }

    /// Applies this specification to `node`.
    fn apply(&self, node: &mut Node) -> Result<(), String> {
        if self.weight == Some(0) || self.reply_ttl == Some(0) {
            return Err("`weight` and `reply_ttl` are at least 1".into());
        }
        let mut rates = self.rate.into_iter().chain(self.rate_all);
        if rates.any(|rate| !(rate.per_second > 0.0 && rate.burst > 0 && rate.others >= 0.0)) {
            return Err("`rate` needs a `per_second` above 0 and a `burst` of at least 1".into());
        }
        node.address = self.addresses().or(node.address);
        set(&mut node.delay, self.delay.map(|time| time.0));
        set(&mut node.jitter, self.jitter.map(|time| time.0));
        set(&mut node.loss, self.loss.map(|chance| chance.0));
        set(&mut node.reply_loss, self.reply_loss.map(|chance| chance.0));
        set(&mut node.also, self.also.clone());
        set(&mut node.counter, self.counter.map(Some));
        set(&mut node.silent, self.silent);
        set(&mut node.rate, self.rate.map(Some));
        set(&mut node.rate_all, self.rate_all.map(Some));
        set(&mut node.duplicate, self.duplicate.map(|chance| chance.0));
        let hold = self.hold.map(|hold| Hold { chance: hold.chance.0, delay: hold.delay.0 });
        set(&mut node.hold, hold.map(Some));
        set(&mut node.unreachable, self.unreachable.map(|code| Some(code.0)));
        let outage = self.outage.map(|outage| Outage {
            after: outage.after.0,
            lasts: outage.lasts.0,
            unreachable: outage.unreachable.map(|code| code.0),
        });
        set(&mut node.outage, outage.map(Some));
        set(&mut node.advice, self.advice.map(Some));
        set(&mut node.mtu, self.mtu.map(Some));
        set(&mut node.mtu_silent, self.mtu_silent);
        set(&mut node.mtu_claim, self.mtu_claim.map(Some));
        set(&mut node.quote, self.quote.map(|quote| Some(quote.0)));
        set(&mut node.quote6, self.quote6.map(|quote| Some(quote.0)));
        self.appendix().apply(&mut node.extension);
        set(&mut node.reply_ttl, self.reply_ttl);
        node.reply_from = Dual { v4: self.reply_from, v6: self.reply_from6 }.or(node.reply_from);
        set(&mut node.reply_delay, self.reply_delay.map(|time| time.0));
        set(&mut node.return_hops, self.return_hops.map(Some));
        set(&mut node.expiry, self.expiry);
        set(&mut node.malformed, self.malformed.map(Some));
        set(&mut node.forged, self.forged.map(Some));
        set(&mut node.nat, self.nat.map(Some));
        set(&mut node.rewrite, self.rewrite.map(Some));
        set(&mut node.balance, self.balance);
        set(&mut node.weight, self.weight);
        set(&mut node.ports, self.ports.clone());
        Ok(())
    }

    fn appendix(&self) -> Appendix<'_> {
        Appendix {
            mpls: self.mpls.as_deref(),
            interface: self.interface.as_ref(),
            object: self.object.as_ref(),
            form: self.extension,
            checksum: self.extension_checksum,
        }
    }
}

#[cfg(test)]
mod tests;
