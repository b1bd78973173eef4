//! The probes of a path, packed into a few octets each: many finished rounds are kept, and few are ever read.
//!
//! A probe differs from the one before only in some octets of its key and in its time; its reply came soon after. The
//! few probes that have more than one reply, an extension or contradicted answers are kept unpacked.

use std::net::IpAddr;

use super::super::packed::{put, put_key, signed, take, take_key, unsigned};
use super::super::replies::Replies;
use super::super::reply::{Quote, Reply, ReplyKind};
use super::{Hop, Outcome, Path, Probe};
use crate::probe::ProbeKey;
use crate::time::{Span, Timestamp};
use crate::wire::Evidence;
use crate::wire::extension::Family;
use crate::wire::tcp::Flags;

/// The packed hops of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    octets: Box<[u8]>,
    /// The probes that are kept unpacked, in order.
    odd: Box<[Probe]>,
}

impl Path {
    /// Packs its hops. Until they are [unpacked](Self::unpack), the path has no hops.
    pub(in super::super) fn pack(&mut self) {
        let hops = std::mem::take(&mut self.hops);
        let (mut octets, mut odd, mut last) = (Vec::new(), Vec::new(), Last::default());
        put(&mut octets, hops.len() as u64);
        for hop in hops {
            put(&mut octets, hop.probes.len() as u64);
            for probe in hop.probes {
                if last.put(hop.ttl, &probe, &mut octets) {
                    continue;
                }
                put(&mut octets, ODD);
                odd.push(probe);
            }
        }
        self.packed = Some(Packed { octets: octets.into(), odd: odd.into() });
    }

    /// Whether the hops of this path are packed.
    pub(in super::super) fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Restores the hops of the path.
    pub(in super::super) fn unpack(&mut self) {
        let Some(Packed { octets, odd }) = self.packed.take() else { return };
        let mut octets = octets.iter().copied();
        let (mut odd, mut last) = (odd.into_iter(), Last::default());
        let hops = take(&mut octets).unwrap_or_default();
        let ttls = (self.first_ttl..=u8::MAX).zip(0..hops);
        self.hops = ttls
            .map(|(ttl, _)| {
                let count = take(&mut octets).unwrap_or_default();
                let mut probes = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
                probes.extend((0..count).map_while(|_| {
                    let marks = take(&mut octets)?;
                    if marks == ODD { odd.next() } else { last.take(ttl, marks, &mut octets) }
                }));
                Hop { ttl, probes }
            })
            .collect();
    }
}

/// The mark of a probe that is kept unpacked.
const ODD: u64 = 1;
/// Marks of a probe, from the second bit on.
const SENT: u64 = 1 << 1;
const NUMBERED: u64 = 1 << 2;
const LOST: u64 = 1 << 3;
const ANSWERED: u64 = 1 << 4;
const UNAWAITED: u64 = 1 << 5;
const COUNTED: u64 = 1 << 6;
const REPLIED: u64 = 1 << 7;
/// Marks of its reply.
const V6: u64 = 1 << 8;
const ANSWER: u64 = 1 << 9;
const MORE: u64 = 1 << 10;
const FAMILY_6: u64 = 1 << 11;
const MEASURED: u64 = 1 << 12;
/// The mark of a reply whose RTT is not the difference of the capture times.
const TIMED: u64 = 1 << 13;
const CLOCK_FAULT: u64 = 1 << 14;
const IDENTIFIED: u64 = 1 << 15;
const QUOTES: u64 = 1 << 16;
const REWRITTEN: u64 = 1 << 17;
const GUESSABLE: u64 = 1 << 18;
const LATE: u64 = 1 << 19;
const DUPLICATE: u64 = 1 << 20;
const CAPTURED: u64 = 1 << 21;
const LONG: u64 = 1 << 22;

fn mark(holds: bool, mark: u64) -> u64 {
    if holds { mark } else { 0 }
}

/// The values of the last probe.
#[derive(Clone, Copy, Debug)]
struct Last {
    key: ProbeKey,
    sent: i64,
    frame: u64,
}

fn difference(this: u64, before: u64) -> u64 {
    unsigned(this.wrapping_sub(before).cast_signed())
}

fn added(before: u64, difference: u64) -> u64 {
    before.wrapping_add(signed(difference).cast_unsigned())
}

fn several<const N: usize>(octets: &mut impl Iterator<Item = u8>) -> Option<[u8; N]> {
    let mut all = [0; N];
    for place in &mut all {
        *place = octets.next()?;
    }
    Some(all)
}

impl Default for Last {
    fn default() -> Self {
        Self { key: ProbeKey { ip_id: 0, head: [0; 8] }, sent: 0, frame: 0 }
    }
}

impl Last {
    /// Writes a probe of this hop, unless it must be kept unpacked.
    fn put(&mut self, ttl: u8, probe: &Probe, octets: &mut Vec<u8>) -> bool {
        let outcome = match probe.outcome {
            Outcome::Waiting => 0,
            Outcome::Lost => LOST,
            Outcome::Answered(0) => ANSWERED,
            Outcome::Answered(_) => return false,
        };
        let plain = probe.contradicted.is_empty() && probe.contradicted.dropped() == 0;
        let reply = match &probe.replies[..] {
            [] => None,
            [reply] if reply.extension.is_none() => Some(reply),
            _ => return false,
        };
        if !plain {
            return false;
        }
        let counted = probe.replies_dropped > 0 || probe.damaged > 0 || probe.ttl != ttl;
        let marks = outcome
            | mark(probe.sent.is_some(), SENT)
            | mark(probe.frame.is_some(), NUMBERED)
            | mark(probe.unawaited, UNAWAITED)
            | mark(counted, COUNTED)
            | reply.map_or(0, |reply| REPLIED | of_reply(reply));
        let sent = probe.sent.map_or(self.sent, Timestamp::nanos);
        let untimed = reply.is_some_and(|reply| {
            let is_since = |rtt: Span| rtt.nanos() == reply.at.nanos().wrapping_sub(sent);
            reply.rtt.is_some_and(|rtt| !is_since(rtt))
        });
        let marks = marks | mark(untimed, TIMED);
        put(octets, marks);
        put_key(&probe.key, &self.key, octets);
        self.key = probe.key;
        if let Some(sent) = probe.sent {
            put(octets, unsigned(sent.nanos().wrapping_sub(self.sent)));
            self.sent = sent.nanos();
        }
        if let Some(frame) = probe.frame {
            put(octets, difference(frame, self.frame));
            self.frame = frame;
        }
        if counted {
            put(octets, probe.replies_dropped);
            put(octets, probe.damaged.into());
            put(octets, probe.ttl.into());
        }
        if let Some(reply) = reply {
            self.put_reply(marks, reply, octets);
        }
        true
    }

    fn put_reply(&self, marks: u64, reply: &Reply, octets: &mut Vec<u8>) {
        match reply.responder {
            IpAddr::V4(address) => octets.extend(address.octets()),
            IpAddr::V6(address) => octets.extend(address.octets()),
        }
        match reply.kind {
            ReplyKind::Icmp { icmp_type, code, mtu, .. } => {
                octets.extend([icmp_type, code]);
                if let Some(mtu) = mtu {
                    put(octets, mtu.into());
                }
            }
            ReplyKind::Answer { tcp_flags } => octets.extend(tcp_flags.map(|flags| flags.0)),
        }
        put(octets, unsigned(reply.at.nanos().wrapping_sub(self.sent)));
        if let Some(rtt) = reply.rtt.filter(|_| marks & TIMED > 0) {
            put(octets, unsigned(rtt.nanos()));
        }
        put(octets, difference(reply.frame, self.frame));
        octets.extend([reply.ttl, reply.tos]);
        octets.extend(reply.ip_id.into_iter().flat_map(u16::to_be_bytes));
        if let Some(len) = reply.len {
            put(octets, len.into());
        }
        if let Some(Quote { ttl, tos, total_len, len }) = reply.quote {
            octets.extend([ttl, tos]);
            put(octets, total_len.into());
            put(octets, len.into());
        }
    }
    /// Reads a probe of this hop with these marks.
    fn take(
        &mut self,
        ttl: u8,
        marks: u64,
        octets: &mut impl Iterator<Item = u8>,
    ) -> Option<Probe> {
        let has = |mark: u64| marks & mark > 0;
        self.key = take_key(&self.key, octets)?;
        if has(SENT) {
            self.sent = self.sent.wrapping_add(signed(take(octets)?));
        }
        if has(NUMBERED) {
            self.frame = added(self.frame, take(octets)?);
        }
        let sent = has(SENT).then(|| Timestamp::from_nanos(self.sent));
        let mut probe = Probe::new(self.key, ttl, sent, has(NUMBERED).then_some(self.frame));
        probe.outcome = match (has(LOST), has(ANSWERED)) {
            (true, _) => Outcome::Lost,
            (_, true) => Outcome::Answered(0),
            _ => Outcome::Waiting,
        };
        probe.unawaited = has(UNAWAITED);
        if has(COUNTED) {
            probe.replies_dropped = take(octets)?;
            probe.damaged = u16::try_from(take(octets)?).ok()?;
            probe.ttl = u8::try_from(take(octets)?).ok()?;
        }
        if has(REPLIED) {
            probe.replies = Replies::from_iter([self.take_reply(marks, octets)?]);
        }
        Some(probe)
    }

    fn take_reply(&self, marks: u64, octets: &mut impl Iterator<Item = u8>) -> Option<Reply> {
        let has = |mark: u64| marks & mark > 0;
        let responder = if has(V6) {
            IpAddr::from(several::<16>(octets)?)
        } else {
            IpAddr::from(several::<4>(octets)?)
        };
        let kind = if has(ANSWER) {
            let tcp_flags = if has(MORE) { Some(Flags(octets.next()?)) } else { None };
            ReplyKind::Answer { tcp_flags }
        } else {
            let family = if has(FAMILY_6) { Family::V6 } else { Family::V4 };
            let [icmp_type, code] = several(octets)?;
            let mtu = if has(MORE) { Some(u32::try_from(take(octets)?).ok()?) } else { None };
            ReplyKind::Icmp { family, icmp_type, code, mtu }
        };
        let at = self.sent.wrapping_add(signed(take(octets)?));
        let rtt = if has(TIMED) { signed(take(octets)?) } else { at.wrapping_sub(self.sent) };
        let frame = added(self.frame, take(octets)?);
        let [ttl, tos] = several(octets)?;
        let ip_id = if has(IDENTIFIED) { Some(u16::from_be_bytes(several(octets)?)) } else { None };
        let len = if has(LONG) { Some(u32::try_from(take(octets)?).ok()?) } else { None };
        let quote = if has(QUOTES) {
            let [ttl, tos] = several(octets)?;
            let total_len = u32::try_from(take(octets)?).ok()?;
            Some(Quote { ttl, tos, total_len, len: u32::try_from(take(octets)?).ok()? })
        } else {
            None
        };
        Some(Reply {
            responder,
            kind,
            at: Timestamp::from_nanos(at),
            rtt: has(MEASURED).then(|| Span::from_nanos(rtt)),
            clock_fault: has(CLOCK_FAULT),
            frame,
            ttl,
            tos,
            ip_id,
            len,
            quote,
            extension: None,
            rewritten: has(REWRITTEN),
            guessable: has(GUESSABLE),
            late: has(LATE),
            duplicate: has(DUPLICATE),
            evidence: if has(CAPTURED) { Evidence::Captured } else { Evidence::Reconstructed },
        })
    }
}

/// The marks of a reply.
fn of_reply(reply: &Reply) -> u64 {
    let kind = match reply.kind {
        ReplyKind::Icmp { family, mtu, .. } => {
            mark(family == Family::V6, FAMILY_6) | mark(mtu.is_some(), MORE)
        }
        ReplyKind::Answer { tcp_flags } => ANSWER | mark(tcp_flags.is_some(), MORE),
    };
    kind | mark(reply.responder.is_ipv6(), V6)
        | mark(reply.rtt.is_some(), MEASURED)
        | mark(reply.clock_fault, CLOCK_FAULT)
        | mark(reply.ip_id.is_some(), IDENTIFIED)
        | mark(reply.quote.is_some(), QUOTES)
        | mark(reply.rewritten, REWRITTEN)
        | mark(reply.guessable, GUESSABLE)
        | mark(reply.late, LATE)
        | mark(reply.duplicate, DUPLICATE)
        | mark(reply.evidence.is_captured(), CAPTURED)
        | mark(reply.len.is_some(), LONG)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::TraceConfig;

    type Flagged = [bool; 6];

    fn kind() -> impl Strategy<Value = ReplyKind> {
        let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
        let icmp = (family, any::<u8>(), any::<u8>(), any::<Option<u32>>()).prop_map(
            |(family, icmp_type, code, mtu)| ReplyKind::Icmp { family, icmp_type, code, mtu },
        );
        let answer =
            any::<Option<u8>>().prop_map(|flags| ReplyKind::Answer { tcp_flags: flags.map(Flags) });
        prop_oneof![icmp, answer]
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let numbers = (any::<i64>(), any::<Option<i64>>(), any::<u64>(), any::<u32>());
        let octets = any::<[u8; 2]>();
        let quote = any::<Option<(u8, u8, u32, u32)>>();
        (any::<IpAddr>(), kind(), numbers, octets, any::<Option<u16>>(), quote, any::<Flagged>())
            .prop_map(|(responder, kind, numbers, [ttl, tos], ip_id, quote, flags)| {
                let (at, rtt, frame, len) = numbers;
                let [clock_fault, rewritten, guessable, late, duplicate, captured] = flags;
                let evidence = if captured { Evidence::Captured } else { Evidence::Reconstructed };
                Reply {
                    at: Timestamp::from_nanos(at),
                    rtt: rtt.map(Span::from_nanos),
                    frame,
                    ttl,
                    tos,
                    ip_id,
                    len: captured.then_some(len),
                    evidence,
                    quote: quote.map(|(ttl, tos, total_len, len)| Quote {
                        ttl,
                        tos,
                        total_len,
                        len,
                    }),
                    clock_fault,
                    rewritten,
                    guessable,
                    late,
                    duplicate,
                    ..Reply::plain(responder, kind)
                }
            })
    }

    fn probe() -> impl Strategy<Value = Probe> {
        let outcome = prop_oneof![
            Just(Outcome::Waiting),
            Just(Outcome::Lost),
            (0..3_usize).prop_map(Outcome::Answered)
        ];
        let key = any::<(u16, [u8; 8])>();
        let sent = any::<(Option<i64>, Option<u64>)>();
        let counts = prop_oneof![Just((0, 0)), any::<(u64, u16)>()];
        let replies = prop::collection::vec(reply(), 0..3);
        (key, any::<u8>(), sent, outcome, replies, counts, any::<(bool, bool, bool)>()).prop_map(
            |((ip_id, head), ttl, (sent, frame), outcome, replies, counts, flags)| {
                let key = ProbeKey { ip_id, head };
                let mut probe = Probe::new(key, ttl, sent.map(Timestamp::from_nanos), frame);
                (probe.replies_dropped, probe.damaged) = counts;
                (probe.outcome, probe.unawaited) = (outcome, flags.0);
                if flags.1 && flags.2 {
                    for reply in &replies {
                        let _ = probe.contradicted.add(reply.clone(), 1);
                    }
                }
                // For most replies the RTT is the difference of the capture times.
                let since = |mut reply: Reply| {
                    reply.rtt = if flags.1 { probe.time_to(reply.at) } else { reply.rtt };
                    reply
                };
                probe.replies = replies.into_iter().map(since).collect();
                probe
            },
        )
    }

    proptest! {
        #[test]
        fn a_packed_path_is_unpacked_as_it_was(
            hops in prop::collection::vec(prop::collection::vec(probe(), 0..3), 0..6),
            in_order in any::<bool>(),
        ) {
            let config = TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000);
            let mut path = Path::new(&config, false);
            for (hop, mut probes) in path.hops.iter_mut().zip(hops) {
                probes.iter_mut().filter(|_| in_order).for_each(|probe| probe.ttl = hop.ttl);
                hop.probes = probes;
            }
            let before = path.clone();
            path.pack();
            prop_assert!(path.is_packed() && path.hops.is_empty());
            path.unpack();
            prop_assert_eq!(path, before);
        }
    }
}
