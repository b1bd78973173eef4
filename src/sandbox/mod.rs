//! What a run may still do once everything it needs is open: before the first byte of the network or of a file
//! is parsed.
//!
//! Invariant: after [`enter`] has returned `Ok` no capability is left, no program that is started gains a right,
//! system calls are those of [`Profile`] (seccomp) and files are those it names (Landlock, where the kernel has it).
//! Whoever takes over the parser finds no way to open, connect, run or trace anything.
//!
//! Names are looked up in a process of their own ([`names`]), with rules of its own: the C library's resolvers
//! load plug-ins and open sockets, which is what nobody else here may.
//!
//! Restrictions belong to a thread and to those that it starts: enter before there are others.

mod apart;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod calls;
mod landlock;
mod message;
pub mod names;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod seccomp;

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::link::live::process;
use crate::privilege::{self, PrivilegeError};
use crate::wire::Evidence;

pub use apart::apart;

/// What a run still needs.
#[derive(Clone, Debug, Default)]
pub struct Profile<'a> {
    /// It sends probes by sockets that are open, and the replies are captured there, or reconstructed.
    pub network: Option<Evidence>,
    /// It draws on the terminal.
    pub screen: bool,
    /// It serves metrics, at a socket that listens.
    pub serves: bool,
    /// It makes and removes files in this directory.
    pub rotates_in: Option<BorrowedFd<'a>>,
    /// It asks this process for names, and ends it.
    pub asks: Option<&'a names::Resolvers>,
    /// It looks up names, which takes the C library's plug-ins and what they read; of name servers at these ports.
    pub looks_up: Option<Vec<u16>>,
}

/// What keeps a run from doing more than its [`Profile`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Active {
    /// How many system calls are allowed, if others are not: seccomp has no filter for this kind of machine, or
    /// was switched off.
    pub calls: Option<usize>,
    /// The ABI of Landlock by which files are restricted, if the kernel has it.
    pub landlock: Option<u32>,
}

/// Why a run could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Capabilities are left, or may come back.
    #[error(transparent)]
    Capabilities(#[from] PrivilegeError),
    /// The kernel takes no filter of system calls.
    #[error("cannot restrict system calls: {0}: run with --no-sandbox to do without")]
    Calls(String),
    /// The kernel has Landlock, and does not take its rules.
    #[error("cannot restrict files: {0}: run with --no-sandbox to do without")]
    Files(String),
    /// There is no process to look up names.
    #[error("cannot start the process that looks up names: {0}: ask for addresses only with -n")]
    Names(#[source] std::io::Error),
    /// The process that looks up names could not be confined, for this reason.
    #[error("cannot confine the process that looks up names: {0}")]
    Lookups(String),
    /// There is no process to read a file apart.
    #[error(
        "cannot start a process that reads the file: {0}: free some memory, or end other processes"
    )]
    Apart(#[source] std::io::Error),
}

impl SandboxError {
    fn seccomp(error: &impl ToString) -> Self {
        Self::Calls(error.to_string())
    }
}

/// Somebody wants to see what happens: neither seccomp nor Landlock.
static OFF: AtomicBool = AtomicBool::new(false);

/// From now on [`enter`] restricts neither system calls nor files. Capabilities are still dropped.
pub fn switch_off() {
    OFF.store(true, Ordering::SeqCst);
}

fn is_off() -> bool {
    OFF.load(Ordering::SeqCst)
}

/// Gives up whatever `profile` does not name, for good.
///
/// # Errors
/// See [`SandboxError`]. Nothing should be read from outside after that.
pub fn enter(profile: &Profile<'_>) -> Result<Active, SandboxError> {
    privilege::drop_for_good()?;
    process::close_on_exec();
    if is_off() {
        return Ok(Active::default());
    }
    let left = landlock::Left {
        read: profile.looks_up.iter().flat_map(|_| names::files()).collect(),
        kept: profile.rotates_in,
        terminal: profile.screen,
        ports: profile.looks_up.clone().unwrap_or_default(),
        signals: profile.asks.is_some(),
    };
    let landlock =
        landlock::restrict(&left).map_err(|error| SandboxError::Files(error.to_string()))?;
    Ok(Active { landlock, calls: restrict_calls(profile)? })
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn restrict_calls(profile: &Profile<'_>) -> Result<Option<usize>, SandboxError> {
    use calls::Use;
    let uses = [
        (profile.network == Some(Evidence::Captured), Use::Frames),
        (profile.network == Some(Evidence::Reconstructed), Use::Reports),
        (profile.screen, Use::Screen),
        (profile.serves, Use::Serving),
        (profile.rotates_in.is_some(), Use::Making),
        (profile.asks.is_some(), Use::Asking),
        (profile.looks_up.is_some(), Use::LookingUp),
    ];
    let uses: Vec<_> = uses.into_iter().filter(|(is, _)| *is).map(|(_, used)| used).collect();
    let allowed = seccomp::Allowed::of(&uses, profile.asks.and_then(names::Resolvers::process))?;
    let count = allowed.count();
    allowed.install().map(|()| Some(count))
}

/// No filter is known for this kind of machine.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn restrict_calls(_: &Profile<'_>) -> Result<Option<usize>, SandboxError> {
    Ok(None)
}
