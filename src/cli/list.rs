//! `rtrace replay --list`: one line per trace in a recording.
//!
//! How far a trace came is known only to what watches it as its replay would, of rounds or all paths if it is those;
//! each file is read once more for all of its traces.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path as FilePath, PathBuf};

use jiff::Timestamp as Calendar;
use serde::Serialize;

use super::contents::{self, Chosen};
use super::flags::ReplayArgs;
use super::together::{self, Each, Engines};
use super::{Status, complain, in_one_line, twice, write_out};
use crate::driver::Observer;
use crate::probe::ProbeType;
use crate::render::Form;
use crate::sandbox::{self, Profile};
use crate::time::Timestamp;
use crate::trace::endpoint::TraceId;
use crate::trace::{Disposition, Engine, Path, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::Frame;

/// One trace.
#[derive(Serialize)]
struct Row {
    /// The recording that it is in, if several are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
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
    /// The numbers of the other traces of its run, which have other source addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    same_run: Vec<usize>,
}

/// Lists the traces of recordings. One that cannot be read is said, and the others are listed all the same.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<Status> {
    let paths = || std::iter::once(&args.file).chain(&args.further);
    let opened: Vec<(&PathBuf, anyhow::Result<File>)> =
        paths().map(|path| (path, twice::open(path))).collect();
    sandbox::enter(&Profile::default())?;
    let (mut rows, mut status) = (Vec::new(), Status::Reached);
    for (path, file) in opened {
        match file.and_then(|file| of_file(args, path, file)) {
            Ok(found) => {
                status = if found.is_empty() { Status::Failed } else { status };
                rows.extend(found);
            }
            Err(error) if args.further.is_empty() => return Err(error),
            Err(error) => {
                complain(&in_one_line(&error));
                status = Status::Failed;
            }
        }
    }
    let json = args.output.form() == Form::Json;
    let text = match (json, rows.is_empty()) {
        (_, true) => return Ok(status),
        (true, _) => serde_json::to_string_pretty(&rows)? + "\n",
        (false, _) => table(&rows),
    };
    write_out(&text, "the list")?;
    Ok(status)
}

/// The traces of one recording; that there are none is said.
fn of_file(args: &ReplayArgs, path: &FilePath, mut file: File) -> anyhow::Result<Vec<Row>> {
    let name = twice::name_of(path);
    let reader = twice::reader(&mut file, &name)?;
    let mut contents = contents::read_through(reader, args.options.hints())?;
    let chosen = Chosen { target: args.target, number: None };
    let mut traces = contents.traces(&name, &args.options, chosen);
    let (mut engines, mut all) = (Engines::new(), Each(BTreeMap::new()));
    for (number, found) in std::mem::take(&mut traces.chosen) {
        let (start, tool) = (found.start, found.tool.unwrap_or("unknown"));
        let same_run = found.same_run.iter().map(|place| place + 1).collect();
        let recorded = contents.recorded(found, &args.options);
        engines.insert(TraceId::of_number(number), recorded.engine()?);
        let config = recorded.config;
        let listed = Listed { start, tool, same_run, config, first: None, probes: 0 };
        all.0.insert(TraceId::of_number(number), listed);
    }
    let again = twice::again(&mut file, &name)?;
    if let Some(error) = together::watch(&name, again, &mut traces, &mut engines, &mut all)? {
        complain(&error.to_string());
    }
    let file = (!args.further.is_empty()).then_some(name);
    let listed = all.0.iter().zip(engines.values());
    Ok(listed.map(|((id, it), engine)| Row::of(*id, it, &**engine, file.clone())).collect())
}

/// A trace to list, and its engine: each round is a trace of its own there.
struct Listed {
    start: Option<Timestamp>,
    tool: &'static str,
    same_run: Vec<usize>,
    config: TraceConfig,
    first: Option<Timestamp>,
    probes: u64,
}

impl Observer for Listed {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if let Disposition::OwnProbe(_) = disposition {
            self.first.get_or_insert(frame.at);
            self.probes += 1;
        }
    }
}

impl Row {
    fn of(id: TraceId, listed: &Listed, engine: &dyn Engine, file: Option<String>) -> Self {
        let Listed { start, tool, ref same_run, ref config, first, probes } = *listed;
        let TraceConfig { source, target, probe, .. } = *config;
        let start = first.or(start).and_then(Timestamp::known);
        Self {
            file,
            number: id.number(),
            start: start.map(calendar),
            start_ns: start.map(Timestamp::nanos),
            source,
            target,
            probe,
            probes,
            hops: engine.path().reported().last().map_or(0, |hop| hop.ttl),
            target_reached: engine.reached(),
            tool,
            same_run: same_run.clone(),
        }
    }
}

/// A time in the format of RFC 3339, to the microsecond, in UTC.
fn calendar(at: Timestamp) -> String {
    let moment = Calendar::from_nanosecond(i128::from(at.nanos())).unwrap_or_default();
    format!("{moment:.6}")
}

fn table(rows: &[Row]) -> String {
    let titles = ["FILE", "#", "START", "SOURCE", "TARGET", "PROBE", "PROBES", "HOPS", "TOOL"];
    let mut lines = vec![titles.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.file.as_deref().map(|file| Untrusted::from(file).shown()).unwrap_or_default(),
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
    let several = rows.iter().any(|row| row.file.is_some());
    let first = usize::from(!several);
    let width = |column: usize| {
        lines.iter().filter_map(|l| l.get(column)).map(|it| it.chars().count()).max()
    };
    let widths: Vec<usize> = (0..titles.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).skip(first);
        let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
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
