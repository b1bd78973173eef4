//! A run that was stopped, as by Ctrl-Z: the time that passed has passed.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::lab::{Lab, RTRACE, Running, TARGET, replay};

/// From round to round, in nanoseconds.
const INTERVAL: i64 = 100_000_000;
/// How long it is stopped: for many rounds.
const STOPPED: Duration = Duration::from_secs(3);

/// The rounds of a stream: number and beginning.
fn rounds(stream: &str) -> Vec<(i64, i64)> {
    let lines = stream.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rounds = lines.filter(|line| line["event"] == "round");
    rounds.map(|it| (it["round"].as_i64().unwrap(), it["start_ns"].as_i64().unwrap())).collect()
}

#[test]
fn a_watch_that_was_stopped_makes_up_for_no_round() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let file = lab.file("stopped.pcapng");
    let mut command = lab.on("src", RTRACE);
    command.args(["watch", "-n", "--interval", "0.1", "--format", "ndjson", TARGET, "--pcap"]);
    let mut watch = Running::start(command.arg(&file));
    watch.wait_for("\"round\":3,");
    watch.signal("STOP");
    thread::sleep(STOPPED);
    watch.signal("CONT");
    watch.wait_for("\"event\":\"missed\"");
    for _ in 0..5 {
        watch.wait_for("\"event\":\"round\"");
    }
    watch.signal("INT");
    let (stream, status) = watch.finish();
    assert_eq!(status.code(), Some(130), "{stream}");
    let rounds = rounds(&stream);
    // However busy the machine was: never more rounds than intervals.
    for pair in rounds.windows(2) {
        let [(before, from), (number, begun)] = [pair[0], pair[1]];
        let least = INTERVAL * (number - before) - 1_000_000;
        assert!(begun - from >= least, "round {before} and {number}: {rounds:?}");
    }
    let not_sent = rounds.windows(2).map(|pair| pair[1].0 - pair[0].0 - 1).max();
    assert!(not_sent.is_some_and(|rounds| rounds >= 20), "{rounds:?}");
    let again = replay(&file, ["--format", "ndjson"]);
    assert!(again == stream, "{stream}\n{again}");
}
