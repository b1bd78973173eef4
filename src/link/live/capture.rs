//! The capturing side: a packet socket (packet(7)) read by pnet, with the kernel's stamps.
//!
//! The socket is ours and made for the purpose before pnet gets it: opened with protocol 0, so that
//! it receives nothing until pnet binds it, and then only what the filter lets through. An interface
//! whose frames have no common link header, and all interfaces at once, are captured cooked: the
//! kernel takes the link header off and we write an SLL2 header from what it says of the packet,
//! which pnet's receiver would throw away.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{LinkAddr, recvfrom, setsockopt, sockopt};
use pnet_datalink::{Channel, Config, DataLinkReceiver, NetworkInterface};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::filter::Filter;
use super::{attach, sys};
use crate::time::Timestamp;
use crate::wire::LinkType;

/// Room for bursts, in bytes; some 5,000 small frames as the kernel counts them.
const BUFFER: usize = 4 << 20;

/// Longer than any frame: the longest datagram and a generous link header.
const LONGEST_FRAME: usize = 65_535 + 256;

/// Length of an SLL2 header (<https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html>).
const SLL2_LEN: usize = 20;

/// Frames of one interface, or of all.
pub(super) struct Capture {
    /// Our handle of the socket that `receiver` reads and owns too.
    socket: OwnedFd,
    receiver: Box<dyn DataLinkReceiver>,
    link: LinkType,
    /// Where cooked frames are put together; empty otherwise.
    cooked: Vec<u8>,
    totals: Statistics,
}

/// What the kernel counted on the capture so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that passed the filter, the dropped ones included.
    pub received: u64,
    /// Frames among these that were lost because they were not read in time.
    pub dropped: u64,
}

/// What reading came to.
pub(super) enum Read<'a> {
    /// A frame, and when the kernel saw it.
    Frame(Timestamp, &'a [u8]),
    /// There was none after all.
    Nothing,
}

impl Capture {
    /// Begins to capture what `filter` lets through on the interface with this name and number, or
    /// on all if the number is 0.
    pub(super) fn open(name: &str, index: u32, filter: &Filter) -> io::Result<Self> {
        let cooked = filter.link == LinkType::Sll2;
        let kind = if cooked { Type::DGRAM } else { Type::RAW };
        let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(0)))?;
        attach(&SockRef::from(&socket), &filter.program())?;
        // The first needs CAP_NET_ADMIN; without it the system's limit stands.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER))?;
        let ours = OwnedFd::from(socket.try_clone()?);
        let _ = sys::stamp(&ours); // turns stamps on, and fails for want of a frame

        let config = Config {
            read_buffer_size: if cooked { 0 } else { LONGEST_FRAME },
            write_buffer_size: 0,
            read_timeout: Some(Duration::ZERO), // we poll, with exact deadlines
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
        let Channel::Ethernet(_, receiver) = pnet_datalink::channel(&interface, config)? else {
            return Err(io::Error::other("pnet offers no channel"));
        };
        let cooked = vec![0; if cooked { SLL2_LEN + LONGEST_FRAME } else { 0 }];
        let totals = Statistics::default();
        Ok(Self { socket: ours, receiver, link: filter.link, cooked, totals })
    }

    /// What frames begin with.
    pub(super) fn link(&self) -> LinkType {
        self.link
    }

    /// Reads a frame once the socket is readable.
    pub(super) fn read(&mut self) -> io::Result<Read<'_>> {
        let read = if self.link == LinkType::Sll2 {
            read_cooked(&self.socket, &mut self.cooked)
        } else {
            self.receiver.next()
        };
        match read {
            Ok(bytes) => Ok(Read::Frame(sys::stamp(&self.socket)?, bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted => Ok(Read::Nothing),
                // pnet only says that something is wrong. Asking what also clears it, or the socket
                // would stay readable for ever.
                _ => Err(SockRef::from(&self.socket).take_error()?.unwrap_or(error)),
            },
        }
    }

    /// The counters since the capture began.
    pub(super) fn statistics(&mut self) -> io::Result<Statistics> {
        let new = sys::packet_statistics(&self.socket)?;
        self.totals.received += u64::from(new.packets);
        self.totals.dropped += u64::from(new.drops);
        Ok(self.totals)
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads a packet into `buffer`, behind an SLL2 header.
fn read_cooked<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let (header, payload) =
        buffer.split_first_chunk_mut::<SLL2_LEN>().ok_or(io::ErrorKind::InvalidInput)?;
    let (length, address) = recvfrom::<LinkAddr>(socket.as_raw_fd(), payload)?;
    let address = address.ok_or(io::ErrorKind::InvalidData)?;
    *header = sll2(address.as_ref());
    Ok(buffer.get(..SLL2_LEN + length).unwrap_or(buffer))
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
    use super::*;
    use crate::wire;

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
