//! Hints for command lines that rtrace cannot accept: what the user seems to mean, and what to type instead.

use std::ffi::OsString;
use std::net::IpAddr;

use anyhow::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::flags::Cli;
use super::{complain, words};
use crate::driver::NeverSent;
use crate::link::live::route::{self, RouteError};
use crate::render::listed;
use crate::untrusted::Untrusted;

/// Names that are more alike than this (Jaro-Winkler) are taken for one another.
const ALIKE: f64 = 0.85;
/// Commands that repeat a trace, and so have mtr's habits.
const OF_ROUNDS: [&str; 2] = ["report", "watch"];

/// The name of a command that `word` may be a slip of.
pub fn similar_command(word: &str) -> Option<String> {
    let commands = Cli::command();
    let names = commands.get_subcommands().map(Command::get_name);
    let alike = names.map(|name| (strsim::jaro_winkler(word, name), name));
    let best = alike.filter(|(alike, _)| (ALIKE..1.0).contains(alike));
    best.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name.to_owned())
}

/// What to do about a name that does not resolve.
pub fn for_unresolved(name: &str) -> String {
    if let Some(command) = similar_command(name) {
        return format!("did you mean the command rtrace {command}?");
    }
    let address = |text: &str| text.parse::<IpAddr>().is_ok();
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(bare) = bare.filter(|bare| address(bare)) {
        return format!("write {bare}, without brackets");
    }
    if let Some((_, rest)) = name.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or(rest);
        return format!("it is a URL: give the host alone, {host}");
    }
    match name.rsplit_once([':', '/']) {
        Some((host, end)) if end.parse::<u16>().is_ok() && !host.is_empty() => {
            let port = if name.contains('/') { "" } else { ", and a port as -p" };
            format!("give the host alone, {host}{port}")
        }
        _ => "check the name, or give an address".to_owned(),
    }
}

/// How many probes never left, and what to check; in a live run, on which interface. If the capture `dropped` frames,
/// unseen probes may have left.
pub fn for_never_sent(
    it: NeverSent,
    interface: Option<&Untrusted>,
    dropped: bool,
) -> Option<String> {
    let NeverSent { refused, unseen, of } = it;
    let probes = |count: u64| if count == 1 { "probe" } else { "probes" };
    let Some(interface) = interface.map(Untrusted::shown) else {
        let count = it.count();
        return (count > 0).then(|| {
            let were = if count == 1 { "was" } else { "were" };
            format!(
                "{count} {} of this run {were} not seen leaving the host that probed",
                probes(count)
            )
        });
    };
    let seen = of.saturating_sub(it.count());
    let unseen = match (unseen, seen) {
        (0, _) => None,
        _ if dropped => Some(format!(
            "{unseen} of {of} probes were not seen leaving {interface}: the capture dropped frames, so they may have left"
        )),
        (_, 0) => Some(format!(
            "{} seen leaving {interface}: does its next hop answer? See: ip neigh show dev {interface}",
            if of == 1 {
                "the only probe was not".to_owned()
            } else {
                format!("none of {of} probes was")
            }
        )),
        _ => Some(format!(
            "{unseen} of {of} probes were not seen leaving {interface}: a full queue, a filter or a silent next hop may hold them. See: tc -s qdisc show dev {interface}"
        )),
    };
    let refused = (refused > 1 || refused == 1 && unseen.is_some())
        .then(|| format!("{refused} of {of} probes were refused by the kernel and never left"));
    let parts: Vec<_> = refused.into_iter().chain(unseen).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The error of a route; the interface may be an interval as in mtr's -i.
pub fn of_route(error: RouteError, iface: Option<&str>) -> Error {
    match (&error, iface) {
        (RouteError::NoSuchInterface { .. }, Some(name)) if name.parse::<f64>().is_ok() => {
            no_time(name)
        }
        _ => error.into(),
    }
}

/// The error for an interface that the simulated host lacks.
pub fn of_simulated_interface(name: &str) -> Error {
    if name.parse::<f64>().is_ok() {
        return no_time(name);
    }
    anyhow::anyhow!("there is no interface {name} in the simulated network: leave out -i")
}

fn no_time(name: &str) -> Error {
    anyhow::anyhow!(
        "there is no interface {name}: -i names an interface; for the time between rounds use --interval {name}"
    )
}

/// Reports that this host itself balances: paths over its other next hops are not probed.
pub fn of_balancing(target: IpAddr) {
    if let Some(hops) = route::balancing(target) {
        complain(&format!(
            "hop 0: this host balances what it sends to {target} over {hops}: paths by a next hop that no probe took \
             are missing; -i traces those of one interface"
        ));
    }
}

/// The hint that replies may have arrived on interfaces that -i excludes.
pub fn for_elsewhere(frames: u64, interface: &Untrusted) -> String {
    let name = Some(interface.shown()).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "that of -i".to_owned());
    let frames = if frames == 1 { "1 frame".to_owned() } else { format!("{frames} frames") };
    format!(
        "{frames} that may be replies arrived on interfaces other than {name}: leave out -i to capture on all"
    )
}

/// A better message in place of clap's error, if there is one.
pub fn of_clap(error: &clap::Error, given: &[OsString]) -> Option<String> {
    let words: Vec<&str> = given.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let first = words.first().copied().unwrap_or_default();
    let command = if super::flags::is_command(first) { first } else { "" };
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let meant = similar_command(first).filter(|_| command.is_empty());
    let too_many = text(ContextKind::InvalidSubcommand).is_some();
    if error.kind() == ErrorKind::UnknownArgument || too_many {
        return meant
            .map(|meant| no_such_command(first, &meant))
            .or_else(|| of_other_commands(argument, command));
    }
    let value = text(ContextKind::InvalidValue)?;
    let is_number = value.parse::<f64>().is_ok() || value.starts_with("0x");
    let optional = words
        .windows(2)
        .find(|pair| matches!(pair[0], "--simulate" | "--stats") && !pair[1].starts_with('-'));
    if let Some([option, file]) = optional.filter(|_| argument.contains("PACKETLEN") && !is_number)
    {
        let several = several_targets(command, value);
        return Some(format!(
            "{several}; if {file} is the file of {option}, write {option}={file}"
        ));
    }
    if argument.contains("PACKETLEN") && (meant.is_some() || !is_number) {
        return Some(match meant {
            Some(meant) => no_such_command(first, &meant),
            None => several_targets(command, value),
        });
    }
    // mtr's -w has no value, so that it takes the target for one.
    let wide = argument.starts_with("--wait") && OF_ROUNDS.contains(&command);
    let wide = wide && value.split(',').all(|part| part.parse::<f64>().is_err());
    wide.then(|| {
        format!(
            "{} is not a time: -w is how long to wait for replies; for full names use --wide",
            words::shown(value)
        )
    })
}

fn no_such_command(word: &str, meant: &str) -> String {
    format!("there is no command {word}: did you mean rtrace {meant}?")
}

fn several_targets(command: &str, value: &str) -> String {
    let space = if command.is_empty() { "" } else { " " };
    format!(
        "{value} is not a packet length: rtrace{space}{command} takes one target; rtrace watch takes several"
    )
}

/// Which commands have an option that this one has not.
fn of_other_commands(argument: &str, command: &str) -> Option<String> {
    let name = argument.split(['=', ' ']).next()?;
    let commands = Cli::command();
    let is_it = |arg: &&clap::Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| name == format!("-{short}")),
    };
    let has = |it: &Command| it.get_arguments().filter(is_it).any(|arg| !arg.is_hide_set());
    let names = commands.get_subcommands().filter(|it| has(it)).map(Command::get_name);
    let names: Vec<String> = names.map(|name| format!("rtrace {name}")).collect();
    let here =
        if command.is_empty() { "a single trace".to_owned() } else { format!("rtrace {command}") };
    (!names.is_empty())
        .then(|| format!("{name} is not an option of {here}: it is one of {}", listed(&names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(line: &str) -> Option<String> {
        let words = line.split_whitespace().map(|word| if word == "''" { "" } else { word });
        let given: Vec<OsString> = words.map(Into::into).collect();
        let error = Cli::from_args(given.clone()).err()?;
        of_clap(&error, &given)
    }

    #[test]
    fn what_never_left_has_a_likely_cause() {
        let eth0 = Untrusted::from("eth0");
        let said = |refused, unseen, of| {
            for_never_sent(NeverSent { refused, unseen, of }, Some(&eth0), false)
        };
        assert_eq!(said(0, 0, 9), None);
        assert_eq!(said(1, 0, 9), None, "it was said when it happened");
        for (refused, unseen, of, words) in [
            (9, 0, 9, "9 of 9 probes were refused by the kernel and never left"),
            (0, 3, 3, "none of 3 probes was seen leaving eth0: does its next hop answer?"),
            (0, 2, 9, "2 of 9 probes were not seen leaving eth0: a full queue"),
            (1, 1, 9, "1 of 9 probes were refused by the kernel and never left; 1 of 9 probes"),
        ] {
            let said = said(refused, unseen, of).unwrap();
            assert!(said.starts_with(words), "{said}");
        }
        let unseen = NeverSent { unseen: 2, of: 9, ..NeverSent::default() };
        let dropped = for_never_sent(unseen, Some(&eth0), true).unwrap();
        assert!(
            dropped.ends_with("the capture dropped frames, so they may have left"),
            "{dropped}"
        );
        let replayed = for_never_sent(NeverSent { unseen: 1, ..NeverSent::default() }, None, false);
        assert_eq!(
            replayed.unwrap(),
            "1 probe of this run was not seen leaving the host that probed"
        );
    }

    #[test]
    fn what_was_meant_is_said() {
        for (line, words) in [
            ("rtrace wacth 203.0.113.9", "no command wacth: did you mean rtrace watch?"),
            (
                "rtrace reprot example.net --rounds 3",
                "no command reprot: did you mean rtrace report?",
            ),
            ("rtrace dif 1.json 2.json", "no command dif: did you mean rtrace diff?"),
            ("rtrace insepct 203.0.113.9 60", "did you mean rtrace inspect?"),
            ("rtrace insepct -n 203.0.113.9 60", "did you mean rtrace inspect?"),
            ("rtrace a b", "b is not a packet length: rtrace takes one target"),
            ("rtrace report a b", "b is not a packet length: rtrace report takes one target"),
            ("rtrace report -w example.net", "use --wide"),
            (
                "rtrace --simulate net 203.0.113.9",
                "one target; rtrace watch takes several; if net is the file of --simulate, write --simulate=net",
            ),
            (
                "rtrace -oL example.net",
                "-o is not an option of a single trace: it is one of rtrace replay, rtrace watch and rtrace report",
            ),
            ("rtrace report -w ''", "'' is not a time"),
            (
                "rtrace --rotate 1M example.net",
                "--rotate is not an option of a single trace: it is one of rtrace watch and rtrace report",
            ),
            ("rtrace --confidence 99 example.net", "it is one of rtrace paths"),
            ("rtrace report --replay x", "it is one of rtrace watch"),
        ] {
            let hint = hint(line).expect(line);
            assert!(hint.contains(words), "{line}: {hint}");
        }
        for line in ["rtrace --wrong host", "rtrace host 27", "rtrace report -w x,1 host 5"] {
            assert!(hint(line).is_none_or(|hint| hint.contains("--wide")), "{line}");
        }
        assert!(for_unresolved("wacth").contains("rtrace watch"));
        assert!(for_unresolved("example.net").contains("check the name"));
        for (name, hint) in [
            ("[::1]", "write ::1, without brackets"),
            ("http://example.net:80/x", "it is a URL: give the host alone, example.net"),
            ("example.net:80", "give the host alone, example.net, and a port as -p"),
            ("192.0.2.1/24", "give the host alone, 192.0.2.1"),
        ] {
            assert_eq!(for_unresolved(name), hint);
        }
    }
}
