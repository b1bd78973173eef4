//! The name of a trace among all of an endpoint.

/// A trace of an endpoint, by its place among all that were ever opened there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u32);

impl TraceId {
    /// The first, which is the only one where there is one.
    pub const FIRST: Self = Self(0);

    /// The trace at this place, from 0.
    #[must_use]
    pub fn at(place: usize) -> Self {
        Self(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// Its place, from 0.
    #[must_use]
    pub fn place(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The trace with this number, from 1, as users count.
    #[must_use]
    pub fn of_number(number: u32) -> Self {
        Self(number.saturating_sub(1))
    }

    /// Its number, from 1, as users count.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.saturating_add(1)
    }
}
