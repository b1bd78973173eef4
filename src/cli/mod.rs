//! The command line: from arguments to a configuration and a choice of outputs, and the running of
//! both. Here alone are errors gathered into one line on stderr and turned into an exit status.

mod awaiting;
mod compared;
mod config;
mod configure;
mod confinement;
mod console;
mod contents;
mod diff;
mod earlier;
mod facts;
mod flags;
mod hints;
mod keyboard;
mod lacking;
mod list;
mod live;
mod lookups;
mod opened;
mod paths;
mod playing;
mod prober;
mod randomness;
mod recorder;
mod replay;
mod reports;
mod screen;
mod session;
mod show;
mod simulated;
mod target;
mod task;
mod together;
mod trace;
mod twice;
mod usage;
mod watch;
mod words;

use std::ffi::OsString;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use signal_hook::consts::SIGXFSZ;

use crate::privilege::files;
use crate::untrusted::Untrusted;
use flags::{Action, Cli, WatchArgs};
use task::Task;
use watch::Watch;

use crate::privilege;
use crate::sandbox;

/// How a run ended, if it ran at all; in order of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Reached,
    NotReached,
    /// Something failed on the way; it was said on stderr.
    Failed,
    /// By this signal.
    Interrupted(u8),
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Reached => 0,
            Status::NotReached => 1,
            Status::Failed => 2,
            Status::Interrupted(signal) => 128_u8.saturating_add(signal),
        })
    }
}

/// Runs the program with the process's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    console::look();
    if let Err(error) = privilege::assume_invoker() {
        complain(&error.to_string());
        return Status::Failed.into();
    }
    // A file that reaches its limit (RLIMIT_FSIZE) is an error of that write, not the end of the program.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let given: Vec<OsString> = std::env::args_os().collect();
    if confinement::is_asked_for(&given) {
        return ended(confinement::run(&given));
    }
    let args = match config::arguments(given.clone()) {
        Ok(args) => args,
        Err(error) => {
            complain(&in_one_line(&error));
            return Status::Failed.into();
        }
    };
    let cli = match Cli::from_args(args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &given),
    };
    if cli.no_sandbox {
        complain("--no-sandbox: system calls and files are not restricted");
        sandbox::switch_off();
    }
    ended(match cli.command {
        Some(Action::Replay(args)) => replay::run(&args, refused_in_maps(given).as_deref()),
        Some(Action::Trace(args) | Action::Inspect(args)) => trace::run(&args, Task::Once),
        Some(Action::Config(args)) => config::run(&args),
        Some(Action::Diff(args)) => diff::run(&args),
        Some(Action::Show(args)) => show::run(&args),
        Some(Action::Watch(args)) => prober::run(&args),
        Some(Action::Report(args)) => report(&args),
        Some(Action::Paths(args)) => paths::run(&args),
        None => trace::run(&cli.trace, Task::Once),
    })
}

/// What a run came to, as an exit status; an error is said.
fn ended(outcome: anyhow::Result<Status>) -> ExitCode {
    console::end();
    match outcome {
        Ok(status) => status.into(),
        Err(error) => {
            complain(&in_one_line(&error));
            Status::Failed.into()
        }
    }
}

/// What the command line of a replay, without what the configuration file adds, asks of maps that they have not.
fn refused_in_maps(given: Vec<OsString>) -> Option<String> {
    match Cli::from_args(given).ok()?.command? {
        Action::Replay(args) => flags::refused_in_maps(&args.options, args.output),
        _ => None,
    }
}

fn report(args: &WatchArgs) -> anyhow::Result<Status> {
    trace::run(&args.trace, Task::Watch(&Watch::of(args, true)?))
}

/// What clap did not take of what was given: help and version, which are asked for, and everything else.
fn refuse(error: &clap::Error, given: &[OsString]) -> ExitCode {
    if error.exit_code() == 0 {
        // A closed pipe is not an error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    complain(&usage::refusal(error, given));
    Status::Failed.into()
}

/// The causes of an error one after the other, without those that a message before already quotes.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            let joint = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{joint}{cause}");
        }
    }
    line
}

/// The text of a topology or configuration file has no more octets than this.
const LONGEST_TEXT: u64 = 4 << 20;

/// What a topology or configuration file says.
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    files::read(path)?.take(LONGEST_TEXT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_TEXT {
        let message = format!("it has more than {} MiB", LONGEST_TEXT >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// Writes `text`, which is `what`, to stdout. A closed pipe is not an error.
fn write_out(text: &str, what: &str) -> anyhow::Result<()> {
    write_bytes(text.as_bytes(), what).map(drop)
}

/// Writes bytes to stdout; returns whether anybody reads them.
fn write_bytes(bytes: &[u8], what: &str) -> anyhow::Result<bool> {
    let mut out = console::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true).with_context(|| format!("cannot write {what}")),
    }
}

/// One line on stderr. It may quote file names, options, names of interfaces and what a file says.
fn complain(message: &str) {
    if let Some(line) = screen::hold(Untrusted::from(message).shown()) {
        console::say(&line);
    }
}
