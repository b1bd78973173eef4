//! The laws that hold for any bytes whatever. The fuzz targets in `fuzz/` and the property tests of
//! the suite (`tests/suite/laws.rs`) share these functions: each takes bytes and panics if its law is
//! broken, or if anything below it panics.

use std::net::IpAddr;

use rtrace::capture::{CaptureReader, Format, Interface, Item, Recording};
use rtrace::enrich::names::Names;
use rtrace::render::json::Json;
use rtrace::render::text::{Style, Text};
use rtrace::render::{Renderer, View};
use rtrace::time::Timestamp;
use rtrace::trace::survey::Survey;
use rtrace::trace::{Event, Idents, Outcome, Probe, TraceConfig, Tracer};
use rtrace::wire::extension::{Extension, Family, quoted_and_extension};
use rtrace::wire::{Frame, LinkType, ip, link, quoted};

const LINKS: [LinkType; 8] = [
    LinkType::Ethernet,
    LinkType::Raw,
    LinkType::Null,
    LinkType::Loop,
    LinkType::Ppp,
    LinkType::Sll,
    LinkType::Sll2,
    LinkType::Other(147),
];

fn link_type(selector: u8) -> LinkType {
    LINKS[usize::from(selector) % LINKS.len()]
}

/// Decoding finds the datagram within the frame, and every part within the part that holds it.
pub fn frame(bytes: &[u8]) {
    let Some((selector, bytes)) = bytes.split_first() else { return };
    let Ok(Some(datagram)) = link::ip_datagram(link_type(*selector), bytes) else { return };
    assert!(datagram.len() <= bytes.len());
    let Ok((header, payload)) = ip::decode(datagram) else { return };
    assert!(header.header_len + payload.len() <= datagram.len());
    assert_eq!(header.source.is_ipv4(), header.destination.is_ipv4());
    let Ok(icmp) = ip::icmp(header.family(), payload) else { return };
    let Ok(quote) = quoted::decode(icmp.body) else { return };
    assert!(quote.len <= icmp.body.len());
}

/// A quote and what is appended to it share no byte, and an extension that is emitted again decodes to
/// the same objects.
pub fn extension(bytes: &[u8]) {
    let Some(([words, family], payload)) = bytes.split_first_chunk() else { return };
    let family = if family % 2 == 0 { Family::V4 } else { Family::V6 };
    let (quote, extension) = quoted_and_extension(payload, *words, family);
    assert!(quote.len() <= payload.len());
    let Some(extension) = extension else { return };
    assert!(quote.len() < payload.len());
    let again = Extension::decode(&extension.to_bytes(), extension.compliant).expect("version 2");
    assert_eq!(again.objects, extension.objects);
    let shown = extension.to_string();
    assert!(shown.chars().all(|c| c.is_ascii_graphic()), "{shown:?}");
}

/// A capture file, whatever is in it, is read to an end; what is read can be recorded and read back.
pub fn capture(bytes: &[u8]) {
    let Ok(mut reader) = CaptureReader::new(bytes, "fuzz") else { return };
    let mut packets = 0;
    while let Ok(Some(item)) = reader.next() {
        let Item::Packet(frame) = item else { continue };
        packets += 1;
        assert_eq!(frame.number, packets);
        assert!(frame.bytes.len() <= bytes.len());
        if packets < 4 && frame.at >= Timestamp::default() {
            comes_back(&frame);
        }
    }
}

fn comes_back(frame: &Frame<'_>) {
    let interface =
        Interface { name: "fuzz".into(), address: None, link: frame.link, filter: None };
    let mut file = Vec::new();
    let mut tape = Recording::new(&mut file, "again", Format::PcapNg, &interface, "").unwrap();
    tape.frame(frame, Some("a comment")).unwrap();
    let mut reader = CaptureReader::new(file.as_slice(), "again").unwrap();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Packet(again) = item {
            assert_eq!((again.at, again.bytes), (frame.at, frame.bytes));
        }
    }
}

/// A tracer takes any frames in any order: it ends, its counts agree with its path, and its reports
/// are written, without a control character.
pub fn tracer(bytes: &[u8]) {
    let frames = frames(bytes);
    let mut survey = Survey::new();
    frames.iter().for_each(|frame| survey.handle_frame(frame));
    let default = TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000);
    let found = survey.traces().into_iter().map(|found| (found.config, found.idents));
    let sizing = TraceConfig { mtu: true, packet_len: 28, ..default.clone() };
    let given = [(default, Idents::One), (sizing, Idents::One)];
    for (config, idents) in found.chain(given) {
        let tracer = Tracer::passive(config, idents).expect("what a survey finds can be traced");
        watch(tracer, &frames);
    }
}

fn watch(mut tracer: Tracer, frames: &[Frame<'_>]) {
    let (mut settled, mut doubted) = (0, false);
    for frame in frames {
        tracer.handle_frame(frame);
        while let Some(event) = tracer.poll_event() {
            settled += u64::from(matches!(event, Event::Settled(_)));
            doubted |= matches!(event, Event::Contradicted(..));
        }
    }
    tracer.finish();
    while let Some(event) = tracer.poll_event() {
        settled += u64::from(matches!(event, Event::Settled(_)));
    }
    let path = tracer.path();
    let sizers = || path.sizers.iter().map(|sizer| &sizer.probe);
    let probes = || path.probes().map(|(_, it)| it).chain(sizers()).chain(&path.confirmations);
    let captured = probes().filter(|probe| probe.sent.is_some()).count() as u64;
    let answers = |probe: &&Probe| matches!(probe.outcome, Outcome::Answered(_));
    let answered = probes().filter(|probe| probe.sent.is_some()).filter(answers).count();
    assert_eq!(path.totals.sent, captured);
    assert_eq!(path.totals.answered, answered as u64);
    // A probe whose answer turned out to be contradicted is settled once more.
    let count = probes().count() as u64;
    assert!(settled == count || doubted && settled > count, "{settled} {count}");
    assert!(probes().all(|probe| probe.is_settled()));
    reports(&tracer);
}

fn reports(tracer: &Tracer) {
    let names = Names::fixed([(IpAddr::from([10, 0, 0, 1]), "\u{1b}[2Jname")]).into();
    let view = View::of(tracer.config(), tracer.path(), &names);
    let (mut text, mut json) = (Vec::new(), Vec::new());
    let style = Style { extensions: true, back: true, ..Style::default() };
    let mut renderer = Text::new(&mut text, style);
    renderer.begin(view.config).unwrap();
    renderer.end(view).unwrap();
    Json::new(&mut json, style).end(view).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    serde_json::from_slice::<serde_json::Value>(&json).unwrap();
}

/// Cuts `bytes` into frames: a link type, a length, and so many bytes each. The stamps rise, fall, and
/// jump.
fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    let mut at = 1_700_000_000_000_000_000_i64;
    while let Some(([selector, step, len], rest)) = bytes.split_first_chunk() {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        at = at.wrapping_add((i64::from(*step) - 16) << (step % 40));
        frames.push(Frame {
            at: Timestamp::from_nanos(at),
            link: link_type(*selector),
            bytes: frame,
            original_len: u32::from(*len),
            number: frames.len() as u64 + 1,
        });
        bytes = rest;
    }
    frames
}
