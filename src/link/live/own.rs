//! Frames of this host to itself, which nobody on the path sent. With one target the filter drops them, with several
//! this module does.
//!
//! An incoming frame with an address of ours as its source is neither a probe nor an answer: it is forged or
//! reflected. An ICMP error from an address of ours to itself says that a probe did not leave, unless the probe was
//! addressed to it.

use std::net::IpAddr;

use crate::wire::{ip, quoted};

/// Whether a datagram is such a frame; `sources` are our addresses, in order.
pub(super) fn is_of_this_host(datagram: &[u8], outgoing: bool, sources: &[IpAddr]) -> bool {
    let Ok((header, payload)) = ip::decode(datagram) else { return false };
    let is_ours = sources.binary_search(&header.source).is_ok();
    if !is_ours || !outgoing {
        return is_ours;
    }
    if header.source != header.destination || !header.is_icmp() || !header.is_first {
        return false;
    }
    let message = ip::icmp(header.family(), payload).ok().filter(|message| message.quotes);
    message.is_some_and(|message| {
        let quoted = quoted::decode(message.body);
        quoted.is_ok_and(|quoted| quoted.header.destination != header.source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 4] = [10, 0, 0, 1];
    const OTHER: [u8; 4] = [192, 0, 2, 9];

    /// A datagram without payload.
    fn header(protocol: u8, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        [&[0x45, 0, 0, 20, 0, 0, 0, 0, 9, protocol, 0, 0][..], &from, &to].concat()
    }

    /// An ICMP message that quotes a datagram from us to `target`.
    fn icmp(kind: u8, from: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let quote = [header(17, OURS, target), vec![0; 8]].concat();
        let mut bytes = [header(1, from, OURS), vec![kind, 1, 0, 0, 0, 0, 0, 0], quote].concat();
        bytes[3] = u8::try_from(bytes.len()).unwrap();
        bytes
    }

    #[test]
    fn what_comes_in_from_us_and_what_we_say_to_us_is_known() {
        let ours = [OURS.into(), [10, 0, 0, 5].into()];
        for (what, bytes, outgoing, expect) in [
            ("a probe", header(17, OURS, OTHER), true, false),
            ("a probe that came back", header(17, OURS, OTHER), false, true),
            ("a probe to us", header(17, OURS, OURS), true, false),
            ("an answer", header(17, OTHER, OURS), false, false),
            ("a router's error", icmp(3, OTHER, OTHER), false, false),
            ("an error of ours about another", icmp(3, OURS, OTHER), true, true),
            ("an error of ours about us", icmp(3, OURS, OURS), true, false),
            ("an error of another address of ours", icmp(3, [10, 0, 0, 5], OTHER), true, false),
            ("an echo reply of ours", icmp(0, OURS, OTHER), true, false),
            ("an error without a quote", icmp(3, OURS, OTHER)[..28].to_vec(), true, false),
            ("nothing", Vec::new(), false, false),
        ] {
            assert_eq!(is_of_this_host(&bytes, outgoing, &ours), expect, "{what}");
        }
    }
}
