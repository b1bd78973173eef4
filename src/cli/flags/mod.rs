//! The command line: the commands, and the arguments of each.

mod help;
mod lookups;
mod options;
mod output;
mod paths;
mod recordings;
mod rounds;
mod screen;
mod trace;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory, Parser, Subcommand};

pub use lookups::LookupOptions;
pub use options::TraceOptions;
use output::forms;
pub use output::{DocumentOptions, OutputOptions};
pub use paths::{PathsArgs, UNUSED as UNUSED_IN_MAPS, refused as refused_in_maps};
pub use recordings::{DiffArgs, ReplayArgs, ShowArgs};
pub use rounds::{ReportOptions, RotateOptions, WatchArgs};
pub use screen::ScreenArgs;
pub use trace::{BUILT_IN, STDERR, TraceArgs};
pub use values::{LinkChoice, of_calendar};

use crate::probe::FlowMode;
use crate::render::Form;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

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
    /// The command, if it is not a plain trace.
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
    /// Trace the path to a host: the full form, for a host called "replay"
    #[command(after_help = help::TRACE)]
    Trace(TraceArgs),
    /// Report a recorded trace from its packets, without network or privilege
    #[command(after_help = help::REPLAY)]
    Replay(ReplayArgs),
    /// Trace the paths to hosts repeatedly and show how they change; or play a recording
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
    /// Watch for some rounds (10 by default), then report, as mtr --report
    #[command(after_help = help::REPORT, mut_arg("report", |arg| arg.hide(true)))]
    Report(WatchArgs),
    /// Find all paths to a host: every router and link that load balancers spread flows over
    #[command(after_help = help::PATHS)]
    Paths(PathsArgs),
    /// Show where the configuration file is and what it sets, or print a template
    #[command(after_help = help::CONFIG)]
    Config(ConfigArgs),
}

/// `rtrace config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Print a file with every key, explained and at its default
    #[arg(long)]
    pub default: bool,

    /// Show what this file sets
    #[arg(long = "config", value_name = "FILE", conflicts_with = "default")]
    pub config_file: Option<PathBuf>,
}

impl Cli {
    /// Parses the arguments of the process, the first of which is its name.
    ///
    /// # Errors
    /// When clap rejects them; a request for help is also an error.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut cli = parsed(normalise(args))?;
        if let Some(Action::Inspect(trace)) = &mut cli.command {
            trace.output.inspect = true;
            // Where paths diverge, a hop's quotes say nothing about the next hop on another path.
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

/// The error for two forms, one by its short option and one by --format.
fn contradiction(form: Form) -> clap::Error {
    let short = form.describe().0;
    let message =
        format!("--{short} is short for --format {short}: give only one of the two forms");
    clap::Error::raw(ErrorKind::ArgumentConflict, message)
}

/// The commands and their options. A negative number after an option is its value, if a wrong one.
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

/// A plain trace. To declare the options of all commands takes longer than to parse, and delays the first probe.
#[derive(Parser)]
struct Plain {
    #[command(flatten)]
    trace: TraceArgs,
    #[arg(long)]
    no_sandbox: bool,
}

/// Parses the arguments. No option takes a negative number, so only an error is checked for one.
fn parsed(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let is_command = |arg: &OsString| arg.to_str().is_some_and(Action::has_subcommand);
    if !args.iter().any(is_command)
        && let Ok(Plain { trace, no_sandbox }) = Plain::try_parse_from(&args)
    {
        return Ok(Cli { command: None, trace, no_sandbox });
    }
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

/// The command whose name is among the arguments, if they were valid with the command first.
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
