//! A recording as a link: frames come from a capture file, nothing is sent.

use std::io::Read;

use super::{Link, LinkError, Received, Transmit};
use crate::capture::{CaptureError, CaptureReader, Item};
use crate::time::Timestamp;

/// A capture file that is being replayed.
pub struct ReplayLink<R: Read> {
    reader: CaptureReader<R>,
    latest: Timestamp,
    truncated: Option<CaptureError>,
    /// When the run was interrupted, if it was.
    cut: Option<Timestamp>,
}

impl<R: Read> ReplayLink<R> {
    /// The frames of `reader`, in their order.
    pub fn new(reader: CaptureReader<R>) -> Self {
        Self { reader, latest: Timestamp::default(), truncated: None, cut: None }
    }

    /// Why the file ended before its last packet was whole, if it did.
    pub fn truncated(&self) -> Option<&CaptureError> {
        self.truncated.as_ref()
    }
}

impl<R: Read> Link for ReplayLink<R> {
    /// The stamp of the last frame: a recording has no other present.
    fn now(&self) -> Timestamp {
        self.latest
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        Err(LinkError::Refused {
            destination: transmit.destination,
            source: std::io::Error::new(std::io::ErrorKind::Unsupported, "this is a recording"),
        })
    }

    fn receive(&mut self, _: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        match self.reader.next() {
            Ok(Some(Item::Packet(frame))) => {
                (self.latest, self.cut) = (frame.at, None);
                Ok(Received::Frame(frame))
            }
            Ok(Some(item)) => {
                if let Item::Interrupted { at } = item {
                    self.cut = Some(at);
                }
                Ok(Received::Woken)
            }
            Ok(None) => Ok(self.cut.map_or(Received::End, Received::Cut)),
            Err(error @ CaptureError::Truncated { .. }) => {
                self.truncated = Some(error);
                Ok(Received::End)
            }
            Err(error) => Err(error.into()),
        }
    }
}
