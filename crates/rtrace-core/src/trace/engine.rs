//! The interface of a measurement of one target: a trace, a trace with its path MTU, rounds of traces, or all paths.

use super::datagram::Packet;
use super::event::{Disposition, Event};
use super::path::Path;
use crate::probe::Transmit;
use crate::time::{ClockStep, Timestamp};
use crate::wire::Frame;

/// A measurement of one target. It takes frames and times, and gives probes and events; it does no IO and reads no
/// clock.
pub trait Engine {
    /// The next datagram to send, if one is due at `now`. Call until `None`; call again after every frame, and at
    /// [`poll_timeout`](Self::poll_timeout).
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>>;

    /// Notes that the link refused the datagram that [`poll_transmit`](Self::poll_transmit) returned last.
    fn handle_refusal(&mut self);

    /// When [`handle_timeout`](Self::handle_timeout) must be called, or a probe sent, if no frame comes before.
    fn poll_timeout(&mut self) -> Option<Timestamp>;

    /// When the next probe times out.
    fn next_deadline(&mut self) -> Option<Timestamp>;

    /// Expires what is due by `now`, when no frame stamped before `now` can come any longer: probes without an answer
    /// by then are lost.
    fn handle_timeout(&mut self, now: Timestamp);

    /// Takes one captured frame, decoded. Also returns the path that the frame is about; of rounds, the path of its
    /// round.
    fn handle_packet(&mut self, packet: &Packet<'_>) -> (Disposition, &Path);

    /// Decodes one captured frame and takes it.
    fn handle_frame(&mut self, frame: &Frame<'_>) -> Disposition {
        self.handle_packet(&Packet::of(frame)).0
    }

    /// Notes that the last frame, which this engine found to be [`CutShort`](Disposition::CutShort), is about a probe
    /// of another trace.
    fn disown_cut_frame(&mut self) {}

    /// The next event, and the path that it happened to. Call until `None` after every other call.
    fn poll_event(&mut self) -> Option<(Event, &Path)>;

    /// The path as far as it is known; of rounds, the path of the latest round.
    fn path(&self) -> &Path;

    /// Whether the target was reached, in any round.
    fn reached(&self) -> bool;

    /// Whether nothing is left to send or to wait for. An engine that only watches never knows, and returns `false`.
    fn is_done(&self) -> bool;

    /// The number of rounds, up to this one, that were not sent: none of their probes was seen leaving.
    fn missed(&self) -> u64 {
        0
    }

    /// The number of rounds, if the last of them were not sent; `None` otherwise.
    fn rounds(&self) -> Option<u64> {
        None
    }

    /// Notes the number of rounds that a recording gives, whose last rounds were not sent.
    fn note_rounds(&mut self, _: u64) {}

    /// Notes that the clock that stamps frames was set: round trips that may span the step are marked.
    fn note_clock_step(&mut self, step: &ClockStep);

    /// Finishes the measurement: it is done, or at the end of a recording.
    fn finish(&mut self);

    /// Finishes the measurement because it was interrupted at this moment. In rounds, probes that were in flight then
    /// count neither as answered nor as lost.
    fn cut(&mut self, _: Timestamp) {
        self.finish();
    }
}
