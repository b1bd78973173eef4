//! One report of the kernel on a socket: a message, and what its control messages say of it.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use socket2::Socket;

use crate::time::Timestamp;

/// Room for the control messages of a report.
const CONTROL: usize = 512;
/// How many errors of earlier probes may come instead of a report.
const ERRORS: usize = 64;

/// What the kernel reports. The message itself is in the room that was lent.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// The length of the message.
    pub len: usize,
    pub origin: Origin,
    /// When the kernel saw the datagram.
    pub stamp: Option<Timestamp>,
    /// TTL and type of service of a reply.
    pub ttl: u8,
    pub tos: u8,
    /// The index of the interface; 0 if it is not known.
    pub interface: u32,
    /// The sender of a message; of an ICMP error, the destination of the probe.
    pub from: Option<SocketAddr>,
}

/// What a report is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// A datagram was sent, which the message is, with its link header.
    Sent,
    /// An ICMP error came, and the message is what it quotes behind the header of the probe's protocol.
    Icmp(IcmpError),
    /// The message itself came.
    Message,
    /// Something else, such as an error of the network stack.
    Other,
}

/// An ICMP error.
#[derive(Clone, Copy, Debug)]
pub(super) struct IcmpError {
    pub icmp_type: u8,
    pub code: u8,
    /// The MTU or the pointer in it, if it has one.
    pub info: u32,
    pub offender: IpAddr,
    /// The length of the quote, if an extension structure follows it.
    pub quoted: Option<usize>,
}

/// The next report in this queue of a socket; `None` if there is none.
pub(super) fn next(socket: &Socket, room: &mut [u8], queue: MsgFlags) -> Option<Report> {
    let flags = queue | MsgFlags::MSG_DONTWAIT;
    let mut control = [0_u64; CONTROL / 8].map(u64::to_ne_bytes);
    for _ in 0..ERRORS {
        let mut pieces = [IoSliceMut::new(room)];
        let control = Some(control.as_flattened_mut());
        match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, control, flags) {
            Ok(message) => {
                let from = message.address.as_ref().and_then(address);
                let origin = if queue.is_empty() { Origin::Message } else { Origin::Other };
                let mut report = Report {
                    len: message.bytes,
                    origin,
                    stamp: None,
                    ttl: 0,
                    tos: 0,
                    interface: 0,
                    from,
                };
                for note in message.cmsgs().into_iter().flatten() {
                    report.note(&note);
                }
                return Some(report);
            }
            Err(Errno::EAGAIN) => return None,
            // The error of an earlier probe, which is on the queue of errors, too.
            Err(_) => {}
        }
    }
    None
}

/// Whether the kernel lets this process read reports.
pub(super) fn check(socket: &Socket) -> nix::Result<()> {
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    match recvmsg::<()>(socket.as_raw_fd(), &mut [], None, flags) {
        Ok(_) | Err(Errno::EAGAIN) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port())))
}

impl Report {
    fn note(&mut self, note: &ControlMessageOwned) {
        let octet = |value: i32| u8::try_from(value).unwrap_or(u8::MAX);
        match note {
            ControlMessageOwned::ScmTimestampsns(stamps) => self.stamp(stamps.system),
            ControlMessageOwned::ScmTimestampns(stamp) => self.stamp(*stamp),
            ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
                self.ttl = octet(*ttl);
            }
            ControlMessageOwned::Ipv4Tos(tos) => self.tos = *tos,
            ControlMessageOwned::Ipv6TClass(class) => self.tos = octet(*class),
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                self.interface = info.ipi_ifindex.cast_unsigned();
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => self.interface = info.ipi6_ifindex,
            ControlMessageOwned::Ipv4RecvErr(error, offender) => {
                let offender = offender.map(|it| Ipv4Addr::from(it.sin_addr.s_addr.to_ne_bytes()));
                self.origin = origin(error, offender.map(IpAddr::V4));
            }
            ControlMessageOwned::Ipv6RecvErr(error, offender) => {
                let offender = offender.map(|it| Ipv6Addr::from(it.sin6_addr.s6_addr));
                self.origin = origin(error, offender.map(IpAddr::V6));
            }
            _ => {}
        }
    }

    fn stamp(&mut self, at: nix::sys::time::TimeSpec) {
        let at = Timestamp::from_parts(at.tv_sec(), at.tv_nsec());
        self.stamp = Some(at).filter(|at| *at != Timestamp::default());
    }
}

/// What a report on the error queue is about (linux/errqueue.h).
fn origin(error: &libc::sock_extended_err, offender: Option<IpAddr>) -> Origin {
    match (error.ee_origin, offender) {
        (libc::SO_EE_ORIGIN_TIMESTAMPING, _) => Origin::Sent,
        (libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6, Some(offender)) => {
            // Whether the structure is damaged, which the kernel says too, can be seen from it.
            let [a, b, ..] = error.ee_data.to_ne_bytes();
            let quoted = usize::from(u16::from_ne_bytes([a, b]));
            Origin::Icmp(IcmpError {
                icmp_type: error.ee_type,
                code: error.ee_code,
                info: error.ee_info,
                offender,
                quoted: (quoted > 0).then_some(quoted),
            })
        }
        _ => Origin::Other,
    }
}
