//! How the columns of the hop table look on the screen.

use crate::render::columns::{Column, Figures, Value};
use crate::time::Span;
use crate::trace::table::{Responder, Row};
use crate::trace::verdict::Loss;

/// The letters of columns that count.
const COUNTS: &str = "DRST";
/// The columns of latency and jitter: the most important first, since those without room are left out.
pub const LATENCY: &str = "LS NABWVJEPT";
/// What is shown of jitter.
pub const JITTER: &str = "DR AGJMXI";

/// The width of a column, with the blank before it, where no hop was sent more probes than `most`.
#[must_use]
pub fn width(column: &Column, most: u64) -> usize {
    let digits = most.checked_ilog10().map_or(1, |digits| digits as usize + 1);
    match column.letter {
        ' ' => 1,
        _ if COUNTS.contains(column.letter) => digits.max(4) + 1,
        _ => 6,
    }
}

/// What it says of a hop, whose lost probes mean this.
#[must_use]
pub fn of_hop(column: &Column, row: &Row, loss: Loss) -> String {
    match (column.value)(Figures::of(row)) {
        Value::Space(_) => String::new(),
        Value::Count(count) => count.to_string(),
        Value::Share(share) if loss == Loss::RateLimited => format!("~{:.0}%", share * 100.0),
        Value::Share(share) => percent(share),
        Value::Time(time) => time.map_or_else(String::new, millis),
    }
}

/// What it says of one of several responders of a hop: only of its replies anything is known.
#[must_use]
pub fn of_responder(column: &Column, row: &Row, responder: &Responder) -> String {
    match (column.value)(Figures::of_host(row, responder)) {
        Value::Time(time) => time.map_or_else(String::new, millis),
        Value::Count(count) if column.letter == 'R' => count.to_string(),
        _ => String::new(),
    }
}

/// A share as a percentage that fits five characters.
fn percent(share: f64) -> String {
    if share >= 0.9995 { "100%".into() } else { format!("{:.1}%", share * 100.0) }
}

/// Milliseconds in at most five characters.
#[must_use]
pub fn millis(span: Span) -> String {
    let millis = span.as_millis_f64();
    match millis {
        _ if millis < 999.95 => format!("{millis:.1}"),
        _ if millis < 99_999.5 => format!("{millis:.0}"),
        _ => format!("{:.0}s", millis / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::columns::Columns;

    #[test]
    fn what_is_shown_at_first_is_there() {
        for order in [LATENCY, JITTER] {
            assert!(order.parse::<Columns>().is_ok());
        }
    }

    #[test]
    fn what_is_shown_fits_its_column() {
        for (nanos, text) in [
            (0, "0.0"),
            (12_340_000, "12.3"),
            (999_949_999, "999.9"),
            (999_950_000, "1000"),
            (1_302_000_000, "1302"),
            (600_000_000_000, "600s"),
        ] {
            assert_eq!(millis(Span::from_nanos(nanos)), text);
        }
        assert_eq!([0.0, 0.125, 0.9994, 1.0].map(percent), ["0.0%", "12.5%", "99.9%", "100%"]);
    }
}
