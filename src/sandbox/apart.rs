//! Parsing something while this process still has rights that it needs: another one without any does it, and what
//! comes back is short, and read as what it is, input.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{getpid, getppid};

use super::{Profile, SandboxError, enter};
use crate::link::live::process;

/// No answer is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// Has a process that can do nothing but read `file`, which is open, do `work`, and returns what that comes to: empty if
/// the process could not be confined, or did not come to its end.
///
/// # Errors
/// [`SandboxError::Apart`].
pub fn apart(
    file: BorrowedFd<'_>,
    work: impl FnOnce() -> Vec<u8>,
) -> Result<Vec<u8>, SandboxError> {
    let parent = getpid();
    let (ours, theirs) = UnixStream::pair().map_err(SandboxError::Apart)?;
    let inside = |socket| {
        let orphaned = set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent;
        if !orphaned && enter(&Profile::default()).is_ok() {
            // Whoever does not get it all takes it for nothing.
            let _ = File::from(socket).write_all(&work());
        }
    };
    let child = process::start(theirs.into(), Some(file), inside).map_err(SandboxError::Apart)?;
    let mut answer = Vec::new();
    let read = ours.take(LONGEST).read_to_end(&mut answer);
    while waitpid(child, None) == Err(Errno::EINTR) {}
    read.map_err(SandboxError::Apart)?;
    Ok(answer)
}
