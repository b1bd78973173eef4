//! What comes from the terminal while a screen is on it.
//!
//! The terminal may go away. Then reading from it says at once that there is nothing, and crossterm would ask again for
//! ever; so whether it is still there is asked before crossterm is, and crossterm never waits.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::crossterm::event::{self, Event};

/// The terminal's end that keys come from: where crossterm reads them, too.
pub enum Keyboard {
    Stdin(io::Stdin),
    Opened(File),
}

/// What waiting came to.
pub enum Came {
    Event(Event),
    Nothing,
    /// There is no terminal any more.
    HungUp,
}

impl Keyboard {
    /// Stdin, or the terminal of the process if that is something else.
    pub fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Ok(Self::Stdin(stdin));
        }
        File::open("/dev/tty").map(Self::Opened)
    }

    /// Waits for so long at most, or until a signal comes.
    pub fn wait(&self, time: Duration) -> io::Result<Came> {
        // What crossterm has read already does not show any more.
        for wait in [Duration::ZERO, time] {
            if self.is_gone(wait)? {
                return Ok(Came::HungUp);
            }
            if event::poll(Duration::ZERO)? {
                return event::read().map(Came::Event);
            }
        }
        Ok(Came::Nothing)
    }

    /// Waits until something comes, and says whether that is the end.
    fn is_gone(&self, time: Duration) -> io::Result<bool> {
        let mut terminal = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut terminal, time) {
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

impl AsFd for Keyboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdin(stdin) => stdin.as_fd(),
            Self::Opened(file) => file.as_fd(),
        }
    }
}
