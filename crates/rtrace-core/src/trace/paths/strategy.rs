//! Which flow is to be asked at which hop next: MDA, and MDA-Lite where it will do.
//!
//! Hop after hop, what lies beyond its routers is enumerated. MDA does so router by router: it needs flows that
//! are known to pass each (node control) and finds them by trying. MDA-Lite (Vermeulen, Strowes, Fourmaux and
//! Friedman, "Multilevel MDA-Lite Paris Traceroute", IMC 2018) takes all routers of a hop for one, which needs
//! far fewer flows, and is right where each router of a diamond has as many next hops as the others and
//! shares none. That is tested, by [`MESHING`] flows of each router; where it does not hold, the whole diamond is
//! asked again as MDA does.
//!
//! Nothing is remembered: each time, all that is known is gone through from the first hop, up to the first of
//! which something is still to be found out.

use std::collections::BTreeSet;

use super::counters::Verdict;
use super::graph::{Graph, sure_repeats};
use super::level::Place;
use super::plan::MAX_FLOWS;
use super::rule::Rule;
use super::silence::Open;

/// φ of the paper: flows of each router by which it is tested whether routers share next hops.
const MESHING: usize = 2;
/// Hops that are silent in a row after which no further one is asked.
const SILENT_HOPS: usize = 5;
/// The search for flows through a router ends when fewer than one in this number of the tried flows reach it.
const SEARCH: usize = 128;
/// The same limit for a silent place, which loss alone may have made.
const SEARCH_SILENT: usize = 16;
/// How many flows have to be seen at the only router of a hop, for each router of the next.
const SEEING: usize = 6;
/// How many probes go to a hop at a time while it loses more than it answers.
const FEW: usize = 2;
/// How many probes of a hop may be lost, beyond three for each answered one, before rtrace stops asking it for proof.
const LOST: usize = 20;
/// Most flows that are tried at a time in search of those of one router.
const TRIED_AT_ONCE: usize = 64;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask these flows at these TTLs.
    Ask(Vec<(u16, u8)>),
    /// Wait for answers.
    Wait,
    /// Nothing: everything is known, or will not be.
    Done,
}

/// What to do next, by a rule and, with `every_router`, without short cuts.
///
/// Where answers are waited for, the hops beyond are asked meanwhile for what is wanted by what is known of them:
/// that is wanted in any case. Flows are not searched for before all that are known have been asked at every hop: behind
/// branches of different length, a router that lacks flows at one hop has them at another.
pub(super) fn next(graph: &Graph, rule: Rule, every_router: bool) -> Step {
    match pass(graph, rule, every_router, false) {
        Step::Done => pass(graph, rule, every_router, true),
        step => step,
    }
}

/// One pass over the hops for the next step; with `search`, flows are searched for where some are lacking.
fn pass(graph: &Graph, rule: Rule, every_router: bool, search: bool) -> Step {
    let mut waiting = false;
    for upper in 0..graph.levels().len().saturating_sub(1) {
        let levels = graph.levels();
        let live = levels[upper].live().next().is_some();
        let silent = levels[..=upper].iter().rev().take_while(|level| level.is_silent()).count();
        // The prober itself has no address here and is not meant.
        if !live || silent > SILENT_HOPS {
            break;
        }
        match behind(graph, rule, upper, every_router, search) {
            Step::Done => {}
            Step::Wait => waiting = true,
            ask @ Step::Ask(_) => return ask,
        }
    }
    if waiting { Step::Wait } else { Step::Done }
}

/// What to do of the links beyond one hop.
fn behind(graph: &Graph, rule: Rule, upper: usize, every_router: bool, search: bool) -> Step {
    let parting = graph.parting(upper);
    let shaky = graph.is_shaky(upper);
    let variable_queries =
        !shaky && (parting..upper).any(|level| graph.has_unequal_branches(level));
    let step = Need::of(graph, rule, upper, every_router || variable_queries, search).step();
    let lite = !every_router && !variable_queries && !shaky;
    if step != Step::Done || !lite || !graph.has_unequal_branches(upper) {
        return step;
    }
    let mut again =
        (parting..=upper).map(|level| Need::of(graph, rule, level, true, search).step());
    again.find(|step| *step != Step::Done).unwrap_or(Step::Done)
}

/// What is needed of the links beyond one hop.
struct Need<'a> {
    graph: &'a Graph,
    rule: Rule,
    upper: usize,
    asks: Vec<(u16, u8)>,
    asked: BTreeSet<(u16, usize)>,
    waiting: bool,
    search: bool,
    /// Flows are lacking that were not searched for.
    lacking: bool,
    /// How many flows are asked to be seen at the only router of the hop.
    seeing: usize,
}

impl<'a> Need<'a> {
    fn of(graph: &'a Graph, rule: Rule, upper: usize, every_router: bool, search: bool) -> Self {
        let asks = Vec::new();
        let mut need = Self {
            graph,
            rule,
            upper,
            asks,
            asked: BTreeSet::new(),
            waiting: false,
            search,
            lacking: false,
            seeing: 0,
        };
        let shaky = graph.is_shaky(upper);
        need.settle_open();
        if every_router && !shaky {
            need.enumerate_each();
        } else {
            need.enumerate_all();
        }
        if need.is_met() && !shaky {
            need.link_all();
        }
        if need.is_met() && !shaky && !every_router {
            need.test_meshing();
        }
        if need.is_met() && !shaky {
            need.test_packets();
        }
        if need.is_met() {
            need.prove_flows();
        }
        need
    }

    fn is_met(&self) -> bool {
        self.asks.is_empty() && !self.waiting && !self.lacking
    }

    fn step(self) -> Step {
        match (self.asks.is_empty(), self.waiting) {
            (false, _) => Step::Ask(self.asks),
            (true, true) => Step::Wait,
            (true, false) => Step::Done,
        }
    }

    fn ask(&mut self, flow: u16, level: usize) {
        let ttl = self.graph.levels()[level].ttl;
        if ttl > 0 && self.asked.insert((flow, level)) {
            self.asks.push((flow, ttl));
        }
    }

    /// Flows that were asked and whose place is not known, and addresses that may be of one router.
    fn settle_open(&mut self) {
        for (_, verdict) in &self.below().together {
            let Verdict::Open(asks) = verdict else { continue };
            self.waiting |= asks.is_empty();
            let new = asks.iter().filter(|ask| !self.asks.contains(ask)).copied();
            let new: Vec<(u16, u8)> = new.collect();
            self.asks.extend(new);
        }
        let open: Vec<(u16, Open)> = self.below().open().iter().map(|it| (*it.0, *it.1)).collect();
        for (flow, state) in open {
            match state {
                Open::Waiting => self.waiting = true,
                Open::Retry => self.ask(flow, self.upper + 1),
                Open::Unplaced => self.locate(flow, self.upper),
                Open::Doubtful(control) => self.ask(control, self.upper + 1),
                Open::Unknown => {}
            }
        }
    }

    fn below(&self) -> &'a super::level::Level {
        &self.graph.levels()[self.upper + 1]
    }

    /// Finds out where a flow passes a hop.
    fn locate(&mut self, flow: u16, level: usize) {
        if self.graph.place_of(flow, level).is_some() {
            return;
        }
        match self.graph.levels()[level].open().get(&flow) {
            Some(Open::Waiting) => self.waiting = true,
            Some(Open::Unplaced) if level > 0 => self.locate(flow, level - 1),
            _ => self.ask(flow, level),
        }
    }

    /// MDA: what lies beyond each router, by flows that pass it.
    fn enumerate_each(&mut self) {
        let (graph, upper) = (self.graph, self.upper);
        if graph.levels()[upper].is_sole() {
            return self.enumerate_all();
        }
        let mut missing = Vec::new();
        for (index, place) in graph.levels()[upper].live() {
            let open = place.flows.iter().filter(|it| self.below().open().contains_key(it)).count();
            let shown = graph.shown(place);
            let wanted = self.rule.flows(shown.next);
            let lacking = wanted.saturating_sub(shown.flows + open);
            let untried = place.flows.iter().filter(|flow| !self.below().is_asked(**flow));
            let flows: Vec<u16> = untried.copied().take(lacking).collect();
            let left = lacking - flows.len();
            for flow in flows {
                self.ask(flow, upper + 1);
            }
            if left > 0 {
                missing.push((index, left));
            }
        }
        self.find(upper, &missing);
    }

    /// MDA-Lite: what lies beyond all routers of a hop together.
    fn enumerate_all(&mut self) {
        let (graph, upper) = (self.graph, self.upper);
        let below = self.below();
        let wanted = self.rule.flows(below.places.len());
        let mut lacking = wanted.saturating_sub(below.seen().len() + below.open().len());
        let free = |flow: &u16| !below.is_asked(*flow) && !graph.has_ended(*flow, upper + 1);
        let mut reused: Vec<Vec<u16>> = graph.levels()[upper]
            .live()
            .map(|(_, place)| place.flows.iter().copied().filter(free).rev().collect())
            .collect();
        // One of each router after the other, so that all have their share.
        while lacking > 0 && reused.iter().any(|flows| !flows.is_empty()) {
            for flow in reused.iter_mut().filter_map(Vec::pop).take(lacking) {
                self.ask(flow, upper + 1);
                lacking -= 1;
            }
        }
        let mut fresh = (0..MAX_FLOWS)
            .filter(|flow| free(flow) && self.graph.levels()[upper].seen().get(flow).is_none());
        for flow in fresh.by_ref().take(lacking).collect::<Vec<_>>() {
            self.ask(flow, upper + 1);
        }
    }

    /// Every place below is to have one above, and every one above one below. That flows pass the only place above is to be seen of
    /// one flow of each place below: another place there may have been missed.
    fn link_all(&mut self) {
        let (graph, upper) = (self.graph, self.upper);
        let above = &graph.levels()[upper];
        for (index, place) in self.below().places.iter().enumerate() {
            if above.is_sole() && !above.places.iter().any(|it| it.seen.contains_key(&index)) {
                self.see_above(place);
            }
            if graph.before(upper + 1, index).is_empty()
                && let Some(flow) = place.flows.first()
            {
                self.locate(*flow, upper);
            }
        }
        for (_, place) in graph.levels()[upper].live().filter(|(_, place)| place.next.is_empty()) {
            if let Some(flow) = place.flows.iter().find(|flow| !self.below().is_asked(**flow)) {
                self.ask(*flow, upper + 1);
            }
        }
    }

    /// Asks a flow of this place at the hop above, one after the other until one is answered or too many were not.
    fn see_above(&mut self, place: &Place) {
        let above = &self.graph.levels()[self.upper];
        if place.flows.iter().any(|flow| above.open().get(flow) == Some(&Open::Waiting)) {
            self.waiting = true;
            return;
        }
        let tried: usize = place.flows.iter().map(|flow| above.tried(*flow)).sum();
        let next = place.flows.iter().min_by_key(|flow| (above.tried(**flow), **flow));
        let most = if above.is_scarce(4) { 1 } else { SEEING };
        if let Some(flow) = next.filter(|_| tried < most) {
            if above.is_scarce(1) && self.seeing >= FEW {
                self.waiting = true;
                return;
            }
            self.seeing += 1;
            self.ask(*flow, self.upper);
        }
    }

    /// Where links depend on it: whether packets of one flow pass this hop at one place. After a router that chooses for each packet, whether
    /// this hop is one place for all of them.
    fn prove_flows(&mut self) {
        let (graph, upper) = (self.graph, self.upper);
        let here = &graph.levels()[upper];
        if here.is_sole() {
            let chooses = here.live().any(|(_, place)| place.per_packet);
            if chooses || graph.is_shaky(upper) {
                self.prove_sole();
            }
            return;
        }
        let chooses = here.live().any(|(_, place)| place.per_packet);
        if graph.is_shaky(upper) || !chooses && !graph.is_crossed(upper) {
            return;
        }
        for (level, index, lacking) in graph.unproven(upper) {
            let below = &graph.levels()[level + 1];
            let flows = &graph.levels()[level].places[index].flows;
            let answered = |flow: &&u16| (below.hopeful(**flow), u16::MAX - **flow);
            let Some(flow) = flows.iter().filter(|it| below.is_asked(**it)).max_by_key(answered)
            else {
                continue;
            };
            let answered = below.repeats(flows);
            let times = self.worthwhile(level + 1, answered, lacking);
            self.asks.extend(std::iter::repeat_n((*flow, below.ttl), times));
        }
    }

    /// More packets at a hop that seems to be one place.
    fn prove_sole(&mut self) {
        let here = &self.graph.levels()[self.upper];
        let unseen = self.below().seen().keys().filter(|flow| !here.is_asked(**flow));
        let unseen: BTreeSet<u16> = unseen.copied().collect();
        let known = here.places.iter().flat_map(|place| &place.flows).copied();
        let flows: Vec<u16> = unseen.into_iter().chain(known).collect();
        let lacking = (sure_repeats(2) + 1).saturating_sub(here.answers());
        let times = self.worthwhile(self.upper, here.answers(), lacking);
        self.asks.extend(flows.iter().cycle().take(times).map(|flow| (*flow, here.ttl)));
    }

    /// How many of the lacking probes to send to a hop now, given how many of its flows were answered: fewer at a time where
    /// many are not answered, and in the end none.
    fn worthwhile(&mut self, level: usize, answered: usize, lacking: usize) -> usize {
        let here = &self.graph.levels()[level];
        let coming = here.asked.values().sum::<usize>().saturating_sub(here.answers());
        if lacking == 0 || here.lost() > 3 * answered + LOST {
            return 0;
        }
        self.waiting |= coming > 0;
        let lacking = if here.is_scarce(1) { lacking.min(FEW) } else { lacking };
        if here.is_scarce(1) && coming > 0 { 0 } else { lacking.saturating_sub(coming) }
    }

    /// MDA-Lite: whether routers share next hops, by [`MESHING`] flows of each on the wider side.
    fn test_meshing(&mut self) {
        let (graph, upper) = (self.graph, self.upper);
        let above = &graph.levels()[upper];
        let widths = (above.live().count(), self.below().places.len());
        if widths.0 < 2 || widths.1 < 2 {
            return;
        }
        let forward = widths.0 >= widths.1;
        let (from, to) = if forward { (upper, upper + 1) } else { (upper + 1, upper) };
        let mut missing = Vec::new();
        for (index, place) in graph.levels()[from].places.iter().enumerate() {
            if forward && place.ends {
                continue;
            }
            let known = place.flows.iter().filter(|it| graph.place_of(**it, to).is_some()).count();
            let mut lacking = MESHING.saturating_sub(known);
            for flow in &place.flows {
                if lacking == 0 {
                    break;
                }
                if graph.place_of(*flow, to).is_none() {
                    self.locate(*flow, to);
                    lacking -= 1;
                }
            }
            if lacking > 0 {
                missing.push((index, lacking));
            }
        }
        self.find(from, &missing);
    }

    /// Whether routers that branch choose for each packet: one flow of each is repeated.
    fn test_packets(&mut self) {
        let (graph, upper) = (self.graph, self.upper);
        let below = self.below();
        for (_, place) in graph.levels()[upper].live().filter(|(_, it)| it.next.len() > 1) {
            if place.per_packet {
                continue;
            }
            let flows = place.next.values().flatten();
            let Some(flow) = flows.max_by_key(|it| (below.hopeful(**it), u16::MAX - **it)) else {
                continue;
            };
            let wanted = self.rule.repeats(place.next.len()) + 1;
            for _ in below.hopeful(*flow)..wanted {
                self.asks.push((*flow, below.ttl));
            }
        }
    }

    /// Node control: tries flows at a hop that may pass these places, each with the number of flows that it lacks.
    fn find(&mut self, level: usize, missing: &[(usize, usize)]) {
        if !self.search {
            self.lacking |= !missing.is_empty();
            return;
        }
        let graph = self.graph;
        let here = &graph.levels()[level];
        let under_way = here.open().values().filter(|open| **open == Open::Waiting).count();
        self.waiting |= under_way > 0 && !missing.is_empty();
        let mut under_way = under_way;
        for (place, wanted) in missing {
            let hits = here.places[*place].flows.len().max(1);
            let silent = here.places[*place].address.is_none();
            let search = if silent { SEARCH_SILENT } else { SEARCH };
            if here.asked() >= search * (hits + wanted) {
                continue;
            }
            // As many as will have them, if flows go on as they did.
            let tries = (wanted * here.asked().max(1)).div_ceil(hits);
            let count = tries.clamp(1, TRIED_AT_ONCE).saturating_sub(under_way);
            let flows = self.candidates(level, *place, count);
            under_way += flows.len();
            for flow in flows {
                self.ask(flow, level);
            }
        }
    }

    /// Flows that were not asked at this hop and may pass this place: first those of which the hops before
    /// show it.
    fn candidates(&self, level: usize, place: usize, count: usize) -> Vec<u16> {
        let graph = self.graph;
        let mut ways = vec![BTreeSet::from([place])];
        for before in (1..=level).rev() {
            let next = ways.last().into_iter().flatten();
            let from: BTreeSet<usize> =
                next.flat_map(|place| graph.before(before, *place)).collect();
            if from.is_empty() {
                break;
            }
            ways.push(from);
        }
        // How far before the hop it was seen on a path there; None if elsewhere.
        let nearness = |flow: u16| {
            for (back, places) in ways.iter().enumerate().skip(1) {
                if let Some(seen) = graph.levels()[level - back].seen().get(&flow) {
                    return places.contains(seen).then_some(back);
                }
            }
            Some(ways.len())
        };
        let here = &graph.levels()[level];
        let free = |flow: &u16| {
            let asked = here.is_asked(*flow) || self.asked.contains(&(*flow, level));
            !asked && !graph.has_ended(*flow, level)
        };
        let known = graph.levels()[..level].iter().flat_map(|level| level.seen().keys()).copied();
        let known: BTreeSet<u16> = known.filter(free).collect();
        let mut near: Vec<(usize, u16)> =
            known.iter().filter_map(|flow| Some((nearness(*flow)?, *flow))).collect();
        near.sort_unstable();
        let near = near.into_iter().map(|(_, flow)| flow);
        let fresh = (0..MAX_FLOWS).filter(|flow| free(flow) && !known.contains(flow));
        near.chain(fresh).take(count).collect()
    }
}
