//! The report of a multipath trace: as text, as JSON (`schema/paths.schema.json`), and as a graph for Graphviz
//! or Mermaid. Each router stands there once, under a number, with those that it sends packets to.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;

use super::annotation::annotation;
use super::rows::{self, TargetRow, TotalsRow};
use super::text::plain;
use super::{Form, Renderer, View};
use crate::probe::ProbeType;
use crate::time::Span;
use crate::trace::paths::{Completion, Diamond, Enumerated, Network, Plan, Router, network};

/// The version of the document's form; it changes when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// A report, written when the trace is over.
pub struct PathsReport<W> {
    out: W,
    form: Form,
    numeric: bool,
    plan: Plan,
}

impl<W: Write> PathsReport<W> {
    /// A report to `out`; with `numeric`, addresses without names.
    pub fn new(out: W, form: Form, numeric: bool, plan: Plan) -> Self {
        Self { out, form, numeric, plan }
    }

    fn write_text(&mut self, network: &Network, view: View<'_>) -> io::Result<()> {
        let config = view.config;
        let target = plain(&config.target_name);
        let of = if self.plan.confidence.whole_graph { "the whole graph" } else { "each router" };
        writeln!(
            self.out,
            "paths to {target} ({}), {} hops max, {} byte packets, {} % of {of}",
            config.target, config.max_ttl, config.packet_len, self.plan.confidence.percent
        )?;
        let names: Vec<String> = network.routers.iter().map(|it| self.title(it, view)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let digits = network.routers.len().to_string().len() + 1;
        for (index, (router, name)) in network.routers.iter().zip(&names).enumerate() {
            let rtt = router.rtt.map_or("*".to_owned(), |rtt| format!("{rtt} ms"));
            let line = format!(
                "{:>5}  {:>digits$}  {name:width$}  {rtt:>11}  {:4} flows{}",
                ttls(router),
                format!("#{}", index + 1),
                router.flows.len(),
                leads(network, index),
            );
            writeln!(self.out, "{}", line.trim_end())?;
        }
        self.write_summary(network, view)
    }

    fn write_summary(&mut self, network: &Network, view: View<'_>) -> io::Result<()> {
        for diamond in &network.diamonds {
            writeln!(self.out, "{}", describe(diamond))?;
        }
        let totals = view.path.totals;
        let asked = network.routers.iter().filter_map(|router| router.enumerated);
        let open = asked.filter(|enumerated| *enumerated == Enumerated::No).count();
        write!(
            self.out,
            "{} routers, {} links, {} probes, {} unanswered",
            network.routers.len(),
            network.links.len(),
            totals.sent,
            totals.sent.saturating_sub(totals.answered)
        )?;
        match network.completion {
            Completion::Complete => {}
            Completion::MaxProbes => write!(self.out, "; stopped at --max-probes")?,
            Completion::Incomplete => write!(self.out, "; incomplete")?,
        }
        if open > 0 {
            write!(self.out, "; {open} of them may have more next hops than were found (?)")?;
        }
        writeln!(self.out)
    }

    /// A router by name and address, with what it says to flows that end.
    fn title(&self, router: &Router, view: View<'_>) -> String {
        let Some(address) = router.address else { return "*".to_owned() };
        let mut title = match rows::name(view, address, self.numeric) {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        };
        if let Some(annotation) = router.ends.and_then(annotation) {
            title += " ";
            title += &annotation;
        }
        title
    }

    fn write_json(&mut self, network: &Network, view: View<'_>) -> io::Result<()> {
        let document = Document::of(network, self.plan, view, self.numeric);
        serde_json::to_writer_pretty(&mut self.out, &document)?;
        writeln!(self.out)
    }

    fn write_dot(&mut self, network: &Network, view: View<'_>) -> io::Result<()> {
        writeln!(self.out, "digraph paths {{\n  rankdir=LR;\n  node [shape=box];")?;
        let source = view.config.source;
        writeln!(self.out, "  n0 [label=\"{source}\", shape=ellipse];")?;
        for (index, router) in network.routers.iter().enumerate() {
            let shape = if router.ends.is_some() { ", shape=ellipse" } else { "" };
            let label = in_quotes(&self.title(router, view));
            writeln!(self.out, "  n{} [label=\"{label}\"{shape}];", index + 1)?;
        }
        for edge in edges(network) {
            let style = if edge.uncertain { ", style=dashed" } else { "" };
            writeln!(
                self.out,
                "  n{} -> n{} [label=\"{}\"{style}];",
                edge.from, edge.to, edge.flows
            )?;
        }
        writeln!(self.out, "}}")
    }

    fn write_mermaid(&mut self, network: &Network, view: View<'_>) -> io::Result<()> {
        writeln!(
            self.out,
            "flowchart LR\n  n0([\"{}\"])",
            entities(&view.config.source.to_string())
        )?;
        for (index, router) in network.routers.iter().enumerate() {
            let (open, close) = if router.ends.is_some() { ("([", "])") } else { ("[", "]") };
            let label = entities(&self.title(router, view));
            writeln!(self.out, "  n{}{open}\"{label}\"{close}", index + 1)?;
        }
        for edge in edges(network) {
            let arrow = if edge.uncertain { "-.->" } else { "-->" };
            writeln!(self.out, "  n{} {arrow}|{}| n{}", edge.from, edge.flows, edge.to)?;
        }
        Ok(())
    }
}

impl<W: Write> Renderer for PathsReport<W> {
    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let network = network(view.config, &self.plan, view.path);
        match self.form {
            Form::Json => self.write_json(&network, view)?,
            Form::Dot => self.write_dot(&network, view)?,
            Form::Mermaid => self.write_mermaid(&network, view)?,
            _ => self.write_text(&network, view)?,
        }
        self.out.flush()
    }
}

/// The hops at which a router is seen: "3", "5-7", "5,7".
fn ttls(router: &Router) -> String {
    ranges(router.ttls.iter().map(|ttl| usize::from(*ttl)), "")
}

/// Numbers in order, as ranges.
fn ranges(numbers: impl Iterator<Item = usize>, sign: &str) -> String {
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

/// Where a router leads: "  -> #2-5"; with "?" where there may be more, "~" where each packet goes its own way.
fn leads(network: &Network, router: usize) -> String {
    let next = network.next(router).map(|link| link.to + 1);
    let next = ranges(next, "#");
    let it = &network.routers[router];
    let doubt = if it.enumerated == Some(Enumerated::No) { " ?" } else { "" };
    let packets = if it.per_packet { " ~ per packet" } else { "" };
    if next.is_empty() { doubt.to_owned() } else { format!("  -> {next}{packets}{doubt}") }
}

fn describe(diamond: &Diamond) -> String {
    let mut said = match diamond.to {
        Some(to) => format!("between hop {} and hop {to}: {} wide", diamond.from, diamond.width),
        None => format!("from hop {} on: {} wide", diamond.from, diamond.width),
    };
    if diamond.uneven {
        said += ", routers share next hops or branches differ";
    }
    if diamond.per_packet {
        said += ", packets of one flow part";
    }
    said
}

/// A link with the prober as 0 and routers from 1.
struct Edge {
    from: usize,
    to: usize,
    flows: usize,
    uncertain: bool,
}

/// All links, and those from the prober to the routers of the first hop.
fn edges(network: &Network) -> Vec<Edge> {
    let first_ttl = network.routers.first().and_then(|router| router.ttls.first().copied());
    let first = network.routers.iter().enumerate();
    let first = first.filter(|(_, router)| router.ttls.first().copied() == first_ttl);
    let source = first.map(|(index, router)| Edge {
        from: 0,
        to: index + 1,
        flows: router.flows.len(),
        uncertain: false,
    });
    let links = network.links.iter().map(|link| Edge {
        from: link.from + 1,
        to: link.to + 1,
        flows: link.flows,
        uncertain: link.uncertain,
    });
    source.chain(links).collect()
}

/// Inside the quotes of Graphviz.
fn in_quotes(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Inside the quotes of Mermaid: all but plain characters as entities.
fn entities(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || " .:-_()*!".contains(c) {
            safe.push(c);
        } else {
            let _ = write!(safe, "#{};", u32::from(c));
        }
    }
    safe
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    target: TargetRow<'a>,
    source: IpAddr,
    asked: AskedRow,
    nodes: Vec<NodeRow<'a>>,
    links: Vec<LinkRow>,
    diamonds: Vec<DiamondRow>,
    totals: TotalsRow,
    reached: bool,
    completion: &'static str,
}

#[derive(Serialize)]
struct AskedRow {
    probe: ProbeType,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_port: Option<u16>,
    first_ttl: u8,
    max_ttl: u8,
    packet_len: u16,
    confidence: f64,
    whole_graph: bool,
    algorithm: &'static str,
    rate: f64,
    max_probes: u32,
    /// For each router, in the end.
    epsilon: f64,
}

#[derive(Serialize)]
struct NodeRow<'a> {
    id: usize,
    address: Option<IpAddr>,
    name: Option<&'a str>,
    ttls: Vec<u8>,
    flows: Vec<u16>,
    answers: u64,
    rtt_ns: Option<i64>,
    ends: bool,
    annotation: Option<String>,
    per_packet: bool,
    enumerated: Option<&'static str>,
}

#[derive(Serialize)]
struct LinkRow {
    from: usize,
    to: usize,
    flows: usize,
    uncertain: bool,
}

#[derive(Serialize)]
struct DiamondRow {
    from_ttl: u8,
    to_ttl: Option<u8>,
    width: usize,
    uneven: bool,
    per_packet: bool,
}

impl<'a> Document<'a> {
    fn of(network: &Network, plan: Plan, view: View<'a>, numeric: bool) -> Self {
        let config = view.config;
        let numbered = (1..).zip(&network.routers);
        Self {
            format: "rtrace-paths",
            version: VERSION,
            target: TargetRow::of(config),
            source: config.source,
            asked: AskedRow {
                probe: config.probe,
                first_port: config.probe.has_ports().then_some(config.first_port),
                first_ttl: config.first_ttl,
                max_ttl: config.max_ttl,
                packet_len: config.packet_len,
                confidence: plan.confidence.percent,
                whole_graph: plan.confidence.whole_graph,
                algorithm: if plan.every_router { "mda" } else { "mda-lite" },
                rate: plan.rate,
                max_probes: plan.max_probes,
                epsilon: network.rule.epsilon(),
            },
            nodes: numbered.map(|(id, router)| NodeRow::of(id, router, view, numeric)).collect(),
            links: edges(network).iter().map(LinkRow::of).collect(),
            diamonds: network.diamonds.iter().map(DiamondRow::of).collect(),
            totals: TotalsRow::of(view.path),
            reached: view.path.reached(config),
            completion: match network.completion {
                Completion::Complete => "complete",
                Completion::MaxProbes => "max-probes",
                Completion::Incomplete => "incomplete",
            },
        }
    }
}

impl<'a> NodeRow<'a> {
    fn of(id: usize, router: &Router, view: View<'a>, numeric: bool) -> Self {
        Self {
            id,
            address: router.address,
            name: router.address.and_then(|address| rows::name(view, address, numeric)),
            ttls: router.ttls.iter().copied().collect(),
            flows: router.flows.iter().copied().collect(),
            answers: router.answers,
            rtt_ns: router.rtt.map(Span::nanos),
            ends: router.ends.is_some(),
            annotation: router.ends.and_then(annotation),
            per_packet: router.per_packet,
            enumerated: router.enumerated.map(|enumerated| match enumerated {
                Enumerated::Itself => "itself",
                Enumerated::AsHop => "as-hop",
                Enumerated::No => "no",
            }),
        }
    }
}

impl LinkRow {
    fn of(edge: &Edge) -> Self {
        Self { from: edge.from, to: edge.to, flows: edge.flows, uncertain: edge.uncertain }
    }
}

impl DiamondRow {
    fn of(diamond: &Diamond) -> Self {
        Self {
            from_ttl: diamond.from,
            to_ttl: diamond.to,
            width: diamond.width,
            uneven: diamond.uneven,
            per_packet: diamond.per_packet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(in_quotes(r#"a\"]; b"#), r#"a\\\"]; b"#);
        assert_eq!(entities("a\"](<b>#"), "a#34;#93;(#60;b#62;#35;");
    }

    #[test]
    fn numbers_in_order_become_ranges() {
        assert_eq!(ranges([1, 2, 3, 5, 7, 8].into_iter(), "#"), "#1-3,#5,#7-8");
    }
}
