//! What hosts answer, over IPv4 and IPv6.

use super::super::family::Rules;
use super::words::{FAMILIES, alone, dual, open, said, send, target, udp};
use super::*;
use crate::wire::extension::Family;
use crate::wire::ipv4::UDP_LITE;
use crate::wire::tcp::{self, Flags};

#[test]
fn hosts_answer_each_protocol_in_both_families() {
    for family in FAMILIES {
        let rules = Rules::of(family);
        let open_ports = Ports::Only(vec![53, 80]);
        let net = || {
            let host = Node { ports: open_ports.clone(), ..Node::host() };
            alone(dual(1)).target(host)
        };
        let ask_net =
            |protocol, message: &[u8]| ask(net(), send(family, protocol, 9, message)).pop();
        // The ICMP error with which these are refused.
        let sctp = [0x30, 0x39, 0, 80, 0, 0, 0, 9];
        let protocol = match family {
            Family::V4 => ((3, 2), [0; 4]),
            Family::V6 => ((4, 1), [0, 0, 0, 6]),
        };
        let mut partly = udp(33434, 40);
        datagram::put(&mut partly, 4, &[0, 8]);
        for (number, message, wanted) in [
            (UDP, udp(33434, 40), (rules.port, [0; 4])),
            (UDP_LITE, udp(33434, 40), (rules.port, [0; 4])),
            (UDP_LITE, partly.clone(), (rules.port, [0; 4])),
            (132, sctp.to_vec(), protocol),
        ] {
            let reply = ask_net(number, &message).unwrap();
            let (icmp, rest, quote, _) = said(&reply);
            assert_eq!((icmp, rest), wanted, "{number}");
            assert!(quote.ends_with(&message[8..]), "{number}");
        }
        datagram::put(&mut partly, 4, &[0, 7]);
        assert_eq!(ask_net(UDP_LITE, &partly), None, "a coverage under 8 is discarded");
        // Echo, open ports.
        let echo = [rules.echo_request, 0, 0, 0, 0x12, 0x34, 0, 1, 0xaa];
        let reply = ask_net(rules.icmp, &echo).unwrap();
        let (header, message) = open(&reply);
        assert_eq!((header.source, header.ttl), (target(family), 63));
        assert_eq!((message[0], &message[4..]), (rules.echo_reply, &echo[4..]));
        assert_eq!(open(&ask_net(UDP_LITE, &udp(80, 40)).unwrap()).1[..4], [0, 80, 0xbe, 0xef]);
        let mut query = udp(53, 8 + 17);
        let question = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
        datagram::put(&mut query, 8, &question);
        let reply = ask_net(UDP, &query).unwrap();
        let response = &open(&reply).1[8..];
        assert_eq!(response[..4], [0x12, 0x34, 0x81, 0x80]);
        assert_eq!(response[4..], question[4..]);
        assert_eq!(ask_net(UDP, &udp(53, 19)), None, "no query");
    }
}

#[test]
fn tcp_ports_answer_as_rfc_9293_says() {
    let segment = |port: u16, flags: Flags| {
        let mut bytes = vec![0x30, 0x39, 0, 0, 0, 0, 0, 9, 0, 0, 0, 77, 0x50, flags.0];
        datagram::put(&mut bytes, 2, &port.to_be_bytes());
        bytes.extend([0; 6]);
        bytes
    };
    let reset = (Flags::RST | Flags::ACK, 0);
    for (port, flags, wanted) in [
        (80, Flags::SYN, Some((Flags::SYN | Flags::ACK, !9, 10))),
        (81, Flags::SYN, Some((reset.0, 0, 10))),
        (81, Flags::FIN | Flags::SYN, Some((reset.0, 0, 11))),
        (81, Flags(0), Some((reset.0, 0, 9))),
        (80, Flags::ACK, Some((Flags::RST, 77, 0))),
        (81, Flags::ACK, Some((Flags::RST, 77, 0))),
        (80, Flags::SYN | Flags::ACK, Some((Flags::RST, 77, 0))),
        (80, Flags(0), None),
        (81, Flags::RST, None),
    ] {
        for family in FAMILIES {
            let host = Node { ports: Ports::Only(vec![80]), ..Node::host() };
            let sent = send(family, TCP, 9, &segment(port, flags));
            let reply = ask(alone(dual(1)).target(host), sent).pop();
            let said = reply.as_deref().map(|reply| {
                let segment = tcp::decode(open(reply).1).unwrap();
                let control = segment.control.unwrap();
                assert_eq!((segment.source_port, segment.destination_port), (port, 0x3039));
                assert_eq!(usize::from(control.header_len), 20 + segment.option_bytes.len());
                (control.flags, segment.sequence, control.acknowledgment)
            });
            assert_eq!(said, wanted, "{port} {flags}");
        }
    }
}
