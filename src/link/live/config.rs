//! The configuration of a live link, and the reasons why it may fail to open.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::route::{ANY, Interface, Route};
use crate::probe::ProbeType;
use crate::untrusted::Untrusted;
use crate::wire::LinkType;
use crate::wire::extension::Family;

/// The configuration of a live link.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct LiveConfig {
    /// The targets, at least one; they may be of both families.
    pub targets: Vec<LiveTarget>,
    /// The type of the probes.
    pub probe: ProbeType,
    /// Whether probes also come from other ports, which are not held (only for TCP).
    pub any_source_port: bool,
    /// Whether some probes, those that confirm answers, have a second port or identifier.
    pub confirming: bool,
    /// Whether to capture only on the interfaces that probes leave by; frames of others are counted.
    pub alone: bool,
    /// Whether to capture all frames cooked, on whatever interface.
    pub any: bool,
    /// The clock that stamps the frames.
    pub clock: Clock,
    /// Whether to continue when the interface goes down, until it comes up again.
    pub survive_link_down: bool,
}

/// One address that a link probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTarget {
    /// How probes to this target leave.
    pub route: Route,
    /// The address of the target, of the family of the route.
    pub address: IpAddr,
    /// The source port of its probes, if their protocol has ports; `None` chooses a random free one.
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

    /// Whether every datagram of the probes' protocol counts as a probe, whatever its contents.
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

    /// The link types of the interfaces, for each target.
    pub(super) fn links(&self) -> Vec<LinkType> {
        let links = self.targets.iter().map(|target| target.route.interface.link);
        links.map(|link| if self.any { LinkType::Sll2 } else { link }).collect()
    }

    /// The name of the interface that is captured on.
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
    /// The clock of the kernel.
    #[default]
    Kernel,
    /// The clock of the network card. `CAP_NET_ADMIN` is needed to switch it on.
    Hardware,
}

/// Why a live link could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The privilege to use raw and packet sockets is missing.
    #[error(
        "opening a raw socket needs CAP_NET_RAW: run with sudo, or once: sudo setcap \
         cap_net_raw+ep {}",
        Untrusted::from(executable.as_path()).shown()
    )]
    Privilege {
        /// The running program.
        executable: PathBuf,
    },
    /// Probes of this type need raw sockets, and the privilege for these is missing or not to be used.
    #[error(
        "{what} need CAP_NET_RAW: run with sudo, or once: sudo setcap cap_net_raw+ep {}; without it, probes are UDP, or \
         ICMP echo (-I)",
        Untrusted::from(executable.as_path()).shown()
    )]
    NeedsPackets {
        /// What needs it.
        what: String,
        /// The running program.
        executable: PathBuf,
    },
    /// The kernel refuses an option without which nothing is seen of replies.
    #[error(
        "the kernel refused {option} ({}), without which no reply is seen: let the policy of this process \
         (seccomp) permit it, or run with sudo",
        errno.desc()
    )]
    NoReports {
        /// The option, or the call.
        option: &'static str,
        /// The kernel's reason.
        errno: nix::errno::Errno,
    },
    /// This user may not open ping sockets.
    #[error(
        "ICMP echo needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range: run with sudo, or send UDP probes (leave out -I)"
    )]
    NoPing,
    /// The source port cannot be taken.
    #[error("cannot take {transport} port {address}: {source}: choose another one with --sport")]
    Port {
        /// The name of the protocol.
        transport: &'static str,
        /// The address and port asked for; port 0 means any.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// There is no target.
    #[error("there is no target to probe: name one")]
    NoTarget,
    /// One address has two routes, and a datagram to it does not show which of them it is for.
    #[error(
        "{address} would be probed from two addresses or by two interfaces: run a trace for each"
    )]
    TwoRoutes {
        /// The address.
        address: IpAddr,
    },
    /// There are more targets than ports or identifiers.
    #[error(
        "{targets} targets need {needed} different {what}, more than are free: trace fewer targets at a time"
    )]
    TooMany {
        /// The number of targets.
        targets: usize,
        /// The number of ports or identifiers that they need.
        needed: usize,
        /// What is missing, such as "UDP ports".
        what: String,
    },
    /// There are more targets than this process may have files.
    #[error(
        "{targets} targets need {needed} open files, and {permitted} are permitted: raise the hard limit \
         (ulimit -Hn), or trace fewer targets at a time"
    )]
    Files {
        /// The number of targets.
        targets: usize,
        /// The number of files that they need.
        needed: u64,
        /// The number of files that may be open at a time.
        permitted: u64,
    },
    /// Hardware stamps are matched to the probes of a single target only.
    #[error("--clock hardware is the clock of one trace: name one target, or leave it out")]
    HardwareOfSeveral,
    /// The interface's device cannot stamp what it sends and everything that it receives.
    #[error(
        "{} has no hardware stamps for both directions (see: ethtool -T {0}): leave out --clock hardware",
        interface.escaped()
    )]
    NoHardware {
        /// The name of the interface.
        interface: Untrusted,
    },
    /// The privilege to switch on hardware stamps is missing.
    #[error(
        "switching on the hardware stamps of {} needs CAP_NET_ADMIN: run with sudo, or leave out \
         --clock hardware",
        interface.escaped()
    )]
    HardwareRight {
        /// The name of the interface.
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
        /// The name of the interface.
        interface: Untrusted,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl OpenError {
    /// The error for probes of a type that no unprivileged socket sends.
    pub(super) fn needs_packets(probe: ProbeType) -> Self {
        let what = match probe {
            ProbeType::TcpSyn | ProbeType::TcpAck => "TCP probes".to_owned(),
            ProbeType::UdpLite => "UDP-Lite probes".to_owned(),
            other => format!("probes of protocol {}", other.protocol(Family::V4)),
        };
        Self::NeedsPackets { what, executable: executable() }
    }

    /// The error for a socket operation, usually of a missing privilege.
    pub(super) fn socket(operation: &'static str, interface: &str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::PermissionDenied {
            return Self::Privilege { executable: executable() };
        }
        Self::Io { operation, interface: interface.into(), source }
    }
}

/// The path of the running program.
fn executable() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "rtrace".into())
}
