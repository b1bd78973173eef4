//! Which datagrams are probes of a trace.

use std::collections::{HashSet, VecDeque};

use crate::probe::ProbeKey;
use crate::time::Timestamp;

/// Which datagrams of a flow are probes of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
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
pub struct Listed {
    /// Their source ports or identifiers.
    pub idents: HashSet<u16>,
    /// Those that were captured.
    pub probes: HashSet<ProbeKey>,
    /// The frame of the first of them.
    pub from: u64,
    /// That of the last: the same keys may come again in a later trace.
    pub until: u64,
    /// When the last of them was captured.
    pub ended: Timestamp,
    /// Those that were not captured, though replies to them were, and whose place is known: number, TTL
    /// and key, in order.
    pub missing: VecDeque<(u16, u8, ProbeKey)>,
    /// Such probes whose place is not known.
    pub orphans: HashSet<ProbeKey>,
    /// The tool does not ask every hop as often.
    pub variable_queries: bool,
    /// The capture cut some of its frames short.
    pub cut: bool,
    /// IP-IDs of its probes (flow labels over IPv6) that probes of other traces have too, at about that time.
    pub shared: HashSet<u32>,
}
