//! What became of sizes at hops, and how sure that is.
//!
//! An answer is certain. Silence is not: the probe or its answer may have been lost, or a limit on ICMP kept the
//! router from answering. How often a hop leaves unanswered what it is known to answer says how often a size has to be tried
//! before its silence is believed: until chance would explain it less than once in [`CERTAINTY`] times.

use super::super::config::TraceConfig;
use super::super::path::{Hop, Path, Probe, SizeProbe};
use super::super::reply::Reply;
use super::Ask;
use crate::time::{Span, Timestamp};

/// How often a size is tried before it is presumed to vanish, and others are tried.
const TRIES: usize = 2;
/// How often at least before that is believed: where no probe is lost, and where a limit on ICMP may be.
const LEAST_TRIES: usize = 5;
const LEAST_RESTED: usize = 3;
/// Where more would be needed, nothing is concluded.
const MOST_TRIES: usize = 30;
/// How often a size that is answered is sent to learn how much is lost.
const MOST_CONTROLS: usize = 20;
/// How certain silence has to be: a chance of one in this number.
const CERTAINTY: f64 = 100_000.0;
/// The least loss assumed at a rate-limited hop, of whose probes few count.
const LEAST_LIMITED_LOSS: f64 = 0.1;
/// What of a rest is asked for between captured frames, which may be a little closer than they were meant to be.
const SEEN_REST: Span = Span::from_millis(1_000);

/// What became of a size on the path to a hop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate<'a> {
    /// It arrived.
    Passed,
    /// A router said that it is too big, or anything else that shorter ones do not get.
    Refused(Refusal<'a>),
    /// No answer so far.
    Lost,
}

/// What a router said of a size that shorter ones do not get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'a> {
    pub(super) reply: &'a Reply,
    /// The hop of the router, if that is known.
    pub(super) hop: Option<u8>,
}

/// A size probe that was sent.
pub(super) struct Tried<'a> {
    size_probe: &'a SizeProbe,
    /// After a rest.
    rested: bool,
    answer: Answer<'a>,
}

/// What was answered to a size probe.
#[derive(Clone, Copy)]
enum Answer<'a> {
    Nothing,
    Passed,
    /// By the router of this hop, as far as that is known.
    Refused(Refusal<'a>),
}

impl Tried<'_> {
    fn answered(&self) -> bool {
        !matches!(self.answer, Answer::Nothing)
    }
}

/// The size probes that were sent, and what is known without them.
pub(super) struct Evidence<'a> {
    path: &'a Path,
    /// The length that every answering hop has answered.
    pub(super) floor: u16,
    sent: Vec<Tried<'a>>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(path: &'a Path, config: &TraceConfig) -> Self {
        let mut before = None;
        let sent = path.size_probes.iter().map(|size_probe| {
            let sent = size_probe.probe.sent;
            let rest = sent.zip(before).map(|(sent, before)| sent.since(before));
            before = before.max(sent);
            let answer = match size_probe.probe.counted() {
                None => Answer::Nothing,
                Some(reply) if passed(path, size_probe, reply) => Answer::Passed,
                Some(reply) => {
                    Answer::Refused(Refusal { reply, hop: hop_of(path, size_probe, reply) })
                }
            };
            Tried { size_probe, rested: rest >= Some(SEEN_REST), answer }
        });
        let sent = sent.collect();
        Self { path, floor: config.packet_len, sent }
    }

    pub(super) fn answering_hops(&self) -> Vec<u8> {
        let answers =
            |probe: &Probe| probe.counted().is_some_and(|reply| reply.kind.too_big().is_none());
        let hops = self.path.reported().iter().filter(|hop| hop.own().any(answers));
        hops.map(|hop| hop.ttl).collect()
    }

    /// The lengths that were tried.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u16> {
        self.sent.iter().map(|it| it.size_probe.len)
    }

    pub(super) fn tried(&self, ttl: u8, len: u16) -> impl Iterator<Item = &Tried<'a>> + Clone {
        self.sent
            .iter()
            .filter(move |it| it.size_probe.len == len && it.size_probe.probe.ttl == ttl)
    }

    /// The longest up to `most` that is known to reach hop `ttl`.
    pub(super) fn passes(&self, ttl: u8, most: u16) -> u16 {
        let farther = self.sent.iter().filter(|it| it.size_probe.probe.ttl >= ttl);
        let passing =
            farther.filter(|it| matches!(it.answer, Answer::Passed)).map(|it| it.size_probe.len);
        passing.filter(|len| *len <= most).max().unwrap_or(0).max(self.floor)
    }

    /// What became of a size on the path to hop `ttl`. What a router before it says of this size to a farther hop, it
    /// says to this one.
    pub(super) fn fate(&self, ttl: u8, len: u16) -> Fate<'a> {
        if self.passes(ttl, u16::MAX) >= len {
            return Fate::Passed;
        }
        let refusal = self.sent.iter().filter(|it| it.size_probe.len == len).find_map(|it| {
            let Answer::Refused(refusal) = it.answer else { return None };
            let before = it.size_probe.probe.ttl == ttl || refusal.hop.is_some_and(|hop| hop < ttl);
            before.then_some(refusal)
        });
        refusal.map_or(Fate::Lost, Fate::Refused)
    }

    /// Whether hop `ttl` did not answer sizes that hops before it answer: its ICMP is limited, or loss is high.
    fn limits(&self, ttl: u8) -> bool {
        self.controls(ttl).any(|it| !it.answered())
    }

    /// The size probes to hop `ttl` of lengths that are answered.
    fn controls(&self, ttl: u8) -> impl Iterator<Item = &Tried<'a>> {
        let here = self.sent.iter().filter(move |it| it.size_probe.probe.ttl == ttl);
        let passes = self.passes(ttl, u16::MAX).max(self.floor.saturating_add(1));
        here.filter(move |it| {
            let len = it.size_probe.len;
            let known = len <= passes || it.answered();
            known || matches!(self.fate(ttl, len), Fate::Refused(_))
        })
    }

    pub(super) fn ask(&self, ttl: u8, len: u16) -> Ask {
        Ask { ttl, len, rested: self.limits(ttl) }
    }

    /// Whether an unanswered size counts as one that vanishes, until more is known.
    pub(super) fn presumed_lost(&self, ttl: u8, len: u16) -> bool {
        let limits = self.limits(ttl);
        let tries = self.counted(ttl, len, limits).map(|_| if limits { TRIES } else { 1 });
        tries.sum::<usize>() >= TRIES
    }

    /// The tries of a size that say something.
    fn counted(&self, ttl: u8, len: u16, limits: bool) -> impl Iterator<Item = &Tried<'a>> + Clone {
        self.tried(ttl, len).filter(move |it| it.rested || !limits)
    }

    /// Confirms that `len`, unanswered on the path to hop `ttl`, vanishes; `control` is a length that is answered
    /// there.
    pub(super) fn confirm(&self, ttl: u8, len: u16, control: Option<u16>) -> Result<(), Vec<Ask>> {
        let limits = self.limits(ttl);
        let tries = self.counted(ttl, len, limits);
        let ask = |len, rested| Err(vec![Ask { ttl, len, rested }]);
        let count = tries.clone().count();
        if count >= TRIES && !tries.clone().any(|it| it.rested) {
            return ask(len, true);
        }
        let Some(needed) = self.tries_needed(ttl, limits) else {
            // Of a hop that answers too seldom, or was asked too seldom, nothing can be concluded.
            let more = control.filter(|len| self.tried(ttl, *len).count() < MOST_CONTROLS);
            return more.map_or(Err(Vec::new()), |control| ask(control, limits));
        };
        if count < needed {
            return ask(len, limits);
        }
        let last = tries.filter_map(|it| it.size_probe.probe.sent).max();
        let Some(control) = control else { return Ok(()) };
        let mut later = self.tried(ttl, control).filter(|it| it.size_probe.probe.sent > last);
        if later.any(Tried::answered) { Ok(()) } else { ask(control, limits) }
    }

    /// How often a size has to be tried at this hop before its silence is believed; `None` if more often than it is
    /// worth.
    fn tries_needed(&self, ttl: u8, limits: bool) -> Option<usize> {
        let sizers = self.controls(ttl).filter(|it| it.rested || !limits).map(Tried::answered);
        let short = self.path.hop(ttl).into_iter().flat_map(Hop::own);
        let short = short.filter(|_| !limits).map(|it| it.counted().is_some());
        let (mut silent, mut all) = (0.5, 1.0);
        for answered in sizers.chain(short) {
            silent += if answered { 0.0 } else { 1.0 };
            all += 1.0;
        }
        let (least, least_loss) =
            if limits { (LEAST_RESTED, LEAST_LIMITED_LOSS) } else { (LEAST_TRIES, 0.0) };
        let loss = f64::max(silent / all, least_loss);
        (least..=MOST_TRIES).find(|tries| certain(loss, *tries))
    }

    /// Whether hop `ttl` was asked after it left this size unanswered, or is known to leave sizes unanswered.
    pub(super) fn answered_later(&self, ttl: u8, len: u16) -> bool {
        let limits = self.limits(ttl);
        let last = self.counted(ttl, len, limits).filter_map(|it| it.size_probe.probe.sent).max();
        let here = self.sent.iter().map(|it| &it.size_probe.probe).filter(|it| it.ttl == ttl);
        let last: Option<Timestamp> = last.or_else(|| Some(Timestamp::default()));
        limits || here.into_iter().any(|probe| probe.sent > last)
    }
}

/// Whether a size probe was answered as if it had arrived: as probes to that hop are that are short.
fn passed(path: &Path, size_probe: &SizeProbe, reply: &Reply) -> bool {
    let short = path.hop(size_probe.probe.ttl).into_iter().flat_map(Hop::own);
    let mut short = short.filter_map(Probe::counted);
    let as_short = short.any(|it| it.kind == reply.kind);
    let arrived = reply.kind.in_transit() || reply.kind.delivered() || as_short;
    arrived && reply.kind.too_big().is_none()
}

/// The hop of a router that refused a size probe: the one that answers from its address, else the one whose TTL is quoted.
fn hop_of(path: &Path, size_probe: &SizeProbe, reply: &Reply) -> Option<u8> {
    let is_it = |probe: &Probe| probe.counted().is_some_and(|it| it.responder == reply.responder);
    let known = path.reported().iter().find(|hop| hop.own().any(is_it));
    let quoted = || {
        let left = reply.quote.and_then(|quote| quote.ttl.checked_sub(1))?;
        size_probe.probe.ttl.checked_sub(left)
    };
    known.map(|hop| hop.ttl).or_else(quoted).filter(|hop| *hop < size_probe.probe.ttl)
}

/// Whether this loss is too low to explain this number of unanswered tries.
fn certain(loss: f64, tries: usize) -> bool {
    let tries = i32::try_from(tries).unwrap_or(i32::MAX);
    loss.powi(tries) * CERTAINTY <= 1.0
}
