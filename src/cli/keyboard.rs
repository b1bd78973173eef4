//! What comes from the terminal while a screen is on it.
//!
//! The terminal may go away. Then reading from it says at once that there is nothing, and crossterm asks again for
//! ever. So a thread of its own reads; whether the terminal is still there is seen without reading, and the thread
//! ends with the process, whatever it is at.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::crossterm::event::{self, Event};

/// The terminal's end that keys come from, and what has been read from it.
pub struct Keyboard {
    terminal: Terminal,
    events: Receiver<io::Result<Event>>,
}

/// Where crossterm reads from, too.
enum Terminal {
    Stdin(io::Stdin),
    Opened(File),
}

/// What waiting came to.
pub enum Came {
    Event(Event),
    Nothing,
    /// The terminal was closed.
    HungUp,
}

impl Keyboard {
    /// Stdin, or the terminal of the process if that is something else.
    pub fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let terminal = if stdin.is_terminal() {
            Terminal::Stdin(stdin)
        } else {
            Terminal::Opened(File::open("/dev/tty")?)
        };
        let (read, events) = mpsc::channel();
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            loop {
                let event = event::read();
                let failed = event.is_err();
                if read.send(event).is_err() || failed {
                    return;
                }
            }
        })?;
        Ok(Self { terminal, events })
    }

    /// Waits at most this long.
    pub fn wait(&self, time: Duration) -> io::Result<Came> {
        if self.is_gone()? {
            return Ok(Came::HungUp);
        }
        match self.events.recv_timeout(time) {
            Ok(event) => event.map(Came::Event),
            Err(RecvTimeoutError::Timeout) => Ok(Came::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Came::HungUp),
        }
    }

    fn is_gone(&self) -> io::Result<bool> {
        // Whatever is asked for, that there is no terminal is always said.
        let mut terminal = [PollFd::new(self.terminal.as_fd(), PollFlags::empty())];
        match poll(&mut terminal, PollTimeout::ZERO) {
            Ok(_) => {
                let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
                let came = terminal.first().and_then(PollFd::revents);
                Ok(came.is_some_and(|came| came.intersects(gone)))
            }
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdin(stdin) => stdin.as_fd(),
            Self::Opened(file) => file.as_fd(),
        }
    }
}
