//! Selects the datagrams that are probes of a trace.

use std::collections::{HashSet, VecDeque};

use crate::probe::ProbeKey;
use crate::time::Timestamp;

/// Selects the datagrams of a flow that are probes of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeSelector {
    /// All that have the source port or identifier of its configuration.
    One,
    /// All TCP from whatever port whose sequence number is this one or one of the next 65,535.
    Numbered(u32),
    /// These, as a survey found them: some tools use a socket per probe.
    Listed(Box<Listed>),
}

/// The probes of a trace that a survey found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Their source ports or identifiers.
    pub idents: HashSet<u16>,
    /// The keys of the probes that were captured.
    pub probes: HashSet<ProbeKey>,
    /// The number of the frame of the first probe.
    pub from: u64,
    /// The number of the frame of the last probe: the same keys may be used again in a later trace.
    pub until: u64,
    /// When the last probe was captured.
    pub ended: Timestamp,
    /// Those that were not captured, though replies to them were, and whose place is known: number, TTL
    /// and key, in order.
    pub missing: VecDeque<(u16, u8, ProbeKey)>,
    /// The keys of probes that were not captured, and whose position is not known.
    pub orphans: HashSet<ProbeKey>,
    /// Whether the tool may send different numbers of probes to different hops.
    pub variable_queries: bool,
    /// Whether the capture cut some frames of the trace short.
    pub cut: bool,
    /// IP-IDs of its probes (flow labels over IPv6) that probes of other traces have too, at about that time.
    pub shared: HashSet<u32>,
}
