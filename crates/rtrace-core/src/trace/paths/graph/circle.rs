//! Forwarding loops among many paths: flows that come to the same places again and again.
//!
//! What a loop is, and what only looks like one, is said in [`loops`]; here its hops are the places that lead to one place,
//! as long as each has one before it.

use super::Graph;
use crate::trace::loops::{self, ROUNDS, Stand};
use crate::trace::paths::level::Place;

/// The places of the first round of a loop that closes for the last time it takes with this place: level and index, in
/// their order.
pub(super) fn through(graph: &Graph, level: usize, place: usize) -> Option<Vec<(usize, usize)>> {
    let mut way = vec![(level, place)];
    while let Some(&(level, place)) = way.last().filter(|(level, _)| *level > 1) {
        let before = graph.before(level, place);
        let Some(only) = before.first().filter(|_| before.len() == 1) else { break };
        way.push((level - 1, *only));
    }
    way.reverse();
    let stand = |at: &(usize, usize)| {
        let place = graph.levels().get(at.0).and_then(|level| level.places.get(at.1));
        place.map_or(Stand::Other, Place::stand)
    };
    let stands: Vec<Stand> = way.iter().map(stand).collect();
    (2..=way.len() / ROUNDS).find_map(|length| {
        let first = way.len() - length * ROUNDS;
        let closes = loops::circles(stands.get(first..)?, length);
        closes.then(|| way.get(first..first + length).map(<[_]>::to_vec))?
    })
}
