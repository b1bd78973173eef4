//! The terminal while a watch is on it: taken over, drawn on when something has changed, and given back whatever
//! happens.
//!
//! One thread waits for keys and draws; it looks for news ten times a second, and that is how often it draws at
//! most, but for keys, which are answered at once. What is shown is a [`Scene`]'s matter.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::render::columns::Columns;
use crate::render::tui::{self, Command, Snapshot, UiState};

/// How often news are looked for, and drawn at most.
const TICK: Duration = Duration::from_millis(100);

/// What is on the screen.
pub trait Scene {
    /// Goes on with the time, and says whether there is anything new.
    fn news(&mut self, now: Instant) -> bool;

    /// What is to be seen.
    fn snapshot(&mut self, tab: usize) -> Snapshot;

    /// Does what a key asked for on this tab.
    fn command(&mut self, command: Command, tab: usize);

    /// Whether it cannot go on: the terminal is left then.
    fn is_broken(&self) -> bool {
        false
    }
}

/// Why a screen was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// By a key.
    Quit,
    /// By this signal, or the key that stands for it.
    Interrupted(u8),
}

/// Shows a scene until it is left: at first with or without names, and with these columns.
pub fn show(scene: &mut dyn Scene, names: bool, columns: Option<&Columns>) -> anyhow::Result<Left> {
    let signals = Signals::take().context("cannot take over the signals")?;
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut state = UiState::new(names, !no_colour, columns);
    let mut screen = Screen::open().context("cannot take over the terminal")?;
    let left = turn(scene, &mut state, &mut screen.0, &signals);
    drop(screen);
    left.context("cannot go on with the terminal")
}

fn turn(
    scene: &mut dyn Scene,
    state: &mut UiState,
    terminal: &mut DefaultTerminal,
    signals: &Signals,
) -> io::Result<Left> {
    let mut seen = scene.snapshot(state.tab);
    let mut drawn = Instant::now();
    let mut due = true;
    loop {
        if let Some(signal) = signals.last() {
            return Ok(Left::Interrupted(signal));
        }
        if due {
            terminal.draw(|frame| tui::draw(frame, &seen, state))?;
            (due, drawn) = (false, Instant::now());
        }
        let key = if event::poll(TICK.saturating_sub(drawn.elapsed()))? {
            Some(event::read()?)
        } else if event::poll(Duration::ZERO)? {
            continue;
        } else {
            None
        };
        match key {
            Some(Event::Key(key)) => {
                let tab = state.tab;
                match state.handle(key, &seen) {
                    Some(Command::Quit) => return Ok(Left::Quit),
                    Some(Command::Interrupt) => return Ok(Left::Interrupted(2)),
                    Some(Command::Redraw) => terminal.clear()?,
                    Some(command) => {
                        scene.command(command, state.tab);
                        seen = scene.snapshot(state.tab);
                    }
                    None if tab != state.tab => seen = scene.snapshot(state.tab),
                    None => {}
                }
                due = true;
            }
            Some(Event::Resize(..)) => due = true,
            Some(_) => {}
            None => {
                let news = scene.news(Instant::now());
                if scene.is_broken() {
                    return Ok(Left::Quit);
                }
                if news && !state.frozen {
                    seen = scene.snapshot(state.tab);
                    due = true;
                }
                drawn = Instant::now();
            }
        }
    }
}

/// The terminal, for as long as it is ours. A panic gives it back too, before it says anything.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        hold_from_now_on();
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                ratatui::restore();
                release();
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        ratatui::restore();
        release();
    }
}

/// The signals that end a screen. Once it has ended they do again what they did before.
struct Signals {
    last: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Signals {
    fn take() -> io::Result<Self> {
        let signals = Self { last: Arc::default(), ended: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_default(signal, Arc::clone(&signals.ended))?;
            let value = usize::try_from(signal).map_err(io::Error::other)?;
            flag::register_usize(signal, Arc::clone(&signals.last), value)?;
        }
        Ok(signals)
    }

    fn last(&self) -> Option<u8> {
        u8::try_from(self.last.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// What would have been said on stderr, kept until the screen is gone; `None` while there is no screen.
static HELD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Keeps a line while there is a screen; hands it back if there is none.
pub fn hold(line: String) -> Option<String> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *held {
        Some(lines) => {
            lines.push(line);
            None
        }
        None => Some(line),
    }
}

/// The last line that is kept.
pub fn held() -> Option<String> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.as_ref().and_then(|lines| lines.last().cloned())
}

fn hold_from_now_on() {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// Says what was kept.
fn release() {
    let lines = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut err = io::stderr().lock();
    for line in lines.into_iter().flatten() {
        // Nobody is left to be told if stderr is gone.
        let _ = writeln!(err, "rtrace: {line}");
    }
}
