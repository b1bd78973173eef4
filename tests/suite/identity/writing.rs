//! What is written where others could choose the file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use rtrace::privilege::files;

use super::world::{
    By, OTHER, SECRET, Snapshot, TARGET, USER, USERS, World, assert_refused, outcome,
};
use crate::live::lab::run;
use crate::support::replay;

/// What writes a file: its name, and the arguments for a file of this name.
type Writes = (&'static str, fn(&str) -> Vec<String>);

/// The first file of a simulated watch, always.
const ROTATED: &str = "out-20260101T000000.000Z.pcapng";

const OPTIONS: [Writes; 3] = [
    ("out.pcapng", |file| words(&["--simulate", TARGET, "--pcap", file])),
    ("out.json", |file| words(&["--simulate", TARGET, &format!("--stats={file}")])),
    (ROTATED, |file| {
        let asked = file.replace(ROTATED, "out.pcapng");
        let watch = ["watch", "--simulate", TARGET, "--rounds", "2", "--report", "--rotate", "1"];
        words(&[&watch[..], &["--pcap", &asked]].concat())
    }),
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What is put where rtrace is to write, so that something of root's is hit.
type Trap = (&'static str, fn(&World, &str));

const TRAPS: [Trap; 7] = [
    ("a link to root's file", |world, at| world.link(at, world.path("root/victim"))),
    ("a dangling link", |world, at| world.link(at, world.path("root/new"))),
    ("a hard link", |world, at| {
        fs::hard_link(world.path("root/victim"), world.path(at)).unwrap();
    }),
    ("a link to a device", |world, at| world.link(at, world.path("root/device"))),
    ("a link to a pipe", |world, at| world.link(at, world.path("root/pipe"))),
    ("a link through /proc", |world, at| {
        world.link(at, format!("/proc/self/root{}", world.text("root/victim")));
    }),
    ("a link to a link of root's", |world, at| world.link(at, world.path("root/link"))),
];

/// Root's directory, with something in it of every kind.
fn attacked() -> Option<World> {
    let world = World::new()?;
    world.file("root/victim", format!("{SECRET}\n").repeat(100), 0, 0o600);
    world.device("root/device");
    world.fifo("root/pipe", 0, 0o600);
    std::os::unix::fs::symlink("victim", world.path("root/link")).unwrap();
    Some(world)
}

/// Root's directory as it has to stay.
fn everything_of_roots(world: &World) -> Vec<(String, Snapshot)> {
    let entries = fs::read_dir(world.path("root")).unwrap().map(|entry| entry.unwrap());
    let seen = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), Snapshot::of(&entry.path()))
    };
    let mut all: Vec<_> = entries.map(seen).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[test]
fn nothing_of_roots_is_written_by_way_of_what_a_user_has_planted() {
    let Some(world) = attacked() else { return };
    let before = everything_of_roots(&world);
    for (name, args) in OPTIONS {
        for (trap, plant) in TRAPS {
            let at = format!("home/{name}");
            plant(&world, &at);
            for by in USERS {
                let case = format!("{by:?}, {trap}, {name}");
                let run = outcome(world.rtrace(by).args(args(&world.text(&at))));
                // Files that rotate follow no link at all.
                assert_refused(&run, &["Permission denied", "symbolic links"], &case);
                assert_eq!(everything_of_roots(&world), before, "{case}");
            }
            fs::remove_file(world.path(&at)).unwrap();
        }
    }
}

/// Wherever others can write: in a directory of theirs, in one of everybody, in one of a group.
#[test]
fn root_does_not_write_by_way_of_what_others_have_planted() {
    let Some(world) = attacked() else { return };
    let before = everything_of_roots(&world);
    for (name, args) in OPTIONS {
        for directory in ["home", "shared", "group"] {
            let at = format!("{directory}/{name}");
            let refused = |case: &str| {
                let case = format!("{case}, {at}");
                let run = outcome(world.rtrace(By::Root).args(args(&world.text(&at))));
                assert_refused(&run, &["other users can write to"], &case);
                assert_eq!(everything_of_roots(&world), before, "{case}");
            };
            for (trap, plant) in TRAPS {
                plant(&world, &at);
                refused(trap);
                fs::remove_file(world.path(&at)).unwrap();
            }
            // Nobody reads from it: who opened it would wait for ever.
            world.fifo(&at, USER, 0o666);
            refused("a pipe");
            fs::remove_file(world.path(&at)).unwrap();
            world.file(&at, "another's", USER, 0o666);
            refused("a file of another user");
            assert_eq!(fs::read(world.path(&at)).unwrap(), b"another's");
            fs::remove_file(world.path(&at)).unwrap();

            // On the forward path, too.
            world.link(&format!("{directory}/way"), world.path("root"));
            let run = outcome(
                world.rtrace(By::Root).args(args(&world.text(&format!("{directory}/way/{name}")))),
            );
            assert_refused(&run, &["way is a symbolic link, in a directory that other"], directory);
            assert_eq!(everything_of_roots(&world), before, "{directory}");
            fs::remove_file(world.path(&format!("{directory}/way"))).unwrap();
        }
    }
}

#[test]
fn what_is_not_the_users_stays_closed_by_whatever_name() {
    let Some(world) = attacked() else { return };
    let before = everything_of_roots(&world);
    let victim = world.text("root/victim");
    let new = world.text("other/out.pcap");
    for by in USERS {
        for path in [
            victim.as_str(),
            &world.text("root/new.pcap"),
            &format!("/proc/self/root{victim}"),
            &format!("/proc/1/root{victim}"),
            "/proc/sys/kernel/core_pattern",
            "/dev/stdin",
            "/dev/fd/0",
            &new,
            "../other/out.pcap",
        ] {
            for option in ["--pcap=", "--stats="] {
                let mut command = world.rtrace(by);
                // An open descriptor of root's file does not open it once more for writing.
                command.stdin(fs::File::open(&victim).unwrap());
                command.args(["--simulate", TARGET, &format!("{option}{path}")]);
                let case = format!("{by:?} {option}{path}");
                assert_refused(&outcome(&mut command), &["Permission denied"], &case);
                assert_eq!(everything_of_roots(&world), before, "{case}");
            }
        }
        for directory in ["root", "other"] {
            let asked = world.text(&format!("{directory}/{ROTATED}"));
            let run = outcome(world.rtrace(by).args(OPTIONS[2].1(&asked)));
            let case = format!("{by:?} {directory}");
            assert_refused(&run, &["Permission denied"], &case);
            assert_eq!(everything_of_roots(&world), before, "{case}");
        }
    }
    assert!(!Path::new(&new).exists());
}

/// What the identity may do it does, and what comes of it is its own.
#[test]
fn files_belong_to_whom_they_are_opened_as() {
    let Some(world) = World::new() else { return };
    for (by, owner, directories) in [
        (By::Sudo, USER, &["home", "shared"][..]),
        (By::SetUserId, USER, &["home", "shared"]),
        (By::FileCapability, USER, &["home", "shared"]),
        (By::Root, 0, &["root", "shared", "group", "home"]),
    ] {
        for directory in directories {
            for (name, args) in OPTIONS {
                let at = world.path(&format!("{directory}/{name}"));
                let case = format!("{by:?} {}", at.display());
                // As root without capabilities, which is how files rotate, a user's directory is closed.
                if by == By::Root && (*directory, name) == ("home", ROTATED) {
                    continue;
                }
                for again in [false, true] {
                    let run = outcome(world.rtrace(by).args(args(at.to_str().unwrap())));
                    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{case} {again}");
                    let made = fs::metadata(&at).unwrap();
                    assert_eq!((made.uid(), made.gid()), (owner, owner), "{case}");
                }
                world.empty(directory);
            }
        }
    }
}

/// Names that are exchanged while root looks at them.
#[test]
fn what_is_exchanged_meanwhile_is_not_written_either() {
    let Some(world) = attacked() else { return };
    world.link("shared/link", world.path("root/victim"));
    world.file("shared/out", "", 0, 0o644);
    world.file("shared/other", "", 0, 0o644);
    fs::hard_link(world.path("root/victim"), world.path("shared/hard")).unwrap();
    world.link("shared/way", world.path("root"));
    world.directory("shared/directory", USER, 0o777);
    let before = everything_of_roots(&world);
    let (done, attacker) = (AtomicBool::new(false), |one: &str, other: &str| {
        let [one, other] = [one, other].map(|name| world.path(&format!("shared/{name}")));
        renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                attacker("out", "link");
                attacker("other", "hard");
                attacker("directory", "way");
            }
        });
        for _ in 0..3_000 {
            for name in ["shared/out", "shared/other", "shared/directory/new"] {
                let _ = files::create(&world.path(name));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(everything_of_roots(&world), before);
}

/// A file is empty before it is written, and links that no other user can have made are followed.
#[test]
fn what_was_meant_is_opened() {
    let Some(world) = attacked() else { return };
    let args = ["--simulate", TARGET, "--pcap"];
    let fresh = world.path("root/fresh.pcap");
    run(world.rtrace(By::Root).args(args).arg(&fresh));
    let fresh = fs::read(fresh).unwrap();
    for (by, directory) in [(By::Root, "root"), (By::Sudo, "home"), (By::SetUserId, "home")] {
        let owner = if by == By::Root { 0 } else { USER };
        let at = format!("{directory}/real.pcap");
        let real = world.file(&at, "x".repeat(1_000_000), owner, 0o640);
        world.link(&format!("{directory}/link.pcap"), "./hop.pcap");
        world.link(&format!("{directory}/hop.pcap"), &real);
        world.link(&format!("{directory}/new.pcap"), "made.pcap");
        for (link, to) in [("link", "real"), ("new", "made")] {
            let link = world.path(&format!("{directory}/{link}.pcap"));
            run(world.rtrace(by).args(args).arg(link));
            let written = world.path(&format!("{directory}/{to}.pcap"));
            assert_eq!(fs::read(&written).unwrap(), fresh, "{by:?}: {}", written.display());
            assert_eq!(fs::metadata(&written).unwrap().uid(), owner);
        }
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o7777, 0o640);
        world.empty("home");
    }
    // Devices, and descriptors by name.
    for by in [By::Root, By::Sudo, By::SetUserId, By::FileCapability] {
        let done = outcome(world.rtrace(by).args(args).arg("/dev/null"));
        assert_eq!((done.status, done.stderr.as_str()), (0, ""), "{by:?}");
        let stats = outcome(world.rtrace(by).args(["--simulate", TARGET, "--stats=/dev/full"]));
        assert!(stats.stderr.contains("No space left on device"), "{by:?}: {}", stats.stderr);
        // "-" is stdout itself, whosever the file is.
        let own = world.path("root/stdout.pcap");
        let mut command = world.rtrace(by);
        command.args(args).arg("-").stdout(fs::File::create(&own).unwrap());
        run(command.stderr(Stdio::null()));
        assert_eq!(fs::read(&own).unwrap(), fresh, "{by:?}");
    }
    let mut command = world.rtrace(By::Root);
    command.args(args).args(["/dev/stdout", "--format", "csv"]);
    let output = run(&mut command).stdout;
    assert!(output.starts_with(&fresh[..24]), "begins with a pcap's header");
    // A pipe that root made on purpose, though where others can write.
    world.fifo("shared/pipe", 0, 0o600);
    let reader = Command::new("cat").arg(world.path("shared/pipe")).stdout(Stdio::piped()).spawn();
    run(world.rtrace(By::Root).args(args).arg(world.path("shared/pipe")));
    assert_eq!(reader.unwrap().wait_with_output().unwrap().stdout, fresh);
}

/// Root's shells keep the variables of sudo: what that does is said where it hinders, and how to go on.
#[test]
fn a_refusal_names_the_variable_and_the_way_out() {
    let Some(world) = attacked() else { return };
    let at = world.text("root/out.pcap");
    let refused = outcome(world.rtrace(By::Sudo).args(["--simulate", TARGET, "--pcap", &at]));
    let expected = format!(
        "rtrace: cannot begin the recording: cannot write to {at}: Permission denied (os error 13): files are opened as \
         uid {USER}, named by SUDO_UID: unset SUDO_UID to write as root, or choose a directory of that user\n"
    );
    assert_eq!(refused.stderr, expected);
    let unset = ["-u", "SUDO_UID", "-u", "SUDO_GID"];
    let mut command = world.command("env", &unset);
    command.args(&world.words(By::Root)[1..]).args(["--simulate", TARGET, "--pcap", &at]);
    assert_eq!(outcome(&mut command).status, 0);
    assert_eq!(fs::metadata(&at).unwrap().uid(), 0);
    let read = outcome(world.rtrace(By::Sudo).args(["replay", &at]));
    assert!(
        read.stderr.contains("unset SUDO_UID to read as root, or choose a file"),
        "{}",
        read.stderr
    );
    // Who really is that user is told nothing of the kind.
    let own = outcome(world.rtrace(By::SetUserId).args(["--simulate", TARGET, "--pcap", &at]));
    assert!(own.stderr.ends_with("Permission denied (os error 13)\n"), "{}", own.stderr);
}

#[test]
fn statistics_say_whose_the_files_are() {
    let Some(world) = World::new() else { return };
    for (by, expected) in [
        (By::Root, "uid 0, gid 0".to_owned()),
        (By::Sudo, format!("uid {USER}, gid {USER}, named by SUDO_UID")),
        (By::SetUserId, format!("uid {USER}, gid {USER}, the real user")),
        (By::FileCapability, format!("uid {USER}, gid {USER}")),
    ] {
        let run = outcome(world.rtrace(by).args(["--simulate", TARGET, "--stats"]));
        let line = run.stderr.lines().find(|line| line.starts_with("files are of "));
        assert_eq!(line.map(|line| line[17..].to_owned()), Some(expected), "{}", run.stderr);
    }
}

/// Root records where only root can write, and where another user's directory is named.
#[test]
fn root_writes_in_a_directory_of_another_user_what_is_roots() {
    let Some(world) = World::new() else { return };
    let at = world.path("other/out.pcap");
    run(world.rtrace(By::Root).args(["--simulate", TARGET, "--pcap"]).arg(&at));
    assert_eq!(fs::metadata(&at).unwrap().uid(), 0);
    assert_eq!(fs::metadata(world.path("other")).unwrap().uid(), OTHER);
    assert!(replay(&at, &[]).stdout.contains(TARGET));
}
