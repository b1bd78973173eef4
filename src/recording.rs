//! What a pcapng recording says beside its frames: the trace's configuration, in the section comment,
//! and a comment on every packet, for whoever opens it in Wireshark.

use serde::{Deserialize, Serialize};

use crate::trace::paths;
use crate::trace::rounds::Plan;
use crate::trace::{Disposition, Path, Probe, ProbeRef, ReplyKind, TraceConfig};
use crate::wire::extension::Family::{self, V4, V6};

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
    /// How often the trace was repeated, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<Plan>,
    /// How all paths were looked for, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<paths::Plan>,
    /// The round that the recording begins with, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_round: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Carried {
    /// Of a trace whose report was asked for without anything more.
    #[must_use]
    pub fn of(trace: TraceConfig) -> Self {
        Self { trace, numeric: false, extensions: false, rounds: None, paths: None, first_round: 0 }
    }

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
        carried.rounds.is_none_or(|plan| plan.check().is_ok()).then_some(())?;
        carried.paths.is_none_or(|plan| plan.check(&carried.trace).is_ok()).then_some(())?;
        Some(carried)
    }
}

/// The comment on a packet: "probe ttl=3 query=2", "reply to frame 12: time exceeded, 3.214 ms". Of
/// a recording in several files `before` is how many frames those before this one hold.
#[must_use]
pub fn packet_comment(disposition: Disposition, path: &Path, before: u64) -> Option<String> {
    let of_frame = |probe: &Probe| match probe.frame {
        None => "a probe not captured".to_owned(),
        Some(frame) if frame <= before => "a probe in a file before this one".to_owned(),
        Some(frame) => format!("frame {}", frame - before),
    };
    match disposition {
        Disposition::OwnProbe(ProbeRef::SCOUT) => {
            Some(format!("probe ttl={}: the scout", path.scout.as_ref()?.ttl))
        }
        Disposition::OwnProbe(at) => {
            Some(format!("probe ttl={} query={}", at.ttl, u32::from(at.query) + 1))
        }
        Disposition::Reply(at, index) => {
            let probe = path.probe(at)?;
            let Some(reply) = index.and_then(|index| probe.replies.get(index)) else {
                return Some(format!("one more reply to {}", of_frame(probe)));
            };
            let late = if reply.late { ", late" } else { "" };
            let duplicate = if reply.duplicate { ", duplicate" } else { "" };
            let (asked, what) = (of_frame(probe), describe(reply.kind));
            let rtt = reply.rtt.map_or(String::new(), |rtt| format!(", {rtt} ms"));
            let rewritten = if reply.rewritten { ", quote rewritten on the way" } else { "" };
            Some(format!("reply to {asked}: {what}{rtt}{late}{duplicate}{rewritten}"))
        }
        Disposition::Damaged(at) => {
            let asked = of_frame(path.probe(at)?);
            Some(format!("reply to {asked}: wrong checksum, not believed"))
        }
        Disposition::Repeated | Disposition::Unrelated => None,
    }
}

/// The names of RFC 792's and RFC 4443's messages.
fn describe(kind: ReplyKind) -> String {
    let (family, icmp_type, code) = match kind {
        ReplyKind::Answer { tcp_flags: None } => return "answer".to_owned(),
        ReplyKind::Answer { tcp_flags: Some(flags) } => return flags.to_string(),
        ReplyKind::Icmp { family, icmp_type, code, .. } => (family, icmp_type, code),
    };
    let known: &[(Family, u8, Option<u8>, &str)] = &[
        (V4, 11, Some(0), "time exceeded"),
        (V4, 11, Some(1), "fragment reassembly time exceeded"),
        (V4, 3, Some(0), "net unreachable"),
        (V4, 3, Some(1), "host unreachable"),
        (V4, 3, Some(2), "protocol unreachable"),
        (V4, 3, Some(3), "port unreachable"),
        (V4, 3, Some(4), "fragmentation needed"),
        (V4, 3, Some(9), "net administratively prohibited"),
        (V4, 3, Some(10), "host administratively prohibited"),
        (V4, 3, Some(13), "communication administratively prohibited"),
        (V4, 4, None, "source quench"),
        (V4, 5, None, "redirect"),
        (V4, 12, None, "parameter problem"),
        (V6, 3, Some(0), "time exceeded"),
        (V6, 3, Some(1), "fragment reassembly time exceeded"),
        (V6, 1, Some(0), "no route to destination"),
        (V6, 1, Some(1), "communication administratively prohibited"),
        (V6, 1, Some(2), "beyond scope of source address"),
        (V6, 1, Some(3), "address unreachable"),
        (V6, 1, Some(4), "port unreachable"),
        (V6, 2, None, "packet too big"),
        (V6, 4, None, "parameter problem"),
    ];
    let fits = |(of, known, only, _): &&(Family, u8, Option<u8>, &str)| {
        (*of, *known) == (family, icmp_type) && only.is_none_or(|only| only == code)
    };
    let named = known.iter().find(fits);
    named.map_or_else(|| format!("type {icmp_type} code {code}"), |(.., name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_comes_back_from_its_comment() {
        let trace = TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000);
        let carried = Carried { numeric: true, ..Carried::of(trace) };
        assert_eq!(Carried::from_comment(&carried.to_comment()), Some(carried.clone()));
        assert_eq!(Carried::from_comment("a comment of somebody else's"), None);
        assert_eq!(Carried::from_comment(&format!("{PREFIX}{{\"trace\":1}}")), None);
        let mut hostile = carried;
        hostile.trace.queries = 0;
        assert_eq!(Carried::from_comment(&hostile.to_comment()), None);
    }
}
