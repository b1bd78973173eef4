//! The program's own output and its messages, which are often on one terminal.
//!
//! A report that is written piece by piece leaves the cursor in the middle of a line, and a message that comes then
//! begins a new one. Here alone is known where the cursor is: all that is written to stdout and stderr goes through
//! here, but for the screen, which has the terminal to itself.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::sys::stat::fstat;

/// One of the two streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

/// The stream whose last line has no end yet, if there is one.
static UNFINISHED: Mutex<Option<Stream>> = Mutex::new(None);

/// A stream whose last character is remembered.
pub struct Tracked<W> {
    out: W,
    stream: Stream,
}

/// Where results go.
pub fn stdout() -> Tracked<io::Stdout> {
    Tracked { out: io::stdout(), stream: Stream::Stdout }
}

/// Where a report goes if a recording takes stdout.
pub fn stderr() -> Tracked<io::Stderr> {
    Tracked { out: io::stderr(), stream: Stream::Stderr }
}

impl<W: Write> Write for Tracked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.out.write(bytes)?;
        if let Some(last) = bytes.get(..written).and_then(<[u8]>::last) {
            *unfinished = (*last != b'\n').then_some(self.stream);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Says a line on stderr. Nobody is left to be told if stderr is gone.
pub fn say(line: &str) {
    let _ = aside(format!("rtrace: {line}\n").as_bytes());
}

/// Writes whole lines to stderr, below what is unfinished where that is seen beside them.
pub fn aside(lines: &[u8]) -> io::Result<()> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut err = io::stderr().lock();
    let beside = match *unfinished {
        None => false,
        Some(Stream::Stderr) => true,
        Some(Stream::Stdout) => *ARE_ONE,
    };
    if beside {
        *unfinished = None;
        err.write_all(b"\n")?;
    }
    err.write_all(lines)
}

/// Whether both streams lead to terminals, or to one file.
static ARE_ONE: LazyLock<bool> = LazyLock::new(|| {
    let (out, err) = (io::stdout(), io::stderr());
    let file = |stream: BorrowedFd<'_>| fstat(stream).map(|file| (file.st_dev, file.st_ino));
    out.is_terminal() && err.is_terminal()
        || file(out.as_fd()).is_ok_and(|out| file(err.as_fd()) == Ok(out))
});

/// Looks where the streams lead, while that may still be asked.
pub fn look() {
    LazyLock::force(&ARE_ONE);
}
