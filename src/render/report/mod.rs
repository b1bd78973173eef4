//! The report of a watch: what many rounds showed, in the forms of mtr(8) 0.95.
//!
//! Whoever reads mtr's output reads ours: the same lines, fields, types and units. Three things are not mtr's.
//! Where mtr writes the name of its host, the source address stands: a replay elsewhere has another name.
//! The start is the stamp of the first captured frame, in UTC for the same reason. And a probe counts as sent when
//! it was captured, so that nothing is lost before it left.

mod csv;
mod json;
mod text;

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;

use super::rows::{self, OriginRow};
use super::{Look, Renderer, View};
use crate::time::{ClockStep, Span, Timestamp};
use crate::trace::Event;
use crate::trace::table::{Row, Table};
use crate::untrusted::Untrusted;

/// What stands where nobody answered.
const NOBODY: &str = "???";

/// The forms of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// That of `mtr --report`.
    #[default]
    Text,
    /// That of `mtr --json`, and more.
    Json,
    /// That of `mtr --csv`, with a row for each host.
    Csv,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Csv];
}

/// A report, written when the watch is over.
pub struct Report<W> {
    out: W,
    form: Form,
    look: Look,
    table: Table,
    began: Option<Timestamp>,
    clock_steps: u64,
}

impl<W: Write> Report<W> {
    /// A report to `out`.
    pub fn new(out: W, form: Form, look: Look) -> Self {
        // A part of an address is of no use.
        let look = Look { wide: look.wide || look.addresses, ..look };
        Self { out, form, look, table: Table::new(), began: None, clock_steps: 0 }
    }
}

impl<W: Write> Renderer for Report<W> {
    fn clock_step(&mut self, step: &ClockStep) -> io::Result<()> {
        self.clock_steps += u64::from(step.by != Span::ZERO);
        Ok(())
    }

    fn event(&mut self, event: Option<Event>, view: View<'_>) -> io::Result<()> {
        if let (None, Some(Event::Sent(at))) = (self.began, event) {
            self.began = view.path.probe(at).and_then(|probe| probe.sent);
        }
        self.table.handle(event, view.path);
        Ok(())
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let Self { ref look, ref table, began, clock_steps, .. } = *self;
        let whole = Whole { view, look, table, began, clock_steps };
        match self.form {
            Form::Text => text::write(&mut self.out, whole)?,
            Form::Json => json::write(&mut self.out, whole)?,
            Form::Csv => csv::write(&mut self.out, whole)?,
        }
        self.out.flush()
    }
}

/// All that a report is made of.
#[derive(Clone, Copy)]
struct Whole<'a> {
    view: View<'a>,
    look: &'a Look,
    table: &'a Table,
    began: Option<Timestamp>,
    /// How often the clock was set.
    clock_steps: u64,
}

impl<'a> Whole<'a> {
    /// A host as it is shown: by its name, where that is known and asked for.
    fn host(self, address: IpAddr) -> Cow<'a, Untrusted> {
        match rows::name(self.view, address, self.look.style.numeric) {
            Some(name) if self.look.addresses => {
                Cow::Owned(format!("{} ({address})", name.ascii()).into())
            }
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(address.to_string().into()),
        }
    }

    /// The autonomous system of a host as mtr writes it, where it is asked for: the first, if it has several.
    fn system(self, address: Option<IpAddr>) -> Option<String> {
        self.view.origins?;
        let origin = address.and_then(|address| OriginRow::of(self.view, address));
        let first = origin.and_then(|origin| origin.asn?.first().copied());
        Some(first.map_or("AS???".to_owned(), |number| format!("AS{number}")))
    }

    /// The first host that answered at a hop.
    fn first_host(self, row: &Row) -> Cow<'a, Untrusted> {
        let first = row.responders.first();
        first.map_or_else(|| Cow::Owned(NOBODY.into()), |it| self.host(it.address))
    }
}
