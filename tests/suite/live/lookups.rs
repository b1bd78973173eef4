//! What is looked up during a trace: of a name server that answers, or is slow, dead, wrong or hostile, and
//! in databases. Whatever comes of it, the trace is the same.

use serde_json::Value;

use super::lab::{Lab, Running, TARGET, replay, text, trace};
use crate::golden::validator;
use crate::mmdb;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/dns.py");

/// A name server on src, on a port of its own.
struct Server {
    running: Running,
    port: u16,
}

impl Server {
    fn start(lab: &Lab, port: u16, mode: &str) -> Self {
        let mut running = Running::start(lab.on("src", SERVER).args([&port.to_string(), mode]));
        running.wait_for("ready\n");
        Self { running, port }
    }

    /// The option that has it asked, over IPv4.
    fn option(&self) -> String {
        format!("--resolver=127.0.0.1:{}", self.port)
    }

    /// Ends it: what it was asked, each question once, in order.
    fn questions(self) -> Vec<String> {
        self.running.signal("TERM");
        let (printed, _) = self.running.finish();
        let mut questions: Vec<_> = printed.lines().skip(1).map(str::to_owned).collect();
        questions.sort();
        questions.dedup(); // what took its time was sent again
        questions
    }
}

/// A report without round-trip times, each line as its words.
fn words(report: &str) -> Vec<String> {
    let lines = report.lines().skip(1).map(str::split_whitespace);
    let is_time = |word: &&str| word.parse::<f64>().is_ok_and(|_| word.contains('.'));
    lines
        .map(|line| line.filter(|it| !is_time(it) && *it != "ms").collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn a_server_of_ones_own_is_asked_once_about_each() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let server = Server::start(&lab, 5301, "answer");
    let file = lab.file("out.pcapng");
    let report = trace(lab.rtrace([&server.option(), "-A", TARGET, "--pcap"]).arg(&file));
    let expected = [
        "1 r1.dns.example (10.0.1.2) [*]",
        "2 r2.dns.example (10.0.2.2) [*]",
        "3 r3.dns.example (10.0.3.2) [*]",
        "4 dst.dns.example (203.0.113.9) [AS64500/AS64501]",
    ];
    assert_eq!(words(&report), expected);
    // The names are in the recording, the systems are not; a replay that asks has both.
    let bare = report.replace(" [*]", "").replace(" [AS64500/AS64501]", "");
    assert_eq!(replay(&file, [""; 0]), bare);
    // Nobody else is told of a network of one's own.
    let expected = [
        "PTR 2.1.0.10.in-addr.arpa",
        "PTR 2.2.0.10.in-addr.arpa",
        "PTR 2.3.0.10.in-addr.arpa",
        "PTR 9.113.0.203.in-addr.arpa",
        "TXT 9.113.0.203.origin.asn.cymru.com",
        "TXT as64500.asn.cymru.com",
    ];
    let asked = server.questions();
    assert_eq!(asked, expected);

    let server = Server::start(&lab, 5302, "answer");
    let again = ["replay".as_ref(), file.as_os_str(), "-A".as_ref()];
    let again = lab.rtrace(again).arg(server.option()).output().expect("rtrace");
    assert_eq!(text(&again.stdout), report);
    assert_eq!(server.questions(), expected[4..], "names are those of the recording");
}

#[test]
fn a_server_is_asked_over_ipv6_about_ipv6() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let server = Server::start(&lab, 5301, "answer");
    let resolver = format!("--resolver=[::1]:{}", server.port);
    let options = [&resolver, "-A", "--json", "2001:db8:113::9"];
    let document: Value = serde_json::from_str(&trace(&mut lab.rtrace(options))).expect("JSON");
    let about = |hop: usize| {
        let reply = &document["hops"][hop]["probes"][0]["replies"][0];
        ["name", "asn", "as_name"].map(|key| reply[key].to_string())
    };
    assert_eq!(about(0), ["\"r1.dns.example\"", "[]", "null"]);
    assert_eq!(about(3), ["\"dst.dns.example\"", "[64501]", "\"EXAMPLE-SIX, ZZ\""]);
}

/// What the text says of three routers and the target, by what the server does.
#[test]
fn whatever_a_server_does_the_trace_is_the_same() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let plain = |router: &str| format!("{router} ({router}) [*]");
    let nameless = ["10.0.1.2", "10.0.2.2", "10.0.3.2"].map(plain);
    let [r1, r2, r3] = nameless.clone();
    let hostile = [
        "??0?x???2J????b??.?192.0.2.1???1.0?ms (10.0.1.2) [*]".to_owned(),
        format!("{} (10.0.2.2) [*]", [63, 63, 63, 61].map(|len| "?".repeat(len)).join(".")),
        r3.clone(),
    ];
    for (port, (mode, routers, target)) in (5301..).zip([
        ("dead", nameless.clone(), "203.0.113.9 (203.0.113.9) [!!]"),
        ("none", [r1, r2, r3], "203.0.113.9 (203.0.113.9) [*]"),
        ("other", nameless.clone(), "203.0.113.9 (203.0.113.9) [!!]"),
        ("garbage", nameless, "203.0.113.9 (203.0.113.9) [!!]"),
        ("hostile", hostile, "??.?X (203.0.113.9) [!!]"),
    ]) {
        let server = Server::start(&lab, port, mode);
        let options = [&server.option(), "-A", TARGET];
        let report = trace(&mut lab.rtrace(options));
        let expected: Vec<_> =
            (1..).zip(routers).map(|(ttl, router)| format!("{ttl} {router}")).collect();
        assert_eq!(words(&report)[..3], expected, "{mode}: {report}");
        assert_eq!(words(&report)[3..], [format!("4 {target}")], "{mode}: {report}");
        let document = trace(lab.rtrace(options).arg("--json"));
        let document = serde_json::from_str(&document).expect("JSON");
        assert!(validator().is_valid(&document), "{mode}: {document:#}");
    }
}

/// The answers come while the trace is still in flight, but the names have been given up, and printed so.
#[test]
fn a_late_answer_changes_nothing() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let server = Server::start(&lab, 5301, "late");
    let file = lab.file("out.pcapng");
    let options = [&server.option(), "-w", "4", "-q1", TARGET, "--pcap"];
    let mut running = Running::start(lab.rtrace(options).arg(&file));
    running.wait_for("\n 3  10.0.3.2 (10.0.3.2)");
    server.running.signal("USR1");
    let (report, status) = running.finish();
    assert_eq!(status.code(), Some(1), "{report}");
    assert!(!report.contains("dns.example"), "{report}");
    assert_eq!(replay(&file, [""; 0]), report);
}

/// The files are root's own: they are opened while there is the right to, and read when there is none.
#[test]
fn databases_are_opened_before_privileges_are_dropped() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let asn = mmdb::geolite_asn().save(lab.file("asn.mmdb"));
    let geo = mmdb::ipinfo_city().save(lab.file("geo.mmdb"));
    let file = lab.file("out.pcap");
    let databases = ["--asn-db".as_ref(), asn.as_os_str(), "--geo-db".as_ref(), geo.as_os_str()];
    let options = ["-n".as_ref()].into_iter().chain(databases);
    let report = trace(lab.rtrace(options.clone()).args([TARGET, "--pcap"]).arg(&file));
    let expected =
        ["1 10.0.1.2 [*]", "2 10.0.2.2 [*]", "3 10.0.3.2 [*]", "4 203.0.113.9 [AS4200000000] {AU}"];
    assert_eq!(words(&report), expected);
    assert_eq!(replay(&file, options), report);

    // A wrong one: one line, and no probe has left.
    let before = lab.frames_sent("eth0");
    let wrong = lab.rtrace(["-n", "--asn-db"]).arg(&geo).arg(TARGET).output().expect("rtrace");
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(text(&wrong.stderr).lines().count(), 1, "{}", text(&wrong.stderr));
    assert_eq!(lab.frames_sent("eth0"), before, "a probe has left");
}
