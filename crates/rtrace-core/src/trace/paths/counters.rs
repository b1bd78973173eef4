//! Whether an IP-ID counter belongs to one router: compared with the other hops of the same flows.
//!
//! A NAT, a tunnel or an emulator may number the replies of all routers after it from one counter. Addresses that count together are
//! then no proof of one router. So a control sample is taken: a flow that shows these addresses is asked at the neighbouring hops, which
//! are other routers for certain, and at their own hop before and after that. If the control's IP-ID lies between those two, its router
//! counts with them, and the counter proves nothing. Only samples count of which each was asked after the one before
//! had been answered: whatever assigns the IP-IDs, they were assigned in this order.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::plan::Flows;
use super::sample::{self, Sample};
use super::silence::telling;
use crate::time::Timestamp;
use crate::trace::path::{Outcome, Path};

/// How far from the addresses a hop may be that is compared with them, if those in between are silent.
const REACH: u8 = 3;
/// How often a flow is asked at a hop until that is silent.
const SILENT: usize = 2;
/// How often a flow is asked at a hop for control samples.
const ATTEMPTS: usize = 8;
/// Two numbers of one counter that are farther apart have too much room between them.
const ROOM: u16 = 4_096;
/// How far the counters of routers on other flows may be apart.
const STRANGERS_ROOM: u16 = 256;
/// Replies may overtake one another by this number.
const OVERTAKEN: u16 = 4;

/// One answer.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    ttl: u8,
    flow: u16,
    responder: IpAddr,
    sent: Timestamp,
    at: Timestamp,
    id: u16,
}

/// What was sent of a flow at a hop.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    probes: usize,
    answers: usize,
    waiting: bool,
}

/// What the control samples say of addresses that count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The other hops of their flows count apart: they are one router.
    OneRouter,
    /// These routers of other hops count with them: the counter proves nothing.
    Shared(BTreeSet<IpAddr>),
    /// No other hop of their flows could be compared.
    NoControl,
    /// To be found out by asking these flows at these TTLs; if there are none, by answers that are still to come.
    Open(Vec<(u16, u8)>),
}

/// The answers of a run, gone through when they are first needed.
pub(super) struct Controls<'a> {
    path: &'a Path,
    ttls: (u8, u8),
    flows: Flows,
    leaving: &'a [(u16, u8)],
    counters: OnceCell<Counters>,
}

impl<'a> Controls<'a> {
    pub(super) fn new(
        path: &'a Path,
        ttls: (u8, u8),
        flows: Flows,
        leaving: &'a [(u16, u8)],
    ) -> Self {
        Self { path, ttls, flows, leaving, counters: OnceCell::new() }
    }

    pub(super) fn get(&self) -> &Counters {
        let Self { path, ttls, flows, leaving, .. } = self;
        self.counters.get_or_init(|| Counters::of(path, *ttls, *flows, leaving))
    }
}

/// Every answer of a run, and what was asked.
#[derive(Debug, Default)]
pub(super) struct Counters {
    sightings: Vec<Sighting>,
    asked: HashMap<(u16, u8), Asked>,
    ttls: (u8, u8),
}

impl Counters {
    /// The counters of these probes, and of those handed out and not yet captured.
    pub(super) fn of(path: &Path, ttls: (u8, u8), flows: Flows, leaving: &[(u16, u8)]) -> Self {
        let mut counters = Self { ttls, ..Self::default() };
        for (ttl, probe) in path.probes() {
            let Some(flow) = flows.number(&probe.key) else { continue };
            let asked = counters.asked.entry((flow, ttl)).or_default();
            asked.probes += 1;
            asked.waiting |= probe.outcome == Outcome::Waiting;
            let Some((reply, sent)) = telling(probe).zip(probe.sent) else { continue };
            asked.answers += 1;
            // Without a number, or with that of the probe, it counts on no counter; which is an answer, too.
            let id = reply.ip_id.filter(|id| *id != probe.key.ip_id).unwrap_or(0);
            let (responder, at) = (reply.responder, reply.at);
            counters.sightings.push(Sighting { ttl, flow, responder, sent, at, id });
        }
        for ask in leaving {
            let asked = counters.asked.entry(*ask).or_default();
            (asked.probes, asked.waiting) = (asked.probes + 1, true);
        }
        counters.sightings.sort_unstable_by_key(|it| (it.at, it.ttl, it.flow));
        counters
    }

    /// Whether one flow was seen at both addresses, at one hop each: then they are two routers.
    pub(super) fn are_on_one_path(&self, one: IpAddr, other: IpAddr) -> bool {
        let mut hops: BTreeMap<u16, [BTreeSet<u8>; 2]> = BTreeMap::new();
        for seen in &self.sightings {
            if let Some(at) = [one, other].iter().position(|it| *it == seen.responder) {
                hops.entry(seen.flow).or_default()[at].insert(seen.ttl);
            }
        }
        hops.values().any(|[one, other]| one.len() == 1 && other.len() == 1 && one != other)
    }

    /// Whether addresses that count together at this hop are of one router.
    pub(super) fn judge(&self, ttl: u8, group: &BTreeSet<IpAddr>) -> Verdict {
        let own = |it: &&Sighting| it.ttl == ttl && group.contains(&it.responder);
        let own: Vec<Sighting> = self.sightings.iter().filter(own).copied().collect();
        let mut flows: BTreeMap<u16, usize> = BTreeMap::new();
        for seen in &own {
            *flows.entry(seen.flow).or_default() += 1;
        }
        let most = flows.iter().max_by_key(|(flow, count)| (**count, Reverse(**flow)));
        let Some(flow) = most.map(|(flow, _)| *flow) else { return Verdict::NoControl };
        let foreign = |it: &&Sighting| it.ttl != ttl && !group.contains(&it.responder);
        let mut fits: BTreeMap<IpAddr, (usize, usize)> = BTreeMap::new();
        let mut apart = BTreeSet::new();
        for control in self.sightings.iter().filter(foreign) {
            let of_flow = flows.contains_key(&control.flow);
            let room = if of_flow { ROOM } else { STRANGERS_ROOM };
            let Some(fit) = lies_between(&own, control, room) else { continue };
            let (fitting, all) = fits.entry(control.responder).or_default();
            (*fitting, *all) = (*fitting + usize::from(fit), *all + 1);
            if !fit && of_flow {
                apart.insert(control.ttl);
            }
        }
        let fitting = fits.iter().filter(|(_, (fitting, all))| fitting == all);
        let shared: BTreeSet<IpAddr> = fitting.map(|(responder, _)| *responder).collect();
        if !shared.is_empty() {
            return Verdict::Shared(shared);
        }
        let search = Search { counters: self, ttl, group, own: &own, flow, apart: &apart };
        match search.verdict() {
            Verdict::OneRouter => search.strangers(&fits.into_keys().collect()),
            verdict => verdict,
        }
    }
}

/// Whether the control's number lies between those of the samples next to it; none if it is not clear which these are.
fn lies_between(own: &[Sighting], control: &Sighting, most: u16) -> Option<bool> {
    let before = own.iter().rfind(|it| it.at <= control.sent)?;
    let after = own.iter().find(|it| it.sent >= control.at)?;
    let room = after.id.wrapping_sub(before.id);
    let step = control.id.wrapping_sub(before.id).wrapping_add(OVERTAKEN);
    (1..=most)
        .contains(&room)
        .then_some(control.id != 0 && step <= room.saturating_add(2 * OVERTAKEN))
}

/// The search for control samples on both sides of a hop.
struct Search<'a> {
    counters: &'a Counters,
    ttl: u8,
    group: &'a BTreeSet<IpAddr>,
    own: &'a [Sighting],
    flow: u16,
    /// The hops whose routers were found to count apart.
    apart: &'a BTreeSet<u8>,
}

/// What is still needed of one side.
enum Side {
    /// Nothing: a router there counts apart.
    Apart,
    /// Nobody there answers.
    Absent,
    /// It could not be compared.
    Failed,
    Waiting,
    Ask(u8),
    /// The control sample is complete: the addresses themselves are asked next.
    Closing,
}

impl Search<'_> {
    fn verdict(&self) -> Verdict {
        let (first, last) = self.counters.ttls;
        let before = (first..self.ttl).rev().take(REACH.into());
        let after = (self.ttl + 1..=last).take(REACH.into());
        let sides = [self.side(before), self.side(after)];
        let controls = sides.iter().filter_map(|side| match side {
            Side::Ask(ttl) => Some((self.flow, *ttl)),
            _ => None,
        });
        let controls: Vec<(u16, u8)> = controls.collect();
        if sides.iter().any(|side| matches!(side, Side::Failed)) {
            Verdict::NoControl
        } else if !controls.is_empty() {
            Verdict::Open(controls)
        } else if sides.iter().any(|side| matches!(side, Side::Waiting)) {
            Verdict::Open(Vec::new())
        } else if sides.iter().any(|side| matches!(side, Side::Closing)) {
            Verdict::Open(vec![(self.flow, self.ttl)])
        } else if sides.iter().any(|side| matches!(side, Side::Apart)) {
            Verdict::OneRouter
        } else {
            Verdict::NoControl
        }
    }

    /// Routers of other flows at other hops may count with the addresses as well: those whose numbers look like it are compared, too.
    fn strangers(&self, compared: &BTreeSet<IpAddr>) -> Verdict {
        let mut others: BTreeMap<IpAddr, Vec<&Sighting>> = BTreeMap::new();
        for seen in self.counters.sightings.iter().filter(|it| it.ttl != self.ttl) {
            if !self.group.contains(&seen.responder) && !compared.contains(&seen.responder) {
                others.entry(seen.responder).or_default().push(seen);
            }
        }
        for samples in others.values().filter(|samples| self.may_count_together(samples)) {
            let Some(last) = samples.last() else { continue };
            let asked =
                self.counters.asked.get(&(last.flow, last.ttl)).copied().unwrap_or_default();
            if asked.waiting {
                return Verdict::Open(Vec::new());
            }
            let opened = self.own.first().is_some_and(|own| own.at <= last.sent);
            let closed = self.own.iter().any(|own| own.sent >= last.at);
            return match self.closing() {
                Side::Waiting => Verdict::Open(Vec::new()),
                Side::Closing if opened && !closed => Verdict::Open(vec![(self.flow, self.ttl)]),
                _ if asked.probes < ATTEMPTS => Verdict::Open(vec![(last.flow, last.ttl)]),
                _ => continue,
            };
        }
        Verdict::OneRouter
    }

    /// Whether these numbers and those of the addresses go up in small steps together.
    fn may_count_together(&self, samples: &[&Sighting]) -> bool {
        let all = samples.iter().copied().chain(self.own);
        let mut all: Vec<Sample> = all.map(|it| (it.at, it.id)).collect();
        all.sort_unstable();
        // Hops differ in their round trips: replies are not in the order in which they were numbered.
        let overtaken = |pair: &[Sample]| pair[0].1.wrapping_sub(pair[1].1) <= STRANGERS_ROOM;
        let follows = |pair: &[Sample]| sample::follows(pair[0], pair[1]) || overtaken(pair);
        samples.iter().all(|it| it.id != 0) && all.windows(2).all(follows)
    }

    /// What is needed of the nearest of these hops that answers.
    fn side(&self, ttls: impl Iterator<Item = u8>) -> Side {
        for ttl in ttls {
            let asked = self.asked(ttl);
            let seen = |it: &&Sighting| (it.flow, it.ttl) == (self.flow, ttl);
            let answers: Vec<&Sighting> = self.counters.sightings.iter().filter(seen).collect();
            if self.apart.contains(&ttl) {
                return Side::Apart;
            }
            if asked.waiting {
                return Side::Waiting;
            }
            if answers.is_empty() {
                if asked.probes < SILENT {
                    return Side::Ask(ttl);
                }
                continue;
            }
            if answers.iter().all(|it| self.group.contains(&it.responder)) {
                continue;
            }
            let first = self.own.first().map(|it| it.at);
            let opened = answers.iter().rfind(|it| first.is_some_and(|first| first <= it.sent));
            let closed = |control: &&Sighting| self.own.iter().any(|it| it.sent >= control.at);
            let usable = opened.filter(|control| !self.group.contains(&control.responder));
            return match usable {
                Some(control) if !closed(control) => self.closing(),
                _ if asked.probes >= ATTEMPTS => Side::Failed,
                _ => Side::Ask(ttl),
            };
        }
        Side::Absent
    }

    /// The addresses are asked once more, unless they have stopped answering.
    fn closing(&self) -> Side {
        let own = self.asked(self.ttl);
        if own.waiting {
            Side::Waiting
        } else if own.probes > 2 * own.answers + ATTEMPTS {
            Side::Failed
        } else {
            Side::Closing
        }
    }

    fn asked(&self, ttl: u8) -> Asked {
        self.counters.asked.get(&(self.flow, ttl)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers may be as far apart as they can be: captures say whatever they like.
    #[test]
    fn any_numbers_are_compared() {
        let seen = |nanos: i64, id: u16| Sighting {
            ttl: 3,
            flow: 0,
            responder: IpAddr::from([192, 0, 2, 1]),
            sent: Timestamp::from_nanos(nanos),
            at: Timestamp::from_nanos(nanos + 1),
            id,
        };
        let fits = |room: u16, id: u16| {
            lies_between(&[seen(0, 7), seen(20, 7_u16.wrapping_add(room))], &seen(10, id), u16::MAX)
        };
        assert_eq!(fits(u16::MAX, 5_000), Some(true));
        assert_eq!(fits(u16::MAX - 1, 6), Some(true));
        assert_eq!([fits(10, 12), fits(10, 30_000)], [Some(true), Some(false)]);
    }
}
