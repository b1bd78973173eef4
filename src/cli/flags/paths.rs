//! The arguments of `rtrace paths`.

use std::path::PathBuf;

use clap::Args;

use super::output::forms;
use super::values::{between, within};
use super::{OutputOptions, TraceArgs, TraceOptions};
use crate::render::Form;
use crate::trace::paths::{Confidence, Plan};

/// `rtrace paths TARGET`.
#[derive(Debug, Args)]
#[command(
    mut_arg("format", |arg| arg.value_parser(forms(&Form::OF_PATHS))),
    mut_args(|arg| { let unused = is_unused(&arg); arg.hide(unused) })
)]
pub struct PathsArgs {
    /// The trace.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Confidence of finding every next hop of a router, in percent: 50 to 99.9999 [default: 95]
    #[arg(long, value_name = "PERCENT", help_heading = "Paths", value_parser = between(50.0, 99.9999, ""))]
    pub confidence: Option<f64>,

    /// Apply the confidence to the whole graph, not to each router
    #[arg(long, help_heading = "Paths")]
    pub whole_graph: bool,

    /// Probe router by router (MDA) from the start, not hop by hop where that is enough (MDA-Lite)
    #[arg(long, help_heading = "Paths")]
    pub mda: bool,

    /// Most probes per second: 0.1 to 1000000 [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Paths", value_parser = between(0.1, 1e6, ""))]
    pub rate: Option<f64>,

    /// Most probes, including those of --resume: 1 to 65000 [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Paths", value_parser = within(1_u32, 65_000))]
    pub max_probes: Option<u32>,

    /// Resume the run in this recording of rtrace paths, with its flows and options
    #[arg(long, value_name = "FILE", help_heading = "Paths")]
    pub resume: Option<PathBuf>,
}

impl PathsArgs {
    /// The plan with these options in place of the usual ones.
    pub fn plan(&self, usual: Plan) -> Plan {
        Plan {
            confidence: Confidence {
                percent: self.confidence.unwrap_or(usual.confidence.percent),
                whole_graph: self.whole_graph || usual.confidence.whole_graph,
            },
            every_router: self.mda || usual.every_router,
            rate: self.rate.unwrap_or(usual.rate),
            // A budget that is spent is not resumed.
            max_probes: self.max_probes.unwrap_or(Plan::default().max_probes),
        }
    }
}

/// Options of a trace that multipath traces do not use.
pub const UNUSED: [&str; 9] = [
    "--queries",
    "--flow",
    "--sim-queries",
    "--sendwait",
    "--mtu",
    "--inspect",
    "--extensions",
    "--back",
    "--csv",
];

fn is_unused(arg: &clap::Arg) -> bool {
    arg.get_long().is_some_and(|long| UNUSED.iter().any(|it| it.strip_prefix("--") == Some(long)))
}

/// The message for arguments that multipath traces do not use, if there are any.
pub fn refused(options: &TraceOptions, output: OutputOptions) -> Option<String> {
    let given = [
        options.queries.is_some(),
        options.flow.is_some(),
        options.in_flight.is_some(),
        options.send_wait.is_some(),
        options.mtu,
        output.inspect,
        output.extensions,
        output.back,
        output.csv,
    ];
    let (name, _) = UNUSED.iter().zip(given).find(|(_, given)| *given)?;
    Some(format!("{name} is not for rtrace paths: leave it out"))
}
