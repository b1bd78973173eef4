//! The command line: the commands, and the arguments of each.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory, Parser, Subcommand};

use super::help;
pub use super::lookups::LookupOptions;
pub use super::options::TraceOptions;
pub use super::output::DocumentOptions;
pub use super::output::OutputOptions;
use super::output::forms;
use super::paths::{self, PathsArgs};
pub use super::targets::ScreenArgs;
use super::values::{
    at_least_one, parse_clock, parse_interval, parse_listen, parse_size, parse_until, within,
};
pub use super::watch::ReportOptions;
use crate::link::live::Clock;
use crate::probe::FlowMode;
use crate::render::Form;
use crate::trace::rounds::Until;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The value of `--simulate` that stands for the network that comes with rtrace.
pub const BUILT_IN: &str = "built-in";
/// The value of `--stats` that stands for stderr.
pub const STDERR: &str = "-";

/// A traceroute whose evidence is the packets themselves.
#[derive(Debug, Parser)]
#[command(
    name = "rtrace",
    version,
    about,
    long_about = None,
    after_help = help::ALL,
    styles = STYLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "rtrace [OPTIONS] TARGET [PACKETLEN]\n       rtrace replay FILE [OPTIONS]\n       rtrace trace TARGET [PACKETLEN]"
)]
pub struct Cli {
    /// What else than a trace is asked for.
    #[command(subcommand)]
    pub command: Option<Action>,

    /// The trace.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// For debugging: restrict neither system calls nor files
    #[arg(long, global = true, hide = true)]
    pub no_sandbox: bool,
}

/// The commands that have a name.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Trace the path to a host: the spelled-out form, for a host called "replay"
    #[command(after_help = help::TRACE)]
    Trace(TraceArgs),
    /// Report a recorded trace from its packets, without network or privilege
    #[command(after_help = help::REPLAY)]
    Replay(ReplayArgs),
    /// Trace the paths to hosts again and again and show what they do over time; or show such a recording
    #[command(after_help = help::WATCH)]
    Watch(ScreenArgs),
    /// Trace the path to a host and show what it does to packets: short for --inspect --flow paris
    #[command(
        after_help = help::INSPECT,
        mut_arg("format", |arg| arg.value_parser(forms(&Form::OF_INSPECTION))),
        mut_arg("inspect", |arg| arg.hide(true)),
        mut_arg("mtu", |arg| arg.hide(true))
    )]
    Inspect(TraceArgs),
    /// Compare two traces of one path, or two maps of all paths: whether they have changed
    #[command(after_help = help::DIFF)]
    Diff(DiffArgs),
    /// Show a probe of a recording and its reply, field by field and byte by byte
    #[command(after_help = help::SHOW)]
    Show(ShowArgs),
    /// Watch for some rounds (10 unless told otherwise), then report, as mtr --report
    #[command(after_help = help::REPORT, mut_arg("report", |arg| arg.hide(true)))]
    Report(WatchArgs),
    /// Find all paths to a host: every router and link that load balancers spread flows over
    #[command(after_help = help::PATHS)]
    Paths(PathsArgs),
    /// Say where the configuration file is and what it sets, or what it could hold
    #[command(after_help = help::CONFIG)]
    Config(ConfigArgs),
}

/// `rtrace TARGET` and `rtrace trace TARGET`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Host name or address to trace; an IPv6 link-local address with its zone after "%"
    #[arg(value_name = "TARGET", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub target: Option<String>,

    /// Probes and waiting.
    #[command(flatten)]
    pub options: TraceOptions,

    /// What is written.
    #[command(flatten)]
    pub output: OutputOptions,

    /// What is looked up.
    #[command(flatten)]
    pub lookups: LookupOptions,

    /// Record every probe and reply; FILE.pcapng also holds names and comments, "-" is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub pcap: Option<PathBuf>,

    /// Say on stderr, or as JSON in FILE.json, how the run went: interface, clock, kernel drops
    #[arg(long, value_name = "FILE.json", num_args = 0..=1, require_equals = true, default_missing_value = STDERR, help_heading = "Output")]
    pub stats: Option<PathBuf>,

    /// Whose clock stamps the frames: the kernel's, or that of the network card, where it has stamps
    /// for what it sends and all that it receives [default: kernel]
    #[arg(long, value_name = "kernel|hardware", help_heading = "Waiting", value_parser = parse_clock, conflicts_with = "simulate")]
    pub clock: Option<Clock>,

    /// Trace through a simulated network: the built-in one, or that of TOPOLOGY.toml
    #[arg(long, value_name = "TOPOLOGY.toml", num_args = 0..=1, require_equals = true, default_missing_value = BUILT_IN, help_heading = "Route")]
    pub simulate: Option<PathBuf>,
}

/// `rtrace watch TARGET` and `rtrace report TARGET`.
#[derive(Debug, Args)]
#[command(
    mut_arg("format", |arg| arg.value_parser(forms(&Form::OF_ROUNDS))),
    mut_arg("inspect", |arg| arg.hide(true)),
    mut_arg("mtu", |arg| arg.hide(true)),
    mut_arg("queries", |arg| arg.help("Probes per hop and round: 1 to 1000 [default: 1]")),
    mut_arg("back", |arg| arg.help("JSON reports and the screen always have the length of the return path; other forms never do")),
    mut_arg("geo_db", |arg| arg.help("Show on the screen and in JSON where responders are: from this database, city or country"))
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

    /// Only report when it is over
    #[arg(short, long, help_heading = "Rounds")]
    pub report: bool,

    /// How the report looks.
    #[command(flatten)]
    pub look: ReportOptions,

    /// Serve metrics for Prometheus under /metrics at this address: 127.0.0.1:9469; port 0 takes
    /// one that is free
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Output", value_parser = parse_listen)]
    pub prometheus: Option<SocketAddr>,

    /// How the recording rotates.
    #[command(flatten)]
    pub rotate: RotateOptions,
}

/// When a recording goes on in another file.
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

/// `rtrace diff BEFORE AFTER`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A recording, or a JSON document written with --json
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,

    /// Another one, of a later time
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,

    /// What is written.
    #[command(flatten)]
    pub form: DocumentOptions,
}

/// `rtrace show FILE FRAME`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A recording: pcap or pcapng, by rtrace or another tool
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The number of a probe's or a reply's frame, of any trace and round, as Wireshark and --json have it
    #[arg(value_name = "FRAME", required_unless_present = "hop", value_parser = at_least_one)]
    pub frame: Option<u64>,

    /// The first probe of this hop instead, of the first trace
    #[arg(long, value_name = "TTL", conflicts_with = "frame", value_parser = within(1_u8, u8::MAX))]
    pub hop: Option<u8>,

    /// Look only at this trace, by its number in rtrace replay --list [default: all]
    #[arg(long, value_name = "N", value_parser = within(1_u32, u32::MAX))]
    pub trace: Option<u32>,

    /// What is written.
    #[command(flatten)]
    pub form: DocumentOptions,
}

/// `rtrace config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Print a file with every key, explained and at its default
    #[arg(long)]
    pub default: bool,

    /// Say what this file sets
    #[arg(long = "config", value_name = "FILE", conflicts_with = "default")]
    pub config_file: Option<PathBuf>,
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

    /// The address among what follows the file.
    #[arg(skip)]
    pub target: Option<IpAddr>,

    /// The files among it.
    #[arg(skip)]
    pub further: Vec<PathBuf>,

    /// Probes and waiting.
    #[command(flatten)]
    pub options: TraceOptions,

    /// What is written.
    #[command(flatten)]
    pub output: OutputOptions,

    /// How the report looks, if the recording is of rounds.
    #[command(flatten)]
    pub look: ReportOptions,

    /// What is looked up, which is nothing unless asked for.
    #[command(flatten)]
    pub lookups: LookupOptions,

    /// List the traces in the recording: when, from where to where, what kind, which tool it looks like
    #[arg(long, help_heading = "Output", conflicts_with_all = ["trace", "resolve"])]
    pub list: bool,

    /// Report only this trace, by its number in the list [default: all]
    #[arg(long, value_name = "N", help_heading = "Output", value_parser = within(1_u32, u32::MAX))]
    pub trace: Option<u32>,

    /// Look up the names of responders, which a replay otherwise never does
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

    /// Sorts apart the address, the length of the probes and the files, of which several can be listed, but not reported.
    fn sort_out(&mut self) -> Result<(), clap::Error> {
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

impl Cli {
    /// What these arguments of the process ask for, the first of them being its name.
    ///
    /// # Errors
    /// When clap does not take them, which is also how it says that help is asked for.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut cli = parsed(normalise(args))?;
        if let Some(Action::Inspect(trace)) = &mut cli.command {
            trace.output.inspect = true;
            // Where ways part, what one hop quotes says nothing of the next on another way.
            trace.options.flow.get_or_insert(FlowMode::Paris);
        }
        if let Some(Action::Replay(replay)) = &mut cli.command {
            replay.sort_out()?;
        }
        let document = match &cli.command {
            Some(Action::Diff(diff)) => diff.form,
            Some(Action::Show(show)) => show.form,
            _ => DocumentOptions::default(),
        };
        if document.contradicts_itself() {
            return Err(contradiction(Form::Json));
        }
        let output = match &cli.command {
            Some(Action::Replay(replay)) => &replay.output,
            Some(Action::Trace(trace) | Action::Inspect(trace)) => &trace.output,
            Some(Action::Watch(screen)) => &screen.watch.trace.output,
            Some(Action::Report(watch)) => &watch.trace.output,
            Some(Action::Paths(paths)) => &paths.trace.output,
            Some(Action::Diff(_) | Action::Show(_) | Action::Config(_)) => return Ok(cli),
            None => &cli.trace.output,
        };
        if output.contradicts_itself() {
            return Err(contradiction(output.form()));
        }
        if output.cannot_inspect() {
            let message = "--inspect writes text or JSON: leave out the other form";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        if let Some(Action::Replay(replay)) = &cli.command
            && replay.list
            && !matches!(output.form(), Form::Text | Form::Json)
        {
            let message = "--list writes text or JSON: leave out the other form";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        if let Some(Action::Paths(args)) = &cli.command
            && let Some(message) = paths::refused(&args.trace.options, args.trace.output)
        {
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        Ok(cli)
    }
}

/// That a form is asked for in short, and another by its name.
fn contradiction(form: Form) -> clap::Error {
    let short = form.describe().0;
    let message =
        format!("--{short} is short for --format {short}: give only one of the two forms");
    clap::Error::raw(ErrorKind::ArgumentConflict, message)
}

/// The commands and their options. A number below 0 after an option is its value, though not a good one.
pub fn command() -> Command {
    fn with_values(command: Command) -> Command {
        let command = command.mut_args(|arg| {
            let has_value = arg.get_action().takes_values();
            let is_option = has_value && !arg.is_positional() && !arg.is_require_equals_set();
            if is_option { arg.allow_negative_numbers(true) } else { arg }
        });
        command.mut_subcommands(with_values)
    }
    with_values(Cli::command())
}

/// What these arguments ask for. No option takes a number below 0: only an error is worth the time to look for one.
fn parsed(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let error = match Cli::try_parse_from(&args) {
        Err(error) if error.kind() == ErrorKind::UnknownArgument => error,
        parsed => return parsed,
    };
    Err(command().try_get_matches_from(args).err().unwrap_or(error))
}

/// Whether a command has this name.
pub fn is_command(name: &str) -> bool {
    Cli::command().find_subcommand(name).is_some()
}

/// The command whose name is among the arguments, if they would do were it the first of them.
pub fn command_behind(given: &[OsString]) -> Option<&str> {
    let at = given.iter().skip(1).position(|arg| arg.to_str().is_some_and(is_command))? + 1;
    let mut moved = given.to_vec();
    let name = moved.remove(at);
    moved.insert(1, name);
    let would_do = at > 1 && parsed(normalise(moved)).is_ok();
    given.get(at).and_then(|name| name.to_str()).filter(|_| would_do)
}

/// The arguments as clap can read them: `--simulate TOPOLOGY.toml` and `--stats FILE.json` take their
/// value with a space only where it is the name of a file, by its ending or a slash, and not the target.
pub fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const OPTIONAL_VALUES: [(&str, &str); 2] = [("--simulate", ".toml"), ("--stats", ".json")];
    let mut normal: Vec<OsString> = Vec::new();
    for arg in args {
        let text = arg.to_string_lossy();
        let is_file = |suffix: &str| text.ends_with(suffix) || text.contains('/');
        let takes = |last: &&mut OsString| {
            let mut options = OPTIONAL_VALUES.iter();
            let is_value = !text.starts_with('-');
            is_value && options.any(|(option, suffix)| **last == *option && is_file(suffix))
        };
        match normal.last_mut().filter(takes) {
            Some(last) => {
                last.push("=");
                last.push(&arg);
            }
            None => normal.push(arg),
        }
    }
    normal
}

#[cfg(test)]
mod tests;
