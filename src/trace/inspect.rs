//! What the path does to packets: each quote compared with the probe as it was sent, field by field.
//!
//! A router quotes what it received (RFC 792, RFC 1812 §4.3.2.3, RFC 4443 §2.4), so a field that differs there was
//! changed by something between the sender and it; the first hop whose quotes show a change, and the last
//! before it whose quotes do not, say where. All of it follows from recorded frames.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::config::TraceConfig;
use super::event::Disposition;
use super::path::{Path, ProbeRef};
use crate::wire::checksum::{checksum, transport};
use crate::wire::extension;
use crate::wire::ip::{self, IpHeader};
use crate::wire::tcp::{self, TcpOption};
use crate::wire::{Frame, ipv4, link, quoted};

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// An address.
    Address(IpAddr),
    /// Octets.
    Octets(Vec<u8>),
}

/// A field that was not quoted as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
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
pub struct Comparison {
    /// Which probe.
    pub at: ProbeRef,
    /// Who quoted it.
    pub responder: IpAddr,
    /// How many octets were quoted.
    pub len: usize,
    /// The TTL in the quote.
    pub ttl: u8,
    /// A router said that the TTL ran out.
    pub in_transit: bool,
    /// The fields that differ, outermost first. The TTL is none of them: it has to.
    pub differences: Vec<Difference>,
    /// Names of the fields that could be compared.
    pub compared: Vec<&'static str>,
    /// Whether the checksum of the quoted IPv4 header is right.
    pub header_checksum: Option<bool>,
    /// Whether the quoted checksum of UDP or TCP, if it was changed, fits what else was changed.
    pub checksum_fits: Option<bool>,
}

/// A change of one field, and between which hops it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The field.
    pub field: &'static str,
    /// The last hop before whose quotes still have it as it was sent; `None` is the sender.
    pub after: Option<u8>,
    /// The first hop whose quotes show it.
    pub at: u8,
    /// An example of what was sent.
    pub sent: Value,
    /// What became of it.
    pub quoted: Value,
}

/// Compares what is quoted with what was sent, frame by frame.
#[derive(Debug, Default)]
pub struct Inspector {
    sent: HashMap<ProbeRef, Vec<u8>>,
    comparisons: Vec<Comparison>,
}

impl Inspector {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a frame that the trace has handled.
    pub fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) else { return };
        match disposition {
            // A sizer is no hop's.
            Disposition::OwnProbe(at) | Disposition::Reply(at, _) if at.sizer_index().is_some() => {
            }
            Disposition::OwnProbe(at) => drop(self.sent.insert(at, datagram.to_vec())),
            Disposition::Reply(at, Some(index)) => {
                let reply = path.probe(at).and_then(|probe| probe.replies.get(index));
                let both = self.sent.get(&at).zip(reply).zip(quote(datagram));
                self.comparisons.extend(both.and_then(|((sent, reply), quoted)| {
                    let in_transit = reply.kind.in_transit();
                    compare(sent, quoted, at, reply.responder, in_transit)
                }));
            }
            _ => {}
        }
    }

    /// Every quote so far, in order of time.
    #[must_use]
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// The hop of a comparison: that of its probe or, for the scout, how far it came.
    #[must_use]
    pub fn hop(comparison: &Comparison, config: &TraceConfig) -> u8 {
        match comparison.at {
            ProbeRef::SCOUT => config.max_ttl.saturating_sub(comparison.ttl.saturating_sub(1)),
            at => at.ttl,
        }
    }

    /// What was changed, in order of hops.
    #[must_use]
    pub fn changes(&self, config: &TraceConfig) -> Vec<Change> {
        let mut hops: BTreeMap<u8, Vec<&Comparison>> = BTreeMap::new();
        for it in &self.comparisons {
            hops.entry(Self::hop(it, config)).or_default().push(it);
        }
        let mut changes: Vec<Change> = Vec::new();
        // The last hop that quoted each field unchanged.
        let mut unchanged: HashMap<&'static str, u8> = HashMap::new();
        for (ttl, comparisons) in hops {
            for it in comparisons {
                for difference in &it.differences {
                    let field = difference.field;
                    if changes.iter().all(|change| change.field != field) {
                        let after = unchanged.get(field).copied().filter(|after| *after < ttl);
                        let Difference { sent, quoted, .. } = difference.clone();
                        changes.push(Change { field, after, at: ttl, sent, quoted });
                    }
                }
                let same = |field: &&&str| it.differences.iter().all(|it| it.field != **field);
                unchanged.extend(it.compared.iter().filter(same).map(|field| (*field, ttl)));
            }
        }
        changes
    }
}

/// The octets that an ICMP error quotes, without what is appended to them.
#[must_use]
pub fn quote(datagram: &[u8]) -> Option<&[u8]> {
    let (header, payload) = ip::decode(datagram).ok()?;
    let family = header.family();
    let icmp = ip::icmp(family, payload).ok().filter(|icmp| header.is_icmp() && icmp.quotes)?;
    Some(match icmp.quote_words {
        Some(words) => extension::quoted_and_extension(icmp.body, words, family).0,
        None => icmp.body,
    })
}

/// The fields of a datagram, or of as much as is there of it, outermost first, by the names that
/// [`Difference`] has.
#[must_use]
pub fn fields(datagram: &[u8]) -> Vec<(&'static str, Value)> {
    let Ok((header, _)) = ip::decode(datagram) else { return Vec::new() };
    let body = datagram.get(header.header_len..).unwrap_or_default();
    extract(&header, datagram, body).filter_map(|(field, value)| Some((field, value?))).collect()
}

/// Every field that a datagram with this header has; `None` where it ends before.
fn extract(
    header: &IpHeader,
    head: &[u8],
    body: &[u8],
) -> impl Iterator<Item = (&'static str, Option<Value>)> {
    let outer = if header.source.is_ipv4() { IPV4 } else { IPV6 };
    let outer = outer.iter().map(move |(field, extract)| (*field, extract(head)));
    outer.chain(body_fields(header).iter().map(move |(field, extract)| (*field, extract(body))))
}

type Extract = fn(&[u8]) -> Option<Value>;

fn bits(octets: &[u8], at: usize, len: usize) -> Option<u64> {
    let octets = octets.get(at..at + len)?;
    Some(octets.iter().fold(0, |value, octet| value << 8 | u64::from(*octet)))
}

fn number(octets: &[u8], at: usize, len: usize) -> Option<Value> {
    bits(octets, at, len).map(Value::Number)
}

fn v4_address(octets: &[u8], at: usize) -> Option<Value> {
    let octets: &[u8; 4] = octets.get(at..)?.first_chunk()?;
    Some(Value::Address(IpAddr::from(*octets)))
}

fn v6_address(octets: &[u8], at: usize) -> Option<Value> {
    let octets: &[u8; 16] = octets.get(at..)?.first_chunk()?;
    Some(Value::Address(IpAddr::from(*octets)))
}

/// RFC 791 §3.1, RFC 2474, RFC 3168; without version and header length, TTL and checksum.
const IPV4: &[(&str, Extract)] = &[
    ("DSCP", |it| Some(Value::Number(bits(it, 1, 1)? >> 2))),
    ("ECN", |it| Some(Value::Number(bits(it, 1, 1)? & 3))),
    ("total length", |it| number(it, 2, 2)),
    ("identification", |it| number(it, 4, 2)),
    ("flags", |it| Some(Value::Number(bits(it, 6, 1)? >> 5))),
    ("fragment offset", |it| Some(Value::Number(bits(it, 6, 2)? & 0x1fff))),
    ("protocol", |it| number(it, 9, 1)),
    (SOURCE, |it| v4_address(it, 12)),
    (DESTINATION, |it| v4_address(it, 16)),
];
/// RFC 8200 §3.
const IPV6: &[(&str, Extract)] = &[
    ("DSCP", |it| Some(Value::Number(bits(it, 0, 2)? >> 6 & 0x3f))),
    ("ECN", |it| Some(Value::Number(bits(it, 0, 2)? >> 4 & 3))),
    ("flow label", |it| Some(Value::Number(bits(it, 0, 4)? & 0xf_ffff))),
    ("payload length", |it| number(it, 4, 2)),
    ("next header", |it| number(it, 6, 1)),
    (SOURCE, |it| v6_address(it, 8)),
    (DESTINATION, |it| v6_address(it, 24)),
];
/// RFC 768; of UDP-Lite the third word is the coverage (RFC 3828).
const UDP: &[(&str, Extract)] = &[
    ("source port", |it| number(it, 0, 2)),
    ("destination port", |it| number(it, 2, 2)),
    ("UDP length", |it| number(it, 4, 2)),
    (CHECKSUM, |it| number(it, 6, 2)),
    (PAYLOAD, |it| rest(it, 8)),
];
/// RFC 9293 §3.1.
const TCP: &[(&str, Extract)] = &[
    ("source port", |it| number(it, 0, 2)),
    ("destination port", |it| number(it, 2, 2)),
    ("sequence number", |it| number(it, 4, 4)),
    ("acknowledgment number", |it| number(it, 8, 4)),
    ("data offset", |it| Some(Value::Number(bits(it, 12, 1)? >> 4))),
    ("control bits", |it| number(it, 13, 1)),
    ("window", |it| number(it, 14, 2)),
    (CHECKSUM, |it| number(it, 16, 2)),
    ("MSS", |it| mss(it).map(|mss| Value::Number(u64::from(mss)))),
    ("TCP options", |it| rest(it, 20)),
];
/// RFC 792, RFC 4443 §4.1.
const ECHO: &[(&str, Extract)] = &[
    (CHECKSUM, |it| number(it, 2, 2)),
    ("identifier", |it| number(it, 4, 2)),
    ("sequence number", |it| number(it, 6, 2)),
    (PAYLOAD, |it| rest(it, 8)),
];
const OTHER: &[(&str, Extract)] = &[(PAYLOAD, |it| rest(it, 0))];

/// The name of the source address among fields.
pub const SOURCE: &str = "source address";
/// The name of the destination address.
pub const DESTINATION: &str = "destination address";
/// The name of the checksum of UDP, TCP or ICMP.
pub const CHECKSUM: &str = "checksum";
const PAYLOAD: &str = "payload";

fn rest(octets: &[u8], at: usize) -> Option<Value> {
    octets.get(at..).filter(|rest| !rest.is_empty()).map(|rest| Value::Octets(rest.to_vec()))
}

/// The maximum segment size (RFC 9293 §3.7.1), as far as the octets reach.
fn mss(segment: &[u8]) -> Option<u16> {
    tcp::decode(segment).ok()?.options().find_map(|option| match option {
        TcpOption::MaximumSegmentSize(mss) => Some(mss),
        _ => None,
    })
}

fn body_fields(header: &IpHeader) -> &'static [(&'static str, Extract)] {
    match header.protocol {
        ipv4::UDP | ipv4::UDP_LITE => UDP,
        ipv4::TCP => TCP,
        _ if header.is_icmp() => ECHO,
        _ => OTHER,
    }
}

/// Compares a quote with the datagram that was sent; `None` if it is not one of such a datagram.
fn compare(
    sent: &[u8],
    octets: &[u8],
    at: ProbeRef,
    responder: IpAddr,
    in_transit: bool,
) -> Option<Comparison> {
    let (header, _) = ip::decode(sent).ok()?;
    let quoted_header = ip::decode(octets).ok()?.0;
    let len = octets.len().min(sent.len());
    let (sent_body, quoted_body) =
        (sent.get(header.header_len..)?, octets.get(quoted_header.header_len..len)?);
    let mut it = Comparison {
        at,
        responder,
        len: quoted::decode(octets).map_or(octets.len(), |it| it.len),
        ttl: quoted_header.ttl,
        in_transit,
        differences: Vec::new(),
        compared: Vec::new(),
        header_checksum: quoted_header
            .source
            .is_ipv4()
            .then(|| octets.get(..quoted_header.header_len).is_some_and(|it| checksum(it) == 0)),
        checksum_fits: None,
    };
    // Read as what was sent, whatever the quote says that it is.
    let both = extract(&header, sent, sent_body).zip(extract(&header, octets, quoted_body));
    for ((field, sent), (_, quoted)) in both {
        it.note(field, sent, quoted);
    }
    if it.differences.iter().any(|difference| difference.field == CHECKSUM) {
        it.checksum_fits = fits(sent, header.header_len, &quoted_header, quoted_body);
    }
    Some(it)
}

impl Comparison {
    fn note(&mut self, field: &'static str, sent: Option<Value>, quoted: Option<Value>) {
        let (Some(sent), Some(quoted)) = (sent, quoted) else { return };
        // Of octets as many are compared as were quoted.
        let (sent, quoted) = match (sent, quoted) {
            (Value::Octets(mut sent), Value::Octets(mut quoted)) => {
                let len = sent.len().min(quoted.len());
                sent.truncate(len);
                quoted.truncate(len);
                (Value::Octets(sent), Value::Octets(quoted))
            }
            both => both,
        };
        self.compared.push(field);
        if sent != quoted {
            self.differences.push(Difference { field, sent, quoted });
        }
    }
}

/// Whether the quoted checksum is that of the datagram that was sent, with the quoted addresses and ports.
fn fits(sent: &[u8], body_at: usize, quoted: &IpHeader, quoted_body: &[u8]) -> Option<bool> {
    let at = match quoted.protocol {
        ipv4::UDP => 6,
        ipv4::TCP => 16,
        _ => return None,
    };
    let mut body = sent.get(body_at..)?.to_vec();
    let changed = quoted_body.len().min(body.len());
    body.get_mut(..changed)?.copy_from_slice(quoted_body.get(..changed)?);
    Some(transport(quoted.source, quoted.destination, quoted.protocol, &body) == 0)
        .filter(|_| quoted_body.len() >= at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Flow, FlowMode, ProbeType, craft};

    fn probe(kind: ProbeType) -> Vec<u8> {
        let (source, target) = ([192, 0, 2, 2].into(), [203, 0, 113, 9].into());
        let flow = Flow { source, target, probe: kind, ident: 40_000 };
        let config = TraceConfig { flow_mode: FlowMode::Classic, ..TraceConfig::of_flow(&flow) };
        let mut bytes = Vec::new();
        craft::craft(&config.spec(4), &mut bytes);
        bytes
    }

    fn compared(sent: &[u8], quoted: &[u8]) -> Comparison {
        let at = ProbeRef { ttl: 2, query: 1 };
        compare(sent, quoted, at, [10, 0, 0, 1].into(), true).unwrap()
    }

    fn fields(it: &Comparison) -> Vec<&'static str> {
        it.differences.iter().map(|difference| difference.field).collect()
    }

    #[test]
    fn what_is_quoted_as_it_was_sent_shows_no_change() {
        for kind in [ProbeType::Udp, ProbeType::TcpSyn, ProbeType::IcmpEcho] {
            let sent = probe(kind);
            for len in [28, 40, sent.len()] {
                let mut quoted = sent[..len].to_vec();
                quoted[8] = 1;
                assert_eq!(fields(&compared(&sent, &quoted)), [""; 0], "{kind:?} {len}");
            }
        }
    }

    /// Octets of the quote, and what that is a change of.
    #[test]
    fn every_field_has_its_name() {
        let changes: [(ProbeType, usize, &[&str]); 12] = [
            (ProbeType::Udp, 1, &["DSCP", "ECN"]),
            (ProbeType::Udp, 2, &["total length"]),
            (ProbeType::Udp, 5, &["identification"]),
            (ProbeType::Udp, 6, &["flags", "fragment offset"]),
            (ProbeType::Udp, 13, &[SOURCE]),
            (ProbeType::Udp, 19, &[DESTINATION]),
            (ProbeType::Udp, 21, &["source port"]),
            (ProbeType::Udp, 27, &[CHECKSUM]),
            (ProbeType::Udp, 40, &[PAYLOAD]),
            (ProbeType::TcpSyn, 25, &["sequence number"]),
            (ProbeType::TcpSyn, 43, &["MSS", "TCP options"]),
            (ProbeType::IcmpEcho, 27, &["sequence number"]),
        ];
        for (kind, octet, expected) in changes {
            let sent = probe(kind);
            let mut quoted = sent.clone();
            quoted[octet] ^= 0xff;
            // A fragment's payload is that of no header: the rest of the header is what counts here.
            assert_eq!(fields(&compared(&sent, &quoted)), expected, "{kind:?} {octet}");
        }
    }

    #[test]
    fn a_checksum_that_nat_adjusted_fits() {
        let sent = probe(ProbeType::Udp);
        let mut quoted = sent[..28].to_vec();
        quoted[12..16].copy_from_slice(&[198, 51, 100, 7]);
        quoted[20..22].copy_from_slice(&[4, 1]);
        assert_eq!(fields(&compared(&sent, &quoted)), [SOURCE, "source port"]);
        let mut whole = quoted.clone();
        whole.extend_from_slice(&sent[28..]);
        whole[26..28].fill(0);
        let sum =
            transport([198, 51, 100, 7].into(), [203, 0, 113, 9].into(), ipv4::UDP, &whole[20..]);
        quoted[26..28].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(compared(&sent, &quoted).checksum_fits, Some(true));
        quoted[27] ^= 1;
        assert_eq!(compared(&sent, &quoted).checksum_fits, Some(false));
    }
}
