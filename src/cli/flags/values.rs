//! The values of options: how each is parsed, and the message for a wrong one.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use crate::link::live::Clock;
use crate::probe::FlowMode;
use crate::time::{Span, Timestamp};
use crate::trace::Wait;
use crate::trace::rounds::Until;

fn number(text: &str, range: std::ops::RangeInclusive<f64>, unit: &str) -> Result<f64, String> {
    let value = text.trim().parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| {
        format!("it must be a number from {} to {}{unit}", range.start(), range.end())
    })
}

/// An address of either family.
pub fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "it must be an IPv4 or IPv6 address".to_owned())
}

/// A number from `low` to `high`, of whatever `unit` says.
pub fn between(
    low: f64,
    high: f64,
    unit: &'static str,
) -> impl Fn(&str) -> Result<f64, String> + Clone {
    move |text| number(text, low..=high, unit)
}

/// `-w MAX[,HERE[,NEAR]]`: a factor that is left out, or 0, is off.
pub fn parse_wait(text: &str) -> Result<Wait, String> {
    let mut parts = text.split(',');
    let max = number(parts.next().unwrap_or_default(), 0.0..=86_400.0, " seconds")?;
    let mut factor = || match parts.next() {
        Some(part) => number(part, 0.0..=1_000.0, "").map(|it| Some(it).filter(|it| *it > 0.0)),
        None => Ok(None),
    };
    let (here, near) = (factor()?, factor()?);
    if max <= 0.0 {
        return Err("MAX must be above 0 seconds".into());
    }
    match parts.next() {
        Some(_) => Err("it must be at most three values: MAX,HERE,NEAR".into()),
        None => Ok(Wait { max, here, near, adaptive: false }),
    }
}

/// Seconds, or a length with its unit: 0.5, 1s, 100ms.
pub fn parse_interval(text: &str) -> Result<f64, String> {
    let length = text.parse::<jiff::SignedDuration>().map(|length| length.as_secs_f64());
    let text = length.map_or_else(|_| text.to_owned(), |seconds| seconds.to_string());
    number(&text, 0.01..=86_400.0, " seconds, or a length like 1s or 100ms")
}

pub fn parse_flow(text: &str) -> Result<FlowMode, String> {
    match text {
        "classic" => Ok(FlowMode::Classic),
        "paris" => Ok(FlowMode::Paris),
        "dublin" => Ok(FlowMode::Dublin),
        _ => Err("it must be classic, paris or dublin".into()),
    }
}

/// What a live run sends and receives by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkChoice {
    /// Packets where this user may, else sockets.
    #[default]
    Auto,
    /// Raw and packet sockets, which need `CAP_NET_RAW`.
    Packet,
    /// UDP and ping sockets, which need no privilege.
    Socket,
}

pub fn parse_link(text: &str) -> Result<LinkChoice, String> {
    match text {
        "auto" => Ok(LinkChoice::Auto),
        "packet" => Ok(LinkChoice::Packet),
        "socket" => Ok(LinkChoice::Socket),
        _ => Err("it must be auto, packet or socket".into()),
    }
}

pub fn parse_clock(text: &str) -> Result<Clock, String> {
    match text {
        "kernel" => Ok(Clock::Kernel),
        "hardware" => Ok(Clock::Hardware),
        _ => Err("it must be kernel or hardware".into()),
    }
}

/// Parses `--sendwait` as traceroute does: a value above 10 is in milliseconds.
pub fn parse_send_wait(text: &str) -> Result<f64, String> {
    let value = number(text, 0.0..=86_400_000.0, "")?;
    Ok(if value > 10.0 { value / 1_000.0 } else { value })
}

/// Reads a number from `low` to `high`, decimal or, with 0x, hexadecimal.
pub fn within<T>(low: T, high: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: Copy + Display + PartialOrd + TryFrom<u64>,
{
    move |text| {
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let number = hex.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
        let value = number.ok().and_then(|number| T::try_from(number).ok());
        let value = value.filter(|value| low <= *value && *value <= high);
        value.ok_or_else(|| format!("it must be a number from {low} to {high}"))
    }
}

/// Reads a number of 1 or more.
pub fn at_least_one(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it must be a whole number, at least 1".into())
}

/// A number of bytes: "5000", "10k", "100MB", "1GiB". With an "i" the unit is 1024, without it is 1000.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a number of bytes such as 5000, 10k, 100MB or 1GiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (letter, base) = match unit.strip_suffix('i') {
        Some(letter) if !letter.is_empty() => (letter, 1024_u64),
        Some(_) => return Err(wrong()),
        None => (unit, 1000),
    };
    let power = ["", "k", "m", "g", "t"].iter().position(|it| *it == letter).ok_or_else(wrong)?;
    let factor = base.pow(u32::try_from(power).unwrap_or_default());
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|size| *size > 0).ok_or_else(wrong)
}

/// A time of the calendar as captures stamp it.
pub fn of_calendar(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_parts(at.as_second(), at.subsec_nanosecond().into())
}

/// Where to listen.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let wrong = "it must be ADDRESS:PORT, as 127.0.0.1:9469 or [::1]:9469";
    text.parse().map_err(|_| wrong.to_owned())
}

/// `--until`: a time with its offset from UTC, or a length.
pub fn parse_until(text: &str) -> Result<Until, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Until::Time(of_calendar(at)));
    }
    let length =
        text.parse::<jiff::SignedDuration>().ok().filter(jiff::SignedDuration::is_positive);
    let length =
        length.ok_or("it must be a time like 2026-12-24T18:00:00Z, or a length like 1h30m")?;
    Ok(Until::After(Span::from_secs_f64(length.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, size) in [
            ("5000", 5_000),
            ("7b", 7),
            ("10k", 10_000),
            ("10K", 10_000),
            ("100MB", 100_000_000),
            ("1GiB", 1 << 30),
            ("2Ti", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in ["", "0", "k", "1ib", "1i", "-5", "1.5M", "10X", "99999999999999T", "5 k"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_has_a_unit_or_is_in_seconds() {
        for (text, seconds) in [("1s", 1.0), ("100ms", 0.1), ("1m", 60.0), ("0.5", 0.5), ("2", 2.0)]
        {
            assert_eq!(parse_interval(text), Ok(seconds), "{text}");
        }
        for wrong in ["", "0", "1ms", "-1s", "2d3", "x", "NaN", "48h"] {
            assert!(parse_interval(wrong).is_err_and(|it| it.contains("100ms")), "{wrong}");
        }
    }

    #[test]
    fn an_end_is_a_time_or_a_length() {
        let after = |seconds| Ok(Until::After(Span::from_secs_f64(seconds)));
        let at = |second| Ok(Until::Time(Timestamp::from_parts(second, 0)));
        for (text, expected) in [
            ("10m", after(600.0)),
            ("1h30m", after(5_400.0)),
            ("1.5s", after(1.5)),
            ("2026-12-24T18:00:00Z", at(1_798_135_200)),
            ("2026-12-24T19:00:00+01:00", at(1_798_135_200)),
        ] {
            assert_eq!(parse_until(text), expected, "{text}");
        }
        for wrong in ["", "10", "-5m", "0s", "tomorrow", "2026-12-24", "2026-12-24T18:00:00", "x"] {
            assert!(parse_until(wrong).is_err_and(|error| error.contains("1h30m")), "{wrong}");
        }
    }
}
