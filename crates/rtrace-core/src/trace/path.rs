//! The path that a trace has shown so far: hops, probes, replies. Every value comes from a captured frame.

mod end;
mod last_hop;
mod packed;
mod probe;

use std::net::IpAddr;

pub use probe::{Outcome, Probe, ProbeRef, REPLIES_KEPT, SizeProbe};

use crate::time::{Span, Timestamp};

use super::config::{TraceConfig, Wait};
use super::doubts::{Doubts, Ttls};
use super::reply::Reply;

/// All probes sent with one TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop {
    /// The TTL of the hop.
    pub ttl: u8,
    /// Its probes, in order of capture.
    pub probes: Vec<Probe>,
}

impl Hop {
    /// The number of its probes that were answered or timed out, without those in flight when a watch was cut off and
    /// those that drew only contradicted answers.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.probes.iter().filter(|probe| probe.is_settled() && !probe.is_in_doubt()).count()
    }

    /// The probes sent with the hop's TTL, without the scout and others that joined the hop at the end.
    pub(super) fn own(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(|probe| probe.ttl == self.ttl)
    }

    /// The number of its probes that were answered only by damaged replies.
    #[must_use]
    pub fn damaged(&self) -> usize {
        let damaged = |probe: &&Probe| probe.is_damaged() && !probe.is_in_doubt();
        self.probes.iter().filter(|probe| probe.is_settled()).filter(damaged).count()
    }

    /// The first of its probes that was answered in time with a positive RTT, and that RTT.
    pub(super) fn first_rtt(&self) -> Option<(u16, Span)> {
        let rtt = |probe: &Probe| probe.answer()?.measured().filter(|rtt| *rtt > Span::ZERO);
        (0..).zip(&self.probes).find_map(|(query, probe)| Some((query, rtt(probe)?)))
    }
}

/// A forwarding loop: the hops of its first round. See [`loops`](super::loops).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loop {
    /// The TTL of the first hop of the loop.
    pub first: u8,
    /// The TTL of the last hop of the loop.
    pub last: u8,
    /// The TTL of the last hop that was needed to believe the loop.
    pub end: u8,
}

/// Answers at one hop that other replies contradict, so that they are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Contradiction {
    /// The TTL of their probes.
    pub ttl: u8,
    /// The address that they came from, which is the target's.
    pub responder: IpAddr,
    /// The number of these answers.
    pub answers: u64,
}

/// Counts over a whole trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Probes captured on their way out.
    pub sent: u64,
    /// Probes answered in time.
    pub answered: u64,
    /// Replies that came after their probe timed out.
    pub late: u64,
    /// Replies that repeated an earlier one.
    pub duplicate: u64,
    /// Replies that quoted a probe but had a wrong checksum, and were not believed.
    pub damaged: u64,
    /// Answers that are not believed because the path is longer.
    pub contradicted: u64,
    /// Replies with an unreliable RTT: the clock was set after their probe, or they are stamped before it.
    pub clock_faults: u64,
    /// How often the clock was set.
    pub clock_steps: u64,
    /// Replies to probes that are missing from the recording, and those that fit no probe
    /// ([`Disposition::Unmatched`](super::Disposition::Unmatched)).
    pub orphans: u64,
    /// The orphans that the capture cut too short to identify their probe ([`Disposition::CutShort`](super::Disposition::CutShort)).
    pub cut_short: u64,
    /// Too many errors fitted no probe of the run, so rewritten quotes are no longer believed:
    /// see [`belief`](super::belief).
    pub withdrawn: bool,
}

impl Totals {
    /// Whether probes were left without an answer.
    #[must_use]
    pub const fn is_lacking(&self) -> bool {
        self.answered < self.sent
    }
}

/// Why a trace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Stop {
    /// A probe was delivered to the target.
    TargetReached,
    /// A router said that the target is unreachable.
    Unreachable,
    /// A forwarding loop: see [`loops`](super::loops).
    Loop,
    /// Every TTL was tried.
    MaxHops,
    /// It was interrupted, or the recording stops there.
    Incomplete,
}

/// What a path is among the [rounds](super::rounds) of a watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Its number, from 0.
    pub number: u64,
    /// The number of rounds after it, to the end of the watch, that were not sent; an empty round counts itself.
    pub missed_after: u64,
    /// Whether no probe of this round or of those before it still waits.
    pub waited_out: bool,
    /// The TTL at which the target answered in the latest round before it in which it answered.
    pub(super) target_before: Option<u8>,
}

/// The path as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Path {
    first_ttl: u8,
    /// All possible hops, so that handling a frame allocates none.
    hops: Vec<Hop>,
    /// The hops of a round that is over, until they are asked for.
    packed: Option<packed::Packed>,
    /// How many of the hops exist, by the probes captured so far.
    seen: usize,
    /// How many probes each hop is to get.
    pub(super) queries: u16,
    /// Whether a scout goes first.
    pub(super) has_scout: bool,
    /// Whether errors show the TTL that they quote: reconstructed ones do not.
    shows_quotes: bool,
    /// The lowest TTL at which the target has answered, in time or late, or what its answer to the scout says of it; if it has
    /// not, the lowest with any other error beyond which nobody answers, or where a loop has shown: the trace goes no further.
    pub end: Option<u8>,
    /// The scout, if one was captured, until it is assigned to a hop; it stays here if no hop lacks it.
    pub scout: Option<Probe>,
    /// Probes that measure the path MTU, in order of capture; empty without [`TraceConfig::mtu`].
    pub size_probes: Vec<SizeProbe>,
    /// Probes from another port or identifier, each to a TTL with a contradicted answer, in order of capture; none but with
    /// [`TraceConfig::confirmation`].
    pub confirmations: Vec<Probe>,
    /// When the last frame of this path was captured; for a round that is over, the first frame of the next.
    pub(super) until: Timestamp,
    /// The path was cut off: missing replies may have come later.
    pub(super) cut_off: bool,
    /// Whose answers end the path.
    pub(super) target: IpAddr,
    /// Which probes have been put into another hop, the scout among them, and where they are now.
    placed: Vec<(ProbeRef, ProbeRef)>,
    /// The highest TTL of which a router said that it ran out, in time or late. It begins with TTL 0, the sender's.
    pub(super) farthest: u8,
    /// The distance of the host that answered the scout, by the TTL that it quotes.
    pub(super) distance: Option<u8>,
    /// The forwarding loop in which the path ends, if it does.
    pub looped: Option<Loop>,
    /// Whether the answer to the scout is the target's.
    scouted_target: bool,
    /// The lowest TTL of a hop's own probe with a reply of the target that quotes it.
    direct_end: Option<u8>,
    /// How far away the target is, by the nearest of those quotes.
    quoted_end: Option<u8>,
    /// TTLs of hops' own probes that somebody else answered with an error which may be the end.
    errors: Ttls,
    /// The evidence against answers that quote nothing.
    pub(super) doubts: Doubts,
    /// How long a late answer may take that says where the path ends.
    pub(super) longest_wait: Span,
    /// How long the target is waited for while nothing is known of it.
    pub(super) far: Span,
    /// What it is among the rounds of a watch; `None` for a trace of its own.
    pub round: Option<Round>,
    /// Hops may have fewer probes than the configuration says, and none is missing: another tool
    /// sent no more.
    pub variable_queries: bool,
    /// Counts of probes and replies over the whole path.
    pub totals: Totals,
}

impl Path {
    /// Its number among the rounds of a watch, from 0; 0 for a trace of its own.
    #[must_use]
    pub fn round_number(&self) -> u64 {
        self.round.map_or(0, |round| round.number)
    }

    /// The number of rounds after it, to the end of the watch, that were not sent.
    #[must_use]
    pub fn missed_after(&self) -> u64 {
        self.round.map_or(0, |round| round.missed_after)
    }

    /// The TTL at which the target answered in an earlier round.
    pub(super) fn target_before(&self) -> Option<u8> {
        self.round.and_then(|round| round.target_before)
    }

    pub(super) fn new(config: &TraceConfig, variable_queries: bool) -> Self {
        let hops = config.first_ttl..=config.max_ttl;
        Self {
            first_ttl: config.first_ttl,
            hops: hops.map(|ttl| Hop { ttl, probes: Vec::new() }).collect(),
            packed: None,
            seen: 0,
            queries: config.queries,
            has_scout: config.has_scout(),
            shows_quotes: config.evidence.is_captured(),
            end: None,
            scout: None,
            until: Timestamp::default(),
            cut_off: false,
            target: config.target,
            placed: Vec::new(),
            size_probes: Vec::new(),
            confirmations: Vec::new(),
            farthest: 0,
            distance: None,
            looped: None,
            scouted_target: false,
            direct_end: None,
            quoted_end: None,
            errors: Ttls::default(),
            doubts: Doubts::of_tool(variable_queries),
            longest_wait: Span::from_secs_f64(config.wait.max.max(Wait::default().max)),
            far: config.wait.unknown(),
            round: None,
            variable_queries,
            totals: Totals::default(),
        }
    }

    /// Reserves room for `per_hop` probes in each of the first `hops`.
    pub(super) fn with_room(mut self, hops: usize, per_hop: usize) -> Self {
        let hops = self.hops.iter_mut().take(hops);
        hops.for_each(|hop| hop.probes.reserve_exact(per_hop));
        self
    }

    /// The hops from the first TTL to the highest of which a probe was captured. Hops between of
    /// which none was captured are there, without probes.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        self.hops.get(..self.seen).unwrap_or_default()
    }

    /// The highest TTL that there can be.
    pub(super) fn max_ttl(&self) -> u8 {
        self.hops.last().map_or(0, |hop| hop.ttl)
    }

    /// The hop with this TTL, if a probe with it or a higher one was captured.
    #[must_use]
    pub fn hop(&self, ttl: u8) -> Option<&Hop> {
        self.hops().get(usize::from(ttl.checked_sub(self.first_ttl)?))
    }

    /// The hops that belong to the report: those beyond the [last](Self::last_ttl) are left out.
    #[must_use]
    pub fn reported(&self) -> &[Hop] {
        let beyond = |end: u8| usize::from(end.saturating_sub(self.first_ttl)) + 1;
        let reported = self.last_ttl().map_or(self.asked(), |end| beyond(end).min(self.seen));
        self.hops.get(..reported).unwrap_or_default()
    }

    /// How many hops were probed: a second scout may go to the last hop long before the hops in front of it.
    fn asked(&self) -> usize {
        let Some((_, before)) = self.hops().split_last().filter(|_| self.seen == self.hops.len())
        else {
            return self.seen;
        };
        match before.iter().rposition(|hop| !hop.probes.is_empty()) {
            Some(index) if index + 1 < before.len() => index + 1,
            _ => self.seen,
        }
    }

    /// A copy without the unsettled probes: in each hop, those from the first that still waits for an answer.
    #[must_use]
    pub fn settled(&self) -> Self {
        let mut path = self.clone();
        path.cut_off = true;
        for hop in &mut path.hops {
            let settled = hop.probes.iter().take_while(|probe| probe.is_settled()).count();
            hop.probes.truncate(settled);
        }
        path
    }

    /// The probe at `at`.
    #[must_use]
    pub fn probe(&self, at: ProbeRef) -> Option<&Probe> {
        match at {
            ProbeRef::Scout => self.scout.as_ref(),
            ProbeRef::SizeProbe(_) => self.size_probe(at).map(|size_probe| &size_probe.probe),
            ProbeRef::Confirmation(index) => self.confirmations.get(usize::from(index)),
            ProbeRef::Hop { ttl, query } => self.hop(ttl)?.probes.get(usize::from(query)),
        }
    }

    /// The size probe at `at`, if it is one.
    #[must_use]
    pub fn size_probe(&self, at: ProbeRef) -> Option<&SizeProbe> {
        let ProbeRef::SizeProbe(index) = at else { return None };
        self.size_probes.get(usize::from(index))
    }

    /// Where the probe that was sent as `at` is now.
    pub(super) fn by_now(&self, at: ProbeRef) -> ProbeRef {
        self.placed.iter().find(|(before, _)| *before == at).map_or(at, |(_, now)| *now)
    }

    pub(super) fn probe_mut(&mut self, at: ProbeRef) -> Option<&mut Probe> {
        match at {
            ProbeRef::Scout => self.scout.as_mut(),
            ProbeRef::SizeProbe(index) => {
                self.size_probes.get_mut(usize::from(index)).map(|size_probe| &mut size_probe.probe)
            }
            ProbeRef::Confirmation(index) => self.confirmations.get_mut(usize::from(index)),
            ProbeRef::Hop { ttl, query } => {
                let hop = self.hops.get_mut(usize::from(ttl.checked_sub(self.first_ttl)?))?;
                hop.probes.get_mut(usize::from(query))
            }
        }
    }

    /// The hop with this TTL, for a probe of its own; `None` if the trace has no such hop.
    pub(super) fn hop_mut(&mut self, ttl: u8) -> Option<&mut Hop> {
        let index = usize::from(ttl.checked_sub(self.first_ttl)?);
        let hop = self.hops.get_mut(index)?;
        self.seen = self.seen.max(index + 1);
        Some(hop)
    }

    /// The scout, wherever it is by now.
    pub(super) fn any_scout(&self) -> Option<&Probe> {
        self.scout.as_ref().or_else(|| self.probe(self.scout_place()?))
    }

    /// Where the scout has been put, once it is a hop's.
    fn scout_place(&self) -> Option<ProbeRef> {
        Some(self.by_now(ProbeRef::Scout)).filter(|at| *at != ProbeRef::Scout)
    }

    /// The TTL that a probe was sent with, also for the scout and for probes assigned to another hop.
    #[must_use]
    pub fn ttl_sent(&self, at: ProbeRef) -> u8 {
        match at {
            ProbeRef::Scout => self.max_ttl(),
            at => match self.probe(at) {
                Some(probe) => probe.ttl,
                None => at.hop_ttl().unwrap_or_else(|| self.max_ttl()),
            },
        }
    }

    /// The highest TTL at which a router answered, while nothing has ended the path: whatever lies beyond may be far, or
    /// beyond the end.
    #[must_use]
    pub fn open_beyond(&self) -> Option<u8> {
        self.end.is_none().then_some(self.farthest)
    }

    /// Whether a probe went past the end of the path, where nobody waits for answers: the scout is of no hop then.
    #[must_use]
    pub fn is_past_end(&self, at: ProbeRef) -> bool {
        self.last_ttl().is_some_and(|last| match at {
            ProbeRef::Scout => true,
            ProbeRef::SizeProbe(_) | ProbeRef::Confirmation(_) => false,
            ProbeRef::Hop { ttl, .. } => ttl > last,
        })
    }

    /// The number of probes past the end of the path, the scout included, that were not answered: nobody waited for
    /// them.
    #[must_use]
    pub fn unawaited(&self) -> u64 {
        let hops = self
            .hops()
            .iter()
            .map(|hop| (ProbeRef::Hop { ttl: hop.ttl, query: 0 }, &hop.probes[..]));
        let scout = self.scout.iter().map(|it| (ProbeRef::Scout, std::slice::from_ref(it)));
        let past = hops.chain(scout).filter(|(at, _)| self.is_past_end(*at));
        let open = past.flat_map(|(_, probes)| probes).filter(|probe| probe.answer().is_none());
        open.count() as u64
    }

    /// Every probe, in order of TTL and query, with the TTL of its hop; at last the scout, if it is no hop's.
    #[must_use]
    pub fn probes(&self) -> impl DoubleEndedIterator<Item = (u8, &Probe)> + Clone {
        let hops =
            self.hops().iter().flat_map(|hop| hop.probes.iter().map(|probe| (hop.ttl, probe)));
        hops.chain(self.scout.iter().map(|probe| (probe.ttl, probe)))
    }

    /// Whether the target was reached: it answered itself, or a port is unreachable at another address, beyond which
    /// nobody is: it may be one of the target's.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.probes().any(|(ttl, probe)| {
            let is_scout = self.any_scout().is_some_and(|scout| scout.key == probe.key);
            let ttl = self.distance.filter(|_| is_scout).unwrap_or(ttl);
            let at_end = |reply: &Reply| reply.kind.delivered() && ttl > self.farthest;
            probe.replies.iter().any(|reply| reply.is_of_target(self.target) || at_end(reply))
        })
    }

    /// The answers that are not believed, in order of TTL.
    pub fn contradictions(&self) -> impl Iterator<Item = Contradiction> {
        let scout = self.scout.iter().map(|scout| (scout.ttl, std::slice::from_ref(scout)));
        let hops = self.hops().iter().map(|hop| (hop.ttl, &hop.probes[..]));
        hops.chain(scout).filter_map(|(ttl, probes)| {
            let responder = probes.iter().find_map(|it| it.contradicted.first())?.responder;
            let count = |it: &Probe| it.contradicted.len() as u64 + it.contradicted.dropped();
            Some(Contradiction { ttl, responder, answers: probes.iter().map(count).sum() })
        })
    }

    /// Whether neither a probe nor a reply of the path was captured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.probes().next().is_none()
    }

    /// Why the trace ended, if it has ended.
    #[must_use]
    pub fn stop(&self) -> Stop {
        let full = |hop: &Hop| hop.probes.len() >= usize::from(self.queries);
        if self.looped.is_some() {
            Stop::Loop
        } else if self.end.is_some() {
            if self.reached() { Stop::TargetReached } else { Stop::Unreachable }
        } else if self.seen == self.hops.len() && self.hops().iter().all(full) {
            Stop::MaxHops
        } else {
            Stop::Incomplete
        }
    }
}
