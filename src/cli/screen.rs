//! The terminal while a watch is on it: taken over, drawn on when something has changed, and given back whatever
//! happens.
//!
//! One thread waits for keys and draws; it looks for news ten times a second, and that is how often it draws at
//! most, but for keys, which are answered at once. What is shown is a [`Scene`]'s matter.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, raise};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::Event;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::flag;

use super::console;
use super::keyboard::{Came, Keyboard};
use crate::render::tui::{self, Command, Snapshot, UiState};

/// Whether stdout is a terminal that can be drawn on.
pub fn is_possible() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| draws(&term))
}

/// Whether a terminal of this type can be drawn on: of an empty type nothing is known.
fn draws(term: &OsStr) -> bool {
    !term.is_empty() && term != "dumb"
}

/// How often news are looked for, and drawn at most.
const TICK: Duration = Duration::from_millis(100);

/// What is on the screen.
pub trait Scene {
    /// Goes on with the time, and says whether there is anything new.
    fn news(&mut self, now: Instant) -> bool;

    /// What the screen shows.
    fn snapshot(&mut self, tab: usize) -> Snapshot;

    /// Does what a key asked for on this tab.
    fn command(&mut self, command: Command, tab: usize);

    /// Whether it is at work: then news are looked for again as soon as keys have been.
    fn is_busy(&self) -> bool {
        false
    }

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

/// Shows a scene until it is left.
pub fn show(scene: &mut dyn Scene, mut state: UiState) -> anyhow::Result<Left> {
    let signals = Signals::take().context("cannot take over the signals")?;
    let keyboard = Keyboard::open().context("cannot read keys: there is no terminal")?;
    let (screen, mut terminal) = Screen::open().context("cannot take over the terminal")?;
    let left = turn(scene, &mut state, &mut terminal, &keyboard, &signals);
    part_with(terminal);
    drop(screen);
    left.context("cannot restore the terminal")
}

fn turn(
    scene: &mut dyn Scene,
    state: &mut UiState,
    terminal: &mut DefaultTerminal,
    keyboard: &Keyboard,
    signals: &Signals,
) -> io::Result<Left> {
    let mut seen = scene.snapshot(state.tab);
    let mut drawn = Instant::now();
    let mut due = true;
    loop {
        if let Some(signal) = signals.last() {
            return Ok(Left::Interrupted(signal));
        }
        if scene.is_broken() || PANICKED.load(Ordering::SeqCst) {
            return Ok(Left::Quit);
        }
        if signals.stopped.swap(false, Ordering::SeqCst) {
            stop_for_a_while(terminal)?;
            due = true;
        }
        if due {
            terminal.draw(|frame| tui::draw(frame, &seen, state))?;
            (due, drawn) = (false, Instant::now());
        }
        let wait = if scene.is_busy() { Duration::ZERO } else { TICK };
        match keyboard.wait(wait.saturating_sub(drawn.elapsed()))? {
            Came::HungUp => return Ok(Left::Interrupted(1)),
            Came::Event(Event::Key(key)) => {
                let tab = state.tab;
                match state.handle(key, &seen) {
                    Some(Command::Quit) => return Ok(Left::Quit),
                    Some(Command::Interrupt) => return Ok(Left::Interrupted(2)),
                    Some(Command::Redraw) => redraw(terminal)?,
                    Some(Command::Suspend) => stop_for_a_while(terminal)?,
                    Some(command) => {
                        scene.command(command, state.tab);
                        seen = scene.snapshot(state.tab);
                    }
                    None if tab != state.tab => seen = scene.snapshot(state.tab),
                    None => {}
                }
                due = true;
            }
            Came::Event(Event::Resize(..)) => due = true,
            Came::Event(_) => {}
            Came::Nothing => {
                if scene.news(Instant::now()) && !state.frozen {
                    seen = scene.snapshot(state.tab);
                    due = true;
                }
                drawn = Instant::now();
            }
        }
    }
}

/// Has everything drawn anew. `clear` would ask the terminal where its cursor is, which not every one answers.
fn redraw(terminal: &mut DefaultTerminal) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(size.into())
}

/// Gives the terminal back and stops, with all threads, until the shell goes on with it.
fn stop_for_a_while(terminal: &mut DefaultTerminal) -> io::Result<()> {
    terminal.show_cursor()?;
    ratatui::try_restore()?;
    raise(Signal::SIGSTOP)?;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    redraw(terminal)
}

/// The terminal is ours for as long as this is there. A panic gives it back too, before it says anything.
struct Screen;

impl Screen {
    fn open() -> io::Result<(Self, DefaultTerminal)> {
        hold_from_now_on();
        let screen = Self;
        let terminal = ratatui::try_init()?;
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            PANICKED.store(true, Ordering::SeqCst);
            hook(what);
        }));
        Ok((screen, terminal))
    }
}

/// There was a panic, in whichever thread, and ratatui's hook has given the terminal back.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Shows the cursor again.
fn part_with(mut terminal: DefaultTerminal) {
    if terminal.show_cursor().is_err() {
        // It would try again when it is dropped, and panic if there is no stderr to complain to.
        std::mem::forget(terminal);
    }
}

impl Drop for Screen {
    /// Restores the terminal, if there still is one, and writes the messages that were held back.
    fn drop(&mut self) {
        // A second restore would move the cursor back over the panic message.
        if !PANICKED.load(Ordering::SeqCst) {
            let _ = ratatui::try_restore();
        }
        release();
    }
}

/// The signals that end a screen, and the one that stops it for a while. Once it has ended the former do again what
/// they did before.
struct Signals {
    last: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Signals {
    fn take() -> io::Result<Self> {
        let signals = Self { last: Arc::default(), stopped: Arc::default(), ended: Arc::default() };
        flag::register(SIGTSTP, Arc::clone(&signals.stopped))?;
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
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
    lines.iter().flatten().for_each(|line| console::say(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_of_which_nothing_is_known_is_not_drawn_on() {
        for (term, drawn) in
            [("xterm-256color", true), ("linux", true), ("dumb", false), ("", false)]
        {
            assert_eq!(draws(term.as_ref()), drawn, "{term:?}");
        }
    }
}
