//! What a pcapng recording says beside its frames: the trace's configuration, in the section comment,
//! and a comment on every packet, for whoever opens it in Wireshark.

use serde::{Deserialize, Serialize};

use crate::trace::{
    ConfigError, Disposition, Measurement, Path, Probe, ProbeRef, TraceConfig, paths, rounds,
};

/// What the section comment begins with; JSON follows.
const PREFIX: &str = "rtrace configuration: ";

/// The section comment of a recording whose replies are reconstructed.
pub const RECONSTRUCTED_REPLIES: &str = "The replies in this recording were not captured, but reconstructed from what \
    the kernel reported to sockets without privilege: octets that are not known are zero, such as IP-ID, checksums and quoted \
    IP headers.";

/// What a recording carries so that it replays to the same report without any option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub struct RecordingMetadata {
    /// The trace.
    pub trace: TraceConfig,
    /// What was measured.
    pub measurement: Measurement,
    /// How the report was asked for.
    pub look: Presentation,
    /// The round that the recording begins with, from 0.
    pub first_round: u64,
}

/// How the report was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presentation {
    /// Without names.
    pub numeric: bool,
    /// With extensions.
    pub extensions: bool,
    /// With the lengths of return paths.
    pub back: bool,
}

/// A [`RecordingMetadata`] as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    trace: TraceConfig,
    numeric: bool,
    #[serde(default)]
    extensions: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    back: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rounds: Option<rounds::Plan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paths: Option<paths::Plan>,
    #[serde(default, skip_serializing_if = "is_zero")]
    first_round: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl From<Written> for RecordingMetadata {
    fn from(it: Written) -> Self {
        let Written { trace, numeric, extensions, back, rounds, paths, first_round } = it;
        let measurement = match (rounds, paths) {
            (Some(plan), _) => Measurement::Rounds(plan),
            (None, Some(plan)) => Measurement::Paths(plan),
            (None, None) => Measurement::once(&trace),
        };
        Self { trace, measurement, look: Presentation { numeric, extensions, back }, first_round }
    }
}

impl From<RecordingMetadata> for Written {
    fn from(it: RecordingMetadata) -> Self {
        let RecordingMetadata {
            trace,
            measurement,
            look: Presentation { numeric, extensions, back },
            first_round,
        } = it;
        let (rounds, paths) = match measurement {
            Measurement::Trace | Measurement::PathMtu => (None, None),
            Measurement::Rounds(plan) => (Some(plan), None),
            Measurement::Paths(plan) => (None, Some(plan)),
        };
        Self { trace, numeric, extensions, back, rounds, paths, first_round }
    }
}

impl RecordingMetadata {
    /// What was measured with these probes, and reported without being asked for anything more.
    #[must_use]
    pub fn of(trace: TraceConfig, measurement: Measurement) -> Self {
        Self { trace, measurement, look: Presentation::default(), first_round: 0 }
    }

    /// Whether its replies are reconstructed, so that only a pcapng can hold them.
    #[must_use]
    pub fn is_reconstructed(&self) -> bool {
        !self.trace.evidence.is_captured()
    }

    /// Writes the metadata as a section comment.
    #[must_use]
    pub fn to_comment(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{PREFIX}{json}")
    }

    /// From a section comment; `None` if it is not of this kind or not of a usable form.
    #[must_use]
    pub fn from_comment(comment: &str) -> Option<Self> {
        Self::read(comment)?.ok()
    }

    /// Reads a comment of this kind, or says why it is not used: it has another form, or asks for what the command line
    /// refuses. A recording may not ask for more than its user.
    #[must_use]
    pub fn read(comment: &str) -> Option<Result<Self, String>> {
        let json = comment.strip_prefix(PREFIX)?;
        let carried = serde_json::from_str(json).map_err(|_| "it is of another form".to_owned());
        Some(carried.and_then(|it: Self| it.check().map(|()| it).map_err(|why| why.to_string())))
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.measurement.check(&self.trace)?;
        rounds::check_number(self.first_round)
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
        Disposition::OwnProbe(at) => {
            let ttl = path.probe(at)?.ttl;
            Some(match at {
                ProbeRef::Scout => format!("probe ttl={ttl}: the scout"),
                ProbeRef::SizeProbe(_) => {
                    format!("probe ttl={ttl}: a sizer of {} bytes", path.size_probe(at)?.len)
                }
                ProbeRef::Confirmation(_) => {
                    format!("probe ttl={ttl}: confirms or refutes a contradicted answer")
                }
                ProbeRef::Hop { ttl, query } => {
                    format!("probe ttl={ttl} query={}", u32::from(query) + 1)
                }
            })
        }
        Disposition::Reply(at, index) => {
            let probe = path.probe(at)?;
            let Some(reply) = index.and_then(|index| probe.replies.get(index)) else {
                return Some(format!("one more reply to {}", of_frame(probe)));
            };
            let late = if reply.late { ", late" } else { "" };
            let duplicate = if reply.duplicate { ", duplicate" } else { "" };
            let (asked, what) = (of_frame(probe), reply.kind);
            let rtt = reply.rtt.map_or(String::new(), |rtt| format!(", {rtt} ms"));
            let fault = if reply.clock_fault { " across a step of the clock" } else { "" };
            let rewritten = if reply.rewritten { ", quote rewritten on the way" } else { "" };
            let guessable = if reply.guessable { ", may be a guess" } else { "" };
            let marks = format!("{late}{duplicate}{rewritten}{guessable}");
            Some(format!("reply to {asked}: {what}{rtt}{fault}{marks}"))
        }
        Disposition::Contradicted(at, _) => {
            let asked = of_frame(path.probe(at)?);
            Some(format!("answer to {asked}: contradicted, not believed: the path is longer"))
        }
        Disposition::Damaged(at) => {
            let asked = of_frame(path.probe(at)?);
            Some(format!("reply to {asked}: wrong checksum, not believed"))
        }
        Disposition::Unmatched => Some(
            "an ICMP error about a datagram from this address and port, but no probe fits".into(),
        ),
        Disposition::Stray => Some(
            "an ICMP error about a datagram to the target that is no probe of this trace".into(),
        ),
        Disposition::CutShort => {
            Some("an ICMP error that the capture cut too short to identify its probe".into())
        }
        Disposition::Repeated | Disposition::Unrelated => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_comes_back_from_its_comment() {
        let trace = TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000);
        let look = Presentation { numeric: true, back: true, ..Presentation::default() };
        let carried =
            RecordingMetadata { look, ..RecordingMetadata::of(trace, Measurement::Trace) };
        assert_eq!(RecordingMetadata::from_comment(&carried.to_comment()), Some(carried.clone()));
        assert_eq!(RecordingMetadata::from_comment("a comment of somebody else's"), None);
        assert_eq!(RecordingMetadata::from_comment(&format!("{PREFIX}{{\"trace\":1}}")), None);
        let mut hostile = carried;
        hostile.trace.queries = 0;
        assert_eq!(RecordingMetadata::from_comment(&hostile.to_comment()), None);
    }
}
