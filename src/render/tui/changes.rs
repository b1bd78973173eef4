//! The changes of the path, the latest first.

use super::model::Target;
use super::moment::date_and_clock;
use super::state::UiState;

/// One line per change.
pub fn lines(target: &Target, state: &UiState) -> Vec<String> {
    let changes = target.table.changes();
    if changes.is_empty() {
        return vec!["every hop was answered by the same router in every round".to_owned()];
    }
    let said = changes.iter().rev().map(|change| {
        let [from, to] = [change.from, change.to].map(|it| target.host(it, state.names));
        let at = date_and_clock(change.at);
        format!("{at}  round {}  hop {}  {from} -> {to}", change.round, change.ttl)
    });
    said.collect()
}
