//! What makes probes hard to guess: where random octets are in them, and where numbers begin.
//!
//! A probe shows the octets of its key in one place only, or in places that do not give each other away: that of a
//! checksum all of them enter.

use serde::{Deserialize, Serialize};

/// A payload that is as long as this ends in [`TAIL`] octets of the key: those before are what a probe is known by.
const KEYED: usize = 24;
/// How many octets of the key a payload ends in, and how many one does that is shorter but not too short for that.
const TAIL: usize = 8;
const SHORT_TAIL: usize = 2;

/// What nobody knows of a run's probes but who sent them and who sees them pass. What is forged blindly does not have it:
/// [`belief`](crate::trace::belief) counts how many bits of it a quote shows.
///
/// It is in a payload's last octets, and so in the checksum of UDP, UDP-Lite and ICMP; in the sequence number of TCP
/// and of an echo; in the id of a DNS query; and in the first octets of other protocols. No two of those are in one probe
/// with the same octets of it, but for a checksum that other octets enter too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Secret {
    /// 64 random bits.
    pub key: u64,
    /// The source port is one that was asked for: others may know it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known_port: bool,
    /// The flow label is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known_label: bool,
}

impl Secret {
    /// One of which nothing is known.
    #[must_use]
    pub const fn new(key: u64) -> Self {
        Self { key, known_port: false, known_label: false }
    }
}

/// How many octets of the key a payload of this length ends in, if it is filled: a DNS query is not.
#[must_use]
pub const fn tail_len(payload: usize) -> usize {
    match payload {
        KEYED.. => TAIL,
        4.. => SHORT_TAIL,
        _ => 0,
    }
}

/// Lets `payload` end in octets of the key, so that nobody else knows the checksum. They are the same in all probes, and
/// so leave alone what is constant in a flow.
pub(super) fn seal(key: Option<u64>, payload: &mut [u8]) {
    let len = tail_len(payload.len());
    let octets = key.map(|key| key.to_be_bytes().into_iter().rev());
    let places = payload.iter_mut().rev().take(len);
    for (place, octet) in places.zip(octets.into_iter().flatten()) {
        *place = octet;
    }
}

/// Where the sequence numbers of TCP begin; without a key with a random number in their upper half.
#[must_use]
pub fn first_sequence(key: Option<u64>, first_id: u16) -> u32 {
    key.map_or(u32::from(first_id) << 16, |key| {
        let [a, b, c, d, ..] = key.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    })
}

/// What those of echo requests begin after: so low that they do not wrap in a trace.
pub(super) fn first_echo(key: u64) -> u16 {
    let [a, b, ..] = key.to_be_bytes();
    u16::from_be_bytes([a & 0x7f, b])
}

/// Where the ids of DNS queries begin.
pub(super) fn first_query(key: u64) -> u16 {
    let [.., a, b] = key.to_be_bytes();
    u16::from_be_bytes([a, b])
}

/// The first octets of a probe of another protocol, the first four of which are a number that rises, and does not wrap in its
/// lower half in a trace.
pub(super) fn first_octets(key: u64) -> [u8; 8] {
    let mut octets = key.to_be_bytes();
    octets[2] &= 0x7f;
    octets
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::probe::craft::{self, ProbeSpec, looks_like_ours};
    use crate::probe::{Flow, FlowMode, ProbeType};
    use crate::wire::extension::Family;

    const PROBES: [ProbeType; 7] = [
        ProbeType::Udp,
        ProbeType::UdpFixed,
        ProbeType::IcmpEcho,
        ProbeType::TcpSyn,
        ProbeType::TcpAck,
        ProbeType::UdpLite,
        ProbeType::Protocol(253),
    ];

    fn body(target: &str, probe: ProbeType, len: u16, key: u64) -> Vec<u8> {
        let target: std::net::IpAddr = target.parse().unwrap();
        let family = Family::of(target);
        let flow = Flow { source: target, target, probe, ident: 42_315 };
        let spec = ProbeSpec {
            flow,
            mode: FlowMode::Classic,
            number: 3,
            serial: 93,
            ttl: 7,
            tos: 0,
            dont_fragment: false,
            flow_label: 0,
            len: craft::ip_header_len(family) + len,
            first_port: if probe == ProbeType::UdpFixed { craft::DNS_PORT } else { 33_434 },
            flow_number: 0,
            first_id: 7,
            key: Some(key),
            evidence: crate::wire::Evidence::Captured,
        };
        let mut bytes = Vec::new();
        craft::craft(&spec, &mut bytes);
        bytes.split_off(craft::ip_header_len(family).into())
    }

    /// Whatever else is known, the eight octets that are quoted take as many values as there are.
    #[test]
    fn what_is_quoted_follows_from_the_key_alone() {
        let mut rng = fastrand::Rng::with_seed(1);
        for target in ["203.0.113.9", "2001:db8:113::9"] {
            for probe in PROBES {
                for len in [40, 12] {
                    let heads: HashSet<Vec<u8>> = (0..2_000)
                        .map(|_| body(target, probe, len, rng.u64(..))[..8].to_vec())
                        .collect();
                    // Of 65,536 values some 30 come twice.
                    assert!(heads.len() > 1_900, "{probe:?} {len} {}", heads.len());
                }
            }
        }
    }

    #[test]
    fn a_probe_is_known_as_ours_whatever_its_key() {
        for len in 8..80_u16 {
            let body = body("203.0.113.9", ProbeType::Udp, len, 0xfeed_f00d_dead_beef);
            let seen = &body[..body.len().min(24)];
            assert!(looks_like_ours(ProbeType::Udp, seen, body.len()), "{len}");
            let mut other = body.clone();
            if let Some(octet) = other.get_mut(11).filter(|_| len >= 14) {
                *octet ^= 1;
                let seen = &other[..other.len().min(24)];
                assert!(!looks_like_ours(ProbeType::Udp, seen, other.len()), "{len}");
            }
        }
    }
}
