//! A recording as a link: frames come from a capture file, nothing is sent.

use std::io::Read;

use super::{Link, LinkError, Received, Transmit};
use crate::capture::{CaptureError, CaptureReader, Item};
use crate::time::Timestamp;

/// A capture file that is being replayed.
pub struct ReplayLink<R: Read> {
    reader: CaptureReader<R>,
    latest: Timestamp,
    ended_by: Option<CaptureError>,
    /// When the run was interrupted, if it was.
    cut: Option<Timestamp>,
}

impl<R: Read> ReplayLink<R> {
    /// The frames of `reader`, in their order.
    pub fn new(reader: CaptureReader<R>) -> Self {
        Self { reader, latest: Timestamp::default(), ended_by: None, cut: None }
    }

    /// When the frame was captured that comes next; `None` if something else does.
    pub fn next_at(&mut self) -> Option<Timestamp> {
        self.reader.peek()
    }

    /// What ended it before its end, if anything did: it was cut off, or is damaged from there on.
    pub fn ended_by(&self) -> Option<&CaptureError> {
        self.ended_by.as_ref()
    }

    /// The error that ended the replay, by value.
    pub fn into_ended_by(self) -> Option<CaptureError> {
        self.ended_by
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
            Ok(Some(Item::Rounds { trace, count })) => Ok(Received::Rounds { trace, count }),
            Ok(Some(Item::NeverSent { trace, count })) => Ok(Received::NeverSent { trace, count }),
            Ok(Some(Item::ClockStep(step))) => Ok(Received::ClockStep(step)),
            Ok(Some(item)) => {
                if let Item::Interrupted { at } = item {
                    self.cut = Some(at);
                }
                Ok(Received::Woken)
            }
            Ok(None) => Ok(self.cut.map_or(Received::End, Received::Cut)),
            Err(error) if error.leaves_packets() => {
                self.ended_by = Some(error);
                Ok(Received::End)
            }
            Err(error) => Err(error.into()),
        }
    }
}
