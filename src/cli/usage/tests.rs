//! Messages for invalid command lines.

use super::*;
use crate::cli::flags::Cli;

fn said(line: &str) -> String {
    let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
    let given: Vec<OsString> = words.map(Into::into).collect();
    let error = Cli::from_args(given.clone()).expect_err(line);
    refusal(&error, &given)
}

#[test]
fn an_error_names_what_was_typed_and_says_what_to_do() {
    for (line, expected) in [
        (
            "rtrace report -c 0 host",
            "invalid value 0 for -c: it must be a whole number, at least 1; see rtrace report --help",
        ),
        (
            "rtrace report -c -1 host",
            "invalid value -1 for -c: it must be a whole number, at least 1; see rtrace report --help",
        ),
        ("rtrace report --report-cycles=0 host", "invalid value 0 for --report-cycles: it must be"),
        ("rtrace report --rounds 0 host", "invalid value 0 for --rounds: it must be"),
        ("rtrace report -oXYZ host", "invalid value XYZ for -o: "),
        ("rtrace report --order XYZ host", "invalid value XYZ for --order: "),
        ("rtrace report -bo '' host", "invalid value '' for -o: "),
        (
            "rtrace -q '' host",
            "invalid value '' for -q: it must be a number from 1 to 1000; see rtrace --help",
        ),
        ("rtrace host 27", "invalid value 27 for PACKETLEN: it must be a number from 28 to 65535"),
        ("rtrace --simulate host 27", "invalid value 27 for PACKETLEN: it must be a number"),
        ("rtrace replay a.pcap 27", "invalid value 27 for PACKETLEN: it must be a number"),
        ("rtrace -s 1.2.3 host", "invalid value 1.2.3 for -s: it must be an IPv4 or IPv6 address"),
        (
            "rtrace paths --rate -1 host",
            "invalid value -1 for --rate: it must be a number from 0.1 to 1000000",
        ),
        (
            "rtrace paths --max-probes 0 host",
            "invalid value 0 for --max-probes: it must be a number from 1 to 65000",
        ),
        (
            "rtrace paths --confidence x host",
            "invalid value x for --confidence: it must be a number from 50 to 99.9999",
        ),
        ("rtrace --pcap '' host", "--pcap has no value: give one; see rtrace --help"),
        ("rtrace ''", "TARGET has no value: give one; see rtrace --help"),
        ("rtrace watch --replay", "--replay has no value: give one; see rtrace watch --help"),
        (
            "rtrace --format xml host",
            "xml is not a value of --format: choose one of text, json, ndjson, csv, atlas and scamper",
        ),
        (
            "rtrace -T -I host",
            "-T and -I do not go together: leave one of them out; see rtrace --help",
        ),
        ("rtrace -4 -6 host", "-4 and -6 do not go together: leave one of them out"),
        ("rtrace --json --csv host", "--json and --csv do not go together"),
        ("rtrace -q 3 -q 4 host", "-q is given twice: give it once"),
        ("rtrace replay", "rtrace replay needs FILE; see rtrace replay --help"),
        ("rtrace diff", "rtrace diff needs BEFORE and AFTER; see rtrace diff --help"),
        ("rtrace report --keep 3 host", "--keep needs --pcap and --rotate; see"),
        ("rtrace report --rotate=10k host", "--rotate needs --pcap; see rtrace report --help"),
        ("rtrace report --rotate 10k", "rtrace report needs "),
        ("rtrace paths -q 3 host", "-q is not for rtrace paths: leave it out"),
        ("rtrace show", "rtrace show needs FILE and FRAME; see rtrace show --help"),
        ("rtrace watch", "rtrace watch needs TARGET; see rtrace watch --help"),
        ("rtrace --json=1 host", "--json takes no value: leave out =1; see rtrace --help"),
        ("rtrace -n=3 host", "-n takes no value: leave out =3; see rtrace --help"),
        (
            "rtrace --simulate --mtu 20 host",
            "host is not a packet length: rtrace takes one target; rtrace watch takes several",
        ),
        ("rtrace -x host", "there is no option -x; see rtrace --help"),
        ("rtrace host --jsn", "there is no option --jsn: did you mean --json?; see rtrace --help"),
        ("rtrace diff a b c", "c is one argument too many; see rtrace diff --help"),
        ("rtrace a 60 c", "c is one argument too many; see rtrace --help"),
        ("rtrace help wacth", "there is no command wacth: did you mean watch?; see rtrace --help"),
    ] {
        let said = said(line);
        assert!(said.starts_with(expected), "{line}: {said}");
    }
}
