//! What the path does to packets: each quote compared with the probe as it was sent, field by field.
//!
//! A router quotes what it received (RFC 792, RFC 1812 §4.3.2.3, RFC 4443 §2.4), so a field that differs there was
//! changed by something between the sender and it. Where that was follows from the quotes of all hops: [`changes`] has
//! the fields, [`oddities`] what else is not as it should be, [`place`] the hops between which either came about. All of
//! it follows from recorded frames.

pub mod changes;
pub mod checksums;
pub mod fields;
pub mod oddities;
pub mod place;
pub mod quoting;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use super::config::TraceConfig;
use super::event::Disposition;
use super::path::{Path, ProbeRef};
use super::reply::{Reply, ReplyKind};
use crate::wire::checksum::checksum;
use crate::wire::{Frame, ip, link, quoted};
use changes::Change;
use checksums::Verdict;
use fields::{extract, is_checksum};
use oddities::{Odd, Oddity};
use place::Stage;
use quoting::Manner;

pub use fields::{DESTINATION, SOURCE, fields, quote, quoted_fields};

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Value {
    /// A number.
    Number(u64),
    /// An address.
    Address(IpAddr),
    /// Octets.
    Octets(Vec<u8>),
}

impl fmt::Display for Value {
    /// Octets in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Octets(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
        }
    }
}

impl Value {
    /// The octets in which two values differ, as far as both go: how many lie before the first, and all from there to
    /// the last, in this one and in the other. `None` if they hold no octets, or the same.
    #[must_use]
    pub fn octets_changed<'a>(&'a self, other: &'a Self) -> Option<(usize, &'a [u8], &'a [u8])> {
        let (Self::Octets(from), Self::Octets(to)) = (self, other) else { return None };
        let differs = |at: &usize| from.get(*at) != to.get(*at);
        let both = 0..from.len().min(to.len());
        let (first, last) = (both.clone().find(differs)?, both.clone().rfind(differs)?);
        Some((first, from.get(first..=last)?, to.get(first..=last)?))
    }
}

/// A field that was not quoted as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Its name, as in the RFC of its protocol.
    pub field: &'static str,
    /// What was sent.
    pub sent: Value,
    /// What was quoted.
    pub quoted: Value,
}

/// One quote beside its probe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Which probe.
    pub at: ProbeRef,
    /// Who quoted it.
    pub responder: IpAddr,
    /// The TTL with which the reply arrived.
    pub reply_ttl: u8,
    /// What it said.
    pub kind: ReplyKind,
    /// How many octets were quoted.
    pub len: usize,
    /// The TTL that the probe was sent with.
    pub sent_ttl: u8,
    /// The TTL in the quote; `None` if the reply is reconstructed.
    pub ttl: Option<u8>,
    /// The checksum of the quoted header is right for a TTL that is higher by one: with that it arrived.
    pub ttl_lowered: bool,
    /// The fields that differ, outermost first. The TTL is none of them: it has to.
    pub differences: Vec<Difference>,
    /// Names of the fields that could be compared.
    pub compared: Vec<&'static str>,
    /// How many octets were compared of the field that is no number: payload or TCP options.
    pub octets: usize,
    /// Whether the checksum of the quoted IPv4 header is right.
    pub header_checksum: Option<bool>,
    /// Whether the quoted checksum of UDP, UDP-Lite, TCP or ICMP is right for what was quoted, and what was sent behind
    /// it where the quote ends early.
    pub checksum: Option<Verdict>,
    /// The name of that checksum among fields.
    pub checksum_field: Option<&'static str>,
    /// The whole datagram was quoted.
    pub whole: bool,
    /// Fields that are quoted in a manner which is known of hosts.
    pub manners: Vec<(&'static str, Manner)>,
    /// The datagram says itself by which addresses it goes: its destination is another from one to the next (RFC 8200 §4.4).
    pub routed: bool,
}

/// Compares what is quoted with what was sent, frame by frame.
#[derive(Debug, Default)]
pub struct Inspector {
    sent: HashMap<ProbeRef, Vec<u8>>,
    comparisons: Vec<Comparison>,
    strays: u64,
}

impl Inspector {
    /// An inspector that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a frame that the trace has handled.
    pub fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) else { return };
        match disposition {
            // Others are no hop's.
            Disposition::OwnProbe(ProbeRef::SizeProbe(_) | ProbeRef::Confirmation(_))
            | Disposition::Reply(ProbeRef::SizeProbe(_) | ProbeRef::Confirmation(_), _) => {}
            Disposition::OwnProbe(at) => drop(self.sent.insert(at, datagram.to_vec())),
            Disposition::Reply(at, Some(index)) => {
                let reply = path.probe(at).and_then(|probe| probe.replies.get(index));
                let both = self.sent.get(&at).zip(reply).zip(quote(datagram));
                let compared = both.and_then(|((sent, reply), quoted)| {
                    let padded = reply.extension.is_some();
                    let quoted = if padded { without_padding(quoted, sent) } else { quoted };
                    compare(sent, quoted, at, reply)
                });
                self.comparisons.extend(compared.filter(Comparison::can_be_placed));
            }
            Disposition::Stray => self.strays += 1,
            _ => {}
        }
    }

    /// How many ICMP errors quote datagrams to the target that fit no probe and are not from our port.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Every quote so far that belongs to a hop, in order of time.
    #[must_use]
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// The hop of a comparison: that of its probe or, for the scout, how far it came.
    #[must_use]
    pub fn hop(comparison: &Comparison, config: &TraceConfig) -> u8 {
        match comparison.at {
            ProbeRef::Hop { ttl, .. } => ttl,
            ProbeRef::Scout | ProbeRef::SizeProbe(_) | ProbeRef::Confirmation(_) => {
                let quoted = comparison.ttl.unwrap_or(1);
                config.max_ttl.saturating_sub(quoted.saturating_sub(1))
            }
        }
    }

    /// The quotes of the hops that are reported, hop by hop.
    #[must_use]
    pub fn stages(&self, config: &TraceConfig, path: &Path) -> Vec<Stage<'_>> {
        let mut quotes: Vec<_> =
            self.comparisons.iter().map(|it| (Self::hop(it, config), it)).collect();
        quotes.retain(|(ttl, _)| path.end.is_none_or(|end| *ttl <= end));
        quotes.sort_by_key(|(ttl, _)| *ttl);
        let hops = quotes.chunk_by(|(one, _), (other, _)| one == other);
        hops.filter_map(|quotes| {
            let (ttl, _) = quotes.first()?;
            Some(Stage { ttl: *ttl, quotes: quotes.iter().map(|(_, it)| *it).collect() })
        })
        .collect()
    }

    /// What was changed, in order of hops.
    #[must_use]
    pub fn changes(&self, config: &TraceConfig, path: &Path) -> Vec<Change> {
        let stages = self.stages(config, path);
        let habits = quoting::of(&stages);
        changes::of(&stages, &habits, place::ways_may_part(&stages, config))
    }

    /// What else is not as it should be, in order of hops.
    #[must_use]
    pub fn oddities(&self, config: &TraceConfig, path: &Path) -> Vec<Odd> {
        let (stages, changes) = (self.stages(config, path), self.changes(config, path));
        let mut odd = oddities::of(&stages, &quoting::of(&stages), config.target);
        // A checksum that tells of translation is not broken.
        odd.retain(|it| {
            let Oddity::Checksum { field, .. } = it.oddity else { return true };
            let explains = |change: &Change| {
                let before = change.place.at <= it.place.at;
                before && change.field == field && change.suggests_restored_quote
            };
            !changes.iter().any(explains)
        });
        odd
    }
}

impl Comparison {
    /// A router said that the TTL ran out.
    #[must_use]
    pub fn in_transit(&self) -> bool {
        self.kind.in_transit()
    }

    /// Whether the hop is known that this is of: not where the TTL of the scout was set anew, or is not known. The probes of the hops tell
    /// the same then.
    fn can_be_placed(&self) -> bool {
        self.at != ProbeRef::Scout || self.ttl.is_some_and(|quoted| quoted <= self.sent_ttl)
    }

    /// Whether the checksum was changed though nothing that it covers was, as far as the quote shows.
    #[must_use]
    pub fn only_checksum_changed(&self) -> bool {
        let mut fields = self.differences.iter().map(|difference| difference.field);
        fields.clone().any(is_checksum) && !fields.any(fields::is_covered)
    }

    fn note(&mut self, field: &'static str, sent: Option<Value>, quoted: Option<Value>) {
        let (Some(mut sent), Some(mut quoted)) = (sent, quoted) else { return };
        // Of octets as many are compared as were quoted.
        if let (Value::Octets(sent), Value::Octets(quoted)) = (&mut sent, &mut quoted) {
            self.octets = sent.len().min(quoted.len());
            sent.truncate(self.octets);
            quoted.truncate(self.octets);
        }
        self.compared.push(field);
        if sent != quoted {
            self.differences.push(Difference { field, sent, quoted });
        }
    }
}

/// A quote that was filled up with zeros before something was appended (RFC 4884 §3), without them, so that they are
/// not taken for what became of the rest of the probe.
fn without_padding<'a>(quote: &'a [u8], sent: &[u8]) -> &'a [u8] {
    let end = quote.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let zeros = quote.iter().zip(sent).skip(end);
    let differs = zeros.into_iter().any(|(quoted, sent)| quoted != sent);
    quote.get(..end).filter(|_| differs).unwrap_or(quote)
}

/// Compares a quote with the datagram that was sent; `None` if it quotes another kind of datagram.
fn compare(sent: &[u8], octets: &[u8], at: ProbeRef, reply: &Reply) -> Option<Comparison> {
    let (header, sent_body) = ip::decode(sent).ok()?;
    let quoted_header = ip::decode(octets).ok()?.0;
    let sent = sent.get(..header.header_len + sent_body.len())?;
    let len = octets.len().min(sent.len());
    let quoted_body = octets.get(quoted_header.header_len..len)?;
    let header_octets = octets.get(..quoted_header.header_len);
    let route = fields::route(sent);
    let routed = !route.is_empty();
    // What a network card completes after the capture (offload) was not changed by the path, and what is filled with anything
    // (-P) has no checksum.
    let unfinished = Verdict::of(&header, sent_body) == Some(Verdict::Wrong);
    // A reconstructed quote has the checksum of ICMP as it was quoted, and the header as it was sent tells the rest.
    let is_captured = reply.evidence.is_captured();
    let shows_checksum = is_captured || quoted_header.is_icmp();
    let told = if is_captured { &quoted_header } else { &header };
    let mut it = Comparison {
        at,
        responder: reply.responder,
        reply_ttl: reply.ttl,
        kind: reply.kind,
        len: if is_captured {
            quoted::decode(octets).map_or(octets.len(), |it| it.len)
        } else {
            len
        },
        sent_ttl: header.ttl,
        ttl: is_captured.then_some(quoted_header.ttl),
        ttl_lowered: is_captured && header_octets.is_some_and(quoting::is_ttl_lowered),
        differences: Vec::new(),
        compared: Vec::new(),
        octets: 0,
        header_checksum: (is_captured && quoted_header.source.is_ipv4())
            .then(|| header_octets.is_some_and(|it| checksum(it) == 0)),
        // Of a routed datagram it is that with its last destination.
        checksum: Verdict::of_quote(told, quoted_body, &header, sent_body)
            .filter(|_| shows_checksum)
            .filter(|it| !(routed || unfinished && *it == Verdict::Wrong)),
        checksum_field: fields::checksum_field(&header),
        whole: len >= header.total_len,
        manners: if is_captured { quoting::manners(&header, sent, octets) } else { Vec::new() },
        routed,
    };
    // Read as what was sent, whatever the quote says that it is.
    let both = extract(&header, sent, sent_body).zip(extract(&header, octets, quoted_body));
    for ((field, sent), (_, quoted)) in both {
        let on_its_route = field == DESTINATION
            && matches!(quoted, Some(Value::Address(address)) if route.contains(&address));
        let is_known = fields::is_known(field, reply.evidence);
        if is_known && !(unfinished && is_checksum(field) || on_its_route) {
            it.note(field, sent, quoted);
        }
    }
    Some(it)
}

#[cfg(test)]
mod tests;
