//! Users, programs and files to attack.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::{Mode, SFlag, mknod};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{geteuid, mkfifo};
use tempfile::TempDir;

use crate::live::lab::{RTRACE, run, skip};
use crate::mmdb;
use crate::support::{INVOKERS, Run};

/// The user who attacks, of whom no name is known, and another one.
pub const USER: u32 = 12_345;
pub const OTHER: u32 = 12_346;

/// What is in root's files and may not be seen elsewhere.
pub const SECRET: &str = "s3cr3t";

pub const TARGET: &str = "203.0.113.9";

/// Ways to run rtrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// As root with what sudo leaves in the environment.
    Sudo,
    /// As `USER`, from a file that is root's with the set-user-ID bit.
    SetUserId,
    /// As `USER`, from a file with `cap_net_raw`.
    FileCapability,
    /// As root, for nobody else.
    Root,
}

/// Those by whom the files are `USER`'s.
pub const USERS: [By; 3] = [By::Sudo, By::SetUserId, By::FileCapability];

/// Directories of several owners, all of them removed with it:
///
///     bin/     the program, in several guises
///     root/    only root gets in: what is attacked
///     home/    of USER
///     other/   of OTHER
///     shared/  everybody may write, sticky
///     group/   root's, and its group USER may write
pub struct World {
    at: TempDir,
}

impl World {
    /// Makes them; `None` if that takes root, and the test has to be skipped.
    pub fn new() -> Option<Self> {
        if !geteuid().is_root() {
            skip("needs root");
            return None;
        }
        let near = Path::new(RTRACE).parent().unwrap();
        let temporary = std::env::temp_dir();
        let takes_bits =
            |at: &&Path| statvfs(*at).is_ok_and(|it| !it.flags().contains(FsFlags::ST_NOSUID));
        let Some(place) = [temporary.as_path(), near].into_iter().find(takes_bits) else {
            skip("needs a file system with set-user-ID bits");
            return None;
        };
        let world = Self { at: TempDir::new_in(place).unwrap() };
        set(world.at.path(), 0, 0o755);
        for (name, owner, mode) in [
            ("bin", 0, 0o755),
            ("root", 0, 0o700),
            ("home", USER, 0o755),
            ("other", OTHER, 0o755),
            ("shared", 0, 0o1777),
            ("group", 0, 0o775),
        ] {
            world.directory(name, owner, mode);
        }
        chown(world.path("group"), None, Some(USER)).unwrap();
        for (name, mode) in [
            ("plain", 0o755),
            ("set-user-id", 0o4755),
            ("set-group-id", 0o2755),
            ("capable", 0o755),
        ] {
            let program = world.path("bin").join(name);
            // By another process: none that is forked here is to hold what is then executed.
            run(Command::new("cp").arg(RTRACE).arg(&program));
            set(&program, 0, mode);
        }
        run(Command::new("setcap").arg("cap_net_raw+ep").arg(world.path("bin/capable")));
        Some(world)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    /// A path as an argument.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn directory(&self, name: &str, owner: u32, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        set(&path, owner, mode);
        path
    }

    /// Removes what there is in a directory.
    pub fn empty(&self, name: &str) {
        for entry in fs::read_dir(self.path(name)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>, owner: u32, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        set(&path, owner, mode);
        path
    }

    pub fn link(&self, name: &str, to: impl AsRef<Path>) {
        symlink(to, self.path(name)).unwrap();
        std::os::unix::fs::lchown(self.path(name), Some(USER), Some(USER)).unwrap();
    }

    pub fn fifo(&self, name: &str, owner: u32, mode: u32) {
        mkfifo(&self.path(name), Mode::S_IRUSR).unwrap();
        set(&self.path(name), owner, mode);
    }

    /// A device that takes everything, in a directory that only root gets into.
    pub fn device(&self, name: &str) {
        mknod(&self.path(name), SFlag::S_IFCHR, Mode::S_IRUSR, nix::libc::makedev(1, 3)).unwrap();
    }

    /// A recording of a simulated trace, by root.
    pub fn recording(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        run(Command::new(RTRACE).args(["paths", "--simulate", TARGET, "--pcap"]).arg(&path));
        let mut bytes = fs::read(&path).unwrap();
        // A name in it becomes the secret.
        let name = b"gateway";
        while let Some(at) = bytes.windows(name.len()).position(|it| it == name) {
            bytes[at..at + name.len()].copy_from_slice(b"s3cr3t-");
        }
        fs::write(&path, bytes).unwrap();
        set(&path, 0, mode);
        path
    }

    /// A database, by root.
    pub fn database(&self, name: &str) -> PathBuf {
        self.file(name, mmdb::geolite_asn().to_bytes(), 0, 0o600)
    }

    /// The words that run rtrace so, in the home of `USER`.
    pub fn words(&self, by: By) -> Vec<String> {
        let user = format!("--reuid={USER} --regid={USER} --clear-groups");
        let (before, program) = match by {
            By::Sudo => (format!("env SUDO_UID={USER} SUDO_GID={USER}"), "plain"),
            By::Root => ("env".to_owned(), "plain"),
            By::SetUserId => (format!("setpriv {user}"), "set-user-id"),
            By::FileCapability => (format!("setpriv {user}"), "capable"),
        };
        let words = before.split_whitespace().map(str::to_owned);
        words.chain([self.path("bin").join(program).display().to_string()]).collect()
    }

    /// rtrace, run so.
    pub fn rtrace(&self, by: By) -> Command {
        let words = self.words(by);
        self.command(&words[0], &words[1..])
    }

    /// A command in the home of `USER`, without the developer's sudo.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, program: &str, args: &[S]) -> Command {
        let mut command = Command::new(program);
        for variable in INVOKERS {
            command.env_remove(variable);
        }
        command.env("XDG_CONFIG_HOME", "/nonexistent").current_dir(self.path("home"));
        command.args(args).stdin(Stdio::null());
        command
    }
}

/// What a command came to.
pub fn outcome(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = output.status.code();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let status = status.unwrap_or_else(|| panic!("{command:?}: {}: {stderr}", output.status));
    Run { stdout, stderr, status }
}

/// That a run failed in one line of these words, and showed no secret.
pub fn assert_refused(run: &Run, words: &[&str], case: &str) {
    let Run { stdout, stderr, status } = run;
    assert_eq!((*status, stderr.lines().count()), (2, 1), "{case}: {stdout}{stderr}");
    assert!(words.iter().any(|words| stderr.contains(words)), "{case}: {stderr}");
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{case}: {stdout}{stderr}");
}

fn set(path: &Path, owner: u32, mode: u32) {
    chown(path, Some(owner), Some(owner)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A file as it has to stay: content, owner, group, mode.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(Option<(Vec<u8>, u32, u32, u32)>);

impl Snapshot {
    pub fn of(path: &Path) -> Self {
        let Ok(is) = fs::symlink_metadata(path) else { return Self(None) };
        let content = if is.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        Self(Some((content, is.uid(), is.gid(), is.mode())))
    }
}
