//! What an inspection says of paths that only the simulated network has.

use std::fs;

use crate::support::{path_in, run, scratch};

/// The summary of an inspection of a path of three routers, the second of which has what `behaviour` says.
fn summary(behaviour: &str, options: &[&str]) -> Vec<String> {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let topology = format!(
        "seed = 1\n\
         [[hop]]\naddress = \"192.0.2.1\"\ndelay = \"1ms\"\n\
         [[hop]]\naddress = \"198.51.100.1\"\ndelay = \"1ms\"\n{behaviour}\n\
         [[hop]]\naddress = \"198.51.100.5\"\ndelay = \"1ms\"\n\
         [target]\ndelay = \"1ms\"\n"
    );
    fs::write(&file, topology).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let report = run(&[&["inspect", &simulate, "-n", "203.0.113.9"], options].concat());
    assert_eq!(report.stderr, "");
    let lines = report.stdout.lines().skip_while(|line| !line.is_empty()).skip(1);
    lines.map(str::to_owned).collect()
}

#[test]
fn translation_that_puts_quotes_back_is_suspected() {
    let nat = "nat = { address = \"198.51.100.99\", quotes = \"restored\" }";
    for (options, field) in [(&[][..], "UDP"), (&["--udplite"], "UDP-Lite")] {
        let said = summary(nat, options);
        let [line] = said.as_slice() else { panic!("{said:?}") };
        let begins = format!("between hop 2 and hop 3: {field} checksum ");
        assert!(line.starts_with(&begins), "{line}");
        assert!(line.contains("suggests address translation that restored the quote"), "{line}");
    }
}

#[test]
fn translation_that_shows_is_told_with_the_checksum_that_fits() {
    let nat = "nat = { address = \"198.51.100.99\", quotes = \"outside\" }";
    let said = summary(nat, &[]);
    let [source, checksum] = said.as_slice() else { panic!("{said:?}") };
    let place = "between hop 2 and hop 3: ";
    let translated = "source address 192.0.2.2 became 198.51.100.99 (source address translation)";
    assert_eq!(source, &format!("{place}{translated}"));
    assert!(checksum.starts_with(&format!("{place}UDP checksum ")), "{checksum}");
    assert!(checksum.ends_with("(it fits what else was changed)"), "{checksum}");
}

#[test]
fn a_router_that_forwards_a_ttl_of_0_is_told() {
    let said = summary("expiry = \"forward-zero\"", &[]);
    let expected = "between hop 1 and hop 2: a TTL of 0 was forwarded: quoted with 0 by the next router or host";
    assert_eq!(said, [expected]);
}

#[test]
fn a_hop_that_mangles_its_quotes_says_nothing_of_those_behind() {
    let own_way = |what: &str| vec![format!("hop 2: {what}: its way of quoting")];
    let length = "total length 60 is quoted as";
    let swapped = "in the wrong byte order";
    for (manner, expected) in [
        ("zero-length", own_way(&format!("{length} 0"))),
        ("swapped-length", own_way(&format!("{length} 15360, {swapped}"))),
        ("length-without-header", own_way(&format!("{length} 40, without the header"))),
        (
            "swapped-flags",
            [
                own_way(&format!("flags 2 is quoted as 0, {swapped}")),
                own_way(&format!("fragment offset 0 is quoted as 64, {swapped}")),
            ]
            .concat(),
        ),
        ("lowered-ttl", own_way("the TTL is quoted as 0")),
    ] {
        assert_eq!(summary(&format!("malformed = \"{manner}\""), &["-F"]), expected, "{manner}");
    }
}

/// Two of them, and every probe has a checksum of its own.
#[test]
fn a_second_translation_is_told() {
    let both = |quotes: &str| {
        let nat =
            |last| format!("nat = {{ address = \"198.51.100.{last}\", quotes = \"{quotes}\" }}");
        let nat6 =
            |last| format!("nat = {{ address = \"2001:db8::{last}\", quotes = \"{quotes}\" }}");
        (
            [String::new(), nat(90), nat(91), String::new()],
            [String::new(), nat6(90), nat6(91), String::new()],
        )
    };
    let (routers, routers6) = both("restored");
    for (routers, options, target) in [
        (&routers, &["--flow", "classic"][..], "203.0.113.9"),
        (&routers, &["-T"], "203.0.113.9"),
        (&routers6, &["--flow", "classic"], "2001:db8:113::9"),
    ] {
        let report = report(routers, "", &[options, &[target]].concat());
        let said = said(&report);
        assert_eq!(said.len(), 2, "{report}");
        for (line, place) in said.iter().zip(["between hop 2 and hop 3", "between hop 3 and hop 4"])
        {
            assert!(line.starts_with(place) && line.contains("restored the quote"), "{report}");
        }
    }
}

/// The lines below the table of a path whose second and third router translate like this, in either family.
fn translated(v6: bool, second: &str, third: &str, options: &[&str]) -> Vec<String> {
    let address = |n: u8| if v6 { format!("2001:db8:{n}::99") } else { format!("198.51.{n}.99") };
    let nat = |n: u8, does: &str| format!("nat = {{ address = \"{}\"{does} }}", address(n));
    let third = if third == "silent" { "silent = true".into() } else { nat(3, third) };
    let routers = [String::new(), nat(2, second), third, String::new(), String::new()];
    let target = if v6 { "2001:db8:113::9" } else { "203.0.113.9" };
    let report = report(&routers, "", &[options, &[target]].concat());
    assert!(!report.contains("not reached"), "{report}");
    said(&report).into_iter().map(str::to_owned).collect()
}

const OUTSIDE: &str = ", quotes = \"outside\"";
const PORT: &str = ", quotes = \"outside\", shift = 1000";

/// Over IPv6 no IP-ID vouches for the probe: the flow label does.
#[test]
fn a_port_that_stays_translated_in_quotes_is_told() {
    for (options, port, checksum) in [
        (&[][..], "source port", "UDP"),
        (&["--flow", "classic"], "source port", "UDP"),
        (&["--flow", "dublin"], "source port", "UDP"),
        (&["-U"], "source port", "UDP"),
        (&["--udplite"], "source port", "UDP-Lite"),
        (&["-I"], "identifier", "ICMP"),
        (&["-T"], "source port", "TCP"),
        (&["--ack"], "source port", "TCP"),
    ] {
        for v6 in [false, true] {
            let said = translated(v6, PORT, "silent", options);
            let place = "between hop 2 and hop 4: ";
            assert_eq!(said.len(), 3, "{said:?}");
            assert!(said.iter().all(|line| line.starts_with(place)), "{said:?}");
            let has = |begins: &str, ends: &str| {
                let fits = |line: &&String| {
                    line[place.len()..].starts_with(begins) && line.ends_with(ends)
                };
                assert!(said.iter().any(|line| fits(&line)), "{options:?} {begins}: {said:?}");
            };
            has("source address ", "(source address translation)");
            has(&format!("{port} "), "(source address translation)");
            has(&format!("{checksum} checksum "), "(it fits what else was changed)");
        }
    }
}

/// The second restores what it translated in the quote, but not its share of the checksum; the first nothing.
#[test]
fn a_translation_that_restores_quotes_is_told_beyond_one_that_does_not() {
    for (second, third) in [(OUTSIDE, ""), (PORT, ", shift = 7")] {
        for options in
            [&[][..], &["--flow", "classic"], &["--flow", "dublin"], &["-I"], &["-T"], &["--ack"]]
        {
            for v6 in [false, true] {
                let said = translated(v6, second, third, options);
                let what = format!("{second} {third} {options:?} {v6}: {said:?}");
                assert!(said[0].starts_with("between hop 2 and hop 3: source address "), "{what}");
                // The checksum of ICMP over IPv4 covers no address.
                let shows = v6 || options != ["-I"] || !third.is_empty();
                let restored = |line: &&String| {
                    line.contains("suggests address translation that restored the quote")
                };
                let restored: Vec<_> = said.iter().filter(restored).collect();
                assert_eq!(restored.len(), usize::from(shows), "{what}");
                assert!(
                    restored.iter().all(|line| line.starts_with("between hop 3 and hop 4: ")),
                    "{what}"
                );
                assert!(!said.iter().any(|line| line.contains("broken")), "{what}");
            }
        }
    }
}

/// Where no hop between them answers, nothing shows the address of the first with a checksum that fits: what the quotes are of is
/// unclear, and with TCP, whose sequence number tells the probe, what is wrong with the checksum.
#[test]
fn what_two_translations_do_at_once_is_unclear() {
    for (v6, target) in [(false, "203.0.113.9"), (true, "2001:db8:113::9")] {
        let address =
            |n: u8| if v6 { format!("2001:db8:{n}::99") } else { format!("198.51.{n}.99") };
        let routers = [
            String::new(),
            format!("nat = {{ address = \"{}\"{OUTSIDE} }}", address(2)),
            format!("silent = true\nnat = {{ address = \"{}\" }}", address(3)),
            String::new(),
        ];
        let report = report(&routers, "", &[target, "-m", "6"]);
        let [line] = said(&report)[..] else { panic!("{report}") };
        assert!(line.ends_with(UNIDENTIFIED), "{report}");
        if !v6 {
            let report = self::report(&routers, "", &[target, "-T"]);
            let unclear = "between hop 2 and hop 4: the TCP checksum does not fit what is quoted: broken, or a further \
                 translation restored the quote, but not the checksum";
            assert_eq!(said(&report).last(), Some(&unclear), "{report}");
        }
    }
}

const UNIDENTIFIED: &str = "ICMP errors about datagrams to the target without a probe: of another program, or rewritten too much to identify one.";

/// Too little is left of the probes: whose errors they are is unclear, but they are not passed over.
#[test]
fn what_fits_no_probe_is_told() {
    let routers = [
        String::new(),
        format!("nat = {{ address = \"198.51.2.99\"{PORT} }}"),
        "silent = true\nnat = { address = \"198.51.3.99\", shift = 7 }".to_owned(),
        String::new(),
    ];
    let report = report(&routers, "", &["-U", "203.0.113.9", "-m", "6"]);
    let [line] = said(&report)[..] else { panic!("{report}") };
    let ends = "without a probe: of another program, or rewritten too much to identify one.";
    assert!(
        line.contains("ICMP errors about datagrams to the target ") && line.ends_with(ends),
        "{line}"
    );
}

#[test]
fn a_ttl_of_0_is_told_where_it_was_forwarded_and_nowhere_else() {
    let forwards = "a TTL of 0 was forwarded: quoted with 0 by the next router or host";
    for (router, expected) in [
        (1, format!("at hop 1: {forwards}")),
        (2, format!("between hop 1 and hop 2: {forwards}")),
        (3, format!("between hop 2 and hop 3: {forwards}")),
    ] {
        let mut routers = ["", "", ""].map(str::to_owned);
        routers[router - 1] = "expiry = \"forward-zero\"".to_owned();
        for target in ["203.0.113.9", "2001:db8:113::9"] {
            let report = report(&routers, "", &[target]);
            assert_eq!(said(&report), [expected.as_str()], "{report}");
        }
        routers[router - 1] = "malformed = \"lowered-ttl\"".to_owned();
        let report = report(&routers, "", &["203.0.113.9"]);
        let quotes = format!("hop {router}: the TTL is quoted as 0: its way of quoting");
        assert_eq!(said(&report), [quotes], "{report}");
    }
}

/// As the trace has it: who says so and how, and that nobody does.
#[test]
fn a_target_that_was_not_reached_is_told() {
    let routers = ["", "unreachable = \"admin\"", ""].map(str::to_owned);
    for target in ["203.0.113.9", "2001:db8:113::9"] {
        let report = report(&routers, "", &[target]);
        assert!(report.contains("  3  ") && report.contains("  !X\n"), "{report}");
        let by = report.lines().find(|line| line.starts_with("    target not reached: !X from "));
        assert!(by.is_some_and(|line| line.ends_with(" at hop 3")), "{report}");
    }
    let silent = report(&[String::new()], "silent = true", &["203.0.113.9", "-m", "4"]);
    assert!(silent.contains("\n    target not reached\n"), "{silent}");
    let reached = report(&[String::new()], "", &["203.0.113.9"]);
    assert!(!reached.contains("not reached"), "{reached}");
}

#[test]
fn columns_hold_long_names_and_the_head_names_the_target() {
    let name = "core-router-with-a-very-long-name.region-7.backbone.example.net";
    let names = format!("[names]\n\"198.51.100.1\" = \"{name}\"\n");
    let report = report_of(&names, &[String::new(), String::new()], "", &["203.0.113.9"], &[]);
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines[0], "what the path to 203.0.113.9 (203.0.113.9) does to packets");
    let octets = lines[1].find("octets").unwrap() + "octets".len();
    for line in &lines[2..5] {
        assert_eq!(
            line[..octets].rfind(' ').map(|at| &line[at + 1..octets]),
            Some("60"),
            "{report}"
        );
    }
    assert!(lines[2].contains(&format!("{name} (198.51.100.1)  ")), "{report}");
}

/// An inspection of a path with these routers.
fn report(routers: &[String], target: &str, options: &[&str]) -> String {
    report_of("", routers, target, options, &["-n"])
}

fn report_of(
    names: &str,
    routers: &[String],
    target: &str,
    options: &[&str],
    more: &[&str],
) -> String {
    let dir = scratch();
    let file = path_in(&dir, "path.toml");
    let hop = |(number, lines): (usize, &String)| {
        let addresses =
            format!("address = \"198.51.100.{number}\"\naddress6 = \"2001:db8::{number}\"");
        format!("[[hop]]\n{addresses}\n{lines}\n")
    };
    let hops: String = (1..).zip(routers).map(hop).collect();
    fs::write(&file, format!("seed = 1\n{names}{hops}[target]\n{target}\n")).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let report = run(&[&["inspect", &simulate], more, options].concat());
    assert_eq!(report.stderr, "");
    report.stdout
}

/// The lines below the table.
fn said(report: &str) -> Vec<&str> {
    report.lines().skip_while(|line| !line.is_empty()).skip(1).collect()
}

#[test]
fn a_path_that_changes_nothing_is_said_to() {
    assert_eq!(summary("", &[]), ["No quote shows a change."]);
}
