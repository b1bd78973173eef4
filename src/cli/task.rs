//! What is made of a trace: one report, rounds of it, or all paths.

use super::earlier::{Earlier, Search};
use super::flags::OutputOptions;
use super::watch::Watch;
use crate::render::Look;
use crate::trace::{Measurement, TraceConfig};

/// Probes per hop and round of a watch, unless others are asked for: as mtr's.
const WATCHED_QUERIES: u16 = 1;

/// What is made of a trace.
#[derive(Clone, Copy)]
pub enum Task<'a> {
    /// One.
    Once,
    /// Rounds of it.
    Watch(&'a Watch),
    /// All paths.
    Paths(&'a Search),
}

impl<'a> Task<'a> {
    /// The rounds, if the run has any.
    pub fn watch(self) -> Option<&'a Watch> {
        match self {
            Self::Watch(watch) => Some(watch),
            Self::Once | Self::Paths(_) => None,
        }
    }

    /// What was found before, if that is resumed.
    pub fn earlier(self) -> Option<&'a Earlier> {
        match self {
            Self::Paths(search) => search.earlier.as_ref(),
            Self::Once | Self::Watch(_) => None,
        }
    }

    /// What it has in place of the usual configuration.
    pub fn configure(self, config: &mut TraceConfig) {
        if let Self::Watch(_) = self {
            config.queries = WATCHED_QUERIES;
        }
    }

    /// What is measured by this configuration.
    pub fn measurement(self, config: &TraceConfig) -> Measurement {
        match self {
            Self::Once => Measurement::once(config),
            Self::Watch(watch) => Measurement::Rounds(watch.plan),
            Self::Paths(search) => Measurement::Paths(search.plan),
        }
    }

    /// How its report is to look.
    pub fn look(self, output: OutputOptions) -> Look {
        match self {
            Self::Once | Self::Paths(_) => output.look(),
            Self::Watch(watch) => watch.report.look(output),
        }
    }
}
