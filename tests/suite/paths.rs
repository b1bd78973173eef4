//! Multipath detection: whether it is as right as it says, what it finds over simulated networks, and that a
//! recording gives the same again.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;

use proptest::prelude::*;
use rtrace::driver::{self, Observer};
use rtrace::link::Link;
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::probe::{Flow, ProbeType};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::paths::{
    Completion, Confidence, Enumerated, Enumeration, Exits, HostRouting, Network, Paths, Plan,
    Rule, Split, network,
};
use rtrace::trace::{Disposition, Engine, Event, Path, TraceConfig};
use rtrace::wire::{Frame, LinkType};

use crate::lossy::{Fate, Lossy, fates};
use crate::support::root;

const TARGET: [u8; 4] = [203, 0, 113, 9];
/// Standard deviations within which a measured rate has to be.
const DEVIATIONS: f64 = 4.0;

/// Keeps the frames and events of a run.
#[derive(Default)]
struct Watcher {
    frames: Vec<(Timestamp, Vec<u8>)>,
    events: Vec<Event>,
}

impl Observer for Watcher {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, _: &Path) {
        if disposition.concerns_the_trace() {
            self.frames.push((frame.at, frame.bytes.to_vec()));
        }
    }

    fn event(&mut self, _: TraceId, event: Event, _: &Path) {
        self.events.push(event);
    }
}

/// What a run has come to.
struct Outcome {
    network: Network,
    path: Path,
    watcher: Watcher,
    took: Span,
}

fn config(topology: &Topology, probe: ProbeType, target: IpAddr) -> TraceConfig {
    let source = topology.source_for(target);
    TraceConfig::of_flow(&Flow { source, target, probe, ident: 40_000 })
}

fn simulated(topology: Topology, config: &TraceConfig, plan: Plan) -> Outcome {
    simulated_over(&mut SimLink::new(topology), config, plan)
}

fn simulated_over(link: &mut dyn Link, config: &TraceConfig, plan: Plan) -> Outcome {
    let mut paths = Paths::new(config.clone(), plan).unwrap();
    let mut watcher = Watcher::default();
    driver::run(&mut paths, link, &mut watcher).unwrap();
    let path = paths.path().clone();
    let network = network(config, &plan, &path);
    Outcome { network, path, watcher, took: link.now().since(START) }
}

/// The same from the frames.
fn replayed(
    frames: &[(Timestamp, Vec<u8>)],
    config: &TraceConfig,
    plan: Plan,
) -> (Path, Vec<Event>) {
    let mut paths = Paths::passive(config.clone(), plan).unwrap();
    let mut events = Vec::new();
    for (number, (at, bytes)) in (1..).zip(frames) {
        let frame = Frame { number, ..Frame::whole(*at, LinkType::Raw, bytes) };
        paths.handle_frame(&frame);
        events.extend(std::iter::from_fn(|| paths.poll_event().map(|(event, _)| event)));
    }
    paths.finish();
    events.extend(std::iter::from_fn(|| paths.poll_event().map(|(event, _)| event)));
    (paths.path().clone(), events)
}

/// Over IPv4, by UDP.
fn found(text: &str, plan: Plan) -> Outcome {
    let topology = Topology::parse(text, "test").unwrap();
    let config = config(&topology, ProbeType::Udp, TARGET.into());
    simulated(topology, &config, plan)
}

/// A topology of stages so wide, one router and the target behind them, with these lines for each router.
pub fn stages(seed: u64, widths: &[usize], line: impl Fn(usize, usize) -> &'static str) -> String {
    let mut text = format!("seed = {seed}\nsource = \"192.0.2.2\"\n");
    for (stage, width) in (1..).zip(widths) {
        write!(text, "[[hop]]\ndelay = \"1ms\"\nrouters = [").unwrap();
        for router in 1..=*width {
            let line = line(stage, router);
            write!(text, "{{ address = \"10.{stage}.0.{router}\"{line} }}, ").unwrap();
        }
        text.push_str("]\n");
    }
    text + "[target]\ndelay = \"1ms\"\n"
}

pub fn plain(_: usize, _: usize) -> &'static str {
    ""
}

fn addresses(network: &Network) -> BTreeSet<IpAddr> {
    network.routers.iter().filter_map(|router| router.address).collect()
}

/// Whether so many failures among so many runs are likely where each fails with this chance.
fn is_likely(failures: u32, runs: u32, chance: f64) -> bool {
    let (failures, runs) = (f64::from(failures), f64::from(runs));
    let deviation = (runs * chance * (1.0 - chance)).sqrt();
    (failures - runs * chance).abs() <= DEVIATIONS * deviation
}

/// The stopping rule fed with 20,000 random routers of each width: it fails as often as computed.
#[test]
fn the_rule_fails_as_often_as_it_says() {
    const RUNS: u32 = 20_000;
    for (percent, whole_graph) in [(95.0, false), (99.0, false), (80.0, true)] {
        let rule: Rule = Confidence { percent, whole_graph }.rule(3);
        for branches in [2_usize, 3, 4, 8, 16] {
            let mut rng = fastrand::Rng::with_seed(0x5eed);
            let fails = |_: &u32| {
                let mut enumeration = Enumeration::new(rule);
                while enumeration.wanted() > 0 {
                    enumeration.add(rng.usize(..branches));
                }
                enumeration.found().len() < branches
            };
            let failures = u32::try_from((0..RUNS).filter(fails).count()).unwrap();
            let exact = rule.failure(branches);
            assert!(
                is_likely(failures, RUNS, exact),
                "{percent} %, {branches}: {failures} of {RUNS}, {exact}"
            );
        }
    }
}

/// The whole way: probes, frames, routers that hash. Confidence is low so that failures are there to be counted.
#[test]
fn a_run_fails_as_often_as_the_rule_says() {
    const RUNS: u32 = 300;
    for (branches, percent) in [(2, 60.0), (4, 60.0), (16, 80.0)] {
        let confidence = Confidence { percent, whole_graph: false };
        let plan = Plan { confidence, rate: 1e6, ..Plan::default() };
        let fails = |seed: &u32| {
            let text = stages(u64::from(*seed), &[1, branches, 1], plain);
            let outcome = found(&text, plan);
            addresses(&outcome.network).len() < branches + 3
        };
        let failures = u32::try_from((0..RUNS).filter(fails).count()).unwrap();
        let exact = confidence.rule(1).failure(branches);
        assert!(
            is_likely(failures, RUNS, exact),
            "{branches} at {percent} %: {failures} of {RUNS}, {exact}"
        );
    }
}

#[test]
fn thirty_one_addresses_and_every_link_in_three_seconds() {
    let file = root().join("benches/topologies/thirty-one.toml");
    let text = fs::read_to_string(file).unwrap();
    for (every_router, probe, percent) in [
        (false, ProbeType::Udp, 95.0),
        (true, ProbeType::Udp, 95.0),
        (false, ProbeType::IcmpEcho, 99.0),
    ] {
        let topology = Topology::parse(&text, "test").unwrap();
        let config = config(&topology, probe, TARGET.into());
        let confidence = Confidence { percent, whole_graph: false };
        let plan = Plan { every_router, confidence, ..Plan::default() };
        let Outcome { network, path, took, .. } = simulated(topology, &config, plan);
        assert_eq!(
            (addresses(&network).len(), network.links.len()),
            (31, 50),
            "{plan:?} {probe:?}"
        );
        assert_eq!(network.completion, Completion::Complete);
        assert!(network.routers.iter().all(|it| it.enumerated != Some(Enumerated::No)));
        assert!(took < Span::from_millis(3_000), "{took} ms");
        // At 95 % scamper's tracelb takes 673, without asking for the links within diamonds.
        let most = if every_router || percent > 95.0 { 1_000 } else { 673 };
        assert!(path.totals.sent <= most, "{plan:?}: {}", path.totals.sent);
    }
}

/// Six flows that all go one of three ways, which are not of one length, once made a router its own next hop.
#[test]
fn flows_that_all_go_one_way_make_up_no_link() {
    let file = root().join("benches/topologies/thirty-one.toml");
    let text = fs::read_to_string(file).unwrap();
    for (seed, ident) in [(50, 54_321), (50, 40_000), (7, 40_000)] {
        let text = text.replace("seed = 7\n", &format!("seed = {seed}\n"));
        let topology = Topology::parse(&text, "test").unwrap();
        let truth = topology.links(TARGET.into());
        assert_eq!(truth.len(), 50);
        for every_router in [false, true] {
            let config = TraceConfig { ident, ..config(&topology, ProbeType::Udp, TARGET.into()) };
            let plan = Plan { every_router, ..Plan::default() };
            let network = simulated(topology.clone(), &config, plan).network;
            let address = |router: usize| network.routers[router].address;
            let found = network.links.iter().filter_map(|it| address(it.from).zip(address(it.to)));
            assert_eq!(found.collect::<BTreeSet<_>>(), truth, "{seed} {ident} {every_router}");
        }
    }
}

/// Where whole hops will do, they do with far fewer probes.
#[test]
fn lite_needs_fewer_probes_where_nothing_speaks_against_it() {
    let text = stages(3, &[1, 8, 8, 1], |_, _| "");
    // Each of the eight leads to one of the next eight.
    let text = (1..=8).fold(text, |text, router| {
        let from = format!("\"10.2.0.{router}\"");
        let to = format!("\"10.3.0.{router}\"");
        text.replace(&from, &format!("{from}, next = [\"n{router}\"]"))
            .replace(&to, &format!("{to}, name = \"n{router}\""))
    });
    let probes = |every_router| {
        let outcome = found(&text, Plan { every_router, ..Plan::default() });
        assert_eq!(addresses(&outcome.network).len(), 19);
        assert_eq!(outcome.network.links.len(), 8 + 8 + 8 + 1);
        assert!(outcome.network.diamonds.iter().all(|diamond| !diamond.meshed));
        outcome.path.totals.sent
    };
    let (lite, full) = (probes(false), probes(true));
    assert!(lite * 3 < full * 2, "{lite} and {full} probes");
}

/// Two stages in which each router leads to each: that is seen, and every link found.
#[test]
fn routers_that_share_next_hops_are_asked_one_by_one() {
    let outcome = found(&stages(5, &[1, 3, 3, 1], plain), Plan::default());
    assert_eq!(outcome.network.links.len(), 3 + 9 + 3 + 1);
    assert!(outcome.network.diamonds.iter().any(|diamond| diamond.meshed));
}

#[test]
fn a_choice_for_each_packet_is_recognised() {
    let text =
        stages(1, &[1, 3, 3, 1], |stage, _| if stage == 1 { ", balance = \"packet\"" } else { "" });
    let outcome = found(&text, Plan::default());
    let network = &outcome.network;
    assert_eq!(addresses(network).len(), 9);
    let per_packet: Vec<_> = network.routers.iter().map(|router| router.per_packet).collect();
    assert_eq!(per_packet, [&[true][..], &[false; 8]].concat());
    for link in &network.links {
        let inside = (1..=3).contains(&link.from) || (4..=6).contains(&link.from);
        assert_eq!(link.uncertain, inside, "{link:?}");
    }
    // By flow, nobody is suspected.
    let outcome = found(&stages(1, &[1, 3, 3, 1], plain), Plan::default());
    assert!(outcome.network.routers.iter().all(|router| !router.per_packet));
}

/// A router that answers with three addresses in turn is one place, and nobody before it is blamed for that.
#[test]
fn a_router_of_several_addresses_is_one() {
    let also = |stage, _| {
        if stage == 2 { ", also = [\"10.2.1.1\", \"10.2.2.1\"]" } else { "" }
    };
    for every_router in [false, true] {
        let plan = Plan { every_router, ..Plan::default() };
        let network = found(&stages(1, &[1, 1, 3, 1], also), plan).network;
        assert_eq!((network.routers.len(), network.links.len()), (7, 8));
        let several: Vec<_> = network.routers.iter().map(|it| it.also.len()).collect();
        assert_eq!(several, [0, 2, 0, 0, 0, 0, 0]);
        assert!(network.routers.iter().all(|it| !it.per_packet));
        assert!(network.links.iter().all(|link| !link.uncertain));
        assert_eq!(network.diamonds.len(), 1);
    }
    // Routers side by side are never taken for one.
    for seed in 0..20 {
        let network = found(&stages(seed, &[1, 16, 1], plain), Plan::default()).network;
        assert!(network.aliases.is_empty(), "{seed}: {:?}", network.aliases);
    }
}

/// Branches of one line each, so many routers long, and so many routers behind all of them; with the links.
fn branches(seed: u64, lengths: &[usize], tail: usize) -> (String, BTreeSet<(IpAddr, IpAddr)>) {
    let mut text = format!("seed = {seed}\nsource = \"192.0.2.2\"\n");
    let mut links = BTreeSet::new();
    let mut hop = |address: String, next: Vec<String>| {
        let names: Vec<_> =
            next.iter().map(|it| if it == "203.0.113.9" { "target" } else { it }).collect();
        write!(text, "[[hop]]\nname = \"{address}\"\naddress = \"{address}\"\nnext = {names:?}\n")
            .unwrap();
        links.extend(next.iter().map(|it| (address.parse().unwrap(), it.parse().unwrap())));
    };
    let behind =
        |at: usize| if at < tail { format!("10.9.{at}.1") } else { "203.0.113.9".to_owned() };
    let starts = (1..).zip(lengths).map(|(branch, _)| format!("10.{branch}.1.1"));
    hop("10.0.0.1".to_owned(), starts.collect());
    for (branch, length) in (1..).zip(lengths) {
        for at in 1..=*length {
            let next = if at < *length { format!("10.{branch}.{}.1", at + 1) } else { behind(0) };
            hop(format!("10.{branch}.{at}.1"), vec![next]);
        }
    }
    (0..tail).for_each(|at| hop(behind(at), vec![behind(at + 1)]));
    (text + "[target]\n", links)
}

/// Flows end at several hops then, and none of them is asked for ever behind its end.
#[test]
fn branches_of_any_length_are_found_and_no_link_is_made_up() {
    let mut whole = 0;
    let lengths: [&[usize]; 6] = [&[1, 2], &[1, 3], &[2, 4], &[1, 5], &[1, 2, 3], &[3, 3, 1]];
    let cases = lengths.into_iter().flat_map(|it| (0..4).map(move |tail| (it, tail)));
    let cases: Vec<_> =
        cases.flat_map(|(it, tail)| (1..=4).map(move |seed| (it, tail, seed))).collect();
    for (lengths, tail, seed) in &cases {
        for every_router in [false, true] {
            let (text, links) = branches(*seed, lengths, *tail);
            let outcome = found(&text, Plan { every_router, ..Plan::default() });
            let case = format!("{lengths:?} {tail} {seed} {every_router}");
            let network = &outcome.network;
            assert_eq!(network.completion, Completion::Complete, "{case}");
            let address = |index: usize| network.routers[index].address.unwrap();
            let seen: BTreeSet<_> =
                network.links.iter().map(|it| (address(it.from), address(it.to))).collect();
            assert!(seen.is_subset(&links), "{case}: {seen:?}");
            assert!(outcome.path.totals.sent < 500, "{case}: {}", outcome.path.totals.sent);
            whole += u32::from(seen == links);
        }
    }
    // Two or three branches at one router are missed once in 25 times.
    let runs = u32::try_from(2 * cases.len()).unwrap();
    assert!(is_likely(runs - whole, runs, 0.04), "{whole} of {runs}");
}

/// A hop of this name, by its last octet, and where it leads.
fn router(name: u8, next: &str) -> String {
    format!("[[hop]]\nname = \"r{name}\"\naddress = \"10.0.0.{name}\"\nnext = {next}\n")
}

#[test]
fn a_loop_ends_the_search_and_is_named() {
    let last_octet = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    };
    let line = [router(1, "['r2']"), router(2, "['r3']"), router(3, "['r2']")];
    let branch = [
        router(1, "['r2', 'r4']"),
        router(2, "['r3']"),
        router(3, "['r5']"),
        router(4, "['target']"),
        router(5, "['r2']"),
    ];
    for (hops, expected, most) in
        [(line.concat(), vec![vec![2, 3]], 60), (branch.concat(), vec![vec![2, 3, 5]], 300)]
    {
        for every_router in [false, true] {
            let text =
                format!("seed = 3\nsource = \"192.0.2.2\"\n{hops}[target]\n").replace('\'', "\"");
            let outcome = found(&text, Plan { every_router, ..Plan::default() });
            let network = &outcome.network;
            let address = |index: &usize| last_octet(network.routers[*index].address.unwrap());
            let loops: Vec<Vec<u8>> =
                network.loops.iter().map(|round| round.iter().map(address).collect()).collect();
            assert_eq!(loops, expected, "{every_router}");
            assert_eq!(network.completion, Completion::Complete);
            assert!(network.routers.iter().all(|it| it.enumerated != Some(Enumerated::No)));
            assert!(outcome.path.totals.sent < most, "{}", outcome.path.totals.sent);
        }
    }
    // The same router at several hops of branches of different length is none.
    for seed in 1..=10 {
        let (text, _) = branches(seed, &[1, 3, 5], 2);
        assert!(found(&text, Plan::default()).network.loops.is_empty());
    }
}

#[test]
fn a_branch_goes_through_silence() {
    let silent = |stage, router| if stage == 2 && router == 2 { ", silent = true" } else { "" };
    let outcome = found(&stages(2, &[1, 3, 1], silent), Plan::default());
    let network = &outcome.network;
    let silent: Vec<_> = network.routers.iter().filter(|it| it.address.is_none()).collect();
    assert_eq!((network.routers.len(), silent.len()), (6, 1));
    assert_eq!(network.links.len(), 3 + 3 + 1);
    assert_eq!(network.completion, Completion::Complete);

    // Of a router that answers but twice a second, silence is no branch.
    let limited = |stage, _| {
        if stage == 2 { ", rate = { per_second = 2, burst = 2 }" } else { "" }
    };
    let outcome = found(&stages(2, &[1, 1, 1], limited), Plan::default());
    assert!(outcome.network.routers.iter().all(|router| router.address.is_some()));
    assert!(outcome.network.diamonds.is_empty());
    assert_eq!(outcome.network.routers[0].enumerated, Some(Enumerated::No), "and it is said");
}

#[test]
fn loss_is_no_silence() {
    let lossy = |stage, _| if stage == 2 { ", reply_loss = 0.05" } else { "" };
    for seed in 0..10 {
        let outcome = found(&stages(seed, &[1, 4, 1], lossy), Plan::default());
        assert!(outcome.network.routers.iter().all(|router| router.address.is_some()), "{seed}");
    }
}

#[test]
fn rate_and_budget_are_kept() {
    let plan = Plan { rate: 50.0, max_probes: 40, ..Plan::default() };
    let Outcome { network, path, watcher, .. } = found(&stages(4, &[1, 16, 1], plain), plan);
    assert_eq!((path.totals.sent, network.completion), (40, Completion::MaxProbes));
    let sent: Vec<Timestamp> = path.probes().filter_map(|(_, probe)| probe.sent).collect();
    let (first, last) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(last.since(*first) >= Span::from_millis(39 * 20 - 11), "{}", last.since(*first));
    assert!(watcher.events.ends_with(&[Event::Ended]));
}

/// A target behind silence, and one that nobody knows.
#[test]
fn the_end_is_found_or_given_up() {
    let silent = |stage, _| if stage == 2 || stage == 3 { ", silent = true" } else { "" };
    let outcome = found(&stages(2, &[1, 1, 1, 1], silent), Plan::default());
    assert!(addresses(&outcome.network).contains(&IpAddr::from(TARGET)));
    assert!(outcome.took < Span::from_millis(4_000), "{} ms", outcome.took);

    let text = stages(2, &[1, 2], plain) + "silent = true\n";
    let outcome = found(&text, Plan::default());
    assert_eq!(addresses(&outcome.network).len(), 3);
    assert!(outcome.took < Span::from_millis(8_000), "{} ms", outcome.took);
    assert!(outcome.path.totals.sent < 120, "{}", outcome.path.totals.sent);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The golden law of paths: all that is reported follows from configuration and frames, on any network.
    #[test]
    fn a_recording_gives_the_same_network(
        seed: u64,
        six: bool,
        kind in 0..3_usize,
        every_router: bool,
        whole_graph: bool,
        (max_probes, fates) in prop_oneof![
            3 => (1..600_u32).prop_map(|most| (most, vec![Fate::Leaves])),
            1 => (1..150_u32, fates()),
        ],
    ) {
        let target: IpAddr =
            if six { "2001:db8:300::9".parse().unwrap() } else { TARGET.into() };
        let topology = Topology::random(seed);
        let probe = [ProbeType::Udp, ProbeType::IcmpEcho, ProbeType::TcpSyn][kind];
        let config = TraceConfig { max_ttl: 20, ..config(&topology, probe, target) };
        let confidence = Confidence { percent: 95.0, whole_graph };
        let plan = Plan { confidence, every_router, rate: 1e5, max_probes };
        let live = simulated_over(&mut Lossy::new(topology, &fates), &config, plan);
        prop_assert!(live.path.totals.sent <= u64::from(max_probes));
        let (path, events) = replayed(&live.watcher.frames, &config, plan);
        prop_assert_eq!(&events, &live.watcher.events);
        prop_assert_eq!(&path, &live.path);
        let again = network(&config, &plan, &path);
        prop_assert_eq!(format!("{again:?}"), format!("{:?}", live.network));
    }
}

/// The exits of a run, and what decides by which each probe leaves: its destination port, and how many left before it.
struct Leaving<F> {
    by: F,
    exits: Exits,
    count: usize,
}

impl<F: Fn(u16, usize) -> (u32, [u8; 6])> Observer for Leaving<F> {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        let Disposition::OwnProbe(at) = disposition else { return };
        let port = path.probe(at).unwrap().key.destination_port();
        let (interface, next_hop) = (self.by)(port, self.count);
        let bytes = [&next_hop[..], &[0; 6], &[0x08, 0x00], frame.bytes].concat();
        let link = LinkType::Ethernet;
        self.exits.note(&Frame { link, bytes: &bytes, interface, ..*frame }, at);
        self.count += 1;
    }
}

/// What the frames of a run prove of the host that probed.
fn host_routing(by: impl Fn(u16, usize) -> (u32, [u8; 6])) -> Option<HostRouting> {
    let topology = Topology::builtin();
    let config = config(&topology, ProbeType::Udp, TARGET.into());
    let plan = Plan::default();
    let mut paths = Paths::new(config.clone(), plan).unwrap();
    let mut leaving = Leaving { by, exits: Exits::default(), count: 0 };
    driver::run(&mut paths, &mut SimLink::new(topology), &mut leaving).unwrap();
    let network = network(&config, &plan, paths.path());
    leaving.exits.host_routing(&config, paths.path(), &network)
}

#[test]
fn several_exits_of_the_host_are_told_with_what_decided() {
    const ONE: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];
    assert_eq!(host_routing(|_, _| (1, ONE)), None);
    for (split, routing) in [
        (Split::Flow, host_routing(|port, _| (1 + u32::from(port % 2), ONE))),
        (Split::Packet, host_routing(|_, count| (1 + u32::try_from(count % 2).unwrap(), ONE))),
        (Split::Time, host_routing(|_, count| (1 + u32::from(count > 20), ONE))),
        (Split::Flow, host_routing(|port, _| (1, if port % 2 == 0 { ONE } else { OTHER }))),
    ] {
        let routing = routing.unwrap();
        assert_eq!((routing.split, routing.exits.len()), (split, 2), "{routing:?}");
        let [(first, one), (second, other)] = &routing.exits[..] else { panic!("{routing:?}") };
        assert!(first < second && one.probes > 0 && other.probes > 0, "{routing:?}");
        assert_eq!(one.flows.is_disjoint(&other.flows), split == Split::Flow, "{routing:?}");
        // They lead to the one router of the first hop.
        assert_eq!(one.routers, BTreeSet::from([0]), "{routing:?}");
    }
}
