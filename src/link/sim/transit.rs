//! A datagram on its way: where it is, when, how it looks by now, and how it is quoted.

use std::net::IpAddr;

use super::datagram::{self, Header};
use super::family::octets;
use super::node::{Nat, NatQuotes, Rewrite};
use super::topology::SOURCE;
use crate::time::Timestamp;

/// A datagram on its way.
#[derive(Debug)]
pub(super) struct Transit {
    pub(super) departed: Timestamp,
    pub(super) at: Timestamp,
    /// The datagram as it is now, and its header decoded.
    pub(super) datagram: Vec<u8>,
    pub(super) header: Header,
    /// The places reached so far.
    pub(super) path: Vec<usize>,
    /// How many of them have lowered the TTL.
    pub(super) crossed: u8,
    /// Each translation on the way.
    pub(super) translations: Vec<Translation>,
    pub(super) prober: IpAddr,
}

/// What a translation has replaced, and what it does to quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Translation {
    /// The source address before it.
    source: IpAddr,
    /// The source port or identifier before it, if that was replaced too.
    port: Option<u16>,
    quotes: NatQuotes,
}

impl Transit {
    /// The datagram as it leaves the source; `None` if no router would take it (RFC 1812 §5.2.2).
    pub(super) fn depart(at: Timestamp, bytes: &[u8]) -> Option<Self> {
        let header = Header::decode(bytes)?;
        let mut sealed = bytes.to_vec();
        datagram::seal(&mut sealed);
        (header.total_len == bytes.len() && sealed == bytes).then(|| Self {
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

    /// The places on the way to where it is, up to the first time that it was there.
    pub(super) fn first_way(&self) -> &[usize] {
        let first = self.path.iter().position(|place| *place == self.here());
        self.path.get(..=first.unwrap_or_default()).unwrap_or_default()
    }

    /// What the IP header carries.
    pub(super) fn message(&self) -> &[u8] {
        self.datagram.get(self.header.len..).unwrap_or_default()
    }

    /// RFC 1122 §3.2.2, RFC 4443 §2.4 (e): no ICMP error about an ICMP error, nor about any fragment
    /// but the first.
    pub(super) fn allows_errors(&self) -> bool {
        let rules = self.header.rules;
        let error = || self.message().first().is_some_and(|it| (rules.is_error)(*it));
        let about_error = self.header.protocol == rules.icmp && error();
        !(self.header.later_fragment || about_error)
    }

    /// One router less to go.
    pub(super) fn lower_ttl(&mut self) {
        self.header.ttl = self.header.ttl.saturating_sub(1);
        self.crossed = self.crossed.saturating_add(1);
        datagram::put(&mut self.datagram, self.header.rules.ttl_at, &[self.header.ttl]);
        datagram::seal(&mut self.datagram);
    }

    /// From here on it seems to come from the address of this translation.
    pub(super) fn translate(&mut self, nat: Nat) {
        datagram::translate(&mut self.datagram, &self.header, nat.address);
        let port = datagram::translate_port(&mut self.datagram, &self.header, nat.shift);
        self.translations.push(Translation {
            source: self.header.source,
            port,
            quotes: nat.quotes,
        });
        self.header.source = nat.address;
    }

    /// An answer to it in its own protocol, with the port or identifier that it was sent from.
    pub(super) fn answered_to(&self, mut answer: Vec<u8>) -> Vec<u8> {
        let at = datagram::port_at(&self.header);
        if let Some((at, port)) = at.zip(self.translations.iter().find_map(|it| it.port)) {
            // Of ports the answer's is the second; an identifier stays in its place.
            let at = if self.header.protocol == self.header.rules.icmp { at } else { at + 2 };
            datagram::put(&mut answer, at, &port.to_be_bytes());
        }
        answer
    }

    /// From here on it has these fields.
    pub(super) fn rewrite(&mut self, rewrite: Rewrite) {
        datagram::rewrite(&mut self.datagram, &self.header, rewrite);
        self.header = Header::decode(&self.datagram).unwrap_or(self.header);
    }

    /// The beginning of the datagram, as a quote of it reaches the source: translations on the way
    /// are undone from the last to the first, up to one that does not.
    pub(super) fn quote(&self, length: usize) -> Vec<u8> {
        let mut quote = self.datagram.clone();
        let undone = self.translations.iter().rev();
        for inside in undone.take_while(|it| it.quotes == NatQuotes::Restored) {
            datagram::put(&mut quote, self.header.rules.source_at, &octets(inside.source));
            if let Some((at, port)) = datagram::port_at(&self.header).zip(inside.port) {
                datagram::put(&mut quote, self.header.len + at, &port.to_be_bytes());
            }
        }
        if !self.translations.is_empty() {
            datagram::seal(&mut quote);
        }
        quote.truncate(length);
        quote
    }

    /// A number that is the same for all packets of a flow: FNV-1a over what routers commonly hash,
    /// the flow label of IPv6 among it (RFC 6438). A fragment shows no ports, so that all fragments
    /// of a datagram take one way.
    pub(super) fn flow(&self, salt: u64) -> u64 {
        let Header { source, destination, protocol, fragment, flow_label, .. } = self.header;
        let ports = self.message().first_chunk::<4>().copied().filter(|_| !fragment);
        let mut octets = [octets(source), octets(destination)].concat();
        octets.extend(ports.unwrap_or_default());
        octets.push(protocol);
        if source.is_ipv6() {
            octets.extend(flow_label.to_le_bytes());
        }
        octets.extend(salt.to_le_bytes());
        octets.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
