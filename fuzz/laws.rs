//! The laws that hold for any bytes whatever. The fuzz targets in `fuzz/` and the property tests of
//! the suite (`tests/suite/laws.rs`) share these functions: each takes bytes and panics if its law is
//! broken, or if anything below it panics.

use std::cell::RefCell;
use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;

use rtrace::capture::{CaptureReader, Format, Interface, Item, Recording};
use rtrace::compare;
use rtrace::enrich::Annotations;
use rtrace::enrich::names::Names;
use rtrace::probe::{Flow, ProbeType};
use rtrace::recording::RecordingMetadata;
use rtrace::render::json::Json;
use rtrace::render::output::Output;
use rtrace::render::stream::Stream;
use rtrace::render::text::{Style, Text};
use rtrace::render::{Form, Look, Renderer, View};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::{Index, SHARING};
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::survey::{Found, Survey};
use rtrace::trace::{
    Engine, Event, Measurement, Outcome, Packet, Probe, ProbeSelector, RecordedRun, TraceConfig,
    Tracer,
};
use rtrace::untrusted::Untrusted;
use rtrace::wire::extension::{Extension, Family, quoted_and_extension};
use rtrace::wire::{Evidence, Frame, LinkType, ip, link, quoted};

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
    let interface = Interface { name: "fuzz".into(), address: None, link: frame.link };
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
    let reconstructed = TraceConfig { evidence: Evidence::Reconstructed, ..default.clone() };
    let given = [default, sizing, reconstructed].map(|config| (config, ProbeSelector::One));
    for (config, idents) in found.chain(given) {
        let tracer = Tracer::passive(config, idents).expect("what a survey finds can be traced");
        watch(tracer, &frames);
    }
}

/// However many traces there are, a frame is shown to a few of them, and every probe is found.
pub fn endpoint(bytes: &[u8]) {
    // Of who sent a frame, who gets it, and whom it quotes, by port and as a protocol's as such, and of the target quoted.
    const ROLES: usize = 7;
    let frames = frames(bytes);
    let mut survey = Survey::new();
    frames.iter().for_each(|frame| survey.handle_frame(frame));
    let found = survey.traces();
    let mut index = Index::default();
    for found in &found {
        index.add(&found.config.flow(), &found.idents, None);
    }
    let tracer = |found: &Found| Tracer::passive(found.config.clone(), found.idents.clone());
    let mut alone: Vec<Tracer> = found.iter().map(|found| tracer(found).unwrap()).collect();
    let mut together = alone.clone();
    for frame in &frames {
        let concerned = index.concerned(&Packet::of(frame));
        assert!(concerned.len() <= ROLES * SHARING);
        for place in concerned {
            together[*place].handle_frame(frame);
        }
        for tracer in &mut alone {
            tracer.handle_frame(frame);
        }
    }
    assert!(index.shown() <= (frames.len() * ROLES * SHARING) as u64);
    for (alone, together) in alone.iter().zip(&together) {
        let (alone, together) = (alone.path().totals.sent, together.path().totals.sent);
        assert!(alone == together || index.passed_over() > 0, "{alone} and {together}");
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
                let carried =
                    comments.iter().find_map(|text| RecordingMetadata::from_comment(text));
                engine = carried.map(watching);
            }
            Item::Packet(frame) => {
                let Some(engine) = engine.as_mut().filter(|_| frames < 16) else { continue };
                frames += 1;
                engine.handle_timeout(frame.at);
                engine.handle_frame(&frame);
                while engine.poll_event().is_some() {}
            }
            Item::Rounds { count, .. } => engine.iter_mut().for_each(|it| it.note_rounds(count)),
            _ => {}
        }
    }
    let Some(mut engine) = engine else { return };
    engine.finish();
    while engine.poll_event().is_some() {}
}

fn watching(carried: RecordingMetadata) -> Box<dyn Engine> {
    let RecordingMetadata { trace, measurement, first_round, .. } = carried;
    let recorded = RecordedRun { first_round, ..RecordedRun::whole(&trace) };
    measurement.passive(trace, recorded).expect("what is carried is checked")
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
    let (mut settled, mut doubted) = (0, false);
    for frame in frames {
        tracer.handle_frame(frame);
        while let Some((event, _)) = tracer.poll_event() {
            settled += u64::from(matches!(event, Event::Settled(_)));
            doubted |= matches!(event, Event::Contradicted(..));
        }
    }
    tracer.finish();
    while let Some((event, _)) = tracer.poll_event() {
        settled += u64::from(matches!(event, Event::Settled(_)));
    }
    let path = tracer.path();
    let sizers = || path.size_probes.iter().map(|sizer| &sizer.probe);
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

/// Whatever bytes text from outside is made of, every form of it is harmless, and stays what it is when it is shown
/// again; and no report has more lines, or a document another structure, than with a plain name.
pub fn escapes(bytes: &[u8]) {
    let text = Untrusted::from(bytes);
    let name = text.host_name().unwrap_or_default();
    let prose = text.prose().unwrap_or_default();
    for form in [
        text.shown(),
        text.escaped(),
        text.word(),
        text.cell(),
        text.xml(),
        text.dot(),
        text.mermaid(),
        name.shown(),
        prose.shown(),
        format!("{text:?}"),
    ] {
        assert!(form.chars().all(is_seen), "{form:?}");
    }
    let shown = Untrusted::from(text.shown());
    assert_eq!((shown.shown(), shown.word()), (text.shown(), text.word()));
    assert!(!text.cell().starts_with(['=', '+', '-', '@']));
    assert!(!text.mermaid().contains(['"', '<', '`', '\\', '[']));

    let plain = TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000);
    let named = TraceConfig { target_name: text, ..plain.clone() };
    let written = [plain, named].map(|config| {
        let mut tracer =
            Tracer::passive(config, ProbeSelector::One).expect("a usable configuration");
        tracer.finish();
        Form::ALL.map(|form| empty(&tracer, form))
    });
    let [plain, named] = written;
    for ((form, plain), named) in Form::ALL.iter().zip(plain).zip(named) {
        assert!(named.chars().all(|c| c == '\n' || is_seen(c)), "{named:?}");
        assert_eq!(named.lines().count(), plain.lines().count(), "{form:?}: {named:?}");
        if [Form::Json, Form::Atlas, Form::Scamper].contains(form) {
            serde_json::from_str::<serde_json::Value>(&named).unwrap();
        }
    }
}

/// The report of a trace of which nothing was captured.
fn empty(tracer: &Tracer, form: Form) -> String {
    let names = Names::fixed::<&str>([]).into();
    let file = SharedBytes::default();
    let output = Output::of(&Measurement::Trace, form, false).expect("a form of one trace");
    let mut renderer = output.renderer(Look::default(), file.clone());
    renderer.begin(tracer.config()).unwrap();
    renderer.end(View::of(tracer.config(), tracer.path(), &names)).unwrap();
    String::from_utf8(file.0.take()).unwrap()
}

#[derive(Clone, Default)]
struct SharedBytes(Rc<RefCell<Vec<u8>>>);

impl Write for SharedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether a character is one that is seen, by what the standard library takes for printable: another table than the
/// escaper's. It knows newer letters.
fn is_seen(c: char) -> bool {
    let behind_a_letter = format!("a{c}");
    let printable = behind_a_letter.escape_debug().skip(1).count() == 1;
    printable
        || "\"'\\".contains(c)
        || c.is_whitespace() && !c.is_control() && !('\u{2028}'..='\u{2029}').contains(&c)
}

/// What is asked with in the rounds of [`rounds`]; the first byte chooses.
pub const ROUNDS_OF: [ProbeType; 4] =
    [ProbeType::Udp, ProbeType::IcmpEcho, ProbeType::TcpSyn, ProbeType::UdpFixed];

/// The trace of those rounds, and how often it is repeated.
pub fn repeated(selector: u8) -> (TraceConfig, Plan) {
    let probe = ROUNDS_OF[usize::from(selector) % ROUNDS_OF.len()];
    let (source, target) = ([192, 0, 2, 2].into(), [203, 0, 113, 9].into());
    let config = TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 }).scouting();
    let plan = Plan { interval: 0.2, rounds: None, until: None };
    (TraceConfig { queries: 2, max_ttl: 12, ..config }, plan)
}

/// Rounds take any frames: what a live run would have recorded of them replays to the same lines. A byte chooses the probes;
/// then each frame has two bytes of time since the one before, in tenths of a millisecond, and one of length.
pub fn rounds(bytes: &[u8]) {
    let Some((selector, bytes)) = bytes.split_first() else { return };
    let frames = timed(bytes);
    let (live, kept) = watch_rounds(*selector, &frames, true);
    let (again, all) = watch_rounds(*selector, &kept, true);
    assert_eq!((again, all.len()), (live.clone(), kept.len()));
    // Deadlines fire at their own time, whether or not somebody says that it is that.
    assert_eq!(watch_rounds(*selector, &kept, false).0, live);
}

/// The lines of a watch, and the frames that concern it.
fn watch_rounds<'a>(selector: u8, frames: &[Frame<'a>], told: bool) -> (String, Vec<Frame<'a>>) {
    let (config, plan) = repeated(selector);
    let mut rounds = Rounds::passive(config.clone(), plan).expect("it can be watched");
    let mut lines = Vec::new();
    let mut stream = Stream::new(&mut lines, true, plan);
    let none: Annotations = Names::fixed::<&str>([]).into();
    let mut kept = Vec::new();
    stream.begin(&config).unwrap();
    for frame in frames {
        if told {
            rounds.handle_timeout(frame.at);
            show(&mut rounds, &mut stream, &config, &none);
        }
        let number = kept.len() as u64 + 1;
        if rounds.handle_frame(&Frame { number, ..*frame }).concerns_the_trace() {
            kept.push(Frame { ..*frame });
        }
        show(&mut rounds, &mut stream, &config, &none);
    }
    rounds.finish();
    show(&mut rounds, &mut stream, &config, &none);
    stream.end(View::of(&config, rounds.path(), &none)).unwrap();
    drop(stream);
    (String::from_utf8(lines).unwrap(), kept)
}

fn show(
    rounds: &mut Rounds,
    stream: &mut Stream<&mut Vec<u8>>,
    config: &TraceConfig,
    none: &Annotations,
) {
    while let Some((event, path)) = rounds.poll_event() {
        stream.event(Some(event), View::of(config, path, none)).unwrap();
    }
}

/// Cuts `bytes` into IP datagrams whose stamps never fall.
fn timed(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    let mut at = Timestamp::from_nanos(1_700_000_000_000_000_000);
    while let Some(([high, low, len], rest)) = bytes.split_first_chunk() {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        at = at.after(Span::from_micros(100 * i64::from(u16::from_be_bytes([*high, *low]))));
        let original_len = u32::from(*len);
        let evidence = evidence(*low);
        frames.push(Frame { original_len, evidence, ..Frame::whole(at, LinkType::Raw, frame) });
        bytes = rest;
    }
    frames
}

/// An eighth of the frames are reconstructed.
fn evidence(chosen: u8) -> Evidence {
    if chosen % 8 == 7 { Evidence::Reconstructed } else { Evidence::Captured }
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
            original_len: u32::from(*len),
            number: frames.len() as u64 + 1,
            evidence: evidence(*step),
            ..Frame::whole(Timestamp::from_nanos(at), link_type(*selector), frame)
        });
        bytes = rest;
    }
    frames
}
