//! `rtrace diff BEFORE AFTER`: whether a path has changed, for people and for cron.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use super::args::DiffArgs;
use super::{Status, compared, replay, write_out};
use crate::compare::maps::{self, Map};
use crate::compare::rewrites::Quotes;
use crate::compare::{self, Trace, document};
use crate::driver::Observer;
use crate::trace::inspect::{Inspector, Value};
use crate::trace::{self, Disposition, TraceConfig};
use crate::wire::Frame;

/// Runs the command.
pub fn run(args: &DiffArgs) -> anyhow::Result<Status> {
    let (text, changed) = match (read(&args.before)?, read(&args.after)?) {
        (Read::Trace(before), Read::Trace(after)) => {
            of_one_target(before.target.address, after.target.address)?;
            let found = compare::compare(&before, &after);
            (written(&found, args.json, compared::trace)?, found.changed)
        }
        (Read::Map(before), Read::Map(after)) => {
            of_one_target(before.target.address, after.target.address)?;
            let found = maps::compare(&before, &after);
            (written(&found, args.json, compared::map)?, found.changed)
        }
        _ => bail!("one is of all paths, the other is not: compare two of one kind"),
    };
    write_out(&text, "the comparison")?;
    Ok(if changed { Status::NotReached } else { Status::Reached })
}

/// What can be compared.
enum Read {
    Trace(Box<Trace>),
    Map(Map),
}

fn read(path: &Path) -> anyhow::Result<Read> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let begins = bytes.trim_ascii_start().first();
    let (json, quotes) = if matches!(begins, Some(b'{' | b'[')) {
        (bytes, Quotes::default())
    } else {
        let mut quoted = Quoted::default();
        let (json, config) = replay::first_as_json(path, &mut quoted)?;
        (json, quoted.quotes(&config))
    };
    understood(&json, quotes).with_context(|| format!("cannot compare {}", path.display()))
}

fn understood(json: &[u8], quotes: Quotes) -> anyhow::Result<Read> {
    if document::format(json)? == maps::FORMAT {
        return Ok(Read::Map(Map::parse(json)?));
    }
    Ok(Read::Trace(Box::new(Trace::parse(json)?.with_quotes(quotes))))
}

fn of_one_target(before: IpAddr, after: IpAddr) -> anyhow::Result<()> {
    if before != after {
        bail!(
            "these are traces to different targets, {before} and {after}: compare two of one path"
        );
    }
    Ok(())
}

fn written<T: Serialize>(
    found: &T,
    json: bool,
    as_text: fn(&T) -> String,
) -> anyhow::Result<String> {
    if !json {
        return Ok(as_text(found));
    }
    Ok(serde_json::to_string_pretty(found).context("cannot write the comparison")? + "\n")
}

/// Looks at the quotes of a recording while it is replayed.
#[derive(Default)]
struct Quoted {
    inspector: Inspector,
}

impl Observer for Quoted {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &trace::Path) {
        self.inspector.frame(frame, disposition, path);
    }
}

impl Quoted {
    fn quotes(&self, config: &TraceConfig) -> Quotes {
        let mut quotes = Quotes::default();
        for it in self.inspector.comparisons() {
            let hop = Inspector::hop(it, config);
            for field in &it.compared {
                let became = it.differences.iter().find(|difference| difference.field == *field);
                quotes.note(field, hop, became.map(|difference| shown(&difference.quoted)));
            }
        }
        quotes
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Address(address) => address.to_string(),
        Value::Octets(octets) => octets.iter().fold(String::new(), |mut hex, octet| {
            let _ = write!(hex, "{octet:02x}");
            hex
        }),
    }
}
