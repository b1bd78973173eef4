//! The report as `mtr --report` writes it and, wide, `mtr --report-wide`: to the byte, apart from what is said in
//! the [module above](super) and from notes below the table.

use std::io::{self, Write};

use super::{NOBODY, Whole};
use crate::render::columns::{Column, Figures, Value};
use crate::render::text::loop_words;
use crate::render::{counted, outage, rows as words};
use crate::time::Span;
use crate::trace::Reply;
use crate::trace::table::{Looped, Row};
use crate::trace::verdict::{Loss, Reason};
use crate::wire::extension::Object;

/// Where the columns begin, unless names are not cut.
const HOSTS: usize = 33;
/// The least width of an autonomous system.
const SYSTEM: usize = 9;

pub(super) fn write(out: &mut impl Write, whole: Whole<'_>) -> io::Result<()> {
    let (table, columns) = (whole.table, &whole.look.columns);
    let started = whole.began.map_or(NOBODY.to_owned(), |at| {
        let at = jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap_or_default();
        at.strftime("%FT%T+0000").to_string()
    });
    let target = || format!(" to {}", whole.view.config.target_name.shown());
    let to = if whole.look.of_several { target() } else { String::new() };
    writeln!(out, "Start: {started}{to}")?;

    let wide = whole.look.wide;
    let responders = table.rows().iter().flat_map(|row| &row.responders);
    let systems = responders.filter_map(|it| whole.system(Some(it.address)).map(|it| it.len() + 1));
    let systems = whole.view.origins.map(|_| systems.chain([SYSTEM]).max());
    let width = systems.flatten().unwrap_or(SYSTEM);
    let source = whole.view.config.source.to_string();
    let hosts = table.rows().iter().map(|row| whole.first_host(row).shown().chars().count());
    let longest = hosts.chain([source.len()]).max();
    let mut hosts = longest.filter(|_| wide).unwrap_or(HOSTS);
    // mtr's titles stand two places too far to the left where it is wide, unless there are systems.
    let under = if wide && systems.is_some() { hosts + width } else { hosts };
    hosts += usize::from(wide && systems.is_some());
    let titles = columns.iter().map(|column| format!("{:>1$}", column.title, column.width));
    let head = cut(format!("HOST: {source:<under$}"), wide);
    writeln!(out, "{head}{}", titles.collect::<String>())?;

    for row in table.rows() {
        let host = whole.first_host(row).shown();
        let first = row.responders.first().map(|it| it.address);
        let about = match whole.system(first) {
            Some(system) => format!(" {:2}. {system:<width$}{host:<hosts$}", row.ttl),
            None => format!(" {:2}.|-- {host:<hosts$}", row.ttl),
        };
        let head = cut(about, wide);
        let figures = Figures::of(row);
        let cells = columns.iter().map(|column| cell(column, (column.value)(figures)));
        writeln!(out, "{head}{}", cells.collect::<String>())?;
        for (index, responder) in row.responders.iter().enumerate() {
            if index > 0 {
                let host = whole.host(responder.address).shown();
                match whole.system(Some(responder.address)) {
                    Some(system) => writeln!(out, "     {system:<width$}{host}")?,
                    None => writeln!(out, "        {host:<hosts$}")?,
                }
            }
            if whole.look.style.extensions {
                write_labels(out, &responder.reply)?;
            }
        }
    }
    write_notes(out, whole)
}

/// The part of a line before the columns.
fn cut(line: String, wide: bool) -> String {
    if wide { line } else { line.chars().take(HOSTS).collect() }
}

/// A cell with at least one space before it, of the column's width if its content fits. mtr cuts what does
/// not; here only decimals and the percent sign are dropped.
fn cell(column: &Column, value: Value) -> String {
    let width = column.width;
    let number = |value: f64, unit: &str| {
        let exact = [format!("{value:.1}{unit}"), format!("{value:.1}"), format!("{value:.0}")];
        let fitting = exact.iter().find(|text| text.len() < width);
        fitting.unwrap_or(&exact[2]).clone()
    };
    let text = match value {
        Value::Space(_) => return " ".to_owned(),
        Value::Count(count) => count.to_string(),
        Value::Share(share) => number(share * 100.0, "%"),
        Value::Time(time) => number(time.unwrap_or(Span::ZERO).as_millis_f64(), ""),
    };
    format!(" {text:>0$}", width - 1)
}

/// The label stack that came with a host's last reply.
fn write_labels(out: &mut impl Write, reply: &Reply) -> io::Result<()> {
    let objects = reply.extension.iter().flat_map(|extension| &extension.objects);
    for object in objects {
        let Object::MplsLabelStack(entries) = object else { continue };
        for entry in entries {
            writeln!(
                out,
                "       [MPLS: Lbl {} TC {} S {} TTL {}]",
                entry.label,
                entry.tc,
                u8::from(entry.bottom),
                entry.ttl
            )?;
        }
    }
    Ok(())
}

/// The hops where the path loses probes, and the hops where loss is unclear and why.
fn write_losses(out: &mut impl Write, whole: Whole<'_>) -> io::Result<()> {
    let verdicts = whole.table.verdicts();
    let mut path = Vec::new();
    // The reasons in the order of the hops.
    let mut unclear: Vec<(Reason, Vec<String>)> = Vec::new();
    for (row, verdict) in whole.table.rows().iter().zip(&verdicts) {
        match verdict.loss {
            Loss::Path => path.push(row.ttl.to_string()),
            Loss::Unclear(reason) => match unclear.iter_mut().find(|(it, _)| *it == reason) {
                Some((_, hops)) => hops.push(row.ttl.to_string()),
                None => unclear.push((reason, vec![row.ttl.to_string()])),
            },
            Loss::None | Loss::RateLimited | Loss::Silent => {}
        }
    }
    if !path.is_empty() {
        let where_it_is = if path.len() > 1 { "the first of them" } else { "this hop" };
        let hops = hops_of(&path.join(", "));
        writeln!(out, "  loss on the path at {hops}: at {where_it_is} or before it")?;
    }
    for (reason, hops) in unclear {
        let (hops, why) = (hops_of(&hops.join(", ")), reason.sentence());
        writeln!(out, "  loss or a limit, unclear, at {hops}: {why}")?;
    }
    Ok(())
}

/// "hop 7", or "hops 7, 8".
fn hops_of(ttls: &str) -> String {
    format!("hop{} {ttls}", if ttls.contains(',') { "s" } else { "" })
}

/// Which hops were not asked in every round: neighbours that were asked equally often in one line.
fn write_asked(out: &mut impl Write, whole: Whole<'_>) -> io::Result<()> {
    let asked = |row: &Row| whole.table.asked(row);
    let rounds = whole.table.rounds();
    for alike in whole.table.rows().chunk_by(|a, b| asked(a) == asked(b)) {
        let (Some(first), Some(last)) = (alike.first(), alike.last()) else { continue };
        let Some(times) = asked(first) else { continue };
        let through = if alike.len() > 1 { format!("-{}", last.ttl) } else { String::new() };
        writeln!(out, "{:3}{through}. asked in {times} of {rounds} rounds", first.ttl)?;
    }
    Ok(())
}

/// Why the target is not reached, and since when.
fn write_unreached(out: &mut impl Write, whole: Whole<'_>) -> io::Result<()> {
    let (reach, rounds) = (whole.table.reach(), whole.table.rounds());
    // The cause first.
    if let Some(Looped { last, rounds: looped, .. }) = whole.table.looped() {
        writeln!(out, "  {} in {looped} of {rounds} rounds", loop_words(last))?;
    }
    let not_reached = format!("target not reached in {} of {rounds} rounds", reach.unreached());
    if let Some(outage) = reach.outage() {
        let said = outage::in_words(outage, |address| whole.host(address).shown());
        let earlier = if reach.outages() > 1 { ", not the first outage" } else { "" };
        writeln!(out, "  {said}{earlier}: {not_reached}")?;
    }
    let is_outage = reach.outage().is_some_and(|outage| outage.until.is_none());
    if reach.unreached() > 0 && !is_outage && !reach.is_reached() {
        writeln!(out, "  {not_reached}, the last of them too")?;
    }
    Ok(())
}

/// Which of the losses are none, and which rounds.
fn write_notes(out: &mut impl Write, whole: Whole<'_>) -> io::Result<()> {
    let rows = whole.table.rows();
    for (row, verdict) in rows.iter().zip(whole.table.verdicts()) {
        let limited = verdict.loss == Loss::RateLimited;
        let Some(behind) = verdict.behind.filter(|_| limited) else {
            if let Some(limit) = verdict.limit.filter(|_| limited) {
                writeln!(out, "{:3}. rate-limited, not loss: {}", row.ttl, words::limit(limit))?;
            }
            continue;
        };
        let what = if behind.loss > 0.0 { "rate-limited besides" } else { "rate-limited, not" };
        let ttl = |index: usize| rows.get(index).map_or(0, |row| row.ttl);
        let lose = match (ttl(behind.first), ttl(behind.last)) {
            (first, last) if first == last => format!("hop {first} beyond it loses"),
            (first, last) => format!("hops {first} to {last} beyond it lose"),
        };
        writeln!(out, "{:3}. {what} loss: {lose} {:.1}%", row.ttl, behind.loss * 100.0)?;
    }
    write_losses(out, whole)?;
    let damaged = rows.iter().filter(|row| row.damaged > 0);
    for Row { ttl, damaged, .. } in damaged {
        writeln!(out, "{ttl:3}. damaged: {damaged} answered with a wrong checksum, not lost")?;
    }
    write_asked(out, whole)?;
    write_unreached(out, whole)?;
    let (contradicted, target) = (whole.table.contradicted(), whole.view.config.target);
    if contradicted > 0 {
        writeln!(
            out,
            "  contradicted: {} of {target} not believed, other replies say otherwise",
            counted(contradicted, "answer")
        )?;
    }
    let (missed, rounds) = (whole.table.missed(), whole.table.rounds());
    if missed > 0 {
        writeln!(out, "  {missed} of {rounds} rounds were not sent: no probe was seen leaving")?;
    }
    if whole.clock_steps > 0 {
        let times = if whole.clock_steps == 1 { "once" } else { "several times" };
        writeln!(out, "  the clock was set {times}: round trips across a step are left out")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::columns::Columns;

    #[test]
    fn no_digit_before_the_point_is_ever_cut() {
        let ms = |ms: f64| Value::Time(Some(Span::from_secs_f64(ms / 1e3)));
        for (letter, value, expected) in [
            ("L", Value::Share(0.0), "  0.0%"),
            ("L", Value::Share(0.125), " 12.5%"),
            ("L", Value::Share(1.0), " 100.0"),
            ("N", ms(1.25), "   1.2"),
            ("N", ms(999.94), " 999.9"),
            ("N", ms(999.96), "  1000"),
            ("N", ms(1_234_567.0), " 1234567"),
            ("J", ms(99.9), " 99.9"),
            ("J", ms(1_234.4), " 1234"),
            ("S", Value::Count(7), "     7"),
            ("S", Value::Count(1_234_567), " 1234567"),
            (" ", Value::Space(3), " "),
        ] {
            let columns: Columns = letter.parse().unwrap();
            let column = columns.iter().next().unwrap();
            assert_eq!(cell(column, value), expected, "{letter}");
        }
    }
}
