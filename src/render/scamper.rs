//! The report as scamper's JSON has a trace: one object on one line, with a hop per reply.
//!
//! Names and units of the fields are those of `sc_warts2json`; rtrace leaves out the lines about scamper's
//! own run (`cycle-start`, `cycle-stop`). `ftime` is in UTC, so that every machine writes the same.
//! Replies to probes past the end of the path are left out, as advice (redirects) is.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::rows::{self, Identity, Millis, ProbeTraits, Said};
use super::{Renderer, View};
use crate::time::Timestamp;
use crate::trace::{Probe, Reply, ReplyKind, Stop};
use crate::untrusted::Untrusted;
use crate::wire::extension::{Extension, LabelStackEntry, Object};
use crate::wire::{icmpv4, icmpv6, ip};

/// Scamper's JSON.
pub struct Scamper<W> {
    out: W,
    numeric: bool,
}

impl<W: Write> Scamper<W> {
    /// A trace to `out`; with `numeric`, without names.
    pub fn new(out: W, numeric: bool) -> Self {
        Self { out, numeric }
    }
}

impl<W: Write> Renderer for Scamper<W> {
    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &Trace::of(view, self.numeric))?;
        writeln!(self.out)?;
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Trace<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    userid: u32,
    method: &'static str,
    src: IpAddr,
    dst: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    sport: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dport: Option<u16>,
    stop_reason: &'static str,
    stop_data: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
    hop_count: u8,
    attempts: u16,
    hoplimit: u8,
    firsthop: u8,
    /// In seconds.
    wait: u32,
    /// In hundredths of a second.
    wait_probe: u32,
    tos: u8,
    probe_size: u16,
    probe_count: u64,
    hops: Vec<Hop<'a>>,
}

#[derive(Serialize)]
struct Start {
    #[serde(flatten)]
    at: Moment,
    ftime: String,
}

#[derive(Serialize)]
struct Moment {
    sec: i64,
    usec: i64,
}

#[derive(Serialize)]
struct Hop<'a> {
    addr: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Untrusted>,
    probe_ttl: u8,
    probe_id: u32,
    probe_size: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<Millis>,
    reply_ttl: u8,
    reply_tos: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_ipid: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_q_ttl: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_q_ipl: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_q_tos: Option<u8>,
    /// The colon is scamper's own, in every version so far.
    #[serde(rename = "icmp_nhmtu:", skip_serializing_if = "Option::is_none")]
    icmp_nhmtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmpext: Option<Vec<ExtensionObject>>,
}

#[derive(Serialize)]
struct ExtensionObject {
    ie_cn: u8,
    ie_ct: u8,
    ie_dl: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    mpls_labels: Option<Vec<StackEntry>>,
}

#[derive(Serialize)]
struct StackEntry {
    #[serde(rename = "mpls_ttl")]
    ttl: u8,
    #[serde(rename = "mpls_s")]
    bottom: u8,
    #[serde(rename = "mpls_exp")]
    tc: u8,
    #[serde(rename = "mpls_label")]
    label: u32,
}

impl<'a> Trace<'a> {
    fn of(view: View<'a>, numeric: bool) -> Self {
        let View { config, path, .. } = view;
        let first = path.hops().iter().flat_map(|hop| &hop.probes).next();
        let identity = first.map_or_else(Identity::default, |probe| Identity::of(probe, config));
        let sent = path.probes().filter_map(|(_, probe)| rows::sent(probe));
        let (stop_reason, stop_data) = stop(view);
        Self {
            kind: "trace",
            version: "0.1",
            userid: 0,
            method: ProbeTraits::of(config).scamper,
            src: config.source,
            dst: config.target,
            sport: identity.source_port,
            dport: identity.destination_port,
            stop_reason,
            stop_data,
            start: sent.map(|(at, _)| at).min().map(Start::at),
            hop_count: path.reported().last().map_or(0, |hop| hop.ttl),
            attempts: config.queries,
            hoplimit: config.max_ttl,
            firsthop: config.first_ttl,
            wait: whole(config.wait.max),
            wait_probe: whole(config.send_wait * 1e2),
            tos: config.tos,
            probe_size: config.packet_len,
            probe_count: path.totals.sent,
            hops: hops(view, numeric).collect(),
        }
    }
}

/// Scamper has whole numbers only: at least as much as was asked for.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn whole(value: f64) -> u32 {
    value.ceil() as u32
}

/// Why the trace ended, and the ICMP code or type that ended it.
fn stop(view: View<'_>) -> (&'static str, u8) {
    let last = view.path.end.and_then(|end| view.path.hop(end));
    let answers = last.into_iter().flat_map(|hop| &hop.probes).filter_map(Probe::answer);
    let mut ending = answers.map(|reply| reply.kind).filter(|kind| !kind.in_transit());
    match (view.path.stop(), ending.next()) {
        (Stop::TargetReached, _) => ("COMPLETED", 0),
        (Stop::Unreachable, Some(ReplyKind::Icmp { family, icmp_type, code, .. }))
            if icmp_type == ip::unreachable(family) =>
        {
            ("UNREACH", code)
        }
        (Stop::Unreachable, Some(ReplyKind::Icmp { icmp_type, .. })) => ("ICMP", icmp_type),
        (Stop::Unreachable, _) => ("UNREACH", 0),
        (Stop::Loop, _) => ("LOOP", 0),
        (Stop::MaxHops, _) => ("HOPLIMIT", 0),
        (Stop::Incomplete, _) => ("HALTED", 0),
    }
}

fn hops(view: View<'_>, numeric: bool) -> impl Iterator<Item = Hop<'_>> {
    view.path.reported().iter().flat_map(move |hop| {
        (1..).zip(&hop.probes).flat_map(move |(query, probe)| {
            let replies = probe.replies.iter().filter(|reply| !reply.kind.is_advice());
            replies.map(move |reply| Hop::of(hop.ttl, query, probe, reply, view, numeric))
        })
    })
}

impl<'a> Hop<'a> {
    fn of(
        probe_ttl: u8,
        probe_id: u32,
        probe: &'a Probe,
        reply: &'a Reply,
        view: View<'a>,
        numeric: bool,
    ) -> Self {
        let (icmp_type, icmp_code) = icmp(reply, ProbeTraits::of(view.config).echo);
        let extension = reply.extension.as_deref().filter(|extension| extension.credible());
        Self {
            addr: reply.responder,
            name: rows::name(view, reply.responder, numeric),
            probe_ttl,
            probe_id,
            probe_size: view.config.packet_len,
            tx: rows::sent(probe).map(|(at, _)| Moment::at(at)),
            rtt: reply.measured().map(Millis),
            reply_ttl: reply.ttl,
            reply_tos: reply.tos,
            reply_ipid: reply.ip_id,
            reply_size: reply.len,
            icmp_type,
            icmp_code,
            icmp_q_ttl: reply.quote.map(|quote| quote.ttl),
            icmp_q_ipl: reply.quote.map(|quote| quote.total_len),
            icmp_q_tos: reply.quote.map(|quote| quote.tos),
            icmp_nhmtu: Said::by(reply.kind).mtu,
            icmpext: extension.map(objects),
        }
    }
}

/// The ICMP type and code of a reply; to scamper those of an echo reply too.
fn icmp(reply: &Reply, echo: bool) -> (Option<u8>, Option<u8>) {
    match (reply.kind, reply.responder) {
        (ReplyKind::Answer { .. }, IpAddr::V4(_)) if echo => (Some(icmpv4::ECHO_REPLY), Some(0)),
        (ReplyKind::Answer { .. }, IpAddr::V6(_)) if echo => (Some(icmpv6::ECHO_REPLY), Some(0)),
        (kind, _) => {
            let Said { icmp_type, icmp_code, .. } = Said::by(kind);
            (icmp_type, icmp_code)
        }
    }
}

fn objects(extension: &Extension) -> Vec<ExtensionObject> {
    let label = |entry: &LabelStackEntry| StackEntry {
        ttl: entry.ttl,
        bottom: entry.bottom.into(),
        tc: entry.tc,
        label: entry.label,
    };
    let object = |object: &Object| ExtensionObject {
        ie_cn: object.class(),
        ie_ct: object.c_type(),
        ie_dl: object.payload().len(),
        mpls_labels: match object {
            Object::MplsLabelStack(entries) => Some(entries.iter().map(label).collect()),
            Object::InterfaceInformation(_) | Object::Unknown { .. } => None,
        },
    };
    extension.objects.iter().map(object).collect()
}

impl Moment {
    fn at(at: Timestamp) -> Self {
        let micros = at.nanos().div_euclid(1_000);
        Self { sec: micros.div_euclid(1_000_000), usec: micros.rem_euclid(1_000_000) }
    }
}

impl Start {
    fn at(at: Timestamp) -> Self {
        let at = Moment::at(at);
        Self { ftime: ftime(at.sec), at }
    }
}

/// Seconds since the epoch as "2026-11-24 08:26:07" in UTC.
fn ftime(sec: i64) -> String {
    let at = jiff::Timestamp::from_second(sec).unwrap_or_default();
    at.strftime("%F %T").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_stacks_are_as_scamper_writes_them() {
        let bytes = b"\x20\0\0\0\0\x08\x01\x01\x05\xdc\x13\x01\0\x06\x09\x02ab";
        let extension = Extension::decode(bytes, true).unwrap();
        let expected = r#"[{"ie_cn":1,"ie_ct":1,"ie_dl":4,"mpls_labels":[{"mpls_ttl":1,"mpls_s":1,"mpls_exp":1,"mpls_label":24001}]},{"ie_cn":9,"ie_ct":2,"ie_dl":2}]"#;
        assert_eq!(serde_json::to_string(&objects(&extension)).unwrap(), expected);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (sec, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_795_508_767, "2026-11-24 08:26:07"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (i64::MAX / 1_000_000_000, "2262-04-11 23:47:16"),
            (i64::MIN / 1_000_000_000, "1677-09-21 00:12:44"),
        ] {
            assert_eq!(ftime(sec), expected);
        }
    }
}
