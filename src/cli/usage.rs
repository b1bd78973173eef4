//! Messages for a command line that clap rejects: what is wrong, as it was typed, why, and what to do.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::words::shown;
use super::{flags, hints};
use crate::render::listed;

/// Options that need another option.
const NEEDY: [&str; 2] = ["--keep", "--rotate"];

/// A command line as it was typed, and the command that it is of.
struct Typed<'a> {
    words: Vec<&'a str>,
    /// "rtrace report".
    name: String,
    command: Command,
}

/// The message for an error of clap's.
pub fn refusal(error: &clap::Error, given: &[OsString]) -> String {
    if let Some(name) = flags::command_behind(given) {
        return format!("the command comes before its options: rtrace {name} ...");
    }
    if let Some(hint) = hints::of_clap(error, given) {
        return hint;
    }
    let typed = Typed::of(given);
    let line = typed.told(error);
    let line = line.unwrap_or_else(|| typed.as_typed(&in_one_line(&error.to_string())));
    format!("{line}; see {} --help", typed.name)
}

/// The text of an error without its usage.
fn in_one_line(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>());
    let said = paragraphs.map(|words| words.join(" "));
    // An unknown option is not meant as a value.
    let useful = said.filter(|part| {
        part.starts_with("error:")
            || (part.starts_with("tip:") && !part.starts_with("tip: to pass"))
    });
    let line = useful.collect::<Vec<_>>().join("; ");
    line.strip_prefix("error: ").unwrap_or(&line).trim_end_matches('.').to_owned()
}

impl<'a> Typed<'a> {
    fn of(given: &'a [OsString]) -> Self {
        let words: Vec<&str> = given.iter().skip(1).filter_map(|word| word.to_str()).collect();
        let mut all = flags::command();
        all.build();
        let named = words.first().filter(|name| **name != "help");
        let chosen = named.and_then(|name| all.find_subcommand(name)).cloned();
        let name =
            chosen.as_ref().map_or("rtrace".to_owned(), |it| format!("rtrace {}", it.get_name()));
        Self { words, name, command: chosen.unwrap_or(all) }
    }

    /// Whether an option was typed by this long name.
    fn has(&self, long: &str) -> bool {
        self.words.iter().any(|word| word.split('=').next() == Some(long))
    }

    /// Our own message, where it is better than clap's.
    fn told(&self, error: &clap::Error) -> Option<String> {
        let texts = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => vec![text.clone()],
            Some(ContextValue::Strings(texts)) => texts.clone(),
            _ => Vec::new(),
        };
        let first = |kind| texts(kind).into_iter().next();
        let arguments: Vec<String> =
            texts(ContextKind::InvalidArg).iter().map(|shown| self.typed(shown)).collect();
        let argument = arguments.first().cloned().unwrap_or_default();
        let value = first(ContextKind::InvalidValue);
        Some(match error.kind() {
            ErrorKind::TooManyValues => {
                format!("{argument} takes no value: leave out ={}", value?)
            }
            ErrorKind::UnknownArgument if argument == "-=" => {
                let (option, value) = self.words.iter().find_map(|word| word.split_once('='))?;
                format!("{option} takes no value: leave out ={value}")
            }
            ErrorKind::UnknownArgument if argument.starts_with('-') => {
                let meant = first(ContextKind::SuggestedArg);
                let meant = meant.map_or(String::new(), |it| format!(": did you mean {it}?"));
                format!("there is no option {argument}{meant}")
            }
            ErrorKind::UnknownArgument => format!("{} is one argument too many", shown(&argument)),
            ErrorKind::InvalidSubcommand => {
                let word = first(ContextKind::InvalidSubcommand)?;
                let meant = super::hints::similar_command(&word);
                let meant = meant.map_or(String::new(), |it| format!(": did you mean {it}?"));
                format!("there is no command {}{meant}", shown(&word))
            }
            ErrorKind::ArgumentConflict => {
                if let Some(word) = first(ContextKind::InvalidSubcommand) {
                    return Some(format!("{} is one argument too many", shown(&word)));
                }
                let prior = first(ContextKind::PriorArg)?;
                match self.typed(&prior) {
                    prior if prior == argument => {
                        format!("{argument} is given twice: give it once")
                    }
                    prior => {
                        format!("{argument} and {prior} do not go together: leave one of them out")
                    }
                }
            }
            ErrorKind::MissingRequiredArgument => {
                let by = NEEDY.iter().find(|option| self.has(option)).copied();
                let by = by.filter(|_| arguments.iter().all(|it| it.starts_with('-')));
                format!("{} needs {}", by.unwrap_or(&self.name), listed(&arguments))
            }
            ErrorKind::InvalidValue if value.as_deref().is_none_or(str::is_empty) => {
                format!("{argument} has no value: give one")
            }
            ErrorKind::InvalidValue => {
                let valid = listed(&texts(ContextKind::ValidValue));
                format!("{} is not a value of {argument}: choose one of {valid}", value?)
            }
            ErrorKind::ValueValidation => {
                let (value, cause) = (value?, error.source()?);
                format!("invalid value {} for {argument}: {cause}", shown(&value))
            }
            _ => return None,
        })
    }

    /// An argument, which clap shows by its long name, as it was typed.
    fn typed(&self, argument: &str) -> String {
        if argument.starts_with(['<', '[']) {
            return argument.trim_matches(['<', '>', '[', ']', '.']).to_owned();
        }
        let known = self.command.get_arguments().find(|arg| arg.to_string() == argument);
        let long = |arg: &Arg| Some(format!("--{}", arg.get_long()?));
        let name = known.and_then(|arg| self.option(arg).or_else(|| long(arg)));
        name.unwrap_or_else(|| argument.to_owned())
    }

    /// A line of our own, with options by the names that they were given by.
    fn as_typed(&self, line: &str) -> String {
        let arguments = self.command.get_arguments();
        let renamed =
            arguments.filter_map(|arg| Some((format!("--{}", arg.get_long()?), self.option(arg)?)));
        let renamed: Vec<(String, String)> = renamed.collect();
        let word = |word: &str| {
            let typed = renamed.iter().find(|(long, _)| long == word);
            typed.map_or_else(|| word.to_owned(), |(_, typed)| typed.clone())
        };
        line.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    /// The name by which an option was given, if it was.
    fn option(&self, arg: &Arg) -> Option<String> {
        let longs = arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten());
        for long in longs.map(|name| format!("--{name}")) {
            if self.has(&long) {
                return Some(long);
            }
        }
        let shorts =
            arg.get_short().into_iter().chain(arg.get_all_short_aliases().into_iter().flatten());
        let given = |short: &char| {
            let among = |word: &&str| {
                word.strip_prefix('-')
                    .is_some_and(|letters| !letters.starts_with('-') && letters.contains(*short))
            };
            self.words.iter().any(among)
        };
        shorts.into_iter().find(given).map(|short| format!("-{short}"))
    }
}

#[cfg(test)]
mod tests;
