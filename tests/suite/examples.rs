//! The examples run: those that need nothing as parts of this program, the live one as it is, over a real network.

use std::path::PathBuf;

use crate::live::lab::{Lab, run, text};
use crate::support;

#[path = "../../examples/custom_link.rs"]
mod custom_link;
#[path = "../../examples/decode.rs"]
mod decode;
#[path = "../../examples/recorded.rs"]
#[expect(dead_code, reason = "its main takes a file from the command line")]
mod recorded;
#[path = "../../examples/simulated.rs"]
mod simulated;

#[test]
fn those_that_need_nothing_run() {
    simulated::main().unwrap();
    custom_link::main().unwrap();
    decode::main().unwrap();
}

#[test]
fn every_trace_of_a_file_is_found_whoever_made_it() {
    let lines = |file: &str| recorded::lines(support::root().join(file).to_str().unwrap()).unwrap();
    assert_eq!(lines("fixtures/ten-hops/capture.pcap"), ["203.0.113.9 by rtrace: 11 hops"]);
    assert_eq!(lines("fixtures/icmp/capture.pcap").len(), 1);
    // Of a run of several targets each is one.
    let directory = support::scratch();
    let file = support::path_in(&directory, "several.pcapng");
    let file = file.to_str().unwrap();
    let targets = ["203.0.113.9", "203.0.113.77"];
    let watch = ["watch", "--simulate", "--report", "-c", "3", "--pcap", file];
    assert_eq!(support::run(&[&watch[..], &targets].concat()).status, 0);
    assert_eq!(lines(file), ["203.0.113.9 by rtrace: 10 hops", "203.0.113.77 by rtrace: 8 hops"]);
}

/// Where `cargo test` puts the examples that it builds with everything else.
fn built(name: &str) -> Option<PathBuf> {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent()?.parent()?.join("examples").join(name);
    built.exists().then_some(built)
}

#[test]
fn the_live_one_traces_a_real_network() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    let Some(live) = built("live") else {
        assert!(std::env::var_os("CI").is_none(), "no examples were built");
        eprintln!("SKIPPED: the live example was not built: run all of cargo test");
        return;
    };
    let said = text(&run(lab.on("src", live).arg("203.0.113.9")).stdout);
    assert!(said.ends_with("target reached: true\n"), "{said}");
    assert!(said.contains("10.0.1.2 after"), "{said}");
}
