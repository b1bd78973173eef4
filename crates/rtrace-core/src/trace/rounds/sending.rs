//! The sending half of rounds, which a replay does without: when the next round begins, and what it sends.
//!
//! The round that is being sent is the current round of [`Seen`] once one of its probes was captured. Until then it
//! has a tracer of its own here, which is not reported: what is not captured has not happened.

use super::super::config::{TraceConfig, Wait};
use super::super::engine::Engine;
use super::super::path::{Hop, Path};
use super::super::reply::Reply;
use super::super::tracer::Tracer;
use super::seen::Seen;
use super::unattended::{self, Unattended};
use super::{Plan, Until};
use crate::probe::Transmit;
use crate::time::{ClockStep, Span, Timestamp};

/// The number of hops that rounds go beyond the last hop that answered, if no reply showed the end of the path.
const BEYOND: u8 = 5;

/// What a live run knows beside the frames.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    plan: Plan,
    /// The waiting times of a trace; rounds wait at most for the length of a round.
    wait: Wait,
    /// The number of the round that is being sent, from 0.
    number: u64,
    /// The round that is being sent, unless it is the current round of [`Seen`].
    next: Option<Box<Tracer>>,
    /// When the round that is being sent began, and when the first round did.
    began: Option<Timestamp>,
    first_began: Option<Timestamp>,
    /// When the first probe of the round that is being sent was handed out, and when that of the first round was.
    asked: Option<Timestamp>,
    first_asked: Option<Timestamp>,
    /// The moment up to which all captured frames are known.
    now: Timestamp,
    /// The greatest length that the path has had, in hops.
    distance: u8,
    /// How long nobody watched during this round.
    unattended: Unattended,
    /// Whether no further round begins.
    ended: bool,
}

impl Sending {
    /// Begins with the first round, which is the current one.
    pub(super) fn new(plan: Plan, wait: Wait) -> Self {
        Self {
            plan,
            wait,
            number: 0,
            next: None,
            began: None,
            first_began: None,
            asked: None,
            first_asked: None,
            now: Timestamp::default(),
            distance: 0,
            unattended: Unattended::default(),
            ended: false,
        }
    }

    /// The round that is being sent; `None` if a probe of a later round was captured, which only a stranger can have
    /// sent.
    fn round<'a>(&'a self, seen: &'a Seen) -> Option<&'a Tracer> {
        let current = Some(&seen.current).filter(|_| seen.number() == self.number);
        self.next.as_deref().or(current)
    }

    /// Takes the tracer of the round with this number, if it is being sent: its first probe was captured.
    pub(super) fn take(&mut self, number: u64) -> Option<Tracer> {
        let next = self.next.take_if(|_| number >= self.number);
        next.filter(|_| number == self.number).map(|next| *next)
    }

    /// Whether this round was already counted as not sent.
    pub(super) fn has_given_up(&self, number: u64) -> bool {
        number < self.number
    }

    /// Ends the sending: no further round begins.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The number of rounds that have begun. A round without a captured probe counts once it is no longer waited for.
    pub(super) fn begun(&self, seen: &Seen) -> u64 {
        let given_up = self.asked.is_some() && self.is_sent(seen);
        self.number.saturating_add(given_up.into())
    }

    /// The number of rounds not sent since the last captured one, before the round that is being sent.
    pub(super) fn missed(&self, seen: &Seen) -> u64 {
        let captured = seen.number().saturating_add((!seen.is_empty()).into());
        self.number.saturating_sub(captured)
    }

    /// Whether nothing is left in this round to send or to wait for.
    fn is_sent(&self, seen: &Seen) -> bool {
        self.round(seen).is_none_or(Tracer::is_done)
    }

    /// When the next round begins, if this one has begun and the plan has another.
    fn next_begins(&self) -> Option<Timestamp> {
        let more = self.plan.rounds.is_none_or(|rounds| self.number + 1 < rounds);
        // If no probe of the round is seen leaving, it has begun all the same. If no probe of any round ever was, the
        // watch ends once a trace would have timed out.
        let patience = Span::from_secs_f64(self.wait.max);
        let hopes = self.first_asked.is_none_or(|first| self.now < first.after(patience));
        let asked = self.asked.filter(|_| self.first_began.is_some() || hopes);
        let began = self.began.or(asked).filter(|_| more && !self.ended)?;
        let next = self.unattended.next(&self.plan, self.number);
        let next = began.after(unattended::length(next - self.number, self.plan.interval));
        let end = self.plan.until.map(|until| match until {
            Until::Time(end) => end,
            Until::After(span) => self.first_began.unwrap_or(began).after(span),
        });
        Some(next).filter(|next| end.is_none_or(|end| *next < end))
    }

    fn note_beginning(&mut self, at: Timestamp) {
        self.began.get_or_insert(at);
        self.first_began.get_or_insert(at);
    }

    /// Notes that a probe of this round was captured.
    pub(super) fn note_probe(&mut self, round: u64, at: Timestamp) {
        if round >= self.number {
            self.note_beginning(at);
        } else {
            self.first_began.get_or_insert(at);
        }
    }

    /// Begins the next round.
    fn begin(&mut self, seen: &Seen, config: &TraceConfig) {
        let next = self.unattended.next(&self.plan, self.number);
        let number = next.max(seen.number().saturating_add(1));
        self.unattended.forget();
        let round = config.round(number);
        let known = seen.target().or_else(|| seen.known_end());
        let path = self.round(seen).map(Tracer::path);
        self.distance = path.and_then(Path::last_ttl).unwrap_or_else(|| {
            // No reply in time showed the end of the path. If earlier rounds found one, and no router answers there
            // by now, the reply was lost; otherwise the path may go on a little.
            let farthest = path.map_or(0, |path| path.farthest);
            known.filter(|end| *end > farthest).unwrap_or_else(|| {
                self.distance.max(farthest.saturating_add(BEYOND)).min(round.max_ttl)
            })
        });
        // The next round has the configuration of the first; for the numbers of its probes any value will do.
        let Ok(next) = Tracer::expecting(round, self.distance) else { return };
        self.next = Some(Box::new(next));
        (self.number, self.began, self.asked) = (number, None, None);
    }

    pub(super) fn poll_transmit<'a>(
        &'a mut self,
        seen: &'a mut Seen,
        config: &TraceConfig,
        now: Timestamp,
    ) -> Option<Transmit<'a>> {
        self.unattended.resume(now);
        if self.is_sent(seen) && self.next_begins().is_some_and(|at| at <= now) {
            self.begin(seen, config);
        }
        let is_current = seen.number() == self.number;
        let current = Some(&mut seen.current).filter(|_| is_current);
        let round = self.next.as_deref_mut().or(current)?;
        let transmit = round.poll_transmit(now)?;
        self.asked.get_or_insert(now);
        self.first_asked.get_or_insert(now);
        Some(transmit)
    }

    pub(super) fn handle_refusal(&mut self, seen: &mut Seen) {
        let is_current = seen.number() == self.number;
        let current = Some(&mut seen.current).filter(|_| is_current);
        let Some(round) = self.next.as_deref_mut().or(current) else { return };
        round.handle_refusal();
        if let Some(at) = round.polled {
            self.note_beginning(at);
        }
    }

    pub(super) fn poll_timeout(&mut self, seen: &mut Seen) -> Option<Timestamp> {
        let due = if self.is_sent(seen) {
            self.next_begins().or_else(|| self.owed_until(seen))
        } else if let Some(next) = &mut self.next {
            // Probes that wait in the round before time out at their own time.
            next.poll_timeout().into_iter().chain(seen.current.next_deadline()).min()
        } else {
            seen.current.poll_timeout()
        };
        self.unattended.expect(due);
        due
    }

    /// Notes that the clock was set. An end given as a time of day refers to that clock.
    pub(super) fn note_clock_step(&mut self, step: &ClockStep) {
        if let Some(Until::Time(end)) = &mut self.plan.until {
            *end = end.before(step.by);
        }
    }

    /// Notes that no frame stamped before `now` can come any longer.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        if let Some(next) = &mut self.next {
            next.handle_timeout(now);
        }
    }

    /// Whether nothing is left to send or to wait for.
    pub(super) fn is_done(&self, seen: &Seen) -> bool {
        let over = self.is_sent(seen) && self.next_begins().is_none();
        over && self.owed_until(seen).is_none_or(|until| until <= self.now)
    }

    /// How long answers may still come: of hops that do answer, if some are missing, and of hops beyond them that may
    /// be far, while no round has found the end of the path.
    fn owed_until(&self, seen: &Seen) -> Option<Timestamp> {
        let replies = |hop: &Hop| hop.probes.iter().any(|probe| !probe.replies.is_empty());
        let answers = |ttl: u8| seen.kept().any(|path| path.hop(ttl).is_some_and(replies));
        let rtts = seen.kept().flat_map(Path::probes).flat_map(|(_, probe)| &probe.replies);
        let largest = rtts.clone().filter_map(Reply::measured).max();
        // Where answers take longer than a round waits, those of hops beyond the farthest may be in flight as well.
        let late = rtts.filter(|reply| reply.late).filter_map(Reply::measured).max();
        let farthest = seen.kept().map(|path| path.farthest).max().unwrap_or(0);
        let here = |ttl: u8| match late {
            _ if answers(ttl) => Some(None),
            Some(_) if ttl > farthest => Some(late),
            _ => None,
        };
        let hops = seen.kept().flat_map(Path::reported);
        let owed = hops.filter_map(|hop| Some((here(hop.ttl)?, hop))).flat_map(|(here, hop)| {
            let open = hop.probes.iter().filter(|probe| probe.replies.is_empty());
            open.map(move |probe| self.wait.deadline(probe, here, None, largest))
        });
        owed.max().max(self.far_until(seen))
    }

    /// How long hops beyond all that answered may still answer, while no round has found the end of the path: once,
    /// after the last round.
    fn far_until(&self, seen: &Seen) -> Option<Timestamp> {
        let farthest = seen.kept().map(Path::open_beyond);
        let farthest = farthest.collect::<Option<Vec<u8>>>()?.into_iter().max()?;
        let probes = seen.current.path().probes();
        let beyond = probes.filter(|(ttl, probe)| *ttl > farthest && probe.replies.is_empty());
        let first = beyond.filter_map(|(_, probe)| probe.sent).min()?;
        Some(first.after(self.wait.far()?))
    }
}
