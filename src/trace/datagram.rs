//! A captured datagram as a trace looks at it: decoded once, however many rounds it is shown to.

use crate::wire::ip::{self, IcmpMessage, IpHeader};
use crate::wire::quoted::{self, Quoted};
use crate::wire::{Frame, link};

/// What a frame holds, as far as it says anything to a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    pub(super) header: IpHeader,
    /// The octets of that header, and what follows them.
    pub(super) head: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) icmp: Option<IcmpMessage<'a>>,
    /// What an ICMP error quotes, with all that is appended to it.
    pub(super) quote: Option<Quoted<'a>>,
}

impl<'a> Datagram<'a> {
    /// The datagram in a frame, if it holds one.
    pub(super) fn of(frame: &Frame<'a>) -> Option<Self> {
        let datagram = link::ip_datagram(frame.link, frame.bytes).ok()??;
        let (header, payload) = ip::decode(datagram).ok()?;
        let head = datagram.get(..header.header_len).unwrap_or_default();
        let icmp = header.is_icmp().then(|| ip::icmp(header.family(), payload).ok()).flatten();
        let quote = icmp.filter(|icmp| icmp.quotes && header.is_first);
        let quote = quote.and_then(|icmp| quoted::decode(icmp.body).ok());
        Some(Self { header, head, payload, icmp, quote })
    }
}
