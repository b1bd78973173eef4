//! What a first reading of a recording tells: what it says of itself (configuration, names) or, if it says nothing, the
//! traces that its packets show. What it lacks is said.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;

use super::complain;
use super::flags::TraceOptions;
use super::lacking::{self, Lacking, OverUplinks};
use crate::capture::{CaptureReader, Item};
use crate::enrich::names;
use crate::recording::{Presentation, RecordingMetadata};
use crate::render::counted;
use crate::time::{Span, Timestamp};
use crate::trace::endpoint::Index;
use crate::trace::rounds::{self, Rounds};
use crate::trace::survey::{Found, PAIRS, PROBES, Survey, SurveyHints, TRACES, Wanted};
use crate::trace::{self, Engine, Measurement, ProbeSelector, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::LinkType;

/// The most addresses whose names are read from a recording, at most 255 octets each.
const NAMES: usize = 1 << 17;

/// What a first reading of the file tells.
#[derive(Default)]
pub(super) struct Contents {
    /// The traces that it tells of, each with its own configuration: those of its first section.
    carried: Vec<RecordingMetadata>,
    /// Why another configuration that it carries is not used.
    refused: Option<String>,
    names: HashMap<IpAddr, Option<Untrusted>>,
    names_left_out: bool,
    /// The names of interfaces, by the numbers that frames have.
    pub(super) interfaces: BTreeMap<u32, Untrusted>,
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
    pub(super) last: Option<(Timestamp, LinkType)>,
}

/// Which of the traces are meant; what is `None` may be anything.
#[derive(Clone, Copy, Default)]
pub(super) struct Chosen {
    pub target: Option<IpAddr>,
    pub number: Option<u32>,
}

/// A trace to replay.
pub(super) struct Recorded {
    pub config: TraceConfig,
    pub measurement: Measurement,
    /// How it was run.
    pub run: trace::RecordedRun,
    /// How its report was asked for.
    pub look: Presentation,
}

impl Recorded {
    /// What watches it.
    pub(super) fn engine(&self) -> anyhow::Result<Box<dyn Engine>> {
        Ok(self.measurement.passive(self.config.clone(), self.run.clone())?)
    }

    /// What watches its rounds, from the first that was recorded.
    pub(super) fn rounds(&self, plan: rounds::Plan) -> anyhow::Result<Rounds> {
        let rounds = Rounds::passive_from(self.run.first_round, self.config.clone(), plan)?;
        Ok(rounds.sent_by(&self.run.sent_by))
    }
}

/// What a recording says of itself, when and on what kind of link its last frame was captured, and by how much the clock was
/// set until then; nothing if it says nothing.
pub fn carried<R: Read>(
    reader: CaptureReader<R>,
) -> anyhow::Result<Option<(RecordingMetadata, Timestamp, LinkType, Span)>> {
    let contents = read_through(reader, SurveyHints::default())?;
    let (last, offset) = (contents.last, contents.clock_offset);
    let carried = contents.carried.into_iter().next();
    Ok(carried.and_then(|carried| last.map(|(at, link)| (carried, at, link, offset))))
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
                if contents.carried.is_empty() {
                    survey.handle_frame(&frame);
                }
            }
            Ok(Some(Item::Section { comments })) => {
                contents.note_carried(comments.iter().filter_map(|it| RecordingMetadata::read(it)));
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
    if contents.carried.is_empty() {
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
    /// Which of them all a frame may concern; empty where there is one, which the recording tells of and to which all may matter.
    pub index: Index,
    /// Which of them all are of one run over several source addresses.
    over_uplinks: Vec<OverUplinks>,
}

impl Traces {
    /// Says of the traces that are meant which others are of their run.
    fn say_which_are_one_run(&self) {
        let meant =
            |it: &&OverUplinks| self.chosen.iter().any(|(number, _)| it.numbers.contains(number));
        self.over_uplinks.iter().filter(meant).for_each(|it| complain(&it.sentence));
    }
}

impl Contents {
    /// The first section with configurations that can be used says which traces the recording has.
    fn note_carried(&mut self, carried: impl Iterator<Item = Result<RecordingMetadata, String>>) {
        let is_first = self.carried.is_empty();
        for carried in carried {
            match carried {
                Ok(carried) if is_first => self.carried.push(carried),
                Ok(_) => {}
                Err(reason) => drop(self.refused.get_or_insert(reason)),
            }
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
        let traces = self.choose(name, options, chosen);
        if traces.chosen.is_empty() {
            complain(&self.nothing_found(name, chosen));
        }
        traces.say_which_are_one_run();
        let alone = traces.chosen.iter().filter(|(_, found)| traces.surveyed && found.probes == 0);
        alone.for_each(|(_, found)| complain(&lacking::without_probes(name, &found.config)));
        traces
    }

    /// Whether it is a recording of a trace that does not end as one does. A watch may go on in another file.
    pub(super) fn is_torn(&self) -> bool {
        let in_rounds = |it: &RecordingMetadata| matches!(it.measurement, Measurement::Rounds(_));
        self.torn && self.carried.first().is_some_and(|carried| !in_rounds(carried))
    }

    /// Says what was left out because there is too much of it.
    fn say_limits(&self, name: &str) {
        self.lacking.sentences(name, self.packets).iter().for_each(|it| complain(it));
        if let Some(cut) = self.lacking.cut_short().filter(|_| !self.carried.is_empty()) {
            complain(&format!("{name} holds {}, {cut}", counted(self.packets, "packet")));
        }
        if self.overflowed {
            complain(&format!(
                "{name} holds more than {PROBES} probes, or probes between more than {PAIRS} pairs of addresses: \
                 the later ones are left out; extract the packets of one host first to see all of its traces"
            ));
        }
        if self.further > 0 {
            complain(&format!(
                "{name} holds {} traces: only the first {TRACES} are read; split the file to see the others",
                TRACES + self.further
            ));
        }
        if let Some(reason) = self.refused.as_ref().filter(|_| self.carried.is_empty()) {
            complain(&format!(
                "the configuration in {name} is not used ({reason}): the report follows the packets alone"
            ));
        }
        if self.names_left_out {
            complain(&format!(
                "{name} has names of more than {NAMES} addresses: the rest are left out; \
                 --resolve looks names up again"
            ));
        }
    }

    /// The first of the traces.
    pub(super) fn first(&mut self, name: &str) -> anyhow::Result<(u32, Recorded, Traces)> {
        self.say_limits(name);
        let (options, chosen) = (TraceOptions::default(), Chosen::default());
        let mut traces = self.choose(name, &options, chosen);
        let count = traces.chosen.len();
        traces.chosen.truncate(1);
        traces.say_which_are_one_run();
        let first = std::mem::take(&mut traces.chosen).into_iter().next();
        let (number, found) = first.with_context(|| self.nothing_found(name, chosen))?;
        if count > 1 && !traces.surveyed {
            complain(&format!(
                "{name} holds {count} traces: the first is compared, to {}",
                found.config.target_name.shown()
            ));
        }
        Ok((number, self.recorded(found, &options), traces))
    }

    fn choose(&mut self, name: &str, options: &TraceOptions, chosen: Chosen) -> Traces {
        let TraceOptions { source, sport: ident, .. } = *options;
        let wanted = Wanted { target: chosen.target, source, ident };
        let carried = self.carried.iter().map(|carried| Found {
            config: carried.trace.clone(),
            idents: ProbeSelector::One,
            start: None,
            probes: 0,
            tool: Some("rtrace"),
            same_run: Vec::new(),
        });
        let surveyed = self.carried.is_empty();
        let all =
            if surveyed { std::mem::take(&mut self.found) } else { carried.collect::<Vec<_>>() };
        let mut index = Index::default();
        for found in all.iter().filter(|_| surveyed || all.len() > 1) {
            let confirming = found.config.confirmation.map(|it| it.ident);
            index.add(&found.config.flow(), &found.idents, confirming);
        }
        let protocol = |found: &Found| {
            let flow = found.config.flow();
            let kind = options.kind.chosen();
            kind.is_none_or(|kind| kind.protocol(flow.family()) == flow.protocol())
        };
        let over_uplinks = OverUplinks::among(name, &all);
        let matches = |found: &Found| wanted.matches(&found.config.flow(), &found.idents);
        let chosen = (1..)
            .zip(all)
            .filter(|(number, _)| chosen.number.is_none_or(|only| only == *number))
            .filter(|(_, found)| matches(found) && protocol(found))
            .collect();
        Traces { chosen, surveyed, index, over_uplinks }
    }

    /// A found trace, with the configuration of the recording and the options.
    pub(super) fn recorded(&self, found: Found, options: &TraceOptions) -> Recorded {
        let Found { mut config, idents, .. } = found;
        let sent_by = config.clone();
        if let Some(probe) = options.kind.chosen() {
            config.probe = probe;
        }
        options.apply(&mut config);
        let is_of_this = |carried: &&RecordingMetadata| carried.trace == sent_by;
        let told = self.carried.iter().find(is_of_this);
        let carried = told.filter(|_| idents == ProbeSelector::One);
        let measurement = carried.map(|it| it.measurement).filter(|it| !it.is_once());
        Recorded {
            measurement: measurement.unwrap_or_else(|| Measurement::once(&config)),
            config,
            run: trace::RecordedRun {
                sent_by,
                idents,
                first_round: carried.map_or(0, |carried| carried.first_round),
            },
            look: carried.map_or_else(Presentation::default, |carried| carried.look),
        }
    }

    fn nothing_found(&self, name: &str, chosen: Chosen) -> String {
        let packets = counted(self.packets, "packet");
        let to = chosen.target.map_or(String::new(), |target| format!(" to {target}"));
        if let Some(number) = chosen.number {
            return format!(
                "{name}: there is no trace {number}{to}: `rtrace replay --list` lists them"
            );
        }
        let alone = self.replies_alone;
        if alone > 0 {
            return format!(
                "{name}: no trace{to} found among {packets}: it holds {} of routers without their probes, \
                 too few to find the hops; capture outgoing packets, too",
                counted(alone as u64, "reply")
            );
        }
        if let Some(cut) = self.lacking.cut_short() {
            return format!("{name}: no trace{to} found among {packets}, {cut}");
        }
        format!("{name}: no trace{to} found among {packets}: is this a capture of a traceroute?")
    }
}
