//! What is read: nothing that the user who named it could not read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use super::world::{By, SECRET, TARGET, USER, USERS, World, assert_refused, outcome};
use crate::terminal::OnTerminal;

/// A file of root's, and the arguments that read what is at a path.
type Input = (&'static str, fn(&str) -> Vec<String>);

const INPUTS: [Input; 11] = [
    ("config.toml", |file| words(&["config", "--config", file])),
    ("config.toml", |file| words(&["--config", file, "--simulate", TARGET])),
    ("topology.toml", |file| words(&[&format!("--simulate={file}"), TARGET])),
    ("asn.mmdb", |file| words(&["--simulate", TARGET, "--asn-db", file])),
    ("asn.mmdb", |file| words(&["--simulate", TARGET, "--geo-db", file])),
    ("old.pcapng", |file| words(&["replay", file])),
    ("old.pcapng", |file| words(&["replay", "--list", "--json", file])),
    ("old.pcapng", |file| words(&["show", file, "1"])),
    ("old.pcapng", |file| words(&["diff", file, file])),
    ("old.pcapng", |file| words(&["diff", "--json", file, file])),
    ("old.pcapng", |file| words(&["paths", "--simulate", TARGET, "--resume", file])),
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Files of root's for all of them.
fn with_secrets() -> Option<World> {
    let world = World::new()?;
    world.file("root/config.toml", format!("{SECRET} = 1\n"), 0, 0o600);
    world.file("root/topology.toml", format!("{SECRET} = 1\n"), 0, 0o600);
    world.database("root/asn.mmdb");
    world.recording("root/old.pcapng", 0o600);
    Some(world)
}

#[test]
fn roots_files_are_not_read_by_way_of_a_users_names() {
    let Some(world) = with_secrets() else { return };
    for (name, args) in INPUTS {
        let (at, root) = (format!("home/{name}"), world.text(&format!("root/{name}")));
        let through = format!("/proc/self/root{root}");
        for target in [&root, &through] {
            world.link(&at, target);
            for path in [&world.text(&at), target] {
                for by in USERS {
                    let case = format!("{by:?} {:?}", args(path));
                    let run = outcome(world.rtrace(by).args(args(path)));
                    assert_refused(&run, &["Permission denied"], &case);
                }
            }
            for directory in ["home", "shared", "group"] {
                let at = format!("{directory}/link-{name}");
                world.link(&at, target);
                let path = world.text(&at);
                let run = outcome(world.rtrace(By::Root).args(args(&path)));
                assert_refused(&run, &["other users can write to"], &format!("{:?}", args(&path)));
                fs::remove_file(world.path(&at)).unwrap();
            }
            fs::remove_file(world.path(&at)).unwrap();
        }
        // A pipe that nobody writes to would be waited for.
        world.fifo(&at, USER, 0o666);
        let run = outcome(world.rtrace(By::Root).args(args(&world.text(&at))));
        assert_refused(&run, &["other users can write to"], &format!("a pipe, {:?}", args(&at)));
        fs::remove_file(world.path(&at)).unwrap();
    }
}

/// Or the test above would show nothing.
#[test]
fn root_sees_the_secrets() {
    let Some(world) = with_secrets() else { return };
    for (name, args) in INPUTS {
        let run = outcome(world.rtrace(By::Root).args(args(&world.text(&format!("root/{name}")))));
        let opened = !run.stderr.contains("cannot open") && !run.stderr.contains("cannot read");
        assert!(opened, "{name}: {}", run.stderr);
        if ["config.toml", "topology.toml"].contains(&name)
            || name == "old.pcapng" && args("x") == ["replay", "x"]
        {
            let shown = run.stdout + &run.stderr;
            assert!(shown.contains(SECRET), "{name}: {shown}");
        }
    }
}

#[test]
fn nor_is_a_recording_on_the_screen() {
    let Some(world) = with_secrets() else { return };
    world.link("home/old.pcapng", world.path("root/old.pcapng"));
    let path = world.text("home/old.pcapng");
    for by in [By::Sudo, By::SetUserId, By::FileCapability, By::Root] {
        let mut command = world.command("setsid", &["--ctty"]);
        command.args(world.words(by)).args(["watch", "--replay", &path]);
        let (output, status) = OnTerminal::of(command).finish();
        assert_eq!(status, Some(2), "{by:?}: {output:?}");
        let words = ["Permission denied", "other users can write to"];
        assert!(words.iter().any(|words| output.contains(words)), "{by:?}: {output:?}");
        assert!(!output.contains(SECRET), "{by:?}: {output:?}");
    }
}

/// The user's own configuration, wherever the environment says that it is.
#[test]
fn nor_is_a_configuration_that_the_environment_names() {
    let Some(world) = with_secrets() else { return };
    for directory in ["xdg", "xdg/rtrace", "at", "at/.config", "at/.config/rtrace"] {
        world.directory(&format!("home/{directory}"), USER, 0o755);
    }
    for (directory, variable) in [("xdg/rtrace", "xdg"), ("at/.config/rtrace", "at")] {
        let file = format!("home/{directory}/config.toml");
        world.link(&file, world.path("root/config.toml"));
        let place = world.path(&format!("home/{variable}"));
        for by in [By::Sudo, By::SetUserId, By::FileCapability, By::Root] {
            let mut command = world.rtrace(by);
            if variable == "xdg" {
                command.env("XDG_CONFIG_HOME", &place);
            } else {
                command.env_remove("XDG_CONFIG_HOME").env("HOME", &place);
            }
            for args in [&["config"][..], &["--simulate", TARGET]] {
                let run = outcome(command.args(args));
                let shown = run.stdout + &run.stderr;
                assert!(!shown.contains(SECRET), "{by:?} {variable}: {shown}");
            }
        }
    }
    // One's own is read, by a set-user-ID program too.
    fs::remove_file(world.path("home/xdg/rtrace/config.toml")).unwrap();
    world.file("home/xdg/rtrace/config.toml", "max-hops = 7\n", USER, 0o600);
    for by in USERS {
        let mut command = world.rtrace(by);
        command.env("XDG_CONFIG_HOME", world.path("home/xdg")).args(["--simulate", TARGET]);
        let run = outcome(&mut command);
        assert!(run.stdout.contains(" 7 hops max"), "{by:?}: {}{}", run.stdout, run.stderr);
    }
}

/// While the configuration is read no privilege is in effect, and the user is the user.
#[test]
fn a_configuration_is_read_without_privilege() {
    let Some(world) = World::new() else { return };
    world.fifo("home/pipe", USER, 0o600);
    for by in USERS {
        let mut command = world.rtrace(by);
        command.args(["--config", "pipe", "--simulate", TARGET]).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        // Opened once it is being read.
        let mut writer = OpenOptions::new().write(true).open(world.path("home/pipe")).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let user = USER.to_string();
        assert_eq!(field("Uid:"), [&*user; 4], "{by:?}");
        assert_eq!(field("Gid:"), [&*user; 4], "{by:?}");
        assert_eq!(field("CapEff:"), ["0000000000000000"], "{by:?}");
        // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW; or the last alone, where the file lends it.
        let lent = [By::FileCapability, By::SetUserId].contains(&by);
        let kept = if lent { "0000000000002000" } else { "0000000000003400" };
        assert_eq!(field("CapPrm:"), [kept], "{by:?}");
        assert_eq!(field("NoNewPrivs:"), ["1"], "{by:?}");
        writer.write_all(b"queries = 2\n").unwrap();
        drop(writer);
        assert!(child.wait().unwrap().success(), "{by:?}");
    }
}

/// A set-group-ID program has its user's group, before it opens anything.
#[test]
fn a_group_that_the_file_gives_is_given_up() {
    let Some(world) = World::new() else { return };
    world.file("home/config.toml", format!("{SECRET} = 1\n"), 0, 0o640);
    let program = world.text("bin/set-group-id");
    let user =
        [&*format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", &program];
    let mut command = world.command("setpriv", &user);
    let refused = outcome(command.args(["config", "--config", "config.toml"]));
    assert_refused(&refused, &["Permission denied"], "a file of the group");
    let mut command = world.command("setpriv", &user);
    let made = outcome(command.args(["--simulate", TARGET, "--pcap", "out.pcap"]));
    assert_eq!(made.status, 0, "{}", made.stderr);
    assert_eq!(fs::metadata(world.path("home/out.pcap")).unwrap().gid(), USER);
    // The group would have been enough.
    let mut group =
        world.command("setpriv", &["--reuid=12345", "--regid=0", "--clear-groups", "cat"]);
    assert!(outcome(group.arg("config.toml")).stdout.contains(SECRET));
}

/// What a shell makes of `<(...)`, for users and for root.
#[test]
fn pipes_of_a_shell_are_read() {
    let Some(world) = with_secrets() else { return };
    let readable = world.recording("home/mine.pcapng", 0o644);
    for by in [By::Root, By::SetUserId, By::FileCapability] {
        let words = world.words(by);
        let (program, before) = words.split_last().unwrap();
        let script = format!("{program} replay <(cat {})", readable.display());
        let mut shell = world.command(&before[0], &before[1..]);
        let run = outcome(shell.args(["bash", "-c", &script]));
        assert_eq!(run.status, 0, "{by:?}: {}", run.stderr);
        assert!(run.stdout.contains(TARGET), "{by:?}: {}", run.stdout);
        let mut piped = world.rtrace(by);
        piped.args(["replay", "-"]).stdin(fs::File::open(&readable).unwrap());
        assert_eq!(outcome(&mut piped).stdout, run.stdout, "{by:?}");
    }
    // A database is never waited for.
    world.fifo("home/pipe.mmdb", USER, 0o600);
    let mut command = world.rtrace(By::Sudo);
    command.args(["--simulate", TARGET, "--asn-db", "pipe.mmdb"]);
    assert_refused(&outcome(&mut command), &["is not a file"], "a pipe as a database");
}
