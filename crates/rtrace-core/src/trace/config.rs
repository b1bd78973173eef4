//! The configuration of a trace, which is checked once, when a tracer is built from it.

mod error;
mod evidence;

use std::net::IpAddr;

pub use error::ConfigError;
pub(super) use evidence::MOST_SIZERS;

use serde::{Deserialize, Serialize};

use crate::probe::craft::{self, ProbeSpec};
use crate::probe::{Flow, FlowMode, ProbeType, Secret};
use crate::time::{Span, Timestamp};
use crate::untrusted::Untrusted;
use crate::wire::Evidence;

use super::path::Probe;

/// The first destination port of UDP probes, as in every traceroute since 1988.
pub const DEFAULT_PORT: u16 = 33_434;
/// The TTLs of the first and the last hop that are probed, unless others are chosen.
pub const DEFAULT_HOPS: (u8, u8) = (1, 30);
/// Most queries per hop.
pub const MAX_QUERIES: u16 = 1_000;
/// Most queries per hop where a trace is only watched: tools that run for hours have more.
pub const MAX_WATCHED_QUERIES: u16 = u16::MAX;
/// Probes in flight at a time where a scout says how far they have to go.
const SCOUTED_IN_FLIGHT: u16 = 128;
/// The number of probes that a tracer reserves room for when it is built, so that handling a frame allocates nothing.
pub(super) const RESERVED: usize = 2_048;
/// The room of a passive tracer, enough for a trace with defaults: a recording's own description is not trusted
/// before its frames confirm it.
pub(super) const RESERVED_WATCHING: usize = 128;

/// How long an answer is waited for, as traceroute's `-w MAX,HERE,NEAR`.
///
/// A probe times out HERE × (the RTT of another answer from the same hop) after it was sent, else
/// NEAR × (the RTT of an answer from a later hop), else MAX, and never later than MAX. One millisecond
/// is added to an RTT before it is multiplied, as traceroute does, so that tiny RTTs leave time.
///
/// Where nothing was asked for, MAX adapts: it is ten times the largest RTT seen so far, but at least a
/// second and never more than `max`. So a path with silent hops costs a second, not five. What lies beyond the farthest hop
/// that answered may be farther away in time than all before it: while nothing has ended the path, it gets
/// three seconds, once a trace.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// The longest wait (MAX) in seconds, more than 0.
    pub max: f64,
    /// The factor HERE; `None`, which is written as 0, switches its rule off.
    #[serde(with = "zero_is_none")]
    pub here: Option<f64>,
    /// The factor NEAR; `None`, which is written as 0, switches its rule off.
    #[serde(with = "zero_is_none")]
    pub near: Option<f64>,
    /// Whether MAX adapts to the largest RTT seen.
    #[serde(default)]
    pub adaptive: bool,
}

impl Default for Wait {
    fn default() -> Self {
        Self { max: 5.0, here: Some(3.0), near: Some(10.0), adaptive: true }
    }
}

/// Added to an RTT before it is multiplied by a factor.
const RTT_PRECISION: Span = Span::from_millis(1);
/// How many times the largest RTT an answer is waited for where MAX adapts, and how long at least.
const ADAPTIVE: (f64, Span) = (10.0, Span::from_millis(1_000));
/// How long what lies beyond the farthest hop that answered is waited for at least where MAX adapts. Of targets behind mobile
/// and satellite links, 2 to 5 % take more than a second.
pub(super) const FAR: Span = Span::from_millis(3_000);

impl Wait {
    /// When `probe` is to time out, given the first answered RTTs of its own hop and of the
    /// nearest later hop that has one, and the largest RTT seen.
    pub(super) fn deadline(
        &self,
        probe: &Probe,
        here: Option<Span>,
        near: Option<Span>,
        largest: Option<Span>,
    ) -> Timestamp {
        probe.sent.unwrap_or_default().after(self.patience(here, near, largest))
    }

    /// How long the first probe beyond the farthest hop that answered is waited for at least, and with it all others
    /// there, while nothing has ended the path.
    pub(super) fn far(&self) -> Option<Span> {
        self.adaptive.then(|| FAR.min(Span::from_secs_f64(self.max)))
    }

    /// How long a target is waited for of which nothing is known.
    pub(super) fn unknown(&self) -> Span {
        self.far().unwrap_or(Span::from_secs_f64(self.max))
    }

    /// How long after it was sent that is, for every probe of a hop.
    pub(super) fn patience(
        &self,
        here: Option<Span>,
        near: Option<Span>,
        largest: Option<Span>,
    ) -> Span {
        let longest = Span::from_secs_f64(self.max);
        let (times, least) = ADAPTIVE;
        let max = match largest.filter(|_| self.adaptive) {
            Some(rtt) => rtt.scaled(times).max(least).min(longest),
            None => longest,
        };
        let by = |rtt: Option<Span>, factor: Option<f64>| {
            let padded = Span::from_nanos(rtt?.nanos().saturating_add(RTT_PRECISION.nanos()));
            Some(padded.scaled(factor?).min(max))
        };
        by(here, self.here).or_else(|| by(near, self.near)).unwrap_or(max)
    }
}

/// Identifies probes that confirm an answer, by values that a forger of that answer cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The source port or identifier of these probes, different from that of the other probes.
    pub ident: u16,
    /// The seed of their numbers: ports, sequence numbers, DNS ids.
    pub seed: u32,
}

impl Confirmation {
    /// A number that whoever does not know the seed cannot tell from a random one (the finaliser of `MurmurHash3`).
    fn number(self, of: u32) -> u32 {
        let mixed = |value: u32, by: u32, factor: u32| (value ^ (value >> by)).wrapping_mul(factor);
        let number = self.seed.wrapping_add(of.wrapping_mul(0x9e37_79b9));
        let number = mixed(mixed(number, 16, 0x85eb_ca6b), 13, 0xc2b2_ae35);
        number ^ (number >> 16)
    }
}

/// Everything that determines a trace, apart from the network.
///
/// A pcapng recording carries this, so its serialised form is part of the file format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct TraceConfig {
    /// The target as the user typed it.
    pub target_name: Untrusted,
    /// The address that is traced.
    pub target: IpAddr,
    /// The prober's own address.
    pub source: IpAddr,
    /// The type of the probes.
    pub probe: ProbeType,
    /// The fields that stay the same among the probes.
    #[serde(default)]
    pub flow_mode: FlowMode,
    /// The source port, or the identifier of ICMP echo; 0 for other protocols.
    pub ident: u16,
    /// Destination port of the first probe. Of UDP in the classic mode each further probe takes the
    /// next, and after 65535 this one comes again.
    pub first_port: u16,
    /// TTL of the first hop, at least 1.
    pub first_ttl: u8,
    /// TTL of the last hop, at least `first_ttl`.
    pub max_ttl: u8,
    /// Probes per hop, 1 to [`MAX_QUERIES`].
    pub queries: u16,
    /// How long answers are waited for.
    pub wait: Wait,
    /// The most probes in flight at a time, at least 1.
    pub in_flight: u16,
    /// Whether a probe counts as in flight for as long as an answer is waited for. If not, one that has
    /// been silent for much longer than any answer took does not: a silent hop holds nobody up.
    #[serde(default)]
    pub in_flight_exact: bool,
    /// Whether a scout is sent first: the last probe of the plan, with the highest TTL, whose answer shows how far
    /// the others must go. See [`scouting`](Self::scouting).
    #[serde(default)]
    pub scout: bool,
    /// The least time between two probes, in seconds.
    pub send_wait: f64,
    /// The type of service (IPv6: traffic class) of the probes.
    pub tos: u8,
    /// Whether probes carry the Don't Fragment flag.
    pub dont_fragment: bool,
    /// Whether to measure the path MTU after the trace: see [`mtu`](super::mtu).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mtu: bool,
    /// The longest datagram, in bytes, to try for the path MTU, if it is less than the first link takes. A path MTU
    /// of this value may be larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_limit: Option<u16>,
    /// The flow label of the probes (IPv6, RFC 8200 §3), 20 bits.
    #[serde(default)]
    pub flow_label: u32,
    /// The length of each probe's datagram in bytes, headers included.
    pub packet_len: u16,
    /// The first value of numbers that differ from run to run: the IP-ID and, without a secret, TCP sequence numbers
    /// and DNS ids.
    #[serde(alias = "first_ip_id")]
    pub first_id: u16,
    /// The secret that makes the probes hard to guess. Older recordings have none, and their quotes are believed
    /// without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The source of the probes that confirm answers from nearer than the path is long; `None` sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// The number of probes that earlier rounds may have had, from which the serials of this round continue.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_serial: u32,
    /// What the frames of replies are: captured, or reconstructed from what the kernel reports to sockets without privilege.
    /// There the kernel chooses the IP-ID of probes over IPv4, so nothing is identified by it.
    #[serde(default, skip_serializing_if = "is_captured")]
    pub evidence: Evidence,
}

impl TraceConfig {
    /// A UDP trace from `source` to `target` with traceroute's defaults.
    #[must_use]
    pub fn new(source: IpAddr, target: IpAddr, source_port: u16) -> Self {
        let flow = Flow { source, target, probe: ProbeType::Udp, ident: source_port };
        Self::of_flow(&flow)
    }

    /// A trace of any kind with traceroute's defaults.
    #[must_use]
    pub fn of_flow(flow: &Flow) -> Self {
        let Flow { source, target, probe, ident } = *flow;
        Self {
            target_name: target.to_string().into(),
            target,
            source,
            probe,
            flow_mode: FlowMode::Classic,
            ident,
            first_port: match probe {
                ProbeType::UdpFixed | ProbeType::UdpLite => craft::DNS_PORT,
                ProbeType::TcpSyn | ProbeType::TcpAck => craft::HTTP_PORT,
                _ => DEFAULT_PORT,
            },
            first_ttl: DEFAULT_HOPS.0,
            max_ttl: DEFAULT_HOPS.1,
            queries: 3,
            wait: Wait::default(),
            in_flight: 16,
            in_flight_exact: false,
            scout: false,
            send_wait: 0.0,
            tos: 0,
            dont_fragment: false,
            mtu: false,
            mtu_limit: None,
            flow_label: 0,
            packet_len: craft::default_len(flow.family(), probe),
            first_id: 1,
            secret: None,
            confirmation: None,
            first_serial: 0,
            evidence: Evidence::Captured,
        }
    }

    /// Makes the trace take about one round trip instead of going hop after hop: with a scout, and with slightly
    /// more probes in flight than 30 hops have.
    #[must_use]
    pub fn scouting(self) -> Self {
        Self { scout: true, in_flight: SCOUTED_IN_FLIGHT, ..self }
    }

    /// Whether this trace has a scout: with a single hop it needs none, and beside a scout nothing may be in flight
    /// where probes go [one at a time](Self::is_one_at_a_time).
    #[must_use]
    pub fn has_scout(&self) -> bool {
        self.scout && self.max_ttl > self.first_ttl && !self.is_one_at_a_time()
    }

    /// Probe `number` of a round.
    pub(super) fn spec_in(&self, round: u64, number: u32) -> ProbeSpec {
        ProbeSpec { serial: self.serial(round).wrapping_add(number), ..self.spec(number) }
    }

    /// How many probes rounds before round `round` may have had.
    fn serial(&self, round: u64) -> u32 {
        let probes = u64::from(self.scout_number()) + 1;
        let serial = round.wrapping_mul(probes) & u64::from(u32::MAX);
        u32::try_from(serial).unwrap_or_default()
    }

    /// The probe that is the scout: the last that could be sent at all.
    pub(super) fn scout_number(&self) -> u32 {
        let hops = u32::from(self.max_ttl.saturating_sub(self.first_ttl)) + 1;
        hops * u32::from(self.queries) - 1
    }

    /// The configuration of round `round`, from 0: destination ports begin again, all other
    /// numbers that identify a probe continue.
    #[must_use]
    pub fn round(&self, round: u64) -> Self {
        let first_serial = self.serial(round);
        // How far away the target is was found out by the first.
        Self { first_serial, scout: self.scout && round == 0, ..self.clone() }
    }

    /// For how many probes a tracer reserves room when it is built: for all, up to a limit.
    pub(super) fn reserved(&self) -> usize {
        self.room(RESERVED).0
    }

    /// How many probes to reserve room for, in all and in each hop, with `most` as the limit in all.
    pub(super) fn room(&self, most: usize) -> (usize, usize) {
        let all = self.hops().saturating_mul(usize::from(self.queries)).min(most);
        (all, usize::from(self.queries).min(most / self.hops()))
    }

    /// How many hops are tried at most.
    pub(super) fn hops(&self) -> usize {
        usize::from(self.max_ttl.saturating_sub(self.first_ttl)) + 1
    }

    /// A size probe of this length to this TTL, which belongs to no hop, after `before` others. Its number
    /// comes after those of all hops.
    pub(super) fn size_probe_spec(&self, before: u32, ttl: u8, len: u16) -> ProbeSpec {
        let number = self.scout_number().saturating_add(1).saturating_add(before);
        ProbeSpec { ttl, len, dont_fragment: true, ..self.spec(number) }
    }

    /// The probe that is to confirm an answer at this TTL, if any may.
    pub(super) fn confirmation_spec(&self, ttl: u8) -> Option<ProbeSpec> {
        let confirmation = self.confirmation?;
        let number = confirmation.number(self.first_serial.wrapping_add(u32::from(ttl)));
        let flow = Flow { ident: confirmation.ident, ..self.flow() };
        // What rises with the number apart from ports is to stay as it is.
        let rises = self.flow_mode == FlowMode::Classic;
        let (serial, number) = (number, if rises { number } else { 0 });
        Some(ProbeSpec { flow, number, serial, ttl, ..self.spec(0) })
    }

    /// The flow that all probes of this trace belong to.
    #[must_use]
    pub fn flow(&self) -> Flow {
        Flow { source: self.source, target: self.target, probe: self.probe, ident: self.ident }
    }

    /// Probe `number` of this trace, from 0: [`craft`](craft::craft) makes its datagram.
    #[must_use]
    pub fn spec(&self, number: u32) -> ProbeSpec {
        let hop = number / u32::from(self.queries.max(1));
        ProbeSpec {
            flow: self.flow(),
            mode: self.flow_mode,
            number,
            serial: self.first_serial.wrapping_add(number),
            ttl: u8::try_from(u32::from(self.first_ttl) + hop).unwrap_or(u8::MAX),
            tos: self.tos,
            dont_fragment: self.dont_fragment,
            flow_label: self.flow_label,
            len: self.packet_len,
            first_port: self.first_port,
            flow_number: 0,
            first_id: self.first_id,
            key: self.secret.map(|secret| secret.key),
            evidence: self.evidence,
        }
    }

    /// The shortest datagram of these probes, in bytes.
    #[must_use]
    pub fn least_len(&self) -> u16 {
        craft::min_len(self.flow().family(), self.probe, self.flow_mode, self.first_port)
    }

    /// Checks that a trace can run with this configuration.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let (len, least) = (self.packet_len, self.least_len());
        let is_tcp = matches!(self.probe, ProbeType::TcpSyn | ProbeType::TcpAck);
        let varies_len = self.flow_mode == FlowMode::Dublin;
        if len < least {
            return Err(ConfigError::TooShort { len, least });
        }
        if varies_len && self.probe != ProbeType::Udp {
            return Err(ConfigError::DublinIsOfUdp);
        }
        self.check_evidence()?;
        if self.mtu {
            self.check_mtu(is_tcp, varies_len)?;
        }
        if is_tcp && len != least {
            return Err(ConfigError::NoPayload { len: least });
        }
        if self.queries > MAX_QUERIES {
            return Err(ConfigError::QUERIES);
        }
        self.check_watched()
    }

    fn check_mtu(&self, is_tcp: bool, varies_len: bool) -> Result<(), ConfigError> {
        let len = self.packet_len;
        match self.mtu_limit {
            _ if is_tcp => Err(ConfigError::MtuNeedsLengths),
            Some(limit) if limit <= len => Err(ConfigError::MtuLimit { limit, len }),
            _ if varies_len => Err(ConfigError::MtuAndDublin),
            _ => Ok(()),
        }
    }

    /// Checks that a trace with this configuration can be watched: the probes of another tool may be shorter and more
    /// than ours.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn check_watched(&self) -> Result<(), ConfigError> {
        let families = self.source.is_ipv4() == self.target.is_ipv4();
        let (first, max) = (self.first_ttl, self.max_ttl);
        if first > max {
            return Err(ConfigError::NoHops { first, max });
        }
        first_broken(&[
            (families, "source address", "of the target's family"),
            (first >= 1, "first TTL", "1 to 255"),
            (self.queries >= 1, "number of queries per hop", "1 to 1000"),
            (self.first_port >= 1, "first port", "1 to 65535"),
            (self.in_flight >= 1, "number of probes in flight", "1 to 65535"),
            (self.flow_label <= 0xf_ffff, "flow label", "0 to 1048575"),
            (0.0 < self.wait.max && self.wait.max <= 86_400.0, "wait", "above 0, to 86400 s"),
            (
                factor(self.wait.here) && factor(self.wait.near),
                "each wait factor",
                "above 0, to 1000",
            ),
            (
                self.confirmation_fits(),
                "identifier of confirmations",
                "another one, and a probe type with ports",
            ),
            ((0.0..=86_400.0).contains(&self.send_wait), "pause between probes", "0 to 86400 s"),
        ])
    }
}

impl TraceConfig {
    /// Whether confirming probes can be distinguished from others.
    fn confirmation_fits(&self) -> bool {
        let has_ident = !matches!(self.probe, ProbeType::Protocol(_));
        self.confirmation.is_none_or(|it| has_ident && it.ident != 0 && it.ident != self.ident)
    }
}

fn first_broken(rules: &[(bool, &'static str, &'static str)]) -> Result<(), ConfigError> {
    match rules.iter().find(|(holds, ..)| !holds) {
        Some((_, what, range)) => Err(ConfigError::OutOfRange { what, range }),
        None => Ok(()),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_captured(evidence: &Evidence) -> bool {
    evidence.is_captured()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn factor(value: Option<f64>) -> bool {
    value.is_none_or(|value| 0.0 < value && value <= 1_000.0)
}

/// A factor as recordings have it, where 0 is none.
mod zero_is_none {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(it: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(it.unwrap_or(0.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        f64::deserialize(from).map(|value| Some(value).filter(|value| *value != 0.0))
    }
}

#[cfg(test)]
mod tests;
