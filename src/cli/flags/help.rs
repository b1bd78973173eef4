//! What the help of each command ends with: examples and exit statuses, in lines of at most 80 columns.

macro_rules! of_one_trace {
    () => {
        "\nExit status: 0 the target was reached, 1 it was not or probes never left this\nhost, 2 usage, privilege or IO error, 130 after Ctrl-C."
    };
}

macro_rules! of_rounds {
    () => {
        "\nExit status: 0 the last round reached the target, 1 it did not or probes never\nleft this host, 2 usage, privilege or IO error, 130 after Ctrl-C."
    };
}

/// The end of the help of `rtrace` alone.
pub const ALL: &str = concat!(
    "\
Examples:
  rtrace example.net                          the path to a host; no root needed
  sudo rtrace --pcap out.pcapng example.net   record every probe and reply
  rtrace replay out.pcapng                    the same report, from the packets
  rtrace replay out.pcapng --json | jq .stop  as JSON
  rtrace --format ndjson example.net          each event as it happens, one a line
  sudo rtrace --pcap - example.net | tshark -r -
                                              watch the packets go by
  rtrace paths --format svg example.net       all paths, as a drawing
  rtrace report --wide example.net            ten rounds, as mtr --report-wide
  rtrace --simulate 203.0.113.9               try it: no network, no privilege
",
    of_one_trace!()
);

/// The end of the help of `rtrace trace`.
pub const TRACE: &str = concat!(
    "\
Examples:
  rtrace trace replay                         the path to a host called \"replay\"
  rtrace trace -n -q 1 example.net            addresses only, one probe per hop
  rtrace trace --simulate 203.0.113.9         try it: no network, no privilege
",
    of_one_trace!()
);

/// The end of the help of `rtrace replay`.
pub const REPLAY: &str = "\
Examples:
  rtrace replay out.pcapng                    the report of every trace in it
  rtrace replay --list a.pcap b.pcap          which traces there are
  tcpdump -w - icmp | rtrace replay - --json  from a pipe, as JSON

Exit status: 0 every trace reached its target, 1 one did not or probes never
left the host that probed, 2 usage or IO error, or no trace in the recording.";

/// The end of the help of `rtrace watch`.
pub const WATCH: &str = concat!(
    "\
Examples:
  rtrace watch example.net example.org        two targets on one screen
  rtrace watch --format ndjson example.net
                                              each event as it happens, one a line
  rtrace watch --replay out.pcapng            play a recording
",
    of_rounds!()
);

/// The end of the help of `rtrace inspect`.
pub const INSPECT: &str = concat!(
    "\
Examples:
  sudo rtrace inspect example.net             what is changed, and between which hops
  sudo rtrace inspect -T -p 443 example.net   of TCP to port 443
",
    of_one_trace!()
);

/// The end of the help of `rtrace diff`.
pub const DIFF: &str = "\
Examples:
  rtrace diff monday.pcapng tuesday.pcapng    what has changed since monday
  rtrace diff before.json after.pcapng        documents and recordings alike
  rtrace diff --json a.pcapng b.pcapng        as JSON

Exit status: 0 the path is the same or the result is unclear, 1 the path has
changed, 2 usage or IO error.";

/// The end of the help of `rtrace show`.
pub const SHOW: &str = "\
Examples:
  rtrace show out.pcapng 12                   the probe or reply in frame 12
  rtrace show out.pcapng --hop 3              the first probe of hop 3
  rtrace show out.pcapng 12 --json            as JSON

Exit status: 0 the probe was found, 2 usage or IO error, or it was not found.";

/// The end of the help of `rtrace report`.
pub const REPORT: &str = concat!(
    "\
Examples:
  rtrace report --wide example.net            ten rounds, as mtr --report-wide
  rtrace report -c 100 --interval 0.2 --json example.net
                                              a hundred rounds in 20 s, as JSON
  rtrace report --simulate 203.0.113.9        try it: no network, no privilege
",
    of_rounds!()
);

/// The end of the help of `rtrace paths`.
pub const PATHS: &str = concat!(
    "\
Examples:
  rtrace paths example.net                    every router and link
  rtrace paths --format svg example.net > paths.svg
                                              as a drawing
  rtrace paths --confidence 99 --pcap out.pcapng example.net
                                              more surely, and recorded
",
    of_one_trace!()
);

/// The end of the help of `rtrace config`.
pub const CONFIG: &str = "\
Examples:
  rtrace config                               which file there is and what it sets
  rtrace config --default                     what a file may set

Exit status: 0 the file is valid or missing, 2 usage or IO error.";

#[cfg(test)]
mod tests {
    use crate::cli::flags::command;

    #[test]
    fn every_help_fits_80_columns_and_ends_with_examples_and_exit_statuses() {
        let mut all = command().term_width(80);
        all.build();
        let names = all.get_subcommands().map(|it| it.get_name().to_owned()).collect::<Vec<_>>();
        let of_commands = names.iter().filter(|name| *name != "help").map(|name| {
            let help = all.find_subcommand(name).unwrap().clone().render_long_help();
            (format!("rtrace {name} "), help.to_string())
        });
        let mut helps: Vec<(String, String)> = of_commands.collect();
        helps.push(("rtrace ".to_owned(), all.clone().render_long_help().to_string()));
        assert_eq!(helps.len(), 10, "{names:?}");
        for (name, help) in helps {
            let wide = help.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{name}");
            let (_, end) = help.split_once("\nExamples:\n").expect(&name);
            let (examples, statuses) = end.split_once("\n\nExit status: 0 ").expect(&name);
            let examples = examples.lines().filter(|line| format!("{line} ").contains(&name));
            assert!(examples.count() >= 2, "{name}: {end}");
            assert!(statuses.contains(" 2 usage") && statuses.ends_with(".\n"), "{name}: {end}");
        }
    }
}
