//! The TCP header and its options (RFC 9293 §3.1; RFC 7323 for window scale and timestamps, RFC 2018
//! for SACK permitted).
//!
//! An ICMP error may quote no more than the first eight bytes: ports and sequence number. They are
//! decoded by themselves, and what follows if it is there.

use std::fmt;

use super::{Layer, WireError, array};

/// Length of the header without options.
const HEADER_LEN: usize = 20;

/// A TCP segment, or the beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// The rest of the fixed header; `None` when it is not all there.
    pub control: Option<Control>,
    /// The options as bytes: what is there of them.
    pub option_bytes: &'a [u8],
    /// The payload: what is there of it.
    pub payload: &'a [u8],
}

/// The acknowledgment, the header length and the flags of a segment, all within its first 14 octets (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Acknowledgment number; means something only with the ACK flag.
    pub acknowledgment: u32,
    /// The length of the header in bytes, as its data offset gives it.
    pub header_len: u8,
    /// The control bits.
    pub flags: Flags,
}

impl Beginning {
    /// The header of a segment, which may be cut short after it.
    #[must_use]
    pub fn of(segment: &[u8]) -> Option<Self> {
        let [a, b, c, d, offset, flags] = *segment.get(8..)?.first_chunk()?;
        Some(Self {
            acknowledgment: u32::from_be_bytes([a, b, c, d]),
            header_len: (offset >> 4) * 4,
            flags: Flags(flags),
        })
    }
}

impl<'a> Segment<'a> {
    /// The options, one after the other.
    #[must_use]
    pub fn options(&self) -> Options<'a> {
        Options(self.option_bytes)
    }
}

/// The fixed header from byte 8 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Acknowledgment number; means something only with the ACK flag.
    pub acknowledgment: u32,
    /// Length of the header in bytes as it tells it, 0 to 60. Below 20 it lies: there are then neither
    /// options nor a payload.
    pub header_len: u8,
    /// The control bits.
    pub flags: Flags,
    /// Receive window, not scaled.
    pub window: u16,
    /// The checksum as sent.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

/// The eight control bits (RFC 9293 §3.1, CWR and ECE as RFC 3168 has them).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

/// The control bits by name, lowest first, as traceroute prints them.
const FLAG_NAMES: [(Flags, &str); 8] = [
    (Flags::FIN, "fin"),
    (Flags::SYN, "syn"),
    (Flags::RST, "rst"),
    (Flags::PSH, "psh"),
    (Flags::ACK, "ack"),
    (Flags::URG, "urg"),
    (Flags::ECE, "ece"),
    (Flags::CWR, "cwr"),
];

impl Flags {
    /// The sender has finished sending.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number is valid.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is valid.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// Whether all of `flags` are set.
    #[must_use]
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// The bits apart from those of ECN (RFC 3168 §6.1.1), which a SYN may carry besides.
    #[must_use]
    pub fn without_ecn(self) -> Self {
        Self(self.0 & !(Self::ECE.0 | Self::CWR.0))
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The names of those set, joined by commas: `syn,ack`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = FLAG_NAMES.iter().filter(|(flag, _)| self.contains(*flag));
        set.enumerate().try_for_each(|(i, (_, name))| {
            f.write_str(if i == 0 { "" } else { "," })?;
            f.write_str(name)
        })
    }
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpOption<'a> {
    /// Maximum segment size.
    MaximumSegmentSize(u16),
    /// Window scale: by how many bits the window is shifted.
    WindowScale(u8),
    /// SACK permitted.
    SackPermitted,
    /// Timestamps.
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The peer's, echoed.
        echo: u32,
    },
    /// Any other, or one of the above with a length that it cannot have.
    Other {
        /// The option's kind.
        kind: u8,
        /// What follows kind and length.
        value: &'a [u8],
    },
}

/// The options of a segment, one after the other, without padding. The list ends at an option that
/// lies about its length or is not all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        let bytes = std::mem::take(&mut self.0);
        let skipped = bytes.iter().take_while(|kind| **kind == 1).count();
        let bytes = bytes.get(skipped..)?;
        let kind = *bytes.first().filter(|kind| **kind != 0)?;
        let len = usize::from(*bytes.get(1)?);
        let (option, rest) = bytes.split_at_checked(len)?;
        let value = option.get(2..)?;
        self.0 = rest;
        Some(match (kind, value) {
            (2, &[a, b]) => TcpOption::MaximumSegmentSize(u16::from_be_bytes([a, b])),
            (3, &[shift]) => TcpOption::WindowScale(shift),
            (4, []) => TcpOption::SackPermitted,
            (8, value) if let ([value, echo], []) = value.as_chunks() => TcpOption::Timestamps {
                value: u32::from_be_bytes(*value),
                echo: u32::from_be_bytes(*echo),
            },
            _ => TcpOption::Other { kind, value },
        })
    }
}

/// The segment at the beginning of `bytes`, or as much as is there of it.
///
/// # Errors
/// When fewer than the eight bytes are there that every ICMP error quotes.
pub fn decode(bytes: &[u8]) -> Result<Segment<'_>, WireError> {
    let head: [u8; 8] = array(bytes, 0, Layer::Tcp)?;
    let control = control(bytes);
    let header_len = control.map_or(0, |control| usize::from(control.header_len));
    let body = bytes.get(HEADER_LEN..).filter(|_| header_len >= HEADER_LEN).unwrap_or_default();
    let (options, payload) =
        body.split_at_checked(header_len.saturating_sub(HEADER_LEN)).unwrap_or((body, &[]));
    Ok(Segment {
        source_port: u16::from_be_bytes([head[0], head[1]]),
        destination_port: u16::from_be_bytes([head[2], head[3]]),
        sequence: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        control,
        option_bytes: options,
        payload,
    })
}

fn control(bytes: &[u8]) -> Option<Control> {
    let tail: [u8; HEADER_LEN - 8] = *bytes.get(8..)?.first_chunk()?;
    Some(Control {
        acknowledgment: u32::from_be_bytes([tail[0], tail[1], tail[2], tail[3]]),
        header_len: (tail[4] >> 4) * 4,
        flags: Flags(tail[5]),
        window: u16::from_be_bytes([tail[6], tail[7]]),
        checksum: u16::from_be_bytes([tail[8], tail[9]]),
        urgent: u16::from_be_bytes([tail[10], tail[11]]),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 9293 §3.1: a SYN with ECN as Linux sends it, with all the usual options and two bytes of data.
    const SYN: [u8; 42] = [
        0x9c, 0x40, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0, 0, 0, 0, 0xa0, 0xc2, 0xfa, 0xf0, 0x12,
        0x34, 0, 0, 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 7, 0xca, 0xfe,
    ];

    #[test]
    fn fields_are_where_rfc_9293_puts_them() {
        let segment = decode(&SYN).unwrap();
        assert_eq!((segment.source_port, segment.destination_port), (40_000, 80));
        assert_eq!(segment.sequence, 0x0102_0304);
        assert_eq!(
            segment.control,
            Some(Control {
                acknowledgment: 0,
                header_len: 40,
                flags: Flags::SYN | Flags::ECE | Flags::CWR,
                window: 64_240,
                checksum: 0x1234,
                urgent: 0,
            })
        );
        let options: Vec<_> = segment.options().collect();
        assert_eq!(
            options,
            [
                TcpOption::MaximumSegmentSize(1460),
                TcpOption::SackPermitted,
                TcpOption::Timestamps { value: 7, echo: 9 },
                TcpOption::WindowScale(7),
            ]
        );
        assert_eq!(segment.payload, [0xca, 0xfe]);
    }

    #[test]
    fn a_quote_may_end_anywhere() {
        for len in 0..=SYN.len() {
            let segment = decode(&SYN[..len]);
            assert_eq!(segment.is_ok(), len >= 8);
            let Ok(segment) = segment else { continue };
            assert_eq!(segment.sequence, 0x0102_0304);
            assert_eq!(segment.control.is_some(), len >= 20);
            let whole = [24, 26, 36, 40].iter().filter(|end| len >= **end).count();
            assert_eq!(segment.options().count(), whole, "{len} bytes");
            assert_eq!(segment.payload.len(), len.saturating_sub(40));
        }
    }

    #[test]
    fn a_lying_data_offset_gives_neither_options_nor_payload() {
        let mut bytes = SYN;
        for words in 0..5 {
            bytes[12] = words << 4;
            let segment = decode(&bytes).unwrap();
            assert_eq!(segment.control.unwrap().header_len, words * 4);
            assert_eq!((segment.options().count(), segment.payload.len()), (0, 0));
        }
    }

    #[test]
    fn options_end_where_one_lies() {
        let cases: [(&[u8], &[TcpOption]); 7] = [
            (&[], &[]),
            (&[1, 1, 1], &[]),
            (&[0, 4, 2], &[]),
            (&[4, 2, 2, 0], &[TcpOption::SackPermitted]),
            (&[4, 2, 2, 1, 4, 2], &[TcpOption::SackPermitted]),
            (&[4, 2, 2, 5, 1, 2], &[TcpOption::SackPermitted]),
            (
                &[2, 3, 9, 4, 2],
                &[TcpOption::Other { kind: 2, value: &[9] }, TcpOption::SackPermitted],
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Options(bytes).collect::<Vec<_>>(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn flags_read_as_traceroute_prints_them() {
        assert_eq!((Flags::SYN | Flags::ACK).to_string(), "syn,ack");
        assert_eq!((Flags::RST | Flags::ACK).to_string(), "rst,ack");
        assert_eq!(Flags::default().to_string(), "");
        assert_eq!(Flags(0xff).to_string(), "fin,syn,rst,psh,ack,urg,ece,cwr");
    }

    proptest! {
        #[test]
        fn any_bytes_decode(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let segment = decode(&bytes);
            prop_assert_eq!(segment.is_ok(), bytes.len() >= 8);
            let Ok(segment) = segment else { return Ok(()) };
            prop_assert!(bytes.ends_with(segment.payload));
            prop_assert!(segment.options().count() <= 20);
        }
    }
}
