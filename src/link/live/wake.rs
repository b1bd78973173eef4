//! Ends a wait of the link from outside: from other threads, and on signals.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::sys;

/// Makes a link's wait return [`Received::Woken`](crate::link::Received::Woken).
///
/// A call leaves two notices. A link that has no need to wait sees a flag without a system call; a byte in a pipe
/// ends a wait. The flag is set first, and cleared before the pipe is emptied, so that no call is lost; one may be
/// seen twice.
#[derive(Clone, Debug)]
pub struct Waker {
    called: Arc<AtomicBool>,
    pipe: Arc<UnixStream>,
}

impl Waker {
    /// Ends the present wait of the link, or its next one. Never blocks, allocates nothing and takes no lock, so that
    /// a signal handler may call it.
    pub fn wake(&self) {
        self.called.store(true, Ordering::SeqCst);
        // If the pipe is full, the link will wake anyway; if it is closed, there is no link.
        let _ = self.pipe.as_ref().write(&[0]);
    }
}

/// The link's end of a [`Waker`].
#[derive(Debug)]
pub(super) struct Wakeups {
    called: Arc<AtomicBool>,
    pipe: UnixStream,
}

/// A waker and the link's end of it.
pub(super) fn channel() -> io::Result<(Waker, Wakeups)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
    let (ours, theirs) = (UnixStream::from(ours), UnixStream::from(theirs));
    let called = Arc::new(AtomicBool::new(false));
    let waker = Waker { called: Arc::clone(&called), pipe: Arc::new(theirs) };
    Ok((waker, Wakeups { called, pipe: ours }))
}

impl Wakeups {
    /// Whether there was a call since the last [`drain`](Self::drain).
    pub(super) fn called(&self) -> bool {
        self.called.load(Ordering::SeqCst)
    }

    /// Forgets the calls so far.
    pub(super) fn drain(&mut self) {
        self.called.store(false, Ordering::SeqCst);
        let mut bytes = [0; 64];
        while matches!(self.pipe.read(&mut bytes), Ok(read) if read == bytes.len()) {}
    }
}

impl AsFd for Wakeups {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Whether Ctrl-C or SIGTERM asked the run to end.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Takes over SIGINT and SIGTERM: the first one is noted and wakes the link, if it can wait; a second one ends
    /// the process as by default.
    ///
    /// # Errors
    /// The error of the kernel, if a handler cannot be installed.
    pub fn install(waker: Option<&Waker>) -> io::Result<Self> {
        let number = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the actions of a signal run in the order of their registration.
            flag::register_conditional_default(signal, Arc::clone(&seen))?;
            flag::register(signal, Arc::clone(&seen))?;
            let value = usize::try_from(signal).map_err(io::Error::other)?;
            flag::register_usize(signal, Arc::clone(&number), value)?;
            if let Some(waker) = waker {
                let waker = waker.clone();
                sys::wake_at(signal, move || waker.wake())?;
            }
        }
        Ok(Self(number))
    }

    /// The number of the signal that came, if any. The customary exit status is 128 more.
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
        let is_readable = poll(&mut fds, PollTimeout::ZERO).unwrap() == 1;
        assert_eq!(is_readable, wakeups.called());
        is_readable
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
