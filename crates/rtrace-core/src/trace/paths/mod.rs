//! All the paths to a target: multipath detection.
//!
//! Probes of many flows are sent, each constant in all that routers choose by; which routers they show
//! makes a [`Graph`]. What has been seen is kept by a [`Tracer`] that only watches, so deadlines, late replies and
//! what is believed are those of a trace, and the graph, which is made from its [`Path`], is a function of
//! configuration and frames. What is asked next is decided beside that, in `strategy`: MDA and MDA-Lite.

mod alias;
mod counters;
mod diamond;
mod exits;
mod graph;
mod level;
mod network;
mod plan;
mod rule;
mod sample;
mod sender;
mod silence;
mod strategy;

pub use diamond::Diamond;
pub use exits::{Exit, Exited, Exits, HostRouting, Split};
pub use graph::{Graph, Shown};
pub use level::{Level, Place};
pub use network::{Completion, Enumerated, Link, Network, Reason, Router, Unclear};
pub use plan::{MAX_FLOWS, Plan};
pub use rule::{Confidence, Enumeration, Rule};

use graph::Pending;
use plan::Flows;
use sender::{Run, Sender};

use super::config::{ConfigError, TraceConfig};
use super::datagram::Packet;
use super::engine::Engine;
use super::event::{Disposition, Event};
use super::path::Path;
use super::tracer::Tracer;
use crate::probe::Transmit;
use crate::time::{ClockStep, Timestamp};

/// A multipath trace in progress. See the [module](self).
#[derive(Debug)]
pub struct Paths {
    run: Run,
    tracer: Tracer,
    sender: Option<Sender>,
    finished: bool,
}

/// What a multipath trace with this configuration has shown.
#[must_use]
pub fn network(config: &TraceConfig, plan: &Plan, path: &Path) -> Network {
    Network::of(&graph(config, path), plan, path.totals.sent)
}

/// The map of the path, hop by hop.
#[must_use]
pub fn graph(config: &TraceConfig, path: &Path) -> Graph {
    let config = plan::of_flows(config.clone());
    let ttls = (config.first_ttl, config.max_ttl);
    Graph::of(path, ttls, Flows::of(&config), Pending::default())
}

impl Paths {
    /// One that plans probes: for live and simulated links.
    ///
    /// # Errors
    /// When nothing can be run with `config` and `plan`.
    pub fn new(config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        plan.check(&config)?;
        Ok(Self { sender: Some(Sender::new()), ..Self::passive(config, plan)? })
    }

    /// What keeps account of the probes of all flows and of their answers.
    ///
    /// # Errors
    /// When nothing can be watched with `config`.
    pub fn watcher(config: TraceConfig) -> Result<Tracer, ConfigError> {
        let config = plan::of_flows(config);
        let idents = plan::idents(&config);
        Ok(Tracer::passive(config, idents)?.trusting())
    }

    /// One that only watches, for replay.
    ///
    /// # Errors
    /// When nothing can be watched with `config`.
    pub fn passive(config: TraceConfig, plan: Plan) -> Result<Self, ConfigError> {
        let tracer = Self::watcher(config)?;
        let config = tracer.config().clone();
        let run = Run { flows: Flows::of(&config), config, plan };
        Ok(Self { run, tracer, sender: None, finished: false })
    }
}

impl Engine for Paths {
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>> {
        let sender = self.sender.as_mut().filter(|_| !self.finished)?;
        let datagram = sender.next(&self.run, &self.tracer, now)?;
        Some(Transmit { destination: self.run.config.target, datagram })
    }

    fn handle_refusal(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.refused();
        }
    }

    fn poll_timeout(&mut self) -> Option<Timestamp> {
        let deadline = self.tracer.poll_timeout();
        let wake = self.sender.as_ref().and_then(|it| it.wake_at(&self.run, &self.tracer));
        deadline.into_iter().chain(wake).min()
    }

    fn next_deadline(&mut self) -> Option<Timestamp> {
        self.tracer.next_deadline()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.tracer.handle_timeout(now);
        if let Some(sender) = &mut self.sender {
            sender.expire(&self.run, now);
        }
    }

    fn handle_packet(&mut self, packet: &Packet<'_>) -> (Disposition, &Path) {
        let (disposition, _) = self.tracer.handle_packet(packet);
        if let Disposition::OwnProbe(at) = disposition
            && let Some((sender, probe)) = self.sender.as_mut().zip(self.tracer.path().probe(at))
        {
            sender.confirm(probe.key);
        }
        (disposition, self.tracer.path())
    }

    fn poll_event(&mut self) -> Option<(Event, &Path)> {
        let (event, path) = self.tracer.poll_event()?;
        if let (Some(sender), Event::Settled(_) | Event::Replied(..)) = (&mut self.sender, event) {
            sender.note();
        }
        Some((event, path))
    }

    fn path(&self) -> &Path {
        self.tracer.path()
    }

    fn reached(&self) -> bool {
        self.tracer.path().reached()
    }

    fn is_done(&self) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.is_done(&self.run, &self.tracer))
    }

    fn note_clock_step(&mut self, step: &ClockStep) {
        self.tracer.note_clock_step(step);
    }

    fn finish(&mut self) {
        self.finished = true;
        self.tracer.finish();
    }
}
