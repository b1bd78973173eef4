//! The arguments of `rtrace watch`: those of a trace and its rounds, but with several targets, or a recording.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches, arg, value_parser};

use super::WatchArgs;
use crate::render::tui::UiState;
use crate::render::tui::theme::Theme;

/// `rtrace watch TARGET...` and `rtrace watch --replay FILE`.
#[derive(Debug)]
pub struct ScreenArgs {
    /// The targets; none with a recording.
    pub targets: Vec<String>,
    /// How each target is watched.
    pub watch: WatchArgs,
    /// The recording to show instead.
    pub replay: Option<PathBuf>,
    /// The colours of the screen.
    pub theme: Theme,
}

impl ScreenArgs {
    /// Makes the target repeatable. An argument after the targets is another target, so the probe length is only an option
    /// here.
    fn several(command: Command) -> Command {
        let replay =
            arg!(--replay <FILE> "Show a recording instead, \"-\" is stdin: play, step, go to a time")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all([
                    "target",
                    "pcap",
                    "simulate",
                    "report",
                    "prometheus",
                    "stats",
                    "rounds",
                    "interval",
                ])
                .help_heading("Rounds");
        let theme =
            arg!(--theme <THEME> "Colour theme of the screen: dark, light or plain [default: dark; plain with NO_COLOR]")
                .value_parser(Theme::from_str)
                .help_heading("Output");
        let command = command.arg(replay).arg(theme);
        command
            .mut_arg("target", |target| {
                target
                    .action(ArgAction::Append)
                    .num_args(1..)
                    .required(false)
                    .required_unless_present("replay")
                    .help("Host names or addresses to watch, one or several; an IPv6 link-local address with its zone after \"%\"")
            })
            .mut_arg("packet_len", |len| len.long("packet-length").hide(true))
    }
}

impl ScreenArgs {
    /// What the screen shows at first.
    pub fn state(&self, numeric: bool) -> UiState {
        UiState::new(!numeric, self.theme, self.watch.look.columns.as_ref())
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
        let theme = matches.get_one::<Theme>("theme").copied().unwrap_or_else(usual_theme);
        Ok(Self { targets, watch: WatchArgs::from_arg_matches(matches)?, replay, theme })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// See <https://no-color.org>.
fn usual_theme() -> Theme {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if no_colour { Theme::Plain } else { Theme::Dark }
}
