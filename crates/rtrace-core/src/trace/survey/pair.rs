//! What a capture holds between two addresses: datagrams that may be probes, and replies to some that it does not hold.
//!
//! A probe and its reply find each other by key, also where a quote shows less of it than the capture, or something of it
//! was rewritten on the way. At most [`UNSEEN`] replies are kept.

use std::collections::{HashMap, HashSet};

use super::UNSEEN;
use super::group::Sighting;
use super::run::{Unseen, UnseenBy};
use crate::probe::{Flow, ProbeKey, ProbeType};
use crate::trace::correlate::number;
use crate::wire::ipv4;
use crate::wire::quoted::Quoted;

/// How many probes are looked at for that of a reconstructed reply: more than are in flight.
const PROBES: usize = 2_048;

/// What was seen from one address to another, by one protocol.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) sightings: Vec<Sighting>,
    /// Where in `sightings` a key was last seen.
    pub(super) latest: HashMap<ProbeKey, usize>,
    pub(super) highest: u8,
    pub(super) expired: bool,
    pub(super) unseen: Vec<Unseen>,
}

impl Pair {
    /// The probes without the SYNs that a kernel sent again: those are not the tool's.
    /// Some tools never vary what identifies a connection; theirs are seen with several TTLs.
    pub(super) fn without_repetitions(&self, probe: ProbeType) -> impl Iterator<Item = &Sighting> {
        let mut ttls: HashMap<[u8; 8], (u8, bool)> = HashMap::new();
        for it in self.sightings.iter().filter(|_| probe == ProbeType::TcpSyn) {
            let (ttl, several) = ttls.entry(it.key.head).or_insert((it.ttl, false));
            *several |= *ttl != it.ttl;
        }
        let mut seen = HashSet::new();
        self.sightings.iter().filter(move |it| {
            let repeatable = ttls.get(&it.key.head).is_some_and(|(_, several)| !several);
            !repeatable || seen.insert(it.key.head)
        })
    }

    /// The probe with this key, or of which a quote shows as much as the capture holds of it.
    pub(super) fn find(
        &mut self,
        key: &ProbeKey,
        quote: &Quoted<'_>,
        protocol: u8,
    ) -> Option<&mut Sighting> {
        let there = quote.payload.len();
        if there >= key.head.len() {
            return self.latest.get(key).and_then(|index| self.sightings.get_mut(*index));
        }
        let shown = key.without_checksum(protocol);
        let fits = |it: &&mut Sighting| {
            let sent = it.key.without_checksum(protocol);
            sent.ip_id == shown.ip_id && sent.head.get(..there) == shown.head.get(..there)
        };
        self.sightings.iter_mut().rev().take(UNSEEN).find(fits)
    }

    /// The last probe with this key, of which the IP-ID is not known; the checksum of ICMP may have been rewritten.
    pub(super) fn find_reconstructed(
        &mut self,
        key: &ProbeKey,
        protocol: u8,
    ) -> Option<&mut Sighting> {
        let known = |key: ProbeKey| {
            if protocol == ipv4::UDP { key.head } else { key.without_checksum(protocol).head }
        };
        let shown = known(*key);
        self.sightings.iter_mut().rev().take(PROBES).find(|it| known(it.key) == shown)
    }

    pub(super) fn note_unseen(&mut self, flow: &Flow, key: ProbeKey, reply: UnseenBy) {
        let (ident, number) = (flow.ident, number(flow.probe, &key));
        let known =
            |it: &Unseen| (it.ident, it.number) == (ident, number) && it.key.ip_id == key.ip_id;
        if self.unseen.len() < UNSEEN && !self.unseen.iter().any(known) {
            self.unseen.push(Unseen { key, ident, number, reply });
        }
    }

    /// The unseen probes that were not merely changed on the path (or unfinished, by offload, when they
    /// were captured), and were not captured after their reply.
    pub(super) fn truly_unseen(&self, flow: &Flow) -> Vec<Unseen> {
        let protocol = flow.protocol();
        let echo = flow.probe == ProbeType::IcmpEcho;
        let seen: HashSet<(ProbeKey, bool)> =
            self.sightings
                .iter()
                .map(|it| (it.key.without_checksum(protocol), false))
                .chain(
                    self.sightings.iter().filter(|_| echo).map(|it| {
                        (ProbeKey { ip_id: 0, ..it.key.without_checksum(protocol) }, true)
                    }),
                )
                .collect();
        let rewritten = self.singled_out(protocol);
        let is_seen = |it: &&Unseen| {
            let key = it.key.without_checksum(protocol);
            seen.contains(&(key, false))
                || echo && seen.contains(&(ProbeKey { ip_id: 0, ..key }, true))
                || of_rewritten(it.key, protocol).any(|key| rewritten.contains(&key))
        };
        self.unseen.iter().filter(|it| !is_seen(it)).copied().collect()
    }

    /// What is left of a rewritten probe, where that is of one alone.
    fn singled_out(&self, protocol: u8) -> HashSet<ProbeKey> {
        let mut times: HashMap<ProbeKey, u32> = HashMap::new();
        let keys = self.sightings.iter().flat_map(|it| of_rewritten(it.key, protocol));
        keys.for_each(|key| *times.entry(key).or_default() += 1);
        times.into_iter().filter(|(_, times)| *times == 1).map(|(key, _)| key).collect()
    }
}

/// What is left of a key when the IP-ID was rewritten, or the destination port and with it the checksum; both leave
/// the sequence number of TCP. As [`Rewritten`](super::super::rewritten) has it.
pub(super) fn of_rewritten(key: ProbeKey, protocol: u8) -> impl Iterator<Item = ProbeKey> {
    let mut portless = key.without_checksum(protocol);
    let ports = matches!(protocol, ipv4::UDP | ipv4::UDP_LITE | ipv4::TCP);
    if ports {
        portless.head[2..4].fill(0);
    }
    let head = if protocol == ipv4::TCP { portless.head } else { key.head };
    let by_id = Some(portless).filter(|_| key.ip_id != 0 && ports);
    [ProbeKey { ip_id: 0, head }].into_iter().chain(by_id)
}
