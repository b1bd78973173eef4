//! An index that finds the traces that a frame may concern.
//!
//! A frame is looked up once, by its addresses, its protocol and its source port or identifier, and shown to the
//! traces that have these. So the cost of a frame does not grow with the number of traces. A trace is shown all that
//! it would use if it saw every frame: its own probes, whatever else leaves from its port, answers to its port, and
//! ICMP errors that quote a datagram from its port or, where translation changed the port, one to its target.
//!
//! Invariant: a frame is shown to at most [`SHARING`] traces in each of these roles. Where more traces share a port,
//! only those that share the target too are shown the frame; where these are too many, only the latest that had begun
//! by then. A trace that is left out and may want the frame is [counted](Index::passed_over).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::super::datagram::{Datagram, Packet};
use super::super::probe_selector::ProbeSelector;
use crate::probe::{Flow, ProbeKey};
use crate::time::{Span, Timestamp};
use crate::wire::{Frame, ipv4};

/// The most traces with one address, protocol and port that are shown a frame of that port.
pub const SHARING: usize = 16;

/// After the last probe of a trace, how long a frame to its target from another port may still belong to it.
const ANSWERED: Span = Span::from_millis(60_000);

/// Which traces a frame may concern.
#[derive(Debug, Default)]
pub struct Index {
    traces: usize,
    /// Traces by the sender of a datagram (address, protocol and port), in the order in which they began.
    ports: HashMap<Port, Vec<Member>>,
    /// Traces by sender and target.
    flows: HashMap<(Port, IpAddr), Sharing>,
    /// Traces by sender and target, whatever the port.
    targets: HashMap<(IpAddr, u8, IpAddr), Sharing>,
    /// All traces from this address.
    sources: BTreeMap<IpAddr, Sharing>,
    concerned: Vec<usize>,
    left_out: HashSet<usize>,
    shown: u64,
    passed_over: u64,
}

/// An address, a protocol, and a source port or identifier.
type Port = (IpAddr, u8, u16);

/// Traces that have something in common, in the order in which they began.
#[derive(Debug, Default)]
struct Sharing {
    members: Vec<Member>,
    /// How many of them, from the first, are known to be left out or over.
    past: usize,
}

/// One of several traces that have something in common.
#[derive(Clone, Copy, Debug)]
struct Member {
    index: usize,
    /// The number of the frame of its first probe.
    from: u64,
    /// The number of the frame of its last probe.
    ends: u64,
    /// The number of the frame of the last probe of this trace or of any before it, and when that frame was captured.
    until: u64,
    ended: Timestamp,
}

impl Index {
    /// An index without traces.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a trace, which must not begin earlier than those before it. Traces are numbered from 0. `confirming` is
    /// the source port or identifier of its probes that confirm answers.
    pub fn add(&mut self, flow: &Flow, idents: &ProbeSelector, confirming: Option<u16>) {
        let index = self.traces;
        let Flow { source, target, .. } = *flow;
        let protocol = flow.protocol();
        let always = (0, u64::MAX, Timestamp::from_nanos(i64::MAX));
        let ((from, until, ended), ports) = match idents {
            ProbeSelector::Listed(listed) => {
                let missing = listed.missing.iter().map(|(.., key)| key).chain(&listed.orphans);
                let missing = missing.map(|key| port_of(key, protocol));
                let mut ports: Vec<u16> = missing.chain(listed.idents.iter().copied()).collect();
                ports.sort_unstable();
                ports.dedup();
                ((listed.from, listed.until, listed.ended), ports)
            }
            ProbeSelector::One | ProbeSelector::Numbered(_) => {
                let mut ports = vec![flow.ident];
                ports.extend(confirming.filter(|port| *port != flow.ident));
                (always, ports)
            }
        };
        self.traces += 1;
        let join = |members: &mut Vec<Member>| {
            let ends = until;
            let before = members.last().copied();
            let until = before.map_or(until, |last| last.until.max(until));
            let ended = before.map_or(ended, |last| last.ended.max(ended));
            members.push(Member { index, from, ends, until, ended });
        };
        for port in ports.into_iter().map(|port| (source, protocol, port)) {
            join(self.ports.entry(port).or_default());
            join(&mut self.flows.entry((port, target)).or_default().members);
        }
        join(&mut self.targets.entry((source, protocol, target)).or_default().members);
        join(&mut self.sources.entry(source).or_default().members);
    }

    /// Skips one number: that trace is shown every frame.
    pub fn skip(&mut self) {
        self.traces += 1;
    }

    /// Whether the index has no trace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The numbers of the traces that a frame may concern, in ascending order.
    pub fn concerned(&mut self, packet: &Packet<'_>) -> &[usize] {
        self.concerned.clear();
        if let Some(datagram) = &packet.datagram {
            self.look_at(&packet.frame, datagram);
        }
        self.concerned.sort_unstable();
        self.concerned.dedup();
        self.shown = self.shown.saturating_add(self.concerned.len() as u64);
        &self.concerned
    }

    /// The number of times that a frame was shown to a trace.
    #[must_use]
    pub fn shown(&self) -> u64 {
        self.shown
    }

    /// The number of frames that were not shown to a trace that may have wanted them, because too many traces share a
    /// port.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The number of traces that were not shown such frames.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }

    fn look_at(&mut self, frame: &Frame<'_>, datagram: &Datagram<'_>) {
        let Datagram { header, payload, .. } = datagram;
        let (from, to, protocol) = (header.source, header.destination, header.protocol);
        // Most frames of a busy capture are neither from nor to a source of probes.
        let [from_us, to_us] = [from, to].map(|address| self.sources.contains_key(&address));
        if !from_us && !to_us {
            return;
        }
        let Some(key) = ProbeKey::of(header, payload) else { return };
        let mut passed_over = false;
        if from_us {
            let port = port_of(&key, protocol);
            passed_over |= !self.add_sharing((from, protocol, port), to, frame.number);
            // Where probes are of a protocol without ports, the octets where ports would be mean nothing.
            if port != 0 {
                passed_over |= !self.add_sharing((from, protocol, 0), to, frame.number);
            }
        }
        if to_us {
            let answered = if header.is_icmp() { key.identifier() } else { key.destination_port() };
            let answered = if has_port(protocol) { answered } else { 0 };
            for port in [answered, 0] {
                passed_over |= !self.add_sharing((to, protocol, port), from, frame.number);
            }
            if header.is_icmp() {
                passed_over |= !self.add_quoted(datagram, frame);
            }
        }
        self.passed_over = self.passed_over.saturating_add(passed_over.into());
    }

    /// Adds the traces that an ICMP error may be about, unless they are too many. Returns whether it had a quote to
    /// go by.
    fn add_quoted(&mut self, datagram: &Datagram<'_>, frame: &Frame<'_>) -> bool {
        let quotes = datagram.icmp.is_some_and(|icmp| icmp.quotes);
        if !quotes || !datagram.header.is_first {
            return true;
        }
        let source = datagram.header.destination;
        // What the capture cut off within the quote may concern any trace.
        let Some(quote) = datagram.quote else {
            return add(&mut self.concerned, self.sources.get_mut(&source), frame.number);
        };
        let (target, protocol) = (quote.header.destination, quote.header.protocol);
        let Some(key) = ProbeKey::of_cut(&quote.header, quote.payload) else {
            let to_target = self.targets.get_mut(&(source, protocol, target));
            return add(&mut self.concerned, to_target, frame.number);
        };
        let port = (source, protocol, port_of(&key, protocol));
        if !self.flows.contains_key(&(port, target)) {
            // Another port may be the result of translation.
            let to_target = self.targets.get_mut(&(source, protocol, target)).filter(|traces| {
                let last = traces.members.last().filter(|_| traces.members.len() > SHARING);
                last.is_none_or(|last| frame.at.since(last.ended) <= ANSWERED)
            });
            add(&mut self.concerned, to_target, frame.number);
        }
        let by_port = self.add_sharing(port, target, frame.number);
        self.add_sharing((source, protocol, 0), target, frame.number) && by_port
    }

    /// Adds the traces with this port or, if these are too many, those of them with this target.
    fn add_sharing(&mut self, port: Port, target: IpAddr, frame: u64) -> bool {
        let Some(sharing) = self.ports.get(&port) else { return true };
        if sharing.len() <= SHARING {
            self.concerned.extend(sharing.iter().map(|member| member.index));
            return true;
        }
        let Some(flow) = self.flows.get_mut(&(port, target)) else { return false };
        let all = add(&mut self.concerned, Some(&mut *flow), frame);
        if !all {
            flow.leave_out(&mut self.left_out, frame);
        }
        all
    }
}

impl Sharing {
    /// Counts the traces that are left out: those before the latest that have begun by this frame do not see what
    /// they may want. Each is looked at once.
    fn leave_out(&mut self, left_out: &mut HashSet<usize>, frame: u64) {
        let begun = self.members.partition_point(|member| member.from <= frame);
        let shown = begun.saturating_sub(SHARING);
        let passed = self.members.get(self.past..shown).unwrap_or_default();
        left_out.extend(passed.iter().filter(|it| it.ends >= frame).map(|it| it.index));
        self.past = self.past.max(shown);
    }
}

/// Adds these traces or, if they are too many, the latest that have begun. Returns whether all that are still running
/// are among them.
fn add(into: &mut Vec<usize>, members: Option<&mut Sharing>, frame: u64) -> bool {
    let members = members.map_or(&[][..], |sharing| &sharing.members);
    let (before, shown) = if members.len() <= SHARING {
        (&[][..], members)
    } else {
        let begun = members.partition_point(|member| member.from <= frame);
        members[..begun].split_at(begun.saturating_sub(SHARING))
    };
    into.extend(shown.iter().map(|member| member.index));
    before.last().is_none_or(|last| last.until < frame)
}

/// Whether datagrams of this protocol have ports or identifiers.
fn has_port(protocol: u8) -> bool {
    matches!(
        protocol,
        ipv4::UDP | ipv4::UDP_LITE | ipv4::TCP | ipv4::ICMP | crate::wire::ipv6::ICMPV6
    )
}

/// The source port or identifier in a key; 0 where there is none.
fn port_of(key: &ProbeKey, protocol: u8) -> u16 {
    match protocol {
        ipv4::ICMP | crate::wire::ipv6::ICMPV6 => key.identifier(),
        protocol if has_port(protocol) => key.source_port(),
        _ => 0,
    }
}
