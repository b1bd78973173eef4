//! What pcapng blocks mean: sections, interfaces and their clocks, packets, names.
//!
//! Decoding is lenient where nothing is lost by it: options are read as far as they make sense, text
//! that is not UTF-8 is kept with replacement characters, an option list needs no end mark. Only what
//! leaves a packet without interface or bytes is an error, given as a phrase. Section numbers are
//! those of draft-ietf-opsawg-pcapng.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use byteorder::ByteOrder;
use pcap_file::Endianness;

use super::{CLOCK_OFFSET, INTERRUPTED, NEVER_SENT, OF_TRACE, RECONSTRUCTED, ROUNDS, TRACES};
use crate::time::{Span, Timestamp};
use crate::untrusted::Untrusted;
use crate::wire::{Evidence, LinkType};

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const NAME_RESOLUTION: u32 = 4;
pub(super) const INTERFACE_STATISTICS: u32 = 5;

/// How many interfaces of a section are known. Nobody has as many; a file may say that somebody does.
const INTERFACES: usize = 1 << 16;
/// How many comments of a section are read. That of rtrace is the first.
const COMMENTS: usize = 1 << 14;

/// Interface names are cut after this number of octets: no system has longer ones.
const LONGEST_NAME: usize = 255;

/// The length of a block without body: type, length, and the length again.
pub(super) const BLOCK_MIN: usize = 12;
/// Type and length, before the body of a block.
const BLOCK_HEAD: usize = 8;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const ISB_IFRECV: u16 = 4;

/// How an interface counts time (4.2, `if_tsresol`): ticks to nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// Each tick is this many nanoseconds.
    Multiple(u64),
    /// Each nanosecond is this many ticks; `None`: more than fit, so that no tick counts.
    Fraction(Option<u64>),
    /// Each second is 2 to this power ticks.
    Binary(u32),
}

impl Resolution {
    fn from_option(value: u8) -> Self {
        let exponent = u32::from(value & 0x7f);
        if value & 0x80 != 0 {
            return Self::Binary(exponent);
        }
        match 9_u32.checked_sub(exponent) {
            Some(digits) => Self::Multiple(10_u64.pow(digits)),
            None => Self::Fraction(10_u64.checked_pow(exponent.saturating_sub(9))),
        }
    }

    fn nanos(self, ticks: u64) -> u128 {
        match self {
            Self::Multiple(nanos) => u128::from(ticks) * u128::from(nanos),
            Self::Fraction(per_nano) => {
                u128::from(per_nano.and_then(|unit| ticks.checked_div(unit)).unwrap_or(0))
            }
            Self::Binary(bits) => {
                (u128::from(ticks) * 1_000_000_000).checked_shr(bits).unwrap_or(0)
            }
        }
    }
}

/// What an interface description block says about the packets of an interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketSource {
    pub(super) link: LinkType,
    /// Its number: see [`Interfaces`].
    interface: u32,
    snaplen: u32,
    resolution: Resolution,
    offset: i64,
}

impl PacketSource {
    /// The moment `ticks` on this interface's clock; saturates.
    #[inline]
    fn at(&self, ticks: u64) -> Timestamp {
        let offset = i128::from(self.offset) * 1_000_000_000;
        let nanos = i128::try_from(self.resolution.nanos(ticks)).unwrap_or(i128::MAX);
        let nanos = nanos.saturating_add(offset).clamp(i64::MIN.into(), i64::MAX.into());
        Timestamp::from_nanos(i64::try_from(nanos).unwrap_or_default())
    }
}

/// A record that holds a packet, of either format, with the place of the frame in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) at: Timestamp,
    pub(super) link: LinkType,
    pub(super) interface: u32,
    pub(super) record_len: usize,
    pub(super) offset: usize,
    pub(super) captured: usize,
    pub(super) original_len: u32,
    pub(super) evidence: Evidence,
}

/// The interfaces of a whole file, numbered from 1 in the order of their blocks. Those of one name are one.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    numbers: HashMap<String, u32>,
    last: u32,
}

impl Interfaces {
    /// Interfaces that already have numbers; further ones follow.
    pub(super) fn known(known: &BTreeMap<u32, Untrusted>) -> Self {
        let numbers = known.iter().map(|(number, name)| (name.shown(), *number));
        Self { numbers: numbers.collect(), last: known.keys().last().copied().unwrap_or(0) }
    }

    /// The names by number; interfaces without a name are left out.
    pub(super) fn names(&self) -> BTreeMap<u32, Untrusted> {
        self.numbers.iter().map(|(name, number)| (*number, name.as_str().into())).collect()
    }

    fn number(&mut self, name: Option<&[u8]>) -> u32 {
        let name = name.map(|name| name.get(..LONGEST_NAME).unwrap_or(name));
        let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
        if let Some(number) = name.as_ref().and_then(|name| self.numbers.get(name)) {
            return *number;
        }
        self.last = self.last.saturating_add(1);
        self.numbers.extend(name.map(|name| (name, self.last)));
        self.last
    }
}

/// The section being read: its byte order and the interfaces described so far.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) order: Endianness,
    /// How far stamps are ahead of the time of the run.
    pub(super) clock_offset: Span,
    /// The first [`INTERFACES`], and how many more there are.
    interfaces: Vec<PacketSource>,
    further: usize,
    /// Those of this section and of all before it.
    pub(super) numbered: Interfaces,
}

impl Section {
    pub(super) fn new(order: Endianness) -> Self {
        let numbered = Interfaces::default();
        Self { order, clock_offset: Span::ZERO, interfaces: Vec::new(), further: 0, numbered }
    }

    /// The section that follows this one.
    pub(super) fn next(&mut self, order: Endianness) -> Self {
        Self { numbered: std::mem::take(&mut self.numbered), ..Self::new(order) }
    }

    /// Takes note of an interface description block (4.2).
    pub(super) fn describe<B: ByteOrder>(&mut self, body: &[u8]) -> Result<(), &'static str> {
        let (Some(link), Some(snaplen)) = (u16_at::<B>(body, 0), u32_at::<B>(body, 4)) else {
            return Err("an interface description too short");
        };
        let mut source = PacketSource {
            link: LinkType::from_number(link.into()),
            interface: 0,
            snaplen,
            resolution: Resolution::from_option(6),
            offset: 0,
        };
        let mut name = None;
        for (code, value) in options::<B>(body.get(8..).unwrap_or_default()) {
            match (code, value) {
                (IF_NAME, value) => name = Some(value),
                (IF_TSRESOL, [value]) => source.resolution = Resolution::from_option(*value),
                (IF_TSOFFSET, [_, _, _, _, _, _, _, _]) => source.offset = B::read_i64(value),
                _ => {}
            }
        }
        if self.interfaces.len() < INTERFACES {
            source.interface = self.numbered.number(name);
            self.interfaces.push(source);
        } else {
            self.further = self.further.saturating_add(1);
        }
        Ok(())
    }

    /// The packet in a block of this type; `None` if it is not a packet block.
    #[inline]
    pub(super) fn packet<B: ByteOrder>(
        &self,
        block_type: u32,
        body: &[u8],
    ) -> Option<Result<Packet, &'static str>> {
        match block_type {
            6 => Some(self.enhanced::<B>(body, u32_at::<B>(body, 0))),
            // The obsolete packet block differs in the width of the interface number (appendix A).
            2 => Some(self.enhanced::<B>(body, u16_at::<B>(body, 0).map(u32::from))),
            3 => Some(self.simple::<B>(body)),
            _ => None,
        }
    }

    /// An enhanced packet block (4.3).
    #[inline]
    fn enhanced<B: ByteOrder>(
        &self,
        body: &[u8],
        interface: Option<u32>,
    ) -> Result<Packet, &'static str> {
        const HEADER: usize = 20;
        let (Some(interface), Some(header)) = (interface, body.first_chunk::<HEADER>()) else {
            return Err("a packet block too short");
        };
        let source = self.source(interface)?;
        let field = |offset: usize| u32_at::<B>(header, offset).unwrap_or_default();
        let captured = usize::try_from(field(12)).unwrap_or(usize::MAX);
        if captured > body.len() - HEADER {
            return Err("a packet longer than its block");
        }
        let ticks = u64::from(field(4)) << 32 | u64::from(field(8));
        Ok(Packet {
            at: source.at(ticks).before(self.clock_offset),
            link: source.link,
            interface: source.interface,
            record_len: body.len().saturating_add(BLOCK_MIN),
            offset: BLOCK_HEAD + HEADER,
            captured,
            original_len: field(16),
            evidence: evidence::<B>(body, HEADER.saturating_add(captured.next_multiple_of(4))),
        })
    }

    /// A simple packet block (4.4): of the first interface, without a time.
    fn simple<B: ByteOrder>(&self, body: &[u8]) -> Result<Packet, &'static str> {
        let source = self.source(0)?;
        let original_len = u32_at::<B>(body, 0).ok_or("a packet block too short")?;
        let snaplen = if source.snaplen == 0 { u32::MAX } else { source.snaplen };
        let captured = usize::try_from(original_len.min(snaplen)).unwrap_or(usize::MAX);
        let room = body.len().saturating_sub(4);
        Ok(Packet {
            at: Timestamp::UNKNOWN,
            link: source.link,
            interface: source.interface,
            record_len: body.len().saturating_add(BLOCK_MIN),
            offset: BLOCK_HEAD + 4,
            captured: captured.min(room),
            original_len,
            evidence: Evidence::Captured,
        })
    }

    fn source(&self, interface: u32) -> Result<&PacketSource, &'static str> {
        let index = usize::try_from(interface).unwrap_or(usize::MAX);
        let known = self.interfaces.len();
        self.interfaces.get(index).ok_or_else(|| {
            if index.saturating_sub(known) < self.further {
                "it belongs to an interface beyond the first 65536 of its section: split the file"
            } else {
                "it belongs to an interface that the file does not describe"
            }
        })
    }
}

/// What the first comment of a packet block says of its frame; its options begin at `offset`. Those after the first few are not
/// looked at.
#[inline]
fn evidence<B: ByteOrder>(body: &[u8], offset: usize) -> Evidence {
    const FEW: usize = 4;
    let mut first = options::<B>(body.get(offset..).unwrap_or_default()).take(FEW);
    match first.find(|(code, _)| *code == OPT_COMMENT) {
        Some((_, comment)) if comment.starts_with(RECONSTRUCTED.as_bytes()) => {
            Evidence::Reconstructed
        }
        _ => Evidence::Captured,
    }
}

/// The comments of a section header block (4.1), the first [`COMMENTS`] of them.
pub(super) fn section_comments<B: ByteOrder>(body: &[u8]) -> Vec<String> {
    comments::<B>(body, 16).take(COMMENTS).map(Cow::into_owned).collect()
}

/// When the run was interrupted, as the comment of an interface statistics block (4.6) says.
pub(super) fn interrupted<B: ByteOrder>(body: &[u8]) -> Option<Timestamp> {
    number::<B, _>(body, INTERRUPTED).map(Timestamp::from_nanos)
}

/// How many rounds each trace had, of those for which the same says so.
pub(super) fn rounds<B: ByteOrder>(body: &[u8]) -> Vec<(u32, u64)> {
    by_trace::<B>(body, ROUNDS)
}

/// Whether an interface statistics block counts packets, as one at the end of a recording does.
pub(super) fn has_counts<B: ByteOrder>(body: &[u8]) -> bool {
    options::<B>(body.get(12..).unwrap_or_default()).any(|(code, _)| code == ISB_IFRECV)
}

/// How many probes of each trace never left, of those for which the same says so.
pub(super) fn never_sent<B: ByteOrder>(body: &[u8]) -> Vec<(u32, u64)> {
    by_trace::<B>(body, NEVER_SENT)
}

/// How far stamps are ahead of the time of the run from here on, if the same says so, and since when.
pub(super) fn clock_offset<B: ByteOrder>(
    body: &[u8],
) -> Option<(Span, Option<(Timestamp, Timestamp)>)> {
    let parse = |comment: Cow<'_, str>| {
        let mut numbers = comment
            .lines()
            .find_map(|line| line.strip_prefix(CLOCK_OFFSET))?
            .split(' ')
            .map_while(|word| word.parse::<i64>().ok());
        let offset = Span::from_nanos(numbers.next()?);
        let window = numbers.next().zip(numbers.next());
        let moment = Timestamp::from_nanos;
        Some((offset, window.map(|(from, until)| (moment(from), moment(until)))))
    };
    comments::<B>(body, 12).find_map(parse)
}

/// The numbers behind these words in the comment of an interface statistics block, each with the number of its trace.
fn by_trace<B: ByteOrder>(body: &[u8], words: &str) -> Vec<(u32, u64)> {
    let of_line = |line: &str| {
        let rest = line.strip_prefix(words)?;
        let (count, trace) = rest.split_once(OF_TRACE).unwrap_or((rest, "1"));
        Some((trace.parse().ok()?, count.parse().ok()?))
    };
    let of_comment =
        |comment: Cow<'_, str>| comment.lines().filter_map(of_line).take(TRACES).collect();
    let comments = comments::<B>(body, 12).map(of_comment);
    comments.into_iter().find(|found: &Vec<_>| !found.is_empty()).unwrap_or_default()
}

/// The number behind these words in the comment of an interface statistics block.
fn number<B: ByteOrder, T: FromStr>(body: &[u8], words: &str) -> Option<T> {
    let number = |comment: Cow<'_, str>| {
        comment.lines().find_map(|line| line.strip_prefix(words)?.parse().ok())
    };
    comments::<B>(body, 12).find_map(number)
}

/// The comments of a block whose options begin at `offset`.
fn comments<B: ByteOrder>(body: &[u8], offset: usize) -> impl Iterator<Item = Cow<'_, str>> {
    options::<B>(body.get(offset..).unwrap_or_default())
        .filter(|(code, _)| *code == OPT_COMMENT)
        .map(|(_, value)| String::from_utf8_lossy(value))
}

/// A name resolution block (4.5) that is read record by record: of each the first name, which is the address's own.
#[derive(Debug)]
pub(super) struct Names {
    order: Endianness,
    block_len: usize,
    /// Where in the block the next record begins.
    record: usize,
}

impl Names {
    /// The options of a block of this length.
    pub(super) fn new(order: Endianness, block_len: usize) -> Self {
        Self { order, block_len, record: BLOCK_HEAD }
    }

    /// The length of the block.
    pub(super) fn block_len(&self) -> usize {
        self.block_len
    }

    /// The next address and name; `bytes` begin with the block.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<(IpAddr, String)> {
        match self.order {
            Endianness::Big => self.read::<byteorder::BigEndian>(bytes),
            Endianness::Little => self.read::<byteorder::LittleEndian>(bytes),
        }
    }

    fn read<B: ByteOrder>(&mut self, bytes: &[u8]) -> Option<(IpAddr, String)> {
        let end = self.block_len.saturating_sub(BLOCK_MIN - BLOCK_HEAD);
        loop {
            let (kind, value) = options::<B>(bytes.get(self.record..end)?).next()?;
            let (address, names) = match kind {
                1 => split_address::<4>(value).map(|(a, n)| (Ipv4Addr::from(a).into(), n)),
                2 => split_address::<16>(value).map(|(a, n)| (Ipv6Addr::from(a).into(), n)),
                _ => None,
            }
            .unwrap_or((IpAddr::from([0; 4]), &[]));
            self.record += 4 + value.len().next_multiple_of(4);
            if let Some(name) = names.split(|byte| *byte == 0).find(|name| !name.is_empty()) {
                return Some((address, String::from_utf8_lossy(name).into_owned()));
            }
        }
    }
}

fn split_address<const N: usize>(value: &[u8]) -> Option<([u8; N], &[u8])> {
    value.split_first_chunk::<N>().map(|(address, names)| (*address, names))
}

/// The options of a block (3.5), up to the end mark, the end, or the first that does not fit. The
/// records of a name resolution block have the same form.
fn options<B: ByteOrder>(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let code = u16_at::<B>(rest, 0).filter(|code| *code != OPT_END)?;
        let len = usize::from(u16_at::<B>(rest, 2)?);
        let value = rest.get(4..4 + len)?;
        rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    })
}

#[inline]
fn u16_at<B: ByteOrder>(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk::<2>().map(|field| B::read_u16(field))
}

#[inline]
pub(super) fn u32_at<B: ByteOrder>(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk::<4>().map(|field| B::read_u32(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution_gives_nanoseconds_and_saturates() {
        for (option, offset, ticks, nanos) in [
            (9, 0, 5, 5),
            (6, 0, 5, 5_000),
            (0, 0, 5, 5_000_000_000),
            (12, 0, 5_999, 5),
            (127, 0, u64::MAX, 0),
            (0x8a, 0, 512, 500_000_000),
            (0x9e, 0, 1 << 31, 2_000_000_000),
            (0xff, 0, u64::MAX, 0),
            (9, -2, 3_000_000_000, 1_000_000_000),
            (9, 1, 0, 1_000_000_000),
            (0, 0, u64::MAX, i64::MAX),
            (0, i64::MAX, u64::MAX, i64::MAX),
            (6, i64::MIN, 0, i64::MIN),
        ] {
            let source = PacketSource {
                interface: 1,
                link: LinkType::Raw,
                snaplen: 0,
                resolution: Resolution::from_option(option),
                offset,
            };
            assert_eq!(source.at(ticks).nanos(), nanos, "{option} {offset} {ticks}");
        }
    }
}
