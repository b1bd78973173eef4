//! `rtrace paths`: what it asks besides a trace, and in which forms it is written.

use std::io::Write;

use clap::Args;

use super::args::{OutputOptions, TraceArgs};
use crate::render::paths::PathsReport;
use crate::render::{Form, Renderer};
use crate::trace::paths::{Confidence, Plan};

/// `rtrace paths TARGET`.
#[derive(Debug, Args)]
pub struct PathsArgs {
    /// The trace.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Find all next hops of a router with this chance, in percent: 50 to 99.9999 [default: 95]
    #[arg(long, value_name = "PERCENT", help_heading = "Paths")]
    pub confidence: Option<f64>,

    /// Find all of the whole graph with that chance, not only those of each router
    #[arg(long, help_heading = "Paths")]
    pub whole_graph: bool,

    /// Ask router by router (MDA) from the beginning, not hop by hop where that will do (MDA-Lite)
    #[arg(long, help_heading = "Paths")]
    pub mda: bool,

    /// Most probes per second [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Paths")]
    pub rate: Option<f64>,

    /// Most probes: 1 to 65000 [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Paths")]
    pub max_probes: Option<u32>,
}

impl PathsArgs {
    /// What they ask for.
    pub fn plan(&self) -> Plan {
        let usual = Plan::default();
        Plan {
            confidence: Confidence {
                percent: self.confidence.unwrap_or(usual.confidence.percent),
                whole_graph: self.whole_graph,
            },
            every_router: self.mda,
            rate: self.rate.unwrap_or(usual.rate),
            max_probes: self.max_probes.unwrap_or(usual.max_probes),
        }
    }
}

/// What of the arguments multipath traces have no use for, if anything.
pub fn refused(args: &PathsArgs) -> Option<String> {
    let TraceArgs { options, output, .. } = &args.trace;
    let given = [
        ("--queries", options.queries.is_some()),
        ("--flow", options.flow.is_some()),
        ("--sim-queries", options.in_flight.is_some()),
        ("--sendwait", options.send_wait.is_some()),
        ("--inspect", output.inspect),
        ("--extensions", output.extensions),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        return Some(format!("{name} is not for rtrace paths: leave it out"));
    }
    misfit(output.form(), true)
}

/// Why a report of all paths, or of another trace, cannot be written in this form, if so.
pub fn misfit(form: Form, of_paths: bool) -> Option<String> {
    let (forms, what) = if of_paths {
        (&Form::OF_PATHS[..], "all paths are written")
    } else {
        (&Form::ALL[..], "a trace that is not of all paths is written")
    };
    (!forms.contains(&form)).then(|| {
        let names: Vec<_> = forms.iter().map(|form| form.describe().0).collect();
        format!("{what} as {}: leave out the form, or choose one of these", names.join(", "))
    })
}

/// What writes the report.
pub fn renderer(plan: Plan, output: OutputOptions, out: Box<dyn Write>) -> Box<dyn Renderer> {
    Box::new(PathsReport::new(out, output.form(), output.numeric, plan))
}
