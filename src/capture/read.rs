//! Reading a capture file, packet by packet, without copying.
//!
//! The first bytes show the format. After an error or the end the reader stays at the end:
//! every loop over [`CaptureReader::next`] terminates.

mod record;

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::IpAddr;

use pcap_file::Endianness;
use pcap_file::pcap::PcapParser;

use super::buffer::Buffer;
use super::pcapng::{self, Interfaces, Packet, Section};
use super::{CaptureError, MAX_RECORD};
use crate::time::{ClockStep, Span, Timestamp};
use crate::untrusted::Untrusted;
use crate::wire::{Frame, LinkType};
use record::{Found, Stop, find_block, find_record};

/// The length of the header of a classic pcap file.
const PCAP_HEADER: usize = 24;

/// How far beyond the snap length of its header a classic pcap may go before it counts as damaged.
const SNAPLEN_SLACK: usize = 256 << 10;

/// How much earlier than the frame before it a frame may be stamped without a clock being set: interfaces and processors are read
/// one after the other.
const DISORDER: Span = Span::from_millis(1_000);

/// The magic of common compressed files, and what undoes the compression.
const COMPRESSED: &[(&[u8], &str)] = &[
    (&[0x1f, 0x8b], "gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "unzstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "unxz"),
    (&[0x04, 0x22, 0x4d, 0x18], "unlz4"),
    (b"BZh", "bunzip2"),
];

/// One entry of a capture file.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// A packet.
    Packet(Frame<'a>),
    /// A pcapng section begins.
    Section {
        /// The comments of its header, in order.
        comments: Vec<String>,
    },
    /// A name that was resolved when the capture was made.
    Name {
        /// The address.
        address: IpAddr,
        /// One of its names. Any text may stand here: escape it before showing it.
        name: String,
    },
    /// The run that this is a recording of was interrupted (see [`INTERRUPTED`](super::INTERRUPTED)).
    Interrupted {
        /// At this moment.
        at: Timestamp,
    },
    /// What the interface counted, which capture programs write when they end.
    Statistics,
    /// The clock that stamped the packets was set. Those that follow have it taken out of their stamps.
    ClockStep(ClockStep),
    /// The last rounds of the watch that this is a recording of are missing (see [`ROUNDS`](super::ROUNDS)).
    Rounds {
        /// The number of the trace among those of the recording, from 1.
        trace: u32,
        /// How many there were.
        count: u64,
    },
    /// Probes of the run that this is a recording of never left (see [`NEVER_SENT`](super::NEVER_SENT)).
    NeverSent {
        /// The number of the trace among those of the recording, from 1.
        trace: u32,
        /// How many.
        count: u64,
    },
}

/// Reads a pcap or pcapng file.
pub struct CaptureReader<R> {
    buffer: Buffer<R>,
    name: String,
    packets: u64,
    ended: bool,
    decoder: Decoder,
    /// What the last block said beside packets, first come first.
    pending: VecDeque<Item<'static>>,
    /// A block of names that is still in the buffer: it may hold a million.
    names: Option<pcapng::Names>,
    /// What has been found without having been asked for: by [`peek`](Self::peek).
    ahead: Option<Result<Option<Found>, Stop>>,
    /// The steps of the clock that no note tells of, where they are looked for.
    backward: Option<Backward>,
}

/// The clock that stamps a file was set back where a stamp lies far before one that came earlier. How long nothing
/// was captured then is not known; that frame is taken to follow at once.
#[derive(Clone, Copy, Default)]
struct Backward {
    latest: Option<Timestamp>,
    /// How far stamps are behind the time of the run.
    behind: Span,
}

impl Backward {
    /// Brings a stamp to the time of the run, and gives the step before it, if there is one.
    fn mend(&mut self, at: &mut Timestamp) -> Option<ClockStep> {
        let stamp = at.known()?.after(self.behind);
        let latest = self.latest.map_or(stamp, |latest| latest.max(stamp));
        self.latest = Some(latest);
        *at = stamp;
        let by = stamp.since(latest);
        if by.abs() <= DISORDER {
            return None;
        }
        let next = latest.after(Span::from_nanos(1));
        self.behind = self.behind.plus(next.since(stamp));
        (*at, self.latest) = (next, Some(next));
        Some(ClockStep { by, from: None, until: latest })
    }
}

/// What must be known from earlier bytes of the file to read on.
enum Decoder {
    Pcap { parser: PcapParser, link: LinkType, limit: usize },
    PcapNg(Section),
}

impl<R: Read> CaptureReader<R> {
    /// Starts reading `source`, which errors call `name`.
    ///
    /// # Errors
    /// When the source cannot be read, or does not begin as a pcap or pcapng file does.
    pub fn new(source: R, name: impl Into<String>) -> Result<Self, CaptureError> {
        let (mut buffer, name) = (Buffer::new(source), name.into());
        let whole = match buffer.fill(PCAP_HEADER) {
            Ok(whole) => whole,
            Err(source) => return Err(CaptureError::Io { operation: "read", name, source }),
        };
        let head = buffer.bytes();
        if let Some((_, program)) = COMPRESSED.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(CaptureError::Compressed { name, program });
        }
        let decoder = if head.starts_with(&pcapng::SECTION_HEADER.to_be_bytes()) {
            // The first block says the byte order.
            Decoder::PcapNg(Section::new(Endianness::Little))
        } else if let Ok((_, parser)) = PcapParser::new(head) {
            buffer.take(PCAP_HEADER);
            pcap_decoder(parser)
        } else if whole || !begins_as_pcap(head) {
            return Err(CaptureError::NotACapture { name });
        } else {
            return Err(CaptureError::NoHeader { name, bytes: head.len() });
        };
        let pending = VecDeque::new();
        let (names, ahead) = (None, None);
        let backward = None;
        Ok(Self {
            buffer,
            name,
            packets: 0,
            ended: false,
            decoder,
            pending,
            names,
            ahead,
            backward,
        })
    }

    /// Looks for steps of the clock of which the file has no note: it was set back where stamps jump back by more
    /// than a second. They are told and taken out of stamps like those of which there is one.
    #[must_use]
    pub fn finding_clock_steps(mut self) -> Self {
        self.backward = Some(Backward::default());
        self
    }

    /// Gives frames of interfaces with these names these numbers.
    #[must_use]
    pub fn numbering_interfaces(mut self, known: &BTreeMap<u32, Untrusted>) -> Self {
        if let Decoder::PcapNg(section) = &mut self.decoder {
            section.numbered = Interfaces::known(known);
        }
        self
    }

    /// The names of the interfaces that the file has described so far, by the numbers that frames have.
    #[must_use]
    pub fn interfaces(&self) -> BTreeMap<u32, Untrusted> {
        match &self.decoder {
            Decoder::Pcap { .. } => BTreeMap::new(),
            Decoder::PcapNg(section) => section.numbered.names(),
        }
    }

    /// The next thing the file says; `None` at its end and after an error.
    ///
    /// # Errors
    /// [`CaptureError::Truncated`] when the file was cut off, [`CaptureError::Damaged`] when it makes
    /// no sense from here on, [`CaptureError::Io`] when it cannot be read. All end the reading.
    #[expect(clippy::should_implement_trait, reason = "an Iterator's items cannot borrow from it")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, CaptureError> {
        if let Some(item) = self.next_aside() {
            return Ok(Some(item));
        }
        if self.ended {
            return Ok(None);
        }
        let mut found = match self.ahead.take() {
            Some(found) => found,
            None => self.find_mended(),
        };
        while let Ok(Some(Found::Pending)) = found {
            if let Some(item) = self.next_aside() {
                return Ok(Some(item));
            }
            found = self.find_mended();
        }
        if let Some(item) = self.next_aside() {
            self.ahead = Some(found);
            return Ok(Some(item));
        }
        self.ended = !matches!(found, Ok(Some(_)));
        match found {
            Ok(Some(Found::Packet(packet))) => Ok(Some(Item::Packet(self.frame(&packet)))),
            Ok(Some(Found::Pending) | None) => Ok(None),
            Err(Stop::Io(source)) => {
                Err(CaptureError::Io { operation: "read", name: self.name.clone(), source })
            }
            Err(Stop::Truncated) => {
                Err(CaptureError::Truncated { name: self.name.clone(), packets: self.packets })
            }
            Err(Stop::TooLong(bytes)) => Err(CaptureError::TooLong {
                name: self.name.clone(),
                packet: self.packets + 1,
                bytes,
            }),
            Err(Stop::Damaged(what)) => Err(CaptureError::Damaged {
                name: self.name.clone(),
                packet: self.packets.saturating_add(1),
                what,
            }),
        }
    }

    /// When the packet was captured that [`next`](Self::next) will give; `None` if it will give something else.
    pub fn peek(&mut self) -> Option<Timestamp> {
        let aside = !self.pending.is_empty() || self.names.is_some();
        if self.ahead.is_none() && !aside && !self.ended {
            self.ahead = match self.find_mended() {
                Ok(Some(Found::Pending)) => None,
                found => Some(found),
            };
        }
        match &self.ahead {
            Some(Ok(Some(Found::Packet(packet)))) if self.pending.is_empty() => Some(packet.at),
            _ => None,
        }
    }

    /// Finds an item as [`find`](Self::find) does, with the packet's stamp in the time of the run; a step before it is queued.
    #[inline]
    fn find_mended(&mut self) -> Result<Option<Found>, Stop> {
        let mut found = self.find();
        if let (Some(backward), Ok(Some(Found::Packet(packet)))) = (&mut self.backward, &mut found)
        {
            self.pending.extend(backward.mend(&mut packet.at).map(Item::ClockStep));
        }
        found
    }

    /// Reads records up to one that says something.
    #[inline]
    fn find(&mut self) -> Result<Option<Found>, Stop> {
        match &mut self.decoder {
            Decoder::Pcap { parser, link, limit } => {
                find_record(&mut self.buffer, parser, *link, *limit)
            }
            Decoder::PcapNg(section) => {
                find_block(&mut self.buffer, section, &mut self.pending, &mut self.names)
            }
        }
    }

    /// What else the last block says that was no packet.
    fn next_aside(&mut self) -> Option<Item<'static>> {
        if let Some(names) = &mut self.names {
            let name = names.next(self.buffer.bytes());
            if name.is_none() {
                self.buffer.take(names.block_len());
                self.names = None;
            }
            return name.map(|(address, name)| Item::Name { address, name });
        }
        self.pending.pop_front()
    }

    /// Moves past a record and lends the frame in it.
    #[inline]
    fn frame(&mut self, packet: &Packet) -> Frame<'_> {
        self.packets = self.packets.saturating_add(1);
        let record = self.buffer.take(packet.record_len);
        let end = packet.offset.saturating_add(packet.captured);
        let bytes = record.get(packet.offset..end).unwrap_or_default();
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Frame {
            original_len: packet.original_len.max(len),
            interface: packet.interface,
            number: self.packets,
            evidence: packet.evidence,
            ..Frame::whole(packet.at, packet.link, bytes)
        }
    }
}

/// Whether `head`, too short for a whole header, may be of a classic pcap cut short. Without its four
/// bytes of magic every file may.
fn begins_as_pcap(head: &[u8]) -> bool {
    let mut whole = [0; PCAP_HEADER];
    if head.len() < 4 {
        return true;
    }
    whole.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
    PcapParser::new(&whole).is_ok()
}

/// A classic pcap says once for all packets what they are.
fn pcap_decoder(parser: PcapParser) -> Decoder {
    let header = parser.header();
    // The upper half of the field is not part of the link type: it can hold the length of the FCS.
    let link = LinkType::from_number(u32::from(header.datalink) & 0xffff);
    let snaplen = usize::try_from(header.snaplen).unwrap_or(usize::MAX);
    let limit = snaplen.saturating_add(SNAPLEN_SLACK).min(MAX_RECORD);
    Decoder::Pcap { parser, link, limit }
}
