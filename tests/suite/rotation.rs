//! Recordings that rotate: each file replays by itself, and all of them together are the recording.

use std::fs;
use std::path::{Path, PathBuf};

use crate::identity::world::World;
use crate::live::lab::{Lab, TARGET as LIVE_TARGET};
use crate::support::{path_in, replay, run, scratch};

const TARGET: &str = "203.0.113.9";

/// The files in a directory that are a rotating recording's, in the order of their names.
fn files(directory: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let of_recording =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("out-2");
    let mut files: Vec<_> = names.filter(of_recording).collect();
    files.sort_unstable();
    files
}

/// The lines of a watch's stream that tell of rounds.
fn rounds(stream: &str) -> Vec<String> {
    let of_round = |line: &&str| line.starts_with("{\"event\":\"round\"");
    stream.lines().filter(of_round).map(str::to_owned).collect()
}

#[test]
fn the_files_together_have_the_rounds_of_one() {
    let dir = scratch();
    let one = path_in(&dir, "one.pcapng");
    let out = path_in(&dir, "out.pcapng");
    let watch = ["watch", "--simulate", "--rounds", "60", "--format", "ndjson", TARGET];
    let whole = run(&[&watch[..], &["--pcap", one.to_str().unwrap()]].concat());
    let rotated =
        run(&[&watch[..], &["--pcap", out.to_str().unwrap(), "--rotate", "20k"]].concat());
    assert_eq!((&rotated.stdout, rotated.stderr.as_str()), (&whole.stdout, ""));
    assert!(!out.exists());

    let files = files(dir.path());
    assert!(files.len() > 4, "{files:?}");
    let mut all = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("out-20260101T000") && name.ends_with("Z.pcapng"), "{name}");
        let alone = replay(file, &["--format", "ndjson"]);
        assert_eq!((alone.status, alone.stderr.as_str()), (0, ""), "{name}");
        assert!(alone.stdout.contains("gateway.home.example"), "{name} has names");
        all.extend(rounds(&alone.stdout));
        // Comments count the frames of their own file.
        let bytes = fs::read(file).unwrap();
        let comment = |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
        assert!(comment("reply to frame 1:") || comment("reply to frame 2:"), "{name}");
        // Rotated as soon as it has its size, but for a round at most.
        let last = index + 1 == files.len();
        assert!(last || (20_000..26_000).contains(&bytes.len()), "{name}: {}", bytes.len());
    }
    assert_eq!(all, rounds(&whole.stdout));
    assert_eq!(all, rounds(&replay(&one, &["--format", "ndjson"]).stdout));
    // As `cat out-*.pcapng` has them.
    let joined = path_in(&dir, "joined.pcapng");
    fs::write(&joined, files.iter().flat_map(|file| fs::read(file).unwrap()).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(replay(&joined, &["--format", "ndjson"]).stdout, whole.stdout);
}

#[test]
fn only_the_last_files_of_this_run_are_kept() {
    let dir = scratch();
    let older = path_in(&dir, "out-20250101T000000.000Z.pcapng");
    fs::write(&older, "of another run").unwrap();
    let out = path_in(&dir, "out.pcapng");
    let args = ["watch", "--simulate", "--rounds", "60", "--format", "ndjson", TARGET, "--pcap"];
    let rotate = [out.to_str().unwrap(), "--rotate", "10000", "--keep", "3"];
    let stream = run(&[&args[..], &rotate].concat()).stdout;
    let files = files(dir.path());
    assert_eq!((files.len(), files.first()), (4, Some(&older)));
    let kept =
        files[1..].iter().flat_map(|file| rounds(&replay(file, &["--format", "ndjson"]).stdout));
    let kept: Vec<_> = kept.collect();
    let rounds = rounds(&stream);
    assert_eq!(kept, rounds[rounds.len() - kept.len()..]);
}

#[test]
fn a_classic_pcap_rotates_too() {
    let dir = scratch();
    let out = path_in(&dir, "out.pcap");
    let args = ["report", "--simulate", TARGET, "--rotate", "1k", "--pcap"];
    assert_eq!(run(&[&args[..], &[out.to_str().unwrap()]].concat()).status, 0);
    let files = files(dir.path());
    assert!(files.len() > 4, "{files:?}");
    assert!(files.iter().all(|file| replay(file, &["-n", "-q1"]).stdout.contains(TARGET)));
}

#[test]
fn what_cannot_rotate_is_said_at_once() {
    let dir = scratch();
    let nowhere = path_in(&dir, "none/out.pcapng");
    for (args, words) in [
        (["--rotate", "5", "--keep", "2"], "--pcap"),
        (["--pcap", "-", "--rotate", "5k"], "needs a file name"),
        (["--pcap", "a.pcap", "--rotate", "5X"], "100MB"),
        (["--pcap", "a.pcap", "--keep", "5"], "--rotate"),
        (["--pcap", nowhere.to_str().unwrap(), "--rotate", "5"], "none: No such file"),
    ] {
        let failed = run(&[&["watch", "--simulate", TARGET, "--rounds", "2"], &args[..]].concat());
        assert_eq!((failed.status, failed.stdout.as_str()), (2, ""), "{args:?}");
        assert!(failed.stderr.contains(words), "{args:?}: {}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{args:?}: {}", failed.stderr);
    }
}

#[test]
fn a_file_that_cannot_be_made_ends_the_recording_but_not_the_watch() {
    let (dir, other) = (scratch(), scratch());
    let watch = |dir| {
        let out = path_in(dir, "out.pcapng");
        let args =
            ["watch", "--simulate", "--rounds", "60", "--format", "ndjson", TARGET, "--pcap"];
        run(&[&args[..], &[out.to_str().unwrap(), "--rotate", "20k"]].concat())
    };
    let whole = watch(&dir);
    // Virtual time: the same names again, of which the second is taken.
    let names = files(dir.path());
    fs::create_dir(path_in(&other, names[1].file_name().unwrap().to_str().unwrap())).unwrap();
    let without = watch(&other);
    assert_eq!((without.stdout, without.status), (whole.stdout, 2));
    assert!(without.stderr.contains("goes on without a recording"), "{}", without.stderr);
    assert_eq!(without.stderr.lines().count(), 1, "{}", without.stderr);
    assert_eq!(fs::read(&files(other.path())[0]).unwrap(), fs::read(&names[0]).unwrap());
}

#[test]
fn files_are_made_by_the_user_who_called_sudo() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let Some(lab) = Lab::up("ten-hops") else { return };
    let Some(world) = World::new() else { return };
    let directory = world.path("root");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let args = ["watch", "-n", "--rounds", "4", "--interval", "0.05", "--rotate", "1", "--pcap"];
    let watch = || {
        let mut command = lab.rtrace(args);
        command.arg(directory.join("out.pcapng")).arg(LIVE_TARGET);
        command.env("SUDO_UID", "12345").env("SUDO_GID", "12345").output().unwrap()
    };
    let refused = watch();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("as uid 12345, which needs to write"), "{stderr}");
    assert!(stderr.contains("unset SUDO_UID to write as root"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(files(&directory).is_empty());

    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let done = watch();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let files = files(&directory);
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert_eq!(fs::metadata(&file).unwrap().uid(), 12345);
        assert_eq!(rounds(&replay(&file, &["--format", "ndjson"]).stdout).len(), 1);
    }
}
