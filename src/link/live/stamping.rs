//! Waiting until the kernel really stamps frames.
//!
//! Stamping is switched on for the whole host by a work item that runs some time after it was asked
//! for. A frame seen before that has no stamp, and the kernel then silently gives it that of its being
//! read: the first hop's RTTs would be wrong, by as much as we were slow to read. So a
//! datagram is sent over the loopback until one comes back stamped before it was read.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::realtime;
use super::sys::{self, BATCH, Note};

/// How often to try, and how long to pause in between: 10 ms in all. Seen: one or two tries.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_micros(200);

/// Stamping, asked for but perhaps not on yet.
pub struct Stamping(io::Result<Loop>);

impl Stamping {
    /// Asks for it: the sooner, the less there is to wait for when the link is opened.
    #[must_use]
    pub fn ask() -> Self {
        Self(Loop::open())
    }

    /// Returns once stamps are real, or when it has waited long enough: stamps that are a little late
    /// are no reason not to trace. The socket to be stamped must have been switched on before.
    pub(super) fn settle(self) {
        for _ in 0..TRIES {
            // Without a loopback interface that is up there is nothing to try, only time to pass.
            if self.0.as_ref().is_ok_and(|it| it.is_stamped().unwrap_or(false)) {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// A UDP socket that talks to itself.
struct Loop(UdpSocket);

impl Loop {
    fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(Self(socket))
    }

    /// The loopback delivers while it sends; what is not there at once counts as not stamped.
    fn is_stamped(&self) -> io::Result<bool> {
        self.0.send(&[0])?;
        let before_reading = realtime();
        let mut notes = [Note::NONE; BATCH];
        let read = sys::receive(&self.0, 0, [[0].as_mut_slice()].into_iter(), &mut notes)?;
        Ok(read.iter().any(|note| note.stamp.is_some_and(|at| at <= before_reading)))
    }
}
