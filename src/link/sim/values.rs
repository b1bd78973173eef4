//! Single values in a topology file: chances, times, codes and lengths, each with an error that says
//! what may be written instead.

use serde::Deserialize;

use super::node::Unreachable;
use crate::time::Span;

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Chance(pub(super) f64);

impl TryFrom<f64> for Chance {
    type Error = String;

    fn try_from(chance: f64) -> Result<Self, String> {
        let fits = (0.0..=1.0).contains(&chance);
        fits.then_some(Self(chance))
            .ok_or_else(|| format!("{chance} is not a chance, write a number from 0 to 1"))
    }
}

/// Units of time and their nanoseconds; longer names first where one ends with another.
const UNITS: &[(&str, f64)] = &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];

/// A number and its unit, in seconds.
fn seconds(text: &str) -> Option<f64> {
    let unit = UNITS.iter().find_map(|(unit, nanos)| Some((text.strip_suffix(unit)?, nanos)));
    unit.and_then(|(number, nanos)| Some(number.trim().parse::<f64>().ok()? * nanos / 1e9))
}

/// How far a clock is set: forward or, with a minus, back; up to some 30 years.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Shift(pub(super) Span);

impl TryFrom<String> for Shift {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        seconds(&text)
            .filter(|secs| secs.abs() <= 1e9)
            .map(|secs| Self(Span::from_secs_f64(secs)))
            .ok_or_else(|| {
                format!("{text:?} is not a step of a clock, write \"-3600s\" or \"1.5s\"")
            })
    }
}

/// A length of time with its unit, up to an hour.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Span);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        seconds(&text)
            .filter(|secs| (0.0..=3600.0).contains(secs))
            .map(|secs| Self(Span::from_secs_f64(secs)))
            .ok_or_else(|| {
                format!("{text:?} is not a time, write \"1.2ms\" (ns, us, ms or s, up to 3600s)")
            })
    }
}

/// Codes of destination unreachable by name (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1), and what
/// says the same or nearly so in `ICMPv6` (RFC 4443 §3.1, RFC 6554 §3.1 for source routes).
const CODES: &[(&str, u8, u8)] = &[
    ("net", 0, 0),
    ("host", 1, 3),
    ("protocol", 2, 4),
    ("port", 3, 4),
    ("source-route", 5, 7),
    ("net-unknown", 6, 0),
    ("host-unknown", 7, 3),
    ("isolated", 8, 3),
    ("net-prohibited", 9, 1),
    ("host-prohibited", 10, 1),
    ("net-tos", 11, 0),
    ("host-tos", 12, 3),
    ("admin", 13, 1),
    ("prohibited", 13, 1),
    ("precedence-violation", 14, 1),
    ("precedence-cutoff", 15, 1),
    ("beyond-scope", 1, 2),
    ("source-policy", 13, 5),
    ("reject-route", 0, 6),
];

/// A number, or a word that stands for one.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number or a word in quotes is wanted here")]
pub(super) enum Number {
    Plain(u16),
    Word(String),
}

/// A code of destination unreachable, by name or number. A number is meant in both families.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Number")]
pub(super) struct Code(pub(super) Unreachable);

impl TryFrom<Number> for Code {
    type Error = String;

    fn try_from(number: Number) -> Result<Self, String> {
        let code = match &number {
            Number::Plain(code) => u8::try_from(*code).ok().map(Unreachable::from),
            Number::Word(word) => CODES
                .iter()
                .find(|(name, ..)| name == word)
                .map(|(_, v4, v6)| Unreachable { v4: *v4, v6: *v6 }),
        };
        code.map(Self).ok_or_else(|| {
            let names: Vec<_> = CODES.iter().map(|(name, ..)| *name).collect();
            format!("no such code, write a number up to 255 or one of {}", names.join(", "))
        })
    }
}

/// A number of octets to quote, or "full".
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Number")]
pub(super) struct Quote(pub(super) usize);

impl TryFrom<Number> for Quote {
    type Error = String;

    fn try_from(number: Number) -> Result<Self, String> {
        match number {
            Number::Plain(octets) => Ok(Self(octets.into())),
            Number::Word(word) if word == "full" => Ok(Self(usize::MAX)),
            Number::Word(_) => Err("write a number of octets, or \"full\"".into()),
        }
    }
}
