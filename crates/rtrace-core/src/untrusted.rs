//! Text from outside, and the only way to write it.
//!
//! Whatever the network, a recording, a database, a topology, a file name or a command line says is hostile: it may
//! steer the terminal that shows it, reorder the text around it, or break the syntax of the document that it stands
//! in. Such text is an [`Untrusted`] from where it comes in. It has no `Display`, no `Deref` and no `AsRef<str>`: who
//! writes it asks for the form that fits what is written, and `Debug` and `Serialize` write a safe form as well.
//!
//! One rule is below all forms: a character that is not [`harmless`] becomes `?`, or an escape. Harmless text is written as it is,
//! so that programs that read a report see no difference.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};
use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// What stands for a character that is not written.
const INSTEAD: char = '?';

/// The longest that a domain name can be (RFC 1035 §2.3.4), and that other names are kept.
const LONGEST: usize = 255;

/// What names of companies and cities have besides letters and digits.
const PROSE: &str = " -_.,&'()/+@*:#!";

/// Text from outside. See the [module](self).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What is no UTF-8 becomes U+FFFD.
impl From<&[u8]> for Untrusted {
    fn from(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// What is no UTF-8 becomes U+FFFD.
impl From<&std::path::Path> for Untrusted {
    fn from(path: &std::path::Path) -> Self {
        Self(path.to_string_lossy().into_owned())
    }
}

/// Comparing writes nothing.
impl PartialEq<str> for Untrusted {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

/// Writes the text in quotes, as evidence.
impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escaped())
    }
}

/// Writes the form for terminals in every format: JSON that is decoded and printed stays harmless.
impl Serialize for Untrusted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

/// What a spreadsheet takes for the beginning of a formula, also as wide as a letter of Chinese.
const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

impl Untrusted {
    /// For a terminal: one line, with `?` for every character that is not [`harmless`]. This is also the form of strings
    /// in JSON, of labels in Prometheus and of comments in recordings, whose writers escape their own syntax.
    #[must_use]
    pub fn shown(&self) -> String {
        self.where_fits(|_| true)
    }

    /// For evidence and errors, where it counts what exactly was said: one line, with an escape of Rust in the place of
    /// every character that is not [`harmless`], and a backslash before quotes and backslashes.
    #[must_use]
    pub fn escaped(&self) -> String {
        let mut safe = String::new();
        for c in self.0.chars() {
            match c {
                '\\' | '"' | '\'' | '\0' | '\t' | '\n' | '\r' => safe.extend(c.escape_debug()),
                c if may_follow(safe.chars().next_back(), c) => safe.push(c),
                c => safe.extend(c.escape_unicode()),
            }
        }
        safe
    }

    /// Writes the text as one word, for outputs whose readers split at blanks: letters and digits of any script, and what host names and
    /// addresses have besides.
    #[must_use]
    pub fn word(&self) -> String {
        self.only("-_.:%")
    }

    /// Letters and digits of any script, and this punctuation.
    #[must_use]
    pub fn only(&self, punctuation: &str) -> String {
        self.where_fits(|c| c.is_alphanumeric() || punctuation.contains(c))
    }

    /// For a cell of CSV, which the writer of the table puts in quotes: with `'` before what a spreadsheet would take
    /// for a formula. Quotes prevent none.
    #[must_use]
    pub fn cell(&self) -> String {
        let shown = self.shown();
        // Those that are not shown count too: a reader may strip what stands for them.
        let formula = self.0.starts_with(FORMULA);
        if formula { format!("'{shown}") } else { shown }
    }

    /// For character data and attributes of XML (1.0 §2.2, §2.4).
    #[must_use]
    pub fn xml(&self) -> String {
        let mut safe = String::new();
        for c in self.shown().chars() {
            match c {
                '&' => safe.push_str("&amp;"),
                '<' => safe.push_str("&lt;"),
                '>' => safe.push_str("&gt;"),
                '"' => safe.push_str("&quot;"),
                '\'' => safe.push_str("&apos;"),
                c => safe.push(c),
            }
        }
        safe
    }

    /// For inside the quotes of Graphviz.
    #[must_use]
    pub fn dot(&self) -> String {
        self.shown().replace('\\', "\\\\").replace('"', "\\\"")
    }

    /// For inside the quotes of Mermaid: all but plain characters as entities.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut safe = String::new();
        for c in self.shown().chars() {
            if c.is_ascii_alphanumeric() || " .:-_()*!=~".contains(c) {
                safe.push(c);
            } else {
                let _ = write!(safe, "#{};", u32::from(c));
            }
        }
        safe
    }

    /// Writes everything but ASCII letters, digits, `-`, `_` and `.` as `?`, cut at 255 characters.
    #[must_use]
    pub fn ascii(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        self.0.chars().take(LONGEST).map(|c| if plain(c) { c } else { INSTEAD }).collect()
    }

    /// What it is good for as the name of a host: [`ascii`](Self::ascii), and really a name. An address as text is none:
    /// it is what some resolvers say for want of one, and what a liar would say. Nor is the root of all names, `.`.
    #[must_use]
    pub fn host_name(&self) -> Option<Self> {
        let is_name = self.0.contains(|c| c != '.') && self.0.parse::<IpAddr>().is_err();
        is_name.then(|| Self(self.ascii()))
    }

    /// What it is good for as the name of a company or a city: letters and digits of any script, blanks and some
    /// punctuation, cut at 255 characters. `None` if nothing is left to show.
    #[must_use]
    pub fn prose(&self) -> Option<Self> {
        let cut = Self(self.0.trim().chars().take(LONGEST).collect());
        let text = cut.only(PROSE);
        (!text.is_empty()).then_some(Self(text))
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn where_fits(&self, fits: impl Fn(char) -> bool) -> String {
        let mut before = None;
        let written = self.0.chars().map(|c| {
            let kept = may_follow(before, c) && fits(c);
            *before.insert(if kept { c } else { INSTEAD })
        });
        written.collect()
    }
}

/// Whether a character may be written behind this one: it is harmless, and joins nothing but a letter or a digit, so
/// that text joins nothing of what is before it, wherever that begins.
fn may_follow(before: Option<char>, c: char) -> bool {
    let is_base = |before: char| before.is_alphanumeric() || is_mark(before);
    harmless(c) && (!is_mark(c) || before.is_some_and(is_base))
}

/// Whether a character can do nothing but be seen: it is assigned, and not for private use, no control, no format
/// character (which can reverse text, or have no width), no separator of lines, and nothing that is invisible.
#[must_use]
pub fn harmless(c: char) -> bool {
    let steers = matches!(
        get_general_category(c),
        Category::Control
            | Category::Format
            | Category::Surrogate
            | Category::PrivateUse
            | Category::Unassigned
            | Category::LineSeparator
            | Category::ParagraphSeparator
    );
    !steers && !is_invisible(c)
}

/// What has no width though it is a letter or a mark: fillers, the grapheme joiner, and selectors of variants
/// (`Default_Ignorable_Code_Point` of Unicode, without format characters and what is not assigned).
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Whether a character joins the one before it.
fn is_mark(c: char) -> bool {
    let category = get_general_category(c);
    matches!(category, Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark)
}

#[cfg(test)]
mod tests;
