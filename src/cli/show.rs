//! `rtrace show FILE FRAME`: a probe and its reply, decoded side by side.

use std::collections::HashMap;

use anyhow::{Context, anyhow};

use super::args::ShowArgs;
use super::{Status, replay, write_out};
use crate::driver::Observer;
use crate::render::show::{self, Evidence};
use crate::trace::{Disposition, Path, Probe, Tracer};
use crate::wire::{Frame, link};

/// The datagrams of a trace, by the numbers of their frames.
#[derive(Default)]
struct Datagrams(HashMap<u64, Vec<u8>>);

impl Observer for Datagrams {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if !disposition.concerns_the_trace() {
            return;
        }
        if let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) {
            self.0.insert(frame.number, datagram.to_vec());
        }
    }
}

/// Runs the command.
pub fn run(args: &ShowArgs) -> anyhow::Result<Status> {
    let mut datagrams = Datagrams::default();
    let replay::First { tracer, .. } = replay::first(&args.file, &mut datagrams)?;
    let (place, probe) = wanted(args, &tracer)?;
    let frame = probe.frame.context("this probe is missing from the recording")?;
    let bytes = |frame: u64| datagrams.0.get(&frame).map(Vec::as_slice);
    let sent = bytes(frame).context("this frame holds no datagram")?;
    let reply = probe.replies.iter().find(|reply| Some(reply.frame) == args.frame);
    let reply = reply.or_else(|| probe.answer()).or_else(|| probe.replies.first());
    let reply = reply.and_then(|reply| Some((reply, bytes(reply.frame)?)));
    write_out(&show::as_text(&Evidence { place, probe, sent, reply }), "what was found")?;
    Ok(Status::Reached)
}

/// The probe that is meant, and its place: the hop it counts for, and which of its probes it is.
fn wanted<'a>(args: &ShowArgs, tracer: &'a Tracer) -> anyhow::Result<((u8, usize), &'a Probe)> {
    let hops = tracer.path().hops().iter();
    let placed = hops.flat_map(|hop| (1..).zip(&hop.probes).map(|(n, it)| ((hop.ttl, n), it)));
    let scout = tracer.path().scout.iter().map(|it| ((it.ttl, 1), it));
    let after_hops = usize::from(tracer.config().queries) + 1;
    let sizers = (after_hops..).zip(&tracer.path().sizers);
    let sizers = sizers.map(|(n, it)| ((it.probe.ttl, n), &it.probe));
    let mut all = placed.chain(scout).chain(sizers);
    let file = args.file.display();
    if let Some(ttl) = args.hop {
        return all
            .find(|((hop, _), _)| *hop == ttl)
            .ok_or_else(|| anyhow!("{file}: no probe of hop {ttl}"));
    }
    let is = |probe: &Probe| {
        probe.frame == args.frame || probe.replies.iter().any(|it| Some(it.frame) == args.frame)
    };
    let frame = args.frame.unwrap_or_default();
    all.find(|(_, probe)| is(probe)).ok_or_else(|| {
        anyhow!("{file}: frame {frame} is neither a probe nor a reply of its first trace: see `rtrace replay {file} --json`")
    })
}
