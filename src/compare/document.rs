//! The JSON documents that can be compared, and what the others are that are given in their place.

use crate::untrusted::Untrusted;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A document that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is of the form but not whole.
    #[error(
        "this JSON document is not whole, or not as rtrace writes it: {0}; write it anew with --json"
    )]
    Form(#[from] serde_json::Error),
    /// It is another document.
    #[error(
        "this is {0}: compare recordings, or what `rtrace --json` and `rtrace paths --json` write"
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
    (super::trace::FORMAT, "a trace (--json), where all paths are wanted"),
    (super::maps::FORMAT, "a map of all paths, where one trace is wanted"),
];
/// What another one is by a key that no other form has.
const KEYS: &[(&str, &str)] = &[
    ("prb_id", "a result of RIPE Atlas (--format atlas)"),
    ("stop_reason", "a trace of scamper (--format scamper)"),
    ("report", "a report of mtr"),
];

/// The `format` of a JSON document, if it has one.
///
/// # Errors
/// When it is of none that can be compared.
pub fn format(json: &[u8]) -> Result<String, ParseError> {
    // The first value: of forms made of lines, the first line.
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Value>();
    let first = values.next().transpose()?.unwrap_or_default();
    let several = values.next().is_some_and(|more| more.is_ok());
    if let Some(documents) = first.as_array() {
        let what = format!("an array of {} documents, of which one at a time", documents.len());
        return Err(ParseError::Kind(what + " can be compared (rtrace replay --trace N)"));
    }
    let format = first.get("format").and_then(Value::as_str);
    if let Some(format) =
        format.filter(|it| [super::trace::FORMAT, super::maps::FORMAT].contains(it))
    {
        if several {
            return Err(ParseError::Kind("several documents in one file".to_owned()));
        }
        return Ok(format.to_owned());
    }
    Err(ParseError::Kind(kind(&first, format)))
}

/// What a document is that cannot be compared.
fn kind(document: &Value, format: Option<&str>) -> String {
    let named = FORMATS.iter().find(|(name, _)| format == Some(*name));
    let known = named.or_else(|| KEYS.iter().find(|(key, _)| document.get(key).is_some()));
    match (known, format) {
        (Some((_, what)), _) => (*what).to_owned(),
        // Whatever it says goes to a terminal.
        (None, Some(format)) => {
            format!("a document of the form \"{}\"", Untrusted::from(format).escaped())
        }
        (None, None) => "no JSON document of a trace".to_owned(),
    }
}

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
            found => Err(ParseError::Kind(kind(&Value::Null, Some(&found)))),
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
            (r#"{"format":"rtrace-tr"#, "not whole"),
        ] {
            let said = format(json.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("--json"), "{json}: {said}");
        }
        assert_eq!(format(br#"{"format":"rtrace-paths"}"#).unwrap(), "rtrace-paths");
    }
}
