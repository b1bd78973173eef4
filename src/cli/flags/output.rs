//! What the command line says about the report: its form, and what it is to show.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::recording::Presentation;
use crate::render::output::{FormError, Output};
use crate::render::text::Style;
use crate::render::{Form, Look};
use crate::trace::Measurement;

/// What is written where.
#[derive(Clone, Copy, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct OutputOptions {
    /// Addresses only: look up no names
    #[arg(short, long, alias = "no-dns", help_heading = "Output")]
    pub numeric: bool,

    /// Show what routers append to their replies: MPLS label stacks, other extension objects as bytes
    #[arg(short, long, help_heading = "Output")]
    pub extensions: bool,

    /// Show the estimated length of the return path, where it differs from the forward path: '-N' in the text,
    /// a count in JSON
    #[arg(long, help_heading = "Output")]
    pub back: bool,

    /// Write the report in this form [default: text]
    #[arg(long, value_name = "FORM", help_heading = "Output", value_parser = forms(&Form::ALL))]
    pub format: Option<Form>,

    /// Compare the quotes of routers with the probes as sent, field by field, and report between which hops
    /// fields change; as text, or with --json
    #[arg(long, help_heading = "Output")]
    pub inspect: bool,

    /// Short for --format json
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Short for --format csv
    #[arg(long, help_heading = "Output", conflicts_with = "json")]
    pub csv: bool,
}

/// The format of comparisons and of single probes.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct DocumentOptions {
    /// Write in this form [default: text]
    #[arg(long, value_name = "FORM", value_parser = forms(&Form::OF_INSPECTION))]
    pub format: Option<Form>,

    /// Short for --format json
    #[arg(long)]
    pub json: bool,
}

impl DocumentOptions {
    /// The form.
    pub fn form(self) -> Form {
        if self.json { Form::Json } else { self.format.unwrap_or_default() }
    }

    /// Whether two formats are requested at once.
    pub fn contradicts_itself(self) -> bool {
        self.json && self.format.is_some_and(|form| form != Form::Json)
    }
}

/// Reads the name of one of these forms.
pub fn forms(these: &'static [Form]) -> impl TypedValueParser<Value = Form> {
    let value = |form: &Form| {
        let (name, what) = form.describe();
        PossibleValue::new(name).help(what)
    };
    let named = |name: String| these.iter().copied().find(|form| form.describe().0 == name);
    let parser = PossibleValuesParser::new(these.iter().map(value));
    parser.map(move |name| named(name).unwrap_or_default())
}

impl OutputOptions {
    /// The form of the report.
    pub fn form(self) -> Form {
        match (self.json, self.csv) {
            (true, _) => Form::Json,
            (false, true) => Form::Csv,
            (false, false) => self.format.unwrap_or_default(),
        }
    }

    /// The requested report of a measurement.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(self, measurement: &Measurement) -> Result<Output, FormError> {
        Output::of(measurement, self.form(), self.inspect)
    }

    /// Whether inspections lack this format.
    pub fn cannot_inspect(self) -> bool {
        self.inspect && self.of(&Measurement::Trace).is_err()
    }

    /// Whether two formats are requested at once: then neither is right.
    pub fn contradicts_itself(self) -> bool {
        (self.json || self.csv) && self.format.is_some_and(|form| form != self.form())
    }

    /// The look of the report, without the options of reports of rounds.
    pub fn look(self) -> Look {
        let Self { numeric, extensions, back, .. } = self;
        Look { style: Style { numeric, extensions, back }, ..Look::default() }
    }

    /// How a recording describes it.
    pub fn recorded(self) -> Presentation {
        let Self { numeric, extensions, back, .. } = self;
        Presentation { numeric, extensions, back }
    }
}
