//! `rtrace replay FILE`: the reports of the traces in a recording.
//!
//! The file is read once for what it says of itself (configuration, names) or, if it says nothing, for
//! what its packets show; then once more for all its traces ([`together`]).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use super::args::{OutputOptions, ReplayArgs, TraceOptions};
use super::lacking::{self, Lacking};
use super::session::{Session, report_out};
use super::together::{self, Watched};
use super::{Status, complain, list, paths, write_bytes, write_out};
use crate::capture::{CaptureError, CaptureReader, Item};
use crate::driver::{NeverSent, Observer};
use crate::enrich::Annotations;
use crate::enrich::names::{self, Names};
use crate::privilege::files;
use crate::recording::Carried;
use crate::render::Form;
use crate::sandbox::{self, Profile};
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::endpoint::Endpoint;
use crate::trace::paths::{Paths, Plan};
use crate::trace::rounds::{self, Rounds};
use crate::trace::survey::{Found, PAIRS, PROBES, Survey, SurveyHints, TRACES, Wanted};
use crate::trace::{self, Disposition, Engine, Event, Idents, TraceConfig, Tracer};
use crate::untrusted::Untrusted;
use crate::wire::{Frame, LinkType};

/// How long whatever is looked up is waited for: nothing else is going on.
pub(super) const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// Of how many addresses the names in a recording are taken in: of each 255 octets at most.
const NAMES: usize = 1 << 17;

/// What a first reading of the file tells.
#[derive(Default)]
pub(super) struct Contents {
    carried: Option<Carried>,
    /// Why another configuration that it carries is not used.
    refused: Option<String>,
    names: HashMap<IpAddr, Option<Untrusted>>,
    names_left_out: bool,
    /// The names of interfaces, by the numbers that frames have.
    interfaces: BTreeMap<u32, Untrusted>,
    /// The traces that its packets show, if it does not carry the configuration of one.
    found: Vec<Found>,
    /// How many more there are.
    further: usize,
    overflowed: bool,
    packets: u64,
    /// How many replies of routers there are to probes of hosts of which it holds none.
    replies_alone: usize,
    lacking: Lacking,
    /// The last packet is not followed by what a run writes when it ends.
    torn: bool,
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
    /// The configuration that its probes were sent by.
    sent_by: TraceConfig,
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
            (Some((plan, first)), _) => Box::new(self.watch(plan, first)?),
            (None, Some(plan)) => Box::new(Paths::passive(config, plan)?),
            (None, None) => Box::new(Tracer::passive(config, self.idents.clone())?),
        })
    }

    /// What watches its rounds, from this one on.
    pub(super) fn watch(&self, plan: rounds::Plan, first: u64) -> anyhow::Result<Rounds> {
        let rounds = Rounds::passive_from(first, self.config.clone(), plan)?;
        Ok(rounds.sent_by(&self.sent_by))
    }
}

/// Runs the command. `refused` is why a map of all paths cannot be reported as it is asked for, if so.
pub fn run(args: &ReplayArgs, refused: Option<&str>) -> anyhow::Result<Status> {
    if args.list {
        return list::run(args);
    }
    let name = name_of(&args.file);
    let resolvers = args.lookups.resolvers(args.resolve, LOOKUP_WAIT)?;
    let (mut file, files) = (open(&args.file)?, args.lookups.open()?);
    sandbox::enter(&Profile { asks: resolvers.as_ref(), ..Profile::default() })?;
    let mut contents = read_through(reader(&mut file, &name)?, args.options.hints())?;
    let chosen = Chosen { target: args.target, number: args.trace };
    let mut traces = contents.traces(&name, &args.options, chosen);
    if traces.chosen.is_empty() {
        return Ok(Status::Failed);
    }
    let known = (!args.resolve).then(|| Names::shared(contents.names()));
    let (databases, resolvers) = (files.read()?, resolvers.as_ref());
    let mut annotations =
        args.lookups.annotations(known, &databases, resolvers, || (), LOOKUP_WAIT);
    annotations.interfaces = std::mem::take(&mut contents.interfaces);
    let annotations = Rc::new(RefCell::new(annotations));
    let joints = Joints::of(args.output.form(), traces.chosen.len());
    let mut reports = Vec::new();
    for (number, found) in std::mem::take(&mut traces.chosen) {
        let recorded = contents.recorded(found, &args.options);
        let report = Report::of((args, refused), &recorded, reports.is_empty(), &annotations)?;
        reports.push(Watched::new(number, recorded.engine()?, report));
    }
    write_out(joints.before, "the report")?;
    for report in &mut reports {
        report.observer.with(Session::begin);
    }
    let ended_by = together::watch(again(&mut file, &name)?, &mut traces, &mut reports)?;
    let mut status = Status::Reached;
    let mut torn = None;
    for (index, Watched { mut engine, mut observer, .. }) in reports.into_iter().enumerate() {
        let reported = observer.with(|session| {
            let status = session.conclude(&mut *engine);
            session.say_what_never_left(None);
            status
        });
        if torn.is_none() && (ended_by.is_some() || contents.is_torn()) {
            let last = contents.last.map_or(Timestamp::UNKNOWN, |(at, _)| at);
            torn = Some(lacking::after_the_end(&name, engine.path(), &observer.config, last));
        }
        status = status.max(reported);
        if let Some(written) = observer.written.take() {
            drop((observer, engine));
            write_out(if index == 0 { "" } else { joints.between }, "the report")?;
            if !write_bytes(&written.take(), "the report")? {
                return Ok(status);
            }
        }
    }
    write_out(joints.after, "the report")?;
    if let Some(error) = ended_by {
        complain(&error.to_string());
        if let CaptureError::Damaged { .. } = error {
            status = Status::Failed;
        }
    }
    if let Some(sentence) = torn {
        complain(&sentence);
    }
    Ok(status)
}

/// The file, from its beginning.
pub(super) fn again<'a>(
    file: &'a mut File,
    name: &str,
) -> anyhow::Result<CaptureReader<&'a mut File>> {
    file.rewind().with_context(|| format!("cannot read {name} a second time"))?;
    reader(file, name)
}

/// Reads a capture, whoever made it.
pub(super) fn reader<'a>(
    file: &'a mut File,
    name: &str,
) -> anyhow::Result<CaptureReader<&'a mut File>> {
    Ok(CaptureReader::new(file, name)?.finding_clock_steps())
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

/// The report of one trace. What has been looked up for one serves all.
struct Report {
    session: Session,
    config: TraceConfig,
    annotations: Rc<RefCell<Annotations>>,
    /// What is written once those before it are complete; the first is written as it goes.
    written: Option<Rc<RefCell<Vec<u8>>>>,
}

impl Report {
    fn of(
        (args, refused): (&ReplayArgs, Option<&str>),
        recorded: &Recorded,
        first: bool,
        annotations: &Rc<RefCell<Annotations>>,
    ) -> anyhow::Result<Self> {
        let Recorded { ref config, rounds, plan, numeric, extensions, back, .. } = *recorded;
        let misfit = || paths::misfit(args.output.form(), plan.is_some());
        if let Some(reason) = refused.filter(|_| plan.is_some()).map(str::to_owned).or_else(misfit)
        {
            bail!(reason);
        }
        let output = OutputOptions {
            numeric: args.output.numeric || numeric && !args.resolve,
            extensions: args.output.extensions || extensions,
            back: args.output.back || back,
            ..args.output
        };
        let written = (!first).then(Rc::default);
        let out: Box<dyn Write> = match &written {
            Some(written) => Box::new(Later(Rc::clone(written))),
            None => report_out(false),
        };
        let renderer = match (rounds, plan) {
            (None, None) => output.renderer(out),
            (None, Some(plan)) => paths::renderer(plan, output, out),
            (Some((plan, _)), _) => args.look.written(output)?.renderer(plan, out),
        };
        let nothing = Names::shared(Arc::default());
        let session = Session::with_renderer(config, renderer, nothing, args.resolve);
        Ok(Self { session, config: config.clone(), annotations: Rc::clone(annotations), written })
    }

    /// Does something with the session while it has what has been looked up.
    fn with<T>(&mut self, act: impl FnOnce(&mut Session) -> T) -> T {
        let mut annotations = self.annotations.borrow_mut();
        self.session.exchange(&mut annotations);
        let result = act(&mut self.session);
        self.session.exchange(&mut annotations);
        result
    }
}

impl Observer for Report {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &trace::Path) {
        self.session.frame(frame, disposition, path);
    }

    fn event(&mut self, event: Event, path: &trace::Path) {
        self.with(|session| session.event(event, path));
    }

    fn clock_step(&mut self, step: &ClockStep) {
        self.with(|session| session.clock_step(step));
    }

    fn never_sent(&mut self, so_far: NeverSent) {
        self.session.never_sent(so_far);
    }

    fn missed(&mut self, rounds: u64, more: u64) {
        self.session.missed(rounds, more);
    }

    fn wake(&mut self, path: &trace::Path) {
        self.with(|session| session.wake(path));
    }

    fn interrupted(&self) -> bool {
        self.session.interrupted()
    }

    fn cut(&mut self, at: Timestamp) {
        self.session.cut(at);
    }
}

/// Keeps what is written.
struct Later(Rc<RefCell<Vec<u8>>>);

impl Write for Later {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a recording says of itself, when and on what kind of link its last frame was captured, and by how much the clock was
/// set until then; nothing if it says nothing.
pub fn carried<R: Read>(
    reader: CaptureReader<R>,
) -> anyhow::Result<Option<(Carried, Timestamp, LinkType, Span)>> {
    let contents = read_through(reader, SurveyHints::default())?;
    let (last, offset) = (contents.last, contents.clock_offset);
    Ok(contents.carried.and_then(|carried| last.map(|(at, link)| (carried, at, link, offset))))
}

/// What messages call a recording.
pub(super) fn name_of(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

/// A file that can be read twice: stdin and pipes are copied to a temporary one first.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    if path == Path::new("-") {
        return copied(&mut io::stdin().lock(), &name_of(path));
    }
    let opened = files::read(path).with_context(|| format!("cannot open {}", path.display()));
    let mut file = opened?;
    let is_pipe = file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    if is_pipe { copied(&mut file, &name_of(path)) } else { Ok(file) }
}

/// By so many octets it is known whether what comes in can be read at all.
const FIRST: u64 = 4_096;

/// Whether these are the first octets of a capture, or of a JSON document.
fn may_be_read(first: &[u8]) -> bool {
    let is_document = matches!(first.trim_ascii_start().first(), Some(b'{' | b'[') | None);
    let magic = first.first_chunk::<4>().map(|magic| u32::from_be_bytes(*magic));
    let magics = [0xa1b2_c3d4, 0xd4c3_b2a1, 0xa1b2_3c4d, 0x4d3c_b2a1, 0x0a0d_0d0a];
    is_document || magic.is_some_and(|magic| magics.contains(&magic))
}

fn copied(from: &mut dyn Read, name: &str) -> anyhow::Result<File> {
    let copy = tempfile::tempfile().with_context(|| format!("cannot make a copy of {name}"));
    let mut copy = copy?;
    let mut first = Vec::new();
    let copying = || format!("cannot copy {name}");
    from.take(FIRST).read_to_end(&mut first).with_context(copying)?;
    copy.write_all(&first).with_context(copying)?;
    // What is neither a capture nor a document is not waited for to its end.
    if may_be_read(&first) {
        io::copy(from, &mut copy).with_context(copying)?;
    }
    copy.rewind().with_context(|| format!("cannot read the copy of {name}"))?;
    Ok(copy)
}

pub(super) fn read_through<R: Read>(
    mut reader: CaptureReader<R>,
    hints: SurveyHints,
) -> anyhow::Result<Contents> {
    let mut survey = Survey::with_hints(hints);
    let mut contents = Contents::default();
    loop {
        match reader.next() {
            Ok(Some(Item::Packet(frame))) => {
                contents.packets += 1;
                contents.lacking.note(&frame);
                contents.torn = true;
                contents.last = Some((frame.at, frame.link));
                if contents.carried.is_none() {
                    survey.handle_frame(&frame);
                }
            }
            Ok(Some(Item::Section { comments })) => {
                for carried in comments.iter().filter_map(|text| Carried::read(text)) {
                    contents.note_carried(carried);
                }
            }
            Ok(Some(Item::Name { address, name })) => contents.note_name(address, &name),
            Ok(Some(Item::ClockStep(step))) => {
                contents.clock_offset = contents.clock_offset.plus(step.by);
            }
            Ok(Some(Item::Statistics)) => contents.torn = false,
            Ok(Some(Item::Interrupted { .. } | Item::Rounds { .. } | Item::NeverSent { .. })) => {}
            Ok(None) => break,
            Err(error) if error.leaves_packets() => break,
            Err(error) => return Err(error.into()),
        }
    }
    contents.interfaces = reader.interfaces();
    if contents.carried.is_none() {
        contents.overflowed = survey.overflowed();
        contents.replies_alone = survey.replies_alone();
        (contents.found, contents.further) = survey.into_traces();
    }
    Ok(contents)
}

/// The traces of a recording that are meant, with their numbers in the list of all.
pub(super) struct Traces {
    pub chosen: Vec<(u32, Found)>,
    /// Whether they are those that packets show, and not the one that the recording tells of.
    pub surveyed: bool,
    /// Which of them all a frame may concern.
    pub endpoint: Endpoint,
}

impl Contents {
    /// The first configuration is that of the recording, unless it cannot be used.
    fn note_carried(&mut self, carried: Result<Carried, String>) {
        match carried {
            Ok(carried) => drop(self.carried.get_or_insert(carried)),
            Err(reason) => drop(self.refused.get_or_insert(reason)),
        }
    }

    /// Keeps a name, unless there are too many.
    fn note_name(&mut self, address: IpAddr, name: &str) {
        if self.names.len() < NAMES || self.names.contains_key(&address) {
            self.names.insert(address, Untrusted::from(name).host_name());
        } else {
            self.names_left_out = true;
        }
    }

    /// The names that it gives, which are then no longer here.
    pub(super) fn names(&mut self) -> names::Given {
        Arc::new(std::mem::take(&mut self.names))
    }

    /// The traces that are meant: that of which the recording carries the configuration, or those that its packets show.
    /// They are then no longer here. That there are none, or not all, is said.
    pub(super) fn traces(&mut self, name: &str, options: &TraceOptions, chosen: Chosen) -> Traces {
        self.say_limits(name);
        let traces = self.choose(options, chosen);
        if traces.chosen.is_empty() {
            complain(&self.nothing_found(name, chosen));
        }
        let alone = traces.chosen.iter().filter(|(_, found)| traces.surveyed && found.probes == 0);
        alone.for_each(|(_, found)| complain(&lacking::without_probes(name, &found.config)));
        traces
    }

    /// Whether it is a recording of a trace that does not end as one does. A watch may go on in another file.
    fn is_torn(&self) -> bool {
        self.torn && self.carried.as_ref().is_some_and(|carried| carried.rounds.is_none())
    }

    /// Says what was left out because there is too much of it.
    fn say_limits(&self, name: &str) {
        self.lacking.sentences(name, self.packets).iter().for_each(|it| complain(it));
        if self.overflowed {
            complain(&format!(
                "{name} holds more than {PROBES} probes, or probes between more than {PAIRS} pairs of addresses: \
                 the later ones are left out; extract the packets of one host first to see all of its traces"
            ));
        }
        if self.further > 0 {
            complain(&format!(
                "{name} holds {} traces: the first {TRACES} are looked at; split the file to see the others",
                TRACES + self.further
            ));
        }
        if let Some(reason) = self.refused.as_ref().filter(|_| self.carried.is_none()) {
            complain(&format!(
                "the configuration that {name} carries is not used ({reason}): what its packets show is reported"
            ));
        }
        if self.names_left_out {
            complain(&format!(
                "{name} has names of more than {NAMES} addresses: those of further ones are left out; \
                 --resolve asks for names anew"
            ));
        }
    }

    /// The first of the traces.
    pub(super) fn first(&mut self, name: &str) -> anyhow::Result<(u32, Recorded, Traces)> {
        self.say_limits(name);
        let (options, chosen) = (TraceOptions::default(), Chosen::default());
        let mut traces = self.choose(&options, chosen);
        let first = std::mem::take(&mut traces.chosen).into_iter().next();
        let (number, found) = first.with_context(|| self.nothing_found(name, chosen))?;
        Ok((number, self.recorded(found, &options), traces))
    }

    fn choose(&mut self, options: &TraceOptions, chosen: Chosen) -> Traces {
        let TraceOptions { source, sport: ident, .. } = *options;
        let wanted = Wanted { target: chosen.target, source, ident };
        let carried = self.carried.as_ref().map(|carried| Found {
            config: carried.trace.clone(),
            idents: Idents::One,
            start: Timestamp::default(),
            probes: 0,
            tool: "rtrace",
        });
        let surveyed = carried.is_none();
        let all = carried.map_or_else(|| std::mem::take(&mut self.found), |found| vec![found]);
        let mut endpoint = Endpoint::new();
        for found in &all {
            endpoint.add(&found.config.flow(), &found.idents);
        }
        let protocol = |found: &Found| {
            let flow = found.config.flow();
            let kind = options.kind.chosen();
            kind.is_none_or(|kind| kind.protocol(flow.family()) == flow.protocol())
        };
        let matches = |found: &Found| wanted.matches(&found.config.flow(), &found.idents);
        let chosen = (1..)
            .zip(all)
            .filter(|(number, _)| chosen.number.is_none_or(|only| only == *number))
            .filter(|(_, found)| matches(found) && protocol(found))
            .collect();
        Traces { chosen, surveyed, endpoint }
    }

    /// One of them, with what the recording and the options say of it.
    pub(super) fn recorded(&self, found: Found, options: &TraceOptions) -> Recorded {
        let Found { mut config, idents, .. } = found;
        let sent_by = config.clone();
        if let Some(probe) = options.kind.chosen() {
            config.probe = probe;
        }
        options.apply(&mut config);
        let carried = self.carried.as_ref().filter(|_| idents == Idents::One);
        Recorded {
            config,
            sent_by,
            idents,
            rounds: carried.and_then(|carried| Some((carried.rounds?, carried.first_round))),
            plan: carried.and_then(|carried| carried.paths),
            numeric: carried.is_some_and(|carried| carried.numeric),
            extensions: carried.is_some_and(|carried| carried.extensions),
            back: carried.is_some_and(|carried| carried.back),
        }
    }

    fn nothing_found(&self, name: &str, chosen: Chosen) -> String {
        let packets = self.packets;
        let to = chosen.target.map_or(String::new(), |target| format!(" to {target}"));
        if let Some(number) = chosen.number {
            return format!(
                "{name}: there is no trace {number}{to}: `rtrace replay --list` lists them"
            );
        }
        let alone = self.replies_alone;
        if alone > 0 {
            return format!(
                "{name}: no trace{to} found among {packets} packets: {alone} replies of routers are there without \
                 their probes, and not enough to tell the hops; capture what is sent, too"
            );
        }
        format!(
            "{name}: no trace{to} found among {packets} packets: is this a capture of a traceroute?"
        )
    }
}
