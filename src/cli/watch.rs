//! The parts of `rtrace watch` and `rtrace report` that a trace does not have.

use std::net::SocketAddr;

use anyhow::{Context, bail};

use super::complain;
use super::flags::{ReportOptions, RotateOptions, WatchArgs, of_calendar};
use crate::link::sim;
use crate::metrics::serve::Server;
use crate::metrics::{Meter, Metrics};
use crate::privilege;
use crate::time::Timestamp;
use crate::trace::rounds::{Plan, Until};
use crate::trace::{Measurement, TraceConfig};

/// The number of rounds of a report by default.
const REPORTED_ROUNDS: u64 = 10;
/// Seconds between the beginnings of two rounds by default.
const INTERVAL: f64 = 1.0;

/// How a trace is repeated, and what is written about it.
pub struct Watch {
    /// The interval, the number and the end of its rounds.
    pub plan: Plan,
    /// The address at which it serves metrics.
    prometheus: Option<SocketAddr>,
    /// When its recording continues in another file.
    pub rotate: RotateOptions,
    /// Whether it waits if there is no route to the target yet.
    pub awaits_route: bool,
    /// The layout of its report.
    pub report: ReportOptions,
}

impl Watch {
    /// The watch that the arguments of `watch` or, with `report`, of `report` ask for.
    ///
    /// # Errors
    /// When the arguments do not go together.
    pub fn of(args: &WatchArgs, report: bool) -> anyhow::Result<Self> {
        let until = args.until;
        let simulated = args.trace.simulate.is_some();
        if let Some(Until::Time(end)) = until
            && end <= if simulated { sim::START } else { now() }
        {
            let begins =
                if simulated { ": simulated time begins at 2026-01-01T00:00:00Z" } else { "" };
            bail!("--until is past{begins}: give a future time, or a length like 1h30m");
        }
        let unasked = (report || args.report) && until.is_none();
        let rounds = args.rounds.or(unasked.then_some(REPORTED_ROUNDS));
        let interval = args.interval.unwrap_or(INTERVAL);
        let plan = Plan { interval, rounds, until };
        args.trace.output.of(&Measurement::Rounds(plan))?;
        Ok(Self {
            plan,
            rotate: args.rotate,
            awaits_route: !report,
            prometheus: args.prometheus,
            report: args.look.clone(),
        })
    }

    /// Listens for requests for metrics, if asked for, which may need a privilege.
    pub fn listen(&self) -> anyhow::Result<Option<Server>> {
        let bind = |address| {
            privilege::raised(|| Server::bind(address))
                .with_context(|| format!("cannot serve metrics at {address}"))
        };
        self.prometheus.map(bind).transpose()
    }
}

/// The time of day.
pub(super) fn now() -> Timestamp {
    of_calendar(jiff::Timestamp::now())
}

/// Begins to serve the metrics of watches, if asked for; reports the address if the port was left open.
pub fn serve(
    server: Option<Server>,
    configs: &[&TraceConfig],
) -> anyhow::Result<Vec<Option<Meter>>> {
    let Some(server) = server else { return Ok(configs.iter().map(|_| None).collect()) };
    let metrics = Metrics::default();
    let meters = configs.iter().map(|config| Some(metrics.meter(config))).collect();
    if let Some(address) = server.chosen().context("cannot serve metrics")? {
        complain(&format!("metrics are at http://{address}/metrics"));
    }
    server.start(metrics).context("cannot serve metrics")?;
    Ok(meters)
}
