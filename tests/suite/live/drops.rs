//! Firewalls of this host that drop half of our own probes: what is left of a recording replays to what was reported.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::lab::{Lab, TARGET, replay, run, text, trace};

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
    fs::write(&rules, text).expect("rules");
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

/// Each file begins with a round whose first probes may be missing, and all together are the recording.
#[test]
fn files_that_rotate_while_probes_are_dropped_have_all_rounds() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    for (hook, _) in HOOKS {
        drop_half(&lab, hook, PROBES[0].1);
        let directory = lab.file(if hook.contains("egress") { "egress" } else { "output" });
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        let watch = ["watch", "-n", "--rounds", "12", "--interval", "0.1", "--format", "ndjson"];
        let mut live = lab.rtrace(watch);
        live.args([TARGET, "--rotate", "2k", "--pcap"]).arg(directory.join("out.pcapng"));
        let live = trace(&mut live);
        let mut files: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort_unstable();
        assert!(files.len() > 2, "{files:?}");
        let rounds = |stream: &str| {
            let of_round = |line: &&str| line.starts_with("{\"event\":\"round\"");
            stream.lines().filter(of_round).map(str::to_owned).collect::<Vec<_>>()
        };
        let alone = files.iter().flat_map(|file| rounds(&replay(file, ["--format", "ndjson"])));
        assert_eq!(alone.collect::<Vec<_>>(), rounds(&live), "{hook}");
        let joined = lab.file("joined.pcapng");
        let bytes: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap()).collect();
        fs::write(&joined, bytes).unwrap();
        assert_eq!(replay(&joined, ["--format", "ndjson"]), live, "{hook}");
    }
}
