//! Every renderer, and the screen, in the same process.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use rtrace::driver::{self, Observer};
use rtrace::enrich::Annotations;
use rtrace::enrich::database::{Database, Kind};
use rtrace::enrich::lookups::PendingLookups;
use rtrace::enrich::names::Names;
use rtrace::link::sim::{SimLink, Topology};
use rtrace::metrics::Metrics;
use rtrace::render::inspect::Inspect;
use rtrace::render::output::Output;
use rtrace::render::report::{self, Report};
use rtrace::render::stats::RunFacts;
use rtrace::render::stream::Stream;
use rtrace::render::text::Style;
use rtrace::render::tui::state::Pane;
use rtrace::render::tui::theme::Theme;
use rtrace::render::tui::{Model, Snapshot, Tab, UiState, draw};
use rtrace::render::{self, Look, Renderer, View};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::paths::{self, Paths};
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{Disposition, Engine, Event, Measurement, Path, TraceConfig, Tracer};
use rtrace::wire::Frame;

use super::{Form, check, check_characters, hostile};
use crate::golden_law::Shared;
use crate::mmdb::{Mmdb, Value, text};
use crate::screen::config;

/// Hostile text for every source that there is.
#[derive(Clone, Debug)]
pub struct Sources {
    pub target: String,
    pub name: String,
    pub interface: String,
    pub system: String,
    pub city: String,
}

pub fn sources() -> impl Strategy<Value = Sources> {
    (hostile(), hostile(), hostile(), hostile(), hostile()).prop_map(
        |(target, name, interface, system, city)| Sources { target, name, interface, system, city },
    )
}

impl Sources {
    /// A network whose routers say all of it; the last of them forbids the rest of the way in some flows.
    pub fn topology(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let [target, name] = [&self.target, &self.name].map(|text| quoted(text));
        // Longer ones do not fit into the object (RFC 5837 §4.3).
        let end = self.interface.floor_char_boundary(63);
        let interface = quoted(&self.interface[..end]);
        format!(
            "source = \"192.0.2.2\"\n[names]\n\"198.51.100.1\" = {name}\n\"198.51.100.2\" = {name}\n\
             \"203.0.113.9\" = {target}\n\
             [[hop]]\naddress = \"198.51.100.1\"\n\
             interface = {{ role = \"incoming\", ifindex = 3, name = {interface}, mtu = 1500 }}\n\
             [[hop]]\nrouters = [{{ address = \"198.51.100.2\" }}, {{ address = \"198.51.100.3\" }}]\n\
             [target]\n"
        )
    }

    pub fn systems(&self) -> Mmdb {
        let record = Value::Map(vec![
            ("autonomous_system_number", Value::Number(64_500)),
            ("autonomous_system_organization", text(&self.system)),
        ]);
        Mmdb::new("GeoLite2-ASN").with("198.51.100.0/24", &record)
    }

    pub fn cities(&self) -> Mmdb {
        let record = Value::Map(vec![("city", text(&self.city)), ("country_code", text("US"))]);
        Mmdb::new("own").with("198.51.100.0/24", &record)
    }

    fn annotations(&self, topology: &Topology) -> Annotations {
        let read = |database: Mmdb, kind| {
            Arc::new(Database::read(database.to_bytes().as_slice(), "x", kind).unwrap())
        };
        Annotations {
            origins: Some(read(self.systems(), Kind::Origins).origins()),
            places: Some(read(self.cities(), Kind::Places).places()),
            interfaces: [(0, &self.interface), (1, &self.name)]
                .map(|(number, name)| (number, name.as_str().into()))
                .into(),
            ..Names::fixed(topology.names().clone()).into()
        }
    }
}

/// Shows a run to renderers.
struct Watcher {
    config: TraceConfig,
    annotations: Annotations,
    renderers: Vec<Box<dyn Renderer>>,
    model: Model,
}

impl Observer for Watcher {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.model.frame(frame, disposition, path);
        // Of a host with two interfaces.
        let interface = u32::from(frame.number.is_multiple_of(2));
        let frame = Frame { interface, ..*frame };
        self.renderers.iter_mut().for_each(|it| it.frame(&frame, disposition, path));
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        if let Event::Replied(at, index) = event {
            self.annotations.request(path.probe(at).unwrap().replies[index].responder);
        }
        let view = View::of(&self.config, path, &self.annotations);
        self.model.event(Some(event), view);
        self.renderers.iter_mut().for_each(|it| it.event(Some(event), view).unwrap());
    }
}

/// What writes to memory, what it writes, and the form of that.
type Written = (Box<dyn Renderer>, Shared, Form, String);

fn written(name: &str, make: impl FnOnce(Shared) -> Box<dyn Renderer>, form: Form) -> Written {
    let out = Shared::default();
    (make(out.clone()), out, form, name.to_owned())
}

fn run(sources: &Sources, mut engine: Box<dyn Engine>, all: Vec<Written>) -> Snapshot {
    let topology = Topology::parse(&sources.topology(), "topology").unwrap();
    let mut config = config(&topology, 2);
    config.target_name = sources.target.as_str().into();
    let model = Model::new(&config, Some(1.0));
    let annotations = sources.annotations(&topology);
    let (renderers, outs): (Vec<_>, Vec<_>) =
        all.into_iter().map(|(renderer, out, form, name)| (renderer, (out, form, name))).unzip();
    let mut watcher = Watcher { config, annotations, renderers, model };
    watcher.renderers.iter_mut().for_each(|it| it.begin(&watcher.config).unwrap());
    driver::run(&mut *engine, &mut SimLink::new(topology), &mut watcher).unwrap();
    let view = View::of(&watcher.config, engine.path(), &watcher.annotations);
    watcher.renderers.iter_mut().for_each(|it| it.end(view).unwrap());
    for (out, form, name) in outs {
        check(&name, form, &out.text());
    }
    let tabs = ["a.example", &sources.target].map(|name| Tab { name: name.into(), loss: None });
    let message = Some(format!("cannot open {}", sources.name));
    Snapshot { tabs: tabs.into(), target: watcher.model.target(), playback: None, message }
}

fn traced(sources: &Sources) -> TraceConfig {
    let topology = Topology::parse(&sources.topology(), "topology").unwrap();
    TraceConfig { target_name: sources.target.as_str().into(), ..config(&topology, 2) }
}

/// All that is on the screen, pane by pane.
fn screens(seen: &Snapshot) -> String {
    let mut all = String::new();
    for pane in [None, Some(Pane::Detail), Some(Pane::Packets), Some(Pane::Changes)] {
        for hop in 0..3 {
            let mut state = UiState::new(true, Theme::Plain, None);
            (state.pane, state.selected, state.systems, state.extensions) = (pane, hop, true, true);
            let mut terminal = Terminal::new(TestBackend::new(160, 40)).unwrap();
            terminal.draw(|frame| draw(frame, seen, &state)).unwrap();
            let buffer = terminal.backend().buffer();
            all.extend(buffer.content().iter().map(ratatui::buffer::Cell::symbol));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_trace_is_escaped_in_every_form(sources in sources()) {
        let style = Style { numeric: false, extensions: true, back: true };
        let form = |it: render::Form| {
            let name = it.describe().0;
            let output = Output::of(&Measurement::Trace, it, false).unwrap();
            let look = Look { style, ..Look::default() };
            written(name, |out| output.renderer(look, out), Form::of(name))
        };
        let mut all: Vec<Written> = render::Form::ALL.map(form).into();
        for (json, form) in [(true, Form::Json), (false, Form::Lines)] {
            all.push(written("inspect", |out| Box::new(Inspect::new(out, json, false)), form));
        }
        run(&sources, Box::new(Tracer::new(traced(&sources)).unwrap()), all);
    }

    #[test]
    fn rounds_are_escaped_in_every_form_and_on_the_screen(sources in sources()) {
        let plan = Plan { interval: 1.0, rounds: Some(3), until: None };
        let mut all: Vec<Written> = Vec::new();
        for (form, parsed) in [
            (report::Form::Text, Form::Lines), (report::Form::Json, Form::Json), (report::Form::Csv, Form::Csv),
        ] {
            let columns = "LSNABWV".parse().unwrap();
            let style = Style { extensions: true, ..Style::default() };
            let look = Look { style, wide: true, columns, ..Look::default() };
            all.push(written("report", |out| Box::new(Report::new(out, form, look)), parsed));
        }
        all.push(written("stream", |out| Box::new(Stream::new(out, false, plan)), Form::JsonLines));
        let seen = run(&sources, Box::new(Rounds::new(traced(&sources), plan).unwrap()), all);
        let shown = screens(&seen);
        check_characters("screen", &shown);
        assert!(!shown.contains('\n'));
    }

    #[test]
    fn maps_are_escaped_in_every_form(sources in sources()) {
        let plan = paths::Plan::default();
        let form = |it: render::Form| {
            let name = it.describe().0;
            let output = Output::of(&Measurement::Paths(plan), it, false).unwrap();
            written(name, |out| output.renderer(Look::default(), out), Form::of(name))
        };
        let all = render::Form::OF_PATHS.map(form).into();
        let config = TraceConfig { in_flight: 16, scout: false, ..traced(&sources) };
        run(&sources, Box::new(Paths::new(config, plan).unwrap()), all);
    }

    #[test]
    fn metrics_and_facts_are_escaped(sources in sources()) {
        let metrics = Metrics::default();
        drop(metrics.meter(&traced(&sources)));
        let text = metrics.text();
        check_characters("metrics", &text);
        let labelled = text.lines().filter(|line| line.contains("{target=\""));
        for line in labelled {
            let bare = line.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(bare.matches('"').count() == 2 && bare.contains("\"} "), "{}", line);
        }
        let mut facts = RunFacts {
            interface: sources.interface.as_str().into(),
            clock: sources.name.as_str().into(),
            ..RunFacts::default()
        };
        facts.link = "live";
        let (mut lines, mut json) = (Vec::new(), Vec::new());
        facts.write_text(&mut lines).unwrap();
        facts.write_json(&mut json).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        let plain = RunFacts::default();
        let mut expected = Vec::new();
        plain.write_text(&mut expected).unwrap();
        let expected = String::from_utf8(expected).unwrap();
        prop_assert_eq!(lines.lines().count(), expected.lines().count());
        check("facts", Form::Lines, &lines);
        check("facts", Form::Json, &String::from_utf8(json).unwrap());
    }
}

/// Which makes sure that the sources are heard of at all.
#[test]
fn every_source_is_written() {
    let [target, name, interface, system, city] =
        ["t\u{e9}rget", "n.me", "i.face", "s.stem", "c.ty"].map(str::to_owned);
    let sources = Sources { target, name, interface, system, city };
    let out = Shared::default();
    let style = Style { numeric: false, extensions: true, back: true };
    let json = Output::Json.renderer(Look { style, ..Look::default() }, out.clone());
    let written = vec![(json, out.clone(), Form::Json, "json".to_owned())];
    run(&sources, Box::new(Tracer::new(traced(&sources)).unwrap()), written);
    for word in ["t\u{e9}rget", "n.me", "i.face", "s.stem", "c.ty"] {
        assert!(out.text().contains(word), "{word}: {}", out.text());
    }
    let target: IpAddr = [203, 0, 113, 9].into();
    assert_eq!(traced(&sources).target, target);
}
