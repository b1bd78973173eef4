//! Others on the same network: a second trace, and heavy traffic on the same interface.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use wait4::Wait4;

use super::lab::{Lab, TARGET, run, text};
use super::text::hops;

/// The source ports of the UDP datagrams in a recording, quoted ones included; but not of one reply for each other port, which
/// shows that there is another trace.
fn source_ports(file: &Path) -> BTreeSet<String> {
    let fields = ["-T", "fields", "-E", "aggregator=,", "-e", "udp.srcport"];
    let ports = text(&run(Command::new("tshark").arg("-r").arg(file).args(fields)).stdout);
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    ports
        .lines()
        .flat_map(|line| line.split(','))
        .for_each(|it| *times.entry(it).or_default() += 1);
    times.retain(|_, times| *times > 1);
    times.into_keys().map(str::to_owned).collect()
}

#[test]
fn two_traces_at_once_keep_to_their_own_replies() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let files = [lab.file("one.pcapng"), lab.file("two.pcapng")];
    // 12 probes, 20 ms apart: the second starts long before the first has ended.
    let running = files.each_ref().map(|file| {
        let mut command = lab.rtrace(["-n", "-N", "1", "-z", "20", TARGET, "--pcap"]);
        command.arg(file).stdout(Stdio::piped()).spawn().expect("rtrace")
    });
    let reports = running.map(|child| {
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success());
        text(&output.stdout)
    });
    for report in reports {
        let responders: Vec<_> =
            hops(&report).iter().map(|hop| (hop.answered(), hop.responders().join(" "))).collect();
        let expected = ["10.0.1.2", "10.0.2.2", "10.0.3.2", TARGET].map(|ip| (3, ip.to_owned()));
        assert_eq!(responders, expected);
    }
    let ports = files.each_ref().map(|file| source_ports(file));
    assert_eq!(ports.each_ref().map(BTreeSet::len), [1, 1], "{ports:?}");
    assert!(ports[0].is_disjoint(&ports[1]), "{ports:?}");
}

/// 200,000 datagrams a second leave by the same interface; the kernel's filter keeps them from us.
#[test]
fn heavy_traffic_loses_no_reply_and_costs_little() {
    const PROBES: usize = 4 * 20;
    let Some(lab) = Lab::up("concurrent") else { return };
    // Swallowed without an answer by the first router.
    run(lab.on("r1", "ip").args(["route", "add", "blackhole", "192.0.2.0/24"]));
    let flood = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/flood.py");
    let mut flood = lab.on("src", flood).args(["192.0.2.1", "200000"]).spawn().expect("flood.py");
    while lab.frames_sent("eth0") < 10_000 {
        assert!(matches!(flood.try_wait(), Ok(None)), "flood.py has ended");
    }

    let before = lab.frames_sent("eth0");
    let stats = lab.file("stats.json");
    let mut rtrace = lab.rtrace(["-n", "-q", "20", "-z", "20", TARGET]);
    rtrace.arg(format!("--stats={}", stats.display())).stdout(Stdio::piped());
    let mut child = rtrace.spawn().expect("rtrace");
    let report = std::io::read_to_string(child.stdout.take().expect("its output")).expect("text");
    let ours = child.wait4().expect("its end");
    let frames = lab.frames_sent("eth0") - before;
    flood.kill().expect("flood.py runs to the end");
    let theirs = flood.wait4().expect("its end");

    let answered: Vec<_> = hops(&report).iter().map(super::text::Hop::answered).collect();
    assert_eq!(answered, [20; 4], "{report}");
    let stats: serde_json::Value =
        serde_json::from_slice(&std::fs::read(stats).expect("statistics")).expect("JSON");
    assert_eq!(stats["kernel_dropped"], 0, "{stats:#}");
    assert!(frames > 100 * PROBES as u64, "only {frames} frames passed: no heavy traffic");
    let cpu = |used: &wait4::ResUse| used.rusage.utime + used.rusage.stime;
    let (ours, theirs) = (cpu(&ours), cpu(&theirs));
    println!("{frames} frames in {} ms; CPU {ours:?} of {theirs:?}", stats["duration_ms"]);
    assert!(ours * 4 < theirs, "rtrace took {ours:?} of CPU, the sender {theirs:?}");
}
