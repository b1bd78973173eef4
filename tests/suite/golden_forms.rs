//! The forms besides text and JSON: goldens for a few fixtures, and for all of them that what a form
//! says is what the JSON document says, to our own eyes and to those of other tools.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::golden::{fixtures, options, recording};
use crate::live::lab::skip;
use crate::support::{replay, rtrace};

/// Each form with the name of its golden.
const GOLDENS: [(&str, &str); 4] = [
    ("ndjson", "expected.ndjson"),
    ("csv", "expected.csv"),
    ("atlas", "expected.atlas.json"),
    ("scamper", "expected.scamper.json"),
];

/// A fixture's report in this form.
fn report(fixture: &Path, form: &str) -> String {
    let options = options(fixture);
    let mut args: Vec<&str> = options.iter().map(String::as_str).collect();
    args.extend(["--format", form]);
    let report = replay(&recording(fixture), &args);
    assert_eq!(report.stderr, "", "{} as {form}", fixture.display());
    report.stdout
}

/// The JSON document of a fixture.
fn document(fixture: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(fixture.join("expected.json")).unwrap()).unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}"))
}

/// The probes of a document, in order.
fn probes(document: &Value) -> Vec<&Value> {
    array(&document["hops"]).iter().flat_map(|hop| array(&hop["probes"])).collect()
}

/// The hops of a document that the text shows: those up to the end of the path.
fn reported(document: &Value) -> impl Iterator<Item = &Value> + Clone {
    let end = document["stop"]["ttl"].as_u64().unwrap_or(255);
    array(&document["hops"]).iter().filter(move |hop| hop["ttl"].as_u64() <= Some(end))
}

#[test]
fn every_form_has_its_goldens() {
    let mut seen = 0;
    for fixture in fixtures() {
        for (form, name) in GOLDENS {
            let Ok(expected) = fs::read_to_string(fixture.join(name)) else { continue };
            assert_eq!(report(&fixture, form), expected, "{} as {form}", fixture.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 4 * GOLDENS.len(), "four fixtures have every golden");
}

/// The events put together again are the document: what its schema says of rows holds for lines too.
#[test]
fn the_stream_amounts_to_the_document() {
    for fixture in fixtures() {
        let mut whole = json!({ "format": "rtrace-trace", "hops": [] });
        for line in report(&fixture, "ndjson").lines() {
            let event: Map<String, Value> = serde_json::from_str(line).unwrap();
            add_event(&mut whole, event);
        }
        // A line says what was known when it was written.
        let end = whole["stop"]["ttl"].as_u64().unwrap_or(u64::MAX);
        for hop in whole["hops"].as_array_mut().unwrap() {
            let is_past_end = hop["ttl"].as_u64().unwrap() > end;
            let probes = hop["probes"].as_array_mut().unwrap().iter_mut();
            for probe in probes.filter(|it| is_past_end && it["outcome"] == "lost") {
                probe["outcome"] = "past-end".into();
            }
        }
        assert_eq!(whole, document(&fixture), "{}", fixture.display());
        let totals = &whole["totals"];
        assert_eq!(totals["lost"], lost(&whole), "{}: {totals}", fixture.display());
    }
}

/// Probes without an answer up to the end of the path: nobody waited for what went beyond.
fn lost(document: &Value) -> u64 {
    let end = document["stop"]["ttl"].as_u64().unwrap_or(u64::MAX);
    let hops = array(&document["hops"]).iter();
    let within = hops.filter(|hop| hop["ttl"].as_u64().unwrap() <= end);
    let probes = within.flat_map(|hop| array(&hop["probes"]));
    probes.filter(|probe| probe["outcome"] == "lost").count() as u64
}

fn add_event(whole: &mut Value, mut event: Map<String, Value>) {
    let kind = event.remove("event").unwrap();
    let first = &whole["asked"]["first_ttl"].clone();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or(1)).unwrap();
    let at = |key: &str| event.get(key).map_or(1, number);
    let (hop, query) = (at("ttl").saturating_sub(number(first)), at("query") - 1);
    match kind.as_str().unwrap() {
        "begin" | "end" => {
            event.remove("format");
            whole.as_object_mut().unwrap().extend(event);
        }
        "sent" => {
            let hops = whole["hops"].as_array_mut().unwrap();
            while hops.len() <= hop {
                hops.push(json!({ "ttl": hops.len() + number(first), "probes": [] }));
            }
            event.insert("replies".into(), json!([]));
            hops[hop]["probes"].as_array_mut().unwrap().push(event.into());
        }
        "replied" => {
            event.remove("ttl");
            event.remove("query");
            // No fixture has names; in the stream they come later.
            event.insert("name".into(), Value::Null);
            let probe = &mut whole["hops"][hop]["probes"][query];
            probe["replies"].as_array_mut().unwrap().push(event.into());
        }
        "settled" => {
            let probe = &mut whole["hops"][hop]["probes"][query];
            probe["outcome"] = event["outcome"].clone();
            let by = |reply: &Value| reply["frame"] == event["reply_frame"];
            let answered = array(&probe["replies"]).iter().any(by);
            assert_eq!(answered, probe["outcome"] == "answered");
        }
        other => panic!("an event of the kind {other}"),
    }
}

#[test]
fn a_table_has_a_row_for_each_probe() {
    for fixture in fixtures() {
        let table = report(&fixture, "csv");
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let titles = reader.headers().unwrap().clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let document = document(&fixture);
        let probes = probes(&document);
        assert_eq!(rows.len(), probes.len(), "{}", fixture.display());
        for (row, probe) in rows.iter().zip(probes) {
            let cell = |title: &str| &row[titles.iter().position(|it| it == title).unwrap()];
            let reply = array(&probe["replies"]).first().unwrap_or(&Value::Null);
            for (title, value) in [
                ("ttl", &probe["ttl"]),
                ("query", &probe["query"]),
                ("outcome", &probe["outcome"]),
                ("sent_ns", &probe["sent_ns"]),
                ("frame", &probe["frame"]),
                ("source_port", &probe["source_port"]),
                ("ip_id", &probe["ip_id"]),
                ("responder", &reply["responder"]),
                ("rtt_ns", &reply["rtt_ns"]),
                ("icmp_code", &reply["icmp_code"]),
                ("annotation", &reply["annotation"]),
                ("late", &reply["late"]),
                ("reply_frame", &reply["frame"]),
            ] {
                let expected = match value {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(cell(title), expected, "{title} in {}", fixture.display());
            }
        }
    }
}

/// What Python's `ripe.atlas.sagan` sees in an Atlas result: hops, and in each `[responder, rtt]`.
const SAGAN: &str = "
import json, sys
from ripe.atlas.sagan import Result, TracerouteResult
result = Result.get(sys.stdin.read(), on_malformation=Result.ACTION_FAIL, on_error=Result.ACTION_IGNORE)
assert isinstance(result, TracerouteResult) and not result.is_malformed and not result.is_error
packets = lambda hop: [[packet.origin, packet.rtt] for packet in hop.packets]
print(json.dumps([[hop.index, packets(hop)] for hop in result.hops]))
";

#[test]
fn sagan_reads_the_atlas_form() {
    let present = Command::new("python3").args(["-c", "import ripe.atlas.sagan"]).output();
    if !present.is_ok_and(|import| import.status.success()) {
        return skip("needs the Python module ripe.atlas.sagan");
    }
    for fixture in fixtures() {
        let document = document(&fixture);
        let expected: Vec<Value> = reported(&document)
            .map(|hop| {
                json!([hop["ttl"], array(&hop["probes"]).iter().map(packet).collect::<Vec<_>>()])
            })
            .collect();
        let seen: Value = serde_json::from_str(&python(SAGAN, &report(&fixture, "atlas"))).unwrap();
        assert_eq!(seen, json!(expected), "{}", fixture.display());
    }
}

/// The responder of a probe's answer and its RTT in milliseconds; no fixture has further replies.
fn packet(probe: &Value) -> Value {
    match probe["outcome"].as_str() {
        Some("answered") => {
            let reply = &probe["replies"][0];
            let millis = reply["rtt_ns"].as_f64().unwrap() / 1e6;
            json!([reply["responder"], (millis * 1e3).round() / 1e3])
        }
        _ => json!([null, null]),
    }
}

fn python(program: &str, input: &str) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What scamper 20211212 wrote of a trace with `-P udp` in the lab "ten-hops", cut to one hop.
const SCAMPER: &str = r#"{"type":"trace","version":"0.1", "userid":0, "method":"udp", "src":"10.0.1.1", "dst":"203.0.113.9", "sport":38638, "dport":33435, "stop_reason":"COMPLETED", "stop_data":0, "start":{"sec":1795508747, "usec":134206, "ftime":"2026-11-24 08:25:47"}, "hop_count":11, "attempts":2, "hoplimit":0, "firsthop":1, "wait":5, "wait_probe":0, "tos":0, "probe_size":44, "probe_count":11, "hops":[{"addr":"10.0.1.2", "probe_ttl":1, "probe_id":1, "probe_size":44, "tx":{"sec":1795508747, "usec":134638}, "rtt":0.196, "reply_ttl":64, "reply_tos":192, "reply_ipid":23475, "reply_size":72, "icmp_type":11, "icmp_code":0, "icmp_q_ttl":1, "icmp_q_ipl":44, "icmp_q_tos":0}]}"#;

#[test]
fn the_scamper_form_has_the_fields_of_scamper_itself() {
    let theirs: Value = serde_json::from_str(SCAMPER).unwrap();
    for fixture in fixtures() {
        let document = document(&fixture);
        let ours: Value = serde_json::from_str(&report(&fixture, "scamper")).unwrap();
        let ports: &[&str] = match document["asked"]["first_port"] {
            Value::Null => &["sport", "dport"],
            _ => &[],
        };
        same_form(&ours, &theirs, ports, &[]);
        same_form(&ours["start"], &theirs["start"], &[], &[]);
        let probes = reported(&document).flat_map(|hop| array(&hop["probes"]));
        let answered = probes.filter(|probe| probe["outcome"] == "answered");
        assert_eq!(array(&ours["hops"]).len(), answered.clone().count(), "{}", fixture.display());
        for (hop, probe) in array(&ours["hops"]).iter().zip(answered) {
            let reply = &probe["replies"][0];
            if reply["kind"] == "icmp" {
                let more = ["icmp_nhmtu:"].into_iter().filter(|_| reply["next_hop_mtu"].is_u64());
                let not_kept: &[&str] =
                    if reply["reply_ip_id"].is_null() { &["reply_ipid"] } else { &[] };
                same_form(hop, &theirs["hops"][0], not_kept, &more.collect::<Vec<_>>());
            }
            assert_eq!((&hop["addr"], &hop["probe_ttl"]), (&reply["responder"], &probe["ttl"]));
            assert_eq!(Some(hop["rtt"].as_f64().unwrap()), packet(probe)[1].as_f64());
        }
    }
}

/// Asserts that two objects have the same fields of the same types, apart from some that only theirs
/// or only ours has.
fn same_form(ours: &Value, theirs: &Value, only_theirs: &[&str], only_ours: &[&str]) {
    let fields = |of: &Value, without: &[&str]| -> Vec<(String, u8)> {
        let all = of.as_object().unwrap().iter();
        let kept = all.filter(|(name, _)| !without.contains(&name.as_str()));
        kept.map(|(name, value)| (name.clone(), kind(value))).collect()
    };
    assert_eq!(fields(ours, only_ours), fields(theirs, only_theirs), "{ours}");
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(number) if number.is_f64() => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

#[test]
fn a_closed_pipe_is_no_error_in_any_form() {
    for (form, _) in GOLDENS {
        let mut command = rtrace();
        command.args(["--simulate", "-q", "1000", "--format", form, "203.0.113.9"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{form}");
        assert_eq!(output.status.code(), Some(0), "{form}");
    }
}
