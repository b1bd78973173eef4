//! In every lab: hops and annotations are those of traceroute, and the golden law holds: a recording
//! replays to the very report of the run that wrote it.

use std::process::Command;

use super::lab::{Lab, replay, run, text, trace};
use super::text::{Hop, hops};

/// One test per lab that has a fixture, with the arguments of that fixture.
macro_rules! labs {
    ($($test:ident: $kind:literal,)*) => {$(
        #[test]
        fn $test() {
            agrees_with_traceroute($kind);
            replays_to_itself($kind);
        }
    )*};
}

labs! {
    ten_hops: "ten-hops",
    silent_hop: "silent-hop",
    silent_target: "silent-target",
    host_unreachable: "host-unreachable",
    net_unreachable: "net-unreachable",
    prohibited: "prohibited",
    filtered: "filtered",
    ecmp: "ecmp",
    lo: "lo",
    tun: "tun",
    asymmetric: "asymmetric",
    rate_limited: "rate-limited",
    nat: "nat",
    udp_answer: "udp-answer",
    small_mtu: "small-mtu",
}

/// The arguments of a fixture, which are those of traceroute too.
pub fn arguments(kind: &str) -> Vec<String> {
    let file = format!("{}/fixtures/{kind}/args", env!("CARGO_MANIFEST_DIR"));
    let line = std::fs::read_to_string(&file).expect(&file);
    line.split_whitespace().map(String::from).collect()
}

/// Without the interface, which concerns neither traceroute (it would bind to one called "any") nor a
/// replay.
pub fn without_interface(args: &[String]) -> Vec<String> {
    let at = args.iter().position(|arg| arg == "-i").unwrap_or(args.len());
    args.iter()
        .enumerate()
        .filter(|(i, _)| *i != at && *i != at + 1)
        .map(|(_, arg)| arg.clone())
        .collect()
}

fn agrees_with_traceroute(kind: &str) {
    let args = arguments(kind);
    let Some(lab) = Lab::up(kind) else { return };
    let ours = hops(&trace(&mut lab.rtrace(&args)));
    drop(lab); // A rate limit would remember what it answered.
    let Some(lab) = Lab::up(kind) else { return };
    let traceroute = run(lab.on("src", "traceroute").args(without_interface(&args)));
    let theirs = hops(&text(&traceroute.stdout));
    assert!(!theirs.is_empty());
    if kind == "rate-limited" {
        // Which probes are answered depends on the moment at which they came.
        let limited = |hop: &Hop| hop.answered() > 0 && hop.probes.iter().any(|probe| probe == "*");
        assert!(limited(&ours[1]) && limited(&theirs[1]), "{ours:#?}\n{theirs:#?}");
        let responders = |hops: &[Hop]| -> Vec<_> {
            hops.iter().map(|hop| hop.responders().join(" ")).collect()
        };
        assert_eq!(responders(&ours), responders(&theirs));
    } else {
        assert_eq!(ours, theirs);
    }
}

fn replays_to_itself(kind: &str) {
    let args = arguments(kind);
    let Some(lab) = Lab::up(kind) else { return };
    for (file, options) in [("out.pcapng", Vec::new()), ("out.pcap", without_interface(&args))] {
        let file = lab.file(file);
        for form in [&[][..], &["--json"]] {
            let live = trace(lab.rtrace(&args).args(form).arg("--pcap").arg(&file));
            let words = options.iter().map(String::as_str).chain(form.iter().copied());
            assert_eq!(replay(&file, words), live, "{} {form:?}", file.display());
        }
    }
}

/// Names of responders go into a pcapng, so that its replay shows them without asking anyone.
#[test]
fn names_are_recorded() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let file = lab.file("named.pcapng");
    let live = trace(lab.rtrace(["203.0.113.9"]).arg("--pcap").arg(&file));
    for name in ["r1.lab (10.0.1.2)", "r3.lab (10.0.3.2)", "dst.lab (203.0.113.9)"] {
        assert!(live.contains(name), "{name} is missing in:\n{live}");
    }
    assert_eq!(replay(&file, [""; 0]), live);
    let theirs = text(&run(lab.on("src", "traceroute").arg("203.0.113.9")).stdout);
    let without_times = |report: &str| -> Vec<String> {
        report.lines().map(|line| line.split("  ").take(2).collect()).collect()
    };
    assert_eq!(without_times(&live), without_times(&theirs));
}

/// A name with an escape sequence in it is shown without it, live and in a replay.
#[test]
fn hostile_names_are_defused() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let file = lab.file("hostile.pcapng");
    let hosts = lab.file("hosts");
    std::fs::write(&hosts, "10.0.1.2 evil\x1b[31mred\x07\n").expect("a hosts file");
    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let mut command = lab.on("src", "sh");
    command.args(["-c", &script, "sh", super::lab::RTRACE, "203.0.113.9", "--pcap"]).arg(&file);
    let live = trace(&mut command);
    assert!(live.contains("(10.0.1.2)"), "{live}");
    let comments = text(&run(Command::new("tshark").arg("-r").arg(&file)).stdout);
    for shown in [live.clone(), replay(&file, [""; 0]), comments] {
        assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown:?}");
    }
    assert_eq!(replay(&file, [""; 0]), live);
}
