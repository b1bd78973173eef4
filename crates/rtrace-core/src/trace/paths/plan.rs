//! What is asked of a multipath trace besides a trace, and which probe belongs to which flow.
//!
//! The probes of a flow have everything alike that routers choose by: UDP goes to port first + flow from one
//! source port, echo requests have one checksum per flow, which their payload keeps, and a SYN comes from port
//! ident + flow, so that firewalls see the one destination port that they let through. What tells the probes of a
//! flow apart is the IP-ID; without one of its own (over IPv6, and where the kernel chooses it), a mark in the payload that the checksum of UDP shows; and the
//! sequence number of an echo request or a SYN.

use serde::{Deserialize, Serialize};

use super::rule::Confidence;
use crate::probe::craft::{self, ProbeSpec};
use crate::probe::{Flow, FlowMode, ProbeKey, ProbeType, secret};
use crate::trace::config::{ConfigError, MAX_WATCHED_QUERIES};
use crate::trace::{ProbeSelector, TraceConfig};
use crate::wire::ip;

/// Flows are numbered from 0 to less than this: as many as there are ports above traceroute's first.
pub const MAX_FLOWS: u16 = 32_000;

/// How the paths to a target are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Plan {
    /// When enough has been tried.
    pub confidence: Confidence,
    /// Asks every router for itself from the beginning, instead of hop by hop where nothing speaks against it.
    #[serde(default)]
    pub every_router: bool,
    /// Most probes per second.
    pub rate: f64,
    /// Most probes.
    pub max_probes: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            confidence: Confidence::USUAL,
            every_router: false,
            rate: 1_000.0,
            max_probes: 10_000,
        }
    }
}

impl Plan {
    /// The reason why nothing can be run by this, if there is one.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self, config: &TraceConfig) -> Result<(), ConfigError> {
        let wrong = |what, range| Err(ConfigError::OutOfRange { what, range });
        self.confidence.check()?;
        if !(0.1..=1_000_000.0).contains(&self.rate) {
            return wrong("rate", "0.1 to 1000000 probes a second");
        }
        if !(1..=65_000).contains(&self.max_probes) {
            return wrong("number of probes", "1 to 65000");
        }
        if !matches!(config.probe, ProbeType::Udp | ProbeType::IcmpEcho | ProbeType::TcpSyn) {
            return wrong(
                "probe type",
                "UDP, ICMP echo or TCP SYN, for other probe types have no flows: leave it out, or use -I or -T",
            );
        }
        if config.probe == ProbeType::Udp && config.first_port > u16::MAX - MAX_FLOWS {
            return wrong("first port", "1 to 33535, for there is a port for each flow");
        }
        let config = of_flows(config.clone());
        if config.packet_len < config.least_len() {
            return wrong("packet length", "long enough for its headers");
        }
        config.check_watched()
    }
}

/// A configuration as its flows need it: constant but for what tells probes apart, and as many probes
/// per hop as it takes.
pub(super) fn of_flows(config: TraceConfig) -> TraceConfig {
    let has_id = config.target.is_ipv4() && config.evidence.is_captured();
    let varies_id = has_id && config.probe == ProbeType::Udp;
    let flow_mode = if varies_id { FlowMode::Dublin } else { FlowMode::Paris };
    TraceConfig { flow_mode, scout: false, queries: MAX_WATCHED_QUERIES, ..config }
}

/// Probe `serial`, from 0, of this flow.
pub(super) fn spec(config: &TraceConfig, serial: u32, flow: u16, ttl: u8) -> ProbeSpec {
    let usual = ProbeSpec { serial, ttl, ..config.spec(serial) };
    match config.probe {
        ProbeType::Udp => ProbeSpec { first_port: config.first_port.saturating_add(flow), ..usual },
        ProbeType::TcpSyn => {
            let ident = port_from(config.ident, flow);
            ProbeSpec { flow: Flow { ident, ..usual.flow }, ..usual }
        }
        _ => ProbeSpec { flow_number: flow, ..usual },
    }
}

/// The port of a flow, counted from the first one; after the last port comes 1, since 0 is no port.
fn port_from(first: u16, flow: u16) -> u16 {
    first.checked_add(flow).unwrap_or_else(|| first.wrapping_add(flow).saturating_add(1))
}

/// Which datagrams are probes.
pub(super) fn idents(config: &TraceConfig) -> ProbeSelector {
    match config.probe {
        ProbeType::TcpSyn => {
            let key = config.secret.map(|secret| secret.key);
            ProbeSelector::Numbered(secret::first_sequence(key, config.first_id))
        }
        _ => ProbeSelector::One,
    }
}

/// Tells the flow of a probe from its key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flows {
    /// Its number above this destination port.
    Port(u16),
    /// How many ports after this one it comes from.
    Source(u16),
    /// What its checksum is less than this one.
    Checksum(u16),
}

impl Flows {
    pub(super) fn of(config: &TraceConfig) -> Self {
        match config.probe {
            ProbeType::Udp => return Self::Port(config.first_port),
            ProbeType::TcpSyn => return Self::Source(config.ident),
            _ => {}
        }
        let mut bytes = Vec::new();
        craft::craft(&spec(config, 0, 0, config.first_ttl), &mut bytes);
        let key = ip::decode(&bytes).ok().and_then(|(it, payload)| ProbeKey::of(&it, payload));
        Self::Checksum(key.map_or(0, |key| key.icmp_checksum()))
    }

    pub(super) fn number(self, key: &ProbeKey) -> Option<u16> {
        let flow = match self {
            Self::Port(first) => key.destination_port().checked_sub(first)?,
            Self::Source(first) => {
                let port = key.source_port();
                port.checked_sub(first).unwrap_or_else(|| port.wrapping_sub(first).wrapping_sub(1))
            }
            // In one's complement, where a sum is less by what was added to what is summed.
            Self::Checksum(first) => first.checked_sub(key.icmp_checksum()).unwrap_or_else(|| {
                let less = u16::MAX - key.icmp_checksum();
                first.saturating_add(less)
            }),
        };
        (flow < MAX_FLOWS).then_some(flow)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;

    use super::*;

    const PROBES: [ProbeType; 3] = [ProbeType::Udp, ProbeType::IcmpEcho, ProbeType::TcpSyn];

    /// What routers choose by, and the quoted octets that tell probes apart.
    #[test]
    fn probes_of_a_flow_are_alike_and_yet_each_is_its_own() {
        let ends: [[IpAddr; 2]; 2] = [
            [[192, 0, 2, 2].into(), [203, 0, 113, 9].into()],
            ["2001:db8::2".parse().unwrap(), "2001:db8:113::9".parse().unwrap()],
        ];
        for ([source, target], probe) in
            ends.into_iter().flat_map(|it| PROBES.map(|probe| (it, probe)))
        {
            let flow = Flow { source, target, probe, ident: 60_000 };
            let config = of_flows(TraceConfig::of_flow(&flow));
            let flows = Flows::of(&config);
            let (mut keys, mut seen) = (HashSet::new(), HashSet::new());
            for serial in 0..3_000 {
                let number = u16::try_from(serial % 300).unwrap() * 100;
                let mut bytes = Vec::new();
                craft::craft(&spec(&config, serial, number, 5), &mut bytes);
                let (header, payload) = ip::decode(&bytes).unwrap();
                let key = ProbeKey::of(&header, payload).unwrap();
                assert_eq!(flows.number(&key), Some(number), "{probe:?} {source}");
                assert!(keys.insert(key), "{probe:?} {source} {serial}");
                seen.insert((number, payload[..4].to_vec(), payload.len()));
            }
            assert_eq!(seen.len(), 300, "{probe:?} {source}");
        }
    }
}
