//! A host on the path sends answers from the target's address: they hide no hop.

use serde_json::Value;

use super::lab::{Lab, Running, TARGET, replay, run, trace};

const FORGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/forge.py");

#[test]
fn forged_answers_hide_no_hop() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let rule = "add table ip mute; add chain ip mute out { type filter hook output priority 0; }; \
                add rule ip mute out icmp type time-exceeded drop";
    run(lab.on("r5", "nft").arg(rule));
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
