//! The kinds of measurement, and the engine of each.
//!
//! A match on [`Measurement`] has no wildcard, so that what is missing for a kind does not compile.

use super::config::{ConfigError, TraceConfig};
use super::engine::Engine;
use super::mtu::MtuTracer;
use super::paths::{self, Paths};
use super::probe_selector::ProbeSelector;
use super::rounds::{self, Rounds};
use super::tracer::Tracer;

/// A kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Measurement {
    /// The path, once.
    Trace,
    /// The path, once, and then its MTU: what a configuration with [`mtu`](TraceConfig::mtu) asks for.
    PathMtu,
    /// The path, repeatedly, in rounds.
    Rounds(rounds::Plan),
    /// All paths, over the next hops that load balancers choose.
    Paths(paths::Plan),
}

/// A recorded run: what a passive engine needs besides the configuration.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct RecordedRun {
    /// The configuration that its probes were sent with; the report may leave some probes out.
    pub sent_by: TraceConfig,
    /// Selects the datagrams that are its probes.
    pub idents: ProbeSelector,
    /// The round that the recording begins with, from 0.
    pub first_round: u64,
}

impl Measurement {
    /// One trace, with the path MTU if `config` asks for it.
    #[must_use]
    pub fn once(config: &TraceConfig) -> Self {
        if config.mtu { Self::PathMtu } else { Self::Trace }
    }

    /// Whether the path is measured once: neither in rounds, nor for all flows.
    #[must_use]
    pub fn is_once(&self) -> bool {
        matches!(self, Self::Trace | Self::PathMtu)
    }

    /// Checks that this can be measured with `config`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self, config: &TraceConfig) -> Result<(), ConfigError> {
        config.check()?;
        let asks_for_mtu = matches!(self, Self::PathMtu);
        if config.mtu != asks_for_mtu {
            return Err(if asks_for_mtu { ConfigError::NoMtu } else { ConfigError::MtuBeside });
        }
        match self {
            Self::Trace | Self::PathMtu => Ok(()),
            Self::Rounds(plan) => plan.check_of(config),
            Self::Paths(plan) => plan.check(config),
        }
    }

    /// An engine that sends probes. No size probe is longer than `largest` bytes.
    ///
    /// # Errors
    /// When it cannot be measured with `config`.
    pub fn active(self, config: TraceConfig, largest: u16) -> Result<Box<dyn Engine>, ConfigError> {
        self.check(&config)?;
        Ok(match self {
            Self::Trace => Box::new(Tracer::new(config)?),
            Self::PathMtu => Box::new(MtuTracer::new(config, largest)?),
            Self::Rounds(plan) => Box::new(Rounds::new(config, plan)?),
            Self::Paths(plan) => Box::new(Paths::new(config, plan)?),
        })
    }

    /// An engine that only watches a recorded run, and reports it as `config` says.
    ///
    /// # Errors
    /// When nothing can be watched with `config`.
    pub fn passive(
        self,
        config: TraceConfig,
        recorded: RecordedRun,
    ) -> Result<Box<dyn Engine>, ConfigError> {
        let RecordedRun { sent_by, idents, first_round } = recorded;
        rounds::check_number(first_round)?;
        Ok(match self {
            Self::Trace | Self::PathMtu => Box::new(Tracer::passive(config, idents)?),
            Self::Rounds(plan) => {
                Box::new(Rounds::passive_from(first_round, config, plan)?.sent_by(&sent_by))
            }
            Self::Paths(plan) => Box::new(Paths::passive(config, plan)?),
        })
    }
}

impl RecordedRun {
    /// A run recorded from its beginning, with this configuration.
    #[must_use]
    pub fn whole(config: &TraceConfig) -> Self {
        Self { sent_by: config.clone(), idents: ProbeSelector::One, first_round: 0 }
    }
}
