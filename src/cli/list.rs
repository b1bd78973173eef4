//! `rtrace replay --list`: one line per trace in a recording.
//!
//! How far a trace came is known only to what watches it as its replay would, of rounds or all paths if it is those; the
//! file is read once for all of them, and each sees only the frames between its two addresses and the ICMP errors
//! to its source.

use std::collections::HashMap;
use std::fs::File;
use std::net::IpAddr;

use jiff::Timestamp as Calendar;
use serde::Serialize;

use super::replay::Recorded;
use super::{Status, complain, write_out};
use crate::capture::{CaptureError, CaptureReader, Item};
use crate::probe::ProbeType;
use crate::render::Form;
use crate::time::Timestamp;
use crate::trace::{Disposition, Engine, TraceConfig};
use crate::wire::{Frame, ip, link};

/// One trace.
#[derive(Serialize)]
struct Row {
    number: u32,
    start: String,
    start_ns: i64,
    source: IpAddr,
    target: IpAddr,
    probe: ProbeType,
    probes: u64,
    hops: u8,
    target_reached: bool,
    tool: &'static str,
}

/// A trace that is to be listed: its number, and how it is replayed.
pub struct Listed {
    pub number: u32,
    pub start: Timestamp,
    pub tool: &'static str,
    pub recorded: Recorded,
}

/// Lists `traces`, which are in the file that `reader` reads.
pub fn run(traces: Vec<Listed>, reader: CaptureReader<File>, form: Form) -> anyhow::Result<Status> {
    let mut watched = Watched::default();
    for trace in traces {
        watched.add(trace)?;
    }
    watched.read(reader)?;
    let rows: Vec<Row> = watched.all.iter().map(Row::of).collect();
    let text =
        if form == Form::Json { serde_json::to_string_pretty(&rows)? + "\n" } else { table(&rows) };
    write_out(&text, "the list")?;
    Ok(Status::Reached)
}

/// Engines that watch the same frames.
#[derive(Default)]
struct Watched {
    all: Vec<Watch>,
    by_source: HashMap<IpAddr, Vec<usize>>,
}

/// One of them, and what it has seen: of rounds each is a trace to the engine.
struct Watch {
    trace: Listed,
    engine: Box<dyn Engine>,
    first: Option<Timestamp>,
    probes: u64,
}

impl Watched {
    fn add(&mut self, trace: Listed) -> anyhow::Result<()> {
        let (index, config) = (self.all.len(), &trace.recorded.config);
        self.by_source.entry(config.source).or_default().push(index);
        let engine = trace.recorded.engine()?;
        self.all.push(Watch { trace, engine, first: None, probes: 0 });
        Ok(())
    }

    /// Reads to the end of the file, or to where it was cut off.
    fn read(&mut self, mut reader: CaptureReader<File>) -> Result<(), CaptureError> {
        loop {
            match reader.next() {
                Ok(Some(Item::Packet(frame))) => self.show(&frame),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if error.leaves_packets() => {
                    complain(&error.to_string());
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.all.iter_mut().for_each(|it| it.engine.finish());
        Ok(())
    }

    fn show(&mut self, frame: &Frame<'_>) {
        let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) else { return };
        let Ok((header, _)) = ip::decode(datagram) else { return };
        let (from, to) = (header.source, header.destination);
        // What may be a probe of a trace or another's from the same port, and what may be a reply; on `lo` the latter are
        // both.
        let asked = self.by_source.get(&from).filter(|_| from != to);
        let answered = self.by_source.get(&to);
        for &index in asked.into_iter().chain(answered).flatten() {
            let Some(watch) = self.all.get_mut(index) else { continue };
            if let Disposition::OwnProbe(_) = watch.engine.handle_frame(frame) {
                watch.first.get_or_insert(frame.at);
                watch.probes += 1;
            }
            while watch.engine.poll_event().is_some() {}
        }
    }
}

impl Row {
    fn of(watch: &Watch) -> Self {
        let Listed { number, start, tool, recorded } = &watch.trace;
        let TraceConfig { source, target, probe, .. } = recorded.config;
        let start = watch.first.unwrap_or(*start);
        Self {
            number: *number,
            start: calendar(start),
            start_ns: start.nanos(),
            source,
            target,
            probe,
            probes: watch.probes,
            hops: watch.engine.path().reported().last().map_or(0, |hop| hop.ttl),
            target_reached: watch.engine.reached(),
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
            row.start.clone(),
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
