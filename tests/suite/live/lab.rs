//! A lab that lives as long as its value, and ways to run programs in it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::support::INVOKERS;

/// The target in every lab that has one.
pub const TARGET: &str = "203.0.113.9";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/lab.sh");

/// The program under test.
pub const RTRACE: &str = env!("CARGO_BIN_EXE_rtrace");

/// Hosts and cables of one kind of `tests/lab/lab.sh`, and a directory for what is recorded.
pub struct Lab {
    prefix: String,
    files: TempDir,
}

impl Lab {
    /// Builds a lab; `None` if that needs root and the test has to be skipped.
    pub fn up(kind: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            skip("needs root");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let lab = Self {
            prefix: format!("t{}_{count}", std::process::id()),
            files: TempDir::new().expect("a temporary directory"),
        };
        let built = Command::new(SCRIPT).args(["up", kind, &lab.prefix]).output().expect(SCRIPT);
        assert!(built.status.success(), "lab {kind}: {}", text(&built.stderr));
        Some(lab)
    }

    /// A program on one of the hosts: "src", "r1", …, "dst".
    pub fn on(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{host}", self.prefix)]).arg(program);
        command
    }

    /// rtrace on src.
    pub fn rtrace<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.on("src", RTRACE);
        // Not the developer's own sudo: the program would run as that user.
        for variable in INVOKERS {
            command.env_remove(variable);
        }
        command.args(args).env("XDG_CONFIG_HOME", "/nonexistent");
        command
    }

    /// A file in the lab's directory, which is removed with it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// How many frames have left by an interface of src.
    pub fn frames_sent(&self, interface: &str) -> u64 {
        let counter = format!("/sys/class/net/{interface}/statistics/tx_packets");
        let count = run(self.on("src", "cat").arg(counter));
        text(&count.stdout).trim().parse().expect("a count of frames")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let gone = Command::new(SCRIPT).args(["down", &self.prefix]).status();
        if !gone.is_ok_and(|status| status.success()) {
            eprintln!("lab {} could not be removed", self.prefix);
        }
    }
}

/// A running program whose output is read line by line while it runs. It is killed when dropped.
pub struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    seen: String,
}

impl Running {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a program");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, stdout, seen: String::new() }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads what it prints up to the first occurrence of `wanted`.
    pub fn wait_for(&mut self, wanted: &str) {
        let mut byte = [0];
        while !self.seen.ends_with(wanted) {
            let read = self.stdout.read(&mut byte).expect("its output");
            assert_eq!(read, 1, "no {wanted:?} came before the end of {:?}", self.seen);
            self.seen.push(char::from(byte[0]));
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        run(Command::new("kill").args(["-s", name, &pid]));
    }

    /// Waits for its end: what it printed, all told, and how it ended.
    pub fn finish(mut self) -> (String, ExitStatus) {
        self.stdout.read_to_string(&mut self.seen).expect("its output");
        let status = self.child.wait().expect("its end");
        (std::mem::take(&mut self.seen), status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// tcpdump, writing what passes an interface of src to a file until it has seen a number of frames.
pub struct Tcpdump(Child);

impl Tcpdump {
    /// Starts it, with nanosecond stamps, for this many UDP or ICMP frames; returns once it captures.
    pub fn start(lab: &Lab, interface: &str, frames: usize, file: &Path) -> Self {
        let mut command = lab.on("src", "tcpdump");
        command.args(["-i", interface, "-j", "host", "--time-stamp-precision=nano"]);
        command.args(["-c", &frames.to_string(), "-Z", "root", "-w"]).arg(file);
        let mut child = command.arg("udp or icmp").stderr(Stdio::piped()).spawn().expect("tcpdump");
        let stderr = BufReader::new(child.stderr.take().expect("its messages"));
        let mut lines = stderr.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("listening on")), "tcpdump does not capture");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    /// Waits until it has seen all its frames; the file is complete then.
    pub fn finish(mut self) {
        assert!(self.0.wait().expect("tcpdump's end").success());
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end, which must be a good one.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let Output { status, stderr, .. } = &output;
    assert!(status.success(), "{command:?} ended with {status}: {}", text(stderr));
    output
}

/// Runs rtrace to its end; returns what it printed, having checked that it reached or did not reach
/// the target, and no worse.
pub fn trace(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{command:?}: {code:?} {}", text(&output.stderr));
    text(&output.stdout)
}

/// `rtrace replay FILE`, with further arguments.
pub fn replay<S: AsRef<OsStr>>(file: &Path, args: impl IntoIterator<Item = S>) -> String {
    trace(Command::new(RTRACE).arg("replay").arg(file).args(args))
}

/// What a program printed, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Says that the present test is skipped, past the capture of output that the test harness does for
/// tests that pass. Where everything has to run, it fails instead.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a live test");
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{name} may not be skipped: {reason}"
    );
    let _ = writeln!(std::io::stderr(), "SKIPPED ({reason}): {name}");
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}
