//! Which round a captured probe is of, by what tells it from those of all others.
//!
//! Numbers are as a trace is configured ([`TraceConfig::round`]): every round has as many for itself as it may have probes. So a
//! recording shows which rounds are missing from it, and for how long nothing left says how many these may be.

use std::collections::{HashSet, VecDeque};

use super::super::config::TraceConfig;
use crate::probe::{ProbeKey, craft};
use crate::time::{Span, Timestamp};
use crate::wire::{Frame, ip, link};

/// How many rounds in a row may be missing from a recording, beyond those that fit into the time in which nothing
/// was captured.
const GAP: usize = 64;
/// How many at all: after as many the numbers of probes over IPv4 come again.
pub(super) const LONGEST_GAP: usize = 32_768;

/// What is known of the numbers of the running round and of those after it.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// The running round.
    number: u64,
    /// Seconds from round to round.
    interval: f64,
    /// The keys that the first probes of the running round and of those after it have, as far as they were asked for.
    firsts: VecDeque<Option<ProbeKey>>,
    /// Room for the datagrams of such probes.
    crafted: Vec<u8>,
    /// The keys of all probes of this round, once one is asked for.
    own: (Option<u64>, HashSet<ProbeKey>),
    /// When the last probe of any round was captured.
    last_probe: Option<Timestamp>,
    /// When a round that lacks its first probe was last searched for in vain.
    searched: Option<Timestamp>,
}

/// The key of a frame, if it may be one of a probe of any round.
pub(super) fn key(config: &TraceConfig, frame: &Frame<'_>) -> Option<ProbeKey> {
    let datagram = link::ip_datagram(frame.link, frame.bytes).ok()??;
    let (header, payload) = ip::decode(datagram).ok()?;
    let flow = config.flow();
    let ours = header.source == flow.source
        && header.destination == flow.target
        && header.protocol == flow.protocol();
    // Those that confirm answers are of no round by their numbers.
    ProbeKey::of(&header, payload).filter(|key| ours && key.ident(flow.probe) == flow.ident)
}

/// The keys of all probes that a round may have.
fn keys<'a>(
    config: &'a TraceConfig,
    number: u64,
    crafted: &'a mut Vec<u8>,
) -> impl Iterator<Item = ProbeKey> + 'a {
    (0..=config.scout_number()).filter_map(move |probe| {
        craft::craft(&config.spec_in(number, probe), crafted);
        let (header, payload) = ip::decode(crafted).ok()?;
        ProbeKey::of(&header, payload)
    })
}

impl Numbers {
    /// Of round 0, and a trace that is repeated after so many seconds.
    pub(super) fn of(config: &TraceConfig, interval: f64) -> Self {
        Self {
            number: 0,
            interval,
            firsts: VecDeque::with_capacity(GAP + 1),
            crafted: Vec::with_capacity(craft::len(&config.first_spec(0)).into()),
            own: (None, HashSet::with_capacity(config.reserved() + 1)),
            last_probe: None,
            searched: None,
        }
    }

    /// A later round is the running one.
    pub(super) fn go_on(&mut self, number: u64) {
        let passed = usize::try_from(number.saturating_sub(self.number)).unwrap_or(usize::MAX);
        self.firsts.drain(..passed.min(self.firsts.len()));
        self.number = number;
    }

    /// A probe of the running round was captured.
    pub(super) fn note_probe(&mut self, at: Timestamp) {
        self.last_probe = Some(at);
    }

    /// The round that a frame is the first of, if it is that of a later one than the running.
    pub(super) fn begun_by(&mut self, config: &TraceConfig, frame: &Frame<'_>) -> Option<u64> {
        let key = key(config, frame)?;
        let quiet = self.last_probe.map_or(Span::ZERO, |last| frame.at.since(last)).secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "they saturate"
        )]
        let rounds = (quiet.max(0.0) / self.interval) as usize;
        let gap = rounds.saturating_add(GAP).min(LONGEST_GAP);
        match self.later_first(config, key, gap) {
            Some(0) => None,
            Some(later) => Some(self.number.saturating_add(later as u64)),
            None if self.may_be_of_running(config, &key) => None,
            None => self.without_first(config, key, frame.at),
        }
    }

    /// Whether the first probe of the running round has this key.
    pub(super) fn is_first(&mut self, config: &TraceConfig, key: ProbeKey) -> bool {
        self.later_first(config, key, 0).is_some()
    }

    /// Whether the running round may have a probe with this key.
    pub(super) fn may_be_of_running(&mut self, config: &TraceConfig, key: &ProbeKey) -> bool {
        let (of, own) = &mut self.own;
        if *of != Some(self.number) {
            *of = Some(self.number);
            own.clear();
            own.extend(keys(config, self.number, &mut self.crafted));
        }
        own.contains(key)
    }

    /// By how many rounds, from this one to so many later, the first probe has this key.
    fn later_first(&mut self, config: &TraceConfig, key: ProbeKey, later: usize) -> Option<usize> {
        while self.firsts.len() <= later {
            let number = self.number.saturating_add(self.firsts.len() as u64);
            craft::craft(&config.first_spec(number), &mut self.crafted);
            let first = ip::decode(&self.crafted).ok();
            let first = first.and_then(|(header, payload)| ProbeKey::of(&header, payload));
            self.firsts.push_back(first);
        }
        self.firsts.iter().take(later + 1).position(|first| *first == Some(key))
    }

    /// The round that begins with this key where its first probe is missing: one of the next, which are searched once in a
    /// round's time at most.
    fn without_first(&mut self, config: &TraceConfig, key: ProbeKey, at: Timestamp) -> Option<u64> {
        let interval = Span::from_secs_f64(self.interval);
        if self.searched.is_some_and(|last| at.since(last) < interval) {
            return None;
        }
        let mut later = (1..=GAP as u64).map(|later| self.number.saturating_add(later));
        let found =
            later.find(|number| keys(config, *number, &mut self.crafted).any(|it| it == key));
        self.searched = Some(at).filter(|_| found.is_none());
        found
    }
}
