//! The tools that people have read what we write: tshark and capinfos our recordings, jc and trparse
//! our text.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::lab::{Lab, RTRACE, TARGET, run, skip, text, trace};
use super::text::hops;
use crate::mmdb;
use crate::support::{line_of, path_in, scratch};

fn tshark(file: &Path, args: &[&str]) -> String {
    text(&run(Command::new("tshark").arg("-r").arg(file).args(args)).stdout)
}

/// Frames in which tshark finds something wrong.
fn faults(file: &Path) -> String {
    let checks = "-o ip.check_checksum:TRUE -o udp.check_checksum:TRUE";
    let filter = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 \
                  || icmp.checksum.status == 0";
    let args: Vec<_> = checks.split(' ').chain(["-Y", filter]).collect();
    tshark(file, &args)
}

#[test]
fn tshark_finds_no_fault_in_a_recording() {
    for (kind, iface) in
        [("ten-hops", "eth0"), ("udp-answer", "eth0"), ("tun", "tun0"), ("asymmetric", "any")]
    {
        let Some(lab) = Lab::up(kind) else { return };
        for name in ["out.pcap", "out.pcapng"] {
            let file = lab.file(name);
            // One probe at a time, so that none is sent past the target; none times out before 5 s, so
            // that no answer is late on a busy machine.
            let args = ["-n", "-N", "1", "-w", "5", "-i", iface, TARGET, "--pcap"];
            let report = trace(lab.rtrace(args).arg(&file));
            let answered: usize = hops(&report).iter().map(super::text::Hop::answered).sum();
            assert_eq!(faults(&file), "", "{kind} {name}");
            let frames = tshark(&file, &[]).lines().count();
            assert_eq!(frames, 2 * answered, "a frame per probe and per reply: {kind} {name}");
            run(Command::new("capinfos").arg(&file));
        }
    }
}

/// On `lo` a capture shows each packet twice; a recording holds what concerned the trace.
#[test]
fn tshark_finds_no_fault_on_lo() {
    let Some(lab) = Lab::up("lo") else { return };
    let file = lab.file("lo.pcapng");
    trace(lab.rtrace(["-n", "127.0.0.1", "--pcap"]).arg(&file));
    assert_eq!(faults(&file), "");
}

/// Stamps that go back and notes of the clock between them are nothing that a reader minds.
#[test]
fn tshark_finds_no_fault_in_a_recording_with_steps_of_the_clock() {
    let dir = scratch();
    let (topology, file) = (path_in(&dir, "clock.toml"), path_in(&dir, "out.pcapng"));
    let clock =
        "clock = [{ after = \"2s\", by = \"-3600s\" }, { after = \"4.02s\", by = \"20s\" }]";
    std::fs::write(&topology, format!("{clock}\n{}", line_of(&["", ""], "5ms", ""))).unwrap();
    let mut report = Command::new(RTRACE);
    report.args(["report", "-n", "--rounds", "6", "--simulate"]).arg(&topology);
    run(report.arg(TARGET).arg("--pcap").arg(&file));
    assert_eq!(faults(&file), "");
    let capinfos = text(&run(Command::new("capinfos").arg(&file)).stdout);
    assert!(capinfos.contains("Strict time order:   False"), "{capinfos}");
    let frames = tshark(&file, &[]).lines().count();
    assert!(capinfos.contains(&format!("Number of packets:   {frames}")), "{frames}: {capinfos}");
}

#[test]
fn a_pcapng_says_more() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let file = lab.file("out.pcapng");
    trace(lab.rtrace([TARGET, "--pcap"]).arg(&file));
    let comments = tshark(&file, &["-T", "fields", "-e", "frame.comment"]);
    assert_eq!(comments.lines().next(), Some("probe ttl=30: the scout"));
    assert!(comments.lines().any(|line| line == "probe ttl=1 query=1"), "{comments}");
    assert!(comments.lines().all(|comment| !comment.is_empty()), "{comments}");
    assert!(comments.lines().any(|line| {
        line.starts_with("reply to frame 1: port unreachable, ") && line.ends_with(" ms")
    }));
    // Two passes: the names stand behind the packets whose responders they name.
    let fields = ["-2", "-N", "n", "-Y", "icmp", "-T", "fields", "-e", "ip.src_host"];
    let names = tshark(&file, &fields);
    assert!(names.lines().any(|line| line.starts_with("r1.lab")), "{names}");
    let capinfos = text(&run(Command::new("capinfos").arg(&file)).stdout);
    for fact in ["eth0", "nanosecond", "rtrace"] {
        assert!(capinfos.contains(fact), "{fact} is missing in:\n{capinfos}");
    }
}

#[test]
fn a_recording_streams_into_tshark() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let mut rtrace = lab.rtrace(["-n", "-N", "1", "--pcap", "-", TARGET]);
    let mut rtrace = rtrace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("rtrace");
    let stream = rtrace.stdout.take().expect("its output");
    let tshark = run(Command::new("tshark").args(["-n", "-r", "-"]).stdin(stream));
    let report = text(&rtrace.wait_with_output().expect("its end").stderr);
    assert_eq!(hops(&report).len(), 4, "the report is on stderr: {report}");
    assert_eq!(text(&tshark.stdout).lines().count(), 24, "four hops of three probes");
}

#[test]
fn jc_reads_the_text() {
    let program =
        "import jc, json, sys; print(json.dumps(jc.parse('traceroute', sys.stdin.read())))";
    readers_agree("jc", program, &[&["-n"], &[], &["-n", "--mtu"]], |document| {
        let hops = document["hops"].as_array().expect("hops").iter();
        let ip = |hop: &serde_json::Value| hop["probes"][0]["ip"].as_str().map(str::to_owned);
        hops.map(ip).collect()
    });
}

/// With names only: of traceroute's own output with `-n` it reads no responder either.
#[test]
fn trparse_reads_the_text() {
    let program = "import trparse, json, sys; \
                   t = trparse.loads(sys.stdin.read()); \
                   print(json.dumps([h.probes[0].ip for h in t.hops]))";
    readers_agree("trparse", program, &[&[], &["--mtu"]], |document| {
        let hops = document.as_array().expect("hops").iter();
        hops.map(|hop| hop.as_str().map(str::to_owned)).collect()
    });
}

/// `program` reads our text, made with each of `forms`, with a Python module; `responders` takes the first responder of each hop
/// from the JSON that it prints.
fn readers_agree(
    module: &str,
    program: &str,
    forms: &[&[&str]],
    responders: impl Fn(&serde_json::Value) -> Vec<Option<String>>,
) {
    let present = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    if !present.is_ok_and(|import| import.status.success()) {
        return skip(&format!("needs the Python module {module}"));
    }
    let Some(lab) = Lab::up("silent-hop") else { return };
    // Systems and places do not keep anybody from reading the rest.
    let asn = mmdb::geolite_asn().save(lab.file("asn.mmdb"));
    let geo = mmdb::geolite_city().save(lab.file("geo.mmdb"));
    let [asn, geo] = [asn, geo].map(|path| path.display().to_string());
    let annotated = ["--asn-db", &asn, "--geo-db", &geo];
    for options in forms.iter().copied().chain([&annotated[..]]) {
        let report = trace(lab.rtrace(options).arg(TARGET));
        let read = python(program, &report);
        let document = serde_json::from_slice(&read.stdout).expect("JSON");
        let expected = [Some("10.0.1.2"), None, Some("10.0.3.2"), Some("10.0.4.2"), Some(TARGET)];
        let expected: Vec<_> = expected.map(|ip| ip.map(str::to_owned)).into();
        assert_eq!(responders(&document), expected, "{report}");
    }
}

fn python(program: &str, input: &str) -> Output {
    let mut command = Command::new("python3");
    command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("python3");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("its input");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{program}");
    output
}
