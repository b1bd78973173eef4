//! Where the boxes of a drawing stand: a layered layout (Sugiyama, Tagawa and Toda, 1981), from left to right.
//!
//! A box is one layer behind the farthest of those that lead to it. A link over several layers has a bend in
//! each in between. Within a layer, boxes and bends are put in the order of the mean of their neighbours, then as near
//! to that as their sizes let them (isotonic regression by pooling adjacent violators). Invariant: boxes of a layer do
//! not overlap; the same boxes and links give the same drawing.

/// Space between the columns of two layers.
const GAP_X: f64 = 80.0;
/// Space between two boxes of a layer, and around a bend.
const GAP_Y: f64 = 12.0;
/// How often order and heights are gone through, to the right and back.
const SWEEPS: usize = 12;

/// Width and height.
pub(super) type Size = (f64, f64);
/// From the left, and from above.
pub(super) type Point = (f64, f64);

/// Where everything is.
pub(super) struct Layout {
    /// The middle of each box.
    pub(super) boxes: Vec<Point>,
    /// For each link, the ends of its straight parts in pairs, one pair for each layer that it is in: where it enters
    /// and where it leaves. A link against the order has no part but its ends.
    pub(super) links: Vec<Vec<(Point, Point)>>,
    /// Of the whole.
    pub(super) size: Size,
}

/// A box or a bend.
struct Item {
    layer: usize,
    height: f64,
    y: f64,
    before: Vec<usize>,
    next: Vec<usize>,
}

/// Places boxes of these sizes; a link leads from a lower index to a higher one, or against the order.
pub(super) fn lay_out(sizes: &[Size], links: &[(usize, usize)]) -> Layout {
    let mut items = boxes(sizes, links);
    let ways: Vec<Vec<usize>> = links.iter().map(|link| add_link(&mut items, *link)).collect();
    let depth = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
    let mut layers = vec![Vec::new(); depth];
    for (index, item) in items.iter().enumerate() {
        layers[item.layer].push(index);
    }
    order(&mut items, &mut layers);
    for sweep in 0..SWEEPS {
        for at in 0..depth {
            let at = if sweep % 2 == 0 { at } else { depth - 1 - at };
            settle(&mut items, &layers[at]);
        }
    }
    let top = items.iter().map(|it| it.y - it.height / 2.0).fold(f64::MAX, f64::min);
    for item in &mut items {
        item.y -= top;
    }
    measure(&items, sizes, links, &ways, depth)
}

fn boxes(sizes: &[Size], links: &[(usize, usize)]) -> Vec<Item> {
    let mut layers = vec![0; sizes.len()];
    let mut forward: Vec<_> = links.iter().filter(|(from, to)| from < to).collect();
    forward.sort_unstable();
    for (from, to) in forward {
        layers[*to] = layers[*to].max(layers[*from] + 1);
    }
    let item = |(layer, size): (usize, &Size)| Item {
        layer,
        height: size.1,
        y: 0.0,
        before: Vec::new(),
        next: Vec::new(),
    };
    layers.into_iter().zip(sizes).map(item).collect()
}

/// The bends of a link, and who follows whom there; all its items in order.
fn add_link(items: &mut Vec<Item>, (from, to): (usize, usize)) -> Vec<usize> {
    if from >= to {
        return vec![from, to];
    }
    let mut way = vec![from];
    for layer in items[from].layer + 1..items[to].layer {
        way.push(items.len());
        items.push(Item { layer, height: 0.0, y: 0.0, before: Vec::new(), next: Vec::new() });
    }
    way.push(to);
    for pair in way.windows(2) {
        items[pair[0]].next.push(pair[1]);
        items[pair[1]].before.push(pair[0]);
    }
    way
}

/// Puts each layer in the order of the mean of its neighbours' places.
fn order(items: &mut [Item], layers: &mut [Vec<usize>]) {
    let stack = |items: &mut [Item], layer: &[usize]| {
        let middle = real(layer.len().saturating_sub(1)) / 2.0;
        for (place, index) in layer.iter().enumerate() {
            items[*index].y = real(place) - middle;
        }
    };
    for layer in layers.iter() {
        stack(items, layer);
    }
    let depth = layers.len();
    for sweep in 0..=SWEEPS {
        let ahead = sweep % 2 == 0;
        for at in 0..depth {
            let layer = &mut layers[if ahead { at } else { depth - 1 - at }];
            let key = |index: &usize| {
                let item = &items[*index];
                mean(items, if ahead { &item.before } else { &item.next }).unwrap_or(item.y)
            };
            layer.sort_by(|one, other| key(one).total_cmp(&key(other)));
            stack(items, layer);
        }
    }
}

fn mean(items: &[Item], of: &[usize]) -> Option<f64> {
    let sum: f64 = of.iter().map(|index| items[*index].y).sum();
    (!of.is_empty()).then(|| sum / real(of.len()))
}

/// Moves the items of a layer as near to the mean of their neighbours as their order and sizes let them.
fn settle(items: &mut [Item], layer: &[usize]) {
    // Items that are pushed together are one block: its sum of wishes, and how many they are.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    let mut offsets = Vec::with_capacity(layer.len());
    let (mut offset, mut last) = (0.0, None);
    for index in layer {
        let item = &items[*index];
        if let Some(last) = last {
            offset += f64::midpoint(last, item.height) + GAP_Y;
        }
        last = Some(item.height);
        offsets.push(offset);
        let wish = match (mean(items, &item.before), mean(items, &item.next)) {
            (Some(one), Some(other)) => f64::midpoint(one, other),
            (one, other) => one.or(other).unwrap_or(item.y),
        };
        let mut block = (wish - offset, 1);
        while let Some(before) = blocks.pop_if(|it| it.0 / real(it.1) > block.0 / real(block.1)) {
            block = (block.0 + before.0, block.1 + before.1);
        }
        blocks.push(block);
    }
    let starts = blocks.iter().flat_map(|(sum, count)| vec![sum / real(*count); *count]);
    for ((index, offset), start) in layer.iter().zip(offsets).zip(starts) {
        items[*index].y = start + offset;
    }
}

/// A count to reckon with.
pub(super) fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn measure(
    items: &[Item],
    sizes: &[Size],
    links: &[(usize, usize)],
    ways: &[Vec<usize>],
    depth: usize,
) -> Layout {
    let mut widths = vec![0.0_f64; depth];
    for (item, size) in items.iter().zip(sizes) {
        widths[item.layer] = widths[item.layer].max(size.0);
    }
    let mut left = 0.0;
    let mut middles = Vec::with_capacity(depth);
    for width in &widths {
        middles.push(left + width / 2.0);
        left += width + GAP_X;
    }
    let point = |index: usize| (middles[items[index].layer], items[index].y);
    let part = |index: usize| {
        let (x, y) = point(index);
        let half = sizes.get(index).map_or(widths[items[index].layer], |size| size.0) / 2.0;
        ((x - half, y), (x + half, y))
    };
    let bottom = items.iter().map(|it| it.y + it.height / 2.0).fold(0.0, f64::max);
    Layout {
        boxes: (0..sizes.len()).map(point).collect(),
        links: links
            .iter()
            .zip(ways)
            .map(|((from, to), way)| {
                if from < to {
                    way.iter().map(|index| part(*index)).collect()
                } else {
                    vec![(point(*from), point(*from)), (point(*to), point(*to))]
                }
            })
            .collect(),
        size: ((left - GAP_X).max(0.0), bottom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen side by side, one link past them, and one against the order.
    #[test]
    fn boxes_do_not_overlap_and_links_go_round_them() {
        let sizes = vec![(100.0, 30.0); 19];
        let fan = (1..17).flat_map(|at| [(0, at), (at, 17)]);
        let links: Vec<_> = fan.chain([(0, 17), (17, 18), (18, 0)]).collect();
        let layout = lay_out(&sizes, &links);
        let overlap = |one: &Point, other: &Point| {
            (one.0 - other.0).abs() < 100.0 && (one.1 - other.1).abs() < 30.0
        };
        for (index, one) in layout.boxes.iter().enumerate() {
            assert!(
                one.0 >= 50.0 && one.1 >= 15.0 && one.0 <= layout.size.0 && one.1 <= layout.size.1
            );
            let rest = &layout.boxes[index + 1..];
            assert!(!rest.iter().any(|other| overlap(one, other)), "{index}");
        }
        let [_, (enter, leave), _] = layout.links[32][..] else { panic!("one bend") };
        let hidden = |(x, y): &Point| *x > enter.0 && *x < leave.0 && (y - enter.1).abs() < 15.0;
        assert!(!layout.boxes.iter().any(hidden), "it goes round them");
        assert!((layout.boxes[17].1 - layout.boxes[18].1).abs() < 1.0, "a straight end");
        assert!(lay_out(&[], &[]).boxes.is_empty());
    }
}
