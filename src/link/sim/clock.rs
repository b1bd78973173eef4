//! A clock that is set while the simulation runs.
//!
//! Virtual time is the steady clock, which is never set; stamps are those of another, which is. They are brought back to
//! the time of the run as those of a live link are, by the same [`Timeline`].

use crate::link::timeline::{Reading, Timeline};
use crate::time::{ClockStep, Span, Timestamp};

/// One setting of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// When, after the simulation began.
    pub after: Span,
    /// How far forward, or back if negative.
    pub by: Span,
}

/// The clock that stamps frames.
#[derive(Debug)]
pub(super) struct Clock {
    began: Timestamp,
    settings: Vec<Setting>,
    timeline: Timeline,
}

impl Clock {
    /// A clock that is set this often from now on.
    pub(super) fn new(settings: Vec<Setting>, now: Timestamp) -> Self {
        let timeline =
            Timeline::beginning(&Reading { before: now, after: now, clock: now }, Span::ZERO);
        Self { began: now, settings, timeline }
    }

    /// What it stamps a frame with at this moment of virtual time.
    fn stamp(&self, at: Timestamp) -> Timestamp {
        let past = self.settings.iter().filter(|it| self.began.after(it.after) <= at);
        past.fold(at, |stamp, it| stamp.after(it.by))
    }

    /// The stamp of a frame seen at `at`, in the time of the run, when it is `now`; or a step to report first.
    pub(super) fn place(&mut self, at: Timestamp, now: Timestamp) -> Result<Timestamp, ClockStep> {
        self.read(now);
        self.timeline.place(self.stamp(at))
    }

    /// The step to report first when it is `now` and there is no frame.
    pub(super) fn settle(&mut self, now: Timestamp) -> Option<ClockStep> {
        self.read(now);
        self.timeline.settle()
    }

    fn read(&mut self, now: Timestamp) {
        let reading = Reading { before: now, after: now, clock: self.stamp(now) };
        self.timeline.note_read(&reading, None);
    }
}
