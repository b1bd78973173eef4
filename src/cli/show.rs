//! `rtrace show FILE FRAME`: a probe and its reply, decoded side by side.
//!
//! Every trace in the file is watched as its replay watches it, round by round or with the probes of all paths, and the
//! first that knows the frame is shown. Only what is shown of it is kept, so that a recording may be of any length; its datagrams are read
//! at last.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path as FilePath;

use anyhow::{Context, anyhow};
use ratatui::crossterm::terminal;

use super::contents::{self, Chosen};
use super::flags::ShowArgs;
use super::flags::TraceOptions;
use super::together::{self, Each, Engines};
use super::{Status, complain, twice, write_out};
use crate::capture::{CaptureReader, Item};
use crate::driver::Observer;
use crate::render::Form;
use crate::render::show::{self, Answer, Evidence, Place, What};
use crate::sandbox::{self, Profile};
use crate::trace::endpoint::TraceId;
use crate::trace::survey::SurveyHints;
use crate::trace::{Disposition, Event, Measurement, Path, Probe, ProbeRef};
use crate::wire::{self, Frame, link};

/// Runs the command.
pub fn run(args: &ShowArgs) -> anyhow::Result<Status> {
    let name = twice::name_of(&args.file);
    let mut file = twice::open(&args.file)?;
    sandbox::enter(&Profile::default())?;
    let mut contents =
        contents::read_through(twice::reader(&mut file, &name)?, SurveyHints::default())?;
    let options = TraceOptions::default();
    let chosen = Chosen { target: None, number: args.trace };
    let mut traces = contents.traces(&name, &options, chosen);
    if traces.chosen.is_empty() {
        return Ok(Status::Failed);
    }
    let several = traces.chosen.len() > 1;
    if args.hop.is_some() {
        traces.chosen.truncate(1);
    }
    let (mut engines, mut finders) = (Engines::new(), Each(BTreeMap::new()));
    let mut in_rounds = false;
    for (number, found) in std::mem::take(&mut traces.chosen) {
        let recorded = contents.recorded(found, &options);
        in_rounds |= matches!(recorded.measurement, Measurement::Rounds(_));
        engines.insert(TraceId::of_number(number), recorded.engine()?);
        finders.0.insert(TraceId::of_number(number), Finder::of(args));
    }
    let again = twice::again(&mut file, &name)?;
    if let Some(error) = together::watch(&name, again, &mut traces, &mut engines, &mut finders)? {
        complain(&error.to_string());
    }
    let found = finders.0.iter_mut().find_map(|(id, it)| Some((*id, it.found.take()?)));
    let Some((id, found)) = found else {
        return Err(finders
            .0
            .into_values()
            .reduce(|one, other| one.and(&other))
            .unwrap_or(Finder::of(args))
            .nothing(&args.file));
    };
    let place = Place {
        trace: several.then_some(id.number()),
        round: in_rounds.then_some(found.round),
        what: found.what,
    };
    let again = twice::again(&mut file, &name)?;
    let shown = found.evidence(place, args.frame, again, args.form.form() == Form::Json)?;
    write_out(&shown, "what was found")?;
    Ok(Status::Reached)
}

/// What is looked for.
#[derive(Clone, Copy)]
enum Wanted {
    /// The probe that has this frame, or a reply to it that has.
    Frame(u64),
    /// The first probe of this hop.
    Hop(u8),
}

/// Looks on until a trace shows what is wanted, and after it for what else becomes of that probe.
struct Finder {
    wanted: Wanted,
    found: Option<Found>,
    /// The frames next to the wanted one, before and after, that concern a trace.
    near: [Option<u64>; 2],
    /// Why the wanted frame is not shown, if something is known of it.
    excuse: Option<&'static str>,
}

/// A probe, as it was last seen.
struct Found {
    round: u64,
    at: ProbeRef,
    what: What,
    probe: Probe,
    /// Why the reply of the wanted frame is none of those that are kept, if it is not.
    unkept: Option<&'static str>,
}

impl Finder {
    fn of(args: &ShowArgs) -> Self {
        let frame = Wanted::Frame(args.frame.unwrap_or_default());
        let wanted = args.hop.map_or(frame, Wanted::Hop);
        Self { wanted, found: None, near: [None; 2], excuse: None }
    }

    /// What both know of what is near.
    fn and(mut self, other: &Self) -> Self {
        let Wanted::Frame(wanted) = self.wanted else { return self };
        other.near.into_iter().flatten().for_each(|frame| self.note_near(frame, wanted));
        Self { excuse: other.excuse.or(self.excuse), ..self }
    }

    /// What is known about the found probe, if it is this one.
    fn refresh(&mut self, at: ProbeRef, path: &Path) {
        if let Some(found) = &mut self.found
            && (found.at, found.round) == (at, path.round_number())
            && let Some(again) = Found::of(at, path)
        {
            *found = Found { unkept: found.unkept, ..again };
        }
    }

    /// Notes why a frame is not shown, if it is the wanted one.
    fn excuse(&mut self, frame: &Frame<'_>, why: &'static str) {
        if matches!(self.wanted, Wanted::Frame(wanted) if wanted == frame.number) {
            self.excuse = Some(why);
        }
    }

    fn note_near(&mut self, frame: u64, wanted: u64) {
        let [before, after] = &mut self.near;
        if frame < wanted {
            *before = (*before).max(Some(frame));
        } else {
            *after = Some(after.map_or(frame, |after| after.min(frame)));
        }
    }

    /// The error for a missing probe, with the nearest ones.
    fn nothing(&self, file: &FilePath) -> anyhow::Error {
        let file = file.display();
        let frame = match self.wanted {
            Wanted::Hop(ttl) => {
                return anyhow!(
                    "{file} has no probe of hop {ttl}: `rtrace replay {file}` shows its hops"
                );
            }
            Wanted::Frame(frame) => frame,
        };
        let near: Vec<_> = self.near.iter().flatten().map(u64::to_string).collect();
        let near = match near.join(" and ") {
            none if none.is_empty() => "no frame can be shown".to_owned(),
            near => format!("the nearest frames that can be shown: {near}"),
        };
        let what = self.excuse.unwrap_or("is neither a probe nor a reply of a trace");
        anyhow!("{file}: frame {frame} {what}: {near}; `rtrace replay {file} --json` has all")
    }
}

impl Observer for Finder {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        let (at, unkept) = match disposition {
            Disposition::OwnProbe(at) | Disposition::Reply(at, Some(_)) => (at, None),
            Disposition::Reply(at, None) => (at, Some("beyond the number of replies kept")),
            Disposition::Damaged(at) => (at, Some("not believed: its checksum is wrong")),
            Disposition::Contradicted(at, _) => {
                (at, Some("contradicted, so not believed: the path is longer"))
            }
            Disposition::Repeated => {
                return self.excuse(frame, "is a probe that an earlier frame has, as on lo");
            }
            Disposition::Unmatched => {
                return self.excuse(frame, "quotes a probe too heavily rewritten to identify");
            }
            Disposition::Stray => {
                return self.excuse(frame, "quotes a datagram to the target that is no probe");
            }
            Disposition::CutShort => {
                return self
                    .excuse(frame, "was cut too short by the capture to identify its probe");
            }
            Disposition::Unrelated => return,
        };
        match self.wanted {
            Wanted::Frame(wanted) if wanted == frame.number => {
                self.found = Found::of(at, path).map(|found| Found { unkept, ..found });
            }
            Wanted::Frame(wanted) => self.note_near(frame.number, wanted),
            Wanted::Hop(_) => {}
        }
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        match (event, self.wanted) {
            (Event::Replied(at, _) | Event::LateReply(at, _) | Event::Settled(at), _) => {
                self.refresh(at, path);
            }
            (Event::Assigned { before, at }, _) => {
                if let Some(found) = self.found.as_mut().filter(|it| it.at == before) {
                    found.at = at;
                }
                self.refresh(at, path);
            }
            (Event::Ended, Wanted::Hop(ttl)) if self.found.is_none() => {
                let first = ProbeRef::Hop { ttl, query: 0 };
                let scout = path.scout.as_ref().filter(|scout| scout.ttl == ttl);
                let scout = || scout.and_then(|_| Found::of(ProbeRef::Scout, path));
                self.found = Found::of(first, path).or_else(scout);
            }
            _ => {}
        }
    }
}

impl Found {
    fn of(at: ProbeRef, path: &Path) -> Option<Self> {
        let probe = path.probe(at)?.clone();
        let what = match at {
            ProbeRef::SizeProbe(_) => What::SizeProbe(path.size_probe(at)?.len),
            ProbeRef::Confirmation(_) => What::Confirmation(probe.ttl),
            ProbeRef::Scout => What::Scout,
            ProbeRef::Hop { ttl, query } => What::Probe { ttl, query: u32::from(query) + 1 },
        };
        Some(Self { round: path.round_number(), at, what, probe, unkept: None })
    }

    /// The view of the probe, with the reply of the wanted frame or, if that frame is the probe's own, the reply that counts.
    fn evidence(
        &self,
        place: Place,
        frame: Option<u64>,
        reader: CaptureReader<&mut File>,
        json: bool,
    ) -> anyhow::Result<String> {
        let probe = &self.probe;
        let meant = probe.replies.iter().find(|reply| Some(reply.frame) == frame);
        let reply = meant.or_else(|| probe.counted()).or_else(|| probe.replies.first());
        let known = match (self.unkept.zip(frame), reply) {
            (Some((why, frame)), _) => Some((frame, Err(why))),
            (None, reply) => reply.map(|reply| (reply.frame, Ok(reply))),
        };
        let [sent, replied] = datagrams([probe.frame, known.map(|(frame, _)| frame)], reader)?;
        let reply = known.zip(replied.as_ref());
        let reply = reply.map(|((frame, known), (datagram, evidence))| Answer {
            frame,
            known,
            datagram,
            evidence: *evidence,
        });
        let sent = sent.as_ref().map(|(datagram, _)| datagram.as_slice());
        let evidence = Evidence { place, probe, sent, reply };
        if json {
            return show::document::as_json(&evidence).context("cannot write what was found");
        }
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        let size = is_terminal.then(terminal::size).and_then(Result::ok);
        let columns = size.map(|(columns, _)| usize::from(columns));
        Ok(show::as_text(&evidence, columns))
    }
}

/// A datagram, and whether it was captured.
type Recorded = (Vec<u8>, wire::Evidence);

/// The datagrams in these frames, and whether they were captured.
fn datagrams(
    wanted: [Option<u64>; 2],
    mut reader: CaptureReader<&mut File>,
) -> anyhow::Result<[Option<Recorded>; 2]> {
    let mut found = [None, None];
    let last = wanted.into_iter().flatten().max();
    loop {
        let frame = match reader.next() {
            Ok(Some(Item::Packet(frame))) => frame,
            Ok(Some(_)) => continue,
            Ok(None) => return Ok(found),
            Err(error) if error.leaves_packets() => return Ok(found),
            Err(error) => return Err(error.into()),
        };
        for (wanted, found) in wanted.iter().zip(&mut found) {
            if *wanted == Some(frame.number) {
                let datagram = link::ip_datagram(frame.link, frame.bytes).ok().flatten();
                *found = datagram.map(|datagram| (datagram.to_vec(), frame.evidence));
            }
        }
        if Some(frame.number) >= last {
            return Ok(found);
        }
    }
}
