//! Where a path ends and whether the target was reached, in every form: over simulated networks, and again from their
//! recordings.

use std::fs;

use serde_json::Value;

use crate::support::{line_of, path_in, replay, run, scratch};

const TARGET: &str = "203.0.113.9";
const PROBES: [&[&str]; 5] = [&[], &["-N1"], &["-I"], &["-T"], &["--flow", "paris"]];

/// A network to be traced through, and a place for its recording.
struct Bench {
    dir: tempfile::TempDir,
    simulate: String,
}

impl Bench {
    fn of(topology: &str) -> Self {
        let dir = scratch();
        let file = path_in(&dir, "path.toml");
        fs::write(&file, topology).unwrap();
        Self { simulate: format!("--simulate={}", file.display()), dir }
    }

    /// What a command says in a form, and its exit status. Its recording gives the same.
    fn said(&self, command: &[&str], options: &[&str], form: &str) -> (String, i32) {
        let recording = path_in(&self.dir, "a.pcapng");
        let common = [&self.simulate, "-n", "--pcap", recording.to_str().unwrap(), TARGET];
        let live = run(&[command, &common, options, &["--format", form]].concat());
        let again = replay(&recording, &["-n", "--format", form]);
        let what = format!("{command:?} {options:?} {form}: {}", live.stderr);
        assert_eq!((&again.stdout, again.status), (&live.stdout, live.status), "{what}");
        (live.stdout, live.status)
    }

    fn json(&self, command: &[&str], options: &[&str]) -> (Value, i32) {
        let (text, status) = self.said(command, options, "json");
        (serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")), status)
    }

    /// Every form of a trace says for what reason and where it ended, and whether the target was reached.
    fn assert_ends(&self, options: &[&str], reason: &str, ttl: Option<u64>) {
        let reached = reason == "target-reached";
        let status = i32::from(!reached);
        let (document, code) = self.json(&[], options);
        let stop = &document["stop"];
        assert_eq!((&stop["reason"], &stop["ttl"]), (&reason.into(), &ttl.into()), "{options:?}");
        assert_eq!((&stop["target_reached"], code), (&reached.into(), status), "{options:?}");

        let (text, code) = self.said(&[], options, "text");
        let hops = text.lines().skip(1).filter(|line| line.as_bytes()[1].is_ascii_digit()).count();
        let asked = document["hops"].as_array().unwrap().len();
        let shown = ttl.map_or(asked, |end| usize::try_from(end).unwrap());
        assert_eq!((hops, code), (shown, status), "{options:?} {text}");

        let (lines, code) = self.said(&[], options, "ndjson");
        let said = format!("\"reason\":\"{reason}\"");
        assert!(lines.lines().last().unwrap().contains(&said) && code == status, "{lines}");
        assert_eq!(self.said(&[], options, "csv").1, status);
        assert_eq!(self.said(&[], options, "atlas").1, status);
        let word = match reason {
            "target-reached" => "COMPLETED",
            "max-hops" => "HOPLIMIT",
            _ => "UNREACH",
        };
        let (scamper, code) = self.said(&[], options, "scamper");
        let said = format!("\"stop_reason\":\"{word}\"");
        assert!(scamper.replace(' ', "").contains(&said) && code == status, "{scamper}");

        let list = replay(&path_in(&self.dir, "a.pcapng"), &["--list", "--json"]).stdout;
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list[0]["target_reached"], reached, "{list}");
    }

    /// Rounds in all their forms and all paths say whether the target was reached.
    fn assert_reached(&self, options: &[&str], reached: bool) {
        let status = i32::from(!reached);
        let rounds = [options, &["--rounds", "3"]].concat();
        let (report, code) = self.json(&["report"], &rounds);
        assert_eq!((&report["report"]["target_reached"], code), (&reached.into(), status));
        let (stream, code) = self.said(&["watch"], &rounds, "ndjson");
        let said = stream.contains("\"target_reached\":true");
        assert_eq!((said, code), (reached, status), "{stream}");
        let (map, code) = self.json(&["paths"], options);
        assert_eq!((&map["reached"], code), (&reached.into(), status), "{options:?} {map}");
    }
}

/// A host says of no datagram for itself that its TTL ran out.
#[test]
fn time_exceeded_from_the_address_of_the_target_is_no_end() {
    let last = format!("reply_from = \"{TARGET}\"");
    let bench = Bench::of(&line_of(&["", "", &last], "1ms", "silent = true"));
    for probe in PROBES {
        bench.assert_ends(&[probe, &["-m6"]].concat(), "max-hops", None);
    }
    bench.assert_reached(&["-m6"], false);
    let (atlas, _) = bench.said(&[], &["-m6"], "atlas");
    assert!(atlas.replace(' ', "").contains("\"destination_ip_responded\":false"), "{atlas}");

    // One that does answer is reached, a hop farther.
    let bench = Bench::of(&line_of(&["", "", &last], "1ms", ""));
    for probe in PROBES {
        bench.assert_ends(probe, "target-reached", Some(4));
    }
    bench.assert_reached(&[], true);
}

/// Which errors are the target's own word that it was reached.
#[test]
fn a_refusal_of_the_target_itself_reaches_it() {
    for (refusal, reached) in [
        ("'port'", true),
        ("2", true),
        ("'admin'", true),
        ("9", true),
        ("10", true),
        ("'host'", false),
        ("'net'", false),
    ] {
        let bench = Bench::of(&line_of(&["", ""], "1ms", &format!("unreachable = {refusal}")));
        let reason = if reached { "target-reached" } else { "unreachable" };
        for probe in [&[][..], &["-T", "-N1"]] {
            bench.assert_ends(probe, reason, Some(3));
        }
        bench.assert_reached(&[], reached);
    }
    // From another address it is a router's word, unless a port is what is unreachable.
    for (refusal, reached) in [("'port'", true), ("'admin'", false), ("'host'", false)] {
        let bench = Bench::of(&line_of(&["", &format!("unreachable = {refusal}")], "1ms", ""));
        let reason = if reached { "target-reached" } else { "unreachable" };
        for probe in [&[][..], &["-T", "-N1"]] {
            bench.assert_ends(probe, reason, Some(3));
        }
        bench.assert_reached(&[], reached);
    }
}

/// The second hop is two routers, chosen for each packet, of which one has these lines: some probes pass.
fn half(lines: &str) -> String {
    format!(
        "source = \"192.0.2.2\"\nseed = 7\n\
         [[hop]]\naddress = \"198.51.100.1\"\nbalance = \"packet\"\n\
         [[hop]]\nrouters = [{{ address = \"198.51.100.2\" }}, {{ address = \"198.51.100.3\", {lines} }}]\n\
         [[hop]]\naddress = \"198.51.100.4\"\n[[hop]]\naddress = \"198.51.100.5\"\n"
    )
}

#[test]
fn an_error_from_the_middle_does_not_end_a_path_that_goes_on() {
    for lines in ["unreachable = 'host'", "unreachable = 'admin'", "unreachable = 'port'"] {
        let bench = Bench::of(&half(lines));
        for probe in PROBES {
            let many = [probe, &["-q", "9"]].concat();
            bench.assert_ends(&many, "target-reached", Some(5));
        }
    }
}

/// Too big for a link of 9,000 octets is no probe of 60.
#[test]
fn a_size_error_that_cannot_be_true_ends_nothing() {
    let (bench, options) = (Bench::of(&half("mtu = 30, mtu_claim = 9000")), ["-F", "-q", "9"]);
    for probe in [&["-T"][..], &["-T", "-N1"], &["-I"], &[]] {
        bench.assert_ends(&[probe, &options].concat(), "target-reached", Some(5));
    }
    // Not even where nothing passes.
    let narrow = ["", "mtu = 30\nmtu_claim = 9000", ""];
    let bench = Bench::of(&line_of(&narrow, "1ms", ""));
    bench.assert_ends(&["-F", "-T", "-m5"], "max-hops", None);
    bench.assert_reached(&["-F", "-m5"], false);
    // One that can be true does, as ever.
    let bench = Bench::of(&line_of(&["", "mtu = 1400", ""], "1ms", ""));
    bench.assert_ends(&["-F", "1500"], "unreachable", Some(3));
}

/// The scout is a probe of the last hop when its TTL is just enough.
#[test]
fn the_last_hop_has_all_its_answers_where_the_most_hops_are_as_many_as_there_are() {
    let bench = Bench::of(&line_of(&["", "", ""], "1ms", ""));
    for probe in PROBES {
        let options = [probe, &["-m4"]].concat();
        bench.assert_ends(&options, "target-reached", Some(4));
        let (document, _) = bench.json(&[], &options);
        let outcomes: Vec<_> = document["hops"][3]["probes"].as_array().unwrap().iter().collect();
        assert_eq!(outcomes.len(), 3, "{options:?} {document}");
        assert!(outcomes.iter().all(|probe| probe["outcome"] == "answered"), "{options:?}");
        let (text, _) = bench.said(&[], &options, "text");
        assert_eq!(text.lines().last().unwrap().matches(" ms").count(), 3, "{options:?} {text}");
    }
}
