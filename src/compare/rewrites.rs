//! What is rewritten on the way in one trace and not in another, by what routers quote of the probes.
//!
//! A recording has whole quotes and so every field (`trace::inspect` names them); a JSON document has less. A field
//! counts only if both have it, and as no longer rewritten only if it is quoted at that hop or beyond it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Pair;

/// What a JSON document has of addresses, ports and checksums: that one of them was not quoted as it was sent.
pub const OF_DOCUMENT: &str = "address, port or checksum";
/// Fields that are rewritten to a value of choice, the same for all probes: another value is another policy.
const CHOSEN: [&str; 5] = ["DSCP", "ECN", "MSS", "window", "flags"];

/// How a field was quoted at a hop.
#[derive(Clone, Debug, Default, PartialEq)]
struct Tally {
    as_sent: usize,
    /// What it had become, each value once.
    became: BTreeSet<String>,
}

/// How fields were quoted, hop by hop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quotes {
    fields: BTreeMap<String, BTreeMap<u8, Tally>>,
}

/// A field that is rewritten in one trace alone, or to something else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rewriting {
    /// Which, as `rtrace inspect` calls it.
    pub field: String,
    /// Whether that counts as a change of the path. What only some of the probes of a hop show may be that of one
    /// branch, and does not.
    pub change: bool,
    /// How it was rewritten, and is.
    pub rewritten: Pair<Option<Rewritten>>,
}

/// How a field is rewritten.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rewritten {
    /// The first hop that quotes it so.
    pub hop: u8,
    /// What it became, where that is known.
    pub values: BTreeSet<String>,
}

impl Quotes {
    /// Notes that this hop quotes a field, as it was sent or as something else.
    pub fn note(&mut self, field: &str, hop: u8, became: Option<String>) {
        let hops = self.fields.entry(field.to_owned()).or_default();
        let tally = hops.entry(hop).or_default();
        match became {
            None => tally.as_sent += 1,
            Some(value) => drop(tally.became.insert(value)),
        }
    }

    /// Adds the quotes of the same trace from another source; its fields replace those of [`OF_DOCUMENT`].
    #[must_use]
    pub fn with(mut self, more: Self) -> Self {
        self.fields.extend(more.fields);
        self
    }

    /// What differs between the second and the first. `branching` says of a hop whether other branches may have been drawn there.
    pub(super) fn compare(&self, after: &Self, branching: impl Fn(u8) -> bool) -> Vec<Rewriting> {
        let both = self
            .fields
            .iter()
            .filter_map(|(field, before)| Some((field, before, after.fields.get(field)?)));
        let whole = |quotes: &Self| quotes.fields.contains_key("source address");
        let told_apart = whole(self) && whole(after);
        let both = both.filter(|(field, ..)| !(told_apart && *field == OF_DOCUMENT));
        both.filter_map(|(field, before, after)| {
            let rewritten = Pair { before: rewritten(before), after: rewritten(after) };
            let at = match &rewritten {
                Pair { before: Some(one), after: Some(other) } => {
                    let same =
                        !one.values.is_disjoint(&other.values) || !CHOSEN.contains(&field.as_str());
                    (!same).then_some(one.hop.min(other.hop))?
                }
                Pair { before: Some(one), after: None } => reaches(after, one.hop)?,
                Pair { before: None, after: Some(one) } => reaches(before, one.hop)?,
                _ => return None,
            };
            let change = !partly(before) && !partly(after) && !branching(at);
            Some(Rewriting { field: field.clone(), change, rewritten })
        })
        .collect()
    }
}

fn rewritten(hops: &BTreeMap<u8, Tally>) -> Option<Rewritten> {
    let mut shown = hops.iter().filter(|(_, tally)| !tally.became.is_empty());
    let (hop, first) = shown.next()?;
    Some(Rewritten { hop: *hop, values: first.became.clone() })
}

/// This hop, if the field is quoted there or beyond it.
fn reaches(hops: &BTreeMap<u8, Tally>, hop: u8) -> Option<u8> {
    hops.range(hop..).next().map(|_| hop)
}

/// Whether probes of one hop show different things.
fn partly(hops: &BTreeMap<u8, Tally>) -> bool {
    hops.values().any(|tally| tally.as_sent > 0 && !tally.became.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quotes of one field by each hop; "." is as sent.
    fn quotes(field: &str, hops: &[&str]) -> Quotes {
        let mut quotes = Quotes::default();
        for (hop, shown) in (1..).zip(hops) {
            for value in shown.split_whitespace() {
                quotes.note(field, hop, (value != ".").then(|| value.to_owned()));
            }
        }
        quotes
    }

    #[test]
    fn a_field_is_compared_as_far_as_both_quote_it() {
        type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Option<bool>);
        let cases: [Case<'_>; 9] = [
            ("DSCP", &[".", ".", "10", "10"], &[".", ".", ".", "."], Some(true)),
            ("DSCP", &[".", ".", ".", "."], &[".", "10", "10", "10"], Some(true)),
            ("DSCP", &[".", "10"], &[".", "26"], Some(true)),
            ("source port", &[".", "1024"], &[".", "1025"], None),
            ("DSCP", &[".", "10", "."], &[".", ".", "10"], None),
            // Nobody says what it is beyond the second hop.
            ("DSCP", &[".", ".", "10"], &[".", "."], None),
            ("DSCP", &[".", ".", "10"], &[".", ".", "", "."], Some(true)),
            // A branch rewrites, the other does not.
            ("DSCP", &[".", ". 10", ". 10"], &[".", ".", "."], Some(false)),
            ("MSS", &[], &[".", "1200"], None),
        ];
        for (field, before, after, expected) in cases {
            let found = quotes(field, before).compare(&quotes(field, after), |_| false);
            let found = found.first().map(|it| it.change);
            assert_eq!(found, expected, "{field} {before:?} {after:?}");
        }
        let (before, after) = (quotes("ECN", &["."]), quotes("ECN", &["1"]));
        assert!(!before.compare(&after, |hop| hop == 1)[0].change, "among other branches");
    }
}
