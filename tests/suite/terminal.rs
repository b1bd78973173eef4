//! The screen on a terminal of its own: however it ends, the terminal is as it was before.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::{path_in, replay, root, rtrace, run, scratch};

const TARGET: &str = "203.0.113.9";
/// What terminals are told: to show their other screen, and to go back; to show the cursor.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// The program on a terminal, of which this is the other end.
pub struct OnTerminal {
    program: Child,
    terminal: File,
    before: Termios,
    output: String,
}

impl OnTerminal {
    /// Starts it, in a session of its own whose terminal this is.
    fn start(args: &[&str]) -> Self {
        Self::start_by(&[], args)
    }

    /// Starts it by way of another program.
    fn start_by(by: &[&str], args: &[&str]) -> Self {
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(by).arg(env!("CARGO_BIN_EXE_rtrace")).args(args);
        Self::of(command)
    }

    /// Starts a command that makes its terminal its own.
    pub fn of(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let before = tcgetattr(&pty.slave).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        command.env("TERM", "xterm").stdin(end());
        let program = command.stdout(end()).stderr(end()).spawn().unwrap();
        Self { program, terminal: File::from(pty.master), before, output: String::new() }
    }

    /// Reads on until it has written this; at the end of what it writes, fails.
    fn wait_for(&mut self, text: &str) {
        while !self.output.contains(text) {
            assert!(self.read(), "{text:?} does not come: {:?}", self.output);
        }
    }

    /// Reads some more; `false` if nobody writes any more.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.terminal.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.output += &String::from_utf8_lossy(&bytes[..count]);
                true
            }
            // What Linux says when the other end is closed.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("{error}"),
        }
    }

    fn type_keys(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.program.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end; gives what it wrote and its status.
    pub fn finish(mut self) -> (String, Option<i32>) {
        while self.read() {}
        let status = self.program.wait().unwrap().code();
        assert_eq!(tcgetattr(&self.terminal).unwrap(), self.before);
        (self.output, status)
    }
}

/// What was written after the terminal was given back.
fn after(output: &str) -> &str {
    assert_eq!(
        (output.matches(ENTER).count(), output.matches(LEAVE).count()),
        (1, 1),
        "{output:?}"
    );
    let (screen, after) = output.split_once(LEAVE).unwrap();
    let hidden = screen.rfind("\x1b[?25l").unwrap();
    let shown = screen.rfind(SHOW_CURSOR).or(after.find(SHOW_CURSOR).map(|_| usize::MAX));
    assert!(shown.is_some_and(|shown| shown > hidden), "the cursor stays hidden: {output:?}");
    after
}

/// How a screen can be left, and the status that follows.
type Leave = (fn(&mut OnTerminal), Option<i32>);
const WAYS: [Leave; 6] = [
    (|it| it.type_keys("q"), Some(0)),
    (|it| it.type_keys("\x03"), Some(130)),
    (|it| it.signal(Signal::SIGINT), Some(130)),
    (|it| it.signal(Signal::SIGTERM), Some(143)),
    (|it| it.signal(Signal::SIGHUP), Some(129)),
    (|it| it.signal(Signal::SIGQUIT), Some(131)),
];

#[test]
fn a_watch_gives_the_terminal_back() {
    for (leave, status) in WAYS {
        let mut watch = OnTerminal::start(&["watch", "--simulate", TARGET]);
        watch.wait_for("target.example");
        leave(&mut watch);
        let (output, ended) = watch.finish();
        assert_eq!((after(&output).replace(SHOW_CURSOR, ""), ended), (String::new(), status));
    }
}

#[test]
fn so_does_the_player() {
    let dir = scratch();
    let file = path_in(&dir, "out.pcapng");
    let file = file.to_str().unwrap();
    run(&["watch", "--simulate", "--rounds", "30", "--format", "csv", TARGET, "--pcap", file]);
    for (leave, status) in WAYS {
        let mut player = OnTerminal::start(&["watch", "--replay", file]);
        // The bar is there once the end is known; then a round back, and all drawn anew.
        player.wait_for("==]");
        player.type_keys("\x1b[D\x0c");
        player.wait_for("=-]");
        leave(&mut player);
        let (output, ended) = player.finish();
        assert_eq!((after(&output).replace(SHOW_CURSOR, ""), ended), (String::new(), status));
    }
}

/// The shell has it meanwhile, as it was before.
#[test]
fn ctrl_z_gives_it_back_for_a_while() {
    let stops: [fn(&mut OnTerminal); 2] =
        [|it| it.type_keys("\x1a"), |it| it.signal(Signal::SIGTSTP)];
    for stop in stops {
        let mut watch = OnTerminal::start(&["watch", "--simulate", TARGET]);
        watch.wait_for("target.example");
        stop(&mut watch);
        watch.wait_for(LEAVE);
        let pid = Pid::from_raw(watch.program.id().try_into().unwrap());
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
        assert_eq!(tcgetattr(&watch.terminal).unwrap(), watch.before);
        watch.output.clear();
        watch.signal(Signal::SIGCONT);
        watch.wait_for("target.example");
        watch.type_keys("q");
        let (output, status) = watch.finish();
        assert_eq!((after(&output).replace(SHOW_CURSOR, ""), status), (String::new(), Some(0)));
    }
}

/// Its window was closed: no signal may reach it, and nothing can be read or written any more.
#[test]
fn without_a_terminal_it_ends() {
    let mut watch = OnTerminal::start(&["watch", "--simulate", TARGET]);
    watch.wait_for("target.example");
    let OnTerminal { mut program, terminal, .. } = watch;
    drop(terminal);
    assert!(matches!(program.wait().unwrap().code(), Some(2 | 129)));
}

/// One line, before the terminal is touched.
#[test]
fn what_cannot_be_shown_is_said_in_a_line() {
    let dir = scratch();
    let empty = path_in(&dir, "empty.pcap");
    std::fs::write(&empty, "").unwrap();
    let missing = path_in(&dir, "missing.pcap");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (file, words) in [
        (text(&missing), "cannot open"),
        (text(&empty), "nothing was recorded"),
        (text(&root().join("Cargo.toml")), "not a pcap"),
        (text(dir.path()), "directory"),
    ] {
        let (output, status) = OnTerminal::start(&["watch", "--replay", &file]).finish();
        assert_eq!(status, Some(2), "{output}");
        assert!(output.contains(words) && output.lines().count() == 1, "{output:?}");
        assert!(!output.contains('\x1b'), "{output:?}");
    }
    let piped = run(&["watch", "--replay", &text(&empty)]);
    assert_eq!((piped.status, piped.stderr.lines().count()), (2, 1), "{}", piped.stderr);
    assert!(piped.stderr.contains("nothing was recorded"), "{}", piped.stderr);
}

/// A terminal that is none to draw on gets the report that a pipe gets, of a watch and of its recording.
#[test]
fn a_dumb_terminal_gets_the_report() {
    let dir = scratch();
    let recording = path_in(&dir, "a.pcapng");
    let file = recording.to_str().unwrap();
    let dumb = ["env", "TERM=dumb"];
    let report = run(&["report", "--simulate", "--pcap", file, "target.example"]).stdout;
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    for args in
        [&["watch", "--simulate", "-c", "10", "target.example"][..], &["watch", "--replay", file]]
    {
        let (output, status) = OnTerminal::start_by(&dumb, args).finish();
        assert_eq!((lines(&output), status), (lines(&report), Some(0)), "{args:?}");
        let piped = run(args);
        assert_eq!((piped.stdout, piped.status), (report.clone(), 0), "{args:?}");
    }
    let json = replay(&recording, &["--json"]).stdout;
    assert_eq!(run(&["watch", "--replay", file, "--json"]).stdout, json);
}

#[test]
fn a_recording_is_not_written_to_a_terminal() {
    for file in ["-", "/dev/stdout", "/dev/fd/1", "/dev/tty"] {
        let args = ["--simulate", "--pcap", file, "target.example"];
        let (output, status) = OnTerminal::start(&args).finish();
        let said = format!("rtrace: --pcap {file}: ");
        assert!(status == Some(2) && output.starts_with(&said), "{output}");
        assert!(output.contains("is a terminal") && output.lines().count() == 1, "{output}");
    }
    // A pipe takes it under either name, and the report goes to stderr.
    let [short, long] = ["-", "/dev/stdout"].map(|file| {
        rtrace().args(["--simulate", "--pcap", file, "target.example"]).output().unwrap()
    });
    assert_eq!((&short.stdout, &short.stderr), (&long.stdout, &long.stderr));
    assert!(short.stderr.starts_with(b"traceroute to "));
}

/// Runs a program with files of at most 1,024 octets: a recording cannot be gone on with, in the middle of a line of
/// the report.
const LITTLE_ROOM: [&str; 4] = ["sh", "-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"];

/// The report is written piece by piece, and a message may come at any time: then the cursor is in the middle of a line.
#[test]
fn a_message_begins_a_line_of_its_own() {
    let dir = scratch();
    let file = path_in(&dir, "out.pcapng");
    let file = file.to_str().unwrap();
    for kind in [&["--simulate"][..], &["trace", "--simulate", "-q", "9"]] {
        let args = [kind, &[TARGET, "--pcap", file]].concat();
        let (output, status) = OnTerminal::start_by(&LITTLE_ROOM, &args).finish();
        let (before, after) = output.split_once("rtrace: ").expect("a message");
        assert!(before.starts_with("traceroute to ") && before.ends_with('\n'), "{output:?}");
        // The report goes on below the message.
        let (message, rest) = after.split_once("\r\n").unwrap();
        assert!(message.ends_with("(os error 27)"), "{output:?}");
        assert!(rest.contains("203.0.113.9)"), "{output:?}");
        assert_eq!(status, Some(2), "{output:?}");
    }
}

/// Where the two do not meet, neither has anything of the other; in one file they do.
#[test]
fn a_message_elsewhere_leaves_the_report_as_it_is() {
    let dir = scratch();
    let file = path_in(&dir, "out.pcapng");
    let whole = run(&["--simulate", TARGET]).stdout;
    let by = |script: &str| {
        let mut command = Command::new("sh");
        let script = LITTLE_ROOM[2].replace("\"$@\"", script);
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_rtrace"), "--simulate", TARGET]);
        command.arg("--pcap").arg(&file).env("XDG_CONFIG_HOME", "/nonexistent");
        let done = command.output().unwrap();
        [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let [report, said] = by("\"$@\"");
    assert_eq!(report, whole);
    assert!(said.starts_with("rtrace: ") && said.lines().count() == 1, "{said:?}");
    let [both, _] = by("\"$@\" 2>&1");
    assert!(both.contains("\nrtrace: "), "{both:?}");
    // The line that was being written then is whole.
    assert_eq!(both.replacen(&said, "", 1), whole);
}
