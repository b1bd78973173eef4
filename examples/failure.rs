//! How often multipath detection misses a next hop, measured and computed: a table in Markdown.
//!
//! The rule alone is fed with random routers, 20,000 of each width; whole runs, 300 of each, go through probes, frames
//! and a simulated router that hashes, and back. Then 200 runs over the 31 addresses of `benches/topologies/thirty-one.toml`:
//! how often all is found.

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{Dual, Node, SimLink, Topology};
use rtrace::time::Span;
use rtrace::trace::paths::{Confidence, Enumeration, Network, Paths, Plan, Rule, network};
use rtrace::trace::{Engine, TraceConfig};

const FED: u32 = 20_000;
const RUN: u32 = 300;
const WHOLE: u64 = 200;
const THIRTY_ONE: &str = include_str!("../benches/topologies/thirty-one.toml");
/// Two-sided 99 % of the normal distribution.
const DEVIATIONS: f64 = 2.576;

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
        ..Node::at(std::net::Ipv4Addr::new(10, stage, 0, last))
    };
    let topology = Topology::new(seed)
        .hop(node(1, 1))
        .stage((1..=branches).map(|last| node(2, last)).collect())
        .hop(node(3, 1))
        .target_address(Dual::from(std::net::Ipv4Addr::new(203, 0, 113, 9)));
    let plan = Plan { confidence, rate: 1e6, ..Plan::default() };
    Ok(run(topology, plan)?.0.routers.len() < usize::from(branches) + 3)
}

/// What a run finds, with how many probes.
fn run(topology: Topology, plan: Plan) -> anyhow::Result<(Network, u64)> {
    let config = TraceConfig::new(topology.source().into(), [203, 0, 113, 9].into(), 40_000);
    let mut paths = Paths::new(config.clone(), plan)?;
    driver::run(&mut paths, &mut SimLink::new(topology), &mut Nobody)?;
    Ok((network(&config, &plan, paths.path()), paths.path().totals.sent))
}

/// How often runs find every address, and every link too, and the median of their probes.
fn whole(confidence: Confidence, every_router: bool) -> anyhow::Result<String> {
    let (mut addresses, mut links, mut probes) = (0, 0, Vec::new());
    for seed in 1..=WHOLE {
        let text = THIRTY_ONE.replace("seed = 7", &format!("seed = {seed}"));
        let plan = Plan { confidence, every_router, ..Plan::default() };
        let (found, sent) = run(Topology::parse(&text, "thirty-one.toml")?, plan)?;
        addresses += u32::from(found.routers.len() == 31);
        links += u32::from((found.routers.len(), found.links.len()) == (31, 50));
        probes.push(sent);
    }
    probes.sort_unstable();
    let median = probes.get(probes.len() / 2).copied().unwrap_or_default();
    Ok(format!("{addresses} | {links} | {median}"))
}

/// A measured rate, and the interval in which it lies 99 times in 100 if the computed one is right.
fn row(failures: u32, runs: u32, exact: f64) -> String {
    let spread = DEVIATIONS * (exact * (1.0 - exact) / f64::from(runs)).sqrt();
    let measured = f64::from(failures) / f64::from(runs);
    let inside = if (measured - exact).abs() <= spread { "" } else { " (outside)" };
    format!(
        "{:.3} % | {:.3}–{:.3} %{inside}",
        measured * 100.0,
        (exact - spread).max(0.0) * 100.0,
        (exact + spread) * 100.0
    )
}

fn main() -> anyhow::Result<()> {
    println!(
        "How often a router's next hops are not all found. Computed: exactly, by dynamic programming over the stopping\n\
         points. Measured: the rule fed with {FED} random routers; {RUN} whole runs over a simulated network with\n\
         hashing routers of other seeds. Interval: 99 % of measurements, if the computed value is right.\n"
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
    println!(
        "\nHow many of {WHOLE} runs over thirty-one.toml, each with another seed for what its routers hash, find everything:\n"
    );
    println!("| confidence, 95 % | | all 31 addresses | and all 50 links | probes, median |");
    println!("|---|---|--:|--:|--:|");
    for (of, whole_graph) in [("of each router", false), ("of the whole graph", true)] {
        for (name, every_router) in [("MDA-Lite", false), ("MDA", true)] {
            let confidence = Confidence { percent: 95.0, whole_graph };
            println!("| {of} | {name} | {} |", whole(confidence, every_router)?);
        }
    }
    Ok(())
}
