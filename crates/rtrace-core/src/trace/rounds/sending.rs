//! The half of rounds that a replay does without: when the next begins, and what is sent in it.
//!
//! The round that is being sent is the current one of [`Seen`] once a probe of it was captured. Until then it has a tracer of
//! its own here, of which nobody is told: what is not captured has not happened.

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

/// As far as rounds go beyond the last hop that answered, where nobody said that it is the end.
const BEYOND: u8 = 5;

/// What a live run knows beside the frames.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    plan: Plan,
    /// How long a trace would wait: rounds wait no longer than they take.
    wait: Wait,
    /// The number of the round that is being sent, from 0.
    number: u64,
    /// That round, unless it is the current one.
    next: Option<Box<Tracer>>,
    /// When it began, and when the first did.
    began: Option<Timestamp>,
    first_began: Option<Timestamp>,
    /// When its first probe was handed out, and when that of the first was.
    asked: Option<Timestamp>,
    first_asked: Option<Timestamp>,
    /// Until when what was captured is known.
    now: Timestamp,
    /// As long as the path has been.
    distance: u8,
    /// How long nobody watched in this round.
    unattended: Unattended,
    /// No round begins any more.
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

    /// The round that is being sent; `None` if a probe of a later one was captured, which only a stranger can have sent.
    fn round<'a>(&'a self, seen: &'a Seen) -> Option<&'a Tracer> {
        let current = Some(&seen.current).filter(|_| seen.number() == self.number);
        self.next.as_deref().or(current)
    }

    /// The tracer of the round with this number, if that is being sent: its first probe was captured.
    pub(super) fn take(&mut self, number: u64) -> Option<Tracer> {
        let next = self.next.take_if(|_| number >= self.number);
        next.filter(|_| number == self.number).map(|next| *next)
    }

    /// Whether a round of which nothing was captured has gone by: it was told as missing.
    pub(super) fn has_given_up(&self, number: u64) -> bool {
        number < self.number
    }

    /// No round begins any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// How many rounds have begun; one of which nothing was captured yet has once that is not waited for any more.
    pub(super) fn begun(&self, seen: &Seen) -> u64 {
        let given_up = self.asked.is_some() && self.is_sent(seen);
        self.number.saturating_add(given_up.into())
    }

    /// How many have gone by since the last of which a probe was captured, before the one that is being sent.
    pub(super) fn missed(&self, seen: &Seen) -> u64 {
        let captured = seen.number().saturating_add((!seen.is_empty()).into());
        self.number.saturating_sub(captured)
    }

    /// Whether nothing is left to send in this round, or to wait for.
    fn is_sent(&self, seen: &Seen) -> bool {
        self.round(seen).is_none_or(Tracer::is_done)
    }

    /// When the next round is to begin, if this one has begun and another is meant.
    fn next_begins(&self) -> Option<Timestamp> {
        let more = self.plan.rounds.is_none_or(|rounds| self.number + 1 < rounds);
        // If no probe of it is seen leaving, it has begun all the same; but if none ever was, that is the end
        // once a trace would have timed out.
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

    /// A probe of this round was captured.
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
            // Nobody said in time that this is the end. If rounds before it found one, and no router answers there by
            // now, that was a loss; else the path may go on a little.
            let farthest = path.map_or(0, |path| path.farthest);
            known.filter(|end| *end > farthest).unwrap_or_else(|| {
                self.distance.max(farthest.saturating_add(BEYOND)).min(round.max_ttl)
            })
        });
        // It is the configuration of the first round, but for numbers of which any will do.
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
        if let Some(at) = round.polled() {
            self.note_beginning(at);
        }
    }

    pub(super) fn poll_timeout(&mut self, seen: &mut Seen) -> Option<Timestamp> {
        let due = if self.is_sent(seen) {
            self.next_begins().or_else(|| self.owed_until(seen))
        } else if let Some(next) = &mut self.next {
            // What waits in the round before times out at its time.
            next.poll_timeout().into_iter().chain(seen.current.next_deadline()).min()
        } else {
            seen.current.poll_timeout()
        };
        self.unattended.expect(due);
        due
    }

    /// The clock was set. Who asks for a time of day means that of the clock.
    pub(super) fn note_clock_step(&mut self, step: &ClockStep) {
        if let Some(Until::Time(end)) = &mut self.plan.until {
            *end = end.before(step.by);
        }
    }

    /// No frame stamped before `now` is still to come.
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

    /// Until when answers may still come: of hops that do answer, if any are missing, and while no round has found an end, of
    /// what lies beyond them and may be far.
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

    /// Until when what lies beyond all hops that answered may be far, while no round has found an end: once, after the last.
    fn far_until(&self, seen: &Seen) -> Option<Timestamp> {
        let farthest = seen.kept().map(Path::open_beyond);
        let farthest = farthest.collect::<Option<Vec<u8>>>()?.into_iter().max()?;
        let probes = seen.current.path().probes();
        let beyond = probes.filter(|(ttl, probe)| *ttl > farthest && probe.replies.is_empty());
        let first = beyond.filter_map(|(_, probe)| probe.sent).min()?;
        Some(first.after(self.wait.far()?))
    }
}
