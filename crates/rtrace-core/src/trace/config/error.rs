//! Why nothing can be measured with a configuration.

/// Why nothing can be measured with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum ConfigError {
    /// A value is out of range.
    #[error("{what} must be {range}")]
    OutOfRange {
        /// The value.
        what: &'static str,
        /// What it must be.
        range: &'static str,
    },
    /// Probes of this length, in bytes, have no room for their headers.
    #[error("packet length {len} is too short for this probe type: it must be at least {least}")]
    TooShort {
        /// The length that was asked for.
        len: u16,
        /// The least there is.
        least: u16,
    },
    /// TCP probes have this length, in bytes, and no other.
    #[error("TCP probes carry no payload: their length must be {len}")]
    NoPayload {
        /// Their length.
        len: u16,
    },
    /// The last hop comes before the first.
    #[error("max TTL {max} is below the first TTL {first}")]
    NoHops {
        /// TTL of the first hop.
        first: u8,
        /// TTL of the last.
        max: u8,
    },
    /// [`FlowMode::Dublin`](crate::probe::FlowMode::Dublin) is for UDP to rising ports.
    #[error("flow mode dublin is for UDP to rising ports")]
    DublinIsOfUdp,
    /// [`Measurement::PathMtu`](crate::trace::Measurement::PathMtu) without [`TraceConfig::mtu`](super::TraceConfig::mtu).
    #[error("a measurement of the path MTU needs a configuration that asks for it")]
    NoMtu,
    /// The path MTU is measured once, beside one trace.
    #[error("the path MTU is measured with one trace, neither in rounds nor for all paths")]
    MtuBeside,
    /// The path MTU takes probes of variable length; TCP probes have a fixed one.
    #[error("the path MTU needs probes of variable length; TCP probes have a fixed one")]
    MtuNeedsLengths,
    /// The length of probes carries their number in [`FlowMode::Dublin`](crate::probe::FlowMode::Dublin).
    #[error("the path MTU chooses the length of probes, and flow mode dublin varies it")]
    MtuAndDublin,
    /// The longest datagram to try is not longer than the probes of the trace.
    #[error("the path MTU takes longer probes than {limit} bytes: those of the trace have {len}")]
    MtuLimit {
        /// The longest datagram to try.
        limit: u16,
        /// The length of the probes of the trace.
        len: u16,
    },
    /// These probes need captured packets; unprivileged sockets cannot send them or match their replies.
    #[error(
        "{what} need captured packets: run with CAP_NET_RAW, or use UDP (classic or paris) or ICMP echo"
    )]
    NeedsCapture {
        /// The probes.
        what: &'static str,
    },
    /// Over unprivileged sockets every UDP probe of a trace needs a destination port of its own.
    #[error(
        "{probes} probes need a destination port each, and there are {ports} from {first} on: choose a lower first port"
    )]
    TooFewPorts {
        /// The number of probes.
        probes: u32,
        /// The first destination port.
        first: u16,
        /// The number of ports from there on.
        ports: u32,
    },
}

impl ConfigError {
    pub(in super::super) const QUERIES: Self =
        Self::OutOfRange { what: "number of queries per hop", range: "1 to 1000" };
}
