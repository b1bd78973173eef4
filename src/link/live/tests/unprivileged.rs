//! The link without privilege: what the kernel reports becomes the frames that a capture would have shown.

use super::every_probe::{CLOSED_PORT, TARGETS, craft, with_a_neighbour};
use super::*;
use crate::wire::extension::Family;
use crate::wire::ip::IpHeader;
use crate::wire::{icmpv4, icmpv6, ip as datagram, quoted};

fn open_sockets(config: &LiveConfig) -> LiveLink {
    LiveLink::open_unprivileged(config, Stamping::ask()).unwrap()
}

/// The next frame: its octets, stamp and evidence.
fn next_made(live: &mut LiveLink) -> (Vec<u8>, Timestamp, Evidence) {
    let until = live.now().after(Span::from_secs_f64(60.0));
    loop {
        match live.receive(Some(until)).unwrap() {
            Received::Frame(frame) => {
                assert_eq!(
                    (frame.link, frame.original_len as usize),
                    (LinkType::Raw, frame.bytes.len())
                );
                return (frame.bytes.to_vec(), frame.at, frame.evidence);
            }
            Received::Woken => {}
            other => panic!("no frame but {other:?}"),
        }
    }
}

#[test]
fn probes_are_given_as_they_left_and_their_answers_as_far_as_they_are_known() {
    with_a_neighbour(|| {
        let range = "/proc/sys/net/ipv4/ping_group_range";
        std::fs::write(range, "0 2147483647").unwrap();
        for (target, zone) in TARGETS {
            let target: IpAddr = target.parse().unwrap();
            for protocol in [ipv4::UDP, datagram::icmp_protocol(Family::of(target))] {
                let config = config(target, zone, None, protocol);
                let mut live = open_sockets(&config);
                assert_eq!(live.evidence(), Evidence::Reconstructed);
                assert!(live.lacking().is_empty(), "{:?}", live.lacking());
                let ours = craft(&config, live.ident(0), CLOSED_PORT);
                live.send(&Transmit { destination: target, datagram: &ours }).unwrap();
                let (probe, sent, evidence) = next_made(&mut live);
                assert_eq!(evidence, Evidence::Captured);
                let (crafted, body) = datagram::decode(&ours).unwrap();
                let (header, payload) = datagram::decode(&probe).unwrap();
                assert_eq!(payload, body, "{target} {protocol}");
                let mut expected = crafted;
                expected.id = header.id; // which is the kernel's
                assert_eq!(header, expected);
                let (reply, at, evidence) = next_made(&mut live);
                assert_eq!(evidence, Evidence::Reconstructed);
                assert!(at > sent);
                let (header, payload) = datagram::decode(&reply).unwrap();
                assert_eq!((header.source, header.destination), (target, crafted.source));
                assert_eq!(header.ttl, 64);
                let icmp = datagram::icmp(header.family(), payload).unwrap();
                if protocol == ipv4::UDP {
                    let unreachable = datagram::unreachable(header.family());
                    let code = if target.is_ipv4() { icmpv4::CODE_PORT } else { icmpv6::CODE_PORT };
                    assert_eq!((icmp.icmp_type, icmp.code), (unreachable, code));
                    let (quoted, rest) = icmp.body.split_at(icmp.body.len() - body.len());
                    assert_eq!(rest, body, "the whole probe is quoted");
                    let IpHeader { source, destination, protocol, ttl, .. } =
                        quoted::decode(quoted).unwrap().header;
                    assert_eq!(
                        (source, destination, protocol, ttl),
                        (crafted.source, target, ipv4::UDP, 0)
                    );
                } else {
                    assert_eq!(icmp.echo_reply, Some((live.ident(0), 7)));
                    assert!(datagram::icmp_checksum_is_right(&header, payload));
                }
                let now = live.now();
                let quiet = live.receive(Some(now)).unwrap();
                assert!(matches!(quiet, Received::Quiet(_)), "{quiet:?}");
            }
        }
    });
}
