//! How command lines are read.

use super::*;
use crate::trace::Wait;

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
    assert_eq!(options.wait, Some(Wait { max: 2.5, here: Some(1.0), near: None, adaptive: false }));
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
    for (line, name) in [
        ("rtrace --simulate a.toml 203.0.113.9", "a.toml"),
        ("rtrace 203.0.113.9 --simulate=a.toml", "a.toml"),
        ("rtrace --simulate nets/a 203.0.113.9", "nets/a"),
        ("rtrace 203.0.113.9 --simulate /dev/fd/63", "/dev/fd/63"),
    ] {
        let file = parse(line).unwrap().trace;
        assert_eq!(file.simulate, Some(name.into()));
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
        ("rtrace -s x host", ["--source", "an IPv4 or IPv6 address"]),
        ("rtrace -T -I host", ["--tcp", "cannot be used with"]),
        ("rtrace --clock sun host", ["--clock", "kernel or hardware"]),
        ("rtrace --clock kernel --simulate host", ["--clock", "cannot be used with"]),
        ("rtrace --link wire host", ["--link", "auto, packet or socket"]),
        ("rtrace --link socket --simulate host", ["--link", "cannot be used with"]),
        ("rtrace --flow rome host", ["--flow", "classic, paris or dublin"]),
        ("rtrace --format xml host", ["--format", "text, json, ndjson, csv, atlas, scamper"]),
        ("rtrace --wrong host", ["--wrong", "unexpected"]),
    ] {
        let error = parse(line).expect_err(line);
        assert!(words.iter().all(|word| error.contains(word)), "{line}: {error}");
    }
}
