//! `rtrace replay FILE`: the report of a recorded trace.
//!
//! The file is read twice: once for what it says of itself (configuration, names) or, if it says
//! nothing, for what its packets show; then once more as the link of a passive tracer.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::args::{OutputOptions, ReplayArgs, TraceOptions};
use super::session::Session;
use super::{Status, complain};
use crate::capture::{CaptureError, CaptureReader, Item};
use crate::enrich::names::Names;
use crate::link::replay::ReplayLink;
use crate::recording::Carried;
use crate::trace::survey::{Survey, Wanted};
use crate::trace::{Idents, TraceConfig, Tracer};

/// What a first reading of the file tells.
struct Contents {
    carried: Option<Carried>,
    names: HashMap<IpAddr, String>,
    survey: Survey,
    packets: u64,
}

/// Runs the command.
pub fn run(args: &ReplayArgs) -> anyhow::Result<Status> {
    let name = args.file.display().to_string();
    let mut file = open(&args.file)?;
    let contents = read_through(CaptureReader::new(&mut file, &name)?)?;
    let Some((config, output)) = choose(args, &contents) else {
        complain(&nothing_found(&name, contents.packets, args.target));
        return Ok(Status::NotReached);
    };
    config.check()?;

    file.rewind().with_context(|| format!("cannot read {name} a second time"))?;
    let mut link = ReplayLink::new(CaptureReader::new(file, &name)?);
    let mut tracer = Tracer::passive(config.clone(), Idents::One)?;
    let names = if args.resolve {
        Names::new(|| (), Duration::from_secs(5))
    } else {
        Names::fixed(contents.names)
    };
    let mut session = Session::new(&config, output, names, args.resolve, false);
    let status = session.run(&mut tracer, &mut link);
    if let Some(truncated) = link.truncated() {
        complain(&truncated.to_string());
    }
    Ok(status)
}

/// A file that can be read twice: stdin is copied to a temporary one first.
fn open(path: &Path) -> anyhow::Result<File> {
    if path != Path::new("-") {
        return File::open(path).with_context(|| format!("cannot open {}", path.display()));
    }
    let mut copy = tempfile::tempfile().context("cannot make a temporary file for stdin")?;
    io::copy(&mut io::stdin().lock(), &mut copy).context("cannot copy stdin")?;
    copy.rewind().context("cannot read the copy of stdin")?;
    Ok(copy)
}

fn read_through<R: Read>(mut reader: CaptureReader<R>) -> anyhow::Result<Contents> {
    let mut contents =
        Contents { carried: None, names: HashMap::new(), survey: Survey::new(), packets: 0 };
    loop {
        match reader.next() {
            Ok(Some(Item::Packet(frame))) => {
                contents.packets += 1;
                if contents.carried.is_none() {
                    contents.survey.handle_frame(&frame);
                }
            }
            Ok(Some(Item::Section { comments })) => {
                let mut found = comments.iter().filter_map(|text| Carried::from_comment(text));
                contents.carried = contents.carried.or_else(|| found.next());
            }
            Ok(Some(Item::Name { address, name })) => {
                contents.names.insert(address, name);
            }
            Ok(None) | Err(CaptureError::Truncated { .. }) => return Ok(contents),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The configuration that the recording carries or its packets show, with what was asked for on the
/// command line in its place.
fn choose(args: &ReplayArgs, contents: &Contents) -> Option<(TraceConfig, OutputOptions)> {
    let OutputOptions { mut numeric, mut extensions, .. } = args.output;
    let TraceOptions { source, sport: ident, .. } = args.options;
    let wanted = Wanted { target: args.target, source, ident };
    let carried = contents.carried.as_ref().filter(|it| wanted.matches(&it.trace.flow()));
    let mut config = match carried {
        Some(carried) => {
            numeric |= carried.numeric && !args.resolve;
            extensions |= carried.extensions;
            carried.trace.clone()
        }
        None => contents.survey.trace(&wanted)?,
    };
    if let Some(probe) = args.options.kind.chosen() {
        config.probe = probe;
    }
    args.options.apply(args.packet_len, &mut config);
    Some((config, OutputOptions { numeric, extensions, ..args.output }))
}

fn nothing_found(name: &str, packets: u64, target: Option<IpAddr>) -> String {
    let to = target.map_or(String::new(), |target| format!(" to {target}"));
    format!(
        "{name}: no trace{to} found among {packets} packets: is this a capture of a traceroute?"
    )
}
