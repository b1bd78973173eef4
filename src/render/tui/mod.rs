//! The screen of a watch. What is drawn is a function of a [`Snapshot`] and of what a person chose to see
//! ([`UiState`]); keys change the latter and nothing else. No thread, no terminal and no clock is known here.
//!
//! Nothing of it needs colour: what colour says is also said by a sign, or in words. Text from the network (names,
//! interface names, targets of recordings) comes sanitised or escaped, as in the other reports.

mod changes;
mod chart;
pub mod columns;
mod detail;
mod help;
mod hops;
pub mod model;
pub mod moment;
mod packets;
pub mod state;
mod strip;
pub mod theme;

use std::net::IpAddr;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Wrap};

use crate::time::Timestamp;
use crate::trace::table::Row;
use crate::untrusted::Untrusted;
use moment::{clock, date_and_clock};
use theme::{SELECTED, STRONG, Theme};

pub use model::{Model, Packet, Shared, Target};
pub use state::{Asked, Command, Pane, UiState};

/// The smallest screen.
const SMALLEST: (u16, u16) = (80, 24);

/// How far systems are filled up with blanks, so that names begin in one column; one with several numbers may be longer.
const SYSTEM: usize = 8;

/// What the screen shows.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// All targets.
    pub tabs: Vec<Tab>,
    /// The one that is shown.
    pub target: Target,
    /// Where in a recording this is, if it is one.
    pub playback: Option<Playback>,
    /// What is amiss: the last of what else would have gone to stderr.
    pub message: Option<String>,
}

/// One of several targets.
#[derive(Clone, Debug)]
pub struct Tab {
    /// Its name as it was typed.
    pub name: Untrusted,
    /// The share of lost probes of its last hop, once there is one.
    pub loss: Option<f64>,
}

/// Where in a recording the screen is.
#[derive(Clone, Debug)]
pub struct Playback {
    /// Whether it moves on by itself.
    pub playing: bool,
    /// How many times as fast as it was recorded.
    pub speed: f64,
    /// It is on its way to the moment that was asked for.
    pub seeking: bool,
    /// The moment that is shown.
    pub at: Timestamp,
    /// The round that is shown, from 1; 0 before the first.
    pub round: u64,
    /// When the first frame was captured.
    pub began: Timestamp,
    /// When the last was, and how many rounds there are: once it has been read to its end.
    pub end: Option<(Timestamp, u64)>,
}

impl Target {
    /// A responder's name if names are wanted and it has one, else its address; after its autonomous systems, if
    /// they are wanted.
    fn host(&self, address: IpAddr, state: &UiState) -> String {
        let name = self.names.get(&address).filter(|_| state.names);
        let name = name.map_or_else(|| address.to_string(), Untrusted::shown);
        if !state.systems || self.systems.is_empty() {
            return name;
        }
        let width = |system: &model::System| system.numbers.chars().count();
        let widest = self.systems.values().map(width).max().unwrap_or(0).min(SYSTEM);
        let numbers = self.systems.get(&address).map_or("", |system| &system.numbers);
        format!("{numbers:widest$} {name}")
    }

    /// Both.
    fn name_and_address(&self, address: IpAddr) -> String {
        let name = self.names.get(&address);
        let shown = name.map(|name| format!("{} ({address})", name.shown()));
        shown.unwrap_or_else(|| address.to_string())
    }

    fn row(&self, state: &UiState) -> Option<(usize, &Row)> {
        let last = self.table.rows().len().checked_sub(1)?;
        let index = state.selected.min(last);
        self.table.rows().get(index).map(|row| (index, row))
    }
}

/// Draws the screen.
pub fn draw(frame: &mut Frame<'_>, seen: &Snapshot, state: &UiState) {
    let area = frame.area();
    let theme = state.theme;
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!(
            "Needs {width}×{height}, this terminal is {}×{}.\nPress q to quit.",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let mut lines = Vec::from([title(seen, state, theme)]);
    if seen.tabs.len() > 1 {
        lines.push(tabs(&seen.tabs, state, area.width.into()));
    }
    if let Some(playback) = &seen.playback {
        lines.push(position(playback, &missed(seen.target.table.missed()), area.width));
    }
    let top = u16::try_from(lines.len()).unwrap_or(1);
    let (head, rest) = split(area, top);
    frame.render_widget(Paragraph::new(lines), head);
    let (body, foot) = split(rest, rest.height - 1);
    frame.render_widget(Paragraph::new(footer(seen, state, theme)), foot);

    let (table, below) = parts(body, seen, state);
    if let Some(table) = table {
        hops::draw(frame, table, &seen.target, state, theme);
    }
    if let (Some(below), Some(pane)) = (below, state.pane) {
        draw_pane(frame, below, pane, seen, state, theme);
    }
    if state.help {
        help::draw(frame, area, seen.playback.is_some());
    }
}

/// The upper `height` lines, and the rest.
fn split(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let upper = Rect { height, ..area };
    (upper, Rect { y: area.y + height, height: area.height - height, ..area })
}

/// Room for the table, and for a pane: the table gets what it needs, but not more than half of what there is.
fn parts(body: Rect, seen: &Snapshot, state: &UiState) -> (Option<Rect>, Option<Rect>) {
    match state.pane {
        None => (Some(body), None),
        Some(_) if state.full => (None, Some(body)),
        Some(_) => {
            let lines = hops::lines(&seen.target, state).len() + 1;
            let needed = u16::try_from(lines).unwrap_or(u16::MAX);
            let (table, below) = split(body, needed.min(body.height / 2));
            (Some(table), Some(below))
        }
    }
}

fn title(seen: &Snapshot, state: &UiState, theme: Theme) -> Line<'static> {
    let Target { config, interval, table, now, over, missing, .. } = &seen.target;
    let name = config.target_name.word();
    let address = config.target.to_string();
    let to = if name == address { address } else { format!("{name} ({address})") };
    let mut spans = vec![Span::styled("rtrace", STRONG)];
    let standing = [(*over, " OVER"), (state.frozen, " PAUSED")];
    let standing = standing.into_iter().filter(|(is, _)| *is && seen.playback.is_none());
    spans.extend(standing.map(|(_, word)| Span::styled(word, theme.warning())));
    // First what is wrong: the line may be cut.
    let wrong = |said: String| Span::styled(format!("  {said}"), theme.warning());
    let looped = table.looped().filter(|looped| looped.lasts);
    spans.extend(looped.map(|looped| wrong(super::text::loop_words(looped.last))));
    let running = table.reach().outage().filter(|outage| outage.until.is_none());
    spans.extend(running.map(|it| wrong(super::outage::in_words(it, |host| host.to_string()))));
    let every = interval.map_or_else(String::new, |interval| format!("  every {interval} s"));
    spans.push(Span::raw(format!("  {} to {to}{every}", config.source)));
    if seen.playback.is_none() {
        let round = table.rounds().saturating_add(*missing);
        let missed = missed(table.missed().saturating_add(*missing));
        spans.push(Span::raw(format!("  round {round}{missed}  {}", clock(*now))));
    }
    Line::from(spans)
}

/// The note on rounds in which no probe was seen leaving.
fn missed(rounds: u64) -> String {
    if rounds == 0 { String::new() } else { format!(" ({rounds} not sent)") }
}

/// The tabs that fit, with the current one among them.
fn tabs(tabs: &[Tab], state: &UiState, width: usize) -> Line<'static> {
    let text = |(index, tab): (usize, &Tab)| {
        let loss = match tab.loss {
            Some(loss) if loss > 0.0 => format!(" {:.0}% lost", loss * 100.0),
            _ => String::new(),
        };
        format!("{} {}{loss}", index + 1, tab.name.word())
    };
    let texts: Vec<String> = tabs.iter().enumerate().map(text).collect();
    // Room for a sign at either end that there are more.
    let taken = |texts: &[String]| texts.iter().map(|it| it.chars().count() + 2).sum::<usize>() + 4;
    let to_this = texts.get(..=state.tab).unwrap_or(&texts);
    let first = (0..state.tab)
        .find(|first| to_this.get(*first..).is_some_and(|shown| taken(shown) <= width));
    let first = first.unwrap_or(state.tab);
    let mut line = Line::raw(if first > 0 { "< " } else { "" });
    for (index, text) in texts.into_iter().enumerate().skip(first) {
        if index > state.tab && line.width() + text.chars().count() + 4 > width {
            line.push_span(Span::raw(" >"));
            break;
        }
        line.push_span(if index == state.tab {
            Span::styled(format!("[{text}]"), SELECTED)
        } else {
            Span::raw(format!(" {text} "))
        });
    }
    line
}

/// Where in the recording this is, and a bar of it.
fn position(playback: &Playback, missed: &str, width: u16) -> Line<'static> {
    let Playback { playing, speed, seeking, at, round, began, end } = playback;
    let motion = match (seeking, playing) {
        (true, _) => "seeking",
        (false, true) => "playing",
        (false, false) => "stopped",
    };
    let of = end.map_or_else(String::new, |(_, rounds)| format!(" of {rounds}"));
    let time = date_and_clock(*at);
    let text = format!("{motion} x{speed}  round {round}{of}{missed}  {time} UTC  ");
    let Some((ended, _)) = end else { return Line::raw(text) };
    let room = usize::from(width).saturating_sub(text.len() + 2);
    let (whole, done) = (ended.since(*began).secs_f64(), at.since(*began).secs_f64());
    let share = if whole > 0.0 { (done / whole).clamp(0.0, 1.0) } else { 1.0 };
    let before = theme::scaled(share, room);
    Line::raw(format!("{text}[{}{}]", "=".repeat(before), "-".repeat(room - before)))
}

fn footer(seen: &Snapshot, state: &UiState, theme: Theme) -> Line<'static> {
    if let Some(input) = &state.input {
        let what = match input.what {
            Asked::Columns => "Columns (? lists, Ctrl-U clears, Enter takes, Esc leaves): ",
            Asked::Goal => "Go to a round or a time (120, 14:03, 2026-01-31 14:03:20): ",
        };
        let typed = Untrusted::from(format!("{}_", input.text)).shown();
        return Line::from(vec![Span::raw(what), Span::styled(typed, STRONG)]);
    }
    let unread = seen.message.as_ref().filter(|message| state.read.as_ref() != Some(message));
    if let Some(complaint) = state.complaint.as_ref().or(unread) {
        return Line::styled(Untrusted::from(complaint.as_str()).shown(), theme.warning());
    }
    let keys = if seen.playback.is_some() {
        "q quit  ? help  space play  \u{2190} \u{2192} round  g go to  + - speed  Enter detail  v chart"
    } else {
        "q quit  ? help  p pause  d display  o columns  j jitter  Enter detail  v chart"
    };
    Line::styled(keys, theme.faint())
}

fn draw_pane(
    frame: &mut Frame<'_>,
    area: Rect,
    pane: Pane,
    seen: &Snapshot,
    state: &UiState,
    theme: Theme,
) {
    frame.render_widget(Clear, area);
    let mut names = Line::default();
    for it in state::PANES {
        let name = match it {
            Pane::Detail => "Detail",
            Pane::Chart => "Chart",
            Pane::Packets => "Packets",
            Pane::Changes => "Changes",
        };
        names.push_span(if it == pane {
            Span::styled(format!("[{name}]"), SELECTED)
        } else {
            Span::raw(format!(" {name} "))
        });
    }
    if let Some((_, row)) = seen.target.row(state).filter(|_| pane != Pane::Changes) {
        names.push_span(Span::raw(format!(" of hop {} ", row.ttl)));
    }
    let block = Block::new().borders(Borders::TOP).title(names);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let text = match pane {
        Pane::Chart => return chart::draw(frame, inner, &seen.target, state, theme),
        Pane::Detail => detail::lines(&seen.target, state),
        Pane::Packets => packets::lines(&seen.target, state),
        Pane::Changes => changes::lines(&seen.target, state),
    };
    let scroll = usize::from(state.scroll).min(text.len().saturating_sub(1));
    let shown = text.into_iter().skip(scroll).map(Line::raw).collect::<Vec<_>>();
    frame.render_widget(Paragraph::new(shown).wrap(Wrap { trim: false }), inner);
}
