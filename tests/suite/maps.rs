//! `rtrace paths` as a program: its forms, replays, runs that are gone on with, comparisons, and what it refuses.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::paths::{plain, stages};
use crate::support::{golden, path_in, replay, root, run, scratch};

/// Every form of a map that has everything; a drawing and a text of one with sixteen branches.
#[test]
fn maps_are_as_they_were() {
    let mixed = ["text", "json", "dot", "mermaid", "svg"].map(|form| ("tests/maps/mixed", form));
    let wide = ["text", "svg"].map(|form| ("benches/topologies/thirty-one", form));
    for (network, form) in mixed.into_iter().chain(wide) {
        let file = root().join(network).with_extension("toml");
        let file = file.to_str().unwrap();
        let drawn = run(&["paths", "--simulate", file, "--format", form, "203.0.113.9"]);
        assert_eq!((drawn.status, drawn.stderr.as_str()), (0, ""), "{network} {form}");
        let name = file.rsplit('/').next().unwrap().replace("toml", form);
        golden(&format!("maps/{name}"), &drawn.stdout);
    }
}

/// The schema of maps.
pub fn validator() -> jsonschema::Validator {
    let schema = fs::read_to_string(root().join("schema/paths.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[test]
fn every_form_replays_and_the_document_is_as_its_schema_says() {
    let validator = validator();
    let dir = scratch();
    let recording = path_in(&dir, "paths.pcapng");
    let file = recording.to_str().unwrap();
    for kind in [
        &["-4"][..],
        &["-6"],
        &["-I"],
        &["-6", "-I"],
        &["-T"],
        &["-6", "-T"],
        &["--mda", "--confidence", "99.9"],
    ] {
        for form in ["text", "json", "dot", "mermaid", "svg"] {
            let args = ["paths", "--simulate", "--format", form, "--pcap", file, "target.example"];
            let live = run(&[&args[..], kind].concat());
            assert_eq!((live.status, live.stderr.as_str()), (0, ""), "{kind:?} {form}");
            let again = replay(&recording, &["--format", form]);
            assert_eq!((&again.stdout, again.status), (&live.stdout, 0), "{kind:?} {form}");
            if form == "json" {
                let document: Value = serde_json::from_str(&live.stdout).unwrap();
                let faults: Vec<_> =
                    validator.iter_errors(&document).map(|e| e.to_string()).collect();
                assert!(faults.is_empty(), "{kind:?}: {faults:#?}");
                assert_eq!(document["nodes"].as_array().unwrap().len(), 12, "{kind:?}");
            }
        }
    }
}

/// A budget that was spent is resumed: with the same flows, in one recording that replays as a whole.
#[test]
fn a_run_is_gone_on_with() {
    let dir = scratch();
    let [first, whole] = ["first.pcapng", "whole.pcapng"].map(|name| path_in(&dir, name));
    let (from, to) = (first.to_str().unwrap(), whole.to_str().unwrap());
    for kind in [&["-4"][..], &["-6"], &["-I"], &["-T"]] {
        let run_on = |more: &[&str]| {
            let args = ["paths", "--simulate", "--json"];
            let done = run(&[&args[..], more, kind, &["target.example"]].concat());
            assert!(done.status <= 1 && done.stderr.is_empty(), "{kind:?}: {}", done.stderr);
            (serde_json::from_str::<Value>(&done.stdout).unwrap(), done.stdout)
        };
        let (part, _) = run_on(&["--max-probes", "30", "--pcap", from]);
        assert_eq!(
            (&part["completion"], &part["totals"]["sent"]),
            (&"max-probes".into(), &30.into())
        );
        let (all, text) = run_on(&["--resume", from, "--max-probes", "500", "--pcap", to]);
        assert_eq!(all["completion"], "complete", "{kind:?}");
        assert_eq!(all["nodes"].as_array().unwrap().len(), 12, "{kind:?}");
        assert!(all["totals"]["sent"].as_u64().unwrap() > 60);
        assert_eq!(replay(&whole, &["--json"]).stdout, text, "{kind:?}");
    }
    for (more, words) in [
        (&["--pcap", from][..], "the name of another file"),
        (&["-t", "4"], "leave out the options that differ"),
        (&["--sport", "7"], "leave out the options that differ"),
    ] {
        let args = ["paths", "--simulate", "target.example", "--resume", from];
        let failed = run(&[&args[..], more].concat());
        assert!(failed.status == 2 && failed.stderr.contains(words), "{more:?}: {}", failed.stderr);
    }
}

/// Of maps, sets of routers and links are compared; what another run may have missed is no change.
#[test]
fn maps_are_compared() {
    let dir = scratch();
    let record = |name: &str, topology: &str| {
        let [network, file] = ["toml", "pcapng"].map(|end| path_in(&dir, &format!("{name}.{end}")));
        fs::write(&network, topology).unwrap();
        let args = ["paths", "--simulate", network.to_str().unwrap(), "--json", "203.0.113.9"];
        let done = run(&[&args[..], &["--pcap", file.to_str().unwrap()]].concat());
        let document = path_in(&dir, &format!("{name}.json"));
        fs::write(&document, done.stdout).unwrap();
        [file, document]
    };
    let [before, document] = record("before", &stages(1, &[1, 4, 8, 1], plain));
    let diff = |before: &Path, after: &Path| {
        let done = run(&["diff", before.to_str().unwrap(), after.to_str().unwrap()]);
        (done.status, done.stdout + &done.stderr)
    };
    assert_eq!(diff(&before, &document).0, 0);
    for seed in 2..12 {
        let [after, _] = record("after", &stages(seed, &[1, 4, 8, 1], plain));
        let (status, said) = diff(&before, &after);
        assert_eq!(status, 0, "{seed}: {said}");
    }
    let [after, _] = record("less", &stages(1, &[1, 4, 6, 1], plain));
    let (status, said) = diff(&before, &after);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(" 3  removed: 10.3.0.7 (p < 0.001)\n"), "{said}");
    assert!(said.contains(" have changed (by chance alone: p < 0.001)\n"), "{said}");
    let (_, said) = diff(&after, &document);
    assert!(said.contains(" 3  added: 10.3.0.8 (p < 0.001)\n"), "{said}");
    let trace = path_in(&dir, "trace.json");
    fs::write(&trace, run(&["--simulate", "--json", "203.0.113.9"]).stdout).unwrap();
    let (status, said) = diff(&before, &trace);
    assert!(status == 2 && said.contains("compare two of the same kind"), "{said}");
}

/// Beside routers that may be one, those at other hops that count with them.
#[test]
fn who_shares_a_counter_is_named() {
    let dir = scratch();
    let network = path_in(&dir, "shared.toml");
    for (stages_that_share, words) in
        [(2..=3, "so does #4 at another hop"), (1..=3, "so do #1,#4 at other hops")]
    {
        let line = |stage, _| if stages_that_share.contains(&stage) { ", counter = 1" } else { "" };
        fs::write(&network, stages(1, &[1, 2, 1, 1], line)).unwrap();
        let done = run(&["paths", "-n", "--simulate", network.to_str().unwrap(), "203.0.113.9"]);
        let said = format!("#2-3 count their packets together, but {words}: whether");
        assert!(done.stdout.contains(&said), "{}", done.stdout);
    }
}

/// Asked for on the command line; a configuration file may have it for traces.
#[test]
fn a_recording_of_all_paths_is_refused_what_all_paths_are_refused() {
    let dir = scratch();
    let [recording, config] = ["a.pcapng", "config.toml"].map(|name| path_in(&dir, name));
    let live =
        run(&["paths", "-n", "--simulate", "--pcap", recording.to_str().unwrap(), "203.0.113.9"]);
    for option in ["--inspect", "--back", "--extensions", "--mtu", "--queries=3", "--flow=paris"] {
        let refused = replay(&recording, &[option]);
        let name = option.split('=').next().unwrap();
        let said = format!("rtrace: {name} is not for rtrace paths: leave it out\n");
        assert_eq!((refused.status, refused.stderr), (2, said));
    }
    fs::write(&config, "back = true\nextensions = true\n").unwrap();
    let again = replay(&recording, &["--config", config.to_str().unwrap()]);
    assert_eq!((again.status, again.stdout), (live.status, live.stdout));
}

#[test]
fn what_paths_cannot_do_is_said() {
    for (args, words) in [
        (&["paths", "-q", "3", "--simulate", "203.0.113.9"][..], "-q is not for rtrace paths"),
        (&["paths", "--ack", "--simulate", "203.0.113.9"], "UDP, ICMP echo or TCP SYN"),
        (&["paths", "--confidence", "100", "--simulate", "203.0.113.9"], "50 to 99.9999"),
        (
            &["paths", "--format", "csv", "--simulate", "203.0.113.9"],
            "text, json, dot, mermaid and svg",
        ),
        (&["--format", "dot", "--simulate", "203.0.113.9"], "ndjson, csv, atlas and scamper"),
        (&["paths", "--rate", "0", "--simulate", "203.0.113.9"], "from 0.1 to 1000000"),
    ] {
        let failed = run(args);
        assert_eq!((failed.status, failed.stdout.as_str()), (2, ""), "{args:?}");
        assert!(failed.stderr.contains(words), "{args:?}: {}", failed.stderr);
    }
}
