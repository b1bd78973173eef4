//! Probes and time over a grid of simulated paths, beside traceroute's: `cargo bench --bench guard_grid`.

mod grid;

use grid::{Case, Shape, Summary, Tool, Twist, mean, plain, quantile, share};

const LENGTHS: [u8; 11] = [3, 5, 8, 10, 12, 15, 18, 20, 23, 25, 28];
const RTTS: [i64; 10] = [2, 5, 10, 20, 40, 60, 100, 150, 300, 600];

fn main() {
    let cases = plain(&LENGTHS, &RTTS);
    println!("{}", HEAD);
    row("traceroute", &cases, Tool::Traceroute);
    row("plain", &cases, Tool::Scouting);
    let twists = [
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
    for twist in twists {
        let cases: Vec<Case> = cases.iter().map(|case| case.with(twist)).collect();
        row(&format!("{twist:?}"), &cases, Tool::Scouting);
    }
    if std::env::var_os("SLOW").is_some() {
        let kinds = cases.iter().flat_map(|case| [*case, case.with(Twist::Echo)]);
        for case in kinds {
            let [us, them] = [Tool::Scouting, Tool::Traceroute].map(|tool| case.run(tool));
            let (a, b) = (us.time.secs_f64() * 1e3, them.time.secs_f64() * 1e3);
            if a > 1.1 * b + 10.0 {
                println!(
                    "slow {} hops {:.0} ms {:?}: {a:.1} {b:.1}, {} {}",
                    case.hops,
                    case.rtt.secs_f64() * 1e3,
                    case.shape,
                    us.sent,
                    them.sent
                );
            }
        }
    }
    let ten = Case::plain(10, 40, Shape::Even);
    show("10 hops, 40 ms", ten);
    for link in 1..=7 {
        show(&format!("7 hops, 600 ms in link {link}"), Case::plain(7, 600, Shape::Long(link)));
    }
}

const HEAD: &str = "                     paths  excess mean  p95  max   more than traceroute: paths  max   \
                    RTT mean  p99   time by traceroute's: mean  max  incomplete  wrong";

fn row(name: &str, cases: &[Case], tool: Tool) {
    let it = Summary::of(cases, tool);
    let excess: Vec<f64> = it.excess.iter().map(|it| *it as f64).collect();
    println!(
        "{name:20} {:5} {:10.1} {:6} {:5} {:28.1} % {:5} {:10.2} {:5.2} {:26.2} {:5.2} {:9.1} % {:4}",
        it.len(),
        mean(&excess),
        quantile(&it.excess, 0.95).unwrap(),
        quantile(&it.excess, 1.0).unwrap(),
        100.0 * share(&it.more, |more| *more > 0),
        quantile(&it.more, 1.0).unwrap(),
        mean(&it.round_trips),
        quantile(&it.round_trips, 0.99).unwrap(),
        mean(&it.ratio),
        quantile(&it.ratio, 1.0).unwrap(),
        100.0 * it.incomplete as f64 / it.len() as f64,
        it.wrong.len(),
    );
    if std::env::var_os("SHOW").is_some() {
        for (case, more) in cases.iter().zip(&it.more).filter(|(_, more)| **more > 10) {
            println!("    {more} more: {case:?}");
        }
        for case in &it.wrong {
            println!("    wrong: {case:?}");
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
