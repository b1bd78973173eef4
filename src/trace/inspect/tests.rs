use super::*;
use crate::probe::{Flow, FlowMode, ProbeType, craft};

fn probe(kind: ProbeType) -> Vec<u8> {
    let (source, target) = ([192, 0, 2, 2].into(), [203, 0, 113, 9].into());
    let flow = Flow { source, target, probe: kind, ident: 40_000 };
    let config = TraceConfig { flow_mode: FlowMode::Classic, ..TraceConfig::of_flow(&flow) };
    let mut bytes = Vec::new();
    craft::craft(&config.spec(4), &mut bytes);
    bytes
}

fn compared(sent: &[u8], quoted: &[u8]) -> Comparison {
    let at = ProbeRef { ttl: 2, query: 1 };
    compare(sent, quoted, at, [10, 0, 0, 1].into(), true).unwrap()
}

fn fields(it: &Comparison) -> Vec<&'static str> {
    it.differences.iter().map(|difference| difference.field).collect()
}

#[test]
fn what_is_quoted_as_it_was_sent_shows_no_change() {
    for kind in [ProbeType::Udp, ProbeType::TcpSyn, ProbeType::IcmpEcho] {
        let sent = probe(kind);
        for len in [28, 40, sent.len()] {
            let mut quoted = sent[..len].to_vec();
            quoted[8] = 1;
            assert_eq!(fields(&compared(&sent, &quoted)), [""; 0], "{kind:?} {len}");
        }
    }
}

/// Octets of the quote, and what that is a change of.
#[test]
fn every_field_has_its_name() {
    let changes: [(ProbeType, usize, &[&str]); 12] = [
        (ProbeType::Udp, 1, &["DSCP", "ECN"]),
        (ProbeType::Udp, 2, &["total length"]),
        (ProbeType::Udp, 5, &["identification"]),
        (ProbeType::Udp, 6, &["flags", "fragment offset"]),
        (ProbeType::Udp, 13, &[SOURCE]),
        (ProbeType::Udp, 19, &[DESTINATION]),
        (ProbeType::Udp, 21, &["source port"]),
        (ProbeType::Udp, 27, &[CHECKSUM]),
        (ProbeType::Udp, 40, &[PAYLOAD]),
        (ProbeType::TcpSyn, 25, &["sequence number"]),
        (ProbeType::TcpSyn, 43, &["MSS", "TCP options"]),
        (ProbeType::IcmpEcho, 27, &["sequence number"]),
    ];
    for (kind, octet, expected) in changes {
        let sent = probe(kind);
        let mut quoted = sent.clone();
        quoted[octet] ^= 0xff;
        // A fragment's payload is that of no header: the rest of the header is what counts here.
        assert_eq!(fields(&compared(&sent, &quoted)), expected, "{kind:?} {octet}");
    }
}

#[test]
fn a_checksum_that_nat_adjusted_fits() {
    let sent = probe(ProbeType::Udp);
    let mut quoted = sent[..28].to_vec();
    quoted[12..16].copy_from_slice(&[198, 51, 100, 7]);
    quoted[20..22].copy_from_slice(&[4, 1]);
    assert_eq!(fields(&compared(&sent, &quoted)), [SOURCE, "source port"]);
    let mut whole = quoted.clone();
    whole.extend_from_slice(&sent[28..]);
    whole[26..28].fill(0);
    let sum = transport([198, 51, 100, 7].into(), [203, 0, 113, 9].into(), ipv4::UDP, &whole[20..]);
    quoted[26..28].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(compared(&sent, &quoted).checksum_fits, Some(true));
    quoted[27] ^= 1;
    assert_eq!(compared(&sent, &quoted).checksum_fits, Some(false));
}
