//! The changes of the path, the latest first.

use super::model::Target;
use super::moment::date_and_clock;
use super::state::UiState;
use crate::time::Timestamp;

/// One line per change, and one per hop that several routers answer in turn.
pub fn lines(target: &Target, state: &UiState) -> Vec<String> {
    let changes = target.table.changes().iter().map(|change| {
        let [from, to] = [change.from, change.to].map(|it| target.host(it, state));
        (change.at, format!("round {}  hop {}  {from} -> {to}", change.round, change.ttl))
    });
    let balanced = target.table.balanced().iter().map(|it| {
        let hosts: Vec<String> =
            it.responders.iter().map(|host| target.host(*host, state)).collect();
        (it.at, format!("round {}  hop {}  balanced: {}", it.round, it.ttl, hosts.join(" ")))
    });
    let mut said: Vec<(Timestamp, String)> = changes.chain(balanced).collect();
    if said.is_empty() {
        return vec!["no change of the path".to_owned()];
    }
    said.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    said.into_iter().map(|(at, what)| format!("{}  {what}", date_and_clock(at))).collect()
}
