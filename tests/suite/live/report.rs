//! Reports of rounds: beside mtr in the same lab, from their recordings, and interrupted.

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::lab::{Lab, RTRACE, Running, TARGET, replay, run, skip, text, trace};

const LETTERS: &str = "LDRSNBAWVGJMXI";

/// What mtr and rtrace write of as many rounds of ICMP echo in the same lab.
fn both(lab: &Lab, theirs: &[&str], ours: &[&str]) -> (String, String) {
    let mut mtr = lab.on("src", "mtr");
    mtr.args(["-n", "-c", "4", "-i", "0.25", "-G", "1", TARGET]).args(theirs).env("TZ", "UTC");
    let common = ["report", "-n", "-I", "--rounds", "4", "--interval", "0.25", TARGET];
    (text(&run(&mut mtr).stdout), trace(lab.rtrace(common).args(ours)))
}

fn has_mtr() -> bool {
    let found = Command::new("mtr").arg("--version").output().is_ok();
    if !found {
        skip("needs mtr");
    }
    found
}

/// A line as far as it does not depend on the moment: digits of the start, times of a hop.
fn timeless(line: &str, at: usize) -> String {
    let mut kept: Vec<char> = line.chars().collect();
    let start = if line.starts_with("Start") { 0 } else { at };
    for c in kept.iter_mut().skip(start).filter(|c| c.is_ascii_digit()) {
        *c = '0';
    }
    kept.into_iter().collect()
}

#[test]
fn the_text_is_mtr_s() {
    for kind in ["silent-hop", "silent-target"] {
        let Some(lab) = Lab::up(kind).filter(|_| has_mtr()) else { return };
        for (theirs, ours) in [
            (&["-r"][..], &[][..]),
            (&["-r", "-w"], &["--wide"]),
            (&["-r", "-o", LETTERS], &["--columns", LETTERS]),
        ] {
            let (mtr, rtrace) = both(&lab, theirs, ours);
            // Below the table stands what mtr does not say.
            let table = rtrace.lines().filter(|line| !line.starts_with("  no answer since"));
            assert_eq!(mtr.lines().count(), table.count(), "{mtr}\n{rtrace}");
            // The name of the host differs, and with it where the titles stand if it is wide.
            let begins = |titles: &str| titles.find("Loss%").unwrap();
            let hosts = rtrace.lines().nth(2).unwrap().find("0.0%").unwrap() + 4;
            for (index, (mtr, rtrace)) in mtr.lines().zip(rtrace.lines()).enumerate() {
                if index == 1 {
                    assert_eq!(mtr[begins(mtr)..], rtrace[begins(rtrace)..]);
                    continue;
                }
                assert_eq!(timeless(mtr, hosts), timeless(rtrace, hosts));
            }
        }
    }
}

#[test]
fn the_json_has_what_mtr_s_has() {
    let Some(lab) = Lab::up("silent-hop").filter(|_| has_mtr()) else { return };
    let (mtr, rtrace) = both(&lab, &["--json", "-o", LETTERS], &["--json"]);
    let [mtr, rtrace]: [Value; 2] = [&mtr, &rtrace].map(|text| serde_json::from_str(text).unwrap());
    let hubs = |of: &Value| of["report"]["hubs"].as_array().unwrap().clone();
    let pairs = [(mtr["report"]["mtr"].clone(), rtrace["report"]["mtr"].clone())];
    for (theirs, ours) in pairs.into_iter().chain(hubs(&mtr).into_iter().zip(hubs(&rtrace))) {
        for (field, value) in theirs.as_object().unwrap() {
            let same = |is: fn(&Value) -> bool| is(value) == is(&ours[field]);
            let kinds = same(Value::is_u64) && same(Value::is_f64) && same(Value::is_string);
            assert!(kinds, "{field}: {value} {}", ours[field]);
        }
        for field in ["count", "host", "Loss%", "Snt", "Rcv", "Drop", "dst", "tests", "tos"] {
            assert_eq!(ours[field], theirs[field], "{field}");
        }
    }
    assert_eq!(hubs(&mtr).len(), hubs(&rtrace).len());
}

#[test]
fn the_table_is_mtr_s() {
    let Some(lab) = Lab::up("silent-hop").filter(|_| has_mtr()) else { return };
    let (mtr, rtrace) = both(&lab, &["--csv"], &["--format", "csv"]);
    assert_eq!(mtr.lines().count(), rtrace.lines().count(), "{mtr}\n{rtrace}");
    for (index, (theirs, ours)) in mtr.lines().zip(rtrace.lines()).enumerate() {
        let [theirs, mut ours]: [Vec<&str>; 2] =
            [theirs, ours].map(|line| line.split(',').collect());
        // Its last three columns are not mtr's.
        let last = ours.len() - usize::from(index == 0);
        ours.drain(last - 3..last);
        assert_eq!(theirs.len(), ours.len());
        let same = |index: &usize| ![1, 9, 10, 11, 12, 13].contains(index);
        for field in (0..theirs.len()).filter(|field| index == 0 || same(field)) {
            assert_eq!(theirs[field], ours[field], "{mtr}\n{rtrace}");
        }
    }
}

#[test]
fn a_recording_replays_to_the_report() {
    for kind in ["ecmp", "rate-limited", "silent-hop", "nat"] {
        let Some(lab) = Lab::up(kind) else { return };
        let file = lab.file("out.pcapng");
        for (options, look) in [
            (&["-q3"][..], &[][..]),
            (&["-I"], &["--json"]),
            (&["-6", "-T"], &["--format", "csv"]),
            (&["--flow", "paris", "-e"], &["--wide", "--columns", "LSTEPI"]),
        ] {
            let mut command = lab.rtrace(["report", "--rounds", "4", "--interval", "0.1", TARGET]);
            if options.contains(&"-6") {
                command = lab.rtrace(["report", "--rounds", "4", "--interval", "0.1", "dst.lab"]);
            }
            let live = trace(command.args(options).args(look).arg("--pcap").arg(&file));
            assert_eq!(replay(&file, look), live, "{kind} {options:?} {look:?}");
        }
    }
}

#[test]
fn an_interrupted_report_says_what_is_known_of_the_first_round() {
    let Some(lab) = Lab::up("silent-target") else { return };
    let file = lab.file("out.pcapng");
    let options = ["report", "-n", "--interval", "3600", TARGET, "--pcap"];
    let running = Running::start(lab.rtrace(options).arg(&file));
    let replies = || {
        let recorded = fs::read(&file).unwrap_or_default();
        recorded.windows(13).filter(|window| window == b"time exceeded").count()
    };
    while replies() < 3 {
        thread::yield_now();
    }
    running.signal("INT");
    let (report, status) = running.finish();
    assert_eq!(status.code(), Some(130), "{report}");
    let rows: Vec<String> = report.lines().skip(2).take(3).map(|row| row[..45].into()).collect();
    for (row, hop) in rows.iter().zip(1..) {
        let host = format!("10.0.{hop}.2");
        assert_eq!(*row, format!("  {hop}.|-- {host:<25}  0.0%     1"), "{report}");
    }
    let again = Command::new(RTRACE).arg("replay").arg(&file).output().unwrap();
    assert_eq!((text(&again.stdout), again.status.code()), (report, Some(1)));
}
