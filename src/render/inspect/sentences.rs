//! The sentences for a change and for other irregularities.

use super::super::annotation::annotation;
use super::super::extension::hex;
use crate::trace::TraceConfig;
use crate::trace::inspect::changes::Change;
use crate::trace::inspect::checksums::Verdict;
use crate::trace::inspect::oddities::Oddity;
use crate::trace::inspect::quoting::Manner;
use crate::trace::inspect::{self, Comparison, Difference, Value, fields};

/// What a checksum means that alone was changed.
const RESTORED: &str =
    "nothing else quoted explains it: suggests address translation that restored the quote";

/// Octets of a value that the text shows.
const SHOWN: usize = 8;

pub(super) fn changed(it: &Change) -> String {
    let became = match &it.before {
        Some(before) => became(it.field, before, &it.quoted, " became "),
        None => format!("{} was changed once more and became {}", it.field, shown(&it.quoted)),
    };
    let meaning = meaning(it).map_or(String::new(), |meaning| format!(" ({meaning})"));
    format!("{became}{meaning}")
}

/// What a change usually is.
pub(super) fn meaning(it: &Change) -> Option<&'static str> {
    if it.quoted == it.sent {
        return Some("as it was sent");
    }
    Some(match it.field {
        field if fields::is_checksum(field) => match it.checksum {
            _ if it.suggests_restored_quote => RESTORED,
            Some(Verdict::Right) => "it fits what else was changed",
            Some(Verdict::Absent) => "checksum taken off",
            Some(Verdict::Wrong) | None => return None,
        },
        field if fields::is_of_source(field) => "source address translation",
        inspect::DESTINATION | "destination port" => "destination address translation",
        "DSCP" => "remarked",
        "ECN" => "bleached or marked",
        "MSS" => "clamped",
        _ => return None,
    })
}

pub(super) fn findings(it: &Comparison, config: &TraceConfig) -> Vec<String> {
    let difference = |it: &Difference| became(it.field, &it.sent, &it.quoted, " > ");
    let mut said: Vec<String> = annotation(it.kind).into_iter().collect();
    said.extend(it.differences.iter().map(difference));
    let mended = it.checksum == Some(Verdict::Right);
    if mended && it.differences.iter().any(|it| fields::is_checksum(it.field)) {
        said.push("the checksum fits what was changed".to_owned());
    }
    said.extend(it.oddities(config.target).into_iter().map(oddity));
    said
}

pub(super) fn oddity(it: Oddity) -> String {
    match it {
        Oddity::TtlSet { sent, quoted } => {
            format!("the TTL was reset: sent with {sent}, quoted with {quoted}")
        }
        Oddity::TtlKept { quoted } => {
            format!(
                "the TTL was not lowered: quoted with {quoted} though it ran out, as in MPLS tunnels"
            )
        }
        Oddity::TtlZero => {
            "a TTL of 0 was forwarded: quoted with 0 by the next router or host".to_owned()
        }
        Oddity::TtlZeroQuoted { certain: true } => {
            "the TTL is quoted as 0: its way of quoting".to_owned()
        }
        Oddity::TtlZeroQuoted { certain: false } => {
            "the TTL is quoted as 0: its way of quoting, or a TTL of 0 was forwarded to it"
                .to_owned()
        }
        Oddity::Quoting { field, arrived, quoted, manner } => {
            let manner = manner.map_or("", self::manner);
            format!("{field} {arrived} is quoted as {quoted}{manner}: its way of quoting")
        }
        Oddity::Repeated { router, first, last } if first.checked_add(1) == Some(last) => format!(
            "{router} answers at both: it lowers the TTL by more than one, or the router before it by none"
        ),
        Oddity::Repeated { router, first, last } => format!(
            "{router} answers at hops {first} to {last}: it lowers the TTL by more than one, or answers for hops beyond it"
        ),
        Oddity::FromTarget => {
            "destination address translation (time exceeded comes from the target)".to_owned()
        }
        Oddity::HeaderChecksum => "the checksum of the quoted IPv4 header is wrong".to_owned(),
        Oddity::Checksum { field, translated: true, .. } => format!(
            "the {field} does not fit what is quoted: broken, or a further translation restored the quote, but not the checksum"
        ),
        Oddity::Checksum { field, whole: true, .. } => format!("the {field} does not fit: broken"),
        Oddity::Checksum { field, whole: false, .. } => {
            format!("the {field} does not fit what is quoted: broken, or more was changed")
        }
    }
}

fn manner(it: Manner) -> &'static str {
    match it {
        Manner::Swapped => ", in the wrong byte order",
        Manner::WithoutHeader => ", without the header",
        Manner::SwappedWithoutHeader => ", without the header and in the wrong byte order",
        Manner::Zero => "",
    }
}

/// A field before and after; of octets those that differ.
fn became(field: &str, before: &Value, after: &Value, word: &str) -> String {
    let Some((first, from, to)) = before.octets_changed(after) else {
        return format!("{field} {}{word}{}", shown(before), shown(after));
    };
    let place = match from.len() {
        1 => format!("octet {first}"),
        len => format!("octets {first}-{}", first + len - 1),
    };
    format!("{field} {place} {}{word}{}", few(from), few(to))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Octets(octets) => few(octets),
        other => other.to_string(),
    }
}

fn few(octets: &[u8]) -> String {
    match octets.get(..SHOWN) {
        Some(few) if octets.len() > SHOWN => format!("{}…", hex(few)),
        _ => hex(octets),
    }
}
