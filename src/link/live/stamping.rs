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

use super::sys::{self, BATCH, Note};
use super::{random, realtime};

/// How often to try: 100 ms in all. Seen: one or two tries, and up to a hundred on a machine that is overloaded.
const TRIES: usize = 500;
/// As often where there is nothing to try, such as without a loopback interface that is up: only time is to pass.
const BLIND: usize = 50;
const PAUSE: TimeSpec = TimeSpec::new(0, 200_000);

/// How many ports are tried.
const PORTS: usize = 8;

/// Stamping, asked for but perhaps not on yet.
pub struct Stamping {
    probe: io::Result<Loop>,
    is_settled: bool,
}

impl Stamping {
    /// Asks for it: the sooner, the less there is to wait for before the first probe.
    #[must_use]
    pub fn ask() -> Self {
        Self { probe: Loop::open(), is_settled: false }
    }

    /// Returns once stamps are real, at once if it has done so before, or when it has waited long enough: stamps that are a little late
    /// are no reason not to trace. The socket to be stamped must have been switched on before.
    pub(super) fn settle(&mut self) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        for tried in 0..TRIES {
            let is_stamped = self.probe.as_ref().ok().and_then(|it| it.is_stamped().ok());
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
        // Of the ports that were drawn for it one is free: the kernel would have to be asked which it chose.
        let mut bound = Err(io::ErrorKind::AddrInUse.into());
        for _ in 0..PORTS {
            let address =
                SocketAddr::from((Ipv4Addr::LOCALHOST, random::from(random::FIRST_FREE)?));
            bound = UdpSocket::bind(address).map(|socket| Self { socket, address });
            if bound.is_ok() {
                break;
            }
        }
        let bound = bound?;
        setsockopt(&bound.socket, sockopt::ReceiveTimestampns, &true)?;
        Ok(bound)
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
