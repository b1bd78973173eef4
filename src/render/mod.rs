//! From a path to what a person or a program reads.
//!
//! A renderer is told of every event and may look at the whole path; what it writes is a function of
//! configuration, frames and names alone, so that a replay writes the same bytes. Names come
//! sanitised from [`Names`]; nothing else in a report is text from the network.

mod annotation;
mod extension;
pub mod json;
pub mod stats;
pub mod text;

use std::io;

use crate::enrich::names::Names;
use crate::trace::{Event, Path, TraceConfig};

/// What a renderer may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What was asked.
    pub config: &'a TraceConfig,
    /// What is known.
    pub path: &'a Path,
    /// The names of responders.
    pub names: &'a Names,
}

/// One form of report.
pub trait Renderer {
    /// Before the first event.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn begin(&mut self, config: &TraceConfig) -> io::Result<()>;

    /// Something happened to the path, or a name became known (`None`).
    ///
    /// # Errors
    /// When the output cannot be written.
    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()>;

    /// The trace is over and every name is known.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn end(&mut self, view: View<'_>) -> io::Result<()>;
}
