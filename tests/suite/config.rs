//! The configuration file, by the program itself.

use std::fs;

use serde_json::Value;

use crate::support::{Run, path_in, replay, rtrace, run, scratch};

const TARGET: &str = "203.0.113.9";

/// A run with a configuration file of this text in the user's own place.
fn with(text: &str, args: &[&str]) -> Run {
    let home = scratch();
    fs::create_dir(path_in(&home, "rtrace")).unwrap();
    fs::write(path_in(&home, "rtrace/config.toml"), text).unwrap();
    let output = rtrace().env("XDG_CONFIG_HOME", home.path()).args(args).output().unwrap();
    Run {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

fn asked(run: &Run) -> Value {
    let document: Value = serde_json::from_str(&run.stdout).expect(&run.stderr);
    document["asked"].clone()
}

#[test]
fn the_file_has_defaults_and_the_command_line_wins() {
    let file = "queries = 2\nmax-hops = 12\nprobe = \"icmp\"\nwait = 0.5\nformat = \"json\"\n";
    let by_file = asked(&with(file, &["--simulate", TARGET]));
    assert_eq!((&by_file["queries"], &by_file["max_ttl"]), (&2.into(), &12.into()));
    assert_eq!((&by_file["probe"], &by_file["wait"]["max"]), (&"icmp-echo".into(), &0.5.into()));
    let by_hand = ["trace", "--simulate", TARGET, "-q", "1", "-T", "-m14"];
    let by_hand = asked(&with(file, &by_hand));
    assert_eq!((&by_hand["queries"], &by_hand["max_ttl"]), (&1.into(), &14.into()));
    assert_eq!(by_hand["probe"], "tcp-syn");
    let text = with(file, &["--simulate", TARGET, "--format", "text"]).stdout;
    assert!(text.starts_with("traceroute to 203.0.113.9 (203.0.113.9), 12 hops max"), "{text}");
    // A form of the file gives way to a short one.
    let short = with("format = \"csv\"", &["--simulate", TARGET, "--json"]);
    assert_eq!(asked(&short)["queries"], 3);
    let watched =
        with("interval = 0.25\nrounds = 3\n", &["watch", "--simulate", TARGET, "--format=ndjson"]);
    let begin: Value = serde_json::from_str(watched.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&begin["interval"], &begin["rounds"]), (&0.25.into(), &3.into()));
}

/// What a map has no use for is no error there, and a run that is resumed stays as it was begun.
#[test]
fn maps_take_what_is_for_them() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    let file = "queries = 2\nflow = \"paris\"\nformat = \"csv\"\nextensions = true\nprobe = \"icmp\"\nmax-hops = 12\n";
    let args = ["paths", "--simulate", TARGET, "--pcap", path];
    let text = with(file, &args).stdout;
    assert!(text.starts_with("paths to 203.0.113.9 (203.0.113.9), 12 hops max"), "{text}");
    let other = "max-hops = 3\nprobe = \"tcp\"\nnumeric = true\n";
    let again = with(other, &["paths", "--simulate", TARGET, "--resume", path, "--json"]);
    let again = asked(&again);
    assert_eq!((&again["probe"], &again["max_ttl"]), (&"icmp-echo".into(), &12.into()));
}

#[test]
fn a_recording_is_not_changed_by_it() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    let live = run(&["--simulate", "--pcap", path, TARGET]);
    let shaping =
        "queries = 1\nmax-hops = 3\nprobe = \"tcp\"\nwait = 0.001\nfirst-hop = 2\ntos = 4\n";
    assert_eq!(with(shaping, &["replay", path]).stdout, live.stdout);
    // What it looks like is another matter.
    let presenting = "numeric = true\nformat = \"csv\"\nextensions = true";
    let expected = replay(&recording, &["-n", "-e", "--format", "csv"]).stdout;
    assert_eq!(with(presenting, &["replay", path]).stdout, expected);
    assert_eq!(with(presenting, &["replay", path, "--list"]).status, 0);
    // What is for rounds does not hinder a single trace.
    assert_eq!(with("columns = \"LS\"\nwide = true", &["replay", path]).stdout, live.stdout);
    // On the screen too it is as it was recorded.
    let rounds = "queries = 1\ninterval = 2\nrounds = 3\nformat = \"json\"\ntheme = \"light\"";
    let shown = with(rounds, &["watch", "--replay", path]);
    assert_eq!(shown.stdout, live.stdout, "{}", shown.stderr);
}

#[test]
fn what_is_wrong_in_it_is_said_in_one_line() {
    for (text, words) in [
        (
            "queries = 2\nmax-hops = 300\n",
            "config.toml:2: max-hops: it must be a number from 1 to 255",
        ),
        ("theme = \"pink\"\n", "config.toml:1: theme: it must be dark, light or plain"),
        ("colour = true\n", "config.toml:1: colour: there is no such key"),
        ("\nqueries = [\n", "config.toml:"),
    ] {
        for command in [&["--simulate", TARGET][..], &["watch", "--simulate", TARGET], &["config"]]
        {
            let failed = with(text, command);
            assert_eq!((failed.status, failed.stdout.as_str()), (2, ""), "{text}");
            assert!(failed.stderr.contains(words), "{text}: {}", failed.stderr);
            assert_eq!(failed.stderr.lines().count(), 1, "{text}: {}", failed.stderr);
        }
    }
    let missing = run(&["--config", "/nonexistent/c.toml", "--simulate", TARGET]);
    assert_eq!(missing.status, 2);
    assert!(missing.stderr.contains("cannot read /nonexistent/c.toml"), "{}", missing.stderr);
}

#[test]
fn the_default_file_is_what_holds_without_it() {
    let default = run(&["config", "--default"]);
    assert_eq!(default.status, 0);
    assert!(default.stdout.lines().all(|line| line.len() <= 120), "{}", default.stdout);
    let dir = scratch();
    let file = path_in(&dir, "mine.toml");
    fs::write(&file, &default.stdout).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    for args in [
        &["--simulate", "--json", TARGET][..],
        &["watch", "--simulate", "--rounds", "3", "--format", "ndjson", "target.example"],
        &["report", "--simulate", "-6", "target.example"],
    ] {
        assert_eq!(run(&[args, &config].concat()).stdout, run(args).stdout, "{args:?}");
    }
    let said = with("queries = 2\n", &["config"]).stdout;
    assert!(said.ends_with("rtrace/config.toml\nqueries: --queries=2\n"), "{said}");
    assert!(run(&["config"]).stdout.ends_with("config.toml: not there\n"));
}

/// What stands in the way of the user's own file is named in one short line, with the way out.
#[test]
fn a_place_without_a_file_is_named_with_what_to_do() {
    let home = scratch();
    let dir = path_in(&home, "directory");
    fs::create_dir_all(dir.join("rtrace/config.toml")).unwrap();
    let looped = path_in(&home, "loop");
    fs::create_dir(&looped).unwrap();
    std::os::unix::fs::symlink("rtrace", looped.join("rtrace")).unwrap();
    let place = |path: &std::path::Path| path.join("rtrace/config.toml").display().to_string();
    let instead = "set XDG_CONFIG_HOME to another directory, or remove it\n";
    let shorter =
        "…rtrace/config.toml: the path is too long: set XDG_CONFIG_HOME to a shorter one\n";
    for (home, words) in [
        (
            dir.clone(),
            format!("{} is a directory, not a configuration file: {instead}", place(&dir)),
        ),
        (looped.clone(), format!("{} is a loop of symbolic links: {instead}", place(&looped))),
        (format!("/{}", "a".repeat(300)).into(), shorter.to_owned()),
        (format!("/{}", "a".repeat(5_000)).into(), shorter.to_owned()),
    ] {
        let args = ["--simulate", TARGET];
        let output = rtrace().env("XDG_CONFIG_HOME", home).args(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let (start, end) = words.split_once('…').unwrap_or(("", &words));
        assert!(said.starts_with(&format!("rtrace: {start}")) && said.ends_with(end), "{said}");
        assert!(said.lines().count() == 1 && said.len() < 300, "{said}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}
