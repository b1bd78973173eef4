//! The one place where files that somebody named are opened, with the rights of whom [`identity`] names.
//!
//! For an ordinary user, and so for one who runs a set-user-ID file or called sudo, the kernel knows best: that user's
//! own rights hold, links are followed. Root whom nobody called may open everything, so others could choose
//! for it what it opens, and `walk` looks where others can write: there symbolic links are not followed, and only
//! what is root's own and has no second name is written to. What root named on purpose works: `/dev/null`, a named pipe
//! of root's own, one that a shell made (`<(…)`), and `/dev/stdout` or `/dev/fd/3`, which the kernel opens anew; only "-"
//! is the open descriptor itself, for which no right is needed.
//!
//! A file is looked at before it is truncated, never truncated by being opened.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::geteuid;

use super::walk::{self, Place};
use super::{FILES, NamedBy, identity, with_effective};

/// Opens a file to be read: a regular one, a pipe, a device.
///
/// # Errors
/// The kernel's, or that others could have chosen what is opened.
pub fn read(path: &Path) -> io::Result<File> {
    open(path, OFlag::O_RDONLY, "read")
}

/// Opens a file to be read that has to be a regular one. Never waits, as for the writer of a pipe.
///
/// # Errors
/// As [`read`], and [`ErrorKind::InvalidInput`] if it is of another kind.
pub fn read_regular(path: &Path) -> io::Result<File> {
    let file = open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, "read")?;
    let fits = is_regular(&file)?;
    fits.then_some(file).ok_or_else(|| ErrorKind::InvalidInput.into())
}

/// Opens a file to be written, which is empty then if it is a regular one, and is made if there is none.
///
/// # Errors
/// As [`read`].
pub fn create(path: &Path) -> io::Result<File> {
    to_write(path).and_then(emptied)
}

/// Opens a file as [`create`] does, but leaves what is in it until it is [`emptied`].
///
/// # Errors
/// As [`read`].
pub fn to_write(path: &Path) -> io::Result<File> {
    open(path, OFlag::O_WRONLY | OFlag::O_CREAT, "write")
}

/// Opens a directory, in which files can be made by [`create_in`] for as long as its rights allow.
///
/// # Errors
/// As [`read`], and [`ErrorKind::NotADirectory`].
pub fn directory(path: &Path) -> io::Result<File> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY, "write")
}

/// Opens a file of this name in a directory as [`create`] does, but follows no link.
///
/// # Errors
/// As [`create`].
pub fn create_in(directory: &File, name: &Path) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
    let opened = if geteuid().is_root() {
        Place::within(directory.as_fd(), name.as_os_str()).and_then(|place| place.open(flags))
    } else {
        by_kernel(directory, name, flags)
    };
    opened.map_err(|error| explained(error, "write")).and_then(emptied)
}

/// Whether this file is the one at `path`, by whatever name.
#[must_use]
pub fn is_at(file: &File, path: &Path) -> bool {
    let identified = |found: Metadata| (found.dev(), found.ino());
    let there = with_effective(FILES, || std::fs::metadata(path));
    there.is_ok_and(|there| file.metadata().is_ok_and(|it| identified(it) == identified(there)))
}

/// Whether both paths lead to one file that has contents of its own: a regular one, or one that is still to be made.
#[must_use]
pub fn are_one(one: &Path, other: &Path) -> bool {
    let found = [one, other].map(|path| with_effective(FILES, || std::fs::metadata(path)));
    match found {
        [Ok(one), Ok(other)] => {
            one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
        }
        [Err(_), Err(_)] => one == other,
        _ => false,
    }
}

fn open(path: &Path, flags: OFlag, verb: &str) -> io::Result<File> {
    let opened = if geteuid().is_root() {
        with_effective(FILES, || walk::find(path)?.open(flags))
    } else {
        by_kernel(AT_FDCWD, path, flags)
    };
    opened.map_err(|error| explained(error, verb))
}

/// Opens by the rules of the kernel alone.
fn by_kernel(at: impl AsFd, path: &Path, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    Ok(openat(at, path, flags, Mode::from_bits_truncate(0o666))?.into())
}

/// A file with nothing in it, if it is a regular one.
///
/// # Errors
/// The kernel's.
pub fn emptied(file: File) -> io::Result<File> {
    if is_regular(&file)? {
        file.set_len(0)?;
    }
    Ok(file)
}

fn is_regular(file: &File) -> io::Result<bool> {
    Ok(walk::kind(&fstat(file)?) == SFlag::S_IFREG)
}

/// The error, with who was refused if root's environment named that user: a root shell keeps the variables of sudo.
fn explained(error: io::Error, verb: &str) -> io::Error {
    let who = identity();
    let NamedBy::Variable(variable) = who.named_by else { return error };
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    let place = if verb == "write" { "directory" } else { "file" };
    io::Error::new(
        error.kind(),
        format!(
            "{error}: files are opened as uid {}, named by {variable}: unset {variable} to {verb} as root, or choose a \
             {place} of that user",
            who.uid
        ),
    )
}
