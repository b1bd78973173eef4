//! The columns of a hop over many rounds, in reports and on the screen: by mtr's letters, titles and widths, and by
//! three of our own.

use std::str::FromStr;

use crate::time::Span;
use crate::trace::summary::Summary;
use crate::trace::table::{Responder, Row};

/// mtr's default columns.
pub const DEFAULT: &str = "LS NABWV";
/// More than anybody has use for.
const MOST: usize = 64;

/// What columns are made of: counts and times of a hop, or of one of its hosts.
#[derive(Clone, Copy)]
pub struct Figures<'a> {
    /// Probes sent.
    pub sent: u64,
    /// Those answered, late ones too.
    pub received: u64,
    /// Those never answered.
    pub lost: u64,
    /// Those answered late.
    pub late: u64,
    /// The share of those lost, from 0 to 1.
    pub loss: f64,
    /// The times of the answers.
    pub rtts: &'a Summary,
}

impl<'a> Figures<'a> {
    /// The values of a hop.
    #[must_use]
    pub fn of(row: &'a Row) -> Self {
        Self {
            sent: row.sent,
            received: row.received + row.late,
            lost: row.lost(),
            late: row.late,
            loss: row.loss(),
            rtts: &row.rtts,
        }
    }

    /// The values of one host: sent and lost are the hop's, since a lost probe shows no host.
    #[must_use]
    pub fn of_host(row: &'a Row, host: &'a Responder) -> Self {
        let rtts = row.rtts_of(host);
        Self { received: rtts.count(), rtts, ..Self::of(row) }
    }
}

/// What stands in a column.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// Nothing but space; in mtr's table, how many were lost.
    Space(u64),
    /// A count.
    Count(u64),
    /// A share, from 0 to 1.
    Share(f64),
    /// Milliseconds; none are zero.
    Time(Option<Span>),
}

/// One column.
pub struct Column {
    /// What chooses it.
    pub letter: char,
    /// What stands above it.
    pub title: &'static str,
    /// How wide mtr's reports have it, with the blank before it.
    pub width: usize,
    /// What it is.
    pub what: &'static str,
    /// What it says of these.
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

/// All that there are.
pub const COLUMNS: &[Column] = columns! {
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
    'E' "Med" 6 "median" |it| Value::Time(it.rtts.quantile(0.5));
    'P' "P95" 6 "95th percentile" |it| Value::Time(it.rtts.quantile(0.95));
    'T' "Late" 5 "late" |it| Value::Count(it.late);
};

/// The column of this letter, of either case.
#[must_use]
pub fn by_letter(letter: char) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.letter == letter.to_ascii_uppercase())
}

/// A choice of columns, in order.
#[derive(Clone)]
pub struct Columns(Vec<&'static Column>);

impl Columns {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &'static Column> {
        self.0.iter().copied()
    }
}

/// Writes the letters of the columns.
impl std::fmt::Display for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.iter().try_for_each(|column| write!(f, "{}", column.letter))
    }
}

impl std::fmt::Debug for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_string())
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
        if let Some(letter) = letters.chars().find(|letter| by_letter(*letter).is_none()) {
            return Err(format!("{letter} is not one of the letters {}", describe()));
        }
        let columns: Vec<_> = letters.chars().filter_map(by_letter).collect();
        if !(1..=MOST).contains(&columns.len()) {
            return Err(format!("it must be 1 to {MOST} of the letters {}", describe()));
        }
        Ok(Self(columns))
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
        for wrong in ["", "LZ", &"L".repeat(65)] {
            let error = wrong.parse::<Columns>().unwrap_err();
            assert!(error.contains("E median"), "{error}");
        }
        let error = "LYX".parse::<Columns>().unwrap_err();
        assert!(error.starts_with("Y is not one of the letters L loss, "), "{error}");
        assert_eq!("lS n".parse::<Columns>().unwrap().to_string(), "LS N");
    }
}
