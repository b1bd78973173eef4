//! The time of a run, whatever is done to the clock that stamps frames.
//!
//! Frames are stamped by a clock that may be set; waiting goes by one that never is (and goes on while the machine is
//! suspended). Both are read together each time frames are read. As long as they keep their distance, a stamp is the
//! time of the run; where the distance changes by more than [`LEAST`], the clock was set, and stamps of
//! frames after that have the step taken out of them. Slewing changes no distance: Linux slews both
//! clocks alike. Nothing here reads a clock.
//!
//! Which frames are after the step? A frame that was read by a moment was stamped before it, so a stamp that would lie
//! in the future is of the other side; where both sides are possible the later one is taken, for frames are read soon. What
//! is certain is when the step happened at the latest and at the earliest: [`ClockStep`] has that, and round trips
//! that may lie over it are not believed.
//!
//! Invariants: steps are reported before the first frame that is stamped after them, and of a link that is quiet before
//! it says so; the stamp of a frame less all steps reported so far is the time of the run.

use crate::time::{ClockStep, Span, Timestamp};

/// A smaller change of the clock than this is no step: two readings may differ by some of it.
pub const LEAST: Span = Span::from_micros(100);
/// A pair of readings that took longer than this says too little of the distance to follow it.
pub const NARROW: Span = Span::from_micros(10);
/// How long after its stamp a frame may become readable without a step being suspected.
const SLACK: Span = Span::from_millis(1_000);

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The steady clock before
    pub before: Timestamp,
    /// and after
    pub after: Timestamp,
    /// the clock that stamps frames was read.
    pub clock: Timestamp,
}

impl Reading {
    /// How long the reading took: the distance of the clocks is known up to that.
    #[must_use]
    pub const fn width(&self) -> Span {
        self.after.since(self.before)
    }

    /// How far the clock is ahead of the steady one.
    fn distance(&self) -> Span {
        let half = Span::from_nanos(self.width().nanos() / 2);
        self.clock.since(self.before.after(half))
    }
}

/// How stamps are brought to the time of the run.
#[derive(Debug)]
pub struct Timeline {
    /// How far the time of the run is ahead of the steady clock.
    ahead: Span,
    /// How far stamps are ahead of the time of the run: the sum of the steps reported so far.
    offset: Span,
    /// The offset when the clocks were last read; it differs from `offset` while a step is not reported yet.
    latest: Span,
    /// The uncertainty of `latest`.
    unsure: Span,
    /// When the clocks were last read.
    read: Timestamp,
    /// The step that is not reported yet.
    pending: Option<Pending>,
    /// How long after its stamp a frame may take to become readable.
    grace: Span,
    /// All frames stamped by then are handed out,
    floor: Timestamp,
    /// or at least read.
    next_floor: Timestamp,
}

/// A step that is known of, while frames from before it may still come.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// It was after this moment,
    from: Timestamp,
    /// and before this one, when the clocks were read.
    noticed: Timestamp,
    /// The step has been reported.
    announced: bool,
}

impl Timeline {
    /// Starts the time of the run at the time of the clock. `grace` bounds how long after its stamp a frame becomes readable.
    #[must_use]
    pub fn beginning(reading: &Reading, grace: Span) -> Self {
        let ahead = reading.distance();
        let now = reading.after.after(ahead);
        Self {
            ahead,
            offset: Span::ZERO,
            latest: Span::ZERO,
            unsure: reading.width(),
            read: now,
            pending: None,
            grace,
            floor: now,
            next_floor: now,
        }
    }

    /// Time goes on after `last`, where stamps were ahead of it by `offset`. If the clock is behind that, it was set
    /// back in between.
    #[must_use]
    pub fn going_on(mut self, last: Timestamp, offset: Span) -> Self {
        (self.offset, self.latest) = (offset, offset);
        self.ahead = self.ahead.less(offset);
        let now = self.read.before(offset);
        if now < last {
            let back = last.since(now);
            (self.ahead, self.latest) = (self.ahead.plus(back), offset.less(back));
            self.pending = Some(Pending { from: last, noticed: last, announced: false });
        }
        let now = now.max(last);
        Self { read: now, floor: now, next_floor: now, ..self }
    }

    /// The time of the run when the steady clock is at `steady`.
    #[must_use]
    pub const fn at(&self, steady: Timestamp) -> Timestamp {
        steady.after(self.ahead)
    }

    /// Frames have been read, and then the clocks. There is no other frame stamped by `emptied`, if that is known.
    pub fn note_read(&mut self, reading: &Reading, emptied: Option<Timestamp>) {
        let latest = reading.distance().less(self.ahead);
        let change = latest.less(self.latest);
        let unsure = LEAST.plus(self.unsure).plus(reading.width());
        let now = self.at(reading.after).max(self.read);
        if change.abs() > unsure {
            let from = self.pending.map_or(self.read, |pending| pending.from);
            self.pending = Some(Pending { from, noticed: now, announced: false });
            self.latest = latest;
            self.unsure = reading.width();
        } else if reading.width() <= NARROW {
            // Whatever made them drift: the time of the run keeps to the stamps.
            self.ahead = self.ahead.plus(change);
            self.unsure = reading.width();
        }
        self.read = now;
        self.floor = self.next_floor;
        self.next_floor = emptied.map_or(self.floor, |at| at.max(self.floor));
    }

    /// When the next of the frames that were read was stamped, in the time of the run; or else a step that comes before
    /// it: then ask again.
    ///
    /// # Errors
    /// The step.
    pub fn place(&mut self, stamp: Timestamp) -> Result<Timestamp, ClockStep> {
        let (old, new) = (stamp.before(self.offset), stamp.before(self.latest));
        let fits =
            |at: Timestamp| (self.floor.before(SLACK)..=self.read.after(LEAST)).contains(&at);
        match self.pending {
            None if fits(old) => Ok(old),
            // What cannot be of before the step shows that it was over by then.
            Some(pending) if fits(new) && !fits(old) => {
                let until = new.before(Span::from_nanos(1)).min(pending.noticed);
                Err(ClockStep { until, ..self.step_to(self.latest) })
            }
            Some(_) if fits(new) && new > old => Err(self.step_to(self.latest)),
            Some(pending) if fits(old) => {
                if pending.announced || !fits(new) {
                    return Ok(old);
                }
                self.pending = Some(Pending { announced: true, ..pending });
                Err(ClockStep {
                    by: Span::ZERO,
                    from: Some(pending.from),
                    until: self.read.after(LEAST),
                })
            }
            // It was set to and fro. All that is known is when the frame was read.
            _ => Err(self.step_to(stamp.since(self.read))),
        }
    }

    /// There is no frame left: a step to report now.
    pub fn settle(&mut self) -> Option<ClockStep> {
        let until = self.pending?.noticed;
        let is_over = self.read >= until.after(self.grace);
        is_over.then(|| ClockStep { until, ..self.step_to(self.latest) })
    }

    /// Whether a step is not reported yet: the clocks must be read again soon, even without a frame.
    #[must_use]
    pub const fn is_unsettled(&self) -> bool {
        self.pending.is_some()
    }

    fn step_to(&mut self, offset: Span) -> ClockStep {
        let from = self.pending.map_or(self.floor, |pending| pending.from);
        let (by, until) = (offset.less(self.offset), self.read.after(LEAST));
        self.offset = offset;
        let pending = Pending { from, noticed: self.read, announced: false };
        self.pending = (offset != self.latest).then_some(pending);
        ClockStep { by, from: Some(from), until }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A machine: its steady clock, and how far the other is ahead of it.
    struct Machine {
        steady: Timestamp,
        ahead: Span,
    }

    impl Machine {
        fn stamp(&self) -> Timestamp {
            self.steady.after(self.ahead)
        }

        /// Both clocks, and how many nanoseconds reading them took.
        fn read(&self, width: i64) -> Reading {
            let half = Span::from_nanos(width / 2);
            let (before, after) = (self.steady.before(half), self.steady.after(half));
            Reading { before, after, clock: self.stamp() }
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Pass(Span),
        Set(Span),
        /// A frame is stamped.
        Frame,
        /// What frames there are is read.
        Read(i64),
    }

    /// A frame in the time of the run as it was, and as it was placed.
    type Placed = (Timestamp, Timestamp);

    /// Frames and steps as they are handed out.
    fn outcome(acts: &[Act], grace: Span) -> (Vec<Placed>, Vec<(usize, ClockStep)>) {
        let begin = Timestamp::from_parts(1_000_000, 0);
        let mut machine = Machine { steady: begin, ahead: Span::from_secs_f64(1e9) };
        let epoch = machine.ahead;
        let mut timeline = Timeline::beginning(&machine.read(100), grace);
        let (mut queue, mut frames, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for act in acts.iter().chain([&Act::Read(50)]) {
            match act {
                Act::Pass(span) => machine.steady = machine.steady.after(*span),
                Act::Set(by) => machine.ahead = machine.ahead.plus(*by),
                Act::Frame => queue.push((machine.steady.after(epoch), machine.stamp())),
                Act::Read(width) => {
                    timeline.note_read(&machine.read(*width), None);
                    for (run, stamp) in queue.drain(..) {
                        let at = loop {
                            match timeline.place(stamp) {
                                Ok(at) => break at,
                                Err(step) => steps.push((frames.len(), step)),
                            }
                        };
                        frames.push((run, at));
                    }
                    steps.extend(timeline.settle().map(|step| (frames.len(), step)));
                }
            }
        }
        (frames, steps)
    }

    const SECOND: Span = Span::from_millis(1_000);

    #[test]
    fn stamps_of_both_sides_of_a_step_are_told_apart() {
        for by in [-1e8, -3600.0, -20.0, -0.3, 0.3, 20.0, 3600.0, 1e8].map(Span::from_secs_f64) {
            let soon = Act::Pass(Span::from_millis(1));
            let acts = [
                Act::Pass(SECOND),
                Act::Frame,
                soon.clone(),
                Act::Set(by),
                soon.clone(),
                Act::Frame,
                soon,
                Act::Read(60),
                Act::Pass(SECOND),
                Act::Frame,
                Act::Read(60),
            ];
            let (frames, steps) = outcome(&acts, Span::ZERO);
            let off = |(run, at): &Placed| at.since(*run).abs() < Span::from_micros(1);
            assert!(frames.iter().all(off), "{by}: {frames:?}");
            let told: Vec<_> = steps.iter().filter(|(_, step)| step.by != Span::ZERO).collect();
            let [(1, step)] = told[..] else { panic!("{by}: {steps:?}") };
            assert!(step.by.less(by).abs() < Span::from_micros(1), "{by}: {step:?}");
        }
    }

    #[test]
    fn what_is_no_step_is_followed_and_not_told() {
        let mut acts = Vec::new();
        for _ in 0..1_000 {
            // 50 µs each time, so 50 ms in the end; and readings that say little, by which nothing is judged.
            acts.extend([Act::Pass(SECOND), Act::Set(Span::from_micros(50)), Act::Frame]);
            acts.extend([Act::Read(80_000_000), Act::Read(80)]);
        }
        let (frames, steps) = outcome(&acts, Span::ZERO);
        assert_eq!(steps, []);
        let (run, at) = frames.last().unwrap();
        assert_eq!(at.since(*run), Span::from_millis(50), "it keeps to the stamps");
    }

    #[test]
    fn a_clock_that_was_set_to_and_fro_is_told_of_and_time_goes_on() {
        let hour = Span::from_secs_f64(3600.0);
        let back = Span::ZERO.less(hour);
        let acts = [Act::Frame, Act::Set(back), Act::Frame, Act::Set(hour), Act::Frame];
        let (frames, steps) = outcome(&acts, Span::ZERO);
        assert!(frames.iter().all(|(run, at)| at.since(*run).abs() <= LEAST), "{frames:?}");
        let by: Vec<_> = steps.iter().map(|(frames, step)| (*frames, step.by)).collect();
        assert!(matches!(by[..], [(1, there), (2, again)] if there.plus(again).abs() <= LEAST));
    }

    #[test]
    fn a_frame_that_was_stamped_before_a_step_may_come_a_little_after_it() {
        let reading = |secs: i64, ahead: f64| {
            let steady = Timestamp::from_parts(secs, 0);
            Reading {
                before: steady,
                after: steady,
                clock: steady.after(Span::from_secs_f64(ahead)),
            }
        };
        let mut timeline = Timeline::beginning(&reading(100, 0.0), SECOND);
        timeline.note_read(&reading(101, -50.0), None);
        assert!(timeline.is_unsettled());
        assert_eq!(timeline.settle(), None, "a frame from before may be on its way");
        let late = Timestamp::from_parts(100, 999);
        assert_eq!(timeline.place(late), Ok(late));
        timeline.note_read(&reading(102, -50.0), None);
        let step = timeline.settle().expect("no frame is still to come");
        assert_eq!(
            (step.by, step.from),
            (Span::from_secs_f64(-50.0), Some(Timestamp::from_parts(100, 0)))
        );
        assert!(!timeline.is_unsettled());
    }

    #[test]
    fn a_run_that_is_resumed_goes_on_after_the_one_before() {
        let steady = Timestamp::from_parts(10, 0);
        let reading = |clock| Reading { before: steady, after: steady, clock };
        let now = Timestamp::from_parts(5_000, 0);
        for (last, offset, run, by) in [
            (4_000, 0, 5_000, None),
            (4_000, 700, 4_300, None),
            (6_000, 0, 6_000, Some(-1_000)),
            (4_900, 700, 4_900, Some(-600)),
        ] {
            let (last, offset) =
                (Timestamp::from_parts(last, 0), Span::from_secs_f64(offset.into()));
            let mut timeline =
                Timeline::beginning(&reading(now), Span::ZERO).going_on(last, offset);
            assert_eq!(timeline.at(steady), Timestamp::from_parts(run, 0));
            timeline.note_read(&reading(now), None);
            let step = timeline.settle().map(|step| step.by);
            assert_eq!(step, by.map(|secs: i32| Span::from_secs_f64(secs.into())));
            assert_eq!(timeline.place(now), Ok(Timestamp::from_parts(run, 0)));
        }
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let set = prop_oneof![-3_000..3_000_i64, -5_000_000..5_000_000_i64];
        let pass = || (0..2_000_000_000_i64).prop_map(|nanos| Act::Pass(Span::from_nanos(nanos)));
        let quiet = prop::collection::vec(prop_oneof![Just(Act::Frame), pass()], 0..6);
        // At most one step from reading to reading.
        let between = (quiet.clone(), prop::option::of(set), quiet, 0..5_000_i64).prop_map(
            |(before, set, after, width)| {
                let set = set.map(|millis| Act::Set(Span::from_millis(millis)));
                let acts = before.into_iter().chain(set).chain(after);
                acts.chain([Act::Read(width)]).collect::<Vec<_>>()
            },
        );
        prop::collection::vec(between, 1..12).prop_map(|all| all.concat())
    }

    proptest! {
        /// However late frames are read: a difference of two stamps is right, or lies over a reported step.
        #[test]
        fn what_is_not_marked_is_right(acts in acts()) {
            let (frames, steps) = outcome(&acts, Span::ZERO);
            for (later, (run, at)) in frames.iter().enumerate() {
                for (sent_run, sent_at) in &frames[..later] {
                    let wrong = at.since(*sent_at).less(run.since(*sent_run)).abs();
                    let told = |(before, step): &(usize, ClockStep)| {
                        *before <= later && *sent_at <= step.until
                    };
                    // Two steps of 100 µs that are none, and what the readings left open.
                    let small = LEAST.plus(Span::from_micros(120));
                    prop_assert!(wrong <= small || steps.iter().any(told), "{wrong} {steps:?}");
                }
            }
        }
    }
}
