//! What to send next, and when: the half of a tracer that a replay does without.
//!
//! The order is traceroute's: all queries of a hop, then the next hop, with at most so many probes
//! under way at a time. A probe handed to the link counts as under way until its own frame is
//! captured; from then on the tracer's deadlines govern it.

use crate::probe::{ProbeKey, craft};
use crate::time::{Span, Timestamp};
use crate::wire::ip;

use super::config::TraceConfig;

/// The plan of an active trace.
#[derive(Debug)]
pub(super) struct Schedule {
    /// How many probes were handed out.
    handed_out: u32,
    /// Those of them whose own frame has not been captured yet.
    unconfirmed: Vec<Unconfirmed>,
    /// Whether the frame of any of them has ever been captured.
    confirmed: bool,
    /// Whether probes vanish on the way to the wire, so that no more are to be tried.
    futile: bool,
    /// When the last one was handed out.
    last: Option<Timestamp>,
    /// The datagram of the last one.
    datagram: Vec<u8>,
}

#[derive(Debug)]
struct Unconfirmed {
    number: u32,
    key: ProbeKey,
    at: Timestamp,
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self {
            handed_out: 0,
            unconfirmed: Vec::new(),
            confirmed: false,
            futile: false,
            last: None,
            datagram: Vec::new(),
        }
    }

    /// The next probe's datagram if one is due at `now`. `waiting` probes have been captured on
    /// their way out and are not settled; `last_ttl` is as far as the trace goes.
    pub(super) fn next(
        &mut self,
        config: &TraceConfig,
        now: Timestamp,
        waiting: usize,
        last_ttl: u8,
    ) -> Option<&[u8]> {
        if !self.may_send(config, waiting, last_ttl) {
            return None;
        }
        if self.pause_ends(config).is_some_and(|end| now < end) {
            return None;
        }
        let number = self.handed_out;
        craft::craft(&config.spec(number), &mut self.datagram);
        let (header, payload) = ip::decode(&self.datagram).ok()?;
        let key = ProbeKey::of(&header, payload)?;
        self.handed_out += 1;
        self.last = Some(now);
        self.unconfirmed.push(Unconfirmed { number, key, at: now });
        Some(&self.datagram)
    }

    /// Whether a probe is still to be sent and there is room for it; a pause may yet be due.
    fn may_send(&self, config: &TraceConfig, waiting: usize, last_ttl: u8) -> bool {
        let under_way = self.unconfirmed.len() + waiting;
        !self.is_exhausted(config, last_ttl) && under_way < usize::from(config.in_flight)
    }

    /// Whether every probe up to `last_ttl` has been handed out, or no more are to be tried.
    pub(super) fn is_exhausted(&self, config: &TraceConfig, last_ttl: u8) -> bool {
        let hops = u32::from(last_ttl.saturating_sub(config.first_ttl)) + 1;
        self.futile || self.handed_out >= hops * u32::from(config.queries)
    }

    /// Whether a probe up to `last_ttl` was handed out and may still show up.
    pub(super) fn is_unsure(&self, config: &TraceConfig, last_ttl: u8) -> bool {
        self.unconfirmed.iter().any(|probe| config.spec(probe.number).ttl <= last_ttl)
    }

    /// The frame of this probe was captured: it is on its way.
    pub(super) fn confirm(&mut self, key: ProbeKey) {
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

    /// When something is next to be done here: a probe to be sent after a pause, or one to be given up
    /// on. The rest as in [`next`](Self::next).
    pub(super) fn wake_at(
        &self,
        config: &TraceConfig,
        waiting: usize,
        last_ttl: u8,
    ) -> Option<Timestamp> {
        let pause = self.pause_ends(config).filter(|_| self.may_send(config, waiting, last_ttl));
        let expiry = self.unconfirmed.iter().map(|probe| probe.at.after(max_wait(config))).min();
        pause.into_iter().chain(expiry).min()
    }

    fn pause_ends(&self, config: &TraceConfig) -> Option<Timestamp> {
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

    #[test]
    fn at_most_so_many_are_under_way_and_pauses_are_kept() {
        let mut config = config();
        config.in_flight = 4;
        config.send_wait = 0.001;
        let mut schedule = Schedule::new();
        let at = |ms: i64| Timestamp::from_nanos(ms * 1_000_000);
        let first = key(schedule.next(&config, at(0), 0, 30).unwrap());
        assert!(schedule.next(&config, at(0), 0, 30).is_none(), "a pause of 1 ms");
        assert_eq!(schedule.wake_at(&config, 0, 30), Some(at(1)));
        assert_eq!(schedule.wake_at(&config, 3, 30), Some(at(5_000)), "there is no room");
        assert!(schedule.next(&config, at(1), 2, 30).is_some());
        assert!(schedule.next(&config, at(2), 2, 30).is_none(), "two and two are under way");
        schedule.confirm(first);
        assert!(schedule.next(&config, at(2), 2, 30).is_some());
        assert!(schedule.next(&config, at(3), 0, 1).is_none(), "the last hop has its three");
        assert!(schedule.is_unsure(&config, 1));
        schedule.expire(&config, at(60_000));
        assert!(!schedule.is_unsure(&config, 1));
        assert!(!schedule.is_exhausted(&config, 30));
    }

    #[test]
    fn no_more_is_tried_when_nothing_ever_leaves() {
        let config = config();
        let mut schedule = Schedule::new();
        assert!(schedule.next(&config, Timestamp::default(), 0, 30).is_some());
        schedule.expire(&config, Timestamp::from_nanos(5_000_000_000));
        assert!(schedule.is_exhausted(&config, 30));
    }
}
