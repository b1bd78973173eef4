//! What the kernel says of a trace that runs: it, its threads and the process that looks up names are confined, and
//! none of them holds anything that a program run by it could inherit.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::lab::{Lab, Running, TARGET, run, text};

/// A field of a `status` or `fdinfo` file of /proc.
fn field(file: &str, name: &str) -> String {
    let lines = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut pairs = lines.lines().filter_map(|line| line.split_once(':'));
    let (_, value) =
        pairs.find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{file}: {name}"));
    value.trim().to_owned()
}

fn entries(directory: String) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    let listed =
        std::process::Command::new("pgrep").args(["-P", &of.to_string()]).output().unwrap();
    text(&listed.stdout).lines().map(|line| line.parse().unwrap()).collect()
}

fn assert_confined(process: u32) {
    for thread in entries(format!("/proc/{process}/task")) {
        let status = format!("{}/status", thread.display());
        for (name, value) in [
            ("Seccomp", "2"),
            ("NoNewPrivs", "1"),
            ("CapPrm", "0000000000000000"),
            ("CapEff", "0000000000000000"),
            ("CapInh", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
        ] {
            assert_eq!(field(&status, name), value, "{status}: {name}");
        }
    }
}

fn assert_closed_on_exec(process: u32) {
    let mut seen = 0;
    for open in entries(format!("/proc/{process}/fdinfo")) {
        let number: u32 = open.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let flags = field(open.to_str().unwrap(), "flags");
        let flags = i32::from_str_radix(&flags, 8).unwrap();
        if number > 2 {
            seen += 1;
            assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "descriptor {number} of {process}");
        }
    }
    assert!(seen > 0);
}

/// A trace that waits for a target that never answers, after it has asked for names.
fn waiting(lab: &Lab, options: &[&str]) -> Running {
    let mut running = Running::start(lab.rtrace(options).arg(TARGET));
    running.wait_for("\n 3  r3.lab (10.0.3.2)");
    running
}

#[test]
fn a_trace_and_what_looks_up_its_names_are_confined() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let file = lab.file("out.pcapng");
    let running = waiting(&lab, &["-w9", "--pcap", file.to_str().unwrap()]);
    let children = children(running.pid());
    assert_eq!(children.len(), 1, "one process looks up names");
    for process in [running.pid(), children[0]] {
        assert_confined(process);
        assert_closed_on_exec(process);
    }
    assert_eq!(entries(format!("/proc/{}/fd", children[0])).len(), 4, "three streams and a socket");
}

#[test]
fn a_watch_that_serves_and_rotates_is_confined() {
    let Some(lab) = Lab::up("concurrent") else { return };
    // Whoever it is without privileges, it may write there.
    let directory = lab.file("recordings");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let file = directory.join("out.pcapng");
    let mut command = lab.rtrace(["report", "--rounds", "1000", "--interval", "0.05", TARGET]);
    command.args(["--format", "ndjson", "--rotate", "4k", "--prometheus", "127.0.0.1:0", "--pcap"]);
    let mut running = Running::start(command.arg(&file));
    running.wait_for("\"round\":20,");
    assert_confined(running.pid());
    assert_closed_on_exec(running.pid());
    running.signal("INT");
    let (_, status) = running.finish();
    assert_eq!(status.code(), Some(130));
    assert!(fs::read_dir(&directory).unwrap().count() > 1, "it made further files");
}

#[test]
fn where_no_names_are_asked_there_is_no_other_process() {
    let Some(lab) = Lab::up("silent-target") else { return };
    // The target's name is no exception: what resolved it has gone by then, and is no zombie.
    for target in [TARGET, "dst.lab"] {
        let mut running = Running::start(&mut lab.rtrace(["-n", "-w9", target]));
        running.wait_for("\n 3  10.0.3.2");
        assert_eq!(children(running.pid()), [0; 0], "{target}");
        assert_confined(running.pid());
    }
}

#[test]
fn the_process_that_looks_up_names_ends_with_the_trace() {
    let Some(lab) = Lab::up("silent-target") else { return };
    for signal in ["INT", "KILL"] {
        let running = waiting(&lab, &["-w9"]);
        let child = children(running.pid())[0];
        running.signal(signal);
        running.finish();
        // Killed with its parent, it is waited for by somebody else: soon, but not at once.
        let status = PathBuf::from(format!("/proc/{child}/status"));
        let is_over =
            || !status.exists() || field(status.to_str().unwrap(), "State").starts_with('Z');
        let since = std::time::Instant::now();
        while !is_over() {
            assert!(since.elapsed().as_secs() < 60, "{child} is still there after {signal}");
            std::thread::yield_now();
        }
    }
}

/// Whatever becomes of it, the trace is told to its end.
#[test]
fn a_trace_goes_on_without_names_if_that_process_is_lost() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let mut command = lab.rtrace(["-w2", "-q1", "-m5", TARGET]);
    let errors = lab.file("errors");
    let mut running = Running::start(command.stderr(fs::File::create(&errors).unwrap()));
    running.wait_for("\n 1  r1.lab (10.0.1.2)");
    run(std::process::Command::new("kill").args(["-KILL", &children(running.pid())[0].to_string()]));
    let (report, status) = running.finish();
    assert_eq!(status.code(), Some(1), "{report}");
    assert!(report.contains("\n 5  *"), "{report}");
    let errors = fs::read_to_string(errors).unwrap();
    assert!(errors.starts_with("rtrace: the process that looks up names has ended: "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
