//! Text from outside never gets anywhere unescaped: every source is hostile at once, and no output has a character
//! that could steer who reads it, or ends where its text does not.

mod errors;
mod forms;
mod program;

use proptest::prelude::*;
use serde_json::Value;

/// Characters that must never be written, by ranges of their own: controls, format characters, separators of lines,
/// what has no width, private use, and what can never be assigned. A line feed ends lines, and is looked at apart.
const FORBIDDEN: &[std::ops::RangeInclusive<char>] = &[
    '\0'..='\t',
    '\u{b}'..='\u{1f}',
    '\u{7f}'..='\u{9f}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{e000}'..='\u{f8ff}',
    '\u{fdd0}'..='\u{fdef}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{fffe}'..='\u{ffff}',
    '\u{e0000}'..='\u{10ffff}',
];

/// Text that does harm in one form or another.
pub const PIECES: &[&str] = &[
    "\x1b[2J",
    "\x1b]0;x\x07",
    "\u{9b}31m",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "\x08",
    "\x7f",
    "\u{85}",
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
    "\u{61c}",
    "\u{2028}",
    "\u{2029}",
    "\u{200b}",
    "\u{200d}",
    "\u{feff}",
    "\u{3164}",
    "\u{fe0f}",
    "\u{ad}",
    "\u{e0041}",
    "\u{e000}",
    "\u{fdd0}",
    "\u{ffff}",
    "\u{378}",
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\"",
    "'",
    "\\",
    "\\\"",
    "</title>",
    "<script>",
    "]]>",
    "&amp;",
    "\"];",
    "\"](",
    "#34;",
    "}",
    "{",
    ",",
    ";",
    " (192.0.2.1)  9.9 ms",
    "\n 9  192.0.2.1",
    "é",
    "東",
    "name",
    ".example",
];

/// Joins what is before it, and so may begin no text.
const MARK: char = '\u{301}';

pub fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 1..6);
    (any::<bool>(), pieces).prop_map(|(mark, pieces)| {
        let first = if mark { String::from(MARK) } else { String::new() };
        first + &pieces.concat()
    })
}

/// Fails if a text has a character that must not be written, or a mark that joins what is before it.
pub fn check_characters(what: &str, text: &str) {
    let bad = text.chars().find(|c| FORBIDDEN.iter().any(|range| range.contains(c)));
    assert_eq!(bad, None, "{what}: {text:?}");
    assert!(!text.contains(MARK), "{what}: a mark joins what is before its text: {text:?}");
}

/// The form of a document, as far as it can be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Lines,
    Json,
    JsonLines,
    Csv,
    Xml,
    Dot,
    Mermaid,
}

impl Form {
    /// By the name that `--format` takes.
    pub fn of(name: &str) -> Self {
        match name {
            "text" => Self::Lines,
            "ndjson" => Self::JsonLines,
            "csv" => Self::Csv,
            "svg" => Self::Xml,
            "dot" => Self::Dot,
            "mermaid" => Self::Mermaid,
            "json" | "atlas" | "scamper" => Self::Json,
            other => panic!("{other}"),
        }
    }
}

/// Fails if what was written is not of the form or has characters that must not be written, also where its strings are
/// decoded.
pub fn check(what: &str, form: Form, written: &str) {
    check_characters(what, written);
    match form {
        Form::Lines => {}
        Form::Json => check_value(what, &serde_json::from_str(written).expect(what)),
        Form::JsonLines => {
            for line in written.lines() {
                check_value(what, &serde_json::from_str(line).expect(what));
            }
        }
        Form::Csv => check_table(what, written),
        Form::Xml => {
            let document = roxmltree::Document::parse(written).expect(what);
            for node in document.descendants() {
                check_characters(what, node.text().unwrap_or_default());
                assert!(
                    ["", "svg", "style", "rect", "text", "g", "path", "title"]
                        .contains(&node.tag_name().name()),
                    "{what}: {written}"
                );
            }
        }
        Form::Dot => {
            let lines: Vec<&str> = written.lines().collect();
            assert_eq!((lines.first(), lines.last()), (Some(&"digraph paths {"), Some(&"}")));
            for line in &lines[3..lines.len() - 1] {
                let bare = line.replace("\\\\", "").replace("\\\"", "");
                assert_eq!(bare.matches('"').count(), 2, "{what}: {line}");
                assert!(bare.starts_with("  n") && bare.ends_with("];"), "{what}: {line}");
            }
        }
        Form::Mermaid => {
            for line in written.lines().skip(1) {
                let quotes = line.matches('"').count();
                assert!(line.starts_with("  n") && [0, 2].contains(&quotes), "{what}: {line}");
            }
        }
    }
}

fn check_value(what: &str, value: &Value) {
    match value {
        Value::String(text) => {
            check_characters(what, text);
            assert!(!text.contains('\n'), "{what}: {text:?}");
        }
        Value::Array(values) => values.iter().for_each(|value| check_value(what, value)),
        Value::Object(values) => values.values().for_each(|value| check_value(what, value)),
        _ => {}
    }
}

/// Rows of equal length, and no cell that a spreadsheet would take for a formula.
fn check_table(what: &str, written: &str) {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(written.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect(what)).collect();
    // The titles of mtr end in a comma, which its rows do not.
    let lengths: Vec<usize> = rows.iter().skip(1).map(csv::StringRecord::len).collect();
    assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{what}: {lengths:?} {written}");
    for cell in rows.iter().flatten() {
        let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
        assert!(!formula || cell.parse::<f64>().is_ok(), "{what}: {cell:?}");
        check_characters(what, cell);
    }
}
