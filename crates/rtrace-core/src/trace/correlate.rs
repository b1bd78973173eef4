//! Which probe a reply belongs to.
//!
//! Law 6: a reply counts only if it quotes a probe of ours. A quote is read as one of a probe as it was sent; else as one that
//! was rewritten on the way ([`rewritten`](super::rewritten)); each reading must fit exactly one probe. [`belief`](super::belief)
//! says whether that is enough.
//!
//! Of a trace without a secret, another tool's or one of long ago, four readings are tried: the eight bytes and the IP-ID as
//! they were sent; the same without the checksum, which offload leaves unfinished in a capture and middleboxes adjust; without
//! source address and port too, which NAT rewrites: then the IP-ID has to vouch for it; and with another IP-ID, destination
//! or destination port, where the source port is ours.
//!
//! An error about a datagram that has our address and port, but is no probe as far as can be determined, is counted.

mod cut;
mod marks;
mod rest;

use std::collections::HashMap;

use crate::probe::craft::is_of_key;
use crate::probe::{self, Answer, AnswerKey, Flow, ProbeKey, ProbeType};
use crate::time::Timestamp;
use crate::wire::Evidence;
use crate::wire::checksum::transport;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4;
use crate::wire::quoted::Quoted;

use super::belief::{Belief, Fit, Proof, Reading, Since, Stray, Translated};
use super::config::TraceConfig;
use super::lenient::Lenient;
use super::path::ProbeRef;
use super::probe_selector::ProbeSelector;
use super::rewritten::Rewritten;

/// What rises from probe to probe in many a trace: the sequence number of an echo, else the destination
/// port.
pub(super) fn number(probe: ProbeType, key: &ProbeKey) -> u16 {
    if probe == ProbeType::IcmpEcho { key.sequence() } else { key.destination_port() }
}

/// The probes of a trace by what they are recognised by.
#[derive(Clone, Debug)]
pub(super) struct Correlator {
    flow: Flow,
    /// Over IPv6.
    flow_label: Option<u32>,
    /// When the round began whose probes these are.
    since: Since,
    idents: ProbeSelector,
    exact: HashMap<ProbeKey, ProbeRef>,
    /// Also with what the payload of UDP begins with: it tells probes apart that only their checksums do otherwise. `None`
    /// where several probes fit.
    without_checksum: HashMap<Left, Option<Known>>,
    without_origin: HashMap<ProbeKey, Option<ProbeRef>>,
    rewritten: Rewritten,
    /// With the target's port that they were sent to.
    answers: HashMap<AnswerKey, (ProbeRef, u16)>,
    /// The source port or identifier of probes that confirm answers.
    confirming: Option<u16>,
    /// What makes its probes hard to guess.
    secret: Option<u64>,
    /// Of reconstructed replies the kernel has matched the socket.
    evidence: Evidence,
    /// In a capture of whatever tool.
    lenient: Option<Lenient>,
    /// What it took in; and while it rests, the same in few octets and nothing else.
    taken: Vec<rest::Taken>,
    rested: Box<[u8]>,
    resting: bool,
}

/// A key without its checksum, and what may mark the payload.
type Left = (ProbeKey, Option<u16>);

#[derive(Clone, Copy, Debug)]
struct Known {
    at: ProbeRef,
    key: ProbeKey,
    /// What may mark its payload, if that was captured.
    mark: Option<u16>,
    /// Its checksum was right when it was captured, so that another one in a quote means something.
    checksum_right: bool,
}

/// The probe that a quote shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) at: ProbeRef,
    /// Not as it was sent.
    pub(super) rewritten: bool,
    /// As it was sent, but little of it is random.
    pub(super) guessable: bool,
    /// What a translation made of its flow.
    pub(super) translated: Option<Translated>,
}

impl Found {
    /// As far as no belief weighs it.
    fn plain(at: ProbeRef, rewritten: bool) -> Self {
        Self { at, rewritten, guessable: false, translated: None }
    }
}

impl Correlator {
    /// A correlator of a trace with this configuration, with room for `reserved` probes.
    pub(super) fn new(config: &TraceConfig, idents: ProbeSelector, reserved: usize) -> Self {
        let (flow, confirmation) = (config.flow(), config.confirmation);
        let lenient = Lenient::of(&idents);
        Self {
            flow,
            flow_label: flow.target.is_ipv6().then_some(config.flow_label),
            since: Since::default(),
            idents,
            exact: HashMap::with_capacity(reserved),
            without_checksum: HashMap::with_capacity(reserved),
            without_origin: HashMap::with_capacity(reserved),
            rewritten: Rewritten::new(flow, reserved),
            answers: HashMap::with_capacity(reserved),
            confirming: confirmation.map(|it| it.ident),
            secret: config.secret.map(|secret| secret.key),
            evidence: config.evidence,
            lenient,
            taken: Vec::with_capacity(reserved),
            rested: Box::default(),
            resting: false,
        }
    }

    /// The key of a datagram in this frame, if it is a probe of this trace.
    pub(super) fn own(&self, header: &IpHeader, payload: &[u8], frame: u64) -> Option<ProbeKey> {
        let Flow { source, target, probe, .. } = self.flow;
        if header.source != source || header.destination != target {
            return None;
        }
        let (flow, key) = probe::recognise_as(probe, header, payload)?;
        let same = flow.probe.protocol(flow.family()) == self.flow.protocol()
            && (flow.protocol() != ipv4::TCP || flow.probe == probe);
        let listed = match &self.idents {
            ProbeSelector::One if matches!(probe, ProbeType::Protocol(_)) => {
                is_of_key(self.secret, &key.head)
            }
            ProbeSelector::One => self.has_ident(flow.ident),
            ProbeSelector::Numbered(first) => is_numbered(*first, &key),
            ProbeSelector::Listed(it) => {
                (it.from..=it.until).contains(&frame) && it.probes.contains(&key)
            }
        };
        (same && listed).then_some(key)
    }

    /// The first probe up to this number that is missing from the capture, if it was not yet given: its TTL
    /// and key.
    pub(super) fn missing_up_to(&mut self, last: u16) -> Option<(u8, ProbeKey)> {
        let ProbeSelector::Listed(listed) = &mut self.idents else { return None };
        let (_, ttl, key) = listed.missing.pop_front_if(|(number, ..)| *number <= last)?;
        Some((ttl, key))
    }

    /// Whether a quote is of a probe of this trace that was not captured and has no place.
    fn is_orphan(&self, quote: &Quoted<'_>) -> bool {
        let ProbeSelector::Listed(listed) = &self.idents else { return false };
        let ours = (quote.header.source, quote.header.destination, quote.header.protocol)
            == (self.flow.source, self.flow.target, self.flow.protocol());
        let key = ProbeKey::of(&quote.header, quote.payload);
        ours && key.is_some_and(|key| listed.orphans.contains(&key))
    }

    /// Whether a quote is of an unknown probe of a tool that takes a new port for each; other orphans are [like ours](Self::is_like_ours).
    pub(super) fn is_stray(&self, quote: &Quoted<'_>) -> bool {
        self.is_orphan(quote) && !self.is_like_ours(quote)
    }

    fn has_ident(&self, ident: u16) -> bool {
        match &self.idents {
            ProbeSelector::One => ident == self.flow.ident || Some(ident) == self.confirming,
            ProbeSelector::Numbered(_) => true,
            ProbeSelector::Listed(listed) => listed.idents.contains(&ident),
        }
    }

    pub(super) fn knows(&self, key: &ProbeKey) -> bool {
        self.exact.contains_key(key) || self.has_rested(key)
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
        let taken = rest::Taken {
            key,
            at,
            checksum_right: !summed || whole && right(),
            shown: self.rewritten.shown(header, payload),
            answer: AnswerKey::of(self.flow.probe, &key, payload),
        };
        self.take_in(&taken);
        self.taken.push(taken);
        self.note_lenient(key, at, header.flow_label);
    }

    /// What is left of a datagram whose checksum was changed on the way.
    fn left(&self, key: &ProbeKey, payload: &[u8]) -> Left {
        (key.without_checksum(self.flow.protocol()), self.rewritten.mark(payload))
    }

    /// By what a probe is looked up that a quote shows but for the checksum. A router may fill up what it quotes, so where an
    /// IP-ID tells probes apart another mark is no other probe's.
    fn left_known(&self, key: &ProbeKey, payload: &[u8]) -> Left {
        let left = self.left(key, payload);
        let unmarked = (left.0, None);
        let enough = |it: &Known| it.mark.is_none() || key.ip_id != 0;
        let known = || self.without_checksum.get(&unmarked);
        let may_be = || known().is_some_and(|known| known.as_ref().is_none_or(enough));
        if !self.without_checksum.contains_key(&left) && may_be() { unmarked } else { left }
    }

    /// Takes in a datagram that is no probe of this trace: if it comes from our port, what quotes it is not meant for us.
    pub(super) fn note_foreign(&mut self, header: &IpHeader, payload: &[u8]) {
        if let Some(key) = self.foreign(header, payload) {
            self.rewritten.note_foreign(header, payload, key);
        }
    }

    /// The key of a quoted datagram, if it comes from our port.
    pub(super) fn foreign(&self, header: &IpHeader, payload: &[u8]) -> Option<ProbeKey> {
        ProbeKey::of(header, payload).filter(|key| self.is_from_us(header, key))
    }

    /// Takes in a probe that is missing from the capture.
    pub(super) fn insert_missing(&mut self, key: ProbeKey, at: ProbeRef) {
        self.rewritten.note_key(&key);
        self.exact.insert(key, at);
        self.insert_answer(AnswerKey::of(self.flow.probe, &key, &[]), &key, at);
        self.note_lenient(key, at, self.flow_label);
    }

    fn insert_answer(&mut self, answer: AnswerKey, key: &ProbeKey, at: ProbeRef) {
        self.answers.insert(answer, (at, key.destination_port()));
    }

    fn note_lenient(&mut self, key: ProbeKey, at: ProbeRef, label: Option<u32>) {
        if let Some(lenient) = &mut self.lenient {
            lenient.insert(&self.flow, label, key, at);
        }
    }

    /// Begins a round at this time.
    pub(super) fn begin(&mut self, since: Since) {
        self.since = since;
    }

    /// The probe that an ICMP error quotes which was captured at this time.
    pub(super) fn quoted(
        &self,
        quote: &Quoted<'_>,
        belief: &Belief,
        at: Timestamp,
    ) -> Option<Found> {
        let protocol = self.flow.protocol();
        let Some(key) = ProbeKey::of(&quote.header, quote.payload) else {
            let at = self.lenient.as_ref()?.cut(&self.flow, quote)?;
            return Some(Found::plain(at, false));
        };
        if quote.header.protocol != protocol {
            return None;
        }
        if !self.evidence.is_captured() {
            return self.reported(quote, &key);
        }
        if !belief.is_strict() {
            return self.likely(quote, &key);
        }
        let (probe, fit) = self.fit(quote, &key, belief)?;
        let proof = belief.judge(&fit, self.since, at)?;
        Some(Found {
            at: probe,
            rewritten: fit.reading != Reading::Exact || !fit.label,
            guessable: proof == Proof::Guessable,
            translated: fit.translated,
        })
    }

    /// The probe that a reconstructed quote shows. Of UDP the octets are those of the probe itself. Those of ICMP echo are as the
    /// router quoted them: a translation may have left another checksum, and the sequence number identifies the probe.
    fn reported(&self, quote: &Quoted<'_>, key: &ProbeKey) -> Option<Found> {
        let ends = (self.flow.source, self.flow.target);
        if (quote.header.source, quote.header.destination) != ends {
            return None;
        }
        if let Some(at) = self.exact.get(key) {
            return Some(Found::plain(*at, false));
        }
        let left = self.left_known(key, quote.payload);
        let known = self.without_checksum.get(&left).filter(|_| quote.header.is_icmp())?;
        known.map(|it| Found::plain(it.at, it.checksum_right))
    }

    /// The probe that a quote shows, and how it shows it.
    fn fit(&self, quote: &Quoted<'_>, key: &ProbeKey, belief: &Belief) -> Option<(ProbeRef, Fit)> {
        let (header, flow) = (&quote.header, &self.flow);
        let to_target = header.destination == flow.target;
        let label = self.flow_label.is_none() || header.flow_label == self.flow_label;
        let tail = belief.has_tail(quote);
        let port = key.destination_port();
        let fit = |reading, translated| Fit { reading, label, tail, to_target, port, translated };
        if to_target && header.source == flow.source {
            if let Some(at) = self.exact.get(key) {
                return Some((*at, fit(Reading::Exact, None)));
            }
            let left = self.left_known(key, quote.payload);
            if let Some(known) = self.without_checksum.get(&left) {
                let known = (*known)?;
                let translated = self.rewritten.resummed(key, &known.key);
                return Some((known.at, fit(Reading::Checksum, translated)));
            }
        }
        if matches!(flow.probe, ProbeType::Protocol(_)) {
            let at = self.without_origin.get(key).filter(|_| to_target).copied()??;
            return Some((at, fit(Reading::Origin, None)));
        }
        let read = self.rewritten.read(header, quote.payload, key)?;
        // Over IPv6 nothing else vouches for a probe from another port.
        if read.reading.is_of_other_port() && !label {
            return None;
        }
        Some((read.at, fit(read.reading, read.translated)))
    }

    /// The probe that a quote is likely to be of, where nothing is known of how hard it was to guess.
    fn likely(&self, quote: &Quoted<'_>, key: &ProbeKey) -> Option<Found> {
        let (header, flow) = (&quote.header, &self.flow);
        let protocol = flow.protocol();
        let to_target = header.destination == flow.target;
        if to_target && header.source == flow.source {
            if let Some(at) = self.exact.get(key) {
                return Some(Found::plain(*at, false));
            }
            let left = self.left_known(key, quote.payload);
            if let Some(known) = self.without_checksum.get(&left) {
                return known.map(|it| Found::plain(it.at, it.checksum_right));
            }
        }
        if to_target
            && key.ip_id != 0
            && let Some(at) = self.without_origin.get(&key.without_origin(protocol))
        {
            return at.map(|at| Found::plain(at, true));
        }
        let at = self.rewritten.find(header, quote.payload, key);
        at.filter(|_| !self.is_orphan(quote)).map(|at| Found::plain(at, true))
    }

    /// The probe that a damaged ICMP error seems to quote. It is only counted there, so likeness is enough.
    pub(super) fn resembling(&self, quote: &Quoted<'_>) -> Option<ProbeRef> {
        let key = ProbeKey::of(&quote.header, quote.payload)?;
        self.likely(quote, &key).map(|found| found.at)
    }

    /// What a quote is of that is of a datagram to the target in the protocol of its probes.
    pub(super) fn stray(&self, quote: &Quoted<'_>) -> Option<Stray> {
        let key = ProbeKey::of(&quote.header, quote.payload)?;
        let ports = |header: &IpHeader| (header.destination, header.protocol);
        let near = ports(&quote.header) == (self.flow.target, self.flow.protocol());
        let origin = match self.flow.probe {
            ProbeType::Protocol(_) => None,
            ProbeType::IcmpEcho => Some(key.identifier()),
            _ => Some(key.source_port()),
        };
        let origin = origin.filter(|_| quote.header.source == self.flow.source);
        near.then_some(Stray { origin })
    }

    /// Whether a quote is of a probe as it was sent.
    pub(super) fn quotes(&self, quote: &Quoted<'_>) -> bool {
        let flow = (self.flow.source, self.flow.target, self.flow.protocol());
        let header = &quote.header;
        let key = ProbeKey::of(header, quote.payload);
        (header.source, header.destination, header.protocol) == flow
            && key.is_some_and(|key| self.knows(&key))
    }

    /// Whether a quote is of a datagram with our address and port, and not of one that was seen to be none of ours.
    pub(super) fn is_like_ours(&self, quote: &Quoted<'_>) -> bool {
        let key = ProbeKey::of(&quote.header, quote.payload);
        key.is_some_and(|key| {
            self.is_from_us(&quote.header, &key) && !self.rewritten.is_foreign(&quote.header, &key)
        })
    }

    /// Whether a datagram has our address, protocol, and source port or identifier; of a protocol without these none has.
    fn is_from_us(&self, header: &IpHeader, key: &ProbeKey) -> bool {
        let ident = match (&self.idents, self.flow.probe) {
            (_, ProbeType::Protocol(_)) => false,
            (ProbeSelector::Numbered(first), _) => is_numbered(*first, key),
            (_, ProbeType::IcmpEcho) => self.has_ident(key.identifier()),
            _ => self.has_ident(key.source_port()),
        };
        ident && (header.source, header.protocol) == (self.flow.source, self.flow.protocol())
    }

    /// The probe that a datagram answers in its own protocol. From another port than the probe went to, which only the
    /// sequence number of TCP allows, something on the way rewrote the probe.
    pub(super) fn answered(&self, header: &IpHeader, payload: &[u8]) -> Option<(Found, Answer)> {
        let answer = probe::answer(&self.flow, header, payload)?;
        let found = match (self.answers.get(&answer.key), &self.lenient) {
            (Some((at, port)), _) => {
                Found::plain(*at, answer.port.is_some_and(|from| from != *port))
            }
            (None, Some(lenient)) => Found::plain(lenient.reset(&answer)?, false),
            (None, None) => return None,
        };
        Some((found, answer))
    }

    /// Whether a datagram looks like an answer to a probe of ours, be there one like that or not.
    pub(super) fn is_answer(&self, header: &IpHeader, payload: &[u8]) -> bool {
        let answer = probe::answer(&self.flow, header, payload);
        answer.is_some_and(|answer| self.has_ident(answer.key.ident))
    }

    /// Whether a probe is one that is to confirm an answer.
    pub(super) fn is_confirmation(&self, key: &ProbeKey) -> bool {
        self.confirming.is_some_and(|ident| key.ident(self.flow.probe) == ident)
    }
}

fn is_numbered(first: u32, key: &ProbeKey) -> bool {
    u16::try_from(key.tcp_sequence().wrapping_sub(first)).is_ok()
}
