//! The report of a watch: what many rounds showed, in the forms of mtr(8).

use std::io::{self, Write};

use super::{Renderer, View};
use crate::enrich::names::Lookup;
use crate::time::Span;
use crate::trace::Event;
use crate::trace::table::{Row, Table};

/// The forms of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// That of `mtr --report`.
    #[default]
    Text,
}

/// A report, written when the watch is over.
pub struct Report<W> {
    out: W,
    form: Form,
    numeric: bool,
    table: Table,
}

impl<W: Write> Report<W> {
    /// A report to `out`; with `numeric`, addresses without names.
    pub fn new(out: W, form: Form, numeric: bool) -> Self {
        Self { out, form, numeric, table: Table::new() }
    }

    fn host(&self, row: &Row, view: View<'_>) -> String {
        let Some(address) = row.responders.first().map(|it| it.address) else {
            return "???".to_owned();
        };
        match view.names.lookup(address) {
            Lookup::Known(Some(name)) if !self.numeric => name.to_owned(),
            _ => address.to_string(),
        }
    }

    fn write_text(&mut self, view: View<'_>) -> io::Result<()> {
        writeln!(
            self.out,
            "HOST: {:<33} Loss%   Snt   Last   Avg  Best  Wrst StDev",
            view.config.source
        )?;
        for row in self.table.rows() {
            let ms =
                |value: Option<Span>| format!("{:6.1}", value.unwrap_or_default().as_millis_f64());
            let host = self.host(row, view);
            let rtts = &row.rtts;
            let times = [rtts.last(), rtts.mean(), rtts.best(), rtts.worst(), rtts.deviation()];
            writeln!(
                self.out,
                "{:3}.|-- {host:<33} {:4.1}% {:5}{}",
                row.ttl,
                row.loss() * 100.0,
                row.sent,
                times.map(ms).concat()
            )?;
        }
        Ok(())
    }
}

impl<W: Write> Renderer for Report<W> {
    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()> {
        self.table.handle(event, view.path, view.config);
        Ok(())
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        match self.form {
            Form::Text => self.write_text(view)?,
        }
        self.out.flush()
    }
}
