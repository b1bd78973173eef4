//! The Internet checksum (RFC 1071), alone and over the pseudo-headers of RFC 9293 §3.1 (IPv4) and
//! RFC 8200 §8.1 (IPv6).

use std::net::IpAddr;

use super::ipv4::UDP_LITE;

/// The ones' complement of the ones' complement sum of `bytes` as 16-bit words in network order, an
/// odd last byte padded with zero. Over data that contains a right checksum this is 0.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    complement(sum(bytes))
}

/// The checksum of a whole transport `message` of this `protocol` between these addresses, which the
/// pseudo-header covers besides the message. Over a message with a right checksum this is 0.
#[must_use]
pub fn transport(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> u16 {
    // Both pseudo-headers hold the addresses, the length and the protocol, each in words of its own;
    // the zeros between them and the order do not change the sum.
    let addresses = address_sum(source) + address_sum(destination);
    complement(addresses + u64::from(protocol) + message.len() as u64 + sum(message))
}

/// The checksum of UDP-Lite. Its third word says how much of the message is covered (0: all of it), and its
/// pseudo-header holds the length of the whole (RFC 3828 §3). `None` if the coverage is impossible.
#[must_use]
pub fn udp_lite(source: IpAddr, destination: IpAddr, message: &[u8]) -> Option<u16> {
    let coverage = message.get(4..)?.first_chunk().map(|word| u16::from_be_bytes(*word))?;
    let covered = match usize::from(coverage) {
        0 => message,
        covered => message.get(..covered).filter(|_| covered >= 8)?,
    };
    let addresses = address_sum(source) + address_sum(destination);
    Some(complement(addresses + u64::from(UDP_LITE) + message.len() as u64 + sum(covered)))
}

/// The sum that one's complement makes of two numbers (RFC 1071 §1).
#[must_use]
pub fn plus(one: u16, other: u16) -> u16 {
    let (sum, carry) = one.overflowing_add(other);
    sum.wrapping_add(u16::from(carry))
}

/// What a checksum becomes when a word that it covers does (RFC 1624 §3, equation 3).
#[must_use]
pub fn replaced(checksum: u16, was: u16, is: u16) -> u16 {
    !plus(plus(!checksum, !was), is)
}

/// What a checksum becomes when the addresses that its pseudo-header has do.
#[must_use]
pub fn readdressed(checksum: u16, was: (IpAddr, IpAddr), is: (IpAddr, IpAddr)) -> u16 {
    let folded = |(one, other)| !complement(address_sum(one) + address_sum(other));
    replaced(checksum, folded(was), folded(is))
}

fn address_sum(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    }
}

fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(2);
    let sum: u64 =
        words.by_ref().map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    match words.remainder() {
        [last] => sum + (u64::from(*last) << 8),
        _ => sum,
    }
}

fn complement(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits just above")]
    let folded = sum as u16;
    !folded
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::{checksum, readdressed, replaced, transport, udp_lite};

    #[test]
    fn rfc_1071_section_3() {
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&example), !0xddf2);
        assert_eq!(checksum(&[]), 0xffff);
        assert_eq!(checksum(&[0xff]), 0x00ff);
    }

    #[test]
    fn the_pseudo_headers_are_covered() {
        // The pseudo-header written out, followed by the message, gives the same sum.
        let message = [0x12, 0x34, 0x56, 0x78, 0x9a];
        let v4 = [&[192, 0, 2, 1, 198, 51, 100, 2, 0, 17, 0, 5], &message[..]].concat();
        let (a, b) = ("192.0.2.1".parse().unwrap(), "198.51.100.2".parse().unwrap());
        assert_eq!(transport(a, b, 17, &message), checksum(&v4));

        let (a, b) = (Ipv6Addr::LOCALHOST, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
        let octets = [a.octets(), b.octets()].concat();
        let v6 = [&octets[..], &[0, 0, 0, 5, 0, 0, 0, 58], &message[..]].concat();
        assert_eq!(transport(a.into(), b.into(), 58, &message), checksum(&v6));
    }

    #[test]
    fn udp_lite_covers_what_it_says() {
        let (a, b) = ("192.0.2.1".parse().unwrap(), "198.51.100.2".parse().unwrap());
        let message = [0x9c, 0x40, 0x82, 0x9a, 0, 8, 0, 0, 0x12, 0x34];
        // The pseudo-header has the length of all, and the sum goes over the header alone.
        let pseudo = [&[192, 0, 2, 1, 198, 51, 100, 2, 0, 136, 0, 10], &message[..8]].concat();
        assert_eq!(udp_lite(a, b, &message), Some(checksum(&pseudo)));
        let covering = |octets| {
            let mut message = message;
            message[5] = octets;
            udp_lite(a, b, &message)
        };
        assert_eq!(
            covering(0),
            Some(transport(a, b, 136, &[&message[..5], &[0], &message[6..]].concat()))
        );
        assert_eq!([covering(7), covering(11), udp_lite(a, b, &message[..5])], [None; 3]);
    }

    #[test]
    fn rfc_1624_section_4() {
        assert_eq!(replaced(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn a_checksum_follows_the_addresses() {
        let message = [0x12, 0x34, 0x56, 0x78, 0x9a];
        let ends = |text: [&str; 2]| text.map(|it| it.parse().unwrap()).into();
        for (was, is) in [
            (["192.0.2.1", "198.51.100.2"], ["10.0.0.1", "203.0.113.255"]),
            (["2001:db8::2", "2001:db8:113::9"], ["fd00::7", "2001:db8:113::9"]),
        ] {
            let (was, is): ((_, _), (_, _)) = (ends(was), ends(is));
            let [before, after] = [was, is].map(|(from, to)| transport(from, to, 17, &message));
            assert_eq!(readdressed(before, was, is), after);
        }
    }
}
