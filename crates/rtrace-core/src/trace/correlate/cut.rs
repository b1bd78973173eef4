//! Quotes that a capture cut short: of which probe they are, and whether they may be of one.

use super::super::datagram::Datagram;
use super::super::lenient;
use super::super::path::ProbeRef;
use super::super::probe_selector::ProbeSelector;
use super::Correlator;
use crate::probe::{ProbeKey, ProbeType};
use crate::wire::ip::{self, IpHeader};
use crate::wire::quoted::Quoted;

impl Correlator {
    /// The probe that a quoted header shows which the capture cut short, and that header.
    pub(in super::super) fn quoted_in_part(&self, shown: &[u8]) -> Option<(ProbeRef, IpHeader)> {
        let lenient = self.lenient.as_ref()?;
        let header = lenient::completed(&self.flow, shown)?;
        let quote = Quoted { header, payload: &[], len: shown.len() };
        Some((lenient.cut(&self.flow, &quote)?, header))
    }

    /// Whether an ICMP error of which no probe is known may be about one of ours, and would say of which if the capture had not
    /// cut it short.
    pub(in super::super) fn may_be_cut_off(&self, datagram: &Datagram<'_>) -> bool {
        let flow = &self.flow;
        let Some(quote) = datagram.quote.as_ref().filter(|_| datagram.cut) else {
            return datagram.cut_quote.is_some_and(|shown| lenient::may_begin(flow, shown));
        };
        let (header, there) = (&quote.header, quote.payload.len());
        let key = ProbeKey::of_beginning(header, quote.payload);
        let echo = flow.probe == ProbeType::IcmpEcho;
        if there >= key.head.len() {
            let left = self.left_known(&key, quote.payload);
            return self.is_from_us(header, &key)
                && matches!(self.without_checksum.get(&left), Some(None));
        }
        let shows_ident = there >= if echo { 6 } else { 2 };
        let to_target = (header.source, header.destination, header.protocol)
            == (flow.source, flow.target, flow.protocol());
        let asks = !echo || there == 0 || key.head[0] == ip::echo_request(header.family());
        if shows_ident && self.has_ports() {
            self.is_from_us(header, &key)
        } else {
            to_target && asks
        }
    }

    /// Whether its probes are known by a source port or identifier.
    fn has_ports(&self) -> bool {
        !matches!(
            (&self.idents, self.flow.probe),
            (ProbeSelector::Numbered(_), _) | (_, ProbeType::Protocol(_))
        )
    }
}
