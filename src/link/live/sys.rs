//! The three things that no safe crate does for us. Nothing else in rtrace is `unsafe`.

#![expect(unsafe_code, reason = "an ioctl, a socket option, a borrowed descriptor")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use pnet::transport::TransportSender;

use crate::time::Timestamp;

/// `SIOCGSTAMPNS` of asm/sockios.h: the stamp of the frame last read, as a `struct timespec`.
const SIOCGSTAMPNS: libc::Ioctl = 0x8907;

/// What `PACKET_STATISTICS` counted since it was last asked: `struct tpacket_stats`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketStatistics {
    /// Frames that passed the filter, dropped ones included.
    pub packets: u32,
    /// Frames that were dropped because the buffer was full.
    pub drops: u32,
}

/// When the kernel saw the frame that was last read from `socket`. The first call also turns
/// stamping on, and fails.
pub fn stamp(socket: &OwnedFd) -> io::Result<Timestamp> {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the descriptor is open, and this request writes one timespec through the pointer.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSTAMPNS, &raw mut at) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(Timestamp::from_parts(at.tv_sec, at.tv_nsec))
}

/// The counters of a packet socket; reading them resets them.
pub fn packet_statistics(socket: &OwnedFd) -> io::Result<PacketStatistics> {
    const LENGTH: usize = mem::size_of::<PacketStatistics>();
    let mut counters = PacketStatistics::default();
    let mut length = libc::socklen_t::try_from(LENGTH).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open; the kernel writes at most `length` bytes, the size of the
    // structure, in which every bit pattern is valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut counters).cast(),
            &raw mut length,
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(counters) }
}

/// The descriptor of pnet's sender, which has it as a number only.
pub fn descriptor(sender: &TransportSender) -> BorrowedFd<'_> {
    // SAFETY: `sender` owns the descriptor and closes it when dropped; the borrow ends before.
    unsafe { BorrowedFd::borrow_raw(sender.socket.fd) }
}
