//! The results of frames and deadlines: what a frame meant to a trace, and what happened to its path.

use super::path::ProbeRef;

/// What a frame meant to a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Disposition {
    /// One of our probes, on its way out.
    OwnProbe(ProbeRef),
    /// A reply to this probe; the index is among its kept replies, if it was kept.
    Reply(ProbeRef, Option<usize>),
    /// An answer to this probe from the target's address, which is not believed because the path is longer. The index
    /// is among the contradicted answers of the probe, if it was kept.
    Contradicted(ProbeRef, Option<usize>),
    /// It quotes this probe, but its checksum is wrong: it is not believed.
    Damaged(ProbeRef),
    /// An ICMP error about a datagram from our address and port that matches no probe of ours, as far as the quote
    /// shows.
    Unmatched,
    /// An ICMP error about a datagram to the target in the protocol of the probes, which is no probe and not from our
    /// port. The first 48 are kept, one for each source port: they decide which quotes are believed.
    Stray,
    /// An ICMP error that may be about a probe of ours, but was cut short by the capture before the octets that
    /// identify the probe.
    CutShort,
    /// A probe of ours that was captured before: on `lo` each packet is seen twice.
    Repeated,
    /// Nothing to do with this trace.
    Unrelated,
}

impl Disposition {
    /// Whether the frame belongs in the recording.
    #[must_use]
    pub fn concerns_the_trace(self) -> bool {
        !matches!(self, Self::Repeated | Self::Unrelated)
    }

    /// Whether the trace knows which of its probes the frame is about.
    #[must_use]
    pub fn has_found_a_probe(self) -> bool {
        !matches!(self, Self::Unmatched | Self::Stray | Self::CutShort | Self::Unrelated)
    }
}

/// Something that happened to the path. The path itself holds the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Event {
    /// A probe was captured on its way out.
    Sent(ProbeRef),
    /// A reply arrived; the index is among the probe's kept replies.
    Replied(ProbeRef, usize),
    /// A reply arrived after its trace had ended: a round of [`Rounds`](super::rounds::Rounds) that is over.
    LateReply(ProbeRef, usize),
    /// A probe was answered or timed out. Its report will not change, unless its answer is later contradicted, or a
    /// contradicted answer is confirmed.
    Settled(ProbeRef),
    /// An answer is not believed, because the path is longer. The index is among the contradicted answers of the
    /// probe. If it counted as a reply so far, its probe waits for an answer again.
    Contradicted(ProbeRef, usize),
    /// The trace is over, and a probe with a higher TTL was assigned to the hop that answered it: the scout, or a
    /// probe that went past the target.
    Assigned {
        /// The position of the probe so far.
        before: ProbeRef,
        /// The position of the probe now.
        at: ProbeRef,
    },
    /// Every probe is settled and no more will come.
    Ended,
}
