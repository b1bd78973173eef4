//! One socket: its probes are handed to the kernel, and what the kernel reports on it becomes frames.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, TimestampingFlag, sendmsg, setsockopt,
    sockopt,
};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::rebuilt::Message;
use super::report::{self, Origin, Report};
use super::sent::Sent;
use crate::link::live::config::{LiveTarget, OpenError};
use crate::link::live::sender::endpoint;
use crate::link::live::{random, realtime, sys};
use crate::time::Timestamp;
use crate::wire::Evidence;
use crate::wire::extension::Family;
use crate::wire::ip::{self, IpHeader};

/// The receive buffer that is asked for, in bytes, which reports share. The kernel gives as much as it permits.
const BUFFER: usize = 4 << 20;
/// How often a send is tried: each failure may be that of an error which came in between, and which the kernel reports on
/// the queue.
const SENDS: usize = 16;
/// The number of ports that are tried.
const PORTS: usize = 64;
/// `SOF_TIMESTAMPING_OPT_CMSG`: reports on what was sent name the interface.
const WITH_INTERFACE: u32 = 1 << 10;

/// A frame that waits to be handed out.
pub(super) struct Made {
    pub at: Timestamp,
    pub bytes: Vec<u8>,
    pub interface: u32,
    pub evidence: Evidence,
}

/// A socket with the probes that left by it.
pub(super) struct Flow {
    pub socket: Socket,
    source: IpAddr,
    pub target: IpAddr,
    scope: u32,
    pub ident: u16,
    /// The interface that probes leave by, for errors.
    pub interface: String,
    is_echo: bool,
    /// Whether the kernel reports what was sent, with stamps.
    pub reports_sent: bool,
    pub sent: Sent,
    /// Whether it sets Don't Fragment, once that is known.
    dont_fragment: Option<bool>,
    /// The flow label that is leased last (IPv6).
    label: u32,
}

impl Flow {
    /// A socket for probes to a target, and what the kernel refused that it can do without.
    pub(super) fn open(
        target: &LiveTarget,
        is_echo: bool,
        wished: Option<u16>,
    ) -> Result<(Self, Vec<String>), OpenError> {
        let LiveTarget { route, address, .. } = target;
        let interface = &route.interface.name;
        let fail = |operation| {
            move |source| OpenError::Io { operation, interface: interface.as_str().into(), source }
        };
        let family = Family::of(*address);
        let (domain, echo) = match family {
            Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
            Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        let protocol = if is_echo { echo } else { Protocol::UDP };
        let socket = Socket::new(domain, Type::DGRAM, Some(protocol)).map_err(|source| {
            match source.raw_os_error() {
                // The group of this user is not in the range, or this kernel has no such sockets.
                Some(libc::EACCES | libc::EPERM | libc::EPROTONOSUPPORT) if is_echo => {
                    OpenError::NoPing
                }
                _ => fail("open a socket")(source),
            }
        })?;
        if let Some(name) = &route.bound_to {
            let bound = socket.bind_device(Some(name.as_bytes()));
            bound.map_err(fail("bind a socket to the interface"))?;
        }
        let ident =
            bind(&socket, route.source, route.scope, wished).map_err(|(address, source)| {
                OpenError::Port { transport: if is_echo { "ICMP" } else { "UDP" }, address, source }
            })?;
        socket.set_nonblocking(true).map_err(fail("set up a socket"))?;
        let (reports_sent, lacking) = prepare(&socket, family)?;
        let flow = Self {
            socket,
            source: route.source,
            target: *address,
            scope: route.scope,
            ident,
            interface: interface.clone(),
            is_echo,
            reports_sent,
            sent: Sent::of(is_echo),
            dont_fragment: None,
            label: 0,
        };
        Ok((flow, lacking))
    }

    /// Sends what a datagram with this header carries.
    pub(super) fn send(&mut self, header: &IpHeader, payload: &[u8]) -> io::Result<()> {
        // The kernel makes the header of UDP, and the identifier and checksum of an echo.
        let (port, body) = match payload.split_at_checked(8) {
            Some(([_, _, high, low, ..], body)) if !self.is_echo => {
                (u16::from_be_bytes([*high, *low]), body)
            }
            _ => (0, payload),
        };
        self.fragment(header.dont_fragment)?;
        self.lease(header.flow_label.unwrap_or(0));
        let mut refused = io::ErrorKind::Other.into();
        for _ in 0..SENDS {
            // An error about an earlier probe is on the queue, too: here it would only stand in the way of this one.
            let _ = self.socket.take_error();
            match self.hand_over(header, port, body) {
                Ok(_) => return Ok(()),
                Err(error) => refused = error.into(),
            }
        }
        Err(refused)
    }

    fn hand_over(&self, header: &IpHeader, port: u16, body: &[u8]) -> nix::Result<usize> {
        let (socket, pieces) = (self.socket.as_raw_fd(), [IoSlice::new(body)]);
        let (ttl, flags) = (i32::from(header.ttl), MsgFlags::MSG_DONTWAIT);
        match header.destination {
            IpAddr::V4(target) => {
                let notes = [ControlMessage::Ipv4Ttl(&ttl), ControlMessage::Ipv4Tos(&header.tos)];
                let to = SockaddrIn::from(SocketAddrV4::new(target, port));
                sendmsg(socket, &pieces, &notes, flags, Some(&to))
            }
            IpAddr::V6(target) => {
                let class = i32::from(header.tos);
                let notes =
                    [ControlMessage::Ipv6HopLimit(&ttl), ControlMessage::Ipv6TClass(&class)];
                let scope = if target.is_unicast_link_local() { self.scope } else { 0 };
                let to = SocketAddrV6::new(target, port, self.label.to_be(), scope);
                sendmsg(socket, &pieces, &notes, flags, Some(&SockaddrIn6::from(to)))
            }
        }
    }

    /// Sets Don't Fragment, or not; a path MTU that the kernel has learnt is not to keep a probe from showing it again.
    fn fragment(&mut self, dont_fragment: bool) -> io::Result<()> {
        if self.dont_fragment.replace(dont_fragment) == Some(dont_fragment) {
            return Ok(());
        }
        let socket = &self.socket;
        match (self.target, dont_fragment) {
            (IpAddr::V4(_), true) => set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE),
            (IpAddr::V4(_), false) => set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::INTERFACE),
            (IpAddr::V6(_), _) => set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE),
        }?;
        Ok(())
    }

    /// Leases a flow label, without which the kernel sends none of ours. Where it gives none, probes have the kernel's.
    fn lease(&mut self, label: u32) {
        if let IpAddr::V6(target) = self.target
            && label != 0
            && self.label != label
            && sys::lease_flow_label(&self.socket, target, label).is_ok()
        {
            self.label = label;
        }
    }

    /// Reads all reports that are there.
    pub(super) fn read(&mut self, room: &mut [u8], made: &mut Vec<Made>) {
        for queue in [MsgFlags::MSG_ERRQUEUE, MsgFlags::empty()] {
            while let Some(report) = report::next(&self.socket, room, queue) {
                let bytes = room.get(..report.len).unwrap_or(room);
                let at = report.stamp.unwrap_or_else(realtime);
                let interface = report.interface;
                let as_made = |evidence| move |bytes| Made { at, bytes, interface, evidence };
                match report.origin {
                    Origin::Sent => {
                        made.extend(self.sent.left(bytes).map(as_made(Evidence::Captured)));
                    }
                    Origin::Icmp(_) | Origin::Message => {
                        let reply = self.reply(&report, bytes, at, made);
                        made.extend(reply.map(as_made(Evidence::Reconstructed)));
                    }
                    Origin::Other => {}
                }
            }
        }
        self.sent.forget(realtime());
    }

    /// The reply that a report is about, put together.
    fn reply(
        &mut self,
        report: &Report,
        bytes: &[u8],
        at: Timestamp,
        made: &mut Vec<Made>,
    ) -> Option<Vec<u8>> {
        let (to, from) = (self.source, report.from?);
        let message = |from| Message { from, to, ttl: report.ttl, tos: report.tos };
        let Origin::Icmp(error) = report.origin else {
            let head = self.head_answered(from.port(), if self.is_echo { bytes } else { &[] }, at);
            self.note_answered(head, made);
            let message = message(from.ip());
            return Some(if self.is_echo {
                message.echo_reply(bytes)
            } else {
                message.udp((from.port(), self.ident), bytes)
            });
        };
        // An error of this host says that the probe did not leave.
        if error.offender == to && self.target != to {
            return None;
        }
        let (quoted, extension) = bytes.split_at_checked(error.quoted.unwrap_or(bytes.len()))?;
        // Where the probe is quoted with another destination, it is not known which it was.
        let is_ours = from.ip() == self.target;
        let head = is_ours.then(|| self.head_answered(from.port(), quoted, at)).flatten();
        self.note_answered(head, made);
        // The header of UDP is not among what is quoted. Where it is unclear which probe it is of, its ports are known.
        let [a, b, c, d] =
            [self.ident, from.port()].map(u16::to_be_bytes).as_flattened().try_into().ok()?;
        let head = head.unwrap_or([a, b, c, d, 0, 0, 0, 0]);
        let head: &[u8] = if self.is_echo { &[] } else { &head };
        Some(message(error.offender).icmp_error(&error, (from.ip(), head, quoted), extension))
    }

    /// The first octets of the probe that a report is about, if that is clear: of UDP by its port, and what is quoted of its payload;
    /// an echo is quoted or answered with them.
    fn head_answered(&mut self, port: u16, bytes: &[u8], at: Timestamp) -> Option<[u8; 8]> {
        if !self.is_echo {
            return self.sent.head(port, bytes, at);
        }
        let mut head: [u8; 8] = *bytes.first_chunk()?;
        head[0] = ip::echo_request(Family::of(self.target));
        Some(head)
    }

    /// Notes that a probe was answered. If its leaving was not reported, none is on its device: then probes are taken to have left
    /// when they were handed over.
    fn note_answered(&mut self, head: Option<[u8; 8]>, made: &mut Vec<Made>) {
        if !self.reports_sent {
            return;
        }
        let unreported = head.map(|head| self.sent.unreported(head)).unwrap_or_default();
        self.reports_sent = unreported.is_empty() || self.sent.is_reported();
        made.extend(unreported.into_iter().map(|(at, bytes)| {
            let evidence = Evidence::Reconstructed;
            Made { at, bytes, interface: 0, evidence }
        }));
    }
}

/// Binds a socket to this port or identifier, or to a random one.
fn bind(
    socket: &Socket,
    source: IpAddr,
    scope: u32,
    wished: Option<u16>,
) -> Result<u16, (SocketAddr, io::Error)> {
    let mut refused =
        (endpoint(source, wished.unwrap_or(0), scope), io::ErrorKind::AddrInUse.into());
    for _ in 0..PORTS {
        let port = match wished {
            Some(port) => port,
            None => random::from(random::FIRST_FREE).map_err(|error| (refused.0, error))?,
        };
        let address = endpoint(source, port, scope);
        match socket.bind(&address.into()) {
            Ok(()) => return Ok(port),
            Err(error) => refused = (address, error),
        }
        if wished.is_some() {
            break;
        }
    }
    Err(refused)
}

/// Asks for all that the kernel reports. Without reports of errors and TTLs there is no trace; the others can be missed. Tells
/// whether the kernel reports what was sent, and what it refused, in words.
fn prepare(socket: &Socket, family: Family) -> Result<(bool, Vec<String>), OpenError> {
    let mut lacking = Vec::new();
    let mut miss = |option: &str, errno: Errno, without: &str| {
        lacking.push(format!("the kernel refused {option} ({}): {without}", errno.desc()));
    };
    let needed = |option| move |errno| OpenError::NoReports { option, errno };
    match family {
        Family::V4 => {
            setsockopt(socket, sockopt::Ipv4RecvErr, &true).map_err(needed("IP_RECVERR"))?;
            setsockopt(socket, sockopt::Ipv4RecvTtl, &true).map_err(needed("IP_RECVTTL"))?;
            if let Err(errno) = setsockopt(socket, sockopt::IpRecvTos, &true) {
                miss("IP_RECVTOS", errno, "the type of service of replies is not known");
            }
        }
        Family::V6 => {
            setsockopt(socket, sockopt::Ipv6RecvErr, &true).map_err(needed("IPV6_RECVERR"))?;
            let ttl = setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true);
            ttl.map_err(needed("IPV6_RECVHOPLIMIT"))?;
            if let Err(errno) = setsockopt(socket, sockopt::Ipv6RecvTClass, &true) {
                miss("IPV6_RECVTCLASS", errno, "the traffic class of replies is not known");
            }
            if let Err(errno) = sys::send_flow_labels(socket) {
                miss("IPV6_FLOWINFO_SEND", errno, "flow labels are the kernel's");
            }
        }
    }
    if let Err(errno) = sys::ask_for_extensions(socket, family) {
        miss(
            "reports of ICMP extensions",
            errno,
            "label stacks and other extensions may be missing",
        );
    }
    // They only tell by which interface a reply came.
    let _ = match family {
        Family::V4 => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
        Family::V6 => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
    };
    let stamps = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::from_bits_retain(WITH_INTERFACE);
    let stamped = setsockopt(socket, sockopt::Timestamping, &stamps);
    if let Err(errno) = stamped {
        miss("SO_TIMESTAMPING", errno, "probes are stamped just before they are sent");
        if let Err(errno) = setsockopt(socket, sockopt::ReceiveTimestampns, &true) {
            miss("SO_TIMESTAMPNS", errno, "replies are stamped when they are read");
        }
    }
    report::check(socket).map_err(needed("recvmsg"))?;
    // As much as the kernel gives.
    let _ = socket.set_recv_buffer_size(BUFFER);
    Ok((stamped.is_ok(), lacking))
}
