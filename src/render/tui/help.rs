//! What the keys do and the signs mean.

use std::fmt::Write;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::strip::CHANGED;
use super::theme::STRONG;
use crate::render::columns::COLUMNS;

/// Keys that are always there.
const KEYS: &[(&str, &str)] = &[
    ("q", "quit; Ctrl-C too; Ctrl-Z suspends to the shell"),
    ("arrows PgUp PgDn", "select a hop; k too, live also Home End - +"),
    ("Enter Esc", "open the pane, fill the screen with it, close it"),
    ("v V", "next, previous pane: detail, chart, packets, changes"),
    ("[ ]", "scroll in the pane"),
    ("d", "display: numbers, strip, both"),
    ("o j", "choose columns by letter; jitter or latency"),
    ("n z e", "names or addresses; AS (-A); what routers append (MPLS)"),
    ("r", "reset: forget the rounds so far"),
    ("Tab 1-9", "another target"),
];
/// The keys of a live watch.
const LIVE: &[(&str, &str)] = &[("p space", "pause the screen; probing continues")];
/// The keys of a recording.
const RECORDED: &[(&str, &str)] = &[
    ("p space", "play, stop"),
    ("left right , .", "a round back, forward; < > 60 rounds"),
    ("Home End g", "first round, last, go to a round or time"),
    ("- +", "play slower, faster"),
];

/// Draws it over everything else.
pub fn draw(frame: &mut Frame<'_>, area: Rect, recorded: bool) {
    let lines = lines(recorded);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let width = 78.min(area.width);
    let area = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, area);
    let block = Block::bordered().title("Keys: q quits, any other closes this").style(STRONG);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let text = lines.into_iter().map(Line::raw).collect::<Vec<_>>();
    frame.render_widget(Paragraph::new(text), inner);
}

fn lines(recorded: bool) -> Vec<String> {
    let more = if recorded { RECORDED } else { LIVE };
    let keys = more.iter().chain(KEYS).map(|(key, what)| format!("{key:<17} {what}"));
    let mut lines: Vec<_> = keys.collect();
    lines.push("Columns (o):".to_owned());
    let mut line = String::new();
    for column in COLUMNS.iter().filter(|column| column.letter != ' ') {
        let said = format!("{} {}", column.letter, column.what);
        if line.len() + said.len() > 73 {
            lines.push(std::mem::take(&mut line));
        }
        let joint = if line.is_empty() { " " } else { ", " };
        let _ = write!(line, "{joint}{said}");
    }
    lines.push(line);
    lines.push("Strip: ▁ best to █ 9 times that, X lost, x some of several, L late;".to_owned());
    lines.push(format!("above it {CHANGED} the path changed, a dot every ten rounds."));
    lines.push("~5% is rate-limited and not loss; * answered last of several.".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tui::SMALLEST;

    #[test]
    fn it_fits_the_smallest_screen() {
        for lines in [lines(false), lines(true)] {
            assert!(lines.len() + 2 <= usize::from(SMALLEST.1), "{} lines", lines.len());
            for line in lines {
                assert!(line.chars().count() <= usize::from(SMALLEST.0) - 4, "{line}");
            }
        }
    }
}
