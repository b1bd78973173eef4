//! What reports, streams and the screen say of an outage of the target.

use std::net::IpAddr;

use serde::Serialize;

use super::annotation::annotation;
use super::rows::{self, Said, is_zero};
use super::tui::moment::clock;
use crate::schema::Loop;
use crate::trace::Reply;
use crate::trace::reach::Outage;
use crate::trace::rounds::Instead;

/// Who answers in place of the target, and with which ICMP error.
#[derive(Serialize)]
pub(super) struct RejectionRow {
    responder: IpAddr,
    annotation: Option<String>,
    icmp_type: Option<u8>,
    icmp_code: Option<u8>,
    /// How many others answer so.
    #[serde(skip_serializing_if = "is_zero")]
    others: u64,
}

impl RejectionRow {
    pub(super) fn of(outage: &Outage) -> Option<Self> {
        let Instead::Error { first, others } = &outage.instead else { return None };
        let Said { icmp_type, icmp_code, .. } = Said::by(first.kind);
        let annotation = annotation(first.kind);
        Some(Self { responder: first.responder, annotation, icmp_type, icmp_code, others: *others })
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
    #[serde(skip_serializing_if = "Option::is_none")]
    not_believed: Option<&'static str>,
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    looped: Option<Loop>,
}

impl OutageRow {
    pub(super) fn of(outage: &Outage) -> Self {
        Self {
            round: outage.round.saturating_add(1),
            since_ns: outage.since.nanos(),
            until_round: outage.until.map(|(round, _)| round.saturating_add(1)),
            until_ns: outage.until.map(|(_, at)| at.nanos()),
            rejected: RejectionRow::of(outage),
            not_believed: not_believed(outage),
            looped: looped(outage),
        }
    }
}

/// Why the answers are not believed that come, if none other does.
pub(super) fn not_believed(outage: &Outage) -> Option<&'static str> {
    match outage.instead {
        Instead::Damaged => Some("damaged"),
        Instead::Contradicted => Some("contradicted"),
        Instead::Nothing | Instead::Error { .. } | Instead::Loop(_) => None,
    }
}

/// The loop in which the probes run, if they do.
pub(super) fn looped(outage: &Outage) -> Option<Loop> {
    match outage.instead {
        Instead::Loop(looped) => Some(rows::looped(looped)),
        _ => None,
    }
}

/// An outage in words: `!H since 03:11:49 by 10.0.2.2`. `host` writes an address.
pub(super) fn in_words(outage: &Outage, host: impl Fn(IpAddr) -> String) -> String {
    let since = clock(outage.since);
    let when = match outage.until {
        Some((_, until)) => format!("from {since} to {}", clock(until)),
        None => format!("since {since}"),
    };
    let (first, others) = match &outage.instead {
        Instead::Error { first, others } => (first, others),
        Instead::Loop(_) => return format!("in a loop {when}"),
        Instead::Nothing | Instead::Contradicted | Instead::Damaged => {
            return not_believed(outage)
                .map_or(format!("no answer {when}"), |why| format!("only {why} answers {when}"));
        }
    };
    let by = host(first.responder);
    let by = match others {
        0 => by,
        1 => format!("{by} and 1 other"),
        others => format!("{by} and {others} others"),
    };
    format!("{} {when} by {by}", error_in_words(first))
}

/// What an error says: as traceroute writes it, if it has a word for it.
fn error_in_words(error: &Reply) -> String {
    let numbers = || match error.kind.icmp() {
        _ if error.kind.in_transit() => "only time exceeded".to_owned(),
        Some((icmp_type, code)) => format!("ICMP type {icmp_type} code {code}"),
        None => "rejected".to_owned(),
    };
    annotation(error.kind).unwrap_or_else(numbers)
}
