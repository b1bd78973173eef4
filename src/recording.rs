//! What a pcapng recording says beside its frames: the trace's configuration, in the section comment,
//! and a comment on every packet, for whoever opens it in Wireshark.

use serde::{Deserialize, Serialize};

use crate::trace::{Disposition, Path, ReplyKind, TraceConfig};
use crate::wire::icmpv4::{PARAMETER_PROBLEM, REDIRECT, SOURCE_QUENCH, TIME_EXCEEDED, UNREACHABLE};

/// What the section comment begins with; JSON follows.
const PREFIX: &str = "rtrace configuration: ";

/// What a recording carries so that it replays to the same report without any option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// The trace.
    pub trace: TraceConfig,
    /// Whether the report was asked for without names.
    pub numeric: bool,
    /// Whether it was asked for with extensions.
    #[serde(default)]
    pub extensions: bool,
}

impl Carried {
    /// As a section comment.
    #[must_use]
    pub fn to_comment(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{PREFIX}{json}")
    }

    /// From a section comment; `None` if it is not of this kind or not of a usable form.
    #[must_use]
    pub fn from_comment(comment: &str) -> Option<Self> {
        let carried: Self = serde_json::from_str(comment.strip_prefix(PREFIX)?).ok()?;
        carried.trace.check().ok()?;
        Some(carried)
    }
}

/// The comment on a packet: "probe ttl=3 query=2", "reply to frame 12: time exceeded, 3.214 ms".
#[must_use]
pub fn packet_comment(disposition: Disposition, path: &Path) -> Option<String> {
    match disposition {
        Disposition::OwnProbe(at) => {
            Some(format!("probe ttl={} query={}", at.ttl, u32::from(at.query) + 1))
        }
        Disposition::Reply(at, index) => {
            let probe = path.probe(at)?;
            let Some(reply) = index.and_then(|index| probe.replies.get(index)) else {
                return Some(format!("one more reply to frame {}", probe.frame));
            };
            let late = if reply.late { ", late" } else { "" };
            let duplicate = if reply.duplicate { ", duplicate" } else { "" };
            let (frame, what) = (probe.frame, describe(reply.kind));
            Some(format!("reply to frame {frame}: {what}, {} ms{late}{duplicate}", reply.rtt))
        }
        Disposition::Damaged(at) => {
            Some(format!("reply to frame {}: wrong checksum, not believed", path.probe(at)?.frame))
        }
        Disposition::Repeated | Disposition::Unrelated => None,
    }
}

/// The names of RFC 792's messages.
fn describe(kind: ReplyKind) -> String {
    let ReplyKind::Icmp { icmp_type, code, .. } = kind else { return "answer".to_owned() };
    let known: &[(u8, Option<u8>, &str)] = &[
        (TIME_EXCEEDED, Some(0), "time exceeded"),
        (TIME_EXCEEDED, Some(1), "fragment reassembly time exceeded"),
        (UNREACHABLE, Some(0), "net unreachable"),
        (UNREACHABLE, Some(1), "host unreachable"),
        (UNREACHABLE, Some(2), "protocol unreachable"),
        (UNREACHABLE, Some(3), "port unreachable"),
        (UNREACHABLE, Some(4), "fragmentation needed"),
        (UNREACHABLE, Some(9), "net administratively prohibited"),
        (UNREACHABLE, Some(10), "host administratively prohibited"),
        (UNREACHABLE, Some(13), "communication administratively prohibited"),
        (REDIRECT, None, "redirect"),
        (SOURCE_QUENCH, None, "source quench"),
        (PARAMETER_PROBLEM, None, "parameter problem"),
    ];
    let named = known.iter().find(|(t, c, _)| *t == icmp_type && c.is_none_or(|c| c == code));
    named.map_or_else(|| format!("type {icmp_type} code {code}"), |(.., name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_configuration_comes_back_from_its_comment() {
        let trace =
            TraceConfig::new(Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(203, 0, 113, 9), 40_000);
        let carried = Carried { trace, numeric: true, extensions: false };
        assert_eq!(Carried::from_comment(&carried.to_comment()), Some(carried.clone()));
        assert_eq!(Carried::from_comment("a comment of somebody else's"), None);
        assert_eq!(Carried::from_comment(&format!("{PREFIX}{{\"trace\":1}}")), None);
        let mut hostile = carried;
        hostile.trace.queries = 0;
        assert_eq!(Carried::from_comment(&hostile.to_comment()), None);
    }
}
