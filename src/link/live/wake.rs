//! Cutting a wait short from outside: other threads, and signals.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// Makes a link's wait return [`Received::Woken`](crate::link::Received::Woken).
#[derive(Clone, Debug)]
pub struct Waker(Arc<UnixStream>);

impl Waker {
    /// Ends the link's present wait, or the next one if it is not waiting. Never blocks.
    pub fn wake(&self) {
        // If the pipe is full, the link has enough reasons to wake; if it is closed, it is gone.
        let _ = self.0.as_ref().write(&[0]);
    }
}

/// The link's end of a [`Waker`].
#[derive(Debug)]
pub(super) struct Wakeups(UnixStream);

/// Both ends.
pub(super) fn channel() -> io::Result<(Waker, Wakeups)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((Waker(Arc::new(theirs)), Wakeups(ours)))
}

impl Wakeups {
    /// Forgets what has been written so far.
    pub(super) fn drain(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.0.read(&mut bytes), Ok(read) if read == bytes.len()) {}
    }
}

impl AsFd for Wakeups {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether Ctrl-C or SIGTERM asked the run to end.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Takes over SIGINT and SIGTERM: the first one is noted and wakes the link, a second one ends
    /// the process as it would have without us.
    ///
    /// # Errors
    /// The kernel's, when a handler cannot be installed.
    pub fn install(waker: &Waker) -> io::Result<Self> {
        let number = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the actions of a signal run in the order of their registration.
            flag::register_conditional_default(signal, Arc::clone(&seen))?;
            flag::register(signal, Arc::clone(&seen))?;
            let value = usize::try_from(signal).map_err(io::Error::other)?;
            flag::register_usize(signal, Arc::clone(&number), value)?;
            pipe::register(signal, waker.0.try_clone()?)?;
        }
        Ok(Self(number))
    }

    /// The number of the signal that came, if one has. 128 more is the customary exit status.
    #[must_use]
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_awake(wakeups: &Wakeups) -> bool {
        let mut fds = [PollFd::new(wakeups.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn wakes_are_kept_until_drained_and_never_block() {
        let (waker, mut wakeups) = channel().unwrap();
        assert!(!is_awake(&wakeups));
        for count in [1, 64, 1_000_000] {
            (0..count).for_each(|_| waker.clone().wake());
            assert!(is_awake(&wakeups));
            wakeups.drain();
            assert!(!is_awake(&wakeups), "{count}");
        }
        drop(wakeups);
        waker.wake();
    }
}
