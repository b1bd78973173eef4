//! What a link does without privilege: UDP and ping sockets instead of raw and packet sockets.
//!
//! The kernel reports on the error queue of such a socket (ip(7), `MSG_ERRQUEUE`)
//!
//! - each datagram as it left, whole, with the stamp of its leaving (`SO_TIMESTAMPING`);
//! - each ICMP error about one: its type and code, who sent it, its stamp, its TTL and what it quotes behind the header of the
//!   probe's protocol (`IP_RECVERR`), with the extension structure (`IP_RECVERR_RFC4884`).
//!
//! Frames are made of that. A probe's frame is the datagram itself; a reply's is put together ([`rebuilt`]), and marked as
//! [`Evidence::Reconstructed`]. Each target has a socket for each of its identifiers, because the socket says whose report it is.
//!
//! Invariants: frames are handed out in the order of their stamps, as far as they were read together. A pending error of a
//! socket is no refusal of the next probe: the kernel reports it on the queue, too.

mod flow;
mod rebuilt;
mod report;
mod sent;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use self::flow::{Flow, Made};
use super::capture::Captured;
use super::config::{LiveConfig, LiveTarget, OpenError};
use super::realtime;
use super::sender::{judge, malformed};
use crate::link::{LinkError, Transmit};
use crate::probe::ProbeType;
use crate::time::Timestamp;
use crate::wire::ip::{self, IpHeader};
use crate::wire::{Evidence, LinkType, udp};

/// Room for a datagram with its link header, and for what is quoted of one.
const ROOM: usize = 17 << 12;
/// How many probes are sent before reports are read, at most. The usual buffer holds some 300 reports, of which a probe has two.
const UNREAD: usize = 16;
/// The sockets of a link.
pub(super) struct Sockets {
    flows: Vec<Flow>,
    /// The flows by target and identifier.
    index: BTreeMap<(IpAddr, u16), usize>,
    /// For each target, the first and the second identifier.
    idents: Vec<(u16, Option<u16>)>,
    frames: VecDeque<Made>,
    /// Probes that were handed over and whose leaving is not reported: they are handed out with what is read next, in order.
    assumed: Vec<Made>,
    /// The frame that was handed out last.
    lent: Vec<u8>,
    room: Vec<u8>,
    /// The number of probes that were sent since reports were last read.
    unread: usize,
    /// What the kernel refused that a run can do without, in words.
    lacking: Vec<String>,
    survive_link_down: bool,
}

impl Sockets {
    /// Opens the sockets for the probes of `config`, which takes no privilege.
    pub(super) fn open(config: &LiveConfig) -> Result<Self, OpenError> {
        let is_echo = match config.probe {
            ProbeType::Udp | ProbeType::UdpFixed => false,
            ProbeType::IcmpEcho => true,
            other => return Err(OpenError::needs_packets(other)),
        };
        let mut sockets = Self {
            flows: Vec::new(),
            index: BTreeMap::new(),
            idents: Vec::new(),
            frames: VecDeque::new(),
            assumed: Vec::new(),
            lent: Vec::new(),
            room: vec![0; ROOM],
            unread: 0,
            lacking: Vec::new(),
            survive_link_down: config.survive_link_down,
        };
        for target in &config.targets {
            let first = sockets.add(target, is_echo, target.source_port)?;
            let second = config.confirming.then(|| sockets.add(target, is_echo, None));
            sockets.idents.push((first, second.transpose()?));
        }
        Ok(sockets)
    }

    /// Opens a socket for probes to a target, with this identifier or a random one.
    fn add(
        &mut self,
        target: &LiveTarget,
        is_echo: bool,
        wished: Option<u16>,
    ) -> Result<u16, OpenError> {
        let (flow, lacking) = Flow::open(target, is_echo, wished)?;
        let (key, place) = ((flow.target, flow.ident), self.flows.len());
        self.index.insert(key, place);
        self.flows.push(flow);
        for what in lacking {
            if !self.lacking.contains(&what) {
                self.lacking.push(what);
            }
        }
        Ok(key.1)
    }

    /// The first identifier of the target with this number; 0 if there is no such target.
    pub(super) fn first(&self, target: usize) -> u16 {
        self.idents.get(target).map_or(0, |(first, _)| *first)
    }

    /// The second identifier of the target with this number, if it has one.
    pub(super) fn second(&self, target: usize) -> Option<u16> {
        self.idents.get(target)?.1
    }

    /// What the kernel refused that a run can do without, in words.
    pub(super) fn lacking(&self) -> &[String] {
        &self.lacking
    }

    /// Whether the stamps of probes are the kernel's.
    pub(super) fn reports_sent(&self) -> bool {
        self.flows.iter().all(|flow| flow.reports_sent)
    }

    /// Their descriptors.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.flows.iter().map(|flow| flow.socket.as_fd())
    }

    /// Sends a datagram: the kernel makes the headers anew as they are in it, but for the IP-ID.
    pub(super) fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        let Transmit { destination, datagram } = *transmit;
        let refuse = |source| LinkError::Refused { destination, source };
        let (header, payload) =
            ip::decode(datagram).map_err(|_| refuse(malformed("not an IP datagram")))?;
        let ident = ident(&header, payload);
        let flow = ident.and_then(|ident| self.index.get(&(destination, ident)));
        let flow = flow.and_then(|place| self.flows.get_mut(*place));
        let flow = flow.ok_or_else(|| refuse(malformed("not to a target, or not from us")))?;
        let before = realtime();
        flow.send(&header, payload).map_err(|source| {
            judge(destination, source, &flow.interface, self.survive_link_down)
        })?;
        flow.sent.note(datagram, before, !flow.reports_sent);
        self.unread += 1;
        if !flow.reports_sent {
            let (bytes, evidence) = (datagram.to_vec(), Evidence::Reconstructed);
            self.assumed.push(Made { at: before, bytes, interface: 0, evidence });
        }
        Ok(())
    }

    /// Whether a frame that was read is still to be handed out.
    pub(super) fn has_frame(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Whether so much was sent that reports have to be read before more is: a queue that is full drops them in silence.
    pub(super) fn is_reading_due(&self) -> bool {
        self.unread >= UNREAD
    }

    /// Reads all reports that are there.
    pub(super) fn read(&mut self) {
        self.unread = 0;
        let Self { flows, room, frames, assumed, .. } = self;
        let mut made = std::mem::take(assumed);
        for flow in flows {
            flow.read(room, &mut made);
        }
        made.sort_by_key(|made| made.at);
        frames.extend(made);
    }

    /// The stamp of the next frame that was read.
    pub(super) fn next_stamp(&self) -> Option<Timestamp> {
        self.frames.front().map(|made| made.at)
    }

    /// The next frame that was read.
    pub(super) fn next(&mut self) -> Option<Captured<'_>> {
        let Made { at, bytes, interface, evidence } = self.frames.pop_front()?;
        self.lent = bytes;
        Some(Captured {
            at,
            link: LinkType::Raw,
            interface,
            hardware: None,
            outgoing: false,
            bytes: &self.lent,
            original_len: self.lent.len(),
            evidence,
        })
    }
}

impl AsFd for Sockets {
    /// Any of its sockets.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.flows[0].socket.as_fd()
    }
}

/// The source port or the identifier of a probe.
fn ident(header: &IpHeader, payload: &[u8]) -> Option<u16> {
    if header.is_icmp() {
        let (ident, _) = ip::icmp(header.family(), payload).ok()?.echo_request?;
        return Some(ident);
    }
    udp::decode(payload).ok().map(|udp| udp.source_port)
}
