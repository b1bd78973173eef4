//! A child process that does one thing and holds nothing but a socket to its parent.
//!
//! Invariant: it never returns into the parent's code, has no descriptor of the parent's but that socket, and
//! its standard streams lead nowhere. To be made before any thread is: what a lock of another thread's guards
//! is as that thread left it.

#![expect(unsafe_code, reason = "a fork, and the closing of what the child inherits")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::unistd::{ForkResult, Pid, fork};

/// Where the descriptors begin that are not standard streams.
const FIRST: libc::c_uint = 3;
/// How many descriptors are closed one by one where the kernel (before 5.9) cannot close them all at once.
const FEW: libc::c_uint = 4_096;

/// Has a child process do `work` with `socket`, and end. The caller has to wait for it.
///
/// # Errors
/// The kernel's, when there is no room for another process.
pub fn start(socket: OwnedFd, work: impl FnOnce(OwnedFd)) -> io::Result<Pid> {
    // SAFETY: there is one thread, so the child's memory is whole and it may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // A panic ends this process; it is not the parent's.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                if let Ok(number) = libc::c_uint::try_from(socket.as_raw_fd()) {
                    close_all_but(number);
                    silence();
                    work(socket);
                }
            }));
            // SAFETY: it never returns, and runs nothing that was registered in the parent.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Closes whatever the parent had open, but the standard streams and this.
fn close_all_but(kept: libc::c_uint) {
    let ranges = [(FIRST, kept.saturating_sub(1)), (kept.max(FIRST - 1) + 1, libc::c_uint::MAX)];
    for (first, last) in ranges.into_iter().filter(|(first, last)| first <= last) {
        // SAFETY: what owns these descriptors is never used again in this process, nor dropped.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if closed == -1 {
            for number in first..=last.min(FEW) {
                // SAFETY: as above.
                unsafe { libc::close(number.cast_signed()) };
            }
        }
    }
}

/// Standard streams that lead nowhere: what libraries print is not the program's report.
fn silence() {
    let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null");
    let Ok(nowhere) = nowhere.map(IntoRawFd::into_raw_fd) else { return };
    for stream in 0..FIRST.cast_signed() {
        // SAFETY: both numbers are descriptors; std uses the standard streams by number only.
        unsafe { libc::dup2(nowhere, stream) };
    }
    // SAFETY: nobody else has it.
    unsafe { libc::close(nowhere) };
}
