//! The correlator of a finished round. Few datagrams are about its probes, so only the values taken from each probe
//! are kept. The indexes that find a probe are rebuilt from them when a datagram comes that may be about one.

use std::collections::HashMap;

use super::super::lenient::unique;
use super::super::packed::{put, put_key, take, take_key};
use super::super::path::ProbeRef;
use super::super::probe_selector::ProbeSelector;
use super::super::rewritten::Shown;
use super::{Correlator, Known};
use crate::probe::{AnswerKey, ProbeKey};

/// The values taken from a captured probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) key: ProbeKey,
    pub(super) at: ProbeRef,
    pub(super) checksum_right: bool,
    pub(super) shown: Shown,
    pub(super) answer: AnswerKey,
}

/// Where a probe is: at a hop, or apart as the scout, a size probe or a confirmation.
const HOP: u64 = 0;
const SCOUT: u64 = 1;
const SIZE_PROBE: u64 = 2;
const CONFIRMATION: u64 = 3;
const KIND_BITS: u32 = 2;

/// The UDP checksum in a key, if it reaches that far.
fn sum_in(key: &ProbeKey) -> Option<u16> {
    key.head.last_chunk().map(|sum| u16::from_be_bytes(*sum))
}

impl Correlator {
    /// Adds a probe to the indexes by the values taken from it.
    pub(super) fn take_in(&mut self, taken: &Taken) {
        let Taken { key, at, checksum_right, shown, answer } = *taken;
        let protocol = self.flow.protocol();
        let mark = self.rewritten.mark_of(shown);
        let left = key.without_checksum(protocol);
        let known = Known { at, key, mark, checksum_right };
        self.exact.insert(key, at);
        unique(&mut self.without_checksum, (left, mark), known);
        if mark.is_some() {
            // A quote may end before the checksum.
            unique(&mut self.without_checksum, (left, None), known);
        }
        unique(&mut self.without_origin, key.without_origin(protocol), at);
        self.rewritten.insert(&key, at, shown);
        self.insert_answer(answer, &key, at);
    }

    /// Keeps only the values taken from probes, if all indexes can be rebuilt from them.
    pub(in super::super) fn rest(&mut self) {
        let only_taken = self.lenient.is_none() && matches!(self.idents, ProbeSelector::One);
        self.resting = only_taken && self.rewritten.rest();
        if self.resting {
            self.rested = self.packed();
            self.taken = Vec::new();
            (self.exact, self.without_checksum) = (HashMap::new(), HashMap::new());
            (self.without_origin, self.answers) = (HashMap::new(), HashMap::new());
        }
    }

    /// Rebuilds the indexes.
    pub(in super::super) fn wake(&mut self) {
        if std::mem::take(&mut self.resting) {
            self.taken = self.unpacked().collect();
            self.rested = Box::default();
            for index in 0..self.taken.len() {
                let Some(taken) = self.taken.get(index).copied() else { return };
                self.take_in(&taken);
            }
        }
    }

    /// The packed values of all probes: most are the same as in the one before, or follow from its key.
    fn packed(&self) -> Box<[u8]> {
        let (mut octets, mut before) = (Vec::new(), ProbeKey { ip_id: 0, head: [0; 8] });
        for taken in &self.taken {
            let Taken { key, at, checksum_right, shown: Shown { sum, word, has_id }, answer } =
                *taken;
            let is_known = sum.is_some() && sum == sum_in(&key);
            let is_plain = answer == AnswerKey::of(self.flow.probe, &key, &[]);
            let (kind, ttl, number) = match at {
                ProbeRef::Hop { ttl, query } => (HOP, ttl, query),
                ProbeRef::Scout => (SCOUT, 0, 0),
                ProbeRef::SizeProbe(number) => (SIZE_PROBE, 0, number),
                ProbeRef::Confirmation(number) => (CONFIRMATION, 0, number.into()),
            };
            let marks = [checksum_right, has_id, sum.is_some(), is_known, word.is_some(), is_plain];
            let marks = marks.iter().rev().fold(0, |all, holds| all << 1 | u64::from(*holds));
            put(&mut octets, marks << KIND_BITS | kind);
            octets.push(ttl);
            put(&mut octets, number.into());
            put_key(&key, &before, &mut octets);
            let sum = sum.filter(|_| !is_known);
            sum.into_iter().chain(word).for_each(|it| octets.extend(it.to_be_bytes()));
            if !is_plain {
                put(&mut octets, answer.ident.into());
                put(&mut octets, answer.number.into());
            }
            before = key;
        }
        octets.into()
    }

    fn unpacked(&self) -> impl Iterator<Item = Taken> {
        let mut octets = self.rested.iter().copied();
        let (mut before, probe) = (ProbeKey { ip_id: 0, head: [0; 8] }, self.flow.probe);
        std::iter::from_fn(move || {
            let first = take(&mut octets)?;
            let has = |bit: u32| first >> (KIND_BITS + bit) & 1 == 1;
            let ttl = octets.next()?;
            let number = u16::try_from(take(&mut octets)?).ok()?;
            let at = match first & ((1 << KIND_BITS) - 1) {
                HOP => ProbeRef::Hop { ttl, query: number },
                SIZE_PROBE => ProbeRef::SizeProbe(number),
                CONFIRMATION => ProbeRef::Confirmation(u8::try_from(number).ok()?),
                _ => ProbeRef::Scout,
            };
            let key = take_key(&before, &mut octets)?;
            before = key;
            let mut word = || Some(u16::from_be_bytes([octets.next()?, octets.next()?]));
            let sum = match (has(2), has(3)) {
                (false, _) => None,
                (true, true) => sum_in(&key),
                (true, false) => Some(word()?),
            };
            let word = if has(4) { Some(word()?) } else { None };
            let answer = if has(5) {
                AnswerKey::of(probe, &key, &[])
            } else {
                let ident = u16::try_from(take(&mut octets)?).ok()?;
                AnswerKey { ident, number: u32::try_from(take(&mut octets)?).ok()? }
            };
            let shown = Shown { sum, word, has_id: has(1) };
            Some(Taken { key, at, checksum_right: has(0), shown, answer })
        })
    }

    /// Whether the correlator is packed and this is the key of one of its probes.
    pub(super) fn has_rested(&self, key: &ProbeKey) -> bool {
        self.resting && self.unpacked().any(|taken| taken.key == *key)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::super::config::TraceConfig;
    use super::*;
    use crate::probe::{Flow, FlowMode, ProbeType, craft};
    use crate::wire::ip;

    /// This holds whatever the type of probe, wherever the probe is and whatever was captured of it.
    #[test]
    fn what_was_taken_is_the_same_after_a_rest() {
        let types = [
            ProbeType::Udp,
            ProbeType::UdpFixed,
            ProbeType::IcmpEcho,
            ProbeType::TcpSyn,
            ProbeType::TcpAck,
            ProbeType::UdpLite,
            ProbeType::Protocol(253),
        ];
        for [source, target] in [["192.0.2.2", "203.0.113.9"], ["2001:db8::2", "2001:db8::9"]] {
            let [source, target] = [source, target].map(|it| it.parse::<IpAddr>().unwrap());
            for probe in types {
                for flow_mode in [FlowMode::Classic, FlowMode::Paris] {
                    let config =
                        TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 });
                    let config = TraceConfig { flow_mode, ..config };
                    let mut correlator = Correlator::new(&config, ProbeSelector::One, 8);
                    for number in 0..8_u16 {
                        let mut datagram = Vec::new();
                        craft::craft(&config.spec(number.into()), &mut datagram);
                        let (header, payload) = ip::decode(&datagram).unwrap();
                        let key = ProbeKey::of(&header, payload).unwrap();
                        let at = [
                            ProbeRef::Scout,
                            ProbeRef::Hop { ttl: 9, query: number },
                            ProbeRef::SizeProbe(number),
                            ProbeRef::Confirmation(3),
                        ];
                        correlator.insert(key, at[usize::from(number) % 4], &header, payload);
                    }
                    let taken = correlator.taken.clone();
                    let exact = correlator.exact.clone();
                    correlator.rest();
                    // Other protocols have no known checksum by which a rewritten probe could be found.
                    let rests = !matches!(probe, ProbeType::Protocol(_));
                    assert_eq!((correlator.resting, correlator.exact.is_empty()), (rests, rests));
                    assert!(taken.iter().all(|taken| correlator.knows(&taken.key)));
                    correlator.wake();
                    assert_eq!((correlator.taken, correlator.exact), (taken, exact));
                }
            }
        }
    }
}
