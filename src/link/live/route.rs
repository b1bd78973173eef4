//! Which interface and source address a probe leaves by: the ones the kernel would use.
//!
//! The kernel is asked twice, as `connect(2)` does it: first for the source address it prefers, then
//! for the route from that address, which policy routing may send elsewhere. `-i` binds the question
//! to an interface as `SO_BINDTODEVICE` will bind the probes.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use nix::net::if_::if_nametoindex;
use pnet::ipnetwork::IpNetwork;

use super::netlink;
use crate::wire::LinkType;

/// The name that stands for every interface at once.
pub const ANY: &str = "any";

/// A network interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name; not to be printed unescaped.
    pub name: String,
    /// Its number in the kernel.
    pub index: u32,
    /// What frames captured on it begin with.
    pub link: LinkType,
    /// The longest datagram it takes, in bytes.
    pub mtu: u32,
    /// Its first IPv4 address, with the prefix length.
    pub address: Option<Ipv4Network>,
    /// Whether it is the loopback interface, on which each packet is seen twice.
    pub is_loopback: bool,
    /// Whether it is up.
    pub is_up: bool,
}

/// How probes to a target leave this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where they are seen leaving. For an address of this host that is `lo`, whatever `-i` says.
    pub interface: Interface,
    /// Their source address.
    pub source: Ipv4Addr,
    /// The interface that the sending socket is to be bound to: the one asked for with `-i`.
    pub bound_to: Option<String>,
}

/// Hardware types (`ARPHRD_` numbers) whose frames are not captured cooked. PPP (512) is not among
/// them: whether its frames carry a PPP header depends on the driver, so it is, as in libpcap,
/// captured cooked, which works on any interface.
const HARDWARE: &[(u16, LinkType)] = &[
    (libc::ARPHRD_ETHER, LinkType::Ethernet),
    (libc::ARPHRD_LOOPBACK, LinkType::Ethernet),
    (libc::ARPHRD_NONE, LinkType::Raw),   // tun, WireGuard
    (libc::ARPHRD_TUNNEL, LinkType::Raw), // IP in IP
    (libc::ARPHRD_SIT, LinkType::Raw),
    (libc::ARPHRD_IPGRE, LinkType::Raw),
    (519, LinkType::Raw), // ARPHRD_RAWIP: cellular modems
];

/// Why there is no way to send a probe.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// `-i` names an interface that does not exist.
    #[error("there is no interface {}: choose one of {}", Plain(.name), Plain(.others))]
    NoSuchInterface {
        /// The name asked for.
        name: String,
        /// The names that exist, separated by commas.
        others: String,
    },
    /// The interface is administratively down.
    #[error("interface {0} is down: bring it up with: ip link set {0} up", Plain(.name))]
    Down {
        /// Its name.
        name: String,
    },
    /// The interface asked for has no IPv4 address to send from.
    #[error(
        "interface {} has no IPv4 address: give it one, or choose a source address with -s",
        Plain(.name)
    )]
    NoAddress {
        /// Its name.
        name: String,
    },
    /// The source address is not one of this host.
    #[error("{address} is not an address of this host: choose one that `ip address` lists")]
    ForeignSource {
        /// The address asked for with `-s`.
        address: Ipv4Addr,
    },
    /// The kernel would not send a datagram to the target.
    #[error("no route to {target}{}: {source}: see: ip route get {target}", Via(.interface))]
    NoRoute {
        /// The target.
        target: Ipv4Addr,
        /// The interface asked for, if one was.
        interface: Option<String>,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel would not say how it routes.
    #[error("cannot ask the kernel about interfaces: {0}: check that netlink is permitted here")]
    Kernel(#[source] io::Error),
}

/// A name from outside, with whatever could steer a terminal escaped.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

/// " by eth0", or nothing.
struct Via<'a>(&'a Option<String>);

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_deref().map_or(Ok(()), |name| write!(f, " by interface {}", Plain(name)))
    }
}

/// The route to `target`, by the interface `iface` and from `source` where these are given. `iface`
/// may be [`ANY`]: that concerns capturing only, the route is the kernel's.
///
/// # Errors
/// See [`RouteError`].
pub fn resolve(
    target: Ipv4Addr,
    iface: Option<&str>,
    source: Option<Ipv4Addr>,
) -> Result<Route, RouteError> {
    let asked = iface.filter(|name| *name != ANY).map(named).transpose()?;
    let bound = asked.as_ref().map(|interface| interface.index);
    if let Some(address) = source.filter(|address| !is_ours(*address, bound)) {
        return Err(RouteError::ForeignSource { address });
    }
    let lacks_address = |interface: &Interface| source.is_none() && interface.address.is_none();
    let unroutable = |reason: io::Error| match &asked {
        Some(interface) if lacks_address(interface) => {
            RouteError::NoAddress { name: interface.name.clone() }
        }
        _ => RouteError::NoRoute {
            target,
            interface: asked.as_ref().map(|interface| interface.name.clone()),
            source: explained(reason),
        },
    };
    let first = netlink::route(target, source, bound).map_err(unroutable)?;
    let chosen = first.source.ok_or_else(|| unroutable(io::ErrorKind::AddrNotAvailable.into()))?;
    let answer = netlink::route(target, Some(chosen), bound).map_err(unroutable)?;
    let interface = by_index(answer.interface).map_err(RouteError::Kernel)?;
    // The kernel would lend the address of another interface: an answer to it may never come back.
    if asked.is_some() && lacks_address(&interface) {
        return Err(RouteError::NoAddress { name: interface.name });
    }
    Ok(Route { interface, source: chosen, bound_to: asked.map(|interface| interface.name) })
}

/// A black hole route is `EINVAL` to whoever asks, which says nothing; any other cause of that has
/// been excluded before.
fn explained(reason: io::Error) -> io::Error {
    match reason.raw_os_error() {
        Some(libc::EINVAL) => io::Error::other("the routing table discards such datagrams"),
        Some(libc::EACCES) => io::Error::other("the routing table prohibits such datagrams"),
        _ => reason,
    }
}

/// Whether the kernel takes `address` for one of this host. The second question is for addresses
/// within a VRF, which only count there.
fn is_ours(address: Ipv4Addr, bound: Option<u32>) -> bool {
    let local = |bound| netlink::route(address, None, bound).is_ok_and(|answer| answer.local);
    local(None) || (bound.is_some() && local(bound))
}

/// The interface of this name, if it is there and up.
fn named(name: &str) -> Result<Interface, RouteError> {
    let Ok(index) = if_nametoindex(name) else {
        let mut others: Vec<String> =
            pnet_datalink::interfaces().into_iter().map(|interface| interface.name).collect();
        others.push(ANY.to_owned());
        return Err(RouteError::NoSuchInterface {
            name: name.to_owned(),
            others: others.join(", "),
        });
    };
    let interface = by_index(index).map_err(RouteError::Kernel)?;
    if interface.is_up { Ok(interface) } else { Err(RouteError::Down { name: interface.name }) }
}

fn by_index(index: u32) -> io::Result<Interface> {
    let answer = netlink::link(index)?;
    let has = |flag: i32| answer.flags & flag.cast_unsigned() != 0;
    Ok(Interface {
        index,
        link: link_type(answer.hardware),
        mtu: answer.mtu,
        address: address(index),
        is_loopback: has(libc::IFF_LOOPBACK),
        is_up: has(libc::IFF_UP),
        name: answer.name,
    })
}

fn link_type(hardware: u16) -> LinkType {
    HARDWARE
        .iter()
        .find(|(number, _)| *number == hardware)
        .map_or(LinkType::Sll2, |(_, link)| *link)
}

/// The first IPv4 address of an interface. Aliases ("eth0:1") are entries of their own there, with
/// the same index.
fn address(index: u32) -> Option<Ipv4Network> {
    let interfaces = pnet_datalink::interfaces();
    let ours = interfaces.iter().filter(|interface| interface.index == index);
    ours.flat_map(|interface| &interface.ips).find_map(|network| match network {
        IpNetwork::V4(v4) if !v4.ip().is_unspecified() => {
            Ipv4Network::new(v4.ip(), v4.prefix()).ok()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_routes_to_itself() {
        let localhost = Ipv4Addr::LOCALHOST;
        for (iface, source) in
            [(None, None), (Some("lo"), None), (Some(ANY), None), (None, Some(localhost))]
        {
            let route = resolve(localhost, iface, source).unwrap();
            assert_eq!((route.interface.name.as_str(), route.source), ("lo", localhost));
            assert!(route.interface.is_loopback && route.interface.is_up);
            assert_eq!(route.interface.link, LinkType::Ethernet);
            assert_eq!(route.bound_to.as_deref(), iface.filter(|name| *name != ANY));
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        let message = |iface: Option<&str>, source: [u8; 4]| {
            resolve(Ipv4Addr::LOCALHOST, iface, Some(source.into())).unwrap_err().to_string()
        };
        let missing = message(Some("no\x1bsuch0"), [127, 0, 0, 1]);
        assert!(missing.starts_with(r"there is no interface no\u{1b}such0: choose one of "));
        assert!(missing.ends_with(", any") && missing.contains("lo"), "{missing}");
        for foreign in [[192, 0, 2, 77], [224, 0, 0, 1], [255, 255, 255, 255]] {
            assert!(message(None, foreign).contains("is not an address of this host"));
        }
    }
}
