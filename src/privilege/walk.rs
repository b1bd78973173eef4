//! How root finds a file whose path others may have had a hand in.
//!
//! The path is walked name by name, each directory held open, so that nobody can exchange what has been looked at. In
//! a directory that others can write to (it is not root's, or its group or everybody may write, sticky or not) a
//! symbolic link ends the walk. What is then opened there has to be the very file that was looked at, and to be
//! written, or to be anything but a regular file, it has to be root's with no other name: the kernel's
//! `protected_symlinks`, `protected_hardlinks`, `protected_regular` and `protected_fifos` (proc(5)) do similarly where
//! they are on, in sticky directories.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// The number of symbolic links that the kernel follows.
const MOST_LINKS: usize = 40;

/// The owner of files whose owner this user namespace does not know.
const UNKNOWN: u32 = 65_534;

/// Who else could have put there what is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writers {
    /// Only root.
    Root,
    /// Others too.
    Others,
    /// Nobody: the kernel makes up what is there, such as links to what a process has open.
    Kernel,
}

/// Where the walk ended: a name in a directory, which need not be there yet.
pub struct Place {
    directory: OwnedFd,
    name: OsString,
    writers: Writers,
}

/// Walks `path`, following the links that may be followed, the last one included.
pub fn find(path: &Path) -> io::Result<Place> {
    if path.as_os_str().is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let mut directory = enter(AT_FDCWD, OsStr::new("."), OFlag::empty())?;
    let mut names = VecDeque::new();
    let mut links = 0;
    prepend(path, &mut names);
    loop {
        let name = names.pop_front().unwrap_or_else(|| ".".into());
        let place = Place { writers: writers(&directory)?, directory, name };
        let found = place.look()?;
        let is_link = found.as_ref().is_some_and(|it| kind(it) == SFlag::S_IFLNK);
        if names.is_empty() && (!is_link || place.writers == Writers::Kernel) {
            return Ok(place);
        }
        directory = match (is_link, place.writers) {
            (false, _) => enter(&place.directory, &place.name, OFlag::O_NOFOLLOW)?,
            (true, Writers::Kernel) => enter(&place.directory, &place.name, OFlag::empty())?,
            (true, Writers::Others) => return Err(place.refusal("is a symbolic link")),
            (true, Writers::Root) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                let target = readlinkat(&place.directory, place.name.as_os_str())?;
                prepend(Path::new(&target), &mut names);
                place.directory
            }
        };
    }
}

/// Puts the names in `path` before those that are still to be walked.
fn prepend(path: &Path, names: &mut VecDeque<OsString>) {
    // What ends with a slash is to be a directory, which "." in it makes sure of.
    let ends_with_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let rest = ends_with_slash.then(|| OsString::from("."));
    let parts = path.components().map(|part| match part {
        Component::RootDir => "/".into(),
        part => part.as_os_str().to_owned(),
    });
    for part in parts.chain(rest).collect::<Vec<_>>().into_iter().rev() {
        names.push_front(part);
    }
}

fn enter(at: impl AsFd, name: &OsStr, flags: OFlag) -> io::Result<OwnedFd> {
    let flags = flags | OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

fn writers(directory: impl AsFd) -> io::Result<Writers> {
    if fstatfs(&directory)?.filesystem_type() == PROC_SUPER_MAGIC {
        return Ok(Writers::Kernel);
    }
    let found = fstat(&directory)?;
    let is_roots = found.st_uid == 0 || found.st_uid == UNKNOWN && is_of_system(&found);
    let alone = is_roots && found.st_mode & 0o022 == 0;
    Ok(if alone { Writers::Root } else { Writers::Others })
}

/// Whether it is the root directory or that of devices, where root is not the root of this machine: what belongs to nobody that is
/// known here is real root's there, and anybody's elsewhere.
fn is_of_system(found: &FileStat) -> bool {
    let is = |path: &str| {
        let there = std::fs::metadata(path);
        there.is_ok_and(|it| (it.dev(), it.ino()) == (found.st_dev, found.st_ino))
    };
    is_in_user_namespace() && ["/", "/dev"].into_iter().any(is)
}

/// Whether root is not the root of this machine.
fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map");
    map.is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}

/// What kind of file it is.
pub fn kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits())
}

impl Place {
    /// This name in a directory that is open.
    pub fn within(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Self> {
        let writers = writers(directory)?;
        Ok(Self { directory: directory.try_clone_to_owned()?, name: name.to_owned(), writers })
    }

    /// Opens what is there; with `O_CREAT` makes a file if there is none.
    pub fn open(&self, flags: OFlag) -> io::Result<File> {
        let found = self.look()?;
        let mut flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        if self.writers != Writers::Kernel {
            flags |= OFlag::O_NOFOLLOW;
        }
        let Some(found) = found else {
            let flags = if flags.contains(OFlag::O_CREAT) { flags | OFlag::O_EXCL } else { flags };
            return self.open_name(flags);
        };
        if self.writers == Writers::Others {
            self.judge(&found, flags)?;
        }
        flags.remove(OFlag::O_CREAT);
        if kind(&found) == SFlag::S_IFREG {
            flags |= OFlag::O_NONBLOCK; // which is nothing to it, but to a pipe that took its place
        }
        let file = self.open_name(flags)?;
        let opened = fstat(&file)?;
        let same = (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino);
        if self.writers == Writers::Others && !same {
            return Err(self.refusal("was exchanged while it was opened"));
        }
        Ok(file)
    }

    /// Whether this may be opened although others could have put it there.
    fn judge(&self, found: &FileStat, flags: OFlag) -> io::Result<()> {
        let writes = flags.contains(OFlag::O_WRONLY);
        match kind(found) {
            SFlag::S_IFDIR => Ok(()),
            SFlag::S_IFREG if !writes => Ok(()),
            SFlag::S_IFLNK => Err(self.refusal("is a symbolic link")),
            _ if found.st_uid != 0 => {
                Err(self.refusal(&format!("belongs to uid {}", found.st_uid)))
            }
            _ if found.st_nlink > 1 => Err(self.refusal("has another name elsewhere")),
            _ => Ok(()),
        }
    }

    fn open_name(&self, flags: OFlag) -> io::Result<File> {
        let mode = Mode::from_bits_truncate(0o666);
        Ok(openat(&self.directory, self.name.as_os_str(), flags, mode)?.into())
    }

    /// What is there, a link being itself.
    fn look(&self) -> io::Result<Option<FileStat>> {
        match fstatat(&self.directory, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn refusal(&self, what: &str) -> io::Error {
        let name = self.name.display();
        let reason = format!(
            "{name} {what}, in a directory that other users can write to: choose another path"
        );
        io::Error::new(io::ErrorKind::PermissionDenied, reason)
    }
}
