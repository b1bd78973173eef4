//! A simulated network in virtual time, behind the same [`Link`] as the live one.
//!
//! Time starts at 2026-01-01T00:00:00Z and moves only when the driver waits: straight to the next
//! frame, or to the end of the wait. So a path of 600 ms is traced in a millisecond, and the same
//! topology, seed and calls give the same frames, byte for byte. There is no IO and no clock here.
//!
//! IPv4 and IPv6 go through the same code: what differs between them is data in `family.rs`.

mod attack;
mod bucket;
mod clock;
mod datagram;
mod extension;
mod family;
mod flaw;
mod host;
mod network;
mod node;
mod random;
mod refusal;
mod sockets;
mod spec;
mod topology;
mod transit;
mod values;

use std::collections::BTreeMap;

use attack::Attacker;
pub use attack::{Attack, ForgedAnswer};
use clock::Clock;
pub use clock::Setting;
pub use family::Dual;
use network::Network;
pub use node::{
    Advice, Balance, Expiry, Forged, Hold, Malformed, Nat, NatQuotes, Node, Outage, Ports, Rate,
    Rewrite, Unreachable,
};
use sockets::Sockets;
pub use spec::TopologyError;
pub use topology::Topology;

use super::{Link, LinkError, Received, Transmit};
use crate::time::{Span, Timestamp};
use crate::wire::{Evidence, Frame, LinkType, ip};

/// When virtual time begins: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_parts(1_767_225_600, 0);

/// How long it takes to send: the echo of a probe is stamped this much after the call, so that no
/// two probes leave at one time.
const SENDING: Span = Span::from_micros(4);

/// A link into a simulated network. Frames have no link header.
#[derive(Debug)]
pub struct SimLink {
    network: Network,
    now: Timestamp,
    echoes: bool,
    /// What stamps the frames, if it is set now and then.
    clock: Option<Clock>,
    /// How long after it was sent a probe leaves.
    queued: Span,
    /// Frames still to come, by their stamp, then in the order in which they were caused.
    queue: BTreeMap<(Timestamp, u64), Vec<u8>>,
    caused: u64,
    /// Who sends answers that the target did not, once a probe was sent.
    attacker: Option<Attacker>,
    /// If the host has no privilege, what its sockets are told.
    sockets: Option<Sockets>,
    /// The frame given out last.
    frame: Vec<u8>,
}

impl SimLink {
    /// The network that this topology describes, at rest.
    #[must_use]
    pub fn new(topology: Topology) -> Self {
        let settings = topology.clock.clone();
        let sockets = topology.sockets.then(Sockets::default);
        Self {
            network: Network::new(topology),
            now: START,
            clock: (!settings.is_empty()).then(|| Clock::new(settings, START)),
            echoes: true,
            queued: Span::ZERO,
            queue: BTreeMap::new(),
            caused: 0,
            attacker: None,
            sockets,
            frame: Vec::new(),
        }
    }

    /// Starts the clock of the link at this moment.
    #[must_use]
    pub fn starting_at(self, now: Timestamp) -> Self {
        let settings = &self.topology().clock;
        let clock = self.clock.is_some().then(|| Clock::new(settings.clone(), now));
        Self { now, clock, ..self }
    }

    /// Makes the link not echo the frames that are sent ([`Link::echoes`] is false).
    #[must_use]
    pub fn without_echo(self) -> Self {
        Self { echoes: false, ..self }
    }

    /// Makes probes leave this long after they were sent: other frames come between.
    #[must_use]
    pub fn leaving_after(self, queued: Span) -> Self {
        Self { queued, ..self }
    }

    /// The topology that is simulated: its source address and names are of use to the caller.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        self.network.topology()
    }

    /// What comes back for a datagram that leaves at this time, and when, whatever time the link
    /// itself has: for those who keep real time, as the emulator in `examples/` does. Calls in the
    /// order of their times keep the rate limits of routers right.
    pub fn answers(&mut self, at: Timestamp, datagram: &[u8]) -> Vec<(Timestamp, Vec<u8>)> {
        self.network.carry(at, datagram)
    }

    /// Lets a frame come at this time.
    fn expect(&mut self, at: Timestamp, bytes: Vec<u8>) {
        self.caused = self.caused.saturating_add(1);
        self.queue.insert((at, self.caused), bytes);
    }
}

impl Link for SimLink {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.now = self.now.after(SENDING);
        if let (None, Some(attack)) = (self.attacker, self.topology().attack)
            && let Ok((header, _)) = ip::decode(transmit.datagram)
        {
            self.attacker =
                Some(Attacker::new(attack, header.source, header.destination, self.now));
        }
        let left = self.now.after(self.queued);
        let by_kernel = self.sockets.as_mut().map(|sockets| sockets.send(transmit.datagram));
        let datagram = by_kernel.as_deref().unwrap_or(transmit.datagram);
        let replies = self.network.carry(left, datagram);
        if self.echoes {
            self.expect(left, datagram.to_vec());
        }
        for (at, reply) in replies {
            self.expect(at, reply);
        }
        Ok(())
    }

    /// Never [`Received::Woken`]. Waiting for ever when nothing is on its way is [`Received::End`];
    /// a later [`send`](Link::send) revives the link.
    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        let limit = until.map(|until| until.max(self.now));
        if let (Some(attacker), Some(limit)) = (&mut self.attacker, limit) {
            let at = attacker.next_at().max(self.now);
            if at <= limit && self.queue.keys().next().is_none_or(|first| at < first.0) {
                let forged = attacker.forge();
                self.expect(at, forged);
            }
        }
        let due = self
            .queue
            .first_entry()
            .filter(|entry| limit.is_none_or(|limit| entry.key().0 <= limit));
        if let (Some(clock), None, Some(limit)) = (&mut self.clock, &due, limit)
            && let Some(step) = clock.settle(limit)
        {
            return Ok(Received::ClockStep(step));
        }
        match (due, limit) {
            (Some(entry), _) => {
                let seen = entry.key().0;
                let now = self.now.max(seen);
                let placed = self.clock.as_mut().map(|clock| clock.place(seen, now));
                let at = match placed {
                    Some(Err(step)) => return Ok(Received::ClockStep(step)),
                    Some(Ok(at)) => at,
                    None => seen,
                };
                (self.now, self.frame) = (now, entry.remove());
                let mut evidence = Evidence::Captured;
                if let Some(sockets) = &mut self.sockets {
                    let Some(reported) = sockets.report(&self.frame) else {
                        return self.receive(until);
                    };
                    (self.frame, evidence) = reported;
                }
                let frame = Frame::whole(at, LinkType::Raw, &self.frame);
                Ok(Received::Frame(Frame { evidence, ..frame }))
            }
            (None, Some(limit)) => {
                self.now = limit;
                Ok(Received::Quiet(limit))
            }
            (None, None) => Ok(Received::End),
        }
    }

    fn echoes(&self) -> bool {
        self.echoes
    }
}

#[cfg(test)]
mod tests;
