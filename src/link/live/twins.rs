//! Finds a frame that is seen on several interfaces: a bridge and its member, a macvlan and its card, a VLAN and its
//! trunk.
//!
//! The kernel shows a frame on each interface that it passes. An incoming frame is stamped once, on the lowest of
//! them, and keeps that stamp to the nanosecond. An outgoing frame is stamped on each, but no two datagrams of ours
//! are ever equal. So an outgoing frame that is seen twice is the same frame, and so is an incoming frame that is
//! seen twice with one stamp.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::sys::Note;
use crate::time::Timestamp;

/// The number of frames that are remembered: a frame passes its interfaces in one go.
const KEPT: usize = 64;

/// The frames seen last.
#[derive(Debug)]
pub(super) struct Twins {
    seen: [Option<Seen>; KEPT],
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    hash: u64,
    interface: u32,
    outgoing: bool,
    stamp: Option<Timestamp>,
    /// The position in the batch that is being read.
    at: Option<usize>,
}

impl Default for Twins {
    fn default() -> Self {
        Self { seen: [None; KEPT], next: 0 }
    }
}

impl Twins {
    /// The position in this batch of the same frame on another interface, if it was seen; `Some(None)` if it was seen
    /// in an earlier batch. A frame that was not seen is remembered.
    #[expect(clippy::option_option, reason = "whether there was one, and where it is")]
    pub(super) fn find(
        &mut self,
        datagram: &[u8],
        note: &Note,
        at: usize,
    ) -> Option<Option<usize>> {
        let mut hasher = DefaultHasher::new();
        datagram.hash(&mut hasher);
        let (hash, interface) = (hasher.finish(), note.interface());
        let outgoing = note.address.sll_pkttype == libc::PACKET_OUTGOING;
        let same = |it: &&mut Seen| {
            let stamped = outgoing || it.stamp == note.stamp;
            it.hash == hash && it.outgoing == outgoing && it.interface != interface && stamped
        };
        if let Some(twin) = self.seen.iter_mut().flatten().find(same) {
            return Some(twin.at);
        }
        let seen = Seen { hash, interface, outgoing, stamp: note.stamp, at: Some(at) };
        if let Some(room) = self.seen.get_mut(self.next) {
            *room = Some(seen);
        }
        self.next = (self.next + 1) % KEPT;
        None
    }

    /// Ends the batch: positions of later frames belong to the next one.
    pub(super) fn end_batch(&mut self) {
        self.seen.iter_mut().flatten().for_each(|seen| seen.at = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(index: i32, kind: u8, stamp: i64) -> Note {
        let mut note = Note { stamp: Some(Timestamp::from_nanos(stamp)), ..Note::NONE };
        (note.address.sll_ifindex, note.address.sll_pkttype) = (index, kind);
        note
    }

    #[test]
    fn a_frame_is_the_same_on_another_interface_alone() {
        const OUT: u8 = libc::PACKET_OUTGOING;
        let mut twins = Twins::default();
        for (bytes, note, at, twin) in [
            ("probe", note(3, OUT, 10), 0, None),
            ("probe", note(2, OUT, 12), 1, Some(Some(0))),
            ("reply", note(2, 0, 20), 2, None),
            ("reply", note(3, 0, 20), 3, Some(Some(2))),
            // A duplicate by the network, and an answer that only looks the same.
            ("reply", note(2, 0, 21), 4, None),
            ("reply", note(4, 0, 22), 5, None),
            ("other", note(2, 0, 20), 6, None),
        ] {
            assert_eq!(twins.find(bytes.as_bytes(), &note, at), twin, "{bytes} {note:?}");
        }
        twins.end_batch();
        assert_eq!(twins.find(b"other", &note(3, 0, 20), 0), Some(None), "in the batch before");
    }
}
