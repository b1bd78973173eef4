//! A link that is open for a run, with the traces over it and the destination of the recording.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::bail;

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

/// The properties of a flow, from the arguments or from an earlier run.
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
    /// Whether probes from another port or with another identifier may confirm answers: not if a port was asked for,
    /// or the protocol has none.
    pub fn may_confirm(&self, task: Task<'_>) -> bool {
        let varies = self.port.is_none() && !matches!(self.probe, ProbeType::Protocol(_));
        varies && !matches!(task, Task::Paths(_))
    }
}

/// An open link, and what belongs to it.
pub(super) struct Opened<L> {
    pub link: L,
    /// The targets, in order.
    pub targets: Vec<Target>,
    /// The interface that is captured on.
    pub interface: Interface,
    /// The interface that probes leave by.
    pub leaves_by: Untrusted,
    /// The names of the interfaces of this host by index, if the report may refer to several.
    pub interfaces: BTreeMap<u32, Untrusted>,
    pub prepared: Option<Prepared>,
    /// How many targets are not traced, because there is no route to them.
    pub left_out: usize,
}

/// Refuses options that only one target can have, and an address that is named twice.
pub(super) fn check_targets<'a>(
    args: &TraceArgs,
    targets: impl IntoIterator<Item = (&'a str, IpAddr)>,
) -> anyhow::Result<()> {
    let mut named = BTreeMap::new();
    for (name, address) in targets {
        if let Some(before) = named.insert(address, name) {
            bail!("{before} and {name} are one target, {address}: name it once");
        }
    }
    if named.len() > 1 && args.options.sport.is_some() {
        bail!("--sport is the source port of one target: leave it out");
    }
    Ok(())
}

/// A target of a run.
pub(super) struct Target {
    pub config: TraceConfig,
    /// The longest datagram that the first link takes, or that was asked for, in bytes.
    pub largest: u16,
}

impl<L> Opened<L> {
    /// The configurations of its traces.
    pub fn configs(&self) -> Vec<&TraceConfig> {
        self.targets.iter().map(|it| &it.config).collect()
    }
}

/// The endpoint that sends the probes. The traces of several targets begin one after another within an interval of
/// their rounds.
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

/// Opens the destination of the recording, if there is to be one.
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
