//! What a capture lacks, and the sentences that say so: nobody should have to guess why a report is as it is.

use std::collections::BTreeMap;

use crate::render::counted;
use crate::time::{Span, Timestamp};
use crate::trace::survey::Found;
use crate::trace::{Path, Probe, TraceConfig};
use crate::wire::quoted;
use crate::wire::{Frame, LinkType, ip, link};

/// What was seen of it while the file was read.
#[derive(Default)]
pub(super) struct Lacking {
    /// How many packets have a link type that is not read, by its number.
    unread: BTreeMap<u32, u64>,
    untimed: u64,
    /// Errors of which not enough was captured to see what they quote.
    cut: u64,
}

impl Lacking {
    /// Takes one packet of the file.
    pub(super) fn note(&mut self, frame: &Frame<'_>) {
        if let LinkType::Other(number) = frame.link {
            // There are no more numbers than a file can have.
            *self.unread.entry(number & 0xffff).or_default() += 1;
        }
        self.untimed += u64::from(frame.at.known().is_none());
        self.cut += u64::from(is_cut(frame));
    }

    /// What to say of a file with so many packets.
    pub(super) fn sentences(&self, name: &str, packets: u64) -> Vec<String> {
        let unread = self.unread.iter().map(|(number, count)| {
            format!(
                "{name} has {} of link type {number}, which rtrace does not read: \
                 capture on an Ethernet, PPP, cooked or raw IP interface",
                counted(*count, "packet")
            )
        });
        let untimed = (self.untimed > 0).then(|| {
            format!(
                "{name} has no times for {} of {packets} packets (simple packet blocks): \
                 their round-trip times are unknown",
                self.untimed
            )
        });
        let cut = (self.cut > 0).then(|| {
            format!(
                "{name} holds too little of {} to identify the probe: \
                 capture with a larger snap length",
                counted(self.cut, "ICMP error")
            )
        });
        unread.chain(untimed).chain(cut).collect()
    }
}

/// Whether the capture cut an ICMP error off before the ports of what it quotes.
fn is_cut(frame: &Frame<'_>) -> bool {
    const ENOUGH: usize = 4;
    if u32::try_from(frame.bytes.len()).is_ok_and(|len| len >= frame.original_len) {
        return false;
    }
    let Ok(Some(datagram)) = link::ip_datagram(frame.link, frame.bytes) else { return false };
    let Ok((header, payload)) = ip::decode(datagram) else { return false };
    let errors = [ip::time_exceeded(header.family()), ip::unreachable(header.family())];
    let is_error = header.is_icmp()
        && header.is_first
        && payload.first().is_some_and(|icmp_type| errors.contains(icmp_type));
    let quote =
        ip::icmp(header.family(), payload).ok().and_then(|icmp| quoted::decode(icmp.body).ok());
    is_error && quote.is_none_or(|quote| quote.payload.len() < ENOUGH)
}

/// What a file lacks that ends before the run did, with its last packet at `last`.
pub(super) fn after_the_end(
    name: &str,
    path: &Path,
    config: &TraceConfig,
    last: Timestamp,
) -> String {
    let patience = Span::from_secs_f64(config.wait.max);
    let waited = |probe: &Probe| probe.sent.is_some_and(|sent| last.since(sent) < patience);
    let unanswered = |probe: &Probe| probe.answer().is_none() && waited(probe);
    let open = path.probes().filter(|(_, probe)| unanswered(probe)).count();
    let answers = match open {
        0 => String::new(),
        1 => "the answer to 1 probe, and ".to_owned(),
        open => format!("the answers to {open} probes, and "),
    };
    format!(
        "{name} has no end of the run (it was cut short, or saved anew by another tool): {answers}whatever was sent later may be missing"
    )
}

/// What is said of a trace of which the file holds no probe.
pub(super) fn without_probes(name: &str, config: &TraceConfig) -> String {
    format!(
        "{name} holds the replies but not the probes of the trace to {}: round-trip times are unknown",
        config.target
    )
}

/// Traces that one run sent from several source addresses.
pub(super) struct OverUplinks {
    /// Their numbers in the list of all.
    pub numbers: Vec<u32>,
    /// What is said of them.
    pub sentence: String,
}

impl OverUplinks {
    /// The runs of which a recording with this name holds several traces.
    pub(super) fn among(name: &str, all: &[Found]) -> Vec<Self> {
        let numbered: Vec<(u32, &Found)> = (1..).zip(all).collect();
        let later = |(index, found): &(usize, &Found)| found.same_run.first() > Some(index);
        let firsts = all.iter().enumerate().filter(later);
        let runs = firsts.map(|(index, found)| {
            let members = std::iter::once(index).chain(found.same_run.iter().copied());
            let members: Vec<_> = members.filter_map(|it| numbered.get(it)).collect();
            let each = members.iter().map(|(number, it)| format!("{number} (from {})", it.config.source));
            let sentence = format!(
                "{name}: traces {} to {} are one run over {} source addresses, with probes numbered in one \
                 sequence: what one of them lacks may be in another",
                each.collect::<Vec<_>>().join(" and "),
                found.config.target,
                members.len()
            );
            Self { numbers: members.iter().map(|(number, _)| *number).collect(), sentence }
        });
        runs.collect()
    }
}
