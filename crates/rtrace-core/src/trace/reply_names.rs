//! What a reply says, in words.

use std::fmt;

use super::reply::ReplyKind;
use crate::wire::extension::Family::{self, V4, V6};

/// The names of RFC 792's and RFC 4443's messages.
const MESSAGES: &[(Family, u8, Option<u8>, &str)] = &[
    (V4, 11, Some(0), "time exceeded"),
    (V4, 11, Some(1), "fragment reassembly time exceeded"),
    (V4, 3, Some(0), "net unreachable"),
    (V4, 3, Some(1), "host unreachable"),
    (V4, 3, Some(2), "protocol unreachable"),
    (V4, 3, Some(3), "port unreachable"),
    (V4, 3, Some(4), "fragmentation needed"),
    (V4, 3, Some(9), "net administratively prohibited"),
    (V4, 3, Some(10), "host administratively prohibited"),
    (V4, 3, Some(13), "communication administratively prohibited"),
    (V4, 4, None, "source quench"),
    (V4, 5, None, "redirect"),
    (V4, 12, None, "parameter problem"),
    (V6, 3, Some(0), "time exceeded"),
    (V6, 3, Some(1), "fragment reassembly time exceeded"),
    (V6, 1, Some(0), "no route to destination"),
    (V6, 1, Some(1), "communication administratively prohibited"),
    (V6, 1, Some(2), "beyond scope of source address"),
    (V6, 1, Some(3), "address unreachable"),
    (V6, 1, Some(4), "port unreachable"),
    (V6, 2, None, "packet too big"),
    (V6, 4, None, "parameter problem"),
];

/// The message's name, or its type and code; of an answer of the target, its control bits if it has some.
impl fmt::Display for ReplyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, icmp_type, code) = match *self {
            Self::Answer { tcp_flags: None } => return f.write_str("answer"),
            Self::Answer { tcp_flags: Some(flags) } => return flags.fmt(f),
            Self::Icmp { family, icmp_type, code, .. } => (family, icmp_type, code),
        };
        let fits = |(of, known, only, _): &&(Family, u8, Option<u8>, &str)| {
            (*of, *known) == (family, icmp_type) && only.is_none_or(|only| only == code)
        };
        match MESSAGES.iter().find(fits) {
            Some((.., name)) => f.write_str(name),
            None => write!(f, "type {icmp_type} code {code}"),
        }
    }
}
