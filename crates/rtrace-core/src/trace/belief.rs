//! How much a forger would have had to guess to send a quote, and whether that is enough to believe it.
//!
//! A forger who is not on the path knows our address and the target's, the type of probe, its ports but for the source
//! port, its TTLs and its filling. He does not know what is random in a run (`Unknown`): a reply is believed without reserve
//! where all that he had to guess of what it quotes makes the chance at most 2⁻⁴⁰ that one packet hits any of the probes
//! that it could hit. A quote that shows a probe as it was sent has all of it; one of a probe that was rewritten on the way has
//! less (`Reading`). What has too little is
//!
//! - not believed, where it fits a probe of an earlier round after which too many others were sent;
//! - believed and marked, where it shows the probe as it was sent: an option fixed what would be random, or asks for very
//!   many probes at a time (`Proof::Guessable`);
//! - believed and marked as rewritten, where it is all that translations on the way left of the probe. There may be several, one
//!   after another, and others tomorrow: what they make of a flow is no reason to doubt a quote, but one to believe what shows
//!   it again. Once [`MOST_MISFITS`] errors fitted no probe, it is no longer believed: somebody guesses.
//!
//! What is kept here is of a whole run, whatever its rounds: the running one has it. It is a function of the frames.
//! A trace without a [`Secret`], another tool's or one of long ago, has nothing of this.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::config::TraceConfig;
use super::probe_selector::ProbeSelector;
use crate::probe::{FlowMode, ProbeType, Secret, craft, secret};
use crate::time::{Span, Timestamp};
use crate::wire::extension::Family;
use crate::wire::quoted::Quoted;

/// How many errors may quote a datagram to the target that was no probe; from then on rewritten quotes are not believed.
pub const MOST_MISFITS: u32 = 48;
/// How unlikely it is, in bits, that one blind packet is believed by the exact reading, and by each other: so that they sum
/// up to no more than 2⁻⁴⁰ for a packet that could be believed by several.
const EXACT: f64 = 41.0;
const REWRITTEN: f64 = 42.0;
/// The least number of random bits left where neither the source address nor the checksum is as it was.
const SHIFTED: f64 = 30.0;
/// Probes that one packet could hit, with the fewest bits that any type of probe has. To a probe after which more were sent
/// nothing is believed that is only likely.
const WINDOW: u64 = 128;
/// The bits of a random port (1024 to 65535), and of an IP-ID and a checksum, which have 65535 values.
const PORT: f64 = 15.97;
const WORD: f64 = 15.99;
const LABEL: f64 = 20.0;
/// What the octets of the key at the end of a quote show beyond its checksum.
const TAIL: f64 = 48.0;
/// The idle time after which a NAT may translate to another port (RFC 4787 §4.3).
const REST: Span = Span::from_millis(30_000);
/// How many translations of a flow are remembered: the latest.
const MOST_TRANSLATED: usize = 8;

/// How a quote shows a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it was sent.
    Exact,
    /// But for the checksum: a translation was undone, that of the checksum was not.
    Checksum,
    /// But for addresses, and a checksum that fits them.
    Addresses,
    /// But for the source address and port, or identifier, and a checksum that fits them.
    Origin,
    /// But for the source address, and a checksum that does not fit it: a translation further on was undone, that of the
    /// checksum was not.
    Shifted,
    /// As the probe was sent, but for the source address and the source port or identifier.
    ShiftedOrigin,
    /// But for the IP-ID, and with TCP the destination port.
    Id,
    /// But for the destination port, and a checksum that fits it, or was left as it was.
    Port,
    /// But for the sequence number, and with ICMP a checksum that fits it.
    Sequence,
}

impl Reading {
    /// Whether the source port or identifier is another.
    pub(super) fn is_of_other_port(self) -> bool {
        matches!(self, Self::Origin | Self::ShiftedOrigin)
    }
}

/// What a forger does not know of a probe, in bits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unknown {
    /// Source port or identifier.
    origin: f64,
    id: f64,
    checksum: f64,
    /// The sequence number of TCP or of an echo, or the first octets of another protocol.
    sequence: f64,
    label: f64,
}

impl Unknown {
    fn of(config: &TraceConfig, secret: Secret) -> Self {
        let family = Family::of(config.target);
        let when = |holds: bool, bits: f64| if holds { bits } else { 0.0 };
        let udp = matches!(config.probe, ProbeType::Udp | ProbeType::UdpFixed | ProbeType::UdpLite);
        let echo = config.probe == ProbeType::IcmpEcho;
        let headers = craft::headers_len(family, config.probe);
        let payload =
            usize::from(config.packet_len.max(config.least_len()).saturating_sub(headers));
        let is_query =
            udp && config.probe != ProbeType::Udp && config.first_port == craft::DNS_PORT;
        let keyed = (udp || echo) && (is_query || secret::tail_len(payload) > 0);
        Self {
            origin: when((config.probe.has_ports() && !secret.known_port) || echo, PORT),
            id: when(family == Family::V4, WORD),
            checksum: when(keyed, WORD),
            sequence: match config.probe {
                ProbeType::TcpSyn | ProbeType::TcpAck => 32.0,
                ProbeType::IcmpEcho => 15.0,
                ProbeType::Protocol(_) => 63.0,
                _ => 0.0,
            },
            label: when(family == Family::V6 && !secret.known_label, LABEL),
        }
    }

    fn bits(&self, reading: Reading) -> f64 {
        let all = self.origin + self.id + self.checksum + self.sequence + self.label;
        match reading {
            Reading::Exact | Reading::Addresses => all,
            Reading::Checksum | Reading::Shifted => all - self.checksum,
            Reading::Origin => all - self.origin,
            Reading::ShiftedOrigin => all - self.checksum - self.origin,
            Reading::Id => all - self.id,
            // There are two checksums that fit.
            Reading::Port => all - 1.0,
            Reading::Sequence => all - self.sequence,
        }
    }
}

/// What a quote shows, and of which probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) reading: Reading,
    /// Over IPv6, with the flow label of the probe.
    pub(super) label: bool,
    /// It goes on to the end of the probe, with the octets of the key there.
    pub(super) tail: bool,
    /// It is of a datagram to the target.
    pub(super) to_target: bool,
    /// The destination port, if it has one.
    pub(super) port: u16,
    /// What a translation made of the probe's flow.
    pub(super) translated: Option<Translated>,
}

/// What a translation made of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translated {
    /// The first octets of the flow: its ports, or nothing.
    pub(super) flow: [u8; 4],
    /// The source address that it has become, if it is not ours.
    pub(super) address: Option<IpAddr>,
    /// The source port or identifier that it has become; or where they are ours, the difference of the checksums.
    pub(super) value: u16,
}

/// Why a reply is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It could not be guessed.
    Enough,
    /// It could, but all of the probe is there that is quoted.
    Guessable,
    /// It could, but that is what a translation leaves.
    Rewritten,
}

/// An error about a datagram to the target that is no probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stray {
    /// The source port or identifier of that, if it came from our address. All errors with one such number count as one
    /// misfit: where it is not ours, nothing else in them can make it fit, and another trace to the same target has few.
    pub(super) origin: Option<u16>,
}

/// When a round began: after how many rounds and probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Since {
    rounds: u64,
    sent: u64,
}

/// What a run has shown so far of what can be believed.
#[derive(Clone, Debug, Default)]
pub(super) struct Belief {
    /// `None` if nothing is known to be random.
    unknown: Option<Unknown>,
    key: [u8; 8],
    /// How many probes of a round have one destination port at most, where ports rise.
    per_port: Option<u64>,
    /// How many went to each destination port of UDP, where ports do not rise: to one, or one for each flow.
    to_port: Option<HashMap<u16, u64>>,
    now: Since,
    misfits: u32,
    /// The source ports or identifiers of those misfits that came from our address, but not from ours.
    origins: HashSet<u16>,
    /// Source addresses that translations gave probes, as believed quotes show: a bounded number, the first of them.
    translators: Vec<IpAddr>,
    /// What translations make of flows, and when that was last seen.
    flows: HashMap<[u8; 4], Vec<(Translated, Timestamp)>>,
}

impl Belief {
    pub(super) fn of(config: &TraceConfig, idents: &ProbeSelector) -> Self {
        // Of reconstructed replies the kernel has matched the socket.
        let weighs = config.evidence.is_captured() && !matches!(idents, ProbeSelector::Listed(_));
        let secret = config.secret.filter(|_| weighs);
        let rises = config.probe == ProbeType::Udp && config.flow_mode == FlowMode::Classic;
        let planned = u64::from(config.scout_number()) + 1;
        let ports = u64::from(u16::MAX - config.first_port) + 1;
        Self {
            unknown: secret.map(|secret| Unknown::of(config, secret)),
            key: secret.map_or(0, |secret| secret.key).to_be_bytes(),
            per_port: rises.then(|| planned.div_ceil(ports)),
            to_port: (config.probe == ProbeType::Udp && !rises).then(|| HashMap::with_capacity(1)),
            ..Self::default()
        }
    }

    /// Whether what a quote shows is weighed at all.
    pub(super) fn is_strict(&self) -> bool {
        self.unknown.is_some()
    }

    /// A round begins: its first probe was captured.
    pub(super) fn begin_round(&mut self) -> Since {
        self.now.rounds += 1;
        self.now
    }

    /// A probe to this destination port was captured, if it has one.
    pub(super) fn note_probe(&mut self, port: u16) {
        self.now.sent += 1;
        if let Some(to_port) = &mut self.to_port {
            *to_port.entry(port).or_default() += 1;
        }
    }

    /// An error fits no probe.
    pub(super) fn note_misfit(&mut self) {
        self.misfits = self.misfits.saturating_add(1);
    }

    /// Whether an error of this kind is new evidence on whether somebody guesses.
    pub(super) fn counts(&self, stray: Stray) -> bool {
        let known = stray.origin.is_some_and(|origin| self.origins.contains(&origin));
        self.is_strict() && !self.is_withdrawn() && !known
    }

    /// Notes an error that is new evidence.
    pub(super) fn note_stray(&mut self, stray: Stray) {
        self.origins.extend(stray.origin);
        self.note_misfit();
    }

    /// Whether enough errors fitted no probe that somebody may be guessing.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.is_strict() && self.misfits >= MOST_MISFITS
    }

    /// A reply was believed that shows this.
    pub(super) fn note_translated(&mut self, translated: Translated, at: Timestamp) {
        let new = |it: &IpAddr| !self.translators.contains(it);
        if self.translators.len() < MOST_TRANSLATED {
            self.translators.extend(translated.address.filter(new));
        }
        let known = self.flows.entry(translated.flow).or_default();
        known.retain(|(it, last)| *it != translated && at.since(*last) < REST);
        if known.len() == MOST_TRANSLATED {
            known.remove(0);
        }
        known.push((translated, at));
    }

    /// Whether a quote shows the last octets of its probe.
    pub(super) fn has_tail(&self, quote: &Quoted<'_>) -> bool {
        let len = quote.header.total_len.saturating_sub(quote.header.header_len);
        let filled = len.saturating_sub(8);
        let from = len.saturating_sub(self.key.len());
        let tail = quote.payload.get(from..len);
        secret::tail_len(filled) == self.key.len() && tail.is_some_and(|tail| *tail == self.key)
    }

    /// Whether a quote with this fit is believed of a probe in a round that began then.
    pub(super) fn judge(&self, fit: &Fit, since: Since, at: Timestamp) -> Option<Proof> {
        let unknown = self.unknown.as_ref()?;
        let exact = fit.reading == Reading::Exact && fit.label;
        let mut bits = unknown.bits(fit.reading);
        bits -= if fit.label { 0.0 } else { unknown.label };
        bits += if fit.tail { TAIL } else { 0.0 };
        // What a translation made of it, others do not know either, if it is not as it was sent.
        let shifted = matches!(fit.reading, Reading::Shifted | Reading::ShiftedOrigin);
        // A checksum that does not fit an address that no other quote shows is not what translations do.
        let address = fit.translated.and_then(|it| it.address);
        if shifted && !address.is_some_and(|it| self.translators.contains(&it)) {
            return None;
        }
        let changed = shifted || matches!(fit.reading, Reading::Origin | Reading::Checksum);
        bits += if changed { self.held(fit.translated, at) } else { 0.0 };
        let fellows = self.fellows(fit, since);
        #[expect(clippy::cast_precision_loss, reason = "probes are far less than 2⁵²")]
        let spare = bits - (fellows as f64).log2();
        if spare >= if exact { EXACT } else { REWRITTEN } {
            return Some(Proof::Enough);
        }
        if since.rounds < self.now.rounds && fellows > WINDOW {
            return None;
        }
        if exact {
            return Some(Proof::Guessable);
        }
        let likely = !shifted || bits >= SHIFTED;
        (likely && fit.to_target && !self.is_withdrawn()).then_some(Proof::Rewritten)
    }

    /// How hard, in bits, it is to guess what a translation made of a flow: one of those that were seen before.
    fn held(&self, translated: Option<Translated>, at: Timestamp) -> f64 {
        let known = translated.and_then(|it| Some((it, self.flows.get(&it.flow)?)));
        let Some((translated, known)) = known else { return 0.0 };
        let lately = || known.iter().filter(|(_, last)| at.since(*last) < REST);
        let there = lately().any(|(it, _)| *it == translated);
        #[expect(clippy::cast_precision_loss, reason = "they are few")]
        let among = (lately().count() as f64).log2();
        if there { WORD - among } else { 0.0 }
    }

    /// How many probes of a round that began then, and of all after it, a packet could hit.
    fn fellows(&self, fit: &Fit, since: Since) -> u64 {
        let ported = matches!(
            fit.reading,
            Reading::Exact
                | Reading::Checksum
                | Reading::Addresses
                | Reading::Origin
                | Reading::Shifted
                | Reading::ShiftedOrigin
                | Reading::Id
        );
        let sent = (self.now.sent - since.sent).max(1);
        let rounds = self.now.rounds - since.rounds + 1;
        let rising = self.per_port.map(|per_port| per_port * rounds);
        let to_port = self.to_port.as_ref().and_then(|to_port| to_port.get(&fit.port)).copied();
        let to_one = rising.or(to_port).filter(|_| ported);
        to_one.map_or(sent, |probes| probes.min(sent))
    }
}

#[cfg(test)]
mod tests;
