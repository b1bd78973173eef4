//! Capabilities: given up for good, or for a while.

use caps::{CapSet, CapsHashSet};

use super::SandboxError;

/// The sets to be emptied, in an order that the kernel allows: none may exceed the next.
const SETS: [CapSet; 4] =
    [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable];

/// Gives up all capabilities of this thread, and the way to come by others: no program that is run has more rights
/// than who runs it. Does nothing where that is done.
///
/// # Errors
/// [`SandboxError::Capabilities`].
pub fn drop_all() -> Result<(), SandboxError> {
    let failed = |error: &dyn std::fmt::Display| SandboxError::Capabilities(error.to_string());
    nix::sys::prctl::set_no_new_privs().map_err(|error| failed(&error))?;
    let left = |set| caps::read(None, set).map_or(true, |left| !left.is_empty());
    if left(CapSet::Permitted) || left(CapSet::Inheritable) {
        for set in SETS {
            caps::clear(None, set).map_err(|error| failed(&error))?;
        }
        if left(CapSet::Permitted) || left(CapSet::Effective) {
            return Err(SandboxError::Capabilities("some are left".to_owned()));
        }
    }
    Ok(())
}

/// Does something that needs no capability while none is in effect.
pub fn without<T>(work: impl FnOnce() -> T) -> T {
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    if !held.is_empty() && caps::set(None, CapSet::Effective, &CapsHashSet::new()).is_ok() {
        let done = work();
        // They are permitted still. Where they do not come back, what needs them says so.
        let _ = caps::set(None, CapSet::Effective, &held);
        return done;
    }
    work()
}
