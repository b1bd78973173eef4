//! Two maps of all paths to one target, compared: which routers and links are gone or come.
//!
//! No run finds all for certain, so what one map lacks may still be there. Of a router that showed `k` next hops
//! to `n` flows, a further one that is as likely as the others is missed with a chance of `(k / (k + 1))ⁿ`; a router
//! is missed if each link to it is, and one behind others that are missed with them. It is a change where that chance is below
//! what the run that lacks it was to fail with at most, 1 − confidence. By the stopping rule every router that was asked
//! to the end is sure enough (`trace::paths::rule`): of `k` next hops `n` is so great that even k + 1 times the chance is no more. So
//! only what is behind a router that was not asked enough may be missing by chance; it is told but is no change. Nor
//! is what a run lacks that was not finished. Links that are uncertain may not exist: one that only one map has is left out, and a router to
//! which no certain link leads counts by the likeliest of the others alone; if it is silent, as loss makes routers look, it is no change.
//!
//! What is compared is the JSON document of `rtrace paths` (`schema/paths.schema.json`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use super::{Head, Pair, ParseError, Target, document};

/// The `format` of the document.
pub const FORMAT: &str = "rtrace-paths";
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
    #[serde(default = "complete")]
    completion: String,
    #[serde(skip)]
    index: Index,
}

/// What is looked up in a map again and again: a document may have very many nodes and links.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Which node has an id.
    nodes: HashMap<usize, usize>,
    /// Of how many links from a node it is known, and by how many flows.
    next: HashMap<usize, (u32, u32)>,
    /// The first silent node behind a node.
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

fn complete() -> String {
    "complete".to_owned()
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

#[derive(Clone, Copy, Debug, Deserialize)]
struct Link {
    from: usize,
    to: usize,
    flows: u32,
    /// Flows that were seen at the far end alone; they have shown what follows the near one all the same.
    #[serde(default)]
    assumed: u32,
    uncertain: bool,
}

/// How the second map differs from the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MapComparison {
    /// Form, version and target.
    #[serde(flatten)]
    pub head: Head,
    /// Whether the paths are others.
    pub changed: bool,
    /// Routers that only one of the maps has.
    pub routers: Vec<RouterDifference>,
    /// Links between routers of both maps that only one has.
    pub links: Vec<LinkDifference>,
    /// Routers that choose for each packet in one of the maps alone, by address: whether they do now.
    pub per_packet: BTreeMap<IpAddr, bool>,
    /// Whether the target was and is reached.
    pub reached: Pair<bool>,
    /// With what confidence each run was to find all, in percent.
    pub confidence: Pair<f64>,
    /// Which of them was not finished.
    pub unfinished: Pair<bool>,
}

/// Which map something is missing from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// From the second.
    Gone,
    /// From the first.
    Come,
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
        let mut map: Self = document::parse(json, FORMAT)?;
        map.index =
            Index::of(&map).ok_or_else(|| serde_json::Error::custom("two nodes have one id"))?;
        Ok(map)
    }

    fn unfinished(&self) -> bool {
        self.completion != complete()
    }

    /// Whether what this map lacks, with this chance, is not there.
    fn rules_out(&self, p: f64) -> bool {
        p < 1.0 - self.asked.confidence / 100.0 && !self.unfinished()
    }

    /// By what its nodes are known, the prober first: their least address, or none of the silent.
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
        for Link { from, to, flows, assumed, uncertain } in &map.links {
            let (known, all) = index.next.entry(*from).or_default();
            let flows = flows.saturating_add(*assumed);
            (*known, *all) = (known.saturating_add(1), all.saturating_add(flows));
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
    found.note_missing(Missing::Gone, before, after);
    found.note_missing(Missing::Come, after, before);
    let known = after.known();
    for (address, was) in before.known() {
        if let Some(is) = known.get(&address).filter(|is| is.per_packet != was.per_packet) {
            found.per_packet.insert(address, is.per_packet);
        }
    }
    let finished = !found.unfinished.before && !found.unfinished.after;
    let otherwise = !found.per_packet.is_empty() || found.reached.before != found.reached.after;
    found.changed = found.routers.iter().any(|router| router.change)
        || found.links.iter().any(|link| link.change)
        || finished && otherwise;
    found
}

impl MapComparison {
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
mod tests {
    use super::*;

    /// A map of links, as "from-to*flows" between nodes by their number; 9 is the target, 7 is silent.
    fn map(links: &[(usize, usize, u32)]) -> Map {
        map_of(links, 95.0, "complete")
    }

    fn map_of(links: &[(usize, usize, u32)], confidence: f64, completion: &str) -> Map {
        let ids: BTreeSet<usize> = links.iter().map(|(_, to, _)| *to).collect();
        let nodes: Vec<_> = ids
            .iter()
            .map(|id| {
                let address = (*id != 7).then(|| format!("10.0.0.{id}"));
                serde_json::json!({"id": id, "address": address, "ttls": [id], "per_packet": false})
            })
            .collect();
        let links: Vec<_> = links
            .iter()
            .map(|(from, to, flows)| serde_json::json!({"from": from, "to": to, "flows": flows, "uncertain": false}))
            .collect();
        let document = serde_json::json!({
            "format": FORMAT, "target": {"address": "10.0.0.9"}, "nodes": nodes, "links": links, "reached": true,
            "asked": {"confidence": confidence}, "completion": completion,
        });
        Map::parse(document.to_string().as_bytes()).unwrap()
    }

    fn told(found: &MapComparison) -> Vec<String> {
        let last = |address: Option<IpAddr>| {
            address.map_or("*".into(), |it| it.to_string().replace("10.0.0.", ""))
        };
        let sure = |change: bool| if change { "" } else { "?" };
        let routers = found.routers.iter();
        let routers = routers
            .map(|it| format!("{:?} {}{}", it.difference, last(it.address), sure(it.change)));
        let links = found.links.iter().map(|it| {
            format!(
                "{:?} {}-{}{}",
                it.difference,
                last(it.from),
                last(Some(it.to)),
                sure(it.change)
            )
        });
        routers.chain(links).collect()
    }

    #[test]
    fn what_chance_may_have_missed_is_no_change() {
        let whole = map(&[(0, 1, 20), (1, 2, 9), (1, 3, 11), (2, 9, 9), (3, 9, 11)]);
        assert_eq!(
            compare(&whole, &whole),
            MapComparison {
                head: Head::to(whole.target.address),
                reached: Pair { before: true, after: true },
                confidence: Pair { before: 95.0, after: 95.0 },
                ..MapComparison::default()
            }
        );
        // Half of the next hops are not seen by 3 flows, but by 20.
        let few = map(&[(0, 1, 20), (1, 3, 3), (3, 9, 3)]);
        let many = map(&[(0, 1, 20), (1, 3, 20), (3, 9, 20)]);
        assert_eq!(told(&compare(&whole, &few)), ["Gone 2?"]);
        assert!(!compare(&whole, &few).changed);
        assert_eq!(told(&compare(&whole, &many)), ["Gone 2"]);
        assert_eq!(told(&compare(&many, &whole)), ["Come 2"]);
        assert!(compare(&many, &whole).changed);
    }

    /// A router that was asked to the end is believed, however few next hops it has, at the confidence of its run.
    #[test]
    fn what_a_run_lacks_is_judged_by_the_confidence_it_had() {
        let flows = |k: usize, percent: f64| {
            let rule = crate::trace::paths::Confidence { percent, whole_graph: false }.rule(1);
            u32::try_from(rule.flows(k)).unwrap()
        };
        for percent in [80.0, 95.0, 99.0] {
            for k in 1..=4 {
                let n = flows(k, percent);
                let next =
                    |k: usize| (2..2 + k).map(move |id| (1, id, n / u32::try_from(k).unwrap() + 1));
                let links = |k| [(0, 1, n)].into_iter().chain(next(k)).collect::<Vec<_>>();
                let before = map_of(&links(k + 1), percent, "complete");
                let after = |completion| map_of(&links(k), percent, completion);
                assert!(compare(&before, &after("complete")).changed, "{percent} {k}");
                let cut = compare(&before, &after("max-probes"));
                assert!(!cut.changed && cut.unfinished.after && cut.routers.len() == 1);
                assert!(compare(&after("max-probes"), &before).unfinished.before);
            }
        }
        // What 95 % are enough for is too little for 99 %.
        let (before, few) = ([(0, 1, 6), (1, 2, 3), (1, 3, 3)], [(0, 1, 6), (1, 2, 6)]);
        for (percent, changed) in [(95.0, true), (99.0, false)] {
            let found = compare(&map(&before), &map_of(&few, percent, "complete"));
            assert_eq!(found.changed, changed, "{percent}");
        }
    }

    /// As a document without `uncertain` links has them, but of these links.
    fn with_uncertain(mut map: Map, links: &[(usize, usize)]) -> Map {
        for link in &mut map.links {
            link.uncertain = links.contains(&(link.from, link.to));
        }
        map.index = Index::of(&map).unwrap();
        map
    }

    #[test]
    fn uncertain_links_are_no_evidence() {
        let before = map(&[(0, 1, 20), (1, 2, 20), (1, 3, 20), (2, 9, 20), (3, 9, 20)]);
        let after = || {
            let links =
                [(1, 2, 20), (1, 3, 20), (2, 3, 4), (2, 9, 20), (3, 9, 20), (1, 7, 20), (7, 9, 20)];
            map(&[&[(0, 1, 20)][..], &links].concat())
        };
        assert_eq!(told(&compare(&before, &after())), ["Come *", "Come 2-3"]);
        // A silent router to which no certain link leads may be loss.
        let doubtful = with_uncertain(after(), &[(2, 3), (1, 7), (7, 9)]);
        assert_eq!(told(&compare(&before, &doubtful)), ["Come *?"]);
        assert!(!compare(&before, &doubtful).changed);
        // Of a router with an address, the likeliest of the links counts: all of them may be missed together.
        let narrow = [(0, 1, 20), (1, 2, 5), (1, 3, 5), (2, 9, 5), (3, 9, 5)];
        let wide = [&narrow[..], &[(2, 4, 3), (3, 4, 3), (4, 9, 3)]].concat();
        assert_eq!(told(&compare(&map(&narrow), &map(&wide))), ["Come 4"]);
        let wide = with_uncertain(map(&wide), &[(2, 4), (3, 4)]);
        assert_eq!(told(&compare(&map(&narrow), &wide)), ["Come 4"]);
        let few = [(0, 1, 20), (1, 2, 4), (1, 3, 4), (2, 9, 4), (3, 9, 4)];
        assert_eq!(told(&compare(&map(&few), &wide)), ["Come 4?"]);
    }

    /// Flows that were seen at the far end of a link alone have shown what follows the near one.
    #[test]
    fn assumed_flows_count_as_samples() {
        let link = |flows: u32, assumed: u32, uncertain: bool| {
            let mut map = map(&[(0, 1, 20), (1, 3, flows), (3, 9, flows)]);
            for link in map.links.iter_mut().skip(1) {
                (link.assumed, link.uncertain) = (assumed, uncertain);
            }
            map.index = Index::of(&map).unwrap();
            map
        };
        let whole = map(&[(0, 1, 20), (1, 2, 9), (1, 3, 11), (2, 9, 9), (3, 9, 11)]);
        assert_eq!(told(&compare(&whole, &link(3, 0, false))), ["Gone 2?"]);
        assert_eq!(told(&compare(&whole, &link(3, 17, false))), ["Gone 2"]);
    }

    #[test]
    fn links_and_silent_routers_are_compared() {
        let before = map(&[
            (0, 1, 20),
            (1, 2, 20),
            (1, 3, 20),
            (1, 7, 20),
            (2, 9, 20),
            (3, 9, 20),
            (7, 9, 20),
        ]);
        let crossed = map(&[
            (0, 1, 20),
            (1, 2, 20),
            (1, 3, 20),
            (1, 7, 20),
            (2, 3, 20),
            (3, 9, 20),
            (7, 9, 20),
        ]);
        assert_eq!(told(&compare(&before, &crossed)), ["Gone 2-9", "Come 2-3"]);
        let loud = map(&[(0, 1, 20), (1, 2, 20), (1, 3, 20), (2, 9, 20), (3, 9, 20)]);
        assert_eq!(told(&compare(&before, &loud)), ["Gone *"]);
        assert!(matches!(Map::parse(b"{}"), Err(ParseError::Kind(_))));
    }
}
