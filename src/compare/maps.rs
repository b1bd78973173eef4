//! Two maps of all paths to one target, compared: which routers and links were removed or added.
//!
//! No run finds all for certain, so what one map lacks may still be there. Whether the maps differ by more than chance is one
//! question to both (`odds`), whose answer must be below `SIGNIFICANCE`. Which differences then are the change goes by each run's
//! confidence: of a router that showed `k` next hops to `n` flows, a further one that is as likely as the others is missed with a
//! chance of `(k / (k + 1))ⁿ`; a router is missed if each link to it is, and one beyond others that are missed with them. What a run
//! lacks that was not finished is no change. Links beyond a router that chooses for each packet may not exist and are left out. Links that are
//! uncertain may not exist: one that only one map has is left out, and a router to which no certain link leads counts by the likeliest of the others
//! alone; if it is silent, as loss makes routers look, it is no change.
//!
//! What is compared is the JSON document of `rtrace paths` (`schema/paths.schema.json`).

mod odds;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::evidence::SIGNIFICANCE;
use super::hops::Verdict;
use super::{Head, Pair, ParseError, Target, document};
use crate::schema::{Completion, Link};
use odds::Odds;

/// The confidence of a document that does not tell it, in percent: that of `rtrace paths` without options.
const USUAL_CONFIDENCE: f64 = 95.0;

/// A map as its JSON document has it: the part that is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct Map {
    /// What was traced.
    pub target: Target,
    #[serde(default)]
    asked: Asked,
    nodes: Vec<Node>,
    links: Vec<Link>,
    reached: bool,
    #[serde(default)]
    completion: Completion,
    #[serde(skip)]
    index: Index,
}

/// What is looked up in a map again and again: a document may have very many nodes and links.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Which node has an id.
    nodes: HashMap<usize, usize>,
    /// The number of known links from a node, and of the flows that show them.
    next: HashMap<usize, (u32, u32)>,
    /// The first silent node beyond a node.
    silent: HashMap<usize, usize>,
    links: HashSet<(usize, usize)>,
    /// Where links come from by where they lead, in the order of the document, and whether they are certain.
    into: HashMap<usize, Vec<(usize, bool)>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
struct Asked {
    confidence: f64,
}

impl Default for Asked {
    fn default() -> Self {
        Self { confidence: USUAL_CONFIDENCE }
    }
}

#[derive(Clone, Debug, Deserialize)]
struct Node {
    id: usize,
    address: Option<IpAddr>,
    #[serde(default)]
    also: Vec<IpAddr>,
    ttls: BTreeSet<u8>,
    per_packet: bool,
}

/// The flows that have shown what follows the near end of a link. There are no more than 65,536, whatever a document says.
fn samples(link: &Link) -> u32 {
    link.flows.saturating_add(link.assumed).min(1 << 16)
}

/// How the second map differs from the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MapComparison {
    /// Form, version and target.
    #[serde(flatten)]
    pub head: Head,
    /// Whether the paths are others.
    pub changed: bool,
    /// What that is, or that it cannot be determined.
    pub verdict: Verdict,
    /// The chance that two runs over unchanged paths differ at least this much.
    pub p: f64,
    /// The confidence, in percent, with which both runs would prove a change if all is as it looks; only if the verdict is unclear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enough_confidence: Option<f64>,
    /// Routers that only one of the maps has.
    pub routers: Vec<RouterDifference>,
    /// Links between routers of both maps that only one has.
    pub links: Vec<LinkDifference>,
    /// Routers that choose for each packet in one of the maps alone, by address: whether they do now.
    pub per_packet: BTreeMap<IpAddr, bool>,
    /// Whether the target was and is reached.
    pub reached: Pair<bool>,
    /// The confidence of each run, in percent.
    pub confidence: Pair<f64>,
    /// Which of them was not finished.
    pub unfinished: Pair<bool>,
}

/// Which map something is missing from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// From the second.
    Removed,
    /// From the first.
    Added,
}

/// A router that one map lacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouterDifference {
    /// Which.
    pub difference: Missing,
    /// Its address; none if it is silent.
    pub address: Option<IpAddr>,
    /// Where it is in the map that has it.
    pub ttls: BTreeSet<u8>,
    /// The chance that the other map lacks it though it is there.
    pub p: f64,
    /// Whether that is too little, and so it counts as a change.
    pub change: bool,
}

/// A link that one map lacks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LinkDifference {
    /// Which.
    pub difference: Missing,
    /// The router that packets leave; none for the prober.
    pub from: Option<IpAddr>,
    /// The next.
    pub to: IpAddr,
    /// The chance that the other map lacks it though it is there.
    pub p: f64,
    /// Whether that is too little, and so it counts as a change.
    pub change: bool,
}

impl Map {
    /// Reads the JSON document of a multipath trace.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let mut map: Self = document::parse(json, document::MAP)?;
        map.index =
            Index::of(&map).ok_or_else(|| serde_json::Error::custom("two nodes have one id"))?;
        Ok(map)
    }

    fn unfinished(&self) -> bool {
        self.completion != Completion::Complete
    }

    /// Whether what this map lacks, with this chance, is not there.
    fn rules_out(&self, p: f64) -> bool {
        p < 1.0 - self.asked.confidence / 100.0 && !self.unfinished()
    }

    /// The nodes by their lowest address, the prober first; silent nodes have none.
    fn known(&self) -> BTreeMap<IpAddr, &Node> {
        let named = self.nodes.iter().filter_map(|node| Some((node, node.address?)));
        named
            .flat_map(|(node, own)| {
                std::iter::once(own).chain(node.also.iter().copied()).map(move |it| (it, node))
            })
            .collect()
    }

    fn node(&self, id: usize) -> Option<&Node> {
        self.nodes.get(*self.index.nodes.get(&id)?)
    }

    /// The chance that a further next hop of this node was missed.
    fn miss(&self, from: usize) -> f64 {
        let (known, flows) = self.index.next.get(&from).copied().unwrap_or_default();
        let known = f64::from(known);
        (known / (known + 1.0)).powf(flows.into())
    }

    fn leads(&self, from: usize, to: usize) -> bool {
        self.index.links.contains(&(from, to))
    }
}

impl Index {
    /// `None` if two nodes have one id.
    fn of(map: &Map) -> Option<Self> {
        let mut index = Self::default();
        for (at, node) in map.nodes.iter().enumerate() {
            if index.nodes.insert(node.id, at).is_some() {
                return None;
            }
        }
        for link in &map.links {
            let Link { from, to, uncertain, .. } = link;
            let (known, all) = index.next.entry(*from).or_default();
            (*known, *all) = (known.saturating_add(1), all.saturating_add(samples(link)));
            let silent = index.nodes.get(to).and_then(|at| map.nodes.get(*at));
            if silent.is_some_and(|node| node.address.is_none()) {
                index.silent.entry(*from).or_insert(*to);
            }
            index.links.insert((*from, *to));
            index.into.entry(*to).or_default().push((*from, !uncertain));
        }
        Some(index)
    }
}

/// Compares the second map with the first.
#[must_use]
pub fn compare(before: &Map, after: &Map) -> MapComparison {
    let mut found = MapComparison {
        head: Head::to(after.target.address),
        reached: Pair { before: before.reached, after: after.reached },
        confidence: Pair { before: before.asked.confidence, after: after.asked.confidence },
        unfinished: Pair { before: before.unfinished(), after: after.unfinished() },
        ..MapComparison::default()
    };
    let odds = Odds::of(before, after);
    found.p = odds.chance();
    found.note_missing(Missing::Removed, before, after);
    found.note_missing(Missing::Added, after, before);
    found.judge();
    let known = after.known();
    for (address, was) in before.known() {
        if let Some(is) = known.get(&address).filter(|is| is.per_packet != was.per_packet) {
            found.per_packet.insert(address, is.per_packet);
        }
    }
    let finished = !found.unfinished.before && !found.unfinished.after;
    found.changed = found.routers.iter().any(|router| router.change)
        || found.links.iter().any(|link| link.change)
        || finished && found.reached.before != found.reached.after;
    let differs =
        !found.routers.is_empty() || !found.links.is_empty() || !found.per_packet.is_empty();
    found.verdict = match (found.changed, differs) {
        (true, _) => Verdict::Changed,
        (false, true) => Verdict::Unclear,
        (false, false) => Verdict::Same,
    };
    if found.verdict == Verdict::Unclear && finished {
        let asked = before.asked.confidence.max(after.asked.confidence);
        found.enough_confidence = odds.enough_confidence(asked);
    }
    found
}

impl MapComparison {
    /// Marks the changes: none unless both maps together show one; then at least the least likely difference.
    fn judge(&mut self) {
        let certain = self.p < SIGNIFICANCE;
        let finished = |difference: Missing| match difference {
            Missing::Removed => !self.unfinished.after,
            Missing::Added => !self.unfinished.before,
        };
        let routers = self.routers.iter().map(|it| (it.difference, it.p));
        let all = routers.chain(self.links.iter().map(|it| (it.difference, it.p)));
        let least = all.filter(|it| finished(it.0)).map(|it| it.1).fold(1.0, f64::min);
        let [removed, added] = [Missing::Removed, Missing::Added].map(finished);
        let judge = |difference: Missing, p: f64, change: &mut bool| {
            let finished = if difference == Missing::Removed { removed } else { added };
            *change = certain && (*change || finished && p <= least);
        };
        self.routers.iter_mut().for_each(|it| judge(it.difference, it.p, &mut it.change));
        self.links.iter_mut().for_each(|it| judge(it.difference, it.p, &mut it.change));
    }

    /// What `there` has and `other` lacks.
    fn note_missing(&mut self, difference: Missing, there: &Map, other: &Map) {
        let known = other.known();
        // The node of the other map for each node of this, and the chance that it lacks those that have none; the
        // prober is node 0 of both. Nodes come before those that they lead to.
        let mut same = BTreeMap::from([(0, 0)]);
        let mut missed: BTreeMap<usize, f64> = BTreeMap::new();
        for node in &there.nodes {
            let into = there.index.into.get(&node.id).into_iter().flatten();
            let silent =
                |(from, _): &(usize, bool)| other.index.silent.get(same.get(from)?).copied();
            let alike = match node.address {
                Some(address) => known.get(&address).map(|node| node.id),
                None => into.clone().find_map(silent),
            };
            if let Some(alike) = alike {
                same.insert(node.id, alike);
                continue;
            }
            let missed_by = |from: &usize| match same.get(from) {
                Some(from) => other.miss(*from),
                None => missed.get(from).copied().unwrap_or(1.0),
            };
            let certain = into.clone().any(|(_, certain)| *certain);
            let p = if certain {
                into.filter(|(_, certain)| *certain).map(|(from, _)| missed_by(from)).product()
            } else {
                // One of them leads here, whichever that is.
                into.map(|(from, _)| missed_by(from)).reduce(f64::max).unwrap_or(1.0)
            };
            missed.insert(node.id, p);
            let (address, ttls) = (node.address, node.ttls.clone());
            let change = other.rules_out(p) && (certain || address.is_some());
            self.routers.push(RouterDifference { difference, address, ttls, p, change });
        }
        for link in there.links.iter().filter(|link| !link.uncertain) {
            let (Some(from), Some(to)) = (same.get(&link.from), same.get(&link.to)) else {
                continue;
            };
            let Some(address) = there.node(link.to).and_then(|node| node.address) else { continue };
            if !other.leads(*from, *to) {
                let from_address = there.node(link.from).and_then(|node| node.address);
                let p = other.miss(*from);
                let (from, to, change) = (from_address, address, other.rules_out(p));
                self.links.push(LinkDifference { difference, from, to, p, change });
            }
        }
    }
}

#[cfg(test)]
mod tests;
