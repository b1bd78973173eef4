//! The arguments of a trace, which other commands have too.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::values::{LinkChoice, parse_clock, parse_link};
use super::{LookupOptions, OutputOptions, TraceOptions};
use crate::link::live::Clock;

/// The value of `--simulate` for the built-in network.
pub const BUILT_IN: &str = "built-in";
/// The value of `--stats` for stderr.
pub const STDERR: &str = "-";

/// `rtrace TARGET` and `rtrace trace TARGET`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Host name or address to trace; an IPv6 link-local address with its zone after "%"
    #[arg(value_name = "TARGET", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub target: Option<String>,

    /// Probes and waiting.
    #[command(flatten)]
    pub options: TraceOptions,

    /// The format of the output.
    #[command(flatten)]
    pub output: OutputOptions,

    /// The lookups.
    #[command(flatten)]
    pub lookups: LookupOptions,

    /// Record every probe and reply; FILE.pcapng also holds names and comments, "-" is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub pcap: Option<PathBuf>,

    /// Report on stderr, or as JSON in FILE.json, how the run went: interface, clock, kernel drops
    #[arg(long, value_name = "FILE.json", num_args = 0..=1, require_equals = true, default_missing_value = STDERR, help_heading = "Output")]
    pub stats: Option<PathBuf>,

    /// Clock that stamps the frames: the kernel's, or the network card's if the card stamps every
    /// frame that it sends and receives [default: kernel]
    #[arg(long, value_name = "kernel|hardware", help_heading = "Waiting", value_parser = parse_clock, conflicts_with = "simulate")]
    pub clock: Option<Clock>,

    /// Send and capture packets, as root may, or use UDP and ping sockets, as everybody may: replies are then
    /// reconstructed from what the kernel reports [default: auto]
    #[arg(long, value_name = "auto|packet|socket", help_heading = "Route", value_parser = parse_link, conflicts_with = "simulate")]
    pub link: Option<LinkChoice>,

    /// Trace through a simulated network: the built-in one, or the one in TOPOLOGY.toml
    #[arg(long, value_name = "TOPOLOGY.toml", num_args = 0..=1, require_equals = true, default_missing_value = BUILT_IN, help_heading = "Route")]
    pub simulate: Option<PathBuf>,
}
