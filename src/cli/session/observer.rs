//! How a session handles the events of a run.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::{complain, hints};
use super::Session;
use crate::driver::{NeverSent, Observer};
use crate::enrich::lookups::PendingLookups;
use crate::link::LinkError;
use crate::metrics::Meter;
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::belief::MOST_MISFITS;
use crate::trace::endpoint::TraceId;
use crate::trace::{Disposition, Event, Path};
use crate::wire::Frame;

impl Observer for Session {
    fn frame(&mut self, id: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.facts.frames += 1;
        if !disposition.concerns_the_trace() {
            self.facts.unrelated += 1;
            return;
        }
        self.facts.concerning += 1;
        let Some(it) = self.traces.get_mut(&id) else { return };
        if path.totals.withdrawn && !std::mem::replace(&mut it.withdrawn, true) {
            complain(&format!(
                "{MOST_MISFITS} ICMP errors about datagrams to {} fit no probe of this run: from now on \
                 quotes that were rewritten on the way are believed only if they cannot be guessed",
                it.config.target_name.shown()
            ));
        }
        it.renderer.frame(frame, disposition, path);
        // A frame that concerns two traces is recorded once.
        if std::mem::replace(&mut self.recorded, frame.number) != frame.number {
            self.record(|tape| tape.frame(frame, disposition, path));
        }
    }

    fn foreign(&mut self, _: &Frame<'_>) {
        self.facts.frames += 1;
        self.facts.unrelated += 1;
    }

    fn event(&mut self, id: TraceId, event: Event, path: &Path) {
        if let Event::Replied(at, index) | Event::LateReply(at, index) = event
            && let Some(reply) = path.probe(at).and_then(|probe| probe.replies.get(index))
        {
            self.ask_about(reply.responder);
        }
        if let Some(meter) = self.traces.get_mut(&id).and_then(|it| it.meter.as_mut()) {
            meter.handle(event, path);
        }
        self.render(id, Some(event), path);
        let Some(it) = self.traces.get_mut(&id) else { return };
        match event {
            Event::Ended => it.lacking = path.totals.is_lacking(),
            // This begins a further round.
            Event::Sent(_) if it.lacking && self.misses_elsewhere(true) => {
                complain(&hints::for_elsewhere(self.elsewhere, &self.facts.interface));
            }
            _ => {}
        }
    }

    fn refused(&mut self, _: TraceId, error: &LinkError) {
        self.facts.refused += 1;
        if self.facts.refused == 1 {
            complain(&error.to_string());
        }
    }

    fn elsewhere(&mut self, frames: u64) {
        self.elsewhere = frames;
    }

    fn never_sent(&mut self, id: TraceId, so_far: NeverSent) {
        let Some(it) = self.traces.get_mut(&id) else { return };
        it.never_sent = so_far;
        if let Some(meter) = &it.meter {
            meter.never_sent(so_far.count());
        }
        self.facts.unseen = self.all_never_sent().unseen;
    }

    fn missed(&mut self, id: TraceId, rounds: u64, more: u64) {
        let Some(it) = self.traces.get_mut(&id) else { return };
        if let Some(meter) = &mut it.meter {
            meter.missed(more);
        }
        it.renderer.missed(rounds);
        if rounds == more {
            let target = it.config.target_name.word();
            complain(&match rounds {
                1 => format!(
                    "a round to {target} was not sent: no probe was seen leaving; the run continues"
                ),
                _ => format!("{rounds} rounds to {target} were not sent; the watch continues"),
            });
        }
    }

    fn clock_step(&mut self, step: &ClockStep) {
        self.record(|tape| tape.clock_step(step));
        for id in self.ids() {
            if let Some(it) = self.traces.get_mut(&id) {
                let rendered = it.renderer.clock_step(step);
                self.note_output(id, rendered);
            }
        }
        if step.by == Span::ZERO {
            return;
        }
        self.traces.values().filter_map(|it| it.meter.as_ref()).for_each(Meter::clock_step);
        self.facts.clock_steps += 1;
        if self.facts.clock_steps == 1 {
            complain(&step.to_string());
        }
    }

    fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let left = self.annotations.next_deadline()?.saturating_duration_since(Instant::now());
        Some(now.after(Span::from_secs_f64(left.as_secs_f64())))
    }

    fn wake(&mut self) -> bool {
        let changed = self.annotations.poll();
        self.record_names();
        changed
    }

    fn show(&mut self, id: TraceId, path: &Path) {
        self.render(id, None, path);
    }

    fn interrupted(&self) -> bool {
        self.pipe_closed
            || self.recording_closed
            || self.stop.load(Ordering::Acquire)
            || self.signal().is_some()
    }

    fn cut(&mut self, at: Timestamp) {
        self.cut = Some(at);
    }
}
