//! The report as `mtr --csv` writes it, with a row for each host of a hop, not only for the first.
//!
//! Sent and lost are those of the hop in each of its rows; times and `Rcv` are those of the host. The first
//! column is the version of mtr whose form this is; the one without a title is how many were lost.

use std::io::{self, Write};

use super::Whole;
use crate::render::columns::{Figures, Value};
use crate::render::csv::as_io;
use crate::time::Span;
use crate::trace::verdict::Reason;

const VERSION: &str = "MTR.0.95";
const TITLES: [&str; 6] = ["Mtr_Version", "Start_Time", "Status", "Host", "Hop", "Ip"];
/// What mtr does not have comes last: what the loss of the hop means, how many answers were damaged, and why the loss is unclear.
const OURS: [&str; 3] = ["Loss", "Damaged", "Reason"];

pub(super) fn write(out: &mut impl Write, whole: Whole<'_>) -> io::Result<()> {
    let columns = &whole.look.columns;
    // The line of titles ends in a comma, the others do not.
    let mut table = csv::WriterBuilder::new().flexible(true).from_writer(out);
    let titles = columns.iter().map(|column| column.title);
    let system = whole.view.origins.map(|_| "Asn");
    let head = TITLES.into_iter().chain(system);
    table.write_record(head.chain(titles).chain(OURS).chain([""])).map_err(as_io)?;
    let second = whole.began.map(|at| at.nanos().div_euclid(1_000_000_000).to_string());
    let second = second.unwrap_or_default();
    for (row, verdict) in whole.table.rows().iter().zip(whole.table.verdicts()) {
        let hosts = row.responders.iter();
        let mut hosts: Vec<_> = hosts
            .map(|host| (whole.host(host.address), Some(host.address), Figures::of_host(row, host)))
            .collect();
        if let [] | [_] = &hosts[..] {
            let address = row.responders.first().map(|host| host.address);
            hosts = vec![(whole.first_host(row), address, Figures::of(row))];
        }
        for (host, address, figures) in hosts {
            let name = whole.view.config.target_name.cell();
            let about = [
                VERSION.into(),
                second.clone(),
                "OK".into(),
                name,
                row.ttl.to_string(),
                host.cell(),
            ];
            let cells = columns.iter().map(|column| cell((column.value)(figures)));
            let about = about.into_iter().chain(whole.system(address));
            let reason = verdict.loss.reason().map_or("", Reason::word).to_owned();
            let ours = [verdict.loss.word().to_owned(), row.damaged.to_string(), reason];
            table.write_record(about.chain(cells).chain(ours)).map_err(as_io)?;
        }
    }
    table.flush()
}

fn cell(value: Value) -> String {
    match value {
        Value::Space(count) | Value::Count(count) => count.to_string(),
        Value::Share(share) => format!("{:.2}", share * 100.0),
        Value::Time(time) => format!("{:.2}", time.unwrap_or(Span::ZERO).as_millis_f64()),
    }
}
