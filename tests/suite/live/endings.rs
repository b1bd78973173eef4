//! How a run ends: by itself, by a signal, by an error that says what to do; and what is then left.

use std::path::Path;
use std::process::{Command, Output};

use super::lab::{Lab, RTRACE, Running, TARGET, replay, run, text, trace};
use super::text::hops;

/// A recording in progress of a trace to a target that never answers, its three hops known.
fn waiting(lab: &Lab, file: &Path) -> Running {
    let mut running = Running::start(lab.rtrace(["-n", TARGET, "--pcap"]).arg(file));
    running.wait_for("\n 3  10.0.3.2");
    running
}

fn assert_reads_cleanly(file: &Path) {
    run(Command::new("capinfos").arg(file));
    let tshark = run(Command::new("tshark").arg("-r").arg(file));
    assert_eq!(text(&tshark.stderr).lines().find(|line| line.contains("cut short")), None);
}

#[test]
fn after_kill_9_the_recording_reads_cleanly() {
    for name in ["out.pcap", "out.pcapng"] {
        let Some(lab) = Lab::up("silent-target") else { return };
        let file = lab.file(name);
        let running = waiting(&lab, &file);
        running.signal("KILL");
        let (seen, _) = running.finish();
        assert_reads_cleanly(&file);
        let replayed = replay(&file, ["-n"]);
        assert_eq!(hops(&replayed)[..2], hops(&seen)[..2], "{name}: {seen}\n{replayed}");
    }
}

#[test]
fn a_signal_ends_it_with_all_that_is_known() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let Some(lab) = Lab::up("silent-target") else { return };
        let file = lab.file("out.pcapng");
        let running = waiting(&lab, &file);
        running.signal(signal);
        let (report, status) = running.finish();
        assert_eq!(status.code(), Some(code), "{report}");
        assert!(report.ends_with('\n'), "{report:?}");
        let responders: Vec<_> =
            hops(&report).iter().map(|hop| hop.responders().join(" ")).collect();
        assert_eq!(responders[..3], ["10.0.1.2", "10.0.2.2", "10.0.3.2"], "{report}");
        assert_reads_cleanly(&file);
        assert_eq!(replay(&file, [""; 0]), report);
    }
}

#[test]
fn the_status_says_whether_the_target_was_reached() {
    for (kind, code) in
        [("concurrent", 0), ("udp-answer", 0), ("host-unreachable", 1), ("prohibited", 1)]
    {
        let Some(lab) = Lab::up(kind) else { return };
        let file = lab.file("out.pcapng");
        let live = lab.rtrace(["-n", TARGET, "--pcap"]).arg(&file).output().expect("rtrace");
        let replayed = Command::new(RTRACE).arg("replay").arg(&file).output().expect("rtrace");
        for Output { status, stdout, stderr } in [live, replayed] {
            assert_eq!(status.code(), Some(code), "{kind}: {}{}", text(&stdout), text(&stderr));
        }
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let script = format!("{RTRACE} -n -w 1 -m 5 {TARGET} | head -1; echo ${{PIPESTATUS[0]}}");
    let output = run(lab.on("src", "bash").args(["-c", &script]));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let status = stdout.lines().last();
    assert!(matches!(status, Some("0" | "1")), "{stdout}{stderr}");
    assert_eq!(stderr, "");
}

/// One line on stderr, and no probe has left.
#[test]
fn what_cannot_work_is_said_before_the_first_probe() {
    // Arguments, and words that the message has to hold.
    let cases: &[(&[&str], &[&str])] = &[
        (&["-i", "down0", TARGET], &["down0", "down"]),
        (&["-i", "noaddr0", TARGET], &["noaddr0", "address"]),
        (&["-i", "nosuch0", TARGET], &["nosuch0", "no"]),
        (&[TARGET], &["route", TARGET]),
        (&["--pcap", "/dev/full", "192.0.2.2"], &["/dev/full", "space"]),
        (&["--pcap", "/nowhere/out.pcap", "192.0.2.2"], &["/nowhere/out.pcap"]),
        (&["no-such-host.invalid"], &["no-such-host.invalid"]),
    ];
    let Some(lab) = Lab::up("broken") else { return };
    let before = lab.frames_sent("eth0");
    for (args, words) in cases {
        let output = lab.rtrace(*args).output().expect("rtrace");
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{args:?}: {message}");
        assert!(message.starts_with("rtrace: "), "{message}");
        let message = message.to_lowercase();
        assert!(words.iter().all(|word| message.contains(word)), "{args:?}: {message}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
    assert_eq!(lab.frames_sent("eth0"), before, "a probe has left");
    assert_eq!(hops(&trace(&mut lab.rtrace(["-n", "192.0.2.2"]))).len(), 1);
}

/// The disk is full after the first frames: the trace goes on, and says so by its status.
#[test]
fn a_disk_that_fills_up_does_not_end_the_trace() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let disk = lab.file("disk");
    let script = format!(
        "mkdir {0} && mount -t tmpfs -o size=4k none {0} && exec {RTRACE} -n {TARGET} --pcap {0}/out.pcap",
        disk.display()
    );
    let output = lab.on("src", "sh").args(["-c", &script]).output().expect("sh");
    let (report, message) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{report}{message}");
    assert_eq!(hops(&report).len(), 11, "{report}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("out.pcap") && message.contains("space"), "{message}");
}
