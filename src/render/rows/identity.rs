//! What depends on the type of a probe: what other tools call it, and which header fields identify one.
//!
//! A further probe type changes this file of `render` alone.

use std::net::IpAddr;

use serde::Serialize;

use crate::probe::{FlowMode, ProbeType, craft};
use crate::render::extension::hex;
use crate::trace::{Probe, TraceConfig};

/// What other tools want to know of a probe type.
pub(in super::super) struct ProbeTraits {
    /// What RIPE Atlas calls its protocol.
    pub atlas: &'static str,
    /// What scamper calls it.
    pub scamper: &'static str,
    /// How many bytes of each datagram are headers.
    pub headers_len: u16,
    /// It is an echo request: the target answers with an ICMP message.
    pub echo: bool,
}

impl ProbeTraits {
    pub(in super::super) fn of(config: &TraceConfig) -> Self {
        let scamper_udp = if config.flow_mode == FlowMode::Classic { "udp" } else { "udp-paris" };
        let (atlas, scamper) = match config.probe {
            ProbeType::IcmpEcho => ("ICMP", "icmp-echo"),
            ProbeType::TcpSyn => ("TCP", "tcp"),
            ProbeType::TcpAck => ("TCP", "tcp-ack"),
            // They have no others.
            _ => ("UDP", scamper_udp),
        };
        let headers_len = craft::headers_len(config.flow().family(), config.probe);
        let echo = config.probe == ProbeType::IcmpEcho;
        Self { atlas, scamper, headers_len, echo }
    }
}

/// The header fields that tell a probe from the others, by its type.
#[derive(Clone, Default, Serialize)]
pub(in super::super) struct Identity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// Of UDP and UDP-Lite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_sequence: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u16>,
    /// Of other protocols: the first eight bytes after the IP header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    #[serde(skip_serializing_if = "IpId::is_absent")]
    pub ip_id: IpId,
}

/// The identification field of an IPv4 header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(in super::super) enum IpId {
    /// IPv6 has none.
    #[default]
    Absent,
    /// The kernel chose it, or does not report it: null.
    Unknown,
    /// Its value.
    Known(u16),
}

impl IpId {
    /// The field of a datagram with an address of this family, if it is known.
    pub(in super::super) fn of(address: IpAddr, known: Option<u16>) -> Self {
        match known {
            _ if address.is_ipv6() => Self::Absent,
            Some(id) => Self::Known(id),
            None => Self::Unknown,
        }
    }

    /// Its value, if it is known.
    pub(in super::super) fn known(self) -> Option<u16> {
        if let Self::Known(id) = self { Some(id) } else { None }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(in super::super) fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

impl Identity {
    pub(in super::super) fn of(probe: &Probe, config: &TraceConfig) -> Self {
        let key = &probe.key;
        let ports = config.probe.has_ports();
        let common = Self {
            source_port: ports.then(|| key.source_port()),
            destination_port: ports.then(|| key.destination_port()),
            ip_id: IpId::of(config.target, config.evidence.is_captured().then_some(key.ip_id)),
            ..Self::default()
        };
        match config.probe {
            ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite => {
                Self { checksum: Some(key.udp_checksum()), ..common }
            }
            ProbeType::TcpSyn | ProbeType::TcpAck => {
                Self { tcp_sequence: Some(key.tcp_sequence()), ..common }
            }
            ProbeType::IcmpEcho => Self {
                identifier: Some(key.identifier()),
                sequence: Some(key.sequence()),
                ..common
            },
            ProbeType::Protocol(_) => Self { head: Some(hex(&key.head)), ..common },
        }
    }
}
