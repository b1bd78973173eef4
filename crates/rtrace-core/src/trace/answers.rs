//! What becomes of answers that quote nothing when there is evidence against them (see [`doubts`](super::doubts)): they are
//! taken out of the replies, and where a second probe confirms them, put back.

use super::config::Wait;
use super::event::Event;
use super::path::{Outcome, Probe, ProbeRef, REPLIES_KEPT};
use super::reply::Reply;
use super::tracer::Tracer;
use crate::time::Span;

impl Tracer {
    /// Believes every answer: probes of many flows take paths of their own.
    pub(super) fn trusting(mut self) -> Self {
        self.path.doubts.trusting = true;
        self
    }

    /// Sets how late, in seconds, an answer may be and still end the path; an unknown target is waited for as long
    /// as a trace would wait.
    pub(super) fn waiting(mut self, longest: f64) -> Self {
        self.path.longest_wait = Span::from_secs_f64(longest);
        self.path.far = Wait { max: longest, ..self.config.wait }.unknown();
        self
    }

    /// Notes how long the path was in earlier rounds; for a round that is over, in that round too: late answers may still belong to it.
    pub(super) fn note_length(&mut self, known_length: Option<u8>) {
        self.path.doubts.known_length = known_length;
        if !self.is_over() {
            self.withdraw_contradicted();
        }
    }

    /// Whether there is evidence against a reply: of those that quote the probe never.
    pub(super) fn is_contradicted(&self, at: ProbeRef, reply: &Reply) -> bool {
        let (path, doubts) = (&self.path, &self.path.doubts);
        let Some(probe) = path.probe(at).filter(|_| reply.is_answer() && !doubts.trusting) else {
            return false;
        };
        // One datagram does not both run out on the way and arrive.
        let otherwise = probe.answer().is_some_and(|known| !known.is_answer());
        let is_of_hops = matches!(at, ProbeRef::Scout | ProbeRef::Hop { .. });
        let nearer = is_of_hops && doubts.contradict(path.ttl_sent(at));
        otherwise || nearer
    }

    /// Adds an answer that is not believed to its probe, which goes on waiting. Gives its index there.
    pub(super) fn take_contradicted(&mut self, at: ProbeRef, mut reply: Reply) -> Option<usize> {
        let probe = self.path.probe_mut(at)?;
        reply.rtt = probe.time_to(reply.at);
        reply.late = probe.outcome == Outcome::Lost;
        self.path.totals.contradicted += 1;
        if let Some(ttl) = at.hop_ttl() {
            self.path.doubts.contradicted.insert(ttl);
        }
        self.keep_contradicted(at, reply)
    }

    fn keep_contradicted(&mut self, at: ProbeRef, reply: Reply) -> Option<usize> {
        let probe = self.path.probe_mut(at)?;
        let index = probe.contradicted.add(reply, REPLIES_KEPT)?;
        self.events.push_back(Event::Contradicted(at, index));
        Some(index)
    }

    /// What an ICMP error, which quotes its probe, says of others: before it is taken in itself.
    pub(super) fn learn(&mut self, at: ProbeRef, reply: &Reply) {
        if reply.is_answer() || reply.kind.is_advice() || self.path.doubts.trusting {
            return;
        }
        if !matches!(at, ProbeRef::SizeProbe(_)) {
            let ttl = self.path.ttl_sent(at);
            if reply.kind.in_transit() {
                self.path.doubts.note_ran_out(ttl);
            } else if let Some(quote) = reply.quote {
                self.path.doubts.note_quoted(ttl, quote.ttl);
            }
        }
        if !self.is_over() {
            self.withdraw(at);
            self.withdraw_contradicted();
        }
    }

    /// Takes out all answers that are contradicted by now.
    pub(super) fn withdraw_contradicted(&mut self) {
        for ttl in self.path.doubts.to_withdraw().iter() {
            let probes = self.path.hop(ttl).map_or(0, |hop| hop.probes.len());
            for query in (0..probes).filter_map(|query| u16::try_from(query).ok()) {
                self.withdraw(ProbeRef::Hop { ttl, query });
            }
            self.path.doubts.answered.remove(ttl);
        }
    }

    /// Takes the answers out of a probe's replies. If one of them settled it, it waits again.
    fn withdraw(&mut self, at: ProbeRef) {
        let Some(probe) = self.path.probe_mut(at) else { return };
        let answers = Reply::is_answer;
        if !probe.replies.iter().any(answers) {
            return;
        }
        let settled = probe.answer().map(|reply| (reply.frame, answers(reply)));
        let withdrawn = probe.replies.take(answers);
        let waits = settled.is_some_and(|(_, by_answer)| by_answer);
        if waits {
            probe.outcome = Outcome::Waiting;
        } else if let Some((frame, _)) = settled {
            let index = probe.replies.iter().position(|reply| reply.frame == frame);
            probe.outcome = index.map_or(probe.outcome, Outcome::Answered);
        }
        let counted = waits && probe.frame.is_some();
        let totals = &mut self.path.totals;
        totals.answered = totals.answered.saturating_sub(u64::from(counted));
        totals.contradicted += withdrawn.len() as u64;
        let late = withdrawn.iter().filter(|reply| reply.late && !reply.duplicate).count();
        totals.late = totals.late.saturating_sub(late as u64);
        if let Some(ttl) = at.hop_ttl() {
            self.path.doubts.contradicted.insert(ttl);
        }
        if let ProbeRef::Confirmation(_) = at {
            let ttl = self.path.ttl_sent(at);
            self.path.doubts.confirmed.remove(ttl);
        }
        for reply in withdrawn {
            self.keep_contradicted(at, reply);
        }
        if waits {
            self.waiting.push_again(at, &self.path);
        }
        self.path.find_end();
    }

    /// Notes that a second probe to this TTL was answered too: the end of the path that the first shows is believed.
    pub(super) fn note_confirmation(&mut self, at: ProbeRef) {
        let ProbeRef::Confirmation(index) = at else { return };
        let Some(probe) = self.path.confirmations.get(usize::from(index)) else { return };
        let (ttl, answer) = (probe.ttl, probe.answer());
        if !answer.is_some_and(|reply| reply.kind.delivered()) {
            return;
        }
        self.path.doubts.confirmed.insert(ttl);
        let probes = self.path.hop(ttl).map_or(0, |hop| hop.probes.len());
        for query in (0..probes).filter_map(|query| u16::try_from(query).ok()) {
            self.restore(ProbeRef::Hop { ttl, query });
        }
        self.path.find_end();
    }

    /// Makes replies again of the contradicted answers that a probe has in time; the first of them settles it.
    fn restore(&mut self, at: ProbeRef) {
        let Some(probe) = self.path.probe_mut(at).filter(|probe| probe.is_doubted()) else {
            return;
        };
        let first = probe.replies.len();
        let (restored, dropped) = probe.contradicted.take_in_time();
        probe.outcome = Outcome::Answered(first);
        probe.replies_dropped += dropped;
        let (counted, count) = (probe.frame.is_some(), restored.len() as u64 + dropped);
        for (index, reply) in (first..).zip(restored) {
            self.waiting.note_rtt(reply.measured());
            probe.replies.push(reply);
            self.events.push_back(Event::Replied(at, index));
        }
        let totals = &mut self.path.totals;
        totals.answered += u64::from(counted);
        totals.contradicted = totals.contradicted.saturating_sub(count);
        if let Some(ttl) = at.hop_ttl() {
            self.path.doubts.answered.insert(ttl);
        }
        let rtt = self.path.probe(at).and_then(|probe| probe.answer()?.measured());
        self.waiting.remove(at, rtt, &self.path);
        self.events.push_back(Event::Settled(at));
    }

    /// The TTLs that need a second probe: nobody but the target's address answered there, and the path is known
    /// to be longer.
    pub(super) fn doubted(&self) -> impl Iterator<Item = u8> {
        let doubts = &self.path.doubts;
        let end = self.path.end.unwrap_or(u8::MAX);
        let open = |ttl: &u8| {
            let hop = self.path.hop(*ttl);
            hop.is_some_and(|hop| hop.probes.iter().any(Probe::is_doubted))
        };
        doubts.contradicted.iter().take_while(move |ttl| *ttl < end).filter(open)
    }
}
