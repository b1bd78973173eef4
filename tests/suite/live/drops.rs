//! Firewalls of this host that drop half of our own probes: what is left of a recording replays to what was reported.

use super::lab::{Lab, TARGET, replay, run, text};

/// Where nftables drops: after that the sender is told or not, and frames are not captured.
const HOOKS: [(&str, bool); 2] = [
    ("type filter hook output priority 0", true),
    ("type filter hook egress device eth0 priority 0", false),
];
/// What is asked with, and what drops half of it.
const PROBES: [(&[&str], &str); 2] =
    [(&[], "udp dport 1-65535"), (&["-I"], "icmp type echo-request")];
const FORMS: [&str; 5] = ["ndjson", "text", "json", "csv", "ndjson"];

/// Lets every second probe or so be dropped.
fn drop_half(lab: &Lab, hook: &str, probes: &str) {
    let family = if hook.contains("egress") { "netdev" } else { "inet" };
    let rules = lab.file("rules.nft");
    let chain = format!("{hook}\n{probes} numgen random mod 2 0 drop");
    let text = format!("flush ruleset\ntable {family} half {{\nchain drops {{\n{chain}\n}}\n}}\n");
    std::fs::write(&rules, text).expect("rules");
    run(lab.on("src", "nft").arg("-f").arg(&rules));
}

#[test]
fn half_of_all_probes_dropped_replays_alike() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    for (hook, refused) in HOOKS {
        for (kind, probes) in PROBES {
            drop_half(&lab, hook, probes);
            for (number, form) in FORMS.into_iter().enumerate() {
                let file = lab.file(&format!("{number}.pcapng"));
                let queries = if number % 2 == 0 { "-q1" } else { "-q3" };
                let report = ["report", "-n", "--rounds", "8", "--interval", "0.1", "--format"];
                let mut live = lab.rtrace(report);
                live.args([form, queries, TARGET]).args(kind).arg("--pcap").arg(&file);
                let live = live.output().unwrap();
                let said = text(&live.stderr);
                assert_eq!(said.contains("refused to send"), refused, "{hook} {kind:?}: {said}");
                let again = replay(&file, ["--format", form]);
                assert!(again == text(&live.stdout), "{hook} {kind:?} {queries} {form}: {again}");
            }
        }
    }
}
