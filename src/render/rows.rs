//! What more than one form of report says of a trace, as rows that are ready to be serialised.
//!
//! What depends on the type of a probe is in `identity`, and what may be missing of one is asked for here, and
//! nowhere else in `render`: a further probe type changes `identity` alone. What a form shares with another it
//! takes from here; what only one has is in the file of that form.

mod identity;
mod totals;

use std::net::IpAddr;

pub(super) use identity::{Identity, IpId, ProbeTraits};
pub(super) use totals::{TotalsRow, looped, stop};

use serde::{Serialize, Serializer};

use super::View;
use super::annotation::annotation;
use super::extension::ExtensionRow;
use crate::enrich::lookups::Lookup;
use crate::probe::{FlowMode, ProbeType};
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::limit::Limit;
use crate::trace::path::Outcome;
use crate::trace::reply::return_path;
use crate::trace::{Probe, Reply, ReplyKind, TraceConfig, Wait};
use crate::untrusted::Untrusted;
use crate::wire::Evidence;

/// When a probe was captured on its way out, and in which frame.
pub(super) fn sent(probe: &Probe) -> Option<(Timestamp, u64)> {
    probe.sent.zip(probe.frame)
}

/// What a reply says, by name and number.
pub(super) struct Said {
    pub kind: &'static str,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
    pub mtu: Option<u32>,
    pub tcp_flags: Option<String>,
}

impl Said {
    pub(super) fn by(kind: ReplyKind) -> Self {
        match kind {
            ReplyKind::Icmp { icmp_type, code, mtu, .. } => Self {
                kind: "icmp",
                icmp_type: Some(icmp_type),
                icmp_code: Some(code),
                mtu,
                tcp_flags: None,
            },
            ReplyKind::Answer { tcp_flags } => Self {
                kind: "answer",
                icmp_type: None,
                icmp_code: None,
                mtu: None,
                tcp_flags: tcp_flags.map(|flags| flags.to_string()),
            },
        }
    }
}

/// The name of a responder, where it is known and asked for.
pub(super) fn name(view: View<'_>, address: IpAddr, numeric: bool) -> Option<&Untrusted> {
    match view.names.lookup(address) {
        Lookup::Known(name) if !numeric => name,
        _ => None,
    }
}

/// The autonomous systems that a responder belongs to, where they are asked for.
#[derive(Serialize)]
pub(super) struct OriginRow<'a> {
    /// Empty if nobody announces it, null if that could not be determined.
    pub asn: Option<&'a [u32]>,
    /// What the first is called.
    pub as_name: Option<&'a Untrusted>,
}

impl<'a> OriginRow<'a> {
    pub(super) fn of(view: View<'a>, address: IpAddr) -> Option<Self> {
        let origins = view.origins?;
        let asn = match origins.lookup(address) {
            Lookup::Known(Some(origin)) => Some(origin.numbers.as_slice()),
            _ => None,
        };
        Some(Self { asn, as_name: origins.name(address) })
    }
}

/// Where a responder is, where that is asked for.
#[derive(Serialize)]
pub(super) struct PlaceRow<'a> {
    /// The code of ISO 3166-1.
    pub country: Option<&'a Untrusted>,
    pub city: Option<&'a Untrusted>,
}

impl<'a> PlaceRow<'a> {
    pub(super) fn of(view: View<'a>, address: IpAddr) -> Option<Self> {
        let place = match view.places?.lookup(address) {
            Lookup::Known(place) => place,
            _ => None,
        };
        let country = place.and_then(|place| place.country.as_ref());
        Some(Self { country, city: place.and_then(|place| place.city.as_ref()) })
    }
}

/// What a report calls the fate of a probe: nobody waits for one that went past the end of the path, so it is not lost.
pub(super) fn outcome(probe: &Probe, is_past_end: bool) -> &'static str {
    match probe.outcome {
        Outcome::Answered(_) => "answered",
        Outcome::Waiting | Outcome::Lost if is_past_end => "past-end",
        Outcome::Waiting | Outcome::Lost => "lost",
    }
}

/// A length of time as a number of milliseconds with three decimals, as traceroute rounds it.
pub(super) struct Millis(pub Span);

impl Serialize for Millis {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = self.0.nanos();
        let micros = nanos.saturating_add(500 * nanos.signum()) / 1_000;
        serializer.serialize_f64(micros as f64 / 1e3)
    }
}

/// What every document begins with: its form, and of what it is.
#[derive(Serialize)]
pub(super) struct HeadRow<'a> {
    format: &'static str,
    version: u32,
    target: TargetRow<'a>,
    source: IpAddr,
    /// What its replies are.
    evidence: Evidence,
}

impl<'a> HeadRow<'a> {
    pub(super) fn of(format: &'static str, version: u32, config: &'a TraceConfig) -> Self {
        Self {
            format,
            version,
            target: TargetRow::of(config),
            source: config.source,
            evidence: config.evidence,
        }
    }
}

/// The target as it was typed and what it came to.
#[derive(Serialize)]
struct TargetRow<'a> {
    asked: &'a Untrusted,
    address: IpAddr,
}

impl<'a> TargetRow<'a> {
    fn of(config: &'a TraceConfig) -> Self {
        Self { asked: &config.target_name, address: config.target }
    }
}

/// The part of the configuration that shapes a report.
#[derive(Serialize)]
pub(super) struct AskedRow {
    probe: ProbeType,
    flow: FlowMode,
    first_port: Option<u16>,
    first_ttl: u8,
    max_ttl: u8,
    queries: u16,
    wait: Wait,
    in_flight: u16,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    scout: bool,
    send_wait: f64,
    tos: u8,
    dont_fragment: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mtu: bool,
    flow_label: Option<u32>,
    packet_len: u16,
}

impl AskedRow {
    pub(super) fn of(config: &TraceConfig) -> Self {
        Self {
            probe: config.probe,
            flow: config.flow_mode,
            first_port: config.probe.has_ports().then_some(config.first_port),
            first_ttl: config.first_ttl,
            max_ttl: config.max_ttl,
            queries: config.queries,
            wait: config.wait,
            in_flight: config.most_in_flight(),
            scout: config.has_scout(),
            send_wait: config.send_wait,
            tos: config.tos,
            dont_fragment: config.dont_fragment,
            mtu: config.mtu,
            flow_label: config.target.is_ipv6().then_some(config.flow_label),
            packet_len: config.packet_len,
        }
    }
}

/// What is known of a probe from its own frame.
#[derive(Serialize)]
pub(super) struct SentRow {
    ttl: u8,
    query: u32,
    /// Of the scout, where it counts as a probe of another hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_ttl: Option<u8>,
    #[serde(flatten)]
    identity: Identity,
    sent_ns: Option<i64>,
    frame: Option<u64>,
}

impl SentRow {
    /// `query` counts from 1.
    pub(super) fn of(ttl: u8, query: u32, probe: &Probe, config: &TraceConfig) -> Self {
        let (at, frame) = sent(probe).unzip();
        let sent_ns = at.map(Timestamp::nanos);
        let sent_ttl = (probe.ttl != ttl).then_some(probe.ttl);
        Self { ttl, query, sent_ttl, identity: Identity::of(probe, config), sent_ns, frame }
    }
}

/// A reply, apart from the name of who sent it.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub(super) struct ReplyRow {
    kind: &'static str,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_hop_mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_flags: Option<String>,
    annotation: Option<String>,
    /// `None` if the capture file does not say.
    received_ns: Option<i64>,
    rtt_ns: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    clock_fault: bool,
    reply_ttl: u8,
    reply_tos: u8,
    #[serde(skip_serializing_if = "IpId::is_absent")]
    reply_ip_id: IpId,
    reply_len: Option<u32>,
    quoted_ttl: Option<u8>,
    quoted_tos: Option<u8>,
    quoted_total_len: Option<u32>,
    quoted_len: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<ExtensionRow>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rewritten: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    guessable: bool,
    late: bool,
    duplicate: bool,
    frame: u64,
}

impl ReplyRow {
    pub(super) fn of(reply: &Reply) -> Self {
        let Said { kind, icmp_type, icmp_code, mtu, tcp_flags } = Said::by(reply.kind);
        Self {
            kind,
            icmp_type,
            icmp_code,
            next_hop_mtu: mtu,
            tcp_flags,
            annotation: annotation(reply.kind),
            received_ns: reply.at.known().map(Timestamp::nanos),
            rtt_ns: reply.rtt.map(Span::nanos),
            clock_fault: reply.clock_fault,
            reply_ttl: reply.ttl,
            reply_tos: reply.tos,
            reply_ip_id: IpId::of(reply.responder, reply.ip_id),
            reply_len: reply.len,
            quoted_ttl: reply.quote.map(|quote| quote.ttl),
            quoted_tos: reply.quote.map(|quote| quote.tos),
            quoted_total_len: reply.quote.map(|quote| quote.total_len),
            quoted_len: reply.quote.map(|quote| quote.len),
            extension: reply.extension.as_deref().map(ExtensionRow::of),
            rewritten: reply.rewritten,
            guessable: reply.guessable,
            late: reply.late,
            duplicate: reply.duplicate,
            frame: reply.frame,
        }
    }
}

/// A step of the clock.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are part of the form")]
pub(super) struct ClockStepRow {
    by_ns: i64,
    from_ns: i64,
    until_ns: i64,
}

impl ClockStepRow {
    /// The row of a step; `None` if the clock did not move.
    pub(super) fn of(step: &ClockStep) -> Option<Self> {
        let ClockStep { by, from, until } = *step;
        let from_ns = from.unwrap_or(Timestamp::UNKNOWN).nanos();
        let row = Self { by_ns: by.nanos(), from_ns, until_ns: until.nanos() };
        Some(row).filter(|_| by != Span::ZERO)
    }
}

/// Over how many hops a reply seems to have come back, where that is asked for.
#[derive(Serialize)]
pub(super) struct BackRow {
    back_hops: u16,
    /// They are not as many as there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    asymmetric: bool,
}

impl BackRow {
    /// The identity of a reply, and how many hops its probe went, if that is known.
    pub(super) fn of(reply: &Reply, there: Option<u8>) -> Self {
        let (_, back_hops) = return_path(reply.ttl);
        Self { back_hops, asymmetric: there.is_some_and(|there| u16::from(there) != back_hops) }
    }
}

/// A limit in words.
pub(super) fn limit(limit: Limit) -> String {
    let at_once = limit.burst.map_or(String::new(), |burst| format!(", {burst} at once"));
    match limit.per_second {
        Some(per_second) => format!("it answers some {per_second:.1} a second{at_once}"),
        None => "its answers follow a limit, but do not show its rate".to_owned(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests;
