//! The forms, against text made of what is hostile to any of them.

use proptest::prelude::*;

use super::*;

/// Characters that no form may let through, and that this test knows without asking whom the escaper asks.
const HOSTILE: &[char] = &[
    '\0',
    '\t',
    '\n',
    '\r',
    '\u{1b}',
    '\u{7f}',
    '\u{85}',
    '\u{9b}',
    '\u{ad}',
    '\u{34f}',
    '\u{61c}',
    '\u{115f}',
    '\u{180e}',
    '\u{200b}',
    '\u{200d}',
    '\u{200e}',
    '\u{200f}',
    '\u{2028}',
    '\u{2029}',
    '\u{202a}',
    '\u{202e}',
    '\u{2060}',
    '\u{2066}',
    '\u{2069}',
    '\u{3164}',
    '\u{378}',
    '\u{e000}',
    '\u{fdd0}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{fff9}',
    '\u{ffff}',
    '\u{e0001}',
    '\u{e0041}',
    '\u{e0100}',
    '\u{10ffff}',
];

/// Marks that join what is before them.
const MARKS: &[char] = &['\u{301}', '\u{903}', '\u{20dd}', '\u{302a}', '\u{1d165}'];

fn text() -> impl Strategy<Value = Untrusted> {
    let piece = prop_oneof![
        2 => prop::sample::select(HOSTILE),
        1 => prop::sample::select(MARKS),
        2 => prop::sample::select("=+-@'\"\\<>&;,#|`[]{}() ._:%/\u{e9}\u{4e2d}a1".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|text| String::from_iter(text).into())
}

fn is_clean(text: &str) -> bool {
    let joins = |(before, c): (char, char)| MARKS.contains(&c) && "?\"'\\ .-#;}".contains(before);
    let mut pairs = std::iter::once('"').chain(text.chars()).zip(text.chars());
    !text.contains(|c| HOSTILE.contains(&c)) && !pairs.any(joins)
}

proptest! {
    #[test]
    fn no_form_lets_hostile_characters_through(text in text()) {
        let forms = [
            text.shown(), text.escaped(), text.word(), text.cell(), text.xml(), text.dot(), text.mermaid(), text.ascii(),
            text.host_name().unwrap_or_default().shown(), text.prose().unwrap_or_default().shown(),
            format!("{text:?}"), serde_json::to_string(&text).unwrap(),
        ];
        for form in forms {
            prop_assert!(is_clean(&form), "{form:?}");
        }
    }

    /// So that a replay of a recording, which holds what is shown, writes the same.
    #[test]
    fn what_is_shown_is_shown_as_it_is(text in text()) {
        let shown = Untrusted::from(text.shown());
        prop_assert_eq!(shown.shown(), text.shown());
        prop_assert_eq!(shown.word(), text.word());
        prop_assert_eq!(shown.xml(), text.xml());
        prop_assert_eq!(text.shown().chars().count(), text.0.chars().count());
    }

    #[test]
    fn no_form_ends_where_its_text_does_not(text in text()) {
        let document = format!("<a b=\"{0}\">{0}</a>", text.xml());
        let read = roxmltree::Document::parse(&document).unwrap();
        prop_assert_eq!(read.root_element().text().unwrap_or_default(), text.shown());
        prop_assert_eq!(read.root_element().attribute("b").unwrap(), text.shown());
        prop_assert!(!text.mermaid().contains(['"', '<', '>', '`', '\\', '[', ']']));
        // An escape is two characters; what is left has no quotes.
        let unescaped = text.dot().replace("\\\\", "").replace("\\\"", "");
        prop_assert!(!unescaped.contains(['"', '\\']), "{}", unescaped);
        prop_assert!(!text.cell().starts_with(FORMULA));
        prop_assert!(text.word().chars().all(|c| c == '?' || c.is_alphanumeric() || "-_.:%".contains(c)));
    }
}

#[test]
fn harmless_text_is_written_as_it_is() {
    for plain in
        ["r1.example.net", "bücher.example", "São Paulo", "東京", "e\u{301}", "xe-0/0/0.7 (up)"]
    {
        let text = Untrusted::from(plain);
        assert_eq!([text.shown(), text.escaped(), text.cell(), text.dot(), text.xml()], [plain; 5]);
        assert_eq!(serde_json::to_string(&text).unwrap(), format!("\"{plain}\""));
    }
    assert_eq!(Untrusted::from("fe80::1%eth0").word(), "fe80::1%eth0");
}

#[test]
fn each_form_escapes_what_ends_it() {
    let of = Untrusted::from;
    for (got, expected) in [
        (of("a\x1b[2J\u{202e}(b) \n").shown(), "a?[2J?(b) ?"),
        (of("a\x1b[2J\u{202e}(b) \n").word(), "a??2J??b???"),
        (of("\u{301}a\u{301}").shown(), "?a\u{301}"),
        (of("\u{301}e\x1b[2J\u{3164}\n\"\\").escaped(), r#"\u{301}e\u{1b}[2J\u{3164}\n\"\\"#),
        (of("-2-3.example").cell(), "'-2-3.example"),
        (of("=1+1").cell(), "'=1+1"),
        (of("+1").cell(), "'+1"),
        (of("@x").cell(), "'@x"),
        (of("\t=1").cell(), "'?=1"),
        (of("\r=1").cell(), "'?=1"),
        (of("1-2=3").cell(), "1-2=3"),
        (of("").cell(), ""),
        (of("<a href=\"x\">&'\u{1}").xml(), "&lt;a href=&quot;x&quot;&gt;&amp;&apos;?"),
        (of(r#"a\"]; b"#).dot(), r#"a\\\"]; b"#),
        (of("a\"](<b>#").mermaid(), "a#34;#93;(#60;b#62;#35;"),
        (of("b\u{fc}cher\u{202e}.example").ascii(), "b?cher?.example"),
        (of("<script>&\"'`").ascii(), "?script?????"),
        (of(&"\u{fc}".repeat(999)).ascii(), &"?".repeat(255)),
        (format!("{:?}", of("\x1b\"")), r#""\u{1b}\"""#),
    ] {
        assert_eq!(got, expected);
    }
}

#[test]
fn names_of_hosts_are_names_and_prose_is_not_empty() {
    for (text, expected) in [
        ("a-b_c.example.net", Some("a-b_c.example.net")),
        ("x (192.0.2.1)", Some("x??192.0.2.1?")),
        ("\0", Some("?")),
        ("192.0.2.1", None),
        ("::1", None),
        ("", None),
    ] {
        assert_eq!(Untrusted::from(text).host_name(), expected.map(Untrusted::from), "{text}");
    }
    for (text, expected) in [
        ("AT&T Corp., US", Some("AT&T Corp., US")),
        ("  S\u{e3}o Paulo ", Some("S\u{e3}o Paulo")),
        ("\x1b[2J\r\n<b>\u{202e}\"", Some("??2J???b???")),
        (" \t\n", None),
    ] {
        assert_eq!(Untrusted::from(text).prose(), expected.map(Untrusted::from), "{text}");
    }
    let long = Untrusted::from("\0".repeat(999)).prose();
    assert_eq!(long, Some("?".repeat(255).into()));
}
