//! Round-trip times are differences of kernel stamps: those that tcpdump took of the same frames.

use std::collections::HashMap;
use std::process::Command;

use serde_json::Value;

use super::lab::{Lab, TARGET, Tcpdump, run, text, trace};

/// Identifies a probe in its own frame and in the quote of its reply: IP-ID and destination port.
type Key = (u16, u16);

/// To the nanosecond: both programs read the one stamp that the kernel put on each frame.
#[test]
fn round_trips_are_those_of_tcpdump() {
    const PROBES: usize = 11 * 3;
    let Some(lab) = Lab::up("ten-hops") else { return };
    let file = lab.file("tcpdump.pcap");
    // One probe at a time, so that none is sent past the target.
    let tcpdump = Tcpdump::start(&lab, "eth0", 2 * PROBES, &file);
    let report = trace(&mut lab.rtrace(["-n", "-N", "1", "--json", TARGET]));
    let ours = round_trips(&serde_json::from_str(&report).expect("JSON"));
    assert_eq!(ours.len(), PROBES, "{report}");
    tcpdump.finish();

    let theirs = round_trips_in_capture(&file);
    for (key, ours) in ours {
        assert_eq!(theirs.get(&key), Some(&ours), "probe with IP-ID and port {key:?}");
    }
}

#[test]
fn an_interface_without_hardware_stamps_is_refused() {
    for (kind, target, interface) in
        [("lo", "127.0.0.1", "lo"), ("tun", TARGET, "tun0"), ("concurrent", TARGET, "eth0")]
    {
        let Some(lab) = Lab::up(kind) else { return };
        let refused = |args: &[&str]| {
            let output = lab.rtrace(args).output().expect("rtrace");
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            assert_eq!(text(&output.stdout), "");
            text(&output.stderr)
        };
        let line = format!(
            "rtrace: {interface} has no hardware stamps for both directions (see: ethtool -T \
             {interface}): leave out --clock hardware\n"
        );
        assert_eq!(refused(&["--clock", "hardware", target]), line);
        let any = refused(&["-i", "any", "--clock", "hardware", target]);
        assert!(any.contains("choose it with -i"), "{any}");
    }
}

fn round_trips(report: &Value) -> HashMap<Key, i64> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let number = |value: &Value| u16::try_from(value.as_u64().expect("a number")).expect("16 bits");
    let probes = list(&report["hops"]).into_iter().flat_map(|hop| list(&hop["probes"]));
    let answered = probes.filter(|probe| probe["outcome"] == "answered");
    answered
        .map(|probe| {
            let rtt = probe["replies"][0]["rtt_ns"].as_i64().expect("a round trip");
            ((number(&probe["ip_id"]), number(&probe["destination_port"])), rtt)
        })
        .collect()
}

/// From tshark's fields; in a reply each field has a second value, that of the quoted datagram.
fn round_trips_in_capture(file: &std::path::Path) -> HashMap<Key, i64> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-T", "fields", "-Y", "udp"]);
    for field in ["frame.time_epoch", "icmp.type", "ip.id", "udp.dstport"] {
        tshark.args(["-e", field]);
    }
    let mut sent = HashMap::<Key, i64>::new();
    let mut round_trips = HashMap::new();
    for line in text(&run(&mut tshark).stdout).lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let &[time, icmp_type, ids, ports] = fields.as_slice() else { panic!("{line:?}") };
        let last = |values: &str| values.rsplit(',').next().map(str::to_owned).unwrap_or_default();
        let id = u16::from_str_radix(last(ids).trim_start_matches("0x"), 16).expect("an IP-ID");
        let key = (id, last(ports).parse().expect("a port"));
        let (seconds, fraction) = time.split_once('.').expect("a time");
        let nanos: i64 = format!("{seconds}{fraction:0<9}").parse().expect("a time");
        if icmp_type.is_empty() {
            sent.insert(key, nanos);
        } else if let Some(sent) = sent.get(&key) {
            round_trips.insert(key, nanos - sent);
        }
    }
    round_trips
}
