//! Sources of the traces of an endpoint: one trace, a few, or as many as a list or a queue has.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use super::super::config::TraceConfig;
use super::super::engine::Engine;
use super::super::probe_selector::ProbeSelector;
use crate::probe::Flow;
use crate::time::{Span, Timestamp};

/// Supplies one trace after another.
pub trait TraceSource<'e> {
    /// The next trace, if there is one by `now`. The endpoint calls this whenever it has room for another trace.
    fn next(&mut self, now: Timestamp) -> Supply<'e>;
}

/// The answer of a source that is asked for a trace.
#[non_exhaustive]
pub enum Supply<'e> {
    /// A trace to open now.
    Trace(NewTrace<'e>),
    /// No trace before this moment.
    Later(Timestamp),
    /// No further trace, ever.
    Exhausted,
}

/// A trace to open.
pub struct NewTrace<'e> {
    pub(super) engine: Held<'e>,
    pub(super) wants: Wants,
}

/// Which frames a trace is shown.
pub(super) enum Wants {
    Everything,
    /// Frames that may be its own, by its flow and the source port or identifier of its probes that confirm answers.
    Own(Flow, ProbeSelector, Option<u16>),
}

impl<'e> NewTrace<'e> {
    /// A trace that is shown every frame, as if it were alone.
    #[must_use]
    pub fn of_all_frames(engine: impl Into<Held<'e>>) -> Self {
        Self { engine: engine.into(), wants: Wants::Everything }
    }

    /// A trace that is shown only frames that may be its own.
    #[must_use]
    pub fn of_own_frames(
        engine: impl Into<Held<'e>>,
        config: &TraceConfig,
        idents: &ProbeSelector,
    ) -> Self {
        let confirming = config.confirmation.map(|it| it.ident);
        let wants = Wants::Own(config.flow(), idents.clone(), confirming);
        Self { engine: engine.into(), wants }
    }
}

/// An engine, owned or borrowed.
#[non_exhaustive]
pub enum Held<'e> {
    /// An owned engine.
    Owned(Box<dyn Engine>),
    /// A borrowed engine.
    Lent(&'e mut dyn Engine),
}

impl From<Box<dyn Engine>> for Held<'_> {
    fn from(engine: Box<dyn Engine>) -> Self {
        Self::Owned(engine)
    }
}

impl<'e> From<&'e mut dyn Engine> for Held<'e> {
    fn from(engine: &'e mut dyn Engine) -> Self {
        Self::Lent(engine)
    }
}

impl<'e> Deref for Held<'e> {
    type Target = dyn Engine + 'e;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Owned(engine) => &**engine,
            Self::Lent(engine) => *engine,
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Owned(engine) => &mut **engine,
            Self::Lent(engine) => *engine,
        }
    }
}

/// A few traces, each opened a fixed time after the one before.
pub struct Few<'e> {
    traces: VecDeque<NewTrace<'e>>,
    apart: Span,
    next_at: Option<Timestamp>,
}

impl<'e> Few<'e> {
    /// Opens all traces at once.
    pub fn at_once(traces: impl IntoIterator<Item = NewTrace<'e>>) -> Self {
        Self::apart(traces, Span::ZERO)
    }

    /// Opens the traces one after another, `apart` from each other.
    pub fn apart(traces: impl IntoIterator<Item = NewTrace<'e>>, apart: Span) -> Self {
        Self { traces: traces.into_iter().collect(), apart, next_at: None }
    }
}

impl<'e> TraceSource<'e> for Few<'e> {
    fn next(&mut self, now: Timestamp) -> Supply<'e> {
        if self.traces.is_empty() {
            return Supply::Exhausted;
        }
        let at = self.next_at.unwrap_or(now);
        if at > now {
            return Supply::Later(at);
        }
        self.next_at = Some(at.after(self.apart));
        self.traces.pop_front().map_or(Supply::Exhausted, Supply::Trace)
    }
}
