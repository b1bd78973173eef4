//! `rtrace diff BEFORE AFTER`: whether a path has changed, for people and for cron.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek};
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use super::contents::{self, Recorded};
use super::flags::DiffArgs;
use super::together::{self, Engines};
use super::{Status, compared, complain, twice, write_out};
use crate::compare::maps::{self, Map};
use crate::compare::rewrites::Quotes;
use crate::compare::{self, Trace, document};
use crate::driver::Observer;
use crate::enrich::Annotations;
use crate::enrich::names::Names;
use crate::render::json::Json;
use crate::render::paths::{self, PathsReport};
use crate::render::text::Style;
use crate::render::{Form, Renderer, View};
use crate::sandbox::{self, Profile};
use crate::trace::endpoint::TraceId;
use crate::trace::inspect::Inspector;
use crate::trace::survey::SurveyHints;
use crate::trace::{self, Disposition, Event, Measurement, TraceConfig};
use crate::wire::Frame;

/// Once the rounds of a recording have more probes than this, no further ones are compared.
const MOST_PROBES: usize = 100_000;
/// No trace, and no round, with more probes than this is compared: what is kept of it would take more than 100 MB.
const MOST_OF_ONE: u64 = 12_000;

/// A document begins within this number of octets.
const BLANKS: u64 = 4_096;

/// Runs the command.
pub fn run(args: &DiffArgs) -> anyhow::Result<Status> {
    let stdin = |path: &Path| path == Path::new("-");
    if stdin(&args.before) && stdin(&args.after) {
        bail!("stdin can be read once: name a file for one of the two");
    }
    let open = |path| -> anyhow::Result<Named<'_>> { Ok((path, twice::open(path)?)) };
    let (before, after) = (open(&args.before)?, open(&args.after)?);
    sandbox::enter(&Profile::default())?;
    let json = args.form.form() == Form::Json;
    let (text, changed) = match (read(before)?, read(after)?) {
        (Read::Trace(before), Read::Trace(after)) => {
            of_one_target(before.target.address, after.target.address)?;
            let found = compare::compare(&before, &after);
            (written(&found, json, compared::trace)?, found.changed)
        }
        (Read::Map(before), Read::Map(after)) => {
            of_one_target(before.target.address, after.target.address)?;
            let found = maps::compare(&before, &after);
            (written(&found, json, compared::map)?, found.changed)
        }
        (before, _) => {
            let names = [&args.before, &args.after].map(|path| twice::name_of(path));
            let [one, other] = names;
            let (of_all, of_one) =
                if let Read::Map(_) = before { (one, other) } else { (other, one) };
            bail!("{of_all} has all paths and {of_one} only one: compare two of the same kind");
        }
    };
    write_out(&text, "the comparison")?;
    Ok(if changed { Status::NotReached } else { Status::Reached })
}

/// A file that is open, and what it is called.
type Named<'a> = (&'a Path, File);

/// What can be compared.
enum Read {
    Trace(Box<Trace>),
    Map(Box<Map>),
}

fn read((path, mut file): Named<'_>) -> anyhow::Result<Read> {
    let name = twice::name_of(path);
    let read = is_document(&mut file)
        .and_then(|is| if is { documented(&mut file) } else { recorded(&mut file, &name) });
    read.with_context(|| format!("cannot compare {name}"))
}

/// Whether a file begins like a JSON document.
fn is_document(file: &mut File) -> anyhow::Result<bool> {
    let mut first = Vec::new();
    file.take(BLANKS).read_to_end(&mut first)?;
    file.rewind()?;
    Ok(matches!(first.trim_ascii_start().first(), Some(b'{' | b'[')))
}

fn documented(file: &mut File) -> anyhow::Result<Read> {
    let mut json = Vec::new();
    file.take(document::LONGEST + 1).read_to_end(&mut json)?;
    if json.len() as u64 > document::LONGEST {
        bail!(
            "a JSON document of more than {} MiB is not read: compare traces with fewer probes",
            document::LONGEST >> 20
        );
    }
    if document::format(&json)? == document::MAP {
        return Ok(Read::Map(Box::new(Map::parse(&json)?)));
    }
    Ok(Read::Trace(Box::new(Trace::parse(&json)?)))
}

/// What a recording holds: its first trace, or all rounds of it, or the map of all paths.
fn recorded(file: &mut File, name: &str) -> anyhow::Result<Read> {
    let mut contents = contents::read_through(twice::reader(file, name)?, SurveyHints::default())?;
    let (number, recorded, mut traces) = contents.first(name)?;
    let engine = recorded.engine()?;
    let Recorded { config, measurement, .. } = recorded;
    let plan = match measurement {
        Measurement::Trace | Measurement::PathMtu | Measurement::Rounds(_) => None,
        Measurement::Paths(plan) => Some(plan),
    };
    let map = plan.is_some();
    let mut joined =
        Joined { quoted: Quoted::default(), config, trace: None, left_out: 0, longest: 0, map };
    let mut engines = Engines::from([(TraceId::of_number(number), engine)]);
    let again = twice::again(file, name)?;
    if let Some(error) = together::watch(name, again, &mut traces, &mut engines, &mut joined)? {
        complain(&error.to_string());
    }
    let Joined { quoted, config, trace, left_out, longest, .. } = joined;
    if longest > MOST_OF_ONE && plan.is_none() {
        bail!(
            "a trace in it has more than {MOST_OF_ONE} probes, which are not compared: record one with fewer"
        );
    }
    if left_out > 0 {
        complain(&format!(
            "{name}: without its last {left_out} rounds: those before have more than {MOST_PROBES} probes"
        ));
    }
    if let Some(plan) = plan {
        let mut json = Vec::new();
        let nameless = nameless();
        let engine = engines.values().next().context("nothing of it was recorded")?;
        let view = View::of(&config, engine.path(), &nameless);
        PathsReport::new(&mut json, paths::Form::Json, false, plan).end(view)?;
        return Ok(Read::Map(Box::new(Map::parse(&json)?)));
    }
    let trace = trace.context("no round of it was recorded")?;
    Ok(Read::Trace(Box::new(trace.with_quotes(quoted.quotes(&config)))))
}

fn nameless() -> Annotations {
    Names::fixed(HashMap::<IpAddr, String>::new()).into()
}

/// Makes one trace of all rounds.
struct Joined {
    quoted: Quoted,
    config: TraceConfig,
    trace: Option<Trace>,
    /// Rounds that are not part of it.
    left_out: u64,
    /// The most probes that one of them has.
    longest: u64,
    /// Whether it is a map of all paths.
    map: bool,
}

impl Observer for Joined {
    fn frame(
        &mut self,
        id: TraceId,
        frame: &Frame<'_>,
        disposition: Disposition,
        path: &trace::Path,
    ) {
        self.longest = self.longest.max(path.totals.sent);
        self.quoted.frame(id, frame, disposition, path);
    }

    fn interrupted(&self) -> bool {
        self.longest > MOST_OF_ONE && !self.map
    }

    fn event(&mut self, _: TraceId, event: Event, path: &trace::Path) {
        if event != Event::Ended {
            return;
        }
        if self.trace.as_ref().is_some_and(|trace| trace.probes() > MOST_PROBES) {
            self.left_out += 1;
            return;
        }
        if self.longest > MOST_OF_ONE {
            return;
        }
        let mut json = Vec::new();
        let nameless = nameless();
        let view = View::of(&self.config, path, &nameless);
        let written = Json::new(&mut json, Style::default()).end(view);
        // What was just written is of the form.
        let Some(round) = written.ok().and_then(|()| Trace::parse(&json).ok()) else { return };
        match &mut self.trace {
            Some(trace) => trace.join(round),
            first => *first = Some(round),
        }
    }
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
    fn frame(
        &mut self,
        _: TraceId,
        frame: &Frame<'_>,
        disposition: Disposition,
        path: &trace::Path,
    ) {
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
                quotes.note(field, hop, became.map(|difference| difference.quoted.to_string()));
            }
        }
        quotes
    }
}
