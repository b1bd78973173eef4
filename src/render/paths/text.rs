//! As text: a router a line. Where paths diverge, the routers of a branch stand together behind a rule; where rules
//! do not tell who leads to whom, numbers do.

use std::io::{self, Write};

use super::{Map, in_ms};
use crate::render::counted;
use crate::trace::paths::{
    Completion, Diamond, Enumerated, Link, Network, Reason, Router, Unclear,
};

/// The width of the column of hops, unless it takes more.
const HOPS: usize = 5;

pub(super) fn write(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    let (network, config) = (map.network, map.view.config);
    let target = config.target_name.word();
    let of = if map.plan.confidence.whole_graph { "the whole graph" } else { "each router" };
    writeln!(
        out,
        "paths to {target} ({}), {} hops max, {} byte packets, {} % of {of}",
        config.target, config.max_ttl, config.packet_len, map.plan.confidence.percent
    )?;
    let rules = rules(network);
    let width = |text: &String| text.chars().count();
    let names: Vec<String> = network.routers.iter().map(|it| map.title(it)).collect();
    let digits = names.len().to_string().len() + 1;
    let names: Vec<String> = (1..)
        .zip(names.iter().zip(&rules))
        .map(|(id, (name, rule))| format!("{rule}{:digits$}  {name}", format!("#{id}")))
        .collect();
    let widest = names.iter().map(width).max().unwrap_or(0);
    let hops = network.routers.iter().map(|it| width(&ttls(it))).max().unwrap_or(0).max(HOPS);
    if let Some(host) = map.host {
        writeln!(out, "{:>hops$}  {:digits$}  {}", 0, "#0", host.sentence())?;
    }
    for ((index, router), name) in network.routers.iter().enumerate().zip(&names) {
        let flows = router.flows.len();
        let noun = if flows == 1 { "flow" } else { "flows" };
        let line = format!(
            "{:>hops$}  {name:widest$}  {:>11}  {flows:4} {noun}{}",
            ttls(router),
            in_ms(router),
            leads(network, index),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    write_summary(map, out)
}

fn write_summary(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    let network = map.network;
    for diamond in &network.diamonds {
        writeln!(out, "{}", describe(diamond, network.completion == Completion::Complete))?;
    }
    for group in &network.aliases {
        let group = ranges(group.iter().map(|router| router + 1), "#");
        writeln!(out, "{group} are one router: they count their packets together")?;
    }
    for Unclear { routers, reason, with } in &network.unclear {
        let group = ranges(routers.iter().map(|router| router + 1), "#");
        let shared = ranges(network.routers_of(with).map(|router| router + 1), "#");
        let why = match reason {
            Reason::SharedCounter => match network.routers_of(with).count() {
                1 => format!("so does {shared} at another hop"),
                _ => format!("so do {shared} at other hops"),
            },
            Reason::NoControl => "no other hop could be compared".to_owned(),
        };
        writeln!(
            out,
            "{group} count their packets together, but {why}: whether they are one router is unclear"
        )?;
    }
    for round in &network.loops {
        let round = ranges(round.iter().map(|router| router + 1), "#");
        writeln!(out, "loop: {round} repeat; flows in it never arrive")?;
    }
    let totals = map.view.path.totals;
    let asked = network.routers.iter().filter_map(|router| router.enumerated);
    let open = asked.filter(|enumerated| *enumerated == Enumerated::No).count();
    let uncertain = network.links.iter().filter(|link| link.uncertain).count();
    let uncertain = match uncertain {
        0 => String::new(),
        some => format!(" ({some} uncertain)"),
    };
    write!(
        out,
        "{}, {}{uncertain}, {}, {} unanswered",
        counted(network.routers.len() as u64, "router"),
        counted(network.links.len() as u64, "link"),
        counted(totals.sent, "probe"),
        totals.sent.saturating_sub(totals.answered)
    )?;
    match network.completion {
        Completion::Complete => {}
        Completion::MaxProbes => write!(out, "; stopped at --max-probes (see --resume)")?,
        Completion::Incomplete => {
            write!(out, "; incomplete: some probes were not sent (see --resume)")?;
        }
    }
    if !map.view.path.reached() {
        write!(out, "; target not reached")?;
    }
    let without_probe = totals.orphans.saturating_sub(totals.cut_short);
    if without_probe > 0 {
        write!(out, "; {} without a probe of this run", counted(without_probe, "reply"))?;
    }
    if totals.cut_short > 0 {
        let cut_short = counted(totals.cut_short, "reply");
        write!(out, "; {cut_short} cut too short by the capture to identify the probe")?;
    }
    if totals.clock_faults > 0 {
        let left_out = counted(totals.clock_faults, "round trip");
        write!(out, "; {left_out} across a step of the clock not measured")?;
    }
    if open > 0 {
        let have = if open == 1 { "router may have" } else { "routers may have" };
        write!(out, "; {open} {have} more next hops than were found (?)")?;
    }
    writeln!(out)
}

/// What stands before each router: nothing, or the rule of its branch.
fn rules(network: &Network) -> Vec<&'static str> {
    let mut rules = vec![""; network.routers.len()];
    for diamond in &network.diamonds {
        for (index, branch) in diamond.branches.iter().enumerate() {
            let last = index + 1 == diamond.branches.len();
            let (first, then) = if last { ("└ ", "  ") } else { ("├ ", "│ ") };
            for (place, rule) in
                rules.get_mut(branch.clone()).unwrap_or_default().iter_mut().enumerate()
            {
                *rule = if place == 0 { first } else { then };
            }
        }
    }
    rules
}

/// The hops at which a router is seen: "3", "5-7", "5,7".
fn ttls(router: &Router) -> String {
    ranges(router.ttls.iter().map(|ttl| usize::from(*ttl)), "")
}

/// Where links lead, as ranges: those that are certain, then the others.
fn numbers(links: &[Link]) -> String {
    let led = |uncertain: bool| {
        let links = links.iter().filter(move |link| link.uncertain == uncertain);
        ranges(links.map(|link| link.to + 1), "#")
    };
    let (certain, uncertain) = (led(false), led(true).replace(',', "?,"));
    match (certain.is_empty(), uncertain.is_empty()) {
        (_, true) => certain,
        (true, false) => format!("{uncertain}?"),
        (false, false) => format!("{certain},{uncertain}?"),
    }
}

/// Numbers in order, as ranges.
pub(super) fn ranges(numbers: impl Iterator<Item = usize>, sign: &str) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut().filter(|(_, last)| *last + 1 == number) {
            Some((_, last)) => *last = number,
            None => ranges.push((number, number)),
        }
    }
    let said = ranges.into_iter().map(|(first, last)| match last - first {
        0 => format!("{sign}{first}"),
        _ => format!("{sign}{first}-{last}"),
    });
    said.collect::<Vec<_>>().join(",")
}

/// Where a router leads, if that is not to be seen: "  -> #2-5,#7?", with "?" after those to which no link is certain; then "?" where there may be
/// more, "~" where each packet goes its own way, "=" before other addresses of the router.
fn leads(network: &Network, router: usize) -> String {
    let next: Vec<Link> = network.next(router).copied().collect();
    let shown = network
        .diamonds
        .iter()
        .filter(|it| it.is_simple())
        .any(|it| it.from == Some(router) || it.routers().contains(&router))
        || matches!(next[..], [Link { to, .. }] if to == router + 1)
            && !network.diamonds.iter().any(|it| it.routers().contains(&router));
    let mut said = String::new();
    if !next.is_empty() && (!shown || next.iter().any(|link| link.uncertain)) {
        said += "  -> ";
        said += &numbers(&next);
    }
    let Some(it) = network.routers.get(router) else { return said };
    if !it.also.is_empty() {
        let also: Vec<_> = it.also.iter().map(ToString::to_string).collect();
        said += "  = ";
        said += &also.join(" = ");
    }
    if it.per_packet {
        said += "  ~ per packet";
    }
    if it.enumerated == Some(Enumerated::No) {
        said += "  ?";
    }
    said
}

/// The description of a diamond; until the map is `complete`, separate paths may still meet.
fn describe(diamond: &Diamond, complete: bool) -> String {
    let from = diamond.from.map_or("here".to_owned(), |from| format!("#{}", from + 1));
    let wide = diamond.width;
    let place = match diamond.to {
        Some(to) => format!("between {from} and #{}: {wide} wide", to + 1),
        None if complete => format!("from {from} on: {wide} wide, paths do not meet again"),
        None => format!("from {from} on: {wide} wide so far, not followed to its end"),
    };
    let variable_queries =
        diamond.lengths.filter(|_| diamond.is_asymmetric()).map(|(shortest, longest)| {
            format!("branches of different length ({shortest} to {longest} routers)")
        });
    let meshed = diamond.meshed.then(|| "routers share next hops".to_owned());
    let parted = diamond.per_packet.then(|| "packets of one flow diverge".to_owned());
    let said = [Some(place), variable_queries, meshed, parted];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_order_become_ranges() {
        assert_eq!(ranges([1, 2, 3, 5, 7, 8].into_iter(), "#"), "#1-3,#5,#7-8");
    }
}
