//! Capture files: reading and writing pcap and pcapng over `Read` and `Write`.
//!
//! [`CaptureReader`] turns a file into [`Item`]s and [`Recording`] turns frames into a file; what a
//! recording writes, the reader gives back unchanged. Nothing here opens a file, reads a clock or
//! panics on any content. The formats are those of draft-ietf-opsawg-pcap (classic pcap) and
//! draft-ietf-opsawg-pcapng.
//!
//! Stamps in a pcapng are those of the clock. Where it was set while it was recorded there is a note of that, so that the
//! frames which are written and read have the time of the run, in which no clock is ever set. A classic pcap, which
//! can have no such note, has that time as its stamps.
//!
//! The encodings come from the crate `pcap-file`, used on slices of whole records only. Its own
//! readers get stuck on an interface description that is not to their taste, take a file cut short
//! and a nonsensical length for the same thing, and its block decoders read every time stamp as
//! nanoseconds; so buffering and the meaning of pcapng blocks are ours.
//!
//! ```
//! use rtrace::capture::{CaptureReader, Format, Interface, Item, Recording};
//! use rtrace::{time::Timestamp, wire::{Frame, LinkType}};
//!
//! # fn main() -> Result<(), rtrace::capture::CaptureError> {
//! let (mut file, link) = (Vec::new(), LinkType::Raw);
//! let interface = Interface { name: "tun0".into(), address: None, link };
//! let mut recording = Recording::new(&mut file, "out.pcap", Format::Pcap, &interface, "")?;
//! let at = Timestamp::from_nanos(1_700_000_000_123_456_789);
//! let frame = Frame::whole(at, link, b"datagram");
//! recording.frame(&frame, Some("probe ttl=1"))?;
//!
//! let mut reader = CaptureReader::new(&file[..], "out.pcap")?;
//! while let Some(item) = reader.next()? {
//!     let Item::Packet(read) = item else { continue };
//!     assert_eq!((read.number, read.at, read.bytes), (1, at, frame.bytes));
//! }
//! # Ok(())
//! # }
//! ```

mod buffer;
mod pcapng;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::Path;

pub use read::{CaptureReader, Item};
pub use write::{Interface, Neighbours, Recording};

use crate::wire::LinkType;

/// The largest record or block that is believed; a longer one means a damaged length field.
const MAX_RECORD: usize = 16 << 20;

/// The most bytes of one frame that a recording holds: the customary "everything".
const SNAPLEN: u32 = 262_144;

/// What a line of the comment on the statistics begins with where the run was interrupted; nanoseconds since
/// the epoch follow.
pub const INTERRUPTED: &str = "interrupted at ";

/// The beginning of a comment on a watch whose last rounds are missing; the number of rounds follows.
pub const ROUNDS: &str = "rounds ";

/// What stands between such a number and that of the trace, from 1, in a recording of several traces.
pub const OF_TRACE: &str = " of trace ";

/// Of how many traces such numbers are read.
const TRACES: usize = 1 << 16;

/// The beginning of a comment on probes that were handed to the network stack and never left; their number follows.
pub const NEVER_SENT: &str = "never sent ";

/// What the comment on a [reconstructed](crate::wire::Evidence::Reconstructed) frame begins with.
pub const RECONSTRUCTED: &str = "reconstructed, not captured: octets that are not known are zero (such as IP-ID, checksums, quoted IP headers)";

/// The beginning of a line in the comment on statistics. It says by how many nanoseconds the stamps of later packets are
/// ahead of the time of the run and, of a step of the clock, the moments between which it was set
/// ([`ClockStep`](crate::time::ClockStep)).
pub const CLOCK_OFFSET: &str = "clock offset ";

/// A capture file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap: packets only. Recordings have nanosecond stamps.
    Pcap,
    /// pcapng: packets with comments, names, the interface and its statistics.
    PcapNg,
}

impl Format {
    /// The format that a file name asks for: pcapng if it ends so, else pcap.
    #[must_use]
    pub fn from_path(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("pcapng") => Self::PcapNg,
            _ => Self::Pcap,
        }
    }
}

/// What is wrong with a capture file.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The operating system failed to read or write.
    #[error("cannot {operation} {name}: {source}")]
    Io {
        /// What was tried: "read", "create" or "write to".
        operation: &'static str,
        /// The file.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is empty, or ends before its first packet could have begun.
    #[error(
        "{name} ends within the header of a capture file, at a length of {bytes}: nothing was recorded in it"
    )]
    NoHeader {
        /// The file.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// The file is compressed.
    #[error("{name} is compressed, decompress it first: {program} {name}")]
    Compressed {
        /// The file.
        name: String,
        /// The program that decompresses it.
        program: &'static str,
    },
    /// The file is neither pcap nor pcapng.
    #[error(
        "{name} is not a pcap or pcapng file: give a recording of rtrace, tcpdump or Wireshark"
    )]
    NotACapture {
        /// The file.
        name: String,
    },
    /// The file was cut off; every whole packet before the cut has been read.
    #[error("{name} ends in the middle of packet {}: replayed up to there", .packets.saturating_add(1))]
    Truncated {
        /// The file.
        name: String,
        /// How many whole packets were read from it.
        packets: u64,
    },
    /// The file contradicts itself; reading stops here.
    #[error(
        "{name} is damaged at packet {packet} ({what}): only the packets before it can be used"
    )]
    Damaged {
        /// The file.
        name: String,
        /// The number of the packet that could not be read, or that would have come next.
        packet: u64,
        /// What was found.
        what: &'static str,
    },
    /// A block is longer than what is read; reading stops here.
    #[error(
        "{name} has a block of {bytes} bytes before packet {packet}, more than the {} MiB that are read of one: only \
         the packets before it can be used",
        MAX_RECORD >> 20
    )]
    TooLong {
        /// The file.
        name: String,
        /// The number of the packet that would have come next.
        packet: u64,
        /// As long as it says.
        bytes: usize,
    },
    /// A frame has another kind of link-layer header than the recording was opened for.
    #[error(
        "{name} records {recorded:?} frames and cannot hold one of {frame:?}: trace on one interface"
    )]
    MixedLinks {
        /// The file.
        name: String,
        /// The link type in the file.
        recorded: LinkType,
        /// The link type of the frame.
        frame: LinkType,
    },
    /// A classic pcap has no comments, so it cannot say that a frame was not captured.
    #[error(
        "{name} is a classic pcap, which cannot say that replies are reconstructed and not captured: \
         record to a .pcapng file"
    )]
    Reconstructed {
        /// The file.
        name: String,
    },
}

impl CaptureError {
    /// Whether there are packets before it that can be used.
    #[must_use]
    pub fn leaves_packets(&self) -> bool {
        match self {
            Self::Truncated { .. } => true,
            Self::Damaged { packet, .. } | Self::TooLong { packet, .. } => *packet > 1,
            _ => false,
        }
    }
}
