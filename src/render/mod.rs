//! From a path to what a person or a program reads.
//!
//! A renderer receives every event and may look at the whole path; its output is a function of
//! configuration, frames and annotations alone, so that a replay writes the same bytes. Names and whatever
//! else is text from elsewhere are [`Untrusted`]: each form asks them for what fits.
//!
//! [`Form`] is the table of the forms there are, and [`output::Output`] says which of them there are of what was measured. Each is
//! one file; what they share is in `rows`.

mod annotation;
pub mod atlas;
pub mod columns;
pub mod csv;
mod dissect;
mod extension;
pub mod inspect;
pub mod json;
mod lines;
mod mtu;
pub mod ndjson;
mod outage;
pub mod output;
pub mod paths;
pub mod report;
mod rows;
pub mod scamper;
pub mod show;
pub mod stats;
pub mod stream;
pub mod text;
pub mod tui;

use std::collections::BTreeMap;
use std::io;

use crate::enrich::Annotations;
use crate::enrich::names::Names;
use crate::enrich::origins::Origins;
use crate::enrich::places::Places;
use crate::time::ClockStep;
use crate::trace::{Disposition, Event, Path, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::Frame;
use columns::Columns;
use text::Style;

/// What a renderer may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What was asked.
    pub config: &'a TraceConfig,
    /// What is known.
    pub path: &'a Path,
    /// The names of responders.
    pub names: &'a Names,
    /// Their autonomous systems, if they are asked for.
    pub origins: Option<&'a Origins>,
    /// Where they are, if that is asked for.
    pub places: Option<&'a Places>,
    /// The names of the interfaces of the host that probes, by the numbers that frames have.
    pub interfaces: &'a BTreeMap<u32, Untrusted>,
    /// How many probes are known never to have left.
    pub never_sent: u64,
}

impl<'a> View<'a> {
    /// A view of a path with all its annotations.
    #[must_use]
    pub fn of(config: &'a TraceConfig, path: &'a Path, annotations: &'a Annotations) -> Self {
        let Annotations { names, origins, places, interfaces } = annotations;
        let (origins, places) = (origins.as_ref(), places.as_ref());
        Self { config, path, names, origins, places, interfaces, never_sent: 0 }
    }
}

/// What lines that belong to no hop begin with in text.
const INDENT: &str = "    ";

/// "a", "a and b", "a, b and c".
pub(crate) fn listed<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match &words[..] {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A count with its noun: "1 reply", "2 replies".
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if count == 1 => format!("1 {noun}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

/// How a report is to look, whichever it is.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What concerns every form.
    pub style: Style,
    /// In reports of rounds, the address of each host beside its name.
    pub addresses: bool,
    /// In reports of rounds, names that are not cut.
    pub wide: bool,
    /// The columns of reports of rounds.
    pub columns: Columns,
    /// It is one of several: reports of rounds as text say to which target, and so does each line of a stream.
    pub of_several: bool,
}

/// One form of report. A form that is written as a whole needs [`end`](Self::end) only.
pub trait Renderer {
    /// Before the first event.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn begin(&mut self, _: &TraceConfig) -> io::Result<()> {
        Ok(())
    }

    /// A frame was handled that concerns the trace.
    fn frame(&mut self, _: &Frame<'_>, _: Disposition, _: &Path) {}

    /// Reports for how many rounds no probe was seen leaving: only live displays need it.
    fn missed(&mut self, _: u64) {}

    /// The clock that stamps frames was set.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn clock_step(&mut self, _: &ClockStep) -> io::Result<()> {
        Ok(())
    }

    /// Something happened to the path, or a name became known (`None`).
    ///
    /// # Errors
    /// When the output cannot be written.
    fn event(&mut self, _: Option<Event>, _: View<'_>) -> io::Result<()> {
        Ok(())
    }

    /// The trace is over and every name is known.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn end(&mut self, view: View<'_>) -> io::Result<()>;
}

/// The forms of report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// That of traceroute(8).
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One JSON object per event, as it happens.
    Ndjson,
    /// One row per probe.
    Csv,
    /// A traceroute result of RIPE Atlas.
    Atlas,
    /// A trace of scamper.
    Scamper,
    /// A graph of Graphviz: of multipath traces alone.
    Dot,
    /// A flowchart of Mermaid: of multipath traces alone.
    Mermaid,
    /// A drawing: of multipath traces alone.
    Svg,
}

impl Form {
    /// All that a trace has.
    pub const ALL: [Self; 6] =
        [Self::Text, Self::Json, Self::Ndjson, Self::Csv, Self::Atlas, Self::Scamper];

    /// All that an inspection has.
    pub const OF_INSPECTION: [Self; 2] = [Self::Text, Self::Json];

    /// All that rounds have.
    pub const OF_ROUNDS: [Self; 4] = [Self::Text, Self::Json, Self::Ndjson, Self::Csv];

    /// All that the map of a multipath trace has.
    pub const OF_PATHS: [Self; 5] = [Self::Text, Self::Json, Self::Dot, Self::Mermaid, Self::Svg];

    /// All that what was recorded may have, whatever it is.
    pub const OF_ANY: [Self; 9] = {
        let [text, json, ndjson, csv, atlas, scamper] = Self::ALL;
        let [_, _, dot, mermaid, svg] = Self::OF_PATHS;
        [text, json, ndjson, csv, atlas, scamper, dot, mermaid, svg]
    };

    /// The name of the format, and a short description.
    #[must_use]
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "as traceroute(8) writes it or, for rounds, mtr(8)"),
            Self::Json => ("json", "one document that holds everything"),
            Self::Ndjson => ("ndjson", "one event a line, as it happens"),
            Self::Csv => ("csv", "a table"),
            Self::Atlas => ("atlas", "a traceroute result of RIPE Atlas"),
            Self::Scamper => ("scamper", "a trace in scamper's JSON"),
            Self::Dot => ("dot", "all paths as a graph for Graphviz"),
            Self::Mermaid => ("mermaid", "all paths as a flowchart for Mermaid"),
            Self::Svg => ("svg", "all paths as a drawing"),
        }
    }
}
