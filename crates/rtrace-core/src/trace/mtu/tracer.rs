//! The active half: a trace, and then the size probes that [`Findings`] ask for, until they know.

use super::super::config::{ConfigError, TraceConfig};
use super::super::datagram::Packet;
use super::super::engine::Engine;
use super::super::event::{Disposition, Event};
use super::super::path::Path;
use super::super::tracer::Tracer;
use super::{Ask, Findings, MOST_SIZERS, REST};
use crate::probe::{ProbeKey, Transmit, craft};
use crate::time::{ClockStep, Span, Timestamp};
use crate::wire::ip;

/// A trace that also finds out the path MTU. To watch one, a passive [`Tracer`] does.
#[derive(Clone, Debug)]
pub struct MtuTracer {
    tracer: Tracer,
    /// The longest datagram of the first link, or less if a shorter limit is set.
    largest: u16,
    /// The probes to send now, the next one last.
    asks: Vec<Ask>,
    /// Size probes handed out whose own frames have not been captured yet, and when the last was handed out.
    unconfirmed: Vec<ProbeKey>,
    handed_out: Timestamp,
    /// How many were handed out.
    count: u32,
    /// Whether the search is over.
    over: bool,
    datagram: Vec<u8>,
}

impl MtuTracer {
    /// A tracer that tries nothing longer than `largest` bytes.
    ///
    /// # Errors
    /// When no trace can be run with `config`.
    pub fn new(config: TraceConfig, largest: u16) -> Result<Self, ConfigError> {
        Ok(Self {
            tracer: Tracer::new(TraceConfig { mtu: true, ..config })?,
            largest,
            asks: Vec::new(),
            unconfirmed: Vec::new(),
            handed_out: Timestamp::default(),
            count: 0,
            over: false,
            datagram: Vec::new(),
        })
    }

    /// Asks what to send next, once it is known what became of all that was sent.
    fn plan(&mut self) {
        let settled = self.tracer.is_done() && self.unconfirmed.is_empty();
        if self.over || !settled || !self.asks.is_empty() {
            return;
        }
        let found = Findings::from(self.largest, self.tracer.path(), self.tracer.config());
        let room = MOST_SIZERS.saturating_sub(self.tracer.path().size_probes.len());
        self.over = found.asks.is_empty() || found.asks.len() > room;
        if !self.over {
            self.asks = found.asks;
            self.asks.reverse();
        }
    }

    /// Makes the next size probe, and gives what it is recognised by; `None` if nothing is left for that.
    fn craft(&mut self, ask: Ask) -> Option<ProbeKey> {
        for _ in 0..MOST_SIZERS {
            let spec = self.tracer.config().size_probe_spec(self.count, ask.ttl, ask.len);
            craft::craft(&spec, &mut self.datagram);
            self.count = self.count.checked_add(1)?;
            let (header, payload) = ip::decode(&self.datagram).ok()?;
            let key = ProbeKey::of(&header, payload)?;
            // UDP-Lite over IPv6 has nothing but a checksum, which may be that of another length.
            if !self.unconfirmed.contains(&key) && !is_taken(&key, self.tracer.path()) {
                return Some(key);
            }
        }
        None
    }

    /// When the next may be sent.
    fn due(&self) -> Option<Timestamp> {
        let ask = self.asks.last()?;
        Some(if ask.rested { self.handed_out.after(REST) } else { self.handed_out })
    }

    fn give_up(&mut self) {
        self.over = true;
        self.asks.clear();
        self.unconfirmed.clear();
    }
}

fn is_taken(key: &ProbeKey, path: &Path) -> bool {
    let sizers = path.size_probes.iter().map(|size_probe| &size_probe.probe);
    path.probes().map(|(_, probe)| probe).chain(sizers).any(|probe| probe.key == *key)
}

impl Engine for MtuTracer {
    fn poll_transmit(&mut self, now: Timestamp) -> Option<Transmit<'_>> {
        self.plan();
        let Some(due) = self.due() else { return self.tracer.poll_transmit(now) };
        let ask = self.asks.pop_if(|_| due <= now)?;
        let Some(key) = self.craft(ask) else {
            self.give_up();
            return None;
        };
        self.unconfirmed.push(key);
        self.handed_out = now;
        Some(Transmit { destination: self.tracer.config().target, datagram: &self.datagram })
    }

    /// A size probe that the kernel does not take is one that it will not take again.
    fn handle_refusal(&mut self) {
        if self.count > 0 {
            self.give_up();
        } else {
            self.tracer.handle_refusal();
        }
    }

    fn poll_timeout(&mut self) -> Option<Timestamp> {
        let patience = Span::from_secs_f64(self.tracer.config().wait.max);
        let missing = (!self.unconfirmed.is_empty()).then(|| self.handed_out.after(patience));
        // What the trace would send, it is asked for only when there is no size probe to send.
        let next = match self.due() {
            Some(due) => self.tracer.next_deadline().into_iter().chain([due]).min(),
            None => self.tracer.poll_timeout(),
        };
        next.into_iter().chain(missing).min()
    }

    fn next_deadline(&mut self) -> Option<Timestamp> {
        self.tracer.next_deadline()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.tracer.handle_timeout(now);
        let patience = Span::from_secs_f64(self.tracer.config().wait.max);
        if !self.unconfirmed.is_empty() && self.handed_out.after(patience) <= now {
            self.give_up();
        }
    }

    fn handle_packet(&mut self, packet: &Packet<'_>) -> (Disposition, &Path) {
        let (disposition, _) = self.tracer.handle_packet(packet);
        if let Disposition::OwnProbe(at) = disposition
            && let Some(probe) = self.tracer.path().probe(at)
        {
            self.unconfirmed.retain(|key| *key != probe.key);
        }
        (disposition, self.tracer.path())
    }

    fn poll_event(&mut self) -> Option<(Event, &Path)> {
        self.tracer.poll_event()
    }

    fn path(&self) -> &Path {
        self.tracer.path()
    }

    fn reached(&self) -> bool {
        self.path().reached()
    }

    fn is_done(&self) -> bool {
        self.over && self.tracer.is_done()
    }

    fn note_clock_step(&mut self, step: &ClockStep) {
        self.tracer.note_clock_step(step);
    }

    fn finish(&mut self) {
        self.give_up();
        self.tracer.finish();
    }
}
