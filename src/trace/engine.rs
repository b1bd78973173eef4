//! What a driver turns: one trace, or rounds of them.

use super::event::{Disposition, Event};
use super::path::Path;
use super::tracer::Tracer;
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

    /// Takes one captured frame.
    fn handle_frame(&mut self, frame: &Frame<'_>) -> Disposition;

    /// The last frame, which this found to be [`CutShort`](Disposition::CutShort), is about a probe of another trace.
    fn disown_cut_frame(&mut self) {}

    /// The next thing that happened. Ask until `None` after every other call.
    fn poll_event(&mut self) -> Option<Event>;

    /// The path that the last frame or event was about.
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

impl Engine for Tracer {
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>> {
        self.poll_transmit(now)
    }

    fn handle_refusal(&mut self) {
        self.handle_refusal();
    }

    fn poll_timeout(&mut self) -> Option<Timestamp> {
        self.poll_timeout()
    }

    fn next_deadline(&mut self) -> Option<Timestamp> {
        self.next_deadline()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.handle_timeout(now);
    }

    fn handle_frame(&mut self, frame: &Frame<'_>) -> Disposition {
        self.handle_frame(frame)
    }

    fn disown_cut_frame(&mut self) {
        self.disown_cut_frame();
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.poll_event()
    }

    fn path(&self) -> &Path {
        self.path()
    }

    fn reached(&self) -> bool {
        self.path().reached()
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn note_clock_step(&mut self, step: &ClockStep) {
        self.note_clock_step(step);
    }

    fn finish(&mut self) {
        self.finish();
    }
}
