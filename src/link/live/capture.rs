//! The capturing side: one packet socket (packet(7)) for all interfaces, bound by pnet, read in batches.
//!
//! The socket is ours and opened for this before pnet gets it: with protocol 0, so that it receives nothing until
//! pnet binds it, and then only what the filter passes. pnet's own receiver is dropped: it waits and reads for each
//! frame, gives no stamps, and loses where a frame came from. We read with recvmmsg(2), as many frames as there are
//! at a time, each with the kernel's stamp in a control message.
//!
//! One socket is enough, and closing a socket is what delays an exit (`sys::ring`). If only some interfaces are
//! wanted, the filter passes one octet of each frame from the others, so that they can be counted. With several
//! targets the filter passes more than their frames; frames of this host to itself are dropped here (`own`).
//!
//! Frames of an interface without a common link header are captured cooked, and on request all frames are: we write
//! an SLL2 header in front of the IP header from what the kernel says of the packet.
//!
//! Invariant: frames are handed out in the order in which they were read, each once, before any other is read. A
//! frame that is seen on a bridge and on its member is handed out once.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use pnet_datalink::{Config, NetworkInterface};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::config::LiveConfig;
use super::filter::{self, Filter, Instruction, Only};
use super::route::{self, ANY, Interface};
use super::sys::{self, BATCH, Note};
use super::twins::Twins;
use super::{attach, own};
use crate::time::Timestamp;
use crate::wire::{Evidence, LinkType};

/// The size of the receive buffer for one target, in bytes: room for some 5,000 small frames as the kernel counts
/// them.
const BUFFER: usize = 4 << 20;
/// The largest multiple of [`BUFFER`], which is enough for any number of targets.
const MOST_BUFFERS: usize = 16;

/// Room for one frame: the longest datagram and a generous link header, in whole pages. Pages that no frame was long
/// enough for take no memory.
pub(super) const ROOM: usize = 17 << 12;

/// Length of an SLL2 header (<https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>).
const SLL2_LEN: usize = 20;

/// What a capture is opened for.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    /// The interfaces that probes leave by, each once.
    pub interfaces: Vec<&'a Interface>,
    /// Whether to capture only on these interfaces.
    pub alone: bool,
    /// Whether to capture all frames cooked.
    pub cooked: bool,
    /// The number of targets.
    pub targets: usize,
    /// Our addresses, in order, if there are several targets.
    pub sources: Vec<IpAddr>,
}

impl<'a> Wanted<'a> {
    /// The capture that a link with this configuration needs.
    pub(super) fn of(config: &'a LiveConfig) -> Self {
        let targets = config.targets.len();
        Self {
            interfaces: config.interfaces(),
            alone: config.alone,
            cooked: config.any,
            targets,
            sources: if targets > 1 { config.sources() } else { Vec::new() },
        }
    }
}

/// A capture on some interfaces, or on all.
pub(super) struct Capture {
    socket: OwnedFd,
    /// The indexes of the interfaces that probes leave by.
    indexes: Vec<u32>,
    alone: bool,
    cooked: bool,
    /// See [`Wanted`].
    sources: Vec<IpAddr>,
    /// Buffers of equal size with the frames read last, and the kernel's notes on each.
    rooms: Vec<u8>,
    notes: [Note; BATCH],
    /// The frames that are not handed out yet, the next one last.
    waiting: Vec<usize>,
    twins: Twins,
    totals: Statistics,
    /// Releases the socket without waiting, and so must be dropped after it.
    _ring: Option<OwnedFd>,
}

/// The kernel's counters of the capture so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that passed the filter, the dropped ones included.
    pub received: u64,
    /// Frames among these that were lost because they were not read in time.
    pub dropped: u64,
    /// Frames that came in on interfaces without a capture.
    pub elsewhere: u64,
}

/// A captured frame.
pub(super) struct Captured<'a> {
    /// When the kernel saw the frame.
    pub at: Timestamp,
    /// The link header that it begins with.
    pub link: LinkType,
    /// The index of the interface that it was seen on.
    pub interface: u32,
    /// When the device received it, by the device's clock, if that was requested.
    pub hardware: Option<Timestamp>,
    /// Whether it is leaving this host.
    pub outgoing: bool,
    pub bytes: &'a [u8],
    /// The length of the whole frame, in bytes, even if only a part was captured.
    pub original_len: usize,
    pub evidence: Evidence,
}

impl Capture {
    /// Begins to capture what the filters pass.
    pub(super) fn open(wanted: &Wanted<'_>, filters: &[Filter]) -> io::Result<Self> {
        let Wanted { alone, cooked, .. } = *wanted;
        let indexes: Vec<u32> = wanted.interfaces.iter().map(|it| it.index).collect();
        let buffer = BUFFER * wanted.targets.clamp(1, MOST_BUFFERS);
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        // The first needs CAP_NET_ADMIN; without it the system's limit stands.
        setsockopt(&socket, sockopt::RcvBufForce, &buffer)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &buffer))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        sys::ask_for_network_headers(&socket)?;
        let below = || wanted.interfaces.iter().flat_map(|it| route::below(&it.name)).collect();
        let only = alone.then(|| Only { indexes: indexes.clone(), below: below() });
        let socket = bind(socket, &filter::program(filters, only.as_ref()))?;
        Ok(Self {
            _ring: sys::ring(&[socket.as_fd()]),
            socket,
            indexes,
            alone,
            cooked,
            sources: wanted.sources.clone(),
            rooms: vec![0; BATCH * ROOM],
            notes: [Note::NONE; BATCH],
            waiting: Vec::with_capacity(BATCH),
            twins: Twins::default(),
            totals: Statistics::default(),
        })
    }

    /// Whether a frame that was read is still to be handed out.
    pub(super) fn has_frame(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Reads the frames that are there, once all earlier ones are handed out. Returns whether there may be more than
    /// there was room for; if so, at least one frame is to be handed out.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        loop {
            let rooms = self.rooms.chunks_exact_mut(ROOM);
            let rooms = rooms.filter_map(|room| room.get_mut(SLL2_LEN..));
            let count = match sys::receive(&self.socket, 0, rooms, &mut self.notes) {
                Ok(read) => read.len(),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => return Ok(false),
                    _ => return Err(error),
                },
            };
            self.sort(count);
            if self.has_frame() || count < BATCH {
                return Ok(count == BATCH);
            }
        }
    }

    /// Counts frames of other interfaces if only some are wanted, and drops frames that were already seen on another
    /// interface: of two in this batch, the one on an interface of the probes stays.
    fn sort(&mut self, count: usize) {
        self.waiting.clear();
        for at in 0..count {
            let Some(note) = self.notes.get(at) else { continue };
            let is_wanted = self.indexes.contains(&note.interface());
            if self.alone && !is_wanted {
                self.totals.elsewhere += 1;
                continue;
            }
            let room = self.rooms.get(at * ROOM + SLL2_LEN..).unwrap_or_default();
            let end = note.length.min(ROOM - SLL2_LEN);
            let datagram = room.get(network(note)..end).unwrap_or_default();
            let outgoing = note.address.sll_pkttype == libc::PACKET_OUTGOING;
            if !self.sources.is_empty() && own::is_of_this_host(datagram, outgoing, &self.sources) {
                continue;
            }
            match self.twins.find(datagram, note, at) {
                None => self.waiting.push(at),
                Some(other) if is_wanted => {
                    if let Some(it) = self.waiting.iter_mut().find(|it| Some(**it) == other) {
                        *it = at;
                    }
                }
                Some(_) => {}
            }
        }
        self.twins.end_batch();
        self.waiting.reverse();
    }

    /// The stamp of the next frame that was read.
    pub(super) fn next_stamp(&self) -> Option<Timestamp> {
        self.notes.get(*self.waiting.last()?)?.stamp
    }

    /// The next frame that was read.
    pub(super) fn next(&mut self) -> Option<io::Result<Captured<'_>>> {
        let index = self.waiting.pop()?;
        let note = self.notes.get(index)?;
        let room = self.rooms.chunks_exact_mut(ROOM).nth(index)?;
        let link =
            if self.cooked { LinkType::Sll2 } else { route::link_type(note.address.sll_hatype) };
        let whole = SLL2_LEN + note.length;
        let begin = if link == LinkType::Sll2 {
            let begin = network(note);
            let header = room.get_mut(begin..).and_then(<[u8]>::first_chunk_mut)?;
            *header = sll2(&note.address);
            begin
        } else {
            SLL2_LEN
        };
        let bytes = room.get(begin..whole).or_else(|| room.get(begin..)).unwrap_or_default();
        // The option is on: a frame without a stamp would be a fault of the kernel.
        let at = note.stamp.ok_or_else(|| io::Error::other("a frame has no stamp"));
        let outgoing = note.address.sll_pkttype == libc::PACKET_OUTGOING;
        let interface = note.interface();
        let (hardware, original_len) = (note.hardware, whole - begin.min(whole));
        let evidence = Evidence::Captured;
        Some(at.map(|at| Captured {
            at,
            link,
            interface,
            hardware,
            outgoing,
            bytes,
            original_len,
            evidence,
        }))
    }

    /// The number of frames that came in on interfaces without a capture.
    pub(super) fn elsewhere(&self) -> u64 {
        self.totals.elsewhere
    }

    /// The counters since the capture began.
    pub(super) fn statistics(&mut self) -> io::Result<Statistics> {
        let new = sys::packet_statistics(&self.socket)?;
        self.totals.received += u64::from(new.packets);
        self.totals.dropped += u64::from(new.drops);
        let Statistics { received, elsewhere, .. } = self.totals;
        Ok(Statistics { received: received.saturating_sub(elsewhere), ..self.totals })
    }
}

/// The offset of the IP header.
fn network(note: &Note) -> usize {
    note.network.map_or(0, usize::from).min(ROOM - SLL2_LEN)
}

/// Binds a packet socket to all interfaces, with this filter.
fn bind(socket: Socket, filter: &[Instruction]) -> io::Result<OwnedFd> {
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
        name: ANY.to_owned(),
        description: String::new(),
        index: 0,
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    // The socket is bound, which is all that this channel is for.
    drop(pnet_datalink::channel(&interface, config)?);
    Ok(ours)
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
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
