//! The stream of a watch, over simulated networks and again from its recordings.

use std::io::Cursor;
use std::net::IpAddr;

use proptest::prelude::*;
use rtrace::capture::{CaptureReader, Format, Interface, Recording};
use rtrace::link::replay::ReplayLink;
use rtrace::link::sim::{SimLink, Topology};
use rtrace::render::stream::Stream;
use rtrace::time::Span;
use rtrace::trace::TraceConfig;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::wire::LinkType;
use serde_json::Value;

use crate::golden_law::{Shared, configs, render};
use crate::support::{cases, line_of, path_in, replay, root, run, scratch};

const TARGET: &str = "203.0.113.9";

/// The stream of a watch over a simulated network, and its frames as a classic pcap.
fn streamed(link: &mut SimLink, config: &TraceConfig, plan: Plan) -> (String, Vec<u8>) {
    let names = link.topology().names().clone();
    let (out, file) = (Shared::default(), Shared::default());
    let interface = Interface { name: "sim".into(), address: None, link: LinkType::Raw };
    let tape = Recording::new(file.clone(), "memory", Format::Pcap, &interface, "").unwrap();
    let stream = Box::new(Stream::new(out.clone(), false, plan));
    let mut rounds = Rounds::new(config.clone(), plan).unwrap();
    render(usize::MAX, &mut rounds, config, link, names, vec![stream], Some(tape));
    let frames = file.0.borrow().clone();
    (out.text(), frames)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// The stream of a watch through routers and a target of a line, of so many rounds.
fn of_line(hops: &[&str], one_way: &str, target: &str, rounds: u64) -> Vec<Value> {
    of_line_by(1, hops, one_way, target, rounds)
}

/// The same with this number of queries.
fn of_line_by(queries: u16, hops: &[&str], one_way: &str, target: &str, rounds: u64) -> Vec<Value> {
    let topology = Topology::parse(&line_of(hops, one_way, target), "test").unwrap();
    let target: IpAddr = TARGET.parse().unwrap();
    let config = TraceConfig::new(topology.source_for(target), target, 40_000).scouting();
    let config = TraceConfig { queries, ..config };
    let plan = Plan { interval: 1.0, rounds: Some(rounds), until: None };
    lines(&streamed(&mut SimLink::new(topology), &config, plan).0)
}

proptest! {
    #![proptest_config(cases(120))]

    /// The golden law of the stream.
    #[test]
    fn a_recording_gives_the_same_lines(
        seed: u64,
        config in configs(),
        interval in 0.05..2.0,
        queued in prop_oneof![Just(0), 0..40_i64],
    ) {
        let topology = Topology::random(seed);
        let config = TraceConfig { source: topology.source_for(config.target), ..config };
        let names = topology.names().clone();
        let plan = Plan { interval, rounds: Some(7), until: None };
        let mut link = SimLink::new(topology).leaving_after(Span::from_millis(queued));
        let (live, recording) = streamed(&mut link, &config, plan);

        let reader = CaptureReader::new(Cursor::new(recording), "memory").unwrap();
        let out = Shared::default();
        let stream = Box::new(Stream::new(out.clone(), false, plan));
        let mut rounds = Rounds::passive(config.clone(), plan).unwrap();
        render(usize::MAX, &mut rounds, &config, &mut ReplayLink::new(reader), names, vec![stream], None);
        prop_assert_eq!(out.text(), live);
        // Outages begin and end in turn.
        let lines = lines(&out.text());
        let told = lines.iter().map(|line| line["event"].as_str().unwrap());
        let told = told.filter(|event| event.ends_with("reached"));
        let begins = told.map(|event| event == "unreached");
        prop_assert!(begins.zip([true, false].into_iter().cycle()).all(|(a, b)| a == b));
    }
}

#[test]
fn by_the_program_itself() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let path = recording.to_str().unwrap();
    for options in [&["-n"][..], &["-q3", "--interval", "0.5"], &["-I", "-6", "-m4"]] {
        let watch = ["watch", "--simulate", "--pcap", path, "--rounds", "12", "target.example"];
        let form = ["--format", "ndjson"];
        let live = run(&[&watch, options, &form[..]].concat());
        assert_eq!(live.stderr, "", "{options:?}");
        let again = replay(&recording, &form);
        assert_eq!((again.stdout, again.status), (live.stdout.clone(), live.status));
        let lines = lines(&live.stdout);
        assert_eq!(
            (lines[0]["event"].as_str(), lines[0]["rounds"].as_u64()),
            (Some("begin"), Some(12))
        );
        assert_eq!(of(&lines, "round").len(), 12);
        let end = lines.last().unwrap();
        assert_eq!((end["event"].as_str(), end["rounds"].as_u64()), (Some("end"), Some(12)));
        assert_eq!(of(&lines, "named").is_empty(), options.contains(&"-n"));
    }
}

#[test]
fn rounds_add_up_to_the_totals() {
    let lines = of_line(&["", "loss = 0.3", "silent = true", ""], "500us", "", 30);
    let end = lines.last().unwrap();
    for total in end["hops"].as_array().unwrap() {
        let rounds = of(&lines, "round");
        let hops = rounds.iter().flat_map(|round| round["hops"].as_array().unwrap());
        let hops: Vec<&Value> = hops.filter(|hop| hop["ttl"] == total["ttl"]).collect();
        for count in ["sent", "received"] {
            let sum: u64 = hops.iter().map(|hop| hop[count].as_u64().unwrap()).sum();
            assert_eq!(total[count].as_u64(), Some(sum), "{count} of {total}");
        }
        let best = hops.iter().filter_map(|hop| hop["rtt_ns"].as_i64()).min();
        assert_eq!(total["best_ns"].as_i64(), best);
    }
    let starts: Vec<i64> =
        of(&lines, "round").iter().map(|round| round["start_ns"].as_i64().unwrap()).collect();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 1_000_000_000), "{starts:?}");
}

/// Event, hop and meaning of all that is said of loss.
fn losses(lines: &[Value]) -> Vec<(&str, u64, Option<&str>)> {
    let told = lines.iter().filter(|line| line["event"].as_str().unwrap().starts_with("loss-"));
    told.map(|line| {
        (line["event"].as_str().unwrap(), line["ttl"].as_u64().unwrap(), line["loss"].as_str())
    })
    .collect()
}

#[test]
fn loss_begins_once_and_a_limit_is_told_from_it() {
    // Its bucket holds out for as many rounds, and each second fills it by half a reply.
    let lines = of_line(&["", "rate = { per_second = 0.5, burst = 6 }", ""], "500us", "", 40);
    let told = [("loss-begins", 2, Some("unclear")), ("loss-judged", 2, Some("rate-limited"))];
    assert_eq!(losses(&lines), told);
    let begins = of(&lines, "loss-begins")[0];
    assert_eq!(begins["target"], false);
    assert_eq!(lines.last().unwrap()["hops"][1]["loss"], "rate-limited");
    assert!(begins["lost"].as_u64().unwrap() * 5 >= begins["sent"].as_u64().unwrap());
    // A hop that never answers loses nothing.
    let silent = of_line(&["", "silent = true", ""], "500us", "", 20);
    assert_eq!(losses(&silent), []);
}

#[test]
fn loss_of_the_path_is_said_to_be_that() {
    let lines = of_line(&["", "loss = 0.5", ""], "500us", "", 40);
    let told = losses(&lines);
    assert!(
        told.iter().all(|(_, ttl, loss)| *ttl > 1 && *loss != Some("rate-limited")),
        "{told:?}"
    );
    // A bucket that runs dry looks the same in the first rounds.
    let target = told.iter().filter(|(_, ttl, _)| *ttl == 4).collect::<Vec<_>>();
    assert_eq!(target[0].0, "loss-begins", "{told:?}");
    assert_eq!(target.last().unwrap().2, Some("path"), "{told:?}");
}

#[test]
fn an_outage_begins_and_ends_once() {
    for (says, rejected) in [(", unreachable = \"host\"", Some("!H")), ("", None)] {
        let outage = format!("outage = {{ after = \"5900ms\", lasts = \"6s\"{says} }}");
        let lines = of_line(&["", &outage], "500us", "", 30);
        let told: Vec<&Value> = lines
            .iter()
            .filter(|line| line["event"].as_str().unwrap().ends_with("reached"))
            .collect();
        let [unreached, reached] = told[..] else { panic!("{told:?}") };
        assert_eq!((&unreached["event"], &unreached["round"]), (&"unreached".into(), &7.into()));
        assert_eq!((&reached["event"], &reached["round"]), (&"reached".into(), &13.into()));
        assert_eq!(unreached["rejected"]["annotation"].as_str(), rejected);
        let lasted = reached["at_ns"].as_i64().unwrap() - unreached["since_ns"].as_i64().unwrap();
        assert_eq!(lasted / 1_000_000_000, 6);
        let losses = losses(&lines);
        // While it lasts a limit could look so; not once all is answered again.
        assert_eq!(losses[0].0, "loss-begins", "{losses:?}");
        let target = losses.iter().filter(|(_, ttl, _)| *ttl == 3);
        assert!(target.clone().any(|(.., loss)| *loss == Some("path")), "{losses:?}");
        let rounds = of(&lines, "round");
        let down = rounds.iter().filter(|round| round["target_reached"] == false).count();
        assert_eq!((down, &lines.last().unwrap()["target_reached"]), (6, &true.into()));
        assert_eq!(rounds[8]["hops"][2]["received"], 0);
    }
}

/// A rejection proves it at once, silence when nothing is to be expected any more.
#[test]
fn a_target_that_is_never_reached_is_told_as_soon_as_that_is_known() {
    for (hop, target, after, annotation) in [
        ("unreachable = \"host\"", "", 1, Some("!H")),
        ("", "silent = true", 3, None),
        // Errors of routers that cannot be true end nothing.
        ("advice = { icmp = { type = 3, code = 4 } }", "", 3, Some("!F-0")),
    ] {
        let lines = of_line(&["", hop], "500us", target, 8);
        let [unreached] = of(&lines, "unreached")[..] else { panic!("{lines:?}") };
        let before = lines.iter().take_while(|line| line["event"] != "unreached");
        let rounds = before.filter(|line| line["event"] == "round").count();
        assert_eq!((&unreached["round"], rounds), (&1.into(), after), "{hop} {target}");
        assert_eq!(unreached["rejected"]["annotation"].as_str(), annotation, "{unreached}");
        assert_eq!(lines.last().unwrap()["target_reached"], false);
        assert!(of(&lines, "rejected").is_empty());
    }
}

/// As Linux says so that a host does not answer ARP: after three seconds.
#[test]
fn a_rejection_that_comes_after_its_round_is_told() {
    let outage = "hold = { chance = 1.0, delay = \"2500ms\" }\n\
                  outage = { after = \"5900ms\", lasts = \"60s\", unreachable = \"host\" }";
    let who = |line: &Value| {
        let who = &line["rejected"];
        assert_eq!((&who["annotation"], &who["responder"]), (&"!H".into(), &"198.51.100.2".into()));
    };
    // Three lost probes are an outage before the rejection comes.
    let lines = of_line_by(3, &["", outage], "500us", "", 16);
    let [unreached] = of(&lines, "unreached")[..] else { panic!("{lines:?}") };
    let [rejected] = of(&lines, "rejected")[..] else { panic!("{lines:?}") };
    assert_eq!((&unreached["round"], &rejected["round"]), (&7.into(), &7.into()));
    assert!(unreached["rejected"].is_null(), "{unreached}");
    assert_eq!(unreached["since_ns"], rejected["since_ns"]);
    who(rejected);
    // Of two lost probes it proves that they are one.
    let lines = of_line(&["", outage], "500us", "", 16);
    let [unreached] = of(&lines, "unreached")[..] else { panic!("{lines:?}") };
    let rounds = lines.iter().take_while(|line| line["event"] != "unreached");
    let rounds = rounds.filter(|line| line["event"] == "round").count();
    assert_eq!((&unreached["round"], rounds), (&7.into(), 8));
    who(unreached);
    assert!(of(&lines, "rejected").is_empty(), "{lines:?}");
}

/// An outage is at least three probes to the target in a row that are lost: fewer are loss.
#[test]
fn lost_probes_are_an_outage_from_the_third_in_a_row_on() {
    let (mut outages, mut losses) = (0, 0);
    for queries in 1..=4 {
        for loss in ["0.05", "0.3", "0.6"] {
            let lines = of_line_by(queries, &["", &format!("loss = {loss}")], "500us", "", 100);
            let rounds = of(&lines, "round");
            // The first round of each outage, and the one with which it is over.
            let mut expected = Vec::new();
            for run in rounds.chunk_by(|a, b| a["target_reached"] == b["target_reached"]) {
                let is_outage = run[0]["target_reached"] == false;
                let lost = |round: &&Value| round["hops"][2]["sent"].as_u64().unwrap();
                if is_outage && run.iter().map(lost).sum::<u64>() >= 3 {
                    let next = run.last().unwrap()["round"].as_u64().unwrap() + 1;
                    let first = (String::from("unreached"), run[0]["round"].as_u64().unwrap());
                    expected.push(first);
                    expected.extend((next <= 100).then(|| ("reached".to_owned(), next)));
                    outages += 1;
                }
                losses += usize::from(is_outage);
            }
            let told = lines.iter().filter(|it| it["event"].as_str().unwrap().ends_with("reached"));
            let told = told.map(|it| {
                (it["event"].as_str().unwrap().to_owned(), it["round"].as_u64().unwrap())
            });
            assert_eq!(told.collect::<Vec<_>>(), expected, "-q {queries}, loss {loss}");
            let (last, end) = (rounds.last().unwrap(), lines.last().unwrap());
            assert_eq!(last["target_reached"], end["target_reached"]);
        }
    }
    assert!(outages > 10 && losses > outages + 10, "{outages} of {losses}");
}

/// Of a router that was silent until then: it did not lose anything before.
#[test]
fn no_loss_begins_where_a_silent_router_begins_to_answer() {
    for says in ["unreachable = \"admin\"", ""] {
        let hop = format!("outage = {{ after = \"0s\", lasts = \"8500ms\" }}\n{says}");
        let lines = of_line(&["", &hop], "500us", "", 20);
        assert_eq!(losses(&lines), [], "{says}");
        let end = lines.last().unwrap();
        assert_eq!(end["hops"][1]["responders"], serde_json::json!(["198.51.100.2"]));
        let rejected = of(&lines, "rejected").len();
        assert_eq!(
            (rejected, &end["target_reached"]),
            (usize::from(!says.is_empty()), &says.is_empty().into())
        );
    }
}

#[test]
fn a_late_reply_has_a_line_and_is_no_loss() {
    // There and back it takes longer than the second that a round waits.
    let lines = of_line(&[], "650ms", "", 20);
    let late = of(&lines, "late");
    assert!(late.iter().all(|line| line["rtt_ns"] == 1_300_000_000), "{late:?}");
    let late: Vec<_> = late.iter().filter(|line| line["ttl"] == 1).collect();
    assert!(late.len() >= 17, "{}", late.len());
    assert!(of(&lines, "loss-begins").is_empty());
    let target = &lines.last().unwrap()["hops"][0];
    assert_eq!((&target["received"], &target["late"]), (&0.into(), &late.len().into()));
}

#[test]
fn every_line_is_documented() {
    let docs = std::fs::read_to_string(root().join("docs/watch.md")).unwrap();
    let (_, docs) = docs.split_once("## The stream").unwrap();
    let dir = scratch();
    let topology = path_in(&dir, "lossy.toml");
    let hops = ["", "loss = 0.4", "rate = { per_second = 0.5, burst = 6 }"];
    std::fs::write(&topology, line_of(&hops, "300ms", "")).unwrap();
    let simulate = format!("--simulate={}", topology.display());
    let stream = run(&["watch", &simulate, "--rounds", "40", "--format", "ndjson", TARGET]).stdout;
    for line in lines(&stream) {
        let event = line["event"].as_str().unwrap();
        assert!(docs.contains(&format!("`{event}`")), "{event}");
        for field in line.as_object().unwrap().keys() {
            assert!(docs.contains(&format!("`{field}`")), "{field} of {event}");
        }
        for row in line["hops"].as_array().into_iter().flatten() {
            for field in row.as_object().unwrap().keys() {
                assert!(docs.contains(&format!("`{field}`")), "{field} of a hop of {event}");
            }
        }
    }
}
