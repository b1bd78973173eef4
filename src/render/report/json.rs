//! The report as `mtr --json` writes it, and what it leaves out: described by `schema/report.schema.json`.
//!
//! `report.mtr` and, in each of `report.hubs`, the fields with a capital letter and `count` and `host` are mtr's,
//! always all of them. Times are milliseconds there, as mtr's are, and in the fields beside them.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::Whole;
use crate::render::columns::Figures;
use crate::render::extension::ExtensionRow;
use crate::render::outage::OutageRow;
use crate::render::rows::{self, BackRow, Millis, OriginRow, PlaceRow, is_zero};
use crate::schema::Loop;
use crate::time::{Span, Timestamp};
use crate::trace::changes::{Balanced, Change};
use crate::trace::limit::Limit;
use crate::trace::table::{Responder, Row};
use crate::trace::verdict::{Reason, Verdict};
use crate::untrusted::Untrusted;
use crate::wire::Evidence;

/// The version of the document's form; it changes when a field changes its meaning or goes.
const VERSION: u32 = 1;
/// The first byte of what probes are filled with.
const BIT_PATTERN: &str = "0x40";

pub(super) fn write(out: &mut impl Write, whole: Whole<'_>) -> io::Result<()> {
    let document = Document { format: "rtrace-report", version: VERSION, report: Body::of(whole) };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    report: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    mtr: Asked<'a>,
    hubs: Vec<Hub<'a>>,
    target: IpAddr,
    evidence: Evidence,
    target_reached: bool,
    started_ns: Option<i64>,
    rounds: u64,
    missed_rounds: u64,
    #[serde(skip_serializing_if = "is_zero")]
    clock_steps: u64,
    #[serde(skip_serializing_if = "is_zero")]
    contradicted: u64,
    /// Probes that never left this host: not among those sent.
    #[serde(skip_serializing_if = "is_zero")]
    never_sent: u64,
    #[serde(skip_serializing_if = "is_zero")]
    unreached_rounds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    outage: Option<OutageRow>,
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    looped: Option<LoopedRow>,
    changes: Vec<ChangeRow<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    balanced: Vec<BalancedRow<'a>>,
}

impl<'a> Body<'a> {
    fn of(whole: Whole<'a>) -> Self {
        let (table, config) = (whole.table, whole.view.config);
        let hubs = table.rows().iter().zip(table.verdicts());
        Self {
            mtr: Asked {
                src: config.source,
                dst: &config.target_name,
                tos: config.tos,
                tests: table.rounds(),
                psize: config.packet_len.to_string(),
                bitpattern: BIT_PATTERN,
            },
            hubs: hubs.map(|(row, verdict)| Hub::of(row, verdict, whole)).collect(),
            target: config.target,
            evidence: config.evidence,
            target_reached: table.reached(),
            started_ns: whole.began.map(Timestamp::nanos),
            rounds: table.rounds(),
            missed_rounds: table.missed(),
            clock_steps: whole.clock_steps,
            contradicted: table.contradicted(),
            never_sent: whole.view.never_sent,
            unreached_rounds: table.reach().unreached(),
            outage: table.reach().outage().map(OutageRow::of),
            looped: table
                .looped()
                .map(|it| LoopedRow { hops: rows::looped(it.last), rounds: it.rounds }),
            changes: table.changes().iter().map(|change| ChangeRow::of(change, whole)).collect(),
            balanced: table.balanced().iter().map(BalancedRow::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    src: IpAddr,
    dst: &'a Untrusted,
    tos: u8,
    tests: u64,
    psize: String,
    bitpattern: &'static str,
}

#[derive(Serialize)]
struct Hub<'a> {
    count: u8,
    host: Cow<'a, Untrusted>,
    #[serde(rename = "ASN", skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    #[serde(rename = "Loss%")]
    loss_percent: f64,
    #[serde(rename = "Drop")]
    lost: u64,
    #[serde(rename = "Rcv")]
    received: u64,
    #[serde(rename = "Snt")]
    sent: u64,
    #[serde(flatten)]
    times: Times,
    ip: Option<IpAddr>,
    late: u64,
    #[serde(skip_serializing_if = "is_zero")]
    damaged: u64,
    loss: &'static str,
    /// Why that is unclear, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The limit that its answers follow, where they show one.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitRow>,
    /// In percent.
    loss_behind: Option<f64>,
    /// The first and the last of these hops.
    hops_behind: Option<[u8; 2]>,
    median: Option<Millis>,
    p95: Option<Millis>,
    p99: Option<Millis>,
    /// In how many rounds it was asked, if not in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_rounds: Option<u64>,
    hosts: Vec<Answering<'a>>,
}

impl<'a> Hub<'a> {
    fn of(row: &'a Row, verdict: Verdict, whole: Whole<'a>) -> Self {
        let figures = Figures::of(row);
        let quantile = |share| row.rtts.quantile(share).map(Millis);
        Self {
            count: row.ttl,
            host: whole.first_host(row),
            system: whole.system(row.responders.first().map(|host| host.address)),
            loss_percent: percent(figures.loss),
            lost: figures.lost,
            received: figures.received,
            sent: figures.sent,
            times: Times::of(figures),
            ip: row.responders.first().map(|host| host.address),
            late: row.late,
            damaged: row.damaged,
            loss: verdict.loss.word(),
            reason: verdict.loss.reason().map(Reason::word),
            limit: verdict.limit.map(LimitRow::of),
            loss_behind: verdict.behind.map(|behind| percent(behind.loss)),
            hops_behind: verdict.behind.map(|behind| {
                let ttl = |index: usize| whole.table.rows().get(index).map_or(0, |row| row.ttl);
                [ttl(behind.first), ttl(behind.last)]
            }),
            median: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            asked_rounds: whole.table.asked(row),
            hosts: row.responders.iter().map(|host| Answering::of(row, host, whole)).collect(),
        }
    }
}

/// A limit of a hop's answers.
#[derive(Serialize)]
struct LimitRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
}

impl LimitRow {
    /// The limit with three decimals.
    fn of(limit: Limit) -> Self {
        let per_second = limit.per_second.map(|rate| (rate * 1e3).round() / 1e3);
        Self { per_second, burst: limit.burst }
    }
}

/// RTT statistics by mtr's names; zero without replies, as in mtr.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Times {
    last: Millis,
    avg: Millis,
    best: Millis,
    wrst: Millis,
    #[serde(rename = "StDev")]
    deviation: Millis,
    gmean: Millis,
    jttr: Millis,
    javg: Millis,
    jmax: Millis,
    jint: Millis,
}

impl Times {
    fn of(figures: Figures<'_>) -> Self {
        let rtts = figures.rtts;
        let ms = |time: Option<Span>| Millis(time.unwrap_or(Span::ZERO));
        Self {
            last: ms(rtts.last()),
            avg: ms(rtts.mean()),
            best: ms(rtts.best()),
            wrst: ms(rtts.worst()),
            deviation: ms(rtts.deviation()),
            gmean: ms(rtts.geometric_mean()),
            jttr: ms(rtts.jitter()),
            javg: ms(rtts.mean_jitter()),
            jmax: ms(rtts.worst_jitter()),
            jint: ms(rtts.interarrival_jitter()),
        }
    }
}

/// One of those who answered at a hop.
#[derive(Serialize)]
struct Answering<'a> {
    host: Cow<'a, Untrusted>,
    ip: IpAddr,
    #[serde(flatten)]
    origin: Option<OriginRow<'a>>,
    #[serde(flatten)]
    place: Option<PlaceRow<'a>>,
    /// How many answers came from it.
    count: u64,
    #[serde(flatten)]
    times: Times,
    last_round: u64,
    #[serde(flatten)]
    back: BackRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<ExtensionRow>,
}

impl<'a> Answering<'a> {
    fn of(row: &Row, host: &Responder, whole: Whole<'a>) -> Self {
        let figures = Figures::of_host(row, host);
        Self {
            host: whole.host(host.address),
            ip: host.address,
            origin: OriginRow::of(whole.view, host.address),
            place: PlaceRow::of(whole.view, host.address),
            count: figures.received,
            times: Times::of(figures),
            last_round: host.round,
            back: BackRow::of(&host.reply, Some(row.ttl)),
            extension: host.reply.extension.as_deref().map(ExtensionRow::of),
        }
    }
}

/// Several hosts of a hop answer in turn.
#[derive(Serialize)]
struct BalancedRow<'a> {
    round: u64,
    at_ns: i64,
    count: u8,
    hosts: &'a [IpAddr],
}

impl<'a> BalancedRow<'a> {
    fn of(balanced: &'a Balanced) -> Self {
        let Balanced { round, at, ttl, responders } = balanced;
        Self { round: *round, at_ns: at.nanos(), count: *ttl, hosts: responders }
    }
}

/// Another host answers at a hop than before.
#[derive(Serialize)]
struct ChangeRow<'a> {
    round: u64,
    at_ns: i64,
    count: u8,
    from: IpAddr,
    from_host: Cow<'a, Untrusted>,
    to: IpAddr,
    to_host: Cow<'a, Untrusted>,
    /// The round with which that was certain.
    judged_round: u64,
}

impl<'a> ChangeRow<'a> {
    fn of(change: &Change, whole: Whole<'a>) -> Self {
        Self {
            round: change.round,
            at_ns: change.at.nanos(),
            count: change.ttl,
            from: change.from,
            from_host: whole.host(change.from),
            to: change.to,
            to_host: whole.host(change.to),
            judged_round: change.judged,
        }
    }
}

/// The last forwarding loop, and in how many rounds there was one.
#[derive(Serialize)]
struct LoopedRow {
    #[serde(flatten)]
    hops: Loop,
    rounds: u64,
}

/// A share as percent with three decimals, as mtr rounds it.
fn percent(share: f64) -> f64 {
    (share * 1e5).round() / 1e3
}
