//! Which of all probes of all rounds a captured datagram is: what [`craft`] writes, read back.
//!
//! A field of 16 bits does not show a [serial](ProbeSpec::serial) but what remains of it after a division, so several
//! serials fit a datagram. [`serials`] finds them by arithmetic; whoever asks knows which of them is the nearest. Where rounds
//! after the first have a mark and the first has none, the [numbers](ProbeSpec::number) that the first may have are found by
//! [`numbers`].

use super::craft::{self, ProbeSpec};
use super::{FlowMode, ProbeKey, ProbeType};
use crate::wire::ip::IpHeader;

/// How many values a field of 16 bits has if one of them is not used.
const ALL_BUT_ONE: u64 = 65_535;

/// What remains of a number after a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    /// What remains.
    pub value: u64,
    /// The divisor.
    pub modulus: u64,
}

impl Remainder {
    fn of(value: u64, modulus: u64) -> Self {
        Self { value: value % modulus, modulus }
    }

    /// The serial number `added` later.
    #[must_use]
    pub fn plus(self, added: u64) -> Self {
        Self::of(self.value + added % self.modulus, self.modulus)
    }

    /// The numbers with this remainder around `number`: this many at most to either side.
    pub fn around(self, number: u64, most: u64) -> impl Iterator<Item = u64> {
        let ahead = (self.value + self.modulus - number % self.modulus) % self.modulus;
        let next = number.checked_add(ahead);
        let later = (0..most).filter_map(move |step| next?.checked_add(step * self.modulus));
        let earlier = (1..=most).filter_map(move |step| next?.checked_sub(step * self.modulus));
        later.chain(earlier)
    }
}

/// What a datagram shows of the serial of its probe, where it is one of a round after the first. `first` is the first probe
/// of the trace.
#[must_use]
pub fn serials(first: &ProbeSpec, header: &IpHeader, payload: &[u8]) -> Option<Remainder> {
    let key = ProbeKey::of(header, payload)?;
    let zero = ProbeSpec { serial: 0, ..*first };
    Some(match first.flow.probe {
        ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite => {
            // As in a later round, where numbers and serials differ.
            let of_zero = craft::udp_mark(&ProbeSpec { number: 1, ..zero });
            match of_zero.zip(mark(payload)) {
                Some((of_zero, mark)) => difference(mark, of_zero, ALL_BUT_ONE),
                None => difference(header.id?, craft::ip_id(&zero), ALL_BUT_ONE),
            }
        }
        ProbeType::IcmpEcho => difference(key.sequence(), craft::echo_sequence(&zero), 1 << 16),
        ProbeType::TcpSyn | ProbeType::TcpAck => {
            let ahead = key.tcp_sequence().wrapping_sub(craft::tcp_sequence(&zero));
            Remainder::of(ahead.into(), 1 << 32)
        }
        ProbeType::Protocol(_) => {
            let shown = payload.first_chunk().map(|octets| u32::from_be_bytes(*octets))?;
            Remainder::of(shown.wrapping_sub(craft::first_octets(&zero)).into(), 1 << 32)
        }
    })
}

/// What it shows of its number, where it is one of the first round, and those have no mark.
#[must_use]
pub fn numbers(first: &ProbeSpec, header: &IpHeader, payload: &[u8]) -> Option<Remainder> {
    let key = ProbeKey::of(header, payload)?;
    let unmarked = ProbeSpec { number: 0, serial: 0, ..*first };
    if first.flow.probe != ProbeType::Udp || craft::udp_mark(&unmarked).is_some() {
        return None;
    }
    match first.mode {
        FlowMode::Classic => {
            let ports = u64::from(u16::MAX - first.first_port) + 1;
            let port = key.destination_port().checked_sub(first.first_port)?;
            Some(Remainder::of(port.into(), ports))
        }
        // Those over IPv6 grow.
        FlowMode::Dublin if header.id.is_none() => {
            let longer = header.total_len.checked_sub(craft::len(&unmarked).into())?;
            Some(Remainder::of(u64::try_from(longer).ok()?, 1 << 16))
        }
        FlowMode::Dublin | FlowMode::Paris => None,
    }
}

/// Whether a datagram is this probe, by all that tells it from the others of its trace.
#[must_use]
pub fn fits(spec: &ProbeSpec, header: &IpHeader, payload: &[u8]) -> bool {
    let Some(key) = ProbeKey::of(header, payload) else { return false };
    if header.id.is_some_and(|id| id != craft::ip_id(spec)) {
        return false;
    }
    match spec.flow.probe {
        ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite => {
            let unmarked = || {
                let mut filling = craft::filling();
                [filling.next(), filling.next()].map(Option::unwrap_or_default)
            };
            let expected = craft::udp_mark(spec).unwrap_or_else(|| u16::from_be_bytes(unmarked()));
            // Where the length tells probes apart.
            let grows = spec.mode == FlowMode::Dublin && header.id.is_none();
            let long = !grows || header.total_len == usize::from(craft::len(spec));
            let marked = mark(payload).is_none_or(|mark| mark == expected);
            key.destination_port() == craft::udp_port(spec) && marked && long
        }
        ProbeType::IcmpEcho => key.sequence() == craft::echo_sequence(spec),
        ProbeType::TcpSyn | ProbeType::TcpAck => key.tcp_sequence() == craft::tcp_sequence(spec),
        ProbeType::Protocol(_) => payload.starts_with(&craft::first_octets(spec).to_be_bytes()),
    }
}

/// The distance of a field from its value for serial 0.
fn difference(field: u16, of_first: u16, modulus: u64) -> Remainder {
    Remainder::of(u64::from(field) + modulus - u64::from(of_first) % modulus, modulus)
}

/// What the payload of UDP begins with, if that was captured.
fn mark(payload: &[u8]) -> Option<u16> {
    payload.get(8..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::probe::Flow;
    use crate::wire::Evidence;
    use crate::wire::extension::Family;
    use crate::wire::ip;

    const TYPES: [(ProbeType, u16); 8] = [
        (ProbeType::Udp, 33_434),
        (ProbeType::UdpFixed, 53),
        (ProbeType::UdpFixed, 4_000),
        (ProbeType::IcmpEcho, 0),
        (ProbeType::TcpSyn, 80),
        (ProbeType::TcpAck, 80),
        (ProbeType::UdpLite, 53),
        (ProbeType::Protocol(253), 0),
    ];
    const MODES: [FlowMode; 3] = [FlowMode::Classic, FlowMode::Paris, FlowMode::Dublin];
    const ENDS: [[&str; 2]; 2] = [["192.0.2.2", "203.0.113.9"], ["2001:db8::2", "2001:db8::9"]];
    /// Probes of a round.
    const PROBES: u32 = 90;

    /// The first probe of each kind of trace, with numbers that begin where they wrap soon.
    fn firsts() -> impl Iterator<Item = ProbeSpec> {
        let typed = ENDS.into_iter().flat_map(|ends| TYPES.map(|typed| (ends, typed)));
        typed.flat_map(|(ends, (probe, first_port))| {
            let [source, target] = ends.map(|address| address.parse::<IpAddr>().unwrap());
            let keys = [None, Some(0xffff_fffe_ffff_fffd)];
            let kinds = MODES.into_iter().flat_map(move |mode| keys.map(|key| (mode, key)));
            let kinds = kinds.flat_map(move |(mode, key)| {
                let captured = (mode, key, Evidence::Captured);
                let by_sockets =
                    matches!(probe, ProbeType::Udp | ProbeType::UdpFixed | ProbeType::IcmpEcho)
                        && mode != FlowMode::Dublin;
                let reconstructed = (mode, key, Evidence::Reconstructed);
                [captured].into_iter().chain(by_sockets.then_some(reconstructed))
            });
            kinds.map(move |(mode, key, evidence)| ProbeSpec {
                flow: Flow { source, target, probe, ident: 42_315 },
                mode,
                number: 0,
                serial: 0,
                ttl: 1,
                tos: 0,
                dont_fragment: false,
                flow_label: 0,
                len: craft::default_len(Family::of(target), probe),
                first_port,
                flow_number: 0,
                first_id: 65_500,
                key,
                evidence,
            })
        })
    }

    fn probe(first: &ProbeSpec, round: u32, number: u32) -> ProbeSpec {
        let serial = (round * PROBES).wrapping_add(number);
        ProbeSpec { number, serial, ttl: u8::try_from(number / 3 + 1).unwrap(), ..*first }
    }

    /// The datagram of a probe as its run sees it: without the IP-ID that the kernel chose.
    fn seen<'a>(spec: &ProbeSpec, datagram: &'a [u8]) -> (IpHeader, &'a [u8]) {
        let (header, payload) = ip::decode(datagram).unwrap();
        (IpHeader { id: header.id.filter(|_| spec.has_ip_id()), ..header }, payload)
    }

    /// Short ones too, in which nothing but a mark has room.
    #[test]
    fn every_probe_is_found_by_its_bytes() {
        let mut datagram = Vec::new();
        for first in firsts().flat_map(|first| [first, ProbeSpec { len: 0, ..first }]) {
            for round in [0, 1, 2, 182, 183, 728, 1_500, 70_000] {
                for number in [0, 1, 2, 44, PROBES - 1] {
                    let spec = probe(&first, round, number);
                    craft::craft(&spec, &mut datagram);
                    let (header, payload) = seen(&first, &datagram);
                    assert!(fits(&spec, &header, payload), "{spec:?}");
                    let expected = u64::from(round * PROBES + number);
                    let of_first = numbers(&first, &header, payload).filter(|_| round == 0);
                    let shown = of_first.or_else(|| serials(&first, &header, payload)).unwrap();
                    assert_eq!(shown.value, expected % shown.modulus, "{spec:?}");
                }
            }
        }
    }

    #[test]
    fn no_probe_is_taken_for_another_one_near_it() {
        let mut datagram = Vec::new();
        for first in firsts() {
            for (round, number) in [(0, 0), (0, 44), (3, 0), (3, 89)] {
                craft::craft(&probe(&first, round, number), &mut datagram);
                let (header, payload) = seen(&first, &datagram);
                let all = (0..100).flat_map(|round| (0..PROBES).map(move |number| (round, number)));
                let fitting = all.filter(|it| fits(&probe(&first, it.0, it.1), &header, payload));
                assert_eq!(fitting.collect::<Vec<_>>(), [(round, number)], "{first:?}");
            }
        }
    }

    #[test]
    fn numbers_are_found_around_another() {
        let remainder = Remainder::of(7, 10);
        let around = |number, most| remainder.around(number, most).collect::<Vec<_>>();
        assert_eq!(around(23, 2), [27, 37, 17, 7]);
        assert_eq!(around(7, 2), [7, 17]);
        assert!(around(u64::MAX - 1, 1).is_empty());
        assert_eq!(remainder.plus(25), Remainder::of(2, 10));
    }
}
