//! Arbitrary frames: what a trace or watch recorded and what a forger sends, with bits turned, cut short, spliced, checksums mended or not, in whichever
//! link header and out of order, among what it sent itself.

use rtrace::time::{Span, Timestamp};
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{Engine, Event, ProbeSelector, Tracer};
use rtrace::wire::checksum::checksum;
use rtrace::wire::{Frame, LinkType, ip};

use super::attack::Run;

/// The numbers of link types that are read, and one that is not.
const LINKS: [u32; 8] = [101, 1, 113, 276, 0, 108, 9, 147];

/// A frame as it was captured.
type Captured = (Timestamp, LinkType, Vec<u8>);

/// What many frames came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hostile {
    pub frames: u64,
    /// Those that concern the trace, among them those of the run itself.
    pub recorded: u64,
    /// Replays of those that told other events.
    pub differing: u64,
}

/// About this number of frames, shown to a run.
pub fn attacked(number: u64, frames: u64) -> Hostile {
    let rounds = (!number.is_multiple_of(3)).then_some((0.05, 40));
    let run = Run::number(number, rounds);
    let own = run.outcome(false).recorded;
    let corpus =
        own.iter().map(|(_, bytes)| bytes.clone()).chain(run.forged(1_000)).collect::<Vec<_>>();
    let mut rng = fastrand::Rng::with_seed(number);
    let mut engine = engine(&run);
    let (mut concerned, mut events, mut done) = (Vec::new(), Vec::new(), Hostile::default());
    let mut now = Timestamp::default();
    let each = frames / own.len().max(1) as u64 + 1;
    for (at, bytes) in &own {
        let mut captured = (*at, LinkType::Raw, bytes.clone());
        for _ in 0..each {
            // A live run's kernel filter passes frames that begin like probes on their way out only.
            if captured.2 != *bytes && is_ours(&captured, &run) {
                captured = arbitrary(&corpus, *at, &mut rng);
                continue;
            }
            // A link's stamps never go back.
            now = now.max(captured.0);
            captured.0 = now;
            if show(&mut *engine, &captured, done.frames, &mut events) {
                concerned.push(captured);
            }
            done.frames += 1;
            captured = arbitrary(&corpus, *at, &mut rng);
        }
    }
    done.recorded = concerned.len() as u64;
    let (mut again, mut told) = (self::engine(&run), Vec::new());
    for (number, captured) in (0..).zip(&concerned) {
        show(&mut *again, captured, number, &mut told);
    }
    done.differing = u64::from(told != events);
    done
}

/// Whether the frame says that it comes from our own address.
fn is_ours((_, link, bytes): &Captured, run: &Run) -> bool {
    let datagram = rtrace::wire::link::ip_datagram(*link, bytes).ok().flatten();
    let header = datagram.and_then(|datagram| ip::decode(datagram).ok());
    header.is_some_and(|(header, _)| header.source == run.config.source)
}

fn engine(run: &Run) -> Box<dyn Engine> {
    let config = run.config.clone();
    match run.rounds {
        Some((interval, rounds)) => {
            let plan = Plan { interval, rounds: Some(rounds), until: None };
            Box::new(Rounds::passive(config, plan).unwrap())
        }
        None => Box::new(Tracer::passive(config, ProbeSelector::One).unwrap()),
    }
}

/// Whether the frame concerns the trace.
fn show(
    engine: &mut dyn Engine,
    (at, link, bytes): &Captured,
    number: u64,
    events: &mut Vec<Event>,
) -> bool {
    let frame = Frame { number, ..Frame::whole(*at, *link, bytes) };
    let concerns = engine.handle_frame(&frame).concerns_the_trace();
    while let Some((event, _)) = engine.poll_event() {
        // When a deadline passes is only seen at the next frame.
        if matches!(event, Event::Replied(..) | Event::LateReply(..) | Event::Sent(_)) {
            events.push(event);
        }
    }
    concerns
}

fn arbitrary(corpus: &[Vec<u8>], now: Timestamp, rng: &mut fastrand::Rng) -> Captured {
    let any = |rng: &mut fastrand::Rng| corpus[rng.usize(..corpus.len())].clone();
    let mut bytes = any(rng);
    match rng.u8(..8) {
        0 => bytes.truncate(rng.usize(..=bytes.len())),
        1 => {
            let other = any(rng);
            let at = rng.usize(..=bytes.len().min(other.len()));
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at..]);
        }
        2 => bytes = random(200, rng),
        3 => bytes.extend(random(1_000, rng)),
        _ => {}
    }
    for _ in 0..rng.usize(..6) {
        if !bytes.is_empty() {
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.u8(..8);
        }
    }
    if rng.bool() {
        mend(&mut bytes);
    }
    let link = if rng.u8(..8) == 0 { LINKS[rng.usize(..LINKS.len())] } else { 101 };
    let at = now.after(Span::from_micros(rng.i64(-500..500)));
    (at, LinkType::from_number(link), bytes)
}

/// Fewer than this number of octets.
fn random(most: usize, rng: &mut fastrand::Rng) -> Vec<u8> {
    let len = rng.usize(..most);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// Rights the checksums of IPv4 and ICMP, where they are such.
fn mend(bytes: &mut [u8]) {
    let [0x45, ..] = bytes else { return };
    let Some((head, body)) = bytes.split_at_mut_checked(20) else { return };
    head[10..12].fill(0);
    let sum = checksum(head);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    if head[9] == 1 && body.len() >= 8 {
        body[2..4].fill(0);
        let sum = checksum(body);
        body[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}
