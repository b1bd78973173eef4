//! How a run went, beside what it found: taken from the link, said where something is amiss, and written for `--stats`.

use std::fs::File;
use std::path::Path;

use anyhow::Context;

use super::flags::{STDERR, TraceArgs};
use super::recorder::create;
use super::session::Session;
use super::{complain, console, hints};
use crate::link::live::LiveLink;
use crate::render::counted;
use crate::render::stats::RunFacts;
use crate::untrusted::Untrusted;

/// What is known about a live run, and whether `silence` left probes unanswered; problems are reported.
pub(super) fn account(
    session: &mut Session,
    link: &mut LiveLink,
    (interface, leaves_by): (Untrusted, &Untrusted),
    silence: bool,
) {
    let facts = session.facts_mut();
    (facts.link, facts.interface, facts.clock) = ("live", interface, link.clock().into());
    facts.unstamped = link.unstamped();
    if let Some(unstamped) = facts.unstamped.filter(|unstamped| *unstamped > 0) {
        let of = facts.frames;
        complain(&format!(
            "{unstamped} of {of} frames had no hardware stamp and were given the kernel's: round \
             trips from or to one of them mix two clocks"
        ));
    }
    if let Ok(Some(totals)) = link.statistics() {
        facts.kernel_received = Some(totals.received);
        facts.kernel_dropped = Some(totals.dropped);
        if totals.dropped > 0 {
            let dropped = totals.dropped;
            complain(&format!(
                "the kernel dropped {}: replies may be missing",
                counted(dropped, "captured frame")
            ));
        }
        facts.elsewhere = Some(totals.elsewhere);
        if session.misses_elsewhere(silence) {
            complain(&hints::for_elsewhere(totals.elsewhere, &session.facts_mut().interface));
        }
    }
    session.say_what_never_left_by(leaves_by);
}

/// Where the run's facts go.
pub(super) enum FactsTo {
    Nowhere,
    Stderr,
    File(File),
}

impl FactsTo {
    /// Writes them.
    pub fn write(self, facts: &RunFacts) -> anyhow::Result<()> {
        let written = match self {
            Self::Nowhere => Ok(()),
            Self::Stderr => {
                let mut text = Vec::new();
                let written = facts.write_text(&mut text);
                written.and_then(|()| console::aside(&text))
            }
            Self::File(mut file) => facts.write_json(&mut file),
        };
        written.context("cannot write the statistics")
    }
}

/// Opened before privileges are dropped, like the recording.
pub(super) fn open_stats(args: &TraceArgs) -> anyhow::Result<FactsTo> {
    Ok(match args.stats.as_deref() {
        None => FactsTo::Nowhere,
        Some(path) if path == Path::new(STDERR) => FactsTo::Stderr,
        Some(path) => FactsTo::File(create(path).context("cannot begin the statistics")?),
    })
}
