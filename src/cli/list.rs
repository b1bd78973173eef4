//! `rtrace replay --list`: one line per trace in a recording.
//!
//! How far a trace came is known only to what watches it as its replay would, of rounds or all paths if it is those; the
//! file is read once for all of them.

use std::fs::File;
use std::net::IpAddr;

use jiff::Timestamp as Calendar;
use serde::Serialize;

use super::options::TraceOptions;
use super::replay::{Contents, Traces};
use super::together::{self, Watched};
use super::{Status, complain, write_out};
use crate::capture::CaptureReader;
use crate::driver::Observer;
use crate::probe::ProbeType;
use crate::render::Form;
use crate::time::Timestamp;
use crate::trace::{Disposition, Path, TraceConfig};
use crate::wire::Frame;

/// One trace.
#[derive(Serialize)]
struct Row {
    number: u32,
    /// `None` if the file has no times.
    start: Option<String>,
    start_ns: Option<i64>,
    source: IpAddr,
    target: IpAddr,
    probe: ProbeType,
    probes: u64,
    hops: u8,
    target_reached: bool,
    tool: &'static str,
}

/// Lists these traces of the recording that `reader` reads.
pub(super) fn run(
    contents: &Contents,
    options: &TraceOptions,
    mut traces: Traces,
    reader: CaptureReader<&mut File>,
    form: Form,
) -> anyhow::Result<Status> {
    let mut watched = Vec::new();
    for (number, found) in std::mem::take(&mut traces.chosen) {
        let (start, tool) = (found.start, found.tool);
        let recorded = contents.recorded(found, options);
        let engine = recorded.engine()?;
        let listed = Listed { start, tool, config: recorded.config, first: None, probes: 0 };
        watched.push(Watched::new(number, engine, listed));
    }
    if let Some(error) = together::watch(reader, &mut traces, &mut watched)? {
        complain(&error.to_string());
    }
    let rows: Vec<Row> = watched.iter().map(Row::of).collect();
    let text =
        if form == Form::Json { serde_json::to_string_pretty(&rows)? + "\n" } else { table(&rows) };
    write_out(&text, "the list")?;
    Ok(Status::Reached)
}

/// A trace that is to be listed, and what it has seen: of rounds each is a trace to the engine.
struct Listed {
    start: Timestamp,
    tool: &'static str,
    config: TraceConfig,
    first: Option<Timestamp>,
    probes: u64,
}

impl Observer for Listed {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if let Disposition::OwnProbe(_) = disposition {
            self.first.get_or_insert(frame.at);
            self.probes += 1;
        }
    }
}

impl Row {
    fn of(watched: &Watched<Listed>) -> Self {
        let Watched { number, engine, observer, .. } = watched;
        let Listed { start, tool, ref config, first, probes } = *observer;
        let TraceConfig { source, target, probe, .. } = *config;
        let start = first.unwrap_or(start);
        Self {
            number: *number,
            start: start.known().map(calendar),
            start_ns: start.known().map(Timestamp::nanos),
            source,
            target,
            probe,
            probes,
            hops: engine.path().reported().last().map_or(0, |hop| hop.ttl),
            target_reached: engine.reached(),
            tool,
        }
    }
}

/// As RFC 3339 has it, to the microsecond, in UTC.
fn calendar(at: Timestamp) -> String {
    let moment = Calendar::from_nanosecond(i128::from(at.nanos())).unwrap_or_default();
    format!("{moment:.6}")
}

fn table(rows: &[Row]) -> String {
    let titles = ["#", "START", "SOURCE", "TARGET", "PROBE", "PROBES", "HOPS", "TOOL"];
    let mut lines = vec![titles.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.number.to_string(),
            row.start.clone().unwrap_or_else(|| "-".to_owned()),
            row.source.to_string(),
            row.target.to_string(),
            name(row.probe),
            row.probes.to_string(),
            row.hops.to_string(),
            row.tool.to_owned(),
        ]
    }));
    let width = |column: usize| lines.iter().filter_map(|l| l.get(column)).map(String::len).max();
    let widths: Vec<usize> = (0..titles.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn name(probe: ProbeType) -> String {
    match probe {
        ProbeType::Protocol(number) => format!("protocol {number}"),
        named => serde_json::to_value(named)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default(),
    }
}
