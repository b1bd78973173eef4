//! Quotes that real routers rewrote find their probes, and what was rewritten is told.

use super::lab::{Lab, TARGET, replay, run, trace};

/// What the fourth router does to whatever it forwards, the options, and what is said of it. No probe has an IP-ID of 0.
const REWRITTEN: &[(&str, &[&str], &str)] = &[
    ("ip id set 0", &[], "identification"),
    ("ip id set 0", &["--flow", "paris"], "identification"),
    ("ip id set 0", &["-I"], "identification"),
    ("ip id set 0", &["-T"], "identification"),
    ("ip daddr set 203.0.113.8", &[], "destination address"),
    ("ip daddr set 203.0.113.8", &["-I"], "destination address"),
    ("ip daddr set 203.0.113.8", &["-T"], "destination address"),
    ("udp dport set 53", &[], "destination port"),
    ("udp dport set 53", &["--flow", "paris"], "destination port"),
    ("tcp sequence set 5", &["-T"], "sequence number"),
    ("icmp sequence set 50000", &["-I"], "sequence number"),
];

#[test]
fn what_was_rewritten_finds_its_probe() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let (rules, file) = (lab.file("rules.nft"), lab.file("out.pcapng"));
    for (rule, options, field) in REWRITTEN {
        let text = format!(
            "flush ruleset\ntable ip change {{\n chain out {{\n  \
             type filter hook postrouting priority mangle;\n  oifname \"eth1\" {rule}\n }}\n}}\n"
        );
        std::fs::write(&rules, text).expect("rules");
        run(lab.on("r4", "nft").arg("-f").arg(&rules));
        // Nobody has the other address: what is beyond the last router says nothing soon.
        let args = [&["inspect", TARGET, "-n", "-m", "10"], *options].concat();
        let live = trace(lab.rtrace(args).arg("--pcap").arg(&file));
        let told = format!("between hop 4 and hop 5: {field} ");
        assert!(live.lines().any(|line| line.starts_with(&told)), "{rule} {options:?}:\n{live}");
        assert!(
            live.lines().any(|line| line.contains(" 10.0.10.2 ")),
            "{rule} {options:?}:\n{live}"
        );
        assert_eq!(replay(&file, ["--inspect"]), live);
    }
}
