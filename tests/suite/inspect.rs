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
    let expected =
        "between hop 1 and hop 2: a TTL of 0 was forwarded: quoted with 0 by the router behind";
    assert_eq!(said, [expected]);
}

#[test]
fn a_hop_that_mangles_its_quotes_says_nothing_of_those_behind() {
    let expected = [
        "between hop 1 and hop 2: total length 60 became 0",
        "between hop 1 and hop 2: the checksum of the quoted IPv4 header is wrong",
        "between hop 2 and hop 3: total length 0 became 60 (as it was sent)",
    ];
    assert_eq!(summary("malformed = \"zero-length\"", &[]), expected);
}

#[test]
fn a_path_that_changes_nothing_is_said_to() {
    assert_eq!(summary("", &[]), ["Nothing was changed as far as hops quote it."]);
}
