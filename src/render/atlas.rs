//! The report as a traceroute result of RIPE Atlas, in its data structure 5000: one object on one line.
//!
//! The form is that of <https://atlas.ripe.net/docs/apis/measurement-result-format/>, and where that is
//! silent of the probes' own measurement code. `ripe.atlas.sagan` reads it. What only a probe has
//! (`msm_id`, `prb_id`) is 0, and `lts` -1 says that nothing is known of the clock. The reply that
//! settled a probe comes first, further ones carry `dup` or `late`: the number of probes that had been
//! sent since. They stay with the hop of their probe. Replies past the end of the path are left out, as
//! advice (redirects) is.

use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::rows::{self, Millis, ProbeTraits, Said};
use super::{Renderer, View};
use crate::time::Timestamp;
use crate::trace::{Hop, Probe, Reply, ReplyKind};
use crate::untrusted::Untrusted;
use crate::wire::extension::{Extension, Family, LabelStackEntry, Object};
use crate::wire::ip;
use crate::wire::tcp::Flags;

/// The firmware, and the measurement code in it, whose results have this form.
const FIRMWARE: (u32, &str) = (5_080, "2.6.2");

/// The RIPE Atlas result.
pub struct Atlas<W> {
    out: W,
}

impl<W: Write> Atlas<W> {
    /// A result to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> Renderer for Atlas<W> {
    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, &Measured::of(view))?;
        writeln!(self.out)?;
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Measured<'a> {
    fw: u32,
    mver: &'static str,
    lts: i32,
    /// 0 of a capture that has no times: `ripe.atlas.sagan` refuses a result without this, but not one without the end.
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    endtime: Option<i64>,
    #[serde(rename = "type")]
    kind: &'static str,
    msm_id: u32,
    msm_name: &'static str,
    prb_id: u32,
    from: IpAddr,
    src_addr: IpAddr,
    dst_addr: IpAddr,
    dst_name: &'a Untrusted,
    af: u8,
    proto: &'static str,
    size: u16,
    paris_id: u16,
    destination_ip_responded: bool,
    result: Vec<HopResult>,
}

#[derive(Serialize)]
struct HopResult {
    hop: u8,
    result: Vec<Packet>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Packet {
    Lost { x: &'static str },
    Reply(Box<ReplyPacket>),
}

#[derive(Serialize)]
struct ReplyPacket {
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dup: Option<bool>,
    from: IpAddr,
    ttl: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<Millis>,
    /// Not of Atlas: why there is no RTT, where a step of the clock took it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    clock_fault: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ittl: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    err: Option<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmpext: Option<Multipart>,
}

/// Why a probe did not get through: a letter, or the code for which there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Fault {
    Letter(&'static str),
    Code(u8),
    Other(String),
}

#[derive(Serialize)]
struct Multipart {
    version: u8,
    rfc4884: u8,
    obj: Vec<ObjectRow>,
}

#[derive(Serialize)]
struct ObjectRow {
    class: u8,
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    mpls: Option<Vec<StackEntry>>,
}

#[derive(Serialize)]
struct StackEntry {
    label: u32,
    exp: u8,
    s: u8,
    ttl: u8,
}

impl<'a> Measured<'a> {
    fn of(view: View<'a>) -> Self {
        let View { config, path, .. } = view;
        let probes = || path.probes().map(|(_, probe)| probe);
        let mut sent: Vec<Timestamp> = probes().filter_map(rows::sent).map(|(at, _)| at).collect();
        sent.sort_unstable();
        let replies = probes().flat_map(|probe| &probe.replies);
        let replies = replies.filter_map(|reply| reply.at.known());
        let stamps = || sent.iter().copied().chain(replies.clone());
        let (target, probe_type) = (config.target, ProbeTraits::of(config));
        let (fw, mver) = FIRMWARE;
        let reported = || path.reported().iter();
        let answers = reported().flat_map(|hop| &hop.probes).filter_map(Probe::answer);
        Self {
            fw,
            mver,
            lts: -1,
            timestamp: stamps().min().map_or(0, seconds),
            endtime: stamps().max().map(seconds),
            kind: "traceroute",
            msm_id: 0,
            msm_name: "Traceroute",
            prb_id: 0,
            from: config.source,
            src_addr: config.source,
            dst_addr: target,
            dst_name: &config.target_name,
            af: if target.is_ipv4() { 4 } else { 6 },
            proto: probe_type.atlas,
            size: config.packet_len.saturating_sub(probe_type.headers_len),
            paris_id: 0,
            destination_ip_responded: answers
                .into_iter()
                .any(|reply| reply.responder == target && !reply.kind.in_transit()),
            result: reported().map(|hop| HopResult::of(hop, &probe_type, &sent)).collect(),
        }
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.nanos().div_euclid(1_000_000_000)
}

impl HopResult {
    /// `sent` has the times of all probes, in order.
    fn of(hop: &Hop, probe_type: &ProbeTraits, sent: &[Timestamp]) -> Self {
        let packets = |probe| packets(probe, probe_type, sent);
        Self { hop: hop.ttl, result: hop.probes.iter().flat_map(packets).collect() }
    }
}

/// The reply that settled a probe or the mark of its loss, and then every further reply.
fn packets(probe: &Probe, probe_type: &ProbeTraits, sent: &[Timestamp]) -> Vec<Packet> {
    let answer = probe.answer();
    let is_answer = |reply: &Reply| answer.is_some_and(|answer| std::ptr::eq(answer, reply));
    let further = |reply: &&Reply| !is_answer(reply) && !reply.kind.is_advice();
    let since = |reply: &Reply| {
        let before = |at: Timestamp| sent.partition_point(|sent| *sent <= at);
        let own = rows::sent(probe).map_or(0, |(at, _)| before(at));
        before(reply.at).saturating_sub(own)
    };
    let reply_packet = |reply: &Reply| {
        let packet = match (is_answer(reply), reply.late) {
            (true, _) => ReplyPacket::of(reply, probe_type),
            (false, false) => ReplyPacket { dup: Some(true), ..ReplyPacket::of(reply, probe_type) },
            (false, true) => ReplyPacket {
                late: Some(since(reply)),
                rtt: None,
                ..ReplyPacket::of(reply, probe_type)
            },
        };
        Packet::Reply(Box::new(packet))
    };
    let first = answer.map_or(Packet::Lost { x: "*" }, reply_packet);
    let further = probe.replies.iter().filter(further).map(reply_packet);
    std::iter::once(first).chain(further).collect()
}

impl ReplyPacket {
    fn of(reply: &Reply, probe_type: &ProbeTraits) -> Self {
        let extension = reply.extension.as_deref().filter(|extension| extension.credible());
        Self {
            late: None,
            dup: None,
            from: reply.responder,
            ttl: reply.ttl,
            rtt: reply.measured().map(Millis),
            clock_fault: reply.clock_fault,
            size: reply.len,
            flags: flags(reply.kind),
            ittl: reply.quote.map(|quote| quote.ttl).filter(|ttl| *ttl != 1),
            mtu: Said::by(reply.kind).mtu,
            err: fault(reply.kind, probe_type.echo),
            icmpext: extension.map(Multipart::of),
        }
    }
}

/// The probes' code knows time exceeded and unreachable only; anything else is named type-code here.
/// A port that is unreachable is what a UDP or TCP probe hopes for, but is a fault for an ICMP one.
fn fault(kind: ReplyKind, echo: bool) -> Option<Fault> {
    let ReplyKind::Icmp { family, icmp_type, code, mtu } = kind else { return None };
    if icmp_type == ip::time_exceeded(family) || mtu.is_some() {
        return None;
    }
    if kind.delivered() && !echo {
        return None;
    }
    if icmp_type != ip::unreachable(family) {
        return Some(Fault::Other(format!("{icmp_type}-{code}")));
    }
    let letters = match family {
        Family::V4 => LETTERS_V4,
        Family::V6 => LETTERS_V6,
    };
    let letter = letters.iter().find(|(known, _)| *known == code);
    Some(letter.map_or(Fault::Code(code), |(_, letter)| Fault::Letter(letter)))
}

/// Codes of destination unreachable that the probes have a letter for.
const LETTERS_V4: &[(u8, &str)] = &[(0, "N"), (1, "H"), (2, "P"), (3, "p"), (13, "A")];
const LETTERS_V6: &[(u8, &str)] = &[(0, "N"), (1, "A"), (2, "h"), (3, "H"), (4, "p")];

/// The control bits of a TCP answer, a letter each, as the probes write them: "SA".
fn flags(kind: ReplyKind) -> Option<String> {
    const LETTERS: [(Flags, char); 6] = [
        (Flags::FIN, 'F'),
        (Flags::SYN, 'S'),
        (Flags::RST, 'R'),
        (Flags::PSH, 'P'),
        (Flags::ACK, 'A'),
        (Flags::URG, 'U'),
    ];
    let ReplyKind::Answer { tcp_flags: Some(flags) } = kind else { return None };
    Some(LETTERS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, it)| it).collect())
}

impl Multipart {
    fn of(extension: &Extension) -> Self {
        let obj = extension.objects.iter().map(ObjectRow::of).collect();
        Self { version: 2, rfc4884: extension.compliant.into(), obj }
    }
}

impl ObjectRow {
    fn of(object: &Object) -> Self {
        let label = |entry: &LabelStackEntry| StackEntry {
            label: entry.label,
            exp: entry.tc,
            s: entry.bottom.into(),
            ttl: entry.ttl,
        };
        let mpls = match object {
            Object::MplsLabelStack(entries) => Some(entries.iter().map(label).collect()),
            Object::InterfaceInformation(_) | Object::Unknown { .. } => None,
        };
        Self { class: object.class(), kind: object.c_type(), mpls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::path::Outcome;
    use crate::wire::icmpv4;

    #[test]
    fn label_stacks_are_as_the_probes_write_them() {
        let bytes = b"\x20\0\0\0\0\x08\x01\x01\x05\xdc\x13\x01\0\x06\x09\x02ab";
        let extension = Extension::decode(bytes, true).unwrap();
        let expected = r#"{"version":2,"rfc4884":1,"obj":[{"class":1,"type":1,"mpls":[{"label":24001,"exp":1,"s":1,"ttl":1}]},{"class":9,"type":2}]}"#;
        assert_eq!(serde_json::to_string(&Multipart::of(&extension)).unwrap(), expected);
    }

    #[test]
    fn further_replies_are_marked() {
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        let plain = Reply::plain([192, 0, 2, 1].into(), ReplyKind::Answer { tcp_flags: None });
        let reply = |millis, late| {
            let (at, rtt) = (at(millis), Some(at(millis).since(at(1))));
            Reply { at, rtt, len: Some(28), late, ..plain.clone() }
        };
        let probe_type = ProbeTraits { atlas: "UDP", scamper: "udp", headers_len: 28, echo: false };
        let sent = [1, 2, 3, 9].map(at);
        for (outcome, replies, expected) in [
            (
                Outcome::Answered(0),
                vec![reply(3, false), reply(4, false)],
                r#"[{"from":"192.0.2.1","ttl":64,"rtt":2.0,"size":28},{"dup":true,"from":"192.0.2.1","ttl":64,"rtt":3.0,"size":28}]"#,
            ),
            (
                Outcome::Lost,
                vec![reply(5, true)],
                r#"[{"x":"*"},{"late":2,"from":"192.0.2.1","ttl":64,"size":28}]"#,
            ),
        ] {
            let replies = replies.into_iter().collect();
            let probe = Probe { outcome, replies, ..Probe::sent_at(at(1)) };
            let packets = packets(&probe, &probe_type, &sent);
            assert_eq!(serde_json::to_string(&packets).unwrap(), expected);
        }
    }

    #[test]
    fn faults_are_those_of_the_probes() {
        let code = |icmp_type, code| ReplyKind::Icmp {
            family: Family::V4,
            icmp_type,
            code,
            mtu: (code == 4).then_some(1_400),
        };
        let expected = ["\"N\"", "\"H\"", "\"P\"", "null", "null", "5"];
        for (number, expected) in (0..).zip(expected) {
            let fault = fault(code(icmpv4::UNREACHABLE, number), false);
            assert_eq!(serde_json::to_string(&fault).unwrap(), expected, "{number}");
        }
        for (kind, echo, expected) in [
            (code(icmpv4::UNREACHABLE, 3), true, Some(Fault::Letter("p"))),
            (code(icmpv4::UNREACHABLE, 13), true, Some(Fault::Letter("A"))),
            (code(icmpv4::TIME_EXCEEDED, 1), false, None),
            (code(12, 0), false, Some(Fault::Other("12-0".into()))),
            (ReplyKind::Answer { tcp_flags: None }, true, None),
        ] {
            assert_eq!(fault(kind, echo), expected);
        }
    }
}
