//! Who rtrace is, and what it may do, at each moment of a run.
//!
//! The order, which the callers keep:
//!
//! 1. [`assume_invoker`], before anything else, arguments included. A set-user-ID or set-group-ID run takes the real
//!    user's identity; root through sudo, run0, doas or pkexec takes that of the user who called it; root whom nobody
//!    called stays root. Of all capabilities only those that rtrace has a use for stay permitted, and none is in
//!    effect. `no_new_privs` is set, so that the bounding set has no effect: no program that is run gains a
//!    capability. So no file is ever opened with more rights than those of the user who named it, and configuration and
//!    names are read without a privilege in effect.
//! 2. [`raised`], around the opening of sockets: what is permitted is in effect there, and only there.
//! 3. [`drop_for_good`], after the sockets and before the first thread: no capability is left in any set, and there is
//!    no return to another user. Files of `--rotate` are made after it, by the same user without capabilities.
//!
//! Files are opened through [`files`], by the identity of that moment; who it is, [`identity`] says.
//! Capabilities belong to a thread: steps 1 to 3 are taken before any other thread is started, since they inherit. See
//! capabilities(7) and credentials(7).

pub mod files;
mod invoker;
mod walk;

use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{
    Gid, ResGid, ResUid, Uid, getegid, geteuid, getresgid, getresuid, setgroups, setresgid,
    setresuid,
};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

pub use self::invoker::{Identity, NamedBy};

/// For raw and packet sockets; to switch on a card's stamps; for ports below 1024 (`--sport`, `--prometheus`).
const NETWORK: CapabilitySet =
    CapabilitySet::NET_RAW.union(CapabilitySet::NET_ADMIN).union(CapabilitySet::NET_BIND_SERVICE);

/// Root's right to all files, which is root's own only where nobody called it.
const FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

/// Who this process became, once it did.
static ASSUMED: OnceLock<Identity> = OnceLock::new();

/// What it may do since, with nothing in effect. One thing alone is done with more in effect at a time.
static KEPT: OnceLock<CapabilitySets> = OnceLock::new();

/// Why a run has to end before it begins: it would have more rights than its user.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The environment names a user who called rtrace, and rtrace cannot run as that user.
    #[error(
        "cannot run as the user that {variable}={} names: {reason}: unset {variable} to run as root",
        value.escape_debug()
    )]
    Invoker {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What is in the way.
        reason: String,
    },
    /// Two variables name two users.
    #[error("{0} and {1} name two different users: unset one of them")]
    Contradiction(&'static str, &'static str),
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

/// Becomes the user who called rtrace, and keeps only those capabilities that rtrace has a use for, none of them in
/// effect. To be called first of all.
///
/// # Errors
/// See [`PrivilegeError`]. Nothing may be opened after that.
pub fn assume_invoker() -> Result<Identity, PrivilegeError> {
    let before = (user_ids()?, group_ids()?);
    let identity = invoker::of_process(before, |name| std::env::var_os(name))?;
    prctl::set_no_new_privs().map_err(|errno| refused("set no_new_privs", &errno))?;
    let changed =
        become_user(before, identity).map_err(|(step, errno)| match identity.named_by {
            NamedBy::Variable(variable) => PrivilegeError::Invoker {
                variable,
                value: std::env::var(variable).unwrap_or_default(),
                reason: format!("cannot {step}: {}", errno.desc()),
            },
            NamedBy::Process | NamedBy::RealUser => refused(step, &errno),
        })?;
    if !keep_only(identity)?.is_empty() {
        // No core file and no tracer gets at sockets that take a privilege to open. A change of user may permit it.
        prctl::set_dumpable(false).map_err(|errno| refused("forbid tracing", &errno))?;
    }
    if changed {
        verify_ids(identity.uid, identity.gid)?;
    }
    Ok(*ASSUMED.get_or_init(|| identity))
}

/// Who this process became, or who it is if it did not become anyone.
#[must_use]
pub fn identity() -> Identity {
    ASSUMED.get().copied().unwrap_or_else(|| {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        Identity { uid, gid, named_by: NamedBy::Process }
    })
}

/// Does something with the capabilities in effect that are permitted for the network. Where there are none it is done
/// all the same, and the kernel refuses what it has to refuse.
pub fn raised<T>(work: impl FnOnce() -> T) -> T {
    with_effective(NETWORK, work)
}

fn with_effective<T>(wanted: CapabilitySet, work: impl FnOnce() -> T) -> T {
    let kept = KEPT.get().copied().or_else(|| capabilities(None).ok());
    let Some(before) = kept else { return work() };
    let effective = before.effective | (wanted & before.permitted);
    let raised = CapabilitySets { effective, ..before };
    if raised == before || set_capabilities(None, raised).is_err() {
        return work();
    }
    let result = work();
    // To lower a set needs no right. `drop_for_good` looks after it.
    let _ = set_capabilities(None, before);
    result
}

/// Gives up every capability, and makes sure that neither they nor another user can be had back.
///
/// # Errors
/// See [`PrivilegeError`].
pub fn drop_for_good() -> Result<(), PrivilegeError> {
    if ASSUMED.get().is_none() {
        prctl::set_no_new_privs().map_err(|errno| refused("set no_new_privs", &errno))?;
    }
    set_capabilities(None, NONE).map_err(|errno| refused("clear the capabilities", &errno))?;
    if read()? != NONE {
        return Err(PrivilegeError::Left("a capability"));
    }
    // Who assumed an identity has proved it then, and has no right to change it since.
    if ASSUMED.get().is_none() {
        verify_ids(geteuid().as_raw(), getegid().as_raw())?;
    }
    Ok(())
}

/// No capability. The ambient set is no larger than what is permitted and inheritable: the kernel empties it with them.
const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

fn read() -> Result<CapabilitySets, PrivilegeError> {
    capabilities(None).map_err(|errno| refused("read capabilities", &errno))
}

/// Sets real, effective and saved ids, and says whether they were others. Whoever is named by the environment gets the
/// groups of that user; those of a real user are the kernel's already.
fn become_user(
    (users, groups): (ResUid, ResGid),
    to: Identity,
) -> Result<bool, (&'static str, Errno)> {
    let (user, group) = (Uid::from_raw(to.uid), Gid::from_raw(to.gid));
    if [users.real, users.effective, users.saved] == [user; 3]
        && [groups.real, groups.effective, groups.saved] == [group; 3]
    {
        return Ok(false);
    }
    let to_keep = "keep capabilities while the user changes";
    prctl::set_keepcaps(true).map_err(|errno| (to_keep, errno))?;
    if let NamedBy::Variable(_) = to.named_by {
        setgroups(&invoker::groups(to)).map_err(|errno| ("change the groups", errno))?;
    }
    setresgid(group, group, group).map_err(|errno| ("change the group", errno))?;
    setresuid(user, user, user).map_err(|errno| ("change the user", errno))?;
    prctl::set_keepcaps(false).map_err(|errno| (to_keep, errno))?;
    Ok(true)
}

/// Reduces what is permitted to what there is a use for, with nothing in effect and nothing to inherit; says what that is.
fn keep_only(identity: Identity) -> Result<CapabilitySet, PrivilegeError> {
    // A set-user-ID file lends what a trace needs, and nothing else of the network.
    let lent = identity.named_by == NamedBy::RealUser;
    let network = if lent { CapabilitySet::NET_RAW } else { NETWORK };
    let files = if identity.uid == 0 { FILES } else { CapabilitySet::empty() };
    let before = read()?;
    let kept = CapabilitySets { permitted: before.permitted & (network | files), ..NONE };
    if kept != before {
        set_capabilities(None, kept).map_err(|errno| refused("give up capabilities", &errno))?;
    }
    Ok(KEPT.get_or_init(|| kept).permitted)
}

/// Trusts nobody: reads everything back, and tries to become root again.
fn verify_ids(uid: u32, gid: u32) -> Result<(), PrivilegeError> {
    let ResUid { real, effective, saved } = user_ids()?;
    if [real, effective, saved].iter().any(|id| id.as_raw() != uid) {
        return Err(PrivilegeError::Left("the user"));
    }
    let ResGid { real, effective, saved } = group_ids()?;
    if [real, effective, saved].iter().any(|id| id.as_raw() != gid) {
        return Err(PrivilegeError::Left("the group"));
    }
    let root = Uid::from_raw(0);
    if uid != 0 && setresuid(root, root, root).is_ok() {
        return Err(PrivilegeError::Left("the return to root"));
    }
    Ok(())
}

fn user_ids() -> Result<ResUid, PrivilegeError> {
    getresuid().map_err(|errno| refused("read the user", &errno))
}

fn group_ids() -> Result<ResGid, PrivilegeError> {
    getresgid().map_err(|errno| refused("read the group", &errno))
}

fn refused(step: &'static str, reason: &impl ToString) -> PrivilegeError {
    PrivilegeError::Refused { step, reason: reason.to_string() }
}
