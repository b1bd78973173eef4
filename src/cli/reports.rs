//! Destinations of the reports of several traces: one after another or, as a stream, line by line as things happen.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use super::session::report_out;
use super::write_bytes;
use crate::render::{Form, Look};

/// The reports of one run.
pub(super) struct Reports {
    joints: Joints,
    several: bool,
    /// The single stream of all traces, whose lines name their trace.
    stream: Option<Rc<RefCell<Box<dyn Write>>>>,
    to_stderr: bool,
    /// Reports that wait until those before them are complete; the first is written at once.
    later: Vec<Option<Rc<RefCell<Vec<u8>>>>>,
}

impl Reports {
    /// Reports of this number of traces, which one run traced `together` or not; `to_stderr` if stdout takes the recording.
    pub(super) fn of(form: Form, traces: usize, together: bool, to_stderr: bool) -> Self {
        let several = together && traces > 1;
        let is_stream = form == Form::Ndjson && several;
        Self {
            joints: Joints::of(form, traces),
            several,
            stream: is_stream.then(|| Rc::new(RefCell::new(report_out(to_stderr)))),
            to_stderr,
            later: Vec::new(),
        }
    }

    /// The layout of each report.
    pub(super) fn look(&self, look: Look) -> Look {
        Look { of_several: self.several, ..look }
    }

    /// The destination of the next report.
    pub(super) fn out(&mut self) -> Box<dyn Write> {
        if let Some(stream) = &self.stream {
            self.later.push(None);
            return Box::new(Shared(Rc::clone(stream)));
        }
        let later = (!self.later.is_empty()).then(Rc::default);
        self.later.push(later.clone());
        match later {
            Some(later) => Box::new(Later(later)),
            None => report_out(self.to_stderr),
        }
    }

    /// Writes what comes before the first report.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        self.say(self.joints.before).map(drop)
    }

    /// Writes the report at this position, from 0, which is complete. Returns whether there is still a reader.
    pub(super) fn write(&mut self, place: usize) -> anyhow::Result<bool> {
        let Some(later) = self.later.get_mut(place).and_then(Option::take) else {
            return Ok(true);
        };
        Ok(self.say(self.joints.between)? && self.say_bytes(&later.take())?)
    }

    /// Writes the end, when all reports are complete.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        for place in 0..self.later.len() {
            if !self.write(place)? {
                return Ok(());
            }
        }
        self.end()
    }

    /// Writes what comes after the last report.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        self.say(self.joints.after).map(drop)
    }

    fn say(&self, text: &str) -> anyhow::Result<bool> {
        self.say_bytes(text.as_bytes())
    }

    fn say_bytes(&self, bytes: &[u8]) -> anyhow::Result<bool> {
        if self.to_stderr {
            super::console::aside(bytes)?;
            return Ok(true);
        }
        write_bytes(bytes, "the report")
    }
}

/// Writes what surrounds several reports: an empty line separates texts, JSON documents become one array, and forms
/// made of lines follow one another.
#[derive(Default)]
struct Joints {
    before: &'static str,
    between: &'static str,
    after: &'static str,
}

impl Joints {
    fn of(form: Form, reports: usize) -> Self {
        match form {
            Form::Text => Self { between: "\n", ..Self::default() },
            Form::Json if reports > 1 => Self { before: "[\n", between: ",\n", after: "]\n" },
            _ => Self::default(),
        }
    }
}

/// A writer that keeps its output.
struct Later(Rc<RefCell<Vec<u8>>>);

impl Write for Later {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer to a shared output, which writes whole lines.
struct Shared(Rc<RefCell<Box<dyn Write>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}
