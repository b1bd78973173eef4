//! The screen of a watch: what is drawn of simulated paths, as text files that were read before they were blessed
//! (`BLESS=1` writes them anew), and what keys do.

use std::net::IpAddr;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use rtrace::driver::{self, Observer};
use rtrace::enrich::Annotations;
use rtrace::enrich::database::{Database, Kind};
use rtrace::enrich::lookups::PendingLookups;
use rtrace::enrich::names::Names;
use rtrace::link::LinkError;
use rtrace::link::sim::{SimLink, Topology};
use rtrace::probe::{Flow, ProbeType};
use rtrace::render::View;
use rtrace::render::tui::moment::Goal;
use rtrace::render::tui::state::{Display, Pane};
use rtrace::render::tui::theme::Theme;
use rtrace::render::tui::{Command, Model, Playback, Snapshot, Tab, UiState, draw};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{Disposition, Event, Path, TraceConfig};
use rtrace::wire::Frame;

use crate::mmdb;
use crate::support::{golden, line_of};

/// Feeds a model, and ends after so many replies.
pub struct Feed {
    pub config: TraceConfig,
    pub model: Model,
    pub annotations: Annotations,
    replies: usize,
    /// What was to be seen when the last of them had come.
    seen: Option<Snapshot>,
}

impl Observer for Feed {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        if disposition.concerns_the_trace() {
            self.model.frame(frame, disposition, path);
        }
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        self.replies =
            self.replies.saturating_sub(usize::from(matches!(event, Event::Replied(..))));
        if let Event::Replied(at, index) = event {
            self.annotations.request(path.probe(at).unwrap().replies[index].responder);
        }
        self.model.event(Some(event), View::of(&self.config, path, &self.annotations));
        if self.replies == 0 && self.seen.is_none() {
            self.seen = Some(seen(&self.model));
        }
    }

    fn refused(&mut self, _: TraceId, error: &LinkError) {
        panic!("{error}");
    }

    fn interrupted(&self) -> bool {
        self.replies == 0
    }
}

pub fn config(topology: &Topology, queries: u16) -> TraceConfig {
    let target = IpAddr::from([203, 0, 113, 9]);
    let source = topology.source_for(target);
    let flow = Flow { source, target, probe: ProbeType::Udp, ident: 40_000 };
    let config = TraceConfig::of_flow(&flow).scouting();
    TraceConfig { queries, target_name: "target.example".into(), ..config }
}

impl Feed {
    pub fn new(topology: &Topology, config: &TraceConfig, plan: Plan, replies: usize) -> Self {
        let model = Model::new(config, Some(plan.interval));
        let annotations = Names::fixed(topology.names().clone()).into();
        Self { config: config.clone(), model, annotations, replies, seen: None }
    }
}

/// A watch of a simulated network, seen by a model.
fn fed(topology: Topology, config: TraceConfig, plan: Plan, replies: usize) -> Feed {
    let mut feed = Feed::new(&topology, &config, plan, replies);
    let mut rounds = Rounds::new(config, plan).unwrap();
    driver::run(&mut rounds, &mut SimLink::new(topology), &mut feed).unwrap();
    feed
}

/// What is known after so many rounds, or after so many replies.
fn watched(topology: Topology, queries: u16, rounds: u64, replies: usize) -> Snapshot {
    let config = config(&topology, queries);
    let plan = Plan { interval: 1.0, rounds: Some(rounds), until: None };
    let feed = fed(topology, config, plan, replies);
    feed.seen.unwrap_or_else(|| seen(&feed.model))
}

pub fn seen(model: &Model) -> Snapshot {
    let tabs = vec![Tab { name: "target.example".into(), loss: Some(0.0) }];
    Snapshot { tabs, target: model.target(), playback: None, message: None }
}

fn built_in() -> Snapshot {
    watched(Topology::builtin(), 1, 40, usize::MAX)
}

/// Routers that do all there is to be seen: two take turns, one appends a label stack and an interface with a
/// hostile name, one limits its answers, one is silent, one loses packets, and the target is late at times.
pub fn busy() -> Topology {
    let text = r#"
        source = "192.0.2.2"
        [names]
        "198.51.100.1" = "gateway.example"
        "198.51.100.3" = "evil\u001b[2J\u202e.example"
        [[hop]]
        address = "198.51.100.1"
        delay = "500us"
        balance = "packet"
        [[hop]]
        routers = [
            { address = "198.51.100.2", delay = "1ms" },
            { address = "198.51.100.3", delay = "3ms" },
        ]
        [[hop]]
        address = "198.51.100.4"
        delay = "1ms"
        mpls = [{ label = 100704, tc = 5, ttl = 1 }, { label = 16, tc = 0, ttl = 254 }]
        interface = { role = "incoming", ifindex = 3, address = "198.51.100.9", name = "e\u001b[31m\u202e0", mtu = 1500 }
        [[hop]]
        address = "198.51.100.5"
        delay = "1ms"
        rate = { per_second = 1, burst = 1 }
        [[hop]]
        address = "198.51.100.6"
        delay = "1ms"
        silent = true
        [[hop]]
        address = "198.51.100.7"
        delay = "1ms"
        loss = 0.1
        [target]
        delay = "2ms"
        hold = { chance = 0.1, delay = "1200ms" }
    "#;
    Topology::parse(text, "busy").unwrap()
}

pub fn state(change: impl FnOnce(&mut UiState)) -> UiState {
    let mut state = UiState::new(true, Theme::Dark, None);
    change(&mut state);
    state
}

pub fn buffer((width, height): (u16, u16), seen: &Snapshot, state: &UiState) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, seen, state)).unwrap();
    terminal.backend().buffer().clone()
}

pub fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", text.trim_end())
    };
    buffer.content.chunks(width).map(line).collect()
}

/// Compares a screen with the file of this name.
pub fn check(name: &str, size: (u16, u16), seen: &Snapshot, state: &UiState) {
    let drawn = text(&buffer(size, seen, state));
    let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!drawn.contains(hostile), "{name}: {drawn:?}");
    golden(&format!("screens/{name}.txt"), &drawn);
}

pub const SMALL: (u16, u16) = (80, 24);
pub const LARGE: (u16, u16) = (120, 40);

#[test]
fn the_table() {
    let seen = built_in();
    check("table-80x24", SMALL, &seen, &state(|_| {}));
    check("table-120x40", LARGE, &seen, &state(|_| {}));
    check("strip-80x24", SMALL, &seen, &state(|it| it.display = Display::Strip));
    check("both-80x24", SMALL, &seen, &state(|it| it.display = Display::Both));
    let addresses = |it: &mut UiState| (it.names, it.order) = (false, "DR AGJMXI".into());
    check("jitter-80x24", SMALL, &seen, &state(addresses));
}

#[test]
fn a_round_that_is_running_is_shown_as_far_as_it_is_known() {
    let seen = watched(Topology::builtin(), 1, 40, 26);
    check("running-80x24", SMALL, &seen, &state(|_| {}));
    let none = seen_of_nothing();
    check("nothing-80x24", SMALL, &none, &state(|it| it.pane = Some(Pane::Detail)));
}

fn seen_of_nothing() -> Snapshot {
    seen(&Model::new(&config(&Topology::builtin(), 1), Some(1.0)))
}

#[test]
fn several_responders_a_silent_hop_limits_and_late_replies() {
    let seen = watched(busy(), 2, 40, usize::MAX);
    check("busy-80x24", SMALL, &seen, &state(|it| it.extensions = true));
    check(
        "busy-120x40",
        LARGE,
        &seen,
        &state(|it| (it.selected, it.pane) = (1, Some(Pane::Chart))),
    );
    for (name, hop) in
        [("several", 1), ("extension", 2), ("limited", 3), ("silent", 4), ("late", 6)]
    {
        let opened =
            |it: &mut UiState| (it.selected, it.pane, it.full) = (hop, Some(Pane::Detail), true);
        check(&format!("detail-{name}-80x24"), SMALL, &seen, &state(opened));
    }
    let pane = |pane, hop| state(|it| (it.pane, it.selected, it.full) = (Some(pane), hop, true));
    check("packets-80x24", SMALL, &seen, &pane(Pane::Packets, 2));
    check("changes-80x24", SMALL, &seen, &pane(Pane::Changes, 2));
    check("chart-80x24", SMALL, &seen, &pane(Pane::Chart, 6));
}

/// The first line of the screen of a watch whose target answers so.
fn header(target: &str) -> String {
    let topology = Topology::parse(&line_of(&["", ""], "500us", target), "test").unwrap();
    let drawn = text(&buffer(LARGE, &watched(topology, 1, 4, usize::MAX), &state(|_| {})));
    drawn.lines().next().unwrap().to_owned()
}

#[test]
fn the_header_says_what_comes_instead_of_the_target() {
    for (target, said) in [
        ("unreachable = 4", Some("!F-0 since 00:00:00 by 203.0.113.9")),
        ("malformed = \"bad-checksum\"", Some("only damaged answers since 00:00:00")),
        ("silent = true", Some("no answer since 00:00:00")),
        ("", None),
    ] {
        let said = said.map_or(String::new(), |said| format!("  {said}"));
        let start = format!("rtrace{said}  192.0.2.2 to target.example (203.0.113.9)");
        let header = header(target);
        assert!(header.starts_with(&start), "{target}: {header}");
    }
}

#[test]
fn systems_and_places() {
    let database = |bytes: Vec<u8>, kind| {
        Arc::new(Database::read(bytes.as_slice(), "test.mmdb", kind).unwrap())
    };
    let topology = Topology::builtin();
    let plan = Plan { interval: 1.0, rounds: Some(10), until: None };
    let mut feed = Feed::new(&topology, &config(&topology, 1), plan, usize::MAX);
    let origins = database(mmdb::geolite_asn().to_bytes(), Kind::Origins);
    feed.annotations.origins = Some(origins.origins());
    let places = database(mmdb::geolite_city().to_bytes(), Kind::Places);
    feed.annotations.places = Some(places.places());
    let mut rounds = Rounds::new(feed.config.clone(), plan).unwrap();
    driver::run(&mut rounds, &mut SimLink::new(topology), &mut feed).unwrap();
    let seen = seen(&feed.model);
    let detail = |it: &mut UiState| (it.selected, it.pane) = (1, Some(Pane::Detail));
    check("systems-80x24", SMALL, &seen, &state(detail));
    check("systems-120x40", LARGE, &seen, &state(|_| {}));
    let mut hidden = state(|_| {});
    typed(&mut hidden, "z", &seen);
    assert!(!text(&buffer(SMALL, &seen, &hidden)).contains("AS64500"));
}

#[test]
fn many_hops_are_scrolled_so_that_the_selected_one_is_seen() {
    let hops = vec![""; 28];
    let topology = Topology::parse(&line_of(&hops, "500us", ""), "long").unwrap();
    let seen = watched(topology, 1, 12, usize::MAX);
    check("long-80x24", SMALL, &seen, &state(|_| {}));
    check(
        "long-end-80x24",
        SMALL,
        &seen,
        &state(|it| (it.selected, it.pane) = (28, Some(Pane::Chart))),
    );
}

#[test]
fn help_tabs_input_and_a_recording() {
    let mut seen = built_in();
    check("help-80x24", SMALL, &seen, &state(|it| it.help = true));
    seen.tabs.push(Tab { name: "b.example\x1b[2J".into(), loss: Some(0.5) });
    seen.message = Some("the kernel refused to send a probe".into());
    check("tabs-80x24", SMALL, &seen, &state(|it| it.frozen = true));
    seen.tabs.truncate(1);
    let (began, ended) =
        (Timestamp::from_parts(1_767_225_600, 0), Timestamp::from_parts(1_767_254_400, 0));
    let at = began.after(Span::from_secs_f64(40.0 * 60.0));
    let end = Some((ended, 28_800));
    let playback =
        Playback { playing: true, speed: 20.0, seeking: false, at, round: 40, began, end };
    seen.playback = Some(playback);
    check("recording-80x24", SMALL, &seen, &state(|_| {}));
    check("recording-help-80x24", SMALL, &seen, &state(|it| it.help = true));
}

#[test]
fn too_small_a_screen_says_so_and_none_is_a_fault() {
    let seen = watched(busy(), 2, 10, usize::MAX);
    assert!(
        text(&buffer((60, 20), &seen, &state(|_| {})))
            .contains("Needs 80×24, this terminal is 60×20")
    );
    for width in [0, 1, 2, 79, 80, 81, 100, 200, 400] {
        for height in [0, 1, 5, 24, 25, 60] {
            for pane in [None, Some(Pane::Detail), Some(Pane::Chart), Some(Pane::Packets)] {
                for hop in [0, 6, 99] {
                    let state =
                        state(|it| (it.pane, it.selected, it.help) = (pane, hop, width == 100));
                    buffer((width, height), &seen, &state);
                }
            }
        }
    }
}

#[test]
fn without_colour_all_is_still_said() {
    let seen = watched(busy(), 2, 40, usize::MAX);
    for pane in [None, Some(Pane::Chart), Some(Pane::Detail)] {
        let coloured = state(|it| it.pane = pane);
        let plain = UiState { theme: Theme::Plain, ..coloured.clone() };
        let light = UiState { theme: Theme::Light, ..coloured.clone() };
        let [coloured, light, plain] =
            [coloured, light, plain].map(|state| buffer(SMALL, &seen, &state));
        assert_eq!(text(&coloured), text(&plain));
        let has = |cell: &ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
        assert!(coloured.content.iter().any(has) && !plain.content.iter().any(has));
        // What cannot be seen on white.
        let bright = [Color::Yellow, Color::Green, Color::Cyan, Color::White, Color::Gray];
        let vanishes = |cell: &ratatui::buffer::Cell| bright.contains(&cell.fg);
        assert!(coloured.content.iter().any(vanishes) && !light.content.iter().any(vanishes));
    }
}

/// Types keys, `\n` being Enter and `\x1b` Escape; gives the last command.
fn typed(state: &mut UiState, keys: &str, seen: &Snapshot) -> Option<Command> {
    let code = |c| match c {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        '\t' => KeyCode::Tab,
        '\x08' => KeyCode::Backspace,
        c => KeyCode::Char(c),
    };
    keys.chars().fold(None, |_, c| state.handle(KeyEvent::from(code(c)), seen))
}

#[test]
fn keys_are_mtr_s() {
    let seen = built_in();
    let mut state = UiState::new(true, Theme::Dark, None);
    for (keys, command) in [("q", Command::Quit), ("r", Command::Reset), ("?q", Command::Quit)] {
        assert_eq!(typed(&mut state, keys, &seen), Some(command));
    }
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    assert_eq!(state.handle(control('c'), &seen), Some(Command::Interrupt));
    assert_eq!(state.handle(control('l'), &seen), Some(Command::Redraw));
    typed(&mut state, "pnjed", &seen);
    assert!(state.frozen && !state.names && state.extensions);
    assert_eq!((state.order.as_str(), state.display), ("DR AGJMXI", Display::Strip));
    typed(&mut state, " nj", &seen);
    assert!(!state.frozen && state.names && state.order.starts_with("LS NABWV"));
    typed(&mut state, "dd?x", &seen);
    assert!(state.display == Display::Numbers && !state.help);
}

#[test]
fn columns_are_chosen_by_letter() {
    let seen = built_in();
    let mut state = UiState::new(true, Theme::Dark, None);
    let old = state.order.clone();
    let erased = "\x08".repeat(20);
    typed(&mut state, &format!("o{erased}ls ep\n"), &seen);
    assert_eq!((state.order.as_str(), state.input.is_none()), ("LS EP", true));
    typed(&mut state, "oq?z\n", &seen);
    assert!(state.order == "LS EP" && state.complaint.as_ref().is_some_and(|it| it.contains('q')));
    typed(&mut state, &format!("o{erased}\x1b"), &seen);
    assert!(state.order == "LS EP" && state.complaint.is_none());
    typed(&mut state, &format!("o{erased}\n"), &seen);
    assert_eq!(state.order, old);
    // The list of columns may be looked at meanwhile, and all erased at once.
    typed(&mut state, "o?", &seen);
    assert!(state.help && state.input.is_some());
    assert_eq!(typed(&mut state, "q", &seen), None);
    state.handle(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL), &seen);
    typed(&mut state, "lsep\n", &seen);
    assert!(!state.help && state.order == "LSEP");
}

#[test]
fn chosen_columns_come_before_the_strip() {
    let seen = built_in();
    let head = |width: u16, order: &str| {
        let state = state(|state| state.order = order.into());
        text(&buffer((width, 24), &seen, &state)).lines().nth(1).unwrap().to_owned()
    };
    assert!(head(80, "LSRNBA").contains("Avg"));
    assert!(head(80, "LSRDNBAWE").ends_with("Wrst   Med"));
    let all = head(80, "LSRDNBAWEPT");
    assert!(all.contains("Wrst") && all.ends_with("+3"), "{all}");
    assert!(!head(120, "LSRDNBAWEPT").contains('+'));
}

#[test]
fn hops_and_panes_are_chosen_within_bounds() {
    let seen = built_in();
    let last = seen.target.table.rows().len() - 1;
    let mut state = UiState::new(true, Theme::Dark, None);
    for (key, selected) in [
        (KeyCode::Up, 0),
        (KeyCode::Down, 1),
        (KeyCode::PageDown, last),
        (KeyCode::Down, last),
        (KeyCode::PageUp, last - 8),
        (KeyCode::End, last),
        (KeyCode::Home, 0),
    ] {
        state.handle(KeyEvent::from(key), &seen);
        assert_eq!(state.selected, selected, "{key:?}");
    }
    for (keys, pane, full) in [
        ("\n", Some(Pane::Detail), false),
        ("\n", Some(Pane::Detail), true),
        ("v", Some(Pane::Chart), true),
        ("\x1b", Some(Pane::Chart), false),
        ("V", Some(Pane::Detail), false),
        ("V", Some(Pane::Changes), false),
        ("v", Some(Pane::Detail), false),
        ("\x1b", None, false),
        ("\x1b", None, false),
        ("v", Some(Pane::Chart), false),
    ] {
        typed(&mut state, keys, &seen);
        assert_eq!((state.pane, state.full), (pane, full), "{keys:?}");
    }
    let nothing = seen_of_nothing();
    for key in [KeyCode::Down, KeyCode::End, KeyCode::PageDown, KeyCode::Enter, KeyCode::Tab] {
        state.handle(KeyEvent::from(key), &nothing);
    }
}

#[test]
fn tabs_are_chosen_by_number_and_in_turn() {
    let mut seen = built_in();
    seen.tabs = vec![seen.tabs[0].clone(); 3];
    let mut state = UiState::new(true, Theme::Dark, None);
    for (keys, tab) in [("\t", 1), ("3", 2), ("\t", 0), ("9", 0), ("2", 1), ("0", 1)] {
        typed(&mut state, keys, &seen);
        assert_eq!(state.tab, tab, "{keys:?}");
    }
    state.handle(KeyEvent::from(KeyCode::BackTab), &seen);
    assert_eq!(state.tab, 0);
}

#[test]
fn the_tab_that_is_shown_is_always_seen() {
    let mut seen = built_in();
    seen.tabs =
        (1..=9).map(|n| Tab { name: format!("host{n}.example").into(), loss: None }).collect();
    for tab in 0..9 {
        let state = state(|state| state.tab = tab);
        let screen = text(&buffer(SMALL, &seen, &state));
        let line = screen.lines().nth(1).unwrap();
        assert!(line.contains(&format!("[{0} host{0}.example]", tab + 1)), "{line}");
        assert_eq!((line.starts_with("< "), line.ends_with(" >")), (tab > 3, tab < 8), "{line}");
    }
}

#[test]
fn a_recording_has_keys_of_its_own() {
    let mut seen = built_in();
    let began = Timestamp::from_parts(1_767_306_600, 0);
    let ended = began.after(Span::from_secs_f64(40.0));
    let end = Some((ended, 40));
    let (playing, seeking, speed, round) = (false, false, 2.0, 40);
    seen.playback = Some(Playback { playing, speed, seeking, at: ended, round, began, end });
    let mut state = UiState::new(true, Theme::Dark, None);
    for (keys, command) in [
        (" ", Command::Play),
        ("p", Command::Play),
        (".", Command::Step(1)),
        (",", Command::Step(-1)),
        ("+", Command::Speed(5.0)),
        ("-", Command::Speed(1.0)),
        ("g7\n", Command::Seek(Goal::Round(7))),
        ("g22:30:30\n", Command::Seek(Goal::Time(began.after(Span::from_secs_f64(30.0))))),
    ] {
        assert_eq!(typed(&mut state, keys, &seen), Some(command), "{keys:?}");
    }
    assert!(!state.frozen);
    assert_eq!(typed(&mut state, "gsoon\n", &seen), None);
    assert!(state.complaint.is_some());
    for (key, command) in [
        (KeyCode::Left, Command::Step(-1)),
        (KeyCode::Right, Command::Step(1)),
        (KeyCode::Home, Command::Seek(Goal::Round(1))),
        (KeyCode::End, Command::Seek(Goal::Round(u64::MAX))),
    ] {
        assert_eq!(state.handle(KeyEvent::from(key), &seen), Some(command));
    }
}

#[test]
fn forgetting_keeps_names_and_that_the_target_was_reached() {
    let topology = Topology::builtin();
    let config = config(&topology, 1);
    let plan = Plan { interval: 1.0, rounds: Some(2), until: None };
    let mut feed = fed(topology, config, plan, usize::MAX);
    feed.model.reset();
    let target = feed.model.target();
    assert!(target.table.rows().is_empty() && target.times.is_empty() && feed.model.reached());
    assert!(!target.names.is_empty());
}
