//! What a person has chosen to see, and how keys change it: mtr's where mtr has one.
//!
//! [`UiState::handle`] is a function of the key, the state and what is on the screen. What concerns the outside
//! (probers, the player of a recording) it hands back as a [`Command`].

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::Snapshot;
use super::columns::{JITTER, LATENCY};
use super::moment::{self, Goal};
use super::theme::Theme;
use crate::render::columns::{Columns, by_letter};

/// Hops that page up and page down move by.
const PAGE: usize = 8;
/// How many times as fast as it was recorded a recording can be played.
const SPEEDS: [f64; 12] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 1000.0];
/// Longest input.
const INPUT: usize = 40;

/// What is shown, and how.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct UiState {
    /// Which target.
    pub tab: usize,
    /// Which of its hops, by index.
    pub selected: usize,
    /// What is shown of each hop.
    pub display: Display,
    /// Letters of the columns.
    pub order: String,
    /// Those that were asked for at the start.
    pub own: String,
    /// Names of responders, not addresses.
    pub names: bool,
    /// Autonomous systems before them, where they were asked for.
    pub systems: bool,
    /// What routers append to their replies, below them.
    pub extensions: bool,
    /// What is shown below the table.
    pub pane: Option<Pane>,
    /// It has the whole screen.
    pub full: bool,
    /// Its first line, counted from its top.
    pub scroll: u16,
    /// The screen stands still while the probers go on.
    pub frozen: bool,
    /// The keys are explained.
    pub help: bool,
    /// What is being typed.
    pub input: Option<Input>,
    /// What was wrong with what was typed last.
    pub complaint: Option<String>,
    /// The message that was there when a key was typed last: it has been read.
    pub read: Option<String>,
    /// The colours.
    pub theme: Theme,
}

/// What is shown of each hop: mtr's display modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// Numbers, and a strip where there is room.
    Numbers,
    /// The strip alone.
    Strip,
    /// The strip, and the most important numbers.
    Both,
}

/// What can be shown below the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// Everything about the selected hop.
    Detail,
    /// Its RTTs over time.
    Chart,
    /// Its last replies.
    Packets,
    /// The changes of the path.
    Changes,
}

/// The panes, in the order in which they follow one another.
pub const PANES: [Pane; 4] = [Pane::Detail, Pane::Chart, Pane::Packets, Pane::Changes];

/// A line that is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What it is for.
    pub what: Asked,
    /// What it says so far.
    pub text: String,
}

/// What a line is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The letters of the columns.
    Columns,
    /// A round or a time of the recording.
    Goal,
}

/// What somebody else has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// End.
    Quit,
    /// End as after SIGINT.
    Interrupt,
    /// Forget the rounds so far.
    Reset,
    /// Draw everything anew.
    Redraw,
    /// Give the terminal to the shell, until it is given back.
    Suspend,
    /// Play the recording, or pause it.
    Play,
    /// Go forward, or back if negative, by this number of rounds.
    Step(i64),
    /// Go there in the recording.
    Seek(Goal),
    /// Play this many times as fast.
    Speed(f64),
}

impl UiState {
    /// What is shown at first.
    #[must_use]
    pub fn new(names: bool, theme: Theme, columns: Option<&Columns>) -> Self {
        let own = columns.map_or_else(|| LATENCY.to_owned(), ToString::to_string);
        Self {
            tab: 0,
            selected: 0,
            display: Display::Numbers,
            order: own.clone(),
            own,
            names,
            systems: true,
            extensions: false,
            pane: None,
            full: false,
            scroll: 0,
            frozen: false,
            help: false,
            input: None,
            complaint: None,
            read: None,
            theme,
        }
    }

    /// Whether the columns that are shown were chosen by somebody.
    pub(super) fn has_own_columns(&self) -> bool {
        ![LATENCY, JITTER].contains(&self.order.as_str())
    }

    /// Takes a key, and says what it asks others to do.
    pub fn handle(&mut self, key: KeyEvent, seen: &Snapshot) -> Option<Command> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.complaint = None;
        self.read.clone_from(&seen.message);
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Command::Interrupt),
                KeyCode::Char('l') => Some(Command::Redraw),
                KeyCode::Char('z') => Some(Command::Suspend),
                KeyCode::Char('u') => {
                    self.input.iter_mut().for_each(|input| input.text.clear());
                    None
                }
                _ => None,
            };
        }
        if std::mem::take(&mut self.help) {
            let quits = key.code == KeyCode::Char('q') && self.input.is_none();
            return quits.then_some(Command::Quit);
        }
        if let Some(input) = self.input.take() {
            return self.typed(input, key.code, seen);
        }
        let command = seen.playback.is_some().then(|| play(key.code, seen)).flatten();
        command.or_else(|| match key.code {
            KeyCode::Char('g') if seen.playback.is_some() => {
                self.ask(Asked::Goal, String::new());
                None
            }
            code => self.choose(code, seen),
        })
    }

    fn choose(&mut self, code: KeyCode, seen: &Snapshot) -> Option<Command> {
        let last = seen.target.table.rows().len().saturating_sub(1);
        match code {
            KeyCode::Char('q') => return Some(Command::Quit),
            KeyCode::Char('r') => return Some(Command::Reset),
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('p' | ' ') => self.frozen = !self.frozen,
            KeyCode::Char('d') => {
                self.display = match self.display {
                    Display::Numbers => Display::Strip,
                    Display::Strip => Display::Both,
                    Display::Both => Display::Numbers,
                }
            }
            KeyCode::Char('n') => self.names = !self.names,
            KeyCode::Char('z') => self.systems = !self.systems,
            KeyCode::Char('e') => self.extensions = !self.extensions,
            KeyCode::Char('j') => {
                let other = if self.order == JITTER { &self.own } else { JITTER };
                self.order = other.to_owned();
            }
            KeyCode::Char('o') => self.ask(Asked::Columns, self.order.clone()),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected.saturating_sub(1)),
            KeyCode::Down => self.select(last.min(self.selected + 1)),
            KeyCode::PageUp | KeyCode::Char('-') => {
                self.select(self.selected.saturating_sub(PAGE));
            }
            KeyCode::PageDown | KeyCode::Char('+') => self.select(last.min(self.selected + PAGE)),
            KeyCode::Home => self.select(0),
            KeyCode::End => self.select(last),
            KeyCode::Enter => self.open(),
            KeyCode::Esc => self.close(),
            KeyCode::Char('v') => self.turn(1),
            KeyCode::Char('V') => self.turn(PANES.len() - 1),
            KeyCode::Char(']') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Char('[') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Tab => self.show_tab((self.tab + 1) % seen.tabs.len().max(1)),
            KeyCode::BackTab => {
                let tabs = seen.tabs.len().max(1);
                self.show_tab((self.tab + tabs - 1) % tabs);
            }
            KeyCode::Char(digit @ '1'..='9') => {
                let tab = digit as usize - '1' as usize;
                if tab < seen.tabs.len() {
                    self.show_tab(tab);
                }
            }
            _ => {}
        }
        None
    }

    fn select(&mut self, hop: usize) {
        (self.selected, self.scroll) = (hop, 0);
    }

    fn show_tab(&mut self, tab: usize) {
        if tab != self.tab {
            (self.tab, self.selected, self.scroll) = (tab, 0, 0);
        }
    }

    /// Below the table first, then on the whole screen.
    fn open(&mut self) {
        match self.pane {
            None => self.pane = Some(Pane::Detail),
            Some(_) => self.full = !self.full,
        }
    }

    fn close(&mut self) {
        if !std::mem::take(&mut self.full) {
            self.pane = None;
        }
    }

    /// Moves to another pane, counted from this one.
    fn turn(&mut self, by: usize) {
        let at = self.pane.and_then(|pane| PANES.iter().position(|it| *it == pane));
        let next = match at {
            Some(at) => (at + by) % PANES.len(),
            // From the table it is the chart that is wanted: Enter gives the detail.
            None => 1,
        };
        (self.pane, self.scroll) = (PANES.get(next).copied(), 0);
    }

    fn ask(&mut self, what: Asked, text: String) {
        self.input = Some(Input { what, text });
    }

    fn typed(&mut self, mut input: Input, code: KeyCode, seen: &Snapshot) -> Option<Command> {
        match code {
            KeyCode::Esc => return None,
            KeyCode::Enter => return self.entered(&input, seen),
            KeyCode::Backspace => {
                input.text.pop();
            }
            KeyCode::Delete => input.text.clear(),
            KeyCode::Char('?') if input.what == Asked::Columns => self.help = true,
            KeyCode::Char(c @ ' '..='~') if input.text.len() < INPUT => input.text.push(c),
            _ => {}
        }
        self.input = Some(input);
        None
    }

    fn entered(&mut self, input: &Input, seen: &Snapshot) -> Option<Command> {
        let text = input.text.trim();
        match input.what {
            Asked::Columns => {
                let unknown = |c: &char| *c != ' ' && by_letter(*c).is_none();
                match text.chars().find(unknown) {
                    Some(c) => self.complaint = Some(format!("there is no column {c}: see ?")),
                    None if text.is_empty() => self.order.clone_from(&self.own),
                    None => self.order = text.to_ascii_uppercase(),
                }
                None
            }
            Asked::Goal => {
                let from = seen.playback.as_ref().map(|playback| playback.began)?;
                let goal = moment::parse_goal(text, from);
                if goal.is_none() {
                    let wrong = "it must be a round (120), or a time (14:03:20, 2026-01-31 14:03)";
                    self.complaint = Some(wrong.to_owned());
                }
                goal.map(Command::Seek)
            }
        }
    }
}

/// What a key means while a recording is shown.
fn play(code: KeyCode, seen: &Snapshot) -> Option<Command> {
    let speed = seen.playback.as_ref().map_or(1.0, |playback| playback.speed);
    Some(match code {
        KeyCode::Char('p' | ' ') => Command::Play,
        KeyCode::Right | KeyCode::Char('.') => Command::Step(1),
        KeyCode::Left | KeyCode::Char(',') => Command::Step(-1),
        KeyCode::Char('>') => Command::Step(60),
        KeyCode::Char('<') => Command::Step(-60),
        KeyCode::Home => Command::Seek(Goal::Round(1)),
        KeyCode::End => Command::Seek(Goal::Round(u64::MAX)),
        KeyCode::Char('+' | '=') => {
            Command::Speed(*SPEEDS.iter().find(|faster| **faster > speed).unwrap_or(&speed))
        }
        KeyCode::Char('-') => {
            Command::Speed(*SPEEDS.iter().rfind(|slower| **slower < speed).unwrap_or(&speed))
        }
        _ => return None,
    })
}
