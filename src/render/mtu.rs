//! The path MTU in reports: the lines behind a text, and a part of the JSON document.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

use super::INDENT;
use crate::trace::mtu::{Cause, Findings, Narrowing};
use crate::trace::{Path, TraceConfig};

/// The path MTU and where the path narrows, each a line.
pub(super) fn lines(path: &Path, config: &TraceConfig) -> String {
    let findings = Findings::of(path, config);
    let mut text = String::new();
    for narrowing in &findings.narrowings {
        // Nothing can go wrong with a string.
        let _ = writeln!(text, "{INDENT}{}", line(narrowing));
    }
    let limited = findings.is_limited(config);
    let (least, why) =
        if limited { ("at least ", ", no longer datagram was tried") } else { ("", "") };
    let size = |mtu: u16| format!("{least}{mtu} bytes{why}");
    let _ = match (findings.mtu.map(size), findings.hop) {
        (Some(size), Some(hop)) if path.end == Some(hop) && path.reached() => {
            writeln!(text, "{INDENT}path MTU: {size}")
        }
        (Some(size), Some(hop)) => {
            writeln!(text, "{INDENT}path MTU as far as hop {hop}, the last that answers: {size}")
        }
        (None, Some(hop)) => {
            let why = if findings.is_unclear() {
                "unclear, too many probes or replies are lost"
            } else {
                "not found, the search was cut short"
            };
            let passes = findings.passes.filter(|passes| *passes > config.packet_len);
            let passes = passes.map(|len| format!("; {len} bytes reach hop {hop}"));
            writeln!(text, "{INDENT}path MTU: {why}{}", passes.unwrap_or_default())
        }
        _ => writeln!(text, "{INDENT}path MTU: not found, no hop answers"),
    };
    text
}

fn line(narrowing: &Narrowing) -> String {
    let Narrowing { after, before, mtu, cause } = *narrowing;
    let place = match after {
        None => format!("before hop {before}"),
        Some(0) => format!("between here and hop {before}"),
        Some(after) => format!("between hop {after} and hop {before}"),
    };
    match cause {
        Cause::Refused(by, Some(claim)) if claim == u32::from(mtu) => {
            format!("{place}: {mtu} bytes, {by} says")
        }
        Cause::Told(by) => format!("{place}: {mtu} bytes, {by} says"),
        Cause::Refused(by, None) => format!("{place}: {mtu} bytes, {by} refuses more"),
        Cause::Refused(by, Some(claim)) => {
            format!("{place}: {mtu} bytes, {by} refuses more but claims an MTU of {claim}")
        }
        Cause::Silent => {
            format!("black hole {place}: datagrams over {mtu} bytes vanish and no router says so")
        }
    }
}

/// What [`Findings`] are in JSON.
#[derive(Serialize)]
pub(super) struct MtuRow {
    largest: Option<u16>,
    hop: Option<u8>,
    mtu: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    at_least: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unclear: bool,
    /// The longest that passed, where the MTU is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    passes: Option<u16>,
    narrowings: Vec<NarrowingRow>,
}

#[derive(Serialize)]
struct NarrowingRow {
    after: Option<u8>,
    before: u8,
    mtu: u16,
    cause: &'static str,
    router: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<u32>,
}

impl MtuRow {
    /// If it was asked for.
    pub(super) fn of(path: &Path, config: &TraceConfig) -> Option<Self> {
        let findings = config.mtu.then(|| Findings::of(path, config))?;
        let (at_least, unclear) = (findings.is_limited(config), findings.is_unclear());
        let Findings { largest, hop, mtu, passes, narrowings, .. } = findings;
        let passes = passes.filter(|_| mtu.is_none());
        let narrowings = narrowings.iter().map(NarrowingRow::of).collect();
        Some(Self { largest, hop, mtu, at_least, unclear, passes, narrowings })
    }
}

impl NarrowingRow {
    fn of(narrowing: &Narrowing) -> Self {
        let Narrowing { after, before, mtu, cause } = *narrowing;
        let (cause, router, claim) = match cause {
            Cause::Told(by) => ("told", Some(by), None),
            Cause::Refused(by, claim) => ("refused", Some(by), claim),
            Cause::Silent => ("silent", None, None),
        };
        Self { after, before, mtu, cause, router, claim }
    }
}
