//! The sending side: a raw socket for whole datagrams, and a UDP socket that holds their port.
//!
//! The UDP socket is what makes the source port ours: no other program gets it, and the kernel does
//! not answer the target's UDP reply with a port-unreachable of its own. Neither socket is ever read;
//! a filter keeps the kernel from storing anything for them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::transport::TransportChannelType::Layer3;
use pnet::transport::{TransportSender, transport_channel};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::SockRef;

use super::{OpenError, attach, filter, sys};
use crate::link::{LinkError, Transmit};

/// Sends whole IPv4 datagrams.
pub(super) struct Sender {
    raw: TransportSender,
    /// Held, not used.
    _port: UdpSocket,
    source_port: u16,
    interface: String,
}

impl Sender {
    /// Opens both sockets on the address `source`; the port is random if none is given. `bound_to`
    /// is the interface that datagrams must leave by; `interface` names it in errors.
    pub(super) fn open(
        source: Ipv4Addr,
        source_port: Option<u16>,
        bound_to: Option<&str>,
        interface: &str,
    ) -> Result<Self, OpenError> {
        let (raw, _) = transport_channel(0, Layer3(IpNextHeaderProtocols::Udp))
            .map_err(|source| OpenError::socket("open a raw socket", interface, source))?;
        prepare(&raw, source, bound_to)
            .map_err(|source| OpenError::socket("set up a raw socket", interface, source))?;
        let wanted = SocketAddr::from((source, source_port.unwrap_or(0)));
        let hold = || {
            let port = UdpSocket::bind(wanted)?;
            attach(&SockRef::from(&port), &filter::DROP_ALL)?;
            let number = port.local_addr()?.port();
            Ok((port, number))
        };
        let (port, source_port) =
            hold().map_err(|source| OpenError::Port { address: wanted, source })?;
        Ok(Self { raw, _port: port, source_port, interface: interface.to_owned() })
    }

    /// The port that probes are to come from.
    pub(super) fn source_port(&self) -> u16 {
        self.source_port
    }

    /// Hands a datagram to the kernel, which routes it, resolves the neighbour and, whatever is in
    /// the header, fills in its checksum and total length.
    pub(super) fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        let destination = transmit.destination;
        let packet = Ipv4Packet::new(transmit.datagram).filter(|_| destination.is_ipv4());
        let sent = packet
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an IPv4 datagram"))
            .and_then(|packet| self.raw.send_to(packet, destination));
        sent.map(drop).map_err(|source| self.judge(destination, source))
    }

    /// Whether the kernel refused this datagram, or will refuse every other one too.
    fn judge(&self, destination: IpAddr, source: io::Error) -> LinkError {
        match source.raw_os_error() {
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                LinkError::Io { operation: "send", interface: self.interface.clone(), source }
            }
            _ => LinkError::Refused { destination, source },
        }
    }
}

/// Binds the raw socket as the route was resolved: with this source, policy routing decides the same
/// for the probes.
fn prepare(raw: &TransportSender, source: Ipv4Addr, bound_to: Option<&str>) -> io::Result<()> {
    let descriptor = sys::descriptor(raw);
    let socket = SockRef::from(&descriptor);
    attach(&socket, &filter::DROP_ALL)?;
    if let Some(interface) = bound_to {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    // A path MTU that the kernel has learnt is not to keep a probe from showing it again.
    set_ip_mtu_discover(descriptor, Ipv4PathMtuDiscovery::PROBE)?;
    socket.bind(&SocketAddr::from((source, 0)).into())
}
