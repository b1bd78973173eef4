//! `rtrace watch` and `rtrace report`: what they add to a trace.

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

/// Rounds of a report unless told otherwise.
const REPORTED_ROUNDS: u64 = 10;
/// Seconds between the beginnings of two rounds unless told otherwise.
const INTERVAL: f64 = 1.0;

/// How a trace is to be repeated, and what is written of it.
pub struct Watch {
    /// When its rounds are.
    pub plan: Plan,
    /// Where it shows what it has counted.
    prometheus: Option<SocketAddr>,
    /// When its recording goes on in another file.
    pub rotate: RotateOptions,
    /// Whether it waits where there is no route to the target yet.
    pub awaits_route: bool,
    /// How its report looks.
    pub report: ReportOptions,
}

impl Watch {
    /// What the arguments of `watch` or, with `report`, of `report` ask for.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn of(args: &WatchArgs, report: bool) -> anyhow::Result<Self> {
        let until = args.until;
        let simulated = args.trace.simulate.is_some();
        if let Some(Until::Time(end)) = until
            && end <= if simulated { sim::START } else { now() }
        {
            let begins =
                if simulated { ": simulated time begins at 2026-01-01T00:00:00Z" } else { "" };
            bail!("--until is past{begins}: give a time to come, or a length like 1h30m");
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

    /// Listens where its metrics are asked for, which may take privilege.
    pub fn listen(&self) -> anyhow::Result<Option<Server>> {
        let bind = |address| {
            privilege::raised(|| Server::bind(address))
                .with_context(|| format!("cannot serve metrics at {address}"))
        };
        self.prometheus.map(bind).transpose()
    }
}

/// What the clock of the wall shows.
pub(super) fn now() -> Timestamp {
    of_calendar(jiff::Timestamp::now())
}

/// Begins to show what is counted of watches, if that is asked for; says where, if it was left open.
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
