//! What a watch has counted, for Prometheus: the numbers of the report, and a histogram of the RTTs.
//!
//! A [`Meter`] counts for one target in the [`Metrics`] that all targets share; [`serve`] shows them. Both take the
//! same lock, so that what is shown is always what a whole number of rounds came to. Labels are bounded: a
//! hop has at most as many addresses as the [`Table`] tells apart; further ones are [`OTHER`].

pub mod serve;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::trace::reach::Outage;
use crate::trace::table::{Row, Table};
use crate::trace::verdict::Reason;
use crate::trace::{Event, Path, Probe, Reply, TraceConfig};

/// The address that stands for all responders beyond the limit.
pub const OTHER: &str = "other";

/// Upper bounds of the histogram's buckets, in seconds.
const BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTarget {
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRejection {
    target: String,
    address: String,
    icmp_type: u8,
    icmp_code: u8,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfHop {
    target: String,
    hop: u8,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLoss {
    target: String,
    hop: u8,
    loss: String,
    /// Why that is unclear; empty if it is not.
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfAddress {
    target: String,
    hop: u8,
    address: String,
}

/// All that is counted.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    rounds: Family<OfTarget, Counter>,
    missed: Family<OfTarget, Counter>,
    never_sent: Family<OfTarget, Counter>,
    clock_steps: Family<OfTarget, Counter>,
    reached: Family<OfTarget, Gauge>,
    rejected: Family<OfRejection, Gauge>,
    looped: Family<OfTarget, Gauge>,
    sent: Family<OfHop, Counter>,
    answered: Family<OfHop, Counter>,
    late: Family<OfHop, Counter>,
    lost: Family<OfHop, Gauge>,
    damaged: Family<OfHop, Gauge>,
    loss: Family<OfLoss, Gauge>,
    changes: Family<OfHop, Counter>,
    rtts: Family<OfAddress, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let new = Self {
            registry: Arc::default(),
            missed: Family::default(),
            never_sent: Family::default(),
            clock_steps: Family::default(),
            rounds: Family::default(),
            reached: Family::default(),
            rejected: Family::default(),
            looped: Family::default(),
            sent: Family::default(),
            answered: Family::default(),
            late: Family::default(),
            lost: Family::default(),
            damaged: Family::default(),
            loss: Family::default(),
            changes: Family::default(),
            rtts: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        new.register();
        new
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let rtrace = registry.sub_registry_with_prefix("rtrace");
        rtrace.register("rounds", "Finished rounds", self.rounds.clone());
        rtrace.register(
            "rounds_missed",
            "Rounds of which no probe was seen leaving",
            self.missed.clone(),
        );
        rtrace.register(
            "probes_never_sent",
            "Probes that never left this host: refused, or not seen leaving",
            self.never_sent.clone(),
        );
        rtrace.register(
            "clock_steps",
            "How often the clock of this machine was set",
            self.clock_steps.clone(),
        );
        rtrace.register(
            "target_reached",
            "Whether the target was reached in the last round",
            self.reached.clone(),
        );
        rtrace.register(
            "target_rejected",
            "ICMP errors that reject probes to the target while it is not reached",
            self.rejected.clone(),
        );
        rtrace.register(
            "forwarding_loop",
            "Whether the last round ended in a forwarding loop",
            self.looped.clone(),
        );
        rtrace.register("probes_sent", "Probes captured on their way out", self.sent.clone());
        rtrace.register("probes_answered", "Probes answered in time", self.answered.clone());
        rtrace.register(
            "probes_late",
            "Probes answered after they had timed out",
            self.late.clone(),
        );
        rtrace.register(
            "probes_lost",
            "Probes not answered yet: sent less answered and late",
            self.lost.clone(),
        );
        rtrace.register(
            "probes_damaged",
            "Probes answered by damaged replies alone: they are not lost",
            self.damaged.clone(),
        );
        rtrace.register("loss", "What the lost probes of a hop mean", self.loss.clone());
        rtrace.register(
            "path_changes",
            "How often the hop changed: another router answers than before, without balancing",
            self.changes.clone(),
        );
        rtrace.register(
            "rtt_seconds",
            "Round-trip times by who answered, late ones too",
            self.rtts.clone(),
        );
    }

    /// All of it in the text format of `OpenMetrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Nothing can fail that is written to memory.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Counts for this target too.
    #[must_use]
    pub fn meter(&self, config: &TraceConfig) -> Meter {
        // The encoder escapes what would end a label.
        let target = config.target_name.shown();
        let labels = OfTarget { target: target.clone() };
        self.rounds.get_or_create_owned(&labels);
        self.missed.get_or_create_owned(&labels);
        self.never_sent.get_or_create_owned(&labels);
        self.clock_steps.get_or_create_owned(&labels);
        self.reached.get_or_create_owned(&labels);
        Meter {
            metrics: self.clone(),
            target,
            table: Table::new(),
            rejected: None,
            losses: Vec::new(),
            ahead: 0,
        }
    }
}

/// Counts what a watch of one target shows.
pub struct Meter {
    metrics: Metrics,
    target: String,
    table: Table,
    /// The rejection that is shown.
    rejected: Option<OfRejection>,
    /// The verdicts on the loss of hops.
    losses: Vec<OfLoss>,
    /// Missing rounds that are counted here, and in the table with the next one.
    ahead: u64,
}

impl Meter {
    /// Takes in what an event of [`Rounds`](crate::trace::rounds::Rounds) tells.
    pub fn handle(&mut self, event: Event, path: &Path) {
        if !matches!(event, Event::Ended | Event::LateReply(..)) {
            return;
        }
        let registry = Arc::clone(&self.metrics.registry);
        let _whole = registry.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Ended if !path.is_empty() || path.missed_after() > 0 => self.add(path),
            Event::LateReply(at, index) => {
                if self.table.add_late(path, at, index).0
                    && let Some(ttl) = at.hop_ttl()
                    && let Some(reply) = path.probe(at).and_then(|probe| probe.replies.get(index))
                {
                    self.observe(ttl, reply);
                }
            }
            _ => return,
        }
        for row in self.table.rows() {
            self.show(row);
        }
        if event == Event::Ended {
            self.show_losses();
        }
        self.show_reach();
    }

    fn add(&mut self, path: &Path) {
        let before = self.table.changed();
        let (rounds, missed) = (self.table.rounds(), self.table.missed());
        drop(self.table.add(path));
        for change in self.table.changes_since(before) {
            self.metrics.changes.get_or_create_owned(&self.of_hop(change.ttl)).inc();
        }
        for hop in path.reported() {
            let mine = |reply: &&Reply| path.is_of_hop(hop.ttl, reply);
            for reply in hop.probes.iter().filter_map(Probe::counted).filter(mine) {
                self.observe(hop.ttl, reply);
            }
        }
        let labels = OfTarget { target: self.target.clone() };
        let ahead = std::mem::take(&mut self.ahead);
        let new = |now: u64, before: u64| now.saturating_sub(before.saturating_add(ahead));
        let metrics = &self.metrics;
        metrics.rounds.get_or_create_owned(&labels).inc_by(new(self.table.rounds(), rounds));
        metrics.missed.get_or_create_owned(&labels).inc_by(new(self.table.missed(), missed));
    }

    /// Counts rounds in which no probe was seen leaving: they only say that the target was not reached.
    pub fn missed(&mut self, rounds: u64) {
        let labels = OfTarget { target: self.target.clone() };
        self.metrics.reached.get_or_create_owned(&labels).set(0);
        self.metrics.rounds.get_or_create_owned(&labels).inc_by(rounds);
        self.metrics.missed.get_or_create_owned(&labels).inc_by(rounds);
        self.ahead += rounds;
    }

    /// Sets how many probes have not left yet. The counter does not decrease for one that leaves late.
    pub fn never_sent(&self, count: u64) {
        let labels = OfTarget { target: self.target.clone() };
        let counter = self.metrics.never_sent.get_or_create_owned(&labels);
        counter.inner().fetch_max(count, Ordering::Relaxed);
    }

    /// The clock was set: round trips across the step are not observed.
    pub fn clock_step(&self) {
        let labels = OfTarget { target: self.target.clone() };
        self.metrics.clock_steps.get_or_create_owned(&labels).inc();
    }

    fn observe(&self, ttl: u8, reply: &Reply) {
        let Some(rtt) = reply.measured() else { return };
        let row = self.table.rows().iter().find(|row| row.ttl == ttl);
        let known =
            row.is_some_and(|row| row.responders.iter().any(|it| it.address == reply.responder));
        let address = if known { reply.responder.to_string() } else { OTHER.to_owned() };
        let labels = OfAddress { target: self.target.clone(), hop: ttl, address };
        self.metrics.rtts.get_or_create_owned(&labels).observe(rtt.secs_f64());
    }

    /// Whether the target is reached, and who rejects probes if it is not.
    fn show_reach(&mut self) {
        let labels = OfTarget { target: self.target.clone() };
        let reached = i64::from(self.table.reached());
        self.metrics.reached.get_or_create_owned(&labels).set(reached);
        let looped = self.table.looped().is_some_and(|looped| looped.lasts);
        self.metrics.looped.get_or_create_owned(&labels).set(looped.into());
        let outage = self.table.reach().outage().filter(|outage| outage.until.is_none());
        let rejection = outage.and_then(Outage::error);
        let rejected = rejection.and_then(|reply| {
            let (icmp_type, icmp_code) = reply.kind.icmp()?;
            let (target, address) = (self.target.clone(), reply.responder.to_string());
            Some(OfRejection { target, address, icmp_type, icmp_code })
        });
        if rejected == self.rejected {
            return;
        }
        if let Some(before) = &self.rejected {
            self.metrics.rejected.remove(before);
        }
        if let Some(now) = &rejected {
            self.metrics.rejected.get_or_create_owned(now).set(1);
        }
        self.rejected = rejected;
    }

    /// The counts of a hop are those of the report.
    fn show(&self, row: &Row) {
        let labels = self.of_hop(row.ttl);
        let metrics = &self.metrics;
        for (family, value) in [
            (&metrics.sent, row.sent),
            (&metrics.answered, row.received),
            (&metrics.late, row.late),
        ] {
            family.get_or_create_owned(&labels).inner().store(value, Ordering::Relaxed);
        }
        // From the first round on, so that the first change is an increase.
        drop(metrics.changes.get_or_create_owned(&labels));
        let lost = i64::try_from(row.lost()).unwrap_or(i64::MAX);
        metrics.lost.get_or_create_owned(&labels).set(lost);
        let damaged = i64::try_from(row.damaged).unwrap_or(i64::MAX);
        metrics.damaged.get_or_create_owned(&labels).set(damaged);
    }

    /// Sets the meaning of each hop's loss: 1 for that, and no other series of the hop.
    fn show_losses(&mut self) {
        let rows = self.table.rows().iter().zip(self.table.verdicts());
        let losses: Vec<OfLoss> = rows
            .map(|(row, verdict)| OfLoss {
                target: self.target.clone(),
                hop: row.ttl,
                loss: verdict.loss.word().to_owned(),
                reason: verdict.loss.reason().map_or("", Reason::word),
            })
            .collect();
        for before in self.losses.iter().filter(|before| !losses.contains(before)) {
            self.metrics.loss.remove(before);
        }
        for now in &losses {
            self.metrics.loss.get_or_create_owned(now).set(1);
        }
        self.losses = losses;
    }

    fn of_hop(&self, hop: u8) -> OfHop {
        OfHop { target: self.target.clone(), hop }
    }
}
