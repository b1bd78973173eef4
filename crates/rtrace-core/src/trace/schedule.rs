//! What to send next, and when: the half of a tracer that a replay does without.
//!
//! Without a scout the order is traceroute's: all queries of a hop, then the next hop, with at most so
//! many probes in flight at a time.
//!
//! With one, the scout goes first: the last probe of all, with the highest TTL. What the target quotes of it
//! tells how far away it is, and then everything missing up to there is sent at once. Until then:
//!
//! 1. Every hop up to the farthest router that answered gets all its probes, and the next hop all but one: if
//!    that is the target, the scout is its last.
//! 2. A near target answers the scout within [`START`]. After that, hops are asked on a guess: those up to a floor
//!    at once, and beyond that while only few probes wait for an answer. As long as routers answer one after
//!    the other, the guess is [`ADVANCING`]. Once the next hop has been silent for [`SILENT`] times the largest RTT,
//!    a second scout goes, in case the first is lost, and from then on the guess is [`STUCK`].
//! 3. After [`PATIENCE`] without an answer of the next hop, every hop is asked.
//!
//! Only an answer or a deadline makes room for another guess, so a long link does not make the trace run ahead.
//! Probes that went past the target count as queries of the target, so it is not asked more often than needed:
//! many hosts answer only six probes at once.
//!
//! A probe handed to the link counts as in flight until its own frame is captured; from then on the
//! tracer's deadlines govern it.

use crate::probe::ProbeKey;
use crate::probe::craft::{self, ProbeSpec};
use crate::time::{Span, Timestamp};
use crate::wire::ip;

use super::config::TraceConfig;
use super::doubts::Ttls;

/// The scout of a near target is answered within this time. Before that, no hop is asked on a guess.
const START: Span = Span::from_millis(8);
/// Guesses while routers answer one after the other, up to the floor.
const ADVANCING: Guess = Guess { floor: 10, window: 10 };
/// Guesses once the next hop was silent, or is beyond that floor.
const STUCK: Guess = Guess { floor: 8, window: 13 };
/// The next hop counts as silent after this multiple of the largest RTT.
const SILENT: f64 = 2.5;
/// A hop gets at most this many probes on a guess.
const GUESSED_QUERIES: u16 = 3;
/// How long the next hop and the scout may be silent before every hop is probed: a multiple of the largest RTT,
/// and its bounds.
const PATIENCE: (f64, Span, Span) = (3.0, Span::from_millis(800), Span::from_millis(2_000));

/// How far hops are asked though nothing shows yet that the path goes so far.
#[derive(Clone, Copy, Debug)]
struct Guess {
    /// Up to this TTL at once.
    floor: u8,
    /// Beyond that while fewer probes than this wait for an answer from beyond the farthest router that answered.
    window: usize,
}

/// What the frames have shown so far, as far as it decides what is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// Probes that were captured on their way out and hold a place in flight.
    pub(super) under_way: usize,
    /// Probes of hops beyond the farthest router that answered, but for the last, which were captured on their way out and
    /// wait for an answer.
    pub(super) waiting: usize,
    /// The TTL at which the path ends at the latest.
    pub(super) end: Option<u8>,
    /// The TTL at which it is known to end, or taken to by the TTL of the target's answers.
    pub(super) target: Option<u8>,
    /// Nothing but the TTL of reconstructed answers shows that end: hosts begin with other TTLs, and return
    /// paths are of other lengths.
    pub(super) is_estimated: bool,
    /// How many queries of that hop need no probe of their own: the scout is one, and probes that went past the
    /// target are.
    pub(super) covered: usize,
    /// The highest TTL that is known to run out. TTL 0 is that of the sender, so it always is.
    pub(super) farthest: u8,
    /// The largest RTT.
    pub(super) largest_rtt: Option<Span>,
    /// The moment up to which all that was captured is known. On a busy machine replies may lie unread at a later one, so silence is
    /// judged by this.
    pub(super) heard: Timestamp,
}

/// The plan of an active trace.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// What was handed out of each hop, the scout not counted.
    hops: Vec<Asked>,
    /// When the scout was handed out.
    scouted: Option<Timestamp>,
    /// How far away the target was a round ago, if there was one. Then nothing is scouted.
    expected: Option<u8>,
    /// Those handed out whose own frame has not been captured yet.
    unconfirmed: Vec<Unconfirmed>,
    /// TTLs to which a second probe was handed out, because answers there are contradicted.
    confirming: Ttls,
    /// Whether the frame of any of them has ever been captured.
    confirmed: bool,
    /// Whether probes vanish on the way to the wire, so that no more are tried.
    futile: bool,
    /// When the last one was handed out.
    last: Option<Timestamp>,
    /// The datagram of the last one.
    datagram: Vec<u8>,
}

/// How many probes of a hop were handed out, and when the first was.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    times: u16,
    first: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Unconfirmed {
    number: u32,
    key: ProbeKey,
    at: Timestamp,
}

/// When the plan changes if nothing farther answers before.
struct Moments {
    /// Hops may be asked on a guess.
    start: Option<Timestamp>,
    /// The next hop counts as silent.
    silent: Option<Timestamp>,
    /// Every hop is asked.
    all: Option<Timestamp>,
}

/// One probe that could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Scout,
    /// Of the hop with this TTL.
    Hop(u8),
}

impl Schedule {
    pub(super) fn new(config: &TraceConfig) -> Self {
        Self {
            hops: vec![Asked::default(); config.hops()],
            scouted: None,
            expected: None,
            unconfirmed: Vec::with_capacity(config.reserved().min(config.in_flight.into())),
            confirming: Ttls::default(),
            confirmed: false,
            futile: false,
            last: None,
            datagram: Vec::with_capacity(craft::len(&config.spec(config.scout_number())).into()),
        }
    }

    /// The schedule of a round after others in which the target was at this distance.
    pub(super) fn expecting(config: &TraceConfig, distance: u8) -> Self {
        Self { expected: Some(distance), ..Self::new(config) }
    }

    /// The next probe's datagram if one is due at `now`.
    pub(super) fn next(
        &mut self,
        config: &TraceConfig,
        now: Timestamp,
        shown: &Shown,
    ) -> Option<&[u8]> {
        let choice = self.choose(config, now, shown)?;
        if self.pause_ends(config).is_some_and(|end| now < end) {
            return None;
        }
        let number = match choice {
            Choice::Scout => {
                self.scouted = Some(now);
                config.scout_number()
            }
            Choice::Hop(ttl) => {
                let hop = ttl.checked_sub(config.first_ttl)?;
                let asked = self.hops.get_mut(usize::from(hop))?;
                let query = asked.times;
                asked.times += 1;
                asked.first.get_or_insert(now);
                u32::from(hop) * u32::from(config.queries) + u32::from(query)
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

    /// The probe to send next, if one is and there is room for it; a pause may yet be due.
    fn choose(&self, config: &TraceConfig, now: Timestamp, shown: &Shown) -> Option<Choice> {
        if self.futile || self.is_full(config, shown) {
            return None;
        }
        if config.has_scout() && self.scouted.is_none() {
            return Some(Choice::Scout);
        }
        let last = self.last_ttl(config, shown);
        let ttl = match self.scouted {
            Some(_) => self.explore(config, now, shown),
            None if self.expected.is_some() => self.least_asked(config, last, shown),
            None => self.wanting(config, last, shown).next(),
        };
        ttl.map(Choice::Hop)
    }

    /// Whether as many probes are in flight as may be.
    pub(super) fn is_full(&self, config: &TraceConfig, shown: &Shown) -> bool {
        self.unconfirmed.len() + shown.under_way >= usize::from(config.most_in_flight())
    }

    /// The TTL that is asked next once the scout was sent.
    fn explore(&self, config: &TraceConfig, now: Timestamp, shown: &Shown) -> Option<u8> {
        let last = self.last_ttl(config, shown);
        let sure = shown.target.unwrap_or(shown.farthest).min(last);
        let asked_twice =
            |ttl: &u8| !is_daring(config, shown, *ttl) || self.asked(config, *ttl).times == 0;
        let known = self
            .wanting(config, sure, shown)
            .filter(asked_twice)
            .min_by_key(|ttl| self.asked(config, *ttl).times);
        if known.is_some() || sure == last && !shown.is_estimated {
            return known;
        }
        let Moments { start, silent, all } = self.moments(config, shown);
        let is_past = |moment: Option<Timestamp>| moment.is_some_and(|it| it <= now);
        let is_silent =
            |moment: Option<Timestamp>| moment.is_some_and(|it| it <= shown.heard.min(now));
        let next = next_ttl(config, shown);
        // If the target is taken to be nearer than that, nothing beyond is asked before the hops up to there answered.
        let goes_on = shown.target.is_none();
        let but_one = config.queries.saturating_sub(1).max(1);
        if goes_on && self.asked(config, next).times < but_one {
            return Some(next);
        }
        if is_silent(all) {
            return self.least_asked(config, last, shown);
        }
        if !goes_on || !is_past(start) {
            return None;
        }
        // Once it was, the path is longer in time than the hops so far tell, and stays so.
        let was_stuck = self.asked(config, config.max_ttl).times > 0;
        let is_stuck = was_stuck || is_silent(silent) || next > ADVANCING.floor;
        if is_stuck || config.queries < GUESSED_QUERIES {
            self.second_scout(config, shown).or_else(|| self.guess(STUCK, config, last, shown))
        } else {
            self.guess(ADVANCING, config, last, shown)
        }
    }

    /// The highest TTL, if nothing but the scout was sent with it. It will be a query of the target, which has one of its own.
    fn second_scout(&self, config: &TraceConfig, shown: &Shown) -> Option<u8> {
        let ttl = config.max_ttl;
        let is_first = self.asked(config, ttl).times == 0;
        let is_due = is_first && config.queries > 1 && shown.end.is_none();
        (is_due && self.wants(config, ttl, shown)).then_some(ttl)
    }

    /// The TTL that is asked next though nothing shows that the path goes so far.
    fn guess(&self, guess: Guess, config: &TraceConfig, last: u8, shown: &Shown) -> Option<u8> {
        let asks = |ttl: u8| {
            self.asked(config, ttl).times < GUESSED_QUERIES && self.wants(config, ttl, shown)
        };
        let lowest = (next_ttl(config, shown)..=last).find(|ttl| asks(*ttl))?;
        // The last hop has the second scout.
        let beyond = |ttl: u8| ttl > shown.farthest && ttl < config.max_ttl;
        let waiting = shown.waiting + self.leaving(config, beyond);
        (lowest <= guess.floor || waiting < guess.window).then_some(lowest)
    }

    fn moments(&self, config: &TraceConfig, shown: &Shown) -> Moments {
        let (times, least, most) = PATIENCE;
        let rtt = shown.largest_rtt.unwrap_or(Span::ZERO);
        let asked = self.asked(config, next_ttl(config, shown)).first;
        let patience = rtt.scaled(times).max(least).min(most);
        Moments {
            start: self.scouted.map(|at| at.after(START)),
            silent: asked.map(|at| at.after(rtt.scaled(SILENT))),
            all: self.scouted.zip(asked).map(|(at, asked)| at.max(asked).after(patience)),
        }
    }

    fn asked(&self, config: &TraceConfig, ttl: u8) -> Asked {
        let hop = ttl.checked_sub(config.first_ttl);
        hop.and_then(|hop| self.hops.get(usize::from(hop))).copied().unwrap_or_default()
    }

    /// The hop with the fewest probes that needs more, up to the TTL `last`.
    fn least_asked(&self, config: &TraceConfig, last: u8, shown: &Shown) -> Option<u8> {
        self.wanting(config, last, shown).min_by_key(|ttl| self.asked(config, *ttl).times)
    }

    /// The TTLs up to `last` to which probes are sent.
    fn wanting(&self, config: &TraceConfig, last: u8, shown: &Shown) -> impl Iterator<Item = u8> {
        (config.first_ttl..=last).filter(|ttl| self.wants(config, *ttl, shown))
    }

    /// Whether a hop is to have more probes of its own.
    fn wants(&self, config: &TraceConfig, ttl: u8, shown: &Shown) -> bool {
        let asked = self.asked(config, ttl).times;
        if self.scouted.is_some() && ttl == config.max_ttl {
            // The scout has that TTL.
            return asked < config.queries - 1;
        }
        if self.scouted.is_none() || shown.target != Some(ttl) || asked == 0 {
            return asked < config.queries;
        }
        let past = self.leaving(config, |past| past > ttl);
        usize::from(asked) + shown.covered + past < config.queries.into()
    }

    /// How many probes of such hops were handed out and not captured yet.
    fn leaving(&self, config: &TraceConfig, of: impl Fn(u8) -> bool) -> usize {
        let numbers = self.unconfirmed.iter().map(|probe| probe.number);
        let is_scout = |number: u32| self.scouted.is_some() && number == config.scout_number();
        let hops = numbers.filter(|number| !is_scout(*number));
        hops.filter(|number| of(config.spec(*number).ttl)).count()
    }

    /// The TTL up to which hops are asked at last, by what is known now.
    fn last_ttl(&self, config: &TraceConfig, shown: &Shown) -> u8 {
        let last = shown.end.unwrap_or(config.max_ttl);
        match self.expected.filter(|_| shown.end.is_none()) {
            Some(expected) => next_ttl(config, shown).max(expected).min(last),
            None => last,
        }
    }

    /// Whether every probe up to the end was handed out, or no more are tried.
    pub(super) fn is_exhausted(&self, config: &TraceConfig, shown: &Shown) -> bool {
        let last = self.last_ttl(config, shown);
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
        let sendable = self.choose(config, now, shown).is_some();
        let due =
            if sendable { self.pause_ends(config) } else { self.next_moment(config, now, shown) };
        let expiry = self.unconfirmed.iter().map(|probe| probe.at.after(max_wait(config))).min();
        due.into_iter().chain(expiry).min()
    }

    fn next_moment(
        &self,
        config: &TraceConfig,
        now: Timestamp,
        shown: &Shown,
    ) -> Option<Timestamp> {
        let is_sure = shown.target == Some(self.last_ttl(config, shown)) && !shown.is_estimated;
        let explores = self.scouted.is_some() && !is_sure;
        if !explores || self.is_exhausted(config, shown) {
            return None;
        }
        let Moments { start, silent, all } = self.moments(config, shown);
        let start = start.filter(|at| *at > now);
        let heard = shown.heard.min(now);
        let silence = [silent, all].into_iter().flatten().filter(|at| *at > heard);
        start.into_iter().chain(silence).min()
    }

    /// Until when no probe is sent, if there is a pause between any two.
    pub(super) fn pause_ends(&self, config: &TraceConfig) -> Option<Timestamp> {
        let last = self.last.filter(|_| config.send_wait > 0.0)?;
        Some(last.after(Span::from_secs_f64(config.send_wait)))
    }
}

/// The TTL after the farthest that is known to run out.
fn next_ttl(config: &TraceConfig, shown: &Shown) -> u8 {
    shown.farthest.saturating_add(1).max(config.first_ttl)
}

/// Whether to ask this hop more than once is daring: the target is taken to be there or beyond by an estimate that may be
/// wrong, and that is soon known or goes far beyond the routers that answered.
fn is_daring(config: &TraceConfig, shown: &Shown, ttl: u8) -> bool {
    let next = next_ttl(config, shown);
    let is_near = shown.largest_rtt.is_some_and(|rtt| rtt <= START);
    let window = u8::try_from(STUCK.window).unwrap_or(u8::MAX);
    let is_far = shown.target.is_some_and(|target| target > next.saturating_add(window));
    shown.is_estimated && (is_near || is_far) && ttl > next
}

fn max_wait(config: &TraceConfig) -> Span {
    Span::from_secs_f64(config.wait.max)
}

#[cfg(test)]
mod tests;
