//! One measurement of one target: a trace, a trace with its path MTU, rounds of traces, or all paths.

use super::datagram::Packet;
use super::event::{Disposition, Event};
use super::path::Path;
use crate::probe::Transmit;
use crate::time::{ClockStep, Timestamp};
use crate::wire::Frame;

/// Takes frames and times, gives probes and events; does no IO and reads no clock.
pub trait Engine {
    /// The next datagram to send, if one is due at `now`. Ask until `None`; ask again after every
    /// frame, and at [`poll_timeout`](Self::poll_timeout).
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>>;

    /// The link did not take the datagram that [`poll_transmit`](Self::poll_transmit) gave last.
    fn handle_refusal(&mut self);

    /// When [`handle_timeout`](Self::handle_timeout) is next to be called, or a probe to be sent, if
    /// no frame comes before.
    fn poll_timeout(&mut self) -> Option<Timestamp>;

    /// When the next probe times out.
    fn next_deadline(&mut self) -> Option<Timestamp>;

    /// No frame stamped before `now` is still to come: whatever was to be answered by then is lost.
    fn handle_timeout(&mut self, now: Timestamp);

    /// Takes one captured frame, decoded. Gives the path that it was about, too: of rounds, that of the round.
    fn handle_packet(&mut self, packet: &Packet<'_>) -> (Disposition, &Path);

    /// Decodes one captured frame and takes it.
    fn handle_frame(&mut self, frame: &Frame<'_>) -> Disposition {
        self.handle_packet(&Packet::of(frame)).0
    }

    /// The last frame, which this found to be [`CutShort`](Disposition::CutShort), is about a probe of another trace.
    fn disown_cut_frame(&mut self) {}

    /// The next thing that happened, and the path that it happened to. Ask until `None` after every other call.
    fn poll_event(&mut self) -> Option<(Event, &Path)>;

    /// The path as far as it is known: of rounds, that of the latest.
    fn path(&self) -> &Path;

    /// Whether the target was reached, in any round.
    fn reached(&self) -> bool;

    /// Whether nothing is left to send or to wait for. One that only watches never knows.
    fn is_done(&self) -> bool;

    /// How many rounds have gone by, up to this one, of which no probe was seen leaving.
    fn missed(&self) -> u64 {
        0
    }

    /// How many rounds there were, if the last of them are missing.
    fn rounds(&self) -> Option<u64> {
        None
    }

    /// There were so many rounds, as a recording says of which the last are missing.
    fn note_rounds(&mut self, _: u64) {}

    /// The clock that stamps frames was set: round trips that may lie over that are not believed.
    fn note_clock_step(&mut self, step: &ClockStep);

    /// It is over: done, or at the end of a recording.
    fn finish(&mut self);

    /// It is over: interrupted at this moment. Of rounds, probes that were in flight then count neither as
    /// answered nor as lost.
    fn cut(&mut self, _: Timestamp) {
        self.finish();
    }
}
