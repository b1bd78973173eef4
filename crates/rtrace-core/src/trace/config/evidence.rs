//! What a configuration can be where replies are reconstructed: probes over UDP and ping sockets, of which an error shows
//! ports, sequence number and payload.

use super::{ConfigError, TraceConfig};
use crate::probe::{FlowMode, ProbeType};

/// The most size probes of one run: a search takes a few, and about thirty for each black hole.
pub(in super::super) const MOST_SIZERS: usize = 500;

impl TraceConfig {
    /// Whether only one probe at a time is in flight, whatever [`in_flight`](Self::in_flight) says. Where replies are
    /// reconstructed, an error is attributed to a probe by its ports, which are the same for all UDP probes of a constant
    /// flow.
    #[must_use]
    pub fn is_one_at_a_time(&self) -> bool {
        let constant = match self.probe {
            ProbeType::Udp => self.flow_mode != FlowMode::Classic,
            ProbeType::UdpFixed => true,
            _ => false,
        };
        constant && !self.evidence.is_captured()
    }

    /// The most probes in flight at a time.
    #[must_use]
    pub fn most_in_flight(&self) -> u16 {
        if self.is_one_at_a_time() { 1 } else { self.in_flight }
    }

    /// Checks that replies to these probes can be reconstructed, if they are to be.
    pub(super) fn check_evidence(&self) -> Result<(), ConfigError> {
        if self.evidence.is_captured() {
            return Ok(());
        }
        let dublin = self.flow_mode == FlowMode::Dublin && self.target.is_ipv4();
        let what = match self.probe {
            ProbeType::Udp if dublin => "probes of flow mode dublin over IPv4",
            ProbeType::Udp | ProbeType::UdpFixed | ProbeType::IcmpEcho => {
                return self.check_ports();
            }
            ProbeType::TcpSyn | ProbeType::TcpAck => "TCP probes",
            ProbeType::UdpLite => "UDP-Lite probes",
            ProbeType::Protocol(_) => "probes of a protocol by number",
        };
        Err(ConfigError::NeedsCapture { what })
    }

    /// Checks that no two probes of a trace go to the same port, where only ports distinguish them.
    fn check_ports(&self) -> Result<(), ConfigError> {
        let rises = self.probe == ProbeType::Udp && self.flow_mode == FlowMode::Classic;
        let sizes = if self.mtu { u32::try_from(MOST_SIZERS).unwrap_or(u32::MAX) } else { 0 };
        let probes = self.scout_number().saturating_add(1).saturating_add(sizes);
        let ports = u32::from(u16::MAX - self.first_port) + 1;
        if rises && probes > ports {
            return Err(ConfigError::TooFewPorts { probes, first: self.first_port, ports });
        }
        Ok(())
    }
}
