//! Where paths diverge and meet again: the shape of a map of routers.
//!
//! A router that every way passes is a joint. Between two joints that do not follow one another is a diamond,
//! whatever the lengths of its branches: it is found among routers and links, not hop by hop, so that behind a
//! joint at several TTLs new diamonds begin. Invariant: what is made of routers and links alone, loops included, has
//! every router once.

use std::collections::BTreeSet;
use std::ops::Range;

/// A part of the map where there are several paths.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diamond {
    /// The index of the router where paths diverge; none for the prober.
    pub from: Option<usize>,
    /// That of the router where they meet; none if they do not.
    pub to: Option<usize>,
    /// The routers in between, those of one branch together: chains of routers that lead to one another alone.
    pub branches: Vec<Range<usize>>,
    /// Most routers at one hop.
    pub width: usize,
    /// How many routers the shortest and the longest path through it have in between; of paths that meet.
    pub lengths: Option<(usize, usize)>,
    /// Routers side by side share next hops.
    pub meshed: bool,
    /// Some router chooses for each packet.
    pub per_packet: bool,
}

impl Diamond {
    /// The routers of the diamond.
    #[must_use]
    pub fn routers(&self) -> Range<usize> {
        let first = self.branches.first().map_or(0, |branch| branch.start);
        first..self.branches.last().map_or(first, |branch| branch.end)
    }

    /// Whether its paths are of different lengths.
    #[must_use]
    pub fn is_asymmetric(&self) -> bool {
        self.lengths.is_some_and(|(shortest, longest)| shortest < longest)
    }

    /// Whether each branch comes from where paths diverge and leads to where they meet, and to nothing else.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        let Some((shortest, longest)) = self.lengths else { return false };
        let lengths = || self.branches.iter().map(ExactSizeIterator::len);
        !self.meshed && lengths().min() == Some(shortest) && lengths().max() == Some(longest)
    }
}

/// Routers in an order in which each comes before those that it leads to, and branches stay together.
pub(super) struct Shape {
    /// The routers by their present index.
    pub(super) order: Vec<usize>,
    /// By the index that they have in that order.
    pub(super) diamonds: Vec<Diamond>,
}

/// A link, by the present index of its routers; `sure` if flows say that it is there.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) sure: bool,
}

/// The links between routers, by index.
struct Map {
    next: Vec<Vec<usize>>,
    before: Vec<Vec<usize>>,
}

impl Map {
    fn of(routers: usize, edges: &[Edge]) -> Self {
        let mut map = Self { next: vec![Vec::new(); routers], before: vec![Vec::new(); routers] };
        for Edge { from, to, .. } in edges.iter().filter(|edge| edge.from != edge.to) {
            if let (Some(next), Some(before)) = (map.next.get_mut(*from), map.before.get_mut(*to)) {
                next.push(*to);
                before.push(*from);
            }
        }
        map
    }

    fn next(&self, router: usize) -> &[usize] {
        self.next.get(router).map_or(&[], Vec::as_slice)
    }

    fn before(&self, router: usize) -> &[usize] {
        self.before.get(router).map_or(&[], Vec::as_slice)
    }

    /// Each router before those that it leads to; where they lead in a circle, the first of them first.
    fn sorted(&self) -> Vec<usize> {
        let mut left: BTreeSet<usize> = (0..self.next.len()).collect();
        let mut sorted = Vec::with_capacity(left.len());
        while let Some(first) = left.first().copied() {
            let is_ready =
                |router: &&usize| self.before(**router).iter().all(|it| !left.contains(it));
            let router = left.iter().find(is_ready).copied().unwrap_or(first);
            left.remove(&router);
            sorted.push(router);
        }
        sorted
    }

    /// These routers as chains, of those that lead to one another alone.
    fn chains(&self, routers: &[usize]) -> Vec<Vec<usize>> {
        let mut left: BTreeSet<usize> = routers.iter().copied().collect();
        let mut chains = Vec::new();
        for first in routers {
            let (mut chain, mut at) = (Vec::new(), Some(*first));
            while let Some(router) = at.filter(|router| left.remove(router)) {
                chain.push(router);
                let next =
                    self.next(router).first().copied().filter(|_| self.next(router).len() == 1);
                at = next.filter(|next| self.before(*next).len() == 1);
            }
            if !chain.is_empty() {
                chains.push(chain);
            }
        }
        chains
    }
}

/// The shape of this map; `ttls` and `per_packet` tell of each router.
pub(super) fn shape(edges: &[Edge], ttls: &[&BTreeSet<u8>], per_packet: &[bool]) -> Shape {
    let map = Map::of(ttls.len(), edges);
    let sorted = map.sorted();
    let mut shape = Shape { order: Vec::new(), diamonds: Vec::new() };
    let (mut joint, mut between) = (None, Vec::new());
    for (router, passed) in sorted.iter().zip(passes(&map, &sorted)) {
        if !passed {
            between.push(*router);
            continue;
        }
        shape.part(&map, joint, Some(*router), &std::mem::take(&mut between));
        shape.order.push(*router);
        joint = Some(*router);
    }
    shape.part(&map, joint, None, &between);
    let Shape { order, diamonds } = &mut shape;
    for diamond in diamonds {
        let within: BTreeSet<usize> =
            order.get(diamond.routers()).into_iter().flatten().copied().collect();
        let mut widths = [0_usize; 256];
        for ttl in within.iter().filter_map(|it| ttls.get(*it)).copied().flatten() {
            if let Some(width) = widths.get_mut(usize::from(*ttl)) {
                *width += 1;
            }
        }
        diamond.width = widths.into_iter().max().unwrap_or(0);
        let from = diamond.from.and_then(|from| order.get(from)).copied();
        let chooses = |router: &usize| per_packet.get(*router) == Some(&true);
        diamond.per_packet = within.iter().chain(&from).any(chooses);
        diamond.meshed = edges.iter().any(|Edge { from, to, sure }| {
            let parts = map.next(*from).len() > 1 && map.before(*to).len() > 1;
            *sure && parts && within.contains(from) && within.contains(to)
        });
        diamond.lengths = diamond.to.and_then(|to| lengths(&map, &within, from, *order.get(to)?));
    }
    shape
}

/// Whether each of the sorted routers is one that all paths pass: no link leads past it.
fn passes(map: &Map, sorted: &[usize]) -> Vec<bool> {
    let mut places = vec![0; sorted.len()];
    for (place, router) in sorted.iter().enumerate() {
        if let Some(at) = places.get_mut(*router) {
            *at = place;
        }
    }
    let place = |router: &usize| places.get(*router).copied().unwrap_or(0);
    // From the prober, at first one place ahead, to the farthest place that a link leads to; paths that end go on
    // to behind the last.
    let starts = sorted.iter().filter(|router| map.before(**router).is_empty()).map(place);
    let mut farthest = starts.max().unwrap_or(0);
    let passed = sorted.iter().enumerate().map(|(at, router)| {
        let passed = farthest <= at;
        let end = if map.next(*router).is_empty() { sorted.len() } else { 0 };
        farthest = map.next(*router).iter().map(place).chain([farthest, end]).max().unwrap_or(0);
        passed
    });
    passed.collect()
}

/// How many of `within` the shortest and the longest path between two joints pass.
fn lengths(
    map: &Map,
    within: &BTreeSet<usize>,
    from: Option<usize>,
    to: usize,
) -> Option<(usize, usize)> {
    let mut known = vec![None; map.next.len()];
    let inside = map.sorted().into_iter().filter(|router| within.contains(router) || *router == to);
    for router in inside {
        let ways = map.before(router).iter().filter_map(|before| {
            if Some(*before) == from { Some((0, 0)) } else { *known.get(*before)? }
        });
        let start = (from.is_none() && map.before(router).is_empty()).then_some((0, 0));
        let ways = ways.chain(start);
        let both = ways.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        if router == to {
            return both;
        }
        if let (Some(at), Some((shortest, longest))) = (known.get_mut(router), both) {
            *at = Some((shortest + 1, longest + 1));
        }
    }
    None
}

impl Shape {
    /// The routers between two joints, if there are any: as a diamond, branch by branch.
    fn part(&mut self, map: &Map, from: Option<usize>, to: Option<usize>, between: &[usize]) {
        if between.is_empty() {
            return;
        }
        let from = from.and_then(|_| self.order.len().checked_sub(1));
        let mut branches = Vec::new();
        for chain in map.chains(between) {
            let start = self.order.len();
            self.order.extend(chain);
            branches.push(start..self.order.len());
        }
        let to = to.map(|_| self.order.len());
        self.diamonds.push(Diamond {
            from,
            to,
            branches,
            width: 0,
            lengths: None,
            meshed: false,
            per_packet: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The diamonds of links between routers by their letters, as "from-to: branches width lengths".
    fn check(links: &[&str], expected: &[&str]) {
        let number = |letter: u8| usize::from(letter - b'a');
        let edges: Vec<Edge> = links
            .iter()
            .map(|link| link.as_bytes())
            .map(|link| Edge { from: number(link[0]), to: number(link[1]), sure: true })
            .collect();
        let routers = edges.iter().map(|edge| edge.from.max(edge.to)).max().unwrap() + 1;
        let map = Map::of(routers, &edges);
        // As far as the longest way to it.
        let mut ttls = vec![BTreeSet::from([1]); routers];
        for router in map.sorted() {
            let before = map.before(router).iter().flat_map(|it| ttls[*it].clone());
            let own: BTreeSet<u8> = before.map(|ttl| ttl + 1).filter(|ttl| *ttl < 40).collect();
            ttls[router].extend(own);
        }
        let shape = shape(&edges, &ttls.iter().collect::<Vec<_>>(), &vec![false; routers]);
        let all: BTreeSet<usize> = shape.order.iter().copied().collect();
        assert_eq!((all.len(), shape.order.len()), (routers, routers), "{links:?}");
        let letter = |index: usize| char::from(b'a' + u8::try_from(shape.order[index]).unwrap());
        let end = |index: Option<usize>| index.map_or('.', letter);
        let told = shape.diamonds.iter().map(|it| {
            let branches =
                it.branches.iter().map(|branch| branch.clone().map(letter).collect::<String>());
            let branches = branches.collect::<Vec<_>>().join("|");
            let lengths = it.lengths.map_or("-".into(), |(least, most)| format!("{least}..{most}"));
            let meshed = if it.meshed { " meshed" } else { "" };
            format!("{}{} {branches} {lengths}{meshed}", end(it.from), end(it.to))
        });
        assert_eq!(told.collect::<Vec<_>>(), expected, "{links:?}");
    }

    #[test]
    fn diamonds_are_found_between_what_all_ways_pass() {
        check(&["ab", "bc"], &[]);
        check(&["ab", "ac", "bd", "cd", "de"], &["ad b|c 1..1"]);
        // Two in a row; paths of one, two and three routers; one that meets at once.
        check(&["ab", "ac", "bd", "cd", "de", "df", "eg", "fg"], &["ad b|c 1..1", "dg e|f 1..1"]);
        check(&["ab", "ac", "cd", "ae", "ef", "fg", "bh", "dh", "gh"], &["ah b|cd|efg 1..3"]);
        check(&["ab", "ac", "bc"], &["ac b 0..1"]);
        // Each leads to each; paths that end apart; no router before paths diverge.
        check(&["ab", "ac", "bd", "be", "cd", "ce", "df", "ef"], &["af b|c|d|e 2..2 meshed"]);
        check(&["ab", "ac", "bd"], &["a. bd|c -"]);
        check(&["ac", "bc", "cd"], &[".c a|b 1..1"]);
        // A circle: still each once.
        check(&["ab", "bc", "cb", "cd"], &[]);
    }
}
