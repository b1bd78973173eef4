//! The sending side: a raw socket for whole datagrams, and a socket that holds their source port.
//!
//! The second socket (and a third, for probes that confirm answers from another port) is what makes the port ours: no other program gets it, and the kernel does not
//! answer the target's UDP with a port-unreachable of its own. A TCP port is bound but neither
//! listened on nor connected, so that the kernel knows of no connection: it answers the target's
//! SYN-ACK with one RST, which closes what the probe half opened (RFC 9293 §3.10.7.1). The raw socket
//! is one for the protocol of the probes, which keeps the kernel from reporting an answer in a
//! protocol that it does not know as unreachable. None is read for datagrams; a filter keeps the kernel
//! from storing anything for them (what the first says of when frames were sent, if asked to, is on its
//! error queue: see `hardware`).

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
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::route::Route;
use super::{LiveConfig, OpenError, attach, filter, random, sys};
use crate::link::{LinkError, Transmit};
use crate::wire::{ipv4, ipv6};

/// Sends whole IP datagrams of one family and protocol.
pub(super) struct Sender {
    raw: Raw,
    /// Held, not used.
    _ports: [Option<Socket>; 2],
    ident: u16,
    second_ident: Option<u16>,
    interface: String,
    /// An interface that is down may come up again.
    survive_link_down: bool,
}

/// A raw socket that leaves IP headers to us.
enum Raw {
    V4(TransportSender),
    /// pnet has no such channel for IPv6. The number is the zone of link-local destinations.
    V6(Socket, u32),
}

/// Protocols with ports: what they are called, and the socket that holds a port of theirs.
const PORTS: &[(u8, &str, Type)] = &[
    (ipv4::UDP, "UDP", Type::DGRAM),
    (ipv4::TCP, "TCP", Type::STREAM),
    (ipv4::UDP_LITE, "UDP-Lite", Type::DGRAM),
];

impl Sender {
    /// Opens the sockets for probes as `config` wants them.
    pub(super) fn open(config: &LiveConfig) -> Result<Self, OpenError> {
        let Route { interface, source, bound_to, scope } = &config.route;
        let fail = |operation| {
            move |source| OpenError::socket(operation, &config.route.interface.name, source)
        };
        let raw = Raw::open(*source, config.protocol, *scope).map_err(fail("open a raw socket"))?;
        raw.prepare(endpoint(*source, 0, *scope), bound_to.as_deref())
            .map_err(fail("set up a raw socket"))?;
        let take = |port: Option<u16>| match PORTS
            .iter()
            .find(|(number, ..)| *number == config.protocol)
        {
            Some(&(number, transport, kind)) => {
                let at = |port| endpoint(*source, port, *scope);
                let address = at(port.unwrap_or(0));
                // Whatever else goes wrong, another port would not help.
                let refused = |source: io::Error| match source.raw_os_error() {
                    Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL | libc::EACCES) => {
                        OpenError::Port { transport, address, source }
                    }
                    _ => fail("open a socket that holds a port")(source),
                };
                let draw = || random::from(random::FIRST_FREE).map_err(fail("draw a random port"));
                match port {
                    Some(port) => hold(number, kind, at(port)).map_err(refused),
                    None => hold_any(draw, |port| hold(number, kind, at(port)), refused),
                }
            }
            None => {
                random::from(1).map(|ident| (None, ident)).map_err(fail("take a random identifier"))
            }
        };
        let (port, ident) = take(config.source_port)?;
        let second = if config.confirming { Some(take(None)?) } else { None };
        // Identifiers that nobody holds may be the same.
        let (second_port, second_ident) = second.unzip();
        let second_ident = second_ident.filter(|second| *second != ident);
        let (interface, survive_link_down) = (interface.name.clone(), config.survive_link_down);
        let ports = [port, second_port.flatten()];
        Ok(Self { raw, _ports: ports, ident, second_ident, interface, survive_link_down })
    }

    /// What probes are to be told from others by: the port held or, without ports, a random number.
    pub(super) fn ident(&self) -> u16 {
        self.ident
    }

    /// The same of probes that confirm answers, if there are to be any.
    pub(super) fn second_ident(&self) -> Option<u16> {
        self.second_ident
    }

    /// Hands a datagram to the kernel, which routes it and resolves the neighbour. Of an IPv4 header
    /// it fills in checksum and total length, whatever is there; an IPv6 header it leaves alone.
    pub(super) fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        let Transmit { destination, datagram } = *transmit;
        self.raw.send(destination, datagram).map_err(|source| self.judge(destination, source))
    }

    /// Whether the kernel refused this datagram, or will refuse every other one too.
    fn judge(&self, destination: IpAddr, source: io::Error) -> LinkError {
        match source.raw_os_error() {
            Some(libc::ENETDOWN) if self.survive_link_down => {
                LinkError::Refused { destination, source }
            }
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => LinkError::Io {
                operation: "send",
                interface: self.interface.as_str().into(),
                source,
            },
            // What netfilter's output hooks answer for a packet that they drop.
            Some(libc::EPERM) => {
                let source = io::Error::other("a firewall rule of this host drops it");
                LinkError::Refused { destination, source }
            }
            _ => LinkError::Refused { destination, source },
        }
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
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
    /// A socket of the family of `source`. Protocol 0 is not one that a socket can be for; 255 sends
    /// just as well.
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

    /// Binds the socket as the route was resolved: with this source, policy routing decides the same
    /// for the probes.
    fn prepare(&self, source: SocketAddr, bound_to: Option<&str>) -> io::Result<()> {
        let descriptor = self.as_fd();
        let socket = SockRef::from(&descriptor);
        attach(&socket, &filter::DROP_ALL)?;
        if let Some(interface) = bound_to {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        // A path MTU that the kernel has learnt is not to keep a probe from showing it again.
        match self {
            Self::V4(_) => set_ip_mtu_discover(descriptor, Ipv4PathMtuDiscovery::PROBE)?,
            Self::V6(..) => set_ipv6_mtu_discover(descriptor, Ipv6PathMtuDiscovery::PROBE)?,
        }
        socket.bind(&source.into())
    }

    fn send(&mut self, destination: IpAddr, datagram: &[u8]) -> io::Result<()> {
        let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
        match (self, destination) {
            (Self::V4(sender), IpAddr::V4(_)) => {
                let packet =
                    Ipv4Packet::new(datagram).ok_or_else(|| malformed("not an IPv4 datagram"))?;
                sender.send_to(packet, destination).map(drop)
            }
            (Self::V6(socket, scope), IpAddr::V6(_)) => {
                // The kernel looks at neither the version nor what the lengths add up to.
                ipv6::decode(datagram).map_err(|_| malformed("not an IPv6 datagram"))?;
                let to = endpoint(destination, 0, *scope);
                socket.send_to(datagram, &to.into()).map(drop)
            }
            _ => Err(malformed("the other address family")),
        }
    }
}

/// How many random ports are tried before the kernel is asked for one, which chooses from fewer.
const TRIES: usize = 64;

/// Binds a socket to a random port that is free: nobody is to guess it.
fn hold_any(
    draw: impl Fn() -> Result<u16, OpenError>,
    hold: impl Fn(u16) -> io::Result<(Option<Socket>, u16)>,
    refused: impl Fn(io::Error) -> OpenError,
) -> Result<(Option<Socket>, u16), OpenError> {
    for _ in 0..TRIES {
        match hold(draw()?) {
            // Somebody has it, or it is one that takes a right.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRINUSE | libc::EACCES)) => {
            }
            other => return other.map_err(refused),
        }
    }
    hold(0).map_err(refused)
}

/// Binds a socket to a port so that nobody else can; port 0 lets the kernel choose.
fn hold(protocol: u8, kind: Type, wanted: SocketAddr) -> io::Result<(Option<Socket>, u16)> {
    let protocol = Protocol::from(i32::from(protocol));
    let socket = match Socket::new(Domain::for_address(wanted), kind, Some(protocol)) {
        // UDP-Lite is on its way out of Linux. A kernel without it gives its ports to nobody.
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            return Ok((None, wanted.port()));
        }
        socket => socket?,
    };
    match attach(&SockRef::from(&socket), &filter::DROP_ALL) {
        // Kernels may ask for CAP_NET_ADMIN there. Nothing is stored for a TCP socket that neither listens nor connects.
        Err(error) if kind == Type::STREAM && error.kind() == io::ErrorKind::PermissionDenied => {}
        attached => attached?,
    }
    socket.bind(&wanted.into())?;
    let port = match wanted.port() {
        0 => socket.local_addr()?.as_socket().map_or(0, |address| address.port()),
        port => port,
    };
    Ok((Some(socket), port))
}

/// A socket address; the zone only counts for link-local ones.
fn endpoint(address: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6) => {
            SocketAddrV6::new(v6, port, 0, scope).into()
        }
        _ => (address, port).into(),
    }
}
