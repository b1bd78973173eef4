//! How often multipath detection misses a next hop, measured and computed: tables in Markdown.
//!
//! The rule alone is fed with random routers, 20,000 of each width; whole runs, 300 of each, go through probes, frames
//! and a simulated router that hashes, and back. Then 200 runs each over the 31 addresses of
//! `benches/topologies/thirty-one.toml` and over branches of different length: how often the routers and links that are found
//! are those that there are, and how many flows that took beside what the rule asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{Dual, Node, SimLink, Topology};
use rtrace::time::Span;
use rtrace::trace::paths::{Confidence, Enumeration, Network, Paths, Plan, Router, Rule, network};
use rtrace::trace::{Engine, TraceConfig};

const FED: u32 = 20_000;
const RUN: u32 = 300;
const WHOLE: u32 = 200;
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
const THIRTY_ONE: &str = include_str!("../benches/topologies/thirty-one.toml");
/// Branches of different length: how many routers each has.
const UNEVEN: [&[usize]; 3] = [&[1, 3], &[2, 4], &[1, 2, 3]];
/// What lies below an interval of 99 %, and above.
const TAIL: f64 = 0.005;
/// The names of what is asked hop by hop, and router by router.
const WAYS: [(&str, bool); 2] = [("MDA-Lite", false), ("MDA", true)];

/// Looks away.
struct Nobody;

impl Observer for Nobody {}

/// Whether the rule stops before it has found all.
fn misses(rule: Rule, branches: usize, rng: &mut fastrand::Rng) -> bool {
    let mut enumeration = Enumeration::new(rule);
    while enumeration.wanted() > 0 {
        enumeration.add(rng.usize(..branches));
    }
    enumeration.found().len() < branches
}

/// Whether a run misses one behind the first of three hops.
fn run_misses(confidence: Confidence, branches: u8, seed: u64) -> anyhow::Result<bool> {
    let node = |stage, last| Node {
        delay: Span::from_millis(1),
        ..Node::at(Ipv4Addr::new(10, stage, 0, last))
    };
    let topology = Topology::new(seed)
        .hop(node(1, 1))
        .stage((1..=branches).map(|last| node(2, last)).collect())
        .hop(node(3, 1))
        .target_address(Dual::from(Ipv4Addr::new(203, 0, 113, 9)));
    let plan = Plan { confidence, rate: 1e6, ..Plan::default() };
    Ok(run(topology, plan)?.0.routers.len() < usize::from(branches) + 3)
}

/// What a run finds, with how many probes.
fn run(topology: Topology, plan: Plan) -> anyhow::Result<(Network, u64)> {
    let config = TraceConfig::new(topology.source().into(), TARGET, 40_000);
    let mut paths = Paths::new(config.clone(), plan)?;
    driver::run(&mut paths, &mut SimLink::new(topology), &mut Nobody)?;
    Ok((network(&config, &plan, paths.path()), paths.path().totals.sent))
}

/// The same topology with another seed for what its routers hash.
fn seeded(text: &str, seed: u32) -> anyhow::Result<Topology> {
    Ok(Topology::parse(&text.replace("seed = 7\n", &format!("seed = {seed}\n")), "topology")?)
}

/// A router, branches with this number of routers each from there to another one, and the target beyond that.
fn variable_queries(branches: &[usize]) -> String {
    let mut text = "seed = 7\nsource = \"192.0.2.2\"\n".to_owned();
    let mut hop = |name: &str, address: &str, next: &[String]| {
        let _ = writeln!(
            text,
            "[[hop]]\nname = {name:?}\ndelay = \"1ms\"\naddress = {address:?}\nnext = {next:?}"
        );
    };
    let name = |branch, router| format!("b{branch}r{router}");
    hop("parting", "10.0.0.1", &(1..=branches.len()).map(|it| name(it, 1)).collect::<Vec<_>>());
    for (branch, routers) in (1..).zip(branches) {
        for router in 1..=*routers {
            let last = router == *routers;
            let next = if last { "meeting".to_owned() } else { name(branch, router + 1) };
            hop(&name(branch, router), &format!("10.{branch}.{router}.1"), &[next]);
        }
    }
    hop("meeting", "10.9.0.1", &["target".to_owned()]);
    text + "[target]\ndelay = \"1ms\"\n"
}

type Links = BTreeSet<(IpAddr, IpAddr)>;

fn found_links(network: &Network) -> Links {
    let address = |router: usize| network.routers.get(router)?.address;
    let links = network.links.iter();
    links.filter_map(|link| Some((address(link.from)?, address(link.to)?))).collect()
}

/// Each router that has several next hops, and which.
fn branching(links: &Links) -> BTreeMap<IpAddr, BTreeSet<IpAddr>> {
    let mut next = BTreeMap::<IpAddr, BTreeSet<IpAddr>>::new();
    for (from, to) in links {
        next.entry(*from).or_default().insert(*to);
    }
    next.retain(|_, next| next.len() > 1);
    next
}

/// What runs came to that differ in their seed.
#[derive(Default)]
struct Runs {
    /// How many found every router, and every link too and no other.
    routers: u32,
    links: u32,
    /// How many found a link that there is not.
    made_up: u32,
    probes: Vec<usize>,
    /// Of each router that branches: how many flows were seen behind it, and how many runs missed a next hop.
    asked: BTreeMap<IpAddr, (Vec<usize>, u32)>,
}

impl Runs {
    fn of(text: &str, plan: Plan) -> anyhow::Result<Self> {
        let truth = seeded(text, 1)?.links(TARGET);
        let ends = |links: &Links| -> BTreeSet<IpAddr> {
            links.iter().flat_map(|(from, to)| [*from, *to]).collect()
        };
        let mut runs = Self::default();
        for seed in 1..=WHOLE {
            let (network, probes) = run(seeded(text, seed)?, plan)?;
            let found = found_links(&network);
            runs.routers += u32::from(ends(&found) == ends(&truth));
            runs.links += u32::from(found == truth);
            runs.made_up += u32::from(!found.is_subset(&truth));
            runs.probes.push(usize::try_from(probes)?);
            for (router, next) in branching(&truth) {
                let is_next = |it: &&Router| it.address.is_some_and(|it| next.contains(&it));
                let shown = || network.routers.iter().filter(is_next);
                let (flows, missed) = runs.asked.entry(router).or_default();
                flows.push(shown().flat_map(|it| &it.flows).collect::<BTreeSet<_>>().len());
                *missed += u32::from(shown().count() < next.len());
            }
        }
        Ok(runs)
    }
}

fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// From how many to how many of these runs fail, each of which does with this chance: exactly, by the binomial
/// distribution. Fewer have at most a chance of [`TAIL`], and more have.
fn likely(runs: u32, chance: f64) -> (u32, u32) {
    let odds = (chance / (1.0 - chance)).ln();
    // The logarithm of the chance of exactly this number, and the chance of at most this number.
    let (mut log, mut sum) = (f64::from(runs) * (-chance).ln_1p(), 0.0);
    let mut least = None;
    for failures in 0..=runs {
        sum += log.exp();
        if sum > TAIL {
            least.get_or_insert(failures);
        }
        if sum >= 1.0 - TAIL {
            return (least.unwrap_or(failures), failures);
        }
        log += odds + (f64::from(runs - failures) / f64::from(failures + 1)).ln();
    }
    (least.unwrap_or_default(), runs)
}

/// A measured rate, and the interval in which it lies 99 times in 100 if the computed one is right.
fn row(failures: u32, runs: u32, exact: f64) -> String {
    let (least, most) = likely(runs, exact);
    let percent = |count: u32| f64::from(count) / f64::from(runs) * 100.0;
    let inside = if (least..=most).contains(&failures) { "" } else { " (outside)" };
    let [measured, least, most] = [failures, least, most].map(percent);
    format!("{measured:.3} % | {least:.3}–{most:.3} %{inside}")
}

fn table_of_the_rule() -> anyhow::Result<()> {
    println!(
        "How often a router's next hops are not all found. Computed: exactly, by dynamic programming over the stopping\n\
         points. Measured: the rule fed with {FED} random routers; {RUN} whole runs over a simulated network with\n\
         hashing routers of other seeds. Interval: 99 % of measurements, if the computed value is right (exact tails of the\n\
         binomial distribution, at most 0.5 % on each side).\n"
    );
    println!(
        "| confidence | next hops | computed | rule, measured | interval | whole runs | interval |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for percent in [95.0, 99.0] {
        let confidence = Confidence { percent, whole_graph: false };
        let rule = confidence.rule(1);
        for branches in [2_u8, 3, 4, 8, 16] {
            let mut rng = fastrand::Rng::with_seed(1);
            let failed = (0..FED).filter(|_| misses(rule, branches.into(), &mut rng)).count();
            let mut run_failed = 0;
            for seed in 0..RUN {
                run_failed += u32::from(run_misses(confidence, branches, seed.into())?);
            }
            let exact = rule.failure(branches.into());
            let failed = u32::try_from(failed)?;
            println!(
                "| {percent} % | {branches} | {:.3} % | {} | {} |",
                exact * 100.0,
                row(failed, FED, exact),
                row(run_failed, RUN, exact)
            );
        }
    }
    Ok(())
}

/// Runs over one topology, in all ways; those at a confidence for each router are handed back.
fn table_of_runs(name: &str, text: &str) -> anyhow::Result<Vec<(&'static str, Runs)>> {
    let mut kept = Vec::new();
    for (of, whole_graph) in [("of each router", false), ("of the whole graph", true)] {
        for (way, every_router) in WAYS {
            let confidence = Confidence { percent: 95.0, whole_graph };
            let plan = Plan { confidence, every_router, ..Plan::default() };
            let runs = Runs::of(text, plan)?;
            let Runs { routers, links, made_up, .. } = runs;
            let probes = median(runs.probes.clone());
            println!("| {name} | {of} | {way} | {routers} | {links} | {made_up} | {probes} |");
            if !whole_graph {
                kept.push((way, runs));
            }
        }
    }
    Ok(kept)
}

/// The flows that runs asked of routers that branch, beside those that the rule asks for.
fn table_of_flows(name: &str, text: &str, kept: &[(&str, Runs)]) -> anyhow::Result<()> {
    let rule = Confidence { percent: 95.0, whole_graph: false }.rule(1);
    for (router, next) in branching(&seeded(text, 1)?.links(TARGET)) {
        let next = next.len();
        let expected = |chance: f64| {
            let (least, most) = likely(WHOLE, chance);
            format!("{:.1} ({least}–{most})", chance * f64::from(WHOLE))
        };
        let alone = expected(rule.failure(next));
        print!("| {name} | {router} | {next} | {} | {alone}", rule.flows(next));
        for (_, runs) in kept {
            let (flows, missed) = runs.asked.get(&router).cloned().unwrap_or_default();
            let least = flows.iter().min().copied().unwrap_or_default();
            let beyond = expected(rule.failure_beyond(next, least));
            print!(" | {least} / {} | {beyond} | {missed}", median(flows));
        }
        println!(" |");
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    table_of_the_rule()?;
    println!(
        "\nHow many of {WHOLE} runs, each with another seed for what routers hash, find all: thirty-one.toml, and a router that branches\n\
         to one again over paths of this many routers. Links are compared with those of the topology, not counted.\n"
    );
    println!(
        "| topology | confidence, 95 % | | all routers | all links, no other | runs with a link that is none | probes, median |"
    );
    println!("|---|---|---|--:|--:|--:|--:|");
    let mut all = vec![("thirty-one".to_owned(), THIRTY_ONE.to_owned())];
    all.extend(UNEVEN.map(|branches| {
        let lengths: Vec<_> = branches.iter().map(ToString::to_string).collect();
        (format!("branches of {}", lengths.join(", ")), variable_queries(branches))
    }));
    let mut kept = Vec::new();
    for (name, text) in &all {
        kept.push(table_of_runs(name, text)?);
    }
    println!(
        "\nWhy more runs find all than the rule alone would. At 95 % of each router it asks a router with k next hops for n_k flows, and stops\n\
         early where the first show fewer than k. It would miss one in this many of {WHOLE} runs (and its 99 % interval). But flows are\n\
         shared: those that are asked for hops behind (node control: some of each router there; the meshing test) show next hops as well, so\n\
         a run cannot stop before they are there. So for each way: the flows that were seen at the next hops in the end, fewest and median; in how many\n\
         runs the rule misses one where it does not stop before the fewest; in how many one was missed.\n"
    );
    println!(
        "| topology | router | k | n_k | rule alone | MDA-Lite: flows | rule beyond | missed | MDA: flows | rule beyond | missed |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for ((name, text), kept) in all.iter().zip(&kept) {
        table_of_flows(name, text, kept)?;
    }
    Ok(())
}
