//! Which tool a trace is likely to be of: what gives each away, in one table.
//!
//! Every line is checked by a recording of that tool in `tests/captures`. A default that its user
//! changed hides a tool, and any tool may imitate another: hence "likely".

use crate::probe::ProbeType::{self, IcmpEcho, TcpSyn, Udp, UdpLite};
use crate::probe::craft;
use crate::trace::config::Wait;

const LINUX: &str = "traceroute (Linux)";
const LINUX_OR_RTRACE: &str = "traceroute (Linux) or rtrace";
pub(super) const RTRACE: &str = "rtrace";

/// What the packets of a trace show of the tool.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// What its probes ask with.
    pub probe: ProbeType,
    /// Length of the first probe's datagram.
    pub len: u16,
    /// Its source port or identifier.
    pub ident: u16,
    /// All probes have the same.
    pub one_socket: bool,
    /// Destination port or sequence number of the first probe.
    pub first_number: u16,
    /// All probes have the same.
    pub fixed_number: bool,
    /// IP-ID of the first probe; 0 over IPv6.
    pub first_id: u16,
    /// By how much that of the second exceeds it.
    pub id_step: u16,
    /// The first eight bytes after the IP header of the first probe.
    pub head: [u8; 8],
    /// The sixteen that follow: UDP and echo have their payload there.
    pub beginning: [u8; 16],
}

impl Traits {
    fn has_payload(&self, bytes: &[u8]) -> bool {
        self.beginning.starts_with(bytes)
    }

    fn is_zero(&self) -> bool {
        self.beginning == [0; 16]
    }

    /// The bytes count from `first`, but for the first two, which may be a number.
    fn counts_up_from(&self, first: u8) -> bool {
        (first..).zip(self.beginning).skip(2).all(|(value, byte)| byte == value)
    }

    fn is_filled(&self) -> bool {
        self.counts_up_from(0x40)
    }

    fn tcp_window(&self) -> u16 {
        u16::from_be_bytes([self.beginning[6], self.beginning[7]])
    }

    /// The numbers that rise begin here, or not long after.
    fn numbered_from(&self, first: u16) -> bool {
        let number = if self.one_socket { self.first_number } else { self.ident };
        (first..first + 400).contains(&number)
    }
}

/// One thing that gives a tool away.
struct Sign {
    tool: &'static str,
    probes: &'static [ProbeType],
    fits: fn(&Traits) -> bool,
}

const SIGNS: &[Sign] = &[
    Sign { tool: "traceroute (inetutils)", probes: &[Udp], fits: |it| it.has_payload(b"SUPERMAN") },
    Sign { tool: "traceroute (inetutils)", probes: &[IcmpEcho], fits: |it| it.counts_up_from(8) },
    Sign { tool: "dublin-traceroute", probes: &[Udp], fits: |it| it.has_payload(b"NSMNC") },
    Sign {
        tool: "tracepath",
        probes: &[Udp],
        fits: |it| it.one_socket && (44_444..44_460).contains(&it.first_number),
    },
    Sign {
        tool: "scamper",
        probes: &[Udp, TcpSyn, ProbeType::TcpAck, IcmpEcho],
        fits: |it| it.one_socket && it.first_id == 1 && it.id_step == 1 && it.len <= 44,
    },
    // Over IPv6 there is no IP-ID that counts.
    Sign {
        tool: "scamper",
        probes: &[Udp, IcmpEcho],
        fits: |it| {
            it.len == 60
                && it.one_socket
                && it.first_id == 0
                && [0, 33_435].contains(&it.first_number)
        },
    },
    Sign {
        tool: "lft",
        probes: &[Udp, TcpSyn],
        fits: |it| it.one_socket && it.ident == 53 && it.len <= 40,
    },
    Sign {
        tool: "lft",
        probes: &[IcmpEcho],
        fits: |it| it.len == 28 && it.first_id != 0 && it.id_step == 0,
    },
    Sign {
        tool: "tcptraceroute",
        probes: &[TcpSyn],
        fits: |it| it.one_socket && it.len == 40 && it.tcp_window() == 0,
    },
    Sign {
        tool: "mtr",
        probes: &[IcmpEcho, Udp],
        fits: |it| it.numbered_from(33_000) && it.is_zero() && it.len == 64,
    },
    Sign { tool: "mtr", probes: &[TcpSyn], fits: |it| !it.one_socket && it.numbered_from(33_000) },
    Sign {
        tool: "trippy",
        probes: &[TcpSyn],
        fits: |it| !it.one_socket && it.numbered_from(33_434),
    },
    Sign {
        tool: "trippy",
        probes: &[IcmpEcho, Udp],
        fits: |it| it.numbered_from(33_434) && it.is_zero() && it.len == 84,
    },
    Sign {
        tool: "trippy",
        probes: &[Udp],
        fits: |it| it.one_socket && it.fixed_number && it.len == 30,
    },
    Sign {
        tool: "tracert (Windows)",
        probes: &[IcmpEcho],
        fits: |it| it.len == 92 && it.is_zero(),
    },
    Sign {
        tool: RTRACE,
        probes: &[Udp, UdpLite],
        fits: |it| it.one_socket && it.id_step == 1 && it.is_filled(),
    },
    Sign { tool: LINUX, probes: &[Udp, UdpLite], fits: |it| !it.one_socket && it.is_filled() },
    Sign { tool: LINUX_OR_RTRACE, probes: &[Udp, UdpLite], fits: Traits::is_filled },
    Sign { tool: LINUX, probes: &[IcmpEcho], fits: |it| it.counts_up_from(0x48) },
    Sign { tool: RTRACE, probes: &[IcmpEcho], fits: Traits::is_filled },
    Sign {
        tool: LINUX,
        probes: &[TcpSyn],
        fits: |it| {
            !it.one_socket
                && [60, 80].contains(&it.len)
                && [5_760, 5_840].contains(&it.tcp_window())
        },
    },
];

/// The tool that a trace looks like, if a line fits.
#[must_use]
pub fn likely(traits: &Traits) -> Option<&'static str> {
    let fits = |sign: &&Sign| sign.probes.contains(&traits.probe) && (sign.fits)(traits);
    SIGNS.iter().find(fits).map(|sign| sign.tool)
}

/// How many seconds tools wait by default for any answer, where that is known.
const WAITS: [(&str, f64); 5] = [
    ("mtr", 10.0),
    ("scamper", 5.0),
    ("tracert (Windows)", 4.0),
    ("traceroute (inetutils)", 3.0),
    ("tcptraceroute", 3.0),
];
/// No answer in a capture comes later than that: what is captured is an answer.
const FOR_EVER: f64 = 86_400.0;

/// How long the tool waits for an answer. That a probe times out by the RTTs of others is the idea of
/// traceroute on Linux and of rtrace, that the longest wait adapts is rtrace's alone. What another tool may have waited
/// for and taken is not called late.
#[must_use]
pub fn wait(traits: &Traits) -> Wait {
    let ours = Wait::default();
    let linux = Wait { adaptive: false, ..ours };
    let patient = |max| Wait { max, here: None, near: None, ..linux };
    let body = || [&traits.head[..], &traits.beginning].concat();
    match likely(traits) {
        Some(LINUX) => linux,
        Some(LINUX_OR_RTRACE | RTRACE) => ours,
        None if craft::looks_like_ours(traits.probe, &body(), traits.len.into()) => ours,
        tool => {
            let known = WAITS.iter().find(|(name, _)| Some(*name) == tool);
            patient(known.map_or(FOR_EVER, |(_, wait)| *wait))
        }
    }
}
