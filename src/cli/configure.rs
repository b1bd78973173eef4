//! The configuration of a run: what was asked for, and what does not go together.

use anyhow::bail;

use super::args::TraceArgs;
use super::randomness::Randomness;
use super::task::Task;
use super::watch::Watch;
use crate::probe::{Flow, FlowMode, ProbeType, Secret};
use crate::trace::TraceConfig;
use crate::untrusted::Untrusted;

/// The longest that is tried to find out the path MTU, where the first link takes `mtu` bytes: what is asked for is a
/// limit if it is less.
pub(super) fn largest(config: &mut TraceConfig, mtu: u32) -> u16 {
    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
    config.mtu_limit = config.mtu_limit.filter(|limit| *limit < mtu);
    config.mtu_limit.unwrap_or(mtu)
}

/// The configuration of a trace of this flow.
pub(super) fn configure(
    args: &TraceArgs,
    task: Task<'_>,
    name: &str,
    flow: &Flow,
    randomness: Randomness,
) -> anyhow::Result<TraceConfig> {
    if let Some(earlier) = task.earlier() {
        return earlier.go_on(&args.options, flow);
    }
    let Flow { probe, ident, .. } = *flow;
    let ident = if matches!(probe, ProbeType::Protocol(_)) { 0 } else { ident };
    let defaults = TraceConfig::of_flow(&Flow { ident, ..*flow });
    let Randomness { key, first_id, flow_label, .. } = randomness;
    let known_port = args.options.sport.is_some() && probe.has_ports();
    let known_label = args.options.flow_label.is_some() && flow.target.is_ipv6();
    let defaults = TraceConfig {
        // As its recording says it, so that a replay writes the same.
        target_name: Untrusted::from(name).shown().into(),
        first_id,
        flow_label: if flow.target.is_ipv6() { flow_label } else { 0 },
        secret: Some(Secret { key, known_port, known_label }),
        ..defaults
    };
    // Who says how many probes may be under way wants traceroute's order.
    let serial = args.options.in_flight.is_some();
    let mut config = if serial { defaults } else { defaults.scouting() };
    task.configure(&mut config);
    args.options.apply(&mut config);
    if config.packet_len < config.least_len() {
        let least = config.least_len();
        bail!(
            "{} bytes are too short for such probes: choose a packet length of at least {least}",
            config.packet_len
        );
    }
    if let FlowMode::Dublin = config.flow_mode
        && probe != ProbeType::Udp
    {
        bail!("--flow dublin is for UDP to rising ports: leave out the probe type, or use paris");
    }
    if config.mtu {
        check_mtu(args, task.watch(), &config)?;
    }
    let is_tcp = matches!(probe, ProbeType::TcpSyn | ProbeType::TcpAck);
    if is_tcp && config.packet_len != config.least_len() {
        bail!("TCP probes carry no payload: leave out the packet length");
    }
    config.check()?;
    Ok(config)
}

/// What a search for the path MTU does not go with.
fn check_mtu(args: &TraceArgs, watch: Option<&Watch>, config: &TraceConfig) -> anyhow::Result<()> {
    if watch.is_some() {
        bail!("--mtu is for one trace: leave it out, or trace without watch and report");
    }
    if args.output.inspect {
        bail!("--mtu and inspect are two reports: ask for one of them");
    }
    if matches!(config.probe, ProbeType::TcpSyn | ProbeType::TcpAck) {
        bail!("--mtu needs probes of variable length; TCP probes have a fixed one: use UDP, or -I");
    }
    if let Some(len) = args.options.packet_len().filter(|len| *len <= config.packet_len) {
        bail!("--mtu tries longer probes than {len} bytes: ask for more, or leave it out");
    }
    if config.flow_mode == FlowMode::Dublin {
        bail!("--mtu chooses the length of probes, and --flow dublin varies it: use --flow paris");
    }
    Ok(())
}
