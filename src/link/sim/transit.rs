//! A datagram on its way: where it is, when, how it looks by now, and how it is quoted.

use std::net::Ipv4Addr;

use super::reply;
use super::topology::{NatQuotes, SOURCE};
use crate::time::Timestamp;
use crate::wire::icmpv4;
use crate::wire::ipv4::{self, ICMP, Ipv4Header};

/// A datagram on its way.
#[derive(Debug)]
pub(super) struct Transit {
    pub(super) departed: Timestamp,
    pub(super) at: Timestamp,
    /// The datagram as it is now, and its header decoded.
    pub(super) datagram: Vec<u8>,
    pub(super) header: Ipv4Header,
    /// The places reached so far.
    pub(super) path: Vec<usize>,
    /// How many of them have lowered the TTL.
    pub(super) crossed: u8,
    /// For each translation on the way, the address before it and what it does to quotes.
    pub(super) translations: Vec<(Ipv4Addr, NatQuotes)>,
    pub(super) prober: Ipv4Addr,
}

impl Transit {
    /// The datagram as it leaves the source; `None` if no router would take it (RFC 1812 §5.2.2).
    pub(super) fn depart(at: Timestamp, datagram: &[u8]) -> Option<Self> {
        let (header, _) = ipv4::decode(datagram).ok()?;
        let whole = usize::from(header.total_len) == datagram.len();
        let mut sealed = datagram.to_vec();
        reply::seal(&mut sealed);
        (whole && sealed == datagram).then(|| Self {
            departed: at,
            at,
            datagram: sealed,
            header,
            path: Vec::new(),
            crossed: 0,
            translations: Vec::new(),
            prober: header.source,
        })
    }

    pub(super) fn here(&self) -> usize {
        self.path.last().copied().unwrap_or(SOURCE)
    }

    /// What the IP header carries.
    pub(super) fn message(&self) -> &[u8] {
        self.datagram.get(usize::from(self.header.header_len)..).unwrap_or_default()
    }

    /// RFC 1122 §3.2.2: no ICMP error about an ICMP error, nor about any fragment but the first.
    pub(super) fn allows_errors(&self) -> bool {
        let error = || icmpv4::decode(self.message()).is_ok_and(|(icmp, _)| icmp.quotes());
        self.header.fragment_offset == 0 && !(self.header.protocol == ICMP && error())
    }

    /// The beginning of the datagram, as a quote of it reaches the source: translations on the way
    /// are undone from the last to the first, up to one that does not.
    pub(super) fn quote(&self, length: usize) -> Vec<u8> {
        let mut quote = self.datagram.clone();
        let undone = self.translations.iter().rev();
        for (inside, _) in undone.take_while(|(_, quotes)| *quotes == NatQuotes::Restored) {
            reply::put(&mut quote, 12, &inside.octets());
        }
        if !self.translations.is_empty() {
            reply::seal(&mut quote);
        }
        quote.truncate(length);
        quote
    }

    /// A number that is the same for all packets of a flow: FNV-1a over what routers commonly hash.
    /// A fragment shows no ports, so that all fragments of a datagram take one way.
    pub(super) fn flow(&self, salt: u64) -> u64 {
        let fragment = self.header.more_fragments || self.header.fragment_offset > 0;
        let ports = self.message().first_chunk().copied().filter(|_| !fragment).unwrap_or([0; 4]);
        let fields = [self.header.source.octets(), self.header.destination.octets(), ports];
        let octets = fields.into_iter().flatten().chain([self.header.protocol]);
        octets.chain(salt.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
