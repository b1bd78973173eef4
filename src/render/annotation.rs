//! What traceroute(8) writes after an RTT: `!H` and its kin.

use crate::trace::ReplyKind;
use crate::wire::icmpv4::{CODE_FRAGMENTATION, CODE_PORT, UNREACHABLE};

/// Codes of destination unreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1) and what
/// traceroute makes of them.
const UNREACHABLE_CODES: &[(u8, &str)] = &[
    (0, "!N"),  // net
    (1, "!H"),  // host
    (2, "!P"),  // protocol
    (5, "!S"),  // source route failed
    (6, "!N"),  // net unknown
    (7, "!H"),  // host unknown
    (8, "!N"),  // source host isolated
    (9, "!X"),  // net administratively prohibited
    (10, "!X"), // host administratively prohibited
    (11, "!N"), // net, for this type of service
    (12, "!H"), // host, for this type of service
    (13, "!X"), // communication administratively prohibited
    (14, "!V"), // host precedence violation
    (15, "!C"), // precedence cutoff
];

/// The annotation of a reply; `None` for time exceeded in transit and for delivery.
pub(super) fn annotation(kind: ReplyKind) -> Option<String> {
    let ReplyKind::Icmp { icmp_type, code, mtu } = kind else { return None };
    match (icmp_type, code) {
        _ if kind.in_transit() => None,
        (UNREACHABLE, CODE_PORT) => None,
        (UNREACHABLE, CODE_FRAGMENTATION) => Some(format!("!F-{}", mtu.unwrap_or(0))),
        (UNREACHABLE, code) => {
            let named = UNREACHABLE_CODES.iter().find(|(known, _)| *known == code);
            Some(named.map_or_else(|| format!("!<{code}>"), |(_, text)| (*text).to_owned()))
        }
        (icmp_type, code) => Some(format!("!<{icmp_type}-{code}>")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_those_of_traceroute() {
        let codes = "!N !H !P - !F-1400 !S !N !H !N !X !X !N !H !X !V !C !<16>";
        for (code, expected) in (0..).zip(codes.split(' ')) {
            let mtu = (code == CODE_FRAGMENTATION).then_some(1400);
            let kind = ReplyKind::Icmp { icmp_type: UNREACHABLE, code, mtu };
            assert_eq!(annotation(kind).as_deref().unwrap_or("-"), expected, "code {code}");
        }
        let other = |icmp_type, code| annotation(ReplyKind::Icmp { icmp_type, code, mtu: None });
        assert_eq!(other(11, 0), None);
        assert_eq!(other(11, 1).as_deref(), Some("!<11-1>"));
        assert_eq!(other(12, 0).as_deref(), Some("!<12-0>"));
        assert_eq!(annotation(ReplyKind::Answer), None);
    }
}
