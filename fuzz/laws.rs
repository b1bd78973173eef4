//! The laws that hold for any bytes whatever. The fuzz targets in `fuzz/` and the property tests of
//! the suite (`tests/suite/laws.rs`) share these functions: each takes bytes and panics if its law is
//! broken, or if anything below it panics.

use std::net::IpAddr;

use rtrace::capture::{CaptureReader, Format, Interface, Item, Recording};
use rtrace::compare;
use rtrace::enrich::names::Names;
use rtrace::recording::Carried;
use rtrace::render::json::Json;
use rtrace::render::text::{Style, Text};
use rtrace::render::{Renderer, View};
use rtrace::time::Timestamp;
use rtrace::trace::endpoint::{Endpoint, SHARING};
use rtrace::trace::paths::Paths;
use rtrace::trace::rounds::Rounds;
use rtrace::trace::survey::{Found, Survey};
use rtrace::trace::{Engine, Event, Idents, Outcome, Probe, TraceConfig, Tracer};
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

/// However many traces there are, a frame is shown to a few of them, and every probe is found.
pub fn endpoint(bytes: &[u8]) {
    let frames = frames(bytes);
    let mut survey = Survey::new();
    frames.iter().for_each(|frame| survey.handle_frame(frame));
    let found = survey.traces();
    let mut endpoint = Endpoint::new();
    for found in &found {
        endpoint.add(&found.config.flow(), &found.idents);
    }
    let tracer = |found: &Found| Tracer::passive(found.config.clone(), found.idents.clone());
    let mut alone: Vec<Tracer> = found.iter().map(|found| tracer(found).unwrap()).collect();
    let mut together = alone.clone();
    for frame in &frames {
        let (concerned, now) = endpoint.concerned(frame);
        assert!(concerned.len() <= 4 * SHARING && now >= frame.at);
        for index in concerned {
            together[*index].handle_timeout(now);
            together[*index].handle_frame(frame);
        }
        for tracer in &mut alone {
            tracer.handle_frame(frame);
        }
    }
    assert!(endpoint.shown() <= frames.len() as u64 * 4 * SHARING as u64);
    for (alone, together) in alone.iter().zip(&together) {
        let (alone, together) = (alone.path().totals.sent, together.path().totals.sent);
        assert!(alone == together || endpoint.passed_over() > 0, "{alone} and {together}");
    }
}

/// What a recording says of itself, whatever that is, is refused or leads to a replay that ends.
pub fn recording(bytes: &[u8]) {
    let Ok(mut reader) = CaptureReader::new(bytes, "fuzz") else { return };
    let mut engine: Option<Box<dyn Engine>> = None;
    let mut frames = 0;
    while let Ok(Some(item)) = reader.next() {
        match item {
            Item::Section { comments } if engine.is_none() => {
                let carried = comments.iter().find_map(|text| Carried::from_comment(text));
                engine = carried.map(watching);
            }
            Item::Packet(frame) => {
                let Some(engine) = engine.as_mut().filter(|_| frames < 16) else { continue };
                frames += 1;
                engine.handle_timeout(frame.at);
                engine.handle_frame(&frame);
                while engine.poll_event().is_some() {}
            }
            Item::Rounds { count } => engine.iter_mut().for_each(|it| it.note_rounds(count)),
            _ => {}
        }
    }
    let Some(mut engine) = engine else { return };
    engine.finish();
    while engine.poll_event().is_some() {}
}

fn watching(carried: Carried) -> Box<dyn Engine> {
    let Carried { trace, rounds, paths, first_round, .. } = carried;
    let checked = "what is carried is checked";
    match (rounds, paths) {
        (Some(plan), _) => Box::new(Rounds::passive_from(first_round, trace, plan).expect(checked)),
        (None, Some(plan)) => Box::new(Paths::passive(trace, plan).expect(checked)),
        (None, None) => Box::new(Tracer::passive(trace, Idents::One).expect(checked)),
    }
}

/// A document is refused or compared, with itself: nothing has changed.
pub fn document(bytes: &[u8]) {
    let _ = compare::document::format(bytes);
    if let Ok(trace) = compare::Trace::parse(bytes) {
        assert!(!compare::compare(&trace, &trace).changed);
    }
    if let Ok(map) = compare::maps::Map::parse(bytes) {
        assert!(!compare::maps::compare(&map, &map).changed);
    }
}

fn watch(mut tracer: Tracer, frames: &[Frame<'_>]) {
    let mut settled = 0;
    for frame in frames {
        tracer.handle_frame(frame);
        while let Some(event) = tracer.poll_event() {
            settled += u64::from(matches!(event, Event::Settled(_)));
        }
    }
    tracer.finish();
    while let Some(event) = tracer.poll_event() {
        settled += u64::from(matches!(event, Event::Settled(_)));
    }
    let path = tracer.path();
    let sizers = || path.sizers.iter().map(|sizer| &sizer.probe);
    let probes = || path.probes().map(|(_, probe)| probe).chain(sizers());
    let captured = probes().filter(|probe| probe.sent.is_some()).count() as u64;
    let answers = |probe: &&Probe| matches!(probe.outcome, Outcome::Answered(_));
    let answered = probes().filter(|probe| probe.sent.is_some()).filter(answers).count();
    assert_eq!(path.totals.sent, captured);
    assert_eq!(path.totals.answered, answered as u64);
    assert_eq!(settled, probes().count() as u64);
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
