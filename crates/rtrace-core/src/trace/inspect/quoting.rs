//! How routers quote: not every field of a quote is as it arrived.
//!
//! Some hosts keep the length, the flags and the identification of a datagram in their own byte order, or the length without
//! the header, and quote them so; the quoted header's checksum does not fit then. What one hop quotes otherwise than the
//! hops before and after it was not changed on the path: no router restores a field. And a datagram whose length
//! is wrong would not have been forwarded.

use super::fields::{FLAGS, FRAGMENT_OFFSET, IDENTIFICATION, PAYLOAD_LENGTH, TOTAL_LENGTH};
use super::place::Stage;
use super::{Comparison, Value};
use crate::wire::checksum::checksum;
use crate::wire::ip::IpHeader;

/// The fields that nothing on a path puts back to what they were.
const NEVER_PUT_BACK: [&str; 5] =
    [TOTAL_LENGTH, PAYLOAD_LENGTH, IDENTIFICATION, FLAGS, FRAGMENT_OFFSET];

/// A manner of quoting that is known of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Manner {
    /// The octets are in the wrong order.
    Swapped,
    /// The length does not count the header.
    WithoutHeader,
    /// Both.
    SwappedWithoutHeader,
    /// A length of 0.
    Zero,
}

/// A field that a router quotes in its own way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit<'a> {
    pub(super) quote: &'a Comparison,
    /// The hop.
    pub(super) ttl: u8,
    pub(super) field: &'static str,
    /// What arrived, as far as other hops show it.
    pub(super) arrived: u64,
    pub(super) quoted: u64,
    pub(super) manner: Option<Manner>,
}

impl Habit<'_> {
    /// Whether it is this quote's, and of this field.
    pub(super) fn is_of(&self, quote: &Comparison, field: &str) -> bool {
        std::ptr::eq(self.quote, quote) && self.field == field
    }
}

/// The fields of the IP header that are quoted in a known manner.
pub(super) fn manners(
    header: &IpHeader,
    sent: &[u8],
    quoted: &[u8],
) -> Vec<(&'static str, Manner)> {
    let words = |at: usize| {
        let word = |octets: &[u8]| Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?));
        word(sent).zip(word(quoted)).filter(|(sent, quoted)| sent != quoted)
    };
    let swapped = |at| words(at).is_some_and(|(sent, quoted)| sent.swap_bytes() == quoted);
    let header_len = u16::try_from(header.header_len).unwrap_or_default();
    let length = |(sent, quoted): (u16, u16)| {
        let without = sent.saturating_sub(header_len);
        match quoted {
            0 => Some(Manner::Zero),
            _ if quoted == sent.swap_bytes() => Some(Manner::Swapped),
            _ if quoted == without => Some(Manner::WithoutHeader),
            _ if quoted == without.swap_bytes() => Some(Manner::SwappedWithoutHeader),
            _ => None,
        }
    };
    if header.source.is_ipv6() {
        let length = words(4).and_then(length).filter(|it| *it != Manner::WithoutHeader);
        return length.map(|manner| (PAYLOAD_LENGTH, manner)).into_iter().collect();
    }
    let length = words(2).and_then(length).map(|manner| (TOTAL_LENGTH, manner));
    let id = swapped(4).then_some((IDENTIFICATION, Manner::Swapped));
    let flags =
        swapped(6).then_some([(FLAGS, Manner::Swapped), (FRAGMENT_OFFSET, Manner::Swapped)]);
    length.into_iter().chain(id).chain(flags.into_iter().flatten()).collect()
}

/// Whether an IPv4 header is quoted with a TTL lowered by one, and the checksum that it arrived with.
pub(super) fn is_ttl_lowered(header: &[u8]) -> bool {
    let is_v4 = header.first().is_some_and(|first| first >> 4 == 4);
    let mut arrived = header.to_vec();
    let Some(ttl) = arrived.get_mut(TTL_AT).filter(|_| is_v4 && checksum(header) != 0) else {
        return false;
    };
    *ttl = ttl.wrapping_add(1);
    checksum(&arrived) == 0
}

/// Where IPv4 has its TTL.
const TTL_AT: usize = 8;

/// What a quote shows of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown<'a> {
    AsSent,
    Changed(&'a Value),
}

impl<'a> Shown<'a> {
    fn of(quote: &'a Comparison, field: &str) -> Self {
        let changed = quote.differences.iter().find(|it| it.field == field);
        changed.map_or(Self::AsSent, |it| Self::Changed(&it.quoted))
    }
}

/// What all quotes of a hop that hold a field show of it; `None` if none does, or they differ.
fn of_all<'a>(stage: &Stage<'a>, field: &str) -> Option<Shown<'a>> {
    let mut all = stage.quotes.iter().filter(|it| it.compared.contains(&field));
    let first = Shown::of(all.next()?, field);
    all.all(|it| Shown::of(it, field) == first).then_some(first)
}

/// Every field that is quoted in a way that is the router's own.
pub(super) fn of<'a>(stages: &[Stage<'a>]) -> Vec<Habit<'a>> {
    let mut habits = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        for &quote in &stage.quotes {
            for it in quote.differences.iter().filter(|it| NEVER_PUT_BACK.contains(&it.field)) {
                let around = around(stages, index, it.field, &it.quoted);
                let manner = quote.manners.iter().find(|(field, _)| *field == it.field);
                let manner = manner.map(|(_, manner)| *manner);
                let (Value::Number(sent), Value::Number(quoted)) = (&it.sent, &it.quoted) else {
                    continue;
                };
                let arrived = match around {
                    Some(Shown::Changed(Value::Number(arrived))) => *arrived,
                    Some(_) => *sent,
                    None if manner.is_some() => *sent,
                    None => continue,
                };
                let (ttl, field, quoted) = (stage.ttl, it.field, *quoted);
                habits.push(Habit { quote, ttl, field, arrived, quoted, manner });
            }
        }
    }
    habits
}

/// What hops both before and after this one show of a field, and it does not: the sender counts among those before.
fn around<'a>(
    stages: &[Stage<'a>],
    index: usize,
    field: &str,
    quoted: &Value,
) -> Option<Shown<'a>> {
    let after = stages.iter().skip(index + 1).filter_map(|stage| of_all(stage, field));
    let before: Vec<_> =
        stages.iter().take(index).filter_map(|stage| of_all(stage, field)).collect();
    let mut kept = after.filter(|shown| *shown == Shown::AsSent || before.contains(shown));
    kept.find(|shown| *shown != Shown::Changed(quoted))
}
