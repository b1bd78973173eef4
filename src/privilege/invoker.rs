//! Who called rtrace.
//!
//! A set-user-ID file is run by the real user, whatever the environment says. Real root may work for somebody: sudo,
//! run0, doas and pkexec say for whom in the environment, which is theirs then, or root's own. Whoever is named is
//! believed to be that user or the run ends: never is a named user's file opened as root.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;

use nix::unistd::{Gid, ResGid, ResUid, Uid, User, getgrouplist};

use super::PrivilegeError;

/// The user and group that every file is opened as, and that files which are made belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// How it came about.
    pub named_by: NamedBy,
}

/// What an identity follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The process had it.
    Process,
    /// It is that of the real user, who runs a set-user-ID or set-group-ID file.
    RealUser,
    /// This variable of root's environment names it.
    Variable(&'static str),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, gid, named_by } = self;
        write!(f, "uid {uid}, gid {gid}")?;
        match named_by {
            NamedBy::Process => Ok(()),
            NamedBy::RealUser => f.write_str(", the real user"),
            NamedBy::Variable(variable) => write!(f, ", named by {variable}"),
        }
    }
}

/// The variable in which a number's group is, if there is one.
const SUDO_GID: &str = "SUDO_GID";
const SUDO_USER: &str = "SUDO_USER";

/// Variables that name the user for whom root works, each with what it holds.
const VARIABLES: &[(&str, Holds)] =
    &[("SUDO_UID", Holds::Number), ("PKEXEC_UID", Holds::Number), ("DOAS_USER", Holds::Name)];

#[derive(Clone, Copy)]
enum Holds {
    Number,
    Name,
}

/// Whose identity a process with these ids takes.
pub(super) fn of_process(
    (users, groups): (ResUid, ResGid),
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Identity, PrivilegeError> {
    let of = |uid: Uid, gid: Gid, named_by| {
        Ok(Identity { uid: uid.as_raw(), gid: gid.as_raw(), named_by })
    };
    let changed = users.real != users.effective || groups.real != groups.effective;
    if users.real.is_root() && users.effective.is_root() {
        if let Some(identity) = by_environment(variable)? {
            return Ok(identity);
        }
        return of(users.real, groups.real, NamedBy::Process);
    }
    // Root that has made itself somebody else does not become root again.
    if users.real.is_root() {
        return of(users.effective, groups.effective, NamedBy::Process);
    }
    of(users.real, groups.real, if changed { NamedBy::RealUser } else { NamedBy::Process })
}

/// The ordinary user whom the environment names, if it does.
fn by_environment(
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Identity>, PrivilegeError> {
    let mut named: Option<(Identity, &'static str)> = None;
    for (name, holds) in VARIABLES {
        let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
        let fail = |reason: &str| PrivilegeError::Invoker {
            variable: name,
            value: value.to_string_lossy().into_owned(),
            reason: reason.to_owned(),
        };
        let (uid, group) = match holds {
            Holds::Number => (id(&value).ok_or_else(|| fail("this is not a user's number"))?, None),
            Holds::Name => {
                let user = user_named(&value).ok_or_else(|| fail("there is no such user"))?;
                (user.uid.as_raw(), Some(user.gid.as_raw()))
            }
        };
        if uid == 0 {
            continue;
        }
        let said = variable(SUDO_GID).filter(|_| *name == "SUDO_UID");
        let gid = match (group, said) {
            (Some(gid), _) => gid,
            (None, Some(said)) => {
                id(&said).ok_or_else(|| fail("SUDO_GID is not a group's number"))?
            }
            (None, None) => user_of(uid)
                .map(|user| user.gid.as_raw())
                .ok_or_else(|| fail("its group is not known"))?,
        };
        let identity = Identity { uid, gid, named_by: NamedBy::Variable(name) };
        match named {
            Some((other, by)) if other.uid != uid => {
                return Err(PrivilegeError::Contradiction(by, name));
            }
            Some(_) => {}
            None => named = Some((identity, name)),
        }
    }
    Ok(named.map(|(identity, _)| identity))
}

/// A number that is an id; -1 means "leave as it is" to the kernel.
fn id(text: &OsStr) -> Option<u32> {
    text.to_str()?.parse().ok().filter(|id| *id != u32::MAX)
}

fn user_of(uid: u32) -> Option<User> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten()
}

fn user_named(name: &OsStr) -> Option<User> {
    User::from_name(name.to_str()?).ok().flatten()
}

/// The groups that this user has when logged in. Of several names for one number, sudo's; without a name the group
/// alone.
pub(super) fn groups(of: Identity) -> Vec<Gid> {
    let gid = Gid::from_raw(of.gid);
    let by_sudo = std::env::var_os(SUDO_USER).and_then(|name| user_named(&name));
    let by_sudo = by_sudo.filter(|user| user.uid.as_raw() == of.uid);
    let name = by_sudo.or_else(|| user_of(of.uid)).and_then(|user| CString::new(user.name).ok());
    let known = name.and_then(|name| getgrouplist(&name, gid).ok());
    known.unwrap_or_else(|| vec![gid])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(real: u32, effective: u32) -> ResUid {
        let [real, effective] = [real, effective].map(Uid::from_raw);
        ResUid { real, effective, saved: effective }
    }

    fn group_ids(real: u32, effective: u32) -> ResGid {
        let [real, effective] = [real, effective].map(Gid::from_raw);
        ResGid { real, effective, saved: effective }
    }

    fn becomes(
        users: ResUid,
        groups: ResGid,
        environment: &[(&str, &str)],
    ) -> Result<String, String> {
        let variable = |name: &str| {
            let found = environment.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let identity = of_process((users, groups), variable);
        identity.map(|it| it.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_set_user_id_file_is_run_by_the_real_user_whatever_the_environment_says() {
        let lie = [("SUDO_UID", "0"), ("SUDO_GID", "0"), ("DOAS_USER", "root")];
        for (users, groups, expected) in [
            (ids(1000, 0), group_ids(100, 100), "uid 1000, gid 100, the real user"),
            (ids(1000, 0), group_ids(100, 0), "uid 1000, gid 100, the real user"),
            (ids(1000, 1000), group_ids(100, 0), "uid 1000, gid 100, the real user"),
            (ids(1000, 7), group_ids(100, 100), "uid 1000, gid 100, the real user"),
            (ids(1000, 1000), group_ids(100, 100), "uid 1000, gid 100"),
            // Never upwards.
            (ids(0, 1000), group_ids(0, 100), "uid 1000, gid 100"),
            (ids(0, 0), group_ids(0, 100), "uid 0, gid 0"),
        ] {
            assert_eq!(becomes(users, groups, &lie).as_deref(), Ok(expected), "{users:?}");
        }
    }

    #[test]
    fn root_works_for_the_ordinary_user_whom_the_environment_names() {
        let by_sudo = "uid 1000, gid 100, named by SUDO_UID";
        for (environment, expected) in [
            (&[][..], Ok("uid 0, gid 0")),
            (&[("SUDO_UID", "")], Ok("uid 0, gid 0")),
            (&[("SUDO_UID", "1000"), ("SUDO_GID", "100")], Ok(by_sudo)),
            (&[("SUDO_UID", "1000"), ("SUDO_GID", "100"), ("PKEXEC_UID", "0")], Ok(by_sudo)),
            (&[("SUDO_UID", "1000"), ("SUDO_GID", "100"), ("DOAS_USER", "root")], Ok(by_sudo)),
            (&[("SUDO_UID", "0"), ("SUDO_GID", "0")], Ok("uid 0, gid 0")),
            (&[("SUDO_UID", "1000"), ("SUDO_GID", "x")], Err("SUDO_GID is not a group's number")),
            (&[("SUDO_UID", "1000"), ("SUDO_GID", "4294967295")], Err("SUDO_GID is not")),
            (&[("SUDO_UID", "4294967295"), ("SUDO_GID", "100")], Err("not a user's number")),
            (&[("SUDO_UID", "-1"), ("SUDO_GID", "100")], Err("not a user's number")),
            (&[("SUDO_UID", "99999999999")], Err("SUDO_UID=99999999999")),
            // A user of whom nothing is known, and whose group is not said.
            (&[("SUDO_UID", "4000000001")], Err("its group is not known")),
            (&[("PKEXEC_UID", "4000000001")], Err("unset PKEXEC_UID")),
            (&[("DOAS_USER", "no such user")], Err("there is no such user")),
            (
                &[("SUDO_UID", "1000"), ("SUDO_GID", "100"), ("DOAS_USER", "daemon")],
                Err("SUDO_UID and DOAS_USER name two different users"),
            ),
        ] {
            let found = becomes(ids(0, 0), group_ids(0, 0), environment);
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{environment:?}"),
                (Err(found), Err(words)) => {
                    assert!(found.contains(words), "{environment:?}: {found}");
                }
                _ => panic!("{environment:?}: {found:?}"),
            }
        }
    }
}
