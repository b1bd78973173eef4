//! Writing a recording, one whole record at a time.
//!
//! Each call assembles one record in memory and hands it to the writer in a single `write_all`, then
//! flushes: whenever the program dies, the file ends where a record ends. That holds for a writer
//! that passes each write on, such as a `File`; `Stdout` does not (it cuts at line feeds), so wrap
//! its descriptor in a `File`. After the first failure nothing more is written, for a torn record
//! must be the last: every later call fails with the same reason.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use byteorder::LittleEndian;
use pcap_file::pcap::{PcapHeader, RawPcapPacket};
use pcap_file::pcapng::PcapNgBlock;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::interface_statistics::{
    InterfaceStatisticsBlock, InterfaceStatisticsOption,
};
use pcap_file::pcapng::blocks::name_resolution::{
    Ipv4Record, Ipv6Record, NameResolutionBlock, Record,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, TsResolution};

use super::{CLOCK_OFFSET, CaptureError, Format, RECONSTRUCTED, SNAPLEN};
use crate::time::{ClockStep, Span, Timestamp};
use crate::untrusted::Untrusted;
use crate::wire::{Frame, LinkType, link};

/// The most bytes of text in one pcapng option or record, whose length field has 16 bits; room is
/// left for an address and padding beside it.
const TEXT_MAX: usize = 65_500;

/// The interface that a recording is of.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name, "eth0".
    pub name: Untrusted,
    /// Its address and the length of the network prefix.
    pub address: Option<(IpAddr, u8)>,
    /// The header that its frames begin with.
    pub link: LinkType,
}

/// The other interfaces of a host: frames may come by them too.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// The number of the interface that the recording begins with.
    pub first: u32,
    /// The others, with their numbers; what their frames begin with is as these say.
    pub others: Vec<(u32, Interface)>,
}

/// A capture file being written.
pub struct Recording<W> {
    writer: W,
    name: String,
    format: Format,
    link: LinkType,
    record: Vec<u8>,
    neighbours: Option<Neighbours>,
    /// The interfaces that have a block after the first, in order.
    described: Vec<(u32, LinkType)>,
    /// How far stamps are ahead of the time of the run.
    clock_offset: Span,
    written: u64,
    failed: Option<io::Error>,
}

impl<W: Write> Recording<W> {
    /// Begins a recording with what its format says about the interface. Errors call it `name`.
    /// Text beyond 65,500 bytes is cut.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(
        writer: W,
        name: impl Into<String>,
        format: Format,
        interface: &Interface,
        section_comment: &str,
    ) -> Result<Self, CaptureError> {
        Self::with_comments(writer, name, format, interface, &[section_comment])
    }

    /// The same with several comments on the section.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn with_comments<C: AsRef<str>>(
        writer: W,
        name: impl Into<String>,
        format: Format,
        interface: &Interface,
        comments: &[C],
    ) -> Result<Self, CaptureError> {
        let (name, link) = (name.into(), interface.link);
        let mut new = Self {
            writer,
            name,
            format,
            link,
            record: Vec::new(),
            neighbours: None,
            described: Vec::new(),
            clock_offset: Span::ZERO,
            written: 0,
            failed: None,
        };
        match format {
            Format::Pcap => new.write(|record| pcap_header(link, record))?,
            // Two blocks in one write: a section without interface is of no use.
            Format::PcapNg => new.write(|record| {
                put(section_header(comments), record)?;
                put(interface_description(interface), record)
            })?,
        }
        Ok(new)
    }

    /// Knows the other interfaces: in a pcapng each has a block of its own before the first frame that came by it, and its
    /// frames keep their own headers.
    #[must_use]
    pub fn among(mut self, neighbours: Neighbours) -> Self {
        let wanted = self.format == Format::PcapNg && neighbours.first > 0;
        self.neighbours = Some(neighbours).filter(|_| wanted);
        self
    }

    /// The number of the block of the interface that a frame came by, which is written if need be; 0 is the first.
    fn block_of(&mut self, frame: &Frame<'_>) -> Result<u32, CaptureError> {
        let Frame { interface: index, link, .. } = *frame;
        let Some(neighbours) = &self.neighbours else { return Ok(0) };
        if index == 0 || index == neighbours.first && link == self.link {
            return Ok(0);
        }
        let known = self.described.iter().position(|it| *it == (index, link));
        let place = known.unwrap_or(self.described.len());
        if known.is_none() {
            let found = neighbours.others.iter().find(|(number, _)| *number == index);
            let unknown = || Interface {
                name: format!("interface {index}").as_str().into(),
                address: None,
                link,
            };
            let named = found.map_or_else(unknown, |(_, found)| found.clone());
            let interface = Interface { link, ..named };
            self.write(|record| put(interface_description(&interface), record))?;
            self.described.push((index, link));
        }
        Ok(u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// How many bytes it has, if all of them could be written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Records a frame, and in pcapng what there is to say about it, after [`RECONSTRUCTED`] if it was not captured. One of another link type, which came by another
    /// interface, is given a header of that of the recording, without addresses. Frames longer than 262,144
    /// bytes are cut; times before 1970, which the formats cannot express, become 1970.
    ///
    /// # Errors
    /// [`CaptureError::Reconstructed`] for a reconstructed frame in a classic pcap;
    /// [`CaptureError::MixedLinks`] for a frame of another link type without an IP datagram that could be framed anew, which concerns this frame only;
    /// [`CaptureError::Io`] when it cannot be written, now and for ever.
    pub fn frame(&mut self, frame: &Frame<'_>, comment: Option<&str>) -> Result<(), CaptureError> {
        let is_captured = frame.evidence.is_captured();
        if !is_captured && self.format == Format::Pcap {
            return Err(CaptureError::Reconstructed { name: self.name.clone() });
        }
        let marked = (!is_captured).then(|| match comment {
            Some(comment) => format!("{RECONSTRUCTED}; {comment}"),
            None => RECONSTRUCTED.to_owned(),
        });
        let comment = marked.as_deref().or(comment);
        let mut frame = Frame { at: self.stamp(frame.at), ..*frame };
        let block = self.block_of(&frame)?;
        let reframed;
        if block == 0 && frame.link != self.link {
            let other = CaptureError::MixedLinks {
                name: self.name.clone(),
                recorded: self.link,
                frame: frame.link,
            };
            reframed = link::reframed(frame.link, frame.bytes, self.link).ok_or(other)?;
            let cut =
                frame.original_len.saturating_sub(u32::try_from(frame.bytes.len()).unwrap_or(0));
            let length = u32::try_from(reframed.len()).unwrap_or(u32::MAX);
            (frame.link, frame.bytes) = (self.link, &reframed);
            frame.original_len = length.saturating_add(cut);
        }
        let frame = &frame;
        match self.format {
            Format::Pcap => self.write(|record| pcap_packet(frame, record)),
            Format::PcapNg => {
                self.write(|record| put(enhanced_packet(block, frame, comment), record))
            }
        }
    }

    /// The stamp that stands in the file for a moment of the run.
    fn stamp(&self, at: Timestamp) -> Timestamp {
        match self.format {
            Format::Pcap => at,
            Format::PcapNg => at.after(self.clock_offset),
        }
    }

    /// The clock that stamps frames was set: those that follow have other stamps. Only pcapng tells.
    ///
    /// # Errors
    /// [`CaptureError::Io`] when it cannot be written, now and for ever.
    pub fn clock_step(&mut self, step: &ClockStep) -> Result<(), CaptureError> {
        let offset = self.clock_offset.plus(step.by);
        let (from, until) = (step.from.unwrap_or(Timestamp::UNKNOWN), step.until);
        self.note_offset(offset, until, &format!(" {} {}", from.nanos(), until.nanos()))
    }

    /// Notes by how much the clock has been set in all when the recording begins, `at` this moment.
    ///
    /// # Errors
    /// [`CaptureError::Io`] when it cannot be written, now and for ever.
    pub fn begin_with_offset(&mut self, offset: Span, at: Timestamp) -> Result<(), CaptureError> {
        if offset == self.clock_offset { Ok(()) } else { self.note_offset(offset, at, "") }
    }

    fn note_offset(
        &mut self,
        offset: Span,
        at: Timestamp,
        since: &str,
    ) -> Result<(), CaptureError> {
        self.clock_offset = offset;
        let (at, comment) = (self.stamp(at), format!("{CLOCK_OFFSET}{}{since}", offset.nanos()));
        match self.format {
            Format::Pcap => Ok(()),
            Format::PcapNg => self.write(|record| put(clock_note(at, &comment), record)),
        }
    }

    /// Records that `address` has this name; only pcapng can. What cannot be part of a name there
    /// (a NUL byte and what follows it) is dropped.
    ///
    /// # Errors
    /// [`CaptureError::Io`] when it cannot be written, now and for ever.
    pub fn name(&mut self, address: IpAddr, name: &Untrusted) -> Result<(), CaptureError> {
        let name = name.ascii();
        if self.format == Format::Pcap || name.is_empty() {
            return Ok(());
        }
        self.write(|record| put(name_resolution(address, &name), record))
    }

    /// Records what the kernel counted up to `at`: frames received, and dropped for want of room.
    /// Only pcapng can.
    ///
    /// # Errors
    /// [`CaptureError::Io`] when it cannot be written, now and for ever.
    pub fn statistics(
        &mut self,
        at: Timestamp,
        received: u64,
        dropped: u64,
        comment: Option<&str>,
    ) -> Result<(), CaptureError> {
        let at = self.stamp(at);
        match self.format {
            Format::Pcap => Ok(()),
            Format::PcapNg => {
                self.write(|record| put(statistics(at, received, dropped, comment), record))
            }
        }
    }

    /// Assembles one record and hands it on in one piece.
    fn write(
        &mut self,
        assemble: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> Result<(), CaptureError> {
        if self.failed.is_none() {
            self.record.clear();
            let done = assemble(&mut self.record)
                .and_then(|()| self.writer.write_all(&self.record))
                .and_then(|()| self.writer.flush());
            self.written += self.record.len() as u64;
            self.failed = done.err();
        }
        match &self.failed {
            None => Ok(()),
            Some(error) => Err(CaptureError::Io {
                operation: "write to",
                name: self.name.clone(),
                source: again(error),
            }),
        }
    }
}

/// Copies an error, since `io::Error` cannot be cloned.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn put<'a>(block: impl PcapNgBlock<'a>, record: &mut Vec<u8>) -> io::Result<()> {
    block.into_block().write_to::<LittleEndian, _>(record).map(|_| ())
}

fn pcap_header(link: LinkType, record: &mut Vec<u8>) -> io::Result<()> {
    PcapHeader {
        snaplen: SNAPLEN,
        datalink: DataLink::from(link.number()),
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    }
    .write_to(record)
    .map(|_| ())
    .map_err(io::Error::other)
}

fn pcap_packet(frame: &Frame<'_>, record: &mut Vec<u8>) -> io::Result<()> {
    let at = since_epoch(frame.at);
    let (bytes, incl_len) = captured(frame);
    RawPcapPacket {
        ts_sec: u32::try_from(at.as_secs()).unwrap_or(u32::MAX),
        ts_frac: at.subsec_nanos(),
        incl_len,
        orig_len: frame.original_len.max(incl_len),
        data: Cow::Borrowed(bytes),
    }
    .write_to::<_, LittleEndian>(record)
    .map(|_| ())
    .map_err(io::Error::other)
}

fn section_header<C: AsRef<str>>(comments: &[C]) -> SectionHeaderBlock<'_> {
    let application = Cow::Borrowed(concat!("rtrace ", env!("CARGO_PKG_VERSION")));
    let mut options = vec![SectionHeaderOption::UserApplication(application)];
    let comments = comments.iter().map(AsRef::as_ref).filter(|comment| !comment.is_empty());
    options.extend(comments.map(|it| SectionHeaderOption::Comment(Cow::Borrowed(cut(it)))));
    SectionHeaderBlock { endianness: Endianness::Little, options, ..SectionHeaderBlock::default() }
}

fn interface_description(interface: &Interface) -> InterfaceDescriptionBlock<'_> {
    const NANOSECONDS: u8 = 9;
    let mut options = vec![
        InterfaceDescriptionOption::IfName(Cow::Owned(cut(&interface.name.shown()).to_owned())),
        InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
    ];
    options.extend(interface.address.map(|(address, prefix)| match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            let octets = [address.octets(), Ipv4Addr::from(mask).octets()].concat();
            InterfaceDescriptionOption::IfIpv4Addr(octets.into())
        }
        IpAddr::V6(address) => {
            let octets = [&address.octets()[..], &[prefix]].concat();
            InterfaceDescriptionOption::IfIpv6Addr(octets.into())
        }
    }));
    let linktype = DataLink::from(interface.link.number());
    InterfaceDescriptionBlock { linktype, snaplen: SNAPLEN, options }
}

fn enhanced_packet<'a>(
    interface_id: u32,
    frame: &Frame<'a>,
    comment: Option<&'a str>,
) -> EnhancedPacketBlock<'a> {
    let (bytes, captured_len) = captured(frame);
    EnhancedPacketBlock {
        interface_id,
        timestamp: since_epoch(frame.at),
        original_len: frame.original_len.max(captured_len),
        data: Cow::Borrowed(bytes),
        options: comment
            .map(|text| EnhancedPacketOption::Comment(Cow::Borrowed(cut(text))))
            .into_iter()
            .collect(),
    }
}

fn name_resolution(address: IpAddr, name: &str) -> NameResolutionBlock<'_> {
    let names = vec![Cow::Borrowed(name)];
    let record = match address {
        IpAddr::V4(address) => {
            Record::Ipv4(Ipv4Record { ip_addr: address.octets().to_vec().into(), names })
        }
        IpAddr::V6(address) => {
            Record::Ipv6(Ipv6Record { ip_addr: address.octets().to_vec().into(), names })
        }
    };
    NameResolutionBlock { records: vec![record], options: Vec::new() }
}

fn statistics(
    at: Timestamp,
    received: u64,
    dropped: u64,
    comment: Option<&str>,
) -> InterfaceStatisticsBlock<'_> {
    let mut options = vec![
        InterfaceStatisticsOption::IsbIfRecv(received),
        InterfaceStatisticsOption::IsbIfDrop(dropped),
    ];
    options
        .extend(comment.map(|text| InterfaceStatisticsOption::Comment(Cow::Borrowed(cut(text)))));
    statistics_block(at, options)
}

/// Statistics of nothing: they have a time and a comment, and no reader minds them.
fn clock_note(at: Timestamp, comment: &str) -> InterfaceStatisticsBlock<'_> {
    let comment = InterfaceStatisticsOption::Comment(Cow::Borrowed(cut(comment)));
    statistics_block(at, vec![comment])
}

fn statistics_block(
    at: Timestamp,
    options: Vec<InterfaceStatisticsOption<'_>>,
) -> InterfaceStatisticsBlock<'_> {
    // The format wants the upper half first in either byte order; pcap-file writes one 64-bit number.
    let timestamp = u64::try_from(at.nanos()).unwrap_or(0).rotate_left(32);
    InterfaceStatisticsBlock { interface_id: 0, timestamp, options }
}

/// The part of a frame that a recording holds, and its length.
fn captured<'a>(frame: &Frame<'a>) -> (&'a [u8], u32) {
    match u32::try_from(frame.bytes.len()) {
        Ok(len) if len <= SNAPLEN => (frame.bytes, len),
        _ => (frame.bytes.get(..SNAPLEN as usize).unwrap_or_default(), SNAPLEN),
    }
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(at.nanos()).unwrap_or(0))
}

/// The beginning of a text that fits an option.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
