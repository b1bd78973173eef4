//! Probes and time over a grid of simulated paths, beside traceroute's order, window and waits over the same paths:
//! `cargo bench --bench guard_grid`. `SHOW=1` names the paths on which a trace is slow, sends many probes or is wrong.

mod grid;

use grid::{Case, Shape, Summary, Tool, Twist, grid, mean, quantile, share};

const RTTS: [i64; 9] = [2, 5, 10, 20, 40, 80, 150, 300, 600];

const TWISTS: [Twist; 11] = [
    Twist::Plain,
    Twist::SilentHops,
    Twist::SilentEnd,
    Twist::SilentTarget,
    Twist::LostScout,
    Twist::Limited,
    Twist::Paris,
    Twist::Echo,
    Twist::Tcp,
    Twist::V6,
    Twist::OneQuery,
];

fn main() {
    println!(
        "probes more than needed (mean, 95 %, most), more than traceroute sends (% of paths, most);"
    );
    println!("time less 10 ms, in round trips (mean, 99 %) and by traceroute's (mean, most);");
    println!("targets that did not answer each query, traces that are wrong");
    let cases = grid(3..=28, &RTTS);
    row("traceroute", &cases, Tool::Traceroute);
    for twist in TWISTS {
        let cases: Vec<Case> = cases.iter().map(|case| case.with(twist)).collect();
        row(&format!("{twist:?}"), &cases, Tool::Scouting);
    }
    show("10 hops, 40 ms", Case::plain(10, 40, Shape::Even));
    for link in 1..=7 {
        show(&format!("7 hops, 600 ms in link {link}"), Case::plain(7, 600, Shape::Long(link)));
    }
}

fn row(name: &str, cases: &[Case], tool: Tool) {
    let it = Summary::of(cases, tool);
    println!(
        "{name:12} {:5} paths {:6.2} {:3} {:3} {:6.1} % {:3} {:8.2} {:6.2} {:7.2} {:5.2} {:6.1} % {:3}",
        cases.len(),
        mean(&it.excess),
        quantile(&it.excess, 0.95),
        quantile(&it.excess, 1.0),
        100.0 * share(&it.more, |more| *more > 0),
        quantile(&it.more, 1.0),
        it.round_trips.iter().sum::<f64>() / f64::from(u32::try_from(cases.len()).unwrap()),
        quantile(&it.round_trips, 0.99),
        it.ratio.iter().sum::<f64>() / f64::from(u32::try_from(cases.len()).unwrap()),
        quantile(&it.ratio, 1.0),
        100.0 * share(&it.complete, |complete| !complete),
        it.wrong.len(),
    );
    if std::env::var_os("SHOW").is_some() {
        for ((case, more), ratio) in cases.iter().zip(&it.more).zip(&it.ratio) {
            if *more > 10 || *ratio > 1.1 || it.wrong.contains(case) {
                println!("    {case:?}: {more} more, {ratio:.2} of the time");
            }
        }
    }
}

fn show(name: &str, case: Case) {
    let [scouting, traceroute] = [Tool::Scouting, Tool::Traceroute].map(|tool| case.run(tool));
    println!(
        "{name}: {} probes, {:.1} ms; traceroute {} probes, {:.1} ms",
        scouting.sent,
        scouting.time.secs_f64() * 1e3,
        traceroute.sent,
        traceroute.time.secs_f64() * 1e3
    );
}
