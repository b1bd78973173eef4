//! The clocks of this machine, and notice of when one of them is set.
//!
//! Frames are stamped by `CLOCK_REALTIME`, which may be set. Waiting goes by `CLOCK_BOOTTIME`, which never is and which
//! goes on while the machine is suspended; Linux slews both alike. A timer that would fire at the end of time is
//! cancelled by the kernel when the clock is set and when the machine resumes (`timerfd_create(2)`,
//! `TFD_TIMER_CANCEL_ON_SET`): so an idle wait ends then, and costs nothing until then.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as Timer, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

use crate::link::timeline::{NARROW, Reading};
use crate::time::Timestamp;

/// The most readings of both clocks until one is narrow enough.
const TRIES: usize = 8;
/// The year 2255, in seconds: later than any clock is, and within what the kernel can count in nanoseconds.
const NEVER: i64 = 9_000_000_000;

/// The clocks that a link uses.
pub(super) trait Clocks: Send {
    /// The clock that is never set.
    fn steady(&self) -> Timestamp;

    /// The clock that stamps frames.
    fn stamping(&self) -> Timestamp;

    /// The stamp to use for the kernel's `stamp`: the same, except in tests.
    fn restamped(&self, stamp: Timestamp) -> Timestamp {
        stamp
    }

    /// A reading of both clocks, as close together as possible.
    fn read(&self) -> Reading {
        let read = || {
            let (before, clock) = (self.steady(), self.stamping());
            Reading { before, after: self.steady(), clock }
        };
        let mut best = read();
        for _ in 1..TRIES {
            if best.width() <= NARROW {
                break;
            }
            let another = read();
            if another.width() < best.width() {
                best = another;
            }
        }
        best
    }
}

/// The clocks of the kernel.
#[derive(Debug)]
pub(super) struct Kernel;

impl Clocks for Kernel {
    fn steady(&self) -> Timestamp {
        now(ClockId::CLOCK_BOOTTIME)
    }

    fn stamping(&self) -> Timestamp {
        now(ClockId::CLOCK_REALTIME)
    }
}

/// Every Linux has both clocks.
fn now(clock: ClockId) -> Timestamp {
    clock_gettime(clock)
        .map_or(Timestamp::default(), |at| Timestamp::from_parts(at.tv_sec(), at.tv_nsec()))
}

/// A timer that becomes readable when the clock is set and when the machine resumes, if the kernel supports it.
#[derive(Debug)]
pub(super) struct Settings(Option<TimerFd>);

impl Settings {
    pub(super) fn open() -> Self {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let settings = Self(TimerFd::new(Timer::CLOCK_REALTIME, flags).ok());
        settings.arm();
        settings
    }

    fn arm(&self) {
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        if let Some(timer) = &self.0 {
            // Without the timer the wait ends later: at the next frame, or at its end.
            let _ = timer.set(Expiration::OneShot(TimeSpec::new(NEVER, 0)), flags);
        }
    }

    /// Notes that the timer was readable.
    pub(super) fn drain(&self) {
        if let Some(timer) = &self.0 {
            // This never blocks, and its result is known.
            let _ = timer.wait();
        }
        self.arm();
    }

    /// The descriptor to wait for, if there is one.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}
