//! Ways back and loops over routers of the kernel, the former beside what traceroute prints.

use super::lab::{Lab, RTRACE, TARGET, replay, run, text, trace};

const TARGET6: &str = "2001:db8:113::9";

/// The words of each hop that are no times: its number, addresses, and marks.
fn hops(report: &str) -> Vec<Vec<&str>> {
    let lines = report.lines().skip(1);
    let plain = |word: &&str| *word != "ms" && word.parse::<f64>().is_err();
    let number = |line: &str| line.split_whitespace().next().map(str::len).unwrap_or_default();
    lines
        .map(|line| {
            line.trim_start().split_at(number(line)).1.split_whitespace().filter(plain).collect()
        })
        .collect()
}

#[test]
fn the_way_back_is_as_long_as_traceroute_says() {
    let Some(lab) = Lab::up("asymmetric") else { return };
    for target in [TARGET, TARGET6] {
        let theirs = text(&run(lab.on("src", "traceroute").args(["--back", "-n", target])).stdout);
        let file = lab.file("back.pcapng");
        let args = ["--back", "-n", target, "--pcap"];
        let ours = trace(lab.rtrace(args).arg(&file));
        assert_eq!(hops(&ours), hops(&theirs), "{ours}\n{theirs}");
        assert!(ours.contains("'-1'") && ours.contains("'-3'"), "{ours}");
        assert_eq!(replay(&file, [""; 0]), ours);
    }
}

#[test]
fn a_routing_loop_ends_the_trace() {
    let Some(lab) = Lab::up("routing-loop") else { return };
    // Over IPv6 the second router answers from its other side when a datagram comes back to it.
    for (target, said) in [(TARGET, "hops 2-3"), (TARGET6, "hops 3-4")] {
        for options in [&["-n"][..], &["-n", "-q1", "-I"], &["-n", "-N1", "-T"]] {
            let file = lab.file("loop.pcapng");
            let report = trace(lab.rtrace(options).arg("--pcap").arg(&file).arg(target));
            assert!(
                report.ends_with(&format!("\n    loop: {said} repeat\n")),
                "{options:?} {report}"
            );
            assert_eq!(replay(&file, [""; 0]), report);
        }
    }
}

#[test]
fn answers_by_another_interface_are_told_of() {
    let Some(lab) = Lab::up("asymmetric") else { return };
    for target in [TARGET, TARGET6] {
        let said = |options: &[&str]| {
            let output = lab.rtrace(options).args(["-n", target]).output().unwrap();
            (output.status.code(), text(&output.stderr))
        };
        let (status, complaint) = said(&["-q1", "-i", "eth0"]);
        assert!(
            status == Some(1) && complaint.contains("interfaces other than eth0"),
            "{complaint}"
        );
        assert!(complaint.contains("leave out -i"), "{complaint}");
        for options in [&[][..], &["-i", "any"]] {
            assert_eq!(said(options), (Some(0), String::new()));
        }
        // A watch says it while it runs, once.
        let mut watch = lab.on("src", "sh");
        watch.args(["-c", "exec \"$0\" \"$@\" 2>&1", RTRACE, "watch", "-n", "--interval", "0.2"]);
        watch.args(["--format", "ndjson", "--rounds", "4", "-i", "eth0", target]);
        let output = text(&watch.output().unwrap().stdout);
        let said: Vec<usize> =
            output.match_indices("interfaces other than eth0").map(|it| it.0).collect();
        let last = output.find("\"round\":4,").unwrap();
        assert!(said.len() == 1 && said[0] < last, "{output}");
    }
}
