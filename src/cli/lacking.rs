//! What a capture lacks, and the sentences that say so: nobody should have to guess why a report is as it is.

use std::collections::BTreeMap;

use super::complain;
use crate::render::counted;
use crate::time::{Span, Timestamp};
use crate::trace::survey::Found;
use crate::trace::{Path, Probe, TraceConfig};
use crate::wire::{Frame, LinkType, ip, ipv4, link};

/// What was seen of it while the file was read.
#[derive(Default)]
pub(super) struct Lacking {
    /// How many packets have a link type that is not read, by its number.
    unread: BTreeMap<u32, u64>,
    untimed: u64,
    /// IP packets that were cut off before what identifies a probe.
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

    /// Why a file may show no trace, if packets of it are cut short.
    pub(super) fn cut_short(&self) -> Option<String> {
        let are = if self.cut == 1 { "is" } else { "are" };
        (self.cut > 0).then(|| {
            format!(
                "{} of which {are} cut off before what identifies a probe: \
                 capture with a larger snap length (tcpdump -s 0)",
                self.cut
            )
        })
    }

    /// The sentences about what a file with this number of packets lacks.
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
        unread.chain(untimed).collect()
    }
}

/// Whether the capture cut a packet off before what identifies a probe: the flags of TCP, else the first eight octets that
/// follow the IP header.
fn is_cut(frame: &Frame<'_>) -> bool {
    const FLAGS_END: usize = 14;
    const KEY_ENDS: usize = 8;
    if u32::try_from(frame.bytes.len()).is_ok_and(|len| len >= frame.original_len) {
        return false;
    }
    match link::ip_datagram(frame.link, frame.bytes) {
        Ok(Some(datagram)) => ip::decode(datagram).map_or(true, |(header, payload)| {
            let is_tcp = header.protocol == ipv4::TCP;
            payload.len() < if is_tcp { FLAGS_END } else { KEY_ENDS }
        }),
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Says how many ICMP errors were cut too short to say about which probe they are.
pub(super) fn say_what_was_cut_short(name: &str, count: u64) {
    if count > 0 {
        complain(&format!(
            "{name} is cut too short to say which probe {} about, so hops that answered may be shown as *: \
             capture with a larger snap length (tcpdump -s 0)",
            if count == 1 {
                "1 ICMP error is".to_owned()
            } else {
                format!("{count} ICMP errors are")
            }
        ));
    }
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
        "{name} has no end of the run (it was cut short, or saved anew by another tool): {answers}later probes may be missing"
    )
}

/// The message for a trace without probes in the file.
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
    /// Their message.
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
            let each =
                members.iter().map(|(number, it)| format!("{number} (from {})", it.config.source));
            let sentence = format!(
                "{name}: traces {} to {} are one run over {} source addresses, with probes in one \
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
