//! Whether two traces differ by more than chance: one test of the whole trace.
//!
//! At each TTL both traces have drawn responders. If the path is unchanged, which trace a draw belongs to is a matter of
//! chance ([`chance`](crate::chance)): that gives the chance of no common responder, of a silent hop beside one that answers, and
//! of other label stacks of one router. What is told is the chance that hops of an unchanged path are together as unlikely as those
//! of these two traces ([`Evidence::chance`]), so it is one false alarm for all hops, not one for each. Loss and rate limits leave
//! fewer draws; silence counts as one of the things a hop may show.
//!
//! A balancer may choose by flow or for each packet, and a trace does not always show which: the less telling of the two counts. By
//! flow, all probes of a flow are one draw, and a flow that both traces share shows the same.

use std::collections::{BTreeMap, BTreeSet};

use super::trace::{Draw, FlowKey, Hop};
use crate::chance::{self, Seen};

/// A path has changed if chance alone shows two traces so different less often than this.
pub const SIGNIFICANCE: f64 = 0.005;
/// The chance below which a hop of a changed path counts as changed.
pub const OF_HOP: f64 = 0.05;

/// What hops of two traces say, side by side.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// What may differ, and with what chance; of a group at most one does.
    groups: Vec<Vec<f64>>,
    /// The chance of all that does differ.
    product: f64,
    differs: Vec<Differs>,
    /// Hops were asked by flows that others were asked by.
    shared: bool,
}

/// Something that differs, by its number of kinds on each side.
#[derive(Clone, Copy, Debug)]
struct Differs {
    before: usize,
    after: usize,
    /// Each side has one flow.
    one_flow: bool,
}

/// What two hops side by side may differ in.
struct Event {
    chances: Vec<f64>,
    /// The chance of what does differ.
    happened: Option<(f64, Differs)>,
    /// Whether a flow is one draw.
    by_flow: bool,
}

impl Evidence {
    /// The evidence of these pairs of hops.
    pub(super) fn of<'a>(pairs: impl IntoIterator<Item = (&'a Hop, &'a Hop)>) -> Self {
        let mut flows = BTreeSet::new();
        let (mut shared, mut all) = (false, Vec::new());
        for (before, after) in pairs {
            let asked: BTreeSet<&FlowKey> =
                before.draws.iter().chain(&after.draws).map(|draw| &draw.flow).collect();
            shared |= asked.iter().any(|flow| flows.contains(flow));
            flows.extend(asked);
            all.extend(events(before, after));
        }
        // What flows draw that hops share is drawn once: of that the least likely counts.
        let (once, each): (Vec<Event>, Vec<Event>) =
            all.into_iter().partition(|event| shared && event.by_flow);
        let happened = |events: &[Event]| -> Vec<(f64, Differs)> {
            events.iter().filter_map(|event| event.happened).collect()
        };
        let (least, every) = (happened(&once), happened(&each));
        let least_likely = least.iter().map(|it| it.0).fold(1.0, f64::min);
        let product = every.iter().map(|it| it.0).product::<f64>() * least_likely;
        let once = once.into_iter().flat_map(|event| event.chances).collect();
        let mut groups: Vec<Vec<f64>> = each.into_iter().map(|event| event.chances).collect();
        groups.push(once);
        let differs = least.into_iter().chain(every).map(|it| it.1).collect();
        Self { groups, product, differs, shared }
    }

    /// The chance that hops of an unchanged path differ at least this much.
    pub(super) fn chance(&self) -> f64 {
        chance::together(&self.groups, self.product)
    }

    /// The chance of just these differences, at just these hops; none where nothing differs.
    pub(super) fn product(&self) -> Option<f64> {
        (!self.differs.is_empty()).then_some(self.product)
    }

    /// How many queries a hop would prove a change, if all were as it looks; none if no number does.
    pub(super) fn queries(&self) -> Option<usize> {
        let growing = || self.differs.iter().filter(|it| !(it.one_flow && self.shared));
        growing().next()?;
        let chance = |queries: usize| -> f64 {
            let each = growing().map(|it| {
                let before = spread(queries, it.before).map(|count| (count, 0));
                let after = spread(queries, it.after).map(|count| (0, count));
                chance::disjoint(&before.chain(after).collect::<Vec<_>>())
            });
            each.product()
        };
        (1..=usize::from(u8::MAX)).find(|queries| chance(*queries) < SIGNIFICANCE)
    }
}

/// A number of draws, spread over a number of kinds.
fn spread(draws: usize, kinds: usize) -> impl Iterator<Item = usize> {
    let kinds = kinds.clamp(1, draws.max(1));
    (0..kinds).map(move |at| (draws + at) / kinds)
}

fn events(before: &Hop, after: &Hop) -> Vec<Event> {
    let answered = Counts::of(before, after, |draw| Some(draw.answer.is_some()));
    let responders = Counts::of(before, after, |draw| Some(draw.answer.as_ref()?.0));
    let mut events = vec![responders.parting()];
    events.extend(answered.silence());
    for address in before.labels.keys().filter(|it| after.labels.contains_key(*it)) {
        let stacks = Counts::of(before, after, |draw| {
            let (responder, stack) = draw.answer.as_ref()?;
            (responder == address).then_some(stack)
        });
        events.push(stacks.parting());
    }
    events
}

/// How often each kind was drawn on either side.
type Kinds<K> = BTreeMap<K, Seen>;

/// What two hops drew.
struct Counts<K> {
    packets: Kinds<K>,
    /// One draw for each flow; none where flows do not decide, or both sides have one in common.
    flows: Option<Kinds<K>>,
}

impl<K: Copy + Ord> Counts<K> {
    fn of<'a>(before: &'a Hop, after: &'a Hop, kind: impl Fn(&'a Draw) -> Option<K>) -> Self {
        let mut packets = Kinds::new();
        let sides = [before, after].map(|hop| {
            let drawn = hop.draws.iter().filter_map(|draw| Some((&draw.flow, kind(draw)?)));
            let mut of_flow: BTreeMap<&FlowKey, BTreeSet<K>> = BTreeMap::new();
            for (flow, kind) in drawn {
                of_flow.entry(flow).or_default().insert(kind);
            }
            of_flow
        });
        for (side, hop) in [before, after].into_iter().enumerate() {
            hop.draws.iter().filter_map(&kind).for_each(|kind| note(&mut packets, kind, side));
        }
        let [one, other] = &sides;
        let decided = sides.iter().flat_map(BTreeMap::values).all(|kinds| kinds.len() == 1);
        let common = one.keys().any(|flow| other.contains_key(flow));
        let mut flows = Kinds::new();
        for (side, of_flow) in sides.iter().enumerate() {
            of_flow.values().flatten().for_each(|kind| note(&mut flows, *kind, side));
        }
        Self { packets, flows: (decided && !common).then_some(flows) }
    }

    /// The less telling of what packets and flows say, and whether flows do.
    fn chance(&self, of: impl Fn(&Kinds<K>) -> f64) -> f64 {
        let flows = self.flows.as_ref().map_or(0.0, &of);
        of(&self.packets).max(flows)
    }

    /// Both sides have no kind in common.
    fn parting(&self) -> Event {
        let chance =
            self.chance(|kinds| chance::disjoint(&kinds.values().copied().collect::<Vec<_>>()));
        let [before, after] = [0, 1].map(|side| self.kinds(side));
        let apart = self.packets.values().all(|(before, after)| *before == 0 || *after == 0);
        let differs = Differs { before, after, one_flow: self.one_flow() };
        let happened = (apart && before > 0 && after > 0).then_some((chance, differs));
        Event { chances: vec![chance], happened, by_flow: self.flows.is_some() }
    }

    fn kinds(&self, side: usize) -> usize {
        self.packets.values().filter(|seen| at(**seen, side) > 0).count()
    }

    fn one_flow(&self) -> bool {
        let draws = |side| -> usize {
            self.flows.iter().flat_map(BTreeMap::values).map(|seen| at(*seen, side)).sum()
        };
        self.flows.is_some() && draws(0) <= 1 && draws(1) <= 1
    }
}

impl Counts<bool> {
    /// One side is silent, the other is not.
    fn silence(&self) -> Option<Event> {
        let all = |kinds: &Kinds<bool>, side| -> usize {
            kinds.values().map(|seen| at(*seen, side)).sum()
        };
        if all(&self.packets, 0) == 0 || all(&self.packets, 1) == 0 {
            return None;
        }
        let some = |kinds: &Kinds<bool>| kinds.get(&true).copied().unwrap_or_default();
        let chances = [0, 1].map(|side| {
            self.chance(|kinds| {
                let answered = some(kinds).0 + some(kinds).1;
                chance::within(answered, all(kinds, side), all(kinds, 1 - side))
            })
        });
        let [only_before, only_after] = chances;
        let differs = Differs { before: 1, after: 1, one_flow: self.one_flow() };
        let happened = match some(&self.packets) {
            (1.., 0) => Some((only_before, differs)),
            (0, 1..) => Some((only_after, differs)),
            _ => None,
        };
        let silent = some(&self.packets) == (0, 0);
        let by_flow = self.flows.is_some();
        (!silent).then(|| Event { chances: chances.to_vec(), happened, by_flow })
    }
}

fn note<K: Ord>(kinds: &mut Kinds<K>, kind: K, side: usize) {
    let (before, after) = kinds.entry(kind).or_default();
    *(if side == 0 { before } else { after }) += 1;
}

const fn at((before, after): Seen, side: usize) -> usize {
    if side == 0 { before } else { after }
}
