//! What real routers do to packets on the way, found in what later ones quote.

use super::lab::{Lab, TARGET, replay, run, trace};

/// Rules for a router, each of which rewrites what it forwards: hook and priority, then the rule.
fn rules(hook: &str, rule: &str) -> String {
    format!("table ip change {{\n chain change {{\n type {hook};\n {rule}\n }}\n}}\n")
}

const FORWARDED: &str = "filter hook postrouting priority mangle";
const ARRIVED: &str = "filter hook prerouting priority mangle";

/// Hook, rule, options, and what the summary has for it, line by line, at their ends.
type Case<'a> = (&'a str, String, &'a [&'a str], Vec<&'a str>);

fn set(lab: &Lab, router: &str, rules: &str) {
    run(lab.on(router, "nft").args(["flush", "ruleset"]));
    let file = lab.file("rules.nft");
    std::fs::write(&file, rules).expect("rules");
    run(lab.on(router, "nft").arg("-f").arg(&file));
}

/// `rtrace inspect`, having checked that its recording says the same.
fn inspect(lab: &Lab, options: &[&str]) -> String {
    let file = lab.file("inspect.pcapng");
    let args = [&["inspect", TARGET, "-n"][..], options].concat();
    let live = trace(lab.rtrace(args).arg("--pcap").arg(&file));
    assert_eq!(replay(&file, ["--inspect"]), live);
    live
}

/// What it says below the table.
fn summary(report: &str) -> Vec<&str> {
    report.lines().skip_while(|line| !line.is_empty()).skip(1).collect()
}

#[test]
fn what_a_router_rewrites_is_placed_between_two_hops() {
    let Some(lab) = Lab::up("concurrent") else { return };
    // Where the second router sends what it translates to.
    run(lab.on("dst", "ip").args(["addr", "add", "203.0.113.8/24", "dev", "eth0"]));
    let target = format!("ip daddr {TARGET}");
    let remark = "meta l4proto { tcp, udp } ip dscp set cs3";
    let clamp = "tcp flags syn tcp option maxseg size set 1000";
    let dscp = "between hop 2 and hop 3: DSCP 0 became 24 (remarked)";
    let payload = "between hop 2 and hop 3: payload octets 8-9 4849 became dead";
    let broken = |field: &str| format!("between hop 2 and hop 3: the {field} does not fit: broken");
    // The translator itself says that the TTL ran out after it has translated.
    let translated = "between hop 1 and hop 2: destination address translation (time exceeded \
        comes from the target)";
    let set_anew = "between hop 1 and hop 2: the TTL was reset: sent with 2, quoted with 62";
    let destination = "nat hook prerouting priority dstnat";
    let (udp, icmp) = (broken("UDP checksum"), broken("ICMP checksum"));
    let cases: [Case<'_>; 9] = [
        (FORWARDED, remark.into(), &[], vec![dscp]),
        (FORWARDED, remark.into(), &["--flow", "classic"], vec![dscp]),
        (
            FORWARDED,
            clamp.into(),
            &["-T"],
            vec![
                "(it fits what else was changed)",
                "between hop 2 and hop 3: MSS 1460 became 1000 (clamped)",
                "between hop 2 and hop 3: TCP options octets 2-3 05b4 became 03e8",
            ],
        ),
        (FORWARDED, "ip protocol udp @th,128,16 set 0xdead".into(), &[], vec![payload, &udp]),
        (
            FORWARDED,
            "icmp type echo-request @th,128,16 set 0xdead".into(),
            &["-I"],
            vec![payload, &icmp],
        ),
        (FORWARDED, "udp checksum set 0".into(), &[], vec!["became 0 (checksum taken off)"]),
        (ARRIVED, format!("{target} ip ttl set 64"), &[], vec![set_anew]),
        (destination, format!("{target} dnat to 203.0.113.8"), &[], vec![translated]),
        (destination, format!("{target} dnat to 203.0.113.8"), &["-I"], vec![translated]),
    ];
    for (hook, rule, options, expected) in cases {
        set(&lab, "r2", &rules(hook, &rule));
        let report = inspect(&lab, options);
        let said = summary(&report);
        assert_eq!(said.len(), expected.len(), "{rule} {options:?}\n{report}");
        for (said, expected) in said.iter().zip(&expected) {
            assert!(said.ends_with(expected), "{rule} {options:?}: {expected}\n{report}");
        }
        assert!(!report.lines().any(|line| line.starts_with("  0 ")), "no hop has TTL 0\n{report}");
    }
}

#[test]
fn every_change_of_a_field_is_told() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    for (router, dscp) in [("r3", 10), ("r5", 20), ("r7", 0)] {
        set(&lab, router, &rules(FORWARDED, &format!("ip protocol udp ip dscp set {dscp}")));
    }
    let expected = [
        "between hop 3 and hop 4: DSCP 0 became 10 (remarked)",
        "between hop 5 and hop 6: DSCP 10 became 20 (remarked)",
        "between hop 7 and hop 8: DSCP 20 became 0 (as it was sent)",
    ];
    assert_eq!(summary(&inspect(&lab, &[])), expected);
}

#[test]
fn a_router_that_takes_off_more_than_one_is_told() {
    let Some(lab) = Lab::up("concurrent") else { return };
    // One less each, as far as the trace goes.
    let less = |ttl: u8| format!("ip daddr {TARGET} ip ttl {ttl} ip ttl set {}", ttl - 1);
    let lower: Vec<String> = (2..=30).map(less).collect();
    set(&lab, "r2", &rules(ARRIVED, &lower.join("\n")));
    let report = inspect(&lab, &[]);
    let said = summary(&report);
    assert_eq!(said.len(), 1, "{report}");
    assert!(said[0].starts_with("between hop 2 and hop 3: 10.0.2.2 answers at both"), "{report}");
}

#[test]
fn where_ways_part_a_place_is_true() {
    let Some(lab) = Lab::up("multipath") else { return };
    // One of the three routers at hop 2.
    set(&lab, "r2", &rules(FORWARDED, "ip protocol udp ip dscp set 10"));
    let mut ways = [0, 0];
    for port in 40_000..40_012 {
        let report = inspect(&lab, &["--sport", &port.to_string()]);
        let through = report.lines().any(|line| line.starts_with("  2  10.0.2.2 "));
        let expected = if through {
            "between hop 2 and hop 3: DSCP 0 became 10 (remarked)"
        } else {
            "No quote shows a change."
        };
        assert_eq!(summary(&report), [expected], "{report}");
        ways[usize::from(through)] += 1;
    }
    assert!(ways.iter().all(|ways| *ways > 0), "some went through it and some did not: {ways:?}");
    // Each probe its own way: hop 2 was asked on all of them, and does not say which is rewritten.
    let report = inspect(&lab, &["--flow", "classic", "-q", "10", "--sport", "40000"]);
    let expected = "between hop 1 and hop 3 on some paths: DSCP 0 became 10 (remarked)";
    assert_eq!(summary(&report), [expected], "{report}");
}

#[test]
fn a_loop_ends_an_inspection() {
    let Some(lab) = Lab::up("routing-loop") else { return };
    let report = inspect(&lab, &[]);
    let table: Vec<_> = report.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(table.last(), Some(&"    loop: hops 2-3 repeat"), "{report}");
    assert_eq!(table.len(), 2 + 7 + 1, "the heads, the hops that it took, the loop: {report}");
}

#[test]
fn a_path_that_changes_nothing_is_said_to() {
    let Some(lab) = Lab::up("concurrent") else { return };
    for options in [&["-n"][..], &["-n", "-I"], &["-n", "-6", "2001:db8:113::9"]] {
        let target = if options.len() == 3 { None } else { Some(TARGET) };
        let report = trace(lab.rtrace(["inspect"]).args(options).args(target));
        let last = report.lines().last();
        assert_eq!(last, Some("No quote shows a change."), "{report}");
        let table = report.lines().skip(2).take_while(|line| !line.is_empty());
        let hops: Vec<_> = table.map(|line| line.split_whitespace().next()).collect();
        // An echo reply quotes nothing.
        let quoting = if options.contains(&"-I") { 3 } else { 4 };
        let expected = ["1", "2", "3", "4"].map(Some);
        assert_eq!(hops, expected[..quoting], "each hop once, the target too: {report}");
    }
}
