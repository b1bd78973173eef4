//! The hot paths: crafting a probe, decoding a frame, correlating it, deciding what to send, replaying a
//! capture of a million frames; and what each of them allocates.
//!
//! `cargo bench --bench hot`. The allocations come first, and are not timed. The last group reports frames
//! per second over a file on disk, read as `rtrace replay` reads it: once to find the trace, once to
//! report it.

#[path = "../shared/counting.rs"]
#[expect(dead_code, reason = "each bench counts what it is about")]
mod counting;
mod steady;

use std::hint::black_box;
use std::io::{Seek, Write};
use std::net::IpAddr;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rtrace::capture::{CaptureReader, Format, Interface, Item, Recording};
use rtrace::driver::{self, Observer};
use rtrace::enrich::names::Names;
use rtrace::link::replay::ReplayLink;
use rtrace::link::sim::{SimLink, Topology};
use rtrace::probe::craft;
use rtrace::probe::{FlowMode, ProbeType};
use rtrace::render::View;
use rtrace::render::json::Json;
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::survey::Survey;
use rtrace::trace::{Disposition, Engine, Path, ProbeSelector, TraceConfig, Tracer};
use rtrace::wire::{Frame, LinkType, ipv4, link};

const FRAMES: u64 = 1_000_000;
/// By then every hop is asked if nothing has answered.
const SILENT: Timestamp = Timestamp::from_nanos(2_000_000_000);

/// Keeps copies of the frames that concern the trace.
#[derive(Default)]
struct Keep(Vec<(Timestamp, Vec<u8>)>);

impl Observer for Keep {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if disposition.concerns_the_trace() {
            self.0.push((frame.at, frame.bytes.to_vec()));
        }
    }
}

/// The frames of one trace through the built-in network, with their stamps.
fn traced() -> (TraceConfig, Vec<(Timestamp, Vec<u8>)>) {
    let topology = Topology::builtin();
    let config = TraceConfig::new(topology.source().into(), IpAddr::from([203, 0, 113, 9]), 40_000);
    let mut kept = Keep::default();
    let mut tracer = Tracer::new(config.clone()).unwrap();
    let mut link = SimLink::new(topology);
    driver::run(&mut tracer, &mut link, &mut kept).unwrap();
    (config, kept.0)
}

fn raw(at: Timestamp, bytes: &[u8], number: u64) -> Frame<'_> {
    Frame { number, ..Frame::whole(at, LinkType::Raw, bytes) }
}

/// Prints what is allocated per frame once a tracer is built.
fn allocations(_: &mut Criterion) {
    for (path, tally) in steady::tallies().0 {
        let steady::Tally { times, allocations } = tally;
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let each = allocations as f64 / times as f64;
        let note = if steady::ALLOWED.contains(&path) { ", allowed" } else { "" };
        println!("allocations per frame: {path} {each:.2} ({allocations} in {times}{note})");
    }
    let config = steady::config(steady::TARGETS[0], ProbeType::Udp).scouting();
    let bytes = steady::built(|| Tracer::new(config).unwrap());
    println!("allocated when a tracer is built, for 90 probes: {bytes} bytes");
}

/// One probe of each kind.
fn craft(c: &mut Criterion) {
    let mut group = c.benchmark_group("craft");
    group.throughput(Throughput::Elements(1));
    let kinds = [
        ("udp", ProbeType::Udp),
        ("icmp_echo", ProbeType::IcmpEcho),
        ("tcp_syn", ProbeType::TcpSyn),
    ];
    for (name, probe) in kinds {
        for (target, family) in steady::TARGETS.into_iter().zip(["ipv4", "ipv6"]) {
            let spec = steady::spec(&steady::config(target, probe), FlowMode::Classic, 0);
            let mut datagram = Vec::new();
            group.bench_function(format!("{name}_{family}"), |b| {
                b.iter(|| {
                    craft::craft(black_box(&spec), &mut datagram);
                    black_box(&datagram);
                });
            });
        }
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let (_, frames) = traced();
    let mut ethernet = vec![0_u8; 12];
    ethernet.extend([0x08, 0x00]);
    ethernet.extend_from_slice(&frames.last().unwrap().1);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ethernet_ipv4", |b| {
        b.iter(|| {
            let datagram = link::ip_datagram(LinkType::Ethernet, black_box(&ethernet));
            black_box(ipv4::decode(datagram.unwrap().unwrap()).unwrap());
        });
    });
    group.finish();
}

fn correlate(c: &mut Criterion) {
    let (config, frames) = traced();
    let mut group = c.benchmark_group("correlate");
    group.throughput(Throughput::Elements(u64::try_from(frames.len()).unwrap()));
    group.bench_function("whole_trace", |b| {
        b.iter_batched(
            || Tracer::passive(config.clone(), ProbeSelector::One).unwrap(),
            |mut tracer| {
                for (number, (at, bytes)) in (1..).zip(&frames) {
                    black_box(tracer.handle_frame(&raw(*at, bytes, number)));
                    while let Some((event, _)) = tracer.poll_event() {
                        black_box(event);
                    }
                }
                tracer
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Asks for the probes that are due at this time.
fn all_due(tracer: &mut Tracer, now: Timestamp, mut take: impl FnMut(&[u8])) {
    while let Some(transmit) = tracer.poll_transmit(now) {
        take(transmit.datagram);
    }
}

/// What was sent by now of these probes was seen leaving.
fn leave(tracer: &mut Tracer, now: Timestamp, datagrams: &[Vec<u8>]) {
    for (number, datagram) in (1..).zip(datagrams) {
        tracer.handle_frame(&raw(now, datagram, number));
    }
    while tracer.poll_event().is_some() {}
}

/// A scouting trace that nobody answers, at the moment from which on every hop is asked; and what it has sent.
fn silent() -> (Tracer, Vec<Vec<u8>>) {
    let config = steady::config(steady::TARGETS[0], ProbeType::Udp).scouting();
    let (mut tracer, mut datagrams) = (Tracer::new(config).unwrap(), Vec::new());
    for now in [Timestamp::default(), Timestamp::from_nanos(10_000_000)] {
        tracer.handle_timeout(now);
        let before = datagrams.len();
        all_due(&mut tracer, now, |datagram| datagrams.push(datagram.to_vec()));
        leave(&mut tracer, now, &datagrams[before..]);
    }
    tracer.handle_timeout(SILENT);
    (tracer, datagrams)
}

/// What to send next: all that is left of 90 probes, and that there is nothing with all 90 in flight.
fn schedule(c: &mut Criterion) {
    let (mut waiting, mut datagrams) = silent();
    let before = datagrams.len();
    all_due(&mut waiting, SILENT, |datagram| datagrams.push(datagram.to_vec()));
    assert_eq!(datagrams.len(), 90);
    leave(&mut waiting, SILENT, &datagrams[before..]);

    let mut group = c.benchmark_group("schedule");
    group.throughput(Throughput::Elements(u64::try_from(90 - before).unwrap()));
    group.bench_function("the_rest_of_90_probes", |b| {
        b.iter_batched(
            || silent().0,
            |mut tracer| {
                all_due(&mut tracer, SILENT, |datagram| {
                    black_box(datagram);
                });
                tracer
            },
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("nothing_due_of_90", |b| {
        b.iter(|| {
            assert!(black_box(&mut waiting).poll_transmit(SILENT).is_none());
            black_box(waiting.poll_timeout());
        });
    });
    group.finish();
}

/// A capture of [`FRAMES`] frames: one trace amid other traffic, as tcpdump would have it.
fn busy_capture() -> std::fs::File {
    let (_, frames) = traced();
    let mut other = frames[0].1.clone();
    other[9] = 6; // TCP
    other[12..16].copy_from_slice(&[198, 51, 100, 7]);
    other.resize(400, 0);
    let mut file = std::io::BufWriter::new(tempfile::tempfile().unwrap());
    let interface = Interface { name: "bench".into(), address: None, link: LinkType::Raw };
    {
        let mut tape = Recording::new(&mut file, "bench", Format::Pcap, &interface, "").unwrap();
        let (start, spacing) = (frames[0].0, FRAMES / u64::try_from(frames.len()).unwrap());
        let mut trace = frames.iter();
        for number in 0..FRAMES {
            let at = start.after(Span::from_nanos(i64::try_from(number).unwrap()));
            match (number % spacing == 0).then(|| trace.next()).flatten() {
                Some((at, bytes)) => tape.frame(&raw(*at, bytes, 0), None).unwrap(),
                None => tape.frame(&raw(at, &other, 0), None).unwrap(),
            }
        }
    }
    file.flush().unwrap();
    file.into_inner().unwrap()
}

fn replay(c: &mut Criterion) {
    let mut file = busy_capture();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(FRAMES)).sample_size(10);
    group.bench_function("a_million_frames", |b| {
        b.iter(|| {
            file.rewind().unwrap();
            let mut reader = CaptureReader::new(&mut file, "bench").unwrap();
            let mut survey = Survey::new();
            while let Some(item) = reader.next().unwrap() {
                if let Item::Packet(frame) = item {
                    survey.handle_frame(&frame);
                }
            }
            let found = survey.traces().into_iter().next().unwrap();
            let config = found.config;
            file.rewind().unwrap();
            let mut link = ReplayLink::new(CaptureReader::new(&mut file, "bench").unwrap());
            let mut tracer = Tracer::passive(config.clone(), found.idents).unwrap();
            let mut kept = Keep::default();
            driver::run(&mut tracer, &mut link, &mut kept).unwrap();
            let names = Names::fixed::<&str>([]).into();
            let view = View::of(&config, tracer.path(), &names);
            let style = rtrace::render::text::Style { numeric: true, ..Default::default() };
            rtrace::render::Renderer::end(&mut Json::new(std::io::sink(), style), view).unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, allocations, craft, decode, correlate, schedule, replay);
criterion_main!(benches);
