//! What is made of a trace: one report, rounds of it, or all paths.

use std::io::Write;

use super::args::OutputOptions;
use super::paths::{self, Earlier, Search};
use super::watch::Watch;
use crate::recording::Carried;
use crate::render::Renderer;
use crate::trace::mtu::MtuTracer;
use crate::trace::paths::Paths;
use crate::trace::rounds::Rounds;
use crate::trace::{Engine, TraceConfig, Tracer};

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
    /// The rounds, if there are to be any.
    pub fn watch(self) -> Option<&'a Watch> {
        match self {
            Self::Watch(watch) => Some(watch),
            Self::Once | Self::Paths(_) => None,
        }
    }

    /// What was found before, if that is gone on with.
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

    /// What probes; where the path MTU is asked for, with datagrams of at most `largest` bytes.
    pub fn engine(self, config: TraceConfig, largest: u16) -> anyhow::Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Once if config.mtu => Box::new(MtuTracer::new(config, largest)?),
            Self::Once => Box::new(Tracer::new(config)?),
            Self::Watch(watch) => Box::new(Rounds::new(config, watch.plan)?),
            Self::Paths(search) => Box::new(Paths::new(config, search.plan)?),
        })
    }

    /// What writes the report to `out`.
    pub fn renderer(self, output: OutputOptions, out: Box<dyn Write>) -> Box<dyn Renderer> {
        match self {
            Self::Once => output.renderer(out),
            Self::Watch(watch) => watch.renderer(out),
            Self::Paths(search) => paths::renderer(search.plan, output, out),
        }
    }

    /// What a recording says of it.
    pub fn carried(self, config: &TraceConfig, output: OutputOptions) -> Carried {
        let OutputOptions { numeric, extensions, back, .. } = output;
        let carried = Carried { numeric, extensions, back, ..Carried::of(config.clone()) };
        match self {
            Self::Once => carried,
            Self::Watch(watch) => Carried { rounds: Some(watch.plan), ..carried },
            Self::Paths(search) => Carried { paths: Some(search.plan), ..carried },
        }
    }
}
