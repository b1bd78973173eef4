//! What to send next, and when: the half of a tracer that a replay does without.
//!
//! Without a scout the order is traceroute's: all queries of a hop, then the next hop, with at most so
//! many probes under way at a time.
//!
//! With one, the scout goes first: the last probe of all, with the highest TTL. Meanwhile hops are asked only
//! as far as a router is known to be, so that no probe goes past a target that is near. Its answer
//! quotes how much of its TTL was left, which tells the distance: then all that is missing up to there is
//! sent at once. A target that is far, or silent, is not waited for: by the time that it has not
//! answered it is taken to be so and so far ([`GUESSES`]), and where everything else is silent too, further
//! ([`STRIDE`]). Of each hop one probe is sent, then the second of each, so that a router's are apart.
//!
//! A probe handed to the link counts as under way until its own frame is captured; from then on the
//! tracer's deadlines govern it.

use crate::probe::ProbeKey;
use crate::probe::craft::{self, ProbeSpec};
use crate::time::{Span, Timestamp};
use crate::wire::ip;

use super::config::TraceConfig;
use super::doubts::Ttls;

/// How far away a target is taken to be that has not answered the scout for so long. In the first
/// milliseconds one that is near answers, and the trace takes no longer for having waited; what is too much
/// afterwards are probes past a target that is far in time and near in hops.
const GUESSES: [(Span, u8); 5] = [
    (Span::from_millis(8), 10),
    (Span::from_millis(60), 15),
    (Span::from_millis(120), 20),
    (Span::from_millis(250), 25),
    (Span::from_millis(500), u8::MAX),
];
/// How many hops more are asked when routers answered as far as was guessed and the target did not.
const STEP: u8 = 5;
/// How many more when everything that was asked has been answered or silent for long.
const STRIDE: u8 = 10;

/// What the frames have shown so far, as far as it decides what is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Probes that were captured on their way out and hold a place in flight.
    pub(super) under_way: usize,
    /// The TTL at which the path is known to end.
    pub(super) end: Option<u8>,
    /// The highest TTL that is known to run out; 0 if none is.
    pub(super) farthest: u8,
    pub(super) scout: Scouted,
}

/// What the scout has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scouted {
    /// There is none, it was lost, or its TTL ran out.
    Nothing,
    /// Its answer may still come.
    Waiting,
    /// Who answered is this far away.
    Distance(u8),
    /// The answer does not say so, but it came this far itself.
    About(u8),
}

/// The plan of an active trace.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// How many probes of each hop were handed out, the scout not counted.
    handed_out: Vec<u16>,
    /// When the scout was handed out.
    scouted: Option<Timestamp>,
    /// How far away the target was a round ago; 0 if there was none. Then nothing is scouted.
    expected: u8,
    /// How far away the target is taken to be at least; 0 while it is not waited for in vain.
    guess: u8,
    /// As far as hops are asked because what is nearer has shown that the path goes on.
    reach: u8,
    /// Those handed out whose own frame has not been captured yet.
    unconfirmed: Vec<Unconfirmed>,
    /// TTLs to which a second probe was handed out, because answers there are contradicted.
    confirming: Ttls,
    /// Whether the frame of any of them has ever been captured.
    confirmed: bool,
    /// Whether probes vanish on the way to the wire, so that no more are to be tried.
    futile: bool,
    /// When the last one was handed out.
    last: Option<Timestamp>,
    /// The datagram of the last one.
    datagram: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Unconfirmed {
    number: u32,
    key: ProbeKey,
    at: Timestamp,
}

/// One probe that could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Scout,
    /// Of the hop with this index.
    Hop(usize),
}

impl Schedule {
    pub(super) fn new(config: &TraceConfig) -> Self {
        Self {
            handed_out: vec![0; config.hops()],
            scouted: None,
            expected: 0,
            guess: 0,
            reach: 0,
            unconfirmed: Vec::with_capacity(config.reserved().min(config.in_flight.into())),
            confirming: Ttls::default(),
            confirmed: false,
            futile: false,
            last: None,
            datagram: Vec::with_capacity(craft::len(&config.spec(config.scout_number())).into()),
        }
    }

    /// The same, of a round after others in which the target was this far away.
    pub(super) fn expecting(config: &TraceConfig, distance: u8) -> Self {
        Self { expected: distance, ..Self::new(config) }
    }

    /// The next probe's datagram if one is due at `now`.
    pub(super) fn next(
        &mut self,
        config: &TraceConfig,
        now: Timestamp,
        shown: &Shown,
    ) -> Option<&[u8]> {
        self.reach_further(config, now, shown);
        let choice = self.choose(config, shown)?;
        if self.pause_ends(config).is_some_and(|end| now < end) {
            return None;
        }
        let number = match choice {
            Choice::Scout => {
                self.scouted = Some(now);
                config.scout_number()
            }
            Choice::Hop(index) => {
                let queries = self.handed_out.get_mut(index)?;
                let query = u32::from(*queries);
                *queries += 1;
                u32::try_from(index).ok()? * u32::from(config.queries) + query
            }
        };
        self.hand_out(&config.spec(number), number, now)
    }

    /// The datagram of a second probe to this TTL, if it is due at `now`.
    pub(super) fn confirm(
        &mut self,
        config: &TraceConfig,
        now: Timestamp,
        ttl: u8,
    ) -> Option<&[u8]> {
        if self.pause_ends(config).is_some_and(|end| now < end) {
            return None;
        }
        let spec = config.confirmation_spec(ttl)?;
        self.confirming.insert(ttl);
        let hop = u32::from(ttl.saturating_sub(config.first_ttl));
        self.hand_out(&spec, hop * u32::from(config.queries), now)
    }

    /// Whether such a probe was handed out.
    pub(super) fn has_confirmed(&self, ttl: u8) -> bool {
        self.confirming.contains(ttl)
    }

    fn hand_out(&mut self, spec: &ProbeSpec, number: u32, now: Timestamp) -> Option<&[u8]> {
        craft::craft(spec, &mut self.datagram);
        let (header, payload) = ip::decode(&self.datagram).ok()?;
        let key = ProbeKey::of(&header, payload)?;
        self.last = Some(now);
        self.unconfirmed.push(Unconfirmed { number, key, at: now });
        Some(&self.datagram)
    }

    /// The probe that is to be sent next, if one is and there is room for it; a pause may yet be due.
    fn choose(&self, config: &TraceConfig, shown: &Shown) -> Option<Choice> {
        let under_way = self.unconfirmed.len() + shown.under_way;
        if self.futile || under_way >= usize::from(config.in_flight) {
            return None;
        }
        if config.has_scout() && self.scouted.is_none() {
            return Some(Choice::Scout);
        }
        let edge = self.edge(config, shown);
        let mut wanting = self.wanting(config, edge, shown);
        let index = if config.has_scout() || self.expected > 0 {
            wanting.min_by_key(|index| self.handed_out.get(*index).copied())
        } else {
            wanting.next()
        };
        index.map(Choice::Hop)
    }

    /// The hops up to the TTL `last` of which probes are to be sent, by index.
    fn wanting(
        &self,
        config: &TraceConfig,
        last: u8,
        shown: &Shown,
    ) -> impl Iterator<Item = usize> {
        let hops = self.handed_out.iter().zip(config.first_ttl..=last);
        let wants = hops.map(|(sent, ttl)| *sent < self.queries(config, ttl, shown));
        wants.enumerate().filter_map(|(index, wants)| wants.then_some(index))
    }

    /// How many probes of its own a hop is to have: the scout is, or may yet be, one of them.
    fn queries(&self, config: &TraceConfig, ttl: u8, shown: &Shown) -> u16 {
        let but_one = config.queries - 1;
        let next = shown.farthest.saturating_add(1).max(config.first_ttl);
        let may_be_last = ttl == next && shown.end.is_none() && self.guess == 0;
        match shown.scout {
            _ if self.scouted.is_none() => config.queries,
            _ if ttl == config.max_ttl => but_one,
            Scouted::Distance(hops) if ttl == hops && shown.end == Some(ttl) => but_one.max(1),
            Scouted::Waiting if may_be_last => but_one.max(1),
            Scouted::Nothing if may_be_last && self.is_leaving(config) => but_one.max(1),
            _ => config.queries,
        }
    }

    /// Whether the scout was handed out and its own frame has not been captured yet.
    fn is_leaving(&self, config: &TraceConfig) -> bool {
        self.unconfirmed.iter().any(|probe| probe.number == config.scout_number())
    }

    /// The TTL up to which hops are asked now.
    fn edge(&self, config: &TraceConfig, shown: &Shown) -> u8 {
        let last = shown.end.unwrap_or(config.max_ttl);
        let explores = config.has_scout() || self.expected > 0;
        if !explores || shown.end.is_some() {
            return last;
        }
        let next = shown.farthest.saturating_add(1).max(config.first_ttl);
        next.max(self.expected).max(self.guess).max(self.reach).min(last)
    }

    fn guess_at(&self, now: Timestamp, shown: &Shown) -> u8 {
        if let Scouted::About(hops) = shown.scout {
            return hops;
        }
        let waited = self.scouted.map_or(Span::ZERO, |at| now.since(at));
        let guess = GUESSES.iter().rev().find(|(after, _)| waited >= *after);
        guess.map_or(0, |(_, hops)| *hops)
    }

    /// Extends the reach where what was asked so far has shown that the path goes on, or nothing.
    fn reach_further(&mut self, config: &TraceConfig, now: Timestamp, shown: &Shown) {
        if shown.end.is_some() || self.scouted.is_none() {
            return;
        }
        self.guess = self.guess_at(now, shown);
        let alive = matches!(shown.scout, Scouted::About(_));
        if self.guess > 0 && !alive && shown.farthest >= self.guess.max(self.reach) {
            self.reach = shown.farthest.saturating_add(STEP);
        }
        while shown.under_way + self.unconfirmed.len() == 0 {
            let edge = self.edge(config, shown);
            if edge == config.max_ttl || self.wanting(config, edge, shown).next().is_some() {
                break;
            }
            self.reach = edge.saturating_add(STRIDE);
        }
    }

    /// Whether every probe up to the end was handed out, or no more are to be tried.
    pub(super) fn is_exhausted(&self, config: &TraceConfig, shown: &Shown) -> bool {
        let last = match self.expected {
            0 => shown.end.unwrap_or(config.max_ttl),
            _ => self.edge(config, shown),
        };
        self.futile || self.wanting(config, last, shown).next().is_none()
    }

    /// Whether a probe up to `last_ttl` was handed out and may still show up.
    pub(super) fn is_unsure(&self, config: &TraceConfig, last_ttl: u8) -> bool {
        self.unconfirmed.iter().any(|probe| config.spec(probe.number).ttl <= last_ttl)
    }

    /// The frame of this probe was captured: it is on its way.
    pub(super) fn note_left(&mut self, key: ProbeKey) {
        self.confirmed = true;
        self.unconfirmed.retain(|probe| probe.key != key);
    }

    /// The link did not take the last probe.
    pub(super) fn refused(&mut self) {
        self.unconfirmed.pop();
    }

    /// Gives up on probes whose frames have not shown up for as long as an answer is waited for. If
    /// none ever has (a next hop that does not answer ARP), it is of no use to try more.
    pub(super) fn expire(&mut self, config: &TraceConfig, now: Timestamp) {
        let tried = self.unconfirmed.len();
        self.unconfirmed.retain(|probe| probe.at.after(max_wait(config)) > now);
        self.futile |= !self.confirmed && self.unconfirmed.len() < tried;
    }

    /// When something is next to be done here: a probe to be sent after a pause or on a guess, or one to be
    /// given up on. The rest as in [`next`](Self::next).
    pub(super) fn wake_at(
        &self,
        config: &TraceConfig,
        now: Timestamp,
        shown: &Shown,
    ) -> Option<Timestamp> {
        let sendable = self.choose(config, shown).is_some();
        let due = if sendable { self.pause_ends(config) } else { self.next_guess(now, shown) };
        let expiry = self.unconfirmed.iter().map(|probe| probe.at.after(max_wait(config))).min();
        due.into_iter().chain(expiry).min()
    }

    fn next_guess(&self, now: Timestamp, shown: &Shown) -> Option<Timestamp> {
        let waited_for = shown.end.is_none() && !matches!(shown.scout, Scouted::About(_));
        let scouted = self.scouted.filter(|_| waited_for && !self.futile)?;
        GUESSES.iter().map(|(after, _)| scouted.after(*after)).find(|at| *at > now)
    }

    /// Until when no probe is to be sent, if there is a pause between any two.
    pub(super) fn pause_ends(&self, config: &TraceConfig) -> Option<Timestamp> {
        let last = self.last.filter(|_| config.send_wait > 0.0)?;
        Some(last.after(Span::from_secs_f64(config.send_wait)))
    }
}

fn max_wait(config: &TraceConfig) -> Span {
    Span::from_secs_f64(config.wait.max)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn config() -> TraceConfig {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        TraceConfig::new(localhost, localhost, 40_000)
    }

    fn key(datagram: &[u8]) -> ProbeKey {
        let (header, payload) = ip::decode(datagram).unwrap();
        ProbeKey::of(&header, payload).unwrap()
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    const NOTHING: Shown = Shown { under_way: 0, end: None, farthest: 0, scout: Scouted::Nothing };

    /// Sends all that is due and takes it for captured; gives the TTLs.
    fn burst(
        schedule: &mut Schedule,
        config: &TraceConfig,
        now: Timestamp,
        shown: &Shown,
    ) -> Vec<u8> {
        let mut ttls = Vec::new();
        while let Some(datagram) = schedule.next(config, now, shown).map(<[u8]>::to_vec) {
            ttls.push(ip::decode(&datagram).unwrap().0.ttl);
        }
        schedule.unconfirmed.clear();
        ttls
    }

    #[test]
    fn at_most_so_many_are_under_way_and_pauses_are_kept() {
        let mut config = config();
        config.in_flight = 4;
        config.send_wait = 0.001;
        let mut schedule = Schedule::new(&config);
        let waiting = |under_way: usize| Shown { under_way, ..NOTHING };
        let first = key(schedule.next(&config, at(0), &NOTHING).unwrap());
        assert!(schedule.next(&config, at(0), &NOTHING).is_none(), "a pause of 1 ms");
        assert_eq!(schedule.wake_at(&config, at(0), &NOTHING), Some(at(1)));
        assert_eq!(schedule.wake_at(&config, at(0), &waiting(3)), Some(at(5_000)), "no room");
        assert!(schedule.next(&config, at(1), &waiting(2)).is_some());
        assert!(schedule.next(&config, at(2), &waiting(2)).is_none(), "two and two are under way");
        schedule.note_left(first);
        assert!(schedule.next(&config, at(2), &waiting(2)).is_some());
        let ended = Shown { end: Some(1), ..NOTHING };
        assert!(schedule.next(&config, at(3), &ended).is_none(), "the last hop has its three");
        assert!(schedule.is_unsure(&config, 1));
        schedule.expire(&config, at(60_000));
        assert!(!schedule.is_unsure(&config, 1));
        assert!(!schedule.is_exhausted(&config, &NOTHING));
    }

    #[test]
    fn no_more_is_tried_when_nothing_ever_leaves() {
        let config = config();
        let mut schedule = Schedule::new(&config);
        assert!(schedule.next(&config, Timestamp::default(), &NOTHING).is_some());
        schedule.expire(&config, Timestamp::from_nanos(5_000_000_000));
        assert!(schedule.is_exhausted(&config, &NOTHING));
    }

    #[test]
    fn a_near_target_gets_not_a_probe_too_many() {
        let config = config().scouting();
        let mut schedule = Schedule::new(&config);
        assert_eq!(burst(&mut schedule, &config, at(0), &NOTHING), [30, 1, 1]);
        let waiting = Shown { under_way: 1, scout: Scouted::Waiting, ..NOTHING };
        let router = Shown { farthest: 1, ..waiting };
        assert_eq!(burst(&mut schedule, &config, at(1), &router), [2, 2, 1]);
        let answered = Shown { end: Some(4), scout: Scouted::Distance(4), ..router };
        assert_eq!(burst(&mut schedule, &config, at(2), &answered), [3, 4, 3, 4, 2, 3]);
        assert!(schedule.is_exhausted(&config, &answered));
    }

    #[test]
    fn a_far_target_is_not_waited_for() {
        let config = config().scouting();
        let mut schedule = Schedule::new(&config);
        let waiting = Shown { under_way: 3, scout: Scouted::Waiting, ..NOTHING };
        assert_eq!(burst(&mut schedule, &config, at(0), &NOTHING), [30, 1, 1]);
        assert_eq!(burst(&mut schedule, &config, at(7), &waiting), [0_u8; 0]);
        assert_eq!(schedule.wake_at(&config, at(7), &waiting), Some(at(8)));
        let all: Vec<u8> = [2..=10, 1..=10, 2..=10].into_iter().flatten().collect();
        let mut sent = burst(&mut schedule, &config, at(8), &waiting);
        assert_eq!(sent.len(), all.len());
        sent.sort_unstable();
        let mut expected = all;
        expected.sort_unstable();
        assert_eq!(sent, expected);
        // Routers as far as was asked, and still nothing from the target.
        let further = Shown { farthest: 10, ..waiting };
        let sent = burst(&mut schedule, &config, at(20), &further);
        assert_eq!((sent.len(), sent.iter().max()), (15, Some(&15)));
        assert_eq!(schedule.wake_at(&config, at(20), &further), Some(at(60)));
    }

    #[test]
    fn where_all_is_silent_the_reach_grows_to_the_last_hop() {
        let config = config().scouting();
        let mut schedule = Schedule::new(&config);
        burst(&mut schedule, &config, at(0), &NOTHING);
        let (mut total, mut rounds) = (3, 0);
        while !schedule.is_exhausted(&config, &NOTHING) {
            total += burst(&mut schedule, &config, at(1), &NOTHING).len();
            rounds += 1;
        }
        assert_eq!((total, rounds), (90, 4), "the scout is one of the last hop's three");
    }

    #[test]
    fn an_answer_without_a_quote_tells_about_how_far_it_came() {
        let config = config().scouting();
        let mut schedule = Schedule::new(&config);
        burst(&mut schedule, &config, at(0), &NOTHING);
        let about = Shown { under_way: 2, scout: Scouted::About(4), ..NOTHING };
        let sent = burst(&mut schedule, &config, at(1), &about);
        assert_eq!((sent.len(), sent.iter().max()), (10, Some(&4)));
        assert_eq!(schedule.wake_at(&config, at(1), &about), None);
    }
}
