//! What a host answers to a datagram for itself: RFC 1122 §3.2.2, RFC 9293 §3.10.7, RFC 8200 §4.
//!
//! Everything in here is a function of the datagram that is answered. Nothing is answered to broken
//! checksums, and nothing to fragments, which are never put together.

use super::datagram::{put, word};
use super::family::Rules;
use super::node::{Node, Ports};
use super::refusal::Refusal;
use super::transit::Transit;
use crate::wire::ipv4::{TCP, UDP, UDP_LITE};
use crate::wire::tcp::{self, Flags};

/// The port of resolvers.
const DNS: u16 = 53;
/// Length of a UDP header.
const UDP_HEADER: usize = 8;
/// What an open TCP port tells about itself: MSS 1440 (RFC 9293 §3.7.1), which fits either family.
const MSS: [u8; 4] = [2, 4, 0x05, 0xa0];

/// A reply to a datagram: its protocol, and the message without its checksum.
pub(super) type Said = (u8, Vec<u8>);

/// The ICMP error, unless there must be none.
pub(super) fn error(node: &Node, transit: &Transit, refusal: Refusal) -> Option<Said> {
    let rules = transit.header.rules;
    transit.allows_errors().then(|| (rules.icmp, refusal.message(node, transit)))
}

/// A host's answer to a datagram for itself.
pub(super) fn answer(node: &Node, transit: &Transit, target: bool) -> Option<Said> {
    let header = &transit.header;
    let rules = header.rules;
    let refuse = |refusal| error(node, transit, refusal);
    if let Some(code) = node.unreachable.filter(|_| target) {
        return refuse((rules.unreachable, code.code(rules.family)).into());
    }
    let message = transit.message();
    if header.fragment || !header.accepts(message) {
        return None;
    }
    let port = word(message, 2);
    let said = match header.protocol {
        icmp if icmp == rules.icmp => echo(rules, message),
        UDP | UDP_LITE if !node.ports.open(port) => return refuse(rules.port.into()),
        UDP if port == DNS => resolver(message),
        UDP | UDP_LITE => udp(message),
        TCP => tcp(message, &node.ports),
        _ => return refuse(unknown_protocol(transit)),
    };
    said.map(|said| (header.protocol, transit.answered_to(said)))
}

/// In IPv6 a parameter problem that points to the number of the protocol: in the fixed header, or in
/// the first extension header.
fn unknown_protocol(transit: &Transit) -> Refusal {
    let rules = transit.header.rules;
    if rules.protocol.0 != rules.parameter.0 {
        return rules.protocol.into();
    }
    let extended = transit.header.len > rules.header_len;
    let at = if extended { rules.header_len } else { rules.protocol_at };
    Refusal::pointing(rules.protocol, rules, u8::try_from(at).unwrap_or(u8::MAX))
}

/// What a host sends back for an echo request; `None` for any other ICMP message.
fn echo(rules: &Rules, message: &[u8]) -> Option<Vec<u8>> {
    let mut reply = message.to_vec();
    let request = message.len() >= 8 && message.first() == Some(&rules.echo_request);
    put(&mut reply, 0, &[rules.echo_reply]);
    request.then_some(reply)
}

/// Echoes a UDP payload with the ports swapped.
fn udp(message: &[u8]) -> Option<Vec<u8>> {
    let [a, b, c, d, ..] = *message.first_chunk::<UDP_HEADER>()?;
    let mut reply = message.to_vec();
    put(&mut reply, 0, &[c, d, a, b]);
    Some(reply)
}

/// A resolver's answer (RFC 1035 §4.1.1): the same question, no error, nothing found. Nothing to what
/// is not a query.
fn resolver(message: &[u8]) -> Option<Vec<u8>> {
    const RESPONSE: u8 = 0x80;
    const RECURSION_AVAILABLE: u8 = 0x80;
    let flags = *message.get(UDP_HEADER..)?.first_chunk::<12>()?.get(2)?;
    let mut reply = udp(message)?;
    put(&mut reply, UDP_HEADER + 2, &[flags | RESPONSE, RECURSION_AVAILABLE]);
    (flags & RESPONSE == 0).then_some(reply)
}

/// What a TCP port sends back (RFC 9293 §3.10.7.1 and .2): SYN and ACK from an open one for a SYN, a
/// reset for what belongs to no connection; nothing for a reset, nor from an open one for nothing.
fn tcp(message: &[u8], ports: &Ports) -> Option<Vec<u8>> {
    let segment = tcp::decode(message).ok()?;
    let control = segment.control?;
    let has = |flag| control.flags.contains(flag);
    let open = ports.open(segment.destination_port);
    if has(Flags::RST) {
        return None;
    }
    let occupied =
        segment.payload.len() + usize::from(has(Flags::SYN)) + usize::from(has(Flags::FIN));
    let after =
        u32::try_from(occupied).map_or(segment.sequence, |it| segment.sequence.wrapping_add(it));
    let answer = match (has(Flags::ACK), has(Flags::SYN)) {
        (true, _) => (control.acknowledgment, 0, Flags::RST, &[][..]),
        // Its first sequence number need only look random, and be the same each time.
        (false, true) if open => {
            (!segment.sequence, segment.sequence.wrapping_add(1), Flags::SYN | Flags::ACK, &MSS[..])
        }
        (false, false) if open => return None,
        (false, _) => (0, after, Flags::RST | Flags::ACK, &[][..]),
    };
    let (sequence, acknowledgment, flags, options) = answer;
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(5);
    let window = if flags.contains(Flags::RST) { 0_u16 } else { 64_800 };
    let mut reply = segment.destination_port.to_be_bytes().to_vec();
    reply.extend(segment.source_port.to_be_bytes());
    reply.extend(sequence.to_be_bytes());
    reply.extend(acknowledgment.to_be_bytes());
    reply.extend([words << 4, flags.0]);
    reply.extend(window.to_be_bytes());
    reply.extend([0; 4]);
    reply.extend(options);
    Some(reply)
}
