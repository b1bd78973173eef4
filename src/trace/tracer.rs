//! The tracer: frames and times in, events and the path out.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::probe::{self, Flow, ProbeKey, Transmit};
use crate::time::{Span, Timestamp};
use crate::wire::checksum::checksum;
use crate::wire::extension::{self, Extension, Family};
use crate::wire::icmpv4::{CODE_FRAGMENTATION, UNREACHABLE};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::{Frame, icmpv4, link, quoted};

use super::config::{ConfigError, TraceConfig};
use super::path::{Outcome, Path, Probe, ProbeRef, REPLIES_KEPT, Reply, ReplyKind};
use super::schedule::Schedule;

/// What a frame was to the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// One of our probes, on its way out.
    OwnProbe(ProbeRef),
    /// A reply to this probe; the index is among its kept replies, if it was kept.
    Reply(ProbeRef, Option<usize>),
    /// It quotes this probe, but its checksum is wrong: it is not believed.
    Damaged(ProbeRef),
    /// A probe of ours that was captured before: on `lo` each packet is seen twice.
    Repeated,
    /// Nothing to do with this trace.
    Unrelated,
}

impl Disposition {
    /// Whether the frame belongs into the recording.
    #[must_use]
    pub fn concerns_the_trace(self) -> bool {
        !matches!(self, Self::Repeated | Self::Unrelated)
    }
}

/// Something that happened to the path. The path itself holds the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A probe was captured on its way out.
    Sent(ProbeRef),
    /// A reply arrived; the index is among the probe's kept replies.
    Replied(ProbeRef, usize),
    /// A probe was answered or given up: what a report says of it will not change.
    Settled(ProbeRef),
    /// Every probe is settled and no more will come.
    Ended,
}

/// What a datagram to us says of one of our probes, before its checksums are believed.
struct Claim {
    at: ProbeRef,
    kind: ReplyKind,
    quoted_ttl: Option<u8>,
    quoted_len: Option<u16>,
    extension: Option<Box<Extension>>,
}

/// A trace in progress. See the [module](super) for what it is a function of.
#[derive(Debug)]
pub struct Tracer {
    config: TraceConfig,
    flow: Flow,
    path: Path,
    by_key: HashMap<ProbeKey, ProbeRef>,
    /// The last probe with each selector: what a UDP answer, which has no IP-ID of ours, answers.
    by_selector: HashMap<u16, ProbeRef>,
    waiting: Vec<ProbeRef>,
    /// The earliest deadline among those waiting; stale when `deadlines_changed`.
    next_deadline: Option<Timestamp>,
    deadlines_changed: bool,
    schedule: Option<Schedule>,
    events: VecDeque<Event>,
    ended: bool,
}

impl Tracer {
    /// A tracer that plans probes: for live and simulated links.
    ///
    /// # Errors
    /// When no trace can be run with `config`.
    pub fn new(config: TraceConfig) -> Result<Self, ConfigError> {
        Ok(Self { schedule: Some(Schedule::new()), ..Self::passive(config)? })
    }

    /// A tracer that only watches: for replay.
    ///
    /// # Errors
    /// When no trace can be run with `config`.
    pub fn passive(config: TraceConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            flow: config.flow(),
            path: Path::new(&config),
            config,
            by_key: HashMap::new(),
            by_selector: HashMap::new(),
            waiting: Vec::new(),
            next_deadline: None,
            deadlines_changed: false,
            schedule: None,
            events: VecDeque::new(),
            ended: false,
        })
    }

    /// What was asked.
    #[must_use]
    pub fn config(&self) -> &TraceConfig {
        &self.config
    }

    /// What is known so far.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next thing that happened. Ask until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next datagram to send, if one is due at `now`. Ask until `None`; ask again after every
    /// frame, and at [`poll_timeout`](Self::poll_timeout).
    pub fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>> {
        let last_ttl = self.last_ttl();
        let schedule = self.schedule.as_mut().filter(|_| !self.ended)?;
        let datagram = schedule.next(&self.config, now, self.waiting.len(), last_ttl)?;
        Some(Transmit { destination: IpAddr::V4(self.config.target), datagram })
    }

    /// The link did not take the datagram that [`poll_transmit`](Self::poll_transmit) gave last.
    pub fn handle_refusal(&mut self) {
        if let Some(schedule) = &mut self.schedule {
            schedule.refused();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next to be called, or a probe to be sent, if
    /// no frame comes before.
    pub fn poll_timeout(&mut self) -> Option<Timestamp> {
        let deadline = self.next_deadline();
        let last_ttl = self.last_ttl();
        let sending = self.schedule.as_ref().and_then(|schedule| {
            let may_send = self.waiting.len() < usize::from(self.config.in_flight)
                && !schedule.is_exhausted(&self.config, last_ttl);
            schedule.wake_at(&self.config, may_send)
        });
        deadline.into_iter().chain(sending).min()
    }

    /// No frame stamped before `now` is still to come: whatever was to be answered by then is lost.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.expire(now);
        if let Some(schedule) = &mut self.schedule {
            schedule.expire(&self.config, now);
        }
    }

    /// Takes one captured frame. Handling a probe's frame again changes nothing.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) -> Disposition {
        self.expire(frame.at);
        let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) else {
            return Disposition::Unrelated;
        };
        let Ok((header, payload)) = ipv4::decode(datagram) else {
            return Disposition::Unrelated;
        };
        let ours = header.source == self.flow.source && header.destination == self.flow.target;
        if ours
            && let Some((flow, key)) = probe::recognise(&header, payload)
            && flow == self.flow
        {
            return self.handle_own(frame, header.ttl, key);
        }
        if header.destination == self.flow.source {
            let head = &datagram[..usize::from(header.header_len)];
            return self.handle_reply(frame, &header, head, payload);
        }
        Disposition::Unrelated
    }

    /// Whether nothing is left to send or to wait for. A passive tracer never knows.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let Some(schedule) = &self.schedule else { return false };
        let last_ttl = self.last_ttl();
        schedule.is_exhausted(&self.config, last_ttl)
            && !schedule.is_unsure(&self.config, last_ttl)
            && self.waiting.iter().all(|at| at.ttl > last_ttl)
    }

    /// The trace is over: done, interrupted, or at the end of a recording. Whatever still waits is
    /// given up. Afterwards nothing more is sent.
    pub fn finish(&mut self) {
        self.expire(Timestamp::from_nanos(i64::MAX));
        if !self.ended {
            self.ended = true;
            self.events.push_back(Event::Ended);
        }
    }

    /// As far as the trace goes, to the best of what is known.
    fn last_ttl(&self) -> u8 {
        self.path.end.unwrap_or(self.config.max_ttl)
    }

    fn handle_own(&mut self, frame: &Frame<'_>, ttl: u8, key: ProbeKey) -> Disposition {
        if self.by_key.contains_key(&key) {
            return Disposition::Repeated;
        }
        let planned = (self.config.first_ttl..=self.config.max_ttl).contains(&ttl);
        let hop = planned.then(|| self.path.hop_mut(ttl));
        let Some(hop) = hop.filter(|hop| hop.probes.len() < usize::from(self.config.queries))
        else {
            return Disposition::Unrelated;
        };
        let query = u16::try_from(hop.probes.len()).unwrap_or(u16::MAX);
        hop.probes.push(Probe::new(key, frame.at, frame.number));
        let at = ProbeRef { ttl, query };
        self.by_key.insert(key, at);
        self.by_selector.insert(key.selector, at);
        self.waiting.push(at);
        self.deadlines_changed = true;
        self.path.totals.sent += 1;
        if let Some(schedule) = &mut self.schedule {
            schedule.confirm(key);
        }
        self.events.push_back(Event::Sent(at));
        Disposition::OwnProbe(at)
    }

    /// `head` is the datagram's IP header, `payload` what follows it.
    fn handle_reply(
        &mut self,
        frame: &Frame<'_>,
        header: &Ipv4Header,
        head: &[u8],
        payload: &[u8],
    ) -> Disposition {
        let Some(claim) = self.find_answered(header, payload) else {
            return Disposition::Unrelated;
        };
        let Claim { at, kind, quoted_ttl, quoted_len, extension } = claim;
        // A UDP answer's own checksum may be unfinished (offload); what has one by ICMP is checked
        // where the whole message was captured.
        let whole = usize::from(header.total_len) == head.len() + payload.len();
        let icmp_wrong = header.protocol == ipv4::ICMP
            && whole
            && !header.more_fragments
            && checksum(payload) != 0;
        if icmp_wrong || checksum(head) != 0 {
            self.path.totals.damaged += 1;
            return Disposition::Damaged(at);
        }
        let reply = Reply {
            responder: IpAddr::V4(header.source),
            kind,
            at: frame.at,
            rtt: Span::ZERO,
            frame: frame.number,
            ttl: header.ttl,
            quoted_ttl,
            quoted_len,
            extension,
            late: false,
            duplicate: false,
        };
        let kept = self.take_reply(at, reply);
        Disposition::Reply(at, kept)
    }

    /// Which probe a datagram to us answers, and what it says of it.
    fn find_answered(&self, header: &Ipv4Header, payload: &[u8]) -> Option<Claim> {
        if header.fragment_offset != 0 {
            return None;
        }
        if let Some(selector) = probe::answered_selector(&self.flow, header, payload) {
            let at = *self.by_selector.get(&selector)?;
            return Some(Claim {
                at,
                kind: ReplyKind::Answer,
                quoted_ttl: None,
                quoted_len: None,
                extension: None,
            });
        }
        if header.protocol != ipv4::ICMP {
            return None;
        }
        let (icmp, rest) = icmpv4::decode(payload).ok()?;
        if !icmp.quotes() {
            return None;
        }
        let (quote, extension) = icmp
            .quote_words()
            .map_or((rest, None), |words| extension::quoted_and_extension(rest, words, Family::V4));
        let quote = quoted::decode(quote).ok()?;
        let (flow, key) = probe::recognise_quoted(&quote)?;
        let at = *self.by_key.get(&key).filter(|_| flow == self.flow)?;
        let too_big = icmp.icmp_type == UNREACHABLE && icmp.code == CODE_FRAGMENTATION;
        let mtu = too_big.then(|| icmp.next_hop_mtu());
        let kind = ReplyKind::Icmp { icmp_type: icmp.icmp_type, code: icmp.code, mtu };
        let (quoted_ttl, quoted_len) = (Some(quote.header.ttl), u16::try_from(quote.len).ok());
        Some(Claim { at, kind, quoted_ttl, quoted_len, extension: extension.map(Box::new) })
    }

    /// Adds a reply to its probe and settles the probe if it was waiting. Gives the reply's index.
    fn take_reply(&mut self, at: ProbeRef, mut reply: Reply) -> Option<usize> {
        let probe = self.path.probe_mut(at)?;
        let same = |other: &Reply| other.responder == reply.responder && other.kind == reply.kind;
        reply.rtt = reply.at.since(probe.sent);
        reply.duplicate = probe.replies.iter().any(same);
        reply.late = probe.outcome == Outcome::Lost && !reply.kind.is_advice();
        let settles = probe.outcome == Outcome::Waiting && !reply.kind.is_advice();
        let kept = probe.replies.len() < REPLIES_KEPT || settles;
        let index = probe.replies.len();
        let in_transit = reply.kind.in_transit();

        let totals = &mut self.path.totals;
        totals.duplicate += u64::from(reply.duplicate);
        totals.late += u64::from(reply.late && !reply.duplicate);
        totals.clock_faults += u64::from(reply.rtt < Span::ZERO);
        let probe = self.path.probe_mut(at)?;
        if kept {
            probe.replies.push(reply);
        } else {
            probe.replies_dropped += 1;
        }
        if settles {
            probe.outcome = Outcome::Answered(index);
        }

        if kept {
            self.events.push_back(Event::Replied(at, index));
        }
        if settles {
            self.path.totals.answered += 1;
            if !in_transit {
                self.path.end = Some(self.path.end.map_or(at.ttl, |end| end.min(at.ttl)));
            }
            self.waiting.retain(|waiting| *waiting != at);
            self.deadlines_changed = true;
            self.events.push_back(Event::Settled(at));
        }
        kept.then_some(index)
    }

    /// Law 4: whatever was to be answered by `now` is lost, in the order of the deadlines.
    fn expire(&mut self, now: Timestamp) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let mut due: Vec<(Timestamp, ProbeRef)> =
            self.waiting.iter().map(|at| (self.deadline(*at), *at)).collect();
        due.retain(|(deadline, _)| *deadline <= now);
        due.sort_unstable();
        for (_, at) in due {
            if let Some(probe) = self.path.probe_mut(at) {
                probe.outcome = Outcome::Lost;
            }
            self.waiting.retain(|waiting| *waiting != at);
            self.events.push_back(Event::Settled(at));
        }
        self.deadlines_changed = true;
    }

    fn next_deadline(&mut self) -> Option<Timestamp> {
        if self.deadlines_changed {
            self.next_deadline = self.waiting.iter().map(|at| self.deadline(*at)).min();
            self.deadlines_changed = false;
        }
        self.next_deadline
    }

    fn deadline(&self, at: ProbeRef) -> Timestamp {
        let hops = self.path.hops();
        let here = usize::from(at.ttl - self.config.first_ttl);
        let near = || hops.iter().skip(here + 1).find_map(super::Hop::first_rtt);
        let Some(probe) = self.path.probe(at) else { return Timestamp::default() };
        let own = hops.get(here).and_then(super::Hop::first_rtt);
        self.config.wait.deadline(probe, own, near())
    }
}
