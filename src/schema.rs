//! The parts of JSON documents that `render` writes and `compare` reads, declared once.
//!
//! A reader accepts what later versions may add: a value that it does not know is `Other`, which is never written.

use serde::{Deserialize, Serialize};

/// The `format` of the document of a trace.
pub const TRACE: &str = "rtrace-trace";
/// The `format` of the document of a map of all paths.
pub const MAP: &str = "rtrace-paths";

/// How a trace ended.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Stop {
    /// Why.
    #[serde(default)]
    pub reason: StopReason,
    /// The hop where the path ends, if that is known.
    pub ttl: Option<u8>,
    /// The loop in which it ends, if it does.
    #[serde(rename = "loop", default, skip_serializing_if = "Option::is_none")]
    pub looped: Option<Loop>,
    /// Whether the target answered.
    pub target_reached: bool,
}

/// Why a trace ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// A probe was delivered to the target.
    TargetReached,
    /// A router said that the target is unreachable.
    Unreachable,
    /// A forwarding loop.
    Loop,
    /// Every TTL was tried.
    MaxHops,
    /// The run was interrupted, or its recording ends there.
    Incomplete,
    /// Another reason, or none.
    #[default]
    #[serde(other)]
    Other,
}

/// The hops of the first round of a loop.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Loop {
    /// The TTL of the first.
    pub first: u8,
    /// The TTL of the last.
    pub last: u8,
}

/// A link between two nodes of a map.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Link {
    /// The node that packets leave.
    pub from: usize,
    /// The next node.
    pub to: usize,
    /// The flows that were seen at both ends.
    pub flows: u32,
    /// The flows that were seen at the far end alone: they show what follows the near end, too.
    #[serde(default)]
    pub assumed: u32,
    /// Whether no flow proves it.
    pub uncertain: bool,
}

/// How far a map was followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completion {
    /// To its end; documents without the field are of whole runs.
    #[default]
    Complete,
    /// To the limit of probes.
    MaxProbes,
    /// The run was interrupted, or its recording ends there.
    Incomplete,
    /// Some other way, not to its end.
    #[serde(other)]
    Other,
}
