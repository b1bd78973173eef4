//! What is believed of captures of other tools alone, because a capture is evidence that nobody made up for us: quotes that
//! the capture cut short before the eight octets of a key are there, and resets that acknowledge nothing.
//!
//! A snap length of 68 leaves six octets of UDP in an error that came over Ethernet, and four in a cooked capture. These and the
//! IP-ID must single out one probe. A reset without ACK repeats no number of a SYN: it is of the last probe between its ports.
//! A run of ours believes neither, and neither does the replay of its recording.

use std::collections::HashMap;

use super::path::ProbeRef;
use crate::probe::{Answer, Flow, ProbeKey};
use crate::wire::ipv4;
use crate::wire::quoted::Quoted;
use crate::wire::tcp::Flags;

/// IP-ID and the first octets.
type Left = (u16, [u8; 4]);
/// The probe that has them.
type Sent = (ProbeRef, ProbeKey);

/// The probes of a trace by the little that a cut quote or a bare reset shows of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lenient {
    /// By what is left at least; `None` where several probes have that.
    cut: HashMap<Left, Option<Sent>>,
    /// The last probe from a port to another.
    ports: HashMap<(u16, u16), ProbeRef>,
}

impl Lenient {
    /// Takes in a probe of this flow.
    pub(super) fn insert(&mut self, flow: &Flow, key: ProbeKey, at: ProbeRef) {
        let several = |known: &mut Option<_>| *known = None;
        self.cut.entry(index(flow, &key)).and_modify(several).or_insert(Some((at, key)));
        if flow.protocol() == ipv4::TCP {
            self.ports.insert((key.source_port(), key.destination_port()), at);
        }
    }

    /// The probe that a quote shows which was cut short.
    pub(super) fn cut(&self, flow: &Flow, quote: &Quoted<'_>) -> Option<ProbeRef> {
        let header = &quote.header;
        if (header.source, header.destination, header.protocol)
            != (flow.source, flow.target, flow.protocol())
        {
            return None;
        }
        let key = ProbeKey::of_cut(header, quote.payload)?;
        let (at, sent) = (*self.cut.get(&index(flow, &key))?)?;
        let [sent, shown] = [sent, key].map(|key| key.without_checksum(flow.protocol()));
        let there = quote.payload.len().min(shown.head.len());
        (sent.head[..there] == shown.head[..there]).then_some(at)
    }

    /// The probe that a reset without ACK answers.
    pub(super) fn reset(&self, answer: &Answer) -> Option<ProbeRef> {
        let flags = answer.tcp_flags?;
        let bare = flags.contains(Flags::RST) && !flags.contains(Flags::ACK);
        let ports = (answer.key.ident, answer.port);
        self.ports.get(&ports).filter(|_| bare).copied()
    }
}

fn index(flow: &Flow, key: &ProbeKey) -> Left {
    let [a, b, c, d, ..] = key.without_checksum(flow.protocol()).head;
    (key.ip_id, [a, b, c, d])
}
