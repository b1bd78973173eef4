//! A child process for a single task, which holds only a socket to its parent and perhaps a file.
//!
//! Invariant: the child never returns into the parent's code, has no other descriptor of the parent, and its standard
//! streams lead nowhere. Start it before any thread: data that another thread has locked would stay as that thread
//! left it.

#![expect(unsafe_code, reason = "a fork, and the closing of what the child inherits")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::unistd::{ForkResult, Pid, fork};

/// The first descriptor that is not a standard stream.
const FIRST: libc::c_uint = 3;
/// The number of descriptors that are closed one by one if the kernel (before 5.9) cannot close them all at once.
const FEW: libc::c_uint = 4_096;

/// Starts a child process that does `work` with `socket`, and ends. It keeps `file`, too. The caller must wait for
/// it.
///
/// # Errors
/// The error of the kernel, if it cannot start another process.
pub fn start(
    socket: OwnedFd,
    file: Option<BorrowedFd<'_>>,
    work: impl FnOnce(OwnedFd),
) -> io::Result<Pid> {
    // SAFETY: there is one thread, so the child's memory is whole and it may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // A panic ends this process; it is not the parent's.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                close_all_but([Some(socket.as_fd()), file]);
                silence();
                work(socket);
            }));
            // SAFETY: it never returns, and runs nothing that was registered in the parent.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Sets close-on-exec on all descriptors but the standard streams: no program that this process runs inherits what
/// libraries opened, or what came from the caller of this process.
pub fn close_on_exec() {
    /// The number of files that a process may have open by default.
    const USUAL: libc::c_int = 1_024;
    let all = libc::c_uint::MAX;
    // SAFETY: no descriptor is closed by it, as long as there is no other program.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, all, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Kernels before 5.11 cannot do that for all at once.
    for number in FIRST.cast_signed()..USUAL {
        // SAFETY: a flag of a descriptor is set; where there is none, the kernel says so.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Closes whatever the parent had open, except the standard streams and these.
fn close_all_but(kept: [Option<BorrowedFd<'_>>; 2]) {
    let number = |kept: BorrowedFd<'_>| kept.as_raw_fd().cast_unsigned();
    let mut kept: Vec<_> = kept.into_iter().flatten().map(number).collect();
    kept.sort_unstable();
    let mut first = FIRST;
    for kept in kept.into_iter().filter(|kept| *kept >= FIRST) {
        close(first, kept - 1);
        first = kept + 1;
    }
    close(first, libc::c_uint::MAX);
}

/// Closes the descriptors from `first` to `last`, if there are any.
fn close(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: what owns these descriptors is never used again in this process, nor dropped.
    if first <= last && unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == -1 {
        for number in first..=last.min(FEW) {
            // SAFETY: as above.
            unsafe { libc::close(number.cast_signed()) };
        }
    }
}

/// Points the standard streams to nowhere: what libraries print is not part of the report.
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
