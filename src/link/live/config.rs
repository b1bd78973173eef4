//! What a live link is opened for, and why that may fail.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::route::{ANY, Interface, Route};
use crate::probe::ProbeType;
use crate::untrusted::Untrusted;
use crate::wire::LinkType;
use crate::wire::extension::Family;

/// What a live link is to be opened for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct LiveConfig {
    /// What is traced, one target at least, of both families if need be.
    pub targets: Vec<LiveTarget>,
    /// The type of the probes.
    pub probe: ProbeType,
    /// Whether they come from other ports too, which are not held: TCP alone.
    pub any_source_port: bool,
    /// Whether some probes come from a second port or with a second identifier: those that confirm answers.
    pub confirming: bool,
    /// Whether to capture on the interfaces that probes leave by alone; what comes by others is counted.
    pub alone: bool,
    /// Whether all frames are to be cooked, whatever interface they come by.
    pub any: bool,
    /// Whose stamps the frames are to have.
    pub clock: Clock,
    /// Whether to go on when the interface goes down, until it comes up again.
    pub survive_link_down: bool,
}

/// One address that a link probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTarget {
    /// How probes to it leave.
    pub route: Route,
    /// The address; of the family of the route.
    pub address: IpAddr,
    /// The port that its probes come from, if their protocol has ports; a random one that is free if not given.
    pub source_port: Option<u16>,
}

impl LiveConfig {
    /// UDP probes to these targets, by the kernel's stamps, captured on all interfaces.
    #[must_use]
    pub fn of(targets: Vec<LiveTarget>) -> Self {
        Self {
            targets,
            probe: ProbeType::Udp,
            any_source_port: false,
            confirming: false,
            alone: false,
            any: false,
            clock: Clock::Kernel,
            survive_link_down: false,
        }
    }

    /// The IP protocol of the probes to this address.
    pub(super) fn protocol(&self, address: IpAddr) -> u8 {
        self.probe.protocol(Family::of(address))
    }

    /// Whether the probes are all that has their protocol, whatever else it looks like.
    pub(super) fn is_as_such(&self) -> bool {
        matches!(self.probe, ProbeType::Protocol(_))
    }

    /// The interfaces that probes leave by, each once.
    pub(super) fn interfaces(&self) -> Vec<&Interface> {
        let mut interfaces: Vec<_> = self.targets.iter().map(|it| &it.route.interface).collect();
        interfaces.sort_by_key(|interface| interface.index);
        interfaces.dedup_by_key(|interface| interface.index);
        interfaces
    }

    /// The addresses that probes come from, each once, in order.
    pub(super) fn sources(&self) -> Vec<IpAddr> {
        let mut sources: Vec<_> = self.targets.iter().map(|target| target.route.source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// What frames begin with on the interface of each target.
    pub(super) fn links(&self) -> Vec<LinkType> {
        let links = self.targets.iter().map(|target| target.route.interface.link);
        links.map(|link| if self.any { LinkType::Sll2 } else { link }).collect()
    }

    /// What is captured on, by name.
    pub(super) fn captured_on(&self) -> &str {
        match self.interfaces()[..] {
            [one] if !self.any => &one.name,
            _ => ANY,
        }
    }
}

/// A clock that stamps frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The kernel's.
    #[default]
    Kernel,
    /// That of the network card. Needs `CAP_NET_ADMIN` to be switched on.
    Hardware,
}

/// Why a live link could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The right to use raw and packet sockets is missing.
    #[error(
        "opening a raw socket needs CAP_NET_RAW: run with sudo, or once: sudo setcap \
         cap_net_raw+ep {}",
        Untrusted::from(executable.as_path()).shown()
    )]
    Privilege {
        /// The running program.
        executable: PathBuf,
    },
    /// The source port could not be had.
    #[error("cannot take {transport} port {address}: {source}: choose another one with --sport")]
    Port {
        /// The protocol whose port it is, by name.
        transport: &'static str,
        /// The address and port asked for; port 0 is any.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A link without a target serves nothing.
    #[error("there is no target to probe: name one")]
    NoTarget,
    /// One address is traced in two ways: which of them a datagram to it is for, nothing says.
    #[error(
        "{address} would be probed from two addresses or by two interfaces: run a trace for each"
    )]
    TwoRoutes {
        /// The address.
        address: IpAddr,
    },
    /// There are more targets than ports or identifiers.
    #[error(
        "{targets} targets need {needed} different {what}, and so many are not free: trace fewer targets at a time"
    )]
    TooMany {
        /// How many targets there are.
        targets: usize,
        /// How many ports or identifiers that takes.
        needed: usize,
        /// "UDP ports" and the like.
        what: String,
    },
    /// There are more targets than this process may have files.
    #[error(
        "{targets} targets need {needed} open files, and {permitted} are permitted: raise the hard limit \
         (ulimit -Hn), or trace fewer targets at a time"
    )]
    Files {
        /// How many targets there are.
        targets: usize,
        /// How many files that takes.
        needed: u64,
        /// How many may be open at a time.
        permitted: u64,
    },
    /// The stamps of a card are matched to the probes of one target.
    #[error("--clock hardware is the clock of one trace: name one target, or leave it out")]
    HardwareOfSeveral,
    /// The interface's device cannot stamp what it sends and everything that it receives.
    #[error(
        "{} has no hardware stamps for both directions (see: ethtool -T {0}): leave out --clock hardware",
        interface.escaped()
    )]
    NoHardware {
        /// The interface by name.
        interface: Untrusted,
    },
    /// The right to switch on hardware stamps is missing.
    #[error(
        "switching on the hardware stamps of {} needs CAP_NET_ADMIN: run with sudo, or leave out \
         --clock hardware",
        interface.escaped()
    )]
    HardwareRight {
        /// The interface by name.
        interface: Untrusted,
    },
    /// Another step failed.
    #[error(
        "cannot {operation} on {}: {source}: check the interface with: ip link",
        interface.escaped()
    )]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The interface by name.
        interface: Untrusted,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl OpenError {
    /// The error for a socket operation: want of privilege is the usual one.
    pub(super) fn socket(operation: &'static str, interface: &str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::PermissionDenied {
            let executable = std::env::current_exe().unwrap_or_else(|_| "rtrace".into());
            return Self::Privilege { executable };
        }
        Self::Io { operation, interface: interface.into(), source }
    }
}
