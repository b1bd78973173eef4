//! The configuration file: defaults for the options of all commands.
//!
//! [`KEYS`] is the table of what it may hold: each key stands for an option of the command line, whose help and whose
//! range are also the key's. A key counts where the command has that option and the command line says nothing of the
//! kind; a replay is shaped by its recording, and takes from the file only what concerns presentation. What is wrong
//! in it is reported with file, line and key, also where the current command has no use for the key.

mod file;

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::builder::PossibleValue;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory};
use toml::de::{DeTable, DeValue};

use self::file::{may_be_there, own_path, read};
use super::flags::{Cli, ConfigArgs, normalise};
use super::{Status, flags, write_out};
use crate::sandbox::{self, Profile};
use crate::untrusted::Untrusted;

/// The value that stands for what rtrace does where nothing is said.
const AUTO: &str = "\"auto\"";
/// The id of `--config`.
const FILE: &str = "config_file";

/// Something that the file may say.
struct Key {
    name: &'static str,
    /// The value as in the file. Writing it changes nothing.
    default: &'static str,
    set: Set,
    /// Further options on the command line, by id, beside which it does not count.
    unless: &'static [&'static str],
    /// Whether it counts for replays too.
    presents: bool,
}

/// How a key becomes an option.
enum Set {
    /// Its value is that of this option; a list has commas between its values.
    Value(&'static str),
    /// If true, this option is given.
    Flag(&'static str),
    /// Each value has an option.
    Choice(&'static str, &'static [(&'static str, &'static str)]),
}

use Set::{Choice, Flag, Value};

/// All keys, in the order in which `rtrace config --default` has them.
#[rustfmt::skip]
const KEYS: &[Key] = &[
    Key::new("format", "\"text\"", Value("--format")).unless(&["json", "csv", "inspect", "list"]).presenting(),
    Key::new("numeric", "false", Flag("-n")).unless(&["resolve"]).presenting(),
    Key::new("extensions", "false", Flag("--extensions")).presenting(),
    Key::new("back", "false", Flag("--back")).presenting(),
    Key::new("columns", AUTO, Value("--columns")).presenting(),
    Key::new("theme", AUTO, Value("--theme")).presenting(),
    Key::new("wide", "false", Flag("--wide")).presenting(),
    Key::new("geo-db", AUTO, Value("--geo-db")).presenting(),
    Key::new("asn-db", AUTO, Value("--asn-db")).presenting(),
    Key::new("as-lookup", "false", Flag("--as-lookup")),
    Key::new("resolver", AUTO, Value("--resolver")),
    Key::new("family", AUTO, FAMILY),
    Key::new("interface", AUTO, Value("--iface")).unless(&["simulate"]),
    Key::new("link", AUTO, Value("--link")).unless(&["simulate"]),
    Key::new("clock", AUTO, Value("--clock")).unless(&["simulate"]),
    Key::new("probe", "\"udp\"", PROBE).unless(&["protocol"]),
    Key::new("flow", "\"classic\"", Value("--flow")),
    Key::new("first-hop", "1", Value("--first")),
    Key::new("max-hops", "30", Value("--max-hops")),
    Key::new("queries", AUTO, Value("--queries")),
    Key::new("tos", "0", Value("--tos")),
    Key::new("dont-fragment", "false", Flag("--dont-fragment")),
    Key::new("wait", AUTO, Value("--wait")),
    Key::new("in-flight", AUTO, Value("--sim-queries")),
    Key::new("send-wait", "0", Value("--sendwait")),
    Key::new("interval", "1", Value("--interval")),
    Key::new("rounds", AUTO, Value("--rounds")),
];

const FAMILY: Set = Choice("Address family: \"4\" or \"6\"", &[("4", "-4"), ("6", "-6")]);
const PROBE: Set = Choice(
    "Type of probe: \"udp\" to rising ports, \"udp-fixed\" to one, \"icmp\", \"tcp\", \"tcp-ack\", \"udplite\"",
    &[
        ("udp-fixed", "--udp"),
        ("icmp", "--icmp"),
        ("tcp", "--tcp"),
        ("tcp-ack", "--ack"),
        ("udplite", "--udplite"),
    ],
);

impl Key {
    const fn new(name: &'static str, default: &'static str, set: Set) -> Self {
        Self { name, default, set, unless: &[], presents: false }
    }

    const fn unless(mut self, ids: &'static [&'static str]) -> Self {
        self.unless = ids;
        self
    }

    const fn presenting(mut self) -> Self {
        self.presents = true;
        self
    }

    fn options(&self) -> Vec<&'static str> {
        match &self.set {
            Value(option) | Flag(option) => vec![option],
            Choice(_, values) => values.iter().map(|(_, option)| *option).collect(),
        }
    }

    /// The argument that a value is, if it is not the default.
    fn argument(&self, value: &DeValue<'_>) -> Result<Option<String>, String> {
        if let (Flag(option), DeValue::Boolean(given)) = (&self.set, value) {
            return Ok(given.then(|| (*option).to_owned()));
        }
        let words = words(value).filter(|_| !matches!(self.set, Flag(_)));
        let Some(words) = words else {
            let wanted = if let Flag(_) = self.set { "true or false" } else { "text or a number" };
            return Err(format!("it must be {wanted}"));
        };
        if words == self.default.trim_matches('"') {
            return Ok(None);
        }
        match &self.set {
            Value(option) | Flag(option) => Ok(Some(format!("{option}={words}"))),
            Choice(_, values) => {
                let chosen = values.iter().find(|(value, _)| *value == words);
                let all = || values.iter().map(|(value, _)| *value).collect::<Vec<_>>().join(", ");
                let wrong =
                    || format!("it must be one of {}, {}", self.default.trim_matches('"'), all());
                chosen.map(|(_, option)| Some((*option).to_owned())).ok_or_else(wrong)
            }
        }
    }

    /// What the file says of it by default, with the option's own help.
    fn describe(&self, commands: &Command) -> String {
        let option = self.options().first().copied().unwrap_or_default();
        let arg = knowing(commands, option).and_then(|command| argument(command, option));
        let about = match (&self.set, arg) {
            (Choice(about, _), _) => (*about).to_owned(),
            (_, None) => String::new(),
            (_, Some(arg)) => {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let values = arg.get_possible_values();
                let values: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
                if let (Flag(_), _) | (_, []) = (&self.set, &values[..]) {
                    help
                } else {
                    format!("{help}: {}", values.join(", "))
                }
            }
        };
        format!("{}{} = {}\n", commented(&about), self.name, self.default)
    }
}

/// A text as lines of a comment.
fn commented(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.len() + word.len() < WIDTH) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

/// A value as the command line would have it.
fn words(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Array(values) => {
            let words: Option<Vec<_>> = values.iter().map(|value| words(value.get_ref())).collect();
            Some(words?.join(","))
        }
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The argument of a command that an option is, "-n" or "--queries".
fn argument<'a>(command: &'a Command, option: &str) -> Option<&'a clap::Arg> {
    let long = option.strip_prefix("--");
    let short = option.strip_prefix('-').and_then(|rest| rest.chars().next());
    command.get_arguments().find(|arg| match long {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short() == short,
    })
}

/// A command that has this option, and whatever values there are for it.
fn knowing<'a>(commands: &'a Command, option: &str) -> Option<&'a Command> {
    let mut knowing = ["trace", "watch"].iter().filter_map(|name| commands.find_subcommand(name));
    knowing.find(|command| argument(command, option).is_some())
}

/// The process's arguments and, behind the command, what the configuration file adds to them.
pub fn arguments(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<Vec<OsString>> {
    let mut args = normalise(args);
    // Most users have no such file: then the arguments are parsed once.
    let names_one = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"--config");
    if !args.iter().any(names_one) && !own_path().is_some_and(|path| may_be_there(&path)) {
        return Ok(args);
    }
    let commands = Cli::command();
    // What clap does not take it says again when it is in earnest.
    let Ok(matches) = commands.clone().try_get_matches_from(&args) else { return Ok(args) };
    let (command, given, at) = match matches.subcommand() {
        None => (&commands, &matches, 1),
        Some((name, given)) => (commands.find_subcommand(name).unwrap_or(&commands), given, 2),
    };
    if !has(command, FILE) {
        return Ok(args);
    }
    let Some((path, text)) = read(given.get_one::<PathBuf>(FILE).map(PathBuf::as_path))? else {
        return Ok(args);
    };
    // What shapes a trace is in the recording.
    let mut recorded = ["resume", "replay"].iter().map(|id| is_given(command, given, id));
    let replay = command.get_name() == "replay" || recorded.any(|given| given);
    for (key, argument) in parse(&text, &path.display().to_string(), &commands)? {
        let fits = || check(&argument, command).is_ok();
        if (key.presents || !replay) && counts(key, command, given) && fits() {
            args.insert(at, argument.into());
        }
    }
    Ok(args)
}

fn has(command: &Command, id: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == id)
}

fn is_given(command: &Command, given: &ArgMatches, id: &str) -> bool {
    has(command, id) && given.value_source(id) == Some(ValueSource::CommandLine)
}

/// Whether the command has this key's options, and the command line neither has one of them nor what excludes it.
fn counts(key: &Key, command: &Command, given: &ArgMatches) -> bool {
    let is_given = |id: &str| is_given(command, given, id);
    let options = key.options();
    let own: Vec<_> = options.iter().filter_map(|option| argument(command, option)).collect();
    let name = command.get_name();
    // The form of a report would be in the way of a screen, and is seldom meant for a map.
    let other_form = ["paths", "watch"].contains(&name) && options.contains(&"--format");
    let unused = |option: &&str| flags::UNUSED_IN_MAPS.contains(option);
    let maps = name == "paths" && options.iter().any(unused);
    let inspects = name == "inspect" && key.unless.contains(&"inspect");
    own.len() == options.len()
        && !own.iter().any(|arg| is_given(arg.get_id().as_str()))
        && !key.unless.iter().any(|id| is_given(id))
        && !inspects
        && !maps
        && !other_form
}

/// What the file says, key by key, as arguments.
fn parse(
    text: &str,
    file: &str,
    commands: &Command,
) -> anyhow::Result<Vec<(&'static Key, String)>> {
    let at = |position: usize| {
        let before = text.get(..position).unwrap_or(text);
        format!("{file}:{}", before.matches('\n').count() + 1)
    };
    let table = DeTable::parse(text).map_err(|error| {
        let place = at(error.span().map_or(0, |span| span.start));
        anyhow!("{place}: {}", error.message().lines().next().unwrap_or_default())
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut said = Vec::new();
    for (name, value) in entries {
        let place = at(name.span().start);
        let name = name.get_ref();
        let Some(key) = KEYS.iter().find(|key| key.name == *name) else {
            bail!("{place}: {name}: there is no such key: see rtrace config --default");
        };
        let argument = key.argument(value.get_ref());
        let argument = argument.and_then(|argument| match argument {
            Some(argument) => {
                let option = argument.split('=').next().unwrap_or_default();
                let command = knowing(commands, option);
                command.map_or(Ok(()), |it| check(&argument, it)).map(|()| Some(argument))
            }
            None => Ok(None),
        });
        let argument = argument.map_err(|reason| anyhow!("{place}: {name}: {reason}"))?;
        said.extend(argument.map(|argument| (key, argument)));
    }
    Ok(said)
}

/// What clap has against this argument of a command.
fn check(argument: &str, command: &Command) -> Result<(), String> {
    let args = [command.get_name(), argument, "target"];
    let Err(error) = command.clone().try_get_matches_from(args) else { return Ok(()) };
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue) {
        return Err(format!("it must be one of {}", values.join(", ")));
    }
    let reason = std::error::Error::source(&error).map(ToString::to_string);
    Err(reason.unwrap_or_else(|| "it cannot be this value".into()))
}

/// Runs `rtrace config`.
pub fn run(args: &ConfigArgs) -> anyhow::Result<Status> {
    let text = if args.default { default_file() } else { whereabouts(args)? };
    write_out(&text, "the configuration")?;
    Ok(Status::Reached)
}

/// A file with every key at its default.
fn default_file() -> String {
    let mut text = "\
# Defaults of rtrace, in $XDG_CONFIG_HOME/rtrace/config.toml or ~/.config/rtrace/config.toml: every key, with what
# holds without it. Options on the command line win; \"auto\" lets rtrace choose.\n"
        .to_owned();
    let commands = Cli::command();
    for (presents, head) in
        [(true, "Presentation of traces and replays"), (false, "Tracing: not for replays")]
    {
        let _ = write!(text, "\n## {head}\n");
        for key in KEYS.iter().filter(|key| key.presents == presents) {
            let _ = write!(text, "\n{}", key.describe(&commands));
        }
    }
    text
}

/// Where the file is, and what it says.
fn whereabouts(args: &ConfigArgs) -> anyhow::Result<String> {
    let asked = args.config_file.as_deref();
    let Some(path) = asked.map(Path::to_owned).or_else(own_path) else {
        bail!("there is no home directory for a configuration")
    };
    let path = Untrusted::from(path.as_path()).shown();
    let Some((_, text)) = read(asked)? else { return Ok(format!("{path}: not there\n")) };
    sandbox::enter(&Profile::default())?;
    let said = parse(&text, &path, &Cli::command())?;
    let shown = |argument: &String| Untrusted::from(argument.as_str()).shown();
    let rows = said.iter().map(|(key, argument)| format!("{}: {}\n", key.name, shown(argument)));
    Ok(format!("{path}\n{}", rows.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Vec<String>, String> {
        let said = parse(text, "c.toml", &Cli::command());
        said.map(|said| said.into_iter().map(|(_, argument)| argument).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_stands_for_options_that_there_are() {
        let commands = Cli::command();
        let watch = commands.find_subcommand("watch").unwrap();
        for key in KEYS {
            for option in key.options() {
                assert!(argument(watch, option).is_some(), "{} {option}", key.name);
            }
            // Of some the ids are a replay's.
            let replay = commands.find_subcommand("replay").unwrap();
            let known = |id: &str| has(watch, id) || has(replay, id);
            assert!(key.unless.iter().all(|id| known(id)), "{}", key.name);
            assert_eq!(said(&format!("{} = {}\n", key.name, key.default)), Ok(vec![]));
        }
        assert_eq!(said(&default_file()), Ok(vec![]));
    }

    #[test]
    fn values_become_options() {
        for (text, option) in [
            ("queries = 2", "--queries=2"),
            ("queries = \"2\"", "--queries=2"),
            ("tos = 0xb8", "--tos=184"),
            ("wait = [2.5, 3, 10]", "--wait=2.5,3,10"),
            ("interval = 0.5", "--interval=0.5"),
            ("numeric = true", "-n"),
            ("probe = \"tcp-ack\"", "--ack"),
            ("family = 6", "-6"),
            ("format = \"csv\"", "--format=csv"),
        ] {
            assert_eq!(said(text), Ok(vec![option.to_owned()]), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, words) in [
            ("queries = 0", "c.toml:1: queries: it must be a number from 1 to 1000"),
            ("\n# x\nqueires = 2", "c.toml:3: queires: there is no such key"),
            ("tos = 5\nformat = \"xml\"", "c.toml:2: format: it must be one of text, json"),
            ("numeric = 1", "c.toml:1: numeric: it must be true or false"),
            ("max-hops = true", "c.toml:1: max-hops: it must be text or a number"),
            ("probe = \"icmq\"", "c.toml:1: probe: it must be one of udp, udp-fixed, icmp"),
            ("family = 5", "c.toml:1: family: it must be one of auto, 4, 6"),
            ("[watch]\ninterval = 2", "c.toml:1: watch: there is no such key"),
            ("wait = [{a = 1}]", "c.toml:1: wait: it must be text or a number"),
            ("queries = 2\nqueries = 3", "c.toml:2: duplicate key"),
            ("queries 2", "c.toml:1: "),
            ("tos = 99999999999999999999", "c.toml:1: tos: it must be"),
        ] {
            let error = said(text).expect_err(text);
            assert!(error.starts_with(words), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{text}: {error}");
        }
    }
}
