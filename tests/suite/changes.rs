//! A sample of `benches/changes`: networks that balance and lose do not change, and what changes is found.

#[path = "../../benches/changes/compared.rs"]
mod compared;
#[path = "../../benches/changes/mapped.rs"]
mod mapped;
#[path = "../../benches/changes/simulated.rs"]
mod simulated;
#[path = "../../benches/changes/watched.rs"]
mod watched;

use simulated::Kind;

/// So many runs of each kind of these names all say this.
fn all_say(kinds: &[Kind], names: &[&str], runs: u64, changed: bool) {
    for name in names {
        let kind = kinds.iter().find(|kind| kind.0 == *name);
        let Kind(_, says) = kind.unwrap_or_else(|| panic!("no kind {name}"));
        let said: Vec<bool> = (0..runs).map(says).collect();
        assert!(said.iter().all(|said| *said == changed), "{name}: {said:?}");
    }
}

#[test]
fn two_traces_of_a_network_that_balances_are_no_change() {
    let names = [
        "40-wide at 1 by flow, -q 3, classic",
        "40-wide at 4 by packet, -q 3, classic",
        "2-wide at 4 by packet, -q 3, paris, same port",
        "4-wide at 4 by flow, 20 % loss, -q 10, classic",
        "2-wide at 4 by flow, limits, -q 3, 10 rounds",
    ];
    all_say(&compared::unchanged(), &names, 6, false);
}

#[test]
fn a_path_that_has_changed_is_found() {
    let names = [
        "one router another: 2-wide at 4 by flow, -q 10",
        "last hop another: 40-wide at 4 by packet, -q 10",
        "one hop longer: 4-wide at 1 by flow, -q 10",
        "the balanced hop others: 2-wide at 1 by packet, -q 10",
    ];
    all_say(&compared::changed(), &names, 6, true);
}

#[test]
fn maps_of_all_paths_are_judged_alike() {
    all_say(&mapped::unchanged(), &["16-wide at 1 by flow, 95 %"], 4, false);
    all_say(&mapped::changed(), &["one router another: 2-wide at 1 by flow, 99 %"], 4, true);
}

#[test]
fn a_watch_tells_balancing_once_and_a_change_when_it_happened() {
    let names = [
        "4-wide at 4 by packet, 5 % loss, -q 1, 40 rounds",
        "routers with two addresses, -q 1, 40 rounds",
    ];
    all_say(&watched::unchanged(40), &names, 3, false);
    let when = "in round 21, within 10";
    let names = [
        format!("one router another: 2-wide at 4 by packet, -q 1, {when}"),
        format!("one hop longer: 4-wide at 1 by flow, -q 3, {when}"),
    ];
    all_say(&watched::changed(21, 10), &names.each_ref().map(String::as_str), 3, true);
    let network = simulated::Network { by_packet: true, ..simulated::Network::balanced(2, 1) };
    let said = watched::said(&network, None, 3, 20);
    assert!(said.changes.is_empty());
    assert_eq!(said.balanced, [3]);
    let other = compared::become_otherwise(&network, "one router another");
    let said = watched::said(&network, Some((12, &other)), 3, 20);
    let told: Vec<_> = said.changes.iter().map(|it| (it.ttl, it.round)).collect();
    assert_eq!(told, [(7, 12)]);
    assert!(said.changes.iter().all(|it| it.judged <= 14));
}
