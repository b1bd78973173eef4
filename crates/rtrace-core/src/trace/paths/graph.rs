//! What the probes show together: the routers of each hop, which flows pass them, and the links between.
//!
//! A graph is made from the probes of a [`Path`] alone, so that a replay makes the same. A place is a router's
//! address at one hop; the same address at another hop is another place. Where no flow passes both, branches of
//! different lengths lead to one router, whose next hops are then counted together. A flow that nobody answers for
//! at a hop passes a silent place there: one for each place that it comes from. After a place that is the only one of its hop,
//! every flow has passed it, asked or not, unless some end before. That is how next hops are counted; it is an assumption, since another
//! place of that hop may have been missed. So a link is certain only if one flow was seen at both its ends.
//!
//! Where a flow was asked twice and shown two routers, the router before chooses for each packet: from there
//! to the next hop that is one place alone, flows say nothing of links. Where it was shown two addresses of one
//! router, these are one place.

mod circle;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::alias::Aliases;
use super::counters::Controls;
use super::level::{Level, Place};
use super::plan::Flows;
use super::silence::{Control, Open, telling};
use crate::time::Timestamp;
use crate::trace::path::{Outcome, Path, Probe};
use crate::trace::reply::Reply;

/// The graph so far.
#[derive(Clone, Debug)]
pub struct Graph {
    levels: Vec<Level>,
    /// The routers that are seen at several hops, by different flows.
    apart: HashMap<IpAddr, Shown>,
    /// The flows whose end was seen, and the hop where it was seen first.
    ended: HashMap<u16, usize>,
    /// For each hop, whether a router before it chooses for each packet.
    shaky: Vec<bool>,
}

/// A router that chooses for each packet looks like one that does not with at most this chance, where links depend on it.
const MISTAKEN: f64 = 1e-4;

/// How often flows are repeated after a router with this number of next hops before its kind is certain.
pub(super) fn sure_repeats(next: usize) -> usize {
    let next = f64::from(u32::try_from(next.max(2)).unwrap_or(u32::MAX));
    let sure = |repeats: &i32| next.powi(-*repeats) <= MISTAKEN;
    (1..=64).find(sure).and_then(|repeats| usize::try_from(repeats).ok()).unwrap_or(64)
}

/// How much is known of what lies beyond a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shown {
    /// How many next hops it has.
    pub next: usize,
    /// How many flows have shown them.
    pub flows: usize,
}

/// What the state of a run adds to its path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending<'a> {
    /// Probes that were handed out and not yet captured: flow and TTL.
    pub(super) leaving: &'a [(u16, u8)],
    /// Where nothing at all was answered, probes sent up to then are taken for silent already.
    pub(super) silent_up_to: Option<Timestamp>,
}

/// Which answers are believed that quote nothing: not one from nearer than a router says of that flow that its TTL ran
/// out, unless it comes again and again. And which errors end a flow: none that is answered beyond.
struct Believed {
    flows: Flows,
    target: IpAddr,
    /// The highest TTL of each flow that ran out or that the target answered.
    goes_on: HashMap<u16, u8>,
    /// The highest TTL of each flow of which a router said so.
    ran_out: HashMap<u16, u8>,
    /// How many such answers there are of a flow at a TTL.
    answers: HashMap<(u16, u8), usize>,
}

impl Believed {
    /// The number of answers that are believed against any evidence.
    const MANY: usize = 3;

    fn of(path: &Path, flows: Flows) -> Self {
        let mut believed = Self {
            flows,
            target: path.target,
            goes_on: HashMap::new(),
            ran_out: HashMap::new(),
            answers: HashMap::new(),
        };
        for (ttl, probe) in path.probes() {
            let Some((flow, reply)) = flows.number(&probe.key).zip(telling(probe)) else {
                continue;
            };
            if reply.kind.in_transit() || reply.is_of_target(path.target) {
                believed.goes_on.insert(flow, ttl);
            }
            if reply.kind.in_transit() {
                believed.ran_out.insert(flow, ttl);
            } else if reply.is_answer() {
                *believed.answers.entry((flow, ttl)).or_default() += 1;
            }
        }
        believed
    }

    /// Whether the flow ends where this reply to its probe with this TTL comes from.
    fn ends(&self, flow: u16, ttl: u8, reply: &Reply) -> bool {
        let goes_on = || self.goes_on.get(&flow).is_some_and(|farthest| ttl <= *farthest);
        reply.is_of_target(self.target) || reply.may_end() && !goes_on()
    }

    /// Whether what answered this probe is among them, if it quotes nothing.
    fn has(&self, ttl: u8, probe: &Probe) -> bool {
        let Some(flow) = self.flows.number(&probe.key) else { return true };
        let few = self.answers.get(&(flow, ttl)).is_some_and(|count| *count < Self::MANY);
        let farther = self.ran_out.get(&flow).is_some_and(|farthest| ttl <= *farthest);
        !(few && farther && telling(probe).is_some_and(Reply::is_answer))
    }
}

/// What the probes of a run say beside where each was answered.
struct Evidence<'a> {
    believed: Believed,
    controls: Controls<'a>,
    pending: Pending<'a>,
}

impl Graph {
    pub(super) fn of(path: &Path, ttls: (u8, u8), flows: Flows, pending: Pending<'_>) -> Self {
        let source = Place::new(None, false, None);
        let mut graph = Self {
            levels: vec![Level { places: vec![source], ..Level::default() }],
            apart: HashMap::new(),
            ended: HashMap::new(),
            shaky: Vec::new(),
        };
        let evidence = Evidence {
            believed: Believed::of(path, flows),
            controls: Controls::new(path, ttls, flows, pending.leaving),
            pending,
        };
        let believed = &evidence.believed;
        for ttl in ttls.0..=ttls.1 {
            let probes = path.hop(ttl).map_or(&[][..], |hop| &hop.probes);
            let mut by_flow: BTreeMap<u16, Vec<&Probe>> = BTreeMap::new();
            for probe in probes.iter().filter(|probe| believed.has(ttl, probe)) {
                if let Some(flow) = flows.number(&probe.key) {
                    by_flow.entry(flow).or_default().push(probe);
                }
            }
            for (flow, _) in pending.leaving.iter().filter(|(_, leaving)| *leaving == ttl) {
                by_flow.entry(*flow).or_default();
            }
            by_flow.retain(|flow, _| !graph.ended.contains_key(flow));
            graph.add_level(ttl, &by_flow, &evidence);
            let index = graph.levels.len() - 1;
            let places = graph.levels.last().into_iter().flat_map(|level| &level.places);
            let ending = places.filter(|place| place.ends).flat_map(|place| &place.flows);
            graph.ended.extend(ending.map(|flow| (*flow, index)));
        }
        graph.link();
        graph.find_circles();
        graph.put_together();
        graph
    }

    fn add_level(
        &mut self,
        ttl: u8,
        by_flow: &BTreeMap<u16, Vec<&Probe>>,
        evidence: &Evidence<'_>,
    ) {
        let Evidence { believed, controls, pending: Pending { leaving, silent_up_to } } = evidence;
        let behind_an_end = !self.ended.is_empty();
        let mut level = Level { ttl, behind_an_end, ..Level::default() };
        let any = by_flow.values().flatten().any(|probe| telling(probe).is_some());
        let control = Control::of(by_flow);
        let aliases = Aliases::of(ttl, by_flow, telling, controls);
        for (flow, probes) in by_flow {
            let leaves = leaving.iter().filter(|it| **it == (*flow, ttl)).count();
            let flow = *flow;
            let waits = |probe: &&&Probe| {
                let silent = !any && probe.sent <= *silent_up_to;
                probe.outcome == Outcome::Waiting && !silent
            };
            let answers = probes.iter().filter(|probe| telling(probe).is_some()).count();
            let waiting = leaves + probes.iter().filter(waits).count();
            level.asked.insert(flow, answers + waiting);
            level.answered.insert(flow, answers);
            level.tried.insert(flow, leaves + probes.len());
            if answers > 0 {
                level.place_answers(flow, probes, &aliases, |it| believed.ends(flow, ttl, it));
            } else if waiting > 0 {
                level.open.insert(flow, Open::Waiting);
            } else if let Some(open) = control.judge(probes.len()).filter(|_| any) {
                level.open.insert(flow, open);
            } else if let Some(after) = self.place_of(flow, self.levels.len() - 1) {
                let index = level.place(None, false, Some(after));
                level.put(flow, index, None);
            } else {
                level.open.insert(flow, Open::Unplaced);
            }
        }
        level.find_together(controls);
        self.levels.push(level);
    }

    /// Draws the links, and marks who chooses for each packet.
    fn link(&mut self) {
        for upper in 0..self.levels.len() {
            let shaky = self.becomes_shaky(upper);
            self.shaky.push(shaky);
            let Some((before, [below, ..])) = self.levels.split_at_mut_checked(upper + 1) else {
                continue;
            };
            let Some(above) = before.last_mut() else { continue };
            // A flow that was seen at several places came to each of them, if it has one place above.
            let flows_at = |(to, place): (usize, &Place)| {
                let own = |flow: &u16| !shaky || below.at.get(flow) == Some(&to);
                place.flows.iter().copied().filter(own).map(|flow| (flow, to)).collect::<Vec<_>>()
            };
            for (flow, to) in below.places.iter().enumerate().flat_map(flows_at) {
                let seen = upper == 0 || above.at.contains_key(&flow);
                let from = above.place_of(flow);
                let Some(place) = from.and_then(|from| above.places.get_mut(from)) else {
                    continue;
                };
                place.next.entry(to).or_default().insert(flow);
                if seen {
                    place.seen.entry(to).or_default().insert(flow);
                }
                place.per_packet |= !shaky && below.wavering.contains(&flow);
            }
        }
    }

    /// Whether flows say nothing of the links after this hop; of the hops before it that is known. One place is the only one for
    /// certain once enough packets have shown no other: each went its own way.
    fn becomes_shaky(&self, level: usize) -> bool {
        let Some(above) = level.checked_sub(1) else { return false };
        let chooses = |level: &Level| level.places.iter().any(|place| place.per_packet);
        let shaky = self.is_shaky(above) || self.levels.get(above).is_some_and(chooses);
        shaky && !self.is_surely_sole(level)
    }

    /// Marks where flows go round.
    fn find_circles(&mut self) {
        let places = self
            .levels
            .iter()
            .enumerate()
            .flat_map(|(level, here)| here.live().map(move |(place, _)| (level, place)));
        let circles = places.filter_map(|(level, place)| {
            circle::through(self, level, place).map(|circle| (level, place, circle))
        });
        for (level, place, circle) in circles.collect::<Vec<_>>() {
            if let Some(place) = self.levels.get_mut(level).and_then(|it| it.places.get_mut(place))
            {
                place.circles = Some(circle);
            }
        }
    }

    /// Finds the routers that are seen at several hops.
    fn put_together(&mut self) {
        let mut places: HashMap<IpAddr, Vec<(usize, &Place)>> = HashMap::new();
        for (level, here) in self.levels.iter().enumerate() {
            for (_, place) in here.live() {
                if let Some(address) = place.address {
                    places.entry(address).or_default().push((level, place));
                }
            }
        }
        let mut apart = HashMap::new();
        for (address, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
            let mut flows = BTreeSet::new();
            let own = places.iter().flat_map(|(_, place)| &place.flows).all(|it| flows.insert(*it));
            let next = places.iter().flat_map(|(level, place)| {
                let below = self.levels.get(level + 1).map_or(&[][..], |below| &below.places);
                place.next.keys().filter_map(|index| below.get(*index)).map(|next| next.address)
            });
            let next = next.collect::<BTreeSet<_>>().len();
            let flows = places.iter().map(|(_, place)| place.samples()).sum();
            if own {
                apart.insert(address, Shown { next, flows });
            }
        }
        self.apart = apart;
    }

    /// How much is known of what lies beyond this place: behind its router, where other flows pass that at
    /// other hops.
    #[must_use]
    pub fn shown(&self, place: &Place) -> Shown {
        let apart = place.address.and_then(|address| self.apart.get(&address)).copied();
        apart.unwrap_or_else(|| Shown { next: place.next.len(), flows: place.samples() })
    }

    /// The hops, the prober itself first.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Where this flow passes a hop, as far as is known.
    #[must_use]
    pub fn place_of(&self, flow: u16, level: usize) -> Option<usize> {
        self.levels.get(level)?.place_of(flow)
    }

    /// Whether this flow does not come as far as this hop, as far as is known.
    #[must_use]
    pub fn has_ended(&self, flow: u16, level: usize) -> bool {
        self.ended.get(&flow).is_some_and(|end| *end < level)
    }

    /// The hop from which on flows may have parted on the way to this one: the last that is one place.
    #[must_use]
    pub fn parting(&self, level: usize) -> usize {
        (0..=level).rev().find(|at| self.levels[*at].is_sole()).unwrap_or(0)
    }

    /// Whether flows say nothing of the links after this hop: a router before it chooses for each packet.
    #[must_use]
    pub fn is_shaky(&self, level: usize) -> bool {
        self.shaky.get(level) == Some(&true)
    }

    /// Whether all packets pass one place of this hop, even if a router before it chose for each packet.
    fn is_surely_sole(&self, level: usize) -> bool {
        let at = |level: &Level| level.is_sole() && level.answers() > sure_repeats(2);
        level == 0 || self.levels.get(level).is_some_and(at)
    }

    /// Whether two routers of this hop share a next hop, and one of them has another one too: as it looks where packets of
    /// one flow part before.
    #[must_use]
    pub fn is_crossed(&self, level: usize) -> bool {
        let places = self.levels.get(level).map_or(&[][..], |level| &level.places);
        let several = places.iter().filter(|place| place.next.len() > 1);
        several.flat_map(|place| place.next.keys()).any(|to| self.before(level + 1, *to).len() > 1)
    }

    /// The routers before this hop, by level and index, of which it is not yet sure that they choose by the flow, and how many
    /// repeats of flows are lacking for that.
    pub(super) fn unproven(&self, level: usize) -> Vec<(usize, usize, usize)> {
        let mut unproven = Vec::new();
        for at in self.parting(level)..level {
            let (Some(here), Some(below)) = (self.levels.get(at), self.levels.get(at + 1)) else {
                continue;
            };
            for (index, place) in here.places.iter().enumerate().filter(|it| it.1.next.len() > 1) {
                let lacking =
                    sure_repeats(place.next.len()).saturating_sub(below.repeats(&place.flows));
                if lacking > 0 {
                    unproven.push((at, index, lacking));
                }
            }
        }
        unproven
    }

    /// Whether packets of one flow surely pass this hop at one place.
    #[must_use]
    pub fn keeps_flows(&self, level: usize) -> bool {
        if self.levels.get(level).is_some_and(Level::is_sole) {
            self.is_surely_sole(level)
        } else {
            self.unproven(level).is_empty()
        }
    }

    /// Whether it is sure that packets go from this place to that of the next hop: one flow was seen at both, and each of its packets
    /// takes the same way to the first. Silence is not seen where others answer: replies may be lost or limited.
    #[must_use]
    pub fn is_certain(&self, level: usize, from: usize, to: usize) -> bool {
        let place = |level: usize, index: usize| self.levels.get(level)?.places.get(index);
        let Some((above, below)) = place(level, from).zip(place(level + 1, to)) else {
            return false;
        };
        let seen = above.seen.get(&to).is_some_and(|flows| !flows.is_empty());
        let hidden = |level: usize, place: &Place| {
            level > 0
                && place.address.is_none()
                && self.levels.get(level).is_some_and(|it| !it.is_silent())
        };
        let doubtful = above.per_packet
            || self.is_crossed(level) && !self.levels.get(level).is_some_and(Level::is_sole);
        seen && !self.is_shaky(level)
            && !hidden(level, above)
            && !hidden(level + 1, below)
            && (!doubtful || self.keeps_flows(level))
    }

    /// How many places lead to more than one.
    #[must_use]
    pub fn branching(&self) -> usize {
        let places = self.levels.iter().flat_map(|level| &level.places);
        places.filter(|place| place.next.len() > 1).count()
    }

    /// The places of the hop before that lead to this place.
    #[must_use]
    pub fn before(&self, level: usize, place: usize) -> BTreeSet<usize> {
        let before = level.checked_sub(1).and_then(|level| self.levels.get(level));
        let places = before.iter().flat_map(|level| level.places.iter().enumerate());
        places.filter(|(_, from)| from.next.contains_key(&place)).map(|(index, _)| index).collect()
    }

    /// Whether what is known of the links beyond this hop speaks against asking whole hops: routers that
    /// share next hops, branches of different width, or flows that end while others go on.
    #[must_use]
    pub fn has_unequal_branches(&self, level: usize) -> bool {
        let (Some(above), Some(below)) = (self.levels.get(level), self.levels.get(level + 1))
        else {
            return false;
        };
        let live: Vec<&Place> = above.places.iter().filter(|place| !place.ends).collect();
        let ends = below.places.iter().filter(|place| place.ends).count();
        if 0 < ends && ends < below.places.len() {
            return true;
        }
        if live.len() < 2 || below.places.len() < 2 {
            return false;
        }
        let out: Vec<usize> = live.iter().map(|place| place.next.len()).collect();
        let into: Vec<usize> =
            (0..below.places.len()).map(|at| self.before(level + 1, at).len()).collect();
        let (single, other) =
            if live.len() >= below.places.len() { (out, into) } else { (into, out) };
        single.iter().any(|links| *links > 1) || other.windows(2).any(|pair| pair[0] != pair[1])
    }
}
