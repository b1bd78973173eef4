//! The columns of the hop table, and the letters by which they are chosen: those of mtr(8) and a few more.

use crate::time::Span;
use crate::trace::summary::Summary;
use crate::trace::table::{Loss, Row};

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What chooses it.
    pub letter: char,
    /// What stands above it.
    pub header: &'static str,
    /// What it is.
    pub what: &'static str,
    value: Value,
}

/// Where its values come from.
#[derive(Clone, Copy, Debug)]
enum Value {
    Loss,
    Count(fn(&Row) -> u64),
    Rtt(fn(&Summary) -> Option<Span>),
}

/// All that there are.
pub const COLUMNS: &[Column] = &[
    column('L', "Loss%", "loss: what was never answered", Value::Loss),
    column('D', "Drop", "dropped: never answered", Value::Count(Row::lost)),
    column('R', "Rcv", "received in time", Value::Count(|row| row.received)),
    column('S', "Snt", "sent", Value::Count(|row| row.sent)),
    column('T', "Late", "received late: after it had been given up", Value::Count(|row| row.late)),
    column('N', "Last", "newest RTT", Value::Rtt(Summary::last)),
    column('B', "Best", "best RTT", Value::Rtt(Summary::best)),
    column('A', "Avg", "average RTT", Value::Rtt(Summary::mean)),
    column('W', "Wrst", "worst RTT", Value::Rtt(Summary::worst)),
    column('V', "StDev", "standard deviation", Value::Rtt(Summary::deviation)),
    column('G', "Gmean", "geometric mean", Value::Rtt(Summary::geometric_mean)),
    column('E', "Med", "median", Value::Rtt(|rtts| rtts.quantile(0.5))),
    column('P', "p95", "95th percentile", Value::Rtt(|rtts| rtts.quantile(0.95))),
    column('J', "Jttr", "jitter: the last difference", Value::Rtt(Summary::jitter)),
    column('M', "Javg", "mean jitter", Value::Rtt(Summary::mean_jitter)),
    column('X', "Jmax", "worst jitter", Value::Rtt(Summary::worst_jitter)),
    column('I', "Jint", "interarrival jitter", Value::Rtt(Summary::interarrival_jitter)),
];

/// What is shown of latency, and of jitter: the most important first, since what has no room is left out.
pub const LATENCY: &str = "LS NABWVJEPT";
/// What is shown of jitter.
pub const JITTER: &str = "DR AGJMXI";

const fn column(letter: char, header: &'static str, what: &'static str, value: Value) -> Column {
    Column { letter, header, what, value }
}

/// The column of this letter, of either case.
#[must_use]
pub fn by_letter(letter: char) -> Option<Column> {
    COLUMNS.iter().copied().find(|column| column.letter == letter.to_ascii_uppercase())
}

impl Column {
    /// How wide it is, with the blank before it, where a hop was sent at most so many probes.
    #[must_use]
    pub fn width(self, most: u64) -> u16 {
        let digits = most.checked_ilog10().map_or(1, |digits| digits + 1);
        match self.value {
            Value::Loss | Value::Rtt(_) => 6,
            Value::Count(_) => u16::try_from(digits.max(4) + 1).unwrap_or(u16::MAX),
        }
    }

    /// Its value for a hop, whose lost probes mean this.
    #[must_use]
    pub fn of_hop(self, row: &Row, loss: Loss) -> String {
        match self.value {
            Value::Loss if loss == Loss::RateLimited => format!("~{:.0}%", row.loss() * 100.0),
            Value::Loss => percent(row.loss()),
            Value::Count(count) => count(row).to_string(),
            Value::Rtt(rtt) => rtt(&row.rtts).map_or_else(String::new, millis),
        }
    }

    /// Its value for one of several responders of a hop: only of its replies anything is known.
    #[must_use]
    pub fn of_responder(self, rtts: &Summary) -> String {
        match self.value {
            Value::Rtt(rtt) => rtt(rtts).map_or_else(String::new, millis),
            Value::Count(_) if self.letter == 'R' => rtts.count().to_string(),
            Value::Loss | Value::Count(_) => String::new(),
        }
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

    #[test]
    fn letters_are_all_different_and_mtr_s_are_there() {
        for column in COLUMNS {
            let found = by_letter(column.letter.to_ascii_lowercase()).unwrap();
            assert_eq!(found.header, column.header);
        }
        for letter in "LDRSNBAWVGJMXI".chars() {
            assert!(by_letter(letter).is_some(), "{letter}");
        }
        for order in [LATENCY, JITTER] {
            assert!(order.chars().all(|letter| letter == ' ' || by_letter(letter).is_some()));
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
