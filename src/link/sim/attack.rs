//! A blind attacker: somebody elsewhere who knows the prober's and the target's address, sees nothing of what they say to
//! each other, and sends answers from the target's address, trying port after port and number after number.

use std::net::IpAddr;

use serde::Deserialize;

use super::datagram::{Envelope, put};
use super::family::Rules;
use super::values::Time;
use crate::time::{Span, Timestamp};
use crate::wire::ipv4::{TCP, UDP};
use crate::wire::tcp::Flags;

/// What an attacker sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForgedAnswer {
    /// A UDP datagram.
    Udp,
    /// An echo reply.
    EchoReply,
    /// A segment with SYN and ACK.
    SynAck,
    /// A segment with RST and ACK.
    Reset,
}

/// What an attacker does from the first probe on, and does not cease to.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "AttackKeys")]
pub struct Attack {
    /// What is sent.
    pub answer: ForgedAnswer,
    /// To which ports of the prober, or with which identifiers: from the first to the last, and again.
    pub ports: (u16, u16),
    /// For each of these with which numbers: ports of the target that UDP comes from, sequence numbers of an echo, or of
    /// the SYN that a segment acknowledges.
    pub numbers: (u32, u32),
    /// The port of the target that segments come from.
    pub from_port: u16,
    /// How many are sent in a second.
    pub rate: f64,
    /// How long after the first probe it begins.
    pub after: Span,
}

/// An [`Attack`] as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttackKeys {
    answer: ForgedAnswer,
    ports: [u16; 2],
    numbers: [u32; 2],
    #[serde(default = "http")]
    from_port: u16,
    rate: f64,
    after: Option<Time>,
}

fn http() -> u16 {
    80
}

impl TryFrom<AttackKeys> for Attack {
    type Error = String;

    fn try_from(keys: AttackKeys) -> Result<Self, String> {
        let (ports, numbers) = (keys.ports, keys.numbers);
        if ports[0] > ports[1] || numbers[0] > numbers[1] {
            return Err("`ports` and `numbers` are each a first and a last".to_owned());
        }
        if !(keys.rate > 0.0 && keys.rate <= 1e6) {
            return Err("`rate` is above 0, at most 1000000 a second".to_owned());
        }
        Ok(Self {
            answer: keys.answer,
            ports: ports.into(),
            numbers: numbers.into(),
            from_port: keys.from_port,
            rate: keys.rate,
            after: keys.after.map_or(Span::ZERO, |time| time.0),
        })
    }
}

/// An attack on a prober that has shown itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attacker {
    attack: Attack,
    prober: IpAddr,
    target: IpAddr,
    began: Timestamp,
    sent: u32,
}

impl Attacker {
    pub(super) fn new(attack: Attack, prober: IpAddr, target: IpAddr, now: Timestamp) -> Self {
        Self { attack, prober, target, began: now.after(attack.after), sent: 0 }
    }

    /// When the next one arrives.
    pub(super) fn next_at(&self) -> Timestamp {
        self.began.after(Span::from_secs_f64(f64::from(self.sent) / self.attack.rate))
    }

    /// The next one.
    pub(super) fn forge(&mut self) -> Vec<u8> {
        let Attack { answer, ports, numbers, from_port, .. } = self.attack;
        let count = u64::from(numbers.1 - numbers.0) + 1;
        let (round, number) = (u64::from(self.sent) / count, u64::from(self.sent) % count);
        let port = round % (u64::from(ports.1 - ports.0) + 1);
        let port = u16::try_from(u64::from(ports.0) + port).unwrap_or(ports.1);
        let number = u32::try_from(u64::from(numbers.0) + number).unwrap_or(numbers.1);
        self.sent = self.sent.saturating_add(1);
        let rules = Rules::for_address(self.target);
        let (protocol, message) = match answer {
            ForgedAnswer::Udp => (UDP, udp(number, port)),
            ForgedAnswer::EchoReply => (rules.icmp, echo_reply(rules.echo_reply, port, number)),
            ForgedAnswer::SynAck => (TCP, segment(from_port, port, number, Flags::SYN)),
            ForgedAnswer::Reset => (TCP, segment(from_port, port, number, Flags::RST)),
        };
        let (source, destination) = (self.target, self.prober);
        Envelope { source, destination, protocol, tos: 0, id: 0, ttl: 55 }.seal(message)
    }
}

fn udp(from: u32, to: u16) -> Vec<u8> {
    let mut message = b"________no answer of the target".to_vec();
    put(&mut message, 0, &from.to_be_bytes()[2..]);
    put(&mut message, 2, &to.to_be_bytes());
    let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
    put(&mut message, 4, &len.to_be_bytes());
    put(&mut message, 6, &[0, 0]);
    message
}

fn echo_reply(kind: u8, identifier: u16, sequence: u32) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(&sequence.to_be_bytes()[2..]);
    message
}

fn segment(from: u16, to: u16, number: u32, flag: Flags) -> Vec<u8> {
    let mut message = from.to_be_bytes().to_vec();
    message.extend(to.to_be_bytes());
    message.extend(7_u32.to_be_bytes());
    message.extend(number.wrapping_add(1).to_be_bytes());
    message.extend([5 << 4, (flag | Flags::ACK).0]);
    message.extend([0; 6]);
    message
}
