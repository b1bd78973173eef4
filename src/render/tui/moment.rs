//! Times as they are shown and typed: UTC.

use crate::time::Timestamp;

/// Nanoseconds of a second, and seconds of a day.
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Where to go in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The end of this round, from 1.
    Round(u64),
    /// This moment.
    Time(Timestamp),
}

/// The time of day: `14:03:20`.
#[must_use]
pub fn clock(at: Timestamp) -> String {
    let Some(at) = at.known() else { return "-".to_owned() };
    let second = at.nanos().div_euclid(SECOND).rem_euclid(DAY);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Date and time of day: `2026-01-31 14:03:20`.
#[must_use]
pub fn date_and_clock(at: Timestamp) -> String {
    let Some(at) = at.known() else { return "-".to_owned() };
    let date = jiff::Timestamp::from_second(at.nanos().div_euclid(SECOND)).unwrap_or_default();
    let text = date.to_string();
    format!("{} {}", text.get(..10).unwrap_or_default(), clock(at))
}

/// A round by its number, or a time, with its date or without: then it is the first such time since `from`.
#[must_use]
pub fn parse_goal(text: &str, from: Timestamp) -> Option<Goal> {
    if let Ok(round) = text.parse() {
        return Some(Goal::Round(round));
    }
    let text = text.trim_end_matches(['Z', 'z']);
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (Some(date), clock),
        None => (None, text),
    };
    let second = parse_clock(clock.trim())?;
    let from = from.nanos().div_euclid(SECOND);
    let at = if let Some(date) = date {
        let midnight: jiff::Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
        midnight.as_second() + second
    } else {
        let at = from - from.rem_euclid(DAY) + second;
        if at < from { at + DAY } else { at }
    };
    Some(Goal::Time(Timestamp::from_parts(at, 0)))
}

/// Seconds since midnight of `HH:MM` or `HH:MM:SS`.
fn parse_clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    let fits = (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    (fits && parts.next().is_none()).then_some(hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_rounds_and_times() {
        // 2026-01-01 22:30:00
        let from = Timestamp::from_parts(1_767_306_600, 5);
        let at = |seconds: i64| Some(Goal::Time(Timestamp::from_parts(1_767_306_600 + seconds, 0)));
        for (text, goal) in [
            ("120", Some(Goal::Round(120))),
            ("22:30:10", at(10)),
            ("22:31", at(60)),
            ("01:00", at(9_000)),
            ("2026-01-02 01:00", at(9_000)),
            ("2026-01-01T22:30:00Z", at(0)),
            ("", None),
            ("24:00", None),
            ("1:2:3:4", None),
            ("-1:00", None),
            ("yesterday 10:00", None),
        ] {
            assert_eq!(parse_goal(text, from), goal, "{text}");
        }
        assert_eq!(date_and_clock(from), "2026-01-01 22:30:00");
        assert_eq!(clock(Timestamp::from_nanos(-1)), "23:59:59");
    }
}
