//! `rtrace diff BEFORE AFTER`: whether a path has changed, for people and for cron.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use super::args::DiffArgs;
use super::{Status, replay, write_out};
use crate::compare::maps::{self, Map, MapComparison, Missing};
use crate::compare::{self, Comparison, Difference, Pair, SIGNIFICANCE, Trace};
use crate::time::Span;

/// Runs the command.
pub fn run(args: &DiffArgs) -> anyhow::Result<Status> {
    let (text, changed) = match (read(&args.before)?, read(&args.after)?) {
        (Read::Trace(before), Read::Trace(after)) => {
            of_one_target(before.target.address, after.target.address)?;
            let found = compare::compare(&before, &after);
            (written(&found, args.json, as_text)?, found.changed)
        }
        (Read::Map(before), Read::Map(after)) => {
            of_one_target(before.target.address, after.target.address)?;
            let found = maps::compare(&before, &after);
            (written(&found, args.json, map_as_text)?, found.changed)
        }
        _ => bail!("one is of all paths, the other is not: compare two of one kind"),
    };
    write_out(&text, "the comparison")?;
    Ok(if changed { Status::NotReached } else { Status::Reached })
}

/// What can be compared.
enum Read {
    Trace(Trace),
    Map(Map),
}

fn read(path: &Path) -> anyhow::Result<Read> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let document = bytes.trim_ascii_start().starts_with(b"{");
    let json = if document { bytes } else { replay::first_as_json(path)? };
    let map = Map::parse(&json).map(Read::Map);
    map.or_else(|_| Trace::parse(&json).map(Read::Trace))
        .with_context(|| format!("cannot compare {}", path.display()))
}

fn of_one_target(before: IpAddr, after: IpAddr) -> anyhow::Result<()> {
    if before != after {
        bail!(
            "these are traces to different targets, {before} and {after}: compare two of one path"
        );
    }
    Ok(())
}

fn written<T: Serialize>(
    found: &T,
    json: bool,
    as_text: fn(&T) -> String,
) -> anyhow::Result<String> {
    if !json {
        return Ok(as_text(found));
    }
    Ok(serde_json::to_string_pretty(found).context("cannot write the comparison")? + "\n")
}

fn map_as_text(found: &MapComparison) -> String {
    let mut text = String::new();
    let name = |address: Option<IpAddr>| address.map_or("*".to_owned(), |it| it.to_string());
    let said = |difference: Missing, p: f64| match (difference, maps::is_change(p)) {
        (Missing::Gone, true) => "gone".to_owned(),
        (Missing::Come, true) => "come".to_owned(),
        (Missing::Gone, false) => format!("not found now, perhaps by chance (p = {p:.2})"),
        (Missing::Come, false) => format!("not found before, perhaps by chance (p = {p:.2})"),
    };
    for router in &found.routers {
        let ttl = router.ttls.first().copied().unwrap_or_default();
        let _ = writeln!(
            text,
            "{ttl:2}  {}: {}",
            said(router.difference, router.p),
            name(router.address)
        );
    }
    for link in &found.links {
        let from = link.from.map_or("here".to_owned(), |from| from.to_string());
        let _ = writeln!(text, "link  {}: {from} -> {}", said(link.difference, link.p), link.to);
    }
    for (address, now) in &found.per_packet {
        let now = if *now { "now" } else { "no more" };
        let _ = writeln!(text, "{address} chooses for each packet {now}");
    }
    text += reached(found.reached);
    let verdict = if found.changed { "the paths have changed" } else { "the paths are the same" };
    let _ = writeln!(text, "{verdict} (what is missed at p < {SIGNIFICANCE} is gone)");
    text
}

fn reached(reached: Pair<bool>) -> &'static str {
    match (reached.before, reached.after) {
        (false, true) => "the target is reached now\n",
        (true, false) => "the target is reached no more\n",
        _ => "",
    }
}

fn as_text(found: &Comparison) -> String {
    let mut text = String::new();
    for hop in &found.hops {
        let said = match &hop.what {
            Difference::Gone { before } => format!("gone: {}", list(before)),
            Difference::Come { after } => format!("come: {}", list(after)),
            Difference::Changed { before, after } => {
                format!("changed: {} is now {}", list(before), list(after))
            }
            Difference::Branches { before, after } => {
                format!("other branches: {}, before {}", list(after), list(before))
            }
            Difference::Labels { before, after } => {
                format!("labels: {} is now {}", stacks(before), stacks(after))
            }
            Difference::Rewritten { now: true } => "probes are rewritten now".to_owned(),
            Difference::Rewritten { now: false } => "probes are rewritten no more".to_owned(),
            Difference::Rtt { before_ns, after_ns, p } => {
                let [before, after] = [before_ns, after_ns].map(|nanos| Span::from_nanos(*nanos));
                format!("RTT: {before} ms is now {after} ms (medians; rank-sum test, p = {p:.2e})")
            }
        };
        let _ = writeln!(text, "{:2}  {said}", hop.ttl);
    }
    let known = |end: Option<u8>| end.map_or("unknown".to_owned(), |end| end.to_string());
    if found.length.before != found.length.after {
        let (before, after) = (known(found.length.before), known(found.length.after));
        let _ = writeln!(text, "length: {before} is now {after}");
    }
    text += reached(found.reached);
    let verdict = if found.changed { "the path has changed" } else { "the path is the same" };
    let _ = writeln!(text, "{verdict} (RTTs are told apart at p < {SIGNIFICANCE})");
    text
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Label stacks come as digits and slashes.
fn stacks(labels: &BTreeSet<String>) -> String {
    if labels.is_empty() {
        "none".to_owned()
    } else {
        labels.iter().cloned().collect::<Vec<_>>().join(" ")
    }
}
