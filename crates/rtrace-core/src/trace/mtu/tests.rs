use super::super::path::{Outcome, Probe, SizeProbe};
use super::super::reply::{Quote, Reply, ReplyKind};
use super::*;
use crate::probe::ProbeKey;
use crate::time::Timestamp;
use crate::wire::extension::Family;
use crate::wire::icmpv4;

const TARGET: [u8; 4] = [203, 0, 113, 9];

fn config() -> TraceConfig {
    let source = [192, 0, 2, 2].into();
    TraceConfig { mtu: true, ..TraceConfig::new(source, TARGET.into(), 40_000) }
}

fn icmp(icmp_type: u8, code: u8, mtu: Option<u32>) -> ReplyKind {
    ReplyKind::Icmp { family: Family::V4, icmp_type, code, mtu }
}

fn expired() -> ReplyKind {
    icmp(icmpv4::TIME_EXCEEDED, 0, None)
}

fn too_big(mtu: u32) -> ReplyKind {
    icmp(icmpv4::UNREACHABLE, icmpv4::CODE_FRAGMENTATION, Some(mtu))
}

fn router(hop: u8) -> IpAddr {
    [10, 0, 0, hop].into()
}

/// A probe to this hop, sent at this second; answered by the router of a hop, or not.
fn probe(ttl: u8, second: i64, answer: Option<(u8, ReplyKind)>) -> Probe {
    let sent = Timestamp::from_nanos(second * 1_000_000_000);
    let mut probe = Probe::new(ProbeKey { ip_id: 1, head: [0; 8] }, ttl, Some(sent), Some(1));
    probe.outcome = Outcome::Lost;
    if let Some((hop, kind)) = answer {
        let quote = Quote { ttl: (ttl + 1).saturating_sub(hop), tos: 0, total_len: 60, len: 28 };
        probe.outcome = Outcome::Answered(0);
        let (rtt, quote) = (Some(Span::ZERO), Some(quote));
        let plain = Reply::plain(router(hop), kind);
        probe.replies.push(Reply { at: sent, rtt, frame: 2, quote, ..plain });
    }
    probe
}

/// A size probe: hop, length, and who said what.
type Sent = (u8, u16, Option<(u8, ReplyKind)>);

/// A path of four routers that answer short probes, and what became of size probes one after the other.
fn path(sizers: &[Sent]) -> Path {
    let mut path = Path::new(&config(), false);
    for ttl in 1..=4 {
        path.hop_mut(ttl).unwrap().probes.push(probe(ttl, 0, Some((ttl, expired()))));
    }
    // Close together, unless a test lets time pass.
    path.size_probes = sizers
        .iter()
        .map(|(ttl, len, answer)| SizeProbe { probe: probe(*ttl, 1, *answer), len: *len })
        .collect();
    path
}

fn next(sizers: &[Sent]) -> Vec<(u8, u16)> {
    let asks = Findings::from(1_500, &path(sizers), &config()).asks;
    asks.iter().map(|ask| (ask.ttl, ask.len)).collect()
}

#[test]
fn what_comes_next_follows_from_what_was_answered() {
    let passes = |ttl| Some((ttl, expired()));
    let says = |mtu| Some((2, too_big(mtu)));
    assert_eq!(next(&[]), [(4, 1_500)], "the farthest hop, as long as the first link takes");
    assert_eq!(next(&[(4, 1_500, passes(4))]), [], "all is known");
    assert_eq!(next(&[(4, 1_500, says(1_400))]), [(4, 1_400)], "what a router says");
    assert_eq!(next(&[(4, 1_500, None)]), [(4, 1_500)], "once is not enough");
    let lost = [(4, 1_500, None), (4, 1_500, None)];
    assert_eq!(next(&lost), [(1, 1_500), (2, 1_500), (3, 1_500)], "where it vanishes");
    let mut located = lost.to_vec();
    located.extend([(1, 1_500, passes(1)), (2, 1_500, None), (2, 1_500, None), (3, 1_500, None)]);
    assert_eq!(next(&located), [(3, 1_500)]);
    located.push((3, 1_500, passes(3)));
    assert_eq!(
        next(&located),
        [(4, 61)],
        "farther than where one was lost, and is it still there?"
    );
}

/// A claim that cannot be is not believed: what was sent is halved instead, to the hop after the router that refuses.
#[test]
fn absurd_claims_fool_nobody() {
    for claim in [0, 1, 67, 1_500, 1_501, 65_535, 66_936, u32::MAX] {
        assert_eq!(next(&[(4, 1_500, Some((2, too_big(claim))))]), [(3, 1_492)], "{claim}");
    }
    for claim in [68, 576, 1_499] {
        let asked = u16::try_from(claim).unwrap();
        assert_eq!(next(&[(4, 1_500, Some((2, too_big(claim))))]), [(4, asked)]);
    }
    let prohibited = Some((2, icmp(icmpv4::UNREACHABLE, 13, None)));
    assert_eq!(next(&[(4, 1_500, prohibited)]), [(3, 1_492)], "another error is no arrival");
}

#[test]
fn a_refusal_is_placed_by_its_address_or_by_the_ttl_it_quotes() {
    let config = config();
    let place = |change: fn(&mut Reply)| {
        let mut path =
            path(&[(4, 1_500, Some((2, too_big(1_400)))), (4, 1_400, Some((4, expired())))]);
        let mut reply = path.size_probes[0].probe.replies[0].clone();
        change(&mut reply);
        path.size_probes[0].probe.replies = [reply].into_iter().collect();
        let narrowing = Findings::of(&path, &config).narrowings[0];
        (narrowing.after, narrowing.before)
    };
    assert_eq!(place(|_| {}), (Some(2), 3));
    assert_eq!(place(|it| it.responder = router(99)), (Some(2), 3), "the quoted TTL is 3 of 4");
    assert_eq!(place(|it| it.quote = None), (Some(2), 3), "the address is that of hop 2");
    let unknown = |it: &mut Reply| (it.responder, it.quote) = (router(99), None);
    assert_eq!(place(unknown), (None, 4));
}

#[test]
fn nothing_is_asked_where_nobody_answers() {
    let nobody = Path::new(&config(), false);
    assert_eq!(Findings::from(1_500, &nobody, &config()), Findings::default());
    let unasked = Findings { hop: Some(4), ..Findings::default() };
    assert_eq!(Findings::of(&path(&[]), &config()), unasked);
}

#[test]
fn what_contradicts_an_answer_is_not_believed() {
    let sizers = [(4, 1_400, Some((4, expired()))), (4, 1_500, Some((2, too_big(1_300))))];
    assert_eq!(next(&sizers), [(3, 1_450)], "1400 bytes pass, whatever the router says");
}
