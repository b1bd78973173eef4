//! The next record of a capture file: of a classic pcap a packet, of a pcapng a block.
//!
//! A record is decoded only once all its bytes are there, and only if its length is one that a packet can have.
//! A packet stays in the buffer; what else is of interest is queued.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Read};

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use pcap_file::pcap::PcapParser;
use pcap_file::pcapng::RawBlock;
use pcap_file::{Endianness, TsResolution};

use super::Item;
use crate::capture::MAX_RECORD;
use crate::capture::buffer::Buffer;
use crate::capture::pcapng::{self, BLOCK_MIN, Packet, Section, u32_at};
use crate::time::{ClockStep, Timestamp};
use crate::wire::{Evidence, LinkType};

/// What a record turned out to be.
pub(super) enum Found {
    /// A packet, still to be taken from the buffer.
    Packet(Packet),
    /// Items beside packets: queued, and the record is behind us, or names, in the record that is still before us.
    Pending,
}

/// Why reading stops; the public error adds the file and the packet.
pub(super) enum Stop {
    Io(io::Error),
    Truncated,
    Damaged(&'static str),
    /// A block of this length in bytes.
    TooLong(usize),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<&'static str> for Stop {
    fn from(what: &'static str) -> Self {
        Self::Damaged(what)
    }
}

/// The next packet of a classic pcap.
#[inline]
pub(super) fn find_record<R: Read>(
    buffer: &mut Buffer<R>,
    parser: &PcapParser,
    link: LinkType,
    limit: usize,
) -> Result<Option<Found>, Stop> {
    const HEADER: usize = 16;
    if !header(buffer, HEADER)? {
        return Ok(None);
    }
    let file = parser.header();
    let captured = match file.endianness {
        Endianness::Big => u32_at::<BigEndian>(buffer.bytes(), 8),
        Endianness::Little => u32_at::<LittleEndian>(buffer.bytes(), 8),
    };
    let captured = captured.and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX);
    if captured > limit {
        return Err("an impossible packet length".into());
    }
    let record_len = HEADER.saturating_add(captured);
    if !buffer.fill(record_len)? {
        return Err(Stop::Truncated);
    }
    let Ok((_, record)) = parser.next_raw_packet(buffer.bytes()) else {
        return Err("an invalid packet header".into());
    };
    let unit = match file.ts_resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    // A fraction of more than a second is carried over, as Wireshark does.
    let at = Timestamp::from_parts(record.ts_sec.into(), i64::from(record.ts_frac) * unit);
    let original_len = record.orig_len;
    let (interface, offset) = (0, HEADER);
    let evidence = Evidence::Captured;
    let packet =
        Packet { at, link, interface, record_len, offset, captured, original_len, evidence };
    Ok(Some(Found::Packet(packet)))
}

/// The next packet, section or name of a pcapng file.
#[inline]
pub(super) fn find_block<R: Read>(
    buffer: &mut Buffer<R>,
    section: &mut Section,
    pending: &mut VecDeque<Item<'static>>,
    names: &mut Option<pcapng::Names>,
) -> Result<Option<Found>, Stop> {
    while header(buffer, BLOCK_MIN)? {
        if buffer.bytes().starts_with(&pcapng::SECTION_HEADER.to_be_bytes()) {
            *section = section.next(section_order(buffer.bytes())?);
        }
        let found = match section.order {
            Endianness::Big => read_block::<_, BigEndian>(buffer, section, pending, names)?,
            Endianness::Little => read_block::<_, LittleEndian>(buffer, section, pending, names)?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The byte order of the section whose header block begins here.
fn section_order(block: &[u8]) -> Result<Endianness, Stop> {
    match u32_at::<BigEndian>(block, 8) {
        Some(0x1a2b_3c4d) => Ok(Endianness::Big),
        Some(0x4d3c_2b1a) => Ok(Endianness::Little),
        _ => Err("a section header without byte order".into()),
    }
}

/// Reads one block: a packet stays in the buffer, what else is of interest is queued.
#[inline]
fn read_block<R: Read, B: ByteOrder>(
    buffer: &mut Buffer<R>,
    section: &mut Section,
    pending: &mut VecDeque<Item<'static>>,
    names: &mut Option<pcapng::Names>,
) -> Result<Option<Found>, Stop> {
    let len = u32_at::<B>(buffer.bytes(), 4).and_then(|len| usize::try_from(len).ok());
    // Blocks are padded to 32 bits (3.1), and the customary limit of a file is that of a signed number.
    let Some(len) = len.filter(|len| *len >= BLOCK_MIN && i32::try_from(*len).is_ok()) else {
        return Err("an impossible block length".into());
    };
    if len > MAX_RECORD {
        let padded = len.is_multiple_of(4);
        return Err(if padded { Stop::TooLong(len) } else { "an impossible block length".into() });
    }
    if !buffer.fill(len)? {
        return Err(Stop::Truncated);
    }
    let Ok((_, RawBlock { type_, body: Cow::Borrowed(body), .. })) =
        RawBlock::from_slice::<B>(buffer.bytes())
    else {
        return Err("a block whose two lengths differ".into());
    };
    if let Some(packet) = section.packet::<B>(type_, body) {
        return Ok(Some(Found::Packet(packet?)));
    }
    match type_ {
        pcapng::SECTION_HEADER => {
            pending.push_back(Item::Section { comments: pcapng::section_comments::<B>(body) });
        }
        pcapng::INTERFACE_DESCRIPTION => section.describe::<B>(body)?,
        pcapng::NAME_RESOLUTION => {
            *names = Some(pcapng::Names::new(section.order, len));
            return Ok(Some(Found::Pending));
        }
        pcapng::INTERFACE_STATISTICS => {
            if let Some((offset, window)) = pcapng::clock_offset::<B>(body) {
                let before = std::mem::replace(&mut section.clock_offset, offset);
                let by = offset.less(before);
                pending.extend(window.map(|(from, until)| {
                    Item::ClockStep(ClockStep { by, from: from.known(), until })
                }));
            }
            pending.extend(pcapng::has_counts::<B>(body).then_some(Item::Statistics));
            let rounds = pcapng::rounds::<B>(body).into_iter();
            pending.extend(rounds.map(|(trace, count)| Item::Rounds { trace, count }));
            let never_sent = pcapng::never_sent::<B>(body).into_iter();
            pending.extend(never_sent.map(|(trace, count)| Item::NeverSent { trace, count }));
            pending.extend(pcapng::interrupted::<B>(body).map(|at| Item::Interrupted { at }));
        }
        _ => {}
    }
    buffer.take(len);
    Ok((!pending.is_empty()).then_some(Found::Pending))
}

/// Whether there is another record: its header of `len` bytes is then in the buffer.
#[inline]
fn header<R: Read>(buffer: &mut Buffer<R>, len: usize) -> Result<bool, Stop> {
    match buffer.fill(len)? {
        true => Ok(true),
        false if buffer.bytes().is_empty() => Ok(false),
        false => Err(Stop::Truncated),
    }
}
