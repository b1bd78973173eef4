//! Which probe a reply belongs to.
//!
//! Law 6: a reply counts only if it quotes a probe of ours. Three readings of a quote are tried, each
//! believed only if it fits exactly one probe: the eight bytes and the IP-ID as they were sent; the same
//! without the checksum, which offload leaves unfinished in our own capture and middleboxes adjust; and
//! without source address and port too, which NAT rewrites: then the IP-ID has to vouch for it.

use std::collections::{HashMap, HashSet};

use crate::probe::{self, Answer, Flow, ProbeKey};
use crate::wire::checksum::transport;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4;
use crate::wire::quoted::Quoted;

use super::path::ProbeRef;

/// The source ports or identifiers that probes of a trace have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idents {
    /// One for all of them: what a configuration says.
    One,
    /// These: some tools use a socket per probe.
    Many(HashSet<u16>),
}

/// The probes of a trace by what they are recognised by.
#[derive(Debug)]
pub(super) struct Correlator {
    flow: Flow,
    idents: Idents,
    exact: HashMap<ProbeKey, Known>,
    /// `None` where several probes fit.
    without_checksum: HashMap<ProbeKey, Option<ProbeRef>>,
    without_origin: HashMap<ProbeKey, Option<ProbeRef>>,
    by_token: HashMap<u32, ProbeRef>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    at: ProbeRef,
    /// Its checksum was right when it was captured, so that another one in a quote means something.
    checksum_right: bool,
}

/// The probe that a quote shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) at: ProbeRef,
    /// Not as it was sent.
    pub(super) rewritten: bool,
}

impl Correlator {
    pub(super) fn new(flow: Flow, idents: Idents) -> Self {
        Self {
            flow,
            idents,
            exact: HashMap::new(),
            without_checksum: HashMap::new(),
            without_origin: HashMap::new(),
            by_token: HashMap::new(),
        }
    }

    /// The key of a datagram if it is a probe of this trace.
    pub(super) fn own(&self, header: &IpHeader, payload: &[u8]) -> Option<ProbeKey> {
        let Flow { source, target, probe, .. } = self.flow;
        if header.source != source || header.destination != target {
            return None;
        }
        let (flow, key) = probe::recognise(header, payload)?;
        let same = flow.probe.protocol(flow.family()) == self.flow.protocol()
            && (flow.protocol() != ipv4::TCP || flow.probe == probe);
        (same && self.has_ident(flow.ident)).then_some(key)
    }

    fn has_ident(&self, ident: u16) -> bool {
        match &self.idents {
            Idents::One => ident == self.flow.ident,
            Idents::Many(idents) => idents.contains(&ident),
        }
    }

    pub(super) fn knows(&self, key: &ProbeKey) -> bool {
        self.exact.contains_key(key)
    }

    /// Takes in a probe that was captured.
    pub(super) fn insert(
        &mut self,
        key: ProbeKey,
        at: ProbeRef,
        header: &IpHeader,
        payload: &[u8],
    ) {
        let protocol = header.protocol;
        let whole = header.total_len == header.header_len + payload.len();
        let summed = matches!(protocol, ipv4::UDP | ipv4::TCP | ipv4::UDP_LITE);
        let right = || transport(header.source, header.destination, protocol, payload) == 0;
        let checksum_right = !summed || whole && right();
        self.exact.insert(key, Known { at, checksum_right });
        let unique = |map: &mut HashMap<ProbeKey, Option<ProbeRef>>, key| {
            map.entry(key).and_modify(|known| *known = None).or_insert(Some(at));
        };
        unique(&mut self.without_checksum, key.without_checksum(protocol));
        unique(&mut self.without_origin, key.without_origin(protocol));
        self.by_token.insert(probe::answer_token(self.flow.probe, &key, payload), at);
    }

    /// The probe that an ICMP error quotes.
    pub(super) fn quoted(&self, quote: &Quoted<'_>) -> Option<Found> {
        let header = &quote.header;
        let protocol = self.flow.protocol();
        if header.destination != self.flow.target || header.protocol != protocol {
            return None;
        }
        let key = ProbeKey::of(header, quote.payload)?;
        if header.source == self.flow.source {
            if let Some(known) = self.exact.get(&key) {
                return Some(Found { at: known.at, rewritten: false });
            }
            if let Some(at) = self.without_checksum.get(&key.without_checksum(protocol)) {
                return at.map(|at| Found { at, rewritten: self.was_right(at) });
            }
        }
        if key.ip_id == 0 {
            return None;
        }
        let at = self.without_origin.get(&key.without_origin(protocol)).copied().flatten()?;
        Some(Found { at, rewritten: true })
    }

    /// Whether the checksum of the probe at `at` was right when it was captured.
    fn was_right(&self, at: ProbeRef) -> bool {
        self.exact.values().any(|known| known.at == at && known.checksum_right)
    }

    /// The probe that a datagram answers in its own protocol.
    pub(super) fn answered(&self, header: &IpHeader, payload: &[u8]) -> Option<(ProbeRef, Answer)> {
        let (ident, answer) = probe::answer(&self.flow, header, payload)?;
        let at = *self.by_token.get(&answer.token).filter(|_| self.has_ident(ident))?;
        Some((at, answer))
    }
}
