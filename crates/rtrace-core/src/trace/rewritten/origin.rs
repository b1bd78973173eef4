//! Quotes of probes that a translation gave another source address and port, or identifier.

use super::super::belief::{Reading, Translated};
use super::{Head, Read, Rewritten, Sent, canonical, sum_at, word};
use crate::probe::ProbeKey;
use crate::wire::checksum::{plus, replaced};
use crate::wire::ip::IpHeader;

impl Rewritten {
    /// The probe over IPv6 that a quote is of but for source address, source port or identifier, and a checksum that fits them.
    pub(super) fn of_another_origin(
        &self,
        header: &IpHeader,
        payload: &[u8],
        key: &ProbeKey,
    ) -> Option<Sent> {
        if header.id.is_some() {
            return None;
        }
        let sent = |origin: &u16| {
            let head = self.with_origin(self.undone(key.head, header), *origin);
            self.by_head.get(&self.index(head)).and_then(|slot| slot.one())
        };
        let mut fitting = self.origins.iter().filter_map(sent).filter(|sent| {
            self.marked(sent, header, payload)
                && self.is_of_another_origin(sent, header, payload, key)
        });
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// The probe that a quote is of but for the source address, and its port or identifier, of which the checksum fits neither
    /// what was sent nor what is quoted.
    pub(super) fn shifted(
        &self,
        header: &IpHeader,
        payload: &[u8],
        key: &ProbeKey,
    ) -> Option<Read> {
        if !self.is_to_target(header) || header.source == self.flow.source {
            return None;
        }
        let (rest, mark) = (self.rest_of(key.head), self.mark(payload));
        let slot = match header.id {
            Some(id) => self.by_id.get(&id),
            None => self.by_rest.get(&(rest, mark)),
        };
        let sent = slot.and_then(|slot| slot.one())?;
        let marked = mark.is_none_or(|_| mark == sent.mark);
        if self.rest_of(sent.head) != rest || !marked {
            return None;
        }
        let same_port = self.origin_of(key) == self.origin_of(&sent.key());
        let undone = self.sum_of(self.undone(key.head, header)).unwrap_or(0);
        let translated = Translated {
            flow: self.flow_of(&sent.key()),
            address: Some(header.source),
            value: canonical(plus(undone, !self.sum_of(sent.head).unwrap_or(0))),
        };
        let reading = if same_port { Reading::Shifted } else { Reading::ShiftedOrigin };
        Some(Read { at: sent.at, reading, translated: Some(translated) })
    }

    /// The eight octets without source port or identifier, and checksum.
    pub(super) fn rest_of(&self, mut head: Head) -> Head {
        let at = if self.flow.probe.has_ports() { 0 } else { 4 };
        for at in [Some(at), sum_at(self.flow.protocol())].into_iter().flatten() {
            head[at..at + 2].fill(0);
        }
        head
    }

    /// The eight octets with another source port or identifier, and a checksum that fits it.
    pub(super) fn with_origin(&self, mut head: Head, origin: u16) -> Head {
        let at = if self.flow.probe.has_ports() { 0 } else { 4 };
        let was = word(&head, at).unwrap_or(0);
        head[at..at + 2].copy_from_slice(&origin.to_be_bytes());
        let sum = self.sum_of(head).map(|sum| replaced(sum, was, origin));
        sum.map_or(head, |sum| self.with_sum(head, sum))
    }

    /// Whether a quote is of this probe but for source address, source port or identifier, and a checksum that fits them.
    pub(super) fn is_of_another_origin(
        &self,
        sent: &Sent,
        header: &IpHeader,
        payload: &[u8],
        key: &ProbeKey,
    ) -> bool {
        if !self.is_to_target(header) || header.source == self.flow.source {
            return false;
        }
        let head = self.with_origin(self.undone(key.head, header), self.origin_of(&sent.key()));
        head == sent.head && self.tcp_fits(sent, key, header, payload)
    }
}
