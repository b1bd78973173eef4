//! Queries to the kernel over rtnetlink: how a datagram would be routed, what an interface is, and which addresses it
//! has.
//!
//! Only netlink answers the first query exactly (policy routing, one address on two interfaces). It answers the
//! second for the network namespace of this process, which `/sys/class/net` does not if sysfs was mounted in another
//! one. Messages are those of rtnetlink(7): a 16-byte header, a fixed part, then attributes of {length, type, value}
//! padded to 4 bytes, all in host byte order.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use ipnetwork::IpNetwork;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// Length of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// Length of `struct rtmsg`.
const ROUTE_LEN: usize = 12;
/// Length of `struct ifinfomsg`.
const LINK_LEN: usize = 16;
/// Length of `struct ifaddrmsg`.
const ADDRESS_LEN: usize = 8;
#[expect(clippy::cast_possible_truncation, reason = "NLM_F_DUMP is 0x300")]
const DUMP: u16 = libc::NLM_F_DUMP as u16;

/// The route that the kernel would choose for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteAnswer {
    /// The index of the interface that it leaves by; `lo` for an address of this host.
    pub interface: u32,
    /// The source address that the kernel would choose, if it has one.
    pub source: Option<IpAddr>,
    /// Whether the destination is an address of this host.
    pub local: bool,
    /// Whether it is the broadcast address of a network that this host is on.
    pub broadcast: bool,
}

/// One of several next hops among which a route balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The index of the interface that leads to it.
    pub interface: u32,
    /// The address of the next hop; `None` if the destination is on that link.
    pub gateway: Option<IpAddr>,
}

/// The kernel's description of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkAnswer {
    /// The name of the interface.
    pub name: String,
    /// The hardware type, an `ARPHRD_` number.
    pub hardware: u16,
    /// The `IFF_` flags.
    pub flags: u32,
    /// The longest datagram that the interface takes, in bytes.
    pub mtu: u32,
}

/// A netlink socket for queries to the kernel.
pub struct Channel(OwnedFd);

impl Channel {
    /// Opens the netlink socket.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn open() -> io::Result<Self> {
        let protocol = SockProtocol::NetlinkRoute;
        Ok(Self(socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?))
    }

    /// Asks for the route to `target`, as `ip route get` does: from `source` and by the interface with index
    /// `interface`, where these are given.
    ///
    /// # Errors
    /// The kernel's: `ENETUNREACH`, `EHOSTUNREACH`, `EACCES` (prohibited), `EINVAL` (black hole).
    pub fn route(
        &self,
        target: IpAddr,
        source: Option<IpAddr>,
        interface: Option<u32>,
    ) -> io::Result<RouteAnswer> {
        let (family, host_bits) = if target.is_ipv4() { (AF_INET, 32) } else { (AF_INET6, 128) };
        let mut body = vec![0; ROUTE_LEN];
        body[..3].copy_from_slice(&[family, host_bits, source.map_or(0, |_| host_bits)]);
        attribute(&mut body, libc::RTA_DST, &octets(target));
        if let Some(source) = source {
            attribute(&mut body, libc::RTA_SRC, &octets(source));
        }
        if let Some(index) = interface {
            attribute(&mut body, libc::RTA_OIF, &index.to_ne_bytes());
        }
        let answer = self.ask(libc::RTM_GETROUTE, &body)?;
        let kind = *answer.get(7).ok_or_else(cut_short)?;
        let value = |wanted| attribute_of(&answer, ROUTE_LEN, wanted);
        let interface = value(libc::RTA_OIF).and_then(|value| value.first_chunk::<4>());
        Ok(RouteAnswer {
            interface: interface.map(|index| u32::from_ne_bytes(*index)).ok_or_else(cut_short)?,
            source: source.or_else(|| value(libc::RTA_PREFSRC).and_then(address)),
            local: kind == libc::RTN_LOCAL,
            broadcast: kind == libc::RTN_BROADCAST,
        })
    }

    /// The next hops among which the route to `target` balances; empty if it does not balance.
    ///
    /// # Errors
    /// As for [`route`](Self::route).
    pub fn next_hops(&self, target: IpAddr) -> io::Result<Vec<NextHop>> {
        /// Length of `struct rtnexthop`.
        const HOP_LEN: usize = 8;
        let (family, host_bits) = if target.is_ipv4() { (AF_INET, 32) } else { (AF_INET6, 128) };
        let mut body = vec![0; ROUTE_LEN];
        body[..2].copy_from_slice(&[family, host_bits]);
        // This asks for the route itself, not for the one next hop that is chosen.
        body[8..].copy_from_slice(&libc::RTM_F_FIB_MATCH.to_ne_bytes());
        attribute(&mut body, libc::RTA_DST, &octets(target));
        let answer = self.ask(libc::RTM_GETROUTE, &body)?;
        let mut rest = attribute_of(&answer, ROUTE_LEN, libc::RTA_MULTIPATH).unwrap_or_default();
        let mut hops = Vec::new();
        while let Some([a, b, _, _, index @ ..]) = rest.first_chunk::<HOP_LEN>() {
            let length = usize::from(u16::from_ne_bytes([*a, *b]));
            let Some(hop) = rest.get(..length).filter(|hop| hop.len() >= HOP_LEN) else { break };
            let gateway = attribute_of(hop, HOP_LEN, libc::RTA_GATEWAY).and_then(address);
            hops.push(NextHop { interface: u32::from_ne_bytes(*index), gateway });
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(hops)
    }

    /// Asks for the description of the interface with this index.
    ///
    /// # Errors
    /// The error of the kernel: `ENODEV` if there is no such interface.
    pub fn link(&self, index: u32) -> io::Result<LinkAnswer> {
        let mut body = vec![0; LINK_LEN];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        let answer = self.ask(libc::RTM_GETLINK, &body)?;
        let head: [u8; LINK_LEN] = *answer.first_chunk().ok_or_else(cut_short)?;
        let find = |wanted| attribute_of(&answer, LINK_LEN, wanted);
        let name = find(libc::IFLA_IFNAME).ok_or_else(cut_short)?;
        let mtu = find(libc::IFLA_MTU).and_then(|value| value.first_chunk::<4>());
        Ok(LinkAnswer {
            name: String::from_utf8_lossy(name.split(|b| *b == 0).next().unwrap_or(name))
                .into_owned(),
            hardware: u16::from_ne_bytes([head[2], head[3]]),
            flags: u32::from_ne_bytes([head[8], head[9], head[10], head[11]]),
            mtu: mtu.map_or(0, |mtu| u32::from_ne_bytes(*mtu)),
        })
    }

    /// The addresses of the interface with this index, of the family of `like`, in the kernel's order.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn addresses(&self, index: u32, like: IpAddr) -> io::Result<Vec<IpNetwork>> {
        let family = if like.is_ipv4() { AF_INET } else { AF_INET6 };
        let mut body = vec![0; ADDRESS_LEN];
        body[0] = family;
        self.request(libc::RTM_GETADDR, DUMP, &body)?;
        let mut found = Vec::new();
        loop {
            let answers = self.receive()?;
            let mut rest = &answers[..];
            while let Some((kind, body)) = message(&mut rest) {
                if i32::from(kind) == libc::NLMSG_DONE {
                    return Ok(found);
                }
                let body = intact(kind, body)?;
                found.extend(address_of(body).filter(|(of, _)| *of == index).map(|(_, net)| net));
            }
        }
    }

    /// Sends one request and returns the body of its answer.
    fn ask(&self, kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
        self.request(kind, 0, body)?;
        let answer = self.receive()?;
        let (kind, body) = message(&mut &answer[..]).ok_or_else(cut_short)?;
        intact(kind, body).map(<[u8]>::to_vec)
    }

    fn request(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "NLM_F_REQUEST is 1")]
        const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
        let total = u32::try_from(HEADER_LEN + body.len()).map_err(io::Error::other)?;
        let mut request = Vec::with_capacity(HEADER_LEN + body.len());
        request.extend(total.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend((REQUEST | flags).to_ne_bytes());
        request.extend([0; 8]); // sequence and port: one question at a time
        request.extend(body);
        send(self.0.as_raw_fd(), &request, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        let mut answer = vec![0; 32 * 1024]; // as iproute2 has it: links with many attributes are long
        let read = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        answer.truncate(read);
        Ok(answer)
    }
}

/// Takes the first message off, and returns its type and its body; `None` if it is cut short.
fn message<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let head: [u8; HEADER_LEN] = *rest.first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes([head[0], head[1], head[2], head[3]])).ok()?;
    let body = rest.get(HEADER_LEN..length)?;
    *rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes([head[4], head[5]]), body))
}

/// The body of a message, unless it reports an error.
fn intact(kind: u16, body: &[u8]) -> io::Result<&[u8]> {
    if i32::from(kind) != libc::NLMSG_ERROR {
        return Ok(body);
    }
    let code = i32::from_ne_bytes(*body.first_chunk().ok_or_else(cut_short)?);
    Err(io::Error::from_raw_os_error(code.saturating_neg()))
}

/// The interface and the address that an answer is about: our own, if the other end of a link has one too.
fn address_of(answer: &[u8]) -> Option<(u32, IpNetwork)> {
    let [_, prefix, _, _, index @ ..] = *answer.first_chunk::<ADDRESS_LEN>()?;
    let find = |wanted| attribute_of(answer, ADDRESS_LEN, wanted);
    let value = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS))?;
    Some((u32::from_ne_bytes(index), IpNetwork::new(address(value)?, prefix).ok()?))
}

#[expect(clippy::cast_possible_truncation, reason = "AF_INET is 2")]
const AF_INET: u8 = libc::AF_INET as u8;
#[expect(clippy::cast_possible_truncation, reason = "AF_INET6 is 10")]
const AF_INET6: u8 = libc::AF_INET6 as u8;

/// An address as attributes carry it.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The address that an attribute carries, if it has the length of one.
fn address(value: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(value).ok().map(IpAddr::from))
}

/// Appends an attribute of 4 or 16 bytes: no others are sent, so nothing is padded.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = if value.len() == 4 { 8_u16 } else { 20 };
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

/// The value of the first attribute of this kind after the fixed part of an answer.
fn attribute_of(answer: &[u8], fixed: usize, wanted: u16) -> Option<&[u8]> {
    attributes(answer, fixed).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// The attributes of an answer after its fixed part; ends where they stop making sense.
fn attributes(answer: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = answer.get(fixed..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [a, b, c, d] = *rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]), value))
    })
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel's netlink answer is cut short")
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn loopback_is_local_and_known() {
        for localhost in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let kernel = Channel::open().unwrap();
            let answer = kernel.route(localhost, None, None).unwrap();
            assert_eq!((answer.source, answer.local), (Some(localhost), true));
            let link = kernel.link(answer.interface).unwrap();
            assert_eq!((link.name.as_str(), link.hardware), ("lo", libc::ARPHRD_LOOPBACK));
            let addresses = kernel.addresses(answer.interface, localhost).unwrap();
            assert!(addresses.iter().any(|net| net.ip() == localhost), "{addresses:?}");
            assert_eq!(kernel.addresses(u32::MAX, localhost).unwrap(), []);
            assert!(kernel.link(u32::MAX >> 1).is_err());
        }
    }

    #[test]
    fn attributes_that_lie_end_the_list() {
        let mut body = Vec::new();
        attribute(&mut body, 7, &[1, 2, 3, 4]);
        body.extend([5, 0, 9, 0, 42, 0, 0, 0]); // five bytes, padded to eight
        let parsed: Vec<_> = attributes(&body, 0).collect();
        assert_eq!(parsed, [(7, [1, 2, 3, 4].as_slice()), (9, [42].as_slice())]);
        for lie in [0_u16, 3, 200] {
            let mut lying = body.clone();
            lying.splice(0..2, lie.to_ne_bytes());
            assert_eq!(attributes(&lying, 0).count(), 0);
        }
        assert_eq!(attributes(&body, 99).count(), 0);
    }
}
