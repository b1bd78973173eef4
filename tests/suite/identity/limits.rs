//! What a caller can take away before the program begins: its standard descriptors, descriptors at all, and room for
//! files.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::world::{By, TARGET, USER, USERS, World, outcome};
use crate::live::lab::{Lab, TARGET as LIVE_TARGET};
use crate::support::Run;

/// A shell that takes something away and goes on as rtrace, run so.
fn without(world: &World, by: By, taking: &str, args: &[&str]) -> Run {
    let words = world.words(by);
    // Within what changes the user: limits and descriptors are handed on.
    let script = format!("{taking}; exec \"$@\"");
    let command =
        [&["-c", &script, "sh"], &words.iter().map(String::as_str).collect::<Vec<_>>()[..], args];
    outcome(&mut world.command("sh", &command.concat()))
}

/// A file that got descriptor 2 would have the errors written into it.
#[test]
fn closed_standard_descriptors_are_not_taken_by_files() {
    let Some(world) = World::new() else { return };
    let args = ["--simulate", TARGET, "--pcap", "out.pcap"];
    for by in [By::Sudo, By::SetUserId, By::FileCapability] {
        let whole = without(&world, by, ":", &args);
        assert_eq!(whole.status, 0, "{by:?}: {}", whole.stderr);
        let expected = fs::read(world.path("home/out.pcap")).unwrap();
        for closed in ["exec <&-", "exec >&-", "exec 2>&-", "exec <&- >&- 2>&-"] {
            fs::remove_file(world.path("home/out.pcap")).unwrap();
            // Errors there are too: a name that cannot be written.
            let status = without(&world, by, closed, &args).status;
            assert!([0, 2].contains(&status), "{by:?} {closed}: {status}");
            assert_eq!(fs::read(world.path("home/out.pcap")).unwrap(), expected, "{by:?} {closed}");
            let both = [&args[..], &["--stats=/dev/full"]].concat();
            assert_eq!(without(&world, by, closed, &both).status, 2, "{by:?} {closed}");
            assert_eq!(fs::read(world.path("home/out.pcap")).unwrap(), expected, "{by:?} {closed}");
        }
    }
}

#[test]
fn few_descriptors_are_an_error_and_no_crash() {
    let Some(world) = World::new() else { return };
    for by in [By::SetUserId, By::Root] {
        let (mut failed, mut done) = (0, 0);
        for most in 3..=14 {
            let limit = format!("ulimit -n {most}");
            let args = ["watch", "--simulate", TARGET, "--rounds", "2", "--report"];
            let to = world.text(if by == By::Root { "root" } else { "home" });
            let (file, stats) = (format!("{to}/out.pcapng"), format!("--stats={to}/out.json"));
            let recorded = ["--pcap", &file, "--rotate", "1", &stats];
            let run = without(&world, by, &limit, &[&args[..], &recorded].concat());
            assert!(!run.stderr.contains("panicked"), "{by:?} {most}: {}", run.stderr);
            failed += u32::from(run.status != 0);
            done += u32::from(run.status == 0);
        }
        assert!(failed > 0 && done > 0, "{by:?}: {failed} {done}");
    }
}

#[test]
fn few_descriptors_are_no_crash_of_a_live_trace() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let Some(world) = World::new() else { return };
    let (mut failed, mut done) = (0, 0);
    for most in 3..=16 {
        let program = world.words(By::Sudo).join(" ");
        let script =
            format!("ulimit -n {most}; exec {program} -n -q1 --pcap out.pcap {LIVE_TARGET}");
        let mut command = lab.on("src", "sh");
        let run = outcome(command.args(["-c", &script]).current_dir(world.path("home")));
        assert!(!run.stderr.contains("panicked"), "{most}: {}", run.stderr);
        failed += u32::from(run.status == 2);
        done += u32::from(run.status == 0);
    }
    assert!(failed > 0 && done > 0, "{failed} {done}");
}

/// A recording that may not grow is an error of the recording: the trace is reported all the same.
#[test]
fn a_limit_to_the_size_of_files_does_not_end_the_program() {
    let Some(world) = World::new() else { return };
    for by in USERS {
        let run =
            without(&world, by, "ulimit -f 4", &["--simulate", TARGET, "--pcap", "out.pcapng"]);
        assert_eq!(run.status, 2, "{by:?}: {}", run.stderr);
        assert!(run.stderr.contains("File too large"), "{by:?}: {}", run.stderr);
        assert!(run.stdout.contains(TARGET), "{by:?}: {}", run.stdout);
        let made = fs::metadata(world.path("home/out.pcapng")).unwrap();
        assert_eq!((made.uid(), made.size() <= 4096), (USER, true), "{by:?}");
        fs::remove_file(world.path("home/out.pcapng")).unwrap();
    }
}
