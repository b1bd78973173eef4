//! What reports, streams and the screen say of an outage of the target.

use std::net::IpAddr;

use serde::Serialize;

use super::annotation::annotation;
use super::rows::Said;
use super::tui::moment::clock;
use crate::trace::Reply;
use crate::trace::reach::Outage;

/// Who rejects probes to the target, and how.
#[derive(Serialize)]
pub(super) struct RejectionRow {
    responder: IpAddr,
    annotation: Option<String>,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
}

impl RejectionRow {
    pub(super) fn of(reply: &Reply) -> Self {
        let Said { icmp_type, icmp_code, .. } = Said::by(reply.kind);
        let annotation = annotation(reply.kind);
        Self { responder: reply.responder, annotation, icmp_type, icmp_code }
    }
}

/// An outage in the form of a document.
#[derive(Serialize)]
pub(super) struct OutageRow {
    round: u64,
    since_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_round: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<RejectionRow>,
}

impl OutageRow {
    pub(super) fn of(outage: &Outage) -> Self {
        Self {
            round: outage.round.saturating_add(1),
            since_ns: outage.since.nanos(),
            until_round: outage.until.map(|(round, _)| round.saturating_add(1)),
            until_ns: outage.until.map(|(_, at)| at.nanos()),
            rejected: outage.rejection.as_ref().map(RejectionRow::of),
        }
    }
}

/// An outage in words: `!H since 03:11:49 by 10.0.2.2`. `host` writes an address.
pub(super) fn in_words(outage: &Outage, host: impl Fn(IpAddr) -> String) -> String {
    let since = clock(outage.since);
    let when = match outage.until {
        Some((_, until)) => format!("from {since} to {}", clock(until)),
        None => format!("since {since}"),
    };
    let Some(rejection) = &outage.rejection else { return format!("no answer {when}") };
    let RejectionRow { annotation, icmp_type, icmp_code, .. } = RejectionRow::of(rejection);
    let numbers = || match (icmp_type, icmp_code) {
        (Some(icmp_type), Some(code)) => format!("ICMP type {icmp_type} code {code}"),
        _ => "rejected".to_owned(),
    };
    let what = annotation.unwrap_or_else(numbers);
    format!("{what} {when} by {}", host(rejection.responder))
}
