//! Identifiers that distinguish the probes to each target from all others: a source port of its own, held, or a
//! random number of its own.
//!
//! A port is ours because a socket holds it (and another socket a second port, for probes that confirm answers): no
//! other program gets it, and the kernel does not answer the target's UDP with a port-unreachable of its own. A TCP
//! port is bound but neither listened on nor connected, so that the kernel knows of no connection: it answers the
//! target's SYN-ACK with one RST, which closes the connection that the probe half opened (RFC 9293 §3.10.7.1). No
//! such socket is read; a filter keeps the kernel from storing anything for it.
//!
//! Invariant: no two targets of a link share an identifier. The ports of several targets are consecutive, from a
//! random one on and without ports that others hold, so that a filter needs only the first and the last.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::config::{LiveConfig, LiveTarget, OpenError};
use super::filter::{self, Filter, Ports};
use super::sender::endpoint;
use super::{attach, random};
use crate::wire::ipv4;

/// The identifiers of all targets of a link.
#[derive(Default)]
pub(super) struct Identifiers {
    /// For each target, the first and the second identifier.
    of: Vec<(u16, Option<u16>)>,
    /// Sockets that hold ports and are never used.
    held: Vec<Socket>,
}

/// A protocol with ports: its number, its name, and the type of socket that holds one of its ports.
type Transport = (u8, &'static str, Type);

const TRANSPORTS: &[Transport] = &[
    (ipv4::UDP, "UDP", Type::DGRAM),
    (ipv4::TCP, "TCP", Type::STREAM),
    (ipv4::UDP_LITE, "UDP-Lite", Type::DGRAM),
];

/// The protocol of the probes, if it has ports; it is the same in both families.
fn transport(config: &LiveConfig) -> Option<Transport> {
    let protocol = config.protocol(config.targets.first()?.address);
    TRANSPORTS.iter().copied().find(|(number, ..)| *number == protocol)
}

/// The number of sockets that hold the ports of all targets.
pub(super) fn needed(config: &LiveConfig) -> usize {
    let each = 1 + usize::from(config.confirming);
    transport(config).map_or(0, |_| config.targets.len() * each)
}

impl Identifiers {
    /// Takes the identifiers that the probes of `config` need.
    pub(super) fn take(config: &LiveConfig) -> Result<Self, OpenError> {
        let mut taken = Self::default();
        match (&config.targets[..], transport(config)) {
            ([one], Some(transport)) => {
                let first = taken.port(one, transport, one.source_port)?;
                let second = config.confirming.then(|| taken.port(one, transport, None));
                taken.of.push((first, second.transpose()?));
            }
            (several, Some(transport)) => taken.ports(config, several, transport)?,
            (targets, None) => taken.numbers(targets, config.confirming)?,
        }
        Ok(taken)
    }

    /// The first identifier of the target with this number; 0 if there is no such target.
    pub(super) fn first(&self, target: usize) -> u16 {
        self.of.get(target).map_or(0, |(first, _)| *first)
    }

    /// The second identifier of the target with this number, if it has one.
    pub(super) fn second(&self, target: usize) -> Option<u16> {
        self.of.get(target)?.1
    }

    /// The filters that pass the probes and the answers of all targets, one for each family.
    pub(super) fn filters(&self, config: &LiveConfig) -> Vec<Filter> {
        let of_family = |is_ipv4: bool| {
            let all = config.targets.iter().zip(&self.of);
            let ours: Vec<_> = all.filter(|it| it.0.address.is_ipv4() == is_ipv4).collect();
            let (first, _) = ours.first()?;
            let (target, ports) = match ours[..] {
                [(only, (port, second))] => (Some(only.address), Ports::These(*port, *second)),
                _ => (None, range(ours.iter().flat_map(|(_, it)| [Some(it.0), it.1]).flatten())),
            };
            let mut sources = config.sources();
            sources.retain(|source| source.is_ipv4() == is_ipv4);
            Some(Filter {
                sources,
                target,
                protocol: config.protocol(first.address),
                ports: if config.any_source_port { Ports::Any } else { ports },
                as_such: config.is_as_such(),
            })
        };
        [true, false].into_iter().filter_map(of_family).collect()
    }

    /// The port of a single target: the given one, or a random one that cannot be guessed.
    fn port(
        &mut self,
        target: &LiveTarget,
        transport: Transport,
        wished: Option<u16>,
    ) -> Result<u16, OpenError> {
        let (socket, port) = match wished {
            Some(port) => hold(transport, target, port)?,
            None => hold_any(transport, target)?,
        };
        self.held.extend(socket);
        Ok(port)
    }

    /// One or two ports for each of several targets.
    fn ports(
        &mut self,
        config: &LiveConfig,
        targets: &[LiveTarget],
        transport: Transport,
    ) -> Result<(), OpenError> {
        let too_many = || OpenError::TooMany {
            targets: targets.len(),
            needed: needed(config),
            what: format!("{} ports", transport.1),
        };
        // Ports that were asked for come first: no random port may be one of them.
        for target in targets {
            let port = target.source_port.map(|port| self.port(target, transport, Some(port)));
            self.of.push((port.transpose()?.unwrap_or(0), None));
        }
        let mut block = block(draw(random::FIRST_FREE, targets)?);
        for (number, target) in targets.iter().enumerate() {
            let mut next = || loop {
                let port = block.next().ok_or_else(too_many)?;
                match hold(transport, target, port) {
                    Err(error) if is_taken(&error) => {}
                    other => return other,
                }
            };
            let Some(own) = self.of.get_mut(number) else { continue };
            if target.source_port.is_none() {
                let (socket, port) = next()?;
                own.0 = port;
                self.held.extend(socket);
            }
            if config.confirming {
                let (socket, port) = next()?;
                own.1 = Some(port);
                self.held.extend(socket);
            }
        }
        Ok(())
    }

    /// One or two random numbers for each target, which nobody holds.
    fn numbers(&mut self, targets: &[LiveTarget], confirming: bool) -> Result<(), OpenError> {
        let needed = targets.len() * (1 + usize::from(confirming));
        if needed > usize::from(u16::MAX) {
            let (targets, what) = (targets.len(), "identifiers".to_owned());
            return Err(OpenError::TooMany { targets, needed, what });
        }
        let mut drawn = BTreeSet::new();
        let mut another = || loop {
            let number = draw(1, targets)?;
            if drawn.insert(number) {
                return Ok(number);
            }
        };
        for _ in targets {
            let first = another()?;
            self.of.push((first, confirming.then(&mut another).transpose()?));
        }
        Ok(())
    }
}

/// A random number from `first` to 65535.
fn draw(first: u16, targets: &[LiveTarget]) -> Result<u16, OpenError> {
    let interface = targets.first().map_or("", |target| &target.route.interface.name);
    random::from(first).map_err(|e| OpenError::socket("draw a random number", interface, e))
}

/// All ports from `begin` on, then those below it.
fn block(begin: u16) -> impl Iterator<Item = u16> {
    (begin..=u16::MAX).chain((random::FIRST_FREE..begin).rev())
}

/// The range from the lowest to the highest port.
fn range(ports: impl Iterator<Item = u16> + Clone) -> Ports {
    Ports::Range(ports.clone().min().unwrap_or(0), ports.max().unwrap_or(0))
}

/// The number of random ports that are tried before the kernel is asked for one, which chooses from fewer.
const TRIES: usize = 64;

/// Holds a random port that is free.
fn hold_any(transport: Transport, target: &LiveTarget) -> Result<(Option<Socket>, u16), OpenError> {
    for _ in 0..TRIES {
        match hold(transport, target, draw(random::FIRST_FREE, std::slice::from_ref(target))?) {
            Err(error) if is_taken(&error) => {}
            other => return other,
        }
    }
    hold(transport, target, 0)
}

/// Whether the port is in use, or needs a privilege.
fn is_taken(error: &OpenError) -> bool {
    let OpenError::Port { source, .. } = error else { return false };
    matches!(source.raw_os_error(), Some(libc::EADDRINUSE | libc::EACCES))
}

/// Binds a socket to a port of the source address of a target's probes, so that nobody else can; port 0 lets the
/// kernel choose.
fn hold(
    transport: Transport,
    target: &LiveTarget,
    port: u16,
) -> Result<(Option<Socket>, u16), OpenError> {
    let (number, name, kind) = transport;
    let address = endpoint(target.route.source, port, target.route.scope);
    let interface = &target.route.interface.name;
    bind(number, kind, address).map_err(|source| match source.raw_os_error() {
        Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL | libc::EACCES) => {
            OpenError::Port { transport: name, address, source }
        }
        // Another port would not help.
        _ => OpenError::socket("open a socket that holds a port", interface, source),
    })
}

fn bind(protocol: u8, kind: Type, wanted: SocketAddr) -> io::Result<(Option<Socket>, u16)> {
    let protocol = Protocol::from(i32::from(protocol));
    let socket = match Socket::new(Domain::for_address(wanted), kind, Some(protocol)) {
        // UDP-Lite is being removed from Linux. A kernel without it gives its ports to nobody.
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
            return Ok((None, wanted.port()));
        }
        socket => socket?,
    };
    match attach(&SockRef::from(&socket), &filter::DROP_ALL) {
        // Kernels may require CAP_NET_ADMIN there. Nothing is stored for a TCP socket that neither listens nor
        // connects.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_block_are_next_to_each_other_wherever_it_begins() {
        assert!(block(40_000).take(3).eq([40_000, 40_001, 40_002]));
        assert!(block(u16::MAX - 1).take(4).eq([65_534, 65_535, 65_533, 65_532]));
        for begin in [random::FIRST_FREE, 40_000, u16::MAX] {
            let all: BTreeSet<u16> = block(begin).collect();
            assert!(all.into_iter().eq(random::FIRST_FREE..=u16::MAX));
        }
        assert_eq!(range([7, 9, 8].into_iter()), Ports::Range(7, 9));
    }
}
