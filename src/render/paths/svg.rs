//! As a drawing (SVG 1.1) that needs no other program: the prober on the left, the target on the right, a box for
//! each router. Text is escaped, and what XML cannot hold is replaced.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::layers::{self, Layout, Point, Size, real};
use super::{Edge, Map, in_ms};
use crate::render::counted;
use crate::trace::paths::{Enumerated, Router};
use crate::untrusted::Untrusted;

/// Width of a character, and height of a line, of the font in [`STYLE`].
const CHARACTER: f64 = 7.3;
const LINE: f64 = 16.0;
/// Around the text of a box, and around the drawing.
const PADDING: f64 = 8.0;
const MARGIN: f64 = 20.0;
/// Room above the drawing for its title.
const HEAD: f64 = 30.0;
/// The most characters in a line of a box; the tooltip has the whole line.
const LONGEST: usize = 42;

const STYLE: &str = "\
text{font:12px monospace;fill:#222}.head{font-weight:bold}.box{fill:#fff;stroke:#557}.end{fill:#e8f2e8;stroke:#363}\
.silent{fill:#eee;stroke:#999}.packet{stroke:#c60;stroke-width:2}.link{fill:none;stroke:#88a}.unsure{stroke-dasharray:5 4}";

/// What is drawn of a router, or of the prober.
struct Card {
    lines: Vec<String>,
    classes: String,
    tip: String,
}

pub(super) fn write(map: &Map<'_>, out: &mut impl Write) -> io::Result<()> {
    let cards: Vec<Card> = std::iter::once(Card::prober(map))
        .chain((1..).zip(&map.network.routers).map(|(id, router)| Card::of(map, id, router)))
        .collect();
    let edges = map.edges();
    let links: Vec<(usize, usize)> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let sizes: Vec<Size> = cards.iter().map(Card::size).collect();
    let layout = layers::lay_out(&sizes, &links);
    let head = head(map);
    let title_width = characters(&head);
    let (width, height) =
        (layout.size.0.max(title_width) + 2.0 * MARGIN, layout.size.1 + HEAD + 2.0 * MARGIN);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fafafc\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"{:.0}\">{}</text>\n\
         <g transform=\"translate({MARGIN} {:.0})\">",
        MARGIN + LINE / 2.0,
        escaped(&head),
        MARGIN + HEAD,
    )?;
    write_links(&edges, &layout, out)?;
    for ((card, at), size) in cards.iter().zip(&layout.boxes).zip(&sizes) {
        card.write(*at, *size, out)?;
    }
    writeln!(out, "</g>\n</svg>")
}

fn head(map: &Map<'_>) -> String {
    let config = map.view.config;
    format!(
        "paths to {} ({}): {}, {}",
        config.target_name.word(),
        config.target,
        counted(map.network.routers.len() as u64, "router"),
        counted(map.network.links.len() as u64, "link")
    )
}

fn write_links(edges: &[Edge], layout: &Layout, out: &mut impl Write) -> io::Result<()> {
    for (edge, parts) in edges.iter().zip(&layout.links) {
        let class = if edge.uncertain { "link unsure" } else { "link" };
        let stroke = 1.0 + real(edge.flows.max(1)).log10();
        let doubt = if edge.uncertain { ", uncertain" } else { "" };
        let curve = if edge.from < edge.to { curve(parts) } else { arc(parts) };
        writeln!(
            out,
            "<path class=\"{class}\" stroke-width=\"{stroke:.1}\" d=\"{curve}\"><title>#{} to #{}: {}{}{doubt}\
             </title></path>",
            edge.from,
            edge.to,
            counted(edge.flows as u64, "flow"),
            edge.by().xml()
        )?;
    }
    Ok(())
}

/// From box to box, straight through the layers in between.
fn curve(parts: &[(Point, Point)]) -> String {
    let mut path = String::new();
    for pair in parts.windows(2) {
        let [(enter, leave), (then, _)] = pair else { continue };
        let middle = f64::midpoint(leave.0, then.0);
        if path.is_empty() {
            let _ = write!(path, "M{:.0} {:.0}", leave.0, leave.1);
        } else if enter.0 < leave.0 {
            let _ = write!(path, "H{:.0}", leave.0);
        }
        let _ = write!(
            path,
            "C{middle:.0} {:.0} {middle:.0} {:.0} {:.0} {:.0}",
            leave.1, then.1, then.0, then.1
        );
    }
    path
}

/// Back to a box that stands before: above all others.
fn arc(parts: &[(Point, Point)]) -> String {
    let [(_, from), .., (to, _)] = parts else { return String::new() };
    let above = from.1.min(to.1) - HEAD - LINE;
    format!(
        "M{:.0} {:.0}C{:.0} {above:.0} {:.0} {above:.0} {:.0} {:.0}",
        from.0, from.1, from.0, to.0, to.0, to.1
    )
}

impl Card {
    fn prober(map: &Map<'_>) -> Self {
        let exits = map.host.into_iter().flat_map(|host| &host.exits);
        let exits = exits.map(|exit| {
            format!("{}: {}", exit.name.shown(), counted(exit.flows.len() as u64, "flow"))
        });
        let lines: Vec<String> = std::iter::once(map.source()).chain(exits).collect();
        Self { tip: lines.join("\n"), lines, classes: "box end".to_owned() }
    }

    fn of(map: &Map<'_>, id: usize, router: &Router) -> Self {
        let title = map.title(router);
        let flows = counted(router.flows.len() as u64, "flow");
        let mut lines = match title.split_once(" (") {
            Some((name, address)) => vec![format!("#{id} {name}"), format!("({address}")],
            None => vec![format!("#{id} {title}")],
        };
        lines.push(match router.rtt {
            Some(_) => format!("{}, {flows}", in_ms(router)),
            None => flows,
        });
        lines.extend(router.also.iter().map(|other| format!("= {other}")));
        if router.per_packet {
            lines.push("~ per packet".to_owned());
        }
        if router.enumerated == Some(Enumerated::No) {
            lines.push("? may have more next hops".to_owned());
        }
        let kind = match (router.address, router.ends) {
            (None, _) => "silent",
            (_, Some(_)) => "end",
            _ => "",
        };
        let packet = if router.per_packet { " packet" } else { "" };
        Self { tip: lines.join("\n"), lines, classes: format!("box {kind}{packet}") }
    }

    fn shown(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|line| match line.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
            None => line.clone(),
        })
    }

    fn size(&self) -> Size {
        let widest = self.shown().map(|line| characters(&line)).fold(0.0, f64::max);
        let lines = real(self.lines.len());
        (widest + 2.0 * PADDING, lines * LINE + PADDING)
    }

    fn write(&self, (x, y): Point, (width, height): Size, out: &mut impl Write) -> io::Result<()> {
        let (left, top) = (x - width / 2.0, y - height / 2.0);
        writeln!(
            out,
            "<g><title>{}</title><rect class=\"{}\" x=\"{left:.0}\" y=\"{top:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" rx=\"4\"/>",
            escaped(&self.tip),
            self.classes.trim_end(),
        )?;
        let mut line_at = top + PADDING / 2.0 - 4.0;
        for line in self.shown() {
            line_at += LINE;
            let text = escaped(&line);
            writeln!(out, "<text x=\"{:.0}\" y=\"{line_at:.0}\">{text}</text>", left + PADDING)?;
        }
        writeln!(out, "</g>")
    }
}

/// How wide a text is.
fn characters(text: &str) -> f64 {
    real(text.chars().count()) * CHARACTER
}

/// Escapes a text as character data, with the same lines.
fn escaped(text: &str) -> String {
    text.split('\n').map(|line| Untrusted::from(line).xml()).collect::<Vec<_>>().join("\n")
}
