//! Multipath detection among routers of the kernel: every address and every link, and again from the recording.

use std::collections::BTreeSet;

use serde_json::Value;

use super::lab::{Lab, TARGET, replay, trace};

/// The addresses and the links between them; "src" is the prober.
fn found(document: &Value) -> (BTreeSet<String>, BTreeSet<(String, String)>) {
    let nodes = document["nodes"].as_array().expect("nodes");
    let address = |id: &Value| {
        let node = nodes.iter().find(|node| node["id"] == *id);
        node.map_or("src".to_owned(), |node| node["address"].as_str().unwrap_or("*").to_owned())
    };
    let links = document["links"].as_array().expect("links").iter();
    let links = links.map(|link| (address(&link["from"]), address(&link["to"]))).collect();
    (nodes.iter().map(|node| address(&node["id"])).collect(), links)
}

/// Pairs of hosts as the lab numbers its cables, in the addresses of a family.
fn expected(links: &[(&str, &str)], six: bool) -> BTreeSet<(String, String)> {
    let address = |host: &str| match (host, six) {
        ("src", _) => host.to_owned(),
        ("dst", false) => TARGET.to_owned(),
        ("dst", true) => "2001:db8:113::9".to_owned(),
        (cable, false) => format!("10.0.{cable}.2"),
        (cable, true) => format!("fd00:0:0:{cable}::2"),
    };
    links.iter().map(|(from, to)| (address(from), address(to))).collect()
}

/// A lab, and its links by the cables on which routers answer. Over IPv4 that is the one by which they reach the
/// prober; over IPv6 the one on which the probe came, so that where ways meet is a router of several addresses.
type Kind = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);

const KINDS: [Kind; 2] = [
    (
        "ecmp",
        &[("src", "1"), ("1", "2"), ("1", "3"), ("2", "4"), ("3", "4"), ("4", "dst")],
        &[("src", "1"), ("1", "2"), ("1", "3"), ("2", "4"), ("3", "5"), ("4", "dst"), ("5", "dst")],
    ),
    (
        "multipath",
        &[
            ("src", "1"),
            ("1", "2"),
            ("1", "3"),
            ("1", "4"),
            ("2", "5"),
            ("3", "5"),
            ("4", "5"),
            ("5", "8"),
            ("5", "9"),
            ("8", "10"),
            ("9", "10"),
            ("10", "dst"),
        ],
        &[
            ("src", "1"),
            ("1", "2"),
            ("1", "3"),
            ("1", "4"),
            ("2", "5"),
            ("3", "6"),
            ("4", "7"),
            ("5", "8"),
            ("5", "9"),
            ("6", "8"),
            ("6", "9"),
            ("7", "8"),
            ("7", "9"),
            ("8", "10"),
            ("9", "11"),
            ("10", "dst"),
            ("11", "dst"),
        ],
    ),
];

#[test]
fn every_address_and_link_of_ecmp_routers_is_found() {
    for (kind, links, links6) in KINDS {
        let Some(lab) = Lab::up(kind) else { return };
        for asked in [&["-4"][..], &["-6"], &["-4", "--mda"], &["-4", "-T"], &["-6", "-T"]] {
            let file = lab.file("paths.pcapng");
            let recording = file.to_str().expect("a path");
            // So sure that it may be relied upon.
            let six = asked.contains(&"-6");
            let mut args = vec!["paths", "-n", "--confidence", "99.999", "--json"];
            args.extend(["--sport", "40000", "--pcap", recording]);
            args.extend(asked);
            args.push(if six { "2001:db8:113::9" } else { TARGET });
            let text = trace(&mut lab.rtrace(args));
            let document: Value = serde_json::from_str(&text).expect("JSON");
            let expected = expected(if six { links6 } else { links }, six);
            let (addresses, links) = found(&document);
            assert_eq!(links, expected, "{kind} {asked:?}");
            let ends = expected.iter().map(|(_, to)| to.clone()).collect::<BTreeSet<_>>();
            assert_eq!(addresses, ends, "{kind} {asked:?}");
            assert_eq!(document["completion"], "complete");
            assert_eq!(replay(&file, ["--json"]), text, "{kind} {asked:?}");
        }
    }
}
