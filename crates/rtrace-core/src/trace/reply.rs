//! A reply to a probe: who sent it, what it says (RFC 792, RFC 4443), and what it quotes of the probe.

use std::net::IpAddr;

use crate::time::{Span, Timestamp};
use crate::wire::Evidence;
use crate::wire::extension::{Extension, Family};
use crate::wire::tcp::Flags;
use crate::wire::{icmpv4, icmpv6};

/// The kind of a reply, with the fields that only this kind has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum ReplyKind {
    /// An ICMP error that quotes the probe.
    Icmp {
        /// The family whose ICMP types and codes these are.
        family: Family,
        /// The ICMP type (RFC 792, RFC 4443).
        icmp_type: u8,
        /// The ICMP code (RFC 792, RFC 4443).
        code: u8,
        /// The MTU of the next hop in bytes, if the message reports one (RFC 1191 §4, RFC 4443 §3.2).
        mtu: Option<u32>,
    },
    /// The target answered in the probe's own protocol: a datagram, an echo reply, a segment.
    Answer {
        /// The control bits of a TCP segment.
        tcp_flags: Option<Flags>,
    },
}

/// Time exceeded in transit: what a router on the way says.
const IN_TRANSIT: [(Family, u8, u8); 2] =
    [(Family::V4, icmpv4::TIME_EXCEEDED, 0), (Family::V6, icmpv6::TIME_EXCEEDED, 0)];
/// Port unreachable: what a host that was reached says.
const PORT_UNREACHABLE: [(Family, u8, u8); 2] = [
    (Family::V4, icmpv4::UNREACHABLE, icmpv4::CODE_PORT),
    (Family::V6, icmpv6::UNREACHABLE, icmpv6::CODE_PORT),
];

/// What a host says of a datagram that has reached it and that it does not take: no such protocol or port, or a
/// firewall's refusal (RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1; RFC 4443 §3.1 and §3.4).
const REFUSED: [(Family, u8, u8); 10] = [
    (Family::V4, icmpv4::UNREACHABLE, icmpv4::CODE_PROTOCOL),
    (Family::V4, icmpv4::UNREACHABLE, icmpv4::CODE_PORT),
    (Family::V4, icmpv4::UNREACHABLE, 9),
    (Family::V4, icmpv4::UNREACHABLE, 10),
    (Family::V4, icmpv4::UNREACHABLE, 13),
    (Family::V6, icmpv6::UNREACHABLE, 1),
    (Family::V6, icmpv6::UNREACHABLE, icmpv6::CODE_PORT),
    (Family::V6, icmpv6::UNREACHABLE, 5),
    (Family::V6, icmpv6::UNREACHABLE, 6),
    (Family::V6, icmpv6::PARAMETER_PROBLEM, icmpv6::CODE_NEXT_HEADER),
];

impl ReplyKind {
    fn is_one_of(self, known: &[(Family, u8, u8)]) -> bool {
        let Self::Icmp { family, icmp_type, code, .. } = self else { return false };
        known.contains(&(family, icmp_type, code))
    }

    /// Type and code of an ICMP error; `None` for an answer.
    #[must_use]
    pub fn icmp(self) -> Option<(u8, u8)> {
        let Self::Icmp { icmp_type, code, .. } = self else { return None };
        Some((icmp_type, code))
    }

    /// Whether this is time exceeded in transit, which a router on the path sends.
    #[must_use]
    pub fn in_transit(self) -> bool {
        self.is_one_of(&IN_TRANSIT)
    }

    /// Whether this is a redirect or a source quench: advice that shows nothing about what became of the probe.
    #[must_use]
    pub fn is_advice(self) -> bool {
        let Self::Icmp { family: Family::V4, icmp_type, .. } = self else { return false };
        matches!(icmp_type, icmpv4::REDIRECT | icmpv4::SOURCE_QUENCH)
    }

    /// The MTU of the next hop, in bytes, if a router reports that the probe is too big for it; 0 from a router older
    /// than RFC 1191.
    #[must_use]
    pub fn too_big(self) -> Option<u32> {
        let Self::Icmp { mtu, .. } = self else { return None };
        mtu
    }

    /// Whether this shows that the probe was delivered: port unreachable, or an answer.
    #[must_use]
    pub fn delivered(self) -> bool {
        matches!(self, Self::Answer { .. }) || self.is_one_of(&PORT_UNREACHABLE)
    }
}

/// One reply to one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub struct Reply {
    /// The source address of the reply.
    pub responder: IpAddr,
    /// The kind of the reply.
    pub kind: ReplyKind,
    /// When it was captured; [`Timestamp::UNKNOWN`] if the capture file does not say.
    pub at: Timestamp,
    /// Round-trip time: the capture stamp of the reply less that of the probe; `None` if the probe was not captured.
    pub rtt: Option<Span>,
    /// Whether the RTT is unreliable: the clock was set between the two stamps, or the RTT is negative.
    pub clock_fault: bool,
    /// Its frame number in the recording, from 1.
    pub frame: u64,
    /// The TTL that it arrived with.
    pub ttl: u8,
    /// The type of service (IPv6: traffic class) that it arrived with.
    pub tos: u8,
    /// The identification field of its IPv4 header (RFC 791 §3.1); `None` over IPv6, and if it is
    /// [reconstructed](Evidence::Reconstructed).
    pub ip_id: Option<u16>,
    /// The length of its datagram in bytes; `None` if it is reconstructed.
    pub len: Option<u32>,
    /// The header of the probe that it quotes, if it quotes one; `None` if it is reconstructed.
    pub quote: Option<Quote>,
    /// The extension structure that follows the quote (RFC 4884), if there is one.
    pub extension: Option<Box<Extension>>,
    /// The probe that it quotes has another source address, port or checksum than ours had: something
    /// on the way rewrote it.
    pub rewritten: bool,
    /// It quotes the probe as it was sent, but options left so little of that random that it may be a lucky guess.
    pub guessable: bool,
    /// It came after its probe had timed out.
    pub late: bool,
    /// Its probe had already had a reply of this kind from this responder.
    pub duplicate: bool,
    /// Whether it was captured, or reconstructed from what the kernel reported.
    pub evidence: Evidence,
}

impl Reply {
    /// The RTT, if it is known and reliable.
    #[must_use]
    pub fn measured(&self) -> Option<Span> {
        self.rtt.filter(|_| !self.clock_fault)
    }

    /// Whether it is an answer in the probe's own protocol, which quotes nothing; other replies are ICMP errors.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(self.kind, ReplyKind::Answer { .. })
    }

    /// Whether the target says by it that the probe has reached it. Time exceeded from its address does not: a host
    /// says that of no datagram for itself.
    #[must_use]
    pub fn is_of_target(&self, target: IpAddr) -> bool {
        self.is_answer() || self.responder == target && self.kind.is_one_of(&REFUSED)
    }

    /// Whether the path may end where it comes from: it is neither advice nor time exceeded in transit, and no size
    /// error that cannot be true.
    #[must_use]
    pub fn may_end(&self) -> bool {
        !self.kind.in_transit() && !self.kind.is_advice() && !self.is_absurd()
    }

    /// Whether it calls the probe too big for a link that takes it, or for one that takes less than any link may
    /// (RFC 791 §3.2, RFC 8200 §5).
    fn is_absurd(&self) -> bool {
        let ReplyKind::Icmp { family, mtu: Some(mtu), .. } = self.kind else { return false };
        let takes = mtu.max(least_mtu(family).into());
        self.quote.is_some_and(|quote| (1..=takes).contains(&quote.total_len))
    }
}

/// The least MTU that a link of this family has (RFC 791 §3.2, RFC 8200 §5).
pub(super) const fn least_mtu(family: Family) -> u16 {
    match family {
        Family::V4 => 68,
        Family::V6 => 1_280,
    }
}

impl Reply {
    /// A reply of which only the sender and the kind are known.
    #[must_use]
    pub fn plain(responder: IpAddr, kind: ReplyKind) -> Self {
        Self {
            responder,
            kind,
            at: Timestamp::default(),
            rtt: None,
            clock_fault: false,
            frame: 1,
            ttl: 64,
            tos: 0,
            ip_id: None,
            len: Some(56),
            quote: None,
            extension: None,
            rewritten: false,
            guessable: false,
            late: false,
            duplicate: false,
            evidence: Evidence::Captured,
        }
    }
}

/// The initial TTL that a packet which arrived with `ttl` probably had (64, 128 or 255, as systems choose it), and
/// the number of hops that it then passed.
#[must_use]
pub fn return_path(ttl: u8) -> (u8, u16) {
    let initial = [64, 128].into_iter().find(|initial| ttl <= *initial).unwrap_or(u8::MAX);
    (initial, u16::from(initial - ttl) + 1)
}

/// The header of a probe as the responder quotes it: as it arrived there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The TTL in the quoted header.
    pub ttl: u8,
    /// The type of service in the quoted header.
    pub tos: u8,
    /// Length of the datagram in bytes, as its header tells it.
    pub total_len: u32,
    /// The number of bytes of the datagram that are quoted.
    pub len: u32,
}
