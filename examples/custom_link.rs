//! A link of one's own: `cargo run --example custom_link`. It is a network in which the target is next door and answers each
//! probe after a millisecond with "port unreachable". A real one would read and write a tunnel, say.

use std::collections::VecDeque;
use std::error::Error;

use rtrace::driver::{self, Observer};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::{Engine, TraceConfig, Tracer};
use rtrace::wire::checksum::checksum;
use rtrace::wire::{Frame, LinkType};

struct Nobody;
impl Observer for Nobody {}

/// Frames that are captured, each at its time.
#[derive(Default)]
struct NextDoor {
    now: Timestamp,
    coming: VecDeque<(Timestamp, Vec<u8>)>,
    frame: Vec<u8>,
}

/// The ICMP error about a datagram (RFC 792): destination unreachable, port unreachable, and all of the datagram.
fn port_unreachable(probe: &[u8]) -> Vec<u8> {
    let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
    error.extend_from_slice(probe);
    let sum = checksum(&error).to_be_bytes();
    error[2..4].copy_from_slice(&sum);
    let length = u16::try_from(20 + error.len()).expect("a short one").to_be_bytes();
    let mut datagram = vec![0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, 1, 0, 0];
    datagram.extend([&probe[16..20], &probe[12..16]].concat());
    let sum = checksum(&datagram).to_be_bytes();
    datagram[10..12].copy_from_slice(&sum);
    datagram.extend(error);
    datagram
}

impl Link for NextDoor {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.coming.push_back((self.now, transmit.datagram.to_vec()));
        let reply = port_unreachable(transmit.datagram);
        self.coming.push_back((self.now.after(Span::from_millis(1)), reply));
        self.coming.make_contiguous().sort_by_key(|(at, _)| *at);
        Ok(())
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        let next = self.coming.front().map(|(at, _)| *at);
        match (next, until) {
            // No frame comes before then.
            (next, Some(until)) if next.is_none_or(|next| next > until) => {
                self.now = self.now.max(until);
                Ok(Received::Quiet(until))
            }
            (None, _) => Ok(Received::End),
            (Some(_), _) => {
                let (at, bytes) = self.coming.pop_front().expect("there is a next one");
                (self.now, self.frame) = (at, bytes);
                let (link, bytes) = (LinkType::Raw, &self.frame[..]);
                Ok(Received::Frame(Frame::whole(at, link, bytes)))
            }
        }
    }
}

/// Traces a target through it.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let config = TraceConfig::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), 54_321);
    let mut tracer = Tracer::new(config)?;
    driver::run(&mut tracer, &mut NextDoor::default(), &mut Nobody)?;
    println!("target reached: {}, at TTL {:?}", tracer.reached(), tracer.path().last_ttl());
    assert!(tracer.reached());
    Ok(())
}
