//! `rtrace replay FILE`: the reports of the traces in a recording.
//!
//! The file is read once for what it says of itself (configuration, names) or, if it says nothing, for
//! what its packets show; then once more per trace as the link of a passive tracer.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::args::{OutputOptions, ReplayArgs, TraceOptions};
use super::list::Listed;
use super::session::{Session, report_out};
use super::{Status, complain, list, paths, write_out};
use crate::capture::{CaptureError, CaptureReader, Item};
use crate::enrich::Annotations;
use crate::enrich::names::Names;
use crate::link::replay::ReplayLink;
use crate::recording::Carried;
use crate::render::Form;
use crate::time::{Span, Timestamp};
use crate::trace::paths::{Paths, Plan};
use crate::trace::rounds::{self, Rounds};
use crate::trace::survey::{Found, Survey, Wanted};
use crate::trace::{Engine, Idents, TraceConfig, Tracer};
use crate::wire::LinkType;

/// How long whatever is looked up is waited for: nothing else is going on.
pub(super) const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// What a first reading of the file tells.
pub(super) struct Contents {
    carried: Option<Carried>,
    pub(super) names: HashMap<IpAddr, String>,
    survey: Survey,
    packets: u64,
    /// By how much the clock was set meanwhile.
    clock_offset: Span,
    /// When the last of them was captured, and on what kind of link.
    last: Option<(Timestamp, LinkType)>,
}

/// Which of the traces are meant; what is `None` may be anything.
#[derive(Clone, Copy, Default)]
pub(super) struct Chosen {
    pub target: Option<IpAddr>,
    pub number: Option<u32>,
}

/// A trace as it is to be replayed.
pub(super) struct Recorded {
    pub config: TraceConfig,
    pub idents: Idents,
    /// How often it was repeated, if it was, and with which round it begins.
    pub rounds: Option<(rounds::Plan, u64)>,
    /// How all paths were looked for, if they were.
    pub plan: Option<Plan>,
    /// Whether it was reported without names, with extensions, and with ways back.
    pub numeric: bool,
    pub extensions: bool,
    pub back: bool,
}

impl Recorded {
    /// What watches it.
    pub(super) fn engine(&self) -> anyhow::Result<Box<dyn Engine>> {
        let config = self.config.clone();
        Ok(match (self.rounds, self.plan) {
            (Some((plan, first)), _) => Box::new(Rounds::passive_from(first, config, plan)?),
            (None, Some(plan)) => Box::new(Paths::passive(config, plan)?),
            (None, None) => Box::new(Tracer::passive(config, self.idents.clone())?),
        })
    }
}

/// Runs the command. `refused` is why a map of all paths cannot be reported as it is asked for, if so.
pub fn run(args: &ReplayArgs, refused: Option<&str>) -> anyhow::Result<Status> {
    let name = args.file.display().to_string();
    let mut file = open(&args.file)?;
    let contents =
        read_through(CaptureReader::new(&mut file, &name)?, args.options.first_ttl.unwrap_or(0))?;
    let chosen = Chosen { target: args.target, number: args.trace };
    let traces = contents.traces(&name, &args.options, chosen);
    if traces.is_empty() {
        return Ok(Status::NotReached);
    }
    let again = |file: &mut File| {
        file.rewind().with_context(|| format!("cannot read {name} a second time"))
    };
    if args.list {
        again(&mut file)?;
        let listed = |(number, found): (u32, Found)| Listed {
            number,
            start: found.start,
            tool: found.tool,
            recorded: contents.recorded(found, &args.options),
        };
        let traces = traces.into_iter().map(listed).collect();
        return list::run(traces, CaptureReader::new(file, &name)?, args.output.form());
    }
    let names = if args.resolve {
        args.lookups.names(|| (), LOOKUP_WAIT)
    } else {
        Names::fixed(contents.names.clone())
    };
    let mut annotations = args.lookups.open()?.annotate(names, || (), LOOKUP_WAIT)?;
    let mut status = Status::Reached;
    let joints = Joints::of(args.output.form(), traces.len());
    for (index, (_, found)) in traces.into_iter().enumerate() {
        let joint = if index == 0 { joints.before } else { joints.between };
        write_out(joint, "the report")?;
        again(&mut file)?;
        let link = ReplayLink::new(CaptureReader::new(&mut file, &name)?);
        let reported;
        (reported, annotations) = report((args, refused), &contents, found, link, annotations)?;
        status = status.max(reported);
    }
    write_out(joints.after, "the report")?;
    Ok(status)
}

/// What is written around several reports: texts are parted by an empty line, JSON documents are one
/// array, and forms that are made of lines follow one another.
#[derive(Default)]
struct Joints {
    before: &'static str,
    between: &'static str,
    after: &'static str,
}

impl Joints {
    fn of(form: Form, reports: usize) -> Self {
        match form {
            Form::Text => Self { between: "\n", ..Self::default() },
            Form::Json if reports > 1 => Self { before: "[\n", between: ",\n", after: "]\n" },
            _ => Self::default(),
        }
    }
}

/// Replays one trace. What has been looked up for it serves those that follow.
fn report(
    (args, refused): (&ReplayArgs, Option<&str>),
    contents: &Contents,
    found: Found,
    mut link: ReplayLink<&mut File>,
    annotations: Annotations,
) -> anyhow::Result<(Status, Annotations)> {
    let recorded = contents.recorded(found, &args.options);
    let Recorded { ref config, rounds, plan, numeric, extensions, back, .. } = recorded;
    let misfit = || paths::misfit(args.output.form(), plan.is_some());
    if let Some(reason) = refused.filter(|_| plan.is_some()).map(str::to_owned).or_else(misfit) {
        bail!(reason);
    }
    let output = OutputOptions {
        numeric: args.output.numeric || numeric && !args.resolve,
        extensions: args.output.extensions || extensions,
        back: args.output.back || back,
        ..args.output
    };
    let out = || report_out(false);
    let renderer = match (rounds, plan) {
        (None, None) => output.renderer(out()),
        (None, Some(plan)) => paths::renderer(plan, output, out()),
        (Some((plan, _)), _) => args.look.written(output)?.renderer(plan, out()),
    };
    let mut engine = recorded.engine()?;
    let mut session = Session::with_renderer(config, renderer, annotations, args.resolve);
    let mut status = session.run(&mut *engine, &mut link);
    if let Some(error) = link.ended_by() {
        complain(&error.to_string());
        if let CaptureError::Damaged { .. } = error {
            status = Status::Failed;
        }
    }
    Ok((status, session.into_annotations()))
}

/// What a recording says of itself, when and on what kind of link its last frame was captured, and by how much the clock was
/// set until then; nothing if it says nothing.
pub fn carried<R: Read>(
    reader: CaptureReader<R>,
) -> anyhow::Result<Option<(Carried, Timestamp, LinkType, Span)>> {
    let contents = read_through(reader, 0)?;
    let (last, offset) = (contents.last, contents.clock_offset);
    Ok(contents.carried.and_then(|carried| last.map(|(at, link)| (carried, at, link, offset))))
}

/// A file that can be read twice: stdin and pipes are copied to a temporary one first.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    if path == Path::new("-") {
        return copied(&mut io::stdin().lock(), "stdin");
    }
    let opened = File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let mut file = opened?;
    let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    if is_pipe { copied(&mut file, &path.display().to_string()) } else { Ok(file) }
}

fn copied(from: &mut dyn Read, name: &str) -> anyhow::Result<File> {
    let copy = tempfile::tempfile().with_context(|| format!("cannot make a copy of {name}"));
    let mut copy = copy?;
    io::copy(from, &mut copy).with_context(|| format!("cannot copy {name}"))?;
    copy.rewind().with_context(|| format!("cannot read the copy of {name}"))?;
    Ok(copy)
}

pub(super) fn read_through<R: Read>(
    mut reader: CaptureReader<R>,
    first_ttl: u8,
) -> anyhow::Result<Contents> {
    let survey = Survey::from_ttl(first_ttl);
    let mut contents = Contents {
        carried: None,
        names: HashMap::new(),
        survey,
        packets: 0,
        clock_offset: Span::ZERO,
        last: None,
    };
    loop {
        match reader.next() {
            Ok(Some(Item::Packet(frame))) => {
                contents.packets += 1;
                contents.last = Some((frame.at, frame.link));
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
            Ok(Some(Item::ClockStep(step))) => {
                contents.clock_offset = contents.clock_offset.plus(step.by);
            }
            Ok(Some(Item::Interrupted { .. } | Item::Rounds { .. })) => {}
            Ok(None) => return Ok(contents),
            Err(error) if error.leaves_packets() => return Ok(contents),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Contents {
    /// The traces that are meant, with their numbers in the list of all: that of which the recording carries
    /// the configuration, or those that its packets show. That there are none, or not all, is said.
    pub(super) fn traces(
        &self,
        name: &str,
        options: &TraceOptions,
        chosen: Chosen,
    ) -> Vec<(u32, Found)> {
        if self.survey.overflowed() {
            complain(&format!(
                "{name} holds more probes than are looked at: the later ones are left out"
            ));
        }
        let traces = self.choose(options, chosen);
        if traces.is_empty() {
            complain(&nothing_found(name, chosen, self.packets));
        }
        traces
    }

    /// The first of the traces.
    pub(super) fn first(&self, name: &str) -> anyhow::Result<Recorded> {
        let (options, chosen) = (TraceOptions::default(), Chosen::default());
        let first = self.choose(&options, chosen).into_iter().next();
        let (_, found) = first.with_context(|| nothing_found(name, chosen, self.packets))?;
        Ok(self.recorded(found, &options))
    }

    fn choose(&self, options: &TraceOptions, chosen: Chosen) -> Vec<(u32, Found)> {
        let TraceOptions { source, sport: ident, .. } = *options;
        let wanted = Wanted { target: chosen.target, source, ident };
        let carried = self.carried.as_ref().map(|carried| Found {
            config: carried.trace.clone(),
            idents: Idents::One,
            start: Timestamp::default(),
            probes: 0,
            tool: "rtrace",
        });
        let all = carried.map_or_else(|| self.survey.traces(), |found| vec![found]);
        let protocol = |found: &Found| {
            let flow = found.config.flow();
            let kind = options.kind.chosen();
            kind.is_none_or(|kind| kind.protocol(flow.family()) == flow.protocol())
        };
        let matches = |found: &Found| wanted.matches(&found.config.flow(), &found.idents);
        (1..)
            .zip(all)
            .filter(|(number, _)| chosen.number.is_none_or(|only| only == *number))
            .filter(|(_, found)| matches(found) && protocol(found))
            .collect()
    }

    /// One of them, with what the recording and the options say of it.
    pub(super) fn recorded(&self, found: Found, options: &TraceOptions) -> Recorded {
        let Found { mut config, idents, .. } = found;
        if let Some(probe) = options.kind.chosen() {
            config.probe = probe;
        }
        options.apply(&mut config);
        let carried = self.carried.as_ref().filter(|_| idents == Idents::One);
        Recorded {
            config,
            idents,
            rounds: carried.and_then(|carried| Some((carried.rounds?, carried.first_round))),
            plan: carried.and_then(|carried| carried.paths),
            numeric: carried.is_some_and(|carried| carried.numeric),
            extensions: carried.is_some_and(|carried| carried.extensions),
            back: carried.is_some_and(|carried| carried.back),
        }
    }
}

fn nothing_found(name: &str, chosen: Chosen, packets: u64) -> String {
    let to = chosen.target.map_or(String::new(), |target| format!(" to {target}"));
    if let Some(number) = chosen.number {
        return format!(
            "{name}: there is no trace {number}{to}: `rtrace replay --list` lists them"
        );
    }
    format!(
        "{name}: no trace{to} found among {packets} packets: is this a capture of a traceroute?"
    )
}
