//! What goes to stderr: a line, whatever is hostile in what it quotes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Output;

use super::check_characters;
use crate::live::lab::{Lab, text};
use crate::support::{path_in, rtrace, scratch};

/// Names that no file should have, and one of a file that is there; the last is no UTF-8.
const NAMES: [&[u8]; 3] = [
    "e\x1b[2J\u{202e}\n x".as_bytes(),
    "\u{301}\u{2028}\t\u{9b}31m\u{feff}".as_bytes(),
    b"\xff\x1b]0;x\x07",
];

/// Fails unless it ended with a harmless line on stderr.
fn check_line(what: &[OsString], output: &Output) {
    let said = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    check_characters(&format!("{what:?}"), &said);
    check_characters(&format!("{what:?}"), &String::from_utf8(output.stdout.clone()).unwrap());
    assert_eq!(said.lines().count(), 1, "{what:?}: {said}");
    assert!(said.starts_with("rtrace: "), "{what:?}: {said}");
    assert_eq!(output.status.code(), Some(2), "{what:?}: {said}");
}

fn fails(args: &[&OsStr]) {
    let output = rtrace().args(args).output().unwrap();
    check_line(&args.iter().map(Into::into).collect::<Vec<OsString>>(), &output);
}

#[test]
fn hostile_arguments_are_quoted_harmless() {
    let dir = scratch();
    for name in NAMES {
        let path = dir.path().join("none").join(OsStr::from_bytes(name));
        let (path, name) = (path.as_os_str(), OsStr::from_bytes(name));
        let joined = |option: &str| {
            let mut joined = OsString::from(option);
            joined.push(path);
            joined
        };
        let of = |text| OsStr::new(text);
        for args in [
            &[name][..],
            &[of("replay"), path],
            &[of("show"), path, of("1")],
            &[of("diff"), path, path],
            &[of("watch"), of("--replay"), path],
            &[of("watch"), of("--rounds"), name, of("192.0.2.1")],
            &[of("paths"), of("--simulate"), of("192.0.2.1"), of("--resume"), path],
            &[of("paths"), of("--confidence"), name, of("192.0.2.1")],
            &[of("config"), of("--config"), path],
            &[of("--config"), path, of("--simulate"), of("192.0.2.1")],
            &[of("--simulate"), path, of("192.0.2.1")],
            &[of("--simulate"), of("192.0.2.1"), of("--pcap"), path],
            &[of("--simulate"), of("192.0.2.1"), &joined("--stats=")],
            &[of("--simulate"), of("-A"), of("--asn-db"), path, of("192.0.2.1")],
            &[of("--simulate"), of("--geo-db"), path, of("192.0.2.1")],
            &[of("--format"), name, of("192.0.2.1")],
            &[of("--clock"), name, of("192.0.2.1")],
            &[of("-w"), name, of("192.0.2.1")],
            &[of("-s"), name, of("192.0.2.1")],
            &[of("-i"), name, of("127.0.0.1")],
            &[of("--simulate"), of("192.0.2.1"), of("1400"), name],
            &[&joined("--unknown="), of("192.0.2.1")],
        ] {
            fails(args);
        }
    }
}

#[test]
fn hostile_files_are_quoted_harmless() {
    let dir = scratch();
    let raw = "\x1b[2J\u{202e}\u{2028}\u{9b}31m\u{301}";
    let pcap_of_other = [0x0a0d_0d0a_u32.to_le_bytes().as_slice(), raw.as_bytes()].concat();
    for name in NAMES {
        let path = dir.path().join(OsStr::from_bytes(name));
        let write = |bytes: &[u8]| fs::write(&path, bytes).unwrap();
        let file = path.as_os_str();
        let of = |text| OsStr::new(text);
        for text in [
            raw.to_owned(),
            format!("\"{raw}\" = 1\n"),
            format!("x = \"{raw}\n"),
            format!("# {raw}\n[{raw}]\n"),
            "\"e\\u001b[2J\\u202e\" = 7\n".to_owned(),
            "source = \"\\u001b[2J\\u202e\"\n".to_owned(),
            "[[hop]]\naddress = \"\\u001b[2J\\u202e\"\n".to_owned(),
            "format = \"\\u001b[2J\\u202e\"\n".to_owned(),
        ] {
            write(text.as_bytes());
            fails(&[of("--simulate"), file, of("192.0.2.1")]);
            fails(&[of("--config"), file, of("--simulate"), of("192.0.2.1")]);
            fails(&[of("config"), of("--config"), file]);
            fails(&[of("replay"), file]);
            fails(&[of("--simulate"), of("--geo-db"), file, of("192.0.2.1")]);
        }
        for document in [
            format!("{{\"format\":\"{}\"}}", "\\u001b[2J\\u202e"),
            format!("{{\"format\":\"{raw}\"}}"),
            "{\"format\":\"rtrace-trace\",\"asked\":{\"flow\":\"\\u001b[2J\\u202e\"}}".to_owned(),
            "{\"format\":\"rtrace-paths\",\"nodes\":\"\\u001b[2J\\u202e\"}".to_owned(),
            format!("{{{raw}"),
        ] {
            write(document.as_bytes());
            fails(&[of("diff"), file, file]);
        }
        write(&pcap_of_other);
        fails(&[of("replay"), file]);
        fails(&[of("diff"), file, file]);
        fs::remove_file(&path).unwrap();
    }
    // Where it is said that there is none, and what is in it.
    let home = path_in(&dir, "home\x1b[2J\u{202e}");
    for there in [false, true] {
        if there {
            fs::create_dir_all(home.join("rtrace")).unwrap();
            fs::write(home.join("rtrace/config.toml"), "columns = \"LS\"\nqueries = 2\n").unwrap();
        }
        let said = rtrace().env("XDG_CONFIG_HOME", &home).arg("config").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        check_characters("config", &said);
        assert!(said.contains("home?[2J?/rtrace/config.toml"), "{said}");
    }
}

/// Linux lets an interface have almost any name.
#[test]
fn hostile_interfaces_are_quoted_harmless() {
    let Some(lab) = Lab::up("lo") else { return };
    let name = "e\x1b[2J\u{202e}\u{301}x";
    let ip = |args: &[&str]| {
        let done = lab.on("src", "ip").args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", text(&done.stderr));
    };
    ip(&["link", "add", "name", name, "type", "veth", "peer", "name", "far0"]);
    let fails = |args: &[&str]| {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        check_line(&args, &lab.rtrace(&args).output().unwrap());
    };
    fails(&["-i", name, "192.0.2.9"]); // it is down
    fails(&["-i", "none", "192.0.2.9"]); // and one of those that there are
    ip(&["link", "set", name, "up"]);
    ip(&["link", "set", "far0", "up"]);
    fails(&["-i", name, "192.0.2.9"]); // without an address
    ip(&["address", "add", "192.0.2.1/24", "dev", name]);
    ip(&["neighbour", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", name]);
    fails(&["-i", name, "--clock", "hardware", "192.0.2.9"]);
    fails(&["-i", name, "192.0.2.9", "1501"]);
    fails(&["-i", name, "fe80::9%lo"]);
    let (file, facts) = (lab.file("out.pcapng"), lab.file("facts.json"));
    let mut facts_to = OsString::from("--stats=");
    facts_to.push(&facts);
    for stats in [OsString::from("--stats"), facts_to] {
        let mut command =
            lab.rtrace(["-n", "-w", "0.1", "-m", "2", "-q", "1", "192.0.2.9", "--pcap"]);
        let output = command.arg(&file).arg(stats).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        check_characters("stdout", &text(&output.stdout));
        check_characters("stderr", &text(&output.stderr));
    }
    let facts = fs::read_to_string(facts).unwrap();
    check_characters("facts", &facts);
    assert!(facts.contains("\"interface\": \"e?[2J??x\""), "{facts}");
    let recorded = fs::read(file).unwrap();
    assert!(!recorded.windows(name.len()).any(|window| window == name.as_bytes()));
    assert!(recorded.windows(8).any(|window| window == b"e?[2J??x"));
}
