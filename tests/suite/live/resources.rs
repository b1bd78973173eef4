//! What a run takes of the machine: privileges, which it gives up, and CPU, which it leaves alone.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use wait4::Wait4;

use super::lab::{Lab, Running, TARGET, run};
use crate::identity::world::{By, Snapshot, USER, USERS, World, assert_refused, outcome};
use crate::support::INVOKERS;

/// The fields of `/proc/PID/status`.
fn status(pid: u32) -> HashMap<String, String> {
    let file = format!("/proc/{pid}/status");
    let lines = std::fs::read_to_string(&file).expect(&file);
    let pairs = lines.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// A trace that waits, its three hops known, for a target that never answers.
fn waiting(command: &mut Command) -> Running {
    let mut running = Running::start(command);
    running.wait_for("\n 3  10.0.3.2");
    running
}

/// The bounding set need not be empty: under `no_new_privs` no program that is run gains a capability.
fn assert_powerless(pid: u32, user: &str) {
    let status = status(pid);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    for ids in ["Uid", "Gid"] {
        assert!(status[ids].split_whitespace().all(|id| id == user), "{ids}: {}", status[ids]);
    }
    let mut groups = status["Groups"].split_whitespace();
    assert!(user == "0" || !groups.any(|id| id == "0"), "{}", status["Groups"]);
}

#[test]
fn privileges_are_gone_while_it_waits_and_root_stays_root() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let running = waiting(&mut lab.rtrace(["-n", TARGET]));
    assert_powerless(running.pid(), "0");
}

/// By sudo, from a set-user-ID file, from one with file capabilities: as the user, without privileges, and the recording
/// is that user's.
#[test]
fn it_is_run_by_the_user_who_called_it_and_so_is_the_recording() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let Some(world) = World::new() else { return };
    for by in USERS {
        let words = world.words(by);
        let mut command = lab.on("src", &words[0]);
        command.args(&words[1..]).args(["-n", TARGET, "--pcap", "out.pcap"]);
        for variable in INVOKERS {
            command.env_remove(variable);
        }
        let running = waiting(command.current_dir(world.path("home")));
        let user = USER.to_string();
        assert_powerless(running.pid(), &user);
        // Nobody but root gets at its sockets.
        let descriptors = format!("/proc/{}/fd", running.pid());
        let mut look = Command::new("setpriv");
        look.args([&*format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
        let looked = look.args(["ls", &descriptors]).output().expect("setpriv");
        assert!(!looked.status.success(), "{by:?}: {}", String::from_utf8_lossy(&looked.stdout));
        let recording = std::fs::metadata(world.path("home/out.pcap")).expect("a recording");
        assert_eq!((recording.uid(), recording.gid()), (USER, USER), "{by:?}");
        std::fs::remove_file(world.path("home/out.pcap")).expect("the recording");
    }
}

/// A port below 1024 takes a right of its own, which a file capability may lack.
#[test]
fn low_ports_are_open_to_those_who_have_the_right() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let Some(world) = World::new() else { return };
    for (by, has) in
        [(By::Root, true), (By::Sudo, true), (By::SetUserId, false), (By::FileCapability, false)]
    {
        let words = world.words(by);
        let mut command = lab.on("src", &words[0]);
        command.args(&words[1..]).args(["-n", "-q1", "--sport", "53", TARGET]);
        for variable in INVOKERS {
            command.env_remove(variable);
        }
        let run = outcome(&mut command);
        assert_eq!(run.status, if has { 0 } else { 2 }, "{by:?}: {}", run.stderr);
        assert!(has || run.stderr.contains("choose another one with --sport"), "{}", run.stderr);
    }
}

/// TCP probes take no more rights than others.
#[test]
fn tcp_is_open_to_whoever_may_use_raw_sockets() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let Some(world) = World::new() else { return };
    for by in USERS {
        for options in [["-T", TARGET], ["--ack", TARGET], ["-T", "2001:db8:113::9"]] {
            let words = world.words(by);
            let mut command = lab.on("src", &words[0]);
            command.args(&words[1..]).args(["-n", "-q1"]).args(options);
            for variable in INVOKERS {
                command.env_remove(variable);
            }
            let run = outcome(&mut command);
            assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{by:?} {options:?}");
        }
    }
}

/// What is live is opened in another order than what is simulated, and no less carefully.
#[test]
fn a_live_trace_writes_nothing_of_roots() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let Some(world) = World::new() else { return };
    let victim = world.file("root/victim", "root's", 0, 0o600);
    let before = Snapshot::of(&victim);
    world.link("home/link", &victim);
    for by in [By::Sudo, By::SetUserId, By::FileCapability, By::Root] {
        for option in ["--pcap=link", "--stats=link"] {
            let words = world.words(by);
            let mut command = lab.on("src", &words[0]);
            command.args(&words[1..]).args(["-n", "-q1", TARGET, option]);
            for variable in INVOKERS {
                command.env_remove(variable);
            }
            let run = outcome(command.current_dir(world.path("home")));
            let words = ["Permission denied", "other users can write to"];
            assert_refused(&run, &words, &format!("{by:?} {option}"));
            assert_eq!(Snapshot::of(&victim), before, "{by:?} {option}");
        }
    }
}

#[test]
fn an_ordinary_user_is_told_what_the_capture_needs() {
    let Some(lab) = Lab::up("concurrent") else { return };
    // Where any user can run it: the build directory may lie in a home of root's.
    let program = std::env::temp_dir().join(format!("rtrace-live-{}", std::process::id()));
    std::fs::copy(super::lab::RTRACE, &program).expect("a copy of the program");
    let mut command = lab.on("src", "setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    command.args(["--link", "packet", TARGET]);
    let output = command.output().expect("setpriv");
    run(Command::new("setcap").arg("cap_net_raw+ep").arg(&program));
    let mut allowed = lab.on("src", "setpriv");
    allowed.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let allowed = allowed.args(["--link", "packet", "-n", TARGET]).output().expect("setpriv");
    std::fs::remove_file(&program).expect("the copy");

    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("rtrace: "), "{message}");
    assert!(message.contains("sudo") && message.contains("setcap cap_net_raw+ep"), "{message}");
    assert_eq!(allowed.status.code(), Some(0), "{}", String::from_utf8_lossy(&allowed.stderr));
}

/// All of it, start included, takes less than a twentieth of the time that it waits.
#[test]
fn an_idle_wait_costs_no_cpu() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let began = std::time::Instant::now();
    let mut command = lab.rtrace(["-n", "-w", "3", "-m", "4", TARGET]);
    let mut child = command.stdout(Stdio::null()).spawn().expect("rtrace");
    let used = child.wait4().expect("its end");
    let (cpu, wall) = (used.rusage.utime + used.rusage.stime, began.elapsed());
    assert_eq!(used.status.code(), Some(1));
    assert!(cpu * 20 < wall, "{cpu:?} of CPU in {wall:?}");
}
