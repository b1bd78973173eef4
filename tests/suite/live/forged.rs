//! Somebody sends answers from the target's address, or errors about our probes: they hide no hop, and show none.

use serde_json::Value;

use super::lab::{Lab, Running, TARGET, replay, run, trace};

const FORGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/forge.py");

const QUOTES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/quotes.py");

/// A router that says nothing, so that a trace takes long enough for a flood.
fn mute(lab: &Lab, host: &str) {
    let rule = "add table ip mute; add chain ip mute out { type filter hook output priority 0; }; \
                add rule ip mute out icmp type time-exceeded drop";
    run(lab.on(host, "nft").arg(rule));
}

/// Whose addresses a document has that nobody has in the lab, and how often somebody's there.
fn responders(text: &str) -> (usize, usize) {
    (text.matches("198.18.").count(), text.matches("\"10.0.").count())
}

/// One field of what is quoted takes all values, by somebody who knows no more than both addresses, or the port too.
#[test]
fn forged_quotes_show_no_hop_and_hide_none() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    mute(&lab, "r5");
    for field in [&["port"][..], &["id", "known"]] {
        let args = [&["eth0", TARGET][..], field].concat();
        let forging = || {
            let mut forger = Running::start(lab.on("r1", QUOTES).args(&args));
            forger.wait_for("listening\n");
            forger
        };
        let file = lab.file("out.pcapng");
        let pcap = file.to_str().unwrap();

        let forger = forging();
        let args = ["-n", "-w", "1.5,0,0", "--json", "--pcap", pcap, TARGET];
        let live = trace(&mut lab.rtrace(args));
        drop(forger);
        assert_eq!(replay(&file, ["--json"]), live, "{field:?}");
        assert_eq!(responders(&live).0, 0, "{field:?} {live}");
        let document: Value = serde_json::from_str(&live).unwrap();
        assert_eq!(document["stop"]["ttl"], 11, "{field:?} {live}");
        for hop in document["hops"].as_array().unwrap().iter().take(10) {
            let ttl = hop["ttl"].as_u64().unwrap();
            for probe in hop["probes"].as_array().unwrap() {
                let responder = probe["replies"][0]["responder"].as_str();
                let expected = (ttl != 5).then(|| format!("10.0.{ttl}.2"));
                assert_eq!(responder, expected.as_deref(), "{field:?} {live}");
            }
        }
        // It was under attack all the while.
        assert_eq!(document["totals"]["withdrawn"], true, "{field:?} {live}");

        let forger = forging();
        let watch = ["watch", "--report", "--json", "--rounds", "10", "--interval", "0.1", "-n"];
        let live = trace(&mut lab.rtrace([&watch[..], &["--pcap", pcap, TARGET]].concat()));
        drop(forger);
        assert_eq!(replay(&file, ["--json"]), live, "{field:?}");
        assert_eq!(responders(&live).0, 0, "{field:?} {live}");
        let document: Value = serde_json::from_str(&live).unwrap();
        let hubs = document["report"]["hubs"].as_array().unwrap();
        for hub in hubs.iter().take(10).filter(|hub| hub["count"] != 5) {
            assert_eq!(hub["ip"], format!("10.0.{}.2", hub["count"]), "{field:?} {hub}");
            assert_eq!(hub["hosts"].as_array().unwrap().len(), 1, "{field:?} {hub}");
        }
    }
}

/// Datagrams that answer all probes from the first on, before any router does: hop 1 is not the target.
#[test]
fn forged_answers_to_all_probes_end_no_trace() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    for silent in [None, Some("r5")] {
        if let Some(host) = silent {
            mute(&lab, host);
        }
        for queries in ["1", "3"] {
            let mut forger =
                Running::start(lab.on("r1", FORGE).args(["eth0", TARGET, "33434", "33523", "0"]));
            forger.wait_for("listening\n");
            let file = lab.file("out.pcapng");
            let args = ["-n", "-w", "1,0,0", "-q", queries, "--json", "--pcap"];
            let live = trace(lab.rtrace(args).arg(&file).arg(TARGET));
            drop(forger);
            assert_eq!(replay(&file, ["--json"]), live);
            let document: Value = serde_json::from_str(&live).unwrap();
            assert_eq!(document["stop"]["ttl"], 11, "{silent:?} {queries} {live}");
            let hops = document["hops"].as_array().unwrap();
            for hop in hops.iter().filter(|hop| silent.is_none() || hop["ttl"] != 5).take(9) {
                let expected = format!("10.0.{}.2", hop["ttl"]);
                assert_eq!(hop["probes"][0]["replies"][0]["responder"], expected, "{live}");
            }
        }
    }
}

#[test]
fn forged_answers_hide_no_hop() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    mute(&lab, "r5");
    // Of the three probes to hop 5.
    let mut forger = Running::start(lab.on("r1", FORGE).args(["eth0", TARGET, "33446", "33448"]));
    forger.wait_for("listening\n");
    let file = lab.file("out.pcapng");
    // Silent hops are waited for so long that what is forged comes in time.
    let args = ["-n", "-w", "2,0,0", "--json", "--pcap", file.to_str().unwrap(), TARGET];
    let live = trace(&mut lab.rtrace(args));
    assert_eq!(replay(&file, ["--json"]), live);
    let document: Value = serde_json::from_str(&live).unwrap();
    assert_eq!(document["stop"]["ttl"], 11);
    for hop in document["hops"].as_array().unwrap().iter().take(10) {
        let ttl = hop["ttl"].as_u64().unwrap();
        for probe in hop["probes"].as_array().unwrap() {
            let responder = probe["replies"][0]["responder"].as_str();
            let expected = (ttl != 5).then(|| format!("10.0.{ttl}.2"));
            assert_eq!(responder, expected.as_deref(), "{live}");
        }
    }
    let probe = &document["hops"][4]["probes"][0];
    assert_eq!(probe["contradicted"][0]["responder"], TARGET);
    let second = &document["confirmations"][0];
    assert_eq!((&second["ttl"], &second["outcome"]), (&5.into(), &"lost".into()));
    assert_ne!(second["source_port"], probe["source_port"]);
}
