//! A captured frame, decoded once, however many traces and rounds it is shown to.

use std::borrow::Cow;

use super::config::TraceConfig;
use crate::wire::ip::{self, IcmpMessage, IpHeader};
use crate::wire::quoted::{self, Quoted};
use crate::wire::{Evidence, Frame, link};

/// A captured frame with what it holds, which is decoded once.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The frame as it was captured.
    pub frame: Frame<'a>,
    /// The IP datagram in it, if it holds one.
    pub(super) datagram: Option<Datagram<'a>>,
}

impl<'a> Packet<'a> {
    /// Decodes a frame.
    #[must_use]
    pub fn of(frame: &Frame<'a>) -> Self {
        Self { frame: *frame, datagram: Datagram::of(frame) }
    }

    /// What of it a run goes by: not the IP-ID where the kernel chose that of the probes.
    pub(super) fn of_run(&self, config: &TraceConfig) -> Cow<'_, Self> {
        let mut seen = Cow::Borrowed(self);
        if !config.evidence.is_captured()
            && let Some(datagram) = &mut seen.to_mut().datagram
        {
            datagram.header.id = None;
        }
        seen
    }
}

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
    /// The capture cut it short.
    pub(super) cut: bool,
    /// What is there of the quote if that was cut off within its IP header.
    pub(super) cut_quote: Option<&'a [u8]>,
    /// If it is reconstructed, what the kernel does not report is not there.
    pub(super) evidence: Evidence,
}

impl<'a> Datagram<'a> {
    /// The datagram in a frame, if it holds one.
    pub(super) fn of(frame: &Frame<'a>) -> Option<Self> {
        let datagram = link::ip_datagram(frame.link, frame.bytes).ok()??;
        let (mut header, payload) = ip::decode(datagram).ok()?;
        let head = datagram.get(..header.header_len).unwrap_or_default();
        let icmp = header.is_icmp().then(|| ip::icmp(header.family(), payload).ok()).flatten();
        let body = icmp.filter(|icmp| icmp.quotes && header.is_first).map(|icmp| icmp.body);
        let mut quote = body.and_then(|body| quoted::decode(body).ok());
        let evidence = frame.evidence;
        if !evidence.is_captured() {
            header.id = None;
            quote.iter_mut().for_each(Quoted::forget_unknown);
        }
        let cut = u32::try_from(frame.bytes.len()).is_ok_and(|len| len < frame.original_len);
        let cut_quote = body.filter(|_| cut && quote.is_none());
        Some(Self { header, head, payload, icmp, quote, cut, cut_quote, evidence })
    }
}
