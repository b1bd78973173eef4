//! Chooses the interface and the source address of a probe: the ones that the kernel would use.
//!
//! The kernel is asked twice, as `connect(2)` does it: first for the source address that it prefers, then for the
//! route from that address, which policy routing may send elsewhere. `-i` restricts the queries to an interface as
//! `SO_BINDTODEVICE` will restrict the probes; so does the zone of a link-local target (RFC 4007 §11), which is
//! ambiguous without one.

use std::fmt;
use std::io;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use nix::net::if_::if_nametoindex;

use super::netlink::Channel;
use crate::untrusted::Untrusted;
use crate::wire::LinkType;

/// The name that stands for all interfaces.
pub const ANY: &str = "any";

/// A network interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The name as the kernel takes it: print it as an [`Untrusted`].
    pub name: String,
    /// The index of the interface in the kernel.
    pub index: u32,
    /// The link type of frames that are captured on it.
    pub link: LinkType,
    /// The longest datagram that it takes, in bytes.
    pub mtu: u32,
    /// Whether it is the loopback interface, on which each packet is seen twice.
    pub is_loopback: bool,
    /// Whether it is up.
    pub is_up: bool,
}

/// How probes to a target leave this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The interface on which they are seen leaving. For an address of this host it is `lo`, whatever `-i` says.
    pub interface: Interface,
    /// The source address of the probes.
    pub source: IpAddr,
    /// The interface that the sending socket is bound to: the one given with `-i` or by the target's zone.
    pub bound_to: Option<String>,
    /// The number of the zone of a link-local target; 0 for any other target.
    pub scope: u32,
}

/// Hardware types (`ARPHRD_` numbers) whose frames are not captured cooked. PPP (512) is not among them: whether its
/// frames carry a PPP header depends on the driver. So it is captured cooked, as in libpcap, which works on any
/// interface.
const HARDWARE: &[(u16, LinkType)] = &[
    (libc::ARPHRD_ETHER, LinkType::Ethernet),
    (libc::ARPHRD_LOOPBACK, LinkType::Ethernet),
    (libc::ARPHRD_NONE, LinkType::Raw),   // tun, WireGuard
    (libc::ARPHRD_TUNNEL, LinkType::Raw), // IP in IP
    (libc::ARPHRD_SIT, LinkType::Raw),
    (libc::ARPHRD_IPGRE, LinkType::Raw),
    (519, LinkType::Raw), // ARPHRD_RAWIP: cellular modems
];

/// The reason why no probe can be sent.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// `-i` names an interface that does not exist.
    #[error("there is no interface {}: choose one of {}", .name.escaped(), .others.escaped())]
    NoSuchInterface {
        /// The name asked for.
        name: Untrusted,
        /// The names that exist, separated by commas.
        others: Untrusted,
    },
    /// The interface is administratively down.
    #[error("interface {0} is down: bring it up with: ip link set {0} up", .name.escaped())]
    Down {
        /// Its name.
        name: Untrusted,
    },
    /// The interface asked for has no address of the target's family to send from.
    #[error(
        "interface {} has no {family} address: give it one, or choose a source address with -s",
        .name.escaped()
    )]
    NoAddress {
        /// Its name.
        name: Untrusted,
        /// "IPv4" or "IPv6".
        family: &'static str,
    },
    /// The target is link-local, and no interface is given.
    #[error("{target} is link-local: name its interface: {target}%{}", .example.escaped())]
    NoZone {
        /// The target.
        target: IpAddr,
        /// An interface that could be meant.
        example: Untrusted,
    },
    /// `-i` and the target's zone name different interfaces.
    #[error(
        "interface {} and zone {} are not the same: leave out -i, or name the interface of the zone",
        .interface.escaped(), .zone.escaped()
    )]
    ZoneElsewhere {
        /// The interface asked for with `-i`.
        interface: Untrusted,
        /// The interface of the target's zone.
        zone: Untrusted,
    },
    /// The source address is of the other family.
    #[error("{address} cannot be the source of probes to {target}: choose an {family} address")]
    OtherFamily {
        /// The address asked for with `-s`.
        address: IpAddr,
        /// The target.
        target: IpAddr,
        /// The target's family, "IPv4" or "IPv6".
        family: &'static str,
    },
    /// The source address is not one of this host.
    #[error("{address} is not an address of this host: choose one that `ip address` lists")]
    ForeignSource {
        /// The address asked for with `-s`.
        address: IpAddr,
    },
    /// The kernel would not send a datagram to the target.
    #[error("no route to {target}{}: {source}: see: ip route get {target}", Via(.interface))]
    NoRoute {
        /// The target.
        target: IpAddr,
        /// The interface asked for, if one was.
        interface: Option<Untrusted>,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The target is the broadcast address of a network that this host is on.
    #[error(
        "cannot trace to {target}: it is the broadcast address of a network of this host: choose the address of one host"
    )]
    Broadcast {
        /// The target.
        target: IpAddr,
    },
    /// The kernel does not answer questions about interfaces.
    #[error("cannot ask the kernel about interfaces: {0}: check that netlink is permitted here")]
    Kernel(#[source] io::Error),
}

/// The text " by interface eth0", or nothing.
struct Via<'a>(&'a Option<Untrusted>);

impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, " by interface {}", name.escaped()))
    }
}

/// The most interfaces below another that are found.
const BELOW: usize = 64;

/// The indexes of the interfaces that the interface with this name consists of, such as the members of a bond or a
/// bridge or the device below a VLAN: a frame that it receives is seen there first.
#[must_use]
pub fn below(name: &str) -> Vec<u32> {
    let mut names = vec![name.to_owned()];
    let mut at = 0;
    while let Some(upper) = names.get(at).filter(|_| at < BELOW) {
        let entries = std::fs::read_dir(format!("/sys/class/net/{upper}")).into_iter().flatten();
        let entries = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let lower: Vec<String> =
            entries.filter_map(|entry| Some(entry.strip_prefix("lower_")?.to_owned())).collect();
        names.extend(lower);
        at += 1;
    }
    let lower = names.iter().skip(1).take(BELOW);
    lower.filter_map(|name| if_nametoindex(name.as_str()).ok()).collect()
}

/// The number, the name and the first address of an interface, with the length of its prefix.
pub type Named = (u32, String, Option<(IpAddr, u8)>);

/// Number, name and first address of each interface of this host, of the family of `like`.
#[must_use]
pub fn interfaces(like: IpAddr) -> Vec<Named> {
    let described = |it: pnet_datalink::NetworkInterface| {
        let mut ours = it.ips.iter().filter(|net| net.is_ipv4() == like.is_ipv4());
        (it.index, it.name.clone(), ours.next().map(|net| (net.ip(), net.prefix())))
    };
    pnet_datalink::interfaces().into_iter().map(described).collect()
}

/// The route to `target`, by the interface `iface` and from `source` where these are given. `iface` may be [`ANY`],
/// which affects only capturing: the route is the kernel's. `zone` is what followed the target after a '%', the name
/// or the number of an interface; it binds like `iface`, and a link-local target needs one of the two.
///
/// # Errors
/// See [`RouteError`].
pub fn resolve(
    target: IpAddr,
    zone: Option<&str>,
    iface: Option<&str>,
    source: Option<IpAddr>,
) -> Result<Route, RouteError> {
    let family = family(target);
    if let Some(address) = source.filter(|address| address.is_ipv4() != target.is_ipv4()) {
        return Err(RouteError::OtherFamily { address, target, family });
    }
    let kernel = Channel::open().map_err(RouteError::Kernel)?;
    let asked = asked_for(&kernel, target, zone, iface)?;
    let bound = asked.as_ref().map(|interface| interface.index);
    if let Some(address) = source.filter(|address| !is_ours(&kernel, *address, bound)) {
        return Err(RouteError::ForeignSource { address });
    }
    let lacks_address = |interface: &Interface| {
        let found = || first_address(&kernel, interface.index, target);
        source.is_none() && found().is_ok_and(|address| address.is_none())
    };
    let unroutable = |reason: io::Error| match &asked {
        Some(interface) if lacks_address(interface) => {
            RouteError::NoAddress { name: interface.name.as_str().into(), family }
        }
        _ => RouteError::NoRoute {
            target,
            interface: asked.as_ref().map(|interface| interface.name.as_str().into()),
            source: explained(reason),
        },
    };
    let first = kernel.route(target, source, bound).map_err(unroutable)?;
    if first.broadcast {
        return Err(RouteError::Broadcast { target });
    }
    let chosen = first.source.ok_or_else(|| unroutable(io::ErrorKind::AddrNotAvailable.into()))?;
    let answer = kernel.route(target, Some(chosen), bound).map_err(unroutable)?;
    // With a source, the kernel does not restrict an IPv6 route to the interface, as it does for a bound socket.
    let held = bound.filter(|_| target.is_ipv6());
    let held = held.and_then(|index| kernel.route(target, None, Some(index)).ok());
    let leaves_by = held.map_or(answer.interface, |held| held.interface);
    let interface = by_index(&kernel, leaves_by).map_err(RouteError::Kernel)?;
    // The kernel would use the address of another interface: an answer to it may never come back.
    if asked.as_ref().is_some_and(lacks_address) && lacks_address(&interface) {
        return Err(RouteError::NoAddress { name: interface.name.into(), family });
    }
    let scope = bound.filter(|_| is_link_local(target)).unwrap_or(0);
    Ok(Route { interface, source: chosen, bound_to: asked.map(|interface| interface.name), scope })
}

/// The next hops among which this host balances datagrams to `target`, in words; `None` if it does not.
#[must_use]
pub fn balancing(target: IpAddr) -> Option<String> {
    let kernel = Channel::open().ok()?;
    let hops = kernel.next_hops(target).ok().filter(|hops| hops.len() > 1)?;
    let words = hops.iter().map(|hop| {
        let name = kernel.link(hop.interface).map(|link| Untrusted::from(link.name).shown());
        let name = name.unwrap_or_else(|_| format!("interface {}", hop.interface));
        hop.gateway.map_or_else(|| name.clone(), |gateway| format!("{gateway} by {name}"))
    });
    let mut words: Vec<String> = words.collect();
    words.sort();
    Some(words.join(" and "))
}

/// The interface that probes are bound to, by `-i` or by the target's zone.
fn asked_for(
    kernel: &Channel,
    target: IpAddr,
    zone: Option<&str>,
    iface: Option<&str>,
) -> Result<Option<Interface>, RouteError> {
    let iface = iface.filter(|name| *name != ANY);
    let by_iface = iface.map(|name| named(kernel, name, name_index(name))).transpose()?;
    let zone_index = |zone: &str| name_index(zone).or_else(|| zone.parse().ok());
    let by_zone = zone.map(|zone| named(kernel, zone, zone_index(zone)));
    match (by_iface, by_zone.transpose()?) {
        (None, None) if is_link_local(target) => {
            Err(RouteError::NoZone { target, example: some_interface().into() })
        }
        (Some(interface), Some(zone)) if interface.index != zone.index => {
            Err(RouteError::ZoneElsewhere {
                interface: interface.name.into(),
                zone: zone.name.into(),
            })
        }
        (by_iface, by_zone) => Ok(by_zone.or(by_iface)),
    }
}

/// The name of the family of an address, for messages.
fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Whether the same address may exist on every link. IPv4 has no zones: its routes distinguish links.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// An interface that a link-local address may be on, as an example.
fn some_interface() -> String {
    let interfaces = pnet_datalink::interfaces();
    let likely = interfaces.into_iter().find(|one| one.is_up() && !one.is_loopback());
    likely.map_or_else(|| "eth0".to_owned(), |interface| interface.name)
}

/// The reason in words. The kernel reports a black hole route as `EINVAL`, which explains nothing; other causes of
/// `EINVAL` have been excluded before.
fn explained(reason: io::Error) -> io::Error {
    match reason.raw_os_error() {
        Some(libc::EINVAL) => io::Error::other("the routing table discards datagrams to it"),
        Some(libc::EACCES) => io::Error::other("the routing table prohibits datagrams to it"),
        _ => reason,
    }
}

/// Whether the kernel considers `address` one of this host. The second query is for addresses within a VRF, which
/// count only there.
fn is_ours(kernel: &Channel, address: IpAddr, bound: Option<u32>) -> bool {
    let local = |bound| kernel.route(address, None, bound).is_ok_and(|answer| answer.local);
    local(None) || (bound.is_some() && local(bound))
}

fn name_index(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

/// The interface with this index, if it exists and is up; `name` is what the user called it.
fn named(kernel: &Channel, name: &str, index: Option<u32>) -> Result<Interface, RouteError> {
    let missing = || {
        let mut others: Vec<String> =
            pnet_datalink::interfaces().into_iter().map(|interface| interface.name).collect();
        others.push(ANY.to_owned());
        RouteError::NoSuchInterface { name: name.into(), others: others.join(", ").into() }
    };
    let interface = by_index(kernel, index.ok_or_else(missing)?).map_err(|error| {
        // The number was taken for an index without a check.
        if error.raw_os_error() == Some(libc::ENODEV) {
            missing()
        } else {
            RouteError::Kernel(error)
        }
    })?;
    if interface.is_up {
        Ok(interface)
    } else {
        Err(RouteError::Down { name: interface.name.into() })
    }
}

/// The interface with this index.
fn by_index(kernel: &Channel, index: u32) -> io::Result<Interface> {
    let answer = kernel.link(index)?;
    let has = |flag: i32| answer.flags & flag.cast_unsigned() != 0;
    Ok(Interface {
        index,
        link: link_type(answer.hardware),
        mtu: answer.mtu,
        is_loopback: has(libc::IFF_LOOPBACK),
        is_up: has(libc::IFF_UP),
        name: answer.name,
    })
}

/// The link type of frames that are captured on an interface of this hardware type.
pub(super) fn link_type(hardware: u16) -> LinkType {
    HARDWARE
        .iter()
        .find(|(number, _)| *number == hardware)
        .map_or(LinkType::Sll2, |(_, link)| *link)
}

impl Interface {
    /// The first address of this interface of the family of `target` and, if there is one, of its scope; with the
    /// prefix length.
    #[must_use]
    pub fn address(&self, target: IpAddr) -> Option<IpNetwork> {
        first_address(&Channel::open().ok()?, self.index, target).ok()?
    }
}

/// The first address of an interface of the family of `target`, preferably of its scope.
fn first_address(kernel: &Channel, index: u32, target: IpAddr) -> io::Result<Option<IpNetwork>> {
    let usable = kernel.addresses(index, target)?.into_iter();
    let usable = usable.filter(|network| !network.ip().is_unspecified());
    Ok(usable.min_by_key(|network| is_link_local(network.ip()) != is_link_local(target)))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn loopback_routes_to_itself() {
        for localhost in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            for (iface, source) in
                [(None, None), (Some("lo"), None), (Some(ANY), None), (None, Some(localhost))]
            {
                let route = resolve(localhost, None, iface, source).unwrap();
                assert_eq!((route.interface.name.as_str(), route.source), ("lo", localhost));
                assert!(route.interface.is_loopback && route.interface.is_up);
                assert_eq!(route.interface.link, LinkType::Ethernet);
                assert_eq!(route.bound_to.as_deref(), iface.filter(|name| *name != ANY));
            }
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        let message = |iface: Option<&str>, source: [u8; 4]| {
            let source = Some(IpAddr::from(source));
            resolve(Ipv4Addr::LOCALHOST.into(), None, iface, source).unwrap_err().to_string()
        };
        let missing = message(Some("no\x1bsuch0"), [127, 0, 0, 1]);
        assert!(missing.starts_with(r"there is no interface no\u{1b}such0: choose one of "));
        assert!(missing.ends_with(", any") && missing.contains("lo"), "{missing}");
        for foreign in [[192, 0, 2, 77], [224, 0, 0, 1], [255, 255, 255, 255]] {
            assert!(message(None, foreign).contains("is not an address of this host"));
        }
    }
}
