//! The identifier of a trace among all traces of an endpoint.

/// Identifies a trace of an endpoint by its position among all that were ever opened there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u32);

impl TraceId {
    /// The first trace, and the only one of a run with a single trace.
    pub const FIRST: Self = Self(0);

    /// The trace at this position, from 0.
    #[must_use]
    pub fn at(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// The position of the trace, from 0.
    #[must_use]
    pub fn place(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The trace with this number, from 1, as users count.
    #[must_use]
    pub fn of_number(number: u32) -> Self {
        Self(number.saturating_sub(1))
    }

    /// The number of the trace, from 1, as users count.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.saturating_add(1)
    }
}
