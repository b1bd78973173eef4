//! The program as a user or a script meets it: without network, without privilege.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use crate::support::{path_in, replay, root, rtrace, run, scratch};

const TARGET: &str = "203.0.113.9";

#[test]
fn the_simulated_network_is_there_for_a_newcomer() {
    let first = run(&["--simulate", TARGET]);
    assert_eq!(first.status, 0, "{}", first.stderr);
    assert!(first.stdout.contains(&format!("({TARGET}), 30 hops max, 60 byte packets\n 1  ")));
    assert!(first.stdout.lines().count() > 5);
    assert_eq!(run(&["--simulate", TARGET]).stdout, first.stdout, "the same each time");
    assert_eq!(first.stderr, "");
}

#[test]
fn what_routers_append_is_shown_as_traceroute_shows_it() {
    for options in [&["-4"][..], &["-6"], &["-6", "-I"], &["-T"]] {
        let report = run(&[&["--simulate", "-n", "-e", "target.example"], options].concat()).stdout;
        for shown in [
            "<MPLS:L=24005,E=0,S=0,T=1/L=16022,E=0,S=1,T=1>  ",
            "<2/11:00000205,0c78652d,302f302f,31000000,00002328>  ",
        ] {
            assert!(report.contains(shown), "{options:?}: {report}");
        }
        let plain = run(&[&["--simulate", "-n", "target.example"], options].concat()).stdout;
        assert!(!plain.contains("MPLS"), "{plain}");
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_status_2() {
    let dir = scratch();
    let missing = path_in(&dir, "missing.pcap");
    let empty = path_in(&dir, "empty.pcap");
    fs::write(&empty, "").unwrap();
    let bad_topology = path_in(&dir, "bad.toml");
    fs::write(&bad_topology, "[[hop]]\nadress = \"192.0.2.1\"\n").unwrap();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    for (args, words) in [
        (vec!["replay".into(), text(&missing)], "cannot open"),
        (vec!["replay".into(), text(&empty)], "nothing was recorded"),
        (vec!["replay".into(), text(&root().join("Cargo.toml"))], "Cargo.toml"),
        (vec!["--simulate".into(), text(&bad_topology), TARGET.into()], "adress"),
        (vec!["--simulate".into(), "no-such-host".into()], "no-such-host"),
        (vec!["--simulate".into(), "-f9".into(), "-m3".into(), TARGET.into()], "--max-hops 3"),
        (
            vec!["--simulate".into(), "--pcap".into(), "/nonexistent/x.pcap".into(), TARGET.into()],
            "/nonexistent/x.pcap",
        ),
        (
            vec!["--simulate".into(), "--pcap".into(), "/dev/full".into(), TARGET.into()],
            "/dev/full",
        ),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let failed = run(&args);
        assert_eq!(failed.status, 2, "{args:?}");
        assert_eq!(failed.stdout, "", "{args:?}");
        assert!(failed.stderr.starts_with("rtrace: "), "{args:?}: {}", failed.stderr);
        assert!(failed.stderr.contains(words), "{args:?}: {}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{args:?}: {}", failed.stderr);
    }
}

/// As outside the simulation: the address of a name is of the family of the source that is asked for.
#[test]
fn a_name_with_two_families_follows_the_source() {
    for (source, target) in [("2001:db8:0:1::2", "2001:db8:300::9"), ("192.0.2.2", "203.0.113.9")] {
        for command in ["trace", "inspect", "paths"] {
            let done = run(&[command, "--simulate", "-s", source, "target.example"]);
            let (status, report) = (done.status, done.stdout);
            assert!(
                status == 0 && report.contains(&format!("target.example ({target})")),
                "{report}"
            );
        }
    }
}

#[test]
fn options_that_are_wrong_name_themselves() {
    for (args, words) in [
        (vec!["-q", "0", TARGET], ["for -q", "1 to 1000"]),
        (vec!["-m", "300", TARGET], ["for -m", "1 to 255"]),
        (vec![TARGET, "5"], ["PACKETLEN", "28 to 65535"]),
        (vec!["--frobnicate", TARGET], ["--frobnicate", "there is no option"]),
        (vec!["--simulate", "paths", TARGET], ["before its options", "rtrace paths"]),
        (vec![TARGET, "watch", "--rounds=2"], ["before its options", "rtrace watch"]),
        (
            vec!["watch", "--format", "dot", TARGET],
            ["choose one of text, json, ndjson and csv;", "rtrace watch --help"],
        ),
        (
            vec!["paths", "--format", "csv", TARGET],
            ["text, json, dot, mermaid and svg;", "rtrace paths --help"],
        ),
        (vec!["paths", "-N5", TARGET], ["-N is not for rtrace paths", "leave it out"]),
        (
            vec!["watch", "--simulate", "--until=2020-01-01T00:00:00Z", TARGET],
            ["past", "2026-01-01"],
        ),
        (vec!["report", "--simulate", "-i", "0.2", TARGET], ["interface 0.2", "--interval 0.2"]),
        (vec!["--simulate", "-i", "eth9", TARGET], ["interface eth9", "leave out -i"]),
        (vec!["--simulate", "-s", "::1", TARGET], ["::1 cannot be the source", "an IPv4 address"]),
        (vec!["replay", "--list", "--csv", "f.pcap"], ["--list writes text or JSON", "leave out"]),
        // Whatever route there is.
        (
            vec!["-f20", "-m10", "-i", "none9", TARGET],
            ["--max-hops 10 is below --first 20", "larger"],
        ),
        (
            vec!["watch", "-f31", "-i", "none9", TARGET],
            ["--max-hops 30 is below --first 31", "larger"],
        ),
        (vec!["--resolver=127.0.0.1", "a..example"], ["a..example", "not a domain name"]),
        (vec!["-T", TARGET, "80", "-i", "none9"], ["no payload", "leave out"]),
        (vec!["fe80::1%"], ["fe80::1% is not a target", "fe80::1%eth0"]),
        (vec!["%eth0"], ["%eth0 is not a target", "fe80::1%eth0"]),
        (vec!["diff", "-", "-"], ["stdin can be read once", "name a file"]),
        (vec!["show", "f.pcap", "0"], ["for FRAME", "at least 1"]),
    ] {
        let failed = run(&args);
        assert_eq!(failed.status, 2, "{args:?}");
        assert!(failed.stderr.starts_with("rtrace: "), "{args:?}: {}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{args:?}: {}", failed.stderr);
        for word in words {
            assert!(failed.stderr.contains(word), "{args:?}: {}", failed.stderr);
        }
    }
}

#[test]
fn help_is_grouped_and_has_examples() {
    let help = run(&["--help"]);
    assert_eq!(help.status, 0);
    for part in ["Route:", "Probes:", "Waiting:", "Output:", "Examples:", "Exit status:"] {
        assert!(help.stdout.contains(part), "no {part} in the help");
    }
}

#[test]
fn the_status_tells_whether_the_target_was_reached() {
    assert_eq!(run(&["--simulate", "-m", "3", TARGET]).status, 1);
    let dir = scratch();
    let recording = path_in(&dir, "a.pcap");
    let path = recording.to_str().unwrap();
    assert_eq!(run(&["--simulate", "-m3", "--pcap", path, TARGET]).status, 1);
    assert_eq!(replay(&recording, &["-m3"]).status, 1);
}

#[test]
fn a_capture_without_a_trace_says_so_with_status_2() {
    let dir = scratch();
    let recording = path_in(&dir, "nothing.pcap");
    // A classic pcap header, little-endian, nanoseconds, raw IP: and no packet.
    let mut header = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend([0, 0, 4, 0, 101, 0, 0, 0]);
    fs::write(&recording, header).unwrap();
    let nothing = replay(&recording, &[]);
    assert_eq!(nothing.status, 2);
    assert!(nothing.stderr.contains("no trace found among 0 packets"), "{}", nothing.stderr);
}

#[test]
fn pcap_to_stdout_leaves_the_report_on_stderr() {
    let dir = scratch();
    let recording = path_in(&dir, "stream.pcap");
    let output = rtrace().args(["--simulate", "-n", "--pcap", "-", TARGET]).output().unwrap();
    fs::write(&recording, &output.stdout).unwrap();
    assert!(output.status.success());
    let replayed = replay(&recording, &["-n"]);
    assert_eq!(replayed.stdout, String::from_utf8(output.stderr).unwrap());
}

#[test]
fn a_recording_is_replayed_from_stdin() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let live = run(&["--simulate", "--pcap", recording.to_str().unwrap(), TARGET]);
    let file = fs::File::open(&recording).unwrap();
    let output = rtrace().args(["replay", "-"]).stdin(Stdio::from(file)).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), live.stdout);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut child = rtrace()
        .args(["--simulate", "--json", TARGET])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(status.success(), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn stats_are_apart_from_the_report() {
    let dir = scratch();
    let file = path_in(&dir, "stats.json");
    let with = run(&["--simulate", "--stats", file.to_str().unwrap(), TARGET]);
    assert_eq!(with.stdout, run(&["--simulate", TARGET]).stdout);
    let stats: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(stats["link"], "simulated");
    assert!(stats["concerning"].as_u64().unwrap() > 10);
    let text = run(&["--simulate", TARGET, "--stats"]);
    assert!(text.stderr.contains("clock            virtual time"), "{}", text.stderr);
}

#[test]
fn a_recording_cut_off_anywhere_replays_up_to_there() {
    let dir = scratch();
    for name in ["a.pcap", "a.pcapng"] {
        let recording = path_in(&dir, name);
        let live = run(&["--simulate", "-n", "--pcap", recording.to_str().unwrap(), TARGET]);
        let bytes = fs::read(&recording).unwrap();
        assert_eq!(replay(&recording, &["-n"]).stdout, live.stdout);
        let cut = path_in(&dir, &format!("cut-{name}"));
        for len in (0..bytes.len()).step_by(101) {
            fs::write(&cut, &bytes[..len]).unwrap();
            let replayed = replay(&cut, &["-n"]);
            assert!(replayed.status <= 2);
            assert!(!replayed.stderr.contains("panicked"), "{name} cut at {len}");
            if replayed.status < 2 && !replayed.stdout.is_empty() {
                let header = live.stdout.lines().next().unwrap();
                assert_eq!(replayed.stdout.lines().next(), Some(header), "{name} cut at {len}");
            }
        }
        let whole_but_one = &bytes[..bytes.len() - 1];
        fs::write(&cut, whole_but_one).unwrap();
        let replayed = replay(&cut, &["-n"]);
        assert!(replayed.stderr.contains("ends in the middle"), "{}", replayed.stderr);
    }
}

#[test]
fn a_capture_of_several_traces_is_reported_whole_or_in_part() {
    let mixed = root().join("tests/captures/mixed.pcap");
    let all = replay(&mixed, &["-n"]);
    let headers =
        |text: &str| text.lines().filter(|line| line.starts_with("traceroute to")).count();
    assert_eq!((headers(&all.stdout), all.status), (12, 0), "{}", all.stderr);
    assert_eq!(all.stdout.matches("\n\ntraceroute to").count(), 11, "an empty line between two");

    let list = replay(&mixed, &["--list"]);
    assert_eq!((list.stdout.lines().count(), list.status), (13, 0));
    let rows: serde_json::Value =
        serde_json::from_str(&replay(&mixed, &["--list", "--json"]).stdout).unwrap();
    for row in rows.as_array().unwrap() {
        let number = row["number"].to_string();
        let one = replay(&mixed, &["--trace", &number, "--json"]);
        let one: serde_json::Value = serde_json::from_str(&one.stdout).unwrap();
        assert_eq!(one["asked"]["probe"], row["probe"]);
        assert_eq!(one["totals"]["sent"], row["probes"]);
    }
    let none = replay(&mixed, &["--trace", "13"]);
    assert_eq!((none.stdout.as_str(), none.status), ("", 2));
    assert!(none.stderr.contains("there is no trace 13"), "{}", none.stderr);
}

#[test]
fn diff_says_by_its_status_whether_the_path_has_changed() {
    let dir = scratch();
    let [document, recording, other] =
        ["a.json", "b.pcap", "c.json"].map(|name| path_in(&dir, name));
    let trace = ["--simulate", "-n", "-q9", "203.0.113.9"];
    let json = run(&[&trace[..], &["--json"]].concat()).stdout;
    std::fs::write(&document, &json).unwrap();
    run(&[&trace[..], &["--pcap", recording.to_str().unwrap()]].concat());
    std::fs::write(&other, json.replace("198.51.100.22", "198.51.100.99")).unwrap();
    let diff = |after: &std::path::Path, more: &[&str]| {
        let files = ["diff", document.to_str().unwrap(), after.to_str().unwrap()];
        run(&[&files[..], more].concat())
    };
    let same = diff(&recording, &[]);
    assert_eq!((same.status, same.stderr.as_str()), (0, ""), "{}", same.stdout);
    let changed = diff(&other, &[]);
    assert_eq!(changed.status, 1, "{}", changed.stdout);
    assert!(changed.stdout.contains("5  replaced: 198.51.100.22 by 198.51.100.99\n"));
    let found: serde_json::Value = serde_json::from_str(&diff(&other, &["--json"]).stdout).unwrap();
    assert_eq!(
        (&found["changed"], &found["hops"][0]["difference"]),
        (&true.into(), &"replaced".into())
    );
    let wrong = diff(std::path::Path::new("/etc/passwd"), &[]);
    assert_eq!((wrong.status, wrong.stderr.lines().count()), (2, 1), "{}", wrong.stderr);
}

#[test]
fn what_comes_before_the_damage_is_reported() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcap");
    run(&["--simulate", TARGET, "--pcap", recording.to_str().unwrap()]);
    let whole = fs::read(&recording).unwrap();
    // The header of the file, then packets: 16 octets of header, and as many as its third word says.
    let mut ends = vec![24];
    while let Some(header) = whole.get(ends[ends.len() - 1]..).filter(|rest| !rest.is_empty()) {
        let length = u32::from_le_bytes(header[8..12].try_into().unwrap());
        ends.push(ends[ends.len() - 1] + 16 + usize::try_from(length).unwrap());
    }
    let half = ends[ends.len() / 2];
    let damaged = [&whole[..half], [0xff; 64].as_slice()].concat();
    for (bytes, status, words) in [(&whole[..half + 20], 1, "ends"), (&damaged, 2, "is damaged")] {
        fs::write(&recording, bytes).unwrap();
        let report = replay(&recording, &[]);
        assert!(report.stdout.contains("\n 3  "), "{}", report.stdout);
        assert!(report.stderr.contains(words), "{}", report.stderr);
        assert_eq!(
            (report.status, report.stderr.lines().count()),
            (status, 2),
            "{}",
            report.stderr
        );
    }
}

#[test]
fn what_is_not_in_a_recording_is_an_error() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    assert_eq!(run(&["--simulate", "--pcap", path, TARGET]).status, 0);
    for args in [&["replay", path, "--trace", "9"][..], &["replay", path, "192.0.2.99"]] {
        let failed = run(args);
        assert_eq!((failed.status, failed.stdout.as_str()), (2, ""), "{args:?}");
        assert_eq!(failed.stderr.lines().count(), 1, "{args:?}: {}", failed.stderr);
    }
}

#[test]
fn a_recording_that_nobody_reads_is_no_report_of_a_target_reached() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = rtrace();
    command.args(["--simulate", "--pcap", "-", "--json", TARGET]).stdout(writer);
    let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() != Some(0) && !said.contains("target-reached"), "{said}");
}

#[test]
fn no_file_is_written_that_is_something_else_too() {
    let dir = scratch();
    let (topology, other) = (path_in(&dir, "t.toml"), path_in(&dir, "new.pcapng"));
    let text = "[[hop]]\naddress = \"192.0.2.1\"\n";
    fs::write(&topology, text).unwrap();
    std::os::unix::fs::symlink(&topology, path_in(&dir, "link.pcap")).unwrap();
    let link = path_in(&dir, "link.pcap");
    let [topology_, other, link] = [&topology, &other, &link].map(|it| it.to_str().unwrap());
    let (simulate, stats) = (format!("--simulate={topology_}"), format!("--stats={other}"));
    for args in [
        vec![&simulate, "--pcap", topology_],
        vec![&simulate, "--pcap", link],
        vec!["--simulate", "--pcap", other, &stats],
    ] {
        let failed = run(&[&args[..], &[TARGET]].concat());
        assert_eq!((failed.status, failed.stdout.as_str()), (2, ""), "{args:?}");
        assert!(failed.stderr.contains("named twice"), "{args:?}: {}", failed.stderr);
    }
    assert_eq!(fs::read_to_string(&topology).unwrap(), text);
}

#[test]
fn the_traces_of_several_recordings_are_listed_together() {
    let dir = scratch();
    let [one, rounds] = ["one.pcapng", "rounds.pcap"].map(|name| path_in(&dir, name));
    let names = [&one, &rounds].map(|path| path.to_str().unwrap());
    run(&["--simulate", "--pcap", names[0], TARGET]);
    run(&["report", "--rounds", "2", "--simulate", "--pcap", names[1], TARGET]);
    let each: Vec<serde_json::Value> = [&one, &rounds]
        .iter()
        .flat_map(|path| {
            let listed = replay(path, &["--list", "--json"]).stdout;
            serde_json::from_str::<Vec<serde_json::Value>>(&listed).unwrap()
        })
        .collect();
    let all = replay(&one, &["--list", "--json", names[1]]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&all.stdout).unwrap();
    assert_eq!((listed.len(), each.len()), (2, 2));
    for ((mut found, alone), name) in listed.into_iter().zip(each).zip(names) {
        assert_eq!(found.as_object_mut().unwrap().remove("file"), Some(name.into()));
        assert_eq!(found, alone);
    }
    let text = replay(&one, &["--list", TARGET, names[1], "/dev/null"]);
    assert_eq!(text.status, 2, "one of them is no recording");
    assert!(text.stderr.contains("/dev/null") && text.stderr.lines().count() == 1, "{text:?}");
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert!(lines[0].starts_with("FILE") && lines.len() == 3, "{text:?}");
    let several = replay(&one, &[names[1]]);
    assert_eq!(several.status, 2);
    assert!(several.stderr.contains("--list takes several"), "{several:?}");
}

#[test]
fn comparisons_and_evidence_take_the_options_of_other_documents() {
    let dir = scratch();
    let file = path_in(&dir, "a.pcapng");
    let name = file.to_str().unwrap();
    run(&["--simulate", "-n", "--pcap", name, TARGET]);
    for command in [&["diff", name, name][..], &["show", name, "3"]] {
        let with = |options: &[&str]| run(&[command, options].concat());
        let [long, short] = [&["--format", "json"][..], &["--json"]].map(with);
        assert_eq!((long.status, &long.stdout), (0, &short.stdout), "{command:?}");
        assert_eq!(with(&["--format", "text"]).stdout, with(&[]).stdout, "{command:?}");
        for options in [&["--format", "text", "--json"][..], &["--format", "csv"]] {
            let refused = with(options);
            assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{command:?}");
        }
        // A form of another command in the configuration file does not concern them.
        let config = path_in(&dir, "rtrace");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("config.toml"), "format = \"csv\"\n").unwrap();
        let configured = rtrace().args(command).env("XDG_CONFIG_HOME", dir.path()).output();
        assert_eq!(String::from_utf8_lossy(&configured.unwrap().stdout), with(&[]).stdout);
    }
}

#[test]
fn endless_files_are_refused_and_pipes_that_hold_no_capture_are_not_read_to_their_end() {
    for option in ["--simulate=/dev/zero", "--config=/dev/zero"] {
        let refused = run(&[option, TARGET]);
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{refused:?}");
        assert!(refused.stderr.contains("/dev/zero: it has more than 4 MiB"), "{refused:?}");
    }
    let mut child = rtrace()
        .args(["replay", "-"])
        .stdin(fs::File::open("/dev/zero").unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert!(stderr.contains("is not a pcap or pcapng file"), "{stderr}");
}

#[test]
fn a_recording_that_nobody_reads_any_more_ends_the_run_without_a_report() {
    for command in [&["report", "--format", "json"][..], &["inspect"], &["-n"]] {
        let mut child = rtrace()
            .args(command)
            .args(["--simulate", "--pcap", "-", TARGET])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 10];
        let mut recording = child.stdout.take().unwrap();
        recording.read_exact(&mut first).unwrap();
        drop(recording);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        // A short run may be over before the pipe is closed: then it is whole.
        let status = child.wait().unwrap().code();
        let ended = stderr.contains("the reader of the recording has closed it");
        assert!(status == Some(i32::from(ended)), "{command:?} {status:?} {stderr}");
        assert!(!ended || !stderr.contains("203.0.113.9)\n 1"), "{stderr}");
    }
}

#[test]
fn a_target_that_was_reached_stands_in_the_text() {
    let dir = scratch();
    let file = path_in(&dir, "far.toml");
    let hops = "[[hop]]\naddress = \"198.51.100.1\"\n[[hop]]\nsilent = true\naddress = \"198.51.100.2\"\ndelay = \"900ms\"\n";
    fs::write(&file, hops).unwrap();
    let simulate = format!("--simulate={}", file.display());
    for options in [&["-N", "3"][..], &["-N", "1", "-q", "1"], &["-N", "3", "-I"], &[]] {
        let traced = run(&[&["-n", &simulate, TARGET], options].concat());
        assert_eq!(traced.status, 0, "{options:?}");
        let hops: String = traced.stdout.lines().skip(1).collect();
        assert!(hops.contains(TARGET), "{options:?}: {}", traced.stdout);
    }
}
