//! What a datagram to us says of one of our probes: an answer in the probe's own protocol, or an ICMP error that quotes
//! the probe. Its checksums have not been looked at yet.

use super::belief::{Belief, Translated};
use super::correlate::Correlator;
use super::datagram::Datagram;
use super::path::ProbeRef;
use super::reply::{Quote, Reply, ReplyKind};
use crate::time::Timestamp;
use crate::wire::extension::{self, Extension};
use crate::wire::ip::IpHeader;
use crate::wire::{Frame, quoted};

/// Of which probe, and what.
pub(super) struct Claim {
    pub(super) at: ProbeRef,
    kind: ReplyKind,
    rewritten: bool,
    guessable: bool,
    /// What a translation made of the probe's flow.
    pub(super) translated: Option<Translated>,
    quote: Option<Quote>,
    extension: Option<Box<Extension>>,
}

impl Claim {
    /// Which probe a datagram to us answers that was captured at this time, and what it says of it.
    pub(super) fn of(
        correlator: &Correlator,
        belief: &Belief,
        datagram: &Datagram<'_>,
        captured: Timestamp,
    ) -> Option<Self> {
        let Datagram { header, payload, .. } = datagram;
        if !header.is_first {
            return None;
        }
        if let Some((found, answer)) = correlator.answered(header, payload) {
            return Some(Self {
                at: found.at,
                kind: ReplyKind::Answer { tcp_flags: answer.tcp_flags },
                rewritten: found.rewritten,
                guessable: false,
                translated: None,
                quote: None,
                extension: None,
            });
        }
        let (icmp, family) = (datagram.icmp?, header.family());
        if let Some(shown) = datagram.cut_quote {
            let (at, quoted) = correlator.quoted_in_part(shown)?;
            let kind = ReplyKind::Icmp {
                family,
                icmp_type: icmp.icmp_type,
                code: icmp.code,
                mtu: icmp.mtu,
            };
            return Some(Self {
                at,
                kind,
                rewritten: false,
                guessable: false,
                translated: None,
                quote: Some(Quote::of(&quoted, shown.len())),
                extension: None,
            });
        }
        // Extensions of quotes of foreign datagrams are not kept.
        correlator.quoted(&datagram.quote?, belief, captured)?;
        let is_captured = datagram.evidence.is_captured();
        let (quote, extension) = icmp.quote_words.map_or((icmp.body, None), |words| {
            extension::quoted_and_extension(icmp.body, words, family)
        });
        let mut quote = quoted::decode(quote).ok()?;
        if !is_captured {
            quote.forget_unknown();
        }
        let found = correlator.quoted(&quote, belief, captured)?;
        let (icmp_type, code, mtu) = (icmp.icmp_type, icmp.code, icmp.mtu);
        Some(Self {
            at: found.at,
            kind: ReplyKind::Icmp { family, icmp_type, code, mtu },
            rewritten: found.rewritten,
            guessable: found.guessable,
            translated: found.translated,
            quote: is_captured.then(|| Quote::of(&quote.header, quote.len)),
            extension: extension.map(Box::new),
        })
    }

    /// The reply that a frame with this header is, if it is believed.
    pub(super) fn into_reply(self, frame: &Frame<'_>, header: &IpHeader) -> Reply {
        Reply {
            responder: header.source,
            kind: self.kind,
            at: frame.at,
            rtt: None,
            clock_fault: false,
            frame: frame.number,
            ttl: header.ttl,
            tos: header.tos,
            ip_id: header.id,
            len: frame.evidence.is_captured().then(|| length(header.total_len)),
            quote: self.quote,
            extension: self.extension,
            rewritten: self.rewritten,
            guessable: self.guessable,
            late: false,
            duplicate: false,
            evidence: frame.evidence,
        }
    }
}

impl Quote {
    /// The claim of a quote with this header and `len` octets.
    fn of(header: &IpHeader, len: usize) -> Self {
        Self {
            ttl: header.ttl,
            tos: header.tos,
            total_len: length(header.total_len),
            len: length(len),
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
