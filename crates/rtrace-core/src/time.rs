//! Time as the capture clock tells it: plain signed nanoseconds.
//!
//! Every stamp in rtrace is the kernel's (or the simulation's) time of a frame, in nanoseconds since
//! the Unix epoch. Arithmetic is signed and saturating, so that a reply stamped before its probe
//! shows as a negative round trip instead of wrapping. Nothing here reads a clock.

use std::fmt;
use std::num::TryFromIntError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds in one second.
const NANOS_PER_SEC: i64 = 1_000_000_000;

/// A moment on the capture clock, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A step of the clock that stamps frames: it was set.
///
/// All times in rtrace are those of the clock as it was when the run began, as if it had never been set: what reads
/// frames takes every step out of their stamps again. What remains is that nobody saw the step itself: a stamp near it
/// may be of either side, so no round trip across it is reliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// How far it was set forward; back if negative. Zero: it was set by then, but frames with stamps from before
    /// are still to come.
    pub by: Span,
    /// The step was after this moment; `None` where only stamps show it, which do not tell.
    pub from: Option<Timestamp>,
    /// The step was before this moment.
    pub until: Timestamp,
}

/// A signed length of time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

/// The message about it, once.
impl fmt::Display for ClockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.by < Span::ZERO { "back" } else { "forward" };
        let secs = self.by.abs().secs_f64();
        // As many digits as tell what is more than nothing.
        let digits = if secs < 0.1 { 4 } else { 1 };
        write!(
            f,
            "the clock was set {way} by {secs:.digits$} s: round trips across the step are marked"
        )
    }
}

impl Timestamp {
    /// The moment `nanos` nanoseconds after the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The moment of what was captured without a time; it lies before all others.
    pub const UNKNOWN: Self = Self(i64::MIN);

    /// This moment, if it is not [`UNKNOWN`](Self::UNKNOWN).
    #[must_use]
    pub fn known(self) -> Option<Self> {
        (self != Self::UNKNOWN).then_some(self)
    }

    /// The moment given as seconds and nanoseconds since the epoch; saturates at the ends of time.
    #[must_use]
    pub const fn from_parts(secs: i64, nanos: i64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC).saturating_add(nanos))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this moment lies; negative if it lies before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The moment `span` later.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The moment `span` earlier.
    #[must_use]
    pub const fn before(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// In milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact up to 104 days")]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `nanos` nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// `secs` seconds, to the nearest nanosecond; saturates, and NaN is zero.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e9).round() as i64)
    }

    /// The length in nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Both lengths together; saturates.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This length less the other; saturates.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The length in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact up to 104 days, far past any round trip")]
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The length without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// This length `factor` times; saturates.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self::from_secs_f64(self.secs_f64() * factor)
    }
}

/// Milliseconds with three decimals and no unit, rounded half away from zero, as traceroute prints.
/// A length of time of the standard library; one of more than 292 years saturates.
impl From<Duration> for Span {
    fn from(length: Duration) -> Self {
        Self(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Fails for what is negative.
impl TryFrom<Span> for Duration {
    type Error = TryFromIntError;

    fn try_from(span: Span) -> Result<Self, Self::Error> {
        u64::try_from(span.0).map(Self::from_nanos)
    }
}

/// A time of the standard library; one beyond the years 1677 to 2262 saturates.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let epoch = Self(0);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => epoch.after(after.into()),
            Err(before) => epoch.before(before.duration().into()),
        }
    }
}

/// The moment of [`UNKNOWN`](Timestamp::UNKNOWN) is the earliest that there is: ask [`known`](Timestamp::known) first.
impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let away = Duration::from_nanos(at.0.unsigned_abs());
        if at.0 < 0 { UNIX_EPOCH - away } else { UNIX_EPOCH + away }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs().saturating_add(500) / 1_000;
        write!(f, "{sign}{}.{:03}", micros / 1_000, micros % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_standard_library_come_back() {
        for nanos in [i64::MIN + 1, -1, 0, 1, 1_795_521_600_123_456_789, i64::MAX] {
            let at = Timestamp::from_nanos(nanos);
            assert_eq!(Timestamp::from(SystemTime::from(at)), at);
        }
        let span = Span::from_millis(1_500);
        assert_eq!(Duration::try_from(span).map(Span::from), Ok(span));
        assert!(Duration::try_from(Span::from_nanos(-1)).is_err());
        assert_eq!(Span::from(Duration::MAX), Span::from_nanos(i64::MAX));
    }

    #[test]
    fn spans_print_as_milliseconds() {
        for (nanos, text) in [
            (0, "0.000"),
            (499, "0.000"),
            (500, "0.001"),
            (3_214_000, "3.214"),
            (1_234_567_890, "1234.568"),
            (-23_000, "-0.023"),
        ] {
            assert_eq!(Span::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_nanos(i64::MAX);
        assert_eq!(end.after(Span::from_secs_f64(1.0)), end);
        assert_eq!(Timestamp::from_parts(i64::MAX, 0), end);
        assert_eq!(Span::from_secs_f64(f64::NAN), Span::ZERO);
    }
}
