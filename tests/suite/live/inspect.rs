//! What real routers do to packets on the way, found in what later ones quote.

use super::lab::{Lab, TARGET, replay, run, trace};

/// The second router remarks and clamps whatever it forwards.
const RULES: &str = "table ip change {
  chain out {
    type filter hook postrouting priority mangle;
    meta l4proto { tcp, udp } ip dscp set cs3
    tcp flags syn tcp option maxseg size set 1000
  }
}";

#[test]
fn remarking_and_clamping_are_placed_between_two_hops() {
    let Some(lab) = Lab::up("concurrent") else { return };
    let rules = lab.file("rules.nft");
    std::fs::write(&rules, RULES).expect("rules");
    run(lab.on("r2", "nft").arg("-f").arg(&rules));
    let dscp = "between hop 2 and hop 3: DSCP 0 became 24 (remarked)";
    let mss = "between hop 2 and hop 3: MSS 1460 became 1000 (clamped)";
    for (options, expected) in [(vec!["-n"], vec![dscp]), (vec!["-n", "-T"], vec![dscp, mss])] {
        let file = lab.file("inspect.pcapng");
        let args = [&["inspect", TARGET][..], &options].concat();
        let live = trace(lab.rtrace(args).arg("--pcap").arg(&file));
        for line in expected {
            assert!(live.lines().any(|it| it == line), "{line} is missing in:\n{live}");
        }
        assert_eq!(replay(&file, ["--inspect"]), live);
    }
}

#[test]
fn a_path_that_changes_nothing_is_said_to() {
    let Some(lab) = Lab::up("concurrent") else { return };
    for options in [&["-n"][..], &["-n", "-I"], &["-n", "-6", "2001:db8:113::9"]] {
        let target = if options.len() == 3 { None } else { Some(TARGET) };
        let report = trace(lab.rtrace(["inspect"]).args(options).args(target));
        let last = report.lines().last();
        assert_eq!(last, Some("Nothing was changed as far as hops quote it."), "{report}");
    }
}
