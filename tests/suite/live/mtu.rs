//! The path MTU over routers of the kernel, beside what traceroute finds, and a black hole that it cannot see.

use super::lab::{Lab, TARGET, replay, run, text, trace};

const TARGET6: &str = "2001:db8:113::9";

/// Per hop: its number, and the length that it needs where that was printed.
fn marks(report: &str) -> Vec<(String, String)> {
    let hops = report.lines().filter(|line| line.contains(" ms"));
    let mark = |line: &str| {
        let mut words = line.split_whitespace();
        let hop = words.next().unwrap_or_default().to_owned();
        (hop, words.filter(|word| word.starts_with("F=")).collect())
    };
    hops.map(mark).collect()
}

fn recorded(lab: &Lab, options: &[&str]) -> String {
    let file = lab.file("mtu.pcapng");
    let report = trace(lab.rtrace(["--mtu", "-n", "--pcap"]).arg(&file).args(options));
    assert_eq!(replay(&file, [""; 0]), report);
    report
}

#[test]
fn a_narrow_link_is_found_where_traceroute_finds_it() {
    let Some(lab) = Lab::up("small-mtu") else { return };
    for target in [TARGET, TARGET6] {
        let args = ["--mtu", "-n", target];
        let theirs = text(&run(lab.on("src", "traceroute").args(args)).stdout);
        for options in [&[target][..], &["-I", target], &["-U", target]] {
            let ours = recorded(&lab, options);
            assert_eq!(marks(&ours), marks(&theirs), "{ours}\n{theirs}");
            assert!(ours.ends_with("says\n    path MTU: 1400 bytes\n"), "{ours}");
            assert!(ours.contains("\n    between hop 2 and hop 3: 1400 bytes, "), "{ours}");
        }
    }
}

#[test]
fn a_black_hole_is_found_where_it_is() {
    let Some(lab) = Lab::up("black-hole") else { return };
    for options in [&[TARGET][..], &[TARGET6], &["-I", "-q1", TARGET]] {
        let report = recorded(&lab, options);
        let hole = "\n    black hole between hop 2 and hop 3: datagrams over 1400 bytes vanish and no \
                    router says so\n    path MTU: 1400 bytes\n";
        assert!(report.ends_with(hole), "{report}");
    }
}
