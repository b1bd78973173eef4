//! Several targets over a real network: one recording that replays to the same bytes, and no target that keeps others waiting.

use super::lab::{Lab, run, text};
use crate::support::replay;

#[test]
fn several_targets_share_one_run() {
    let Some(lab) = Lab::up("ten-hops") else { return };
    run(lab.on("src", "ip").args(["route", "add", "unreachable", "198.18.0.0/15"]));
    for form in ["text", "json", "ndjson", "csv"] {
        let file = lab.file("several.pcapng");
        let mut watch = lab.rtrace(["watch", "-n", "-c", "3", "--interval", "0.2", "--report"]);
        watch.args(["--format", form, "--pcap"]).arg(&file);
        let output =
            watch.args(["203.0.113.9", "198.18.0.1", "10.0.1.2", "10.0.3.2"]).output().unwrap();
        let (said, live) = (text(&output.stderr), text(&output.stdout));
        assert!(
            said.starts_with("rtrace: 198.18.0.1 is left out: no route to 198.18.0.1"),
            "{said}"
        );
        assert_eq!((said.lines().count(), output.status.code()), (1, Some(1)), "{said}");
        for target in ["203.0.113.9", "10.0.1.2", "10.0.3.2"] {
            assert!(live.contains(target), "{live}");
        }
        let again = replay(&file, &["--format", form]);
        assert_eq!((again.status, again.stdout), (0, live), "{form} {}", again.stderr);
    }
}
