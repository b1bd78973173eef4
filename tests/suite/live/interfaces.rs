//! Hosts with several interfaces: probes and replies are captured wherever they pass, each once.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::lab::{Lab, TARGET, replay, run, text};
use crate::maps::validator;

fn ip(lab: &Lab, host: &str, lines: &[&str]) {
    for line in lines {
        run(lab.on(host, "ip").args(line.split(' ')));
    }
}

/// A trace that reaches its target and loses nothing, its recording and its JSON; the replay of that is the same.
fn complete(lab: &Lab, file: &Path, args: &[&str]) -> Value {
    let live = lab.rtrace(["-n", "--json", "--pcap"]).arg(file).args(args).output().unwrap();
    let (report, said) = (text(&live.stdout), text(&live.stderr));
    assert_eq!((live.status.code(), said.as_str()), (Some(0), ""), "{args:?}: {report}");
    let document: Value = serde_json::from_str(&report).expect("JSON");
    let again = replay(file, ["--json"]);
    if file.extension().is_some_and(|it| it == "pcapng") {
        assert_eq!(again, report, "{args:?}");
    } else {
        let again: Value = serde_json::from_str(&again).expect("JSON");
        assert_eq!((&again["hops"], &again["totals"]), (&document["hops"], &document["totals"]));
    }
    let totals = &document["totals"];
    assert_eq!(
        (&totals["lost"], &totals["duplicate"]),
        (&0.into(), &0.into()),
        "{args:?} {totals}"
    );
    document
}

#[test]
fn replies_by_another_interface_count_whatever_is_recorded() {
    let Some(lab) = Lab::up("asymmetric") else { return };
    for target in [TARGET, "2001:db8:113::9"] {
        for (name, interfaces) in [("out.pcapng", 2), ("out.pcap", 1)] {
            let file = lab.file(name);
            complete(&lab, &file, &[target]);
            let link = run(Command::new("capinfos").args(["-T", "-r", "-E"]).arg(&file));
            assert!(text(&link.stdout).contains("\tether"), "{}", text(&link.stdout));
            let infos = text(&run(Command::new("capinfos").arg(&file)).stdout);
            let count = format!("Number of interfaces in file: {interfaces}\n");
            assert!(infos.contains(&count), "{infos}");
        }
    }
}

/// With -i probes leave by that interface and are looked for there, whichever of two default routes the kernel would choose.
#[test]
fn of_two_default_routes_dash_i_takes_that_of_its_interface() {
    let Some(lab) = Lab::up("asymmetric") else { return };
    let routes = [
        "addr add fd00:0:0:99::1/128 dev lo nodad",
        "-6 route replace ::/0 src fd00:0:0:99::1 nexthop via fd00:0:0:1::2 dev eth0 nexthop via fd00:0:0:9::2 dev eth1",
    ];
    ip(&lab, "src", &routes);
    for iface in ["eth0", "eth1"] {
        let trace = lab.rtrace(["-n", "-q1", "-m1", "--stats", "-i", iface, "2001:db8:113::9"]);
        let said = text(&{ trace }.output().unwrap().stderr);
        assert!(said.contains(&format!("live             {iface}\n")), "{said}");
        assert!(said.contains("probes not left  0\n"), "{said}");
    }
}

/// Of 20 targets some are behind each of two default routes.
#[test]
fn a_host_with_two_default_routes_traces_by_either() {
    let Some(lab) = Lab::up("asymmetric") else { return };
    ip(
        &lab,
        "src",
        &[
            "-6 route replace ::/0 nexthop via fd00:0:0:1::2 dev eth0 nexthop via fd00:0:0:9::2 dev eth1",
            "route replace default nexthop via 10.0.1.2 dev eth0 nexthop via 10.0.9.2 dev eth1",
        ],
    );
    // The lab has no return to the second address.
    ip(
        &lab,
        "r3",
        &["route add 10.0.9.0/24 via 10.0.3.1", "-6 route add fd00:0:0:9::/64 via fd00:0:0:3::1"],
    );
    let file = lab.file("two.pcapng");
    let mut lengths = Vec::new();
    for number in 20..30 {
        ip(
            &lab,
            "dst",
            &[
                &format!("addr add 203.0.113.{number}/24 dev eth0"),
                &format!("addr add 2001:db8:113::{number}/64 dev eth0 nodad"),
            ],
        );
        for target in [format!("203.0.113.{number}"), format!("2001:db8:113::{number}")] {
            let document = complete(&lab, &file, &["-q1", &target]);
            lengths.push((target.contains(':'), document["hops"].as_array().unwrap().len()));
        }
    }
    // By the second one a router less is passed.
    for six in [false, true] {
        for length in [3, 4] {
            assert!(lengths.contains(&(six, length)), "IPv6: {six}, {length}: {lengths:?}");
        }
    }
    // The first balancer is the host itself.
    for (target, hops) in [
        ("203.0.113.20", "10.0.1.2 by eth0 and 10.0.9.2 by eth1"),
        ("2001:db8:113::20", "fd00:0:0:1::2 by eth0 and fd00:0:0:9::2 by eth1"),
    ] {
        let said = format!("hop 0: this host balances what it sends to {target} over {hops}: ");
        let paths = lab.rtrace(["paths", "-n", target]).output().unwrap();
        assert!(text(&paths.stderr).contains(&said), "{paths:?}");
        let by_one = lab.rtrace(["paths", "-n", "-i", "eth0", target]).output().unwrap();
        assert!(!text(&by_one.stderr).contains("hop 0"), "{by_one:?}");
    }
    let broadcast = lab.rtrace(["10.0.1.255"]).output().unwrap();
    assert_eq!((broadcast.status.code(), broadcast.stdout.len()), (Some(2), 0), "{broadcast:?}");
    assert!(text(&broadcast.stderr).contains("the broadcast address of a network"));
}

/// Probes to even ports leave by eth0, others by eth1: by rules on marks, as hosts with several uplinks have them.
fn balance_by_port(lab: &Lab) {
    let rules = "table inet uplinks { chain out { type route hook output priority mangle;
        udp dport & 1 == 1 meta mark set 1; }; }";
    run(lab.on("src", "nft").arg(rules));
    ip(
        lab,
        "src",
        &["route add default via 10.0.9.2 dev eth1 table 100", "rule add fwmark 1 table 100"],
    );
    ip(lab, "r3", &["route add 10.0.9.0/24 via 10.0.3.1"]);
}

/// The exits of a document: interface, how many flows, and the addresses of the routers that they lead to.
fn exits(document: &Value) -> Vec<(String, usize, Vec<String>)> {
    let address = |node: &Value| {
        let id = usize::try_from(node.as_u64().unwrap()).unwrap();
        document["nodes"][id - 1]["address"].as_str().unwrap().to_owned()
    };
    let exits = document["host"]["exits"].as_array().unwrap().iter().map(|exit| {
        let nodes = exit["nodes"].as_array().unwrap().iter().map(address).collect();
        let interface = exit["interface"].as_str().unwrap().to_owned();
        (interface, exit["flows"].as_array().unwrap().len(), nodes)
    });
    exits.collect()
}

#[test]
fn a_host_that_balances_is_the_first_balancer_of_the_map() {
    let Some(lab) = Lab::up("asymmetric") else { return };
    balance_by_port(&lab);
    let (file, resumed) = (lab.file("paths.pcapng"), lab.file("resumed.pcapng"));
    let paths = |options: &[&str]| {
        let live = lab.rtrace(["paths", "-n", TARGET, "--pcap"]).arg(&file).args(options).output();
        text(&live.unwrap().stdout)
    };
    for form in ["text", "json", "dot", "mermaid", "svg"] {
        let report = paths(&["--format", form]);
        assert_eq!(replay(&file, ["--format", form]), report);
        assert!(report.contains("eth1"), "{report}");
    }
    let check = |report: &str| {
        let document: Value = serde_json::from_str(report).expect("JSON");
        assert_eq!(validator().validate(&document).map_err(|it| it.to_string()), Ok(()));
        assert_eq!(document["host"]["split"], "flow", "{report}");
        let exits = exits(&document);
        let [(one, even, first), (other, odd, second)] = &exits[..] else { panic!("{exits:?}") };
        assert_eq!((one.as_str(), first), ("eth0", &vec!["10.0.1.2".to_owned()]));
        assert_eq!((other.as_str(), second), ("eth1", &vec!["10.0.9.2".to_owned()]));
        assert!(even.abs_diff(*odd) <= 1, "{exits:?}");
    };
    let report = paths(&["--json"]);
    check(&report);
    // The second router is passed by flows of both exits, at two hops.
    let document: Value = serde_json::from_str(&report).expect("JSON");
    for (link, exit) in document["links"].as_array().unwrap().iter().zip(exits(&document)) {
        assert_eq!((&link["from"], &link["flows"]), (&0.into(), &exit.1.into()), "{report}");
    }
    // With `any`, frames say only the number.
    let any = paths(&["-i", "any", "--json"]);
    assert_eq!(replay(&file, ["--json"]), any);
    assert!(any.contains("\"interface\": \"interface "), "{any}");
    paths(&["--max-probes", "9"]);
    let mut more = lab.rtrace(["paths", "-n", "--json", TARGET, "--resume"]);
    let report = text(&more.arg(&file).arg("--pcap").arg(&resumed).output().unwrap().stdout);
    assert_eq!(replay(&resumed, ["--json"]), report);
    check(&report);
}

#[test]
fn a_frame_on_a_bridge_and_its_member_is_one() {
    let Some(lab) = Lab::up("concurrent") else { return };
    ip(
        &lab,
        "src",
        &[
            "link add br0 type bridge forward_delay 0",
            "link set br0 up",
            "link set eth0 master br0",
            "addr flush dev eth0",
            "addr add 10.0.1.1/24 dev br0",
            "route add default via 10.0.1.2",
        ],
    );
    let file = lab.file("bridge.pcapng");
    for options in [&[TARGET][..], &[TARGET, "-i", "br0"], &[TARGET, "-I"]] {
        let document = complete(&lab, &file, options);
        let frames = run(Command::new("tcpdump").arg("-nr").arg(&file)).stdout;
        let frames = text(&frames).lines().count() as u64;
        let answered = document["totals"]["answered"].as_u64().unwrap();
        let sent = document["totals"]["sent"].as_u64().unwrap();
        assert_eq!(frames, sent + answered, "{options:?}");
    }
}
