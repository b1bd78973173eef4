//! What a screen knows about one target, from the events of its rounds, and what it draws.
//!
//! A [`Model`] is fed as every renderer is. What it hands out is a [`Target`]: values alone, so that drawing
//! is a function of them and holds nobody up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::rows::PlaceRow;
use super::super::text::{systems, word};
use super::super::{Renderer, View};
use crate::enrich::lookups::Lookup;
use crate::enrich::origins::Origin;
use crate::time::{Span, Timestamp};
use crate::trace::table::{HISTORY, Table};
use crate::trace::{Disposition, Event, Path, ProbeRef, Reply, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::{Frame, link};

/// Replies that are kept of each hop, with their bytes.
const PACKETS: usize = 8;
/// Bytes that are kept of each: all that a router quotes and appends.
const BYTES: usize = 320;

/// All that is known of one target.
#[derive(Clone, Debug)]
pub struct Model {
    target: Target,
    /// The running round as it last was, unless nothing is known of it.
    running: Option<Path>,
    /// Who has answered and of whom not all is known that is looked up.
    unknown: BTreeSet<IpAddr>,
    /// The last of the rounds that have been forgotten reached the target.
    reached: bool,
}

/// What is drawn of one target.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is asked.
    pub config: TraceConfig,
    /// Seconds from round to round; `None` of a trace that was made once.
    pub interval: Option<f64>,
    /// What the rounds showed.
    pub table: Table,
    /// When its last rounds began, the oldest first.
    pub times: VecDeque<Timestamp>,
    /// Rounds since the last one of which anything was captured.
    pub missing: u64,
    /// Hops and rounds of which a reply came late, with its RTT.
    pub late: BTreeMap<(u8, u64), Option<Span>>,
    /// The last replies of each hop, by TTL, the oldest first; without one, those that belong to no hop yet.
    pub packets: BTreeMap<Option<u8>, VecDeque<Packet>>,
    /// The names of responders.
    pub names: BTreeMap<IpAddr, Untrusted>,
    /// Their autonomous systems, where they are asked for.
    pub systems: BTreeMap<IpAddr, System>,
    /// Where they are, where that is asked for.
    pub places: BTreeMap<IpAddr, String>,
    /// When the last frame was captured.
    pub now: Timestamp,
    /// There will be no more rounds.
    pub over: bool,
}

/// Who announces an address, as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// `AS64500/AS64501`; where there is none or none is known, `AS???` as in mtr.
    pub numbers: String,
    /// What the first of them is called.
    pub name: Option<Untrusted>,
}

/// A captured reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// In which round it came, from 1.
    pub round: u64,
    /// What it was decoded to.
    pub reply: Reply,
    /// Its datagram: the first bytes.
    pub bytes: Vec<u8>,
}

impl Model {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(config: &TraceConfig, interval: Option<f64>) -> Self {
        let target = Target {
            config: config.clone(),
            interval,
            table: Table::new(),
            times: VecDeque::new(),
            missing: 0,
            late: BTreeMap::new(),
            packets: BTreeMap::new(),
            names: BTreeMap::new(),
            systems: BTreeMap::new(),
            places: BTreeMap::new(),
            now: Timestamp::default(),
            over: false,
        };
        Self { target, running: None, unknown: BTreeSet::new(), reached: false }
    }

    /// Forgets all rounds so far.
    pub fn reset(&mut self) {
        let reached = self.reached();
        let new = Self::new(&self.target.config, self.target.interval);
        let Self { target, unknown, .. } = std::mem::replace(self, new);
        let Target { names, systems, places, now, over, .. } = target;
        self.target = Target { names, systems, places, now, over, ..self.target.clone() };
        (self.unknown, self.reached) = (unknown, reached);
    }

    /// What the rounds that are over showed.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.target.table
    }

    /// What to draw, including the running round.
    #[must_use]
    pub fn target(&self) -> Target {
        let mut target = self.target.clone();
        if let Some(path) = &self.running {
            target.table = target.table.with_running(path);
            target.begin(path);
        }
        target
    }

    /// Takes in what has become known of those who answered.
    fn learn(&mut self, view: View<'_>) {
        let target = &mut self.target;
        self.unknown.retain(|address| !target.learn(*address, view));
    }

    /// Whether anything is known of a round that is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the last round reached the target, be it one that has been forgotten since.
    #[must_use]
    pub fn reached(&self) -> bool {
        let table = &self.target.table;
        if table.rounds() == 0 { self.reached } else { table.reached() }
    }

    /// Whether there will be no more rounds.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.target.over
    }

    /// There will be no more rounds.
    pub fn end(&mut self) {
        self.target.over = true;
    }

    /// Sets for how many rounds no probe was seen leaving.
    pub fn missed(&mut self, rounds: u64) {
        self.target.missing = rounds;
    }

    /// A frame was handled that concerns the trace.
    pub fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.target.now = frame.at;
        let Disposition::Reply(at, Some(index)) = disposition else { return };
        let Some(reply) = path.probe(at).and_then(|probe| probe.replies.get(index)) else { return };
        if !self.target.names.contains_key(&reply.responder) {
            self.unknown.insert(reply.responder);
        }
        let datagram = link::ip_datagram(frame.link, frame.bytes).ok().flatten();
        let bytes = datagram.unwrap_or_default();
        let bytes = bytes.get(..BYTES).unwrap_or(bytes).to_vec();
        let packet = Packet { round: self.target.table.rounds() + 1, reply: reply.clone(), bytes };
        self.target.keep(at.hop_ttl(), packet);
    }

    /// Something happened to the path, or something became known of those who answered (`None`).
    pub fn event(&mut self, event: Option<Event>, view: View<'_>) {
        self.learn(view);
        let (Some(event), path) = (event, view.path) else { return };
        match event {
            Event::Ended => self.target.finish(path),
            Event::LateReply(at, index) => self.target.belated(path, at, index),
            Event::Assigned { before, at } => self.target.place(before, at, path),
            Event::Sent(_) | Event::Replied(..) | Event::Settled(_) | Event::Contradicted(..) => {}
        }
        match event {
            Event::Ended => self.running = None,
            Event::Settled(_) | Event::Assigned { .. } | Event::Contradicted(..) => {
                match &mut self.running {
                    Some(running) => running.clone_from(path),
                    None => self.running = Some(path.clone()),
                }
            }
            _ => {}
        }
    }
}

impl Target {
    /// The round that began first of those that are remembered, from 1.
    #[must_use]
    pub fn first_round(&self) -> u64 {
        self.table.rounds() + 1 - self.times.len() as u64
    }

    /// When this round began, if that is remembered.
    #[must_use]
    pub fn began(&self, round: u64) -> Option<Timestamp> {
        let index = round.checked_sub(self.first_round())?;
        self.times.get(usize::try_from(index).ok()?).copied()
    }

    /// Adds what is known about one responder; returns whether that is complete.
    fn learn(&mut self, address: IpAddr, view: View<'_>) -> bool {
        let name = view.names.lookup(address);
        if let Lookup::Known(Some(name)) = name {
            self.names.insert(address, name.to_owned());
        }
        let mut open = is_open(&name);
        if let Some(origins) = view.origins {
            let (origin, name) = (origins.lookup(address), origins.name(address));
            // The name of a system follows its number.
            let unnamed = |it: &Origin| !it.numbers.is_empty() && name.is_none();
            open |= is_open(&origin) || matches!(origin, Lookup::Known(Some(it)) if unnamed(it));
            let name = name.cloned();
            if !is_open(&origin) {
                let known = Some(systems(&origin)).filter(|it| it.starts_with("AS"));
                let numbers = known.unwrap_or_else(|| "AS???".to_owned());
                self.systems.insert(address, System { numbers, name });
            }
        }
        if let Some(word) = PlaceRow::of(view, address).and_then(|it| word(&it)) {
            self.places.insert(address, word);
        }
        !open && !view.places.is_some_and(|it| is_open(&it.lookup(address)))
    }

    fn begin(&mut self, path: &Path) {
        let began = path.probes().filter_map(|(_, probe)| probe.sent).min();
        self.note_time(began.unwrap_or(self.now));
    }

    fn note_missed(&mut self, rounds: u64) {
        for _ in 0..rounds.min(HISTORY as u64) {
            let last = self.times.back().copied().unwrap_or(self.now);
            let interval = Span::from_secs_f64(self.interval.unwrap_or_default());
            self.note_time(last.after(interval));
        }
    }

    fn note_time(&mut self, began: Timestamp) {
        self.times.push_back(began);
        if self.times.len() > HISTORY {
            self.times.pop_front();
        }
    }

    fn finish(&mut self, path: &Path) {
        self.missing = 0;
        let before = self.table.rounds();
        drop(self.table.add(path));
        // Rounds that are missing began as long after one another as others do.
        let missed = self.table.rounds().saturating_sub(before).saturating_sub(1);
        self.note_missed(missed.saturating_sub(path.missed_after()));
        self.begin(path);
        self.note_missed(path.missed_after());
        let round = self.table.rounds();
        for hop in path.hops() {
            let mut replies = hop.probes.iter().flat_map(|probe| &probe.replies);
            if let Some(late) = replies.find(|reply| reply.late) {
                self.late.insert((hop.ttl, round), late.measured());
            }
        }
        let first = self.first_round();
        self.late.retain(|(_, round), _| *round >= first);
    }

    fn belated(&mut self, path: &Path, at: ProbeRef, index: usize) {
        self.table.add_late(path, at, index);
        let Some(probe) = path.probe(at) else { return };
        let began = |sent| self.times.iter().rposition(|began| *began <= sent);
        if let Some((ago, ttl)) = probe.sent.and_then(began).zip(at.hop_ttl()) {
            let rtt = probe.replies.get(index).and_then(Reply::measured);
            self.late.insert((ttl, self.first_round() + ago as u64), rtt);
        }
    }

    /// A probe was put into another hop: what answered it is kept with those of that hop.
    fn place(&mut self, before: ProbeRef, at: ProbeRef, path: &Path) {
        let answers = |packet: &Packet| {
            let probe = path.probe(at);
            probe.is_some_and(|it| it.replies.iter().any(|reply| reply.frame == packet.reply.frame))
        };
        let Some(packets) = self.packets.get_mut(&before.hop_ttl()) else { return };
        let (placed, others) = packets.drain(..).partition(answers);
        *packets = others;
        for packet in placed {
            self.keep(at.hop_ttl(), packet);
        }
    }

    fn keep(&mut self, ttl: Option<u8>, packet: Packet) {
        let packets = self.packets.entry(ttl).or_default();
        packets.push_back(packet);
        if packets.len() > PACKETS {
            packets.pop_front();
        }
    }
}

/// Whether an answer may still come.
fn is_open<T>(lookup: &Lookup<'_, T>) -> bool {
    matches!(lookup, Lookup::Unasked | Lookup::Pending)
}

/// A model that one thread feeds and another draws.
#[derive(Clone, Debug)]
pub struct Shared {
    model: Arc<Mutex<Model>>,
    /// How often it changed.
    version: Arc<AtomicU64>,
}

impl Shared {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(config: &TraceConfig, interval: Option<f64>) -> Self {
        let model = Arc::new(Mutex::new(Model::new(config, interval)));
        Self { model, version: Arc::default() }
    }

    /// The model, for as long as it is held.
    pub fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another number whenever the model has changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Says that it has.
    pub fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// The renderer that feeds it.
impl Renderer for Shared {
    fn missed(&mut self, rounds: u64) {
        self.lock().missed(rounds);
        self.changed();
    }

    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.lock().frame(frame, disposition, path);
    }

    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()> {
        self.lock().event(event, view);
        if !matches!(event, Some(Event::Sent(_) | Event::Replied(..))) {
            self.changed();
        }
        Ok(())
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let mut model = self.lock();
        model.learn(view);
        model.end();
        drop(model);
        self.changed();
        Ok(())
    }
}
