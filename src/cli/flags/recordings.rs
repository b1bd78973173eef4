//! The arguments of commands that read recordings.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::error::ErrorKind;

use super::output::forms;
use super::values::{at_least_one, within};
use super::{
    DocumentOptions, LookupOptions, OutputOptions, ReportOptions, ScreenArgs, TraceOptions,
};
use crate::render::Form;

/// `rtrace diff BEFORE AFTER`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A recording, or a JSON document written with --json
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,

    /// A later recording or document
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,

    /// The format of the output.
    #[command(flatten)]
    pub form: DocumentOptions,
}

/// `rtrace show FILE FRAME`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A recording: pcap or pcapng, by rtrace or another tool
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The frame number of a probe or reply, in any trace and round, as in Wireshark and --json
    #[arg(value_name = "FRAME", required_unless_present = "hop", value_parser = at_least_one)]
    pub frame: Option<u64>,

    /// Take the first probe of this hop in the first trace instead
    #[arg(long, value_name = "TTL", conflicts_with = "frame", value_parser = within(1_u8, u8::MAX))]
    pub hop: Option<u8>,

    /// Look only at this trace, by its number in rtrace replay --list [default: all]
    #[arg(long, value_name = "N", value_parser = within(1_u32, u32::MAX))]
    pub trace: Option<u32>,

    /// The format of the output.
    #[command(flatten)]
    pub form: DocumentOptions,
}

/// `rtrace replay FILE`.
#[derive(Debug, Args)]
#[command(
    mut_arg("format", |arg| arg.value_parser(forms(&Form::OF_ANY))),
    // What follows the file is sorted out by itself, so that the length of the probes is only an option there.
    mut_arg("packet_len", |len| len.long("packet-length").hide(true))
)]
pub struct ReplayArgs {
    /// A recording: pcap or pcapng, by rtrace or another tool; "-" is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Only the traces to this address [default: every trace in the recording]; with --list also further files
    #[arg(value_name = "TARGET] [PACKETLEN")]
    rest: Vec<OsString>,

    /// The address among the arguments after the file.
    #[arg(skip)]
    pub target: Option<IpAddr>,

    /// The files among the arguments after the first.
    #[arg(skip)]
    pub further: Vec<PathBuf>,

    /// Probes and waiting.
    #[command(flatten)]
    pub options: TraceOptions,

    /// The format of the output.
    #[command(flatten)]
    pub output: OutputOptions,

    /// How the report looks, if the recording is of rounds.
    #[command(flatten)]
    pub look: ReportOptions,

    /// The lookups: none by default.
    #[command(flatten)]
    pub lookups: LookupOptions,

    /// List the traces in the recording: time, source and target, probe type, likely tool
    #[arg(long, help_heading = "Output", conflicts_with_all = ["trace", "resolve"])]
    pub list: bool,

    /// Report only this trace, by its number in the list [default: all]
    #[arg(long, value_name = "N", help_heading = "Output", value_parser = within(1_u32, u32::MAX))]
    pub trace: Option<u32>,

    /// Look up the names of responders (a replay does not by default)
    #[arg(long, help_heading = "Output", conflicts_with = "numeric")]
    pub resolve: bool,
}

impl ReplayArgs {
    /// A report of a recording in place of the screen of a watch.
    pub fn of_screen(screen: &ScreenArgs, file: &Path) -> Self {
        let watch = &screen.watch;
        Self {
            file: file.to_owned(),
            rest: Vec::new(),
            target: None,
            further: Vec::new(),
            options: watch.trace.options.clone(),
            output: watch.trace.output,
            look: watch.look.clone(),
            lookups: watch.trace.lookups.clone(),
            list: false,
            trace: None,
            resolve: false,
        }
    }

    /// Separates the address, the probe length and the files. Several files can be listed, but only one reported.
    pub(super) fn sort_out(&mut self) -> Result<(), clap::Error> {
        for word in std::mem::take(&mut self.rest) {
            let text = word.to_string_lossy();
            if text.parse::<u64>().is_ok() {
                let len = within(28_u16, u16::MAX)(&text).map_err(|error| {
                    let message = format!("invalid value {text} for PACKETLEN: {error}");
                    clap::Error::raw(ErrorKind::ValueValidation, message)
                })?;
                self.options.packet_len_option.get_or_insert(len);
                continue;
            }
            match text.parse::<IpAddr>() {
                Ok(address) if self.target.is_none() => self.target = Some(address),
                Ok(address) => {
                    let message = format!("{address} is a second target: give one");
                    return Err(clap::Error::raw(ErrorKind::TooManyValues, message));
                }
                Err(_) if self.list => self.further.push(word.into()),
                Err(_) => {
                    let message = format!(
                        "{text} is not an address, and only one recording is reported at a time: --list takes several"
                    );
                    return Err(clap::Error::raw(ErrorKind::TooManyValues, message));
                }
            }
        }
        Ok(())
    }
}
