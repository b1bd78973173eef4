//! For a user without any capability, in every lab: the hops of root's trace and of traceroute, with both ends of each round trip
//! stamped by the kernel, and a recording that replays to the very report.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::agreement::{arguments, without_interface};
use super::lab::{Lab, RTRACE, TARGET, Tcpdump, replay, run, text, trace};
use super::text::hops;

/// One test for each lab, with the arguments of a fixture.
macro_rules! labs {
    ($($test:ident: $kind:literal, $fixture:literal;)*) => {$(
        #[test]
        fn $test() {
            agrees_with_packets_and_traceroute($kind, $fixture);
        }
    )*};
}

labs! {
    ten_hops: "ten-hops", "ten-hops";
    silent_hop: "silent-hop", "silent-hop";
    silent_target: "silent-target", "silent-target";
    host_unreachable: "host-unreachable", "host-unreachable";
    net_unreachable: "net-unreachable", "net-unreachable";
    prohibited: "prohibited", "prohibited";
    filtered: "filtered", "filtered";
    ecmp: "ecmp", "ecmp";
    lo: "lo", "lo";
    tun: "tun", "tun";
    asymmetric: "asymmetric", "asymmetric";
    nat: "nat", "nat";
    udp_answer: "udp-answer", "udp-answer";
    small_mtu: "small-mtu", "small-mtu";
    echo: "concurrent", "icmp";
    echo6: "concurrent", "icmp6";
    udp6: "concurrent", "udp6";
    paris: "ecmp", "paris";
    paris6: "ecmp", "paris6";
    dns: "udp-answer", "dns";
    dns6: "udp-answer", "dns6";
}

/// rtrace by a descriptor that [`as_nobody`] opens: that user may not get through the directories in which it was built.
const BY_DESCRIPTOR: &str = "/proc/self/fd/8";

/// A program on src for a user whom nothing is permitted.
fn as_nobody(lab: &Lab, program: &str) -> Command {
    let script = "exec 8<\"$1\" 9<\"$0\" && shift && exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all \
                  --inh-caps=-all --no-new-privs /proc/self/fd/9 \"$@\"";
    let mut command = lab.on("src", "sh");
    command.args(["-c", script, program, RTRACE]).env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// A file that this user may make.
fn file_of_nobody(lab: &Lab, name: &str) -> PathBuf {
    let file = lab.file(name);
    let open = Permissions::from_mode(0o777);
    std::fs::set_permissions(file.parent().expect("a directory"), open).expect("its owner");
    file
}

/// rtrace for this user, which may open ping sockets.
fn rtrace(lab: &Lab, args: &[String]) -> Command {
    run(lab.on("src", "sysctl").args(["-qw", "net.ipv4.ping_group_range=0 2147483647"]));
    let mut command = as_nobody(lab, RTRACE);
    command.args(args);
    command
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

fn agrees_with_packets_and_traceroute(kind: &str, fixture: &str) {
    let args = arguments(fixture);
    // Each in a lab of its own: a router's limit would remember what it answered.
    let Some(lab) = Lab::up(kind) else { return };
    let by_packets = hops(&trace(&mut lab.rtrace(&args)));
    assert!(!by_packets.is_empty());
    for form in [&[][..], &["--json"]] {
        let Some(lab) = Lab::up(kind) else { return };
        let file = file_of_nobody(&lab, "out.pcapng");
        let live = trace(rtrace(&lab, &args).args(form).arg("--pcap").arg(&file));
        assert_eq!(replay(&file, form), live, "{form:?}");
        if form.is_empty() {
            assert_eq!(hops(&live), by_packets, "{live}");
        }
    }
    let args: Vec<_> = without_interface(&args);
    // traceroute has no such flows, and loses every other error about an echo.
    if args.iter().any(|arg| ["--flow", "-U", "-I"].contains(&arg.as_str())) {
        return;
    }
    let Some(lab) = Lab::up(kind) else { return };
    let traceroute = run(as_nobody(&lab, "/usr/bin/traceroute").args(args));
    assert_eq!(hops(&text(&traceroute.stdout)), by_packets);
}

/// A report without times and other numbers that are not whole.
fn without_times(report: &str) -> Vec<String> {
    let lines = report.lines().filter(|line| !line.starts_with("Start: "));
    let words = lines.flat_map(str::split_whitespace);
    let is_time = |word: &str| word.split(':').all(|part| part.parse::<f64>().is_ok());
    words.filter(|word| !is_time(word)).map(str::to_owned).collect()
}

/// What other commands report is the same, too: label stacks, the path MTU and what narrows it, return paths, rounds, all paths.
#[test]
fn all_reports_are_the_same() {
    for (kind, args) in [
        ("tun", &["-n", "-e", TARGET][..]),
        ("small-mtu", &["-n", "--mtu", TARGET]),
        ("black-hole", &["-n", "--mtu", TARGET]),
        ("asymmetric", &["-n", "--back", TARGET]),
        ("routing-loop", &["-n", TARGET]),
        ("silent-hop", &["report", "-n", "-c", "3", "--interval", "0.2", TARGET]),
        ("net-unreachable", &["report", "-n", "-c", "2", "--interval", "0.2", TARGET]),
        ("concurrent", &["report", "-n", "-I", "-c", "3", "--interval", "0.2", TARGET]),
        ("concurrent", &["paths", "-n", TARGET]),
    ] {
        let Some(lab) = Lab::up(kind) else { return };
        let by_packets = trace(&mut lab.rtrace(args));
        drop(lab);
        let Some(lab) = Lab::up(kind) else { return };
        let ours = trace(&mut rtrace(&lab, &words(args)));
        assert_eq!(
            without_times(&ours),
            without_times(&by_packets),
            "{kind} {args:?}\n{ours}\n{by_packets}"
        );
    }
}

/// The stamp of an answer is the one that tcpdump reads, and that of a probe is later than tcpdump's: it is taken where the
/// device sends.
#[test]
fn round_trips_are_within_those_of_tcpdump() {
    const PROBES: usize = 11 * 3;
    let Some(lab) = Lab::up("ten-hops") else { return };
    let file = lab.file("tcpdump.pcap");
    let tcpdump = Tcpdump::start(&lab, "eth0", 2 * PROBES, &file);
    let report = trace(&mut rtrace(&lab, &words(&["-n", "-N", "1", "--json", TARGET])));
    tcpdump.finish();
    let theirs = round_trips_by_port(&file);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let probes: Vec<_> =
        list(&report["hops"]).iter().flat_map(|hop| list(&hop["probes"])).collect();
    assert_eq!(probes.len(), PROBES, "{report}");
    for probe in probes {
        let ours = probe["replies"][0]["rtt_ns"].as_i64().expect("a round trip");
        let port = probe["destination_port"].as_u64().expect("a port");
        let theirs = theirs[&port];
        assert!(0 < ours && ours <= theirs, "port {port}: {ours} ns, tcpdump: {theirs} ns");
    }
}

/// The round trips in a capture by the destination port of the probe, in nanoseconds.
fn round_trips_by_port(file: &Path) -> HashMap<u64, i64> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-T", "fields", "-Y", "udp"]);
    for field in ["frame.time_epoch", "icmp.type", "udp.dstport"] {
        tshark.args(["-e", field]);
    }
    let (mut sent, mut round_trips) = (HashMap::new(), HashMap::new());
    for line in text(&run(&mut tshark).stdout).lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let &[time, icmp_type, port] = fields.as_slice() else { panic!("{line:?}") };
        let (seconds, nanos) = time.split_once('.').expect("a fraction");
        let at: i64 = format!("{seconds}{nanos:0<9}").parse().expect("a time");
        let port: u64 = port.parse().expect("a port");
        match icmp_type {
            "" => drop(sent.insert(port, at)),
            _ => drop(round_trips.insert(port, at - sent[&port])),
        }
    }
    round_trips
}

/// What cannot be done without privilege is refused before anything is sent, in one line that says what to do.
#[test]
fn what_takes_privilege_is_refused() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let out = file_of_nobody(&lab, "out.pcap").display().to_string();
    let before = lab.frames_sent("eth0");
    for (args, says) in [
        (&["-T"][..], "TCP probes need CAP_NET_RAW: run with sudo"),
        (&["--ack"], "TCP probes need CAP_NET_RAW: run with sudo"),
        (&["--udplite"], "UDP-Lite probes need CAP_NET_RAW: run with sudo"),
        (&["-P", "132"], "probes of protocol 132 need CAP_NET_RAW: run with sudo"),
        (&["--link", "packet"], "opening a raw socket needs CAP_NET_RAW: run with sudo"),
        (&["--clock", "hardware"], "eth0"),
        (&["-I"], "ICMP echo needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range"),
        (&["--pcap", &out], "a classic pcap cannot say that replies are reconstructed"),
    ] {
        let mut command = as_nobody(&lab, RTRACE);
        let output = command.args(args).args(["-n", TARGET]).output().expect("rtrace");
        let said = text(&output.stderr);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(2), String::new()),
            "{said}"
        );
        assert!(said.starts_with("rtrace: ") && said.contains(says), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(lab.frames_sent("eth0"), before);
}

/// The target over IPv6.
const TARGET6: &str = "2001:db8:113::9";

/// Flow labels are those of the configuration: of half of the range, as the kernel leases no others.
#[test]
fn flow_labels_are_leased() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let file = file_of_nobody(&lab, "out.pcapng");
    for label in [None, Some("524287")] {
        let mut command = rtrace(&lab, &words(&["-n", TARGET6, "--pcap"]));
        command.arg(&file).args(label.map(|label| format!("--flowlabel={label}")));
        run(&mut command);
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&file).args([
            "-Y",
            "udp && !icmpv6",
            "-T",
            "fields",
            "-e",
            "ipv6.flow",
        ]);
        let labels = text(&run(&mut tshark).stdout);
        let mut labels: Vec<_> = labels.lines().collect();
        labels.dedup();
        let [shown] = labels[..] else { panic!("{labels:?}") };
        let shown = u32::from_str_radix(shown.trim_start_matches("0x"), 16).expect("a label");
        assert!((1..1 << 19).contains(&shown));
        assert!(label.is_none_or(|label| label == shown.to_string()));
    }
    let mut command = rtrace(&lab, &words(&["-n", TARGET6, "--flowlabel", "524288"]));
    let said = text(&command.output().expect("rtrace").stderr);
    assert!(
        said.contains("--flowlabel 524288 needs CAP_NET_RAW: run with sudo, or choose at most"),
        "{said}"
    );
}

/// Root may choose it, and a terminal alone is told of it.
#[test]
fn it_can_be_chosen_and_says_so_only_on_a_terminal() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let chosen = run(&mut lab.rtrace(["--link", "socket", "-n", "--stats", TARGET]));
    assert!(text(&chosen.stderr).contains("reconstructed"), "{}", text(&chosen.stderr));
    let quiet = run(&mut rtrace(&lab, &words(&["-n", TARGET])));
    assert_eq!(text(&quiet.stderr), "");
    let line = format!("{RTRACE} -n {TARGET}");
    let mut script = lab.on("src", "script");
    // A terminal of its own; root without the capability.
    script.args([
        "-qec",
        &format!("setpriv --bounding-set=-net_raw --inh-caps=-net_raw {line}"),
        "/dev/null",
    ]);
    let told = text(&run(&mut script).stdout);
    let note =
        "not root: replies are reconstructed from kernel reports; sudo or setcap for full capture";
    assert_eq!(told.matches(note).count(), 1, "{told}");
}

/// A policy like that of a container, under which an option of a socket is refused: the run ends in a clear line, or goes on with
/// what is left.
#[test]
fn options_that_a_policy_forbids_are_named() {
    const TIMESTAMPING: (i32, i32) = (libc::SOL_SOCKET, libc::SO_TIMESTAMPING);
    const ERRORS: (i32, i32) = (libc::SOL_IP, libc::IP_RECVERR);
    const TOS: (i32, i32) = (libc::SOL_IP, libc::IP_RECVTOS);
    for (option, says, runs) in [
        (
            TIMESTAMPING,
            "refused SO_TIMESTAMPING (Operation not permitted): probes are stamped just before",
            true,
        ),
        (
            TOS,
            "refused IP_RECVTOS (Operation not permitted): the type of service of replies is not known",
            true,
        ),
        (
            ERRORS,
            "refused IP_RECVERR (Operation not permitted), without which no reply is seen",
            false,
        ),
    ] {
        let Some(lab) = Lab::up("concurrent") else { return };
        let by_packets = hops(&trace(&mut lab.rtrace(["-n", TARGET])));
        let file = file_of_nobody(&lab, "out.pcapng");
        let mut command = rtrace(&lab, &words(&["-n", TARGET, "--pcap"]));
        command.arg(&file);
        let forbidden = thread::scope(|scope| {
            scope
                .spawn(|| {
                    forbid(option);
                    command.output().expect("rtrace")
                })
                .join()
        });
        let output = forbidden.expect("a thread");
        let (said, shown) = (text(&output.stderr), text(&output.stdout));
        assert!(said.contains(says), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(output.status.code(), Some(if runs { 0 } else { 2 }), "{said}");
        if runs {
            assert_eq!(hops(&shown), by_packets);
            assert_eq!(replay(&file, [""; 0]), shown);
        }
    }
}

/// Makes the kernel refuse an option to this thread and what it starts.
fn forbid((level, option): (i32, i32)) {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };
    let is = |index, value: i32| {
        let value = u64::from(value.cast_unsigned());
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
            .expect("a condition")
    };
    let rule = SeccompRule::new(vec![is(1, level), is(2, option)]).expect("a rule");
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let machine = std::env::consts::ARCH.try_into().expect("a machine that is known");
    let filter = SeccompFilter::new(
        [(libc::SYS_setsockopt, vec![rule])].into(),
        SeccompAction::Allow,
        refuse,
        machine,
    );
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("the kernel");
}

/// Root of a user namespace has no right to the network outside it: the trace is that of anybody.
#[test]
fn a_user_namespace_traces_like_anybody() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let by_packets = hops(&trace(&mut lab.rtrace(["-n", TARGET])));
    let mut command = as_nobody(&lab, "/usr/bin/unshare");
    command.args(["-Ur", BY_DESCRIPTOR, "-n", TARGET]);
    assert_eq!(hops(&trace(&mut command)), by_packets);
}
