//! Outages of the host that watches: it goes on, says so, and counts the rounds not sent.

use serde_json::Value;

use super::lab::{Lab, RTRACE, Running, TARGET, replay, run};

/// A watch as a stream, with what it says on stderr among the lines.
fn watch(lab: &Lab, target: &str, file: &std::path::Path) -> Running {
    let mut command = lab.on("src", "sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&1", RTRACE, "watch", "-n", "--interval", "0.1"]);
    command.args(["--format", "ndjson", target, "--pcap"]).arg(file);
    Running::start(&mut command)
}

/// The host whose interface goes down, and what is watched meanwhile: the route to it comes back by itself.
const OUTAGES: [(&str, &str); 2] = [("r1", TARGET), ("src", "10.0.1.2")];

#[test]
fn a_watch_goes_on_after_an_outage() {
    for (host, target) in OUTAGES {
        let Some(lab) = Lab::up("ten-hops") else { return };
        let file = lab.file("outage.pcapng");
        let link = |state: &str| run(lab.on(host, "ip").args(["link", "set", "eth0", state]));
        let mut watch = watch(&lab, target, &file);
        watch.wait_for("\"round\":3,");
        link("down");
        watch.wait_for("was seen leaving");
        link("up");
        watch.wait_for("\"event\":\"missed\"");
        watch.wait_for("\"event\":\"round\"");
        // Another one, which lasts to the end.
        link("down");
        watch.wait_for("was seen leaving");
        watch.signal("INT");
        let (output, status) = watch.finish();
        assert_eq!(status.code(), Some(130), "{output}");
        let (said, stream): (Vec<&str>, Vec<&str>) =
            output.lines().partition(|line| line.starts_with("rtrace: "));
        link("up");
        assert!(said.iter().any(|line| line.contains("were not sent")), "{said:?}");
        assert!(said.last().unwrap().contains(" probes were "), "{said:?}");
        let end: Value = serde_json::from_str(stream.last().unwrap()).unwrap();
        let missed = stream.iter().filter(|line| line.contains("\"event\":\"missed\"")).count();
        assert!(missed == 2 && end["target_reached"] == false, "{end}");
        // Much would be printed to say where they differ.
        let again = replay(&file, ["--format", "ndjson"]);
        for (live, again) in stream.iter().zip(again.lines()) {
            assert_eq!(*live, again);
        }
        assert_eq!(again.lines().count(), stream.len());
    }
}

/// The second router has no route to the target for a while, and says so or not.
#[test]
fn a_target_without_a_route_is_lost_until_it_has_one() {
    for (kind, rejected) in [("unreachable", "!H"), ("prohibit", "!X"), ("blackhole", "")] {
        let Some(lab) = Lab::up("ten-hops") else { return };
        let file = lab.file("route.pcapng");
        let route = |does: &[&str]| run(lab.on("r2", "ip").args(["route"]).args(does));
        let only = format!("{TARGET}/32");
        let mut watch = watch(&lab, TARGET, &file);
        watch.wait_for("\"round\":3,");
        route(&["add", kind, &only]);
        // Two lost probes of ten are loss, the third in a row is an outage.
        watch.wait_for("\"event\":\"loss-begins\"");
        watch.wait_for("\"event\":\"unreached\"");
        route(&["del", kind, &only]);
        watch.wait_for("\"event\":\"reached\"");
        // This one lasts to the end.
        route(&["add", kind, &only]);
        watch.wait_for("\"event\":\"unreached\"");
        if !rejected.is_empty() {
            watch.wait_for("\"responder\":\"10.0.2.2\"");
        }
        watch.signal("INT");
        let (output, status) = watch.finish();
        assert_eq!(status.code(), Some(130), "{output}");
        let lines = || output.lines().filter(|line| !line.starts_with("rtrace: "));
        let of = |event: &str| -> Vec<Value> {
            let lines = lines().filter(|line| line.contains(&format!("\"event\":\"{event}\"")));
            lines.map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        for unreached in of("unreached") {
            // Linux says so once a second, after a few.
            let said = unreached["rejected"]["annotation"].as_str().unwrap_or(rejected);
            assert_eq!((said, kind), (rejected, kind), "{unreached}");
        }
        let end = of("end").remove(0);
        let target = end["hops"].as_array().unwrap().last().unwrap();
        assert_eq!((&end["target_reached"], &target["ttl"]), (&false.into(), &11.into()), "{end}");
        assert!(target["lost"].as_u64().unwrap() >= 3, "{end}");
        assert_eq!(target["responders"], serde_json::json!([TARGET]));
        let again = replay(&file, ["--format", "ndjson"]);
        assert!(lines().eq(again.lines()), "{kind}");
        let report = replay(&file, ["-n"]);
        let said = if rejected.is_empty() { "no answer" } else { rejected };
        assert!(report.contains(&format!("  {said} since ")), "{report}");
    }
}

/// The interface is down when the watch begins.
#[test]
fn a_watch_waits_for_a_route() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let link = |state: &str| run(lab.on("src", "ip").args(["link", "set", "eth0", state]));
    link("down");
    let mut command = lab.on("src", "sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2>&1", RTRACE, "watch", "-n", "--interval", "0.1"]);
    command.args(["--format", "ndjson", "--rounds", "2", "10.0.1.2"]);
    let mut watch = Running::start(&mut command);
    watch.wait_for("the watch of 10.0.1.2 begins when there is a route");
    link("up");
    let (output, status) = watch.finish();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(output.contains("\"event\":\"round\",\"round\":2,"), "{output}");

    link("down");
    let past = lab.rtrace(["watch", "--format", "ndjson", "--until", "1s", "10.0.1.2"]).output();
    let report = lab.rtrace(["report", "10.0.1.2"]).output();
    for ended in [past.unwrap(), report.unwrap()] {
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0), "{ended:?}");
    }
}
