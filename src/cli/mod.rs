//! The command line: from arguments to a configuration and a choice of outputs, and the running of
//! both. Here alone are errors gathered into one line on stderr and turned into an exit status.

mod args;
mod replay;
mod session;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// How a run ended, if it ran at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    let cli = match Cli::try_parse_from(args::normalise(std::env::args_os())) {
        Ok(cli) => cli,
        // Help and version come this way too; a closed pipe is not an error.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match cli.command {
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Trace(args)) => trace::run(&args),
        None => trace::run(&cli.trace),
    };
    match outcome {
        Ok(status) => status.into(),
        Err(error) => {
            complain(&format!("{error:#}"));
            Status::Failed.into()
        }
    }
}

/// One line on stderr. It may quote file names and options: control characters are not let through.
fn complain(message: &str) {
    let line: String =
        message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    eprintln!("rtrace: {line}");
}
