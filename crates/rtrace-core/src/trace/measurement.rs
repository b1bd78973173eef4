//! What is measured with the probes of a trace, and by which engine.
//!
//! A match on [`Measurement`] has no wildcard, so that what is missing for a kind does not compile.

use super::config::{ConfigError, TraceConfig};
use super::engine::Engine;
use super::mtu::MtuTracer;
use super::paths::{self, Paths};
use super::probe_selector::ProbeSelector;
use super::rounds::{self, Rounds};
use super::tracer::Tracer;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measurement {
    /// The path, once.
    Trace,
    /// The path, once, and then its MTU: what a configuration with [`mtu`](TraceConfig::mtu) asks for.
    PathMtu,
    /// The path again and again.
    Rounds(rounds::Plan),
    /// All paths.
    Paths(paths::Plan),
}

/// What a passive engine has to know of a run that was recorded, besides its configuration.
#[derive(Clone, Debug)]
pub struct RecordedRun {
    /// The configuration that its probes were sent by, of which the report may leave some out.
    pub sent_by: TraceConfig,
    /// Which datagrams are its probes.
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

    /// The reason why it cannot be measured with `config`, if there is one.
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

    /// What probes. No probe that is to find the path MTU is longer than `largest` bytes.
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

    /// What watches a run that was recorded and reports it as `config` says.
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
    /// A run from its beginning, by this configuration.
    #[must_use]
    pub fn whole(config: &TraceConfig) -> Self {
        Self { sent_by: config.clone(), idents: ProbeSelector::One, first_round: 0 }
    }
}
