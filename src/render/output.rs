//! Which report is written of what was measured.

use std::io::Write;

use super::inspect::Inspect;
use super::report::{self, Report};
use super::stream::Stream;
use super::{Form, Look, Renderer, atlas, csv, json, listed, ndjson, paths, scamper, text};
use crate::trace::{Measurement, rounds};

/// A report that there is of what was measured.
///
/// The matches that make one have no wildcard: each form is either written of a kind of measurement or refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// [`text::Text`].
    Text,
    /// [`json::Json`].
    Json,
    /// [`ndjson::Ndjson`].
    Ndjson,
    /// [`csv::Csv`].
    Csv,
    /// [`atlas::Atlas`].
    Atlas,
    /// [`scamper::Scamper`].
    Scamper,
    /// [`Inspect`].
    Inspection(
        /// Whether it is JSON, and not text.
        bool,
    ),
    /// [`Report`].
    Report(report::Form),
    /// [`Stream`].
    Stream(rounds::Plan),
    /// [`paths::PathsReport`].
    Map(paths::Form, crate::trace::paths::Plan),
}

/// There is no such report of what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// It is not written in this form.
    #[error("{} is not a format for {of}: choose one of {}", name(*.form), names(.forms))]
    NotWritten {
        /// The form.
        form: Form,
        /// What was measured.
        of: &'static str,
        /// The forms it has.
        forms: &'static [Form],
    },
    /// One trace is written so, and rounds are not.
    #[error("{0} is for one trace: rounds are written as text, json, ndjson or csv")]
    OfOneTrace(
        /// The name of the form, or of the option that asks for it.
        &'static str,
    ),
    /// An inspection has two forms.
    #[error("--inspect writes text or JSON: leave out the other form")]
    NotInspected,
}

fn name(form: Form) -> &'static str {
    form.describe().0
}

fn names(forms: &[Form]) -> String {
    listed(&forms.iter().copied().map(name).collect::<Vec<_>>())
}

impl Output {
    /// The report in this form, or with `inspect` the inspection.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(measurement: &Measurement, form: Form, inspect: bool) -> Result<Self, FormError> {
        match measurement {
            Measurement::Trace | Measurement::PathMtu if inspect => Self::of_inspection(form),
            Measurement::Trace | Measurement::PathMtu => Self::of_one(form),
            Measurement::Rounds(_) if inspect => Err(FormError::OfOneTrace("--inspect")),
            Measurement::Rounds(plan) => Self::of_rounds(form, *plan),
            Measurement::Paths(plan) => Self::of_paths(form, *plan),
        }
    }

    fn of_inspection(form: Form) -> Result<Self, FormError> {
        match form {
            Form::Text => Ok(Self::Inspection(false)),
            Form::Json => Ok(Self::Inspection(true)),
            Form::Ndjson
            | Form::Csv
            | Form::Atlas
            | Form::Scamper
            | Form::Dot
            | Form::Mermaid
            | Form::Svg => Err(FormError::NotInspected),
        }
    }

    fn of_one(form: Form) -> Result<Self, FormError> {
        Ok(match form {
            Form::Text => Self::Text,
            Form::Json => Self::Json,
            Form::Ndjson => Self::Ndjson,
            Form::Csv => Self::Csv,
            Form::Atlas => Self::Atlas,
            Form::Scamper => Self::Scamper,
            Form::Dot | Form::Mermaid | Form::Svg => {
                let of = "one trace";
                return Err(FormError::NotWritten { form, of, forms: &Form::ALL });
            }
        })
    }

    fn of_rounds(form: Form, plan: rounds::Plan) -> Result<Self, FormError> {
        Ok(match form {
            Form::Text => Self::Report(report::Form::Text),
            Form::Json => Self::Report(report::Form::Json),
            Form::Ndjson => Self::Stream(plan),
            Form::Csv => Self::Report(report::Form::Csv),
            Form::Atlas | Form::Scamper => return Err(FormError::OfOneTrace(name(form))),
            Form::Dot | Form::Mermaid | Form::Svg => {
                return Err(FormError::NotWritten { form, of: "rounds", forms: &Form::OF_ROUNDS });
            }
        })
    }

    fn of_paths(form: Form, plan: crate::trace::paths::Plan) -> Result<Self, FormError> {
        let form = match form {
            Form::Text => paths::Form::Text,
            Form::Json => paths::Form::Json,
            Form::Dot => paths::Form::Dot,
            Form::Mermaid => paths::Form::Mermaid,
            Form::Svg => paths::Form::Svg,
            Form::Ndjson | Form::Csv | Form::Atlas | Form::Scamper => {
                let of = "a map of all paths";
                return Err(FormError::NotWritten { form, of, forms: &Form::OF_PATHS });
            }
        };
        Ok(Self::Map(form, plan))
    }

    /// What writes it to `out`.
    #[must_use]
    pub fn renderer(self, look: Look, out: impl Write + 'static) -> Box<dyn Renderer> {
        let (style, numeric) = (look.style, look.style.numeric);
        match self {
            Self::Text => Box::new(text::Text::new(out, style)),
            Self::Json => Box::new(json::Json::new(out, style)),
            Self::Ndjson => Box::new(ndjson::Ndjson::new(out, style)),
            Self::Csv => Box::new(csv::Csv::new(out, numeric)),
            Self::Atlas => Box::new(atlas::Atlas::new(out)),
            Self::Scamper => Box::new(scamper::Scamper::new(out, numeric)),
            Self::Inspection(json) => Box::new(Inspect::new(out, json, numeric)),
            Self::Report(form) => Box::new(Report::new(out, form, look)),
            Self::Stream(plan) => {
                Box::new(Stream::new(out, numeric, plan).of_several(look.of_several))
            }
            Self::Map(form, plan) => Box::new(paths::PathsReport::new(out, form, numeric, plan)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::paths::Plan;

    /// What the command line offers is what is written.
    #[test]
    fn each_kind_has_the_forms_that_are_offered() {
        let rounds = rounds::Plan { interval: 1.0, rounds: None, until: None };
        for (measurement, inspect, offered) in [
            (Measurement::Trace, false, &Form::ALL[..]),
            (Measurement::PathMtu, false, &Form::ALL),
            (Measurement::Trace, true, &Form::OF_INSPECTION),
            (Measurement::Rounds(rounds), false, &Form::OF_ROUNDS),
            (Measurement::Rounds(rounds), true, &[]),
            (Measurement::Paths(Plan::default()), false, &Form::OF_PATHS),
        ] {
            for form in Form::OF_ANY {
                let written = Output::of(&measurement, form, inspect).is_ok();
                assert_eq!(written, offered.contains(&form), "{measurement:?} {inspect} {form:?}");
            }
        }
    }
}
