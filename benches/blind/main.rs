//! Blind attacks: a number of traces, and of watches of thirty rounds of a second, each under one sweep at 200,000 packets a
//! second in virtual time, and as many millions of arbitrary frames, all but none by default.
//! `cargo bench --bench blind -- [TRACES [WATCHES [PACKETS A SECOND IN A WATCH [MILLIONS]]]]`
//!
//! With `known` in the environment variable `BLIND_PORT` the attacker has found out the port.

mod attack;
mod hostile;

use std::thread;
use std::time::Instant;

use attack::{RATE, Run};

/// Forged hops, true replies that are missing, replies shown, frames handled, runs in which rewritten quotes timed out.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    forged: usize,
    lost: usize,
    shown: usize,
    frames: u64,
    withdrawn: u64,
    /// Replays that showed something else.
    differing: u64,
}

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let mut next = |default| args.next().unwrap_or(default);
    let (traces, watches) = (next(1_000), next(1_000));
    let rate = i64::try_from(next(RATE.unsigned_abs())).unwrap_or(RATE);
    let millions = next(0);
    report("traces", traces, None, RATE);
    report("watches of 30 s", watches, Some((1.0, 30)), rate);
    report_hostile(millions);
}

/// How many million arbitrary frames, a hundred thousand for each run.
fn report_hostile(millions: u64) {
    const EACH: u64 = 100_000;
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let part = |thread: u64| {
        let numbers = (thread..millions * 10).step_by(usize::try_from(threads).unwrap_or(1));
        numbers.map(|number| hostile::attacked(number, EACH)).collect::<Vec<_>>()
    };
    let all: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|it| scope.spawn(move || part(it))).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    let sum = |value: fn(&hostile::Hostile) -> u64| all.iter().map(value).sum::<u64>();
    println!(
        "{} arbitrary frames in {} runs: no panic; {} recorded; {} replays differ; {:.0} s",
        sum(|it| it.frames),
        all.len(),
        sum(|it| it.recorded),
        sum(|it| it.differing),
        began.elapsed().as_secs_f64(),
    );
}

fn report(what: &str, runs: u64, rounds: Option<(f64, u64)>, rate: i64) {
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let knows_port = std::env::var_os("BLIND_PORT").is_some_and(|it| it == "known");
    let part = |thread: u64| {
        let mut tally = Tally::default();
        for number in (thread..runs).step_by(usize::try_from(threads).unwrap_or(1)) {
            let run = Run { rate, knows_port, ..Run::number(number, rounds) };
            let (forged, lost, outcome) = run.flaws();
            if forged + lost > 0 {
                println!("run {number}: {forged} forged, {lost} lost: {run:?}");
            }
            tally.forged += forged;
            tally.lost += lost;
            tally.differing += u64::from(run.replayed(&outcome.recorded).shown != outcome.shown);
            tally.shown += outcome.shown.len();
            tally.frames += outcome.frames;
            tally.withdrawn += u64::from(outcome.withdrawn);
        }
        tally
    };
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|it| scope.spawn(move || part(it))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let sum = |value: fn(&Tally) -> u64| tallies.iter().map(value).sum::<u64>();
    println!(
        "{runs} {what} at {rate} forged packets a second: {} frames, {} replies shown, {} forged, {} true ones lost; \
         rewritten quotes given up in {}; {} replays differ; {:.0} s",
        sum(|it| it.frames),
        sum(|it| it.shown as u64),
        sum(|it| it.forged as u64),
        sum(|it| it.lost as u64),
        sum(|it| it.withdrawn),
        sum(|it| it.differing),
        began.elapsed().as_secs_f64(),
    );
}
