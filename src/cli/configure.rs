//! The configuration of a run: what was asked for, and what does not go together.

use anyhow::{anyhow, bail};

use super::flags::TraceArgs;
use super::randomness::Randomness;
use super::task::Task;
use crate::probe::{Flow, ProbeType, Secret};
use crate::trace::{ConfigError, TraceConfig};
use crate::untrusted::Untrusted;
use crate::wire::Evidence;

/// The longest size probe where the first link takes `mtu` bytes: the configured length is a
/// limit if it is less.
pub(super) fn largest(config: &mut TraceConfig, mtu: u32) -> u16 {
    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
    config.mtu_limit = config.mtu_limit.filter(|limit| *limit < mtu);
    config.mtu_limit.unwrap_or(mtu)
}

/// The configuration of a trace of this flow over a link that captures packets.
pub(super) fn configure(
    args: &TraceArgs,
    task: Task<'_>,
    name: &str,
    flow: &Flow,
    randomness: Randomness,
) -> anyhow::Result<TraceConfig> {
    configure_for(args, task, name, flow, (randomness, Evidence::Captured))
}

/// The highest flow label that Linux leases to a socket, unless `net.ipv6.flowlabel_state_ranges` is 0.
const LEASED_LABELS: u32 = 0x7_ffff;

/// The configuration of a trace of this flow over a link whose replies are this.
pub(super) fn configure_for(
    args: &TraceArgs,
    task: Task<'_>,
    name: &str,
    flow: &Flow,
    (randomness, evidence): (Randomness, Evidence),
) -> anyhow::Result<TraceConfig> {
    if let Some(earlier) = task.earlier() {
        let config = earlier.go_on(&args.options, flow)?;
        if config.evidence != evidence {
            bail!(match evidence {
                Evidence::Captured =>
                    "the recording was made without privileges, from kernel reports: resume it without them",
                Evidence::Reconstructed =>
                    "the recording holds captured packets: resume it with the privilege to capture",
            });
        }
        return Ok(config);
    }
    let Flow { probe, ident, .. } = *flow;
    let ident = if matches!(probe, ProbeType::Protocol(_)) { 0 } else { ident };
    let defaults = TraceConfig::of_flow(&Flow { ident, ..*flow });
    let Randomness { key, first_id, flow_label, .. } = randomness;
    let known_port = args.options.sport.is_some() && probe.has_ports();
    let known_label = args.options.flow_label.is_some() && flow.target.is_ipv6();
    let labels = if evidence.is_captured() { u32::MAX } else { LEASED_LABELS };
    if let Some(label) = args.options.flow_label.filter(|label| *label > labels) {
        bail!("--flowlabel {label} needs CAP_NET_RAW: run with sudo, or choose at most {labels}");
    }
    let defaults = TraceConfig {
        // As its recording says it, so that a replay writes the same.
        target_name: Untrusted::from(name).shown().into(),
        first_id,
        flow_label: if flow.target.is_ipv6() { flow_label & labels } else { 0 },
        secret: Some(Secret { key, known_port, known_label }),
        evidence,
        ..defaults
    };
    // Who says how many probes may be in flight wants traceroute's order.
    let serial = args.options.in_flight.is_some();
    let mut config = if serial { defaults } else { defaults.scouting() };
    task.configure(&mut config);
    args.options.apply(&mut config);
    if config.mtu && args.output.inspect {
        bail!("--mtu and inspect are two reports: choose one");
    }
    task.measurement(&config).check(&config).map_err(in_options)?;
    Ok(config)
}

/// A refusal in the words of the command line.
fn in_options(error: ConfigError) -> anyhow::Error {
    match error {
        ConfigError::TooShort { len, least } => anyhow!(
            "{len} bytes are too short for this probe type: choose a packet length of at least {least}"
        ),
        ConfigError::NoPayload { .. } => {
            anyhow!("TCP probes carry no payload: leave out the packet length")
        }
        ConfigError::NoHops { first, max } => {
            anyhow!("--max-hops {max} is below --first {first}: choose a larger --max-hops")
        }
        ConfigError::DublinIsOfUdp => anyhow!(
            "--flow dublin is for UDP to rising ports: leave out the probe type, or use paris"
        ),
        ConfigError::MtuBeside => {
            anyhow!("--mtu is for one trace: leave it out, or trace without watch and report")
        }
        ConfigError::MtuNeedsLengths => anyhow!(
            "--mtu needs probes of variable length; TCP probes have a fixed one: use UDP, or -I"
        ),
        ConfigError::MtuAndDublin => anyhow!(
            "--mtu chooses the length of probes, and --flow dublin varies it: use --flow paris"
        ),
        ConfigError::MtuLimit { limit, .. } => {
            anyhow!(
                "the limit of --mtu, {limit} bytes, is too short: choose a longer one, or leave it out"
            )
        }
        ConfigError::NeedsCapture { what } => anyhow!(
            "{what} need captured packets, and without privileges there are none: run with sudo, or use UDP (--flow classic or paris) or -I"
        ),
        ConfigError::TooFewPorts { probes, first, ports } => anyhow!(
            "{probes} probes need a destination port each, and there are {ports} from {first} on: choose a lower --port"
        ),
        ConfigError::OutOfRange { .. } | ConfigError::NoMtu => error.into(),
    }
}
