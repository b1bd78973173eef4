//! The two edges of a live link: packets, which take privilege, and sockets, which take none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::capture::Capture;
use super::identifiers::Identifiers;
use super::sender::Sender;
use super::sockets::Sockets;
use crate::time::Timestamp;
use crate::wire::LinkType;

/// What probes leave by and frames come from.
pub(super) enum Edge {
    Packets(Box<Packets>),
    Sockets(Box<Sockets>),
}

/// Raw sockets and a packet socket.
pub(super) struct Packets {
    pub sender: Sender,
    pub identifiers: Identifiers,
    /// The link type of the frames, for each target.
    pub links: Vec<LinkType>,
    pub capture: Capture,
}

impl Edge {
    /// Whether a frame that was read is still to be handed out.
    pub(super) fn has_frame(&self) -> bool {
        match self {
            Self::Packets(packets) => packets.capture.has_frame(),
            Self::Sockets(sockets) => sockets.has_frame(),
        }
    }

    /// Reads what is there. Returns whether there may be more.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        match self {
            Self::Packets(packets) => packets.capture.read(),
            Self::Sockets(sockets) => {
                sockets.read();
                Ok(false)
            }
        }
    }

    /// The stamp of the next frame that was read.
    pub(super) fn next_stamp(&self) -> Option<Timestamp> {
        match self {
            Self::Packets(packets) => packets.capture.next_stamp(),
            Self::Sockets(sockets) => sockets.next_stamp(),
        }
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let (capture, sockets) = match self {
            Self::Packets(packets) => (Some(packets.capture.as_fd()), None),
            Self::Sockets(sockets) => (None, Some(sockets.descriptors())),
        };
        capture.into_iter().chain(sockets.into_iter().flatten())
    }
}

impl AsFd for Edge {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Packets(packets) => packets.capture.as_fd(),
            Self::Sockets(sockets) => sockets.as_fd(),
        }
    }
}
