//! The sending side: raw sockets for whole datagrams, one for each source address and bound interface.
//!
//! A raw socket is opened for the protocol of the probes, which keeps the kernel from reporting an answer in a
//! protocol that it does not know as unreachable. It is bound to the source address of its probes and, on request, to
//! an interface. So one socket serves all targets that share these. No socket is read for datagrams; a filter keeps
//! the kernel from storing any (on request, the error queue of the first tells when frames were sent: see
//! `hardware`).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};

use pnet::packet::ip::IpNextHeaderProtocol;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::transport::TransportChannelType::Layer3;
use pnet::transport::{TransportSender, transport_channel};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Domain, SockRef, Socket, Type};

use super::config::{LiveConfig, LiveTarget, OpenError};
use super::route::Route;
use super::{attach, filter, sys};
use crate::link::{LinkError, Transmit};
use crate::wire::ipv6;

/// Sends whole IP datagrams to targets.
pub(super) struct Sender {
    /// One for each family, source address and interface that probes are bound to; at least one.
    raws: Vec<Raw>,
    /// How probes to each target leave.
    exits: BTreeMap<IpAddr, Exit>,
    /// Whether an interface that goes down is waited for.
    survive_link_down: bool,
}

/// How probes to a target leave.
struct Exit {
    /// The index of the raw socket.
    raw: usize,
    /// The interface that probes leave by, for errors.
    interface: String,
}

/// A raw socket that leaves IP headers to us.
enum Raw {
    V4(TransportSender),
    /// pnet has no such channel for IPv6. The number is the zone of link-local destinations.
    V6(Socket, u32),
}

impl Sender {
    /// Opens the raw sockets for the probes of `config`.
    pub(super) fn open(config: &LiveConfig) -> Result<Self, OpenError> {
        let (mut raws, mut routes) = (Vec::new(), Vec::<&Route>::new());
        let mut exits = BTreeMap::<IpAddr, Exit>::new();
        for LiveTarget { route, address, .. } in &config.targets {
            let same = |it: &&Route| {
                (it.source, it.scope, &it.bound_to) == (route.source, route.scope, &route.bound_to)
            };
            let raw = routes.iter().position(same).unwrap_or(routes.len());
            if raw == routes.len() {
                raws.push(Raw::prepared(route, config.protocol(*address))?);
                routes.push(route);
            }
            let exit = || Exit { raw, interface: route.interface.name.clone() };
            if exits.entry(*address).or_insert_with(exit).raw != raw {
                return Err(OpenError::TwoRoutes { address: *address });
            }
        }
        Ok(Self { raws, exits, survive_link_down: config.survive_link_down })
    }

    /// Hands a datagram to the kernel, which routes it and resolves the neighbour. The kernel always fills in
    /// checksum and total length of an IPv4 header; it does not change an IPv6 header.
    pub(super) fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        let Transmit { destination, datagram } = *transmit;
        let exit = self.exits.get(&destination);
        let Some((raw, exit)) = exit.and_then(|exit| Some((self.raws.get_mut(exit.raw)?, exit)))
        else {
            let source = malformed("not to a target");
            return Err(LinkError::Refused { destination, source });
        };
        let sent = raw.send(destination, datagram);
        sent.map_err(|source| judge(destination, source, &exit.interface, self.survive_link_down))
    }
}

/// Whether the kernel refused only this datagram, or will refuse every other one too.
pub(super) fn judge(
    destination: IpAddr,
    source: io::Error,
    interface: &str,
    survive_link_down: bool,
) -> LinkError {
    match source.raw_os_error() {
        Some(libc::ENETDOWN) if survive_link_down => LinkError::Refused { destination, source },
        Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
            LinkError::Io { operation: "send", interface: interface.into(), source }
        }
        // The error of a packet that a netfilter output hook drops.
        Some(libc::EPERM) => {
            let source = io::Error::other("a firewall rule of this host drops it");
            LinkError::Refused { destination, source }
        }
        _ => LinkError::Refused { destination, source },
    }
}

pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// The first of its sockets, which is the only one with a single target.
impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raws[0].as_fd()
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::V4(sender) => sys::descriptor(sender),
            Self::V6(socket, _) => socket.as_fd(),
        }
    }
}

impl Raw {
    /// A socket for probes of a protocol that leave by this route.
    fn prepared(route: &Route, protocol: u8) -> Result<Self, OpenError> {
        let Route { interface, source, bound_to, scope } = route;
        let fail = |operation| move |source| OpenError::socket(operation, &interface.name, source);
        let raw = Self::open(*source, protocol, *scope).map_err(fail("open a raw socket"))?;
        raw.prepare(endpoint(*source, 0, *scope), bound_to.as_deref())
            .map_err(fail("set up a raw socket"))?;
        Ok(raw)
    }

    /// A socket of the family of `source`. A socket cannot be opened for protocol 0; protocol 255 sends just as well.
    fn open(source: IpAddr, protocol: u8, scope: u32) -> io::Result<Self> {
        let protocol = if protocol == 0 { u8::MAX } else { protocol };
        if source.is_ipv4() {
            let (raw, _) = transport_channel(0, Layer3(IpNextHeaderProtocol(protocol)))?;
            return Ok(Self::V4(raw));
        }
        let raw = Socket::new(Domain::IPV6, Type::RAW, Some(i32::from(protocol).into()))?;
        raw.set_header_included_v6(true)?;
        Ok(Self::V6(raw, scope))
    }

    /// Binds the socket as the route was resolved: with this source, policy routing decides the same for the probes.
    fn prepare(&self, source: SocketAddr, bound_to: Option<&str>) -> io::Result<()> {
        let descriptor = self.as_fd();
        let socket = SockRef::from(&descriptor);
        attach(&socket, &filter::DROP_ALL)?;
        if let Some(interface) = bound_to {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        // A path MTU that the kernel has learnt must not keep a probe from showing it again.
        match self {
            Self::V4(_) => set_ip_mtu_discover(descriptor, Ipv4PathMtuDiscovery::PROBE)?,
            Self::V6(..) => set_ipv6_mtu_discover(descriptor, Ipv6PathMtuDiscovery::PROBE)?,
        }
        socket.bind(&source.into())
    }

    fn send(&mut self, destination: IpAddr, datagram: &[u8]) -> io::Result<()> {
        match (self, destination) {
            (Self::V4(sender), IpAddr::V4(_)) => {
                let packet =
                    Ipv4Packet::new(datagram).ok_or_else(|| malformed("not an IPv4 datagram"))?;
                sender.send_to(packet, destination).map(drop)
            }
            (Self::V6(socket, scope), IpAddr::V6(_)) => {
                // The kernel checks neither the version nor the sum of the lengths.
                ipv6::decode(datagram).map_err(|_| malformed("not an IPv6 datagram"))?;
                let to = endpoint(destination, 0, *scope);
                socket.send_to(datagram, &to.into()).map(drop)
            }
            _ => Err(malformed("the other address family")),
        }
    }
}

/// A socket address; the zone only counts for link-local ones.
pub(super) fn endpoint(address: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6) => {
            SocketAddrV6::new(v6, port, 0, scope).into()
        }
        _ => (address, port).into(),
    }
}
