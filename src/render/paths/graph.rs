//! As a graph for Graphviz or Mermaid: what is a label there cannot leave its quotes ([`Untrusted`]).

use std::io::{self, Write};

use super::Map;
use crate::untrusted::Untrusted;

pub(super) fn write_dot(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph paths {{\n  rankdir=LR;\n  node [shape=box];")?;
    let source = Untrusted::from(map.source()).dot();
    writeln!(out, "  n0 [label=\"{source}\", shape=ellipse];")?;
    for (id, router) in (1..).zip(&map.network.routers) {
        let shape = if router.ends.is_some() { ", shape=ellipse" } else { "" };
        writeln!(out, "  n{id} [label=\"{}\"{shape}];", Untrusted::from(map.label(router)).dot())?;
    }
    for edge in map.edges() {
        let style = if edge.uncertain { ", style=dashed" } else { "" };
        let (label, by) = (edge.label(), edge.by().dot());
        writeln!(out, "  n{} -> n{} [label=\"{label}{by}\"{style}];", edge.from, edge.to)?;
    }
    writeln!(out, "}}")
}

pub(super) fn write_mermaid(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    let source = Untrusted::from(map.source()).mermaid();
    writeln!(out, "flowchart LR\n  n0([\"{source}\"])")?;
    for (id, router) in (1..).zip(&map.network.routers) {
        let (open, close) = if router.ends.is_some() { ("([", "])") } else { ("[", "]") };
        writeln!(out, "  n{id}{open}\"{}\"{close}", Untrusted::from(map.label(router)).mermaid())?;
    }
    for edge in map.edges() {
        let arrow = if edge.uncertain { "-.->" } else { "-->" };
        let (label, by) = (edge.label(), edge.by().mermaid());
        writeln!(out, "  n{} {arrow}|{label}{by}| n{}", edge.from, edge.to)?;
    }
    Ok(())
}
