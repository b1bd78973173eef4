//! The report of a multipath trace: as text, as JSON (`schema/paths.schema.json`), as a graph for Graphviz
//! or Mermaid, and as a drawing. Each router stands there once, under a number that is the same in all of them.

mod document;
mod graph;
mod host;
mod layers;
mod svg;
mod text;

use std::io::{self, Write};

use super::annotation::annotation;
use super::rows;
use super::{Renderer, View};
use crate::trace::paths::{Exits, Network, Plan, Router, network};
use crate::trace::{Disposition, Path};
use crate::untrusted::Untrusted;
use crate::wire::Frame;
use host::Host;

pub use document::VERSION;

/// The forms of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For reading.
    #[default]
    Text,
    /// One document: `schema/paths.schema.json`.
    Json,
    /// A graph for Graphviz.
    Dot,
    /// A flowchart for Mermaid.
    Mermaid,
    /// A drawing.
    Svg,
}

/// A report, written when the trace is over.
pub struct PathsReport<W> {
    out: W,
    form: Form,
    numeric: bool,
    plan: Plan,
    exits: Exits,
}

impl<W: Write> PathsReport<W> {
    /// A report to `out`; with `numeric`, addresses without names.
    pub fn new(out: W, form: Form, numeric: bool, plan: Plan) -> Self {
        Self { out, form, numeric, plan, exits: Exits::default() }
    }
}

impl<W: Write> Renderer for PathsReport<W> {
    fn frame(&mut self, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if let Disposition::OwnProbe(at) = disposition {
            self.exits.note(frame, at);
        }
    }

    fn end(&mut self, view: View<'_>) -> io::Result<()> {
        let network = network(view.config, &self.plan, view.path);
        let host = self.exits.host_routing(view.config, view.path, &network);
        let host = host.map(|routing| Host::of(routing, view.interfaces));
        let (plan, numeric) = (self.plan, self.numeric);
        let map = Map { network: &network, host: host.as_ref(), plan, view, numeric };
        match self.form {
            Form::Json => document::write(&map, &mut self.out)?,
            Form::Dot => graph::write_dot(&map, &mut self.out)?,
            Form::Mermaid => graph::write_mermaid(&map, &mut self.out)?,
            Form::Svg => svg::write(&map, &mut self.out)?,
            Form::Text => text::write(&map, &mut self.out)?,
        }
        self.out.flush()
    }
}

/// What is reported, and how.
struct Map<'a> {
    network: &'a Network,
    /// What this host did, if it used several exits.
    host: Option<&'a Host>,
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
    /// The exits of this host that lead there, where it has several.
    exits: Vec<Untrusted>,
}

impl Edge {
    /// How many flows take it, with "?" where it is uncertain.
    fn label(&self) -> String {
        let doubt = if self.uncertain { "?" } else { "" };
        format!("{}{doubt}", self.flows)
    }

    /// The exits of this host that lead there, where it has several: " by eth0 and eth1".
    fn by(&self) -> Untrusted {
        let names: Vec<_> = self.exits.iter().map(Untrusted::shown).collect();
        if names.is_empty() { String::new() } else { format!(" by {}", names.join(" and ")) }.into()
    }
}

impl Map<'_> {
    /// All links, and those from the prober to the routers of the first hop.
    fn edges(&self) -> Vec<Edge> {
        let source = self.network.first.iter().map(|(index, flows)| Edge {
            from: 0,
            to: index + 1,
            flows: *flows,
            assumed: 0,
            uncertain: false,
            exits: self.host.map_or_else(Vec::new, |host| host.exits_to(*index)),
        });
        let links = self.network.links.iter().map(|link| Edge {
            from: link.from + 1,
            to: link.to + 1,
            flows: link.flows,
            assumed: link.assumed,
            uncertain: link.uncertain,
            exits: Vec::new(),
        });
        source.chain(links).collect()
    }

    /// This host by its address, and what it did with packets if it used several exits.
    fn source(&self) -> String {
        let did = self.host.map_or("", |host| host.did());
        format!("{}{did}", self.view.config.source)
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

    /// The name with remarks: the router's other addresses, and whether it balances per packet.
    fn label(&self, router: &Router) -> String {
        let also = router.also.iter().map(|other| format!(" = {other}"));
        let per_packet = router.per_packet.then(|| " ~ per packet".to_owned());
        std::iter::once(self.title(router)).chain(also).chain(per_packet).collect()
    }
}

/// A round trip as reports write it.
fn in_ms(router: &Router) -> String {
    router.rtt.map_or("*".to_owned(), |rtt| format!("{rtt} ms"))
}
