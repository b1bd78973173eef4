//! The program's own output and its messages, which are often on one terminal.
//!
//! A report that is written piece by piece leaves the cursor in the middle of a line. A message that comes then waits for
//! the end of that line, so that neither is torn; at the end of the run the line is broken off for it. Here alone is known
//! where the cursor is: all that is written to stdout and stderr goes through here, but for the screen, which has the
//! terminal to itself.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use nix::sys::stat::fstat;

/// One of the two streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

/// What is seen of both streams.
struct Cursor {
    /// The stream whose last line has no end yet, if there is one.
    unfinished: Option<Stream>,
    /// Whole lines for stderr that wait for that end.
    held: Vec<u8>,
}

static CURSOR: Mutex<Cursor> = Mutex::new(Cursor { unfinished: None, held: Vec::new() });

/// No more is held back, in bytes.
const MOST_HELD: usize = 1 << 16;

impl Cursor {
    /// Whether a message would be seen in the middle of a line.
    fn is_in_line(&self) -> bool {
        match self.unfinished {
            None => false,
            Some(Stream::Stderr) => true,
            Some(Stream::Stdout) => *ARE_ONE,
        }
    }

    /// Writes what was held back.
    fn release(&mut self) -> io::Result<()> {
        io::stderr().lock().write_all(&std::mem::take(&mut self.held))
    }

    /// Ends the current line before a message.
    fn break_line(&mut self) -> io::Result<()> {
        if self.is_in_line() {
            self.unfinished = None;
            io::stderr().lock().write_all(b"\n")?;
        }
        self.release()
    }
}

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
        let mut cursor = cursor();
        let line = bytes.iter().position(|byte| *byte == b'\n').filter(|_| !cursor.held.is_empty());
        let written = self.out.write(line.and_then(|end| bytes.get(..=end)).unwrap_or(bytes))?;
        if let Some(last) = bytes.get(..written).and_then(<[u8]>::last) {
            cursor.unfinished = (*last != b'\n').then_some(self.stream);
        }
        if line.is_some() && cursor.unfinished.is_none() {
            self.out.flush()?;
            let _ = cursor.release();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a line to stderr. Errors are ignored: there is nowhere left to report them.
pub fn say(line: &str) {
    let _ = aside(format!("rtrace: {line}\n").as_bytes());
}

/// Writes whole lines to stderr: where a line is unfinished beside which they would be seen, after that.
pub fn aside(lines: &[u8]) -> io::Result<()> {
    let mut cursor = cursor();
    if cursor.is_in_line() && cursor.held.len() + lines.len() <= MOST_HELD {
        cursor.held.extend_from_slice(lines);
        return Ok(());
    }
    cursor.break_line()?;
    io::stderr().lock().write_all(lines)
}

/// Ends an unfinished line and writes the messages that waited for its end.
pub fn end() {
    // If stderr is closed, there is nowhere left to report it.
    let _ = cursor().break_line();
}

fn cursor() -> MutexGuard<'static, Cursor> {
    CURSOR.lock().unwrap_or_else(PoisonError::into_inner)
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
