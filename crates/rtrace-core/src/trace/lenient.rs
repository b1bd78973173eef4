//! What is believed only in captures of other tools, because nobody forged a capture for us: quotes that
//! the capture cut short before the eight octets of a key are there, and resets that acknowledge nothing.
//!
//! A snap length of 68 leaves six octets of UDP in an error that came over Ethernet, four in a cooked capture, and the quoted
//! IP header alone in a cooked capture of the second version. The IP-ID (IPv6: the flow label, where fewer than four octets are
//! left) and what is left of these octets must single out one probe. Of a quoted header that is not whole the addresses are
//! taken from the trace: over IPv4 its checksum must then be right, over IPv6 its source must be there.
//! A reset without ACK repeats no number of a SYN: it is of the last probe between its ports.
//! A run of ours believes none of that, and neither does the replay of its recording.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;

use super::path::ProbeRef;
use super::probe_selector::ProbeSelector;
use crate::probe::{Answer, Flow, ProbeKey, ProbeType};
use crate::wire::checksum::checksum;
use crate::wire::ip::{self, IpHeader};
use crate::wire::ipv4;
use crate::wire::quoted::Quoted;
use crate::wire::tcp::Flags;

/// How many octets are looked at of those that a cut quote shows.
const OCTETS: usize = 6;
/// The numbers of octets that identify probes: the most that a quote shows or, where the capture cut nothing, what a router quotes.
const CUT: &[usize] = &[0, 2, 4, OCTETS];
const UNCUT: &[usize] = &[TELLING];
/// At least this number of them identifies a probe over IPv6, and one whose IP-ID is 0.
const TELLING: usize = 4;
/// Up to here an IPv4 header has its checksum, and an IPv6 header its source.
const CHECKSUM_ENDS: usize = 12;
const SOURCE_ENDS: usize = 24;

/// What identifies the datagram, the first octets of its payload, how many of them are there, and whether without the checksum.
type Left = (u32, [u8; OCTETS], usize, bool);
/// The probe that has them.
type Sent = (ProbeRef, ProbeKey);

/// The probes of a trace by the little that a cut quote or a bare reset shows of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lenient {
    /// By their remaining octets; `None` where several probes share them.
    cut: HashMap<Left, Option<Sent>>,
    /// By how many octets.
    octets: &'static [usize],
    /// What identifies datagrams of other traces, too.
    shared: HashSet<u32>,
    /// The last probe from a port to another.
    ports: HashMap<(u16, u16), ProbeRef>,
}

impl Lenient {
    /// The lenient reading of the trace with these probes, if a survey found it.
    pub(super) fn of(idents: &ProbeSelector) -> Option<Self> {
        let ProbeSelector::Listed(listed) = idents else { return None };
        let octets = if listed.cut { CUT } else { UNCUT };
        Some(Self { octets, shared: listed.shared.clone(), ..Self::default() })
    }

    /// Takes in a probe of this flow, with this flow label over IPv6.
    pub(super) fn insert(&mut self, flow: &Flow, label: Option<u32>, key: ProbeKey, at: ProbeRef) {
        let bare = key.without_checksum(flow.protocol());
        for &there in self.octets {
            let id = identity(&key, label, there);
            unique(&mut self.cut, left(id, &key, there, false), (at, key));
            if flow.probe == ProbeType::IcmpEcho && there >= TELLING {
                unique(&mut self.cut, left(id, &bare, there, true), (at, key));
            }
        }
        if flow.protocol() == ipv4::TCP {
            self.ports.insert((key.source_port(), key.destination_port()), at);
        }
    }

    /// The probe that a quote shows which was cut short.
    pub(super) fn cut(&self, flow: &Flow, quote: &Quoted<'_>) -> Option<ProbeRef> {
        let header = &quote.header;
        if !header.is_first
            || (header.source, header.destination, header.protocol)
                != (flow.source, flow.target, flow.protocol())
        {
            return None;
        }
        let key = ProbeKey::of_beginning(header, quote.payload);
        let there = *self.octets.iter().rfind(|octets| **octets <= quote.payload.len())?;
        let id = identity(&key, header.flow_label, there);
        let echo = flow.probe == ProbeType::IcmpEcho;
        let shows_ident = there >= if echo { OCTETS } else { 2 };
        if there < TELLING && id == 0 || !shows_ident && self.shared.contains(&id) {
            return None;
        }
        let bare = key.without_checksum(flow.protocol());
        let found = self.cut.get(&left(id, &key, there, false));
        let (at, sent) = (*found.or_else(|| self.cut.get(&left(id, &bare, there, true)))?)?;
        let sent = sent.without_checksum(flow.protocol());
        let there = quote.payload.len().min(bare.head.len());
        (sent.head[..there] == bare.head[..there]).then_some(at)
    }

    /// The probe that a reset without ACK answers.
    pub(super) fn reset(&self, answer: &Answer) -> Option<ProbeRef> {
        let flags = answer.tcp_flags?;
        let bare = flags.contains(Flags::RST) && !flags.contains(Flags::ACK);
        let ports = (answer.key.ident, answer.port?);
        self.ports.get(&ports).filter(|_| bare).copied()
    }
}

/// What identifies a datagram of whose payload `there` octets are there.
fn identity(key: &ProbeKey, label: Option<u32>, there: usize) -> u32 {
    match label {
        Some(label) if there < TELLING => label,
        Some(_) => 0,
        None => key.ip_id.into(),
    }
}

fn left(id: u32, key: &ProbeKey, there: usize, bare: bool) -> Left {
    let mut octets = [0; OCTETS];
    octets.iter_mut().zip(&key.head).take(there).for_each(|(octet, of)| *octet = *of);
    (id, octets, there, bare)
}

/// A quoted header that was cut short, with the addresses of the flow for those that are missing, if it is likely to be of that
/// flow: over IPv4 its checksum says so, over IPv6 it has the whole source.
pub(super) fn completed(flow: &Flow, shown: &[u8]) -> Option<IpHeader> {
    let header = filled_up(flow, shown)?;
    let sure = match flow.source {
        IpAddr::V4(_) => shown.len() >= CHECKSUM_ENDS && checksum(&header) == 0,
        IpAddr::V6(_) => shown.len() >= SOURCE_ENDS,
    };
    ip::decode(&header).ok().filter(|_| sure).map(|(header, _)| header)
}

/// Whether a quoted header that was cut short may be of a datagram of this flow.
pub(super) fn may_begin(flow: &Flow, shown: &[u8]) -> bool {
    let header = filled_up(flow, shown).and_then(|header| Some(ip::decode(&header).ok()?.0));
    header.is_some_and(|it| {
        (it.source, it.destination, it.protocol) == (flow.source, flow.target, flow.protocol())
    })
}

/// A header without options whose beginning was shown, with what the flow has for the rest.
fn filled_up(flow: &Flow, shown: &[u8]) -> Option<Vec<u8>> {
    let protocol = flow.protocol();
    let mut header = match (flow.source, flow.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            let fixed = [0x45, 0, 0, 0, 0, 0, 0, 0, 0, protocol, 0, 0];
            [&fixed[..], &source.octets(), &target.octets()].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let fixed = [0x60, 0, 0, 0, 0, 0, protocol, 0];
            [&fixed[..], &source.octets(), &target.octets()].concat()
        }
        _ => return None,
    };
    header.get_mut(..shown.len())?.copy_from_slice(shown);
    Some(header)
}

/// Puts `value` where nothing is yet; where something is, the key does not tell which.
pub(super) fn unique<K: Eq + Hash, T>(map: &mut HashMap<K, Option<T>>, key: K, value: T) {
    map.entry(key).and_modify(|known| *known = None).or_insert(Some(value));
}
