//! What somebody who has taken over a confined process can still do: tried from inside.
//!
//! What is tried confines the process for good. So each attempt is a run of this test binary that does nothing but
//! [`attempt`], and ends with what came of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{UnlinkatFlags, getppid, unlinkat};
use rtrace::link::live::{Clock, LiveConfig, LiveLink, LiveTarget, Stamping, route};
use rtrace::probe::ProbeType;
use rtrace::sandbox::{self, Profile};
use rtrace::wire::Evidence;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::live::lab::skip;
use crate::support::{path_in, rtrace, run, scratch};

/// By which an attempt learns what to try, and with what.
const TRIES: &str = "RTRACE_TEST_TRIES";
const WITH: &str = "RTRACE_TEST_WITH";

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Done,
    /// This error.
    Denied(i32),
    Killed(i32),
}

const NOT_PERMITTED: End = End::Denied(nix::libc::EPERM);
const NO_ACCESS: End = End::Denied(nix::libc::EACCES);
const BAD_CALL: End = End::Killed(nix::libc::SIGSYS);

/// Confines a process and has it try something.
fn tried(what: &str, with: &Path) -> End {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "sandbox::attempt", "--ignored", "--nocapture"]);
    let output = command.env(TRIES, what).env(WITH, with).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if let Some(signal) = output.status.signal() {
        return End::Killed(signal);
    }
    let errno = said.lines().find_map(|line| line.strip_prefix("denied: ")?.parse().ok());
    match (errno, said.contains("done\n")) {
        (Some(errno), _) => End::Denied(errno),
        (None, true) => End::Done,
        (None, false) => panic!("{what} has no end: {output:?}"),
    }
}

/// Whether this kernel restricts files at all.
fn has_landlock() -> bool {
    run(&["--version", "--verbose"]).stdout.contains("Landlock: ABI")
}

#[test]
#[ignore = "confines the process that it runs in: the other tests start it"]
fn attempt() {
    let Ok(what) = std::env::var(TRIES) else { return };
    let with = PathBuf::from(std::env::var_os(WITH).unwrap());
    let end = match attempted(&what, &with) {
        Ok(()) => "done\n".to_owned(),
        Err(error) => format!("denied: {}\n", error.raw_os_error().unwrap_or(-1)),
    };
    io::stderr().write_all(end.as_bytes()).unwrap();
    std::process::exit(0);
}

fn confined(profile: &Profile<'_>) {
    sandbox::enter(profile).unwrap();
}

fn attempted(what: &str, with: &Path) -> io::Result<()> {
    for kind in [files, sockets, looking_up, processes, capture] {
        if kind(what, with)?.is_some() {
            return Ok(());
        }
    }
    panic!("{what} is not known")
}

/// What has to do with files.
fn files(what: &str, with: &Path) -> io::Result<Option<()>> {
    let nothing = Profile::default();
    let end: io::Result<()> = match what {
        "open" => {
            confined(&nothing);
            File::open(with).map(drop)
        }
        "open another" => {
            let directory = File::open(with.parent().unwrap())?;
            confined(&Profile { rotates_in: Some(directory.as_fd()), ..nothing });
            File::open("/etc/passwd").map(drop)
        }
        "rotate elsewhere" => {
            let directory = File::open(with.parent().unwrap())?;
            confined(&Profile { rotates_in: Some(directory.as_fd()), ..nothing });
            File::create(with.parent().unwrap().parent().unwrap().join("rtrace-test-elsewhere"))
                .map(drop)
        }
        "rotate" => {
            let directory = File::open(with.parent().unwrap())?;
            confined(&Profile { rotates_in: Some(directory.as_fd()), ..nothing });
            File::create(with)?.write_all(b"begun")?;
            Ok(unlinkat(&directory, with.file_name().unwrap(), UnlinkatFlags::NoRemoveDir)?)
        }
        _ => return Ok(None),
    };
    end.map(Some)
}

/// What has to do with other hosts.
fn sockets(what: &str, _: &Path) -> io::Result<Option<()>> {
    let nothing = Profile::default();
    let end: io::Result<()> = match what {
        "connect" => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            confined(&Profile { network: Some(Evidence::Captured), serves: true, ..nothing });
            TcpStream::connect(listener.local_addr()?).map(drop)
        }
        "listen" => {
            confined(&Profile { network: Some(Evidence::Captured), serves: true, ..nothing });
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)
        }
        "a socket" => {
            confined(&Profile { network: Some(Evidence::Captured), ..nothing });
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)
        }
        _ => return Ok(None),
    };
    end.map(Some)
}

/// What the process that looks up names might try.
fn looking_up(what: &str, with: &Path) -> io::Result<Option<()>> {
    let looking_up = Profile { looks_up: Some(vec![53]), ..Profile::default() };
    let end: io::Result<()> = match what {
        "a raw socket, looking up" => {
            confined(&looking_up);
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).map(drop)
        }
        "look up" => {
            let servers = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let server = servers.local_addr()?;
            confined(&Profile { looks_up: Some(vec![server.port()]), ..looking_up.clone() });
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            File::open("/etc/hosts")?;
            TcpStream::connect(server).map(drop)
        }
        "connect elsewhere, looking up" => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            confined(&looking_up);
            TcpStream::connect(listener.local_addr()?).map(drop)
        }
        "listen, looking up" => {
            confined(&looking_up);
            UnixListener::bind(with.with_extension("socket")).map(drop)
        }
        "open, looking up" => {
            confined(&looking_up);
            File::open(with).map(drop)
        }
        "passwords, looking up" => {
            confined(&looking_up);
            File::open("/etc/passwd").map(drop)
        }
        "write, looking up" => {
            confined(&looking_up);
            File::create(with).map(drop)
        }
        "exec, looking up" => {
            confined(&looking_up);
            Err(Command::new("/bin/true").exec())
        }
        _ => return Ok(None),
    };
    end.map(Some)
}

/// What has to do with this process and others.
fn processes(what: &str, _: &Path) -> io::Result<Option<()>> {
    let nothing = Profile::default();
    let end: io::Result<()> = match what {
        "exec" => {
            confined(&nothing);
            Err(Command::new("/bin/true").exec())
        }
        "spawn" => {
            confined(&nothing);
            Command::new("/bin/true").status().map(drop)
        }
        "ptrace" => {
            confined(&nothing);
            Ok(ptrace::traceme()?)
        }
        "mount" => {
            confined(&nothing);
            Ok(mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
        }
        "a namespace" => {
            confined(&nothing);
            Ok(unshare(CloneFlags::CLONE_NEWUSER)?)
        }
        "signal the parent" => {
            confined(&nothing);
            Ok(kill(getppid(), Signal::SIGCONT)?)
        }
        "stop itself" => {
            confined(&nothing);
            // What Ctrl-Z comes to, but for a signal that goes unnoticed.
            Ok(raise(Signal::SIGCONT)?)
        }
        "a thread" => {
            confined(&nothing);
            thread::Builder::new().spawn(|| vec![0_u8; 9 << 20].len())?.join().unwrap();
            Ok(())
        }
        _ => return Ok(None),
    };
    end.map(Some)
}

/// What has to do with the packet socket.
fn capture(what: &str, _: &Path) -> io::Result<Option<()>> {
    let nothing = Profile::default();
    let end: io::Result<()> = match what {
        "detach" => {
            let link = link();
            let socket = packet_socket();
            confined(&Profile { network: Some(Evidence::Captured), ..nothing });
            drop(link);
            SockRef::from(&socket).detach_filter()
        }
        "detach without the sandbox" => {
            let _link = link();
            SockRef::from(&packet_socket()).detach_filter()
        }
        "rebind" => {
            let _link = link();
            let socket = packet_socket();
            confined(&Profile { network: Some(Evidence::Captured), ..nothing });
            // To whatever: it is the call that counts.
            SockRef::from(&socket).bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        }
        _ => return Ok(None),
    };
    end.map(Some)
}

/// A live link on the loopback interface, in a namespace of its own. Nothing is sent.
fn link() -> LiveLink {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success());
    let target = Ipv4Addr::LOCALHOST.into();
    let route = route::resolve(target, None, None, None).unwrap();
    let config = LiveConfig {
        targets: vec![LiveTarget { route, address: target, source_port: None }],
        probe: ProbeType::Udp,
        any_source_port: false,
        confirming: false,
        alone: false,
        any: false,
        clock: Clock::Kernel,
        survive_link_down: false,
    };
    LiveLink::open(&config, Stamping::ask()).unwrap()
}

/// The first packet socket that this process has, as somebody would find it who looks for one.
fn packet_socket() -> Socket {
    let numbers = (3..64).map(|number| format!("/proc/self/fd/{number}"));
    for (number, path) in (3..).zip(numbers) {
        let is_socket =
            fs::read_link(path).is_ok_and(|to| to.display().to_string().starts_with("socket:"));
        if is_socket {
            // SAFETY: it is open, as the link shows.
            #[expect(unsafe_code, reason = "a descriptor of the link's own is borrowed")]
            let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            let socket = Socket::from(borrowed.try_clone_to_owned().unwrap());
            if socket.domain().unwrap() == Domain::PACKET {
                return socket;
            }
        }
    }
    panic!("there is no packet socket")
}

#[test]
fn nothing_is_to_be_had_that_the_profile_does_not_name() {
    let directory = scratch();
    let file = path_in(&directory, "secret");
    fs::write(&file, "secret").unwrap();
    for (what, end) in [
        ("open", NOT_PERMITTED),
        ("connect", NOT_PERMITTED),
        ("listen", NOT_PERMITTED),
        ("a socket", NOT_PERMITTED),
        ("a raw socket, looking up", NOT_PERMITTED),
        ("write, looking up", NOT_PERMITTED),
        ("exec", BAD_CALL),
        ("exec, looking up", BAD_CALL),
        ("spawn", NOT_PERMITTED),
        ("ptrace", BAD_CALL),
        ("mount", BAD_CALL),
        ("a namespace", BAD_CALL),
        ("signal the parent", NOT_PERMITTED),
    ] {
        assert_eq!(tried(what, &file), end, "{what}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "secret");
}

#[test]
fn what_the_profile_names_is_to_be_had() {
    let directory = scratch();
    let file = path_in(&directory, "out");
    for what in ["rotate", "look up", "stop itself", "a thread"] {
        assert_eq!(tried(what, &file), End::Done, "{what}");
    }
    assert!(!file.exists(), "it was removed");
}

#[test]
fn files_are_those_that_are_named() {
    if !has_landlock() {
        return skip("this kernel has no Landlock: files are not restricted");
    }
    let directory = scratch();
    let below = path_in(&directory, "below");
    fs::create_dir(&below).unwrap();
    let file = below.join("out");
    fs::write(&file, "secret").unwrap();
    for what in [
        "open another",
        "rotate elsewhere",
        "open, looking up",
        "connect elsewhere, looking up",
        "listen, looking up",
    ] {
        assert_eq!(tried(what, &file), NO_ACCESS, "{what}");
    }
    // Others may: it tells them nothing that they could not know.
    if nix::unistd::geteuid().is_root() {
        assert_eq!(tried("passwords, looking up", &file), NO_ACCESS);
    }
}

#[test]
fn the_filter_of_the_capture_stays_and_so_does_the_socket() {
    if !nix::unistd::geteuid().is_root() {
        return skip("needs root");
    }
    for what in ["detach", "detach without the sandbox", "rebind"] {
        assert_eq!(tried(what, Path::new("/")), NOT_PERMITTED, "{what}");
    }
}

#[test]
fn the_version_says_what_is_active() {
    let said = run(&["--version", "--verbose"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    for words in ["capabilities: none\n", "no_new_privs: on\n", " system calls allowed\n"] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
    if !has_landlock() {
        skip("this kernel has no Landlock: files are not restricted");
    }
    assert!(run(&["--version"]).stdout.lines().count() == 1);
}

#[test]
fn doing_without_is_said() {
    let plain = run(&["--simulate", "203.0.113.9"]);
    let line = "rtrace: --no-sandbox: system calls and files are not restricted\n";
    for args in [
        ["--no-sandbox", "--simulate", "203.0.113.9"],
        ["--simulate", "203.0.113.9", "--no-sandbox"],
    ] {
        let free = run(&args);
        assert_eq!((free.stdout, free.stderr.as_str()), (plain.stdout.clone(), line));
    }
    assert_eq!(plain.stderr, "");
    let directory = scratch();
    let file = path_in(&directory, "out.pcap");
    run(&["--simulate", "203.0.113.9", "--pcap", file.to_str().unwrap()]);
    let replay = rtrace().arg("replay").arg(&file).arg("--no-sandbox").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&replay.stderr), line);
}
