//! The report of a multipath trace: as text, as JSON (`schema/paths.schema.json`), as a graph for Graphviz
//! or Mermaid, and as a drawing. Each router stands there once, under a number that is the same in all of them.

mod document;
mod graph;
mod layers;
mod svg;
mod text;

use std::io::{self, Write};

use super::annotation::annotation;
use super::rows;
use super::{Form, Renderer, View};
use crate::trace::paths::{Network, Plan, Router, network};

pub use document::VERSION;

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
}

impl<W: Write> Renderer for PathsReport<W> {
    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let network = network(view.config, &self.plan, view.path);
        let map = Map { network: &network, plan: self.plan, view, numeric: self.numeric };
        match self.form {
            Form::Json => document::write(&map, &mut self.out)?,
            Form::Dot => graph::write_dot(&map, &mut self.out)?,
            Form::Mermaid => graph::write_mermaid(&map, &mut self.out)?,
            Form::Svg => svg::write(&map, &mut self.out)?,
            _ => text::write(&map, &mut self.out)?,
        }
        self.out.flush()
    }
}

/// What is reported, and how.
struct Map<'a> {
    network: &'a Network,
    plan: Plan,
    view: View<'a>,
    numeric: bool,
}

/// A link with the prober as 0 and routers from 1.
struct Edge {
    from: usize,
    to: usize,
    flows: usize,
    /// Flows that were seen at its far end alone.
    assumed: usize,
    uncertain: bool,
}

impl Edge {
    /// How many flows take it, with "?" where it is uncertain.
    fn label(&self) -> String {
        let doubt = if self.uncertain { "?" } else { "" };
        format!("{}{doubt}", self.flows)
    }
}

impl Map<'_> {
    /// All links, and those from the prober to the routers of the first hop.
    fn edges(&self) -> Vec<Edge> {
        let routers = &self.network.routers;
        let first_ttl = routers.iter().filter_map(|router| router.ttls.first()).min();
        let first = routers.iter().enumerate();
        let first = first.filter(|(_, router)| router.ttls.first() == first_ttl);
        let source = first.map(|(index, router)| Edge {
            from: 0,
            to: index + 1,
            flows: router.flows.len(),
            assumed: 0,
            uncertain: false,
        });
        let links = self.network.links.iter().map(|link| Edge {
            from: link.from + 1,
            to: link.to + 1,
            flows: link.flows,
            assumed: link.assumed,
            uncertain: link.uncertain,
        });
        source.chain(links).collect()
    }

    /// A router by name and address, with what it says to flows that end.
    fn title(&self, router: &Router) -> String {
        let Some(address) = router.address else { return "*".to_owned() };
        let mut title = match rows::name(self.view, address, self.numeric) {
            Some(name) => format!("{} ({address})", name.word()),
            None => address.to_string(),
        };
        if let Some(annotation) = router.ends.and_then(annotation) {
            title += " ";
            title += &annotation;
        }
        title
    }

    /// The same with what else there is to be said of it: its other addresses, and whether each packet goes its own way.
    fn label(&self, router: &Router) -> String {
        let also = router.also.iter().map(|other| format!(" = {other}"));
        let per_packet = router.per_packet.then(|| " ~ per packet".to_owned());
        std::iter::once(self.title(router)).chain(also).chain(per_packet).collect()
    }
}

/// So many of these, in words.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A round trip as reports write it.
fn in_ms(router: &Router) -> String {
    router.rtt.map_or("*".to_owned(), |rtt| format!("{rtt} ms"))
}
