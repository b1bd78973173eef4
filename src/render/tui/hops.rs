//! The hop table: a line per hop, and one per responder where a hop has several.

use std::fmt::Write;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::columns;
use super::model::Target;
use super::state::{Display, UiState};
use super::strip;
use super::theme::{STRONG, Theme};
use crate::render::columns::{Column, by_letter};
use crate::trace::table::{Responder, Row};
use crate::trace::verdict::Loss;

/// The mark of the selected hop and its TTL.
const NUMBER: usize = 5;
/// The least room of a responder, and of the strip where there are numbers beside it.
const LEAST_HOST: usize = 22;
const LEAST_STRIP: usize = 9;
/// The room of the sign for chosen columns that have none: " +9".
const LEFT_OUT: usize = 3;
/// The most room of a responder, on a screen of 120 columns or less; of those beyond it may have half.
const MOST_HOST: usize = 48;
const USUAL_WIDTH: usize = 120;
/// The columns beside the strip where it is the main thing.
const BESIDE_STRIP: &str = "LNW";

/// One line of the table.
#[derive(Clone, Copy)]
pub enum Entry<'a> {
    /// A hop, and what its lost probes mean.
    Hop(usize, &'a Row, Loss),
    /// One of its several responders.
    Responder(usize, &'a Row, &'a Responder),
    /// What a responder appended to its last reply: this object.
    Object(usize, &'a Responder, usize),
}

impl Entry<'_> {
    /// The index of its hop.
    fn hop(&self) -> usize {
        let (Self::Hop(hop, ..) | Self::Responder(hop, ..) | Self::Object(hop, ..)) = self;
        *hop
    }
}

/// The lines of the table.
pub fn lines<'a>(target: &'a Target, state: &UiState) -> Vec<Entry<'a>> {
    let mut entries = Vec::new();
    let rows = target.table.rows().iter().zip(target.table.verdicts());
    for (index, (row, verdict)) in rows.enumerate() {
        entries.push(Entry::Hop(index, row, verdict.loss));
        for responder in &row.responders {
            if row.responders.len() > 1 {
                entries.push(Entry::Responder(index, row, responder));
            }
            let extension = responder.reply.extension.as_deref().filter(|_| state.extensions);
            let objects = extension.map_or(0, |extension| extension.objects.len());
            entries.extend((0..objects).map(|object| Entry::Object(index, responder, object)));
        }
    }
    entries
}

/// How the width is shared out.
struct Shares {
    host: usize,
    columns: Vec<(&'static Column, usize)>,
    /// Columns that were asked for and have no room.
    left_out: usize,
    strip: usize,
}

impl Shares {
    fn of(width: usize, entries: &[Entry<'_>], target: &Target, state: &UiState) -> Self {
        let most = target.table.rows().iter().map(|row| row.sent).max().unwrap_or(0);
        let order = match state.display {
            Display::Numbers => state.order.as_str(),
            Display::Strip => "",
            Display::Both => BESIDE_STRIP,
        };
        let wanted: Vec<_> = order.chars().filter_map(by_letter).collect();
        let widths = || wanted.iter().map(|column| columns::width(column, most));
        // Chosen columns stay when the strip needs room; default columns give way.
        let all = NUMBER + LEAST_HOST + 1 + widths().sum::<usize>();
        let strip = match state.has_own_columns() {
            true if all <= width => 0,
            true => LEFT_OUT,
            false => LEAST_STRIP,
        };
        let mut room = width.saturating_sub(NUMBER + LEAST_HOST + 1 + strip);
        let mut columns = Vec::new();
        for (column, taken) in wanted.iter().zip(widths()) {
            let Some(left) = room.checked_sub(taken) else { break };
            room = left;
            columns.push((*column, taken));
        }
        let left_out = if state.has_own_columns() { wanted.len() - columns.len() } else { 0 };
        let wanted = entries
            .iter()
            .filter(|entry| !matches!(entry, Entry::Object(..)))
            .map(|entry| label(entry, target, state).chars().count() + remark(entry).len());
        let most = MOST_HOST + width.saturating_sub(USUAL_WIDTH) / 2;
        let wanted = wanted.max().unwrap_or(0).clamp(LEAST_HOST, most);
        // Of the remaining width names get what they need, and the strip gets the rest.
        let host = wanted.min(LEAST_HOST + room);
        let numbers: usize = columns.iter().map(|(_, taken)| taken).sum();
        let strip = width.saturating_sub(NUMBER + host + numbers + 1);
        let strip = if strip < LEAST_STRIP { 0 } else { strip };
        Self { host, columns, left_out, strip }
    }
}

/// Who answers there, or what stands for that.
fn label(entry: &Entry<'_>, target: &Target, state: &UiState) -> String {
    match entry {
        Entry::Hop(_, row, _) => match row.responders.as_slice() {
            [] if row.sent == 0 => "(not asked)".to_owned(),
            [] => "(no answer)".to_owned(),
            [one] => target.host(one.address, state),
            several => format!("{} routers", several.len()),
        },
        Entry::Responder(_, row, responder) => {
            let last = strip::latest(row) == Some(responder.address);
            let mark = if last { "*" } else { " " };
            format!("{mark}{}", target.host(responder.address, state))
        }
        Entry::Object(_, responder, object) => {
            let extension = responder.reply.extension.as_deref();
            let object = extension.and_then(|extension| extension.objects.get(*object));
            format!("  {}", object.map_or_else(String::new, super::detail::object))
        }
    }
}

/// Remarks on a hop beside its name, where there is room; the sign in its loss column says the same.
fn remark(entry: &Entry<'_>) -> &'static str {
    match entry {
        Entry::Hop(.., Loss::RateLimited) => " rate-limited",
        _ => "",
    }
}

/// Draws the table.
pub fn draw(frame: &mut Frame<'_>, area: Rect, target: &Target, state: &UiState, theme: Theme) {
    let entries = lines(target, state);
    let width = usize::from(area.width);
    let shares = Shares::of(width, &entries, target, state);
    let mut shown = vec![header(&shares, target)];
    let height = usize::from(area.height).saturating_sub(1);
    let selected = state.selected.min(target.table.rows().len().saturating_sub(1));
    let first = entries.iter().position(|entry| entry.hop() == selected).unwrap_or(0);
    let last = entries.iter().rposition(|entry| entry.hop() == selected).unwrap_or(0);
    // As far down as it takes to have all lines of the selected hop on the screen, its first at any rate; the last
    // line is for how many more there are, unless that would be one.
    let room = height.saturating_sub(1);
    let skip = (last + 1).saturating_sub(room).min(first);
    let more = entries.len().saturating_sub(skip + room);
    let (skip, room) = match more {
        0 | 1 => (entries.len().saturating_sub(height).min(first), height),
        _ => (skip, room),
    };
    for entry in entries.iter().skip(skip).take(room) {
        shown.push(line(entry, entry.hop() == selected, &shares, target, state, theme));
    }
    if more > 1 {
        shown.push(Line::styled(format!("     ... {more} more: arrow down"), theme.faint()));
    }
    if entries.is_empty() {
        shown.push(Line::raw("  nothing has been answered yet"));
    }
    frame.render_widget(ratatui::widgets::Paragraph::new(shown), area);
}

fn header(shares: &Shares, target: &Target) -> Line<'static> {
    let mut text = format!("{:NUMBER$}{:<host$}", "", "Host", host = shares.host);
    for (column, taken) in &shares.columns {
        let _ = write!(text, "{:>taken$}", column.title);
    }
    if shares.left_out > 0 {
        let _ = write!(text, " +{}", shares.left_out);
    }
    let times = strip::time_line(target, shares.strip);
    Line::from(vec![Span::styled(text, STRONG), Span::raw(" "), Span::raw(times)])
}

fn line(
    entry: &Entry<'_>,
    selected: bool,
    shares: &Shares,
    target: &Target,
    state: &UiState,
    theme: Theme,
) -> Line<'static> {
    let mark = if selected { '>' } else { ' ' };
    let look = if selected { STRONG } else { ratatui::style::Style::new() };
    let label = label(entry, target, state);
    let number = match entry {
        Entry::Hop(_, row, _) => format!("{mark}{:>2}. ", row.ttl),
        _ => " ".repeat(NUMBER),
    };
    if let Entry::Object(..) = entry {
        return Line::styled(format!("{number}{label}"), theme.faint());
    }
    let remarked = format!("{label}{}", remark(entry));
    let label = if remarked.chars().count() <= shares.host { remarked } else { label };
    let mut text = format!("{number:<NUMBER$}{:<1$}", fit(&label, shares.host), shares.host);
    for (column, taken) in &shares.columns {
        let value = match entry {
            Entry::Hop(_, row, loss) if row.sent > 0 => columns::of_hop(column, row, *loss),
            Entry::Responder(_, row, responder) => columns::of_responder(column, row, responder),
            _ => String::new(),
        };
        let _ = write!(text, "{value:>taken$}");
    }
    let mut line = Line::from(vec![Span::styled(text, look), Span::raw(" ")]);
    if let Entry::Hop(_, row, _) = entry {
        line.extend(strip::line(target, row, shares.strip, theme));
    }
    line
}

/// Cuts a text to this number of characters.
fn fit(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}
