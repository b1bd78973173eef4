//! A link that is open for a run, with what is traced over it and where that is recorded.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::flags::{TraceArgs, TraceOptions};
use super::recorder::{Destination, Prepared};
use super::task::Task;
use crate::capture::{Interface, Neighbours};
use crate::probe::ProbeType;
use crate::recording::RecordingMetadata;
use crate::time::Span;
use crate::trace::endpoint::{Endpoint, Few, NewTrace};
use crate::trace::rounds::MOST_A_SECOND;
use crate::trace::{ConfigError, Measurement, ProbeSelector, TraceConfig};
use crate::untrusted::Untrusted;

/// What a flow is to have: as was asked for, or as it was before.
pub(super) struct Wanted {
    pub probe: ProbeType,
    pub source: Option<IpAddr>,
    pub port: Option<u16>,
    pub ident: Option<u16>,
}

impl Wanted {
    pub fn of(args: &TraceArgs, task: Task<'_>) -> Self {
        let Some(earlier) = task.earlier() else {
            let TraceOptions { source, sport, .. } = args.options;
            return Self { probe: args.options.probe_type(), source, port: sport, ident: None };
        };
        let TraceConfig { probe, source, ident, .. } = earlier.config;
        let port = Some(ident).filter(|_| probe.has_ports());
        Self { probe, source: Some(source), port, ident: Some(ident) }
    }
}

impl Wanted {
    /// Whether probes from another port or with another identifier may confirm answers: not where one is asked for, nor
    /// where there is none.
    pub fn may_confirm(&self, task: Task<'_>) -> bool {
        let varies = self.port.is_none() && !matches!(self.probe, ProbeType::Protocol(_));
        varies && !matches!(task, Task::Paths(_))
    }
}

/// A link that is open, and what goes with it.
pub(super) struct Opened<L> {
    pub link: L,
    /// What is traced over it, in the order of the targets.
    pub targets: Vec<Target>,
    /// What is captured on.
    pub interface: Interface,
    /// The interface that probes are to leave by.
    pub leaves_by: Untrusted,
    /// The names of the interfaces of this host by their numbers, where the report may tell of several.
    pub interfaces: BTreeMap<u32, Untrusted>,
    pub prepared: Option<Prepared>,
}

/// A target that is traced.
pub(super) struct Target {
    pub config: TraceConfig,
    /// The longest datagram that the first link takes, or that is asked for.
    pub largest: u16,
}

impl<L> Opened<L> {
    /// The configurations of its traces.
    pub fn configs(&self) -> Vec<&TraceConfig> {
        self.targets.iter().map(|it| &it.config).collect()
    }
}

/// What probes; the traces of several targets begin one after another within an interval of their rounds.
pub(super) fn endpoint<'e>(
    measured: impl Fn(&TraceConfig) -> Measurement,
    targets: Vec<Target>,
) -> Result<Endpoint<'e>, ConfigError> {
    let (count, mut apart) = (targets.len(), Span::ZERO);
    let mut opened = Vec::new();
    for Target { config, largest } in targets {
        let measurement = measured(&config);
        if let Measurement::Rounds(plan) = measurement {
            #[expect(clippy::cast_precision_loss, reason = "targets are few")]
            let of_each = plan.interval / count as f64;
            apart = Span::from_secs_f64(of_each);
        }
        let engine = measurement.active(config.clone(), largest)?;
        opened.push(match count {
            1 => NewTrace::of_all_frames(engine),
            _ => NewTrace::of_own_frames(engine, &config, &ProbeSelector::One),
        });
    }
    let endpoint = Endpoint::new(Few::apart(opened, apart));
    Ok(if count > 1 { endpoint.at_rate(MOST_A_SECOND) } else { endpoint })
}

/// Opens what the recording goes to, if there is to be one.
pub(super) fn open_destination(
    args: &TraceArgs,
    task: Task<'_>,
) -> anyhow::Result<Option<Destination>> {
    let rotate = task.watch().map(|watch| watch.rotate);
    args.pcap.as_deref().map(|path| Destination::open(path, rotate)).transpose()
}

/// Prepares the recording, if there is to be one.
pub(super) fn prepare_tape(
    destination: Option<Destination>,
    args: &TraceArgs,
    task: Task<'_>,
    targets: &[Target],
    (interface, neighbours): (&Interface, Neighbours),
) -> anyhow::Result<Option<Prepared>> {
    let carried = |Target { config, .. }: &Target| RecordingMetadata {
        look: args.output.recorded(),
        ..RecordingMetadata::of(config.clone(), task.measurement(config))
    };
    let carried = || targets.iter().map(carried).collect();
    destination.map(|to| Prepared::new(to, carried(), (interface.clone(), neighbours))).transpose()
}
