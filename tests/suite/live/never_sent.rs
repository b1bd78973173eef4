//! Probes that never leave: each command says how many, once, and by its status; nobody is shown as silent for them, and
//! their recording says the same.

use std::process::{Command, Output};

use super::lab::{Lab, RTRACE, TARGET, run, text};

/// Commands and forms, each with what makes it show what the recording of it does.
const FORMS: [(&[&str], &[&str]); 7] = [
    (&["-n", "-w", "1"], &[]),
    (&["-n", "-w", "1", "--json"], &["--json"]),
    (&["-n", "-w", "1", "-N", "1", "-m", "12"], &[]),
    (&["report", "-n", "--rounds", "2", "--interval", "0.2"], &[]),
    (&["report", "-n", "--rounds", "2", "--interval", "0.2", "--json"], &["--json"]),
    (
        &["watch", "-n", "--rounds", "2", "--interval", "0.2", "--format", "ndjson"],
        &["--format", "ndjson"],
    ),
    (&["paths", "-n", "-w", "1"], &[]),
];

/// What a queue for one probe does not harm.
const ONE_AT_A_TIME: &str = "-N";

/// Runs all of them but those with such an argument, and checks what holds of each. `said` are the words on stderr.
fn check(lab: &Lab, options: &[&str], but: &str, said: &str) {
    for (form, again) in FORMS.into_iter().filter(|(form, _)| !form.contains(&but)) {
        let what = format!("{said} {form:?}");
        let file = lab.file("never.pcapng");
        let mut live = lab.rtrace(form);
        let live = live.args(options).arg(TARGET).arg("--pcap").arg(&file).output().unwrap();
        let replayed = Command::new(RTRACE).arg("replay").arg(&file).args(again).output().unwrap();
        let Output { status, stdout, stderr } = &live;
        let (report, complaint) = (text(stdout), text(stderr));
        assert_eq!(status.code(), Some(1), "{what}: {complaint}{report}");
        let told = complaint.lines().filter(|line| line.contains(said)).count();
        assert_eq!(told, 1, "{what}: {complaint}");
        assert!(!report.contains(" *"), "{what}: {report}");
        let counts = again.is_empty() || report.contains("\"never_sent\":");
        assert!(counts, "{what}: {report}");
        if report.contains("\n 1  10.0.1.2") || !again.is_empty() {
            assert_eq!(text(&replayed.stdout), report, "{what}");
            assert_eq!(replayed.status.code(), Some(1), "{what}");
            assert!(
                text(&replayed.stderr).contains("not seen leaving the host that probed"),
                "{what}"
            );
        }
    }
}

#[test]
fn a_full_queue_is_told_of() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let tc = |args: &str| run(lab.on("src", "tc").args(args.split(' ')));
    // Two probes fit, and then one every 74 ms.
    tc("qdisc add dev eth0 root handle 1: tbf rate 8kbit burst 150 limit 3000");
    tc("qdisc add dev eth0 parent 1:1 handle 2: pfifo limit 1");
    check(&lab, &[], ONE_AT_A_TIME, "probes were not seen leaving eth0: a full queue");
}

#[test]
fn what_a_filter_of_this_host_drops_is_told_of() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let nft = |rules: &str| run(lab.on("src", "nft").arg(rules));
    // The sender is told.
    nft("add table inet t; add chain inet t o { type filter hook output priority 0; }; \
         add rule inet t o ip ttl { 3, 4, 5 } ip daddr 203.0.113.9 drop");
    check(&lab, &[], "", "probes were refused by the kernel and never left");
    // It is not.
    nft("flush ruleset; add table netdev t; \
         add chain netdev t e { type filter hook egress device eth0 priority 0; }; \
         add rule netdev t e ip ttl { 3, 4, 5 } ip daddr 203.0.113.9 drop");
    check(&lab, &[], "", "probes were not seen leaving eth0");
    // Those that leave after the last that did not are counted too.
    let live = lab.rtrace(["-n", "-w", "1", "-N", "1", "-q", "1", TARGET]).output().unwrap();
    let said = text(&live.stderr);
    assert!(said.contains("3 of 11 probes were not seen leaving"), "{said}");
}

#[test]
fn a_gateway_that_does_not_answer_is_told_of() {
    let Some(lab) = Lab::up("concurrent") else { return };
    run(lab.on("r1", "ip").args("link set eth0 arp off".split(' ')));
    run(lab.on("src", "ip").args("neigh flush dev eth0".split(' ')));
    for options in [&[][..], &["-i", "any"]] {
        check(&lab, options, "", "does its next hop answer?");
    }
    // Of the rounds that were due, none was sent: each form says so.
    let rounds = ["--rounds", "2", "--interval", "0.2"];
    let file = lab.file("none.pcapng");
    let forms: [(&[&str], &[&str]); 3] = [
        (&["report", "-n"], &["\n  2 of 2 rounds were not sent: no probe was seen leaving\n"]),
        (&["report", "-n", "--json"], &["\"rounds\": 2,", "\"missed_rounds\": 2,"]),
        (
            &["watch", "-n", "--format", "ndjson"],
            &["{\"event\":\"missed\",\"from\":1,\"to\":2}", "\"rounds\":2,\"missed\":2,"],
        ),
    ];
    for (form, words) in forms {
        let mut live = lab.rtrace(form);
        let live = live.args(rounds).arg(TARGET).arg("--pcap").arg(&file).output().unwrap();
        let said = text(&live.stdout);
        assert!(words.iter().all(|words| said.contains(words)), "{form:?}: {said}");
        let again: Vec<&str> = form[1..].iter().copied().filter(|it| *it != "-n").collect();
        let again = Command::new(RTRACE).arg("replay").arg(&file).args(again).output().unwrap();
        assert_eq!(text(&again.stdout), said, "{form:?}");
    }
}
