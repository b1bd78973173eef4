//! What the command line says about the report: its form, and what it is to show.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::render::Form;
use crate::render::text::Style;

/// What is written where.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputOptions {
    /// Addresses only: look up no names
    #[arg(short, help_heading = "Output")]
    pub numeric: bool,

    /// Show what routers append to their replies: MPLS label stacks, other extension objects as bytes
    #[arg(short, long, help_heading = "Output")]
    pub extensions: bool,

    /// Write the report in this form [default: text]
    #[arg(long, value_name = "FORM", help_heading = "Output")]
    pub format: Option<Form>,

    /// Short for --format json
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl ValueEnum for Form {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, what) = self.describe();
        Some(PossibleValue::new(name).help(what))
    }
}

impl OutputOptions {
    /// The form of the report.
    pub fn form(self) -> Form {
        if self.json { Form::Json } else { self.format.unwrap_or_default() }
    }

    /// Whether two forms are asked for at once: no form is then the right one.
    pub fn contradicts_itself(self) -> bool {
        self.json && self.format.is_some_and(|form| form != Form::Json)
    }

    /// What concerns the text.
    pub fn style(self) -> Style {
        Style { numeric: self.numeric, extensions: self.extensions }
    }
}
