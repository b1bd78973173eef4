//! What the streams have in common: one JSON object a line, each flushed at once, and who has answered so far.

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

/// Lines to `out`, and the responders in the order of their first replies.
pub(super) struct Lines<W> {
    out: W,
    responders: Vec<IpAddr>,
    seen: HashSet<IpAddr>,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, responders: Vec::new(), seen: HashSet::new() }
    }

    pub(super) fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        writeln!(self.out)?;
        self.out.flush()
    }

    /// Notes a responder.
    pub(super) fn note(&mut self, responder: IpAddr) {
        if self.seen.insert(responder) {
            self.responders.push(responder);
        }
    }

    /// Takes all responders, at the end.
    pub(super) fn take_responders(&mut self) -> Vec<IpAddr> {
        std::mem::take(&mut self.responders)
    }
}
