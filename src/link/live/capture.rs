//! The capturing side: a packet socket (packet(7)) bound by pnet, read in batches.
//!
//! The socket is ours and made for the purpose before pnet gets it: opened with protocol 0, so that
//! it receives nothing until pnet binds it, and then only what the filter lets through. pnet's own
//! receiver is let go: it waits and reads for each frame, gives no stamps, and throws away where a
//! frame came from. We read with recvmmsg(2), as many frames as there are at a time, each with the
//! kernel's stamp in a control message.
//!
//! An interface whose frames have no common link header, and all interfaces at once, are captured
//! cooked: the kernel takes the link header off and we write an SLL2 header from what it says of the
//! packet.
//!
//! Invariant: frames are handed out in the order in which they were read, each once, before any other
//! is read.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use pnet_datalink::{Config, NetworkInterface};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::attach;
use super::filter::{Filter, Instruction};
use super::route::{self, ANY};
use super::sys::{self, BATCH, Note};
use crate::time::Timestamp;
use crate::wire::LinkType;

/// Room for bursts, in bytes; some 5,000 small frames as the kernel counts them.
const BUFFER: usize = 4 << 20;

/// Room for one frame: the longest datagram and a generous link header, in whole pages. Pages that no
/// frame was long enough for take no memory.
pub(super) const ROOM: usize = 17 << 12;

/// Length of an SLL2 header (<https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>).
const SLL2_LEN: usize = 20;

/// Frames of one interface, or of all.
pub(super) struct Capture {
    socket: OwnedFd,
    link: LinkType,
    /// The frames read last, in rooms of equal size, and what the kernel says of each.
    rooms: Vec<u8>,
    notes: [Note; BATCH],
    /// Which of them are still to be handed out.
    waiting: Range<usize>,
    totals: Statistics,
    /// Unless it is on all interfaces.
    elsewhere: Option<Elsewhere>,
    /// Lets go of the sockets, and so has to be dropped after them.
    _ring: Option<OwnedFd>,
}

/// What the kernel counted on the capture so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that passed the filter, the dropped ones included.
    pub received: u64,
    /// Frames among these that were lost because they were not read in time.
    pub dropped: u64,
    /// Frames that came in by interfaces which are not captured on.
    pub elsewhere: u64,
}

/// A frame as it was captured.
pub(super) struct Captured<'a> {
    /// When the kernel saw it.
    pub at: Timestamp,
    /// When the device received it, by the device's clock, if that is asked for.
    pub hardware: Option<Timestamp>,
    /// Whether it is on its way out.
    pub outgoing: bool,
    pub bytes: &'a [u8],
    /// How long it was, if there had been room for all of it.
    pub original_len: usize,
}

impl Capture {
    /// Begins to capture what `filter` lets through on the interface with this name and number, or
    /// on all if the number is 0.
    pub(super) fn open(name: &str, index: u32, filter: &Filter) -> io::Result<Self> {
        let cooked = filter.link == LinkType::Sll2;
        let kind = if cooked { Type::DGRAM } else { Type::RAW };
        let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(0)))?;
        // The first needs CAP_NET_ADMIN; without it the system's limit stands.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let socket = bind(socket, name, index, &filter.program())?;
        let elsewhere = (index > 0).then(|| Elsewhere::open(name, index, filter)).transpose()?;
        let sockets = [Some(socket.as_fd()), elsewhere.as_ref().map(|it| it.0.as_fd())];
        Ok(Self {
            _ring: sys::ring(&sockets.into_iter().flatten().collect::<Vec<_>>()),
            socket,
            elsewhere,
            link: filter.link,
            rooms: vec![0; BATCH * ROOM],
            notes: [Note::NONE; BATCH],
            waiting: 0..0,
            totals: Statistics::default(),
        })
    }

    /// What frames begin with.
    pub(super) fn link(&self) -> LinkType {
        self.link
    }

    /// Whether a frame that was read is still to be handed out.
    pub(super) fn has_frame(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Reads the frames that are there, once all those read before are handed out; says whether there
    /// may be more of them than there was room for.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        let headroom = headroom(self.link);
        let rooms = self.rooms.chunks_exact_mut(ROOM).filter_map(|room| room.get_mut(headroom..));
        match sys::receive(&self.socket, 0, rooms, &mut self.notes) {
            Ok(read) => {
                self.waiting = 0..read.len();
                Ok(read.len() == BATCH)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// When the next of them was stamped.
    pub(super) fn next_stamp(&self) -> Option<Timestamp> {
        let waiting = self.waiting.clone().next()?;
        self.notes.get(waiting)?.stamp
    }

    /// The next of the frames that were read.
    pub(super) fn next(&mut self) -> Option<io::Result<Captured<'_>>> {
        let index = self.waiting.next()?;
        let note = self.notes.get(index)?;
        let room = self.rooms.chunks_exact_mut(ROOM).nth(index)?;
        if let Some(header) = room.first_chunk_mut().filter(|_| self.link == LinkType::Sll2) {
            *header = sll2(&note.address);
        }
        let original_len = headroom(self.link) + note.length;
        let bytes = room.get(..original_len).unwrap_or(room);
        // The option is on: a frame without a stamp would be a fault of the kernel's.
        let at = note.stamp.ok_or_else(|| io::Error::other("a frame has no stamp"));
        let outgoing = note.address.sll_pkttype == libc::PACKET_OUTGOING;
        let hardware = note.hardware;
        Some(at.map(|at| Captured { at, hardware, outgoing, bytes, original_len }))
    }

    /// The counters since the capture began.
    pub(super) fn statistics(&mut self) -> io::Result<Statistics> {
        let new = sys::packet_statistics(&self.socket)?;
        self.totals.received += u64::from(new.packets);
        self.totals.dropped += u64::from(new.drops);
        if let Some(elsewhere) = &self.elsewhere {
            self.totals.elsewhere += elsewhere.count()?;
        }
        Ok(self.totals)
    }
}

/// Counts what the filter of a capture would let through on the other interfaces, and keeps none of it.
pub(super) struct Elsewhere(OwnedFd);

impl Elsewhere {
    /// Begins to count, beside a capture on the interface with this name and number.
    pub(super) fn open(name: &str, index: u32, filter: &Filter) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        // What does not find room is counted as well.
        setsockopt(&socket, sockopt::RcvBuf, &0)?;
        let mut seen = route::below(name);
        seen.push(index);
        bind(socket, ANY, 0, &filter.elsewhere(&seen)).map(Self)
    }

    /// How many frames there were since it was last asked.
    pub(super) fn count(&self) -> io::Result<u64> {
        sys::packet_statistics(&self.0).map(|counted| counted.packets.into())
    }
}

/// Lets what passes the filter reach a packet socket, from the interface with this name and number, or from
/// all if the number is 0.
fn bind(socket: Socket, name: &str, index: u32, filter: &[Instruction]) -> io::Result<OwnedFd> {
    attach(&SockRef::from(&socket), filter)?;
    sys::lock_filter(&socket)?;
    let ours = OwnedFd::from(socket.try_clone()?);
    let config = Config {
        read_buffer_size: 0,
        write_buffer_size: 0,
        read_timeout: Some(Duration::ZERO),
        promiscuous: false,
        socket_fd: Some(socket.into_raw_fd()), // pnet closes it, on errors too
        ..Config::default()
    };
    let interface = NetworkInterface {
        name: name.to_owned(),
        description: String::new(),
        index,
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    // What it is for is done: the socket is bound.
    drop(pnet_datalink::channel(&interface, config)?);
    Ok(ours)
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// How much room is left before a frame for a header of our making.
fn headroom(link: LinkType) -> usize {
    if link == LinkType::Sll2 { SLL2_LEN } else { 0 }
}

/// The SLL2 header for a packet from this address. `sll_protocol` is in network byte order already,
/// the other fields are the host's.
fn sll2(address: &libc::sockaddr_ll) -> [u8; SLL2_LEN] {
    let mut header = [0; SLL2_LEN];
    header[..2].copy_from_slice(&address.sll_protocol.to_ne_bytes());
    header[4..8].copy_from_slice(&address.sll_ifindex.to_be_bytes());
    header[8..10].copy_from_slice(&address.sll_hatype.to_be_bytes());
    header[10] = address.sll_pkttype;
    header[11] = address.sll_halen;
    header[12..].copy_from_slice(&address.sll_addr);
    header
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::wire;

    #[test]
    fn messages_are_read_until_there_is_none_or_no_room_and_what_is_cut_is_known() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        let mut notes = [Note::NONE; BATCH];
        let mut rooms = [0; 12];
        let mut read = || -> io::Result<Vec<usize>> {
            let read = sys::receive(&receiver, 0, rooms.chunks_exact_mut(4), &mut notes)?;
            assert!(read.iter().all(|note| note.stamp.is_none()), "nobody asked for any");
            Ok(read.iter().map(|note| note.length).collect())
        };
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for message in ["1", "12345", "123", "1234"] {
            sender.send(message.as_bytes()).unwrap();
        }
        assert_eq!(read().unwrap(), [1, 5, 3]);
        assert_eq!(read().unwrap(), [4]);
        assert_eq!(&rooms, b"12341234123\0");
    }

    #[test]
    fn a_cooked_header_is_read_back() {
        let address = libc::sockaddr_ll {
            sll_family: 17,
            sll_protocol: 0x0800_u16.to_be(),
            sll_ifindex: 0x0102_0304,
            sll_hatype: 1,
            sll_pkttype: 4,
            sll_halen: 6,
            sll_addr: [0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 0, 0],
        };
        let header = sll2(&address);
        let expect = [8, 0, 0, 0, 1, 2, 3, 4, 0, 1, 4, 6, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 0, 0];
        assert_eq!(header, expect);
        let frame = [header.as_slice(), &[0x45, 0]].concat();
        let datagram = wire::link::ip_datagram(LinkType::Sll2, &frame);
        assert_eq!(datagram, Ok(Some([0x45, 0].as_slice())));
    }
}
