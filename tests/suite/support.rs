//! What the tests share: running the program, and a place for files.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::test_runner::Config as ProptestConfig;

/// So many cases of a property, or as many as the environment asks for.
pub fn cases(cases: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig { cases, ..ProptestConfig::default() },
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Run {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

/// Variables that say for whom root works.
pub const INVOKERS: [&str; 3] = ["SUDO_UID", "PKEXEC_UID", "DOAS_USER"];

/// The program, to be run without a terminal.
pub fn rtrace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtrace"));
    // Not the developer's own defaults, nor their sudo.
    command.stdin(Stdio::null()).env("XDG_CONFIG_HOME", "/nonexistent");
    for variable in INVOKERS {
        command.env_remove(variable);
    }
    command
}

/// Runs the program with these arguments.
pub fn run(args: &[&str]) -> Run {
    let output = rtrace().args(args).output().unwrap();
    Run {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().expect("ended by itself"),
    }
}

/// Replays a recording.
pub fn replay(recording: &Path, args: &[&str]) -> Run {
    let path = recording.to_str().unwrap();
    run(&[&["replay", path], args].concat())
}

/// A directory for the files of one test.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The path of `name` in `dir`, as text.
pub fn path_in(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

/// A topology: hops with these lines in their tables, then the target; each link takes `one_way`.
pub fn line_of(hops: &[&str], one_way: &str, target: &str) -> String {
    let mut text = "source = \"192.0.2.2\"\n".to_owned();
    for (number, hop) in (1..).zip(hops) {
        writeln!(text, "[[hop]]\naddress = \"198.51.100.{number}\"\ndelay = \"{one_way}\"\n{hop}")
            .unwrap();
    }
    writeln!(text, "[target]\ndelay = \"{one_way}\"\n{target}").unwrap();
    text
}

/// Compares a text with the file of this name in `tests`; `BLESS=1` writes it anew.
pub fn golden(name: &str, text: &str) {
    let path = root().join("tests").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} is not as it was; now it is:\n{text}");
}
