//! Waiting until the kernel really stamps frames.
//!
//! Stamping is switched on for the whole host by a work item that runs some time after it was asked
//! for. A frame seen before that has no stamp, and the kernel then silently gives it that of its being
//! read: the first hop's RTTs would be wrong, by as much as we were slow to read. So a
//! datagram is sent over the loopback until one comes back stamped before it was read.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use nix::poll::ppoll;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::realtime;
use super::sys::{self, BATCH, Note};

/// How often to try: 100 ms in all. Seen: one or two tries, and up to a hundred on a machine that is overloaded.
const TRIES: usize = 500;
/// As often where there is nothing to try, such as without a loopback interface that is up: only time is to pass.
const BLIND: usize = 50;
const PAUSE: TimeSpec = TimeSpec::new(0, 200_000);

/// Stamping, asked for but perhaps not on yet.
pub struct Stamping(io::Result<Loop>);

impl Stamping {
    /// Asks for it: the sooner, the less there is to wait for before the first probe.
    #[must_use]
    pub fn ask() -> Self {
        Self(Loop::open())
    }

    /// Returns once stamps are real, or when it has waited long enough: stamps that are a little late
    /// are no reason not to trace. The socket to be stamped must have been switched on before.
    pub(super) fn settle(self) {
        for tried in 0..TRIES {
            let is_stamped = self.0.as_ref().ok().and_then(|it| it.is_stamped().ok());
            if is_stamped.unwrap_or(tried >= BLIND) {
                return;
            }
            // Not by sleeping, which a sandbox may not have.
            let _ = ppoll(&mut [], Some(PAUSE), None);
        }
    }
}

/// A UDP socket that talks to itself.
struct Loop {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Loop {
    fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The loopback delivers while it sends; what is not there at once counts as not stamped.
    fn is_stamped(&self) -> io::Result<bool> {
        self.socket.send_to(&[0], self.address)?;
        let before_reading = realtime();
        let mut notes = [Note::NONE; BATCH];
        let read = sys::receive(&self.socket, 0, [[0].as_mut_slice()].into_iter(), &mut notes)?;
        Ok(read.iter().any(|note| note.stamp.is_some_and(|at| at <= before_reading)))
    }
}
