//! The arguments of rounds and of their reports.

use std::net::SocketAddr;

use clap::Args;

use super::output::forms;
use super::values::{at_least_one, parse_interval, parse_listen, parse_size, parse_until};
use super::{OutputOptions, TraceArgs};
use crate::render::Form;
use crate::render::Look;
use crate::render::columns::{self, Columns};
use crate::trace::rounds::Until;

/// `rtrace watch TARGET` and `rtrace report TARGET`.
#[derive(Debug, Args)]
#[command(
    mut_arg("format", |arg| arg.value_parser(forms(&Form::OF_ROUNDS))),
    mut_arg("inspect", |arg| arg.hide(true)),
    mut_arg("mtu", |arg| arg.hide(true)),
    mut_arg("queries", |arg| arg.help("Probes per hop and round: 1 to 1000 [default: 1]")),
    mut_arg("back", |arg| arg.help("JSON reports and the screen always have the length of the return path; other forms never do")),
    mut_arg("geo_db", |arg| arg.help("Show the city or country of responders on the screen and in JSON, from this database"))
)]
pub struct WatchArgs {
    /// The trace of each round.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Time between the starts of two rounds: seconds, or 1s, 100ms; 0.01 to 86400 [default: 1]
    #[arg(long, value_name = "TIME", help_heading = "Rounds", value_parser = parse_interval)]
    pub interval: Option<f64>,

    /// End after this many rounds: at least 1 [default: until interrupted or --until; for
    /// report without --until 10]
    #[arg(short = 'c', long, value_name = "N", alias = "report-cycles", help_heading = "Rounds", value_parser = at_least_one)]
    pub rounds: Option<u64>,

    /// Stop at this time (2026-12-24T18:00:00Z), or after this long (1h30m)
    #[arg(long, value_name = "TIME", help_heading = "Rounds", value_parser = parse_until)]
    pub until: Option<Until>,

    /// Show only the report at the end
    #[arg(short, long, help_heading = "Rounds")]
    pub report: bool,

    /// How the report looks.
    #[command(flatten)]
    pub look: ReportOptions,

    /// Serve metrics for Prometheus under /metrics at this address: 127.0.0.1:9469; port 0 takes
    /// a free one
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Output", value_parser = parse_listen)]
    pub prometheus: Option<SocketAddr>,

    /// How the recording rotates.
    #[command(flatten)]
    pub rotate: RotateOptions,
}

/// When a recording continues in another file.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RotateOptions {
    /// Start another file when a round ends and this one has reached SIZE: 10k, 100MB, 1GiB. Names get the time:
    /// out-20261124T120000.123Z.pcapng
    #[arg(long, value_name = "SIZE", help_heading = "Rounds", requires = "pcap", value_parser = parse_size)]
    pub rotate: Option<u64>,

    /// Keep the last N files of this run and remove older ones: at least 1 [default: all]
    #[arg(long, value_name = "N", help_heading = "Rounds", requires = "rotate", value_parser = at_least_one)]
    pub keep: Option<u64>,
}

/// The look of the report of rounds, also of their replay.
#[derive(Clone, Debug, Args)]
pub struct ReportOptions {
    /// Do not cut long names, as mtr --report-wide
    #[arg(long, alias = "report-wide", help_heading = "Report of rounds")]
    pub wide: bool,

    /// Show the address beside each name
    #[arg(short = 'b', long, help_heading = "Report of rounds")]
    pub show_ips: bool,

    #[arg(short = 'o', long, value_name = "LETTERS", help_heading = "Report of rounds", alias = "order", help = columns_help())]
    pub columns: Option<Columns>,
}

fn columns_help() -> String {
    format!(
        "Columns of the screen, and of reports as text and CSV: {} [default of reports: \"{}\"]",
        columns::describe(),
        columns::DEFAULT
    )
}

impl ReportOptions {
    /// The look of a report.
    pub fn look(&self, output: OutputOptions) -> Look {
        let columns = self.columns.clone().unwrap_or_default();
        Look { addresses: self.show_ips, wide: self.wide, columns, ..output.look() }
    }
}
