//! The UDP header (RFC 768).

use super::{Layer, WireError, array};

/// The UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Length of header and payload in bytes.
    pub length: u16,
    /// Checksum; 0 means that none was computed.
    pub checksum: u16,
}

/// The header at the beginning of `bytes`.
///
/// # Errors
/// When fewer than 8 bytes are there.
pub fn decode(bytes: &[u8]) -> Result<UdpHeader, WireError> {
    let head: [u8; 8] = array(bytes, 0, Layer::Udp)?;
    Ok(UdpHeader {
        source_port: u16::from_be_bytes([head[0], head[1]]),
        destination_port: u16::from_be_bytes([head[2], head[3]]),
        length: u16::from_be_bytes([head[4], head[5]]),
        checksum: u16::from_be_bytes([head[6], head[7]]),
    })
}
