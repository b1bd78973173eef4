//! What no router should do, done on purpose: damaged replies and forged ones.

use super::datagram::{Header, ICMP_HEADER, checksum_at, put, seal, seal_message, word};
use super::family::Rules;
use super::node::{Forged, Malformed};
use crate::wire::extension::Family;

/// Damages a finished reply.
pub(super) fn damage(kind: Malformed, reply: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let Some(rules) = Rules::for_datagram(reply) else { return };
    let quote = rules.header_len + ICMP_HEADER;
    let protocol = reply.get(rules.protocol_at).copied().unwrap_or(0);
    match kind {
        Malformed::Truncated => {
            reply.truncate(quote + 4);
            let length = u16::try_from(reply.len() - rules.length_excludes.min(reply.len()));
            put(reply, rules.length_at, &length.unwrap_or(u16::MAX).to_be_bytes());
            seal(reply);
            reseal_icmp(rules, reply);
        }
        Malformed::BadChecksum => {
            let at = rules.header_len + checksum_at(rules, protocol).unwrap_or(2);
            let wrong = word(reply, at) ^ 0x5a5a;
            put(reply, at, &wrong.to_be_bytes());
        }
        Malformed::LyingIhl
        | Malformed::ZeroLength
        | Malformed::SwappedLength
        | Malformed::SwappedFlags
        | Malformed::LengthWithoutHeader
        | Malformed::LoweredTtl
            if protocol != rules.icmp => {}
        Malformed::LyingIhl => {
            let (at, lie) = rules.lie;
            put(reply, quote + at, &[lie]);
            reseal_icmp(rules, reply);
        }
        Malformed::ZeroLength => {
            put(reply, quote + rules.length_at, &[0, 0]);
            reseal_icmp(rules, reply);
        }
        Malformed::SwappedLength => requote(rules, reply, rules.length_at, u16::swap_bytes),
        Malformed::SwappedFlags | Malformed::LengthWithoutHeader if rules.family == Family::V6 => {}
        Malformed::SwappedFlags => requote(rules, reply, FLAGS_AT, u16::swap_bytes),
        Malformed::LengthWithoutHeader => {
            requote(rules, reply, rules.length_at, |length| length.saturating_sub(20));
        }
        Malformed::LoweredTtl => {
            let at = quote + rules.ttl_at;
            let ttl = reply.get(at).copied().unwrap_or_default();
            put(reply, at, &[ttl.saturating_sub(1)]);
            reseal_icmp(rules, reply);
        }
        Malformed::LyingLength => {
            let length = word(reply, rules.length_at).saturating_add(64);
            put(reply, rules.length_at, &length.to_be_bytes());
            seal(reply);
        }
        Malformed::Garbage => {
            reply.iter_mut().skip(rules.header_len).for_each(|octet| *octet = rng.u8(..));
        }
    }
}

/// Where IPv4 has its flags and fragment offset.
const FLAGS_AT: usize = 6;

/// Quotes two octets otherwise than they arrived, and leaves the checksum of the quoted header as it was.
fn requote(rules: &Rules, reply: &mut [u8], at: usize, otherwise: impl Fn(u16) -> u16) {
    let at = rules.header_len + ICMP_HEADER + at;
    let value = otherwise(word(reply, at));
    put(reply, at, &value.to_be_bytes());
    reseal_icmp(rules, reply);
}

/// Makes the ICMP checksum right again, so that only the damage that was meant is there.
fn reseal_icmp(rules: &Rules, reply: &mut [u8]) {
    let header = Header::decode(reply).filter(|header| header.protocol == rules.icmp);
    if let (Some(header), Some(message)) = (header, reply.get_mut(rules.header_len..)) {
        seal_message(rules.icmp, header.source, header.destination, message);
    }
}

/// The quote of a probe that was never sent, but for one field equal to `quote`.
pub(super) fn forge(field: Forged, quote: &mut [u8], rng: &mut fastrand::Rng) {
    let Some(rules) = Rules::for_datagram(quote) else { return };
    let transport = Header::decode(quote).map_or(rules.header_len, |header| header.len);
    let protocol = quote.get(rules.protocol_at).copied().unwrap_or(0);
    // XOR with what is never zero: the forgery never hits the truth by chance.
    let mut spoil = |quote: &mut [u8], at| {
        let wrong = word(quote, at) ^ rng.u16(1..);
        put(quote, at, &wrong.to_be_bytes());
    };
    match field {
        Forged::Ports => {
            let at = transport + if protocol == rules.icmp { 4 } else { 0 };
            spoil(quote, at);
            spoil(quote, at + 2);
        }
        Forged::Id => {
            spoil(quote, rules.id_at);
            spoil(quote, transport + checksum_at(rules, protocol).unwrap_or(2));
        }
        Forged::Destination => spoil(quote, rules.destination_at + rules.address_len - 2),
        Forged::Source => spoil(quote, rules.source_at + rules.address_len - 2),
    }
    seal(quote);
}
