//! Traces of which a capture holds the replies alone.
//!
//! No quote says with which TTL its probe was sent. But tools number their probes (ports, sequence numbers, IP-IDs) as
//! their TTLs rise: several a hop, or one a hop and more only where nobody answers, or one a hop and then from the first
//! hop again. The rule and the first number are those by which every router keeps one place and every place one router.
//! Several may do: then the numbers count that tools begin with, and after that how long the return paths seem to be.
//! What fits none is no trace, and neither is what fits one by chance: see [`Fit::is_sure`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::group::{PAUSE, Sighting};
use super::run::{Run, Unseen};
use crate::probe::Flow;
use crate::wire::ipv4;

/// Most queries of a hop that are thought of.
const QUERIES: u32 = 10;
/// The most hops before the first of which there is a reply.
const SILENT: u32 = 30;
/// The highest TTL that is believed.
const HIGHEST: u32 = 64;
/// Numbers that tools begin with: ports, sequence numbers, IP-IDs.
const FIRST: [u32; 5] = [33_434, 33_435, 33_000, 1, 0];
/// A tool's usual first number is not used if the hops that follow from it differ from the return paths by this much more than others.
const ODD: u32 = 2;
/// How many replies decide by which rule all are placed.
const TELLING: usize = 96;
/// The fewest replies that allow a conclusion.
const FEWEST: usize = 3;

/// One reply: the number of its probe, and what it shows of where it came from.
#[derive(Clone, Copy)]
struct Numbered {
    number: u32,
    responder: IpAddr,
    expired: bool,
    back: u32,
}

/// How numbers follow TTLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// This number of probes for each TTL, then the next TTL.
    Hops(u32),
    /// One probe for each TTL, and this number where nobody answers.
    Retries(u32),
    /// One of each, then the first again.
    Rounds,
}

/// Probes as a rule places them that begins with some number.
struct Fit {
    rule: Rule,
    first: u32,
    /// The difference between the places of routers and the lengths of their return paths, in all and on average.
    odd: u32,
    mean: u32,
    /// Nothing but the numbers says how many hops are silent.
    has_gaps: bool,
}

impl Fit {
    /// Of several queries a hop, routers show where hops begin. Of one, a gap may be of silent hops or of retries: return paths
    /// have to agree. So they have where it is not known with which number the tool began.
    fn is_sure(&self, known: bool) -> bool {
        let by_routers = matches!(self.rule, Rule::Hops(2..) | Rule::Rounds) || !self.has_gaps;
        by_routers && known || self.odd == 0
    }
}

/// The traces that replies to probes of this pair show, none of which is in the capture; in order of capture.
pub(super) fn runs(flow: &Flow, replies: Vec<Unseen>) -> Vec<Run> {
    groups(replies).into_iter().filter_map(|group| run(flow, &group)).collect()
}

/// Groups the replies of one socket, or else those whose numbers do not repeat.
fn groups(replies: Vec<Unseen>) -> Vec<Vec<Unseen>> {
    let mut sockets: BTreeMap<u16, Vec<Unseen>> = BTreeMap::new();
    for it in &replies {
        sockets.entry(it.ident).or_default().push(*it);
    }
    let (mut groups, mut numbers) = (Vec::<Vec<Unseen>>::new(), HashSet::new());
    for it in replies.into_iter().filter(|it| sockets[&it.ident].len() < FEWEST) {
        let rests = |last: &Unseen| it.reply.quoted.at.since(last.reply.quoted.at) > PAUSE;
        let last = groups.last().and_then(|group| group.last());
        if last.is_none_or(rests) || !numbers.insert(it.number) {
            numbers = HashSet::from([it.number]);
            groups.push(Vec::new());
        }
        groups.last_mut().into_iter().for_each(|group| group.push(it));
    }
    groups.extend(sockets.into_values());
    groups.retain(|group| group.len() >= FEWEST);
    groups
}

fn run(flow: &Flow, group: &[Unseen]) -> Option<Run> {
    // A target that TCP reaches quotes nothing.
    if flow.protocol() == ipv4::TCP {
        return None;
    }
    let routers = group.iter().filter(|it| it.reply.expired).map(|it| it.reply.responder);
    if routers.collect::<HashSet<_>>().len() < 2 {
        return None;
    }
    let places =
        [|it: &Unseen| it.number, |it: &Unseen| it.key.ip_id].iter().find_map(|number| {
            let mut numbered: Vec<(u16, &Unseen)> =
                group.iter().map(|it| (number(it), it)).collect();
            numbered.sort_unstable_by_key(|(number, _)| *number);
            let rises = numbered.windows(2).all(|pair| pair[0].0 < pair[1].0);
            let places = places(&numbered.iter().map(Numbered::of).collect::<Vec<_>>());
            Some((numbered, places.filter(|_| rises)?))
        })?;
    let probes = places.0.iter().zip(&places.1);
    let probes = probes.map(|((_, it), ttl)| Sighting { ttl: *ttl, ..it.reply.quoted });
    let mut run = Run::new(*flow, probes.collect())?;
    run.by_replies = true;
    Some(run)
}

impl Numbered {
    fn of((number, it): &(u16, &Unseen)) -> Self {
        let by = &it.reply;
        Self {
            number: u32::from(*number),
            responder: by.responder,
            expired: by.expired,
            back: u32::from(by.back),
        }
    }
}

/// The TTLs of probes in order of their numbers, if one rule gives each router one. Which that is the first say.
fn places(all: &[Numbered]) -> Option<Vec<u8>> {
    let replies = all.get(..TELLING).unwrap_or(all);
    let lowest = replies.first()?.number;
    let rules =
        (1..=QUERIES).map(Rule::Hops).chain([2, 3].map(Rule::Retries)).chain([Rule::Rounds]);
    let starts = |rule: Rule| {
        let queries =
            if let Rule::Hops(queries) | Rule::Retries(queries) = rule { queries } else { 1 };
        (lowest.saturating_sub(SILENT * queries)..=lowest).map(move |first| (rule, first))
    };
    let fits = rules.flat_map(starts).filter_map(|(rule, first)| rule.fit(first, replies));
    let fits: Vec<Fit> = fits.collect();
    let least = fits.iter().map(|it| it.mean).min()?;
    let known = |it: &Fit| FIRST.contains(&it.first) && it.mean <= least + ODD;
    let usual = |rule: Rule| match rule {
        Rule::Hops(queries) => queries.abs_diff(3),
        Rule::Retries(times) => QUERIES + times,
        Rule::Rounds => u32::MAX,
    };
    let best = fits.into_iter().min_by_key(|it| {
        (!it.is_sure(known(it)), it.rule == Rule::Rounds, !known(it), it.odd, usual(it.rule))
    })?;
    let best = Some(best).filter(|it| it.is_sure(known(it)))?;
    best.rule.ttls(best.first, all)?.into_iter().map(u8::try_from).collect::<Result<_, _>>().ok()
}

impl Rule {
    /// The TTLs of these probes where the first has this number, if every router has one place and every place one router,
    /// and nobody is beyond the target.
    fn ttls(self, first: u32, replies: &[Numbered]) -> Option<Vec<u32>> {
        let (mut at, mut of) = (HashMap::new(), HashMap::<IpAddr, u32>::new());
        let (mut begins, mut rounds) = (first, 1);
        let mut ttls: Vec<u32> = Vec::with_capacity(replies.len());
        let mut next = first;
        for it in replies {
            let known = of.get(&it.responder).copied();
            let ttl = match self {
                Self::Hops(queries) => it.number.checked_sub(first)? / queries + 1,
                Self::Retries(times) => {
                    let missing = it.number.checked_sub(next)?;
                    next = it.number + 1;
                    let silent = Some(missing / times).filter(|_| missing % times == 0)?;
                    ttls.last().copied().unwrap_or(0) + silent + 1
                }
                Self::Rounds => {
                    if let Some(known) = known.filter(|known| it.number - begins + 1 != *known) {
                        begins =
                            (it.number + 1).checked_sub(known).filter(|next| *next > begins)?;
                        rounds += 1;
                    }
                    it.number.checked_sub(begins)? + 1
                }
            };
            let taken = it.expired && *at.entry(ttl).or_insert(it.responder) != it.responder;
            let moved = it.expired && known.is_some_and(|known| known != ttl);
            if ttl > HIGHEST || taken || moved {
                return None;
            }
            of.entry(it.responder).or_insert(ttl);
            ttls.push(ttl);
        }
        let nearest = ttls.iter().zip(replies).filter(|(_, it)| !it.expired).map(|(ttl, _)| *ttl);
        let nearest = nearest.min().unwrap_or(u32::MAX);
        let enough = self != Self::Rounds || rounds > 1;
        (enough && at.keys().all(|ttl| *ttl < nearest)).then_some(ttls)
    }

    /// How well they fit, if they do.
    fn fit(self, first: u32, replies: &[Numbered]) -> Option<Fit> {
        let ttls = self.ttls(first, replies)?;
        let routers = || ttls.iter().zip(replies).filter(|(_, it)| it.expired);
        let odd: u32 = routers().map(|(ttl, it)| ttl.abs_diff(it.back)).sum();
        let count = u32::try_from(routers().count()).unwrap_or(u32::MAX);
        let steps = replies.windows(2).any(|pair| pair[1].number - pair[0].number > 1);
        let has_gaps = steps || replies.first().is_some_and(|it| it.number != first);
        Some(Fit { rule: self, first, odd, mean: odd / count.max(1), has_gaps })
    }
}
