//! The report of rounds, by the program itself over simulated networks: its forms, its replay, its notes.

use std::fs;

use jsonschema::Validator;
use serde_json::Value;

use crate::mmdb;
use crate::support::{Run, line_of, path_in, replay, root, run, scratch};

const TARGET: &str = "203.0.113.9";

/// `rtrace report` through the network with these hops, at `dir`.
fn report(dir: &tempfile::TempDir, hops: &[&str], target: &str, options: &[&str]) -> Run {
    let topology = path_in(dir, "topology.toml");
    fs::write(&topology, line_of(hops, "500us", target)).unwrap();
    run(&[&["report", "--simulate", topology.to_str().unwrap(), TARGET], options].concat())
}

fn schema() -> Validator {
    let text = fs::read_to_string(root().join("schema/report.schema.json")).unwrap();
    let schema = serde_json::from_str(&text).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

const LIMITED: &str = "rate = { per_second = 0.2, burst = 1 }";

#[test]
fn the_text_is_that_of_mtr_and_has_notes() {
    let dir = scratch();
    let plain = report(&dir, &["", LIMITED, "silent = true", ""], "", &["--rounds", "20"]);
    let expected = "\
Start: 2026-01-01T00:00:00+0000
HOST: 192.0.2.2                   Loss%   Snt   Last   Avg  Best  Wrst StDev
  1.|-- 198.51.100.1               0.0%    20    1.0   1.0   1.0   1.0   0.0
  2.|-- 198.51.100.2              80.0%    20    2.0   2.0   2.0   2.0   0.0
  3.|-- ???                       100.0    20    0.0   0.0   0.0   0.0   0.0
  4.|-- 198.51.100.4               0.0%    20    4.0   4.0   4.0   4.0   0.0
  5.|-- 203.0.113.9                0.0%    20    5.0   5.0   5.0   5.0   0.0
  2. rate-limited, not loss: hop 4 beyond it loses 0.0%
";
    assert_eq!((plain.stdout.as_str(), plain.status), (expected, 0), "{}", plain.stderr);

    let options = ["--rounds", "3", "--wide", "--columns", "LSTEPI"];
    let wide = report(&dir, &["", "loss = 1"], "", &options);
    let expected = "\
Start: 2026-01-01T00:00:00+0000
HOST: 192.0.2.2    Loss%   Snt Late   Med   P95 Jint
  1.|-- 198.51.100.1  0.0%     3    0   1.0   1.0  0.0
  2.|-- ???          100.0     3    0   0.0   0.0  0.0
  no answer since 00:00:00: target not reached in 3 of 3 rounds
";
    assert_eq!((wide.stdout.as_str(), wide.status), (expected, 1), "{}", wide.stderr);
}

/// A second router that forwards nothing for a while.
fn outage(after: &str, lasts: &str, says: &str) -> String {
    format!("outage = {{ after = \"{after}\", lasts = \"{lasts}\"{says} }}")
}

const HOST: &str = ", unreachable = \"host\"";

#[test]
fn an_outage_of_the_target_is_loss_and_says_who_rejects() {
    let dir = scratch();
    let rounds = ["--rounds", "14"];
    let over = report(&dir, &["", &outage("3900ms", "5s", HOST)], "", &rounds);
    let expected = "\
Start: 2026-01-01T00:00:00+0000
HOST: 192.0.2.2                   Loss%   Snt   Last   Avg  Best  Wrst StDev
  1.|-- 198.51.100.1               0.0%    14    1.0   1.0   1.0   1.0   0.0
  2.|-- 198.51.100.2               0.0%    14    2.0   2.0   2.0   2.0   0.0
  3.|-- 203.0.113.9               35.7%    14    3.0   3.0   3.0   3.0   0.0
  loss on the path at hop 3: at this hop or before it
  !H from 00:00:04 to 00:00:09 by 198.51.100.2: target not reached in 5 of 14 rounds
";
    assert_eq!((over.stdout.as_str(), over.status), (expected, 0), "{}", over.stderr);

    let lasting = report(&dir, &["", &outage("8900ms", "1000s", HOST)], "", &rounds);
    let note = "  !H since 00:00:09 by 198.51.100.2: target not reached in 5 of 14 rounds\n";
    assert!(lasting.stdout.ends_with(note) && lasting.status == 1, "{lasting:?}");

    let silent = report(&dir, &["", &outage("8900ms", "1000s", "")], "", &rounds);
    let note = "  no answer since 00:00:09: target not reached in 5 of 14 rounds\n";
    assert!(silent.stdout.ends_with(note) && silent.status == 1, "{silent:?}");

    // What lies beyond is not known yet, and cannot be asked.
    let early = report(&dir, &["", &outage("0s", "4900ms", HOST), ""], "", &rounds);
    let notes = "  3-4. asked in 9 of 14 rounds
  !H from 00:00:00 to 00:00:05 by 198.51.100.2: target not reached in 5 of 14 rounds\n";
    assert!(early.stdout.ends_with(notes) && early.status == 0, "{early:?}");
}

/// The line of an outage counts the rounds of all outages, and says so where there was one before.
#[test]
fn the_last_of_several_outages_is_not_given_the_rounds_of_all() {
    let dir = scratch();
    let (first, second) = (outage("3900ms", "4s", ""), outage("19900ms", "3s", ""));
    let twice = report(&dir, &[&first, &second], "", &["--rounds", "40"]);
    let note = "  no answer from 00:00:20 to 00:00:23, not the first outage: \
                target not reached in 7 of 40 rounds\n";
    assert!(twice.stdout.ends_with(note) && twice.status == 0, "{twice:?}");
    let once = report(&dir, &["", &outage("3900ms", "5s", "")], "", &["--rounds", "14"]);
    assert!(!once.stdout.contains("not the first"), "{once:?}");
}

/// Lost probes are loss; the status is that of the last round all the same, and the report says why.
#[test]
fn a_lost_probe_is_no_outage() {
    let dir = scratch();
    let lossy = report(&dir, &["", "loss = 0.3"], "", &["--rounds", "40"]);
    assert!(!lossy.stdout.contains("no answer") && lossy.status == 0, "{lossy:?}");
    assert!(!lossy.stdout.contains("target not reached"), "{lossy:?}");
    let at_the_end = ["", &outage("12900ms", "1000s", "")];
    for (queries, last) in [
        ("-q1", "  target not reached in 1 of 14 rounds, the last of them too\n"),
        ("-q3", "  no answer since 00:00:13: target not reached in 1 of 14 rounds\n"),
    ] {
        let options = ["--rounds", "14", queries];
        let text = report(&dir, &at_the_end, "", &options);
        assert!(text.stdout.ends_with(last) && text.status == 1, "{text:?}");
        let document = json(&report(&dir, &at_the_end, "", &[&options[..], &["--json"]].concat()));
        assert!(schema().is_valid(&document));
        let report = &document["report"];
        assert_eq!(
            (&report["target_reached"], &report["unreached_rounds"], report["outage"].is_null()),
            (&false.into(), &1.into(), queries == "-q1")
        );
    }
}

/// That a TTL ran out, each router on the way says: the target's address alone is what is odd.
#[test]
fn time_exceeded_by_the_target_is_not_that_of_others() {
    let dir = scratch();
    let last = "reply_from = \"203.0.113.9\"";
    let over = report(&dir, &["", "", last], "silent = true", &["--rounds", "3"]);
    let note =
        "  only time exceeded since 00:00:00 by 203.0.113.9: target not reached in 3 of 3 rounds\n";
    assert!(over.stdout.ends_with(note) && over.status == 1, "{over:?}");
}

/// What a single trace shows at once is under the report too.
#[test]
fn a_target_that_never_answers_and_a_loop_are_said() {
    let dir = scratch();
    let rounds = ["--rounds", "3"];
    let refused = report(&dir, &["", &outage("0s", "1000s", HOST)], "", &rounds);
    let note = "  !H since 00:00:00 by 198.51.100.2: target not reached in 3 of 3 rounds\n";
    assert!(refused.stdout.ends_with(note) && refused.status == 1, "{refused:?}");
    let silent = report(&dir, &["", ""], "silent = true", &rounds);
    let note = "  no answer since 00:00:00: target not reached in 3 of 3 rounds\n";
    assert!(silent.stdout.ends_with(note) && silent.status == 1, "{silent:?}");

    let circle = ["", "name = \"a\"", "next = [\"a\"]"];
    let text = report(&dir, &circle, "", &rounds);
    // The cause first.
    let notes = "  loop: hops 2-3 repeat in 3 of 3 rounds
  in a loop since 00:00:00: target not reached in 3 of 3 rounds\n";
    assert!(text.stdout.ends_with(notes), "{text:?}");
    assert!(!text.stdout.contains("no answer"), "{text:?}");
    let document = json(&report(&dir, &circle, "", &["--json", "--rounds", "3"]));
    let expected = serde_json::json!({ "first": 2, "last": 3, "rounds": 3 });
    assert_eq!(document["report"]["loop"], expected);
    let hops = serde_json::json!({ "first": 2, "last": 3 });
    assert_eq!(document["report"]["outage"]["loop"], hops);
    assert!(schema().is_valid(&document));
    let stream = report(&dir, &circle, "", &["--format", "ndjson", "--rounds", "1"]).stdout;
    assert!(stream.contains("\"loop\":{\"first\":2,\"last\":3}"), "{stream}");
    let unreached = stream.lines().find(|line| line.contains("\"event\":\"unreached\"")).unwrap();
    assert!(unreached.contains("\"loop\":{\"first\":2,\"last\":3}"), "{stream}");
}

/// The tables of a router that balances, and of the routers behind it that reject all probes.
fn rejecting(routers: u8) -> [String; 2] {
    let of = |n: u8| {
        format!("{{ address = \"198.51.100.10{n}\", delay = \"500us\", unreachable = \"host\" }}")
    };
    let all: Vec<String> = (0..routers).map(of).collect();
    ["balance = \"packet\"".to_owned(), format!("routers = [{}]", all.join(", "))]
}

/// The report through a router that balances over others that reject all probes.
fn behind_a_balancer(dir: &tempfile::TempDir, routers: u8, options: &[&str]) -> Run {
    let [first, hop] = rejecting(routers);
    let topology = path_in(dir, "rejecting.toml");
    let text = line_of(&[&first], "500us", "");
    let text = text.replace("[target]", &format!("[[hop]]\n{hop}\n[target]"));
    fs::write(&topology, text).unwrap();
    run(&[&["report", "--simulate", topology.to_str().unwrap(), TARGET], options].concat())
}

#[test]
fn all_who_reject_are_counted() {
    let (dir, options) = (scratch(), ["--rounds", "4", "-q9"]);
    for (routers, said) in [(1, ""), (2, " and 1 other"), (3, " and 2 others")] {
        let text = behind_a_balancer(&dir, routers, &options);
        let note = text.stdout.lines().last().unwrap();
        let (first, rest) = note.split_once(" by 198.51.100.10").expect(note);
        assert_eq!(first, "  !H since 00:00:00");
        assert_eq!(&rest[1..], format!("{said}: target not reached in 4 of 4 rounds"), "{text:?}");
        let document =
            json(&behind_a_balancer(&dir, routers, &[&options[..], &["--json"]].concat()));
        let others = &document["report"]["outage"]["rejected"]["others"];
        assert_eq!(others.as_u64().unwrap_or(0), u64::from(routers) - 1, "{document}");
        assert!(schema().is_valid(&document));
    }
}

/// A target whose answers do not count has an outage all the same, and each form says which answers came.
#[test]
fn a_target_whose_answers_do_not_count_is_not_silent() {
    let dir = scratch();
    let rounds = ["--rounds", "3"];
    let cases = [
        (
            "malformed = \"bad-checksum\"",
            "only damaged answers since 00:00:00",
            Some("damaged"),
            None,
        ),
        ("unreachable = 4", "!F-0 since 00:00:00 by 203.0.113.9", None, Some("!F-0")),
    ];
    for (target, said, not_believed, annotation) in cases {
        let text = report(&dir, &["", ""], target, &rounds);
        let note = format!("  {said}: target not reached in 3 of 3 rounds\n");
        assert!(text.stdout.ends_with(&note) && text.status == 1, "{text:?}");
        let document = json(&report(&dir, &["", ""], target, &["--rounds", "3", "--json"]));
        assert!(schema().is_valid(&document));
        let outage = &document["report"]["outage"];
        assert_eq!(outage["not_believed"].as_str(), not_believed);
        assert_eq!(outage["rejected"]["annotation"].as_str(), annotation);
        let stream = report(&dir, &["", ""], target, &["--format", "ndjson", "--rounds", "3"]);
        let lines = stream.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let unreached: Vec<Value> = lines.filter(|it| it["event"] == "unreached").collect();
        let [unreached] = &unreached[..] else { panic!("{stream:?}") };
        assert_eq!(unreached["not_believed"].as_str(), not_believed);
        assert_eq!(unreached["rejected"]["annotation"].as_str(), annotation);
    }
}

#[test]
fn names_are_cut_unless_the_report_is_wide() {
    let options = ["report", "--simulate", "target.example", "--rounds", "2"];
    for (more, cut) in [(&[][..], true), (&["--wide"], false)] {
        let text = run(&[&options, more].concat()).stdout;
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(".|--")).collect();
        let names = rows.iter().filter_map(|row| row.split_whitespace().nth(1));
        let longest = names.map(str::len).max().unwrap();
        assert!(longest <= 25 || !cut, "{text}");
        assert!(rows.iter().all(|row| row.ends_with(char::is_numeric)), "{text}");
    }
}

#[test]
fn the_json_is_as_its_schema_says() {
    let (dir, schema) = (scratch(), schema());
    let mut documents = vec![run(&["report", "--simulate", "target.example", "--json"])];
    for six in ["-4", "-6"] {
        documents.push(run(&["report", "--simulate", "target.example", "--json", "-q3", six]));
    }
    documents.push(report(
        &dir,
        &["", LIMITED, "silent = true"],
        "",
        &["--json", "--rounds", "50"],
    ));
    documents.push(report(&dir, &["loss = 1"], "", &["--json", "--rounds", "2", "-m3"]));
    for (lasts, says) in [("5s", HOST), ("1000s", HOST), ("1000s", "")] {
        let hops = ["", &outage("3900ms", lasts, says)];
        documents.push(report(&dir, &hops, "", &["--json", "--rounds", "14"]));
    }
    documents.push(report(&dir, &["", &outage("0s", "3900ms", HOST)], "", &["--json"]));
    for document in documents.iter().map(json) {
        let faults = schema.iter_errors(&document);
        let faults: Vec<String> = faults.map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
    let [over, lasting, silent, early] =
        [5, 6, 7, 8].map(|index| json(&documents[index])["report"].clone());
    assert_eq!((&over["target_reached"], &over["unreached_rounds"]), (&true.into(), &5.into()));
    assert_eq!((&over["outage"]["round"], &over["outage"]["until_round"]), (&5.into(), &10.into()));
    assert_eq!(over["hubs"][2]["Drop"], 5);
    let rejected = &lasting["outage"]["rejected"];
    assert_eq!(lasting["target_reached"], false);
    assert_eq!(
        (&rejected["annotation"], &rejected["responder"]),
        (&"!H".into(), &"198.51.100.2".into())
    );
    assert!(silent["outage"]["rejected"].is_null() && silent["outage"]["round"] == 5, "{silent}");
    assert_eq!(early["hubs"][2]["asked_rounds"], 6);
    assert_eq!(
        (&early["outage"]["round"], &early["outage"]["until_round"]),
        (&1.into(), &5.into())
    );
    let limited = &json(&documents[3])["report"];
    assert_eq!(limited["hubs"][1]["loss"], "rate-limited");
    assert_eq!(limited["hubs"][2]["loss"], "silent");
    assert_eq!((&limited["rounds"], &limited["target_reached"]), (&50.into(), &true.into()));

    let mut wrong = json(&documents[0]);
    wrong["report"]["hubs"][0]["Jint"] = "much".into();
    assert!(!schema.is_valid(&wrong), "the schema can fail");
}

/// The fields of mtr 0.95 in their order, and of which type it writes them.
#[test]
fn the_json_has_the_fields_of_mtr_first() {
    let document = json(&run(&["report", "--simulate", TARGET, "--json"]));
    let mtr = document["report"]["mtr"].as_object().unwrap();
    let fields: Vec<&str> = mtr.keys().map(String::as_str).collect();
    for field in ["src", "dst", "tos", "tests", "psize", "bitpattern"] {
        assert!(fields.contains(&field), "{fields:?}");
        assert_eq!(mtr[field].is_u64(), ["tos", "tests"].contains(&field), "{field}");
    }
    for hub in document["report"]["hubs"].as_array().unwrap() {
        for count in ["count", "Snt", "Rcv", "Drop"] {
            assert!(hub[count].is_u64(), "{count}: {hub}");
        }
        for time in ["Loss%", "Last", "Avg", "Best", "Wrst", "StDev", "Gmean", "Jttr", "Jint"] {
            assert!(hub[time].is_f64(), "{time}: {hub}");
        }
    }
}

#[test]
fn all_hosts_of_a_hop_are_there() {
    let dir = scratch();
    let topology = path_in(&dir, "topology.toml");
    let hops = "source = \"192.0.2.2\"\n[[hop]]\naddress = \"198.51.100.1\"\nbalance = \"packet\"\n\
        [[hop]]\nrouters = [{ address = \"198.51.100.2\" }, { address = \"198.51.100.3\" }]\n";
    let text = format!("{hops}[target]\ndelay = \"1ms\"\n");
    fs::write(&topology, text).unwrap();
    let simulated = ["report", "--simulate", topology.to_str().unwrap(), TARGET, "--rounds", "30"];
    let in_form = |form: &str| run(&[&simulated[..], &["--format", form]].concat());

    let report = &json(&in_form("json"))["report"];
    let hosts = report["hubs"][1]["hosts"].as_array().unwrap();
    let counts: u64 = hosts.iter().map(|host| host["count"].as_u64().unwrap()).sum();
    assert_eq!((hosts.len(), counts), (2, 30), "{report}");
    assert!(report["changes"].as_array().unwrap().is_empty(), "{report}");
    let [balanced] = &report["balanced"].as_array().unwrap()[..] else { panic!("{report}") };
    let hosts_told = balanced["hosts"].as_array().unwrap();
    assert_eq!((&balanced["count"], hosts_told.len()), (&2.into(), 2), "{balanced}");

    let text = in_form("text").stdout;
    let second = text.lines().nth(4).unwrap();
    assert_eq!((second.trim(), second.len()), (hosts[1]["ip"].as_str().unwrap(), 41), "{text}");

    let table = in_form("csv").stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        table.lines().next(),
        Some(
            "Mtr_Version,Start_Time,Status,Host,Hop,Ip,Loss%,Snt, ,Last,Avg,Best,Wrst,StDev,Loss,Damaged,Reason,"
        )
    );
    assert_eq!(rows.iter().map(|row| row[4]).collect::<Vec<_>>(), ["Hop", "1", "2", "2", "3"]);
    for (row, host) in rows[2..4].iter().zip(hosts) {
        assert_eq!((row[5], row[7]), (host["ip"].as_str().unwrap(), "30"));
        let best = format!("{:.2}", host["Best"].as_f64().unwrap());
        assert_eq!(row[11], best);
    }
}

#[test]
fn systems_are_where_mtr_has_them() {
    let dir = scratch();
    let asn = mmdb::geolite_asn().save(path_in(&dir, "asn.mmdb"));
    let asn = ["--asn-db", asn.to_str().unwrap()];
    let options = ["report", "--simulate", "-n", "--rounds", "2", TARGET];
    let report = |form: &[&str]| run(&[&options[..], &asn, form].concat());

    let document = json(&report(&["--json"]));
    let faults: Vec<String> = schema().iter_errors(&document).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let hubs = document["report"]["hubs"].as_array().unwrap();
    let systems: Vec<&str> = hubs.iter().map(|hub| hub["ASN"].as_str().unwrap()).collect();
    assert!(systems.contains(&"AS???") && systems.iter().any(|it| *it != "AS???"), "{systems:?}");

    for wide in [&[][..], &["--wide"]] {
        let text = report(wide).stdout;
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(". AS")).collect();
        let system = |row: &&&str| row[5..].split(' ').next().unwrap().to_owned();
        let seen: Vec<String> = rows.iter().map(|row| system(&row)).collect();
        assert_eq!(seen, systems, "{text}");
        let titles = text.lines().nth(1).unwrap().len();
        assert!(rows.iter().all(|row| row.len() == titles), "{text}");
    }
    let table = report(&["--format", "csv"]).stdout;
    let column: Vec<&str> = table.lines().map(|line| line.split(',').nth(6).unwrap()).collect();
    assert_eq!((column[0], &column[1..]), ("Asn", &systems[..]));
}

#[test]
fn a_recording_of_rounds_replays_to_the_report() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    for options in [
        &["--interval", "0.02", "--rounds", "7", "-q2"][..],
        &["--until", "3s", "-n"],
        &["-6", "-T", "-w", "0.04"],
        &["-e", "-I", "--flow", "paris"],
    ] {
        for look in [&[][..], &["--json"], &["--format", "csv"], &["--wide", "--columns", "SLEPT"]]
        {
            let rounds = ["report", "--simulate", "--pcap", path, "target.example"];
            let live = run(&[&rounds, options, look].concat());
            let again = replay(&recording, look);
            assert_eq!(again.stdout, live.stdout, "{options:?} {look:?}");
            assert_eq!((again.status, again.stderr.as_str()), (live.status, ""), "{options:?}");
        }
    }
}

#[test]
fn a_watch_that_only_reports_is_a_report() {
    let watch = run(&["watch", "--report", "--simulate", TARGET]);
    assert_eq!(watch.stdout, run(&["report", "--simulate", TARGET]).stdout);
    assert_eq!(json(&run(&["report", "--simulate", TARGET, "--json"]))["report"]["rounds"], 10);
    // Who says when it ends says how many rounds there are.
    let until = run(&["report", "--simulate", TARGET, "--json", "--until", "14.5s"]);
    assert_eq!(json(&until)["report"]["rounds"], 15);
}

#[test]
fn what_makes_no_sense_for_rounds_is_refused_in_one_line() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    assert_eq!(run(&["report", "--simulate", TARGET, "--rounds", "1", "--pcap", path]).status, 0);
    for (args, words) in [
        (vec!["report", TARGET, "--format", "atlas"], "text, json, ndjson and csv"),
        (vec!["watch", "--report", TARGET, "--format", "scamper"], "text, json, ndjson and csv"),
        (vec!["report", TARGET, "--inspect"], "--inspect is for one trace"),
        (vec!["replay", path, "--format", "atlas"], "atlas is for one trace"),
        (
            vec!["replay", path, "--format", "dot"],
            "dot is not a format for rounds: choose one of text, json, ndjson and csv",
        ),
        (vec!["replay", path, "--mtu"], "--mtu is for one trace"),
        (vec!["report", TARGET, "--columns", "LSZ"], "E median"),
        (vec!["report", TARGET, "--until", "soon"], "1h30m"),
        (vec!["report", TARGET, "--until", "2020-01-01T00:00:00Z"], "--until is past"),
    ] {
        let refused = run(&args);
        assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{args:?}");
        assert!(refused.stderr.contains(words), "{args:?}: {}", refused.stderr);
        assert_eq!(refused.stderr.lines().count(), 1, "{args:?}: {}", refused.stderr);
    }
}

/// An answer that quotes nothing and comes from a shorter branch is not believed, but it is no loss either.
#[test]
fn contradicted_answers_are_no_loss() {
    let dir = scratch();
    let topology = path_in(&dir, "branches.toml");
    let text = "[[hop]]\naddress = \"10.9.0.1\"\nbalance = \"flow\"\n\
        [[hop]]\nrouters = [{ address = \"10.9.1.1\", next = [\"x\"] }, { address = \"10.9.1.2\", next = [\"y\"] }]\n\
        [[hop]]\nname = \"x\"\naddress = \"10.9.2.1\"\n[[hop]]\nname = \"y\"\naddress = \"10.9.3.1\"\n";
    fs::write(&topology, text).unwrap();
    let simulate = format!("--simulate={}", topology.display());
    let report = run(&["report", "-I", "-q3", "--rounds", "40", "--json", &simulate, TARGET]);
    let document = json(&report);
    assert!(document["report"]["contradicted"].as_u64() > Some(0), "{document}");
    for hub in document["report"]["hubs"].as_array().unwrap() {
        assert_eq!((&hub["Loss%"], &hub["loss"]), (&0.0.into(), &"none".into()), "{hub}");
    }
}
