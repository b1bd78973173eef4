//! What the comparison of two maps reports.

use super::*;

/// A map of links, as "from-to*flows" between nodes by their number; 9 is the target, 7 is silent.
fn map(links: &[(usize, usize, u32)]) -> Map {
    map_of(links, 95.0, "complete")
}

fn map_of(links: &[(usize, usize, u32)], confidence: f64, completion: &str) -> Map {
    let ids: BTreeSet<usize> = links.iter().map(|(_, to, _)| *to).collect();
    let nodes: Vec<_> = ids
        .iter()
        .map(|id| {
            let address = (*id != 7).then(|| format!("10.0.0.{id}"));
            serde_json::json!({"id": id, "address": address, "ttls": [id], "per_packet": false})
        })
        .collect();
    let links: Vec<_> = links
        .iter()
        .map(|(from, to, flows)| serde_json::json!({"from": from, "to": to, "flows": flows, "uncertain": false}))
        .collect();
    let document = serde_json::json!({
        "format": document::MAP, "target": {"address": "10.0.0.9"}, "nodes": nodes, "links": links, "reached": true,
        "asked": {"confidence": confidence}, "completion": completion,
    });
    Map::parse(document.to_string().as_bytes()).unwrap()
}

fn told(found: &MapComparison) -> Vec<String> {
    let last = |address: Option<IpAddr>| {
        address.map_or("*".into(), |it| it.to_string().replace("10.0.0.", ""))
    };
    let sure = |change: bool| if change { "" } else { "?" };
    let routers = found.routers.iter();
    let routers =
        routers.map(|it| format!("{:?} {}{}", it.difference, last(it.address), sure(it.change)));
    let links = found.links.iter().map(|it| {
        format!("{:?} {}-{}{}", it.difference, last(it.from), last(Some(it.to)), sure(it.change))
    });
    routers.chain(links).collect()
}

#[test]
fn what_chance_may_have_missed_is_no_change() {
    let whole = map(&[(0, 1, 20), (1, 2, 9), (1, 3, 11), (2, 9, 9), (3, 9, 11)]);
    assert_eq!(
        compare(&whole, &whole),
        MapComparison {
            head: Head::to(whole.target.address),
            p: 1.0,
            reached: Pair { before: true, after: true },
            confidence: Pair { before: 95.0, after: 95.0 },
            ..MapComparison::default()
        }
    );
    // Half of the next hops are not seen by 3 flows, but by 20.
    let few = map(&[(0, 1, 20), (1, 3, 3), (3, 9, 3)]);
    let many = map(&[(0, 1, 20), (1, 3, 20), (3, 9, 20)]);
    assert_eq!(told(&compare(&whole, &few)), ["Removed 2?"]);
    assert!(!compare(&whole, &few).changed);
    assert_eq!(told(&compare(&whole, &many)), ["Removed 2"]);
    assert_eq!(told(&compare(&many, &whole)), ["Added 2"]);
    assert!(compare(&many, &whole).changed);
}

#[test]
fn a_next_hop_that_many_flows_took_and_none_takes_now_is_gone() {
    for percent in [95.0, 99.0] {
        for k in 1..=4 {
            let next = |known: usize| (2..2 + known).map(move |id| (1, id, 20));
            let links = |known| [(0, 1, 100)].into_iter().chain(next(known)).collect::<Vec<_>>();
            let before = map_of(&links(k + 1), percent, "complete");
            let after = |completion| map_of(&links(k), percent, completion);
            let found = compare(&before, &after("complete"));
            assert_eq!((found.changed, found.verdict), (true, Verdict::Changed), "{percent} {k}");
            let cut = compare(&before, &after("max-probes"));
            assert!(!cut.changed && cut.unfinished.after && cut.routers.len() == 1);
            assert!(compare(&after("max-probes"), &before).unfinished.before);
        }
    }
}

/// What the stopping rule asks at 95 % shows another only next hop, not that one of two was removed.
#[test]
fn few_flows_are_unclear() {
    let [one, other] = [2, 3].map(|id| map(&[(0, 1, 6), (1, id, 6), (id, 9, 6)]));
    let both = map(&[(0, 1, 6), (1, 2, 3), (1, 3, 3), (2, 9, 3), (3, 9, 3)]);
    assert_eq!(compare(&one, &other).verdict, Verdict::Changed);
    assert_eq!(
        (compare(&both, &one).verdict, compare(&both, &one).changed),
        (Verdict::Unclear, false)
    );
}

/// As a document without `uncertain` links has them, but of these links.
fn with_uncertain(mut map: Map, links: &[(usize, usize)]) -> Map {
    for link in &mut map.links {
        link.uncertain = links.contains(&(link.from, link.to));
    }
    map.index = Index::of(&map).unwrap();
    map
}

#[test]
fn uncertain_links_are_no_evidence() {
    let before = map(&[(0, 1, 20), (1, 2, 20), (1, 3, 20), (2, 9, 20), (3, 9, 20)]);
    let after = || {
        let links =
            [(1, 2, 20), (1, 3, 20), (2, 3, 4), (2, 9, 20), (3, 9, 20), (1, 7, 20), (7, 9, 20)];
        map(&[&[(0, 1, 20)][..], &links].concat())
    };
    assert_eq!(told(&compare(&before, &after())), ["Added *", "Added 2-3"]);
    // A silent router to which no certain link leads may be loss.
    let doubtful = with_uncertain(after(), &[(2, 3), (1, 7), (7, 9)]);
    assert_eq!(told(&compare(&before, &doubtful)), ["Added *?"]);
    assert!(!compare(&before, &doubtful).changed);
    // Of a router with an address, the likeliest of the links counts: all of them may be missed together.
    let narrow = [(0, 1, 20), (1, 2, 20), (1, 3, 20), (2, 9, 20), (3, 9, 20)];
    let wide = [&narrow[..], &[(2, 4, 9), (3, 4, 9), (4, 9, 9)]].concat();
    assert_eq!(told(&compare(&map(&narrow), &map(&wide))), ["Added 4"]);
    let wide = with_uncertain(map(&wide), &[(2, 4), (3, 4)]);
    assert_eq!(told(&compare(&map(&narrow), &wide)), ["Added 4?"], "no certain link tells");
    let few = [(0, 1, 20), (1, 2, 4), (1, 3, 4), (2, 9, 4), (3, 9, 4)];
    assert_eq!(told(&compare(&map(&few), &wide)), ["Added 4?"]);
}

/// Flows that were seen at the far end of a link alone have shown what follows the near one.
#[test]
fn assumed_flows_count_as_samples() {
    let link = |flows: u32, assumed: u32, uncertain: bool| {
        let mut map = map(&[(0, 1, 20), (1, 3, flows), (3, 9, flows)]);
        for link in map.links.iter_mut().skip(1) {
            (link.assumed, link.uncertain) = (assumed, uncertain);
        }
        map.index = Index::of(&map).unwrap();
        map
    };
    let whole = map(&[(0, 1, 20), (1, 2, 9), (1, 3, 11), (2, 9, 9), (3, 9, 11)]);
    assert_eq!(told(&compare(&whole, &link(3, 0, false))), ["Removed 2?"]);
    assert_eq!(told(&compare(&whole, &link(3, 17, false))), ["Removed 2"]);
}

#[test]
fn links_and_silent_routers_are_compared() {
    let before =
        map(&[(0, 1, 20), (1, 2, 20), (1, 3, 20), (1, 7, 20), (2, 9, 20), (3, 9, 20), (7, 9, 20)]);
    let crossed =
        map(&[(0, 1, 20), (1, 2, 20), (1, 3, 20), (1, 7, 20), (2, 3, 20), (3, 9, 20), (7, 9, 20)]);
    assert_eq!(told(&compare(&before, &crossed)), ["Removed 2-9", "Added 2-3"]);
    let loud = map(&[(0, 1, 20), (1, 2, 20), (1, 3, 20), (2, 9, 20), (3, 9, 20)]);
    assert_eq!(told(&compare(&before, &loud)), ["Removed *"]);
    assert!(matches!(Map::parse(b"{}"), Err(ParseError::Kind(_))));
}

/// With the flows that `--confidence 99.999` asks of two next hops and of one; with fewer the report says how many are enough.
#[test]
fn a_branch_that_vanished_is_told_or_what_would_tell_it() {
    let branches = |flows: [u32; 2]| {
        let [one, other] = flows;
        let all = [
            (0, 1, 40),
            (1, 2, one),
            (1, 3, other),
            (2, 4, one),
            (3, 5, other),
            (4, 9, one),
            (5, 9, other),
        ];
        all.into_iter().filter(|(.., flows)| *flows > 0).collect::<Vec<_>>()
    };
    let at = |percent, flows| map_of(&branches(flows), percent, "complete");
    let sure = compare(&at(99.999, [16, 16]), &at(99.999, [0, 18]));
    assert_eq!((sure.verdict, sure.enough_confidence), (Verdict::Changed, None));
    assert_eq!(told(&sure)[..2], ["Removed 2", "Removed 4"]);
    let back = compare(&at(99.999, [0, 18]), &at(99.999, [16, 16]));
    assert_eq!(back.verdict, Verdict::Changed, "{}", back.p);
    let few = compare(&at(95.0, [5, 6]), &at(95.0, [0, 6]));
    assert_eq!((few.verdict, few.enough_confidence), (Verdict::Unclear, Some(99.99)), "{}", few.p);
    // A next hop that gets little may well be missed.
    let rare = compare(&at(99.999, [2, 30]), &at(99.999, [0, 18]));
    assert_eq!(rare.verdict, Verdict::Unclear, "{}", rare.p);
    let cut = compare(&at(95.0, [5, 6]), &map_of(&branches([0, 6]), 95.0, "max-probes"));
    assert_eq!((cut.changed, cut.enough_confidence), (false, None));
}

/// A document may say of a link what no run can have seen.
#[test]
fn absurd_numbers_of_flows_are_borne() {
    let mut absurd = map(&[(0, 1, 20), (1, 2, u32::MAX), (1, 3, u32::MAX), (2, 9, 9), (3, 9, 9)]);
    absurd.links.iter_mut().for_each(|link| link.assumed = u32::MAX);
    let fewer = map(&[(0, 1, 20), (1, 2, u32::MAX), (1, 4, 5), (2, 9, 9), (4, 9, 9)]);
    for (one, other) in [(&absurd, &absurd), (&absurd, &fewer), (&fewer, &absurd)] {
        let found = compare(one, other);
        assert!((0.0..=1.0).contains(&found.p), "{}", found.p);
    }
}
