//! Root that is not all-powerful: in containers, in user namespaces, and by a real sudo.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::world::{By, Snapshot, TARGET, USER, World, assert_refused, outcome};
use crate::live::lab::skip;
use crate::support::Run;

const ROTATE: [&str; 9] =
    ["watch", "--simulate", TARGET, "--rounds", "2", "--report", "--rotate", "1", "--pcap"];

/// Root whose capabilities are these, as in a container, with sudo's word or without.
fn contained(world: &World, capabilities: &str, by: By, args: &[&str]) -> Run {
    let bounds = format!("--bounding-set={capabilities}");
    let words = world.words(by);
    let mut command = world.command("setpriv", &[bounds.as_str()]);
    outcome(command.args(words).args(args))
}

/// A named user's file is never opened as root.
#[test]
fn who_cannot_become_the_named_user_goes_no_further() {
    let Some(world) = World::new() else { return };
    let args = ["--simulate", TARGET, "--pcap", "out.pcap"];
    for (capabilities, step) in [
        ("-all,+net_raw,+setgid,+dac_override", "change the user"),
        ("-all,+net_raw,+setuid,+dac_override", "change the groups"),
        ("-all,+net_raw", "change the groups"),
    ] {
        let run = contained(&world, capabilities, By::Sudo, &args);
        let words = format!(
            "cannot run as the user that SUDO_UID={USER} names: cannot {step}: Operation not permitted: unset SUDO_UID"
        );
        assert_refused(&run, &[&words], capabilities);
    }
    // A user namespace that knows no other user.
    let script = format!("exec {} \"$@\"", world.words(By::Sudo).join(" "));
    let mut command = world.command("unshare", &["-r", "sh", "-c", &script, "sh"]);
    assert_refused(&outcome(command.args(args)), &["names: cannot change the"], "unshare");
    for (variable, value) in [("SUDO_UID", "x"), ("PKEXEC_UID", "-1"), ("DOAS_USER", "\u{1}nobody")]
    {
        let run = outcome(world.rtrace(By::Root).args(args).env(variable, value));
        assert_refused(&run, &[&format!("unset {variable}")], variable);
    }
    assert!(!world.path("home/out.pcap").exists());
}

#[test]
fn files_rotate_for_root_in_a_container_where_the_directory_is_roots() {
    let Some(world) = World::new() else { return };
    let at = world.text("root/out.pcapng");
    for capabilities in ["-all,+net_raw", "-all", "+all"] {
        let run = contained(&world, capabilities, By::Root, &[&ROTATE[..], &[&at]].concat());
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{capabilities}");
        let files = fs::read_dir(world.path("root")).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.collect();
        assert_eq!(files.len(), 2, "{capabilities}: {files:?}");
        for file in files {
            assert_eq!(fs::metadata(&file).unwrap().uid(), 0);
            fs::remove_file(file).unwrap();
        }
    }
    // Who would have to write is said where they may not.
    let there = world.text("other/out.pcapng");
    let run = contained(&world, "-all,+net_raw", By::Root, &[&ROTATE[..], &[&there]].concat());
    assert_refused(&run, &["as uid 0, which needs to write to its directory"], "other");
}

/// Root of a user namespace, where what is the machine's root's is nobody's: the usual names work.
#[test]
fn root_of_a_user_namespace_records() {
    let Some(world) = World::new() else { return };
    let user = [&*format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"];
    let namespace = ["unshare", "--map-root-user", "bash", "-c"];
    let program = world.words(By::Root).join(" ");
    for file in ["/dev/stdout", "/dev/null", "out.pcap"] {
        let script = format!(
            "set -o pipefail; test $(id -u) = 0 && {program} --simulate {TARGET} -n --format csv --pcap {file} | cat"
        );
        let mut command = world.command("setpriv", &[&user[..], &namespace].concat());
        let run = outcome(command.arg(script));
        assert_eq!(run.status, 0, "{file}");
        // A recording on stdout sends the report to stderr.
        let report = if file == "/dev/stdout" { "source,target,ttl," } else { "" };
        assert!(run.stderr.starts_with(report), "{file}: {}", run.stderr);
        assert_eq!(run.stderr.is_empty(), report.is_empty(), "{file}: {}", run.stderr);
    }
    assert!(fs::metadata(world.path("home/out.pcap")).unwrap().len() > 1_000);
}

/// The real program, with users and rules of its own in a mount namespace.
#[test]
fn a_real_sudo_runs_it_as_the_user_with_the_users_groups() {
    if Command::new("sudo").arg("--version").output().is_err() {
        return skip("needs sudo");
    }
    let Some(world) = World::new() else { return };
    let rules = format!("rtraceuser ALL=(root) NOPASSWD: {}\n", world.text("bin/plain"));
    let passwd = format!(
        "root:x:0:0::/root:/bin/sh\nrtraceuser:x:{USER}:{USER}::{}:/bin/sh\n",
        world.text("home")
    );
    let group = format!("root:x:0:\nrtraceuser:x:{USER}:\nextra:x:54321:rtraceuser\n");
    world.file("bin/sudoers", rules, 0, 0o440);
    world.file("bin/passwd", passwd, 0, 0o644);
    world.file("bin/group", group, 0, 0o644);
    world.file(
        "bin/shadow",
        "root:*:19000:0:99999:7:::\nrtraceuser:*:19000:0:99999:7:::\n",
        0,
        0o600,
    );
    let victim = world.file("root/victim", "root's", 0, 0o600);
    let before = Snapshot::of(&victim);
    world.link("home/link.pcap", &victim);
    // Readable by a group of the user's alone.
    let shared = world.recording("other/of-group.pcapng", 0o640);
    std::os::unix::fs::chown(&shared, None, Some(54_321)).unwrap();
    let mounts: Vec<_> = ["sudoers", "passwd", "shadow", "group"]
        .map(|name| format!("mount --bind {} /etc/{name}", world.text(&format!("bin/{name}"))))
        .into();
    let by_sudo = |args: &str| {
        let script = format!(
            "{} && exec setpriv --reuid={USER} --regid={USER} --init-groups sudo -n {} {args}",
            mounts.join(" && "),
            world.text("bin/plain"),
        );
        let mut command = world.command("unshare", &["--mount", "sh", "-c", &script]);
        outcome(&mut command)
    };
    let done = by_sudo(&format!("--simulate {TARGET} --pcap out.pcap --stats"));
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(done.stderr.contains("named by SUDO_UID"), "{}", done.stderr);
    assert_eq!(fs::metadata(world.path("home/out.pcap")).unwrap().uid(), USER);
    let refused = by_sudo(&format!("--simulate {TARGET} --pcap link.pcap"));
    assert_refused(&refused, &["named by SUDO_UID: unset SUDO_UID to write as root"], "a link");
    assert_eq!(Snapshot::of(&victim), before);
    let read = by_sudo(&format!("replay {}", shared.display()));
    assert_eq!((read.status, read.stderr.as_str()), (0, ""), "by a group of the user's");
}
