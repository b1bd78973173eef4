//! What is told of a hop, by mtr's letters, titles and widths, and by three of our own.

use std::str::FromStr;

use crate::time::Span;
use crate::trace::summary::Summary;
use crate::trace::table::{Responder, Row};

/// What mtr shows unless told otherwise.
const DEFAULT: &str = "LS NABWV";
/// More than anybody has use for.
const MOST: usize = 64;

/// What columns are made of: counts and times of a hop, or of one of its hosts.
#[derive(Clone, Copy)]
pub(super) struct Figures<'a> {
    pub sent: u64,
    /// Late ones too.
    pub received: u64,
    pub lost: u64,
    pub late: u64,
    /// The share of those lost, from 0 to 1.
    pub loss: f64,
    pub rtts: &'a Summary,
}

impl<'a> Figures<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self {
            sent: row.sent,
            received: row.received + row.late,
            lost: row.lost(),
            late: row.late,
            loss: row.loss(),
            rtts: &row.rtts,
        }
    }

    /// Those of one host: what was sent and lost is the hop's, since nobody can tell whom a lost probe met.
    pub(super) fn of_host(row: &'a Row, host: &'a Responder) -> Self {
        Self { received: host.rtts.count(), rtts: &host.rtts, ..Self::of(row) }
    }
}

/// What stands in a column.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// Nothing but space; in mtr's table, how many were lost.
    Space(u64),
    Count(u64),
    /// A share, from 0 to 1.
    Share(f64),
    /// Milliseconds; none are zero.
    Time(Option<Span>),
}

pub(super) struct Column {
    letter: char,
    pub title: &'static str,
    pub width: usize,
    what: &'static str,
    pub value: fn(Figures<'_>) -> Value,
}

macro_rules! columns {
    ($($letter:literal $title:literal $width:literal $what:literal $value:expr;)*) => {
        &[$(Column {
            letter: $letter,
            title: $title,
            width: $width,
            what: $what,
            value: $value,
        }),*]
    };
}

const COLUMNS: &[Column] = columns! {
    ' ' " " 1 "a space" |it| Value::Space(it.lost);
    'L' "Loss%" 6 "loss" |it| Value::Share(it.loss);
    'D' "Drop" 5 "lost" |it| Value::Count(it.lost);
    'R' "Rcv" 6 "received" |it| Value::Count(it.received);
    'S' "Snt" 6 "sent" |it| Value::Count(it.sent);
    'N' "Last" 6 "last RTT" |it| Value::Time(it.rtts.last());
    'B' "Best" 6 "best" |it| Value::Time(it.rtts.best());
    'A' "Avg" 6 "average" |it| Value::Time(it.rtts.mean());
    'W' "Wrst" 6 "worst" |it| Value::Time(it.rtts.worst());
    'V' "StDev" 6 "standard deviation" |it| Value::Time(it.rtts.deviation());
    'G' "Gmean" 6 "geometric mean" |it| Value::Time(it.rtts.geometric_mean());
    'J' "Jttr" 5 "jitter" |it| Value::Time(it.rtts.jitter());
    'M' "Javg" 5 "mean jitter" |it| Value::Time(it.rtts.mean_jitter());
    'X' "Jmax" 5 "worst jitter" |it| Value::Time(it.rtts.worst_jitter());
    'I' "Jint" 5 "interarrival jitter" |it| Value::Time(it.rtts.interarrival_jitter());
    // Not mtr's:
    'H' "Med" 6 "median" |it| Value::Time(it.rtts.quantile(0.5));
    'P' "P95" 6 "95th percentile" |it| Value::Time(it.rtts.quantile(0.95));
    'T' "Late" 5 "late" |it| Value::Count(it.late);
};

/// A choice of columns, in order.
#[derive(Clone)]
pub struct Columns(Vec<&'static Column>);

impl Columns {
    pub(super) fn iter(&self) -> impl Iterator<Item = &'static Column> {
        self.0.iter().copied()
    }
}

impl std::fmt::Debug for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.iter().map(|column| column.letter).collect::<String>())
    }
}

impl Default for Columns {
    fn default() -> Self {
        DEFAULT.parse().unwrap_or(Self(Vec::new()))
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(letters: &str) -> Result<Self, String> {
        let known = |letter| COLUMNS.iter().find(|column| column.letter == letter);
        let columns: Option<Vec<_>> = letters.chars().map(known).collect();
        match columns.filter(|columns| (1..=MOST).contains(&columns.len())) {
            Some(columns) => Ok(Self(columns)),
            None => Err(format!("it must be 1 to {MOST} of the letters {}", describe())),
        }
    }
}

/// What each letter stands for.
#[must_use]
pub fn describe() -> String {
    let known = COLUMNS.iter().skip(1).map(|column| format!("{} {}", column.letter, column.what));
    known.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_choose_columns_in_their_order() {
        let columns: Columns = "LS NABWV".parse().unwrap();
        let titles: Vec<_> = columns.iter().map(|column| column.title).collect();
        assert_eq!(titles, ["Loss%", "Snt", " ", "Last", "Avg", "Best", "Wrst", "StDev"]);
        for wrong in ["", "LZ", "l", &"L".repeat(65)] {
            let error = wrong.parse::<Columns>().unwrap_err();
            assert!(error.contains("H median"), "{error}");
        }
    }
}
