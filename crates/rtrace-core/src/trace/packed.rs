//! Numbers packed into as few octets as they need, for what is kept of every round of a long watch.

use crate::probe::ProbeKey;

/// Takes octets.
pub(super) trait Sink {
    /// Appends an octet.
    fn put(&mut self, octet: u8);
}

impl Sink for Vec<u8> {
    fn put(&mut self, octet: u8) {
        self.push(octet);
    }
}

impl Sink for std::collections::VecDeque<u8> {
    fn put(&mut self, octet: u8) {
        self.push_back(octet);
    }
}

/// Writes a number, seven bits in each octet, the lowest first; the eighth bit says that more octets follow.
pub(super) fn put(sink: &mut impl Sink, mut number: u64) {
    while number > 0x7f {
        sink.put(0x80 | low(number));
        number >>= 7;
    }
    sink.put(low(number));
}

fn low(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

/// Reads a number that [`put`] wrote.
pub(super) fn take(octets: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let octet = octets.next()?;
        number |= u64::from(octet & 0x7f).checked_shl(shift)?;
        if octet < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

/// Maps a signed number to an unsigned one; small values stay small.
pub(super) fn unsigned(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// The number that [`unsigned`] maps to this one.
pub(super) fn signed(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Writes a key: which of its octets differ from those of the key before, and these octets.
pub(super) fn put_key(key: &ProbeKey, before: &ProbeKey, octets: &mut Vec<u8>) {
    let (key, before) = (key_octets(key), key_octets(before));
    let differs = (0_u64..).zip(key.iter().zip(&before));
    put(octets, differs.map(|(at, (this, before))| u64::from(this != before) << at).sum());
    octets.extend(key.iter().zip(&before).filter(|(a, b)| a != b).map(|(this, _)| this));
}

/// Reads the key after `before`.
pub(super) fn take_key(
    before: &ProbeKey,
    octets: &mut impl Iterator<Item = u8>,
) -> Option<ProbeKey> {
    let mut key = key_octets(before);
    let differs = take(octets)?;
    for (at, place) in (0_u64..).zip(&mut key) {
        if differs >> at & 1 == 1 {
            *place = octets.next()?;
        }
    }
    let [a, b, head @ ..] = key;
    Some(ProbeKey { ip_id: u16::from_be_bytes([a, b]), head })
}

fn key_octets(key: &ProbeKey) -> [u8; 10] {
    let mut octets = [0; 10];
    octets[..2].copy_from_slice(&key.ip_id.to_be_bytes());
    octets[2..].copy_from_slice(&key.head);
    octets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_is_taken(numbers in prop::collection::vec(any::<i64>(), 0..20), shift in 0..64) {
            let numbers: Vec<i64> = numbers.into_iter().map(|it| it >> shift).collect();
            let mut octets = Vec::new();
            for number in &numbers {
                put(&mut octets, unsigned(*number));
            }
            let mut octets = octets.into_iter();
            for number in numbers {
                prop_assert_eq!(take(&mut octets).map(signed), Some(number));
            }
            prop_assert_eq!(take(&mut octets), None);
        }
    }
}
