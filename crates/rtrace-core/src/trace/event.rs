//! What frames and deadlines come to: what a frame was to a trace, and what has happened to its path.

use super::path::ProbeRef;

/// What a frame was to the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// One of our probes, on its way out.
    OwnProbe(ProbeRef),
    /// A reply to this probe; the index is among its kept replies, if it was kept.
    Reply(ProbeRef, Option<usize>),
    /// It answers this probe from the target's address, but the path is longer than that: it is not believed. The index
    /// is among its contradicted answers, if it was kept.
    Contradicted(ProbeRef, Option<usize>),
    /// It quotes this probe, but its checksum is wrong: it is not believed.
    Damaged(ProbeRef),
    /// An ICMP error about a datagram from our address and port that is none of our probes, as far as can be determined
    /// of what was left of it on the way.
    Unmatched,
    /// An ICMP error about a datagram to the target in the protocol of the probes that is none of them, and not from our port.
    /// Until there are 48 they are kept, of each source port one: they decide what is believed.
    Stray,
    /// An ICMP error that may be about a probe of ours, but the capture cut it short before what says about which.
    CutShort,
    /// A probe of ours that was captured before: on `lo` each packet is seen twice.
    Repeated,
    /// Nothing to do with this trace.
    Unrelated,
}

impl Disposition {
    /// Whether the frame belongs into the recording.
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
pub enum Event {
    /// A probe was captured on its way out.
    Sent(ProbeRef),
    /// A reply arrived; the index is among the probe's kept replies.
    Replied(ProbeRef, usize),
    /// A reply arrived after its trace had ended: a round of [`Rounds`](super::rounds::Rounds) that is over.
    LateReply(ProbeRef, usize),
    /// A probe was answered or timed out: what a report says of it will not change, unless its answer turns out to be
    /// contradicted, or a contradicted one is confirmed.
    Settled(ProbeRef),
    /// An answer is not believed, for the path is longer than that; the index is among the probe's contradicted answers. If
    /// it was a reply until now, its probe waits for an answer again.
    Contradicted(ProbeRef, usize),
    /// The trace is over, and a probe with a higher TTL has become one of the hop that answered it: the scout, or one that
    /// went past the target.
    Assigned {
        /// Where it was until now.
        before: ProbeRef,
        /// Where it is now.
        at: ProbeRef,
    },
    /// Every probe is settled and no more will come.
    Ended,
}
