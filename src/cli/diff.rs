//! `rtrace diff BEFORE AFTER`: whether a path has changed, for people and for cron.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, bail};

use super::args::DiffArgs;
use super::{Status, replay, write_out};
use crate::compare::{self, Comparison, Difference, SIGNIFICANCE, Trace};
use crate::time::Span;

/// Runs the command.
pub fn run(args: &DiffArgs) -> anyhow::Result<Status> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    if before.target.address != after.target.address {
        let (before, after) = (before.target.address, after.target.address);
        bail!(
            "these are traces to different targets, {before} and {after}: compare two of one path"
        );
    }
    let found = compare::compare(&before, &after);
    let text = if args.json {
        serde_json::to_string_pretty(&found).context("cannot write the comparison")? + "\n"
    } else {
        as_text(&found)
    };
    write_out(&text, "the comparison")?;
    Ok(if found.changed { Status::NotReached } else { Status::Reached })
}

fn read(path: &Path) -> anyhow::Result<Trace> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let document = bytes.trim_ascii_start().starts_with(b"{");
    let json = if document { bytes } else { replay::first_as_json(path)? };
    Trace::parse(&json).with_context(|| format!("cannot compare {}", path.display()))
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
    if found.reached.before != found.reached.after {
        let now = if found.reached.after { "reached now" } else { "reached no more" };
        let _ = writeln!(text, "the target is {now}");
    }
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
