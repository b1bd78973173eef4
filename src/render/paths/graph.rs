//! As a graph for Graphviz or Mermaid: what is a label there cannot leave its quotes.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::Map;

pub(super) fn write_dot(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph paths {{\n  rankdir=LR;\n  node [shape=box];")?;
    writeln!(out, "  n0 [label=\"{}\", shape=ellipse];", map.view.config.source)?;
    for (id, router) in (1..).zip(&map.network.routers) {
        let shape = if router.ends.is_some() { ", shape=ellipse" } else { "" };
        writeln!(out, "  n{id} [label=\"{}\"{shape}];", in_quotes(&map.label(router)))?;
    }
    for edge in map.edges() {
        let style = if edge.uncertain { ", style=dashed" } else { "" };
        writeln!(out, "  n{} -> n{} [label=\"{}\"{style}];", edge.from, edge.to, edge.flows)?;
    }
    writeln!(out, "}}")
}

pub(super) fn write_mermaid(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    let source = entities(&map.view.config.source.to_string());
    writeln!(out, "flowchart LR\n  n0([\"{source}\"])")?;
    for (id, router) in (1..).zip(&map.network.routers) {
        let (open, close) = if router.ends.is_some() { ("([", "])") } else { ("[", "]") };
        writeln!(out, "  n{id}{open}\"{}\"{close}", entities(&map.label(router)))?;
    }
    for edge in map.edges() {
        let arrow = if edge.uncertain { "-.->" } else { "-->" };
        writeln!(out, "  n{} {arrow}|{}| n{}", edge.from, edge.flows, edge.to)?;
    }
    Ok(())
}

/// Inside the quotes of Graphviz.
fn in_quotes(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Inside the quotes of Mermaid: all but plain characters as entities.
fn entities(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || " .:-_()*!=~".contains(c) {
            safe.push(c);
        } else {
            let _ = write!(safe, "#{};", u32::from(c));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(in_quotes(r#"a\"]; b"#), r#"a\\\"]; b"#);
        assert_eq!(entities("a\"](<b>#"), "a#34;#93;(#60;b#62;#35;");
    }
}
