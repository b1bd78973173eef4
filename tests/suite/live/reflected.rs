//! A neighbour that sends our probes back, as they are and as others: they are neither recorded nor counted.

use std::process::Command;

use serde_json::Value;

use super::lab::{Lab, RTRACE, Running, run, text};

const REFLECT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/reflect.py");
/// The first cable's near end.
const SOURCE: &str = "10.0.1.1";
/// Nobody: the second router swallows what is for it.
const NOBODY: &str = "192.0.2.9";
/// One a hop, the last of them is the scout.
const PROBES: usize = 5;

#[test]
fn what_a_neighbour_sends_back_is_no_probe() {
    for kind in ["concurrent", "tun"] {
        for any in [false, true] {
            let Some(lab) = Lab::up(kind) else { return };
            run(lab.on("r2", "ip").args(["route", "add", "blackhole", NOBODY]));
            check(&lab, any);
        }
    }
}

fn check(lab: &Lab, any: bool) {
    let file = lab.file("out.pcapng");
    let mut neighbour =
        Running::start(lab.on("r1", REFLECT).args(["eth0", SOURCE, &PROBES.to_string()]));
    neighbour.wait_for("ready\n");
    // It ends when it is told to: no answer comes from behind the second hop.
    let args = ["-n", "-q", "1", "-m", "5", "-w", "600", "--format", "ndjson", NOBODY, "--pcap"];
    let mut command = lab.rtrace(args);
    command.arg(&file).args(if any { &["-i", "any"][..] } else { &[] });
    let mut trace = Running::start(&mut command);
    // The first router's answer comes again, behind all that was reflected.
    trace.wait_for("\"duplicate\":true");
    trace.signal("INT");
    let (live, status) = trace.finish();
    assert_eq!(status.code(), Some(130), "{live}");

    let lines: Vec<Value> =
        live.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sent = lines.iter().filter(|line| line["event"] == "sent").count();
    assert_eq!(sent, PROBES, "{live}");
    let end = lines.last().expect("an end");
    assert_eq!(end["totals"]["sent"], PROBES, "{end}");
    assert_eq!(end["totals"]["duplicate"], 1, "{end}");
    let filter = format!("udp and src host {SOURCE}");
    let recorded = run(Command::new("tcpdump").arg("-nr").arg(&file).arg(filter));
    assert_eq!(text(&recorded.stdout).lines().count(), PROBES, "{}", text(&recorded.stdout));
    let again = Command::new(RTRACE).arg("replay").arg(&file).args(["--format", "ndjson"]).output();
    assert_eq!(text(&again.expect("rtrace").stdout), live);
}
