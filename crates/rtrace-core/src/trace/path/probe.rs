//! A probe: its position in the path, what became of it, and the replies to it.
//!
//! Every reply is kept or counted, so a flood of them costs no memory; the one that settled a probe is kept.

use super::super::replies::{Contradicted, Replies};
use super::super::reply::Reply;
use crate::probe::ProbeKey;
use crate::time::{Span, Timestamp};

/// Replies kept per probe; more are only counted, so that a flood of them costs no memory.
pub const REPLIES_KEPT: usize = 8;

/// Where in the path a probe is found: in a hop, or apart from all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum ProbeRef {
    /// The scout: the probe that goes first, with the highest TTL, to learn how far the target is. It belongs to no hop
    /// before the trace is over.
    Scout,
    /// The probe with this index in [`Path::size_probes`](super::Path::size_probes). It belongs to no hop.
    SizeProbe(u16),
    /// The probe with this index in [`Path::confirmations`](super::Path::confirmations). It belongs to no hop.
    Confirmation(u8),
    /// A probe of a hop.
    Hop {
        /// The TTL of the hop.
        ttl: u8,
        /// Which of the hop's probes it is, from 0, in the order of capture.
        query: u16,
    },
}

impl ProbeRef {
    /// The TTL of its hop, if it is a probe of one.
    #[must_use]
    pub fn hop_ttl(self) -> Option<u8> {
        match self {
            Self::Hop { ttl, .. } => Some(ttl),
            Self::Scout | Self::SizeProbe(_) | Self::Confirmation(_) => None,
        }
    }
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet, and its deadline has not passed.
    Waiting,
    /// Settled by the reply at this index.
    Answered(usize),
    /// Timed out: no reply before its deadline, or before the end of the trace.
    Lost,
}

/// One probe, known from its own captured frame or, where a recording lacks that, from a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Probe {
    /// The key that distinguishes it from the other probes of its trace.
    pub key: ProbeKey,
    /// The TTL that it was sent with: that of its hop, unless it is the scout.
    pub ttl: u8,
    /// When it was captured on its way out, if that is known.
    pub sent: Option<Timestamp>,
    /// The number of its frame in the recording, from 1; `None` if it was not captured.
    pub frame: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
    /// The replies that quote or answer it, in order of capture: the first [`REPLIES_KEPT`].
    pub replies: Replies,
    /// The number of further replies, which were not kept.
    pub replies_dropped: u64,
    /// Answers from the target's address that are not believed because the path is longer: the first
    /// [`REPLIES_KEPT`]. They are no replies.
    pub contradicted: Contradicted,
    /// The number of replies to it that were damaged on the path, and are not believed.
    pub damaged: u16,
    /// Whether the path was known to end before it when it timed out, so that nobody waited for an answer.
    pub unawaited: bool,
}

impl Probe {
    /// A probe of which only the time of sending is known.
    #[must_use]
    pub fn sent_at(sent: Timestamp) -> Self {
        Self::new(ProbeKey { ip_id: 1, head: [0; 8] }, 1, Some(sent), Some(1))
    }

    pub(in super::super) fn new(
        key: ProbeKey,
        ttl: u8,
        sent: Option<Timestamp>,
        frame: Option<u64>,
    ) -> Self {
        let outcome = Outcome::Waiting;
        let (replies, contradicted) = (Replies::default(), Contradicted::default());
        Self {
            key,
            ttl,
            sent,
            frame,
            outcome,
            replies,
            replies_dropped: 0,
            contradicted,
            damaged: 0,
            unawaited: false,
        }
    }

    /// The time from its capture to `at`, if both are known.
    pub(in super::super) fn time_to(&self, at: Timestamp) -> Option<Span> {
        Some(at.known()?.since(self.sent?))
    }

    /// Whether the only answer that it has in time is a contradicted one.
    pub(in super::super) fn is_doubted(&self) -> bool {
        self.answer().is_none() && self.contradicted.iter().any(|reply| !reply.late)
    }

    /// Whether only contradicted answers came to it, one of them in time: it was answered or lost, and nothing shows which.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.counted().is_none() && self.is_doubted()
    }

    /// The reply that settled it.
    #[must_use]
    pub fn answer(&self) -> Option<&Reply> {
        match self.outcome {
            Outcome::Answered(index) => self.replies.get(index),
            Outcome::Waiting | Outcome::Lost => None,
        }
    }

    /// The reply that counts: the one that settled it, else the first that was late.
    #[must_use]
    pub fn counted(&self) -> Option<&Reply> {
        self.answer().or_else(|| self.replies.iter().find(|reply| reply.late))
    }

    /// Whether it was answered, but only by replies that were damaged on their way: it is not lost.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged > 0 && self.counted().is_none()
    }

    /// Whether it no longer waits for an answer.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.outcome != Outcome::Waiting
    }
}

/// A probe of a certain size, sent to learn whether it passes: see [`mtu`](super::super::mtu).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeProbe {
    /// The probe.
    pub probe: Probe,
    /// The length of its datagram in bytes.
    pub len: u16,
}
