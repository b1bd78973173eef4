//! The arguments of `rtrace watch`: those of a trace and its rounds, but with several targets, or a recording.

use std::path::PathBuf;

use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches, arg, value_parser};

use super::args::WatchArgs;

/// `rtrace watch TARGET...` and `rtrace watch --replay FILE`.
#[derive(Debug)]
pub struct ScreenArgs {
    /// What is watched; none with a recording.
    pub targets: Vec<String>,
    /// How each of them is.
    pub watch: WatchArgs,
    /// The recording that is shown instead.
    pub replay: Option<PathBuf>,
}

impl ScreenArgs {
    /// The same arguments with several targets in the place of one. What follows the targets is one more of
    /// them, so that the length of the probes becomes an option.
    fn several(command: Command) -> Command {
        let replay =
            arg!(--replay <FILE> "Show the recording of a watch instead: stop, step, go to a time")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all(["target", "pcap", "simulate", "report"])
                .help_heading("Rounds");
        let command = command.arg(replay);
        command
            .mut_arg("target", |target| {
                target
                    .action(ArgAction::Append)
                    .num_args(1..)
                    .required(false)
                    .required_unless_present("replay")
                    .help("Host names or addresses to watch; an IPv6 link-local address with its zone after \"%\"")
            })
            .mut_arg("packet_len", |len| len.long("packetlen").help_heading("Probes"))
    }
}

impl Args for ScreenArgs {
    fn augment_args(command: Command) -> Command {
        Self::several(WatchArgs::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::several(WatchArgs::augment_args_for_update(command))
    }
}

impl FromArgMatches for ScreenArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let all = matches.get_many::<String>("target");
        let targets = all.into_iter().flatten().cloned().collect();
        let replay = matches.get_one::<PathBuf>("replay").cloned();
        Ok(Self { targets, watch: WatchArgs::from_arg_matches(matches)?, replay })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
