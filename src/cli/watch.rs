//! `rtrace watch` and `rtrace report`: what they add to a trace.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context;

use super::args::{OutputOptions, RotateOptions, WatchArgs};
use super::complain;
use crate::metrics::serve::Server;
use crate::metrics::{Meter, Metrics};
use crate::render::report::{Form, Report};
use crate::render::stream::Stream;
use crate::render::{self, Renderer};
use crate::trace::TraceConfig;
use crate::trace::rounds::Plan;

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
    form: Form,
}

impl Watch {
    /// What the arguments of `watch` or, with `report`, of `report` ask for.
    pub fn of(args: &WatchArgs, report: bool) -> Self {
        let rounds = args.rounds.or((report || args.report).then_some(REPORTED_ROUNDS));
        let interval = args.interval.unwrap_or(INTERVAL);
        Self {
            plan: Plan { interval, rounds, until: None },
            rotate: args.rotate,
            prometheus: args.prometheus,
            form: Form::Text,
        }
    }

    /// A watch that was recorded.
    pub fn recorded(plan: Plan) -> Self {
        Self { plan, rotate: RotateOptions::default(), prometheus: None, form: Form::Text }
    }

    /// Listens where its metrics are asked for, which may take privilege.
    pub fn listen(&self) -> anyhow::Result<Option<Server>> {
        let bind = |address| {
            Server::bind(address).with_context(|| format!("cannot serve metrics at {address}"))
        };
        self.prometheus.map(bind).transpose()
    }

    /// What writes it.
    pub fn renderer(&self, output: OutputOptions, out: Box<dyn Write>) -> Box<dyn Renderer> {
        if output.form() == render::Form::Ndjson {
            return Box::new(Stream::new(out, output.numeric, self.plan));
        }
        Box::new(Report::new(out, self.form, output.numeric))
    }
}

/// Begins to show what is counted of a watch; says where, if it was left open.
pub fn serve(server: Option<Server>, config: &TraceConfig) -> anyhow::Result<Option<Meter>> {
    let Some(server) = server else { return Ok(None) };
    let metrics = Metrics::default();
    let meter = metrics.meter(config);
    if let Some(address) = server.chosen().context("cannot serve metrics")? {
        complain(&format!("metrics are at http://{address}/metrics"));
    }
    server.start(metrics).context("cannot serve metrics")?;
    Ok(Some(meter))
}
