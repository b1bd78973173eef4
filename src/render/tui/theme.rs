//! How things look. Without colour all that is left is bold, dim and reversed.

use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

/// What to see first.
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// What is chosen.
pub const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The colours that are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Those that are read well on a dark ground.
    #[default]
    Dark,
    /// Those that are read well on a light one.
    Light,
    /// None.
    Plain,
}

impl FromStr for Theme {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "dark" => Ok(Self::Dark),
            "light" => Ok(Self::Light),
            "plain" => Ok(Self::Plain),
            _ => Err("it must be dark, light or plain".to_owned()),
        }
    }
}

impl Theme {
    /// In this colour, if there are colours.
    #[must_use]
    pub fn in_colour(self, colour: Color) -> Style {
        let colour = match (self, colour) {
            (Self::Plain, _) => return Style::new(),
            // Of the usual sixteen these vanish on white: darker ones of 256.
            (Self::Light, Color::Yellow) => Color::Indexed(130),
            (Self::Light, Color::Green) => Color::Indexed(28),
            (Self::Light, Color::Cyan) => Color::Indexed(30),
            _ => colour,
        };
        Style::new().fg(colour)
    }

    /// What may be overlooked.
    #[must_use]
    pub fn faint(self) -> Style {
        self.in_colour(Color::DarkGray)
    }

    /// What is amiss.
    #[must_use]
    pub fn warning(self) -> Style {
        self.in_colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }
}

/// A share, from 0 to 1, of a number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "of the size of a screen"
)]
#[must_use]
pub fn scaled(share: f64, of: usize) -> usize {
    ((share * of as f64) as usize).min(of)
}
