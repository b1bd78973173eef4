//! Waiting until the kernel really stamps frames.
//!
//! The kernel switches stamping on for the whole host by a work item that runs some time after the request. A frame
//! seen before that has no stamp, and the kernel silently uses the time at which it is read: the RTTs of the first
//! hop would be too long by our delay in reading. So datagrams are sent over the loopback until one comes back with a
//! stamp from before it was read.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use nix::poll::ppoll;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::sys::{self, BATCH, Note};
use super::{random, realtime};

/// The number of attempts, 100 ms in all. One or two were seen, and up to a hundred on an overloaded machine.
const TRIES: usize = 500;
/// The number of attempts where none can succeed, such as without a loopback interface that is up: they only let time
/// pass.
const BLIND: usize = 50;
const PAUSE: TimeSpec = TimeSpec::new(0, 200_000);

/// The number of ports that are tried.
const PORTS: usize = 8;

/// Stamping that was requested and may not be on yet.
pub struct Stamping {
    probe: io::Result<Loop>,
    is_settled: bool,
}

impl Stamping {
    /// Requests stamping: the earlier, the shorter the wait before the first probe.
    #[must_use]
    pub fn ask() -> Self {
        Self { probe: Loop::open(), is_settled: false }
    }

    /// Returns once stamps are real, or after the longest wait: stamps that are a little late do not keep a trace
    /// from running. Later calls return at once. The socket to be stamped must have requested stamps before.
    pub(super) fn settle(&mut self) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        for tried in 0..TRIES {
            let is_stamped = self.probe.as_ref().ok().and_then(|it| it.is_stamped().ok());
            if is_stamped.unwrap_or(tried >= BLIND) {
                return;
            }
            // This is not a sleep, which a sandbox may forbid.
            let _ = ppoll(&mut [], Some(PAUSE), None);
        }
    }
}

/// A UDP socket that sends to itself.
struct Loop {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Loop {
    fn open() -> io::Result<Self> {
        // One of the drawn ports is free; a port chosen by the kernel would cost another system call to learn.
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

    /// The loopback delivers while it sends; a datagram that is not there at once counts as not stamped.
    fn is_stamped(&self) -> io::Result<bool> {
        self.socket.send_to(&[0], self.address)?;
        let before_reading = realtime();
        let mut notes = [Note::NONE; BATCH];
        let read = sys::receive(&self.socket, 0, [[0].as_mut_slice()].into_iter(), &mut notes)?;
        Ok(read.iter().any(|note| note.stamp.is_some_and(|at| at <= before_reading)))
    }
}
