//! `rtrace show`: any probe and reply of a recording, by the number of its frame.

use std::fs;

use serde_json::Value;

use crate::support::{path_in, replay, root, run, scratch};

const TARGET: &str = "203.0.113.9";

/// Shows this frame, which must be that of a probe or a reply.
fn shown(recording: &str, frame: u64) -> String {
    let shown = run(&["show", recording, &frame.to_string()]);
    assert_eq!((shown.status, shown.stderr.as_str()), (0, ""), "{recording} {frame}");
    let own = format!("frame {frame}: ");
    assert!(shown.stdout.lines().take(2).any(|line| line.starts_with(&own)), "{}", shown.stdout);
    shown.stdout
}

/// All frames of a recording of ours are probes and replies of it.
#[test]
fn every_frame_of_rounds_of_all_paths_and_of_sizers_is_shown() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let name = recording.to_str().unwrap();
    let topology = path_in(&dir, "path.toml");
    fs::write(&topology, "[[hop]]\naddress = \"198.51.100.1\"\nmtu = 1400\n").unwrap();
    let narrow = format!("--simulate={}", topology.display());
    let commands: [(&[&str], &[&str]); 3] = [
        (
            &["report", "--rounds", "3", "--simulate"],
            &["in round 1,", "in round 2,", "in round 3,"],
        ),
        (&["paths", "--simulate"], &["probe 1 of hop 4,"]),
        (&["--mtu", &narrow], &["a size probe of 1500 bytes,", "a size probe of 1400 bytes,"]),
    ];
    for (command, words) in commands {
        let recorded = run(&[command, &["-n", "--pcap", name, TARGET]].concat());
        assert!(recorded.status <= 1, "{recorded:?}");
        let beyond = run(&["show", name, "9999"]);
        let nearest = beyond.stderr.split("can be shown: ").nth(1).unwrap();
        let last: u64 = nearest.split(';').next().unwrap().parse().unwrap();
        let all: Vec<String> = (1..=last).map(|frame| shown(name, frame)).collect();
        for words in words {
            assert!(all.iter().any(|text| text.contains(words)), "{command:?}: {words}");
        }
        let listed = replay(&recording, &["--list", "--json"]).stdout;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let probes = all.iter().zip(1..);
        let probes = probes.filter(|(text, frame)| text.starts_with(&format!("frame {frame}: ")));
        assert_eq!(listed[0]["probes"], probes.count(), "{command:?}");
    }
}

#[test]
fn a_frame_of_any_trace_in_a_file_is_shown_and_which_it_is_of() {
    let mixed = root().join("tests/captures/mixed.pcap");
    let name = mixed.to_str().unwrap();
    let traces: Value = serde_json::from_str(&replay(&mixed, &["-n", "--json"]).stdout).unwrap();
    for (number, trace) in (1..).zip(traces.as_array().unwrap()) {
        let probes =
            trace["hops"].as_array().unwrap().iter().filter_map(|it| it["probes"].as_array());
        let probe = probes.flatten().find(|it| it["replies"][0]["frame"].is_u64()).unwrap();
        let [asked, answered] = [&probe["frame"], &probe["replies"][0]["frame"]];
        let text = shown(name, answered.as_u64().unwrap());
        let head = format!("frame {asked}: ");
        let of = format!(" of trace {number},");
        assert!(text.starts_with(&head) && text.contains(&of), "{number}: {text}");
        assert_eq!(shown(name, asked.as_u64().unwrap()), text);
        let only =
            |trace: u32| run(&["show", name, &asked.to_string(), "--trace", &trace.to_string()]);
        assert_eq!(only(number).status, 0);
        let other = only(if number == 1 { 2 } else { 1 });
        assert_eq!((other.status, other.stderr.lines().count()), (2, 1), "{other:?}");
    }
    let hop = run(&["show", name, "--hop", "1", "--trace", "2"]);
    assert!(hop.stdout.contains("of hop 1"), "{hop:?}");
}

#[test]
fn the_json_of_every_frame_is_as_its_schema_says() {
    let schema = fs::read_to_string(root().join("schema/show.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::options().build(&schema).unwrap();
    let dir = scratch();
    let file = path_in(&dir, "a.pcapng");
    let name = file.to_str().unwrap();
    let traced = run(&["report", "--rounds", "2", "-m4", "--simulate", "--pcap", name, TARGET]);
    assert_eq!(traced.status, 1, "{traced:?}");
    let mut answered = 0;
    for frame in 1..=8 {
        let document = run(&["show", name, &frame.to_string(), "--json"]).stdout;
        let document: Value = serde_json::from_str(&document).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&document).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{frame}: {faults:#?}");
        let reply = &document["reply"];
        assert!([&document["frame"], &reply["frame"]].contains(&&frame.into()), "{document}");
        if let Some(quoted) = reply["quoted"].as_str() {
            answered += 1;
            // The ports, as they were sent (RFC 792).
            assert_eq!(quoted[40..48], document["sent"].as_str().unwrap()[40..48], "{document}");
            assert!(reply["known"]["rtt_ns"].is_i64(), "{document}");
        }
    }
    assert!(answered > 2);
}
