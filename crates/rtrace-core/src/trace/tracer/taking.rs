//! Takes captured datagrams: a probe of this trace joins the path, a reply joins its probe.
//!
//! Whatever is due by the time of the frame times out first, and nothing is counted twice: a second frame of a probe
//! changes nothing, and a second reply is a duplicate.

use super::super::claim::Claim;
use super::super::correlate::number;
use super::super::datagram::Datagram;
use super::super::event::{Disposition, Event};
use super::super::mtu;
use super::super::path::{Outcome, Probe, ProbeRef, REPLIES_KEPT, SizeProbe};
use super::super::reply::Reply;
use super::Tracer;
use crate::probe::ProbeKey;
use crate::time::{Span, Timestamp};
use crate::wire::Frame;
use crate::wire::checksum::checksum;
use crate::wire::ip::{self, IpHeader};

impl Tracer {
    /// Like [`handle_packet`](Engine::handle_packet) of a frame that holds this datagram, if any, but does not count
    /// frames that match nothing.
    pub(in super::super) fn take_datagram(
        &mut self,
        frame: &Frame<'_>,
        datagram: Option<&Datagram<'_>>,
    ) -> Disposition {
        self.expire(frame.at);
        let Some(datagram) = datagram else { return Disposition::Unrelated };
        let Datagram { header, payload, .. } = datagram;
        if let Some(key) = self.own(datagram, frame.number) {
            let disposition = self.handle_own(frame, header, payload, key);
            if disposition == Disposition::Unrelated {
                self.note_foreign(datagram);
            }
            return disposition;
        }
        self.note_foreign(datagram);
        if self.is_to_us(datagram) {
            return self.handle_reply(frame, datagram);
        }
        Disposition::Unrelated
    }

    /// Like [`take_datagram`](Self::take_datagram) for a finished round: the running round decides what is believed.
    pub(in super::super) fn take_late_reply(
        &mut self,
        running: &mut Self,
        frame: &Frame<'_>,
        datagram: &Datagram<'_>,
    ) -> Disposition {
        std::mem::swap(&mut self.belief, &mut running.belief);
        let disposition = self.handle_reply(frame, datagram);
        std::mem::swap(&mut self.belief, &mut running.belief);
        disposition
    }

    /// Notes a datagram that is about no probe of any round: it may be an answer to a probe that nobody sent.
    pub(in super::super) fn note_unasked(&mut self, datagram: &Datagram<'_>) {
        self.guessed |= self.correlator.is_answer(&datagram.header, datagram.payload);
    }

    /// Counts a frame that was this to the trace, and that no other round wants either.
    pub(in super::super) fn count_unmatched(&mut self, disposition: Disposition) {
        if disposition == Disposition::CutShort {
            self.path.totals.orphans += 1;
            self.path.totals.cut_short += 1;
        }
        if !matches!(disposition, Disposition::Unmatched | Disposition::Stray) {
            return;
        }
        self.path.totals.orphans += u64::from(disposition == Disposition::Unmatched);
        match self.stray.take() {
            Some(stray) if disposition == Disposition::Stray => self.belief.note_stray(stray),
            _ => self.belief.note_misfit(),
        }
        self.path.totals.withdrawn = self.belief.is_withdrawn();
    }

    fn handle_own(
        &mut self,
        frame: &Frame<'_>,
        header: &IpHeader,
        payload: &[u8],
        key: ProbeKey,
    ) -> Disposition {
        if self.correlator.knows(&key) {
            return Disposition::Repeated;
        }
        let probe = Probe::new(key, header.ttl, frame.at.known(), Some(frame.number));
        let first = self.path.totals.sent == 0 && self.path.hops().is_empty();
        let at = if self.correlator.is_confirmation(&key) {
            // There is one for each TTL.
            let Ok(index) = u8::try_from(self.path.confirmations.len()) else {
                return Disposition::Unrelated;
            };
            self.path.confirmations.push(probe);
            ProbeRef::Confirmation(index)
        } else if self.config.mtu && header.total_len > usize::from(self.config.packet_len) {
            let Some(at) = self.add_sizer(probe, header) else { return Disposition::Unrelated };
            at
        } else if first && self.config.has_scout() && header.ttl == self.config.max_ttl {
            self.path.scout = Some(probe);
            ProbeRef::Scout
        } else {
            if let Some(before) = number(self.config.probe, &key).checked_sub(1) {
                self.add_missing(before);
            }
            let Some(at) = self.add_probe(probe) else { return Disposition::Unrelated };
            at
        };
        if self.path.totals.sent == 0 {
            self.correlator.begin(self.belief.begin_round());
        }
        self.correlator.insert(key, at, header, payload);
        self.belief.note_probe(key.destination_port());
        self.waiting.push(at, &self.path);
        self.path.totals.sent += 1;
        if let Some(schedule) = &mut self.schedule {
            schedule.note_left(key);
        }
        self.path.until = frame.at;
        self.events.push_back(Event::Sent(at));
        Disposition::OwnProbe(at)
    }

    /// Adds a probe to its hop, unless the trace does not have this hop or the hop has all its probes.
    fn add_probe(&mut self, probe: Probe) -> Option<ProbeRef> {
        let ttl = probe.ttl;
        let hop = self.path.hop_mut(ttl);
        let hop = hop.filter(|hop| hop.probes.len() < usize::from(self.config.queries))?;
        let query = u16::try_from(hop.probes.len()).unwrap_or(u16::MAX);
        hop.probes.push(probe);
        Some(ProbeRef::Hop { ttl, query })
    }

    /// Adds a size probe, which is longer than the probes of hops, unless there are too many.
    fn add_sizer(&mut self, probe: Probe, header: &IpHeader) -> Option<ProbeRef> {
        let index = self.path.size_probes.len();
        let number = u16::try_from(index).ok().filter(|_| index < mtu::MOST_SIZERS)?;
        let len = u16::try_from(header.total_len).ok()?;
        self.path.size_probes.push(SizeProbe { probe, len });
        Some(ProbeRef::SizeProbe(number))
    }

    /// Adds the probes up to number `last` that are missing from the capture, and returns whether there were any.
    /// They wait without a deadline, for the capture has their replies.
    fn add_missing(&mut self, last: u16) -> bool {
        let mut any = false;
        while let Some((ttl, key)) = self.correlator.missing_up_to(last) {
            if let Some(at) = self.add_probe(Probe::new(key, ttl, None, None)) {
                self.correlator.insert_missing(key, at);
                self.waiting.push(at, &self.path);
                any = true;
            }
        }
        any
    }

    /// The claim about a probe that a datagram to this host makes, captured at `at`.
    fn claim(&self, datagram: &Datagram<'_>, at: Timestamp) -> Option<Claim> {
        Claim::of(&self.correlator, &self.belief, datagram, at)
    }

    /// The claim that a datagram makes about a probe that is missing from the capture.
    fn claim_missing(&mut self, datagram: &Datagram<'_>, at: Timestamp) -> Option<Claim> {
        let icmp = datagram.icmp?;
        let last = if icmp.quotes {
            let quote = datagram.quote?;
            self.path.totals.orphans += u64::from(self.correlator.is_stray(&quote));
            number(self.config.probe, &ProbeKey::of_cut(&quote.header, quote.payload)?)
        } else {
            icmp.echo_reply?.1
        };
        if self.add_missing(last) { self.claim(datagram, at) } else { None }
    }

    fn handle_reply(&mut self, frame: &Frame<'_>, datagram: &Datagram<'_>) -> Disposition {
        let Datagram { header, head, payload, .. } = datagram;
        let claim =
            self.claim(datagram, frame.at).or_else(|| self.claim_missing(datagram, frame.at));
        // Checksums of other protocols may be unfinished (offload). The ICMP checksum is checked if the whole message
        // was captured.
        let whole = header.total_len == head.len() + payload.len() && !header.more_fragments;
        let icmp_wrong =
            || header.is_icmp() && whole && !ip::icmp_checksum_is_right(header, payload);
        let head_wrong = || header.source.is_ipv4() && checksum(head) != 0;
        // Those of a reconstructed reply are zero.
        let damaged = || frame.evidence.is_captured() && (icmp_wrong() || head_wrong());
        let Some(claim) = claim else {
            if self.correlator.may_be_cut_off(datagram) {
                return Disposition::CutShort;
            }
            let Some(quote) = datagram.quote else { return Disposition::Unrelated };
            if damaged()
                && let Some(at) = self.correlator.resembling(&quote)
            {
                return self.take_damaged(self.path.by_now(at));
            }
            if self.correlator.is_like_ours(&quote) && !damaged() {
                return Disposition::Unmatched;
            }
            let stray = self.correlator.stray(&quote);
            self.stray = stray.filter(|stray| self.belief.counts(*stray) && !damaged());
            return self.stray.map_or(Disposition::Unrelated, |_| Disposition::Stray);
        };
        let at = self.path.by_now(claim.at);
        if damaged() {
            return self.take_damaged(at);
        }
        let translated = claim.translated;
        let reply = claim.into_reply(frame, header);
        if self.is_contradicted(at, &reply) {
            return Disposition::Contradicted(at, self.take_contradicted(at, reply));
        }
        if let Some(translated) = translated {
            self.belief.note_translated(translated, frame.at);
        }
        self.learn(at, &reply);
        Disposition::Reply(at, self.take_reply(at, reply))
    }

    /// Counts a reply to this probe that is not believed, because it was damaged on the path.
    fn take_damaged(&mut self, at: ProbeRef) -> Disposition {
        self.path.totals.damaged += 1;
        if let Some(probe) = self.path.probe_mut(at) {
            probe.damaged = probe.damaged.saturating_add(1);
        }
        Disposition::Damaged(at)
    }

    /// Adds a reply to its probe, and settles the probe if it was waiting. Returns the index of the reply.
    fn take_reply(&mut self, at: ProbeRef, mut reply: Reply) -> Option<usize> {
        self.path.until = reply.at;
        let probe = self.path.probe_mut(at)?;
        let advice = reply.kind.is_advice();
        let settles = probe.outcome == Outcome::Waiting && !advice;
        let same = |other: &Reply| other.responder == reply.responder && other.kind == reply.kind;
        reply.rtt = probe.time_to(reply.at);
        let orphan = probe.frame.is_none();
        let stepped = probe.sent.is_some_and(|sent| self.stepped.is_some_and(|by| sent <= by));
        if probe.sent.is_some_and(|sent| self.unmeasured.is_some_and(|by| sent <= by)) {
            reply.rtt = None;
        }
        reply.clock_fault = stepped || reply.rtt.is_some_and(|rtt| rtt < Span::ZERO);
        let measured = reply.measured();
        self.waiting.note_rtt(measured);
        reply.duplicate = probe.replies.iter().any(same);
        reply.late = probe.outcome == Outcome::Lost && !advice;
        let belated = reply.late && !probe.replies.iter().any(|other| other.late);
        let counted = (reply.duplicate, reply.late, reply.clock_fault);

        let index = probe.replies.len();
        let kept = index < REPLIES_KEPT || settles;
        if settles {
            probe.outcome = Outcome::Answered(index);
        }
        let answer = reply.is_answer();
        if kept {
            probe.replies.push(reply);
            self.events.push_back(Event::Replied(at, index));
        } else {
            probe.replies_dropped += 1;
        }

        let (duplicate, late, clock_fault) = counted;
        let totals = &mut self.path.totals;
        totals.duplicate += u64::from(duplicate);
        totals.late += u64::from(late && !duplicate);
        totals.clock_faults += u64::from(clock_fault);
        totals.answered += u64::from(settles && !orphan);
        totals.orphans += u64::from(orphan);
        self.path.doubts.repeated |= answer && duplicate;
        if let Some(ttl) = at.hop_ttl().filter(|_| answer && kept) {
            self.path.doubts.answered.insert(ttl);
        }
        if settles || belated {
            self.path.note_answer(at);
        }
        if settles {
            self.waiting.remove(at, measured, &self.path);
            self.events.push_back(Event::Settled(at));
            self.note_confirmation(at);
        }
        kept.then_some(index)
    }
}
