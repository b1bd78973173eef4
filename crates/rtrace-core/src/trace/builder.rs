//! Builders of configurations: each begins with what has no default, and its `build` checks the result.
//!
//! ```
//! use std::time::Duration;
//!
//! use rtrace_core::probe::ProbeType;
//! use rtrace_core::trace::{Measurement, TraceConfig, rounds};
//!
//! let config = TraceConfig::builder([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 54_321)
//!     .probe(ProbeType::TcpSyn)
//!     .first_port(443)
//!     .hops(1..=20)
//!     .build()?;
//! let plan = rounds::Plan::builder(Duration::from_secs(1)).rounds(10).build()?;
//! let engine = Measurement::Rounds(plan).active(config, 1_500)?;
//! assert_eq!(engine.rounds(), None);
//! # Ok::<(), rtrace_core::trace::ConfigError>(())
//! ```

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::config::{ConfigError, Confirmation, TraceConfig, Wait};
use super::paths::{self, Confidence};
use super::rounds::{self, Until};
use crate::probe::{FlowMode, ProbeType, Secret};
use crate::untrusted::Untrusted;

/// Makes a [`TraceConfig`]: a UDP trace with traceroute's defaults, unless something else is set.
#[derive(Clone, Debug)]
#[must_use]
pub struct TraceBuilder {
    config: TraceConfig,
    /// The default of these depends on the type of the probes.
    first_port: Option<u16>,
    packet_len: Option<u16>,
}

impl TraceConfig {
    /// A builder of a trace from `source` to `target`. `ident` is the source port of the probes, or the identifier of
    /// ICMP echo.
    pub fn builder(source: IpAddr, target: IpAddr, ident: u16) -> TraceBuilder {
        let config = Self::new(source, target, ident);
        TraceBuilder { config, first_port: None, packet_len: None }
    }
}

impl TraceBuilder {
    /// Sets the target as the user typed it; the default is its address.
    pub fn target_name(mut self, name: impl Into<Untrusted>) -> Self {
        self.config.target_name = name.into();
        self
    }

    /// Sets the type of the probes, and with it the defaults of their port and length.
    pub fn probe(mut self, probe: ProbeType) -> Self {
        self.config.probe = probe;
        self
    }

    /// Sets which fields stay the same among the probes.
    pub fn flow_mode(mut self, mode: FlowMode) -> Self {
        self.config.flow_mode = mode;
        self
    }

    /// Sets the destination port of the first probe.
    pub fn first_port(mut self, port: u16) -> Self {
        self.first_port = Some(port);
        self
    }

    /// Sets the TTLs of the first and the last hop, `1..=30` by default.
    pub fn hops(mut self, ttls: RangeInclusive<u8>) -> Self {
        (self.config.first_ttl, self.config.max_ttl) = ttls.into_inner();
        self
    }

    /// Sets the number of probes per hop, 3 by default.
    pub fn queries(mut self, queries: u16) -> Self {
        self.config.queries = queries;
        self
    }

    /// Sets how long answers are waited for.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.config.wait = wait;
        self
    }

    /// Sets the most probes in flight at a time, 16 by default.
    pub fn in_flight(mut self, probes: u16) -> Self {
        self.config.in_flight = probes;
        self
    }

    /// Sends a scout first: see [`TraceConfig::scouting`].
    pub fn scouting(mut self) -> Self {
        self.config = self.config.scouting();
        self
    }

    /// Sets the least time between two probes.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.config.send_wait = pause.as_secs_f64();
        self
    }

    /// Sets the type of service (IPv6: traffic class).
    pub fn tos(mut self, tos: u8) -> Self {
        self.config.tos = tos;
        self
    }

    /// Sets the Don't Fragment flag.
    pub fn dont_fragment(mut self) -> Self {
        self.config.dont_fragment = true;
        self
    }

    /// Measures the path MTU after the trace, with datagrams of up to `limit` bytes if there is one.
    pub fn mtu(mut self, limit: Option<u16>) -> Self {
        (self.config.mtu, self.config.mtu_limit) = (true, limit);
        self
    }

    /// Sets the flow label (IPv6), 20 bits.
    pub fn flow_label(mut self, label: u32) -> Self {
        self.config.flow_label = label;
        self
    }

    /// Sets the length of each probe's datagram in bytes, headers included.
    pub fn packet_len(mut self, len: u16) -> Self {
        self.packet_len = Some(len);
        self
    }

    /// Sets the first value of numbers that differ from run to run: see [`TraceConfig::first_id`].
    pub fn first_id(mut self, id: u16) -> Self {
        self.config.first_id = id;
        self
    }

    /// Makes the probes hard to guess.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.config.secret = Some(secret);
        self
    }

    /// Sends probes that confirm doubtful answers.
    pub fn confirmation(mut self, confirmation: Confirmation) -> Self {
        self.config.confirmation = Some(confirmation);
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// When no trace can be run with it: see [`ConfigError`].
    pub fn build(self) -> Result<TraceConfig, ConfigError> {
        let Self { mut config, first_port, packet_len } = self;
        let usual = TraceConfig::of_flow(&config.flow());
        config.first_port = first_port.unwrap_or(usual.first_port);
        config.packet_len = packet_len.unwrap_or(usual.packet_len);
        config.check().map(|()| config)
    }
}

/// Makes a [`rounds::Plan`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RoundsBuilder(rounds::Plan);

impl rounds::Plan {
    /// A builder of rounds that begin this long after each other, until interrupted.
    pub fn builder(interval: Duration) -> RoundsBuilder {
        let interval = interval.as_secs_f64();
        RoundsBuilder(Self { interval, rounds: None, until: None })
    }
}

impl RoundsBuilder {
    /// Ends the watch after this number of rounds.
    pub fn rounds(mut self, rounds: u64) -> Self {
        self.0.rounds = Some(rounds);
        self
    }

    /// Ends the watch then.
    pub fn until(mut self, until: Until) -> Self {
        self.0.until = Some(until);
        self
    }

    /// The plan. Whether the rounds of a certain trace fit into its interval is checked when they begin.
    ///
    /// # Errors
    /// When no watch can run by it: see [`ConfigError`].
    pub fn build(self) -> Result<rounds::Plan, ConfigError> {
        self.0.check().map(|()| self.0)
    }
}

/// Makes a [`paths::Plan`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct PathsBuilder(paths::Plan);

impl paths::Plan {
    /// A builder of a plan with the usual confidence and limits.
    pub fn builder() -> PathsBuilder {
        PathsBuilder(Self::default())
    }
}

impl PathsBuilder {
    /// Sets when enough has been tried.
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.0.confidence = confidence;
        self
    }

    /// Asks every router for itself from the beginning.
    pub fn every_router(mut self) -> Self {
        self.0.every_router = true;
        self
    }

    /// Sets the most probes per second.
    pub fn rate(mut self, rate: f64) -> Self {
        self.0.rate = rate;
        self
    }

    /// Sets the most probes in all.
    pub fn max_probes(mut self, probes: u32) -> Self {
        self.0.max_probes = probes;
        self
    }

    /// The plan, for a trace with this configuration.
    ///
    /// # Errors
    /// When nothing can be run by it: see [`ConfigError`].
    pub fn build(self, config: &TraceConfig) -> Result<paths::Plan, ConfigError> {
        self.0.check(config).map(|()| self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> TraceBuilder {
        TraceConfig::builder([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000)
    }

    #[test]
    fn what_is_not_set_is_traceroutes() {
        let [source, target] = [[192, 0, 2, 2], [203, 0, 113, 9]].map(IpAddr::from);
        assert_eq!(builder().build(), Ok(TraceConfig::new(source, target, 40_000)));
    }

    #[test]
    fn defaults_follow_the_type_of_the_probes_in_any_order() {
        let tcp = builder().probe(ProbeType::TcpSyn).build().unwrap();
        assert_eq!((tcp.first_port, tcp.packet_len), (80, 60));
        let port = |builder: TraceBuilder| builder.build().unwrap().first_port;
        assert_eq!(port(builder().first_port(33_434).probe(ProbeType::TcpSyn)), 33_434);
        assert_eq!(port(builder().probe(ProbeType::TcpSyn).first_port(443)), 443);
    }

    #[test]
    fn what_cannot_be_run_is_not_built() {
        let none = RangeInclusive::new(9, 3);
        assert_eq!(builder().hops(none).build(), Err(ConfigError::NoHops { first: 9, max: 3 }));
        assert_eq!(builder().queries(1_001).build(), Err(ConfigError::QUERIES));
        assert!(rounds::Plan::builder(Duration::ZERO).build().is_err());
        assert!(rounds::Plan::builder(Duration::from_secs(1)).rounds(0).build().is_err());
        let config = builder().probe(ProbeType::UdpLite).build().unwrap();
        assert!(paths::Plan::builder().build(&config).is_err());
    }
}
