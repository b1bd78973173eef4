//! Everything about one hop.

use std::net::IpAddr;

use super::model::{System, Target};
use super::state::UiState;
use crate::render::annotation::annotation;
use crate::render::rows::limit;
use crate::time::Span;
use crate::trace::table::{Responder, Row};
use crate::trace::verdict::Loss;
use crate::trace::{Reply, ReplyKind, reply};
use crate::wire::extension::{Checksum, Extension, Object};

/// What is known of the selected hop.
pub fn lines(target: &Target, state: &UiState) -> Vec<String> {
    let Some((index, row)) = target.row(state) else { return vec!["no hop yet".to_owned()] };
    let mut lines = vec![counts(row), meaning(target, index, row)];
    lines.extend(times(row));
    for responder in &row.responders {
        lines.push(String::new());
        lines.extend(of_responder(target, row, responder));
    }
    lines
}

fn counts(row: &Row) -> String {
    let (sent, received, late, lost) = (row.sent, row.received, row.late, row.lost());
    let damaged = match row.damaged {
        0 => String::new(),
        damaged => format!(", {damaged} answered with a wrong checksum"),
    };
    format!("{sent} sent, {received} answered in time, {late} late, {lost} lost{damaged}")
}

/// What its loss means, in words.
fn meaning(target: &Target, index: usize, row: &Row) -> String {
    let share = row.loss() * 100.0;
    let verdicts = target.table.verdicts();
    let verdict = verdicts.get(index);
    match verdict.map_or(Loss::None, |verdict| verdict.loss) {
        Loss::None => "no loss".to_owned(),
        Loss::RateLimited if verdict.is_some_and(|verdict| verdict.behind.is_none()) => {
            let limit = verdict.and_then(|verdict| verdict.limit).map(limit);
            format!("{share:.1}% rate-limited, not loss: {}", limit.unwrap_or_default())
        }
        Loss::RateLimited => format!(
            "{share:.1}% rate-limited, not loss: hops beyond it lose clearly less, and all their \
             packets pass it"
        ),
        Loss::Path => {
            format!("{share:.1}% loss, at this hop or before it: compare the hops above")
        }
        Loss::Unclear(reason) => {
            format!("{share:.1}% not answered: loss or a limit, unclear: {}", reason.sentence())
        }
        Loss::Silent => {
            "it has never answered; hops beyond it show whether it passes packets".into()
        }
    }
}

/// A number and what it is.
type Measured = (&'static str, Option<Span>);

/// All that is measured.
fn times(row: &Row) -> Vec<String> {
    let rtts = &row.rtts;
    let lines: [(&str, &[Measured]); 3] = [
        (
            "RTT, ms:",
            &[
                ("last", rtts.last()),
                ("best", rtts.best()),
                ("average", rtts.mean()),
                ("worst", rtts.worst()),
            ],
        ),
        (
            "",
            &[
                ("median", rtts.quantile(0.5)),
                ("p95", rtts.quantile(0.95)),
                ("deviation", rtts.deviation()),
            ],
        ),
        (
            "jitter:",
            &[
                ("last", rtts.jitter()),
                ("mean", rtts.mean_jitter()),
                ("worst", rtts.worst_jitter()),
                ("interarrival", rtts.interarrival_jitter()),
            ],
        ),
    ];
    let known = lines.iter().filter(|_| rtts.count() > 0);
    let said = known.map(|(what, values)| {
        let values =
            values.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?)));
        format!("{what:<8} {}", values.collect::<Vec<_>>().join("  "))
    });
    said.collect()
}

fn of_responder(target: &Target, row: &Row, responder: &Responder) -> Vec<String> {
    let Responder { address, reply, round, .. } = responder;
    let rtts = row.rtts_of(responder);
    let who = target.name_and_address(*address);
    let average = rtts.mean().map_or_else(String::new, |mean| format!(", average {mean} ms"));
    let mut lines = vec![format!("{who}: {} replies{average}", rtts.count())];
    lines.extend(whereabouts(target, address));
    lines.extend([
        format!("  last in round {round}: {}", said(reply)),
        format!("  {}", return_path(reply.ttl)),
    ]);
    if let Some(quote) = reply.quote {
        let changed = match reply {
            Reply { rewritten: true, .. } => "; quote rewritten on the path",
            Reply { guessable: true, .. } => "; may be a guess",
            _ => "",
        };
        lines.push(format!(
            "  quotes {} of {} bytes, with TTL {} and TOS {:#04x}{changed}",
            quote.len, quote.total_len, quote.ttl, quote.tos
        ));
    }
    lines.extend(reply.extension.iter().flat_map(|extension| of_extension(extension)));
    lines
}

/// The autonomous systems and the place of a responder, if requested and known.
fn whereabouts(target: &Target, address: &IpAddr) -> Option<String> {
    let system = target.systems.get(address).map(|System { numbers, name }| {
        name.as_ref()
            .map_or_else(|| numbers.clone(), |name| format!("{numbers} ({})", name.shown()))
    });
    let said: Vec<_> = system.into_iter().chain(target.places.get(address).cloned()).collect();
    (!said.is_empty()).then(|| format!("  in {}", said.join(", ")))
}

/// The message, with traceroute's annotation of it.
pub fn said(reply: &Reply) -> String {
    let numbers = match reply.kind {
        ReplyKind::Icmp { icmp_type, code, .. } => format!(" (type {icmp_type} code {code})"),
        ReplyKind::Answer { .. } => String::new(),
    };
    let annotation = annotation(reply.kind).map_or_else(String::new, |it| format!(" {it}"));
    let rtt = reply.rtt.map_or_else(String::new, |rtt| format!(", {rtt} ms"));
    let fault = if reply.clock_fault { " across a step of the clock" } else { "" };
    let late = if reply.late { ", late" } else { "" };
    format!("{}{numbers}{annotation}{rtt}{fault}{late}", reply.kind)
}

/// How long the return path seems to be: routers take one off a TTL that began with a round number.
fn return_path(ttl: u8) -> String {
    let (initial, hops) = reply::return_path(ttl);
    let word = if hops == 1 { "hop" } else { "hops" };
    format!("arrived with TTL {ttl}: from an initial {initial}, over {hops} {word}")
}

/// Every object that was appended.
fn of_extension(extension: &Extension) -> Vec<String> {
    let checksum = match extension.checksum {
        Checksum::Right => "",
        Checksum::Absent => ", without a checksum",
        Checksum::Wrong => ", with a wrong checksum: do not trust it",
    };
    let place = if extension.compliant { "" } else { ", at octet 128" };
    let mut lines = vec![format!("  appended{place}{checksum}:")];
    for it in &extension.objects {
        match it {
            Object::MplsLabelStack(entries) => lines.extend(entries.iter().map(|entry| {
                let bottom = if entry.bottom { ", bottom of stack" } else { "" };
                let (label, tc, ttl) = (entry.label, entry.tc, entry.ttl);
                format!("    MPLS label {label}, traffic class {tc}, TTL {ttl}{bottom}")
            })),
            _ => lines.push(format!("    {}", object(it))),
        }
    }
    lines
}

/// An object in a line; nothing in it can steer a terminal.
pub fn object(object: &Object) -> String {
    match object {
        Object::InterfaceInformation(information) => format!("interface: {information}"),
        Object::MplsLabelStack(_) => object.to_string(),
        Object::Unknown { .. } => format!("object {object}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_counted_from_a_round_number() {
        for (ttl, words) in [
            (64, "initial 64, over 1 hop"),
            (63, "initial 64, over 2 hops"),
            (65, "initial 128, over 64 hops"),
            (250, "initial 255, over 6 hops"),
            (0, "initial 64, over 65 hops"),
        ] {
            assert!(return_path(ttl).contains(words), "{}", return_path(ttl));
        }
    }
}
