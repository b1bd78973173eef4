//! A read buffer that hands out whole records as borrowed slices.
//!
//! Invariant: `start <= end <= data.len()`. It grows only as far as the longest record asked for, and shrinks once
//! that is behind it, so memory does not depend on the length of the file.

use std::io::{self, ErrorKind, Read};

/// Large enough that reading is a small part of the cost, small enough to stay in the cache.
const CAPACITY: usize = 256 << 10;

/// Buffered bytes of a source, from the next unread one on.
pub(super) struct Buffer<R> {
    source: R,
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Buffer<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, data: vec![0; CAPACITY], start: 0, end: 0 }
    }

    /// The bytes that are there without reading on.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads until `wanted` bytes are there; `false` if the source ends before.
    #[inline]
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.end - self.start >= wanted { Ok(true) } else { self.refill(wanted) }
    }

    #[cold]
    fn refill(&mut self, wanted: usize) -> io::Result<bool> {
        self.data.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.data.len() < wanted {
            self.data.resize(wanted, 0);
        } else if self.data.len() > CAPACITY && self.end.max(wanted) <= CAPACITY {
            self.data.truncate(CAPACITY);
            self.data.shrink_to_fit();
        }
        while self.end < wanted {
            let free = self.data.get_mut(self.end..).unwrap_or_default();
            match self.source.read(free) {
                Ok(0) => return Ok(false),
                Ok(count) => self.end = self.data.len().min(self.end + count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Moves past the next `count` bytes and returns them, or what is there of them.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let begin = self.start;
        self.start = self.end.min(begin.saturating_add(count));
        self.data.get(begin..self.start).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `step` bytes at a time and is interrupted before each.
    struct Trickle<'a>(&'a [u8], usize, bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.2 = !self.2;
            if self.2 {
                return Err(ErrorKind::Interrupted.into());
            }
            let step = self.1.min(out.len());
            self.0.read(&mut out[..step])
        }
    }

    #[test]
    fn records_come_whole_however_they_arrive() {
        let content: Vec<u8> = (0..=255).cycle().take(3 * CAPACITY + 5).collect();
        for step in [1_000, CAPACITY - 1, 5 * CAPACITY] {
            let mut buffer = Buffer::new(Trickle(&content, step, false));
            let mut rest = &content[..];
            for record in [0, 7, CAPACITY, 1, 2 * CAPACITY - 9] {
                assert!(buffer.fill(record).unwrap());
                assert_eq!(buffer.take(record), rest.split_off(..record).unwrap());
            }
            assert!(!buffer.fill(7).unwrap());
            assert_eq!(buffer.bytes(), rest);
            assert_eq!(buffer.take(100), rest);
        }
    }
}
