//! How things look. Without colour all that is left is bold, dim and reversed.

use ratatui::style::{Color, Modifier, Style};

/// What is to be seen first.
pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// What is chosen.
pub const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The looks that colours have a part in.
pub struct Theme {
    /// Colours may be used.
    pub colour: bool,
}

impl Theme {
    /// In this colour, if there are colours.
    pub fn in_colour(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// What may be overlooked.
    pub fn faint(&self) -> Style {
        self.in_colour(Color::DarkGray)
    }

    /// What is amiss.
    pub fn warning(&self) -> Style {
        self.in_colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }
}

/// This share, from 0 to 1, of so many.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "of the size of a screen"
)]
pub fn scaled(share: f64, of: usize) -> usize {
    ((share * of as f64) as usize).min(of)
}
