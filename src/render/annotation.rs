//! What traceroute(8) writes after an RTT: `!H` and its kin.

use crate::trace::ReplyKind;
use crate::wire::extension::Family::{self, V4, V6};
use crate::wire::ip;

/// Codes of destination unreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1; RFC 4443 §3.1) and
/// what traceroute makes of them.
const UNREACHABLE_CODES: &[(Family, u8, &str)] = &[
    (V4, 0, "!N"),  // net
    (V4, 1, "!H"),  // host
    (V4, 2, "!P"),  // protocol
    (V4, 5, "!S"),  // source route failed
    (V4, 6, "!N"),  // net unknown
    (V4, 7, "!H"),  // host unknown
    (V4, 8, "!N"),  // source host isolated
    (V4, 9, "!X"),  // net administratively prohibited
    (V4, 10, "!X"), // host administratively prohibited
    (V4, 11, "!N"), // net, for this type of service
    (V4, 12, "!H"), // host, for this type of service
    (V4, 13, "!X"), // communication administratively prohibited
    (V4, 14, "!V"), // host precedence violation
    (V4, 15, "!C"), // precedence cutoff
    (V6, 0, "!N"),  // no route
    (V6, 1, "!X"),  // administratively prohibited
    (V6, 2, "!H"),  // beyond the scope of the source address
    (V6, 3, "!H"),  // address unreachable
];

/// The annotation of a reply; `None` for time exceeded in transit and for delivery.
pub(super) fn annotation(kind: ReplyKind) -> Option<String> {
    let ReplyKind::Icmp { family, icmp_type, code, mtu } = kind else { return None };
    if kind.in_transit() || kind.delivered() {
        return None;
    }
    if let Some(mtu) = mtu {
        return Some(format!("!F-{mtu}"));
    }
    if icmp_type != ip::unreachable(family) {
        return Some(format!("!<{icmp_type}-{code}>"));
    }
    let named = UNREACHABLE_CODES.iter().find(|(of, known, _)| (*of, *known) == (family, code));
    Some(named.map_or_else(|| format!("!<{code}>"), |(.., text)| (*text).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{icmpv4, icmpv6};

    fn of(family: Family, icmp_type: u8, code: u8, mtu: Option<u32>) -> Option<String> {
        annotation(ReplyKind::Icmp { family, icmp_type, code, mtu })
    }

    #[test]
    fn annotations_are_those_of_traceroute() {
        let codes = [
            (V4, icmpv4::UNREACHABLE, "!N !H !P - !F-1400 !S !N !H !N !X !X !N !H !X !V !C !<16>"),
            (V6, icmpv6::UNREACHABLE, "!N !X !H !H - !<5> !<6>"),
            (V6, icmpv6::PACKET_TOO_BIG, "!F-1280"),
            (V6, icmpv6::TIME_EXCEEDED, "- !<3-1>"),
            (V6, icmpv6::PARAMETER_PROBLEM, "!<4-0> !<4-1>"),
            (V4, icmpv4::TIME_EXCEEDED, "- !<11-1>"),
            (V4, icmpv4::PARAMETER_PROBLEM, "!<12-0>"),
        ];
        for (family, icmp_type, expected) in codes {
            for (code, expected) in (0..).zip(expected.split(' ')) {
                let mtu = expected.strip_prefix("!F-").map(|mtu| mtu.parse().unwrap());
                let said = of(family, icmp_type, code, mtu);
                assert_eq!(said.as_deref().unwrap_or("-"), expected, "{icmp_type} {code}");
            }
        }
        assert_eq!(annotation(ReplyKind::Answer { tcp_flags: None }), None);
    }
}
