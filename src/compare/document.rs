//! The JSON documents that can be compared, and what the others are that are given in their place.

use std::fmt;

pub use crate::schema::{MAP, TRACE};
use crate::untrusted::Untrusted;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The longest document that is read, in octets: that of some 12,000 probes. What is kept of one that is made for it
/// takes several times as much room.
pub const LONGEST: u64 = 8 << 20;

/// A document that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It has the format, but is incomplete.
    #[error("this JSON document is incomplete, or not by rtrace: {0}; write it again with --json")]
    Form(#[from] serde_json::Error),
    /// It is another kind of document.
    #[error(
        "this is {0}: compare recordings, or documents of `rtrace --json` and `rtrace paths --json`"
    )]
    Kind(String),
}

/// What a document of rtrace is by its `format`.
const FORMATS: &[(&str, &str)] = &[
    ("rtrace-inspection", "an inspection (--inspect), which has no whole trace"),
    ("rtrace-events", "a trace as events (--format ndjson)"),
    ("rtrace-watch", "a watch as events (--format ndjson)"),
    ("rtrace-report", "a report of rounds (rtrace report --json)"),
    ("rtrace-diff", "a comparison (rtrace diff --json)"),
    (TRACE, "a trace (--json), where all paths are wanted"),
    (MAP, "a map of all paths, where one trace is wanted"),
];
/// What another one is by a key that no other form has.
const KEYS: &[(&str, &str)] = &[
    ("prb_id", "a result of RIPE Atlas (--format atlas)"),
    ("stop_reason", "a trace of scamper (--format scamper)"),
    ("report", "a report of mtr"),
];

/// What a document shows of what it is, without being kept.
#[derive(Default)]
struct Outline {
    /// Of an array, how many documents there are in it.
    array: Option<usize>,
    format: Option<String>,
    /// What it is by another key.
    known: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Outliner)
    }
}

struct Outliner;

impl<'de> Visitor<'de> for Outliner {
    type Value = Outline;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
        /// A format is a text; anything else is none.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Format {
            Text(String),
            Other(IgnoredAny),
        }
        let mut outline = Outline::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == "format" {
                outline.format = match map.next_value()? {
                    Format::Text(text) => Some(text),
                    Format::Other(_) => None,
                };
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            let known = KEYS.iter().find(|(known, _)| *known == key).map(|(_, what)| *what);
            outline.known = outline.known.or(known);
        }
        Ok(outline)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Outline, A::Error> {
        let mut documents = 0;
        while array.next_element::<IgnoredAny>()?.is_some() {
            documents += 1;
        }
        Ok(Outline { array: Some(documents), ..Outline::default() })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Outline, E> {
        Ok(Outline::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Outline, E> {
        Ok(Outline::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Outline, E> {
        Ok(Outline::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Outline, E> {
        Ok(Outline::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Outline, E> {
        Ok(Outline::default())
    }

    fn visit_unit<E>(self) -> Result<Outline, E> {
        Ok(Outline::default())
    }
}

/// The `format` of a JSON document, if it has one.
///
/// # Errors
/// When it is of none that can be compared.
pub fn format(json: &[u8]) -> Result<String, ParseError> {
    // The first value: of forms made of lines, the first line.
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Outline>();
    let first = values.next().transpose()?.unwrap_or_default();
    let several = values.next().is_some_and(|more| more.is_ok());
    if let Some(documents) = first.array {
        let what = format!("an array of {documents} documents, of which one at a time");
        return Err(ParseError::Kind(what + " can be compared (rtrace replay --trace N)"));
    }
    let comparable = [TRACE, MAP];
    match &first.format {
        Some(format) if comparable.contains(&format.as_str()) => {
            if several {
                return Err(ParseError::Kind("several documents in one file".to_owned()));
            }
            Ok(format.clone())
        }
        format => Err(ParseError::Kind(kind(first.known, format.as_deref()))),
    }
}

/// What a document is that cannot be compared.
fn kind(known: Option<&str>, format: Option<&str>) -> String {
    let named = FORMATS.iter().find(|(name, _)| format == Some(*name)).map(|(_, what)| *what);
    match (named.or(known), format) {
        (Some(what), _) => what.to_owned(),
        // Whatever it says goes to a terminal.
        (None, Some(format)) => {
            let shown: String = Untrusted::from(format).escaped().chars().take(SHOWN).collect();
            format!("a document of the form \"{shown}\"")
        }
        (None, None) => "no JSON document of a trace".to_owned(),
    }
}

/// How much of an unknown format's name is shown.
const SHOWN: usize = 80;

/// Reads a document of this `format`.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8], wanted: &str) -> Result<T, ParseError> {
    #[derive(Deserialize)]
    struct Head {
        format: Option<String>,
    }
    match serde_json::from_slice(json) {
        Ok(Head { format: Some(found) }) if found == wanted => Ok(serde_json::from_slice(json)?),
        _ => match format(json)? {
            found if found == wanted => Ok(serde_json::from_slice(json)?),
            found => Err(ParseError::Kind(kind(None, Some(&found)))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_compared_is_called_by_its_name() {
        for (json, words) in [
            (r#"{"event":"begin","format":"rtrace-events"} {"event":"end"}"#, "--format ndjson"),
            (r#"{"format":"rtrace-inspection"}"#, "an inspection"),
            (r#"{"format":"rtrace-report","report":{}}"#, "report of rounds"),
            (r#"{"fw":5080,"prb_id":0}"#, "RIPE Atlas"),
            (r#"{"type":"trace","stop_reason":"COMPLETED"}"#, "scamper"),
            (r#"[{"format":"rtrace-trace"},{}]"#, "an array of 2"),
            (r#"{"format":"rtrace-trace"} {"format":"rtrace-trace"}"#, "several documents"),
            (r#"{"format":"\u001b[2J"}"#, r"\u{1b}[2J"),
            ("{}", "no JSON document of a trace"),
            ("7", "no JSON document of a trace"),
            (r#"{"format":"rtrace-tr"#, "incomplete"),
        ] {
            let said = format(json.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("--json"), "{json}: {said}");
        }
        assert_eq!(format(br#"{"format":"rtrace-paths"}"#).unwrap(), "rtrace-paths");
    }
}
