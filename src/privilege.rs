//! Open the sockets, drop every privilege for good, then go on without.
//!
//! Invariant: after [`drop_for_good`] has returned `Ok` no capability is left in any set of this
//! process, no program it starts can gain one (`no_new_privs`), and a process that was root through
//! sudo runs as the user who typed the command. See capabilities(7) and credentials(7).
//!
//! Capabilities belong to a thread: call it before any other thread is started, since they inherit.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, fchown};
use std::{env, io};

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::unistd::{
    Gid, ResUid, Uid, getegid, geteuid, getgid, getresgid, getresuid, getuid, setgroups, setresgid,
    setresuid,
};

/// The user and group that root becomes when nobody invoked it: "nobody", "nogroup".
const NOBODY: (u32, u32) = (65_534, 65_534);

/// What was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// All capabilities. The user stays: it was not root, or this user namespace knows no other.
    Capabilities,
    /// All capabilities, and the process now runs as this user and group.
    Root {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

/// Why privileges could not be dropped. Nothing should be read from the network after that.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The kernel refused a step.
    #[error(
        "cannot drop privileges: {step}: {reason}: run as an ordinary user with cap_net_raw+ep"
    )]
    Refused {
        /// What was tried.
        step: &'static str,
        /// The kernel's reason.
        reason: String,
    },
    /// Every step went well, and yet privileges are left.
    #[error(
        "privileges are left after dropping them ({0}): run as an ordinary user with cap_net_raw+ep"
    )]
    Left(&'static str),
}

/// Gives up every privilege, and makes sure that it cannot be had back.
///
/// # Errors
/// See [`PrivilegeError`].
pub fn drop_for_good() -> Result<Dropped, PrivilegeError> {
    nix::sys::prctl::set_no_new_privs().map_err(|errno| refused("set no_new_privs", &errno))?;
    // Users first: it takes capabilities. The bounding set before that: it takes another one.
    drop_bounding()?;
    let dropped = match user_to_become()? {
        Some(ids) => become_user(ids)?,
        None => Dropped::Capabilities,
    };
    for (set, step) in SETS {
        caps::clear(None, *set).map_err(|error| refused(step, &error))?;
    }
    verify(dropped)?;
    Ok(dropped)
}

/// Whose ids to take: root's make room for those of the invoking user; a root id that is only kept
/// aside, as real or saved id, for those in effect.
fn user_to_become() -> Result<Option<(u32, u32)>, PrivilegeError> {
    let ResUid { real, effective, saved } =
        getresuid().map_err(|errno| refused("read the user", &errno))?;
    Ok(if effective.is_root() {
        Some(invoking_user().unwrap_or(NOBODY))
    } else if real.is_root() || saved.is_root() {
        Some((effective.as_raw(), getegid().as_raw()))
    } else {
        None
    })
}

/// The sets to be emptied, in an order that the kernel allows: none may exceed the next.
const SETS: &[(CapSet, &str)] = &[
    (CapSet::Ambient, "clear the ambient capabilities"),
    (CapSet::Effective, "clear the effective capabilities"),
    (CapSet::Permitted, "clear the permitted capabilities"),
    (CapSet::Inheritable, "clear the inheritable capabilities"),
];

/// The user and group for whom root works here, if there is one: by sudo's word if we are root
/// through and through, else (a set-user-ID file) the real user, whose environment proves nothing.
#[must_use]
pub fn invoking_user() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    if !getuid().is_root() {
        return Some((getuid().as_raw(), getgid().as_raw()));
    }
    by_sudo(&env::var("SUDO_UID").ok()?, &env::var("SUDO_GID").ok()?)
}

/// Both numbers, if they are ids of an ordinary user; -1 means "leave as it is" to the kernel.
fn by_sudo(uid: &str, gid: &str) -> Option<(u32, u32)> {
    let id = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
    let (uid, gid) = (id(uid)?, id(gid)?);
    (uid != 0).then_some((uid, gid))
}

/// Makes a file that was written with root's rights the invoking user's. Does nothing when nobody
/// invoked root, and to anything that is not a regular file of root's own with one name: a terminal,
/// a pipe, or somebody else's file reached by a link stays whose it is.
///
/// # Errors
/// The kernel's, from `fstat` or `fchown`.
pub fn give_to_invoking_user(file: &File) -> io::Result<()> {
    let Some((uid, gid)) = invoking_user() else { return Ok(()) };
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.uid() == 0 && metadata.nlink() == 1 {
        fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Empties the bounding set, where we may (`CAP_SETPCAP`). Where we may not, `no_new_privs` already
/// keeps the set from ever being used.
fn drop_bounding() -> Result<(), PrivilegeError> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        return Ok(());
    }
    let here = |cap: &Capability| caps::has_cap(None, CapSet::Bounding, *cap).unwrap_or(false);
    for cap in caps::all().into_iter().filter(here) {
        caps::drop(None, CapSet::Bounding, cap)
            .map_err(|error| refused("clear the bounding capabilities", &error))?;
    }
    Ok(())
}

/// Sets real, effective and saved ids. A user namespace may know no other user (`EINVAL`), and a
/// container may take the right to change from root (`EPERM`): then the user stays.
fn become_user((uid, gid): (u32, u32)) -> Result<Dropped, PrivilegeError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let steps: [(&str, &dyn Fn() -> nix::Result<()>); 3] = [
        ("leave all groups", &|| setgroups(&[])),
        ("change the group", &|| setresgid(group, group, group)),
        ("change the user", &|| setresuid(user, user, user)),
    ];
    let mut changed = true;
    for (step, change) in steps {
        match change() {
            Ok(()) => {}
            // A namespace that denies setgroups can still have another user for us.
            Err(Errno::EPERM | Errno::EINVAL) => changed &= step == steps[0].0,
            Err(errno) => return Err(refused(step, &errno)),
        }
    }
    Ok(if changed { Dropped::Root { uid, gid } } else { Dropped::Capabilities })
}

/// Trusts nobody: reads everything back, and tries to become root again.
fn verify(dropped: Dropped) -> Result<(), PrivilegeError> {
    let none = CapsHashSet::new();
    for (set, _) in SETS {
        if caps::read(None, *set).map_err(|error| refused("read capabilities", &error))? != none {
            return Err(PrivilegeError::Left("a capability"));
        }
    }
    let Dropped::Root { uid, gid } = dropped else { return Ok(()) };
    let ids = getresuid().map_err(|errno| refused("read the user", &errno))?;
    let ResUid { real, effective, saved } = ids;
    if [real, effective, saved].iter().any(|id| id.as_raw() != uid) {
        return Err(PrivilegeError::Left("the user"));
    }
    let ids = getresgid().map_err(|errno| refused("read the group", &errno))?;
    if [ids.real, ids.effective, ids.saved, getegid()].iter().any(|id| id.as_raw() != gid) {
        return Err(PrivilegeError::Left("the group"));
    }
    let root = Uid::from_raw(0);
    if setresuid(root, root, root).is_ok() {
        return Err(PrivilegeError::Left("the way back to root"));
    }
    Ok(())
}

fn refused(step: &'static str, reason: &impl ToString) -> PrivilegeError {
    PrivilegeError::Refused { step, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_is_believed_only_if_it_names_an_ordinary_user() {
        for (uid, gid, expect) in [
            ("1000", "100", Some((1000, 100))),
            ("1000", "0", Some((1000, 0))),
            ("0", "0", None),
            ("4294967295", "1000", None),
            ("1000", "4294967295", None),
            ("-1", "1000", None),
            ("1000", "", None),
            ("99999999999", "1", None),
        ] {
            assert_eq!(by_sudo(uid, gid), expect, "{uid}:{gid}");
        }
    }
}
