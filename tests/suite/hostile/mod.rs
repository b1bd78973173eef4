//! What a stranger can put into a recording costs no more than its length: neither time nor memory, and what is left
//! out for that is told.
//!
//! Time is that of the processor, which other processes do not add to; the bounds are those of a debug build, many times
//! what is needed, and a small part of what each file cost before it was one of these tests.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{line_of, path_in, rtrace, run, scratch};

#[expect(
    clippy::pedantic,
    reason = "shared with an example, which makes files as large as is wanted"
)]
mod files;

/// What a run cost.
struct Cost {
    stdout: Vec<u8>,
    stderr: String,
    status: Option<i32>,
    time: Duration,
    /// The most memory that it had, beyond what it wrote, in octets.
    memory: u64,
}

/// Runs a program and says on stderr, in a last line, what it cost. The memory that the kernel counts for a process is at
/// least that of who started it, so that this has to be small.
const MEASURE: &str = "import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
code = os.waitstatus_to_exitcode(status)
sys.stderr.write(f'{used.ru_utime + used.ru_stime} {used.ru_maxrss} {code}')";

fn cost(args: &[&str]) -> Cost {
    let program = rtrace().get_program().to_owned();
    let output =
        Command::new("python3").args(["-c", MEASURE]).arg(program).args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let (stderr, cost) = said.rsplit_once('\n').unwrap_or(("", &said));
    let cost: Vec<&str> = cost.split(' ').collect();
    let [time, kibibytes, code] = cost[..] else { panic!("{said}") };
    let (written, kibibytes): (u64, u64) =
        (output.stdout.len().try_into().unwrap(), kibibytes.parse().unwrap());
    Cost {
        stdout: output.stdout,
        stderr: stderr.to_owned(),
        status: code.parse().ok().filter(|code| *code >= 0),
        time: Duration::from_secs_f64(time.parse().unwrap()),
        memory: (kibibytes << 10).saturating_sub(written),
    }
}

/// The bound for all of them.
const MEMORY: u64 = 100 << 20;
/// Beyond this something grows that must not.
const TIME: Duration = Duration::from_secs(10);

/// Runs these commands over a file (`F` is its name): they end, soon, without a panic.
fn check(file: &Path, commands: &[&[&str]]) -> Vec<Cost> {
    let name = file.to_str().unwrap();
    let costs = commands.iter().map(|command| {
        let args: Vec<&str> =
            command.iter().map(|arg| if *arg == "F" { name } else { arg }).collect();
        let cost = cost(&args);
        let Cost { stderr, time, memory, .. } = &cost;
        assert!(matches!(cost.status, Some(0..=2)), "{args:?}: {:?} {stderr}", cost.status);
        assert!(stderr.lines().all(|line| line.starts_with("rtrace: ")), "{args:?}: {stderr}");
        assert!(*time < TIME && *memory < MEMORY, "{args:?}: {time:?}, {memory} octets");
        cost
    });
    costs.collect()
}

#[test]
fn every_excess_is_borne() {
    let dir = scratch();
    for (name, made) in files::FILES {
        let file = path_in(&dir, name);
        fs::write(&file, made(6_000)).unwrap();
        let commands: [&[&str]; 6] = [
            &["replay", "F", "-n"],
            &["replay", "F", "--json"],
            &["replay", "F", "--list"],
            &["replay", "F", "--inspect"],
            &["show", "F", "3"],
            &["diff", "F", "F"],
        ];
        check(&file, &commands);
    }
}

#[test]
fn what_the_command_line_refuses_a_recording_may_not_say() {
    let dir = scratch();
    for (name, bytes) in files::configurations() {
        let file = path_in(&dir, &format!("{name}.pcapng"));
        fs::write(&file, bytes).unwrap();
        let [report] = &check(&file, &[&["replay", "F", "-n", "--json"]])[..] else { panic!() };
        let json: Value = serde_json::from_slice(&report.stdout).unwrap_or_default();
        // It is replayed by what it says, or by what its packets show; and that is told.
        let refused = report.stderr.contains("is not used");
        let by_packets =
            json["format"] == "rtrace-trace" && json["hops"][2]["probes"][2].is_object();
        assert!(!refused || by_packets, "{name}: {} {json}", report.stderr);
        if name.starts_with("first_round-6") || name.starts_with("nested") {
            assert!(refused, "{name}: {}", report.stderr);
        }
    }
}

#[test]
fn absurd_lengths_are_damage() {
    let dir = scratch();
    let file = path_in(&dir, "length.pcapng");
    for (number, bytes) in files::lengths().iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        let costs = check(&file, &[&["replay", "F", "-n"], &["replay", "F", "--list"]]);
        assert!(costs[0].stdout.len() + costs[0].stderr.len() > 0, "file {number} says nothing");
    }
}

#[test]
fn rounds_of_more_probes_than_can_be_sent_are_none() {
    let dir = scratch();
    let file = path_in(&dir, "rounds.pcapng");
    fs::write(&file, (files::FILES.iter().find(|it| it.0 == "fast-rounds.pcapng").unwrap().1)(60))
        .unwrap();
    let [report] = &check(&file, &[&["replay", "F", "-n"]])[..] else { panic!() };
    assert!(report.stderr.contains("a million a second"), "{}", report.stderr);
    let asked = run(&[
        "report",
        "--simulate",
        "-q",
        "1000",
        "-m",
        "255",
        "--interval",
        "0.01",
        "203.0.113.9",
    ]);
    assert!(asked.status == 2 && asked.stderr.contains("a million a second"), "{asked:?}");
}

#[test]
fn very_many_names_and_interfaces_are_told_and_cost_little() {
    let dir = scratch();
    let made = |name: &str, size: usize| {
        let file = path_in(&dir, name);
        fs::write(&file, (files::FILES.iter().find(|it| it.0 == name).unwrap().1)(size)).unwrap();
        file
    };
    let reports: [&[&str]; 2] = [&["replay", "F"], &["replay", "F", "--json"]];
    for cost in check(&made("names.pcapng", 80_000), &reports) {
        assert_eq!(cost.stderr, "");
    }
    for cost in check(&made("short-names.pcapng", 1_400_000), &reports) {
        let told = "names of more than 131072 addresses";
        assert!(cost.stderr.contains(told), "{}", cost.stderr);
    }
    for cost in check(&made("interfaces.pcapng", 300_000), &reports) {
        let told = "an interface beyond the first 65536 of its section";
        assert!(cost.stderr.contains(told), "{}", cost.stderr);
        assert!(!cost.stdout.is_empty(), "what came before is reported");
    }
}

#[test]
fn documents_are_read_as_far_as_they_are_traces() {
    let dir = scratch();
    for (name, made) in files::DOCUMENTS {
        for size in [200, 20_000] {
            let file = path_in(&dir, name);
            fs::write(&file, made(size)).unwrap();
            check(&file, &[&["diff", "F", "F"]]);
        }
    }
    let file = path_in(&dir, "long.json");
    let text = files::document([]).to_string() + &" ".repeat(9 << 20);
    fs::write(&file, text).unwrap();
    let [long] = &check(&file, &[&["diff", "F", "F"]])[..] else { panic!() };
    assert!(long.stderr.contains("more than 8 MiB") && long.status == Some(2), "{}", long.stderr);
}

#[test]
fn a_thousand_traces_take_no_longer_than_their_frames() {
    let dir = scratch();
    let file = path_in(&dir, "campaign.pcap");
    let made = files::FILES.iter().find(|it| it.0 == "campaign.pcap").unwrap().1;
    fs::write(&file, made(12 * 1_000)).unwrap();
    let commands: [&[&str]; 2] =
        [&["replay", "F", "-n", "--json"], &["replay", "F", "--list", "--json"]];
    for cost in check(&file, &commands) {
        let all: Value = serde_json::from_slice(&cost.stdout).unwrap();
        assert_eq!((all.as_array().map(Vec::len), cost.stderr.as_str()), (Some(1_000), ""));
    }
}

/// Many traces from one port to one target: a frame is shown to a few, and where that may leave one out it is told.
#[test]
fn traces_that_cannot_be_told_apart_are_counted() {
    let dir = scratch();
    let file = path_in(&dir, "one-flow.pcap");
    let made = files::FILES.iter().find(|it| it.0 == "one-flow.pcap").unwrap().1;
    fs::write(&file, made(12 * 40)).unwrap();
    let [listed] = &check(&file, &[&["replay", "F", "--list", "--json"]])[..] else { panic!() };
    let all: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let probes: Vec<_> = all.as_array().unwrap().iter().map(|it| it["probes"].as_u64()).collect();
    assert_eq!((probes, listed.stderr.as_str()), (vec![Some(6); 40], ""));
}

/// What is left out of a comparison is told by it too, and what is too long to be compared is refused.
#[test]
fn a_comparison_tells_its_limits() {
    let dir = scratch();
    let simulated = path_in(&dir, "long.pcapng");
    let file = simulated.to_str().unwrap();
    let topology = path_in(&dir, "long.toml");
    fs::write(&topology, line_of(&[""; 14], "1ms", "")).unwrap();
    let network = format!("--simulate={}", topology.display());
    assert_eq!(run(&[&network, "-q", "1000", "--pcap", file, "203.0.113.9"]).status, 0);
    let costs = check(&simulated, &[&["diff", "F", "F"]]);
    assert!(costs[0].stderr.contains("more than 12000 probes"), "{}", costs[0].stderr);
    assert_eq!(costs[0].status, Some(2));
    let names = path_in(&dir, "names.pcapng");
    let made = files::FILES.iter().find(|it| it.0 == "names.pcapng").unwrap().1;
    fs::write(&names, made(200_000)).unwrap();
    let costs = check(&names, &[&["diff", "F", "F"]]);
    assert!(costs[0].stderr.contains("has names of more than"), "{}", costs[0].stderr);
}
