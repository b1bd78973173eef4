//! Where the configuration file is, and what is in it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::stat::lstat;
use nix::unistd::{Uid, User};

use crate::privilege::{self, Identity, NamedBy};
use crate::untrusted::Untrusted;

/// The file that was asked for, or the user's own if there is one: its path and what is in it.
pub(super) fn read(asked: Option<&Path>) -> anyhow::Result<Option<(PathBuf, String)>> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => match own_path() {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    // Nothing that was asked for, or in a home that is somebody else's.
    let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::PermissionDenied];
    match super::super::read_text(&path) {
        Err(error) if asked.is_none() && absent.contains(&error.kind()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            bail!(
                "{} is not text in UTF-8: rtrace config --default prints one that is",
                path.display()
            )
        }
        Err(error) => {
            let file = short(&path);
            let instead = match asked {
                Some(_) => "name another file with --config",
                None => "set XDG_CONFIG_HOME to another directory, or remove it",
            };
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENAMETOOLONG) if asked.is_none() => {
                    bail!("{file}: the path is too long: set XDG_CONFIG_HOME to a shorter one")
                }
                Some(Errno::ENAMETOOLONG) => bail!("{file}: the path is too long: {instead}"),
                Some(Errno::ELOOP) => bail!("{file} is a loop of symbolic links: {instead}"),
                Some(Errno::EISDIR) => {
                    bail!("{file} is a directory, not a configuration file: {instead}")
                }
                _ => Err(error).with_context(|| format!("cannot read {file}")),
            }
        }
        Ok(text) => Ok(Some((path, text))),
    }
}

/// A path for a message: of a long one both ends.
fn short(path: &Path) -> String {
    const END: usize = 40;
    let shown = Untrusted::from(path).shown();
    let chars: Vec<char> = shown.chars().collect();
    match (chars.get(..END), chars.len().checked_sub(END).and_then(|from| chars.get(from..))) {
        (Some(first), Some(last)) if chars.len() > 3 * END => {
            let (first, last) = (first.iter().collect::<String>(), last.iter().collect::<String>());
            format!("{first}…{last}")
        }
        _ => shown,
    }
}

/// Whether there may be a file: opening it with care shows what it is.
pub(super) fn may_be_there(path: &Path) -> bool {
    !matches!(lstat(path), Err(Errno::ENOENT | Errno::ENOTDIR))
}

/// Where the user's own file is: that of whoever called sudo, for it is they who typed the command, and the environment
/// may be root's.
pub(super) fn own_path() -> Option<PathBuf> {
    let set = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let directory = set.filter(|path| path.is_absolute()).or_else(|| {
        let Identity { uid, named_by, .. } = privilege::identity();
        let home = match named_by {
            NamedBy::Variable(_) => User::from_uid(Uid::from_raw(uid)).ok()??.dir,
            _ => std::env::home_dir().filter(|home| home.is_absolute())?,
        };
        Some(home.join(".config"))
    })?;
    Some(directory.join("rtrace/config.toml"))
}
