//! The strip: one sign per round, for each hop. The higher a bar, the longer the RTT, measured by the hop's best.

use std::net::IpAddr;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::Target;
use super::theme::Theme;
use crate::time::Span as Time;
use crate::trace::table::{Cell, Row};

/// What one round of a hop was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Not asked, or not over yet.
    None,
    /// Answered, this far above the best: an index of [`BARS`].
    Bar(usize),
    /// Some of several probes were lost.
    Part,
    /// All were.
    Lost,
    /// Answered late.
    Late,
}

/// From the best RTT to many times that.
pub const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How much above the best an RTT may be for each bar but the last, in times of the best; of one under a
/// millisecond, in milliseconds.
pub const ABOVE: [f64; 7] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

impl Sign {
    /// The mark of a cell of a hop with this best RTT.
    pub fn of(cell: Cell, late: bool, best: Option<Time>) -> Self {
        match cell {
            Cell { sent: 0, .. } => Self::None,
            Cell { received: 0, .. } if late => Self::Late,
            Cell { received: 0, .. } => Self::Lost,
            Cell { sent, received, .. } if received < sent && !late => Self::Part,
            Cell { rtt, .. } => {
                let (rtt, best) = (rtt.unwrap_or_default(), best.unwrap_or_default());
                let above =
                    (rtt.as_millis_f64() - best.as_millis_f64()) / best.as_millis_f64().max(1.0);
                Self::Bar(ABOVE.iter().filter(|limit| above > **limit).count())
            }
        }
    }

    /// This mark, or none where the probe is lost but `young`: it may still be answered.
    pub fn unless(self, young: bool) -> Self {
        if young && matches!(self, Self::Lost | Self::Part) { Self::None } else { self }
    }

    pub fn char(self) -> char {
        match self {
            Self::None => ' ',
            Self::Bar(height) => BARS.get(height).copied().unwrap_or('█'),
            Self::Part => 'x',
            Self::Lost => 'X',
            Self::Late => 'L',
        }
    }

    fn style(self, theme: Theme) -> Style {
        match self {
            Self::None => Style::new(),
            Self::Bar(0..=2) => theme.in_colour(Color::Green),
            Self::Bar(3..=5) => theme.in_colour(Color::Yellow),
            Self::Bar(_) => theme.in_colour(Color::Red),
            Self::Late => theme.in_colour(Color::Magenta),
            Self::Part | Self::Lost => theme.in_colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

/// The signs of a hop's last `width` rounds, the last at the right.
pub fn line(target: &Target, row: &Row, width: usize, theme: Theme) -> Line<'static> {
    let rounds = target.table.rounds();
    let shown = row.history.len().min(width);
    let mut line = Line::raw(" ".repeat(width - shown));
    let mut pending: Option<(Style, String)> = None;
    for (ago, cell) in row.history.iter().enumerate().skip(row.history.len() - shown) {
        let round = rounds - (row.history.len() - 1 - ago) as u64;
        let late = target.late.contains_key(&(row.ttl, round));
        let young = row.history.len() - ago <= row.young();
        let sign = Sign::of(cell, late, row.rtts.best()).unless(young);
        let style = sign.style(theme);
        match &mut pending {
            Some((last, text)) if *last == style => text.push(sign.char()),
            _ => {
                line.extend(pending.take().map(|(style, text)| Span::styled(text, style)));
                pending = Some((style, sign.char().to_string()));
            }
        }
    }
    line.extend(pending.map(|(style, text)| Span::styled(text, style)));
    line
}

/// The time line above the strips: a mark where the path changed, a dot every ten rounds.
pub fn time_line(target: &Target, width: usize) -> String {
    let rounds = target.table.rounds();
    let changed = |round| target.table.changes().iter().any(|change| change.round == round);
    let sign = |ago: usize| match rounds.checked_sub(ago as u64) {
        Some(round) if round > 0 && changed(round) => CHANGED,
        Some(round) if round > 0 && round % 10 == 0 => '.',
        _ => ' ',
    };
    (0..width).rev().map(sign).collect()
}

/// The mark of a change of the path.
pub const CHANGED: char = '◆';

/// Whom the hop was last answered by, of several.
pub fn latest(row: &Row) -> Option<IpAddr> {
    row.responders.iter().max_by_key(|it| it.reply.at).map(|it| it.address)
}
