//! Waiting until the kernel really stamps frames.
//!
//! Stamping is switched on for the whole host by a work item that runs some time after it was asked
//! for. A frame seen before that has no stamp, and `SIOCGSTAMPNS` then silently answers with the time
//! of the question: the first hop's RTTs would be wrong, by as much as we were slow to read. So a
//! datagram is sent over the loopback until one comes back stamped before it was read.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use super::{realtime, sys};

/// How often to try, and how long to pause in between: 10 ms in all. Seen: one or two tries.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_micros(200);

/// Returns once stamps are real, or when it has waited long enough: stamps that are a little late
/// are no reason not to trace. The socket to be stamped must have been switched on before.
pub(super) fn settle() {
    let probe = Loop::open();
    for _ in 0..TRIES {
        // Without a loopback interface that is up there is nothing to try, only time to pass.
        if probe.as_ref().is_ok_and(|probe| probe.is_stamped().unwrap_or(false)) {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// A UDP socket that talks to itself.
struct Loop {
    socket: UdpSocket,
    /// The same socket, for the ioctl.
    descriptor: OwnedFd,
}

impl Loop {
    fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        socket.set_read_timeout(Some(PAUSE))?;
        let descriptor = OwnedFd::from(socket.try_clone()?);
        let _ = sys::stamp(&descriptor); // switches stamps on, and fails for want of a datagram
        Ok(Self { socket, descriptor })
    }

    fn is_stamped(&self) -> io::Result<bool> {
        self.socket.send(&[0])?;
        let before_reading = realtime();
        self.socket.recv(&mut [0])?;
        Ok(sys::stamp(&self.descriptor)? <= before_reading)
    }
}
