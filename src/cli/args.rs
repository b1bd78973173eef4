//! The command line: letters and meanings as in traceroute(8).
//!
//! Every option that shapes a trace is optional here, so that a replay can tell what was asked for
//! from what the recording says. [`TraceOptions::apply`] puts what was given into a configuration.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub use super::lookups::LookupOptions;
pub use super::output::OutputOptions;
use super::paths::{self, PathsArgs};
use super::tape::parse_size;
use crate::link::live::Clock;
use crate::probe::{FlowMode, ProbeType};
use crate::render::Form;
use crate::trace::config::MAX_QUERIES;
use crate::trace::{TraceConfig, Wait};
use crate::wire::extension::Family;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  sudo rtrace example.net                           the path to a host
  sudo rtrace -i eth0 --pcap out.pcapng example.net record every probe and reply
  rtrace replay out.pcapng                          the same report again, from the packets
  rtrace replay out.pcapng --json | jq .stop        as JSON
  sudo rtrace --format ndjson example.net           each event when it happens, one a line
  sudo rtrace --pcap - example.net | tshark -r -    watch the packets go by
  sudo rtrace paths --format dot example.net        all paths, as a graph: ... | dot -Tsvg
  rtrace --simulate 203.0.113.9                     try it: no network, no privilege

Exit status: 0 the target was reached, 1 it was not, 2 usage, privilege or IO error, 130 after Ctrl-C.";

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
    after_help = EXAMPLES,
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
}

/// The commands that have a name.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Trace the path to a host: the spelled-out form, for a host called "replay"
    Trace(TraceArgs),
    /// Report a recorded trace from its packets, without network or privilege
    Replay(ReplayArgs),
    /// Trace the path to a host again and again and show what it does over time
    Watch(WatchArgs),
    /// Trace the path to a host and show what it does to packets: short for --inspect
    Inspect(TraceArgs),
    /// Compare two traces of one path: exit status 0 if it is the same path, 1 if it has changed
    Diff(DiffArgs),
    /// Show a probe of a recording and its reply, field by field and byte by byte
    Show(ShowArgs),
    /// Watch for some rounds (10 unless told otherwise), then report, as mtr --report
    Report(WatchArgs),
    /// Find all paths to a host: every router and link that load balancers spread flows over
    Paths(PathsArgs),
}

/// `rtrace TARGET` and `rtrace trace TARGET`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Host name or address to trace; an IPv6 link-local address with its zone after "%"
    #[arg(value_name = "TARGET", required = true)]
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
pub struct WatchArgs {
    /// The trace of each round.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Seconds from the beginning of a round to that of the next: 0.01 to 86400 [default: 1]
    #[arg(long, value_name = "SECONDS", help_heading = "Rounds", value_parser = parse_interval)]
    pub interval: Option<f64>,

    /// End after so many rounds: at least 1 [default: for report 10, else until interrupted]
    #[arg(long, value_name = "N", help_heading = "Rounds", value_parser = within(1_u64, u64::MAX))]
    pub rounds: Option<u64>,

    /// Only report when it is over
    #[arg(long, help_heading = "Rounds")]
    pub report: bool,

    /// Serve metrics for Prometheus under /metrics at this address: 127.0.0.1:9469; port 0 takes
    /// one that is free
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Output")]
    pub prometheus: Option<SocketAddr>,

    /// How the recording rotates.
    #[command(flatten)]
    pub rotate: RotateOptions,
}

/// When a recording goes on in another file.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RotateOptions {
    /// Record in another file as soon as one has so many bytes and a round ends: 10k, 100MB, 1GiB. FILE
    /// becomes FILE with the time, out-20261124T120000.123Z.pcapng
    #[arg(long, value_name = "SIZE", help_heading = "Rounds", requires = "pcap", value_parser = parse_size)]
    pub rotate: Option<u64>,

    /// Keep the last N files of this run and remove older ones: at least 1 [default: all]
    #[arg(long, value_name = "N", help_heading = "Rounds", requires = "rotate", value_parser = within(1_u64, u64::MAX))]
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

    /// Write the comparison as JSON
    #[arg(long)]
    pub json: bool,
}

/// `rtrace show FILE FRAME`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A recording: pcap or pcapng, by rtrace or another tool
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The number of a probe's or a reply's frame, as Wireshark and --json have it
    #[arg(value_name = "FRAME", required_unless_present = "hop", value_parser = within(1_u64, u64::MAX))]
    pub frame: Option<u64>,

    /// The first probe of this hop instead
    #[arg(long, value_name = "TTL", conflicts_with = "frame", value_parser = within(1_u8, u8::MAX))]
    pub hop: Option<u8>,
}

/// `rtrace replay FILE`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A recording: pcap or pcapng, by rtrace or another tool; "-" is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Only the traces to this address [default: every trace in the recording]
    #[arg(value_name = "TARGET")]
    pub target: Option<IpAddr>,

    /// Probes and waiting.
    #[command(flatten)]
    pub options: TraceOptions,

    /// What is written.
    #[command(flatten)]
    pub output: OutputOptions,

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

/// What shapes a trace, and is needed again to replay a recording that does not tell.
#[derive(Debug, Args)]
pub struct TraceOptions {
    /// Length of each probe in bytes, IP header included: 28 to 65535 [default: 60; IPv6: 80; in a
    /// replay, as recorded]
    #[arg(value_name = "PACKETLEN", value_parser = within(28_u16, u16::MAX))]
    pub packet_len: Option<u16>,

    /// Trace IPv4: the first IPv4 address of the target
    #[arg(short = '4', help_heading = "Route", conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Trace IPv6: the first IPv6 address of the target
    #[arg(short = '6', help_heading = "Route")]
    pub ipv6: bool,

    /// Use this interface: probes leave and replies are captured there; "any" captures on all
    #[arg(short, long, value_name = "IFACE", help_heading = "Route")]
    pub iface: Option<String>,

    /// Use this address of this host as the source
    #[arg(short, long, value_name = "ADDRESS", help_heading = "Route")]
    pub source: Option<IpAddr>,

    /// Use this source port [default: one that is free]
    #[arg(long, value_name = "PORT", help_heading = "Probes", value_parser = within(1_u16, u16::MAX))]
    pub sport: Option<u16>,

    /// TTL of the first hop: 1 to 255 [default: 1]
    #[arg(short, long = "first", value_name = "TTL", help_heading = "Probes", value_parser = within(1_u8, u8::MAX))]
    pub first_ttl: Option<u8>,

    /// TTL of the last hop: 1 to 255 [default: 30]
    #[arg(short, long = "max-hops", value_name = "TTL", help_heading = "Probes", value_parser = within(1_u8, u8::MAX))]
    pub max_ttl: Option<u8>,

    /// Probes per hop: 1 to 1000 [default: 3]
    #[arg(short, long, value_name = "N", help_heading = "Probes", value_parser = within(1_u16, MAX_QUERIES))]
    pub queries: Option<u16>,

    /// Destination port of the first probe: 1 to 65535; each further probe takes the next [default: 33434]
    #[arg(short, long = "port", value_name = "PORT", help_heading = "Probes", value_parser = within(1_u16, u16::MAX))]
    pub port: Option<u16>,

    /// Type of service of the probes: 0 to 255 [default: 0]
    #[arg(short, long, value_name = "TOS", help_heading = "Probes", value_parser = within(0_u8, u8::MAX))]
    pub tos: Option<u8>,

    /// Set the Don't Fragment flag
    #[arg(short = 'F', long, help_heading = "Probes")]
    pub dont_fragment: bool,

    /// Flow label of the probes (IPv6): 0 to 1048575 [default: 0]
    #[arg(short = 'l', long = "flowlabel", value_name = "LABEL", help_heading = "Probes", value_parser = within(0_u32, 0xf_ffff))]
    pub flow_label: Option<u32>,

    /// What is kept the same among the probes, so that load balancers treat them alike: nothing in
    /// particular, all that routers hash, or all but the IP-ID [default: classic]
    #[arg(long, value_name = "classic|paris|dublin", help_heading = "Probes", value_parser = parse_flow)]
    pub flow: Option<FlowMode>,

    /// What probes ask with.
    #[command(flatten)]
    pub kind: ProbeKind,

    /// Most seconds to wait for an answer, and factors of the RTT of another answer from the same
    /// hop and from a later one; MAX alone switches the factors off [default: 5,3,10, where MAX is
    /// ten times the largest RTT seen if that is less, but at least a second]
    #[arg(short, long, value_name = "MAX,HERE,NEAR", help_heading = "Waiting", value_parser = parse_wait)]
    pub wait: Option<Wait>,

    /// Most probes under way at a time, hop after hop as traceroute: 1 to 65535 [default: a scout
    /// with the highest TTL first, by whose answer all that is missing is sent at once]
    #[arg(short = 'N', long = "sim-queries", value_name = "N", help_heading = "Waiting", value_parser = within(1_u16, u16::MAX))]
    pub in_flight: Option<u16>,

    /// Least pause between probes: seconds, or milliseconds if above 10 [default: 0]
    #[arg(short = 'z', long = "sendwait", value_name = "TIME", help_heading = "Waiting", value_parser = parse_send_wait, allow_hyphen_values = true)]
    pub send_wait: Option<f64>,
}

/// Which type of probe is sent; UDP to rising ports if none is chosen.
#[derive(Debug, Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag; at most one is given")]
pub struct ProbeKind {
    /// UDP to one port, 53 by default, with a DNS query that resolvers answer
    #[arg(short = 'U', long = "udp", help_heading = "Probe types")]
    pub udp_fixed: bool,

    /// ICMP echo requests
    #[arg(short = 'I', long = "icmp", help_heading = "Probe types")]
    pub echo: bool,

    /// TCP connection requests (SYN), to port 80 by default
    #[arg(short = 'T', long = "tcp", help_heading = "Probe types")]
    pub syn: bool,

    /// TCP acknowledgments, to port 80 by default
    #[arg(long, help_heading = "Probe types")]
    pub ack: bool,

    /// UDP-Lite, to port 53 by default
    #[arg(long, help_heading = "Probe types")]
    pub udplite: bool,

    /// Any IP protocol: 0 to 255
    #[arg(short = 'P', long, value_name = "NUMBER", help_heading = "Probe types", value_parser = within(0_u8, u8::MAX))]
    pub protocol: Option<u8>,
}

impl ProbeKind {
    /// The type that was chosen, if one was.
    pub fn chosen(&self) -> Option<ProbeType> {
        let flags = [
            (self.udp_fixed, ProbeType::UdpFixed),
            (self.echo, ProbeType::IcmpEcho),
            (self.syn, ProbeType::TcpSyn),
            (self.ack, ProbeType::TcpAck),
            (self.udplite, ProbeType::UdpLite),
        ];
        let flag = flags.iter().find(|(given, _)| *given).map(|(_, probe)| *probe);
        flag.or(self.protocol.map(ProbeType::Protocol))
    }
}

impl Cli {
    /// What these arguments of the process ask for, the first of them being its name.
    ///
    /// # Errors
    /// When clap does not take them, which is also how it says that help is asked for.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut cli = Self::try_parse_from(normalise(args))?;
        if let Some(Action::Inspect(trace)) = &mut cli.command {
            trace.output.inspect = true;
        }
        let output = match &cli.command {
            Some(Action::Replay(replay)) => &replay.output,
            Some(Action::Trace(trace) | Action::Inspect(trace)) => &trace.output,
            Some(Action::Watch(watch) | Action::Report(watch)) => &watch.trace.output,
            Some(Action::Paths(paths)) => &paths.trace.output,
            Some(Action::Diff(_) | Action::Show(_)) => return Ok(cli),
            None => &cli.trace.output,
        };
        if output.contradicts_itself() {
            let message = "--json is short for --format json: give only one of the two forms";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        if output.cannot_inspect() {
            let message = "--inspect writes text or JSON: leave out the other form";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        let form = output.form();
        let refused = match &cli.command {
            Some(Action::Paths(args)) => paths::refused(args),
            Some(Action::Replay(_)) => None,
            _ => (form == Form::Dot || form == Form::Mermaid)
                .then(|| "dot and mermaid are forms of rtrace paths".to_owned()),
        };
        match refused {
            Some(message) => Err(clap::Error::raw(ErrorKind::ArgumentConflict, message)),
            None => Ok(cli),
        }
    }
}

impl TraceOptions {
    /// The family that is asked for.
    pub fn family(&self) -> Option<Family> {
        let flags = [(self.ipv4, Family::V4), (self.ipv6, Family::V6)];
        flags.iter().find(|(given, _)| *given).map(|(_, family)| *family)
    }

    /// Whether an address is of the family that is asked for.
    pub fn fits(&self, address: &IpAddr) -> bool {
        self.family().is_none_or(|family| family == Family::of(*address))
    }

    /// The type of probe: UDP to rising ports if none was chosen.
    pub fn probe_type(&self) -> ProbeType {
        self.kind.chosen().unwrap_or(ProbeType::Udp)
    }

    /// Puts what was given on the command line in the place of what `config` has.
    pub fn apply(&self, config: &mut TraceConfig) {
        fn set<T: Copy>(field: &mut T, given: Option<T>) {
            if let Some(value) = given {
                *field = value;
            }
        }
        set(&mut config.first_ttl, self.first_ttl);
        set(&mut config.max_ttl, self.max_ttl);
        set(&mut config.queries, self.queries);
        set(&mut config.first_port, self.port);
        set(&mut config.tos, self.tos);
        set(&mut config.wait, self.wait);
        set(&mut config.in_flight, self.in_flight);
        config.in_flight_exact |= self.in_flight.is_some();
        set(&mut config.send_wait, self.send_wait);
        set(&mut config.packet_len, self.packet_len);
        set(&mut config.flow_mode, self.flow);
        set(&mut config.flow_label, self.flow_label);
        config.dont_fragment |= self.dont_fragment;
    }
}

/// The arguments as clap can read them: `--simulate TOPOLOGY.toml` and `--stats FILE.json` take their
/// value with a space only where it cannot be taken for the target.
fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const OPTIONAL_VALUES: [(&str, &str); 2] = [("--simulate", ".toml"), ("--stats", ".json")];
    let mut normal: Vec<OsString> = Vec::new();
    for arg in args {
        let takes = |last: &&mut OsString| {
            let text = arg.to_string_lossy();
            let fits =
                |(option, suffix): &(&str, &str)| **last == *option && text.ends_with(suffix);
            OPTIONAL_VALUES.iter().any(fits)
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

fn number(text: &str, range: std::ops::RangeInclusive<f64>, unit: &str) -> Result<f64, String> {
    let value = text.trim().parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| {
        format!("it must be a number from {} to {}{unit}", range.start(), range.end())
    })
}

/// `-w MAX[,HERE[,NEAR]]`: factors that are left out are switched off.
fn parse_wait(text: &str) -> Result<Wait, String> {
    let mut parts = text.split(',');
    let max = number(parts.next().unwrap_or_default(), 0.0..=86_400.0, " seconds")?;
    let mut factor = || parts.next().map_or(Ok(0.0), |part| number(part, 0.0..=1_000.0, ""));
    let (here, near) = (factor()?, factor()?);
    if max <= 0.0 {
        return Err("MAX must be above 0 seconds".into());
    }
    match parts.next() {
        Some(_) => Err("it must be at most three values: MAX,HERE,NEAR".into()),
        None => Ok(Wait { max, here, near, adaptive: false }),
    }
}

fn parse_interval(text: &str) -> Result<f64, String> {
    number(text, 0.01..=86_400.0, " seconds")
}

fn parse_flow(text: &str) -> Result<FlowMode, String> {
    match text {
        "classic" => Ok(FlowMode::Classic),
        "paris" => Ok(FlowMode::Paris),
        "dublin" => Ok(FlowMode::Dublin),
        _ => Err("it must be classic, paris or dublin".into()),
    }
}

fn parse_clock(text: &str) -> Result<Clock, String> {
    match text {
        "kernel" => Ok(Clock::Kernel),
        "hardware" => Ok(Clock::Hardware),
        _ => Err("it must be kernel or hardware".into()),
    }
}

/// As traceroute: a value above 10 is in milliseconds.
fn parse_send_wait(text: &str) -> Result<f64, String> {
    let value = number(text, 0.0..=86_400_000.0, "")?;
    Ok(if value > 10.0 { value / 1_000.0 } else { value })
}

/// Reads a number from `low` to `high`, decimal or, with 0x, hexadecimal.
fn within<T>(low: T, high: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: Copy + Display + PartialOrd + TryFrom<u64>,
{
    move |text| {
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let number = hex.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
        let value = number.ok().and_then(|number| T::try_from(number).ok());
        let value = value.filter(|value| low <= *value && *value <= high);
        value.ok_or_else(|| format!("it must be a number from {low} to {high}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Form;

    fn parse(line: &str) -> Result<Cli, String> {
        let args = line.split_whitespace().map(Into::into);
        Cli::from_args(args).map_err(|error| error.to_string())
    }

    #[test]
    fn clap_finds_no_fault() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn traceroute_habits_are_understood() {
        let cli = parse("rtrace -q2 -nF example.net -w 2.5,1 -z 200 -t 0xb8 80 -m12").unwrap();
        let options = &cli.trace.options;
        assert_eq!(cli.trace.target.as_deref(), Some("example.net"));
        assert_eq!(options.packet_len, Some(80));
        assert_eq!((options.queries, options.max_ttl, options.tos), (Some(2), Some(12), Some(184)));
        assert_eq!(options.wait, Some(Wait { max: 2.5, here: 1.0, near: 0.0, adaptive: false }));
        assert_eq!(options.send_wait, Some(0.2));
        assert!(options.dont_fragment && cli.trace.output.numeric);
    }

    #[test]
    fn simulate_takes_a_topology_only_if_it_is_one() {
        let built_in = parse("rtrace --simulate 203.0.113.9").unwrap().trace;
        assert_eq!(
            (built_in.simulate, built_in.target.as_deref()),
            (Some(BUILT_IN.into()), Some("203.0.113.9"))
        );
        for line in ["rtrace --simulate a.toml 203.0.113.9", "rtrace 203.0.113.9 --simulate=a.toml"]
        {
            let file = parse(line).unwrap().trace;
            assert_eq!(file.simulate, Some("a.toml".into()));
            assert_eq!(file.target.as_deref(), Some("203.0.113.9"));
        }
    }

    #[test]
    fn a_host_may_have_the_name_of_a_command() {
        let Some(Action::Trace(trace)) = parse("rtrace trace replay").unwrap().command else {
            panic!("not taken for a trace")
        };
        assert_eq!(trace.target.as_deref(), Some("replay"));
    }

    #[test]
    fn a_form_may_be_asked_for_twice_but_not_two_forms() {
        let form = |line: &str| parse(line).map(|cli| cli.trace.output.form());
        for (line, expected) in [
            ("rtrace host", Form::Text),
            ("rtrace --json host", Form::Json),
            ("rtrace --json --format json host", Form::Json),
            ("rtrace --format=csv host", Form::Csv),
        ] {
            assert_eq!(form(line), Ok(expected), "{line}");
        }
        for line in ["rtrace --json --format csv host", "rtrace trace host --format text --json"] {
            assert!(parse(line).is_err_and(|error| error.contains("--format json")), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_names_itself_and_the_range() {
        for (line, words) in [
            ("rtrace", ["TARGET", "required"]),
            ("rtrace -q 0 host", ["--queries", "1 to 1000"]),
            ("rtrace -m 256 host", ["--max-hops", "1 to 255"]),
            ("rtrace -w 0 host", ["--wait", "above 0"]),
            ("rtrace -w 5,x host", ["--wait", "0 to 1000"]),
            ("rtrace -w 1,2,3,4 host", ["--wait", "three values"]),
            ("rtrace -t 256 host", ["--tos", "0 to 255"]),
            ("rtrace -z -1 host", ["--sendwait", "0 to"]),
            ("rtrace host 27", ["PACKETLEN", "28 to 65535"]),
            ("rtrace -s x host", ["--source", "invalid IP"]),
            ("rtrace -T -I host", ["--tcp", "cannot be used with"]),
            ("rtrace --clock sun host", ["--clock", "kernel or hardware"]),
            ("rtrace --clock kernel --simulate host", ["--clock", "cannot be used with"]),
            ("rtrace --flow rome host", ["--flow", "classic, paris or dublin"]),
            ("rtrace --format xml host", ["--format", "text, json, ndjson, csv, atlas, scamper"]),
            ("rtrace --wrong host", ["--wrong", "unexpected"]),
        ] {
            let error = parse(line).expect_err(line);
            assert!(words.iter().all(|word| error.contains(word)), "{line}: {error}");
        }
    }
}
