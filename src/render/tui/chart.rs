//! The RTTs of one hop over time, with the rounds in which it was not answered and those in which the path changed.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph};

use super::model::Target;
use super::moment::clock;
use super::state::UiState;
use super::strip::{CHANGED, Sign};
use super::theme::Theme;
use crate::time::Span;

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, area: Rect, target: &Target, state: &UiState, theme: Theme) {
    let points = Points::of(target, state, usize::from(area.width) * 2);
    let Some(points) = points.filter(|points| points.last > points.first) else {
        frame.render_widget(Paragraph::new("it takes two rounds to draw a line"), area);
        return;
    };
    let (bottom, top) = points.bounds();
    // At the edges, where no RTT is.
    let along = |rounds: &[f64], y: f64| rounds.iter().map(|x| (*x, y)).collect::<Vec<_>>();
    let lost = along(&points.lost, bottom);
    let late: Vec<_> =
        points.late.iter().map(|(x, rtt)| (*x, rtt.unwrap_or(bottom).clamp(bottom, top))).collect();
    let changed = along(&points.changed, top);
    let lines: Vec<_> = points
        .runs
        .iter()
        .map(|run| {
            Dataset::default()
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(theme.in_colour(Color::Cyan))
                .data(run)
        })
        .collect();
    let marks = [
        (&lost, 'X', Color::Red),
        (&late, 'L', Color::Magenta),
        (&changed, CHANGED, Color::Yellow),
    ];
    let marks = marks.map(|(points, sign, colour)| {
        let style = theme.in_colour(colour);
        Dataset::default().marker(Marker::Custom(sign)).style(style).data(points)
    });
    let time = |x: f64| target.began(round(x)).map_or_else(String::new, clock);
    let middle = f64::midpoint(points.first, points.last);
    let x_labels = [points.first, middle, points.last]
        .map(|x| Line::raw(format!("{} {}", round(x), time(x)).trim_end().to_owned()));
    // As many decimals as tell the labels apart.
    let decimals = [1.0, 0.1].iter().filter(|limit| top - bottom < **limit).count() + 1;
    let label = |y: f64| if y < 1e3 { format!("{y:.decimals$}") } else { format!("{y:.0}") };
    let y_labels = [bottom, f64::midpoint(bottom, top), top].map(|y| Line::raw(label(y)));
    let x_axis = Axis::default().bounds([points.first, points.last]).labels(x_labels);
    let y_axis = Axis::default().title("ms").bounds([bottom, top]).labels(y_labels);
    let chart = Chart::new(lines.into_iter().chain(marks).collect());
    frame.render_widget(chart.x_axis(x_axis).y_axis(y_axis).legend_position(None), area);
}

/// What to draw, by round.
struct Points {
    /// RTTs in milliseconds of rounds that follow one another.
    runs: Vec<Vec<(f64, f64)>>,
    lost: Vec<f64>,
    /// With their RTTs in milliseconds, where these are known.
    late: Vec<(f64, Option<f64>)>,
    changed: Vec<f64>,
    first: f64,
    last: f64,
    least: f64,
    most: f64,
}

impl Points {
    /// The chart of the selected hop, over as many of the last rounds as fit.
    fn of(target: &Target, state: &UiState, most: usize) -> Option<Self> {
        let (_, row) = target.row(state)?;
        let rounds = target.table.rounds();
        let shown = row.history.len().min(most);
        let first = rounds + 1 - shown as u64;
        let mut points = Self {
            runs: Vec::new(),
            lost: Vec::new(),
            late: Vec::new(),
            changed: Vec::new(),
            first: place(first),
            last: place(rounds),
            least: f64::INFINITY,
            most: 0.0,
        };
        let mut run = Vec::new();
        for (round, cell) in (first..).zip(row.history.iter().skip(row.history.len() - shown)) {
            let late = target.late.get(&(row.ttl, round));
            let young = rounds - round < row.young() as u64;
            match Sign::of(cell, late.is_some(), None).unless(young) {
                Sign::Lost => points.lost.push(place(round)),
                Sign::Late => {
                    let rtt = late.copied().flatten().map(Span::as_millis_f64);
                    points.late.push((place(round), rtt));
                    points.most = rtt.map_or(points.most, |rtt| points.most.max(rtt));
                    points.least = rtt.map_or(points.least, |rtt| points.least.min(rtt));
                }
                Sign::None | Sign::Bar(_) | Sign::Part => {}
            }
            if let Some(rtt) = cell.rtt {
                let rtt = rtt.as_millis_f64();
                (points.least, points.most) = (points.least.min(rtt), points.most.max(rtt));
                run.push((place(round), rtt));
            } else if !run.is_empty() {
                points.runs.push(std::mem::take(&mut run));
            }
        }
        points.runs.extend((!run.is_empty()).then_some(run));
        let changes = target.table.changes().iter().map(|change| change.round);
        points.changed.extend(changes.filter(|round| *round >= first).map(place));
        Some(points)
    }

    /// A little below the least RTT and a little above the most, so that small differences show; but from zero if
    /// the differences are as large as what they are of.
    fn bounds(&self) -> (f64, f64) {
        let margin = ((self.most - self.least) * 0.15).max(0.05);
        let top = self.most + margin;
        let bottom = self.least - margin;
        if bottom.is_finite() && self.least * 2.0 > self.most { (bottom, top) } else { (0.0, top) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 rounds")]
fn place(round: u64) -> f64 {
    round as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
fn round(place: f64) -> u64 {
    place as u64
}
